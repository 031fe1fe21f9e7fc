"""Depth data in Ultralytics' own layout, which no other engine has: images next to a folder of depth maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from drivetrain.errors import DataError, DataNotFoundError
from drivetrain.images.read import IMAGE_SUFFIXES, image_size
from drivetrain.types import Sample

_SUBSETS = ("train", "val", "test")


def is_depth_yaml(data: Any) -> bool:
    """Whether the data are a YAML file in Ultralytics' data format."""
    return isinstance(data, str | Path) and Path(data).suffix in (".yaml", ".yml")


def depth_samples(data: str | Path, subset: str) -> list[Sample]:
    """The images of a subset with the paths of their depth maps.

    The path of a depth map is that of the image with the last folder ``images`` replaced by ``depth``: a ``.png`` in
    thousandths of a metre, or a ``.npy`` in metres.

    Raises:
        DataError: the file has no such subset, or none of its images has a depth map.
        DataNotFoundError: its folder does not exist; nothing is downloaded.
    """
    file = Path(data).expanduser()
    content = _read(file)
    if not isinstance(content.get(subset), str):
        known = [name for name in _SUBSETS if content.get(name)]
        raise DataError(f"{file} has no folder of images for {subset!r}. It has: {', '.join(known) or 'none'}.")
    folder = (file.parent / str(content.get("path") or ".") / str(content[subset])).resolve()
    if not folder.is_dir():
        raise DataNotFoundError(f"{file}: {subset}={str(folder)!r} does not exist. Nothing was downloaded.")
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    pairs = [(path, _map_of(path)) for path in images]
    found = [
        Sample(str(path), image_size(path), number, subset, mask_path=str(depth))
        for number, (path, depth) in enumerate(pairs)
        if depth is not None
    ]
    if not found:
        raise DataError(
            f"None of the {len(images)} images in {folder} has a depth map. Put it at the path of the image, with a "
            "folder 'depth' in place of 'images', as .png or .npy."
        )
    return found


def depth_records(samples: list[Sample]) -> list[dict[str, Any]]:
    """The input of Ultralytics' data set of depth maps."""
    return [
        {
            "im_file": sample.path,
            "shape": sample.size,
            "cls": np.array([], np.float32),
            "bboxes": np.zeros((0, 4), np.float32),
            "segments": [],
            "normalized": True,
            "bbox_format": "xywh",
        }
        for sample in samples
    ]


def depth_facts(data: str | Path) -> dict[str, Any]:
    """Names and maximum depth, in the form of Ultralytics' data description."""
    content = _read(Path(data).expanduser())
    names = content.get("names") or {0: "depth"}
    named = dict(enumerate(names)) if isinstance(names, list) else names
    about: dict[str, Any] = {"names": named, "nc": len(named), "channels": 3}
    return {**about, **{key: content[key] for key in ("max_depth",) if key in content}}


def _map_of(image: Path) -> Path | None:
    parts = list(image.parts)
    places = [number for number, part in enumerate(parts) if part == "images"]
    if not places:
        return None
    parts[places[-1]] = "depth"
    target = Path(*parts)
    return next((path for path in (target.with_suffix(".png"), target.with_suffix(".npy")) if path.is_file()), None)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"data={str(file)!r} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"data={str(file)!r} is not a description of data: it should map train, val and names.")
    if content.get("depth_scale") not in (None, 1000):
        raise DataError(
            f"{file}: depth_scale={content['depth_scale']} is not supported; only thousandths of a metre are."
        )
    return content
