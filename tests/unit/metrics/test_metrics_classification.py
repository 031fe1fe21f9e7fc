"""Classification metrics against scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as referee

from drivetrain.errors import DataError
from drivetrain.metrics import evaluate
from drivetrain.types import Prediction, Predictions, Sample, Task


def _multiclass(seed, images=200, classes=8, used=8, tied=False):
    rng = np.random.default_rng(seed)
    names = [f"class {n}" for n in range(classes)]
    truth = rng.integers(0, used, images)
    logits = rng.normal(size=(images, classes)) + 1.5 * np.eye(classes)[truth]
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    if tied:
        probabilities = np.round(probabilities, 1)
    labels = probabilities.argmax(axis=1)
    samples = [Sample(f"{n}.png", (8, 8), labels=np.array([t])) for n, t in enumerate(truth)]
    items = [
        Prediction(f"{n}.png", (8, 8), labels=labels[n : n + 1], scores=p.max(keepdims=True), probabilities=p)
        for n, p in enumerate(probabilities)
    ]
    return samples, items, names, truth, labels, probabilities


def _predictions(items, names, task=Task.CLASSIFICATION, skipped=()):
    return Predictions(items, task=task, label_names=names, skipped=skipped)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("used", "tied"), [(8, False), (8, True), (6, False), (1, False)])
def test_multiclass_equals_sklearn(seed, used, tied):
    samples, items, names, truth, labels, probabilities = _multiclass(seed, used=used, tied=tied)
    found = evaluate(samples, _predictions(items[::-1], names), task=Task.CLASSIFICATION, label_names=names)
    every = np.arange(8)
    assert found["accuracy"] == pytest.approx(referee.accuracy_score(truth, labels), abs=1e-12)
    top = referee.top_k_accuracy_score(truth, probabilities, k=5, labels=every)
    assert found["accuracy_top5"] == pytest.approx(top, abs=1e-12)
    assert found["f1"] == pytest.approx(referee.f1_score(truth, labels, average="macro"), abs=1e-12)
    precision, recall, f1, _ = referee.precision_recall_fscore_support(
        truth, labels, labels=every, zero_division=np.nan
    )
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
        np.testing.assert_allclose(list(found.per_class[name].values()), expected, atol=1e-12)
    assert found.tables["confusion_matrix"] == referee.confusion_matrix(truth, labels, labels=every).tolist()
    assert found.tables["label_names"] == names
    assert found.count == 200


def test_top5_only_with_more_than_five_classes():
    samples, items, names, *_ = _multiclass(0, classes=5, used=5)
    assert set(evaluate(samples, _predictions(items, names), task="classification", label_names=names)) == {
        "accuracy",
        "f1",
    }


def _multilabel(seed, images=150, classes=6, rare=False):
    rng = np.random.default_rng(seed)
    truth = rng.random((images, classes)) < 0.3
    if rare:
        truth[:, 2] = False
    scores = np.round(np.clip(0.6 * rng.random((images, classes)) + 0.4 * truth, 0, 1), 2).astype(np.float32)
    if rare:
        scores[:, 2] = 0.1
    names = [f"tag {n}" for n in range(classes)]
    samples = [Sample(f"{n}.png", (8, 8), labels=np.flatnonzero(row)) for n, row in enumerate(truth)]
    items = [
        Prediction(f"{n}.png", (8, 8), labels=np.flatnonzero(row >= 0.5), probabilities=row)
        for n, row in enumerate(scores)
    ]
    return samples, items, names, truth, scores


@pytest.mark.parametrize("seed", range(5))
def test_multilabel_equals_sklearn(seed):
    samples, items, names, truth, scores = _multilabel(seed)
    task = Task.MULTILABEL_CLASSIFICATION
    found = evaluate(iter(samples), _predictions(items, names, task), task=task, label_names=names)
    each = referee.average_precision_score(truth, scores, average=None)
    np.testing.assert_allclose(list(found.per_class["map"].values()), each, atol=1e-12)
    assert found["map"] == pytest.approx(each.mean(), abs=1e-12)
    assert found["f1"] == pytest.approx(referee.f1_score(truth, scores >= 0.5, average="macro"), abs=1e-12)
    assert found["accuracy"] == pytest.approx(referee.accuracy_score(truth, scores >= 0.5), abs=1e-12)


def test_multilabel_leaves_a_label_without_truth_out_of_the_mean():
    samples, items, names, truth, scores = _multilabel(0, rare=True)
    task = Task.MULTILABEL_CLASSIFICATION
    found = evaluate(samples, _predictions(items, names, task), task=task, label_names=names)
    assert np.isnan(found.per_class["map"]["tag 2"])
    kept = [n for n in range(6) if n != 2]
    expected = referee.average_precision_score(truth[:, kept], scores[:, kept])
    assert found["map"] == pytest.approx(expected, abs=1e-12)
    f1 = referee.f1_score(truth, scores >= 0.5, average="macro", zero_division=np.nan)
    assert found["f1"] == pytest.approx(f1, abs=1e-12)


def test_multilabel_without_any_truth_is_nan_with_one_warning():
    samples = [Sample("a.png", (8, 8)), Sample("b.png", (8, 8))]
    items = [
        Prediction(p, (8, 8), labels=np.zeros(0, np.int64), probabilities=np.zeros(2, np.float32))
        for p in ("a.png", "b.png")
    ]
    task = Task.MULTILABEL_CLASSIFICATION
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = evaluate(samples, _predictions(items, ["x", "y"], task), task=task, label_names=["x", "y"])
    assert np.isnan(found["map"])
    assert np.isnan(found["f1"])
    assert found["accuracy"] == 1.0
    assert len(caught) == 1
    assert "map, because" in str(caught[0].message)


class TestJoin:
    def setup_method(self):
        self.samples, self.items, self.names, *_ = _multiclass(0, images=6)

    def run(self, items, names=None, samples=None, skipped=()):
        predictions = _predictions(items, names or self.names, skipped=skipped)
        samples = self.samples if samples is None else samples
        return evaluate(samples, predictions, task="classification", label_names=self.names)

    def test_missing_predictions(self):
        with pytest.raises(DataError, match=r"2 images have no prediction, the first is '0\.png'"):
            self.run(self.items[2:])

    def test_extra_predictions(self):
        with pytest.raises(DataError, match=r"1 predictions have no sample, the first is 'other\.png'"):
            self.run([*self.items, Prediction("other.png", (8, 8), labels=np.array([0]))])

    def test_two_predictions_for_one_image(self):
        with pytest.raises(DataError, match=r"two predictions for the same image '0\.png'"):
            self.run([*self.items, self.items[0]])

    def test_image_twice(self):
        with pytest.raises(DataError, match="occurs twice"):
            self.run(self.items, samples=[*self.samples, self.samples[0]])

    def test_nothing_to_evaluate(self):
        with pytest.raises(DataError, match="there are no samples"):
            self.run([], samples=[])
        with pytest.raises(DataError, match="all 1 were skipped"):
            self.run([], samples=self.samples[:1], skipped=[("0.png", "truncated")])

    def test_skipped_images_are_left_out_and_listed(self):
        found = self.run(self.items[1:], skipped=[("0.png", "truncated")])
        assert found.count == 5
        assert found.tables["skipped"] == [["0.png", "truncated"]]
        assert sum(map(sum, found.tables["confusion_matrix"])) == 5

    def test_labels_in_another_order_are_matched_by_name(self):
        expected = self.run(self.items)
        order = np.random.default_rng(3).permutation(8)
        place = np.argsort(order)  # the new number of each old label
        items = [
            Prediction(p.path, p.size, labels=place[p.labels], probabilities=p.probabilities[order]) for p in self.items
        ]
        assert str(self.run(items, [self.names[n] for n in order]).to_dict()) == str(expected.to_dict())

    def test_other_labels_are_refused(self):
        with pytest.raises(DataError, match=r"only in the predictions 'cat'.*only in the samples 'class 7'"):
            self.run(self.items, [*self.names[:-1], "cat"])

    def test_relative_and_absolute_paths_are_the_same_image(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        samples = [Sample(str(tmp_path / s.path), s.size, labels=s.labels) for s in self.samples]
        assert str(self.run(self.items, samples=samples).to_dict()) == str(self.run(self.items).to_dict())


@pytest.mark.parametrize(
    ("labels", "answer", "message"),
    [
        ([0, 1], [0], "has 2 labels, classification needs exactly one"),
        ([], [0], "has 0 labels"),
        ([5], [0], "label 5 of 'a.png' has no name"),
        ([0], [-1], "label -1 of 'a.png' has no name"),
        ([0], [], "neither a label nor probabilities"),
    ],
)
def test_malformed_labels_are_refused(labels, answer, message):
    samples = [Sample("a.png", (8, 8), labels=np.array(labels, np.int64))]
    items = [Prediction("a.png", (8, 8), labels=np.array(answer, np.int64))]
    with pytest.raises(DataError, match=message):
        evaluate(samples, _predictions(items, ["x", "y"]), task="classification", label_names=["x", "y"])


def test_repeated_label_names_stay_apart():
    samples = [Sample("a.png", (8, 8), labels=np.array([1]))]
    items = [Prediction("a.png", (8, 8), labels=np.array([1]))]
    found = evaluate(samples, _predictions(items, ["x", "x"]), task="classification", label_names=["x", "x"])
    assert found.per_class["recall"]["x (2)"] == 1.0
