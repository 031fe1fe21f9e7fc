"""What a model makes of images before it decides: a row of numbers for each, near each other where images are alike."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import OptionError

_BLOCK = 16_000_000  # similarities at a time


class Embeddings:
    """A row of numbers for each image, in the order of the images.

    Args:
        paths: of the images (``""`` for arrays, ``video.mp4#12`` for frame 12 of a video).
        vectors: ``(N, D) float32``.
        skipped: ``(path, reason)`` of each image that could not be read.

    Attributes:
        paths: of the images.
        vectors: ``(N, D) float32``.
        skipped: ``(path, reason)`` of each image that could not be read.
    """

    def __init__(
        self, paths: Sequence[str], vectors: NDArray[np.float32], *, skipped: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.paths, self.skipped = tuple(paths), tuple(skipped)
        self.vectors: NDArray[np.float32] = np.ascontiguousarray(vectors, np.float32)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        images = "1 image" if len(self) == 1 else f"{len(self)} images"
        skipped = f"; {len(self.skipped)} skipped" if self.skipped else ""
        return f"Embeddings({images}, {self.size} numbers each{skipped})"

    @property
    def size(self) -> int:
        """How many numbers each image has."""
        return int(self.vectors.shape[1])

    def neighbours(self, count: int = 5) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The images that are most alike each image, itself left out.

        Args:
            count: how many; fewer if there are no more.

        Returns:
            ``(N, count) int64`` their places, the most alike first, and ``(N, count) float32`` the cosine of the angle
            between the rows, 1 for the same direction.

        Raises:
            OptionError: ``count`` is below 1.
        """
        return self._alike(self.vectors, count, itself=True)

    def nearest(self, query: NDArray[np.float32] | Embeddings, count: int = 5) -> list[list[tuple[str, float]]]:
        """The images that are most alike others.

        Args:
            query: ``(D,)`` or ``(M, D)``, or embeddings by the same model.
            count: how many for each.

        Returns:
            For each of the others ``(path, cosine)``, the most alike first.

        Raises:
            OptionError: ``count`` is below 1, or the rows have another length.
        """
        rows = np.atleast_2d(query.vectors if isinstance(query, Embeddings) else np.asarray(query, np.float32))
        if rows.shape[1] != self.size:
            raise OptionError(f"query has {rows.shape[1]} numbers in a row, and these embeddings have {self.size}.")
        places, cosines = self._alike(rows, count, itself=False)
        return [
            [(self.paths[place], float(cosine)) for place, cosine in zip(*pair, strict=True)]
            for pair in zip(places.tolist(), cosines.tolist(), strict=True)
        ]

    def _alike(
        self, rows: NDArray[np.float32], count: int, *, itself: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if count < 1:
            raise OptionError(f"count={count} must be at least 1.")
        count = min(count, len(self) - itself)
        mine, others = _directions(self.vectors), _directions(rows)
        places = np.zeros((len(rows), count), np.int64)
        cosines = np.zeros((len(rows), count), np.float32)
        step = max(1, _BLOCK // max(1, len(self)))
        for start in range(0, len(rows) if count else 0, step):
            found = others[start : start + step] @ mine.T
            if itself:
                found[np.arange(len(found)), np.arange(start, start + len(found))] = -np.inf
            order = np.argsort(-found, axis=1, kind="stable")[:, :count]
            places[start : start + step] = order
            cosines[start : start + step] = np.take_along_axis(found, order, axis=1)
        return places, cosines

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: every number of every image."""
        rows = zip(self.paths, self.vectors.tolist(), strict=True)
        return {
            "size": self.size,
            "embeddings": [{"path": path, "vector": vector} for path, vector in rows],
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
        }

    def save(self, path: str | Path) -> Path:
        """Write paths and numbers into one file, which is replaced if it is there.

        Args:
            path: a ``.npz`` file (``paths`` and ``vectors``), or a ``.parquet`` file with the columns ``path`` and
                ``vector``.

        Returns:
            The file.

        Raises:
            OptionError: the suffix is another.
            StorageError: it cannot be written.
        """
        made = importlib.import_module("drivetrain.data.save_embeddings")
        saved: Path = made.save_embeddings(self, path)
        return saved


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
