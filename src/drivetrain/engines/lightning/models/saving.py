"""Write a trained model in the form of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivetrain.errors import UnsupportedError


def save_pretrained(module: Any, folder: str | Path) -> Path:
    """Write a model of transformers with its configuration and image processor, as its ``from_pretrained`` reads.

    Args:
        module: a classification or vision module.
        folder: to write to; made if it is not there.

    Raises:
        UnsupportedError: the model is of another source.
    """
    if module.network.source != "transformers":
        raise UnsupportedError(
            f"save_pretrained writes models of transformers, and {module.network.name} is of "
            f"{module.network.source or 'your own code'}. Its weights are in the checkpoints of the run, under "
            "'state_dict'."
        )
    from drivetrain.engines.lightning.models.transformers_models import save_model

    return save_model(module.net, module.image_spec, folder)
