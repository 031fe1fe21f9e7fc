"""Running Ultralytics' own validator on in-memory images."""

from __future__ import annotations

import copy
import importlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from drivetrain.engines.ultralytics.build import image_size_of
from drivetrain.engines.ultralytics.containment import contained
from drivetrain.engines.ultralytics.data import make_dataset
from drivetrain.engines.ultralytics.predict import DEFAULT_SIZE
from drivetrain.engines.ultralytics.train_args import device_name
from drivetrain.machine.device import choose_device

_BATCH_SIZE = 16
_SUBSET = "test"


def upstream_metrics(
    yolo: Any, given: list[Any], about: Mapping[str, Any], *, device: str, batch_size: int | None
) -> dict[str, float]:
    """Ultralytics' own metrics, under ``upstream/``.

    Args:
        yolo: Ultralytics' object; it is not changed.
        given: records, see :func:`drivetrain.engines.ultralytics.data.records`.
        about: names and shapes, see :func:`drivetrain.engines.ultralytics.data.facts`.
        device: as given to the engine.
        batch_size: images per step.
    """
    kind, _, number = choose_device(device).partition(":")
    with contained(), tempfile.TemporaryDirectory() as folder:
        overrides = {
            "task": yolo.task,
            "mode": "val",
            "data": _describe(Path(folder), yolo.task, about),
            "split": _SUBSET,
            "imgsz": image_size_of(yolo, DEFAULT_SIZE.get(yolo.task, 640)),
            "batch": batch_size or _BATCH_SIZE,
            "rect": True,
            "device": device_name(kind, int(number or 0)),
            "save_dir": str(Path(folder) / "run"),
            "plots": False,
            "verbose": False,
        }
        events = importlib.import_module("ultralytics.utils.callbacks.base").get_default_callbacks()
        validator = _bind(yolo.task_map[yolo.task]["validator"], given)(args=overrides, _callbacks=events)
        found = validator(model=copy.deepcopy(yolo.model))
    return {f"upstream/{name.removeprefix('metrics/')}": float(value) for name, value in found.items()}


def _bind(base: Any, given: list[Any]) -> Any:
    class BoundValidator(base):  # type: ignore[misc]  # the upstream class is untyped here
        """Uses in-memory images; everything else is Ultralytics' own."""

        def build_dataset(self, img_path: Any, mode: str = "val", batch: int | None = None) -> Any:
            del img_path
            return make_dataset(self, given, mode, batch, int(self.stride))

    return BoundValidator


def _describe(folder: Path, task: str, about: Mapping[str, Any]) -> str:
    """The input that Ultralytics checks before loading images: a file, or a folder per class for a classifier."""
    if task == "classify":
        for subset in ("train", "val", _SUBSET):
            for number in about["names"]:
                place = folder / "data" / subset / f"{number:06d}"
                place.mkdir(parents=True)
                (place / "counted.png").touch()
        return str(folder / "data")
    write_yaml(folder, about)
    return str(folder / "data.yaml")


def write_yaml(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the data description that Ultralytics requires and stores in its checkpoints; the images are elsewhere."""
    places = {"path": str(folder), **dict.fromkeys(("train", "val", _SUBSET), ".")}
    content = {**places, **{name: value for name, value in about.items() if name not in ("masks_dir", "train", "val")}}
    (folder / "data.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
