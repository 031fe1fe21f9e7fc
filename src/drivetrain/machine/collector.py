"""Python's collector of cycles, paused where many objects are made that all stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Within the block, do not look for cycles; objects without cycles are freed as always.

    Reading a large data set makes millions of objects, and looking through them again and again takes a quarter of
    the time. If the user has switched the collector off, it stays off.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
