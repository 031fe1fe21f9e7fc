"""The progress displays of a training."""

from __future__ import annotations

import inspect
import io
import sys

import pytest

from drivetrain.runs import progress
from drivetrain.runs.progress import LineProgress, Progress, RichProgress, SilentProgress, default_progress
from drivetrain.types.results import EpochRecord


@pytest.mark.parametrize("kind", [SilentProgress, LineProgress, RichProgress])
def test_every_progress_has_the_methods_of_the_protocol(kind: type) -> None:
    for name, method in inspect.getmembers(Progress, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(getattr(kind, name)) == inspect.signature(method), name


def test_lines_tell_epoch_metrics_speed_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    lines = LineProgress(stream)
    lines.start(epochs=3, steps_per_epoch=2, first_epoch=1)
    for step in range(2):
        now[0] += 1.0
        lines.step(epoch=1, step=step, images=8, loss=0.5)
    lines.epoch_end(EpochRecord(1, {"train/loss": 0.123456, "val/accuracy": 1.0}))
    lines.note("Something.")
    lines.stop()
    assert stream.getvalue() == "epoch 2/3: train/loss 0.1235, val/accuracy 1, 8 img/s, 2 s left\nSomething.\n"


def test_the_metric_that_chooses_comes_first_with_the_losses_and_nothing_else() -> None:
    stream = io.StringIO()
    lines = LineProgress(stream)
    values = {"val/f1": 0.5, "learning_rate": 0.1, "train/loss": 0.2, "val/loss": 0.3, "upstream/x": 1.0}
    lines.epoch_end(EpochRecord(0, values, is_best=True))
    lines.epoch_end(EpochRecord(1, {"a": 1.0, "learning_rate": 0.1, "b": 2.0, "c": 3.0, "d": 4.0}))
    first, second = stream.getvalue().splitlines()
    assert first.endswith(": val/f1 0.5 (best so far), val/loss 0.3, train/loss 0.2")
    assert second.endswith(": a 1, b 2, c 3")


def test_lines_leave_out_what_is_not_known() -> None:
    stream = io.StringIO()
    lines = LineProgress(stream)
    lines.start(epochs=1, steps_per_epoch=None)
    lines.epoch_end(EpochRecord(0, {"loss": 2.0}))
    assert stream.getvalue() == "epoch 1/1: loss 2\n"


def test_the_bar_opens_moves_and_closes(capsys: pytest.CaptureFixture[str]) -> None:
    bar = RichProgress()
    bar.step(epoch=0, step=0, images=1)
    bar.start(epochs=2, steps_per_epoch=4)
    bar.step(epoch=0, step=3, images=8, loss=0.25)
    bar.epoch_end(EpochRecord(0, {"val/accuracy": 0.5}))
    bar.note("[not markup]")
    bar.stop()
    bar.stop()
    shown = capsys.readouterr().err
    assert "epoch 1/2: val/accuracy 0.5" in shown
    assert "[not markup]" in shown


def test_bars_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert isinstance(default_progress(), LineProgress)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(default_progress(), RichProgress)
