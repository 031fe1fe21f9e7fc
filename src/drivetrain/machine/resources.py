"""The cores and the memory that this process may use."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_CORES = Path("/sys/devices/system/cpu")
#: How libraries report running out of memory when they have no exception class for it.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "not enough memory",
    "std::bad_alloc",
    "alloc_failed",
    "caught memoryerror",
    "is killed by signal: killed",
)


def visible_cores() -> int:
    """How many cores this process may run on; libraries use this count to choose their number of threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def core_count() -> int:
    """How many cores this process may use: those it may run on, or fewer if its control groups limit its CPU time.

    A container with ``--cpus 2`` sees every core of the machine, and is throttled when it uses more than two.
    """
    return max(1, min([visible_cores(), *(math.ceil(share) for share in _shares_in_groups())]))


def physical_cores() -> int:
    """How many physical cores this process may run on, counting hyper-threads of one core once, as PyTorch does."""
    numbers = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    files = [_CORES / f"cpu{number}" / "topology" / "thread_siblings_list" for number in numbers]
    try:
        return len({file.read_text(encoding="ascii") for file in files}) or visible_cores()
    except OSError:
        return visible_cores()


def available_memory(*, ulimit: bool = True) -> int:
    """Bytes of main memory that this process may still allocate.

    Honours the limits of its control groups (version 1 and 2) and of their parents.

    Args:
        ulimit: whether ``ulimit`` (``-v``, ``-d``) counts too; those limits apply per process, not to all together.
    """
    limits: list[int] = [_system_available(), *_left_in_groups(), *(_left_by_ulimit() if ulimit else ())]
    return max(0, min(limits))


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error or one of its causes says that memory ran out, on the host or on an accelerator."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if isinstance(error, RuntimeError) and any(part in str(error).lower() for part in _OUT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def resident_memory(pid: int | None = None) -> int:
    """Bytes of main memory that a process (by default this one) holds now; 0 if there is no such process."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def session_memory(leader: int) -> int:
    """Bytes of main memory that all processes of a session hold; shared pages count once for each process.

    Args:
        leader: the process id of the session leader.
    """
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[3]) == leader:
            total += resident_memory(int(entry.name))
    return total


def yield_memory_first() -> None:
    """Ask the kernel to kill this process before others when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def give_memory_back() -> None:
    """Return freed memory that the C library still holds, where possible: a failed training leaves hundreds of MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _system_available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(facts["MemAvailable"].split()[0]) * 1024


def _left_by_ulimit() -> Iterator[int]:
    """The remaining address space and data segment, if they are limited."""
    used = _status_bytes()
    for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY:
            yield soft - used.get(name, 0)


def _status_bytes() -> dict[str, int]:
    """The sizes in ``/proc/self/status``, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def _left_in_groups() -> Iterator[int]:
    """What remains in each control group of this process that has a limit; cached files count as reclaimable."""
    names = {2: ("memory.max", "memory.current"), 1: ("memory.limit_in_bytes", "memory.usage_in_bytes")}
    for folder, version in _groups("memory"):
        limit, used = (_number(folder / name) for name in names[version])
        if limit is not None and used is not None:
            yield limit - used + _cached_files(folder)


def _shares_in_groups() -> Iterator[float]:
    """How many cores' worth of time each control group of this process is allowed, if it is limited."""
    for folder, version in _groups("cpu"):
        if version == 2:
            quota, period = [*_numbers(folder / "cpu.max"), None, None][:2]
        else:
            quota, period = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota and period:
            yield quota / period


def _groups(kind: str) -> Iterator[tuple[Path, int]]:
    """The folders of the control groups of this process, from its own up to the root, each with its version (1 or 2).

    Args:
        kind: ``"memory"`` or ``"cpu"``; version 1 has a separate tree of groups for each.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    inside = {parts[1]: parts[2] for parts in (line.split(":", 2) for line in lines) if len(parts) == 3}
    of_kind = next((path for kinds, path in inside.items() if kind in kinds.split(",")), "/")
    for root, own, version in ((_GROUPS, inside.get("", "/"), 2), (_GROUPS / kind, of_kind, 1)):
        folder = root / own.lstrip("/")
        while folder != root and folder.is_relative_to(root):
            yield folder, version
            folder = folder.parent
        yield root, version


def _cached_files(folder: Path) -> int:
    """Bytes of file cache that count towards the group and that the kernel can reclaim."""
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    facts = {parts[0]: parts[1] for parts in (line.split() for line in lines) if len(parts) == 2}
    return int(facts.get("total_inactive_file", facts.get("inactive_file", "0")))


def _number(path: Path) -> int | None:
    return next(iter(_numbers(path)), None)


def _numbers(path: Path) -> list[int | None]:
    """The numbers in a file, with ``None`` for each word; empty if there is no such file."""
    try:
        words = path.read_text(encoding="ascii").split()
    except OSError:
        return []
    return [int(word) if word.isdigit() else None for word in words]
