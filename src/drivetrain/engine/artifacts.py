"""The artefacts of a run: where they are written, what they come from, and which trackers receive them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.state import EngineState
from drivetrain.errors import ArtifactError, DrivetrainError, OptionError
from drivetrain.runs.tracking import open_trackers

if TYPE_CHECKING:
    from drivetrain.runtime.artifact import Artifact


def check_artifact_name(name: str | None) -> None:
    """Refuse invalid folder names; ``None`` means not given.

    Raises:
        OptionError: it has slashes, is empty or hidden.
    """
    if name is not None and (not name or Path(name).name != name or name.startswith(".")):
        raise OptionError(f"name={name!r} must be the name of a folder, without slashes.")


def artifact_folder(engine: EngineState, name: str) -> Path:
    """The folder for an artefact of that name: below "artifacts" in the work dir.

    Raises:
        OptionError: it is not a folder name.
    """
    check_artifact_name(name)
    return engine.work_dir / "artifacts" / name


def weights_of(engine: EngineState) -> dict[str, str]:
    """The name and SHA-256 of the checkpoint that the model's weights came from; empty if unknown."""
    from drivetrain.runtime.artifact import file_sha256

    loaded = engine.weights.loaded
    if loaded is None or not loaded.is_file():
        return {}
    return {"checkpoint": loaded.name, "sha256": file_sha256(loaded)}


def exported_before(engine: EngineState, folder: Path, trained: Mapping[str, str]) -> Artifact | None:
    """The artefact in a folder, if it is complete and was exported from the model's current weights.

    Args:
        engine: the engine with the model.
        folder: the folder where it may be.
        trained: see :func:`weights_of`.
    """
    from drivetrain.runtime.artifact import Artifact

    if not trained or not folder.is_dir():
        return None
    try:
        artifact = Artifact.open(folder)
        artifact.verify_files()
    except ArtifactError:
        return None
    same = artifact.trained.get("sha256") == trained["sha256"] and artifact.label_names == engine.label_names
    return artifact if same and "sensitivity" not in artifact.trained else None


def add_to_trackers(engine: EngineState, folder: Path) -> None:
    """Add an artefact created after training to the run of each tracker that logged it."""
    run = engine.weights.run
    places: Mapping[str, Any] = run.content.get("tracking") or {}
    if run.directory is None or not places:
        return
    try:
        trackers = open_trackers(list(places))
    except DrivetrainError as error:
        engine.progress.note(f"{folder.name} was not added to {', '.join(places)}: {error}")
        return
    trackers.begin(run.directory, run.content, dict(places), engine.progress.note)
    trackers.add(folder, f"artifacts/{folder.name}", str(run.content.get("status")))
