"""The colour engine passes drivetrain's contract suite."""

from collections.abc import Mapping
from typing import Any, ClassVar

from colour_engine import SPEC
from colour_engine.engine import MeanColour

from drivetrain.errors import OptionError
from drivetrain.testing import EngineContract, Never


class TestColourEngine(EngineContract):
    """All checks are inherited."""

    spec = SPEC
    model_name = "colour:mean"
    epochs = 1
    observed: ClassVar[Mapping[str, Any]] = {}
    expected_failures: ClassVar[Mapping[str, Never]] = {
        "a_resumed_run_equals_an_uninterrupted_one": Never("Computed in one pass.", raises=OptionError),
        "a_finished_run_can_be_extended": Never("Computed in one pass.", raises=OptionError),
        "there_must_be_something_to_resume": Never("Computed in one pass.", raises=OptionError),
        "a_searched_option_reaches_the_trainer": Never("It has no option to search.", raises=OptionError),
    }

    def make_model(self) -> MeanColour:
        """A new model."""
        return MeanColour()
