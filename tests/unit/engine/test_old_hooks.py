"""Engines with hooks on themselves, the form before there was a Framework, work for one more release."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from drivetrain import load
from drivetrain.engine import Engine, FitResult
from drivetrain.errors import UnsupportedError, UnsupportedOptionError
from drivetrain.export.source import ExportSource
from drivetrain.models.registry import register_engine
from drivetrain.models.spec import EngineSpec
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.run import Run
from drivetrain.testing import data, toy
from drivetrain.types import ImageSpec, Prediction, Task
from drivetrain.types.options import ExportFormat, TrainOptions

KNOWN: dict[str, Any] = {
    "name": "counted",
    "class_path": f"{__name__}:CountedEngine",
    "install": "",
    "claims": (f"{__name__.partition('.')[0]}:Counted",),
    "tasks": (Task.CLASSIFICATION,),
    "checkpoint_suffixes": (".counted",),
}
SPEC = EngineSpec(**KNOWN, verbs=("train", "test", "predict"))


class Counted:
    """Predicts the label that occurred most often."""

    counts: ClassVar[dict[str, int]] = {}


def always(label: int, labels: int) -> Any:
    """A torch module that gives the same label for every image."""
    from torch import nn

    head = nn.Linear(3, labels)
    nn.init.zeros_(head.weight)
    head.bias.data[label] = 1000
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def counted_engine(its_spec: EngineSpec = SPEC) -> type[Engine]:  # noqa: C901  (a whole engine, defined inside to catch its warning)
    class CountedEngine(Engine):
        spec = its_spec
        unsupported_options: ClassVar = {"batch_size": "images are counted one by one; leave it out"}
        default_space: ClassVar = {"engine_args.weight": [1, 2]}
        _model: Counted | None = None

        @property
        def model(self) -> Counted:
            if self._model is None:
                self._build()
            assert self._model is not None
            return self._model

        def _build(self, options: TrainOptions | None = None) -> None:
            given: Any = self.resolution.model
            own = self._own_checkpoint()
            if own is not None and self._model is None:
                self._load_state(own)
            elif self._model is None:
                self._model = given
            if options is not None:
                assert self._data is not None
                assert self._model_text.endswith("Counted")

        def _fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
            before = self.model.counts if resume else {}
            rows = self.dataset.subset("train")
            weight = (options.engine_args or {}).get("weight", 1)
            self.model.counts = {
                name: before.get(name, 0) + weight * int((rows.image_labels == number).sum())
                for number, name in enumerate(self.label_names)
            }
            last = run.checkpoints / "last.counted"
            last.write_text(json.dumps(self.model.counts))
            for epoch in range(len(run.history), options.max_epochs or 1):
                run.log_epoch(epoch, {"train/seen": len(rows)})
            return FitResult(None, last)

        def _infer(
            self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
        ) -> Iterator[Prediction]:
            best = max(range(len(self.label_names)), key=lambda n: self.model.counts[self.label_names[n]])
            for path, image in images:
                answer = np.eye(len(self.label_names), dtype=np.float32)[best]
                size = (image.shape[0], image.shape[1])
                yield Prediction(
                    path, size, labels=np.array([best]), scores=np.ones(1, np.float32), probabilities=answer
                )

        def _load_state(self, checkpoint: Path) -> None:
            self._model = self._model or Counted()
            self._model.counts = json.loads(checkpoint.read_text())
            self._label_names, self._task = tuple(self._model.counts), Task.CLASSIFICATION

        def _engine_arg_names(self) -> Sequence[str]:
            return ("weight",)

        def _export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
            counts = list(self.model.counts.values())
            return ExportSource(
                module=always(counts.index(max(counts)), len(counts)),
                image_spec=ImageSpec(8, 8),
                task=Task.CLASSIFICATION,
                label_names=self.label_names,
                decoder="classification",
                output_names=("logits",),
                dynamic_batch=True,
            )

    return CountedEngine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("data") / "toys")


@pytest.fixture
def engine_class(only_engines: Any) -> type[Engine]:
    only_engines(SPEC)
    with pytest.warns(DeprecationWarning, match="CountedEngine has hooks of its own"):
        cls = counted_engine()
    return register_engine(SPEC, override=True)(cls)


def test_one_warning_names_the_hooks_and_the_page_where_the_class_is_written() -> None:
    with pytest.warns(DeprecationWarning, match="framework_class of CountedEngine") as caught:
        counted_engine()
    (warning,) = caught
    assert (
        "CountedEngine has hooks of its own (_build, _engine_arg_names, _export_source, _fit, _infer, _load_state)"
        in (str(warning.message))
    )
    assert "see docs/how-to-add-an-engine.md" in str(warning.message)
    line = Path(__file__).read_text(encoding="utf-8").splitlines()[warning.lineno - 1]
    assert (warning.filename, line.strip()) == (__file__, "class CountedEngine(Engine):")


def test_its_verbs_work_and_what_they_need_is_said(engine_class: type[Engine], folder: Path, tmp_path: Path) -> None:
    engine: Any = engine_class(Counted(), folder, work_dir=tmp_path / "run")
    engine.progress = SilentProgress()
    with pytest.raises(UnsupportedOptionError, match="batch_size=4 cannot be honoured: images are counted one by one"):
        engine.train(batch_size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = engine.train(2, engine_args={"weight": 3})
    assert [row.epoch for row in result.history] == [0, 1]
    assert engine.test().count == len(engine.dataset.subset("test"))
    assert len(engine.predict()) == engine.test().count
    with pytest.raises(UnsupportedError, match="CountedEngine cannot export; it can train, tune, test, predict"):
        engine.export()


def test_its_checkpoints_open_and_its_runs_go_on(engine_class: type[Engine], folder: Path, tmp_path: Path) -> None:
    engine: Any = engine_class(Counted(), folder, work_dir=tmp_path / "run")
    engine.progress = SilentProgress()
    engine.train(1)
    seen = dict(engine.model.counts)
    again: Any = engine_class(Counted(), folder, work_dir=tmp_path / "run")
    again.progress = SilentProgress()
    again.train(2, resume=True)
    opened: Any = Engine(tmp_path / "run", engine="counted")
    assert opened.label_names == tuple(seen)
    assert len(opened.predict(folder)) > 0


def test_its_export_is_verified(only_engines: Any, folder: Path, tmp_path: Path) -> None:
    spec = EngineSpec(**{**KNOWN, "verbs": ("train", "test", "predict", "export")})
    only_engines(spec)
    with pytest.warns(DeprecationWarning, match="CountedEngine has hooks of its own"):
        cls: Any = register_engine(spec, override=True)(counted_engine(spec))
    engine = cls(Counted(), folder, work_dir=tmp_path / "run")
    engine.progress = SilentProgress()
    engine.train(1)
    artifact = engine.export("openvino")
    assert artifact.path == tmp_path / "run" / "artifacts" / "openvino-fp32"
    answers = load(artifact.path).predict(folder)
    assert [item.labels.tolist() for item in answers] == [item.labels.tolist() for item in engine.predict(folder)]


def test_a_former_hook_beside_a_framework_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Mixed has a framework_class, so its own _fit would never be called"):

        class Mixed(toy.ToyEngine):
            spec = replace(toy.SPEC, name="mixed")

            def _fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
                raise AssertionError
