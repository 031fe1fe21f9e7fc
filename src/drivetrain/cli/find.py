"""``drivetrain find``: the models of every installed framework."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from drivetrain.cli.render import Page, write_json
from drivetrain.cli.words import WordParser
from drivetrain.registry import engine_specs, list_models

_LIMIT = 40


def run(arguments: Sequence[str]) -> int:
    """List models by source with what they can be trained for.

    Raises:
        OptionError: an option, engine or task does not exist.
    """
    parser = WordParser(prog="drivetrain find", description="List the models of every installed framework.")
    parser.add_argument("text", nargs="?", default="", help="only models whose full name contains it")
    parser.add_argument("--engine", help="only models of this engine")
    parser.add_argument("--task", help="only models for this task")
    parser.add_argument(
        "--limit", type=int, default=None, help=f"rows to show of each source; {_LIMIT} for people, all for JSON"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.read(arguments)
    models = list_models(options.engine, task=options.task, text=options.text)
    if options.json:
        rows = models if options.limit is None else models[: options.limit]
        write_json(
            [
                {
                    "name": entry.full_name,
                    "tasks": entry.tasks,
                    "family": entry.family,
                    "class_path": entry.class_path,
                    "summary": entry.summary,
                }
                for entry in rows
            ],
            sys.stdout,
        )
        return 0
    page = Page(sys.stdout)
    limit = _LIMIT if options.limit is None else options.limit
    for source in dict.fromkeys(entry.source for entry in models):
        entries = [entry for entry in models if entry.source == source]
        page.table(
            ("model", "tasks", ""),
            ((entry.full_name, ", ".join(entry.tasks), entry.summary) for entry in entries[:limit]),
        )
        if len(entries) > limit:
            families = Counter(entry.family for entry in entries[limit:] if entry.family).most_common(8)
            most = ", ".join(f"{name} {count}" for name, count in families)
            page.line(
                f"... and {len(entries) - limit} more of {source}"
                + (f" ({most})" if most else "")
                + "; --limit N shows more."
            )
    page.line(f"{len(models)} models." if models else f"No model fits.{_missing()}")
    return 0


def _missing() -> str:
    missing = [f"{spec.name}: {spec.install}" for spec in engine_specs().values() if spec.missing]
    return f" Not installed: {'; '.join(missing)}." if missing else ""
