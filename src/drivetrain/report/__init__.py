"""Visual results: drawn predictions, tables and the page of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivetrain.machine.packages import import_object

if TYPE_CHECKING:
    from drivetrain.report.data_page import write_data_page
    from drivetrain.report.drawing import draw
    from drivetrain.report.page import write_report
    from drivetrain.report.save import save_drawings
    from drivetrain.report.tables import (
        compare_markdown,
        compare_table,
        metrics_markdown,
        metrics_table,
    )

__all__ = [
    "compare_markdown",
    "compare_table",
    "draw",
    "metrics_markdown",
    "metrics_table",
    "save_drawings",
    "write_data_page",
    "write_report",
]

_HOMES = {"draw": "drawing", "save_drawings": "save", "write_data_page": "data_page", "write_report": "page"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = import_object(f"{__name__}.{_HOMES.get(name, 'tables')}:{name}")
    globals()[name] = found
    return found
