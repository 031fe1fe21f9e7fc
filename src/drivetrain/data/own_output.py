"""Folders that drivetrain wrote itself: they contain images, but they are not data sets."""

from __future__ import annotations

import shlex
from pathlib import Path

from drivetrain.errors import DataFormatError, either
from drivetrain.machine.files import read_object


def refuse_own_output(folder: Path) -> None:
    """Reject the work dir of a run and the folder of an artefact, so that their images are not read as a data set.

    A work dir that is also the folder of the run's data is accepted.

    Raises:
        DataFormatError: the message says what the folder is, and where the data of the run are.
    """
    run = read_object(folder / "run.json")
    if {"engine", "model", "parts"} <= run.keys():
        data = run.get("data")
        source = str(data.get("source") or "") if isinstance(data, dict) else ""
        if source and Path(source).absolute() == folder.absolute():
            return
        known = Path(source).exists() if source else False
        read = f" Read its data with: {_both('load_dataset', 'data', source)}." if known else ""
        raise DataFormatError(f"{folder} is the work dir of a run, not a data set.{read} {_about(folder)}")
    if {"decoder", "model_file", "image_spec"} <= read_object(folder / "manifest.json").keys():
        raise DataFormatError(f"{folder} is an exported model, not a data set. {_about(folder)}")


def _both(function: str, verb: str, path: str) -> str:
    return either(f"{function}({path!r})", f"drivetrain {verb} {shlex.quote(path)}")


def _about(folder: Path) -> str:
    return f"To see what it is: {_both('Engine', 'info', str(folder))}."
