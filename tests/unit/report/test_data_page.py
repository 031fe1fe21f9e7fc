"""The page of a data set: read back as a browser would."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivetrain import load_dataset
from drivetrain.data.dataset import Dataset
from drivetrain.data.examples import example_rows
from drivetrain.errors import OptionError
from drivetrain.report import write_data_page
from drivetrain.report.annotated import annotation_of
from drivetrain.testing import data as toy
from drivetrain.types.data_findings import KINDS, DataFinding, DataFindings


class Page(HTMLParser):
    """The headlines, captions and pictures of a page; it must be closed as it was opened."""

    _ALONE = ("meta", "img", "br", "wbr")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headlines: list[str] = []
        self.captions: list[str] = []
        self.pictures: list[Image.Image] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            head, _, data = str(values["src"]).partition(",")
            assert head == "data:image/jpeg;base64", "the page needs nothing else"
            self.pictures.append(Image.open(io.BytesIO(base64.b64decode(data))))
        if tag == "a":
            self.links += [str(values["href"])] if "href" in values else []
            self.anchors += [f"#{values['id']}"] if "id" in values else []
        if tag not in self._ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headlines.append(data)
        if self.open and self.open[-1] == "figcaption":
            self.captions.append(data)


def page_of(data: Dataset, findings: DataFindings, target: Path) -> Page:
    samples = list(data.select(example_rows(data, 6)))
    return Page(write_data_page(target, findings, samples=samples, label_names=data.label_names))


@pytest.fixture
def shapes(tmp_path: Path) -> Dataset:
    return load_dataset(toy.coco(tmp_path / "shapes"), cache=False)


def test_the_page_has_figures_pictures_and_findings(shapes: Dataset, tmp_path: Path) -> None:
    box = (1.0, 2.0, 30.0, 40.0)
    items = [
        DataFinding("wrong_label", "It is <odd>.", shapes.paths[0], "train", 0.9, "circle", "square", box),
        DataFinding("leak", "A copy.", shapes.paths[1], "val", others=(shapes.paths[2],)),
        DataFinding("unseen_label", "'x' occurs in val but never in train."),
        DataFinding("unreadable", "It is broken.", str(tmp_path / "gone.png"), "train"),
    ]
    methods = {"labels": "by looking"}
    findings = DataFindings.of(
        items, source="shapes", images=len(shapes), statistics=shapes.describe(), methods=methods
    )
    page = page_of(shapes, findings, tmp_path / "page.html")
    assert page.headlines[0] == "Notes"
    assert {KINDS[kind] for kind in findings.counts} < set(page.headlines)
    assert len(page.pictures) == 6 + 2, "six examples, and the findings whose pictures can be read"
    assert any("circle → square · 0.90. It is <odd>." in caption for caption in page.captions)
    assert "It is &lt;odd&gt;." in page.text
    assert any("gone.png" in caption for caption in page.captions)
    assert "never in train" in page.text
    assert set(page.links) == set(page.anchors) == {f"#{kind}" for kind in findings.counts}
    counts = shapes.class_counts()
    assert f">{counts['circle']}</td>" in page.text


def test_copies_are_shown_side_by_side_and_boxes_are_drawn(shapes: Dataset, tmp_path: Path) -> None:
    items = [
        DataFinding("leak", "A copy.", shapes.paths[1], "val", others=(shapes.paths[2],)),
        DataFinding("missing_object", "One.", shapes.paths[0], "train", box=(4, 4, 60, 60), suggested_label="circle"),
    ]
    page = Page(DataFindings.of(items).save(tmp_path / "found.html"))
    leak, missing = page.pictures
    assert leak.width > 1.8 * leak.height
    assert missing.width == missing.height
    colours = np.asarray(missing.convert("RGB")).reshape(-1, 3).astype(int)
    assert (np.abs(colours - (0, 114, 255)).max(axis=1) < 60).sum() > 300, "the box has the colour of its label"


def test_many_findings_of_a_kind_are_folded(shapes: Dataset, tmp_path: Path) -> None:
    items = [
        DataFinding("outlier", f"Number {n}.", shapes.paths[n % 24], "train", score=1 - n / 100) for n in range(40)
    ]
    page = Page(DataFindings.of(items).save(tmp_path / "found.html"))
    assert len(page.pictures) == 24
    assert "<summary>16 more</summary>" in page.text
    assert "Number 39." in page.text


def test_findings_are_saved_as_data_or_refused(tmp_path: Path) -> None:
    findings = DataFindings.of([DataFinding("dark", "Dark.", "a.png", box=(1, 2, 3, 4))], source="d", images=3)
    saved = json.loads(findings.save(tmp_path / "found.json").read_text())
    assert saved["findings"][0]["box"] == [1, 2, 3, 4]
    assert saved["counts"] == {"dark": 1}
    with pytest.raises(OptionError, match=r"must end in \.html"):
        findings.save(tmp_path / "found.txt")


def test_the_annotations_of_every_kind_are_drawn(tmp_path: Path) -> None:
    made = {
        "masks": toy.class_maps(tmp_path / "maps"),
        "boxes": toy.yolo(tmp_path / "yolo"),
        "points": toy.coco(tmp_path / "points", keypoints=("left", "right")),
        "defects": toy.mvtec(tmp_path / "mvtec"),
        "classes": toy.class_folders(tmp_path / "classes"),
        "oriented": toy.oriented(tmp_path / "oriented"),
    }
    found = {name: load_dataset(root, cache=False) for name, root in made.items()}
    drawn = {name: [annotation_of(sample, data.label_names) for sample in data] for name, data in found.items()}
    assert all(item.class_map is not None for item in drawn["masks"])
    assert all(item.boxes is not None and item.masks is None for item in drawn["boxes"])
    assert all(item.keypoints[..., 2].max() == 1 for item in drawn["points"])
    assert any(item.anomaly_mask is not None and item.anomaly_mask.any() for item in drawn["defects"])
    assert [item.label_name for item in drawn["classes"][:1]] == ["blue"]
    assert all(item.masks is not None for item in drawn["oriented"])
    for name, data in found.items():
        page = page_of(data, data.validate(), tmp_path / f"{name}.html")
        assert len(page.pictures) == 6


def test_examples_are_of_every_label_and_subset(tmp_path: Path) -> None:
    data = load_dataset(toy.class_folders(tmp_path), cache=False)
    chosen = data.select(example_rows(data, 12))
    assert len(chosen) == 12
    assert set(chosen.subsets) == {"train", "val", "test"}
    assert min(chosen.class_counts().values()) >= 3
    assert example_rows(data.select([0, 1]), 12).tolist() == [0, 1]
