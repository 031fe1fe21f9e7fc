"""The engine under test: what a subclass of the contract declares, and what the checks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from drivetrain.engine import Engine
from drivetrain.engine.verbs import has_hooks, verbs_of
from drivetrain.models.spec import EngineSpec
from drivetrain.runs.record import read_record
from drivetrain.runs.tracking import TRACKERS
from drivetrain.testing import data
from drivetrain.testing.contract.spy import Spy, SpyTracker
from drivetrain.testing.expectations import Expectation
from drivetrain.types import Task, TrainResult

_TOY_DATA: dict[Task, Callable[[Path], Path]] = {
    Task.CLASSIFICATION: data.class_folders,
    Task.DETECTION: data.coco,
    Task.INSTANCE_SEGMENTATION: data.coco,
    Task.SEMANTIC_SEGMENTATION: data.class_maps,
    Task.KEYPOINT_DETECTION: lambda root: data.coco(root, keypoints=("left", "right", "top")),
    Task.ORIENTED_DETECTION: data.oriented,
    Task.ANOMALY: data.mvtec,
}
_OTHER_DATA: dict[Task, Callable[[Path], Path]] = {
    Task.CLASSIFICATION: lambda root: data.class_folders(root, classes=("red", "violet", "blue"), seed=1),
}


@dataclass(frozen=True, slots=True)
class Trained:
    """An engine after a short training, shared by the checks of a class.

    Attributes:
        engine: the engine.
        result: the return value of ``train``.
        spy: the progress that it reported to during training.
        tracker: what its trackers (``logger=``) received.
    """

    engine: Engine
    result: TrainResult
    spy: Spy
    tracker: SpyTracker


class Subject:
    """What a subclass declares about the engine and the model under test.

    Attributes:
        spec: the spec of the engine.
        model_name: a small model of the engine, such as ``"mine:small"``.
        model_args: arguments of its constructor.
        task: the task it is trained for.
        epochs: epochs of the shared training; at least 2, unless the model trains for only one.
        options: further arguments of ``train`` that keep it small.
        engine_arg: one of the ``engine_args`` with a non-default value; ``None`` if there are none.
        observed: options of ``train`` with non-default values that :meth:`effective_options` must report.
        searched: an option of ``train``, ``model.NAME`` or ``engine_args.NAME`` with two values, for a search.
        module: the module that a new process must import to register the engine; ``""`` if an entry point does so.
        same: the tolerance for answers that should be equal.
        expected_failures: name of a check without ``test_`` -> why it fails.
    """

    spec: ClassVar[EngineSpec]
    model_name: ClassVar[str]
    model_args: ClassVar[Mapping[str, Any]] = {}
    task: ClassVar[Task] = Task.CLASSIFICATION
    epochs: ClassVar[int] = 2
    options: ClassVar[Mapping[str, Any]] = {}
    engine_arg: ClassVar[tuple[str, Any] | None] = None
    observed: ClassVar[Mapping[str, Any]] = {"batch_size": 5, "learning_rate": 0.003}
    searched: ClassVar[tuple[str, Sequence[Any]]] = ("batch_size", (2, 4))
    module: ClassVar[str] = ""
    same: ClassVar[float] = 1e-5
    expected_failures: ClassVar[Mapping[str, Expectation]] = {}

    def make_model(self) -> Any:
        """A new, untrained object of the framework."""
        raise NotImplementedError("override make_model, or expect is_found_by_object to fail: Never(...)")

    def make_other_dataset(self, root: Path) -> Path:
        """A toy data set with partly different labels in a different order."""
        if self.task not in _OTHER_DATA:
            raise NotImplementedError("override make_other_dataset, or expect warm_start_across_labels to fail")
        return _OTHER_DATA[self.task](root)

    def effective_options(self, engine: Engine) -> Mapping[str, Any]:
        """The options that the framework actually used in the last training, under the names of ``train``.

        Query the framework's own objects. Not needed if the engine writes ``effective_options`` into ``run.json``.
        """
        found: Mapping[str, Any] = read_record(engine.work_dir)["effective_options"]
        return found

    @classmethod
    def make_engine(cls, dataset: Path, work_dir: Path, model: Any = None) -> Engine:
        """A new engine for a model by name, or for the given one."""
        if model is not None:
            return Engine(model, dataset, task=cls.task, work_dir=work_dir, engine=cls.spec.name)
        return Engine(cls.model_name, dataset, task=cls.task, work_dir=work_dir, model_args=cls.model_args or None)

    @classmethod
    def train(cls, engine: Engine, **changes: Any) -> TrainResult:
        """Train briefly and silently."""
        if not isinstance(engine.progress, Spy):
            engine.progress = Spy(engine)
        return engine.train(**{"max_epochs": cls.epochs, **cls.options, **changes})

    @classmethod
    def needs(cls, *verbs: str) -> None:
        """Skip a check of verbs that the engine declares it does not have."""
        needs = verbs_of(Engine)
        lacking = [verb for verb in verbs if not has_hooks(needs[verb], cls.spec)]
        if lacking:
            pytest.skip(f"the engine {cls.spec.name!r} does not {' or '.join(lacking)} (SPEC.hooks)")

    @pytest.fixture(scope="class")
    @classmethod
    def dataset(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A toy data set for the task."""
        return _TOY_DATA[cls.task](tmp_path_factory.mktemp("data") / "toys")

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
        """An engine after a short training."""
        cls.needs("train")
        engine = cls.make_engine(dataset, tmp_path_factory.mktemp("run") / "work")
        engine.progress = spy = Spy(engine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(TRACKERS, "spy", (f"{SpyTracker.__module__}:SpyTracker", "drivetrain", ""))
            result = cls.train(engine, logger=["csv", "spy"])
        return Trained(engine, result, spy, SpyTracker.last)

    @pytest.fixture(autouse=True)
    def _expectation(self, request: pytest.FixtureRequest) -> None:
        """Mark the check as a strict expected failure if the table says so."""
        name = request.node.name.removeprefix("test_")
        expected = self.expected_failures.get(name)
        if expected is not None:
            reason = f"{type(expected).__name__}: {expected.reason}"
            request.applymarker(pytest.mark.xfail(reason=reason, raises=expected.raises, strict=True))
