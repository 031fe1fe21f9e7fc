"""The format of a folder: the most specific of those that read the most images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drivetrain.data.folder_names import is_for_readers, may_annotate
from drivetrain.data.read_record import Parsed, ReadRequest, subset_name
from drivetrain.data.readers import FILE_SUFFIXES, FORMATS, JSON_WORDS, Format
from drivetrain.data.readers.coco_files import looks_right
from drivetrain.data.several import refuse_several
from drivetrain.data.text import has_words
from drivetrain.data.tree import Tree, suffix_of
from drivetrain.errors import DataError, DataFormatError, DrivetrainError, near
from drivetrain.types import Task

NOT_READ = "Not read as another format"
_FAILED = "could not be read by Datumaro"
_SHOWN = 8
_SHELLS = 3  # how many enclosing folders are searched for a format


def choose(tree: Tree, request: ReadRequest, *, depth: int = 0) -> Parsed:
    """Read the folder in the requested format, or in the one that fits best.

    Args:
        tree: the files.
        request: the user's request.
        depth: how many folders around it contain nothing but one folder.

    Raises:
        DataFormatError: the format is unknown, or none fits; the message says what the folder contains.
        DataError: the only format that fits cannot read the folder.
    """
    if request.format:
        return _asked(tree, request)
    if request.file is not None:
        return _of_file(tree, request)
    refuse_several(tree)
    refusals: list[_Refusal] = []
    silent: Parsed | None = None  # of a format without annotations: one with annotations is preferred
    for tier in sorted({entry.tier for entry in FORMATS.values()}, reverse=True):
        candidates = [f for f in FORMATS.values() if f.tier == tier and f.detect(tree)]
        parsed = _best(tree, request, candidates, refusals)
        if parsed is not None and _is_taken(parsed, silent):
            return _instead_of(silent, parsed)
        silent = silent or parsed
        if silent is not None:
            continue
        for refusal in refusals:
            if not refusal.guess:  # a format was recognised: its error is more useful than a guess at a plainer format
                raise _of_tables(tree, request) or _with_guesses(refusal, refusals)
        if (inner := _only_folder(tree, deepest=depth >= _SHELLS)) is not None:
            return _of_inner(tree, inner, request, depth + 1)
    if silent is not None:
        return silent
    raise DataFormatError(_nothing_fits(tree))


def _with_guesses(refusal: _Refusal, refusals: Sequence[_Refusal]) -> DataError:
    """The error of the last reader, with the failure of a format that was recognised before it."""
    failed = [other.error for other in refusals if other.guess and _FAILED in str(other.error)]
    if refusal.format != "unannotated" or not failed:
        return refusal.error
    return DataFormatError(f"{refusal.error} {NOT_READ}: {failed[0]}")


def _of_tables(tree: Tree, request: ReadRequest) -> DataError | None:
    """The error of the tables next to the images if nothing else may annotate them: it names the columns."""
    files = [name for name in tree.files if may_annotate(name)]
    if not files or any(suffix_of(name) not in (".csv", ".tsv") for name in files):
        return None
    try:
        FORMATS["csv"].read(tree, request)
    except DataError as error:
        return error
    return None


def _is_taken(parsed: Parsed, silent: Parsed | None) -> bool:
    """Whether to use parsed data; if another format reads the images too, only if they have more annotations."""
    if silent is None:
        return says_something(parsed) or not parsed.annotated
    return says_something(parsed) and (parsed.format != "image_folder" or len(parsed.label_names) > 1)


def _instead_of(silent: Parsed | None, parsed: Parsed) -> Parsed:
    """The parsed data with a note about a format that would have read the images without annotations."""
    if silent is not None:
        parsed.notes.append(
            f"Not read as {silent.format!r}, which finds {len(silent.records)} images and not one annotation "
            f"(--data.format {silent.format} chooses it)."
        )
    return parsed


def says_something(parsed: Parsed) -> bool:
    """Whether any image has a label, an object or a mask, or is known to be normal or anomalous."""
    if parsed.objects is not None and len(parsed.objects.labels):
        return True
    return any(
        record.labels or record.boxes or record.rles or record.mask_path or record.anomalous is not None
        for record in parsed.records
    )


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a format that seemed to fit does not.

    Attributes:
        format: its name.
        guess: whether it seemed to fit only by a weak sign.
        error: the error of its reader.
    """

    format: str
    guess: bool
    error: DataError


def _only_folder(tree: Tree, *, deepest: bool) -> Path | None:
    """The one folder that contains everything else, such as the outer folder of an archive.

    Args:
        tree: the files.
        deepest: continue to the innermost of such folders.
    """
    top = tree.top_folders()
    if len(top) != 1 or not all(map(is_for_readers, tree.by_folder[""])) or tree.by_folder[top[0]]:
        return None
    folder = top[0]
    while deepest:
        inner = [name for name in tree.folders_in(folder) if not tree.by_folder[name]]
        if len(inner) != 1 or len(tree.folders_in(folder)) > 1:
            break
        folder = inner[0]
    return tree.root / folder


