"""Reading Anomalib's checkpoints, ours or its own, and creating models from them without executing their contents."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import anomalib.models
import torch
from anomalib.models.components import AnomalibModule
from anomalib.pre_processing import PreProcessor
from anomalib.utils.serialization import anomalib_safe_globals

from drivetrain.engines.anomalib.build import build_model, constructor_names, is_memory_bank
from drivetrain.errors import CheckpointError, UnsafeCheckpointError
from drivetrain.machine.packages import import_object
from drivetrain.models.checkpoint import require_file

OUR_KEY = "drivetrain"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        CheckpointNotFoundError: the file does not exist.
        UnsafeCheckpointError: it contains objects that could only be restored by executing code.
        CheckpointError: it is not a checkpoint of a Lightning module.
    """
    require_file(path)
    known = [item for cls in exported_classes().values() for item in cls.checkpoint_safe_globals()]
    try:
        with anomalib_safe_globals(extra=known):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UnsafeCheckpointError(
            f"checkpoint={str(path)!r} holds objects besides tensors and plain values, as written by Anomalib before "
            "2.7; opening it could execute code. Load it with the Anomalib that wrote it and save it with 2.7 or later."
        ) from error
    except (RuntimeError, OSError, EOFError) as error:
        raise CheckpointError(f"checkpoint={str(path)!r} cannot be read: {error}") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CheckpointError(f"checkpoint={str(path)!r} has no state_dict, so it is not of an Anomalib model.")
    return content


def exported_classes() -> dict[str, type[AnomalibModule]]:
    """Every model class of the installed release, by name."""
    found = {name: getattr(anomalib.models, name) for name in anomalib.models.__all__}
    return {name: cls for name, cls in found.items() if isinstance(cls, type) and issubclass(cls, AnomalibModule)}


def describe(model: AnomalibModule) -> dict[str, str]:
    """The description of the model that our checkpoints contain."""
    return {"class": f"{type(model).__module__}:{type(model).__qualname__}"}


def class_of(content: Mapping[str, Any], path: Path) -> type[AnomalibModule]:
    """The class of a checkpoint's model: as recorded, or from Anomalib's folder names, or from its arguments.

    Raises:
        CheckpointError: it cannot be determined, or it is a user-defined class that was not imported.
    """
    written = (content.get(OUR_KEY) or {}).get("class")
    if written is not None:
        module = str(written).partition(":")[0]
        if module.partition(".")[0] != "anomalib" and module not in sys.modules:
            raise CheckpointError(
                f"checkpoint={str(path)!r} is of the class {written}, which was not imported. Give the model: "
                f"model={str(written).replace(':', '.')!r} and checkpoint={str(path)!r}."
            )
        found = import_object(str(written))
        if isinstance(found, type) and issubclass(found, AnomalibModule):
            return found
        raise CheckpointError(f"checkpoint={str(path)!r} says its class is {written}, which is not an Anomalib model.")
    classes = exported_classes()
    for part in reversed(path.absolute().parts):
        if part in classes:
            return classes[part]
    given = set(content.get("hyper_parameters") or {})
    fitting = [name for name, cls in classes.items() if given and given <= set(constructor_names(cls))]
    if len(fitting) == 1:
        return classes[fitting[0]]
    hint = f" Judging by its arguments it could be: {', '.join(fitting)}." if fitting else ""
    raise CheckpointError(
        f"checkpoint={str(path)!r} does not say which model it is of.{hint} Name it: "
        f"model='Padim' and checkpoint={str(path)!r}."
    )


def model_from(
    content: Mapping[str, Any],
    path: Path,
    cls: type[AnomalibModule] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> AnomalibModule:
    """The model of a checkpoint, with its weights, image size, thresholds and sensitivity.

    Args:
        content: the content of the checkpoint.
        path: the path of the checkpoint.
        cls: the class; by default the one that the checkpoint states.
        arguments: constructor arguments, for components that a checkpoint does not contain.

    Raises:
        CheckpointError: the weights do not fit the class.
    """
    cls = cls or class_of(content, path)
    model = _construct(content, cls, arguments or {}, pretrained=False)
    fill_model(model, content, path)
    return model


def fresh_from(content: Mapping[str, Any], path: Path) -> AnomalibModule:
    """An untrained model with the class, arguments, image size and backbone of a checkpoint, to refill its bank."""
    model = _construct(content, class_of(content, path), {}, pretrained=False)
    take_over(model, content)
    return model


def _construct(
    content: Mapping[str, Any], cls: type[AnomalibModule], arguments: Mapping[str, Any], *, pretrained: bool
) -> AnomalibModule:
    names = constructor_names(cls)
    values = {name: value for name, value in (content.get("hyper_parameters") or {}).items() if name in names}
    enabled = content.get("anomalib_components_enabled") or {}
    values |= {name: False for name, on in enabled.items() if not on and name in names and name != "visualizer"}
    config = content.get("anomalib_pre_processor_config")
    if config is not None and values.get("pre_processor") is not False and "pre_processor" in names:
        pre_processor = PreProcessor()
        pre_processor.load_checkpoint_config(config)
        values["pre_processor"] = pre_processor
    components = {name: arguments[name] for name in ("post_processor", "evaluator", "visualizer") if name in arguments}
    return build_model(cls, {**values, **components, "pretrained": pretrained})


def fill_model(model: AnomalibModule, content: Mapping[str, Any], path: Path) -> None:
    """Load the state of a checkpoint into a model.

    Raises:
        CheckpointError: it does not fit.
    """
    try:
        model.on_load_checkpoint(dict(content))
        model.load_state_dict(content["state_dict"])
    except (RuntimeError, KeyError, AttributeError) as error:
        text = str(error).splitlines()
        raise CheckpointError(
            f"checkpoint={str(path)!r} does not fit {type(model).__name__}: {' '.join(text[:2])[:300]} "
            "Give a model with the same arguments and image size."
        ) from error


def take_over(model: AnomalibModule, content: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Copy the learned weights that match by name and shape; memory banks and thresholds are recomputed.

    Returns:
        The number of tensors copied, and the names of those that were not.
    """
    own = model.state_dict()
    skip = ("post_processor.", "pre_processor.", "evaluator.", "_is_fitted")
    given = {name: value for name, value in content["state_dict"].items() if not name.startswith(skip)}
    if is_memory_bank(model):
        learned = {name for name, _ in model.named_parameters()}
        given = {name: value for name, value in given.items() if name in learned or "feature_extractor" in name}
    taken = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(taken, strict=False)
    return len(taken), [name for name in own if name not in taken and not name.startswith(skip)]
