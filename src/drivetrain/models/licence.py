"""The licences of a model's code and of its published weights, as stated by its upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivetrain.models.catalog import ModelEntry

#: The upstream states no licence.
UNKNOWN = "unknown"
#: There is nothing to license: the upstream publishes no weights.
NONE = "none"
#: Licences that allow any use, modification and distribution, with at most an attribution notice.
PERMISSIVE = frozenset(
    ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "BSL-1.0", "CC0-1.0", "CC-BY-4.0", "Unlicense")
)
_SPELT = {name.lower(): name for name in PERMISSIVE}
_SPELT |= {"cc-by-nc-4.0": "CC-BY-NC-4.0", "agpl-3.0": "AGPL-3.0", "gpl-3.0": "GPL-3.0", "": UNKNOWN}


def spelt(text: str | None) -> str:
    """The SPDX identifier of a licence if it is known, else the upstream's own name; "unknown" for ``None``."""
    return _SPELT.get((text or "").strip().lower(), (text or UNKNOWN).strip())


def is_permissive(entry: ModelEntry) -> bool:
    """Whether code and published weights are known to be permissive; if there are no weights, only the code counts."""
    return entry.code_licence in PERMISSIVE and entry.weights_licence in {*PERMISSIVE, NONE}
