"""Every model of the installed Anomalib: one short training, test, prediction, export, and the artefact."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from expected_failures import MODELS, expected_step
from PIL import Image

from drivetrain import Engine, list_models, load, load_dataset
from drivetrain.data import Dataset
from drivetrain.errors import UnsupportedError
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing.data import mvtec
from drivetrain.testing.matrix import STEPS

pytest.importorskip("anomalib")
pytestmark = pytest.mark.slow

Prepare = Callable[[Path, pytest.MonkeyPatch], None]


# --- files that models read from disk, generated here ----------------------------------------------------------------


def pictures(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Ordinary pictures and textures; Anomalib's sampler needs them in class folders."""
    del patch
    random = np.random.default_rng(0)
    for number in range(2):
        file = folder / "pictures" / "any" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(file)


def teacher(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """EfficientAd's teacher, untrained, where the download would have put it."""
    import torch
    from anomalib.models.image.efficient_ad.torch_model import SmallPatchDescriptionNetwork
    from anomalib.utils.path import get_pretrained_weights_dir

    pictures(folder, patch)
    file = get_pretrained_weights_dir() / "efficientad_pretrained_weights" / "pretrained_teacher_small.pth"
    file.parent.mkdir(parents=True)
    torch.save(SmallPatchDescriptionNetwork(out_channels=384, padding=False).state_dict(), file)


def autoencoder(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Dsr's quantised autoencoder, untrained, where the download would have put it.

    Its codebook input is normalised; otherwise all patches get the same code and images cannot be told apart.
    """
    del folder, patch
    import torch
    from anomalib.models.image.dsr.torch_model import DsrModel
    from anomalib.utils.path import get_pretrained_weights_dir

    file = get_pretrained_weights_dir() / "dsr" / "vq_model_pretrained_128_4096.pckl"
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    model = DsrModel().discrete_latent_model
    images = torch.nn.functional.interpolate(torch.rand(16, 3, 8, 8), size=64)
    for convolution in (model._pre_vq_conv_top, model._pre_vq_conv_bot):
        found: list[torch.Tensor] = []
        hook = convolution.register_forward_hook(lambda _module, _inputs, output, found=found: found.append(output))
        with torch.no_grad():
            model(images)
            hook.remove()
            std, mean = torch.std_mean(found[0], dim=(0, 2, 3))
            convolution.weight /= std.view(-1, 1, 1, 1)
            convolution.bias.sub_(mean).div_(std)
    torch.save(model.state_dict(), file)


def efficientnet(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """An EfficientNet-B5 that is untrained but normalised, with branches that change little.

    Otherwise its features, and with them the rounding errors, would grow from layer to layer until the numbers are
    meaningless.
    """
    del patch
    import torch
    import torchvision
    from torchvision.models.efficientnet import MBConv

    torch.manual_seed(0)
    model = torchvision.models.efficientnet_b5(weights=None)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
        if isinstance(part, MBConv) and part.use_res_connect:
            torch.nn.init.constant_(part.block[-1][1].weight, 0.1)
    with torch.no_grad():
        model.train()(torch.nn.functional.interpolate(torch.randn(4, 3, 8, 8), size=(128, 128), mode="bilinear"))
    torch.save(model.state_dict(), folder / "efficientnet.pth")


def shallow_radio(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """AnomalyVFM's backbone with one layer in place of 24."""
    del folder
    from anomalib.models.image.anomalyvfm.components import radio

    patch.setattr(radio, "VisionTransformer", functools.partial(radio.VisionTransformer, depth=1))


def small_clip(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """A CLIP of one layer with 25 patches in place of ViT-B."""
    open_clip = pytest.importorskip("open_clip")
    from anomalib.models.image.winclip import torch_model

    vision = {"image_size": 240, "layers": 1, "width": 64, "head_width": 32, "patch_size": 48}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}
    file = folder / "small-clip.json"
    file.write_text(json.dumps({"embed_dim": 64, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(file)
    patch.setattr(torch_model, "BACKBONE", file.stem)


def answers(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """A language model that says yes about every second picture; the real protocol is tested elsewhere."""
    del folder
    pytest.importorskip("ollama")
    from anomalib.models.image.vlm_ad.backends import ollama

    replies = iter(range(10_000))

    def chat(**_: Any) -> dict[str, Any]:
        text = "YES: it has a crack." if next(replies) % 2 else "NO: it is fine."
        return {"message": {"role": "assistant", "content": text}}

    patch.setattr(ollama, "chat", chat)


# --- how each model is kept small ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """How a model is kept small.

    Attributes:
        args: constructor arguments.
        size: input size, if not the model's default.
        own_size: input size, for classes that only accept one with a user's own pre-processor.
        prepare: creates the files that the model reads from disk.
        batch_size: batch size of the training.
        pretrained: a file, ``False`` for random weights, ``None`` if there are no weights to skip.
        steps: number of training steps, if every step is slow.
    """

    args: dict[str, Any] = field(default_factory=dict)
    size: int | None = 64
    own_size: int | None = None
    prepare: Prepare | None = None
    batch_size: int = 4
    pretrained: str | bool | None = False
    steps: int | None = None


RESNET = {"backbone": "resnet18"}
DINO = "vit_small_patch14_dinov2"
CASES: dict[str, Case] = {
    "AnomalyDINO": Case({"encoder_name": DINO}, 56),
    "AnomalyVFM": Case({}, 64, prepare=shallow_radio),
    "Cfa": Case(RESNET, 32),
    "Cflow": Case({**RESNET, "layers": ["layer1", "layer2"], "coupling_blocks": 1, "condition_vector": 16}),
    "Csflow": Case(
        {"n_coupling_blocks": 1, "cross_conv_hidden_channels": 16},
        128,
        prepare=efficientnet,
        pretrained="efficientnet.pth",
    ),
    "Dfkde": Case({**RESNET, "n_pca_components": 4}),
    "Dfm": Case({**RESNET, "layer": "layer2"}),
    "Dinomaly": Case({"encoder_name": DINO}, 56),
    "Draem": Case({"dtd_dir": "pictures"}, 64, prepare=pictures),
    "Dsr": Case({}, 64, prepare=autoencoder, pretrained=None),
    "EfficientAd": Case({"imagenet_dir": "pictures"}, 256, prepare=teacher, batch_size=1, pretrained=None, steps=2),
    "Fastflow": Case({**RESNET, "flow_steps": 1}),
    "FoundAD": Case({"encoder_name": "dinov2_vit_small_14"}, 56),
    "Fre": Case({**RESNET, "layer": "layer2", "input_dim": 2048, "latent_dim": 16}),
    "Ganomaly": Case({"n_features": 8, "latent_vec_size": 8}),
    "GeneralAD": Case({"backbone": "vit_small_patch14_dinov2.lvd142m", "layers": [3], "hidden_dim": 32}, 56),
    "Glass": Case({**RESNET, "input_shape": (64, 64), "pretrain_embed_dim": 64, "target_embed_dim": 64}),
    "InpFormer": Case({"encoder_name": DINO}, 56),
    "L2BT": Case({}, None, own_size=56),
    "MHPatchcore": Case({**RESNET, "memory_bank_size": 64, "local_coreset_size": 16}, None, own_size=64),
    "Padim": Case({**RESNET, "layers": ["layer1"], "n_features": 20}),
    "Patchcore": Case({**RESNET, "layers": ["layer2"], "coreset_sampling_ratio": 0.05, "num_neighbors": 3}),
    "Patchflow": Case({**RESNET, "flow_feature_dim": 8, "flow_hidden_dim": 8}),
    "Rad": Case({"backbone": "vit_small_patch16_dinov3"}),
    "ReverseDistillation": Case({**RESNET, "layers": ["layer1", "layer2", "layer3"]}),
    "Stfpm": Case({**RESNET, "layers": ["layer1"]}),
    "SuperADD": Case({"backbone": "vit_small_patch16_dinov3", "patch_size": 64, "patch_overlap": 16}, 64),
    "Supersimplenet": Case(RESNET, 128),
    "Uflow": Case({**RESNET, "flow_steps": 1}, None, own_size=64),
    "UniNet": Case(),
    "VlmAd": Case({}, None, prepare=answers, pretrained=None),
    "WinClip": Case({"class_name": "bottle"}, None, prepare=small_clip),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Normal images in every subset, and defects in validation and test, so that scores have a range."""
    folder = mvtec(tmp_path_factory.mktemp("data") / "bottle", train=12, test=6, size=72)
    return load_dataset(folder, task="anomaly").split(train=0.4, val=0.3, test=0.3)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models look for pictures in the current folder, and for weights in the user's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pre_processor(size: int) -> Any:
    """A user's own pre-processor, with the usual normalisation."""
    from anomalib.pre_processing import PreProcessor
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    usual = Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    return PreProcessor(transform=Compose([Resize((size, size), antialias=False), usual]))


class Trip:
    """One model on its way from images to the artefact.

    Args:
        name: name of the model.
        case: how it is kept small.
        data: to train on.
        work_dir: work dir of the run.
    """

    def __init__(self, name: str, case: Case, data: Dataset, work_dir: Path) -> None:
        args = {**case.args, **({} if case.pretrained is None else {"pretrained": case.pretrained})}
        if case.own_size is not None:
            args["pre_processor"] = pre_processor(case.own_size)
        self.case, self.data = case, data
        self.engine: Any = Engine(f"anomalib:{name}", data, work_dir=work_dir, model_args=args or None)
        self.engine.progress = SilentProgress()
        self.answers: Any = None
        self.artifact: Any = None

    @property
    def scores(self) -> list[float]:
        """The anomaly score of each test image."""
        return [answer.anomaly_score for answer in self.answers]

    def train(self) -> None:
        """One epoch, or the one pass."""
        result = self.engine.train(
            max_epochs=1,
            image_size=self.case.size,
            batch_size=self.case.batch_size,
            engine_args={"limit_train_batches": self.case.steps} if self.case.steps else None,
        )
        assert result.last_checkpoint is not None
        assert result.last_checkpoint.is_file()

    def test(self) -> None:
        """The common metrics exist, and the threshold is unchanged."""
        before = float(getattr(self.engine.model.post_processor, "image_threshold", 0.0))
        assert 0.0 <= self.engine.test()["image_auroc"] <= 1.0
        assert float(getattr(self.engine.model.post_processor, "image_threshold", 0.0)) == before

    def predict(self) -> None:
        """Every image has an answer independent of the others, and the work dir gives the same answers."""
        self.answers = self.engine.predict()
        assert len(self.answers) == len(self.engine.dataset.subset("test").paths)
        alone = self.engine.predict(batch_size=1)
        assert [answer.anomaly_score for answer in alone] == pytest.approx(self.scores, abs=1e-3)
        again: Any = Engine(self.engine.work_dir, self.data)
        again.progress = SilentProgress()
        assert [answer.anomaly_score for answer in again.predict()] == pytest.approx(self.scores, abs=1e-3)

    def export(self) -> None:
        """The artefact passes its own verification."""
        self.artifact = self.engine.export()
        assert self.artifact.parity["passed"]

    def load(self) -> None:
        """The artefact gives the same answers as the model."""
        found = load(self.artifact.path, precision="f32").predict(self.engine.dataset.subset("test").paths)
        assert [answer.anomaly_score for answer in found] == pytest.approx(self.scores, abs=2e-3)
        for ours, theirs in zip(self.answers, found, strict=True):
            assert (ours.anomaly_map is None) == (theirs.anomaly_map is None)
            if ours.anomaly_map is not None:
                assert np.abs(ours.anomaly_map - theirs.anomaly_map).max() < 0.02


@pytest.mark.parametrize("name", MODELS["anomalib"])
def test_model_from_images_to_the_artefact(
    name: str,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    export_without_the_trace: Callable[[Engine, str, str], None],
) -> None:
    case = CASES.get(name, Case(pretrained=None))
    if case.prepare is not None:
        case.prepare(tmp_path, monkeypatch)
    trip = Trip(name, case, data, tmp_path / "run")
    for step in STEPS:
        why = expected_step("anomalib", name, step)
        if why is not None:
            with pytest.raises(why.raises):
                getattr(trip, step)()
            return
        getattr(trip, step)()
    export_without_the_trace(trip.engine, "anomalib", name)


def test_pre_processor_that_no_client_could_follow_is_refused_before_training(data: Dataset, tmp_path: Path) -> None:
    engine = Engine("L2BT", data, work_dir=tmp_path / "run", model_args={"pretrained": False})
    with pytest.raises(
        UnsupportedError, match=r"pre-processor of L2BT does not start with Resize\(\(height, width\)\)"
    ):
        engine.train(max_epochs=1)
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("name", ["AnomalyVFM", "WinClip"])
def test_weights_of_a_file_are_those_of_the_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from drivetrain.engines.anomalib.build import build_model
    from drivetrain.engines.anomalib.checkpoint import exported_classes

    case, cls = CASES[name], exported_classes()[name]
    assert case.prepare is not None
    case.prepare(tmp_path, monkeypatch)

    def made(seed: int, pretrained: Any) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        model = build_model(cls, {**case.args, "pretrained": pretrained}).model
        state: dict[str, torch.Tensor] = (model.clip if name == "WinClip" else model).state_dict()
        return state

    first, file = made(1, False), tmp_path / "weights.pth"
    torch.save(first, file)
    found, other = made(2, str(file)), made(2, False)
    assert all(torch.equal(found[key], value) for key, value in first.items())
    assert not all(torch.equal(other[key], value) for key, value in first.items())


def test_every_model_of_the_installed_release_is_in_the_table() -> None:
    assert [entry.name for entry in list_models("anomalib")] == list(MODELS["anomalib"])
    without = {name for name in MODELS["anomalib"] if expected_step("anomalib", name, "train")}
    assert set(CASES) == set(MODELS["anomalib"]) - without
