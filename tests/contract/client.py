"""A user of an API server under test, in raw HTTP: no client library between the contract and the server."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3

from tests.contract.servers import NAMESPACES, ServerUnderTest
from tests.fakes.apiserver import crd_schema, defaulted

Obj = dict[str, Any]
MERGE = "application/merge-patch+json"
HOLD = "example.com/hold"
DEFAULTS: Obj = defaulted({}, crd_schema()["properties"]["spec"])
PENDING = {
    "type": "Ready",
    "status": "Unknown",
    "reason": "Pending",
    "message": "No operator has looked at this object yet.",
}
UNSEEN: Obj = {"observedGeneration": -1, "conditions": [PENDING]}  # the status that crd.yaml gives to what is new
SPEC: Obj = {
    **DEFAULTS,
    "clusterName": "prod",
    "podExecutionRoleArn": "arn:aws:iam::123456789012:role/pods",
    "subnets": ["subnet-0a1b2c3d4e5f60718"],
    "selectors": [{"namespace": "web"}],
}
OTHER_SPEC: Obj = {**SPEC, "selectors": [{"namespace": "api"}]}


class Answer(NamedTuple):
    status: int
    body: Obj

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def generation(self) -> int:
        return int(self.body["metadata"]["generation"])

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.body.get("reason", "")


class Client:
    """Raw HTTP against one namespace; `path` says how a resource is reached."""

    def __init__(self, server: ServerUnderTest, namespace: str) -> None:
        self.server, self.namespace = server, namespace
        self._pool = urllib3.PoolManager(retries=False, timeout=10, ca_certs=server.ca)

    def path(self, group: str, plural: str, name: str = "", sub: str = "") -> str:
        return "/".join(filter(None, [f"/apis/{group}/v1/namespaces/{self.namespace}/{plural}", name, sub]))

    def profile(self, name: str = "", sub: str = "") -> str:
        return self.path("jicomusic.com", "fargateprofiles", name, sub)

    def lease(self, name: str = "") -> str:
        return self.path("coordination.k8s.io", "leases", name)

    def events(self) -> str:
        return self.path("events.k8s.io", "events")

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        raw = None if body is None else json.dumps(body)
        url = self.server.url + path + ("?" + urlencode(query) if query else "")
        sent = self.server.headers | {"Content-Type": content_type} | dict(headers or {})
        response = self._pool.request(method, url, body=raw, headers=sent)
        try:
            return Answer(response.status, response.json())
        except ValueError:  # a real server answers an unknown path in plain text
            return Answer(response.status, {})

    def create(self, name: str, **parts: Any) -> Answer:
        return self.call("POST", self.profile(), profile(name, **parts))

    def get(self, name: str) -> Answer:
        return self.call("GET", self.profile(name))

    def patch(self, name: str, patch: Any, sub: str = "", content_type: str = MERGE) -> Answer:
        return self.call("PATCH", self.profile(name, sub), patch, content_type)

    def put(self, name: str, obj: Obj, sub: str = "") -> Answer:
        return self.call("PUT", self.profile(name, sub), obj)

    def delete(self, name: str, **preconditions: str) -> Answer:
        return self.call("DELETE", self.profile(name), {"preconditions": preconditions})

    def version(self) -> str:
        """Return a version from which everything that comes later is new."""
        return self.call("GET", self.profile()).version

    @contextlib.contextmanager
    def watch(self, path: str = "", patience: float = 10, **query: Any) -> Iterator[Iterator[Obj]]:
        url = f"{self.server.url}{path or self.profile()}?watch=1&{urlencode(query)}"
        response = self._pool.request("GET", url, headers=self.server.headers, preload_content=False, timeout=patience)
        try:
            assert response.status == 200, response.data
            yield _events(response)
        finally:
            response.close()

    def seen(self, count: int, resource_version: str, **query: Any) -> list[tuple[str, str]]:
        """Return type and name of the first events after a version."""
        with self.watch(resourceVersion=resource_version, **query) as events:
            return [(event["type"], event["object"]["metadata"]["name"]) for event in islice(events, count)]


def _events(response: urllib3.BaseHTTPResponse) -> Iterator[Obj]:
    rest = b""
    for chunk in response.read_chunked():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from map(json.loads, lines)


def profile(name: str, spec: Obj = SPEC, status: Obj | None = None, **metadata: Any) -> Obj:
    head = {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": name, **metadata}}
    return {**head, "spec": spec, **({"status": status} if status else {})}


def in_new_namespace(server: ServerUnderTest) -> Client:
    """Return a client in a namespace that is all its own: a real server keeps what others left."""
    client = Client(server, f"{NAMESPACES}{uuid.uuid4().hex[:8]}")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": client.namespace}}
    assert client.call("POST", "/api/v1/namespaces", body).status == 201
    return client
