"""ModelAPI's metadata in a model file that drivetrain did not write: which decoder, which preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drivetrain.errors import ArtifactError
from drivetrain.runtime.bare import Bare, how_to_describe
from drivetrain.types import ImageSpec, Task

_RESIZE = {"standard": "stretch", "crop": "crop", "fit_to_window_letterbox": "letterbox"}
_YOLO = ("yolov5", "yolov8", "yolo11")
_ANOMALIB = "pred_score"
_BOX_VALUES = 5


def facts_of_model_api(bare: Bare) -> dict[str, Any]:
    """What the metadata of ModelAPI in a model file say for an artefact.

    Raises:
        ArtifactError: they are missing, or of a kind that is not read here; the message says what to give.
    """
    info = bare.info
    missing = [key for key in ("model_type", "labels") if not info.get(key)]
    if missing:
        raise ArtifactError(
            f"{str(bare.path)!r} has no manifest.json beside it, and its ModelAPI metadata lack {', '.join(missing)}. "
            f"Describe it{how_to_describe(bare.path)}"
        )
    kind = info["model_type"].lower()
    readers = {"classification": _classifier, "ssd": _boxes, "segmentation": _class_map, "anomalydetection": _anomaly}
    readers |= dict.fromkeys(_YOLO, _yolo)
    if kind not in readers or (kind == "classification" and bare.flag("hierarchical")):
        raise ArtifactError(
            f"{str(bare.path)!r} has model_type={info['model_type']!r}"
            f"{' (hierarchical)' if bare.flag('hierarchical') else ''}, which is not read here; read are "
            "Classification, SSD, YOLOv5, YOLOv8, YOLO11, Segmentation and AnomalyDetection. Describe "
            f"it{how_to_describe(bare.path)}"
        )
    facts = {"label_names": tuple(info["labels"].split()), "image_spec": _spec(bare)}
    return {**facts, **readers[kind](bare)}


def _classifier(bare: Bare) -> dict[str, Any]:
    several = bare.flag("multilabel")
    args = _threshold(bare) if several else {}
    return {
        "task": Task.MULTILABEL_CLASSIFICATION if several else Task.CLASSIFICATION,
        "decoder": "multilabel" if several else "classification",
        "decoder_args": args,
    }


def _boxes(bare: Bare) -> dict[str, Any]:
    """The three forms of outputs that ModelAPI's SSD takes, but for the one of a single output of seven columns."""
    named = {part: [name for name in bare.names if part in name] for part in ("bboxes", "scores", "labels")}
    if all(len(found) == 1 for found in named.values()):
        args: dict[str, Any] = {"boxes": named["bboxes"][0], "scores": named["scores"][0], "normalised": True}
        args["labels"] = named["labels"][0]
    else:
        with_score = [port.name for port in bare.outputs if len(port.shape) in (2, 3) and port.shape[-1] == _BOX_VALUES]
        if len(with_score) != 1:
            raise ArtifactError(
                f"{str(bare.path)!r} has model_type=SSD and the outputs {bare.said_outputs}. Read are bboxes, "
                f"scores and labels, or boxes of five columns and labels. Describe it{how_to_describe(bare.path)}"
            )
        args = {"boxes": with_score[0]}
        if named["labels"]:
            args["labels"] = named["labels"][0]
    return {
        "task": Task.DETECTION,
        "decoder": "boxes",
        "decoder_args": {**args, **_suppression(bare), **_threshold(bare)},
    }


def _suppression(bare: Bare) -> dict[str, Any]:
    if not bare.flag("nms_execute"):
        return {}
    agnostic = bare.flag("agnostic_nms")
    return {"nms": {"iou": float(bare.info.get("iou_threshold", 0.5)), "class_agnostic": agnostic}}


def _yolo(bare: Bare) -> dict[str, Any]:
    args = {"layout": "anchors", "kind": "boxes", "iou": float(bare.info.get("iou_threshold", 0.7)), **_threshold(bare)}
    spec = _spec(bare, resize="letterbox", pad=114, scale="255.0")
    return {"task": Task.DETECTION, "decoder": "yolo", "decoder_args": args, "image_spec": spec}


def _class_map(bare: Bare) -> dict[str, Any]:
    shapes = [port.shape for port in bare.outputs if "feature_vector" not in port.name]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] < 2:
        raise ArtifactError(
            f"{str(bare.path)!r} has model_type=Segmentation and the outputs {bare.said_outputs}; read is one of shape "
            f"(1, classes, height, width). Describe it{how_to_describe(bare.path)}"
        )
    return {"task": Task.SEMANTIC_SEGMENTATION, "decoder": "class_map"}


def _anomaly(bare: Bare) -> dict[str, Any]:
    if _ANOMALIB not in bare.names:
        raise ArtifactError(
            f"{str(bare.path)!r} has model_type=AnomalyDetection and the outputs {bare.said_outputs}; read are those "
            f"with pred_score in 0..1. Describe it{how_to_describe(bare.path)}"
        )
    spec = _spec(bare, scale="255.0") if not bare.embedded else _spec(bare)
    return {"task": Task.ANOMALY, "decoder": "anomaly", "image_spec": spec}


def _threshold(bare: Bare) -> dict[str, float]:
    found = bare.info.get("confidence_threshold")
    return {} if found is None else {"confidence_threshold": float(found)}


def _spec(bare: Bare, *, resize: str = "stretch", pad: int = 0, scale: str = "") -> ImageSpec:
    """The preprocessing that ModelAPI's keys say, with the defaults of a wrapper where they are silent."""
    info = bare.info
    asked = info.get("resize_type")
    if asked is not None and asked not in _RESIZE:
        raise ArtifactError(f"{str(bare.path)!r} asks for resize_type={asked!r}; allowed: {', '.join(_RESIZE)}.")
    height, width = bare.size
    values: dict[str, Any] = {
        "height": height,
        "width": width,
        "resize": _RESIZE[asked] if asked is not None else resize,
        "antialias": False,
        "pad_value": int(info.get("pad_value", pad)),
        "mean": _per_channel(info.get("mean_values", ""), 0.0),
        "std": _per_channel(info.get("scale_values", scale), 1.0),
    }
    return ImageSpec.from_dict(values)


def _per_channel(text: str, default: float) -> Sequence[float]:
    """Values of 0..255, one or one for each channel, as values of 0..1."""
    found = [float(value) for value in text.split()] or [default]
    return [value / 255.0 for value in (found * 3)[:3]]
