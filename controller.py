"""The engine and main: an informer feeds a work queue, workers hand its keys to the reconciler.

The picture: list and watch -> `Store`, then `WorkQueue` (a key means "look", nothing more) -> one worker a key ->
`Reconciler.reconcile` -> when to look again. Everything that starts a thread, reads a clock or the command line is
here. What it is not: field names of spec or status, decisions about objects, AWS words outside `build`.
"""

from __future__ import annotations

import argparse
import heapq
import json
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
import uuid
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    MetricsHandler,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

import aws
import commands
import kube
from reconcile import Limits, Phase, Reconciler, Requeue, Settings, phase_of

log = logging.getLogger("fargate.controller")

Object = dict[str, Any]
Key = tuple[str, str]
T = TypeVar("T")

RETRY_SECONDS = (1.0, 300.0)  # a key whose pass failed
RELIST_SECONDS = (0.8, 30.0)  # a watch or list that failed; client-go's reflector
CONFLICT_SECONDS = 1.0  # a fresher object is on its way
RESYNC_JITTER = 0.1
GRACE_SECONDS = 8.0  # for the passes in hand; a kill is safe, this only saves a second look
PROBE_SECONDS = 10  # for a request to arrive
STUCK_SECONDS = 300.0  # longer than any pass or silence: a loop that has not moved since is stuck
CONTROLLER, RESULTS = "fargateprofile", ("success", "requeue", "requeue_after", "error")
SECONDS = (0.01, 0.1, 1, 5, 10, 30, 60, 120, 180, 300, 600, 1200, 3600)  # from a call to a profile that waits long
# client-go's: a Lease is good for so long after the holder was last seen to renew it; the holder itself stops acting
# before that, counted from before it asked; and how often either looks.
LEASE_SECONDS, HOLD_SECONDS, LOOK_SECONDS = 15, 10.0, 2.0


class Backoff:
    """Grow the wait of a key that fails: base, doubled each time, at most cap, each spread over [1/2, 1] of itself."""

    def __init__(self, bounds: tuple[float, float], rand: Callable[[], float]) -> None:
        self._base, self._cap = bounds
        self._rand = rand
        self._failures: dict[object, int] = {}

    def next(self, key: object = None) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait = min(self._cap, self._base * 2.0 ** min(failures, 32))
        return wait * (0.5 + 0.5 * self._rand())

    def forget(self, key: object = None) -> None:
        self._failures.pop(key, None)


# Names are those of controller-runtime and client-go where these have one. No label comes from an object: a cluster is
# shown once EKS was seen to have it.
FAMILIES: tuple[tuple[type[Counter | Gauge | Histogram], str, str, str], ...] = (
    (Counter, "controller_runtime_reconcile_total", "controller result", "Passes by how they ended."),
    (Counter, "controller_runtime_reconcile_errors_total", "controller", "Passes that failed."),
    (Histogram, "controller_runtime_reconcile_time_seconds", "controller", "Seconds that a pass took."),
    (Gauge, "workqueue_depth", "name", "Keys that are due and wait for a worker."),
    (Counter, "workqueue_adds_total", "name", "Keys added, or moved earlier."),
    (Histogram, "workqueue_queue_duration_seconds", "name", "Seconds from when a key was due to its pass."),
    (Histogram, "workqueue_work_duration_seconds", "name", "Seconds for which a worker had a key."),
    (Counter, "workqueue_retries_total", "name", "Passes that are tried again by backoff."),
    (Gauge, "leader_election_master_status", "name", "1 for the replica that acts."),
    (
        Counter,
        "aws_api_requests_total",
        "service operation code",
        "Requests to AWS; code is AWS's for an error, or OK.",
    ),
    (Histogram, "aws_api_request_duration_seconds", "service operation", "Seconds that a request to AWS took."),
    (Counter, "kube_api_requests_total", "method code", "Requests to the API server; code is HTTP's, or <error>."),
    (Gauge, "fargate_watch_heard_timestamp_seconds", "namespace", "When the API server last told of objects."),
    (Histogram, "fargate_profile_time_to_ready_seconds", "", "Seconds for which an object was not Ready."),
)


