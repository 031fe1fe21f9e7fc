"""Ultralytics' implementation of the framework hooks: its model objects, and its own trainers."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.engine import FitResult, Framework
from drivetrain.engine.data import EngineData
from drivetrain.engines.ultralytics import build, native, train, train_args, validate
from drivetrain.engines.ultralytics.containment import contained
from drivetrain.engines.ultralytics.data import facts, records
from drivetrain.engines.ultralytics.depth import depth_facts, depth_records, depth_samples, is_depth_yaml
from drivetrain.engines.ultralytics.predict import cells, deploy, features, infer
from drivetrain.engines.ultralytics.states import RunCallback
from drivetrain.errors import CheckpointError
from drivetrain.launch.setup import Setup
from drivetrain.models.catalog import ModelEntry
from drivetrain.runs.record import require_own_checkpoint
from drivetrain.torch_training.deployed import DeployedNetwork
from drivetrain.types import Metrics, Prediction, Sample, Task
from drivetrain.types.options import ExportFormat, TrainOptions
from drivetrain.types.task import require_task

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.engine.framework import CellReader
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run


class UltralyticsFramework(Framework):
    """Creates, trains and runs the models of the installed Ultralytics."""

    default_space: ClassVar = {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "engine_args.weight_decay": {"low": 1e-5, "high": 1e-2, "log": True},
    }
    balancing_options: ClassVar = ("class_weights",)
    unsupported_options: ClassVar = {
        "tile": "Ultralytics reads whole images; tiles are part of predict and test",
        "ema": "Ultralytics always averages the weights, with a decay of its own",
        "freeze_backbone": "give the number of layers to Ultralytics: engine_args={'freeze': 10}",
        "backbone_learning_rate": "Ultralytics has one learning rate for all weights",
        "mosaic": "give it to Ultralytics: engine_args={'mosaic': 0.5}",
        "scale_jitter": "give it to Ultralytics: engine_args={'scale': 0.5}",
    }
    kept_on_resume: ClassVar = ("learning_rate", "seed", "deterministic", "class_weights", "engine_args")
    _yolo: Any = None
    _deployed: DeployedNetwork | None = None
    _has_state: bool = False  # whether the weights were trained or loaded

    def __init__(self, model: Any, setup: Setup, data: EngineData) -> None:
        """Refuse the classes that cannot be trained or measured.

        Raises:
            UnsupportedError: the model is an instance of one of them.
        """
        super().__init__(model, setup, data)
        build.require_served(model)

    # --- facts -------------------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """Ultralytics' own model object (``YOLO``, ``RTDETR``), built on first use."""
        if self._yolo is None:
            self.build()
        return self._yolo

    def task_to_read_for(self) -> Task:
        """The task that the model determines."""
        return self.task

    def find_task(self) -> Task:
        given: Any = self.given
        if isinstance(given, ModelEntry) and given.tasks:
            return Task.parse(given.tasks[0])
        return build.task_of(self.model)

    def find_label_names(self) -> tuple[str, ...]:
        if self._is_new and self.data.source is not None and not self.has_native_data:
            return self.dataset.label_names
        return build.names_of(self.model.model)

    @property
    def _is_new(self) -> bool:
        """Whether the model is created here and still untrained, so that its labels come from the data."""
        return isinstance(self.given, ModelEntry | type) and not self._has_state

    def engine_arg_names(self) -> Sequence[str]:
        return train_args.argument_names()

    def is_native(self, data: Any) -> bool:
        if is_depth_yaml(data):
            return self.find_task() is Task.DEPTH
        return native.is_native(data, super().is_native)

    def check_options(self, options: TrainOptions) -> None:
        train_args.check_options(options, self.setup.device)
        self._check_task()
        if options.class_weights is not None:
            build.require_weighable(self.model, options.class_weights, own_loaders=self.has_native_data)
        if not self._is_entry:
            build.require_trainable(self.model)

    def _check_task(self) -> None:
        own = build.task_of(self.model) if not isinstance(self.given, ModelEntry) else self.find_task()
        require_task(self.known_task, own, self.setup.model_name)

    def accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        """Ultralytics accumulates up to its nominal batch size."""
        del steps
        return {"nbs": (options.engine_args or {}).get("nbs", batch_size)}

    # --- the model -----------------------------------------------------------------------------------------------

    def build(self, options: TrainOptions | None = None) -> None:
        """Create the object on first use, or again for each training of a named model, with the labels of the data."""
        build.require_hooks()
        self._make(options)
        if options is not None and self.data.source is not None and not self.has_native_data:
            self.label_names = self.dataset.label_names

    def _make(self, options: TrainOptions | None) -> None:
        if self._yolo is not None and (options is None or not isinstance(self.given, ModelEntry)):
            return
        given: Any = self.given
        if isinstance(given, Path):
            self.load_state(require_own_checkpoint(given, self.spec.suffixes))
            return
        if options is not None:
            self._has_state = False
        seed = options.seed if options is not None else 0
        with contained():
            torch.manual_seed(seed)
            self._take(build.build(given, self.setup.model_args))

    def _take(self, yolo: Any) -> None:
        build.task_of(yolo)
        if self._yolo is not None and self._yolo is not yolo and not isinstance(self.given, ModelEntry):
            callbacks = self._yolo.callbacks
            vars(self._yolo).update(vars(yolo))
            self._yolo.callbacks = callbacks
        else:
            self._yolo = yolo
        self._deployed = None

    def load_state(self, checkpoint: Path) -> None:
        given: Any = self.given
        if self._yolo is None and not isinstance(given, Path | ModelEntry | type):
            self._yolo = given
        opened = build.open_checkpoint(checkpoint)
        task = build.task_of(opened)
        if isinstance(given, ModelEntry) and given.tasks and task.value != given.tasks[0]:
            raise CheckpointError(
                f"checkpoint={str(checkpoint)!r} is of a model for {task.value!r}, not {given.tasks[0]!r}. "
                "Give a checkpoint of the same kind of model."
            )
        self._take(opened)
        self._has_state = True
        self.task, self.label_names = task, build.names_of(opened.model)

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        other = build.open_checkpoint(checkpoint).model
        mine, theirs = self.model.model.state_dict(), other.state_dict()
        fitting = [name for name, value in theirs.items() if name in mine and mine[name].shape == value.shape]
        if not fitting:
            raise CheckpointError(
                f"checkpoint={str(checkpoint)!r} has no tensor that fits {self.setup.model_name}. "
                "Give a checkpoint of the same kind of model."
            )
        self._warm = other
        names = build.names_of(other)
        shared = [name for name in self.label_names if name in names]
        if names != self.label_names:
            run.note(f"The checkpoint has other labels; weights were loaded for: {', '.join(shared) or 'none'}.")
        else:
            run.note(f"Started from {checkpoint.name}.")

    # --- training ------------------------------------------------------------------------------------------------

    _warm: torch.nn.Module | None = None

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        callback = RunCallback(run, self.task, options.metric, options.check_val_every_n_epoch or 1)
        last = callback.last_checkpoint if resume and callback.last_checkpoint.is_file() else None
        if resume and last is None:
            run.note("The run saved no checkpoint, so it starts over.")
        if last is not None and build.is_complete(last, options.max_epochs):
            return self._completed(callback, last, run)
        folder = run.directory / "upstream"
        folder.mkdir(parents=True, exist_ok=True)
        given, about = self._fit_data(options)
        validate.write_yaml(folder, about)
        threads = torch.get_num_threads()
        with contained():
            bound = self._make_trainer(options, callback, given, about, last, folder)
            used, replaced = train_args.effective_options(bound, options)
            run.update(effective_options=used)
            train.run(bound, threads)
            used, replaced = train_args.effective_options(bound, options)
            run.update(effective_options=used)
        for name in ("last.pt", "best.pt"):
            (folder / "weights" / name).unlink(missing_ok=True)
        self._warm = None
        best = callback.best_epoch if callback.best_epoch is not None else run.earlier.get("best_epoch")
        run.update(best_epoch=best)
        if not self._is_entry:
            self._deployed = None
        return FitResult(callback.best_checkpoint, callback.last_checkpoint, best, replaced)

    def _completed(self, callback: RunCallback, last: Path, run: Run) -> FitResult:
        """The result of a run that finished its epochs but not its clean-up; Ultralytics refuses to resume it."""
        build.require_labels(last, dict(enumerate(self.label_names)))
        run.note("All epochs had already been trained.")
        run.update(effective_options=run.earlier.get("effective_options") or {})
        return FitResult(
            callback.best_checkpoint, last, run.earlier.get("best_epoch"), run.earlier.get("overrides") or {}
        )

    @property
    def _is_entry(self) -> bool:
        return isinstance(self.given, ModelEntry)

    def _fit_data(self, options: TrainOptions) -> tuple[dict[str, Any], dict[str, Any]]:
        """The records or loaders by subset, and the facts for Ultralytics' data description."""
        if is_depth_yaml(self.data.source) and self.has_native_data:
            given = {name: depth_records(depth_samples(self.data.source, name)) for name in ("train", "val")}
            return given, depth_facts(self.data.source)
        if self.has_native_data:
            return native.fit_data(self.data.source, self.task)
        dataset = self.dataset
        if dataset.label_names != self.label_names:
            dataset = dataset.relabel(self.label_names)
        given = {name: records(dataset.subset(name), self.task) for name in ("train", "val")}
        train_args.check_batch(options, len(given["train"]))
        return given, facts(dataset, self.task)

    def _make_trainer(
        self,
        options: TrainOptions,
        callback: RunCallback,
        given: dict[str, Any],
        about: dict[str, Any],
        last: Path | None,
        folder: Path,
    ) -> Any:
        """Ultralytics' trainer for the task, bound to the data, with the initial weights."""
        yolo = self.model
        if last is not None:
            build.require_labels(last, about["names"])
        overrides = train_args.overrides_for(
            options, task=yolo.task, model=self._architecture(yolo), folder=folder, device=self.setup.device
        )
        if not isinstance(given["train"], list):
            overrides["close_mosaic"] = 0  # a user's own loader has no mosaic to turn off
        if last is not None:
            overrides.update(model=str(last), resume=str(last))
        bound = train.bind(yolo.task_map[yolo.task]["trainer"], given, about, callback, options.max_epochs)
        events = importlib.import_module("ultralytics.utils.callbacks.base").get_default_callbacks()
        for event, function in callback.events().items():
            events[event].append(function)
        for event, functions in yolo.callbacks.items():
            events[event] += [function for function in functions if function not in events[event]]
        if isinstance(options.class_weights, Mapping):
            events["on_pretrain_routine_end"].append(train.weigher(options.class_weights))
        for event, function in train_args.callbacks_of(options.callbacks):
            events[event].append(function)
        made = bound(overrides=overrides, _callbacks=events)
        if last is None:
            weights = self._warm if self._warm is not None else None if self._is_fresh else yolo.model
            made.model = made.get_model(cfg=yolo.model.yaml, weights=weights, verbose=False)
        return made

    @property
    def _is_fresh(self) -> bool:
        """Whether the weights of the object are random, so that nothing is lost by creating new ones."""
        return isinstance(self.given, ModelEntry) and "pretrained" not in self.setup.model_args

    @staticmethod
    def _architecture(yolo: Any) -> str:
        return str(yolo.model.yaml.get("yaml_file") or "model.yaml")

    # --- prediction --------------------------------------------------------------------------------------------------

    def _deploy(self) -> DeployedNetwork:
        if self._deployed is None or not self._is_entry:
            self._deployed = deploy(self.model)
        return self._deployed

    def infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        return infer(self._deploy(), images, device=self.setup.device, batch_size=batch_size, confidence=confidence)

    def cells(self) -> CellReader:
        return cells(self._deploy(), device=self.setup.device, name=self.setup.model_name)

    def features(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None
    ) -> Iterator[NDArray[np.float32]]:
        return features(self._deploy(), images, device=self.setup.device, batch_size=batch_size)

    def upstream_metrics(self, dataset: Dataset, batch_size: int | None) -> Mapping[str, float]:
        """By Ultralytics' validator, except for models whose validation needs a text encoder."""
        if build.learns_from_texts(self.model):
            return {}
        return self._validate(records(dataset, self.task), facts(dataset, self.task), batch_size)

    def _validate(self, given: list[Any], about: dict[str, Any], batch_size: int | None) -> dict[str, float]:
        return validate.upstream_metrics(self.model, given, about, device=self.setup.device, batch_size=batch_size)

    def test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        if not is_depth_yaml(data):
            return super().test_native(data, subset, batch_size)
        samples = depth_samples(data, subset)
        return Metrics(self._validate(depth_records(samples), depth_facts(data), batch_size))

    def native_samples(self, data: Any, subset: str) -> Sequence[Sample] | None:
        """The images of depth data, which are in Ultralytics' own layout."""
        return depth_samples(data, subset) if is_depth_yaml(data) else None

    def export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        from drivetrain.engines.ultralytics.export import export_source

        return export_source(self.model, format)
