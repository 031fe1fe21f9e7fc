"""Creating an Anomalib model from its class, its arguments, an image size and local weights."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomalib.models.components import AnomalibModule, MemoryBankMixin
from anomalib.pre_processing import PreProcessor
from torchvision.transforms.v2 import Compose, Resize, Transform

from drivetrain.engines.anomalib.weights import caches_only, given_weights, read_weights
from drivetrain.errors import DrivetrainError, ModelError, OptionError
from drivetrain.machine.packages import import_object
from drivetrain.models.catalog import ModelEntry
from drivetrain.types.options import check_names, check_sensitivity

_OURS = ("pretrained", "sensitivity")
_LEARNING_RATES = ("lr", "learning_rate")
_ALWAYS_PRETRAINED = ("Glass",)
"""Classes that fail with ``pre_trained=False`` in Anomalib 2.7; they get random weights by skipping the pretrained."""
_COMPONENTS = ("pre_processor", "post_processor", "evaluator", "visualizer")


def model_class(model: Any) -> type[AnomalibModule]:
    """The class of a catalogue entry, or the class itself."""
    found = import_object(model.class_path) if isinstance(model, ModelEntry) else model
    if not (isinstance(found, type) and issubclass(found, AnomalibModule)):
        raise ModelError(f"{found!r} is not a class of Anomalib models.")
    return found


def constructor_names(cls: type[AnomalibModule]) -> tuple[str, ...]:
    """The arguments of a model class's constructor."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    return tuple(p.name for p in parameters if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def learning_rate_argument(cls: type[AnomalibModule]) -> str | None:
    """The argument that sets the learning rate, if the class has one."""
    names = constructor_names(cls)
    return next((name for name in _LEARNING_RATES if name in names), None)


def build_model(
    cls: type[AnomalibModule],
    arguments: Mapping[str, Any],
    *,
    image_size: tuple[int, int] | None = None,
    learning_rate: float | None = None,
) -> AnomalibModule:
    """Create an untrained model.

    Args:
        cls: the model class.
        arguments: constructor arguments, and in addition ``pretrained`` and ``sensitivity``.
        image_size: (height, width) of the model input in pixels.
        learning_rate: for classes that accept one.

    Raises:
        OptionError: an argument does not exist, or has a value that the class refuses.
        ModelError: the weights that the class needs are not available.
    """
    names = constructor_names(cls)
    check_names(f"model_args of {cls.__name__}", list(arguments), (*names, *_OURS))
    values = {name: value for name, value in arguments.items() if name in names}
    if learning_rate is not None:
        values[learning_rate_argument(cls) or "lr"] = learning_rate
    if "visualizer" in names:
        values.setdefault("visualizer", False)
    if "pre_processor" in names and (image_size is not None or values.get("pre_processor", True) is True):
        if values.get("pre_processor", True) is not True:
            raise OptionError("Give image_size or model_args={'pre_processor': ...}, not both.")
        values["pre_processor"] = pre_processor_for(cls, image_size)
    elif image_size is not None:
        raise OptionError(f"image_size={image_size} cannot be honoured: {cls.__name__} has no pre-processor.")
    model = _construct(cls, values, arguments.get("pretrained"))
    set_sensitivity(model, arguments.get("sensitivity"))
    return model


