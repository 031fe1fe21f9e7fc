"""The model as deployed: from pixels at the model's input size to score, label, map and mask."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from anomalib.data import InferenceBatch
from anomalib.models.components import AnomalibModule
from anomalib.post_processing import PostProcessor
from torch import nn
from torchvision.transforms.v2 import Resize

from drivetrain.engines.anomalib.build import steps_of
from drivetrain.engines.anomalib.requirements import need_of
from drivetrain.errors import CheckpointError, UnsupportedError
from drivetrain.runtime.postprocess.sensitivity import TAIL
from drivetrain.types import ImageSpec
from drivetrain.types.image_spec import Interpolation
from drivetrain.types.options import NO_SHIFT

OUTPUTS = ("pred_score", "pred_label", "anomaly_map", "pred_mask")

_INTERPOLATIONS: dict[str, Interpolation] = {"nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic"}


def image_spec(model: AnomalibModule) -> ImageSpec | None:
    """How an image is resized for the model; ``None`` if its transform does not start with a resize to a fixed size."""
    steps = steps_of(getattr(model.pre_processor, "transform", None))
    first = steps[0] if steps else None
    if not isinstance(first, Resize):
        return None
    interpolation = str(getattr(first.interpolation, "value", first.interpolation))
    size = [first.size] if isinstance(first.size, int) else list(first.size or ())
    if len(size) != 2 or interpolation not in _INTERPOLATIONS:
        return None
    return ImageSpec(
        int(size[0]),
        int(size[1]),
        resize="stretch",
        interpolation=_INTERPOLATIONS[interpolation],
        antialias=bool(first.antialias),
    )


def is_answering_by_path(model: AnomalibModule) -> bool:
    """Whether the model asks a language model about image files and has no network of its own."""
    return not isinstance(getattr(model, "model", None), nn.Module)


def require_fitted(model: AnomalibModule) -> None:
    """Refuse a model whose scores have no threshold yet.

    Raises:
        CheckpointError: it has not been trained.
        UnsupportedError: its post-processor is off, so its scores have no scale; or it does not take single images.
    """
    data = need_of(type(model)).data
    if data != "images":
        raise UnsupportedError(
            f"{model.name} works on {data}, while drivetrain predicts from single images. Anomalib's own engine "
            "predicts on its datamodules."
        )
    post = model.post_processor
    if not isinstance(post, PostProcessor) or not post.enable_normalization or not post.enable_thresholding:
        raise UnsupportedError(
            f"The post-processor of {model.name} does not normalise or find a threshold, so its scores cannot be "
            "brought to 0..1 with the threshold at 0.5. Use the default post-processor."
        )
    if math.isnan(float(post.image_min)) and math.isnan(float(post.pixel_min)):
        raise CheckpointError(
            f"{model.name} has not been trained, so it has no threshold. Train it first, or give checkpoint=..."
        )


class _Scale(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Only the arithmetic that Anomalib's post-processor applies to scores once its threshold and range are known.

    The original decides inside the graph whether they are known. OpenVINO's CPU device gets this wrong when the batch
    is dynamic and several streams run.

    Args:
        post: the post-processor of a fitted model.
    """

    def __init__(self, post: PostProcessor) -> None:
        super().__init__()
        self.image = [float(value) for value in (post.image_min, post.image_max, post.image_threshold)]
        self.pixel = [float(value) for value in (post.pixel_min, post.pixel_max, post.pixel_threshold)]

    def forward(self, raw: InferenceBatch) -> InferenceBatch:
        """Map score and map so that 0.5 is the threshold and 0 and 1 the range seen in validation, without clipping."""
        maps, score = raw.anomaly_map, raw.pred_score
        if score is None:
            score = torch.amax(maps, dim=(-2, -1))
        return InferenceBatch(
            pred_score=self._scaled(score, *self.image),
            anomaly_map=None if maps is None else self._scaled(maps, *self.pixel),
        )

    @staticmethod
    def _scaled(values: torch.Tensor, low: float, high: float, threshold: float) -> torch.Tensor:
        if math.isnan(low) or math.isnan(high):
            return values
        middle = (low + high) / 2 if math.isnan(threshold) else threshold
        if low == high:
            return torch.sign(values - middle) * 0.5 + 0.5
        return (values - middle) / (high - low) + 0.5


