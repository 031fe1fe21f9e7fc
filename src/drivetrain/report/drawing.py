"""Drawing one prediction on its image."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import DataError
from drivetrain.images.frames import FrameReader, shared_reader
from drivetrain.images.read import read_image
from drivetrain.report._canvas import BAD, GOOD, Canvas, Colour, colour_of, strip
from drivetrain.types import Prediction
from drivetrain.types.explanation import Explanation

_THRESHOLD = 0.5
_GAP = (255, 255, 255)
_SEEN = 0.3  # keypoints with a lower confidence are not drawn
# pairs of the 17 COCO keypoints that are joined by a person's limbs
_PERSON = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
_MOST_NAMED = 5
_MOST_LINES = 4


def draw(
    image: NDArray[np.uint8],
    prediction: Prediction,
    label_names: Sequence[str] | None = None,
    *,
    min_score: float = 0.0,
    opacity: float = 0.45,
) -> NDArray[np.uint8]:
    """Draw everything in the prediction, for any task.

    Objects get boxes, masks, oriented boxes or keypoints with a label; class, depth and anomaly maps are laid over the
    image; labels of the whole image, legends, scores and explanations are in a band below it. An anomaly map is next to
    the original image, and a border is only drawn on images classified as anomalous.

    Args:
        image: ``(H, W, 3) uint8`` RGB, of the size the prediction is for; it is not modified.
        prediction: the answer about it.
        label_names: the name of each label, instead of those of the prediction; numbers replace missing ones.
        min_score: objects with a lower score are not drawn.
        opacity: opacity of masks and maps, 0..1.

    Returns:
        ``(H', W', 3) uint8``: images with a short side below 320 pixels are enlarged by an integer factor, the band
        adds to the height, and the image next to an anomaly map to the width (to the height if it is very wide).

    Raises:
        DataError: the image has the wrong type or size.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"image is {image.dtype} {image.shape}; (H, W, 3) uint8 RGB is needed.")
    if image.shape[:2] != tuple(prediction.size):
        raise DataError(f"the image is {image.shape[:2]} pixels, but the prediction is for {tuple(prediction.size)}.")
    names = prediction.label_names if label_names is None else label_names
    canvas = Canvas(image)
    if prediction.class_map is not None:
        _draw_classes(canvas, prediction.class_map, names, opacity)
    if prediction.depth_map is not None:
        _draw_depth(canvas, prediction.depth_map)
    has_anomalies = prediction.anomaly_map is not None or prediction.anomaly_mask is not None
    if has_anomalies:
        _draw_anomaly(canvas, prediction, opacity)
    if _has_objects(prediction):
        _draw_objects(canvas, prediction, names, min_score, opacity)
    picture = canvas.finished()
    if has_anomalies:
        picture = beside(canvas.enlarge(image), picture, canvas.line * 2)
    return np.concatenate([picture, *_bands(prediction, names, picture.shape[1], canvas.font_size)])


def _bands(prediction: Prediction, names: Sequence[str], width: int, font_size: int) -> Iterator[NDArray[np.uint8]]:
    """The bands below the picture: legends, the verdict, labels of the whole image, the explanation."""
    if prediction.class_map is not None:
        yield strip(width, _legend(prediction.class_map, names), font_size, columns=4)
    if prediction.depth_map is not None:
        yield _depth_scale(prediction.depth_map, width, font_size)
    if prediction.anomaly_score is not None:
        yield _verdict(prediction.anomaly_score, width, font_size)
    if not _has_objects(prediction) and (prediction.labels is not None or prediction.probabilities is not None):
        yield strip(width, _image_labels(prediction, names), font_size)
    if prediction.explanation:
        rows = [(None, line, None) for line in _wrapped(prediction.explanation, width, font_size)]
        yield strip(width, rows, font_size)


def image_of(
    item: Prediction | Explanation, image: Any = None, *, frames: FrameReader | None = None
) -> NDArray[np.uint8]:
    """The pixels that an answer is about: those given, else those kept, else those of its file or frame.

    Args:
        item: the prediction, or the explanation of one.
        image: an array (RGB), a PIL image, bytes or a path.
        frames: reads the files; by default the reader of this thread.

    Returns:
        ``(H, W, 3) uint8`` RGB.

    Raises:
        DataError: there is no image; DataNotFoundError: its file no longer exists.
        ImageError: it cannot be read.
    """
    given = image if image is not None else item.image
    if given is not None:
        return read_image(given)
    if not item.path:
        raise DataError(
            "this prediction has no image to draw on: it was an array from a generator, and was not kept. Give it "
            "again, as the argument 'image' of draw, show or save."
        )
    return (frames or shared_reader()).read(item.path)


