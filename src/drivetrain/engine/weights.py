"""The weights that a model has or should have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.runs.record import RunRecord, checkpoint_file, own_checkpoint

if TYPE_CHECKING:
    from drivetrain.engine.framework import Framework


class Weights:
    """The state of the model: the run it comes from, what is loaded, and what training selected.

    Args:
        model: the resolved model.
        run: the record of the run given as the model; an empty record otherwise.
        artifact_suffixes: suffixes of the engine's files that are models rather than checkpoints.

    Attributes:
        run: the run given as the model, or the last one trained by this engine.
        loaded: the checkpoint whose weights the model has.
        chosen: the checkpoint that verbs use by default; set by ``train``.
    """

    def __init__(self, model: Any, run: RunRecord, artifact_suffixes: Sequence[str] = ()) -> None:
        self.run = run
        self.loaded: Path | None = None
        self.chosen: Path | None = None
        self._model = model
        self._artifact_suffixes = artifact_suffixes

    def find(self, checkpoint: str | Path, work_dir: Path | None) -> Path:
        """The file for ``"best"``, ``"last"`` or a path.

        Raises:
            CheckpointNotFoundError: there is none.
        """
        if checkpoint not in ("best", "last"):
            return checkpoint_file(checkpoint)
        return self.run.kept(str(checkpoint), work_dir)

    def select(self, checkpoint: str | Path | None, framework: Framework, work_dir: Path | None) -> None:
        """Load the requested state; without a request or a run, leave the model as it is.

        Raises:
            CheckpointError: the checkpoint does not exist, or does not fit the model.
        """
        wanted = self._preferred() if checkpoint is None else self.find(checkpoint, work_dir)
        if wanted is None:
            framework.build()
        elif wanted != self.loaded:
            framework.load_state(wanted)
            self.loaded = wanted

    def _preferred(self) -> Path | None:
        found = self.chosen or own_checkpoint(self._model, self._artifact_suffixes, self.run)
        return self.run.chosen() if found is None and self.run.directory is not None else found
