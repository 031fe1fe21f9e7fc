"""Training with errors of frameworks translated, where their cause is known, into errors about the user's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivetrain.engine.framework import FitResult
from drivetrain.engine.out_of_memory import fit_surviving
from drivetrain.errors import DrivetrainError, ImageError, OptionError
from drivetrain.machine.resources import is_out_of_memory
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState
    from drivetrain.runs.run import Run

#: Below this size the features of common networks shrink to nothing, and each framework fails in its own words.
_SMALL = 32


def fit_explained(engine: EngineState, options: TrainOptions, run: Run) -> FitResult:
    """Train, explaining errors whose cause is known.

    Args:
        engine: the engine; its model is built.
        options: the options of the training.
        run: the run of the training.

    Raises:
        ImageError: images cannot be read; all of them are named.
        OptionError: the framework failed in the first epoch, on images of a size that is too small.
    """
    try:
        return fit_surviving(engine, options, run)
    except ImageError as error:
        if engine.has_native_data:
            raise
        from drivetrain.data.unreadable import all_unreadable

        engine.progress.note("An image cannot be read; checking the others before stopping.")
        raise all_unreadable(engine.dataset, error) from error
    except (RuntimeError, ValueError, IndexError, ArithmeticError) as error:
        size = options.image_size_hw
        known = isinstance(error, DrivetrainError) or is_out_of_memory(error)
        if known or size is None or min(size) >= _SMALL or run.history:
            raise
        raise OptionError(
            f"image_size={options.image_size!r} is too small for {engine.setup.model_name}: training failed at "
            f"this size ({' '.join(str(error).split())[:200]}). Give at least {_SMALL}."
        ) from error
