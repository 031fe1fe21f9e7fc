# ruff: noqa: TID253 - tests use the frameworks outright
"""What one sees of predictions: pictures, a notebook, a viewer."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageShow

from drivetrain.errors import DataError, DataNotFoundError, ImageError, UnsupportedError
from drivetrain.images import frames
from drivetrain.report import draw
from drivetrain.report.answers import sheet
from drivetrain.types import Prediction, Predictions, Sample, Task
from drivetrain.types.truth import Truth

SIZE = (400, 500)
GREY = np.full((*SIZE, 3), 128, np.uint8)
BOXES = np.array([[50, 60, 200, 300]], np.float32)


def nut(path: str = "", image: Any = None) -> Prediction:
    return Prediction(
        path, SIZE, labels=np.zeros(1, np.int64), scores=np.array([0.75], np.float32), boxes=BOXES, image=image
    )


def series(*items: Prediction, **more: Any) -> Predictions:
    return Predictions(items, task=Task.DETECTION, label_names=("nut <M8>", "bolt"), **more)


def pictures_in(html: str) -> list[np.ndarray[Any, Any]]:
    found = re.findall(r'<img src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)"', html)
    assert len(found) == html.count("<img")
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def is_blue(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.abs(picture.astype(int) - (0, 114, 255)).max(axis=2) < 60)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "grey.png"
    Image.fromarray(GREY).save(path)
    return str(path)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (SIZE[1], SIZE[0]))
    for level in (40, 120, 200):
        writer.write(np.full((*SIZE, 3), level, np.uint8))
    writer.release()
    return path


# --- pictures


def test_draw_takes_the_file_the_kept_image_or_the_one_that_is_given(file: str) -> None:
    expected = draw(GREY, series(nut())[0])
    np.testing.assert_array_equal(series(nut(file))[0].draw(), expected)
    np.testing.assert_array_equal(series(nut(image=GREY))[0].draw(), expected)
    for given in (GREY, file, Image.fromarray(GREY), Path(file).read_bytes()):
        np.testing.assert_array_equal(series(nut())[0].draw(given), expected)
    assert is_blue(expected).any()
    assert (series(nut(file))[0].draw(min_score=0.8) == 128).all()


def test_without_an_image_the_error_says_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not kept.*as the argument 'image' of draw, show or save"):
        nut().draw()
    with pytest.raises(DataNotFoundError, match=r"gone\.png"):
        nut(str(tmp_path / "gone.png")).draw()
    with pytest.raises(DataError, match="but the prediction is for"):
        nut().draw(GREY[:10])


def test_a_series_is_drawn_one_by_one_from_files_and_frames(file: str, video: Path) -> None:
    answers = series(nut(file), nut(f"{video}#1"), nut(f"{video}#2"))
    levels = [picture[390, 10, 0] for picture in answers.draw()]
    np.testing.assert_allclose(levels, [128, 120, 200], atol=4)


def test_frames_drawn_one_by_one_open_their_video_once(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda path: opened.append(path) or capture(path))
    monkeypatch.setattr(frames, "_shared", frames._Shared())
    levels = [nut(f"{video}#{number}").draw()[390, 10, 0] for number in (0, 1, 2)]
    np.testing.assert_allclose(levels, [40, 120, 200], atol=4)
    assert opened == [str(video)]
    np.testing.assert_allclose(nut(f"{video}#0").draw()[390, 10, 0], 40, atol=4)
    assert len(opened) == 2
    with pytest.raises(ImageError, match="frame 9"):
        nut(f"{video}#9").draw()
    with pytest.raises(DataNotFoundError, match=r"video .*none\.mp4"):
        nut(str(video.with_name("none.mp4#0"))).draw()


def test_save_by_suffix(file: str, tmp_path: Path) -> None:
    item = series(nut(file))[0]
    assert item.save(tmp_path / "out" / "a.png") == tmp_path / "out" / "a.png"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), item.draw())
    assert series(nut())[0].save(tmp_path / "b.JPG", image=GREY).is_file()
    assert '"names": [\n    "nut <M8>"' in item.save(tmp_path / "a.json").read_text()
    with pytest.raises(DataError, match="would replace its image"):
        item.save(file)
    with pytest.raises(DataError, match=r"must end in \.jpg, \.png, \.webp \(a picture\) or \.json"):
        item.save(tmp_path / "a.txt")


def test_a_sheet_has_rows_and_enlarges_nothing() -> None:
    small, large = np.zeros((40, 60, 3), np.uint8), np.zeros((900, 3000, 3), np.uint8)
    assert sheet([small]).shape == (56, 76, 3)
    assert sheet([small] * 6).shape == (2 * 48 + 8, 3 * 68 + 8, 3)
    assert sheet([large, small, large]).shape[1] <= 1600


# --- a notebook


def test_a_notebook_shows_the_picture_of_an_answer(file: str) -> None:
    html = series(nut(file))[0]._repr_html_()
    (picture,) = pictures_in(html)
    assert picture.shape == (*SIZE, 3)
    assert is_blue(picture[:, 48:53]).any(axis=1)[70:290].all(), "the left edge of the box"
    assert "nut &lt;M8&gt; 0.750" in html
    assert "<M8>" not in html


def test_a_notebook_shows_the_first_of_many_with_counts_and_truth(file: str) -> None:
    sample = Sample(file, SIZE, boxes=BOXES, box_labels=np.array([1]))
    truth = Truth([sample], [file], ["nut", "bolt"])
    html = series(*[nut(file)] * 30, skipped=[("bad<1>.png", "cut off")], truth=truth)._repr_html_()
    pictures = pictures_in(html)
    assert len(pictures) == 8
    assert all(picture.shape[1] <= 320 and is_blue(picture).any() for picture in pictures)
    assert "30 images, detection" in html
    assert "<th>nut &lt;M8&gt;</th>" in html
    assert "<td>objects</td><td>30</td>" in html
    assert "and 22 more" in html
    assert "truth: 1 bolt" in html
    assert "bad&lt;1&gt;.png: cut off" in html


def test_a_notebook_says_why_there_is_no_picture() -> None:
    html = series(nut("gone.png"), nut())._repr_html_()
    assert pictures_in(html) == []
    assert "no picture: the image &#x27;gone.png&#x27; does not exist." in html
    assert "no picture: this prediction has no image to draw on" in html
    assert "0 images, detection" in series()._repr_html_()


def test_no_task_breaks_a_notebook() -> None:
    heat = np.zeros(SIZE, np.float32)
    for task, fields in {
        Task.ANOMALY: {"anomaly_score": 0.9, "anomaly_map": heat, "anomaly_mask": heat > 1},
        Task.DEPTH: {"depth_map": heat + 2},
        Task.SEMANTIC_SEGMENTATION: {"class_map": heat.astype(np.int64)},
        Task.CLASSIFICATION: {"labels": np.array([0]), "probabilities": np.array([0.9, 0.1], np.float32)},
        Task.MULTILABEL_CLASSIFICATION: {"labels": np.zeros(0, np.int64), "probabilities": np.zeros(2, np.float32)},
    }.items():
        answers = Predictions([Prediction("", SIZE, image=GREY, **fields)], task=task, label_names=("a", "b"))
        assert len(pictures_in(answers._repr_html_())) == 1
        assert ("<table>" in answers._repr_html_()) == (task not in (Task.DEPTH, Task.MULTILABEL_CLASSIFICATION))


def test_drawing_needs_neither_matplotlib_nor_torch(file: str) -> None:
    code = (
        "import sys, numpy as np\nfrom drivetrain.types import Prediction\n"
        f"item = Prediction({file!r}, {SIZE}, labels=np.array([0]), label_names=('a',))\n"
        "assert '<img' in item._repr_html_()\nitem.draw(); item.to_json()\n"
        "print([name for name in ('matplotlib', 'torch', 'IPython', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- a viewer


def test_show_opens_the_viewer(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Image.Image] = []
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(ImageShow, "show", lambda image, title: shown.append(image) is None)
    series(nut(file))[0].show()
    series(nut())[0].show(GREY)
    series(nut(file), nut(file)).show()
    np.testing.assert_array_equal(np.asarray(shown[0]), series(nut(file))[0].draw())
    assert [image.size for image in shown] == [(500, 400), (500, 400), (1024, 416)]


def test_show_without_a_screen_or_viewer_says_what_to_do(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UnsupportedError, match=r"no screen.*save\('answer\.jpg'\)"):
        nut(file).show()
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(ImageShow, "show", lambda image, title: False)
    with pytest.raises(UnsupportedError, match="no picture viewer"):
        nut(file).show()
    with pytest.raises(DataError, match="no predictions to show"):
        series().show()


def test_show_in_a_notebook_displays_the_picture(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, bytes]] = []
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    monkeypatch.setattr(ipython, "get_ipython", lambda: SimpleNamespace(kernel=object()), raising=False)
    monkeypatch.setattr(display, "Image", lambda **data: data, raising=False)
    monkeypatch.setattr(display, "display", shown.append, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    nut(file).show()
    assert np.asarray(Image.open(io.BytesIO(shown[0]["data"]))).shape == (*SIZE, 3)
