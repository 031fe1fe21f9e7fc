"""What a classifier on PyTorch says about each cell of its last feature map alone, in one pass.

The definition is that of :mod:`drivetrain.runtime.cells`, so that a model and its artefact give the same maps.
"""

# ruff: noqa: TID253  (loaded by engines on PyTorch only)
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from drivetrain.runtime.cells import no_layer

_AVERAGES = frozenset({"adaptive_avg_pool2d", "avg_pool2d", "mean"})
_SAME = 1e-3


class CellNetwork:
    """A classifier that also answers about each cell of its last feature map.

    Args:
        module: turns ``(B, 3, H, W)`` images into ``(B, labels)`` answers; in evaluation mode.
        example: ``(1, 3, H, W)`` on the module's device.
        name: of the model, for messages.

    Raises:
        UnsupportedOptionError: the module has no average over all places that all of the answer goes through.
    """

    def __init__(self, module: nn.Module, example: Tensor, name: str) -> None:
        self._module = module
        example = torch.rand_like(torch.cat([example, example]))  # one image would be spread over others unseen
        with torch.inference_mode(), _Averages() as seen:
            plain = module(example)
        if not seen.count:
            raise no_layer(name)
        self._number = seen.count - 1
        try:
            answers, _ = self.ask(example)
        except (RuntimeError, ValueError) as error:
            raise no_layer(name, "what follows it takes one image only") from error
        if not torch.allclose(answers, plain, atol=_SAME * float(plain.abs().max())):
            raise no_layer(name, "the answer does not go through it alone")

    def ask(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The answers about images and about their cells.

        Args:
            images: ``(B, 3, H, W)``.

        Returns:
            ``(B, labels)`` and ``(B, labels, h, w)``.
        """
        with torch.inference_mode(), _Averages(self._number) as seen:
            answers = self._module(images)
        count, (height, width) = len(images), seen.sides
        if len(answers) != count * (1 + height * width):
            raise ValueError("the batch was not kept apart")
        cells = answers[count:].reshape(count, height, width, -1).permute(0, 3, 1, 2)
        return answers[:count], cells


class _Averages(TorchFunctionMode):  # type: ignore[misc]  # the upstream class is untyped here
    """Counts averages over all places of a feature map; to one of them it adds the cells, as further images."""

    def __init__(self, wanted: int | None = None) -> None:
        super().__init__()
        self.count = 0
        self.sides = (0, 0)
        self._wanted = wanted

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") not in _AVERAGES or not _is_average(args[0] if args else None, result):
            return result
        number, self.count = self.count, self.count + 1
        if number != self._wanted:
            return result
        features: Tensor = args[0]
        self.sides = (features.shape[2], features.shape[3])
        cells = features.permute(0, 2, 3, 1).reshape(-1, *result.shape[1:])
        return torch.cat([result, cells])


def _is_average(before: Any, after: Any) -> bool:
    """Whether a feature map ``(B, C, h, w)`` became one row of C values for each image."""
    if not isinstance(before, Tensor) or not isinstance(after, Tensor) or before.ndim != 4:
        return False
    places = before.shape[2] * before.shape[3]
    return bool(places > 1 and after.shape[:2] == before.shape[:2] and after.numel() == before.numel() // places)
