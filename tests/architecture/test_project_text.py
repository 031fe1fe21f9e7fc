"""The project's own text contains nothing about the machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = "|".join(["work", "root", "farm", "tmp/dt", "opt/pypi", "opt/wheels", "home/[a-z]+", "Users/[A-Za-z]+"])
PATTERNS = {
    "a path of one machine": rf"(?:^|[^A-Za-z0-9_.])/(?:{FOLDERS})(?:/|$|[^A-Za-z0-9_-])",
    "a package host": r"pypi[.]org/simple|files[.]pythonhosted",
    "a private address": r"\b(?:10|192[.]168|172[.](?:1[6-9]|2\d|3[01]))(?:[.]\d{1,3}){2,3}\b",
}


def tracked_text() -> dict[str, str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    found = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue  # deleted but not yet committed
        content = path.read_bytes()
        if b"\0" not in content[:8000]:
            found[name] = content.decode("utf-8")
    return found


def test_no_tracked_file_names_a_machine_or_a_host() -> None:
    texts = tracked_text()
    assert "pyproject.toml" in texts
    hits = [
        f"{name}:{number}: {what}: {line.strip()[:100]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in PATTERNS.items()
        if re.search(pattern, line)
    ]
    assert not hits, "\n".join(hits)


def test_the_patterns_find_what_they_are_for() -> None:
    assert re.search(PATTERNS["a path of one machine"], "open('/" + "work/main/x.txt')")
    assert re.search(PATTERNS["a path of one machine"], "see /" + "root/.cache")
    assert re.search(PATTERNS["a package host"], "https://pypi." + "org/simple/numpy")
    assert re.search(PATTERNS["a private address"], "http://10" + ".1.2.3:8000")
    assert not re.search(PATTERNS["a path of one machine"], "framework/root-cause and src/work/x")
