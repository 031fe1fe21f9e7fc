"""A model that remembers the mean colour of each class, and its engine."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from colour_engine import SPEC
from drivetrain.engine import Engine, FitResult, Framework
from drivetrain.errors import CheckpointError
from drivetrain.images.read import read_image
from drivetrain.machine import files
from drivetrain.runs.run import Run
from drivetrain.types import Prediction, Task
from drivetrain.types.options import TrainOptions


def list_models() -> dict[str, Any]:
    """The catalogue, with a single model."""
    row = {"name": "mean", "tasks": ["classification"], "class_path": "colour_engine.engine:MeanColour"}
    return {"models": [row], "arguments": {}}


class MeanColour:
    """The mean colour of each class."""

    def __init__(self) -> None:
        self.colours: dict[str, list[float]] = {}

    def similarity(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``(C,) float32``: how close the colour of the image is to that of each class; they add up to 1."""
        distance = np.linalg.norm(np.array(list(self.colours.values())) - image.mean((0, 1)), axis=1)
        weights = np.exp(-(distance - distance.min()) / 50)
        return np.asarray(weights / weights.sum(), np.float32)


class ColourFramework(Framework):
    """Creates, trains and runs a :class:`MeanColour`."""

    unsupported_options: ClassVar = dict.fromkeys(
        (
            *("batch_size", "learning_rate", "image_size", "precision", "patience"),
            *("val_check_interval", "check_val_every_n_epoch"),
            *("num_workers", "devices", "callbacks", "logger", "metric", "resume"),
        ),
        "mean colours are computed, not trained; leave it out",
    )
    _model: MeanColour | None = None

    @property
    def model(self) -> MeanColour:
        """The model, built on first use."""
        if self._model is None:
            self.build()
        assert self._model is not None
        return self._model

    def build(self, options: TrainOptions | None = None) -> None:
        given = self.given
        if isinstance(given, MeanColour):
            self._model = given
        elif self._model is None:
            self._model = MeanColour()
            if self.own_checkpoint is not None:
                self.load_state(self.own_checkpoint)

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        train = self.dataset.relabel(self.label_names).subset("train")
        run.update(effective_options={"max_epochs": 1})
        run.progress.start(epochs=1, steps_per_epoch=1)
        means = np.array([read_image(path).mean((0, 1)) for path in train.paths])
        self.model.colours = {
            name: [float(value) for value in means[train.image_labels == label].mean(0)]
            for label, name in enumerate(self.label_names)
        }
        run.progress.step(epoch=0, step=0, images=len(train))
        last = run.checkpoints / "last.colours"
        files.write_json(last, self.model.colours)
        run.log_epoch(0, {"train/accuracy": self._accuracy(train.paths, train.image_labels)})
        asked = options.max_epochs or 1
        return FitResult(None, last, overrides={"max_epochs": (asked, 1)} if asked > 1 else {})

    def _accuracy(self, paths: Iterable[str], labels: NDArray[np.int64]) -> float:
        return float(np.mean([self.model.similarity(read_image(path)).argmax() for path in paths] == labels))

    def infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        for path, image in images:
            answer = self.model.similarity(image)
            best = answer.argmax(keepdims=True)
            size = (image.shape[0], image.shape[1])
            yield Prediction(path, size, labels=best, scores=answer[best], probabilities=answer)

    def load_state(self, checkpoint: Path) -> None:
        if self._model is None:
            self._model = MeanColour()
        try:
            self._model.colours = json.loads(checkpoint.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"checkpoint={str(checkpoint)!r} is not one of the colour engine.") from error
        self.label_names, self.task = tuple(self._model.colours), Task.CLASSIFICATION

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        run.note("Mean colours are computed again; nothing was taken over from the checkpoint.")


class ColourEngine(Engine):
    """Learns in one pass over the images, so training is a single epoch."""

    spec = SPEC
    framework_class = ColourFramework
