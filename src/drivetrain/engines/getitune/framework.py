"""getitune's implementation of the framework hooks: its Lightning models, data module, callbacks and exporter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.engine import FitResult, Framework
from drivetrain.engine.data import EngineData
from drivetrain.engines.getitune import build, native, train
from drivetrain.engines.getitune.checkpoint import OUR_KEY, SavedGetitune, fit_weights, read
from drivetrain.engines.getitune.checkpoint import load as load_weights
from drivetrain.engines.getitune.predict import deploy, infer
from drivetrain.engines.getitune.recipes import TASKS, GetituneRecipe, default_recipe, find_recipe
from drivetrain.engines.getitune.side_effects import contained, require_release
from drivetrain.errors import CheckpointError, UnsupportedOptionError
from drivetrain.launch.setup import Setup
from drivetrain.models.catalog import ModelEntry
from drivetrain.runs.record import require_own_checkpoint
from drivetrain.torch_training.checkpoint import state_to_resume
from drivetrain.torch_training.deployed import DeployedNetwork
from drivetrain.torch_training.process import own_randomness, untouched_process
from drivetrain.torch_training.run_callback import LightningRunCallback, run_callback
from drivetrain.torch_training.trainer import check_options, run_trainer, trainer_arguments
from drivetrain.torch_training.trainer_limits import refuse_fixed
from drivetrain.types import Metrics, Prediction, Task
from drivetrain.types.options import ExportFormat, TrainOptions
from drivetrain.types.task import require_task

if TYPE_CHECKING:
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run


class GetituneRunCallback(LightningRunCallback):
    """Describes the model under a key of its own."""

    key = OUR_KEY

    def count_images(self, batch: Any) -> int:
        """The number of images in a batch of getitune."""
        return int(batch.batch_size)


class GetituneFramework(Framework):
    """Creates, trains and runs the Lightning models of the installed getitune."""

    default_space: ClassVar = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    unsupported_options: ClassVar = {
        "class_weights": "getitune's losses take none; its recipes draw rare classes more often where that helps",
        "sampler": "the recipe chooses it",
        "tile": "getitune reads whole images; tiles are part of predict and test",
        "ema": "the recipe decides on averaged weights",
        "freeze_backbone": "set it on the model if it can: model_args={'freeze_backbone': True}",
        "backbone_learning_rate": "the recipe has one learning rate; see learning_rate",
        "mosaic": "the recipe's augmentation decides",
        "scale_jitter": "the recipe's augmentation decides",
    }
    kept_on_resume: ClassVar = ("learning_rate",)
    _module: Any = None
    _deployed: DeployedNetwork | None = None
    _has_state: bool = False  # whether the weights were trained or loaded
    _recipe: GetituneRecipe | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = None  # files that the last export needs

    def __init__(self, model: Any, setup: Setup, data: EngineData) -> None:
        """Refuse a release of getitune that the engine does not support.

        Raises:
            MissingDependencyError: the installed one is too old or too new.
        """
        super().__init__(model, setup, data)
        require_release()

    # --- facts -------------------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """Getitune's own object, built on first use."""
        if self._module is None:
            self.build()
        return self._module

    @property
    def recipe(self) -> GetituneRecipe | None:
        """The recipe of a model given by name or by a checkpoint of one; ``None`` for the user's own object."""
        given: Any = self.given
        if self._recipe is None and isinstance(given, ModelEntry):
            self._recipe = find_recipe(given.name, self.known_task or self._task_of_data(given))
        return self._recipe

    def _task_of_data(self, entry: ModelEntry) -> Task | None:
        """The task of the data for a name that several tasks have, else the only one."""
        if len(entry.tasks) == 1 or self.data.source is None:
            return Task.parse(entry.tasks[0])
        if self.has_native_data:
            return TASKS.get(str(getattr(self.data.source.task, "value", self.data.source.task)))
        found = self.data.read(None).task
        return found if found.value in entry.tasks else Task.parse(entry.tasks[0])

    def find_task(self) -> Task:
        recipe = self.recipe
        return recipe.task if recipe is not None else build.task_of(self.model)

    def task_to_read_for(self) -> Task:
        """The task that the model determines."""
        return self.find_task()

    def find_label_names(self) -> tuple[str, ...]:
        if isinstance(self.given, ModelEntry) and not self._has_state and self.data.source is not None:
            return self._labels_of_data()
        return build.names_of(self.model)

    def _labels_of_data(self) -> tuple[str, ...]:
        return native.label_names(self.data.source) if self.has_native_data else self.dataset.label_names

    def engine_arg_names(self) -> Sequence[str]:
        return trainer_arguments(train.PACKAGE)

    def check_options(self, options: TrainOptions) -> None:
        check_options(
            options, device=self.setup.device, package=train.PACKAGE, usual_epochs=train.usual_epochs(self.recipe)
        )
        own = self.find_task()
        require_task(self.known_task, own, self.setup.model_name)
        if self.has_native_data:
            native.check_options(options, self.data.source)
            native.check_task(self.data.source, own, TASKS)
        if self.recipe is None and options.learning_rate is not None:
            raise UnsupportedOptionError(
                f"learning_rate={options.learning_rate!r} cannot be honoured: your own model has its optimizer. "
                "Set it there, or give the model by name: model='getitune:...'."
            )

    def accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> dict[str, Any]:
        del batch_size
        return {"accumulate_grad_batches": steps * (options.engine_args or {}).get("accumulate_grad_batches", 1)}

    # --- the model -----------------------------------------------------------------------------------------------

    def build(self, options: TrainOptions | None = None) -> None:
        """Use the user's object as it is; create a named model on first use and again for each training."""
        given: Any = self.given
        if isinstance(given, ModelEntry):
            if self._module is None or options is not None:
                self._make(options)
        elif self._module is None and isinstance(given, Path):
            self.load_state(require_own_checkpoint(given, self.spec.suffixes))
        elif self._module is None:
            self._module = given

    def _make(self, options: TrainOptions | None) -> None:
        recipe = self.recipe
        assert recipe is not None
        labels = self._labels_of_data() if self.data.source is not None else None
        if labels is None:
            labels = tuple(str(number) for number in range(int(recipe.model_args.get("label_info") or 1)))
        self._take(self._new(recipe, labels, options))
        self._has_state = False
        self.task, self.label_names = recipe.task, labels

    def _new(self, recipe: GetituneRecipe, labels: Sequence[str], options: TrainOptions | None) -> Any:
        size = options.image_size_hw if options is not None else None
        if size is None and self.has_native_data:
            height, width = self.data.source.input_size
            size = int(height), int(width)
        return build.build(
            recipe,
            self.setup.model_args,
            labels=labels,
            input_size=size,
            learning_rate=options.learning_rate if options is not None else None,
            seed=options.seed if options is not None else 0,
        )

    def _take(self, module: Any) -> None:
        self._module, self._deployed = module, None

    def load_state(self, checkpoint: Path) -> None:
        saved = read(checkpoint)
        if self._module is None or isinstance(self.given, ModelEntry | Path):
            self._open(saved)
        with contained():
            load_weights(self._module, saved, f"checkpoint={str(checkpoint)!r}")
        self._deployed, self._has_state = None, True
        self.task, self.label_names = build.task_of(self._module), saved.label_names

    def _open(self, saved: SavedGetitune) -> None:
        """Create the model of a checkpoint, with its labels and its size."""
        given: Any = self.given
        named = given.name if isinstance(given, ModelEntry) else saved.recipe
        if named is None:
            raise CheckpointError(
                f"checkpoint={str(saved.path)!r} does not say which recipe of getitune it belongs to. Name the model "
                f"and start from it: model='getitune:...', train(checkpoint={str(saved.path)!r})."
            )
        if saved.recipe is not None and saved.recipe != named:
            raise CheckpointError(
                f"checkpoint={str(saved.path)!r} is of {saved.recipe}, but the model is {named}. Give the model of the "
                f"checkpoint, or open it on its own: model={str(saved.path)!r}."
            )
        task = Task.parse(saved.task) if saved.task is not None else None
        self._recipe = find_recipe(named, task) if isinstance(given, Path) else self.recipe
        assert self._recipe is not None
        args = {**saved.arguments, **self.setup.model_args}
        made = build.build(self._recipe, args, labels=saved.label_names, input_size=saved.input_size)
        self._take(made)

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        saved = read(checkpoint)
        with contained():
            notes = fit_weights(self._module, saved, self.label_names, self._head())
        for note in notes:
            run.note(note)

    def _head(self) -> list[str]:
        """The tensors whose rows belong to labels: those that differ in a model with one label more."""
        recipe, own = self.recipe, self._module.state_dict()
        if recipe is None:
            return []
        other = self._new(recipe, [*self.label_names, "one more"], None).state_dict()
        return [name for name, value in own.items() if name not in other or other[name].shape != value.shape]

    # --- training ------------------------------------------------------------------------------------------------

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        recipe, module = self.recipe, self._module
        if options.max_epochs is None and "max_steps" not in (options.engine_args or {}):
            options = replace(options, max_epochs=train.usual_epochs(recipe))
        callback = self._run_callback(options, run)
        with untouched_process(), contained(), own_randomness(options.seed):
            data = self._fit_data(options)
            callbacks = [*train.recipe_callbacks(recipe, options, data), callback]
            trainer = train.make_trainer(
                recipe, options, device=self.setup.device, folder=run.directory, callbacks=callbacks
            )
            state = state_to_resume(run, self.label_names, read) if resume else None
            module.train()
            run_trainer(trainer, module, {"datamodule": data}, state)
            module.trainer = None  # it holds the data, the optimiser and the run
            module.cpu()
        self._deployed, self._has_state = None, True
        if callback.interrupted:
            raise KeyboardInterrupt
        return FitResult(callback.best_checkpoint, callback.last_checkpoint, callback.best_epoch)

    def _run_callback(self, options: TrainOptions, run: Run) -> GetituneRunCallback:
        module = self._module
        found: GetituneRunCallback = run_callback(
            train.PACKAGE,
            run,
            self._describe_model,
            lambda trainer: train.effective_options(trainer, module, options),
            kind=GetituneRunCallback,
            metric=options.metric,
            default_metric=train.default_metric(self.recipe, self.task),
            patience=options.patience,
            named=train.metric_names(self.task),
        )
        return found

    def _describe_model(self) -> dict[str, Any]:
        recipe, cls = self.recipe, type(self._module)
        return {
            "recipe": recipe.name if recipe is not None else "",
            "task": self.task.value,
            "class": f"{cls.__module__}.{cls.__qualname__}",
            "arguments": dict(self.setup.model_args),
        }

    def _fit_data(self, options: TrainOptions) -> Any:
        """The data module: the given one, or getitune's own over the data set."""
        if self.has_native_data:
            return self.data.source
        from drivetrain.engines.getitune.data import data_module

        dataset = self.dataset
        if dataset.label_names != self.label_names:
            dataset = dataset.relabel(self.label_names)
        recipe = self.recipe or default_recipe(self.task)
        return data_module(dataset, recipe, self.task, self._module.data_input_params.input_size, options)

    # --- prediction --------------------------------------------------------------------------------------------------

    def _deploy(self) -> DeployedNetwork:
        if self._deployed is None or not isinstance(self.given, ModelEntry):  # a user's object may have changed since
            self._deployed = deploy(self.model)
        return self._deployed

    def infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        deployed, device = self._deploy(), self.setup.device
        return infer(deployed, images, device=device, batch_size=batch_size, confidence=confidence)

    def export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        from drivetrain.engines.getitune.export import export_source

        self._folder = tempfile.TemporaryDirectory()
        return export_source(self.model, self._deploy(), format, Path(self._folder.name))

    def test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        """Evaluate with getitune's own steps and metrics."""
        refuse_fixed({} if batch_size is None else {"batch_size": batch_size}, ("batch_size",), data)
        native.check_task(data, self.task, TASKS)
        options = TrainOptions(max_epochs=1)
        with untouched_process(), contained(), tempfile.TemporaryDirectory() as folder:
            augment = train.augmentation(data)
            trainer = train.make_trainer(
                None, options, device=self.setup.device, folder=Path(folder), callbacks=[augment] if augment else []
            )
            try:
                return Metrics(native.upstream_metrics(data, self.model, trainer, subset))
            finally:
                self.model.trainer = None
                self.model.cpu()
