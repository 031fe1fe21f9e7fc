"""What the getitune engine does without importing getitune: listing, dispatch, and refusals with the next step."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: TID253 - a checkpoint is written

from drivetrain.engines.getitune import SPEC, checkpoint, listing, recipes, side_effects
from drivetrain.engines.lightning import SPEC as LIGHTNING
from drivetrain.errors import (
    MissingDependencyError,
    ModelError,
    UnknownModelError,
    UnsafeCheckpointError,
)
from drivetrain.models import catalog
from drivetrain.models.resolve import resolve
from drivetrain.types import Task

DATA = """
input_size: [32, 64]
train_subset:
  batch_size: 8
  augmentations_cpu: [{class_path: a.Crop}, {class_path: a.Flip}]
  sampler: {class_path: a.Random, init_args: null}
test_subset:
  augmentations_gpu: [{class_path: kornia.augmentation.Normalize, init_args: {mean: [0, 0, 0.5], std: [1, 1, 2]}}]
"""
MODEL = "model: {class_path: getitune.backend.lightning.models.nets.Net, init_args: {label_info: 7, width: 3}}\n"
RECIPES = {
    "_base_/data/small.yaml": DATA,
    "classification/multi_class_cls/net.yaml": f"task: MULTI_CLASS_CLS\n{MODEL}data: ../../_base_/data/small.yaml\n",
    "classification/multi_label_cls/net.yaml": f"task: MULTI_LABEL_CLS\n{MODEL}data: ../../_base_/data/small.yaml\n",
    "classification/h_label_cls/only_h.yaml": f"task: H_LABEL_CLS\n{MODEL}",
    "detection/finder.yaml": f"""
task: DETECTION
{MODEL}data: ../_base_/data/small.yaml
callback_monitor: val/map_50
callbacks:
- {{class_path: b.Stop, init_args: {{patience: 3, mode: max}}}}
overrides:
  max_epochs: 9
  gradient_clip_val: 2.0
  callbacks: [{{class_path: b.Stop, init_args: {{patience: 5}}}}, {{class_path: b.More}}]
  data:
    train_subset:
      augmentations_cpu: [{{class_path: a.Crop}}]
      sampler: {{class_path: a.Balanced}}
""",
    "detection/finder_tile.yaml": f"task: DETECTION\n{MODEL}",
    "detection/yolo26_n.yaml": "task: DETECTION\nbackend: ultralytics\nmodel: {class_path: u.YOLO}\n",
    "instance_segmentation/yolo26_s_seg.yaml": "task: INSTANCE_SEGMENTATION\nbackend: ultralytics\n",
    "detection/hf_detr.yaml": "task: DETECTION\nbackend: huggingface\nmodel: {class_path: h.Model}\n",
}
NET = '''
raise RuntimeError("nothing of getitune is imported to list it")
class Net(Base):
    """A net.

    Args:
        width: of its layers.
    """
    def __init__(self, label_info, data_input_params=None, width: int = 4, *, pretrained: bool = True) -> None: ...
'''


@pytest.fixture
def recipe_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package like getitune's that cannot be imported."""
    package = tmp_path / "getitune"
    for name, text in RECIPES.items():
        file = package / "recipe" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    file = package / "backend" / "lightning" / "models" / "nets.py"
    file.parent.mkdir(parents=True)
    file.write_text(NET, encoding="utf-8")
    monkeypatch.setitem(recipes.TASKS, "DETECTION", Task.DETECTION)  # any task
    for module in (recipes, listing):
        monkeypatch.setattr(module, "recipe_folder", lambda: package / "recipe")
    return package / "recipe"


def test_each_name_is_listed_once_with_its_tasks(recipe_folder: Path) -> None:
    found = listing.models()
    assert {row["name"]: row["tasks"] for row in found["models"]} == {
        "net": ["classification", "multilabel_classification"],
        "finder": ["detection"],
    }
    assert {row["class_path"] for row in found["models"]} == {"getitune.backend.lightning.models.nets:Net"}
    assert [catalog.Argument(**row) for row in found["arguments"]["Net"]] == [
        catalog.Argument("width", "int", "4", "of its layers."),
        catalog.Argument("pretrained", "bool", "False", found["arguments"]["Net"][1]["help"]),
    ]


def test_a_recipe_has_its_data_and_its_overrides(recipe_folder: Path) -> None:
    recipe = recipes.find_recipe("finder", None)
    assert (recipe.task, recipe.input_size, recipe.monitor) == (Task.DETECTION, (32, 64), "val/map_50")
    assert recipe.trainer_args == {"max_epochs": 9, "gradient_clip_val": 2.0}
    assert recipe.model_args == {"label_info": 7, "width": 3}
    assert recipe.subset("train") == {
        "batch_size": 8,
        "augmentations_cpu": [{"class_path": "a.Crop"}],
        "sampler": {"class_path": "a.Balanced"},
    }
    assert recipe.callbacks == [
        {"class_path": "b.Stop", "init_args": {"patience": 5, "mode": "max"}},
        {"class_path": "b.More"},
    ]


