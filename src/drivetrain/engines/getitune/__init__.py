"""The description of the getitune engine, available without importing getitune."""

from __future__ import annotations

from drivetrain.models.catalog import ModelSource
from drivetrain.models.spec import EngineSpec
from drivetrain.types.task import Task

SPEC = EngineSpec(
    name="getitune",
    licence="Apache-2.0",
    class_path="drivetrain.engines.getitune.engine:GetituneEngine",
    install='pip install "drivetrain[getitune]"',
    packages=("torch", "lightning", "getitune"),
    claims=("getitune:LightningModel",),
    data_claims=("getitune:DataModule",),
    sources=(
        ModelSource(
            "getitune",
            "getitune",
            "getitune",
            "drivetrain.engines.getitune.listing:models",
            elsewhere="drivetrain.engines.getitune.recipes:served_elsewhere",
        ),
    ),
    tasks=(Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION),
    hooks=("infer", "fit", "load_state", "warm_start", "export_source", "test_native"),
    checkpoint_marks=("drivetrain_getitune", "getitune_version"),
    limits="drivetrain.torch_training.trainer_limits:check",
    upstream={"getitune": ">=0.4,<0.5"},
    summary="getitune, the successor of OpenVINO Training Extensions (OTX): its models and recipes on its own modules",
)
