"""The completion of bash and zsh, written once as a script; only model names are queried at a TAB."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any

from drivetrain.cli.answer import Answer, Command
from drivetrain.cli.arguments import FLAGS
from drivetrain.cli.command_line import parser_of
from drivetrain.cli.signature import Option, choices_of, options_of, summary_of, verbs
from drivetrain.machine.packages import require
from drivetrain.recipes import list_recipes

_FILES = ("data", "source", "images", "checkpoint", "path", "output", "run")
_FOLDERS = ("work_dir",)
_MODELS = {"bash": "_drivetrain_models", "zsh": "_drivetrain_models"}
_NAMES = "drivetrain find --names 2>/dev/null | sed 's/^[^:]*://'"  # a colon separates words in bash
_PREAMBLE = {
    "bash": f'_drivetrain_models() {{ compgen -W "$({_NAMES})" -- "$1"; compgen -f -- "$1"; }}',
    "zsh": f'_drivetrain_models() {{ local -a names; names=(${{(f)"$({_NAMES})"}}); compadd -a names; _files }}',
}


def completion_script(shell: str, commands: Mapping[str, Command]) -> Answer:
    """The completion script for a shell.

    Args:
        shell: ``"bash"`` or ``"zsh"``.
        commands: the commands that are not verbs, by name.

    Raises:
        MissingDependencyError: shtab is not installed.
    """
    shtab = require("shtab", "completion", purpose="Writing the completion")
    parser = argparse.ArgumentParser(prog="drivetrain", allow_abbrev=False)
    below = parser.add_subparsers(dest="command")
    for verb in verbs():
        _add_verb(below.add_parser(verb, allow_abbrev=False, help=_plain(summary_of(verb))), verb, shtab)
    for name, command in commands.items():
        if " " in name:  # shtab does not support a second word that may also be a path
            continue
        made = parser_of(name, command, mark=lambda action: _complete(action, action.dest, shtab))
        text = _plain(made.description or "")
        below.add_parser(name, allow_abbrev=False, add_help=False, parents=[made], help=text)
    script = shtab.complete(parser, shell, preamble=_PREAMBLE[shell])
    return Answer({"shell": shell, "script": script}, lambda page: page.line(script))


def _add_verb(parser: argparse.ArgumentParser, verb: str, shtab: Any) -> None:
    for option in options_of(verb).values():
        action = parser.add_argument(f"--{option.name}", help=_plain(option.help), **_how(option))
        _complete(action, option.name, shtab)
    config = parser.add_argument("--config", choices=list_recipes())
    config.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab reads this attribute
    for flag in FLAGS:
        if flag != "help":
            parser.add_argument(f"--{flag}", action="store_true")


def _plain(text: str) -> str:
    """The text without the markup of docstrings and of argparse, which a shell would show."""
    return re.sub(r"[`%]", "", text)


def _how(option: Option) -> dict[str, Any]:
    if choices := choices_of(option):
        return {"choices": choices}
    if option.kind == "flag":
        return {"nargs": "?", "choices": ["true", "false"]}
    return {"nargs": "+"} if option.kind == "list" else {}


def _complete(action: argparse.Action, name: str, shtab: Any) -> None:
    """Declare the values of an option, if they are files or models."""
    kinds = {**dict.fromkeys(_FILES, shtab.FILE), **dict.fromkeys(_FOLDERS, shtab.DIRECTORY), "model": _MODELS}
    if name in kinds:
        action.complete = kinds[name]  # type: ignore[attr-defined]  # shtab reads this attribute
