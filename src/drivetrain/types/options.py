"""The options of the verbs, as frozen records that check themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args

from drivetrain.errors import OptionError, UnsupportedOptionError, near
from drivetrain.types.other_words import OTHER_WORDS
from drivetrain.types.task import Task
from drivetrain.types.training_values import (
    check_backbone,
    check_class_weights,
    check_devices,
    check_factors,
    check_image_size,
    check_learning_rate,
    check_val_interval,
)

AdaptiveBatchSize = Literal["none", "safe", "full"]
Pruner = Literal["halving", "median", "none"]
Sampler = Literal["tpe", "random"]
Balanced = Literal["balanced"]
Tile = int | tuple[int, float] | Literal["auto"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
#: Options of ``train`` that only some frameworks honour; each framework lists its own.
SPECIAL_OPTIONS = ("tile", "ema", "freeze_backbone", "backbone_learning_rate", "mosaic", "scale_jitter")
ExportFormat = Literal["openvino", "onnx"]
ExportPrecision = Literal["fp32", "fp16"]
OptimizePrecision = Literal["int8", "int8_weights", "fp16"]
BenchmarkHint = Literal["throughput", "latency"]
OptimizeMethod = Literal["auto", "ptq", "accuracy_control"]
#: How objects are followed over the frames of a video.
Track = Literal["bytetrack"]
#: How the explanation of an image is found; what "auto" chooses depends on the task and the model.
ExplainMethod = Literal["auto", "cam", "rise", "map"]
#: The largest seed that every framework accepts: NumPy's generator takes 32 bits.
MAX_SEED = 2**32 - 1
#: The sensitivity that leaves the threshold as validation set it.
NO_SHIFT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The arguments of :meth:`drivetrain.Engine.train`; see there for their meaning.

    ``None`` means the engine's own default for the model.

    Raises:
        OptionError: a value is not allowed.
    """

    max_epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    image_size: int | tuple[int, int] | None = None
    seed: int = 0
    deterministic: bool = False
    precision: Precision = "auto"
    patience: int | None = None
    val_check_interval: int | float | None = None
    check_val_every_n_epoch: int | None = None
    num_workers: int | None = None
    devices: int | Sequence[int] = 1
    nodes: int = 1
    callbacks: Sequence[Any] | None = None
    logger: Any = None
    metric: str | None = None
    class_weights: Balanced | Mapping[str, float] | None = None
    sampler: Balanced | None = None
    tile: Tile | None = None
    ema: float | None = None
    freeze_backbone: bool | None = None
    backbone_learning_rate: float | None = None
    mosaic: float | None = None
    scale_jitter: float | None = None
    checkpoint: str | Path | None = None
    resume: bool = False
    overwrite: bool = False
    run_hpo: bool = False
    hpo_config: Mapping[str, Any] | None = None
    adaptive_bs: AdaptiveBatchSize = "none"
    engine_args: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "patience", "check_val_every_n_epoch", "nodes"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("num_workers", self.num_workers, 0)
        check_seed(self.seed)
        for name in ("deterministic", "resume", "overwrite", "run_hpo"):
            check_switch(name, getattr(self, name))
        check_learning_rate(self.learning_rate)
        check_share("mosaic", self.mosaic)
        check_factors(self.ema, self.scale_jitter)
        check_backbone(self.freeze_backbone, self.backbone_learning_rate)
        check_val_interval(self.val_check_interval)
        check_validated(self, self.max_epochs)
        check_choice("precision", self.precision, get_args(Precision))
        check_class_weights(self.class_weights)
        if self.sampler is not None:
            check_choice("sampler", self.sampler, get_args(Balanced))
        if self.class_weights == "balanced" and self.sampler == "balanced":
            raise OptionError(
                "class_weights='balanced' and sampler='balanced' would count rare classes twice; leave out one of them."
            )
        check_choice("adaptive_bs", self.adaptive_bs, get_args(AdaptiveBatchSize))
        check_image_size(self.image_size)
        check_devices(self.devices)
        for name in ("hpo_config", "engine_args"):
            check_mapping(name, getattr(self, name))
        if self.callbacks is not None and (isinstance(self.callbacks, str) or not isinstance(self.callbacks, Iterable)):
            raise OptionError(f"callbacks={self.callbacks!r} must be a list of objects.")
        if self.resume and self.checkpoint is not None:
            raise OptionError(
                f"resume=True takes its state from the work dir, so checkpoint={str(self.checkpoint)!r} cannot be "
                "given too. Leave out one of them: resume=True continues the run, "
                "checkpoint=... starts a new run from it."
            )
        if self.resume and self.overwrite:
            raise OptionError("resume=True and overwrite=True contradict each other; leave out one of them.")
        if self.hpo_config is not None and not self.run_hpo:
            raise OptionError("hpo_config is given without run_hpo. Add run_hpo=True, or leave hpo_config out.")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all options."""
        return tuple(item.name for item in fields(cls))

    def given(self) -> dict[str, Any]:
        """The options whose value differs from the default."""
        values = ((item, getattr(self, item.name)) for item in fields(self))
        return {item.name: value for item, value in values if value != item.default}

    @property
    def image_size_hw(self) -> tuple[int, int] | None:
        """``(height, width)``, or ``None`` if not set."""
        if self.image_size is None:
            return None
        if isinstance(self.image_size, int):
            return self.image_size, self.image_size
        height, width = self.image_size
        return height, width


def near_option(name: str, allowed: Iterable[str], *, prefix: str = "") -> str:
    """Suggestions for an unknown option, as :func:`drivetrain.errors.near`, which also know other tools' names for it.

    Args:
        name: the name as written, without the prefix.
        allowed: the existing options, without the prefix.
        prefix: how options are written here, such as ``"--"``.
    """
    names = list(allowed)
    known = OTHER_WORDS.get(name.lower())
    if known in names:
        return f" Did you mean {prefix + known!r}?"
    return near(prefix + name, [prefix + option for option in names])


def check_sensitivity(value: Any, task: Task | None = None) -> None:
    """Refuse a sensitivity that is not a number in 0..1, or that the task cannot use; ``None`` means not set.

    Args:
        value: the value as given.
        task: the model's task, if known.

    Raises:
        OptionError: the value is not allowed.
        UnsupportedOptionError: the task is not anomaly detection.
    """
    check_share("sensitivity", value)
    if value is not None and task is not None and task is not Task.ANOMALY:
        raise UnsupportedOptionError(
            f"sensitivity={value} cannot be honoured: only models for the task 'anomaly' have a sensitivity, and this "
            f"one is for {task.value!r}. Leave it out."
        )


def check_share(name: str, value: Any) -> None:
    """Refuse a value that is not a number in 0..1; ``None`` means not set.

    Raises:
        OptionError: the value is not allowed.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        raise OptionError(f"{name}={value!r} must be a number between 0 and 1.")
    if not 0.0 <= float(value) <= 1.0:
        raise OptionError(f"{name}={value} must be between 0 and 1.")


