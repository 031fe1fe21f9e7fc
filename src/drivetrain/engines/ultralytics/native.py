"""The user's own loaders, which are passed unchanged to Ultralytics' trainer."""

# ruff: noqa: TID253 - loaded with the engine only
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from drivetrain.errors import DataError, UnsupportedError
from drivetrain.torch_training.loader_task import require_task
from drivetrain.types import Task

_SUBSETS = ("train", "val", "test")
_CONTRACT = {
    Task.CLASSIFICATION: ("img", "cls"),
    Task.DETECTION: ("img", "cls", "bboxes", "batch_idx", "im_file", "ori_shape", "resized_shape", "ratio_pad"),
}
#: A detector can also learn from the boxes of these tasks.
_SERVED = {Task.DETECTION: (Task.DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION)}
_EXPLAINED = {
    Task.CLASSIFICATION: "'img' (B, 3, H, W) float32 in 0..1 and 'cls' (B,) label numbers",
    Task.DETECTION: "'img' (B, 3, H, W) uint8 RGB, 'cls' (N, 1), 'bboxes' (N, 4) centre and size in 0..1, 'batch_idx' "
    "(N,) the image of each box, 'im_file', 'ori_shape', 'resized_shape' and 'ratio_pad' of each image",
}


def is_native(data: Any, is_loader: Callable[[Any], bool]) -> bool:
    """Whether the data are a loader, or a dict or tuple of loaders."""
    if isinstance(data, Mapping):
        return bool(data) and set(data) <= set(_SUBSETS) and all(map(is_loader, data.values()))
    if isinstance(data, tuple | list):
        return 0 < len(data) <= len(_SUBSETS) and all(map(is_loader, data))
    return is_loader(data)


def loaders_of(data: Any) -> dict[str, Any]:
    """The loaders by subset; a single one is for training, a tuple is (train, val, test)."""
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, tuple | list):
        return dict(zip(_SUBSETS, data, strict=False))
    return {"train": data}


def fit_data(data: Any, task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    """The loaders for training and validation, and the class names.

    Raises:
        DataError: there is no training loader, or its batches are not in Ultralytics' format.
        UnsupportedError: loaders are not supported for this task.
    """
    if task not in _CONTRACT:
        raise UnsupportedError(
            f"A DataLoader for {task.value} is not supported in this version. Give a folder or a data set, or use "
            f"{' or '.join(other.value for other in _CONTRACT)}."
        )
    loaders = loaders_of(data)
    if "train" not in loaders:
        raise DataError(f'The data have no loader for training, only {", ".join(loaders)}. Give {{"train": loader}}.')
    check_batch(loaders["train"], task)
    names = names_of(loaders["train"])
    validation = loaders.get("val", loaders["train"])
    about = {"names": dict(enumerate(names)), "nc": len(names), "channels": 3}
    return {"train": loaders["train"], "val": validation}, about


def names_of(loader: Any) -> tuple[str, ...]:
    """The class names of a loader's data set.

    Raises:
        DataError: it has none.
    """
    dataset: Any = loader.dataset
    holders = [dataset, getattr(dataset, "base", None)]
    for name in ("names", "classes"):
        for holder in holders:
            found = getattr(holder, name, None)
            if isinstance(found, Mapping) and found:
                return tuple(str(found[number]) for number in sorted(found))
            if isinstance(found, list | tuple) and found:
                return tuple(map(str, found))
    raise DataError(
        f"The data set of the loader ({type(dataset).__name__}) does not provide class names. "
        "Set dataset.classes to a list of names."
    )


def check_batch(loader: Any, task: Task) -> None:
    """Refuse a loader whose first batch Ultralytics' trainer could not use.

    Raises:
        DataError: it is for another task, or something is missing; the message describes the required batch.
    """
    batch = next(iter(loader), None)
    require_task(batch, _SERVED.get(task, (task,)), "this")
    keys = set(batch) if isinstance(batch, Mapping) else set()
    lacking = [name for name in _CONTRACT[task] if name not in keys]
    if lacking:
        raise DataError(
            f"A batch of the loader is a {type(batch).__name__} without {', '.join(map(repr, lacking))}. For "
            f"{task.value} Ultralytics takes a dict with {_EXPLAINED[task]}."
        )
    image = batch["img"] if isinstance(batch, Mapping) else None
    if not (isinstance(image, torch.Tensor) and image.ndim == 4 and image.shape[1] == 3):
        raise DataError(f"'img' of a batch must be a tensor (B, 3, H, W), not {getattr(image, 'shape', type(image))}.")
