"""The device to compute on."""

from __future__ import annotations

import sys

from drivetrain.errors import OptionError, near

_KINDS = ("cpu", "cuda", "xpu", "mps")


def check_device_name(device: str) -> None:
    """Refuse a string that is not a device name on any machine; does not consult PyTorch.

    Raises:
        OptionError: the name is unknown; the message suggests the closest.
    """
    kind, _, number = device.partition(":") if isinstance(device, str) else ("", "", "")
    if device != "auto" and (kind not in _KINDS or (number and not number.isdigit())):
        meant = " Did you mean 'cuda'?" if kind == "gpu" else near(kind, _KINDS)
        raise OptionError(f"device={device!r} is not a device.{meant} Allowed: auto, {', '.join(_KINDS)}.")


def choose_device(device: str = "auto") -> str:
    """The torch device to compute on.

    Args:
        device: ``"auto"`` takes the first available accelerator, else the CPU; otherwise ``"cpu"``, ``"cuda"``,
            ``"cuda:1"``, ``"xpu"``, ``"mps"``.

    Returns:
        A name that ``torch.device`` accepts.

    Raises:
        OptionError: there is no such device on this machine.
    """
    check_device_name(device)
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
    if not present[kind]:
        here = ", ".join(name for name, there in present.items() if there)
        raise OptionError(f"device={device!r} is not on this machine. It has: {here}.")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if number and kind != "cpu" and int(number) >= count:
        raise OptionError(f"device={device!r}: this machine has {count} of {kind}, numbered from 0.")
    return device


def device_in_use(device: str = "auto") -> str:
    """The device that a name stands for where a model computes now; the CPU where PyTorch was never loaded.

    Raises:
        OptionError: there is no such device on this machine.
    """
    return choose_device(device) if "torch" in sys.modules else device.replace("auto", "cpu")


def accelerator_peak() -> tuple[int | None, int | None]:
    """The peak memory this process has used on its CUDA device, and the memory of that device, both in bytes.

    Both are ``None`` if no CUDA device was used. Other accelerators are not measured; they report themselves when
    they run out of memory.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None, None
    peak = int(torch.cuda.max_memory_reserved())
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return peak, int(torch.cuda.mem_get_info()[1])


def free_accelerator() -> None:
    """Release the accelerator's cached memory, after it has run out."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    for kind in ("cuda", "xpu", "mps"):
        module = getattr(torch, kind, None)
        if module is not None and module.is_available() and hasattr(module, "empty_cache"):
            module.empty_cache()
