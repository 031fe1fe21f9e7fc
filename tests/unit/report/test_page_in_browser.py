"""Pages in a real browser: every picture is there, every link leads somewhere, nothing sticks out, tables sort."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drivetrain import Engine, check_dataset, compare, load_dataset
from drivetrain.data.examples import example_rows
from drivetrain.report import write_data_page
from drivetrain.testing import data as toy
from drivetrain.testing.toy import ToyModel
from drivetrain.types.data_findings import DataFinding, DataFindings

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason="no Chromium is installed: the page is read without a browser elsewhere"
    ),
]

# what the browser says of the page, written into its title once all is laid out and the tables were sorted by a click
_ASKED = """<script>const errors = []; addEventListener("error", event => errors.push(String(event.message)));
addEventListener("load", () => { const page = document.documentElement;
const sorted = [...document.querySelectorAll("table.sortable")].map(table => {
  const column = table.querySelectorAll("thead th").length - 1, head = table.querySelectorAll("thead th")[column];
  const cells = () => [...table.tBodies[0].rows].map(row => row.cells[column].textContent);
  const before = cells(); head.click(); const up = cells(); head.click();
  return {before, up, down: cells(), aria: head.getAttribute("aria-sort")}; });
const broken = [...document.querySelectorAll("thead th")].filter(head => head.getClientRects().length &&
  head.offsetHeight > 34 && !head.querySelector("span")).map(head => head.textContent);
document.title = "ASKED" +
JSON.stringify({ pictures: [...document.images].map(i => [i.complete, i.naturalWidth, Math.round(i.width)]),
wide: page.scrollWidth - page.clientWidth, width: page.clientWidth,
dead: [...document.links].map(a => a.getAttribute("href")).filter(
  h => h[0] != "#" || !document.getElementById(h.slice(1))),
sections: [...document.querySelectorAll("section")].map(s => Math.round(s.getBoundingClientRect().height)),
errors, sorted, broken,
loaded: performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:"))
}); });</script>"""


def asked(page: Path, width: int) -> dict[str, Any]:
    """What Chromium finds in a page in a window of a width in pixels."""
    assert BROWSER is not None
    copy = page.with_name(f"{page.stem}-asked.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</head>", f"{_ASKED}</head>"), encoding="utf-8")
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"),
        *(f"--window-size={width},900", "--virtual-time-budget=5000", f"--user-data-dir={page.parent / 'profile'}"),
    ]
    told = subprocess.run([BROWSER, *options, copy.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>ASKED(.*?)</title>", told.stdout, re.DOTALL)
    assert found is not None, told.stdout[-500:]
    answer: dict[str, Any] = json.loads(html.unescape(found[1]))
    return answer


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with pictures of findings and annotations, and a name without a place to break it."""
    data = load_dataset(toy.coco(tmp_path / "shapes"), cache=False)
    found = check_dataset(data)
    items = [
        *found,
        DataFinding("leak", "A copy.", data.paths[1], "val", others=(data.paths[2],)),
        DataFinding("unreadable", "It is broken.", "/" + 40 * "a-name-without-a-space" + ".png", "train"),
    ]
    told = DataFindings.of(items, source="shapes", images=len(data), statistics=data.describe(), methods=found.methods)
    samples = list(data.select(example_rows(data, 8)))
    return write_data_page(tmp_path / "page.html", told, samples=samples, label_names=data.label_names)


def numbers(cells: list[str]) -> list[float]:
    """What the cells are sorted by."""
    found = [re.match(r"\d+(\.\d+)?(?![\w-]|\.\d)", cell) for cell in cells]
    return [float(number[0]) for number in found if number is not None]


def assert_whole(page: Path, pictures: int, tables: int) -> None:
    """The page is as it should be, on a wide window and on one of a phone."""
    for width in (1200, 500):
        answer = asked(page, width)
        assert answer["errors"] == []
        assert answer["broken"] == []
        assert len(answer["sorted"]) >= tables
        for table in answer["sorted"]:
            assert sorted(table["up"]) == sorted(table["before"])
            assert table["aria"] == "descending"
            if numbers(table["up"]):
                assert numbers(table["up"]) == sorted(numbers(table["up"]))
                assert numbers(table["down"]) == numbers(table["up"])[::-1]
        assert len(answer["pictures"]) >= pictures
        assert all(complete and wide > 0 for complete, wide, _ in answer["pictures"])
        assert all(shown > 100 for _, _, shown in answer["pictures"]), answer["pictures"]
        assert answer["dead"] == []
        assert answer["loaded"] == []
        assert answer["wide"] <= 0, f"the page is wider than its window of {answer['width']} pixels"
        assert all(height > 30 for height in answer["sections"])


def test_the_page_of_a_data_set_is_whole_in_a_browser(page: Path) -> None:
    assert_whole(page, pictures=9, tables=1)


def test_the_page_of_a_run_is_whole_in_a_browser(tmp_path: Path) -> None:
    folder = toy.class_folders(tmp_path / "data")
    engine = Engine(ToyModel(), folder, work_dir=tmp_path / "run")
    engine.train(3, image_size=6, batch_size=4)
    engine.test()
    engine.export()
    assert_whole(engine.work_dir / "report.html", pictures=12, tables=2)


def test_the_page_of_a_comparison_is_whole_in_a_browser(tmp_path: Path) -> None:
    folder = toy.class_folders(tmp_path / "data")
    run = tmp_path / "run"
    Engine("toy:linear", folder, work_dir=run).train(1)
    found = compare(["toy:linear", run], folder, max_epochs=1, work_dir=tmp_path / "all", timing_seconds=0.1)
    assert_whole(found.report, pictures=6, tables=3)
