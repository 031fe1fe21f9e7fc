"""Licences of models."""

from __future__ import annotations

import pytest

from drivetrain.models.catalog import ModelEntry
from drivetrain.models.licence import is_permissive, spelt


@pytest.mark.parametrize(
    ("text", "expected"),
    [("apache-2.0", "Apache-2.0"), ("MIT", "MIT"), (None, "unknown"), ("", "unknown"), ("apple-ascl", "apple-ascl")],
)
def test_licences_are_spelt_as_spdx_does(text: str | None, expected: str) -> None:
    assert spelt(text) == expected


@pytest.mark.parametrize(
    ("code", "weights", "expected"),
    [
        ("Apache-2.0", "MIT", True),
        ("Apache-2.0", "none", True),
        ("Apache-2.0", "unknown", False),
        ("Apache-2.0", "CC-BY-NC-4.0", False),
        ("AGPL-3.0", "none", False),
    ],
)
def test_code_and_weights_must_both_be_permissive(code: str, weights: str, expected: bool) -> None:
    entry = ModelEntry("x", "y", (), "a:b", code_licence=code, weights_licence=weights)
    assert is_permissive(entry) is expected