def test_the_task_chooses_among_recipes_of_one_name(recipe_folder: Path) -> None:
    assert recipes.find_recipe("net", None).task is Task.CLASSIFICATION
    assert recipes.find_recipe("net", Task.MULTILABEL_CLASSIFICATION).task is Task.MULTILABEL_CLASSIFICATION
    with pytest.raises(ModelError, match=r"is for 'classification', 'multilabel_classification', not .*'detection'"):
        recipes.find_recipe("net", Task.DETECTION)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yolo26_n", "model='ultralytics:yolo26n'"),
        ("yolo26_s_seg", "model='ultralytics:yolo26s-seg'"),
        ("hf_detr", "drivetrain find transformers"),
        ("finder_tile", "model='getitune:finder'"),
        ("only_h", "H_LABEL_CLS"),
    ],
)
def test_recipes_that_others_serve_are_refused_with_what_to_use(
    name: str, said: str, recipe_folder: Path, only_engines: Any, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=said):
        recipes.find_recipe(name, None)
    only_engines(SPEC)
    monkeypatch.setattr(type(SPEC), "missing", property(lambda self: ()))
    for module in ("catalog", "resolve"):
        monkeypatch.setattr(f"drivetrain.models.{module}.installed_version", lambda source: "0.4.0")
    monkeypatch.setattr("drivetrain.models.resolve.listings", lambda spec: [])
    with pytest.raises(UnknownModelError, match=said):
        resolve(f"getitune:{name}")


def test_a_model_of_getitune_is_taken_before_lightning_modules(
    only_engines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_engines(LIGHTNING, SPEC)
    module = type("LightningModule", (), {"__module__": "lightning.pytorch.core.module"})
    base = type("LightningModel", (module,), {"__module__": "getitune.backend.lightning.models.base"})
    net = type("MobileNetV3", (base,), {"__module__": "getitune.backend.lightning.models.classification"})
    monkeypatch.setattr(type(SPEC), "missing", property(lambda self: ()))
    assert resolve(net()).spec.name == "getitune"


def test_without_the_package_the_extra_is_named(only_engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    only_engines(SPEC)
    monkeypatch.setattr("drivetrain.models.spec.is_installed", lambda name: name != "getitune")
    monkeypatch.setattr("drivetrain.models.catalog.is_installed", lambda name: name != "getitune")
    with pytest.raises(MissingDependencyError, match=r'pip install "drivetrain\[getitune\]"'):
        resolve("getitune:atss_mobilenetv2")


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"getitune": "0.3.1"}, r"getitune 0\.3\.1 is installed, but .* supports >=0\.4,<0\.5"),
        ({"getitune": "0.5.0"}, r"pip install 'getitune>=0\.4,<0\.5'"),
        ({"getitune": "0.4.0", "otx": "2.6.0"}, r"otx 2\.6\.0 and getitune 0\.4\.0 .*pip uninstall otx getitune"),
    ],
)
def test_other_releases_and_otx_beside_it_are_refused(
    versions: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_effects, "version_of", versions.get)
    monkeypatch.setattr("drivetrain.models.spec.version_of", versions.get)
    with pytest.raises(MissingDependencyError, match=said):
        side_effects.require_release()


def test_a_checkpoint_of_otx_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("otx.core.types.label")
    module.LabelInfo = type("LabelInfo", (), {"__module__": module.__name__, "__qualname__": "LabelInfo"})  # type: ignore[attr-defined]
    for name in ("otx", "otx.core", "otx.core.types"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    file = tmp_path / "best_checkpoint.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"label_info": module.LabelInfo()}}, file)
    with pytest.raises(UnsafeCheckpointError, match=r"written by OTX 2.*load\(MODEL_XML\)"):
        checkpoint.read(file)


def test_rows_of_a_head_follow_the_names_of_the_labels() -> None:
    class Head(torch.nn.Module):  # type: ignore[misc]  # the upstream class is untyped here
        def __init__(self, labels: int, fill: float) -> None:
            super().__init__()
            self.body = torch.nn.Linear(2, 2)
            self.cls = torch.nn.Linear(2, 2 * labels)  # two anchors
            torch.nn.init.constant_(self.body.weight, fill)
            with torch.no_grad():
                self.cls.bias.copy_(torch.arange(2 * labels) + fill)

    old, new = Head(2, 10.0), Head(3, 100.0)
    tensors = dict(old.state_dict())
    saved = checkpoint.SavedGetitune(Path("old.ckpt"), None, None, None, ("cat", "dog"), None, {}, tensors)
    notes = checkpoint.fit_weights(new, saved, ("dog", "eel", "cat"), ["cls.weight", "cls.bias"])
    assert new.cls.bias.tolist() == [11.0, 101.0, 10.0, 13.0, 104.0, 12.0]
    assert torch.equal(new.body.weight, old.body.weight)
    assert notes == ["Started from old.ckpt, whose labels differ: the head keeps dog, cat; new: eel."]