class Metrics:
    """What /metrics shows, each family from the start, at 0 where its labels are known before."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more a counter, which nobody reads
        self.registry = CollectorRegistry()
        self._families: dict[str, Any] = {}
        for kind, name, labels, what in FAMILIES:
            more: dict[str, Any] = {"buckets": SECONDS} if kind is Histogram else {}
            family = kind(name, what, labels.split(), registry=self.registry, **more)
            self._families[name] = family.labels(CONTROLLER) if labels in {"controller", "name"} else family
        for result in RESULTS:
            self["controller_runtime_reconcile_total"].labels(CONTROLLER, result)

    def __getitem__(self, name: str) -> Any:
        return self._families[name]

    def asked_aws(self, service: str, operation: str, code: str, seconds: float) -> None:
        self["aws_api_requests_total"].labels(service, operation, code).inc()
        self["aws_api_request_duration_seconds"].labels(service, operation).observe(seconds)

    def asked_kube(self, method: str, code: str) -> None:
        self["kube_api_requests_total"].labels(method, code).inc()

    def passed(self, result: str) -> None:
        self["controller_runtime_reconcile_total"].labels(CONTROLLER, result).inc()
        if result == "error":
            self["controller_runtime_reconcile_errors_total"].inc()
            self["workqueue_retries_total"].inc()


@dataclass(eq=False)  # the registry wants it hashable
class Census:
    """Counts objects and profiles at each scrape."""

    store: Store
    tally: Callable[[], Mapping[str, tuple[Mapping[str, int], int]]]
    now: Callable[[], datetime]

    def collect(self) -> Iterator[Metric]:
        phases = [phase_of(obj) for obj in self.store.objects()]
        counted = dict.fromkeys(Phase, 0) | Counts(phase for phase, _ in phases)
        waits = ((self.now() - since).total_seconds() for phase, since in phases if phase is Phase.RECONCILING)
        clusters = self.tally()
        states = {(name, state): n for name, (counts, _) in clusters.items() for state, n in counts.items()}
        strays = {(name,): n for name, (_, n) in clusters.items()}
        yield gauges(
            "fargate_objects", "phase", {(phase.value,): n for phase, n in counted.items()}, "Objects by phase."
        )
        yield gauges("fargate_longest_wait_seconds", "", {(): max(waits, default=0.0)}, "Longest time Reconciling.")
        yield gauges("fargate_profiles", "cluster status", states, "Profiles in EKS by state.")
        yield gauges("fargate_profiles_orphaned", "cluster", strays, "Profiles with our tags that are no object's.")


def gauges(name: str, labels: str, values: Mapping[Any, float], what: str) -> Metric:
    family = GaugeMetricFamily(name, what, labels=labels.split())
    for key, value in values.items():
        family.add_metric(key, value)
    return family


class WorkQueue:
    """Keys that are due now or later, each handed to one worker at a time; the invariants are client-go's workqueue's.

    - A key waits at most once: adding it again only moves it earlier, never later.
    - A key in work is not handed out; if it was added meanwhile, `done` puts it back: no change is lost.
    - The earliest due comes first, whoever added it. One lock, one heap, no helper thread: a waiting `get` promotes
      what is due, so that tests step a clock and never sleep.
    """

    def __init__(self, monotonic: Callable[[], float], metrics: Metrics | None = None) -> None:
        self._monotonic, self._metrics = monotonic, metrics or Metrics()
        self._metrics["workqueue_depth"].set_function(self._depth)
        self._changed = threading.Condition()
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._in_work: dict[Key, float] = {}  # since when
        self._closed = False

    def add(self, key: Key, after: float = 0.0) -> None:
        """Have the key looked at in `after` seconds, or earlier if it waits already."""
        due = self._monotonic() + after
        with self._changed:
            if self._closed or self._due.get(key, float("inf")) <= due:
                return
            self._due[key] = due
            self._metrics["workqueue_adds_total"].inc()
            if key not in self._in_work:
                heapq.heappush(self._heap, (due, key))
                self._changed.notify()

    def get(self, wait: float = 0.0) -> Key | None:
        """Take the earliest key that is due, waiting up to `wait` seconds for one; None for none, and when closed."""
        deadline = self._monotonic() + wait
        with self._changed:
            while not self._closed:
                if (key := self._pop()) is not None:
                    return key
                now = self._monotonic()
                if now >= deadline:
                    return None
                next_due = self._heap[0][0] if self._heap else deadline
                self._changed.wait(max(0.0, min(next_due, deadline) - now))
            return None

    def done(self, key: Key) -> None:
        """End the work on a key; one that was added meanwhile waits again."""
        with self._changed:
            self._metrics["workqueue_work_duration_seconds"].observe(self._monotonic() - self._in_work.pop(key))
            if key in self._due:
                heapq.heappush(self._heap, (self._due[key], key))
                self._changed.notify()

    def close(self) -> None:
        """Hand out nothing, and take nothing in, until `open`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def open(self) -> None:
        with self._changed:
            self._closed = False

    def next_due(self) -> float | None:
        """Return when the earliest key is due, None without any."""
        with self._changed:
            return min((due for key, due in self._due.items() if key not in self._in_work), default=None)

    def _depth(self) -> int:
        now = self._monotonic()
        with self._changed:
            return sum(due <= now for key, due in self._due.items() if key not in self._in_work)

    def _pop(self) -> Key | None:
        now = self._monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due and key not in self._in_work:
                del self._due[key]
                self._in_work[key] = now
                self._metrics["workqueue_queue_duration_seconds"].observe(now - due)
                return key
        return None


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
            return self._put(obj) and (before is None or _said(before) != _said(obj))

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
            self._gone = {key: version for key, version in self._gone.items() if namespace not in {"", key[0]}}
            for obj in objects:
                self._put(obj)
            return listed | vanished

    def _put(self, obj: Object) -> bool:
        key, meta = key_of(obj), obj["metadata"]
        if meta["uid"] == self._gone.get(key) or _version(obj) < _version(self._objects.get(key, obj)):
            return False  # the late answer to a write of ours, or a late word of the watch
        # One that is deleting and free of finalizers is gone, whatever the watch has still to say of it.
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self._objects.pop(key, None)
            self._gone[key] = meta["uid"]
        else:
            self._objects[key] = obj
        return True


