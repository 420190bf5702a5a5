"""What the unit tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness import Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def b() -> Iterator[Bench]:
    """Give a test a whole controller between two worlds in memory, on a clock that it moves."""
    with bench() as made:
        yield made


@pytest.fixture
def a_machine_without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the kubeconfig and the AWS configuration of whoever runs the tests."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
