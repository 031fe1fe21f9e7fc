"""The page of a data set: its statistics, some of its pictures with annotations, and the findings about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError, OptionError
from drivetrain.images.frames import FrameReader
from drivetrain.machine import files
from drivetrain.report._html import fact_list, notes, part, section, small_picture, table, text, write_page
from drivetrain.report.annotated import annotation_of, marked
from drivetrain.report.drawing import draw
from drivetrain.report.run_facts import class_table
from drivetrain.types import Sample
from drivetrain.types.data_findings import KINDS, DataFinding, DataFindings

#: Findings per kind that are shown with pictures; the others are in a collapsed table.
_MOST_PICTURES = 24
_MOST_ROWS = 500
_WIDTH = 320


def write_data_page(
    path: str | Path,
    findings: DataFindings,
    *,
    samples: Sequence[Sample] = (),
    label_names: Sequence[str] = (),
    title: str = "",
) -> Path:
    """Write the contents of a data set and the findings about it as one self-contained page.

    Args:
        path: the HTML file; its folder is created if needed. It is written atomically.
        findings: the findings, with the statistics of the data set.
        samples: images to show with their annotations.
        label_names: the name of each of their labels.
        title: the headline; by default the source of the data.

    Returns:
        The file.

    Raises:
        StorageError: the file cannot be written.
    """
    frames = FrameReader()
    facts = findings.statistics
    sections = [
        notes("Notes", [*facts.get("notes", ()), *findings.notes]),
        section("Found", _overview(findings)),
        section("Images and classes", class_table(facts)),
        section("Sizes and objects", _sizes(facts)),
        *(section(KINDS[kind], _kind(findings.of_kind(kind), frames)) for kind in findings.counts),
        section("Annotated images", _annotated(samples, label_names, frames)),
        section("How it was looked for", _methods(findings)),
    ]
    name = title or f"Data set {findings.source}".strip()
    return write_page(path, title=name, summary=_summary(findings), sections=sections)


def save_findings(findings: DataFindings, path: Path) -> Path:
    """Write findings as a page or as JSON, depending on the suffix; see ``save`` of the findings."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        files.write_text(path, findings.to_json(indent=2) + "\n")
        return path
    if suffix not in (".html", ".htm"):
        raise OptionError(
            f"path={str(path)!r} must end in .html (a page with pictures) or .json (the findings as data)."
        )
    return write_data_page(path, findings)


def _summary(findings: DataFindings) -> str:
    known = findings.statistics
    shown = {
        "format": known.get("format"),
        "task": known.get("task"),
        "images": findings.images,
        **known.get("subsets", {}),
        "labels": len(known.get("label_names", ())) or None,
    }
    return fact_list(shown)


def _overview(findings: DataFindings) -> str:
    if not findings:
        return "<p>Nothing.</p>"
    tiles = "".join(
        f'<li><span>{text(KINDS[kind])}</span><b><a href="#{kind}">{count}</a></b></li>'
        for kind, count in findings.counts.items()
    )
    return f'<ul class="tiles">{tiles}</ul>'


def _sizes(facts: Mapping[str, Any]) -> str:
    rows = [(f"{name} image", f"{size[1]} x {size[0]}") for name, size in facts.get("image_sizes", {}).items()]
    rows += [(name, f"{value:g}") for name, value in facts.get("objects", {}).items()]
    return table(("", "pixels (width x height), or count"), rows) if rows else ""


def _annotated(samples: Sequence[Sample], label_names: Sequence[str], frames: FrameReader) -> str:
    figures = []
    for sample in samples:
        try:
            picture = draw(frames.read(sample.path), annotation_of(sample, label_names))
        except DataError as error:
            figures.append(f"<figure><figcaption>{text(sample.path)}: {text(error)}</figcaption></figure>")
            continue
        labels = ", ".join(label_names[label] for label in sample.labels.tolist() if label < len(label_names))
        said = f"{Path(sample.path).name} · {sample.subset}" + (f" · {labels}" if labels else "")
        figures.append(_figure(picture, said))
    return f'<div class="pictures">{"".join(figures)}</div>' if figures else ""


def _kind(items: Sequence[DataFinding], frames: FrameReader) -> str:
    shown = [item for item in items if item.path][:_MOST_PICTURES]
    figures = "".join(_finding(item, frames) for item in shown)
    anchor = f'<a id="{items[0].kind}"></a>'
    body = f'{anchor}<div class="pictures">{figures}</div>' if figures else anchor
    rest = [item for item in items if item not in shown]
    if not rest:
        return body
    rows = [
        (item.path or "data set", item.subset, item.reason, item.suggested_label, f"{item.score:.2f}")
        for item in rest[:_MOST_ROWS]
    ]
    listed = table(("image", "subset", "reason", "suggested", "score"), rows)
    if not shown:
        return body + listed
    cut = f"<p>... and {len(rest) - _MOST_ROWS} more.</p>" if len(rest) > _MOST_ROWS else ""
    return f"{body}<details><summary>{len(rest)} more</summary>{listed}{cut}</details>"


def _finding(item: DataFinding, frames: FrameReader) -> str:
    """The picture with the object concerned, next to the first of the others."""
    label = (
        f" · {item.label or 'none'} → {item.suggested_label or 'none'}" if item.label or item.suggested_label else ""
    )
    said = f"{Path(item.path).name} · {item.subset}{label} · {item.score:.2f}. {item.reason}"
    try:
        pixels = frames.read(item.path)
        picture = draw(pixels, marked(pixels, item.box, item.suggested_label or item.label))
        for other in item.others[:1]:
            picture = _side_by_side(picture, frames.read(other))
    except DataError:
        return f"<figure><figcaption>{text(said)}</figcaption></figure>"
    return _figure(picture, said)


def _side_by_side(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    height = first.shape[0]
    width = max(1, round(second.shape[1] * height / second.shape[0]))
    fitted = np.asarray(cv2.resize(second, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.concatenate([first, np.full((height, max(4, height // 40), 3), 255, np.uint8), fitted], axis=1)


def _figure(picture: NDArray[np.uint8], said: str) -> str:
    return part("picture", {"uri": small_picture(picture, _WIDTH, quality=85), "title": said})


def _methods(findings: DataFindings) -> str:
    rows = [(what, how) for what, how in findings.methods.items()]
    rows += [(f"not: {what}", why) for what, why in findings.not_checked.items()]
    return table(("what", "how, or why not"), rows) if rows else ""
