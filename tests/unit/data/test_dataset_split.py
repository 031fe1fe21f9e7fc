from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from drivetrain.data.dataset import Dataset
from drivetrain.data.facts import Facts
from drivetrain.data.read_record import Record
from drivetrain.data.split import stratified_choice
from drivetrain.data.table import build_table
from drivetrain.errors import DataError, DataNotFoundError, OptionError
from drivetrain.types import Task


def labelled(counts: list[int], subset: str = "train") -> Dataset:
    records = [
        Record(f"/d/{label}/{index:03}.png", subset, (4, 4), labels=[label])
        for label, count in enumerate(counts)
        for index in range(count)
    ]
    return Dataset(build_table(records), Facts(tuple(f"c{i}" for i in range(len(counts))), Task.CLASSIFICATION))


def test_every_label_has_its_share():
    data = labelled([100, 50, 10]).split(seed=1)
    assert data.subsets == {"train": 128, "val": 16, "test": 16}
    assert data.subset("val").class_counts() == {"c0": 10, "c1": 5, "c2": 1}
    assert data.subset("test").class_counts() == {"c0": 10, "c1": 5, "c2": 1}


def test_many_small_labels_still_fill_val_and_stay_in_training():
    data = labelled([3] * 40).split(seed=3)
    assert data.subsets == {"train": 96, "val": 12, "test": 12}
    assert min(data.subset("train").class_counts().values()) >= 1


def test_a_label_with_one_image_stays_in_training():
    for seed in range(20):
        data = labelled([1, 1, 1, 30]).split(0.5, 0.25, 0.25, seed=seed)
        counts = data.subset("train").class_counts()
        assert (counts["c0"], counts["c1"], counts["c2"]) == (1, 1, 1)


def test_the_seed_decides_and_the_order_does_not():
    data = labelled([30, 20])
    assert data.split(seed=1).table.equals(data.split(seed=1).table)
    assert not data.split(seed=1).table.equals(data.split(seed=2).table)
    mixed = data.select(np.random.default_rng(0).permutation(50))
    assert set(mixed.split(seed=5).subset("val").paths) == set(data.split(seed=5).subset("val").paths)


