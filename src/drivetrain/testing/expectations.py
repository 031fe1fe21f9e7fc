"""Contract checks that an engine is known to fail, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expectation:
    """A check that must fail; if it passes, the suite fails, so that the entry gets removed.

    Attributes:
        reason: why it fails, in one sentence; shown in the support matrix.
        raises: the expected error.
    """

    reason: str
    raises: type[BaseException] | tuple[type[BaseException], ...]


class NotImpl(Expectation):
    """It could be implemented, but has not been."""


class NotYet(Expectation):
    """It needs a change in the upstream; the reason names it."""


class Never(Expectation):
    """It makes no sense for this engine or model."""
