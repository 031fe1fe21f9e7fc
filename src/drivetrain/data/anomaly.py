"""Which labels stand for normal images."""

from __future__ import annotations

from collections.abc import Sequence

from drivetrain.data.read_record import Parsed, ReadRequest
from drivetrain.errors import DataError
from drivetrain.types import Task

NORMAL_NAMES = ("good", "normal", "ok")


def normal_labels(names: Sequence[str], request: ReadRequest, what: str = "label") -> set[str]:
    """Those of the names that stand for normal images.

    Args:
        names: all labels.
        request: what the user asked; ``normal`` names them, otherwise the usual names are looked for.
        what: how to call a label in the message.

    Raises:
        DataError: none of the names does.
    """
    wanted = request.normal or NORMAL_NAMES
    found = {name for name in names if name.lower() in wanted}
    if not found:
        argument = f"normal={', '.join(request.normal)!r}" if request.normal else "task='anomaly'"
        example = names[0] if names else "good"
        raise DataError(
            f"{argument}: no {what} is named {' or '.join(map(repr, wanted))}. There are: {', '.join(names)}. "
            f"Name the one of the normal images: load_dataset(..., normal={example!r})."
        )
    return found


def mark_anomalies(parsed: Parsed, request: ReadRequest) -> None:
    """Turn labelled images into anomaly data; images without a label stay unknown.

    Raises:
        DataError: no label stands for normal images.
    """
    normal = normal_labels(parsed.label_names, request)
    parsed.task = Task.ANOMALY
    for record in parsed.records:
        if record.labels:
            record.anomalous = not all(parsed.label_names[label] in normal for label in record.labels)
