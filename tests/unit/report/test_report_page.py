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
from drivetrain.report._charts import bar_chart, charts_of, line_chart, measured_once
from drivetrain.report._html import TableView, breakable
from drivetrain.report.measured import MeasuredPart, PageExample
from drivetrain.types import EpochRecord, Metrics

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


def _headings(root, level="h2"):
    return ["".join(heading.itertext()) for heading in root.iter(level)]


def _section(root, name):
    return next(part for part in root.iter("section") if part[0].text == name)


def _rows(part):
    return [["".join(cell.itertext()) for cell in row] for row in part.iter("tr")]


EXAMPLE = PageExample("7 & 8.png", "worst", ("truth: <a>", "answer: b"), (("truth", "data:image/jpeg;base64,"),))


def test_the_page_is_well_formed_and_stands_alone(tmp_path):
    picture = tmp_path / "p & q.png"
    Image.fromarray(np.zeros((900, 1300, 3), np.uint8)).save(picture)
    run = {"status": "finished", "model": {"name": "m<1>", "args": {}}, "options": {"seed": 7}, "command": "x" * 300,
           "odd": "a\x00b\ud800", "none": None,
           "parts": [{"started": "2026-01-02T03:04:05+0000", "ended": "2026-01-02T03:05:15+0000"}]}  # fmt: skip
    artifact = {"name": "openvino-fp32", "precision": "fp32", "size": "1.50", "verdict": "yes, on 8 images",
                "metric": "", "before": "", "after": "", "said": "", "differences": [["a", "0.2", "1"]]}  # fmt: skip
    path = write_report(
        tmp_path / "new" / "report.html", title="a <b> & 'c'", run=run, metrics=METRICS, history=HISTORY,
        validation=MeasuredPart(METRICS, (EXAMPLE,)), pictures=[picture], notes=["n <i>"], artifacts=[artifact],
        commands=[("Test it", "drivetrain test --model 'a b'")],
    )  # fmt: skip
    text, root = _parsed(path)
    assert root.find("head/title").text == "a <b> & 'c'"
    assert text.count("<script") == 1
    assert not re.search(r'src="(?!data:)|href="(?!#)', text)
    assert "@import" not in text
    assert "url(" not in text
    assert _headings(root) == ["Notes", "Result", "Training", "On 8 validation images", "Predictions",
                               "Exported models", "Options", "Next", "Record"]  # fmt: skip
    assert _headings(root, "h3") == ["Confusion matrix", "By class", "Answered worst"]
    facts = ["".join(item.itertext()) for item in root.find("body/header/ul")]
    assert facts == ["status finished", "model m<1>", "seed 7", "started 2026-01-02 03:04 UTC", "took 1 min 10 s"]
    assert [len(list(root.iter("img"))), len(text) < 100_000] == [2, True]
    assert all(image.get("src").startswith("data:image/jpeg;base64,") for image in root.iter("img"))
    assert "prefers-color-scheme: dark" in html.unescape(text)
    cells = [cell.text for cell in root.iter("td") if cell.get("class") in ("hit", "miss")]
    assert cells == ["3", "1", None, "4"]
    targets = {link.get("href")[1:] for link in root.iter("a")}
    assert targets == {part.get("id") for part in root.iter("section")}
    assert list(path.parent.iterdir()) == [path]


