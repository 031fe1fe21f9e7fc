"""Keep Anomalib's choice of a coreset within steady memory, with the same outcome."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from anomalib.models.components import KCenterGreedy


@contextlib.contextmanager
def steady_coreset() -> Iterator[None]:
    """While it is open, memory banks are thinned out without new memory in every step.

    Anomalib allocates a copy of all features for each chosen one; the allocator of the C library keeps them apart, and
    the process grows to many gigabytes. Here the copy is written into one buffer; the arithmetic is the same.
    """
    with mock.patch.object(KCenterGreedy, "update_distances", _update_distances):
        yield


def _update_distances(self: Any, cluster_center: Any) -> None:
    """Lower the distance of each feature to its nearest centre by a new centre."""
    if cluster_center is None:
        return
    features: torch.Tensor = self.features
    center = features[cluster_center].squeeze()
    buffer = getattr(self, "_drivetrain_buffer", None)
    if buffer is None or buffer.shape != features.shape:
        buffer = self._drivetrain_buffer = torch.empty_like(features)
        self._drivetrain_distances = features.new_empty((features.shape[0], 1))
    distances: torch.Tensor = self._drivetrain_distances
    torch.sub(features, center, out=buffer)
    torch.linalg.vector_norm(buffer, ord=2, dim=1, keepdim=True, out=distances)
    if self.min_distances is None:
        self.min_distances = distances.clone()
    else:
        torch.minimum(self.min_distances, distances, out=self.min_distances)
