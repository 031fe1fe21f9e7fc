"""How models can be named, and which arguments the constructor of one takes."""

# ruff: noqa: T201  (this module speaks to the terminal)

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from drivetrain.errors import OptionError
from drivetrain.models.catalog import Argument, Listing, cached_listing, installed_version, listing
from drivetrain.models.registry import engine_specs
from drivetrain.models.resolve import resolve

_MOST_NAMES = 40
_MOST_FAMILIES = 60
_EXAMPLES = 5


def how_to_name_models() -> str:
    """One paragraph for ``--help``."""
    return (
        "MODEL is a name; with its source before it if several have one, as in timm:resnet18; a class path; "
        "a checkpoint; an exported artefact; or the work dir of a run. "
        "--model.help NAME shows the arguments of a model; --model.KEY VALUE sets one; --engine_args.KEY VALUE sets an "
        "option of the framework's own trainer."
    )


def models_by_engine(width: int) -> str:
    """The names of the models for ``--help``, of what has been listed before; this lists nothing itself.

    Args:
        width: of a line.
    """
    lines, unlisted = [], False
    for spec in engine_specs().values():
        for source in spec.sources:
            found = cached_listing(source)
            if found is None:
                unlisted |= installed_version(source) is not None
                continue
            head = f"  {source.prefix} ({len(found.models)}, engine {spec.name}): "
            lines.append(textwrap.fill(head + _names(found), width, subsequent_indent="    ", break_on_hyphens=False))
    if unlisted:
        lines.append("  not listed yet; 'drivetrain find' does it, once for each version of a framework.")
    return "\n".join(["models:", *lines, "  'drivetrain find' shows them with their tasks."]) if lines else ""


def _names(found: Listing) -> str:
    """All names, or those of the families if there are many, or how to list them."""
    if len(found.models) <= _MOST_NAMES:
        return ", ".join(entry.name for entry in found.models)
    families = Counter(entry.family for entry in found.models)
    if 1 < len(families) <= _MOST_FAMILIES:
        shown = ", ".join(name if count == 1 else f"{name} ({count})" for name, count in families.items())
        return f"{shown}; 'drivetrain find {found.source}:NAME' lists them"
    examples = ", ".join(entry.name for entry in found.models[:: len(found.models) // _EXAMPLES][:_EXAMPLES])
    return f"such as {examples}; 'drivetrain find {found.source}:' lists them"


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
    from drivetrain.models.catalog import ModelEntry

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
