"""Keeping Anomalib's memory banks within the available memory, with the same results."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from anomalib.data import InferenceBatch
from anomalib.models.components import KCenterGreedy
from anomalib.models.image.anomaly_dino.torch_model import AnomalyDINOModel
from anomalib.models.image.patchcore.torch_model import DEFAULT_CHUNK_SIZE, PatchcoreModel

from drivetrain.machine.resources import available_memory

_SHARE = 4
"""Distances may use a quarter of the remaining memory."""
_COPIES = 3
"""How many copies of a distance matrix exist at a time."""
_BUFFER = 2**20
"""Bytes of differences that are processed together while a bank is subsampled; they stay in the cache."""


@contextlib.contextmanager
def within_memory() -> Iterator[None]:
    """Within the block, compare features with memory banks in pieces that fit into free memory.

    Anomalib compares a fixed number of features at a time with the whole bank, however large it is, and subsamples a
    bank with a new copy of all features for each selected one. Here only the pieces differ; the arithmetic is the
    same.
    """
    _IN_PIECES.begin()
    try:
        yield
    finally:
        _IN_PIECES.end()


class Replacement:
    """Replaces methods of classes while at least one user needs it, in any thread, and restores them afterwards.

    Args:
        methods: ``(class, name, function)`` for each method.
    """

    def __init__(self, methods: Sequence[tuple[type, str, Callable[..., Any]]]) -> None:
        self._methods = methods
        self._lock = threading.Lock()
        self._wanted = 0
        self._before: list[Any] = []

    def begin(self) -> None:
        """Install the replacements, unless they are already installed."""
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                self._before = [vars(cls)[name] for cls, name, _ in self._methods]
                for cls, name, function in self._methods:
                    setattr(cls, name, function)

    def end(self) -> None:
        """Restore the originals, if nobody else needs the replacements."""
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0:
                for (cls, name, _), function in zip(self._methods, self._before, strict=True):
                    setattr(cls, name, function)


def rows_at_once(bank_rows: int, most: int) -> int:
    """How many features may be compared with a bank at a time.

    Args:
        bank_rows: features in the bank.
        most: the number of features to compare if there is memory for all.
    """
    return max(1, min(most, available_memory() // _SHARE // (4 * _COPIES * max(1, bank_rows))))


def _nearest_neighbors(self: Any, embedding: torch.Tensor, n_neighbors: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The distances ``(n, k)`` of Patchcore's features to the nearest ones in its bank, and the indices of those."""
    found = []
    for part in embedding.split(rows_at_once(len(self.memory_bank), DEFAULT_CHUNK_SIZE)):
        distances = self.euclidean_dist(part, self.memory_bank)
        nearest = distances.min(1) if n_neighbors == 1 else distances.topk(k=n_neighbors, largest=False, dim=1)
        found.append(tuple(nearest))
        del distances
    scores, places = zip(*found, strict=True)
    return torch.cat(scores), torch.cat(places)


def _by_images(forward: Callable[[Any, torch.Tensor], Any]) -> Callable[[Any, torch.Tensor], Any]:
    """AnomalyDINO's forward pass on as many images at a time as there is room for their distances."""

    def in_pieces(self: Any, images: torch.Tensor) -> Any:
        patches = max(1, (images.shape[-2] // self.patch_size) * (images.shape[-1] // self.patch_size))
        count = max(1, rows_at_once(len(self.memory_bank), len(images) * patches) // patches)
        if self.training or count >= len(images):
            return forward(self, images)
        answers = [forward(self, part) for part in images.split(count)]
        return InferenceBatch(
            pred_score=torch.cat([answer.pred_score for answer in answers]),
            anomaly_map=torch.cat([answer.anomaly_map for answer in answers]),
        )

    return in_pieces


def _update_distances(self: Any, cluster_center: Any) -> None:
    """Update the distance of each feature to its nearest centre with a new centre."""
    if cluster_center is None:
        return
    features: torch.Tensor = self.features
    center = features[cluster_center].squeeze()
    distances = getattr(self, "_drivetrain_distances", None)
    if distances is None or len(distances) != len(features):
        distances = self._drivetrain_distances = features.new_empty((len(features), 1))
        rows = max(1, _BUFFER // (features.element_size() * features.shape[1]))
        self._drivetrain_buffer = features.new_empty((min(rows, len(features)), features.shape[1]))
    buffer: torch.Tensor = self._drivetrain_buffer
    for part, out in zip(features.split(len(buffer)), distances.split(len(buffer)), strict=True):
        room = buffer[: len(part)]
        torch.sub(part, center, out=room)
        torch.linalg.vector_norm(room, ord=2, dim=1, keepdim=True, out=out)
    if self.min_distances is None:
        self.min_distances = distances.clone()
    else:
        torch.minimum(self.min_distances, distances, out=self.min_distances)


_IN_PIECES = Replacement(
    [
        (KCenterGreedy, "update_distances", _update_distances),
        (PatchcoreModel, "nearest_neighbors", _nearest_neighbors),
        (AnomalyDINOModel, "forward", _by_images(AnomalyDINOModel.forward)),
    ]
)
