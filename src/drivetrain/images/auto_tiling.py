"""Choosing the tiles that suit the objects of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

#: The side of an object, in pixels of the model input, at which it is easy to recognise.
_SEEN_WELL = 24
_MOST_ENLARGED = 2
_LEAST_OVERLAP, _MOST_OVERLAP = 0.2, 0.5
_WORTH_IT = 0.8  # of the image: larger tiles gain little over the whole image


@dataclass(frozen=True, slots=True)
class ObjectSizes:
    """Typical sizes of objects and images, in pixels of the images.

    Attributes:
        small: the 10th percentile of the sides of the objects.
        large: the 90th percentile of the sides of the objects.
        image: the median longer side of the images.
    """

    small: float
    large: float
    image: float

    def to_dict(self) -> dict[str, float]:
        """Plain data for a record."""
        return {"small": self.small, "large": self.large, "image": self.image}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        return cls(*(float(data[name]) for name in ("small", "large", "image")))


@dataclass(frozen=True, slots=True)
class TileChoice:
    """The tiles that ``tile="auto"`` results in; images no larger than a tile are processed as a whole.

    Attributes:
        size: side of a tile, in pixels of the image.
        overlap: overlap of neighbours, as a fraction of the side.
        reason: one sentence.
    """

    size: int
    overlap: float
    reason: str

    @property
    def tile(self) -> tuple[int, float]:
        """The value for the option ``tile``."""
        return self.size, self.overlap

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return {"size": self.size, "overlap": self.overlap, "reason": self.reason}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        return cls(int(data["size"]), float(data["overlap"]), str(data["reason"]))


def choose_tile(sizes: ObjectSizes, side: int) -> TileChoice:
    """The tiles that show the small objects of a data set large enough to recognise.

    Args:
        sizes: sizes of the objects and images that the model was trained on.
        side: side of the model input, in pixels.
    """
    wanted = max(sizes.small * side / _SEEN_WELL, side / _MOST_ENLARGED)
    if _WORTH_IT * sizes.image <= wanted < sizes.image:
        wanted = sizes.image  # slightly smaller tiles would only cut the training images
    size = max(1, round(wanted))
    overlap = min(_MOST_OVERLAP, max(_LEAST_OVERLAP, round(sizes.large / size + 0.05, 1)))
    small, image = f"{sizes.small:.0f} px", f"{sizes.image:.0f} px"
    shown = (
        f"a tenth of the objects is smaller than {small}, which a tile shows with {sizes.small * side / size:.0f} px"
    )
    if size >= sizes.image:
        whole = f"images of {image}, as in training, are processed as a whole"
        return TileChoice(size, overlap, f"{whole}, larger ones in tiles of {size} px: {shown}")
    less = f"and the whole image of {image} with {sizes.small * side / sizes.image:.0f} px"
    return TileChoice(size, overlap, f"tiles of {size} px that overlap by {overlap:.0%}: {shown}, {less}")
