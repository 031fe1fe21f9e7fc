"""Every model of the installed Anomalib: one short training, test, prediction, export, and the artefact."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivetrain import Engine, list_models, load
from drivetrain.errors import DataError, DrivetrainError, MissingDependencyError, ModelError, OptionError
from drivetrain.progress import SilentProgress
from drivetrain.testing import Expectation, Never
from drivetrain.testing.data import mvtec

pytest.importorskip("anomalib")
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    """How a model is kept small.

    Attributes:
        args: of its constructor.
        size: of its input, if it takes another than its own.
        exports: whether it has a graph.
    """

    args: dict[str, Any] = field(default_factory=dict)
    size: int | None = 64
    exports: bool = True


RESNET = {"backbone": "resnet18"}
VIT = {"backbone": "vit_tiny_patch16_224", "layers": [2, 3]}
CASES: dict[str, Case] = {
    "AnomalyDINO": Case({"encoder_name": "vit_small_patch14_dinov2"}, 56),
    "Cfa": Case(RESNET),
    "Cflow": Case({**RESNET, "layers": ["layer1", "layer2"], "coupling_blocks": 1, "condition_vector": 16}),
    "Csflow": Case({"n_coupling_blocks": 1, "cross_conv_hidden_channels": 16}, 128),
    "Dfkde": Case({**RESNET, "n_pca_components": 4}),
    "Dfm": Case({**RESNET, "layer": "layer2"}),
    "Dinomaly": Case({"encoder_name": "vit_small_patch14_dinov2"}, 56),
    "Draem": Case({"dtd_dir": "textures"}),
    "Fastflow": Case({**RESNET, "flow_steps": 1}),
    "FoundAD": Case({"encoder_name": "dinov2_vit_small_14"}, 56),
    "Fre": Case({**RESNET, "layer": "layer2", "input_dim": 2048, "latent_dim": 16}),
    "Ganomaly": Case({"n_features": 8, "latent_vec_size": 8}),
    "GeneralAD": Case({"backbone": "vit_small_patch14_dinov2.lvd142m", "layers": [3], "hidden_dim": 32}, 56),
    "Glass": Case({**RESNET, "input_shape": (64, 64), "pretrain_embed_dim": 64, "target_embed_dim": 64}),
    "InpFormer": Case({"encoder_name": "vit_small_patch14_dinov2"}, 56),
    "L2BT": Case({}, None),
    "MHPatchcore": Case({**RESNET, "memory_bank_size": 64, "local_coreset_size": 16}),
    "Padim": Case({**RESNET, "layers": ["layer1"], "n_features": 20}),
    "Patchcore": Case({**RESNET, "layers": ["layer2"], "coreset_sampling_ratio": 0.05, "num_neighbors": 3}),
    "Patchflow": Case({**RESNET, "flow_feature_dim": 8, "flow_hidden_dim": 8}),
    "Rad": Case({"backbone": "vit_small_patch16_dinov3"}, None),
    "ReverseDistillation": Case({**RESNET, "layers": ["layer1", "layer2", "layer3"]}),
    "Stfpm": Case({**RESNET, "layers": ["layer1"]}),
    "SuperADD": Case({"backbone": "vit_small_patch16_dinov3", "patch_size": 64, "patch_overlap": 16}, 64),
    "Supersimplenet": Case(RESNET, 128),
    "Uflow": Case({**RESNET, "flow_steps": 1}, None),
    "UniNet": Case({}, 64),
}

NO_WEIGHTS = "Its weights are only to be had over the network, and tests download nothing."
EXPECTED: dict[str, Expectation] = {
    "AiVad": Never("It looks at video; drivetrain's data sets are images.", raises=DataError),
    "AnomalyVFM": Never(NO_WEIGHTS, raises=ModelError),
    "CFM": Never("It looks at images with depth; drivetrain's data sets are images.", raises=DataError),
    "Dsr": Never(NO_WEIGHTS, raises=ModelError),
    "EfficientAd": Never(NO_WEIGHTS, raises=ModelError),
    "Fuvas": Never("It looks at video; drivetrain's data sets are images.", raises=DataError),
    "VlmAd": Never("It asks a language model, whose client is an extra.", raises=MissingDependencyError),
    "WinClip": Never("OpenCLIP is an extra of Anomalib.", raises=MissingDependencyError),
}
for _name, _package in (("VlmAd", "ollama"), ("WinClip", "open_clip")):
    if importlib.util.find_spec(_package) is not None:
        EXPECTED[_name] = Never(NO_WEIGHTS, raises=DrivetrainError)

MODELS = [entry.name for entry in list_models("anomalib")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mvtec(tmp_path_factory.mktemp("data") / "bottle", train=12, test=3, size=72)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models look for textures where they stand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "textures").mkdir()


@pytest.mark.parametrize("name", MODELS)
def test_model_from_images_to_the_artefact(name: str, data: Path, tmp_path: Path, request: Any) -> None:
    if name in EXPECTED:
        request.applymarker(pytest.mark.xfail(raises=EXPECTED[name].raises, reason=EXPECTED[name].reason, strict=True))
    case = CASES.get(name, Case())
    args = case.args if name in EXPECTED else {**case.args, "pretrained": False}
    engine: Any = Engine(f"anomalib:{name}", data, work_dir=tmp_path / "run", model_args=args or None)
    engine.progress = SilentProgress()
    result = engine.train(max_epochs=1, image_size=case.size, batch_size=4)
    assert result.last_checkpoint is not None
    assert result.last_checkpoint.is_file()
    metrics = engine.test()
    assert 0.0 <= metrics["image_auroc"] <= 1.0
    images = engine.dataset.subset("test").paths
    answers = engine.predict()
    assert len(answers) == len(images)
    again: Any = Engine(tmp_path / "run", data)
    again.progress = SilentProgress()
    scores = [answer.anomaly_score for answer in answers]
    assert [answer.anomaly_score for answer in again.predict()] == pytest.approx(scores, abs=1e-3)
    artifact = engine.export()
    found = load(artifact.path, precision="f32").predict(images)
    assert [answer.anomaly_score for answer in found] == pytest.approx(scores, abs=2e-3)
    for ours, theirs in zip(answers, found, strict=True):
        assert (ours.anomaly_map is None) == (theirs.anomaly_map is None)
        if ours.anomaly_map is not None:
            assert np.abs(ours.anomaly_map - theirs.anomaly_map).max() < 0.02


def test_every_case_and_every_expectation_is_of_a_model_that_exists() -> None:
    assert set(CASES) <= set(MODELS)
    assert set(EXPECTED) <= set(MODELS)
    assert not set(CASES) & set(EXPECTED)


def test_needs_name_models_that_exist_and_arguments_that_they_have() -> None:
    from drivetrain.engines.anomalib.build import constructor_names
    from drivetrain.engines.anomalib.checkpoints import exported_classes
    from drivetrain.engines.anomalib.needs import NEEDS

    classes = exported_classes()
    assert set(classes) == set(MODELS)
    assert set(NEEDS) <= set(classes)
    for name, need in NEEDS.items():
        if need.folder is not None:
            assert need.folder[0] in constructor_names(classes[name])


def test_batch_of_one_and_least_size_are_said_before_training(data: Path, tmp_path: Path) -> None:
    engine = Engine("EfficientAd", data, work_dir=tmp_path / "run")
    with pytest.raises(OptionError, match="allows only 1"):
        engine.train(batch_size=4)
    with pytest.raises(OptionError, match="at least 256"):
        engine.train(image_size=128)
    with pytest.raises(ModelError, match="imagenet_dir"):
        engine.train()
