"""The description of the RF-DETR engine, available without importing RF-DETR."""

from __future__ import annotations

from drivetrain.models.catalog import ModelSource
from drivetrain.models.spec import EngineSpec
from drivetrain.types.task import Task

SPEC = EngineSpec(
    name="rfdetr",
    licence="Apache-2.0",
    class_path="drivetrain.engines.rfdetr.engine:RFDETREngine",
    install='pip install "drivetrain[rfdetr]"',
    packages=("torch", "rfdetr", "pytorch_lightning", "albumentations", "torchmetrics", "faster_coco_eval"),
    claims=("rfdetr:RFDETR",),
    data_claims=("rfdetr:RFDETRDataModule",),
    sources=(ModelSource("rfdetr", "rfdetr", "rfdetr", "drivetrain.engines.rfdetr.listing:models"),),
    known_names=(r"(?i)rf-?detr-[\w\-]+",),
    tasks=(Task.DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION),
    hooks=("infer", "fit", "load_state", "warm_start", "export_source", "test_native", "features"),
    # checkpoints of ours, of RF-DETR's own training, and published ones
    checkpoint_marks=("drivetrain_rfdetr", "rfdetr_version", "lite_refpoint_refine"),
    upstream={"rfdetr": ">=1.8,<1.9"},
    summary="RF-DETR (Apache-2.0), trained by its own Lightning modules",
)
