"""A training that fits the memory: its batch size is measured before, and lowered when memory runs out after all."""

from __future__ import annotations

import gc
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from drivetrain.engine.automatic import Tuned
from drivetrain.engine.hooks import FitResult
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.machine.device import free_accelerator
from drivetrain.machine.resources import give_memory_back, is_out_of_memory
from drivetrain.tuning.batch_size import choose
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.engine.base import Engine
    from drivetrain.runs.run import Run

_ANY_BATCH = 2
_PARTS = 2


def check_adaptive(engine: Engine, options: TrainOptions) -> None:
    """Refuse ``adaptive_bs`` where the batch size is not free.

    Raises:
        UnsupportedOptionError: with the reason that a batch size is refused.
    """
    try:
        engine._check_options(replace(options, adaptive_bs="none", batch_size=_ANY_BATCH))
    except OptionError as error:
        if "batch_size" not in str(error):
            raise
        raise UnsupportedOptionError(
            f"adaptive_bs={options.adaptive_bs!r} cannot be honoured, since the batch size is not free here: {error}"
        ) from error


def with_fitting_batch(engine: Engine, options: TrainOptions, run: Run) -> TrainOptions:
    """The options with the batch size that ``adaptive_bs`` finds; the run notes how it was found."""
    with tempfile.NamedTemporaryFile(prefix="drivetrain-", suffix=".log") as log:
        found = choose(Tuned(engine).setup(), engine.dataset, options, log=Path(log.name))
    run.note(f"adaptive_bs={options.adaptive_bs!r}: {found}.")
    return replace(options, batch_size=found.batch_size)


def fit_surviving(engine: Engine, options: TrainOptions, run: Run) -> FitResult:
    """Train; when memory runs out, go on from the last state with half the batch size, once.

    Args:
        engine: whose model is built.
        options: with the batch size that was found to fit.
        run: told what happened.
    """
    try:
        return engine._fit(options, run, resume=options.resume)
    except Exception as error:
        if options.adaptive_bs == "none" or (options.batch_size or 1) < _PARTS or not is_out_of_memory(error):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        _forget(error)
    gc.collect()
    give_memory_back()
    smaller, how = _smaller(engine, options)
    has_state = any(run.checkpoints.glob("last.*"))
    start = f"from the last state, after epoch {len(run.history)}" if has_state else "from the beginning"
    run.note(f"Memory ran out ({reason}). The training goes on {start}, with {how}.")
    engine._build(replace(smaller, resume=has_state, checkpoint=None if has_state else smaller.checkpoint))
    if not has_state and smaller.checkpoint is not None:
        engine._warm_start(engine._find_checkpoint(smaller.checkpoint), run)
    gc.collect()  # what the broken training held: its trainer, its optimiser, its images
    give_memory_back()
    free_accelerator()
    return engine._fit(smaller, run, resume=has_state)


def _smaller(engine: Engine, options: TrainOptions) -> tuple[TrainOptions, str]:
    """Half the batch size, with gradients of two steps accumulated where the engine can, and how that is said."""
    whole = options.batch_size or _PARTS
    half = whole // _PARTS
    more = engine._accumulated(_PARTS, whole, options)
    said = f"batch_size={half} instead of {whole}"
    if not more:
        return replace(options, batch_size=half), f"{said}; the engine cannot accumulate gradients, so a step sees less"
    arguments = {**(options.engine_args or {}), **more}
    said = f"{said} and the gradients of {_PARTS} steps accumulated"
    return replace(options, batch_size=half, engine_args=arguments), said


def _forget(error: BaseException | None) -> None:
    """Let go of the tensors that the frames of an error hold."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
