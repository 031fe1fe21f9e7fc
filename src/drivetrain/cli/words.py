"""The options of the small commands, with a message of our own for slips."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from drivetrain.errors import OptionError, near


class WordParser(argparse.ArgumentParser):
    """An argument parser that raises instead of leaving the process, and knows the nearest spelling."""

    def __init__(self, **options: Any) -> None:
        self._names: list[str] = []
        super().__init__(allow_abbrev=False, **options)

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """Remember the name for messages."""
        self._names += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            OptionError: always.
        """
        raise OptionError(f"{message}. See: {self.prog} --help.")

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the command.

        Raises:
            OptionError: an option does not exist, or its value is wrong.
        """
        for token in arguments:
            name = token.partition("=")[0]
            if name.startswith("--") and name not in self._names:
                raise OptionError(
                    f"{name} is not an option of {self.prog}.{near(name, self._names)} See: {self.prog} --help."
                )
        return self.parse_args(list(arguments))
