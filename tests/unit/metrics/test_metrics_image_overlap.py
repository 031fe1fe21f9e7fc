"""The overlap in each image at very low false-positive rates, against its definition and Anomalib's."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from drivetrain.metrics import evaluate
from drivetrain.metrics._image_overlap import ImageOverlap
from drivetrain.types import Prediction, Predictions, Sample, Task

SIZE = (250, 400)


def scene(seed=0, images=10):
    """Truths ``(N, H, W)`` and maps, every third image normal; defects of which about half are found."""
    random = np.random.default_rng(seed)
    truth = np.zeros((images, *SIZE), np.bool_)
    for number in range(images):
        if number % 3:
            truth[number, 100:150, 80 : 100 + 20 * number] = True
    noise = ndimage.gaussian_filter(random.random(truth.shape), (0, 1, 1))
    return truth, (noise + 0.7 * truth * random.random(truth.shape)).astype(np.float32)


def overlap(truth, maps, **options):
    found = ImageOverlap(**options)
    for mask, scores in zip(truth, maps, strict=True):
        found.add(mask, scores)
    return found


def plain(truth, maps):
    """The definition: a step function of the rate for each image, integrated over the logarithm of the rate."""
    normal = np.sort(maps[~truth.any((1, 2))].ravel())
    rates = np.geomspace(1e-5, 1e-4, 4001)
    thresholds = normal[len(normal) - 1 - np.floor(rates * len(normal) + 1e-9).astype(int)]
    images = [scores[mask] for mask, scores in zip(truth, maps, strict=True) if mask.any()]
    return np.mean([[np.mean(marked > threshold) for threshold in thresholds] for marked in images])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_integral_that_defines_it(seed):
    truth, maps = scene(seed)
    assert overlap(truth, maps).value() == pytest.approx(plain(truth, maps), abs=2e-3)
    assert 0.1 < plain(truth, maps) < 0.9


def test_defects_above_or_below_everything_normal():
    truth, maps = scene()
    assert overlap(truth, maps + 2 * truth).value() == pytest.approx(1.0)
    assert overlap(truth, maps - 2 * truth).value() == 0.0


def test_beyond_the_limit_bins_give_nearly_the_same():
    truth, maps = scene(images=11)
    binned = overlap(truth, maps, limit=3 * maps[0].size)
    assert binned.value() == pytest.approx(overlap(truth, maps).value(), abs=1e-2)
    assert not binned._normal


def test_too_few_normal_pixels_give_no_value():
    truth, maps = scene(images=3)
    assert overlap(truth[:, :240], maps[:, :240]).enough is False
    assert np.isnan(overlap(truth[:, :240], maps[:, :240]).value())
    assert np.isnan(overlap(truth[:1], maps[:1]).value())


def test_it_stands_among_the_metrics_of_predictions(tmp_path):
    truth, maps = scene(images=4)
    samples, items = [], []
    for number, (mask, scores) in enumerate(zip(truth, maps, strict=True)):
        path = tmp_path / f"{number}.png"
        Image.fromarray(mask.astype(np.uint8) * 255).save(path)
        mask_path = str(path) if mask.any() else None
        samples.append(Sample(f"{number}.jpg", SIZE, anomalous=bool(mask.any()), mask_path=mask_path))
        items.append(Prediction(f"{number}.jpg", SIZE, anomaly_score=float(scores.max()), anomaly_map=scores))
    answers = Predictions(items, task=Task.ANOMALY, label_names=["normal", "anomalous"])
    found = evaluate(samples, answers, task="anomaly", label_names=["normal", "anomalous"])
    assert found["aupimo"] == pytest.approx(overlap(truth, maps).value(), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_it_equals_anomalib(seed):
    import torch
    from anomalib.metrics.pimo.functional import aupimo_scores

    truth, maps = scene(seed)
    *_, scores, _ = aupimo_scores(torch.from_numpy(maps), torch.from_numpy(truth), force=True)
    expected = float(scores[torch.from_numpy(truth.any((1, 2)))].mean())
    assert overlap(truth, maps).value() == pytest.approx(expected, abs=1e-3)
