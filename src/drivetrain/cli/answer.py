"""What a command gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivetrain.cli.render import Page


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command, for programs and for people.

    Attributes:
        data: plain data, for ``--json``.
        tell: writes the same on a page.
        code: the exit code.
    """

    data: Any
    tell: Callable[[Page], None]
    code: int = 0
