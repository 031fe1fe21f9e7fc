"""Writing a trained model in the format of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivetrain.errors import UnsupportedError


def save_pretrained(module: Any, folder: str | Path) -> Path:
    """Write a transformers model with its configuration and image processor, readable by ``from_pretrained``.

    Args:
        module: a classification or vision module.
        folder: the folder to write to; created if it does not exist.

    Raises:
        UnsupportedError: the model has a different source.
    """
    if module.network.source != "transformers":
        raise UnsupportedError(
            f"save_pretrained writes transformers models, but {module.network.name} is from "
            f"{module.network.source or 'your own code'}. Its weights are in the checkpoints of the run, under "
            "'state_dict'."
        )
    from drivetrain.engines.lightning.models.transformers_models import save_model

    return save_model(module.net, module.image_spec, folder)
