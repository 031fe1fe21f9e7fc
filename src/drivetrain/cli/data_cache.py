"""``drivetrain data cache``: what data sets have left in the user's cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drivetrain.cli.answer import Answer
from drivetrain.errors import OptionError

if TYPE_CHECKING:
    from drivetrain.cli.render import Page
    from drivetrain.data.cache_entries import CacheEntry

_SHOWN = 20
_WORDS = {
    "tables": "parsed data sets",
    "archives": "unpacked archives",
    "class_maps": "maps of classes in numbers",
    "pictures": "pictures out of files and of memory",
}


def look_at_cache(*, clear: bool, max_size: float | None, max_age: float | None) -> Answer:
    """List the cache, after what is asked for was removed from it.

    Args:
        clear: remove all.
        max_size: gigabytes to keep, the longest unused go first.
        max_age: days without use after which an entry goes.

    Raises:
        OptionError: a limit is negative, or given beside ``clear``.
    """
    from drivetrain.data.cache_entries import KINDS, cache_entries, limits, remove, superfluous
    from drivetrain.machine.files import cache_dir

    for name, value in (("max_size", max_size), ("max_age", max_age)):
        if value is not None and clear:
            raise OptionError(f"--clear removes all, so --{name} {value:g} has nothing to say. Give one of them.")
        if value is not None and not value >= 0:
            raise OptionError(f"--{name} {value:g} must be 0 or more.")
    entries = cache_entries()
    limited = max_size is not None or max_age is not None
    most = None if max_size is None else max_size * 1e9
    chosen = entries if clear else superfluous(entries, max_bytes=most, max_days=max_age) if limited else []
    removed = remove(chosen)
    entries = [entry for entry in entries if entry not in removed]
    totals = {
        kind: {"entries": len(held), "bytes": sum(entry.size for entry in held)}
        for kind in KINDS
        for held in [[entry for entry in entries if entry.kind == kind]]
    }
    gigabytes, days = limits()
    facts = {
        "kind": "data_cache",
        "folder": cache_dir(),
        "totals": totals,
        "entries": list(map(_as_facts, entries)),
        "removed": list(map(_as_facts, removed)),
        "max_size": gigabytes,
        "max_age": days,
    }
    return Answer(facts, lambda page: _tell(page, facts, entries, removed))


def _as_facts(entry: CacheEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "path": entry.path,
        "source": entry.source,
        "bytes": entry.size,
        "days_unused": round(entry.days, 2),
    }


def _tell(page: Page, facts: Mapping[str, Any], entries: Sequence[CacheEntry], removed: Sequence[CacheEntry]) -> None:
    page.line(f"cache     {facts['folder']}")
    totals = facts["totals"]
    page.table(
        ("what", "entries", "size"),
        [(_WORDS[kind], total["entries"], _size(total["bytes"])) for kind, total in totals.items()],
    )
    largest = sorted(entries, key=lambda entry: -entry.size)[:_SHOWN]
    for entry in largest:
        page.line(f"{_size(entry.size):>9}  unused for {_age(entry.days):<9} {_of(entry)}")
    if len(entries) > _SHOWN:
        page.line(f"... and {len(entries) - _SHOWN} smaller ones; --json shows all.")
    if removed:
        page.line(f"{len(removed)} entries of {_size(sum(entry.size for entry in removed))} were removed.")
    page.line(
        f"Once a day what was not used for {facts['max_age']:g} days goes, and the longest unused beyond "
        f"{facts['max_size']:g} GB. --clear removes all now."
    )


def _of(entry: CacheEntry) -> str:
    """What an entry is of; the sources of some are not known."""
    return entry.source if entry.kind == "tables" and entry.source else f"{entry.kind}/{entry.path.name}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _age(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{24 * days:.0f} hours"
