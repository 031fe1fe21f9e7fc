"""What a trained model reaches on validation images, measured with its final weights for the report of the run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drivetrain.engine.chosen_sensitivity import with_sensitivities
from drivetrain.engine.shown_examples import LOOKED_AT, examples_of, spread_rows
from drivetrain.engine.state import EngineState
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.report.measured import MeasuredPart
    from drivetrain.types import Metrics, Predictions, Sample

#: The time for it: a share of that of the training, and at least some seconds.
_SHARE, _SECONDS = 0.05, 3.0
_FIRST = 4


def measured_validation(engine: EngineState, started: str | None) -> MeasuredPart | None:
    """Measure the model on validation images, for a small share of the time that the training took.

    All images are looked at for an anomaly model whose threshold can be judged; of others up to 200, as far as the
    time suffices.

    Args:
        engine: that has the trained model.
        started: when the training was started, as ISO time; ``None`` if unknown.

    Returns:
        Numbers and examples; ``None`` where no annotated validation images can be read.
    """
    samples = _validation_samples(engine)
    if samples is None or not len(samples):
        return None
    from drivetrain.report.measured import MeasuredPart

    label_names = _names(engine, samples)
    used = engine.framework.used_sensitivity() if engine.task is Task.ANOMALY else None
    if used is not None and {True, False} <= {sample.anomalous for sample in samples}:
        rows, answers = list(range(len(samples))), _answers(engine, [sample.path for sample in samples])
    else:
        rows, answers = _within(engine, samples, max(_SECONDS, _SHARE * _since(started)))
    looked_at = [samples[row] for row in rows]
    unread = {path for path, _ in answers.skipped}
    looked_at = [sample for sample in looked_at if sample.path not in unread]
    metrics = with_sensitivities(_metrics(engine, looked_at, answers, label_names), used)
    said = f"{len(rows)} of the {len(samples)} validation images, evenly spread." if len(rows) < len(samples) else ""
    examples = examples_of(
        looked_at, answers, label_names=label_names, confidence=engine.framework.default_confidence()
    )
    return MeasuredPart(metrics, tuple(examples), said)


def _validation_samples(engine: EngineState) -> Dataset | Sequence[Sample] | None:
    if engine.has_native_data:
        return engine.framework.native_samples(engine.data.source, "val")
    if "val" not in engine.dataset.subsets:
        return None
    part = engine.dataset.subset("val")
    if not part.is_annotated or part.task is not engine.task:
        return None
    if engine.task is not Task.ANOMALY and part.label_names != engine.label_names:
        part = part.relabel(engine.label_names)
    return part


def _names(engine: EngineState, samples: Any) -> tuple[str, ...]:
    return tuple(getattr(samples, "label_names", engine.label_names))


def _within(engine: EngineState, samples: Any, seconds: float) -> tuple[list[int], Predictions]:
    """The rows of the images for which the time suffices, and the answers about them."""
    from drivetrain.types.prediction import Predictions

    rows = spread_rows(len(samples), LOOKED_AT)
    begun = time.monotonic()
    first = spread_rows(len(rows), _FIRST)
    answers = _answers(engine, [samples[rows[place]].path for place in first])
    most = min(len(rows) - len(first), int(seconds * len(first) / max(time.monotonic() - begun, 1e-6)))
    rest = [rows[place] for place in range(len(rows)) if place not in first]
    more = [rest[place] for place in spread_rows(len(rest), most)]
    found = [rows[place] for place in first]
    if not more:
        return found, answers
    others = _answers(engine, [samples[row].path for row in more])
    both = Predictions(
        [*answers, *others],
        task=engine.task,
        label_names=engine.label_names,
        skipped=[*answers.skipped, *others.skipped],
    )
    return [*found, *more], both


def _answers(engine: EngineState, paths: Sequence[str]) -> Predictions:
    from drivetrain.images.stream import ImageStream

    return engine.answer(ImageStream(paths), confidence=0.0)


def _metrics(
    engine: EngineState, samples: Sequence[Sample], answers: Predictions, label_names: tuple[str, ...]
) -> Metrics:
    """Without the pixels of anomaly maps, which take long."""
    from drivetrain.metrics import evaluate
    from drivetrain.types.prediction import Predictions

    anomaly = engine.task is Task.ANOMALY
    items = [replace(answer, anomaly_map=None, anomaly_mask=None) if anomaly else answer for answer in answers]
    names = label_names if anomaly else engine.label_names
    about = Predictions(items, task=engine.task, label_names=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is undefined on few images is left out of the page
        return evaluate(samples, about, task=engine.task, label_names=label_names)


def _since(started: str | None) -> float:
    """Seconds since a time."""
    return 0.0 if started is None else (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
