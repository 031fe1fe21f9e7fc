"""Training steps on a quiet machine and beside busy processes: ours, and a plain loop with OpenMP as PyTorch leaves it.

Prints images in a second for each, ratios and PASS or FAIL; the exit code is 1 if a limit is missed::

    python benchmarks/contended.py

``--settings`` compares ways to run OpenMP instead, which is how those in ``drivetrain.machine.openmp`` were chosen.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

#: The smallest runs, by which the tests see that the script still works.
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


def steps(model: str, seconds: float, *, ours: bool) -> float:
    """Images in a second of plain training steps, after a warm-up, with OpenMP set as the command line sets it."""
    if ours:
        from drivetrain.machine.openmp import set_openmp

        set_openmp()
    import timm
    import torch

    torch.manual_seed(0)
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


def child(model: str, seconds: float, environment: dict[str, str], *, ours: bool, busy: int) -> float:
    """The same in a process of its own, beside so many busy ones."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        words = [sys.executable, __file__, "--child", "ours" if ours else "plain", "--model", model]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
        done = subprocess.run(
            [*words, "--seconds", str(seconds)],
            env={**clean, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        for other in others:
            other.kill()
            other.wait()
    return float(done.stdout.split()[-1])


def compare(settings: argparse.Namespace) -> bool:
    """Ours and a plain loop, quiet and beside one and two busy processes; whether the limits hold."""
    cores = len(os.sched_getaffinity(0))
    rates: dict[tuple[str, int], float] = {}
    for side in ("plain", "ours"):
        for busy in (0, 1, 2):
            found = [
                child(settings.model, settings.seconds, {}, ours=side == "ours", busy=busy)
                for _ in range(settings.rounds)
            ]
            rates[side, busy] = statistics.median(found)
            print(f"{side:5} beside {busy} busy: {rates[side, busy]:7.1f} images/s", flush=True)
    quiet = rates["ours", 0] / rates["plain", 0]
    results = [(f"quiet: {quiet:.2f} of the plain loop (at least {QUIET_LIMIT})", quiet >= QUIET_LIMIT)]
    for busy in (1, 2):
        share = min(1.0, cores / (cores + busy))
        ratio = rates["ours", busy] / (rates["plain", 0] * share)
        text = (
            f"beside {busy}: {ratio:.2f} of the fair share ({share:.2f}) of the quiet plain loop, at least {FAIR_LIMIT}"
        )
        times = rates["ours", busy] / rates["plain", busy]
        results.append((f"{text}; {times:.1f} times the plain loop there", ratio >= FAIR_LIMIT))
    for text, ok in results:
        print(f"{'PASS' if ok else 'FAIL'}  {text}")
    return all(ok for _, ok in results)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--settings", action="store_true", help="compare ways to run OpenMP")
    parser.add_argument("--child", choices=["plain", "ours"], help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.child:
        print(steps(settings.model, settings.seconds, ours=settings.child == "ours"))
        return 0
    if settings.settings:
        for name, environment in SETTINGS.items():
            found = [child(settings.model, settings.seconds, environment, ours=False, busy=busy) for busy in (0, 1, 2)]
            print(f"{name:22}" + "".join(f"{rate:9.1f}" for rate in found), flush=True)
        return 0
    return 0 if compare(settings) else 1


if __name__ == "__main__":
    sys.exit(main())
