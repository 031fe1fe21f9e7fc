"""The versions, hardware and state of the checkout that a run was made with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from typing import Any

from drivetrain.machine.packages import version_of
from drivetrain.machine.resources import available_memory, core_count

_PACKAGES = (
    *("torch", "torchvision", "lightning", "pytorch-lightning", "timm", "transformers", "anomalib", "ultralytics"),
    *("openvino", "onnx", "onnxruntime", "datumaro", "numpy", "opencv-python-headless", "opencv-python", "pillow"),
)


_OPENMP = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def environment() -> dict[str, Any]:
    """Versions and hardware, determined without importing anything heavy."""
    versions = {name: found for name in _PACKAGES if (found := version_of(name)) is not None}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": core_count(),
        "openmp": {name: os.environ[name] for name in _OPENMP if name in os.environ},
        "memory_free_bytes": available_memory(),
        "accelerators": accelerators(),
        "versions": versions,
    }


def accelerators() -> list[str]:
    """The names of the accelerators that PyTorch sees, if this process has loaded PyTorch."""
    torch = sys.modules.get("torch")
    kinds = [getattr(torch, name, None) for name in ("cuda", "xpu")]
    return [
        kind.get_device_name(n) for kind in kinds if kind and kind.is_available() for n in range(kind.device_count())
    ]


def git_state() -> dict[str, Any] | None:
    """Commit and cleanliness of the git checkout around the current directory; ``None`` outside of one."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        commit, status = (
            subprocess.run(  # noqa: S603  (fixed arguments)
                [git, *arguments], capture_output=True, text=True, timeout=5, check=True
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (subprocess.SubprocessError, OSError):
        return None
    return {"commit": commit, "clean": not status}
