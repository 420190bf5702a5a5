"""The control plane that the end-to-end tests share. If none can be had they fail; they are never skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.controlplane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run etcd and kube-apiserver for the session."""
    with ControlPlane(tmp_path_factory.mktemp("controlplane")) as running:
        yield running