def _said(obj: Object) -> Object:
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
    """Keeps the store like the API server, and tells the queue what moved: list once, then watch after watch.

    A session that ends cleanly is resumed from the last version seen, bookmarks included; only 410 asks for a new
    list, in which what vanished meanwhile is found by what is missing.
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
                self._take(kind, obj)
                self._heard()
                seen += 1
        except kube.Gone:
            self._version = ""
            raise
        if not seen:  # not even a bookmark: to resume at once would be a hot loop
            raise kube.KubeError("the watch ended without an event")

    def _take(self, kind: str, obj: Object) -> None:
        self._version = obj["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._store.remove(obj)
        elif not self._store.put(obj):
            return  # our own report: to look again at once would undo every wait
        self._queue.add(key_of(obj))


class Leases(Protocol):
    def read_lease(self, namespace: str, name: str) -> Object: ...
    def write_lease(self, namespace: str, name: str, lease: Object, spec: Object) -> Object: ...


class LostLease(Exception):
    """This process led and does not any more; the text says why."""


class LeaderElector:
    """Holds the Lease, so that one replica acts and the others stand by.

    Another's claim lapses when its record has not changed for as long as it says itself, by this process's own clock
    and since this process saw it change: no clock is compared with that of another machine. Our own lapses earlier.

    `check` fences: each call of a pass asks it first (`fenced`), so nothing is sent later than HOLD_SECONDS after the
    last renewal was asked for, 5 s before another may start. Not fenced is what was sent before, which EKS may carry
    out up to 13 s later (`aws.READ_SECONDS`), nor a process that sleeps between the check and the call. Then other
    locks hold: EKS takes one create or delete at a time, a create is marked in status before it is sent, and every
    write to Kubernetes names the version that it replaces.
    """

    def __init__(
        self,
        leases: Leases,
        key: Key,
        identity: str,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        rand: Callable[[], float],
    ) -> None:
        self._leases, self._key, self.identity = leases, key, identity
        self._monotonic, self._now, self._rand = monotonic, now, rand
        self._lease: Object = {}  # what the next write replaces
        self._record: Object | None = None  # the spec as last seen, since `_changed_at`
        self._changed_at = self._renewed_at = float("-inf")
        self._led = False

    def leading(self) -> bool:
        return self._monotonic() < self._renewed_at + HOLD_SECONDS

    def check(self) -> None:
        """Raise where this process must not act."""
        if not self.leading():
            raise kube.KubeError("the Lease is not held: nothing is sent")

    def step(self) -> float:
        """Renew, take or look at the Lease once; return the seconds to the next step. Raises `LostLease`, once led."""
        if self._led and not self.leading():
            raise LostLease(f"it could not be renewed for {HOLD_SECONDS:.0f} s")
        if not (self._led and self._lease):
            self._see(self._leases.read_lease(*self._key))
        holder = self._lease.get("spec", {}).get("holderIdentity")
        if self._led and holder != self.identity:
            raise LostLease(f"{holder or 'nobody'} has it now")
        if holder in {None, "", self.identity} or self._lapsed():
            self._take()
        return LOOK_SECONDS * (1.0 if self._led else 0.5 + 0.5 * self._rand())

    def release(self) -> None:
        """Give the Lease up, so that another need not wait for its end; only when nothing acts any more."""
        if not (self._lease and self.leading()):
            return
        self._renewed_at = float("-inf")
        spec = self._lease["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            self._leases.write_lease(*self._key, self._lease, spec | {"renewTime": kube.micro_time(self._now())})
            log.info("released lease=%(lease)s", {"lease": "/".join(self._key)})
        except kube.KubeError as error:
            log.warning("the Lease could not be released, it expires: %s", error)

    def _see(self, lease: Object) -> None:
        self._lease, record = lease, lease.get("spec", {})
        if record != self._record:
            self._record, self._changed_at = record, self._monotonic()

    def _lapsed(self) -> bool:
        seconds = (self._record or {}).get("leaseDurationSeconds") or LEASE_SECONDS
        return self._monotonic() >= self._changed_at + seconds

    def _take(self) -> None:
        lease, self._lease = self._lease, {}  # should the write fail, the next step reads first
        old, sent, now = lease.get("spec", {}), self._monotonic(), kube.micro_time(self._now())
        ours = old.get("holderIdentity") == self.identity
        record = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": old.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": old.get("leaseTransitions", 0) + bool(lease and not ours),
        }
        self._lease = self._leases.write_lease(*self._key, lease, old | record)
        self._renewed_at = sent
        if not self._led:
            fields = {"lease": "/".join(self._key), "identity": self.identity}
            log.info("leading lease=%(lease)s identity=%(identity)s", fields)
        self._led = True


class Fenced:
    """An edge whose every call is preceded by `check`, which raises where it may not be made."""

    def __init__(self, edge: object, check: Callable[[], None]) -> None:
        self._edge, self._check = edge, check

    def __getattr__(self, name: str) -> Any:
        self._check()
        return getattr(self._edge, name)


def fenced(edge: T, check: Callable[[], None]) -> T:
    return cast("T", Fenced(edge, check))


class Controller:
    """Hands the queue's keys to the reconciler and schedules the next look at each."""

    def __init__(
        self,
        queue: WorkQueue,
        reconcile: Callable[[Key], Requeue],
        resync_seconds: float,
        rand: Callable[[], float] = random.random,
        metrics: Metrics | None = None,
    ) -> None:
        self._queue, self._reconcile, self._resync_seconds, self._rand = queue, reconcile, resync_seconds, rand
        self._backoff, self._metrics = Backoff(RETRY_SECONDS, rand), metrics or Metrics()

    def run_once(self, wait: float = 0.0) -> bool:
        """Work on one key, waiting up to `wait` seconds for it; say whether there was one."""
        key = self._queue.get(wait)
        if key is None:
            return False
        with self._metrics["controller_runtime_reconcile_time_seconds"].time():
            try:
                result, after = self._after(key, self._reconcile(key))
            except (kube.Conflict, kube.NotFound):
                result, after = "requeue", CONFLICT_SECONDS
            except kube.KubeError as error:
                fields = {"object": "/".join(key), "message": str(error)}
                log.warning('failed object=%(object)s message="%(message)s"', fields)
                result, after = "error", self._backoff.next(key)
            except Exception:
                fields = {"object": "/".join(key)}
                log.exception("a bug: the pass of object=%(object)s broke off; the others go on", fields)
                result, after = "error", self._backoff.next(key)
        self._metrics.passed(result)
        if after is not None:
            self._queue.add(key, after)
        self._queue.done(key)
        return True

    def _after(self, key: Key, requeue: Requeue) -> tuple[str, float | None]:
        if requeue.retry:
            return "error", self._backoff.next(key)
        if not requeue.unseen:
            self._backoff.forget(key)
        if requeue.gone:
            return "success", None
        if requeue.after is not None:
            return "requeue_after", requeue.after
        return "success", self._resync_seconds * (1 + RESYNC_JITTER * (2 * self._rand() - 1))


