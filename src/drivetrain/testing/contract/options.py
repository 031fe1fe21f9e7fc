"""Checks that options are honoured or refused, never ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivetrain.engine.train_options import check_options
from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.runs.record import read_record
from drivetrain.testing.contract.base import Subject
from drivetrain.types.options import SPECIAL_OPTIONS, TrainOptions

_SAMPLES: dict[str, Any] = {
    "max_epochs": 3,
    "batch_size": 3,
    "learning_rate": 0.01,
    "image_size": 48,
    "seed": 3,
    "deterministic": True,
    "precision": "fp16",
    "patience": 2,
    "val_check_interval": 0.5,
    "check_val_every_n_epoch": 1,  # at most max_epochs, which may be 1
    "num_workers": 1,
    "devices": 2,
    "nodes": 2,
    "callbacks": [object()],
    "logger": object(),
    "metric": "val/something",
    "class_weights": "balanced",
    "sampler": "balanced",
    "tile": 320,
    "ema": 0.9,
    "freeze_backbone": True,
    "backbone_learning_rate": 0.001,
    "mosaic": 0.5,
    "scale_jitter": 1.5,
    "checkpoint": "last",
    "resume": True,
    "overwrite": True,
    "run_hpo": True,
    "adaptive_bs": "safe",
}


class OptionChecks(Subject):
    """The arguments of ``train``."""

    def test_options_reach_the_framework(self, dataset: Path, tmp_path: Path) -> None:
        """The framework's own objects report the requested values, or the result says what was used instead."""
        self.needs("train")
        engine = self.make_engine(dataset, tmp_path / "work")
        asked: dict[str, Any] = {"max_epochs": 1, **self.observed}
        if self.engine_arg is not None:
            name, value = self.engine_arg
            result = self.train(engine, **asked, engine_args={**self.options.get("engine_args", {}), name: value})
            asked[name] = value
        else:
            result = self.train(engine, **asked)
        found = self.effective_options(engine)
        wanted = {**asked, **{name: used for name, (_, used) in result.overrides.items()}}
        assert {name: found.get(name) for name in wanted} == pytest.approx(wanted)

    def test_an_unknown_engine_arg_is_refused(self, dataset: Path, tmp_path: Path) -> None:
        """A misspelled option of the upstream is not ignored."""
        self.needs("train")
        engine = self.make_engine(dataset, tmp_path / "work")
        name = "no_such_option" if self.engine_arg is None else f"{self.engine_arg[0]}x"
        with pytest.raises(OptionError) as caught:
            self.train(engine, engine_args={name: 1})
        assert repr(name) in str(caught.value)
        if self.engine_arg is not None:
            assert f"Did you mean '{self.engine_arg[0]}'" in str(caught.value)
        assert not (tmp_path / "work").exists()

    def test_what_cannot_be_honoured_is_refused(self, dataset: Path, tmp_path: Path) -> None:
        """By name, with a reason, before anything is written."""
        self.needs("train")
        unsupported = {*self.make_engine(dataset, tmp_path / "work").framework.unsupported_options}
        assert unsupported <= set(_SAMPLES), "options of train"
        for name in sorted(unsupported):
            with pytest.raises(UnsupportedOptionError, match=f"^{name}="):
                self.train(self.make_engine(dataset, tmp_path / "work"), **{name: _SAMPLES[name]})
        with pytest.raises(OptionError, match="max_epochs=0"):
            self.train(self.make_engine(dataset, tmp_path / "work"), max_epochs=0)
        assert not (tmp_path / "work").exists()

    @pytest.mark.parametrize("option", ["class_weights", "sampler"])
    def test_rare_classes_are_weighed_or_refused(self, option: str, dataset: Path, tmp_path: Path) -> None:
        """The framework's own objects have the weights, or a reason is given before anything is written."""
        self.needs("train")
        engine = self.make_engine(dataset, tmp_path / "work")
        names = engine.dataset.label_names
        value: Any = {names[0]: 3.0} if option == "class_weights" else "balanced"
        refused = ""
        try:
            self.train(engine, max_epochs=1, **{option: value})
        except UnsupportedOptionError as error:
            refused = str(error)
        if refused:
            assert refused.startswith(f"{option}=")
            assert not (tmp_path / "work").exists()
            return
        used = read_record(engine.work_dir)["effective_options"][option]
        assert used == ({**dict.fromkeys(names, 1.0), **value} if option == "class_weights" else value)

    def test_special_options_are_honoured_or_refused(self, dataset: Path, tmp_path: Path) -> None:
        """Those that few engines have: refused by name before anything is written, or read back after a training."""
        self.needs("train")
        engine = self.make_engine(dataset, tmp_path / "work")
        asked: dict[str, Any] = {}
        refused: dict[str, str] = {}
        for name in SPECIAL_OPTIONS:
            try:
                check_options(engine, TrainOptions(**{**self.options, name: _SAMPLES[name]}))
                asked[name] = _SAMPLES[name]
            except UnsupportedOptionError as error:
                refused[name] = str(error)
        assert all(text.startswith(f"{name}=") for name, text in refused.items())
        assert not (tmp_path / "work").exists()
        if "backbone_learning_rate" in asked:
            asked.pop("freeze_backbone", None)
        if not asked:
            return
        self.train(engine, max_epochs=1, **asked)
        used = read_record(tmp_path / "work")["effective_options"]
        found = {name: used[name][0] if name == "tile" else used[name] for name in asked}
        assert found == pytest.approx(asked)
