"""``drivetrain train --dry_run``: what would be trained and why, without training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivetrain.cli.output import results_only_on_stdout
from drivetrain.cli.verb import make_engine, own_options
from drivetrain.errors import OptionError


def show_plan(verb: str, values: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the plan of a training that is chosen by the data.

    Args:
        verb: of the command line.
        values: its options.
        as_json: one JSON document instead of a table.

    Raises:
        OptionError: a model is given, so that nothing is chosen.
        DrivetrainError: as the constructor of the engine does.
    """
    from drivetrain.cli.render import Page, write_json
    from drivetrain.engine.options import given_options

    if values["model"]:
        raise OptionError(
            f"--dry_run shows what is chosen by the data, but the model is given: {values['model']}. Leave out "
            "--model, or see the effective options with --print_config."
        )
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
        page.line(
            "Nothing was trained. The same command without --dry_run does it; an option overrides what is chosen."
        )
    return 0