def beside(first: NDArray[np.uint8], second: NDArray[np.uint8], gap: int) -> NDArray[np.uint8]:
    """Two pictures of one size side by side, or one above the other if they are very wide."""
    height, width = first.shape[:2]
    axis = 0 if width > 2 * height else 1
    between = np.empty((gap, width, 3) if axis == 0 else (height, gap, 3), np.uint8)
    between[...] = _GAP
    return np.concatenate([first, between, second], axis=axis)


def _wrapped(text: str, width: int, font_size: int) -> list[str]:
    """At most four lines that fit, the last one truncated if there is more."""
    lines = textwrap.wrap(text, max(8, int(width / (0.58 * font_size)))) or [""]
    return lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], f"{lines[_MOST_LINES - 1]} …"]


def _has_objects(prediction: Prediction) -> bool:
    parts = (prediction.boxes, prediction.masks, prediction.keypoints, prediction.corners)
    return any(part is not None for part in parts)


def _name(label: int, label_names: Sequence[str]) -> str:
    return label_names[label] if 0 <= label < len(label_names) else str(label)


def _image_labels(prediction: Prediction, label_names: Sequence[str]) -> list[tuple[Colour | None, str, float | None]]:
    """The most probable labels with bars; the predicted ones are coloured."""
    labels = [] if prediction.labels is None else [int(label) for label in prediction.labels]
    scores = prediction.probabilities
    if scores is None:
        given = prediction.scores if prediction.scores is not None else [None] * len(labels)
        return [
            (colour_of(label), _captioned(_name(label, label_names), score), None if score is None else float(score))
            for label, score in zip(labels, given, strict=True)
        ] or [(None, "no label", None)]
    shown = sorted(range(len(scores)), key=lambda label: (label not in labels, -scores[label]))[:_MOST_NAMED]
    grey = (110, 110, 120)
    return [
        (colour_of(n) if n in labels else grey, _captioned(_name(n, label_names), scores[n]), float(scores[n]))
        for n in shown
    ]


def _captioned(name: str, score: float | np.float32 | None) -> str:
    return name if score is None else f"{name} {score:.2f}"


def _draw_objects(
    canvas: Canvas, prediction: Prediction, label_names: Sequence[str], min_score: float, opacity: float
) -> None:
    count = max(
        len(part)
        for part in (prediction.boxes, prediction.masks, prediction.keypoints, prediction.corners)
        if part is not None
    )
    labels = np.zeros(count, np.int64) if prediction.labels is None else prediction.labels
    scores = np.ones(count, np.float32) if prediction.scores is None else prediction.scores
    order = [int(n) for n in np.argsort(scores, kind="stable") if scores[n] >= min_score]
    colours = [colour_of(int(number)) for number in (labels if prediction.track_ids is None else prediction.track_ids)]
    for index in order:  # the most confident on top
        _draw_object(canvas, prediction, index, colours[index], opacity)
    for index in reversed(order):  # and its label placed first
        score = None if prediction.scores is None else scores[index]
        text = _captioned(_name(int(labels[index]), label_names) + _track(prediction, index), score)
        canvas.label(_bounds(prediction, index), text, colours[index])


def _track(prediction: Prediction, index: int) -> str:
    """The number of an object that is followed over a video, as `` #3``."""
    number = -1 if prediction.track_ids is None else int(prediction.track_ids[index])
    return f" #{number}" if number >= 0 else ""


def _draw_object(canvas: Canvas, prediction: Prediction, index: int, colour: Colour, opacity: float) -> None:
    if prediction.masks is not None:
        canvas.blend(prediction.masks[index], colour, opacity)
        canvas.outline(prediction.masks[index], colour)
    elif prediction.corners is not None:
        canvas.polygon(prediction.corners[index], colour)
    elif prediction.boxes is not None:
        x1, y1, x2, y2 = prediction.boxes[index]
        canvas.polygon(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]), colour)
    if prediction.keypoints is not None:
        points = prediction.keypoints[index]
        seen = points[:, 2] >= _SEEN
        for start, end in _PERSON if len(points) == 17 else ():
            if seen[start] and seen[end]:
                canvas.segment(points[start, :2], points[end, :2], colour)
        for number, point in enumerate(points):
            if seen[number]:
                canvas.dot(point[:2], colour_of(number) if len(points) != 17 else colour)


