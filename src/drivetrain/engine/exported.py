"""From a trained model to a verified artefact, for the verbs that need one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.artifacts import weights_of
from drivetrain.engine.auto_tile import tile_choice
from drivetrain.engine.data import some_paths, spread
from drivetrain.engine.state import EngineState
from drivetrain.errors import DataError, UnsupportedError
from drivetrain.types.options import ExportFormat, ExportPrecision
from drivetrain.types.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.data import Dataset
    from drivetrain.runtime.artifact import Artifact
    from drivetrain.types import Predictions

_COMPARED = 8
_MEASURED = 50
"""The maximum number of validation images on which model and artefact are evaluated."""


def export_model(
    engine: EngineState,
    folder: Path,
    *,
    format: ExportFormat,  # noqa: A002  (the field's word)
    precision: ExportPrecision,
    images: Sequence[str | Path] | None,
    overwrite: bool,
) -> Artifact:
    """Write an artefact of the current model, compared with it on real images.

    Args:
        engine: the engine with the model in the state to export.
        folder: the folder of the artefact.
        format: "openvino" or "onnx".
        precision: precision of the stored weights.
        images: images to compare on; by default some of the data.
        overwrite: replace an existing artefact.

    Raises:
        DataError: there are no images to compare on.
        ExportError: see :func:`drivetrain.export.export_artifact`.
    """
    from drivetrain.export import export_artifact
    from drivetrain.images.tiling import can_tile

    trained = weights_of(engine)
    if engine.framework.sensitivity is not None:
        trained["sensitivity"] = str(engine.framework.sensitivity)
    found = engine.framework.export_source(format)
    tiling = tile_choice(engine) if can_tile(found.task) else None
    source = replace(found, licences=engine.framework.licences(), tiling=tiling, trained=trained)

    def reference(pictures: Sequence[NDArray[np.uint8]]) -> Predictions:
        return _reference(engine, pictures)

    return export_artifact(
        source,
        folder,
        format=format,
        precision=precision,
        reference=reference,
        features=partial(_features, engine) if "features" in engine.spec.hooks else None,
        images=[str(path) for path in images] if images is not None else _images(engine),
        engine=engine.spec.name,
        model_name=engine.setup.model_name,
        metrics=lambda artifact: _task_metrics(engine, artifact),
        overwrite=overwrite,
    )


def _task_metrics(engine: EngineState, artifact: Artifact) -> dict[str, Any]:
    """The task's metrics for model and artefact on some validation images; empty without ground truth."""
    if engine.has_native_data or engine.data.source is None or "val" not in engine.dataset.subsets:
        return {}
    part = engine.dataset.subset("val")
    if not part.is_annotated or part.task is not engine.task:
        return {}
    try:
        return _measured(engine, artifact, part)
    except DataError as error:
        engine.progress.note(f"Model and artefact were not compared by the metric of the task: {error}")
        return {}


def _measured(engine: EngineState, artifact: Artifact, part: Dataset) -> dict[str, Any]:
    from drivetrain.export.measuring import answers_of, measured
    from drivetrain.images.stream import ImageStream

    if engine.task is not Task.ANOMALY and part.label_names != engine.label_names:
        part = part.relabel(engine.label_names)
    part = part.select(spread(list(range(len(part))), _MEASURED))
    both = {
        "model": engine.answer(ImageStream(part.paths), confidence=0.0),
        "artefact": answers_of(artifact, part.paths),
    }
    found = {name: measured(part, answers, engine.task, part.label_names) for name, answers in both.items()}
    known = {name: {key: value for key, value in values.items() if value == value} for name, values in found.items()}
    return {"subset": "val", "images": len(part), **known}


def _reference(engine: EngineState, images: Sequence[NDArray[np.uint8]]) -> Predictions:
    """The model's own answers, including those with low scores."""
    from drivetrain.types.prediction import Predictions

    named = ((f"#{number}", image) for number, image in enumerate(images))
    answers = engine.framework.infer(named, batch_size=None, confidence=0.0)
    return Predictions(answers, task=engine.task, label_names=engine.label_names)


def _features(engine: EngineState, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    """What the model makes of images before it decides; nothing where it does not say it."""
    named = ((f"#{number}", image) for number, image in enumerate(images))
    try:
        return list(engine.framework.features(named, batch_size=None))
    except UnsupportedError:
        return []


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
