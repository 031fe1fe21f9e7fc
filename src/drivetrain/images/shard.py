"""A shard of a source: the part that one of several processes predicts, the same in every process."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from drivetrain.errors import DataError, OptionError
from drivetrain.images.sources import expand_source


@dataclass(frozen=True, slots=True)
class Shard:
    """Every ``count``-th image, starting with the one at ``number``; each image is in exactly one of the shards.

    Attributes:
        number: 1 to ``count``.
        count: how many shards there are.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, value: Any) -> Shard:
        """Read ``"3/16"``.

        Raises:
            OptionError: it is not a number and a count with a slash between, or the number is outside of 1..count.
        """
        found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", value) if isinstance(value, str) else None
        shard = cls(int(found[1]), int(found[2])) if found else None
        if shard is None or not 1 <= shard.number <= shard.count:
            raise OptionError(
                f"shard={value!r}; give the number of the shard and how many there are, from '1/16' to '16/16'."
            )
        return shard

    def of(self, source: Any) -> Any:
        """The images of a source that belong to the shard; of a drivetrain data set, a data set with them.

        The order of the images decides, which is that of the names for folders, globs and data sets.

        Raises:
            DataError: the source has too few images, or none at all.
        """
        if hasattr(source, "select") and hasattr(source, "paths"):
            if self.number > len(source):
                raise self._too_many(len(source))
            return source.select(range(self.number - 1, len(source), self.count))
        items = expand_source(source)
        before = sum(1 for _ in islice(items, self.number - 1))
        first = next(items, None)
        if first is None:
            raise self._too_many(before)
        return chain([first], islice(items, self.count - 1, None, self.count))

    def _too_many(self, images: int) -> DataError:
        return DataError(
            f"shard='{self.number}/{self.count}' is empty: the source has only {images} images. Use at most {images} "
            "shards."
        )