def loop(run_once: Callable[[], object], backoff: Backoff, stop: threading.Event, beat: Callable[[], None]) -> None:
    """Call `run_once` until `stop`, resting after failures: the one `while` of the program."""
    while not stop.is_set():
        beat()
        try:
            run_once()
            backoff.forget()
        except kube.KubeError as error:
            if not stop.is_set():  # then it is the watch that was ended
                log.warning("the API server failed, tried again soon: %s", error)
            stop.wait(backoff.next())
        except Exception:
            log.exception("a bug: a loop broke off and starts again")
            stop.wait(backoff.next())


class ProbeServer(ThreadingHTTPServer):
    """Heard on IPv6 too: the kubelet asks at the pod's address, and a pod of an IPv6 cluster has no other."""

    def __init__(self, address: str, port: int, handler: type[MetricsHandler]) -> None:
        dual = not address and socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if dual or ":" in address else socket.AF_INET
        super().__init__((address, port), handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)  # HTTPServer's own looks up the host's name, which may take long


@dataclass
class Health:
    """Alive as long as every loop moves; `beats` are monotonic seconds by loop."""

    monotonic: Callable[[], float]
    synced: Callable[[], bool] = lambda: True
    beats: dict[str, float] = field(default_factory=dict)

    def beat(self, name: str) -> Callable[[], None]:
        def moved() -> None:
            self.beats[name] = self.monotonic()

        moved()
        return moved

    def stuck(self) -> list[str]:
        """Return the loops that have not moved for too long."""
        now = self.monotonic()
        return sorted(name for name, at in self.beats.copy().items() if now - at > STUCK_SECONDS)

    def answer(self, path: str) -> tuple[int, str]:
        """Return the code and the text for a probe."""
        if path == "/healthz":
            return (500, f"stuck: {', '.join(stuck)}") if (stuck := self.stuck()) else (200, "ok")
        if path == "/readyz":
            return (200, "ok") if self.synced() else (503, "the objects are not listed yet")
        return 404, "not found"

    def serve(self, address: str, port: int, registry: CollectorRegistry) -> ThreadingHTTPServer:
        """Answer GET /healthz, /readyz and /metrics, in a thread of its own."""
        health = self

        class Probe(MetricsHandler):
            timeout = PROBE_SECONDS

            def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    return super().do_GET()
                code, text = health.answer(path)
                self.send_response(code)
                self.end_headers()
                self.wfile.write(f"{text}\n".encode())
                return None

        try:
            server = ProbeServer(address, port, Probe.factory(registry))
        except OSError as error:
            where = f"port {port} of {address}" if address else f"port {port}"
            raise Missing(f"set --health-port or HEALTH_PORT: {where} can't be had: {error}") from error
        threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
        return server


