"""A recipe that does not fit the data says so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from drivetrain.cli.config import recipe_tasks
from drivetrain.errors import DataError


@contextlib.contextmanager
def fitting_recipe(recipe: str, values: Mapping[str, Any]) -> Iterator[None]:
    """While it is open, data that the recipe's task cannot use are refused in the name of the recipe.

    Args:
        recipe: its name; ``""`` if the options come from none.
        values: the options.

    Raises:
        DataError: the annotations cannot serve the task of the recipe; the message says what they can serve.
    """
    try:
        yield
    except DataError as error:
        reason = _misfit(recipe, values) if recipe and values.get("task") else ""
        if reason:
            raise DataError(reason) from error
        raise


def _misfit(recipe: str, values: Mapping[str, Any]) -> str:
    """Why the data do not fit, or ``""`` if the task is not what is wrong with them."""
    from drivetrain.data import load_dataset
    from drivetrain.data.tasks import servable_tasks

    try:
        found = load_dataset(values["data"])
    except DataError:
        return ""
    able = [task.value for task in servable_tasks(found)]
    if values["task"] in able:
        return ""
    others = [name for name, task in recipe_tasks().items() if task in able]
    return (
        f"The recipe {recipe!r} is for the task {values['task']}, but the annotations of {values['data']} (read as "
        f"{found.format!r}) can serve: {', '.join(able)}. Recipes for them: {', '.join(others) or 'none'}. Or leave "
        "out the recipe, and a model is chosen by the data."
    )
