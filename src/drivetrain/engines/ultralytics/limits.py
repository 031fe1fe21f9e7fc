"""What Ultralytics can never honour in training; checked without importing it."""

from __future__ import annotations

from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.types.options import TrainOptions

#: Options of Ultralytics that the engine sets: name -> what controls them.
SET_BY_ENGINE = {
    "task": "the model",
    "mode": "the verb",
    "model": "the model of the engine",
    "data": "the data of the engine",
    "epochs": "train(max_epochs=...)",
    "batch": "train(batch_size=...)",
    "imgsz": "train(image_size=...)",
    "lr0": "train(learning_rate=...)",
    "seed": "train(seed=...)",
    "deterministic": "train(deterministic=...)",
    "amp": "train(precision=...)",
    "patience": "train(patience=...)",
    "workers": "train(num_workers=...)",
    "device": "Engine(device=...)",
    "resume": "train(resume=...)",
    "pretrained": "train(checkpoint=...)",
    "project": "Engine(work_dir=...)",
    "name": "Engine(work_dir=...)",
    "save_dir": "Engine(work_dir=...)",
    "exist_ok": "Engine(work_dir=...)",
    "save": "drivetrain, which saves the best and the last state",
    "val": "train(check_val_every_n_epoch=...)",
    "verbose": "drivetrain, which shows its own progress",
    "cfg": "engine_args itself",
    "distill_model": "drivetrain, which saves a single model per checkpoint",
    "quantize": "export(...)",
}
STRIDE = 32
_HIGHEST_RATE = 1.0


def check(options: TrainOptions, *, device: str) -> None:
    """Refuse options that Ultralytics never honours here.

    Args:
        options: the options of ``train``.
        device: as given to the engine; "auto" is not resolved.

    Raises:
        OptionError: a value is not allowed.
        UnsupportedOptionError: an option cannot be honoured, or is set elsewhere.
    """
    for name in options.engine_args or {}:
        if name in SET_BY_ENGINE:
            raise UnsupportedOptionError(f"engine_args: {name} is set by {SET_BY_ENGINE[name]}; leave it out.")
    if options.sampler is not None:
        raise UnsupportedOptionError(
            f"sampler={options.sampler!r} cannot be honoured: Ultralytics draws each image once per epoch. Give "
            "class_weights='balanced', which its loss for objects and class maps honours."
        )
    if options.class_weights is not None and "cls_pw" in (options.engine_args or {}):
        raise UnsupportedOptionError("engine_args: cls_pw is set by train(class_weights=...); leave out one of them.")
    if options.val_check_interval is not None:
        raise UnsupportedOptionError(
            f"val_check_interval={options.val_check_interval!r} cannot be honoured: Ultralytics validates after whole "
            "epochs. Give check_val_every_n_epoch."
        )
    size = options.image_size_hw
    if size is not None and size[0] != size[1]:
        raise UnsupportedOptionError(
            f"image_size={options.image_size!r} cannot be honoured: Ultralytics trains on squares. Give one number."
        )
    if size is not None and size[0] % STRIDE:
        above = -(-size[0] // STRIDE) * STRIDE
        raise OptionError(f"image_size={size[0]} must be a multiple of {STRIDE}. The next one is {above}.")
    count = options.devices if isinstance(options.devices, int) else len(options.devices)
    if count != 1:
        raise UnsupportedOptionError(
            f"devices={options.devices!r} cannot be honoured: on several devices Ultralytics starts processes that "
            "look up the trainer by its class name and read the data again, so data in memory do not reach them. "
            "Leave devices out, or write the data as yolo does, train by the yolo command, and open its best.pt here."
        )
    if options.learning_rate is not None and options.learning_rate > _HIGHEST_RATE:
        raise OptionError(
            f"learning_rate={options.learning_rate!r} is not allowed by Ultralytics. Allowed: greater than 0, at most "
            f"{_HIGHEST_RATE}."
        )
    check_precision(options.precision, device.partition(":")[0])


def check_precision(precision: str, kind: str) -> None:
    """Refuse a precision that a type of device does not train in.

    Raises:
        UnsupportedOptionError: it cannot be honoured.
    """
    if kind == "cpu" and precision not in ("auto", "fp32"):
        raise UnsupportedOptionError(
            f"precision={precision!r} cannot be honoured: Ultralytics trains in fp32 on the CPU. Allowed: auto, fp32."
        )
