"""The models that the installed Ultralytics describes in its own YAML files."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import yaml

from drivetrain.types.task import Task

#: The licence of all its code and weights: https://www.ultralytics.com/license and the first line of each of its files.
LICENCE = "AGPL-3.0"
#: The last module of an architecture -> the task it is for.
_HEADS = (
    ("classify", Task.CLASSIFICATION),
    ("semanticsegment", Task.SEMANTIC_SEGMENTATION),
    ("segment", Task.INSTANCE_SEGMENTATION),
    ("pose", Task.KEYPOINT_DETECTION),
    ("obb", Task.ORIENTED_DETECTION),
    ("depth", Task.DEPTH),
    ("detect", Task.DETECTION),
    ("rtdetrdecoder", Task.DETECTION),
)


def models() -> dict[str, Any]:
    """Rows for the catalogue: every architecture in every size; nothing is imported."""
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or not spec.submodule_search_locations:
        return {"models": [], "arguments": {}}
    root = Path(next(iter(spec.submodule_search_locations))) / "cfg" / "models"
    rows = [row for path in sorted(root.rglob("*.yaml")) for row in _rows(path)]
    task = {
        "name": "task",
        "type": "str",
        "default": "None",
        "help": "The task of the model; derived from its name if not given.",
    }
    return {"models": rows, "arguments": {row["family"]: [task] for row in rows}}


def _rows(path: Path) -> list[dict[str, Any]]:
    description = yaml.safe_load(path.read_text(encoding="utf-8"))
    task = _task(str(description["head"][-1][-2]).lower())
    scales = list(description.get("scales") or []) if re.search(r"\d", path.stem) else []
    sizes = scales if len(scales) > 1 else [""]
    return [
        {
            "name": name,
            "tasks": [task] if task else [],
            "class_path": f"ultralytics:{class_name(name)}",
            "family": path.stem,
            "code_licence": LICENCE,
            "weights_licence": LICENCE,
            "summary": f"{class_name(name)} {path.stem}" + (f" in size {size}" if size else ""),
        }
        for size, name in ((size, _scaled(path.stem, size)) for size in sizes)
    ]


def _task(head: str) -> str | None:
    return next((task.value for mark, task in _HEADS if mark in head), None)


def _scaled(stem: str, scale: str) -> str:
    """``("yolo11-seg", "n")`` -> ``"yolo11n-seg"``; without a scale, the name unchanged."""
    return re.sub(r"(\d+)", rf"\g<1>{scale}", stem, count=1)


def class_name(name: str) -> str:
    """The Ultralytics class for a model of the given name."""
    if name.startswith("rtdetr") or name.endswith("-rtdetr"):
        return "RTDETR"
    if name.startswith("yoloe"):
        return "YOLOE"
    return "YOLOWorld" if "-world" in name else "YOLO"
