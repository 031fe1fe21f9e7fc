"""Finding the COCO files in a folder, and reading them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drivetrain.data.read_record import Parsed, ReadRequest
from drivetrain.data.text import decoded
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

# what a file name begins with -> its priority; only files of a single kind are read together
_KINDS = {"instances": 5, "person_keypoints": 3, "stuff": 2, "labels": 1, "image_info": 0}
_OTHER_KIND = 4
_NO_KEY = (type(None), dict, list, bool)
_NEVER = ("captions", "panoptic")


def looks_right(path: Path) -> bool:
    """Whether a file mentions images with file names and annotations, in any encoding."""
    if path.name.startswith(_NEVER):
        return False
    content = path.read_bytes()
    if content.lstrip()[:1] != b"{" or b"\0" in content[:8]:  # a different encoding, or not JSON
        content = decoded(content).encode()
    return b'"images"' in content and b'"file_name"' in content and b'"annotations"' in content


def _refuse_damaged(tree: Tree, chosen: Sequence[Path]) -> None:
    """Reject invalid files next to valid COCO files: otherwise a subset would silently be missing.

    Raises:
        DataFormatError: there is one.
    """
    folders = {file.parent for file in chosen}
    for name in tree.with_suffix(".json"):
        file = tree.root / name
        named = _kind(file) or file.name.endswith("coco.json")
        if file in chosen or file.parent not in folders or not named or file.name.startswith(_NEVER):
            continue
        if looks_right(file):
            continue
        try:
            document = json.loads(decoded(file.read_bytes()))
        except ValueError as error:
            raise DataFormatError(
                f"{file} is named like the annotations next to it, but is {_kind_of_damage(file)} ({error}). "
                "Download it again, or move it away to continue without it."
            ) from error
        results = isinstance(document, list) and document and all(isinstance(row, dict) for row in document)
        if not results and document != {}:
            raise DataFormatError(
                f"{file} is named like the annotations next to it, but lacks 'images', their 'file_name', or "
                "'annotations'. Download it again, or move it away to continue without it."
            )


def _kind_of_damage(file: Path) -> str:
    content = file.read_bytes().lstrip()
    if not content:
        return "empty"
    if content[:1] == b"<":
        return "a web page or XML, not JSON"
    return "truncated or not JSON"


def chosen_files(tree: Tree, request: ReadRequest, parsed: Parsed) -> list[Path]:
    """The annotation files of the kind that fits the task; the others are noted.

    Raises:
        DataFormatError: a file next to them is named like one of them and damaged.
    """
    files = [tree.root / name for name in tree.with_suffix(".json")]
    kinds: dict[str, list[Path]] = {}
    for file in files:
        if looks_right(file):
            kinds.setdefault(_kind(file), []).append(file)
    if not kinds:
        return []
    wanted = dict(_KINDS)
    if request.task is Task.KEYPOINT_DETECTION:
        wanted["person_keypoints"] = 9
    best = max(kinds, key=lambda kind: wanted.get(kind, _OTHER_KIND))
    _refuse_damaged(tree, [file for found in kinds.values() for file in found])
    others = sorted(file.name for kind, found in kinds.items() if kind != best for file in found)
    if others:
        parsed.notes.append(f"Not used: {', '.join(others)}. Give the file itself, or another task, to read it.")
    return kinds[best]


def _kind(file: Path) -> str:
    return next((kind for kind in _KINDS if file.name.startswith(kind)), "")


def read_document(file: Path) -> dict[str, Any]:
    """The content of a file with valid images and categories.

    Raises:
        DataFormatError: it is not JSON, or not COCO.
    """
    try:
        document = json.loads(decoded(file.read_bytes()))
    except (ValueError, OSError, RecursionError) as error:
        raise DataFormatError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise DataFormatError(f"{file} is not a COCO file: it has no list 'images'.")
    for what, needed in (("images", ("id", "file_name")), ("categories", ("id", "name"))):
        entries = document.get(what) or []
        if not isinstance(entries, list):
            raise DataFormatError(f"{file}: '{what}' must be a list.")
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict) or any(isinstance(entry.get(key), _NO_KEY) for key in needed):
                raise DataFormatError(f"{file}: entry {place} of '{what}' must have {' and '.join(map(repr, needed))}.")
    return document
