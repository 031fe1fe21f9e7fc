# ruff: noqa: TID253 - tests use the frameworks outright
"""Verifying an artefact without its model: a good one passes, and each usual mistake is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
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
from drivetrain.cli.main import main
from drivetrain.errors import ArtifactError, OptionError, ParityError
from drivetrain.export import ExportSource, export_artifact
from drivetrain.export.layers import first_difference
from drivetrain.export.reference import FOLDER, read_reference, write_reference
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.runtime.preprocess import preprocess
from drivetrain.types import ImageSpec, Predictions, Task

LABELS = ("cat", "traffic light", "dog")
SPEC = ImageSpec(32, 40, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def _net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 3)
    ).eval()


def _pictures() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    blocks = [rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), np.uint8) for size in ((48, 64), (900, 200))]
    return [block.repeat(4, 0).repeat(4, 1) // np.uint8(2) + np.array([90, 40, 0], np.uint8) for block in blocks]


def _answers(net: nn.Module, spec: ImageSpec) -> Callable[[Sequence[NDArray[np.uint8]]], Predictions]:
    decoder = make_decoder("classification", {}, LABELS, spec)

    def answer(pictures: Sequence[NDArray[np.uint8]]) -> Predictions:
        with torch.no_grad():
            outputs = [net(torch.from_numpy(preprocess(picture, spec))[None]).numpy() for picture in pictures]
        items = [
            decoder.decode({"logits": logits}, picture.shape[:2], "")
            for logits, picture in zip(outputs, pictures, strict=True)
        ]
        return Predictions(items, task=Task.CLASSIFICATION, label_names=LABELS)

    return answer


def _export(folder: Path, *, truth: ImageSpec = SPEC, net: nn.Module | None = None, **options: object) -> Artifact:
    """An artefact that declares ``SPEC``, for a model that was trained with ``truth``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(2)]
    for path, picture in zip(paths, _pictures(), strict=True):
        Image.fromarray(picture).save(path)
    source = ExportSource(
        image_spec=SPEC,
        task=Task.CLASSIFICATION,
        label_names=LABELS,
        decoder="classification",
        module=net or _net(),
        output_names=("logits",),
    )
    values = {"reference": _answers(_net(), truth), "images": paths, "engine": "test", "model_name": "Net", **options}
    return export_artifact(source, folder / "artefact", **values)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export(tmp_path_factory.mktemp("good")).path


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy"))


@pytest.mark.parametrize(("kind", "precision"), [("openvino", "fp32"), ("openvino", "fp16"), ("onnx", "fp32")])
def test_a_good_artefact_passes(tmp_path: Path, kind: str, precision: str) -> None:
    artifact = _export(tmp_path, format=kind, precision=precision)
    report = drivetrain.verify(artifact.path)
    assert report.passed
    assert report.agreement == 1.0
    assert report.images == ("reference/0.png", "reference/1.png")
    if precision == "fp32":
        assert report.max_difference["probabilities"] < 1e-4


def test_large_pictures_are_kept_small_and_answers_are_of_what_is_kept(good: Path) -> None:
    artifact = Artifact.open(good)
    reference = read_reference(good, artifact.task, LABELS)
    assert [image.shape for image in reference.images] == [(48, 64, 3), (512, 114, 3)]
    expected = _answers(_net(), SPEC)(reference.images)
    for kept, right in zip(reference.answers, expected, strict=True):
        np.testing.assert_array_equal(kept.probabilities, right.probabilities)


