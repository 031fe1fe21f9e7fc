"""The dispatch, with stub classes that only have the names of the frameworks' classes."""

from __future__ import annotations

import importlib.metadata
import json
import pickle
import sys
import types
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivetrain.errors import (
    AmbiguousModelError,
    CheckpointError,
    CheckpointNotFoundError,
    MissingDependencyError,
    ModelError,
    OptionError,
    UnknownModelError,
)
from drivetrain.models import registry
from drivetrain.models.catalog import Listing, ModelEntry, ModelSource
from drivetrain.models.registry import list_models, load_engine
from drivetrain.models.resolve import explain_dispatch, resolve
from drivetrain.models.spec import EngineSpec
from drivetrain.types.task import Task

ABSENT = "a_package_that_is_not_there"
CLASSIFICATION = (Task.CLASSIFICATION,)


def stub_class(module: str, name: str, *bases: type) -> type:
    return type(name, bases, {"__module__": module})


Module = stub_class("torch.nn.modules.module", "Module")
LightningModule = stub_class("lightning.pytorch.core.module", "LightningModule", Module)
AnomalibModule = stub_class("anomalib.models.components.base", "AnomalibModule", LightningModule)
Padim = stub_class("anomalib.models.image.padim", "Padim", AnomalibModule)
YOLO = stub_class("ultralytics.models.yolo", "YOLO", stub_class("ultralytics.engine.model", "Model", Module))


def source(prefix: str, *, package: str = "json", install: str = "") -> ModelSource:
    return ModelSource(prefix, package, package, "nowhere:list_models", install)


def spec(name: str, **values: Any) -> EngineSpec:
    defaults = {"class_path": f"nowhere:{name}", "install": f'pip install "drivetrain[{name}]"'}
    return EngineSpec(name=name, **{**defaults, **values})


LIGHTNING = spec(
    "lightning",
    claims=("torch:Module", "lightning:LightningModule"),
    sources=(source("timm"), source("torchvision"), source("rfdetr", package=ABSENT, install="pip install rfdetr")),
    checkpoint_marks=("pytorch-lightning_version",),
    suffixes=(".yaml",),
)
ANOMALIB = spec(
    "anomalib",
    claims=("anomalib:AnomalibModule",),
    sources=(source("anomalib"),),
    checkpoint_marks=("anomalib.",),
)
ULTRALYTICS = spec("ultralytics", claims=("ultralytics:Model",), sources=(source("ultralytics"),))
OPENVINO = spec("openvino", suffixes=(".xml", ".onnx"), verbs=("test", "predict"))
MISSING = spec(
    "paddle", packages=(ABSENT,), claims=("paddle:Layer",), sources=(source("paddle"),), known_names=(r"pp-\w+",)
)

MODELS = {
    "timm": ["resnet18", "vit_tiny.augreg", "EfficientNet"],
    "torchvision": ["resnet18", "ssdlite"],
    "anomalib": ["Padim", "Stfpm"],
    "ultralytics": ["yolo11n", "yolo11n-seg"],
}


def listing_of(wanted: ModelSource) -> Listing | None:
    if wanted.package == ABSENT or wanted.prefix not in MODELS:
        return None
    tasks = (Task.ANOMALY if wanted.prefix == "anomalib" else Task.CLASSIFICATION,)
    entries = tuple(ModelEntry(name, wanted.prefix, tasks, "nowhere:make") for name in MODELS[wanted.prefix])
    return Listing(wanted.prefix, "1.0", entries, {})