def test_tests_stand_before_the_training_each_with_all_that_it_measured(tmp_path):
    row = {"recall": 1.0, "missed": 0, "false_alarm_rate": 0.25, "false_alarms": 1, "precision": math.nan}
    thresholds = [{**row, "aim": "in use", "sensitivity": 0.5}, {**row, "aim": "recall 100%", "sensitivity": None}]
    tables = {"thresholds": thresholds, "threshold_advice": "Take 0.62.", "about_upstream": "It cuts scores off.",
              "score_histogram": {"normal": [3, 0], "anomalous": [0, 1]}}  # fmt: skip
    found = Metrics({"image_auroc": 0.9, "upstream/image_AUROC": 0.8}, tables=tables, count=4)
    tests = {"Test <1> on 4 images": MeasuredPart(found), "Test 2 on 8 images": MeasuredPart(METRICS, (EXAMPLE,))}
    text, root = _parsed(
        write_report(tmp_path / "report.html", title="t", run={}, metrics=METRICS, history=HISTORY, tests=tests)
    )
    assert _headings(root) == ["Result", *tests, "Training"]
    first = _section(root, "Test <1> on 4 images")
    assert _headings(first, "h3") == ["Recall against false alarms", "Scores"]
    rows = _rows(first)
    at = next(place for place, row in enumerate(rows) if row and row[0] == "in use")
    assert ["image_AUROC", "0.8000"] in rows[:at], "the framework's own numbers are beside ours"
    assert rows[at] == ["in use", "0.5", "100.0% (0 missed)", "25.0% (1)", "–"]  # noqa: RUF001
    assert rows[at + 1][1] == "out of 0..1"
    assert [title.text for title in first.iter("title")] == [
        "normal, score 0 to 0.5: 3", "anomalous, score 0.5 to 1: 1"
    ]  # fmt: skip
    assert "Take 0.62." in text
    assert "It cuts scores off." in text


def test_a_page_about_little_has_only_what_there_is(tmp_path):
    _, root = _parsed(write_report(tmp_path / "r.html", title="t", run={}))
    assert _headings(root) == []
    _, root = _parsed(write_report(tmp_path / "r.html", title="t", run={}, metrics=Metrics({})))
    assert _headings(root) == []


def test_what_was_measured_in_one_epoch_is_a_number_and_no_chart(tmp_path):
    history = [EpochRecord(0, {"train/loss": 0.5, "val/image_auroc": 0.75})]
    page = write_report(tmp_path / "r.html", title="t", run={}, history=history, metrics=Metrics(history[0].metrics))
    assert _headings(_parsed(page)[1]) == ["Result"], "its numbers are the result"
    page = write_report(
        tmp_path / "r.html", title="t", run={}, history=history, metrics=Metrics({"val/image_auroc": 0.75})
    )
    _, root = _parsed(page)
    assert list(root.iter("svg")) == []
    assert ["".join(item.itertext()) for item in _section(root, "Training").iter("li")] == ["train/loss0.5000"]


def test_epochs_count_from_one_and_the_used_one_is_marked(tmp_path):
    metrics = Metrics(HISTORY[3].metrics)
    text, root = _parsed(write_report(tmp_path / "r.html", title="t", run={}, history=HISTORY, metrics=metrics))
    assert "Epoch 4 of 5, whose state is used." in text
    titles = [title.text for title in root.iter("title")]
    assert "val, epoch 1: 3.0000" in titles
    assert not any("epoch 0" in title for title in titles)
    assert sum(line.get("class") == "mark" for line in root.iter("line")) == 3


def test_options_are_in_words_and_what_they_were_replaced_by(tmp_path):
    run = {
        "options": {"max_epochs": 40, "batch_size": None, "image_size": 96, "resume": False, "adaptive_bs": "none",
                    "learning_rate": 0.1, "engine_args": {"optimizer": "SGD", "momentum": 0.9}},
        "effective_options": {"max_epochs": 1, "batch_size": 8, "image_size": [96, 128], "deterministic": False,
                              "learning_rate": 0.1},
        "overrides": {"max_epochs": [40, 1]},
    }  # fmt: skip
    _, root = _parsed(write_report(tmp_path / "r.html", title="t", run=run))
    assert _rows(_section(root, "Options")) == [
        ["option", "used", "asked for", "remark", "name"],
        ["epochs", "1", "40", "replaced by the framework", "max_epochs"],
        ["batch size", "8", "", "the engine's default", "batch_size"],
        ["image size (height x width)", "96 x 128", "96", "", "image_size"],
        ["learning rate (highest)", "0.1", "", "", "learning_rate"],
        ["arguments of the framework's own trainer", "optimizer SGD, momentum 0.9", "", "", "engine_args"],
    ]


