"""Weights of classes and of images for training on imbalanced classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import OptionError, near
from drivetrain.types import Task

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset


def class_weights(dataset: Dataset, asked: str | Mapping[str, float]) -> dict[str, float]:
    """The weight of each label in the loss.

    "balanced" makes all classes count equally: with one label per image, a label weighs
    ``images / (classes * images of the label)``, as in scikit-learn; with any number of labels, the positives weigh
    ``images without it / images with it``. A label without a training image weighs 1.

    Args:
        dataset: with a subset ``train``.
        asked: "balanced", or weights by label; omitted labels weigh 1.

    Raises:
        OptionError: there is no such label.
    """
    if not isinstance(asked, str):
        require_labels(dataset.label_names, asked)
        return {name: float(asked.get(name, 1.0)) for name in dataset.label_names}
    part = dataset.subset("train")
    counts = part.class_counts()
    if dataset.task is Task.MULTILABEL_CLASSIFICATION:
        return {name: max(1, len(part) - count) / count if count else 1.0 for name, count in counts.items()}
    present = [count for count in counts.values() if count]
    return {name: sum(present) / (len(present) * count) if count else 1.0 for name, count in counts.items()}


def image_weights(dataset: Dataset) -> NDArray[np.float64]:
    """``(N,)`` the probability of drawing each training image; they sum to 1.

    An image is drawn as often as its rarest label requires, so that each class is seen about equally often; images
    without a label count as a separate class.

    Args:
        dataset: with a subset ``train``, for classification with one or several labels.
    """
    part = dataset.subset("train")
    labels = part.label_matrix.astype(np.float64)
    labels = np.column_stack([labels, labels.sum(axis=1) == 0])
    weights = (labels / np.maximum(labels.sum(axis=0), 1)).max(axis=1)
    return np.asarray(weights / weights.sum())


def require_labels(label_names: tuple[str, ...], asked: Mapping[str, float]) -> None:
    """Reject weights for labels that the data do not have.

    Raises:
        OptionError: names the first such label and its closest match.
    """
    for name in asked:
        if name not in label_names:
            shown = ", ".join(label_names[:20]) + (", ..." if len(label_names) > 20 else "")
            raise OptionError(
                f"class_weights: the data have no label {name!r}.{near(str(name), label_names)} Their labels: {shown}."
            )
