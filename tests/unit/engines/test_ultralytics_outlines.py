"""Outlines of masks, as Ultralytics fills them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from drivetrain.engines.ultralytics.containment import ultralytics
from drivetrain.engines.ultralytics.outlines import trace

SIDE = 100


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIVETRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _shapes() -> Iterator[NDArray[np.bool_]]:
    """Discs, upright boxes and rotated boxes of 8 to 60 pixels, none of them aligned with the pixels."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for size in range(8, 61, 4):
        across, down = random.uniform(47, 53, 2)
        angle = random.uniform(0, np.pi)
        u, v = x - across, y - down
        yield u**2 + v**2 < (size / 2) ** 2
        yield (abs(u) < size / 2) & (abs(v) < size / 3)
        along, beside = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
        yield (abs(along) < size / 2) & (abs(beside) < size / 4)


def _filled(mask: NDArray[np.bool_], scale: int) -> NDArray[np.bool_]:
    """The mask at ``scale`` times its size, as Ultralytics makes it from an outline in 0..1: resampled, then filled."""
    ultralytics()
    from ultralytics.data.utils import polygon2mask
    from ultralytics.utils.ops import resample_segments

    (outline,) = trace(mask)
    points = resample_segments([(outline / SIDE).astype(np.float32)], 1000)[0] * np.float32(SIDE * scale)
    return np.asarray(polygon2mask((SIDE * scale, SIDE * scale), [points.reshape(-1)]), np.bool_)


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_ultralytics_fills_an_outline_to_the_mask_that_it_was_traced_from(scale: int) -> None:
    """At the size of the mask and in larger images, where half a pixel of the mask is several pixels."""
    overlaps, areas = [], []
    for mask in _shapes():
        expected = mask.repeat(scale, axis=0).repeat(scale, axis=1)
        filled = _filled(mask, scale)
        overlaps.append((filled & expected).sum() / (filled | expected).sum())
        areas.append(filled.sum() / expected.sum() - 1)
    assert min(overlaps) >= 0.99
    assert abs(np.mean(areas)) < 0.001


def test_an_outline_has_the_extent_of_the_mask() -> None:
    """Ultralytics recomputes the boxes of objects from their outlines during augmentation."""
    for mask in _shapes():
        (outline,) = trace(mask)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        np.testing.assert_allclose(outline.min(axis=0), [columns[0], rows[0]], atol=0.01)
        np.testing.assert_allclose(outline.max(axis=0), [columns[-1] + 1, rows[-1] + 1], atol=0.01)


def test_each_part_has_its_outline() -> None:
    mask = np.zeros((6, 6), np.bool_)
    assert trace(mask) == []
    mask[0, 0] = mask[3:6, 3:6] = True
    parts = sorted(trace(mask), key=len)
    assert [len(part) for part in parts] == [4, 4]
    assert sorted(round(float(np.ptp(part[:, 0]) * np.ptp(part[:, 1]))) for part in parts) == [1, 9]
