"""Test: evaluate the model on annotated images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.auto_tile import used_tile
from drivetrain.engine.chosen_sensitivity import at_sensitivity, check_early_sensitivity, with_sensitivities
from drivetrain.engine.early import Start, check_checkpoint, check_data, check_tiles
from drivetrain.engine.run_report import report_test
from drivetrain.engine.state import EngineState
from drivetrain.errors import DataError
from drivetrain.runs.record import RunRecord
from drivetrain.types.options import Tile, check_at_least, check_sensitivity
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.report.measured import PageExample
    from drivetrain.types import Metrics, Predictions, Sample

    Examples = Callable[[], Sequence[PageExample]]

NEEDS = ("infer",)


def check(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded; see :func:`drivetrain.engine.verbs.check_early`."""
    check_at_least("batch_size", given["batch_size"], 1)
    check_tiles(given["tile"])
    check_early_sensitivity(start, given)
    check_data(start)
    check_checkpoint(start, given["checkpoint"])


def test(
    self: EngineState,
    data: Any = None,
    *,
    subset: str = "test",
    checkpoint: str | Path | None = None,
    batch_size: int | None = None,
    sensitivity: float | None = None,
    tile: Tile | None = None,
) -> Metrics:
    """Evaluate the model on annotated images.

    Args:
        data: data other than the engine's. Data without subsets are evaluated as a whole, whether given here or to
            the engine, unless the model was trained on them.
        subset: "train", "val" or "test".
        checkpoint: "best", "last" or a path; by default the best if there is one, else the last.
        batch_size: images per step.
        sensitivity: how readily an anomaly model classifies images and pixels as anomalous (0..1; 0.5 is the threshold
            from validation); by default the model's own.
        tile: cut images into tiles, for small objects: the side of a tile in pixels of the image, or (side, overlap)
            with the overlap of neighbours as a fraction, 0.2 by default, or "auto" for what suits the sizes of the
            objects in the training data. Objects are also searched for in the whole image.

    Returns:
        The metrics of the task, the same for every engine; the upstream's own are under "upstream/...". For an anomaly
        model, ``tables["thresholds"]`` has recall and false alarms, and the sensitivity for each.

    Raises:
        DataError: there are no such images, or their labels differ from the model's.
        CheckpointError: the checkpoint does not fit.
        OptionError: ``sensitivity`` is not a number in 0..1, or the task cannot use it.
    """
    self.require("test", NEEDS)
    check_at_least("batch_size", batch_size, 1)
    check_sensitivity(sensitivity)
    self.select(checkpoint)
    if tile is not None:
        check_tiles(tile, self.task)
        tile = used_tile(self, tile)
    self.warn_if_untrained()
    with at_sensitivity(self, sensitivity):
        if self.has_native_data if data is None else self.framework.is_native(data):
            metrics, shown = _test_native(self, self.data.source if data is None else data, subset, batch_size, tile)
            name = self.data.name if data is None else type(data).__name__
        else:
            dataset = _dataset(self, data, subset)
            metrics, shown = _test_dataset(self, dataset, batch_size, tile)
            name = str(dataset.source or self.data.name)
    report_test(self, metrics, {"data": name, "subset": subset, "sensitivity": sensitivity, "tile": tile}, shown)
    return metrics


def _test_dataset(
    engine: EngineState, dataset: Dataset, batch_size: int | None, tile: Tile | None
) -> tuple[Metrics, Examples]:
    """Our metrics, and the framework's own on the images that could be read; and what finds examples."""
    metrics, predictions = _measured(engine, dataset, dataset.paths, batch_size, tile)
    unread = {path for path, _ in predictions.skipped}
    if unread:
        dataset = dataset.select(number for number, path in enumerate(dataset.paths) if path not in unread)
    metrics = _beside(engine, metrics, engine.framework.upstream_metrics(dataset, batch_size))
    return metrics, partial(_examples, engine, dataset, predictions)