class Lines(logging.Formatter):
    """One line a record, whatever is in it: what users name may hold a line's end. Only a traceback takes several.

    What is in a field is escaped as in JSON, so that no message can pass for further fields.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        if isinstance(record.args, dict):
            fields = {key: json.dumps(str(value), ensure_ascii=False)[1:-1] for key, value in record.args.items()}
            record.message = record.msg % fields
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")


class JsonLines(logging.Formatter):
    """One JSON object a record, its fields each under its own name; `event` is the record's first word then."""

    def format(self, record: logging.LogRecord) -> str:
        fields = record.args if isinstance(record.args, dict) else {}
        event = {"event": record.msg.partition("=")[0].rpartition(" ")[0]} if fields else {}
        line = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")}
        line |= {"level": record.levelname.lower(), "logger": record.name, **event}
        line |= {"message": record.getMessage()} | fields
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr(form: str, level: str) -> None:
    """Log as told; the libraries only what is wrong: their debug lines hold requests, and so secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else Lines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("fargate").setLevel(level.upper())


# The command line


@dataclass(frozen=True)
class Config:
    cluster_name: str
    region: str
    workers: int
    resync_seconds: float
    poll_seconds: float
    controller_id: str
    health_port: int
    health_address: str
    no_leader_elect: bool
    lease_namespace: str
    lease_name: str
    allow_adoption_in: frozenset[str]
    namespace: frozenset[str]
    selector: str
    allowed_roles: frozenset[str]
    selector_namespaces: str
    log_format: str
    log_level: str


class Missing(Exception):
    """Something must be set before the controller can start; the text says what."""


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:  # noqa: PLR2004
        raise ValueError(text)
    return number


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):  # nan neither
        raise ValueError(text)
    return number


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def truth(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"


def names(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))


def one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return read


scope, log_format = one_of("own", "any"), one_of("text", "json")
log_level = one_of("debug", "info", "warning", "error")
MEANT: Mapping[object, str] = {
    scope: "own or any",
    log_format: "text or json",
    log_level: "debug, info, warning or error",
    truth: "true or false",
    count: "a whole number of at least 1",
    positive: "a number of seconds above 0",
    port: "a port number",
}


class Flag(NamedTuple):
    """One setting: its flag, the variables that it is read from otherwise, what reads it, its default, what it is."""

    name: str
    variables: str
    kind: Callable[[str], Any]
    default: object
    what: str

    def read(self, text: str) -> Any:
        try:
            return self.kind(text)
        except ValueError as error:
            where = f"set by the flag or {self.variables.replace(', ', ' or ')}"
            raise argparse.ArgumentTypeError(f"{text!r} is not {MEANT[self.kind]} ({where})") from error

    def add_to(self, parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
        set_to = (environ[each] for each in self.variables.split(", ") if environ.get(each))
        more: dict[str, Any] = {"metavar": "A,B" if self.kind is names else self.name.rsplit("-", 1)[-1].upper()}
        if self.kind is truth:
            more = {"metavar": "true|false", "nargs": "?", "const": True}
        default = next(set_to, self.default)
        if self.name == "namespace":  # the first is what the variable says
            more, default = more | {"action": "append"}, [names(str(default))]
        shown = f"{self.what} [variable {self.variables}, default {str(self.default).lower() or 'none'}]"
        parser.add_argument(f"--{self.name}", type=self.read, default=default, help=shown, **more)


_FOUND = "; without it the one that the kubeconfig names, as `aws eks update-kubeconfig` writes it"
FLAGS = (
    Flag("cluster-name", "CLUSTER_NAME", str, "", f"EKS cluster of objects without spec.clusterName{_FOUND}"),
    Flag("region", "AWS_REGION, AWS_DEFAULT_REGION", str, "", f"AWS region{_FOUND}"),
    Flag("workers", "WORKERS", count, 4, "objects worked on at once"),
    Flag("resync-seconds", "RESYNC_SECONDS", positive, 600.0, "between two looks at a settled profile"),
    Flag("poll-seconds", "POLL_SECONDS", positive, 5.0, "between two looks at a profile that is being made or deleted"),
    Flag("controller-id", "CONTROLLER_ID", str, "", "who this is in the tags of profiles; else the uid of kube-system"),
    Flag("health-port", "HEALTH_PORT", port, 8080, "port of /healthz, /readyz and /metrics"),
    Flag("health-address", "HEALTH_ADDRESS", str, "", "where these are served; without it on every address"),
    Flag("no-leader-elect", "NO_LEADER_ELECT", truth, False, "act without a Lease: for one process alone"),
    Flag("lease-namespace", "LEASE_NAMESPACE", str, "", "of the Lease; without it the pod's own, elsewhere default"),
    Flag("lease-name", "LEASE_NAME", str, "fargate-operator", "of the Lease, the same for all replicas"),
    Flag("allow-adoption-in", "ALLOW_ADOPTION_IN", names, "",
         "namespaces, separated by commas, whose objects may take over profiles without an owner; * for all"),
    Flag("namespace", "WATCH_NAMESPACE", names, "", "whose objects to serve, may be given again; without it all"),
    Flag("selector", "WATCH_SELECTOR", str, "", "labels of the objects to serve, as kubectl takes them; else all"),
    Flag("allowed-roles", "ALLOWED_ROLES", names, "*", "ARNs of roles that objects may pass, with * and ?, by commas"),
    Flag("selector-namespaces", "SELECTOR_NAMESPACES", scope, "any", "own: select pods of one's own namespace only"),
    Flag("log-format", "LOG_FORMAT", log_format, "text", "text or json"),
    Flag("log-level", "LOG_LEVEL", log_level, "info", "debug, info, warning or error"),
)  # fmt: skip


def flags(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the command line; each flag's default is its variable's value, then what --help shows."""
    parser = argparse.ArgumentParser(
        prog="controller.py",
        allow_abbrev=False,
        description="Make and keep EKS Fargate profiles from FargateProfile objects (jicomusic.com/v1).",
        epilog="Commands beside it: export, plan, validate; each has a --help of its own. "
        "The API server is that of KUBECONFIG if set, else the one whose pod this is, else of ~/.kube/config. "
        "AWS credentials are found as the AWS CLI finds them.",
    )
    for flag in FLAGS:
        flag.add_to(parser, environ)
    return parser


