# ruff: noqa: TID253 - tests use the frameworks outright
"""Paths within a source: the home folder, and empty paths."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from drivetrain.errors import DataError
from drivetrain.images.sources import decode, expand_source


def test_the_home_is_written_as_a_tilde_alone_and_in_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.png")
    for source in ("~/a.png", ["~/a.png"], [Path("~/a.png")], ["~/*.png"], ["~"]):
        assert [path for path, _ in decode(source, strict=True)] == [str(tmp_path / "a.png")]


def write_video(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    for value in range(frames):
        writer.write(np.full((24, 32, 3), value, np.uint8))
    writer.release()
    return path


@pytest.fixture
def box(tmp_path: Path) -> Path:
    folder = tmp_path / "box"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / "sub" / "a.png")
    return folder


@pytest.mark.parametrize("name", ["._a.png", ".hidden/a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png"])
def test_what_systems_and_editors_leave_behind_is_no_picture(name: str, box: Path) -> None:
    (box / name).parent.mkdir(exist_ok=True)
    (box / name).write_bytes((box / "sub" / "a.png").read_bytes())
    skipped: list[tuple[str, str]] = []
    assert [path for path, _ in decode(box, skipped=skipped)] == [str(box / "sub" / "a.png")]
    assert skipped == []


def test_videos_in_a_folder_are_read_frame_by_frame(box: Path) -> None:
    video = write_video(box / "clip.avi", 3)
    (box / "broken.avi").write_bytes(b"RIFF" + bytes(2000))
    skipped: list[tuple[str, str]] = []
    paths = [path for path, _ in decode(box, skipped=skipped)]
    assert paths == [*(f"{video}#{number}" for number in range(3)), str(box / "sub" / "a.png")]
    assert [path for path, _ in skipped] == [str(box / "broken.avi")]
    assert "is not a readable video" in skipped[0][1]


@pytest.mark.parametrize("name", ["broken.avi", "gone.avi", "gone.avif", "gone.png", "empty", "no*match.png"])
def test_in_a_series_what_cannot_be_read_is_left_out_and_named(name: str, box: Path) -> None:
    (box / "broken.avi").write_bytes(b"RIFF" + bytes(2000))
    (box / "empty").mkdir()
    picture = box / "sub" / "a.png"
    skipped: list[tuple[str, str]] = []
    answers = [path for path, _ in decode([picture, box / name, picture], skipped=skipped)]
    assert answers == [str(picture), str(picture)]
    assert [path for path, _ in skipped] == [str(box / name)]
    with pytest.raises(DataError, match=name.partition("*")[0]):
        list(decode([picture, box / name, picture], strict=True))


def test_an_empty_text_among_others_is_not_the_current_folder(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(box)
    Image.new("RGB", (6, 4)).save(box / "only.png")
    skipped: list[tuple[str, str]] = []
    found = [path for path, _ in decode([str(box / "only.png"), "", " "], skipped=skipped)]
    assert found == [str(box / "only.png")]
    assert [path for path, _ in skipped] == ["", " "]
    assert all("is empty; is a variable unset?" in reason for _, reason in skipped)


def test_open_files_are_images_and_not_lines(box: Path) -> None:
    picture = box / "open.png"
    Image.new("RGB", (6, 4), (200, 0, 0)).save(picture)
    with picture.open("rb") as file:
        (item,) = expand_source(file)
    assert item.path == str(picture)
    assert item.read().shape == (4, 6, 3)
    (item,) = expand_source([io.BytesIO(picture.read_bytes())])
    assert (item.path, item.read()[0, 0].tolist()) == ("", [200, 0, 0])
    with pytest.raises(DataError, match="gives str when it is read, not bytes"):
        expand_source(io.StringIO("text"))


def test_tensors_of_pixels_are_images_and_others_are_refused_with_what_to_do() -> None:
    torch = pytest.importorskip("torch")
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    tensor = torch.from_numpy(pixels)
    first = tensor.permute(2, 0, 1)
    for source in (tensor, first, tensor[None], first[None], [first, tensor][:1]):
        assert all(np.array_equal(image, pixels) for _, image in decode(source))
    assert len(list(decode(torch.stack([first, first])))) == 2
    with pytest.raises(DataError, match=r"3x5x7 of torch\.float32.*by 255"):
        list(decode(first.float() / 255))
    with pytest.raises(DataError, match=r"tensor 5x7; allowed: \(3, H, W\)"):
        list(decode(tensor[:, :, 0]))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_table_gives_its_column_of_paths(library: str, tmp_path: Path) -> None:
    frames = pytest.importorskip(library)
    paths = [str(tmp_path / name) for name in ("b.png", "a.png")]
    for path in paths:
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(path)
    for table in (frames.DataFrame({"label": ["x", "y"], "Path": paths}), frames.DataFrame({"img": paths})["img"]):
        assert [path for path, _ in decode(table, strict=True)] == paths
    with pytest.raises(DataError, match=r"columns 'a', 'b', none of which names the images.*one of: path, image"):
        list(expand_source(frames.DataFrame({"a": [1], "b": [2]})))
