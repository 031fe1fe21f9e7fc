"""The exception tree of drivetrain.

Every error derives from :class:`DrivetrainError` and from the built-in error one would expect::

    DrivetrainError (Exception)
    ├── ModelError (ValueError)                  the given model cannot be used
    │   ├── UnknownModelError                    no installed source provides it
    │   └── AmbiguousModelError                  several sources provide it
    ├── MissingDependencyError (ImportError)     known, but an optional package is not installed
    ├── OptionError (ValueError)                 an option has a value that is not allowed
    │   ├── UnknownOptionError (TypeError)       no option has this name
    │   └── UnsupportedOptionError               this engine or model cannot honour the option
    ├── UnsupportedError (NotImplementedError)   this engine or model cannot do what was requested
    ├── DataError (ValueError)                   the data set cannot be used
    │   ├── DataNotFoundError (FileNotFoundError)
    │   ├── DataFormatError                      no reader fits, or none can read all of it
    │   └── ImageError                           an image cannot be read
    ├── CheckpointError (ValueError)             the checkpoint does not fit
    │   ├── CheckpointNotFoundError (FileNotFoundError)
    │   └── UnsafeCheckpointError                opening it could execute code
    ├── WorkDirError (OSError)                   the work dir cannot be used
    ├── StorageError (OSError)                   a file cannot be written: disk full, read-only, forbidden
    ├── OutOfMemoryError (MemoryError)           the machine or its accelerator ran out of memory
    ├── ArtifactError (ValueError)               the exported artefact cannot be used
    ├── ExportError (RuntimeError)               the model could not be exported
    │   ├── ArtifactExistsError (FileExistsError)  an artefact of this name already exists
    │   ├── ParityError                          the artefact's answers differ from the model's
    │   └── AccuracyDropError                    the optimized artefact is less accurate than allowed
    ├── TrialPruned (RuntimeError)               a trial of a search was stopped early; others are better
    └── TrainingInterrupted (KeyboardInterrupt)  stopped by the user; the last state is saved
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DrivetrainError(Exception):
    """Base class of every error that drivetrain raises deliberately."""


class ModelError(DrivetrainError, ValueError):
    """The given model cannot be used."""


class UnknownModelError(ModelError):
    """No installed source provides a model of this name or type."""


class AmbiguousModelError(ModelError):
    """Several sources provide a model of this name."""


class MissingDependencyError(DrivetrainError, ImportError):
    """The feature exists, but needs an optional package that is not installed."""


class OptionError(DrivetrainError, ValueError):
    """An option has a value that is not allowed."""


class UnknownOptionError(OptionError, TypeError):
    """No option has this name."""


class UnsupportedOptionError(OptionError):
    """The chosen engine or model cannot honour the option."""


class UnsupportedError(DrivetrainError, NotImplementedError):
    """The chosen engine or model cannot do what was requested."""


class DataError(DrivetrainError, ValueError):
    """The data set cannot be used."""


class DataNotFoundError(DataError, FileNotFoundError):
    """The data set, or a file it refers to, does not exist."""


class DataFormatError(DataError):
    """No reader fits, or none can read the data set completely."""


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
    """A file cannot be written: the disk is full, read-only or broken, or this user lacks permission.

    Attributes:
        remedy: how to choose another folder, if that is known.
    """

    remedy: str = ""


class OutOfMemoryError(DrivetrainError, MemoryError):
    """The machine, or its accelerator, ran out of memory."""


class ArtifactError(DrivetrainError, ValueError):
    """The exported artefact cannot be used."""


class ExportError(DrivetrainError, RuntimeError):
    """The model could not be exported."""


class ArtifactExistsError(ExportError, FileExistsError):
    """An artefact of this name already exists, and replacing it was not requested."""


class ParityError(ExportError):
    """The exported artefact does not give the same answers as the model it was made from.

    Args:
        message: what differs.
        report: the :class:`~drivetrain.types.ParityReport` of the comparison, available as :attr:`report`.
    """

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class AccuracyDropError(ExportError):
    """An artefact that was made lighter answers worse than was allowed, so it did not get its name.

    Args:
        message: what was measured.
        report: what :attr:`drivetrain.Artifact.optimization` would have held, kept as :attr:`report`.
    """

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class TrialPruned(DrivetrainError, RuntimeError):
    """A trial of a search was stopped early, because others are better or the time is up."""


class TrainingInterrupted(DrivetrainError, KeyboardInterrupt):
    """Training was stopped by the user; the last state is saved."""


def either(python: str, command_line: str) -> str:
    """The next step in Python and on the command line; the command line shows only its own form.

    Args:
        python: code such as ``Engine(model, data)``, or plain text; without backticks.
        command_line: what to type instead, such as ``--data FOLDER``; without backticks.

    Returns:
        Text for the middle of a sentence.
    """
    return f"`{python}` (on the command line: `{command_line}`)"


def near(name: str, allowed: Iterable[str], *, most: int = 3) -> str:
    """A sentence that suggests the closest valid names, or ``""`` if none is close.

    Args:
        name: the name as written.
        allowed: the valid names.
        most: the maximum number of suggestions.

    Returns:
        `` Did you mean 'max_epochs'?`` with a leading space, ready to append to a message.
    """
    lowered = {candidate.lower(): candidate for candidate in allowed}
    matches = difflib.get_close_matches(name.lower(), lowered, n=most, cutoff=0.6)
    if not matches:
        return ""
    return " Did you mean " + " or ".join(repr(lowered[match]) for match in matches) + "?"