def _bounds(prediction: Prediction, index: int) -> tuple[float, float, float, float]:
    """The rectangle at which the label of an object belongs."""
    if prediction.corners is not None:
        points = prediction.corners[index]
    elif prediction.boxes is not None:
        points = prediction.boxes[index].reshape(2, 2)
    elif prediction.masks is not None:
        rows, columns = np.nonzero(prediction.masks[index])
        points = np.stack([columns, rows], axis=1) if len(rows) else np.zeros((1, 2))
    else:
        assert prediction.keypoints is not None
        points = prediction.keypoints[index, :, :2]
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def _draw_classes(canvas: Canvas, classes: NDArray[np.int64], label_names: Sequence[str], opacity: float) -> None:
    """Tint every class except the background."""
    for label in np.unique(classes).tolist():
        if not _is_background(label, label_names):
            canvas.blend(classes == label, colour_of(max(label, 0)), opacity)
            canvas.outline(classes == label, colour_of(max(label, 0)))


def _legend(classes: NDArray[np.int64], label_names: Sequence[str]) -> list[tuple[Colour | None, str, float | None]]:
    """The classes with their colours, by descending share of the image."""
    numbers, counts = np.unique(classes, return_counts=True)
    rows: list[tuple[Colour | None, str, float | None]] = []
    for place in np.argsort(-counts, kind="stable"):
        label, share = int(numbers[place]), counts[place] / classes.size
        colour: Colour = (90, 90, 95) if _is_background(label, label_names) else colour_of(max(label, 0))
        rows.append((colour, f"{_name(label, label_names)} {share:.1%}", None))
    return rows


def _is_background(label: int, label_names: Sequence[str]) -> bool:
    return _name(label, label_names).lower() == "background"


def _draw_depth(canvas: Canvas, depth: NDArray[np.float32]) -> None:
    import cv2

    low, high = _depth_range(depth)
    level = np.clip((np.nan_to_num(depth, nan=high, posinf=high) - low) / max(high - low, 1e-12), 0, 1)
    near_is_warm = np.round(255 * (1 - level)).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(near_is_warm, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    canvas.pixels[...] = canvas.enlarge(np.asarray(coloured, np.uint8))


def _depth_range(depth: NDArray[np.float32]) -> tuple[float, float]:
    finite = depth[np.isfinite(depth)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _depth_scale(depth: NDArray[np.float32], width: int, font_size: int) -> NDArray[np.uint8]:
    low, high = _depth_range(depth)
    return strip(
        width,
        [((220, 70, 30), f"near {low:.3g}", None), ((60, 40, 110), f"far {high:.3g}", None)],
        font_size,
        columns=2,
    )


def _draw_anomaly(canvas: Canvas, prediction: Prediction, opacity: float) -> None:
    """The heat map, more opaque where it is hotter, and on an anomalous image the border of the anomalous region."""
    heat, mask = prediction.anomaly_map, prediction.anomaly_mask
    if heat is not None:
        lay_heat(canvas, heat, opacity)
    called = mask if mask is not None else heat >= _THRESHOLD if heat is not None else None
    if called is not None and called.any() and prediction.is_anomalous is not False:
        canvas.outline(called, BAD)


def lay_heat(canvas: Canvas, heat: NDArray[np.float32], opacity: float) -> None:
    """Lay a map ``(H, W)`` in 0..1 over the picture, the stronger the hotter it is.

    Args:
        canvas: to draw on.
        heat: over the original image.
        opacity: where it is hottest.
    """
    import cv2

    level = np.clip(np.nan_to_num(heat), 0, 1)
    coloured = cv2.cvtColor(
        cv2.applyColorMap(np.round(level * 255).astype(np.uint8), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB
    )
    weight = canvas.enlarge(opacity * (0.35 + 0.65 * level))[..., None]
    blended = canvas.pixels * (1 - weight) + canvas.enlarge(np.asarray(coloured)) * weight
    canvas.pixels[...] = np.round(blended).astype(np.uint8)


def _verdict(score: float, width: int, font_size: int) -> NDArray[np.uint8]:
    anomalous = score >= _THRESHOLD
    text = f"{'anomalous' if anomalous else 'normal'} {score:.2f}"
    return strip(width, [(BAD if anomalous else GOOD, text, float(np.clip(score, 0, 1)))], font_size)
