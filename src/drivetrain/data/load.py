"""From a folder, a file, an archive or an object to a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drivetrain.data import cache as table_cache
from drivetrain.data.account import close_account, note_respelt
from drivetrain.data.anomaly import mark_anomalies
from drivetrain.data.check import check
from drivetrain.data.dataset import Dataset
from drivetrain.data.detect import choose
from drivetrain.data.facts import Facts
from drivetrain.data.folder_names import is_for_readers
from drivetrain.data.own_output import refuse_own_output
from drivetrain.data.read_record import Parsed, ReadRequest
from drivetrain.data.readers import FILE_SUFFIXES
from drivetrain.data.table import build_table
from drivetrain.data.tree import Tree, fingerprint_of, is_text
from drivetrain.errors import DataError, DataFormatError, DataNotFoundError, OptionError, near
from drivetrain.machine.collector import paused_collector
from drivetrain.types import Task
from drivetrain.types.options import check_seed

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""The suffixes of archives that are unpacked."""

_FEW_FILES = 100  # in a folder of archives
_MOST_ARCHIVES = 3  # nested in each other

Splits = Mapping[str, float] | Sequence[float]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the data are: the folder, and the annotation file if one was named."""

    folder: Path
    file: Path | None


def load_dataset(
    source: Any,
    format: str | None = None,  # noqa: A002
    *,
    task: str | Task | None = None,
    splits: Splits | None = None,
    seed: int = 0,
    strict: bool = False,
    cache: bool = True,
    allow_pickle: bool = False,
    normal: str | Sequence[str] | None = None,
) -> Dataset:
    """Read a data set of any format.

    Args:
        source: a folder; an annotation file (``.csv``, ``.tsv``, COCO ``.json``, YOLO ``.yaml``); a ``.zip`` or
            ``.tar``; a ``datumaro.Dataset``; a ``datasets.Dataset`` or ``DatasetDict`` of Hugging Face; a torch
            ``Dataset`` of pairs; a pandas or polars ``DataFrame``; a list of ``(path, label)``; or a :class:`Dataset`.
        format: ``"image_folder"``, ``"csv"``, ``"coco"``, ``"yolo"``, ``"voc"``, ``"mvtec"``, ``"anomaly_folder"``,
            ``"mask_folder"``, ``"kitti"``, ``"labelme"``, ``"via"``, ``"label_studio"``, ``"market1501"``,
            ``"dota"``, ``"celeba"``, ``"mpii"``, ``"ade20k"``, ``"mots"``, ``"real_iad"``, ``"parquet"``,
            ``"unannotated"``, or any name that Datumaro knows, such as ``"cvat"``; ``None`` to find out.
        task: the task to use the annotations for; ``None`` to infer it from them.
        splits: fractions of ``train``, ``val`` and ``test`` to split all images anew; ``None`` keeps the subsets of
            the source.
        seed: the seed of the split.
        strict: raise an error for an image that cannot be used or a class without images, instead of noting it.
        cache: store the parsed table in the user's cache and use it as long as the files do not change.
        allow_pickle: allow formats whose files can execute code when opened.
        normal: names of the labels that are not anomalies; implies ``task="anomaly"`` for class folders and tables.

    Returns:
        The data set; ``notes`` says how the source was read and what was left out.

    Raises:
        DataNotFoundError: the source, or every image it names, does not exist.
        DataFormatError: no format fits.
        ImageError: an image cannot be used, with ``strict``.
        DataError: the data cannot be used, or cannot be used for the task.
        OptionError: an option has a value that is not allowed.

    Example:
        >>> from drivetrain import load_dataset
        >>> load_dataset("bottles/", normal="fine")  # doctest: +SKIP
        Dataset(209 images (train: 150, test: 59), 4 labels, task='anomaly', format='image_folder')
    """
    wanted = None if task is None else Task.parse(task)
    check_seed(seed)
    shares = None if splits is None else _shares(splits)
    names = (normal,) if isinstance(normal, str) else tuple(normal or ())
    request = ReadRequest(
        task=wanted,
        normal=tuple(name.lower() for name in names),
        strict=strict,
        allow_pickle=allow_pickle,
        format=format or "",
    )
    with paused_collector():
        data = _loaded(source, request, cache=cache)
    if wanted is not None:
        data = data.with_task(wanted)
    return data if shares is None else data.split(shares["train"], shares["val"], shares["test"], seed)


def _loaded(source: Any, request: ReadRequest, *, cache: bool) -> Dataset:
    if isinstance(source, Dataset):
        if request.format or request.normal:
            raise OptionError("format and normal are for sources that are still to be read; this is a Dataset already.")
        return source
    if _is_datumaro(source):
        from drivetrain.data.readers.datumaro import from_datumaro

        parsed = from_datumaro(source, request)
        return _finished(parsed, Facts((), parsed.task, "datumaro.Dataset"), request)
    if not isinstance(source, str | os.PathLike):
        return _from_memory(source, request)
    return _from_disk(Path(source).expanduser(), request, cache=cache)


def no_data_set(name: str, value: Any) -> DataError:
    """The error for an argument from which no data set can be read.

    Args:
        name: the name of the argument.
        value: its value.
    """
    shown = repr(value) if isinstance(value, int | float) else f"<{type(value).__name__}>"
    return DataError(
        f"{name}={shown} is not a data set; give a folder, a .csv, .json, .yaml, .zip or .tar file, a Dataset of "
        "drivetrain, datumaro, torch or Hugging Face, a DataFrame of pandas or polars, or a list of pairs of an "
        "image's path and its label."
    )


def _from_memory(source: Any, request: ReadRequest) -> Dataset:
    from drivetrain.data.memory import reader_of

    read = reader_of(source)
    if read is None:
        raise no_data_set("source", source)
    if request.format:
        raise OptionError(f"format={request.format!r} is for files; the source is a {type(source).__name__}.")
    parsed = read(source, request)
    if (request.task is Task.ANOMALY or request.normal) and parsed.task is not Task.ANOMALY:
        mark_anomalies(parsed, request)
    return _finished(parsed, Facts((), parsed.task, f"{type(source).__module__.partition('.')[0]} data"), request)


def _from_disk(path: Path, request: ReadRequest, *, cache: bool, within: int = 0) -> Dataset:
    place = _locate(path)
    if place.file is None:
        refuse_own_output(place.folder)
    request = replace(request, file=place.file)
    tree = Tree(place.folder)
    if place.file is None and (inner := _only_archive(tree, request)) is not None:
        if within >= _MOST_ARCHIVES:
            raise DataFormatError(
                f"{path} has more than {_MOST_ARCHIVES} archives nested in each other; unpack it yourself."
            )
        return _from_disk(inner, request, cache=cache, within=within + 1).with_notes(f"Read from {inner}.")
    state = tree.fingerprint
    options = {name: getattr(request, name) for name in ("task", "normal", "strict", "allow_pickle", "format", "file")}
    entry = table_cache.entry_path(tree.root, options)
    if cache and (kept := table_cache.recall(entry, state)) is not None:
        return kept
    parsed = choose(tree, request)
    note_respelt(tree, parsed)
    left_out = close_account(tree, parsed) if place.file is None else ()
    outside = _outside(tree, parsed)
    facts = Facts(
        (),
        parsed.task,
        str(path),
        root=str(tree.root),
        fingerprint=_fingerprint(state, outside, options),
        left_out=left_out,
        annotated=parsed.annotated,
    )
    data = _finished(parsed, facts, request)
    if cache and (problem := table_cache.keep(entry, data, state, outside)):
        return data.with_notes(problem)
    return data


def _finished(parsed: Parsed, facts: Facts, request: ReadRequest) -> Dataset:
    check(parsed, facts.source, strict=request.strict)
    table = build_table(parsed.records, parsed.objects)
    facts = replace(
        facts,
        label_names=tuple(parsed.label_names),
        task=parsed.task,
        format=parsed.format,
        notes=tuple(parsed.notes),
        skipped=tuple(parsed.skipped),
        keypoint_names=parsed.keypoint_names,
    )
    if not facts.fingerprint:
        facts = replace(facts, fingerprint=fingerprint_of([str(table.to_pylist()), str(facts.label_names)]))
    return Dataset(table, facts)


def _fingerprint(state: str, outside: Sequence[str], options: Mapping[str, Any]) -> str:
    """The fingerprint of the files and of how they are read; the folder itself may move."""
    chosen = [f"{name}={options[name]}" for name in ("task", "normal", "format")]
    file = options["file"]
    return fingerprint_of([state, table_cache.outside_state(outside), *chosen, file.name if file else ""])


def _outside(tree: Tree, parsed: Parsed) -> list[str]:
    """The folders and files outside the tree that the records depend on."""
    used = (path for record in parsed.records for path in (record.path, record.mask_path) if path)
    folders = {path[: path.rfind(os.sep)] or os.sep for path in used}
    paths = {*folders, *(str(path) for path in parsed.watched)}
    return sorted(path for path in paths if path != str(tree.root) and tree.relative(path) is None)


def _locate(path: Path) -> _Place:
    if not is_text(str(path.absolute())):
        raise DataError(f"{str(path)!r} has a name that is not text (UTF-8). Rename it, or the folder that it is in.")
    if path.is_dir():
        return _Place(path, None)
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataNotFoundError(
            f"{path} does not exist.{near(path.name, siblings)} Looked in {path.parent.absolute()}."
        )
    suffix = path.suffix.lower()
    if is_archive(path):
        from drivetrain.data.archive import extracted

        return _Place(extracted(path), None)
    if suffix in FILE_SUFFIXES:
        file = path.absolute()
        folder = file.parent
        return _Place(folder.parent if suffix == ".json" and folder.name == "annotations" else folder, file)
    raise DataFormatError(
        f"{path} is not a kind of file that can be read. Allowed: a folder, {', '.join(ARCHIVES)}, "
        f"{', '.join(sorted(FILE_SUFFIXES))}. Unpack other archives first."
    )


def _only_archive(tree: Tree, request: ReadRequest) -> Path | None:
    """The only archive in a folder that contains nothing else but files for people to read; otherwise ``None``.

    Raises:
        DataFormatError: there are several.
    """
    if tree.count > _FEW_FILES:  # so that a second start does not list all files of a large data set
        return None
    files = [name for name in tree.files if not is_for_readers(name.rpartition("/")[2])]
    if not files or request.format == "image_zip" or not all(is_archive(Path(name)) for name in files):
        return None
    if len(files) > 1:
        raise DataFormatError(
            f"{tree.root} contains {len(files)} archives and nothing else: {', '.join(files[:8])}. Give one of them, "
            f"such as {tree.root / files[0]}, or unpack them into one folder."
        )
    return tree.root / files[0]


def is_archive(path: Path) -> bool:
    """Whether a file has the suffix of an archive that is unpacked."""
    return path.name.lower().endswith(ARCHIVES)


def _shares(splits: Splits) -> dict[str, float]:
    if not isinstance(splits, Mapping):
        values = [float(value) for value in splits]
        if len(values) != 3:
            raise OptionError(
                f"splits={splits!r}: give three fractions, of train, val and test, such as (0.8, 0.1, 0.1)."
            )
        return dict(zip(("train", "val", "test"), values, strict=True))
    unknown = set(splits) - {"train", "val", "test"}
    if unknown:
        raise OptionError(f"splits={dict(splits)!r}: allowed names are train, val, test.")
    return {name: float(splits.get(name, 0.0)) for name in ("train", "val", "test")}


def _is_datumaro(source: object) -> bool:
    """Whether it is a classic ``datumaro.Dataset``, recognised by the names of its classes."""
    return any(
        cls.__name__ == "Dataset"
        and cls.__module__.partition(".")[0] == "datumaro"
        and "experimental" not in cls.__module__
        for cls in type(source).__mro__
    )