def test_split_is_the_same_in_another_process():
    code = (
        "from drivetrain.data.split import stratified_choice as s; import numpy as np;"
        "print(np.flatnonzero(s([0]*20+[1]*9, [str(i) for i in range(29)], 0.3, 7)).tolist())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    here = stratified_choice([0] * 20 + [1] * 9, [str(i) for i in range(29)], 0.3, 7)
    assert found == str(np.flatnonzero(here).tolist())


@pytest.mark.parametrize("shares", [(0.8, 0.3, 0.1), (1.2, -0.1, -0.1), (0.5, 0.1, 0.1)])
def test_shares_must_add_up(shares):
    with pytest.raises(OptionError, match="add up to 1"):
        labelled([10, 10]).split(*shares)


def test_share_of_nothing_and_of_everything():
    assert labelled([10, 10]).split(0, 0, 1).subsets == {"test": 20}
    assert labelled([10, 10]).split(1, 0, 0).subsets == {"train": 20}
    assert labelled([10, 10]).split(0, 0.5, 0.5).subsets == {"val": 10, "test": 10}


def test_with_splits_makes_only_what_is_missing():
    train, test = labelled([40, 40]), labelled([5, 5], "test")
    made = train.with_splits()
    assert made.subsets == {"train": 64, "val": 8, "test": 8}
    assert "no val or test subset" in made.notes[-2]
    joined = Dataset(__import__("pyarrow").concat_tables([train.table, test.table]), train.facts)
    kept = joined.with_splits()
    assert kept.subsets == {"train": 72, "val": 8, "test": 10}
    assert set(kept.subset("test").paths) == set(test.paths)
    assert "no val subset: train was split by seed 0 into 72 train, 8 val" in kept.notes[-2]
    assert kept.with_splits() is kept


def test_with_splits_warns_of_subsets_too_small_to_measure_on():
    assert "Few images to measure on: val has 8 and test has 8, so" in labelled([40, 40]).with_splits().notes[-1]
    large = labelled([100, 100]).with_splits()
    assert large.subsets == {"train": 160, "val": 20, "test": 20}
    assert not any("Few images" in note for note in large.notes)


def test_with_splits_needs_training_images():
    with pytest.raises(DataError, match="no training images; its subsets are: test"):
        labelled([5, 5], "test").with_splits()


def test_rarest_label_decides_for_objects():
    records = [
        Record(f"/d/{i}.png", "train", (9, 9), i, boxes=[0, 0, 1, 1] * 2, box_labels=[0, 1 if i < 10 else 0])
        for i in range(100)
    ]
    data = Dataset(build_table(records), Facts(("often", "rare"), Task.DETECTION)).split(0.8, 0.1, 0.1)
    assert data.subset("val").class_counts()["rare"] == 1
    assert data.subset("test").class_counts()["rare"] == 1


def test_unknown_subset_and_position():
    data = labelled([3, 3])
    with pytest.raises(DataError, match=r"subset='trian' is not in this data set\. Did you mean 'train'"):
        data.subset("trian")
    with pytest.raises(IndexError):
        data[6]
    with pytest.raises(IndexError):
        data.select([6])
    assert data[-1].path == "/d/1/002.png"
    assert data.select([-1, 0]).paths == ("/d/1/002.png", "/d/0/000.png")
    assert len(data.select([])) == 0


def test_columns_of_a_selection_with_empty_and_missing_lists(tmp_path):
    rle = {"size": [9, 9], "counts": "0Q2"}
    records = [
        Record("/a", "train", (9, 9), 0),
        Record("/b", "val", (9, 9), 1, boxes=[], box_labels=[], polygons=[], rles=[], keypoints=[], iscrowd=[]),
        Record(
            "/c", "val", (9, 9), 2, labels=[1, 0], boxes=[1, 2, 3, 4, 0, 0, 9, 9], box_labels=[1, 0],
            polygons=[[[1, 2, 3, 2, 3, 4], [5, 5, 6, 5, 6, 6]], []], rles=[None, rle],
            keypoints=[[1, 2, 2, 0, 0, 0], [3, 4, 1, 5, 6, 2]], area=[2.5, 81], iscrowd=[False, True],
            mask_path="/m", anomalous=True,
        ),
    ]  # fmt: skip
    facts = Facts(("x", "y"), Task.KEYPOINT_DETECTION, keypoint_names=("p", "q"))
    data = Dataset(build_table(records), facts)
    for part in (data.select([2, 1, 0]), Dataset.load(data.save(tmp_path / "d.arrow")).select([2, 1, 0])):
        full, empty, none = part
        assert full.boxes.tolist() == [[1, 2, 3, 4], [0, 0, 9, 9]]
        assert [[ring.shape for ring in rings] for rings in full.polygons] == [[(3, 2), (3, 2)], []]
        assert full.rles == (None, rle)
        assert full.keypoints.shape == (2, 2, 3)
        assert full.keypoints[1, 1].tolist() == [5, 6, 2]
        assert full.area.tolist() == [2.5, 81]
        assert full.iscrowd.tolist() == [False, True]
        assert (full.mask_path, full.anomalous, full.labels.tolist()) == ("/m", True, [1, 0])
        assert (empty.boxes.shape, empty.polygons, empty.rles, empty.keypoints.shape) == ((0, 4), (), (), (0, 2, 3))
        assert (none.boxes, none.polygons, none.rles, none.keypoints, none.iscrowd) == (None,) * 5
        assert part.object_counts.tolist() == [2, 0, -1]
        assert part.label_matrix.tolist() == [[True, True], [False, False], [False, False]]
        assert part[0].boxes.tolist() == full.boxes.tolist()


def test_saved_file(tmp_path):
    data = labelled([3, 3]).with_notes("hello")
    loaded = Dataset.load(data.save(tmp_path / "x" / "d.arrow"))
    assert loaded.table.equals(data.table)
    assert loaded.facts == data.facts
    with pytest.raises(DataNotFoundError):
        Dataset.load(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"bad")
    with pytest.raises(DataError, match="not a data set saved by drivetrain"):
        Dataset.load(tmp_path / "bad")
