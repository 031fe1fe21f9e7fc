"""The table of the models' requirements agrees with the code of the installed Anomalib."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from expected_failures import MODELS

from drivetrain.errors import DrivetrainError

pytest.importorskip("anomalib")

from drivetrain.engines.anomalib import requirements
from drivetrain.engines.anomalib.build import constructor_names
from drivetrain.engines.anomalib.checkpoint import exported_classes
from drivetrain.engines.anomalib.requirements import NEEDS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "anomalib.md"
CLASSES = exported_classes()


def code(name: str) -> str:
    """All of the upstream's code for a model, and nothing else."""
    folder = Path(inspect.getfile(CLASSES[name])).parent
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.rglob("*.py")))


def naming(pattern: str) -> set[str]:
    """The models whose code matches a pattern."""
    return {name for name in CLASSES if re.search(pattern, code(name))}


def test_the_table_names_models_that_exist_and_arguments_that_they_have() -> None:
    assert set(CLASSES) == set(MODELS["anomalib"])
    assert set(NEEDS) <= set(CLASSES)
    for name, need in NEEDS.items():
        arguments = {need.folder[0] if need.folder else None, need.cached_argument} - {None}
        assert arguments <= set(constructor_names(CLASSES[name]))


def test_models_that_download_files_of_their_own_have_them_in_the_table() -> None:
    own, others = naming(r"DownloadInfo\("), naming(r"torch\.hub\.load\(|clip\.load\(")
    assert {name for name, need in NEEDS.items() if need.folder or need.cached} == own | others
    weights = {name for name, need in NEEDS.items() if need.cached}
    assert weights == naming(r"get_pretrained_weights_dir\(") | others
    for name in own:
        assert all(url.startswith("https://") for url in requirements.sources(CLASSES[name]).values())
        assert requirements.sources(CLASSES[name])


def test_models_that_allow_one_batch_size_only() -> None:
    assert {name for name, need in NEEDS.items() if need.batch_size == 1} == naming("train_batch_size != 1")


def test_models_that_need_more_packages() -> None:
    pattern = r"hf_hub_download\(|import open_clip|open_clip\.|module_available\(\"(?:ollama|openai|transformers)"
    asked = {name for name, need in NEEDS.items() if need.packages} | {"VlmAd"}
    assert asked == naming(pattern)


def test_models_that_look_at_something_else_than_images() -> None:
    others = {name for name, need in NEEDS.items() if need.data != "images"}
    video = {name for name, cls in CLASSES.items() if ".video." in cls.__module__}
    depth = naming("point_cloud")
    assert others == video | depth
    assert {name for name, need in NEEDS.items() if need.data == "video"} == video


def test_models_whose_scores_depend_on_the_batch() -> None:
    """Such as by the largest value of all maps; normalising each map separately names an axis."""
    assert {name for name, need in NEEDS.items() if need.alone} == naming(r"layer_distribution\.max\(\)")


def test_the_documentation_names_the_models_that_set_their_own_epochs() -> None:
    forced = naming(r"\"(?:max_epochs|max_steps)\":")
    line = next(
        line
        for line in DOCS.read_text(encoding="utf-8").splitlines()
        if line.startswith("Models with a fixed number of epochs")
    )
    assert set(re.findall(r"`([A-Z]\w+)`", line)) == forced


def test_the_documentation_has_every_row_of_the_table() -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([A-Z]\w+)`", row.split("|")[1])} - {"True", "False"}
    assert set(NEEDS) | {"VlmAd"} <= documented <= set(CLASSES)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("Draem", {}, r"Draem needs a folder with pictures of textures.*from https://.*\"dtd_dir\": \"folder\""),
        ("Glass", {"anomaly_source_path": "none"}, r"Glass needs a folder.*anomaly_source_path"),
        ("Dsr", {}, r"Dsr needs the pretrained quantised autoencoder.*from https://.*Put it at '.*dsr"),
        ("CFM", {}, r"CFM needs Point-MAE's pretrained weights.*from https://.*Put it at '.*pointmae_pretrain\.pth'"),
        (
            "AiVad",
            {},
            r"AiVad needs CLIP's pretrained ViT-B/16, and would download it\. Put it at '.*clip/ViT-B-16\.pt'",
        ),
        ("Fuvas", {}, r"Fuvas needs PyTorchVideo's code and weights.*Put it at '.*facebookresearch_pytorchvideo_main'"),
        ("WinClip", {}, r"WinClip needs the package 'open_clip'\. Install it with: pip install"),
        ("AnomalyVFM", {}, r"AnomalyVFM needs the package 'huggingface_hub'"),
        ("VlmAd", {"model": "gpt-4o"}, r"VlmAd needs the package 'openai'"),
    ],
)
def test_what_is_missing_is_said_with_where_it_belongs(
    name: str, arguments: dict[str, Any], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_CACHE_HOME", "HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if "package" in text:
        monkeypatch.setattr(requirements, "is_installed", lambda package: False)
    with pytest.raises(DrivetrainError, match=text):
        requirements.check(CLASSES[name], arguments, image_size=None, batch_size=None, native=True)
    assert requirements.check(CLASSES["Padim"], {}, image_size=None, batch_size=None, native=False) is None
