"""The process: an informer feeds a work queue, workers hand its keys to the reconciler.

The picture: list and watch -> `Store`, then `WorkQueue` (a key means "look", nothing more) -> one
worker a key -> `Reconciler.reconcile` -> when to look again. Everything that starts a thread (but
`aws.Pool`), reads a clock or the command line is here. What it is not: field names of spec or status,
decisions about objects, AWS words outside `reaching`.
"""

from __future__ import annotations

import gc

gc.disable()  # while all is loaded: to look for garbage, of which there is none, is a tenth of a start

import hashlib
import json
import logging
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter as Counts
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry, Metric

import answers
import aws
import kube
from actions import Phase
from clusters import Tally
from clustersfile import ClustersFile, Renewal
from config import (
    COMMANDS,
    VERSION,
    Config,
    Missing,
    configure,
    entries_of,
    log_to_stderr,
    no_credentials,
    settings,
    tell_doubts,
    unlisted,
)
from credentials import Credentials
from entries import Entries, Entry
from evictions import Evictor
from informer import Informer, Store, kept, key_of
from kube import Key
from leader import LOOK_SECONDS, Judgement, LeaderElector, LostLease, fenced
from limits import Settings
from metrics import METRICS_PATH, Answer, Certificate, Guard, Metrics, PortTaken, ProbeServer, gauges, listen, may_get
from podlooks import STATES, PodLooks
from reconcile import Reconciler
from sites import OWN, Regions, Role, Sites
from spec import INFORMATIVE, Identity, Memory
from status import EVENTS, Counted, noted_of, phase_of, settled
from workqueue import Backoff, Requeue, WorkQueue, until_slot

gc.freeze()
gc.enable()

log = logging.getLogger("fargate.controller")
T = TypeVar("T")

RETRY_SECONDS = (1.0, 300.0)  # a key whose pass failed
RELIST_SECONDS = (0.8, 30.0)  # a watch or list that failed; client-go's reflector
ABSENT_SECONDS = 7.0  # at most, for the CRD to be looked for again
CONFLICT_SECONDS = 1.0  # a fresher object is on its way
RESYNC_TENTH = 0.1
SORTING: Key = ("", "")  # the key of `FirstLooks` itself: no object and no cluster has it
GRACE_SECONDS = 8.0  # for the passes in hand; a kill is safe, this only saves a second look
CREDENTIALS_SECONDS = 3.0  # for the first ones: most sources give them in a moment
GARBAGE = 10_000  # objects more than before, until those that nothing leads to are looked for
STUCK_SECONDS = 300.0  # longer than any pass or silence: a loop that has not moved since is stuck


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    try:
        if arguments[:1] and arguments[0] in COMMANDS:
            import commands  # noqa: PLC0415 - a tenth of the time of a start, and no part of it

            return commands.main(arguments, environ, utc_now)
        config = configure(arguments, environ, sorted(COMMANDS))
        log_to_stderr(config.log_format, config.log_level)
        process = build(config, environ)
        registry = process.metrics.registry
        ports = [
            process.health.listen(config.health_address, config.health_port, None if config.metrics_auth else registry)
        ]
        if config.metrics_auth:
            ports.append(listen_guarded(config, process.sources[0], registry))
    except (Missing, PortTaken, kube.KubeError) as error:
        print(f"controller.py: {error}", file=sys.stderr)  # noqa: T201
        return 2
    stop_on_signals(process.stop)  # not before all is well: it is for good
    for each in ports:
        serve(each)
    tell_start(config)
    spare_garbage_collection()
    return process.run()


def spare_garbage_collection() -> None:
    """Look for garbage more seldom, and not among what stays: a tenth of the work in a burst of objects."""
    gc.freeze()
    gc.set_threshold(GARBAGE)


