"""OpenVINO's implementation of the framework hooks: loading and running an artefact."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from drivetrain.engine import Framework
from drivetrain.errors import OptionError, UnsupportedError, UnsupportedOptionError, either
from drivetrain.images.auto_tiling import TileChoice
from drivetrain.runtime import Predictor, load
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.cells import cell_output, cell_reader
from drivetrain.runtime.feature_output import feature_output, read_features
from drivetrain.runtime.sessions import RuntimePrecision, Session
from drivetrain.types import Prediction, Task

if TYPE_CHECKING:
    from drivetrain.engine.framework import CellReader
    from drivetrain.types.options import TrainOptions

_DEVICES = {"auto": "CPU", "cpu": "CPU", "gpu": "GPU", "xpu": "GPU", "npu": "NPU"}


class OpenVINOFramework(Framework):
    """Loads and runs an artefact."""

    _predictor: Predictor | None = None
    _with_cells: Session | None = None
    _with_features: Session | None = None

    @property
    def model(self) -> Predictor:
        """The loaded artefact."""
        if self._predictor is None:
            self.build()
        assert self._predictor is not None
        return self._predictor

    def build(self, options: TrainOptions | None = None) -> None:  # noqa: ARG002  (it never trains)
        if self._predictor is not None:
            return
        given: Any = self.given
        if isinstance(given, Predictor):
            self._predictor = self._as_loaded(given)
        elif isinstance(given, Path):
            self._predictor = load(given, device=self._openvino_device())
        else:
            raise UnsupportedError(
                f"OpenVINOEngine runs artefact folders, .xml and .onnx files, not a {type(given).__name__}. "
                "Export the model first: "
                f"{either('Engine(model, data).export()', 'drivetrain export --model MODEL')}."
            )

    def _as_loaded(self, predictor: Predictor) -> Predictor:
        """The artefact returned by ``load``, whose device and precision are already chosen."""
        if self.setup.device != "auto":
            raise OptionError(
                f"device={self.setup.device!r} cannot be given together with a loaded artefact. Choose the device when "
                "it is loaded."
            )
        return predictor

    def _openvino_device(self) -> str:
        name, dot, rest = self.setup.device.partition(".")
        if name.lower() not in _DEVICES:
            raise OptionError(
                f"device={self.setup.device!r} is not an OpenVINO device. Allowed: {', '.join(_DEVICES)}, GPU.1."
            )
        return _DEVICES[name.lower()] + dot + rest

    def infer(
        self,
        images: Iterable[tuple[str, NDArray[np.uint8]]],
        *,
        batch_size: int | None,
        confidence: float,
    ) -> Iterator[Prediction]:
        if batch_size is not None:
            raise _one_at_a_time(batch_size)
        paths: deque[str] = deque()
        stream = iter(images)
        first = next(stream, None)
        if first is None:  # no image could be read
            return

        def pixels() -> Iterator[NDArray[np.uint8]]:
            for path, image in chain([first], stream):
                paths.append(path)
                yield image

        threshold = confidence if self.task.has_objects else None
        for answer in self.model.predict(pixels(), stream=True, confidence=threshold, sensitivity=self.sensitivity):
            yield replace(answer, path=paths.popleft())

    def usual_tile(self) -> TileChoice | None:
        chosen = self.model.artifact.tiling
        return TileChoice.from_dict(chosen) if chosen else None

    @property
    def artifact(self) -> Artifact:
        if self._predictor is None and isinstance(self.given, Path):
            return Artifact.open(self.given)
        return self.model.artifact

    def runtime_options(self) -> dict[str, Any]:
        if not isinstance(self.given, Predictor):
            return {"device": self._openvino_device()}
        facts = self.given.session.facts
        known = facts["precision"] in get_args(RuntimePrecision)
        return {
            "device": facts["device"],
            "precision": facts["precision"] if known else "auto",
            "backend": facts["runtime"].partition(" ")[0],
        }

    def cells(self) -> CellReader:
        predictor, artifact = self.model, self.model.artifact
        if self._with_cells is None:
            self._with_cells = predictor.inside(cell_output(artifact))
        session = self._with_cells
        return lambda images: predictor.ask_inside(session, images, cell_reader(artifact))

    def features(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None
    ) -> Iterator[NDArray[np.float32]]:
        if batch_size is not None:
            raise _one_at_a_time(batch_size)
        if self._with_features is None:
            self._with_features = self.model.inside(feature_output(self.model.artifact))
        return self.model.ask_inside(self._with_features, images, read_features)

    def default_confidence(self) -> float:
        chosen = self.model.artifact.decoder_args.get("confidence_threshold")
        return super().default_confidence() if chosen is None else float(chosen)

    def used_sensitivity(self) -> float | None:
        return self.model.sensitivity if self.sensitivity is None else self.sensitivity

    def find_task(self) -> Task:
        return self.model.task

    def find_label_names(self) -> tuple[str, ...]:
        return self.model.label_names or super().find_label_names()


def _one_at_a_time(batch_size: int) -> UnsupportedOptionError:
    return UnsupportedOptionError(
        f"batch_size={batch_size} cannot be honoured: an artefact takes one image at a time, and several at once on "
        "several streams. Leave it out."
    )
