"""What a verb is given: the setup, the data, the weights and the framework of one engine."""

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
from drivetrain.types.options import Tile
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.images.stream import ImageStream
    from drivetrain.recommend import Plan
    from drivetrain.types import Predictions
    from drivetrain.types.truth import Truth


class EngineState:
    """One model with its data, as the verbs see it; :class:`drivetrain.Engine` is one."""

    #: What the engine serves.
    spec: ClassVar[EngineSpec]
    #: What does the work.
    framework_class: ClassVar[type[Framework]] = Framework  # type: ignore[type-abstract]  # each names its own

    #: Which engine was chosen for which model, and why.
    resolution: Resolution
    #: What was chosen by the data and why, if no model was given.
    plan: Plan | None = None
    #: The recipe that was given as the model, if one was.
    recipe: Recipe | None = None
    #: What repeats the run on the command line; ``train`` saves it as ``config.yaml`` before it begins.
    config: Mapping[str, Any] | None = None
    #: The arguments that make the same engine again.
    setup: Setup
    #: The data as they were given, and the data set that is read from them.
    data: EngineData
    #: Which weights the model has.
    weights: Weights
    #: The framework's side.
    framework: Framework
    #: Where steps and notes are shown.
    progress: Progress
    #: The work dir that was given, or of the run that the model was given as.
    given_work_dir: Path | None = None

    @property
    def model(self) -> Any:
        """The framework's own model object, built at the first use."""
        return self.framework.model

    @property
    def task(self) -> Task:
        """What the model is trained for.

        Raises:
            OptionError: neither the model nor the data say it.
        """
        return self.framework.task

    @property
    def label_names(self) -> tuple[str, ...]:
        """The name of each label, by its number; those of the model, else of the data."""
        return self.framework.label_names

    @property
    def device(self) -> str:
        """Where to compute."""
        return self.setup.device

    @property
    def model_args(self) -> dict[str, Any]:
        """The arguments of the model's constructor."""
        return dict(self.setup.model_args)

    @property
    def work_dir(self) -> Path:
        """Where everything the run writes goes."""
        if self.given_work_dir is None:
            from drivetrain.runs.run import default_work_dir

            self.given_work_dir = default_work_dir(self.setup.model_name, self.data.name)
        return self.given_work_dir

    @property
    def has_native_data(self) -> bool:
        """Whether the data are the framework's own and pass through untouched."""
        return self.framework.has_native_data

    @property
    def dataset(self) -> Dataset:
        """The data as a drivetrain data set, with train, val and test subsets.

        Raises:
            DataError: no data were given, or they are the framework's own, which cannot be read from outside.
        """
        return self.framework.dataset

    def require(self, verb: str, hooks: Sequence[str]) -> None:
        """Refuse a verb whose hooks the framework does not have; else make ready for the framework to be loaded.

        Raises:
            UnsupportedError: with the verbs that there are.
        """
        require_hooks(type(self), verb, hooks, self.spec, f" The model is {self.setup.model_name}.")
        bound_spinning()

    def select(self, checkpoint: str | Path | None) -> None:
        """Bring the model into the state that a verb is asked to use: "best", "last", a path, or the usual one.

        Raises:
            CheckpointError: the checkpoint is not there, or does not fit the model.
        """
        self.weights.select(checkpoint, self.framework, self.given_work_dir)

    def warn_if_untrained(self) -> None:
        """Say that a model that was only named answers with whatever weights it was made with."""
        weights = self.weights
        if weights.loaded is None and weights.run.directory is None and isinstance(self.framework.given, ModelEntry):
            self.progress.note(
                f"{self.setup.model_name} has not been trained here: it answers with the weights that it was made with."
            )

    def use_model_args(self, changes: Mapping[str, Any]) -> None:
        """Make the model with other arguments from now on."""
        self.setup = self.framework.setup = self.setup.with_model_args(changes)

    def answer(
        self,
        images: ImageStream,
        *,
        batch_size: int | None = None,
        confidence: float | None = None,
        truth: Truth | None = None,
        tile: Tile | None = None,
    ) -> Predictions:
        """The model's answers about images, in their order, with those that could not be read on the side.

        Args:
            images: to answer about.
            batch_size: images in a step.
            confidence: objects with a lower score are left out; the framework's own value if not given.
            truth: what the data say about the images.
            tile: how images are cut into tiles; they are looked at as they are if not given.
        """
        from drivetrain.images.tiling import Cutter, Tiling
        from drivetrain.types.prediction import Predictions

        threshold = self.framework.default_confidence() if confidence is None else confidence
        tiling = Tiling.of(tile)
        cutter = Cutter(tiling, self.task) if tiling is not None else None
        looked_at = iter(images) if cutter is None else cutter.crops(iter(images))
        found = self.framework.infer(looked_at, batch_size=batch_size, confidence=threshold)
        items = images.with_images(list(found if cutter is None else cutter.join(found)))
        return Predictions(items, task=self.task, label_names=self.label_names, skipped=images.skipped, truth=truth)
