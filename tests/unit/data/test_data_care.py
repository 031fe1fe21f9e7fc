"""What is planted in pictures and labels is found, and what is sound is left alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drivetrain import load_dataset
from drivetrain.data.care.duplicates import groups_of, near_hashes
from drivetrain.data.care.examine import examine
from drivetrain.data.care.label_errors import doubted, doubted_sets, outvoted, votes_of
from drivetrain.data.care.neighbours import nearest, reduced
from drivetrain.data.care.object_errors import object_errors
from drivetrain.data.dataset import Dataset
from drivetrain.errors import OptionError
from drivetrain.testing import data as toy
from drivetrain.types import Prediction, Predictions, Sample, Task

Colours = Callable[..., Path]


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    return toy.class_folders(tmp_path / "colours", subsets={"train": 12, "val": 4})


def read(root: Path, **options: object) -> Dataset:
    return load_dataset(root, cache=False, **options)  # type: ignore[arg-type]


def test_sound_pictures_have_no_findings(colours: Path) -> None:
    findings = examine(read(colours))
    assert list(findings) == []
    assert set(findings.methods) == {"annotations", "copies", "odd pictures", "outliers", "labels"}
    assert "without trained weights" in findings.methods["labels"]


# --- copies and leaks


def test_copies_are_told_apart_by_file_pixels_and_look(colours: Path) -> None:
    folder = colours / "train" / "blue"
    shutil.copy(folder / "0.png", folder / "same_file.png")
    Image.open(folder / "1.png").save(folder / "same_pixels.bmp")
    Image.open(folder / "2.png").resize((50, 50), Image.Resampling.BICUBIC).save(folder / "same_look.png")
    found = examine(read(colours))
    pairs = {Path(item.path).name: Path(item.others[0]).name for item in found.of_kind("exact_duplicate")}
    assert pairs == {"same_file.png": "0.png", "same_pixels.bmp": "1.png"}
    assert [Path(path).name for path in found.paths("near_duplicate")] == ["same_look.png"]
    assert found.of_kind("leak") == ()


def test_copies_are_found_beside_the_same_picture_in_another_colour(tmp_path: Path) -> None:
    spot = np.zeros((24, 24, 3), np.uint8)
    spot[4:9, 10:20] = 255
    for name, tint in (("a", (60, 0, 0)), ("b", (0, 0, 160)), ("c", (0, 0, 160)), ("d", (60, 0, 0))):
        Image.fromarray(np.maximum(spot, np.array(tint, np.uint8))).save(tmp_path / f"{name}.png")
    found = examine(read(tmp_path, format="unannotated"))
    pairs = [{Path(item.path).name, Path(item.others[0]).name} for item in found.of_kind("exact_duplicate")]
    assert pairs == [{"b.png", "c.png"}, {"a.png", "d.png"}]


def test_copies_in_another_subset_are_leaks(colours: Path) -> None:
    shutil.copy(colours / "train" / "red" / "3.png", colours / "val" / "red" / "leak.png")
    (leak,) = examine(read(colours)).of_kind("leak")
    assert (Path(leak.path).name, leak.subset) == ("leak.png", "val")
    assert leak.reason.startswith("An exact copy is in train: ")


def test_a_copy_under_another_label_is_told(colours: Path) -> None:
    shutil.copy(colours / "train" / "red" / "3.png", colours / "train" / "blue" / "copy.png")
    (found,) = examine(read(colours)).of_kind("exact_duplicate")
    assert {found.label, found.suggested_label} == {"red", "blue"}
    assert "under another label" in found.reason


def test_blank_pictures_are_copies_only_of_equal_ones(colours: Path) -> None:
    folder = colours / "train" / "green"
    for name, level in (("a", 90), ("b", 90), ("c", 91)):
        Image.new("RGB", (40, 40), (level,) * 3).save(folder / f"{name}.png")
    found = examine(read(colours))
    assert sorted(Path(path).name for path in found.paths("blank")) == ["a.png", "b.png", "c.png"]
    assert [Path(path).name for path in found.paths("exact_duplicate")] == ["b.png"]
    assert found.of_kind("near_duplicate") == ()


def test_every_pair_of_near_hashes_is_found() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**63, (300, 2)).astype(np.uint64)
    for row in range(0, 300, 3):  # flips 0 to 14 bits
        flipped = hashes[row].copy()
        for bit in random.choice(128, row // 3 % 15, replace=False).tolist():
            flipped[bit // 64] ^= np.uint64(1 << (bit % 64))
        hashes[row + 1] = flipped
    hashes = np.unique(hashes, axis=0)
    different = (np.unpackbits((hashes[:, None] ^ hashes[None]).view(np.uint8), axis=-1)).sum(axis=-1)
    expected = {(a, b) for a, b in zip(*np.nonzero(different <= 7), strict=True) if a < b}
    first, second = near_hashes(hashes)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert len(expected) > 20


def test_pairs_become_groups() -> None:
    assert groups_of(9, np.array([0, 5, 3]), np.array([3, 6, 8])) == [[0, 3, 8], [5, 6]]


# --- odd pictures


def test_odd_pictures_are_named_with_what_is_odd(colours: Path) -> None:
    random = np.random.default_rng(0)
    folder = colours / "train" / "red"

    def save(name: str, pixels: NDArray[np.float64]) -> None:
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)

    save("dark.png", random.normal(12, 6, (32, 32, 3)))
    save("bright.png", random.normal(245, 6, (32, 32, 3)))
    save("wide.png", random.normal(toy.COLOURS["red"], 25, (12, 96, 3)))
    save("large.png", random.normal(toy.COLOURS["red"], 25, (200, 200, 3)))
    save("grey.png", np.repeat(random.normal(120, 25, (32, 32, 1)), 3, axis=2))
    found = examine(read(colours))
    names = {kind: [Path(path).name for path in found.paths(kind)] for kind in found.counts}
    assert names["dark"] == ["dark.png"]
    assert names["bright"] == ["bright.png"]
    assert names["grey"] == ["grey.png"]
    assert names["odd_aspect"] == ["wide.png"]
    assert names["odd_size"] == ["large.png"]
    assert "It is 200 x 200 pixels; usual is about" in found.of_kind("odd_size")[0].reason


def test_what_most_pictures_are_is_not_odd(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(30):
        (tmp_path / "night" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        pixels = random.normal(10, 5, (20, 20)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "night" / "ab"[number % 2] / f"{number}.png")
    found = examine(read(tmp_path / "night"))
    assert not set(found.counts) & {"dark", "grey", "blank"}


def test_a_picture_that_breaks_after_it_was_read_is_unreadable(colours: Path) -> None:
    data = read(colours)
    broken = Path(data.paths[3])
    broken.write_bytes(broken.read_bytes()[:200])
    found = examine(data)
    assert found.paths("unreadable") == [str(broken)]
    assert str(broken) not in found.paths("wrong_label", "outlier", "exact_duplicate")


def test_a_picture_unlike_all_others_is_an_outlier(tmp_path: Path) -> None:
    root = toy.class_folders(tmp_path, subsets={"train": 20})
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = 255
    Image.fromarray(stripes).save(root / "train" / "red" / "stripes.png")
    assert [Path(path).name for path in examine(read(root)).paths("outlier")] == ["stripes.png"]


# --- labels


def test_a_wrong_label_is_found_by_its_neighbours_with_the_right_one(colours: Path) -> None:
    (colours / "train" / "blue" / "5.png").rename(colours / "train" / "red" / "moved.png")
    (found,) = examine(read(colours)).of_kind("wrong_label")
    assert (Path(found.path).name, found.label, found.suggested_label) == ("moved.png", "red", "blue")
    assert found.reason == "Of its nearest neighbours 100% are 'blue' and 0% 'red'."


def test_neighbours_that_do_not_know_the_labels_are_not_asked(colours: Path) -> None:
    data = read(colours)
    random = np.random.default_rng(0)
    found = examine(data, embeddings=random.normal(size=(len(data), 8)).astype(np.float32))
    assert found.of_kind("wrong_label") == ()
    assert "too few to judge by" in found.not_checked["labels"]


def test_given_embeddings_are_used_and_must_be_one_for_each_image(colours: Path) -> None:
    data = read(colours)
    wanted = data.image_labels.copy()
    wanted[7] = (wanted[7] + 1) % 3
    found = examine(data, embeddings=np.eye(3, dtype=np.float32)[wanted])
    assert found.paths("wrong_label") == [data.paths[7]]
    with pytest.raises(OptionError, match="embeddings has 2 rows; it needs one for each of the 48 images"):
        examine(data, embeddings=np.zeros((2, 3), np.float32))


def test_objects_of_a_wrong_label_are_found_by_objects_like_them(tmp_path: Path) -> None:
    data = read(toy.coco(tmp_path, subsets={"train": 40}))
    table = data.table
    labels = table.column("box_labels").to_pylist()
    labels[4][0] = 1 - labels[4][0]
    column = table.schema.get_field_index("box_labels")
    wrong = Dataset(table.set_column(column, table.schema.field(column), [labels]), data.facts)
    (found,) = examine(wrong).of_kind("wrong_label")
    assert (found.path, found.suggested_label) == (data.paths[4], data.label_names[data[4].box_labels[0]])
    assert np.allclose(found.box, data[4].boxes[0])
    assert examine(data).of_kind("wrong_label") == ()


def test_the_nearest_are_those_of_a_plain_search() -> None:
    points = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    found = nearest(points, 5)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert np.array_equal(found.rows, np.argsort(distances, axis=1)[:, :5])
    assert np.allclose(found.distances, np.sort(distances, axis=1)[:, :5], atol=1e-3)
    assert nearest(points[:1], 5).rows.shape == (1, 0)
    wide = np.random.default_rng(1).normal(size=(50, 3)) @ np.random.default_rng(2).normal(size=(3, 100))
    kept = reduced(wide.astype(np.float32))
    assert kept.shape == (50, 64)
    assert np.allclose(np.linalg.norm(kept[0] - kept[1]), np.linalg.norm(wide[0] - wide[1]), rtol=1e-3)


def test_neighbours_without_a_label_do_not_vote() -> None:
    points = np.array([[0.0], [0.1], [0.2], [9.0]], np.float32)
    votes = votes_of(nearest(points, 3), np.array([0, 1, -1, 1]), 2)
    assert votes[0].tolist() == [0, 1]
    assert outvoted(votes, np.array([0, 1, -1, 1])).rows.tolist() == [0]


# --- labels, by a model


def test_the_model_must_reach_its_own_habit_of_a_class_to_speak_against_a_label() -> None:
    labels = np.array([0] * 10 + [1] * 10)
    answers = np.full((20, 2), 0.0, np.float32)
    answers[:10, 0], answers[10:, 1] = 0.9, 0.6
    answers[:, 1] = np.where(labels == 1, 0.6, 0.1)
    answers[:, 0] = 1 - answers[:, 1]
    answers[0] = (0.3, 0.7)  # surer of 1 than it usually is
    answers[10] = (0.6, 0.4)  # less sure of 0 than it usually is
    answers[5] = np.nan
    found = doubted(answers, labels)
    assert (found.rows.tolist(), found.given.tolist(), found.suggested.tolist()) == ([0], [0], [1])


def test_each_of_several_labels_is_judged_by_itself() -> None:
    truth = np.zeros((20, 2), np.bool_)
    truth[:10, 0] = truth[5:15, 1] = True
    answers = np.where(truth, 0.9, 0.1).astype(np.float32)
    answers[12, 0], answers[7, 1] = 0.97, 0.02
    found = doubted_sets(answers, truth)
    assert list(zip(found.rows, found.given, found.suggested, strict=True)) == [(12, -1, 0), (7, 1, -1)]


def answered(data: Dataset, probabilities: NDArray[np.float32]) -> Predictions:
    items = [
        Prediction(path, (8, 8), probabilities=row, label_names=data.label_names)
        for path, row in zip(data.paths, probabilities, strict=True)
    ]
    return Predictions(items, task=data.task, label_names=data.label_names)


def test_images_that_the_model_has_learned_are_judged_by_their_neighbours(colours: Path) -> None:
    (colours / "train" / "blue" / "5.png").rename(colours / "train" / "red" / "moved.png")
    (colours / "val" / "blue" / "0.png").rename(colours / "val" / "green" / "moved.png")
    data = read(colours)
    right = np.array(
        [0 if "moved" in path else label for path, label in zip(data.paths, data.image_labels, strict=True)]
    )
    probabilities = (0.02 + 0.94 * np.eye(3)[right]).astype(np.float32)
    learned = data.subset_names == "train"
    found = examine(data, predictions=answered(data, probabilities), learned=learned)
    reasons = {Path(item.path).parts[-3]: item.reason for item in found.of_kind("wrong_label")}
    assert reasons["train"].startswith("Of its nearest neighbours")
    assert reasons["val"] == "The model gives 'blue' the probability 0.96 and 'green' 0.02."
    assert "The model was trained on 36 of the 48 images" in found.notes[0]


def sample(boxes: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> Sample:
    return Sample(
        "a.png",
        (100, 100),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        box_labels=np.array(labels, np.int64),
        iscrowd=None if crowd is None else np.array(crowd),
    )


def test_a_detector_finds_what_is_missing_spurious_mislabelled_and_off() -> None:
    names = ("cat", "dog")
    good = [[0, 0, 20, 20], [30, 0, 50, 20], [60, 0, 80, 20]]
    answers = Prediction(
        "a.png",
        (100, 100),
        np.array([0, 0, 1, 0, 0, 0], np.int64),
        np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.2], np.float32),
        boxes=np.array([*good, [0, 60, 20, 80], [35, 65, 55, 85], [80, 80, 99, 99]], np.float32),
        label_names=names,
    )
    annotated = sample([*good, [30, 60, 50, 80], [60, 60, 75, 75]], [0, 0, 0, 0, 0])
    extra = Prediction(
        "b.png",
        (100, 100),
        np.array([1, 0], np.int64),
        np.array([0.9, 0.9], np.float32),
        boxes=np.array(good[:2], np.float32),
        label_names=names,
    )
    other = Sample("b.png", (100, 100), boxes=np.array(good[:2], np.float32), box_labels=np.array([1, 0]), iscrowd=None)
    found = list(object_errors({"a.png": annotated, "b.png": other}, [answers, extra], names))
    kinds = {item.kind: item for item in found}
    assert set(kinds) == {"wrong_label", "missing_object", "misplaced_object", "spurious_object"}
    assert (kinds["wrong_label"].box, kinds["wrong_label"].suggested_label) == ((60, 0, 80, 20), "dog")
    assert kinds["missing_object"].box == (0, 60, 20, 80)
    assert kinds["misplaced_object"].box == (30, 60, 50, 80)
    assert kinds["spurious_object"].box == (60, 60, 75, 75)
    assert len(found) == 4


def test_objects_in_a_crowd_are_not_missing() -> None:
    boxes = np.array([[5, 5, 20, 20], [60, 60, 80, 80]], np.float32)
    scores = np.array([0.95, 0.95], np.float32)
    answers = Prediction("a.png", (100, 100), np.zeros(2, np.int64), scores, boxes=boxes, label_names=("cat",))
    annotated = sample([[0, 0, 50, 50], [60, 60, 80, 80]], [0, 0], [True, False])
    assert list(object_errors({"a.png": annotated}, [answers], ("cat",))) == []


def test_anomalies_are_compared_with_the_threshold(tmp_path: Path) -> None:
    data = read(toy.mvtec(tmp_path), task="anomaly")
    scores = np.where(data.anomalous == 1, 0.9, 0.1)
    scores[np.flatnonzero(data.anomalous == 1)[0]] = 0.2
    items = [Prediction(p, (8, 8), anomaly_score=float(s)) for p, s in zip(data.paths, scores, strict=True)]
    found = examine(data, predictions=Predictions(items, task=Task.ANOMALY, label_names=()))
    (wrong,) = found.of_kind("wrong_label")
    assert wrong.reason == "The model calls it normal (score 0.20), the data anomalous."
    assert "need the answers of a model" in examine(data).not_checked["labels"]
