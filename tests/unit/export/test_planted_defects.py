# ruff: noqa: TID253 - tests use the frameworks outright
"""Defects that users of exported models meet, planted one by one: export or verify refuses each, and names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import drivetrain
from drivetrain.errors import ParityError
from drivetrain.export import ExportSource, export_artifact
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.runtime.preprocess import preprocess
from drivetrain.runtime.preprocess_graph import RESIZED_NAME
from drivetrain.types import ImageSpec, Predictions, Task

Answer = Callable[[Sequence[NDArray[np.uint8]]], Predictions]
SPEC = ImageSpec(32, 40, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class Classifier(nn.Module):
    """Takes images of any size, so that a missing resize is no error of the graph."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2), nn.ReLU())
        self.head = nn.Linear(16, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 6 * self.head(self.body(image).mean((2, 3)))


class Inspector(nn.Module):
    """A map of anomalies and the score of the image, its highest value, moved by a wrong normalisation."""

    def __init__(self, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body, self.scale, self.shift = nn.Conv2d(3, 1, 5, padding=2), scale, shift

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        heat = torch.sigmoid(self.body(image)) * self.scale + self.shift
        return heat.amax((1, 2, 3)), heat


KINDS = {
    Task.CLASSIFICATION: ("classification", ("logits",), ("cat", "traffic light", "dog")),
    Task.ANOMALY: ("anomaly", ("pred_score", "anomaly_map"), ("normal", "anomalous")),
}


def pictures() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(5)
    blocks = [random.integers(0, 256, (rows, columns, 3), np.uint8) for rows, columns in ((12, 16), (45, 20))]
    return [block.repeat(4, 0).repeat(4, 1) // np.uint8(2) + np.array([90, 40, 0], np.uint8) for block in blocks]


def answers(net: nn.Module, task: Task, spec: ImageSpec = SPEC) -> Answer:
    """What a model answers in its framework."""
    name, outputs, labels = KINDS[task]
    decoder = make_decoder(name, {}, labels, spec)

    def answer(images: Sequence[NDArray[np.uint8]]) -> Predictions:
        items = []
        for image in images:
            with torch.no_grad():
                found = net(torch.from_numpy(preprocess(image, spec))[None])
            values = [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]
            items.append(decoder.decode(dict(zip(outputs, values, strict=True)), image.shape[:2], ""))
        return Predictions(items, task=task, label_names=labels)

    return answer


def exported(folder: Path, net: nn.Module, task: Task, reference: Answer) -> Artifact:
    paths = [folder / f"{number}.png" for number in range(2)]
    for path, picture in zip(paths, pictures(), strict=True):
        Image.fromarray(picture).save(path)
    decoder, outputs, labels = KINDS[task]
    source = ExportSource(
        image_spec=SPEC, task=task, label_names=labels, decoder=decoder, module=net.eval(), output_names=outputs
    )
    return export_artifact(
        source, folder / "artefact", reference=reference, images=paths, engine="test", model_name="Net"
    )


def swapped(answer: Answer) -> Answer:
    return lambda images: answer([np.ascontiguousarray(image[..., ::-1]) for image in images])


@pytest.mark.parametrize(
    ("planted", "clause"),
    [
        ("channels", "red and blue are swapped"),
        ("mean", "its images are normalised differently; the model's by 0..1"),
        ("resize", "resized by 'stretch', the model's by 'letterbox'"),
        ("labels", r"its labels are in a different order \('cat' for '"),
    ],
)
def test_an_export_names_the_defect(tmp_path: Path, planted: str, clause: str) -> None:
    net, task = Classifier(), Task.CLASSIFICATION
    right = answers(Classifier(), task)
    if planted == "channels":
        right = swapped(right)
    elif planted == "mean":
        right = answers(Classifier(), task, replace(SPEC, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
    elif planted == "resize":
        right = answers(Classifier(), task, replace(SPEC, resize="letterbox"))
    else:
        net.head.weight.data, net.head.bias.data = net.head.weight.data[[2, 0, 1]], net.head.bias.data[[2, 0, 1]]
    with pytest.raises(ParityError, match=clause):
        exported(tmp_path, net, task, right)
    assert not (tmp_path / "artefact").exists()


def test_an_export_names_a_threshold_that_moved(tmp_path: Path) -> None:
    right = answers(Inspector(), Task.ANOMALY)
    with pytest.raises(ParityError, match="its threshold or score normalisation differs"):
        exported(tmp_path, Inspector(0.8, 0.1), Task.ANOMALY, right)
    assert not (tmp_path / "artefact").exists()


def rewritten(folder: Path, changed: Callable[[ov.Model], ov.Model]) -> Artifact:
    """The artefact with another graph, as if it had been written so."""
    model = changed(ov.Core().read_model(folder / "model.xml"))
    for name in ("model.xml", "model.bin"):
        (folder / name).unlink()
    ov.save_model(model, folder / "model.xml", compress_to_fp16=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "files": {}}))
    return Artifact.open(folder).write_manifest()


def without_resize(model: ov.Model) -> ov.Model:
    """The same network behind the same normalisation, but images keep their size."""
    bare = ov.convert_model(Classifier().eval(), example_input=torch.zeros(1, 3, 32, 40), input=[-1, 3, -1, -1])
    steps = ov.preprocess.PrePostProcessor(bare)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_shape([-1, -1, -1, 3])
    steps.input().model().set_layout(ov.Layout("NCHW"))
    scale = [255 * value for value in SPEC.std]
    steps.input().preprocess().convert_element_type(ov.Type.f32)
    steps.input().preprocess().mean([255 * value for value in SPEC.mean]).scale(scale)
    built = steps.build()
    built.input(0).get_tensor().set_names({*model.input(0).get_names(), RESIZED_NAME})
    built.output(0).get_tensor().set_names(model.output(0).get_names())
    return built


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    return exported(folder, Classifier(), Task.CLASSIFICATION, answers(Classifier(), Task.CLASSIFICATION)).path


def test_verify_names_a_resize_that_is_missing(classifier: Path, tmp_path: Path) -> None:
    artifact = rewritten(Path(shutil.copytree(classifier, tmp_path / "copy")), without_resize)
    with pytest.raises(ParityError, match="its images are not resized to 32 x 40 pixels as its image_spec says"):
        drivetrain.verify(artifact)


def flipped(model: ov.Model) -> ov.Model:
    """Red and blue swapped in front of the network."""
    (image,) = model.inputs
    readers = list(image.get_target_inputs())
    order = ov.opset13.gather(image, ov.opset13.constant([2, 1, 0]), ov.opset13.constant(3))
    for reader in readers:
        reader.replace_source_output(order.output(0))
    model.validate_nodes_and_infer_types()
    return model


def test_verify_names_channels_that_are_swapped(classifier: Path, tmp_path: Path) -> None:
    artifact = rewritten(Path(shutil.copytree(classifier, tmp_path / "copy")), flipped)
    with pytest.raises(ParityError, match="red and blue are swapped"):
        drivetrain.verify(artifact)


def scaled(model: ov.Model) -> ov.Model:
    """Scores and maps as a quantised graph gives them whose normalisation was not calibrated again."""
    for output in model.outputs:
        source = output.get_node().input_value(0)
        moved = ov.opset13.add(
            ov.opset13.multiply(source, ov.opset13.constant(np.float32(0.8))), ov.opset13.constant(np.float32(0.1))
        )
        output.get_node().input(0).replace_source_output(moved.output(0))
        moved.output(0).get_tensor().set_names(output.get_names())
    model.validate_nodes_and_infer_types()
    return model


def test_verify_names_a_threshold_that_quantisation_moved(tmp_path: Path) -> None:
    good = exported(tmp_path, Inspector(), Task.ANOMALY, answers(Inspector(), Task.ANOMALY))
    assert drivetrain.verify(good).passed
    with pytest.raises(ParityError, match="its threshold or score normalisation differs"):
        drivetrain.verify(rewritten(good.path, scaled))
