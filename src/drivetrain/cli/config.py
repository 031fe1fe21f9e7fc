"""The options of the command line as a config file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivetrain.errors import OptionError, near
from drivetrain.recipes import VERSION_KEY, list_recipes

#: What a config does not repeat: where the run goes, and what to do with what is there.
_PLACE = ("work_dir", "resume", "overwrite")
_PATHS = ("model", "data", "checkpoint", "source", "images")
_ARGUMENTS = ("model_args", "data_args", "engine_args")


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

    from drivetrain._version import __version__
    from drivetrain.runs.run import plain

    return str(yaml.safe_dump({VERSION_KEY: __version__, **plain(values)}, sort_keys=False, allow_unicode=True))
