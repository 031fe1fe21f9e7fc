"""drivetrain: one engine for every vision framework.

Importing this package imports no framework; each public name is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivetrain._version import __version__ as __version__
from drivetrain.machine.packages import import_object

if TYPE_CHECKING:  # "X as X": public for type checkers, which cannot follow the table below
    from drivetrain.data import Dataset as Dataset
    from drivetrain.data import load_dataset as load_dataset
    from drivetrain.engine import Engine as Engine
    from drivetrain.engine.check_dataset import check_dataset as check_dataset
    from drivetrain.engine.compare_models import compare as compare
    from drivetrain.engines.anomalib.engine import AnomalibEngine as AnomalibEngine
    from drivetrain.engines.getitune.engine import GetituneEngine as GetituneEngine
    from drivetrain.engines.lightning.engine import LightningEngine as LightningEngine
    from drivetrain.engines.openvino.engine import OpenVINOEngine as OpenVINOEngine
    from drivetrain.engines.ultralytics.engine import UltralyticsEngine as UltralyticsEngine
    from drivetrain.export.deployment import deploy as deploy
    from drivetrain.export.verification import verify as verify
    from drivetrain.models.registry import list_engines as list_engines
    from drivetrain.models.registry import list_models as list_models
    from drivetrain.models.registry import register_engine as register_engine
    from drivetrain.models.resolve import explain_dispatch as explain_dispatch
    from drivetrain.models.spec import EngineSpec as EngineSpec
    from drivetrain.runtime import Predictor as Predictor
    from drivetrain.runtime import load as load
    from drivetrain.runtime.artifact import Artifact as Artifact
    from drivetrain.types import BenchmarkResult as BenchmarkResult
    from drivetrain.types import Metrics as Metrics
    from drivetrain.types import Prediction as Prediction
    from drivetrain.types import Predictions as Predictions
    from drivetrain.types import Task as Task
    from drivetrain.types import TrainResult as TrainResult
    from drivetrain.types import TuneResult as TuneResult
    from drivetrain.types.comparison import Comparison as Comparison

_PUBLIC = {
    "AnomalibEngine": "drivetrain.engines.anomalib.engine:AnomalibEngine",
    "Artifact": "drivetrain.runtime.artifact:Artifact",
    "BenchmarkResult": "drivetrain.types:BenchmarkResult",
    "Comparison": "drivetrain.types.comparison:Comparison",
    "Dataset": "drivetrain.data:Dataset",
    "Engine": "drivetrain.engine:Engine",
    "EngineSpec": "drivetrain.models.spec:EngineSpec",
    "GetituneEngine": "drivetrain.engines.getitune.engine:GetituneEngine",
    "LightningEngine": "drivetrain.engines.lightning.engine:LightningEngine",
    "Metrics": "drivetrain.types:Metrics",
    "OpenVINOEngine": "drivetrain.engines.openvino.engine:OpenVINOEngine",
    "Prediction": "drivetrain.types:Prediction",
    "Predictions": "drivetrain.types:Predictions",
    "Predictor": "drivetrain.runtime:Predictor",
    "Task": "drivetrain.types:Task",
    "TrainResult": "drivetrain.types:TrainResult",
    "TuneResult": "drivetrain.types:TuneResult",
    "UltralyticsEngine": "drivetrain.engines.ultralytics.engine:UltralyticsEngine",
    "check_dataset": "drivetrain.engine.check_dataset:check_dataset",
    "deploy": "drivetrain.export.deployment:deploy",
    "compare": "drivetrain.engine.compare_models:compare",
    "explain_dispatch": "drivetrain.models.resolve:explain_dispatch",
    "list_engines": "drivetrain.models.registry:list_engines",
    "list_models": "drivetrain.models.registry:list_models",
    "load": "drivetrain.runtime:load",
    "load_dataset": "drivetrain.data:load_dataset",
    "register_engine": "drivetrain.models.registry:register_engine",
    "verify": "drivetrain.export.verification:verify",
}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'drivetrain' has no attribute {name!r}")
    value = import_object(_PUBLIC[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
