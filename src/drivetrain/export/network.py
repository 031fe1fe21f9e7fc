# ruff: noqa: D102 - what a network is asked is described in QuantizableNetwork
"""The network of an artefact without its resize, in forms that can be optimised and written back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import ArtifactError
from drivetrain.export.half_weights import halve_weights
from drivetrain.machine.packages import openvino
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.preprocess import normalise
from drivetrain.runtime.preprocess_graph import with_resize, without_resize
from drivetrain.types import Task

_WITH_WEIGHTS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})
_OF_WEIGHTS = frozenset({"Convert", "Reshape", "Transpose", "FakeQuantize", "Multiply", "Subtract"})
"""Operations that may lie between a constant with weights and the operation that uses them."""

Outputs = dict[str, NDArray[Any]]


class QuantizableNetwork(ABC):
    """A graph that takes resized images.

    Args:
        artifact: the artefact of the graph.

    Attributes:
        graph: the graph in the runtime's own form; replaced by the optimised one.
    """

    graph: Any

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    def input_of(self, resized: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The graph's input for an image that is already resized.

        Args:
            resized: ``(height, width, 3) uint8``.

        Returns:
            ``(1, height, width, 3) float32`` 0..255 if preprocessing is embedded, else ``(1, 3, height, width)``.
        """
        if self.artifact.embedded:
            return resized[None].astype(np.float32)
        return normalise(resized, self.artifact.image_spec)[None]

    @property
    @abstractmethod
    def input_name(self) -> str:
        """The name of the graph's input."""

    @abstractmethod
    def prepared(self, graph: Any) -> Any:
        """A graph ready to run at full precision, as prepared by NNCF."""

    @abstractmethod
    def run(self, prepared: Any, inputs: NDArray[np.float32]) -> Outputs:
        """The outputs, by the artefact's names, of a prepared model."""

    @abstractmethod
    def write(self, graph: Any) -> None:
        """Write a graph derived from this one, with its resize, in place of the artefact's own."""

    @abstractmethod
    def around(self) -> list[str]:
        """Nodes before and after the quantised layers: normalisation, and the decoding of answers."""

    def unloadable_if_light(self) -> list[str]:
        """Layers that the runtime cannot load with compressed weights, because of what they take their input from."""
        return []

    @abstractmethod
    def is_transformer(self) -> bool:
        """Whether it has attention and layer normalisation."""

    @abstractmethod
    def count(self, graph: Any) -> tuple[int, int]:
        """The number of operations with weights in a graph, and of those with quantised weights."""


