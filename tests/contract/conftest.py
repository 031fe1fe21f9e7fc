"""One cache for all contract checks, so that nothing is read from or written to the user's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from expected_failures import TRACE_ONLY

from drivetrain.engine import Engine
from drivetrain.export import conversion

pytest.register_assert_rewrite("drivetrain.testing")


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("DRIVETRAIN_CACHE")
    os.environ["DRIVETRAIN_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["DRIVETRAIN_CACHE"]
    else:
        os.environ["DRIVETRAIN_CACHE"] = before


@pytest.fixture
def export_without_the_trace(monkeypatch: pytest.MonkeyPatch) -> Callable[[Engine, str, str], None]:
    """``export_without_the_trace(engine, framework, model)``: by ``torch.export`` alone, or as listed in the table."""

    def export(engine: Engine, framework: str, model: str) -> None:
        monkeypatch.setattr(conversion, "WAYS", ("torch.export",))
        why = TRACE_ONLY.get((framework, model))
        with pytest.raises(why.raises) if why is not None else nullcontext():
            assert engine.export(name="by-torch-export").parity["passed"] is True

    return export
