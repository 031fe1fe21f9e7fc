"""Training that survives running out of memory by halving the batch size."""

from __future__ import annotations

import gc
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

from drivetrain.engine.framework import FitResult
from drivetrain.machine.device import free_accelerator
from drivetrain.machine.resources import give_memory_back, is_out_of_memory
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState
    from drivetrain.runs.run import Run

_PARTS = 2


def fit_surviving(engine: EngineState, options: TrainOptions, run: Run) -> FitResult:
    """Train; if memory runs out, continue once from the last state with half the batch size.

    Args:
        engine: the engine; its model is built.
        options: the options, with the batch size that was found to fit.
        run: records what happened.
    """
    try:
        return engine.framework.fit(options, run, resume=options.resume)
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
    run.note(f"Memory ran out ({reason}). Training continues {start}, with {how}.")
    engine.framework.build(replace(smaller, resume=has_state, checkpoint=None if has_state else smaller.checkpoint))
    if not has_state and smaller.checkpoint is not None:
        engine.framework.warm_start(engine.weights.find(smaller.checkpoint, engine.given_work_dir), run)
    gc.collect()  # the memory of the failed training: its trainer, its optimiser, its images
    give_memory_back()
    free_accelerator()
    return engine.framework.fit(smaller, run, resume=has_state)


def _smaller(engine: EngineState, options: TrainOptions) -> tuple[TrainOptions, str]:
    """Half the batch size, with gradients of two steps accumulated if the engine can, and a description of this."""
    whole = options.batch_size or _PARTS
    half = whole // _PARTS
    more = engine.framework.accumulated(_PARTS, whole, options)
    said = f"batch_size={half} instead of {whole}"
    if not more:
        return replace(options, batch_size=half), f"{said}; the engine cannot accumulate gradients, so a step sees less"
    arguments = {**(options.engine_args or {}), **more}
    said = f"{said} and the gradients of {_PARTS} steps accumulated"
    return replace(options, batch_size=half, engine_args=arguments), said


def _forget(error: BaseException | None) -> None:
    """Release the tensors held by the frames of an exception."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
