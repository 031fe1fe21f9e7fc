"""The data of an engine: their source, the data set read from them, and the facts that others need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.recipe import fitting_recipe
from drivetrain.errors import DataError, DataNotFoundError, either
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.data import Dataset

#: The order in which subsets are searched for images to compare an artefact on, or to draw answers about.
SHOWN = ("val", "test", "train")


class EngineData:
    """The data as given, and the data set that is read from them on first use.

    Args:
        source: a path, a data set, the framework's own data, or ``None``.
        recipe: the name of the recipe given as the model; ``""`` without one.
        dataset: the data set, if it has already been read.
        recorded: where the data of the run given as the model were; ``""`` without one.
        normal: labels that this run treated as normal, if they do not have one of the usual names.

    Raises:
        DataNotFoundError: the source is a path that does not exist.
    """

    def __init__(
        self,
        source: Any = None,
        *,
        recipe: str = "",
        dataset: Dataset | None = None,
        recorded: str = "",
        normal: Sequence[str] = (),
    ) -> None:
        self.source = require_path(source)
        self.recorded = recorded
        self.recipe = recipe
        self._normal = tuple(normal)
        self._dataset = dataset
        self._as_given = dataset

    def __repr__(self) -> str:
        return f"EngineData({described(self.source)})"

    def read(self, task: Task | None, *, native: bool = False) -> Dataset:
        """The data set, divided into train, val and test; read on the first call and kept.

        Args:
            task: the task to read the annotations for; ``None`` to infer it from them.
            native: whether the data are a framework's own.

        Raises:
            DataError: there are no data, or they cannot be read.
        """
        if self._dataset is None:
            if native:
                raise DataError(f"The data are a {type(self.source).__name__}; this needs a data set that can be read.")
            self.require()
            with fitting_recipe(self.recipe, task, self.source):
                dataset = self._loaded(self.source, task)
            self._as_given = dataset
            self._dataset = dataset.with_splits() if "train" in dataset.subsets else dataset
        return self._dataset

    @property
    def divided(self) -> Dataset | None:
        """The data set with train, val and test; ``None`` before it is read."""
        return self._dataset

    @property
    def as_given(self) -> Dataset | None:
        """The data set with only the subsets of its source; ``None`` before it is read."""
        return self._as_given

    def require(self, purpose: str = "") -> None:
        """Refuse to continue without data.

        Raises:
            DataError: there are none.
        """
        if self.source is None:
            raise absent_data(purpose, self.gone)

    @property
    def gone(self) -> str:
        """A sentence saying where the data of the recorded run were, if they no longer exist."""
        return "" if self.source is not None else gone(self.recorded)

    def other(self, data: Any, task: Task) -> Dataset:
        """A data set other than the engine's own, read for the same task.

        Raises:
            DataError: it cannot be read.
        """
        return self._loaded(require_path(data), task)

    def _loaded(self, source: Any, task: Task | None) -> Dataset:
        """A data set in which the labels that the run treated as normal are normal, too."""
        from drivetrain.data import load_dataset
        from drivetrain.data.anomaly import is_normal_name

        normal: list[str] = []
        named = [name for name in self._normal if not is_normal_name(name)]  # the usual ones need no naming
        if task is Task.ANOMALY and named and isinstance(source, str | Path):
            normal = [name for name in load_dataset(source).label_names if name in self._normal]
        return load_dataset(source, task=task, normal=normal or None)

    @property
    def name(self) -> str:
        """The name of the folder or file, else the class of the data; ``""`` without data."""
        if isinstance(self.source, str | Path):
            return Path(self.source).stem
        return type(self.source).__name__ if self.source is not None else ""


def described(source: Any) -> str:
    """Data in a few words: the path, else the class, except for data sets, which describe themselves."""
    if isinstance(source, str | Path):
        return repr(str(source))
    described_itself = source is None or type(source).__module__.startswith("drivetrain.")
    return repr(source) if described_itself else type(source).__name__


def absent_data(purpose: str = "", more: str = "") -> DataError:
    """The error for a verb that needs data when there are none."""
    return DataError(f"There are no data{purpose}.{more} Give them: {either('Engine(model, data)', '--data FOLDER')}.")


def gone(recorded: str) -> str:
    """A sentence saying where the data of a run were; ``""`` if unknown."""
    return f" Those of the run were in {recorded!r}, which no longer exists." if recorded else ""


def some_paths(dataset: Dataset, count: int) -> list[str]:
    """A few images, spread over the first existing subset of validation, test and training images."""
    for subset in SHOWN:
        if subset in dataset.subsets:
            return spread(dataset.subset(subset).paths, count)
    return []


def spread(paths: Any, count: int) -> list[str]:
    """At most ``count`` of the paths, evenly spaced."""
    return list(paths[:: max(1, len(paths) // count)][:count])


def describe_dataset(dataset: Dataset, args: Mapping[str, Any], task: str | None) -> dict[str, Any]:
    """The entry of a data set in the run record; the fingerprint tells whether it has changed."""
    from drivetrain.data.object_sizes import object_sizes

    normal = _normal_labels(dataset) if dataset.task is Task.ANOMALY else []
    sizes = object_sizes(dataset) if dataset.task.has_objects else None
    return {
        "source": _findable(dataset.source),
        "format": dataset.format,
        "fingerprint": dataset.fingerprint,
        "subsets": dict(dataset.subsets),
        "labels": len(dataset.label_names),
        **({"args": dict(args)} if args else {}),
        **({"task": task} if task else {}),
        **({"normal": normal} if normal else {}),
        **({"object_sizes": sizes.to_dict()} if sizes is not None else {}),
    }


def _findable(source: str) -> str:
    """A path that is valid in any current folder; data that are no path keep their name."""
    return str(Path(source).absolute()) if source and Path(source).exists() else source


def _normal_labels(dataset: Dataset) -> list[str]:
    """The labels of the normal images."""
    numbers = set(dataset.image_labels[dataset.anomalous == 0].tolist()) - {-1}
    return [dataset.label_names[number] for number in sorted(numbers)]


def require_path(data: Any) -> Any:
    """Return the data unchanged; if they are a path, it must exist.

    Raises:
        DataNotFoundError: it does not.
        DataError: a number was given.
    """
    if isinstance(data, int | float):
        from drivetrain.data.load import no_data_set

        raise no_data_set("data", data)
    if isinstance(data, str) and not data.strip():
        raise DataNotFoundError(f"data={data!r} is empty; is a variable unset? Give a folder, a file or a zip.")
    if isinstance(data, str | Path) and not Path(data).expanduser().exists():
        raise DataNotFoundError(
            f"data={str(data)!r} does not exist. Give an existing folder, file or zip. Looked in: {Path.cwd()}"
        )
    return data
