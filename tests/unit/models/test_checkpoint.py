"""Inspecting checkpoints without executing them."""

from __future__ import annotations

import collections
import io
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from drivetrain.errors import CheckpointError, CheckpointNotFoundError
from drivetrain.models.checkpoint import read_facts, require_file


class Command:
    """Unpickling it runs a command of the operating system."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.witness}",))


def archive(path: Path, data: bytes, member: str = "archive/data.pkl") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(member, data)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_names_and_strings_are_read_and_nothing_runs(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "ran"
    counter = collections.OrderedDict(epoch=3)
    content = {"hyper_parameters": Command(witness), "state": counter, "again": [counter, collections.OrderedDict()]}
    facts = read_facts(archive(tmp_path / "model.ckpt", pickle.dumps(content, protocol=protocol)))
    assert facts.mentions("hyper_parameters")
    assert "collections.OrderedDict" in facts.names
    assert f"{os.system.__module__}.system" in facts.names
    assert not facts.mentions("hyper")
    assert not witness.exists()


def test_only_what_goes_beyond_plain_data_is_foreign(tmp_path: Path) -> None:
    content = {"a": collections.OrderedDict(b={1}), "c": Command(tmp_path / "ran")}
    facts = read_facts(archive(tmp_path / "model.ckpt", pickle.dumps(content, protocol=2)))
    assert facts.foreign_names == (f"{os.system.__module__}.system",)
    harmless = archive(tmp_path / "plain.ckpt", pickle.dumps(content["a"], protocol=2))
    assert read_facts(harmless).foreign_names == ()


def test_names_that_come_from_the_memo_are_read(tmp_path: Path) -> None:
    content = ["collections", "OrderedDict", collections.OrderedDict, collections.Counter]
    facts = read_facts(archive(tmp_path / "model.pt", pickle.dumps(content, protocol=4)))
    assert facts.names == {"collections.OrderedDict", "collections.Counter"}


def test_the_older_format_of_several_pickles_is_read(tmp_path: Path) -> None:
    stream = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"train_args": {}}, ["0"]):
        pickle.dump(part, stream, protocol=2)
    stream.write(bytes(range(256)))
    (tmp_path / "old.pth").write_bytes(stream.getvalue())
    assert read_facts(tmp_path / "old.pth").mentions("train_args")


def test_an_imported_name_is_recognised_by_its_beginning(tmp_path: Path) -> None:
    facts = read_facts(archive(tmp_path / "m.pt", pickle.dumps(collections.OrderedDict(), protocol=2)))
    assert facts.mentions("collections.")
    assert not facts.mentions("ollections.")


@pytest.mark.parametrize(
    "data", [b"", b"no pickle", b"\x80\x04\x95\xff", b"(", b"PK\x03\x04 broken", b"cposix\nsystem\n"]
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.ckpt").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.ckpt' is not a torch checkpoint.*\.ckpt, \.pt, \.pth"):
        read_facts(tmp_path / "model.ckpt")


def test_an_archive_without_a_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the archive has no data\.pkl"):
        read_facts(archive(tmp_path / "model.pt", b"x", "other.txt"))


def test_damaged_files_give_no_other_error(tmp_path: Path) -> None:
    whole = archive(tmp_path / "model.pt", pickle.dumps({"a": [1.0, "b"] * 20, "c": Path}, protocol=4)).read_bytes()
    plain = pickle.dumps({"a": [1.0, "b"] * 20, "c": Path}, protocol=2)
    generator = random.Random(0)
    outcomes = set()
    for number in range(600):
        data = bytearray(whole if number % 2 else plain)
        for _ in range(generator.randrange(1, 6)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        path = tmp_path / "damaged.pt"
        path.write_bytes(bytes(data[: generator.randrange(1, len(data) + 1)]))
        try:
            read_facts(path)
            outcomes.add("read")
        except CheckpointError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_a_missing_file_names_those_beside_it(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CheckpointNotFoundError, match=r"Did you mean 'best\.ckpt'\? Nothing was downloaded"):
        require_file(tmp_path / "bset.ckpt")
    with pytest.raises(CheckpointNotFoundError, match=r"In that folder: best\.ckpt\. Nothing was downloaded"):
        require_file(tmp_path / "quite_another.pt")
    with pytest.raises(FileNotFoundError, match=r"does not exist. Nothing was downloaded"):
        require_file(tmp_path / "no" / "folder.pt")
    require_file(tmp_path / "best.ckpt")
