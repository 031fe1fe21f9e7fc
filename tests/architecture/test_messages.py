"""Every message of the package can be expressed in terms of the command line, wherever it is."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivetrain
from drivetrain.cli.arguments import FLAGS, OWN_FLAGS
from drivetrain.cli.commands import commands
from drivetrain.cli.main import own_options
from drivetrain.cli.signature import options_of, verbs
from drivetrain.cli.wording import OF_DATA, reworded, spellings
from drivetrain.errors import either

SOURCE = Path(drivetrain.__file__).parent
#: Modules without messages for the command line -> what they contain instead.
NO_MESSAGES = {
    "cli/completion.py": "scripts of shells",
    "cli/doctor.py": "the program of a probe; its own messages are written for the command line",
    "cli/wording.py": "the patterns of the translation itself",
    "export/deployed_texts.py": "a Dockerfile, a program and pages that are written",
    "launch/worker.py": "the program of a worker",
    "report/_sorting.py": "a script of the pages",
    "report/_style.py": "a style sheet",
    "report/page.py": "the markup of a page",
    "testing": "messages to authors of engines, who write Python",
    "engine/old_hooks.py": "messages to authors of engines, who write Python",
}
CALL = re.compile(r"(?<![-\w])[A-Za-z_][\w.]*\([^)\s]*")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z_]*)")


def text_of(node: ast.AST) -> str | None:
    """The text of a literal, with 'x' and 7 as placeholder values; both forms of ``either``."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        called = text_of(node.value) if isinstance(node.value, ast.Call) else None
        return called or ("'x'" if node.conversion == ord("r") else "7")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = text_of(node.left), text_of(node.right)
        return None if parts == (None, None) else "".join(part or "7" for part in parts)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "either":
        return either(*(text_of(argument) or "7" for argument in node.args))
    return None


class Texts(ast.NodeVisitor):
    """The complete strings of a module, without docstrings and ``__repr__``."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name != "__repr__":
            self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit(self, node: ast.AST) -> None:
        text = text_of(node)
        if text is None:
            super().visit(node)
        elif " " in text:
            self.found.append((node.lineno, text))


def all_texts() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name not in NO_MESSAGES and name.partition("/")[0] not in NO_MESSAGES:
            texts = Texts()
            texts.visit(ast.parse(path.read_text(encoding="utf-8")))
            yield from ((f"{name}:{line}", text) for line, text in texts.found)


def foreign(text: str, command: str) -> list[str]:
    """What a message mentions, after the translation, that the command line does not have."""
    said = reworded(text, own=own_options(command))
    names = "|".join(sorted(spellings(own_options(command)), key=len, reverse=True))
    calls = CALL.findall(said)
    assignments = [found[0] for found in re.finditer(rf"(?<![\w.\-'\"`])(?:{names})=(?=\S)", said)]
    known = {name for verb in verbs() for name in options_of(verb)} | {*FLAGS, *OWN_FLAGS, "config", "recipe"}
    known |= {"option", "version"}  # of the usage
    known |= {"local"}  # of "hf download NAME --local-dir FOLDER"
    known |= {name for function in commands().values() for name in inspect.signature(function).parameters}
    options = [f"--{name}" for name in OPTION.findall(said) if name not in known]
    return calls + assignments + options


@pytest.mark.parametrize("command", ["train", "data"])
def test_no_text_names_a_python_call_or_an_option_that_does_not_exist(command: str) -> None:
    found = {place: (text, wrong) for place, text in all_texts() if (wrong := foreign(text, command))}
    assert found == {}


def test_the_walk_sees_the_texts_and_what_is_wrong_with_them() -> None:
    texts = dict(all_texts())
    assert len(texts) > 500
    assert any("must be a finite number greater than 0" in text for text in texts.values())
    assert foreign("Give Engine(model, data) or trials=3 or --epoch 3.", "train") == ["Engine(model,", "--epoch"]
    assert foreign("batch_size={}x is wrong", "train") == []
    assert foreign("resume=x", "train") == ["resume="]
    assert foreign(f"Call {either('engine.export()', 'drivetrain export --model RUN')}.", "train") == []
    sample = "raise OptionError(f'{name}={value!r} is ' + either('a()', f'--{b} c'))"
    texts_of_sample = Texts()
    texts_of_sample.visit(ast.parse(sample))
    assert texts_of_sample.found == [(1, "7='x' is `a()` (on the command line: `--7 c`)")]


@pytest.mark.parametrize("name", OF_DATA)
def test_options_of_data_are_spelled_for_the_command_at_hand(name: str) -> None:
    if name in inspect.signature(commands()["data"]).parameters:
        assert reworded(f"give {name}=...", own=own_options("data")) == f"give --{name} ..."
    verb = "export" if name == "format" else "train"
    assert (
        reworded(f"give {name}=...", own=own_options(verb)) == f"give --{'' if name == 'format' else 'data.'}{name} ..."
    )