def test_no_pytorch_is_loaded(good: Path) -> None:
    program = (
        "import sys, drivetrain; drivetrain.verify(sys.argv[1]); "
        "print([name for name in ('torch', 'onnx', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, good], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("truth", "clause"),
    [
        ({"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}, "normalised differently; the model's by 0..1"),
        ({"mean": (0.5,) * 3, "std": (0.5,) * 3}, "normalised differently; the model's by -1..1"),
        ({"resize": "letterbox"}, "resized by 'stretch', the model's by 'letterbox'"),
        ({"resize": "crop"}, "resized by 'stretch', the model's by 'crop'"),
        ({"antialias": False}, "resized without antialiasing"),
    ],
)
def test_an_export_names_wrong_preprocessing(tmp_path: Path, truth: dict[str, object], clause: str) -> None:
    with pytest.raises(ParityError, match=clause) as raised:
        _export(tmp_path, truth=replace(SPEC, **truth))
    assert not raised.value.report.passed
    assert not (tmp_path / "artefact").exists()


def test_an_export_names_swapped_channels(tmp_path: Path) -> None:
    right = _answers(_net(), SPEC)

    def swapped(pictures: Sequence[NDArray[np.uint8]]) -> Predictions:
        return right([np.ascontiguousarray(picture[..., ::-1]) for picture in pictures])

    with pytest.raises(ParityError, match="Probably red and blue are swapped"):
        _export(tmp_path, reference=swapped)


def test_an_export_names_labels_in_another_order(tmp_path: Path) -> None:
    net = _net()
    head = net[-1]
    head.weight.data, head.bias.data = head.weight.data[[2, 0, 1]], head.bias.data[[2, 0, 1]]
    with pytest.raises(ParityError, match="its labels are in a different order"):
        _export(tmp_path, net=net)


def test_a_changed_file_is_named(copy: Path) -> None:
    weights = copy / "model.bin"
    content = bytearray(weights.read_bytes())
    content[40] ^= 255
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"'model\.bin' .* was changed since the export"):
        drivetrain.verify(copy)


def test_a_changed_layer_is_named(copy: Path) -> None:
    """Simulates a device whose arithmetic is wrong, while the files are intact."""
    model = ov.Core().read_model(copy / "model.xml")
    convolution = next(node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution")
    doubled = ov.opset13.multiply(convolution.output(0), ov.opset13.constant(np.float32(1.5)))
    for target in list(convolution.output(0).get_target_inputs()):
        if target.get_node() is not doubled:
            target.replace_source_output(doubled.output(0))
    name = convolution.get_friendly_name()
    convolution.set_friendly_name(f"{name}/before")
    doubled.set_friendly_name(name)
    (copy / "model.xml").unlink()
    (copy / "model.bin").unlink()
    ov.save_model(model, copy / "model.xml", compress_to_fp16=False)
    with pytest.raises(ParityError, match=f"The first layer whose numbers differ from those at export is '{name}'"):
        drivetrain.verify(_with_new_hashes(copy))


def _with_new_hashes(folder: Path) -> Artifact:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Artifact.open(folder).write_manifest()


def test_a_resize_that_was_changed_in_the_manifest_is_named(copy: Path) -> None:
    artifact = replace(Artifact.open(copy), image_spec=replace(SPEC, resize="letterbox")).write_manifest()
    with pytest.raises(ParityError, match="resized by 'letterbox', the model's by 'stretch'"):
        drivetrain.verify(artifact)


def test_equal_layers_point_at_the_decoder(copy: Path) -> None:
    assert first_difference(Artifact.open(copy), _pictures()[0]) is None
    artifact = Artifact.open(copy)
    reference = read_reference(copy, artifact.task, LABELS)
    wrong = [replace(item, probabilities=item.probabilities[[1, 0, 2]] * 0.9) for item in reference.answers]
    write_reference(copy, reference.images, Predictions(wrong, task=artifact.task, label_names=LABELS))
    with pytest.raises(ParityError, match="Every layer gives the numbers it gave at the export"):
        drivetrain.verify(artifact.write_manifest())


def test_an_artefact_without_pictures_says_what_to_do(copy: Path) -> None:
    shutil.rmtree(copy / FOLDER)
    artifact = _with_new_hashes(copy)
    with pytest.raises(ArtifactError, match=r"holds no pictures with the model's own answers.*Export the model again"):
        drivetrain.verify(artifact)


def test_broken_answers_are_no_bare_error(copy: Path) -> None:
    (copy / FOLDER / "answers.npz").write_bytes(b"no archive")
    with pytest.raises(ArtifactError, match=r"answers\.npz.* is broken"):
        drivetrain.verify(_with_new_hashes(copy))


def test_an_unknown_quantity_and_device_are_refused(good: Path) -> None:
    with pytest.raises(OptionError, match="tolerance='probability' is not compared"):
        drivetrain.verify(good, tolerance={"probability": 1.0})
    with pytest.raises(ArtifactError, match="device='TPU'"):
        drivetrain.verify(good, device="TPU")


def test_the_command_shows_the_differences(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(good)]) == 0
    out = capsys.readouterr().out
    assert "openvino fp32, classification; every file is unchanged" in out
    assert "probabilities" in out
    assert "Same decision on 100% of 2 pictures. Its answers are those of the model." in out
    assert main(["verify", str(good), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def test_the_command_fails_for_a_wrong_artefact(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace(Artifact.open(copy), image_spec=replace(SPEC, resize="crop")).write_manifest()
    assert main(["verify", str(copy)]) == 1
    assert "resized by 'crop', the model's by 'stretch'" in capsys.readouterr().err