def tell_start(config: Config) -> None:
    fields = {"cluster": config.cluster_name, "region": config.region, "workers": config.workers, "version": VERSION}
    log.info("started cluster=%(cluster)s region=%(region)s workers=%(workers)s version=%(version)s", fields)
    tell_doubts(config)


# The parts and how they are wired


def build(config: Config, environ: Mapping[str, str]) -> Process:
    """Make the two edges, in this thread, and wire the parts; nothing is asked of either yet."""
    entries = entries_of(config)
    metrics, instance = Metrics(), environ.get("HOSTNAME") or "fargate-operator"
    api = kube.connect(config.workers + max(1, len(config.namespace)) + 6)
    credentials, reach, edge = reaching(config, metrics)
    sources = sources_of(config, api, instance, metrics)
    source = next(iter(sources.values()))
    store, queue, health = Store(), WorkQueue(time.monotonic, metrics, config.workers), Health(time.monotonic)
    queue.close()
    rules = settings(config)
    by = partial(judged_by, rules, config.namespace, config.selector)
    judgement = Judgement(by(entries))
    elector, check, held = electing(config, source, instance, judgement, health), lambda: None, lambda: True
    if elector:
        check, held = elector.check, elector.leading
    fence = partial(fenced, check=check)
    sites = Sites(
        entries, edge, fence(source), rules, time.monotonic, reach, fence, config.workers,
        credentials=credentials,
    )  # fmt: skip
    reconciler = Reconciler(
        store, fence(source), sites, rules, queue.wake, utc_now, time.monotonic,
        metrics["fargate_profile_time_to_ready_seconds"].observe,
        lambda reason: metrics["fargate_events_total"].labels(reason).inc(), queue.readmit,
    )  # fmt: skip
    looks = looking(fence(source), store, rules, reconciler, sites, queue.wake, held, check)
    show(metrics, elector, reconciler, store, sites, looks)
    first = FirstLooks(store, queue, reconciler, sites, rules, judgement, utc_now)
    informers = informers_of(sources, store, queue, health, metrics, first.found)
    health.synced = first.synced = lambda: all(each.synced for each in informers.values())
    controller = Controller(queue, first.reconcile, config.resync_seconds, metrics=metrics, lean=first.lean)
    renewal = renewing(config, entries, metrics, first, by, sites.take)
    return Process(
        config, [*sources.values()], queue, informers, controller, first, health, metrics, elector, sites, looks,
        renewal,
    )  # fmt: skip


def reaching(config: Config, metrics: Metrics) -> tuple[Credentials, Regions, aws.Aws]:
    """Return our own credentials, the way to each region, and that to our own with them."""
    credentials = Credentials(lambda: aws.fetch(config.region, kube.Command, no_credentials()))
    connections = config.workers + aws.POOL_THREADS // 2 + 2
    reach = Regions(connections, credentials, metrics.watch_aws, aws.Pool(aws.POOL_THREADS))
    try:
        return credentials, reach, reach(config.region)
    except answers.AwsError as error:
        raise Missing(str(error)) from error


def electing(
    config: Config, source: kube.Kube, instance: str, judgement: Judgement, health: Health
) -> LeaderElector | None:
    """Return what holds the Lease, None where this process acts without one."""
    if config.no_leader_elect:
        return None
    key, identity = (config.lease_namespace, config.lease_name), f"{instance}_{uuid.uuid4()}"
    elector = LeaderElector(source, key, identity, time.monotonic, utc_now, random.random, judgement)
    health.standing_by = elector.standing_by
    return elector


def renewing(
    config: Config, entries: Entries, metrics: Metrics, first: FirstLooks, by: Callable[[Entries], str],
    take: Callable[[Entries], None],
) -> Renewal | None:  # fmt: skip
    """Return what has the clusters file taken up when it changes, None where there is no file."""
    if not config.clusters_file:
        return None
    refused = metrics["fargate_clusters_file_refused"].set
    file = ClustersFile(config.clusters_file, unlisted(config), entries, refused, lambda: first.sites.account)
    return Renewal(file, first.judgement, by, take, first.judge_anew)


