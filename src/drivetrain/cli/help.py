"""The text of ``drivetrain VERB --help`` and ``--model.help``, without the packages that running the verb needs."""

# ruff: noqa: T201  (this module prints to the terminal)

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from drivetrain.cli.arguments import OWN_FLAGS
from drivetrain.cli.signature import Option, choices_of, options_of, summary_of
from drivetrain.errors import OptionError
from drivetrain.models.catalog import Argument, Listing, cached_listing, installed_version, listing
from drivetrain.models.registry import engine_specs
from drivetrain.models.resolve import resolve
from drivetrain.recipes import list_recipes
from drivetrain.types.options import TrainOptions

#: Help texts that replace those of the docstrings, which are about Python objects.
_HELP: Mapping[str, str] = {
    "model": "a name, class path, checkpoint, artefact or work dir; see below.",
    "data": "a folder, file or zip in any format, or the framework's own data file.",
    "source": "files, folders, globs or videos; by default the test images of the data.",
    "callbacks": "callbacks of the framework, as '[{class_path: ..., init_args: {...}}]'.",
    "logger": "csv, tensorboard, mlflow or wandb, several of them, or a logger of the framework, as "
    "'{class_path: ..., init_args: {...}}'.",
}
#: Help texts for an option of a particular verb.
_OF_VERB: Mapping[tuple[str, str], str] = {
    ("train", "model"): "a name, class path, checkpoint or work dir; see below. By default chosen based on the data.",
    ("train", "task"): "the task to train for; by default that of the data or the model.",
    ("tune", "task"): "the task to train for; by default that of the data or the model.",
    ("test", "task"): "the task of the model; known for a run, a checkpoint and an artefact.",
    ("predict", "task"): "the task of the model; known for a run, a checkpoint and an artefact.",
    ("export", "task"): "the task of the model; known for a run and a checkpoint.",
    ("embed", "task"): "the task of the model; known for a run, a checkpoint and an artefact.",
    ("explain", "task"): "the task of the model; known for a run, a checkpoint and an artefact.",
}
#: Required options, if not just the model.
_NEEDED: Mapping[str, str] = {"train": "--data DATA [--model MODEL]", "tune": "--data DATA --model MODEL"}
_SHORT: Mapping[str, str] = {"model_args": "--model", "data_args": "--data"}
FLAG_HELP: Mapping[str, str] = {
    "print_config": "print the effective options as a config file, and do nothing else.",
    "quiet": "show no progress; notes such as skipped images are still printed.",
    "json": "print the result as JSON; everything else goes to standard error.",
    "debug": "show the traceback of an error.",
}
OWN_FLAG_HELP: Mapping[str, str] = {
    "dry_run": "without --model: show what is chosen based on the data and why, without training.",
}


def help_of(verb: str) -> str:
    """The help of a verb: every option with its help, its type and its default."""
    width = min(shutil.get_terminal_size().columns - 2, 110)
    parser = argparse.ArgumentParser(
        prog=f"drivetrain {verb}",
        usage=f"drivetrain {verb} {_NEEDED.get(verb, '--model MODEL')} [--option value ...]",
        description=summary_of(verb),
        epilog=how_to_name_models(),
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=width),
    )
    for owner, title in {"engine": "model and data", verb: f"options of {verb}"}.items():
        group = parser.add_argument_group(title)
        for option in options_of(verb).values():
            if option.owner == owner:
                group.add_argument(f"--{option.name}", metavar=_metavar(option), help=_text(option, verb))
    group = parser.add_argument_group("config and output")
    recipes = ", ".join(list_recipes())
    text = "YAML file of options, or the name of a recipe; other options override it."
    group.add_argument("--config", metavar="FILE", help=text)
    group.add_argument("--recipe", metavar="NAME", help=f"included options: {recipes}.")
    own = {name: text for name, text in OWN_FLAG_HELP.items() if OWN_FLAGS[name] == verb}
    for name, text in {**FLAG_HELP, **own}.items():
        group.add_argument(f"--{name}", action="store_true", help=text)
    models = models_by_engine(width)
    return parser.format_help() + (f"\n{models}\n" if models else "")


def _metavar(option: Option) -> str:
    if choices := choices_of(option):
        return "{" + ",".join(choices) + "}"
    if option.kind == "flag":
        return "[true|false]"
    if option.kind in ("mapping", "object"):
        return "YAML"
    return option.name.rpartition("_")[2].upper()


def _text(option: Option, verb: str) -> str:
    text = (
        _OF_VERB.get((verb, option.name))
        or _HELP.get(option.name)
        or re.sub(r":\w+:`([^`]*)`", r"\1", option.help).replace("``", "")
    )
    if option.kind == "mapping":
        text += f" Also one by one: {_SHORT.get(option.name, f'--{option.name}')}.KEY VALUE."
    default = getattr(TrainOptions(), option.name, None) if option.default is None else option.default
    if default is not None and default is not False and option.owner != "engine":
        text += f" Default: {default}."
    return text.replace("%", "%%")


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
    """The names of the models for ``--help``, from cached listings only.

    Args:
        width: line width.
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
        lines.append("  not listed yet; 'drivetrain find' lists them, once per version of a framework.")
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
    """Print the constructor arguments of the model named by ``--model.help NAME``, or by ``--model NAME`` next to it.

    Raises:
        OptionError: no model is named, or it is not in a list of models.
        ModelError: there is no such model.
    """
    name = _named(arguments, "--model.help") or _named(arguments, "--model")
    if name is None:
        raise OptionError("--model.help needs the name of a model. 'drivetrain find' lists them.")
    resolution = resolve(name, engine=_named(arguments, "--engine"))
    from drivetrain.models.catalog import ModelEntry

    entry = resolution.model
    if not isinstance(entry, ModelEntry):
        raise OptionError(f"--model.help {name}: this is a path or class path, not the name of a model.")
    source = next(source for source in resolution.spec.sources if source.prefix == entry.source)
    found = listing(source)
    rows = found.arguments.get(entry.family, ()) if found is not None else ()
    print(f"{entry.full_name}: {entry.summary}" if entry.summary else entry.full_name)
    print(f"engine {resolution.spec.name}; tasks: {', '.join(entry.tasks)}; created by {entry.class_path}")
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
