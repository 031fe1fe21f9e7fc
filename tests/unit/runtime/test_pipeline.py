"""The ordered pipeline: order, bounds, failures and an early end."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from drivetrain.images.threads import run_ordered


class Holding:
    """Holds two items back, as a worker with work in a device does."""

    def __init__(self, slow: bool = False) -> None:
        self.held: list[tuple[int, int]] = []
        self.slow = slow

    def submit(self, number: int, item: int) -> Iterable[tuple[int, int]]:
        if self.slow:
            time.sleep(random.random() * 0.003)
        if item < 0:
            raise RuntimeError(f"item {item}")
        self.held.append((number, item * 10))
        if len(self.held) > 2:
            yield self.held.pop(0)

    def drain(self) -> Iterable[tuple[int, int]]:
        while self.held:
            yield self.held.pop(0)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("window", [1, 3, 100])
def test_results_come_in_the_order_of_the_items(workers: int, window: int) -> None:
    results = run_ordered(range(60), lambda: Holding(slow=True), workers=workers, window=window)
    assert list(results) == [10 * item for item in range(60)]


def test_no_more_items_are_taken_than_the_window_allows() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = run_ordered(items(), Holding, workers=3, window=6)
    for done in range(1, 50):
        next(results)
        assert len(taken) <= done + 6
    results.close()


def test_closing_ends_the_threads_and_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    before = threading.active_count()
    results = run_ordered(items(), Holding, workers=4, window=8)
    assert next(results) == 0
    assert threading.active_count() == before + 4
    results.close()
    assert threading.active_count() == before
    assert closed.is_set()


def test_a_failing_worker_is_heard_even_if_it_held_items_back() -> None:
    with pytest.raises(RuntimeError, match="item -1"):
        list(run_ordered([1, 2, -1, 4, 5], Holding, workers=2, window=8))


def test_failing_items_are_heard_after_the_results_before_them() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("source broke")

    results = run_ordered(items(), Holding, workers=2, window=8)
    assert [next(results), next(results)] == [10, 20]
    with pytest.raises(ValueError, match="source broke"):
        next(results)


def test_a_worker_that_cannot_be_made_is_heard() -> None:
    def broken() -> Holding:
        raise OSError("no device")

    with pytest.raises(OSError, match="no device"):
        list(run_ordered([1], broken, workers=2, window=2))


def test_nothing_gives_nothing() -> None:
    assert list(run_ordered([], Holding, workers=2, window=2)) == []


def test_of_several_failing_items_the_first_is_heard() -> None:
    for _ in range(20):
        with pytest.raises(RuntimeError, match="item -1"):
            list(run_ordered([1, 2, -1, 4, -2, -3, 5], Holding, workers=4, window=8))