def _examples(engine: EngineState, samples: Dataset | Sequence[Sample], answers: Predictions) -> list[PageExample]:
    """Images that were answered worst and best."""
    from drivetrain.engine.shown_examples import examples_of

    confidence = engine.framework.default_confidence()
    return examples_of(samples, answers, label_names=engine.label_names, confidence=confidence)


def _beside(engine: EngineState, metrics: Metrics, upstream: Mapping[str, float]) -> Metrics:
    """Our metrics with the framework's own beside them, and what is to be said about these."""
    merged = metrics.merged(upstream)
    if remark := engine.framework.about_upstream(merged):
        merged.tables["about_upstream"] = remark
    return merged


def _measured(
    engine: EngineState,
    samples: Dataset | Sequence[Sample],
    paths: Sequence[str],
    batch_size: int | None,
    tile: Tile | None,
) -> tuple[Metrics, Predictions]:
    """The metrics of the answers about samples, and these answers, including those with low scores."""
    from drivetrain.images.stream import ImageStream
    from drivetrain.metrics import evaluate

    answers = engine.answer(ImageStream(paths), batch_size=batch_size, confidence=0.0, tile=tile)
    metrics = evaluate(samples, answers, task=engine.task, label_names=engine.label_names)
    return with_sensitivities(metrics, engine.framework.used_sensitivity()), answers


def _test_native(
    engine: EngineState, data: Any, subset: str, batch_size: int | None, tile: Tile | None
) -> tuple[Metrics, Examples]:
    """The framework's own metrics, preceded by ours if its data can be read; and what finds examples."""
    own = engine.framework.test_native(data, subset, batch_size)
    samples = engine.framework.native_samples(data, subset)
    if samples is None:
        return own, tuple
    measured, answers = _measured(engine, samples, [sample.path for sample in samples], batch_size, tile)
    return _beside(engine, measured, own), partial(_examples, engine, samples, answers)


def _dataset(engine: EngineState, data: Any, subset: str) -> Dataset:
    """The images to evaluate, with the labels of the model; for anomaly detection, with the labels of the data."""
    dataset = _own_data(engine) if data is None else _other_data(engine, data)
    if not dataset.is_annotated:
        raise DataError(
            f"{dataset.source}: its {len(dataset)} images have no classes or annotations to evaluate against; the verb "
            "predict works without them."
        )
    if dataset is not engine.data.divided:
        for note in dataset.notes:
            engine.progress.note(note)
    if engine.task is Task.ANOMALY:
        engine.framework.label_names = dataset.label_names
    if dataset.label_names != engine.label_names:
        dataset = dataset.relabel(engine.label_names)
    if subset in dataset.subsets or len(dataset.subsets) > 1:
        return dataset.subset(subset)
    engine.progress.note(f"The data have no subset {subset!r}, so all of their {len(dataset)} images are tested.")
    return dataset


def _other_data(engine: EngineState, data: Any) -> Dataset:
    """The given data, or the engine's if they are the same: a model is not evaluated on what it was trained on."""
    dataset = engine.data.other(data, engine.task)
    if len(dataset.subsets) > 1 or engine.data.source is None or engine.has_native_data:
        return dataset
    divided = engine.dataset
    same = Path(dataset.source).absolute() == Path(divided.source).absolute() if dataset.source else False
    return divided if same and was_trained_on(engine, divided) else dataset


def _own_data(engine: EngineState) -> Dataset:
    """The engine's data: as given, unless the model was trained on part of them."""
    divided = engine.dataset
    given = engine.data.as_given
    if given is None or len(given.subsets) > 1 or was_trained_on(engine, divided):
        return divided
    return given


def was_trained_on(engine: EngineState, dataset: Dataset) -> bool:
    """Whether the weights of the engine were trained on part of these data."""
    places = [engine.weights.loaded, engine.resolution.model]
    records = [engine.weights.run, *(RunRecord.around(place) for place in places if isinstance(place, Path))]
    return any(record.was_trained_on(dataset.source, dataset.fingerprint) for record in records)
