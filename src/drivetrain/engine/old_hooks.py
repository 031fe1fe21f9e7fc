"""Support, for one release, for engines that define their hooks on the engine itself instead of on a ``Framework``.

Their hooks (``_build``, ``_infer``, ``_fit``, ...) and the attributes they read (``self._data``,
``self._label_names``, ...) keep working. New engines define a :class:`drivetrain.engine.Framework` and set it as
``framework_class``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from drivetrain.engine.data import require_path
from drivetrain.engine.framework import FitResult, Framework
from drivetrain.engine.state import EngineState
from drivetrain.types.options import ExportFormat, TrainOptions
from drivetrain.types.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.data import Dataset
    from drivetrain.export.source import ExportSource
    from drivetrain.images.stream import ImageStream
    from drivetrain.runs.record import RunRecord
    from drivetrain.runs.run import Run
    from drivetrain.types import Metrics, Prediction, Predictions


def old_framework(cls: type[EngineState]) -> type[Framework] | None:
    """The framework of an engine class that has the old hooks; ``None`` if it has none of them.

    Raises:
        TypeError: it lacks a required hook, or has some in addition to a framework that defines them.
    """
    if not issubclass(cls, OldNames):
        return None
    if cls._build is OldNames._build:
        ignored = [name for name in vars(cls) if name in _OLD_HOOKS]
        if ignored:
            raise TypeError(
                f"The engine {cls.__name__} has a framework_class, so its own {', '.join(ignored)} would never be "
                "called. Define them on the framework, without the underscore."
            )
        return None
    lacking = [
        name
        for name, own, ours in (("model", cls.model, OldNames.model), ("_infer", cls._infer, OldNames._infer))
        if own is ours
    ]
    if lacking:
        raise TypeError(f"The engine {cls.__name__} must define {', '.join(lacking)}.")
    own = sorted(name for name in _OLD_HOOKS if getattr(cls, name) is not getattr(OldNames, name))
    warnings.warn(
        f"The engine {cls.__name__} has hooks of its own ({', '.join(own)}), which will not work after release 0.2. "
        f"Move them to a Framework, without the underscore, and set it as framework_class of {cls.__name__}: "
        "see docs/how-to-add-an-engine.md.",
        DeprecationWarning,
        stacklevel=3,  # the class statement
    )
    return OldHooks


_OLD_HOOKS = frozenset(
    {
        *("_build", "_fit", "_infer", "_load_state", "_warm_start", "_export_source", "_test_native", "_find_task"),
        *("_find_label_names", "_is_native", "_check_options", "_default_confidence", "_artifact_name"),
        *("_upstream_metrics", "_engine_arg_names", "_accumulated", "_search_space", "_used_model_argument"),
    }
)


class OldHooks(Framework):
    """Calls the hooks of an engine that acts as its own framework."""

    engine: OldNames  # set by the constructor of the engine

    @property
    def default_space(self) -> Mapping[str, Any]:  # type: ignore[override]  # a class attribute elsewhere
        return self.engine.default_space

    @property
    def unsupported_options(self) -> Mapping[str, str]:  # type: ignore[override]  # a class attribute elsewhere
        return self.engine.unsupported_options

    @property
    def model(self) -> Any:
        return self.engine.model

    def find_task(self) -> Task:
        return self.engine._find_task()

    def find_label_names(self) -> tuple[str, ...]:
        return self.engine._find_label_names()

    def is_native(self, data: Any) -> bool:
        return self.engine._is_native(data)

    def native_paths(self, count: int) -> list[str]:
        return self.engine._verification_images()[:count]

    def build(self, options: TrainOptions | None = None) -> None:
        self.engine._build(options)

    def infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        return self.engine._infer(images, batch_size=batch_size, confidence=confidence)

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        return self.engine._fit(options, run, resume=resume)

    def load_state(self, checkpoint: Path) -> None:
        self.engine._load_state(checkpoint)

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        self.engine._warm_start(checkpoint, run)

    def export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        return self.engine._export_source(format)

    def test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        return self.engine._test_native(data, subset, batch_size)

    def check_options(self, options: TrainOptions) -> None:
        self.engine._check_options(options)

    def default_confidence(self) -> float:
        return self.engine._default_confidence()

    def artifact_name(self, format: ExportFormat, precision: str) -> str:  # noqa: A002
        return self.engine._artifact_name(format, precision)

    def upstream_metrics(self, dataset: Dataset, batch_size: int | None) -> Mapping[str, float]:
        return self.engine._upstream_metrics(dataset, batch_size)

    def engine_arg_names(self) -> Sequence[str]:
        return self.engine._engine_arg_names()

    def accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        return self.engine._accumulated(steps, batch_size, options)

    def search_space(self) -> Mapping[str, Any]:
        return self.engine._search_space()

    def used_model_argument(self, name: str) -> Any:
        return self.engine._used_model_argument(name)


class OldNames(EngineState):
    """The hooks under their old names, as a base class that engines override and call, and the attributes they read."""

    default_space: ClassVar[Mapping[str, Any]] = {}
    unsupported_options: ClassVar[Mapping[str, str]] = {}

    def _build(self, options: TrainOptions | None = None) -> None:
        self.framework.build(options)

    def _infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        return self.framework.infer(images, batch_size=batch_size, confidence=confidence)

    def _fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        return Framework.fit(self.framework, options, run, resume=resume)

    def _load_state(self, checkpoint: Path) -> None:
        Framework.load_state(self.framework, checkpoint)

    def _warm_start(self, checkpoint: Path, run: Run) -> None:
        Framework.warm_start(self.framework, checkpoint, run)

    def _export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        return Framework.export_source(self.framework, format)

    def _test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        return Framework.test_native(self.framework, data, subset, batch_size)

    def _find_task(self) -> Task:
        return Framework.find_task(self.framework)

    def _find_label_names(self) -> tuple[str, ...]:
        return Framework.find_label_names(self.framework)

    def _is_native(self, data: Any) -> bool:
        return Framework.is_native(self.framework, data)

    def _check_options(self, options: TrainOptions) -> None:
        Framework.check_options(self.framework, options)

    def _default_confidence(self) -> float:
        return Framework.default_confidence(self.framework)

    def _artifact_name(self, format: ExportFormat, precision: str) -> str:  # noqa: A002
        return Framework.artifact_name(self.framework, format, precision)

    def _upstream_metrics(self, dataset: Dataset, batch_size: int | None) -> Mapping[str, float]:
        return Framework.upstream_metrics(self.framework, dataset, batch_size)

    def _engine_arg_names(self) -> Sequence[str]:
        return Framework.engine_arg_names(self.framework)

    def _accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        return Framework.accumulated(self.framework, steps, batch_size, options)

    def _search_space(self) -> Mapping[str, Any]:
        return Framework.search_space(self.framework)

    def _used_model_argument(self, name: str) -> Any:
        return Framework.used_model_argument(self.framework, name)

    def _verification_images(self) -> list[str]:
        return Framework.native_paths(self.framework, 8)

    def _takes_model_args(self) -> bool:
        return self.setup.takes_model_args

    def _own_checkpoint(self) -> Path | None:
        return self.framework.own_checkpoint

    def _find_checkpoint(self, checkpoint: str | Path) -> Path:
        return self.weights.find(checkpoint, self.given_work_dir)

    def _select_state(self, checkpoint: str | Path | None) -> None:
        self.select(checkpoint)

    def _check_data(self, data: Any) -> Any:
        return require_path(data)

    def _decode(self, source: Any, *, strict: bool, keep: bool = False) -> ImageStream:
        from drivetrain.images.stream import ImageStream

        return ImageStream(source, strict=strict, keep=keep)

    def _collect(self, answers: Iterable[Prediction], images: ImageStream) -> Predictions:
        from drivetrain.types.prediction import Predictions

        return Predictions(list(answers), task=self.task, label_names=self.label_names, skipped=images.skipped)

    @property
    def _model_text(self) -> str:
        return self.setup.model_name

    @property
    def _given_model(self) -> Any:
        return self.setup.model

    @property
    def _data(self) -> Any:
        return self.data.source

    @property
    def _recorded(self) -> RunRecord:
        return self.weights.run

    @property
    def _task(self) -> Task | None:
        return self.framework.known_task

    @_task.setter
    def _task(self, task: Task | None) -> None:
        self.framework.known_task = task

    @property
    def _label_names(self) -> tuple[str, ...] | None:
        return self.framework.known_label_names

    @_label_names.setter
    def _label_names(self, names: tuple[str, ...] | None) -> None:
        self.framework.known_label_names = names

    @property
    def _state(self) -> Path | None:
        return self.weights.loaded

    @_state.setter
    def _state(self, checkpoint: Path | None) -> None:
        self.weights.loaded = checkpoint

    @property
    def _chosen(self) -> Path | None:
        return self.weights.chosen

    @_chosen.setter
    def _chosen(self, checkpoint: Path | None) -> None:
        self.weights.chosen = checkpoint
