"""Failing disks where the contract suite does not look: in C++, in data, in a search, and at the very end."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine
from drivetrain.errors import DrivetrainError, StorageError
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import is_held, read_record
from drivetrain.testing import data, toy
from drivetrain.testing.disk import ERRORS, FailingDisk


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("toys") / "data")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVETRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))


def engine_in(work: Path, toys: Path) -> Any:
    engine: Any = Engine("drivetrain.testing.toy.ToyModel", toys, work_dir=work, engine="toy")
    engine.progress = SilentProgress()
    return engine


SMALL = """
import resource, signal, sys
from drivetrain import Engine
from drivetrain.errors import DrivetrainError
from drivetrain.testing import toy
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
engine = Engine("drivetrain.testing.toy.ToyModel", sys.argv[1], work_dir=sys.argv[2], engine="toy")
engine.train(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
for verb in (lambda: engine.export(), lambda: engine.predict(save_images=True)):
    try:
        verb()
    except DrivetrainError as error:
        print(f"{type(error).__name__}: {error}")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
engine.export()
"""


def test_what_a_library_writes_from_cpp_is_explained_too(toys: Path, tmp_path: Path) -> None:
    work = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", SMALL, str(toys), str(work)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("StorageError")]
    assert len(lines) == 2, done.stdout
    assert all("File too large" in line for line in lines)
    assert [path.name for path in (work / "artifacts").iterdir()] == ["openvino-fp32"]


DATA = """
import resource, signal, sys
from drivetrain import load_dataset
from drivetrain.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder, archive, target = sys.argv[1:]
dataset = load_dataset(folder)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for act in (lambda: load_dataset(archive), lambda: dataset.export(target, "coco")):
    try:
        act()
    except StorageError as error:
        print(f"StorageError: {error}")
"""


def test_unpacking_and_writing_data_say_what_stops_them(toys: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "toys"), "zip", toys)
    words = [sys.executable, "-c", DATA, str(toys), archive, str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("File too large") == 2, done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["toys.zip"], "nothing half-written is left"


def test_a_training_that_could_not_write_its_end_leaves_a_record_that_can_be_read(toys: Path, tmp_path: Path) -> None:
    work = tmp_path / "run"
    engine = engine_in(work, toys)
    real = toy.ToyFramework.fit
    with contextlib.ExitStack() as stack:

        def fit(self: Any, *args: Any, **more: Any) -> Any:
            result = real(self, *args, **more)
            stack.enter_context(FailingDisk(work, errno.ENOSPC, 1, lasting=True).mounted())
            return result

        stack.enter_context(pytest.MonkeyPatch.context()).setattr(toy.ToyFramework, "fit", fit)
        with pytest.raises(StorageError, match="No space left on device"):
            engine.train(1)
    assert read_record(work)["status"] == "running", "it could not be written"
    engine_in(work, toys).train(2, resume=True)
    assert json.loads((work / "run.json").read_text())["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("code", ERRORS)
def test_a_search_whose_disk_fails_says_so_and_goes_on(code: str, toys: Path, tmp_path: Path) -> None:
    def search(work: Path) -> Any:
        space = {"batch_size": [2, 4]}
        return engine_in(work, toys).tune(space=space, trials=2, max_epochs=1, sampler="random", pruner="none")

    dry = FailingDisk(tmp_path / "dry")
    with dry.mounted():
        search(tmp_path / "dry")
    turn = list(ERRORS).index(code)
    places = [at for at in range(1, len(dry.operations) + 1) if at % len(ERRORS) == turn]
    assert places
    for at in places:
        work = tmp_path / f"search{at}"
        failed: DrivetrainError | None = None
        with FailingDisk(work, ERRORS[code], at, lasting=bool(at // len(ERRORS) % 2)).mounted():
            try:
                search(work)
            except DrivetrainError as error:
                failed = error
        place = f"{code} at operation {at}, {dry.operations[at - 1]}"
        if failed is not None:
            assert isinstance(failed, OSError), f"{place}: {failed!r}"
            assert str(work) in str(failed), f"{place}: {failed}"
        assert [path for path in work.rglob("*") if ".partial" in path.name] == [], place
        assert not is_held(work), place
        assert sum(trial.state == "finished" for trial in search(work).trials) == 2, place
