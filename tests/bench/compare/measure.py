"""What is measured of every candidate, one round at a time: each function makes a world, and returns figures of it.

A figure has the name of its row in table.py. Times are in ms or s as the table shows them. What a wait did not see in
its time is no figure: the wait fails, `__main__` says so and goes on with the next.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.bench.compare.candidates import START_SECONDS, Arena, Candidate, Running
from tests.bench.compare.cloud import Call, Cloud
from tests.bench.compare.objects import NAMESPACES, Key, Object, key_of, manifest

FAR_MS = 20.0
EVENT_SECONDS = 60.0  # for what takes a moment, of one object
REST_SECONDS = 1.0  # without a call to AWS: a burst is over
PAUSE_SECONDS = 0.3  # after an object, for what is written last: a candidate's event, or kopf's own notes
IDLE_SECONDS = 2.0  # after a start

Figures = dict[str, float]


def say(line: str) -> None:
    """Print one line of progress."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Sizes:
    """How much is done; the figures of the table are those of the defaults."""

    rounds: int = 5
    paced: int = 10  # objects, one after the other
    burst: int = 100  # objects at once
    burst_clusters: int = 20
    minute: float = 60.0  # that a restart is watched for
    resync_seconds: float = 60.0
    creating_seconds: float = 0.0  # that a profile takes; 0: the first look finds it ACTIVE


@dataclass
class Scene:
    """One candidate in one world."""

    arena: Arena
    cloud: Cloud
    running: Running
    sizes: Sizes = field(default_factory=Sizes)

    @property
    def candidate(self) -> Candidate:
        return self.running.candidate

    def creates(self) -> dict[str, float]:
        """Return when the first create of each profile arrived."""
        first: dict[str, float] = {}
        for call in self.cloud.asked("CreateFargateProfile"):
            first.setdefault(call.profile, call.arrived)
        return first

    def wait_created(self, *keys: Key, seconds: float = EVENT_SECONDS) -> None:
        wanted = {name for _, name in keys}
        what = f"a create is sent for each of {len(keys)} objects"
        self.running.wait(lambda: wanted <= self.creates().keys(), seconds, what)

    def wait_settled(self, *keys: Key, seconds: float = EVENT_SECONDS) -> None:
        """Wait until the candidate has done what it does: said Ready, or got its answers and asks for no more."""
        if self.candidate.reports:
            wanted, ready = set(keys), self.arena.objects.ready
            self.running.wait(lambda: wanted <= ready.keys(), seconds, f"{len(keys)} objects get Ready")
            return
        self.running.wait(lambda: self.rests(PAUSE_SECONDS), seconds, "it comes to rest")

    def rests(self, for_seconds: float) -> bool:
        """Say whether AWS has been asked for nothing for so long, and owes no answer."""
        answered = [call.answered for call in list(self.cloud.calls)]
        return all(answered) and time.time() - max(answered, default=0.0) > for_seconds


def some_objects(arena: Arena, cloud: Cloud, clusters: Sequence[str], count: int) -> list[Object]:
    """Return so many objects, spread over clusters and namespaces."""
    role, subnets = cloud.memory.roles["good"], cloud.memory.private_subnets
    places = [(clusters[number % len(clusters)], number % len(clusters)) for number in range(count)]
    return [
        manifest(name, cluster, NAMESPACES[number % len(NAMESPACES)], role, subnets)
        for name, (cluster, number) in zip(arena.new_names(count), places, strict=True)
    ]


def cluster_names(count: int) -> list[str]:
    return [f"cluster-{number}" for number in range(count)]


def paced(arena: Arena, candidate: Candidate, sizes: Sizes) -> Figures:
    """Let objects come and go one after the other, AWS being as far away as it is."""
    far = _lives(arena, candidate, sizes, FAR_MS)
    near = _lives(arena, candidate, sizes, 0.0)
    return far | {"create-near": near["create"]}