def sources_of(config: Config, api: Any, instance: str, metrics: Metrics) -> dict[str, kube.Kube]:
    """Return the way to the objects of each namespace that is served, "" for all."""
    seen = partial(kube.Kube, api, instance, observe=metrics.asked_kube, selector=config.selector, keep=kept)
    return {each: seen(namespace=each) for each in sorted(config.namespace) or [""]}


def looking(
    edge: kube.Kube, store: Store, rules: Settings, reconciler: Reconciler, sites: Sites, wake: Callable[[Key], None],
    held: Callable[[], bool], check: Callable[[], None],
) -> PodLooks:  # fmt: skip
    """Return what looks at the pods of the settings' cluster, and evicts; by the reconciler it comes into status."""
    anew, home = reconciler.read_anew, reconciler.homes.own
    evictor = Evictor(rules, store, edge, anew, home, check, time.monotonic, threading.Event().wait)
    looks = PodLooks(
        edge, store, rules, reconciler.view, wake, time.monotonic, utc_now, held, reconciler.see_anew, evictor.after
    )  # fmt: skip
    looks.proof, looks.at_home = sites.home_unproven, sites.is_at_home
    reconciler.news, reconciler.asked = looks.news, looks.ask
    return looks


def show(
    metrics: Metrics, elector: LeaderElector | None, reconciler: Reconciler, store: Store, sites: Sites, looks: PodLooks
) -> None:
    """Have /metrics show what stands from the start, and what is asked for at each scrape."""
    metrics.registry.register(Census(store, reconciler.tally, utc_now))
    metrics.registry.register(PodCensus(looks.counted, lambda: sites.home.name if sites.home else ""))
    metrics["fargate_build_info"].labels(VERSION).set(1)
    metrics["leader_election_master_status"].set_function(elector.leading if elector else lambda: True)
    metrics["fargate_cluster_is_elsewhere"].set_function(lambda: bool(reconciler.surveys.elsewhere))
    for reason in EVENTS:  # each from 0 on, so that the first one is an increase
        metrics["fargate_events_total"].labels(reason)


def informers_of(
    sources: Mapping[str, kube.Kube], store: Store, queue: WorkQueue, health: Health, metrics: Metrics,
    found: Callable[[Key], bool],
) -> dict[str, Informer]:  # fmt: skip
    set_back, informers = metrics["fargate_apiserver_set_back_total"].inc, {}
    for namespace, each in sources.items():
        name = f"informer {namespace}".rstrip()
        heard = hearing(health, metrics, name, namespace)
        informers[name] = Informer(each, store, queue, heard, namespace, set_back, found)
    return informers


def hearing(health: Health, metrics: Metrics, name: str, namespace: str) -> Callable[[], None]:
    moved = health.beat(name)
    heard = metrics["fargate_watch_heard_timestamp_seconds"].labels(namespace)

    def told() -> None:
        moved()
        health.unlisted.pop(name, None)
        heard.set_to_current_time()

    return told


