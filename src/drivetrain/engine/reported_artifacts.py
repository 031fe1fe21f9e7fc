"""The exported models of a run, and the commands that may follow, for its report."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from drivetrain.errors import ArtifactError
from drivetrain.report.tables import number
from drivetrain.runtime.artifact import Artifact


def artifact_rows(folder: Path) -> list[dict[str, Any]]:
    """The artefacts below a folder, for :func:`drivetrain.report.run_facts.artifacts`; unreadable ones say so.

    Args:
        folder: ``artifacts`` in the work dir.
    """
    found = []
    for path in sorted(folder.glob("*/manifest.json")):
        try:
            found.append(_row(Artifact.open(path.parent)))
        except ArtifactError as error:
            empty = dict.fromkeys(("precision", "size", "metric", "before", "after"), "")
            found.append({**empty, "name": path.parent.name, "verdict": "unreadable", "said": str(error)})
    return found


def _row(artifact: Artifact) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": artifact.path.name,
        "precision": artifact.precision,
        "size": f"{artifact.model_bytes / 1e6:.2f}",
        "verdict": "no",
        **dict.fromkeys(("metric", "before", "after", "said"), ""),
    }
    if artifact.optimization:
        return {**row, **_optimised(artifact.optimization)}
    parity = artifact.parity
    if not parity:
        return row
    allowed = parity["tolerance"]
    row["verdict"] = f"yes, on {len(parity['images'])} images" if parity["passed"] else "failed"
    row["said"] = f"the same decision on {parity['agreement']:.1%}"
    row["differences"] = [
        [name, f"{value:.3g}", f"{allowed[name]:.3g}" if name in allowed else ""]
        for name, value in parity["max_difference"].items()
    ]
    metrics, name = parity.get("details", {}).get("task_metrics") or {}, artifact.task.main_metric
    if name in metrics.get("model", {}) and name in metrics.get("artefact", {}):
        row |= {"metric": name, "before": number(metrics["model"][name]), "after": number(metrics["artefact"][name])}
    return row


def _optimised(report: dict[str, Any]) -> dict[str, Any]:
    """The columns of an artefact that ``optimize`` made."""
    size, name = report["bytes"], report["metrics"][0]
    return {
        "verdict": f"drop {report['drop']:.4f}, allowed {report['max_drop']:g}",
        "metric": name,
        "before": number(report["before"][name]),
        "after": number(report["after"][name]),
        "said": f"weights {size['before'] / max(size['after'], 1):.1f} times smaller than {report['source']}",
    }


def next_commands(hooks: Collection[str], directory: Path) -> list[tuple[str, str]]:
    """What a user may do with a finished run: in words, and as a command.

    Args:
        hooks: of the engine.
        directory: the work dir.
    """
    run = str(directory)
    exported = next((path.parent for path in sorted((directory / "artifacts").glob("*/manifest.json"))), None)
    steps = [("Test it on annotated images", ["test", "--model", run])]
    steps.append(
        ("Draw its answers about other images", ["predict", "--model", run, "--source", "FOLDER", "--save_images"])
    )
    steps.append(("See what it looks at", ["explain", "--model", run, "--source", "FOLDER", "--save_images"]))
    if "export_source" in hooks and exported is None:
        steps.append(("Export it, verified, to run without PyTorch", ["export", "--model", run]))
    if "export_source" in hooks:
        steps.append(("Make it smaller and faster", ["optimize", "--model", run]))
    if exported is not None:
        steps.append(("Measure the artefact", ["benchmark", "--model", str(exported)]))
        steps.append(("Verify the artefact on another machine", ["verify", str(exported)]))
    return [(said, shlex.join(["drivetrain", *words])) for said, words in steps]
