"""Where boxes are expected in the next frame: a Kalman filter of constant velocity, for many boxes at once.

The state is that of ByteTrack and DeepSORT: centre, aspect ratio and height, and the velocity of each. All noise is
independent, so each of the four has a filter of its own, and the filter of a box is four pairs of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# standard deviations as shares of the height; the paper has 1/20, 1/160 and 1/20 for people who walk, with which tracks
# lag behind objects that turn or are filmed at few frames a second, and change places with their neighbours
_POSITION, _VELOCITY, _POSITION_SEEN = 1 / 20, 1 / 40, 1 / 30
_ASPECT, _ASPECT_SPEED, _ASPECT_SEEN = 1e-2, 1e-5, 1e-1


@dataclass(slots=True, eq=False)
class Motion:
    """What is known of the motion of N boxes.

    Attributes:
        places: ``(N, 4)`` centre x and y, width / height, and height.
        speeds: ``(N, 4)`` their change in a frame.
        spread: ``(N, 4, 3)`` variance of the place, covariance of place and speed, variance of the speed.
    """

    places: NDArray[np.float64]
    speeds: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, boxes: NDArray[np.float32]) -> Motion:
        """Boxes ``(N, 4)`` xyxy that are seen for the first time."""
        places = _places(boxes)
        spread = np.zeros((len(boxes), 4, 3))
        spread[..., 0] = (2 * _deviations(places, _POSITION, _ASPECT / 2)) ** 2
        spread[..., 2] = (10 * _deviations(places, _VELOCITY, _ASPECT_SPEED / 10)) ** 2
        return cls(places, np.zeros_like(places), spread)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """``(N, 4)`` xyxy, where the boxes are now."""
        heights = self.places[:, 3:]
        half = np.concatenate([self.places[:, 2:3] * heights, heights], axis=1) / 2
        return np.concatenate([self.places[:, :2] - half, self.places[:, :2] + half], axis=1)

    def __len__(self) -> int:
        return len(self.places)

    def predict(self, lost: NDArray[np.bool_]) -> None:
        """Move on by a frame; the height of boxes that are lost stays."""
        noise = _deviations(self.places, _POSITION, _ASPECT) ** 2
        speed_noise = _deviations(self.places, _VELOCITY, _ASPECT_SPEED) ** 2
        self.speeds[lost, 3] = 0
        self.places = self.places + self.speeds
        place, both, speed = np.moveaxis(self.spread, -1, 0)
        self.spread = np.stack([place + 2 * both + speed + noise, both + speed, speed + speed_noise], axis=-1)

    def update(self, rows: NDArray[np.int64], boxes: NDArray[np.float32]) -> None:
        """Take in where some of the boxes were seen.

        Args:
            rows: ``(M,)`` which boxes.
            boxes: ``(M, 4)`` xyxy.
        """
        places = self.places[rows]
        place, both, speed = np.moveaxis(self.spread[rows], -1, 0)
        total = place + _deviations(places, _POSITION_SEEN, _ASPECT_SEEN) ** 2
        gain, speed_gain = place / total, both / total
        error = _places(boxes) - places
        self.places[rows] = places + gain * error
        self.speeds[rows] += speed_gain * error
        self.spread[rows] = np.stack(
            [place - gain**2 * total, both - gain * speed_gain * total, speed - speed_gain**2 * total], axis=-1
        )

    def kept(self, rows: NDArray[np.int64] | NDArray[np.bool_], more: Motion) -> Motion:
        """Some of the boxes, and further ones."""
        return Motion(
            np.concatenate([self.places[rows], more.places]),
            np.concatenate([self.speeds[rows], more.speeds]),
            np.concatenate([self.spread[rows], more.spread]),
        )


def _places(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    sides = np.maximum(corners[:, 2:] - corners[:, :2], 1e-6)
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    return np.concatenate([centres, sides[:, :1] / sides[:, 1:], sides[:, 1:]], axis=1)


def _deviations(places: NDArray[np.float64], share: float, aspect: float) -> NDArray[np.float64]:
    """``(N, 4)`` standard deviations: a share of the height, but for the aspect ratio."""
    found = np.repeat(places[:, 3:] * share, 4, axis=1)
    found[:, 2] = aspect
    return found
