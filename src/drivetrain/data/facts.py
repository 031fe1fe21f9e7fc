"""What is known of a data set beside its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass

from drivetrain.types import Task


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Image files of a source that were not read.

    Attributes:
        folder: below the root; ``""`` for the root.
        suffix: of the files, in lower case.
        count: how many there are.
        reason: why, to be read after the folder.
    """

    folder: str
    suffix: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All about a data set that is not in its rows.

    Attributes:
        label_names: the name of each label, by its number.
        task: what the annotations are for.
        source: what was loaded, as it was given.
        format: the name of the format it was read as.
        root: the folder it was read from; ``""`` if it came from memory.
        fingerprint: of the files and the choices made since.
        notes: what the user should know.
        skipped: ``(path, reason)`` of each image left out.
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
