"""What was found in a data set that is likely to spoil a training or a measurement."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, overload

#: Kind of finding -> what it is, in words; in the order in which they are shown.
KINDS: Mapping[str, str] = {
    "unreadable": "Images that cannot be read",
    "missing_file": "Files that are not there any more",
    "leak": "Copies in several subsets",
    "exact_duplicate": "Exact copies",
    "near_duplicate": "Near copies",
    "wrong_label": "Labels that are probably wrong",
    "missing_label": "Labels that are probably missing",
    "spurious_label": "Labels that probably do not belong",
    "missing_object": "Objects that are probably missing",
    "spurious_object": "Objects that are probably not there",
    "misplaced_object": "Objects whose box is probably off",
    "outlier": "Images unlike the others",
    "blank": "Blank images",
    "dark": "Dark images",
    "bright": "Bright images",
    "grey": "Grey images among coloured ones",
    "odd_size": "Images of an odd size",
    "odd_aspect": "Images of an odd shape",
    "repeated_object": "Objects that are annotated twice",
    "tiny_object": "Objects smaller than a pixel",
    "unannotated": "Images without annotations",
    "alike_labels": "Labels that may be one",
    "unused_label": "Labels that never occur",
    "unseen_label": "Labels that training never sees",
    "unbalanced": "Classes of very different sizes",
    "skipped": "Images that were left out when the data were read",
    "problem": "Other problems",
}


@dataclass(frozen=True, slots=True)
class DataFinding:
    """One thing that was found, and where.

    Attributes:
        kind: one of :data:`KINDS`.
        reason: a sentence that says what was seen.
        path: the image it is about; ``""`` if it is about the whole data set.
        subset: of the image.
        score: 0..1, how sure or how bad it is; the worst of a kind come first.
        label: the label that the data give, by its name.
        suggested_label: the label that would fit better.
        box: ``(x1, y1, x2, y2)`` in pixels of the object it is about.
        others: the other images that it is about, such as the copies.
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
    """The findings about a data set, by kind and the worst of each kind first.

    Attributes:
        items: the findings.
        source: of the data set, as it was given.
        images: how many images were looked at.
        methods: what was looked for -> how, in words.
        not_checked: what was not looked for -> why.
        notes: what the reader should know of the findings.
        statistics: of the data set, as :meth:`drivetrain.Dataset.describe` gives them.
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
        """Findings in their order: by kind, then by falling score, then by path."""
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
        """Kind -> how many findings."""
        return dict(Counter(item.kind for item in self.items))

    def of_kind(self, *kinds: str) -> tuple[DataFinding, ...]:
        """The findings of some kinds, the worst first."""
        return tuple(item for item in self.items if item.kind in kinds)

    def paths(self, *kinds: str) -> list[str]:
        """Each image of these kinds once; of all kinds if none is given.

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
            path: the file; one of that name is replaced.

        Returns:
            The file.

        Raises:
            OptionError: the suffix is another.
            StorageError: it cannot be written.
        """
        # a page is made in a higher room, which is looked up when it is needed; see docs/adr/0003
        saved: Path = importlib.import_module("drivetrain.report.data_page").save_findings(self, Path(path))
        return saved
