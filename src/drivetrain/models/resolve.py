"""Finding the engine that serves a model: an object, a name, a class path, a file or a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from drivetrain.errors import (
    AmbiguousModelError,
    CheckpointError,
    CheckpointNotFoundError,
    MissingDependencyError,
    ModelError,
    OptionError,
    UnknownModelError,
    UnsafeCheckpointError,
    near,
)
from drivetrain.machine.packages import import_class
from drivetrain.models import checkpoint as checkpoints
from drivetrain.models.catalog import ModelEntry, installed_version, served_elsewhere
from drivetrain.models.registry import engine_specs, listings, spec_by_name
from drivetrain.models.spec import EngineSpec, Resolution, claimed_by, unwrap
from drivetrain.recipes import list_recipes


def explain_dispatch(model: Any, *, engine: str | None = None) -> str:
    """Explain which engine serves the model and why the others do not.

    Raises:
        ModelError: no engine serves it; the message says why.
    """
    resolution = resolve(model, engine=engine)
    lines = [f"{resolution.spec.name}: {resolution.reason}"]
    lines += [f"not {name}: {reason}" for name, reason in sorted(resolution.rejected.items())]
    return "\n".join(lines)


def resolve(model: Any, *, engine: str | EngineSpec | None = None) -> Resolution:
    """Choose the engine for a model, without importing any framework that the model has not already imported.

    Args:
        model: an object, a name, a class path, a checkpoint, an artefact, a recipe, or a work dir.
        engine: the engine to use regardless of the model, by name, or by its spec if it is not registered.

    Raises:
        UnknownModelError: no source offers it.
        AmbiguousModelError: several sources offer it; the message lists the prefixed spellings.
        MissingDependencyError: the model is known, but its packages are not installed.
        CheckpointNotFoundError: it looks like a file that does not exist.
    """
    forced = spec_by_name(engine) if isinstance(engine, str) else engine
    if model is None:
        raise ModelError(
            "model is None. Give a model: an object, a name (drivetrain find lists them), or a path. "
            "Or give data too, and a suitable model is chosen."
        )
    if isinstance(model, str) and not model.strip():
        raise ModelError(
            f"model={model!r} is empty; is a variable unset? Give a name (drivetrain find lists them) or a path."
        )
    if isinstance(model, str | Path):
        resolution = _resolve_text(str(model), forced)
    else:
        resolution = _resolve_object(model, forced)
    resolution.spec.require_installed()
    others = {name: _why_not(spec) for name, spec in engine_specs().items() if name != resolution.spec.name}
    return replace(resolution, rejected={**others, **resolution.rejected})


def _why_not(spec: EngineSpec) -> str:
    if spec.missing:
        return f"{', '.join(spec.missing)} is not installed ({spec.install})"
    return "does not claim it" + (f"; it serves {', '.join(spec.claims)}" if spec.claims else "")


# --- objects ---------------------------------------------------------------------------------------------------------


def _resolve_object(model: Any, forced: EngineSpec | None) -> Resolution:
    inner = model if isinstance(model, type) else unwrap(model)
    cls = inner if isinstance(inner, type) else type(inner)
    if forced is not None:
        forced.require_installed()
        if forced.claims and claimed_by(cls, forced.claims) is None:
            taken = ", ".join(claim.replace(":", ".") for claim in forced.claims)
            files = f" or a file ending in {', '.join(forced.suffixes)}" if forced.suffixes else ""
            raise ModelError(
                f"engine={forced.name!r} takes {taken}{files}, not a "
                f"{cls.__module__}.{cls.__qualname__}. Leave engine out to have the right one chosen."
            )
        return Resolution(forced, inner, f"engine={forced.name!r} was requested")
    claims = _claims(engine_specs().values())
    key = claimed_by(cls, tuple(claims))
    if key is None:
        raise UnknownModelError(
            f"No engine serves a model of class {cls.__module__}.{cls.__qualname__}. Engines serve: "
            f"{', '.join(sorted(claims))}. Give engine=... to choose one, or register your own with @register_engine."
        )
    if isinstance(inner, type):
        raise ModelError(f"model is the class {cls.__name__} itself. Give an instance, or its name.")
    return Resolution(_only(claims[key], key), inner, f"{cls.__name__} is a {key.replace(':', '.')}")


def _claims(specs: Iterable[EngineSpec]) -> dict[str, list[EngineSpec]]:
    claims: dict[str, list[EngineSpec]] = {}
    for spec in specs:
        for key in spec.claims:
            claims.setdefault(key, []).append(spec)
    return claims


def _only(specs: list[EngineSpec], key: str) -> EngineSpec:
    """The only engine that claims a class; two claims of one class would be ambiguous."""
    if len(specs) > 1:
        spellings = " or ".join(f"engine={spec.name!r}" for spec in specs)
        raise AmbiguousModelError(f"Several engines serve {key.replace(':', '.')}. Choose one: {spellings}.")
    return specs[0]


# --- names, paths ----------------------------------------------------------------------------------------------------


def _resolve_text(text: str, forced: EngineSpec | None) -> Resolution:
    path = Path(text).expanduser()
    if path.exists():
        return _resolve_path(path, forced)
    specs = [forced] if forced is not None else list(engine_specs().values())
    prefix, colon, name = text.partition(":")
    if colon and any(source.prefix == prefix or spec.name == prefix for spec in specs for source in spec.sources):
        specs = [spec for spec in specs if spec.name == prefix or any(s.prefix == prefix for s in spec.sources)]
        return _resolve_name(name, specs, prefix=prefix)
    if path.suffix in {*checkpoints.SUFFIXES, *_file_suffixes(specs)} and _is_file_name(text, specs):
        raise CheckpointNotFoundError(
            _absent(path, [*_beside(path), *(entry.name for entry in _entries(specs))]) + " Nothing was downloaded."
        )
    return _resolve_name(text, specs)


def _file_suffixes(specs: Iterable[EngineSpec]) -> set[str]:
    return {suffix for spec in specs for suffix in (*spec.suffixes, *spec.checkpoint_suffixes)}


def _is_file_name(text: str, specs: list[EngineSpec]) -> bool:
    """Whether a missing ``x.pt`` is a file rather than a model name with a dot in it."""
    return not any(source.find(text) for spec in specs for source in listings(spec))


def _absent(path: Path, names: Iterable[str]) -> str:
    """The message about a path that does not exist."""
    where = "" if path.is_absolute() else f" in {Path.cwd()}"
    return f"model={str(path)!r} does not exist: no such file or folder{where}.{near(path.name, names)}"


def _beside(path: Path) -> list[str]:
    """The contents of the folder in which a missing path was looked for."""
    try:
        return [item.name for item in path.parent.iterdir()]
    except OSError:
        return []


def _is_path(text: str) -> bool:
    """Whether a string is meant as a path: model names contain no slash, and start with neither a dot nor a tilde."""
    return "/" in text or os.sep in text or text.startswith((".", "~"))


def _entries(specs: Iterable[EngineSpec]) -> list[ModelEntry]:
    return [entry for spec in specs for source in listings(spec) for entry in source.models]


def _resolve_path(path: Path, forced: EngineSpec | None) -> Resolution:
    if path.is_dir():
        if (path / "run.json").is_file():
            return _resolve_work_dir(path, forced)
        owner = _owner_of_folder(path, [forced] if forced is not None else list(engine_specs().values()))
        if owner is not None:
            return owner
        if forced is None and not _holds_model(path):
            inside = sorted(item.name for item in path.iterdir() if item.is_dir() and _holds_model(item))
            hint = f" It has folders that do: {', '.join(inside[:5])}." if inside else ""
            raise UnknownModelError(
                f"model={str(path)!r} is a folder that holds neither a run (run.json) nor an exported model.{hint} "
                "Give the work dir of a training, the folder of an artefact, or the name of a model."
            )
        return _resolve_suffix(path, ".xml", forced, f"{path.name} is a folder")
    if path.suffix in checkpoints.SUFFIXES:
        return _resolve_checkpoint(path, forced)
    return _resolve_suffix(path, path.suffix, forced, f"{path.name} ends in {path.suffix}")


def _owner_of_folder(path: Path, specs: Iterable[EngineSpec]) -> Resolution | None:
    """The engine that recognises a folder by a file in it, unless it contains an artefact."""
    if (path / "manifest.json").is_file():
        return None
    found = ((spec, name) for spec in specs for name in spec.folder_files if (path / name).is_file())
    return next((Resolution(spec, path, f"{path.name} has a {name}") for spec, name in found), None)


def _holds_model(folder: Path) -> bool:
    """Whether a folder contains a run or an artefact."""
    kept = {"run.json", "manifest.json", *(name for spec in engine_specs().values() for name in spec.folder_files)}
    suffixes = _file_suffixes(engine_specs().values())
    return any(item.name in kept or item.suffix in suffixes for item in folder.iterdir() if item.is_file())


def _resolve_suffix(path: Path, suffix: str, forced: EngineSpec | None, reason: str) -> Resolution:
    if forced is not None:
        return Resolution(forced, path, f"engine={forced.name!r} was requested")
    for spec in engine_specs().values():
        if suffix in (*spec.suffixes, *spec.checkpoint_suffixes):
            return Resolution(spec, path, reason)
    known = sorted(_file_suffixes(engine_specs().values()))
    raise UnknownModelError(
        f"model={str(path)!r} is not something an engine opens. Engines open work dirs, artefact folders, checkpoints "
        f"({', '.join(checkpoints.SUFFIXES)}) and files ending in {', '.join(known)}."
    )


def _resolve_work_dir(path: Path, forced: EngineSpec | None) -> Resolution:
    try:
        name = str(json.loads((path / "run.json").read_text(encoding="utf-8"))["engine"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path / 'run.json'} cannot be read ({error!r}); the work dir is damaged.") from error
    if forced is not None and forced.name != name:
        raise OptionError(f"engine={forced.name!r}, but the work dir {str(path)!r} is of engine {name!r}.")
    return Resolution(spec_by_name(name), path, f"the work dir was written by the engine {name!r}")


def _resolve_checkpoint(path: Path, forced: EngineSpec | None) -> Resolution:
    facts = checkpoints.read_facts(path)
    if forced is not None:
        own = any(facts.mentions(mark) for mark in forced.checkpoint_marks)
        others = [s.name for s in engine_specs().values() if any(facts.mentions(mark) for mark in s.checkpoint_marks)]
        if others and not own and forced.checkpoint_marks:
            raise CheckpointError(
                f"engine={forced.name!r}, but the checkpoint {str(path)!r} is of the engine {others[0]!r}. "
                "Leave engine out, or give another checkpoint."
            )
        return Resolution(forced, path, f"engine={forced.name!r} was requested")
    for spec in engine_specs().values():
        mark = next((mark for mark in spec.checkpoint_marks if facts.mentions(mark)), None)
        if mark is not None:
            return Resolution(spec, path, f"the checkpoint mentions {mark!r}")
    if facts.foreign_names:
        raise UnsafeCheckpointError(
            f"model={str(path)!r} is not safe: opening it would execute "
            f"{', '.join(facts.foreign_names[:5])}. It was not opened and nothing was run. If you trust it, save only "
            "the model's state_dict with the tool that wrote it, and give that file as weights."
        )
    raise CheckpointError(
        f"model={str(path)!r} is not a checkpoint of any known engine. If it holds only weights, name the model and "
        "give the file as its weights: model='timm:resnet18', model_args={'pretrained': 'FILE'}."
    )


def _resolve_name(name: str, specs: list[EngineSpec], prefix: str = "") -> Resolution:
    hits = [
        (spec, entry)
        for spec in specs
        for source in listings(spec)
        if prefix in ("", source.source, spec.name)
        for entry in [source.find(name)]
        if entry is not None
    ]
    exact = [(spec, entry) for spec, entry in hits if entry.name == name] or hits
    if len(exact) > 1:
        spellings = ", ".join(repr(entry.full_name) for _, entry in exact)
        raise AmbiguousModelError(f"model={name!r} is offered by several sources. Write one of: {spellings}.")
    if exact:
        spec, entry = exact[0]
        return Resolution(spec, entry, f"{entry.source} offers a model named {entry.name!r}")
    if ("." in name or ":" in name) and "/" not in name and not prefix:
        return _resolve_class_path(name, specs)
    raise _unknown(name, specs, prefix)


def _unknown(name: str, specs: list[EngineSpec], prefix: str) -> Exception:
    import re

    for spec in specs:
        if spec.missing and (prefix or any(re.fullmatch(pattern, name) for pattern in spec.known_names)):
            return MissingDependencyError(
                f"model={name!r} belongs to the engine {spec.name!r}, which needs {', '.join(spec.missing)}. "
                f"Install it with: {spec.install}"
            )
        for source in spec.sources:
            if prefix == source.prefix and installed_version(source) is None:
                return MissingDependencyError(
                    f"model={prefix + ':' + name!r} needs the package {source.package!r}, which is not installed. "
                    f"Install it with: {source.install or spec.install}"
                )
    hint = served_elsewhere(name, [s for spec in specs for s in spec.sources if prefix in ("", s.prefix)])
    if hint:
        return UnknownModelError(hint)
    recipes = list_recipes()
    if _is_path(name) and not prefix and not near(name, recipes):
        path = Path(name)
        return UnknownModelError(
            f"{_absent(path, _beside(path))} Give the work dir of a run, a checkpoint, an artefact, or the name of a "
            "model (drivetrain find lists them)."
        )
    known = _entries(specs)
    names = [entry.full_name for entry in known] if prefix else [*(entry.name for entry in known), *recipes]
    written = f"{prefix}:{name}" if prefix else name
    return UnknownModelError(
        f"model={written!r} is not known.{near(written, names)} "
        "List the models with: drivetrain find, or give a path, a recipe or a class path (package.module.Class)."
    )


def _resolve_class_path(path: str, specs: list[EngineSpec]) -> Resolution:
    """Resolve a class by its dotted path."""
    top, name = path.replace(":", ".").partition(".")[0], path.replace(":", ".").rpartition(".")[2]
    owner = next((spec for spec in specs for key in spec.claims if key.partition(":")[0] == top), None)
    if owner is not None and owner.missing:
        owner.require_installed()
    try:
        cls = import_class(path)
    except LookupError:
        raise _unknown(path, specs, "") from None
    except ImportError as error:
        raise UnknownModelError(f"model={path!r} cannot be imported: {error}.") from error
    except TypeError as error:
        raise ModelError(f"model={error}; it was not called.") from error
    claims = _claims(specs)
    key = claimed_by(cls, tuple(claims))
    if key is None:
        served = ", ".join(sorted(claims))
        raise ModelError(f"model={path!r} is a class that no engine serves. Engines serve: {served}.")
    return Resolution(_only(claims[key], key), cls, f"{name} is a {key.replace(':', '.')}")
