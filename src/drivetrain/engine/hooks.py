"""What an engine implements: the hooks that the verbs call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from drivetrain.errors import UnsupportedError
from drivetrain.types.options import ExportFormat, ExportPrecision, TrainOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.data import Dataset
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run
    from drivetrain.types import Metrics, Prediction

_DEFAULT_CONFIDENCE = 0.25


@dataclass(frozen=True, slots=True)
class FitResult:
    """What an engine's ``_fit`` hands back to the common part of ``train``.

    Attributes:
        best_checkpoint: the best state by the monitored metric; ``None`` if there was nothing to choose by.
        last_checkpoint: the state at the end.
        best_epoch: 0-based epoch of the best state.
        overrides: options the upstream replaced: name -> (asked, used).
        notes: what the user should know.
    """

    best_checkpoint: Path | None
    last_checkpoint: Path | None
    best_epoch: int | None = None
    overrides: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class EngineHooks:
    """The part of an engine that its author writes: ``model``, ``_build``, ``_infer``, and of the rest what it can."""

    #: What ``tune`` searches where the user says nothing, in the form of its ``space``.
    default_space: ClassVar[Mapping[str, Any]] = {}

    @property
    def model(self) -> Any:
        """The framework's own model object, built at the first use."""
        raise NotImplementedError

    def _build(self, options: TrainOptions | None = None) -> None:
        """Make the framework's model ready for the task and labels; called before anything uses it."""
        raise NotImplementedError

    def _fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        """Train with the framework's own trainer; write ``checkpoints/{best,last}.*`` and call ``run.log_epoch``.

        With ``resume`` go on from the last state in ``run.checkpoints``. On KeyboardInterrupt save the last state and
        let it through.
        """
        raise UnsupportedError(f"{type(self).__name__} does not train.")

    def _infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        """Answer about ``(path, (H, W, 3) uint8 RGB)`` images, one prediction each, in their order."""
        raise NotImplementedError

    def _default_confidence(self) -> float:
        """Objects with a lower score are left out of predictions unless the user says otherwise."""
        return _DEFAULT_CONFIDENCE

    def _load_state(self, checkpoint: Path) -> None:
        """Give the model the weights of the engine's own checkpoint, with its labels, task and image size."""
        raise UnsupportedError(f"{type(self).__name__} does not load checkpoints.")

    def _warm_start(self, checkpoint: Path, run: Run) -> None:
        """Take over from a checkpoint what fits, by class name where the label set differs; note what did not."""
        raise UnsupportedError(f"{type(self).__name__} cannot start from a checkpoint.")

    def _export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        """What the export needs of the model."""
        raise UnsupportedError(f"{type(self).__name__} does not export.")

    def _artifact_name(self, format: ExportFormat, precision: ExportPrecision) -> str:  # noqa: A002
        """The name of the folder of an artefact that the user does not name; some upstreams know theirs by it."""
        return f"{format}-{precision}"

    def _test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        """Test on the framework's own data."""
        raise UnsupportedError(
            f"{type(self).__name__} cannot test on a {type(data).__name__}. Give a data set that can be read."
        )

    def _upstream_metrics(self, dataset: Dataset, batch_size: int | None) -> Mapping[str, float]:
        """What the framework's own evaluation says of the same images, its names under ``upstream/``."""
        return {}

    def _engine_arg_names(self) -> Sequence[str]:
        """The names that ``engine_args`` may have: the upstream trainer's own."""
        return ()

    def _accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        """The ``engine_args`` that join the gradients of several steps; empty where the framework cannot.

        Args:
            steps: how many to join.
            batch_size: of all of them together.
            options: of the training so far.
        """
        return {}

    def _search_space(self) -> Mapping[str, Any]:
        """What ``tune`` searches where the user says nothing."""
        return self.default_space

    def _used_model_argument(self, name: str) -> Any:
        """What the framework's model really has for an argument of its constructor.

        Raises:
            KeyError: it does not tell.
        """
        known = getattr(self.model, "hparams", {})
        value = known[name] if name in known else getattr(self.model, name, self)
        if value is not None and not isinstance(value, bool | int | float | str | tuple | list):
            raise KeyError(name)
        return value
