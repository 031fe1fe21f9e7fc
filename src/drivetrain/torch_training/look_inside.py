"""Ask a network on PyTorch for more than its answer: what each cell says alone, and what it makes of an image."""

# ruff: noqa: TID253  (loaded by engines on PyTorch only)
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from drivetrain.runtime.cells import as_logits
from drivetrain.torch_training.batches import image_batches
from drivetrain.torch_training.cell_network import CellNetwork
from drivetrain.types import ImageSpec, Prediction
from drivetrain.types.explanation import CellScores

Images = Iterable[tuple[str, NDArray[np.uint8]]]
_BATCH_SIZE = 16


def read_cells(
    network: CellNetwork,
    images: Images,
    *,
    spec: ImageSpec,
    place: str,
    decode: Callable[[NDArray[np.float32], tuple[int, int], str], Prediction],
    is_probability: bool = False,
) -> Iterator[CellScores]:
    """What a classifier says about images and their cells, one answer for each image, in their order.

    Args:
        network: the classifier.
        images: ``(path, (H, W, 3) uint8 RGB)``.
        spec: how an image becomes its input.
        place: the device that it is on.
        decode: makes the answer of what the network gives for an image, ``(C,)``, of its size and its path.
        is_probability: whether the network gives probabilities, and not logits.
    """
    for batch in image_batches(images, spec, _BATCH_SIZE):
        answers, cells = (part.float().cpu().numpy() for part in network.ask(batch.inputs.to(place)))
        for path, size, row, scores in zip(batch.paths, batch.sizes, answers, cells, strict=True):
            yield CellScores(decode(row, size, path), as_logits(scores, is_probability), spec)


def read_features(
    ask: Callable[[Tensor], Tensor], images: Images, *, spec: ImageSpec, place: str, batch_size: int | None
) -> Iterator[NDArray[np.float32]]:
    """``(D,) float32`` of each image, in their order.

    Args:
        ask: ``(B, 3, H, W)`` to ``(B, D)``.
        images: ``(path, (H, W, 3) uint8 RGB)``.
        spec: how an image becomes the input.
        place: the device to compute on.
        batch_size: images in a step.
    """
    for batch in image_batches(images, spec, batch_size or _BATCH_SIZE):
        with torch.inference_mode():
            rows = ask(batch.inputs.to(place)).float().cpu().numpy()
        yield from np.asarray(rows, np.float32)


def pooled_output(module: nn.Module, part: nn.Module, images: Tensor) -> Tensor | None:
    """What a part of a module gives while the module answers about images, as one row for each image.

    Args:
        module: is asked.
        part: of it.
        images: ``(B, 3, H, W)``.

    Returns:
        ``(B, D)``: the mean over the places of the last feature map ``(B, D, h, w)`` that the part gives, or over its
        tokens ``(B, N, D)``; ``None`` if it gives neither, or was not asked.
    """
    kept: list[Any] = []
    hook = part.register_forward_hook(lambda _module, _given, found: kept.append(found))
    try:
        module(images)
    finally:
        hook.remove()
    tensors = [value for value in _tensors(kept[:1]) if value.is_floating_point() and len(value) == len(images)]
    for axes, over in ((4, (2, 3)), (3, (1,))):
        maps = [value for value in tensors if value.ndim == axes]
        if maps:
            return maps[-1].mean(dim=over)
    return None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def part_named(module: nn.Module, names: Sequence[str]) -> nn.Module | None:
    """The outermost part of a module that has one of the names; ``None`` if there is none.

    Args:
        module: to look into.
        names: the first of them that there is counts.
    """
    for name in names:
        found = [(path.count("."), part) for path, part in module.named_modules() if path.rpartition(".")[2] == name]
        if found:
            return min(found, key=lambda item: item[0])[1]
    return None


def before_the_head(module: nn.Module, images: Tensor) -> Tensor | None:
    """What the last layer of a classifier is given: ``(B, D)``.

    Args:
        module: turns ``(B, 3, H, W)`` into ``(B, labels)``.
        images: ``(B, 3, H, W)``.

    Returns:
        ``None`` where the answer is not what a linear layer or a convolution gives.
    """
    with _LastLayer() as layers:
        answer = module(images)
    for given, found in reversed(layers.seen):
        same = found.numel() == answer.numel() and torch.equal(found.reshape(answer.shape), answer)
        if same and given.numel() == given.shape[0] * given.shape[1]:
            return given.flatten(1)
    return None


class _LastLayer(TorchFunctionMode):  # type: ignore[misc]  # the upstream class is untyped here
    """Remembers what linear layers and convolutions are given, and what they make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in ("linear", "conv2d") and args:
            self.seen = [*self.seen[-3:], (args[0], result)]
        return result
