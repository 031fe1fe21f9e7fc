"""Problems found in a data set that are likely to harm training or evaluation."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, overload

#: Kind of finding -> its heading, in display order.
KINDS: Mapping[str, str] = {
    "unreadable": "Images that cannot be read",
    "missing_file": "Files that no longer exist",
    "leak": "Copies in several subsets",
    "exact_duplicate": "Exact copies",
    "near_duplicate": "Near copies",
    "wrong_label": "Labels that are probably wrong",
    "missing_label": "Labels that are probably missing",
    "spurious_label": "Labels that are probably superfluous",
    "missing_object": "Objects that are probably missing",
    "spurious_object": "Annotated objects that are probably not there",
    "misplaced_object": "Objects whose box is probably misplaced",
    "outlier": "Images unlike the others",
    "blank": "Blank images",
    "dark": "Dark images",
    "bright": "Bright images",
    "grey": "Grey images among coloured ones",
    "odd_size": "Images of an unusual size",
    "odd_aspect": "Images of an unusual shape",
    "repeated_object": "Objects annotated twice",
    "tiny_object": "Objects smaller than a pixel",
    "unannotated": "Images without annotations",
    "alike_labels": "Labels that may be the same",
    "unused_label": "Labels that never occur",
    "unseen_label": "Labels that never occur in training",
    "unbalanced": "Classes of very different sizes",
    "skipped": "Images that were skipped when the data were read",
    "problem": "Other problems",
}


@dataclass(frozen=True, slots=True)
class DataFinding:
    """One finding, and where it was found.

    Attributes:
        kind: one of :data:`KINDS`.
        reason: a sentence describing the evidence.
        path: the image concerned; ``""`` if the finding is about the whole data set.
        subset: the subset of the image.
        score: 0..1, how certain or how severe the finding is; within a kind, the worst come first.
        label: the name of the annotated label.
        suggested_label: the label that would fit better.
        box: ``(x1, y1, x2, y2)`` of the object concerned, in pixels.
        others: other images concerned, such as the copies.
    """

    kind: str
    reason: str
    path: str = ""
    subset: str = ""
    score: float = 1.0
    label: str = ""
    suggested_label: str = ""
    box: tuple[float, float, float, float] | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class DataFindings(Sequence[DataFinding]):
    """The findings about a data set, grouped by kind, the worst of each kind first.

    Attributes:
        items: the findings.
        source: the source of the data set, as it was given.
        images: how many images were examined.
        methods: each check that was made -> how, in words.
        not_checked: each check that was not made -> why.
        notes: remarks on how to read the findings.
        statistics: statistics of the data set, as :meth:`drivetrain.Dataset.describe` returns them.
    """

    items: tuple[DataFinding, ...]
    source: str = ""
    images: int = 0
    methods: Mapping[str, str] = field(default_factory=dict)
    not_checked: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, items: Iterable[DataFinding], **facts: Any) -> DataFindings:
        """Findings in order: by kind, then by descending score, then by path."""
        order = {kind: number for number, kind in enumerate(KINDS)}
        return cls(tuple(sorted(items, key=lambda item: (order[item.kind], -item.score, item.path))), **facts)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> DataFinding: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[DataFinding, ...]: ...

    def __getitem__(self, index: int | slice) -> DataFinding | tuple[DataFinding, ...]:
        return self.items[index]

    def __iter__(self) -> Iterator[DataFinding]:
        return iter(self.items)

    def __repr__(self) -> str:
        found = ", ".join(f"{kind}: {count}" for kind, count in self.counts.items()) or "nothing found"
        return f"DataFindings({self.images} images; {found})"

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> number of findings."""
        return dict(Counter(item.kind for item in self.items))

    def of_kind(self, *kinds: str) -> tuple[DataFinding, ...]:
        """The findings of the given kinds, the worst first."""
        return tuple(item for item in self.items if item.kind in kinds)

    def paths(self, *kinds: str) -> list[str]:
        """The path of each image with a finding of these kinds, once; of any kind if none is given.

        Example:
            >>> clean = data.filter(where=~np.isin(data.paths, findings.paths("exact_duplicate")))  # doctest: +SKIP
        """
        chosen = self.of_kind(*kinds) if kinds else self.items
        return list(dict.fromkeys(item.path for item in chosen if item.path))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "source": self.source,
            "images": self.images,
            "counts": self.counts,
            "findings": [asdict(item) for item in self.items],
            "methods": dict(self.methods),
            "not_checked": dict(self.not_checked),
            "notes": list(self.notes),
            "statistics": dict(self.statistics),
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """:meth:`to_dict` as a JSON document."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def save(self, path: str | Path) -> Path:
        """Write a page with pictures (``.html``) or the findings as data (``.json``).

        Args:
            path: the file; an existing one is replaced.

        Returns:
            The file.

        Raises:
            OptionError: the suffix is neither of these.
            StorageError: the file cannot be written.
        """
        # the page is made by a higher room, which is looked up only when needed; see docs/adr/0003
        saved: Path = importlib.import_module("drivetrain.report.data_page").save_findings(self, Path(path))
        return saved
