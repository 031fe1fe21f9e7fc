"""Checks of the contract that an engine is known not to pass, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expectation:
    """A check that must fail; when it passes, the suite fails, so that the row is removed.

    Attributes:
        reason: why, in one sentence; it appears in the support matrix.
        raises: the error that must come.
    """

    reason: str
    raises: type[BaseException] | tuple[type[BaseException], ...]


class NotImpl(Expectation):
    """It could be done, but has not been."""


class NotYet(Expectation):
    """It needs a change in the upstream; the reason names it."""


class Never(Expectation):
    """It makes no sense for this engine or model."""