@dataclass
class Process:
    """The wired parts; `run` starts the threads and ends them. Without an elector it leads from the start."""

    config: Config
    sources: list[kube.Kube]
    queue: WorkQueue
    informers: dict[str, Informer]
    controller: Controller
    first: FirstLooks
    health: Health
    metrics: Metrics
    elector: LeaderElector | None
    sites: Sites
    looks: PodLooks
    renewal: Renewal | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    workers: list[threading.Thread] = field(default_factory=list)
    lost: bool = False

    def run(self) -> int:
        """Work until `stop`, then give the passes in hand `GRACE_SECONDS`; return the exit code: 1
        for a lost Lease.

        The Lease is given up only if they have ended by then; else it expires.
        """
        # Without a beat: a source that hangs is a matter of the objects that need it, and no restart mends it.
        self._start("credentials", self._fetch, RETRY_SECONDS, beat=lambda: None)
        if renewal := self.renewal:  # the same: what is known serves on
            self._start("clusters", lambda: self.stop.wait(renewal.step()), RETRY_SECONDS, beat=lambda: None)
        informers = [
            self._start(name, self._listing(name, each), RELIST_SECONDS) for name, each in self.informers.items()
        ]
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

    def _listing(self, name: str, informer: Informer) -> Callable[[], None]:
        """Return one turn of an informer; why it can't list is shown by /readyz."""

        def run_once() -> None:
            try:
                informer.run_once()
            except kube.KubeError as error:
                self.health.unlisted[name] = str(error)
                raise

        return run_once

    def _fetch(self) -> None:
        """Have credentials fetched that are due, each in a thread of its own: a slow source holds up no other."""
        self.sites.needed.clear()
        for fetch in self.sites.due():
            threading.Thread(target=self._fetch_one, args=(fetch,), name="fetch", daemon=True).start()
        if not self.stop.is_set():
            self.sites.needed.wait(self.sites.until_due())

    def _fetch_one(self, fetch: Callable[[], Role | None]) -> None:
        """Have some credentials fetched; once there are some again, the objects that wait for them look."""
        if role := fetch():
            self.first.look_at_those_of(role)

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
        self.first.look_at_all()
        self.sites.own_tried.wait(CREDENTIALS_SECONDS)
        names = [f"worker-{number}" for number in range(self.config.workers)]
        self.workers += [self._start(name, lambda: self.controller.run_once(wait=1.0), RETRY_SECONDS) for name in names]
        if self.sites.home:
            # Without a beat: how long a list of pods takes is no matter of the profiles.
            self._start("pods", lambda: self.stop.wait(self.looks.step()), RETRY_SECONDS, beat=lambda: None)

    def _start(
        self,
        name: str,
        run_once: Callable[[], object],
        bounds: tuple[float, float],
        beat: Callable[[], None] | None = None,
    ) -> threading.Thread:
        backoff, moved = Backoff(bounds, random.random), beat or self.health.beat(name)
        thread = threading.Thread(target=loop, args=(run_once, backoff, self.stop, moved), name=name, daemon=True)
        thread.start()
        return thread


# The engine


