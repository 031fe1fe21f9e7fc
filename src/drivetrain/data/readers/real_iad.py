"""Real-IAD: for each product a ``.json`` with its training and test images, and the masks of the defects.

The images are in ``realiad_1024/PRODUCT`` (or ``realiad_256``, ``realiad_512``, ``realiad_raw``) next to the folder of
the ``.json`` files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivetrain.data.damage import Damage
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.text import has_words, read_json
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

WORDS = ('"normal_class"', '"image_path"', '"anomaly_class"')
_GLANCES = 3
_PLAIN = "realiad_jsons"  # next to it are other selections of the same images: _sv, _fuiad_0.1
_SIZES = ("realiad_raw", "realiad_1024", "realiad_512", "realiad_256")


def detect(tree: Tree) -> bool:
    """Whether one of the first ``.json`` files has the keys of Real-IAD."""
    return any(has_words(tree.root / name, *WORDS) for name in tree.with_suffix(".json")[:_GLANCES])


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The images of one product; the labels are the normal class and the kinds of defects.

    Raises:
        DataFormatError: there are several products, or none.
    """
    file, document = _chosen(tree, request)
    normal = set(request.normal) or {str(document["meta"]["normal_class"]).lower()}
    damage = Damage(strict=request.strict)
    entries = list(_entries(file, document, damage))
    kinds = {str(entry["anomaly_class"]) for _, entry in entries}
    names = sorted(kinds, key=lambda kind: (kind.lower() not in normal, kind))
    number = {name: index for index, name in enumerate(names)}
    parsed = Parsed([], names, Task.ANOMALY, "real_iad", watched=[file])
    base = _base(tree, file, str(document["meta"].get("prefix", "")), [str(e["image_path"]) for _, e in entries[:1]])
    for subset, entry in entries:
        kind, mask = str(entry["anomaly_class"]), entry.get("mask_path")
        anomalous = kind.lower() not in normal
        path = str(base / str(mask)) if anomalous and isinstance(mask, str) and mask else None
        if path is not None:
            parsed.used.add(path)
        image = str(base / str(entry["image_path"]))
        parsed.records.append(Record(image, subset, labels=[number[kind]], anomalous=anomalous, mask_path=path))
    parsed.notes += damage.notes()
    return parsed


def _entries(file: Path, document: Mapping[str, Any], damage: Damage) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for subset in ("train", "test"):
        listed = document.get(subset)
        for place, entry in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(entry, dict) and all(isinstance(entry.get(k), str) for k in ("anomaly_class", "image_path")):
                yield subset, entry
            else:
                damage.add("name no image or no class and were left out", f"{file}, {subset} {place}")


def _chosen(tree: Tree, request: ReadRequest) -> tuple[Path, Mapping[str, Any]]:
    """The file to read, with its content.

    Raises:
        DataFormatError: there are several products, or none.
    """
    files = [request.file] if request.file else [tree.root / name for name in tree.with_suffix(".json")]
    documents = {file: document for file in files if has_words(file, *WORDS) and _fits(document := read_json(file))}
    plain = {file: found for file, found in documents.items() if file.parent.name == _PLAIN}
    documents = plain or documents
    if not documents:
        raise DataFormatError(f"{tree.root} is not in the format 'real_iad': no .json file has a 'normal_class'.")
    if len(documents) > 1:
        names = [str(file.relative_to(tree.root)) for file in documents]
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise DataFormatError(
            f"{tree.root} contains {len(documents)} products: {shown}. A model learns only one: give its file, such as "
            f"{next(iter(documents))}."
        )
    return next(iter(documents.items()))


def _fits(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(meta := document.get("meta"), dict) and "normal_class" in meta


def _base(tree: Tree, file: Path, prefix: str, names: list[str]) -> Path:
    """The folder that the image paths are relative to: the first one that has the first image."""
    outer = [file.parent, *list(file.parent.parents)[:2]]
    places = [place / size / prefix for place in outer for size in (*_SIZES, "")]
    found = (place for place in places if names and tree.exists(str(place / names[0])))
    return next(found, places[0])
