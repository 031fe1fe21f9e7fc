"""The canonical data set: an immutable table of annotated images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drivetrain.data.image_table import ImageTable
from drivetrain.data.saved import read_table, write_table
from drivetrain.data.split import divide_all, divide_train
from drivetrain.data.table import SampleReader
from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataError, near
from drivetrain.types import Sample, Task


class Dataset(ImageTable):
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

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}: {count}" for name, count in self.subsets.items())
        return (
            f"Dataset({len(self)} images ({parts}), {len(self.label_names)} labels, "
            f"task={self.task.value!r}, format={self.format!r})"
        )

    # ------------------------------------------------------------------ samples

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

    # ------------------------------------------------------------------ parts

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
        names, note = divide_all(self, {"train": train, "val": val, "test": test}, seed)
        return self._with_subsets(names, [note], f"split {train} {val} {test} {seed}")

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
        divided = divide_train(self, {"val": val, "test": test}, seed)
        return self if divided is None else self._with_subsets(*divided, f"with_splits {val} {test} {seed}")

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

    def _with_subsets(self, names: NDArray[np.object_], notes: Iterable[str], action: str) -> Dataset:
        position = self._table.schema.get_field_index("subset")
        rows = self._table.set_column(position, "subset", pa.array(list(names), pa.string()))
        return self._derived(rows, action).with_notes(*notes)

    def _derived(self, rows: pa.Table, action: str) -> Dataset:
        fingerprint = fingerprint_of([self.fingerprint, action])
        return Dataset(rows, replace(self._facts, fingerprint=fingerprint))

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> Path:
        """Write the table and its facts to one Arrow file; pixels stay where they are.

        The file appears whole or not at all. Returns its path.
        """
        return write_table(path, self._table, self._facts)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open a file written by :meth:`save`.

        Raises:
            DataNotFoundError: there is no such file.
            DataError: the file was not written by :meth:`save`, or is damaged.
        """
        return cls(*read_table(path))

    def export(self, path: str | Path, format: str, *, save_media: bool = False) -> Path:  # noqa: A002
        """Write the data set in a format of the field; see :func:`drivetrain.data.write_dataset`."""
        from drivetrain.data.write import write_dataset

        return write_dataset(self, path, format, save_media=save_media)
