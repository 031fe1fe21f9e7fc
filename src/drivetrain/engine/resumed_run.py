"""Checking that a resumed run is the one that was started, on its device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.errors import CheckpointError, OptionError, WorkDirError
from drivetrain.runs.record import RunRecord

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.engine.state import EngineState
    from drivetrain.runs.run import Run

#: Options that apply to single parts of a run, are checked elsewhere, or are objects that a record cannot compare.
_OF_NO_MATTER = ("resume", "image_size", "callbacks", "logger", "run_hpo", "hpo_config")


def keep_device(engine: EngineState) -> None:
    """Use the device that the run was started with, unless another is given."""
    begun = RunRecord.at(engine.work_dir).content.get("device")
    if engine.device == "auto" and begun is not None:
        engine.setup = engine.framework.setup = replace(engine.setup, device=begun)


def require_other_folder(engine: EngineState) -> None:
    """Refuse the folder of the data as the work dir.

    Raises:
        WorkDirError: they are the same.
    """
    source = engine.data.source
    if isinstance(source, str | Path) and Path(source).expanduser().absolute() == engine.work_dir:
        raise WorkDirError(f"work_dir={str(source)!r} is the folder of the data. Give another work_dir.")


def said_of_stopped(run: RunRecord) -> str:
    """The message after Ctrl-C has stopped a training."""
    if run.directory is None:
        return "Training was stopped before it began; nothing was written."
    kept = (
        "it has saved no state yet"
        if run.has_no_checkpoint
        else f"the last state is in {run.directory / 'checkpoints'}"
    )
    return f"Training was {run.state().replace('interrupted', 'stopped', 1)}; {kept}. To continue: {run.how_to_go_on}"


def compare_with_record(engine: EngineState, run: Run, given: Mapping[str, Any]) -> None:
    """Refuse to resume with another model or other data, and note which options have changed.

    Raises:
        OptionError: the image size, the model arguments or the data differ, or the saved state fixes an option.
    """
    from drivetrain.runs.run import plain

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
    if not engine.has_native_data:
        _compare_data(engine.dataset, record, run)
    device = run.record.get("device")
    for name, value in {**given, **({"device": engine.device} if device else {})}.items():
        before = device if name == "device" else begun.get(name, used.get(name))
        if name in _OF_NO_MATTER or plain(before) == plain(value):
            continue
        if name in engine.framework.kept_on_resume and not record.has_no_checkpoint:
            raise OptionError(
                f"{name}={value!r} cannot be honoured: the training resumes with that of its saved state "
                f"({before if before is not None else 'the default'}). Leave {name} out, or start a new run with "
                f"checkpoint={str(run.directory)!r}."
            )
        how = "without it" if before is None else f"with {before!r}"
        run.note(f"{name} is {value!r} from now on; the run was started {how}.")


def _compare_data(dataset: Dataset, record: RunRecord, run: Run) -> None:
    """Refuse data other than those of the run; note that they have changed, or were moved as a whole."""
    found = record.content.get("data")
    before: Mapping[str, Any] = found if isinstance(found, dict) else {}
    if before.get("fingerprint") in (None, dataset.fingerprint):
        return
    source = record.data_source
    if Path(source).absolute() == Path(dataset.source).absolute():
        run.note(f"The data in {source} have changed since the run was started.")
        return
    labels = record.content.get("label_names") or []
    same = (dict(before.get("subsets") or {}), list(labels)) == (dict(dataset.subsets), list(dataset.label_names))
    if record.data is not None or not same:
        raise OptionError(
            f"data={dataset.source!r}: the run was started with {source!r}. Leave data out, or start a new run with "
            "checkpoint=..."
        )
    run.note(f"The data of the run were in {source}, which no longer exists; those in {dataset.source} are used.")


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
