"""The framework hooks for Lightning: our own task modules, and any LightningModule with its own data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.engine import FitResult, Framework
from drivetrain.engines.lightning import TRANSFORMERS, inside, native, rare_classes, special
from drivetrain.engines.lightning.build import Classifiers
from drivetrain.engines.lightning.data import loaders_for
from drivetrain.engines.lightning.models.classification import ClassificationModule
from drivetrain.engines.lightning.models.trained_parts import check_backbone
from drivetrain.engines.lightning.named_origin import named_origin
from drivetrain.engines.lightning.predict import infer
from drivetrain.engines.lightning.resuming import state_to_resume
from drivetrain.engines.lightning.vision.scenes import scene_loaders
from drivetrain.engines.lightning.vision.vision_build import VisionModels, is_vision
from drivetrain.engines.lightning.vision.vision_module import VisionModule
from drivetrain.engines.lightning.vision.vision_predict import ask
from drivetrain.errors import DataError
from drivetrain.models.catalog import ModelEntry
from drivetrain.torch_training.checkpoint import read_checkpoint
from drivetrain.torch_training.process import own_randomness, untouched_process
from drivetrain.torch_training.run_callback import check_logged, run_callback
from drivetrain.torch_training.several_devices import OnSeveralDevices, randomness_of_rank
from drivetrain.torch_training.trainer import (
    check_options,
    effective_options,
    make_trainer,
    package_of,
    run_trainer,
    trainer_arguments,
)
from drivetrain.types import Metrics, Prediction, Task
from drivetrain.types.options import SPECIAL_OPTIONS, ExportFormat, TrainOptions

if TYPE_CHECKING:
    from drivetrain.engine.framework import CellReader
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run

_MAX_EPOCHS = 30


class LightningFramework(OnSeveralDevices, Framework):
    """Lightning's trainer over our module for a task, or over a user-defined LightningModule."""

    default_space: ClassVar = {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "batch_size": [8, 16, 32],
    }
    kept_on_resume: ClassVar = ("learning_rate",)
    balancing_options: ClassVar = ("class_weights", "sampler")
    special_options: ClassVar = SPECIAL_OPTIONS
    _module: Any = None

    @property
    def model(self) -> Any:
        """The LightningModule: the user's own, or ours, which has the network as ``net``."""
        if self._module is None:
            self.build()
        return self._module

    # --- hooks ---------------------------------------------------------------------------------------------------

    def build(self, options: TrainOptions | None = None) -> None:
        """Use the user's object as it is; create a named model on first use and again for each training."""
        if self._is_own_module:
            self._take_own(options)
            return
        if self._module is not None and options is None:
            return
        with own_randomness(options.seed if options is not None else 0):
            models, labels = self._models, self._wanted_labels()
            if isinstance(models, VisionModels):
                keypoints = len(self.dataset.keypoint_names) if labels is not None else 0
                self._adopt(models.build(options, labels, self.setup.task, keypoints))
            else:
                self._adopt(models.build(options, labels, self._task_of_data()))
        if options is not None:
            check_backbone(self._module.net, self._module.head, options, self.setup.model_name)
        if options is not None and options.metric is not None:
            check_logged(options.metric, self._module.logged_names)

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        if not self._is_own_module:
            for note in self._module.network.notes:
                run.note(note)
        if options.max_epochs is None and "max_steps" not in (options.engine_args or {}):
            options = replace(options, max_epochs=_MAX_EPOCHS)
        keeper = run_callback(
            package_of(self._module),
            run,
            self._describe_model,
            lambda trainer: {
                **effective_options(trainer, self._module, options),
                **rare_classes.used_balance(trainer, self._module),
                **special.used_options(trainer, self._module, options),
            },
            metric=options.metric,
            default_metric=None if self._is_own_module else f"val/{self.task.main_metric}",
            patience=options.patience,
        )
        with untouched_process(), randomness_of_rank(options.seed):
            trainer = self._trainer(options, [*special.callbacks(options), keeper], run.directory)
            state = state_to_resume(run, self._describe_model()) if resume else None
            self._module.train()
            if not self._is_own_module and not self.has_native_data:
                rare_classes.weigh(self._module, self.dataset, options)
            with special.applied(self._module, options, own=self._is_own_module):
                run_trainer(trainer, self._module, self._fit_data(options, run), state)
            self._module.trainer = None  # it holds the data, the optimiser and the run
        if keeper.interrupted:
            raise KeyboardInterrupt
        notes = () if self._is_own_module else tuple(self._module.training_notes)
        return FitResult(keeper.best_checkpoint, keeper.last_checkpoint, keeper.best_epoch, notes=notes)

    def infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        if isinstance(self._module, VisionModule):
            return ask(self._module, images, device=self.setup.device, batch_size=batch_size, confidence=confidence)
        del confidence  # classification returns every probability
        spec, task, _ = native.image_facts(self._module, self.known_task)
        return infer(self._module, images, spec=spec, task=task, device=self.setup.device, batch_size=batch_size)

    def load_state(self, checkpoint: Path) -> None:
        content = read_checkpoint(checkpoint)
        if self._is_own_module:
            self.build()
            native.load_weights(self._module, content, str(checkpoint))
        else:
            self._adopt(self._models.open(content, checkpoint, self._module))

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        content = read_checkpoint(checkpoint)
        if self._is_own_module:
            native.load_weights(self._module, content, str(checkpoint))
            run.note(f"Started from {checkpoint.name}.")
            return
        for note in self._models.warm_start(self._module, content, checkpoint):
            run.note(note)

    def test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        native.check_options(TrainOptions(batch_size=batch_size), own_module=False, own_data=True)
        self._refuse_loaders()
        arguments = native.evaluation_arguments(data, subset)
        package = package_of(self._module)
        own = self._is_own_module
        verb = "test" if own and subset == "test" else "validate"
        if own:
            native.check_step(self._module, package, "test_step" if verb == "test" else "validation_step")
        with untouched_process(), tempfile.TemporaryDirectory() as folder:
            trainer = self._trainer(TrainOptions(), [], Path(folder), package=package)
            rows = getattr(trainer, verb)(self._module, verbose=False, **arguments)
        values = {name: float(value) for row in rows for name, value in row.items()}
        if own:
            return Metrics({f"upstream/{name}": value for name, value in values.items()})
        plain = {name.removeprefix("val/"): value for name, value in values.items()}
        return Metrics({("upstream/loss" if name == "loss" else name): value for name, value in plain.items()})

    def export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002, ARG002
        from drivetrain.engines.lightning.predict import export_source
        from drivetrain.engines.lightning.vision.vision_predict import vision_source

        if isinstance(self._module, VisionModule):
            return vision_source(self._module)

        spec, task, names = native.image_facts(self._module, self.known_task)
        return export_source(self._module, spec=spec, task=task, label_names=names)

    def cells(self) -> CellReader:
        spec, task, _ = native.image_facts(self._module, self.known_task)
        return inside.cells(self._module, spec=spec, task=task, device=self.setup.device, name=self.setup.model_name)

    def features(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None
    ) -> Iterator[NDArray[np.float32]]:
        module, setup = self._module, self.setup
        spec = module.image_spec if isinstance(module, VisionModule) else native.image_facts(module, self.known_task)[0]
        name, device = setup.model_name, setup.device
        return inside.features(module, images, spec=spec, device=device, batch_size=batch_size, name=name)

    def engine_arg_names(self) -> Sequence[str]:
        return trainer_arguments()

    def check_options(self, options: TrainOptions) -> None:
        package = package_of(self.given)
        check_options(options, device=self.setup.device, package=package, usual_epochs=_MAX_EPOCHS, several=True)
        native.check_options(options, own_module=self._is_own_module, own_data=self.has_native_data)
        rare_classes.check_task(options, self.find_task)
        special.check_task(options, self.find_task)
        if self.has_native_data:
            self._refuse_loaders()
        if self._is_own_module and self.data.source is not None and not self.has_native_data:
            raise DataError(
                f"{self.setup.model_name} is your own LightningModule, which is trained on its own data. Give a "
                'LightningDataModule, a DataLoader, or {"train": loader, "val": loader, "test": loader}.'
            )

    def is_native(self, data: Any) -> bool:
        return native.is_native_data(data)

    def task_to_read_for(self) -> Task | None:
        """The model's task for models that find objects or classify pixels; otherwise that of the data."""
        return self.task if is_vision(self._origin) else self.known_task

    def find_task(self) -> Task:
        if self._is_own_module:
            return native.image_facts(self.model, self.known_task)[1]
        if is_vision(self._origin):
            return self._models.recorded_task or Task.DETECTION
        return self._task_of_data() or self._models.recorded_task or Task.CLASSIFICATION

    def find_label_names(self) -> tuple[str, ...]:
        if self._is_own_module:
            return native.image_facts(self.model, self.known_task)[2]
        own = self.own_checkpoint
        if own is not None and self._module is None:
            self.load_state(own)
        names: tuple[str, ...] = self.model.label_names
        return names

    def accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        del batch_size
        before = (options.engine_args or {}).get("accumulate_grad_batches", 1)
        return {"accumulate_grad_batches": steps * before}

    def used_model_argument(self, name: str) -> Any:
        """As for every engine; for a network of a catalogue, otherwise the argument its constructor was called with."""
        if self._is_own_module:
            return super().used_model_argument(name)
        network = self._module.network
        value = getattr(network.net, name, None)
        return value if isinstance(value, bool | int | float | str) else network.args[name]

    def search_space(self) -> Mapping[str, Any]:
        return {} if self._is_own_module else special.search_space(self.default_space, scenes=is_vision(self._origin))

    # --- steps ---------------------------------------------------------------------------------------------------

    @property
    def _is_own_module(self) -> bool:
        """Whether the model is a user-defined LightningModule."""
        return native.is_lightning_module(self.given)

    @property
    def _origin(self) -> Any:
        """An entry of the catalogue, an object, a class or a checkpoint."""
        if self._named is not None:
            return self._named[0]
        model: Any = self.given
        return self.own_checkpoint if isinstance(model, Path) else model

    @cached_property
    def _named(self) -> tuple[ModelEntry, dict[str, Any]] | None:
        """The model of the catalogue that a folder, a configuration or a class of transformers stands for."""
        return named_origin(self.given, self._task_to_choose_by, TRANSFORMERS)

    @property
    def _models(self) -> Classifiers | VisionModels:
        """The factory for this kind of model."""
        args = {**(self._named[1] if self._named is not None else {}), **self.setup.model_args}
        return VisionModels(self._origin, args) if is_vision(self._origin) else Classifiers(self._origin, args)

    def _refuse_loaders(self) -> None:
        """Refuse the user's loaders for models whose targets are more than a number, as their form is unknown.

        Raises:
            DataError: the model finds objects or classifies pixels.
        """
        if is_vision(self._origin):
            raise DataError(
                f"{self.setup.model_name} is trained and tested on a data set that drivetrain reads, not on a "
                "DataLoader or LightningDataModule. Give a folder or file (COCO, YOLO, VOC, ...), or wrap the model in "
                "your own LightningModule."
            )

    def _take_own(self, options: TrainOptions | None) -> None:
        """Use the user's object as it is; create a new one from a class for each training, seeding its weights."""
        given: Any = self.given
        if not isinstance(given, type):
            self._module = given
        elif self._module is None or options is not None:
            with own_randomness(options.seed if options is not None else 0):
                self._module = given(**self.setup.model_args)

    def _adopt(self, module: Any) -> None:
        self._module = module
        self.task, self.label_names = module.task, module.label_names

    def _task_of_data(self) -> Task | None:
        """The requested task, else that of the data, if they can be read."""
        if self.known_task is not None or self.data.source is None or self.has_native_data:
            return self.known_task
        return self.dataset.task if self.dataset.is_annotated else None

    def _task_to_choose_by(self) -> Task | None:
        """The requested task, else the default task of the annotations."""
        if self.known_task is not None or self.data.source is None or self.has_native_data:
            return self.known_task
        dataset = self.data.read(None)
        return dataset.task if dataset.is_annotated else None

    def _wanted_labels(self) -> tuple[str, ...] | None:
        """The labels of the data; ``None`` for those of the model."""
        if self.data.source is None:
            return None
        if self.has_native_data:
            loaders = {} if native.is_datamodule(self.data.source) else native.loaders_of(self.data.source)
            names = [getattr(getattr(loader, "dataset", None), "classes", None) for loader in loaders.values()]
            return next((tuple(map(str, found)) for found in names if found), None)
        return self.dataset.label_names if self.dataset.is_annotated else None

    def _fit_data(self, options: TrainOptions, run: Run) -> dict[str, Any]:
        if self.has_native_data:
            return native.fit_arguments(self.data.source)
        dataset = self.dataset
        if dataset.label_names != self.label_names:
            dataset = dataset.relabel(self.label_names)
        loaders = scene_loaders if isinstance(self._module, VisionModule) else loaders_for
        return dict(loaders(dataset, self._module.image_spec, self.task, options, run))

    def _trainer(self, options: TrainOptions, callbacks: list[Any], folder: Path, *, package: str | None = None) -> Any:
        defaults: dict[str, Any] = {} if self._is_own_module else {"num_sanity_val_steps": 0, "log_every_n_steps": 10}
        return make_trainer(
            package or package_of(self._module),
            options,
            device=self.setup.device,
            work_dir=folder,
            callbacks=callbacks,
            defaults=defaults,
            unused=isinstance(self._module, VisionModule) and self._module.network.skips_parameters,
        )

    def _describe_model(self) -> dict[str, Any]:
        """The description of the model in a checkpoint."""
        if isinstance(self._module, ClassificationModule | VisionModule):
            described: dict[str, Any] = self._module.describe()
            return described
        cls = type(self._module)
        return {"kind": "module", "class": f"{cls.__module__}.{cls.__qualname__}"}
