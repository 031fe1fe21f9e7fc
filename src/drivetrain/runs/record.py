"""What an earlier run left behind: its record, its checkpoints, its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from drivetrain.errors import CheckpointNotFoundError
from drivetrain.runs.run import read_record


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A work dir as a model; without one everything is empty.

    Attributes:
        directory: the work dir.
        content: what its ``run.json`` holds.
    """

    directory: Path | None = None
    content: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any) -> Self:
        """The run whose work dir the model was given as, if it was.

        Raises:
            WorkDirError: its record cannot be read.
        """
        if isinstance(model, Path) and (model / "run.json").is_file():
            return cls(model.absolute(), read_record(model))
        return cls()

    @classmethod
    def at(cls, directory: Path) -> Self:
        """The run that a folder holds; an empty record if it holds none.

        Raises:
            WorkDirError: its record cannot be read.
        """
        return cls.of(Path(directory))

    @property
    def model_name(self) -> str | None:
        """The model, as it was named."""
        name: str | None = (self.content.get("model") or {}).get("name")
        return name

    @property
    def model_args(self) -> dict[str, Any]:
        """The arguments of the model's constructor."""
        return dict((self.content.get("model") or {}).get("args") or {})

    @property
    def data(self) -> str | None:
        """Where the data were read, if they are still there."""
        data = self.content.get("data")
        source: str | None = data.get("source") if isinstance(data, dict) else None
        return source if source and Path(source).exists() else None

    def checkpoint(self, which: str, folder: Path | None = None) -> Path | None:
        """The checkpoint ``"best"`` or ``"last"``; looked for in ``folder`` if this is no run itself."""
        folder = self.directory or folder
        if folder is None:
            return None
        name: str | None = (self.content.get("checkpoints") or {}).get(which)
        if name is not None and (folder / name).exists():
            return folder / name
        return next(iter(sorted((folder / "checkpoints").glob(f"{which}.*"))), None)

    def state(self) -> Path | None:
        """The checkpoint that the run stands for: the best, else the last.

        Raises:
            CheckpointNotFoundError: the run did not come to an end and left none.
        """
        found = self.checkpoint("best") or self.checkpoint("last")
        status = self.content.get("status")
        if found is None and status != "finished":
            raise CheckpointNotFoundError(
                f"model={str(self.directory)!r} is the work dir of a run that is {status} and left no checkpoint. "
                "Train again."
            )
        return found


def checkpoint_file(checkpoint: str | Path) -> Path:
    """The file that a path means: itself, or the checkpoint of the work dir that it names.

    Raises:
        CheckpointNotFoundError: there is none.
    """
    from drivetrain.models.checkpoint import require_file

    path = Path(checkpoint).expanduser()
    run = RunRecord.of(path)
    if run.directory is not None:
        path = run.checkpoint("best") or run.checkpoint("last") or path / "checkpoints"
    require_file(path)
    return path


def own_checkpoint(model: Any, artifact_suffixes: Sequence[str] = (), run: RunRecord | None = None) -> Path | None:
    """The checkpoint that a model was given as, if it was: the file itself, or the one its work dir stands for.

    Args:
        model: the resolved model.
        artifact_suffixes: files that are models and not checkpoints.
        run: the record of the work dir, where it was read before.

    Raises:
        CheckpointNotFoundError: the work dir is of a run that left none.
    """
    if not isinstance(model, Path) or model.suffix in artifact_suffixes:
        return None
    if not model.is_dir():
        return model
    run = RunRecord.of(model) if run is None else run
    return run.state() if run.directory is not None else None
