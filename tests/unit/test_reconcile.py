"""One pass over one object: alone in its cluster, one change and no more, and when it comes back.

What a user sees of many passes is in test_lifecycle.py; what this process knows of a cluster in test_clusters.py.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from aws import SERVICES, Aws
from entries import Entries
from informer import Store
from kube import Conflict, Key, Object
from limits import VIEW_LIFE, Settings
from memory import SEND_WITHIN_SECONDS
from patterns import timestamp
from reconcile import OUTSIDE_SECONDS, Reconciler
from sites import Sites
from tests.fakes.eks import Client, Memory, refused
from tests.fakes.eks_rules import Answer, Behaviour
from tests.harness import Bench, Clock
from workqueue import LEAST_WAIT_SECONDS, Requeue

SOON = 20.0  # seconds for other threads, which on a busy machine may be a long time
AT_ONCE = Requeue(0.0, urgent=None)
PATIENCE = 30  # passes: more than any object needs to come to rest


@dataclass
class Kubernetes:
    """What a reconciler needs of Kubernetes: each write is answered with the object as it is then."""

    events: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    on_write: Callable[[str], None] = lambda _what: None
    verified: bool = False
    token: str = ""

    def get(self, namespace: str, name: str) -> Object | None:
        return None

    def exists(self, namespace: str, name: str) -> bool | None:
        return False

    def namespace_uid(self, name: str) -> str:
        return f"uid of {name}"

    def may_list_pods(self) -> bool:
        return False

    def pages(
        self, path: str, query: Mapping[str, str], *, metadata_only: bool = False
    ) -> Iterator[tuple[list[Object], str]]:
        raise AssertionError(path)

    def patch_finalizers(self, obj: Object, finalizers: Sequence[str]) -> Object:
        after = self._written("finalizers", obj)
        after["metadata"]["finalizers"] = [*finalizers]
        return after

    def patch_status(self, obj: Object, status: Object) -> Object:
        return self._written("status", obj) | {"status": copy.deepcopy(status)}

    def review(self, api: str, kind: str, ask: Object) -> Object:
        return {"allowed": False}

    def get_at(self, path: str) -> Object:
        raise AssertionError(f"{path} is read without a right")

    def event(self, obj: Object, kind: str, reason: str, action: str, note: str, now: datetime) -> None:
        self.events.append(reason)

    def _written(self, what: str, obj: Object) -> Object:
        self.on_write(what)
        self.writes.append(what)
        after = copy.deepcopy(obj)
        after["metadata"]["resourceVersion"] = str(int(obj["metadata"]["resourceVersion"]) + 1)
        return after


@dataclass
class Desk:
    """A reconciler between a store, a small account, and a Kubernetes that takes every write."""

    clock: Clock = field(default_factory=Clock)
    kube: Kubernetes = field(default_factory=Kubernetes)
    store: Store = field(default_factory=Store)
    woken: list[Key] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    on_call: Callable[[str], None] = lambda _method: None

    def __post_init__(self) -> None:
        self.world = Memory(Behaviour(self.clock.time, creating_seconds=60, deleting_seconds=60))
        edge = Aws({name: Client(self.ask) for name in SERVICES}, "us-east-1")
        settings = Settings("demo")
        sites = Sites(Entries("us-east-1", "demo"), edge, self.kube, settings, self.clock.monotonic)
        self.reconciler = Reconciler(
            self.store, self.kube, sites, settings, self.woken.append, self.clock.now, self.clock.monotonic,
            readmit=self.readmit,
        )  # fmt: skip

    def readmit(self, key: Key) -> bool:
        self.woken.append(key)
        return True

    def ask(self, method: str, request: Answer) -> Answer:
        self.calls.append(method)
        self.on_call(method)
        return self.world.ask(method, request)

    def apply(self, name: str = "web", version: int = 1, **spec: Any) -> Key:
        usual = {"podExecutionRoleArn": self.world.roles["good"], "selectors": [{"namespace": name}]}
        meta = {"namespace": "default", "name": name, "uid": name, "generation": 1, "resourceVersion": str(version)}
        made = timestamp(self.clock.now())
        self.store.put({"metadata": meta | {"creationTimestamp": made}, "spec": usual | spec})
        return "default", name

    def edit(self, key: Key, **spec: Any) -> None:
        obj = self._copy(key)
        obj["spec"] |= spec
        self._put(obj, generation=obj["metadata"]["generation"] + 1)

    def delete(self, key: Key) -> None:
        self._put(self._copy(key), deletionTimestamp=timestamp(self.clock.now()))

    def _copy(self, key: Key) -> Object:
        obj = self.store.get(key)
        assert obj, f"{key} is gone"
        return copy.deepcopy(obj)

    def _put(self, obj: Object, **meta: Any) -> None:
        obj["metadata"] |= {"resourceVersion": str(int(obj["metadata"]["resourceVersion"]) + 1), **meta}
        self.store.put(obj)

    def look(self, key: Key) -> Requeue:
        return self.reconciler.reconcile(key)

    def rest(self, key: Key) -> Requeue:
        """Look until nothing is to be done at once."""
        for _ in range(PATIENCE):
            if (answer := self.look(key)) != AT_ONCE:
                return answer
        raise AssertionError(f"after {PATIENCE} passes there is still something to be done at once")

    def settle(self, name: str = "web", **spec: Any) -> Key:
        key = self.apply(name, **spec)
        self.rest(key)
        self.clock.elapsed += 61
        assert self.rest(key) == Requeue(), "it is not settled"
        return key


@pytest.fixture
def desk() -> Desk:
    return Desk()


# Alone in a cluster


def test_who_finds_its_cluster_occupied_comes_back_when_it_is_free(b: Bench) -> None:
    b.apply("one")
    b.apply("two")
    b.informer.run_once()
    inside: list[object] = []

    def meanwhile(_call: object) -> None:
        b.manners.on_call = None
        inside.append(b.reconciler.reconcile(("default", "two")))

    b.manners.on_call = meanwhile
    b.reconciler.reconcile(("default", "one"))
    assert inside == [Requeue(OUTSIDE_SECONDS, skipped=True, urgent=None)]
    assert b.manners.count("ListFargateProfiles") == 1
    assert b.queue.next_due() == b.clock.monotonic()


def test_of_two_threads_in_one_cluster_one_waits_outside_and_is_woken_when_the_other_leaves(desk: Desk) -> None:
    web, db = desk.apply("web"), desk.apply("db")
    inside, leave = threading.Event(), threading.Event()

    def stay(_method: str) -> None:
        inside.set()
        assert leave.wait(SOON)

    desk.on_call = stay
    worker = threading.Thread(target=desk.look, args=[web], daemon=True)
    worker.start()
    assert inside.wait(SOON)
    calls = len(desk.calls)
    assert desk.look(db) == Requeue(OUTSIDE_SECONDS, skipped=True, urgent=None)
    assert (len(desk.calls), desk.woken) == (calls, []), "it asked nobody and woke nobody"
    leave.set()
    worker.join(SOON)
    assert desk.woken == [db]
    assert not desk.look(db).skipped


def test_whoever_leaves_wakes_one_of_those_outside_so_that_all_get_in_one_by_one(desk: Desk) -> None:
    web, others = desk.apply("web"), [desk.apply(name) for name in ("a", "b", "c")]

    def come(_method: str) -> None:
        desk.on_call = lambda _method: None
        assert all(desk.look(key).skipped for key in (*others, *others))

    desk.on_call = come
    desk.look(web)
    for number in range(1, 4):
        assert len(desk.woken) == number
        assert not desk.look(desk.woken[-1]).skipped
    assert sorted(desk.woken) == others


def test_one_that_has_gone_while_it_waited_outside_keeps_the_cluster_from_nobody(desk: Desk) -> None:
    web, gone, last = desk.apply("web"), desk.apply("a"), desk.apply("b")

    def come(_method: str) -> None:
        desk.on_call = lambda _method: None
        assert all(desk.look(key).skipped for key in (gone, last))

    desk.on_call = come
    desk.look(web)
    assert desk.woken == [gone]
    obj = desk.store.get(gone)
    assert obj
    desk.store.remove(obj)
    assert desk.look(gone) == Requeue(gone=True)
    assert desk.woken == [gone, last]
    assert not desk.look(last).skipped


def test_a_pass_in_one_cluster_holds_up_none_in_another(desk: Desk) -> None:
    desk.world.add_cluster("other")
    web, db = desk.apply("web"), desk.apply("db", clusterName="other")
    seen: list[Requeue] = []

    def come(_method: str) -> None:
        desk.on_call = lambda _method: None
        seen.append(desk.look(db))

    desk.on_call = come
    desk.look(web)
    assert [each.skipped for each in seen] == [False]
    assert desk.woken == []


def test_a_pass_that_breaks_off_leaves_its_cluster_free_and_its_place_in_line_to_the_next(desk: Desk) -> None:
    web, db = desk.apply("web"), desk.apply("db")
    desk.look(web), desk.look(db)  # each gets its finalizer

    def refuse(what: str) -> None:
        raise Conflict("409")

    desk.kube.on_write = refuse
    with pytest.raises(Conflict):
        desk.look(web)
    desk.kube.on_write = lambda _what: None
    assert not desk.look(db).skipped
    assert desk.calls[-1] == "create_fargate_profile"


# One change a pass


def test_a_new_object_gets_its_finalizer_in_one_pass_and_its_profile_in_the_next(desk: Desk) -> None:
    web = desk.apply()
    assert desk.look(web) == AT_ONCE
    assert (desk.kube.writes, desk.kube.events) == (["finalizers"], [])
    desk.look(web)
    assert desk.kube.writes == ["finalizers", "status", "status"], "the mark, and what came of it"
    assert desk.calls.count("create_fargate_profile") == 1
    assert desk.kube.events == [], "one of them is enough, once the profile serves"


def test_a_settled_object_is_looked_at_without_a_call_or_a_write(desk: Desk) -> None:
    web = desk.settle()
    calls, writes = len(desk.calls), len(desk.kube.writes)
    assert desk.look(web) == Requeue()
    assert (len(desk.calls), len(desk.kube.writes)) == (calls, writes)


@pytest.mark.parametrize(("seconds", "sent"), [(SEND_WITHIN_SECONDS, 1), (SEND_WITHIN_SECONDS + 1, 0)])
def test_who_took_long_to_mark_a_create_looks_again_before_it_is_sent(desk: Desk, seconds: float, sent: int) -> None:
    web = desk.apply()
    desk.look(web)

    def slow(what: str) -> None:
        desk.clock.elapsed += seconds if desk.calls.count("create_fargate_profile") == 0 else 0

    desk.kube.on_write = slow
    assert (desk.look(web) == AT_ONCE) == (not sent)
    assert desk.calls.count("create_fargate_profile") == sent
    desk.kube.on_write = lambda _what: None
    desk.look(web)
    assert desk.calls.count("create_fargate_profile") == 1, "in the end it is sent"


def test_a_profile_is_described_in_the_pass_that_deletes_it_and_nothing_is_asked_in_between(desk: Desk) -> None:
    web = desk.settle()
    desk.delete(web)
    desk.calls.clear()
    desk.look(web)
    assert desk.calls == ["describe_fargate_profile", "delete_fargate_profile"]


def test_an_object_goes_only_after_a_look_at_its_whole_cluster(desk: Desk) -> None:
    web = desk.settle()
    desk.delete(web)
    desk.rest(web)
    desk.clock.elapsed += 61
    desk.calls.clear()
    desk.rest(web)
    assert "list_fargate_profiles" in desk.calls
    assert desk.kube.events[-1] == "Deleted"
    assert desk.store.get(web) is None


# When it comes back


def test_an_object_that_is_not_there_is_done_with(desk: Desk) -> None:
    assert desk.look(("default", "none")) == Requeue(gone=True)


def test_what_is_in_flight_comes_back_at_the_poll_and_then_after_a_tenth_of_its_time(desk: Desk) -> None:
    web = desk.apply()
    assert desk.rest(web) == Requeue(5.0, urgent=True)
    desk.world.manners.creating_seconds = 1000
    desk.clock.elapsed += 3
    assert desk.look(web) == Requeue(2.0, urgent=True), "the look before counts"


def test_who_waits_for_its_turn_comes_back_with_what_is_in_flight(desk: Desk) -> None:
    desk.rest(desk.apply("web"))
    desk.clock.elapsed += 1
    assert desk.rest(desk.apply("db")) == Requeue(4.0)


def test_what_is_stalled_comes_back_after_as_long_again_as_it_has_been_so(desk: Desk) -> None:
    bad, waits = desk.apply(podExecutionRoleArn="pods"), []
    for _ in range(9):
        answer = desk.rest(bad)
        assert answer.after
        waits.append(answer.after)
        desk.clock.elapsed += answer.after
    assert waits == [15, 15, 30, 60, 120, 240, 480, 600, 600]


def test_what_is_stalled_after_an_edit_comes_back_soon(desk: Desk) -> None:
    bad = desk.apply(podExecutionRoleArn="pods")
    desk.rest(bad)
    desk.clock.elapsed += 300
    assert desk.rest(bad) == Requeue(300.0)
    desk.edit(bad, podExecutionRoleArn="still none")
    assert desk.rest(bad) == Requeue(15.0)


def test_what_is_stalled_for_another_reason_comes_back_soon(desk: Desk) -> None:
    def deny(method: str) -> None:
        if method == "create_fargate_profile":
            raise refused("CreateFargateProfile", "AccessDeniedException", 403, "no")

    web, desk.on_call = desk.apply(), deny
    desk.rest(web)
    desk.clock.elapsed += 300
    assert desk.rest(web) == Requeue(300.0)
    desk.on_call, desk.world.manners.max_profiles = (lambda _method: None), 0
    assert desk.rest(web) == Requeue(15.0)


def test_what_waits_until_a_moment_comes_back_then_and_never_at_once(desk: Desk) -> None:
    desk.world.set_cluster_status("demo", "UPDATING")
    web = desk.apply()
    assert desk.rest(web) == Requeue(15.0)
    desk.world.set_cluster_status("demo", "ACTIVE")
    desk.world.manners.fail_create("web", {"code": "InternalFailure", "message": "no", "resourceIds": []})
    desk.clock.elapsed += 15
    desk.rest(web)
    desk.clock.elapsed += 60
    assert desk.rest(web) == Requeue(15.0)
    desk.clock.elapsed += 14.95
    assert desk.rest(web) == Requeue(LEAST_WAIT_SECONDS)


def test_what_aws_does_not_answer_is_left_to_the_backoff(desk: Desk) -> None:
    def throttled(method: str) -> None:
        raise refused(method, "ThrottlingException", 429, "Rate exceeded")

    web = desk.apply()
    desk.on_call = throttled
    assert desk.look(web) == Requeue(retry=True)
    assert desk.look(("", "demo")) == Requeue(retry=True), "so is a look at a cluster itself"


def test_what_is_suspended_comes_back_at_the_resync(desk: Desk) -> None:
    assert desk.rest(desk.apply(suspend=True)) == Requeue()
    assert desk.look(("", "demo")) == Requeue()


# The view of a cluster


def test_the_first_of_a_resync_reads_the_cluster_and_the_others_find_it_read(desk: Desk) -> None:
    keys = [desk.settle(name) for name in ("a", "b", "c")]
    desk.calls.clear()
    desk.clock.elapsed = 600 * VIEW_LIFE - 1  # since the first look of all
    assert [desk.look(key) for key in (*keys, ("", "demo"))] == [Requeue()] * 4
    assert desk.calls == []
    desk.clock.elapsed += 1
    assert [desk.look(key) for key in (*keys, ("", "demo"))] == [Requeue()] * 4
    assert desk.calls == ["list_fargate_profiles", *["describe_fargate_profile"] * 3]


def test_an_edit_has_its_profile_described_anew_and_no_other(desk: Desk) -> None:
    web, _ = desk.settle("web"), desk.settle("db")
    desk.calls.clear()
    desk.edit(web, deletionPolicy="Retain")
    assert desk.rest(web) == Requeue()
    assert desk.calls == ["describe_fargate_profile"]


def test_who_we_are_is_asked_once(desk: Desk) -> None:
    desk.world.add_cluster("other")
    for cluster in ("demo", "other", "demo"):
        desk.look(("", cluster))
    assert desk.calls.count("get_caller_identity") == 1


def test_a_cluster_that_is_not_there_is_not_counted_and_every_state_is(desk: Desk) -> None:
    desk.settle()
    desk.look(("", "nowhere"))
    (name, counted), *others = desk.reconciler.tally().items()
    assert (name, others, counted.orphans) == ("demo", [], 0)
    assert counted.states == {
        "CREATING": 0, "ACTIVE": 1, "DELETING": 0, "CREATE_FAILED": 0, "DELETE_FAILED": 0,
    }  # fmt: skip