def configure(arguments: list[str], environ: Mapping[str, str]) -> Config:
    """Read the configuration; raise `Missing` where cluster or region are nowhere said: they are never guessed."""
    config = Config(**vars(flags(environ).parse_args(arguments)))
    named = ("", "") if config.cluster_name and config.region else kube.eks_cluster()
    cluster, region = config.cluster_name or named[0], config.region or named[1]
    if not cluster:
        raise Missing("set --cluster-name or CLUSTER_NAME to the name of the EKS cluster")
    if not region:
        raise Missing("set --region or AWS_REGION to the AWS region of the EKS cluster")
    lease_namespace = config.lease_namespace or kube.own_namespace() or "default"
    said, *flagged = cast("list[frozenset[str]]", config.namespace)
    namespaces = frozenset().union(*(flagged or [said]))
    found = {"cluster_name": cluster, "region": region, "lease_namespace": lease_namespace, "namespace": namespaces}
    return Config(**vars(config) | found)


@dataclass
class Process:
    """The wired parts; `run` starts the threads and ends them. Without an elector it leads from the start."""

    config: Config
    sources: list[kube.Kube]
    store: Store
    queue: WorkQueue
    informers: dict[str, Informer]
    controller: Controller
    health: Health
    metrics: Metrics
    elector: LeaderElector | None
    stop: threading.Event = field(default_factory=threading.Event)
    workers: list[threading.Thread] = field(default_factory=list)
    lost: bool = False

    def run(self) -> int:
        """Work until `stop`, then give the passes in hand `GRACE_SECONDS`; return the exit code: 1 for a lost Lease.

        The Lease is given up only if they have ended by then; else it expires.
        """
        informers = [self._start(name, each.run_once, RELIST_SECONDS) for name, each in self.informers.items()]
        acting = [self._start("elector", self._elect, (LOOK_SECONDS, LOOK_SECONDS))] if self.elector else []
        if not self.elector:
            self._lead()
        self.stop.wait()
        if self.lost:
            return 1  # at once: who leads now must not be met
        log.info("stopping: waiting up to %.0f s for the passes in hand", GRACE_SECONDS)
        self.queue.close()
        for source in self.sources:
            source.stop()
        deadline = time.monotonic() + GRACE_SECONDS
        for threads in (acting, self.workers, informers):  # in this order: it is the elector that starts workers
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        if self.elector and not any(thread.is_alive() for thread in acting + self.workers):
            self.elector.release()
        return 0

    def _elect(self) -> None:
        elector = cast("LeaderElector", self.elector)
        try:
            wait = elector.step()
        except LostLease as error:
            log.error("lost the Lease, this process ends: %s", error)  # noqa: TRY400 - where it was raised says nothing
            self.lost = True
            self.stop.set()
            return
        if elector.leading() and not self.workers:
            self._lead()
        self.stop.wait(wait)

    def _lead(self) -> None:
        """Start to act: on every object as the store has it now, and on views read from now on."""
        self.queue.open()
        for key in (("", self.config.cluster_name), *map(key_of, self.store.objects())):
            self.queue.add(key)
        names = [f"worker-{number}" for number in range(self.config.workers)]
        self.workers += [self._start(name, lambda: self.controller.run_once(wait=1.0), RETRY_SECONDS) for name in names]

    def _start(self, name: str, run_once: Callable[[], object], bounds: tuple[float, float]) -> threading.Thread:
        backoff, beat = Backoff(bounds, random.random), self.health.beat(name)
        thread = threading.Thread(target=loop, args=(run_once, backoff, self.stop, beat), name=name, daemon=True)
        thread.start()
        return thread


