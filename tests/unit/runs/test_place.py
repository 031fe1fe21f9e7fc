"""Whether a folder can be used as a work dir, checked without touching it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drivetrain.errors import ArtifactExistsError, WorkDirError
from drivetrain.runs.place import check_for_search, check_place, require_new
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.run import Run


def test_a_new_and_an_empty_folder_can_be(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new", tmp_path / "a" / "b"):
        check_place(folder, resume=False, overwrite=False)
    (tmp_path / "train.log").touch()
    check_place(tmp_path, resume=False, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["train.log"]


@pytest.mark.parametrize("below", ["", "a/b"])
def test_a_file_cannot_be(tmp_path: Path, below: str) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(WorkDirError, match=r"cannot be created: '.*/notes' is a file\. Give a folder\."):
        check_place(tmp_path / "notes" / below, resume=False, overwrite=False)


def test_a_folder_of_others_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))  # root may write everywhere
    with pytest.raises(WorkDirError, match=r"is not writable"):
        check_place(tmp_path / "new", resume=False, overwrite=False)
    assert asked == [(tmp_path, os.W_OK)]


def test_a_name_that_no_disk_takes_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(WorkDirError, match=r"work_dir=.*xxx.* cannot be created \(File name too long\)"):
        check_place(tmp_path / ("x" * 300), resume=False, overwrite=False)


def test_files_of_the_user_are_not_written_over_in_silence(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine: 1")
    (tmp_path / "checkpoints").mkdir()
    for check in (lambda: check_place(tmp_path, resume=False, overwrite=False), lambda: Run.open(tmp_path, quiet)):
        with pytest.raises(WorkDirError, match=r"holds no run, but a file 'config\.yaml' that training would replace"):
            check()
    run = Run.open(tmp_path, quiet, overwrite=True)
    run.begin({}, config={"max_epochs": 1})
    run.close("finished")
    assert "max_epochs: 1" in (tmp_path / "config.yaml").read_text()


def test_a_run_is_replaced_or_resumed_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(WorkDirError, match="holds no run to resume"):
        check_place(tmp_path, resume=True, overwrite=False)
    (tmp_path / "run.json").write_text('{"status": "failed"}')
    with pytest.raises(WorkDirError, match=r"already holds a run \(status: failed"):
        check_place(tmp_path, resume=False, overwrite=False)
    check_place(tmp_path, resume=True, overwrite=False)
    check_place(tmp_path, resume=False, overwrite=True)


def test_a_folder_that_a_training_holds_says_which(tmp_path: Path) -> None:
    run = Run.open(tmp_path, quiet)
    with pytest.raises(WorkDirError, match=r"is held by another training run in this process\. Wait for it to finish"):
        check_place(tmp_path, resume=False, overwrite=False)
    run.release()


def test_a_search_takes_no_folder_of_a_run(tmp_path: Path) -> None:
    check_for_search(tmp_path)
    (tmp_path / "run.json").touch()
    with pytest.raises(WorkDirError, match="holds a run, and a search needs a folder of its own"):
        check_for_search(tmp_path)


def test_an_artefact_is_new(tmp_path: Path) -> None:
    require_new(tmp_path / "onnx-fp32")
    with pytest.raises(
        ArtifactExistsError, match=r"exists\. Give another name=\.\.\., or overwrite=True to replace it"
    ):
        require_new(tmp_path)


quiet = SilentProgress()
