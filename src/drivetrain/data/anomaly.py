"""Telling normal from anomalous images by their labels, for formats without a field for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from drivetrain.data.read_record import Parsed, ReadRequest
from drivetrain.errors import DataError, near
from drivetrain.types import Task

NORMAL_NAMES = ("good", "normal", "ok")
ALL_ANOMALOUS = "All images count as anomalies"

# words that may accompany the kind of images in a folder's name: normal_dir, ok_images
_FILLERS = frozenset({"dir", "folder", "image", "images", "img", "imgs", "picture", "pictures", "sample", "samples"})


def is_normal_name(name: str) -> bool:
    """Whether a label or folder usually stands for normal images: ``good``, ``OK``, ``normal_dir``."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word and word not in _FILLERS]
    return len(words) == 1 and words[0] in NORMAL_NAMES


def normal_labels(names: Sequence[str], request: ReadRequest, notes: list[str], what: str = "label") -> set[str]:
    """The names that stand for normal images.

    Args:
        names: all labels.
        request: the user's request; ``normal`` names them, otherwise the usual names are looked for.
        notes: gets a note if none of the names is a usual one, so that all images count as anomalies.
        what: what to call a label in the message.

    Raises:
        DataError: the user named normal labels, but none of them is among the names.
    """
    if request.normal:
        found = {name for name in names if name.lower() in request.normal}
        if not found:
            raise DataError(
                f"normal={', '.join(request.normal)!r}: no {what} is named {' or '.join(map(repr, request.normal))}."
                f"{near(request.normal[0], names)} There are: {', '.join(names)}."
            )
        return found
    found = {name for name in names if is_normal_name(name)}
    if not found:
        usual = f"{', '.join(map(repr, NORMAL_NAMES[:-1]))} or {NORMAL_NAMES[-1]!r}"
        notes.append(
            f"{ALL_ANOMALOUS}: no {what} is named {usual}; there are: {', '.join(names) or 'none'}. If one of them is "
            "the label of the normal images, name it: normal='NAME' of load_dataset, --data.normal NAME."
        )
    return found


def mark_anomalies(parsed: Parsed, request: ReadRequest) -> None:
    """Turn labelled images into anomaly data; images without a label stay unknown.

    Raises:
        DataError: the user named normal labels, but none of them exists.
    """
    normal = normal_labels(parsed.label_names, request, parsed.notes)
    parsed.task = Task.ANOMALY
    for record in parsed.records:
        if record.labels:
            record.anomalous = not all(parsed.label_names[label] in normal for label in record.labels)