def _lives(arena: Arena, candidate: Candidate, sizes: Sizes, latency_ms: float) -> Figures:
    with (
        arena.account(latency_ms, sizes.creating_seconds, "cluster") as cloud,
        arena.watching(candidate, cloud) as running,
    ):
        scene = Scene(arena, cloud, running, sizes)
        first, *objs = some_objects(arena, cloud, ["cluster"], sizes.paced + 1)
        _come(scene, first)  # what is read of a cluster once is no part of these figures
        before = arena.plane.audited()
        came = [_come(scene, obj) for obj in objs]
        writes = arena.writes(candidate, before) / len(objs)
        went = [_go(scene, key_of(obj)) for obj in objs]
    figures = {"create": _median_ms(came), "writes": writes, "delete": _median_ms([sent for sent, _ in went])}
    return figures | ({"gone": _median_ms([left for _, left in went])} if candidate.reports else {})


def _come(scene: Scene, obj: Object) -> float:
    """Return the seconds from an object to the request for its profile; wait until all is done."""
    key = key_of(obj)
    began = scene.arena.objects.create(obj)[key]
    scene.wait_created(key)
    scene.wait_settled(key)
    time.sleep(PAUSE_SECONDS)
    return scene.creates()[key[1]] - began


def _go(scene: Scene, key: Key) -> tuple[float, float]:
    """Return the seconds from an object's deletion to the request, and from the look that finds nothing to its end."""
    objects = scene.arena.objects

    def answered() -> bool:
        return any(call.answered for call in _deletes(scene.cloud, key))

    began = objects.delete(key)[key]
    scene.running.wait(answered, EVENT_SECONDS, "a delete is sent")
    scene.running.wait(lambda: key in objects.gone, EVENT_SECONDS, "the object disappears")
    time.sleep(PAUSE_SECONDS)
    sent = _deletes(scene.cloud, key)[0]
    looks = [call for call in scene.cloud.calls if call.arrived > sent.answered]
    return sent.arrived - began, objects.gone[key] - (looks[0].answered if looks else sent.answered)


def _deletes(cloud: Cloud, key: Key) -> list[Call]:
    return [call for call in cloud.asked("DeleteFargateProfile") if call.profile == key[1]]


def burst(arena: Arena, candidate: Candidate, sizes: Sizes) -> Figures:
    """Let many objects of several clusters come at once."""
    clusters = cluster_names(sizes.burst_clusters)
    with (
        arena.account(FAR_MS, sizes.creating_seconds, *clusters) as cloud,
        arena.watching(candidate, cloud) as running,
    ):
        scene = Scene(arena, cloud, running, sizes)
        time.sleep(IDLE_SECONDS)
        objs = some_objects(arena, cloud, clusters, sizes.burst)
        keys = [key_of(obj) for obj in objs]
        before, seconds = running.cpu_seconds(), EVENT_SECONDS + sizes.burst
        began = min(arena.objects.create(*objs).values())
        scene.wait_created(*keys, seconds=seconds)
        scene.wait_settled(*keys, seconds=seconds)
        running.wait(lambda: scene.rests(REST_SECONDS), seconds, "it comes to rest")
        spent = running.cpu_seconds() - before
        return {"burst": max(scene.creates().values()) - began, "burst-cpu": 1000 * spent / len(objs)}


def start(arena: Arena, candidate: Candidate, sizes: Sizes) -> Figures:
    """Start beside an object that waits for its profile."""
    with arena.account(FAR_MS, sizes.creating_seconds, "cluster") as cloud:
        objs = some_objects(arena, cloud, ["cluster"], 1)
        arena.objects.create(*objs)
        with arena.running(candidate, cloud) as running:
            scene = Scene(arena, cloud, running, sizes)
            scene.wait_created(key_of(objs[0]), seconds=START_SECONDS)
            return {"start": 1000 * (scene.creates()[key_of(objs[0])[1]] - running.began)}


def idle(arena: Arena, candidate: Candidate, sizes: Sizes) -> Figures:
    """Start with nothing to do."""
    with (
        arena.account(FAR_MS, sizes.creating_seconds, "cluster") as cloud,
        arena.watching(candidate, cloud) as running,
    ):
        time.sleep(IDLE_SECONDS)
        return {"idle": running.resident_kib() / 1024}


def _median_ms(seconds: Sequence[float]) -> float:
    return 1000 * statistics.median(seconds)


ROUNDS: dict[str, Callable[[Arena, Candidate, Sizes], Figures]] = {
    "paced": paced,
    "burst": burst,
    "start": start,
    "idle": idle,
}
