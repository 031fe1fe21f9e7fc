"""The device to compute on."""

from __future__ import annotations

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