@dataclass
class FirstLooks:
    """When a process looks at what it finds: at settled objects in their cluster's slot of the resync, at all else
    at once.

    So a start costs no burst of calls, and keeps no new object waiting; what drifted in AWS while
    nobody acted is found within a resync. Of an object that was judged by other flags, or has its
    profile elsewhere than where this process looks, nothing is believed. Where that is has to be asked,
    by a worker (`SORTING`): who finds objects can't wait for AWS.
    """

    store: Store
    queue: WorkQueue
    reconciler: Reconciler
    sites: Sites
    settings: Settings
    judgement: Judgement
    now: Callable[[], datetime]
    synced: Callable[[], bool] = lambda: True  # every object is known
    unsorted: dict[Key, None] = field(default_factory=dict)  # what seems settled; the eldest first
    unjudged: dict[Key, None] = field(default_factory=dict)  # what may not have been judged by our flags yet

    def look_at_all(self) -> None:
        """Have the clusters and every object looked at, each in its time; the controller's own cluster at once."""
        now, period, home = self.now().timestamp(), self.settings.resync_seconds, self.sites.home
        for entry in self.sites.each:
            self.queue.add(("", entry.name), 0.0 if entry == home else until_slot(entry.name, period, now))
        for key in [*self.unjudged]:  # one by one: it is not to look empty to a worker in between
            if self.store.get(key) is None:  # it has gone while nobody looked
                self.unjudged.pop(key, None)
        for key in map(key_of, self.store.objects()):
            if not self.found(key):
                self.queue.add(key)
        self.queue.wake(SORTING)

    def look_at_those_of(self, role: Role) -> None:
        """Have the objects looked at that a role has kept waiting; our own credentials may have kept all."""
        if role == OWN:
            self.look_at_all()
        for key in self.sites.waited_for(role):
            self.queue.add(key)

    def found(self, key: Key) -> bool:
        """Take an object that seems settled, to look at it in its time; say whether it was taken."""
        if not self.judgement.complete:
            self.unjudged[key] = None
        if not self._settled_in(key):
            return False
        self.unsorted[key] = None
        self.queue.wake(SORTING)
        return True

    def judge_anew(self, by: str) -> None:
        """Begin a judgement by something else, of which `by` is the digest, and look at everything."""
        self.unjudged |= dict.fromkeys(map(key_of, self.store.objects()))
        self.judgement.by = by  # after the former: else it could seem complete
        self.look_at_all()

    def reconcile(self, key: Key) -> Requeue:
        """Do what the key stands for; note when each object has been judged by what judges now."""
        by = self.judgement.by
        requeue = self._sort() if key == SORTING else self.reconciler.reconcile(key)
        to_the_end = not requeue.skipped and requeue.after != 0.0  # and looked at at all
        if to_the_end and by is not None and by == self.judgement.by:  # else maybe by what judged before
            self.unjudged.pop(key, None)
        if not (self.unsorted or self.unjudged) and self.synced():
            self.judgement.done(by)
        return requeue

    def lean(self, key: Key) -> float:
        """Bring a key nearer to the slot of its cluster, into which it comes within five resyncs.

        Objects that were made all at once would else be looked at all at once for hours. And all objects
        of a cluster come to share a reading of it.
        """
        obj, period = self.store.get(key), self.settings.resync_seconds
        cluster = self._slot_of(Identity.parse(obj, Memory.parse(obj), self.settings.cluster)) if obj else key[1]
        away = until_slot(cluster, period, self.now().timestamp())
        if away > period / 2:
            away -= period  # the slot that has just been is nearer
        return max(-1.0, min(away / (RESYNC_TENTH * period), 1.0))

    def _sort(self) -> Requeue:
        """Give each object that seems settled its time: its slot if it is known to be so by our flags, in our home."""
        homes, judged = self.reconciler.homes, self.judgement.complete
        known = judged and homes.is_known()  # asked for once, as it may take its time
        for key in [*self.unsorted]:
            cluster = self._settled_in(key, homes.arn) if known else ""
            period, now = self.settings.resync_seconds, self.now().timestamp()
            self.queue.add(key, until_slot(cluster, period, now) if cluster else 0.0)
            self.unsorted.pop(key, None)
        return Requeue(gone=True)

    def _settled_in(self, key: Key, arn: Callable[[Identity], str] | None = None) -> str:
        obj = self.store.get(key)
        who = settled(obj, self.settings.cluster, arn) if obj else None
        return self._slot_of(who) if who else ""

    def _slot_of(self, who: Identity) -> str:
        """Return the name of an object's cluster, as it is shown: all its objects share a slot of the resync."""
        entry = self.sites.find(who)
        return entry.name if isinstance(entry, Entry) else who.cluster


