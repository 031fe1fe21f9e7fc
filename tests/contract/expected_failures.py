"""The models that keep the contract in this repository, and the checks that they are known not to pass.

``docs/support-matrix.md`` is made from this: ``python -m drivetrain.testing.matrix``.
"""

from __future__ import annotations

from drivetrain.errors import UnsupportedError
from drivetrain.testing import Expectation, Never

# name of the case -> (engine, model)
CASES: dict[str, tuple[str, str]] = {
    "toy": ("toy", "toy:linear"),
    "lightning": ("lightning", "timm:mobilenetv3_small_050"),
}

# (name of the case, name of the check without "test_") -> why it fails
EXPECTED: dict[tuple[str, str], Expectation] = {
    ("toy", "export[onnx-fp32]"): Never("An example builds one graph; OpenVINO's.", raises=UnsupportedError),
}


def expected(case: str) -> dict[str, Expectation]:
    """The expected failures of a case, by check."""
    assert case in CASES, f"{case!r} must be one of the cases in expected_failures.py"
    return {check: reason for (name, check), reason in EXPECTED.items() if name == case}
