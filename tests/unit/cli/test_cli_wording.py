"""Messages of the Python API are said in the words of the command line."""

from __future__ import annotations

import pytest

from drivetrain.cli.wording import command, in_command_words, reworded_note

OPTIONS = ("resume", "overwrite", "work_dir", "model", "model_args", "batch_size", "name", "images", "precision")


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("Go on: resume=True; replace it: overwrite=True.", "Go on: --resume; replace it: --overwrite."),
        ("work_dir='my runs/x' is held.", "--work_dir 'my runs/x' is held."),
        ("resume=True, work_dir='runs/x'.", "--resume, --work_dir runs/x."),
        ("Give another name=..., or images=[...] to export.", "Give another --name ..., or --images [...] to export."),
        ("batch_size=0 must be at least 1.", "--batch_size 0 must be at least 1."),
        ("is set by train(precision=...); leave it out.", "is set by --precision ...; leave it out."),
        ("resume=False", "--resume false"),
        ("Engine(model, data) stays", "Engine(model, data) stays"),
        ("model_args={'a': 1} and surname='x' and a.name='x'", "model_args={'a': 1} and surname='x' and a.name='x'"),
        ("--model.name=3 stays", "--model.name=3 stays"),
    ],
)  # fmt: skip
def test_in_command_words(python: str, shell: str) -> None:
    assert in_command_words(python, OPTIONS) == shell


def test_without_options_nothing_changes() -> None:
    assert in_command_words("resume=True", ()) == "resume=True"


def test_commands_can_be_copied() -> None:
    assert command("drivetrain", "test", "--model", "my runs/1") == "drivetrain test --model 'my runs/1'"


def test_notes_say_switches_as_they_are_typed_and_leave_facts() -> None:
    note = "batch_size=8 was replaced by 1 by toy. Nothing to continue; train again with overwrite=True."
    assert reworded_note(note) == (
        "batch_size=8 was replaced by 1 by toy. Nothing to continue; train again with --overwrite."
    )
