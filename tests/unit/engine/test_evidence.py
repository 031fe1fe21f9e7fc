"""The images that an artefact is calibrated with."""

from __future__ import annotations

import pytest

from drivetrain.engine.evidence import _shared


@pytest.mark.parametrize(
    ("small", "large", "most", "expected"),
    [(1, 7, 8, (1, 7)), (5, 90, 8, (4, 4)), (2, 3, 8, (2, 3)), (3, 9, 1, (0, 1)), (3, 9, 0, (0, 0))],
)
def test_what_a_small_subset_lacks_the_larger_adds(
    small: int, large: int, most: int, expected: tuple[int, int]
) -> None:
    chosen = _shared([[f"train{n}" for n in range(large)], [f"val{n}" for n in range(small)]], most)
    assert len(set(chosen)) == len(chosen)
    assert tuple(sum(path.startswith(part) for path in chosen) for part in ("val", "train")) == expected
