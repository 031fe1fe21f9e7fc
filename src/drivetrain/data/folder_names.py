"""What the names of folders, and a glance at their images, say about them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drivetrain.data.read_record import subset_name
from drivetrain.data.tree import Tree, is_image, suffix_of
from drivetrain.images.file import NoImage, open_image

# words in the names of mask folders; a class may have such a name too, so the images decide
_MASK_WORDS = frozenset(
    {
        "annot", "annotation", "annotations", "groundtruth", "gt", "gtcoarse", "gtfine", "label",
        "labeled", "labelled", "labelmap", "labelmaps", "labels", "mask", "masks", "matte", "mattes", "seg", "segm",
        "segmentation", "segmentations", "semantic", "trimap", "trimaps",
    }
)  # fmt: skip
# names that no class has
_NEVER_CLASSES = frozenset(
    {
        "annotations", "groundtruth", "gtcoarse", "gtfine", "segmentationclass", "segmentationobject",
    }
)  # fmt: skip
_IMAGE_WORDS = frozenset(
    {
        "bit", "data", "frame", "frames", "image", "images", "img", "imgs", "input", "inputs", "jpeg", "jpegimages",
        "jpegs", "jpg", "jpgs", "left", "photo", "photos", "pic", "pics", "picture", "pictures", "png", "pngs",
        "raw", "rgb",
    }
)  # fmt: skip
# maps that do not contain the class of each pixel
OTHER_MAPS = frozenset({"depth", "disparity", "instance", "instances", "panoptic", "part", "parts", "polygons"})
_PROSE = frozenset({".md", ".pdf", ".html", ".rst"})
# files next to images that are not annotations; any other file may be one
_HARMLESS = frozenset(
    {
        ".py",
        ".sh",
        ".bat",
        ".ipynb",
        ".log",
        ".zip",
        ".gz",
        ".tar",
        ".mp4",
        ".avi",
        ".mov",
        ".mkv",
        ".db",
        ".ini",
        ".lnk",
    }
)
_RUN_NAMES = frozenset({"runs", "wandb", "mlruns", "lightning_logs", "tb_logs"})

_GLANCES = 3  # images of a folder that are opened to see what it contains
_MOST_COLOURS = 64  # a photograph has more, a map of classes hardly ever
_EXTREME = 24  # how far from black or white a pixel of a lossy or smoothed mask of two kinds may be
_EXTREME_SHARE = 0.9


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: ``Object_SegmentedMasks2`` -> object, segmented, masks, 2."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


def is_mask_name(name: str) -> bool:
    """Whether a folder may hold masks, by its name."""
    words = words_of(name)
    return bool(_MASK_WORDS & {*words, "".join(words), *_pairs(words)}) or name.lower().endswith(("annot", "masks"))


def is_never_class(name: str) -> bool:
    """Whether a folder cannot be a class, whatever it contains."""
    return "".join(words_of(name)) in _NEVER_CLASSES


def is_image_name(name: str) -> bool:
    """Whether a folder is named for containing images rather than for what they show."""
    words = {word for word in words_of(name) if not word.isdecimal()}
    return bool(words) and words <= _IMAGE_WORDS


def is_subset(name: str) -> bool:
    """Whether a folder is named as a subset."""
    return bool(name) and subset_name(name) in ("train", "val", "test")


def named_subsets(names: Collection[str]) -> dict[str, str]:
    """Which of some sibling folders are subsets, with their canonical names.

    Besides ``train`` and the like, these are names that differ only in such a word: ``WIDER_train`` and
    ``WIDER_val``, ``train2017`` and ``val2017``.
    """
    found = {name: subset_name(name) for name in names if is_subset(name)}
    alike: dict[str, dict[str, str]] = {}
    for name in names:
        words = words_of(name)
        marks = [word for word in words if is_subset(word)]
        if name not in found and len(marks) == 1:
            rest = "_".join(word for word in words if word != marks[0])
            alike.setdefault(rest, {})[name] = subset_name(marks[0])
    for group in alike.values():
        if len(set(group.values())) > 1 and "train" in group.values():
            found.update(group)
    return found


def is_map_name(name: str) -> bool:
    """Whether a folder may hold masks or other maps of images, by its name."""
    return is_mask_name(name) or bool(OTHER_MAPS & set(words_of(name)))


def subset_in(folder: str) -> str:
    """The subset named by the first folder in a path that names one; otherwise ``train``."""
    parts = PurePosixPath(folder).parts
    return next((subset_name(part) for part in parts if is_subset(part)), "train")


def is_for_readers(file: str) -> bool:
    """Whether a file is for people to read, judging by its name: a licence, a readme."""
    return file.lower().startswith(("readme", "license", "licence", "citation", "notes")) or suffix_of(file) in _PROSE


def may_annotate(name: str) -> bool:
    """Whether a file may annotate images: it is no image, program, archive or video, and not for people to read.

    Captions do not count, as they are not used.
    """
    file = name.rpartition("/")[2]
    return not (is_image(name) or suffix_of(name) in _HARMLESS or is_for_readers(file) or is_of_captions(file))


def is_of_captions(file: str) -> bool:
    """Whether a file has the name of COCO's captions."""
    return file.startswith("captions") and file.endswith(".json")


