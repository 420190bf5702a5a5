"""What is measured of this controller alone: thousands of objects, a restart beside them, a resync of them, one pass.

The API server is a new one each time, so that nothing of another measurement is in its way.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from tests.bench.compare.candidates import OURS, Arena, arena
from tests.bench.compare.cloud import Cloud, served
from tests.bench.compare.measure import (
    EVENT_SECONDS,
    FAR_MS,
    IDLE_SECONDS,
    Figures,
    Scene,
    Sizes,
    cluster_names,
    say,
    some_objects,
)
from tests.bench.compare.objects import Key, key_of
from tests.harness import bench

QUIET_SECONDS = 3.0  # without a call to AWS: what a restart has to read is read
SECONDS_EACH = 0.3  # that each of many objects may take
MOST_RESYNCED = 1000  # objects: more keep the whole period busy, and it looks even
TENTHS = 10
PASSES = 200


@dataclass
class Many:
    """So many objects over so many clusters, and the world that they are in."""

    arena: Arena
    cloud: Cloud
    clusters: list[str]
    sizes: Sizes
    count: int
    empty_kib: float = 0.0  # resident memory with one object
    keys: tuple[Key, ...] = ()

    @contextmanager
    def ours(self, **variables: str) -> Iterator[Scene]:
        """Start this controller as its manifest does, with a Lease that it gives up in the end, and forget what AWS
        was asked for before.
        """
        self.cloud.calls.clear()
        lease = {"NO_LEADER_ELECT": "false", "LEASE_NAMESPACE": "default"}
        with self.arena.watching(OURS, self.cloud, **lease, **variables) as running:
            yield Scene(self.arena, self.cloud, running, self.sizes)
            running.process.stop()


def many(objects: int, clusters: int, sizes: Sizes) -> Figures:
    """Let many objects come and get Ready, then restart beside them, then watch a resync."""
    names = cluster_names(clusters)
    with arena() as made, served(Cloud(FAR_MS / 1000, sizes.creating_seconds)) as cloud:
        cloud.add_clusters(*names)
        world = Many(made, cloud, names, sizes, objects)
        figures: Figures = {}
        for step in (drain, restart, resync) if objects <= MOST_RESYNCED else (drain, restart):
            say(f"{objects:,} objects: {step.__name__} ...")
            figures |= step(world)
    return {f"{name}-{objects}": value for name, value in figures.items()}


def drain(world: Many) -> Figures:
    """Let all objects come at once: how long is one ACTIVE before its object says Ready?"""
    with world.ours() as scene:
        (first,) = some_objects(world.arena, world.cloud, world.clusters, 1)  # so that all that is lazy is loaded
        world.arena.objects.create(first)
        scene.wait_settled(key_of(first), seconds=EVENT_SECONDS)
        time.sleep(IDLE_SECONDS)
        world.empty_kib = scene.running.resident_kib()
        objs = some_objects(world.arena, world.cloud, world.clusters, world.count)
        world.keys = tuple(key_of(obj) for obj in objs)
        world.arena.objects.create(*objs)
        scene.wait_settled(*world.keys, seconds=EVENT_SECONDS + SECONDS_EACH * world.count)
        time.sleep(IDLE_SECONDS)
        creates = [call for call in world.cloud.asked("CreateFargateProfile") if call.status == 200]
    active = {call.profile: call.answered + world.sizes.creating_seconds for call in creates}
    ready = world.arena.objects.ready
    waits = [max(0.0, ready[key] - active[key[1]]) for key in world.keys]
    return {"drain-p50": statistics.median(waits), "drain-max": max(waits)}


def restart(world: Many) -> Figures:
    """Start beside objects of which all is settled, and one that comes right then to the last cluster.

    The calls are those about the other clusters.
    """
    *others, last = world.clusters
    with world.ours() as scene:
        began, (new,) = time.time(), some_objects(world.arena, world.cloud, [last], 1)
        sent = world.arena.objects.create(new)[key_of(new)]
        scene.wait_created(key_of(new), seconds=EVENT_SECONDS + SECONDS_EACH * world.count)
        waited = scene.creates()[key_of(new)[1]] - sent
        time.sleep(max(0.0, began + world.sizes.minute - time.time()))
        resident = scene.running.resident_kib()
        asked = sorted(call.arrived for call in world.cloud.calls if call.cluster in others)
    return {
        "restart-calls": sum(moment <= until_quiet(asked, QUIET_SECONDS) for moment in asked),
        "restart-minute": sum(moment <= began + world.sizes.minute for moment in asked) / len(others),
        "restart-waits": waited,
        "object": (resident - world.empty_kib) / world.count,
    }


def until_quiet(moments: list[float], seconds: float) -> float:
    """Return the last of the moments before the first pause of so many seconds; they are in their order."""
    for moment, later in pairwise(moments):
        if later - moment > seconds:
            return moment
    return moments[-1] if moments else 0.0


def resync(world: Many) -> Figures:
    """Watch the second resync after a restart, as the first has the start in it.

    A process judged all objects by these very flags before: after other ones all come at once, and it takes four or
    five resyncs until they are spread.
    """
    period = world.sizes.resync_seconds
    with world.ours(RESYNC_SECONDS=str(period)):
        time.sleep(period)
    with world.ours(RESYNC_SECONDS=str(period)):
        time.sleep(period)
        began = time.time()
        time.sleep(period)
        asked = [call.arrived - began for call in world.cloud.calls]
    return {"resync": unevenness(asked, period)}


def unevenness(moments: list[float], period: float) -> float:
    """Return how many times as much as on average there was to do in the busiest tenth of a period."""
    tenths = [0] * TENTHS
    for moment in moments:
        if 0 <= moment < period:
            tenths[int(moment / period * TENTHS)] += 1
    return max(tenths) / (sum(tenths) / TENTHS) if any(tenths) else 0.0


def one_pass(count: int = 100) -> Figures:
    """Return the CPU of a pass over a settled object with so many profiles in its cluster, in process."""
    with bench(creating_seconds=0, max_profiles=count) as box:
        names = [f"web-{number}" for number in range(count)]
        for name in names:
            box.apply(name)
        box.run_until("all get Ready", lambda: all(map(box.ready, names)), 60.0 * count)
        look = partial(box.reconciler.reconcile, ("default", "web-0"))
        look()
        asked, began = len(box.manners.calls), time.process_time()
        for _ in range(PASSES):
            look()
        spent = time.process_time() - began
        assert len(box.manners.calls) == asked, "a settled pass asks AWS for nothing"
        return {"pass": 1000 * spent / PASSES}
