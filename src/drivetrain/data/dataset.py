"""The canonical data set: an immutable table of annotated images."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drivetrain.data.facts import Facts
from drivetrain.data.split import rarest_labels, small_parts, stratified_choice
from drivetrain.data.table import SampleReader, list_lengths, list_values
from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataError, DataNotFoundError, OptionError, near
from drivetrain.machine import files
from drivetrain.types import Sample, Task
from drivetrain.types.options import check_seed


class Dataset:
    """Annotated images, immutable; made by :func:`drivetrain.load_dataset`.

    A sequence of :class:`drivetrain.types.Sample`. What concerns many images at once (``paths``, ``image_labels``,
    ``sizes``) is read from the columns and makes no sample.

    Args:
        table: with the columns of :data:`drivetrain.data.table.SCHEMA`.
        facts: the rest.

    Example:
        >>> from drivetrain import load_dataset
        >>> data = load_dataset("shapes/").with_splits(seed=1)  # doctest: +SKIP
        >>> data.subsets  # doctest: +SKIP
        {'train': 80, 'val': 10, 'test': 10}
    """

    def __init__(self, table: pa.Table, facts: Facts) -> None:
        self._table = table.combine_chunks()
        self._facts = facts

    # ------------------------------------------------------------------ what it is

    @property
    def table(self) -> pa.Table:
        """The columns, as Arrow."""
        return self._table

    @property
    def facts(self) -> Facts:
        """All that is not in the rows."""
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
        """What was loaded, as it was given."""
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
        """What the user should know: the format chosen, what was skipped or changed, how it was split."""
        return self._facts.notes

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """``(path, reason)`` of each image that was left out."""
        return self._facts.skipped

    @property
    def is_annotated(self) -> bool:
        """Whether the source says anything about its images."""
        return self._facts.annotated

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """The name of each keypoint; empty if there are none."""
        return self._facts.keypoint_names

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}: {count}" for name, count in self.subsets.items())
        return (
            f"Dataset({len(self)} images ({parts}), {len(self.label_names)} labels, "
            f"task={self.task.value!r}, format={self.format!r})"
        )

    # ------------------------------------------------------------------ samples

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, index: int) -> Sample:
        position = int(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {index} is outside a data set of {len(self)} images.")
        return self._reader.sample(position % len(self))

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._reader)

    @cached_property
    def _reader(self) -> SampleReader:
        return SampleReader(self._table, len(self.keypoint_names))

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
        """``(N,) int8`` 1 for an anomaly, 0 for a normal image, -1 where it is unknown."""
        return np.asarray(pc.fill_null(self._table.column("anomalous").cast(pa.int8()), -1).to_numpy())

    @property
    def mask_paths(self) -> tuple[str | None, ...]:
        """The mask file of each image, or ``None``."""
        return tuple(self._table.column("mask_path").to_pylist())

    @property
    def object_counts(self) -> NDArray[np.int64]:
        """``(N,) int64`` how many objects each image has, -1 where objects are not annotated."""
        return list_lengths(self._table, "boxes") // 4

    @property
    def scores(self) -> list[list[float] | None] | None:
        """The scores of predicted objects or labels, one list for each image; ``None`` for true annotations."""
        column = self._table.column("scores")
        return None if column.null_count == len(self) else list(column.to_pylist())

    def class_counts(self) -> dict[str, int]:
        """How often each label occurs: images of it, or objects of it where objects are annotated.

        Class maps are not opened, so a data set that has nothing else counts 0 for every label.
        """
        column = "box_labels" if self._table.column("box_labels").null_count < len(self) else "labels"
        if self.task in (Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION, Task.ANOMALY):
            column = "labels"
        counts = np.bincount(list_values(self._table, column), minlength=len(self.label_names))
        return dict(zip(self.label_names, counts.tolist(), strict=True))

    # ------------------------------------------------------------------ parts

    @cached_property
    def subsets(self) -> dict[str, int]:
        """How many images each subset has; train, val, test first."""
        counts = {row["values"]: row["counts"] for row in self._table.column("subset").value_counts().to_pylist()}
        order = [name for name in ("train", "val", "test") if name in counts]
        return {name: counts[name] for name in [*order, *sorted(set(counts) - set(order))]}

    def subset(self, name: str) -> Dataset:
        """The images of one subset.

        Raises:
            DataError: there is no such subset; the message lists those there are.
        """
        if name not in self.subsets:
            raise DataError(
                f"subset={name!r} is not in this data set.{near(name, self.subsets)} "
                f"It has: {', '.join(self.subsets) or 'none'}. To divide all of its images give splits=..."
            )
        rows = self._table.filter(pc.equal(self._table.column("subset"), name))
        return self._derived(rows, f"subset {name}")

    def select(self, indices: Iterable[int]) -> Dataset:
        """The images at these positions, in this order.

        Raises:
            IndexError: a position is outside the data set.
        """
        positions = np.fromiter(indices, np.int64)
        if len(positions) and (positions.min() < -len(self) or positions.max() >= len(self)):
            raise IndexError(f"a position is outside a data set of {len(self)} images.")
        positions %= max(len(self), 1)
        return self._derived(self._table.take(pa.array(positions)), "select " + fingerprint_of(map(str, positions)))

    # ------------------------------------------------------------------ splits

    def split(self, train: float = 0.8, val: float = 0.1, test: float = 0.1, seed: int = 0) -> Dataset:
        """Divide all images again, each label in its share; former subsets are forgotten.

        Of images with several labels the rarest counts. Anomalies never go to ``train``: they are shared between the
        other two. The same images and seed give the same split, whatever their order.

        Args:
            train: share of the images, 0..1.
            val: share of the images, 0..1.
            test: share of the images, 0..1.
            seed: of the shuffle.

        Raises:
            OptionError: a share is outside 0..1, they do not add up to 1, or the seed is out of its range.
        """
        shares = {"train": train, "val": val, "test": test}
        if any(not 0 <= share <= 1 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
            raise OptionError(f"split shares {shares} must each be in 0..1 and add up to 1.")
        check_seed(seed)
        names = self._divide(np.arange(len(self)), shares, seed)
        note = f"Split by seed {seed} into " + _counted(names) + "."
        return self._with_subsets(names, note, f"split {train} {val} {test} {seed}")

    def with_splits(self, val: float = 0.1, test: float = 0.1, seed: int = 0) -> Dataset:
        """Keep the subsets that the source gives and make the missing ones out of ``train``.

        Without ``val`` some of ``train`` becomes ``val``. Without ``val`` and ``test`` both are split off. Test images
        are never moved, and a source that has ``val`` but no ``test`` keeps all of its training images. What was
        done is in the notes.

        Args:
            val: share of the training images for ``val``, 0..1.
            test: share of the training images for ``test``, 0..1.
            seed: of the shuffle.

        Raises:
            OptionError: a share is outside 0..1, both together are 1 or more, or the seed is out of its range.
            DataError: there are no training images.
        """
        if not 0 <= val < 1 or not 0 <= test < 1 or val + test >= 1:
            raise OptionError(f"val={val}, test={test}: each must be in 0..1 and both together below 1.")
        check_seed(seed)
        existing = self.subsets
        if "train" not in existing:
            raise DataError(
                f"The data set has no training images; its subsets are: {', '.join(existing) or 'none'}. "
                "To divide all of its images again give splits=..."
            )
        if "val" in existing:
            return self
        shares = {"val": val, "test": 0.0 if "test" in existing else test}
        shares["train"] = 1 - sum(shares.values())
        names = self.subset_names.astype(object)
        rows = np.flatnonzero(names == "train")
        names[rows] = self._divide(rows, shares, seed)
        lacking = "val" if "test" in existing else "val or test"
        note = f"The source has no {lacking} subset: train was split by seed {seed} into {_counted(names[rows])}."
        made = [name for name in ("val", "test") if shares[name] > 0]
        warning = small_parts({name: int((names[rows] == name).sum()) for name in made})
        divided = self._with_subsets(names, note, f"with_splits {val} {test} {seed}")
        return divided.with_notes(warning) if warning else divided

    def _divide(self, rows: NDArray[np.int64], shares: dict[str, float], seed: int) -> NDArray[np.object_]:
        """The new subset of each of the rows."""
        groups = self._groups()[rows]
        paths = [self._stable_name(self.paths[row]) for row in rows]
        names = np.full(len(rows), "train", object)
        anomalies = self.anomalous[rows] == 1
        held_out = shares["val"] + shares["test"]
        if self.task is Task.ANOMALY and anomalies.any() and held_out > 0:
            part = np.flatnonzero(anomalies)
            to_test = stratified_choice(groups[part], [paths[i] for i in part], shares["test"] / held_out, seed)
            names[part] = np.where(to_test, "test", "val")
        free = np.flatnonzero(~anomalies) if self.task is Task.ANOMALY and held_out > 0 else np.arange(len(rows))
        for offset, name in enumerate(("test", "val")):
            rest = sum(share for other, share in shares.items() if other != "test" or name == "test")
            if shares[name] <= 0 or len(free) == 0:
                continue
            fraction = shares[name] / rest
            if fraction >= 1 - 1e-9:
                names[free] = name
                free = free[:0]
                continue
            picked = stratified_choice(groups[free], [paths[i] for i in free], fraction, seed + offset)
            names[free[picked]] = name
            free = free[~picked]
        return names

    def _groups(self) -> NDArray[np.int64]:
        if self._table.column("box_labels").null_count < len(self) and self.task is not Task.CLASSIFICATION:
            return rarest_labels(self._rows_of("box_labels"), len(self.label_names))
        if self.task is Task.MULTILABEL_CLASSIFICATION:
            return rarest_labels(self._rows_of("labels"), len(self.label_names))
        return self.image_labels

    def _rows_of(self, column: str) -> list[NDArray[np.int64]]:
        lengths = np.maximum(list_lengths(self._table, column), 0)
        return np.split(list_values(self._table, column), np.cumsum(lengths)[:-1]) if len(self) else []

    def _stable_name(self, path: str) -> str:
        """The path below the root, so that a moved data set is split the same way."""
        root = self._facts.root
        return path[len(root) :].replace(os.sep, "/") if root and path.startswith(root) else path

    # ------------------------------------------------------------------ copies

    def with_task(self, task: str | Task) -> Dataset:
        """The same images for another task that their annotations serve.

        Raises:
            DataError: the annotations cannot serve it; the message says what they have.
            OptionError: there is no such task.
        """
        from drivetrain.data.tasks import fit_task

        return Dataset(*fit_task(self, Task.parse(task)))

    def relabel(self, label_names: Sequence[str]) -> Dataset:
        """The same images with their labels numbered as in ``label_names``; Unicode's forms of a name are one name.

        Raises:
            DataError: a label that occurs is not among the names; the message has the nearest.
        """
        from drivetrain.data.relabel import relabelled

        rows = relabelled(self, label_names)
        derived = self._derived(rows, "relabel " + fingerprint_of(label_names))
        return Dataset(derived.table, replace(derived.facts, label_names=tuple(label_names)))

    def with_notes(self, *notes: str) -> Dataset:
        """The same images with more notes."""
        return Dataset(self._table, replace(self._facts, notes=(*self.notes, *notes)))

    def _with_subsets(self, names: Sequence[str] | NDArray[Any], note: str, action: str) -> Dataset:
        position = self._table.schema.get_field_index("subset")
        rows = self._table.set_column(position, "subset", pa.array(list(names), pa.string()))
        return self._derived(rows, action).with_notes(note)

    def _derived(self, rows: pa.Table, action: str) -> Dataset:
        fingerprint = fingerprint_of([self.fingerprint, action])
        return Dataset(rows, replace(self._facts, fingerprint=fingerprint))

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> Path:
        """Write the table and its facts to one Arrow file; pixels stay where they are.

        The file appears whole or not at all. Returns its path.
        """
        target = Path(path)
        metadata = {b"drivetrain": json.dumps(asdict(self._facts)).encode()}
        table = self._table.replace_schema_metadata(metadata)
        with (
            files.whole_file(target) as partial,
            pa.OSFile(str(partial), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
        return target

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open a file written by :meth:`save`.

        Raises:
            DataNotFoundError: there is no such file.
            DataError: the file was not written by :meth:`save`, or is damaged.
        """
        if not Path(path).is_file():
            raise DataNotFoundError(f"{path} does not exist. Such a file is written by save on a Dataset.")
        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
            facts = Facts.from_json(table.schema.metadata[b"drivetrain"])
        except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is not a data set saved by drivetrain, or it is damaged: {error}") from error
        return cls(table.replace_schema_metadata(None), facts)

    def export(self, path: str | Path, format: str, *, save_media: bool = False) -> Path:  # noqa: A002
        """Write the data set in a format of the field; see :func:`drivetrain.data.write_dataset`."""
        from drivetrain.data.write import write_dataset

        return write_dataset(self, path, format, save_media=save_media)


def _counted(names: NDArray[np.object_]) -> str:
    """``80 train, 10 val`` of an array of names."""
    found, counts = np.unique(names.astype(np.str_), return_counts=True)
    by_name = dict(zip(found.tolist(), counts.tolist(), strict=True))
    order = sorted(by_name, key=lambda name: ({"train": 0, "val": 1, "test": 2}.get(name, 3), name))
    return ", ".join(f"{by_name[name]} {name}" for name in order)
