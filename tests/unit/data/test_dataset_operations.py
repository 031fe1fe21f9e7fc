"""Filter, select, sample, split, fold, merge and remap: on the columns, and without touching a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import Image

from drivetrain import load_dataset
from drivetrain.data.dataset import Dataset
from drivetrain.data.facts import Facts
from drivetrain.data.label_pairs import label_pairs
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.errors import DataError, OptionError
from drivetrain.testing import data as toy
from drivetrain.types import Task

NAMES = ("cat", "dog", "emu")


def pictures(labels: list[list[int]], task: Task = Task.CLASSIFICATION, **facts: object) -> Dataset:
    records = [
        Record(f"/d/line{i % 4}/{i:03}.png", "train", (10 + i, 20), i, labels=list(row)) for i, row in enumerate(labels)
    ]
    return Dataset(build_table(records), Facts(NAMES, task, "d", root="/d", fingerprint="f", **facts))  # type: ignore[arg-type]


def objects(rows: list[list[int]], names: tuple[str, ...] = NAMES) -> Dataset:
    """Boxes 10 pixels wide at 0, 10, 20, ..., with everything that an object can have."""
    records = []
    for i, row in enumerate(rows):
        boxes = [value for n in range(len(row)) for value in (10 * n, 0, 10 * n + 10, 10)]
        records.append(
            Record(
                f"/d/{i:03}.png",
                "train",
                (30, 60),
                i,
                boxes=boxes,
                box_labels=list(row),
                polygons=[[[10.0 * n, 0, 10 * n + 10, 0, 10 * n, 10]] for n in range(len(row))],
                keypoints=[[float(n), 1, 2] for n in range(len(row))],
                area=[float(n) for n in range(len(row))],
                iscrowd=[n == 1 for n in range(len(row))],
            )
        )
    facts = Facts(names, Task.DETECTION, "d", root="/d", fingerprint="f", keypoint_names=("nose",))
    return Dataset(build_table(records), facts)


# --- filter, select, sample


def test_filter_by_label_keeps_images_with_it_and_all_that_is_on_them() -> None:
    data = objects([[0, 1], [1], [2], []]).filter(labels="dog")
    assert data.paths == ("/d/000.png", "/d/001.png")
    assert data[0].box_labels.tolist() == [0, 1]
    assert data.label_names == NAMES


def test_filter_by_subset_size_path_and_condition() -> None:
    data = pictures([[i % 3] for i in range(12)]).split(0.5, 0.25, 0.25)
    assert set(data.filter(subsets=["val", "test"]).subset_names) == {"val", "test"}
    assert data.filter(min_size=15).sizes[:, 0].min() == 15
    assert data.filter(max_size=(15, 100)).sizes[:, 0].max() == 15
    assert len(data.filter(path="line1/*")) == 3
    assert len(data.filter(where=pc.field("height") >= 20)) == 2
    assert len(data.filter(where=lambda d: d.image_labels == 2, path="line2/*")) == 1


def test_what_filter_does_not_know_is_refused_with_the_nearest() -> None:
    data = pictures([[0], [1]])
    with pytest.raises(DataError, match=r"labels: 'cta' is not in this data set. Did you mean 'cat'"):
        data.filter(labels="cta")
    with pytest.raises(DataError, match="subsets: 'valid' is not in this data set"):
        data.filter(subsets="valid")
    with pytest.raises(OptionError, match="The columns are: path, height"):
        data.filter(where=pc.field("hight") > 3)
    with pytest.raises(OptionError, match="True or False for each of the 2 images"):
        data.filter(where=[1, 2, 3])


def test_select_takes_paths_as_they_are_or_below_the_root() -> None:
    data = pictures([[0], [1], [2]])
    assert data.select(["line2/002.png", "/d/line0/000.png"]).image_labels.tolist() == [2, 0]
    assert data.select([-1]).image_labels.tolist() == [2]
    with pytest.raises(DataError, match=r"'line2/02.png' is not in this data set of 3 images"):
        data.select(["line2/02.png"])


def test_sample_takes_each_label_of_each_subset_in_its_share() -> None:
    data = pictures([[0]] * 60 + [[1]] * 30 + [[2]] * 10)
    part = data.sample(0.2, seed=3)
    assert part.class_counts() == {"cat": 12, "dog": 6, "emu": 2}
    assert len(data.sample(7)) == 7
    assert part.image_ids.tolist() == sorted(part.image_ids.tolist())
    mixed = data.select(np.random.default_rng(0).permutation(100))
    assert set(mixed.sample(0.2, seed=3).paths) == set(part.paths)
    assert len(data.sample(1.0)) == 100


@pytest.mark.parametrize("size", [0, -1, 101, 1.5, True, "a few"])
def test_a_sample_that_there_cannot_be_is_refused(size: object) -> None:
    with pytest.raises(OptionError, match="size="):
        pictures([[0]] * 100).sample(size)  # type: ignore[arg-type]


# --- split


def test_several_labels_each_get_their_share() -> None:
    random = np.random.default_rng(0)
    rows = [np.flatnonzero(random.random(3) < (0.6, 0.3, 0.1)).tolist() or [0] for _ in range(400)]
    data = pictures(rows, Task.MULTILABEL_CLASSIFICATION)
    divided = data.split(0.7, 0.2, 0.1, seed=1)
    assert divided.subsets == {"train": 280, "val": 80, "test": 40}
    for number in range(3):
        whole = data.label_matrix[:, number].sum()
        for name, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
            assert abs(divided.subset(name).label_matrix[:, number].sum() - share * whole) <= 1.5


def test_the_labels_of_objects_each_get_their_share() -> None:
    random = np.random.default_rng(1)
    rows = [random.choice(3, random.integers(0, 5), p=[0.7, 0.25, 0.05]).tolist() for _ in range(300)]
    data = objects(rows)
    val = data.split(0.8, 0.2, 0, seed=2).subset("val")
    whole = np.bincount(label_pairs(data)[1], minlength=3)
    assert np.abs(np.bincount(label_pairs(val)[1], minlength=3) - 0.2 * whole).max() <= 2


def test_groups_stay_whole_and_the_shares_are_nearly_met() -> None:
    records = [Record(f"/d/patient{i // 5:02}_{i}.png", "train", (4, 4), i, labels=[(i // 5) % 2]) for i in range(200)]
    data = Dataset(build_table(records), Facts(("ill", "well"), Task.CLASSIFICATION, root="/d"))
    divided = data.split(0.6, 0.2, 0.2, group=r"patient(\d+)")
    assert divided.subsets == {"train": 120, "val": 40, "test": 40}
    patients = np.array([Path(path).name[:9] for path in divided.paths])
    for patient in np.unique(patients):
        assert len(set(divided.subset_names[patients == patient])) == 1
    assert divided.subset("val").class_counts() == {"ill": 20, "well": 20}
    again = data.split(0.6, 0.2, 0.2, group=lambda path: Path(path).name[:9])
    assert (again.subset_names == divided.subset_names).all()
    assert "40 groups whole" in divided.notes[-1]


def test_a_group_that_does_not_fit_is_refused() -> None:
    data = pictures([[0], [1]])
    with pytest.raises(DataError, match=r"group='x' does not match '/line0/000.png'"):
        data.split(group="x")
    with pytest.raises(OptionError, match=r"not a regular expression"):
        data.split(group="(")
    with pytest.raises(OptionError, match="column of lists"):
        data.split(group="labels")
    with pytest.raises(OptionError, match="one for each of the 2 images"):
        data.split(group=[1, 2, 3])


def test_each_image_is_validated_once_over_the_folds() -> None:
    data = pictures([[i % 3] for i in range(60)])
    folds = data.k_fold(4, seed=1)
    assert [len(val) for _, val in folds] == [15] * 4
    assert sorted(path for _, val in folds for path in val.paths) == sorted(data.paths)
    for train, val in folds:
        assert not set(train.paths) & set(val.paths)
        assert val.class_counts() == {"cat": 5, "dog": 5, "emu": 5}
        assert train.merge(val).subsets == {"train": 45, "val": 15}


def test_folds_leave_out_test_and_keep_groups() -> None:
    data = pictures([[i % 3] for i in range(60)]).split(0.8, 0, 0.2)
    for train, val in data.k_fold(3, group="line."):
        assert len(train) + len(val) == 48
        assert not {Path(p).parent for p in train.paths} & {Path(p).parent for p in val.paths}
    with pytest.raises(OptionError, match="folds=5: there are 4 groups; give 2 to 4"):
        data.k_fold(5, group="line.")


def test_anomalies_are_validated_on_and_never_trained_on() -> None:
    records = [
        Record(f"/d/{i:02}.png", "train", (4, 4), i, labels=[0 if i < 20 else 1], anomalous=i >= 20) for i in range(30)
    ]
    data = Dataset(build_table(records), Facts(("good", "bad"), Task.ANOMALY, root="/d"))
    for train, val in data.k_fold(2):
        assert (train.anomalous == 0).all()
        assert (val.anomalous == 1).sum() == 5
    grouped = data.split(0.5, 0.25, 0.25, group=lambda path: int(Path(path).stem) % 10)
    assert "train" not in grouped.subsets, "every group has an anomaly"


# --- merge


def test_labels_are_matched_by_name_and_images_get_ids_of_their_own() -> None:
    first = objects([[0], [1]])
    records = [Record("/e/0.png", "val", (30, 60), 0, boxes=[0, 0, 5, 5], box_labels=[0], keypoints=[[0, 0, 0]])]
    second = Dataset(
        build_table(records), Facts(("dog",), Task.DETECTION, "e", root="/e", fingerprint="g", keypoint_names=("nose",))
    )
    both = first.merge(second)
    assert both.label_names == NAMES
    assert [sample.box_labels.tolist() for sample in both] == [[0], [1], [1]]
    assert both.subsets == {"train": 2, "val": 1}
    assert both.image_ids.tolist() == [0, 1, 2]
    assert both.root == Path("/")
    assert both.source == "d + e"
    assert both.fingerprint != first.merge(second.remap({"dog": "cow"})).fingerprint


def test_what_is_in_both_is_taken_once_and_spellings_are_told() -> None:
    data = pictures([[0], [1]])
    both = data.merge(data)
    assert len(both) == 2
    assert "2 images are in several of the merged data sets" in both.notes[-1]
    spelled = data.merge(data.remap({"cat": "Cat"}).filter(subsets="train"))
    assert "'cat' and 'Cat'. Merge them with remap" in spelled.notes[-1]


def test_sets_of_other_tasks_are_not_merged() -> None:
    with pytest.raises(DataError, match="d is for classification and d for detection"):
        pictures([[0]]).merge(objects([[0]]))


# --- remap


def test_labels_are_renamed_and_joined() -> None:
    data = objects([[0, 1, 2], [2]]).remap({"dog": "pet", "cat": "pet"})
    assert data.label_names == ("pet", "emu")
    assert [sample.box_labels.tolist() for sample in data] == [[0, 0, 1], [1]]


def test_a_dropped_label_takes_its_objects_along_and_leaves_the_image() -> None:
    data = objects([[0, 1, 2], [1], []]).remap({"dog": None})
    assert data.label_names == ("cat", "emu")
    first = data[0]
    assert first.box_labels.tolist() == [0, 1]
    assert first.boxes[:, 0].tolist() == [0, 20]
    assert [ring[0, 0] for (ring,) in first.polygons] == [0, 20]
    assert first.keypoints[:, 0, 0].tolist() == [0, 2]
    assert first.area.tolist() == [0, 2]
    assert first.iscrowd.tolist() == [False, False]
    assert [len(sample.boxes) for sample in data] == [2, 0, 0]


def test_images_of_a_classifier_go_with_their_only_label() -> None:
    data = pictures([[0], [1], [2]]).remap({"cat": "cat"}, others="drop")
    assert (data.label_names, data.image_labels.tolist()) == (("cat",), [0])
    assert data.notes[-1] == "2 images were removed with their dropped label."


def test_labels_that_become_one_are_named_once() -> None:
    data = pictures([[0, 1], [1, 2], []], Task.MULTILABEL_CLASSIFICATION).remap({"dog": "cat"})
    assert [sample.labels.tolist() for sample in data] == [[0], [0, 1], []]


def test_class_maps_are_written_again_with_the_new_numbers(tmp_path: Path) -> None:
    data = load_dataset(toy.class_maps(tmp_path), cache=False)
    before = np.array(Image.open(data.mask_paths[0]))
    changed = data.remap({data.label_names[1]: None})
    after = np.array(Image.open(changed.mask_paths[0]))
    assert (after[before == 1] == 255).all()
    assert (after[before == 2] == 1).all()
    assert np.array_equal(np.array(Image.open(data.mask_paths[0])), before), "the files of the data set stay"


def test_what_cannot_be_remapped_is_refused() -> None:
    data = pictures([[0], [1]])
    with pytest.raises(DataError, match="'kat' is not in this data set"):
        data.remap({"kat": "cat"})
    with pytest.raises(DataError, match="No label would be left"):
        data.remap({}, others="drop")
    with pytest.raises(OptionError, match="others='ignore' is not allowed"):
        data.remap({}, others="ignore")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="3 is not a label name"):
        data.remap({"cat": 3})  # type: ignore[dict-item]


def test_a_spelling_of_a_label_of_the_model_is_named() -> None:
    with pytest.raises(DataError, match=r"Is it the model's 'Cat'\? Then rename it: `data.remap\(\{'cat': 'Cat'\}\)`"):
        pictures([[0]]).relabel(["Cat", "dog"])
