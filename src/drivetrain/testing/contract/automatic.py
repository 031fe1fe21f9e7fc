"""Checks of the search for options and of the choice of a batch size, with the engine in worker processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.runs.record import read_record
from drivetrain.testing.contract.base import Subject


class AutomaticChecks(Subject):
    """``tune`` and ``adaptive_bs``."""

    def test_a_searched_option_reaches_the_trainer(self, dataset: Path, tmp_path: Path) -> None:
        """Each trial used its values according to the framework itself, and the config repeats the best ones."""
        self.needs("train")
        name, values = self.searched
        fixed = {key: value for key, value in self.options.items() if key != name}
        engine = self.make_engine(dataset, tmp_path / "search")
        result = engine.tune(1, space={name: list(values)}, trials=len(values), pruner="none", **fixed)
        failed = [f"trial {trial.number} {trial.state}: {trial.error}" for trial in result.trials if trial.error]
        assert not failed
        used = [trial.used[name] for trial in result.trials]
        assert sorted(used) == pytest.approx(sorted(values))
        assert result.best[name] in values
        assert f"{result.best[name]}" in result.config.read_text(encoding="utf-8")

    def test_a_search_of_an_unknown_option_is_refused(self, dataset: Path, tmp_path: Path) -> None:
        """Before anything is written, and with a suggestion of the closest name."""
        self.needs("train")
        engine = self.make_engine(dataset, tmp_path / "search")
        with pytest.raises(OptionError, match="Did you mean 'batch_size'"):
            engine.tune(1, space={"batch_siz": [2, 4]}, trials=2, **self.options)
        assert not (tmp_path / "search").exists()

    def test_adaptive_bs_is_honoured_or_refused(self, dataset: Path, tmp_path: Path) -> None:
        """The measured batch size is used, or a reason is given why it cannot be chosen."""
        self.needs("train")
        engine = self.make_engine(dataset, tmp_path / "work")
        try:
            result = self.train(engine, max_epochs=1, adaptive_bs="safe")
        except UnsupportedOptionError as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert refused.startswith("adaptive_bs='safe' cannot be honoured")
            assert not (tmp_path / "work").exists()
            return
        (note,) = [note for note in result.notes if note.startswith("adaptive_bs='safe'")]
        found = re.search(r"batch_size=(\d+) was chosen", note)
        assert found is not None, note
        assert " needs " in note
        assert read_record(tmp_path / "work")["effective_options"]["batch_size"] == int(found.group(1))
