"""FargateProfile objects on the real API server, as many users at once make and see them, each deed with its time.

    Objects --create, delete--> kube-apiserver --one watch--> when each was first Ready, when each was gone

Times are seconds of `time.time()`: when a request was sent, when an event of the watch was read.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from tests.e2e.controlplane import ControlPlane

PATH = "/apis/jicomusic.com/v1"
USERS = 8  # who write at once
TIMEOUT_SECONDS = 60.0
WATCH_SECONDS, MOST_WATCHES = 86_400, 10_000
NAMESPACES = tuple(f"bench-{number}" for number in range(10))

Object = dict[str, Any]
Key = tuple[str, str]  # (namespace, name)


def manifest(name: str, cluster: str, namespace: str, role: str, subnets: Sequence[str]) -> Object:
    """Return an object that every candidate takes; it shares no pods with another."""
    spec = {
        "clusterName": cluster,
        "podExecutionRoleArn": role,
        "subnets": [*subnets],
        "selectors": [{"namespace": name}],
        "tags": {"team": "bench"},
    }
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": spec}


def key_of(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


class Objects:
    """What users do and see; `ready` and `gone` are filled by the watch."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane, self._mine = plane, threading.local()
        self.ready: dict[Key, float] = {}
        self.gone: dict[Key, float] = {}

    def create(self, *objs: Object) -> dict[Key, float]:
        """Create objects, several at once; return when the request of each was sent."""
        return self._each(self._create, objs)

    def delete(self, *keys: Key) -> dict[Key, float]:
        """Ask for the deletion of objects; return when the request of each was sent."""
        return self._each(self._delete, keys)

    def clean(self) -> None:
        """Take away all objects by force; nobody may be there who could act on it."""
        keys = [key_of(obj) for obj in self._list()["items"]]
        self._each(self._remove, keys)

    def watched(self) -> Objects:
        """Keep `ready` and `gone` up to date from a thread that ends with the API server, or with this process."""
        threading.Thread(target=self._keep, args=(self._relist(),), daemon=True).start()
        return self

    def _keep(self, version: str) -> None:
        with suppress(OSError, http.client.HTTPException):  # the API server has ended
            for _ in range(MOST_WATCHES):
                version = self._follow(version) or self._relist()

    def _follow(self, version: str) -> str:
        """Take the events of one watch, which the API server ends when it finds us slow; return how far it came.

        That is "" where the API server does not know any more what came after the version.
        """
        for event in self._watch(version):
            if event["type"] == "ERROR":
                return ""
            version = event["object"]["metadata"]["resourceVersion"]
            self._take(event["object"], deleted=event["type"] == "DELETED")
        return version

    def _watch(self, version: str) -> Iterator[Object]:
        connection = self._connect()
        query = f"watch=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        connection.request("GET", f"{PATH}/fargateprofiles?{query}", headers=self._headers())
        answer = connection.getresponse()
        assert connection.sock
        connection.sock.settimeout(None)
        for line in answer:
            yield json.loads(line)

    def _relist(self) -> str:
        listed = self._list()
        for obj in listed["items"]:
            self._take(obj)
        return str(listed["metadata"]["resourceVersion"])

    def _take(self, obj: Object, *, deleted: bool = False) -> None:
        if deleted:
            self.gone[key_of(obj)] = time.time()
        elif is_ready(obj):
            self.ready.setdefault(key_of(obj), time.time())

    def _list(self) -> Object:
        self._mine.connection = self._connect()  # the last one may have been idle for too long
        return self._ask("GET", f"{PATH}/fargateprofiles")

    def _create(self, obj: Object) -> tuple[Key, float]:
        namespace, name = key_of(obj)
        sent = time.time()
        self._ask("POST", f"{PATH}/namespaces/{namespace}/fargateprofiles", obj)
        return (namespace, name), sent

    def _delete(self, key: Key) -> tuple[Key, float]:
        sent = time.time()
        self._ask("DELETE", _path(key))
        return key, sent

    def _remove(self, key: Key) -> tuple[Key, float]:
        sent = time.time()
        self._ask("DELETE", _path(key), missing=True)
        self._ask("PATCH", _path(key), {"metadata": {"finalizers": None}}, missing=True)
        return key, sent

    def _each(self, deed: Callable[[Any], tuple[Key, float]], those: Iterable[object]) -> dict[Key, float]:
        with ThreadPoolExecutor(USERS) as users:
            return dict(users.map(deed, those))

    def _ask(self, verb: str, path: str, body: Object | None = None, *, missing: bool = False) -> Object:
        """Return the API server's answer; one that refuses is a bug here, but for what `missing` lets be gone."""
        if not hasattr(self._mine, "connection"):
            self._mine.connection = self._connect()
        connection = self._mine.connection
        connection.request(verb, path, json.dumps(body) if body else None, self._headers(verb))
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300 or (missing and answer.status == 404), f"{verb} {path}: {text.decode()}"
        said: Object = json.loads(text)
        return said

    def _connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self._plane.ca)
        server = self._plane.url.removeprefix("https://")
        return http.client.HTTPSConnection(server, timeout=TIMEOUT_SECONDS, context=context)

    def _headers(self, verb: str = "GET") -> dict[str, str]:
        kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        return {"Authorization": f"Bearer {self._plane.token}", "Content-Type": kind}


def _path(key: Key) -> str:
    return f"{PATH}/namespaces/{key[0]}/fargateprofiles/{key[1]}"


def is_ready(obj: Object) -> bool:
    conditions = obj.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
