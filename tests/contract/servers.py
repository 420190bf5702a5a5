"""The two API servers that the contract is tried on, seen as any client sees them: an address and credentials."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import urllib3

from tests.e2e.controlplane import ControlPlane
from tests.fakes.apiserver import WHO, ApiServer, Server, kubeconfig
from tests.waiting import SOON, wait_for

MERGE_PATCH = "application/merge-patch+json"
NAMESPACES = "contract-"
PROFILES = "/apis/jicomusic.com/v1/fargateprofiles"


class ServerUnderTest(Protocol):
    """What the contract may know of a server; `kubeconfig` is how kube.py reaches it."""

    @property
    def url(self) -> str: ...

    @property
    def headers(self) -> dict[str, str]: ...

    @property
    def ca(self) -> str | None: ...

    @property
    def kubeconfig(self) -> Path: ...

    @property
    def token(self) -> str:
        """The token of the user `admin`, who may get everything."""

    @property
    def bookmarked_seconds(self) -> int:
        """The shortest watch that has its last bookmark surely."""

    def lacking(self, *permissions: tuple[str, str]) -> dict[str, str]:
        """Return the headers of somebody who lacks these: verb and resource."""

    def restart(self) -> None:
        """Make it forget what a watch may resume from; objects, address and credentials stay."""

    def snapshot(self) -> Callable[[], None]:
        """Take down its state; return what sets it back to that."""


class InMemory:
    """The fake behind HTTP."""

    bookmarked_seconds = 1
    token = "of-admin"

    def __init__(self, api: ApiServer, server: Server, folder: Path) -> None:
        self._api = api
        api.users[self.token] = {"username": "admin", "uid": "admin", "groups": ["system:masters"]}
        api.readers.add(("system:masters", "/metrics"))
        self.url = server.url
        self.headers: dict[str, str] = {}
        self.ca = None
        self.kubeconfig = kubeconfig(server.url, folder / "kubeconfig")

    def lacking(self, *permissions: tuple[str, str]) -> dict[str, str]:
        for verb, resource in permissions:
            self._api.forbid(verb, resource)
        return self.headers

    def restart(self) -> None:
        self._api.restart()

    def snapshot(self) -> Callable[[], None]:
        return partial(self._api.set_back, self._api.resource_version)


class Real:
    """A kube-apiserver over TLS with a token, and crd.yaml in it."""

    bookmarked_seconds = 3  # the last one is due 2 s before the end, give or take the second in which it looks

    def __init__(self, plane: ControlPlane, crd: Path) -> None:
        self._plane = plane
        self.url, self.ca, self.kubeconfig = plane.url, str(plane.ca), plane.kubeconfig
        self.token = plane.token
        self.headers = {"Authorization": f"Bearer {plane.token}"}
        self._pool = urllib3.PoolManager(retries=False, timeout=10, ca_certs=self.ca, headers=self.headers)
        applied = plane.kubectl("apply", "-f", str(crd))
        assert applied.returncode == 0, applied.stderr
        wait_for(lambda: self._has_defaults() and self._serves(), SOON, "the API server serves crd.yaml")

    def lacking(self, *_permissions: tuple[str, str]) -> dict[str, str]:
        return self.headers | {"Impersonate-User": WHO}  # who has none at all

    def restart(self) -> None:
        """Compact etcd and restart it: otherwise the API server answers from its own memory."""
        self._plane.stop_apiserver()
        self._plane.compact()
        self._plane.start_apiserver()
        wait_for(self._serves, SOON, "the API server lists and watches again")

    def snapshot(self) -> Callable[[], None]:
        taken = self._plane.snapshot()

        def set_back() -> None:
            self._plane.restore(taken)
            wait_for(self._serves, SOON, "the API server lists and watches again")

        return set_back

    def _has_defaults(self) -> bool:
        """Tell whether crd.yaml is in use: it takes a moment, and another test may have put another CRD there."""
        spec = {"podExecutionRoleArn": "arn:aws:iam::123456789012:role/pods", "selectors": [{"namespace": "web"}]}
        body = {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": "web"}, "spec": spec}
        path = f"{PROFILES.rpartition('/')[0]}/namespaces/default/fargateprofiles?dryRun=All"
        answer = self._pool.request("POST", self.url + path, body=json.dumps(body))
        return answer.status == 201 and "deletionPolicy" in answer.json()["spec"] and "status" in answer.json()

    def _serves(self) -> bool:
        """Tell whether it answers lists and watches: just after a start it refuses the latter with 429."""
        watch = self._pool.request("GET", f"{self.url}{PROFILES}?watch=1", preload_content=False)
        watch.close()
        return watch.status == 200 and self._pool.request("GET", self.url + PROFILES).status == 200

    def clear(self) -> None:
        """Remove what the tests left: other tests on this control plane see every object of every namespace."""
        for item in self._pool.request("GET", self.url + PROFILES).json()["items"]:
            metadata = item["metadata"]
            if metadata["namespace"].startswith(NAMESPACES):
                self._remove(f"{self.url}{PROFILES.rpartition('/')[0]}/namespaces/{metadata['namespace']}", metadata)

    def _remove(self, namespace: str, metadata: dict[str, Any]) -> None:
        path = f"{namespace}/fargateprofiles/{metadata['name']}"
        release = json.dumps({"metadata": {"finalizers": None}})
        self._pool.request("PATCH", path, body=release, headers=self.headers | {"Content-Type": MERGE_PATCH})
        self._pool.request("DELETE", path)
