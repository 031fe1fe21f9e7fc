"""The processes of a training on several devices, connected by torch.distributed."""

# ruff: noqa: TID253  (loaded by the engines on PyTorch only)
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from drivetrain.errors import DrivetrainError
from drivetrain.launch.ranks import LOST, Group, Ranks

_BACKENDS = {"cuda": "cpu:gloo,cuda:nccl", "xpu": "cpu:gloo,xpu:xccl"}
#: How the back ends say that the connection to another process broke.
_BROKEN = ("gloo", "nccl", "connection closed by peer", "connection reset", "broken pipe", "socket timeout")
Item = TypeVar("Item")


class RankGroup:
    """All processes of a training.

    Args:
        ranks: the place of this one.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def share(self, make: Callable[[], Any] | None) -> Any:
        """The value that rank 0 makes, in every rank.

        Args:
            make: makes it; used in rank 0 only.

        Raises:
            DrivetrainError: rank 0 failed to make it; in rank 0 the error itself.
        """
        box: list[Any] = [None]
        failed: BaseException | None = None
        if self.ranks.leads and make is not None:
            try:
                box = [(True, make())]
            except Exception as error:
                failed, box = error, [(False, str(error))]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        if failed is not None:
            raise failed
        good, value = box[0]
        if not good:
            raise DrivetrainError(f"{self.ranks} {LOST}: rank 0 failed: {value}")
        return value

    def gather(self, value: Any) -> list[Any]:
        """The value of each rank, in their order."""
        return _gather(value)


@contextmanager
def joined(ranks: Ranks, kind: str) -> Iterator[Group]:
    """Within the block, the processes of the training are connected.

    Args:
        ranks: the place of this process.
        kind: the device that it computes on: "cpu", "cuda", "xpu".

    Raises:
        DrivetrainError: the processes do not find each other, or another one ended during the training.
    """
    with losses_said():
        dist.init_process_group(_BACKENDS.get(kind, "gloo"))
        yield RankGroup(ranks)
        dist.destroy_process_group()


@contextmanager
def losses_said() -> Iterator[None]:
    """Turn what a back end says when another process has ended into an error that says so.

    Raises:
        DrivetrainError: another process of the training has ended.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if isinstance(error, DrivetrainError) or not any(part in text.lower() for part in _BROKEN):
            raise
        who, said = Ranks.here() or "this process", " ".join(text.split())[:200]
        raise DrivetrainError(
            f"{who} {LOST}: one of them has ended ({said}). Its own message says why; to continue from the last state: "
            "resume=True."
        ) from error


def rank_and_size() -> tuple[int, int]:
    """The place of this process in the group that it has joined; ``(0, 1)`` without one."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def in_order(items: Sequence[Item], count: int | None) -> list[Item]:
    """The items of all ranks in the order that one process would have, without those that fill up the last ranks.

    Args:
        items: those of this rank, which has every ``size``-th.
        count: how many there are in all; ``None`` if unknown.
    """
    _, size = rank_and_size()
    if size == 1:
        return list(items)
    parts = _gather(list(items))
    longest = max(map(len, parts))
    merged = [part[place] for place in range(longest) for part in parts if place < len(part)]
    return merged if count is None else merged[:count]


def _gather(value: Any) -> list[Any]:
    _, size = rank_and_size()
    found: list[Any] = [None] * size
    dist.all_gather_object(found, value)
    return found
