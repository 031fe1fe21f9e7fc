"""Mild augmentation of training images that depends only on the seed, the epoch and the image.

It does not change the meaning of labels: a crop of at least four fifths of each side, and small changes of
brightness, contrast and saturation. There are no flips and no rotations: a mirrored "3" or a left-hand part is a
different thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The strength of the augmentation; zero means none.

    Attributes:
        zoom: the largest fraction of each side that a crop removes.
        light: the largest relative change of brightness and of contrast.
        saturation: the largest relative change of saturation.
    """

    zoom: float = 0.2
    light: float = 0.15
    saturation: float = 0.15

    def apply(self, image: NDArray[np.uint8], seed: tuple[int, int, int]) -> NDArray[np.uint8]:
        """An augmented copy of an ``(H, W, 3) uint8`` image.

        Args:
            image: the image; it is not modified.
            seed: (seed of the run, epoch, number of the image).
        """
        values = np.random.Generator(np.random.Philox(key=seed[0], counter=(0, 0, seed[1], seed[2]))).random(7)
        return self._colour(self._crop(image, values[:4]), values[4:])

    def _crop(self, image: NDArray[np.uint8], values: NDArray[np.float64]) -> NDArray[np.uint8]:
        import cv2

        height, width = image.shape[:2]
        share_y, share_x = 1 - self.zoom * values[:2]
        top, left = values[2:4] * (height * (1 - share_y), width * (1 - share_x))
        # half a pixel, because cv2 counts from pixel centres
        back = np.array(
            [[share_x, 0, left + 0.5 * share_x - 0.5], [0, share_y, top + 0.5 * share_y - 0.5]], dtype=np.float64
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        changed: NDArray[np.uint8] = cv2.warpAffine(
            image, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return changed

    def _colour(self, image: NDArray[np.uint8], values: NDArray[np.float64]) -> NDArray[np.uint8]:
        import cv2

        light, contrast, saturation = 1 + (2 * values - 1) * (self.light, self.light, self.saturation)
        middle = float(image.mean()) * light
        table = np.clip((np.arange(256) * light - middle) * contrast + middle + 0.5, 0, 255).astype(np.uint8)
        changed: NDArray[np.uint8] = cv2.LUT(image, table)
        grey = cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        mixed: NDArray[np.uint8] = cv2.addWeighted(changed, saturation, grey, 1 - saturation, 0)
        return mixed
