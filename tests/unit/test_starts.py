"""What a start or a hand-over costs, and what it may be relied on to find: settled objects are looked at in slots of
the resync, all else at once; and that each resync comes to these slots.

Each test lives in the simulation's world, where nothing goes wrong but what it does itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from aws import SERVICES, Aws
from controller import SORTING, FirstLooks
from entries import Entries
from informer import Store
from kube import Key
from leader import LEASE_SECONDS, LOOK_SECONDS, Judgement
from limits import Settings
from sites import Sites
from spec import REQUESTED_AT, Identity
from tests.harness import START
from tests.simulation.checker import PLURAL, ready_of
from tests.simulation.world import LEASE, Line, World
from tests.unit.test_status import SETTLED
from workqueue import Requeue, WorkQueue, until_slot

RESYNC = 600.0
TAKES_OVER = LEASE_SECONDS + 2 * LOOK_SECONDS
AT_ONCE = TAKES_OVER + 10


def settled(elect: bool = True) -> World:
    """Return a world with an object Ready in each of two clusters: `web` in the controller's own, `api` in another."""
    world = World(seed=1, elect=elect, resync_seconds=RESYNC)
    world.manners.creating_seconds = 1
    world.start("one")
    world.apply("web")
    world.apply("api", clusterName="other")
    world.run(60)
    assert ready(world, "web") and ready(world, "api")
    return world


def ready(world: World, name: str) -> bool:
    return ready_of(world.object(name) or {}).get("status") == "True"


