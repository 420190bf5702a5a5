"""The engine and main: an informer feeds a work queue, workers hand its keys to the reconciler.

The picture: list and watch -> `Store`, then `WorkQueue` (a key means "look", nothing more) -> one worker a key ->
`Reconciler.reconcile` -> when to look again. Everything that starts a thread, reads a clock or the command line is
here. What it is not: field names of spec or status, decisions about objects, AWS words outside `build`.
"""

from __future__ import annotations

import argparse
import heapq
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from socketserver import TCPServer
from typing import Any, Protocol

import aws
import kube
from reconcile import Reconciler, Requeue, Settings

log = logging.getLogger("fargate.controller")

Object = dict[str, Any]
Key = tuple[str, str]

RETRY_SECONDS = (1.0, 300.0)  # a key whose pass failed
RELIST_SECONDS = (0.8, 30.0)  # a watch or list that failed; client-go's reflector
CONFLICT_SECONDS = 1.0  # a fresher object is on its way
RESYNC_JITTER = 0.1
GRACE_SECONDS = 8.0  # for the passes in hand; a kill is safe, this only saves a second look
STUCK_SECONDS = 300.0  # longer than any pass or silence: a loop that has not moved since is stuck


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


class WorkQueue:
    """Keys that are due now or later, each handed to one worker at a time; the invariants are client-go's workqueue's.

    - A key waits at most once: adding it again only moves it earlier, never later.
    - A key in work is not handed out; if it was added meanwhile, `done` puts it back: no change is lost.
    - The earliest due comes first, whoever added it. One lock, one heap, no helper thread: a waiting `get` promotes
      what is due, so that tests step a clock and never sleep.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._in_work: set[Key] = set()
        self._closed = False

    def add(self, key: Key, after: float = 0.0) -> None:
        """Have the key looked at in `after` seconds, or earlier if it waits already."""
        due = self._monotonic() + after
        with self._changed:
            if self._closed or self._due.get(key, float("inf")) <= due:
                return
            self._due[key] = due
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
            self._in_work.discard(key)
            if key in self._due:
                heapq.heappush(self._heap, (self._due[key], key))
                self._changed.notify()

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def next_due(self) -> float | None:
        """Return when the earliest key is due, None without any."""
        with self._changed:
            return min((due for key, due in self._due.items() if key not in self._in_work), default=None)

    def _pop(self) -> Key | None:
        now = self._monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due and key not in self._in_work:
                del self._due[key]
                self._in_work.add(key)
                return key
        return None


class Store:
    """The objects as last seen, by key; never goes back to an older version of one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[Key, Object] = {}
        self._gone: dict[Key, int] = {}

    def get(self, key: Key) -> Object | None:
        with self._lock:
            return self._objects.get(key)

    def put(self, obj: Object) -> bool:
        """Take a newer version; say whether more than status has changed, which only we write."""
        with self._lock:
            before = self._objects.get(key_of(obj))
            return self._put(obj) and (before is None or _said(before) != _said(obj))

    def remove(self, obj: Object) -> None:
        with self._lock:
            self._objects.pop(key_of(obj), None)
            self._gone.pop(key_of(obj), None)

    def replace(self, objects: list[Object]) -> set[Key]:
        """Take a whole list; return every key that is or was there."""
        with self._lock:
            listed = {key_of(obj) for obj in objects}
            vanished = self._objects.keys() - listed
            for key in vanished:
                del self._objects[key]
            self._gone.clear()
            for obj in objects:
                self._put(obj)
            return listed | vanished

    def _put(self, obj: Object) -> bool:
        key, meta = key_of(obj), obj["metadata"]
        # One that is deleting and free of finalizers is gone, whatever the watch has still to say of it.
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self._objects.pop(key, None)
            self._gone[key] = _version(obj)
        elif _version(obj) <= self._gone.get(key, -1) or _version(obj) < _version(self._objects.get(key, obj)):
            return False
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

    def __init__(self, source: Source, store: Store, queue: WorkQueue, beat: Callable[[], None]) -> None:
        self._source, self._store, self._queue, self._beat = source, store, queue, beat
        self._version = ""

    def run_once(self) -> None:
        """List if there is nothing to resume from, then follow one watch to its end."""
        if not self._version:
            objects, version = self._source.list()
            for key in self._store.replace(objects):
                self._queue.add(key)
            self._version = version
            log.info("listed objects=%d version=%s", len(objects), version)
        seen = 0
        try:
            for kind, obj in self._source.watch(self._version):
                self._take(kind, obj)
                self._beat()
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


