"""Detectors of three frameworks on the shapes data, each in INT8 too: one table, and one page with the front."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from drivetrain import Comparison, compare
from drivetrain.testing import data
from drivetrain.types import Task

pytestmark = pytest.mark.slow

MODELS = ("rfdetr-nano", "torchvision:ssdlite320_mobilenet_v3_large", "yolo11n")
SUBSETS = {"train": 48, "val": 16, "test": 12}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    root = tmp_path_factory.mktemp("detectors")
    folder = data.coco(root / "shapes", subsets=SUBSETS)
    return compare(
        MODELS,
        folder,
        task="detection",
        max_epochs=2,
        image_size=64,
        seed=0,
        optimize=True,
        work_dir=root / "all",
        timing_seconds=0.3,
    )


def test_each_detector_has_a_row_and_one_in_int8(comparison: Comparison) -> None:
    assert comparison.task is Task.DETECTION
    assert [row.name for row in comparison.models] == [name for model in MODELS for name in (model, f"{model} int8")]
    assert [(row.name, row.error) for row in comparison.models[::2] if row.state != "finished"] == []
    assert [row.engine for row in comparison.models[::2]] == ["rfdetr", "lightning", "ultralytics"]
    for row in comparison.models:
        if row.state != "finished":
            assert "costs too much" in row.error or "full precision" in row.error, "only a drop keeps one from INT8"
            continue
        assert math.isfinite(row.metrics["map"])
        assert row.latency_ms is not None
        assert set(row.per_class["map"]) == {"circle", "square"}
        assert ("int8" in row.precision) == row.name.endswith(" int8")
    smaller = [
        (full.model_bytes, light.model_bytes)
        for full, light in zip(comparison.models[::2], comparison.models[1::2], strict=True)
        if light.state == "finished"
    ]
    assert smaller, "none was made lighter"
    assert all(before > 1.5 * after for before, after in smaller)


def test_the_page_has_the_front_classes_sizes_and_the_worst_images(comparison: Comparison) -> None:
    page = comparison.report.read_text(encoding="utf-8")
    assert comparison.front
    for text in ("Accuracy against latency", "By class: map", "By size of the objects: map", "Answered worst"):
        assert f"<h2>{text}</h2>" in page
    assert page.count("data:image/jpeg;base64,") >= 3 * (1 + len(MODELS))
    for row in comparison.models:
        assert row.name in page.replace("<wbr/>", "")
    assert Path(comparison.report).stat().st_size < 8_000_000
