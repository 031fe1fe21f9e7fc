"""``drivetrain deploy``: from an artefact to a folder that is ready for deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivetrain.cli.answer import Answer
from drivetrain.cli.render import Page


def write_folder(artifact: Path, folder: Path, **options: Any) -> Answer:
    """Write it, and list what is in it.

    Raises:
        DrivetrainError: as :func:`drivetrain.deploy` does.
    """
    from drivetrain.export.deployment import deploy

    written = deploy(artifact, folder, **options)
    files = sorted(item.relative_to(written).as_posix() for item in written.rglob("*") if item.is_file())

    def tell(page: Page) -> None:
        page.line(f"folder  {written}")
        for name in files:
            if not name.startswith("artifact/"):
                page.line(f"        {name}")
        page.line(f"\nNext: {written / 'README.md'} says how to run it.")

    return Answer({"folder": str(written), "form": options["form"], "files": files}, tell)
