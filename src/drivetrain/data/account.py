"""What became of every image file of a source: a sample, a mask, or left out with a reason."""

from __future__ import annotations

import os
from collections import Counter

from drivetrain.data.facts import LeftOut
from drivetrain.data.folder_names import may_annotate
from drivetrain.data.read_record import Parsed
from drivetrain.data.tree import Tree, suffix_of

_UNNAMED = "no annotation names them"
_ANNOTATIONS = (".txt", ".xml", ".json")
_SHOWN = 4
_READS_IMAGES_ALONE = ("image_folder", "unannotated")


def close_account(tree: Tree, parsed: Parsed) -> tuple[LeftOut, ...]:
    """The images of the tree that are neither samples nor masks nor skipped, by folder and suffix.

    They are summarised in a note of the parsed data.

    Args:
        tree: the files of the source.
        parsed: the reader's result; its ``left_out`` has the reasons for the folders that the reader knows about.
    """
    paths = {*parsed.used, *(path for path, _ in parsed.skipped)}
    for record in parsed.records:
        paths.add(record.path)
        if record.mask_path:
            paths.add(record.mask_path)
    counts: Counter[tuple[str, str, str]] = Counter()
    for name in tree.images:
        if tree.absolute(name) not in paths:
            folder = name.rpartition("/")[0]
            counts[folder, suffix_of(name), _reason(folder, parsed)] += 1
    found = tuple(LeftOut(folder, suffix, count, reason) for (folder, suffix, reason), count in sorted(counts.items()))
    if found:
        parsed.notes.append(_line(found, len(tree.images)))
    parsed.notes += _orphans(tree, parsed)
    if tree.nameless:
        parsed.notes.append(
            f"{tree.nameless} files have names that are not text (UTF-8) and were left out; rename them."
        )
    if tree.closed:
        parsed.notes.append(
            f"{len(tree.closed)} folders cannot be opened (no permission): {', '.join(tree.closed[:_SHOWN])}."
        )
    if parsed.format in _READS_IMAGES_ALONE and (note := _other_files(tree)):
        parsed.notes.append(note)
    return found


def note_respelt(tree: Tree, parsed: Parsed) -> None:
    """Note the images that the annotations spell differently."""
    if not tree.respelt:
        return
    read = {record.path for record in parsed.records}
    found = {path: name for path, name in tree.respelt.items() if path in read}
    if found:
        path, name = next(iter(found.items()))
        parsed.notes.append(
            f"{len(found)} images are spelt differently in the annotations (case, accents or percent-encoding), such "
            f"as {name!r} for {os.path.basename(path)!r}."  # noqa: PTH119
        )


def _orphans(tree: Tree, parsed: Parsed) -> list[str]:
    """A note about annotation files named after images that do not exist.

    Files count as named after images if most files with the same suffix in the same folder are.
    """
    if parsed.format == "yolo":  # whose reader reports them itself
        return []
    known = {os.path.splitext(os.path.basename(record.path))[0] for record in parsed.records}  # noqa: PTH119, PTH122
    told = {path for path, _ in parsed.skipped}
    alone: list[str] = []
    for folder, names in tree.by_folder.items():
        for suffix in _ANNOTATIONS:
            files = [name for name in names if name.lower().endswith(suffix)]
            rest = [name for name in files if name[: -len(suffix)].removeprefix("gt_") not in known]
            if 2 * len(rest) < len(files):
                alone += [f"{folder}/{name}".lstrip("/") for name in rest]
    alone = [name for name in alone if tree.absolute(name) not in told and may_annotate(name)]
    if not alone:
        return []
    more = ", ..." if len(alone) > _SHOWN else ""
    return [f"{len(alone)} annotation files belong to no existing image: {', '.join(alone[:_SHOWN])}{more}."]


def _other_files(tree: Tree) -> str:
    """A note about files that may annotate the images and were not read."""
    counts = Counter(suffix_of(name) or "without a suffix" for name in tree.files if may_annotate(name))
    listed = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(_SHOWN))
    total = sum(counts.values())
    was = "file next to the images was" if total == 1 else "files next to the images were"
    return f"{total} {was} not read: {listed}." if counts else ""


def _reason(folder: str, parsed: Parsed) -> str:
    known = [name for name in parsed.left_out if f"{folder}/".startswith(f"{name}/" if name else "")]
    return parsed.left_out[max(known, key=len)] if known else _UNNAMED


def _line(found: tuple[LeftOut, ...], images: int) -> str:
    """One line, by top folder and reason."""
    counts: Counter[tuple[str, str]] = Counter()
    for entry in found:
        counts[entry.folder.partition("/")[0] or "the folder itself", entry.reason] += entry.count
    shown = [f"{count} in {folder} ({reason})" for (folder, reason), count in counts.most_common(_SHOWN)]
    more = f", and in {len(counts) - _SHOWN} more places" if len(counts) > _SHOWN else ""
    total = sum(counts.values())
    return f"{total} of {images} image files {'is' if total == 1 else 'are'} left out: {', '.join(shown)}{more}."
