"""Lets pytest explain failed contract checks."""

import pytest

pytest.register_assert_rewrite("drivetrain.testing")