def build(config: Config, environ: Mapping[str, str]) -> Process:
    """Make the two edges, in this thread, and wire the parts; nothing is asked of either yet."""
    metrics, instance = Metrics(), environ.get("HOSTNAME") or "fargate-operator"
    namespaces = sorted(config.namespace) or [""]
    api = kube.connect(config.workers + len(namespaces) + 4)
    try:
        clients = aws.connect(config.region, config.workers + 2, metrics.asked_aws)
    except aws.AwsError as error:
        raise Missing(str(error)) from error
    told = metrics.asked_kube
    sources = [kube.Kube(api, instance, observe=told, namespace=each, selector=config.selector) for each in namespaces]
    source, edge = sources[0], aws.Aws(clients, config.region, time.monotonic)
    store, queue, health = Store(), WorkQueue(time.monotonic, metrics), Health(time.monotonic)
    queue.close()
    elector, check = None, lambda: None
    if not config.no_leader_elect:
        key, identity = (config.lease_namespace, config.lease_name), f"{instance}_{uuid.uuid4()}"
        elector = LeaderElector(source, key, identity, time.monotonic, utc_now, random.random)
        check = elector.check
    metrics["leader_election_master_status"].set_function(elector.leading if elector else lambda: True)
    reconciler = Reconciler(
        store, fenced(source, check), fenced(edge, check), settings(config), queue.add, utc_now, time.monotonic,
        metrics["fargate_profile_time_to_ready_seconds"].observe,
    )  # fmt: skip
    metrics.registry.register(Census(store, reconciler.tally, utc_now))
    informers = {
        f"informer {namespace}".rstrip(): Informer(each, store, queue, hearing(health, metrics, namespace), namespace)
        for namespace, each in zip(namespaces, sources, strict=True)
    }
    health.synced = lambda: all(each.synced for each in informers.values())
    controller = Controller(queue, reconciler.reconcile, config.resync_seconds, metrics=metrics)
    return Process(config, sources, store, queue, informers, controller, health, metrics, elector)


