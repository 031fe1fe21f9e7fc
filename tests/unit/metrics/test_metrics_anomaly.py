"""Anomaly metrics against scikit-learn, a straightforward per-region overlap and Anomalib's."""

import warnings

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn import metrics as referee

from drivetrain.errors import DataError
from drivetrain.metrics import evaluate
from drivetrain.metrics._pixel_areas import PixelAreas
from drivetrain.types import Prediction, Predictions, Sample, Task

NAMES = ["good", "scratch", "hole"]
SIZE = (40, 50)


def _scene(folder, seed, images=16, tied=False):
    rng = np.random.default_rng(seed)
    samples, items, truths, maps = [], [], [], []
    for number in range(images):
        kind = number % 3
        truth = np.zeros(SIZE, np.bool_)
        for _ in range(3 if kind else 0):
            y, x = rng.integers(0, 35, 2)
            truth[y : y + rng.integers(2, 8), x : x + rng.integers(2, 8)] = True
        scores = ndimage.gaussian_filter(rng.random(SIZE) + 0.25 * truth, 1).astype(np.float32)
        if tied:
            scores = np.round(scores, 2)
        path = folder / f"{number}.png"
        Image.fromarray(truth.astype(np.uint8) * 255).save(path)
        samples.append(
            Sample(
                f"{number}.jpg",
                SIZE,
                labels=np.array([kind]),
                anomalous=bool(kind),
                mask_path=str(path) if kind else None,
            )
        )
        score = float(np.round(np.clip(rng.normal(0.45 + 0.15 * bool(kind), 0.15), 0, 1), 2))
        items.append(Prediction(f"{number}.jpg", SIZE, anomaly_score=score, anomaly_map=scores))
        truths.append(truth)
        maps.append(scores)
    return samples, items, np.stack(truths), np.stack(maps)


def _evaluate(samples, items):
    return evaluate(
        samples,
        Predictions(items, task=Task.ANOMALY, label_names=["normal", "anomalous"]),
        task="anomaly",
        label_names=NAMES,
    )


@pytest.mark.parametrize("seed", range(4))
def test_image_metrics_equal_sklearn(seed, tmp_path):
    samples, items, *_ = _scene(tmp_path, seed, images=40)
    truth, scores = np.array([s.anomalous for s in samples]), np.array([p.anomaly_score for p in items])
    found = _evaluate(iter(samples), items[::-1])
    assert found["image_auroc"] == pytest.approx(referee.roc_auc_score(truth, scores), abs=1e-12)
    assert found["image_ap"] == pytest.approx(referee.average_precision_score(truth, scores), abs=1e-12)
    assert found["image_f1"] == pytest.approx(referee.f1_score(truth, scores >= 0.5), abs=1e-12)
    assert found["image_precision"] == pytest.approx(referee.precision_score(truth, scores >= 0.5), abs=1e-12)
    assert found["image_recall"] == pytest.approx(referee.recall_score(truth, scores >= 0.5), abs=1e-12)
    kinds = np.array([s.labels[0] for s in samples])
    chosen = kinds != 1
    expected = referee.roc_auc_score(truth[chosen], scores[chosen])
    assert found.per_class["image_auroc"]["hole"] == pytest.approx(expected, abs=1e-12)
    assert found.per_class["image_recall"]["hole"] == pytest.approx((scores[kinds == 2] >= 0.5).mean())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_pixel_metrics_equal_sklearn(seed, tied, tmp_path):
    samples, items, truth, maps = _scene(tmp_path, seed, tied=tied)
    found = _evaluate(samples, items)
    assert found["pixel_auroc"] == pytest.approx(referee.roc_auc_score(truth.ravel(), maps.ravel()), abs=1e-12)
    assert found["pixel_f1"] == pytest.approx(referee.f1_score(truth.ravel(), maps.ravel() >= 0.5), abs=1e-12)
    holes = np.array([s.labels[0] == 2 for s in samples])[:, None, None] & truth
    chosen = holes | ~truth
    expected = referee.roc_auc_score(holes[chosen], maps[chosen])
    assert found.per_class["pixel_auroc"]["hole"] == pytest.approx(expected, abs=1e-12)
    assert found["pro"] == pytest.approx(_plain_pro(truth, maps), abs=1e-12)
    assert found.per_class["pro"]["hole"] == pytest.approx(_plain_pro(holes, maps, normal=~truth), abs=1e-12)


def _plain_pro(truth, maps, normal=None, limit=0.3):
    """Threshold by threshold, region by region, and the trapezoids under the curve."""
    normal = ~truth if normal is None else normal
    regions = []
    for mask, scores in zip(truth, maps, strict=True):
        labelled, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [np.sort(scores[labelled == n + 1]) for n in range(count)]
    background = np.sort(maps[normal])
    thresholds = np.unique(maps)[::-1]
    rate = np.append(0.0, (len(background) - np.searchsorted(background, thresholds)) / len(background))
    overlap = np.append(0.0, np.mean([(len(r) - np.searchsorted(r, thresholds)) / len(r) for r in regions], axis=0))
    inside = rate <= limit
    rates = np.append(rate[inside], limit)
    overlaps = np.append(overlap[inside], np.interp(limit, rate, overlap))
    return np.trapezoid(overlaps, rates) / limit


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_pro_equals_anomalib(seed, tmp_path):
    import torch
    from anomalib.metrics.aupro import _AUPRO

    samples, items, truth, maps = _scene(tmp_path, seed)
    theirs = _AUPRO()
    theirs.update(torch.from_numpy(maps), torch.from_numpy(truth.astype(np.int64)))
    # Anomalib adds up in float32
    assert _evaluate(samples, items)["pro"] == pytest.approx(float(theirs.compute()), abs=2e-4)