def pre_processor_for(cls: type[AnomalibModule], size: tuple[int, int] | None) -> PreProcessor:
    """The pre-processor of a class for an image size, resizing without antialiasing as every deployed client does.

    Raises:
        OptionError: the class refuses the size.
    """
    parameters = inspect.signature(cls.configure_pre_processor).parameters
    whole = {"crop_size": min(size), "center_crop_size": size} if size is not None else {}
    options: dict[str, Any] = {name: value for name, value in whole.items() if name in parameters}
    try:
        made = cls.configure_pre_processor(image_size=size, **options)
    except (ValueError, TypeError, AssertionError) as error:
        raise OptionError(f"image_size={size} is refused by {cls.__name__}: {error}") from error
    resizes = [step for step in steps_of(made.transform) if isinstance(step, Resize)]
    for step in resizes:
        step.antialias = False
    used = [tuple(step.size) for step in resizes]
    if size is not None and used != [tuple(size)]:
        raise OptionError(
            f"image_size={size} cannot be honoured: {cls.__name__} resizes to {', '.join(map(str, used)) or 'nothing'} "
            "whatever the requested size. Leave image_size out, or give your own model_args={'pre_processor': ...}."
        )
    return PreProcessor(transform=made.transform) if type(made) is PreProcessor else made


def steps_of(transform: Transform | None) -> list[Transform]:
    """The individual steps of a transform, in order."""
    if transform is None:
        return []
    if isinstance(transform, Compose):
        return [step for part in transform.transforms for step in steps_of(part)]
    return [transform]


def set_sensitivity(model: AnomalibModule, sensitivity: float | None) -> None:
    """Set how readily images and pixels count as anomalous.

    Raises:
        OptionError: it is not a number in 0..1, or the model has no post-processor that supports it.
    """
    if sensitivity is None:
        return
    check_sensitivity(sensitivity)
    if not hasattr(model.post_processor, "image_sensitivity"):
        raise OptionError(f"sensitivity={sensitivity} cannot be honoured: {model.name} has no such post-processor.")
    model.post_processor.image_sensitivity = sensitivity
    model.post_processor.pixel_sensitivity = sensitivity


def is_memory_bank(model: AnomalibModule | type[AnomalibModule]) -> bool:
    """Whether the model stores features in one pass instead of learning over epochs."""
    return issubclass(model if isinstance(model, type) else type(model), MemoryBankMixin)


def _construct(cls: type[AnomalibModule], values: dict[str, Any], pretrained: Any) -> AnomalibModule:
    names = constructor_names(cls)
    context: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if isinstance(pretrained, str | Path):
        path = Path(pretrained).expanduser()
        context = given_weights(read_weights(path), str(path))
        pretrained = True
    elif pretrained is False:
        context = given_weights(None)
    elif pretrained is None and values.get("pre_trained") is not True:
        context = caches_only()
    if "pre_trained" in names and pretrained is not None:
        values.setdefault("pre_trained", bool(pretrained) or cls.__name__ in _ALWAYS_PRETRAINED)
    try:
        with context:
            return cls(**values)
    except DrivetrainError:  # raised for the weights file, with a better message
        raise
    except (TypeError, ValueError, AssertionError) as error:
        raise OptionError(f"{cls.__name__} refuses its arguments ({', '.join(values)}): {error}") from error
    except (OSError, RuntimeError) as error:
        if not _is_absent_weights(error):
            raise
        raise ModelError(_absent_weights(cls, values, error)) from error


def _is_absent_weights(error: BaseException) -> bool:
    texts = ("offline", "connection", "download", "Hub", "internet", "cached", "cache", "urlopen", "hash value")
    return isinstance(error, OSError) or any(text in str(error) for text in texts)


def _absent_weights(cls: type[AnomalibModule], values: Mapping[str, Any], error: BaseException) -> str:
    backbone = next((values[n] for n in ("backbone", "encoder_name", "teacher_backbone") if n in values), None)
    if backbone is None:
        parameters = inspect.signature(cls.__init__).parameters
        known = (parameters.get(n) for n in ("backbone", "encoder_name", "teacher_backbone"))
        backbone = next((p.default for p in known if p is not None), "its backbone")
    reason = str(error).splitlines()[0][:200]
    return (
        f"{cls.__name__} needs the pretrained weights of {backbone!r}, which are not in the local caches ({reason}). "
        'Give model_args={"pretrained": "weights.pth"} (a local file), model_args={"pretrained": True} (let the '
        'upstream download them), or model_args={"pretrained": False} (random weights).'
    )