def check_at_least(name: str, value: int | None, least: int) -> None:
    """Refuse a number below ``least``.

    Raises:
        OptionError: the value is too small or not an integer.
    """
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise OptionError(f"{name}={value!r} must be a whole number.")
    if value < least:
        raise OptionError(f"{name}={value} must be at least {least}.")


def check_seed(value: int) -> None:
    """Refuse a seed that some framework does not accept.

    Raises:
        OptionError: it is not an integer from 0 to :data:`MAX_SEED`.
    """
    check_at_least("seed", value, 0)
    if value > MAX_SEED:
        raise OptionError(f"seed={value} must be at most {MAX_SEED}.")


def check_switch(name: str, value: Any) -> None:
    """Refuse a value that is neither ``True`` nor ``False``: a string such as "no" would count as true.

    Raises:
        OptionError: the value is not allowed.
    """
    if not isinstance(value, bool):
        raise OptionError(f"{name}={value!r} must be true or false.")


def check_mapping(name: str, value: Any) -> None:
    """Refuse a value that is not a mapping.

    Raises:
        OptionError: the value is not allowed.
    """
    if value is not None and not isinstance(value, Mapping):
        raise OptionError(f"{name}={value!r} must be a mapping from names to values.")


def check_validated(options: TrainOptions, epochs: int | None) -> None:
    """Refuse validation intervals so long that validation would never run.

    Args:
        options: the options of the training.
        epochs: how many epochs there will be, requested or by default; ``None`` if unknown.

    Raises:
        OptionError: the training ends before its first validation.
    """
    every = options.check_val_every_n_epoch
    if every is None or epochs is None or every <= epochs:
        return
    usual = "" if options.max_epochs == epochs else ", the engine's default"
    raise OptionError(
        f"check_val_every_n_epoch={every} is more than max_epochs={epochs}{usual}, so nothing would ever be validated. "
        "Give at most max_epochs."
    )


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a value that is not among the allowed ones.

    Raises:
        OptionError: it is not; the message lists the allowed values and the nearest.
    """
    if value not in allowed:
        raise OptionError(f"{name}={value!r} is not allowed.{near(str(value), allowed)} Allowed: {', '.join(allowed)}.")


def check_names(what: str, given: Sequence[str], allowed: Sequence[str]) -> None:
    """Refuse names that do not exist, for open mappings such as ``engine_args``.

    Raises:
        OptionError: a name does not exist; the message has the nearest spelling.
    """
    for name in given:
        if name not in allowed:
            shown = ", ".join(sorted(allowed)[:40] or ["none"]) + (", ..." if len(allowed) > 40 else "")
            raise OptionError(f"{what} has no option {name!r}.{near(name, allowed)} Allowed: {shown}.")
