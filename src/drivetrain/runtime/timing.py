"""How long things take, told as a distribution and not as a mean that hides it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.sessions import open_session

_WARM_UP = 3
_FEWEST = 5


def summary_of_times(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds: mean, smallest, median, 90th and 99th percentile, largest; and how many there were."""
    times = np.asarray(seconds) * 1e3
    points = dict(zip(("min", "median", "p90", "p99", "max"), np.percentile(times, [0, 50, 90, 99, 100]), strict=True))
    return {"mean": float(times.mean()), **{name: float(value) for name, value in points.items()}, "count": len(times)}


def repeated(act: Callable[[], Any], seconds: float, *, warm_up: int = _WARM_UP) -> list[float]:
    """How long an act took each time, after a few that do not count; at least five times, however long that takes.

    Args:
        act: is called again and again.
        seconds: for how long.
        warm_up: how many calls come before.
    """
    for _ in range(warm_up):
        act()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < _FEWEST or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return times


def network_latency(artifact: Artifact, seconds: float) -> float:
    """The median time of the network for one image, in milliseconds, in the precision that the device chooses."""
    session = open_session(artifact, hint="latency")
    request = session.request()
    spec = artifact.image_spec
    image = np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3)).astype(np.uint8)

    def act() -> None:
        request.start(image)
        request.wait()

    return summary_of_times(repeated(act, seconds))["median"]
