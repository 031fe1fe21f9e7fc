"""The trackers of a run; a tracker that fails does not stop the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

_FILES = ("config.yaml", "run.json", "metrics.csv", "report.html")
_PICTURES = ("*.png", "*.jpg")
_MOST_PICTURES = 24


class Tracker(Protocol):
    """An experiment tracker. Any exception means that it is unavailable, and the run continues without it."""

    name: str

    def begin(self, directory: Path, record: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
        """Start tracking.

        Args:
            directory: the work dir.
            record: the content of ``run.json``.
            before: what ``begin`` returned for the part of the run being resumed; else empty.

        Returns:
            Where the run can be viewed, for ``run.json``.
        """

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch under their names in ``metrics.csv``."""

    def log_file(self, path: Path, folder: str) -> None:
        """Store a file, below ``folder``."""

    def log_picture(self, name: str, path: Path) -> None:
        """Store a picture for display."""

    def close(self, status: str) -> None:
        """The run has ended: ``"finished"``, ``"interrupted"``, ``"pruned"`` or ``"failed"``."""


class Trackers:
    """Forwards everything to each tracker; one that fails is dropped, with one note.

    Args:
        members: the trackers.
    """

    def __init__(self, members: Sequence[Tracker]) -> None:
        self._members = list(members)
        self._note: Callable[[str], None] | None = None

    def __bool__(self) -> bool:
        """Whether any tracker is left."""
        return bool(self._members)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the trackers that are left."""
        return tuple(member.name for member in self._members)

    def begin(
        self, directory: Path, record: Mapping[str, Any], before: Mapping[str, Any], note: Callable[[str], None]
    ) -> dict[str, dict[str, str]]:
        """Open all of them.

        Args:
            directory: the work dir.
            record: the content of ``run.json``.
            before: what this returned for the part of the run being resumed; else empty.
            note: shows the user a message.

        Returns:
            name -> where the run can be viewed.
        """
        self._note = note
        places: dict[str, dict[str, str]] = {}

        def open_one(member: Tracker) -> None:
            places[member.name] = member.begin(directory, record, before.get(member.name) or {})

        self._each(open_one)
        return places

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch."""
        self._each(lambda member: member.log_epoch(epoch, metrics))

    def close(self, status: str, directory: Path) -> None:
        """Hand over the files of the work dir, then close all trackers."""
        files = [directory / name for name in _FILES]
        checkpoints = sorted((directory / "checkpoints").glob("[!.]*"))
        pictures = [path for pattern in _PICTURES for path in sorted(directory.rglob(pattern))]

        def close_one(member: Tracker) -> None:
            for path in filter(Path.is_file, files):
                member.log_file(path, "run")
            for path in filter(Path.is_file, checkpoints):
                member.log_file(path, "checkpoints")
            for path in pictures[:_MOST_PICTURES]:
                member.log_picture(path.relative_to(directory).with_suffix("").as_posix(), path)
            member.close(status)

        self._each(close_one)
        self._members.clear()

    def add(self, folder: Path, name: str, status: str) -> None:
        """Hand over every file of a folder to a reopened run, then close all trackers.

        Args:
            folder: an artefact folder.
            name: the folder name under which the files are stored.
            status: the status of the run.
        """
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]

        def add_to_one(member: Tracker) -> None:
            for path in files:
                member.log_file(path, (Path(name) / path.relative_to(folder).parent).as_posix())
            member.close(status)

        self._each(add_to_one)
        self._members.clear()

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for member in list(self._members):
            try:
                act(member)
            except Exception as error:
                self._members.remove(member)
                assert self._note is not None, "begin comes first"
                why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
                self._note(
                    f"{member.name} is not responding ({why}), so the run continues without it. "
                    "metrics.csv in the work dir has everything."
                )
