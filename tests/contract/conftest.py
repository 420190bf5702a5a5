"""Where the contract is tried: always on the fake; with `--control-plane`, as in `make e2e`, on a real one too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.client import Client, in_new_namespace
from tests.contract.servers import InMemory, Real, ServerUnderTest
from tests.fakes.apiserver import CRD_FILE, ApiServer, serve


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every test of the contract each server that was asked for."""
    if "server" in metafunc.fixturenames:
        kinds = ["fake", "real"] if metafunc.config.getoption("control_plane") else ["fake"]
        metafunc.parametrize("server", kinds, indirect=True)


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest) -> Real:
    return Real(request.getfixturevalue("control_plane"), CRD_FILE)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerUnderTest]:
    """Give the test its server; the real one keeps nothing of it but namespaces."""
    if request.param == "fake":
        api = ApiServer()
        with serve(api) as listener:
            yield InMemory(api, listener, tmp_path)
        return
    shared: Real = request.getfixturevalue("real")
    yield shared
    shared.clear()


@pytest.fixture
def client(server: ServerUnderTest) -> Client:
    return in_new_namespace(server)
