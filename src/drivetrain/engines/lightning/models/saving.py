"""What every module of this engine stores about itself, and how its model is written in the format of its source."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as lightning
import torch
from torch import nn

from drivetrain.errors import UnsupportedError
from drivetrain.types import ImageSpec, Task


class SavedModule(lightning.LightningModule):  # type: ignore[misc]  # the upstream class is untyped here
    """A network as a LightningModule that can be built again from its description.

    Args:
        network: has the network in ``net``, and its ``source``, ``name`` and ``recorded_args``.
        task: the task.
        label_names: the name of each label.
        image_spec: how an image becomes an input.
        learning_rate: the peak; ``None`` for the module's own.
    """

    #: The kind of module, in the description.
    kind: ClassVar[str]

    def __init__(
        self,
        network: Any,
        *,
        task: Task,
        label_names: tuple[str, ...],
        image_spec: ImageSpec,
        learning_rate: float | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.net: nn.Module = network.net
        self.task = task
        self.label_names = label_names
        self.image_spec = image_spec
        self.learning_rate = learning_rate
        self.register_buffer("_shift", torch.tensor(image_spec.mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("_scale", 1 / (torch.tensor(image_spec.std).view(1, 3, 1, 1) * 255), persistent=False)
        #: The peak of the learning rate of the backbone in a training; ``None`` for that of the rest.
        self.backbone_rate: float | None = None
        #: Notes for the user on the latest training.
        self.training_notes: list[str] = []

    def describe(self) -> dict[str, Any]:
        """Everything needed to build this module again, as plain data for the checkpoint."""
        return {
            "kind": self.kind,
            "source": self.network.source,
            "name": self.network.name,
            "args": self.network.recorded_args,
            "task": self.task.value,
            "label_names": list(self.label_names),
            "image_spec": self.image_spec.to_dict(),
        }

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write a transformers model with its configuration and image processor, readable by ``from_pretrained``.

        Args:
            folder: the folder to write to; created if it does not exist.

        Raises:
            UnsupportedError: the model has a different source; its weights are in the checkpoints.
        """
        if self.network.source != "transformers":
            raise UnsupportedError(
                f"save_pretrained writes transformers models, but {self.network.name} is from "
                f"{self.network.source or 'your own code'}. Its weights are in the checkpoints of the run, under "
                "'state_dict'."
            )
        from drivetrain.engines.lightning.models.transformers_models import save_model

        return save_model(self.net, self.image_spec, folder)
