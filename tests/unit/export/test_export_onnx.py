# ruff: noqa: TID253 - tests use the frameworks outright
"""Exporting to ONNX: the same answers from ONNX Runtime and from OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from drivetrain.errors import UnsupportedOptionError
from drivetrain.export import ExportSource, export_artifact
from drivetrain.images.read import read_image
from drivetrain.runtime import load
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.runtime.preprocess import preprocess
from drivetrain.types import ImageSpec, Predictions, Task

LABELS = ("a", "b c", "d")


def _net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(576, 3)
    ).eval()


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(6)
    paths = []
    for index, size in enumerate([(50, 70), (3, 120), (1, 1), (90, 31)]):
        path = tmp_path / f"{index}.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


def _export(tmp_path: Path, images: list[Path], spec: ImageSpec, **options: object) -> tuple[Artifact, nn.Module]:
    net = _net()
    decoder = make_decoder("classification", {}, LABELS, spec)

    def reference(pictures: list[NDArray[np.uint8]]) -> Predictions:
        with torch.no_grad():
            logits = [net(torch.from_numpy(preprocess(picture, spec))[None]).numpy() for picture in pictures]
        items = [decoder.decode({"logits": row}, p.shape[:2], "") for row, p in zip(logits, pictures, strict=True)]
        return Predictions(items, task=Task.CLASSIFICATION, label_names=LABELS)

    source = ExportSource(
        module=net,
        image_spec=spec,
        task=Task.CLASSIFICATION,
        label_names=LABELS,
        decoder="classification",
        output_names=("logits",),
        dynamic_batch=bool(options.pop("dynamic_batch", False)),
        embed=bool(options.pop("embed", True)),
    )
    artifact = export_artifact(
        source,
        tmp_path / "out",
        format="onnx",
        reference=reference,
        images=images,
        engine="test",
        model_name="net",
        **options,
    )
    return artifact, net


@pytest.mark.parametrize(
    ("resize", "interpolation"), [("stretch", "bilinear"), ("crop", "bicubic"), ("letterbox", "nearest")]
)
def test_both_runtimes_answer_as_the_model(tmp_path: Path, images: list[Path], resize: str, interpolation: str) -> None:
    values = {"height": 24, "width": 29, "resize": resize, "interpolation": interpolation, "crop_fraction": 0.9}
    spec = ImageSpec.from_dict({**values, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2]})
    artifact, net = _export(tmp_path, images, spec)
    for backend in ("onnxruntime", "openvino"):
        predictions = load(artifact.path, backend=backend, precision="f32").predict(images)
        for path, prediction in zip(images, predictions, strict=True):
            with torch.no_grad():
                logits = net(torch.from_numpy(preprocess(read_image(path), spec))[None])
            np.testing.assert_allclose(prediction.probabilities, logits.softmax(1)[0].numpy(), atol=1e-4)


def test_any_client_feeds_raw_batches(tmp_path: Path, images: list[Path]) -> None:
    spec = ImageSpec(24, 24)
    artifact, net = _export(tmp_path, images, spec, dynamic_batch=True)
    session = onnxruntime.InferenceSession(artifact.model_path)
    image = read_image(images[0])
    (logits,) = session.run(None, {"image": np.stack([image, image, image])})
    with torch.no_grad():
        expected = net(torch.from_numpy(preprocess(image, spec))[None]).numpy()
    np.testing.assert_allclose(logits, np.repeat(expected, 3, axis=0), atol=1e-4)


def test_half_precision_is_stored_and_answers(tmp_path: Path, images: list[Path]) -> None:
    artifact, _ = _export(tmp_path, images, ImageSpec(24, 24), precision="fp16")
    half = [t for t in onnx.load(artifact.model_path).graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]
    assert [tuple(tensor.dims) for tensor in half] == [(3, 576)]
    assert artifact.parity["passed"]


def test_model_api_reads_the_metadata(tmp_path: Path, images: list[Path]) -> None:
    models = pytest.importorskip("model_api.models")
    artifact, _ = _export(tmp_path, images, ImageSpec(24, 24))
    single = {"INFERENCE_PRECISION_HINT": "f32"}
    adapter = pytest.importorskip("model_api.adapters").OpenvinoAdapter(
        openvino.Core(), str(artifact.model_path), device="CPU", plugin_config=single
    )
    wrapper = models.Model.create_model(adapter)
    ours = load(artifact.path, precision="f32").predict(images)
    for path, prediction in zip(images, ours, strict=True):
        answer = wrapper(read_image(path)).top_labels[0]
        assert answer.name == LABELS[prediction.labels[0]].replace(" ", "_")
        assert answer.confidence == pytest.approx(prediction.scores[0], abs=1e-4)


def test_without_embedding_and_bare(tmp_path: Path, images: list[Path]) -> None:
    artifact, _ = _export(tmp_path, images, ImageSpec(24, 24, antialias=False), embed=False)
    expected = load(artifact.path).predict(images)
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(artifact.model_path.read_bytes())
    predictions = load(bare).predict(images)
    assert predictions.label_names == ("a", "b_c", "d")
    for ours, theirs in zip(predictions, expected, strict=True):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)
    with pytest.raises(UnsupportedOptionError, match="device"):
        load(artifact.path, backend="onnxruntime", device="GPU")
