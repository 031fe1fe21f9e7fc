"""Resolving transformers models given as a folder, a configuration or a class to their catalogue names."""

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
    """The catalogue entry that a folder, a configuration or a class of transformers stands for.

    Args:
        given: what the dispatch resolved.
        find_task: returns the task to train for, if known.
        source: the source of the transformers models.

    Returns:
        The entry and the arguments of its constructor; ``None`` if it is something else.

    Raises:
        CheckpointError: the folder is not from ``save_pretrained``, or contains an unsupported model.
        ModelError: no supported model, or more than one, has the configuration.
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
            f"model={str(folder)!r}: its config.json does not name the class of its weights. Name it: "
            f"model='transformers:CLASS', model_args={{'pretrained': {str(folder)!r}}}."
        )
    return _entry(str(names[0]), source, f"model={str(folder)!r} is a {names[0]}, which")


def _entry(name: str, source: ModelSource, what: str = "") -> ModelEntry:
    found = listing(source)
    entry = found.find(name) if found is not None else None
    if entry is None:
        raise ModelError(
            f"{what or f'model={name!r}'} is not one of the supported transformers models. List them with: "
            "drivetrain find transformers"
        )
    return entry


def _of_config(config: Any, find_task: Callable[[], Task | None], source: ModelSource) -> ModelEntry:
    """By the class named in the configuration, else by the task."""
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
            f"No supported transformers model has a {type(config).__name__}. List them with: drivetrain "
            "find transformers"
        )
    names = ", ".join(f"{entry.name} ({entry.tasks[0]})" for entry in fitting or own)
    raise OptionError(
        f"A {type(config).__name__} may belong to several models: {names}. Give task=... to Engine, or name one: "
        "model='transformers:NAME' with the values of the configuration in model_args."
    )
