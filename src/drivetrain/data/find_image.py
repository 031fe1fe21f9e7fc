"""Finding the image that an annotation names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from drivetrain.data.tree import Tree

_MOST_ALIKE = 64  # the most images of one name among which the folders decide
_DEEPEST = 6  # the most parts of another computer's path to search for


class ImageFinder:
    """Searches for image names in likely folders, then anywhere in the tree if the name is unique.

    Args:
        tree: the files of the data set.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._base: Path | None = None  # where the last image was found
        self._near = ""  # its name below the root, with a slash
        self._likely: Sequence[Path] | None = None  # the folders among which it was

    def find(self, written: str, bases: Sequence[Path]) -> str:
        """The absolute path of an image.

        Args:
            written: the name as written in the annotation, with or without folders.
            bases: the folders where it may be, the likeliest first.

        Returns:
            The path; if there is no such file, the first place where it was expected.
        """
        name = written.replace("\\", "/")
        likely = bases is self._likely or self._base in bases
        if likely and (near := f"{self._near}{name}") in self._tree.files:
            return self._tree.absolute(near)
        if Path(name).is_absolute() and self._tree.exists(name):
            return str(Path(name))
        for base in bases:
            if self._tree.exists(candidate := _join(base, name)):
                self._remember(base, bases)
                return candidate
        for tail in tails(name):
            for base in bases:
                if self._tree.exists(candidate := _join(base, tail)):
                    return candidate
        found = self._by_name.get(name.rpartition("/")[2], [])
        if len(found) == 1:
            return self._tree.absolute(found[0])
        return self._respelt(name) or _join(bases[0], name)

    def _respelt(self, name: str) -> str | None:
        """The only image whose path ends in the name, ignoring case, Unicode's forms and percent-encoding."""
        parts = spelling(name).split("/")
        found = self._by_spelling.get(parts[-1], [])
        if len(found) > _MOST_ALIKE:
            return None
        for start in range(max(len(parts) - _DEEPEST, 0), len(parts)):
            ending = "/" + "/".join(parts[start:])
            fitting = [path for path in found if f"/{spelling(path)}".endswith(ending)]
            if len(fitting) == 1:
                path = self._tree.absolute(fitting[0])
                self._tree.respelt[path] = name
                return path
        return None

    def _remember(self, base: Path, bases: Sequence[Path]) -> None:
        """Look for the next image in this folder first."""
        below = "" if base == self._tree.root else self._tree.relative(base)
        if below is not None:
            self._base, self._near, self._likely = base, f"{below}/" if below else "", bases

    def find_stem(self, stem: str, folders: Sequence[str]) -> str | None:
        """The absolute path of the image with this name without suffix in one of the folders of the tree."""
        for folder in folders:
            name = self._by_stem.get(f"{folder}/{stem}" if folder else stem)
            if name is not None:
                return self._tree.absolute(name)
        return None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self._tree.images:
            found.setdefault(path.rpartition("/")[2], []).append(path)
        return found

    @cached_property
    def _by_spelling(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self._tree.images:
            found.setdefault(spelling(path.rpartition("/")[2]), []).append(path)
        return found

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        return {path[: path.rfind(".")]: path for path in self._tree.images}


def spelling(name: str) -> str:
    """A name without the differences between systems: case, Unicode's forms, percent-encoding."""
    return unicodedata.normalize("NFC", unquote(name)).casefold()


def tails(name: str) -> list[str]:
    """The ends of another computer's absolute path, the longest first; none for a relative path."""
    if not (name.startswith("/") or re.match(r"[A-Za-z]:/", name)):
        return []
    parts = [part for part in name.split("/") if part][-_DEEPEST:]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _join(base: Path, name: str) -> str:
    return str(base.joinpath(name)) if ".." not in name else str((base / name).resolve())
