"""``drivetrain find``: the models of every installed framework."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from drivetrain.catalog import ModelEntry
from drivetrain.cli.render import Page, write_json
from drivetrain.cli.words import WordParser
from drivetrain.registry import engine_specs, list_models

_LIMIT = 40
_EXAMPLES = 4


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
    for source in dict.fromkeys(entry.source for entry in models):
        entries = [entry for entry in models if entry.source == source]
        if options.limit is None and len(entries) > _LIMIT:
            _show_families(page, source, entries)
        else:
            _show_models(page, source, entries, _LIMIT if options.limit is None else options.limit)
    page.line(f"{len(models)} models." if models else f"No model fits.{_missing()}")
    return 0


def _show_models(page: Page, source: str, entries: list[ModelEntry], limit: int) -> None:
    rows = ((entry.full_name, ", ".join(entry.tasks), entry.summary) for entry in entries[:limit])
    page.table(("model", "tasks", "what it is"), rows)
    if len(entries) > limit:
        page.line(f"... and {len(entries) - limit} more of {source}; --limit {len(entries)} shows all.")


def _show_families(page: Page, source: str, entries: list[ModelEntry]) -> None:
    """One row for each family, the largest first: a list of a thousand names helps nobody."""
    families: dict[str, list[ModelEntry]] = {}
    for entry in entries:
        families.setdefault(_family(entry), []).append(entry)
    largest = sorted(families.items(), key=lambda item: -len(item[1]))
    rows = [(f"{source}:{name}...", len(found), _tasks(found), _some(found)) for name, found in largest[:_LIMIT]]
    page.table(("family", "models", "tasks", "such as"), rows)
    rest = sum(len(members) for _, members in largest[_LIMIT:])
    more = f"... and {rest} more in {len(largest) - _LIMIT} small families. " if rest else ""
    page.line(f"{more}{len(entries)} models of {source}; 'drivetrain find {source}:NAME' or --limit N lists them.")


def _tasks(entries: list[ModelEntry]) -> str:
    return ", ".join(dict.fromkeys(task for entry in entries for task in entry.tasks))


def _some(entries: list[ModelEntry]) -> str:
    return ", ".join(entry.name for entry in entries[:_EXAMPLES])


def _family(entry: ModelEntry) -> str:
    """The letters that the name begins with, without the marks of a port (``tf_``)."""
    found = re.match(r"(?:tf_)?[A-Za-z]+", entry.name)
    return found[0] if found else entry.name


def _missing() -> str:
    missing = [f"{spec.name}: {spec.install}" for spec in engine_specs().values() if spec.missing]
    return f" Not installed: {'; '.join(missing)}." if missing else ""
