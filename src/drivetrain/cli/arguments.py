"""Parsing a command line into options: words, config files, overrides and environment variables, with clear errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivetrain.cli.option_name import option_name
from drivetrain.cli.signature import Option, holds_texts, options_of, verbs
from drivetrain.errors import OptionError, near
from drivetrain.recipes import VERSION_KEY, is_recipe, list_recipes, load_yaml, names_recipe, read_config
from drivetrain.types.options import near_option

PREFIX = "DRIVETRAIN_"
#: Variables that are read elsewhere in drivetrain.
_OTHERS = ("CACHE", "CACHE_GB", "CACHE_DAYS")
#: Flags that can be set for every command.
SWITCHES = ("quiet", "json", "debug")
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def ours(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with our prefix, except for those that are read elsewhere."""
    others = {PREFIX + name for name in _OTHERS}
    return {name: value for name, value in environment.items() if name.startswith(PREFIX) and name not in others}


def _known() -> list[str]:
    options = dict.fromkeys(name for verb in verbs() for name in options_of(verb))
    return [*options, "config", *SWITCHES]


def complaint(name: str) -> str:
    """What is wrong with the name of a variable, or ``""``."""
    option = name.removeprefix(PREFIX).partition("__")[0]
    known = {PREFIX + word.upper() for word in (*_known(), "model", "data")}
    if PREFIX + option in known:
        return ""
    return f"The environment variable {name} is not an option of drivetrain.{near(name, [*known, PREFIX + 'CACHE'])}"


def options_from(environment: Mapping[str, str], verb: str) -> dict[str, str]:
    """The variables for one verb: ``"max_epochs"`` or ``"engine_args.mosaic"`` -> text.

    Those of other verbs are ignored, since a variable applies to every command.

    Raises:
        OptionError: a variable belongs to no verb; the message suggests the closest.
    """
    allowed = {*options_of(verb), "config", *SWITCHES}
    found = {}
    for name, value in ours(environment).items():
        if wrong := complaint(name):
            raise OptionError(f"{wrong} Unset it, or correct it.")
        head, *rest = name.removeprefix(PREFIX).lower().split("__")
        if head in allowed:
            found[".".join([head, *rest])] = value
    return found


def is_set(environment: Mapping[str, str], flag: str) -> bool:
    """Whether a flag is switched on by its variable.

    Raises:
        OptionError: the value is neither 1 nor 0.
    """
    value = environment.get(PREFIX + flag.upper(), "")
    if value.lower() not in (*_YES, *_NO):
        raise OptionError(f"{PREFIX}{flag.upper()}={value!r} is not allowed. Allowed: 1, 0.")
    return value.lower() in _YES


#: Options that a config does not repeat: where the run goes, and what to do with an existing one.
_PLACE = ("work_dir", "resume", "overwrite")
_PATHS = ("model", "data", "checkpoint", "source", "images")
_ARGUMENTS = ("model_args", "data_args", "engine_args")


def require_recipe(name: str) -> None:
    """Refuse the name of a recipe that is not included in drivetrain.

    Raises:
        OptionError: there is no such recipe; the message lists them.
    """
    recipes = list_recipes()
    if name not in recipes:
        raise OptionError(
            f"--recipe {name} does not exist.{near(name, recipes)} Recipes: {', '.join(recipes)}. Your own file "
            "is given with --config FILE."
        )


def repeatable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that repeat the run elsewhere: with absolute paths and without the work dir."""
    kept = {name: value for name, value in values.items() if name not in _PLACE}
    for name in _PATHS:
        if kept.get(name) not in (None, "", "best", "last"):
            kept[name] = _absolute(kept[name], surely=True)
    for name in _ARGUMENTS:
        if kept.get(name) is not None:
            kept[name] = _absolute(kept[name], surely=False)
    return kept


def _absolute(value: Any, *, surely: bool) -> Any:
    """The value with existing paths made absolute.

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
    """The options as the text of a config file."""
    import yaml

    from drivetrain._version import __version__
    from drivetrain.runs.run import plain

    return str(yaml.safe_dump({VERSION_KEY: __version__, **plain(values)}, sort_keys=False, allow_unicode=True))


#: Flags of the commands that run a verb.
FLAGS = ("help", *SWITCHES, "print_config")
#: Flags of one verb only.
OWN_FLAGS = {"dry_run": "train"}
_DOTTED = {"model": "model_args", "data": "data_args"}


@dataclass(slots=True)
class Request:
    """A parsed command line.

    Attributes:
        values: option -> value as written: strings from the command line, plain data from config files.
        flags: the given flags of :data:`FLAGS` and :data:`OWN_FLAGS`.
        recipe: the name of the recipe that the options come from, or ``""``.
    """

    values: dict[str, Any] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    recipe: str = ""


