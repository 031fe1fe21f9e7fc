"""Models, data and files in the words of the run record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.runs.run import Run


def describe_model(model: Any) -> str:
    """The path or name of a model, else its class."""
    if isinstance(model, str | Path):
        path = Path(model).expanduser()
        return str(path.absolute()) if path.exists() else str(model)
    return f"{type(model).__module__}.{type(model).__qualname__}"


def describe_data(data: Any) -> str:
    """The name of a folder or file, else the class of the data."""
    if isinstance(data, str | Path):
        return Path(data).stem
    return type(data).__name__ if data is not None else ""


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """What the record says of a data set; the fingerprint tells whether it is still the same."""
    return {
        "source": dataset.source,
        "format": dataset.format,
        "fingerprint": dataset.fingerprint,
        "subsets": dict(dataset.subsets),
        "labels": len(dataset.label_names),
    }


def relative(path: Path | None, run: Run) -> str | None:
    """The path as seen from the work dir of the run, if it lies in it."""
    if path is None:
        return None
    return str(path.relative_to(run.directory)) if path.is_relative_to(run.directory) else str(path)
