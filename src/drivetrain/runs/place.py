"""Checks whether a folder can be used for a training run, a search or an artefact, without touching it."""

from __future__ import annotations

import os
from pathlib import Path

from drivetrain.errors import ArtifactExistsError, WorkDirError
from drivetrain.runs.record import RunRecord, is_held

#: Everything that a run writes into its work dir.
WRITTEN = (
    "run.json",
    "metrics.csv",
    "report.html",
    "tests.json",
    "validation.json",
    "config.yaml",
    "checkpoints",
    "upstream",
    "predictions",
    "artifacts",
    "tracking",
)
#: Files that only a run writes; in a folder without a run they belong to the user.
_OF_A_RUN = ("config.yaml", "metrics.csv")


def check_place(directory: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a work dir that cannot be used for training, before anything is loaded or written.

    Raises:
        WorkDirError: it is a file or not writable, another process is using it, it already holds a run (and neither
            ``resume`` nor ``overwrite`` is given), or there is nothing to resume.
    """
    try:
        there = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    except OSError as error:
        raise WorkDirError(
            f"work_dir={str(directory)!r} cannot be created ({error.strerror}). Give another work_dir."
        ) from error
    if not there.is_dir():
        raise WorkDirError(f"work_dir={str(directory)!r} cannot be created: {str(there)!r} is a file. Give a folder.")
    check_free(directory, resume=resume, overwrite=overwrite)
    if not os.access(there, os.W_OK):
        raise WorkDirError(f"work_dir={str(directory)!r} is not writable. Give a writable folder: work_dir=...")
    if is_held(directory):
        raise held(directory)


def check_for_search(directory: Path) -> None:
    """Refuse a folder that holds a training run: a search needs its own.

    Raises:
        WorkDirError: it holds a run.
    """
    if (directory / "run.json").is_file():
        raise WorkDirError(
            f"work_dir={str(directory)!r} holds a run, and a search needs a folder of its own. Give another work_dir."
        )


def require_new(artifact: Path) -> None:
    """Refuse the folder of an artefact that already exists.

    Raises:
        ArtifactExistsError: it exists.
    """
    if artifact.exists():
        raise ArtifactExistsError(
            f"The artefact {str(artifact)!r} already exists. Give another name=..., or overwrite=True to replace it."
        )


def held(directory: Path) -> WorkDirError:
    """The error for a work dir that is in use; it says by which process."""
    try:
        holder = (directory / ".lock").read_text(encoding="utf-8", errors="replace").strip() or "unknown"
    except OSError:
        holder = "unknown"
    own = holder.startswith(f"process {os.getpid()} ")
    return WorkDirError(
        f"work_dir={str(directory)!r} is held by "
        + ("another training run in this process. " if own else f"another process ({holder}). ")
        + "Wait for it to finish, or give another work_dir."
    )


def check_free(directory: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a work dir that already holds a run, or has none to resume.

    Raises:
        WorkDirError: there is nothing to resume, or the folder is not free and ``overwrite`` is not set.
    """
    has_run = (directory / "run.json").is_file()
    if resume and not has_run:
        raise WorkDirError(f"work_dir={str(directory)!r} holds no run to resume. Leave out resume=True to start one.")
    if resume or overwrite:
        return
    if has_run:
        state = RunRecord.at(directory).state(locked=False)
        raise WorkDirError(
            f"work_dir={str(directory)!r} already holds a run (status: {state}). Continue it with resume=True, "
            "replace it with overwrite=True, or give another work_dir."
        )
    taken = next((name for name in _OF_A_RUN if (directory / name).is_file()), None)
    if taken is not None:
        raise WorkDirError(
            f"work_dir={str(directory)!r} holds no run, but a file {taken!r} that training would replace. Give "
            "another work_dir, or overwrite=True."
        )
