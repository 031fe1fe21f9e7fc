"""Run an engine's tests against other releases of its upstream: ``python tests/versions/run.py [engine ...]``.

Each line of ``versions.txt`` gets an environment of its own in ``build/versions``. It sees the packages of the
environment that runs this script, and what the line asks for goes before them, so only what differs is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("versions.txt")


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        engine: whose upstream it is.
        requirement: what is installed, as pip reads it.
        tests: files that must pass.
    """

    engine: str
    requirement: str
    tests: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Of its environment."""
        return ROOT / "build" / "versions" / re.sub(r"[^a-z0-9.]+", "-", self.requirement.lower()).strip("-")


def read_table(text: str) -> list[Line]:
    """The lines of the table, in their order."""
    rows = [row.split() for row in text.splitlines() if row.strip() and not row.startswith("#")]
    return [Line(engine, requirement, tuple(tests)) for engine, requirement, *tests in rows]


def install(line: Line) -> Path:
    """Make the environment and return its interpreter."""
    python = line.folder / "bin" / "python"
    if not python.exists():
        venv.create(line.folder, with_pip=True, clear=True)
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    base = Path(found.stdout.strip()) / "tested-environment.pth"
    base.write_text(f"{sysconfig.get_path('purelib')}\n{ROOT / 'src'}\n", encoding="utf-8")
    command = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--upgrade", line.requirement]
    subprocess.run(command, check=True)
    return python


def run(line: Line) -> bool:
    """Whether the tests of a line pass."""
    package = re.split(r"[=<>!~]", line.requirement)[0]
    python = install(line)
    show = f"import importlib.metadata as m; print(m.version({package!r}))"
    version = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    print(f"--- {line.engine}: {line.requirement} ({package} {version})", flush=True)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *line.tests]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode == 0


def main() -> None:
    """Run the lines of the given engines, or all of them."""
    lines = read_table(TABLE.read_text(encoding="utf-8"))
    known = {line.engine for line in lines}
    wanted = set(sys.argv[1:]) or known
    if wanted - known:
        raise SystemExit(f"no such engine in {TABLE.name}: {', '.join(sorted(wanted - known))}; there are {known}")
    failed = [line.requirement for line in lines if line.engine in wanted and not run(line)]
    if failed:
        raise SystemExit(f"failed with: {', '.join(failed)}")


if __name__ == "__main__":
    main()
