"""The whole controller in one thread on a clock that only tests move: real modules, both worlds in memory.

    test --> Bench: ApiServer <- kube.Kube -> Informer, Store, WorkQueue, Controller, Reconciler -> aws.Aws -> moto

Nothing is mocked between the API server's and EKS's doors; `Bench.run(seconds)` is what the threads would do.
"""

from __future__ import annotations

import copy
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import urllib3.exceptions

from aws import Aws, Signs, connect, fetch
from controller import Census, Controller, FirstLooks, PodCensus
from credentials import Credentials
from entries import Entries
from evictions import Evictor
from informer import Informer, Store, kept
from kube import Command, Kube, KubeError, trimmed
from leader import Judgement
from limits import Settings
from metrics import Metrics
from podlooks import PodLooks
from reconcile import Reconciler
from sites import Reach, Site, Sites
from tests.fakes import aws as fake_aws
from tests.fakes.apiserver import ApiServer, Dropped, token_by
from tests.fakes.eks_rules import issuer
from workqueue import WorkQueue

MOST_STEPS = 3000  # more keys than any test has due, so that one that is due for ever ends the test
START = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
Object = dict[str, Any]


@dataclass
class Clock:
    """Wall and monotonic time, moved by hand."""

    elapsed: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed

    def time(self) -> float:
        return self.now().timestamp()


VERIFIED = SimpleNamespace(host="https://kubernetes.default.svc", verify_ssl=True, cert_file=None)
TOKEN = token_by(issuer("demo"))


@dataclass
class _Answer:
    status: int
    body: bytes
    reason: str = ""

    def read(self) -> bytes:
        return self.body

    @property
    def response(self) -> io.BytesIO:
        return io.BytesIO(self.body)


@dataclass
class InProcess:
    """Stands where the kubernetes client's ApiClient stands, without a wire; `trip` is called around each effect.

    It is the API server of EKS cluster demo, for it takes tokens of that one's issuer.
    """

    api: ApiServer
    trip: Callable[[], None]
    token: str = TOKEN
    configuration = VERIFIED

    def param_serialize(self, method: str, path: str, **parts: Any) -> tuple[Any, ...]:
        parts["authorization"] = f"Bearer {self.token}"
        return method, path, parts

    def call_api(self, method: str, path: str, parts: Any, _request_timeout: object) -> _Answer:
        body = copy.deepcopy(parts["body"])
        kind, accept = (parts["header_params"].get(name, "") for name in ("Content-Type", "Accept"))
        self.trip()
        try:
            answer = self.api.request(method, path, dict(parts["query_params"]), body, kind, accept=accept)
        except Dropped as error:
            raise urllib3.exceptions.ProtocolError(str(error)) from error
        self.trip()
        return _Answer(answer.status, json.dumps(answer.body).encode())


@dataclass
class Tripwire:
    """A boto3 client whose every call has `trip` called before and after it."""

    client: Any
    trip: Callable[[], None]

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.trip()
            answer = method(*args, **kwargs)
            self.trip()
            return answer

        return call


@dataclass
class Replay:
    """A watch that hands over what has happened so far and ends, so that one thread can follow it."""

    kube: Kube
    api: ApiServer
    namespace: str = ""

    def list(self) -> tuple[list[Object], str]:
        return self.kube.list()

    def watch(self, version: str) -> Iterator[tuple[str, Object]]:
        for event in self.api.events_since("fargateprofiles", version):
            if self.namespace in {"", event["object"]["metadata"]["namespace"]}:
                yield event["type"], kept(trimmed(event["object"]))
        if int(version) <= int(self.api.resource_version):  # one from the future is met with silence
            yield "BOOKMARK", {"metadata": {"resourceVersion": self.api.resource_version}}


