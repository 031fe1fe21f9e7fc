"""Combining the options of a training from the arguments, an earlier run, the recipe, the plan and the defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.machine.resources import available_memory, core_count
from drivetrain.runs.record import RunRecord
from drivetrain.runs.tracking import framework_loggers
from drivetrain.types.options import SPECIAL_OPTIONS, TrainOptions, check_names

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState

_ANY_BATCH = 2
#: Three float32 channels, with their gradients and the output of the first layer: no network needs less.
_BYTES_OF_A_PIXEL = 3 * 4 * 4
_MOST_WORKERS = 64
_WORKERS_OF_A_CORE = 8


def given_options(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``train`` among the arguments of a verb; only ``None`` means not given."""
    return {name: arguments[name] for name in TrainOptions.names() if arguments.get(name) is not None}


def effective_options(engine: EngineState, given: Mapping[str, Any], *, searched: Collection[str] = ()) -> TrainOptions:
    """The effective options of a training.

    Given options come first, then those of the earlier run in the work dir (if it is resumed), then the recipe,
    then the plan, and the defaults of :class:`TrainOptions` last. The plan of the engine is updated.

    Args:
        engine: the engine, with its recipe and plan.
        given: the options given by the user.
        searched: options that a search varies, and that recipe and plan therefore do not fix.

    Raises:
        OptionError: a value is not allowed.
    """
    TrainOptions(**given)  # refuse wrong user options by their own names
    values: dict[str, Any] = {}
    record = RunRecord.at(engine.work_dir) if given.get("resume") else RunRecord()
    if engine.plan is not None:
        engine.plan = engine.plan.as_recorded(record.content).overridden(given)
        values |= engine.plan.options  # given options are already in the plan, with engine_args merged by name
        given = {name: value for name, value in given.items() if name != "engine_args" or name not in values}
    recipe = engine.recipe
    if recipe is not None:
        values |= recipe.options
    values |= record.options
    values = {name: value for name, value in values.items() if name not in searched} | dict(given)
    if searched and values.get("engine_args") and "engine_args" not in given:
        arguments = values["engine_args"].items()
        values["engine_args"] = {name: value for name, value in arguments if f"engine_args.{name}" not in searched}
    try:
        return TrainOptions(**values)
    except OptionError as error:
        raise error if recipe is None else OptionError(f"model={recipe.name!r}: {error}") from error


def check_options(engine: EngineState, options: TrainOptions) -> None:
    """Refuse options that the engine cannot honour, before anything is built or written.

    Raises:
        OptionError: the message names the first of them.
    """
    framework = engine.framework
    for name, value in options.given().items():
        if name in framework.unsupported_options:
            raise UnsupportedOptionError(f"{name}={value!r} cannot be honoured: {framework.unsupported_options[name]}.")
    _check_special(engine, options)
    _check_balancing(engine, options)
    if options.adaptive_bs != "none":
        _check_adaptive(engine, options)
    if options.run_hpo:
        from drivetrain.tuning import SearchOptions

        SearchOptions.from_config(options.hpo_config)
    _check_size(options)
    _check_workers(options)
    framework.check_options(options)
    allowed = framework.engine_arg_names()
    check_names(f"engine_args of {type(engine).__name__}", list(options.engine_args or {}), allowed)


def _check_special(engine: EngineState, options: TrainOptions) -> None:
    """Refuse options that the framework does not list; ``freeze_backbone=False`` is what every framework does."""
    for name in SPECIAL_OPTIONS:
        value = getattr(options, name)
        if value is not None and value is not False and name not in engine.framework.special_options:
            raise UnsupportedOptionError(
                f"{name}={value!r} cannot be honoured: the engine {engine.framework.spec.name!r} has no such option. "
                "Leave it out."
            )


def _check_balancing(engine: EngineState, options: TrainOptions) -> None:
    """Refuse class weights if the framework does not declare that it honours them, and classes that the data lack."""
    framework = engine.framework
    for name in ("class_weights", "sampler"):
        value = getattr(options, name)
        if value is not None and name not in framework.balancing_options:
            raise UnsupportedOptionError(
                f"{name}={value!r} cannot be honoured: the engine {framework.spec.name!r} does not weight classes. "
                "Leave it out."
            )
    if isinstance(options.class_weights, Mapping) and engine.data.source is not None and not engine.has_native_data:
        from drivetrain.data.balance import require_labels

        require_labels(engine.dataset.label_names, options.class_weights)


def _check_size(options: TrainOptions) -> None:
    """Refuse an image size at which not even one image fits into memory, before the machine starts swapping.

    Raises:
        OptionError: it is too large for the memory.
    """
    if options.image_size_hw is None:
        return
    height, width = options.image_size_hw
    needed, free = height * width * _BYTES_OF_A_PIXEL, available_memory()
    if needed > free:
        raise OptionError(
            f"image_size={options.image_size!r}: training on a single image of {height}x{width} pixels needs more than "
            f"{needed / 2**30:.0f} GiB, and {free / 2**30:.0f} GiB are free. Give a smaller image_size."
        )


def _check_workers(options: TrainOptions) -> None:
    """Refuse more worker processes than a machine with this many cores can use; starting them could bring it down.

    Raises:
        OptionError: there are too many.
    """
    most = max(_MOST_WORKERS, _WORKERS_OF_A_CORE * core_count())
    if options.num_workers is not None and options.num_workers > most:
        raise OptionError(f"num_workers={options.num_workers} must be at most {most} on {core_count()} cores.")


def _check_adaptive(engine: EngineState, options: TrainOptions) -> None:
    """Refuse ``adaptive_bs`` if the batch size is fixed."""
    try:
        check_options(engine, replace(options, adaptive_bs="none", batch_size=_ANY_BATCH))
    except OptionError as error:
        if "batch_size" not in str(error):
            raise
        raise UnsupportedOptionError(
            f"adaptive_bs={options.adaptive_bs!r} cannot be honoured, since the batch size is fixed here: {error}"
        ) from error


def for_framework(options: TrainOptions, begun: RunRecord | None = None) -> TrainOptions:
    """The options as the framework sees them, without the names of trackers.

    Args:
        options: of the training.
        begun: the run that is resumed; if it saved no state, it starts over.
    """
    options = replace(options, logger=framework_loggers(options.logger))
    if begun is None or not options.resume or not begun.has_no_checkpoint:
        return options
    return replace(options, resume=False, checkpoint=(begun.content.get("options") or {}).get("checkpoint"))


def repeatable(engine: EngineState, options: TrainOptions) -> dict[str, Any] | None:
    """A config that repeats a training; ``None`` if a model, data or object only exists in this process."""
    config = engine.setup.as_config()
    kept = {name: value for name, value in options.given().items() if name not in ("resume", "overwrite")}
    if config is None or kept.get("callbacks") or framework_loggers(kept.get("logger")) is not None:
        return None
    return {**config, **kept}
