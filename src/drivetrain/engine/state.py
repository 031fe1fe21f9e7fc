"""The state that verbs work on: the setup, the data, the weights and the framework of one engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from drivetrain.engine.data import EngineData
from drivetrain.engine.framework import Framework
from drivetrain.engine.recipe import Recipe
from drivetrain.engine.verbs import require_hooks
from drivetrain.engine.weights import Weights
from drivetrain.launch.setup import Setup
from drivetrain.machine.openmp import bound_spinning
from drivetrain.models.catalog import ModelEntry
from drivetrain.models.spec import EngineSpec, Resolution
from drivetrain.runs.progress import Progress
from drivetrain.types.options import Tile, Track
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.images.stream import ImageStream
    from drivetrain.recommend import Plan
    from drivetrain.types import Predictions
    from drivetrain.types.truth import Truth


class EngineState:
    """One model with its data, as seen by the verbs; :class:`drivetrain.Engine` derives from it."""

    #: The description of the engine.
    spec: ClassVar[EngineSpec]
    #: The class that implements the framework.
    framework_class: ClassVar[type[Framework]] = Framework  # type: ignore[type-abstract]  # each names its own

    #: The engine that was chosen for the model, and why.
    resolution: Resolution
    #: The choices made from the data, and why, if no model was given.
    plan: Plan | None = None
    #: The recipe given as the model, if one was.
    recipe: Recipe | None = None
    #: A config that repeats the run on the command line; ``train`` saves it as ``config.yaml`` before it starts.
    config: Mapping[str, Any] | None = None
    #: The arguments that create the same engine again.
    setup: Setup
    #: The data as given, and the data set read from them.
    data: EngineData
    #: The weights that the model has.
    weights: Weights
    #: The framework's side.
    framework: Framework
    #: Displays steps and notes.
    progress: Progress
    #: The given work dir, or that of the run given as the model.
    given_work_dir: Path | None = None

    @property
    def model(self) -> Any:
        """The framework's own model object, built on first use."""
        return self.framework.model

    @property
    def task(self) -> Task:
        """The task of the model.

        Raises:
            OptionError: neither the model nor the data determine it.
        """
        return self.framework.task

    @property
    def label_names(self) -> tuple[str, ...]:
        """The name of each label, by its number; those of the model, else those of the data."""
        return self.framework.label_names

    @property
    def device(self) -> str:
        """The device to compute on."""
        return self.setup.device

    @property
    def model_args(self) -> dict[str, Any]:
        """The arguments of the model's constructor."""
        return dict(self.setup.model_args)

    @property
    def work_dir(self) -> Path:
        """The folder for everything the run writes."""
        if self.given_work_dir is None:
            from drivetrain.runs.run import default_work_dir

            self.given_work_dir = default_work_dir(self.setup.model_name, self.data.name)
        return self.given_work_dir

    @property
    def has_native_data(self) -> bool:
        """Whether the data are the framework's own and are passed through unchanged."""
        return self.framework.has_native_data

    @property
    def dataset(self) -> Dataset:
        """The data as a drivetrain data set, with train, val and test subsets.

        Raises:
            DataError: no data were given, or they are the framework's own, which cannot be read from outside.
        """
        return self.framework.dataset

    def require(self, verb: str, hooks: Sequence[str]) -> None:
        """Refuse a verb whose hooks the framework lacks; otherwise prepare for loading the framework.

        Raises:
            UnsupportedError: the message lists the verbs that the engine has.
        """
        require_hooks(type(self), verb, hooks, self.spec, f" The model is {self.setup.model_name}.")
        bound_spinning()

    def select(self, checkpoint: str | Path | None) -> None:
        """Load the state that a verb requests: "best", "last", a path, or by default that of the run.

        Raises:
            CheckpointError: the checkpoint does not exist, or does not fit the model.
        """
        self.weights.select(checkpoint, self.framework, self.given_work_dir)

    def warn_if_unfinished(self) -> None:
        """Warn that the run that was given as the model did not finish."""
        run = self.weights.run
        if run.directory is not None and run.content.get("status") != "finished":
            self.progress.note(run.said_of_unfinished)

    def warn_if_untrained(self) -> None:
        """Warn that a model given only by name answers with its initial weights, or that a run did not finish."""
        self.warn_if_unfinished()
        weights = self.weights
        if weights.loaded is None and weights.run.directory is None and isinstance(self.framework.given, ModelEntry):
            self.progress.note(
                f"{self.setup.model_name} has not been trained here: it answers with its initial weights."
            )

    def use_model_args(self, changes: Mapping[str, Any]) -> None:
        """Create the model with changed arguments from now on."""
        self.setup = self.framework.setup = self.setup.with_model_args(changes)

    def answer(
        self,
        images: ImageStream,
        *,
        batch_size: int | None = None,
        confidence: float | None = None,
        truth: Truth | None = None,
        tile: Tile | None = None,
        track: Track | None = None,
    ) -> Predictions:
        """The model's answers about images, in order, with a separate list of those that could not be read.

        Args:
            images: the images.
            batch_size: images per step.
            confidence: drop objects with a lower score; the framework's own value by default.
            truth: the annotations of the images.
            tile: how images are cut into tiles; not at all by default.
            track: how objects are followed over the images, which are frames in order; not at all by default.
        """
        from drivetrain.images.tiling import Cutter, Tiling
        from drivetrain.images.tracks import least_score, tracked
        from drivetrain.types.prediction import Predictions

        usual = self.framework.default_confidence() if confidence is None else confidence
        threshold = usual if track is None else least_score(confidence, usual)
        tiling = Tiling.of(tile)
        cutter = Cutter(tiling, self.task) if tiling is not None else None
        looked_at = iter(images) if cutter is None else cutter.crops(iter(images))
        found = self.framework.infer(looked_at, batch_size=batch_size, confidence=threshold)
        answers = found if cutter is None else cutter.join(found)
        items = images.with_images(list(answers if track is None else tracked(answers, usual)))
        return Predictions(items, task=self.task, label_names=self.label_names, skipped=images.skipped, truth=truth)
