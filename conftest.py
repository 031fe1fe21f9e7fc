"""The tests have a home of their own: nothing is read from the user's, and nothing may be written to it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import pytest

_HOME = "HOME_OF_THE_TESTS"
#: What packages write to by these names, wherever the home is.
_PLACES = {
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "YOLO_CONFIG_DIR": ".config/ultralytics",
    "HF_HOME": ".cache/huggingface",
    "TORCH_HOME": ".cache/torch",
}

#: Folders that others than the tests write to while they run: package managers, shells, editors, version control.
_OTHERS = {
    *(".git", ".npm", "pip", ".vscode-server", ".mypy_cache", ".ruff_cache", ".pytest_cache", "__pycache__", ".venv"),
    *(".pyenv", ".rustup", ".cargo", ".m2", ".claude"),
}


class Watched:
    """The files of a home, and what becomes of them.

    Args:
        home: the user's own.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.before = self.state()

    def state(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file; folders of tools that work beside the tests are left out."""
        found = {}
        for path, folders, names in os.walk(self.home):
            folders[:] = [name for name in folders if name not in _OTHERS]
            for name in names:
                try:
                    facts = os.lstat(os.path.join(path, name))  # noqa: PTH118  (a home has many files)
                except OSError:
                    continue
                found[os.path.join(path, name)] = (facts.st_size, facts.st_mtime_ns)  # noqa: PTH118
        return found

    def changes(self) -> list[str]:
        """What was added, changed or removed since."""
        now = self.state()
        return sorted(name for name in {*self.before, *now} if self.before.get(name) != now.get(name))


_WATCHED = pytest.StashKey[Watched]()
_OWN = pytest.StashKey[Path]()


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


def _hear_interrupts() -> None:
    """Let what the tests start be interrupted, where the suite is itself a job in the background of a script."""
    in_background = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if in_background and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Give the tests, and all that they start, a home in a temporary folder before anything is imported."""
    _hear_interrupts()
    if _HOME in os.environ:  # a worker, or a test of the tests
        return
    home = Path(tempfile.mkdtemp(prefix="drivetrain-home-"))
    config.stash[_WATCHED] = Watched(Path.home())
    config.stash[_OWN] = home
    os.environ[_HOME] = os.environ["HOME"] = str(home)
    os.environ.update({name: str(home / place) for name, place in _PLACES.items()})
    os.environ.pop("DRIVETRAIN_CACHE", None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test wrote to the user's home."""
    watched = session.config.stash.get(_WATCHED, None)
    if watched is None or _is_worker():
        return
    changed = watched.changes()
    if changed:
        print(f"\n\nTests wrote to the home {watched.home}:", *changed[:20], sep="\n  ")  # noqa: T201
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the home of the tests away."""
    home = config.stash.get(_OWN, None)
    if home is not None:
        shutil.rmtree(home, ignore_errors=True)
