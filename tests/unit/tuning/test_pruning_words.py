"""The notes of a search in which pruning stops none or decides too early."""

from __future__ import annotations

import pytest

from drivetrain.tuning import SearchOptions


@pytest.mark.parametrize(
    ("pruner", "trials", "epochs", "said"),
    [
        ("halving", 4, 2, "by their first epoch alone"),
        ("halving", 20, 1, "each has only one epoch"),
        ("median", 4, 10, "starts after 4 trials"),
        ("halving", 20, 30, None),
        ("median", 20, 30, None),
        ("none", 4, 2, None),
        ("halving", 4, None, None),
    ],
)
def test_words(pruner: str, trials: int, epochs: int | None, said: str | None) -> None:
    found = SearchOptions(pruner=pruner, trials=trials).what_pruning_does(epochs)
    assert (said is None) == (found is None)
    assert said is None or said in (found or "")