@pytest.fixture(autouse=True)
def _engines(only_engines: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    only_engines(LIGHTNING, ANOMALIB, ULTRALYTICS, OPENVINO, MISSING)
    monkeypatch.setattr(registry, "listing", listing_of)


# --- objects


def test_the_nearest_class_wins() -> None:
    assert resolve(Padim()).spec is ANOMALIB
    assert resolve(stub_class("mine", "MyPadim", Padim)()).spec is ANOMALIB
    assert resolve(YOLO()).spec is ULTRALYTICS
    assert resolve(stub_class("mine", "Net", LightningModule)()).spec is LIGHTNING
    assert resolve(stub_class("mine", "Net", Module)()).spec is LIGHTNING


def test_a_class_of_the_same_name_elsewhere_is_not_taken() -> None:
    with pytest.raises(UnknownModelError, match=r"keras\.Module.*@register_engine"):
        resolve(stub_class("keras", "Module")())


def test_the_module_must_be_the_package_and_not_only_begin_like_it() -> None:
    with pytest.raises(UnknownModelError):
        resolve(stub_class("torch_geometric.nn", "Module")())


def test_engine_overrides_and_the_reason_says_so() -> None:
    resolution = resolve(Padim(), engine="lightning")
    assert resolution.spec is LIGHTNING
    assert "was requested" in resolution.reason


def test_an_unknown_engine_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(OptionError, match=r"engine='anomalb' is not known\. Did you mean 'anomalib'\?"):
        resolve(Padim(), engine="anomalb")


def test_a_spec_that_is_not_registered_can_be_named_by_itself() -> None:
    own = spec("own")
    assert resolve(object(), engine=own).spec is own


def test_a_class_instead_of_an_object_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Give an instance, or its name"):
        resolve(Padim)


def test_none_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model is None"):
        resolve(None)


def test_two_engines_for_one_class_must_be_told_apart(only_engines: Callable[..., None]) -> None:
    rival = spec("rival", claims=("anomalib:AnomalibModule",))
    only_engines(ANOMALIB, rival)
    with pytest.raises(AmbiguousModelError, match=r"engine='anomalib' or engine='rival'"):
        resolve(Padim())
    assert resolve(Padim(), engine="rival").spec is rival


@pytest.mark.parametrize(
    ("module", "name", "attribute"),
    [
        ("torch._dynamo.eval_frame", "OptimizedModule", "_orig_mod"),
        ("torch.nn.parallel.distributed", "DistributedDataParallel", "module"),
        ("torch.nn.parallel.data_parallel", "DataParallel", "module"),
        ("peft.peft_model", "PeftModel", "base_model"),
    ],
)
def test_wrappers_are_taken_off(module: str, name: str, attribute: str) -> None:
    inner = Padim()
    wrapper = stub_class(module, name, Module)()
    setattr(wrapper, attribute, inner)
    resolution = resolve(wrapper)
    assert resolution.spec is ANOMALIB
    assert resolution.model is inner


def test_wrappers_are_taken_off_one_after_the_other() -> None:
    inner = stub_class("mine", "Net", Module)()
    tuner = stub_class("peft.tuners.lora", "LoraModel", stub_class("peft.tuners.tuners_utils", "BaseTuner", Module))()
    tuner.model = inner
    peft = stub_class("peft.peft_model", "PeftModelForX", stub_class("peft.peft_model", "PeftModel", Module))()
    peft.base_model = tuner
    compiled = stub_class("torch._dynamo.eval_frame", "OptimizedModule", Module)()
    compiled._orig_mod = peft
    assert resolve(compiled).model is inner


# --- names


def test_a_name_is_found_with_and_without_its_prefix() -> None:
    for name in ("Padim", "anomalib:Padim"):
        resolution = resolve(name)
        assert resolution.spec is ANOMALIB
        assert resolution.model.full_name == "anomalib:Padim"


def test_a_name_with_a_dot_is_a_name_first() -> None:
    assert resolve("vit_tiny.augreg").model.full_name == "timm:vit_tiny.augreg"


def test_case_does_not_matter_if_it_is_clear() -> None:
    assert resolve("padim").model.name == "Padim"


def test_an_ambiguous_name_lists_the_prefixed_spellings() -> None:
    with pytest.raises(AmbiguousModelError, match=r"Write one of: 'timm:resnet18', 'torchvision:resnet18'"):
        resolve("resnet18")
    assert resolve("torchvision:resnet18").model.source == "torchvision"


def test_an_unknown_name_gets_the_nearest_spelling() -> None:
    with pytest.raises(UnknownModelError, match=r"model='Padm' is not known\. Did you mean 'Padim'\?.*drivetrain find"):
        resolve("Padm")
    with pytest.raises(UnknownModelError, match=r"model='timm:resnet19' is not known\. Did you mean 'timm:resnet18'"):
        resolve("timm:resnet19")


def test_a_known_name_that_is_not_installed_gets_the_command() -> None:
    for name in ("pp-lcnet", "paddle:anything"):
        with pytest.raises(MissingDependencyError) as caught:
            resolve(name)
        assert 'Install it with: pip install "drivetrain[paddle]"' in str(caught.value)
        assert ABSENT in str(caught.value)


def test_a_source_whose_package_is_missing_gets_its_own_command() -> None:
    with pytest.raises(MissingDependencyError, match=r"needs the package .* Install it with: pip install rfdetr"):
        resolve("rfdetr:nano")


def test_a_forced_engine_that_is_not_installed_gets_the_command() -> None:
    with pytest.raises(MissingDependencyError, match=r'pip install "drivetrain\[paddle\]"'):
        resolve(Padim(), engine="paddle")


def test_explain_dispatch_says_why_the_others_were_not_chosen() -> None:
    text = explain_dispatch("Padim")
    assert text.splitlines()[0] == "anomalib: anomalib offers a model named 'Padim'"
    assert "not lightning: does not claim it; it serves torch:Module, lightning:LightningModule" in text
    assert f'not paddle: {ABSENT} is not installed (pip install "drivetrain[paddle]")' in text


def test_models_are_listed_by_engine_task_and_text() -> None:
    assert [entry.full_name for entry in list_models("anomalib")] == ["anomalib:Padim", "anomalib:Stfpm"]
    assert [entry.name for entry in list_models(task="anomaly", text="STF")] == ["Stfpm"]
    assert {entry.source for entry in list_models()} == set(MODELS)
    with pytest.raises(OptionError, match=r"task='detect' is not a task"):
        list_models(task="detect")


# --- class paths


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``stub_models`` that counts calls of its function and holds classes."""
    (tmp_path / "stub_models.py").write_text(
        "calls = []\n"
        "def make(): calls.append(1)\n"
        "class Base: pass\n"
        "Base.__module__, Base.__name__ = 'anomalib.base', 'AnomalibModule'\n"
        "class Net(Base): pass\n"
        "class Other: pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stub_models", raising=False)
    yield tmp_path
    sys.modules.pop("stub_models", None)


@pytest.mark.parametrize("path", ["stub_models.Net", "stub_models:Net"])
def test_a_class_path_is_taken_if_an_engine_serves_the_class(importable: Path, path: str) -> None:
    resolution = resolve(path)
    assert resolution.spec is ANOMALIB
    assert resolution.model.__name__ == "Net"


def test_a_class_path_that_no_engine_serves_is_refused(importable: Path) -> None:
    with pytest.raises(ModelError, match=r"'stub_models\.Other' is a class that no engine serves"):
        resolve("stub_models.Other")


def test_a_function_is_refused_and_not_called(importable: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a class but a function; it was not called"):
        resolve("stub_models.make")
    assert sys.modules["stub_models"].calls == []


@pytest.mark.parametrize("path", ["os.system", "os:system", "subprocess.Popen", "builtins.eval", "shutil.rmtree"])
def test_the_standard_library_is_never_a_model(path: str) -> None:
    with pytest.raises(UnknownModelError):
        resolve(path)


@pytest.mark.parametrize("path", ["antigravity.Model", "timm:antigravity.Model", "this.Model"])
def test_the_standard_library_is_not_even_imported(path: str) -> None:
    sys.modules.pop(path.rpartition(":")[2].partition(".")[0], None)
    with pytest.raises(UnknownModelError):
        resolve(path)
    assert path.rpartition(":")[2].partition(".")[0] not in sys.modules


def test_a_class_path_is_not_taken_behind_a_prefix(importable: Path) -> None:
    with pytest.raises(UnknownModelError):
        resolve("timm:stub_models.Net")
    assert "stub_models" not in sys.modules


def test_a_class_path_of_a_missing_engine_gets_the_command() -> None:
    with pytest.raises(MissingDependencyError, match=r'pip install "drivetrain\[paddle\]"'):
        resolve("paddle.nn.Layer")


def test_a_name_that_the_module_lacks_is_said(importable: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"cannot be imported.*'Nett'"):
        resolve("stub_models.Nett")


# --- paths


class Trap:
    """Unpickling it would run a command."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.witness,))


def torch_file(path: Path, content: object) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
    return path


def test_a_checkpoint_is_told_by_its_marks_and_never_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    content = {"pytorch-lightning_version": "2.6", "trap": Trap(witness)}
    path = torch_file(tmp_path / "model.ckpt", content)
    resolution = resolve(path)
    assert resolution.spec is LIGHTNING
    assert resolution.model == path
    assert not witness.exists()


def test_a_checkpoint_without_marks_says_what_to_do(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "weights.pth", {"conv.weight": 1})
    with pytest.raises(CheckpointError, match=r"is not a checkpoint of any known engine.*name the model"):
        resolve(path)
    assert resolve(path, engine="lightning").model == path


def test_a_missing_checkpoint_is_not_searched_for_elsewhere(tmp_path: Path) -> None:
    torch_file(tmp_path / "best.ckpt", {})
    with pytest.raises(CheckpointNotFoundError, match=r"bets\.ckpt' does not exist: .* Did you mean 'best\.ckpt'\?"):
        resolve(str(tmp_path / "bets.ckpt"))
    with pytest.raises(CheckpointNotFoundError, match=r"Nothing was downloaded"):
        resolve("model.xml")


def test_files_go_to_the_engine_of_their_suffix(tmp_path: Path) -> None:
    for name, wanted in (("model.xml", OPENVINO), ("model.onnx", OPENVINO), ("recipe.yaml", LIGHTNING)):
        (tmp_path / name).touch()
        assert resolve(tmp_path / name).spec is wanted
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UnknownModelError, match=r"Engines open work dirs.*ending in \.onnx, \.xml, \.yaml"):
        resolve(tmp_path / "notes.txt")


