"""Ultralytics does not access the network, runs no installer and writes only into the work dir and the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drivetrain.testing import data

HARMLESS = ("fc-list", "ldconfig", "'uname'", "'rev-parse'", "drivetrain.models.catalog")
"""What imports ask the machine about (matplotlib: its fonts), and our own listing of models."""

PASSED_ON_BY_OTHERS = ("YOLO", "HF_", "ULTRA", "TORCHINDUCTOR_", "TRITON_")
"""Variables that other tests of this process may have set; the folders that they name would not be ours."""

COUNTS = {"train": 6, "val": 3, "test": 3}
SCRIPT = """
import json, os, sys
network, written, started = [], [], []

def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        network.append(f"{event} {args[1:]}")
        raise OSError("the network is blocked")
    if event == "open" and isinstance(args[0], (str, bytes)) and isinstance(args[2], int):
        if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(os.path.abspath(os.fsdecode(args[0])))
    if event in ("os.mkdir", "os.rename", "os.symlink", "os.link"):
        written.append(os.path.abspath(os.fsdecode(args[1 if event != "os.mkdir" else 0])))
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
        started.append(f"{event} {args[:2]}")

sys.addaudithook(watch)

from drivetrain import Engine, load

model, source, work_dir, *formats = sys.argv[1:]
if model.endswith(".yaml"):  # a user's own object: importing the package as it comes is his affair, all else is ours
    from ultralytics import YOLO
    from ultralytics.utils import SETTINGS, events
    model = YOLO(model)
    events.events.enabled = True
    sys.modules["ultralytics.utils.checks"].ONLINE = True
    for seen in (network, written, started):
        seen.clear()
engine = Engine(model, source, work_dir=work_dir)
engine.train(1, batch_size=3, image_size=64)
if isinstance(model, str):
    Engine(model, source, work_dir=work_dir).train(2, batch_size=3, image_size=64, resume=True)
engine = Engine(work_dir)
engine.test()
images = list(engine.dataset.subset("test").paths)
engine.predict(images)
for name in formats:
    load(engine.export(name).path).predict(images)
print(json.dumps({"network": network, "written": sorted(set(written)), "started": started}))
"""


def _tree(root: Path) -> dict[str, int]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in files}


@pytest.mark.parametrize(
    ("model", "formats"),
    [
        pytest.param("ultralytics:yolo11n-cls", ["openvino"], id="classify"),
        pytest.param("yolo11n-cls.yaml", ["openvino"], id="own-object", marks=pytest.mark.slow),
        pytest.param("ultralytics:yolo26n-seg", ["openvino", "onnx"], id="segment", marks=pytest.mark.slow),
    ],
)
def test_no_network_and_no_file_outside_the_work_dir(model: str, formats: list[str], tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("home", "current", "temporary", "cache")}
    for place in places.values():
        place.mkdir()
    make = data.class_folders if "-cls" in model else data.coco
    source, work_dir = make(tmp_path / "data", subsets=COUNTS), tmp_path / "work"
    before = _tree(source)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PASSED_ON_BY_OTHERS)}
    environment |= {
        "HOME": str(places["home"]),
        "TMPDIR": str(places["temporary"]),
        "DRIVETRAIN_CACHE": str(places["cache"]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "CI", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    command = [sys.executable, "-c", SCRIPT, model, str(source), str(work_dir), *formats]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=places["current"], env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["network"] == []
    assert [command for command in seen["started"] if not any(word in command for word in HARMLESS)] == []
    allowed = (str(work_dir), str(places["cache"]), str(places["temporary"]), "/dev/")
    assert [path for path in seen["written"] if not path.startswith(allowed)] == []
    assert _tree(source) == before
    if not model.endswith(".yaml"):
        assert _tree(places["home"]) == {}
    assert _tree(places["current"]) == {}
    assert _tree(places["temporary"]) == {}


def test_the_licence_is_told_once(tmp_path: Path) -> None:
    code = "from drivetrain.engines.ultralytics.containment import ultralytics; ultralytics()"
    environment = {**os.environ, "DRIVETRAIN_CACHE": str(tmp_path)}
    told = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stderr
        for _ in range(2)
    ]
    assert told[0].count("AGPL-3.0") == 1
    assert "AGPL-3.0" not in told[1]
