"""A recipe as the model: the same options as on the command line, overridden by arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from drivetrain import Engine
from drivetrain.errors import DataError, OptionError, UnknownModelError
from drivetrain.recipes import names_recipe
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.record import read_record
from drivetrain.testing import data, toy


@pytest.fixture(autouse=True)
def _toy_only(only_engines: Any, own_cache: Path) -> None:
    only_engines(toy.SPEC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.class_folders(tmp_path_factory.mktemp("toys") / "data")


def written(tmp_path: Path, **values: Any) -> Path:
    path = tmp_path / "mine.yaml"
    content = {"model": "drivetrain.testing.toy.ToyModel", "max_epochs": 2, "batch_size": 5, **values}
    path.write_text(yaml.safe_dump({name: value for name, value in content.items() if value is not None}))
    return path


def trained(recipe: Path, folder: Path, work: Path, engine_options: dict[str, Any], **options: Any) -> dict[str, Any]:
    engine = Engine(str(recipe), folder, work_dir=work, **engine_options)
    engine.progress = SilentProgress()
    engine.train(**options)
    return read_record(work)["options"]


def test_its_options_are_used_and_what_is_given_overrides_them(folder: Path, tmp_path: Path) -> None:
    recipe = written(tmp_path, model_args={"momentum": 0.5}, learning_rate="1e-2", seed=3)
    used = trained(recipe, folder, tmp_path / "a", {})
    assert (used["max_epochs"], used["batch_size"], used["learning_rate"], used["seed"]) == (2, 5, 0.01, 3)
    used = trained(recipe, folder, tmp_path / "b", {"model_args": {"momentum": 0.1}}, max_epochs=1)
    assert (used["max_epochs"], used["batch_size"]) == (1, 5)
    assert read_record(tmp_path / "b")["model"]["args"] == {"momentum": 0.1}
    assert isinstance(toy.ToyEngine(recipe, folder), toy.ToyEngine), "an engine that is named outright reads it too"


@pytest.mark.parametrize(("name", "recorded", "given"), [("seed", 7, 0), ("deterministic", True, False)])
def test_what_is_given_wins_even_if_it_is_the_default(
    name: str, recorded: Any, given: Any, folder: Path, tmp_path: Path
) -> None:
    recipe = written(tmp_path, **{name: recorded})
    assert trained(recipe, folder, tmp_path / "a", {}, **{name: given})[name] == given
    assert trained(recipe, folder, tmp_path / "b", {})[name] == recorded
    used = trained(written(tmp_path, device="no_such"), folder, tmp_path / "c", {"device": "auto"})
    assert used["batch_size"] == 5


def test_data_that_a_recipe_reads_with_arguments_are_in_the_saved_config(folder: Path, tmp_path: Path) -> None:
    recipe = written(tmp_path, data_args={"format": "image_folder"})
    trained(recipe, folder, tmp_path / "first", {})
    saved = yaml.safe_load((tmp_path / "first" / "config.yaml").read_text())
    assert (saved["data"], saved["data_args"]) == (str(folder.absolute()), {"format": "image_folder"})
    again = Engine(tmp_path / "first" / "config.yaml", work_dir=tmp_path / "second")
    again.progress = SilentProgress()
    again.train()
    assert (tmp_path / "first" / "config.yaml").read_text() == (tmp_path / "second" / "config.yaml").read_text()


def test_a_recipe_may_name_an_option_that_is_searched_by_default(folder: Path, tmp_path: Path) -> None:
    recipe = written(tmp_path, learning_rate=0.05, model_args={"momentum": 0.5})
    engine = Engine(str(recipe), folder, work_dir=tmp_path / "search")
    engine.progress = SilentProgress()
    assert set(engine.tune(1, trials=1).best) == {"learning_rate"}, "a model argument of the recipe is fixed"
    engine = Engine(str(recipe), folder, work_dir=tmp_path / "given")
    engine.progress = SilentProgress()
    with pytest.raises(
        OptionError, match=r"There is nothing to search: learning_rate, model\.momentum would be searched"
    ):
        engine.tune(1, trials=1, learning_rate=0.05)


def test_a_saved_config_is_a_recipe(folder: Path, tmp_path: Path) -> None:
    engine = Engine("drivetrain.testing.toy.ToyModel", folder, work_dir=tmp_path / "first")
    engine.progress = SilentProgress()
    first = engine.train(2, batch_size=4, seed=7)
    again = Engine(tmp_path / "first" / "config.yaml", work_dir=tmp_path / "second")
    again.progress = SilentProgress()
    assert dict(again.train().metrics) == dict(first.metrics)
    assert (tmp_path / "first" / "config.yaml").read_text() == (tmp_path / "second" / "config.yaml").read_text()


def test_its_data_arguments_are_used(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for subset in folder.iterdir():
        for label in subset.iterdir() if subset.is_dir() else ():
            for file in label.iterdir():
                target = flat / label.name / f"{subset.name}-{file.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
    engine = Engine(written(tmp_path, data=str(flat), data_args={"splits": [0.5, 0.25, 0.25]}))
    counts = engine.dataset.subsets
    assert counts["train"] == pytest.approx(sum(counts.values()) / 2, abs=2)


def test_a_search_takes_its_options(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    engine = Engine(written(tmp_path), folder, work_dir=tmp_path / "search")
    engine.progress = SilentProgress()
    result = engine.tune(space={"batch_size": [3, 4]}, trials=2, pruner="none", metric="val/loss")
    assert [len(trial.curve) for trial in result.trials] == [2, 2]
    assert result.best["batch_size"] in (3, 4)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"max_epoch": 3}, "a recipe has no option 'max_epoch'. Did you mean 'max_epochs'?"),
        ({"max_epochs": "ten"}, "max_epochs='ten' must be a whole number"),
        ({"model": None}, "is a recipe that names no model. Add a line to it: model: NAME."),
        ({"drivetrain": "999.0"}, "was written by drivetrain 999.0, and this is"),
        ({"engine": "toi"}, "engine='toi' is not known. Did you mean 'toy'?"),
    ],
)
def test_slips_name_the_recipe(folder: Path, tmp_path: Path, values: dict[str, Any], expected: str) -> None:
    recipe = written(tmp_path, **values)
    with pytest.raises(OptionError) as caught:
        Engine(recipe, folder, work_dir=tmp_path / "work").train()
    assert expected in str(caught.value)
    assert str(recipe) in str(caught.value) or "engine" in values
    assert not (tmp_path / "work").exists()


def test_one_for_another_task_is_refused(folder: Path, tmp_path: Path) -> None:
    recipe = written(tmp_path, task="detection")
    with pytest.raises(DataError) as caught:
        Engine(recipe, folder, work_dir=tmp_path / "work").train()
    assert f"The recipe '{recipe}' is for the task detection, but the annotations of" in str(caught.value)
    assert "can serve: classification, multilabel_classification. Recipes for them: classification/fast" in str(
        caught.value
    )


def test_the_name_of_a_recipe_with_a_slip() -> None:
    with pytest.raises(
        UnknownModelError, match=r"'classification/fats' is not known. Did you mean 'classification/fast'"
    ):
        Engine("classification/fats")
    assert names_recipe("classification/fast")
    assert not names_recipe("classification/fats")


def test_a_recipe_that_is_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("model: [1,")
    with pytest.raises(OptionError, match=r"model='.*broken.yaml' is not YAML \(line 1"):
        Engine(tmp_path / "broken.yaml")
