"""``drivetrain doctor``: is this installation sound, and what to run if it is not."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from drivetrain.cli.answer import Answer
from drivetrain.machine.packages import version_of
from drivetrain.models.registry import engine_specs
from drivetrain.models.spec import EngineSpec

if TYPE_CHECKING:
    from drivetrain.cli.render import Page


State = Literal["ok", "note", "warning", "problem"]
_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "YOLO_OFFLINE", "WANDB_MODE")
_LEAST_DISK = 2e9  # bytes: a run stores two checkpoints and the caches of the data
_LEAST_MEMORY = 1e9
_TRACKERS = {"mlflow": "mlflow", "wandb": "wandb", "tensorboardX": "tensorboard"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        about: what was checked.
        state: ``"problem"`` prevents something from working, ``"warning"`` might.
        text: the result.
        run: the command that fixes it, or ``""``.
    """

    about: str
    state: State
    text: str
    run: str = ""


def examine(*, quick: bool = False) -> Answer:
    """Examine the installation.

    Args:
        quick: import no framework, not even in a separate process.
    """
    findings = [*_versions(), *_opencv(), *_variables(), *_caches(), *_machine()]
    if not quick:
        findings += probe_engines()
    worst = any(finding.state == "problem" for finding in findings)
    return Answer([asdict(finding) for finding in findings], lambda page: _tell(page, findings), code=int(worst))


def _tell(page: Page, findings: Sequence[Finding]) -> None:
    page.table(("", "about", "found"), ((item.state, item.about, item.text) for item in findings))
    wrong = [item for item in findings if item.state in ("warning", "problem")]
    for item in wrong:
        page.line(f"{item.state}: {item.about}: {item.text}")
        if item.run:
            page.line(f"  run: {item.run}")
    page.line(f"{len(wrong)} of {len(findings)} findings need your attention." if wrong else "All is well.")


# --- packages --------------------------------------------------------------------------------------------------------


def _versions() -> Iterator[Finding]:
    from drivetrain._version import __version__

    yield Finding("drivetrain", "ok", f"{__version__} on Python {sys.version.split()[0]}")
    for name, spec in sorted(engine_specs().items()):
        yield _engine(name, spec)
    for package, tool in _TRACKERS.items():
        version = version_of(package)
        if version is not None:
            yield Finding(f"tracking with {tool}", "ok", f"{package} {version}")


def _engine(name: str, spec: EngineSpec) -> Finding:
    if spec.missing:
        return Finding(f"engine {name}", "note", f"not installed: {', '.join(spec.missing)}", spec.install)
    versions = {package: version_of(package) or "unknown" for package in spec.upstream}
    outside = [
        f"{package} {versions[package]} is not {wanted}"
        for package, wanted in spec.upstream.items()
        if not fits(versions[package], wanted)
    ]
    if outside:
        ranges = " ".join(f'"{package}{wanted}"' for package, wanted in spec.upstream.items())
        return Finding(f"engine {name}", "problem", "; ".join(outside), f"pip install {ranges}")
    return Finding(f"engine {name}", "ok", ", ".join(f"{package} {version}" for package, version in versions.items()))


def fits(version: str, wanted: str) -> bool:
    """Whether a version is within a range such as ``">=2.7,<3"``; pre-releases count as their release."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(wanted).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def opencv_wheels() -> list[str]:
    """The installed distributions with the package cv2; several of them overwrite each other's files."""
    found = {str(item.metadata["Name"]).lower().replace("_", "-") for item in importlib.metadata.distributions()}
    return sorted(found & set(_OPENCV))


def _opencv() -> Iterator[Finding]:
    wheels = opencv_wheels()
    if len(wheels) > 1:
        mend = f"pip uninstall -y {' '.join(wheels)} && pip install opencv-python-headless"
        yield Finding("OpenCV", "problem", f"{len(wheels)} wheels overwrite each other: {', '.join(wheels)}", mend)
    elif wheels:
        yield Finding("OpenCV", "ok", wheels[0])
    else:
        yield Finding("OpenCV", "problem", "not installed", "pip install opencv-python-headless")


# --- settings --------------------------------------------------------------------------------------------------------


def _variables() -> Iterator[Finding]:
    from drivetrain.cli.arguments import complaint, ours

    offline = {name: os.environ[name] for name in _OFFLINE if name in os.environ}
    said = ", ".join(f"{name}={value}" for name, value in offline.items())
    yield Finding("offline switches", "ok" if said else "note", said or "none is set: upstreams may use the network")
    for name, value in ours(os.environ).items():
        wrong = complaint(name)
        if wrong:
            yield Finding("environment", "problem", wrong, f"unset {name}")
        else:
            yield Finding("environment", "note", f"{name}={value} is used by every command that has this option")


def _caches() -> Iterator[Finding]:
    from drivetrain.machine.files import cache_dir
    from drivetrain.models.catalog import cached_listing, installed_version

    folder = cache_dir()
    above = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if os.access(above, os.W_OK):
        yield Finding("cache", "ok", f"{folder}{'' if folder.exists() else ' (not made yet)'}")
    else:
        yield Finding("cache", "problem", f"{folder} cannot be written", "export DRIVETRAIN_CACHE=FOLDER")
    for source in (source for spec in engine_specs().values() for source in spec.sources):
        version = installed_version(source)
        if version is None:
            continue
        found = cached_listing(source)
        if found is None:
            text = f"{source.prefix} {version} is not listed yet; the first command that needs it will do so"
            yield Finding("catalogue", "note", text, "drivetrain find")
        else:
            yield Finding("catalogue", "ok", f"{source.prefix} {version}: {len(found.models)} models")


def _machine() -> Iterator[Finding]:
    from drivetrain.machine.resources import available_memory, core_count

    memory, disk = available_memory(), shutil.disk_usage(Path.cwd()).free
    state: State = "warning" if memory < _LEAST_MEMORY else "ok"
    yield Finding("machine", state, f"{core_count()} cores, {memory / 1e9:.1f} GB of memory free")
    if not os.access(Path.cwd(), os.W_OK):
        yield Finding("work dirs", "warning", f"{Path.cwd()} cannot be written; give --work_dir")
    else:
        state = "warning" if disk < _LEAST_DISK else "ok"
        yield Finding("work dirs", state, f"{disk / 1e9:.0f} GB free in {Path.cwd()}")


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

    home = {"YOLO_CONFIG_DIR": str(cache_dir() / "ultralytics")}  # where the engine stores Ultralytics' settings
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
