"""Archives: of every kind that is read, and those that must not be unpacked."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from drivetrain import load_dataset
from drivetrain.data import archive
from drivetrain.errors import DataFormatError


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.xz"])
@pytest.mark.parametrize("inside", ["", "one/more"])
def test_a_tar_is_read_as_its_folder(class_folders: Path, tmp_path: Path, suffix: str, inside: str) -> None:
    place = tmp_path / f"animals{suffix}"
    with tarfile.open(place, f"w:{ {'.tar': '', '.xz': 'xz'}.get(place.suffix, 'gz') }") as packed:
        packed.add(class_folders, inside or ".")
    data = load_dataset(place)
    assert (len(data), data.label_names) == (33, ("cat", "dog", "emu"))


def _tar(path: Path, entry: tarfile.TarInfo, content: bytes = b"") -> Path:
    entry.size = len(content)
    with tarfile.open(path, "w") as packed:
        packed.addfile(entry, io.BytesIO(content))
    return path


def test_what_points_out_of_a_tar_is_refused_and_leaves_nothing(tmp_path: Path, own_cache: Path) -> None:
    with pytest.raises(DataFormatError, match="points out of the archive"):
        load_dataset(_tar(tmp_path / "a.tar", tarfile.TarInfo("../evil.txt"), b"x"))
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(DataFormatError, match="links and devices are not unpacked"):
        load_dataset(_tar(tmp_path / "b.tar", link))
    assert not list((own_cache / "archives").iterdir())


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_SMALL", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.jpg", bytes(1_000_000))
    with pytest.raises(DataFormatError, match="more than any set of images"):
        load_dataset(tmp_path / "bomb.zip")
    assert not list((own_cache / "archives").iterdir())


def test_a_damaged_tar_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataFormatError, match=r"a\.tar\.gz cannot be unpacked"):
        load_dataset(tmp_path / "a.tar.gz")
