"""Let pytest explain failed checks of the contract."""

import pytest

pytest.register_assert_rewrite("drivetrain.testing")