class Controller:
    """Hands the queue's keys to the reconciler and schedules the next look at each."""

    def __init__(
        self,
        queue: WorkQueue,
        reconcile: Callable[[Key], Requeue],
        resync_seconds: float,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._queue, self._reconcile, self._resync_seconds, self._rand = queue, reconcile, resync_seconds, rand
        self._backoff = Backoff(RETRY_SECONDS, rand)

    def run_once(self, wait: float = 0.0) -> bool:
        """Work on one key, waiting up to `wait` seconds for it; say whether there was one."""
        key = self._queue.get(wait)
        if key is None:
            return False
        try:
            after = self._after(key, self._reconcile(key))
        except (kube.Conflict, kube.NotFound):
            after = CONFLICT_SECONDS
        except kube.KubeError as error:
            log.warning("failed object=%s/%s: %s", *key, error)
            after = self._backoff.next(key)
        except Exception:
            log.exception("a bug: the pass of object=%s/%s broke off; the others go on", *key)
            after = self._backoff.next(key)
        if after is not None:
            self._queue.add(key, after)
        self._queue.done(key)
        return True

    def _after(self, key: Key, requeue: Requeue) -> float | None:
        if requeue.retry:
            return self._backoff.next(key)
        if not requeue.unseen:
            self._backoff.forget(key)
        if requeue.gone:
            return None
        if requeue.after is not None:
            return requeue.after
        return self._resync_seconds * (1 + RESYNC_JITTER * (2 * self._rand() - 1))


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

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)  # HTTPServer's own looks up the host's name, which may take long


