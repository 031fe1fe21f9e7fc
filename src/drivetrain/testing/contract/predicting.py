"""Checks of predict and test."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from drivetrain.data import load_dataset
from drivetrain.errors import DataError, DataNotFoundError, ImageError
from drivetrain.testing import data
from drivetrain.testing.contract.base import Subject, Trained
from drivetrain.testing.contract.forms import METRICS, assert_form


class PredictionChecks(Subject):
    """Answers have the same form for any image."""

    def test_predictions_have_the_form_of_the_task(self, trained: Trained) -> None:
        """Shapes, dtypes and ranges; without a source, the test images in order."""
        engine = trained.engine
        predictions = engine.predict()
        assert [item.path for item in predictions] == list(engine.dataset.subset("test").paths)
        assert predictions.task is engine.task is self.task
        for item in predictions:
            assert_form(item, self.task, len(engine.label_names))

    def test_labels_are_those_of_the_data(self, trained: Trained, dataset: Path) -> None:
        """Names and order are the same in the engine and in its answers."""
        names = load_dataset(dataset, task=self.task).label_names
        assert trained.engine.label_names == names
        assert trained.engine.predict().label_names == names

    def test_test_gives_the_common_metrics(self, trained: Trained) -> None:
        """The metrics of the task with finite values, and the number of images."""
        metrics = trained.engine.test()
        assert set(METRICS[self.task]) <= set(metrics)
        assert all(math.isfinite(metrics[name]) for name in METRICS[self.task])
        assert metrics.count == len(trained.engine.dataset.subset("test"))
        assert set(trained.engine.test(subset="val")) >= set(METRICS[self.task])

    def test_awkward_images(self, trained: Trained, tmp_path: Path) -> None:
        """Odd sizes, one pixel, grey, palette, alpha, 16 bits and EXIF: each gets an answer, in upright pixels."""
        files = data.awkward_images(tmp_path / "awkward")
        predictions = trained.engine.predict(list(files.values()))
        assert [item.path for item in predictions] == [str(path) for path in files.values()]
        sizes = dict(zip(files, (item.size for item in predictions), strict=True))
        assert sizes["odd"] == (31, 47)
        assert sizes["tiny"] == (1, 1)
        assert sizes["exif"] == (40, 24)
        for item in predictions:
            assert_form(item, self.task, len(trained.engine.label_names))

    def test_arrays_and_folders(self, trained: Trained, tmp_path: Path) -> None:
        """The same pixels get the same answer from an array and from a file."""
        from drivetrain.images.read import read_image

        files = data.awkward_images(tmp_path / "awkward")
        from_array = trained.engine.predict(read_image(files["odd"]))
        assert [item.path for item in from_array] == [""]
        from_folder = trained.engine.predict(tmp_path / "awkward")
        assert len(from_folder) == len(files)
        same = next(item for item in from_folder if item.path == str(files["odd"]))
        for name in ("probabilities", "scores", "anomaly_score"):
            one, other = getattr(from_array[0], name), getattr(same, name)
            if one is not None:
                np.testing.assert_allclose(one, other, atol=self.same)

    def test_answers_can_be_looked_at_and_written(self, trained: Trained, tmp_path: Path) -> None:
        """Pictures of all answers, awkward images included, and equivalent files, with the truth where it is known."""
        from drivetrain.data.save_predictions import HOLDS
        from drivetrain.report.notebook import predictions_html

        answers = trained.engine.predict()
        awkward = trained.engine.predict(list(data.awkward_images(tmp_path / "awkward").values()))
        array = trained.engine.predict(next(answers.draw()))
        for series in (answers[:4], awkward, array):
            assert all(picture.dtype == np.uint8 and picture.ndim == 3 for picture in series.draw())
            assert predictions_html(series).count("<img ") == min(len(series), 8)
        assert answers.truth is not None
        assert set(answers.truth) == {item.path for item in answers}
        for name in HOLDS:
            if self.task in HOLDS[name] and name in ("json", "csv", "coco"):
                suffix = ".csv" if name == "csv" else ".json"
                file = answers.save(tmp_path / f"{name}{suffix}", name)
                assert all(Path(item.path).name in file.read_text(encoding="utf-8") for item in answers)

    def test_unreadable_images_are_named(self, trained: Trained, tmp_path: Path) -> None:
        """They are skipped and listed, or refused with ``strict``; a source without any readable image is an error."""
        good = data.awkward_images(tmp_path / "images")["odd"]
        (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
        broken = str(tmp_path / "images" / "broken.png")
        predictions = trained.engine.predict([broken, str(good)])
        assert [item.path for item in predictions] == [str(good)]
        assert [path for path, _ in predictions.skipped] == [broken]
        with pytest.raises(ImageError):
            trained.engine.predict([broken, str(good)], strict=True)
        with pytest.raises(DataNotFoundError):
            trained.engine.predict(tmp_path / "no_such_folder")
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError):
            trained.engine.predict(tmp_path / "empty")
        with pytest.raises(DataError):
            trained.engine.predict([])
