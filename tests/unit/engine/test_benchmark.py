"""Benchmark: what is measured and said, not how fast it is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from drivetrain import Engine, load
from drivetrain.cli.render import show
from drivetrain.errors import DataError, OptionError, UnsupportedOptionError
from drivetrain.runtime.benchmarking import Memory, in_a_stream, one_by_one
from drivetrain.testing import data, toy
from drivetrain.types import BenchmarkResult

SHORT = 0.06


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    root = tmp_path_factory.mktemp("benchmark")
    folder = data.class_folders(root / "classes", subsets={"train": 4, "val": 2, "test": 3})
    engine = Engine(toy.ToyModel(), folder, work_dir=root / "work")
    engine.train(max_epochs=1)
    engine.export(name="exported")
    return engine


@pytest.fixture(scope="module")
def artefact(trained: Engine) -> Path:
    return trained.work_dir / "artifacts" / "exported"


def check_stages(result: BenchmarkResult, *names: str) -> None:
    assert tuple(result.stages) == names
    for stage in result.stages.values():
        assert stage["images_per_second"] > 0
        assert stage["images"] >= 1
    assert result.load_seconds > 0
    assert result.first_seconds > 0
    assert result.memory["peak"] >= result.memory["before"] > 0


def test_an_artefact_is_measured_alone_and_on_the_whole_way(artefact: Path, trained: Engine) -> None:
    engine = Engine(artefact, trained.data.source)
    result = engine.benchmark(seconds=SHORT)
    check_stages(result, "network", "arrays", "files")
    assert (result.measured, result.hint, result.device) == ("artefact", "throughput", "CPU")
    assert result.runtime.startswith("openvino ")
    assert result.images == {"count": 9, "size": None}
    assert result.model_bytes == sum((artefact / name).stat().st_size for name in ("model.xml", "model.bin"))
    times = result.stages["network"]["latency_ms"]
    assert times["min"] <= times["median"] <= times["p90"] <= times["p99"] <= times["max"]
    assert "latency_ms" not in result.stages["files"], "images that wait for each other have no latency of their own"


def test_one_at_a_time_has_a_latency_on_every_way(artefact: Path, trained: Engine) -> None:
    result = Engine(artefact, trained.data.source).benchmark(hint="latency", seconds=SHORT)
    assert result.streams == 1
    assert all("latency_ms" in stage for stage in result.stages.values())


def test_streams_and_batches_of_an_artefact_reach_the_runtime(artefact: Path) -> None:
    result = Engine(artefact).benchmark(streams=2, batch_size=3, seconds=SHORT)
    assert (result.streams, result.batch_size) == (2, 3)
    assert result.stages["network"]["images"] % 3 == 0
    assert result.notes
    assert result.images["count"] == 3, "the reference pictures, where neither source nor data are given"


def test_a_loaded_artefact_is_measured_as_it_was_loaded(artefact: Path) -> None:
    result = Engine(load(artefact, precision="f32")).benchmark(seconds=SHORT)
    assert result.precision == "f32"


def test_arrays_have_no_way_from_files(artefact: Path) -> None:
    images = [np.zeros((20, 30, 3), np.uint8)] * 2
    result = Engine(artefact).benchmark(images, seconds=SHORT)
    check_stages(result, "network", "arrays")
    assert result.images == {"count": 2, "size": [20, 30]}


def test_a_model_is_measured_in_its_framework_and_this_is_said(trained: Engine) -> None:
    for options in ({"batch_size": 4}, {"hint": "latency"}):
        result = trained.benchmark(seconds=SHORT, **options)
        check_stages(result, "arrays", "files")
        assert result.measured == "model"
        assert result.model_bytes > 0
        assert "model in its framework" in result.notes[0]


@pytest.mark.parametrize("measured", ["artefact", "model"])
def test_the_table_and_the_json_say_it(measured: str, artefact: Path, trained: Engine) -> None:
    engine = trained if measured == "model" else Engine(artefact, trained.data.source)
    result = engine.benchmark(seconds=SHORT)
    show(result, text := io.StringIO(), as_json=False)
    assert measured in text.getvalue()
    assert "from files to answers" in text.getvalue()
    show(result, text := io.StringIO(), as_json=True)
    assert '"images_per_second"' in text.getvalue()


def test_what_cannot_be_honoured_is_refused(trained: Engine, artefact: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOptionError, match="streams=2 cannot be honoured"):
        trained.benchmark(streams=2)
    with pytest.raises(OptionError, match="seconds=0"):
        trained.benchmark(seconds=0)
    with pytest.raises(OptionError, match="contradicts hint='latency'"):
        trained.benchmark(hint="latency", batch_size=2)
    with pytest.raises(OptionError, match="hint='fast'"):
        trained.benchmark(hint="fast")
    with pytest.raises(DataError, match="There are no images to ask about"):
        Engine(toy.ToyModel()).benchmark()


def test_a_graph_of_one_image_takes_no_batches(artefact: Path, tmp_path: Path) -> None:
    import json
    import shutil

    copy = shutil.copytree(artefact, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["dynamic_batch"] = False
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(UnsupportedOptionError, match="batch_size=2 cannot be honoured"):
        Engine(copy).benchmark(batch_size=2, seconds=SHORT)


def test_the_warm_up_does_not_count() -> None:
    asked: list[int] = []
    stage = one_by_one(asked.append, [1, 2], 0.0)
    assert len(asked) == stage["images"] + 3
    given: list[int] = []
    stage = in_a_stream(lambda images: iter(given.append(image) or image for image in images), [1], 0.0)
    assert len(given) == stage["images"] + 8


def test_memory_is_that_of_the_time_between() -> None:
    with Memory() as memory:
        held = np.ones(64 << 20, np.uint8)
        import time

        time.sleep(0.1)
        del held
    assert memory.to_dict()["added"] >= 32 << 20
