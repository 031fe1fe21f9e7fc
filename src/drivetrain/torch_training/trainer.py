"""Translating the options of ``train`` to a Lightning trainer, for every engine whose framework uses one."""

# ruff: noqa: TID253  (loaded by the engines on PyTorch only)
from __future__ import annotations

import contextlib
import importlib
import inspect
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from drivetrain.errors import OptionError
from drivetrain.launch.ranks import Ranks
from drivetrain.machine.device import choose_device
from drivetrain.torch_training.process import untouched_process
from drivetrain.torch_training.rank_group import rank_and_size
from drivetrain.torch_training.several_devices import trainer_arguments as arguments_of_ranks
from drivetrain.torch_training.trainer_limits import SET_BY_ENGINE, check_for_several, check_precision
from drivetrain.torch_training.trainer_limits import check as check_limits
from drivetrain.types.options import TrainOptions, check_validated

_ONE_VALUE = "Expected more than 1 value per channel when training"
_EXCEPTIONS = "lightning.pytorch.utilities.exceptions"


def package_of(module: Any) -> str:
    """``"lightning.pytorch"`` or ``"pytorch_lightning"``: the package that the user's module is built on."""
    cls = module if isinstance(module, type) else type(module)
    tops = [base.__module__.partition(".")[0] for base in cls.__mro__ if base.__name__ == "LightningModule"]
    return "pytorch_lightning" if tops and tops[0] == "pytorch_lightning" else "lightning.pytorch"


def trainer_arguments(package: str = "lightning.pytorch") -> tuple[str, ...]:
    """The names allowed in ``engine_args``."""
    names = inspect.signature(importlib.import_module(package).Trainer.__init__).parameters
    return tuple(name for name in names if name != "self" and name not in SET_BY_ENGINE)


def check_options(
    options: TrainOptions, *, device: str, package: str, usual_epochs: int | None, several: bool = False
) -> None:
    """Refuse options that the trainer cannot honour, before anything is built or written.

    Args:
        options: the options of ``train``.
        device: as given to the engine.
        package: see :func:`package_of`.
        usual_epochs: the engine's default number of epochs; ``None`` if unknown.
        several: whether the engine trains on several devices.

    Raises:
        OptionError: an option has a wrong value.
        UnsupportedOptionError: an option cannot be honoured, or is set elsewhere.
    """
    (check_for_several if several else check_limits)(options, device=device)
    if "max_steps" not in (options.engine_args or {}):
        check_validated(options, options.max_epochs or usual_epochs)
    upstream = importlib.import_module(package)
    place = place_of(device, options.devices)
    precision_of(options.precision, place["accelerator"])
    loggers_of(options.logger, upstream)
    callbacks_of(options.callbacks, upstream)


def trainer_settings(options: TrainOptions, *, device: str, package: str) -> dict[str, Any]:
    """The options of ``train`` as arguments of the upstream's trainer.

    Args:
        options: the options of ``train``; their ``engine_args`` are ignored here.
        device: as given to the engine.
        package: see :func:`package_of`.

    Raises:
        OptionError: an option has a wrong value.
        UnsupportedOptionError: an option cannot be honoured.
    """
    upstream = importlib.import_module(package)
    place = place_of(device, options.devices)
    settings: dict[str, Any] = {
        **place,
        "precision": precision_of(options.precision, place["accelerator"]),
        "logger": loggers_of(options.logger, upstream),
        "callbacks": callbacks_of(options.callbacks, upstream),
        "deterministic": options.deterministic or None,
        "enable_progress_bar": False,
        "check_val_every_n_epoch": options.check_val_every_n_epoch or 1,
    }
    if options.val_check_interval is not None:
        settings["val_check_interval"] = options.val_check_interval
    if options.max_epochs is not None:
        settings["max_epochs"] = options.max_epochs
    return settings


