"""Check a data set: copies, leaks, odd pictures, outliers and probable label errors, with a model or without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drivetrain.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drivetrain.data import Dataset
    from drivetrain.engine.state import EngineState
    from drivetrain.types import Predictions
    from drivetrain.types.data_findings import DataFindings


def check_dataset(
    data: Any,
    *,
    model: Any = None,
    checkpoint: str | Path | None = None,
    batch_size: int | None = None,
    embeddings: NDArray[np.float32] | None = None,
    step: Callable[[int], None] | None = None,
) -> DataFindings:
    """Look for what is likely to spoil a training or a measurement on a data set.

    Every picture is decoded once. Found are exact and near copies, copies in several subsets, unreadable, blank, dark,
    bright and grey pictures, odd sizes, outliers, and probable label errors: by the labels of the nearest neighbours,
    or, with a model, by its answers about images that it was not trained on. With objects, a model also tells missing
    objects, objects that are not there, and boxes that are off. ``methods`` and ``not_checked`` say how each was looked
    for, and what could not be looked for.

    Args:
        data: a :class:`drivetrain.Dataset`, or whatever :func:`drivetrain.load_dataset` reads.
        model: an engine, or whatever :class:`drivetrain.Engine` takes as its model: a run, a checkpoint, an artefact.
        checkpoint: of the model: "best", "last" or a path.
        batch_size: images in a step of the model.
        embeddings: ``(N, D)`` of each image, to find neighbours and outliers by; small descriptors of the edges and
            colours of each picture if not given.
        step: called with the number of pictures that were done since its last call.

    Raises:
        DataError: the data cannot be read, or not for the task of the model.
        OptionError: an option belongs to a model and there is none, or there is not one embedding for each image.

    Example:
        >>> findings = check_dataset("flowers/", model="runs/flowers")  # doctest: +SKIP
        >>> findings.of_kind("wrong_label")[0].suggested_label  # doctest: +SKIP
        'rose'
    """
    from drivetrain.data import load_dataset
    from drivetrain.data.care.examine import examine

    if model is None:
        if checkpoint is not None or batch_size is not None:
            given = "checkpoint" if checkpoint is not None else "batch_size"
            raise OptionError(f"{given}=... is for the answers of a model; model=... must be given, too.")
        return examine(load_dataset(data), embeddings=embeddings, step=step)
    engine = _engine_of(model, data)
    dataset = load_dataset(data, task=engine.task)
    predictions = _answers(engine, dataset, checkpoint, batch_size)
    learned = _learned(engine, dataset)
    return examine(dataset, predictions=predictions, learned=learned, embeddings=embeddings, step=step)


def _engine_of(model: Any, data: Any) -> EngineState:
    """The engine of the model; one that does not know its task takes that of the data."""
    from drivetrain.engine.engine import Engine
    from drivetrain.engine.state import EngineState

    return model if isinstance(model, EngineState) else Engine(model, data)


def _answers(
    engine: EngineState, dataset: Dataset, checkpoint: str | Path | None, batch_size: int | None
) -> Predictions:
    """The model's answers about every image, those of low scores among them."""
    from drivetrain.data.care.object_errors import LOWEST_SCORE
    from drivetrain.engine.verbs.predict import NEEDS
    from drivetrain.images.stream import ImageStream

    engine.require("predict", NEEDS)
    engine.select(checkpoint)
    engine.warn_if_untrained()
    confidence = LOWEST_SCORE if engine.task.has_objects else None
    paths = list(dict.fromkeys(dataset.paths))
    return engine.answer(ImageStream(paths), batch_size=batch_size, confidence=confidence)


def _learned(engine: EngineState, dataset: Dataset) -> NDArray[np.bool_]:
    """``(N,)`` whether the model was trained on an image."""
    from drivetrain.engine.verbs.test import was_trained_on

    divided = dataset.with_splits() if "train" in dataset.subsets else dataset
    if not was_trained_on(engine, divided):
        return np.zeros(len(dataset), np.bool_)
    return np.asarray(divided.subset_names == "train", np.bool_)
