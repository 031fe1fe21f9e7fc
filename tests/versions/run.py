"""Run an engine's tests against other releases of its upstream: ``python tests/versions/run.py [engine ...]``.

Each line of ``versions.txt`` gets a separate environment in ``build/versions``. A line with a requirement uses the
packages of the environment that runs this script, overridden by those of the line, so only the differences are
installed. A line with a requirements file sees only what the file installs, and pytest.
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
TESTERS = ("pytest", "pytest-xdist")
"""What an environment needs to run tests at all; the constraints of the file give the versions."""


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        engine: the engine whose upstream it is.
        requirement: what to install, as understood by pip: a requirement, or a requirements file.
        tests: files that must pass.
    """

    engine: str
    requirement: str
    tests: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The folder of its environment."""
        return ROOT / "build" / "versions" / re.sub(r"[^a-z0-9.]+", "-", self.requirement.lower()).strip("-")

    @property
    def is_file(self) -> bool:
        """Whether the environment is described by a requirements file."""
        return self.requirement.endswith(".txt")


def read_table(text: str) -> list[Line]:
    """The lines of the table, in their order."""
    rows = [row.split() for row in text.splitlines() if row.strip() and not row.startswith("#")]
    return [Line(engine, requirement, tuple(tests)) for engine, requirement, *tests in rows]


def install(line: Line) -> Path:
    """Create the environment and return its interpreter."""
    python = line.folder / "bin" / "python"
    if not python.exists():
        venv.create(line.folder, with_pip=True, clear=True)
    if not line.is_file:
        show = "import sysconfig; print(sysconfig.get_path('purelib'))"
        seen = f"{sysconfig.get_path('purelib')}\n{ROOT / 'src'}\n"
        Path(answer(python, "-c", show), "tested-environment.pth").write_text(seen, encoding="utf-8")
    wanted = ("-r", line.requirement, *TESTERS) if line.is_file else (line.requirement,)
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    subprocess.run([*pip, "install", "-q", "--upgrade", *wanted], cwd=ROOT, check=True)
    if line.is_file:
        subprocess.run([*pip, "check"], check=True)
    return python


def answer(*command: str | Path) -> str:
    """The output of a command."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def run(line: Line) -> bool:
    """Whether the tests of a line pass."""
    python = install(line)
    shown = line.requirement
    if not line.is_file:
        package = re.split(r"[=<>!~]", line.requirement)[0]
        version = answer(python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))")
        shown = f"{line.requirement} ({package} {version})"
    print(f"--- {line.engine}: {shown}", flush=True)
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
