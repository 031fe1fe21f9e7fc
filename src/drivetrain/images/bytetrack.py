"""ByteTrack: the same number for the same object in every frame of a video.

After Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box" (2022). Sure boxes are matched
with the tracks first, by their overlap with where the motion of each track puts it; then the tracks that are left, lost
ones too, are matched with unsure boxes, which are often objects that are half hidden.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivetrain.images.matching import best_pairs, overlaps
from drivetrain.images.motion import Motion

#: Boxes of at least this score are matched first, and begin tracks.
SURE = 0.25
#: Boxes below this score are not looked at.
UNSURE = 0.1
_LEAST_OVERLAP = 0.1
"""With where a track is expected; the 0.2, 0.5 (unsure) and 0.3 (new) of the paper are too much for fast objects."""
_KEPT_FOR = 30
"""Frames after which a track that is not seen any more is given up."""
_SAME = 0.85
"""Two tracks whose boxes overlap more are one object; the one that has lasted longer stays."""


class ByteTracker:
    """Numbers the boxes of frames that follow each other.

    Args:
        first_id: the number of the first track.
    """

    def __init__(self, first_id: int = 0) -> None:
        self.next_id = first_id
        self._frame = -1
        self._motion = Motion.of(np.zeros((0, 4), np.float32))
        self._ids = np.zeros(0, np.int64)
        self._begun = np.zeros(0, np.int64)
        self._seen = np.zeros(0, np.int64)
        self._confirmed = np.zeros(0, np.bool_)

    def update(self, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.int64]:
        """The number of the track of each box of the next frame.

        Args:
            boxes: ``(N, 4)`` xyxy.
            scores: ``(N,)``.

        Returns:
            ``(N,) int64``; -1 for boxes that no track has. A track is numbered when it is seen a second time, or in
            the first frame.
        """
        self._frame += 1
        self._motion.predict(self._seen < self._frame - 1)
        numbers = np.full(len(boxes), -1, np.int64)
        sure = np.flatnonzero(scores >= SURE)
        unsure = np.flatnonzero((scores < SURE) & (scores >= UNSURE))
        old, new = np.flatnonzero(self._confirmed), np.flatnonzero(~self._confirmed)
        old, sure = self._match(numbers, old, sure, boxes)
        self._match(numbers, old, unsure, boxes)
        unmatched, sure = self._match(numbers, new, sure, boxes)
        self._renew(numbers, unmatched, sure, boxes)
        return numbers

    def _match(
        self,
        numbers: NDArray[np.int64],
        tracks: NDArray[np.int64],
        found: NDArray[np.int64],
        boxes: NDArray[np.float32],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Match rows of the tracks with boxes, and write the numbers; what is left of both."""
        if not len(tracks) or not len(found):
            return tracks, found
        alike = overlaps(self._motion.boxes[tracks], boxes[found].astype(np.float64))
        rows, columns = best_pairs(alike - _LEAST_OVERLAP)
        matched, seen = tracks[rows], found[columns]
        self._motion.update(matched, boxes[seen])
        self._seen[matched] = self._frame
        self._confirmed[matched] = True
        fresh = matched[self._ids[matched] < 0]
        self._ids[fresh] = self._numbered(len(fresh))
        numbers[seen] = self._ids[matched]
        return np.delete(tracks, rows), np.delete(found, columns)

    def _renew(
        self,
        numbers: NDArray[np.int64],
        unmatched: NDArray[np.int64],
        begin: NDArray[np.int64],
        boxes: NDArray[np.float32],
    ) -> None:
        """Give up tracks that were seen once or are gone, and begin those of new boxes."""
        keep = self._frame - self._seen <= _KEPT_FOR
        keep[unmatched] = False
        keep &= ~self._doubles()
        count, first = len(begin), self._frame == 0
        ids = np.full(count, -1, np.int64)
        if first:
            ids = numbers[begin] = self._numbered(count)
        self._motion = self._motion.kept(keep, Motion.of(boxes[begin]))
        self._ids = np.concatenate([self._ids[keep], ids])
        self._begun = np.concatenate([self._begun[keep], np.full(count, self._frame)])
        self._seen = np.concatenate([self._seen[keep], np.full(count, self._frame)])
        self._confirmed = np.concatenate([self._confirmed[keep], np.full(count, first)])

    def _numbered(self, count: int) -> NDArray[np.int64]:
        self.next_id += count
        return np.arange(self.next_id - count, self.next_id)

    def _doubles(self) -> NDArray[np.bool_]:
        """Lost tracks that are where one that is seen is, or the other way round: the younger of the two."""
        doubles = np.zeros(len(self._ids), np.bool_)
        lost = np.flatnonzero(self._confirmed & (self._seen < self._frame))
        seen = np.flatnonzero(self._confirmed & (self._seen == self._frame))
        if not len(lost) or not len(seen):
            return doubles
        same = overlaps(self._motion.boxes[lost], self._motion.boxes[seen]) > _SAME
        for row, column in zip(*np.nonzero(same), strict=True):
            one, other = lost[row], seen[column]
            lasted = self._seen[one] - self._begun[one], self._seen[other] - self._begun[other]
            doubles[one if lasted[0] < lasted[1] else other] = True
        return doubles
