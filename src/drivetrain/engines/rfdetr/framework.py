"""RF-DETR's implementation of the framework hooks: its model objects, its own Lightning modules and its trainer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.engine import FitResult, Framework
from drivetrain.engine.data import EngineData
from drivetrain.engines.rfdetr import build, native, train
from drivetrain.engines.rfdetr.checkpoint import read
from drivetrain.engines.rfdetr.data import data_module
from drivetrain.engines.rfdetr.predict import deploy, features, infer
from drivetrain.engines.rfdetr.quiet import contained
from drivetrain.engines.rfdetr.states import RFDETRRunCallback, metric_names
from drivetrain.engines.rfdetr.variants import class_of, task_of
from drivetrain.engines.rfdetr.weights import set_labels
from drivetrain.errors import CheckpointError
from drivetrain.launch.setup import Setup
from drivetrain.models.catalog import ModelEntry
from drivetrain.runs.record import require_own_checkpoint
from drivetrain.torch_training.checkpoint import state_to_resume
from drivetrain.torch_training.deployed import DeployedNetwork
from drivetrain.torch_training.process import own_randomness, untouched_process
from drivetrain.torch_training.run_callback import run_callback
from drivetrain.torch_training.trainer_limits import refuse_fixed
from drivetrain.types import Metrics, Prediction, Sample, Task
from drivetrain.types.options import ExportFormat, TrainOptions
from drivetrain.types.task import require_task

if TYPE_CHECKING:
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run


class RFDETRFramework(Framework):
    """Creates, trains and runs the models of the installed RF-DETR."""

    default_space: ClassVar = {
        "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "engine_args.weight_decay": {"low": 1e-5, "high": 1e-3, "log": True},
    }
    unsupported_options: ClassVar = {
        "class_weights": "RF-DETR's focal loss does not support class weights; add images of the rare classes",
        "sampler": "RF-DETR draws its images itself; add images of the rare classes",
        "tile": "RF-DETR reads whole images; tiles are part of predict and test",
        "freeze_backbone": "set it on the model: model_args={'freeze_encoder': True}",
        "mosaic": "RF-DETR's augmentation has none; see engine_args aug_config",
        "scale_jitter": "RF-DETR has its own: engine_args={'multi_scale': True}",
    }
    special_options: ClassVar = ("ema", "backbone_learning_rate")
    kept_on_resume: ClassVar = ("learning_rate",)
    _detr: Any = None
    _deployed: DeployedNetwork | None = None
    _has_state: bool = False  # whether the weights were trained or loaded
    _notes: Sequence[str] = ()
    _folder: tempfile.TemporaryDirectory[str] | None = None  # files that the last export needs

    def __init__(self, model: Any, setup: Setup, data: EngineData) -> None:
        """Refuse a release of RF-DETR that the engine does not support.

        Raises:
            MissingDependencyError: the installed one is too old or too new.
        """
        super().__init__(model, setup, data)
        self.spec.require_release("rfdetr")  # later ones score keypoints and augment images differently

    # --- facts -------------------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """RF-DETR's own object (``RFDETRNano``, ...), built on first use."""
        if self._detr is None:
            self.build()
        return self._detr

    def task_to_read_for(self) -> Task:
        """The task that the model determines."""
        return self.task

    def find_task(self) -> Task:
        given: Any = self.given
        if isinstance(given, ModelEntry):
            return Task.parse(given.tasks[0])
        return task_of(self.model.model_config)

    def find_label_names(self) -> tuple[str, ...]:
        if self._is_new and self.data.source is not None:
            return self._labels_of_data()
        return build.names_of(self.model)

    def _labels_of_data(self) -> tuple[str, ...]:
        if self.has_native_data:
            with contained():
                return native.label_names(self.data.source)
        return self.dataset.label_names

    @property
    def _is_new(self) -> bool:
        """Whether the model is created here and still untrained, so that its labels come from the data."""
        return self._is_made_here and not self._has_state

    @property
    def _is_made_here(self) -> bool:
        return isinstance(self.given, ModelEntry | type)

    def engine_arg_names(self) -> Sequence[str]:
        return train.argument_names()

    def used_model_argument(self, name: str) -> Any:
        """The value of the field in the model's configuration."""
        return self.model.model_config.model_dump()[name]

    def check_options(self, options: TrainOptions) -> None:
        train.check_options(options, device=self.setup.device)
        require_task(self.known_task, self.find_task(), self.setup.model_name)
        if not self._is_made_here:
            train.check_resolution(options, self.model.model_config)
        if self.has_native_data:
            native.check_options(options, self.data.source, train.SET_BY_ENGINE)

    def accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        """By default RF-DETR accumulates four batches."""
        del batch_size
        return {"grad_accum_steps": steps * (options.engine_args or {}).get("grad_accum_steps", 4)}

    # --- the model -----------------------------------------------------------------------------------------------

    def build(self, options: TrainOptions | None = None) -> None:
        """Use the user's object as it is; create a named model on first use and again for each training."""
        given: Any = self.given
        if self._is_made_here:
            if self._detr is None or options is not None:
                self._make(options)
        elif self._detr is None and isinstance(given, Path):
            self.load_state(require_own_checkpoint(given, self.spec.suffixes))
        elif self._detr is None:
            self._detr = given
        if options is not None:
            self._fit_to_data(options)

    def _make(self, options: TrainOptions | None) -> None:
        given: Any = self.given
        labels = self._labels_of_data() if self.data.source is not None else None
        self._has_state = False
        cls = given if isinstance(given, type) else class_of(given.class_path.partition(":")[2])
        made, self._notes = build.build(
            cls,
            self.setup.model_args,
            labels=labels,
            keypoints=self._points_of_data(),
            resolution=train.resolution_of(options),
            seed=options.seed if options is not None else 0,
        )
        self._take(made)

    def _points_of_data(self) -> int:
        """The number of keypoints per object in the data; 0 for a model of another task, or without data."""
        if self.data.source is None or self.find_task() is not Task.KEYPOINT_DETECTION:
            return 0
        return native.keypoints(self.data.source) if self.has_native_data else len(self.dataset.keypoint_names)

    def _fit_to_data(self, options: TrainOptions) -> None:
        """Give the model the labels of the data and the requested size."""
        self.label_names = self._labels_of_data()
        if self.has_native_data:
            native.check_model(self.data.source, self._detr.model_config)
        if self._is_made_here:
            return
        with contained():
            self._notes = set_labels(self._detr, self.label_names, build.names_of(self._detr))
            side = train.resolution_of(options)
            if side is not None:
                build.set_resolution(self._detr, side)

    def _take(self, detr: Any) -> None:
        """Adopt an object; a user's own stays the same object, with its contents updated."""
        if self._detr is None and not self._is_made_here and not isinstance(self.given, Path):
            self._detr = self.given
        if self._detr is not None and not self._is_made_here:
            vars(self._detr).update(vars(detr))
        else:
            self._detr = detr
        self._deployed = None

    def load_state(self, checkpoint: Path) -> None:
        saved = read(checkpoint)
        wanted, there = self._class_name(), saved.class_name
        if wanted is not None and there is not None and wanted != there:
            raise CheckpointError(
                f"checkpoint={str(checkpoint)!r} is of {there}, but the model is {wanted}. Give the model of the "
                f"checkpoint, or open it on its own: model={str(checkpoint)!r}."
            )
        detr = build.open_saved(saved, f"checkpoint={str(checkpoint)!r}")
        self._take(detr)
        self._has_state = True
        self.task, self.label_names = task_of(detr.model_config), build.names_of(detr)

    def _class_name(self) -> str | None:
        """The name of the given RF-DETR class; ``None`` for a checkpoint, which states it itself."""
        given: Any = self.given
        if isinstance(given, ModelEntry):
            return given.class_path.partition(":")[2]
        if isinstance(given, Path):
            return None
        return given.__name__ if isinstance(given, type) else type(given).__name__

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        saved = read(checkpoint)
        for note in build.give_weights(self.model, saved, checkpoint.name, label_names=self.label_names):
            run.note(note)
        self._notes = ()

    # --- training ------------------------------------------------------------------------------------------------

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        for note in self._notes:
            run.note(note)
        folder = run.directory / "upstream"
        state = state_to_resume(run, self.label_names, read) if resume else None
        with untouched_process(), contained(), own_randomness(options.seed):
            self.model.model_config.model_name = self._class_name() or type(self.model).__name__
            config = self._configuration(options, folder)
            module = train.make_module(self.model, config)
            callback = self._run_callback(options, run, module)
            trainer = train.make_trainer(module, config, options, device=self.setup.device, callback=callback)
            train.run(module, trainer, self._fit_data(module, options.seed), state)
            module.trainer = None  # it holds the data, the optimiser and the run
            module.cpu()
        self._deployed = None
        if callback.interrupted:
            raise KeyboardInterrupt
        return FitResult(callback.best_checkpoint, callback.last_checkpoint, callback.best_epoch)

    def _configuration(self, options: TrainOptions, folder: Path) -> Any:
        if self.has_native_data:
            given = native.given_fields(self.data.source, train.SET_BY_ENGINE)
            return train.configuration(self.model, options, folder, self.label_names, None, given)
        return train.configuration(self.model, options, folder, self.label_names, self.dataset.keypoint_names)

    def _fit_data(self, module: Any, seed: int) -> Any:
        """The data module: the given one, or RF-DETR's own over the data set."""
        if self.has_native_data:
            return self.data.source
        dataset = self.dataset
        if dataset.label_names != self.label_names:
            dataset = dataset.relabel(self.label_names)
        return data_module(dataset, module.model_config, module.train_config, seed)

    def _run_callback(self, options: TrainOptions, run: Run, module: Any) -> RFDETRRunCallback:
        found: RFDETRRunCallback = run_callback(
            train.PACKAGE,
            run,
            lambda: {"class": self.model.model_config.model_name, "label_names": list(self.label_names)},
            lambda trainer: train.effective_options(trainer, module, options),
            kind=RFDETRRunCallback,
            metric=options.metric,
            default_metric=f"val/{self.task.main_metric}",
            patience=options.patience,
            named=metric_names(self.task, averaged=bool(module.train_config.use_ema)),
        )
        return found

    # --- prediction --------------------------------------------------------------------------------------------------

    def infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        if self._deployed is None or not self._is_made_here:  # the user may have trained their own object since
            self._deployed = deploy(self.model)
        return infer(self._deployed, images, device=self.setup.device, batch_size=batch_size, confidence=confidence)

    def features(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None
    ) -> Iterator[NDArray[np.float32]]:
        if self._deployed is None or not self._is_made_here:
            self._deployed = deploy(self.model)
        return features(self._deployed, images, device=self.setup.device, batch_size=batch_size)

    # --- RF-DETR's own data modules ----------------------------------------------------------------------------------

    def native_samples(self, data: Any, subset: str) -> Sequence[Sample] | None:
        """The images of the folder that a data module reads."""
        found = native.dataset_of(data, subset)
        return None if found is None else list(found.relabel(self.label_names))

    def test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        """Evaluate with RF-DETR's own trainer."""
        refuse_fixed({} if batch_size is None else {"batch_size": batch_size}, ("batch_size",), data)
        native.check_model(data, self.model.model_config)
        with untouched_process(), contained(), tempfile.TemporaryDirectory() as folder:
            given = native.given_fields(data, train.SET_BY_ENGINE)
            options = TrainOptions(max_epochs=1)
            config = train.configuration(self.model, options, Path(folder), self.label_names, None, given)
            module = train.make_module(self.model, config)
            trainer = train.make_trainer(module, config, options, device=self.setup.device, callback=None)
            try:
                return Metrics(native.upstream_metrics(data, module, trainer, subset))
            finally:
                module.trainer = None
                module.cpu()

    def export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        from drivetrain.engines.rfdetr.export import export_source

        self._folder = tempfile.TemporaryDirectory()
        return export_source(self.model, format, Path(self._folder.name))
