"""Everything listed in a module's ``__all__`` can be imported from it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import drivetrain


def typed_names() -> dict[str, str]:
    """Names that ``drivetrain/__init__.py`` shows to type checkers: name -> origin."""
    tree = ast.parse(Path(drivetrain.__file__).read_text(encoding="utf-8"))
    blocks = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    imports = [n for block in blocks for n in block.body if isinstance(n, ast.ImportFrom)]
    return {alias.name: f"{n.module}:{alias.name}" for n in imports for alias in n.names}


def packages() -> list[str]:
    found = pkgutil.iter_modules(drivetrain.__path__, "drivetrain.")
    return [module.name for module in found if module.ispkg and module.name != "drivetrain.cli"]


def test_lazy_names_and_typed_names_agree() -> None:
    assert typed_names() == drivetrain._PUBLIC
    assert set(drivetrain.__all__) == {*drivetrain._PUBLIC, "__version__"}
    assert set(drivetrain.__all__) <= set(dir(drivetrain))


@pytest.mark.parametrize("name", drivetrain.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(drivetrain, name)
    assert getattr(value, "__name__", name) == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Enginee"):
        drivetrain.Enginee  # noqa: B018


@pytest.mark.parametrize("name", packages())
def test_packages_export_what_they_list(name: str) -> None:
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)
    assert not [entry for entry in listed if not hasattr(module, entry)]
