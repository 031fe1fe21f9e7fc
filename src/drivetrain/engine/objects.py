"""Framework objects written as ``{class_path: ..., init_args: {...}}``, for the options that accept them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from drivetrain.errors import OptionError
from drivetrain.machine.packages import import_class
from drivetrain.models.registry import engine_specs
from drivetrain.models.spec import claimed_by
from drivetrain.types.options import check_names

#: Options that hold an object of the framework: name -> the allowed base classes, as in ``EngineSpec.claims``.
OBJECTS: Mapping[str, tuple[str, ...]] = {
    "callbacks": ("lightning:Callback", "pytorch_lightning:Callback"),
    "logger": ("lightning:Logger", "pytorch_lightning:Logger"),
}


def make_objects(name: str, value: Any) -> Any:
    """Create the object or objects of an option.

    Args:
        name: the name of the option, one of :data:`OBJECTS`, or "data".
        value: a mapping of ``class_path`` and ``init_args``, or a list of them; for ``logger`` also tracker names.

    Raises:
        OptionError: it is something else, or the class is not allowed for the option; such a class is not called.
    """
    items = value if isinstance(value, list) else [value]
    made = [item if name == "logger" and isinstance(item, str) else _make(name, item) for item in items]
    return made if name == "callbacks" or isinstance(value, list) else made[0]


def _allowed(name: str) -> tuple[str, ...]:
    """The base classes that an option allows; for data those that the engines declare."""
    if name != "data":
        return OBJECTS[name]
    return tuple(dict.fromkeys(claim for spec in engine_specs().values() for claim in spec.data_claims))


def _make(name: str, value: Any) -> Any:
    allowed = _allowed(name)
    bases = " or ".join(claim.replace(":", ".") for claim in allowed)
    if not isinstance(value, dict) or not {"class_path"} <= set(value) <= {"class_path", "init_args"}:
        raise OptionError(
            f"{name}={value!r} is not an object that can be created. Write it as "
            f"'{{class_path: package.module.Class, init_args: {{...}}}}', where Class is a subclass of {bases}."
        )
    path, arguments = str(value["class_path"]), value.get("init_args") or {}
    cls = _find_class(name, path)
    if claimed_by(cls, allowed) is None:
        raise OptionError(f"{name}: {path!r} is not a subclass of {bases}; it was not called.")
    if not isinstance(arguments, dict):
        raise OptionError(f"{name}: init_args of {path!r} must be a mapping, not {arguments!r}.")
    parameters = inspect.signature(cls).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        check_names(f"{name}: {path}", list(arguments), list(parameters))
    try:
        return cls(**arguments)
    except Exception as error:
        raise OptionError(f"{name}: {path} could not be created with {arguments!r}: {error}") from error


def _find_class(name: str, path: str) -> type:
    try:
        return import_class(path)
    except ImportError as error:
        raise OptionError(f"{name}: {path!r} cannot be imported: {error}.") from error
    except LookupError as error:
        raise OptionError(f"{name}: {error.args[0]}; nothing was imported or called.") from error
    except TypeError as error:
        raise OptionError(f"{name}: {error}; it was not called.") from error


def load_with(source: str | None, arguments: Mapping[str, Any], task: str | None) -> Any:
    """The data at a path read with options, or an object of a framework's data class.

    Args:
        source: the path of the data, or the class path of a data module.
        arguments: those of :func:`drivetrain.load_dataset`, or ``class_path`` with the arguments of that class.
        task: the task that the data are for.

    Raises:
        OptionError: there is no such option, or no path to use it on.
        DataError: the data cannot be read.
    """
    if "class_path" in arguments:
        return _data_object(source, arguments)
    if source is None:
        raise OptionError("data_args are given but no data. Add: --data PATH.")
    from drivetrain.data import load_dataset

    allowed = [name for name in inspect.signature(load_dataset).parameters if name not in ("source", "task")]
    check_names("data", list(arguments), [*allowed, "class_path"])
    return load_dataset(source, task=task, **arguments)


def _data_object(source: str | None, arguments: Mapping[str, Any]) -> Any:
    """Data of a framework's own class: ``--data.class_path``, with its arguments in ``init_args`` or next to it."""
    if source is not None:
        raise OptionError(f"--data {source} and --data.class_path {arguments['class_path']} exclude each other.")
    beside = {name: value for name, value in arguments.items() if name not in ("class_path", "init_args")}
    init_args = {**(arguments.get("init_args") or {}), **beside}
    return make_objects("data", {"class_path": arguments["class_path"], "init_args": init_args})
