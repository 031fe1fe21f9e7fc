"""Every model of the installed Anomalib, trained by Anomalib's own engine."""

from drivetrain.catalog import ModelSource
from drivetrain.registry import EngineSpec
from drivetrain.types import Task

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
    upstream={"anomalib": ">=2.7,<3"},
    summary="Anomaly detection from normal images: every Anomalib model, by its own engine.",
)
