"""Running a verb of the engine from the command line, or showing what it would do."""

# ruff: noqa: T201  (this module prints to the terminal)

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.cli.answer import results_only_on_stdout
from drivetrain.cli.arguments import Request, read_request, repeatable, to_yaml
from drivetrain.cli.next_command import next_command
from drivetrain.cli.signature import check_values, options_of
from drivetrain.cli.wording import reworded_note
from drivetrain.engine import Engine
from drivetrain.engine.early import Asked
from drivetrain.engine.objects import OBJECTS, load_with, make_objects
from drivetrain.engine.recipe import fitting_recipe
from drivetrain.engine.verbs import check_early
from drivetrain.errors import OptionError
from drivetrain.launch.ranks import follows
from drivetrain.machine.openmp import set_openmp
from drivetrain.runs.record import RunRecord


def run(verb: str, arguments: Sequence[str], verbs: Sequence[str]) -> int:
    """Run a verb and print its result.

    Args:
        verb: the name of a method of ``Engine``.
        arguments: the words after the verb on the command line.
        verbs: all verbs, for messages.

    Raises:
        DrivetrainError: as the verb does; OptionError for a mistake on the command line.
    """
    if "-h" in arguments or "--help" in arguments:
        from drivetrain.cli.help import help_of

        print(help_of(verb), end="")
        return 0
    if any(token.partition("=")[0] == "--model.help" for token in arguments):
        from drivetrain.cli.help import print_model_help

        return print_model_help(arguments)
    request = read_request(verb, arguments, verbs, os.environ)
    if "print_config" in request.flags:
        print(to_yaml(repeatable(effective(verb, request))), end="")
        return 0
    if "dry_run" in request.flags:
        return show_plan(verb, effective(verb, request), as_json="json" in request.flags)
    with results_only_on_stdout() as stdout:
        result, after = run_verb(verb, request)
        if follows():
            return 0
        from drivetrain.cli.render import show

        show(result, stdout, as_json="json" in request.flags, follows=after)
    return 0


def run_verb(verb: str, request: Request) -> tuple[Any, str | None]:
    """Execute a request.

    Returns:
        The return value of the engine's method, and the command that usually follows.

    Raises:
        DrivetrainError: as the verb does.
    """
    values = effective(verb, request)
    check_early(Engine, verb, Asked(values), {name: values[name] for name in _own_names(verb)})
    with fitting_recipe(request.recipe, values["task"], values["data"]):
        openmp = set_openmp(repeatable=bool(values.get("deterministic")))
        engine = make_engine(values, quiet="quiet" in request.flags)
        if openmp:
            engine.progress.note(openmp)
        result = getattr(engine, verb)(**own_options(verb, values))
        return result, next_command(verb, engine, values, result)


def effective(verb: str, request: Request) -> dict[str, Any]:
    """Every option of the verb with its checked value.

    Raises:
        OptionError: a value has the wrong type, or no model is given.
    """
    options = options_of(verb)
    given = check_values(options, request.values)
    if verb == "train" and given.get("resume") and given.get("work_dir"):
        given["model"] = _model_to_resume(str(given["work_dir"]), given.get("model"))
    if verb == "train" and given.get("resume") and not given.get("model"):
        raise OptionError(
            "--resume needs the work dir of the run to continue: drivetrain train --work_dir RUN --resume"
        )
    if not given.get("model") and not (verb == "train" and given.get("data")):
        chosen = " Or give only --data FOLDER, and a model is chosen based on the data." if verb == "train" else ""
        raise OptionError(
            f"--model is missing. Give a name (drivetrain find lists them), a path or a class path.{chosen}"
        )
    return {name: given.get(name, option.default) for name, option in options.items()}


def _model_to_resume(work_dir: str, model: str | None) -> str:
    """The work dir as the model, since its run knows everything else; the model that was given must be that of the run.

    Raises:
        OptionError: it is another.
    """
    begun = RunRecord.at(Path(work_dir).expanduser())
    same = model is None or begun.model_name in (None, model) or Path(model).absolute() == Path(work_dir).absolute()
    if not same:
        raise OptionError(f"--model {model}: the run in {work_dir} is of {begun.model_name}. Leave --model out.")
    return work_dir if model is None or begun.directory is not None else model


def make_engine(values: Mapping[str, Any], *, quiet: bool = False) -> Engine:
    """The engine for a set of options; its ``config`` repeats the run.

    Raises:
        DrivetrainError: as the constructor does.
    """
    from drivetrain.runs.progress import NotesOnly, RewordedNotes, SilentProgress

    names = [name for name, option in options_of("train").items() if option.owner == "engine" and name != "data_args"]
    arguments = {name: values[name] for name in names}
    if values.get("data_args"):
        arguments["data"] = load_with(values["data"], values["data_args"], values["task"])
    factory: Callable[..., Engine] = Engine  # called as a factory, though the class is abstract
    engine = factory(**arguments)
    engine.config = repeatable(values)
    shown = SilentProgress() if follows() else NotesOnly() if quiet else engine.progress
    engine.progress = RewordedNotes(shown, reworded_note)
    return engine


def _own_names(verb: str) -> list[str]:
    return [name for name, option in options_of(verb).items() if option.owner == verb]


def own_options(verb: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the verb's method."""
    own = {name: values[name] for name in _own_names(verb)}
    for name in set(OBJECTS) & set(own):
        if own[name] is not None:
            own[name] = make_objects(name, own[name])
    return own


def show_plan(verb: str, values: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the plan of a training chosen by the data.

    Args:
        verb: the verb.
        values: its options.
        as_json: one JSON document instead of a table.

    Raises:
        OptionError: a model is given, so there is nothing to choose.
        DrivetrainError: as the constructor of the engine does.
    """
    from drivetrain.cli.render import Page, write_json
    from drivetrain.engine.train_options import given_options

    if values["model"]:
        Asked(values)
        raise OptionError(
            f"--dry_run shows what is chosen based on the data, but the model is given: {values['model']}. Leave out "
            "--model, or see the effective options with --print_config."
        )
    check_early(Engine, verb, Asked(values), {name: values[name] for name in _own_names(verb)})
    with results_only_on_stdout() as stdout:
        engine = make_engine(values, quiet=True)
        assert engine.plan is not None
        plan = engine.plan.overridden(given_options(own_options(verb, values)))
        if as_json:
            write_json(plan.to_dict(), stdout)
            return 0
        page = Page(stdout)
        rows = [(item.name, item.text, item.reason) for item in plan.decisions]
        page.table(("option", "value", "why"), rows)
        for text in plan.warnings:
            page.line(f"warning: {text}")
        page.line("Nothing was trained. Run the command without --dry_run to train; options override the choices.")
    return 0
