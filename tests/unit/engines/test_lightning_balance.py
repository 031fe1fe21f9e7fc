"""A class that is fifty times rarer is found by a balanced training, and missed by a plain one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivetrain import Engine
from drivetrain.errors import UnsupportedOptionError

SMALL: dict[str, Any] = {"image_size": 32, "batch_size": 16, "num_workers": 0, "learning_rate": 1e-3}


def draw(folder: Path, count: int, *, dot: bool, seed: int) -> None:
    """Grey noise; the rare class has a lighter square somewhere, which is not far from the noise."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        pixels = random.normal(110, 30, (32, 32, 3))
        if dot:
            row, column = random.integers(0, 20, 2)
            pixels[row : row + 12, column : column + 12] += 30
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rare") / "data"
    for number, (subset, common, few) in enumerate((("train", 300, 6), ("val", 40, 10), ("test", 40, 40))):
        draw(root / subset / "common", common, dot=False, seed=2 * number)
        draw(root / subset / "rare", few, dot=True, seed=2 * number + 1)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("balanced", [{"class_weights": "balanced"}, {"sampler": "balanced"}])
def test_a_rare_class_is_found(rare: Path, tmp_path: Path, balanced: dict[str, Any]) -> None:
    recall = {}
    for name, options in (("plain", {}), ("balanced", balanced)):
        engine = Engine("timm:resnet10t", rare, work_dir=tmp_path / name)
        engine.train(6, metric="val/f1" if options else "val/loss", **SMALL, **options)
        answers = engine.predict()
        truth = engine.dataset.subset("test").image_labels
        found = np.array([item.labels[0] for item in answers if item.labels is not None])
        recall[name] = float((found[truth == 1] == 1).mean())
        correct = float((found[truth == 0] == 0).mean())
        assert correct > 0.6, f"{name} calls everything rare"
    assert recall["plain"] < 0.3
    assert recall["balanced"] > 0.7


@pytest.mark.slow
def test_the_order_of_a_balanced_epoch_is_even_and_repeatable(rare: Path, tmp_path: Path) -> None:
    """The record says what was used; the same seed gives the same losses."""
    losses = []
    for name in ("one", "two"):
        engine = Engine("timm:mobilenetv3_small_050", rare, work_dir=tmp_path / name)
        result = engine.train(1, **SMALL, sampler="balanced")
        losses.append(result.history[0].metrics["train/loss"])
        record = json.loads((tmp_path / name / "run.json").read_text(encoding="utf-8"))
        assert record["options"]["sampler"] == record["effective_options"]["sampler"] == "balanced"
    assert losses[0] == losses[1]


def test_weights_for_loaders_of_your_own_are_refused(tmp_path: Path) -> None:
    from torch.utils.data import DataLoader

    loader: Any = DataLoader([])  # type: ignore[arg-type]  # never read
    engine = Engine("timm:mobilenetv3_small_050", {"train": loader}, work_dir=tmp_path, task="classification")
    with pytest.raises(UnsupportedOptionError, match="class_weights='balanced' cannot be honoured: your own"):
        engine.train(1, class_weights="balanced")
