"""Messages of the Python API are said in the words of the command line."""

from __future__ import annotations

import inspect

import pytest

from drivetrain.cli.main import own_options
from drivetrain.cli.wording import OF_DATA, command, in_command_words, reworded_note, spellings
from drivetrain.data import load_dataset
from drivetrain.errors import either

NAMES = (
    "resume",
    "overwrite",
    "work_dir",
    "model",
    "model_args",
    "batch_size",
    "name",
    "images",
    "precision",
    "seed",
    "image_size",
)
OPTIONS = {**{name: f"--{name}" for name in NAMES}, "format": "--data.format"}


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("Go on: resume=True; replace it: overwrite=True.", "Go on: --resume; replace it: --overwrite."),
        ("work_dir='my runs/x' is held.", "--work_dir 'my runs/x' is held."),
        ("resume=True, work_dir='runs/x'.", "--resume, --work_dir runs/x."),
        ("Give another name=..., or images=[...] to export.", "Give another --name ..., or --images [...] to export."),
        ("batch_size=0 must be at least 1.", "--batch_size 0 must be at least 1."),
        ("is set by train(precision=...); leave it out.", "is set by --precision; leave it out."),
        ("resume=False", "--resume false"),
        ("Engine(model, data) stays", "Engine(model, data) stays"),
        ("surname='x' and a.name='x'", "surname='x' and a.name='x'"),
        ("Give model_args={'a': 1} or model_args={}.", "Give --model.a 1 or --model_args {}."),
        ("engine_args={'mosaic': 'no', 'mixup': 1}", "engine_args={'mosaic': 'no', 'mixup': 1}"),
        ("model_args={'a': 1, 'b': 2}", "--model_args '{'\"'\"'a'\"'\"': 1, '\"'\"'b'\"'\"': 2}'"),
        ("engine_args: mosaic is set by it.", "--engine_args.mosaic is set by it."),
        ("model_args: depth='x y' is not", "--model.depth 'x y' is not"),
        ("space: learning_rate has no key 'lo'", "--space.learning_rate has no key 'lo'"),
        ("space: the model has no option", "space: the model has no option"),
        ("Give batch_size too.", "Give --batch_size too."),
        ("The batch_size='x' of `batch_size` and a.batch_size", "The --batch_size x of `batch_size` and a.batch_size"),
        ("Leave seed out, or leave out precision.", "Leave --seed out, or leave out --precision."),
        ("images: 'x' is not there; images matter", "--images: 'x' is not there; images matter"),
        ("image_size=(48, 32)", "--image_size '[48, 32]'"),
        ("seed=inf, seed=1e+25", "--seed inf, --seed 1e+25"),
        ("or name the format: format=...", "or name the format: --data.format ..."),
        (f"Give them: {either('Engine(model, data)', '--data FOLDER')}.", "Give them: --data FOLDER."),
        ("--model.name=3 stays", "--model.name=3 stays"),
    ],
)  # fmt: skip
def test_in_command_words(python: str, shell: str) -> None:
    assert in_command_words(python, OPTIONS) == shell


def test_without_options_nothing_changes() -> None:
    assert in_command_words("resume=True", {}) == "resume=True"


def test_the_options_of_data_are_known() -> None:
    taken = {name for name in inspect.signature(load_dataset).parameters if name not in ("source", "task", "seed")}
    assert set(OF_DATA) == taken
    assert spellings(own_options("train"))["normal"] == "--data.normal"
    assert spellings(own_options("data"))["normal"] == "--normal"
    assert spellings(own_options("train"))["format"] == "--data.format"
    assert spellings(own_options("export"))["format"] == "--format"


def test_commands_can_be_copied() -> None:
    assert command("drivetrain", "test", "--model", "my runs/1") == "drivetrain test --model 'my runs/1'"


def test_notes_say_switches_as_they_are_typed_and_leave_facts() -> None:
    note = "batch_size=8 was replaced by 1 by toy. Nothing to continue; train again with overwrite=True."
    assert reworded_note(note) == (
        "batch_size=8 was replaced by 1 by toy. Nothing to continue; train again with --overwrite."
    )