def read_request(
    verb: str, arguments: Sequence[str], verbs: Sequence[str], environment: Mapping[str, str] | None = None
) -> Request:
    """Parse the command line of a verb; it overrides the config files, which override the environment variables.

    Args:
        verb: the verb.
        arguments: the words after the verb.
        verbs: all verbs, for messages.
        environment: variables to look for options in.

    Raises:
        OptionError: an option, a key or a variable does not exist, or has no value or too many.
    """
    options = options_of(verb)
    request = _from_environment(verb, verbs, environment or {})
    written = Request()
    for name, values in _tokens(arguments):
        if name in FLAGS or OWN_FLAGS.get(name) == verb:
            if values:
                raise OptionError(f"--{name} takes no value, but {values[0]!r} follows it.")
            request.flags.add(name)
        elif name in ("config", "recipe"):
            for path in values or _missing(name):
                if name == "recipe":
                    require_recipe(path)
                _read_config(request, path, verb, verbs)
        else:
            _write(written.values, name, values, options, verb, verbs)
    _merge(request.values, written.values)
    return _opened(request, verb, verbs)


def _opened(request: Request, verb: str, verbs: Sequence[str]) -> Request:
    """The request with a recipe given as the model used as a config instead."""
    model = request.values.get("model")
    if not names_recipe(model):
        return request
    opened = Request(flags=request.flags, recipe=request.recipe)
    _read_config(opened, str(model), verb, verbs)
    _merge(opened.values, {name: value for name, value in request.values.items() if name != "model"})
    return opened


def _read_config(request: Request, path: str, verb: str, verbs: Sequence[str]) -> None:
    values = read_config(path, lambda key: _require_known(key, verb, verbs, ""), what=f"--config {path}")
    _merge(request.values, values)
    if is_recipe(path):
        request.recipe = path


def _from_environment(verb: str, verbs: Sequence[str], environment: Mapping[str, str]) -> Request:
    request, options = Request(), options_of(verb)
    for name, value in options_from(environment, verb).items():
        if name in SWITCHES:
            request.flags |= {name} if is_set(environment, name) else set()
        elif name == "config":
            _read_config(request, value, verb, verbs)
        else:
            _write(request.values, name, [value], options, verb, verbs)
    return request


def _tokens(arguments: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each ``--name`` with the values that follow it."""
    name: str | None = None
    values: list[str] = []
    for token in arguments:
        if token in ("-h", "-c"):
            token = {"-h": "--help", "-c": "--config"}[token]
        if not token.startswith("--"):
            if name is None:
                raise OptionError(
                    f"{token!r} has no option before it. Options are written as: --name value, for example: "
                    f"--model {token}."
                )
            values.append(token)
            continue
        if name is not None:
            yield name, values
        name, equals, value = token[2:].partition("=")
        name = option_name(name)
        values = [value] if equals else []
    if name is not None:
        yield name, values


def _missing(name: str) -> list[str]:
    raise OptionError(f"--{name} needs a value.")


def _write(
    target: dict[str, Any],
    name: str,
    values: list[str],
    options: Mapping[str, Option],
    verb: str,
    verbs: Sequence[str],
) -> None:
    head, dot, key = name.partition(".")
    if dot:
        option = options.get(_DOTTED.get(head, head))
        if option is None or option.kind != "mapping":
            _require_known(head, verb, verbs, "--")
            raise OptionError(f"--{name}: {head} has no parts. Write --{head} VALUE.")
        if len(values) != 1:
            raise OptionError(f"--{name} takes one value, not {len(values)}. Write lists as '[1, 2]'.")
        _merge(target, {option.name: _nested(key, load_yaml(values[0], f"--{name}"))})
        return
    _require_known(name, verb, verbs, "--")
    target[name] = _joined(options[name], values)


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    result: dict[str, Any] = value
    return result


def _joined(option: Option, values: list[str]) -> Any:
    if option.kind == "flag" and not values:
        return True
    if not values:
        _missing(option.name)
    if option.kind == "object" and len(values) > 1:
        return [load_yaml(value, f"--{option.name}") for value in values]
    if option.kind in ("object", "mapping"):
        if len(values) > 1:
            raise OptionError(f"--{option.name} takes one value, not {len(values)}. Write it as one quoted YAML text.")
        return load_yaml(values[0], f"--{option.name}")
    if len(values) == 1:
        return values[0]
    if option.kind != "list":
        raise OptionError(f"--{option.name} takes one value, not {len(values)}: {' '.join(values)}.")
    return values if holds_texts(option) else [load_yaml(value, f"--{option.name}") for value in values]


def _require_known(name: str, verb: str, verbs: Sequence[str], prefix: str) -> None:
    options = options_of(verb)
    if name in options:
        return
    owners = [other for other in verbs if other != verb and (name in options_of(other) or OWN_FLAGS.get(name) == other)]
    if owners:
        raise OptionError(f"{prefix}{name} belongs to {' and '.join(owners)}, not to {verb}.")
    allowed = [*options, "config", "recipe", *FLAGS, *(flag for flag, owner in OWN_FLAGS.items() if owner == verb)]
    hint = near_option(name, allowed, prefix=prefix)
    raise OptionError(f"{prefix}{name} is not an option of {verb}.{hint} See all with: drivetrain {verb} --help.")


def _merge(target: dict[str, Any], extra: Mapping[str, Any]) -> None:
    """Merge mappings key by key, and replace everything else."""
    for key, value in extra.items():
        old = target.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            _merge(old, value)
        else:
            target[key] = value
