"""The rules for task, split, model, sizes, epochs and metric, each on data created for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivetrain import load_dataset
from drivetrain.errors import UnsupportedError
from drivetrain.models.candidate import Candidate
from drivetrain.models.spec import EngineSpec
from drivetrain.recommend import recommend, sizes
from drivetrain.recommend.data_facts import DataFacts, facts_of
from drivetrain.recommend.local_weights import find_weights
from drivetrain.recommend.usage import divide, read
from drivetrain.testing import data as toys
from drivetrain.types import Task

Make = Callable[..., Candidate]
Spec = Callable[..., EngineSpec]
Fill = Callable[..., None]


@pytest.fixture(autouse=True)
def _cache(own_cache: Path) -> None:
    """Data set tables are cached for this test only."""


def facts(**values: Any) -> DataFacts:
    """Facts of 100 training images of 500 px without objects."""
    known: dict[str, Any] = {
        "images": {"train": 100, "val": 20},
        "counts": {"a": 50, "b": 50},
        "held_out": {"a": 10, "b": 10},
        "side": 500,
        "largest_side": 500,
        "small_object": None,
        "objects": 0,
    }
    return DataFacts(**{**known, **values})


# --- the task --------------------------------------------------------------------------------------------------------


def test_few_defects_beside_normal_images_are_anomalies(fill: Fill, tmp_path: Path) -> None:
    fill(tmp_path / "good", 12)
    fill(tmp_path / "defect", 5)
    data, decision = read(tmp_path, None)
    assert (data.task, decision.value) == (Task.ANOMALY, "anomaly")
    assert "'good' names normal images, and the 5 others are fewer than these 12" in decision.reason
    divided, splits = divide(data)
    assert not (divided.subset("train").anomalous == 1).any()
    assert splits.value == [0.8, 0.1, 0.1]


def test_many_defects_beside_few_normal_images_are_a_class(fill: Fill, tmp_path: Path) -> None:
    fill(tmp_path / "good", 3)
    fill(tmp_path / "defect", 9)
    data, decision = read(tmp_path, None)
    assert data.task is Task.CLASSIFICATION
    assert "the 9 defects outnumber the 3 normal images" in decision.reason
    assert "task='anomaly'" in decision.reason


def test_boxes_and_masks_together_say_why_and_what_else_can_be_served(tmp_path: Path) -> None:
    data, decision = read(toys.coco(tmp_path), None)
    assert data.task is Task.INSTANCE_SEGMENTATION
    assert "most of the objects have outlines as well as boxes" in decision.reason
    assert "can also serve multilabel_classification, detection, semantic_segmentation" in decision.reason


def test_a_few_masks_among_many_boxes_leave_it_at_detection(tmp_path: Path) -> None:
    toys.coco(tmp_path)
    for path in (tmp_path / "annotations").glob("*.json"):
        document = json.loads(path.read_text())
        for row in document["annotations"][1:]:
            del row["segmentation"]
        path.write_text(json.dumps(document))
    data, decision = read(tmp_path, None)
    assert data.task is Task.DETECTION
    assert "the objects have boxes; the annotations can also serve" in decision.reason
    assert "instance_segmentation" in decision.reason


# --- the division ----------------------------------------------------------------------------------------------------


def test_more_is_held_out_so_that_every_label_is_validated(fill: Fill, tmp_path: Path) -> None:
    for name, count in {"a": 40, "b": 6}.items():
        fill(tmp_path / name, count)
    divided, decision = divide(load_dataset(tmp_path))
    assert decision.value in ([0.6, 0.2, 0.2], [0.5, 0.25, 0.25])
    assert "so that every label occurs in validation" in decision.reason
    assert all(divided.subset(name).class_counts()["b"] for name in ("train", "val", "test"))
    again = load_dataset(tmp_path, splits=decision.value)
    assert again.subset_names.tolist() == divided.subset_names.tolist()


def test_data_that_are_divided_stay_so(tmp_path: Path) -> None:
    data = load_dataset(toys.class_folders(tmp_path))
    divided, decision = divide(data)
    assert divided is data
    assert decision.reason == "the data are already divided: train 36, val 18, test 18"


def test_a_class_that_validation_lacks_is_a_warning(
    engines: Callable[..., None], candidate: Make, spec: Spec, fill: Fill, tmp_path: Path
) -> None:
    engines(spec("here", candidate()))
    for name, count in {"a": 30, "b": 30, "rare": 1}.items():
        fill(tmp_path / name, count)
    plan = recommend(tmp_path, device="cpu")
    text = "\n".join(plan.warnings)
    assert "No validation image has 'rare', so there is no measure of how well it is learned" in text
    assert "1 of 3 classes have fewer than 10 training examples, such as 'rare' with 1" in text
    assert "The classes are imbalanced by a factor of" in text
    assert "Few images to measure on: val has 6" in text


# --- the model -------------------------------------------------------------------------------------------------------


def test_the_best_that_can_be_trained_in_time_is_chosen(
    engines: Callable[..., None], candidate: Make, spec: Spec, tmp_path: Path
) -> None:
    engines(
        spec(
            "here",
            candidate("here:Quick", quality=0.7),
            candidate("here:Good", quality=0.8),
            candidate("here:Slow", quality=0.99, train_ms=1e6),
        )
    )
    plan = recommend(toys.class_folders(tmp_path), device="cpu")
    assert plan["model"] == "here:Good"
    assert "quality 0.80" in plan.reason("model")
    assert "the best of 2 that can be trained here in 10 minutes (1 would take longer)" in plan.reason("model")


def test_of_models_that_are_about_as_good_the_quickest_is_chosen(
    engines: Callable[..., None], candidate: Make, spec: Spec, tmp_path: Path
) -> None:
    engines(
        spec(
            "here",
            candidate("here:Best", quality=0.95, train_ms=30.0),
            candidate("here:Near", quality=0.94),
            candidate("here:Poor", quality=0.9, train_ms=1.0),
        )
    )
    plan = recommend(toys.class_folders(tmp_path), device="cpu")
    assert plan["model"] == "here:Near"
    assert "close to the best of 3 that can be trained here, and faster to train" in plan.reason("model")


def test_if_all_are_slow_the_quickest_is_chosen_and_the_time_said(
    engines: Callable[..., None], candidate: Make, spec: Spec, tmp_path: Path
) -> None:
    engines(spec("here", candidate("here:Slow", train_ms=1e6), candidate("here:Slower", quality=0.99, train_ms=1e7)))
    plan = recommend(toys.class_folders(tmp_path), device="cpu")
    assert (plan["model"], plan["max_epochs"]) == ("here:Slow", 5)
    assert "with fewer it learns nothing useful; about" in plan.reason("max_epochs")
    assert "hours here for 36 images" in plan.reason("max_epochs")


def test_an_epoch_of_few_images_is_not_said_to_take_no_time(
    engines: Callable[..., None], candidate: Make, spec: Spec, tmp_path: Path
) -> None:
    engines(spec("here", candidate("here:Quick", train_ms=30.0, measured_images=100, epochs=40)))
    plan = recommend(toys.class_folders(tmp_path), device="cpu")
    said = re.search(r"about (\d+) (seconds|minutes) here for 36 images", plan.reason("max_epochs"))
    assert said is not None
    seconds = int(said[1]) * (60 if said[2] == "minutes" else 1)
    assert 1.5 * plan["max_epochs"] * 0.9 <= seconds <= 3 * plan["max_epochs"]


def test_weights_that_are_absent_are_named_and_another_model_is_chosen(
    engines: Callable[..., None], candidate: Make, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = candidate("here:Trained", quality=0.99, weights=("hub:owner/net",))
    engines(spec("here", trained, candidate("here:Fresh", quality=0.8)))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = toys.class_folders(tmp_path / "data")
    plan = recommend(folder, device="cpu")
    assert plan["model"] == "here:Fresh"
    assert "here:Trained with pretrained weights was better (0.99), but they are not on this machine" in plan.reason(
        "model"
    )
    assert "looked for owner/net" in plan.reason("model")
    assert "starts from random weights" in plan.reason("model")
    file = tmp_path / "hub" / "models--owner--net" / "snapshots" / "0" / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.touch()
    plan = recommend(folder, device="cpu")
    assert plan["model"] == "here:Trained"
    assert plan["model_args"] == {"pretrained": str(file)}
    assert "it starts from the weights in model.safetensors" in plan.reason("model")
    refused = recommend(folder, device="cpu", model_args={"pretrained": False})
    assert (refused["model"], refused["model_args"]) == ("here:Fresh", {"pretrained": False})


def test_if_every_model_needs_absent_weights_it_says_which(
    engines: Callable[..., None], candidate: Make, spec: Spec, tmp_path: Path
) -> None:
    engines(spec("here", candidate(weights=("package:no_such_package/*.pth",))))
    with pytest.raises(
        UnsupportedError, match=r"needs pretrained weights that are not on this machine \(no_such_package\)"
    ):
        recommend(toys.class_folders(tmp_path), device="cpu")


def test_weights_are_found_in_each_kind_of_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert find_weights(("here:net.pt", "torch:net-*.pth", "package:drivetrain/no_such_file")) is None
    file = tmp_path / "torch" / "hub" / "checkpoints" / "net-1.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    assert find_weights(("here:net.pt", "torch:net-*.pth")) == file
    (tmp_path / "net.pt").touch()
    assert find_weights(("here:net.pt", "torch:net-*.pth")) == tmp_path / "net.pt"
    found = find_weights(("package:drivetrain/py.typed",))
    assert found is not None
    assert found.name == "py.typed"


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_small_images_are_not_blown_up(candidate: Make) -> None:
    decision, advice = sizes.image_size(facts(side=70), candidate(), on_cpu=True)
    assert (decision.value, advice) == (96, None)
    assert "at most 70 px long" in decision.reason
    assert sizes.image_size(facts(side=28), candidate(), on_cpu=True)[0].value == 64
    assert sizes.image_size(facts(side=4000), candidate(), on_cpu=True)[0].value == 224


def test_small_objects_ask_for_more_pixels_and_tiny_ones_for_tiles(candidate: Make) -> None:
    item = candidate(task=Task.DETECTION, image_size=320)
    decision, advice = sizes.image_size(facts(side=2000, small_object=0.02), item, on_cpu=True)
    assert (decision.value, advice) == (512, None)
    assert "smaller than 40 px in images of 2000 px, so this size shows them with at least 10 px" in decision.reason
    decision, advice = sizes.image_size(facts(side=4000, small_object=0.004), item, on_cpu=True)
    assert decision.value == 640
    assert advice is not None
    assert "they need an image size of 2528 px" in advice
    assert "Training in tiles would help: tile='auto' with models of torchvision and transformers" in advice
    decision, _ = sizes.image_size(facts(side=200, small_object=0.05), item, on_cpu=True)
    assert (decision.value, "no more detail" in decision.reason) == (224, True)
    decision, _ = sizes.image_size(facts(side=2000, small_object=0.3), item, on_cpu=True)
    assert (decision.value, "large enough for the model to see at this size" in decision.reason) == (160, True)
    assert sizes.image_size(facts(side=2000, small_object=0.3), item, on_cpu=False)[0].value == 320


def test_the_batch_leaves_enough_steps_and_fits_in_memory(candidate: Make) -> None:
    item = candidate(memory_mb=10.0)
    assert sizes.batch_size(facts(images={"train": 1000}), item, 112, 10**12).value == 32
    assert sizes.batch_size(facts(images={"train": 40}), item, 112, 10**12).value == 8
    assert sizes.batch_size(facts(images={"train": 150}), item, 112, 10**12).value == 16
    assert sizes.batch_size(facts(images={"train": 3}), item, 112, 10**12).value == 2
    assert sizes.batch_size(facts(images={"train": 1}), item, 112, 10**12).value == 1
    tight = sizes.batch_size(facts(images={"train": 1000}), item, 224, 400_000_000)
    assert tight.value == 4  # 40 MB an image at twice the side, and half of 400 MB to take
    assert "more than half of the free memory (0.4 GB)" in tight.reason


def test_epochs_follow_the_time_and_the_number_of_steps(candidate: Make) -> None:
    item = candidate()
    assert sizes.epochs(facts(), item, 1.0, steps=50, on_cpu=True).value == 20
    cut = sizes.epochs(facts(), item, 60.0, steps=50, on_cpu=True)
    assert cut.value == 10
    assert "what the model needs to learn would be 20, 20 minutes" in cut.reason
    few = sizes.epochs(facts(), item, 0.1, steps=6, on_cpu=True)
    assert few.value == 50
    assert "more than the usual 20, since an epoch of so few images has only 6 steps" in few.reason
    assert sizes.epochs(facts(), item, 60.0, steps=50, on_cpu=False).value == 20
    assert sizes.epochs(facts(), candidate(epochs=1, least_epochs=1), 9.0, steps=1, on_cpu=True).value == 1


def test_the_sizes_of_objects_come_from_the_boxes(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((100, 200, 3), np.uint8)).save(tmp_path / "a.png")
    boxes = [[0, 0, 20, 20], [10, 10, 40, 10]]
    rows = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(boxes)]
    document = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "nut"}],
    }
    (tmp_path / "train.json").write_text(json.dumps(document))
    found = facts_of(load_dataset(tmp_path))
    assert found.objects == 2
    assert found.small_object == pytest.approx(0.1)
    assert (found.side, found.counts) == (200, {"nut": 2})


# --- balance ---------------------------------------------------------------------------------------------------------


def test_uneven_classes_change_the_metric_and_the_weights(
    engines: Callable[..., None], candidate: Make, spec: Spec, fill: Fill, tmp_path: Path
) -> None:
    engines(spec("here", candidate(metrics=("val/accuracy", "val/f1"), balances=True)))
    for name, count in {"common": 60, "rare": 12}.items():
        fill(tmp_path / "uneven" / name, count)
        fill(tmp_path / "even" / name, 20)
    plan = recommend(tmp_path / "uneven", device="cpu")
    assert (plan["metric"], plan["class_weights"]) == ("val/f1", "balanced")
    assert "'rare' is 5 times rarer than the most frequent one" in plan.reason("metric")
    plan = recommend(tmp_path / "even", device="cpu")
    assert plan["metric"] == "val/accuracy"
    assert "class_weights" not in plan
