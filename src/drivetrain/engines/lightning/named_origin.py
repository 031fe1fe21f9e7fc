"""Models of transformers that are given as a folder, a configuration or a class, by the name that serves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivetrain.errors import CheckpointError, ModelError, OptionError
from drivetrain.models.catalog import ModelEntry, ModelSource, listing
from drivetrain.models.spec import claimed_by
from drivetrain.types import Task

CONFIGS = ("transformers:PreTrainedConfig", "transformers:PretrainedConfig")
_MODELS = ("transformers:PreTrainedModel",)


def named_origin(
    given: Any, find_task: Callable[[], Task | None], source: ModelSource
) -> tuple[ModelEntry, dict[str, Any]] | None:
    """The model of the catalogue that a folder, a configuration or a class of transformers stands for.

    Args:
        given: what the dispatch resolved.
        find_task: says what it is to be trained for, where that is known.
        source: of the models of transformers.

    Returns:
        The model and the arguments of its constructor; ``None`` if it is something else.

    Raises:
        CheckpointError: the folder is not one of ``save_pretrained``, or no model here is its.
        ModelError: no model here, or more than one, has the configuration.
    """
    if isinstance(given, Path):
        if not given.is_dir() or not (given / "config.json").is_file() or (given / "run.json").is_file():
            return None
        return _of_folder(given, source), {"pretrained": str(given)}
    if isinstance(given, type):
        return (_entry(given.__name__, source), {}) if claimed_by(given, _MODELS) else None
    if claimed_by(type(given), CONFIGS) is None:
        return None
    from drivetrain.engines.lightning.models.transformers_models import plain_config

    return _of_config(given, find_task, source), {"config": plain_config(given)}


def _of_folder(folder: Path, source: ModelSource) -> ModelEntry:
    try:
        names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures")
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"model={str(folder)!r}: its config.json cannot be read: {error}") from error
    if not names:
        raise CheckpointError(
            f"model={str(folder)!r}: its config.json does not say which class its weights are of. Name it: "
            f"model='transformers:CLASS', model_args={{'pretrained': {str(folder)!r}}}."
        )
    return _entry(str(names[0]), source, f"model={str(folder)!r} is a {names[0]}, which")


def _entry(name: str, source: ModelSource, what: str = "") -> ModelEntry:
    found = listing(source)
    entry = found.find(name) if found is not None else None
    if entry is None:
        raise ModelError(
            f"{what or f'model={name!r}'} is none of the models of transformers that are trained here. List them with: "
            "drivetrain find transformers"
        )
    return entry


def _of_config(config: Any, find_task: Callable[[], Task | None], source: ModelSource) -> ModelEntry:
    """By the class that the configuration names, else by the task."""
    if config.architectures:
        return _entry(
            str(config.architectures[0]), source, f"{type(config).__name__} names {config.architectures[0]}, which"
        )
    import transformers

    found = listing(source)
    own = [
        entry
        for entry in (found.models if found is not None else ())
        if getattr(transformers, entry.name).config_class is type(config)
    ]
    if len(own) == 1:
        return own[0]
    task = find_task() if own else None
    fitting = [entry for entry in own if task is None or task in entry.tasks]
    if len(fitting) == 1:
        return fitting[0]
    if not own:
        raise ModelError(
            f"No model of transformers that is trained here has a {type(config).__name__}. List them with: drivetrain "
            "find transformers"
        )
    names = ", ".join(f"{entry.name} ({entry.tasks[0]})" for entry in fitting or own)
    raise OptionError(
        f"A {type(config).__name__} may be of several models: {names}. Give task=... to Engine, or name one: "
        "model='transformers:NAME' with the values of the configuration in model_args."
    )
