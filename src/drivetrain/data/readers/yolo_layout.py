"""Locating the images and the label files of a YOLO data set."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from drivetrain.data.find_image import tails
from drivetrain.data.read_record import subset_name
from drivetrain.data.text import read_text
from drivetrain.data.tree import Tree, is_image
from drivetrain.errors import DataFormatError, DataNotFoundError

_KEYS = ("train", "val", "valid", "validation", "test")
_SHOWN = 3
_BOX_CELLS = 5
_NOT_LABELS = frozenset(
    {"classes.txt", "names.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "requirements.txt"}
)


@dataclass(slots=True)
class ImageSet:
    """The images of one subset.

    Attributes:
        subset: canonical name.
        images: absolute paths.
        labels: image -> its label file; images without one have no objects.
    """

    subset: str
    images: list[str]
    labels: dict[str, str] = field(default_factory=dict)


def image_sets(tree: Tree, file: Path | None, config: Mapping[str, Any], notes: list[str]) -> list[ImageSet]:
    """The sets named in the configuration, or given by the folders and the Darknet lists.

    Args:
        tree: the folder.
        file: the configuration, if there is one.
        config: its content.
        notes: receives what the user should know: missing entries, label files without a picture.

    Raises:
        DataNotFoundError: the configuration names a folder or list that does not exist.
        DataFormatError: an entry of the configuration is neither a path nor a list of paths.
    """
    if file is not None and any(config.get(key) for key in _KEYS):
        sets = _configured(tree, file, config, notes)
    else:
        sets = _listed(tree) or _by_folder(tree)
    for part in sets:
        for image in part.images:
            label = _label_file(tree, image)
            if label is not None:
                part.labels[image] = label
    _match_by_spelling(tree, sets, notes)
    return sets


def _match_by_spelling(tree: Tree, sets: Sequence[ImageSet], notes: list[str]) -> None:
    """Match remaining label files to images whose names are equal except for case, Unicode form and escapes."""
    used = {label for part in sets for label in part.labels.values()}
    rest = [name for name in tree.with_suffix(".txt") if _is_label(tree, name) and tree.absolute(name) not in used]
    if not rest:
        return
    parts = {image: part for part in sets for image in part.images}
    owners: dict[str, list[str]] = {}
    for image in {*parts, *map(tree.absolute, tree.images)}:
        owners.setdefault(_spelling(image), []).append(image)
    matched, orphans = [], []
    for name in rest:
        found = owners.get(_spelling(tree.absolute(name)), [])
        if not found:
            orphans.append(name)
        elif len(found) == 1 and found[0] in parts and found[0] not in parts[found[0]].labels:
            parts[found[0]].labels[found[0]] = tree.absolute(name)
            matched.append(name)
    if matched:
        notes.append(
            f"{len(matched)} label files are spelt differently from their images (case, accents or escapes such as "
            f"%20) and were matched: {', '.join(matched[:_SHOWN])}{', ...' if len(matched) > _SHOWN else ''}."
        )
    if orphans:
        notes.append(
            f"{len(orphans)} label files have no image and were not used: {', '.join(orphans[:_SHOWN])}"
            f"{', ...' if len(orphans) > _SHOWN else ''}."
        )


def _is_label(tree: Tree, name: str) -> bool:
    """Whether a text file contains labels: it is in a label folder and consists of numbers."""
    if name.rpartition("/")[2] in _NOT_LABELS or "/" not in name:
        return False
    try:
        with (tree.root / name).open("rb") as file:
            cells = file.read(200).split(b"\n")[0].split()
    except OSError:
        return False
    return len(cells) >= _BOX_CELLS and all(_is_number(cell) for cell in cells)


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _spelling(path: str) -> str:
    """What equivalent names have in common, whatever their case, form of accents and escapes."""
    place = Path(unicodedata.normalize("NFC", unquote(path)).casefold()).with_suffix("")
    return "/".join(part for part in place.parts if part not in ("images", "labels"))


def _configured(tree: Tree, file: Path, config: Mapping[str, Any], notes: list[str]) -> list[ImageSet]:
    sets: dict[str, ImageSet] = {}
    missing: list[str] = []
    for key in _KEYS:
        entry = config.get(key)
        if not entry:
            continue
        entries = entry if isinstance(entry, list) else [entry]
        if not all(isinstance(item, str) for item in entries):
            raise DataFormatError(f"{file}: {key}={entry!r} must be a path or a list of paths.")
        part = sets.setdefault(subset_name(key), ImageSet(subset_name(key), []))
        for item in entries:
            place = _existing(file, str(config.get("path") or ""), item)
            if place is None:
                missing.append(f"{key}: {item}")
            else:
                part.images += _images_of(tree, place)
    if missing and not any(part.images for part in sets.values()):
        raise DataNotFoundError(f"{file} names {', '.join(missing)}, which do not exist next to it.")
    if missing:
        notes.append(f"{file.name} names {', '.join(missing)}, which do not exist; the other entries were read.")
    return [part for part in sets.values() if part.images]


def _existing(file: Path, base: str, item: str) -> Path | None:
    """The place an entry means: below ``path``, or next to the file, with ``../`` read as ``./`` if necessary."""
    if "\\" in item and "/" not in item:  # written on Windows
        return _existing(file, base.replace("\\", "/"), item.replace("\\", "/"))
    stripped = item
    while stripped.startswith("../"):
        stripped = stripped[3:]
    folders = [Path(base), file.parent / base, file.parent / Path(base).name, file.parent]
    if not base or not Path(base).is_absolute():
        folders = folders[1:]
    for candidate in [*(folder / item for folder in folders), *(folder / stripped for folder in folders)]:
        if candidate.exists():
            return Path(os.path.normpath(candidate))
    known = (file.parent / tail for tail in tails(item))
    return next((place for place in known if place.exists()), None)


def _images_of(tree: Tree, place: Path) -> list[str]:
    if place.is_file():
        lines = [line.strip().replace("\\", "/") for line in read_text(place).splitlines() if line.strip()]
        return [_listed_path(place, line) for line in lines]
    name = tree.relative(place)
    if place == tree.root or name is not None:
        prefix = f"{name}/" if name else ""
        return [tree.absolute(image) for image in tree.images if image.startswith(prefix)]
    return sorted(str(path) for path in place.rglob("*") if is_image(path.name))


def _listed_path(file: Path, line: str) -> str:
    path = Path(line)
    candidates = [path] if path.is_absolute() else [file.parent / line, file.parent.parent / line]
    if "/" in line and not path.is_absolute():
        candidates.append(file.parent / line.partition("/")[2])  # Darknet: "data/obj_train_data/1.jpg"
    return os.path.normpath(next((c for c in candidates if c.is_file()), candidates[0]))


def _listed(tree: Tree) -> list[ImageSet]:
    """Darknet's ``train.txt``, ``val.txt`` and ``test.txt`` with one image path per line."""
    sets = []
    for name in ("train.txt", "val.txt", "valid.txt", "test.txt"):
        if name not in tree.files or ("obj.names" not in tree.files and "obj.data" not in tree.files):
            continue
        images = [path for path in _images_of(tree, tree.root / name) if is_image(path)]
        if images:
            sets.append(ImageSet(subset_name(Path(name).stem), images))
    return sets


def _by_folder(tree: Tree) -> list[ImageSet]:
    """``images/train``, ``train/images``, ``images``, or any folder with images next to their label files."""
    sets: dict[str, ImageSet] = {}
    for image in tree.images:
        folders = image.split("/")[:-1]
        if "labels" in folders:
            continue
        names = [subset_name(folder) for folder in folders]
        subset = next((name for name in names if name in ("train", "val", "test")), "train")
        sets.setdefault(subset, ImageSet(subset, [])).images.append(tree.absolute(image))
    return list(sets.values())


def _label_file(tree: Tree, image: str) -> str | None:
    """``images/`` in the path becomes ``labels/``; otherwise the label file is next to the image."""
    stem, _ = os.path.splitext(image)  # noqa: PTH122 - once for each image
    before, found, after = stem.rpartition(f"{os.sep}images{os.sep}")
    candidates = [f"{before}{os.sep}labels{os.sep}{after}.txt"] if found else []
    candidates.append(f"{stem}.txt")
    for candidate in candidates:
        if candidate.rpartition(os.sep)[2] not in _NOT_LABELS and tree.exists(candidate):
            return candidate
    return None
