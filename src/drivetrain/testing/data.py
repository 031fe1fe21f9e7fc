"""Toy data sets on disk whose annotations are known exactly, and images that are awkward to read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

COLOURS = {
    "blue": (40, 60, 200),
    "green": (40, 180, 60),
    "red": (210, 40, 40),
    "yellow": (220, 210, 40),
    "violet": (150, 40, 190),
}
SUBSETS = {"train": 12, "val": 6, "test": 6}
KEYPOINTS = {"left": (0.0, 0.5), "right": (1.0, 0.5), "top": (0.5, 0.0), "bottom": (0.5, 1.0)}
"""Name -> the position of a keypoint within the box of its object, as fractions of width and height."""
_SHAPES = ("circle", "square")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One drawn image and its annotations.

    Attributes:
        image: ``(H, W, 3) uint8`` RGB.
        labels: ``(N,) int64``: 0 is a circle, 1 a square.
        masks: ``(N, H, W) bool``; shapes do not overlap.
        boxes: ``(N, 4) float32`` xyxy, the tight boxes of the masks in absolute pixels.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    boxes: NDArray[np.float32]


def class_folders(
    root: Path,
    *,
    classes: Sequence[str] = ("blue", "green", "red"),
    subsets: Mapping[str, int] = SUBSETS,
    size: int = 32,
    seed: int = 0,
) -> Path:
    """Classification: ``<subset>/<class>/<number>.png``, each class a colour with noise, in sizes around ``size``.

    Args:
        root: the folder to write to.
        classes: names from ``COLOURS``.
        subsets: number of images per class in each subset.
        size: approximate height and width in pixels.
        seed: the seed of noise and sizes.

    Returns:
        ``root``.
    """
    random = np.random.default_rng(seed)
    for subset, count in subsets.items():
        for name in classes:
            folder = root / subset / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                height, width = size + random.integers(-size // 8, size // 8 + 1, 2)
                pixels = random.normal(COLOURS[name], 25, (height, width, 3)).clip(0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


def scene(random: np.random.Generator, size: int = 64, *, most: int = 3) -> Scene:
    """Draw one to ``most`` circles and squares, each in its own quarter, on dark noise."""
    pixels = random.integers(0, 60, (size, size, 3)).astype(np.uint8)
    labels, masks = [], []
    for quarter in random.permutation(4)[: random.integers(1, most + 1)]:
        half = size // 2
        side = int(random.integers(half // 2, half - 2))
        top, left = (int(half * part + random.integers(0, half - side)) for part in divmod(int(quarter), 2))
        label = int(random.integers(0, len(_SHAPES)))
        canvas = Image.new("1", (size, size))
        draw = ImageDraw.Draw(canvas)
        corners = (left, top, left + side - 1, top + side - 1)
        (draw.ellipse if label == 0 else draw.rectangle)(corners, fill=1)
        mask = np.array(canvas)
        pixels[mask] = COLOURS["yellow"] if label == 0 else COLOURS["blue"]
        labels.append(label)
        masks.append(mask)
    found = np.stack(masks)
    return Scene(pixels, np.array(labels, np.int64), found, np.stack([_box(mask) for mask in found]))


def _box(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _scenes(subsets: Mapping[str, int], size: int, seed: int) -> dict[str, list[Scene]]:
    random = np.random.default_rng(seed)
    return {name: [scene(random, size) for _ in range(count)] for name, count in subsets.items()}


def coco(
    root: Path,
    *,
    subsets: Mapping[str, int] = SUBSETS,
    size: int = 64,
    seed: int = 0,
    keypoints: Sequence[str] = (),
) -> Path:
    """Detection and instance segmentation: COCO with ``images/<subset>`` and ``annotations/instances_<subset>.json``.

    The boxes are exact; the masks are written as uncompressed run lengths, so they are exact too.

    Args:
        root: the folder to write to.
        subsets: number of images in each subset.
        size: height and width in pixels.
        seed: the seed of the scenes.
        keypoints: names from ``KEYPOINTS`` of points that every object has; all of them are visible.

    Returns:
        ``root``.
    """
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for subset, scenes in _scenes(subsets, size, seed).items():
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, drawn in enumerate(scenes, 1):
            name = f"{number:04}.png"
            _save(drawn.image, root / "images" / subset / name)
            images.append({"id": number, "file_name": name, "height": size, "width": size})
            for label, mask, box in zip(drawn.labels, drawn.masks, drawn.boxes, strict=True):
                left, top, right, bottom = (float(value) for value in box)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": int(label) + 1,
                        "bbox": [left, top, right - left, bottom - top],
                        "area": float(mask.sum()),
                        "iscrowd": 0,
                        "segmentation": _run_lengths(mask),
                    }
                )
                if keypoints:
                    places = [(KEYPOINTS[name][0], KEYPOINTS[name][1]) for name in keypoints]
                    points = np.array([[left + x * (right - left), top + y * (bottom - top), 2] for x, y in places])
                    annotations[-1] |= {"keypoints": points.ravel().tolist(), "num_keypoints": len(points)}
        named = {"keypoints": list(keypoints)} if keypoints else {}
        categories = [{"id": number, "name": name, **named} for number, name in enumerate(_SHAPES, 1)]
        document = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{subset}.json").write_text(json.dumps(document), encoding="utf-8")
    return root


def _run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's uncompressed run lengths: column by column, starting with a run of zeros."""
    flat = np.concatenate([[False], mask.T.ravel()])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    return {"size": list(mask.shape), "counts": [int(count) for count in counts]}


