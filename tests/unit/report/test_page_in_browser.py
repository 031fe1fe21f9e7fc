"""The pages of a data set in a real browser: every picture is there, every link leads somewhere, nothing sticks out."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drivetrain import check_dataset, load_dataset
from drivetrain.data.examples import example_rows
from drivetrain.report import write_data_page
from drivetrain.testing import data as toy
from drivetrain.types.data_findings import DataFinding, DataFindings

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason="no Chromium is installed: the page is read without a browser elsewhere"
    ),
]

# what the browser says of the page, written into its title once all is laid out
_ASKED = """<script>addEventListener("load", () => { const page = document.documentElement; document.title = "ASKED" +
JSON.stringify({ pictures: [...document.images].map(i => [i.complete, i.naturalWidth, Math.round(i.width)]),
wide: page.scrollWidth - page.clientWidth, width: page.clientWidth,
dead: [...document.links].map(a => a.getAttribute("href")).filter(
  h => h[0] != "#" || !document.getElementById(h.slice(1))),
sections: [...document.querySelectorAll("section")].map(s => Math.round(s.getBoundingClientRect().height)),
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


def test_a_page_is_whole_in_a_browser(page: Path) -> None:
    for width in (1200, 500):
        answer = asked(page, width)
        assert len(answer["pictures"]) >= 9
        assert all(complete and wide > 0 for complete, wide, _ in answer["pictures"])
        assert all(shown > 100 for _, _, shown in answer["pictures"]), answer["pictures"]
        assert answer["dead"] == []
        assert answer["loaded"] == []
        assert answer["wide"] <= 0, f"the page is wider than its window of {answer['width']} pixels"
        assert all(height > 30 for height in answer["sections"])
