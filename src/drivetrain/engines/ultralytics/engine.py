"""Ultralytics' models behind the common verbs; Ultralytics' own trainers do the work."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.engine import Engine, FitResult
from drivetrain.engines.ultralytics import SPEC, build, native, train, validate
from drivetrain.engines.ultralytics.containment import contained
from drivetrain.engines.ultralytics.data import facts, records
from drivetrain.engines.ultralytics.depth import depth_facts, depth_records, depth_samples, is_depth_yaml
from drivetrain.engines.ultralytics.predict import DeployedYolo, deploy, infer
from drivetrain.engines.ultralytics.states import RunCallback
from drivetrain.errors import CheckpointError, CheckpointNotFoundError, OptionError
from drivetrain.models.catalog import ModelEntry
from drivetrain.types import Metrics, Prediction, Task
from drivetrain.types.options import ExportFormat, ExportPrecision, TrainOptions

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run


class UltralyticsEngine(Engine):
    """Trains and runs YOLO and RT-DETR models through Ultralytics' own trainers.

    ``model_args`` of a model given by name: ``pretrained``, a local ``.pt`` to take weights from. ``engine_args`` are
    Ultralytics' own options (``mosaic``, ``optimizer``, ``cache``, ...). ``callbacks`` is a mapping of Ultralytics' own
    events to functions.
    """

    spec = SPEC
    unsupported_options: ClassVar = {}
    default_space: ClassVar = {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "engine_args.weight_decay": {"low": 1e-5, "high": 1e-2, "log": True},
    }
    _yolo: Any = None
    _deployed: DeployedYolo | None = None

    # --- what the engine knows -----------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """Ultralytics' own model object (``YOLO``, ``RTDETR``), built at the first use."""
        if self._yolo is None:
            self._build()
        return self._yolo

    @property
    def dataset(self) -> Dataset:
        """The data as a data set for the model's task, with train, val and test subsets."""
        self._task = self.task
        return super().dataset

    def _find_task(self) -> Task:
        given: Any = self.resolution.model
        if isinstance(given, ModelEntry) and given.tasks:
            return Task.parse(given.tasks[0])
        return build.task_of(self.model)

    def _find_label_names(self) -> tuple[str, ...]:
        if self._is_new and self._data is not None and not self.has_native_data:
            return self.dataset.label_names
        return build.names_of(self.model.model)

    @property
    def _is_new(self) -> bool:
        """Whether the model is made here and was not trained yet, so that the data say what its labels are."""
        return isinstance(self.resolution.model, ModelEntry | type) and self._state is None

    def _engine_arg_names(self) -> Sequence[str]:
        return train.argument_names()

    def _is_native(self, data: Any) -> bool:
        if is_depth_yaml(data):
            return self._find_task() is Task.DEPTH
        return native.is_native(data, super()._is_native)

    def _check_options(self, options: TrainOptions) -> None:
        train.check_options(options, self.device)
        super()._check_options(options)
        self._check_task()
        if not self._is_entry:
            build.require_trainable(self.model)

    def _check_task(self) -> None:
        own = build.task_of(self.model) if not isinstance(self.resolution.model, ModelEntry) else self._find_task()
        if self._task is not None and self._task is not own:
            raise OptionError(
                f"task={self._task.value!r}, but {self._model_text} is a model for the task {own.value!r}. "
                f"List those for it: drivetrain find --task {self._task.value}"
            )

    def _accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        """Ultralytics accumulates up to its nominal batch size."""
        del steps
        return {"nbs": (options.engine_args or {}).get("nbs", batch_size)}

    # --- the model -----------------------------------------------------------------------------------------------

    def _build(self, options: TrainOptions | None = None) -> None:
        """Make the object at the first use, and anew for each training of a name; training takes the data's labels."""
        build.require_hooks()
        self._make(options)
        if options is not None and self._data is not None and not self.has_native_data:
            self._label_names = self.dataset.label_names

    def _make(self, options: TrainOptions | None) -> None:
        if self._yolo is not None and (options is None or not isinstance(self.resolution.model, ModelEntry)):
            return
        given: Any = self.resolution.model
        if isinstance(given, Path):
            found = self._own_checkpoint()
            if found is None:
                raise CheckpointNotFoundError(
                    f"model={str(given)!r} has no checkpoint. Train again with overwrite=True."
                )
            self._load_state(found)
            return
        if options is not None:
            self._state = self._chosen = None
        seed = options.seed if options is not None else 0
        with contained():
            torch.manual_seed(seed)
            self._take(build.build(given, self.model_args))

    def _take(self, yolo: Any) -> None:
        build.task_of(yolo)
        if self._yolo is not None and self._yolo is not yolo and not isinstance(self.resolution.model, ModelEntry):
            callbacks = self._yolo.callbacks
            vars(self._yolo).update(vars(yolo))
            self._yolo.callbacks = callbacks
        else:
            self._yolo = yolo
        self._deployed = None

    def _load_state(self, checkpoint: Path) -> None:
        given: Any = self.resolution.model
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
        self._task, self._label_names = task, build.names_of(opened.model)

    def _warm_start(self, checkpoint: Path, run: Run) -> None:
        other = build.open_checkpoint(checkpoint).model
        mine, theirs = self.model.model.state_dict(), other.state_dict()
        fitting = [name for name, value in theirs.items() if name in mine and mine[name].shape == value.shape]
        if not fitting:
            raise CheckpointError(
                f"checkpoint={str(checkpoint)!r} has no tensor that fits {self._model_text}. "
                "Give a checkpoint of the same kind of model."
            )
        self._warm = other
        names = build.names_of(other)
        shared = [name for name in self.label_names if name in names]
        if names != self.label_names:
            run.note(f"The checkpoint has other labels; weights were taken over for: {', '.join(shared) or 'none'}.")
        else:
            run.note(f"Started from {checkpoint.name}.")

    # --- training ------------------------------------------------------------------------------------------------

    _warm: torch.nn.Module | None = None

    def _fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        keeper = RunCallback(run, self.task, options.metric)
        last = keeper.last_checkpoint if resume and keeper.last_checkpoint.is_file() else None
        if resume and last is None:
            run.note("The run left no state, so it begins anew.")
        folder = run.directory / "upstream"
        folder.mkdir(parents=True, exist_ok=True)
        given, about = self._fit_data(options)
        validate.write_yaml(folder, about)
        threads = torch.get_num_threads()
        with contained():
            bound = self._make_trainer(options, keeper, given, about, last, folder)
            used, replaced = train.effective(bound, options)
            run.update(effective_options=used)
            train.run(bound, threads)
            used, replaced = train.effective(bound, options)
            run.update(effective_options=used)
        for name in ("last.pt", "best.pt"):
            (folder / "weights" / name).unlink(missing_ok=True)
        self._warm = None
        best = keeper.best_epoch if keeper.best_epoch is not None else self._recorded.content.get("best_epoch")
        run.update(best_epoch=best)
        if not self._is_entry:
            self._deployed = None
        return FitResult(keeper.best_checkpoint, keeper.last_checkpoint, best, replaced)

    @property
    def _is_entry(self) -> bool:
        return isinstance(self.resolution.model, ModelEntry)

    def _fit_data(self, options: TrainOptions) -> tuple[dict[str, Any], dict[str, Any]]:
        """The records or loaders by subset, and what Ultralytics calls the data."""
        if is_depth_yaml(self._data) and self.has_native_data:
            given = {name: depth_records(depth_samples(self._data, name)) for name in ("train", "val")}
            return given, depth_facts(self._data)
        if self.has_native_data:
            return native.fit_data(self._data, self.task)
        dataset = self.dataset
        if dataset.label_names != self.label_names:
            dataset = dataset.relabel(self.label_names)
        given = {name: records(dataset.subset(name), self.task) for name in ("train", "val")}
        train.check_batch(options, len(given["train"]))
        return given, facts(dataset, self.task)

    def _make_trainer(
        self,
        options: TrainOptions,
        keeper: RunCallback,
        given: dict[str, Any],
        about: dict[str, Any],
        last: Path | None,
        folder: Path,
    ) -> Any:
        """Ultralytics' trainer of the task, bound to the data, with the weights that training begins from."""
        yolo = self.model
        if last is not None:
            build.require_labels(last, about["names"])
        overrides = train.overrides_for(
            options, task=yolo.task, model=self._architecture(yolo), folder=folder, device=self.device
        )
        if not isinstance(given["train"], list):
            overrides["close_mosaic"] = 0  # a loader of the user's has no mosaic to end
        if last is not None:
            overrides.update(model=str(last), resume=str(last))
        bound = train.bind(yolo.task_map[yolo.task]["trainer"], given, about, keeper, options.max_epochs)
        events = importlib.import_module("ultralytics.utils.callbacks.base").get_default_callbacks()
        for event, function in keeper.events().items():
            events[event].append(function)
        for event, functions in yolo.callbacks.items():
            events[event] += [function for function in functions if function not in events[event]]
        for event, function in train.callbacks_of(options.callbacks):
            events[event].append(function)
        made = bound(overrides=overrides, _callbacks=events)
        if last is None:
            weights = self._warm if self._warm is not None else None if self._is_fresh else yolo.model
            made.model = made.get_model(cfg=yolo.model.yaml, weights=weights, verbose=False)
        return made

    @property
    def _is_fresh(self) -> bool:
        """Whether the weights of the object are random and nothing is lost by making new ones."""
        return isinstance(self.resolution.model, ModelEntry) and "pretrained" not in self.model_args

    @staticmethod
    def _architecture(yolo: Any) -> str:
        return str(yolo.model.yaml.get("yaml_file") or "model.yaml")

    # --- asking --------------------------------------------------------------------------------------------------

    def _deploy(self) -> DeployedYolo:
        if self._deployed is None or not self._is_entry:
            self._deployed = deploy(self.model)
        return self._deployed

    def _infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        return infer(self._deploy(), images, device=self.device, batch_size=batch_size, confidence=confidence)

    def _upstream_metrics(self, dataset: Dataset, batch_size: int | None) -> Mapping[str, float]:
        """By Ultralytics' validator, except for models whose validation needs a text encoder."""
        if build.learns_from_texts(self.model):
            return {}
        return self._validate(records(dataset, self.task), facts(dataset, self.task), batch_size)

    def _validate(self, given: list[Any], about: dict[str, Any], batch_size: int | None) -> dict[str, float]:
        return validate.upstream_metrics(self.model, given, about, device=self.device, batch_size=batch_size)

    def _test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        if not is_depth_yaml(data):
            return super()._test_native(data, subset, batch_size)
        from drivetrain.metrics import evaluate

        samples = depth_samples(data, subset)
        images = self._decode([sample.path for sample in samples], strict=False)
        predictions = self._collect(self._infer(images, batch_size=batch_size, confidence=0.0), images)
        metrics = evaluate(samples, predictions, task=Task.DEPTH, label_names=self.label_names)
        return metrics.merged(self._validate(depth_records(samples), depth_facts(data), batch_size))

    def _export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        from drivetrain.engines.ultralytics.export import export_source

        return export_source(self.model, format)

    def _verification_images(self) -> list[str]:
        if not (is_depth_yaml(self._data) and self.has_native_data):
            return super()._verification_images()
        return [sample.path for sample in depth_samples(self._data, "val")][:8]

    def _artifact_name(self, format: ExportFormat, precision: ExportPrecision) -> str:  # noqa: A002
        """Ultralytics knows the folder of an IR by the end of its name."""
        name = super()._artifact_name(format, precision)
        return f"{precision}_openvino_model" if format == "openvino" else name
