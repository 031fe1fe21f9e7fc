"""The canonical data set: an immutable table of annotated images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drivetrain.data.filtering import Size, fitting_rows, selected_rows
from drivetrain.data.grouping import Group
from drivetrain.data.image_table import ImageTable
from drivetrain.data.merging import merged
from drivetrain.data.remapping import Others, remapped
from drivetrain.data.sampling import sampled_rows
from drivetrain.data.saved import read_table, write_table
from drivetrain.data.split import divide_all, divide_train, k_fold_rows
from drivetrain.data.table import SampleReader
from drivetrain.data.tree import fingerprint_of
from drivetrain.errors import DataError, OptionError, near
from drivetrain.types import Sample, Task
from drivetrain.types.data_findings import DataFindings


class Dataset(ImageTable):
    """Annotated images, immutable; created by :func:`drivetrain.load_dataset`.

    A sequence of :class:`drivetrain.types.Sample`. Properties of many images at once (``paths``, ``image_labels``,
    ``sizes``) are read from the columns without creating samples.

    Args:
        table: with the columns of :data:`drivetrain.data.table.SCHEMA`.
        facts: everything that is not in the rows.

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
            DataError: there is no such subset; the message lists the existing ones.
        """
        if name not in self.subsets:
            raise DataError(
                f"subset={name!r} is not in this data set.{near(name, self.subsets)} "
                f"It has: {', '.join(self.subsets) or 'none'}. To split all of its images give splits=..."
            )
        rows = self._table.filter(pc.equal(self._table.column("subset"), name))
        return self._derived(rows, f"subset {name}")

    def select(self, indices: Iterable[int] | Iterable[str]) -> Dataset:
        """The images at these positions, or with these paths, in this order.

        Args:
            indices: positions, negative ones from the end; or paths, as in ``paths`` or relative to the root.

        Raises:
            IndexError: a position is outside the data set.
            DataError: a path is not in the data set.
        """
        positions = selected_rows(self, indices)
        return self._derived(self._table.take(pa.array(positions)), "select " + fingerprint_of(map(str, positions)))

    def filter(
        self,
        *,
        labels: str | Sequence[str] | None = None,
        subsets: str | Sequence[str] | None = None,
        path: str | None = None,
        min_size: Size | None = None,
        max_size: Size | None = None,
        where: Any = None,
    ) -> Dataset:
        """The images that satisfy every condition, with all of their annotations.

        Args:
            labels: images with one of these labels, or with an object that has one.
            subsets: images in these subsets.
            path: a glob for the path below the root, such as ``"line3/*"``.
            min_size: the smallest sides in pixels: one number, or ``(height, width)``.
            max_size: the largest sides.
            where: a ``pyarrow.compute`` expression on the columns of ``table``, a function from the data set to a
                boolean array, or such an array.

        Raises:
            DataError: there is no such label or subset; the message suggests the closest.
            OptionError: a condition cannot be applied.

        Example:
            >>> data.filter(labels="cat", where=lambda data: data.object_counts > 3)  # doctest: +SKIP
        """
        rows = fitting_rows(
            self, labels=labels, subsets=subsets, path=path, min_size=min_size, max_size=max_size, where=where
        )
        return self.select(rows)

    def sample(self, size: int | float, *, seed: int = 0, stratified: bool = True) -> Dataset:
        """A random sample of the images, in their original order.

        Args:
            size: a number of images, or a float in 0..1 for a share.
            seed: the same images and seed give the same sample, whatever their order.
            stratified: preserve the proportions of the labels in each subset.

        Raises:
            OptionError: there are fewer images than that, or the seed is out of range.
        """
        return self.select(sampled_rows(self, size, seed=seed, stratified=stratified))

    # ------------------------------------------------------------------ splits

    def split(
        self,
        train: float = 0.8,
        val: float = 0.1,
        test: float = 0.1,
        seed: int = 0,
        *,
        group: Group | None = None,
    ) -> Dataset:
        """Split all images again, stratified by label; the existing subsets are ignored.

        An image with several labels counts for each of them (iterative stratification). Anomalies never go to
        ``train``: they are divided between the other two. The same images and seed give the same split, whatever
        their order.

        Args:
            train: share of the images, 0..1.
            val: share of the images, 0..1.
            test: share of the images, 0..1.
            seed: the seed of the shuffle.
            group: what must stay together, such as the pictures of one patient: a function from the path to the
                group, the name of a column, a regular expression searched for in the path below the root (its first
                capture group is the group), or a value for each image. The shares are then met approximately.

        Raises:
            OptionError: a share is outside 0..1, they do not sum to 1, or the seed is out of range.
            DataError: a path does not match the expression.
        """
        names, note = divide_all(self, {"train": train, "val": val, "test": test}, seed, group)
        return self.with_subsets(names).with_notes(note)

    def with_splits(self, val: float = 0.1, test: float = 0.1, seed: int = 0) -> Dataset:
        """Keep the subsets of the source and create the missing ones from ``train``.

        If only ``val`` is missing, part of ``train`` becomes ``val``; if ``val`` and ``test`` are missing, both are
        split off. Test images are never moved, and a source with ``val`` but no ``test`` keeps all of its training
        images. The notes say what was done.

        Args:
            val: share of the training images for ``val``, 0..1.
            test: share of the training images for ``test``, 0..1.
            seed: the seed of the shuffle.

        Raises:
            OptionError: a share is outside 0..1, both together are 1 or more, or the seed is out of range.
            DataError: there are no training images.
        """
        divided = divide_train(self, {"val": val, "test": test}, seed)
        return self if divided is None else self.with_subsets(divided[0]).with_notes(*divided[1])

    def k_fold(self, folds: int = 5, *, seed: int = 0, group: Group | None = None) -> list[tuple[Dataset, Dataset]]:
        """Divide the images into equal folds, stratified by label, each of which is left out once.

        Images of ``test`` are in no fold. Anomalies are used for validation only, never for training.

        Args:
            folds: the number of folds.
            seed: the seed of the shuffle.
            group: what must stay together; see :meth:`split`.

        Returns:
            ``(train, val)`` for each fold; ``train.merge(val)`` is a data set to train with.

        Raises:
            OptionError: there are fewer than two folds, or more folds than images or groups.
            DataError: a path does not match the expression.
        """
        return [
            (self._named_part(train, "train"), self._named_part(val, "val"))
            for train, val in k_fold_rows(self, folds, seed, group)
        ]

    def _named_part(self, rows: NDArray[np.int64], name: str) -> Dataset:
        part = self.select(rows)
        return part.with_subsets([name] * len(part))

    # ------------------------------------------------------------------ copies

    def merge(self, *others: Dataset) -> Dataset:
        """This data set and others as one, subset by subset.

        Labels are matched by name. If two images have the same id, all images are renumbered. Images that are in
        several of the sets, in the same subset, are taken once; the notes say so.

        Args:
            others: data sets for the same task.

        Raises:
            DataError: they are for a different task, or their objects have different keypoints.
        """
        return Dataset(*merged((self, *others)))

    def remap(self, labels: Mapping[str, str | None], *, others: Others = "keep") -> Dataset:
        """Rename, merge or drop labels.

        Objects with a dropped label are removed, and the pixels of a dropped class are ignored (255). Images stay,
        except images of a classification data set that lose their only label.

        Args:
            labels: old name -> new name; several old names may map to one new name; ``None`` drops the label.
            others: ``"keep"`` or ``"drop"`` the labels that are not listed.

        Raises:
            DataError: there is no such label, or none would be left.
            OptionError: ``others`` is neither of the two, or a new name is not a string.

        Example:
            >>> data.remap({"kitty": "cat", "unsure": None})  # doctest: +SKIP
        """
        table, facts = remapped(self, labels, others)
        action = f"remap {sorted(labels.items(), key=str)} {others}"
        return Dataset(table, replace(facts, fingerprint=fingerprint_of([self.fingerprint, action])))

    def with_task(self, task: str | Task) -> Dataset:
        """The same images for another task that their annotations support.

        Raises:
            DataError: the annotations do not support it; the message says what they have.
            OptionError: there is no such task.
        """
        from drivetrain.data.tasks import fit_task

        return Dataset(*fit_task(self, Task.parse(task)))

    def relabel(self, label_names: Sequence[str]) -> Dataset:
        """The same images with labels numbered as in ``label_names``; Unicode forms of a name are the same name.

        Raises:
            DataError: a label that occurs is not among the names; the message suggests the closest.
        """
        from drivetrain.data.relabel import relabelled

        rows = relabelled(self, label_names)
        derived = self._derived(rows, "relabel " + fingerprint_of(label_names))
        return Dataset(derived.table, replace(derived.facts, label_names=tuple(label_names)))

    def with_notes(self, *notes: str) -> Dataset:
        """The same images with additional notes."""
        return Dataset(self._table, replace(self._facts, notes=(*self.notes, *notes)))

    def with_subsets(self, names: Sequence[str] | NDArray[Any]) -> Dataset:
        """The same images with other subsets.

        Args:
            names: the subset of each image.

        Raises:
            OptionError: the number of names differs from the number of images.
        """
        if len(names) != len(self):
            raise OptionError(f"names has {len(names)} entries; it needs one for each of the {len(self)} images.")
        position = self._table.schema.get_field_index("subset")
        rows = self._table.set_column(position, "subset", pa.array([str(name) for name in names], pa.string()))
        return self._derived(rows, f"subsets {fingerprint_of(map(str, names))}")

    def _derived(self, rows: pa.Table, action: str) -> Dataset:
        fingerprint = fingerprint_of([self.fingerprint, action])
        return Dataset(rows, replace(self._facts, fingerprint=fingerprint))

    # ------------------------------------------------------------------ contents

    def describe(self) -> dict[str, Any]:
        """Counts, labels, sizes and notes as plain data; see :func:`drivetrain.data.describe.describe`."""
        from drivetrain.data.describe import describe

        return describe(self)

    def validate(self) -> DataFindings:
        """Find and locate problems in the annotations: repeated and tiny objects, images in two subsets,
        missing files, and labels that never occur, are missing from training or differ only in spelling.

        No picture is opened; :func:`drivetrain.check_dataset` also looks at the pictures.
        """
        from drivetrain.data.validation import validated

        return validated(self)

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> Path:
        """Write the table and its facts to a single Arrow file; pixels stay where they are.

        The file is written atomically. Returns its path.
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
        """Write the data set in a common format; see :func:`drivetrain.data.write_dataset`."""
        from drivetrain.data.write import write_dataset

        return write_dataset(self, path, format, save_media=save_media)
