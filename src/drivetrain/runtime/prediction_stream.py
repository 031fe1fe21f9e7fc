"""Predictions that are made as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from drivetrain.types import Prediction


class PredictionStream(Iterator[Prediction]):
    """Predictions in the order of the images, made as they are asked for.

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

    def close(self) -> None:
        """Stop reading ahead."""
        close = getattr(self._results, "close", None)
        if close is not None:
            close()
