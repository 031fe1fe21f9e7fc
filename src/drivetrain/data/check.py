"""The checks that every data set passes, whatever its format, before it becomes a table."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from drivetrain.data.geometry import complete_objects, scale_record, turn_record
from drivetrain.data.headers import MISSING, Header, read_headers
from drivetrain.data.read_record import Parsed, Record
from drivetrain.errors import DataError, DataNotFoundError, ImageError
from drivetrain.types import Task


def check(parsed: Parsed, source: str, *, strict: bool = False) -> Parsed:
    """Check and complete what a reader found, modifying the records in place.

    Afterwards every record has the size of its upright image, an image id, boxes within the image in pixels, and an
    area for each object. Unusable images are in ``skipped``; changes are in ``notes``.

    Args:
        parsed: from a reader.
        source: what to call the data set in messages.
        strict: raise if an image is skipped.

    Raises:
        DataNotFoundError: none of the named images exists.
        ImageError: an image is skipped and ``strict`` is set.
        DataError: nothing is left, or a label is outside the label set.
    """
    if not parsed.records:
        raise DataError(f"{source}: read as {parsed.format!r}, but it contains no images.")
    _check_labels(parsed, source)
    _read_sizes(parsed, source)
    _drop_repeated(parsed)
    _note_shared(parsed)
    complete_objects(parsed)
    _number_images(parsed)
    _note_unannotated(parsed)
    count = len(parsed.skipped)
    if count and strict:
        what = "an image" if count == 1 else f"{count} images"
        raise ImageError(
            f"strict=True: {what} cannot be used: {_with_reasons(parsed.skipped)}. Repair or remove "
            f"{'it' if count == 1 else 'them'}, or load without strict."
        )
    if count:
        were = "image was" if count == 1 else "images were"
        parsed.notes.append(f"{count} {were} skipped: {_with_reasons(parsed.skipped)}.")
    return parsed


def _check_labels(parsed: Parsed, source: str) -> None:
    count = len(parsed.label_names)
    repeated = [name for name, times in Counter(parsed.label_names).items() if times > 1]
    if repeated:
        raise DataError(f"{source}: the label name {repeated[0]!r} is given twice. Labels need different names.")
    for record in parsed.records:
        for label in chain(record.labels, record.box_labels or ()):
            if not 0 <= label < count:
                raise DataError(
                    f"{source}: {record.path} has the label number {label}, but the labels are 0 to {count - 1} "
                    f"({', '.join(parsed.label_names[:5])}{', ...' if count > 5 else ''})."
                )


def _read_sizes(parsed: Parsed, source: str) -> None:
    """Read the sizes from the headers; records with an unusable image or mask go to ``skipped``."""
    paths = list(dict.fromkeys(record.path for record in parsed.records))
    masks = list(dict.fromkeys(record.mask_path for record in parsed.records if record.mask_path))
    answers = dict(zip([*paths, *masks], read_headers([*paths, *masks]), strict=True))
    missing = [path for path in paths if answers[path] == MISSING]
    if len(missing) == len(paths):
        raise DataNotFoundError(
            f"{source}: none of the {len(paths)} images that it names exists, such as {missing[0]}. "
            "Are the images next to the annotations, under the names given in the annotations?"
        )
    if missing:
        parsed.notes.append(f"{len(missing)} annotated images do not exist: {_named(missing)}.")
    kept = []
    for record in parsed.records:
        reason = _fault(record, answers)
        if reason is None:
            kept.append((record, answers[record.path]))
        else:
            parsed.skipped.append((record.path, reason))
    if not kept:
        path, reason = parsed.skipped[0]
        raise ImageError(f"{source}: none of its {len(paths)} images can be used, such as {path}: {reason}.")
    parsed.records = [record for record, _ in kept]
    headers = [header for _, header in kept if isinstance(header, Header)]
    _note_copies(parsed, headers)
    _turn(parsed, headers)


def _fault(record: Record, answers: dict[str, Header | str]) -> str | None:
    image = answers[record.path]
    if isinstance(image, str):
        return image
    if record.mask_path is None:
        return None
    mask = answers[record.mask_path]
    if isinstance(mask, str):
        return f"has the mask {record.mask_path}, which {mask}"
    if mask.size != image.size:
        return f"is {_by(image.size)} pixels, but its mask {record.mask_path} is {_by(mask.size)}"
    return None


def _turn(parsed: Parsed, headers: Sequence[Header]) -> None:
    """Convert annotations made on the stored image to the upright image; scale fractions."""
    turned = 0
    different = []
    for record, header in zip(parsed.records, headers, strict=True):
        if record.normalised:
            scale_record(record, header.size)
        elif record.size is not None and record.size != header.size:
            if record.size == header.stored_size:
                parsed.spread_objects()
                turn_record(record, header)
                turned += 1
            else:
                different.append((record.path, record.size, header.size))
        record.size = header.size
    if turned:
        parsed.notes.append(
            f"{turned} {'image is' if turned == 1 else 'images are'} stored sideways and annotated that way: "
            "the annotations were rotated with the image."
        )
    if different:
        path, stated, real = different[0]
        parsed.notes.append(
            f"{len(different)} annotations state a different size from the image's, such as {path}: {_by(stated)} "
            f"instead of {_by(real)} pixels (height x width). Their coordinates are used unchanged."
        )


def _note_shared(parsed: Parsed) -> None:
    """Note images that have the same file in several subsets."""
    if len({record.subset for record in parsed.records}) == 1:
        return
    subsets: dict[str, set[str]] = {}
    for record in parsed.records:
        subsets.setdefault(record.path, set()).add(record.subset)
    shared = [path for path, names in subsets.items() if len(names) > 1]
    if shared:
        parsed.notes.append(f"{len(shared)} images are in more than one subset: {_named(shared)}.")


def _note_copies(parsed: Parsed, headers: Sequence[Header]) -> None:
    """Note different files with the same content; across subsets they make results look better than they are."""
    alike: dict[tuple[int, int], dict[str, str]] = {}
    for record, header in zip(parsed.records, headers, strict=True):
        alike.setdefault(header.mark, {})[record.path] = record.subset
    copies: dict[bytes, dict[str, str]] = {}
    for group in (group for group in alike.values() if len(group) > 1):
        for path, subset in group.items():
            copies.setdefault(hashlib.blake2b(Path(path).read_bytes()).digest(), {})[path] = subset
    same = [group for group in copies.values() if len(group) > 1]
    if not same:
        return
    leaked = [group for group in same if len(set(group.values())) > 1]
    text = f"{sum(len(group) - 1 for group in same)} images are copies of another file: {_named(list(same[0]))}."
    if leaked:
        text += f" Of these, {len(leaked)} are in more than one subset: {_named(list(leaked[0]))}."
    parsed.notes.append(text)


def _drop_repeated(parsed: Parsed) -> None:
    """Keep one of several identical records."""
    seen: set[Any] = set()
    kept = []
    for record in parsed.records:
        if (key := (record.path, record.subset)) in seen:
            continue
        seen.add(key)
        kept.append(record)
    if len(kept) < len(parsed.records):
        count = len(parsed.records) - len(kept)
        parsed.notes.append(f"{count} images are listed twice in the same subset; the first entry of each is used.")
        parsed.records = kept


def _number_images(parsed: Parsed) -> None:
    """Keep the ids of the source if all images have one; otherwise number the images in order."""
    if any(record.image_id is None for record in parsed.records):
        for index, record in enumerate(parsed.records):
            record.image_id = index


def _note_unannotated(parsed: Parsed) -> None:
    """Note images without annotations if such images are the exception."""
    if parsed.objects is not None:
        counts = parsed.objects.counts.tolist()
        empty = [record.path for record, count in zip(parsed.records, counts, strict=True) if not count]
    elif any(record.boxes is not None for record in parsed.records):
        empty = [record.path for record in parsed.records if not record.boxes]
    else:
        empty = [record.path for record in parsed.records if not record.labels and record.mask_path is None]
    if empty and parsed.task is not Task.ANOMALY:
        parsed.notes.append(f"{len(empty)} of {len(parsed.records)} images have no annotations: {_named(empty)}.")


def _with_reasons(skipped: Sequence[tuple[str, str]], most: int = 10) -> str:
    """The first unusable images, each with its reason, and the number of the others."""
    more = f"; and {len(skipped) - most} more" if len(skipped) > most else ""
    return "; ".join(f"{path} {reason}" for path, reason in skipped[:most]) + more


def _named(paths: Sequence[str], most: int = 3) -> str:
    return ", ".join(paths[:most]) + (", ..." if len(paths) > most else "")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
