"""The objects as the API server has them, kept by list and watch, but for most of a big spec; what
moved is told to the work queue.

The picture: list, then watch after watch -> `Store` (never back to an older version) -> a key for
the queue.

What it is not: the connection, which is kube's; the loop around it, which is the controller's.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeVar, cast

import kube
from kube import Key, Object
from spec import OURS, mapping
from workqueue import WorkQueue

log = logging.getLogger("fargate.controller")
T = TypeVar("T")

# A false status is looked at so much later, and of one object no sooner than so long after the last:
# the watch may be faster than the answer to a write of ours, and others may write on and on.
FALSE_STATUS_SECONDS = (30.0, 60.0)

SPEC_BYTES = 16 << 10  # of JSON: of an object with a bigger spec no more is kept than what names its profile
# What of a spec says where its profile is and what becomes of it; and the mark of an object that has no more of it.
NAMING, CUT = ("clusterName", "profileName", "deletionPolicy", "suspend", "strandedPods"), "specIsCut"
LONGEST_VALUE = 256  # characters, which none of these may have


def kept(obj: Object) -> Object:
    """Return an object as the store keeps it, without most of a spec that is big: the pass reads that by itself.

    Whether such a spec has changed is told by the generation.
    """
    spec = obj.get("spec")
    if len(json.dumps(spec)) <= SPEC_BYTES:
        return _shared(obj)
    # What is no mapping counts as Retain, as in `Identity`; so does what is too long to be a value.
    fields = spec if isinstance(spec, dict) else {"deletionPolicy": None}
    short = {name: fields[name] for name in NAMING if name in fields}
    short = {name: value if len(str(value)) <= LONGEST_VALUE else None for name, value in short.items()}
    return _shared({**obj, "spec": short, CUT: True})


@lru_cache(maxsize=4096)  # those of all objects come often, and so stay
def _known(text: str) -> str:
    """Return the text itself, as it was met first. Not sys.intern: what that has taken early 3.12s keep for good."""
    return text


def _shared(value: T) -> T:
    """Return an equal value, with names and short texts that all objects share: 2.1 KiB of memory each, not 5.5."""
    shared: Any = value
    if isinstance(value, dict):
        shared = {_known(name): _shared(each) for name, each in value.items()}
    elif isinstance(value, list):
        shared = [_shared(each) for each in value]
    elif isinstance(value, str) and len(value) <= LONGEST_VALUE:
        shared = _known(value)
    return cast("T", shared)


def is_cut(obj: Object) -> bool:
    """Say whether most of the spec is left out, so that whoever needs it has to read the object."""
    return CUT in obj


class Store:
    """The objects as last seen, by key; most of a big spec is left out (`kept`).

    The rule goes by epochs, because the versions of an etcd that was restored go back: asking for a
    list starts one.

    - The list is the truth, lower versions too; what it does not name is gone.
    - The answer to a write that was sent before the list was asked for never enters: it may be of a
      past that is lost.
    - The answer to one that was sent after stays over the list, if it is not older.
    - From then on the newer version stays, and what was heard to be gone does not come back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[Key, Object] = {}
        # The uid and version of what went in this epoch: it comes back by the next list alone.
        self._gone: dict[Key, tuple[str, int]] = {}
        self._answered: set[Key] = set()  # by writes of this epoch
        self._sent: dict[Key, Object] = {}  # what is ours of the status that was sent last
        self._epoch = 0
        self._began: dict[str, int] = {}  # the epoch of a namespace, "" for all
        self._listed: dict[str, int] = {}  # and the version of its list

    def get(self, key: Key) -> Object | None:
        with self._lock:
            return self._objects.get(key)

    def objects(self) -> list[Object]:
        """Return every object, the eldest first."""
        with self._lock:
            return sorted(self._objects.values(), key=seniority)

    @property
    def epoch(self) -> int:
        """The moment, for `put` to be told of when a write was sent."""
        with self._lock:
            return self._epoch

    def sending(self, obj: Object, status: Object) -> int:
        """Take note of a status that is about to be sent; return the `epoch`."""
        with self._lock:
            self._sent[key_of(obj)] = _ours(status)
            return self._epoch

    def begin(self, namespace: str = "") -> None:
        """Start an epoch of one namespace or of all: its list is about to be asked for."""
        with self._lock:
            self._epoch += 1
            self._began[namespace], self._listed[namespace] = self._epoch, 0
            self._answered = {key for key in self._answered if not _within(key, namespace)}
            others = (key for key in self._gone if not _within(key, namespace))
            self._gone = {key: self._gone[key] for key in others}

    def put(self, obj: Object, sent: int | None = None) -> Literal["", "status", "object"]:
        """Take a newer version; say what others have changed: nothing, our part of status, or more.

        `sent`: it is the answer to a write that was sent in that `epoch`; None: the watch told it.
        """
        obj = kept(obj)
        with self._lock:
            key, before = key_of(obj), self._objects.get(key_of(obj))
            if sent is not None and sent < self._of(key, self._began):
                return ""
            if self._is_gone(obj) or self._is_older(obj, before):
                return ""  # the late answer to a write of ours, or a late word of the watch
            if sent is not None:
                self._answered.add(key)
            self._take(obj)
            if before is None or _without_status(before) != _without_status(obj):
                return "object"
            known = (_ours(before.get("status")), self._sent.get(key))
            return "" if sent is not None or _ours(obj.get("status")) in known else "status"

    def remove(self, obj: Object) -> None:
        with self._lock:
            self._drop(obj)

    def is_ahead_of(self, objects: list[Object]) -> bool:
        """Say whether one of these, just listed, was newer before: the server has gone back."""
        with self._lock:
            known = ((self._objects.get(key_of(obj)), obj) for obj in objects)
            older = (key_of(obj) for was, obj in known if was and _version(was) > _version(obj))
            return any(key not in self._answered for key in older)

    def replace(self, objects: list[Object], version: str, namespace: str = "") -> set[Key]:
        """Take the list that `begin` announced; return what is new, differs or has vanished."""
        with self._lock:
            self._listed[namespace] = int(version)
            before = {key: obj for key, obj in self._objects.items() if _within(key, namespace)}
            answered = self._answered & before.keys()
            stays = {key for key in answered if _version(before[key]) > int(version)}
            for key in before.keys() - stays:
                del self._objects[key]
            for obj in map(kept, objects):
                key = key_of(obj)
                if key not in stays and not self._is_gone(obj):
                    self._take(obj)
            self._sent = {key: self._sent[key] for key in self._sent.keys() & self._objects.keys()}
            after = {key: obj for key, obj in self._objects.items() if _within(key, namespace)}
            keys = before.keys() | after.keys()
            return {key for key in keys if _content(before.get(key)) != _content(after.get(key))}

    def _of(self, key: Key, known: dict[str, int]) -> int:
        return max(known.get("", 0), known.get(key[0], 0))

    def _is_older(self, obj: Object, before: Object | None) -> bool:
        if before is not None:
            return _version(obj) < _version(before)
        # What the list does not name was gone by then; and what went may have been one made again.
        _, went = self._gone.get(key_of(obj), ("", 0))
        return _version(obj) <= max(went, self._of(key_of(obj), self._listed))

    def _is_gone(self, obj: Object) -> bool:
        uid, _ = self._gone.get(key_of(obj), ("", 0))
        return bool(obj["metadata"]["uid"] == uid)

    def _take(self, obj: Object) -> None:
        # One that is deleting and free of finalizers is gone, whatever the watch has still to say
        # of it.
        if obj["metadata"].get("deletionTimestamp") and not obj["metadata"].get("finalizers"):
            self._drop(obj)
        else:
            self._objects[key_of(obj)] = obj

    def _drop(self, obj: Object) -> None:
        key = key_of(obj)
        self._objects.pop(key, None)
        self._sent.pop(key, None)
        self._answered.discard(key)
        self._gone[key] = obj["metadata"]["uid"], _version(obj)


