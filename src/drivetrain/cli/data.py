"""``drivetrain data``: inspect a data set, or convert it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.cli.answer import Answer
from drivetrain.errors import DataError, OptionError

if TYPE_CHECKING:
    from drivetrain.cli.render import Page
    from drivetrain.data import Dataset
    from drivetrain.types.data_findings import DataFindings

_MOST_CLASSES = 30
_MOST_SKIPPED = 12
_MOST_PICTURES = 36


def look_at(
    path: Path,
    options: Mapping[str, Any],
    choice: Mapping[str, Any],
    *,
    html: Path | None = None,
    output: Path | None = None,
    output_format: str | None = None,
    save_media: bool = False,
) -> Answer:
    """The contents and problems of a data set, after writing it in another format if requested.

    Args:
        path: the path of the data set.
        options: options of :func:`drivetrain.load_dataset`, for reading.
        choice: which part of it to use, and how to split it; see :func:`chosen`.
        html: a page to write about it.
        output: a folder to write the data set to.
        output_format: the format to write it in.
        save_media: copy the images there.

    Raises:
        OptionError: an option is wrong, or needs another one.
        DataError: the data cannot be read or written.
    """
    from drivetrain.data import load_dataset
    from drivetrain.data.describe import describe, problems_of

    if (output is None) != (output_format is None) or (save_media and output is None):
        raise OptionError("output, output_format and save_media go together: --output FOLDER --output_format coco.")
    if output is not None:
        _require_room(output)
    require_page(html)
    data = chosen(load_dataset(path, **options), **choice)
    facts = {"kind": "dataset", "path": path, **describe(data), "problems": problems_of(data)}
    if html is not None:
        facts["html"] = write_page_of(data, data.validate(), html)
    if output is not None and output_format is not None:
        facts["output"] = data.export(output, output_format, save_media=save_media)
    return Answer(facts, lambda page: _tell(page, data, facts))


def merge(
    paths: Sequence[Path], output: Path, output_format: str, *, reading: Mapping[str, Any], save_media: bool
) -> Answer:
    """Write several data sets as one.

    Args:
        paths: of the data sets.
        output: a folder that does not exist yet, or is empty.
        output_format: the format to write in.
        reading: options of :func:`drivetrain.load_dataset` for each.
        save_media: copy the images.

    Raises:
        OptionError: there is only one data set.
        DataError: one cannot be read, they are for different tasks, or the output holds something.
    """
    from drivetrain.data import load_dataset

    if len(paths) < 2:
        raise OptionError(f"Give at least two data sets to merge; drivetrain data {paths[0]} converts one.")
    _require_room(output)
    first, *others = (load_dataset(path, **reading) for path in paths)
    data = first.merge(*others)
    facts = {
        "kind": "data_merge",
        "paths": list(paths),
        "images": len(data),
        "of_each": [len(part) for part in (first, *others)],
        "labels": list(data.label_names),
        "notes": list(data.notes),
        "output": data.export(output, output_format, save_media=save_media),
    }
    return Answer(facts, lambda page: _tell_merged(page, facts))


def _tell_merged(page: Page, facts: Mapping[str, Any]) -> None:
    page.table(("merged", "images"), list(zip(map(str, facts["paths"]), facts["of_each"], strict=True)))
    page.line(f"images    {facts['images']}, of {len(facts['labels'])} labels")
    for note in facts["notes"]:
        page.line(f"note: {note}")
    _tell_written(page, facts)


def _require_room(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DataError(f"--output {output} already has something in it. Name a folder that does not exist yet.")


def chosen(
    data: Dataset,
    *,
    labels: Sequence[str] | None = None,
    subsets: Sequence[str] | None = None,
    remap: Sequence[str] | None = None,
    sample: str | None = None,
    splits: Sequence[float] | None = None,
    group: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Part of a data set, applied in this order: subsets, labels, new names, a sample, a split.

    Args:
        data: the data set.
        labels: only these labels, and the images with one of them.
        subsets: only these subsets.
        remap: ``OLD=NEW``, or ``OLD=`` to drop a label.
        sample: a number of images, or a fraction with a decimal point.
        splits: fractions of train, val and test.
        group: images that ``splits`` must keep together.
        seed: seed of the sample and the split.

    Raises:
        OptionError: a value is not allowed, or ``group`` is given without ``splits``.
        DataError: there is no such label or subset, or no image is left.
    """
    from drivetrain.data import load_dataset

    if subsets or labels:
        data = data.filter(labels=labels, subsets=subsets)
    if not len(data):
        raise DataError(f"No image of {data.source} matches subsets={subsets}, labels={labels}.")
    if labels:
        data = data.remap({name: name for name in labels}, others="drop")
    if remap:
        data = data.remap(dict(map(_renamed, remap)))
    if sample is not None:
        data = data.sample(_size_of_sample(sample), seed=seed)
    if group is not None:
        if splits is None or len(splits) != 3:
            raise OptionError(
                "--group needs --splits with three fractions, of train, val and test: --splits 0.8 0.1 0.1."
            )
        train, val, test = splits
        return data.split(train, val, test, seed, group=group)
    return data if splits is None else load_dataset(data, splits=splits, seed=seed)


