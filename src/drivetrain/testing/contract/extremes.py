"""Checks of extreme option values: each is honoured, or refused with a clear error instead of the framework's own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from drivetrain.engine import Engine
from drivetrain.errors import DrivetrainError
from drivetrain.runs.record import read_record
from drivetrain.testing.contract.base import Subject, Trained
from drivetrain.testing.contract.spy import Spy
from drivetrain.types.results import EpochRecord

_HUGE = 10**7


@dataclass(frozen=True, slots=True)
class Ends:
    """Extreme values of an option.

    Attributes:
        right: values that the option allows; a model may have a reason to refuse one.
        wrong: values that no model accepts.
    """

    right: tuple[Any, ...] = ()
    wrong: tuple[Any, ...] = ()


_SWITCH = Ends(right=(True, False), wrong=("no", 1, 2.5))
_COUNT = Ends(right=(1, _HUGE), wrong=(0, -1, 1.5, "many", True))
_SHARE = Ends(right=(0, 1, 0.5), wrong=(-0.1, 1.1, math.nan, math.inf, "half", True))
_CHECKPOINT = Ends(wrong=("", "no such", 3, ["best"]))

_TILE = Ends((None, "auto"), (0, -32, "large", 1.5, (32,), (32, 2.0), True))

#: Verb -> option -> values.
EXTREMES: Mapping[str, Mapping[str, Ends]] = {
    "train": {
        "max_epochs": _COUNT,
        "batch_size": _COUNT,
        "learning_rate": Ends((1e-30, 1.0, 1e30), (0, -0.1, math.nan, math.inf, "fast", True)),
        "image_size": Ends(
            (1, 7, 33, 64, (32, 64)),
            (10 * _HUGE, 0, -32, 1.5, (0, 32), (32,), (32, 32, 32), "large", True, ()),
        ),
        "seed": Ends((0, 2**32 - 1), (2**32, -1, 1.5, "one", True)),
        "deterministic": _SWITCH,
        "precision": Ends(("auto", "fp32", "fp16", "bf16"), ("fp64", 16, "")),
        "patience": _COUNT,
        "val_check_interval": Ends((0.5, 1.0, 1, 0.001, _HUGE), (0, 0.0, -1, -0.5, 1.5, math.nan, "often", True)),
        "check_val_every_n_epoch": Ends((1, _HUGE), _COUNT.wrong),
        "num_workers": Ends((0, 1), (_HUGE, -1, 1.5, "many", True)),
        "devices": Ends((1, 2, _HUGE, -1, [0], [0, 1], [_HUGE]), (0, -2, 1.5, "all", [], [-1], True)),
        "nodes": Ends((1, 2), (0, -1, 1.5, "two", True)),
        "callbacks": Ends(([],), (3, [3], "x", {"x": 3})),
        "logger": Ends(("csv", []), ("no such", 3, [3])),
        "metric": Ends(wrong=("no such", "", 3, ["val/loss"])),
        "checkpoint": _CHECKPOINT,
        "class_weights": Ends(("balanced",), ("unfair", 3, {"no such": 1.0}, {"x": -1}, {"x": math.nan})),
        "sampler": Ends(("balanced",), ("unfair", 3, "")),
        "tile": _TILE,
        "ema": Ends((0.5, 0.9999), (0, 1, 1.5, math.nan, "slow", True)),
        "freeze_backbone": Ends((False,), ("no", 1, 2.5)),
        "backbone_learning_rate": Ends((1e-30, 1.0), (0, -0.1, math.nan, "fast", True)),
        "mosaic": _SHARE,
        "scale_jitter": Ends((1.5, 4), (1, 0.5, 100, math.nan, "much", True)),
        "resume": Ends((False,), (True, *_SWITCH.wrong)),
        "overwrite": _SWITCH,
        "run_hpo": Ends((False,), _SWITCH.wrong),
        "hpo_config": Ends(wrong=(3, {"no such": 1}, {"trials": 0}, {"space": 3})),
        "adaptive_bs": Ends(("none",), ("always", True, 3)),
        "engine_args": Ends(({},), (3, {"no such": 1}, ["x"])),
    },
    "test": {
        "data": Ends(wrong=("", "no such", 3)),
        "subset": Ends(("val",), ("", "no such", 3, ["val"])),
        "checkpoint": _CHECKPOINT,
        "batch_size": _COUNT,
        "sensitivity": _SHARE,
        "tile": _TILE,
    },
    "predict": {
        "source": Ends(wrong=("", "no such", 3, [])),
        "checkpoint": _CHECKPOINT,
        "batch_size": _COUNT,
        "confidence": _SHARE,
        "sensitivity": _SHARE,
        "strict": _SWITCH,
        "tile": _TILE,
        "save_images": _SWITCH,
        "output": Ends(("answers.json",), ("", 3)),
        "output_format": Ends(("json",), ("", "no such", 3, ["json"])),
        "save_media": Ends((False,), (True, *_SWITCH.wrong)),
    },
    "export": {
        "format": Ends(("openvino",), ("", "no such", 3, ["onnx"])),
        "precision": Ends(("fp32", "fp16"), ("", "fp8", 3, ["fp32"])),
        "checkpoint": _CHECKPOINT,
        "name": Ends(("extreme",), ("", "a/b", "..", 3, ["a"])),
        "images": Ends(wrong=([], "no such", ["no such"], 3)),
        "sensitivity": _SHARE,
        "overwrite": Ends((True,), _SWITCH.wrong),
    },
    "optimize": {  # what is right is done by the check of the verb itself: it takes its time
        "precision": Ends(wrong=("", "int4", 8, ["int8"])),
        "method": Ends(wrong=("", "qat", 3)),
        "max_drop": Ends(wrong=(-0.01, math.nan, math.inf, "none", True)),
        "metric": Ends(wrong=("", "no such", 3)),
        "subset": Ends(wrong=("", "no such", 3)),
        "samples": Ends(wrong=(0, -1, 1, 1.5, "many", True)),
        "checkpoint": _CHECKPOINT,
        "name": Ends(wrong=("", "a/b", "..", 3, ["a"])),
        "overwrite": Ends(wrong=_SWITCH.wrong),
    },
    "benchmark": {
        "hint": Ends(wrong=("", "fast", 3)),
        "batch_size": Ends(wrong=_COUNT.wrong),
        "streams": Ends(wrong=(1, *_COUNT.wrong)),
        "seconds": Ends(wrong=(0, -1, math.nan, math.inf, "long", True)),
    },
}
#: Other options that an option requires.
_BESIDE: Mapping[str, Mapping[str, Any]] = {"hpo_config": {"run_hpo": True}, "output_format": {"output": "answers"}}
#: The words that say what to give instead.
_ALLOWED = re.compile(
    r"must|should be|[Aa]llowed|at least|at most|cannot be honou?red|\b(Give|give|Leave|leave|Choose|choose|Use|use|"
    r"only|needs?|takes?|has|requires?|accepts?|supports?|valid)\b|(Logged|Measured|Known|Events|labels): "
)


class Enough(Exception):
    """Raised after the second epoch, as the rest would be the same."""


class ShortSpy(Spy):
    """Stops a training after two epochs, however many were requested."""

    def epoch_end(self, record: EpochRecord) -> None:
        """Record the epoch; stop if it is time."""
        super().epoch_end(record)
        if record.epoch > 0:
            raise Enough


class ExtremeChecks(Subject):
    """Every option of the verbs at its extremes."""

    @pytest.mark.parametrize("option", EXTREMES["train"])
    def test_extremes_of_train(self, option: str, dataset: Path, tmp_path: Path) -> None:
        """Values that are not refused reach the framework, or the result says what was used instead."""
        self.needs("train")

        def call(value: Any) -> None:
            with TemporaryDirectory(dir=tmp_path) as folder:
                engine = self.make_engine(dataset, Path(folder) / "work")
                engine.progress = ShortSpy(engine)
                self._take(engine, {"max_epochs": 1, **_BESIDE.get(option, {}), option: value})

        _walk(call, "train", option)

    def _take(self, engine: Engine, asked: Mapping[str, Any]) -> None:
        """Train for an epoch or two, and compare the requested values with those used."""
        overrides: Mapping[str, Any] = {}
        try:
            overrides = self.train(engine, **asked).overrides
        except Enough:
            overrides = asked  # the training was stopped before its result
        used = read_record(engine.work_dir).get("effective_options") or {}
        for name, value in asked.items():
            if name in used and name not in overrides and name not in ("precision", "devices", "image_size"):
                assert used[name] == pytest.approx(value), f"{name} is {used[name]!r}"

    @pytest.mark.parametrize("option", EXTREMES["test"])
    def test_extremes_of_test(self, option: str, trained: Trained) -> None:
        """For the model."""
        _walk(lambda value: trained.engine.test(**{option: value}), "test", option)

    @pytest.mark.parametrize("option", EXTREMES["predict"])
    def test_extremes_of_predict(
        self, option: str, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For the model."""
        monkeypatch.chdir(tmp_path)
        _walk(_predict(trained.engine, option), "predict", option)

    @pytest.mark.parametrize("option", EXTREMES["export"])
    def test_extremes_of_export(self, option: str, trained: Trained) -> None:
        """For the model."""
        self.needs("export")
        _walk(lambda value: trained.engine.export(**{"overwrite": True, option: value}), "export", option)

    @pytest.mark.parametrize("option", EXTREMES["optimize"])
    def test_extremes_of_optimize(self, option: str, trained: Trained) -> None:
        """Of the model; nothing is exported before a slip is found."""
        self.needs("export")
        pytest.importorskip("nncf", reason="the extra 'optimize' is not installed")
        _walk(lambda value: trained.engine.optimize(**{"name": "light", option: value}), "optimize", option)
        assert not (trained.engine.work_dir / "artifacts" / "light").exists()

    @pytest.mark.parametrize("option", EXTREMES["benchmark"])
    def test_extremes_of_benchmark(self, option: str, trained: Trained) -> None:
        """Of the model, which has no streams."""
        _walk(lambda value: trained.engine.benchmark(**{option: value}), "benchmark", option)

    @pytest.mark.parametrize(
        ("verb", "option"), [(verb, option) for verb in ("test", "predict") for option in EXTREMES[verb]]
    )
    def test_extremes_of_an_artefact(
        self,
        verb: str,
        option: str,
        trained: Trained,
        dataset: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The exported model answers without the framework, and refuses with the same messages."""
        self.needs("export")
        monkeypatch.chdir(tmp_path)
        artefact = trained.engine.export(name="extremes", overwrite=True)
        engine = Engine(artefact.path, dataset, task=self.task, work_dir=tmp_path / "work")
        calls = {"test": lambda value: engine.test(**{option: value}), "predict": _predict(engine, option)}
        _walk(calls[verb], verb, option)


def _predict(engine: Engine, option: str) -> Callable[[Any], Any]:
    return lambda value: engine.predict(**{**_BESIDE.get(option, {}), option: value})


def _walk(call: Callable[[Any], Any], verb: str, option: str) -> None:
    """Try each value of an option, and report all failures together."""
    ends = EXTREMES[verb][option]
    faults = [
        fault_of(call, option, value, may_pass=number < len(ends.right))
        for number, value in enumerate((*ends.right, *ends.wrong))
    ]
    found = [fault for fault in faults if fault is not None]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def fault_of(call: Callable[[Any], Any], option: str, value: Any, *, may_pass: bool) -> str | None:
    """What is wrong with the response to a value of an option, if anything.

    Args:
        call: gives the value to the verb.
        option: name of the option.
        value: what is given.
        may_pass: whether the value is one that the option allows, which an engine may still refuse in words.
    """
    said = f"{option}={value!r}"
    try:
        call(value)
    except DrivetrainError as error:
        lacking = ", ".join(_lacking(str(error), option, value))
        return f"{said}: the error does not name {lacking}: {error}" if lacking else None
    except Exception as error:
        return f"{said}: {type(error).__name__}: {str(error).strip()[:300]}"
    return None if may_pass else f"{said} was accepted"


def _lacking(text: str, option: str, value: Any) -> list[str]:
    """What an error about the value of an option must say and does not."""
    named = re.search(rf"\b{option}\b", text)
    beside = any(re.search(rf"\b{option}\b( of \w+)?(=|: | ){re.escape(way)}(?!\w)", text) for way in _spellings(value))
    within = isinstance(value, Mapping) and any(repr(name) in text for name in value)
    return [
        *([] if named else ["the option"]),
        *([] if beside or within else ["the value beside it"]),
        *([] if _ALLOWED.search(text) else ["what is allowed"]),
    ]


def _spellings(value: Any) -> set[str]:
    """How a message may write a value: as a whole, or what is wrong within it."""
    parts: set[str] = {repr(value), str(value)}
    if isinstance(value, Mapping):
        return parts | {f"{name}={part!r}" for name, part in value.items()}
    if isinstance(value, list | tuple):
        return parts.union(*map(_spellings, value))
    return parts
