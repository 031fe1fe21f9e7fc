"""Recipes and saved configs: flat YAML files that name a model and its options, one key for each option."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivetrain.errors import OptionError, near

#: The key of a saved config that says which drivetrain wrote it.
VERSION_KEY = "drivetrain"
_FOLDER = Path(__file__).parent
_SUFFIXES = (".yaml", ".yml")


def load_yaml(text: str, what: str) -> Any:
    """The value of a YAML text; ``1e-3`` is a number too.

    Raises:
        OptionError: the text is not YAML.
    """
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OptionError(f"{what}: {text!r} is not YAML ({_place(error)}).") from error
    return _number(value)


def _number(value: Any) -> Any:
    """YAML 1.1 reads ``1e-3`` as a text; people mean a number."""
    if not isinstance(value, str) or value[:1] not in "+-.0123456789":
        return value
    try:
        return float(value) if "e" in value.lower() else value
    except ValueError:
        return value


def numbers(value: Any) -> Any:
    """The value of a config with every ``1e-3`` in it as a number."""
    if isinstance(value, dict):
        return {name: numbers(item) for name, item in value.items()}
    return [numbers(item) for item in value] if isinstance(value, list) else _number(value)


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{where}{getattr(error, 'problem', None) or error}"


def list_recipes() -> list[str]:
    """The configs that come with drivetrain, such as ``"classification/fast"``."""
    return sorted(file.relative_to(_FOLDER).with_suffix("").as_posix() for file in _FOLDER.glob("*/*.yaml"))


def is_recipe(path: str) -> bool:
    """Whether a recipe is meant: its name, and no file of that name is there."""
    return not Path(path).expanduser().exists() and path in list_recipes()


def names_recipe(model: Any) -> bool:
    """Whether a model was given as a recipe: the name of one that comes along, or a YAML file that is there."""
    if not isinstance(model, str | Path):
        return False
    path = Path(model).expanduser()
    return is_recipe(str(model)) or (path.suffix in _SUFFIXES and path.is_file())


def recipe_tasks() -> dict[str, str]:
    """The task of each recipe."""
    import yaml

    return {
        name: yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["task"] for name in list_recipes()
    }


def _config_file(path: str) -> Path:
    """The file of that path, else the recipe of that name."""
    return _FOLDER / f"{path}.yaml" if is_recipe(path) else Path(path).expanduser()


def read_config(path: str, require_known: Callable[[str], None], *, what: str) -> dict[str, Any]:
    """The options in a config file, with ``model: {class_path, init_args}`` written out flat.

    Args:
        path: the file, or the name of a recipe.
        require_known: raises OptionError for a key that is no option.
        what: how it was given, for messages.

    Raises:
        OptionError: the file cannot be read, is no mapping, or has a key that is no option.
    """
    import yaml

    if not path.strip():
        raise OptionError(f"{what.strip()} {path!r} is empty; is a variable unset?")
    try:
        content = yaml.safe_load(_config_file(path).read_text(encoding="utf-8"))
    except OSError as error:
        recipes = list_recipes()
        hint = near(path, recipes) or f" Recipes that come with drivetrain: {', '.join(recipes)}."
        raise OptionError(f"{what} cannot be read ({error.strerror}).{hint}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f"{what} is not YAML ({_place(error)}).") from error
    if not isinstance(content, dict):
        raise OptionError(f"{what} must hold options as 'name: value' lines, not a {type(content).__name__}.")
    _check_version(content.pop(VERSION_KEY, None), what)
    for key in content:
        try:
            require_known(str(key))
        except OptionError as error:
            raise OptionError(f"{what}: {error}") from None
    return _flat(_flat(content, what, "model"), what, "data")


def _check_version(written_by: Any, what: str) -> None:
    """Refuse a config of a newer drivetrain, whose options may mean something else.

    Raises:
        OptionError: it is newer than this one.
    """
    if written_by is None:
        return
    from packaging.version import InvalidVersion, Version

    from drivetrain._version import __version__

    try:
        newer = Version(str(written_by)) > Version(__version__)
    except InvalidVersion as error:
        raise OptionError(f"{what}: {VERSION_KEY}={written_by!r} is not a version.") from error
    if newer:
        raise OptionError(
            f"{what} was written by drivetrain {written_by}, and this is {__version__}. Upgrade with: "
            f"pip install -U drivetrain, or remove its line '{VERSION_KEY}: {written_by}' to use it as it is."
        )


def _flat(content: dict[str, Any], what: str, name: str) -> dict[str, Any]:
    """``model: {class_path, init_args}`` as the two options that it stands for; data keep their class among theirs."""
    written = content.get(name)
    if not isinstance(written, dict):
        return content
    arguments = f"{name}_args"
    if not {"class_path"} <= set(written) <= {"class_path", "init_args"} or arguments in content:
        raise OptionError(
            f"{what}: {name} must be a name or a path, with its arguments in {arguments}: {{...}}; "
            "or a mapping of class_path and init_args."
        )
    if name == "data":
        return {**{key: value for key, value in content.items() if key != name}, arguments: written}
    return {**content, name: written["class_path"], arguments: written.get("init_args") or {}}
