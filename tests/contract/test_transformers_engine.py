"""The Lightning engine keeps the contract with models of transformers, a tiny one for each task."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from expected_failures import expected

from drivetrain.engines.lightning import SPEC
from drivetrain.testing import EngineContract
from drivetrain.testing.data import class_maps, coco
from drivetrain.types import Task

_VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
_SEGFORMER: dict[str, Any] = {
    "hidden_sizes": [8, 16, 24, 32],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 2, 2],
    "decoder_hidden_size": 32,
}
_RT_DETR: dict[str, Any] = {
    "backbone_config": {
        "model_type": "rt_detr_resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
        "out_features": ["stage2", "stage3", "stage4"],
    },
    "encoder_in_channels": [16, 24, 32],
    "decoder_in_channels": [32, 32, 32],
    "d_model": 32,
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_layers": 2,
    "num_queries": 20,
    "num_denoising": 10,
}


@pytest.mark.slow
class TestTransformersClassification(EngineContract):
    spec = SPEC
    model_name = "transformers:ViTForImageClassification"
    model_args: ClassVar = _VIT
    options: ClassVar = {"image_size": 32, "batch_size": 8, "num_workers": 0}
    engine_arg = ("accumulate_grad_batches", 2)
    expected_failures = expected("transformers-cls")

    def make_model(self) -> Any:
        from transformers import ViTConfig, ViTForImageClassification

        return ViTForImageClassification(ViTConfig(**_VIT, num_labels=3))


@pytest.mark.slow
class TestTransformersDetection(EngineContract):
    spec = SPEC
    model_name = "transformers:RTDetrV2ForObjectDetection"
    model_args: ClassVar = _RT_DETR
    task = Task.DETECTION
    options: ClassVar = {"image_size": 64, "batch_size": 4, "num_workers": 0}
    engine_arg = ("accumulate_grad_batches", 2)
    expected_failures = expected("transformers-detect")

    def make_model(self) -> Any:
        from transformers import RTDetrV2Config, RTDetrV2ForObjectDetection

        return RTDetrV2ForObjectDetection(RTDetrV2Config(**_RT_DETR, num_labels=2))

    def make_other_dataset(self, root: Path) -> Path:
        """The same scenes, with one label of another name."""
        folder = coco(root, seed=1)
        for file in (folder / "annotations").iterdir():
            file.write_text(file.read_text(encoding="utf-8").replace('"circle"', '"disc"'), encoding="utf-8")
        return folder


@pytest.mark.slow
class TestTransformersSegmentation(EngineContract):
    spec = SPEC
    model_name = "transformers:SegformerForSemanticSegmentation"
    model_args: ClassVar = _SEGFORMER
    task = Task.SEMANTIC_SEGMENTATION
    options: ClassVar = {"image_size": 64, "batch_size": 4, "num_workers": 0}
    engine_arg = ("accumulate_grad_batches", 2)
    expected_failures = expected("transformers-segment")

    def make_model(self) -> Any:
        from transformers import SegformerConfig, SegformerForSemanticSegmentation

        return SegformerForSemanticSegmentation(SegformerConfig(**_SEGFORMER, num_labels=3))

    def make_other_dataset(self, root: Path) -> Path:
        """The same scenes, with one label of another name."""
        folder = class_maps(root, seed=1)
        file = folder / "labelmap.txt"
        file.write_text(file.read_text(encoding="utf-8").replace("circle", "disc"), encoding="utf-8")
        return folder
