"""Export: write an artefact that has been verified against the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from drivetrain.engine.artifacts import add_to_trackers, artifact_folder, check_artifact_name
from drivetrain.engine.chosen_sensitivity import at_sensitivity, check_early_sensitivity
from drivetrain.engine.early import Start, check_checkpoint
from drivetrain.engine.exported import export_model
from drivetrain.engine.run_report import report_artifact
from drivetrain.engine.state import EngineState
from drivetrain.errors import DataNotFoundError, OptionError
from drivetrain.machine.files import WORK_DIR, explained
from drivetrain.runs.place import require_new
from drivetrain.types.options import ExportFormat, ExportPrecision, check_choice, check_sensitivity

if TYPE_CHECKING:
    from drivetrain.runtime.artifact import Artifact

NEEDS = ("export_source",)


def check(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded; see :func:`drivetrain.engine.verbs.check_early`."""
    check_early_sensitivity(start, given)
    _check_values(given)
    check_checkpoint(start, given["checkpoint"])
    if start.given_work_dir is not None and start.spec is not None and not given["overwrite"]:
        name = given["name"] or start.spec.artifact_name(given["format"], given["precision"])
        require_new(start.given_work_dir / "artifacts" / name)


def _check_values(given: Mapping[str, Any]) -> None:
    check_choice("format", given["format"], get_args(ExportFormat))
    check_choice("precision", given["precision"], get_args(ExportPrecision))
    check_artifact_name(given["name"])
    if given["images"] is not None and not len(given["images"]):
        raise OptionError("images=[] has no image to compare on. Give some, or leave it out for those of the data.")
    for path in given["images"] or ():
        if not Path(path).expanduser().is_file():
            raise DataNotFoundError(
                f"images: {str(path)!r} does not exist. Give image files, or leave it out for those of the data."
            )


def export(
    self: EngineState,
    format: ExportFormat = "openvino",  # noqa: A002  (the field's word)
    *,
    precision: ExportPrecision = "fp32",
    checkpoint: str | Path | None = None,
    name: str | None = None,
    images: Sequence[str | Path] | None = None,
    sensitivity: float | None = None,
    overwrite: bool = False,
) -> Artifact:
    """Write a deployable artefact, compared with the model on real images before it gets its name.

    Args:
        format: "openvino" or "onnx".
        precision: precision of the stored weights, "fp32" or "fp16".
        checkpoint: "best", "last" or a path; by default the best if there is one, else the last.
        name: name of the folder below "artifacts" in the work dir; by default format and precision.
        images: files to compare on; by default some validation or test images of the data.
        sensitivity: how readily an anomaly model classifies images and pixels as anomalous (0..1; 0.5 is the threshold
            from validation); becomes the artefact's default; by default the model's own.
        overwrite: replace an existing artefact of that name.

    Returns:
        The artefact; the report of the verification is in its folder.

    Raises:
        DataError: there are no images to compare on.
        OptionError: ``sensitivity`` is not a number in 0..1, or the task cannot use it.
        ExportError: the model cannot be exported.
        ArtifactExistsError: an artefact of that name exists, and ``overwrite`` is not set.
        ParityError: the artefact's answers differ from the model's; nothing is left under its name.
        StorageError: it cannot be written; no incomplete files are left.
    """
    self.require("export", NEEDS)
    _check_values(locals())
    check_sensitivity(sensitivity)
    self.select(checkpoint)
    self.warn_if_untrained()
    with explained(self.work_dir, WORK_DIR), at_sensitivity(self, sensitivity):
        artifact = export_model(
            self,
            artifact_folder(self, name or self.framework.artifact_name(format, precision)),
            format=format,
            precision=precision,
            images=images,
            overwrite=overwrite,
        )
    report_artifact(self, artifact.path)
    add_to_trackers(self, artifact.path)
    return artifact
