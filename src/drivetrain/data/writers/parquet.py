"""Parquet: ``annotations.parquet`` with a row for each image, and the images."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from drivetrain.data.dataset import Dataset
    from drivetrain.data.write import ImagePlacer

FILE = "annotations.parquet"


def write(data: Dataset, folder: Path, images: ImagePlacer) -> None:
    """Write all columns of the data set, including scores; ``path`` and ``mask_path`` are relative to the folder.

    The label names and other facts are in the metadata of the file, as JSON under ``drivetrain``; the
    columns ``label_names`` and ``box_label_names`` have the names for readers of plain tables.
    """
    paths = []
    for row, subset in enumerate(data.subset_names.tolist()):
        images.place(row, folder / "images" / subset)
        paths.append(f"images/{subset}/{images.name(row)}")
    table = data.table.set_column(data.table.schema.get_field_index("path"), "path", pa.array(paths))
    masks = pa.array(_placed_masks(data, folder, images), pa.string())
    table = table.set_column(table.schema.get_field_index("mask_path"), "mask_path", masks)
    for column, target in (("labels", "label_names"), ("box_labels", "box_label_names")):
        rows = table.column(column).to_pylist()
        names = [None if row is None else [data.label_names[label] for label in row] for row in rows]
        table = table.append_column(target, pa.array(names, pa.list_(pa.string())))
    pq.write_table(
        table.replace_schema_metadata({b"drivetrain": json.dumps(asdict(data.facts)).encode()}), folder / FILE
    )


def _placed_masks(data: Dataset, folder: Path, images: ImagePlacer) -> list[str | None]:
    """Copy the masks of the images, which may be in the user's cache; return their names below the folder."""
    names: list[str | None] = []
    for row, (mask, subset) in enumerate(zip(data.mask_paths, data.subset_names.tolist(), strict=True)):
        name = None if mask is None else f"masks/{subset}/{images.stems[row]}{Path(mask).suffix}"
        if mask is not None and name is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(mask, folder / name)
        names.append(name)
    return names