def test_an_engine_may_have_checkpoints_of_its_own_suffix(only_engines: Callable[..., None], tmp_path: Path) -> None:
    own = spec("own", checkpoint_suffixes=(".npz",))
    only_engines(LIGHTNING, own)
    (tmp_path / "best.npz").touch()
    assert resolve(tmp_path / "best.npz").spec is own
    with pytest.raises(CheckpointNotFoundError):
        resolve(str(tmp_path / "last.npz"))


def test_a_folder_with_a_model_file_or_a_manifest_is_an_artefact(tmp_path: Path) -> None:
    for name in ("model.xml", "manifest.json"):
        (tmp_path / name).touch()
        assert resolve(tmp_path).spec is OPENVINO
        (tmp_path / name).unlink()


def test_a_folder_without_any_says_so_and_names_those_that_it_holds(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"is a folder that holds neither a run \(run\.json\) nor an exported"):
        resolve(tmp_path)
    for name in ("first", "second", "pictures"):
        (tmp_path / name).mkdir()
    (tmp_path / "first" / "run.json").touch()
    (tmp_path / "second" / "model.onnx").touch()
    with pytest.raises(UnknownModelError, match=r"It has folders that do: first, second\."):
        resolve(tmp_path)


def test_a_path_that_is_not_there_is_no_unknown_name(tmp_path: Path) -> None:
    (tmp_path / "flowers").mkdir()
    with pytest.raises(
        UnknownModelError, match=r"flower' does not exist: no such file or folder\. Did you mean 'flowers'"
    ):
        resolve(str(tmp_path / "flower"))
    with pytest.raises(UnknownModelError, match=r"model='runs/nothing' does not exist: no such file or folder in /"):
        resolve("runs/nothing")


