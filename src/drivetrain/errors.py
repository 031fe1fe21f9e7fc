"""The exception tree of drivetrain.

Every error derives from :class:`DrivetrainError` and from the built-in error one would expect::

    DrivetrainError (Exception)
    ├── ModelError (ValueError)                  what was given as a model cannot be used
    │   ├── UnknownModelError                    no installed source offers it
    │   └── AmbiguousModelError                  several sources offer it
    ├── MissingDependencyError (ImportError)     known, but an optional package is not installed
    ├── OptionError (ValueError)                 an option has a value that is not allowed
    │   ├── UnknownOptionError (TypeError)       there is no option of this name
    │   └── UnsupportedOptionError               this engine or model cannot honour the option
    ├── UnsupportedError (NotImplementedError)   this engine or model cannot do what was asked
    ├── DataError (ValueError)                   the data set cannot be used
    │   ├── DataNotFoundError (FileNotFoundError)
    │   ├── DataFormatError                      no reader, or no reader that reads it whole
    │   └── ImageError                           an image cannot be read
    ├── CheckpointError (ValueError)             the checkpoint does not fit
    │   ├── CheckpointNotFoundError (FileNotFoundError)
    │   └── UnsafeCheckpointError                opening it could execute code
    ├── WorkDirError (OSError)                   the work dir cannot be used
    ├── StorageError (OSError)                   a file cannot be written: disk full, read-only, forbidden
    ├── OutOfMemoryError (MemoryError)           the memory of the machine or of its accelerator did not suffice
    ├── ArtifactError (ValueError)               the exported artefact cannot be used
    ├── ExportError (RuntimeError)               the model could not be exported
    │   ├── ArtifactExistsError (FileExistsError)  an artefact has this name already
    │   └── ParityError                          the artefact does not answer as the model does
    ├── TrialPruned (RuntimeError)               a trial of a search was ended early, others are better
    └── TrainingInterrupted (KeyboardInterrupt)  stopped by the user, the last state is saved
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DrivetrainError(Exception):
    """The base of every error that drivetrain raises on purpose."""


class ModelError(DrivetrainError, ValueError):
    """What was given as a model cannot be used."""


class UnknownModelError(ModelError):
    """No installed source offers a model of this name or kind."""


class AmbiguousModelError(ModelError):
    """Several sources offer a model of this name."""


class MissingDependencyError(DrivetrainError, ImportError):
    """The feature is known, but an optional package is not installed."""


class OptionError(DrivetrainError, ValueError):
    """An option has a value that is not allowed."""


class UnknownOptionError(OptionError, TypeError):
    """There is no option of this name."""


class UnsupportedOptionError(OptionError):
    """The chosen engine or model cannot honour the option."""


class UnsupportedError(DrivetrainError, NotImplementedError):
    """The chosen engine or model cannot do what was asked."""


class DataError(DrivetrainError, ValueError):
    """The data set cannot be used."""


class DataNotFoundError(DataError, FileNotFoundError):
    """The data set, or a file it names, does not exist."""


class DataFormatError(DataError):
    """No reader fits, or none reads the data set whole."""


class ImageError(DataError):
    """An image cannot be read."""


class CheckpointError(DrivetrainError, ValueError):
    """The checkpoint does not fit the model or the request."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """The checkpoint file does not exist."""


class UnsafeCheckpointError(CheckpointError):
    """Opening the file could execute code, so it was not opened."""


class WorkDirError(DrivetrainError, OSError):
    """The work dir cannot be used."""


class StorageError(DrivetrainError, OSError):
    """A file cannot be written: the disk is full, read-only, broken, or closed to this user."""


class OutOfMemoryError(DrivetrainError, MemoryError):
    """The memory of the machine, or of its accelerator, did not suffice for what was asked."""


class ArtifactError(DrivetrainError, ValueError):
    """The exported artefact cannot be used."""


class ExportError(DrivetrainError, RuntimeError):
    """The model could not be exported."""


class ArtifactExistsError(ExportError, FileExistsError):
    """An artefact of this name exists, and it was not asked to replace it."""


class ParityError(ExportError):
    """The exported artefact does not give the answers of the model it came from.

    Args:
        message: what differs.
        report: the :class:`~drivetrain.types.ParityReport` of the comparison, kept as :attr:`report`.
    """

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class TrialPruned(DrivetrainError, RuntimeError):
    """A trial of a search was ended early, because others are better or the time is over."""


class TrainingInterrupted(DrivetrainError, KeyboardInterrupt):
    """Training was stopped by the user; the last state is saved."""


def either(python: str, command_line: str) -> str:
    """A step to take, in both languages; the command line shows its own alone.

    Args:
        python: code such as ``Engine(model, data)``, or words; without backticks.
        command_line: what to type instead, such as ``--data FOLDER``; without backticks.

    Returns:
        A text for the middle of a sentence.
    """
    return f"`{python}` (on the command line: `{command_line}`)"


def near(name: str, allowed: Iterable[str], *, most: int = 3) -> str:
    """A sentence fragment that names the nearest allowed spellings, or ``""`` if none is near.

    Args:
        name: what was written.
        allowed: the valid spellings.
        most: how many to name at the most.

    Returns:
        `` Did you mean 'max_epochs'?`` with a leading space, ready to be appended to a message.
    """
    lowered = {candidate.lower(): candidate for candidate in allowed}
    matches = difflib.get_close_matches(name.lower(), lowered, n=most, cutoff=0.6)
    if not matches:
        return ""
    return " Did you mean " + " or ".join(repr(lowered[match]) for match in matches) + "?"