def make_trainer(
    package: str,
    options: TrainOptions,
    *,
    device: str,
    work_dir: Path,
    callbacks: Sequence[Any],
    defaults: Mapping[str, Any],
    unused: bool = False,
) -> Any:
    """Create the upstream's trainer.

    Args:
        package: see :func:`package_of`.
        options: the options of ``train``.
        device: as given to the engine.
        work_dir: where the upstream may write.
        callbacks: the engine's callbacks; the user's come first.
        defaults: trainer arguments that apply unless ``engine_args`` sets them.
        unused: whether the model may leave parameters without a gradient in a step.

    Raises:
        OptionError: an option has a wrong value.
        UnsupportedOptionError: an option cannot be honoured.
    """
    settings = trainer_settings(options, device=device, package=package)
    settings["callbacks"] += callbacks
    ranks = Ranks.here()
    if ranks is not None and rank_and_size()[1] > 1:
        settings |= arguments_of_ranks(package, ranks, settings, unused=unused)
    settings = {
        **defaults,
        **settings,
        "default_root_dir": str(work_dir / "upstream"),
        **(options.engine_args or {}),
    }
    settings.setdefault("enable_model_summary", False)
    try:
        return importlib.import_module(package).Trainer(**settings)
    except (ValueError, TypeError, importlib.import_module(_EXCEPTIONS).MisconfigurationException) as error:
        raise OptionError(f"The trainer of {package} refuses an option: {' '.join(str(error).split())}") from error


def effective_options(trainer: Any, module: Any, options: TrainOptions) -> dict[str, Any]:
    """The options that a running trainer actually uses, under our names; those that cannot be determined are omitted.

    Args:
        trainer: the upstream's trainer, with its data and optimisers.
        module: the module being trained.
        options: the options of ``train``; they determine which of the upstream's own options to look up.
    """
    loader = trainer.train_dataloader
    sampler = getattr(loader, "batch_sampler", None)
    rates = [group.get("initial_lr", group["lr"]) for made in trainer.optimizers for group in made.param_groups]
    spec = getattr(module, "image_spec", None)
    used = {
        "max_epochs": trainer.max_epochs,
        "batch_size": getattr(loader, "batch_size", None) or getattr(sampler, "batch_size", None),
        "learning_rate": max(rates, default=None),
        "image_size": list(spec.size) if spec is not None else None,
        "num_workers": getattr(loader, "num_workers", None),
        "precision": {"32-true": "fp32", "16-mixed": "fp16", "bf16-mixed": "bf16"}.get(str(trainer.precision)),
        "val_check_interval": options.val_check_interval and trainer.val_check_interval,
        "check_val_every_n_epoch": trainer.check_val_every_n_epoch,
        "devices": trainer.num_devices,
        "nodes": trainer.num_nodes if trainer.num_nodes > 1 else None,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "seed": torch.initial_seed(),
    }
    own = {name: getattr(trainer, name) for name in options.engine_args or {} if hasattr(trainer, name)}
    return {**{name: value for name, value in used.items() if value is not None}, **own}


def bare_trainer(package: str) -> Any:
    """A trainer of the upstream that is not used for training."""
    with untouched_process():
        return importlib.import_module(package).Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
        )


def run_trainer(trainer: Any, module: Any, data: Mapping[str, Any], state: Path | None) -> None:
    """Fit; if the user stops the training, return after the trainer's callbacks were notified.

    Args:
        trainer: the upstream's trainer.
        module: the module to train.
        data: the upstream's own arguments for data.
        state: a checkpoint to resume from, already known to be safe.
    """
    more: dict[str, Any] = {}
    if state is not None:
        more["ckpt_path"] = str(state)
        if "weights_only" in inspect.signature(trainer.fit).parameters:
            more["weights_only"] = True
    try:
        with refusals_said(lambda: trainer, package_of(module)):
            trainer.fit(module, **data, **more)
    except SystemExit:
        if not any(getattr(callback, "interrupted", False) for callback in trainer.callbacks):
            raise


@contextlib.contextmanager
def refusals_said(trainer: Callable[[], Any], package: str) -> Iterator[None]:
    """Within the block, turn what the upstream's trainer refuses before its first step into an error about our option.

    Args:
        trainer: returns the trainer, or ``None`` if an upstream that creates it while fitting has not done so yet.
        package: see :func:`package_of`.

    Raises:
        OptionError: the message names the option.
    """
    try:
        yield
    except (ValueError, TypeError, importlib.import_module(_EXCEPTIONS).MisconfigurationException) as error:
        if _ONE_VALUE in str(error):
            raise OptionError(too_few_to_normalise()) from error
        given = trainer()
        names = inspect.signature(importlib.import_module(package).Trainer.__init__).parameters
        named = first_named(str(error), names)
        if named is None or (given is not None and given.global_step):
            raise
        if named == "val_check_interval" and given is not None:
            raise OptionError(too_rare(given.val_check_interval, given.num_training_batches)) from error
        raise OptionError(f"{named} is refused by {package}: {' '.join(str(error).split())}") from error


