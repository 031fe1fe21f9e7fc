"""Explain any black box by its answers about an image with random parts hidden (RISE and D-RISE)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivetrain.images.matching import overlaps
from drivetrain.images.object_boxes import boxes_of
from drivetrain.types import Prediction

#: The number of masked copies of each image that the model is asked about.
MASKS = 600
_SEED = 0
#: Cells of a mask along the longer side, for answers about the whole image and for objects in it.
_CELLS, _CELLS_FOR_OBJECTS = 8, 14
#: Images with a longer side than this, in pixels, are reduced to it.
_SIDE = 640

Infer = Callable[[Iterable[tuple[str, NDArray[np.uint8]]]], Iterator[Prediction]]


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """The subject of an explanation.

    Attributes:
        answer: the model's answer about the whole image at the reduced size.
        label: the number of the label.
        score: the score of the label or object.
        index: the object's index in ``answer``; ``None`` for the whole image.
    """

    answer: Prediction
    label: int
    score: float
    index: int | None = None


def explain_by_masks(
    image: NDArray[np.uint8], infer: Infer, choose: Callable[[Prediction], Explained | str], *, objects: bool
) -> tuple[NDArray[np.float32], Explained] | str:
    """Hide random halves of an image, and weight each by how much of the subject the model still finds.

    The masks are those of RISE: coarse random grids, enlarged smoothly and shifted by part of a cell; every second
    one is the opposite of the one before, so that fewer give the same certainty. Hidden pixels get the
    mean colour of the image. All images of a size get the same masks.

    Args:
        image: ``(H, W, 3) uint8`` RGB.
        infer: yields the model's answers about ``(path, image)`` pairs, in order.
        choose: given the answer about the whole image, returns the subject, or the reason why there is none.
        objects: whether the answers are objects, which need finer masks.

    Returns:
        ``(H, W) float32`` in 0..1 and the subject, with its box in pixels of the reduced image, which
        is at most 640 pixels long; or the reason why there is nothing to explain.
    """
    seen = _reduced(image)
    shown: deque[NDArray[np.float32]] = deque()
    answers = infer(_with_masks(seen, shown, _CELLS_FOR_OBJECTS if objects else _CELLS))
    subject = choose(next(answers))
    if isinstance(subject, str):
        return subject
    total = np.zeros(seen.shape[:2], np.float64)
    scores = 0.0
    visible = np.zeros(seen.shape[:2], np.float64)
    for answer in answers:
        mask, score = shown.popleft(), still_said(answer, subject)
        total += score * mask
        visible += mask
        scores += score
    # how much higher than average the scores are where a pixel is visible
    saliency = total / np.maximum(visible, 1e-6) - scores / MASKS
    return enlarged(normalised(saliency), (image.shape[0], image.shape[1])), subject


def still_said(answer: Prediction, subject: Explained) -> float:
    """How much of a subject is still in the answer about a masked image, 0..1.

    For a label, its probability; for an object, the overlap (IoU) with the most similar object of its label, times that
    object's score; for a class of pixels, the overlap with its original region.
    """
    if subject.index is not None:
        return _object_score(answer, subject, subject.index)
    if subject.answer.class_map is not None:
        assert answer.class_map is not None
        before, after = subject.answer.class_map == subject.label, answer.class_map == subject.label
        union = int((before | after).sum())
        return float((before & after).sum()) / union if union else 0.0
    assert answer.probabilities is not None
    return float(answer.probabilities[subject.label])


def _object_score(answer: Prediction, subject: Explained, index: int) -> float:
    boxes, labels, scores = boxes_of(answer), answer.labels, answer.scores
    if labels is None or scores is None or not len(boxes):
        return 0.0
    overlap = overlaps(boxes, boxes_of(subject.answer)[index : index + 1])[:, 0]
    return float(np.max(np.where(labels == subject.label, overlap * scores, 0.0)))


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    height, width = image.shape[:2]
    share = _SIDE / max(height, width)
    if share >= 1:
        return image
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _with_masks(
    image: NDArray[np.uint8], shown: deque[NDArray[np.float32]], cells: int
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the image, then the image under each mask; the masks are appended to ``shown``."""
    yield "", image
    ground = image.reshape(-1, 3).mean(axis=0, dtype=np.float64).astype(np.float32)
    above = image.astype(np.float32) - ground
    for mask in masks((image.shape[0], image.shape[1]), cells, MASKS):
        shown.append(mask)
        yield "", (above * mask[..., None] + ground + 0.5).astype(np.uint8)


def masks(size: tuple[int, int], cells: int, count: int) -> Iterator[NDArray[np.float32]]:
    """Random masks, 1 where the image is visible, each followed by its opposite.

    Args:
        size: ``(height, width)`` of the image.
        cells: the number of cells along its longer side.
        count: the number of masks; even.

    Yields:
        ``(H, W) float32`` in 0..1.
    """
    import cv2

    generator = np.random.default_rng(_SEED)
    height, width = size
    cell = max(height, width) / cells
    rows, columns = max(2, round(height / cell)), max(2, round(width / cell))
    step = (-(-height // rows), -(-width // columns))
    whole = ((columns + 1) * step[1], (rows + 1) * step[0])
    for _ in range(count // 2):
        grid = (generator.random((rows + 1, columns + 1)) < 0.5).astype(np.float32)
        top, left = int(generator.integers(step[0])), int(generator.integers(step[1]))
        smooth = cv2.resize(grid, whole, interpolation=cv2.INTER_LINEAR)
        mask = np.asarray(smooth[top : top + height, left : left + width], np.float32)
        yield mask
        yield 1 - mask


def normalised(values: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float32]:
    """The values scaled to 0..1, the lowest 0 and the highest 1; all 0 if they are equal."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros(values.shape, np.float32)
    return np.asarray((values - low) / (high - low), np.float32)


def enlarged(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map of a reduced image, enlarged to ``(H, W) float32`` of the original."""
    import cv2

    if values.shape == size:
        return values
    resized = cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(resized, 0, 1), np.float32)