def _of_inner(tree: Tree, folder: Path, request: ReadRequest, depth: int) -> Parsed:
    inner = Tree(folder)
    parsed = _within_subset(choose(inner, request, depth=depth), subset_name(folder.name))
    tree.respelt.update(inner.respelt)
    return parsed


def _within_subset(parsed: Parsed, subset: str) -> Parsed:
    """Use the folder's name as the subset of everything in it, unless the content has subsets of its own."""
    if subset in ("val", "test") and all(record.subset == "train" for record in parsed.records):
        for record in parsed.records:
            record.subset = subset
    return parsed


def _asked(tree: Tree, request: ReadRequest) -> Parsed:
    entry = FORMATS.get(request.format)
    if entry is not None:
        return _read(entry, tree, request)
    from drivetrain.data.readers.datumaro import known_formats, read

    names = known_formats()
    if request.format not in names:
        raise DataFormatError(
            f"format={request.format!r} is not known.{near(request.format, [*FORMATS, *names])} "
            f"Own formats: {', '.join(FORMATS)}; through Datumaro: {', '.join(sorted(set(names) - set(FORMATS)))}."
        )
    return read(tree, request)


def _of_file(tree: Tree, request: ReadRequest) -> Parsed:
    assert request.file is not None
    name = FILE_SUFFIXES[request.file.suffix.lower()]
    if name == "coco" and not looks_right(request.file):
        name = next((other for other, words in JSON_WORDS.items() if has_words(request.file, *words)), name)
    return _read(FORMATS[name], tree, request)


def _read(entry: Format, tree: Tree, request: ReadRequest) -> Parsed:
    """The result of a reader; an unexpected error of a reader is treated as a fault of the data.

    Raises:
        DataError: raised by the reader, or in place of any other error.
    """
    try:
        return entry.read(tree, request)
    except DrivetrainError:
        raise
    except Exception as error:
        raise DataFormatError(
            f"{tree.root} looks like {entry.name!r}, but its annotations are damaged: {type(error).__name__}: {error}. "
            "If it is in another format, name it: format=..."
        ) from error


def _best(tree: Tree, request: ReadRequest, candidates: list[Format], refusals: list[_Refusal]) -> Parsed | None:
    """The candidate that reads the most images with annotations; of equals, the first."""
    found: list[tuple[str, Parsed]] = []
    for entry in candidates:
        try:
            parsed = _read(entry, tree, request)
        except DataError as error:
            known = not isinstance(error, DataFormatError)  # the format was recognised, but its data cannot be used
            refusals.append(_Refusal(entry.name, entry.guess and not known, error))
            continue
        if parsed.records:
            found.append((entry.name, parsed))
        elif parsed.skipped:
            refusals.append(_Refusal(entry.name, entry.guess, DataFormatError(_without_images(tree, parsed))))
        if len(parsed.records) + len(parsed.used) >= len(tree.images) and says_something(parsed):
            break
    if not found:
        return None
    name, best = max(found, key=lambda item: _worth(item[1], request))
    others = ", ".join(f"{other} {len(parsed.records)}" for other, parsed in found if other != name)
    masks = len({record.mask_path for record in best.records if record.mask_path})
    note = f"Read as {best.format!r}: {len(best.records)} images" + (f" and {masks} masks" if masks else "")
    note += f" (as other formats: {others}; --data.format chooses)." if others else "."
    best.notes.insert(0, note)
    if refusals:
        best.notes.append(f"{NOT_READ}: {refusals[0].error}")
    return best


def _without_images(tree: Tree, parsed: Parsed) -> str:
    path, reason = parsed.skipped[0]
    count = len(parsed.skipped)
    return f"{tree.root}: read as {parsed.format!r}, none of its {count} images can be used: {path} {reason}."


def _worth(parsed: Parsed, request: ReadRequest) -> tuple[bool, bool, int]:
    """Whether there are annotations, whether they are the requested class maps, and the number of their images."""
    wanted = request.task is Task.SEMANTIC_SEGMENTATION and parsed.task is request.task
    return says_something(parsed), wanted, len(parsed.records)


def _nothing_fits(tree: Tree) -> str:
    images, files = len(tree.images), len(tree.files)
    if not files:
        return f"{tree.root} is empty."
    if not images:
        shown = ", ".join(list(tree.files)[:_SHOWN])
        return f"{tree.root} contains no images and no annotation file that names any; it contains: {shown}."
    return (
        f"{tree.root} contains {images} images, but no format fits. Put the images into one folder for each class, or "
        "add annotations (COCO .json, YOLO labels/, VOC Annotations/, .csv), or name the format: "
        "format=..."
    )