def restart(world: World, down: float = 1.0, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Kill the process and start it again after so many seconds."""
    world.processes[0].alive = False
    meanwhile()
    world.run(down)
    world.start("one")


def drift(world: World) -> None:
    """Have somebody delete the profile of `api` in EKS."""
    world.account.stored("other").pop("api")


def looks(world: World, seconds: float, cluster: str = "other") -> list[float]:
    """Let so much time pass; return the moments at which the list of a cluster was read, in seconds from now."""
    before, started = len(world.history), world.clock.elapsed
    world.run(seconds)
    lines = ((at, line) for at, _, line in world.history[before:] if isinstance(line, Line))
    return [at - started for at, line in lines if str(line.call) == f"ListFargateProfiles {cluster}"]


def step_until(world: World, happened: Callable[[], bool]) -> None:
    """Let the process take one step after the other, and no more once it has happened."""
    for _ in range(1000):
        if happened():
            return
        world.processes[0].step()
        world.clock.elapsed += 0.5
    raise AssertionError("it never happens")


def slot(world: World, cluster: str = "other") -> float:
    return until_slot(cluster, RESYNC, START.timestamp() + world.clock.elapsed)


def until_slot_is(world: World, away: float) -> None:
    """Let time pass until the slot of the other cluster is so many seconds away."""
    world.run((slot(world) - away) % RESYNC)


def test_after_a_start_a_settled_object_is_looked_at_in_the_slot_of_its_cluster_and_not_before() -> None:
    world = settled()
    until_slot_is(world, 400)
    restart(world)
    due = slot(world)
    assert looks(world, RESYNC) == [pytest.approx(due, abs=2)]


def test_who_acts_before_it_has_listed_the_objects_looks_at_what_is_settled_in_its_slot_too() -> None:
    world = settled()
    until_slot_is(world, 400)
    elector = world.processes[0].elector
    assert elector
    elector.release()
    restart(world, down=0.0)
    step_until(world, lambda: world.processes[0].leads)
    assert not world.processes[0].informer.synced
    due = slot(world)
    assert looks(world, RESYNC) == [pytest.approx(due, abs=2)]


def test_the_slot_stays_where_it_was_over_any_number_of_starts() -> None:
    world = settled()
    until_slot_is(world, 550)
    for _ in range(5):
        restart(world)
        assert looks(world, 100) == []
    due = slot(world)
    restart(world)
    assert looks(world, 100) == [pytest.approx(due - 1, abs=2)]


@pytest.mark.parametrize("away", [50, 350, 590])
def test_an_operator_that_dies_every_five_minutes_finds_what_drifted_within_a_resync(away: float) -> None:
    world = settled()
    until_slot_is(world, away)
    restart(world, meanwhile=lambda: drift(world))
    for _ in range(2):
        world.run(RESYNC / 2 - 1)
        restart(world)
    assert "api" in world.account.stored("other")


def test_what_drifted_while_nobody_acted_is_found_within_a_resync() -> None:
    world = settled()
    restart(world, meanwhile=lambda: drift(world))
    world.run(RESYNC + 5)
    assert "api" in world.account.stored("other") and ready(world, "api")


def test_the_controllers_own_cluster_is_looked_at_at_once_so_that_a_wrong_account_or_an_orphan_shows() -> None:
    world = settled()
    restart(world)
    assert len(looks(world, AT_ONCE, "demo")) == 1


def edit(world: World) -> None:
    world.edit("api", tags={"a": "x"})


def delete(world: World) -> None:
    world.delete("api")


def ask_for_a_look(world: World) -> None:
    world.api.edit(PLURAL, "default", "api", {"metadata": {"annotations": {REQUESTED_AT: "now"}}})


def move_elsewhere(world: World) -> None:
    arn = "arn:aws:eks:eu-west-1:999999999999:cluster/other"
    world.api.edit(PLURAL, "default", "api", {"status": {"clusterArn": arn}})


def mark_a_create(world: World) -> None:
    mark = {"createStartedAt": "2026-11-22T08:00:00Z", "createName": "api"}
    world.api.edit(PLURAL, "default", "api", {"status": {"bookkeeping": mark}})


def lose_the_status(world: World) -> None:
    world.api.edit(PLURAL, "default", "api", {"status": {"conditions": []}})


def overlap(world: World) -> None:
    """Whoever shares pods is told when that ends, and has to have looked for that."""
    told = {"type": "Overlapping", "status": "True", "reason": "Overlapping", "message": "The same pods can match."}
    listed = (world.object("api") or {})["status"]["conditions"]
    world.api.edit(PLURAL, "default", "api", {"status": {"conditions": [*listed, told]}})


WORK = [edit, delete, ask_for_a_look, move_elsewhere, mark_a_create, lose_the_status, overlap]


@pytest.mark.parametrize("happens", WORK)
def test_what_has_something_to_do_is_looked_at_at_once(happens: Callable[[World], None]) -> None:
    world = settled()
    until_slot_is(world, 400)
    restart(world, meanwhile=lambda: happens(world))
    assert looks(world, AT_ONCE), "it was looked at"


@pytest.mark.parametrize("happens", [edit, delete, ask_for_a_look])
def test_what_waits_for_its_slot_is_looked_at_as_soon_as_something_happens_to_it(
    happens: Callable[[World], None],
) -> None:
    world = settled()
    until_slot_is(world, 400)
    restart(world)
    assert looks(world, 60) == []
    happens(world)
    assert looks(world, 3), "it was looked at"


def test_a_replica_that_takes_over_spreads_its_first_looks_too() -> None:
    world = settled()
    world.start("two")
    until_slot_is(world, 400)
    world.processes[0].alive = False
    due = slot(world)
    assert looks(world, RESYNC) == [pytest.approx(due, abs=2)]


def test_without_a_lease_nobody_knows_by_which_flags_objects_were_judged_and_all_are_looked_at_at_once() -> None:
    world = settled(elect=False)
    until_slot_is(world, 400)
    restart(world)
    assert looks(world, 5)


def other_flags(world: World) -> None:
    """Have all later processes started with another flag, which judges nothing here."""
    world.lost_create += 1


def test_with_other_flags_every_object_is_looked_at_at_once_and_with_the_same_ones_it_is_settled_then() -> None:
    world = settled()
    until_slot_is(world, 550)
    restart(world, meanwhile=lambda: other_flags(world))
    assert looks(world, AT_ONCE)
    restart(world)
    assert looks(world, AT_ONCE) == []


def test_who_dies_before_it_has_looked_at_all_with_its_flags_leaves_nobody_in_the_belief_that_it_has() -> None:
    world = settled()
    until_slot_is(world, 550)
    restart(world, meanwhile=lambda: other_flags(world))
    step_until(world, lambda: world.processes[0].leads)
    restart(world)
    assert looks(world, AT_ONCE), "with the new flags"


def test_the_lease_says_nothing_of_the_new_flags_before_every_object_has_been_judged_by_them() -> None:
    world = settled()
    until_slot_is(world, 550)
    restart(world, meanwhile=lambda: other_flags(world))
    before = len(world.history)
    step_until(world, lambda: world.processes[0].first.judgement.complete)
    calls = [str(line.call) for _, _, line in world.history[before:] if isinstance(line, Line)]
    assert "ListFargateProfiles other" in calls


def test_what_was_not_settled_counts_as_judged_by_the_new_flags_once_it_was_looked_at_too() -> None:
    world = settled()
    until_slot_is(world, 550)

    def meanwhile() -> None:
        other_flags(world)
        ask_for_a_look(world)

    restart(world, meanwhile=meanwhile)
    process = world.processes[0]
    step_until(world, lambda: process.leads and bool(process.store.objects()))
    assert ("default", "api") in process.first.unjudged
    assert not process.first.judgement.complete


EDGE: Any = Aws(dict.fromkeys(SERVICES), "us-east-1")
NO_API: Any = None
SITES = Sites(Entries("us-east-1", "demo"), EDGE, NO_API, Settings("demo"), lambda: 0.0)


@dataclass
class Answers:
    """A reconciler that answers the next passes so, and knows where each cluster is."""

    answers: list[Requeue]
    looked: list[Key] = field(default_factory=list)

    @property
    def homes(self) -> Answers:
        return self

    def is_known(self) -> bool:
        return True

    def arn(self, who: Identity) -> str:
        return f"arn:aws:eks:us-east-1:123456789012:cluster/{who.cluster}"

    def reconcile(self, key: Key) -> Requeue:
        self.looked.append(key)
        return self.answers.pop(0)


def test_an_object_counts_as_judged_once_a_pass_has_come_to_its_end() -> None:
    """Not by one that found the cluster occupied, nor by one that had to change something first."""
    reconciler: Any = Answers([Requeue(30.0, skipped=True), Requeue(0.0, urgent=None), Requeue()])
    store, queue, judgement = Store(), WorkQueue(lambda: 0.0), Judgement("flags")
    store.put(SETTLED | {"metadata": SETTLED["metadata"] | {"uid": "1", "resourceVersion": "1"}})
    first = FirstLooks(store, queue, reconciler, SITES, Settings("demo"), judgement, lambda: START)
    assert first.found(("default", "web"))
    assert first.reconcile(SORTING).gone
    complete = [first.reconcile(("default", "web")) and judgement.complete for _ in range(3)]
    assert complete == [False, False, True]


def test_an_object_that_went_before_this_process_acted_keeps_no_flags_from_being_noted() -> None:
    reconciler: Any = Answers([Requeue(), Requeue()])
    store, queue, judgement = Store(), WorkQueue(lambda: 0.0), Judgement("flags")
    obj = SETTLED | {"metadata": SETTLED["metadata"] | {"uid": "1", "resourceVersion": "1"}}
    store.put(obj)
    first = FirstLooks(store, queue, reconciler, SITES, Settings("demo"), judgement, lambda: START)
    assert first.found(("default", "web"))
    store.remove(obj | {"metadata": obj["metadata"] | {"resourceVersion": "2"}})
    first.look_at_all()
    first.reconcile(SORTING)
    assert judgement.complete


def test_who_has_judged_only_some_with_other_flags_leaves_nobody_in_the_belief_that_these_are_as_before() -> None:
    world = settled()
    until_slot_is(world, 550)
    restart(world, meanwhile=lambda: other_flags(world))
    step_until(world, lambda: world.processes[0].leads)
    world.lost_create -= 1
    restart(world)
    assert looks(world, AT_ONCE), "with the old flags again"


def test_a_version_that_knows_nothing_of_this_leaves_nobody_in_the_belief_that_it_judged_alike() -> None:
    world = settled()
    until_slot_is(world, 550)
    lease = world.api.peek("leases", *LEASE) or {}

    def led_by_another() -> None:
        after = {"holderIdentity": "", "leaseTransitions": lease["spec"]["leaseTransitions"] + 1}
        world.api.edit("leases", *LEASE, {"spec": after})

    restart(world, meanwhile=led_by_another)
    assert looks(world, AT_ONCE)


def test_without_an_account_to_compare_with_every_object_looks_at_once_and_says_why() -> None:
    world = settled()
    until_slot_is(world, 400)
    world.unsigned_until = float("inf")
    restart(world)
    world.run(AT_ONCE)
    for name in ("web", "api"):
        conditions = {each["type"]: each["reason"] for each in (world.object(name) or {})["status"]["conditions"]}
        assert conditions == {"Ready": "Active", "Reconciling": "NoCredentials"}, name


def test_a_settled_object_of_which_the_store_keeps_only_the_names_waits_for_its_slot_too() -> None:
    world = settled()
    world.edit("api", tags={f"{'k' * 100}{number}": "v" * 256 for number in range(48)})
    world.run(60)
    until_slot_is(world, 400)
    restart(world)
    assert looks(world, AT_ONCE) == []


# Each resync


def test_what_became_settled_at_any_time_comes_to_the_slot_of_its_cluster_within_five_resyncs() -> None:
    world = settled()
    world.run(5.5 * RESYNC)
    until_slot_is(world, 60)
    assert looks(world, RESYNC) == [pytest.approx(60, abs=2)]
    assert looks(world, RESYNC, "demo") == [pytest.approx(slot(world, "demo"), abs=2)]


def test_no_resync_is_shorter_or_longer_by_more_than_a_tenth() -> None:
    world = settled()
    until_slot_is(world, 300)
    restart(world, meanwhile=lambda: other_flags(world))  # so that the first look is far from the slot
    seen = looks(world, 8 * RESYNC)
    apart = [later - earlier for earlier, later in pairwise(seen)]
    assert min(apart) >= 0.9 * RESYNC - 2 and max(apart) <= 1.1 * RESYNC + 2
    assert apart[-1] == pytest.approx(RESYNC, abs=2)


# A clusters file that changes


def anew(*answers: Requeue) -> tuple[Answers, FirstLooks]:
    """Return what looks at one settled object, of which everything is judged."""
    reconciler: Any = Answers([*answers])
    store, queue, judgement = Store(), WorkQueue(lambda: 0.0), Judgement("before", complete=True)
    store.put(SETTLED | {"metadata": SETTLED["metadata"] | {"uid": "1", "resourceVersion": "1"}})
    return reconciler, FirstLooks(store, queue, reconciler, SITES, Settings("demo"), judgement, lambda: START)


def test_by_a_new_clusters_file_every_object_is_judged_anew_and_at_once() -> None:
    reconciler, first = anew(Requeue())
    assert first.judgement.begin()
    first.judge_anew("after")
    assert not first.judgement.complete
    first.reconcile(SORTING)
    due = {first.queue.get() for _ in range(3)}
    assert due == {SORTING, ("", "demo"), ("default", "web")}, "no object waits for its slot"
    assert not first.judgement.complete
    first.reconcile(("default", "web"))
    assert first.judgement.complete
    assert reconciler.looked == [("default", "web")]


def test_a_pass_that_began_by_the_file_before_counts_for_nothing() -> None:
    reconciler, first = anew(Requeue(), Requeue())
    look = reconciler.reconcile

    def meanwhile(key: Key) -> Requeue:
        first.judgement.begin()
        first.judge_anew("after")
        first.unsorted.clear()
        return look(key)

    first.reconciler.reconcile = meanwhile  # type: ignore[method-assign]
    first.reconcile(("default", "web"))
    first.reconcile(SORTING)
    assert not first.judgement.complete
    first.reconciler.reconcile = look  # type: ignore[method-assign]
    first.reconcile(("default", "web"))
    assert first.judgement.complete


def test_a_pass_between_the_two_files_counts_for_nothing() -> None:
    _, first = anew(Requeue(), Requeue())
    first.judgement.begin()
    first.reconcile(("default", "web"))
    assert not first.judgement.complete
    first.judge_anew("after")
    first.unsorted.clear()
    assert not first.judgement.complete
    first.reconcile(("default", "web"))
    assert first.judgement.complete
