"""``drivetrain compare``: models of any framework in one table and on one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivetrain.cli.answer import Answer
from drivetrain.cli.render import Page, from_here
from drivetrain.cli.wording import command


def compare_models(models: str, data: Path, options: Mapping[str, Any], *, quiet: bool) -> Answer:
    """Compare, and show the table.

    Args:
        models: the models, separated by commas.
        data: the data to train and evaluate them on.
        options: options of :func:`drivetrain.compare`.
        quiet: show no progress.

    Raises:
        DrivetrainError: raised by :func:`drivetrain.compare`.
    """
    from drivetrain.engine.compare_models import compare
    from drivetrain.engine.data import require_path
    from drivetrain.report.comparison_page import comparison_rows
    from drivetrain.runs.progress import LineProgress, SilentProgress

    require_path(data)
    found = compare(models, data, **options, progress=SilentProgress() if quiet else LineProgress())

    def tell(page: Page) -> None:
        page.line(f"{len(found.models)} models on {found.images} test images of {found.source}, by {found.metric}:")
        page.table(*comparison_rows(found, brief=True))
        for row in found.models:
            if row.state == "failed":
                page.line(f"{row.name} failed: {row.error}")
        page.line(f"page  {from_here(str(found.report))}")
        best = next((row for row in found.ranked if row.artifact), None)
        if best is not None:
            page.line(f"next: {command('drivetrain', 'predict', '--model', best.artifact, '--source', str(data))}")

    return Answer(found.to_dict(), tell)
