# ruff: noqa: TID253 - tests use the frameworks outright
"""Reading images: orientation, channels, depths and broken files."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from drivetrain.errors import DataNotFoundError, ImageError
from drivetrain.images.read import IMAGE_SUFFIXES, image_size, read_image, read_shrunken


def _picture(height: int = 24, width: int = 40) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_upright_in_every_format(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(_picture()).save(path, exif=exif, **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    for source in (path, str(path), path.read_bytes(), Image.open(path)):
        np.testing.assert_array_equal(read_image(source), expected)
    assert image_size(path) == expected.shape[:2]


def test_jpeg_equals_pillow_for_colour_and_grey(tmp_path: Path) -> None:
    for name, array in (("c.jpg", _picture(480, 640)), ("g.jpg", _picture(31, 17)[:, :, 0])):
        Image.fromarray(array).save(tmp_path / name, quality=90)
        with Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(read_image(tmp_path / name), np.asarray(image.convert("RGB")))


def test_alpha_is_composited_on_black(tmp_path: Path) -> None:
    rgba = np.dstack([_picture(), np.tile(np.linspace(0, 255, 40).astype(np.uint8), (24, 1))])
    Image.fromarray(rgba, "RGBA").save(tmp_path / "a.png")
    expected = np.rint(rgba[:, :, :3] * (rgba[:, :, 3:] / 255.0)).astype(np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)
    np.testing.assert_array_equal(read_image(rgba), expected)


def test_palette_with_transparency_is_black_where_transparent(tmp_path: Path) -> None:
    image = Image.new("P", (4, 3), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "p.png", transparency=0)
    pixels = read_image(tmp_path / "p.png")
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[2, 3].tolist() == [200, 100, 50]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_is_scaled_from_its_full_range(tmp_path: Path, suffix: str, channels: int) -> None:
    values = np.linspace(0, 65535, 12 * 9 * channels).astype(np.uint16).reshape(12, 9, channels)
    cv2.imwrite(str(tmp_path / f"d{suffix}"), values[:, :, ::-1] if channels == 3 else values)
    expected = np.rint(values / 65535.0 * 255.0).astype(np.uint8)
    pixels = read_image(tmp_path / f"d{suffix}")
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (12, 9, 3)))
    np.testing.assert_array_equal(read_image(values), pixels)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp"])
def test_truncated_files_are_refused_with_their_path(tmp_path: Path, suffix: str) -> None:
    buffer = io.BytesIO()
    format_ = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix[1:], suffix[1:].upper())
    Image.fromarray(_picture(200, 300)).save(buffer, format=format_)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(ImageError, match="cut"):
        read_image(path)


def test_jpeg_with_bytes_after_its_end_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(_picture()).save(buffer, format="JPEG")
    np.testing.assert_array_equal(read_image(buffer.getvalue() + b"\0" * 9), read_image(buffer.getvalue()))


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.jpg", "empty.png"):
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)
        with pytest.raises(ImageError, match=name):
            image_size(tmp_path / name)
    with pytest.raises(ImageError):
        read_image(tmp_path)
    for call in (read_image, image_size):
        with pytest.raises(DataNotFoundError, match="missing"):
            call(tmp_path / "missing.png")
    for wrong in (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 7), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ImageError):
            read_image(wrong)
    with pytest.raises(ImageError, match="mode 'F'"):
        read_image(Image.new("F", (3, 3)))


def test_rgb_arrays_are_not_copied() -> None:
    array = _picture()
    assert read_image(array) is array
    assert all(suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_shrunken_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    ramp = np.linspace(0, 255, 403)[:, None] + np.zeros((1, 900))
    whole = np.stack([ramp, ramp[::-1], ramp / 2], -1).astype(np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(whole).save(path, exif=exif, quality=95)
    pixels, size = read_shrunken(path, 100)
    assert size == image_size(path) == read_image(path).shape[:2]
    assert pixels.shape[:2] == tuple(-(-side // 4) for side in size)
    same = cv2.resize(read_image(path), pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(pixels.astype(int) - same).max() <= 6
    assert read_shrunken(path, 300)[0].shape == read_image(path).shape
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ImageError, match=r"truncated|not a readable image"):
        read_shrunken(path, 100)
