"""What an anomaly model makes of an image before it compares it with what is normal."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from anomalib.models.components import AnomalibModule
from numpy.typing import NDArray

from drivetrain.engines.anomalib.deploy import Deployed
from drivetrain.engines.anomalib.memory import within_memory
from drivetrain.errors import UnsupportedError
from drivetrain.torch_training.look_inside import Images, part_named, pooled_output, read_features
from drivetrain.types import ImageSpec

#: What Anomalib's models call the network that describes an image; the first that there is counts.
_NAMES = ("feature_extractor", "feature_encoder", "encoder", "backbone", "teacher_model", "teacher")


def features(
    model: AnomalibModule, images: Images, *, spec: ImageSpec, batch_size: int, device: torch.device | str
) -> Iterator[NDArray[np.float32]]:
    """``(D,) float32`` of each image: the mean over the places of the deepest feature map of the model's own network.

    Args:
        model: fitted.
        images: ``(path, (H, W, 3) uint8 RGB)``.
        spec: how an image is resized for it.
        batch_size: images in a step.
        device: where to compute.

    Raises:
        UnsupportedError: it has no network that describes images, or its features have no places.
    """
    deployed = Deployed(model).eval().to(device)
    part = part_named(model.model, _NAMES)

    def ask(inputs: torch.Tensor) -> torch.Tensor:
        with within_memory():
            found = None if part is None else pooled_output(deployed, part, inputs)
        if found is None:
            raise UnsupportedError(
                f"{model.name} has no network of its own that describes an image as a whole. Models that have one are "
                "Padim, Patchcore, Stfpm, ..."
            )
        return found

    yield from read_features(ask, images, spec=spec, place=str(device), batch_size=batch_size)
