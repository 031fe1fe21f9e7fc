"""The self-checking option records."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from drivetrain.engine import Engine
from drivetrain.errors import OptionError
from drivetrain.types.options import TrainOptions, check_choice, check_names


def test_the_fields_are_the_arguments_of_train() -> None:
    parameters = list(inspect.signature(Engine.train).parameters.values())[1:]
    assert tuple(parameter.name for parameter in parameters) == TrainOptions.names()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_epochs": 0}, "max_epochs=0 must be at least 1"),
        ({"max_epochs": 2.5}, "max_epochs=2.5 must be a whole number"),
        ({"max_epochs": True}, "max_epochs=True must be a whole number"),
        ({"batch_size": -4}, "batch_size=-4 must be at least 1"),
        ({"patience": 0}, "patience=0 must be at least 1"),
        ({"num_workers": -1}, "num_workers=-1 must be at least 0"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
        ({"seed": 2**32}, "seed=4294967296 must be at most 4294967295"),
        ({"learning_rate": 0.0}, r"learning_rate=0\.0 must be a finite number greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must be a finite number greater than 0"),
        ({"learning_rate": float("inf")}, "learning_rate=inf must be a finite number greater than 0"),
        ({"learning_rate": "0.1"}, r"learning_rate='0\.1' must be a finite number greater than 0"),
        ({"deterministic": "no"}, "deterministic='no' must be true or false"),
        ({"overwrite": 1}, "overwrite=1 must be true or false"),
        ({"engine_args": ["mosaic"]}, r"engine_args=\['mosaic'\] must be a mapping"),
        ({"image_size": 32.0}, r"image_size=32\.0; give one number of pixels"),
        ({"image_size": True}, "image_size=True"),
        ({"devices": "2"}, "devices='2'; give how many"),
        ({"devices": 1.0}, r"devices=1\.0; give how many"),
        ({"devices": -2}, "devices=-2; give how many"),
        ({"devices": []}, r"devices=\[\]; give how many"),
        ({"precision": "fp61"}, r"precision='fp61' is not allowed\. Did you mean 'fp16'\?.*Allowed: auto, fp32"),
        ({"adaptive_bs": "on"}, "adaptive_bs='on' is not allowed.*none, safe, full"),
        ({"image_size": 0}, "image_size=0; give one number of pixels, or"),
        ({"image_size": (1, 2, 3)}, r"image_size=\(1, 2, 3\)"),
        ({"image_size": (32, "32")}, "image_size"),
        ({"devices": 0}, "devices=0; give how many"),
        ({"resume": True, "checkpoint": "last"}, "Leave out one of them"),
        ({"resume": True, "overwrite": True}, "contradict"),
        ({"hpo_config": {"trials": 3}}, "hpo_config is given without run_hpo"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainOptions(**values)


def test_the_extremes_that_are_allowed_pass() -> None:
    TrainOptions(seed=2**32 - 1, learning_rate=1e30, devices=-1, image_size=[32, 48], engine_args={})


def test_given_holds_what_differs_from_the_defaults() -> None:
    assert TrainOptions().given() == {}
    assert TrainOptions(max_epochs=3, seed=0, devices=[0], engine_args={}).given() == {
        "max_epochs": 3,
        "devices": [0],
        "engine_args": {},
    }


@pytest.mark.parametrize(
    ("given", "wanted"), [(None, None), (32, (32, 32)), ((48, 64), (48, 64)), ([48, 64], (48, 64))]
)
def test_the_image_size_is_height_and_width(given: Any, wanted: tuple[int, int] | None) -> None:
    assert TrainOptions(image_size=given).image_size_hw == wanted


def test_names_of_open_mappings_are_checked() -> None:
    check_names("engine_args", ["mosaic"], ["mosaic", "mixup"])
    with pytest.raises(OptionError, match=r"engine_args has no option 'mosiac'\. Did you mean 'mosaic'\?"):
        check_names("engine_args", ["mosiac"], ["mosaic", "mixup"])
    with pytest.raises(OptionError, match=r"engine_args has no option 'any'\. Allowed: none"):
        check_names("engine_args", ["any"], [])


def test_choices_are_listed() -> None:
    check_choice("format", "onnx", ("openvino", "onnx"))
    with pytest.raises(
        OptionError, match=r"format='onx' is not allowed\. Did you mean 'onnx'\? Allowed: openvino, onnx"
    ):
        check_choice("format", "onx", ("openvino", "onnx"))
