"""What the unit tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness import Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def b() -> Iterator[Bench]:
    """Give a test a whole controller between two worlds in memory, on a clock that it moves."""
    with bench() as made:
        yield made
