"""The user's own LightningModule and its own data, which are used unchanged."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from drivetrain.engines.lightning import SPEC
from drivetrain.errors import CheckpointError, DataError, UnsupportedError, UnsupportedOptionError
from drivetrain.models.spec import claimed_by
from drivetrain.types import ImageSpec, Task
from drivetrain.types.options import SPECIAL_OPTIONS, TrainOptions

_ORDER = ("train", "val", "test")
#: The tasks for which a user's own module can predict.
_PREDICTED = (Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION)
_DATA_OPTIONS = ("batch_size", "image_size", "num_workers", "mosaic", "scale_jitter", "tile")
_MODULE_OPTIONS = ("learning_rate", "image_size", *SPECIAL_OPTIONS)


def is_lightning_module(model: Any) -> bool:
    """Whether this is a LightningModule, or a subclass of it."""
    cls = model if isinstance(model, type) else type(model)
    return claimed_by(cls, SPEC.claims[:2]) is not None


def is_native_data(data: Any) -> bool:
    """Whether the data are a datamodule, a loader, or a tuple or dict of loaders."""
    if isinstance(data, Mapping):
        return bool(data) and set(data) <= set(_ORDER) and all(map(_is_loader, data.values()))
    if isinstance(data, tuple | list):
        return 0 < len(data) <= len(_ORDER) and all(map(_is_loader, data))
    return claimed_by(type(data), SPEC.data_claims) is not None


def _is_loader(data: Any) -> bool:
    return claimed_by(type(data), ("torch:DataLoader",)) is not None


def is_datamodule(data: Any) -> bool:
    """Whether the data are a LightningDataModule."""
    return claimed_by(type(data), SPEC.data_claims[:2]) is not None


def loaders_of(data: Any) -> dict[str, Any]:
    """The loaders by subset; a single one is for training, a tuple is (train, val, test)."""
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, tuple | list):
        return dict(zip(_ORDER, data, strict=False))
    return {"train": data}


def fit_arguments(data: Any) -> dict[str, Any]:
    """The data as arguments of the upstream's ``fit``.

    Raises:
        DataError: there is no loader for training.
    """
    if is_datamodule(data):
        return {"datamodule": data}
    loaders = loaders_of(data)
    if "train" not in loaders:
        raise DataError(f'The data have no loader for training, only {", ".join(loaders)}. Give {{"train": loader}}.')
    return {"train_dataloaders": loaders["train"], "val_dataloaders": loaders.get("val")}


def evaluation_arguments(data: Any, subset: str) -> dict[str, Any]:
    """The data as arguments of the upstream's ``validate`` or ``test``.

    Raises:
        DataError: there is no loader for the subset.
    """
    if is_datamodule(data):
        if subset not in ("val", "test"):
            raise DataError(f"subset={subset!r}: a LightningDataModule is tested on 'val' or 'test'.")
        return {"datamodule": data}
    loaders = loaders_of(data)
    if set(loaders) == {"train"} and _is_loader(data):
        return {"dataloaders": data}  # a single loader, to be tested
    if subset not in loaders:
        raise DataError(
            f"subset={subset!r} is not among the loaders: {', '.join(loaders)}. Give one for it, or subset=..."
        )
    return {"dataloaders": loaders[subset]}


def check_options(options: TrainOptions, *, own_module: bool, own_data: bool) -> None:
    """Refuse options that the user's own module or data already fix.

    Raises:
        UnsupportedOptionError: the message names the option and where to set it.
    """
    given = options.given()
    for name in _DATA_OPTIONS if own_data else ():
        if name in given:
            raise UnsupportedOptionError(
                f"{name}={given[name]!r} cannot be honoured: your own loaders or datamodule fix it. Set it there."
            )
    for name in ("class_weights", "sampler") if own_module or own_data else ():
        if name in given:
            raise UnsupportedOptionError(
                f"{name}={given[name]!r} cannot be honoured: your own module and loaders have their own loss and "
                "order. Weight classes there."
            )
    for name in _MODULE_OPTIONS if own_module else ():
        if name in given:
            raise UnsupportedOptionError(
                f"{name}={given[name]!r} cannot be honoured: your own LightningModule fixes it. Set it there."
            )


def check_step(module: Any, package: str, step: str) -> None:
    """Refuse a verb whose step the user's module does not define.

    Raises:
        UnsupportedError: the message names the method.
    """
    base = importlib.import_module(package).LightningModule
    if getattr(type(module), step, None) in (None, getattr(base, step)):
        raise UnsupportedError(f"{type(module).__name__} has no {step}, which this needs. Define it on your module.")


def image_facts(module: Any, task: Task | None) -> tuple[ImageSpec, Task, tuple[str, ...]]:
    """The attributes that predicting and exporting need from the user's module, besides ``forward``.

    Raises:
        UnsupportedError: the message names the missing attributes.
    """
    spec, names = getattr(module, "image_spec", None), getattr(module, "label_names", None)
    task = task or (Task.parse(module.task) if getattr(module, "task", None) is not None else None)
    absent = [
        text
        for text, value in (
            ("`image_spec` (a drivetrain.types.ImageSpec, how an image becomes the input of forward)", spec),
            ("`label_names` (the name of each output)", names),
            ('`task` ("classification" or "multilabel_classification"; or task=...)', task),
        )
        if value is None
    ]
    if absent or task is None or spec is None or names is None:
        raise UnsupportedError(
            f"{type(module).__name__} lacks what predicting on images needs. Give it the attributes "
            f"{'; '.join(absent)}; forward must then map (B, 3, H, W) to (B, labels) logits."
        )
    if task not in _PREDICTED:
        raise UnsupportedError(
            f"{type(module).__name__} is for {task.value}; this engine only predicts for {', '.join(_PREDICTED)}. "
            "Its own training and test work."
        )
    return spec if isinstance(spec, ImageSpec) else ImageSpec.from_dict(dict(spec)), task, tuple(names)


def load_weights(module: Any, content: Mapping[str, Any], origin: str) -> None:
    """Load the weights of a Lightning checkpoint into the user's module.

    Raises:
        CheckpointError: they do not fit.
    """
    state = content.get("state_dict", content)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        described = content.get("drivetrain_model") or {}
        of = described.get("class") or described.get("name") or "another model"
        lines = [line.strip() for line in str(error).splitlines()][:3]
        raise CheckpointError(
            f"checkpoint={origin!r} is of {of} and does not fit {type(module).__name__}: {' '.join(lines)}"
        ) from error
