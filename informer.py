"""The objects as the API server has them, kept by list and watch; what moved is told to the work
queue.

The picture: list, then watch after watch -> `Store` (never back to an older version) -> a key for
the queue.

What it is not: the connection, which is kube's; the loop around it, which is the controller's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import kube
from kube import Key, Object
from workqueue import WorkQueue

log = logging.getLogger("fargate.controller")


class Store:
    """The objects as last seen, by key; never goes back to an older version of one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[Key, Object] = {}
        self._gone: dict[Key, str] = {}  # uids: what was last heard to be gone comes back by a list alone

    def get(self, key: Key) -> Object | None:
        with self._lock:
            return self._objects.get(key)

    def objects(self) -> list[Object]:
        with self._lock:
            return list(self._objects.values())

    def put(self, obj: Object) -> bool:
        """Take a newer version; say whether more than status has changed, which only we write."""
        with self._lock:
            before = self._objects.get(key_of(obj))
            return self._put(obj) and (before is None or _without_status(before) != _without_status(obj))

    def remove(self, obj: Object) -> None:
        with self._lock:
            self._objects.pop(key_of(obj), None)
            self._gone[key_of(obj)] = obj["metadata"]["uid"]

    def replace(self, objects: list[Object], namespace: str = "") -> set[Key]:
        """Take a whole list, of one namespace or of all; return every key that is or was there."""
        with self._lock:
            listed = {key_of(obj) for obj in objects}
            vanished = {key for key in self._objects.keys() - listed if namespace in {"", key[0]}}
            for key in vanished:
                del self._objects[key]
            self._gone = {key: uid for key, uid in self._gone.items() if namespace not in {"", key[0]}}
            for obj in objects:
                self._put(obj)
            return listed | vanished

    def _put(self, obj: Object) -> bool:
        key, meta = key_of(obj), obj["metadata"]
        if meta["uid"] == self._gone.get(key) or _version(obj) < _version(self._objects.get(key, obj)):
            return False  # the late answer to a write of ours, or a late word of the watch
        # One that is deleting and free of finalizers is gone, whatever the watch has still to say
        # of it.
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self._objects.pop(key, None)
            self._gone[key] = meta["uid"]
        else:
            self._objects[key] = obj
        return True


def _without_status(obj: Object) -> Object:
    meta = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {"metadata": meta, "spec": obj.get("spec")}


def key_of(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _version(obj: Object) -> int:
    # Comparable by KEP-5504 (Kubernetes 1.35), and so in every etcd-backed server before it.
    return int(obj["metadata"]["resourceVersion"])


class Source(Protocol):
    def list(self) -> tuple[list[Object], str]: ...
    def watch(self, version: str) -> Iterator[tuple[str, Object]]: ...


class Informer:
    """Keeps the store like the API server, and tells the queue what moved: list once, then watch
    after watch.

    A session that ends cleanly is resumed from the last version seen, bookmarks included; only 410
    asks for a new list, in which what vanished meanwhile is found by what is missing.
    """

    def __init__(
        self, source: Source, store: Store, queue: WorkQueue, heard: Callable[[], None], namespace: str = ""
    ) -> None:
        self._source, self._store, self._queue, self._heard = source, store, queue, heard
        self._namespace = namespace  # that the source shows, "" for all
        self._version = ""
        self.synced = False

    def run_once(self) -> None:
        """List if there is nothing to resume from, then follow one watch to its end."""
        if not self._version:
            objects, version = self._source.list()
            for key in self._store.replace(objects, self._namespace):
                self._queue.add(key)
            self._version = version
            self.synced = True
            self._heard()
            fields = {"objects": len(objects), "version": version}
            log.info("listed objects=%(objects)s version=%(version)s", fields)
        seen = 0
        try:
            for kind, obj in self._source.watch(self._version):
                self._apply(kind, obj)
                self._heard()
                seen += 1
        except kube.Gone:
            self._version = ""
            raise
        if not seen:  # not even a bookmark: to resume at once would be a hot loop
            raise kube.KubeError("the watch ended without an event")

    def _apply(self, kind: str, obj: Object) -> None:
        self._version = obj["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._store.remove(obj)
        elif not self._store.put(obj):
            return  # our own report: to look again at once would undo every wait
        self._queue.add(key_of(obj))
