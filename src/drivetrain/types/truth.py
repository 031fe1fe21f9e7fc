"""The annotations of the images that a model is asked about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivetrain.types.sample import Sample


class Truth(Mapping[str, Sample]):
    """The annotated sample of each image, by path; each sample is read when it is looked up.

    Args:
        samples: one for each path.
        paths: the images.
        label_names: the label names of the samples, by number; the model may number its labels differently.
    """

    def __init__(self, samples: Sequence[Sample], paths: Sequence[str], label_names: Sequence[str]) -> None:
        self._samples = samples
        self._rows = {path: row for row, path in enumerate(paths)}
        self.label_names = tuple(label_names)

    @classmethod
    def of(cls, source: Any) -> Truth | None:
        """The truth of a source that is a drivetrain data set; ``None`` for any other source."""
        if not all(hasattr(source, name) for name in ("paths", "label_names", "subsets")):
            return None
        return cls(source, source.paths, source.label_names)

    def __getitem__(self, path: str) -> Sample:
        return self._samples[self._rows[path]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Truth({len(self)} images)"
