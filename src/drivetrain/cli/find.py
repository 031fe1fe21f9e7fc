"""``drivetrain find``: the models of every installed framework."""

from __future__ import annotations

import re

from drivetrain.cli.answer import Answer
from drivetrain.cli.render import Page
from drivetrain.models.catalog import ModelEntry
from drivetrain.models.registry import engine_specs, list_models
from drivetrain.types.options import check_choice

_LIMIT = 40
_EXAMPLES = 4


def find_models(
    text: str, *, engine: str | None, task: str | None, licence: str | None, limit: int | None, names: bool
) -> Answer:
    """The models by source, with the tasks that they can be trained for.

    Args:
        text: only those whose full name contains it.
        engine: only those of this engine.
        task: only those for this task.
        licence: "permissive" excludes those whose code or weights have a different licence, or an unknown one.
        limit: rows to show per source; by default the usual number for people and all for JSON.
        names: show only the full names, one per line.

    Raises:
        OptionError: there is no such engine or task.
    """
    if licence is not None:
        check_choice("licence", licence, ("permissive",))
    models = list_models(engine, task=task, text=text, permissive=licence is not None)

    def tell(page: Page) -> None:
        if names:
            page.line("\n".join(entry.full_name for entry in models[:limit]))
            return
        for source in dict.fromkeys(entry.source for entry in models):
            entries = [entry for entry in models if entry.source == source]
            if limit is None and len(entries) > _LIMIT:
                _show_families(page, source, entries)
            else:
                _show_models(page, source, entries, _LIMIT if limit is None else limit)
        count = "1 model" if len(models) == 1 else f"{len(models)} models"
        page.line(f"{count}." if models else f"No model matches.{_missing()}")

    engines = {source.prefix: spec.name for spec in engine_specs().values() for source in spec.sources}
    rows = [entry.full_name if names else _row(entry, engines[entry.source]) for entry in models[:limit]]
    return Answer(rows, tell)


def _row(entry: ModelEntry, engine: str) -> dict[str, object]:
    return {
        "name": entry.full_name,
        "engine": engine,
        "tasks": entry.tasks,
        "family": entry.family,
        "class_path": entry.class_path,
        "summary": entry.summary,
        "licences": entry.licences,
    }


def _show_models(page: Page, source: str, entries: list[ModelEntry], limit: int) -> None:
    rows = ((entry.full_name, ", ".join(entry.tasks), entry.summary, _licence(entry)) for entry in entries[:limit])
    page.table(("model", "tasks", "what it is", "licence of code, weights"), rows)
    if len(entries) > limit:
        page.line(f"... and {len(entries) - limit} more of {source}; --limit {len(entries)} shows all.")


def _licence(entry: ModelEntry) -> str:
    return f"{entry.code_licence}, {entry.weights_licence}"


def _show_families(page: Page, source: str, entries: list[ModelEntry]) -> None:
    """One row per family, the largest first, as a list of a thousand names is not helpful."""
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
    """The letters at the start of a name, without the prefix of a port (``tf_``)."""
    found = re.match(r"(?:tf_)?[A-Za-z]+", entry.name)
    return found[0] if found else entry.name


def _missing() -> str:
    missing = [f"{spec.name}: {spec.install}" for spec in engine_specs().values() if spec.missing]
    return f" Not installed: {'; '.join(missing)}." if missing else ""
