"""Reading what a checkpoint file says about itself, without executing anything."""

from __future__ import annotations

import hashlib
import io
import pickletools
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from drivetrain.errors import CheckpointError, CheckpointNotFoundError, near

SUFFIXES = (".ckpt", ".pt", ".pth")
_MOST_BYTES = 256 * 1024 * 1024
_MOST_PICKLES = 5
#: The names needed by tensors, arrays and plain data; calling these cannot run code chosen by the file.
_PLAIN = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\.(\w+Storage|Size|device|dtype|[a-z]+\d+)|torch\.storage\.\w*Storage"
    r"|torch\.nn\.parameter\.Parameter|collections\.(OrderedDict|defaultdict|Counter)"
    r"|(builtins|__builtin__)\.(set|frozenset|list|dict|int|float|complex|bytearray|slice|range)"
    r"|numpy\.(ndarray|dtype|(core|_core)\.multiarray\.(_reconstruct|scalar))|_codecs\.encode"
)


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """The contents of the pickle in a checkpoint.

    Attributes:
        names: ``"module.name"`` of everything that unpickling would import.
        texts: the strings in it, such as the keys of its dicts.
    """

    names: frozenset[str]
    texts: frozenset[str]

    def mentions(self, mark: str) -> bool:
        """Whether a string equals ``mark``, or an imported name starts with it."""
        return mark in self.texts or any(name.startswith(mark) for name in self.names)

    @property
    def foreign_names(self) -> tuple[str, ...]:
        """What unpickling would import beyond tensors and plain data, in order."""
        return tuple(sorted(name for name in self.names if not _PLAIN.fullmatch(name)))


def read_facts(path: Path) -> CheckpointFacts:
    """Scan the pickle of a torch checkpoint without running it.

    Raises:
        CheckpointNotFoundError: the file does not exist.
        CheckpointError: it is not a torch checkpoint.
    """
    require_file(path)
    try:
        names, texts = _mentioned(_pickle_of(path))
    except (ValueError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(
            f"checkpoint={str(path)!r} is not a torch checkpoint ({error}). "
            f"Give a file ending in {', '.join(SUFFIXES)} written by a training run, or a work dir."
        ) from error
    return CheckpointFacts(frozenset(names), frozenset(texts))


def tensor_digest(path: Path) -> str:
    """A hash of the tensors in a checkpoint; equal tensors give equal hashes, whatever else the file contains.

    Paths, dates and versions added by tools are ignored. A file that is not a torch archive is
    hashed as a whole.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    if not zipfile.is_zipfile(path):
        digest.update(path.read_bytes())
        return digest.hexdigest()
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        tensors = [name for name in members if name.startswith("data/")]
        for name in sorted(tensors, key=lambda name: (len(name), name)):
            digest.update(f"{name} {members[name].file_size}\n".encode())
            with archive.open(members[name]) as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()


def require_file(path: Path) -> None:
    """Refuse a checkpoint path that is not a file.

    Raises:
        CheckpointNotFoundError: the file does not exist; the message names the other checkpoints in its folder.
    """
    if path.is_file():
        return
    folder = path.parent if path.parent.is_dir() else None
    beside = sorted(file.name for file in folder.iterdir() if file.suffix in SUFFIXES) if folder else []
    hint = near(path.name, beside) or (f" In that folder: {', '.join(beside[:10])}." if beside else "")
    looked = "" if path.is_absolute() else f" Looked in: {path.parent.absolute()}."
    raise CheckpointNotFoundError(
        f"checkpoint={str(path)!r} does not exist.{hint}{looked} Nothing was downloaded. Give the path of a checkpoint."
    )


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


def _mentioned(data: bytes) -> tuple[set[str], set[str]]:
    """The names that unpickling would import, and the strings, of the pickles at the start of ``data``.

    The older torch format stores several pickles one after another; only the first must be valid.
    """
    stream = io.BytesIO(data)
    names, texts = set[str](), set[str]()
    for number in range(_MOST_PICKLES):
        try:
            _scan(stream, names, texts)
        except ValueError:
            if number == 0:
                raise
            break
    return names, texts


def _scan(stream: IO[bytes], names: set[str], texts: set[str]) -> None:
    """Follow the strings of one pickle through its memo, from which ``STACK_GLOBAL`` takes its two names."""
    memo: dict[int, str] = {}
    memo_size, last, strings = 0, "", ["", ""]
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL":
            names.add(last := str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            names.add(last := ".".join(strings[-2:]))
        elif opcode.name == "MEMOIZE":
            memo[memo_size] = last
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(str(argument))] = last
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            last = memo.get(int(str(argument)), "")
            strings = [strings[-1], last]
        elif isinstance(argument, str):
            last = argument
            strings = [strings[-1], last]
            texts.add(last)
        else:
            last = ""
        memo_size += opcode.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT")
