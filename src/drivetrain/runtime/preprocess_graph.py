# ruff: noqa: D102 - the operations are described in GraphOps
"""Embedding preprocessing in an OpenVINO graph, so that it takes raw images, and removing it for a faster host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drivetrain.errors import ArtifactError
from drivetrain.machine.packages import openvino
from drivetrain.runtime.preprocess import normalisation
from drivetrain.runtime.resize_graph import GraphOps, Node, resize_graph
from drivetrain.types import ImageSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from openvino import Model

INPUT_NAME = "image"
RESIZED_NAME = "drivetrain_resized"
"""The tensor after the resize: ``(B, height, width, 3) float32`` with integers 0..255."""


class OpenVinoOps:
    """:class:`~drivetrain.runtime.resize_graph.GraphOps` as OpenVINO nodes."""

    def __init__(self) -> None:
        opset13 = openvino().opset13

        self._set: Any = opset13

    def _node(self, value: Node) -> Any:
        if isinstance(value, (np.floating, float)):
            return self._set.constant(np.float32(value))
        if isinstance(value, (int, np.integer, np.ndarray)):
            return self._set.constant(np.asarray(value, np.int32))
        return value

    def planes(self, values: NDArray[Any]) -> Node:
        """One number per colour, ``(3,)`` to ``(1, 3, 1, 1)``."""
        return self._set.constant(values.reshape(1, 3, 1, 1))

    def sizes(self, image: Node) -> tuple[Node, Node]:
        shape = self._set.shape_of(image, output_type="i32")
        height, width = (self._set.gather(shape, self._node(axis), self._node(0)) for axis in (1, 2))
        return height, width

    def add(self, a: Node, b: Node) -> Node:
        return self._set.add(self._node(a), self._node(b))

    def subtract(self, a: Node, b: Node) -> Node:
        return self._set.subtract(self._node(a), self._node(b))

    def multiply(self, a: Node, b: Node) -> Node:
        return self._set.multiply(self._node(a), self._node(b))

    def divide(self, a: Node, b: Node) -> Node:
        # The CPU plugin divides integers as float32: the quotient may be off by one, which the remainder reveals.
        quotient = self._set.divide(self._node(a), self._node(b))
        rest = self.subtract(a, self.multiply(quotient, b))
        too_small = self.maximum(self.minimum(self.add(self.subtract(rest, b), 1), 1), 0)
        too_large = self.minimum(self.maximum(self.subtract(0, rest), 0), 1)
        return self.subtract(self.add(quotient, too_small), too_large)

    def maximum(self, a: Node, b: Node) -> Node:
        return self._set.maximum(self._node(a), self._node(b))

    def minimum(self, a: Node, b: Node) -> Node:
        return self._set.minimum(self._node(a), self._node(b))

    def absolute(self, a: Node) -> Node:
        return self._set.absolute(self._node(a))

    def floor(self, a: Node) -> Node:
        return self._set.floor(self._node(a))

    def round_to_even(self, a: Node) -> Node:
        return self._set.round(self._node(a), "half_to_even")

    def to_float(self, a: Node) -> Node:
        return self._set.convert(self._node(a), "f32")

    def range(self, stop: Node) -> Node:
        return self._set.range(self._node(0), self._node(stop), self._node(1), output_type="i32")

    def gather(self, values: Node, indices: Node) -> Node:
        return self._set.gather(values, self._node(indices), self._node(1))

    def matmul(self, a: Node, b: Node) -> Node:
        return self._set.matmul(a, b, False, False)

    def sum_last(self, a: Node) -> Node:
        return self._set.reduce_sum(a, self._node(np.array([-1])), keep_dims=True)

    def reshape(self, a: Node, shape: tuple[int, ...]) -> Node:
        return self._set.reshape(self._node(a), self._node(np.array(shape)), special_zero=True)

    def transpose(self, a: Node, order: tuple[int, ...]) -> Node:
        return self._set.transpose(a, self._node(np.array(order)))


def embed_preprocessing(model: Model, spec: ImageSpec, *, dynamic_batch: bool, planes: bool = False) -> Model:
    """Make a model with one ``(B, 3, height, width) float32`` input accept raw images.

    Args:
        model: the model; it is modified.
        spec: the input that the model expects.
        dynamic_batch: whether B may differ from 1.
        planes: accept images as ``(B, 3, H, W) float32`` in 0..1.

    Returns:
        The model with the input ``image``, ``(B, H, W, 3) uint8`` RGB of any size, or as given by ``planes``.
    """
    ops = OpenVinoOps()
    image, resized = _raw_images(ops, spec, dynamic_batch=dynamic_batch, planes=planes)
    return _replace_input(model, image, _normalised(ops, resized, spec))


def without_resize(model: Model, spec: ImageSpec) -> Model:
    """Make a model with embedded preprocessing take what its resize gives; :func:`with_resize` undoes it.

    Args:
        model: of an artefact; is used up.
        spec: its image spec.

    Returns:
        The model with one input, ``(B, height, width, 3) float32`` with whole numbers 0..255.

    Raises:
        ArtifactError: the graph has no embedded preprocessing.
    """
    ov = openvino()

    node = _resized_node(model)
    batch = node.output(0).partial_shape[0]
    image = ov.opset13.parameter(ov.PartialShape([batch, spec.height, spec.width, 3]), ov.Type.f32, INPUT_NAME)
    image.set_layout(ov.Layout("NHWC"))
    image.output(0).set_names({INPUT_NAME})
    for target in node.output(0).get_target_inputs():
        target.replace_source_output(image.output(0))
    return _finish(model, image)


def with_resize(model: Model, spec: ImageSpec, *, dynamic_batch: bool, planes: bool = False) -> Model:
    """Make a model that takes resized images, see :func:`without_resize`, take raw ones again.

    Args:
        model: is used up.
        spec: what the model expects.
        dynamic_batch: whether B may differ from 1.
        planes: take images as ``(B, 3, H, W) float32`` in 0..1.
    """
    image, resized = _raw_images(OpenVinoOps(), spec, dynamic_batch=dynamic_batch, planes=planes)
    return _replace_input(model, image, resized)


def _raw_images(ops: OpenVinoOps, spec: ImageSpec, *, dynamic_batch: bool, planes: bool) -> tuple[Any, Any]:
    """The input of a model that takes raw images, and these images resized."""
    ov = openvino()

    batch = -1 if dynamic_batch else 1
    shape, kind, layout = (
        ([batch, 3, -1, -1], ov.Type.f32, "NCHW") if planes else ([batch, -1, -1, 3], ov.Type.u8, "NHWC")
    )
    image = ov.opset13.parameter(shape, kind, INPUT_NAME)
    image.set_layout(ov.Layout(layout))
    image.output(0).set_names({INPUT_NAME})
    resized = resize_graph(ops, pixels_of_planes(ops, image) if planes else image, spec)
    resized.set_friendly_name(RESIZED_NAME)
    resized.output(0).set_names({RESIZED_NAME})
    return image, resized


def pixels_of_planes(ops: GraphOps, planes: Node) -> Node:
    """``(B, 3, H, W) float32`` in 0..1 as ``(B, H, W, 3)`` integers 0..255."""
    return ops.transpose(ops.round_to_even(ops.multiply(planes, np.float32(255))), (0, 2, 3, 1))


def take_resized(model: Model, spec: ImageSpec, *, embedded: bool, batch: int = 1) -> Model:
    """Make a model accept images already resized by :func:`~drivetrain.runtime.preprocess.resize_uint8`.

    Args:
        model: the model of an artefact; it is modified.
        spec: its image spec.
        embedded: whether it contains embedded preprocessing.
        batch: images at a time.

    Returns:
        The model with the input ``image``, ``(batch, height, width, 3) uint8``, of static shape.

    Raises:
        ArtifactError: the graph lacks the stated embedded preprocessing.
    """
    ov = openvino()

    ops = OpenVinoOps()
    image = ov.opset13.parameter([batch, spec.height, spec.width, 3], ov.Type.u8, INPUT_NAME)
    image.set_layout(ov.Layout("NHWC"))
    image.output(0).set_names({INPUT_NAME})
    pixels = ops.to_float(image)
    if not embedded:
        return _replace_input(model, image, _normalised(ops, pixels, spec))
    node = _resized_node(model)
    for target in node.output(0).get_target_inputs():
        target.replace_source_output(pixels.output(0))
    return _finish(model, image)


def _resized_node(model: Model) -> Any:
    """The node behind the embedded resize.

    Raises:
        ArtifactError: there is none.
    """
    for node in model.get_ops():
        if node.get_output_size() == 1 and RESIZED_NAME in node.output(0).get_names():
            return node
    raise ArtifactError(f"the graph has no tensor {RESIZED_NAME!r}, so its preprocessing is unknown. Export it again.")


def _normalised(ops: OpenVinoOps, pixels: Node, spec: ImageSpec) -> Node:
    """Step 3, ``(B, height, width, 3)`` to ``(B, 3, height, width)``."""
    offset, factor = normalisation(spec)
    planes = ops.transpose(pixels, (0, 3, 1, 2))
    constants = (ops.planes(values) for values in (offset, factor))
    return ops.multiply(ops.subtract(planes, next(constants)), next(constants))


def _replace_input(model: Model, image: Any, planes: Node) -> Model:
    old = model.get_parameters()[0]
    for target in old.output(0).get_target_inputs():
        target.replace_source_output(planes.output(0))
    return _finish(model, image)


def _finish(model: Model, image: Any) -> Model:
    ov = openvino()

    result = ov.Model(model.get_results(), [image], model.get_friendly_name())
    result.validate_nodes_and_infer_types()
    for section in ("model_info", "nncf"):
        if model.has_rt_info(section):
            result.set_rt_info(model.get_rt_info(section), section)
    return result
