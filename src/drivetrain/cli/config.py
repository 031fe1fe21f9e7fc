"""Config files: flat YAML, one key for each option of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drivetrain.errors import OptionError, near

#: What a config does not repeat: where the run goes, and what to do with what is there.
_PLACE = ("work_dir", "resume", "overwrite")
_PATHS = ("model", "data", "checkpoint", "source", "images")
_ARGUMENTS = ("model_args", "data_args", "engine_args")
#: The key of a saved config that says which drivetrain wrote it.
VERSION_KEY = "drivetrain"
_RECIPES = Path(__file__).parent.parent / "recipes"


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


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{where}{getattr(error, 'problem', None) or error}"


def list_recipes() -> list[str]:
    """The configs that come with drivetrain, such as ``"classification/fast"``."""
    return sorted(file.relative_to(_RECIPES).with_suffix("").as_posix() for file in _RECIPES.glob("*/*.yaml"))


def is_recipe(path: str) -> bool:
    """Whether a recipe is meant: its name, and no file of that name is there."""
    return not Path(path).expanduser().exists() and path in list_recipes()


def require_recipe(name: str) -> None:
    """Refuse the name of a recipe that does not come with drivetrain.

    Raises:
        OptionError: there is no such recipe; the message lists them.
    """
    recipes = list_recipes()
    if name not in recipes:
        raise OptionError(
            f"--recipe {name} does not exist.{near(name, recipes)} Recipes: {', '.join(recipes)}. A file of your own "
            "is given as --config FILE."
        )


def recipe_tasks() -> dict[str, str]:
    """The task of each recipe."""
    import yaml

    return {
        name: yaml.safe_load((_RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))["task"] for name in list_recipes()
    }


def _config_file(path: str) -> Path:
    """The file of that path, else the recipe of that name."""
    return _RECIPES / f"{path}.yaml" if is_recipe(path) else Path(path).expanduser()


def read_config(path: str, require_known: Callable[[str], None]) -> dict[str, Any]:
    """The options in a config file, with ``model: {class_path, init_args}`` written out flat.

    Args:
        path: the file, or the name of a recipe.
        require_known: raises OptionError for a key that is no option.

    Raises:
        OptionError: the file cannot be read, is no mapping, or has a key that is no option.
    """
    import yaml

    try:
        content = yaml.safe_load(_config_file(path).read_text(encoding="utf-8"))
    except OSError as error:
        recipes = list_recipes()
        hint = near(path, recipes) or f" Recipes that come with drivetrain: {', '.join(recipes)}."
        raise OptionError(f"--config {path} cannot be read ({error.strerror}).{hint}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f"--config {path} is not YAML ({_place(error)}).") from error
    if not isinstance(content, dict):
        raise OptionError(f"--config {path} must hold options as 'name: value' lines, not a {type(content).__name__}.")
    _check_version(content.pop(VERSION_KEY, None), path)
    for key in content:
        try:
            require_known(str(key))
        except OptionError as error:
            raise OptionError(f"--config {path}: {error}") from None
    return _flat(_flat(content, path, "model"), path, "data")


def _check_version(written_by: Any, path: str) -> None:
    """Refuse a config of a newer drivetrain, whose options may mean something else.

    Raises:
        OptionError: it is newer than this one.
    """
    if written_by is None:
        return
    from packaging.version import InvalidVersion, Version

    from drivetrain import __version__

    try:
        newer = Version(str(written_by)) > Version(__version__)
    except InvalidVersion as error:
        raise OptionError(f"--config {path}: {VERSION_KEY}={written_by!r} is not a version.") from error
    if newer:
        raise OptionError(
            f"--config {path} was written by drivetrain {written_by}, and this is {__version__}. Upgrade with: "
            f"pip install -U drivetrain, or remove its line '{VERSION_KEY}: {written_by}' to use it as it is."
        )


def _flat(content: dict[str, Any], path: str, name: str) -> dict[str, Any]:
    """``model: {class_path, init_args}`` as the two options that it stands for; data keep their class among theirs."""
    written = content.get(name)
    if not isinstance(written, dict):
        return content
    arguments = f"{name}_args"
    if not {"class_path"} <= set(written) <= {"class_path", "init_args"} or arguments in content:
        raise OptionError(
            f"--config {path}: {name} must be a name or a path, with its arguments in {arguments}: {{...}}; "
            "or a mapping of class_path and init_args."
        )
    if name == "data":
        return {**{key: value for key, value in content.items() if key != name}, arguments: written}
    return {**content, name: written["class_path"], arguments: written.get("init_args") or {}}


def repeatable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that repeat the run in another place: paths absolute, the work dir left out."""
    kept = {name: value for name, value in values.items() if name not in _PLACE}
    for name in _PATHS:
        if kept.get(name) not in (None, "", "best", "last"):
            kept[name] = _absolute(kept[name], surely=True)
    for name in _ARGUMENTS:
        if kept.get(name) is not None:
            kept[name] = _absolute(kept[name], surely=False)
    return kept


def _absolute(value: Any, *, surely: bool) -> Any:
    """The value with the texts that are paths of something that exists made absolute.

    Args:
        value: plain data.
        surely: whether a text is meant as a path; if not, it must also look like one (a slash or a suffix).
    """
    if isinstance(value, Mapping):
        return {key: _absolute(item, surely=surely) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(item, surely=surely) for item in value]
    if not isinstance(value, str | Path):
        return value
    path = Path(value).expanduser()
    meant = surely or "/" in str(value) or bool(path.suffix)
    return str(path.absolute()) if meant and _exists(path) else value


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def to_yaml(values: Mapping[str, Any]) -> str:
    """The options as a config file."""
    import yaml

    from drivetrain import __version__
    from drivetrain.run import plain

    return str(yaml.safe_dump({VERSION_KEY: __version__, **plain(values)}, sort_keys=False, allow_unicode=True))
