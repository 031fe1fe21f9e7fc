"""Cores and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from drivetrain.machine import resources
from drivetrain.machine.resources import available_memory, core_count, is_out_of_memory


def test_available_memory_is_less_than_the_machine_has() -> None:
    assert 0 < available_memory() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_core_count_is_at_least_one() -> None:
    assert 1 <= core_count() <= (os.cpu_count() or 1)


def test_cores_that_are_two_for_one_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_CORES", tmp_path)
    monkeypatch.setattr(resources.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    for number, pair in enumerate(("0,2", "1,3", "0,2", "1,3")):
        write(tmp_path / f"cpu{number}" / "topology", thread_siblings_list=pair)
    assert resources.physical_cores() == 2
    monkeypatch.setattr(resources, "_CORES", tmp_path / "none")
    assert resources.physical_cores() == 4


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups with this process in ``/outer/inner``."""
    monkeypatch.setattr(resources, "_GROUPS", tmp_path)
    lines = "3:memory:/outer/inner\n0::/outer/inner\n"
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, **more: lines if str(self) == "/proc/self/cgroup" else real(self, **more)
    )
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="ascii")


def test_the_narrowest_control_group_of_version_2_counts(groups: Path) -> None:
    write(groups / "outer" / "inner", memory__max="max\n", memory__current="100\n")
    write(groups / "outer", memory__max="5000\n", memory__current="3000\n", memory__stat="inactive_file 500\n")
    assert available_memory() == 5000 - 3000 + 500


def test_control_groups_of_version_1_count(groups: Path) -> None:
    inner = groups / "memory" / "outer" / "inner"
    write(inner, memory__limit_in_bytes="4000", memory__usage_in_bytes="1000", memory__stat="total_inactive_file 7")
    write(groups / "memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="5000")
    assert available_memory() == 3007


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [("max 100000", "max 100000", 64), ("max 100000", "250000 100000", 3), ("50000 100000", "max 100000", 1)],
)
def test_the_time_that_control_groups_of_version_2_allow_counts(
    inner: str, outer: str, expected: int, groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "visible_cores", lambda: 64)
    write(groups / "outer" / "inner", cpu__max=f"{inner}\n")
    write(groups / "outer", cpu__max=f"{outer}\n")
    assert core_count() == expected


def test_the_time_that_control_groups_of_version_1_allow_counts(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "visible_cores", lambda: 64)
    write(groups / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert core_count() == 64
    write(groups / "cpu", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    assert core_count() == 2


def test_the_limit_of_the_address_space_counts_unless_it_is_left_out() -> None:
    script = (
        "import resource; from drivetrain.machine.resources import available_memory, _status_bytes\n"
        "size = _status_bytes()['VmSize'] + 50 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
        "print(available_memory(), available_memory(ulimit=False))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    limited, free = map(int, done.stdout.split())
    assert 0 < limited <= 50 * 2**20 < free


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 3 bytes"),
        RuntimeError("Caught MemoryError in DataLoader worker process 0."),
        RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed."),
    ],
)
def test_every_way_to_say_that_memory_ran_out_is_understood(error: Exception) -> None:
    assert is_out_of_memory(error)
    outer = ValueError("something went wrong")
    outer.__cause__ = error
    assert is_out_of_memory(outer)


def test_other_errors_are_not_about_memory() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(OSError(2, "No such file or directory"))
    assert not is_out_of_memory(None)


def test_the_memory_of_a_session_is_that_of_all_its_processes() -> None:
    script = "import time; held = bytearray(60 * 2**20); print('ready', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert 60 * 2**20 < resources.session_memory(process.pid) == resources.resident_memory(process.pid)
    finally:
        process.kill()
        process.communicate()
