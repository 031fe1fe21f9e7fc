# ruff: noqa: TID253 - tests use the frameworks outright
"""Backbone weights are injected while a model is built, without side effects on the rest of the process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from anomalib.models import Padim
from torch import nn

from drivetrain.engines.anomalib.build import build_model
from drivetrain.engines.anomalib.weights import given_weights

SIZE = (64, 64)


def test_another_thread_loads_its_weights_undisturbed_while_a_model_is_built() -> None:
    load, stop, done = nn.Module.load_state_dict, threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            assert nn.Module.load_state_dict is load
            layer = nn.Linear(3, 2)
            layer.load_state_dict({"weight": torch.ones(2, 3), "bias": torch.zeros(2)})
            assert layer.weight.sum() == 6
            with pytest.raises(RuntimeError, match="Missing key"):
                layer.load_state_dict({})
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        build_model(Padim, {"pretrained": False}, image_size=SIZE)
    finally:
        stop.set()
        thread.join()
    assert len(done) > 1


def test_models_built_in_two_threads_leave_the_upstreams_as_they_were() -> None:
    before = timm.create_model, torchvision.models.WeightsEnum.get_state_dict
    built: list[Any] = []

    def build() -> None:
        built.append(build_model(Padim, {"pretrained": False}, image_size=SIZE))

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 3
    assert before == (timm.create_model, torchvision.models.WeightsEnum.get_state_dict)


def test_a_builder_of_torchvision_gets_the_given_weights_or_random_ones(tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = torchvision.models.resnet18(weights=None).state_dict()
    kind = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    with given_weights(state, "mine.pth"):
        made = torchvision.models.resnet18(weights=kind).state_dict()
    assert all(torch.equal(made[name], value) for name, value in state.items())
    with given_weights(None):
        other = torchvision.models.resnet18(weights=kind).state_dict()
    assert not torch.equal(other["conv1.weight"], state["conv1.weight"])
