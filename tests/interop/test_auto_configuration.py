"""``drivetrain train --data FOLDER`` alone, on real engines, and without the required engine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from drivetrain import Engine, UltralyticsEngine
from drivetrain.cli.main import main
from drivetrain.testing import data as toys

SUBSETS = {"train": 8, "val": 4, "test": 4}


def good_and_defect(root: Path) -> Path:
    """Two folders without subsets: smooth pictures, and fewer with a bright square."""
    random = np.random.default_rng(0)
    for name, count in {"good": 16, "defect": 8}.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.normal(90, 6, (64, 64, 3))
            if name == "defect":
                pixels[20:40, 20:40] = 240
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{number}.png")
    return root


def _rewritten(root: Path, change: Callable[[dict[str, object], dict[str, object]], None]) -> Path:
    for path in (root / "annotations").glob("*.json"):
        document = json.loads(path.read_text())
        for row in document["annotations"]:
            change(document["categories"][row["category_id"] - 1], row)
        path.write_text(json.dumps(document))
    return root


def boxes(root: Path) -> Path:
    """COCO with boxes only."""
    return _rewritten(toys.coco(root, subsets=SUBSETS), lambda _, row: row.pop("segmentation"))


def keypoints(root: Path) -> Path:
    """COCO with the upper left and the lower right corner of each object as its keypoints."""

    def change(category: dict[str, object], row: dict[str, object]) -> None:
        category.update(keypoints=["upper_left", "lower_right"], skeleton=[])
        x, y, w, h = row["bbox"]
        row.update(keypoints=[x, y, 2, x + w, y + h, 2], num_keypoints=2)
        del row["segmentation"]

    return _rewritten(toys.coco(root, subsets=SUBSETS), change)


def maps(root: Path) -> Path:
    """VOC with class maps."""
    return toys.class_maps(root, subsets=SUBSETS)


@pytest.mark.slow  # trains
def test_a_class_folder_with_nothing_else_and_its_config_again(tmp_path: Path, capsys) -> None:
    folder = toys.class_folders(tmp_path / "flowers", subsets={"train": 10, "val": 6, "test": 6})
    run = tmp_path / "run"
    assert main(["train", "--data", str(folder), "--work_dir", str(run)]) == 0
    record = json.loads((run / "run.json").read_text())
    assert (record["engine"], record["task"], record["status"]) == ("lightning", "classification", "finished")
    assert "each image has one label" in capsys.readouterr().err
    assert record["metrics"]["val/accuracy"] > 0.8
    again = tmp_path / "again"
    assert main(["train", "--config", str(run / "config.yaml"), "--work_dir", str(again)]) == 0
    assert json.loads((again / "run.json").read_text())["metrics"] == record["metrics"]


@pytest.mark.slow  # trains
def test_a_good_and_a_defect_folder_with_nothing_else(tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    assert main(["train", "--data", str(good_and_defect(tmp_path / "bottles")), "--work_dir", str(run)]) == 0
    error = capsys.readouterr().err
    assert "'good' names normal images, and the 8 others are fewer than these 16" in error
    record = json.loads((run / "run.json").read_text())
    assert (record["engine"], record["task"], record["status"]) == ("anomalib", "anomaly", "finished")
    assert main(["test", "--model", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"]["image_auroc"] > 0.9


@pytest.mark.slow  # trains
@pytest.mark.parametrize(
    ("make", "task", "why"),
    [
        (boxes, "detection", "the objects have boxes"),
        (maps, "semantic_segmentation", "the images have class maps"),
        (keypoints, "keypoint_detection", "the objects have keypoints"),
        (lambda root: toys.coco(root, subsets=SUBSETS), "instance_segmentation", "outlines as well as boxes"),
    ],
)
def test_annotated_objects_go_to_ultralytics(
    make: Callable[[Path], Path], task: str, why: str, tmp_path: Path, capsys
) -> None:
    pytest.importorskip("ultralytics")
    run, folder = tmp_path / "run", make(tmp_path / "data")
    assert isinstance(Engine(None, folder), UltralyticsEngine)
    assert main(["train", "--data", str(folder), "--work_dir", str(run), "--max_epochs", "2"]) == 0
    error = capsys.readouterr().err
    assert why in error
    assert "given; " in error
    record = json.loads((run / "run.json").read_text())
    assert (record["engine"], record["task"], record["status"]) == ("ultralytics", task, "finished")
    used = record["effective_options"]
    planned = {row["name"]: row["value"] for row in record["plan"]["decisions"]}
    assert {name: used[name] for name in ("max_epochs", "batch_size", "image_size", "patience")} == {
        name: planned[name] for name in ("max_epochs", "batch_size", "image_size", "patience")
    }
    assert yaml.safe_load((run / "config.yaml").read_text())["model"].startswith("ultralytics:")


@pytest.mark.slow  # trains
def test_the_weights_of_rare_classes_reach_the_trainer(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics")
    folder = boxes(tmp_path / "data")
    for path in (folder / "annotations").glob("*.json"):
        document = json.loads(path.read_text())
        for row in document["annotations"]:
            row["category_id"] = 2 if row["id"] == 1 else 1
        path.write_text(json.dumps(document))
    run = tmp_path / "run"
    assert main(["train", "--data", str(folder), "--work_dir", str(run), "--max_epochs", "1"]) == 0
    record = json.loads((run / "run.json").read_text())
    chosen = {row["name"]: row for row in record["plan"]["decisions"]}["class_weights"]
    assert chosen["value"] == "balanced"
    assert "'square' is 17 times rarer" in chosen["reason"]
    used = record["effective_options"]["class_weights"]
    assert used["square"] / used["circle"] == pytest.approx(17)


WITHOUT = """
import sys
sys.modules["ultralytics"] = None
from drivetrain.cli.main import main
sys.exit(main(["train", "--data", sys.argv[1], "--work_dir", sys.argv[2]]))
"""


@pytest.mark.parametrize(
    ("make", "task", "instead"),
    [
        (boxes, "detection", "--task multilabel_classification"),
        (maps, "semantic_segmentation", ""),
        (keypoints, "keypoint_detection", "--task multilabel_classification"),
    ],
)
def test_without_the_extra_it_says_what_to_install_or_choose(
    make: Callable[[Path], Path], task: str, instead: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", WITHOUT, str(make(tmp_path / "data")), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert f"The task is {task}, and no installed engine has a model for it." in done.stderr
    assert 'Install one: pip install "drivetrain[ultralytics]"' in done.stderr
    assert "AGPL-3.0" in done.stderr
    assert instead in done.stderr
    assert "Or choose a model yourself" in done.stderr
    assert not (tmp_path / "run").exists()
