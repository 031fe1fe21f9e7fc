"""Cores and memory."""

from __future__ import annotations

import os

from drivetrain.machine import available_memory, core_count


def test_available_memory_is_less_than_the_machine_has() -> None:
    assert 0 < available_memory() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_core_count_is_at_least_one() -> None:
    assert 1 <= core_count() <= (os.cpu_count() or 1)
