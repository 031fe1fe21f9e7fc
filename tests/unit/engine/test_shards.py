"""Shards of a prediction: every image in exactly one of them, the answers those of one process, merged by a command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivetrain import Engine, load_dataset
from drivetrain.cli.main import main
from drivetrain.errors import DataError, OptionError, UnsupportedOptionError
from drivetrain.testing import data, toy

SHARDS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    root = tmp_path_factory.mktemp("shards")
    folder = data.class_folders(root / "classes", subsets={"train": 4, "val": 2, "test": 5})
    engine = Engine(toy.ToyModel(), folder, work_dir=root / "work")
    engine.train(max_epochs=1)
    return engine


def shards(engine: Engine, source: object) -> list[tuple[str, list[float]]]:
    parts = [engine.predict(source, shard=f"{number}/{SHARDS}") for number in range(1, SHARDS + 1)]
    return [(item.path, item.scores.tolist()) for part in parts for item in part]


def test_the_shards_of_a_folder_are_its_images_each_once(trained: Engine) -> None:
    folder = Path(trained.data.source)
    whole = [(item.path, item.scores.tolist()) for item in trained.predict(folder)]
    assert len(whole) % SHARDS, "the last shards are shorter"
    found = shards(trained, folder)
    assert sorted(found) == sorted(whole)
    assert found != whole


@pytest.mark.parametrize("kind", ["data set", "list of paths", "arrays", "generator"])
def test_any_source_with_an_order_has_shards(trained: Engine, kind: str) -> None:
    paths = list(trained.dataset.paths)
    pixels = [np.full((8, 8, 3), number, np.uint8) for number in range(len(paths))]
    made = {
        "data set": lambda: trained.dataset,
        "list of paths": lambda: paths,
        "arrays": lambda: pixels,
        "generator": lambda: iter(pixels),
    }[kind]
    found = [item for number in range(1, SHARDS + 1) for item in trained.predict(made(), shard=f"{number}/{SHARDS}")]
    whole = list(trained.predict(made()))
    assert sorted(item.scores.tolist() for item in found) == sorted(item.scores.tolist() for item in whole)


def test_the_truth_goes_with_the_shard(trained: Engine) -> None:
    part = trained.predict(trained.dataset, shard="2/3")
    assert [item.path for item in part] == list(trained.dataset.paths)[1::3]
    assert part.truth is not None
    assert {item.path for item in part} <= set(part.truth)


@pytest.mark.parametrize("shard", ["3", "0/4", "5/4", "1/0", "a/b", "-1/4", "1/4/2", "1.5/4"])
def test_what_is_no_shard_is_refused(trained: Engine, shard: str) -> None:
    with pytest.raises(OptionError, match=r"shard=.*from '1/16' to '16/16'"):
        trained.predict(shard=shard)


def test_an_empty_shard_and_a_tracked_one_are_refused(trained: Engine) -> None:
    count = len(trained.dataset)
    for source in (trained.dataset, trained.data.source):
        with pytest.raises(DataError, match=f"has only {count} images. Use at most {count} shards"):
            trained.predict(source, shard=f"{count + 1}/{count + 1}")
    with pytest.raises(UnsupportedOptionError, match="follows objects through all frames"):
        trained.predict([np.zeros((8, 8, 3), np.uint8)], shard="1/2", track="bytetrack")


def test_the_command_predicts_shards_and_merges_them(
    trained: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(trained.data.source)
    parts = [tmp_path / f"part{number}" for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        words = ["--source", folder, "--shard", f"{number}/3", "--output", str(part), "--output_format", "coco"]
        assert main(["predict", "--model", str(trained.work_dir), *words, "--quiet"]) == 0
    words = ["--output", str(tmp_path / "all"), "--output_format", "coco"]
    assert main(["data", "merge", *map(str, parts), *words]) == 0
    assert "part3" in capsys.readouterr().out
    merged = load_dataset(tmp_path / "all")
    answers = trained.predict(folder)
    whole = {Path(item.path).resolve(): answers.label_names[item.label] for item in answers}
    labels = [merged.label_names[label] for label in merged.image_labels]
    assert dict(zip((Path(path).resolve() for path in merged.paths), labels, strict=True)) == whole


def test_merging_needs_two_sets_and_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = data.class_folders(tmp_path / "classes", subsets={"train": 2})
    words = ["--output", str(tmp_path), "--output_format", "coco"]
    assert main(["data", "merge", str(folder), *words]) == 2
    assert "at least two data sets" in capsys.readouterr().err
    assert main(["data", "merge", str(folder), str(folder), *words]) != 0
    assert "already has something in it" in capsys.readouterr().err
    assert main(["data", "merge", str(folder), str(folder)]) == 2
    assert "--output" in capsys.readouterr().err
    assert main(["compare", "--data", str(folder)]) == 2
    assert "--models" in capsys.readouterr().err
