"""Training steps on an idle machine and next to busy processes: ours against a plain loop with PyTorch's own OpenMP.

Ours are a command, a script that had loaded PyTorch before it started training, and the two workers of a search
(compared with two plain loops at once). Prints images per second for each, ratios and PASS or FAIL; the exit code is 1
if a limit is missed::

    python benchmarks/contended.py

``--settings`` compares OpenMP settings instead, which is how those in ``drivetrain.machine.openmp`` were chosen.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType

#: Minimal arguments, with which the tests check that the script still works.
SMOKE = [["--seconds", "0.5", "--rounds", "1", "--model", "test_resnet"]]

FAIR_LIMIT = 0.8  # of the fair share of the quiet throughput, beside busy processes
QUIET_LIMIT = 1.0  # of the plain loop's quiet throughput
SETTINGS = {
    "as PyTorch leaves it": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin 1,000": {"GOMP_SPINCOUNT": "1000"},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
    "spin 100,000": {"GOMP_SPINCOUNT": "100000"},
    "spin 1,000,000": {"GOMP_SPINCOUNT": "1000000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def prepared(side: str) -> contextlib.AbstractContextManager[None]:
    """The OpenMP settings of a side: "plain" has none, "command" sets them, "script" has already loaded PyTorch."""
    if side == "command":
        from drivetrain.machine.openmp import set_openmp

        set_openmp()
    import torch

    torch.manual_seed(0)
    if side != "script":
        return contextlib.nullcontext()
    from drivetrain.machine.openmp import free_threads

    return free_threads(lambda text: print(text, file=sys.stderr))


def steps(model: str, seconds: float) -> float:
    """Images per second of plain training steps, after a warm-up."""
    import timm
    import torch

    net = timm.create_model(model, pretrained=False, num_classes=10).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.SGD(net.parameters(), 0.01)
    images = torch.randn(32, 3, 64, 64).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (32,))
    done, start = 0, 0.0
    while not start or time.perf_counter() - start < seconds:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        optimiser.step()
        done += len(images)
        if done == 3 * len(images) and not start:
            done, start = 0, time.perf_counter()
    return done / (time.perf_counter() - start)


def children(
    side: str, settings: argparse.Namespace, environment: Mapping[str, str] = MappingProxyType({}), *, busy: int
) -> float:
    """Images per second of one process, or of two at once, next to a number of busy ones."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    if side == "workers":
        from drivetrain.machine.openmp import child_environment

        environment = child_environment(processes=2)
    words = [sys.executable, __file__, "--child", side, "--model", settings.model, "--seconds", str(settings.seconds)]
    try:
        running = [
            subprocess.Popen(words, env={**clean, **environment}, stdout=subprocess.PIPE, text=True)
            for _ in range(2 if side in ("workers", "two plain") else 1)
        ]
        return sum(float(process.communicate()[0].split()[-1]) for process in running)
    finally:
        for other in others:
            other.kill()
            other.wait()


def compare(settings: argparse.Namespace) -> bool:
    """Ours and plain loops, on an idle machine and next to one and two busy processes; whether the limits hold."""
    cores = len(os.sched_getaffinity(0))
    rates: dict[tuple[str, int], float] = {}
    for side in ("plain", "command", "script", "two plain", "workers"):
        for busy in (0, 1, 2):
            found = [children(side, settings, busy=busy) for _ in range(settings.rounds)]
            rates[side, busy] = statistics.median(found)
            print(f"{side:9} beside {busy} busy: {rates[side, busy]:7.1f} images/s", flush=True)
    results = []
    for side, plain in (("command", "plain"), ("script", "plain"), ("workers", "two plain")):
        quiet = rates[side, 0] / rates[plain, 0]
        results.append((f"{side}, quiet: {quiet:.2f} of {plain} (at least {QUIET_LIMIT})", quiet >= QUIET_LIMIT))
        for busy in (1, 2):
            share = cores / (cores + busy)
            ratio = rates[side, busy] / (rates[plain, 0] * share)
            text = (
                f"{side}, beside {busy}: {ratio:.2f} of its share ({share:.2f}) of {plain} alone, at least {FAIR_LIMIT}"
            )
            times = rates[side, busy] / rates[plain, busy]
            results.append((f"{text}; {times:.1f} times {plain} there", ratio >= FAIR_LIMIT))
    for text, ok in results:
        print(f"{'PASS' if ok else 'FAIL'}  {text}")
    return all(ok for _, ok in results)


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--settings", action="store_true", help="compare ways to run OpenMP")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.child:
        with prepared(settings.child):
            print(steps(settings.model, settings.seconds))
        return 0
    if settings.settings:
        for name, environment in SETTINGS.items():
            found = [children("plain", settings, environment, busy=busy) for busy in (0, 1, 2)]
            print(f"{name:22}" + "".join(f"{rate:9.1f}" for rate in found), flush=True)
        return 0
    return 0 if compare(settings) else 1


if __name__ == "__main__":
    sys.exit(main())
