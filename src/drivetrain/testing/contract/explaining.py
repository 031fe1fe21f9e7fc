"""Explanations and embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from drivetrain.engine import Engine, perturbation
from drivetrain.runtime import load
from drivetrain.testing.contract.base import Subject, Trained
from drivetrain.types.explanation import Explanations

#: Methods that look into the model once; the others look at many answers, where small differences add up.
_EXACT = ("cam", "map")


class ExplainChecks(Subject):
    """What speaks for an answer, and what the model makes of an image; the artefact says the same."""

    def test_explanations(self, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
        """A map over each image in 0..1, the same twice, and from the artefact; with few masks, for the form alone."""
        monkeypatch.setattr(perturbation, "MASKS", 16)
        engine = trained.engine
        images = list(engine.dataset.subset("test").paths[:2])
        found = engine.explain(images)
        _assert_maps(found, images)
        again = engine.explain(images)
        assert [item.method for item in again] == [item.method for item in found]
        for one, other in zip(found, again, strict=True):
            np.testing.assert_allclose(one.saliency, other.saliency, atol=self.same)
        if "export_source" not in self.spec.hooks:
            return
        artifact = engine.export(name="explained", overwrite=True)
        exported = Engine(load(artifact.path, precision="f32")).explain(images)
        _assert_maps(exported, images)
        for one, other in zip(found, exported, strict=False):
            if one.method in _EXACT and other.method in _EXACT:
                np.testing.assert_allclose(one.saliency, other.saliency, atol=5e-3)

    def test_embeddings(self, trained: Trained) -> None:
        """A row for each image, the same for the same pixels, and from the artefact to 1e-4."""
        self.needs("embed")
        engine = trained.engine
        images = list(engine.dataset.subset("test").paths[:3])
        found = engine.embed([*images, images[0]])
        assert found.paths == (*images, images[0])
        assert found.vectors.dtype == np.float32
        assert found.vectors.shape == (len(images) + 1, found.size)
        assert np.isfinite(found.vectors).all()
        scale = max(1.0, float(np.abs(found.vectors).max()))
        np.testing.assert_allclose(found.vectors[0], found.vectors[-1], atol=1e-5 * scale)
        assert (found.vectors[0] != found.vectors[1]).any()
        if "export_source" in self.spec.hooks:
            artifact = engine.export(name="embedded", overwrite=True)
            exported = Engine(load(artifact.path, precision="f32")).embed(images)
            np.testing.assert_allclose(exported.vectors, found.vectors[:-1], atol=1e-4 * scale)


def _assert_maps(found: Explanations, images: list[str]) -> None:
    """One map for each image, or the reason why there is none."""
    assert [item.path for item in found] == [path for path in images if path not in dict(found.skipped)]
    assert set(dict(found.skipped)) <= set(images)
    for item in found:
        assert item.saliency.shape == tuple(item.size)
        assert item.saliency.dtype == np.float32
        assert 0.0 <= float(item.saliency.min()) <= float(item.saliency.max()) <= 1.0
