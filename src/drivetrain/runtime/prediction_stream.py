"""Predictions that are made as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

from drivetrain.types import Prediction


class PredictionStream(Iterator[Prediction]):
    """Predictions in the order of the images, made as they are asked for; in a coroutine by ``async for``.

    Attributes:
        skipped: ``(path, reason)`` of the images so far that could not be read.
    """

    def __init__(self, results: Iterator[Prediction | tuple[str, str]]) -> None:
        self._results = results
        self.skipped: list[tuple[str, str]] = []

    def __next__(self) -> Prediction:
        for result in self._results:
            if isinstance(result, Prediction):
                return result
            self.skipped.append(result)
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Prediction:
        """The next one; it is waited for in a thread, so that the event loop goes on."""
        import asyncio

        found = await asyncio.to_thread(next, self, None)
        if found is None:
            raise StopAsyncIteration
        return found

    def for_each(self, callback: Callable[[Prediction], Any]) -> int:
        """Call a function with each prediction as soon as it is ready, until there is no further one.

        Args:
            callback: what it returns is not looked at; where it raises, reading ahead is stopped.

        Returns:
            How many there were.
        """
        count = 0
        try:
            for item in self:
                callback(item)
                count += 1
        finally:
            self.close()
        return count

    def close(self) -> None:
        """Stop reading ahead."""
        close = getattr(self._results, "close", None)
        if close is not None:
            close()
