"""Every write of every verb fails once, with every error that a disk has: nothing is lost and nothing half-written."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine
from drivetrain.errors import DrivetrainError, StorageError
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.testing import data, toy

ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO]


class Disk:
    """A disk that fails at one of its operations below a folder, and counts them.

    Args:
        folder: the operations elsewhere are left alone.
        code: the error.
        at: the number of the operation that fails; all after it fail too while ``lasting``.
        lasting: whether the fault stays.
    """

    def __init__(self, folder: Path, code: int, at: int, *, lasting: bool) -> None:
        self.folder, self.code, self.at, self.lasting = str(folder), code, at, lasting
        self.count = 0

    def hit(self, path: Any) -> None:
        """One operation on a path."""
        if not isinstance(path, str | Path) or not str(path).startswith(self.folder):
            return
        self.count += 1
        if self.count == self.at or (self.lasting and self.count > self.at):
            raise OSError(self.code, os.strerror(self.code), str(path))

    @property
    def fired(self) -> bool:
        return self.count >= self.at


class FaultyFile:
    """A file whose writes are operations of the disk."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def write(self, content: Any) -> Any:
        self._disk.hit(self._file.name)
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> FaultyFile:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a disk under ``open``, writes, renames and ``fsync``."""
    real_open, real_os_open, real_replace, real_fsync = io.open, os.open, os.replace, os.fsync

    def put(disk: Disk) -> None:
        def opened(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            made = not set(mode).isdisjoint("wax+")
            if made:
                disk.hit(file)
            handle = real_open(file, mode, *args, **more)
            return FaultyFile(handle, disk) if made and str(file).startswith(disk.folder) else handle

        def os_opened(path: Any, flags: int, *args: Any, **more: Any) -> int:
            if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                disk.hit(path)
            return real_os_open(path, flags, *args, **more)

        def replaced(source: Any, target: Any, **more: Any) -> None:
            disk.hit(target)
            real_replace(source, target, **more)

        def synced(handle: int) -> None:
            disk.hit(str(Path(f"/proc/self/fd/{handle}").readlink()))
            real_fsync(handle)

        for place in (builtins, io):
            monkeypatch.setattr(place, "open", opened)
        monkeypatch.setattr(os, "open", os_opened)
        monkeypatch.setattr(os, "replace", replaced)
        monkeypatch.setattr(os, "rename", replaced)
        monkeypatch.setattr(os, "fsync", synced)

    yield put
    monkeypatch.undo()


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


VERBS = {
    "train": lambda engine: engine.train(2, overwrite=True),
    "resume": lambda engine: engine.train(3, resume=True),
    "export": lambda engine: engine.export(overwrite=True),
    "predict": lambda engine: engine.predict(save_images=True),
    "test": lambda engine: engine.test(),
}


@pytest.fixture(scope="module")
def finished(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be copied."""
    work = tmp_path_factory.mktemp("runs") / "run"
    engine_in(work, toys).train(2)
    return work


@pytest.mark.parametrize(
    ("code", "lasting", "step"),
    [(errno.ENOSPC, False, 2), (errno.ENOSPC, True, 5), *((code, code == errno.EROFS, 9) for code in ERRORS[1:])],
    ids=["ENOSPC", "ENOSPC-lasting", "EDQUOT", "EROFS-lasting", "EACCES", "EIO"],
)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_whose_write_fails_says_so_and_can_be_called_again(
    verb: str, code: int, lasting: bool, step: int, install: Any, toys: Path, finished: Path, tmp_path: Path
) -> None:
    at = 1
    while True:
        work = shutil.copytree(finished, tmp_path / f"run{at}")
        engine: Any = Engine(work) if verb in ("export", "predict", "test") else engine_in(work, toys)
        engine.progress = SilentProgress()
        before = {path.name for path in (work / "checkpoints").iterdir()}
        disk = Disk(work, code, at, lasting=lasting)
        failed: BaseException | None = None
        install(disk)
        try:
            VERBS[verb](engine)
        except DrivetrainError as error:
            failed = error
        finally:
            install(Disk(Path("/nowhere"), code, 1, lasting=False))
        if not disk.fired:
            assert failed is None
            break
        check_state(work, failed, code)
        if verb != "train":
            assert before <= {path.name for path in (work / "checkpoints").iterdir()}, "the last good state stays"
        VERBS[verb](engine_in(work, toys) if verb in ("train", "resume") else Engine(work))
        at += step
    assert at > 1 or verb == "test"


def check_state(work: Path, failed: BaseException | None, code: int) -> None:
    """What must hold after a failed verb: a plain error, no partial file, a free lock, a true record."""
    if failed is not None:
        assert isinstance(failed, OSError), failed
        assert str(work) in str(failed) or "work_dir" in str(failed)
        assert os.strerror(code) in str(failed)
        if code == errno.ENOSPC and isinstance(failed, StorageError):
            assert "MB are free" in str(failed)
    partial = [path for path in work.rglob("*") if ".partial" in path.name]
    assert partial == [], partial


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


def test_a_training_that_could_not_write_its_end_leaves_a_record_that_can_be_read(
    install: Any, toys: Path, tmp_path: Path
) -> None:
    work = tmp_path / "run"
    engine = engine_in(work, toys)
    real = toy.ToyFramework.fit

    def fit(self: Any, *args: Any, **more: Any) -> Any:
        result = real(self, *args, **more)
        install(Disk(work, errno.ENOSPC, 1, lasting=True))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy.ToyFramework, "fit", fit)
        with pytest.raises(StorageError, match="No space left on device"):
            engine.train(1)
    install(Disk(Path("/nowhere"), 0, 1, lasting=False))
    assert read_record(work)["status"] == "running", "it could not be written"
    engine_in(work, toys).train(2, resume=True)
    assert json.loads((work / "run.json").read_text())["status"] == "finished"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