def yolo(root: Path, *, subsets: Mapping[str, int] = SUBSETS, size: int = 64, seed: int = 0) -> Path:
    """Detection: the scenes of :func:`coco` as YOLO, with ``images/<subset>``, ``labels/<subset>`` and ``data.yaml``.

    Returns:
        The ``data.yaml``.
    """
    for subset, scenes in _scenes(subsets, size, seed).items():
        for number, drawn in enumerate(scenes, 1):
            _save(drawn.image, root / "images" / subset / f"{number:04}.png")
            boxes = drawn.boxes.astype(np.float64) / size
            lines = [
                f"{label} {(x0 + x1) / 2} {(y0 + y1) / 2} {x1 - x0} {y1 - y0}\n"
                for label, (x0, y0, x1, y1) in zip(drawn.labels, boxes, strict=True)
            ]
            labels = root / "labels" / subset
            labels.mkdir(parents=True, exist_ok=True)
            (labels / f"{number:04}.txt").write_text("".join(lines), encoding="utf-8")
    rows = [f"path: {root.absolute()}", *(f"{subset}: images/{subset}" for subset in subsets)]
    rows += ["names:", *(f"  {number}: {name}" for number, name in enumerate(_SHAPES))]
    (root / "data.yaml").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root / "data.yaml"


def oriented(root: Path, *, subsets: Mapping[str, int] = SUBSETS, size: int = 64, seed: int = 0) -> Path:
    """Oriented detection: one rotated bar in each image as YOLO, with four corners per line and ``task: obb``.

    Returns:
        ``root``.
    """
    random = np.random.default_rng(seed)
    for subset, count in subsets.items():
        labels = root / "labels" / subset
        labels.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            label, angle = int(random.integers(0, 2)), float(random.uniform(0, np.pi))
            across = np.array([np.cos(angle), np.sin(angle)]) * size * random.uniform(0.2, 0.3)
            down = np.array([-across[1], across[0]]) * random.uniform(0.3, 0.6)
            corners = size / 2 + np.array([-across - down, across - down, across + down, down - across])
            image = Image.fromarray(random.integers(0, 60, (size, size, 3)).astype(np.uint8))
            colour = COLOURS["yellow"] if label == 0 else COLOURS["blue"]
            ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in corners], fill=colour)
            _save(np.array(image), root / "images" / subset / f"{number:04}.png")
            line = " ".join([str(label), *(f"{value / size:.6f}" for value in corners.ravel())])
            (labels / f"{number:04}.txt").write_text(f"{line}\n", encoding="utf-8")
    rows = [*(f"{subset}: images/{subset}" for subset in subsets), "task: obb", "names: [yellow, blue]"]
    (root / "data.yaml").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def depth(root: Path, *, subsets: Mapping[str, int] = SUBSETS, size: int = 64, seed: int = 0) -> Path:
    """Depth: slanted planes that get darker with distance, with depth maps in metres next to the images.

    Returns:
        The ``data.yaml`` in Ultralytics' layout: ``images/<subset>`` and ``depth/<subset>``.
    """
    random = np.random.default_rng(seed)
    for subset, count in subsets.items():
        for number in range(count):
            slope = random.uniform(-1, 1, 2)
            ramp = np.linspace(-1, 1, size)
            metres = (3 + slope[0] * ramp[:, None] + slope[1] * ramp[None]).astype(np.float32)
            pixels = 255 - 45 * metres[..., None] + random.normal(0, 4, (size, size, 3))
            _save(pixels.clip(0, 255).astype(np.uint8), root / "images" / subset / f"{number:04}.png")
            target = root / "depth" / subset / f"{number:04}.npy"
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, metres)
    rows = [f"path: {root.absolute()}", *(f"{subset}: images/{subset}" for subset in subsets), "names: [depth]"]
    (root / "data.yaml").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root / "data.yaml"


