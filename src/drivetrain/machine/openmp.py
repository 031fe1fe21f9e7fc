"""How OpenMP runs in the processes that drivetrain starts: on the cores that are free, and without spinning for long.

PyTorch's threads spin while they wait for each other. On a quiet machine this costs nothing; beside another busy
process they spin away the time of the one thread that still has work, and training gets many times slower. A bound
on the spinning costs a quiet machine nothing that can be measured, and a thread for each free core does the rest
(``benchmarks/contended.py``). It must be said before OpenMP is loaded, hence only in processes of our own.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from drivetrain.machine.resources import core_count

_SPINS = "2000"
_SECONDS = 0.1
_STAT = Path("/proc/stat")
#: What a user sets to decide it alone.
_OF_THE_USER = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "GOMP_CPU_AFFINITY", "OMP_PROC_BIND")


def set_openmp() -> str:
    """Bound the spinning of OpenMP's threads, and take as many as there are free cores; for a process of our own.

    Nothing is changed where the user has set any of OpenMP's own variables, or where PyTorch is loaded already.

    Returns:
        What was chosen and why, where other processes keep cores busy; else ``""``.
    """
    if any(name in os.environ for name in _OF_THE_USER) or "torch" in sys.modules:
        return ""
    os.environ["GOMP_SPINCOUNT"] = _SPINS
    cores = core_count()
    free = max(1, min(cores, round(idle_cores())))
    if free == cores:
        return ""
    os.environ["OMP_NUM_THREADS"] = str(free)
    return (
        f"{free} of {cores} cores are free, so PyTorch computes with {free} thread{'s' if free > 1 else ''}; "
        "OMP_NUM_THREADS=... overrides this."
    )


def idle_cores(seconds: float = _SECONDS) -> float:
    """How many cores had nothing to do for a moment in which this process waits; all where that cannot be seen."""
    before = _times()
    time.sleep(seconds)
    after = _times()
    if before is None or after is None or after[1] <= before[1]:
        return float(core_count())
    return (os.cpu_count() or 1) * (after[0] - before[0]) / (after[1] - before[1])


def _times() -> tuple[int, int] | None:
    """Idle and all time of the machine so far, in ticks."""
    try:
        fields = [int(field) for field in _STAT.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    return fields[3] + fields[4], sum(fields)
