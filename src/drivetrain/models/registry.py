"""The registry of engines: those of installed packages and those registered in this process."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from drivetrain.errors import ModelError, OptionError, near
from drivetrain.machine.packages import import_object
from drivetrain.models.catalog import Listing, ModelEntry, listing
from drivetrain.models.licence import is_permissive
from drivetrain.models.spec import EngineSpec
from drivetrain.types.task import Task

GROUP = "drivetrain.engines"
_E = TypeVar("_E", bound=type)


_registered: dict[str, EngineSpec] = {}
_classes: dict[str, type[Any]] = {}
_from_packages: dict[str, EngineSpec] | None = None


def register_engine(spec: EngineSpec, *, override: bool = False) -> Callable[[_E], _E]:
    """Class decorator that registers an engine in this process.

    Packages announce theirs through the entry-point group ``drivetrain.engines`` instead, whose value is the path of an
    :class:`EngineSpec`.

    Args:
        spec: describes the engine and what it serves.
        override: replace an engine of the same name.

    Raises:
        ModelError: another engine already has this name.
    """

    def register(cls: _E) -> _E:
        known = engine_specs().get(spec.name)
        if known is not None and known.class_path != spec.class_path and not override:
            raise ModelError(
                f"An engine named {spec.name!r} is already registered ({known.class_path}). "
                "Choose another name, or pass override=True to replace it."
            )
        _registered[spec.name] = spec
        _classes[spec.name] = cls
        return cls

    return register


def refresh_engines() -> None:
    """Re-read the entry points, so that packages installed in the meantime are found."""
    global _from_packages
    _from_packages = None


def engine_specs() -> dict[str, EngineSpec]:
    """All known engines by name, installed or not; a broken plug-in only causes a warning.

    Raises:
        ModelError: two packages announce the same name.
    """
    global _from_packages
    if _from_packages is None:
        _from_packages = dict(_announced())
    return {**_from_packages, **_registered}


def _announced() -> Iterator[tuple[str, EngineSpec]]:
    seen: dict[str, str] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        if point.name in seen and seen[point.name] != point.value:
            raise ModelError(
                f"Two packages announce an engine named {point.name!r}: {seen[point.name]} and {point.value}. "
                "Uninstall one of them."
            )
        seen[point.name] = point.value
        try:
            spec = import_object(point.value)
            if not isinstance(spec, EngineSpec):
                raise TypeError(f"it is a {type(spec).__name__} and not an EngineSpec")
            if spec.name != point.name:
                raise ValueError(f"its spec is named {spec.name!r}, its entry point {point.name!r}")
        except Exception as error:
            warnings.warn(f"The engine plug-in {point.value} cannot be loaded: {error!r}", stacklevel=3)
            continue
        yield point.name, spec


def list_engines() -> dict[str, EngineSpec]:
    """All known engines by name; ``spec.missing`` lists the packages that an engine still needs."""
    return engine_specs()


def list_models(
    engine: str | None = None, *, task: str | Task | None = None, text: str = "", permissive: bool = False
) -> list[ModelEntry]:
    """The models of every installed upstream.

    Args:
        engine: only those of this engine.
        task: only those for this task.
        text: only those whose full name contains this text, ignoring case.
        permissive: only those whose code and published weights are known to be under permissive licences.

    Raises:
        OptionError: there is no such engine or task.
    """
    wanted = Task.parse(task) if task is not None else None
    specs = [spec_by_name(engine)] if engine is not None else list(engine_specs().values())
    return [
        entry
        for spec in specs
        for source in listings(spec)
        for entry in source.models
        if (wanted is None or wanted in entry.tasks) and text.lower() in entry.full_name.lower()
        if not permissive or is_permissive(entry)
    ]


def spec_by_name(name: str) -> EngineSpec:
    """The engine of the given name.

    Raises:
        OptionError: there is none; the message lists the known ones.
    """
    specs = engine_specs()
    if name not in specs:
        raise OptionError(f"engine={name!r} is not known.{near(name, specs)} Known: {', '.join(sorted(specs))}.")
    return specs[name]


#: By these the packages of a framework tell each other what will change; its users can do nothing about it.
_FOR_UPSTREAM = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)


def load_engine(spec: EngineSpec) -> type[Any]:
    """The class of an engine; this imports its framework.

    Raises:
        MissingDependencyError: its packages are not installed.
    """
    if spec.name in _classes:
        return _classes[spec.name]
    spec.require_installed()
    with warnings.catch_warnings():
        for kind in _FOR_UPSTREAM:
            warnings.simplefilter("ignore", kind)
        cls: type[Any] = import_object(spec.class_path)
    return cls


def listings(spec: EngineSpec) -> Iterator[Listing]:
    """The models offered by an engine's installed packages, one listing per installed source."""
    for source in spec.sources:
        found = listing(source)
        if found is not None:
            yield found
