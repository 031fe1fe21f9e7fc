"""Networks of timm and torchvision are trained, tested and opened again through one engine."""

# ruff: noqa: TID253  (tests of this framework)
from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from drivetrain import Engine, load
from drivetrain.engines.lightning.engine import LightningEngine
from drivetrain.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    DataError,
    ModelError,
    OptionError,
    UnsafeCheckpointError,
)

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "grey": (120, 120, 120)}
SMALL = {"image_size": 32, "batch_size": 8, "num_workers": 1}


def picture(colour: str, seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    pixels = np.array(COLOURS[colour]) + random.integers(-30, 30, (36, 44, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def class_folder(root: Path, *names: str, count: int = 12) -> Path:
    for subset, number in (("train", count), ("val", 4), ("test", 4)):
        for name in names:
            (root / subset / name).mkdir(parents=True)
            for index in range(number):
                picture(name, index).save(root / subset / name / f"{subset}{index}.png")
    return root


def undivided(root: Path, count: int) -> Path:
    for name in ("red", "green", "blue"):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(name, index).save(root / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folder(tmp_path_factory.mktemp("data") / "colours", "red", "green", "blue")


@pytest.fixture(scope="module")
def trained(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> LightningEngine:
    engine = Engine("timm:test_resnet", colours, work_dir=tmp_path_factory.mktemp("runs") / "first", device="cpu")
    engine.train(6, learning_rate=3e-3, **SMALL)
    assert isinstance(engine, LightningEngine)
    return engine


def test_a_network_learns_colours(trained: LightningEngine) -> None:
    assert trained.test()["accuracy"] == 1.0
    assert trained.label_names == ("blue", "green", "red")


def test_the_history_is_a_table_and_the_peak_of_the_learning_rate_is_the_one_asked_for(
    colours: Path, tmp_path: Path
) -> None:
    import lightning.pytorch as lightning

    class Rates(lightning.Callback):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    rates = Rates()
    engine = Engine("timm:test_resnet", colours, work_dir=tmp_path / "run", device="cpu")
    result = engine.train(2, learning_rate=7e-4, callbacks=[rates], **SMALL)
    assert max(rates.seen) == 7e-4
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert {"train/loss", "val/loss", "val/accuracy", "learning_rate"} <= set(rows[0])
    assert result.best_checkpoint == tmp_path / "run" / "checkpoints" / "best.ckpt"
    assert result.metrics["val/accuracy"] == max(record.metrics["val/accuracy"] for record in result.history)


def test_the_best_state_is_that_of_the_best_epoch_and_ties_go_to_the_lower_loss(
    colours: Path, trained: LightningEngine
) -> None:
    folder = trained.work_dir / "checkpoints"
    rows = [dict(row) for row in csv.DictReader((trained.work_dir / "metrics.csv").read_text().splitlines())]
    best = max(rows, key=lambda row: (float(row["val/accuracy"]), -float(row["val/loss"])))
    state = torch.load(folder / "best.ckpt", weights_only=True)
    assert state["epoch"] == int(best["epoch"])
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 5


def test_checkpoint_and_work_dir_open_by_themselves(trained: LightningEngine, colours: Path, tmp_path: Path) -> None:
    files = sorted((colours / "test").rglob("*.png"))
    expected = np.stack([item.probabilities for item in trained.predict(files)])
    for model in (trained.work_dir, trained.work_dir / "checkpoints" / "best.ckpt"):
        engine = Engine(str(model), device="cpu")
        assert (engine.task, engine.label_names) == ("classification", ("blue", "green", "red"))
        answers = np.stack([item.probabilities for item in engine.predict(files)])
        np.testing.assert_allclose(answers, expected, atol=1e-6)
    moved = tmp_path / "alone.ckpt"
    moved.write_bytes((trained.work_dir / "checkpoints" / "best.ckpt").read_bytes())
    assert Engine(moved, colours, device="cpu").test()["accuracy"] == 1.0


def test_resume_extends_a_finished_run(colours: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"deterministic": True, "seed": 4, **SMALL}
    Engine("timm:test_resnet", colours, work_dir=tmp_path / "run", device="cpu").train(2, **settings)
    result = Engine(tmp_path / "run", colours, device="cpu").train(3, resume=True, **settings)
    assert [record.epoch for record in result.history] == [0, 1, 2]
    again = Engine(tmp_path / "run", colours, device="cpu")
    with pytest.raises(
        OptionError, match=r"learning_rate=0\.5 cannot be honoured: .* its saved state .*checkpoint='.*run'"
    ):
        again.train(4, resume=True, learning_rate=0.5)
    with pytest.raises(CheckpointError, match="holds a run of model 'timm:test_resnet', not 'timm:test_vit'"):
        Engine("timm:test_vit", colours, work_dir=tmp_path / "run", device="cpu").train(4, resume=True, **settings)


def test_the_same_seed_gives_the_same_weights_whatever_the_threads(colours: Path, tmp_path: Path) -> None:
    states = []
    for workers in (0, 3):
        engine = Engine("timm:test_resnet", colours, work_dir=tmp_path / str(workers), device="cpu")
        engine.train(2, **{**SMALL, "num_workers": workers}, seed=11, deterministic=True)
        states.append(
            torch.load(tmp_path / str(workers) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        )
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_warm_start_keeps_the_rows_of_labels_that_both_have(trained: LightningEngine, tmp_path: Path) -> None:
    data = class_folder(tmp_path / "data", "red", "grey", "blue", count=4)
    best = trained.work_dir / "checkpoints" / "best.ckpt"
    engine = Engine("timm:test_resnet", data, work_dir=tmp_path / "run", device="cpu")
    result = engine.train(1, checkpoint=best, learning_rate=1e-12, **SMALL)
    note = next(note for note in result.notes if "whose labels differ" in note)
    assert "keeps blue, red; new, from random weights: grey." in note
    old = torch.load(best, weights_only=True)["state_dict"]
    new = engine.model.state_dict()
    torch.testing.assert_close(new["net.fc.weight"][2], old["net.fc.weight"][2], atol=1e-6, rtol=0)
    torch.testing.assert_close(new["net.layer1.0.conv1.weight"], old["net.layer1.0.conv1.weight"], atol=1e-6, rtol=0)
    assert not torch.allclose(new["net.fc.weight"][1], old["net.fc.weight"][1])


def test_a_checkpoint_of_another_architecture_is_refused(trained: LightningEngine, colours: Path) -> None:
    engine = Engine("timm:test_vit", colours, device="cpu")
    with pytest.raises(CheckpointError, match=r"is of timm:test_resnet, but the model is timm:test_vit"):
        engine.test(checkpoint=trained.work_dir / "checkpoints" / "best.ckpt")


def test_several_labels_an_image(tmp_path: Path) -> None:
    rows = []
    random = np.random.default_rng(0)
    for number in range(48):
        has = random.random(2) < 0.5
        pixels = random.integers(0, 40, (32, 32, 3)).astype(np.uint8)
        pixels[:, :16, 0] += np.uint8(200 * has[0])
        pixels[:, 16:, 1] += np.uint8(200 * has[1])
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        subset = "train" if number < 32 else "val" if number < 40 else "test"
        labels = "|".join(name for name, there in zip(("left", "right"), has, strict=True) if there)
        rows.append(f"{number}.png,{labels},{subset}")
    (tmp_path / "labels.csv").write_text("path,labels,split\n" + "\n".join(rows) + "\n")
    engine = Engine(
        "timm:test_resnet",
        tmp_path / "labels.csv",
        task="multilabel_classification",
        work_dir=tmp_path / "run",
        device="cpu",
    )
    result = engine.train(10, learning_rate=5e-3, **SMALL)
    assert "val/map" in result.metrics
    metrics = engine.test()
    assert metrics["map"] > 0.9
    assert engine.predict(tmp_path / "0.png")[0].probabilities.shape == (2,)


def test_a_network_of_torchvision(colours: Path, tmp_path: Path) -> None:
    engine = Engine("torchvision:shufflenet_v2_x0_5", colours, work_dir=tmp_path / "run", device="cpu")
    engine.train(1, **SMALL)
    assert engine.model.net.fc.out_features == 3
    assert 0 <= engine.test()["accuracy"] <= 1


def test_a_given_network_must_fit_the_labels(colours: Path, tmp_path: Path) -> None:
    engine = Engine(timm.create_model("test_resnet", num_classes=5), colours, work_dir=tmp_path / "run", device="cpu")
    assert isinstance(engine, LightningEngine)
    with pytest.raises(ModelError, match=r"has 5 outputs, but there are 3 labels. Create it with num_classes=3"):
        engine.train(1, **SMALL)
    net = timm.create_model("test_resnet", num_classes=3)
    engine = Engine(net, colours, work_dir=tmp_path / "run", device="cpu")
    engine.train(1, **SMALL)
    assert engine.model.net is net


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (torch.zeros(8, 16, 16, dtype=torch.int64), "for the task 'semantic_segmentation', but test_resnet is a model"),
        (torch.zeros(8, 3), "for the task 'multilabel_classification', but test_resnet is a model"),
        (torch.full((8,), 7), "has the label number 7, but the model has 0 to 1"),
    ],
)
def test_a_loader_of_another_task_or_of_other_labels_is_told_apart(
    targets: torch.Tensor, said: str, tmp_path: Path
) -> None:
    data = TensorDataset(torch.zeros(8, 3, 32, 32), targets)
    data.classes = ["one", "two"]
    engine = Engine("timm:test_resnet", DataLoader(data, batch_size=4), task="classification", work_dir=tmp_path / "w")
    with pytest.raises(DataError, match=said):
        engine.train(1)


def test_loaders_of_the_users_own_for_a_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    targets = torch.arange(16) % 2
    images = torch.rand(16, 3, 32, 32) * 0.1 + targets.view(-1, 1, 1, 1)
    loader = DataLoader(TensorDataset(images, targets), batch_size=8)
    net = timm.create_model("test_resnet", num_classes=2)
    engine = Engine(net, {"train": loader, "val": loader, "test": loader}, work_dir=tmp_path / "run", device="cpu")
    engine.train(8, learning_rate=3e-3)
    assert engine.test()["accuracy"] > 0.5


@pytest.mark.parametrize("order", ["named", "renamed"])
def test_local_weights_by_name_or_by_order(order: str, tmp_path: Path) -> None:
    source = timm.create_model("test_resnet")
    state = source.state_dict()
    if order == "renamed":
        state = {f"tensor_{number}": value for number, value in enumerate(state.values())}
    torch.save(state, tmp_path / "weights.pth")
    engine = Engine("timm:test_resnet", model_args={"pretrained": str(tmp_path / "weights.pth")}, device="cpu")
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in engine.model.net.state_dict().items())
    assert len(engine.label_names) == 1000
    assert any("loaded in order" in note for note in engine.model.network.notes) is (order == "renamed")


def test_the_classifier_of_local_weights_is_left_out_for_other_labels(colours: Path, tmp_path: Path) -> None:
    source = timm.create_model("test_resnet")
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    arguments = {"pretrained": str(tmp_path / "weights.pth")}
    engine = Engine("timm:test_resnet", colours, model_args=arguments, device="cpu")
    own = engine.model.net.state_dict()
    assert torch.equal(own["layer1.0.conv1.weight"], source.state_dict()["layer1.0.conv1.weight"])
    assert own["fc.weight"].shape[0] == 3
    assert "the classifier was skipped because" in engine.model.network.notes[0]


class Danger:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))


@pytest.mark.parametrize("form", ["zip", "pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(form: str, colours: Path, tmp_path: Path) -> None:
    bomb, proof = tmp_path / "bomb.pth", tmp_path / "proof"
    content = {"state_dict": {"weight": Danger(str(proof))}}
    if form == "zip":
        torch.save(content, bomb)
    else:
        bomb.write_bytes(pickle.dumps(content))
    with pytest.raises(UnsafeCheckpointError, match=r"was not opened.*could execute code"):
        Engine("timm:test_resnet", model_args={"pretrained": str(bomb)}).predict(np.zeros((32, 32, 3), np.uint8))
    engine = Engine("timm:test_resnet", colours, work_dir=tmp_path / "run")
    with pytest.raises(UnsafeCheckpointError, match="was not opened"):
        engine.train(1, checkpoint=bomb)
    assert not proof.exists()


def test_wrong_arguments_of_the_constructor_are_named(tmp_path: Path) -> None:
    blank = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(OptionError, match=r"timm:test_resnet has no option 'drop_rat'.*Did you mean 'drop_rate'"):
        Engine("timm:test_resnet", model_args={"drop_rat": 0.1}).predict(blank)
    with pytest.raises(OptionError, match=r"in_chans=1 cannot be honoured"):
        Engine("timm:test_resnet", model_args={"in_chans": 1}).predict(blank)
    with pytest.raises(CheckpointNotFoundError, match=r"absent.pth.*does not exist"):
        Engine("timm:test_resnet", model_args={"pretrained": str(tmp_path / "absent.pth")}).predict(blank)


def test_weights_that_are_not_on_the_machine_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"not on this machine.*hf download timm/test_resnet.*\"pretrained\""):
        Engine("timm:test_resnet", model_args={"pretrained": True, "cache_dir": str(tmp_path)}).predict(
            np.zeros((32, 32, 3), np.uint8)
        )


def test_a_checkpoint_is_not_measured_on_what_its_run_learned(tmp_path: Path) -> None:
    whole = undivided(tmp_path / "whole", 10)
    Engine("timm:test_resnet", whole, work_dir=tmp_path / "run", device="cpu").train(1, **SMALL)
    checkpoint = next((tmp_path / "run" / "checkpoints").glob("best.*"))
    assert Engine(checkpoint, whole, device="cpu").test().count == 3
    other = undivided(tmp_path / "other", 5)
    assert Engine(checkpoint, other, device="cpu").test().count == 15


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    data = class_folder(tmp_path / "data", "red")
    with pytest.raises(DataError, match=r"'red'.*a classifier needs two"):
        Engine("timm:test_resnet", data, work_dir=tmp_path / "run").train(1, **SMALL)
    assert not (tmp_path / "run").exists()


def test_a_size_that_the_network_cannot_take_is_refused(colours: Path, tmp_path: Path) -> None:
    with pytest.raises((ModelError, OptionError), match=r"image_size|image size"):
        Engine("timm:test_vit", colours, work_dir=tmp_path / "run").train(1, image_size=33, batch_size=8)


def test_an_unknown_metric_is_refused_with_the_known_ones(colours: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"metric='val/acuracy' is not logged. Did you mean 'val/accuracy'"):
        Engine("timm:test_resnet", colours, work_dir=tmp_path / "run", device="cpu").train(
            1, metric="val/acuracy", **SMALL
        )
    assert not (tmp_path / "run").exists()


def test_the_exported_models_answer_as_the_network_does(trained: LightningEngine, colours: Path) -> None:
    files = sorted((colours / "test").rglob("*.png"))
    expected = np.stack([item.probabilities for item in trained.predict(files)])
    for form in ("openvino", "onnx"):
        artifact = trained.export(form, overwrite=True)
        answers = np.stack([item.probabilities for item in load(artifact.path, precision="f32").predict(files)])
        np.testing.assert_allclose(answers, expected, atol=1e-4)
