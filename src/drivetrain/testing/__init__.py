"""Tools for testing an engine: the contract suite, toy data, and a toy engine to read first.

Put this into the ``conftest.py`` of a test suite that uses it, before anything else, so that pytest explains failures::

    pytest.register_assert_rewrite("drivetrain.testing")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivetrain.machine.packages import import_object

if TYPE_CHECKING:
    from drivetrain.testing.contract import EngineContract
    from drivetrain.testing.disk import FailingDisk
    from drivetrain.testing.expectations import Expectation, Never, NotImpl, NotYet

_PUBLIC = {
    "EngineContract": "drivetrain.testing.contract:EngineContract",
    "Expectation": "drivetrain.testing.expectations:Expectation",
    "FailingDisk": "drivetrain.testing.disk:FailingDisk",
    "Never": "drivetrain.testing.expectations:Never",
    "NotImpl": "drivetrain.testing.expectations:NotImpl",
    "NotYet": "drivetrain.testing.expectations:NotYet",
}

__all__ = ["EngineContract", "Expectation", "FailingDisk", "Never", "NotImpl", "NotYet"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'drivetrain.testing' has no attribute {name!r}")
    value = import_object(_PUBLIC[name])
    globals()[name] = value
    return value
