"""The whole controller, once or twice, in one thread between an API server and an AWS account, all in memory.

    script --> point --> deed (fail, kill, sleep, others first)
                 |
    Process: Informer, WorkQueue, Controller, Reconciler --> doors --> World.effect --> ApiServer, Memory --> Checker

Every call to Kubernetes or AWS, and every watch event, is an effect with a point before and a point after it. The
script decides at each point what happens there, and nothing else does: the same script makes the same world again.
What others do meanwhile runs inside of the point, so that one pass may stand still in the middle of another.
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import urllib3.exceptions
from botocore.exceptions import ClientError

from answers import Retryable
from aws import Aws, Signer
from controller import RELIST_SECONDS, Controller, FirstLooks, judged_by
from credentials import Credentials
from entries import Entries
from evictions import Evictor
from informer import Informer, Store, kept, key_of
from kube import SILENCE_SECONDS, Kube, KubeError
from leader import LOOK_SECONDS, Judgement, LeaderElector, LostLease, fenced
from limits import LOST_CREATE, Settings
from metrics import Metrics
from podlooks import PodLooks
from reconcile import Reconciler
from sites import Sites
from tests.fakes.apiserver import ApiServer, Expired, Response
from tests.fakes.eks import METHODS, SERVICE_OF, Client, Memory, operation, refused
from tests.fakes.eks_rules import Behaviour
from tests.harness import TOKEN, VERIFIED, Clock
from tests.simulation import fleet, oracle
from tests.simulation.checker import (
    ADOPTION_IN,
    ANOTHERS_FINALIZER,
    CONTROLLER,
    KOPF_IN,
    LIMITS,
    PLURAL,
    RETAIN_IN,
    Checker,
    Violation,
    l2_nobody_who_is_due_is_passed_over,
)
from tests.simulation.evictions import EVICT_IN, Shown
from tests.simulation.fleet import Fleet
from tests.simulation.podworld import CLUSTER, PodWorld
from workqueue import Backoff, Requeue, WorkQueue

Object = dict[str, Any]
Key = tuple[str, str]

SETTLED_SECONDS = 9000.0  # by which a world without faults must be as it should be
MOST_STEPS = 20_000
CALM = "the faults stop here"
CALL_SECONDS = 0.001  # no two calls are made at the same moment
LEASE = ("kube-system", "fargate-operator")
METRICS = Metrics()  # one for all: nobody reads them here
GLANCE_SECONDS = 15.0  # how often the thread of the pods sees whether it has something to do
DEEPEST = 3  # so many passes may stand still one inside the other


class Killed(BaseException):
    """The process ends here: nothing of it goes on, nothing catches this but who runs it."""


@dataclass
class Signs:
    """Credentials that sign as long as `ready` raises nothing."""

    ready: Callable[[], None]

    def get_frozen_credentials(self) -> object:
        self.ready()
        return fleet.OWN


@dataclass
class Call:
    """One effect on its way: what is asked of whom, and about what."""

    service: str
    operation: str
    about: str
    request: Object
    perform: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.operation} {self.about}".rstrip()


@dataclass
class Place:
    """A point: before or after a call of a process, or `idle`, when the clock is about to move."""

    number: int
    side: str
    process: Process | None = None
    call: Call | None = None


class Deed(Protocol):
    """What happens at a point; `do` returns what the caller gets, or has raised, instead of an answer; None: go on."""

    @property
    def name(self) -> str: ...
    @property
    def do(self) -> Callable[[World, Place], Any]: ...


Script = Callable[["World", Place], "Deed | None"]


def half() -> float:
    return 0.5


def nothing(_world: World, _place: Place) -> Deed | None:
    return None


@dataclass
class Look:
    """One pass in work: for which object, and what it has been shown of each profile since it began."""

    key: Key
    entries: Entries | None = None  # by which it began
    shown: dict[str, Object] = field(default_factory=dict)
    mark: Object | None = None  # the object as the mark of a create left it
    proved: Object | None = None  # the object as its status was written last
    has_sent: bool = False  # a change of EKS, whatever came of it
    marked_at: float = 0.0
    unlisted: bool = False  # EKS did not answer what there is
    began: float = 0.0


class Process:
    """One controller process: everything that it has in memory goes with it."""

    def __init__(self, world: World, name: str, cluster: str) -> None:
        self.world, self.name, self.cluster = world, name, cluster
        self.alive, self.asleep = True, False
        self.held_until = 0.0  # its watch says nothing before: a stale cache
        self.version: str | None = None  # the last that its informer has heard of
        self.opening, self.cut = False, False  # whether it has listed and not watched yet; its watch has broken
        self.informer_at = world.clock.elapsed
        self.looks: list[Look] = []  # its passes in work, one inside the other
        self.knows: dict[str, dict[str, Object]] = {}  # by cluster and name: each profile as EKS last showed it
        self.known_at: dict[tuple[str, str], float] = {}  # and when that was
        clock = world.clock
        self.kube = Kube(KubeDoor(self), name, rand=half, keep=kept)
        self.queue, self.store = WorkQueue(clock.monotonic, METRICS), Store()
        self.passed_over: Counter[Key] = Counter()  # how many were looked at while each was due
        edge = self._reach(world.account.region)
        lost_create = timedelta(seconds=world.lost_create)
        settings = Settings(
            cluster, world.controller_id, world.resync_seconds, 5.0, lost_create, adoption_in=ADOPTION_IN,
            kopf_in=KOPF_IN, retain_in=RETAIN_IN, evict_in=EVICT_IN, limits=LIMITS,
        )  # fmt: skip
        self.flags = world.fleet.flags
        entries, self.file, self.file_at = world.fleet.entries(cluster, self.flags), world.fleet.version, 0.0
        self._by: Callable[[Entries], str] = lambda listed: judged_by(settings, entries=listed)
        self.judgement = judgement = Judgement(self._by(entries))
        self.elector = self._elector(judgement) if world.elect else None
        check = self.elector.check if self.elector else lambda: None
        kube = fenced(self.kube, check)
        self.sites = Sites(
            entries, edge, kube, settings, clock.monotonic, self._reach, lambda each: fenced(each, check),
            now=lambda: self.wall_clock().timestamp(),
        )  # fmt: skip
        self.roles_at = clock.elapsed  # when its thread of the roles looks after their credentials
        reconciler = Reconciler(
            self.store, kube, self.sites, settings, self.queue.wake, self.wall_clock, clock.monotonic,
            readmit=self.queue.readmit,
        )  # fmt: skip
        self.shown, self.glance_at, self._glances = Shown(), clock.elapsed, False
        self.pod_looks = self._pod_looks(settings, reconciler, check) if world.pods else None
        self.first = FirstLooks(self.store, self.queue, reconciler, self.sites, settings, judgement, self.wall_clock)
        self._reconcile, self.tally = self.first.reconcile, reconciler.tally
        self.informer = Informer(self.kube, self.store, self.queue, lambda: None, found=self.first.found)
        self.first.synced = lambda: self.informer.synced
        self.controller = Controller(self.queue, self._pass, world.resync_seconds, half, METRICS, self.first.lean)
        self._backoff = Backoff(RELIST_SECONDS, half)
        self.leads, self.elect_at = False, clock.elapsed
        self.queue.close()
        if not self.elector:
            self._lead()

    def _reach(self, region: str, credentials: Credentials | None = None, account: str = "") -> Aws:
        clients = dict.fromkeys(METHODS, Client(partial(self._asks, region)))
        return Aws(clients, region, credentials or Signs(self.world.sign), account=account)

    def _pod_looks(self, settings: Settings, reconciler: Reconciler, check: Callable[[], None]) -> PodLooks:
        """Wire what looks at pods and evicts them, as controller.py does."""
        clock, cluster, edge = self.world.clock, settings.cluster, fenced(self.kube, check)
        evictor = Evictor(
            settings, self.store, edge, reconciler.read_anew, reconciler.homes.own, check, clock.monotonic,
            self.world.run,
        )  # fmt: skip
        looks = PodLooks(
            edge, self.store, settings, reconciler.view, self.queue.wake, clock.monotonic,
            self.wall_clock, lambda: self.leads, reconciler.see_anew, evictor.after,
        )  # fmt: skip
        looks.proof, looks.at_home = lambda: "" if cluster == CLUSTER else "as planned", self.sites.is_at_home
        reconciler.news, reconciler.asked = looks.news, looks.ask
        return looks

    def is_to_glance(self, now: float) -> bool:
        """Say whether its thread of the pods has its turn."""
        is_free = self.alive and self.leads and not self.asleep and not self._glances
        return self.pod_looks is not None and is_free and self.glance_at <= now

    def glance(self) -> None:
        """Do what the thread of the pods does each time; its calls are no pass's."""
        assert self.pod_looks
        self._glances = True
        self.shown.look(self.world.clock.elapsed)
        look = Look(("", "pods"))
        self.looks.append(look)
        try:
            self.pod_looks.step()
        except Killed:
            if self.alive:
                raise
        finally:
            self.looks.remove(look)
            self._glances, self.glance_at = False, self.world.clock.elapsed + GLANCE_SECONDS

    def _elector(self, judgement: Judgement) -> LeaderElector:
        clock, identity = self.world.clock, f"{self.name}-{next(self.world.identities)}"
        return LeaderElector(self.kube, LEASE, identity, clock.monotonic, self.wall_clock, half, judgement)

    def wall_clock(self) -> datetime:
        """Return the time by the clock of this process's machine, which may be wrong."""
        return self.world.clock.now() + timedelta(seconds=self.world.skews.get(self.name, 0.0))

    @property
    def look(self) -> Look:
        return self.looks[-1] if self.looks else Look(("", ""))

    def knows_of(self, label: str, profile: Object) -> bool:
        """Say whether it was shown this very profile of a cluster last, as ACTIVE."""
        shown = self.knows.get(label, {}).get(profile["fargateProfileName"], {})
        same = shown.get("fargateProfileArn") == profile["fargateProfileArn"]
        return bool(same and shown["status"] == "ACTIVE")

    def _pass(self, key: Key) -> Requeue:
        l2_nobody_who_is_due_is_passed_over(self, key)
        self.looks.append(Look(key, self.sites.entries, began=self.world.clock.elapsed))
        try:
            after = self._reconcile(key)
            self.world.checker.passed(self.look)
        finally:
            self.looks.pop()
        return after

    def _asks(self, region: str, method: str, request: Object) -> Object:
        """Send a request, signed as the product has said; where it has not, nothing signs it."""
        return self.ask(method, request, region, Signer().get_frozen_credentials().access_key)

    def ask(self, method: str, request: Object, region: str = fleet.REGION, key: str = "own") -> Object:
        arn = str(request.get("resourceArn", ""))
        about = (
            arn.partition(":fargateprofile/")[2].rpartition("/")[0]
            if arn
            else "/".join(
                str(value)
                for each, value in request.items()
                if each in {"clusterName", "fargateProfileName", "name", "RoleName", "RoleArn"}
            )
        )
        if SERVICE_OF[method] == "eks":
            cluster, slash, name = about.partition("/")
            about = f"{self.world.fleet.label(key, region, cluster)}{slash}{name}"
        perform = partial(self.world.ask_account, method, request, about, region, key)
        call = Call(SERVICE_OF[method], operation(method), about, request, perform)
        answer: Object = self.world.effect(self, call)
        return answer

    # What its threads would do

    def next_due(self) -> float | None:
        """Return when it has something to do; None for never."""
        if not self.alive or self.asleep:
            return None
        due, now = self.queue.next_due(), self.world.clock.elapsed
        moments = [] if due is None else [due - 1000.0]
        if self.elector:
            moments.append(self.elect_at)
        if self.leads:
            moments.append(now if self.sites.needed.is_set() else self.roles_at)
        if self._file_is_new():
            moments.append(self._told_at)
        if self._has_news():
            moments.append(max(self.informer_at, self.held_until))
        return min(moments, default=None)

    def _has_news(self) -> bool:
        return self.version is None or self.cut or self.world.api.has_news(PLURAL, self.version)

    def step(self) -> None:
        """Let the informer hear what there is, or else work on one key."""
        now = self.world.clock.elapsed
        try:
            if self.elector and now >= self.elect_at:
                self.elect(self.elector)
            elif self._file_is_new() and now >= self._told_at:
                self.read_file()
            elif self.leads and (self.sites.needed.is_set() or now >= self.roles_at):
                self.fetch()
            elif self._has_news() and now >= max(self.informer_at, self.held_until):
                self.listen()
            else:
                self.controller.run_once()
        except Killed:
            if self.alive:  # it is somebody around this one who has been killed
                raise

    def _file_is_new(self) -> bool:
        return self.file != self.world.fleet.version

    @property
    def _told_at(self) -> float:
        return max(self.file_at, self.world.fleet.changed_at + fleet.HEARD_SECONDS.get(self.name, 0.0))

    def read_file(self) -> None:
        """Do what the thread does that reads the clusters file."""
        if not self.judgement.begin():
            self.file_at = self.world.clock.elapsed + LOOK_SECONDS
            return
        self.file, self.sites.entries = self.world.fleet.version, self.world.fleet.entries(self.cluster, self.flags)
        self.first.judge_anew(self._by(self.sites.entries))

    def fetch(self) -> None:
        """Do what the threads do that fetch the credentials of roles; these calls are no pass's."""
        self.sites.needed.clear()
        for fetch in self.sites.due():
            look = Look(("", "roles"))
            self.looks.append(look)
            try:
                if role := fetch():
                    self.first.look_at_those_of(role)
            finally:
                self.looks.remove(look)
        self.roles_at = self.world.clock.elapsed + self.sites.until_due()

    def elect(self, elector: LeaderElector) -> None:
        """Do what the elector's thread does; a lost Lease ends the process."""
        now = self.world.clock.elapsed
        try:
            self.elect_at = now + elector.step()
        except KubeError:
            self.elect_at = now + LOOK_SECONDS
        except LostLease:
            self.world.kill(self, again=1.0)
            raise Killed from None
        if elector.leading() and not self.leads:
            self._lead()

    def _lead(self) -> None:
        self.leads = True
        self.queue.open()
        self.first.look_at_all()

    def listen(self) -> None:
        try:
            self.informer.run_once()
            self._backoff.forget()
        except KubeError:
            self.version = None
            self.informer_at = max(self.informer_at, self.world.clock.elapsed) + self._backoff.next()

    def work(self) -> None:
        """Let another of its workers take a key."""
        try:
            self.controller.run_once()
        except Killed:
            if self.alive:
                raise


