"""Checking a data set for copies, leaks, odd pictures, outliers and probable label errors, with or without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drivetrain.errors import OptionError, UnsupportedError

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
    """Look for problems of a data set that are likely to harm training or evaluation.

    Every picture is decoded once. The check finds exact and near copies, copies in several subsets, unreadable, blank,
    dark, bright and grey pictures, unusual sizes, outliers, and probable label errors: by the labels of the nearest
    neighbours, or, with a model, by its answers about images that it was not trained on. For objects, a model also
    finds missing objects, superfluous objects and misplaced boxes. ``methods`` says how each problem was looked for,
    and ``not_checked`` which could not be.

    Args:
        data: a :class:`drivetrain.Dataset`, or whatever :func:`drivetrain.load_dataset` reads.
        model: an engine, or anything :class:`drivetrain.Engine` accepts as a model: a run, a checkpoint, an artefact.
        checkpoint: the checkpoint of the model: "best", "last" or a path.
        batch_size: images per step of the model.
        embeddings: ``(N, D)`` of each image, to find neighbours and outliers by; by default small descriptors of the
            edges and colours of each picture, and for outliers the features of the model.
        step: called with the number of pictures processed since its last call.

    Raises:
        DataError: the data cannot be read, or do not suit the model's task.
        OptionError: an option needs a model and there is none, or the number of embeddings is not that of the images.

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
            raise OptionError(f"{given}=... applies to the answers of a model; give model=... too.")
        return examine(load_dataset(data), embeddings=embeddings, step=step)
    engine = _engine_of(model, data)
    dataset = load_dataset(data, task=engine.task)
    predictions = _answers(engine, dataset, checkpoint, batch_size)
    learned = _learned(engine, dataset)
    asked = embeddings is None and "features" in engine.spec.hooks
    features = _features(engine, dataset, batch_size) if asked else None
    return examine(
        dataset, predictions=predictions, learned=learned, embeddings=embeddings, features=features, step=step
    )


def _engine_of(model: Any, data: Any) -> EngineState:
    """The engine of the model; if its task is unknown, it takes that of the data."""
    from drivetrain.engine.engine import Engine
    from drivetrain.engine.state import EngineState

    return model if isinstance(model, EngineState) else Engine(model, data)


def _answers(
    engine: EngineState, dataset: Dataset, checkpoint: str | Path | None, batch_size: int | None
) -> Predictions:
    """The model's answers about every image, including those with low scores."""
    from drivetrain.data.care.object_errors import LOWEST_SCORE
    from drivetrain.engine.verbs.predict import NEEDS
    from drivetrain.images.stream import ImageStream

    engine.require("predict", NEEDS)
    engine.select(checkpoint)
    engine.warn_if_untrained()
    confidence = LOWEST_SCORE if engine.task.has_objects else None
    paths = list(dict.fromkeys(dataset.paths))
    return engine.answer(ImageStream(paths), batch_size=batch_size, confidence=confidence)


def _features(engine: EngineState, dataset: Dataset, batch_size: int | None) -> NDArray[np.float32] | None:
    """The model's features of every image, zeros for unreadable ones; ``None`` if it has none."""
    from drivetrain.images.stream import ImageStream

    read: list[str] = []

    def named() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for path, image in ImageStream(list(dict.fromkeys(dataset.paths))):
            read.append(path)
            yield path, image

    try:
        rows = dict(zip(read, list(engine.framework.features(named(), batch_size=batch_size)), strict=True))
    except UnsupportedError:
        return None
    if not rows:
        return None
    nothing = np.zeros_like(next(iter(rows.values())))
    return np.stack([rows.get(path, nothing) for path in dataset.paths])


def _learned(engine: EngineState, dataset: Dataset) -> NDArray[np.bool_]:
    """``(N,)`` whether the model was trained on each image."""
    from drivetrain.engine.verbs.test import was_trained_on

    divided = dataset.with_splits() if "train" in dataset.subsets else dataset
    if not was_trained_on(engine, divided):
        return np.zeros(len(dataset), np.bool_)
    return np.asarray(divided.subset_names == "train", np.bool_)
