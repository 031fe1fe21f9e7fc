"""What no model of Anomalib can honour here; checked without importing it."""

from __future__ import annotations

from drivetrain.torch_training.trainer_limits import check as check_trainer
from drivetrain.torch_training.trainer_limits import check_one_device
from drivetrain.types.options import TrainOptions

_REASON = (
    "a memory bank such as those of Patchcore and Padim holds the features of every image in one process, and the "
    "threshold of every model is found in the answers of one"
)


def check(options: TrainOptions, *, device: str) -> None:
    """Refuse options that no model of Anomalib honours.

    Args:
        options: the options of ``train``.
        device: as given to the engine.

    Raises:
        UnsupportedOptionError: an option cannot be honoured, or is set elsewhere.
    """
    check_one_device(options.devices, _REASON)
    check_trainer(options, device=device)
