"""Semantic segmentation and depth against scikit-learn and by hand."""

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as referee

from drivetrain.errors import DataError, DataNotFoundError
from drivetrain.metrics import evaluate
from drivetrain.types import Prediction, Predictions, Sample, Task

NAMES = ["background", "road", "car", "tree"]


def _scene(folder, seed, images=5, present=3):
    rng = np.random.default_rng(seed)
    samples, items, truths, founds = [], [], [], []
    for number in range(images):
        truth = rng.integers(0, present, (20, 30)).astype(np.uint8)
        found = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, present, truth.shape)).astype(np.int64)
        truth[rng.random(truth.shape) < 0.1] = 255
        path = folder / f"{number}_mask.png"
        Image.fromarray(truth).save(path)
        samples.append(Sample(f"{number}.jpg", (20, 30), mask_path=str(path)))
        items.append(Prediction(f"{number}.jpg", (20, 30), class_map=found))
        truths.append(truth[truth != 255])
        founds.append(found[truth != 255])
    return samples, items, np.concatenate(truths), np.concatenate(founds)


def _evaluate(samples, items, task=Task.SEMANTIC_SEGMENTATION, names=NAMES):
    return evaluate(samples, Predictions(items, task=task, label_names=names), task=task, label_names=names)


@pytest.mark.parametrize("seed", range(3))
def test_equals_sklearn(seed, tmp_path):
    samples, items, truth, found = _scene(tmp_path, seed)
    measured = _evaluate(iter(samples), items)
    assert measured["miou"] == pytest.approx(referee.jaccard_score(truth, found, average="macro"), abs=1e-12)
    assert measured["dice"] == pytest.approx(referee.f1_score(truth, found, average="macro"), abs=1e-12)
    assert measured["pixel_accuracy"] == pytest.approx(referee.accuracy_score(truth, found), abs=1e-12)
    each = referee.jaccard_score(truth, found, average=None)
    np.testing.assert_allclose(list(measured.per_class["iou"].values())[:3], each, atol=1e-12)
    assert np.isnan(measured.per_class["iou"]["tree"])


def test_a_class_that_is_only_predicted_counts_as_zero(tmp_path):
    samples, items, *_ = _scene(tmp_path, 0, images=1)
    items[0].class_map[0, :] = 3
    measured = _evaluate(samples, items)
    assert measured.per_class["iou"]["tree"] == 0.0
    assert measured["miou"] == pytest.approx(np.mean(list(measured.per_class["iou"].values())))


def test_a_predicted_number_without_name_is_an_error_of_the_true_class(tmp_path):
    samples, items, *_ = _scene(tmp_path, 0, images=1)
    items[0].class_map[:] = 255
    measured = _evaluate(samples, items)
    assert measured["pixel_accuracy"] == 0.0
    assert measured["miou"] == 0.0


def test_truth_from_polygons_with_and_without_a_background_class():
    square = np.array([[2, 2], [8, 2], [8, 8], [2, 8]], np.float32)
    found = np.zeros((10, 10), np.int64)
    found[2:8, 2:5] = 1
    item = Prediction("a", (10, 10), class_map=found)
    sample = Sample("a", (10, 10), polygons=((square,),), box_labels=np.array([1]))
    assert _evaluate([sample], [item])["pixel_accuracy"] == pytest.approx(0.82)
    # nothing says what is outside: only the 36 pixels of the object count
    assert _evaluate([sample], [item], names=["sky", "road"])["pixel_accuracy"] == pytest.approx(0.5)


def test_nothing_annotated_is_nan_with_a_warning(tmp_path):
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "m.png")
    sample = Sample("a", (4, 4), mask_path=str(tmp_path / "m.png"))
    with pytest.warns(UserWarning, match="miou, dice, pixel_accuracy, because no pixel is annotated"):
        measured = _evaluate([sample], [Prediction("a", (4, 4), class_map=np.zeros((4, 4), np.int64))])
    assert all(np.isnan(value) for value in measured.values())


def test_malformed_input_is_refused(tmp_path):
    samples, items, *_ = _scene(tmp_path, 0, images=1)
    with pytest.raises(DataError, match="has no class map"):
        _evaluate(samples, [Prediction("0.jpg", (20, 30))])
    with pytest.raises(DataError, match=r"map of \(5, 5\) pixels"):
        _evaluate(samples, [Prediction("0.jpg", (20, 30), class_map=np.zeros((5, 5), np.int64))])
    with pytest.raises(DataError, match=r"there are names for 0\.\.1"):
        _evaluate(samples, items, names=NAMES[:2])


class TestDepth:
    def run(self, tmp_path, truth, found, suffix="npy"):
        path = tmp_path / f"depth.{suffix}"
        if suffix == "npy":
            np.save(path, truth)
        else:
            Image.fromarray(truth).save(path)
        sample = Sample("a", truth.shape, mask_path=str(path))
        return _evaluate([sample], [Prediction("a", truth.shape, depth_map=found)], Task.DEPTH, [])

    def test_by_hand(self, tmp_path):
        truth = np.array([[1.0, 2.0, 4.0, 0.0, np.nan]], np.float32)
        found = np.array([[1.0, 3.0, 4.4, 9.0, 9.0]], np.float32)
        measured = self.run(tmp_path, truth, found)
        assert measured["delta1"] == pytest.approx(2 / 3)
        assert measured["delta2"] == pytest.approx(1.0)  # 1.5 is below 1.25 squared
        assert measured["abs_rel"] == pytest.approx((0 + 0.5 + 0.1) / 3)
        assert measured["rmse"] == pytest.approx(np.sqrt((0 + 1 + 0.16) / 3), rel=1e-5)

    def test_sixteen_bit_files_hold_thousandths(self, tmp_path):
        truth = np.array([[1000, 2500, 0]], np.uint16)
        assert self.run(tmp_path, truth, np.array([[1.0, 2.5, 7.0]], np.float32), "png")["rmse"] == pytest.approx(0.0)

    def test_an_unusable_depth_is_wrong_and_not_left_out(self, tmp_path):
        truth = np.ones((1, 4), np.float32)
        measured = self.run(tmp_path, truth, np.array([[1.0, np.nan, -1.0, np.inf]], np.float32))
        assert measured["delta3"] == 0.25
        assert measured["abs_rel"] == 0.75

    def test_no_valid_pixel_is_nan_with_a_warning(self, tmp_path):
        with pytest.warns(UserWarning, match="no pixel has a known depth"):
            assert np.isnan(self.run(tmp_path, np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32))["rmse"])

    def test_missing_files_are_refused(self):
        item = Prediction("a", (2, 2), depth_map=np.ones((2, 2), np.float32))
        with pytest.raises(DataError, match="has no depth file"):
            _evaluate([Sample("a", (2, 2))], [item], Task.DEPTH, [])
        with pytest.raises(DataNotFoundError, match="does not exist"):
            _evaluate([Sample("a", (2, 2), mask_path="absent.npy")], [item], Task.DEPTH, [])
