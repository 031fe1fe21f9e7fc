"""The models of the installed getitune, listed from its files without importing it, which would take ten seconds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drivetrain.engines.getitune.recipes import recipe_files, recipe_folder
from drivetrain.models.licence import UNKNOWN

#: Arguments of a model class that the engine sets itself.
SET_BY_ENGINE = ("self", "label_info", "data_input_params", "optimizer", "scheduler", "metric", "tile_config")


def models() -> dict[str, Any]:
    """Rows for the catalogue: one for each name, with the tasks that have a recipe of this name."""
    folder = recipe_folder()
    return table(folder) if folder is not None else {"models": [], "arguments": {}}


def table(folder: Path) -> dict[str, Any]:
    """The rows for the recipes in a folder.

    Args:
        folder: ``recipe`` in the package; the classes are looked up in the files beside it.
    """
    rows: dict[str, dict[str, Any]] = {}
    arguments: dict[str, list[dict[str, str]]] = {}
    for task, name, _, content in recipe_files(folder):
        module, _, cls = str(content["model"]["class_path"]).rpartition(".")
        arguments.setdefault(cls, list(_arguments(folder.parent, module, cls)))
        if name in rows:
            rows[name]["tasks"].append(task.value)
            continue
        rows[name] = {
            "name": name,
            "tasks": [task.value],
            "class_path": f"{module}:{cls}",
            "family": cls,
            "summary": f"getitune's recipe for {cls}",
            "code_licence": "Apache-2.0",  # from the package metadata
            "weights_licence": UNKNOWN,
        }
    return {"models": list(rows.values()), "arguments": arguments}


def _arguments(package: Path, module: str, cls: str) -> Iterator[dict[str, str]]:
    """The arguments of a class, as its source file states them."""
    file = package.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not file.is_file():
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = next((node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == cls), None)
    made = next((item for item in found.body if _is_constructor(item)), None) if found is not None else None
    if not isinstance(made, ast.FunctionDef) or found is None:
        return
    texts = _documented(ast.get_docstring(found) or "", ast.get_docstring(made) or "")
    positional = [*made.args.posonlyargs, *made.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(made.args.defaults))
    pairs = [*zip(positional, [*defaults, *made.args.defaults], strict=True)]
    pairs += zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True)
    for argument, default in pairs:
        if argument.arg in SET_BY_ENGINE:
            continue
        usual = ast.unparse(default) if default is not None else ""
        yield {
            "name": argument.arg,
            "type": ast.unparse(argument.annotation) if argument.annotation is not None else "",
            "default": "False" if argument.arg == "pretrained" else usual,
            "help": _NOT_FETCHED if argument.arg == "pretrained" else texts.get(argument.arg, ""),
        }


_NOT_FETCHED = "Nothing is downloaded, so only False; give pretrained_weights, a local file, instead."


def _is_constructor(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _documented(*docstrings: str) -> dict[str, str]:
    from docstring_parser import parse

    texts: dict[str, str] = {}
    for docstring in docstrings:
        for item in parse(docstring).params:
            texts.setdefault(item.arg_name, " ".join((item.description or "").split()))
    return texts
