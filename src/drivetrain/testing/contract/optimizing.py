"""A lighter artefact, and how fast a model is."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivetrain.engine import Engine
from drivetrain.errors import ArtifactExistsError
from drivetrain.export.verification import verify
from drivetrain.runtime.artifact import Artifact
from drivetrain.testing.contract.base import Subject, Trained

_ALLOWED = 0.5
"""A model of the contract is trained for two epochs: its numbers say little, and what is checked is how it is done."""
_SECONDS = 0.1


class OptimizeChecks(Subject):
    """The verbs ``optimize`` and ``benchmark``, of the model and of its artefact."""

    def test_optimize(self, trained: Trained, dataset: Path) -> None:
        """The artefact is whole, was measured, answers as it was measured, and is not replaced by accident."""
        self.needs("export")
        pytest.importorskip("nncf", reason="the extra 'optimize' is not installed")
        artifact = trained.engine.optimize(max_drop=_ALLOWED, samples=8, name="contract-int8", overwrite=True)
        assert artifact.path == trained.engine.work_dir / "artifacts" / "contract-int8"
        report = Artifact.open(artifact.path).optimization
        assert report["calibration"]["images"] == 8
        assert report["drop"] <= _ALLOWED
        assert report["layers"]["light"] > 0
        assert report["bytes"]["after"] < report["bytes"]["before"]
        assert artifact.label_names == trained.engine.label_names
        measured = Engine(artifact.path, dataset, task=self.task).test(subset=report["subset"])
        for name in report["metrics"]:
            assert measured[name] == pytest.approx(report["after"][name], abs=0.1)
        verify(artifact)
        with pytest.raises(ArtifactExistsError, match="overwrite=True"):
            trained.engine.optimize(name="contract-int8")
        assert not list(artifact.path.parent.glob(".*")), "nothing half-written is left"

    def test_benchmark(self, trained: Trained, dataset: Path) -> None:
        """The model and its artefact are both measured, and the result says which."""
        result = trained.engine.benchmark(seconds=_SECONDS)
        assert result.measured == "model"
        assert {"arrays", "files"} == set(result.stages)
        self.needs("export")
        artifact = trained.engine.export(name="contract-benchmark", overwrite=True)
        result = Engine(artifact.path, dataset, task=self.task).benchmark(hint="latency", seconds=_SECONDS)
        assert (result.measured, set(result.stages)) == ("artefact", {"network", "arrays", "files"})
        assert all(stage["latency_ms"]["median"] > 0 for stage in result.stages.values())
        assert result.model_bytes > 0