def settings(config: Config) -> Settings:
    limits = Limits(config.allowed_roles, config.cluster_name if config.selector_namespaces == "own" else "")
    return Settings(
        config.cluster_name, config.controller_id, config.resync_seconds, config.poll_seconds,
        adoption_in=config.allow_adoption_in, limits=limits,
    )  # fmt: skip


def hearing(health: Health, metrics: Metrics, namespace: str) -> Callable[[], None]:
    moved = health.beat(f"informer {namespace}".rstrip())
    heard = metrics["fargate_watch_heard_timestamp_seconds"].labels(namespace)

    def told() -> None:
        moved()
        heard.set_to_current_time()

    return told


def place(config: Config) -> tuple[str, Settings]:
    return config.region, settings(config)


def utc_now() -> datetime:
    return datetime.now(UTC)


def stop_on_signals(stop: threading.Event) -> None:
    """Make SIGTERM and SIGINT set `stop`; a second one ends the process at once. Before any other thread starts.

    One thread waits for them and all others have them blocked: a handler, which Python runs in the main thread, can
    be missed for good if it is due right before that thread waits for `stop`.
    """
    numbers = {signal.SIGTERM, signal.SIGINT}
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def wait() -> None:
        log.info("received %s", signal.Signals(signal.sigwait(numbers)).name)
        stop.set()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        signal.pause()

    threading.Thread(target=wait, name="signals", daemon=True).start()


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    try:
        if arguments[:1] and arguments[0] in commands.COMMANDS:
            return commands.main(arguments, lambda rest: place(configure(rest, environ)), utc_now, time.monotonic)
        config = configure(arguments, environ)
        log_to_stderr(config.log_format, config.log_level)
        process = build(config, environ)
        stop_on_signals(process.stop)
        process.health.serve(config.health_address, config.health_port, process.metrics.registry)
    except (Missing, kube.KubeError) as error:
        print(f"controller.py: {error}", file=sys.stderr)  # noqa: T201
        return 2
    fields = {"cluster": config.cluster_name, "region": config.region, "workers": config.workers}
    log.info("started cluster=%(cluster)s region=%(region)s workers=%(workers)s", fields)
    return process.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
