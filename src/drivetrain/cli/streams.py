"""Standard streams that are closed, or no longer read: the work continues."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any


def open_closed_streams() -> None:
    """Open the standard streams that the process was started without, as with ``>&-``.

    Otherwise the next file to be opened would get the closed descriptor, and receive what is printed.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)  # a file of this process may have this number by now
        except OSError:
            _write_nowhere(number)
        setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123  (as long as the process)


def _write_nowhere(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing != descriptor:
        os.dup2(nothing, descriptor)
        os.close(nothing)


class _PatientFile(io.FileIO):
    """A file whose reader may disappear: whatever is written afterwards is discarded."""

    def write(self, data: Any) -> int:
        """Write, or pretend to."""
        try:
            return super().write(data)
        except BrokenPipeError:
            _write_nowhere(self.fileno())
            return memoryview(data).nbytes


@contextlib.contextmanager
def patient_stderr() -> Iterator[None]:
    """Within the block, messages that are no longer read, as with ``2>&1 | head -1``, do not end the training."""
    before = sys.stderr
    try:
        is_pipe = before.fileno() == 2
    except (OSError, ValueError, AttributeError):
        is_pipe = False
    if not is_pipe:
        yield
        return
    before.flush()
    raw = io.BufferedWriter(_PatientFile(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(raw, encoding=before.encoding, errors="backslashreplace", write_through=True)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.stderr.flush()
        sys.stderr = before
