"""Licences and sizes of the installed packages, read from their metadata, for the tables of docs/dependencies.md.

``python requirements/licences.py`` writes both into the tables; a test compares them with what is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PAGE = Path(__file__).resolve().parents[1] / "docs" / "dependencies.md"
#: A row of a table: the package, the extra if there is such a column, then ``licence, size`` and the remaining columns.
ROW = re.compile(
    r"^(?P<start>\| `(?P<package>[\w.-]+)` \| (?:[a-z]+ \| )?)"
    r"(?P<licence>[^|,]+), (?P<number>[\d.]+) (?P<unit>[MG]B)(?P<rest>[^|]*\|.*)$"
)
_PERMISSIVE = re.compile(r"(MIT|BSD|0BSD|Apache|ISC|PSF|Zlib|CC0|BSL|CNRI|HPND|Python Software Foundation)\b")
_SAID = {
    "apache 2.0": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "apache license 2.0": "Apache-2.0",
    "freebsd": "BSD-2-Clause",
    "isc license": "ISC",
    "mit license": "MIT",
    "osi approved :: apache software license": "Apache-2.0",
    "psfl": "PSF-2.0",
}
"""What packages write instead of an identifier of SPDX."""
_VAGUE = {"", "apache", "bsd", "bsd license", "unknown"}
_CONDITIONS = (
    ("Apache License", "Apache-2.0"),
    ("Permission is hereby granted, free of charge", "MIT"),
    ("Redistribution and use in source and binary forms", "BSD-3-Clause"),
    ("License agreement for matplotlib", "PSF-2.0"),
)
"""What the text of a licence says -> the licence."""


def licence_of(package: Distribution) -> str | None:
    """The SPDX identifier of a package's licence, from its metadata or else from its licence text."""
    stated = package.metadata.get("License-Expression")
    if stated:
        return str(stated)
    said = str(package.metadata.get("License") or "").strip()
    first = said.partition("\n")[0].lower()
    if first in _SAID or ("\n" not in said and first not in _VAGUE):
        return _SAID.get(first, said)
    found = (_licence_of_text(text) for text in (said, *_texts(package), *_classifiers(package)))
    return next((licence for licence in found if licence), next(_classifiers(package), None))


def _licence_of_text(text: str) -> str | None:
    """The licence at the start of the text; those of included components often follow in the same file."""
    if text.lower() in _SAID:
        return _SAID[text.lower()]
    words = " ".join(text.split()).lower()
    found = [(words.index(start.lower()), licence) for start, licence in _CONDITIONS if start.lower() in words]
    return min(found)[1] if found else None


def _texts(package: Distribution) -> Iterator[str]:
    for file in package.files or ():
        if ".dist-info" in str(file.parent) and re.match(r"(LICEN[CS]E|COPYING)", file.name, flags=re.IGNORECASE):
            yield Path(str(package.locate_file(file))).read_text(encoding="utf-8", errors="replace")


def _classifiers(package: Distribution) -> Iterator[str]:
    for line in package.metadata.get_all("Classifier") or ():
        if line.startswith("License :: "):
            yield line.rpartition(" :: ")[2]


def is_permissive(licence: str | None) -> bool:
    """Whether every applicable licence requires no more than reproducing its text."""
    parts = [part.strip("() ") for part in re.split(r"\bAND\b", licence or "")]
    return all(_PERMISSIVE.match(part) for part in parts)


def size_of(package: Distribution) -> float:
    """The megabytes of its files in the wheel, without the bytecode that an installer may add."""
    paths = [Path(str(package.locate_file(file))) for file in package.files or () if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.exists()) / 1e6


def size_in_words(megabytes: float) -> str:
    """The form used in the tables."""
    if megabytes >= 1000:
        return f"{megabytes / 1000:.1f} GB"
    return f"{megabytes:.0f} MB" if megabytes >= 10 else f"{megabytes:.1f} MB"


def closure(requirements: Iterable[str]) -> dict[str, Distribution]:
    """The packages that these requirements install, themselves included: name -> installed package.

    Packages not installed here, such as those for other systems, are omitted.
    """
    found: dict[str, Distribution] = {}
    waiting, seen = [Requirement(line) for line in requirements], set()
    while waiting:
        need = waiting.pop()
        name, extras = re.sub(r"[-_.]+", "-", need.name).lower(), frozenset(need.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        waiting += [deeper for line in found[name].requires or () if _applies(deeper := Requirement(line), extras)]
    return found


def _applies(need: Requirement, extras: frozenset[str]) -> bool:
    return need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def rewritten(page: str) -> str:
    """The page with licence and size of every installed package according to its metadata."""
    return "".join(_rewritten_row(line) for line in page.splitlines(keepends=True))


def _rewritten_row(line: str) -> str:
    row = ROW.match(line.rstrip("\n"))
    if row is None:
        return line
    try:
        package = distribution(row["package"])
    except PackageNotFoundError:
        return line
    licence = licence_of(package) or "not stated"
    shown = licence if is_permissive(licence) else f"**{licence}**"
    return f"{row['start']}{shown}, {size_in_words(size_of(package))}{row['rest']}\n"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
