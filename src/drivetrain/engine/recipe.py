"""A recipe given as the model of an engine: it names the model, its arguments and the training options."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from drivetrain.errors import DataError, OptionError
from drivetrain.recipes import names_recipe, numbers, read_config, recipe_tasks
from drivetrain.types.options import TrainOptions, check_names

#: Arguments of the engine's constructor that a recipe may set.
_OF_ENGINE = ("model", "data", "task", "work_dir", "device", "engine", "model_args", "data_args")


@dataclass(frozen=True)
class Recipe:
    """The options of a recipe or of a saved config.

    Attributes:
        name: the recipe as given.
        values: option -> value.
    """

    name: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, model: Any) -> Self | None:
        """The recipe given as the model, if one was.

        Raises:
            OptionError: it is not YAML, has an unknown key, names no model, or was written by a newer drivetrain.
        """
        if not names_recipe(model):
            return None
        allowed = (*_OF_ENGINE, *TrainOptions.names())
        what = f"model={str(model)!r}"
        values = read_config(str(model), lambda key: check_names("a recipe", [key], allowed), what=what)
        if not values.get("model"):
            raise OptionError(f"{what} is a recipe that names no model. Add a line to it: model: NAME.")
        return cls(str(model), numbers(values))

    def argument(self, name: str, given: Any) -> Any:
        """An argument of the engine's constructor: the given value, else that of the recipe."""
        value = self.values.get(name)
        if isinstance(value, Mapping):
            return {**value, **(given or {})}
        return value if given is None else given

    def data(self, given: Any, task: str | None) -> tuple[Any, Mapping[str, Any]]:
        """The data that were given, else those of the recipe; read with its arguments, if it has any.

        Returns:
            The data, and the arguments they were read with.

        Raises:
            DataError: they cannot be read.
        """
        source = self.argument("data", given)
        arguments = self.values.get("data_args")
        if not arguments or not (source is None or isinstance(source, str | Path)):
            return source, {}
        from drivetrain.engine.objects import load_with

        return load_with(None if source is None else str(source), arguments, task), arguments

    @cached_property
    def options(self) -> dict[str, Any]:
        """The options of ``train``, with objects of the framework created.

        Raises:
            OptionError: an object cannot be created.
        """
        from drivetrain.engine.objects import OBJECTS, make_objects

        names = [name for name in TrainOptions.names() if self.values.get(name) is not None]
        found = {name: _as_option(self.values[name]) for name in names}
        return {name: make_objects(name, value) if name in OBJECTS else value for name, value in found.items()}


def _as_option(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) and all(isinstance(item, int) for item in value) else value


@contextlib.contextmanager
def fitting_recipe(name: str, task: str | None, data: Any) -> Iterator[None]:
    """Within the block, an error about data that the recipe's task cannot use also names the recipe.

    Args:
        name: the name of the recipe; ``""`` if there is none.
        task: the task that the model is trained for.
        data: a path.

    Raises:
        DataError: the annotations cannot serve the task; the message says what they can serve.
    """
    try:
        yield
    except DataError as error:
        reason = _misfit(name, task, data) if name and task else ""
        if reason:
            raise DataError(reason) from error
        raise


def _misfit(recipe: str, task: str, data: Any) -> str:
    """Why the data do not fit, or ``""`` if the task is not the problem."""
    from drivetrain.data import load_dataset
    from drivetrain.data.tasks import servable_tasks

    try:
        found = load_dataset(data)
    except DataError:
        return ""
    able = [item.value for item in servable_tasks(found)]
    if task in able:
        return ""
    others = [name for name, other in recipe_tasks().items() if other in able]
    return (
        f"The recipe {recipe!r} is for the task {task}, but the annotations of {data} (read as {found.format!r}) can "
        f"serve: {', '.join(able)}. Recipes for them: {', '.join(others) or 'none'}. Or leave out the recipe to have a "
        "model chosen by the data."
    )