@dataclass
class Health:
    """Alive as long as every loop moves; `beats` are monotonic seconds by loop."""

    monotonic: Callable[[], float]
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

    def serve(self, port: int) -> ThreadingHTTPServer:
        """Answer GET /healthz on a port, in a thread of its own."""
        health = self

        class Probe(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stuck = health.stuck()
                code, text = (404, "not found") if self.path != "/healthz" else (200, "ok")
                if code == 200 and stuck:  # noqa: PLR2004
                    code, text = 500, f"stuck: {', '.join(stuck)}"
                self.send_response(code)
                self.end_headers()
                self.wfile.write(f"{text}\n".encode())

            def log_message(self, *_: object) -> None:
                """Say nothing: a probe each few seconds is no news."""

        try:
            server = ProbeServer(("", port), Probe)
        except OSError as error:
            raise Missing(f"set --health-port or HEALTH_PORT: port {port} can't be had: {error}") from error
        threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
        return server


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


MEANT: Mapping[object, str] = {
    count: "a whole number of at least 1",
    positive: "a number of seconds above 0",
    port: "a port number",
}


def flags(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the command line; each flag's default is its variable's value, then what --help shows."""
    parser = argparse.ArgumentParser(
        prog="controller.py",
        allow_abbrev=False,
        description="Make and keep EKS Fargate profiles from FargateProfile objects (jicomusic.com/v1).",
        epilog="The API server is that of KUBECONFIG if set, else the one whose pod this is, else of ~/.kube/config. "
        "AWS credentials are found as the AWS CLI finds them.",
    )

    def flag(name: str, variables: str, kind: Callable[[str], Any], default: object, what: str) -> None:
        value = next((environ[each] for each in variables.split(", ") if environ.get(each)), default)
        shown = f" [variable {variables}, default {default or 'none'}]"

        def read(text: str) -> Any:
            try:
                return kind(text)
            except ValueError as error:
                wrong = f"{text!r} is not {MEANT[kind]} (set by the flag or {variables.replace(', ', ' or ')})"
                raise argparse.ArgumentTypeError(wrong) from error

        metavar = name.rsplit("-", maxsplit=1)[-1].upper()
        parser.add_argument(f"--{name}", type=read, default=value, help=what + shown, metavar=metavar)

    found = "; without it the one that the kubeconfig names, as `aws eks update-kubeconfig` writes it"
    flag("cluster-name", "CLUSTER_NAME", str, "", f"EKS cluster of objects without spec.clusterName{found}")
    flag("region", "AWS_REGION, AWS_DEFAULT_REGION", str, "", f"AWS region{found}")
    flag("workers", "WORKERS", count, 4, "objects worked on at once")
    flag("resync-seconds", "RESYNC_SECONDS", positive, 600.0, "between two looks at a settled profile")
    flag("poll-seconds", "POLL_SECONDS", positive, 5.0, "between two looks at a profile that is being made or deleted")
    flag(
        "controller-id", "CONTROLLER_ID", str, "", "who this is in the tags of profiles; without it, uid of kube-system"
    )
    flag("health-port", "HEALTH_PORT", port, 8080, "port of /healthz")
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
    return Config(**vars(config) | {"cluster_name": cluster, "region": region})


@dataclass
class Process:
    """The wired parts; `run` starts the threads and ends them."""

    config: Config
    source: kube.Kube
    queue: WorkQueue
    informer: Informer
    controller: Controller
    health: Health
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Work until `stop`, then give the passes in hand `GRACE_SECONDS`."""
        threads = [self._start("informer", self.informer.run_once, RELIST_SECONDS)]
        workers = [f"worker-{number}" for number in range(self.config.workers)]
        threads += [self._start(name, lambda: self.controller.run_once(wait=1.0), RETRY_SECONDS) for name in workers]
        self.stop.wait()
        log.info("stopping: waiting up to %.0f s for the passes in hand", GRACE_SECONDS)
        self.queue.close()
        self.source.stop()
        deadline = time.monotonic() + GRACE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self, name: str, run_once: Callable[[], object], bounds: tuple[float, float]) -> threading.Thread:
        backoff, beat = Backoff(bounds, random.random), self.health.beat(name)
        thread = threading.Thread(target=loop, args=(run_once, backoff, self.stop, beat), name=name, daemon=True)
        thread.start()
        return thread


def build(config: Config, environ: Mapping[str, str]) -> Process:
    """Make the two edges, in this thread, and wire the parts; nothing is asked of either yet."""
    source = kube.Kube(kube.connect(config.workers + 4), environ.get("HOSTNAME") or "fargate-operator")
    try:
        edge = aws.Aws(aws.connect(config.region, config.workers + 2), config.region, time.monotonic)
    except aws.AwsError as error:
        raise Missing(str(error)) from error
    health, store, queue = Health(time.monotonic), Store(), WorkQueue(time.monotonic)
    settings = Settings(config.cluster_name, config.controller_id, config.resync_seconds, config.poll_seconds)
    reconciler = Reconciler(store, source, edge, settings, queue.add, lambda: datetime.now(UTC), time.monotonic)
    informer = Informer(source, store, queue, health.beat("informer"))
    queue.add(("", config.cluster_name))
    return Process(
        config, source, queue, informer, Controller(queue, reconciler.reconcile, config.resync_seconds), health
    )


def stop_on_signals(stop: threading.Event) -> None:
    """Make SIGTERM and SIGINT set `stop`; a second one ends the process at once."""

    numbers = (signal.SIGTERM, signal.SIGINT)
    arrived = SimpleQueue[int]()

    def received(number: int, _frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        arrived.put(number)  # not stop.set(): the main thread, which runs this, may hold the lock of `stop`

    def pass_on() -> None:
        log.info("received %s", signal.Signals(arrived.get()).name)
        stop.set()

    threading.Thread(target=pass_on, name="signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, received)


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        config = configure(arguments, environ)
        process = build(config, environ)
        process.health.serve(config.health_port)
    except (Missing, kube.KubeError) as error:
        print(f"controller.py: {error}", file=sys.stderr)  # noqa: T201
        return 2
    stop_on_signals(process.stop)
    log.info("started cluster=%s region=%s workers=%d", config.cluster_name, config.region, config.workers)
    process.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
