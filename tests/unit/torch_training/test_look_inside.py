"""Cells and features of networks on PyTorch and of the graphs that are made of them, against formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID253
from torch import nn  # noqa: TID253

from drivetrain import Engine, load
from drivetrain.errors import UnsupportedError, UnsupportedOptionError
from drivetrain.testing import data
from drivetrain.torch_training.cell_network import CellNetwork
from drivetrain.torch_training.look_inside import before_the_head, part_named, pooled_output

SIDE, LABELS = 224, 3


class Squeezed(nn.Module):
    """Weighs its channels by their averages, as many networks do on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(8, 8, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.weigh(images.mean((2, 3), keepdim=True)).sigmoid()


def body() -> list[nn.Module]:
    return [nn.Conv2d(3, 8, 7, 8, 3), nn.ReLU(), Squeezed(), nn.Conv2d(8, 6, 3, 4, 1), nn.ReLU()]


class Functional(nn.Module):
    """Averages and flattens by functions, as some of torchvision's do."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*body())
        self.head = nn.Linear(6, LABELS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(self.features(images), 1), 1))


class Counted(Functional):
    """Flattens to as many rows as there are images, and so no further ones."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).mean((2, 3)).reshape(len(images), -1))


class Sized(Functional):
    """Averages over a size that is written down."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(nn.functional.avg_pool2d(self.features(images), 7).flatten(1))


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    heads = {
        "linear": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, LABELS)],
        "convolution": [
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(6, 9, 1),
            nn.Hardswish(),
            nn.Flatten(),
            nn.Linear(9, LABELS),
        ],
        "no average": [nn.Flatten(), nn.Linear(6 * 49, LABELS)],
        "average of parts": [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, LABELS)],
    }
    made = {"functional": Functional, "sized": Sized, "counted": Counted}
    return (made[kind]() if kind in made else nn.Sequential(*body(), *heads[kind])).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("data") / "toys")


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


KINDS = ("linear", "convolution", "functional", "sized")


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_what_the_head_says_of_each_of_them(kind: str, inputs: torch.Tensor) -> None:
    net = network(kind)
    answers, cells = CellNetwork(net, inputs[:1], kind).ask(inputs)
    assert answers.shape == (2, LABELS)
    assert cells.shape == (2, LABELS, 7, 7)
    with torch.inference_mode():
        torch.testing.assert_close(answers, net(inputs))
        if kind != "convolution":  # the class activation map of Zhou et al., with the bias of the label
            features = (net.features if hasattr(net, "features") else net[:5])(inputs)
            head = net.head if hasattr(net, "head") else net[-1]
            expected = torch.einsum("bchw,lc->blhw", features, head.weight) + head.bias[:, None, None]
            torch.testing.assert_close(cells, expected)
            torch.testing.assert_close(cells.mean((2, 3)), answers)
        else:
            column = net[:5](inputs)[1, :, 4, 2].reshape(1, 6, 1, 1)
            torch.testing.assert_close(cells[1, :, 4, 2], net[5:](column)[0])


@pytest.mark.parametrize("kind", ["no average", "average of parts", "counted"])
def test_a_network_without_a_layer_for_it_is_refused_by_name(kind: str, inputs: torch.Tensor) -> None:
    with pytest.raises(UnsupportedOptionError, match=r"mine is a model without a layer for CAM.*Allowed: auto, rise"):
        CellNetwork(network(kind), inputs[:1], "mine")


def test_features_are_what_the_last_layer_is_given(inputs: torch.Tensor) -> None:
    net = network("linear")
    with torch.inference_mode():
        torch.testing.assert_close(before_the_head(net, inputs), net[:-1](inputs))
        assert before_the_head(nn.Sequential(net, nn.Softmax(1)), inputs) is None
        torch.testing.assert_close(pooled_output(net, net[3], inputs), net[:4](inputs).mean((2, 3)))
        assert pooled_output(net, nn.ReLU(), inputs) is None, "a part that is not asked"
    assert part_named(net, ("backbone", "weigh")) is net[2].weigh
    assert part_named(net, ("backbone",)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_artefact_gives_the_same_cells_and_features(kind: str, folder: Path, tmp_path: Path) -> None:
    engine = Engine(network(kind), str(folder), task="classification", work_dir=tmp_path / "work")
    images = list(engine.dataset.subset("test").paths[:3])
    artifact = engine.export()
    predictor = load(artifact.path, precision="f32")
    for one, other in zip(engine.explain(images), Engine(predictor).explain(images), strict=True):
        assert (one.method, one.label) == ("cam", other.label) == (other.method, one.label)
        np.testing.assert_allclose(one.saliency, other.saliency, atol=1e-4)
    found, exported = engine.embed(images), Engine(predictor).embed(images)
    assert found.vectors.shape == (3, 9 if kind == "convolution" else 6)
    np.testing.assert_allclose(found.vectors, exported.vectors, atol=1e-4)
    assert engine.embed(images, batch_size=1).vectors == pytest.approx(found.vectors, abs=1e-5)


def test_a_graph_without_a_layer_for_it_is_refused_or_explained_by_masks(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivetrain.engine.perturbation.MASKS", 8)
    engine = Engine(network("no average"), str(folder), task="classification", work_dir=tmp_path / "work")
    image = engine.dataset.subset("test").paths[0]
    exported = Engine(engine.export().path)
    for each in (engine, exported):
        with pytest.raises(UnsupportedOptionError, match="without a layer for CAM"):
            each.explain(image, method="cam")
        assert each.explain(image)[0].method == "rise"


def test_a_module_that_says_no_features_is_told_what_to_define(folder: Path, tmp_path: Path) -> None:
    net = nn.Sequential(network("linear"), nn.Softmax(1))
    engine = Engine(net, str(folder), task="classification", work_dir=tmp_path / "work")
    with pytest.raises(UnsupportedError, match="a method 'embed'"):
        engine.embed(engine.dataset.subset("test").paths[0])
    exported = Engine(engine.export().path)
    with pytest.raises(UnsupportedError, match="does not say where its features are"):
        exported.embed(engine.dataset.subset("test").paths[0])
