"""The plan: its decisions, its display, and explicit options that override it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drivetrain.errors import DataError, DataFormatError, MissingDependencyError, UnsupportedError
from drivetrain.models.candidate import Candidate
from drivetrain.models.spec import EngineSpec
from drivetrain.recommend import Decision, Plan, recommend
from drivetrain.testing import data as toys
from drivetrain.types import Task

PLAN = Plan(
    (
        Decision("model", "here:Net", "it is the only one"),
        Decision("model_args", {"pretrained": "/some/where/weights.pth"}, "it is there"),
        Decision("splits", [0.6, 0.2, 0.2], "few images"),
        Decision("batch_size", 8, "enough steps"),
        Decision("engine_args", {"weigh": 0.5}, "uneven"),
        Decision("tiling", None, "would help"),
    ),
    ("Look out.",),
)


def test_an_explicit_option_wins_and_the_plan_says_so() -> None:
    asked = {"batch_size": 3, "learning_rate": 0.1, "engine_args": {"more": 1}}
    plan = PLAN.overridden(asked)
    assert plan["batch_size"] == 3
    assert plan.reason("batch_size") == "given; 8 was recommended"
    assert plan["engine_args"] == {"weigh": 0.5, "more": 1}
    assert [item.given for item in plan.decisions] == [False, False, False, True, True, False]
    assert plan.options == {"batch_size": 3, "engine_args": {"weigh": 0.5, "more": 1}}
    assert PLAN.overridden({}) == PLAN


def test_an_explicit_engine_argument_replaces_the_recommended_one() -> None:
    plan = PLAN.overridden({"engine_args": {"weigh": 1.0}})
    assert plan["engine_args"] == {"weigh": 1.0}
    assert "weigh=0.5 was recommended" in plan.reason("engine_args")


def test_the_table_breaks_long_reasons_on_a_terminal_only() -> None:
    plan = Plan((Decision("model", "x", "a reason of many words " * 8),))
    assert len(plan.to_text().splitlines()) == 2
    broken = plan.to_text(80).splitlines()
    assert len(broken) > 3
    assert max(map(len, broken[1:])) <= 80
    assert all(line.startswith(" " * 12) for line in broken[2:])


def test_paths_are_shown_by_their_end_and_kept_whole() -> None:
    assert "pretrained=.../weights.pth" in PLAN.to_text()
    assert "warning: Look out." in PLAN.to_text()
    assert PLAN.to_dict()["decisions"][1]["value"] == {"pretrained": "/some/where/weights.pth"}


def test_every_decision_has_a_value_and_a_reason(
    engines: Callable[..., None], tmp_path: Path, candidate: Callable[..., Candidate], spec: Callable[..., EngineSpec]
) -> None:
    engines(spec("here", candidate(patience=3, metrics=("val/accuracy", "val/f1"))))
    plan = recommend(toys.class_folders(tmp_path / "flowers"), device="cpu")
    names = [item.name for item in plan.decisions]
    assert names == [
        *("task", "engine", "model", "splits", "device", "image_size", "batch_size", "max_epochs", "patience", "metric")
    ]
    assert all(item.reason for item in plan.decisions)
    assert (plan["task"], plan["engine"], plan["model"]) == ("classification", "here", "here:Net")
    assert plan.written_into({"model": None, "data": "x"}, {}) == {
        "model": "here:Net",
        "data": "x",
        "task": "classification",
        **plan.options,
    }
    assert not plan.warnings


def test_what_the_user_says_is_a_given_decision(
    engines: Callable[..., None], tmp_path: Path, candidate: Callable[..., Candidate], spec: Callable[..., EngineSpec]
) -> None:
    engines(
        spec("here", candidate(task=Task.MULTILABEL_CLASSIFICATION)),
        spec("there", candidate("there:Net", Task.MULTILABEL_CLASSIFICATION, quality=0.5, model_args={"a": 1, "b": 1})),
    )
    folder = toys.class_folders(tmp_path / "flowers")
    plan = recommend(
        folder, task="multilabel_classification", engine="there", device="cpu", model_args={"b": 2, "c": 3}
    )
    given = {item.name: item.value for item in plan.decisions if item.given}
    assert given == {
        "task": "multilabel_classification",
        "engine": "there",
        "model_args": {"a": 1, "b": 2, "c": 3},
        "device": "cpu",
    }
    assert plan["model"] == "there:Net"


def test_data_without_annotations_are_refused_with_what_was_found_and_is_expected(
    engines: Callable[..., None],
    tmp_path: Path,
    candidate: Callable[..., Candidate],
    spec: Callable[..., EngineSpec],
    fill: Callable[..., None],
) -> None:
    engines(spec("here", candidate()))
    fill(tmp_path / "loose", 3)
    with pytest.raises(DataError, match=r"3 images were found.*none of them has an annotation.*task='anomaly'"):
        recommend(tmp_path / "loose", device="cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFormatError, match="is empty"):
        recommend(tmp_path / "empty", device="cpu")
    fill(tmp_path / "coco" / "images", 2)
    (tmp_path / "coco" / "annotations.json").write_text(
        '{"images": [{"id": 1, "file_name": "0.png"}, {"id": 2, "file_name": "1.png"}], "annotations": [], '
        '"categories": [{"id": 1, "name": "nut"}]}'
    )
    with pytest.raises(DataError, match=r"2 images were found \(read as 'coco'\), but none of them has an annotation"):
        recommend(tmp_path / "coco", device="cpu")


def test_one_class_is_no_classifier_but_may_be_what_is_normal(
    engines: Callable[..., None],
    tmp_path: Path,
    candidate: Callable[..., Candidate],
    spec: Callable[..., EngineSpec],
    fill: Callable[..., None],
) -> None:
    engines(spec("here", candidate(), candidate("here:Normal", Task.ANOMALY, epochs=1, least_epochs=1)))
    fill(tmp_path / "cats" / "cat", 6)
    with pytest.raises(DataError, match=r"all images are of one class, 'cat'.*task='anomaly', and name the class"):
        recommend(tmp_path / "cats", device="cpu")
    fill(tmp_path / "bottles" / "good", 12)
    assert recommend(tmp_path / "bottles", device="cpu")["model"] == "here:Normal"


def test_data_of_a_framework_need_a_model(
    engines: Callable[..., None], candidate: Callable[..., Candidate], spec: Callable[..., EngineSpec]
) -> None:
    engines(spec("here", candidate()))
    with pytest.raises(DataError, match=r"source=<object> is not a data set.*give a model too"):
        recommend(object(), device="cpu")


def test_without_training_images_it_says_what_there_is(
    engines: Callable[..., None], tmp_path: Path, candidate: Callable[..., Candidate], spec: Callable[..., EngineSpec]
) -> None:
    engines(spec("here", candidate()))
    folder = toys.coco(tmp_path / "only", subsets={"test": 3})
    with pytest.raises(DataError, match=r"have no training image; their subsets are: test \(3\)"):
        recommend(folder, device="cpu")


def test_without_the_engine_it_says_what_to_install_or_choose(
    engines: Callable[..., None], tmp_path: Path, candidate: Callable[..., Candidate], spec: Callable[..., EngineSpec]
) -> None:
    engines(
        spec("boxes", candidate("boxes:Net", Task.DETECTION), packages=("no_such_package",)),
        spec("here", candidate(task=Task.MULTILABEL_CLASSIFICATION)),
    )
    file = toys.yolo(tmp_path / "yolo")
    expected = (
        r"The task is detection, and no installed engine has a model for it\. Install one: pip install boxes "
        r"\(What boxes does\)\. Or train for another task that the annotations serve: "
        r"task='multilabel_classification'\. Or choose a model yourself"
    )
    with pytest.raises(MissingDependencyError, match=expected):
        recommend(file, device="cpu")
    with pytest.raises(UnsupportedError, match=r"has no model of the engine 'here' for it"):
        recommend(file, engine="here", device="cpu")
