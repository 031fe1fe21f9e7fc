"""Mask2Former, MaskFormer and EoMT of transformers behind the Lightning engine: instance segmentation."""

# ruff: noqa: TID253  (the networks are made here)
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    DetrConfig,
    EomtConfig,
    EomtForUniversalSegmentation,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    SwinConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from drivetrain import Engine
from drivetrain.engines.lightning.vision import transformers_source
from drivetrain.engines.lightning.vision.adapter import Target
from drivetrain.errors import UnsupportedError
from drivetrain.runtime.postprocess import make_decoder
from drivetrain.testing.data import coco
from drivetrain.types import ImageSpec

LABELS = ("circle", "square")
NAMES = dict(enumerate(LABELS))


def _swin(stages: list[str]) -> SwinConfig:
    return SwinConfig(
        embed_dim=12, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2, image_size=64, out_features=stages
    )


def mask2former() -> Any:
    torch.manual_seed(0)
    config = Mask2FormerConfig(
        backbone_config=_swin(["stage1", "stage2", "stage3", "stage4"]),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        encoder_layers=1,
        decoder_layers=3,
        num_attention_heads=2,
        dim_feedforward=32,
        num_queries=10,
        train_num_points=64,
        id2label=NAMES,
    )
    return Mask2FormerForUniversalSegmentation(config)


def maskformer() -> Any:
    torch.manual_seed(0)
    decoder = DetrConfig(
        d_model=16, decoder_layers=2, decoder_ffn_dim=32, decoder_attention_heads=2, num_queries=10, encoder_layers=1
    )
    config = MaskFormerConfig(
        backbone_config=_swin(["stage1", "stage2", "stage3", "stage4"]),
        decoder_config=decoder,
        fpn_feature_size=32,
        mask_feature_size=32,
        id2label=NAMES,
    )
    return MaskFormerForInstanceSegmentation(config)


def eomt() -> Any:
    torch.manual_seed(0)
    config = EomtConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        num_queries=10,
        num_blocks=1,
        num_upscale_blocks=1,
        num_register_tokens=0,
        train_num_points=64,
        id2label=NAMES,
    )
    return EomtForUniversalSegmentation(config)


MODELS = [mask2former, maskformer, eomt]


def _target(*, objects: int) -> Target:
    masks = torch.zeros(objects, 64, 64, dtype=torch.uint8)
    masks[:, 8:40, 8:40] = 1
    boxes = torch.tensor([[8.0, 8, 40, 40]]).repeat(objects, 1)
    return {"labels": torch.ones(objects, dtype=torch.int64), "masks": masks, "boxes": boxes}


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("counts", [(1, 2), (1, 0), (0, 0)])
def test_masks_are_learned_from_and_an_image_may_have_none(make: Any, counts: tuple[int, int]) -> None:
    adapter = transformers_source.wrap(make())
    adapter.net.train()
    losses = adapter.losses(torch.rand(2, 3, 64, 64), [_target(objects=count) for count in counts])
    assert torch.isfinite(losses["total"])
    losses["total"].backward()


@pytest.mark.parametrize("make", MODELS)
def test_a_head_for_other_labels_keeps_the_classes_that_both_have(make: Any) -> None:
    adapter = transformers_source.wrap(make())
    before = {name: value.clone() for name, value in adapter.net.state_dict().items()}
    transformers_source.fit_labels(adapter, ("square", "triangle", "circle"))
    rows = [name for name in adapter.class_rows(("square", "triangle", "circle")) if name.endswith("weight")]
    now = adapter.net.state_dict()
    assert rows
    for name in rows:
        assert len(now[name]) == 4
        torch.testing.assert_close(now[name][0], before[name][1])
        torch.testing.assert_close(now[name][2], before[name][0])
        torch.testing.assert_close(now[name][3], before[name][2])  # "nothing" is the last


def test_answers_are_those_of_the_image_processor() -> None:
    """Mask2Former's own post-processing works at 384 pixels, so masks are compared there."""
    net = mask2former().eval()
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found = net(pixel_values=picture)
    wanted = Mask2FormerImageProcessor().post_process_instance_segmentation(
        found, threshold=0.0, target_sizes=[(384, 384)], return_binary_maps=True
    )[0]
    arguments = dict(transformers_source.wrap(net).decoding.arguments, confidence_threshold=0.0)
    arguments.pop("score_decimals")
    decoder = make_decoder("mask_queries", arguments, LABELS, ImageSpec(64, 64))
    outputs = {"logits": found.class_queries_logits.numpy(), "masks": found.masks_queries_logits.numpy()}
    ours = decoder.decode(outputs, (384, 384), "a.png")
    assert ours.scores is not None
    assert ours.labels is not None
    assert ours.masks is not None
    rows = [row for row in wanted["segments_info"] if row["score"] > 0]
    theirs = wanted["segmentation"].numpy().astype(bool)
    assert len(rows) == 10
    answers = list(zip(ours.labels.tolist(), ours.scores.tolist(), ours.masks, strict=True))
    for row in rows:  # scores are alike with random weights, so masks tell which answer is which
        other = theirs[row["id"]]
        found = [
            (float((mask & other).sum() / max((mask | other).sum(), 1)), score)
            for label, score, mask in answers
            if label == row["label_id"]
        ]
        overlap, score = max(found)
        assert overlap > 0.99
        assert score == pytest.approx(row["score"], abs=0.02)


def test_boxes_are_those_of_the_masks_and_objects_without_pixels_are_left_out() -> None:
    decoder = make_decoder("mask_queries", {"scores": "logits", "masks": "masks"}, LABELS, ImageSpec(8, 8))
    masks = np.full((1, 2, 8, 8), -9.0, np.float32)
    masks[0, 0, 2:4, 1:7] = 9
    logits = np.array([[[0, 9, 0], [9, 0, 0]]], np.float32)
    answer = decoder.decode({"logits": logits, "masks": masks}, (8, 8), "a.png")
    assert answer.labels is not None
    assert answer.labels.tolist() == [1]
    np.testing.assert_allclose(answer.boxes, [[1, 2, 7, 4]])


@pytest.mark.slow
@pytest.mark.parametrize("make", MODELS)
def test_a_model_trains_and_its_artefact_says_the_same(make: Any, tmp_path: Path) -> None:
    data = coco(tmp_path / "data", subsets={"train": 24, "val": 4, "test": 6})
    engine = Engine(make(), data, work_dir=tmp_path / "run", device="cpu")
    result = engine.train(max_epochs=4, batch_size=4, num_workers=0, image_size=64, learning_rate=1e-3)
    losses = [record.metrics["train/loss"] for record in result.history]
    assert losses[-1] < losses[0]
    assert "mask_map" in engine.test()
    if make is not maskformer:
        engine.export("openvino")  # which compares the answers
    again = Engine(tmp_path / "run", work_dir=tmp_path / "again")
    assert again.task.value == "instance_segmentation"


def test_a_pose_model_is_refused_with_the_reason() -> None:
    config = VitPoseConfig(
        backbone_config={
            "model_type": "vitpose_backbone",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": [32, 32],
            "patch_size": [8, 8],
            "out_features": ["stage1"],
        }
    )
    with pytest.raises(
        UnsupportedError, match="looks for keypoints in boxes that a detector must provide, and has no loss"
    ):
        transformers_source.wrap(VitPoseForPoseEstimation(config))
