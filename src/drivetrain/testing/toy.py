"""A complete engine in one short file, to read before writing your own.

Its framework is numpy: a linear classifier on a thumbnail of the image. Importing this module registers the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drivetrain.engine import Engine, FitResult, Framework
from drivetrain.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    ModelError,
    UnsupportedError,
    UnsupportedOptionError,
)
from drivetrain.images.read import read_image
from drivetrain.machine import files
from drivetrain.machine.packages import openvino
from drivetrain.models.catalog import ModelSource, signature_arguments
from drivetrain.models.registry import register_engine
from drivetrain.models.spec import EngineSpec
from drivetrain.runtime.preprocess import preprocess
from drivetrain.types import ImageSpec, Prediction, Task
from drivetrain.types.options import TrainOptions, check_choice

if TYPE_CHECKING:
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run
    from drivetrain.types.options import ExportFormat

# 1. The description of the engine, as data: choosing an engine reads this and imports nothing.
SPEC = EngineSpec(
    name="toy",
    class_path="drivetrain.testing.toy:ToyEngine",
    install="pip install drivetrain",
    claims=("drivetrain:ToyModel",),
    sources=(ModelSource("toy", "drivetrain", "drivetrain", "drivetrain.testing.toy:list_models"),),
    tasks=(Task.CLASSIFICATION,),
    hooks=("infer", "fit", "load_state", "warm_start", "export_source", "features"),  # the verbs follow from them
    checkpoint_suffixes=(".npz",),
    summary="A linear classifier in numpy, for tests and as an example.",
)


def list_models() -> dict[str, Any]:
    """The models shown by ``drivetrain find``; called once per version, in a separate process."""
    row = {"name": "linear", "tasks": ["classification"], "class_path": "drivetrain.testing.toy:ToyModel"}
    return {"models": [{**row, "family": "linear"}], "arguments": {"linear": signature_arguments(ToyModel)}}


# 2. The framework. Yours already exists.
class ToyModel:
    """Softmax regression on the pixels of a thumbnail.

    Args:
        image_size: side of the thumbnail, in pixels.
        momentum: the momentum of the gradient descent.
    """

    def __init__(self, image_size: int = 8, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.reset((), image_size)

    def reset(self, label_names: Sequence[str], image_size: int) -> None:
        """Discard all weights and prepare for these labels."""
        self.label_names, self.image_size = tuple(label_names), image_size
        self.weights = np.zeros((3 * image_size**2, len(label_names)), np.float32)
        self.speed = np.zeros_like(self.weights)
        self.epochs = 0

    @property
    def image_spec(self) -> ImageSpec:
        """How an image becomes an input: a stretched thumbnail with values centred on zero."""
        half = (0.5, 0.5, 0.5)
        return ImageSpec(self.image_size, self.image_size, mean=half, std=half)

    def probabilities(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Softmax, ``(N, C) float32``, of ``(N, 3 * size * size) float32``."""
        logits = inputs @ self.weights
        exponents = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(exponents / exponents.sum(1, keepdims=True), np.float32)

    def learn(self, parts: Sequence[tuple[NDArray[np.float32], NDArray[np.int64]]], rate: float) -> float:
        """One step of gradient descent over the parts of a batch, one at a time; return the loss before the step."""
        size = sum(len(labels) for _, labels in parts)
        gradient, loss = np.zeros_like(self.weights), 0.0
        for inputs, labels in parts:
            answers = self.probabilities(inputs)
            rows = np.arange(len(labels))
            loss -= float(np.log(answers[rows, labels] + 1e-12).sum()) / size
            answers[rows, labels] -= 1
            gradient += inputs.T @ answers / np.float32(size * inputs.shape[1])
        self.speed = np.float32(self.momentum) * self.speed - np.float32(rate) * gradient
        self.weights = self.weights + self.speed
        return loss


