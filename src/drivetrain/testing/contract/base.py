"""The engine under test: what a subclass of the contract says about it, and what the checks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from drivetrain.engine import Engine
from drivetrain.engine.verbs import verbs_of
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
        result: what ``train`` gave back.
        spy: what it told while it trained.
        tracker: what its trackers (``logger=``) were given.
    """

    engine: Engine
    result: TrainResult
    spy: Spy
    tracker: SpyTracker


class Subject:
    """What a subclass says about the engine and the model that are checked.

    Attributes:
        spec: of the engine.
        model_name: a small model of it, such as ``"mine:small"``.
        model_args: for its constructor.
        task: what it is trained for.
        epochs: of the shared training; at least 2, unless the model trains for one only.
        options: more arguments of ``train`` that keep it small.
        engine_arg: one of the ``engine_args`` with a value other than its default; ``None`` if there are none.
        observed: options of ``train`` with values other than the defaults, that :meth:`effective_options` must show.
        searched: an option of ``train``, ``model.NAME`` or ``engine_args.NAME`` with two values, for a search.
        module: what a new process must import so that the engine is known; ``""`` if an entry point announces it.
        same: how far two answers that should be the same may be apart.
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
        """A new object of the framework, untrained."""
        raise NotImplementedError("override make_model, or expect is_found_by_object to fail: Never(...)")

    def make_other_dataset(self, root: Path) -> Path:
        """A toy data set whose labels are others, in part, and in another order."""
        if self.task not in _OTHER_DATA:
            raise NotImplementedError("override make_other_dataset, or expect warm_start_across_labels to fail")
        return _OTHER_DATA[self.task](root)

    def effective_options(self, engine: Engine) -> Mapping[str, Any]:
        """What the framework really used in the last training, by the names of the options of ``train``.

        Ask the framework's own objects. An engine that writes ``effective_options`` into ``run.json`` may do without.
        """
        found: Mapping[str, Any] = read_record(engine.work_dir)["effective_options"]
        return found

    @classmethod
    def make_engine(cls, dataset: Path, work_dir: Path, model: Any = None) -> Engine:
        """A new engine with a model by its name, or with the given one."""
        if model is not None:
            return Engine(model, dataset, task=cls.task, work_dir=work_dir, engine=cls.spec.name)
        return Engine(cls.model_name, dataset, task=cls.task, work_dir=work_dir, model_args=cls.model_args or None)

    @classmethod
    def train(cls, engine: Engine, **changes: Any) -> TrainResult:
        """Train shortly and quietly."""
        if not isinstance(engine.progress, Spy):
            engine.progress = Spy(engine)
        return engine.train(**{"max_epochs": cls.epochs, **cls.options, **changes})

    @classmethod
    def needs(cls, *verbs: str) -> None:
        """Leave out a check of what the engine says it cannot do."""
        needs = verbs_of(Engine)
        lacking = [verb for verb in verbs if not set(needs[verb]) <= set(cls.spec.hooks)]
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