@dataclass
class Bench:
    """One controller process between an API server and an AWS account."""

    clock: Clock
    api: ApiServer
    world: fake_aws.World
    settings: Settings
    trip: Callable[[], None] = lambda: None
    namespace: str = ""  # that it serves, "" for all
    skew: timedelta = timedelta(0)  # of the controller's wall clock, beside that of AWS and of the API server
    credentials_ready: Callable[[], None] = lambda: None
    holds_lease: bool = True
    judged: bool = False  # whether the next start knows that the objects were judged by its flags
    token: str = TOKEN  # of the controller's ServiceAccount
    entries: Entries | None = None  # where not only the own cluster may be named
    reach: Reach | None = None  # the ways to other places
    clients: Mapping[str, Any] | None = None  # of the controller's own region, where AWS is not `world` alone
    signs: Signs | None = None  # the controller's own credentials there
    looking: bool = False  # whether `run` has it look at pods, where it may
    kube: Kube = field(init=False)
    queue: WorkQueue = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @property
    def site(self) -> Site:
        """What is shared by the clusters of the controller's own region and account."""
        assert self.sites.home
        return self.sites.of(self.sites.home)

    @property
    def manners(self) -> fake_aws.Manners:
        return self.world.manners

    def start(self) -> None:
        """Start the controller anew, as after a crash: all that it had in memory is gone."""
        self.metrics = Metrics()
        client = InProcess(self.api, self._around, self.token)
        self.kube = Kube(client, "test", observe=self.metrics.asked_kube, namespace=self.namespace, keep=kept)
        self.queue, self.store = WorkQueue(self.clock.monotonic, self.metrics), Store()
        clients = self.clients or CLIENTS or _clients(self.world.region)
        tripped = {name: Tripwire(client, self._around) for name, client in clients.items()}
        edge = Aws(tripped, self.world.region, self.signs or Ready(self))
        entries = self.entries or Entries(self.world.region, self.settings.cluster)
        self.sites = Sites(
            entries, edge, self.kube, self.settings, self.clock.monotonic, self.reach, now=self.clock.time
        )  # fmt: skip
        self.reconciler = Reconciler(
            self.store, self.kube, self.sites, self.settings, self.queue.wake, self.now, self.clock.monotonic,
            self.metrics["fargate_profile_time_to_ready_seconds"].observe,
            lambda reason: self.metrics["fargate_events_total"].labels(reason).inc(), self.queue.readmit,
        )  # fmt: skip
        self.metrics["fargate_cluster_is_elsewhere"].set_function(lambda: bool(self.reconciler.surveys.elsewhere))
        self.metrics.registry.register(Census(self.store, self.reconciler.tally, self.clock.now))
        evictor = Evictor(
            self.settings, self.store, self.kube, self.reconciler.read_anew,
            self.reconciler.homes.own, self._check_lease, self.clock.monotonic, lambda _seconds: None,
        )  # fmt: skip
        self.looks = PodLooks(
            self.kube, self.store, self.settings, self.reconciler.view,
            self.queue.wake, self.clock.monotonic, self.now, lambda: self.holds_lease,
            self.reconciler.see_anew, evictor.after,
        )  # fmt: skip
        self.looks.proof, self.looks.at_home = (
            self.sites.home_unproven,
            self.sites.is_at_home,
        )
        self.reconciler.news, self.reconciler.asked = self.looks.news, self.looks.ask
        self.metrics.registry.register(PodCensus(self.looks.counted, lambda: self.settings.cluster))
        self._glance_at = self.clock.monotonic()
        replay = Replay(self.kube, self.api, self.namespace)
        judgement = Judgement(complete=self.judged)
        self.first = FirstLooks(self.store, self.queue, self.reconciler, self.sites, self.settings, judgement, self.now)
        self.informer = Informer(replay, self.store, self.queue, lambda: None, self.namespace, found=self.first.found)
        self.first.synced = lambda: self.informer.synced
        self.controller = Controller(
            self.queue, self.first.reconcile, self.settings.resync_seconds, lambda: 0.5, self.metrics
        )

    def now(self) -> datetime:
        return self.clock.now() + self.skew

    def _around(self) -> None:
        self.trip()

    def _check_lease(self) -> None:
        if not self.holds_lease:
            raise KubeError("the Lease is not held: nothing is sent")

    def step(self) -> bool:
        """Let the informer catch up, then work on one key; say whether one was due."""
        self.informer.run_once()
        for have_fetched in self.sites.due():
            if role := have_fetched():
                self.first.look_at_those_of(role)
        return self.controller.run_once()

    def run(self, seconds: float = 0.0) -> None:
        """Let so much time pass; every key is worked on when it is due."""
        end = self.clock.elapsed + seconds
        for _ in range(MOST_STEPS):
            if self.step():
                continue
            due = min(filter(None, (self.queue.next_due(), self._glance())), default=None)
            if due is None or due - 1000.0 > end:
                self.clock.elapsed = end
                return
            self.clock.elapsed = max(self.clock.elapsed, due - 1000.0)
        raise AssertionError("the controller never comes to rest")

    def _glance(self) -> float | None:
        """Let the thread of the pods do what is due; return when it is due again."""
        if not self.looking:
            return None
        if self._glance_at <= self.clock.monotonic():
            self._glance_at = self.clock.monotonic() + self.looks.step()
        return min(self._glance_at, self.queue.next_due() or self._glance_at)

    def run_until(self, what: str, happened: Callable[[], object], within_seconds: float = 300.0) -> None:
        """Let time pass, a second at once, until it has happened; fail after so many and say what was waited for."""
        end = self.clock.elapsed + within_seconds
        while not happened():
            assert self.clock.elapsed < end, f"not within {within_seconds:.0f} s: {what}"
            self.run(1)

    def step_until(self, what: str, happened: Callable[[], object]) -> None:
        """Work on one key after the other, no time in between, until it has happened."""
        for _ in range(MOST_STEPS):
            if happened():
                return
            assert self.step(), f"nothing is due any more, and it has not happened: {what}"
        raise AssertionError(f"not within {MOST_STEPS} steps: {what}")

    def work_off(self) -> None:
        """Work on all that is due and let the informer hear nothing meanwhile, as a process with an old cache does."""
        for _ in range(MOST_STEPS):
            if not self.controller.run_once():
                return
        raise AssertionError("the controller never comes to rest")

    # What a test looks at

    def get(self, name: str = "web", namespace: str = "default") -> Object:
        obj = self.api.get("fargateprofiles", namespace, name)
        assert obj is not None, f"{namespace}/{name} is gone"
        return obj

    def gone(self, name: str = "web", namespace: str = "default") -> bool:
        return self.api.get("fargateprofiles", namespace, name) is None

    def condition(self, kind: str = "Ready", name: str = "web", namespace: str = "default") -> Object:
        """Return a condition, {} if it is not there."""
        listed = self.get(name, namespace).get("status", {}).get("conditions", [])
        return next((each for each in listed if each["type"] == kind), {})

    def reason(self, name: str = "web", namespace: str = "default") -> str:
        return str(self.condition(name=name, namespace=namespace).get("reason"))

    def message(self, name: str = "web", namespace: str = "default") -> str:
        return str(self.condition(name=name, namespace=namespace).get("message"))

    def ready(self, name: str = "web", namespace: str = "default") -> bool:
        return self.condition(name=name, namespace=namespace).get("status") == "True"

    def stalled(self, name: str = "web", namespace: str = "default") -> bool:
        return self.condition("Stalled", name, namespace).get("status") == "True"

    def events(self, kind: str = "", name: str = "") -> list[str]:
        """Return the reasons of the events so far, in order."""
        return [event["reason"] for event in self._told(kind, name)]

    def notes(self, kind: str = "", name: str = "") -> list[str]:
        return [event["note"] for event in self._told(kind, name)]

    def _told(self, kind: str, name: str) -> list[Object]:
        told = sorted(self.api.objects("events"), key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [each for each in told if kind in ("", each["type"]) and name in ("", each["regarding"]["name"])]

    def profiles(self, cluster: str = "demo") -> dict[str, Object]:
        return {profile["fargateProfileName"]: profile for profile in self.world.profiles(cluster)}

    # What a user does

    def apply(self, name: str = "web", namespace: str = "default", **spec: Any) -> Object:
        if self.api.get("namespaces", "", namespace) is None:
            self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        return self.api.apply(self.manifest(name, namespace, **spec))

    def manifest(self, name: str = "web", namespace: str = "default", **spec: Any) -> Object:
        """Return an object that is valid in this world, but for what `spec` says otherwise."""
        usual = {
            "podExecutionRoleArn": self.world.roles["good"],
            "subnets": list(self.world.private_subnets),
            "selectors": [{"namespace": name[:40].replace(".", "-")}],
        }
        return {
            "apiVersion": "jicomusic.com/v1",
            "kind": "FargateProfile",
            "metadata": {"name": name, "namespace": namespace},
            "spec": usual | spec,
        }

    def settle(self, name: str = "web", **spec: Any) -> None:
        """Apply an object and let it get Ready."""
        self.apply(name, **spec)
        self.run(90)
        assert self.ready(name), self.get(name)

    def edit(self, name: str = "web", namespace: str = "default", **spec: Any) -> None:
        self.api.edit("fargateprofiles", namespace, name, {"spec": spec})

    def delete(self, name: str = "web", namespace: str = "default") -> None:
        self.api.delete("fargateprofiles", namespace, name)


CLIENTS: dict[str, Any] = {}
CREDENTIALS: list[Credentials] = []


@dataclass
class Ready:
    """Credentials that are good as long as the bench's world says so."""

    bench: Bench

    def ready(self) -> None:
        self.bench.credentials_ready()

    def get_frozen_credentials(self) -> Any:
        return CREDENTIALS[0].get_frozen_credentials()


def _clients(region: str) -> dict[str, Any]:
    """Make the clients once for all tests: that alone takes half a second."""
    credentials = Credentials(lambda: fetch(region, Command))
    credentials.step()
    CLIENTS.update(connect(region, 4))
    CREDENTIALS.append(credentials)
    return CLIENTS


@contextmanager
def bench(**manners: Any) -> Iterator[Bench]:
    """Give a test its own two worlds and a controller that has not yet run."""
    logging.getLogger("botocore").setLevel(logging.WARNING)
    clock = Clock()
    behaviour = fake_aws.Manners(clock=clock.time, **({"creating_seconds": 60, "deleting_seconds": 60} | manners))
    with fake_aws.in_process(behaviour) as world:
        yield Bench(clock, ApiServer(now=clock.now), world, Settings(cluster="demo", controller_id=""))
