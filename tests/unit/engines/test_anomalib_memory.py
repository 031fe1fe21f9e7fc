"""Memory banks are compared in pieces that fit into memory, with unchanged results."""
# ruff: noqa: TID253 - what is tested replaces methods of these classes

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("anomalib")

from anomalib.models.components import KCenterGreedy  # noqa: E402
from anomalib.models.image.anomaly_dino.torch_model import AnomalyDINOModel  # noqa: E402
from anomalib.models.image.patchcore.torch_model import PatchcoreModel  # noqa: E402

from drivetrain.engines.anomalib import memory  # noqa: E402
from drivetrain.engines.anomalib.memory import Replacement, rows_at_once, within_memory  # noqa: E402

GIGABYTE = 10**9


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little memory that only seven features at a time are compared with a bank of 500."""
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * 12 * 500 * 7 + 100)


def test_pieces_are_as_large_as_the_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * GIGABYTE)
    assert rows_at_once(1_000, 1024) == 1024
    assert rows_at_once(1_000_000, 1024) == GIGABYTE // (4 * 3 * 1_000_000) == 83
    assert rows_at_once(10**12, 1024) == 1


def patchcore(num_neighbors: int) -> Any:
    torch.manual_seed(0)
    model = PatchcoreModel(layers=["layer1"], backbone="resnet18", pre_trained=False, num_neighbors=num_neighbors)
    model.memory_bank = torch.rand(500, 64)
    return model.eval()


@pytest.mark.parametrize("num_neighbors", [1, 9])
def test_patchcore_scores_the_same(little: None, num_neighbors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = patchcore(num_neighbors)
    images = torch.rand(3, 3, 64, 64)
    rows: list[int] = []
    distances = PatchcoreModel.euclidean_dist

    def counted(x: Any, y: Any) -> Any:
        rows.append(x.shape[0])
        return distances(x, y)

    monkeypatch.setattr(PatchcoreModel, "euclidean_dist", staticmethod(counted))
    with torch.inference_mode():
        whole = model(images)
        assert rows[0] == 3 * 16 * 16
        rows.clear()
        with within_memory():
            parts = model(images)
    assert max(rows) == 7
    assert torch.allclose(whole.pred_score, parts.pred_score, rtol=0, atol=1e-6)
    assert torch.allclose(whole.anomaly_map, parts.anomaly_map, rtol=0, atol=1e-6)


def test_anomaly_dino_scores_the_same(little: None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = AnomalyDINOModel.__new__(AnomalyDINOModel)
    torch.nn.Module.__init__(model)
    asked: list[int] = []

    def features(self: Any, images: Any) -> Any:
        del self
        asked.append(len(images))
        return torch.nn.functional.avg_pool2d(images, 14).flatten(2).transpose(1, 2)

    monkeypatch.setattr(AnomalyDINOModel, "extract_features", features)
    model.patch_size, model.masking, model.num_neighbours = 14, False, 2
    model.register_buffer("memory_bank", torch.nn.functional.normalize(torch.rand(500, 3), dim=1))
    model.anomaly_map_generator = lambda maps, size: torch.nn.functional.interpolate(maps, size)
    images = torch.rand(5, 3, 28, 28)
    with torch.inference_mode():
        whole = model.eval()(images)
        with within_memory():
            parts = model(images)
    assert asked == [5, 1, 1, 1, 1, 1]
    assert torch.equal(whole.pred_score, parts.pred_score)
    assert torch.equal(whole.anomaly_map, parts.anomaly_map)


@pytest.mark.parametrize("buffer", [2**20, 300 * 4 * 7])
def test_a_bank_is_thinned_out_as_by_anomalib(buffer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_BUFFER", buffer)
    torch.manual_seed(3)
    features = torch.rand(400, 300)

    def chosen() -> list[int]:
        torch.manual_seed(7)
        np.random.seed(7)
        return list(KCenterGreedy(features, 0.1).select_coreset_idxs())

    theirs = chosen()
    with within_memory():
        ours = chosen()
    assert ours == theirs
    assert len(set(ours)) == 40


def test_a_replacement_lasts_as_long_as_the_last_of_those_who_want_it() -> None:
    class Upstream:
        def answer(self) -> str:
            return "theirs"

    original = vars(Upstream)["answer"]
    replacement = Replacement([(Upstream, "answer", lambda _: "ours")])
    replacement.begin()
    replacement.begin()
    replacement.end()
    assert Upstream().answer() == "ours", "another thread still trains"
    replacement.end()
    assert vars(Upstream)["answer"] is original
