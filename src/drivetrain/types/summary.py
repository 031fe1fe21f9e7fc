"""Predictions in a few words: one line for an image, counts for a series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from drivetrain.types.task import ANOMALY_LABELS

if TYPE_CHECKING:
    from drivetrain.types.prediction import Prediction
    from drivetrain.types.sample import Sample

_MOST_OBJECTS = 5
_MOST_CLASSES = 5


def summary_of(item: Prediction) -> str:
    """The answer about one image: its labels with scores, the verdict, or the classes with their shares.

    Example: ``"cat 0.913, dog 0.540"``, ``"anomalous 0.834"``, ``"road 61.2%, sky 38.8%"``, ``"nothing"``.
    """
    if item.anomaly_score is not None:
        return f"{'anomalous' if item.is_anomalous else 'normal'} {item.anomaly_score:.3f}"
    if item.labels is None:
        return _map_summary(item)
    scores = item.scores if item.scores is not None else [None] * len(item.labels)
    parts = [
        item.name_of(label) if score is None else f"{item.name_of(label)} {score:.3f}"
        for label, score in list(zip(item.labels, scores, strict=True))[:_MOST_OBJECTS]
    ]
    more = f" and {len(item.labels) - _MOST_OBJECTS} more" if len(item.labels) > _MOST_OBJECTS else ""
    return (", ".join(parts) or "nothing") + more


def class_shares(item: Prediction) -> dict[str, float]:
    """The share of the image (0..1) covered by each class of the class map, the largest first."""
    if item.class_map is None:
        return {}
    values, counts = np.unique(item.class_map, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {item.name_of(values[n]): float(counts[n] / item.class_map.size) for n in order}


def count_classes(item: Prediction) -> Counter[str]:
    """How often the image has each class: its objects, its labels, the verdict, or each class of its map once."""
    if item.is_anomalous is not None:
        return Counter([ANOMALY_LABELS[bool(item.is_anomalous)]])
    if item.labels is not None:
        return Counter(item.name_of(label) for label in item.labels)
    return Counter(dict.fromkeys(class_shares(item), 1))


def counts_in_words(counts: Mapping[str, int]) -> str:
    """``"40 car, 12 person"``, the most frequent first; classes that do not occur are omitted.

    Names that begin with a digit are quoted: ``"3 '7', 1 '9'"``.
    """
    found = sorted(((count, name) for name, count in counts.items() if count), key=lambda pair: -pair[0])
    words = ", ".join(f"{count} {_told_apart(name)}" for count, name in found[:_MOST_CLASSES])
    more = f" and {len(found) - _MOST_CLASSES} more classes" if len(found) > _MOST_CLASSES else ""
    return (words or "nothing") + more


def _told_apart(name: str) -> str:
    return f"'{name}'" if name[:1].isdigit() else name


def truth_in_words(sample: Sample, label_names: Sequence[str]) -> str:
    """The annotations of an image in words: the verdict with the kind of defect, its objects counted, or its labels."""
    names = [label_names[label] for label in sample.labels]
    if sample.anomalous is not None:
        kind = f" ({', '.join(names)})" if sample.anomalous and names else ""
        return f"anomalous{kind}" if sample.anomalous else "normal"
    if sample.box_labels is not None:
        return counts_in_words(Counter(label_names[label] for label in sample.box_labels))
    return ", ".join(names)


def _map_summary(item: Prediction) -> str:
    if item.class_map is not None:
        shares = list(class_shares(item).items())[:_MOST_OBJECTS]
        return ", ".join(f"{name} {share:.1%}" for name, share in shares)
    if item.depth_map is not None and (known := item.depth_map[np.isfinite(item.depth_map)]).size:
        return f"depth {known.min():.3g} to {known.max():.3g}"
    return item.explanation or "no answer"
