"""Say a message of the Python API in the words of the command line: ``resume=True`` becomes ``--resume``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

_VALUE = r"""'[^'\n]*'|"[^"\n]*"|\[[^\]\n]*\]|\([^)\n]*\)|\.\.\.|-?\d+(?:\.\d+)?(?:e-?\d+)?|True|False"""


_SWITCH = r"True|False"


def reworded(message: str, *, switches_only: bool = False) -> str:
    """The message with the options of all verbs as they are written on the command line.

    Args:
        message: of an error or a note.
        switches_only: leave ``batch_size=8`` as it is: a note of what was used, not of what to type.
    """
    from drivetrain.cli.signature import options_of, verbs

    names = {name for verb in verbs() for name in options_of(verb)}
    return in_command_words(message, names, values=_SWITCH if switches_only else _VALUE)


def reworded_note(note: str) -> str:
    """A note with the switches that it tells to type, such as ``overwrite=True``, as ``--overwrite``."""
    return reworded(note, switches_only=True)


def in_command_words(message: str, options: Iterable[str], *, values: str = _VALUE) -> str:
    """The message with every ``name=value`` of an option written as it is written on the command line.

    Args:
        message: of an error or a note.
        options: the names of the options; other names stay as they are.
        values: a pattern of the values that are meant.
    """
    names = "|".join(sorted(options, key=len, reverse=True))
    if not names:
        return message
    # "train(precision=...)" and "Engine(work_dir=...)" name one option each
    alone = re.sub(rf"\b(?:Engine|train|test|predict|export)\(((?:{names})=(?:{values}))\)", r"\1", message)
    return re.sub(rf"(?<![\w.\-])({names})=({values})", lambda found: _written(found[1], found[2]), alone)


def _written(name: str, value: str) -> str:
    if value == "True":
        return f"--{name}"
    if value == "False":
        return f"--{name} false"
    if value[:1] in "'\"":
        return f"--{name} {shlex.quote(value[1:-1])}"
    return f"--{name} {value}"


def option_name(written: str) -> str:
    """The name of an option in our spelling: ``max-epochs`` is ``max_epochs``; what follows a dot is an upstream's."""
    head, dot, rest = written.partition(".")
    return head.replace("-", "_") + dot + rest


def command(*words: object) -> str:
    """A command to copy: paths and values with blanks are quoted as a shell wants it."""
    return " ".join(shlex.quote(str(word)) for word in words)
