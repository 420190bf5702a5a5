"""How many calls of AWS a start costs beside many settled objects, and how evenly those of a resync are spread.

The parts are wired as in the process, in one thread on a clock that only the test moves.
`BENCH_CLUSTERS=100 .venv/bin/python -m pytest tests/bench/test_starts.py -rP` prints the figures of docs and CHANGELOG.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aws import SERVICES, Aws
from controller import Controller, FirstLooks
from entries import Entries
from informer import Informer, Store, kept
from kube import Kube
from leader import Judgement
from limits import Settings
from reconcile import Reconciler
from sites import Sites
from tests.fakes.apiserver import ApiServer
from tests.fakes.eks import Client, Memory
from tests.fakes.eks_rules import Behaviour
from tests.harness import Clock, InProcess, Replay
from tests.simulation.checker import ready_of
from workqueue import WorkQueue

CLUSTERS, OBJECTS = [f"cluster-{n}" for n in range(int(os.environ.get("BENCH_CLUSTERS", "50")))], 10
RESYNC = 600.0
MOST_STEPS = 200 * OBJECTS * len(CLUSTERS)


@dataclass
class Fleet:
    """One controller beside many clusters; `calls` are AWS's since they were last counted: moment and method."""

    clock: Clock = field(default_factory=Clock)
    calls: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = ApiServer(now=self.clock.now)
        self.account = Memory(Behaviour(clock=self.clock.time, creating_seconds=1, max_profiles=100))
        for number in range(OBJECTS):
            self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}})
        for cluster in CLUSTERS:
            self.account.add_cluster(cluster)
            for number in range(OBJECTS):
                self.apply(cluster, number)

    def apply(self, cluster: str, number: int) -> None:
        spec = {
            "podExecutionRoleArn": self.account.roles["good"],
            "selectors": [{"namespace": f"pods-{number}"}],
            "clusterName": cluster,
        }
        meta = {"name": cluster, "namespace": f"team-{number}"}
        spec["profileName"] = f"profile-{number}"
        self.api.apply({"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": spec})

    def ask(self, method: str, request: Any) -> Any:
        self.calls.append((self.clock.elapsed, method))
        return self.account.ask(method, request)

    def start(self, judged: bool) -> None:
        """Begin to act as a new process does."""
        monotonic, now, settings = self.clock.monotonic, self.clock.now, Settings("demo", resync_seconds=RESYNC)
        self.queue, store = WorkQueue(monotonic), Store()
        kube = Kube(InProcess(self.api, lambda: None), "bench", keep=kept)
        aws = Aws(dict.fromkeys(SERVICES, Client(self.ask)), self.account.region)
        sites = Sites(Entries(self.account.region, "demo"), aws, kube, settings, monotonic)
        reconciler = Reconciler(
            store, kube, sites, settings, self.queue.wake, now, monotonic, readmit=self.queue.readmit
        )
        first = FirstLooks(store, self.queue, reconciler, sites, settings, Judgement(complete=judged), now)
        self.informer = Informer(Replay(kube, self.api), store, self.queue, lambda: None, found=first.found)
        first.synced = lambda: self.informer.synced
        self.controller = Controller(self.queue, first.reconcile, RESYNC, lean=first.lean)
        self.heard = ""
        first.look_at_all()

    def run(self, seconds: float) -> list[int]:
        """Let so much time pass; return the calls in each tenth of it."""
        began, self.calls = self.clock.elapsed, []
        for _ in range(MOST_STEPS):
            if not (self._step() or self._wait(began + seconds)):
                break
        else:
            raise AssertionError("it never comes to rest")
        tenths = Counter(int((at - began) * 10 / seconds) for at, _ in self.calls)
        return [tenths[number] for number in range(10)]

    def _step(self) -> bool:
        if self.heard != self.api.resource_version:
            self.informer.run_once()
            self.heard = self.api.resource_version
        return self.controller.run_once()

    def _wait(self, end: float) -> bool:
        due = (self.queue.next_due() or end + 1001) - 1000
        self.clock.elapsed = max(self.clock.elapsed, min(due, end))
        return due < end


def test_a_start_beside_settled_objects_costs_a_tenth_of_a_resync_a_minute_and_no_tenth_has_twice_its_share() -> None:
    fleet = Fleet()
    fleet.start(judged=False)
    fleet.run(300)
    objects = fleet.api.objects("fargateprofiles")
    assert {ready_of(each)["status"] for each in objects} == {"True"}
    for number in range(1, 8):
        tenths = fleet.run(RESYNC)
        print(
            f"resync {number} after all were made at once: {tenths}, {max(tenths) * 10 / sum(tenths):.2f} of the mean"
        )
    assert max(tenths) <= 0.2 * sum(tenths)
    asked = Counter(method for _, method in fleet.calls)
    print(f"the calls of the last: {dict(asked)}")
    assert asked.pop("list_fargate_profiles") == len(CLUSTERS) + 1, "each cluster is read once, its own too"
    assert asked.pop("describe_fargate_profile") == OBJECTS * len(CLUSTERS)
    assert asked.pop("describe_cluster") == asked.pop("describe_access_entry") == len(CLUSTERS)
    assert asked.pop("get_role") <= 2, "all have one role, which is read as seldom as a cluster"
    assert not asked
    fleet.start(judged=False)
    print(f"a start with other flags: {sum(fleet.run(60))} calls in the first minute")
    fleet.start(judged=True)
    calls = sum(fleet.run(60))
    print(f"a start: {calls} calls in the first minute")
    assert calls <= 0.2 * sum(tenths) + 2
