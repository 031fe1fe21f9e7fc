"""Optimize: write a lighter artefact, whose loss of accuracy was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from drivetrain.engine.artifacts import (
    add_to_trackers,
    artifact_folder,
    check_artifact_name,
    exported_before,
    weights_of,
)
from drivetrain.engine.early import Start, check_checkpoint, check_data
from drivetrain.engine.evidence import find_evidence
from drivetrain.engine.exported import export_model
from drivetrain.engine.run_report import report_artifact
from drivetrain.engine.state import EngineState
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.machine.files import WORK_DIR, explained
from drivetrain.machine.packages import check_nncf
from drivetrain.runs.place import require_new
from drivetrain.types.options import ExportFormat, OptimizeMethod, OptimizePrecision, check_at_least, check_choice
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.runtime.artifact import Artifact

NEEDS = ("infer", "export_source|artifact")
_FEWEST = 8
_FORMAT: ExportFormat = "openvino"


def check(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded; see :func:`drivetrain.engine.verbs.check_early`."""
    _check_values(given)
    check_data(start, " to measure on")
    check_checkpoint(start, given["checkpoint"])
    if start.given_work_dir is not None and start.spec is not None and not given["overwrite"]:
        name = given["name"] or start.spec.artifact_name(_FORMAT, given["precision"])
        require_new(start.given_work_dir / "artifacts" / name)


def _check_values(given: Mapping[str, Any]) -> None:
    check_choice("precision", given["precision"], get_args(OptimizePrecision))
    check_choice("method", given["method"], get_args(OptimizeMethod))
    if given["precision"] != "int8" and given["method"] != "auto":
        raise UnsupportedOptionError(
            f"method={given['method']!r} cannot be honoured with precision={given['precision']!r}: there is one way "
            "only. Leave it out."
        )
    drop = given["max_drop"]
    if isinstance(drop, bool) or not isinstance(drop, Real) or not math.isfinite(drop) or drop < 0:
        raise OptionError(f"max_drop={drop!r} must be a number from 0 on, such as 0.01.")
    check_at_least("samples", given["samples"], _FEWEST)
    check_artifact_name(given["name"])
    if given["precision"] != "fp16":
        check_nncf()


def optimize(
    self: EngineState,
    *,
    precision: OptimizePrecision = "int8",
    method: OptimizeMethod = "auto",
    max_drop: float = 0.01,
    metric: str | None = None,
    subset: str = "val",
    samples: int = 300,
    checkpoint: str | Path | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> Artifact:
    """Write a lighter artefact, whose loss of accuracy is measured before it gets its name.

    A trained model is exported to OpenVINO first, unless that was done with the same weights.

    Args:
        precision: "int8" for weights and arithmetic, "int8_weights" or "fp16" for the stored weights alone.
        method: how "int8" is found: "ptq" by the ranges of the layers on real images, "accuracy_control" with the
            layers that lose most kept at full precision; "auto" goes from the first to the second where needed.
        max_drop: by how much the metric may drop, absolutely.
        metric: that decides, by its name in what test gives; the task's own (of anomalies image_auroc and image_f1) if
            not given.
        subset: to measure on. An anomaly model is measured on the test images where "val" has images of one kind only.
        samples: images to calibrate with, at the most; they are training images, of anomalies validation images too.
        checkpoint: "best", "last" or a path; the best if there is one, else the last.
        name: of the folder below "artifacts" in the work dir; format and precision if not given. Of an artefact of a
            run it is beside it, unless a work dir is given.
        overwrite: replace an artefact of that name.

    Returns:
        The artefact; its ``optimization`` has accuracy, size and latency before and after.

    Raises:
        OptionError: an option has a value that is not allowed, or there is no such metric.
        DataError: there are no data to measure on, too few to calibrate with, or the metric is undefined on them.
        UnsupportedError: the model can neither be exported nor is an artefact, or it is light already.
        ArtifactExistsError: there is an artefact of that name, and ``overwrite`` is not set.
        ExportError: the model cannot be exported or made lighter.
        AccuracyDropError: the metric drops by more than ``max_drop``; nothing is left under the name.
        MissingDependencyError: the package nncf is not installed.
        StorageError: it cannot be written; nothing half-written is left.
    """
    self.require("optimize", NEEDS)
    _check_values(locals())
    given = self.framework.artifact
    if given is not None and checkpoint is not None:
        raise UnsupportedOptionError(f"checkpoint={str(checkpoint)!r}: an artefact has none. Leave it out.")
    self.data.require(" to measure on")
    self.select(checkpoint)
    from drivetrain.export.optimization import Wish, check_optimizable, optimize_artifact

    if given is not None:
        check_optimizable(given, precision)
    folder = _folder(self, given, name or _usual_name(self, given, precision))
    if not overwrite:
        require_new(folder)
    calibrates = precision == "int8" or (precision != "fp16" and self.task is Task.ANOMALY)  # its scores, then
    evidence = find_evidence(self, subset, samples if calibrates else 0, metric)
    with explained(folder.parent, WORK_DIR):
        source = given or _exported(self)
        wish = Wish(precision, method, max_drop, metric)
        artifact = optimize_artifact(source, folder, wish, evidence, overwrite=overwrite, note=self.progress.note)
    report_artifact(self, artifact.path)
    add_to_trackers(self, artifact.path)
    return artifact


def _usual_name(engine: EngineState, given: Artifact | None, precision: str) -> str:
    """Of an artefact its own with the other precision, else as the engine calls its artefacts."""
    if given is None:
        return engine.framework.artifact_name(_FORMAT, precision)
    own = given.path.name
    if given.precision in own:
        return own.replace(given.precision, precision)
    return f"{given.format}-{precision}"


def _folder(engine: EngineState, given: Artifact | None, name: str) -> Path:
    """Where the new artefact goes: next to the given one if that is in a run and no work dir is given."""
    if given is None or engine.given_work_dir is not None or given.path.parent.name != "artifacts":
        return artifact_folder(engine, name)
    check_artifact_name(name)
    return given.path.parent / name


def _exported(engine: EngineState) -> Artifact:
    """The artefact at full precision of the weights that the model has; where its name is taken, under another."""
    usual = artifact_folder(engine, engine.framework.artifact_name(_FORMAT, "fp32"))
    found = exported_before(engine, usual, weights_of(engine))
    if found is not None:
        engine.progress.note(f"It begins with the artefact that was exported before: {usual}")
        return found
    engine.warn_if_untrained()
    taken = usual.exists()
    place = usual.with_name(f"{usual.name}-of-optimize") if taken else usual
    engine.progress.note(f"The model is exported first: {place}")
    return export_model(engine, place, format="openvino", precision="fp32", images=None, overwrite=taken)
