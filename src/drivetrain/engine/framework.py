"""What an engine's author writes: one framework behind the verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from drivetrain.engine.data import SHOWN, EngineData, spread
from drivetrain.errors import OptionError, UnsupportedError
from drivetrain.launch.setup import Setup
from drivetrain.models.catalog import ModelEntry
from drivetrain.models.licence import UNKNOWN
from drivetrain.models.spec import EngineSpec, claimed_by
from drivetrain.runs.record import RunRecord, own_checkpoint
from drivetrain.types.options import ExportFormat, ExportPrecision, TrainOptions
from drivetrain.types.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.data import Dataset
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run
    from drivetrain.types import Metrics, Prediction, Sample

_DEFAULT_CONFIDENCE = 0.25

#: What every framework must define.
NEEDED = ("model", "build", "infer")
#: What a framework may leave out; a verb that needs it is then refused.
OPTIONAL = ("fit", "load_state", "warm_start", "export_source", "test_native")


@dataclass(frozen=True, slots=True)
class FitResult:
    """What ``Framework.fit`` hands back to ``train``.

    Attributes:
        best_checkpoint: the best state by the monitored metric; ``None`` if there was nothing to choose by.
        last_checkpoint: the state at the end.
        best_epoch: 0-based epoch of the best state.
        overrides: options the upstream replaced: name -> (asked, used).
        notes: what the user should know.
    """

    best_checkpoint: Path | None
    last_checkpoint: Path | None
    best_epoch: int | None = None
    overrides: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Framework(ABC):
    """One framework behind the verbs: ``model``, ``build`` and ``infer`` are needed, of the rest what it can do.

    Args:
        model: what the dispatch resolved: an object of the framework, a class, a ``ModelEntry``, or a path.
        setup: the arguments that the engine was made with.
        data: the data of the engine, read when they are first needed.

    Attributes:
        given: the resolved model.
        record: the run that the model was given as; an empty record otherwise.
        sensitivity: how readily images and pixels are to be called anomalous while a verb runs (0..1); ``None`` for the
            model's own. Only set where :meth:`used_sensitivity` gives a number.
    """

    spec: ClassVar[EngineSpec]
    #: What ``tune`` searches where the user says nothing, in the form of its ``space``.
    default_space: ClassVar[Mapping[str, Any]] = {}
    #: Options of ``train`` that cannot be honoured: name -> why, and what to do instead.
    unsupported_options: ClassVar[Mapping[str, str]] = {}
    #: Which of the options that few frameworks honour this one does: "class_weights", "sampler".
    balancing_options: ClassVar[Sequence[str]] = ()

    def __init__(self, model: Any, setup: Setup, data: EngineData) -> None:
        self.given = model
        self.setup = setup
        self.data = data
        self.record = RunRecord.of(model)
        self.known_task: Task | None = Task.parse(setup.task) if setup.task is not None else None
        self.known_label_names: tuple[str, ...] | None = None
        self.sensitivity: float | None = None

    # --- what the model is for ---------------------------------------------------------------------------------------

    @property
    def task(self) -> Task:
        """What the model is for; setting it replaces what was found.

        Raises:
            OptionError: neither the model nor the data say it.
        """
        if self.known_task is None:
            self.known_task = self.find_task()
        return self.known_task

    @task.setter
    def task(self, task: Task) -> None:
        self.known_task = task

    @property
    def label_names(self) -> tuple[str, ...]:
        """The name of each label, by its number; setting it replaces what was found."""
        if self.known_label_names is None:
            self.known_label_names = self.find_label_names()
        return self.known_label_names

    @label_names.setter
    def label_names(self, names: Sequence[str]) -> None:
        self.known_label_names = tuple(names)

    def find_task(self) -> Task:
        """The task that the recorded run had, else that of the data."""
        if self.record.content.get("task"):
            return Task.parse(self.record.content["task"])
        if self.data.source is None or self.has_native_data:
            raise OptionError(
                f"The task is not known. Give task=... to Engine; one of: {', '.join(task.value for task in Task)}."
            )
        if not self.dataset.is_annotated:
            raise OptionError(
                "The task is not known: the data have no annotations that would say it. Give task=... to Engine; one "
                f"of: {', '.join(task.value for task in Task)}."
            )
        return self.dataset.task

    def find_label_names(self) -> tuple[str, ...]:
        """The labels that the recorded run had, else those of the data."""
        if self.record.content.get("label_names"):
            return tuple(self.record.content["label_names"])
        return self.dataset.label_names

    @property
    def own_checkpoint(self) -> Path | None:
        """The checkpoint that the model was given as: the file itself, or the best or last one of its work dir."""
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
        """The task that the annotations are read for; ``None`` lets them say it themselves."""
        return self.known_task

    @property
    def has_native_data(self) -> bool:
        """Whether the data are the framework's own and pass through untouched."""
        return self.data.source is not None and self.is_native(self.data.source)

    def is_native(self, data: Any) -> bool:
        """Whether data are the framework's own."""
        return claimed_by(type(data), self.spec.data_claims) is not None

    def native_samples(self, data: Any, subset: str) -> Sequence[Sample] | None:
        """The samples of a subset of the framework's own data; ``None`` where only the framework can read them."""
        del data, subset
        return None

    def native_paths(self, count: int) -> list[str]:
        """At most so many images of the framework's own data, to compare an artefact on; empty if it tells none."""
        for subset in SHOWN:
            samples = self.native_samples(self.data.source, subset)
            if samples:
                return spread([sample.path for sample in samples], count)
        return []

    # --- the hooks that are needed -----------------------------------------------------------------------------------

    @property
    @abstractmethod
    def model(self) -> Any:
        """The framework's own model object, built at the first use."""

    @abstractmethod
    def build(self, options: TrainOptions | None = None) -> None:
        """Make the framework's model ready for the task and labels; called before anything uses it.

        Args:
            options: of the training that follows; ``None`` where none does.
        """

    @abstractmethod
    def infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        """Answer about ``(path, (H, W, 3) uint8 RGB)`` images, one prediction each, in their order."""

    # --- the hooks that a framework may leave out --------------------------------------------------------------------

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        """Train with the framework's own trainer; write ``checkpoints/{best,last}.*`` and call ``run.log_epoch``.

        With ``resume`` go on from the last state in ``run.checkpoints``. On KeyboardInterrupt save the last state and
        let it through.
        """
        raise self.lacks("fit")

    def load_state(self, checkpoint: Path) -> None:
        """Give the model the weights of a checkpoint of this engine, with its labels, task and image size."""
        raise self.lacks("load_state")

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        """Take over from a checkpoint what fits, by class name where the label set differs; note what did not."""
        raise self.lacks("warm_start")

    def export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        """What the export needs of the model."""
        raise self.lacks("export_source")

    def test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        """What the framework itself says of a subset of its own data."""
        raise UnsupportedError(
            f"{type(self).__name__} cannot test on a {type(data).__name__}. Give a data set that can be read."
        )

    def lacks(self, hook: str) -> UnsupportedError:
        """The error of a hook that this framework does not define."""
        return UnsupportedError(f"The engine {self.spec.name!r} cannot do this: it has no {hook!r}.")

    # --- facts with a default ----------------------------------------------------------------------------------------

    def check_options(self, options: TrainOptions) -> None:
        """Refuse options of ``train`` that this framework cannot honour, before anything is built.

        Raises:
            OptionError: naming the first of them and what to do instead.
        """

    def default_confidence(self) -> float:
        """Objects with a lower score are left out of predictions unless the user says otherwise."""
        return _DEFAULT_CONFIDENCE

    def used_sensitivity(self) -> float | None:
        """The sensitivity of the answers: what was given to the verb, else the model's own; ``None`` has no such."""
        return None

    def artifact_name(self, format: ExportFormat, precision: ExportPrecision) -> str:  # noqa: A002
        """The folder of an artefact that the user does not name: as the spec says."""
        return self.spec.artifact_name(format, precision)

    def licences(self) -> dict[str, str]:
        """Of the ``code`` and the published ``weights`` of the model, as its upstream states them, else "unknown"."""
        given: Any = self.given
        if isinstance(given, ModelEntry):
            return given.licences
        return dict(self.record.content.get("licences") or {"code": self.spec.licence, "weights": UNKNOWN})

    def upstream_metrics(self, dataset: Dataset, batch_size: int | None) -> Mapping[str, float]:
        """What the framework's own evaluation says of the same images, its names under ``upstream/``."""
        del dataset, batch_size
        return {}

    def engine_arg_names(self) -> Sequence[str]:
        """The names that ``engine_args`` may have: the upstream trainer's own."""
        return ()

    def accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        """The ``engine_args`` that join the gradients of several steps; empty where the framework cannot.

        Args:
            steps: how many to join.
            batch_size: of all of them together.
            options: of the training so far.
        """
        del steps, batch_size, options
        return {}

    def search_space(self) -> Mapping[str, Any]:
        """What ``tune`` searches where the user says nothing."""
        return self.default_space

    def used_model_argument(self, name: str) -> Any:
        """What the framework's model really has for an argument of its constructor.

        Raises:
            KeyError: it does not tell.
        """
        known = getattr(self.model, "hparams", {})
        value = known[name] if name in known else getattr(self.model, name, self)
        if value is not None and not isinstance(value, bool | int | float | str | tuple | list):
            raise KeyError(name)
        return value
