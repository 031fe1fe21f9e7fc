"""Normal images, and images of defects with their masks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from drivetrain.data.anomaly import normal_labels
from drivetrain.data.class_maps import union_of_masks
from drivetrain.data.class_numbers import is_smoothed
from drivetrain.data.map_values import read_values, renumbered
from drivetrain.data.mask_pairs import MaskPairs, pairs_by_folder
from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.tree import Tree
from drivetrain.types import Task


@dataclass(frozen=True, slots=True)
class PlacedImage:
    """The location of an image.

    Attributes:
        image: its name below the root.
        subset: canonical name.
        kind: the folder that says what it shows.
    """

    image: str
    subset: str
    kind: str


def defect_records(
    tree: Tree,
    placed: Sequence[PlacedImage],
    mask_folders: Sequence[str],
    request: ReadRequest,
    format: str,  # noqa: A002
    *,
    beside: MaskPairs | None = None,
    empty: Collection[str] = (),
) -> Parsed:
    """The images as anomaly data, with the masks of the defects.

    Args:
        tree: the files.
        placed: the images.
        mask_folders: the folders of the masks.
        request: the user's request; ``normal`` names the kinds that are not defects.
        format: the name of the format.
        beside: masks in the folders of the images.
        empty: kinds without images.

    Raises:
        DataError: the user named normal kinds, but none of them exists.
    """
    kinds = sorted({*(item.kind for item in placed), *empty})
    notes: list[str] = []
    normal = normal_labels(kinds, request, notes, "class folder")
    names = sorted(kinds, key=lambda kind: (kind not in normal, kind))
    parsed = Parsed([], names, Task.ANOMALY, format, notes)
    masks = _masks(tree, [item.image for item in placed if item.kind not in normal], mask_folders, parsed)
    if beside is not None:
        masks.update(beside.masks)
    number = {name: index for index, name in enumerate(names)}
    unmasked = []
    for item in placed:
        anomalous = item.kind not in normal
        found = [tree.absolute(mask) for mask in masks.get(item.image, ())] if anomalous else []
        parsed.used.update(found)
        path = union_of_masks(found) if len(found) > 1 else found[0] if found else None
        labels = [number[item.kind]]
        parsed.records.append(
            Record(tree.absolute(item.image), item.subset, labels=labels, anomalous=anomalous, mask_path=path)
        )
        if anomalous and masks and path is None:
            unmasked.append(item.image)
    _cut_smoothed(parsed)
    if unmasked:
        parsed.notes.append(f"{len(unmasked)} images of defects have no mask, such as {unmasked[0]}.")
    return parsed


def _masks(tree: Tree, images: Sequence[str], folders: Sequence[str], parsed: Parsed) -> dict[str, list[str]]:
    """Image -> its masks from the mask folders."""
    result: dict[str, list[str]] = {}
    for folder in folders:
        masks = [name for name in tree.images if name.startswith(f"{folder}/")]
        pairs = pairs_by_folder(images, masks, folder)
        for image, found in pairs.masks.items():
            result.setdefault(image, []).extend(found)
        parsed.left_out[folder] = "masks of no image of a defect"
    return result


def _cut_smoothed(parsed: Parsed) -> None:
    """Threshold masks that are smoothed or stored with lossy compression at 128; others mark all pixels but 0."""
    paths = [record.mask_path for record in parsed.records if record.mask_path is not None]
    found = {path: values for path, values in zip(paths, read_values(paths), strict=True) if values is not None}
    if not is_smoothed(frozenset().union(*(values.values for values in found.values()))):
        return
    for record in parsed.records:
        if record.mask_path in found:
            record.mask_path = renumbered(record.mask_path, {0: 0, 255: 255}, halved=True)
    parsed.notes.append("The masks are smoothed or were stored with lossy compression: pixels from 128 on are defects.")
