"""The result of a command, with standard output reserved for it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivetrain.cli.render import Page


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command, for programs and for people.

    Attributes:
        data: plain data, for ``--json``.
        tell: writes the result to a page.
        code: the exit code.
    """

    data: Any
    tell: Callable[[Page], None]
    code: int = 0


Command = Callable[..., Answer]


@contextlib.contextmanager
def results_only_on_stdout() -> Iterator[Any]:
    """Yield standard output; anything else written to it in the meantime goes to standard error.

    Frameworks print to standard output from Python, from C and from child processes.
    """
    stdout = sys.stdout
    stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr), os.fdopen(os.dup(saved), "w", encoding="utf-8") as real:
            yield real if _is_process_stdout(stdout) else stdout
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def _is_process_stdout(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 1)
    except (OSError, ValueError, AttributeError):
        return False
