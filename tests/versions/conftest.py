"""Tests of engines whose framework is in none of the usual environments: ``make test-versions`` makes one for them."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("getitune") else ["test_getitune.py"]
