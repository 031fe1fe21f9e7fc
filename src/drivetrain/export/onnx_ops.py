# ruff: noqa: D102 - the operations are described in GraphOps
"""The operations of the preprocessing as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.runtime.resize_graph import Node


class OnnxOps:
    """:class:`~drivetrain.runtime.resize_graph.GraphOps` as ONNX nodes; a value is the name of a tensor.

    Args:
        prefix: the prefix of all names.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, values: NDArray[Any]) -> str:
        """A constant with these values."""
        from onnx import numpy_helper

        name = self._new("constant")
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def named(self, value: Node, name: str) -> str:
        """The value under another name."""
        return self._add("Identity", value, name=name)

    def sizes(self, image: Node) -> tuple[Node, Node]:
        shape = self._add("Shape", image)
        height, width = (self._add("Gather", shape, np.asarray(axis), axis=0) for axis in (1, 2))
        return height, width

    def add(self, a: Node, b: Node) -> Node:
        return self._add("Add", a, b)

    def subtract(self, a: Node, b: Node) -> Node:
        return self._add("Sub", a, b)

    def multiply(self, a: Node, b: Node) -> Node:
        return self._add("Mul", a, b)

    def divide(self, a: Node, b: Node) -> Node:
        # OpenVINO reads ONNX files too, and its integer quotients may be off by one, as in OpenVinoOps.
        quotient = self._add("Div", a, b)
        rest = self.subtract(a, self.multiply(quotient, b))
        too_small = self.maximum(self.minimum(self.add(self.subtract(rest, b), 1), 1), 0)
        too_large = self.minimum(self.maximum(self.subtract(0, rest), 0), 1)
        return self.subtract(self.add(quotient, too_small), too_large)

    def maximum(self, a: Node, b: Node) -> Node:
        return self._add("Max", a, b)

    def minimum(self, a: Node, b: Node) -> Node:
        return self._add("Min", a, b)

    def absolute(self, a: Node) -> Node:
        return self._add("Abs", a)

    def floor(self, a: Node) -> Node:
        return self._add("Floor", a)

    def round_to_even(self, a: Node) -> Node:
        return self._add("Round", a)

    def to_float(self, a: Node) -> Node:
        return self._add("Cast", a, to=1)  # TensorProto.FLOAT

    def range(self, stop: Node) -> Node:
        return self._add("Range", 0, stop, 1)

    def gather(self, values: Node, indices: Node) -> Node:
        return self._add("Gather", values, indices, axis=1)

    def matmul(self, a: Node, b: Node) -> Node:
        return self._add("MatMul", a, b)

    def sum_last(self, a: Node) -> Node:
        return self._add("ReduceSum", a, np.array([-1]), keepdims=1)

    def reshape(self, a: Node, shape: tuple[int, ...]) -> Node:
        return self._add("Reshape", a, np.array(shape))

    def transpose(self, a: Node, order: tuple[int, ...]) -> Node:
        return self._add("Transpose", a, perm=list(order))

    def _add(self, kind: str, *inputs: Node, name: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        output = name or self._new(kind.lower())
        names = [self._name(value) for value in inputs]
        self.nodes.append(helper.make_node(kind, names, [output], name=f"{self._prefix}_{output}", **attributes))
        return output

    def _name(self, value: Node) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, (float, np.floating)):
            return self.constant(np.asarray(value, np.float32))
        return self.constant(np.asarray(value, np.int64))

    def _new(self, kind: str) -> str:
        self._count += 1
        return f"{self._prefix}_{kind}_{self._count}"
