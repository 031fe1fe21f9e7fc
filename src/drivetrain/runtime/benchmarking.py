"""Measuring an artefact: its network alone, and the whole way from images and files to predictions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import UnsupportedOptionError
from drivetrain.machine.resources import resident_memory
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.predictor import Predictor
from drivetrain.runtime.sessions import Hint, Session, open_session
from drivetrain.runtime.timing import repeated, summary_of_times

Stage = dict[str, Any]
_WARM_UP = 8
_SHARE = 0.1
_EVERY = 0.01


@dataclass(slots=True)
class BenchmarkImages:
    """What is asked about, again and again.

    Attributes:
        arrays: ``(H, W, 3) uint8`` RGB.
        files: that they came from; empty if they came from none.
    """

    arrays: list[NDArray[np.uint8]]
    files: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """How many, of which size."""
        sizes = {(image.shape[0], image.shape[1]) for image in self.arrays}
        return {"count": len(self.arrays), "size": list(sizes.pop()) if len(sizes) == 1 else None}


class Memory:
    """The main memory of this process while something goes on: looked at a hundred times a second."""

    def __init__(self) -> None:
        self.before = self.peak = resident_memory()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            self.peak = max(self.peak, resident_memory())

    def to_dict(self) -> dict[str, int]:
        """Bytes before, at the peak, and the difference."""
        return {"before": self.before, "peak": self.peak, "added": max(0, self.peak - self.before)}


def one_by_one(ask: Callable[[Any], Any], images: Sequence[Any], seconds: float) -> Stage:
    """Ask about one image at a time: how long each takes.

    Args:
        ask: answers about one image.
        images: asked about in turn.
        seconds: for how long.
    """
    turn = cycle(images)
    times = repeated(lambda: ask(next(turn)), seconds)
    return {
        "images_per_second": len(times) / sum(times),
        "images": len(times),
        "latency_ms": summary_of_times(times),
    }


def in_a_stream(answer: Callable[[Iterable[Any]], Iterator[Any]], images: Sequence[Any], seconds: float) -> Stage:
    """Ask about images as fast as they are answered.

    Args:
        answer: gives an answer about each image, in order; it may read ahead.
        images: asked about in turn.
        seconds: for how long, after the first few, which do not count.
    """
    until: float | None = None

    def endless() -> Iterator[Any]:
        for image in cycle(images):
            if until is not None and time.perf_counter() >= until:
                return
            yield image

    begun = last = 0.0
    count = -_WARM_UP
    for _ in answer(endless()):
        last = time.perf_counter()
        count += 1
        if count == 0:
            begun, until = last, last + seconds
    return {"images_per_second": count / max(last - begun, 1e-9), "images": count}


def of_network(session: Session, image: NDArray[np.uint8], batch_size: int, seconds: float) -> Stage:
    """The network alone, with as many inferences at the same time as the session has streams.

    Args:
        session: a loaded artefact.
        image: ``(height, width, 3) uint8`` of the size of the model.
        batch_size: images in an inference of the session.
        seconds: for how long.
    """
    times: list[float] = []
    spans: list[float] = []

    def work() -> None:
        request = session.request()

        def act() -> None:
            request.start(image)
            request.wait()

        begun = time.perf_counter()
        own = repeated(act, seconds, warm_up=0)
        spans.append(time.perf_counter() - begun)
        times.extend(own)

    for measured in (_SHARE * seconds, seconds):  # the first round is the warm-up: every stream works
        times.clear()
        spans.clear()
        seconds = measured
        threads = [threading.Thread(target=work) for _ in range(session.streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {
        "images_per_second": batch_size * len(times) / max(spans),
        "images": batch_size * len(times),
        "latency_ms": summary_of_times(times),
    }


def measure_artifact(
    artifact: Artifact,
    images: BenchmarkImages,
    *,
    runtime: Mapping[str, Any],
    hint: Hint,
    batch_size: int,
    streams: int | None,
    seconds: float,
) -> dict[str, Any]:
    """Everything about an artefact that :class:`drivetrain.types.BenchmarkResult` has.

    Args:
        artifact: what to measure.
        images: to ask about.
        runtime: ``device``, and ``precision`` and ``backend`` if they were chosen, as arguments of ``load``.
        hint: what to prefer.
        batch_size: images in an inference of the network alone.
        streams: inferences at the same time; as the hint says if not given.
        seconds: for each stage.

    Raises:
        UnsupportedOptionError: the graph takes one image at a time, and ``batch_size`` asks for more.
    """
    if batch_size > 1 and not artifact.dynamic_batch:
        raise UnsupportedOptionError(
            f"batch_size={batch_size} cannot be honoured: the graph of this artefact takes one image at a time. Leave "
            "it out; streams=... lets several inferences run at the same time."
        )
    opened = partial(open_session, artifact, hint=hint, streams=streams, **runtime)
    with Memory() as memory:
        begun = time.perf_counter()
        predictor = Predictor(artifact, opened, num_requests=1 if hint == "latency" else streams)
        loaded = time.perf_counter()
        predictor.predict([images.arrays[0]])
        first = time.perf_counter()
        session = predictor.session
        batched = session if batch_size == 1 else opened(batch=batch_size)
        spec = artifact.image_spec
        pixels = np.ascontiguousarray(np.resize(images.arrays[0], (spec.height, spec.width, 3)))
        stages = {
            "network": of_network(batched, pixels, batch_size, seconds),
            **_ways(predictor, images, hint, seconds),
        }
    return {
        **session.facts,
        "streams": session.streams,
        "stages": stages,
        "load_seconds": loaded - begun,
        "first_seconds": first - loaded,
        "memory": memory.to_dict(),
    }


def _ways(predictor: Predictor, images: BenchmarkImages, hint: Hint, seconds: float) -> dict[str, Stage]:
    """From images, and from files, to predictions."""
    sources: dict[str, Sequence[Any]] = {"arrays": images.arrays}
    if images.files:
        sources["files"] = images.files
    if hint == "latency":
        return {name: one_by_one(predictor.predict, source, seconds) for name, source in sources.items()}
    return {
        name: in_a_stream(lambda images: predictor.predict(images, stream=True), source, seconds)
        for name, source in sources.items()
    }
