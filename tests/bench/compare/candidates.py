"""Who is compared, and how each runs: as a process of its own, as it would in production, in the same surroundings.

    Arena: kube-apiserver <- candidate -> Cloud

An `Arena` is the API server with what the README installs, a user `Objects`, and for each candidate a ServiceAccount of
its own, by which the audit log tells who wrote what. Linux only: memory and CPU are read from /proc.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.compare.cloud import Cloud, served
from tests.bench.compare.objects import NAMESPACES, Objects
from tests.e2e.controlplane import ControlPlane
from tests.e2e.support import ok, token_of, write_kubeconfig
from tests.sandbox import ROOT, ControllerProcess
from tests.waiting import wait_for

KOPF = ROOT / ".cache" / "bench" / "bin" / "python"
START_SECONDS = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
WRITES = {"create", "update", "patch", "delete"}


@dataclass(frozen=True)
class Candidate:
    """A program to measure; `reports` is whether it says Ready and waits for what it deletes."""

    name: str
    account: str  # namespace:name of its ServiceAccount
    command: tuple[str, ...]
    reports: bool = False

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.account}"


FLOOR = Candidate("floor", "default:bench-floor", (sys.executable, "-m", "tests.bench.compare.floor"))
ORIGINAL = Candidate(
    "kopf",
    "default:bench-kopf",
    (str(KOPF), "-m", "kopf", "run", "--standalone", "--all-namespaces", "tests/bench/compare/original.py"),
)
OURS = Candidate("ours", "default:fargate", (sys.executable, "controller.py"), reports=True)
CANDIDATES = (FLOOR, ORIGINAL, OURS)
# Of this controller: alone, and so quick to look at what is being made that this wait is not what is measured.
SETTINGS = {"HEALTH_PORT": "0", "NO_LEADER_ELECT": "true", "POLL_SECONDS": "0.3"}


class Died(Exception):
    """A candidate ended by itself; the text has the end of its log."""


@dataclass
class Running:
    """A candidate that has been started, and when."""

    candidate: Candidate
    process: ControllerProcess
    began: float

    @property
    def pid(self) -> int:
        assert self.process.child
        return self.process.child.pid

    def resident_kib(self) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return float(next(line for line in lines if line.startswith("VmRSS:")).split()[1])

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def wait(self, happened: Callable[[], object], seconds: float, what: str) -> None:
        """Wait until it has happened, but not for one that is dead."""

        def happened_or_died() -> object:
            if (code := self.process.died) is not None:
                said = self.process.log.read_text(errors="replace")[-2000:]
                raise Died(f"{self.candidate.name} ended with exit code {code}: {said}")
            return happened()

        wait_for(happened_or_died, seconds, f"{self.candidate.name}: {what}")


@dataclass
class Arena:
    """Where the candidates run, one at a time."""

    plane: ControlPlane
    objects: Objects
    folder: Path
    rounds: int = 0  # so that no two objects ever have the same name

    def new_names(self, count: int) -> list[str]:
        self.rounds += 1
        return [f"r{self.rounds}-{number}" for number in range(count)]

    @contextmanager
    def account(self, latency_ms: float, creating_seconds: float, *clusters: str) -> Iterator[Cloud]:
        """Serve a new AWS account, so far away, with these clusters; in the end all objects are taken away."""
        with served(Cloud(latency_ms / 1000, creating_seconds)) as cloud:
            cloud.add_clusters(*clusters)
            try:
                yield cloud
            finally:
                self.objects.clean()

    @contextmanager
    def running(self, candidate: Candidate, cloud: Cloud, **variables: str) -> Iterator[Running]:
        """Start a candidate; in the end it is killed."""
        config = write_kubeconfig(self.folder / "kubeconfig", self.plane, token_of(self.plane, candidate.account))
        environ = surroundings(cloud, KUBECONFIG=str(config), **variables)
        log = self.folder / f"{candidate.name}.log"
        log.write_text("")
        process = ControllerProcess(environ, log, candidate.command)
        began = time.time()
        process.start()
        try:
            yield Running(candidate, process, began)
        finally:
            process.kill()

    @contextmanager
    def watching(self, candidate: Candidate, cloud: Cloud, **variables: str) -> Iterator[Running]:
        """The same, and wait until it watches the objects."""
        before = self.plane.audited()
        with self.running(candidate, cloud, **variables) as running:
            running.wait(lambda: self.watches(candidate, before), START_SECONDS, "it watches the objects")
            yield running

    def watches(self, candidate: Candidate, since: int) -> bool:
        return any(
            event["verb"] == "watch" and event["objectRef"]["resource"] == "fargateprofiles"
            for event in self._asked(candidate, since)
        )

    def writes(self, candidate: Candidate, since: int) -> int:
        """Return how often a candidate has written to Kubernetes since the audit log was so long, Leases apart."""
        asked = self._asked(candidate, since)
        return sum(event["verb"] in WRITES and event["objectRef"]["resource"] != "leases" for event in asked)

    def _asked(self, candidate: Candidate, since: int) -> list[dict[str, Any]]:
        events = self.plane.audit(since)
        return [event for event in events if event["user"]["username"] == candidate.user and "objectRef" in event]


def surroundings(cloud: Cloud, **variables: str) -> dict[str, str]:
    """Return all that a candidate may know: this machine's own settings for AWS, Kubernetes and proxies stay out."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        "CLUSTER_NAME": cloud.memory.cluster,
        **cloud.environment(),
        **SETTINGS,
        **variables,
    }


@contextmanager
def arena() -> Iterator[Arena]:
    """Start a new API server with all that candidates need in it."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        plane = parts.enter_context(ControlPlane())
        for file in ("rbac.yaml", "crd.yaml"):
            ok(plane.kubectl("apply", "-f", str(ROOT / file)))
        wait_for(lambda: plane.kubectl("get", "fp").returncode == 0, 20, "FargateProfiles are served")
        for candidate in (FLOOR, ORIGINAL):
            allow_all(plane, candidate)
        for namespace in NAMESPACES:
            ok(plane.kubectl("create", "namespace", namespace))
        yield Arena(plane, Objects(plane).watched(), folder)


def allow_all(plane: ControlPlane, candidate: Candidate) -> None:
    name = candidate.account.rpartition(":")[2]
    ok(plane.kubectl("create", "serviceaccount", name, "-n", "default"))
    role = ("--clusterrole=cluster-admin", f"--serviceaccount={candidate.account}")
    ok(plane.kubectl("create", "clusterrolebinding", name, *role))
