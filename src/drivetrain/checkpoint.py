"""Read what a checkpoint file says about itself, executing nothing."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drivetrain.errors import CheckpointError, CheckpointNotFoundError, near

SUFFIXES = (".ckpt", ".pt", ".pth")
_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What stands in the pickle of a checkpoint.

    Attributes:
        names: ``"module.name"`` of everything that unpickling would import.
        texts: the strings in it, such as the keys of its dicts.
    """

    names: frozenset[str]
    texts: frozenset[str]

    def mentions(self, mark: str) -> bool:
        """Whether a string equals ``mark``, or an imported name begins with it."""
        return mark in self.texts or any(name.startswith(mark) for name in self.names)


def read_facts(path: Path) -> CheckpointFacts:
    """Scan the pickle of a torch checkpoint without running it.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointError: it is not a torch checkpoint.
    """
    require_file(path)
    try:
        data = _pickle_of(path)
        names, texts = set[str](), list[str]()
        for opcode, argument in _operations(data):
            if opcode == "GLOBAL":
                names.add(str(argument).replace(" ", "."))
            elif opcode == "STACK_GLOBAL" and len(texts) >= 2:
                names.add(f"{texts[-2]}.{texts[-1]}")
            elif isinstance(argument, str):
                texts.append(argument)
    except (ValueError, OSError, zipfile.BadZipFile, KeyError, IndexError) as error:
        raise CheckpointError(
            f"checkpoint={str(path)!r} is not a torch checkpoint ({error}). "
            f"Give a file ending in {', '.join(SUFFIXES)} that a training wrote, or a work dir."
        ) from error
    return CheckpointFacts(frozenset(names), frozenset(texts))


def require_file(path: Path) -> None:
    """Refuse a checkpoint path that is not a file.

    Raises:
        CheckpointNotFoundError: there is no such file; the message names the checkpoints beside it.
    """
    if path.is_file():
        return
    folder = path.parent if path.parent.is_dir() else None
    beside = sorted(file.name for file in folder.iterdir() if file.suffix in SUFFIXES) if folder else []
    hint = near(path.name, beside) or (f" In that folder: {', '.join(beside[:10])}." if beside else "")
    raise CheckpointNotFoundError(f"checkpoint={str(path)!r} does not exist.{hint} Nothing was downloaded.")


def _pickle_of(path: Path) -> bytes:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            member = next((info for info in archive.infolist() if info.filename.endswith("data.pkl")), None)
            if member is None:
                raise ValueError("the archive has no data.pkl")
            if member.file_size > _MOST_BYTES:
                raise ValueError("its pickle is larger than 256 MiB")
            return archive.read(member)
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)


def _operations(data: bytes) -> Iterator[tuple[str, object]]:
    for opcode, argument, _ in pickletools.genops(data):
        yield opcode.name, argument
