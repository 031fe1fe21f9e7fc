"""From a PyTorch module to an OpenVINO graph."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING

import numpy as np

from drivetrain.errors import ExportError
from drivetrain.export.torch_ops import extensions
from drivetrain.machine.packages import openvino, without_telemetry

if TYPE_CHECKING:
    import torch
    from openvino import Model

_RESERVED = ("graph", "code", "inlined_graph")
"""Names that TorchScript's modules use for themselves."""


def frozen_copy(module: torch.nn.Module) -> torch.nn.Module:
    """A copy in evaluation mode on the CPU, without gradients; the module itself is not touched.

    Raises:
        ExportError: the module cannot be copied.
    """
    import torch

    computed: dict[int, object] = {}  # tensors that hang on a computation cannot be copied as they are
    for part in module.modules():
        for value in (*vars(part).values(), *part.buffers(recurse=False)):
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                computed[id(value)] = value.detach().clone()
    try:
        duplicate = copy.deepcopy(module, computed)
    except Exception as error:
        raise ExportError(f"the model cannot be copied for the export: {error}") from error
    return duplicate.eval().cpu().requires_grad_(False)


def convert_module(module: torch.nn.Module, example: torch.Tensor) -> Model:
    """The graph of a module: by tracing, or by PyTorch's own export where the trace cannot be converted.

    Args:
        module: a :func:`frozen_copy`; submodules that are named as TorchScript's own properties are renamed in it.
        example: an input.

    Raises:
        ExportError: OpenVINO cannot convert the model.
    """
    import torch

    ov = openvino()
    _rename_reserved(module)
    with warnings.catch_warnings(), torch.no_grad(), without_telemetry():
        warnings.simplefilter("ignore")  # the tracer's remarks about constants say nothing to the user
        try:
            return in_single_precision(ov.convert_model(module, example_input=example, extension=extensions()))
        except Exception as error:
            traced = error
        try:
            exported = torch.export.export(module, (example,))
            return in_single_precision(ov.convert_model(exported, extension=extensions()))
        except Exception as error:
            raise ExportError(
                f"OpenVINO cannot convert the model: {traced} By PyTorch's export neither: {error}"
            ) from error


def in_single_precision(graph: Model) -> Model:
    """The same graph, with what is computed in double precision computed in single precision.

    OpenVINO's CPU plugin computes in single precision in any case. But where one vector is added before a conversion to
    double precision and another one after it, and a product of matrices follows, it loses one of the two.
    """
    ov = openvino()
    for node in graph.get_ordered_ops():
        if node.get_output_size() != 1 or node.get_output_element_type(0) != ov.Type.f64:
            continue
        if node.get_type_name() == "Convert":
            node.set_attribute("destination_type", "f32")
        elif node.get_type_name() == "Constant":
            single = ov.opset14.constant(node.data.astype(np.float32))
            for reader in node.output(0).get_target_inputs():
                reader.replace_source_output(single.output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def _rename_reserved(module: torch.nn.Module) -> None:
    """Keep submodules such as ``graph`` as plain attributes too, so that the tracer finds them under another name."""
    for part in list(module.modules()):
        for name in _RESERVED:
            child = dict(part.named_children()).get(name)
            if child is not None:
                delattr(part, name)
                part.add_module(f"{name}_", child)
                vars(part)[name] = child
