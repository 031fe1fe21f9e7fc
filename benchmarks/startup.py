"""Start-up time: importing drivetrain and showing help, compared with Anomalib's command.

Prints medians, ratios and PASS or FAIL; the exit code is 1 if a limit is missed::

    python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--repeats", "1", "--slow_repeats", "1"]]

IMPORT_LIMIT = 0.080  # seconds that `import drivetrain` may add to a bare interpreter
HELP_LIMIT = 0.4  # seconds
LOOK_LIMIT = 0.5  # seconds, with a warm catalogue
HELP_RATIO = 20.0  # times faster than `anomalib --help`

LOOKS = (
    "drivetrain find resnet18",
    "drivetrain find --names",
    "drivetrain info",
    "drivetrain train --model.help timm:resnet18",
    "drivetrain train --model.help Padim",
)


def script(name: str) -> str:
    """The command of this name next to the running interpreter."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        sys.exit(f"{name} is not installed beside {sys.executable}; run `make setup` and use .venv/bin/python.")
    return str(path)


def once(command: Sequence[str]) -> float:
    """Wall-clock seconds of one whole process, which must succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


def measure(commands: dict[str, tuple[list[str], int]]) -> dict[str, float]:
    """The median of each command; rounds alternate between them, after a first run of each to warm the disk cache."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for command, _ in commands.values():
        once(command)
    for turn in range(max(repeats for _, repeats in commands.values())):
        for name, (command, repeats) in commands.items():
            if turn < repeats:
                times[name].append(once(command))
    return {name: statistics.median(values) for name, values in times.items()}


def verdict(text: str, ok: bool) -> bool:
    """Print one line with PASS or FAIL."""
    print(f"{'PASS' if ok else 'FAIL'}  {text}")
    return ok


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description="Measure drivetrain's start-up beside Anomalib's.")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each quick command")
    parser.add_argument("--slow_repeats", type=int, default=3, help="runs of `anomalib --help`")
    arguments = parser.parse_args()
    quick, slow = arguments.repeats, arguments.slow_repeats
    python = sys.executable
    medians = measure(
        {
            "python -c pass": ([python, "-c", "pass"], quick),
            "import drivetrain": ([python, "-c", "import drivetrain"], quick),
            "drivetrain --help": ([script("drivetrain"), "--help"], quick),
            "drivetrain train --help": ([script("drivetrain"), "train", "--help"], quick),
            **{name: ([script("drivetrain"), *name.split()[1:]], quick) for name in LOOKS},
            "anomalib --help": ([script("anomalib"), "--help"], slow),
        }
    )
    print(f"medians of {quick} runs ({slow} of anomalib), {os.cpu_count()} cores, whole processes")
    for name, seconds in medians.items():
        print(f"  {name:26}{seconds:8.3f} s")
    added = medians["import drivetrain"] - medians["python -c pass"]
    results = [
        verdict(
            f"import drivetrain adds {added * 1000:.0f} ms (limit {IMPORT_LIMIT * 1000:.0f})", added <= IMPORT_LIMIT
        )
    ]
    for name in ("drivetrain --help", "drivetrain train --help"):
        seconds, ratio = medians[name], medians["anomalib --help"] / medians[name]
        results.append(verdict(f"{name} takes {seconds:.3f} s (limit {HELP_LIMIT})", seconds <= HELP_LIMIT))
        results.append(
            verdict(
                f"{name} is {ratio:.1f} times as fast as anomalib --help (at least {HELP_RATIO:.0f})",
                ratio >= HELP_RATIO,
            )
        )
    results += [
        verdict(f"{name} takes {medians[name]:.3f} s (limit {LOOK_LIMIT})", medians[name] <= LOOK_LIMIT)
        for name in LOOKS
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
