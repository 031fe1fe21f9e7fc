"""The text of ``drivetrain VERB --help``, without the packages that running it needs."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Mapping

from drivetrain.cli.arguments import OWN_FLAGS
from drivetrain.cli.model_help import how_to_name_models, models_by_engine
from drivetrain.cli.signature import Option, choices_of, options_of, summary_of
from drivetrain.recipes import list_recipes
from drivetrain.types.options import TrainOptions

#: What the docstrings say differently, since they speak of Python objects.
_HELP: Mapping[str, str] = {
    "model": "a name, class path, checkpoint, artefact or work dir; see below. train without it chooses by the data.",
    "data": "a folder, file or zip in any format, or the framework's own data file.",
    "source": "files, folders, globs or videos; the test images of the data if not given.",
    "callbacks": "callbacks of the framework, as '[{class_path: ..., init_args: {...}}]'.",
    "logger": "csv, tensorboard, mlflow or wandb, several of them, or a logger of the framework, as "
    "'{class_path: ..., init_args: {...}}'.",
}
_SHORT: Mapping[str, str] = {"model_args": "--model", "data_args": "--data"}
FLAG_HELP: Mapping[str, str] = {
    "print_config": "print the effective options as a config file, and do nothing else.",
    "quiet": "show no progress; what you should know is still said, such as images that were left out.",
    "json": "print the result as JSON; everything else goes to the standard error.",
    "debug": "show the traceback of an error.",
}
OWN_FLAG_HELP: Mapping[str, str] = {
    "dry_run": "without --model: show what is chosen by the data and why, and train nothing.",
}


def help_of(verb: str) -> str:
    """The help of a verb: every option with its help, its type and its default."""
    width = min(shutil.get_terminal_size().columns - 2, 110)
    parser = argparse.ArgumentParser(
        prog=f"drivetrain {verb}",
        usage=f"drivetrain {verb} --model MODEL [--option value ...]",
        description=summary_of(verb),
        epilog=how_to_name_models(),
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=width),
    )
    for owner, title in {"engine": "model and data", verb: f"options of {verb}"}.items():
        group = parser.add_argument_group(title)
        for option in options_of(verb).values():
            if option.owner == owner:
                group.add_argument(f"--{option.name}", metavar=_metavar(option), help=_text(option))
    group = parser.add_argument_group("config and output")
    recipes = ", ".join(list_recipes())
    text = "YAML file of options, or the name of a recipe; what is written beside it overrides it."
    group.add_argument("--config", metavar="FILE", help=text)
    group.add_argument("--recipe", metavar="NAME", help=f"options that come along: {recipes}.")
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


def _text(option: Option) -> str:
    text = _HELP.get(option.name) or re.sub(r":\w+:`([^`]*)`", r"\1", option.help).replace("``", "")
    if option.kind == "mapping":
        text += f" Also one by one: {_SHORT.get(option.name, f'--{option.name}')}.KEY VALUE."
    default = getattr(TrainOptions(), option.name, None) if option.default is None else option.default
    if default is not None and default is not False and option.owner != "engine":
        text += f" Default: {default}."
    return text.replace("%", "%%")
