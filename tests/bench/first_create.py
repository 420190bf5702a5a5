"""What passes between an object and the request for its profile: python -m tests.bench.first_create

Each object names an EKS cluster that was not looked at yet, so that all is read that stands before its first create.
The controller is the real one, in one thread; Kubernetes and AWS are in memory, and each call to AWS takes so long as
is said. It prints the medians of RUNS with a pool of no threads, which reads one after the other, and with the usual.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from datetime import UTC, datetime

from aws import POOL_THREADS, Aws, Pool
from controller import Controller
from entries import Entries
from informer import Informer, Store
from kube import Kube
from limits import Settings
from reconcile import Reconciler
from sites import Sites
from tests.fakes.apiserver import ApiServer
from tests.fakes.eks import METHODS, Client, Memory
from tests.fakes.eks_rules import Answer, Behaviour
from tests.harness import InProcess, Replay
from workqueue import WorkQueue

RUNS = 31
MOST_PASSES = 100
PROFILES = 3  # that are there already


class Account(Memory):
    """An account that takes its time, and knows when it was asked for a profile."""

    def __init__(self, seconds: float) -> None:
        super().__init__(Behaviour(time.time), rand=random.Random(1))
        self._seconds, self._one_at_a_time, self.asked_at = seconds, threading.Lock(), 0.0

    def ask(self, method: str, request: Answer) -> Answer:
        if method == "create_fargate_profile":
            self.asked_at = self.asked_at or time.perf_counter()
        threading.Event().wait(self._seconds)
        with self._one_at_a_time:
            return super().ask(method, request)


def now() -> datetime:
    return datetime.now(UTC)


def manifest(account: Account, cluster: str) -> Answer:
    spec = {
        "clusterName": cluster,
        "podExecutionRoleArn": account.roles["good"],
        "subnets": list(account.private_subnets),
        "selectors": [{"namespace": "web"}],
    }
    meta = {"name": cluster, "namespace": "default"}
    return {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": spec}


def measure(seconds: float, threads: int, profiles: int) -> float:
    """Return the seconds from an object to its request, once, in a process that has just started."""
    account, api = Account(seconds), ApiServer()
    account.add_cluster("new")
    for number in range(profiles):
        account.add_profile("new", f"other-{number}", account.roles["good"], [{"namespace": f"other-{number}"}])
    source, store, queue = Kube(InProcess(api, lambda: None), "bench"), Store(), WorkQueue(time.monotonic)
    edge = Aws({name: Client(account.ask) for name in METHODS}, account.region, pool=Pool(threads))
    settings = Settings("demo", "bench")
    sites = Sites(Entries(account.region, "demo"), edge, source, settings, time.monotonic)
    reconciler = Reconciler(store, source, sites, settings, queue.wake, now, time.monotonic)
    controller = Controller(queue, reconciler.reconcile, 600.0)
    informer = Informer(Replay(source, api), store, queue, lambda: None)
    began = time.perf_counter()
    api.apply(manifest(account, "new"))
    for _ in range(MOST_PASSES):
        informer.run_once()
        controller.run_once()
        if account.asked_at:
            return account.asked_at - began
    raise AssertionError("the profile was never asked for")


def main() -> None:
    for seconds in (0.0, 0.02):
        for profiles in (0, PROFILES):
            runs = [[measure(seconds, threads, profiles) for threads in (0, POOL_THREADS)] for _ in range(RUNS)]
            alone, beside = (statistics.median(each) * 1000 for each in zip(*runs, strict=True))
            where = f"AWS at {seconds * 1000:.0f} ms, {profiles} profiles there"
            print(f"{where}: {alone:.1f} ms one after the other, {beside:.1f} ms side by side")


if __name__ == "__main__":
    main()
