"""What is known about a data set apart from its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass

from drivetrain.types import Task


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Image files of a source that were not read.

    folder: relative to the root; ``""`` for the root.
        suffix: of the files, in lower case.
        count: the number of files.
        reason: why, to be read after the folder.
        reason: why, to be read after the folder.
    """

    folder: str
    suffix: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about a data set that is not in its rows.

    Attributes:
        label_names: the name of each label, by its number.
        task: what the annotations are for.
        source: what was loaded, as given.
        format: the name of the format it was read as.
        root: the folder it was read from; ``""`` if it came from memory.
        fingerprint: a hash of the files and the choices made since.
        notes: what the user should know.
        skipped: ``(path, reason)`` of each skipped image.
        keypoint_names: the name of each keypoint.
        left_out: image files of the source that are neither items nor masks, with the reason.
        annotated: whether the source says anything about its images.
    """

    label_names: tuple[str, ...]
    task: Task
    source: str = ""
    format: str = ""
    root: str = ""
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    keypoint_names: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    annotated: bool = True

    @classmethod
    def from_json(cls, text: str | bytes) -> Facts:
        """The inverse of ``json.dumps(asdict(facts))``."""
        values = json.loads(text)
        values["task"] = Task(values["task"])
        values["skipped"] = tuple((path, reason) for path, reason in values["skipped"])
        values["left_out"] = tuple(LeftOut(**entry) for entry in values["left_out"])
        for name in ("label_names", "notes", "keypoint_names"):
            values[name] = tuple(values[name])
        return cls(**values)
