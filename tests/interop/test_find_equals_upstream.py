"""``drivetrain find`` lists the same names as each upstream itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from drivetrain import list_engines, list_models
from drivetrain.machine.packages import import_object
from drivetrain.types import Task

#: Published Ultralytics weights that are not separate architectures: other data, other training, other wrappers.
_WEIGHTS_ONLY = re.compile(
    r"yolov[35].*u|.*-(oiv7|distill|reid|grayscale|pf|ade20k|objv1(-\d+|-seg)?)"
    r"|(?i:sam|sam2|sam2\.1|mobile_sam|fastsam|mobileclip2?|yolo_nas|calibration)[-_.].*|mobile_sam|.*\.npy"
)


def offered(engine: str, prefix: str) -> list[dict[str, Any]]:
    """The listing of a source, created in this process."""
    source = next(source for source in list_engines()[engine].sources if source.prefix == prefix)
    rows: list[dict[str, Any]] = import_object(source.listing)()["models"]
    names = [row["name"] for row in rows]
    assert len(names) == len(set(names)), "each name once"
    return rows


@pytest.mark.parametrize(
    ("engine", "prefix", "expected"),
    [
        (
            "lightning",
            "timm",
            {"resnet18": ("Apache-2.0", "Apache-2.0"), "convnextv2_tiny": ("Apache-2.0", "CC-BY-NC-4.0")},
        ),
        (
            "lightning",
            "torchvision",
            {"resnet18": ("BSD-3-Clause", "unknown"), "vit_h_14": ("BSD-3-Clause", "CC-BY-NC-4.0")},
        ),
        ("ultralytics", "ultralytics", {"yolo11n": ("AGPL-3.0", "AGPL-3.0")}),
        ("rfdetr", "rfdetr", {"rfdetr-nano": ("Apache-2.0", "Apache-2.0")}),
        ("anomalib", "anomalib", {"Padim": ("Apache-2.0", "Apache-2.0"), "WinClip": ("Apache-2.0", "unknown")}),
    ],
)
def test_licences_are_those_that_each_upstream_states(
    engine: str, prefix: str, expected: dict[str, tuple[str, str]]
) -> None:
    rows = {row["name"]: row for row in offered(engine, prefix)}
    found = {name: (rows[name]["code_licence"], rows[name]["weights_licence"]) for name in expected}
    assert found == expected


def test_anomalib() -> None:
    import anomalib.models

    rows = offered("anomalib", "anomalib")
    theirs = {name.replace("_", "").lower() for name in anomalib.models.list_models(case="snake")}
    assert {row["name"].lower() for row in rows} == theirs
    for row in rows:
        assert isinstance(import_object(row["class_path"]), type)


def test_timm() -> None:
    import timm

    assert [row["name"] for row in offered("lightning", "timm")] == timm.list_models()


def test_torchvision() -> None:
    import torchvision

    names = {row["name"] for row in offered("lightning", "torchvision")}
    every = set(torchvision.models.list_models())
    classifiers = set(torchvision.models.list_models(module=torchvision.models))
    others = {
        *torchvision.models.list_models(module=torchvision.models.detection),
        *torchvision.models.list_models(module=torchvision.models.segmentation),
    }
    assert classifiers <= names <= classifiers | others
    rest = set()
    for module in (torchvision.models.video, torchvision.models.quantization, torchvision.models.optical_flow):
        rest |= set(torchvision.models.list_models(module=module))
    assert every == classifiers | others | rest, "a kind of models that nobody has thought of"


def test_ultralytics() -> None:
    from drivetrain.engines.ultralytics.containment import ultralytics

    root = Path(ultralytics().__file__).parent / "cfg" / "models"
    from ultralytics.nn.tasks import guess_model_scale, yaml_model_load
    from ultralytics.utils.downloads import GITHUB_ASSETS_STEMS

    names = {row["name"] for row in offered("ultralytics", "ultralytics")}
    files = {path.stem: path for path in root.rglob("*.yaml")}
    sizes: dict[str, set[str]] = {stem: set() for stem in files}
    for name in names:
        yaml_model_load(f"{name}.yaml")  # Ultralytics itself knows the name
        stem = name if name in files else re.sub(r"(\d+)[nslmxtbceu](?=-|$)", r"\1", name)
        sizes[stem].add(guess_model_scale(f"{name}.yaml"))
    for stem, path in files.items():
        scales = set(yaml.safe_load(path.read_text()).get("scales") or {})
        several = len(scales) > 1 and re.search(r"\d", stem)
        assert sizes[stem] == scales if several else stem in names, f"{stem} is not offered as it is"
    released = {stem for stem in GITHUB_ASSETS_STEMS if not _WEIGHTS_ONLY.fullmatch(stem)}
    assert released <= names, sorted(released - names)


@pytest.mark.slow
def test_find_itself(tmp_path, monkeypatch, capsys) -> None:
    from drivetrain.cli.main import main

    monkeypatch.setenv("DRIVETRAIN_CACHE", str(tmp_path / "cache"))
    assert main(["find", "--names"]) == 0
    out, err = capsys.readouterr()
    for engine, spec in list_engines().items():
        for source in spec.sources:
            expected = [f"{source.prefix}:{row['name']}" for row in offered(engine, source.prefix)]
            assert [line for line in out.splitlines() if line.startswith(f"{source.prefix}:")] == expected
            lines = 0 if spec.missing else 1
            assert err.count(f"Listing the models of {source.distribution} ") == lines, "one line for a cold catalogue"
    capsys.readouterr()  # transformers itself has words about some of its configurations
    assert main(["find", "--names"]) == 0
    assert capsys.readouterr() == (out, ""), "a warm catalogue needs none"
    assert {task for entry in list_models() for task in entry.tasks} <= {task.value for task in Task}
