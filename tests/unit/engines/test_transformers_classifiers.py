"""Image classifiers of transformers behind the Lightning engine: by name, configuration, folder and object."""

# ruff: noqa: TID253  (the networks are made here)
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    RTDetrV2Config,
    SegformerConfig,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from drivetrain import Engine, load
from drivetrain.engines.lightning.models.transformers_classifiers import build_classifier, describe_classifier
from drivetrain.engines.lightning.models.transformers_models import processor_for, spec_of_processor
from drivetrain.errors import CheckpointError, ModelError, OptionError, UnsupportedError
from drivetrain.runtime.preprocess import preprocess
from drivetrain.testing.data import class_folders, coco
from drivetrain.types import ImageSpec

VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
LABELS = ("blue", "green", "red")
NAME = "transformers:ViTForImageClassification"


def _config(labels: tuple[str, ...] = LABELS) -> ViTConfig:
    return ViTConfig(**VIT, id2label=dict(enumerate(labels)), label2id={name: n for n, name in enumerate(labels)})


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers writes it, with an image processor that is not the usual one."""
    folder = tmp_path_factory.mktemp("theirs")
    torch.manual_seed(0)
    ViTForImageClassification(_config()).save_pretrained(folder)
    mean, std = [0.2, 0.3, 0.4], [0.3, 0.2, 0.1]
    ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=mean, image_std=std).save_pretrained(folder)
    return folder


def _picture(size: tuple[int, int] = (48, 60)) -> np.ndarray[Any, Any]:
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).reshape(*size, 3)
    return ramp.astype(np.uint8)


@pytest.mark.parametrize(
    "form",
    [
        "name",
        "config",
        "object",
        "folder",
    ],
)
def test_each_form_of_a_model_trains(form: str, colours: Path, theirs: Path, tmp_path: Path) -> None:
    models: dict[str, Any] = {
        "name": NAME,
        "config": _config(("a", "b")),
        "object": ViTForImageClassification(_config(("a", "b"))),
        "folder": theirs,
    }
    args = VIT if form == "name" else None
    engine = Engine(models[form], colours, model_args=args, work_dir=tmp_path / "run")
    engine.train(max_epochs=1, batch_size=12, num_workers=0, seed=1)
    assert engine.label_names == LABELS
    assert engine.model.net.config.id2label == dict(enumerate(LABELS))
    assert "accuracy" in engine.test()


def test_what_was_trained_opens_with_transformers_and_says_the_same(colours: Path, tmp_path: Path) -> None:
    engine = Engine(NAME, colours, model_args=VIT, work_dir=tmp_path / "run")
    engine.train(max_epochs=2, batch_size=12, num_workers=0)
    engine.model.save_pretrained(tmp_path / "mine")
    net, processor = (
        kind.from_pretrained(tmp_path / "mine") for kind in (AutoModelForImageClassification, AutoImageProcessor)
    )
    picture = _picture((32, 32))  # of the size of the input, so that no resampling differs
    with torch.no_grad():
        theirs = net(**processor(Image.fromarray(picture), return_tensors="pt")).logits.softmax(1)[0].numpy()
    ours = engine.predict(picture)[0].probabilities
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    again = Engine(tmp_path / "mine", work_dir=tmp_path / "again").predict(picture)[0]
    np.testing.assert_allclose(again.probabilities, ours, atol=1e-5)
    assert again.label_names == LABELS


def test_the_image_processor_of_a_folder_is_honoured(theirs: Path, tmp_path: Path) -> None:
    engine = Engine(theirs, work_dir=tmp_path / "run")
    picture = _picture((32, 32))
    net, processor = (kind.from_pretrained(theirs) for kind in (AutoModelForImageClassification, AutoImageProcessor))
    with torch.no_grad():
        wanted = net(**processor(Image.fromarray(picture), return_tensors="pt")).logits.softmax(1)[0].numpy()
    np.testing.assert_allclose(engine.predict(picture)[0].probabilities, wanted, atol=1e-5)
    assert engine.model.image_spec.mean == pytest.approx((0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    "processor",
    [
        ViTImageProcessor(size={"height": 40, "width": 24}, resample=3),
        ViTImageProcessor(size={"height": 40, "width": 24}, do_normalize=False),
        ViTImageProcessor(size={"height": 40, "width": 24}, rescale_factor=1 / 127.5, image_mean=[1, 1, 1]),
        CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}),
        ConvNextImageProcessor(size={"shortest_edge": 28}, crop_pct=0.875),
        ConvNextImageProcessor(size={"shortest_edge": 384}),
    ],
    ids=lambda item: type(item).__name__,
)
def test_a_processor_and_its_spec_prepare_images_alike(processor: Any) -> None:
    picture = np.asarray(Image.fromarray(_picture((8, 10))).resize((60, 60), Image.Resampling.BICUBIC))
    spec = spec_of_processor(processor)
    theirs = np.asarray(processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0])
    assert theirs.shape == (3, *spec.size)
    np.testing.assert_allclose(preprocess(picture, spec), theirs, atol=0.05)


@pytest.mark.parametrize("resize", ["stretch", "crop"])
def test_a_spec_comes_back_from_the_processor_that_is_made_of_it(resize: Any) -> None:
    fraction = 0.875 if resize == "crop" else 1.0
    spec = ImageSpec(28, 28, resize=resize, crop_fraction=fraction, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    found = spec_of_processor(processor_for(ViTForImageClassification(_config()), spec))
    assert (found.size, found.resize, found.interpolation) == (spec.size, spec.resize, spec.interpolation)
    assert found.crop_fraction == pytest.approx(fraction)
    assert (*found.mean, *found.std) == pytest.approx((*spec.mean, *spec.std))


def test_a_head_for_other_labels_keeps_the_classes_that_both_have() -> None:
    net = ViTForImageClassification(_config(("red", "other")))
    before = net.classifier.weight.detach().clone()
    network = describe_classifier(net, LABELS)
    assert network.net is net
    assert "the classifier keeps red; new, from random weights: blue, green." in " ".join(network.notes)
    torch.testing.assert_close(net.classifier.weight[2], before[0])
    assert network.label_names == LABELS


def test_the_image_size_reaches_a_model_whose_input_is_fixed(colours: Path, tmp_path: Path) -> None:
    args = {name: value for name, value in VIT.items() if name != "image_size"}
    engine = Engine(NAME, colours, model_args=args, work_dir=tmp_path / "run")
    engine.train(max_epochs=1, batch_size=12, num_workers=0, image_size=48)
    assert engine.model.net.config.image_size == 48
    assert engine.model.image_spec.size == (48, 48)


@pytest.mark.slow
def test_it_is_exported_and_the_artefact_says_the_same(colours: Path, tmp_path: Path) -> None:
    engine = Engine(NAME, colours, model_args=VIT, work_dir=tmp_path / "run")
    engine.train(max_epochs=3, batch_size=12, num_workers=0)
    for form in ("openvino", "onnx"):
        artefact = load(engine.export(form).path, precision="f32")
        for ours, theirs in zip(engine.predict(), artefact.predict(colours / "test"), strict=True):
            np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)


def test_a_checkpoint_opens_by_itself(colours: Path, tmp_path: Path) -> None:
    engine = Engine(NAME, colours, model_args=VIT, work_dir=tmp_path / "run")
    result = engine.train(max_epochs=1, batch_size=12, num_workers=0)
    again = Engine(result.last_checkpoint, work_dir=tmp_path / "again")
    np.testing.assert_allclose(
        again.predict(_picture())[0].probabilities, engine.predict(_picture())[0].probabilities, atol=1e-6
    )


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_field_that_the_configuration_has_not_is_refused() -> None:
    with pytest.raises(OptionError, match=r"has no option 'hiden_size'. Did you mean 'hidden_size'"):
        build_classifier("ViTForImageClassification", {"hiden_size": 8}, LABELS, None)


def test_a_folder_of_another_model_is_refused(theirs: Path) -> None:
    with pytest.raises(CheckpointError, match="is a ViTForImageClassification, not a ConvNextFor"):
        build_classifier("ConvNextForImageClassification", {"pretrained": str(theirs)}, LABELS, None)


def test_a_folder_whose_model_is_not_served_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}), encoding="utf-8")
    with pytest.raises(ModelError, match="is a BertModel, which is not one of the supported transformers models"):
        Engine(tmp_path, work_dir=tmp_path / "run").predict(_picture())


def test_a_configuration_of_several_models_asks_for_the_task(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"A SegformerConfig may belong to several models: .*Give task=\.\.\. to Engine"
    ):
        Engine(SegformerConfig(), work_dir=tmp_path / "run").predict(_picture())


def test_the_data_say_which_model_a_configuration_is_of(tmp_path: Path) -> None:
    engine = Engine(RTDetrV2Config(), coco(tmp_path / "data"), work_dir=tmp_path / "run")
    assert engine.task.value == "detection"


def test_only_models_of_transformers_have_its_folders(colours: Path, tmp_path: Path) -> None:
    engine = Engine("timm:mobilenetv3_small_050", colours, model_args={"pretrained": False}, work_dir=tmp_path / "run")
    with pytest.raises(UnsupportedError, match="writes transformers models, but mobilenetv3_small_050"):
        engine.model.save_pretrained(tmp_path / "mine")


def test_weights_that_are_not_here_are_named_with_what_fetches_them() -> None:
    with pytest.raises(
        CheckpointError, match=r"'no/such' is not on this machine\. Nothing was downloaded.*hf download no/such"
    ):
        build_classifier("ViTForImageClassification", {"pretrained": "no/such"}, LABELS, None)
    with pytest.raises(OptionError, match=r"pretrained=True must be a folder written by save_pretrained"):
        build_classifier("ViTForImageClassification", {"pretrained": True}, LABELS, None)


def test_weights_in_the_cache_of_the_hub_are_found_by_their_name(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def cached(name: str, *, local_files_only: bool) -> str:
        assert (name, local_files_only) == ("owner/model", True)
        return str(theirs)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", cached)
    network = build_classifier("ViTForImageClassification", {"pretrained": "owner/model"}, LABELS, None)
    assert network.pretrained
