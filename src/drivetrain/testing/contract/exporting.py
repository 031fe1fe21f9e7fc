"""Checks of the export and the artefact."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivetrain.engine import Engine
from drivetrain.errors import ExportError
from drivetrain.runtime import load
from drivetrain.testing.contract.base import Subject, Trained
from drivetrain.testing.contract.forms import METRICS, assert_same_predictions
from drivetrain.types.options import ExportFormat, ExportPrecision

_WITHIN = {"fp32": 2e-3, "fp16": 2e-2}


class ExportChecks(Subject):
    """A model can leave its framework and still give the same answers."""

    @pytest.mark.parametrize(("format", "precision"), [("openvino", "fp32"), ("openvino", "fp16"), ("onnx", "fp32")])
    def test_export(
        self,
        trained: Trained,
        dataset: Path,
        format: ExportFormat,  # noqa: A002  (the field's word)
        precision: ExportPrecision,
    ) -> None:
        """The artefact was verified, answers like the engine, and supports the same verbs."""
        self.needs("export")
        engine, name = trained.engine, f"contract-{format}-{precision}"
        before = engine.predict()
        artifact = engine.export(format, precision=precision, name=name, overwrite=True)
        assert_same_predictions(engine.predict(), before, 0.0)
        assert artifact.path == engine.work_dir / "artifacts" / name
        assert artifact.parity["passed"] is True
        assert artifact.label_names == engine.label_names
        assert not list(artifact.path.parent.glob(".*")), "no incomplete files are left"

        images = [item.path for item in before]
        predictor = load(artifact.path, precision="f32")
        assert_same_predictions(predictor.predict(images), before, _WITHIN[precision])
        exported = Engine(predictor, dataset, task=self.task)
        assert exported.spec.name == "openvino"
        ours, theirs = engine.test(), exported.test()
        wanted = {metric: ours[metric] for metric in METRICS[self.task]}
        assert {metric: theirs[metric] for metric in wanted} == pytest.approx(wanted, abs=0.02)

    def test_an_artefact_is_not_replaced_by_accident(self, trained: Trained) -> None:
        """A second export under the same name needs ``overwrite``."""
        self.needs("export")
        trained.engine.export(name="once", overwrite=True)
        with pytest.raises(ExportError, match="overwrite=True"):
            trained.engine.export(name="once")
