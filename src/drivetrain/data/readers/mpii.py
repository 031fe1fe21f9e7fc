"""MPII Human Pose as published: one MATLAB file with the joints of the people on all images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from drivetrain.data.damage import Damage, number
from drivetrain.data.find_image import ImageFinder
from drivetrain.data.geometry import polygon_box
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.machine.packages import require
from drivetrain.types import Task

JOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
_SUFFIX = ".mat"
_WORD = "mpii"


def detect(tree: Tree) -> bool:
    """Whether there is a MATLAB file named like MPII's."""
    return bool(tree.images) and bool(_files(tree))


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The people with annotated joints; test images have none, and people without joints are left out.

    Raises:
        DataFormatError: there is no such file, or it contains something else.
        MissingDependencyError: SciPy, which opens the file, is not installed.
    """
    files = _files(tree) or tree.with_suffix(_SUFFIX)
    if len(files) != 1:
        raise DataFormatError(f"{tree.root} is not in the format 'mpii': it has {len(files)} MATLAB files, not one.")
    release = _release(tree, files[0])
    damage, finder = Damage(strict=request.strict), ImageFinder(tree)
    parsed = Parsed([], ["person"], Task.KEYPOINT_DETECTION, "mpii", keypoint_names=JOINTS)
    training = np.atleast_1d(getattr(release, "img_train", []))
    missing = 0
    for row, item in enumerate(_listed(getattr(release, "annolist", None))):
        name = getattr(getattr(item, "image", None), "name", None)
        path = finder.find(name, [tree.root / "images", tree.root]) if isinstance(name, str) and name else ""
        if not path or not tree.exists(path):
            missing += 1
            continue
        subset = "test" if row < len(training) and not training[row] else "train"
        record = Record(path, subset, boxes=[], box_labels=[], keypoints=[])
        for person in _listed(getattr(item, "annorect", None)):
            _add_person(record, person, damage, f"{files[0]}, {name}")
        parsed.records.append(record)
    parsed.notes += damage.notes()
    if missing:
        parsed.notes.append(f"{missing} images of {files[0]} do not exist.")
    return parsed


def _files(tree: Tree) -> list[str]:
    return [name for name in tree.with_suffix(_SUFFIX) if _WORD in name.rpartition("/")[2].lower()]


def _release(tree: Tree, name: str) -> Any:
    matlab = require("scipy.io", "lightning", purpose="Reading MPII's annotations")
    try:
        content = matlab.loadmat(tree.absolute(name), struct_as_record=False, squeeze_me=True)
    except Exception as error:  # SciPy raises all kinds of errors
        raise DataFormatError(f"{tree.absolute(name)} cannot be read as a MATLAB file: {error}.") from error
    if "RELEASE" not in content:
        raise DataFormatError(f"{tree.absolute(name)} is not MPII's: it has no 'RELEASE'.")
    return content["RELEASE"]


def _listed(value: Any) -> Iterator[Any]:
    """The entries of a value that MATLAB stores as one struct or several."""
    yield from np.atleast_1d(value).reshape(-1) if value is not None else ()


def _add_person(record: Record, person: Any, damage: Damage, place: str) -> None:
    """Add joints by number; those not annotated stay 0. The box surrounds the joints and the head."""
    points = list(_listed(getattr(getattr(person, "annopoints", None), "point", None)))
    values, seen = [0.0] * (3 * len(JOINTS)), []
    for point in points:
        joint, x, y = (number(getattr(point, name, None)) for name in ("id", "x", "y"))
        if joint is None or x is None or y is None or not 0 <= joint < len(JOINTS):
            damage.add("have a joint without a position; it was left out", place)
            continue
        visible = number(np.ravel(getattr(point, "is_visible", 1))[:1].tolist()[0]) if _is_given(point) else 1.0
        values[3 * int(joint) : 3 * int(joint) + 3] = x, y, 2.0 if visible else 1.0
        seen += [x, y]
    if not seen:
        return
    head = [number(getattr(person, name, None)) for name in ("x1", "y1", "x2", "y2")]
    corners = [value for value in head if value is not None]
    assert record.boxes is not None
    assert record.box_labels is not None
    assert record.keypoints is not None
    record.boxes += polygon_box([seen + corners if len(corners) == 4 else seen])
    record.box_labels.append(0)
    record.keypoints.append(values)


def _is_given(point: Any) -> bool:
    return bool(np.size(getattr(point, "is_visible", ())))
