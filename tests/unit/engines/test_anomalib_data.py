"""A drivetrain data set as Anomalib sees it: nothing copied, nothing moved, masks only where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from drivetrain import load_dataset
from drivetrain.data import Dataset
from drivetrain.errors import DataError
from drivetrain.testing.data import mvtec

pytest.importorskip("anomalib")

OPTIONS: dict[str, Any] = {
    "batch_size": 4,
    "eval_batch_size": 3,
    "num_workers": 0,
    "seed": 0,
    "spec": None,
    "keep_anomalous": False,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """12 normal training images; 4 normal and 4 anomalous ones in val."""
    folder = mvtec(tmp_path_factory.mktemp("data") / "bottle", train=12, test=4)
    data = load_dataset(folder, task="anomaly")
    return with_column(data, "subset", ["val" if name == "test" else name for name in data.subset_names])


def with_column(data: Dataset, name: str, values: Sequence[Any]) -> Dataset:
    position = data.table.schema.get_field_index(name)
    table = data.table.set_column(position, name, pa.array(list(values), data.table.schema.field(name).type))
    return Dataset(table, replace(data.facts, fingerprint=f"{name} changed"))


def prepare(data: Dataset, source: str = "auto", **changes: Any) -> Any:
    from drivetrain.engines.anomalib.threshold import prepare_training

    prepared = prepare_training(data, source=source, **{**OPTIONS, **changes})  # type: ignore[arg-type]
    prepared.module.setup()
    return prepared


def test_subsets_are_kept_as_they_are(whole: Dataset) -> None:
    module = prepare(whole).module
    assert set(module.train_data.samples.image_path) == set(whole.subset("train").paths)
    assert set(module.val_data.samples.image_path) == set(whole.subset("val").paths)
    assert list(module.train_data.samples.label_index.unique()) == [0]


def test_masks_are_those_of_the_data(whole: Dataset) -> None:
    from drivetrain.images.masks import rasterise

    truth = {sample.path: rasterise(sample) for sample in whole.subset("val")}
    items = list(prepare(whole).module.val_data)
    assert len(items) == 8
    for item in items:
        assert np.array_equal(np.asarray(item.gt_mask, bool), truth[item.image_path])
        assert item.image.shape[0] == 3
        assert 0.0 <= float(item.image.min()) <= float(item.image.max()) <= 1.0


def test_anomalous_training_images_are_left_out_and_said(whole: Dataset) -> None:
    kinds = [bool(kind) for kind in whole.anomalous]
    first = int(np.flatnonzero(whole.subset_names == "train")[0])
    kinds[first] = True
    prepared = prepare(with_column(whole, "anomalous", kinds))
    assert whole.paths[first] not in set(prepared.module.train_data.samples.image_path)
    assert any("1 anomalous training images were left out" in note for note in prepared.notes)
    kept = prepare(with_column(whole, "anomalous", kinds), keep_anomalous=True)
    assert whole.paths[first] in set(kept.module.train_data.samples.image_path)


def test_images_of_unknown_kind_are_left_out(whole: Dataset) -> None:
    kinds: list[bool | None] = [bool(kind) for kind in whole.anomalous]
    first = int(np.flatnonzero(whole.subset_names == "train")[0])
    kinds[first] = None
    prepared = prepare(with_column(whole, "anomalous", kinds))
    assert len(prepared.module.train_data) == 11
    assert any("unknown kind" in note for note in prepared.notes)


def test_images_with_and_without_mask_never_share_a_batch(whole: Dataset) -> None:
    masks = list(whole.mask_paths)
    bare = next(n for n, path in enumerate(masks) if path)
    masks[bare] = None
    prepared = prepare(with_column(whole, "mask_path", masks))
    assert any("have no mask" in note for note in prepared.notes)
    batches = list(prepared.module.val_dataloader())
    assert sum(len(batch.image) for batch in batches) == 8
    assert [batch.image_path for batch in batches if batch.gt_mask is None] == [[whole.paths[bare]]]


def test_without_any_mask_no_normal_image_has_one(whole: Dataset) -> None:
    prepared = prepare(with_column(whole, "mask_path", [None] * len(whole)))
    assert all(batch.gt_mask is None for batch in prepared.module.val_dataloader())


def test_threshold_source_is_said(whole: Dataset) -> None:
    assert prepare(whole).can_choose
    normal_only = [
        name if kind == 0 or name == "train" else "test"
        for name, kind in zip(whole.subset_names, whole.anomalous, strict=True)
    ]
    data = with_column(whole, "subset", normal_only)
    made_up = prepare(data)
    assert made_up.can_choose
    assert any("synthetic defects" in note for note in made_up.notes)
    plain = prepare(data, "val")
    assert not plain.can_choose
    assert any("highest score of its 4 normal images" in note for note in plain.notes)
    tuned = prepare(data, "test")
    assert any("test images" in note for note in tuned.notes)


def test_made_up_defects_are_the_same_every_time_and_have_masks(whole: Dataset) -> None:
    part = prepare(whole, "synthetic").module.val_data
    assert len(part) == 8
    for first, again in zip(part, part, strict=False):
        assert np.array_equal(np.asarray(first.image), np.asarray(again.image))
        assert bool(np.asarray(first.gt_mask).any()) == bool(first.gt_label)
    pairs: dict[str, list[Any]] = {}
    for item in part:
        pairs.setdefault(item.image_path, []).append(np.asarray(item.image))
    assert all(len(pair) == 2 and not np.array_equal(*pair) for pair in pairs.values())


def test_no_validation_image_is_an_error(whole: Dataset) -> None:
    data = with_column(whole, "subset", ["train"] * len(whole))
    with pytest.raises(DataError, match="'val' has no images"):
        prepare(data)


def test_images_are_resized_as_in_prediction(whole: Dataset) -> None:
    from drivetrain.images.read import read_image
    from drivetrain.runtime.preprocess import resize_uint8
    from drivetrain.types import ImageSpec

    spec = ImageSpec(40, 48, antialias=False)
    item = next(iter(prepare(whole, spec=spec).module.train_data))
    expected = resize_uint8(read_image(item.image_path), spec).transpose(2, 0, 1) / np.float32(255)
    assert np.allclose(np.asarray(item.image), expected)


def test_adapting_copies_nothing(whole: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    list(prepare(whole, "synthetic").module.val_dataloader())
    assert sorted(tmp_path.rglob("*")) == before
