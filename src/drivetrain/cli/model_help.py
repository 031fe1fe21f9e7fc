"""How models can be named, and which arguments the constructor of one takes."""

# ruff: noqa: T201  (this module speaks to the terminal)

from __future__ import annotations

from collections.abc import Sequence

from drivetrain.catalog import Argument, cached_listing, listing
from drivetrain.errors import OptionError
from drivetrain.registry import engine_specs, resolve


def how_to_name_models() -> str:
    """One paragraph for ``--help``; it counts only what has been listed before and lists nothing itself."""
    counts = []
    for spec in engine_specs().values():
        for source in spec.sources:
            found = cached_listing(source)
            if found is not None:
                counts.append(f"{source.prefix} {len(found.models)}")
    known = f" ({', '.join(counts)})" if counts else ""
    return (
        f"MODEL is a name{known}; with its source before it if several have one, as in timm:resnet18; a class path; "
        "a checkpoint; an exported artefact; or the work dir of a run. 'drivetrain find' lists the names. "
        "--model.help NAME shows the arguments of a model; --model.KEY VALUE sets one; --engine_args.KEY VALUE sets an "
        "option of the framework's own trainer."
    )


def print_model_help(arguments: Sequence[str]) -> int:
    """Print the constructor arguments of the model named by ``--model.help NAME``, or by ``--model NAME`` beside it.

    Raises:
        OptionError: no model is named, or it is not one of a list of models.
        ModelError: there is no such model.
    """
    name = _named(arguments, "--model.help") or _named(arguments, "--model")
    if name is None:
        raise OptionError("--model.help needs the name of a model. 'drivetrain find' lists them.")
    resolution = resolve(name, engine=_named(arguments, "--engine"))
    from drivetrain.catalog import ModelEntry

    entry = resolution.model
    if not isinstance(entry, ModelEntry):
        raise OptionError(f"--model.help {name}: this is not the name of a model but a path or class path.")
    source = next(source for source in resolution.spec.sources if source.prefix == entry.source)
    found = listing(source)
    rows = found.arguments.get(entry.family, ()) if found is not None else ()
    print(f"{entry.full_name}: {entry.summary}" if entry.summary else entry.full_name)
    print(f"engine {resolution.spec.name}; tasks: {', '.join(entry.tasks)}; made by {entry.class_path}")
    print("\narguments (--model.NAME VALUE):" if rows else "\nIt has no arguments of its own.")
    for row in rows:
        print(_line(row))
    return 0


def _named(arguments: Sequence[str], option: str) -> str | None:
    for index, token in enumerate(arguments):
        head, equals, value = token.partition("=")
        if head != option:
            continue
        if equals:
            return value
        if index + 1 < len(arguments) and not arguments[index + 1].startswith("--"):
            return arguments[index + 1]
    return None


def _line(row: Argument) -> str:
    kind = f" ({row.type})" if row.type else ""
    default = f" = {row.default}" if row.default else ""
    text = f"\n      {row.help}" if row.help else ""
    return f"  {row.name}{default}{kind}{text}"
