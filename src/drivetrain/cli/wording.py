"""Translating messages of the Python API to the command line: ``resume=True`` becomes ``--resume``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

_VALUE = (
    r"""'[^'\n]*'|"[^"\n]*"|\[[^\]\n]*\]|\([^)\n]*\)|\{[^{}\n]*\}|\.\.\.|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?|-?inf|nan"""
    r"|None|True|False"
)
_SWITCH = r"True|False"
#: Mappings -> how one of their keys is written after ``--``.
_MAPPINGS = {
    "model_args": "model",
    "data_args": "data",
    "engine_args": "engine_args",
    "space": "space",
    "hpo_config": "hpo_config",
}


#: Arguments of ``load_dataset`` that a verb accepts as ``--data.NAME``.
OF_DATA = ("format", "splits", "strict", "cache", "allow_pickle", "normal")


def reworded(message: str, *, own: Mapping[str, str] | None = None, switches_only: bool = False) -> str:
    """The message with options in their command line form.

    Args:
        message: the message of an error or a note.
        own: the options of the command at hand, in its spelling; for "data" they include those of ``load_dataset``.
        switches_only: leave ``batch_size=8`` unchanged: a note about what was used, not about what to type.
    """
    if switches_only:
        return _assigned(_one_voice(message), spellings(own), _SWITCH)
    return in_command_words(message, spellings(own))


def reworded_note(note: str) -> str:
    """A note with the switches that it suggests, such as ``overwrite=True``, as ``--overwrite``."""
    return reworded(note, switches_only=True)


def spellings(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Names in the Python API -> their command line form.

    Args:
        own: the options of the command, in its spelling; the others are spelled as by the verbs.
    """
    from drivetrain.cli.signature import options_of, verbs

    found = {name: f"--{name}" for verb in verbs() for name in options_of(verb)}
    found |= {name: f"--data.{name}" for name in OF_DATA}
    return {**found, **(own or {})}


def in_command_words(message: str, options: Mapping[str, str]) -> str:
    """The message in terms of the command line only.

    Args:
        message: the message of an error.
        options: the name of each option -> how it is written.
    """
    if not options:
        return message
    return _bare(_assigned(_keys(_one_voice(message)), options, _VALUE), options)


def _one_voice(message: str) -> str:
    """Keep only the command line form of a step given in both forms (see :func:`drivetrain.errors.either`)."""
    return re.sub(r"`[^`]*` \(on the command line: `([^`]*)`\)", r"\1", message)


def _keys(message: str) -> str:
    """Keys of mappings as separate options: ``engine_args={'mosaic': 0.5}`` is ``--engine_args.mosaic 0.5``."""
    heads = "|".join(_MAPPINGS)
    verb = r"(?= (?:is|are|has|have|cannot|must)\b)"
    message = re.sub(
        rf"\b({heads}): (['\"]?)(\w[\w.]*)\2(?:=({_VALUE})|{verb})",
        lambda found: _spelled(f"--{_MAPPINGS[found[1]]}.{found[3]}", found[4]),
        message,
    )
    return re.sub(
        rf"(?<![\w.\-])({heads})=\{{(['\"])([\w.]+)\2: ([^{{}},\n]*|{_VALUE})\}}",
        lambda found: _spelled(f"--{_MAPPINGS[found[1]]}.{found[3]}", found[4]),
        message,
    )


def _assigned(message: str, options: Mapping[str, str], values: str) -> str:
    """Every ``name=value`` of an option in its command line form."""
    names = _alternatives(options)
    # "train(precision=...)" and "Engine(work_dir=...)" each name one option
    alone = re.sub(
        rf"\b(?:Engine|train|test|predict|export)\(({names})=(?:{values})\)", lambda found: options[found[1]], message
    )
    return re.sub(rf"(?<![\w.\-])({names})=({values})", lambda found: _spelled(options[found[1]], found[2]), alone)


def _bare(message: str, options: Mapping[str, str]) -> str:
    """Option names without a value: those with an underscore, and any that should be left out or comes first.

    A list of allowed values is not changed.
    """
    message, listed, rest = message.partition(" Allowed: ")
    words = _alternatives(name for name in options if "_" in name)
    message = re.sub(rf"(?<![\w.\-'\"`/=])({words})(?![\w=/('\"`]|\.\w)", lambda found: options[found[1]], message)
    names = _alternatives(options)
    message = re.sub(rf"\b([Ll]eave )({names})( out\b)", lambda found: found[1] + options[found[2]] + found[3], message)
    message = re.sub(rf"\b([Ll]eave out )({names})\b", lambda found: found[1] + options[found[2]], message)
    return re.sub(rf"^({names})(?=: )", lambda found: options[found[1]], message) + listed + rest


def _alternatives(names: Iterable[str]) -> str:
    return "|".join(sorted(names, key=len, reverse=True))


def _spelled(option: str, value: str | None) -> str:
    if value in (None, "True"):
        return option
    if value == "False":
        return f"{option} false"
    if value[:1] in "'\"":
        return f"{option} {shlex.quote(value[1:-1])}"
    if value[:1] == "(":
        value = f"[{value[1:-1]}]"
    if value[:1] in "[{" and " " in value:
        return f"{option} {shlex.quote(value)}"
    return f"{option} {value}"


def command(*words: object) -> str:
    """A command to copy: paths and values with spaces are quoted for a shell."""
    return " ".join(shlex.quote(str(word)) for word in words)
