"""Which weights the model has, and which it is to have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.runs.record import RunRecord, checkpoint_file, own_checkpoint

if TYPE_CHECKING:
    from drivetrain.engine.framework import Framework


class Weights:
    """The state of the model: the run it comes from, what is loaded, and what a training chose.

    Args:
        model: the resolved model.
        run: the run that it was given as; an empty record otherwise.
        artifact_suffixes: files of the engine that are models and not checkpoints.

    Attributes:
        run: the run that the model was given as, or the last one that this engine trained.
        loaded: the checkpoint whose weights the model has.
        chosen: the checkpoint that verbs use where none is named; ``train`` sets it.
    """

    def __init__(self, model: Any, run: RunRecord, artifact_suffixes: Sequence[str] = ()) -> None:
        self.run = run
        self.loaded: Path | None = None
        self.chosen: Path | None = None
        self._model = model
        self._artifact_suffixes = artifact_suffixes

    def find(self, checkpoint: str | Path, work_dir: Path | None) -> Path:
        """The file that ``"best"``, ``"last"`` or a path means.

        Raises:
            CheckpointNotFoundError: there is none.
        """
        if checkpoint not in ("best", "last"):
            return checkpoint_file(checkpoint)
        return self.run.kept(str(checkpoint), work_dir)

    def select(self, checkpoint: str | Path | None, framework: Framework, work_dir: Path | None) -> None:
        """Bring the model into the state that is asked for; without a wish and a run, it stays as it is.

        Raises:
            CheckpointError: the checkpoint is not there, or does not fit the model.
        """
        wanted = self._preferred() if checkpoint is None else self.find(checkpoint, work_dir)
        if wanted is None:
            framework.build()
        elif wanted != self.loaded:
            framework.load_state(wanted)
            self.loaded = wanted

    def _preferred(self) -> Path | None:
        return self.chosen or own_checkpoint(self._model, self._artifact_suffixes, self.run)
