"""Low-rank adapters of PEFT in models of transformers: trained, saved, merged and exported."""

# ruff: noqa: TID253  (the networks are made here)
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import (
    AutoModelForImageClassification,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    ViTConfig,
    ViTForImageClassification,
)

from drivetrain import Engine, load
from drivetrain.engines.lightning.models.lora import lora_of, merged, put_lora
from drivetrain.engines.lightning.vision import transformers_source
from drivetrain.errors import OptionError
from drivetrain.testing.data import class_folders

VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
NAME = "transformers:ViTForImageClassification"


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    ViTForImageClassification(ViTConfig(**VIT, num_labels=7)).save_pretrained(folder)
    return folder


def _trained(colours: Path, base: Path, work_dir: Path, epochs: int = 1) -> Any:
    args = {"pretrained": str(base), "lora": {"r": 4, "lora_alpha": 8}}
    engine = Engine(NAME, colours, model_args=args, work_dir=work_dir)
    engine.train(max_epochs=epochs, batch_size=12, num_workers=0, learning_rate=0.01)
    return engine


def test_only_the_adapter_and_the_head_are_trained(colours: Path, base: Path, tmp_path: Path) -> None:
    before = AutoModelForImageClassification.from_pretrained(base).state_dict()
    engine = _trained(colours, base, tmp_path / "run")
    now = engine.model.net.state_dict()
    trained = {name for name, value in engine.model.net.named_parameters() if value.requires_grad}
    assert trained
    assert all("lora_" in name or name.startswith("classifier.modules_to_save") for name in trained)
    plain = {name.replace(".base_layer", ""): value for name, value in now.items()}
    for name, value in before.items():
        if not name.startswith("classifier"):
            torch.testing.assert_close(plain[name], value, msg=name)
    assert any(value.abs().max() > 0 for name, value in now.items() if "lora_B" in name)
    assert any("LoRA: " in note for note in engine.weights.run.content["notes"])


def test_what_was_trained_is_saved_merged_and_as_an_adapter(colours: Path, base: Path, tmp_path: Path) -> None:
    engine = _trained(colours, base, tmp_path / "run")
    engine.model.save_pretrained(tmp_path / "mine")
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        wanted = engine.model.net.eval()(picture).logits
        whole = AutoModelForImageClassification.from_pretrained(tmp_path / "mine")
        torch.testing.assert_close(whole(picture).logits, wanted, atol=1e-5, rtol=1e-4)
        plain = ViTForImageClassification.from_pretrained(base, num_labels=3, ignore_mismatched_sizes=True)
        adapted = peft.PeftModel.from_pretrained(plain, tmp_path / "mine" / "adapter").eval()
        torch.testing.assert_close(adapted(picture).logits, wanted, atol=1e-5, rtol=1e-4)


def test_a_checkpoint_with_an_adapter_opens_by_itself(colours: Path, base: Path, tmp_path: Path) -> None:
    engine = _trained(colours, base, tmp_path / "run")
    again = Engine(tmp_path / "run", work_dir=tmp_path / "again")
    picture = np.zeros((32, 32, 3), np.uint8)
    np.testing.assert_allclose(
        again.predict(picture)[0].probabilities, engine.predict(picture)[0].probabilities, atol=1e-6
    )
    assert lora_of(again.model.net) == lora_of(engine.model.net)


@pytest.mark.slow
def test_it_is_exported_without_the_adapter(colours: Path, base: Path, tmp_path: Path) -> None:
    engine = _trained(colours, base, tmp_path / "run", epochs=3)
    for form in ("openvino", "onnx"):
        artefact = load(engine.export(form).path, precision="f32")
        for ours, theirs in zip(engine.predict(), artefact.predict(colours / "test"), strict=True):
            np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)


def test_an_object_that_has_an_adapter_keeps_it(colours: Path, base: Path, tmp_path: Path) -> None:
    net = ViTForImageClassification(ViTConfig(**VIT, num_labels=3))
    names = ("q_proj", "query")
    layers = [name for name, _ in net.named_modules() if name.endswith(names)]
    wrapped = peft.get_peft_model(net, peft.LoraConfig(r=2, target_modules=layers, modules_to_save=["classifier"]))
    engine = Engine(wrapped, colours, work_dir=tmp_path / "run")
    engine.train(max_epochs=1, batch_size=12, num_workers=0)
    trained = {name for name, value in engine.model.net.named_parameters() if value.requires_grad}
    assert trained
    assert all("lora_" in name or "modules_to_save" in name for name in trained)


def test_a_segmentation_model_gets_one_too(tmp_path: Path) -> None:
    sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2]}
    args = {**sizes, "decoder_hidden_size": 32, "lora": {"r": 2}}
    labels = ("background", "circle", "square")
    adapter = transformers_source.build("SegformerForSemanticSegmentation", args, labels, 0)
    trained = {name for name, value in adapter.net.named_parameters() if value.requires_grad}
    assert trained
    assert all("lora_" in name or "modules_to_save" in name for name in trained)
    picture = torch.rand(1, 3, 64, 64)
    adapter.net.eval()
    with torch.no_grad():
        torch.testing.assert_close(merged(adapter.net)(picture).logits, adapter.net(picture).logits)
    again = transformers_source.build(adapter.name, adapter.recorded_args, labels, 0)
    again.net.load_state_dict(adapter.net.state_dict())


def test_a_merged_model_is_a_copy_and_a_plain_one() -> None:
    net = ViTForImageClassification(ViTConfig(**VIT, num_labels=3))
    names = set(net.state_dict())
    put_lora(net, {"r": 2, "init_lora_weights": False}, ["classifier"])
    plain = merged(net)
    assert set(plain.state_dict()) == names
    assert lora_of(net) is not None
    assert lora_of(plain) is None


def test_a_field_that_peft_has_not_is_refused() -> None:
    net = ViTForImageClassification(ViTConfig(**VIT, num_labels=3))
    with pytest.raises(OptionError, match=r"lora has no option 'rank'.*Allowed: .*lora_alpha"):
        put_lora(net, {"rank": 2}, ["classifier"])


def test_layers_must_be_named_where_attention_is_named_otherwise() -> None:
    config = SegformerConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 1, 1])
    net = SegformerForSemanticSegmentation(config).decode_head
    with pytest.raises(OptionError, match=r"needs target_modules for SegformerDecodeHead.*layers end in: proj"):
        put_lora(net, {"r": 2}, ["classifier"])


def test_lora_is_no_word() -> None:
    net = ViTForImageClassification(ViTConfig(**VIT, num_labels=3))
    with pytest.raises(OptionError, match=r"lora='yes' must hold fields of peft.LoraConfig, such as {'r': 8}"):
        put_lora(net, "yes", ["classifier"])  # type: ignore[arg-type]
