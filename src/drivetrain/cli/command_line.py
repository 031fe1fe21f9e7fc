"""The options of a command, read from its signature, with our own error messages."""

from __future__ import annotations

import argparse
import inspect
import shutil
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from drivetrain.cli.answer import Answer, Command, results_only_on_stdout
from drivetrain.cli.option_name import option_name
from drivetrain.errors import OptionError, near

#: Options of every command, which nobody means who misspells another.
_ALWAYS = ("--help", "--json", "--debug")
#: What most commands are about; some take it without an option.
_SUBJECTS = ("--model", "--data", "--source", "--path", "--run", "--artifact", "--folder", "--work_dir")


class WordParser(argparse.ArgumentParser):
    """An argument parser that raises instead of exiting, and suggests the closest spelling."""

    def __init__(self, **options: Any) -> None:
        self._names: list[str] = []
        super().__init__(allow_abbrev=False, **options)

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """Remember the name for messages."""
        self._names += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            OptionError: always.
        """
        raise OptionError(f"{message}. See: {self.prog} --help.")

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the command.

        Raises:
            OptionError: an option does not exist, or its value is wrong.
        """
        words = []
        for token in arguments:
            name, equals, value = token.partition("=")
            if name.startswith("--"):
                name = f"--{option_name(name[2:])}"
                if name not in self._names:
                    raise OptionError(
                        f"{name} is not an option of {self.prog}.{self._instead(name)} See: {self.prog} --help."
                    )
            words.append(name + equals + value)
        return self.parse_args(words)

    def _instead(self, name: str) -> str:
        """A sentence with the options that were perhaps meant, or with the arguments that have no option here."""
        plain = " ".join(action.dest.upper() for action in self._get_positional_actions())
        if plain and name in _SUBJECTS:
            return f" Write {plain} without an option: {self.prog} {plain}."
        return near(name, [known for known in self._names if known not in _ALWAYS])


def parser_of(
    name: str, command: Command, *, with_help: bool = True, mark: Callable[[argparse.Action], None] | None = None
) -> WordParser:
    """The parser of a command: positional parameters as words, the others as ``--name VALUE``.

    Args:
        name: the name of the command.
        command: the function.
        with_help: also parse the docstring, which takes longer than many commands.
        mark: called with each option that comes from a parameter.
    """
    summary, helps = _documented(command) if with_help else ("", {})
    width = min(shutil.get_terminal_size().columns - 2, 110)
    parser = WordParser(
        prog=f"drivetrain {name}",
        description=summary,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=width),
    )
    hints = typing.get_type_hints(command, vars(sys.modules[command.__module__]))
    for parameter in inspect.signature(command).parameters.values():
        action = _add(parser, parameter, hints[parameter.name], helps.get(parameter.name, ""))
        if mark is not None:
            mark(action)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _documented(command: Command) -> tuple[str, dict[str, str]]:
    """The first line of the docstring, and the description of each parameter."""
    from docstring_parser import parse

    documented = parse(inspect.getdoc(command) or "")
    helps = {item.arg_name: " ".join((item.description or "").split()) for item in documented.params}
    return documented.short_description or "", helps


def _add(parser: WordParser, parameter: inspect.Parameter, hint: Any, text: str) -> argparse.Action:
    options = _how_to_read(hint)
    if parameter.default not in (parameter.empty, None, False, ""):
        text += f" Default: {parameter.default}."
    if parameter.kind is parameter.KEYWORD_ONLY:
        if parameter.default is parameter.empty:
            options["required"] = True
        elif hint is not bool:
            options["default"] = parameter.default
        return parser.add_argument(f"--{parameter.name}", help=text, **options)
    if parameter.default is not parameter.empty:
        options |= {"nargs": "?", "default": parameter.default}
    return parser.add_argument(parameter.name, help=text, **options)


def _how_to_read(hint: Any) -> dict[str, Any]:
    """The type in argparse's terms; a list takes several words after the option."""
    if hint is bool:
        return {"action": "store_true"}
    if get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is not None:
        return {"nargs": "+", "type": _one_word(get_args(hint)[0])}
    return {"type": _one_word(hint)}


def _one_word(hint: Any) -> Any:
    return _path if hint is Path else hint


def _path(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is empty; is a variable unset?")
    return Path(text).expanduser()


def run_command(name: str, command: Command, arguments: Sequence[str]) -> int:
    """Run a command and print its answer.

    Raises:
        DrivetrainError: as the command does; OptionError for a mistake on the command line.
    """
    asked_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    values = vars(parser_of(name, command, with_help=asked_for_help).read(arguments))
    as_json, _ = values.pop("json"), values.pop("debug")
    with results_only_on_stdout() as stdout:
        answer: Answer = command(**values)
        from drivetrain.cli.render import Page, write_json

        if as_json:
            write_json(answer.data, stdout)
        else:
            answer.tell(Page(stdout))
    return answer.code