class Controller:
    """Hands the queue's keys to the reconciler and schedules the next look at each.

    `lean`: how much earlier or later than at the resync a key comes, of a tenth of it: -1 to 1.
    """

    def __init__(
        self,
        queue: WorkQueue,
        reconcile: Callable[[Key], Requeue],
        resync_seconds: float,
        rand: Callable[[], float] = random.random,
        metrics: Metrics | None = None,
        lean: Callable[[Key], float] | None = None,
    ) -> None:
        self._queue, self._reconcile, self._resync_seconds = queue, reconcile, resync_seconds
        self._lean = lean or (lambda _key: 2 * rand() - 1)
        self._backoff, self._metrics = Backoff(RETRY_SECONDS, rand), metrics or Metrics()

    def run_once(self, wait: float = 0.0) -> bool:
        """Work on one key, waiting up to `wait` seconds for it; say whether there was one."""
        key = self._queue.get(wait)
        if key is None:
            return False
        with self._metrics["controller_runtime_reconcile_time_seconds"].time():
            urgent: bool | None = False
            try:
                requeue = self._reconcile(key)
                (result, after), urgent = self._after(key, requeue), requeue.urgent
            except (kube.Conflict, kube.NotFound):
                result, after, urgent = "requeue", CONFLICT_SECONDS, None
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
            self._queue.add(key, after, urgent=urgent)
        self._queue.done(key)
        return True

    def _after(self, key: Key, requeue: Requeue) -> tuple[str, float | None]:
        if requeue.retry:
            return "error", self._backoff.next(key)
        if not requeue.skipped:
            self._backoff.forget(key)
        if requeue.gone:
            return "success", None
        if requeue.after is not None:
            return "requeue_after", requeue.after
        return "success", self._resync_seconds * (1 + RESYNC_TENTH * self._lean(key))


def judged_by(
    settings: Settings, namespaces: Collection[str] = (), selector: str = "", entries: Entries | None = None
) -> str:
    """Return a digest of what judges objects: this version, settings, clusters, and which objects are served."""

    def plain(value: object) -> object:
        return str(value) if isinstance(value, timedelta) else sorted(cast("Collection[str]", value))

    told = [VERSION, asdict(settings), namespaces, selector, entries.digest if entries else ""]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=plain).encode()).hexdigest()[:32]


def loop(run_once: Callable[[], object], backoff: Backoff, stop: threading.Event, beat: Callable[[], None]) -> None:
    """Call `run_once` until `stop`, resting after failures: the one `while` of the program."""
    while not stop.is_set():
        beat()
        try:
            run_once()
            backoff.forget()
        except kube.KubeError as error:
            absent, rest = isinstance(error, kube.NotServed), backoff.next()
            if not stop.is_set():  # then it is the watch that was ended
                said = "%s; it is looked for again soon" if absent else "the API server failed, tried again soon: %s"
                log.warning(said, error)
            stop.wait(min(rest, ABSENT_SECONDS) if absent else rest)
        except Exception:
            log.exception("a bug: a loop broke off and starts again")
            stop.wait(backoff.next())


# Signals, probes, metrics


