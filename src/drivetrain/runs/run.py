"""The work dir of a run: locked while it runs, and written atomically."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import math
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drivetrain._version import __version__
from drivetrain.errors import StorageError, WorkDirError
from drivetrain.machine import files
from drivetrain.machine.versions import environment, git_state
from drivetrain.runs.place import WRITTEN, check_free, held
from drivetrain.runs.progress import Progress
from drivetrain.runs.record import history_table, read_history, read_record
from drivetrain.runs.tracking import Trackers
from drivetrain.types.results import EpochRecord, lower_is_better

_SCHEMA = 1
#: What a record says of one part of a run alone, and not of the run when it goes on.
_OF_ONE_PART = ("error", "git")


def plain(value: Any) -> Any:
    """The value as plain data for JSON; a value without a plain form is described by its class."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain(value.item())
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def file_name(text: str) -> str:
    """The text without characters unsuitable for a file name, shortened if necessary."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip("-.")[:40]


def default_work_dir(model: str, data: str) -> Path:
    """A new ``runs/<model>-<data>-<time>`` below the current folder; it is not created yet."""
    parts = [file_name(part) for part in (model, data) if part]
    stamp = datetime.now(UTC).astimezone().strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / "-".join([*filter(None, parts), stamp])
    path, number = base, 2
    while path.exists():
        path, number = base.with_name(f"{base.name}-{number}"), number + 1
    return path.absolute()


class Run:
    """One training run in its work dir, which is locked while it runs.

    Attributes:
        directory: the work dir.
        progress: displays steps and notes.
        history: the records of all epochs so far, including those before a resume.
        record: the content of ``run.json``.
        earlier: the content of ``run.json`` before this part of a resumed run began.
        trackers: the trackers that the run reports to.
        metric: the metric that selects the best state, once the engine knows it.
    """

    def __init__(self, directory: Path, progress: Progress) -> None:
        self.directory = directory
        self.progress = progress
        self.history: list[EpochRecord] = []
        self.record: dict[str, Any] = {}
        self.earlier: Mapping[str, Any] = {}
        self.notes: list[str] = []
        self.trackers: Trackers | None = None
        self.metric: str | None = None
        self._lock: int | None = None
        self._begun = False
        self._replaces = False
        self._found: frozenset[str] = frozenset()

    @property
    def checkpoints(self) -> Path:
        """The checkpoint folder."""
        return self.directory / "checkpoints"

    @property
    def metrics_csv(self) -> Path:
        """The history as a table."""
        return self.directory / "metrics.csv"

    @classmethod
    def open(cls, directory: Path, progress: Progress, *, resume: bool = False, overwrite: bool = False) -> Run:
        """Acquire the work dir for a training run.

        Raises:
            WorkDirError: it is not writable, another process is using it, it already holds a run (and neither
                ``resume`` nor ``overwrite`` is given), or there is nothing to resume.
        """
        run = cls(directory, progress)
        run.take()
        try:
            run.settle(resume=resume, overwrite=overwrite)
        except BaseException:
            run.release()
            raise
        return run

    def take(self) -> None:
        """Create the folder and lock it.

        Raises:
            WorkDirError: it is not writable, or another process is using it.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise WorkDirError(
                f"work_dir={str(self.directory)!r} is not writable ({error.strerror or error}). "
                "Give a writable folder: work_dir=..."
            ) from error
        try:
            _lock(self._lock)
        except OSError as error:
            self._close_lock()
            raise held(self.directory) from error
        with contextlib.suppress(OSError):  # the holder's name is only information; the lock itself is held
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"process {os.getpid()} of {getpass.getuser()} on {platform.node()}".encode(), 0)

    def settle(self, *, resume: bool, overwrite: bool) -> None:
        """Read the run to be resumed, or check that the folder is free.

        Raises:
            WorkDirError: there is nothing to resume, or the folder holds a run and ``overwrite`` is not set.
        """
        check_free(self.directory, resume=resume, overwrite=overwrite)
        if resume:
            self.record = read_record(self.directory)
            self.notes = list(self.record.get("notes", []))
            self.history = read_history(self.metrics_csv)
            return
        self._replaces = overwrite and (self.directory / "run.json").is_file()

    def start_over(self) -> None:
        """Forget the epochs of a run that saved no state to resume from, and say so."""
        self.history = []
        self.note("The run saved no checkpoint, so it starts over.")

    def _clear(self) -> None:
        """Remove what the replaced run wrote, but none of the user's own files."""
        self._remove(WRITTEN)

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            path = self.directory / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def begin(self, record: Mapping[str, Any], *, config: Mapping[str, Any] | None = None) -> None:
        """Write ``run.json`` before training starts; a run that is replaced is only removed now.

        Args:
            record: what was requested.
            config: a config that repeats the run on the command line, for ``config.yaml``.
        """
        if self._replaces:
            self._clear()
            self._replaces = False
        self._found = frozenset(path.name for path in self.directory.iterdir())
        self.earlier = self.record
        before = self.earlier.get("tracking") or {}
        parts = [*self.record.get("parts", []), {"started": time_stamp(), "command": sys.argv}]
        self.record = {
            **{name: value for name, value in self.earlier.items() if name not in _OF_ONE_PART},
            "schema": _SCHEMA,
            "status": "running",
            "drivetrain": __version__,
            **plain(record),
            "parts": plain(parts),
            "environment": environment(),
            "git": git_state(),
            "notes": list(self.notes),
        }
        with files.explained(self.directory, files.WORK_DIR):
            self.checkpoints.mkdir(exist_ok=True)
        self._begun = True
        if config is not None:
            import yaml

            text = yaml.safe_dump({"drivetrain": __version__, **plain(config)}, sort_keys=False)
            files.write_text(self.directory / "config.yaml", text)
        self._save()
        if self.trackers:
            self.update(tracking=self.trackers.begin(self.directory, self.record, before, self.note))

    def config(self) -> dict[str, Any] | None:
        """The content of ``config.yaml`` without the version that wrote it; ``None`` if there is none."""
        path = self.directory / "config.yaml"
        if not path.is_file():
            return None
        import yaml

        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {name: value for name, value in values.items() if name != "drivetrain"}

    def update(self, **values: Any) -> None:
        """Add to ``run.json`` what became known later, such as the upstream's effective options."""
        self.record.update(plain(values))
        self._save()

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> EpochRecord:
        """Record an epoch: in the history, in ``metrics.csv``, and on screen."""
        before = [old for old in self.history if old.epoch < epoch]
        values = {name: float(value) for name, value in metrics.items()}
        if self.metric in values:
            values = {self.metric: values.pop(self.metric), **values}
        record = EpochRecord(epoch, values, self._is_best(values, before))
        self.history = [*before, record]
        files.write_text(self.metrics_csv, history_table(self.history))
        self.progress.epoch_end(record)
        if self.trackers:
            self.trackers.log_epoch(epoch, record.metrics)
        return record

    def _is_best(self, values: Mapping[str, float], before: Sequence[EpochRecord]) -> bool:
        """Whether no earlier epoch was as good by the selecting metric."""
        name = self.metric
        if name is None or not math.isfinite(values.get(name, math.nan)):
            return False
        sign = -1 if lower_is_better(name) else 1
        others = (sign * record.metrics[name] for record in before if math.isfinite(record.metrics.get(name, math.nan)))
        return all(sign * values[name] > other for other in others)

    def note(self, text: str) -> None:
        """Show the user a note and add it to the record."""
        if text not in self.notes:
            self.notes.append(text)
            self.progress.note(text)

    def close(self, status: str, **values: Any) -> None:
        """Complete ``run.json`` and release the work dir in any case; a run that never began leaves no trace.

        Args:
            status: ``"finished"``, ``"interrupted"`` or ``"failed"``.
            **values: further entries for the record.

        Raises:
            StorageError: the record of a finished run cannot be written.
        """
        try:
            self.progress.stop()
            if self._begun:
                self._complete(status, values)
        finally:
            self.release()

    def refuse(self, error: str) -> None:
        """Close a run whose options were only refused after it began; a new one without a state leaves no trace.

        Args:
            error: the reason, for the record of a run that stays.
        """
        has_state = bool(self.earlier or self.history) or (self._begun and any(self.checkpoints.iterdir()))
        if self._begun and not has_state and not self.trackers:
            self._begun = False
            with contextlib.suppress(OSError):  # the refusal is what the user must see
                self._remove(name for name in WRITTEN if name not in self._found)
        self.close("failed", error=error)

    def _complete(self, status: str, values: Mapping[str, Any]) -> None:
        """Write the end of the run into its record; for a failed run, an error here must not hide the original one."""
        self.record["parts"][-1].update({"ended": time_stamp(), "status": status})
        try:
            self.update(status=status, notes=self.notes, **values)
            if self.trackers:
                self.trackers.close(status, self.directory)
                self.update(notes=self.notes)
        except StorageError as error:
            if status == "finished":
                raise
            self.progress.note(f"run.json could not be updated to say that the run {status}: {error}")

    def release(self) -> None:
        """Release the work dir; if it holds no run, leave it as it was found."""
        if self._lock is None:
            return
        try:
            if not (self.directory / "run.json").exists():
                (self.directory / ".lock").unlink(missing_ok=True)
                if not any(self.directory.iterdir()):
                    self.directory.rmdir()
        except OSError as error:
            self.progress.note(f"{str(self.directory)!r} could not be cleaned up: {error}")
        finally:
            self._close_lock()

    def _close_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _save(self) -> None:
        files.write_json(self.directory / "run.json", self.record)


def _lock(handle: int) -> None:
    """Acquire a lock; one held only for the check in ``is_held`` becomes free a moment later.

    Raises:
        OSError: another process holds it.
    """
    for _ in range(3):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.02)
    return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def time_stamp() -> str:
    """The time now, to the second, as it stands in records."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
