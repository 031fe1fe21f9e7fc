"""The verbs, one module each; a method of the engine is a verb if its function is defined here."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from drivetrain.engine.argument_types import require_types
from drivetrain.errors import DrivetrainError, OutOfMemoryError, UnknownOptionError, UnsupportedError
from drivetrain.machine.resources import is_out_of_memory
from drivetrain.types.options import near_option

if TYPE_CHECKING:
    from drivetrain.engine.early import Start
    from drivetrain.models.spec import EngineSpec

P = ParamSpec("P")
R = TypeVar("R")


def verbs_of(cls: type) -> dict[str, tuple[str, ...]]:
    """The verbs of an engine in the order in which they are written, each with the hooks that it needs."""
    found: dict[str, tuple[str, ...]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if inspect.isfunction(value) and value.__module__.startswith(f"{__name__}."):
                found[name] = tuple(sys.modules[value.__module__].NEEDS)
    return found


def check_early(cls: type, verb: str, start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded, with the verb's own ``check`` and its hooks.

    Args:
        cls: the engine that has the verb.
        verb: its name.
        start: what is known about the engine.
        given: the arguments of the verb.

    Raises:
        DrivetrainError: as the verb would.
    """
    check = getattr(sys.modules[getattr(cls, verb).__module__], "check", None)
    if check is not None:
        check(start, given)
    if start.spec is not None:
        require_hooks(cls, verb, verbs_of(cls)[verb], start.spec)


def has_hooks(needs: Iterable[str], spec: EngineSpec) -> bool:
    """Whether a framework has the hooks that a verb needs.

    Args:
        needs: the names of hooks; of several in one text, ``"export_source|artifact"``, one is enough.
        spec: of its engine.
    """
    return all(set(need.split("|")) & set(spec.hooks) for need in needs)


def require_hooks(cls: type, verb: str, hooks: Sequence[str], spec: EngineSpec, more: str = "") -> None:
    """Refuse a verb whose hooks the framework lacks.

    Args:
        cls: the engine that has the verbs.
        verb: the requested verb.
        hooks: the hooks that it needs.
        spec: the spec of the engine that serves the model.
        more: a sentence for the end of the message.

    Raises:
        UnsupportedError: the message lists the available verbs.
    """
    if not has_hooks(hooks, spec):
        able = [name for name, needs in verbs_of(cls).items() if has_hooks(needs, spec)]
        name = cls.__name__ if hasattr(cls, "spec") else spec.class_path.rpartition(":")[2]
        raise UnsupportedError(f"{name} cannot {verb}; it can {', '.join(able)}.{more}")


def known_options(verb: Callable[P, R]) -> Callable[P, R]:
    """Make a verb report a wrong option name or type, and running out of memory, with a clear error.

    Raises:
        UnknownOptionError: it has no such option; the message suggests the closest.
        OptionError: a value does not have the type of its option.
        OutOfMemoryError: the framework ran out of memory.
    """

    @functools.wraps(verb)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        require_known(verb, verb.__name__, kwargs)
        require_types(verb, args, kwargs)
        try:
            return verb(*args, **kwargs)
        except Exception as error:
            if isinstance(error, DrivetrainError) or not is_out_of_memory(error):
                raise
            raise _out_of_memory(verb, error) from error

    return checked


def _out_of_memory(verb: Callable[..., Any], error: Exception) -> OutOfMemoryError:
    """Our error instead of a framework's own when memory runs out, with the options of this verb that help."""
    said = (str(error) or type(error).__name__).strip().splitlines()[0]
    names = inspect.signature(verb).parameters
    smaller = " or ".join(f"a smaller {name}" for name in ("batch_size", "image_size") if name in names)
    adaptive = ", or adaptive_bs='safe'" if "adaptive_bs" in names else ""
    advice = f" Give {smaller}{adaptive}." if smaller else ""
    return OutOfMemoryError(f"Memory ran out in {verb.__name__}: {said.rstrip('.')}.{advice}")


def require_known(function: Callable[..., Any], name: str, given: Iterable[str]) -> None:
    """Refuse an argument that a function does not have, suggesting the closest one.

    Args:
        function: the function that is called.
        name: its name in the message.
        given: the names of the arguments.

    Raises:
        UnknownOptionError: the message lists all arguments.
    """
    parameters = inspect.signature(function).parameters
    names = [known for known in parameters if known != "self"]
    unknown = next((known for known in given if known not in names), None)
    if unknown is not None and not any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        raise UnknownOptionError(
            f"{name} has no option {unknown!r}.{near_option(unknown, names)} It has: {', '.join(names)}."
        )
