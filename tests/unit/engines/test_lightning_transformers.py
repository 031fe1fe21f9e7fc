"""Detection and semantic segmentation models of transformers behind the Lightning engine."""

# ruff: noqa: TID253  (the networks are made here)
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    SegformerConfig,
    SegformerForImageClassification,
    SegformerForSemanticSegmentation,
    YolosConfig,
    YolosForObjectDetection,
)

from drivetrain.engines.lightning.vision import transformers_source
from drivetrain.engines.lightning.vision.adapter import Target, VisionAdapter
from drivetrain.errors import CheckpointError, OptionError, UnsupportedError

LABELS = ("a", "b", "c")
OTHERS = ("c", "d", "a", "e")
SEGFORMER: dict[str, Any] = {
    "hidden_sizes": [8, 16, 24, 32],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 2, 2],
    "decoder_hidden_size": 32,
}


def _segformer(labels: tuple[str, ...] = OTHERS) -> Any:
    return SegformerForSemanticSegmentation(SegformerConfig(**SEGFORMER, id2label=dict(enumerate(labels))))


def _rt_detr(labels: tuple[str, ...] = OTHERS) -> Any:
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrV2Config(
        backbone_config=backbone,
        encoder_in_channels=[16, 24, 32],
        decoder_in_channels=[32, 32, 32],
        d_model=32,
        encoder_hidden_dim=32,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        decoder_layers=2,
        num_queries=20,
        num_denoising=10,
        id2label=dict(enumerate(labels)),
    )
    return RTDetrV2ForObjectDetection(config)


def _yolos(labels: tuple[str, ...] = OTHERS) -> Any:
    config = YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=[64, 64],
        num_detection_tokens=10,
        id2label=dict(enumerate(labels)),
    )
    return YolosForObjectDetection(config)


@pytest.mark.parametrize("make", [_segformer, _rt_detr, _yolos])
def test_an_object_gets_a_head_for_the_labels_and_keeps_what_it_knows_of_them(make: Any) -> None:
    net = make()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    adapter = transformers_source.wrap(net)
    heads = adapter.class_rows(OTHERS)
    transformers_source.fit_labels(adapter, LABELS)
    assert adapter.net is net
    assert net.config.id2label == dict(enumerate(LABELS))
    assert "the head keeps a, c; new, from random weights: b." in " ".join(adapter.notes)
    rows = adapter.class_rows(LABELS)
    assert rows
    assert set(rows) == set(heads)
    for name, value in net.state_dict().items():
        if name not in rows:
            torch.testing.assert_close(value, before[name])
            continue
        mine, other = rows[name].split(value), heads[name].split(before[name])
        for label in ("a", "c"):
            there = heads[name].names.index(label)
            torch.testing.assert_close(mine[:, rows[name].names.index(label)], other[:, there])


def test_boxes_are_learned_from_and_an_image_may_have_none() -> None:
    adapter = transformers_source.wrap(_rt_detr(LABELS))
    adapter.net.train()
    target: Target = {"boxes": torch.tensor([[4.0, 4, 40, 40]]), "labels": torch.tensor([1])}
    nothing: Target = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    for targets in ([target, nothing], [nothing, nothing]):
        losses = adapter.losses(torch.rand(2, 3, 64, 64), targets)
        assert set(losses) == {"total", "vfl", "bbox", "giou"}
        assert torch.isfinite(losses["total"])


def _decoded(adapter: VisionAdapter) -> tuple[str, object]:
    arguments = adapter.decoding.arguments
    return str(arguments["activation"]), arguments.get("no_object")


def test_the_outputs_are_read_as_each_family_means_them() -> None:
    assert _decoded(transformers_source.wrap(_rt_detr())) == ("sigmoid", None)
    assert _decoded(transformers_source.wrap(_yolos())) == ("softmax", "last")


def test_a_folder_of_save_pretrained_goes_in(tmp_path: Path) -> None:
    theirs = _segformer(LABELS)
    theirs.save_pretrained(tmp_path / "model")
    name = "SegformerForSemanticSegmentation"
    ours = transformers_source.build(name, {"pretrained": str(tmp_path / "model")}, LABELS, 0)
    assert ours.pretrained
    for key, value in ours.net.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[key])


def test_a_model_is_made_again_from_what_a_checkpoint_says() -> None:
    first = transformers_source.wrap(_rt_detr(LABELS))
    again = transformers_source.build(first.name, first.recorded_args, LABELS, 0)
    assert {name: value.shape for name, value in again.net.state_dict().items()} == {
        name: value.shape for name, value in first.net.state_dict().items()
    }
    assert again.label_names == LABELS


def test_what_is_no_folder_of_save_pretrained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"is not a folder of save_pretrained: it has no config.json. Nothing was"
    ):
        transformers_source.build("YolosForObjectDetection", {"pretrained": str(tmp_path)}, LABELS, 0)
    _segformer().save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="is a SegformerForSemanticSegmentation, not a YolosForObjectDetection"):
        transformers_source.build("YolosForObjectDetection", {"pretrained": str(tmp_path / "model")}, LABELS, 0)


def test_a_field_that_the_configuration_has_not_is_refused() -> None:
    with pytest.raises(OptionError, match=r"has no option 'dephts'. Did you mean 'depths'"):
        transformers_source.build("SegformerForSemanticSegmentation", {"dephts": [1]}, LABELS, 0)


def test_a_model_for_another_task_is_refused() -> None:
    net = SegformerForImageClassification(SegformerConfig(**SEGFORMER))
    with pytest.raises(UnsupportedError, match="Supported transformers classes end in ForImageClassification, "):
        transformers_source.wrap(net)


def test_a_head_without_names_takes_those_of_the_data() -> None:
    net = SegformerForSemanticSegmentation(SegformerConfig(**SEGFORMER, num_labels=3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    transformers_source.fit_labels(transformers_source.wrap(net), LABELS)
    assert net.config.id2label == dict(enumerate(LABELS))
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name])
