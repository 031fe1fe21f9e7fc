"""Checking that a resumed run is the one that was started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.state import EngineState
from drivetrain.errors import CheckpointError, OptionError
from drivetrain.runs.record import RunRecord

if TYPE_CHECKING:
    from drivetrain.runs.run import Run


def compare_with_record(engine: EngineState, run: Run, given: Mapping[str, Any]) -> None:
    """Refuse to resume with another model or other data, and note which options have changed.

    Raises:
        OptionError: the image size, the model arguments or the data differ from those of the run.
    """
    record = RunRecord(run.directory, run.record)
    begun = record.options
    used = run.record.get("effective_options") or {}
    size = begun.get("image_size") or used.get("image_size")
    if "image_size" in given and size is not None and _both(given["image_size"]) != _both(size):
        raise OptionError(f"image_size={given['image_size']!r}: the run was started with {size!r}; leave it out.")
    if engine.setup.model_args != record.model_args and engine.setup.takes_model_args:
        raise OptionError(
            f"model_args={engine.model_args!r}: the run was started with {record.model_args!r}; leave them out."
        )
    source = (run.record.get("data") or {}) if isinstance(run.record.get("data"), dict) else {}
    if not engine.has_native_data and source.get("fingerprint") not in (None, engine.dataset.fingerprint):
        if Path(source["source"]).absolute() != Path(engine.dataset.source).absolute():
            raise OptionError(
                f"data={engine.dataset.source!r}: the run was started with {source['source']!r}. Leave data out, or "
                "start a new run with checkpoint=..."
            )
        run.note(f"The data in {source['source']} have changed since the run was started.")
    for name, value in given.items():
        if name in begun and begun[name] != value:
            run.note(f"{name} is {value!r} from now on; the run was started with {begun[name]!r}.")


def _both(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def check_same_run(engine: EngineState, record: Mapping[str, Any]) -> None:
    """Refuse to resume a run of another engine or another model.

    Raises:
        CheckpointError: the engine or the model differs.
    """
    for what, ours, theirs in (
        ("engine", engine.spec.name, record.get("engine")),
        ("model", engine.setup.model_name, record.get("model", {}).get("name")),
    ):
        if ours != theirs:
            raise CheckpointError(
                f"resume=True: the work dir {str(engine.work_dir)!r} holds a run of {what} {theirs!r}, not {ours!r}. "
                "Give the same model, or another work_dir."
            )
