"""The rows and facts of a data set, read column by column."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drivetrain.data.facts import Facts
from drivetrain.data.table import list_lengths, list_values
from drivetrain.types import Task


class ImageTable:
    """A table of annotated images, one per row, and what is known apart from the rows; immutable.

    Its properties concern many images at once: they are read from the columns without creating samples.

    Args:
        table: with the columns of :data:`drivetrain.data.table.SCHEMA`.
        facts: everything that is not in the rows.
    """

    def __init__(self, table: pa.Table, facts: Facts) -> None:
        self._table = table.combine_chunks()
        self._facts = facts

    def __len__(self) -> int:
        return int(self._table.num_rows)

    # ------------------------------------------------------------------ identity

    @property
    def table(self) -> pa.Table:
        """The columns, as Arrow."""
        return self._table

    @property
    def facts(self) -> Facts:
        """Everything that is not in the rows."""
        return self._facts

    @property
    def label_names(self) -> tuple[str, ...]:
        """The name of each label, by its number."""
        return self._facts.label_names

    @property
    def task(self) -> Task:
        """What the annotations are for."""
        return self._facts.task

    @property
    def source(self) -> str:
        """What was loaded, as given."""
        return self._facts.source

    @property
    def format(self) -> str:
        """The name of the format it was read as."""
        return self._facts.format

    @property
    def root(self) -> Path | None:
        """The folder it was read from; ``None`` if it came from memory."""
        return Path(self._facts.root) if self._facts.root else None

    @property
    def fingerprint(self) -> str:
        """A hash of the files and the choices made since; equal data give equal fingerprints in every process."""
        return self._facts.fingerprint

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: the detected format, what was skipped or changed, how it was split."""
        return self._facts.notes

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """``(path, reason)`` of each skipped image."""
        return self._facts.skipped

    @property
    def is_annotated(self) -> bool:
        """Whether the source says anything about its images."""
        return self._facts.annotated

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """The name of each keypoint; empty if there are none."""
        return self._facts.keypoint_names

    # ------------------------------------------------------------------ columns

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The file of each image."""
        return tuple(self._table.column("path").to_pylist())

    @property
    def sizes(self) -> NDArray[np.int32]:
        """``(N, 2) int32`` height, width of each image."""
        return np.stack([self._table.column(name).to_numpy() for name in ("height", "width")], axis=1)

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """``(N,) int64``."""
        return np.asarray(self._table.column("image_id").to_numpy())

    @property
    def subset_names(self) -> NDArray[np.str_]:
        """``(N,)`` the subset of each image."""
        return np.asarray(self._table.column("subset").to_pylist(), np.str_)

    @property
    def image_labels(self) -> NDArray[np.int64]:
        """``(N,) int64`` the first label of each image, -1 for images without one."""
        lengths = np.maximum(list_lengths(self._table, "labels"), 0)
        values, starts = list_values(self._table, "labels"), np.cumsum(lengths) - lengths
        result = np.full(len(self), -1, np.int64)
        result[lengths > 0] = values[starts[lengths > 0]]
        return result

    @property
    def label_matrix(self) -> NDArray[np.bool_]:
        """``(N, C) bool`` whether each image has each label."""
        lengths = np.maximum(list_lengths(self._table, "labels"), 0)
        matrix = np.zeros((len(self), len(self.label_names)), np.bool_)
        matrix[np.repeat(np.arange(len(self)), lengths), list_values(self._table, "labels")] = True
        return matrix

    @property
    def anomalous(self) -> NDArray[np.int8]:
        """``(N,) int8`` 1 for an anomaly, 0 for a normal image, -1 if unknown."""
        return np.asarray(pc.fill_null(self._table.column("anomalous").cast(pa.int8()), -1).to_numpy())

    @property
    def mask_paths(self) -> tuple[str | None, ...]:
        """The mask file of each image, or ``None``."""
        return tuple(self._table.column("mask_path").to_pylist())

    @property
    def object_counts(self) -> NDArray[np.int64]:
        """``(N,) int64`` the number of objects of each image, -1 if objects are not annotated."""
        return list_lengths(self._table, "boxes") // 4

    @property
    def scores(self) -> list[list[float] | None] | None:
        """The scores of predicted objects or labels, one list per image; ``None`` for true annotations."""
        column = self._table.column("scores")
        return None if column.null_count == len(self) else list(column.to_pylist())

    @property
    def track_ids(self) -> list[list[int] | None] | None:
        """The numbers of predicted objects that were followed over a video, one list per image and -1 for others."""
        column = self._table.column("track_ids")
        return None if column.null_count == len(self) else list(column.to_pylist())

    def class_counts(self) -> dict[str, int]:
        """How often each label occurs: the number of images, or of objects if objects are annotated.

        Class maps are not opened, so a data set with nothing else counts 0 for every label.
        """
        column = "box_labels" if self._table.column("box_labels").null_count < len(self) else "labels"
        if self.task in (Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION, Task.ANOMALY):
            column = "labels"
        counts = np.bincount(list_values(self._table, column), minlength=len(self.label_names))
        return dict(zip(self.label_names, counts.tolist(), strict=True))

    @cached_property
    def subsets(self) -> dict[str, int]:
        """The number of images in each subset; train, val, test first."""
        counts = {row["values"]: row["counts"] for row in self._table.column("subset").value_counts().to_pylist()}
        order = [name for name in ("train", "val", "test") if name in counts]
        return {name: counts[name] for name in [*order, *sorted(set(counts) - set(order))]}