class OpenVinoNetwork(QuantizableNetwork):
    """The network of an OpenVINO artefact.

    Raises:
        ArtifactError: the graph cannot be read.
    """

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact)
        try:
            model = openvino().Core().read_model(artifact.model_path)
        except RuntimeError as error:
            raise ArtifactError(f"OpenVINO cannot read {str(artifact.model_path)!r}: {error}") from error
        self.graph = without_resize(model, artifact.image_spec) if artifact.embedded else model

    @property
    def input_name(self) -> str:
        return str(self.graph.inputs[0].get_any_name())

    def prepared(self, graph: Any) -> Any:
        return openvino().Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(self, prepared: Any, inputs: NDArray[np.float32]) -> Outputs:
        results = prepared(inputs)
        names = self.artifact.output_names or tuple(str(number) for number in range(len(prepared.outputs)))
        return {name: np.array(results[number]) for number, name in enumerate(names)}

    def write(self, graph: Any) -> None:
        spec = self.artifact.image_spec
        halve_weights(graph)
        if self.artifact.embedded:
            graph = with_resize(graph, spec, dynamic_batch=self.artifact.dynamic_batch, planes=self.artifact.planes)
        file = self.artifact.model_path
        new = file.with_name(f"new_{file.name}")  # not in place: the old weights may still be mapped into memory
        openvino().save_model(graph, new, compress_to_fp16=True)
        for suffix in (".bin", ".xml"):
            new.with_suffix(suffix).replace(file.with_suffix(suffix))

    def around(self) -> list[str]:
        nodes = self.graph.get_ordered_ops()
        backbone_only = self.artifact.task is Task.ANOMALY and not self.is_transformer()
        layers = {node.get_friendly_name() for node in nodes if _is_layer(node, backbone_only)}
        inside = _reached(reversed(nodes), layers, _consumers) & _reached(nodes, layers, _producers)
        return [
            node.get_friendly_name()
            for node in nodes
            if node.get_type_name() not in ("Constant", "Parameter", "Result")
            and node.get_friendly_name() not in layers | inside
        ]

    def unloadable_if_light(self) -> list[str]:
        # OpenVINO turns a 1x1 convolution with compressed weights into a product, and fails on an input of many
        # outputs; and it computes a layer of constants when it loads them (attention to learned queries), and fails
        depends_on_image: set[str] = set()
        found = []
        for node in self.graph.get_ordered_ops():
            feeding = [value.get_node().get_friendly_name() for value in node.input_values()]
            kind = node.get_type_name()
            if kind == "Parameter" or (kind != "ShapeOf" and depends_on_image.intersection(feeding)):
                depends_on_image.add(node.get_friendly_name())
            elif feeding:
                found.append(node.get_friendly_name())
            if kind == "Convolution" and node.input_value(0).get_node().get_output_size() > 1:
                found.append(node.get_friendly_name())
        return found

    def is_transformer(self) -> bool:
        path = ["model_info", "optimization_config"]  # written by getitune and Geti
        if self.graph.has_rt_info(path) and "transformer" in str(self.graph.get_rt_info(path).value).lower():
            return True
        kinds = {node.get_type_name() for node in self.graph.get_ops()}
        return "MVN" in kinds and ("ScaledDotProductAttention" in kinds or _attends(self.graph.get_ops()))

    def count(self, graph: Any) -> tuple[int, int]:
        weighted = [node for node in graph.get_ops() if has_weights(node)]
        return len(weighted), sum(_is_quantised(node) for node in weighted)


def _is_layer(node: Any, backbone_only: bool) -> bool:
    """Whether an operation is among the quantised ones.

    In an anomaly model these are only the convolutions of its backbone: the distances to the normal (a product with a
    memory bank or with inverse covariances) need more than eight bits, and a blur has one channel.
    """
    if not backbone_only:
        return has_weights(node)
    return has_weights(node) and "Convolution" in node.get_type_name() and node.output(0).partial_shape[1] != 1


def _reached(nodes: Any, layers: set[str], neighbours: Any) -> set[str]:
    """The names of nodes that lead to a layer, in the direction of the neighbours."""
    found: set[str] = set()
    for node in nodes:
        if any(other.get_friendly_name() in layers | found for other in neighbours(node)):
            found.add(node.get_friendly_name())
    return found


def _consumers(node: Any) -> list[Any]:
    return [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]


def _producers(node: Any) -> list[Any]:
    return [value.get_node() for value in node.input_values()]


def has_weights(node: Any) -> bool:
    """Whether an OpenVINO node multiplies its input by constants: a convolution or a matrix product."""
    return node.get_type_name() in _WITH_WEIGHTS and any(_constant(value.get_node()) for value in node.input_values())


def _constant(node: Any) -> Any:
    """The constant that a node's value comes from, through any conversions; ``None`` if it comes from none."""
    while node.get_type_name() in _OF_WEIGHTS:
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "Constant" else None


def _is_quantised(node: Any) -> bool:
    kinds = []
    for value in node.input_values():
        constant = _constant(value.get_node())
        if constant is not None:
            kinds.append(str(constant.get_output_element_type(0).get_type_name()))
            kinds += ["i8"] if value.get_node().get_type_name() == "FakeQuantize" else []
    return any(kind in ("i8", "u8") for kind in kinds)


def _attends(nodes: Sequence[Any]) -> bool:
    """Whether a softmax weights the sum of a matrix product."""
    soft = [node for node in nodes if node.get_type_name() in ("Softmax", "SoftMax")]
    return any(other.get_type_name() == "MatMul" for node in soft for other in _consumers(node))
