"""``drivetrain data check``: check every picture of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.cli.answer import Answer
from drivetrain.errors import OptionError

if TYPE_CHECKING:
    from drivetrain.cli.render import Page
    from drivetrain.types.data_findings import DataFindings


def check_pictures(
    path: Path, reading: Mapping[str, Any], asking: Mapping[str, Any], *, html: Path | None, limit: int
) -> Answer:
    """The findings in the pictures and annotations of a data set.

    Args:
        path: the path of the data set.
        reading: options of :func:`drivetrain.load_dataset`.
        asking: options of :func:`drivetrain.check_dataset`.
        html: a page to write.
        limit: findings of each kind to show.

    Raises:
        OptionError: an option is wrong.
        DataError: the data cannot be read, or do not suit the model's task.
    """
    from drivetrain.cli.data import require_page, write_page_of
    from drivetrain.data import load_dataset
    from drivetrain.engine.check_dataset import check_dataset

    if limit < 0:
        raise OptionError(f"limit={limit} must be 0 or more.")
    require_page(html)
    data = load_dataset(path, **reading)
    findings = check_dataset(data, **asking)
    facts = {"kind": "data_check", "path": path, **findings.to_dict()}
    if html is not None:
        facts["html"] = write_page_of(data, findings, html)
    return Answer(facts, lambda page: _tell(page, findings, facts, limit))


def _tell(page: Page, findings: DataFindings, facts: Mapping[str, Any], limit: int) -> None:
    from drivetrain.cli.render import from_here
    from drivetrain.types.data_findings import KINDS

    page.line(f"data set  {facts['path']}, {findings.images} images")
    for note in findings.notes:
        page.line(f"note: {note}")
    if not findings:
        page.line("Nothing was found.")
    for kind, count in findings.counts.items():
        page.line(f"\n{KINDS[kind]}: {count}")
        for item in findings.of_kind(kind)[:limit]:
            place = from_here(item.path) if item.path else "data set"
            box = f" at {', '.join(f'{value:.0f}' for value in item.box)}" if item.box else ""
            label = f" [{item.label or 'none'} -> {item.suggested_label or 'none'}]" if item.suggested_label else ""
            page.line(f"  {place}{box}{label}: {item.reason}")
        if count > limit:
            page.line(f"  ... and {count - limit} more; --json and --html show all.")
    page.line("")
    for what, how in findings.methods.items():
        page.line(f"looked for {what} by: {how}.")
    for what, why in findings.not_checked.items():
        page.line(f"not looked for: {what}; {why}.")
    if "html" in facts:
        page.line(f"page      {facts['html']}")
