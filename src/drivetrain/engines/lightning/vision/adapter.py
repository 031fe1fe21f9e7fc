"""What a source of models must say about one of its models, so that it is trained, asked and exported as all others."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from torch import Tensor, nn

from drivetrain.types import ImageSpec, Task


class Target(TypedDict, total=False):
    """What is known about one image of a batch, in pixels of the model input.

    Attributes:
        number: of the image in its data set.
        labels: ``(N,) int64``, 0-based.
        boxes: ``(N, 4) float32`` xyxy, each with an area.
        masks: ``(N, H, W) uint8`` of zeros and ones.
        keypoints: ``(N, K, 3) float32`` x, y, visibility (0 absent).
        class_map: ``(H, W) int64``; 255 counts for nothing.
    """

    number: Tensor
    labels: Tensor
    boxes: Tensor
    masks: Tensor
    keypoints: Tensor
    class_map: Tensor


@dataclass(frozen=True, slots=True)
class Decoding:
    """How the outputs become predictions, in the engine and in the artefact alike.

    Attributes:
        decoder: name in :data:`drivetrain.runtime.postprocess.DECODERS`.
        arguments: of the decoder.
        outputs: names of the outputs, in their order.
        dynamic_batch: whether the graph may take several images at once.
        traced: whether ONNX is written by the trace too, since the sizes of the outputs depend on their values.
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
        source: ``"torchvision"``, ``"transformers"``, or ``""`` where the object was given and cannot be made again.
        name: of the architecture.
        args: plain arguments, enough to make the network again without its weights.
        task: what it is for.
        spec: how its images are prepared, at the size that the source has for it.
        label_names: those that the model knows itself; ``None`` where it has numbers only.
        keypoints: how many each object has.
        rate: a learning rate that suits it, from random weights.
        pretrained: whether it has learned anything yet.
        notes: what the user should know.
    """

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
        """Plain arguments, enough to make the network again without its weights; for checkpoints."""
        return self.args

    @property
    @abstractmethod
    def spec(self) -> ImageSpec:
        """How an image becomes the input, at the source's own size."""

    @property
    @abstractmethod
    def decoding(self) -> Decoding:
        """How the outputs are read."""

    @abstractmethod
    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """The parts of the loss of ``(B, 3, H, W)`` normalised images, in training mode.

        They are added up, unless there is a part ``"total"``: then it is the loss, and the others are logged only.
        """

    @abstractmethod
    def answers(self, images: Tensor) -> list[dict[str, Tensor]]:
        """For each image the outputs by name, each with a leading axis of 1 where the graph has one; in evaluation."""

    @abstractmethod
    def graph(self) -> nn.Module:
        """What is exported: takes ``(1, 3, H, W)``, gives a tuple in the order of :attr:`decoding`; shares weights."""

    @abstractmethod
    def check_labels(self, count: int) -> None:
        """Refuse a number of labels that the network has no outputs for.

        Raises:
            ModelError: naming the number to make it with.
        """

    @abstractmethod
    def class_rows(self, labels: Sequence[str]) -> dict[str, ClassRows]:
        """Name of each tensor that has a part for each class -> where these parts stand."""


@dataclass(frozen=True, slots=True)
class ClassRows:
    """Where the classes stand in the first axis of a tensor: ``(before, classes, after)``.

    Attributes:
        before: how many groups of all classes follow one another, such as one for each anchor.
        names: of the classes in their order, with those that stand for "nothing".
    """

    before: int
    names: tuple[str, ...]

    def split(self, value: Tensor) -> Tensor:
        """A view ``(before, classes, rest)``."""
        return value.reshape(self.before, len(self.names), -1)


#: The name of the class that stands for "nothing", in :class:`ClassRows`.
NOTHING = "\0nothing"
