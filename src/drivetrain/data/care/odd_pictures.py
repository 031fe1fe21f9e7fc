"""Pictures that differ from the others at a glance: blank, dark, bright, grey, or of an unusual size or shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from drivetrain.data.care.neighbours import Neighbours
from drivetrain.data.care.pictures import Pictures
from drivetrain.types.data_findings import DataFinding

METHODS = {
    "odd pictures": "the brightness (blank: a standard deviation below 2; dark: 98 % of the picture below 48; "
    "bright: 98 % above 207), the saturation, and sizes and aspect ratios that few others have",
    "outliers": "mean distance to the 5 nearest pictures, against that of all pictures and of the neighbours",
}
_FLAT, _DARK, _BRIGHT, _GREY = 2.0, 48.0, 207.0, 3.0
_RARE = 0.05
_FEWEST = 20
_NEAR = 5
#: Robust standard deviations above the others, and the factor over the neighbours' distance.
_FAR, _FARTHER = 3.0, 1.3


def odd_pictures(paths: Sequence[str], subsets: Sequence[str], pictures: Pictures) -> Iterator[DataFinding]:
    """Yield a finding for each odd picture; a property that most pictures share is not odd."""
    readable = pictures.readable
    mean, spread, low, high, saturation = pictures.tones.T
    flat = readable & (spread < _FLAT)
    seen = readable & ~flat
    tests = (
        ("blank", flat, "Nothing can be seen on it: the brightness is {mean:.0f} everywhere (of 255)."),
        ("dark", seen & (high < _DARK), "98 % of it is darker than {high:.0f} of 255."),
        ("bright", seen & (low > _BRIGHT), "98 % of it is brighter than {low:.0f} of 255."),
        ("grey", seen & (saturation < _GREY), "It has no colours, unlike most others."),
    )
    for kind, odd, reason in tests:
        if kind != "blank" and odd.sum() > _RARE * readable.sum():
            continue
        for row in np.flatnonzero(odd).tolist():
            yield DataFinding(
                kind, reason.format(mean=mean[row], low=low[row], high=high[row]), paths[row], subsets[row]
            )
    yield from _odd_sizes(paths, subsets, pictures, readable)


def _odd_sizes(
    paths: Sequence[str], subsets: Sequence[str], pictures: Pictures, readable: NDArray[np.bool_]
) -> Iterator[DataFinding]:
    rows = np.flatnonzero(readable)
    if len(rows) < _FEWEST:
        return
    heights, widths = pictures.sizes[rows].astype(np.float64).T
    scales = (("odd_size", np.log(heights * widths), 4.0), ("odd_aspect", np.log(widths / heights), 1.5))
    for kind, values, factor in scales:
        middle = np.median(values)
        width = 1.4826 * np.median(np.abs(values - middle))
        odd = np.abs(values - middle) > np.maximum(_FAR * width, np.log(factor))
        if odd.sum() > _RARE * len(rows):
            continue
        usual = np.argsort(np.abs(values - middle))[0]
        for index in np.flatnonzero(odd).tolist():
            reason = (
                f"It is {widths[index]:.0f} x {heights[index]:.0f} pixels; usual is about "
                f"{widths[usual]:.0f} x {heights[usual]:.0f} (width x height)."
            )
            yield DataFinding(kind, reason, paths[rows[index]], subsets[rows[index]])


def outliers(
    paths: Sequence[str], subsets: Sequence[str], rows: NDArray[np.int64], neighbours: Neighbours
) -> Iterator[DataFinding]:
    """Yield pictures that are far from all others.

    Args:
        paths: of all images.
        subsets: of all images.
        rows: the images that the neighbours belong to.
        neighbours: the nearest neighbours of these images.
    """
    if len(rows) < _FEWEST:
        return
    near = neighbours.distances[:, :_NEAR].mean(axis=1)
    values = np.log(np.maximum(near, 1e-6))
    middle = np.median(values)
    width = max(1.4826 * float(np.median(np.abs(values - middle))), 0.05)
    deviation = (values - middle) / width
    against = near / np.maximum(near[neighbours.rows[:, :_NEAR]].mean(axis=1), 1e-6)
    for index in np.flatnonzero((deviation > _FAR) & (against > _FARTHER)).tolist():
        reason = (
            f"It is {np.exp(values[index] - middle):.1f} times as far from its nearest neighbours as the others are; "
            f"the nearest is {paths[rows[neighbours.rows[index, 0]]]}."
        )
        score = float(1 - np.exp(middle - values[index]))
        nearest = (paths[rows[neighbours.rows[index, 0]]],)
        yield DataFinding("outlier", reason, paths[rows[index]], subsets[rows[index]], score, others=nearest)