def test_a_work_dir_goes_to_the_engine_that_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"engine": "ultralytics"}))
    assert resolve(tmp_path).spec is ULTRALYTICS
    with pytest.raises(OptionError, match=r"the work dir .* is of engine 'ultralytics'"):
        resolve(tmp_path, engine="anomalib")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"the work dir is damaged"):
        resolve(tmp_path)


# --- registration


def test_a_registered_engine_is_found_and_a_second_of_its_name_refused() -> None:
    own = spec("own", claims=("mine:Thing",))

    class OwnEngine:
        pass

    registry.register_engine(own)(OwnEngine)  # type: ignore[type-var]  # stands for an engine
    assert resolve(stub_class("mine", "Thing")()).spec is own
    assert registry.load_engine(own) is OwnEngine
    rival = spec("own", class_path="elsewhere:Engine")
    with pytest.raises(ModelError, match=r"already registered.*override=True"):
        registry.register_engine(rival)(OwnEngine)  # type: ignore[type-var]  # stands for an engine
    registry.register_engine(rival, override=True)(OwnEngine)  # type: ignore[type-var]  # stands for an engine
    assert registry.spec_by_name("own") is rival


def entry_points(monkeypatch: pytest.MonkeyPatch, points: dict[str, str] | list[tuple[str, str]]) -> None:
    rows = list(points.items()) if isinstance(points, dict) else points
    found = [importlib.metadata.EntryPoint(name, value, registry.GROUP) for name, value in rows]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found if group == registry.GROUP else [])
    monkeypatch.setattr(registry, "_from_packages", None)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("stub_plugin")
    module.SPEC = spec("good")
    module.NO_SPEC = "text"
    monkeypatch.setitem(sys.modules, "stub_plugin", module)
    return module


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bad", "a_module_that_is_not_there:SPEC", "No module named"),
        ("bad", "stub_plugin:NO_SPEC", "it is a str and not an EngineSpec"),
        ("bad", "stub_plugin:SPEC", "its spec is named 'good', its entry point 'bad'"),
    ],
)
def test_a_broken_plug_in_is_a_warning_and_the_others_work(
    monkeypatch: pytest.MonkeyPatch, plugin: types.ModuleType, name: str, value: str, message: str
) -> None:
    entry_points(monkeypatch, {name: value, "good": "stub_plugin:SPEC"})
    with pytest.warns(UserWarning, match=rf"The engine plug-in {value} cannot be loaded.*{message}"):
        specs = registry.list_engines()
    assert set(specs) == {"good"}


