"""Options from environment variables: ``DRIVETRAIN_MAX_EPOCHS=3``, ``DRIVETRAIN_ENGINE_ARGS__MOSAIC=0.5``."""

from __future__ import annotations

from collections.abc import Mapping

from drivetrain.cli.signature import options_of, verbs
from drivetrain.errors import OptionError, near

PREFIX = "DRIVETRAIN_"
#: Variables that something else of drivetrain reads.
_OTHERS = ("CACHE",)
#: Flags that may be set for every command.
FLAGS = ("quiet", "json", "debug")
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def ours(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that begin as ours do, but those that are read elsewhere."""
    others = {PREFIX + name for name in _OTHERS}
    return {name: value for name, value in environment.items() if name.startswith(PREFIX) and name not in others}


def _known() -> list[str]:
    options = dict.fromkeys(name for verb in verbs() for name in options_of(verb))
    return [*options, "config", *FLAGS]


def complaint(name: str) -> str:
    """What is wrong with the name of a variable, or ``""``."""
    option = name.removeprefix(PREFIX).partition("__")[0]
    known = {PREFIX + word.upper() for word in (*_known(), "model", "data")}
    if PREFIX + option in known:
        return ""
    return f"The environment variable {name} is no option of drivetrain.{near(name, [*known, PREFIX + 'CACHE'])}"


def options_from(environment: Mapping[str, str], verb: str) -> dict[str, str]:
    """What the variables say for one verb: ``"max_epochs"`` or ``"engine_args.mosaic"`` -> text.

    Those of other verbs are left alone, since a variable holds for every command.

    Raises:
        OptionError: a variable is of no verb; the message has the nearest spelling.
    """
    allowed = {*options_of(verb), "config", *FLAGS}
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
        OptionError: the value is neither yes nor no.
    """
    value = environment.get(PREFIX + flag.upper(), "")
    if value.lower() not in (*_YES, *_NO):
        raise OptionError(f"{PREFIX}{flag.upper()}={value!r} is not allowed. Allowed: 1, 0.")
    return value.lower() in _YES