def is_run(tree: Tree, folder: str) -> bool:
    """Whether a folder has the name of a training's output, and contains more than images."""
    if folder.rpartition("/")[2].lower() not in _RUN_NAMES:
        return False
    below = [name for name in tree.files if name.startswith(f"{folder}/")]
    images = [name for name in tree.images if name.startswith(f"{folder}/")]
    return len(below) > len(images) or all(name.count("/") > folder.count("/") + 1 for name in images)


def mask_folders(tree: Tree) -> list[str]:
    """The topmost folders of masks: their names say so, and their images look like masks."""
    found: list[str] = []
    for folder in tree.folders:
        if any(folder.startswith(f"{other}/") for other in found) or not is_mask_name(folder.rpartition("/")[2]):
            continue
        below = [
            name for part, names in tree.image_folders.items() if f"{part}/".startswith(f"{folder}/") for name in names
        ]
        if below and (is_never_class(folder.rpartition("/")[2]) or look_like_maps(tree, below)):
            found.append(folder)
    return found


def look_like_maps(tree: Tree, images: Sequence[str]) -> bool:
    """Whether most images of a small sample look like class maps."""
    chosen = list(dict.fromkeys(images[round(i * (len(images) - 1) / (_GLANCES - 1))] for i in range(_GLANCES)))
    return sum(looks_like_map(tree.absolute(name)) for name in chosen) * 2 > len(chosen)


def looks_like_map(path: str) -> bool:
    """Whether an image has few colours, or almost nothing between black and white."""
    try:
        with open_image(path) as image:
            if image.mode in ("1", "P"):
                return image.mode == "1" or len(image.getcolors(256) or ()) <= _MOST_COLOURS
            wide = image.mode.startswith(("I", "F"))
            pixels = np.asarray(image if wide else image.convert("L" if image.mode in ("L", "LA") else "RGB"))
    except (FileNotFoundError, NoImage):  # reported where the images are checked
        return False
    return _has_few_colours(pixels) or _is_black_and_white(pixels)


def _has_few_colours(pixels: NDArray[np.generic]) -> bool:
    if pixels.ndim == 2:
        return len(np.unique(pixels)) <= min(_MOST_COLOURS, max(pixels.size // 8, 2))
    colours = Image.fromarray(pixels).getcolors(_MOST_COLOURS)
    return colours is not None and len(colours) <= max(pixels.shape[0] * pixels.shape[1] // 8, 2)


def _is_black_and_white(pixels: NDArray[np.generic]) -> bool:
    if pixels.dtype != np.uint8:
        return False
    values = pixels.astype(np.int16)
    extreme = (values <= _EXTREME) | (values >= 255 - _EXTREME)
    return bool(extreme.mean() >= _EXTREME_SHARE and (values <= _EXTREME).any())


def _pairs(words: Sequence[str]) -> set[str]:
    return {first + second for first, second in itertools.pairwise(words)}
