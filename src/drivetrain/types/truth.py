"""What the data themselves say about images that a model is asked about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivetrain.types.sample import Sample


class Truth(Mapping[str, Sample]):
    """The annotated sample of each image, by its path; a sample is read when it is looked up.

    Args:
        samples: one for each path.
        paths: the images.
        label_names: the name of each label of the samples, by its number; the model may number them otherwise.
    """

    def __init__(self, samples: Sequence[Sample], paths: Sequence[str], label_names: Sequence[str]) -> None:
        self._samples = samples
        self._rows = {path: row for row, path in enumerate(paths)}
        self.label_names = tuple(label_names)

    @classmethod
    def of(cls, source: Any) -> Truth | None:
        """The truth about a source that is a data set of drivetrain; ``None`` for any other."""
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
