"""Converting a PyTorch module to an OpenVINO graph."""

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

WAYS = ("trace", "torch.export")
"""The ways to convert a module to a graph, in the order in which they are tried; only this constant sets the order.

PyTorch has deprecated TorchScript, which includes tracing. Models that convert only by tracing are listed in the table
of ``docs/support-matrix.md``.
"""
_RESERVED = ("graph", "code", "inlined_graph")
"""Names that TorchScript and ``torch.fx`` modules use for themselves."""


def frozen_copy(module: torch.nn.Module) -> torch.nn.Module:
    """A copy in evaluation mode on the CPU, without gradients; the module itself is not changed.

    Raises:
        ExportError: the module cannot be copied.
    """
    import torch

    computed: dict[int, object] = {}  # tensors that are part of a computation graph cannot be deep-copied
    for part in module.modules():
        for value in (*vars(part).values(), *part.buffers(recurse=False)):
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                computed[id(value)] = value.detach().clone()
    try:
        duplicate = copy.deepcopy(module, computed)
    except Exception as error:
        raise ExportError(f"the model cannot be copied for the export: {error}") from error
    return duplicate.eval().cpu().requires_grad_(False)


def convert_module(module: torch.nn.Module, example: torch.Tensor, *, dynamic_batch: bool = False) -> Model:
    """Convert a module to a graph, by the first of :data:`WAYS` that OpenVINO can convert.

    Args:
        module: a :func:`frozen_copy`; submodules named as the properties of PyTorch's graphs are renamed in it.
        example: ``(B, 3, height, width) float32``, with one image if the batch size is to stay dynamic.
        dynamic_batch: keep the batch size dynamic if the module allows it. A trace always does.

    Raises:
        ExportError: OpenVINO cannot convert the model.
    """
    import torch

    _rename_reserved(module)
    failures = []
    with warnings.catch_warnings(), torch.no_grad(), without_telemetry():
        warnings.simplefilter("ignore")  # the tracer's warnings about constants are irrelevant to the user
        for way in WAYS:
            try:
                return in_single_precision(_CONVERT[way](module, example, dynamic_batch))
            except Exception as error:
                failures.append(f"By {way}: {error}")
    raise ExportError(f"OpenVINO cannot convert the model. {' '.join(failures)}")


def _by_trace(module: torch.nn.Module, example: torch.Tensor, _dynamic_batch: bool) -> Model:
    return openvino().convert_model(module, example_input=example, extension=extensions())


def _by_torch_export(module: torch.nn.Module, example: torch.Tensor, dynamic_batch: bool) -> Model:
    import torch

    program = _open_program(module, example) if dynamic_batch else None
    if program is None:
        program = torch.export.export(module, (example,), strict=False)
    return openvino().convert_model(program, extension=extensions())


def _open_program(module: torch.nn.Module, example: torch.Tensor) -> torch.export.ExportedProgram | None:
    """The exported program for any batch size; ``None`` if the module fixes its batch size."""
    import torch

    two = torch.cat((example, example))  # a batch size of one would be treated as a constant
    try:
        program = torch.export.export(module, (two,), dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=False)
    except Exception:  # any exception: a module may do anything with a batch
        return None
    return program if program.range_constraints else None


_CONVERT = {"trace": _by_trace, "torch.export": _by_torch_export}


def in_single_precision(graph: Model) -> Model:
    """The same graph with all double-precision computations in single precision.

    OpenVINO's CPU plugin always computes in single precision. But if one vector is added before a conversion to
    double precision and another one after it, and a matrix product follows, it loses one of the two.
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
    """Keep submodules such as ``graph`` as plain attributes too, so that PyTorch finds them under another name."""
    for part in list(module.modules()):
        for name in _RESERVED:
            child = dict(part.named_children()).get(name)
            if child is not None:
                delattr(part, name)
                part.add_module(f"{name}_", child)
                vars(part)[name] = child
