"""The interface that the author of an engine implements: one framework behind the verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from drivetrain.engine.data import SHOWN, EngineData, spread
from drivetrain.engine.one_device import OneDevice
from drivetrain.errors import OptionError, UnsupportedError
from drivetrain.launch.setup import Setup
from drivetrain.machine.device import device_in_use
from drivetrain.models.catalog import ModelEntry
from drivetrain.models.licence import UNKNOWN
from drivetrain.models.spec import EngineSpec, claimed_by
from drivetrain.runs.record import RunRecord, own_checkpoint
from drivetrain.types.options import ExportFormat, TrainOptions
from drivetrain.types.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.data import Dataset
    from drivetrain.export.source import ExportSource
    from drivetrain.images.auto_tiling import TileChoice
    from drivetrain.runs.run import Run
    from drivetrain.runtime.artifact import Artifact
    from drivetrain.types import Metrics, Prediction, Sample
    from drivetrain.types.explanation import CellScores

    CellReader = Callable[[Iterable[tuple[str, NDArray[np.uint8]]]], Iterator[CellScores]]

_DEFAULT_CONFIDENCE = 0.25

#: What every framework must define.
NEEDED = ("model", "build", "infer")
#: Hooks that a framework may omit; verbs that need them are then refused.
OPTIONAL = ("fit", "load_state", "warm_start", "export_source", "test_native", "artifact", "cells", "features")


@dataclass(frozen=True, slots=True)
class FitResult:
    """The result of ``Framework.fit``.

    Attributes:
        best_checkpoint: the best state by the monitored metric; ``None`` if there was no metric to select by.
        last_checkpoint: the state at the end.
        best_epoch: 0-based epoch of the best state.
        overrides: options that the upstream replaced: name -> (requested, used).
        notes: remarks for the user.
    """

    best_checkpoint: Path | None
    last_checkpoint: Path | None
    best_epoch: int | None = None
    overrides: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Framework(OneDevice, ABC):
    """One framework behind the verbs; ``model``, ``build`` and ``infer`` are required, other hooks are optional.

    Args:
        model: the resolved model: an object of the framework, a class, a ``ModelEntry``, or a path.
        setup: the arguments of the engine.
        data: the data of the engine, read when first needed.

    Attributes:
        given: the resolved model.
        record: the record of the run given as the model; an empty record otherwise.
        sensitivity: how readily images and pixels count as anomalous while a verb runs (0..1); ``None`` for the
            model's own. Only set if :meth:`used_sensitivity` returns a number.
    """

    spec: ClassVar[EngineSpec]
    #: The default search space of ``tune``, in the form of its ``space``.
    default_space: ClassVar[Mapping[str, Any]] = {}
    #: Options of ``train`` that cannot be honoured: name -> why, and what to do instead.
    unsupported_options: ClassVar[Mapping[str, str]] = {}
    #: Options honoured by only a few frameworks that this one honours: "class_weights", "sampler".
    balancing_options: ClassVar[Sequence[str]] = ()
    #: The :data:`~drivetrain.types.options.SPECIAL_OPTIONS` that this framework honours.
    special_options: ClassVar[Sequence[str]] = ()
    #: Options that a resumed training takes from its saved state, so that another value cannot be honoured.
    kept_on_resume: ClassVar[Sequence[str]] = ()

    def __init__(self, model: Any, setup: Setup, data: EngineData) -> None:
        self.given = model
        self.setup = setup
        self.data = data
        self.record = RunRecord.of(model)
        self.known_task: Task | None = Task.parse(setup.task) if setup.task is not None else None
        self.known_label_names: tuple[str, ...] | None = None
        self.sensitivity: float | None = None

    # --- the task ----------------------------------------------------------------------------------------------------

    @property
    def task(self) -> Task:
        """The task of the model; setting it overrides what was determined.

        Raises:
            OptionError: neither the model nor the data determine it.
        """
        if self.known_task is None:
            self.known_task = self.find_task()
        return self.known_task

    @task.setter
    def task(self, task: Task) -> None:
        self.known_task = task

    @property
    def label_names(self) -> tuple[str, ...]:
        """The name of each label, by its number; setting it overrides what was determined."""
        if self.known_label_names is None:
            self.known_label_names = self.find_label_names()
        return self.known_label_names

    @label_names.setter
    def label_names(self, names: Sequence[str]) -> None:
        self.known_label_names = tuple(names)

    def find_task(self) -> Task:
        """The task of the recorded run, else that of the data."""
        if self.record.content.get("task"):
            return Task.parse(self.record.content["task"])
        if self.data.source is None or self.has_native_data:
            raise OptionError(
                f"The task is unknown. Give task=... to Engine; one of: {', '.join(task.value for task in Task)}."
            )
        if not self.dataset.is_annotated:
            raise OptionError(
                "The task is unknown: the data have no annotations to infer it from. Give task=... to Engine; one "
                f"of: {', '.join(task.value for task in Task)}."
            )
        return self.dataset.task

    def find_label_names(self) -> tuple[str, ...]:
        """The labels of the recorded run, else those of the data."""
        if self.record.content.get("label_names"):
            return tuple(self.record.content["label_names"])
        return self.dataset.label_names

    @property
    def own_checkpoint(self) -> Path | None:
        """The checkpoint given as the model: the file itself, or the best or last one of its work dir."""
        return own_checkpoint(self.given, self.spec.suffixes)

    # --- the data ----------------------------------------------------------------------------------------------------

    @property
    def dataset(self) -> Dataset:
        """The data as a drivetrain data set, with train, val and test subsets.

        Raises:
            DataError: there are none, or they are the framework's own, which cannot be read from outside.
        """
        return self.data.read(self.task_to_read_for(), native=self.has_native_data)

    def task_to_read_for(self) -> Task | None:
        """The task to read the annotations for; ``None`` to infer it from them."""
        return self.known_task

    @property
    def has_native_data(self) -> bool:
        """Whether the data are the framework's own and are passed through unchanged."""
        return self.data.source is not None and self.is_native(self.data.source)

    def is_native(self, data: Any) -> bool:
        """Whether data are the framework's own."""
        return claimed_by(type(data), self.spec.data_claims) is not None

    def native_samples(self, data: Any, subset: str) -> Sequence[Sample] | None:
        """The samples of a subset of the framework's own data; ``None`` if only the framework can read them."""
        del data, subset
        return None

    def native_paths(self, count: int) -> list[str]:
        """Up to ``count`` images of the framework's own data, to compare an artefact on; empty if not accessible."""
        for subset in SHOWN:
            samples = self.native_samples(self.data.source, subset)
            if samples:
                return spread([sample.path for sample in samples], count)
        return []

    # --- required hooks ----------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def model(self) -> Any:
        """The framework's own model object, built on first use."""

    @abstractmethod
    def build(self, options: TrainOptions | None = None) -> None:
        """Prepare the framework's model for the task and labels; called before anything uses it.

        Args:
            options: the options of the training that follows; ``None`` if none follows.
        """

    @abstractmethod
    def infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        """Answer about ``(path, (H, W, 3) uint8 RGB)`` images, with one prediction each, in order."""

    # --- optional hooks ----------------------------------------------------------------------------------------------

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        """Train with the framework's own trainer; write ``checkpoints/{best,last}.*`` and call ``run.log_epoch``.

        With ``resume``, continue from the last state in ``run.checkpoints``. On KeyboardInterrupt, save the last state
        and re-raise.
        """
        raise self.lacks("fit")

    def load_state(self, checkpoint: Path) -> None:
        """Load the weights of a checkpoint of this engine into the model, with its labels, task and image size."""
        raise self.lacks("load_state")

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        """Initialise from what fits in a checkpoint, by class name if the label set differs; note what did not fit."""
        raise self.lacks("warm_start")

    def export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        """The description of the model that the export needs."""
        raise self.lacks("export_source")

    def test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        """The framework's own metrics on a subset of its own data."""
        raise UnsupportedError(
            f"{type(self).__name__} cannot test on a {type(data).__name__}. Give a data set that can be read."
        )

    @property
    def artifact(self) -> Artifact | None:
        """The artefact that the model is; ``None`` if the model is still in its framework."""
        return None

    def cells(self) -> CellReader:
        """What asks a classifier about images and each cell of its last feature map, one answer for each image.

        Raises:
            UnsupportedOptionError: the model has no layer for it; nothing was read then.
        """
        raise self.lacks("cells")

    def features(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None
    ) -> Iterator[NDArray[np.float32]]:
        """What the model makes of each image before it decides: ``(D,)`` for each ``(path, (H, W, 3) uint8 RGB)``.

        Raises:
            UnsupportedError: the model does not say it; nothing was read then.
        """
        raise self.lacks("features")

    def lacks(self, hook: str) -> UnsupportedError:
        """The error for a hook that this framework does not define."""
        return UnsupportedError(f"The engine {self.spec.name!r} cannot do this: it has no {hook!r}.")

    # --- facts with a default ----------------------------------------------------------------------------------------

    def runtime_options(self) -> dict[str, Any]:
        """The ``device`` on which the model computes; for an artefact how it was loaded, as arguments of ``load``."""
        return {"device": device_in_use(self.setup.device)}

    def check_options(self, options: TrainOptions) -> None:
        """Refuse options of ``train`` that this framework cannot honour, before anything is built.

        Raises:
            OptionError: the message names the first of them, and what to do instead.
        """

    def input_side(self) -> int | None:
        """The longer side of the model input, in pixels; ``None`` if unknown."""
        spec = getattr(self.model, "image_spec", None)
        size = spec.size if spec is not None else (self.record.content.get("effective_options") or {}).get("image_size")
        return max(size) if isinstance(size, list | tuple) else size

    def usual_tile(self) -> TileChoice | None:
        """The tiles that suit the model, if the model itself specifies them, as an artefact does."""
        return None

    def default_confidence(self) -> float:
        """The score below which objects are dropped from predictions, unless the user sets another."""
        return _DEFAULT_CONFIDENCE

    def used_sensitivity(self) -> float | None:
        """The sensitivity of the answers: that given to the verb, else the model's own; ``None`` if it has none."""
        return None

    def artifact_name(self, format: ExportFormat, precision: str) -> str:  # noqa: A002
        """The default folder name of an artefact, as in the spec."""
        return self.spec.artifact_name(format, precision)

    def licences(self) -> dict[str, str]:
        """Licences of the model's ``code`` and published ``weights`` as its upstream states them, else "unknown"."""
        given: Any = self.given
        if isinstance(given, ModelEntry):
            return given.licences
        return dict(self.record.content.get("licences") or {"code": self.spec.licence, "weights": UNKNOWN})

    def upstream_metrics(self, dataset: Dataset, batch_size: int | None) -> Mapping[str, float]:
        """The framework's own metrics on the same images, named ``upstream/...``."""
        del dataset, batch_size
        return {}

    def about_upstream(self, metrics: Mapping[str, float]) -> str:
        """A sentence on how the framework's own numbers among the metrics of a test differ from ours; usually none."""
        del metrics
        return ""

    def engine_arg_names(self) -> Sequence[str]:
        """The names allowed in ``engine_args``: those of the upstream trainer."""
        return ()

    def accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        """The ``engine_args`` that accumulate gradients over several steps; empty if the framework cannot.

        Args:
            steps: the number of steps to accumulate.
            batch_size: the total batch size of all steps.
            options: the current options of the training.
        """
        del steps, batch_size, options
        return {}

    def search_space(self) -> Mapping[str, Any]:
        """The default search space of ``tune``."""
        return self.default_space

    def used_model_argument(self, name: str) -> Any:
        """The value that the framework's model actually has for an argument of its constructor.

        Raises:
            KeyError: the framework does not report it.
        """
        known = getattr(self.model, "hparams", {})
        value = known[name] if name in known else getattr(self.model, name, self)
        if value is not None and not isinstance(value, bool | int | float | str | tuple | list):
            raise KeyError(name)
        return value
