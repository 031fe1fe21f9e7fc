"""Checks made before a framework is loaded, so that a mistake does not cost the seconds that loading takes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from drivetrain.engine.data import absent_data, gone, require_path
from drivetrain.engine.recipe import Recipe
from drivetrain.errors import DataNotFoundError, OptionError
from drivetrain.machine.device import check_device_name
from drivetrain.machine.packages import import_object
from drivetrain.models.catalog import ModelEntry
from drivetrain.models.resolve import resolve
from drivetrain.models.spec import EngineSpec
from drivetrain.runs.record import RunRecord, checkpoint_file
from drivetrain.types.options import TrainOptions
from drivetrain.types.task import Task


class Start(Protocol):
    """What a verb can know before the framework is loaded."""

    @property
    def spec(self) -> EngineSpec | None:
        """The engine; ``None`` if it is chosen by the data."""

    @property
    def device(self) -> str:
        """The requested device."""

    @property
    def task(self) -> Task | None:
        """The task of the model; ``None`` if not known yet."""

    @property
    def given_work_dir(self) -> Path | None:
        """The given work dir, or that of the run given as the model."""

    @property
    def record(self) -> RunRecord:
        """The record of the run given as the model."""

    @property
    def has_data(self) -> bool:
        """Whether there are data."""


class Asked:
    """The arguments of an engine that is not created yet, for the checks of the command line.

    Args:
        arguments: the arguments of ``Engine``'s constructor, and ``data_args``.

    Raises:
        OptionError: the task or the device does not exist.
        DataNotFoundError: the data do not exist.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._given = arguments
        check_arguments(arguments.get("data"), arguments.get("task"), arguments.get("device"))

    @cached_property
    def _recipe(self) -> Recipe:
        return Recipe.of(self._given.get("model")) or Recipe("", {})

    @cached_property
    def _model(self) -> Any:
        return self._recipe.argument("model", None) if self._recipe.name else self._given.get("model")

    @cached_property
    def spec(self) -> EngineSpec | None:
        """The engine that serves the model; ``None`` if the model is chosen by the data."""
        if self._model is None:
            return None
        found = resolve(self._model, engine=self._recipe.argument("engine", self._given.get("engine")))
        check_task(found.model, self._recipe.argument("task", self._given.get("task")))
        return found.spec

    @property
    def task(self) -> Task | None:
        """The task of the model, if given or recorded."""
        name = self._given.get("task") or self.record.content.get("task")
        return Task.parse(name) if name else None

    @property
    def device(self) -> str:
        """The requested device."""
        device: str | None = self._recipe.argument("device", self._given.get("device"))
        return device or "auto"

    @property
    def given_work_dir(self) -> Path | None:
        """The given work dir, or that of the run given as the model."""
        given = self._recipe.argument("work_dir", self._given.get("work_dir"))
        return self.record.directory if given is None else Path(given).expanduser().absolute()

    @cached_property
    def record(self) -> RunRecord:
        """The record of the run given as the model."""
        model = self._model
        return RunRecord.of(Path(model).expanduser()) if isinstance(model, str | Path) else RunRecord()

    @property
    def has_data(self) -> bool:
        """Whether there are data: those given, those of the recipe, or those of the run if they still exist."""
        given = self._given.get("data_args") or self._recipe.argument("data", self._given.get("data"))
        return bool(given) or self.record.data is not None


def check_arguments(data: Any, task: Any, device: Any) -> None:
    """Refuse engine arguments that are wrong for any framework.

    Raises:
        OptionError: the task or the device does not exist.
        DataNotFoundError: the data are a path that does not exist.
    """
    require_path(data)
    if task is not None:
        Task.parse(task)
    if device is not None:
        check_device_name(device)


def check_task(model: Any, task: Any) -> None:
    """Refuse a task that a model of a catalogue does not support.

    Args:
        model: the resolved model.
        task: the requested task; ``None`` if none was requested.

    Raises:
        OptionError: the message lists the tasks of the model, and how to find other models.
    """
    if not isinstance(model, ModelEntry) or not model.tasks or task is None:
        return
    wanted = Task.parse(task).value
    if wanted not in model.tasks:
        of = f"the task {model.tasks[0]!r}" if len(model.tasks) == 1 else f"the tasks {', '.join(model.tasks)}"
        raise OptionError(
            f"task={wanted!r}, but {model.full_name} is a model for {of}. List models for it with: "
            f"drivetrain find --task {wanted}"
        )


def check_limits(start: Start, options: TrainOptions) -> None:
    """Refuse options of ``train`` that the model's engine never honours.

    Raises:
        OptionError: the message names the first of them.
        ModelError: no engine serves the model.
    """
    spec = start.spec
    if spec is not None and spec.limits:
        import_object(spec.limits)(options, device=start.device)


def check_tiles(tile: Any, task: Task | None = None) -> None:
    """Refuse an option ``tile`` that is not valid, or that the task cannot use.

    Raises:
        OptionError: it is neither a size nor a size with an overlap.
        UnsupportedOptionError: answers of this task cannot be joined.
    """
    if tile is not None:
        from drivetrain.images.tiling import check_tile

        check_tile(tile, task)


def check_tracks(track: Any, source: Any, task: Task | None = None) -> None:
    """Refuse an option ``track`` that there is not, or that the task or the source has no use for.

    Raises:
        OptionError: there is no such tracker.
        UnsupportedOptionError: there are no objects to follow, or the source is no video, nor a series of frames.
    """
    if track is not None:
        from drivetrain.images.tracks import check_track

        check_track(track, source, task)


def check_checkpoint(start: Start, checkpoint: Any) -> None:
    """Refuse a checkpoint that does not exist, and a run that saved none.

    Raises:
        CheckpointNotFoundError: it does not exist.
    """
    if checkpoint in ("best", "last"):
        start.record.kept(checkpoint, start.given_work_dir)
    elif checkpoint is not None:
        checkpoint_file(checkpoint)
    elif start.record.directory is not None:
        start.record.chosen()


def check_source(source: Any) -> None:
    """Refuse images that do not exist; the images of a list are checked one by one later, but at least one must exist.

    Raises:
        DataNotFoundError: the file or folder does not exist, or no file of a list does.
        UnsupportedError: it is a camera or a stream.
    """
    from drivetrain.images.live import require_end

    require_end(source)
    paths = [item for item in _listed(source) if isinstance(item, str | Path)]
    if len(paths) != len(_listed(source)) or any(_is_there(path) for path in paths):
        return
    if len(paths) > 1:
        raise DataNotFoundError(f"source: none of the {len(paths)} files exist; the first: {str(paths[0])!r}.")
    from drivetrain.images.sources import expand_source

    expand_source(source if isinstance(source, str | Path) else paths[0])  # raises if something is wrong with it


def check_images(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse to answer about images that do not exist, or with a state that does not.

    Args:
        start: what is known of the engine.
        given: the arguments of the verb: ``source``, without which there must be data, and ``checkpoint``.

    Raises:
        DataError: there are no images.
        CheckpointNotFoundError: the checkpoint does not exist.
    """
    if given["source"] is None:
        check_data(start)
    else:
        check_source(given["source"])
    check_checkpoint(start, given["checkpoint"])


def _listed(source: Any) -> list[Any]:
    return list(source) if isinstance(source, list | tuple) else [source]


def _is_there(path: str | Path) -> bool:
    return bool(str(path).strip()) and Path(path).expanduser().exists()


def check_data(start: Start, purpose: str = "") -> None:
    """Refuse to continue without data.

    Raises:
        DataError: there are none.
    """
    if not start.has_data:
        raise absent_data(purpose, gone(start.record.data_source))
