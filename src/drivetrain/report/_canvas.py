"""A picture to draw on: shapes with OpenCV, text with Pillow, in sizes that follow the image."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

LIGHT: Colour = (255, 255, 255)
DARK: Colour = (24, 24, 27)
GOOD: Colour = (22, 163, 74)
BAD: Colour = (220, 38, 38)

_PALETTE: tuple[Colour, ...] = (
    (0, 114, 255), (255, 140, 0), (0, 170, 90), (225, 40, 60), (150, 80, 230),
    (0, 185, 200), (235, 70, 170), (170, 190, 20), (140, 85, 50), (250, 200, 0),
)  # fmt: skip
# tried in this order; the first that has every character of the text is used
_FONTS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "msyh.ttc",
    "Arial Unicode.ttf",
    "arial.ttf",
)
_SMALLEST = 320
_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixels
_ABSENT = "\U0010fffe"  # a character no font has


def colour_of(label: int) -> Colour:
    """A colour for each class that differs from those of its neighbours."""
    if label < len(_PALETTE):
        return _PALETTE[label]
    hue = (label * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65 + 0.3 * (label % 2), 0.95 - 0.25 * (label % 3) / 2)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_on(colour: Colour) -> Colour:
    """Black or white, whichever is easier to read on the colour."""
    red, green, blue = ((value / 255) ** 2.2 for value in colour)
    return DARK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.3 else LIGHT


class Canvas:
    """An image to draw on, enlarged by an integer factor if it is small.

    Args:
        image: ``(H, W, 3) uint8`` RGB; it is copied.

    Attributes:
        pixels: the picture so far.
        scale: the enlargement; all coordinates passed to the methods are those of the original image.
        line: line width in drawn pixels.
        font_size: font size in drawn pixels.
    """

    def __init__(self, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        self.scale = max(1, -(-_SMALLEST // max(1, min(height, width)))) if max(height, width) < 2 * _SMALLEST else 1
        self.pixels: NDArray[np.uint8] = np.ascontiguousarray(self.enlarge(image)).copy()
        extent = (self.pixels.shape[0] * self.pixels.shape[1]) ** 0.5
        self.line = max(2, round(extent / 320))
        self.font_size = max(13, round(extent / 38))
        self._labels: list[tuple[float, float, str, Colour, Colour]] = []
        self._placed: list[Rectangle] = []

    def enlarge(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array ``(H, W, ...)`` with each pixel repeated like the image's."""
        return array.repeat(self.scale, axis=0).repeat(self.scale, axis=1) if self.scale > 1 else array

    def blend(self, mask: NDArray[np.bool_], colour: Colour, opacity: float) -> None:
        """Tint the pixels of a mask ``(H, W)``."""
        inside = self.enlarge(mask)
        self.pixels[inside] = (self.pixels[inside] * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)

    def outline(self, mask: NDArray[np.bool_], colour: Colour) -> None:
        """Draw the border of a mask ``(H, W)``."""
        import cv2

        borders, _ = cv2.findContours(self.enlarge(mask).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(self.pixels, borders, -1, colour, self.line, cv2.LINE_AA)

    def polygon(self, points: NDArray[Any], colour: Colour) -> None:
        """Draw a closed line through ``(K, 2)`` points."""
        import cv2

        cv2.polylines(self.pixels, [self._fixed(points)], True, colour, self.line, cv2.LINE_AA, _SHIFT)

    def segment(self, start: NDArray[Any], end: NDArray[Any], colour: Colour) -> None:
        """Draw a straight line between two points."""
        import cv2

        first, second = self._fixed(np.stack([start, end]))
        cv2.line(self.pixels, first.tolist(), second.tolist(), colour, self.line, cv2.LINE_AA, _SHIFT)

    def dot(self, point: NDArray[Any], colour: Colour) -> None:
        """Draw a filled circle with a light rim."""
        import cv2

        (center,) = self._fixed(point[None])
        for radius, fill in ((self.line * 2.0, LIGHT), (self.line * 1.4, colour)):
            cv2.circle(self.pixels, center.tolist(), round(radius * 2**_SHIFT), fill, -1, cv2.LINE_AA, _SHIFT)

    def label(self, box: Rectangle, text: str, colour: Colour) -> None:
        """Draw a filled label at a box (x1, y1, x2, y2), inside the image and away from other labels, if possible."""
        width, height = text_size(text, self.font_size)
        width, height = width + 2 * self._pad, height + 2 * self._pad
        x1, y1, x2, y2 = (value * self.scale for value in box)
        half = self.line / 2
        left, right = x1 - half, x2 + half - width
        above, below = y1 - half - height + 1, y2 + half - 1
        # above the box, inside it, below it, then stacked for boxes that (nearly) coincide
        rows = (above, y1 - half, below, below - height, *(above + step * height for step in (2, -1, 3, -2, 4)))
        candidates = [self._inside(x, y, width, height) for y in rows for x in (left, right)]
        free = [place for place in candidates if not any(_overlap(place, other) for other in self._placed)]
        place = (free or candidates)[0]
        self._placed.append(place)
        self._labels.append((place[0], place[1], text, colour, text_on(colour)))

    def finished(self) -> NDArray[np.uint8]:
        """The picture with all its labels."""
        if not self._labels:
            return self.pixels
        from PIL import Image, ImageDraw

        image = Image.fromarray(self.pixels)
        pen = ImageDraw.Draw(image)
        for x, y, text, colour, ink in self._labels:
            width, height = text_size(text, self.font_size)
            shape = (x, y, x + width + 2 * self._pad - 1, y + height + 2 * self._pad - 1)
            pen.rounded_rectangle(shape, radius=self._pad, fill=colour)
            write(pen, (x + self._pad, y + self._pad), text, self.font_size, ink)
        return np.asarray(image).copy()

    @property
    def _pad(self) -> int:
        return int(max(2, self.font_size // 5))

    def _inside(self, x: float, y: float, width: float, height: float) -> Rectangle:
        x = round(max(0.0, min(x, self.pixels.shape[1] - width)))
        y = round(max(0.0, min(y, self.pixels.shape[0] - height)))
        return x, y, x + width, y + height

    def _fixed(self, points: NDArray[Any]) -> NDArray[np.int32]:
        """Coordinates (pixel edges) as OpenCV's fixed-point numbers (pixel centres)."""
        drawn = np.asarray(points, np.float64) * self.scale - 0.5
        return np.asarray(np.round(np.clip(drawn, -1e6, 1e6) * 2**_SHIFT), np.int32)


def strip(
    width: int, rows: Sequence[tuple[Colour | None, str, float | None]], font_size: int, *, columns: int = 1
) -> NDArray[np.uint8]:
    """A dark band with one entry per row, to be placed below a picture.

    Args:
        width: width of the picture.
        rows: for each entry the colour of its swatch or bar, its text, and the length of its bar (0..1).
        font_size: in pixels.
        columns: maximum number of entries side by side, if there is room.

    Returns:
        ``(height, width, 3)``.
    """
    from PIL import Image, ImageDraw

    pad = max(3, font_size // 3)
    row_height = font_size + pad + pad // 2
    widest = max(text_size(text, font_size)[0] for _, text, _ in rows) + font_size + 3 * pad
    columns = max(1, min(columns, len(rows), width // max(1, widest)))
    column_width = width // columns
    lines = -(-len(rows) // columns)
    image = Image.new("RGB", (width, lines * row_height + pad), DARK)
    pen = ImageDraw.Draw(image)
    for index, (colour, text, bar) in enumerate(rows):
        x, y = (index % columns) * column_width + pad, (index // columns) * row_height + pad
        indent = 0
        if bar is not None and colour is not None:
            length = max(2.0, bar * (column_width - 2 * pad))
            pen.rounded_rectangle((x, y - pad // 3, x + length, y + font_size + pad // 3), radius=3, fill=_dim(colour))
            indent = pad
        elif colour is not None:
            pen.rounded_rectangle((x, y, x + font_size, y + font_size), radius=3, fill=colour)
            indent = font_size + pad
        write(pen, (x + indent, y), fitted(text, font_size, column_width - 2 * pad - indent), font_size, LIGHT)
    return np.asarray(image)


def write(pen: Any, place: tuple[float, float], text: str, size: int, ink: Colour) -> None:
    """Write text so that its ascender line is at the top of ``place``."""
    pen.text(place, text, fill=ink, font=font_for(text, size), anchor="la")


@cache
def text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height in pixels."""
    font = font_for(text, size)
    return round(font.getlength(text)), round(size * 1.15)


def fitted(text: str, size: int, width: float) -> str:
    """The text, truncated with an ellipsis if it is too wide."""
    if text_size(text, size)[0] <= width:
        return text
    while text and text_size(text + "…", size)[0] > width:
        text = text[:-1]
    return text + "…"


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The first font that has all the characters: Pillow's own, or one of the system's."""
    return _fonts(size)[_first_covering(text)]


@cache
def _first_covering(text: str) -> int:
    characters = {character for character in text if not character.isspace()}
    for index, font in enumerate(_fonts(16)):
        absent = bytes(font.getmask(_ABSENT))
        if all(bytes(font.getmask(character)) != absent for character in characters):
            return index
    return 0


@cache
def _fonts(size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, ...]:
    from PIL import ImageFont

    fonts: list[ImageFont.FreeTypeFont | ImageFont.ImageFont] = []
    for name in _FONTS:
        try:
            fonts.append(ImageFont.truetype(name, size))
        except OSError:
            continue  # not available on this system
    return (*fonts, ImageFont.load_default(size))


def _overlap(first: Rectangle, second: Rectangle) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _dim(colour: Colour) -> Colour:
    """The colour, dark enough for light text."""
    red, green, blue = (round(value * 0.55 + base * 0.45) for value, base in zip(colour, DARK, strict=True))
    return red, green, blue
