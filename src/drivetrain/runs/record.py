"""Reading an earlier run: its record, its checkpoints, its data."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from drivetrain.errors import CheckpointNotFoundError, WorkDirError, either
from drivetrain.types.results import EpochRecord

_DEPTH = 4  # the maximum depth of a run's file within its work dir
#: Options that concern only one part of a run, or that cannot be stored in a record.
_FOR_ONE_PART = ("resume", "overwrite", "checkpoint", "run_hpo", "hpo_config", "callbacks")


def _is_plain(logger: Any) -> bool:
    names = logger if isinstance(logger, list) else [logger]
    return all(isinstance(name, str) and not name.startswith("<") for name in names)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The record of a run, read from its work dir; empty if there is no run.

    Attributes:
        directory: the work dir.
        content: the content of its ``run.json``.
    """

    directory: Path | None = None
    content: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any) -> Self:
        """The run whose work dir was given as the model; an empty record if none was.

        Raises:
            WorkDirError: its record cannot be read.
        """
        if isinstance(model, Path) and (model / "run.json").is_file():
            return cls(model.absolute(), read_record(model))
        return cls()

    @classmethod
    def at(cls, directory: Path) -> Self:
        """The run in a folder; an empty record if there is none.

        Raises:
            WorkDirError: its record cannot be read.
        """
        return cls.of(Path(directory))

    @classmethod
    def around(cls, path: Path) -> Self:
        """The run whose work dir contains a file, such as a checkpoint or an artefact; an empty record if none does.

        Raises:
            WorkDirError: its record cannot be read.
        """
        found = next((folder for folder in path.absolute().parents[:_DEPTH] if (folder / "run.json").is_file()), None)
        return cls() if found is None else cls.at(found)

    @property
    def model_name(self) -> str | None:
        """The model, as it was named."""
        name: str | None = (self.content.get("model") or {}).get("name")
        return name

    @property
    def model_args(self) -> dict[str, Any]:
        """The arguments of the model's constructor."""
        return dict((self.content.get("model") or {}).get("args") or {})

    @property
    def data_source(self) -> str:
        """Where the data were read from; ``""`` if the record does not say."""
        data = self.content.get("data")
        return str(data.get("source") or "") if isinstance(data, dict) else ""

    @property
    def data(self) -> str | None:
        """Where the data were read from, if that still exists."""
        source = self.data_source
        return source if source and Path(source).exists() else None

    @property
    def data_args(self) -> dict[str, Any]:
        """The arguments with which the data were read."""
        data = self.content.get("data")
        return dict(data.get("args") or {}) if isinstance(data, dict) else {}

    @property
    def data_task(self) -> str | None:
        """The task for which the data were read, if one was given or chosen."""
        data = self.content.get("data")
        return data.get("task") if isinstance(data, dict) else None

    @property
    def normal_labels(self) -> tuple[str, ...]:
        """The labels whose images counted as normal; empty unless the task is anomaly detection."""
        data = self.content.get("data")
        return tuple(data.get("normal") or ()) if isinstance(data, dict) else ()

    def was_trained_on(self, source: str, fingerprint: str) -> bool:
        """Whether the run was trained on the given data.

        Args:
            source: where the data were read from.
            fingerprint: the fingerprint of the data set, with its subsets.
        """
        data = self.content.get("data")
        if not isinstance(data, dict):
            return False
        if fingerprint and data.get("fingerprint") == fingerprint:
            return True
        return bool(source and self.data_source) and Path(source).absolute() == Path(self.data_source).absolute()

    @property
    def options(self) -> dict[str, Any]:
        """The options of ``train`` that the run was started with and that apply again when it is resumed.

        Objects (callbacks, loggers) are not included, since a record cannot hold them.
        """
        found = {}
        for name, value in (self.content.get("options") or {}).items():
            if value is None or name in _FOR_ONE_PART or (name == "logger" and not _is_plain(value)):
                continue
            found[name] = tuple(value) if name == "image_size" and isinstance(value, list) else value
        return found

    def checkpoint(self, which: str, folder: Path | None = None) -> Path | None:
        """The checkpoint ``"best"`` or ``"last"``; searched for in ``folder`` if this is not a run."""
        folder = self.directory or folder
        if folder is None:
            return None
        name: str | None = (self.content.get("checkpoints") or {}).get(which)
        if name is not None and (folder / name).exists():
            return folder / name
        return next(iter(sorted((folder / "checkpoints").glob(f"{which}.*"))), None)

    def kept(self, which: str, folder: Path | None = None) -> Path:
        """As :meth:`checkpoint`, but the checkpoint must exist.

        Raises:
            CheckpointNotFoundError: there is none.
        """
        found = self.checkpoint(which, folder)
        if found is None:
            where = "" if folder is None else f" in {str(folder)!r}"
            raise CheckpointNotFoundError(
                f"checkpoint={which!r}: the run{where} has none. Train first, or give a path."
            )
        return found

    def state(self, *, locked: bool | None = None) -> str:
        """The state of the run in words: "finished", or "killed after epoch 9 of 12".

        A run whose record says "running" while no process holds its work dir was killed, or could not write its end.

        Args:
            locked: whether a process holds the work dir; determined if not given.
        """
        status = str(self.content.get("status", "unknown"))
        if status == "running" and self.directory is not None:
            held = is_held(self.directory) if locked is None else locked
            status = status if held else "killed"
        if status == "finished" or self.directory is None:
            return status
        done = len(read_history(self.directory / "metrics.csv"))
        wanted = (self.content.get("options") or {}).get("max_epochs")
        return f"{status} after epoch {done}" + (f" of {wanted}" if wanted else "") if done else f"{status} in epoch 1"

    @property
    def has_no_checkpoint(self) -> bool:
        """Whether this is a run that saved no checkpoint, so it can only start over."""
        return self.directory is not None and self.checkpoint("best") is None and self.checkpoint("last") is None

    @property
    def how_to_go_on(self) -> str:
        """How to resume the run, as a part of a sentence."""
        place = str(self.directory)
        if self.directory is None or not (self.directory / "config.yaml").is_file():
            return f"the same engine, with work_dir={place!r} and resume=True"
        return either(
            f"Engine({place!r}).train(resume=True)", f"drivetrain train --work_dir {shlex.quote(place)} --resume"
        )

    @property
    def said_of_unfinished(self) -> str:
        """A sentence for those who use a run that did not finish."""
        state = self.state()
        if state.startswith("running"):
            return f"The run {str(self.directory)!r} is still {state}; its checkpoint so far is used."
        return f"The run was {state}; its checkpoint so far is used. Continue it with: {self.how_to_go_on}"

    def chosen(self) -> Path | None:
        """The checkpoint to use for the run: the best, else the last.

        Raises:
            CheckpointNotFoundError: the run did not finish and saved none.
        """
        found = self.checkpoint("best") or self.checkpoint("last")
        if found is None and self.content.get("status") != "finished":
            raise CheckpointNotFoundError(
                f"model={str(self.directory)!r} is the work dir of a run ({self.state()}) that saved no checkpoint. "
                f"Continue it with: {self.how_to_go_on}"
            )
        return found


