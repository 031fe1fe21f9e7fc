"""Explain any black box by what it answers about an image of which random parts are hidden (RISE and D-RISE)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivetrain.images.matching import overlaps
from drivetrain.images.object_boxes import boxes_of
from drivetrain.types import Prediction

#: Answers that are asked for about each image, besides the one about the whole of it.
MASKS = 600
_SEED = 0
#: Cells of a mask along the longer side, for answers about the whole image and about objects in it.
_CELLS, _CELLS_FOR_OBJECTS = 8, 14
#: The longer side at which an image is looked at, in pixels; one that is smaller stays as it is.
_SIDE = 640

Infer = Callable[[Iterable[tuple[str, NDArray[np.uint8]]]], Iterator[Prediction]]


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What is explained on an image.

    Attributes:
        answer: the model's, about the whole image as it is looked at.
        label: the number of the label.
        score: of the label or object.
        index: of the object in ``answer``; ``None`` where the whole image is meant.
    """

    answer: Prediction
    label: int
    score: float
    index: int | None = None


def explain_by_masks(
    image: NDArray[np.uint8], infer: Infer, choose: Callable[[Prediction], Explained | str], *, objects: bool
) -> tuple[NDArray[np.float32], Explained] | str:
    """Hide random halves of an image and weigh each by what the model still says of the subject.

    The masks are those of RISE: coarse random grids, enlarged smoothly and shifted by a part of a cell; every second
    one hides what the one before shows, which needs fewer of them for the same certainty. What is hidden becomes the
    mean colour of the image. They are the same for every image of a size.

    Args:
        image: ``(H, W, 3) uint8`` RGB.
        infer: asks the model about ``(path, image)`` pairs, in their order.
        choose: what is to be explained, by the answer about the whole image, or why nothing is.
        objects: whether the answers are objects, which need finer masks.

    Returns:
        ``(H, W) float32`` in 0..1 and what is explained, with its box in pixels of the image as it is looked at, which
        is at most 640 pixels long; or why there is nothing to explain.
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
    # how much higher the scores are where a pixel is seen than they are on average
    saliency = total / np.maximum(visible, 1e-6) - scores / MASKS
    return enlarged(normalised(saliency), (image.shape[0], image.shape[1])), subject


def still_said(answer: Prediction, subject: Explained) -> float:
    """How much of a subject an answer about a part of the image still has, 0..1.

    Of a label it is its probability; of an object the overlap (IoU) of the most alike object of its label, times that
    object's score; of a class of pixels the overlap with the region it had.
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
    """The image, then the image under each mask; the masks go into ``shown``."""
    yield "", image
    ground = image.reshape(-1, 3).mean(axis=0, dtype=np.float64).astype(np.float32)
    above = image.astype(np.float32) - ground
    for mask in masks((image.shape[0], image.shape[1]), cells, MASKS):
        shown.append(mask)
        yield "", (above * mask[..., None] + ground + 0.5).astype(np.uint8)


def masks(size: tuple[int, int], cells: int, count: int) -> Iterator[NDArray[np.float32]]:
    """Random masks, 1 where the image is seen, each followed by its opposite.

    Args:
        size: ``(height, width)`` of the image.
        cells: along its longer side.
        count: how many; an even number.

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
    """The values on 0..1, the lowest 0 and the highest 1; all 0 where none is higher than another."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros(values.shape, np.float32)
    return np.asarray((values - low) / (high - low), np.float32)


def enlarged(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map over a reduced image as ``(H, W) float32`` over the original."""
    import cv2

    if values.shape == size:
        return values
    resized = cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(resized, 0, 1), np.float32)
