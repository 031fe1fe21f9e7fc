"""What the machine has: devices and memory."""

from __future__ import annotations

import os
from pathlib import Path

from drivetrain.errors import OptionError, near

_KINDS = ("cpu", "cuda", "xpu", "mps")


def choose_device(device: str = "auto") -> str:
    """The torch device to compute on.

    Args:
        device: ``"auto"`` takes the first accelerator there is, else the CPU; otherwise ``"cpu"``, ``"cuda"``,
            ``"cuda:1"``, ``"xpu"``, ``"mps"``.

    Returns:
        A name that ``torch.device`` takes.

    Raises:
        OptionError: there is no such device on this machine.
    """
    import torch

    present = {
        "cuda": torch.cuda.is_available(),
        "xpu": hasattr(torch, "xpu") and torch.xpu.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(kind for kind, here in present.items() if here)
    kind, _, number = device.partition(":")
    if kind not in _KINDS or (number and not number.isdigit()):
        raise OptionError(f"device={device!r} is not a device.{near(kind, _KINDS)} Allowed: auto, {', '.join(_KINDS)}.")
    if not present[kind]:
        here = ", ".join(name for name, there in present.items() if there)
        raise OptionError(f"device={device!r} is not on this machine. It has: {here}.")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if number and kind != "cpu" and int(number) >= count:
        raise OptionError(f"device={device!r}: this machine has {count} of {kind}, numbered from 0.")
    return device


def core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes of main memory this process may still take; the limit of its control group is honoured."""
    free = _system_available()
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        most, now = _number(limit), _number(used)
        if most is not None and now is not None:
            free = min(free, max(0, most - now))
    return free


def _system_available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(facts["MemAvailable"].split()[0]) * 1024


def _number(path: str) -> int | None:
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
