"""The choice of a batch size, with simulated measurements and with the toy engine in a real worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivetrain.data import load_dataset
from drivetrain.engine import Engine
from drivetrain.errors import DrivetrainError, OptionError, UnsupportedOptionError
from drivetrain.runs.record import read_record
from drivetrain.testing import data, toy
from drivetrain.tuning.batch_size import Chosen, Measured, _Probe, _search
from drivetrain.tuning.short_training import Speed, hardest
from drivetrain.types.options import TrainOptions


class Probe:
    """Batch sizes up to ``most`` fit; the speed grows until ``knee``."""

    available = 1000
    memory = "memory"

    def __init__(self, most: int, knee: int = 64, usual: int = 16) -> None:
        self.most, self.knee, self._usual = most, knee, usual
        self.tried: list[int] = []

    def usual(self) -> int:
        return self._usual

    def __call__(self, batch_size: int) -> Measured:
        self.tried.append(batch_size)
        fits = batch_size <= self.most
        return Measured(batch_size, fits, batch_size, 10.0 * min(batch_size, self.knee) if fits else 0.0)


def chosen(probe: Any, mode: Any, *, batch_size: int | None = None, images: int = 1000) -> Chosen:
    return _search(probe, TrainOptions(adaptive_bs=mode, batch_size=batch_size), images)


def test_safe_keeps_what_fits() -> None:
    probe = Probe(most=100)
    assert chosen(probe, "safe").batch_size == 16
    assert probe.tried == [16]


def test_safe_halves_what_does_not_fit() -> None:
    probe = Probe(most=10)
    assert chosen(probe, "safe", batch_size=64).batch_size == 8
    assert probe.tried == [64, 32, 16, 8]
    assert chosen(Probe(most=0), "safe", batch_size=4).batch_size == 1, "there is nothing smaller to try"


def test_full_doubles_while_it_gets_faster() -> None:
    probe = Probe(most=10_000, knee=64)
    assert chosen(probe, "full").batch_size == 64
    assert probe.tried == [16, 32, 64, 128, 256], "twice no faster"


def test_full_stays_within_memory_and_images() -> None:
    assert chosen(Probe(most=40), "full").batch_size == 32
    assert chosen(Probe(most=10_000), "full", images=70).batch_size == 32
    assert chosen(Probe(most=10), "full").batch_size == 8


def test_a_batch_is_never_larger_than_the_data() -> None:
    probe = Probe(most=100)
    assert chosen(probe, "safe", batch_size=64, images=20).batch_size == 20


def test_what_was_measured_is_said() -> None:
    text = str(Chosen(4, 8 * 2**20, (Measured(8, False, 0), Measured(4, True, 2**20, 31.4))))
    assert text == "batch_size=4 was chosen; of 8 MiB of memory: 8 does not fit; 4 needs 1 MiB at 31 img/s"


def test_on_an_accelerator_its_own_memory_is_judged_and_said(folder: Path, tmp_path: Path) -> None:
    class Reports:
        """A worker whose trainings report 100 MiB of accelerator memory per image, out of 1000."""

        pid = None

        def start(self, path: str, order: Any) -> None:
            del path
            self.size = order.options.batch_size

    class Probed(_Probe):
        def _watch(self) -> tuple[Speed, int]:
            size = self.worker.size
            return Speed(size, 1.0, accelerator_bytes=size * 100 * 2**20, accelerator_total=1000 * 2**20), 2**20

    options = TrainOptions(adaptive_bs="safe", batch_size=16)
    probe = Probed(Reports(), Engine("toy:linear", folder).setup, load_dataset(folder), options, tmp_path)
    found = _search(probe, options, probe.images)
    assert str(found) == (
        "batch_size=8 was chosen; of 1000 MiB of accelerator memory: 16 does not fit; 8 needs 800 MiB at 1 img/s"
    )


@pytest.fixture
def folder(tmp_path: Path, only_engines: Any, own_cache: Path) -> Path:
    only_engines(toy.SPEC)
    return data.class_folders(tmp_path / "toys")


def test_the_largest_images_are_measured(folder: Path) -> None:
    whole = load_dataset(folder)
    few = hardest(whole, 5)
    assert few.subsets == {"train": 15, "val": 5}
    areas = {name: whole.subset(name).sizes.prod(axis=1) for name in ("train", "val")}
    for name, count in (("train", 15), ("val", 5)):
        found = few.subset(name).sizes.prod(axis=1)
        assert np.array_equal(np.sort(found), np.sort(areas[name])[-count:])
    assert hardest(whole, 20).subsets == {"train": 20, "val": 18}, "only whole batches, if there are any"


def test_a_short_training_measures_the_batch_size(folder: Path, tmp_path: Path) -> None:
    engine = Engine("drivetrain.testing.toy.ToyModel", folder, work_dir=tmp_path / "work")
    result = engine.train(1, batch_size=6, adaptive_bs="safe")
    assert any(note.startswith("adaptive_bs='safe': batch_size=6 was chosen") for note in result.notes)
    assert read_record(tmp_path / "work")["options"]["batch_size"] == 6


def test_a_short_training_that_fails_is_named(folder: Path, tmp_path: Path) -> None:
    engine = Engine("drivetrain.testing.toy.ToyModel", folder, work_dir=tmp_path / "work")
    with pytest.raises(DrivetrainError, match=r"a short training with batch_size=4 failed: .*squares only"):
        engine.train(1, batch_size=4, image_size=(8, 9), adaptive_bs="safe")
    assert not (tmp_path / "work").exists()


def test_an_engine_that_forbids_batch_sizes_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy.ToyFramework, "unsupported_options", {"batch_size": "the toy takes all at once"})
    engine = Engine("drivetrain.testing.toy.ToyModel", folder)
    with pytest.raises(UnsupportedOptionError, match=r"^adaptive_bs='full' cannot be honoured, .* all at once"):
        engine.train(1, adaptive_bs="full")


def test_a_misspelt_wish_names_the_nearest(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"adaptive_bs='save' is not allowed\. Did you mean 'safe'"):
        Engine("drivetrain.testing.toy.ToyModel", folder).train(1, adaptive_bs="save")  # type: ignore[arg-type]
