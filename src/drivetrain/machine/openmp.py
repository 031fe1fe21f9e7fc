"""OpenMP settings for processes that compute: use the cores that are free, and do not spin for long.

PyTorch's threads spin while they wait for each other. On an idle machine this costs nothing; next to another busy
process they use up the time of the one thread that still has work, and training becomes many times slower. Limiting
the spinning has no measurable cost on an idle machine, and one thread per free core does the rest
(``benchmarks/contended.py``). OpenMP reads the limit when it is loaded, with PyTorch; the number of threads can also
be changed later. The user's own settings win: OpenMP's environment variables, or ``torch.set_num_threads``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from drivetrain.machine.resources import core_count, physical_cores, visible_cores

_SPINS = "2000"
_SECONDS = 0.1
_STAT = Path("/proc/stat")
_SPIN_COUNT = "GOMP_SPINCOUNT"
_THREADS = "OMP_NUM_THREADS"
_OF_THE_USER = (_THREADS, "OMP_WAIT_POLICY", _SPIN_COUNT, "GOMP_CPU_AFFINITY", "OMP_PROC_BIND")
#: The variables set by this module, to tell them from those set by the user.
_SET_HERE: dict[str, str] = {}


def set_by_user() -> bool:
    """Whether the user has set one of OpenMP's own variables, which then decide alone."""
    return any(name in os.environ and os.environ[name] != _SET_HERE.get(name) for name in _OF_THE_USER)


def bound_spinning() -> None:
    """Limit the spinning of OpenMP's threads, unless the user has set a variable or PyTorch is already loaded."""
    if not set_by_user() and "torch" not in sys.modules:
        _set(_SPIN_COUNT, _SPINS)


def set_openmp(*, repeatable: bool = False) -> str:
    """Limit the spinning and choose the number of threads, in a process of our own that has not loaded PyTorch.

    Args:
        repeatable: ignore what else is running, because the last digits of sums depend on the number of threads.

    Returns:
        What was chosen and why, if it differs from PyTorch's choice; else ``""``.
    """
    if set_by_user() or "torch" in sys.modules:
        return ""
    bound_spinning()
    count = _threads(repeatable=repeatable)
    if count is None:
        return ""
    _set(_THREADS, str(count))
    return f"{_reason(count)}; {_THREADS}=... overrides this."


@contextmanager
def free_threads(note: Callable[[str], None], *, repeatable: bool = False) -> Iterator[None]:
    """Within the block, let PyTorch (if loaded) compute on the cores that are free; restore its threads afterwards.

    Args:
        note: called with what was chosen and why, if it differs from PyTorch's setting.
        repeatable: as in :func:`set_openmp`.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 0
    if before not in (visible_cores(), physical_cores()) or set_by_user() or _THREADS in _SET_HERE:
        yield  # no PyTorch, or the number was set explicitly
        return
    count = _threads(repeatable=repeatable)
    if count is None:
        yield
        return
    note(f"{_reason(count)}; {_THREADS}=... overrides this.")
    torch.set_num_threads(count)  # type: ignore[union-attr]  # it has threads, so it is loaded
    try:
        yield
    finally:
        torch.set_num_threads(before)  # type: ignore[union-attr]


def child_environment(*, processes: int = 1, repeatable: bool = False) -> Mapping[str, str]:
    """Environment variables for each of several child processes that compute at the same time.

    Args:
        processes: how many processes share the machine.
        repeatable: as in :func:`set_openmp`.
    """
    if set_by_user():
        return {}
    count = _threads(repeatable=repeatable, processes=processes)
    return {_SPIN_COUNT: _SPINS} | ({} if count is None else {_THREADS: str(count)})


def idle_cores(seconds: float = _SECONDS) -> float:
    """How many of the cores available to this process were idle during a short wait.

    All of them if that cannot be determined.
    """
    before = _times()
    time.sleep(seconds)
    after = _times()
    if before is None or after is None or after[1] <= before[1]:
        return float(visible_cores())
    return visible_cores() * (after[0] - before[0]) / (after[1] - before[1])


def _set(name: str, value: str) -> None:
    os.environ[name] = _SET_HERE[name] = value


def _threads(*, repeatable: bool, processes: int = 1) -> int | None:
    """How many threads each process should have; ``None`` for PyTorch's own choice."""
    cores = core_count() if repeatable else min(core_count(), round(idle_cores()))
    count = max(1, cores // processes)
    return count if count < physical_cores() else None


def _reason(count: int) -> str:
    cores = core_count()
    if count == cores:
        why = f"This process may use the time of {cores} of {visible_cores()} cores"
    else:
        why = f"Other programs keep some of the {cores} cores busy"
    return f"{why}, so PyTorch computes with {count} thread{'s' if count > 1 else ''}"


def _times() -> tuple[int, int] | None:
    """Idle and total time so far of the cores available to this process, in ticks."""
    own = {f"cpu{number}" for number in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else set()
    try:
        lines = [line.split() for line in _STAT.read_text(encoding="ascii").splitlines()]
        rows = [[int(field) for field in line[1:9]] for line in lines if line and line[0] in own]
        return sum(row[3] + row[4] for row in rows), sum(map(sum, rows))
    except (OSError, ValueError, IndexError):
        return None
