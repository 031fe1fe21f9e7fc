"""The interface between a source's model and the common training, prediction and export."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict

from torch import Tensor, nn

from drivetrain.types import ImageSpec, Task


class Target(TypedDict, total=False):
    """The annotations of one image of a batch, in pixels of the model input.

    Attributes:
        number: the number of the image in its data set.
        labels: ``(N,) int64``, 0-based.
        boxes: ``(N, 4) float32`` xyxy, each with an area.
        masks: ``(N, H, W) uint8`` of zeros and ones.
        keypoints: ``(N, K, 3) float32`` x, y, visibility (0 absent).
        class_map: ``(H, W) int64``; 255 is ignored.
    """

    number: Tensor
    labels: Tensor
    boxes: Tensor
    masks: Tensor
    keypoints: Tensor
    class_map: Tensor


@dataclass(frozen=True, slots=True)
class Decoding:
    """How the outputs become predictions, in the engine and in the artefact.

    Attributes:
        decoder: name in :data:`drivetrain.runtime.postprocess.DECODERS`.
        arguments: arguments of the decoder.
        outputs: names of the outputs, in order.
        dynamic_batch: whether the graph accepts several images at once.
        traced: whether ONNX is also written by tracing, because the output sizes depend on values.
    """

    decoder: str
    arguments: Mapping[str, Any]
    outputs: tuple[str, ...]
    dynamic_batch: bool
    traced: bool


class VisionAdapter(ABC):
    """One model of one source.

    Attributes:
        net: the source's own object.
        source: ``"torchvision"``, ``"transformers"``, or ``""`` if the object was given and cannot be recreated.
        name: name of the architecture.
        args: plain arguments, enough to create the network again without its weights.
        task: the task of the model.
        spec: how its images are prepared, at the source's own size for it.
        label_names: the model's own label names; ``None`` if it only has numbers.
        keypoints: the number of keypoints per object.
        rate: a suitable learning rate from random weights.
        pretrained: whether it has been trained at all.
        notes: notes for the user.
    """

    #: Whether a step may leave parameters without a gradient, as where a batch has no object.
    skips_parameters: ClassVar[bool] = False

    def __init__(self, net: nn.Module, *, source: str, name: str, args: Mapping[str, Any], task: Task) -> None:
        self.net = net
        self.source, self.name, self.args, self.task = source, name, dict(args), task
        self.label_names: tuple[str, ...] | None = None
        self.keypoints = 0
        self.rate = 1e-3
        self.pretrained = not source
        self.notes: list[str] = []

    @property
    def recorded_args(self) -> dict[str, Any]:
        """Plain arguments, enough to create the network again without its weights; for checkpoints."""
        return self.args

    @property
    @abstractmethod
    def spec(self) -> ImageSpec:
        """How an image becomes the input, at the source's own size."""

    @property
    @abstractmethod
    def decoding(self) -> Decoding:
        """How the outputs are decoded."""

    @abstractmethod
    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """The components of the loss of ``(B, 3, H, W)`` normalised images, in training mode.

        They are summed, unless there is a component ``"total"``: then it is the loss, and the others are only logged.
        """

    @abstractmethod
    def answers(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Per image the outputs by name, each with a leading axis of 1 if the graph has one; in evaluation mode."""

    @abstractmethod
    def graph(self) -> nn.Module:
        """The module to export, sharing weights: ``(1, 3, H, W)`` to a tuple in the order of :attr:`decoding`."""

    @abstractmethod
    def check_labels(self, count: int) -> None:
        """Refuse a number of labels that the network has no outputs for.

        Raises:
            ModelError: the message says which number to create it with.
        """

    @abstractmethod
    def class_rows(self, labels: Sequence[str]) -> dict[str, ClassRows]:
        """Name of each tensor with a part per class -> the layout of these parts."""


@dataclass(frozen=True, slots=True)
class ClassRows:
    """The layout of the classes in the first axis of a tensor: ``(before, classes, after)``.

    Attributes:
        before: how many groups of all classes there are, such as one per anchor.
        names: the classes in order, including those for "nothing".
    """

    before: int
    names: tuple[str, ...]

    def split(self, value: Tensor) -> Tensor:
        """A view ``(before, classes, rest)``."""
        return value.reshape(self.before, len(self.names), -1)


#: The name of the class for "nothing", in :class:`ClassRows`.
NOTHING = "\0nothing"
