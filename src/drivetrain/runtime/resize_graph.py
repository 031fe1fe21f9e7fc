"""Crop, resize and padding as a graph over images of any size, for any runtime with these few operations.

The arithmetic is that of :mod:`drivetrain.runtime.preprocess`, step by step; the geometry is in integers, which are
unaffected by a device's reduced floating-point precision.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from drivetrain.runtime.resampling import (
    COLUMN_STEPS,
    CUBIC_STEPS,
    GROUP,
    PARTS,
    RADIUS,
    ROW_STEPS,
    cubic_table,
)
from drivetrain.types import ImageSpec
from drivetrain.types.image_spec import FRACTION_STEPS

Node = Any
"""A value in the runtime's graph; an integer or an array of integers is accepted too."""


class GraphOps(Protocol):
    """The operations that a runtime must provide; integers stay integers, and division rounds down."""

    def sizes(self, image: Node) -> tuple[Node, Node]:
        """Height and width of a ``(B, H, W, 3)`` value, as scalars."""

    def add(self, a: Node, b: Node) -> Node:
        """``a + b``."""

    def subtract(self, a: Node, b: Node) -> Node:
        """``a - b``."""

    def multiply(self, a: Node, b: Node) -> Node:
        """``a * b``."""

    def divide(self, a: Node, b: Node) -> Node:
        """``a / b`` of non-negative integers, rounded down."""

    def maximum(self, a: Node, b: Node) -> Node:
        """The larger of each pair."""

    def minimum(self, a: Node, b: Node) -> Node:
        """The smaller of each pair."""

    def absolute(self, a: Node) -> Node:
        """``|a|``."""

    def floor(self, a: Node) -> Node:
        """The integer part of floats, still as floats."""

    def round_to_even(self, a: Node) -> Node:
        """The nearest integers of floats, still as floats."""

    def to_float(self, a: Node) -> Node:
        """As float32."""

    def range(self, stop: Node) -> Node:
        """``0, 1, ... stop - 1``."""

    def gather(self, values: Node, indices: Node) -> Node:
        """Along axis 1."""

    def matmul(self, a: Node, b: Node) -> Node:
        """Matrix product of the last two axes, broadcast over the others."""

    def sum_last(self, a: Node) -> Node:
        """The sum over the last axis, which is kept."""

    def reshape(self, a: Node, shape: tuple[int, ...]) -> Node:
        """0 keeps the axis at that position, -1 takes the rest."""

    def transpose(self, a: Node, order: tuple[int, ...]) -> Node:
        """The axes in a different order."""


def resize_graph(ops: GraphOps, image: Node, spec: ImageSpec) -> Node:
    """``(B, H, W, 3) uint8`` of any size to ``(B, height, width, 3) float32`` with integers 0..255."""
    height, width = ops.sizes(image)
    crop = _crop(ops, height, width, spec)
    box = _letterbox(ops, height, width, spec)
    rows = _Axis(ops, spec, spec.height, source=crop[0], target=box[0])
    columns = _Axis(ops, spec, spec.width, source=crop[1], target=box[1])
    flat = ops.to_float(ops.reshape(image, (0, 0, -1)))
    parts = ops.round_to_even(rows.resample(flat, ROW_STEPS, np.float32(PARTS)))
    tall = ops.reshape(parts, (0, spec.height, -1, 3))
    turned = ops.reshape(ops.transpose(tall, (0, 2, 1, 3)), (0, 0, spec.height * 3))
    wide = ops.reshape(columns.resample(turned, COLUMN_STEPS, np.float32(1 / PARTS)), (0, spec.width, spec.height, 3))
    if spec.resize == "letterbox":
        inside = ops.multiply(
            ops.reshape(columns.inside(), (spec.width, 1, 1)), ops.reshape(rows.inside(), (1, spec.height, 1))
        )
        outside = ops.subtract(np.float32(1), ops.to_float(inside))
        wide = ops.add(wide, ops.multiply(outside, np.float32(spec.pad_value)))
    whole = ops.floor(ops.add(wide, np.float32(0.5)))
    clipped = ops.minimum(ops.maximum(whole, np.float32(0)), np.float32(255))
    return ops.transpose(clipped, (0, 2, 1, 3))


