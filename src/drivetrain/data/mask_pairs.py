"""Which mask belongs to which image, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from drivetrain.data.folder_names import look_like_maps, words_of
from drivetrain.data.tree import Tree, suffix_of

# words that tell the file of a mask from that of its image
_WORDS = frozenset(
    {
        "annotation", "color", "colour", "ground", "groundtruth", "gt", "id", "ids", "image", "img", "l", "label",
        "labels", "map", "mask", "masks", "matte", "picture", "seg", "segm", "segmentation", "semantic", "truth",
    }
)  # fmt: skip
_AFFIX = re.compile(
    r"[_\-. ]+(?:seg[_\-]?)?(?:mask|masks|gt|ground_?truth|label|labels|seg|segm|segmentation|annotation|matte|L)$",
    re.IGNORECASE,
)
_LOSSLESS = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".ppm"})


@dataclass(slots=True)
class MaskPairs:
    """Masks with their images.

    Attributes:
        masks: image -> its masks; both names below the root.
        alone: masks that no image, or more than one, belongs to.
    """

    masks: dict[str, list[str]] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)

    def add(self, image: str | None, mask: str) -> None:
        """Note what belongs to a mask."""
        if image is None:
            self.alone.append(mask)
        else:
            self.masks.setdefault(image, []).append(mask)


def pairs_by_folder(images: Iterable[str], masks: Iterable[str], base: str) -> MaskPairs:
    """The pairs of images and of masks in a folder of their own.

    The folders between ``base`` and a mask are the last folders of its image; then the names are equal, or equal
    without what marks a mask (``_mask``, ``_gt``), or have the same words and numbers beside ``image``, ``mask`` and
    the like. A folder named as an image may hold several masks of it.

    Args:
        images: where to look.
        masks: below ``base``.
        base: the folder of the masks.
    """
    parent = f"{base.rpartition('/')[0]}/" if "/" in base else ""
    comparisons = _comparisons([name for name in images if name.startswith(parent)])
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
    """The pairs in one folder: ``x.jpg`` with ``x_mask.png``, ``x_GT.png``, or with a map ``x.png``.

    Only names whose files look like maps count as masks.
    """
    stems: dict[str, list[str]] = {}
    for name in images:
        stems.setdefault(name[: len(name) - len(suffix_of(name))], []).append(name)
    marked, beside = MaskPairs(), MaskPairs()
    for stem, names in stems.items():
        plain = _AFFIX.sub("", stem)
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
    """One way of comparing the name of a mask with those of images.

    Attributes:
        of_mask: what the stem of a mask is reduced to.
        images: what the stem of an image is reduced to -> ``(folder, image)`` of each.
    """

    of_mask: Callable[[str], str]
    images: dict[str, list[tuple[str, str]]]

    def fitting(self, folder: str, stem: str) -> list[str]:
        """The images of this name whose last folders are those of the mask."""
        found = self.images.get(self.of_mask(stem), [])
        return [image for place, image in found if not folder or f"/{place}".endswith(f"/{folder}")]


def _comparisons(images: Sequence[str]) -> list[_Comparison]:
    """The ways of comparing, the strictest first."""
    exact: dict[str, list[tuple[str, str]]] = {}
    alike: dict[str, list[tuple[str, str]]] = {}
    for image in images:
        folder, stem = _split(image)
        exact.setdefault(stem, []).append((folder, image))
        alike.setdefault(_words(stem), []).append((folder, image))
    return [_Comparison(str, exact), _Comparison(_unmarked, exact), _Comparison(_words, alike)]


def _find(comparisons: Sequence[_Comparison], folder: str, stem: str) -> str | None:
    """The one image that fits by the strictest way by which any does."""
    for comparison in comparisons:
        if found := comparison.fitting(folder, stem):
            return found[0] if len(found) == 1 else None
    return None


def _split(name: str) -> tuple[str, str]:
    """Folder and stem."""
    folder, _, file = name.rpartition("/")
    return folder, file[: len(file) - len(suffix_of(file))]


def _unmarked(stem: str) -> str:
    return _AFFIX.sub("", stem)


def _words(stem: str) -> str:
    return "_".join(word for word in words_of(stem) if word not in _WORDS) or stem.lower()
