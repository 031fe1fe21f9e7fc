"""Model files that drivetrain did not write: what they say of themselves, and what the user says of them.

Understood are ModelAPI's metadata (``model_info``) in an IR or ONNX file, Ultralytics' export folder with its
``metadata.yaml``, the outputs of Anomalib's own export, and a description: a mapping given to ``load``, or a file
``<model>.drivetrain.yaml`` beside the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivetrain.errors import ArtifactError, DrivetrainError, near
from drivetrain.runtime.bare import DESCRIPTION, KEYS, SPEC_KEYS, Bare, how_to_describe
from drivetrain.runtime.model_api import facts_of_model_api
from drivetrain.runtime.model_file import read_model_file
from drivetrain.types import ImageSpec, Task
from drivetrain.types.task import ANOMALY_LABELS

SUFFIXES = (".xml", ".onnx")
_METADATA = "metadata.yaml"
_ANOMALIB = "pred_score"
_DECODERS = {
    Task.CLASSIFICATION: "classification",
    Task.MULTILABEL_CLASSIFICATION: "multilabel",
    Task.SEMANTIC_SEGMENTATION: "class_map",
    Task.ANOMALY: "anomaly",
    Task.DEPTH: "depth",
}
_ULTRALYTICS = {
    "classify": Task.CLASSIFICATION,
    "detect": Task.DETECTION,
    "segment": Task.INSTANCE_SEGMENTATION,
    "pose": Task.KEYPOINT_DETECTION,
    "obb": Task.ORIENTED_DETECTION,
}
_KINDS = {"detect": "boxes", "segment": "masks", "pose": "keypoints", "obb": "corners"}


def bare_model(path: Path) -> Path | None:
    """The model file that a path without a manifest means: itself, or the only one of an export folder.

    Raises:
        ArtifactError: an export folder of Ultralytics has no model, or several.
    """
    if path.is_file():
        return path if path.suffix in SUFFIXES else None
    if not (path / _METADATA).is_file():
        return None
    found = sorted(file for suffix in SUFFIXES for file in path.glob(f"*{suffix}"))
    if len(found) != 1:
        raise ArtifactError(f"{str(path)!r} has {len(found)} model files beside {_METADATA}; give the file itself.")
    return found[0]


def facts_of(path: Path, description: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What :class:`~drivetrain.runtime.artifact.Artifact` has to know of a bare model.

    Args:
        path: of its ``.xml`` or ``.onnx`` file.
        description: what the user says of it; it goes before what the file says.

    Raises:
        ArtifactError: what is known is not enough, or contradicts the graph; the message says what to give.
    """
    bare = Bare(path, *read_model_file(path))
    beside = path.with_name(f"{path.stem}{DESCRIPTION}")
    if description is None and beside.is_file():
        description = _yaml(beside)
    if description is not None:
        facts = _described(bare, dict(description))
    elif (path.parent / _METADATA).is_file():
        facts = _of_ultralytics(bare, _yaml(path.parent / _METADATA))
    elif not bare.info and _ANOMALIB in bare.names:
        facts = {"task": Task.ANOMALY, "label_names": ANOMALY_LABELS, "decoder": "anomaly"}
        facts["image_spec"] = ImageSpec(*bare.size)
    else:
        facts = facts_of_model_api(bare)
    return {
        "path": path.parent,
        "format": "openvino" if path.suffix == ".xml" else "onnx",
        "precision": "fp32",
        "model_file": path.name,
        "model_name": path.stem,
        "embedded": bare.embedded,
        "dynamic_batch": bool(bare.shape) and bare.shape[0] == -1,
        "output_names": bare.names,
        **facts,
    }


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ArtifactError(f"{str(path)!r} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{str(path)!r} holds no mapping from names to values.")
    return found


# --- what the user says ----------------------------------------------------------------------------------------------


def _described(bare: Bare, given: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(given) - set(KEYS))
    if unknown:
        raise ArtifactError(
            f"The description of {str(bare.path)!r} has the unknown key {unknown[0]!r}.{near(unknown[0], KEYS)} "
            f"Known: {', '.join(KEYS)}."
        )
    if "task" not in given:
        tasks = ", ".join(task.value for task in Task)
        raise ArtifactError(f"The description of {str(bare.path)!r} lacks 'task'; one of: {tasks}.")
    try:
        task = Task.parse(given["task"])
        spec = {key: given[key] for key in SPEC_KEYS if key in given}
        height, width = (int(spec.pop(key, 0)) for key in ("height", "width"))
        if not (height and width):
            height, width = bare.size
        image_spec = ImageSpec.from_dict({"height": height, "width": width, **spec})
    except (DrivetrainError, TypeError, ValueError) as error:
        raise ArtifactError(f"The description of {str(bare.path)!r} is wrong: {error}") from error
    decoder = given.get("decoder", _DECODERS.get(task))
    if decoder is None:
        raise ArtifactError(
            f"The description of {str(bare.path)!r} lacks 'decoder': answers of task={task.value!r} have many forms. "
            f"The outputs are {bare.said_outputs}. Decoders: boxes, queries, yolo (docs/foreign-models.md)."
        )
    labels = given.get("label_names", ANOMALY_LABELS if task is Task.ANOMALY else ())
    if not labels and task is not Task.DEPTH:
        raise ArtifactError(f"The description of {str(bare.path)!r} lacks 'label_names'.")
    return {
        "task": task,
        "label_names": tuple(str(name) for name in labels),
        "image_spec": image_spec,
        "decoder": str(decoder),
        "decoder_args": dict(given.get("decoder_args") or {}),
        "output_names": tuple(given.get("output_names") or bare.names),
    }


# --- Ultralytics' export folder --------------------------------------------------------------------------------------


def _of_ultralytics(bare: Bare, metadata: Mapping[str, Any]) -> dict[str, Any]:
    kind, names = metadata.get("task"), metadata.get("names")
    if kind not in _ULTRALYTICS or not isinstance(names, Mapping):
        raise ArtifactError(
            f"{str(bare.path.parent / _METADATA)!r} says task={kind!r}, which is not read here (read are "
            f"{', '.join(_ULTRALYTICS)}), or has no names. Describe the model{how_to_describe(bare.path)}"
        )
    labels = tuple(str(names[number]) for number in sorted(names))
    facts: dict[str, Any] = {"task": _ULTRALYTICS[kind], "label_names": labels, "engine": "ultralytics"}
    height, width = bare.size
    if kind == "classify":
        spec = ImageSpec(height, width, resize="crop")
        return {**facts, "image_spec": spec, "decoder": "classification", "decoder_args": {"activation": "none"}}
    points = list(metadata.get("kpt_shape") or (17, 3))
    extra = {"detect": 0, "obb": 1, "pose": points[0] * points[1], "segment": _prototypes(bare)}[kind]
    shape = bare.outputs[0].shape
    anchors = len(shape) == 3 and shape[1] == 4 + len(labels) + extra
    args: dict[str, Any] = {"layout": "anchors" if anchors else "objects", "kind": _KINDS[kind]}
    if kind == "pose":
        args["keypoints"] = points
    spec = ImageSpec(height, width, resize="letterbox", antialias=False)
    return {**facts, "image_spec": spec, "decoder": "yolo", "decoder_args": args}


def _prototypes(bare: Bare) -> int:
    """How many masks each mask is mixed from: the second axis of the output of four axes."""
    return next((port.shape[1] for port in bare.outputs if len(port.shape) == 4), 0)
