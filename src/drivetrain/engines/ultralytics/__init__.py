"""What is known of Ultralytics without importing it."""

from __future__ import annotations

from drivetrain.catalog import ModelSource
from drivetrain.registry import EngineSpec
from drivetrain.types.task import Task

SPEC = EngineSpec(
    name="ultralytics",
    class_path="drivetrain.engines.ultralytics.engine:UltralyticsEngine",
    install='pip install "drivetrain[ultralytics]"',
    packages=("torch", "ultralytics"),
    claims=("ultralytics:Model",),
    data_claims=("torch:DataLoader",),
    sources=(
        ModelSource(
            prefix="ultralytics",
            package="ultralytics",
            distribution="ultralytics",
            listing="drivetrain.engines.ultralytics.listing:models",
        ),
    ),
    known_names=(r"(?i)yolo[ve\-]*\d+[a-z]?(-[\w\-]+)?(\.pt|\.yaml)?", r"(?i)rtdetr-[\w]+(\.pt|\.yaml)?"),
    tasks=(
        Task.CLASSIFICATION,
        Task.DETECTION,
        Task.INSTANCE_SEGMENTATION,
        Task.SEMANTIC_SEGMENTATION,
        Task.KEYPOINT_DETECTION,
        Task.ORIENTED_DETECTION,
        Task.DEPTH,
    ),
    checkpoint_marks=("ultralytics.nn.tasks",),
    upstream={"ultralytics": ">=8.4"},
    summary="Ultralytics YOLO and RT-DETR (AGPL-3.0), trained by Ultralytics' own trainers",
)
