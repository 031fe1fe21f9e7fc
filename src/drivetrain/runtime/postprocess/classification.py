"""Decoders of classifiers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from drivetrain.runtime.postprocess.base import Decoder, Outputs, activate, pick
from drivetrain.types import ImageSpec, Prediction


class ClassificationDecoder(Decoder):
    """One label for an image.

    ``decoder_args``: ``output`` (name; by default the first), ``activation`` (``"softmax"`` by default, ``"none"`` if
    the graph gives probabilities).
    """

    arguments: ClassVar[frozenset[str]] = frozenset({"output", "activation"})
    default_activation: ClassVar[str] = "softmax"

    def __init__(self, decoder_args: dict[str, Any], label_names: tuple[str, ...], image_spec: ImageSpec) -> None:
        super().__init__(decoder_args, label_names, image_spec)
        self._output: str | None = decoder_args.get("output")
        self._activation = str(decoder_args.get("activation", self.default_activation))
        activate(np.zeros(1, np.float32), self._activation)

    def probabilities(self, outputs: Outputs) -> np.ndarray[Any, np.dtype[np.float32]]:
        """``(C,) float32``."""
        return activate(pick(outputs, self._output).reshape(-1), self._activation)

    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The best label."""
        probabilities = self.probabilities(outputs)
        labels = np.array([int(probabilities.argmax())], np.int64)
        return Prediction(path, size, labels=labels, scores=probabilities[labels], probabilities=probabilities)


class MultilabelDecoder(ClassificationDecoder):
    """Any number of labels for an image.

    ``decoder_args``: those of :class:`ClassificationDecoder` (``activation`` is ``"sigmoid"`` by default) and
    ``confidence_threshold`` (0.5).
    """

    arguments: ClassVar[frozenset[str]] = frozenset({"output", "activation", "confidence_threshold"})
    takes_confidence: ClassVar[bool] = True
    default_activation: ClassVar[str] = "sigmoid"

    def __init__(self, decoder_args: dict[str, Any], label_names: tuple[str, ...], image_spec: ImageSpec) -> None:
        super().__init__(decoder_args, label_names, image_spec)
        self._threshold = float(decoder_args.get("confidence_threshold", 0.5))

    def decode(self, outputs: Outputs, size: tuple[int, int], path: str) -> Prediction:
        """The labels at or above the threshold, by number."""
        probabilities = self.probabilities(outputs)
        labels = np.flatnonzero(probabilities >= self._threshold).astype(np.int64)
        return Prediction(path, size, labels=labels, scores=probabilities[labels], probabilities=probabilities)
