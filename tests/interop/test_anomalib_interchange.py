"""Checkpoints can be exchanged between Anomalib and drivetrain, and one artefact works with three clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivetrain import Engine, load
from drivetrain.errors import UnsupportedError
from drivetrain.images.read import read_image
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing.data import mvtec

pytest.importorskip("anomalib")

SIZE = 64


@pytest.fixture(scope="module", autouse=True)
def _offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def category(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mvtec(tmp_path_factory.mktemp("mvtec") / "bottle", train=16, test=6, size=90)


@pytest.fixture(scope="module")
def ours(category: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    args = {"pretrained": False, "layers": ["layer1"], "n_features": 30}
    engine: Any = Engine("Padim", category, work_dir=tmp_path_factory.mktemp("ours") / "run", model_args=args)
    engine.progress = SilentProgress()
    engine.result = engine.train(image_size=SIZE)
    return engine


def padim() -> Any:
    from anomalib.models import Padim

    size = Padim.configure_pre_processor((SIZE, SIZE))
    return Padim(pre_trained=False, layers=["layer1"], n_features=30, pre_processor=size, visualizer=False)


def datamodule(category: Path) -> Any:
    from anomalib.data import MVTecAD

    return MVTecAD(root=category.parent, category=category.name, train_batch_size=8, eval_batch_size=4, num_workers=0)


@pytest.fixture(scope="module")
def theirs(category: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model trained by Anomalib alone: the model, its checkpoint and its metrics."""
    from anomalib.engine import Engine as Upstream

    root = tmp_path_factory.mktemp("theirs")
    model, engine = padim(), Upstream(default_root_dir=root, accelerator="cpu", enable_progress_bar=False)
    engine.fit(model, datamodule=datamodule(category))
    checkpoint = Path(engine.best_model_path or "")
    tester = Upstream(default_root_dir=root / "test", accelerator="cpu", enable_progress_bar=False)
    metrics = tester.test(model, datamodule=datamodule(category), verbose=False)[0]
    return model, checkpoint, metrics


def test_datamodule_of_anomalib_passes_through(category: Path, tmp_path: Path) -> None:
    engine: Any = Engine(padim(), datamodule(category), work_dir=tmp_path / "run")
    engine.progress = SilentProgress()
    engine.train()
    metrics = engine.test()
    assert metrics["image_auroc"] >= 0.9
    assert metrics["image_auroc"] == pytest.approx(metrics["upstream/image_AUROC"], abs=0.03)
    assert metrics["pixel_auroc"] == pytest.approx(metrics["upstream/pixel_AUROC"], abs=0.05)
    assert metrics.count == 12
    artifact = engine.export()
    assert artifact.parity["passed"]
    assert len(artifact.parity["images"]) == 8


def test_model_that_looks_at_no_single_images_is_tested_by_anomalib_alone(
    category: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Video models with Anomalib's datamodules; their own weights are not available here."""
    from drivetrain.engines.anomalib import requirements

    monkeypatch.setitem(requirements.NEEDS, "Padim", requirements.Need(data="video"))
    engine: Any = Engine(padim(), datamodule(category), work_dir=tmp_path / "run")
    engine.progress = SilentProgress()
    engine.train()
    metrics = engine.test()
    assert metrics["upstream/image_AUROC"] >= 0.9
    assert all(name.startswith("upstream/") for name in metrics)
    for refused in (engine.export, lambda: engine.predict(category / "test")):
        with pytest.raises(UnsupportedError, match=r"works on video.*predicts on its datamodules"):
            refused()


def test_checkpoint_of_anomalib_goes_on_here(theirs: Any, category: Path, tmp_path: Path) -> None:
    _, checkpoint, metrics = theirs
    engine: Any = Engine(checkpoint, category, work_dir=tmp_path / "run")
    engine.progress = SilentProgress()
    assert type(engine.model).__name__ == "Padim"
    found = engine.test()
    assert found["image_auroc"] == pytest.approx(float(metrics["image_AUROC"]), abs=0.03)
    assert found["pixel_auroc"] == pytest.approx(float(metrics["pixel_AUROC"]), abs=0.05)


def test_our_checkpoint_opens_in_anomalib(ours: Any, category: Path) -> None:
    from anomalib.data import PredictDataset
    from anomalib.engine import Engine as Upstream
    from anomalib.models import Padim

    model = Padim.load_from_checkpoint(ours.result.last_checkpoint, pre_trained=False, visualizer=False)
    upstream = Upstream(
        default_root_dir=ours.work_dir.parent / "upstream", accelerator="cpu", enable_progress_bar=False
    )
    batches = upstream.predict(model, dataset=PredictDataset(path=category / "test" / "spot"))
    answers = {
        path: float(score) for b in batches for path, score in zip(b.image_path, b.pred_score.ravel(), strict=True)
    }
    for prediction in ours.predict(category / "test" / "spot"):
        assert answers[prediction.path] == pytest.approx(prediction.anomaly_score, abs=5e-3)


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of odd sizes, larger and smaller than the model's input, one of them grey."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("awkward")
    for number, shape in enumerate([(57, 133, 3), (201, 97, 3), (31, 40, 3), (77, 77)]):
        small = Image.fromarray(random.integers(0, 256, (9, 9, *shape[2:]), np.uint8))
        small.resize((shape[1], shape[0]), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return sorted(folder.glob("*.png"))


@pytest.mark.parametrize("kind", ["openvino", "onnx"])
def test_three_clients_agree_on_one_artefact(
    ours: Any, category: Path, awkward: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pytest.importorskip("model_api")
    from anomalib.deploy import OpenVINOInferencer
    from model_api.adapters import OpenvinoAdapter, create_core
    from model_api.models import Model

    artifact = ours.export(kind, name=f"clients-{kind}")
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    predictor = load(artifact.path, precision="f32")
    adapter = OpenvinoAdapter(create_core(), str(artifact.model_path), device="CPU", plugin_config=precise)
    if kind == "openvino":
        model_api = Model.create_model(adapter)
    monkeypatch.chdir(tmp_path)  # the inferencer creates a cache folder in the current one
    inferencer = OpenVINOInferencer(artifact.model_path, device="CPU", config=precise)
    own = {answer.path: answer for answer in ours.predict([str(path) for path in awkward])}
    for path in [*sorted((category / "test").rglob("*.png"))[::4], *awkward]:
        mine = predictor.predict(path)[0]
        upstream = inferencer.predict(read_image(path))
        assert mine.anomaly_map is not None
        assert float(upstream.pred_score.ravel()[0]) == pytest.approx(mine.anomaly_score, abs=1e-4)
        assert bool(upstream.pred_label.ravel()[0]) == (mine.anomaly_score >= 0.5)
        assert upstream.anomaly_map.shape[-2:] == (SIZE, SIZE)
        if path in awkward:
            assert own[str(path)].anomaly_score == pytest.approx(mine.anomaly_score, abs=1e-3)
            assert np.abs(own[str(path)].anomaly_map - mine.anomaly_map).max() < 2e-2
        if kind == "openvino":
            other = model_api(read_image(path))
            assert float(other.pred_score) == pytest.approx(mine.anomaly_score, abs=1e-4)
            assert other.pred_label == str(mine.anomaly_score >= 0.5)
            assert other.anomaly_map.shape == mine.size
            assert np.abs(other.anomaly_map / 255.0 - mine.anomaly_map).max() < 0.02
