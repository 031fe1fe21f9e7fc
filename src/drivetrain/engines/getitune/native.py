"""getitune's own data modules, which are passed through unchanged."""

from __future__ import annotations

from typing import Any

from drivetrain.errors import DataError
from drivetrain.torch_training.trainer_limits import refuse_fixed
from drivetrain.types import Task
from drivetrain.types.options import TrainOptions

_FIXED = ("batch_size", "num_workers", "image_size")


def check_options(options: TrainOptions, data: Any) -> None:
    """Refuse options that the data module already fixes.

    Raises:
        UnsupportedOptionError: the message names the first of them.
    """
    refuse_fixed(options.given(), _FIXED, data)


def check_task(data: Any, task: Task, known: dict[str, Task]) -> None:
    """Refuse data for another task than that of the model.

    Raises:
        DataError: they do not match.
    """
    theirs = known.get(str(getattr(data.task, "value", data.task)))
    if theirs is not task:
        raise DataError(
            f"The {type(data).__name__} is for the task {getattr(data.task, 'value', data.task)!s}, the model for "
            f"{task.value!r}. Give data for the same task."
        )


def label_names(data: Any) -> tuple[str, ...]:
    """The labels of a data module, by their numbers."""
    return tuple(map(str, data.label_info.label_names))


def upstream_metrics(data: Any, module: Any, trainer: Any, subset: str) -> dict[str, float]:
    """The metrics of getitune's own evaluation.

    Args:
        data: the data module.
        module: the model.
        trainer: Lightning's trainer, with getitune's augmentation of batches.
        subset: "val" or "test".

    Raises:
        DataError: getitune has no evaluation for this subset.
    """
    if subset not in ("val", "test"):
        raise DataError(f"subset={subset!r}: a {type(data).__name__} is tested on 'val' or 'test'.")
    rows = getattr(trainer, "validate" if subset == "val" else "test")(module, datamodule=data, verbose=False)
    return {f"upstream/{name}": float(value) for row in rows for name, value in row.items()}
