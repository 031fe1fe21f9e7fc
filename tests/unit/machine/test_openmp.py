"""OpenMP in processes that compute: limited spinning, one thread per free core, and the user's settings first."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from drivetrain.machine import openmp


class FakeTorch(types.ModuleType):
    def __init__(self, threads: int) -> None:
        super().__init__("torch")
        self.threads = threads

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, threads: int) -> None:
        self.threads = threads


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in openmp._OF_THE_USER:
        monkeypatch.setenv(name, "")  # recorded, so that monkeypatch restores it
        monkeypatch.delenv(name)
    monkeypatch.setattr(openmp, "_SET_HERE", {})
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    machine(monkeypatch)


def machine(monkeypatch: pytest.MonkeyPatch, *, visible: int = 4, allowed: int = 4, idle: float = 4.0) -> None:
    monkeypatch.setattr(openmp, "visible_cores", lambda: visible)
    monkeypatch.setattr(openmp, "physical_cores", lambda: visible)
    monkeypatch.setattr(openmp, "core_count", lambda: allowed)
    monkeypatch.setattr(openmp, "idle_cores", lambda: idle)


def test_a_quiet_machine_keeps_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, idle=3.9)
    assert openmp.set_openmp() == ""
    assert openmp.os.environ["GOMP_SPINCOUNT"] == "2000"
    assert "OMP_NUM_THREADS" not in openmp.os.environ


@pytest.mark.parametrize(("idle", "expected"), [(2.6, "3"), (1.2, "1"), (0.0, "1")])
def test_beside_others_it_takes_the_free_cores_and_says_so(
    idle: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, idle=idle)
    assert f"the 4 cores busy, so PyTorch computes with {expected} thread" in openmp.set_openmp()
    assert openmp.os.environ["OMP_NUM_THREADS"] == expected


def test_the_limit_of_a_container_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, visible=64, allowed=2, idle=60.0)
    assert openmp.set_openmp().startswith("This process may use the time of 2 of 64 cores, so PyTorch computes with 2")
    assert openmp.os.environ["OMP_NUM_THREADS"] == "2"


def test_a_run_to_be_repeated_does_not_depend_on_what_else_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, idle=1.0)
    assert openmp.set_openmp(repeatable=True) == ""


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_has_set_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, idle=0.0)
    monkeypatch.setenv(name, "7")
    openmp.bound_spinning()
    assert openmp.set_openmp() == ""
    assert openmp.child_environment(processes=2) == {}
    assert {n: openmp.os.environ.get(n) for n in openmp._OF_THE_USER if n in openmp.os.environ} == {name: "7"}


def test_loaded_pytorch_computes_on_the_free_cores_and_has_its_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, idle=1.3)
    monkeypatch.setitem(sys.modules, "torch", torch := FakeTorch(4))
    notes: list[str] = []
    with openmp.free_threads(notes.append):
        assert torch.threads == 1
    assert torch.threads == 4
    assert notes == [
        "Other programs keep some of the 4 cores busy, so PyTorch computes with 1 thread; OMP_NUM_THREADS=... "
        "overrides this."
    ]


def test_threads_come_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, idle=1.3)
    monkeypatch.setitem(sys.modules, "torch", torch := FakeTorch(4))
    with pytest.raises(KeyboardInterrupt), openmp.free_threads(lambda _: None):
        raise KeyboardInterrupt
    assert torch.threads == 4


@pytest.mark.parametrize(("threads", "variable"), [(3, None), (4, "3"), (4, None)])
def test_loaded_pytorch_keeps_what_the_user_has_set(
    threads: int, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number of threads that is not PyTorch's default, an environment variable, a repeatable training."""
    machine(monkeypatch, idle=1.0)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setitem(sys.modules, "torch", torch := FakeTorch(threads))
    with openmp.free_threads(pytest.fail, repeatable=threads == 4 and not variable):
        assert torch.threads == threads


def test_processes_share_the_free_cores_of_a_command_that_has_chosen_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, idle=2.0)
    assert openmp.set_openmp() != ""
    assert openmp.child_environment(processes=2) == {"GOMP_SPINCOUNT": "2000", "OMP_NUM_THREADS": "1"}
    machine(monkeypatch)
    assert openmp.child_environment() == {"GOMP_SPINCOUNT": "2000"}


def test_idle_cores_are_those_that_this_process_may_run_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    stat = tmp_path / "stat"
    text = (
        "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 100 0 0 100 0 0 0 0 0 0\ncpu1 0 0 0 {} 0 0 0 0 0 0\ncpu2 {} 0 0 7 0 0 0 0 0 0\n"
    )
    stat.write_text(text.format(0, 0))
    monkeypatch.setattr(openmp, "_STAT", stat)
    monkeypatch.setattr(openmp, "visible_cores", lambda: 2)
    monkeypatch.setattr(openmp.os, "sched_getaffinity", lambda _: {1, 2}, raising=False)
    monkeypatch.setattr(openmp.time, "sleep", lambda _: stat.write_text(text.format(30, 10)))
    assert openmp.idle_cores() == pytest.approx(1.5)
    monkeypatch.setattr(openmp, "_STAT", tmp_path / "none")
    assert openmp.idle_cores() == 2.0
