"""Checks with a disk that fails during a verb: nothing is lost, no incomplete file stays, and the next call works."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from drivetrain.engine import Engine, perturbation
from drivetrain.errors import DrivetrainError
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import RunRecord, is_held
from drivetrain.testing.contract.base import Subject, Trained
from drivetrain.testing.disk import ERRORS, FailingDisk

_VERBS = ("train", "resume", "test", "predict", "export", "optimize", "explain")
_NEEDED = {"resume": "train", "optimize": "export"}

_ANY = 10.0
"""How much a metric may drop: the check is about files, and the model is hardly trained."""


class _Told(SilentProgress):
    """Remembers the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Remember the note."""
        self.notes.append(text)


class FailingDiskChecks(Subject):
    """Every write of every verb fails, with every error that a disk can have.

    Attributes:
        every_fault: whether every error occurs at every operation; otherwise the errors take turns at operations of
            different kinds, and only the last failure of each test is followed by another call, which keeps the
            checks of a large model short.
    """

    every_fault: ClassVar[bool] = False

    @pytest.fixture(scope="class")
    @classmethod
    def operations(cls) -> dict[str, list[tuple[str, str]]]:
        """What each verb writes, in order; filled by the first test of the verb."""
        return {}

    @pytest.mark.parametrize("code", ERRORS)
    @pytest.mark.parametrize("verb", _VERBS)
    def test_a_failing_disk(
        self,
        verb: str,
        code: str,
        trained: Trained,
        dataset: Path,
        operations: dict[str, list[tuple[str, str]]],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The error names folder and reason; the lock is free; the record is correct; the last good state works."""
        self.needs(_NEEDED.get(verb, verb))
        if verb == "optimize":
            pytest.importorskip("nncf", reason="the extra 'optimize' is not installed")
        monkeypatch.setattr(perturbation, "MASKS", 4)  # what is drawn is not looked at
        finished = trained.engine.work_dir
        if verb not in operations:
            dry = FailingDisk(self._copy(finished, tmp_path / "dry"))
            with dry.mounted():
                self._call(verb, self._engine(verb, dataset, tmp_path / "dry"))
            operations[verb] = dry.operations
        faults = list(self._faults(operations[verb], code))
        for at, lasting in faults:
            work = self._copy(finished, tmp_path / f"{at}-{lasting}")
            before = {path.name for path in (work / "checkpoints").iterdir()}
            engine = self._engine(verb, dataset, work)
            engine.progress = told = _Told()
            disk = FailingDisk(work, ERRORS[code], at, lasting=lasting)
            failed: DrivetrainError | None = None
            with disk.mounted():
                try:
                    self._call(verb, engine)
                except DrivetrainError as error:
                    failed = error
            place = f"{verb}, {code} at operation {at}, {operations[verb][at - 1]}" + ", and from there on" * lasting
            assert disk.fired, place
            noticed = failed is not None or any(os.strerror(ERRORS[code]) in note for note in told.notes)
            assert noticed or not lasting, f"{place}: no error was raised"
            self._check(work, failed, ERRORS[code], place)
            if verb != "train":
                assert before <= {path.name for path in (work / "checkpoints").iterdir()}, place
            if self.every_fault or (at, lasting) == faults[-1]:
                self._call(verb, self._engine(verb, dataset, work))
            shutil.rmtree(work, ignore_errors=True)  # a training that overwrites may fail before it makes the folder

    def _faults(self, operations: list[tuple[str, str]], code: str) -> Iterator[tuple[int, bool]]:
        """The operations at which the error occurs, each with whether it lasts."""
        if self.every_fault:
            for at, operation in enumerate(operations, 1):
                if at == len(operations) or operation != operations[at]:  # consecutive writes of one kind count once
                    yield from ((at, False), (at, True))
            return
        kinds: dict[tuple[str, str], int] = {}
        for at, (kind, name) in enumerate(operations, 1):
            kinds.setdefault((kind, re.sub(r"[.]\w{8}[.]partial|\d+", "", name)), at)
        turn = list(ERRORS).index(code)
        for place, at in enumerate(kinds.values()):
            if place % len(ERRORS) == turn:
                yield at, bool(place // len(ERRORS) % 2)

    def _copy(self, finished: Path, to: Path) -> Path:
        return shutil.copytree(finished, to, ignore=shutil.ignore_patterns("artifacts", "predictions", ".lock"))

    def _engine(self, verb: str, dataset: Path, work: Path) -> Engine:
        engine = self.make_engine(dataset, work) if verb in ("train", "resume") else Engine(work)
        engine.progress = SilentProgress()
        return engine

    def _call(self, verb: str, engine: Engine) -> None:
        options = {**self.options}
        if verb == "train":
            engine.train(1, **options, overwrite=True)
        elif verb == "resume":
            engine.train(self.epochs + 1, **options, logger="csv", resume=True)
        elif verb == "test":
            engine.test()
        elif verb == "predict":
            engine.predict(save_images=True)
        elif verb == "optimize":
            engine.optimize(precision="int8_weights", max_drop=_ANY, overwrite=True)
        elif verb == "explain":
            engine.explain(engine.dataset.subset("test").paths[:2], save_images=True)
        else:
            engine.export(overwrite=True)

    def _check(self, work: Path, failed: DrivetrainError | None, code: int, place: str) -> None:
        if failed is None:  # the writer retried, so everything is there
            assert RunRecord.at(work).content["status"] == "finished", place
        else:
            assert isinstance(failed, OSError), f"{place}: {failed!r}"
            assert str(work) in str(failed), f"{place}: {failed}"
            assert os.strerror(code) in str(failed), f"{place}: {failed}"
        partial = [path for path in work.rglob("*") if ".partial" in path.name]
        assert partial == [], place
        assert not is_held(work), place
        assert not RunRecord.at(work).state().startswith("running"), place
