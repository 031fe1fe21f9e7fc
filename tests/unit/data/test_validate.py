"""What ``validate`` finds, and where."""

from __future__ import annotations

from pathlib import Path

from drivetrain import load_dataset
from drivetrain.data.dataset import Dataset
from drivetrain.data.facts import Facts
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.testing import data as toy
from drivetrain.types import Task


def test_a_sound_data_set_has_no_findings(tmp_path: Path) -> None:
    findings = load_dataset(toy.coco(tmp_path), cache=False).validate()
    assert list(findings) == []
    assert findings.images == 24
    assert repr(findings) == "DataFindings(24 images; nothing found)"


def test_objects_images_and_labels_are_named_with_their_places(tmp_path: Path) -> None:
    root = toy.coco(tmp_path)
    paths = [str(root / "images" / "train" / f"000{number}.png") for number in (1, 2, 3)]
    records = [
        Record(paths[0], "train", (64, 64), 0, boxes=[1, 1, 9, 9, 1, 1, 9, 9, 2, 2, 2.5, 9], box_labels=[0, 0, 1]),
        Record(paths[0], "val", (64, 64), 1, boxes=[1, 1, 9, 9], box_labels=[2]),
        Record(paths[1], "train", (64, 64), 2, boxes=[], box_labels=[]),
        Record(paths[2] + "x", "train", (64, 64), 3, boxes=[1, 1, 5, 5, 1, 1, 5, 5], box_labels=[0, 1]),
    ]
    facts = Facts(("cat", "dog", "Cat", "emu"), Task.DETECTION, skipped=(("a.png", "is broken"),))
    found = Dataset(build_table(records), facts).validate()
    (repeated,) = found.of_kind("repeated_object")
    assert (repeated.path, repeated.label, repeated.box) == (paths[0], "cat", (1, 1, 9, 9))
    (tiny,) = found.of_kind("tiny_object")
    assert (tiny.label, tiny.reason) == ("dog", "Its box is 0.50 x 7.00 pixels (width x height).")
    assert found.paths("missing_file") == [paths[2] + "x"]
    assert [item.reason for item in found.of_kind("leak")] == ["The same file is in train and val."]
    assert found.paths("unannotated") == [paths[1]]
    assert [(item.label, item.suggested_label) for item in found.of_kind("alike_labels")] == [("Cat", "cat")]
    assert "'emu'" in found.of_kind("unused_label")[0].reason
    assert "'Cat' occurs in val but never in train" in found.of_kind("unseen_label")[0].reason
    assert found.of_kind("skipped")[0].reason == "It is broken."
    assert found.to_dict()["counts"]["leak"] == 1