def class_maps(root: Path, *, subsets: Mapping[str, int] = SUBSETS, size: int = 64, seed: int = 0) -> Path:
    """Semantic segmentation: the scenes as VOC; pixel values are 0 background, 1 circle, 2 square.

    Returns:
        ``root``.
    """
    for subset, scenes in _scenes(subsets, size, seed).items():
        names = [f"{subset}_{number:04}" for number in range(len(scenes))]
        for name, drawn in zip(names, scenes, strict=True):
            _save(drawn.image, root / "JPEGImages" / f"{name}.png")
            numbers = (drawn.masks * (drawn.labels + 1)[:, None, None]).max(0)
            _save(numbers.astype(np.uint8), root / "SegmentationClass" / f"{name}.png")
        sets = root / "ImageSets" / "Segmentation"
        sets.mkdir(parents=True, exist_ok=True)
        (sets / f"{subset}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    rows = ["background:0,0,0::", *(f"{name}:{60 * n},{200 - 60 * n},90::" for n, name in enumerate(_SHAPES, 1))]
    (root / "labelmap.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def mvtec(root: Path, *, train: int = 8, test: int = 4, size: int = 64, seed: int = 0) -> Path:
    """Anomaly detection: MVTec AD with ``train/good``, ``test/{good,spot}`` and exact masks in ``ground_truth/spot``.

    Normal images are a smooth gradient with little noise; defective ones have one bright square.

    Returns:
        ``root``.
    """
    random = np.random.default_rng(seed)
    for part, count in (("train/good", train), ("test/good", test), ("test/spot", test)):
        for number in range(count):
            ramp = np.linspace(60, 120, size)
            pixels = np.stack([ramp[:, None] + ramp, ramp[:, None] + 0 * ramp, 0 * ramp[:, None] + ramp], -1) / 1.5
            pixels += random.normal(0, 3, (size, size, 3))
            if part == "test/spot":
                side = int(random.integers(size // 6, size // 3))
                top, left = (int(value) for value in random.integers(0, size - side, 2))
                pixels[top : top + side, left : left + side] = 250
                mask = np.zeros((size, size), np.uint8)
                mask[top : top + side, left : left + side] = 255
                _save(mask, root / "ground_truth" / "spot" / f"{number:03}_mask.png")
            _save(pixels.clip(0, 255).astype(np.uint8), root / part / f"{number:03}.png")
    return root


def awkward_images(root: Path) -> dict[str, Path]:
    """Images that a reader must be able to handle.

    Returns:
        Name -> file: ``odd`` (31 x 47), ``tiny`` (1 x 1), ``flat`` (3 x 90), ``grey``, ``palette``,
        ``alpha``, ``deep`` (16 bits) and ``exif`` (a JPEG that is 40 x 24 when upright, stored sideways).
    """
    random = np.random.default_rng(7)
    root.mkdir(parents=True, exist_ok=True)

    def noise(*shape: int) -> NDArray[np.uint8]:
        return random.integers(0, 256, shape).astype(np.uint8)

    sideways = Image.fromarray(noise(24, 40, 3))
    exif = sideways.getexif()
    exif[0x0112] = 6
    images: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "odd": (Image.fromarray(noise(31, 47, 3)), "png", {}),
        "tiny": (Image.fromarray(noise(1, 1, 3)), "png", {}),
        "flat": (Image.fromarray(noise(3, 90, 3)), "png", {}),
        "grey": (Image.fromarray(noise(32, 32)), "png", {}),
        "palette": (Image.fromarray(noise(32, 32, 3)).quantize(16), "png", {}),
        "alpha": (Image.fromarray(noise(32, 32, 4)), "png", {}),
        "deep": (Image.fromarray(noise(32, 32).astype(np.uint16) * 257), "png", {}),
        "exif": (sideways, "jpg", {"exif": exif}),
    }
    for name, (image, suffix, options) in images.items():
        image.save(root / f"{name}.{suffix}", **options)
    return {name: root / f"{name}.{suffix}" for name, (_, suffix, _) in images.items()}


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
