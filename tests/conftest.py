"""The control plane that tests share, and who asks for it.

tests/e2e always needs it; tests/contract tries the in-memory API server alone, unless `--control-plane` is given.
If none can be had such tests fail; they are never skipped.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.controlplane import ControlPlane

# A busy machine is no failure: speed is measured in benchmarks only.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make e2e` ask for the real API server; the fast suite must do without."""
    parser.addoption("--control-plane", action="store_true", help="try tests/contract on a real kube-apiserver too")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count a test's time without its fixtures where one of them makes the control plane: a cold build takes long."""
    for item in items:
        if "control_plane" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(func_only=True))


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Fail a test that leaves signals blocked or caught: what a later one starts would inherit that, and never end."""
    ends = (signal.SIGTERM, signal.SIGINT)
    blocked, caught = signal.pthread_sigmask(signal.SIG_BLOCK, ()), [signal.getsignal(each) for each in ends]
    yield
    left = signal.pthread_sigmask(signal.SIG_SETMASK, blocked), [signal.getsignal(each) for each in ends]
    for each, handler in zip(ends, caught, strict=True):
        signal.signal(each, handler)
    assert left == (blocked, caught), "signals are as they were before the test"


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run etcd and kube-apiserver for the session."""
    from tests.e2e.controlplane import ControlPlane  # noqa: PLC0415 - a third of a second that the fast suite saves

    with ControlPlane(tmp_path_factory.mktemp("controlplane")) as running:
        yield running
