"""Recalibrating the threshold and scale of an anomaly model's scores after its graph was changed.

Quantising changes scores: the threshold and the range found by training no longer apply. The new scores of real
images are mapped to the old ones by a straight line, separately for images and pixels. If images of both kinds are
known and more of them are misclassified than before, the threshold for images is moved, too. The lines become part of
the graph, after its scores, so that every client uses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.machine.packages import openvino
from drivetrain.runtime.postprocess.anomaly import THRESHOLD
from drivetrain.runtime.postprocess.sensitivity import TAIL, to_levels
from drivetrain.types.options import NO_SHIFT

SCORE, MAP = "pred_score", "anomaly_map"
_DECIDED = {"pred_label": SCORE, "pred_mask": MAP}
_NEAR = 0.25
"""The distance from the threshold at which a level has half the weight."""
_FIRST, _WIDTH, _BINS = -1.0, 0.05, 80
"""The bins of the original levels: start and width; levels outside count in the outermost bins."""
_LEAST_SLOPE = 1e-3
_TINY = 1e-9
_CLOSEST = 2.0**-24


@dataclass(frozen=True, slots=True)
class Line:
    """``level * slope + offset``, from a level of the changed graph to one at which 0.5 is the threshold.

    Attributes:
        slope: positive.
        offset: of the result.
    """

    slope: float = 1.0
    offset: float = 0.0

    def shifted(self, by: float) -> Line:
        """The line with all results increased by this amount."""
        return Line(self.slope, self.offset + by)

    def of(self, levels: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """The new levels."""
        return levels * self.slope + self.offset


class Pairs:
    """Levels before and after a change, in bins of the original level, for fitting a line.

    Most pixels are far from the threshold, and the change adds noise to all of them. So each bin counts once, however
    many pixels it has, and the new level is fitted as a function of the original one, which has no noise.
    """

    def __init__(self) -> None:
        self._sums = np.zeros((3, _BINS))

    def add(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Add levels of the same images or pixels."""
        y, x = np.ravel(before).astype(np.float64), np.ravel(after).astype(np.float64)
        numbers = np.clip(((y - _FIRST) / _WIDTH).astype(np.int64), 0, _BINS - 1)
        for row, values in enumerate((np.ones_like(y), y, x)):
            self._sums[row] += np.bincount(numbers, weights=values, minlength=_BINS)

    def line(self) -> Line:
        """The least-squares line over the bins, weighting those near the threshold most."""
        count, *sums = self._sums[:, self._sums[0] > 0]
        if not len(count):
            return Line()
        y, x = (values / count for values in sums)
        weight = 1.0 / (1.0 + ((y - THRESHOLD) / _NEAR) ** 2)
        weight /= weight.sum()
        middle_y, middle_x = float(weight @ y), float(weight @ x)
        spread = float(weight @ (y - middle_y) ** 2)
        steepness = float(weight @ ((y - middle_y) * (x - middle_x))) / spread if spread > _TINY else 1.0
        if not _LEAST_SLOPE < steepness < 1 / _LEAST_SLOPE:
            steepness = 1.0
        return Line(1.0 / steepness, middle_y - middle_x / steepness)


def levels_of(scores: NDArray[Any], sensitivity: float) -> NDArray[np.float64]:
    """Scores of a graph as levels at which 0.5 is the threshold.

    Args:
        scores: in 0..1.
        sensitivity: the sensitivity of the graph.
    """
    return np.asarray(to_levels(scores.astype(np.float64)) - (sensitivity - NO_SHIFT), np.float64)


def moved_threshold(before: NDArray[np.float64], after: NDArray[np.float64], anomalous: Sequence[int]) -> float:
    """How much to move the levels of images to restore their F1; 0 if it has not dropped.

    Args:
        before: levels of images from the original graph.
        after: those from the changed one, on the same scale.
        anomalous: 1 for anomalous images, 0 for normal ones, -1 if unknown.
    """
    truth = np.asarray(anomalous)
    known = truth >= 0
    before, after, truth = before[known], after[known], truth[known]
    if _f1(after >= THRESHOLD, truth) >= _f1(before >= THRESHOLD, truth):
        return 0.0
    ordered = np.unique(after)
    places = [THRESHOLD, *((ordered[1:] + ordered[:-1]) / 2), ordered[0] - 1e-3]
    best = max(places, key=lambda place: (_f1(after >= place, truth), -abs(place - THRESHOLD)))
    return float(THRESHOLD - best)


def _f1(called: NDArray[np.bool_], truth: NDArray[Any]) -> float:
    hits = int((called & (truth == 1)).sum())
    return 2 * hits / max(int(called.sum()) + int((truth == 1).sum()), 1)


def recalibrate(model: Any, names: Sequence[str], image: Line, pixel: Line, sensitivity: tuple[float, float]) -> Any:
    """A graph whose scores, maps and decisions follow the lines.

    Args:
        model: an OpenVINO model with the outputs of an anomaly model; modified in place.
        names: the names of its outputs, in order.
        image: the line for the image score.
        pixel: the line for the map.
        sensitivity: the sensitivity of the graph for the image and for the pixels.
    """
    new: dict[str, Any] = {}
    for name, line, own in ((SCORE, image, sensitivity[0]), (MAP, pixel, sensitivity[1])):
        if name in names:
            new[name] = _on_line(_source(model, names, name), line, own - NO_SHIFT)
    ops = openvino().opset13
    for decision, name in _DECIDED.items():
        if decision in names and name in new:
            new[decision] = ops.greater_equal(new[name], ops.constant(np.float32(THRESHOLD)))
    for name, node in new.items():
        result = model.get_results()[names.index(name)]
        port = result.input_value(0)
        port.get_tensor().set_names(port.get_names() - {name})
        result.input(0).replace_source_output(node.output(0))
        node.output(0).set_names({name})
    model.validate_nodes_and_infer_types()
    return model


def _source(model: Any, names: Sequence[str], name: str) -> Any:
    return model.get_results()[names.index(name)].input_value(0)


def _on_line(scores: Any, line: Line, shift: float) -> Any:
    """Scores to levels, along the line, and back to scores; see :mod:`drivetrain.runtime.postprocess.sensitivity`."""
    ops = openvino().opset13

    def number(value: float) -> Any:
        return ops.constant(np.float32(value))

    def bent(part: Any) -> Any:
        """``TAIL / part - 1`` with the part within reach."""
        return ops.subtract(ops.divide(number(TAIL), ops.clamp(part, _CLOSEST, TAIL)), number(1))

    above, below = bent(ops.subtract(number(1), scores)), bent(scores)
    levels = ops.add(ops.clamp(scores, TAIL, 1 - TAIL), ops.multiply(ops.subtract(above, below), number(TAIL)))
    offset = line.offset - shift * line.slope + shift
    levels = ops.add(ops.multiply(levels, number(line.slope)), number(offset))

    def bend(over: Any) -> Any:
        """How far a level beyond the straight part exceeds it."""
        share = ops.add(ops.divide(ops.relu(over), number(TAIL)), number(1))
        return ops.subtract(number(TAIL), ops.divide(number(TAIL), share))

    up = bend(ops.subtract(levels, number(1 - TAIL)))
    down = bend(ops.subtract(number(TAIL), levels))
    return ops.clamp(ops.add(ops.clamp(levels, TAIL, 1 - TAIL), ops.subtract(up, down)), 0.0, 1.0)
