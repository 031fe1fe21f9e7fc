"""Every format is found by itself, and the page that lists them says what is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from format_table import CASES, PAGE, FormatCase, page, row

pytest.importorskip("datumaro")


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_a_format_is_read_as_the_page_says(case: FormatCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVETRAIN_CACHE", str(tmp_path / "cache"))
    found = row(case, tmp_path / "data")
    assert "DIFFERS" not in found
    assert found in PAGE.read_text(encoding="utf-8"), "write it again: python tests/interop/formats/format_table.py"


def test_the_page_lists_all_formats_and_no_others() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| data set")]
    assert text == page(rows)
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows] == [case.title for case in CASES]
