"""Arguments of a wrong type are refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivetrain.engine.argument_types import require_types
from drivetrain.engine.verbs import known_options
from drivetrain.errors import OptionError, OutOfMemoryError


def verb(
    source: Any = None,
    *,
    count: int | None = None,
    share: float | None = None,
    name: str | None = None,
    place: str | Path | None = None,
    many: Sequence[str | Path] | None = None,
    things: Sequence[Any] | None = None,
    named: Mapping[str, Any] | None = None,
    either: int | Sequence[int] | None = None,
    switch: bool = False,
) -> None:
    """Takes one of each kind."""


@pytest.mark.parametrize(
    "given",
    [
        {
            "count": 3,
            "share": 1,
            "name": "x",
            "place": "x",
            "many": ["x"],
            "things": {"x": 1},
            "named": {},
            "either": 1,
        },
        {"count": np.int64(3), "share": np.float32(0.5), "place": Path("x"), "many": (), "either": [0], "switch": True},
        {"count": None, "switch": np.bool_(True), "things": 3, "share": "half", "either": 0.5},
    ],
)
def test_what_the_annotations_allow_passes(given: dict[str, Any]) -> None:
    require_types(verb, [object()], given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"count": "3"}, "count='3' must be a whole number."),
        ({"count": True}, "count=True must be a whole number."),
        ({"count": 1.0}, "count=1.0 must be a whole number."),
        ({"name": 3}, "name=3 must be a text."),
        ({"place": 3}, "place=3 must be a path."),
        ({"place": " "}, "place=' ' is empty; is a variable unset? Leave place out, or give a value."),
        ({"many": "x"}, "many='x' must be a list."),
        ({"named": [1]}, "named=[1] must be a mapping from names to values."),
        ({"switch": "no"}, "switch='no' must be true or false."),
        ({"switch": 1}, "switch=1 must be true or false."),
    ],
)
def test_what_they_do_not_allow_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        require_types(verb, [], given)
    assert str(caught.value) == said


def test_positional_arguments_are_looked_at_too() -> None:
    with pytest.raises(OptionError, match="count='many' must be a whole number"):
        require_types(_positional, ["many"], {})


def _positional(count: int) -> None:
    """Takes it by its place."""


def test_want_of_memory_is_an_error_with_advice() -> None:
    def train(batch_size: int = 1, image_size: int = 1, adaptive_bs: str = "none") -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    with pytest.raises(OutOfMemoryError) as caught:
        known_options(train)()
    assert isinstance(caught.value, MemoryError)
    assert str(caught.value) == (
        "Memory ran out in train: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 "
        "bytes. Give a smaller batch_size or a smaller image_size, or adaptive_bs='safe'."
    )


def test_other_errors_stay_what_they_are() -> None:
    def train() -> None:
        raise RuntimeError("a fault of the framework")

    with pytest.raises(RuntimeError, match=r"^a fault of the framework$"):
        known_options(train)()
