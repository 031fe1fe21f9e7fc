"""MVTec AD: ``train/good``, ``test/<defect>`` and ``ground_truth/<defect>`` with a mask for each defect image."""

from __future__ import annotations

from drivetrain.data.read_record import Parsed, ReadRequest, Record
from drivetrain.data.tree import Tree
from drivetrain.errors import DataFormatError
from drivetrain.types import Task

_NORMAL = "good"
_MASKS = "ground_truth"


def detect(tree: Tree) -> bool:
    """Whether the folder, or folders in it, have ``train/good`` and ``test``."""
    return _is_category(tree, "") or any(_is_category(tree, name + "/") for name in tree.top_folders())


def read(tree: Tree, request: ReadRequest) -> Parsed:
    """The images of one category; the labels are ``good`` and the kinds of defects.

    Raises:
        DataFormatError: the folder holds several categories, or none.
    """
    prefix = _category(tree)
    normal = {_NORMAL, *request.normal}
    placed: list[tuple[str, str, str]] = []
    for image in tree.images:
        parts = image.removeprefix(prefix).split("/")
        if image.startswith(prefix) and len(parts) >= 3 and parts[0] in ("train", "test"):
            placed.append((image, parts[0], parts[1]))
    defects = sorted({kind for _, _, kind in placed if kind.lower() not in normal})
    names = [*sorted({kind for _, _, kind in placed if kind.lower() in normal}), *defects]
    masks = {name.rpartition(".")[0]: name for name in tree.images if name.startswith(f"{prefix}{_MASKS}/")}
    records, unmasked = [], []
    for image, subset, kind in placed:
        anomalous = kind.lower() not in normal
        mask = _mask_of(image, prefix, masks) if anomalous else None
        records.append(
            Record(
                tree.absolute(image),
                subset,
                labels=[names.index(kind)],
                anomalous=anomalous,
                mask_path=tree.absolute(mask) if mask else None,
            )
        )
        if anomalous and masks and mask is None:
            unmasked.append(tree.absolute(image))
    parsed = Parsed(records, names, Task.ANOMALY, "mvtec")
    if unmasked:
        parsed.notes.append(f"{len(unmasked)} images of defects have no mask, such as {unmasked[0]}.")
    return parsed


def _is_category(tree: Tree, prefix: str) -> bool:
    folders = tree.by_folder
    has_test = any(name.startswith(f"{prefix}test/") for name in folders)
    has_train = any(name.lower() == f"{prefix}train/{_NORMAL}".lower() for name in folders)
    others = [
        name for name in folders if name.startswith(f"{prefix}train/") and name.count("/") == prefix.count("/") + 1
    ]
    return has_train and has_test and len(others) == 1


def _category(tree: Tree) -> str:
    if _is_category(tree, ""):
        return ""
    found = [name for name in tree.top_folders() if _is_category(tree, name + "/")]
    if len(found) == 1:
        return f"{found[0]}/"
    if found:
        raise DataFormatError(
            f"{tree.root} holds {len(found)} MVTec categories: {', '.join(found)}. A model learns one of them: "
            f"give its folder, such as {tree.root / found[0]}."
        )
    raise DataFormatError(f"{tree.root} is not in the MVTec format: it has no train/{_NORMAL} and test folders.")


def _mask_of(image: str, prefix: str, masks: dict[str, str]) -> str | None:
    """``test/crack/000.png`` -> ``ground_truth/crack/000_mask.png``, or the same name without ``_mask``."""
    stem = image.removeprefix(f"{prefix}test/").rpartition(".")[0]
    base = f"{prefix}{_MASKS}/{stem}"
    return masks.get(f"{base}_mask") or masks.get(base)
