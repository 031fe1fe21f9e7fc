"""What a classifier's graph says about each cell of its last feature map alone: one more output, in the same pass.

The definition, which the engines on PyTorch share: the last average over all places of a feature map through which all
of the answer goes is found. The values of each cell, ``(C,)``, go through what follows in place of the average. Where
that is one linear layer, this is the class activation map, and the mean over the cells is the answer itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import UnsupportedOptionError
from drivetrain.images.sources import SourceItem
from drivetrain.machine.packages import openvino
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.runtime.postprocess.base import Outputs
from drivetrain.runtime.sessions import GraphChange
from drivetrain.types.explanation import CellScores

CELLS_NAME = "drivetrain_cells"
_AVERAGES = frozenset({"ReduceMean", "AvgPool", "AdaptiveAvgPool"})
_LEAST = 1e-6


def cell_output(artifact: Artifact) -> GraphChange:
    """What adds the output to the graph of a classifier.

    Args:
        artifact: of the graph.

    Returns:
        A change of the graph that raises UnsupportedOptionError where it has no such average.
    """
    wanted = artifact.decoder_args.get("output")
    names = artifact.output_names
    number = names.index(wanted) if wanted in names else 0

    name = artifact.model_name or artifact.model_file

    def change(model: Any) -> tuple[str, ...]:
        average = _last_average(model, number)
        if average is None:
            raise no_layer(name)
        try:
            return _add(model, number, average)
        except RuntimeError as error:
            raise no_layer(name, "what follows it takes one image only") from error

    return change


def no_layer(name: str, more: str = "") -> UnsupportedOptionError:
    """The error of a model that cannot be explained by its cells.

    Args:
        name: of the model.
        more: why the average that it has does not do.
    """
    why = f", since {more}" if more else ""
    return UnsupportedOptionError(
        f"method='cam' cannot be honoured: {name} is a model without a layer for CAM, which is an average over all "
        f"places of its last feature map{why}. Allowed: auto, rise."
    )


def cell_reader(artifact: Artifact) -> Callable[[Outputs, tuple[int, int], SourceItem], CellScores]:
    """What makes an answer of the outputs.

    Args:
        artifact: a classifier.
    """
    decoder = make_decoder(artifact.decoder, artifact.decoder_args, artifact.label_names, artifact.image_spec)
    is_probability = artifact.decoder_args.get("activation") == "none"

    def read(outputs: Outputs, size: tuple[int, int], item: SourceItem) -> CellScores:
        answer = decoder.decode(outputs, size, item.path)
        return CellScores(answer, as_logits(outputs[CELLS_NAME], is_probability), artifact.image_spec)

    return read


def as_logits(scores: NDArray[Any], is_probability: bool) -> NDArray[np.float32]:
    """``(C, h, w) float32`` logits, also where the head gives probabilities: their logarithms.

    Args:
        scores: ``(C, h, w)``.
        is_probability: whether they are probabilities.
    """
    values = np.asarray(scores, np.float32)
    return np.log(np.maximum(values, _LEAST)) if is_probability else values


def _add(model: Any, number: int, average: Any) -> tuple[str, ...]:
    ov = openvino()
    ops = ov.opset13
    place = _place(model, average)
    features = average.input_value(0)
    channels, height, width = (int(side) for side in list(features.get_shape())[1:])
    copied = model.clone()  # what follows the average is needed twice; the constants are shared
    head = copied.get_ordered_ops()[place]
    rest = [1] * (len(average.output(0).get_shape()) - 2)
    columns = ops.transpose(features, _whole([2, 3, 0, 1]))
    cells = ops.reshape(columns, _whole([height * width, channels, *rest]), special_zero=False)
    for reader in head.output(0).get_target_inputs():
        reader.replace_source_output(cells.output(0))
    _open_batches(copied, number, height * width)
    answer = copied.get_results()[number]
    ov.Model([answer], model.get_parameters()).validate_nodes_and_infer_types()  # so that the new sizes are known
    answers = answer.input_value(0)
    labels = ops.reshape(answers, _whole([height, width, -1]), special_zero=False)
    result = ops.result(ops.transpose(labels, _whole([2, 0, 1])).output(0))
    model.add_results([result])
    model.validate_nodes_and_infer_types()
    return (CELLS_NAME,)


def _whole(values: list[int]) -> Any:
    return openvino().opset13.constant(np.array(values, np.int64))


def _place(model: Any, node: Any) -> int:
    name = node.get_friendly_name()
    return next(n for n, other in enumerate(model.get_ordered_ops()) if other.get_friendly_name() == name)


def _open_batches(model: Any, number: int, count: int) -> None:
    """Let shapes behind the average that were written for one image take one for each cell."""
    ops = openvino().opset13
    for node in _behind(model.get_results()[number]).values():
        if node.get_type_name() != "Reshape" or node.input_value(1).get_node().get_type_name() != "Constant":
            continue
        pattern = node.input_value(1).get_node().data.astype(np.int64).reshape(-1)
        if len(pattern) and pattern[0] == 1:
            constant = ops.constant(np.array([count, *pattern[1:]], np.int64))
            node.input(1).replace_source_output(constant.output(0))


def _last_average(model: Any, number: int) -> Any:
    """The last average over all places that all of an answer goes through; ``None`` if there is none."""
    behind = _behind(model.get_results()[number])
    for node in reversed([op for op in model.get_ordered_ops() if op.get_friendly_name() in behind]):
        if node.get_type_name() not in _AVERAGES:
            continue
        before, after = node.input_value(0).partial_shape, node.output(0).partial_shape
        if not (before.is_static and after.is_static and len(before) == 4):
            continue
        sides, left = before.to_shape(), list(after.to_shape())
        is_average = left[:2] == list(sides)[:2] and all(side == 1 for side in left[2:]) and sides[2] * sides[3] > 1
        if is_average and not _reaches_input(model.get_results()[number], node):
            return node
    return None


def _behind(result: Any, without: Any = None) -> dict[str, Any]:
    """The nodes that a result is computed from, by name; sizes that are looked up are no computation."""
    found: dict[str, Any] = {}
    waiting = [result]
    stop = without.get_friendly_name() if without is not None else None
    while waiting:
        node = waiting.pop()
        name = node.get_friendly_name()
        if name in found or name == stop or node.get_type_name() in ("ShapeOf", "Constant"):
            continue
        found[name] = node
        waiting += [value.get_node() for value in node.input_values()]
    return found


def _reaches_input(result: Any, without: Any) -> bool:
    """Whether the image reaches a result by a way round a node."""
    return any(node.get_type_name() == "Parameter" for node in _behind(result, without).values())