# 3. The framework behind the verbs: its hooks are all that an engine's author writes.
class ToyFramework(Framework):
    """Creates, trains and runs a :class:`ToyModel`."""

    unsupported_options: ClassVar = {
        name: f"the toy engine has no {name}; leave it out"
        for name in (
            "precision",
            "num_workers",
            "devices",
            "callbacks",
            "logger",
            "val_check_interval",
            "check_val_every_n_epoch",
        )
    }
    default_space: ClassVar = {"learning_rate": {"low": 0.01, "high": 1.0, "log": True}, "model.momentum": [0.5, 0.9]}
    _model: ToyModel | None = None
    _folder: TemporaryDirectory[str] | None = None  # temporary files of the export; removed with the framework

    @property
    def model(self) -> ToyModel:
        """The model, built on first use."""
        if self._model is None:
            self.build()
        assert self._model is not None
        return self._model

    def build(self, options: TrainOptions | None = None) -> None:
        given = self.given
        if isinstance(given, ToyModel):
            self._model = given
        elif isinstance(given, Path):
            self._open(given)
        elif self._model is None or options is not None:
            self._model = ToyModel(**self.setup.model_args)
        if options is not None:
            self._prepare(options)

    def _open(self, path: Path) -> None:
        """Open the model of a checkpoint or a work dir."""
        if self._model is None:
            checkpoint = self.own_checkpoint
            if checkpoint is None:
                raise CheckpointNotFoundError(f"model={str(path)!r} has no checkpoint. Train with overwrite=True.")
            self.load_state(checkpoint)

    def _prepare(self, options: TrainOptions) -> None:
        """Adapt the model to the data and the options; weights that already fit are kept."""
        if self.task is not Task.CLASSIFICATION:
            raise UnsupportedError(f"ToyEngine trains classification, not task={self.task.value!r}.")
        size = options.image_size_hw or (self.model.image_size, self.model.image_size)
        if size[0] != size[1]:
            raise UnsupportedOptionError(f"image_size={options.image_size!r}: the toy model takes squares only.")
        if (self.model.label_names, self.model.image_size) != (self.label_names, size[0]):
            self.model.reset(self.label_names, size[0])

    def engine_arg_names(self) -> Sequence[str]:
        return ("momentum", "accumulate")

    def accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        del batch_size
        return {"accumulate": steps * (options.engine_args or {}).get("accumulate", 1)}

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        best, last = run.checkpoints / "best.npz", run.checkpoints / "last.npz"
        name = options.metric or "val/accuracy"
        check_choice("metric", name, ("val/accuracy", "val/loss"))
        run.metric, sign = name, -1 if name == "val/loss" else 1
        epochs, batch, rate = options.max_epochs or 5, options.batch_size or 8, options.learning_rate or 0.1
        self.model.momentum = (options.engine_args or {}).get("momentum", self.model.momentum)
        run.update(effective_options=self._used(options, epochs, batch, rate))
        train, validation = self._load("train"), self._load("val")
        if resume:
            self.load_state(last)
        else:
            self.model.epochs, self.model.speed = 0, np.zeros_like(self.model.speed)
            self._save(last)
        parts = (options.engine_args or {}).get("accumulate", 1)
        steps = -(-len(train[1]) // (batch * parts))
        run.progress.start(epochs=epochs, steps_per_epoch=steps, first_epoch=self.model.epochs)
        while self.model.epochs < epochs:
            epoch = self.model.epochs
            order = np.random.default_rng([options.seed, epoch]).permutation(len(train[1]))
            losses = list(self._steps(train, np.array_split(order, steps), parts, rate, run))
            metrics = {"train/loss": float(np.mean(losses)), **self._validate(*validation)}
            scores = [sign * row[name] for row in (*(record.metrics for record in run.history[:epoch]), metrics)]
            self.model.epochs += 1
            if int(np.argmax(scores)) == epoch:
                self._save(best)
            run.log_epoch(epoch, metrics)
            self._save(last)
            if options.patience is not None and epoch - int(np.argmax(scores)) >= options.patience:
                break
        return FitResult(best, last, best_epoch=int(np.argmax([sign * row.metrics[name] for row in run.history])))

    def _used(self, options: TrainOptions, epochs: int, batch: int, rate: float) -> dict[str, Any]:
        """The options that the training actually uses, under their own names."""
        return {
            "max_epochs": epochs,
            "batch_size": batch,
            "learning_rate": rate,
            "momentum": self.model.momentum,
            "accumulate": (options.engine_args or {}).get("accumulate", 1),
            "image_size": self.model.image_size,
            "patience": options.patience,
            "seed": options.seed,
        }

    def _steps(
        self,
        train: tuple[NDArray[np.float32], NDArray[np.int64]],
        batches: Sequence[NDArray[np.int64]],
        parts: int,
        rate: float,
        run: Run,
    ) -> Iterator[float]:
        """One epoch; the order of the images depends only on seed and epoch, so a resumed run sees the same."""
        inputs, labels = train
        for step, rows in enumerate(batches):
            loss = self.model.learn([(inputs[part], labels[part]) for part in np.array_split(rows, parts)], rate)
            run.progress.step(epoch=self.model.epochs, step=step, images=len(rows), loss=loss)
            yield loss

    def _validate(self, inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
        answers = self.model.probabilities(inputs)
        loss = -np.log(answers[np.arange(len(labels)), labels] + 1e-12).mean()
        return {"val/loss": float(loss), "val/accuracy": float((answers.argmax(1) == labels).mean())}

    def _load(self, subset: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        dataset, spec = self.dataset.relabel(self.label_names).subset(subset), self.model.image_spec
        inputs = np.stack([preprocess(read_image(path), spec).ravel() for path in dataset.paths])
        return inputs, dataset.image_labels

    def infer(
        self,
        images: Iterable[tuple[str, NDArray[np.uint8]]],
        *,
        batch_size: int | None,
        confidence: float,  # noqa: ARG002  (the best class is returned whatever its score)
    ) -> Iterator[Prediction]:
        if not self.model.label_names:
            raise ModelError("The toy model has no labels yet. Train it first: engine.train().")
        images = iter(images)
        while batch := list(islice(images, batch_size or 32)):
            inputs = np.stack([preprocess(image, self.model.image_spec).ravel() for _, image in batch])
            for (path, image), answer in zip(batch, self.model.probabilities(inputs), strict=True):
                best = answer.argmax(keepdims=True)
                size = (image.shape[0], image.shape[1])
                yield Prediction(path, size, labels=best, scores=answer[best], probabilities=answer)

    def features(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None
    ) -> Iterator[NDArray[np.float32]]:
        del batch_size  # one after the other: there is nothing to gain
        for _, image in images:
            yield preprocess(image, self.model.image_spec).ravel()

    def _save(self, path: Path) -> None:
        model = self.model
        with files.whole_file(path) as unfinished:
            np.savez(
                unfinished,
                weights=model.weights,
                speed=model.speed,
                label_names=np.array(model.label_names),
                image_size=np.array(model.image_size),
                epochs=np.array(model.epochs),
            )

    def load_state(self, checkpoint: Path) -> None:
        if self._model is None:
            self._model = ToyModel(**self.setup.model_args)
        state = _read(checkpoint)
        self._model.reset(tuple(map(str, state["label_names"])), int(state["image_size"]))
        self._model.weights, self._model.speed = state["weights"], state["speed"]
        self._model.epochs = int(state["epochs"])
        self.label_names, self.task = self._model.label_names, Task.CLASSIFICATION

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        state, model = _read(checkpoint), self.model
        if int(state["image_size"]) != model.image_size:
            raise CheckpointError(
                f"checkpoint={str(checkpoint)!r} has image_size={state['image_size']}, not {model.image_size}. "
                f"Give image_size={state['image_size']}."
            )
        names = tuple(map(str, state["label_names"]))
        shared = [name for name in model.label_names if name in names]
        for name in shared:
            model.weights[:, model.label_names.index(name)] = state["weights"][:, names.index(name)]
        if names != model.label_names:
            run.note(f"The checkpoint has other labels; weights were loaded for: {', '.join(shared) or 'none'}.")

    def export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        if format != "openvino":
            raise UnsupportedError(f"ToyEngine cannot export format={format!r}; it can export 'openvino'.")
        ov = openvino()
        ops = ov.opset13

        from drivetrain.export.source import ExportSource

        spec = self.model.image_spec
        image = ops.parameter([-1, 3, spec.height, spec.width], np.float32, name="image")
        row = ops.reshape(image, np.array([-1, 3 * spec.height * spec.width]), special_zero=False)
        logits = ops.matmul(row, ops.constant(self.model.weights), transpose_a=False, transpose_b=False)
        self._folder = TemporaryDirectory()
        graph = Path(self._folder.name) / "toy.xml"
        ov.save_model(ov.Model([logits], [image]), graph, compress_to_fp16=False)
        return ExportSource(
            ir=graph,
            image_spec=spec,
            task=Task.CLASSIFICATION,
            label_names=self.model.label_names,
            decoder="classification",
            output_names=("logits",),
            dynamic_batch=True,
        )


# 4. The engine: the verbs are inherited.
@register_engine(SPEC)
class ToyEngine(Engine):
    """Trains :class:`ToyModel`."""

    spec = SPEC
    framework_class = ToyFramework


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ("weights", "speed", "label_names", "image_size", "epochs")}
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"checkpoint={str(path)!r} is not a checkpoint of the toy engine ({error}).") from error