def too_few_to_normalise() -> str:
    """The message for a batch of one image whose features shrink to single numbers."""
    return (
        "batch_size: a batch of one image cannot be normalised by this model at this image_size, where its features "
        "shrink to single numbers. Give a larger image_size, or a batch_size that does not leave a last batch of one."
    )


def first_named(message: str, names: Iterable[str]) -> str | None:
    """The name that appears first in an upstream's message, in `backticks`: the option that the message is about."""
    places = {message.find(f"`{name}`"): name for name in names}
    places.pop(-1, None)
    return places[min(places)] if places else None


def too_rare(interval: float, batches: int) -> str:
    """The message for a ``val_check_interval`` longer than an epoch."""
    return (
        f"val_check_interval={interval} is more than the {batches} batches of an epoch, so nothing would ever be "
        f"validated. Give at most {batches}, a fraction of an epoch such as 0.5, or check_val_every_n_epoch."
    )


def place_of(device: str, devices: int | Sequence[int]) -> dict[str, Any]:
    """``accelerator`` and ``devices`` of the upstream's trainer.

    Raises:
        OptionError: there is no such device, or ``device`` and ``devices`` contradict each other.
    """
    chosen = choose_device(device)
    kind, _, number = chosen.partition(":")
    accelerator = {"cuda": "gpu"}.get(kind, kind)
    if number and accelerator != "cpu":
        if not isinstance(devices, int) and list(devices) != [int(number)]:
            raise OptionError(f"devices={devices!r} contradicts device={device!r}; leave out one of them.")
        return {"accelerator": accelerator, "devices": [int(number)]}
    if accelerator == "cpu":
        return {"accelerator": "cpu", "devices": 1}
    return {"accelerator": accelerator, "devices": devices if isinstance(devices, int) else list(devices)}


def precision_of(precision: str, accelerator: str) -> str:
    """The upstream's name for a precision; ``"auto"`` is 16 bit on CUDA and 32 bit elsewhere.

    Raises:
        UnsupportedOptionError: the device does not support it.
    """
    if precision == "auto":
        if accelerator != "gpu":
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    check_precision(precision, accelerator)
    return {"fp32": "32-true", "fp16": "16-mixed", "bf16": "bf16-mixed"}[precision]


def loggers_of(logger: Any, upstream: Any) -> Any:
    """The user's own loggers; ``False`` if there are none, since the run writes the table and feeds the trackers.

    Raises:
        OptionError: one of them is not a logger of the upstream.
    """
    if logger is None:
        return False
    given = list(logger) if isinstance(logger, list | tuple) else [logger]
    wrong = next((item for item in given if not isinstance(item, upstream.loggers.Logger)), None)
    if wrong is not None:
        raise OptionError(f"logger={wrong!r} is not a logger of {upstream.__name__}. Give one of its loggers.")
    return given


def callbacks_of(callbacks: Sequence[Any] | None, upstream: Any) -> list[Any]:
    """The user's own callbacks.

    Raises:
        OptionError: one of them is not a callback of the upstream.
    """
    if isinstance(callbacks, Mapping):
        raise OptionError(f"callbacks={reprlib.repr(callbacks)} must be a list of callbacks of {upstream.__name__}.")
    given = list(callbacks) if callbacks is not None else []
    wrong = next((item for item in given if not isinstance(item, upstream.Callback)), None)
    if wrong is not None:
        raise OptionError(
            f"callbacks: {reprlib.repr(wrong)} ({type(wrong).__module__}.{type(wrong).__qualname__}) is not a callback "
            f"of {upstream.__name__}. Give instances of subclasses of {upstream.__name__}.Callback."
        )
    return given
