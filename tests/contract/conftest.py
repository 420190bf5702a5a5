"""Where the contract of the API server is tried: the fake, or the real one that CONTRACT_API_URL names.

The real one must speak plain HTTP without authentication (`kubectl proxy`) and have a CRD for fargateprofiles with
a status subresource, `status: {default: {observedGeneration: -1}}` and a schema that takes `SPEC` of the tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

import pytest

from tests.fakes.apiserver import ApiServer, serve


class HasUrl(Protocol):
    """What the contract may know of a server."""

    @property
    def url(self) -> str: ...


class _Real:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")


@pytest.fixture
def server() -> Iterator[HasUrl]:
    if url := os.environ.get("CONTRACT_API_URL"):
        yield _Real(url)
        return
    with serve(ApiServer()) as fake:
        yield fake
