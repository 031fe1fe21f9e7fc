"""What can be searched, and the messages about everything else."""

from __future__ import annotations

from typing import Any

import pytest

from drivetrain.errors import OptionError
from drivetrain.tuning import SearchOptions, applied
from drivetrain.tuning.space import OneOf, Span, check_space, parse_space
from drivetrain.types.options import TrainOptions


def check(space: dict[str, Any], options: TrainOptions | None = None, **more: Any) -> None:
    known = more.get("known", ["momentum", "image_size"])
    check_space(parse_space(space), options or TrainOptions(), more.get("model_args", {}), known)


def test_lists_and_spans_are_read() -> None:
    space = parse_space(
        {
            "batch_size": [8, 16, 8],
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "model": {"depth": {"low": 1, "high": 9, "step": 2}},
            "image_size": [[32, 64], 64],
        }
    )
    assert space == {
        "batch_size": OneOf((8, 16)),
        "learning_rate": Span(1e-4, 1e-2, log=True),
        "model.depth": Span(1, 9, step=2),
        "image_size": OneOf(((32, 64), 64)),
    }
    assert [domain.size for domain in space.values()] == [2, float("inf"), 5, 2]
    assert space["model.depth"].is_whole
    assert not space["learning_rate"].is_whole


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"learning_rat": [0.1]}, r"space has no option 'learning_rat'\. Did you mean 'learning_rate'"),
        ({"model.momentun": [0.1]}, r"the model has no option 'momentun'\. Did you mean 'momentum'"),
        ({"learning_rate": 0.1}, r"learning_rate=0\.1 is not a search domain.*\{low: 0\.0001"),
        ({"learning_rate": []}, r"learning_rate=\[\] is not a search domain"),
        ({"learning_rate": {"lo": 1, "high": 2}}, r"learning_rate has no key 'lo'\. Did you mean 'low'"),
        ({"learning_rate": {"high": 2}}, r"low and high are required; all must be numbers"),
        ({"learning_rate": {"low": 2, "high": 1}}, r"low=2 must be less than high=1"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, r"with log, low=0 must be greater than 0"),
        ({"learning_rate": {"low": 0.1, "high": 1.0, "step": 0}}, r"step=0 must be greater than 0"),
        (
            {"learning_rate": [0.1, -1.0]},
            r"space: learning_rate: learning_rate=-1\.0 must be a finite number greater than 0",
        ),
        ({"batch_size": [8, 1.5]}, r"space: batch_size: batch_size=1\.5 must be a whole number"),
        ({"precision": ["fp23"]}, r"precision='fp23' is not allowed\. Did you mean 'fp32'"),
        ({"metric": ["val/loss"]}, r"metric cannot be searched: trials are compared by one metric"),
        ({"run_hpo": [True]}, r"run_hpo cannot be searched"),
        ({"batch_size": [object()]}, r"is not a number, a string, true, false or null"),
    ],
)
def test_what_cannot_be_searched_is_named(space: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        check(space)


def test_what_is_given_cannot_be_searched_too() -> None:
    with pytest.raises(OptionError, match="learning_rate is also given as an option"):
        check({"learning_rate": [0.1]}, TrainOptions(learning_rate=0.2))
    with pytest.raises(OptionError, match=r"model\.momentum is also given as an option"):
        check({"model.momentum": [0.1]}, model_args={"momentum": 1})
    with pytest.raises(OptionError, match=r"engine_args\.cache is also given as an option"):
        check({"engine_args.cache": [True]}, TrainOptions(engine_args={"cache": False}))


def test_a_class_that_takes_anything_is_not_second_guessed() -> None:
    check({"model.whatever": [1]}, known=None)


def test_values_find_their_places() -> None:
    values = {"batch_size": 4, "model.momentum": 0.5, "engine_args.cache": True}
    options, model_args = applied(values, TrainOptions(max_epochs=3, engine_args={"other": 1}))
    assert options == TrainOptions(max_epochs=3, batch_size=4, engine_args={"other": 1, "cache": True})
    assert model_args == {"momentum": 0.5}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"trails": 3}, r"hpo_config has no option 'trails'\. Did you mean 'trials'"),
        ({"trials": 0}, "trials=0 must be at least 1"),
        ({"workers": "two"}, "workers='two' must be a whole number"),
        ({"pruner": "halve"}, r"pruner='halve' is not allowed\. Did you mean 'halving'"),
        ({"sampler": "grid"}, r"sampler='grid' is not allowed\. Allowed: tpe, random"),
        ({"time_budget": -1}, "time_budget=-1 must be a number of seconds greater than 0"),
        ({"space": {}}, r"space=\{\} must be a mapping"),
    ],
)
def test_the_keys_of_hpo_config_are_checked(config: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        SearchOptions.from_config(config)
