"""Benchmark: how fast and how large a model is here."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, get_args

from drivetrain.engine.early import Start, check_source
from drivetrain.engine.state import EngineState
from drivetrain.errors import DataError, OptionError, UnsupportedOptionError
from drivetrain.machine.packages import version_of
from drivetrain.types.options import BenchmarkHint, check_at_least, check_choice

if TYPE_CHECKING:
    from drivetrain.runtime.artifact import Artifact
    from drivetrain.runtime.benchmarking import BenchmarkImages
    from drivetrain.types import BenchmarkResult

NEEDS = ("infer",)
_MOST = 64
_LEAST_SECONDS = 0.05
Way = Callable[[Iterable[Any]], Iterator[Any]]


def check(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded; see :func:`drivetrain.engine.verbs.check_early`."""
    _check_values(given)
    if start.spec is not None and "export_source" in start.spec.hooks:
        _refuse_streams(given["streams"])
    if given["source"] is not None:
        check_source(given["source"])


def _check_values(given: Mapping[str, Any]) -> None:
    check_choice("hint", given["hint"], get_args(BenchmarkHint))
    check_at_least("batch_size", given["batch_size"], 1)
    check_at_least("streams", given["streams"], 1)
    seconds = given["seconds"]
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not _LEAST_SECONDS <= float(seconds) < math.inf:
        raise OptionError(f"seconds={seconds!r} must be a number from {_LEAST_SECONDS} on.")
    if given["hint"] == "latency" and (given["batch_size"] or 1) > 1:
        raise OptionError(
            f"batch_size={given['batch_size']} contradicts hint='latency', which asks about one image at a time; leave "
            "out one of them."
        )


def _refuse_streams(streams: int | None) -> None:
    if streams is not None:
        raise UnsupportedOptionError(
            f"streams={streams} cannot be honoured: only an artefact has streams, and this is the model in its "
            "framework. Export it, and benchmark the artefact."
        )


def benchmark(
    self: EngineState,
    source: Any = None,
    *,
    hint: BenchmarkHint = "throughput",
    batch_size: int = 1,
    streams: int | None = None,
    seconds: float = 10.0,
) -> BenchmarkResult:
    """Measure how fast and how large a model is: of an artefact in its runtime, else of the model in its framework.

    Args:
        source: images to ask about (the first 64), as of predict; the test images of the data if not given, else the
            reference pictures of an artefact.
        hint: "throughput" for many images, "latency" for one at a time.
        batch_size: images at a time: of an artefact in its network alone, since predict asks about one by one.
        streams: inferences of an artefact at the same time; by the hint if not given.
        seconds: for each stage (network alone, from arrays, from files), after a warm-up that does not count.

    Returns:
        BenchmarkImages a second and the distribution of latency of each stage, load time, size, memory.

    Raises:
        DataError: there are no images to ask about.
        ImageError: none of them can be read.
        OptionError: an option has a value that is not allowed.
        UnsupportedOptionError: the model cannot honour ``batch_size`` or ``streams``.
    """
    self.require("benchmark", NEEDS)
    _check_values(locals())
    artifact = self.framework.artifact
    if artifact is None:
        _refuse_streams(streams)
    images = _images(self, source, artifact)
    how = {"hint": hint, "batch_size": batch_size, "seconds": float(seconds)}
    if artifact is not None:
        return _of_artifact(self, artifact, images, streams, how)
    return _of_model(self, images, how)


def _images(engine: EngineState, source: Any, artifact: Artifact | None) -> BenchmarkImages:
    """At most so many images in memory, with their files."""
    from itertools import islice

    from drivetrain.images.sources import decode
    from drivetrain.runtime.benchmarking import BenchmarkImages

    if source is None and engine.data.source is not None and not engine.has_native_data:
        source = engine.dataset.subset("test").paths if "test" in engine.dataset.subsets else engine.dataset.paths
    if source is None and engine.has_native_data:
        source = engine.framework.native_paths(_MOST) or None
    if source is None and artifact is not None:
        source = sorted(str(path) for path in (artifact.path / "reference").glob("*.png")) or None
    if source is None:
        raise DataError("There are no images to ask about. Give source=..., or data to Engine.")
    found = list(islice(decode(source), _MOST))
    if not found:
        raise DataError("None of the images can be read.")
    files = [path for path, _ in found if path and "#" not in path]
    return BenchmarkImages([image for _, image in found], files if len(files) == len(found) else [])


