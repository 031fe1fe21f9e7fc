"""From the pixels of class maps, and names if known, to numbered classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from drivetrain.data.class_maps import IGNORED
from drivetrain.data.class_table import ClassTable, Colour
from drivetrain.data.map_values import MOST_VALUES, MapValues, read_values, renumbered
from drivetrain.errors import DataFormatError

_MOST_COLOURS = 64
_EXTREME = 24  # how far from black or white a pixel of a lossy or smoothed binary mask may be
_FEW = 8  # a map with more values between 0 and 255 counts as smoothed or lossy


@dataclass(frozen=True, slots=True)
class NumberedClasses:
    """Classes and the maps of their numbers.

    Attributes:
        names: by number.
        paths: the maps, in the order of the files.
        notes: what the user should know.
    """

    names: tuple[str, ...]
    paths: tuple[str, ...]
    notes: tuple[str, ...] = ()


def number_classes(paths: Sequence[str], table: ClassTable | None) -> NumberedClasses:
    """The classes of maps.

    Values named in a table have its numbers. Without a table, numbers stay as they are, or are numbered from 0 in
    order if there are gaps between most of them; 255 is ignored; 0 and 255 alone are background and foreground, as
    are smoothed or lossy binary masks, with foreground from 128 on. Colours are numbered in order, black first.

    Args:
        paths: the maps.
        table: the names, with their values or colours.

    Raises:
        DataFormatError: the meaning of the pixels cannot be determined.
    """
    found = read_values(paths)
    readable = [values for values in found if values is not None]
    coloured = any(values.coloured for values in readable)
    present: frozenset[int] = frozenset().union(*(_values(values, coloured=coloured) for values in readable))
    if coloured:
        return _by_colour(paths, found, present, table)
    if (
        table is not None
        and table.values is None
        and table.colours is not None
        and max(present, default=0) >= len(table.names)
    ):
        grey = {values: number for number, values in enumerate(table.colours)}
        if all((value, value, value) in grey for value in present - {IGNORED}):
            return _by_colour(paths, found, frozenset(value * 0x10101 for value in present), table)
    return _by_number(paths, found, present, table)


def _values(values: MapValues, *, coloured: bool) -> frozenset[int]:
    """The values as colours if any map of the set has colours; grey pixels then have three equal components."""
    if values.coloured or not coloured:
        return values.values
    return frozenset(value * 0x10101 for value in values.values)


def _by_colour(
    paths: Sequence[str], found: Sequence[MapValues | None], present: frozenset[int], table: ClassTable | None
) -> NumberedClasses:
    names: tuple[str, ...]
    if table is not None and table.colours is not None:
        numbers = {_code(colour): number for number, colour in enumerate(table.colours)}
        names = table.names
        unknown = sorted(present - set(numbers))
        if unknown:
            raise DataFormatError(
                f"The class maps, such as {paths[0]}, have pixels of the colour {_colour(unknown[0])}, which is "
                f"none of the {len(names)} classes{f' in {table.file}' if table.file else ''}."
            )
        notes = [f"The colours of the class maps are named by {table.file or 'their data set'}."]
    else:
        if len(present) > _MOST_COLOURS:
            raise DataFormatError(
                f"The class maps, such as {paths[0]}, have more than {_MOST_COLOURS} colours, so they are not class "
                "maps, or were stored with lossy compression. Store them as PNG with a number or one colour per class."
            )
        order = sorted(present)
        numbers = {code: number for number, code in enumerate(order)}
        names = tuple("background" if code == 0 else "colour_{}_{}_{}".format(*_colour(code)) for code in order)
        notes = [
            f"The classes are the {len(order)} colours of the class maps. A file label_colors.txt with 'R G B NAME' on "
            "each line names them."
        ]
    if len(names) > IGNORED:
        raise DataFormatError(f"{len(names)} classes are more than the {IGNORED} that a class map can have.")
    written = tuple(
        path if values is None else renumbered(path, numbers, coloured=True)
        for path, values in zip(paths, found, strict=True)
    )
    return NumberedClasses(names, written, tuple(notes))


def _by_number(
    paths: Sequence[str], found: Sequence[MapValues | None], present: frozenset[int], table: ClassTable | None
) -> NumberedClasses:
    halved = (table is None or len(table.names) <= 2) and is_smoothed(present)
    if halved:
        present = frozenset({0, IGNORED})
    if len(present) > MOST_VALUES:
        raise DataFormatError(f"The class maps, such as {paths[0]}, have more than {MOST_VALUES} different values.")
    numbers, names, notes = _numbers(present, table)
    if halved:
        notes.append("The masks are smoothed or were stored with lossy compression: pixels from 128 on are foreground.")
    same = all(number == value for value, number in numbers.items())
    written = tuple(
        path
        if values is None or (same and not halved and not values.has_channels)
        else renumbered(path, numbers, halved=halved)
        for path, values in zip(paths, found, strict=True)
    )
    return NumberedClasses(names, written, tuple(notes))


def is_smoothed(present: Collection[int]) -> bool:
    """Whether the pixel values are black and white with intermediate edges or noise."""
    if max(present, default=0) > IGNORED or len(present) <= _FEW or max(present, default=0) < IGNORED - _EXTREME:
        return False
    return len(present) > IGNORED // 4 or any(IGNORED - _EXTREME <= value < IGNORED for value in present)


def _numbers(present: frozenset[int], table: ClassTable | None) -> tuple[dict[int, int], tuple[str, ...], list[str]]:
    """Value -> class number, the names of the classes, and notes."""
    if table is not None:
        return _named_numbers(present, table)
    if present <= {0, IGNORED} and IGNORED in present:
        return {0: 0, IGNORED: 1}, ("background", "foreground"), ["Masks of 0 and 255 are background and foreground."]
    counted = sorted(present - {IGNORED})
    notes = ["The classes have no names; a file classes.txt with one name per line, starting with class 0, names them."]
    highest = max(counted, default=0)
    if len(counted) > highest // 2 and highest < IGNORED:
        names = tuple(f"class_{number}" for number in range(highest + 1))
        return {value: value for value in present}, names, notes
    numbers = {value: number for number, value in enumerate(counted)}
    notes.append(f"The values {', '.join(map(str, counted[:8]))}{', ...' if len(counted) > 8 else ''} were numbered.")
    return _with_ignored(numbers, present), tuple(f"value_{value}" for value in counted), notes


def _named_numbers(present: frozenset[int], table: ClassTable) -> tuple[dict[int, int], tuple[str, ...], list[str]]:
    values = table.values if table.values is not None else tuple(range(len(table.names)))
    numbers = {value: number for number, value in enumerate(values)}
    names, notes = list(table.names), []
    if present == {0, IGNORED} and len(names) == 2 and IGNORED not in numbers:
        numbers = {0: 0, IGNORED: 1}
    elif present == {0, IGNORED} and len(names) == 1:
        numbers, names = {0: 0, IGNORED: 1}, ["background", *names]
    unnamed = sorted(present - set(numbers) - {IGNORED})
    for value in unnamed:
        numbers[value] = len(names)
        names.append(f"class_{value}")
    if unnamed:
        shown = ", ".join(map(str, unnamed[:8]))
        notes.append(f"{table.file or 'The data set'} has no names for the values {shown}; they become extra classes.")
    return _with_ignored(numbers, present), tuple(names), notes


def _with_ignored(numbers: Mapping[int, int], present: frozenset[int]) -> dict[int, int]:
    return {**numbers, **({IGNORED: IGNORED} if IGNORED in present and IGNORED not in numbers else {})}


def _code(colour: Colour) -> int:
    return (colour[0] << 16) | (colour[1] << 8) | colour[2]


def _colour(code: int) -> Colour:
    return code >> 16, (code >> 8) & 255, code & 255
