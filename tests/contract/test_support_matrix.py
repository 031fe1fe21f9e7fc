"""The table of expected failures is valid, and the page generated from it is up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from expected_failures import CASES, EXPECTED, expected

from drivetrain.models.registry import spec_by_name
from drivetrain.testing import EngineContract, NotImpl, matrix, toy

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_fresh() -> None:
    written = (ROOT / "docs" / "support-matrix.md").read_text(encoding="utf-8")
    made = matrix.from_file(ROOT / "tests" / "contract" / "expected_failures.py")
    assert written == made, "write it again with: python -m drivetrain.testing.matrix"


def test_every_row_names_a_case_and_a_check() -> None:
    checks = {name.removeprefix("test_") for name in dir(EngineContract) if name.startswith("test_")}
    for case, check in EXPECTED:
        assert case in CASES
        assert check.partition("[")[0] in checks, check
    for engine, model in CASES.values():
        assert engine == toy.SPEC.name or spec_by_name(engine)
        assert model


def test_an_unknown_case_is_refused() -> None:
    with pytest.raises(AssertionError, match="must be one of the cases"):
        expected("lightening")


def test_the_page_tells_what_fails_and_why() -> None:
    page = matrix.matrix(
        {"one": ("lightning", "timm:a"), "two": ("openvino", "model.xml")},
        {
            ("one", "warm_start_across_labels"): NotImpl("Because.", raises=ValueError),
            ("one", "export[onnx-fp32]"): NotImpl("Later.", raises=ValueError),
        },
    )
    assert "| warm start across labels | not yet | yes |" in page
    assert "| export | yes, without onnx-fp32 | - |" in page
    assert "- **one**, warm start across labels: not yet. Because." in page


SUITE = """
from drivetrain.testing import EngineContract, Never, toy
class TestStrict(EngineContract):
    spec = toy.SPEC
    model_name = "toy:linear"
    expected_failures = {{"can_be_named_outright": Never("It works.", raises={error})}}
    def test_can_be_named_outright(self):
        {body}
"""


@pytest.mark.parametrize(
    ("error", "body", "outcome"),
    [
        ("ValueError", "raise ValueError", "1 xfailed"),
        ("ValueError", "raise TypeError", "1 failed"),
        ("ValueError", "pass", "1 failed"),
    ],
)
def test_an_expected_failure_must_come_and_be_of_its_kind(tmp_path: Path, error: str, body: str, outcome: str) -> None:
    (tmp_path / "test_strict.py").write_text(SUITE.format(error=error, body=body))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "can_be_named", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert outcome in done.stdout, done.stdout
