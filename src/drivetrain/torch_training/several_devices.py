"""Training by Lightning on several devices: how many there are, and the arguments of its trainer."""

# ruff: noqa: TID253  (loaded by the engines on PyTorch only)
from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from drivetrain.errors import OptionError
from drivetrain.launch.ranks import Group, Ranks
from drivetrain.machine.device import choose_device
from drivetrain.machine.resources import core_count
from drivetrain.torch_training.process import own_randomness
from drivetrain.torch_training.rank_group import joined, losses_said, rank_and_size
from drivetrain.types.options import TrainOptions


class OnSeveralDevices:
    """The hooks of a framework that trains on several devices by Lightning's own strategy."""

    several_devices = True
    setup: Any

    def device_count(self, options: TrainOptions) -> int:
        """How many devices of this machine the options ask for.

        Raises:
            OptionError: there are not as many.
        """
        return count_devices(self.setup.device, options.devices)

    def join(self, ranks: Ranks) -> AbstractContextManager[Group]:
        """Connect this process with the others of the training."""
        return joined(ranks, choose_device(self.setup.device).partition(":")[0])


def count_devices(device: str, devices: int | Sequence[int]) -> int:
    """How many devices of this machine are asked for: accelerators, or processes on the CPU.

    Args:
        device: as given to the engine.
        devices: a number, -1 for all, or the numbers of accelerators.

    Raises:
        OptionError: there are not as many, or they contradict ``device``.
    """
    kind, _, number = choose_device(device).partition(":")
    there = {"cuda": torch.cuda.device_count, "xpu": lambda: torch.xpu.device_count()}.get(kind, lambda: 1)()
    if kind == "cpu":
        there = core_count()
    if not isinstance(devices, int):
        if len(devices) == 1:
            return 1
        if kind == "cpu":
            raise OptionError(f"devices={devices!r}: the cores of the CPU have no numbers. Give how many, such as 2.")
        wrong = [item for item in devices if item >= there]
        if wrong or len(set(devices)) < len(devices):
            raise OptionError(f"devices={devices!r}: this machine has {there} of {kind}, numbered from 0, each once.")
        return len(devices)
    if devices == -1:
        return 1 if number or kind == "cpu" else there
    if devices == 1:
        return 1
    if number and kind != "cpu":
        raise OptionError(f"devices={devices!r} contradicts device={device!r}; leave out one of them.")
    if devices > there:
        what = f"{there} {'core' if there == 1 else 'cores'}" if kind == "cpu" else f"{there} of {kind}"
        raise OptionError(f"devices={devices!r}: this machine has {what}. Give at most {there}.")
    return devices


@contextmanager
def randomness_of_rank(seed: int) -> Iterator[None]:
    """As :func:`~drivetrain.torch_training.process.own_randomness`, with a seed of its own for each process.

    Raises:
        DrivetrainError: another process of the training has ended.
    """
    with own_randomness(seed + rank_and_size()[0]), losses_said():
        yield


def batch_part(batch_size: int) -> int:
    """The images of each device in a step of ``batch_size`` images over all of them.

    Raises:
        OptionError: they cannot be shared evenly.
    """
    _, size = rank_and_size()
    if batch_size % size:
        raise OptionError(
            f"batch_size={batch_size} is the number of images per step over all devices, and {size} devices cannot "
            f"share it evenly. Give a multiple of {size}."
        )
    return batch_size // size


def usual_batch(batch_size: int) -> int:
    """The default batch size, such that all devices have the same part of it."""
    _, size = rank_and_size()
    return max(1, batch_size // size) * size


def trainer_arguments(package: str, ranks: Ranks, place: Mapping[str, Any], *, unused: bool) -> dict[str, Any]:
    """The arguments of Lightning's trainer in a process that is one of several.

    Args:
        package: ``"lightning.pytorch"`` or ``"pytorch_lightning"``.
        ranks: the place of this process.
        place: the accelerator and the devices of the trainer.
        unused: whether the model may leave parameters without a gradient in a step.
    """
    environment = importlib.import_module(f"{package}.plugins.environments").TorchElasticEnvironment()
    strategy = importlib.import_module(f"{package}.strategies").DDPStrategy
    chosen = place["devices"]
    return {
        "devices": chosen if isinstance(chosen, list) else ranks.local_size,
        "num_nodes": ranks.nodes,
        "strategy": strategy(cluster_environment=environment, find_unused_parameters=unused),
        "sync_batchnorm": place["accelerator"] != "cpu",  # PyTorch has none for the CPU
    }


def image_count(loader: Any) -> int | None:
    """How many images a loader has over all processes; ``None`` if it does not say."""
    counted: Any = getattr(getattr(loader, "data", None), "paths", None)
    if counted is None:
        counted = getattr(loader, "dataset", None)
    return len(counted) if hasattr(counted, "__len__") else None
