"""How an image becomes model input: described once, and used in training, in prediction and in the artefact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from drivetrain.errors import OptionError

FRACTION_STEPS = 10_000
"""``crop_fraction`` is counted in steps of one over this; all geometry is in integers and so equal in every runtime."""

ResizeMode = Literal["stretch", "crop", "letterbox"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """From an upright RGB ``uint8`` image of any size to a normalised ``(3, height, width) float32`` array.

    The steps, in order:

    1. ``crop`` only: cut the largest centred rectangle of aspect ratio ``width / height``, scaled by
       ``crop_fraction``; the limiting side is rounded to whole pixels first, then the other one.
    2. Resize: ``stretch`` and ``crop`` to ``(height, width)`` exactly; ``letterbox`` keeps the aspect ratio, centres
       the image and fills the rest with ``pad_value``. ``antialias`` widens the filter when shrinking, as Pillow does;
       without it, samples are taken at half-pixel centres, as OpenCV does. Weights that fall outside the image
       are dropped. The result is rounded half up to integers 0..255; the arithmetic is exact, so
       every runtime gives the same pixels (:mod:`drivetrain.runtime.resampling`).
    3. ``(pixel / 255 - mean) / std`` for each channel.

    Attributes:
        height: of the model input, in pixels.
        width: of the model input, in pixels.
        resize: ``"stretch"``, ``"crop"`` or ``"letterbox"``.
        interpolation: ``"nearest"`` (never filtered), ``"bilinear"`` or ``"bicubic"`` (a = -0.5 with antialias, as in
            Pillow; a = -0.75 without, as in OpenCV).
        antialias: whether to filter when shrinking.
        crop_fraction: in (0, 1], for ``crop`` only.
        pad_value: 0..255, for ``letterbox`` only.
        mean: of each channel, after division by 255.
        std: of each channel, after division by 255.
    """

    height: int
    width: int
    resize: ResizeMode = "stretch"
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    crop_fraction: float = 1.0
    pad_value: int = 114
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise OptionError(f"image size {self.height}x{self.width} must be at least 1x1.")
        if self.resize not in get_args(ResizeMode):
            raise OptionError(f"resize={self.resize!r}; allowed: {', '.join(get_args(ResizeMode))}.")
        if self.interpolation not in get_args(Interpolation):
            raise OptionError(f"interpolation={self.interpolation!r}; allowed: {', '.join(get_args(Interpolation))}.")
        if not 0.0 < self.crop_fraction <= 1.0:
            raise OptionError(f"crop_fraction={self.crop_fraction} must be in (0, 1].")
        if not all(value > 0 for value in self.std):
            raise OptionError(f"std={self.std} must be positive.")

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` of the model input."""
        return self.height, self.width

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        values = dict(data)
        for key in ("mean", "std"):
            if key in values:
                values[key] = tuple(float(v) for v in values[key])
        return cls(**values)

    def crop_box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Step 1 as ``(top, left, bottom, right)`` in pixels of an image of ``size`` (height, width)."""
        height, width = size
        if self.resize != "crop":
            return 0, 0, height, width
        fraction = round(self.crop_fraction * FRACTION_STEPS)
        if height * self.width <= width * self.height:
            crop_height = max(1, (2 * height * fraction + FRACTION_STEPS) // (2 * FRACTION_STEPS))
            crop_width = max(1, min(width, (2 * self.width * crop_height + self.height) // (2 * self.height)))
        else:
            crop_width = max(1, (2 * width * fraction + FRACTION_STEPS) // (2 * FRACTION_STEPS))
            crop_height = max(1, min(height, (2 * self.height * crop_width + self.width) // (2 * self.width)))
        top, left = (height - crop_height) // 2, (width - crop_width) // 2
        return top, left, top + crop_height, left + crop_width

    def letterbox_box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Where step 2 places an image of ``size`` in the model input, as ``(top, left, bottom, right)``."""
        if self.resize != "letterbox":
            return 0, 0, self.height, self.width
        height, width = size
        if self.width * height >= self.height * width:
            new_height, new_width = self.height, max(1, _divide_to_even(width * self.height, height))
        else:
            new_height, new_width = max(1, _divide_to_even(height * self.width, width)), self.width
        top, left = (self.height - new_height) // 2, (self.width - new_width) // 2
        return top, left, top + new_height, left + new_width


def _divide_to_even(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, halves to even."""
    quotient, rest = divmod(2 * numerator + denominator, 2 * denominator)
    return quotient - 1 if rest == 0 and quotient % 2 else quotient
