"""Matching masks to images by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from drivetrain.data.folder_names import look_like_maps, words_of
from drivetrain.data.tree import Tree, suffix_of

# words that distinguish the file of a mask from that of its image
_WORDS = frozenset(
    {
        "annotation", "coarse", "color", "colour", "ground", "groundtruth", "gt", "id", "ids", "image", "img",
        "instance", "instances", "l", "label", "labels", "map", "mask", "masks", "matte", "picture", "seg", "segm",
        "segmentation", "semantic", "truth",
    }
)  # fmt: skip
_MARKS = r"[_\-. ]+(?:seg[_\-]?)?(?:mask|masks|gt|ground_?truth|label|labels|seg|segm|segmentation|annotation|matte|L)$"
_AFFIX = re.compile(_MARKS, re.IGNORECASE)
_MARKED = re.compile(_MARKS, re.IGNORECASE | re.MULTILINE)
_LONGEST = 24
_FORMS = re.compile("leftImg8bit|gtFine|gtCoarse|labelTrainIds|instanceTrainIds", re.IGNORECASE)
_LOSSLESS = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".ppm"})


@dataclass(slots=True)
class MaskPairs:
    """Masks with their images.

    Attributes:
        masks: image -> its masks; both names relative to the root.
        alone: masks that match no image, or more than one.
    """

    masks: dict[str, list[str]] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)

    def add(self, image: str | None, mask: str) -> None:
        """Record which image a mask matches."""
        if image is None:
            self.alone.append(mask)
        else:
            self.masks.setdefault(image, []).append(mask)


def pairs_by_folder(images: Iterable[str], masks: Iterable[str], base: str) -> MaskPairs:
    """The pairs of images and of masks in a separate folder.

    The folders between ``base`` and a mask are the last folders of its image; then the names are equal, or equal
    after removing what marks a mask (``_mask``, ``_gt``), or have the same words and numbers apart from ``image``,
    ``mask`` and the like. A folder named like an image may contain several of its masks.

    Args:
        images: the candidates.
        masks: below ``base``.
        base: the folder of the masks.
    """
    held = list(masks)
    names = list(images)
    best = MaskPairs(alone=held)
    for parent in _parents(base, names):
        pairs = _pairs_within([name for name in names if name.startswith(parent)], held, base)
        if len(pairs.alone) < len(best.alone):
            best = pairs
        if 2 * len(best.alone) <= len(held):
            return best
    inner = _pairs_of_parts(names, held, base)
    return inner if len(inner.alone) < len(best.alone) else best


def _parents(base: str, images: Sequence[str]) -> list[str]:
    """Where the images of a mask folder may be: ``train`` of ``train_masks``, then its folder, then outwards."""
    outer, _, name = base.rpartition("/")
    within = f"{outer}/" if outer else ""
    siblings = {image.removeprefix(within).partition("/")[0] for image in images if image.startswith(within)}
    named = [other for other in siblings if name.lower().startswith(other.lower())]
    found = [f"{within}{max(named, key=len)}/"] if named else []
    parts = outer.split("/") if outer else []
    return [*found, *("".join(f"{part}/" for part in parts[:depth]) for depth in range(len(parts), -1, -1))]


def _pairs_of_parts(images: Sequence[str], masks: Sequence[str], base: str) -> MaskPairs:
    """The pairs by subfolder of a mask folder if these hold several forms of the masks: ``GT/LABELS``."""
    parts: dict[str, list[str]] = {}
    for mask in masks:
        part, _, rest = mask[len(base) + 1 :].partition("/")
        parts.setdefault(part if rest else "", []).append(mask)
    pairs = MaskPairs(alone=parts.pop("", []))
    for part, held in parts.items():
        inner = pairs_by_folder(images, held, f"{base}/{part}")
        pairs.alone += inner.alone
        for image, found in inner.masks.items():
            pairs.masks.setdefault(image, []).extend(found)
    return pairs


def _pairs_within(images: Sequence[str], masks: Sequence[str], base: str) -> MaskPairs:
    comparisons = _comparisons(images)
    pairs = MaskPairs()
    for mask in masks:
        folder, stem = _split(mask[len(base) + 1 :])
        image = _find(comparisons, folder, stem)
        if image is None and folder:
            outer, _, name = folder.rpartition("/")
            image = _find(comparisons[:1], outer, name)
        pairs.add(image, mask)
    return pairs


def pairs_by_suffix(tree: Tree, images: Sequence[str]) -> MaskPairs:
    """The pairs within a folder: ``x.jpg`` with ``x_mask.png``, ``x_GT.png``, or with a map ``x.png``.

    Only names whose files look like maps count as masks.
    """
    plainly = [name.rpartition(".")[0] for name in images]
    if len(set(plainly)) == len(plainly) and _MARKED.search("\n".join(plainly)) is None:
        return MaskPairs()
    stems: dict[str, list[str]] = {}
    for name, stem in zip(images, plainly, strict=True):
        stems.setdefault(stem, []).append(name)
    marked, beside = MaskPairs(), MaskPairs()
    for stem, names in stems.items():
        plain = _unmarked(stem)
        if plain != stem and len(names) == 1 and len(stems.get(plain, ())) == 1:
            marked.add(stems[plain][0], names[0])
        lossy = [name for name in names if suffix_of(name) not in _LOSSLESS]
        if len(names) == 2 and len(lossy) == 1:
            beside.add(lossy[0], next(name for name in names if name != lossy[0]))
    for pairs in (marked, beside):
        masks = [mask for found in pairs.masks.values() for mask in found]
        if masks and look_like_maps(tree, masks) and not look_like_maps(tree, list(pairs.masks)):
            return pairs
    return MaskPairs()


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One way of comparing a mask's name with those of images.

    Attributes:
        of_mask: reduces the stem of a mask.
        images: reduced stem of an image -> ``(folder, image)`` of each.
    """

    of_mask: Callable[[str], str]
    images: dict[str, list[tuple[str, str]]]

    def fitting(self, folder: str, stem: str) -> list[str]:
        """The images with this name whose last folders are those of the mask."""
        found = self.images.get(self.of_mask(stem), [])
        return [image for place, image in found if not folder or f"/{place}".endswith(f"/{folder}")]


def _comparisons(images: Sequence[str]) -> list[_Comparison]:
    """The ways of comparing, strictest first."""
    exact: dict[str, list[tuple[str, str]]] = {}
    alike: dict[str, list[tuple[str, str]]] = {}
    for image in images:
        folder, stem = _split(image)
        exact.setdefault(stem, []).append((folder, image))
        alike.setdefault(_words(stem), []).append((folder, image))
    return [_Comparison(str, exact), _Comparison(_unmarked, exact), _Comparison(_words, alike)]


def _find(comparisons: Sequence[_Comparison], folder: str, stem: str) -> str | None:
    """The single image that matches by the strictest method by which any does."""
    for comparison in comparisons:
        if found := comparison.fitting(folder, stem):
            return found[0] if len(found) == 1 else None
    return None


def _split(name: str) -> tuple[str, str]:
    """Folder and stem."""
    folder, _, file = name.rpartition("/")
    return folder, file[: len(file) - len(suffix_of(file))]


def _unmarked(stem: str) -> str:
    found = _AFFIX.search(stem, max(len(stem) - _LONGEST, 0))
    return stem if found is None else stem[: found.start()]


def _words(stem: str) -> str:
    words = words_of(_FORMS.sub(" ", stem))
    return "_".join(word for word in words if word not in _WORDS) or stem.lower()
