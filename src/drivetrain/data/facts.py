"""What is known of a data set beside its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass

from drivetrain.types import Task


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

    @classmethod
    def from_json(cls, text: str | bytes) -> Facts:
        """The inverse of ``json.dumps(asdict(facts))``."""
        values = json.loads(text)
        values["task"] = Task(values["task"])
        values["skipped"] = tuple((path, reason) for path, reason in values["skipped"])
        for name in ("label_names", "notes", "keypoint_names"):
            values[name] = tuple(values[name])
        return cls(**values)