def test_the_given_mask_goes_before_the_map(tmp_path):
    samples, items, truth, _ = _scene(tmp_path, 0)
    exact = [
        Prediction(p.path, SIZE, anomaly_score=p.anomaly_score, anomaly_map=p.anomaly_map, anomaly_mask=t)
        for p, t in zip(items, truth, strict=True)
    ]
    assert _evaluate(samples, exact)["pixel_f1"] == 1.0


@pytest.mark.parametrize("tied", [False, True])
def test_above_the_limit_the_binned_areas_are_within_the_stated_error(tmp_path, tied):
    _, _, truth, maps = _scene(tmp_path, 1, tied=tied)
    maps = maps - 0.3  # scores of both signs
    exact, binned = PixelAreas(), PixelAreas(limit=5 * SIZE[0] * SIZE[1])
    for number, (mask, scores) in enumerate(zip(truth, maps, strict=True)):
        for areas in (exact, binned):
            areas.add(mask, scores, NAMES[number % 3])
    assert binned.binned
    assert not exact.binned
    assert exact.error() == 0.0
    assert 0 < binned.error() < (1e-2 if tied else 1e-3)  # true ties count as uncertain, too
    for name in (None, "scratch", "hole"):
        assert binned.auroc(name) == pytest.approx(exact.auroc(name), abs=min(2 * binned.error(), 1e-3))
        assert binned.pro(name) == pytest.approx(exact.pro(name), abs=1e-3)
    assert binned.types() == exact.types() == ["scratch", "hole"]


def test_maps_without_size_limit_are_used_by_evaluate(tmp_path, monkeypatch):
    samples, items, *_ = _scene(tmp_path, 0)
    exact = _evaluate(samples, items)
    monkeypatch.setattr(PixelAreas.__init__, "__defaults__", (5000,))
    binned = _evaluate(samples, items)
    assert binned["pixel_auroc"] == pytest.approx(exact["pixel_auroc"], abs=binned.tables["pixel_auroc_error"])
    assert "pixel_auroc_error" not in exact.tables


def test_only_normal_images_is_nan_with_one_warning(tmp_path):
    samples, items, *_ = _scene(tmp_path, 0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _evaluate(samples[::3], items[::3])
    assert len(caught) == 1
    assert "no image is known to be anomalous" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert all(np.isnan(value) for value in found.values())


def test_only_anomalous_images_leave_the_areas_undefined(tmp_path):
    samples, items, *_ = _scene(tmp_path, 0)
    chosen = [n for n in range(len(samples)) if n % 3]
    with pytest.warns(UserWarning, match="image_auroc, because every image is anomalous"):
        found = _evaluate([samples[n] for n in chosen], [items[n] for n in chosen])
    assert np.isnan(found["image_auroc"])
    assert 0 < found["image_recall"] <= 1
    assert 0 < found["pixel_auroc"] < 1


def test_unknown_states_and_unmarked_defects_are_left_out_and_counted(tmp_path):
    samples, items, *_ = _scene(tmp_path, 0)
    extra = [Sample("u.jpg", SIZE), Sample("m.jpg", SIZE, anomalous=True)]
    answers = [Prediction(s.path, SIZE, anomaly_score=1.0, anomaly_map=np.ones(SIZE, np.float32)) for s in extra]
    found, expected = _evaluate(samples + extra, items + answers), _evaluate(samples, items)
    assert found.tables["images_of_unknown_state"] == 1
    assert found.tables["images_without_marked_defect"] == 2
    assert found["pixel_auroc"] == expected["pixel_auroc"]
    assert found["image_recall"] > expected["image_recall"]


def test_without_maps_there_are_no_pixel_metrics(tmp_path):
    samples, items, *_ = _scene(tmp_path, 0)
    bare = [Prediction(p.path, SIZE, anomaly_score=p.anomaly_score) for p in items]
    assert not any(name.startswith(("pixel", "pro")) for name in _evaluate(samples, bare))
    with pytest.raises(DataError, match=r"for '3\.jpg' has no anomaly map, while others have one"):
        _evaluate(samples, [*items[:3], bare[3], *items[4:]])


def test_a_defect_type_without_a_name_goes_by_its_number(tmp_path):
    samples, items, *_ = _scene(tmp_path, 0)
    predictions = Predictions(items, task=Task.ANOMALY, label_names=[])
    found = evaluate(samples, predictions, task=Task.ANOMALY, label_names=["good"])
    assert list(found.per_class["pro"]) == ["1", "2"]


def test_malformed_predictions_are_refused(tmp_path):
    samples, items, *_ = _scene(tmp_path, 0)
    with pytest.raises(DataError, match="it must be finite"):
        _evaluate(samples, [Prediction("0.jpg", SIZE, anomaly_score=float("nan")), *items[1:]])
    wrong = Prediction("0.jpg", SIZE, anomaly_score=0.1, anomaly_map=np.zeros((2, 2), np.float32))
    with pytest.raises(DataError, match=r"\(2, 2\) pixels, but the image is"):
        _evaluate(samples, [wrong, *items[1:]])
