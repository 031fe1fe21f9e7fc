"""Checks of Ctrl-C and of resuming."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drivetrain.engine import Engine
from drivetrain.errors import CheckpointError, OptionError, TrainingInterrupted, WorkDirError
from drivetrain.runs.record import RunRecord, read_history, read_record
from drivetrain.testing.contract.base import Subject, Trained
from drivetrain.testing.contract.forms import assert_same_predictions
from drivetrain.testing.contract.spy import Spy

#: Runs the command in a process that sends itself a signal after its first epoch, or after another method of its run.
_COMMAND = """
import os, signal, sys
how, module, *words = sys.argv[1:]
how, _, when = how.partition(" ")
if module:
    __import__(module)
from drivetrain.cli.main import main
from drivetrain.runs.run import Run
signal.signal(signal.SIGINT, signal.default_int_handler)
after = when or "log_epoch"
done = getattr(Run, after)
def done_and_die(self, *arguments, **more):
    record = done(self, *arguments, **more)
    if how:
        os.kill(os.getpid(), int(how))
    return record
setattr(Run, after, done_and_die)
sys.exit(main(words))
"""
_ENDS = {signal.SIGKILL: (-9, "killed"), signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "interrupted")}


class InterruptChecks(Subject):
    """Training that is interrupted and resumed."""

    @pytest.fixture(scope="class")
    @classmethod
    def unbroken(cls, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The work dir of an uninterrupted training by the command."""
        work = tmp_path_factory.mktemp("unbroken") / "work"
        cls._command(*cls._begin(dataset, work), code=0)
        return work

    @pytest.mark.parametrize("how", _ENDS, ids=lambda how: how.name)
    def test_resume_alone_is_enough(self, how: signal.Signals, unbroken: Path, dataset: Path, tmp_path: Path) -> None:
        """However a run died, ``train --work_dir RUN --resume`` completes it, and the run can then be repeated."""
        self.needs("train")
        work = tmp_path / "work"
        code, state = _ENDS[how]
        self._command(*self._begin(dataset, work), how=how, code=code)
        assert RunRecord.at(work).state() == f"{state} after epoch 1 of {self.epochs}"
        config = (work / "config.yaml").read_text(encoding="utf-8")
        self._command("train", "--work_dir", work, "--resume", code=0)
        assert (work / "config.yaml").read_text(encoding="utf-8") == config
        ours, whole = (json.loads((run / "run.json").read_text(encoding="utf-8")) for run in (work, unbroken))
        for name in ("status", "model", "label_names", "effective_options"):
            assert ours.get(name) == whole.get(name), name
        assert [row.epoch for row in read_history(work / "metrics.csv")] == list(range(self.epochs))
        assert not [note for note in ours["notes"] if "have changed" in note]
        if "a_resumed_run_equals_an_uninterrupted_one" not in self.expected_failures:
            assert_same_predictions(Engine(work).predict(), Engine(unbroken).predict(), self.same)
            if how == signal.SIGKILL:
                self._command("repeat", work, "--work_dir", tmp_path / "again", code=0)

    def test_a_run_killed_before_its_first_state_starts_over(
        self, unbroken: Path, dataset: Path, tmp_path: Path
    ) -> None:
        """The same command is enough for a run that has nothing to resume from, also when it is killed twice."""
        self.needs("train")
        work = tmp_path / "work"
        self._command(*self._begin(dataset, work), how=signal.SIGKILL, when="begin", code=-9)
        assert RunRecord.at(work).state() == "killed in epoch 1"
        assert RunRecord.at(work).has_no_checkpoint
        config = (work / "config.yaml").read_text(encoding="utf-8")
        self._command("train", "--work_dir", work, "--resume", how=signal.SIGKILL, when="begin", code=-9)
        self._command("train", "--work_dir", work, "--resume", code=0)
        assert (work / "config.yaml").read_text(encoding="utf-8") == config
        ours, whole = (json.loads((run / "run.json").read_text(encoding="utf-8")) for run in (work, unbroken))
        for name in ("status", "model", "label_names", "effective_options", "metrics"):
            assert ours.get(name) == whole.get(name), name
        assert len(ours["parts"]) == 3
        assert "The run saved no checkpoint, so it starts over." in ours["notes"]
        assert_same_predictions(Engine(work).predict(), Engine(unbroken).predict(), self.same)

    @classmethod
    def _begin(cls, dataset: Path, work: Path) -> list[object]:
        words: list[object] = ["train", "--model", cls.model_name, "--data", dataset, "--task", cls.task.value]
        options = {"work_dir": work, "max_epochs": cls.epochs, **cls.options}
        options.update({f"model.{name}": value for name, value in cls.model_args.items()})
        for name, value in options.items():
            words += [f"--{name}", value if isinstance(value, str | Path) else json.dumps(value)]
        return words

    @classmethod
    def _command(cls, *words: object, code: int, how: int | None = None, when: str = "") -> None:
        signalled = f"{int(how)} {when}".strip() if how else ""
        line = [sys.executable, "-c", _COMMAND, signalled, cls.module, *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == code, done.stderr

    def test_a_resumed_run_equals_an_uninterrupted_one(self, trained: Trained, dataset: Path, tmp_path: Path) -> None:
        """Ctrl-C after the first epoch saves the state; a new engine continues to the same end, and beyond."""
        engine = self.make_engine(dataset, tmp_path / "work")
        engine.progress = Spy(engine, interrupt_after=1)
        with pytest.raises(TrainingInterrupted, match="resume=True"):
            self.train(engine)
        assert read_record(tmp_path / "work")["status"] == "interrupted"
        assert list((tmp_path / "work" / "checkpoints").glob("last.*"))

        again = self.make_engine(dataset, tmp_path / "work")
        result = self.train(again, resume=True)
        assert [row.epoch for row in result.history] == list(range(self.epochs))
        assert [part["status"] for part in read_record(tmp_path / "work")["parts"]] == ["interrupted", "finished"]
        assert_same_predictions(again.predict(), trained.engine.predict(), self.same)

    def test_a_finished_run_can_be_extended(self, dataset: Path, tmp_path: Path) -> None:
        """``resume=True`` with a larger ``max_epochs``."""
        self.needs("train")
        self.train(self.make_engine(dataset, tmp_path / "work"), max_epochs=1)
        result = self.train(self.make_engine(dataset, tmp_path / "work"), max_epochs=2, resume=True)
        assert [row.epoch for row in result.history] == [0, 1]
        assert [row.epoch for row in read_history(tmp_path / "work" / "metrics.csv")] == [0, 1]

    def test_there_must_be_something_to_resume(self, dataset: Path, tmp_path: Path) -> None:
        """The run must be of the same engine and model, and no checkpoint may be given."""
        self.needs("train")
        with pytest.raises(WorkDirError, match="holds no run to resume"):
            self.train(self.make_engine(dataset, tmp_path / "work"), resume=True)
        with pytest.raises(OptionError, match="Leave out one of them"):
            self.train(self.make_engine(dataset, tmp_path / "work"), resume=True, checkpoint="last")
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "run.json").write_text('{"engine": "another", "model": {"name": "other"}}')
        with pytest.raises(CheckpointError, match="holds a run of engine 'another'"):
            self.train(self.make_engine(dataset, tmp_path / "other"), resume=True)
