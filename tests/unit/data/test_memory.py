"""Data sets that are objects in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivetrain import load_dataset
from drivetrain.errors import DataError, DataFormatError
from drivetrain.types import Task


@pytest.fixture
def pairs(tmp_path: Path, make_image) -> list[tuple[str, str]]:
    return [
        (str(make_image(tmp_path / f"{index}.png", seed=index)), "cat" if index % 2 else "dog") for index in range(4)
    ]


def test_a_list_of_paths_and_labels(pairs: list[tuple[str, str]]) -> None:
    data = load_dataset(pairs)
    assert (data.task, data.label_names, len(data)) == (Task.CLASSIFICATION, ("cat", "dog"), 4)
    assert [(sample.path, data.label_names[sample.labels[0]]) for sample in data] == pairs


def test_a_list_of_mappings(pairs: list[tuple[str, str]]) -> None:
    data = load_dataset([{"path": path, "label": label, "subset": "val"} for path, label in pairs])
    assert (data.subsets, data.label_names) == ({"val": 4}, ("cat", "dog"))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_has_the_columns_of_a_table(library: str, pairs: list[tuple[str, str]]) -> None:
    frames = pytest.importorskip(library)
    columns: dict[str, list[Any]] = {"path": [path for path, _ in pairs], "label": [label for _, label in pairs]}
    columns |= {"xmin": [1, 2, 3, None], "ymin": [1, 2, 3, None], "xmax": [9, 9, 9, None], "ymax": [8, 8, 8, None]}
    data = load_dataset(frames.DataFrame(columns))
    assert (data.task, [len(sample.boxes) for sample in data]) == (Task.DETECTION, [1, 1, 1, 0])
    with pytest.raises(DataFormatError, match="the table: none of the columns 'a', 'b' names the images"):
        load_dataset(frames.DataFrame({"a": [1], "b": [2]}))


def test_a_torch_data_set_of_pairs() -> None:
    torch = pytest.importorskip("torch")
    images = torch.rand(3, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    data = load_dataset(torch.utils.data.TensorDataset(images, torch.tensor([0, 1, 1])))
    assert (data.task, [list(sample.labels) for sample in data]) == (Task.CLASSIFICATION, [[0], [1], [1]])
    with Image.open(data[0].path) as image:
        expected = (images[0].permute(1, 2, 0).numpy() * 255).round()
        np.testing.assert_array_equal(np.asarray(image), expected)
    with pytest.raises(DataError, match="values outside 0 to 1, as after normalisation"):
        load_dataset(torch.utils.data.TensorDataset(images * 3 - 1, torch.tensor([0, 1, 1])))


def test_folders_of_torchvision_keep_their_files(class_folders: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    data = load_dataset(torchvision.datasets.ImageFolder(str(class_folders)))
    assert (len(data), data.label_names) == (33, ("cat", "dog", "emu"))
    assert data[0].path == str(class_folders / "cat" / "00.jpg")


def test_hugging_face_labels_and_objects(pairs: list[tuple[str, str]]) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["dog", "cat"])
    features = datasets.Features({"image": datasets.Image(), "label": names})
    part = datasets.Dataset.from_dict({"image": [path for path, _ in pairs], "label": [0, 1, 0, 1]}, features=features)
    data = load_dataset(datasets.DatasetDict({"train": part, "validation": part.select([1])}))
    assert (data.task, data.label_names, data.subsets) == (Task.CLASSIFICATION, ("dog", "cat"), {"train": 4, "val": 1})
    rows = [{"image": pairs[0][0], "objects": {"bbox": [[1, 2, 3, 4]], "category": [1]}}]
    found = load_dataset(datasets.Dataset.from_list(rows))
    assert (found.task, found[0].boxes.tolist()) == (Task.DETECTION, [[1, 2, 4, 6]])


@pytest.mark.parametrize("source", [[], [1, 2], [("a.jpg", "cat", 3)]])
def test_a_list_of_something_else_is_refused_with_what_to_give(source: list[Any]) -> None:
    with pytest.raises(DataError, match="pairs of an image's path and its label"):
        load_dataset(source)
