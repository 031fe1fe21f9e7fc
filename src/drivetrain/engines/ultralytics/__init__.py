"""The description of the Ultralytics engine, available without importing Ultralytics."""

from __future__ import annotations

from drivetrain.models.candidate import Candidate
from drivetrain.models.catalog import ModelSource
from drivetrain.models.spec import EngineSpec
from drivetrain.types.task import Task


def _candidate(name: str, task: Task, train: float, predict: float, quality: float) -> Candidate:
    """One of the candidates for auto-configuration; measured by benchmarks/auto_candidates.py."""
    boxes = task is not Task.SEMANTIC_SEGMENTATION
    return Candidate(
        model=f"ultralytics:{name}",
        task=task,
        image_size=640,
        cpu_image_size=320,
        measured_size=128,
        train_ms=train,
        predict_ms=predict,
        quality=quality,
        epochs=100,
        least_epochs=20,
        memory_mb=35.0,
        patience=30,
        balances=boxes,
    )


SPEC = EngineSpec(
    name="ultralytics",
    licence="AGPL-3.0",
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
    hooks=("infer", "fit", "load_state", "warm_start", "export_source", "test_native", "cells", "features"),
    checkpoint_marks=("ultralytics.nn.tasks",),
    artifact_names={"openvino": "{precision}_openvino_model"},  # it recognises an IR folder by the end of its name
    limits="drivetrain.engines.ultralytics.limits:check",
    candidates=(
        _candidate("yolo11n", Task.DETECTION, 31.8, 15.6, 1.0),
        _candidate("yolo26n", Task.DETECTION, 64.1, 30.4, 1.0),
        _candidate("yolo11n-seg", Task.INSTANCE_SEGMENTATION, 52.4, 19.7, 1.0),
        _candidate("yolo26n-sem", Task.SEMANTIC_SEGMENTATION, 47.1, 12.4, 0.98),
        _candidate("yolo11n-pose", Task.KEYPOINT_DETECTION, 41.1, 21.7, 1.0),
        _candidate("yolo11n-obb", Task.ORIENTED_DETECTION, 39.4, 19.6, 1.0),
    ),
    upstream={"ultralytics": ">=8.4.146,<9"},
    summary="Ultralytics YOLO and RT-DETR (AGPL-3.0), trained by Ultralytics' own trainers",
)
