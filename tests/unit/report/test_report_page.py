"""Tables and the page of a run."""

import html
import io
import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from drivetrain.errors import DataNotFoundError, ImageError
from drivetrain.report import (
    compare_markdown,
    compare_table,
    metrics_markdown,
    metrics_table,
    write_report,
)
from drivetrain.report._charts import charts_of, line_chart
from drivetrain.types import EpochRecord, Metrics, ParityReport

METRICS = Metrics(
    {"accuracy": 0.75, "f1": math.nan, "upstream/val_acc": 0.7},
    per_class={"f1": {"a|b": 0.5, "[red]c": math.nan}, "recall": {"a|b": 1.0}},
    tables={"confusion_matrix": [[3, 1], [0, 4]], "label_names": ["a|b", "<script>alert(1)</script>"]},
    count=8,
)
HISTORY = [
    EpochRecord(n, {"train/loss": 2 / (n + 1), "val/loss": 3 / (n + 1), "learning_rate": 10.0**-n, "val/map": n / 10})
    for n in range(5)
]


def _printed(table):
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(table)
    return console.file.getvalue()


def test_metrics_in_markdown_and_in_the_terminal():
    text = metrics_markdown(METRICS)
    assert "| accuracy | 0.7500 |" in text
    assert "| f1 | – |" in text  # noqa: RUF001
    assert "| a\\|b | 0.5000 | 1.0000 |" in text
    assert "[red]c" in text
    assert "a\\|b" not in metrics_markdown(METRICS, per_class=False)
    printed = _printed(metrics_table(METRICS, title="test"))
    assert "[red]c" in printed
    assert "8 images" in printed
    assert "0.7500" in printed
    assert "[red]c" not in _printed(metrics_table(METRICS, per_class=False))


def test_comparison_marks_the_best_of_each_column():
    runs = {
        "yolo|n": {"map": 0.4, "latency_ms": 5.0, "same": 1.0},
        "[s]": {"map": 0.5, "latency_ms": 9.0, "same": 1.0, "only": 3},
        "c": {"map": math.nan},
    }
    assert compare_markdown(runs).splitlines()[2:] == [
        "| yolo\\|n | 0.4000 | **5.0000** | 1.0000 | – |",  # noqa: RUF001
        "| [s] | **0.5000** | 9.0000 | 1.0000 | 3.0000 |",
        "| c | – | – | – | – |",  # noqa: RUF001
    ]
    assert compare_markdown(runs, names=["map"]).splitlines()[0] == "| run | map |"
    printed = _printed(compare_table(runs, title="runs"))
    assert "[s]" in printed
    assert "0.5000" in printed