class Deployed(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """The complete path of an image through the model, identical in prediction and in the artefact.

    Takes ``(B, 3, height, width) float32`` in 0..1 at the size of :func:`image_spec` and returns ``pred_score (B,)
    float32`` in 0..1, ``pred_label (B,) bool``, and for models that localise: ``anomaly_map (B, 1, h, w) float32`` in
    0..1 and ``pred_mask (B, 1, h, w) bool``. Scores are shifted by the sensitivity so that 0.5 is always the threshold,
    without merging distinct scores at the ends: see :mod:`drivetrain.runtime.postprocess.sensitivity`.

    Args:
        model: a fitted model; it is used, not changed.
        sensitivity: for the image and for the pixels.
    """

    def __init__(self, model: AnomalibModule, sensitivity: tuple[float, float] = (NO_SHIFT, NO_SHIFT)) -> None:
        super().__init__()
        post = model.post_processor
        exportable = steps_of(getattr(model.pre_processor, "export_transform", None))
        self.pre = nn.Sequential(*(step for step in exportable if not isinstance(step, Resize)))
        self.model = model.model
        plain = type(post).forward is PostProcessor.forward and type(post)._normalize is PostProcessor._normalize
        self.post = _Scale(post) if plain else post
        self.image_shift, self.pixel_shift = (value - NO_SHIFT for value in sensitivity)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Answer about a batch."""
        raw = self.model(self.pre(image))
        if not isinstance(raw, InferenceBatch):  # some models return only score and map
            raw = InferenceBatch(pred_score=raw[0], anomaly_map=raw[1])
        found: InferenceBatch = self.post(raw)
        score = _to_scores(found.pred_score.reshape(-1).float() + self.image_shift)
        outputs = {"pred_score": score, "pred_label": score >= 0.5}
        if found.anomaly_map is not None:
            scores = found.anomaly_map
            scores = scores.reshape(scores.shape[0], 1, scores.shape[-2], scores.shape[-1]).float()
            scores = _to_scores(scores + self.pixel_shift)
            outputs["anomaly_map"] = scores
            outputs["pred_mask"] = scores >= 0.5
        return outputs


def _to_scores(levels: torch.Tensor) -> torch.Tensor:
    """The same as :func:`drivetrain.runtime.postprocess.sensitivity.to_scores`, as part of a graph."""
    above = TAIL - TAIL / (1 + (levels - (1 - TAIL)).clamp_min(0) / TAIL)
    below = TAIL - TAIL / (1 + (TAIL - levels).clamp_min(0) / TAIL)
    return (levels.clamp(TAIL, 1 - TAIL) + above - below).clamp(0, 1)


def sensitivity_of(model: AnomalibModule) -> tuple[float, float]:
    """How readily images and pixels count as anomalous, as the model was created or trained."""
    return float(model.post_processor.image_sensitivity), float(model.post_processor.pixel_sensitivity)


@contextmanager
def at_sensitivity(model: AnomalibModule, sensitivity: tuple[float, float]) -> Iterator[None]:
    """Within the block, let Anomalib's own code use another sensitivity for the image and for the pixels."""
    before, post = sensitivity_of(model), model.post_processor
    post.image_sensitivity, post.pixel_sensitivity = sensitivity
    try:
        yield
    finally:
        post.image_sensitivity, post.pixel_sensitivity = before


def crop_fraction(model: AnomalibModule) -> tuple[float, float]:
    """The central fraction of the height and of the width that the map covers."""
    from anomalib.data.transforms import ExportableCenterCrop
    from torchvision.transforms.v2 import CenterCrop

    spec = image_spec(model)
    crops: list[Any] = [
        step
        for step in steps_of(getattr(model.pre_processor, "transform", None))
        if isinstance(step, CenterCrop | ExportableCenterCrop)
    ]
    if spec is None or not crops:
        return 1.0, 1.0
    height, width = (crops[0].size, crops[0].size) if isinstance(crops[0].size, int) else tuple(crops[0].size)
    return min(1.0, height / spec.height), min(1.0, width / spec.width)
