"""Drawn predictions: what changes in the pixels, for every task."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from drivetrain.errors import DataError, DataNotFoundError, ImageError
from drivetrain.report import draw, save_drawings
from drivetrain.report._canvas import Canvas, colour_of, fitted, text_on, text_size
from drivetrain.types import Prediction, Predictions, Task

SIZE = (400, 500)
GREY = np.full((*SIZE, 3), 128, np.uint8)
NAMES = ["cat", "dog", "größe"]


def _objects(**parts):
    values = {"labels": np.array([0, 1]), "scores": np.array([0.9, 0.6], np.float32)}
    return Prediction("a.png", SIZE, **{**values, **parts})


BOXES = np.array([[50, 60, 200, 300], [300, 100, 480, 380]], np.float32)


def _near(picture, colour, tolerance=6):
    return np.abs(picture.astype(int) - colour).max(axis=2) <= tolerance


def test_boxes_are_lines_at_their_place_with_labels_above():
    before = GREY.copy()
    picture = draw(GREY, _objects(boxes=BOXES), NAMES)
    assert picture.shape == GREY.shape
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(before, GREY)
    blue = _near(picture, colour_of(0))
    assert blue[100:280, 48:53].any(axis=1).all()  # the left edge, on every row
    assert blue[100:280, 198:203].any(axis=1).all()
    assert not blue[100:280, 60:190].any()
    assert blue[40:59, 52:80].mean() > 0.4  # the label
    assert _near(picture, colour_of(1))[100:380, 298:303].any(axis=1).all()


def test_labels_stay_inside_the_image_and_apart():
    canvas = Canvas(GREY)
    for box in [(0, 0, 40, 40)] * 3 + [(480, 380, 500, 400), (470, 0, 500, 20), (-50, -50, 900, 900)]:
        canvas.label(box, "a rather long label 0.97", colour_of(0))
    for x1, y1, x2, y2 in canvas._placed:
        assert 0 <= x1 < x2 <= 500
        assert 0 <= y1 < y2 <= 400
    first, second, third = canvas._placed[:3]
    assert len({first[1], second[1], third[1]}) == 3


def test_masks_tint_their_pixels_and_hide_nothing():
    masks = np.zeros((2, *SIZE), np.bool_)
    masks[0, 100:200, 100:200] = True
    picture = draw(GREY, _objects(boxes=BOXES, masks=masks), NAMES)
    inside = picture[150, 150].astype(int)
    np.testing.assert_allclose(inside, 128 * 0.55 + np.array(colour_of(0)) * 0.45, atol=1.5)
    assert (picture[390, 10] == 128).all()
    assert _near(picture, colour_of(0))[100:200, 98:103].any(axis=1).all()  # the border


def test_oriented_boxes_and_keypoints():
    corners = np.array([[[100, 100], [200, 150], [180, 190], [80, 140]]] * 2, np.float32)
    picture = draw(GREY, _objects(corners=corners), NAMES)
    assert _near(picture, colour_of(1))[125, 145:155].any() or _near(picture, colour_of(0))[125, 145:155].any()
    points = np.zeros((2, 4, 3), np.float32)
    points[0] = [[100, 100, 1], [300, 200, 1], [50, 350, 0.1], [400, 300, 0.9]]
    picture = draw(GREY, _objects(keypoints=points), NAMES)
    assert (picture[100, 100] != 128).any()
    assert (picture[200, 300] != 128).any()
    assert (picture[350, 50] == 128).all()  # of too low a confidence
    person = np.zeros((1, 17, 3), np.float32)
    person[0, 5], person[0, 6] = [100, 100, 1], [300, 100, 1]
    single = _objects(keypoints=person, labels=np.array([0]), scores=np.ones(1, np.float32))
    assert _near(draw(GREY, single, NAMES), colour_of(0))[98:103, 200].any()  # the shoulders are joined


def test_objects_below_the_score_are_left_out():
    picture = draw(GREY, _objects(boxes=BOXES), NAMES, min_score=0.7)
    assert _near(picture, colour_of(0)).any()
    assert not _near(picture, colour_of(1)).any()
    empty = _objects(boxes=np.zeros((0, 4), np.float32), labels=np.zeros(0, np.int64), scores=np.zeros(0, np.float32))
    np.testing.assert_array_equal(draw(GREY, empty, NAMES), GREY)


def test_a_tiny_image_is_enlarged_and_its_labels_stand_under_it():
    digit = np.random.default_rng(0).integers(0, 255, (28, 28, 3)).astype(np.uint8)
    probabilities = np.array([0.1, 0.7, 0.2], np.float32)
    item = Prediction("", (28, 28), labels=np.array([1]), scores=probabilities[1:2], probabilities=probabilities)
    picture = draw(digit, item, NAMES)
    assert picture.shape[1] == 28 * 12
    np.testing.assert_array_equal(picture[: 28 * 12 : 12, ::12], digit)
    bands = picture[28 * 12 :]
    assert 40 < len(bands) < 150
    assert (bands.reshape(-1, 3).max(axis=1) > 240).any()  # light text


def test_class_map_tints_all_but_the_background_and_has_a_legend():
    classes = np.zeros(SIZE, np.int64)
    classes[:100] = 1
    item = Prediction("", SIZE, class_map=classes)
    picture = draw(GREY, item, ["background", "road"])
    assert (picture[300, 250] == 128).all()
    np.testing.assert_allclose(picture[50, 250], 128 * 0.55 + np.array(colour_of(1)) * 0.45, atol=1.5)
    assert _near(picture[400:], colour_of(1)).any()
    assert picture.shape[0] > 400


RED = (220, 38, 38)


def _heated(score, level=0.95):
    heat = np.zeros(SIZE, np.float32)
    heat[100:200, 100:200] = level
    return Prediction("", SIZE, anomaly_score=score, anomaly_map=heat, anomaly_mask=heat >= 0.5)


def test_anomaly_shows_the_image_beside_the_heat_with_border_and_verdict():
    picture = draw(GREY, _heated(0.9))
    left, right = picture[:400, :500], picture[:400, -500:]
    np.testing.assert_array_equal(left, GREY)
    assert 1000 < picture.shape[1] < 1020
    assert (picture[:400, 500:-500] == 255).all()
    red, _, blue = right[150, 150].astype(int)
    assert red > blue
    assert _near(right, RED)[100:200, 98:103].any(axis=1).all()
    only_score = draw(GREY, Prediction("", SIZE, anomaly_score=0.1))
    np.testing.assert_array_equal(only_score[:400], GREY)


def test_no_border_on_what_is_called_normal():
    assert _near(draw(GREY, _heated(0.51)), RED)[:400].any()
    assert not _near(draw(GREY, _heated(0.49)), RED)[:400].any()


def test_a_very_wide_image_stands_above_its_map():
    wide = GREY[:100]
    picture = draw(wide, Prediction("", (100, 500), anomaly_score=0.9, anomaly_map=np.ones((100, 500), np.float32)))
    assert picture.shape[1] == 500 * 4
    np.testing.assert_array_equal(picture[:400:4, ::4], wide)
    assert picture.shape[0] > 800


def test_an_explanation_stands_under_the_image():
    short = draw(GREY, Prediction("", SIZE, anomaly_score=0.9, explanation="a scratch"), [])
    long = draw(GREY, Prediction("", SIZE, anomaly_score=0.9, explanation="a scratch on the rim " * 90), [])
    bare = draw(GREY, Prediction("", SIZE, anomaly_score=0.9), [])
    assert bare.shape[0] < short.shape[0] < long.shape[0] < bare.shape[0] + 150


def test_depth_map_is_coloured_near_to_far():
    depth = np.linspace(1, 9, SIZE[0], dtype=np.float32)[:, None].repeat(SIZE[1], axis=1)
    depth[0, 0] = np.nan
    picture = draw(GREY, Prediction("", SIZE, depth_map=depth), [])
    assert picture[20, 250, 0] > picture[20, 250, 2]
    assert picture[360, 250, 2] > picture[360, 250, 0]


def test_wrong_images_are_refused():
    with pytest.raises(DataError, match=r"\(H, W, 3\) uint8 RGB is needed"):
        draw(GREY[..., 0], _objects(boxes=BOXES), NAMES)
    with pytest.raises(DataError, match="but the prediction is for"):
        draw(GREY[:10], _objects(boxes=BOXES), NAMES)


def test_sizes_follow_the_image():
    small, large = Canvas(np.zeros((400, 400, 3), np.uint8)), Canvas(np.zeros((3000, 4000, 3), np.uint8))
    assert large.line > 3 * small.line
    assert large.font_size > 3 * small.font_size


def test_colours_and_text():
    assert len({colour_of(label) for label in range(60)}) > 55
    assert text_on((255, 255, 0))[0] < 50
    assert text_on((0, 0, 120)) == (255, 255, 255)
    assert fitted("short", 14, 500) == "short"
    cut = fitted("a very long name indeed", 14, 60)
    assert cut.endswith("…")
    assert text_size(cut, 14)[0] <= 60


class TestSaving:
    def scene(self, folder):
        items = []
        for name in ("x/a.png", "x/a.jpg", "y/a.png"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(GREY).save(path)
            items.append(
                Prediction(str(path), SIZE, labels=np.array([1]), scores=np.array([0.5], np.float32), boxes=BOXES[:1])
            )
        return Predictions(items, task=Task.DETECTION, label_names=NAMES)

    def test_names_are_kept_and_never_clash(self, tmp_path):
        saved = save_drawings(self.scene(tmp_path / "in"), tmp_path / "out")
        assert [path.relative_to(tmp_path / "out").as_posix() for path in saved] == ["x/a.jpg", "x/a-2.jpg", "y/a.jpg"]
        assert sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file()) == sorted(saved)
        with Image.open(saved[0]) as picture:
            assert picture.size == (500, 400)
            assert _near(np.asarray(picture), colour_of(1), 40).any()

    def test_again_replaces_and_png_is_exact(self, tmp_path):
        predictions = self.scene(tmp_path / "in")
        for _ in range(2):
            saved = save_drawings(predictions, tmp_path / "out", suffix=".png")
        assert len(list((tmp_path / "out").rglob("*.*"))) == 3
        with Image.open(saved[0]) as picture:
            np.testing.assert_array_equal(np.asarray(picture), draw(GREY, predictions[0], NAMES))

    def test_never_over_its_own_image(self, tmp_path):
        with pytest.raises(DataError, match="would replace its image"):
            save_drawings(self.scene(tmp_path), tmp_path, suffix=".png")

    def test_arrays_need_images(self, tmp_path):
        items = [Prediction("", (28, 28), labels=np.array([0]))] * 2
        with pytest.raises(DataError, match=r"no image to draw on.*the argument 'image' of draw"):
            save_drawings(items, tmp_path, label_names=NAMES)
        with pytest.raises(DataError, match="fewer images"):
            save_drawings(items, tmp_path, label_names=NAMES, images=[np.zeros((28, 28, 3), np.uint8)])
        saved = save_drawings(items, tmp_path, images=[np.zeros((28, 28, 3), np.uint8)] * 2)
        assert [path.name for path in saved] == ["000000.jpg", "000001.jpg"]

    def test_frames_of_a_video(self, tmp_path):
        import cv2

        video = tmp_path / "clip.avi"
        writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10, (640, 480))
        for level in (40, 120, 200):
            writer.write(np.full((480, 640, 3), level, np.uint8))
        writer.release()
        items = [Prediction(f"{video}#{n}", (480, 640), anomaly_score=0.1) for n in (0, 2, 1)]
        saved = save_drawings(items, tmp_path / "out")
        assert [path.name for path in saved] == ["clip.avi_0.jpg", "clip.avi_2.jpg", "clip.avi_1.jpg"]
        levels = [np.asarray(Image.open(path))[240, 320, 0] for path in saved]
        np.testing.assert_allclose(levels, [40, 200, 120], atol=4)
        with pytest.raises(ImageError, match="frame 7"):
            save_drawings([Prediction(f"{video}#7", (480, 640), anomaly_score=0.1)], tmp_path / "out")

    def test_errors(self, tmp_path):
        with pytest.raises(DataError, match=r"suffix='\.tiff'"):
            save_drawings([], tmp_path, suffix=".tiff")
        with pytest.raises(DataNotFoundError):
            save_drawings([Prediction(str(tmp_path / "absent.png"), SIZE)], tmp_path / "out")


def test_importing_the_report_loads_nothing_heavy():
    code = "import sys, drivetrain.report; print([m for m in ('numpy', 'PIL', 'cv2', 'rich') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
