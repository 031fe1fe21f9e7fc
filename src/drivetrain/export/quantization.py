"""Quantising with NNCF: weights, and if requested arithmetic, are reduced to 8 bits."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import ExportError
from drivetrain.export.network import OpenVinoNetwork, Outputs, QuantizableNetwork
from drivetrain.machine.packages import nncf
from drivetrain.runtime.artifact import Artifact
from drivetrain.types import Task

Images = Sequence[NDArray[np.uint8]]
"""``(height, width, 3) uint8``, resized for the network."""
Judge = Callable[[Callable[[int], Outputs], Sequence[int]], tuple[float, list[float]]]
"""Takes a function from an image's number to its outputs, and the numbers; returns the overall and single scores."""


def open_network(artifact: Artifact) -> QuantizableNetwork:
    """The network of an artefact, in the form of its format.

    Raises:
        ArtifactError: the graph cannot be read.
    """
    if artifact.format == "onnx":
        from drivetrain.export.onnx_network import OnnxNetwork

        return OnnxNetwork(artifact)
    return OpenVinoNetwork(artifact)


def post_training(network: QuantizableNetwork, images: Images) -> Any:
    """The graph with 8-bit arithmetic, from statistics over images.

    Args:
        network: its graph is not changed.
        images: the calibration images.

    Raises:
        ExportError: NNCF failed.
    """
    package = nncf()
    with _quietly("quantise"):
        return package.quantize(network.graph, _inputs(network, images), **_how(network, len(images)))


def controlled(network: QuantizableNetwork, images: Images, judged: Images, judge: Judge, max_drop: float) -> Any:
    """Like :func:`post_training`, keeping as many of the worst layers at full precision as ``max_drop`` requires.

    Args:
        network: its graph is not changed.
        images: the calibration images.
        judged: the images to evaluate on.
        judge: scores the answers for some of these.
        max_drop: the largest drop of the judge's overall score.

    Raises:
        ExportError: NNCF failed.
    """
    package = nncf()

    def validate(prepared: Any, numbers: Any) -> tuple[float, list[float]]:
        return judge(lambda number: network.run(prepared, network.input_of(judged[number])), list(numbers))

    from nncf.quantization.advanced_parameters import AdvancedAccuracyRestorerParameters

    with _quietly("quantise"):
        return package.quantize_with_accuracy_control(
            network.graph,
            _inputs(network, images),
            package.Dataset(list(range(len(judged)))),
            validate,
            max_drop=max_drop,
            drop_type=package.DropType.ABSOLUTE,
            advanced_accuracy_restorer_parameters=AdvancedAccuracyRestorerParameters(num_ranking_workers=1),
            **_how(network, len(images)),
        )


def weights_only(network: QuantizableNetwork) -> Any:
    """The graph with 8-bit weights; the arithmetic is unchanged.

    Raises:
        ExportError: NNCF failed.
    """
    package = nncf()
    kept = {*network.unloadable_if_light(), *(network.around() if network.artifact.task is Task.ANOMALY else ())}
    scope = package.IgnoredScope(names=sorted(kept), validate=False)
    with _quietly("compress the weights of"):
        return package.compress_weights(network.graph, mode=package.CompressWeightsMode.INT8_SYM, ignored_scope=scope)


def _inputs(network: QuantizableNetwork, images: Images) -> Any:
    def prepare(image: NDArray[np.uint8]) -> Any:
        values = network.input_of(image)
        return {network.input_name: values} if network.artifact.format == "onnx" else values

    return nncf().Dataset(list(images), prepare)


def _how(network: QuantizableNetwork, count: int) -> dict[str, Any]:
    package = nncf()
    return {
        "preset": package.QuantizationPreset.MIXED,
        "subset_size": count,
        "model_type": package.ModelType.TRANSFORMER if network.is_transformer() else None,
        "ignored_scope": package.IgnoredScope(names=network.around(), validate=False),
    }


@contextlib.contextmanager
def _quietly(do: str) -> Iterator[None]:
    """Keep NNCF's progress bars off the terminal, and report its failure in our words.

    Raises:
        ExportError: it failed.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except (RuntimeError, ValueError, NotImplementedError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ExportError(f"NNCF cannot {do} this model: {type(error).__name__}: {error}") from error