def test_what_the_data_are(tmp_path):
    run = {"data": {"source": "/data/shapes", "format": "coco", "subsets": {"train": 3, "val": 2}, "labels": 2}}
    statistics = {
        "label_names": ["a", "b"],
        "images_per_class": {"train": {"a": 2, "b": 1}, "val": {"a": 1, "b": 1}},
        "objects_per_class": {"a": 7, "b": 2},
        "image_sizes": {"smallest": [48, 64]},
    }
    page = write_report(tmp_path / "r.html", title="t", run=run, statistics=statistics, samples=[EXAMPLE])
    part = _section(_parsed(page)[1], "Data")
    assert _headings(part, "h3") == ["Images and objects by class", "Sizes",
                                     "Some of the images, with their annotations"]  # fmt: skip
    assert _rows(part) == [
        ["label", "train images", "val images", "objects"], ["a", "2", "1", "7"], ["b", "1", "1", "2"],
        ["", "size"], ["smallest image", "64 x 48 px"],
    ]  # fmt: skip
    facts = ["".join(item.itertext()) for item in part.find("ul")]
    assert facts == ["source /data/shapes", "format coco", "train images 3", "val images 2", "labels 2"]


def test_curves_of_precision_show_the_mean_the_best_and_the_worst_of_many_classes(tmp_path):
    curves = {f"c{n}": [1.0, n / 10] for n in range(10)}
    tables = {"precision_recall": {"recall": [0.0, 0.5], "by_class": curves}}
    page = write_report(
        tmp_path / "r.html", title="t", run={}, validation=MeasuredPart(Metrics({}, tables=tables, count=1))
    )
    _, root = _parsed(page)
    assert _headings(root) == ["On 1 validation image"]
    keys = ["".join(key.itertext()) for key in root.iter("span") if key.get("class") == "key"]
    assert keys == ["mean of 10 classes", "c9", "c8", "c1", "c0"]


def test_columns_of_numbers_are_aligned_with_their_headers_and_only_long_words_break():
    view = TableView.of(["name", "value", "share", "text"], [["1", "2.5", "3.0% (2)", "x"], ["2", "–", "4", "5"]])  # noqa: RUF001
    assert view.numeric == [False, True, True, False]
    assert breakable("a <b> option") == "a &lt;b&gt; option"
    assert breakable("in /a/folder/that/is/very-long/x").count("<wbr/>") == 7
    assert breakable("w" * 50) == "<wbr/>".join(["w" * 24, "w" * 24, "ww"])


def test_what_was_chosen_is_on_the_page_with_its_reasons(tmp_path):
    decisions = [
        {"name": "model", "value": "timm:resnet10t", "reason": "the best", "given": False},
        {"name": "splits", "value": None, "reason": "divided already", "given": False},
        {"name": "engine_args", "value": {"a": 1}, "reason": "uneven <classes>", "given": False},
    ]
    plan = {"decisions": decisions, "warnings": ["Look out."]}
    path = write_report(tmp_path / "r.html", title="t", run={"plan": plan})
    page, root = _parsed(path)
    rows = _rows(_section(root, "What was chosen, and why"))
    assert rows[1] == ["model", "timm:resnet10t", "the best"]
    assert rows[3] == ["arguments of the framework's own trainer", "a 1", "uneven <classes>"]
    assert "<li>Look out.</li>" in page


def test_many_classes_become_a_list_of_confusions(tmp_path):
    matrix = np.eye(60, dtype=int) * 5
    matrix[3, 7] = 2
    metrics = Metrics(
        {"accuracy": 0.9}, tables={"confusion_matrix": matrix.tolist(), "label_names": [f"c{n}" for n in range(60)]}
    )
    _, root = _parsed(write_report(tmp_path / "r.html", title="t", run={}, validation=MeasuredPart(metrics)))
    assert _rows(root) == [["truth", "answer", "count", "of the class"], ["c3", "c7", "2", "28.6%"]]


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
    assert charts["map"]["val"][-1] == (5.0, 0.4)
    assert measured_once([*HISTORY, EpochRecord(5, {"val/loss": math.nan, "val/dice": 0.5})]) == [("val/dice", 0.5)]


def test_bars_stand_on_the_axis():
    figure = ET.fromstring(bar_chart("n", {"a": [0, 3], "b": [1, 0]}, across="score", marked=0.5))
    bars = [[float(bar.get(name)) for name in ("x", "y", "height")] for bar in figure.iter("rect")]
    assert len(bars) == 2
    assert all(abs(y + height - 202) < 0.2 for _, y, height in bars)
    assert bars[0][2] > 2.9 * bars[1][2]


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
