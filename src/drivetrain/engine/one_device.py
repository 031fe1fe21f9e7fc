"""What a framework says about training on several devices: by default, that it cannot."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar

from drivetrain.errors import UnsupportedError
from drivetrain.launch.ranks import Group, Ranks
from drivetrain.types.options import TrainOptions


class OneDevice:
    """The hooks of a framework that trains in one process."""

    #: Whether the framework trains in several processes that are connected by :meth:`join`.
    several_devices: ClassVar[bool] = False

    def device_count(self, options: TrainOptions) -> int:
        """How many devices of this machine the options ask for; each gets a process of its own.

        Raises:
            OptionError: there are not as many.
        """
        del options
        return 1

    def join(self, ranks: Ranks) -> AbstractContextManager[Group]:
        """Connect this process with the others of a training.

        Raises:
            UnsupportedError: this framework trains in one process only.
        """
        raise UnsupportedError(
            f"This process is {ranks} of a launcher, and this engine trains in one process only. Start it without the "
            "launcher, or with one process."
        )
