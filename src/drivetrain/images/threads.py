"""Process a series of items in several threads, with results in the order of the items and bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
ItemIn = TypeVar("ItemIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)


class ThreadWorker(Protocol[ItemIn, ResultOut]):
    """What one thread does; it may hold back items in order to overlap their work."""

    def submit(self, number: int, item: ItemIn) -> Iterable[tuple[int, ResultOut]]:
        """Start an item; return the results that are ready, with the numbers of their items."""

    def drain(self) -> Iterable[tuple[int, ResultOut]]:
        """Finish the items that were held back."""


def run_ordered(
    items: Iterable[Item], make_worker: Callable[[], ThreadWorker[Item, Result]], *, workers: int, window: int
) -> Iterator[Result]:
    """Run the workers over the items.

    Items are fetched one after another, by one thread at a time. An exception from the items or from a worker is raised
    in place of the corresponding result. When the iterator is closed, the threads end.

    Args:
        items: the items to process.
        make_worker: called once in each thread.
        workers: number of threads.
        window: the maximum number of results and items in progress at any time.
    """
    state: _State[Item, Result] = _State(items, window, workers)
    threads = [
        threading.Thread(target=_work, args=(state, make_worker), name=f"drivetrain-{number}", daemon=True)
        for number in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield from state.results()
    finally:
        state.stop()
        for thread in threads:
            thread.join()
        state.close_items()


class _State(Generic[Item, Result]):
    def __init__(self, items: Iterable[Item], window: int, workers: int) -> None:
        self._items = iter(items)
        self._taking = threading.Lock()
        self._slots = threading.Semaphore(window)
        self._changed = threading.Condition()
        self._ready: dict[int, Result | _Failure] = {}
        self._failure: BaseException | None = None
        self._workers = self._at_work = workers
        self._taken = 0
        self._ended = False

    def slot(self, *, wait: bool) -> bool:
        return self._slots.acquire(blocking=wait)

    def take(self) -> tuple[int, Item] | None:
        with self._taking:
            if self._ended:
                return None
            number = self._taken
            try:
                item = next(self._items)
            except StopIteration:
                self._end()
                return None
            except BaseException as error:  # re-raised for the consumer
                self._taken += 1
                self.put(number, _Failure(error))
                self._end()
                return None
            self._taken += 1
            return number, item

    def put(self, number: int, result: Result | _Failure) -> None:
        with self._changed:
            self._ready[number] = result
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """A worker failed: the items it held back may never be ready; the other workers finish theirs."""
        with self._changed:
            self._failure = self._failure or error
        self.stop()

    def leave(self) -> None:
        """A worker has finished."""
        with self._changed:
            self._at_work -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Take no more items, and wake the workers that are waiting for room."""
        self._end()
        self._slots.release(self._workers)

    def close_items(self) -> None:
        close = getattr(self._items, "close", None)
        if callable(close):
            close()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def results(self) -> Iterator[Result]:
        number = 0
        while True:
            with self._changed:
                while number not in self._ready:
                    if self._failure is not None and self._at_work == 0:
                        raise self._failure
                    if self._ended and number >= self._taken:
                        return
                    if self._at_work == 0:
                        raise next(kept.error for kept in self._ready.values() if isinstance(kept, _Failure))
                    self._changed.wait()
                result = self._ready.pop(number)
            if isinstance(result, _Failure):
                raise result.error
            self._slots.release()
            yield result
            number += 1


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def _work(state: _State[Item, Result], make_worker: Callable[[], ThreadWorker[Item, Result]]) -> None:
    """The loop of one thread: take, submit, hand over; finish held-back items before waiting for anything."""
    try:
        worker = make_worker()
        while True:
            if not state.slot(wait=False):
                _hand_over(state, worker.drain())
                state.slot(wait=True)
            taken = state.take()
            if taken is None:
                break
            try:
                _hand_over(state, worker.submit(*taken))
            except BaseException as error:  # raised for the consumer in order, after the earlier results
                state.put(taken[0], _Failure(error))
                state.stop()
                break
        _hand_over(state, worker.drain())
    except BaseException as error:  # re-raised for the consumer
        state.fail(error)
    finally:
        state.leave()


def _hand_over(state: _State[Item, Result], results: Iterable[tuple[int, Result]]) -> None:
    for number, result in results:
        state.put(number, result)
