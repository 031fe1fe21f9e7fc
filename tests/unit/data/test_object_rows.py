"""All objects out of the columns are those of the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivetrain.data import Dataset
from drivetrain.data.facts import Facts
from drivetrain.data.object_rows import ObjectRows
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.types import Task


def made() -> Dataset:
    """Images with crowds, without objects, without a word about objects or crowds, and with a box outside."""
    records = [
        Record("a.png", size=(20, 30), boxes=[1, 2, 9, 12, 0, 0, 5, 5], box_labels=[1, 0], iscrowd=[False, True]),
        Record("b.png", size=(20, 30), boxes=[], box_labels=[], iscrowd=[]),
        Record("c.png", size=(20, 30), labels=[1]),
        Record("d.png", size=(40, 30), boxes=[31, 2, 39, 12, 3, 3, 4, 4], box_labels=[0, 1]),
    ]
    for number, record in enumerate(records):
        record.image_id = number
    return Dataset(build_table(records), Facts(("nut", "bolt"), Task.DETECTION))


def test_the_columns_are_the_samples(tmp_path: Path) -> None:
    data = made()
    data.save(tmp_path / "set.arrow")
    for held in (data, Dataset.load(tmp_path / "set.arrow"), data.select([3, 0])):
        rows = ObjectRows.of(held)
        samples = [sample for sample in held if sample.boxes is not None and len(sample.boxes)]
        np.testing.assert_array_equal(rows.boxes, np.concatenate([sample.boxes for sample in samples]))
        np.testing.assert_array_equal(rows.labels, np.concatenate([sample.box_labels for sample in samples]))
        assert rows.counts.tolist() == [0 if sample.boxes is None else len(sample.boxes) for sample in held]
        for image, position, box in zip(rows.images, rows.positions, rows.boxes, strict=True):
            np.testing.assert_array_equal(held[image].boxes[position], box)


def test_crowds_and_boxes_outside_are_known() -> None:
    data = made()
    rows = ObjectRows.of(data)
    assert rows.crowds.tolist() == [False, True, False, False]
    assert rows.inside(data.sizes).tolist() == [True, True, False, True]
    rest = rows.without_crowds()
    assert (rest.counts.tolist(), rest.positions.tolist(), rest.ends.tolist()) == (
        [1, 0, 0, 2],
        [0, 0, 1],
        [1, 1, 1, 3],
    )
    assert len(ObjectRows.none(3).boxes) == 0
    assert ObjectRows.none(3).ends.tolist() == [0, 0, 0]