def _parsed(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n")
    return text, ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def test_the_page_is_well_formed_and_stands_alone(tmp_path):
    picture = tmp_path / "p & q.png"
    Image.fromarray(np.zeros((900, 1300, 3), np.uint8)).save(picture)
    parity = ParityReport(("x",), {"boxes": 0.25}, {"boxes": 0.5}, 1.0, True)
    run = {"status": "finished", "model": {"name": "m<1>", "args": {}}, "options": {"seed": 7}, "command": "x" * 300,
           "odd": "a\x00b\ud800", "none": None}  # fmt: skip
    path = write_report(
        tmp_path / "new" / "report.html", title="a <b> & 'c'", run=run, metrics=METRICS, history=HISTORY,
        pictures=[picture], notes=["n <i>"], parity=parity,
    )  # fmt: skip
    text, root = _parsed(path)
    assert root.find("head/title").text == "a <b> & 'c'"
    assert "<script" not in text
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    assert "@import" not in text
    assert "url(" not in text
    headings = [heading.text for heading in root.iter("h2")]
    assert headings == ["Notes", "Metrics on 8 images", "Training", "Confusion matrix", "By class",
                        "Artefact against model", "Predictions", "Run"]  # fmt: skip
    facts = ["".join(item.itertext()) for item in root.find("body/header/ul")]
    assert facts == ["status finished", "model m<1>", "seed 7"]
    image = next(root.iter("img"))
    assert image.get("src").startswith("data:image/jpeg;base64,")
    assert len(text) < 100_000
    assert "prefers-color-scheme: dark" in html.unescape(text)
    cells = [cell.text for cell in root.iter("td") if cell.get("class") in ("hit", "miss")]
    assert cells == ["3", "1", None, "4"]
    assert list(path.parent.iterdir()) == [path]


def test_tests_stand_first_each_with_all_that_it_measured(tmp_path):
    row = {"recall": 1.0, "missed": 0, "false_alarm_rate": 0.25, "false_alarms": 1, "precision": math.nan}
    thresholds = [{**row, "aim": "in use", "sensitivity": 0.5}, {**row, "aim": "recall 100%", "sensitivity": None}]
    tables = {"thresholds": thresholds, "threshold_advice": "Take 0.62.", "about_upstream": "It cuts scores off."}
    found = Metrics({"image_auroc": 0.9, "upstream/image_AUROC": 0.8}, tables=tables, count=4)
    path = write_report(
        tmp_path / "report.html", title="t", run={}, metrics=METRICS, tests={"Test <1>": found, "Test 2": METRICS}
    )
    text, root = _parsed(path)
    assert [heading.text for heading in root.iter("h2")][:3] == ["Test <1>", "Test 2", "Metrics on 8 images"]
    first = next(part for part in root.iter("section") if part[0].text == "Test <1>")
    assert [heading.text for heading in first.iter("h3")] == ["Recall against false alarms"]
    cells = [[cell.text for cell in line] for line in first.find("section/table/tbody")]
    assert cells[0] == ["in use", "0.5", "100.0% (0 missed)", "25.0% (1)", "–"]  # noqa: RUF001
    assert cells[1][1] == "out of 0..1"
    assert "Take 0.62." in text
    assert "It cuts scores off." in text


def test_a_page_about_little_has_only_what_there_is(tmp_path):
    _, root = _parsed(write_report(tmp_path / "r.html", title="t", run={}))
    assert list(root.iter("h2")) == []
    _, root = _parsed(write_report(tmp_path / "r.html", title="t", run={}, metrics=Metrics({})))
    assert list(root.iter("h2")) == []


def test_what_was_chosen_is_on_the_page_with_its_reasons(tmp_path):
    decisions = [
        {"name": "model", "value": "timm:resnet10t", "reason": "the best", "given": False},
        {"name": "splits", "value": None, "reason": "divided already", "given": False},
        {"name": "engine_args", "value": {"a": 1}, "reason": "uneven <classes>", "given": False},
    ]
    plan = {"decisions": decisions, "warnings": ["Look out."]}
    path = write_report(tmp_path / "r.html", title="t", run={"plan": plan})
    page, _ = path.read_text(), _parsed(path)
    assert "What was chosen, and why" in page
    assert '<th scope="row">model</th><td>timm:resnet10t</td><td>the best</td>' in page
    assert "uneven &lt;classes&gt;" in page
    assert "<li>Look out.</li>" in page


def test_many_classes_become_a_list_of_confusions(tmp_path):
    matrix = np.eye(60, dtype=int) * 5
    matrix[3, 7] = 2
    metrics = Metrics(
        {"accuracy": 0.9}, tables={"confusion_matrix": matrix.tolist(), "label_names": [f"c{n}" for n in range(60)]}
    )
    _, root = _parsed(write_report(tmp_path / "r.html", title="t", run={}, metrics=metrics))
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    assert ["c3", "c7", "2", "28.6%"] in rows
    assert len(rows) == 2


def test_pictures_that_are_not_there_or_broken_are_refused(tmp_path):
    with pytest.raises(DataNotFoundError, match="does not exist"):
        write_report(tmp_path / "r.html", title="t", run={}, pictures=[tmp_path / "absent.png"])
    (tmp_path / "bad.png").write_bytes(b"no")
    with pytest.raises(ImageError, match="cannot be read"):
        write_report(tmp_path / "r.html", title="t", run={}, pictures=[tmp_path / "bad.png"])
    assert not (tmp_path / "r.html").exists()


def test_charts_group_by_quantity_and_put_losses_first():
    charts = charts_of([*HISTORY, EpochRecord(5, {"val/loss": math.nan, "val/map": math.inf})])
    assert list(charts) == ["loss", "map", "learning_rate"]
    assert list(charts["loss"]) == ["train", "val"]
    assert len(charts["loss"]["val"]) == 5
    assert charts["map"]["val"][-1] == (4.0, 0.4)


@pytest.mark.parametrize(
    "values", [[1.0], [0.0, 0.0], [-3.0, 5.0, 2.0], [1e-9, 1.0, 10.0], [1e12, 2e12], [0.123456, 0.123457]]
)
def test_every_point_lies_inside_the_chart(values):
    figure = ET.fromstring(line_chart("x & y", {"<a>": [(float(n), v) for n, v in enumerate(values)]}))
    svg = figure.find("svg")
    points = [tuple(map(float, p.split(","))) for p in svg.find(".//polyline").get("points").split()]
    assert len(points) == len(values)
    assert all(54 <= x <= 408 and 10 <= y <= 202 for x, y in points)
    heights = [y for _, y in points]
    assert [values[n] for n in np.argsort(heights)[::-1]] == sorted(values) or len(set(heights)) < len(values)
    assert len(svg.findall("text")) >= 3


def test_a_wide_range_is_drawn_on_decades():
    assert "(log)" in line_chart("lr", {"lr": [(0.0, 1.0), (1.0, 1e-5)]})
    assert "(log)" not in line_chart("lr", {"lr": [(0.0, 1.0), (1.0, 0.2)]})
    assert "(log)" not in line_chart("lr", {"lr": [(0.0, -1.0), (1.0, 1000.0)]})
