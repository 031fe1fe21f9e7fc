"""OpenMP in processes of our own: bounded spinning, a thread for each free core, and the user's word first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from drivetrain.machine import openmp


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in openmp._OF_THE_USER:
        monkeypatch.setenv(name, "")  # remembered, so that what is set below goes away again
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(openmp, "core_count", lambda: 4)


def test_a_quiet_machine_keeps_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmp, "idle_cores", lambda: 3.9)
    assert openmp.set_openmp() == ""
    assert openmp.os.environ["GOMP_SPINCOUNT"] == "2000"
    assert "OMP_NUM_THREADS" not in openmp.os.environ


@pytest.mark.parametrize(("idle", "expected"), [(2.6, "3"), (1.2, "1"), (0.0, "1")])
def test_beside_others_it_takes_the_free_cores_and_says_so(
    idle: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openmp, "idle_cores", lambda: idle)
    assert openmp.set_openmp().startswith(f"{expected} of 4 cores are free")
    assert openmp.os.environ["OMP_NUM_THREADS"] == expected


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_has_set_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmp, "idle_cores", lambda: 0.0)
    monkeypatch.setenv(name, "7")
    assert openmp.set_openmp() == ""
    assert {n: openmp.os.environ.get(n) for n in openmp._OF_THE_USER if n in openmp.os.environ} == {name: "7"}


def test_idle_cores_are_read_from_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 0 100 0 0 0 0 0 0\n")
    monkeypatch.setattr(openmp, "_STAT", stat)
    monkeypatch.setattr(openmp.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(openmp.time, "sleep", lambda _: stat.write_text("cpu  110 0 0 130 0 0 0 0 0 0\n"))
    assert openmp.idle_cores() == pytest.approx(1.5)
    monkeypatch.setattr(openmp, "_STAT", tmp_path / "none")
    assert openmp.idle_cores() == 4.0