def stop_on_signals(stop: threading.Event) -> None:
    """Make SIGTERM and SIGINT set `stop`; a second one ends the process at once. Before any other
    thread starts.

    One thread waits for them and all others have them blocked: a handler, which Python runs in the
    main thread, can be missed for good if it is due right before that thread waits for `stop`.
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


@dataclass
class Health:
    """Alive as long as every loop moves; `beats` are monotonic seconds by loop."""

    monotonic: Callable[[], float]
    synced: Callable[[], bool] = lambda: True
    standing_by: Callable[[], str] = lambda: ""
    unlisted: dict[str, str] = field(default_factory=dict)  # by informer, why it could not list the last time
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
            return self.ready()
        return 404, "not found"

    def ready(self) -> tuple[int, str]:
        """A replica that stands by is ready too, so that a rollout of it ends."""
        if not self.synced():
            return 503, "; ".join(filter(None, ("the objects are not listed yet", *self.unlisted.copy().values())))
        return 200, "; ".join(filter(None, ("ok", self.standing_by())))

    def listen(self, address: str, port: int, registry: CollectorRegistry | None) -> ProbeServer:
        """Take the port for GET /healthz and /readyz, and for /metrics where that is to be there."""

        def answer(path: str, _: str) -> Answer | None:
            return None if registry and path == METRICS_PATH else self.answer(path)

        return listen("health", address, port, answer, registry or CollectorRegistry())


def serve(server: ProbeServer) -> None:
    """Have a server answer, in a thread of its own."""
    threading.Thread(target=server.serve_forever, name=f"{server.name} port", daemon=True).start()


def listen_guarded(config: Config, source: kube.Kube, registry: CollectorRegistry) -> ProbeServer:
    """Take the port for GET /metrics over TLS by those whom the API server lets get it."""
    if not (config.metrics_cert_file and config.metrics_key_file):
        raise Missing("set --metrics-cert-file and --metrics-key-file: with --metrics-auth tokens come, over TLS only")
    try:
        certificate = Certificate(Path(config.metrics_cert_file), Path(config.metrics_key_file))
    except OSError as error:
        raise Missing(f"--metrics-cert-file and --metrics-key-file are no certificate and its key: {error}") from error
    guard = Guard(partial(asked_who_may, source), time.monotonic)

    def answer(path: str, authorization: str) -> Answer | None:
        return guard.refusal(authorization) if path == METRICS_PATH else (404, "not found")

    return listen("metrics", config.health_address, config.metrics_port, answer, registry, certificate)


def asked_who_may(source: kube.Kube, token: str, path: str) -> tuple[str, bool] | None:
    """Ask the API server, None for no answer: the log has the reason."""
    try:
        return may_get(source.review, token, path)
    except kube.KubeError as error:
        log.warning('failed %(path)s message="%(message)s"', {"path": path, "message": str(error)})
        return None


@dataclass(eq=False)  # the registry wants it hashable
class Census:
    """Counts objects and profiles at each scrape."""

    store: Store
    tally: Callable[[], Mapping[str, Tally]]
    now: Callable[[], datetime]

    def collect(self) -> Iterator[Metric]:
        objects = [*self.store.objects()]
        phases = [phase_of(obj) for obj in objects]
        noted = dict.fromkeys(INFORMATIVE, 0) | Counts(kind for obj in objects for kind in noted_of(obj))
        counted = dict.fromkeys(Phase, 0) | Counts(phase for phase, _ in phases)
        waits = ((self.now() - since).total_seconds() for phase, since in phases if phase is Phase.RECONCILING)
        clusters = self.tally()
        states = {(name, state): n for name, each in clusters.items() for state, n in each.states.items()}
        orphans = {(name,): each.orphans for name, each in clusters.items()}
        retained = {(name,): each.retained for name, each in clusters.items()}
        yield gauges(
            "fargate_objects", "phase", {(phase.value,): n for phase, n in counted.items()}, "Objects by phase."
        )
        kinds = {(kind,): n for kind, n in noted.items()}
        yield gauges("fargate_objects_noted", "condition", kinds, "Objects with an informative condition, by its type.")
        yield gauges("fargate_longest_wait_seconds", "", {(): max(waits, default=0.0)}, "Longest time Reconciling.")
        yield gauges("fargate_profiles", "cluster status", states, "Profiles in EKS by state.")
        yield gauges("fargate_profiles_orphaned", "cluster", orphans, "Profiles with our tags that are no object's.")
        yield gauges("fargate_profiles_retained", "cluster", retained, "Profiles that were kept as their objects went.")


@dataclass(eq=False)
class PodCensus:
    """Shows how many pods the last look has counted; nothing where that is not known."""

    counted: Callable[[], Mapping[str, Counted]]
    cluster: Callable[[], str]  # by another file it may be shown by another name

    def collect(self) -> Iterator[Metric]:
        found = {(self.cluster(), profile): each for profile, each in self.counted().items()}
        states = {(*key, state): getattr(each, state) for key, each in found.items() for state in (*STATES, "blocked")}
        yield gauges("fargate_pods", "cluster profile state", states, "Pods on Fargate, or missed by it, by state.")
        vcpu, gib = ({key: getattr(each, name) for key, each in found.items()} for name in ("vcpu", "gib"))
        yield gauges("fargate_pods_vcpu", "cluster profile", vcpu, "vCPU that are billed for pods.")
        yield gauges("fargate_pods_memory_gib", "cluster profile", gib, "GiB of memory that are billed for pods.")


def utc_now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