class _Axis:
    """One axis: from ``source`` = (first, length) of the image to ``target`` = (first, length) of the model input."""

    def __init__(
        self, ops: GraphOps, spec: ImageSpec, size: int, *, source: tuple[Node, Node], target: tuple[Node, Node]
    ) -> None:
        self.ops, self.spec, self.size = ops, spec, size
        self.first, self.length = source
        self.offset, self.target = target
        filtered = spec.antialias and spec.interpolation != "nearest"
        self.width = ops.maximum(self.length, self.target) if filtered else self.target

    def inside(self) -> Node:
        """1 where the image is and 0 where padding is, for each pixel of the model input."""
        ops, pixels = self.ops, np.arange(self.size)
        past = ops.add(ops.subtract(pixels, self.offset), 1)
        left = ops.subtract(ops.add(self.offset, self.target), pixels)
        return ops.maximum(ops.minimum(ops.minimum(past, left), 1), 0)

    def resample(self, values: Node, steps: int, scale: np.float32) -> Node:
        """``(B, n, M)`` to ``scale`` times ``(B, size, M)``; zero where padding is."""
        ops, groups = self.ops, -(-self.size // GROUP)
        last = ops.subtract(self.target, 1)
        pixels = np.minimum(np.arange(groups * GROUP), self.size - 1)
        outputs = ops.minimum(ops.maximum(ops.subtract(pixels, self.offset), 0), last)
        firsts = ops.minimum(ops.maximum(ops.subtract(pixels[::GROUP], self.offset), 0), last)
        taps = self._taps(firsts)
        centres = ops.multiply(ops.add(ops.multiply(outputs, 2), 1), self.length)
        distance = ops.subtract(
            ops.multiply(ops.add(ops.multiply(ops.reshape(taps, (groups, 1, -1)), 2), 1), self.target),
            ops.reshape(centres, (groups, GROUP, 1)),
        )
        weights = self._weights(self._filter(distance), steps, scale)
        if self.spec.resize == "letterbox":
            inside = ops.to_float(self.inside())
            padded = ops.gather(ops.reshape(inside, (1, self.size)), pixels)
            weights = ops.multiply(weights, ops.reshape(padded, (groups, GROUP, 1)))
        product = ops.matmul(weights, ops.gather(values, ops.add(taps, self.first)))
        rows = ops.reshape(product, (0, groups * GROUP, -1))
        return rows if groups * GROUP == self.size else ops.gather(rows, np.arange(self.size))

    def _weights(self, heights: Node, steps: int, scale: np.float32) -> Node:
        """Shares of the sum, rounded to integer multiples of ``scale / steps``, halves away from zero."""
        ops = self.ops
        total = ops.sum_last(heights)
        numerator = ops.add(ops.multiply(ops.absolute(heights), 2 * steps), total)
        whole = ops.divide(numerator, ops.multiply(total, 2))
        sign = ops.minimum(ops.maximum(heights, -1), 1)
        return ops.multiply(ops.to_float(ops.multiply(whole, sign)), scale / np.float32(steps))

    def _taps(self, firsts: Node) -> Node:
        """The source pixels of each group, ``(groups, K)``, relative to the crop."""
        ops = self.ops
        radius = ops.multiply(self.width, 2 * RADIUS[self.spec.interpolation])
        reach = ops.add(ops.multiply(self.length, GROUP), radius)
        count = ops.minimum(ops.add(ops.divide(reach, self.target), 4), self.length)
        nearest = ops.multiply(ops.add(ops.multiply(firsts, 2), 1), self.length)
        starts = ops.divide(ops.maximum(ops.subtract(nearest, radius), 0), ops.multiply(self.target, 2))
        starts = ops.minimum(ops.maximum(ops.subtract(starts, 1), 0), ops.subtract(self.length, count))
        return ops.add(ops.reshape(starts, (-1, 1)), ops.reshape(ops.range(count), (1, -1)))

    def _filter(self, distance: Node) -> Node:
        """The height of the filter, in integers."""
        ops = self.ops
        if self.spec.interpolation == "nearest":
            past = ops.add(distance, self.target)  # > 0
            left = ops.add(ops.subtract(self.target, distance), 1)  # > 0
            return ops.maximum(ops.minimum(ops.minimum(past, left), 1), 0)
        if self.spec.interpolation == "bilinear":
            return ops.maximum(ops.subtract(ops.multiply(self.width, 2), ops.absolute(distance)), 0)
        near = ops.minimum(ops.absolute(distance), ops.multiply(self.width, 4))
        rounded = ops.add(ops.multiply(near, CUBIC_STEPS), self.width)
        places = ops.divide(rounded, ops.multiply(self.width, 2))
        table = ops.reshape(cubic_table(self.spec.antialias), (1, -1))
        return ops.reshape(ops.gather(table, places), (-(-self.size // GROUP), GROUP, -1))


def _crop(ops: GraphOps, height: Node, width: Node, spec: ImageSpec) -> tuple[tuple[Node, Node], tuple[Node, Node]]:
    """:meth:`ImageSpec.crop_box` as (first, length) of the rows and of the columns."""
    if spec.resize != "crop":
        return (0, height), (0, width)
    fraction = round(spec.crop_fraction * FRACTION_STEPS)

    def part(length: Node) -> Node:
        rounded = ops.add(ops.multiply(length, 2 * fraction), FRACTION_STEPS)
        return ops.maximum(ops.divide(rounded, 2 * FRACTION_STEPS), 1)

    def other(length: Node, numerator: int, denominator: int, limit: Node) -> Node:
        rounded = ops.divide(ops.add(ops.multiply(length, 2 * numerator), denominator), 2 * denominator)
        return ops.minimum(ops.maximum(rounded, 1), limit)

    low = _not_larger(ops, ops.multiply(height, spec.width), ops.multiply(width, spec.height))
    by_height, by_width = part(height), part(width)
    rows = _choose(ops, low, by_height, other(by_width, spec.height, spec.width, height))
    columns = _choose(ops, low, other(by_height, spec.width, spec.height, width), by_width)
    return (
        (ops.divide(ops.subtract(height, rows), 2), rows),
        (ops.divide(ops.subtract(width, columns), 2), columns),
    )


def _letterbox(
    ops: GraphOps, height: Node, width: Node, spec: ImageSpec
) -> tuple[tuple[Node, Node], tuple[Node, Node]]:
    """:meth:`ImageSpec.letterbox_box` as (first, length) of the rows and of the columns."""
    if spec.resize != "letterbox":
        return (0, spec.height), (0, spec.width)

    def rounded(numerator: Node, denominator: Node) -> Node:
        """To the nearest integer, halves to even."""
        doubled = ops.multiply(denominator, 2)
        value = ops.add(ops.multiply(numerator, 2), denominator)
        quotient = ops.divide(value, doubled)
        rest = ops.subtract(value, ops.multiply(quotient, doubled))
        odd = ops.subtract(quotient, ops.multiply(ops.divide(quotient, 2), 2))
        halfway = ops.subtract(1, ops.minimum(rest, 1))
        return ops.maximum(ops.subtract(quotient, ops.multiply(odd, halfway)), 1)

    tall = _not_larger(ops, ops.multiply(width, spec.height), ops.multiply(height, spec.width))
    rows = _choose(ops, tall, spec.height, rounded(ops.multiply(height, spec.width), width))
    columns = _choose(ops, tall, rounded(ops.multiply(width, spec.height), height), spec.width)
    return (
        (ops.divide(ops.subtract(spec.height, rows), 2), rows),
        (ops.divide(ops.subtract(spec.width, columns), 2), columns),
    )


def _not_larger(ops: GraphOps, a: Node, b: Node) -> Node:
    """1 where ``a <= b``, else 0."""
    return ops.maximum(ops.minimum(ops.add(ops.subtract(b, a), 1), 1), 0)


def _choose(ops: GraphOps, condition: Node, yes: Node, no: Node) -> Node:
    """``yes`` where the condition is 1, ``no`` where it is 0."""
    return ops.add(no, ops.multiply(condition, ops.subtract(yes, no)))
