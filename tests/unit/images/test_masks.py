"""Masks from polygons, run lengths, boxes and files, against pycocotools and shapely."""

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api
from shapely import contains_xy
from shapely.geometry import Polygon

from drivetrain.errors import DataError, DataNotFoundError
from drivetrain.images import masks
from drivetrain.types import Sample

SIZE = (30, 40)


@pytest.mark.parametrize("seed", range(5))
def test_polygons_hold_the_pixels_whose_centre_is_inside(seed):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
    ring = np.array([20, 15]) + rng.uniform(3, 25, (12, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    expected = contains_xy(Polygon(ring), x, y)
    np.testing.assert_array_equal(masks.fill_polygon([ring.astype(np.float32)], SIZE), expected)
    theirs = mask_api.decode(mask_api.merge(mask_api.frPyObjects([ring.ravel().tolist()], *SIZE)))
    assert (masks.fill_polygon([ring], SIZE) ^ theirs.astype(bool)).sum() < 0.1 * expected.sum()


def test_rings_are_united_and_degenerate_ones_are_empty():
    square = np.array([[1, 1], [4, 1], [4, 4], [1, 4]], np.float32)
    both = masks.fill_polygon([square, square + 2], SIZE)
    assert both.sum() == 9 + 9 - 1
    assert not masks.fill_polygon([square[:2], np.full((4, 2), np.nan, np.float32), square - 50], SIZE).any()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_run_lengths_decode_as_pycocotools_does(seed, density):
    mask = np.random.default_rng(seed).random((60, 45)) < density
    rle = mask_api.encode(np.asfortranarray(mask, np.uint8))
    np.testing.assert_array_equal(masks.decode_rle(rle), mask)
    np.testing.assert_array_equal(masks.decode_rle({**rle, "counts": rle["counts"].decode()}), mask)
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(edges, prepend=0, append=flat.size).tolist()
    np.testing.assert_array_equal(masks.decode_rle({"size": [60, 45], "counts": counts}), mask)


@pytest.mark.parametrize(
    "rle", [{}, {"size": [2, 2]}, {"size": [2, 2], "counts": [3]}, {"size": [2, 2], "counts": b"0"}]
)
def test_broken_run_lengths_are_refused(rle):
    with pytest.raises(DataError, match="run lengths"):
        masks.decode_rle(rle)


def _sample(**change):
    values = {
        "boxes": np.array([[1, 1, 5, 5], [10, 10, 20, 20]], np.float32),
        "box_labels": np.array([2, 1]),
        "polygons": ((np.array([[2, 2], [4, 2], [4, 4], [2, 4]], np.float32),), ()),
    }
    return Sample("a.jpg", SIZE, **{**values, **change})


def test_an_object_is_its_run_lengths_else_its_polygon_else_its_box():
    full = mask_api.encode(np.asfortranarray(np.ones(SIZE, np.uint8)))
    assert masks.object_mask(_sample(), 0).sum() == 4
    assert masks.object_mask(_sample(), 1).sum() == 100
    assert masks.object_mask(_sample(rles=(full, None)), 0).all()
    assert masks.object_masks(_sample()).shape == (2, *SIZE)
    assert masks.object_masks(Sample("a", SIZE)).shape == (0, *SIZE)
    assert masks.rasterise(_sample()).sum() == 104
    assert [masks.has_outline(_sample(), n) for n in (0, 1)] == [True, False]
    with pytest.raises(DataError, match="neither run lengths, nor a polygon, nor a box"):
        masks.object_mask(_sample(boxes=None), 1)
    with pytest.raises(DataError, match="are of a"):
        masks.object_mask(_sample(rles=({"size": [1, 1], "counts": [1]},)), 0)


def test_class_map_paints_later_objects_over_earlier_ones():
    overlapping = _sample(boxes=np.array([[0, 0, 10, 10], [5, 5, 15, 15]], np.float32), polygons=None)
    classes = masks.class_map(overlapping)
    assert (classes[0, 0], classes[7, 7], classes[14, 14], classes[29, 39]) == (2, 1, 1, masks.IGNORED)
    assert masks.class_map(overlapping, background=0)[29, 39] == 0
    with pytest.raises(DataError, match="has no label"):
        masks.class_map(_sample(box_labels=None))


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "RGB", "RGBA", "LA"])
def test_mask_files_of_every_mode(mode, tmp_path):
    classes = np.zeros(SIZE, np.uint8)
    classes[:5, :7] = 3
    path = str(tmp_path / "m.png")
    if mode == "P":
        image = Image.fromarray(classes)
        image.putpalette([0, 0, 0] * 3 + [0, 200, 0])
    elif mode == "1":
        image = Image.fromarray(classes > 0)
    elif mode == "I;16":
        image = Image.fromarray(classes.astype(np.uint16))
    else:
        image = Image.fromarray(classes).convert(mode)
    image.save(path)
    np.testing.assert_array_equal(masks.rasterise(Sample("a", SIZE, mask_path=path)), classes > 0)
    if "RGB" in mode:
        with pytest.raises(DataError, match="holds colours"):
            masks.class_map(Sample("a", SIZE, mask_path=path))
    else:
        expected = classes > 0 if mode == "1" else classes
        np.testing.assert_array_equal(masks.class_map(Sample("a", SIZE, mask_path=path)), expected)


def test_a_mask_that_another_package_fails_to_open_is_refused(tmp_path, monkeypatch):
    def opens_nothing(*_arguments, **_options):
        raise ImportError("pillow-heif is not installed")

    path = tmp_path / "m.png"
    path.write_bytes(b"no image")
    monkeypatch.setattr(Image, "open", opens_nothing)
    with pytest.raises(DataError, match=r"m\.png' cannot be read: pillow-heif is not installed"):
        masks.rasterise(Sample("a", SIZE, mask_path=str(path)))


def test_bad_mask_files_are_refused(tmp_path):
    path = tmp_path / "m.png"
    with pytest.raises(DataNotFoundError, match="does not exist"):
        masks.rasterise(Sample("a", SIZE, mask_path=str(path)))
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read"):
        masks.rasterise(Sample("a", SIZE, mask_path=str(path)))
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(path)
    with pytest.raises(DataError, match=r"is \(3, 3\) pixels, but its image is \(30, 40\)"):
        masks.rasterise(Sample("a", SIZE, mask_path=str(path)))


def test_what_is_known_about_the_pixels():
    assert masks.has_pixel_truth(Sample("a", SIZE, anomalous=False))
    assert not masks.has_pixel_truth(Sample("a", SIZE, anomalous=True))
    assert masks.has_pixel_truth(_sample())
    assert not masks.rasterise(_sample(anomalous=False)).any()