def _renamed(word: str) -> tuple[str, str | None]:
    old, equals, new = word.partition("=")
    if not equals or not old:
        raise OptionError(f"--remap {word}: write OLD=NEW, or OLD= to drop the label.")
    return old, new or None


def _size_of_sample(text: str) -> int | float:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise OptionError(f"--sample {text}: give a number of images (100) or a fraction of them (0.1).") from None


def _tell(page: Page, data: Dataset, facts: Mapping[str, Any]) -> None:
    subsets, counts, objects = facts["subsets"], facts["images_per_class"], facts["objects_per_class"]
    use = f"for {data.task.value}" if data.is_annotated else "without annotations"
    page.line(f"data set  {facts['path']}, read as {data.format}, {use}")
    page.line(f"images    {len(data)} ({', '.join(f'{name} {count}' for name, count in subsets.items())})")
    sizes = facts["image_sizes"]
    page.line(f"sizes     {_size(sizes['smallest'])} to {_size(sizes['largest'])}, median {_size(sizes['median'])}")
    head = ("images with", *subsets, *(("objects",) if objects else ()))
    rows = [
        (name, *(counts[subset][name] for subset in subsets), *((objects[name],) if objects else ()))
        for name in data.label_names
    ]
    if rows:
        page.table(head, rows[:_MOST_CLASSES])
    if len(rows) > _MOST_CLASSES:
        page.line(f"... and {len(rows) - _MOST_CLASSES} more classes; --json shows all.")
    if facts["objects"]:
        rows = [(name, value) for name, value in facts["objects"].items()]
        page.table(("objects", "value"), rows)
    for note in data.notes:
        page.line(f"note: {note}")
    for file, reason in data.skipped[:_MOST_SKIPPED]:
        page.line(f"skipped {file}: {reason}")
    if len(data.skipped) > _MOST_SKIPPED:
        page.line(f"... and {len(data.skipped) - _MOST_SKIPPED} more; --json shows all.")
    if facts["left_out"]:
        rows = [
            (entry["folder"] or ".", entry["suffix"], entry["images"], entry["reason"]) for entry in facts["left_out"]
        ]
        page.table(("left out in", "suffix", "images", "reason"), rows)
    for problem in facts["problems"]:
        page.line(f"problem: {problem}")
    _tell_written(page, facts)


def _tell_written(page: Page, facts: Mapping[str, Any]) -> None:
    if "html" in facts:
        page.line(f"page      {facts['html']}")
    if "output" in facts:
        page.line(f"Written to {facts['output']}.")


def require_page(html: Path | None) -> None:
    """Refuse a page that a browser would not open as one.

    Raises:
        OptionError: its suffix is not .html.
    """
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"--html {html} must end in .html.")


def write_page_of(data: Dataset, findings: DataFindings, html: Path) -> Path:
    """Write the page of a data set, with pictures of every subset and of every label.

    Raises:
        StorageError: it cannot be written.
    """
    from drivetrain.data.examples import example_rows
    from drivetrain.report import write_data_page

    samples = list(data.select(example_rows(data, _MOST_PICTURES)))
    return write_data_page(html, findings, samples=samples, label_names=data.label_names)


def _size(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width} x {height}"
