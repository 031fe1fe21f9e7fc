"""What may be done with the code and the published weights of a model, as its upstream states it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivetrain.models.catalog import ModelEntry

#: Where the upstream does not state it.
UNKNOWN = "unknown"
#: Where there is nothing to license: the upstream publishes no weights.
NONE = "none"
#: Licences that allow any use, change and distribution, with a notice at most.
PERMISSIVE = frozenset(
    ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "BSL-1.0", "CC0-1.0", "CC-BY-4.0", "Unlicense")
)
_SPELT = {name.lower(): name for name in PERMISSIVE}
_SPELT |= {"cc-by-nc-4.0": "CC-BY-NC-4.0", "agpl-3.0": "AGPL-3.0", "gpl-3.0": "GPL-3.0", "": UNKNOWN}


def spelt(text: str | None) -> str:
    """The licence in the spelling of SPDX where it is known; an upstream's own name stays; ``None`` is "unknown"."""
    return _SPELT.get((text or "").strip().lower(), (text or UNKNOWN).strip())


def is_permissive(entry: ModelEntry) -> bool:
    """Whether both code and published weights are known to be permissive; without weights the code alone counts."""
    return entry.code_licence in PERMISSIVE and entry.weights_licence in {*PERMISSIVE, NONE}
