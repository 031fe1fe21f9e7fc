"""The Lightning engine's exports convert by ``torch.export``; other engines check this in their own tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from expected_failures import TRACE_ONLY

from drivetrain import Engine
from drivetrain.export import conversion
from drivetrain.testing import data

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}
LARGE = {**SMALL, "image_size": 224}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("timm:test_resnet", SMALL),
    ("timm:test_vit", {**SMALL, "image_size": 160}),
    ("timm:tf_efficientnet_lite0", SMALL),
    ("timm:vit_tiny_patch16_224", LARGE),
    ("timm:swin_tiny_patch4_window7_224", LARGE),
    ("torchvision:mobilenet_v3_small", SMALL),
    ("torchvision:vit_b_16", LARGE),
]
FAST = "timm:test_resnet"


@pytest.mark.parametrize(
    ("model", "options"),
    [pytest.param(*case, id=case[0], marks=() if case[0] == FAST else pytest.mark.slow) for case in CASES],
)
def test_a_classifier_is_exported_without_the_trace(
    model: str,
    options: dict[str, Any],
    tmp_path: Path,
    export_without_the_trace: Callable[[Engine, str, str], None],
) -> None:
    photos = data.class_folders(tmp_path / "photos", subsets={"train": 4, "val": 2, "test": 2})
    engine = Engine(model, photos, work_dir=tmp_path / "run", model_args={"pretrained": False}, device="cpu")
    engine.train(max_epochs=1, **options)
    export_without_the_trace(engine, "lightning", model)


@pytest.mark.slow
def test_rfdetr_is_converted_by_the_trace_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from rfdetr import RFDETRNano

    from drivetrain.engines.rfdetr.predict import deploy

    small = {"dec_layers": 1, "group_detr": 1, "num_queries": 20, "num_select": 20}
    deployed = deploy(RFDETRNano(pretrain_weights=None, device="cpu", **small))
    module, example = conversion.frozen_copy(deployed.module), torch.zeros(1, 3, *deployed.spec.size)
    monkeypatch.setattr(conversion, "WAYS", ("torch.export",))
    with pytest.raises(TRACE_ONLY["rfdetr", "rfdetr-nano"].raises):
        conversion.convert_module(module, example)
    monkeypatch.setattr(conversion, "WAYS", ("trace",))
    assert len(conversion.convert_module(module, example).outputs) == len(deployed.output_names)
