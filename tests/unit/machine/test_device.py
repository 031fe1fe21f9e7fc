"""Devices."""

from __future__ import annotations

import pytest

from drivetrain.errors import OptionError
from drivetrain.machine.device import choose_device


def test_auto_names_a_device_that_torch_takes() -> None:
    torch = pytest.importorskip("torch")
    assert torch.zeros(1, device=choose_device("auto")).device.type == choose_device("auto").partition(":")[0]


def test_a_misspelt_device_names_the_nearest() -> None:
    pytest.importorskip("torch")
    with pytest.raises(OptionError, match=r"device='cdua' is not a device\. Did you mean 'cuda'\?"):
        choose_device("cdua")


def test_an_absent_device_says_what_there_is() -> None:
    torch = pytest.importorskip("torch")
    absent = "mps" if not torch.backends.mps.is_available() else "xpu"
    with pytest.raises(OptionError, match=rf"device='{absent}' is not on this machine\. It has: .*cpu"):
        choose_device(absent)
