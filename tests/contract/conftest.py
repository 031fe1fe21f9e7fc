"""One cache for all checks of the contract, so that nothing is read from or written to the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

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