def _within(key: Key, namespace: str) -> bool:
    return namespace in {"", key[0]}


def _content(obj: Object | None) -> Object | None:
    return obj and _without_status(obj) | {"status": obj.get("status")}


def _without_status(obj: Object) -> Object:
    meta = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {"metadata": meta, "spec": obj.get("spec")}


def _ours(status: object) -> Object:
    """Return a status without the conditions of other writers."""
    listed = mapping(status).get("conditions") or []
    return mapping(status) | {"conditions": [each for each in listed if each.get("type") in OURS]}


def seniority(obj: Object) -> tuple[str, Key]:
    return obj["metadata"].get("creationTimestamp") or "", key_of(obj)


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

    A session that the server ended in its time, and in which it told something, were it a bookmark,
    is resumed from the last version heard. Every other end is answered by a new list, also silence:
    whoever went away may be back in an older state, as after a restore of etcd from a snapshot. To
    such a server our version is one of its future: it says nothing until it has come to it, and
    then nothing of what was before. What vanished is found by what the list does not name.

    `found` is told of each object of the first list; True: it has that one looked at itself.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        queue: WorkQueue,
        heard: Callable[[], None],
        namespace: str = "",
        set_back: Callable[[], None] = lambda: None,
        found: Callable[[Key], bool] = lambda _key: False,
    ) -> None:
        self._source, self._store, self._queue, self._heard = source, store, queue, heard
        self._namespace = namespace  # that the source shows, "" for all
        self._set_back, self._found = set_back, found
        self._version = ""  # to resume from, "" for nothing
        self._newest = 0  # version that was ever heard, since the server last went back
        self._told = 0  # events and bookmarks since the list
        self.synced = False

    def run_once(self) -> None:
        """List if there is nothing to resume from, then follow one watch to its end.

        Raises the edge's errors, so that the loop rests, and one where a session told nothing. But
        a 410 is none if the watch has moved since the list: then the next one may come at once.
        """
        if not self._version:
            self._list()
        try:
            self._follow()
        except kube.KubeError as error:
            self._version = ""
            if not (isinstance(error, kube.Gone) and self._told):
                raise
            log.info("listing anew: %s", error)

    def _list(self) -> None:
        self._store.begin(self._namespace)
        objects, version = self._source.list()
        if int(version) < self._newest or self._store.is_ahead_of(objects):
            self._say_set_back(version)
        moved = self._store.replace(objects, version, self._namespace)
        there = [key for key in map(key_of, self._store.objects()) if key in moved]
        for key in there:
            if self.synced or not self._found(key):
                self._queue.add_edit(key)
        for key in sorted(moved.difference(there)):
            self._queue.wake(key)
        self._version, self._newest, self._told = version, int(version), 0
        self.synced = True
        self._heard()
        fields = {"objects": len(objects), "version": version}
        log.info("listed objects=%(objects)s version=%(version)s", fields)

    def _follow(self) -> None:
        """Take what a session tells; one that tells nothing is an error."""
        told = self._told
        for kind, obj in self._source.watch(self._version):
            self._version = obj["metadata"]["resourceVersion"]
            self._newest = int(self._version)
            self._apply(kind, obj)
            self._heard()
            self._told += 1
        if self._told == told:
            raise kube.KubeError("the watch ended without an event")

    def _apply(self, kind: str, obj: Object) -> None:
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._store.remove(obj)
            self._queue.wake(key_of(obj))
            return
        moved = self._store.put(obj)  # nothing by our own report: to look again would undo every wait
        if moved == "object":
            self._queue.add_edit(key_of(obj))
        elif moved == "status":
            self._queue.add_seldom(key_of(obj), *FALSE_STATUS_SECONDS)

    def _say_set_back(self, version: str) -> None:
        self._set_back()
        log.warning(SET_BACK, {"version": version, "heard": self._newest})


SET_BACK = (
    "set back version=%(version)s heard=%(heard)s: the API server shows an older state than before,"
    " as after etcd was restored from a snapshot; profiles that were made since may have no object"
    " any more: these are named as orphans, and counted"
)
