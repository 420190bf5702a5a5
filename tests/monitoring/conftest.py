"""Prometheus's programs for the tests here; where they can't be had the tests fail, they are never skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitoring.programs import find


@pytest.fixture(scope="session")
def programs() -> Path:
    """Return the folder with prometheus and promtool."""
    return find()
