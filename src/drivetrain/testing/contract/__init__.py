"""The requirements on every engine, as a base class for a pytest test class."""

from drivetrain.testing.contract.automatic import AutomaticChecks
from drivetrain.testing.contract.checkpoints import CheckpointChecks
from drivetrain.testing.contract.choosing import ChoosingChecks
from drivetrain.testing.contract.explaining import ExplainChecks
from drivetrain.testing.contract.exporting import ExportChecks
from drivetrain.testing.contract.extremes import ExtremeChecks
from drivetrain.testing.contract.failing import FailingDiskChecks
from drivetrain.testing.contract.interrupting import InterruptChecks
from drivetrain.testing.contract.optimizing import OptimizeChecks
from drivetrain.testing.contract.options import OptionChecks
from drivetrain.testing.contract.predicting import PredictionChecks
from drivetrain.testing.contract.training import TrainingChecks


class EngineContract(
    ChoosingChecks,
    TrainingChecks,
    OptionChecks,
    ExtremeChecks,
    AutomaticChecks,
    InterruptChecks,
    FailingDiskChecks,
    PredictionChecks,
    CheckpointChecks,
    ExportChecks,
    OptimizeChecks,
    ExplainChecks,
):
    """Subclass it, set ``spec`` and ``model_name``, and run pytest.

    Example::

        class TestMyEngine(EngineContract):
            spec = SPEC
            model_name = "mine:small"

    See :class:`drivetrain.testing.contract.base.Subject` for further settings.
    """


__all__ = ["EngineContract"]
