"""The models that each installed upstream offers, cached per upstream version so that listing imports nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drivetrain._version import __version__
from drivetrain.errors import ModelError
from drivetrain.machine import files
from drivetrain.machine.files import cache_dir
from drivetrain.machine.packages import import_object, is_installed, version_of
from drivetrain.models.licence import UNKNOWN

_SCHEMA = 4


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A source of model names.

    Attributes:
        prefix: the part before the colon in ``"timm:resnet18"``.
        package: the top-level package that must be installed.
        distribution: the name of its distribution, for ``importlib.metadata``.
        listing: ``"module:function"`` without arguments that returns ``{"models": [...], "arguments": {family:
            [...]}}``: dicts with the fields of :class:`ModelEntry` (``source`` is filled in) and of :class:`Argument`.
            It runs in a child process and may import the package.
        install: the command to show if the package is missing; empty for the engine's own.
        elsewhere: ``"module:function"`` that takes a name which the listing lacks and returns what to use instead, or
            ``""``. It runs in this process, so it must not import the package.
    """

    prefix: str
    package: str
    distribution: str
    listing: str
    install: str = ""
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class Argument:
    """One constructor argument of a model: its name, its type and default as written, and its help text."""

    name: str
    type: str = ""
    default: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model that an upstream offers.

    Attributes:
        name: as spelled by the upstream.
        source: the prefix of its :class:`ModelSource`.
        tasks: the tasks it can be trained for.
        class_path: the class or function that creates it, ``"package.module:Name"``.
        family: models of one family have the same arguments.
        summary: one line of description.
        code_licence: licence of the code, as stated by the upstream; "unknown" if it states none.
        weights_licence: licence of the published weights, as stated by the upstream; "unknown" if it states none,
            "none" if it publishes no weights.
    """

    name: str
    source: str
    tasks: tuple[str, ...]
    class_path: str
    family: str = ""
    summary: str = ""
    code_licence: str = UNKNOWN
    weights_licence: str = UNKNOWN

    @property
    def licences(self) -> dict[str, str]:
        """Both licences, for a record."""
        return {"code": self.code_licence, "weights": self.weights_licence}

    @property
    def full_name(self) -> str:
        """The unambiguous spelling, ``"source:name"``."""
        return f"{self.source}:{self.name}"


@dataclass(frozen=True, slots=True)
class Listing:
    """All models of one source, with the arguments of each family."""

    source: str
    version: str
    models: tuple[ModelEntry, ...]
    arguments: dict[str, tuple[Argument, ...]]

    def find(self, name: str) -> ModelEntry | None:
        """The model of the given name: an exact match, or else one ignoring case."""
        by_name = {entry.name: entry for entry in self.models}
        if name in by_name:
            return by_name[name]
        lowered = [entry for entry in self.models if entry.name.lower() == name.lower()]
        return lowered[0] if len(lowered) == 1 else None


def installed_version(source: ModelSource) -> str | None:
    """The installed version of the source's package, or ``None``."""
    if not is_installed(source.package):
        return None
    return version_of(source.distribution) or "unknown"


def listing(source: ModelSource) -> Listing | None:
    """The models that the source offers; ``None`` if its package is not installed.

    The first call for a version asks the package in a child process and stores the answer in the user's cache;
    a damaged cache entry is rebuilt.

    Raises:
        ModelError: the package is installed but could not be queried.
    """
    version = installed_version(source)
    if version is None:
        return None
    path = _cache_path(source, version)
    cached = cached_listing(source)
    if cached is not None:
        return cached
    print(f"Listing the models of {source.distribution} {version} (once per version) ...", file=sys.stderr)  # noqa: T201
    text = _ask_in_child(source)
    try:
        files.write_text(path, text)
    except OSError as error:  # the list is available now, and will be fetched again next time
        print(f"The list could not be cached: {error}", file=sys.stderr)  # noqa: T201
    return _parse(json.loads(text), source, version)


def cached_listing(source: ModelSource) -> Listing | None:
    """The cached listing of the source, if there is one; never queries the package."""
    version = installed_version(source)
    return None if version is None else _read(_cache_path(source, version), source, version)


def served_elsewhere(name: str, sources: Sequence[ModelSource]) -> str:
    """What to use instead of a name that one of the sources knows but does not list; ``""`` if none knows it."""
    asked = (source for source in sources if source.elsewhere and installed_version(source) is not None)
    return next(filter(None, (str(import_object(source.elsewhere)(name)) for source in asked)), "")


def argument_names(model: Any, sources: Sequence[ModelSource]) -> tuple[str, ...] | None:
    """The constructor arguments of a class or of a named model of one of the sources; ``None`` if any are allowed."""
    import inspect

    if isinstance(model, ModelEntry):
        found = next((listing(source) for source in sources if source.prefix == model.source), None)
        return tuple(row.name for row in found.arguments.get(model.family, ())) if found is not None else None
    parameters = inspect.signature(model.__init__).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return tuple(parameter.name for parameter in parameters if parameter.name != "self")


def _cache_path(source: ModelSource, version: str) -> Path:
    origin = source.listing.replace(":", ".")
    return cache_dir() / "catalog" / f"{source.prefix}-{version}-{origin}-{__version__}-{_SCHEMA}.json"


def _read(path: Path, source: ModelSource, version: str) -> Listing | None:
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")), source, version)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse(data: dict[str, Any], source: ModelSource, version: str) -> Listing:
    models = tuple(
        ModelEntry(**{**row, "source": source.prefix, "tasks": tuple(row["tasks"])}) for row in data["models"]
    )
    arguments = {family: tuple(Argument(**row) for row in rows) for family, rows in data["arguments"].items()}
    return Listing(source.prefix, version, models, arguments)


def _ask_in_child(source: ModelSource) -> str:
    """Run the listing in a separate process, so that this one imports nothing."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "listing.json"
        command = [sys.executable, "-m", "drivetrain.models.catalog", source.listing, str(answer)]
        done = subprocess.run(  # noqa: S603  (our own interpreter and module)
            command, capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelError(
                f"The models of {source.distribution} could not be listed: {last}. "
                f"For the full message run: {' '.join(command[:3])} {source.listing} listing.json"
            )
        return answer.read_text(encoding="utf-8")


def signature_arguments(function: Any, *, skip: Sequence[str] = ("self",)) -> list[dict[str, str]]:
    """The arguments of a class or function as rows for :class:`Argument`, with help from its docstring."""
    import inspect

    from docstring_parser import parse

    target = function.__init__ if inspect.isclass(function) else function
    documented: dict[str, str] = {}
    for text in (inspect.getdoc(function), inspect.getdoc(target)):
        for item in parse(text or "").params:
            documented.setdefault(item.arg_name, " ".join((item.description or "").split()))
    rows = []
    for name, parameter in inspect.signature(target).parameters.items():
        if name in skip or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = "" if parameter.annotation is parameter.empty else inspect.formatannotation(parameter.annotation)
        default = "" if parameter.default is parameter.empty else repr(parameter.default)
        row = Argument(name, kind.replace("'", ""), default, documented.get(name, ""))
        rows.append(asdict(row))
    return rows


def _main(arguments: Sequence[str]) -> None:
    listing_path, answer = arguments
    Path(answer).write_text(json.dumps(import_object(listing_path)()), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1:])
