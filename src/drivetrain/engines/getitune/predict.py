"""Prediction with getitune's models, through the same module and decoder as the artefact."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from drivetrain.engines.getitune.build import image_spec, names_of, task_of
from drivetrain.engines.getitune.side_effects import contained
from drivetrain.torch_training.deployed import DeployedNetwork, infer_deployed
from drivetrain.torch_training.look_inside import Images
from drivetrain.types import ImageSpec, Prediction, Task

_BATCH_SIZE = 8


class ExportedOutputs(torch.nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
    """The model as getitune itself exports it: images to a tuple of tensors.

    Args:
        model: getitune's model; it is not changed.
        names: the outputs to return, if it gives them by name.
    """

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs, in the order of the names."""
        found = self.model.forward_for_tracing(images)
        if isinstance(found, Mapping):
            return tuple(found[name] for name in self.names)
        values = found if isinstance(found, tuple | list) else (found,)
        return tuple(values[: len(self.names)])


def detached(module: Any) -> Any:
    """A copy of a model on the CPU, ready to predict, without its trainer."""
    trainer, module.trainer = getattr(module, "_trainer", None), None
    try:
        with contained(), torch.no_grad():
            return copy.deepcopy(module).cpu().float().eval().requires_grad_(False)
    finally:
        module.trainer = trainer


def deploy(module: Any, spec: ImageSpec | None = None) -> DeployedNetwork:
    """A copy of the model as getitune exports it, with the decoder of its outputs.

    Args:
        module: getitune's model.
        spec: how an image becomes its input; ``None`` to take it from the model.
    """
    task, names = task_of(module), names_of(module)
    decoder, arguments, outputs = decoding(task)
    network = ExportedOutputs(detached(module), outputs)
    return DeployedNetwork(network, spec or image_spec(module), task, names, decoder, arguments, outputs)


def decoding(task: Task) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """The decoder of a task, its arguments, and the outputs of the model."""
    if task is Task.CLASSIFICATION:
        return "classification", {}, ("logits",)
    return "multilabel", {}, ("logits",)


def infer(
    deployed: DeployedNetwork, images: Images, *, device: str, batch_size: int | None, confidence: float
) -> Iterator[Prediction]:
    """One prediction for each ``(path, (H, W, 3) uint8 RGB)`` image, in order."""
    arguments = dict(deployed.decoder_args)
    if deployed.task is not Task.CLASSIFICATION:
        arguments["confidence_threshold"] = confidence
    return infer_deployed(
        deployed,
        images,
        device=device,
        batch_size=batch_size or _BATCH_SIZE,
        decoder_args=arguments,
        around=contained,
    )