def _of_artifact(
    engine: EngineState, artifact: Artifact, images: BenchmarkImages, streams: int | None, how: Mapping[str, Any]
) -> BenchmarkResult:
    from drivetrain.runtime.benchmarking import measure_artifact
    from drivetrain.types import BenchmarkResult

    found = measure_artifact(artifact, images, runtime=engine.framework.runtime_options(), streams=streams, **how)
    notes = ["batch_size is that of the network alone; predict asks about one image at a time."]
    return BenchmarkResult(
        measured="artefact",
        model=str(artifact.path),
        model_bytes=artifact.model_bytes,
        images=images.to_dict(),
        notes=tuple(notes if how["batch_size"] > 1 else ()),
        **how,
        **found,
    )


def _of_model(engine: EngineState, images: BenchmarkImages, how: Mapping[str, Any]) -> BenchmarkResult:
    from drivetrain.runtime.benchmarking import Memory
    from drivetrain.types import BenchmarkResult

    with Memory() as memory:
        begun = time.perf_counter()
        engine.select(None)
        loaded = time.perf_counter()
        ways = _ways(engine, images, how["batch_size"])
        _one(ways["arrays"][0], images.arrays[0])
        first = time.perf_counter()
        stages = {name: _stage(way, asked, how) for name, (way, asked) in ways.items() if asked}
    return BenchmarkResult(
        measured="model",
        model=engine.setup.model_name,
        runtime=_runtime(engine),
        device=engine.framework.runtime_options()["device"],
        precision="as its framework computes",
        streams=1,
        threads=_threads(),
        stages=stages,
        load_seconds=loaded - begun,
        first_seconds=first - loaded,
        model_bytes=_checkpoint_bytes(engine),
        memory=memory.to_dict(),
        images=images.to_dict(),
        notes=("This is the model in its framework. Export it, and benchmark the artefact, for what is deployed.",),
        **how,
    )


def _ways(engine: EngineState, images: BenchmarkImages, batch_size: int) -> dict[str, tuple[Way, Sequence[Any]]]:
    """From images in memory, and from files, to answers of the model; each with what is asked about."""
    from drivetrain.images.sources import decode

    framework = engine.framework

    def answer(named: Iterable[tuple[str, Any]]) -> Iterator[Any]:
        return framework.infer(named, batch_size=batch_size, confidence=framework.default_confidence())

    def of_arrays(arrays: Iterable[Any]) -> Iterator[Any]:
        return answer((f"#{number}", array) for number, array in enumerate(arrays))

    def of_files(paths: Iterable[str]) -> Iterator[Any]:
        return answer(decode(iter(paths)))

    return {"arrays": (of_arrays, images.arrays), "files": (of_files, images.files)}


def _stage(way: Way, asked: Sequence[Any], how: Mapping[str, Any]) -> dict[str, Any]:
    from drivetrain.runtime.benchmarking import in_a_stream, one_by_one

    if how["hint"] == "latency":
        return one_by_one(partial(_one, way), asked, how["seconds"])
    return in_a_stream(way, asked, how["seconds"])


def _one(way: Way, image: Any) -> None:
    """Ask about one image and wait for the answer."""
    for _ in way([image]):
        pass


def _runtime(engine: EngineState) -> str:
    name = next(iter((*engine.spec.upstream, *engine.spec.packages)), engine.spec.name)
    return f"{name} {version_of(name) or ''}".strip()


def _threads() -> int:
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else 0


def _checkpoint_bytes(engine: EngineState) -> int:
    loaded = engine.weights.loaded
    return loaded.stat().st_size if loaded is not None and loaded.is_file() else 0
