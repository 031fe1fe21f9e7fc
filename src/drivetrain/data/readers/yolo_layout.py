"""Where the images and the label files of a YOLO data set are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivetrain.data.read_record import subset_name
from drivetrain.data.tree import Tree, is_image
from drivetrain.errors import DataFormatError, DataNotFoundError

_KEYS = ("train", "val", "valid", "validation", "test")
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


def image_sets(tree: Tree, file: Path | None, config: Mapping[str, Any]) -> list[ImageSet]:
    """The sets that the configuration names, or that the folders and the Darknet lists are.

    Raises:
        DataNotFoundError: the configuration names a folder or list that does not exist.
        DataFormatError: an entry of the configuration is neither a path nor a list of paths.
    """
    if file is not None and any(config.get(key) for key in _KEYS):
        sets = _configured(tree, file, config)
    else:
        sets = _listed(tree) or _by_folder(tree)
    for part in sets:
        for image in part.images:
            label = _label_file(tree, image)
            if label is not None:
                part.labels[image] = label
    return sets


def _configured(tree: Tree, file: Path, config: Mapping[str, Any]) -> list[ImageSet]:
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
        raise DataNotFoundError(f"{file} names {', '.join(missing)}, which do not exist beside it.")
    return [part for part in sets.values() if part.images]


def _existing(file: Path, base: str, item: str) -> Path | None:
    """The place an entry means: below ``path``, or beside the file, ``../`` taken as ``./`` if need be."""
    stripped = item
    while stripped.startswith("../"):
        stripped = stripped[3:]
    folders = [Path(base), file.parent / base, file.parent / Path(base).name, file.parent]
    if not base or not Path(base).is_absolute():
        folders = folders[1:]
    for candidate in [*(folder / item for folder in folders), *(folder / stripped for folder in folders)]:
        if candidate.exists():
            return Path(os.path.normpath(candidate))
    return None


def _images_of(tree: Tree, place: Path) -> list[str]:
    if place.is_file():
        lines = [line.strip() for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
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
    """Darknet's ``train.txt``, ``val.txt`` and ``test.txt`` with one image path in each line."""
    sets = []
    for name in ("train.txt", "val.txt", "valid.txt", "test.txt"):
        if name not in tree.files or ("obj.names" not in tree.files and "obj.data" not in tree.files):
            continue
        images = [path for path in _images_of(tree, tree.root / name) if is_image(path)]
        if images:
            sets.append(ImageSet(subset_name(Path(name).stem), images))
    return sets


def _by_folder(tree: Tree) -> list[ImageSet]:
    """``images/train``, ``train/images``, ``images``, or any folder with images beside their label files."""
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
    """``images/`` in the path becomes ``labels/``; otherwise the label file lies beside the image."""
    stem, _ = os.path.splitext(image)  # noqa: PTH122 - once for each image
    before, found, after = stem.rpartition(f"{os.sep}images{os.sep}")
    candidates = [f"{before}{os.sep}labels{os.sep}{after}.txt"] if found else []
    candidates.append(f"{stem}.txt")
    for candidate in candidates:
        if candidate.rpartition(os.sep)[2] not in _NOT_LABELS and tree.exists(candidate):
            return candidate
    return None
