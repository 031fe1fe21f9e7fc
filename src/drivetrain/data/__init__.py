"""Data sets of any format as a single canonical table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivetrain.machine.packages import import_object

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.from_predictions import dataset_from_predictions
    from drivetrain.data.load import load_dataset
    from drivetrain.data.write import write_dataset

_PUBLIC = {
    "Dataset": "drivetrain.data.dataset:Dataset",
    "dataset_from_predictions": "drivetrain.data.from_predictions:dataset_from_predictions",
    "load_dataset": "drivetrain.data.load:load_dataset",
    "write_dataset": "drivetrain.data.write:write_dataset",
}

__all__ = ["Dataset", "dataset_from_predictions", "load_dataset", "write_dataset"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'drivetrain.data' has no attribute {name!r}")
    value = import_object(_PUBLIC[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
