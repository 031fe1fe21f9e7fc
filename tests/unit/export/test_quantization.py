# ruff: noqa: TID253 - tests use the frameworks outright
"""The network of an artefact, quantised and put back behind its resize, in both formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from drivetrain.errors import UnsupportedError
from drivetrain.export import ExportSource, export_artifact, quantization
from drivetrain.export.judging import decoder_of, see
from drivetrain.export.network import OpenVinoNetwork
from drivetrain.export.optimization import check_optimizable
from drivetrain.runtime import load
from drivetrain.runtime.artifact import Artifact
from drivetrain.types import ImageSpec, Task

pytest.importorskip("nncf")
SPEC = ImageSpec(24, 32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


class Net(nn.Module):
    """Three convolutions, a product of matrices, and something behind that has no weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.SiLU(), nn.Conv2d(32, 16, 3)),
            *(nn.ReLU(), nn.AdaptiveAvgPool2d(2)),
        )
        self.head = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).flatten(1)) * 2 + 1


class Parts(nn.Module):
    """A convolution of half the channels of another one, as in the attention of YOLO11."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(3, 32, 3), nn.Conv2d(16, 16, 1, bias=False), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, changed = self.first(x).split((16, 16), dim=1)
        return self.head((kept + self.second(changed)).mean((2, 3)))


class Queries(nn.Module):
    """A layer of learned queries, which does not depend on the image, as in the decoders of DETR."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.values, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 16), nn.Linear(16, 3)
        self.queries = nn.Parameter(torch.randn(1, 5, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = self.values(self.queries.expand(x.shape[0], -1, -1))
        return self.head((self.first(x).mean((2, 3)).unsqueeze(1) + values).mean(1))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from PIL import Image

    folder, random = tmp_path_factory.mktemp("images"), np.random.default_rng(1)
    for number in range(12):
        blocks = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((60, 50)).save(folder / f"{number:02}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module", params=["openvino", "onnx"])
def artifact(request: pytest.FixtureRequest, images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return exported(Net(), request.param, images, tmp_path_factory.mktemp("artifacts") / request.param)


def exported(net: nn.Module, form: str, images: list[Path], folder: Path) -> Artifact:
    source = ExportSource(
        module=net.eval(),
        image_spec=SPEC,
        task=Task.CLASSIFICATION,
        label_names=("a", "b", "c"),
        decoder="classification",
        output_names=("logits",),
        dynamic_batch=True,
    )
    asked: dict[str, Any] = {"reference": None, "images": images, "engine": "", "model_name": "net"}
    return export_artifact(source, folder, format=form, **asked)


def answers(artifact: Artifact, images: Sequence[Path]) -> NDArray[np.float32]:
    return np.stack([answer.probabilities for answer in load(artifact.path, precision="f32").predict(list(images))])


def copied(artifact: Artifact, to: Path) -> Artifact:
    import shutil

    return Artifact.open(shutil.copytree(artifact.path, to))


def test_what_is_before_and_behind_the_weights_is_left_alone(artifact: Artifact) -> None:
    network = quantization.open_network(artifact)
    assert network.count(network.graph) == (4, 0)
    left = network.around()
    if isinstance(network, OpenVinoNetwork):
        kinds = {node.get_friendly_name(): node.get_type_name() for node in network.graph.get_ops()}
        assert {"Subtract", "Multiply", "Add"} <= {kinds[name] for name in left}
        assert not {"Convolution", "MatMul", "Relu", "Swish"} & {kinds[name] for name in left}
    else:
        kinds = {node.name: node.op_type for node in network.graph.graph.node}
        assert not {"Conv", "Gemm", "Relu"} & {kinds[name] for name in left}
    assert not network.is_transformer()


def test_the_quantised_network_is_put_back_behind_its_resize(
    artifact: Artifact, images: list[Path], tmp_path: Path
) -> None:
    light = copied(artifact, tmp_path / "light")
    network = quantization.open_network(light)
    graph = quantization.post_training(network, [one.resized for one in see(light, [str(path) for path in images])])
    assert network.count(graph) == (4, 4)
    network.write(graph)
    light = light.write_manifest()
    assert light.model_bytes < artifact.model_bytes
    before, after = answers(artifact, images), answers(light, images)
    assert 0 < np.abs(before - after).max() < 0.1
    again = quantization.open_network(light)
    assert again.count(again.graph) == (4, 4), "a written graph is read back"


def test_accuracy_control_leaves_layers_at_full_precision(artifact: Artifact, images: list[Path]) -> None:
    network = quantization.open_network(artifact)
    seen = see(artifact, [str(path) for path in images])
    prepared = network.prepared(network.graph)
    decoder = decoder_of(artifact)
    reference = [network.run(prepared, network.input_of(one.resized))["logits"] for one in seen]
    assert decoder.decode({"logits": reference[0]}, (50, 60), "").probabilities is not None

    def judge(ask: Callable[[int], dict[str, Any]], numbers: Sequence[int]) -> tuple[float, list[float]]:
        """One percent of a difference costs all."""
        apart = [-float(np.abs(ask(number)["logits"] - reference[number]).max()) for number in numbers]
        return 1.0 + 100 * float(np.mean(apart)), apart

    resized = [one.resized for one in seen]

    def loss(graph: Any) -> float:
        ready = network.prepared(graph)
        return 1.0 - judge(lambda number: network.run(ready, network.input_of(resized[number])), range(12))[0]

    plain = quantization.post_training(network, resized)
    allowed = 0.6 * loss(plain)
    graph = quantization.controlled(network, resized, resized, judge, allowed)
    assert network.count(graph)[1] < network.count(plain)[1]
    assert loss(graph) <= allowed


def test_weights_alone(artifact: Artifact, images: list[Path], tmp_path: Path) -> None:
    if artifact.format == "onnx":
        with pytest.raises(UnsupportedError, match="ONNX Runtime does not run"):
            check_optimizable(artifact, "int8_weights")
        return
    light = copied(artifact, tmp_path / "light")
    network = quantization.open_network(light)
    graph = quantization.weights_only(network)
    assert network.count(graph)[1] > 0
    network.write(graph)
    assert np.abs(answers(artifact, images) - answers(light.write_manifest(), images)).max() < 0.05


@pytest.mark.parametrize("net", [Parts, Queries])
def test_what_openvino_cannot_load_compressed_keeps_its_weights(
    net: type[nn.Module], images: list[Path], tmp_path: Path
) -> None:
    light = exported(net(), "openvino", images, tmp_path / "parts")
    before = answers(light, images)
    network = quantization.open_network(light)
    graph = quantization.weights_only(network)
    assert network.count(graph) == (3, 2)
    network.write(graph)
    assert np.abs(before - answers(light.write_manifest(), images)).max() < 0.05


def test_anomaly_models_in_onnx_are_refused_with_what_to_do(artifact: Artifact) -> None:
    from dataclasses import replace

    anomaly = replace(artifact, task=Task.ANOMALY)
    if artifact.format == "openvino":
        check_optimizable(anomaly, "int8")
        return
    with pytest.raises(UnsupportedError, match=r"Export it to OpenVINO: .*drivetrain export"):
        check_optimizable(anomaly, "int8")
    check_optimizable(anomaly, "fp16")
