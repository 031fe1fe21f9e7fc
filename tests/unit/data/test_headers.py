"""Sizes from the first bytes of a file: what Pillow says, or left to Pillow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from drivetrain.data.headers import MISSING, Header, read_header
from drivetrain.data.quick_header import quick_size

SIZE = (37, 53)
PIXELS = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


def encoded(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    values = Image.Exif()
    values[0x0112] = orientation
    return values.tobytes()


def texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<x/>")
    return info


PLAIN = {
    "jpeg": encoded("JPEG"),
    "grey jpeg": encoded("JPEG", "L"),
    "cmyk jpeg": encoded("JPEG", "CMYK"),
    "progressive jpeg": encoded("JPEG", progressive=True),
    "jpeg with a profile and a comment": encoded("JPEG", icc_profile=b"p" * 900, comment=b"hello"),
    "png": encoded("PNG"),
    "palette png": encoded("PNG", "P"),
    "16 bit png": encoded("PNG", "I;16") if "I;16" in Image.MODES else encoded("PNG", "L"),
}
LEFT_TO_PILLOW = {
    "turned jpeg": encoded("JPEG", exif=exif(6)),
    "turned png": encoded("PNG", exif=exif(8)),
    "png with texts": encoded("PNG", pnginfo=texts()),
    "webp": encoded("WEBP"),
    "cut jpeg": encoded("JPEG")[:-9],
    "cut png": encoded("PNG")[:-9],
    "jpeg without pixels": encoded("JPEG")[:100] + b"\xff\xd9",
    "png of a wrong checksum": encoded("PNG").replace(b"IHDR\0\0\0\x35", b"IHDR\0\0\0\x36"),
    "words": b"no image at all",
    "nothing": b"",
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_files_are_answered_from_their_first_bytes(name: str, tmp_path: Path) -> None:
    content = PLAIN[name]
    assert quick_size(content[:8192], content[-4096:]) == SIZE
    (tmp_path / "a").write_bytes(content)
    header = read_header(str(tmp_path / "a"))
    assert isinstance(header, Header)
    assert (header.size, header.orientation, header.mark[0]) == (SIZE, 1, len(content))


@pytest.mark.parametrize("name", LEFT_TO_PILLOW)
def test_all_else_is_left_to_pillow(name: str, tmp_path: Path) -> None:
    content = LEFT_TO_PILLOW[name]
    assert quick_size(content[:8192], content[-4096:]) is None
    (tmp_path / "a").write_bytes(content)
    header = read_header(str(tmp_path / "a"))
    if name.startswith("turned"):
        assert isinstance(header, Header)
        assert header.size == SIZE[::-1]
    elif name in ("webp", "png with texts", "cut png"):  # Pillow decodes a PNG file that lacks its end alone
        assert isinstance(header, Header)
        assert header.size == SIZE
    else:
        assert "cannot be read" in str(header)


@pytest.mark.parametrize("name", PLAIN)
def test_both_ways_give_the_same_header(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(PLAIN[name])
    quick = read_header(str(tmp_path / "a"))
    monkeypatch.setattr("drivetrain.data.headers.quick_size", lambda head, tail: None)
    assert read_header(str(tmp_path / "a")) == quick
    assert read_header(str(tmp_path / "b")) == MISSING


def test_images_that_pillow_calls_too_large_are_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert quick_size(PLAIN["png"], PLAIN["png"][-64:]) is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as some packages leave it
    assert quick_size(PLAIN["png"], PLAIN["png"][-64:]) == SIZE


@pytest.mark.parametrize("name", PLAIN)
def test_any_change_of_the_first_bytes_gives_the_answer_of_pillow_or_none(name: str) -> None:
    content = bytearray(PLAIN[name])
    random = np.random.default_rng(1)
    for place in random.integers(0, 260, 300):
        changed = bytes([*content[:place], int(random.integers(256)), *content[place + 1 :]])
        size = quick_size(changed[:8192], changed[-4096:])
        if size is not None:
            with Image.open(io.BytesIO(changed)) as image:
                assert image.size == size[::-1]