@dataclass
class Answer:
    """What the kubernetes client gives back; `response` is where a watch is read from."""

    status: int
    body: bytes = b""
    lines: Callable[[], Iterator[bytes]] | None = None
    reason: str = ""

    def read(self, most: int | None = None) -> bytes:
        return self.body[:most]

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def response(self) -> Answer:
        return self

    def stream(self, _amount: int) -> Iterator[bytes]:
        assert self.lines
        return self.lines()

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class KubeDoor:
    """Stands where the kubernetes client's ApiClient stands, without a wire."""

    process: Process
    configuration = VERIFIED

    def param_serialize(self, method: str, path: str, **parts: Any) -> tuple[Any, ...]:
        parts["authorization"] = f"Bearer {TOKEN}"
        return method, path, parts

    def call_api(self, method: str, path: str, parts: Any, _request_timeout: object) -> Answer:
        query, body = dict(parts["query_params"]), parts["body"]
        content_type, accept = (parts["header_params"].get(name, "") for name in ("Content-Type", "Accept"))
        perform = partial(self.process.world.api.request, method, path, query, body, content_type, accept=accept)
        if query.get("watch"):
            perform = partial(Response, 200, {})
        call = Call("kube", _kube_operation(method, path, query, body), _kube_about(path), body or query, perform)
        response: Response = self.process.world.effect(self.process, call)
        if response.status >= 300:
            return Answer(response.status, json.dumps(response.body).encode())
        if query.get("watch"):
            return Answer(200, lines=partial(self._watch, query["resourceVersion"]))
        if call.operation == "List":
            self.process.version = response.body["metadata"]["resourceVersion"]
            self.process.opening, self.process.cut = True, False
        return Answer(response.status, json.dumps(response.body).encode())

    def _watch(self, version: str) -> Iterator[bytes]:
        """Tell what has happened up to now and end with a bookmark, as a session does that has reached its time."""
        process, api = self.process, self.process.world.api
        process.opening, told = False, api.resource_version
        if int(version) > int(told):  # it says nothing until it has come to it
            process.informer_at = process.world.clock.elapsed + SILENCE_SECONDS
            return
        try:
            events = api.events_since(PLURAL, version)
        except Expired as error:
            yield _line({"type": "ERROR", "object": error.response.body})
            return
        for event in events:
            if process.held_until > process.world.clock.elapsed:
                return
            meta = event["object"]["metadata"]
            call = Call("kube", "WatchEvent", f"{event['type']} {meta['namespace']}/{meta['name']}", {}, lambda: None)
            process.world.effect(process, call)
            self._go_on()
            process.version = meta["resourceVersion"]
            yield _line(event)
        self._go_on()
        process.version = told
        yield _line({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": told}}})

    def _go_on(self) -> None:
        """Raise if the connection has broken; who listens anew may be somebody else."""
        if self.process.cut:
            self.process.cut = False
            raise dropped("the server went away")


def _line(event: Object) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _kube_operation(method: str, path: str, query: Object, body: Object | None) -> str:
    if path.endswith("/status"):
        return "PatchStatus"
    kind = path.rsplit("/", 1)[-1]
    if kind == "eviction":
        return "CreateEviction"
    if method == "GET" and kind == PLURAL:
        return "Watch" if query.get("watch") else "List"
    if method == "PATCH":
        return "PatchFinalizers"
    return {"GET": "Get", "POST": "Create", "PUT": "Update"}[method] + _resource(path)


def _resource(path: str) -> str:
    for part, name in (
        ("/pods", "Pods"),
        ("/replicasets/", "ReplicaSet"),
        ("/mutatingwebhookconfigurations/", "Webhook"),
        ("/selfsubjectaccessreviews", "AccessReview"),
        ("/leases", "Lease"),
        ("/events", "Event"),
        (f"/{PLURAL}/", ""),
        ("/namespaces/", "Namespace"),
    ):
        if part in path:
            return name
    return ""


def _kube_about(path: str) -> str:
    parts = path.removesuffix("/status").removesuffix("/eviction").split("/")
    if PLURAL in parts[:-1] or "pods" in parts[:-1]:
        return f"{parts[-3]}/{parts[-1]}"
    return parts[-1] if "namespaces" in parts and parts[-1] not in {PLURAL, "events"} else ""


@dataclass
class World:
    """One API server, one AWS account, the processes, and all that happens to them, on one clock."""

    script: Script = nothing
    seed: int = 0
    elect: bool = False  # whether the processes agree by a Lease on who acts
    resync_seconds: float = 120.0
    lost_create: float = LOST_CREATE.total_seconds()
    call_seconds: float = CALL_SECONDS  # that each call takes
    clock: Clock = field(default_factory=Clock)
    history: list[tuple[float, str, str]] = field(default_factory=list)
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    excuses: Counter[str] = field(default_factory=Counter)
    expects: str = ""  # the reason with which default/web has to rest, if a story knows better than the oracle
    calls: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    controller_id: str = ""  # that processes are started with from now on; another one than CONTROLLER is a mistake
    unsigned_until: float = 0.0  # no process has AWS credentials before: STS hangs, a token is missing

    def __post_init__(self) -> None:
        self.rand = random.Random(self.seed)
        self.api = ApiServer(now=self.clock.now, rand=random.Random(self.seed + 1))
        manners = Behaviour(clock=self.clock.time, creating_seconds=60, deleting_seconds=60)
        self.account = Memory(manners, rand=random.Random(self.seed + 2))
        self.manners = manners
        self.fleet = Fleet(self)
        self.checker = Checker(self)
        self.processes: list[Process] = []
        self.identities = itertools.count()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self.points = self._depth = self._turn = self._ordinal = 0
        self.calm = False  # faults have stopped
        self.performing: Call | None = None  # the call of a process that is being carried out
        self.hidden: set[str] = set()  # "cluster/profile" that may be listed, and not described
        self.unlisted = False  # no cluster's profiles may be listed
        self.throttled: set[str] = set()  # what EC2 does not answer now, by method
        self.skews: dict[str, float] = {}  # seconds by which the clock of a process is ahead
        self.restores = 0  # of etcd
        self.pods: PodWorld | None = None  # where pods are looked at
        self.api.may_list_pods = True
        self.account.add_cluster("other")
        (self.api.peek("namespaces", "", "kube-system") or {})["metadata"]["uid"] = CONTROLLER
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})

    def rand_of(self, number: int) -> random.Random:
        return random.Random(self.seed + number)

    def at(self, seconds: float) -> datetime:
        """Return a moment by its seconds since 1970."""
        return datetime.fromtimestamp(seconds, UTC)

    def with_pods(self, misses: float = 0.0) -> PodWorld:
        """Have pods in this world; processes that are started from now on look at them."""
        self.pods = PodWorld(self, misses)
        return self.pods

    def evictable(self) -> list[str]:
        """Return the pods that may be evicted, but for those of owners of which that was done in vain."""
        return self.checker.evictions.due() if self.pods else []

    # Processes

    def snapshot(self) -> Callable[[], None]:
        """Take a snapshot of etcd; return what restores it, once, unless another one was restored meanwhile."""
        version, taken, restores = self.api.resource_version, self.clock.elapsed, self.restores

        def restore() -> None:
            if self.calm or self.restores != restores:
                return
            self.note("admin", f"restores etcd as it was at {taken:.3f}, version {version}")
            self.restores += 1
            self.checker.look()
            lost = self.api.changes_after(PLURAL, version)
            self.api.set_back(version)
            self.checker.set_back(taken, lost)
            for process in self.processes:
                process.cut = not process.opening

        return restore

    def start(self, name: str, cluster: str = "demo") -> Process:
        """Start a process in the place of the one of that name."""
        for old in self.processes:
            old.alive = old.alive and old.name != name
        process = Process(self, name, cluster)
        self.processes = [each for each in self.processes if each.name != name] + [process]
        self.processes.sort(key=lambda each: each.name)
        return process

    def kill(self, process: Process, again: float = 0.0) -> None:
        """End a process at once; it is started again after so many seconds."""
        process.alive = False
        self.crashes += 1
        self.later(again, lambda: self._restart(process))

    def _restart(self, process: Process) -> None:
        if process in self.processes:
            self.note(process.name, "starts again")
            self.start(process.name, process.cluster)

    # Effects

    def ask_account(self, method: str, request: Object, about: str, region: str, key: str) -> Object:
        if method == "describe_fargate_profile" and about in self.hidden:
            raise refused("DescribeFargateProfile", "AccessDeniedException", 403, "You are not authorized to see it")
        if method == "list_fargate_profiles" and self.unlisted:
            raise refused("ListFargateProfiles", "AccessDeniedException", 403, "You are not authorized to list them")
        if method in self.throttled:
            raise refused(operation(method), "RequestLimitExceeded", 503, "Request limit exceeded")
        return self.fleet.ask(key, region, method, request)

    def effect(self, process: Process, call: Call) -> Any:
        """Carry out one call of a process, with what the script has for the points around it."""
        if not process.alive:
            raise Killed
        self.calls[call.operation] += 1
        self.clock.elapsed += self.call_seconds
        self.checker.sends(process, call)
        if (instead := self.point("before", process, call)) is not None:
            return self._answer(process, call, instead, "not carried out: ")
        answer = self._perform(process, call)
        if (instead := self.point("after", process, call)) is not None:
            return self._answer(process, call, instead, "carried out, but ")
        self._log(process, call, answer)
        self.checker.told(process, call, answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _perform(self, process: Process, call: Call) -> Any:
        self.checker.before(process, call)
        self.performing = call
        try:
            answer = call.perform()
        except Exception as error:  # of whatever kind, it is the answer
            answer = error
        self.performing = None
        self.checker.after(process, call, answer)
        return answer

    def arrive(self, process: Process, call: Call, look: Look) -> None:
        """Carry out a call whose process waits for it no longer, or is no more."""
        process.looks.append(look)
        try:
            self._log(process, call, self._perform(process, call), "arrives late: ")
        finally:
            process.looks.remove(look)

    def _answer(self, process: Process, call: Call, instead: Any, what: str) -> Any:
        self._log(process, call, instead, what)
        if isinstance(instead, ClientError | dict):
            self.checker.told(process, call, instead)
        if isinstance(instead, Exception):
            raise instead
        return instead

    def _log(self, process: Process, call: Call, answer: Any, what: str = "") -> None:
        self.history.append((self.clock.elapsed, process.name, Line(call, answer, what)))  # type: ignore[arg-type]

    def note(self, who: str, what: str) -> None:
        self.history.append((self.clock.elapsed, who, what))

    def point(self, side: str, process: Process | None = None, call: Call | None = None) -> Any:
        """Let the script decide what happens here; return what to answer instead, None to go on."""
        if self.calm:
            return None
        self.points += 1
        place = Place(self.points, side, process, call)
        deed = self.script(self, place) if self._depth < DEEPEST else None
        return self._do(deed, place) if deed else None

    def _do(self, deed: Deed, place: Place) -> Any:
        operation_name = place.call.operation if place.call else "Idle"
        self.cells[operation_name, deed.name] += 1
        where = f" [{place.side} {place.call} of {place.process.name}]" if place.process else ""
        self.note("script", f"#{place.number} {deed.name}{where}")
        self._depth += 1
        try:
            answer = deed.do(self, place)
        finally:
            self._depth -= 1
        self.checker.look()
        if place.process and not place.process.alive:
            raise Killed
        return answer

    # Time

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something when so many seconds have passed."""
        self._ordinal += 1
        heapq.heappush(self._later, (self.clock.elapsed + seconds, self._ordinal, act))

    def run(self, seconds: float) -> None:
        """Let so much time pass; everybody who has something to do does it."""
        self.checker.look()  # what a story has just done is no process's doing
        end = self.clock.elapsed + seconds
        for _ in range(MOST_STEPS):
            self._happen()
            due = [(moment, each) for each in self.processes if (moment := each.next_due()) is not None]
            ready = [each for moment, each in due if moment <= self.clock.elapsed]
            if ready:
                self._turn += 1
                ready[self._turn % len(ready)].step()
                continue
            if self.pods and self.pods.step():
                continue
            if self.pods and (soon := self.pods.soon()) < min([end, *(moment for moment, _ in due), *self._next()]):
                self.clock.elapsed = max(self.clock.elapsed, soon)
                continue
            self.point("idle")
            moments = [moment for moment, _ in due] + self._next()
            after = min(moments, default=end)
            if after >= end:
                self.clock.elapsed = max(self.clock.elapsed, end)
                self._happen()
                return
            self.clock.elapsed = max(self.clock.elapsed, after)
        raise Violation("L1", "the controller never comes to rest")

    def _next(self) -> list[float]:
        """Return when what was planned for later happens next."""
        return [moment for moment, _, _ in self._later[:1]]

    def _happen(self) -> None:
        for _ in range(MOST_STEPS):
            if not self._later or self._later[0][0] > self.clock.elapsed:
                return
            heapq.heappop(self._later)[2]()
            self.checker.look()
        raise AssertionError("what happens later comes again at once, for ever")

    @contextmanager
    def without(self, process: Process) -> Iterator[None]:
        """Let a process stand still while others go on."""
        process.asleep, before = True, process.asleep
        try:
            yield
        finally:
            process.asleep = before

    def settle(self) -> None:
        """End all faults, let time run until everything is as it should be, then hear that it is silent."""
        self.quieten()
        end = self.clock.elapsed + SETTLED_SECONDS
        while self.clock.elapsed < end:
            self.run(self.resync_seconds)
            complaints = oracle.complaints(self)
            if not complaints:
                oracle.silence(self)
                oracle.truth_is_told(self)
                return
        raise Violation("L1", "; ".join(complaints))

    def quieten(self) -> None:
        """Stop the script and mend the world outside."""
        self.calm, self.call_seconds = True, CALL_SECONDS
        self.api.cached = self.api.admit = None
        self.hidden.clear()
        self.unlisted = False
        self.throttled.clear()
        self.fleet.quieten()
        if self.pods:
            self.pods.quieten()
        self.manners.updating.clear()
        self.manners.fail_creates.clear()
        self.manners.fail_deletes.clear()
        for process in self.processes:
            process.held_until = 0.0
        self.unsigned_until = 0.0
        for cluster in self.account.clusters:
            self.account.set_cluster_status(cluster, "ACTIVE")
        if self.restores:
            self._let_go_again()
        self.note("script", CALM)

    def sign(self) -> None:
        """Raise where there are no credentials to sign a request with; nothing is sent then."""
        if self.clock.elapsed < self.unsigned_until:
            raise Retryable("NoCredentials", "as planned")

    def _let_go_again(self) -> None:
        """Let another controller take its finalizer off where a restore has brought it back."""
        for obj in self.api.objects(PLURAL):
            held = obj["metadata"].get("finalizers", [])
            if ANOTHERS_FINALIZER in held:
                rest = {"metadata": {"finalizers": [each for each in held if each != ANOTHERS_FINALIZER]}}
                self.api.edit(PLURAL, *key_of(obj), rest)

    # What others do

    def apply(
        self, name: str = "web", namespace: str = "default", finalizers: tuple[str, ...] = (), **spec: Any
    ) -> None:
        self.note("user", f"applies {namespace}/{name} {spec}")
        account = self.fleet.account_of(spec.get("clusterName"))
        usual = {
            "podExecutionRoleArn": account.roles["good"],
            "subnets": list(account.private_subnets),
            "selectors": [{"namespace": name}],
        }
        wanted = {key: value for key, value in (usual | spec).items() if value is not None}
        meta = {"name": name, "namespace": namespace} | ({"finalizers": [*finalizers]} if finalizers else {})
        self.api.apply({"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": wanted})

    def edit(self, name: str = "web", namespace: str = "default", **spec: Any) -> None:
        self.note("user", f"edits {namespace}/{name} {spec}")
        if self.object(name, namespace):
            self.api.edit(PLURAL, namespace, name, {"spec": spec})

    def delete(self, name: str = "web", namespace: str = "default") -> None:
        self.note("user", f"deletes {namespace}/{name}")
        if self.object(name, namespace):
            self.api.delete(PLURAL, namespace, name)

    def object(self, name: str = "web", namespace: str = "default") -> Object | None:
        return self.api.peek(PLURAL, namespace, name)


@dataclass
class Line:
    """A line of the history, worded only if somebody reads it."""

    call: Call
    answer: Any
    what: str

    def __str__(self) -> str:
        return f"{self.call}  ->  {self.what}{_worded(self.answer)}{self._said()}"

    def _said(self) -> str:
        if self.call.operation in {
            "PatchStatus",
            "PatchFinalizers",
            "CreateEviction",
            "CreateFargateProfile",
            "TagResource",
            "UntagResource",
        }:
            return f"   {json.dumps(self.call.request, default=str)}"
        return ""


def _worded(answer: Any) -> str:
    if isinstance(answer, Response):
        return str(answer.status)
    if isinstance(answer, Exception):
        return f"{type(answer).__name__}: {answer}"
    profile = answer.get("fargateProfile") if isinstance(answer, dict) else None
    if profile:
        return f"{profile['status']} {json.dumps(profile['tags'])}"
    names = answer.get("fargateProfileNames") if isinstance(answer, dict) else None
    return "ok" if names is None else f"ok {names}"


def dropped(what: str) -> Exception:
    return urllib3.exceptions.ProtocolError(what)


class _Bugs(logging.Handler):
    """The controller logs an error only where a pass or a loop broke off by a bug."""

    def emit(self, record: logging.LogRecord) -> None:
        raise Violation("no pass breaks off", f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


def listen_for_bugs() -> None:
    """Keep the product's log out of the way, but for its bugs."""
    log = logging.getLogger("fargate")
    log.setLevel(logging.ERROR)
    log.propagate = False
    log.handlers = [_Bugs()]
