"""What the Lightning engine serves; importing this imports no framework."""

from __future__ import annotations

from drivetrain.catalog import ModelSource
from drivetrain.registry import EngineSpec
from drivetrain.types.task import Task

SPEC = EngineSpec(
    name="lightning",
    class_path="drivetrain.engines.lightning.engine:LightningEngine",
    install='pip install "drivetrain[lightning]"',
    packages=("torch", "torchvision", "lightning", "timm"),
    claims=("lightning:LightningModule", "pytorch_lightning:LightningModule", "torch:Module"),
    data_claims=("lightning:LightningDataModule", "pytorch_lightning:LightningDataModule", "torch:DataLoader"),
    sources=(
        ModelSource("timm", "timm", "timm", "drivetrain.engines.lightning.listing:timm_models"),
        ModelSource(
            "torchvision", "torchvision", "torchvision", "drivetrain.engines.lightning.listing:torchvision_models"
        ),
    ),
    known_names=(r"(timm|torchvision):.+", r"(tf_)?efficientnet.*", r"resnet\d+", r"mobilenet.*", r"vit_.*"),
    tasks=(Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION),
    checkpoint_marks=("drivetrain_model",),
    upstream={"lightning": ">=2.4", "torch": ">=2.6", "timm": ">=1.0", "torchvision": ">=0.21"},
    summary="Classification models of timm and torchvision, and any LightningModule with its own data.",
)
