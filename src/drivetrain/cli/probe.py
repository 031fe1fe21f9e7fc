"""Import each engine's packages and ask for devices, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from drivetrain.cli.doctor import Finding
from drivetrain.models.registry import engine_specs
from drivetrain.models.spec import EngineSpec

_SECONDS = 180
_IMPORT = """
import importlib, json, sys
for name in {packages!r}:
    importlib.import_module(name)
facts = {{}}
if "torch" in sys.modules:
    torch = sys.modules["torch"]
    facts["torch"] = {{
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "xpu": torch.xpu.device_count() if hasattr(torch, "xpu") and torch.xpu.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "threads": torch.get_num_threads(),
    }}
if "openvino" in sys.modules:
    facts["openvino"] = sys.modules["openvino"].Core().available_devices
sys.stderr.flush()
print("\\n" + json.dumps(facts))
"""


def probe_engines() -> Iterator[Finding]:
    """Whether the packages of every installed engine can be imported, and which devices they see."""
    devices: dict[str, object] = {}
    for name, spec in sorted(engine_specs().items()):
        if spec.missing or not spec.packages:
            continue
        done = _run(spec)
        if done is None:
            yield Finding(f"import of {name}", "problem", f"took more than {_SECONDS} s")
        elif done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            yield Finding(f"import of {name}", "problem", last, spec.install)
        else:
            devices |= json.loads(done.stdout.splitlines()[-1])
            yield Finding(f"import of {name}", "ok", ", ".join(spec.packages))
    yield from _devices(devices)


def _run(spec: EngineSpec) -> subprocess.CompletedProcess[str] | None:
    from drivetrain.machine.files import cache_dir

    home = {"YOLO_CONFIG_DIR": str(cache_dir() / "ultralytics")}  # where the engine keeps the settings of Ultralytics
    quiet = {"HF_HUB_OFFLINE": "1", "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    command = [sys.executable, "-c", _IMPORT.format(packages=spec.packages)]
    try:
        return subprocess.run(  # noqa: S603  (our own interpreter and text)
            command, capture_output=True, text=True, check=False, timeout=_SECONDS, env={**home, **os.environ, **quiet}
        )
    except subprocess.TimeoutExpired:
        return None


def _devices(devices: dict[str, object]) -> Iterator[Finding]:
    torch = devices.get("torch")
    if isinstance(torch, dict):
        found = [f"{torch[kind]} {kind}" for kind in ("cuda", "xpu", "mps") if torch[kind]]
        yield Finding("devices of PyTorch", "ok", ", ".join([*found, f"cpu with {torch['threads']} threads"]))
    openvino = devices.get("openvino")
    if isinstance(openvino, list):
        yield Finding("devices of OpenVINO", "ok", ", ".join(map(str, openvino)))