def checkpoint_file(checkpoint: str | Path) -> Path:
    """The checkpoint file at a path: the file itself, or the checkpoint of a work dir.

    Raises:
        CheckpointNotFoundError: there is none.
    """
    from drivetrain.models.checkpoint import require_file

    path = Path(checkpoint).expanduser()
    run = RunRecord.of(path)
    if run.directory is not None:
        path = run.checkpoint("best") or run.checkpoint("last") or path / "checkpoints"
    require_file(path)
    return path


def own_checkpoint(model: Any, artifact_suffixes: Sequence[str] = (), run: RunRecord | None = None) -> Path | None:
    """The checkpoint that was given as the model: the file itself, or that of its work dir; ``None`` if neither.

    Args:
        model: the resolved model.
        artifact_suffixes: suffixes of files that are models rather than checkpoints.
        run: the record of the work dir, if it has already been read.

    Raises:
        CheckpointNotFoundError: the run in the work dir has none.
    """
    if not isinstance(model, Path) or model.suffix in artifact_suffixes:
        return None
    if not model.is_dir():
        return model
    run = RunRecord.of(model) if run is None else run
    return run.chosen() if run.directory is not None else None


def require_own_checkpoint(model: Path, artifact_suffixes: Sequence[str] = ()) -> Path:
    """The checkpoint that was given as the model; see :func:`own_checkpoint`.

    Raises:
        CheckpointNotFoundError: there is none.
    """
    found = own_checkpoint(model, artifact_suffixes)
    if found is None:
        raise CheckpointNotFoundError(f"model={str(model)!r} has no checkpoint. Train again with overwrite=True.")
    return found


def is_held(directory: Path) -> bool:
    """Whether a process holds the lock of a work dir."""
    try:
        with (directory / ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_record(directory: Path) -> dict[str, Any]:
    """The content of ``run.json`` in a work dir.

    Raises:
        WorkDirError: it does not exist or is damaged.
    """
    path = directory / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkDirError(
            f"{str(path)!r} cannot be read ({error}). Replace the run with overwrite=True, or give another work_dir."
        ) from error
    if not isinstance(record, dict):
        raise WorkDirError(f"{str(path)!r} is not the record of a run. Give another work_dir.")
    return record


def history_table(history: Sequence[EpochRecord]) -> str:
    """The history as CSV: ``epoch`` and every metric that occurs, one row per epoch."""
    names = list(dict.fromkeys(name for record in history for name in record.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *names])
    for record in history:
        writer.writerow([record.epoch, *(repr(record.metrics[n]) if n in record.metrics else "" for n in names)])
    return text.getvalue()


def read_history(path: Path) -> list[EpochRecord]:
    """The inverse of :func:`history_table`; empty if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        EpochRecord(int(row["epoch"]), {k: float(v) for k, v in row.items() if k != "epoch" and v not in ("", None)})
        for row in rows
    ]