def test_two_packages_with_one_name_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, plugin: types.ModuleType
) -> None:
    entry_points(monkeypatch, [("good", "stub_plugin:SPEC"), ("good", "other_plugin:SPEC")])
    with pytest.raises(ModelError, match=r"Two packages announce an engine named 'good': stub_plugin:SPEC and other"):
        registry.list_engines()


def test_packages_installed_later_are_seen_after_a_refresh(
    monkeypatch: pytest.MonkeyPatch, plugin: types.ModuleType
) -> None:
    entry_points(monkeypatch, {})
    assert registry.list_engines() == {}
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: [importlib.metadata.EntryPoint("good", "stub_plugin:SPEC", group)],
    )
    assert registry.list_engines() == {}
    registry.refresh_engines()
    assert set(registry.list_engines()) == {"good"}


def test_what_upstreams_deprecate_is_silent_while_an_engine_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def imported(path: str) -> type:
        warnings.warn("import from elsewhere", FutureWarning, stacklevel=1)
        warnings.warn("old name", DeprecationWarning, stacklevel=1)
        return object

    monkeypatch.setattr("drivetrain.models.registry.import_object", imported)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = EngineSpec(name="noisy", class_path="noisy:Engine", install="", claims=("noisy:Model",))
        assert load_engine(spec) is object
