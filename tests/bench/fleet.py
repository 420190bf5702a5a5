"""What many accounts and regions cost one controller: python -m tests.bench.fleet, and a part of `make bench`.

The unmodified controller.py as a process, between the stand-ins for Kubernetes and AWS over HTTP: with one EKS cluster,
then with CLUSTERS of them in ACCOUNTS accounts and REGIONS, behind a clusters file. It prints the resident memory
(VmRSS) once an object in each is Ready, and what passes between a further object and the request for its profile.
"""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.compare.measure import Figures
from tests.fakes.aws import Manners, World
from tests.sandbox import Sandbox, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2")
ACCOUNTS, CLUSTERS = 10, 200
PROBES = 20  # further objects, one after the other, in clusters far apart
READY_SECONDS = 240.0
Object = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What was measured: MiB resident, seconds until all were Ready, and milliseconds from object to request."""

    mib: float
    all_ready: float
    creates: list[float]

    def __str__(self) -> str:
        median, most = statistics.median(self.creates), max(self.creates)
        return (
            f"{self.mib:.1f} MiB, an object in each Ready after {self.all_ready:.1f} s, "
            f"a further one asked for after {median:.0f} ms (at most {most:.0f} ms)"
        )


@dataclass
class Fleet:
    """The controller beside its clusters, by the names in the file."""

    box: Sandbox
    clusters: dict[str, World]
    asked: dict[str, float] = field(default_factory=dict)

    def apply(self, name: str, cluster: str) -> None:
        world = self.clusters[cluster]
        spec = {
            "clusterName": cluster,
            "podExecutionRoleArn": world.roles["good"],
            "subnets": list(world.private_subnets),
            "selectors": [{"namespace": name}],
        }
        meta = {"name": name}
        self.box.apply({"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": spec})

    def measure(self, probes: int) -> Measured:
        began = time.monotonic()
        for cluster in self.clusters:
            self.apply(cluster, cluster)
        self.box.wait_for(self._all_ready, READY_SECONDS, "an object in each cluster is Ready")
        all_ready = time.monotonic() - began
        step = max(1, len(self.clusters) // probes)
        names = [*self.clusters][::step][:probes]
        creates = [self._probe(f"probe-{number}", names[number % len(names)]) for number in range(probes)]
        child = self.box.controller.child
        assert child
        resident = re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{child.pid}/status").read_text())
        assert resident
        return Measured(int(resident[1]) / 1024, all_ready, creates)

    def _all_ready(self) -> bool:
        return all(self.box.ready(each) for each in self.clusters)

    def _probe(self, name: str, cluster: str) -> float:
        """Return the milliseconds from an object to the request for its profile."""
        began = time.time()
        self.apply(name, cluster)
        self.box.wait_for(lambda: self.box.ready(name), READY_SECONDS, f"{name} is Ready")
        calls = self.clusters[cluster].manners.calls
        arrived = next(each.time for each in calls if (each.operation, each.params.get("profile")) == (CREATE, name))
        return (arrived - began) * 1000


CREATE = "CreateFargateProfile"


@contextmanager
def fleet(clusters: int) -> Iterator[Fleet]:
    """Start the controller beside so many clusters: one is its own, more are behind roles and a file."""
    manners = Manners(creating_seconds=0.2, max_profiles=1000)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clusters.yaml"
        more = {"CLUSTERS_FILE": file} if clusters > 1 else {}
        with sandbox(manners, POLL_SECONDS=0.3, **more) as box:
            known = _spread(box.world, clusters - 1, file) if clusters > 1 else {}
            known[box.world.cluster] = box.world
            box.start()
            yield Fleet(box, known)


def _spread(hub: World, clusters: int, file: Path) -> dict[str, World]:
    """Make clusters in all accounts and regions by turns, and write the file that lists them."""
    listed, known = [], dict[str, World]()
    places = [(f"{n:012d}", region) for n in range(1, ACCOUNTS + 1) for region in REGIONS]
    worlds = [hub.beside(*place) for place in places]
    roles = {world.account: world.let_in(external_id=world.account) for world in worlds}
    for number in range(clusters):
        world, name = worlds[number % len(worlds)], f"cluster-{number}"
        world.add_cluster(name)
        role = {"roleArn": roles[world.account], "externalId": world.account}
        listed.append({"name": name, "region": world.region, **role})
        known[name] = world
    file.write_text(json.dumps({"clusters": listed}))
    return known


def measure(clusters: int, probes: int = PROBES) -> Measured:
    with fleet(clusters) as made:
        return made.measure(probes)


def compared() -> Figures:
    """Return what many cost more than one: MiB, and how many times as long a new object waits for its request."""
    alone, many = measure(1), measure(CLUSTERS)
    times = statistics.median(many.creates) / statistics.median(alone.creates)
    return {"fleet-memory": many.mib - alone.mib, "fleet-create": times}


def main() -> None:
    for clusters in (1, CLUSTERS):
        where = (
            f"{clusters} clusters in {ACCOUNTS} accounts and {len(REGIONS)} regions" if clusters > 1 else "1 cluster"
        )
        print(f"{where}: {measure(clusters)}")


if __name__ == "__main__":
    main()
