"""``drivetrain verify``: whether an artefact gives the same answers here as its model did where it was exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivetrain.cli.answer import Answer
from drivetrain.cli.render import Page


def verify_artifact(path: Path, **options: Any) -> Answer:
    """Verify the artefact, and show the differences next to the allowed ones.

    Raises:
        ArtifactError: it cannot be opened, was changed, or contains nothing to compare on.
        ParityError: its answers differ.
    """
    from drivetrain.export.verification import verify
    from drivetrain.runtime.artifact import Artifact

    artifact = Artifact.open(path)
    report = verify(artifact, **options)

    def tell(page: Page) -> None:
        page.line(f"artefact  {artifact.path}")
        page.line(f"what      {artifact.format} {artifact.precision}, {artifact.task.value}; every file is unchanged")
        rows = [
            (name, f"{value:.3g}", f"{report.tolerance[name]:.3g}") for name, value in report.max_difference.items()
        ]
        page.table(("compared with the model", "largest difference", "allowed"), rows)
        page.line(
            f"Same decision on {report.agreement:.0%} of {len(report.images)} pictures. Its answers are those of the "
            "model."
        )

    return Answer({"artifact": str(artifact.path), **report.to_dict()}, tell)
