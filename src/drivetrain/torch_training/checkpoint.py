"""Reading torch checkpoints without executing anything in them, and saying what was taken over from them."""

# ruff: noqa: TID253  (loaded by the engines on PyTorch only)
from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from drivetrain.errors import CheckpointError, UnsafeCheckpointError
from drivetrain.models.checkpoint import read_facts, require_file

if TYPE_CHECKING:
    from drivetrain.runs.run import Run


def read_checkpoint(path: Path, allowed: Sequence[type] = ()) -> dict[str, Any]:
    """The content of a checkpoint of plain data and tensors, loaded to the CPU.

    Args:
        path: the checkpoint file.
        allowed: additional classes, besides tensors and plain data, whose objects contain only data.

    Raises:
        CheckpointNotFoundError: the file does not exist.
        UnsafeCheckpointError: opening it could run code that tensors and plain data do not need; nothing was run.
        CheckpointError: it is damaged, or not a checkpoint.
    """
    require_file(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = _tensors(load_file, path)
        else:
            with torch.serialization.safe_globals(list(allowed)):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _explain(path, error) from error
    except (RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
        raise CheckpointError(
            f"checkpoint={str(path)!r} is damaged or not a checkpoint: {_first_line(error)}"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"checkpoint={str(path)!r} holds a {type(content).__name__}, not named tensors.")
    return content


def _tensors(load: Callable[[Path], dict[str, Any]], path: Path) -> dict[str, Any]:
    """The tensors of a .safetensors file; its package's error class is matched by name rather than imported."""
    try:
        return load(path)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(_first_line(error)) from error


def _explain(path: Path, error: Exception) -> CheckpointError:
    facts = read_facts(path)
    foreign = facts.foreign_names
    if not facts.names:
        return CheckpointError(f"checkpoint={str(path)!r} is damaged or not a checkpoint: {_first_line(error)}")
    return UnsafeCheckpointError(
        f"checkpoint={str(path)!r} was not opened: it refers to {', '.join(foreign[:5]) or 'unusual code'}, and "
        "opening it could execute code. If you trust the file, allow these classes with "
        "torch.serialization.add_safe_globals, or save only the model's state_dict and use that file."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def state_to_resume(run: Run, label_names: Sequence[str], read: Callable[[Path], Any]) -> Path:
    """The last state of a run.

    Args:
        run: the run.
        label_names: the labels of the data.
        read: reads a checkpoint, and says its ``label_names``.

    Raises:
        CheckpointError: there is none, or it has other labels.
    """
    path = run.checkpoints / "last.ckpt"
    theirs = read(path).label_names
    if theirs != label_names:
        raise CheckpointError(
            f"resume=True: the last state in {str(run.directory)!r} has the labels "
            f"{', '.join(theirs or ())}, but the data have {', '.join(label_names)}. Give the data "
            "of the run, or another work_dir."
        )
    return path


def note_of_start(origin: str, ours: Sequence[str], theirs: Sequence[str]) -> str:
    """What a model took over from a checkpoint, for the user.

    Args:
        origin: the checkpoint.
        ours: the labels of the model.
        theirs: those of the checkpoint.
    """
    if list(ours) == list(theirs):
        return f"Started from {origin}."
    kept = [name for name in ours if name in theirs]
    new = [name for name in ours if name not in theirs]
    return (
        f"Started from {origin}, whose labels differ: the head keeps {', '.join(kept[:10]) or 'none'}; "
        f"new: {', '.join(new[:10]) or 'none'}."
    )
