"""Images with class maps in separate folders or next to them, told apart by name and content.

Cityscapes, KITTI, Mapillary Vistas, CamVid, SYNTHIA and ADE20k are laid out this way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from drivetrain.data.anomaly import is_normal_name
from drivetrain.data.class_numbers import number_classes
from drivetrain.data.class_table import find_table
from drivetrain.data.folder_names import OTHER_MAPS, is_subset, mask_folders, subset_in, words_of
from drivetrain.data.known_classes import known_table
from drivetrain.data.mask_pairs import pairs_by_folder, pairs_by_suffix
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

# words for additional forms of the same map, the better ones first
_SECOND_FORMS = ("trainids", "color", "colour", "colors", "rgb")
_LEAST_SHARE = 0.5


def detect(tree: Tree) -> bool:
    """Whether at least half of the images have maps other than defect masks, and no text files explain the maps.

    Maps with a text file each (ICDAR) mark objects, not classes.
    """
    if any(is_normal_name(part) for folder in tree.image_folders for part in folder.split("/")):
        return False
    found = _find(tree)
    if len(found.maps) < max(_LEAST_SHARE * len(found.images), 1) or _are_classes(found):
        return False
    return not any(f"{name.rpartition('.')[0]}.txt" in tree.files for name in found.maps.values())


def _are_classes(found: _Found) -> bool:
    """Whether the images are in folders that recur within the mask folder: ``cat/`` and ``masks/cat/``."""
    for folder in found.folders:
        outer = folder.rpartition("/")[0]
        for image, mask in found.maps.items():
            inner = mask.removeprefix(f"{folder}/").rpartition("/")[0]
            if mask.startswith(f"{folder}/") and inner and not is_subset(inner.partition("/")[0]):
                return image.rpartition("/")[0] == (f"{outer}/{inner}" if outer else inner)
    return False


def read(tree: Tree, _: ReadRequest) -> Parsed:
    """The images with their maps; images without a map are skipped.

    Raises:
        DataFormatError: no image has a map, or the meaning of the pixels cannot be determined.
    """
    found = _find(tree)
    if not found.maps:
        raise DataFormatError(
            f"{tree.root} is not in the format 'mask_folder': no image has a class map, matched by name in a folder "
            "such as 'masks', or next to it as x_mask.png."
        )
    names = list(found.maps)
    files = [tree.absolute(found.maps[name]) for name in names]
    table = find_table(tree) or known_table(found.maps.values())
    classes = number_classes(files, table)
    parsed = Parsed([], list(classes.names), Task.SEMANTIC_SEGMENTATION, "mask_folder", list(classes.notes))
    for name, file, path in zip(names, files, classes.paths, strict=True):
        parsed.records.append(Record(tree.absolute(name), subset_in(name.rpartition("/")[0]), mask_path=path))
        parsed.used.add(file)
    parsed.used.update(tree.absolute(name) for name in found.others)
    parsed.left_out = dict.fromkeys(found.folders, "masks of no image")
    for name in found.images:
        if name not in found.maps:
            parsed.left_out.setdefault(name.rpartition("/")[0], "images without a class map")
    return parsed


@dataclass(slots=True)
class _Found:
    """The roles of the files.

    Attributes:
        images: all that are not masks.
        folders: the folders of masks.
        maps: image -> its class map.
        others: additional maps of the same images: instances, colours.
    """

    images: list[str]
    folders: list[str]
    maps: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def _find(tree: Tree) -> _Found:
    folders = mask_folders(tree)
    without = tuple(f"{folder}/" for folder in folders)
    other: list[str] = []
    plain: list[str] = []
    for folder, held in tree.image_folders.items():
        if not f"{folder}/".startswith(without):
            (other if _is_other(folder) else plain).extend(held)
    pairs = pairs_by_suffix(tree, plain)
    masks = {image: list(found) for image, found in pairs.masks.items()}
    beside = {mask for found in pairs.masks.values() for mask in found}
    images = [name for name in plain if name not in beside]
    for folder in folders:
        held = [name for name in tree.images if name.startswith(f"{folder}/")]
        for image, found in pairs_by_folder(images, held, folder).masks.items():
            masks.setdefault(image, []).extend(found)
    result = _Found(images, folders, others=other)
    for image in images:
        if image in masks:
            chosen = _chosen(masks[image])
            result.others += [name for name in masks[image] if name != chosen]
            if chosen is not None:
                result.maps[image] = chosen
    return result


def _is_other(folder: str) -> bool:
    return any(OTHER_MAPS & set(words_of(part)) for part in folder.split("/"))


def _chosen(masks: list[str]) -> str | None:
    """The class map among several maps of an image, by number rather than colour; ``None`` if there is none."""
    fitting = [name for name in masks if not OTHER_MAPS & set(_words(name))]
    return min(fitting, key=lambda name: (_form(name), name), default=None)


def _form(name: str) -> int:
    joined = "".join(_words(name))
    return next((number for number, word in enumerate(_SECOND_FORMS, start=1) if word in joined), 0)


def _words(name: str) -> Iterable[str]:
    """The words of the file and of its folder, as both can say what kind of map it is."""
    folder, _, file = name.rpartition("/")
    words = [*words_of(folder.rpartition("/")[2]), *words_of(file.rpartition(".")[0])]
    return [word.removesuffix("ids") if word == "instanceids" else word for word in words]
