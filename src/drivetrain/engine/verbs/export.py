"""Export: write an artefact that has been verified against the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from drivetrain.engine.auto_tile import tile_choice
from drivetrain.engine.chosen_sensitivity import at_sensitivity, check_early_sensitivity
from drivetrain.engine.data import some_paths
from drivetrain.engine.early import Start, check_checkpoint
from drivetrain.engine.state import EngineState
from drivetrain.errors import DataError, DataNotFoundError, DrivetrainError, OptionError
from drivetrain.images.tiling import can_tile
from drivetrain.machine.files import explained
from drivetrain.runs.place import require_new
from drivetrain.runs.tracking import open_trackers
from drivetrain.types.options import ExportFormat, ExportPrecision, check_choice, check_sensitivity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.runtime.artifact import Artifact
    from drivetrain.types import Predictions

NEEDS = ("export_source",)
_COMPARED = 8


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
    if given["name"] is not None:
        _check_name(given["name"])
    if given["images"] is not None and not len(given["images"]):
        raise OptionError("images=[] has no image to compare on. Give some, or leave it out for those of the data.")
    for path in given["images"] or ():
        if not Path(path).expanduser().is_file():
            raise DataNotFoundError(
                f"images: {str(path)!r} does not exist. Give image files, or leave it out for those of the data."
            )


def _check_name(name: str) -> None:
    if not name or Path(name).name != name or name.startswith("."):
        raise OptionError(f"name={name!r} must be the name of a folder, without slashes.")


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
    from drivetrain.export import export_artifact

    def reference(pictures: Sequence[NDArray[np.uint8]]) -> Predictions:
        return _reference(self, pictures)

    with explained(self.work_dir), at_sensitivity(self, sensitivity):
        found = self.framework.export_source(format)
        tiling = tile_choice(self) if can_tile(found.task) else None
        source = replace(found, licences=self.framework.licences(), tiling=tiling)
        compared = [str(path) for path in images] if images is not None else _images(self)
        artifact = export_artifact(
            source,
            _folder(self, name or self.framework.artifact_name(format, precision)),
            format=format,
            precision=precision,
            reference=reference,
            images=compared,
            engine=self.spec.name,
            model_name=self.setup.model_name,
            overwrite=overwrite,
        )
    _add_to_trackers(self, artifact.path)
    return artifact


def _reference(engine: EngineState, images: Sequence[NDArray[np.uint8]]) -> Predictions:
    """The model's own answers, including those with low scores."""
    from drivetrain.types.prediction import Predictions

    named = ((f"#{number}", image) for number, image in enumerate(images))
    answers = engine.framework.infer(named, batch_size=None, confidence=0.0)
    return Predictions(answers, task=engine.task, label_names=engine.label_names)


def _images(engine: EngineState) -> list[str]:
    """A few images of the data to compare on."""
    if engine.has_native_data:
        found = engine.framework.native_paths(_COMPARED)
    elif engine.data.source is not None:
        found = some_paths(engine.dataset, _COMPARED)
    else:
        found = []
    if found:
        return found
    raise DataError(
        f"The artefact is compared with the model on real images, and there are none.{engine.data.gone} Give data to "
        "Engine, or images=[...] to export."
    )


def _folder(engine: EngineState, name: str) -> Path:
    _check_name(name)
    folder = engine.work_dir / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _add_to_trackers(engine: EngineState, folder: Path) -> None:
    """Add an artefact exported after training to the run of each tracker that logged it."""
    run = engine.weights.run
    places = run.content.get("tracking") or {}
    if run.directory is None or not places:
        return
    try:
        trackers = open_trackers(list(places))
    except DrivetrainError as error:
        engine.progress.note(f"{folder.name} was not added to {', '.join(places)}: {error}")
        return
    trackers.begin(run.directory, run.content, places, engine.progress.note)
    trackers.add(folder, f"artifacts/{folder.name}", str(run.content.get("status")))
