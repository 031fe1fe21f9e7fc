# ruff: noqa: D102 - what a network is asked is described in QuantizableNetwork
"""The network of an ONNX artefact without its resize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import ArtifactError, UnsupportedError
from drivetrain.export.network import Outputs, QuantizableNetwork
from drivetrain.machine.packages import onnxruntime, require
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.preprocess_graph import RESIZED_NAME

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_WITH_WEIGHTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_OF_WEIGHTS = frozenset({"DequantizeLinear", "QuantizeLinear", "Cast", "Transpose", "Reshape"})


class OnnxNetwork(QuantizableNetwork):
    """The network of an ONNX artefact.

    Raises:
        ArtifactError: the graph cannot be read, or has no embedded preprocessing though the manifest says so.
    """

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact)
        onnx = require("onnx", "onnx", purpose="Making an ONNX artefact lighter")
        try:
            self.graph = onnx.load(str(artifact.model_path))
        except Exception as error:
            raise ArtifactError(f"{str(artifact.model_path)!r} is not an ONNX model: {error}.") from error
        self._resize: ModelProto | None = None
        if artifact.embedded:
            self._resize = self.graph
            self.graph = _without_resize(self.graph, artifact)

    @property
    def input_name(self) -> str:
        return str(self.graph.graph.input[0].name)

    def prepared(self, graph: Any) -> Any:
        return graph

    def run(self, prepared: Any, inputs: NDArray[np.float32]) -> Outputs:
        session = self._session(prepared)
        results = session.run(None, {self.input_name: inputs})
        names = self.artifact.output_names or tuple(output.name for output in session.get_outputs())
        return dict(zip(names, results, strict=True))

    _opened: tuple[Any, Any] = (None, None)

    def _session(self, model: Any) -> Any:
        """The model in ONNX Runtime; the latest one is cached."""
        if self._opened[0] is not model:
            found = onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
            self._opened = (model, found)
        return self._opened[1]

    def write(self, graph: Any) -> None:
        import onnx

        if self._resize is not None:
            graph = _with_resize(graph, self._resize)
        onnx.save(graph, str(self.artifact.model_path))

    def around(self) -> list[str]:
        graph = self.graph.graph
        weighted = {node.name for node in graph.node if _has_weights(node, self.graph)}
        leads = _reached(reversed(graph.node), weighted, back=True)
        follows = _reached(graph.node, weighted, back=False)
        middle = leads & follows
        return [node.name for node in graph.node if node.name not in weighted and node.name not in middle]

    def is_transformer(self) -> bool:
        kinds = {node.op_type for node in self.graph.graph.node}
        return {"LayerNormalization", "Softmax"} <= kinds

    def count(self, graph: Any) -> tuple[int, int]:
        weighted = [node for node in graph.graph.node if _has_weights(node, graph)]
        return len(weighted), sum(_is_quantised(node, graph) for node in weighted)


def _producers(model: Any) -> dict[str, NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def _weights(node: NodeProto, model: Any) -> tuple[str, bool] | None:
    """The constant that a node multiplies by, and whether it is quantised on the way; ``None`` if there is none."""
    constants = {tensor.name for tensor in model.graph.initializer}
    producers = _producers(model)
    for name in node.input[:2]:
        quantised = False
        while name in producers and producers[name].op_type in _OF_WEIGHTS:
            quantised |= producers[name].op_type == "DequantizeLinear"
            name = producers[name].input[0]
        if name in constants or (name in producers and producers[name].op_type == "Constant"):
            return name, quantised
    return None


def _has_weights(node: NodeProto, model: Any) -> bool:
    return node.op_type in _WITH_WEIGHTS and _weights(node, model) is not None


def _is_quantised(node: NodeProto, model: Any) -> bool:
    found = _weights(node, model)
    return found is not None and found[1]


def _reached(nodes: Any, weighted: set[str], *, back: bool) -> set[str]:
    """The names of nodes that lead to one with weights (``back``), or follow one."""
    tensors: set[str] = set()
    found: set[str] = set()
    for node in nodes:
        near, far = (node.output, node.input) if back else (node.input, node.output)
        if tensors & set(near):
            found.add(node.name)
        if node.name in found or node.name in weighted:
            tensors |= set(far)
    return found


def _without_resize(model: ModelProto, artifact: Artifact) -> ModelProto:
    """A copy that starts after the resize, with ``(B, height, width, 3) float32``."""
    from onnx import ModelProto, TensorProto, helper

    if not any(RESIZED_NAME in node.output for node in model.graph.node):
        raise ArtifactError(
            f"the graph has no tensor {RESIZED_NAME!r}, so its preprocessing is unknown. Export it again."
        )
    short = ModelProto()
    short.CopyFrom(model)
    graph, spec = short.graph, artifact.image_spec
    kept = [node for node in graph.node if node.name not in {part.name for part in _resize_nodes(model)}]
    del graph.node[:], graph.input[:], graph.value_info[:]
    graph.node.extend(kept)
    batch = "batch" if artifact.dynamic_batch else 1
    shape = [batch, spec.height, spec.width, 3]
    graph.input.append(helper.make_tensor_value_info(RESIZED_NAME, TensorProto.FLOAT, shape))
    _drop_unused(short)
    return short


def _resize_nodes(model: ModelProto) -> list[NodeProto]:
    """The nodes that compute the resized image, in order.

    Raises:
        UnsupportedError: nodes have no names, so they cannot be told apart.
    """
    wanted, found = {RESIZED_NAME}, []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            if not node.name:
                raise UnsupportedError("The nodes of this ONNX graph have no names; export it again.")
            wanted |= set(node.input)
            found.append(node)
    return found[::-1]


def _drop_unused(model: ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _with_resize(model: Any, whole: ModelProto) -> Any:
    """The graph with the nodes for the resized image put back in front."""
    resize = _resize_nodes(whole)
    needed = {name for node in resize for name in node.input}
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(
        tensor for tensor in whole.graph.initializer if tensor.name in needed and tensor.name not in known
    )
    nodes = [*resize, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(whole.graph.input)
    present = {item.key for item in model.metadata_props}
    model.metadata_props.extend(item for item in whole.metadata_props if item.key not in present)
    return model
