"""Which stranded pods are evicted, when, how many, and what is said of the others; on both worlds in memory."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import pods
from checks import WEBHOOK
from evictions import MOST_A_LOOK, MOST_OWNERS, Evictor, Tried, asks, book_of, sees_every_pod
from kube import KubeError, Object
from podlooks import Look, Owner, Seen, gist, owned_by
from pods import FARGATE_SCHEDULER, PROFILE_LABEL
from tests.fakes.apiserver import Target
from tests.fakes.aws import DROP, error
from tests.harness import Bench, bench
from tests.unit.test_evictable import pod as made
from tests.unit.test_manifests import asked, optional

HOOK = {
    "name": WEBHOOK,
    "rules": [{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["pods"]}],
    "namespaceSelector": {},
    "objectSelector": {},
}
CONTAINERS = [{"name": "app", "image": "app:1"}]
MINUTE = 60.0
DENIED = error("AccessDeniedException", 403, "not authorized")


@dataclass
class World:
    """A cluster with owners of pods, EKS's webhook, which takes new pods or not, and an evictor."""

    b: Bench
    takes: bool = True
    never: frozenset[str] = frozenset()  # owners of which EKS takes no pod
    held: bool = True
    occupied: bool = False
    made: int = 0
    paused: float = 0.0
    evictor: Evictor = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin with nothing in memory, as after a restart."""
        b = self.b
        self.evictor = Evictor(
            b.settings, b.store, b.kube, lambda: None if self.occupied else b.reconciler.read_anew(),
            b.reconciler.homes.own, self._check, b.clock.monotonic, self._pause,
        )  # fmt: skip

    def restart(self) -> None:
        self.b.start()
        self.b.run(1)
        self.start()

    def _check(self) -> None:
        if not self.held:
            raise KubeError("the Lease is not held: nothing is sent")

    def _pause(self, seconds: float) -> None:
        self.paused += seconds

    def hook(self, **change: Any) -> None:
        self.b.api.apply(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": WEBHOOK},
                "webhooks": [HOOK | change],
            }
        )

    def owner(
        self, name: str, replicas: int = 1, kind: str = "ReplicaSet", namespace: str = "shop", **labels: str
    ) -> Object:
        self.b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        template = {"metadata": {"labels": {"app": name, **labels}}, "spec": {"containers": CONTAINERS}}
        made = self.b.api.apply(
            {
                "apiVersion": "v1" if kind == "ReplicationController" else "apps/v1",
                "kind": kind,
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"replicas": replicas, "template": template},
            }
        )
        self.remake()
        return made

    def end(self, name: str) -> None:
        """Delete an owner, and its pods with it."""
        owner = self.b.api.get("replicasets", "shop", name)
        assert owner
        self.b.api.delete("replicasets", "shop", name)
        for each in self.pods_of(owner):
            self.b.api.delete("pods", "shop", each["metadata"]["name"])

    def remake(self) -> None:
        """Make the pods that owners lack, as their controllers do; and take them for a profile, as EKS does."""
        for plural in ("replicasets", "statefulsets", "replicationcontrollers"):
            for owner in self.b.api.objects(plural):
                for _ in range(owner["spec"]["replicas"] - len(self.pods_of(owner))):
                    self._make(owner)

    def _make(self, owner: Object) -> None:
        self.made += 1
        meta, template = owner["metadata"], owner["spec"]["template"]
        labels = {**template["metadata"].get("labels", {}), "pod-template-hash": "h1"}
        reference = {name: owner[name] for name in ("apiVersion", "kind")} | {"controller": True}
        reference |= {name: meta[name] for name in ("name", "uid")}
        pod: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{meta['name']}-{self.made}", "namespace": meta["namespace"], "labels": labels,
                "ownerReferences": [reference],
            },
            "spec": json.loads(json.dumps(template["spec"])),
        }  # fmt: skip
        view = self.b.reconciler.read_anew()
        found = (
            pods.chosen(pod, view.profiles.values()).profile
            if view and self.takes and meta["name"] not in self.never
            else None
        )
        if found:
            labels[PROFILE_LABEL] = found.name
            pod["spec"]["schedulerName"] = FARGATE_SCHEDULER
            pod["status"] = {"phase": "Pending", "nominatedNodeName": "fargate-1"}
        self.b.api.apply(pod)

    def pods_of(self, owner: Object) -> list[Object]:
        uid = owner["metadata"]["uid"]
        return [each for each in self.pods() if each["metadata"].get("ownerReferences", [{"uid": ""}])[0]["uid"] == uid]

    def pods(self) -> list[Object]:
        return self.b.api.objects("pods")

    def taken(self) -> int:
        return sum(pods.holder(each) != "" for each in self.pods())

    def evictions(self, status: int = 201) -> int:
        asked = [each for each in self.b.api.log if each.path.endswith("/eviction")]
        return sum(each.status == status for each in asked)

    def seen(self, look: Callable[[Look], Look] = lambda it: it) -> Look:
        """Look at all pods."""
        view = self.b.reconciler.read_anew()
        assert view
        seen, taken, placed = [], dict[str, set[str]](), dict[str, set[str]]()
        for pod in self.pods():
            meta = pod["metadata"]
            owners = [each for each in meta.get("ownerReferences", []) if each.get("controller")]
            owner = Owner(*(owners[0][name] for name in ("apiVersion", "kind", "name", "uid"))) if owners else None
            stranded = pods.stranded(pod, view.profiles.values(), view.hidden)
            if owner and pods.holder(pod) in view.profiles and stranded.answer == "no":
                taken.setdefault(owned_by(meta["namespace"], owner), set()).add(meta["uid"])
                if pod["status"].get("nominatedNodeName"):
                    placed.setdefault(owned_by(meta["namespace"], owner), set()).add(meta["uid"])
            key = meta["namespace"], meta["name"]
            seen.append(
                Seen(
                    key,
                    meta["uid"],
                    meta["resourceVersion"],
                    owner,
                    pods.holder(pod),
                    "waiting",
                    self.b.clock.monotonic(),
                    stranded,
                    raw=json.dumps(pod).encode(),
                )
            )
        took, places = ({owner: frozenset(uids) for owner, uids in each.items()} for each in (taken, placed))
        return look(Look(at=self.b.clock.monotonic(), view=view, seen=tuple(seen), taken=took, placed=places))

    def look(self) -> tuple[bool, str]:
        """Look, evict, and let owners make pods anew; return whether another look is wanted, and what web is told."""
        wanted, words = self.evictor.after(self.seen())
        self.remake()
        return wanted, words.get(("default", "web"), "")

    def looks(self, number: int = 2, apart: float = MINUTE) -> tuple[bool, str]:
        """Look several times, the first one now."""
        wanted, told = self.look()
        for _ in range(number - 1):
            self.b.run(apart)
            wanted, told = self.look()
        return wanted, told

    def book(self, name: str = "web") -> dict[str, Tried]:
        return book_of(self.b.get(name))


@pytest.fixture
def w() -> Iterator[World]:
    """Give a test an object whose profile takes the namespace shop, and a webhook; the profile is ACTIVE for long."""
    with world() as it:
        yield it


def world(**spec: Any) -> Any:
    return _World(spec)


@dataclass
class _World:
    spec: dict[str, Any]

    def __enter__(self) -> World:
        self._bench = bench()
        b = self._bench.__enter__()
        b.settings = replace(b.settings, evict_in=frozenset({"*"}))
        b.start()
        made = World(b)
        made.hook()
        made.owner("api")  # before its profile
        b.settle("web", **({"selectors": [{"namespace": "shop"}], "strandedPods": "Evict"} | self.spec))
        return made

    def __exit__(self, *args: Any) -> None:
        self._bench.__exit__(*args)


def renew(w: World, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Let the object go, and another of its name come, whose profile has just become ACTIVE."""
    w.b.delete()
    w.b.run_until("the object is gone", w.b.gone, 600)
    meanwhile()
    w.b.apply("web", selectors=[{"namespace": "shop"}], strandedPods="Evict")
    w.b.run(1)
    w.b.run_until("the profile is ACTIVE", w.b.ready, 600)


# The way as a whole


def test_a_pod_that_was_made_before_its_profile_is_made_anew_and_taken(w: World) -> None:
    assert w.taken() == 0
    assert w.look()[0], "another look is wanted"
    assert w.evictions() == 0, "it was seen once only"
    w.b.run(MINUTE)
    assert w.look() == (True, "They are evicted, of each owner one at a time.")
    assert (w.evictions(), w.taken()) == (1, 1)
    assert [each.tries for each in w.book().values()] == [1]
    w.b.run(MINUTE)
    assert w.look() == (False, "")
    assert w.book() == {}, "and nothing is remembered of it"
    assert w.b.ready()


def test_the_eviction_names_the_very_version_that_was_seen(w: World) -> None:
    (pod,) = w.pods()
    w.looks()
    (request,) = [each for each in w.b.api.log if each.path.endswith("/eviction")]
    assert request.path == f"/api/v1/namespaces/shop/pods/{pod['metadata']['name']}/eviction"
    assert w.evictions() == 1


def test_a_hundred_pods_of_ten_owners_are_made_anew_within_15_minutes_of_active(w: World) -> None:
    w.end("api")
    w.takes = False
    for number in range(10):
        w.owner(f"app-{number}", replicas=10)
    w.takes = True
    renew(w)
    began = w.b.clock.elapsed
    for _ in range(20):
        w.b.run(MINUTE)
        before = w.evictions()
        wanted, _ = w.look()
        assert w.evictions() - before <= MOST_A_LOOK
        if not wanted:
            break
    assert w.taken() == len(w.pods()) == 100
    assert w.b.clock.elapsed - began <= 15 * MINUTE
    assert not wanted


def test_of_each_owner_the_next_pod_goes_only_after_the_successor_of_the_last_was_taken(w: World) -> None:
    w.takes = False
    w.owner("big", replicas=5)
    w.takes = True
    w.looks()
    assert w.evictions() == 2, "one of api, one of big"
    w.takes = False
    w.b.run(MINUTE)
    w.look()
    w.b.run(MINUTE)
    w.look()
    stuck = w.evictions()
    assert stuck == 3, "one more of big, after its first was taken; the third not while the second's successor waits"


def test_no_more_looks_are_wanted_where_none_may_go_and_each_pod_is_told_of(w: World) -> None:
    w.takes = False
    w.end("api")
    w.owner("big", replicas=3)
    w.b.api.edit("replicasets", "shop", "big", {"spec": {"template": {"spec": {"hostIPC": True}}}})
    wanted, told = w.looks()
    assert not wanted
    assert "3 left as they are: Fargate can't run them" in told
    assert "They are evicted" not in told


def test_no_more_looks_are_wanted_once_an_owner_has_lost_three_pods(w: World) -> None:
    w.takes = False
    w.end("api")
    w.owner("big", replicas=5)
    wanted, told = w.looks(20)
    assert (wanted, w.evictions()) == (False, 3)
    assert "5 left as they are: EKS took none of 3 pods" in told


def test_no_more_looks_are_wanted_where_all_is_stopped(w: World) -> None:
    w.look()
    w.b.api.delete("mutatingwebhookconfigurations", "", WEBHOOK)
    w.takes = False
    w.owner("late")  # it has yet to be seen to wait
    w.b.run(MINUTE)
    wanted, told = w.look()
    assert not wanted
    assert "None is evicted now" in told


def test_no_more_than_ten_go_in_a_look(w: World) -> None:
    for number in range(14):
        w.takes = False
        w.owner(f"app-{number}")
    w.takes = True
    assert w.looks()[0]
    assert w.evictions() == MOST_A_LOOK
    w.b.run(MINUTE)
    w.look()
    assert w.evictions() == 15


def test_the_namespaces_take_turns(w: World) -> None:
    w.b.settle("two", selectors=[{"namespace": "depot"}], strandedPods="Evict")
    w.takes = False
    for number in range(MOST_A_LOOK + 5):
        w.owner(f"app-{number}")
    w.owner("late", namespace="depot")
    w.takes = True
    w.looks()
    assert w.evictions() == MOST_A_LOOK
    assert any(pods.holder(each) for each in w.pods() if each["metadata"]["namespace"] == "depot")


def test_owners_whose_pods_can_not_go_do_not_hold_up_others_for_ever(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evictions.MOST_TRIED_A_LOOK", 3)
    w.takes = False
    for number in range(7):
        owner = w.owner(f"a-{number}")
        w.b.api.edit(
            "replicasets", "shop", owner["metadata"]["name"], {"spec": {"template": {"spec": {"hostIPC": True}}}}
        )
    w.owner("z")
    w.takes = True
    w.looks(6)
    assert w.taken() == 2


# Which pods


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"metadata": {"ownerReferences": None}}, "makes them anew"),
        ({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}}, "forbids it"),
        ({"spec": {"schedulingGates": [{"name": "a"}]}}, ""),
        ({"status": {"nominatedNodeName": "n"}}, ""),
        ({"spec": {"nodeName": "n"}}, ""),
        ({"metadata": {"annotations": {"eks.amazonaws.com/compute-type": "ec2"}}}, ""),
    ],
)
def test_what_is_not_to_be_touched_stays_and_is_told_where_it_is_stranded(w: World, change: Object, why: str) -> None:
    (pod,) = w.pods()
    w.b.api.edit("pods", "shop", pod["metadata"]["name"], change)
    told = w.looks(3)[1]
    assert w.evictions() == 0
    assert why in told
    assert bool(why) == bool(told)


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet", "ReplicationController"])
def test_owners_of_each_kind_have_their_pods_made_anew(w: World, kind: str) -> None:
    w.takes = False
    w.owner("other", kind=kind)
    w.takes = True
    w.looks()
    assert (w.evictions(), w.taken()) == (2, 2)


# The template


def test_labels_that_were_put_on_a_pod_later_do_not_count() -> None:
    with world(selectors=[{"namespace": "shop", "labels": {"tier": "web"}}]) as w:
        (pod,) = w.pods()
        w.b.api.edit("pods", "shop", pod["metadata"]["name"], {"metadata": {"labels": {"tier": "web"}}})
        assert "labels that were put on later do not count" in w.looks(3)[1]
        assert w.evictions() == 0


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ({"spec": {"replicas": 0}}, "their owner makes none anew"),
        ({"spec": {"template": {"spec": {"hostPID": True}}}}, "Fargate can't run them"),
        ({"spec": {"template": None}}, "their owner makes none anew"),
        ({"metadata": {"finalizers": ["a/b"]}}, ""),
    ],
)
def test_what_the_owner_makes_next_has_to_be_taken_too(w: World, edit: Object, why: str) -> None:
    w.look()
    w.b.api.edit("replicasets", "shop", "api", edit)
    if not why:
        w.b.api.delete("replicasets", "shop", "api")
        why = "their owner makes none anew"
    w.b.run(MINUTE)
    wanted, words = w.evictor.after(w.seen())
    assert why in words["default", "web"]
    assert (wanted, w.evictions()) == (False, 0)


def test_a_new_owner_of_the_same_name_is_another(w: World) -> None:
    w.look()
    w.b.api.delete("replicasets", "shop", "api")
    w.owner("api", replicas=0)
    w.b.api.edit("replicasets", "shop", "api", {"spec": {"replicas": 1}})
    w.b.run(MINUTE)
    assert "their owner makes none anew" in w.evictor.after(w.seen())[1]["default", "web"]
    assert w.evictions() == 0


@pytest.mark.parametrize("plural", ["replicasets"])
def test_an_owner_that_may_not_be_read_keeps_its_pods(w: World, plural: str) -> None:
    w.b.api.forbid("get", plural)
    assert "their owner may not be read (rbac.yaml" in w.looks(3)[1]
    assert w.evictions() == 0


# The objects


def suspend(w: World) -> None:
    w.b.edit(suspend=True)


def going(w: World) -> None:
    w.b.edit(suspend=True)
    w.b.delete()


def not_ready(w: World) -> None:
    w.b.edit(selectors=[{"namespace": "shop"}, {"namespace": "other"}])
    w.b.run(30)
    assert not w.b.ready()


def report(w: World) -> None:
    w.b.edit(strandedPods="Report")


def another_s(w: World) -> None:
    w.b.world.add_profile("demo", "another", w.b.world.roles["good"], [{"namespace": "shop"}])


def another_object_s(w: World) -> None:
    w.b.settle("a-web", selectors=[{"namespace": "sh*"}])


OBJECTS: dict[str, tuple[Callable[[World], None], str]] = {
    "suspended": (suspend, "suspended or going"),
    "going": (going, "suspended or going"),
    "not Ready as it is now": (not_ready, "not Ready"),
    "Report": (report, ""),
    "beside a profile of nobody's": (another_s, "no object's could take them"),
    "beside one of an object that says Report": (another_object_s, "does not say strandedPods: Evict"),
}


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("when", ["before", "between the looks", "unseen"])
def test_every_profile_that_could_take_the_pod_is_of_an_object_that_allows_it(name: str, when: str) -> None:
    change, why = OBJECTS[name]
    with world() as w:
        if when == "before":
            change(w)
            w.b.run(MINUTE)
            told = w.looks(3)[1]
        else:
            w.look()
            w.b.run(MINUTE)
            look = w.seen()
            change(w)
            told = w.evictor.after(look)[1].get(("default", "web"), "")
        assert w.evictions() == 0
        assert why in told


def test_two_objects_that_both_allow_it_do_not_stand_in_each_other_s_way(w: World) -> None:
    w.b.settle("a-web", selectors=[{"namespace": "sh*"}], strandedPods="Evict")
    w.looks()
    assert w.evictions() == 1
    assert [name for name in ("a-web", "web") if w.book(name)] == ["a-web"], "one of them counts"


def test_an_object_that_another_operator_serves_allows_nothing_here(w: World) -> None:
    w.b.settle("a-web", selectors=[{"namespace": "sh*"}], strandedPods="Evict")
    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    w.b.store.remove(w.b.get("a-web"))
    w.evictor.after(look)
    assert w.evictions() == 0
    assert w.b.store.get(("default", "a-web")) is None


def test_an_object_that_is_edited_right_before_the_eviction_stops_it(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the second of two objects whose profiles fit, which has nothing to remember."""
    w.b.settle("a-web", selectors=[{"namespace": "sh*"}], strandedPods="Evict")
    w.look()
    w.b.run(MINUTE)
    look, get = w.seen(), w.b.kube.get

    def edited_then(namespace: str, name: str) -> Object | None:
        found = get(namespace, name)
        if name == "web":
            w.b.edit(suspend=True)
        return found

    monkeypatch.setattr(w.b.kube, "get", edited_then)
    wanted, _ = w.evictor.after(look)
    assert (wanted, w.evictions()) == (True, 0)
    assert w.book("a-web") == w.book("web") == {}


@pytest.mark.parametrize("listed", ["", "shop", "default", "other"])
def test_the_operator_has_to_allow_both_namespaces(w: World, listed: str) -> None:
    w.b.settings = replace(w.b.settings, evict_in=frozenset(filter(None, [listed])))
    w.restart()
    assert "--allow-eviction-in does not list both their namespace and the object's" in w.looks(3)[1]
    assert w.evictions() == 0
    w.b.settings = replace(w.b.settings, evict_in=frozenset({"default", "shop"}))
    w.restart()
    w.looks()
    assert w.evictions() == 1


@pytest.mark.parametrize("name", ["a-hidden", "z-hidden"])
def test_a_profile_that_eks_does_not_show_could_be_anybody_s(w: World, name: str) -> None:
    w.b.world.add_profile("demo", name, w.b.world.roles["good"], [{"namespace": "other"}])
    w.b.run(1)
    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    w.b.manners.fail("DescribeFargateProfile", DENIED, times=20, profile=name)
    assert "EKS does not show a profile" in w.evictor.after(look)[1]["default", "web"]
    assert w.evictions() == 0


# When


def test_a_profile_has_to_be_seen_active_for_a_minute(w: World) -> None:
    renew(w, w.looks)
    assert w.look()[0]
    assert w.evictions() == 0, "though the pod waits for long"
    w.b.run(30)
    w.look()
    assert w.evictions() == 0
    w.b.run(30)
    w.look()
    assert w.evictions() == 1


def test_nothing_goes_while_a_profile_that_fits_is_being_made(w: World) -> None:
    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    w.b.apply("late", selectors=[{"namespace": "*"}], strandedPods="Evict")
    w.b.run_until("it is being made", lambda: "late" in w.b.profiles(), 60)
    told = w.evictor.after(look)[1]["default", "web"]
    assert "being made or deleted" in told
    assert w.evictions() == 0


def test_nothing_goes_by_an_old_view(w: World) -> None:
    """The profile of another, who took over meanwhile, is not in the view of the look."""
    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    another_s(w)
    assert "another" not in look.view.profiles
    w.evictor.after(look)
    assert w.evictions() == 0


def test_a_pass_that_is_in_the_cluster_is_waited_for_a_while(w: World) -> None:
    w.look()
    w.occupied = True
    w.b.run(MINUTE)
    wanted, _ = w.evictor.after(w.seen())
    assert (wanted, w.evictions()) == (True, 0)
    assert 0 < w.paused <= 30


def test_nothing_goes_where_aws_does_not_answer(w: World) -> None:
    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    w.b.manners.fail("ListFargateProfiles", DROP, times=9)
    assert "it can't be made sure" in w.evictor.after(look)[1]["default", "web"]
    assert w.evictions() == 0


def test_a_look_that_did_not_end_says_nothing(w: World) -> None:
    w.look()
    w.b.run(MINUTE)
    assert w.evictor.after(replace(w.seen(), why="it took too long")) == (False, {})
    assert w.evictions() == 0


def test_nothing_is_sent_after_the_lease_is_lost(w: World) -> None:
    w.look()
    w.held = False
    w.b.run(MINUTE)
    assert "the Lease is not held" in w.look()[1]
    assert w.evictions() == 0
    assert not [each for each in w.b.api.log if each.path.endswith("/eviction")]


def test_a_lease_that_is_lost_between_two_evictions_stops_the_second(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    w.takes = False
    w.owner("other")
    w.look()
    w.b.run(MINUTE)
    send = w.b.kube.send_at

    def sent_and_lost(*request: Any) -> Object:
        w.held = False
        return send(*request)

    monkeypatch.setattr(w.b.kube, "send_at", sent_and_lost)
    w.look()
    assert w.evictions() == 1


def test_an_api_server_that_dies_in_the_middle_breaks_nothing_and_is_asked_no_more(w: World) -> None:
    w.takes = False
    for number in range(5):
        w.owner(f"app-{number}")
    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    w.b.api.clear_log()
    w.b.api.fail("GET", "replicasets", "drop", times=99)
    told = w.evictor.after(look)[1]["default", "web"]
    assert "it can't be made sure that it helps" in told
    assert w.evictions() == 0
    assert len([each for each in w.b.api.log if "replicasets" in each.path]) == 1


def test_a_count_that_takes_too_long_to_be_written_is_taken_back(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    w.look()
    patch = w.b.kube.patch_status

    def slowly(obj: Object, status: Object) -> Object:
        w.b.clock.elapsed += 6
        return patch(obj, status)

    w.b.run(MINUTE)
    monkeypatch.setattr(w.b.kube, "patch_status", slowly)
    assert w.look()[0]
    assert w.evictions() == 0
    assert w.book() == {}


def test_nothing_goes_that_could_not_be_counted(w: World) -> None:
    """As where a webhook takes off what it does not know."""

    def without_the_count(_at: Target, sent: Object) -> Object:
        sent.get("status", {}).get("bookkeeping", {}).pop("evictions", None)
        return sent

    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    w.b.api.admit = without_the_count
    assert "is not in its answer" in w.evictor.after(look)[1]["default", "web"]
    assert w.evictions() == 0


# How many


def test_where_eks_takes_none_an_owner_loses_three_pods_in_all_whatever_restarts(w: World) -> None:
    w.takes = False
    told = ""
    for number in range(40):
        told = w.look()[1]
        w.b.run(MINUTE)
        if number % 6 == 5:
            w.restart()
    assert w.evictions() == 3
    assert [each.tries for each in w.book().values()] == [3]
    assert "EKS took none of 3 pods" in told


def test_a_restart_neither_forgets_what_was_tried_nor_takes_a_pod_of_a_profile_that_is_gone_for_taken(w: World) -> None:
    w.takes = False
    w.end("api")
    w.owner("big", replicas=12)
    for each in w.pods():
        change = {"metadata": {"labels": {PROFILE_LABEL: "gone"}}, "spec": {"schedulerName": FARGATE_SCHEDULER}}
        w.b.api.edit("pods", "shop", each["metadata"]["name"], change)
    w.b.api.may_list_pods, w.b.looking = True, True
    for _ in range(3):
        for _ in range(900):
            w.b.run(1)
            w.remake()
        w.b.start()
    assert w.evictions() == 3


@pytest.mark.parametrize("missing", [frozenset({"gone"}), frozenset[str]()])
def test_nothing_is_forgotten_nor_evicted_while_nobody_knows_of_an_owner_s_pod(
    w: World, missing: frozenset[str]
) -> None:
    w.takes = False
    w.end("api")
    w.owner("big", replicas=3)
    w.looks()
    before = w.book()

    def doubted(look: Look) -> Look:
        first, *rest = look.seen
        assert first.owner
        unknown = replace(first, holder="gone", stranded=pods.Stranded("unknown", ""))
        taken = {owned_by("shop", first.owner): frozenset({first.uid})}
        return replace(look, seen=(unknown, *rest), taken=taken, missing=missing)

    w.restart()
    for _ in range(4):
        w.b.run(MINUTE)
        wanted, _ = w.evictor.after(w.seen(doubted))
        assert wanted == bool(missing)
    assert (w.book(), w.evictions()) == (before, 1)


def test_an_owner_whose_pods_differ_loses_three_all_the_same(w: World) -> None:
    """As the pods of a StatefulSet do, of which each has labels of its own, and some are of an older template."""
    w.takes = False
    w.end("api")
    labels = {"apps.kubernetes.io/pod-index": "0"}
    w.b.settle("first", selectors=[{"namespace": "shop", "labels": labels}], strandedPods="Evict")
    w.owner("db", replicas=2, kind="StatefulSet")
    for _ in range(30):
        for number, each in enumerate(w.pods()):
            own = {"apps.kubernetes.io/pod-index": str(number), "controller-revision-hash": each["metadata"]["name"]}
            w.b.api.edit("pods", "shop", each["metadata"]["name"], {"metadata": {"labels": own}})
        w.look()
        w.b.run(MINUTE)
    assert w.evictions() == 3


def test_three_owners_whose_pods_differ_stop_the_cluster_too(w: World) -> None:
    w.takes = False
    w.end("api")
    for number in range(3):
        w.owner(f"db-{number}", kind="StatefulSet")
    for _ in range(5):
        for each in w.pods():
            own = {"controller-revision-hash": each["metadata"]["name"]}
            w.b.api.edit("pods", "shop", each["metadata"]["name"], {"metadata": {"labels": own}})
        told = w.look()[1]
        w.b.run(MINUTE)
    assert w.evictions() == 3
    assert "EKS has not taken what 3 owners made anew" in told


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet"])
def test_a_new_template_lets_an_owner_be_tried_anew(w: World, kind: str) -> None:
    w.takes = False
    w.end("api")
    w.owner("it", kind=kind)
    w.looks(15)
    assert w.evictions() == 3
    plural = f"{kind.lower()}s"
    w.b.api.edit(plural, "shop", "it", {"metadata": {"labels": {"pod-template-hash": "h2"}}})
    w.b.api.edit(plural, "shop", "it", {"status": {"currentRevision": "r2", "updateRevision": "r2"}})
    w.looks(15)
    assert w.evictions() == 6


def test_a_stateful_set_in_a_rollout_keeps_its_pods(w: World) -> None:
    w.takes = False
    w.owner("db", kind="StatefulSet")
    w.b.api.edit("statefulsets", "shop", "db", {"status": {"currentRevision": "r1", "updateRevision": "r2"}})
    w.end("api")
    assert "their owner is in a rollout" in w.looks(3)[1]
    assert w.evictions() == 0


def test_the_single_pod_that_is_tried_without_the_webhook_is_no_more_after_a_restart(w: World) -> None:
    w.b.api.forbid("get", "mutatingwebhookconfigurations")
    w.takes = False
    for number in range(4):
        w.owner(f"app-{number}")
    for _ in range(3):
        w.looks(3)
        w.restart()
    assert w.evictions() == 1


def test_a_pass_over_the_object_keeps_the_count(w: World) -> None:
    w.takes = False
    w.looks()
    assert len(w.book()) == 1
    w.b.edit(tags={"team": "a"})
    w.b.run(700)
    assert w.b.ready()
    assert len(w.book()) == 1


def test_after_three_pods_an_owner_goes_on_once_other_profiles_fit(w: World) -> None:
    w.takes = False
    for _ in range(20):
        w.look()
        w.b.run(MINUTE)
    assert w.evictions() == 3
    renew(w)
    w.takes = True
    w.looks(4)
    assert (w.evictions(), w.taken()) == (4, 1)


def test_three_owners_in_a_row_stop_the_cluster(w: World) -> None:
    w.takes = False
    for number in range(5):
        w.owner(f"app-{number}")
    told, before = "", 0
    for _ in range(15):
        told = w.look()[1]
        w.b.run(MINUTE)
    assert w.evictions() == 6, "one of each, in the one look in which nothing was known"
    assert "EKS has not taken what 6 owners made anew" in told
    before = w.evictions()
    w.restart()
    w.looks(5)
    assert w.evictions() == before, "nor after a restart"


def test_owners_whose_next_pod_is_never_made_stop_nobody(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a team's quota is full."""
    w.takes = False
    w.end("api")
    for number in range(4):
        w.owner(f"app-{number}", replicas=2)
    w.look()
    monkeypatch.setattr(w, "remake", lambda: None)
    w.b.run(MINUTE)
    w.look()
    assert (w.evictions(), len(w.pods())) == (4, 4)
    w._make(w.owner("other"))
    w.looks(3)
    assert not [each for each in w.pods() if "other" in each["metadata"]["name"]]


def test_while_all_is_stopped_one_owner_a_resync_is_tried_that_has_not_failed(w: World) -> None:
    w.takes = False
    w.end("api")
    for number in range(3):
        w.owner(f"app-{number}")
    w.looks(3)
    stopped = w.look()
    assert w.evictions() == 3
    for number in range(2):
        w.owner(f"late-{number}")
    assert w.looks(5) == stopped
    assert w.evictions() == 3
    wanted, told = w.looks(8)
    assert w.evictions() == 4
    assert (wanted, gist(told)) == (False, gist(stopped[1])), "nor do the words change, but for the number"
    w.takes = True
    w.looks(12)
    assert w.evictions() > 5, "once that was taken it goes on"


def test_a_pod_that_anybody_could_write_proves_nothing(w: World) -> None:
    """That an owner's own pods are taken counts for that owner only."""
    w.b.api.forbid("get", "mutatingwebhookconfigurations")
    w.takes = False
    owner = w.owner("other", replicas=2)
    w.looks(2)
    (tried,) = w.book().values()
    for each in (owner, w.b.api.get("replicasets", "shop", "api")):
        assert each
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True}
        reference |= {name: each["metadata"][name] for name in ("name", "uid")}
        w.b.api.apply(
            {
                **made(labels={PROFILE_LABEL: "web"}, ownerReferences=[reference], name=f"forged-{reference['name']}"),
                "apiVersion": "v1",
                "kind": "Pod",
                "spec": {"containers": CONTAINERS, "schedulerName": FARGATE_SCHEDULER},
            }
        )
    told = w.looks(4)[1]
    assert tried.owner not in w.book()
    assert w.evictions() == 1
    assert "one pod a resync is tried until EKS has taken one" in told


def test_owners_that_fail_beside_others_that_do_not_stop_nobody(w: World) -> None:
    w.never = frozenset(f"bad-{number}" for number in range(4))
    w.takes = False
    for name in sorted(w.never):
        w.owner(name)
    w.owner("good", replicas=6)
    w.takes = True
    told = ""
    for _ in range(20):
        told = w.look()[1]
        w.b.run(MINUTE)
    assert w.taken() == 1 + 6
    assert w.evictions() == 1 + 6 + 3 * len(w.never)
    assert "4 left as they are: EKS took none of 3 pods" in told


def test_an_object_remembers_twenty_owners_and_no_more_are_begun(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evictions.MOST_FAILING", 100)
    w.takes = False
    for number in range(MOST_OWNERS + 4):
        w.owner(f"app-{number}")
    told = ""
    for _ in range(20):
        told = w.look()[1]
        w.b.run(MINUTE)
    assert len(w.book()) == MOST_OWNERS
    assert w.evictions() == 3 * MOST_OWNERS
    assert "20 other owners wait for EKS to take their pods" in told
    for name in ("app-10", "app-11", "app-12"):
        w.end(name)
    w.looks(4)
    assert w.evictions() > 3 * MOST_OWNERS, "those whose owners are gone have made room"
    assert len(w.book()) == MOST_OWNERS


@pytest.mark.parametrize("count", [{"tries": "x"}, {"tries": -99}, {"taken": -1}])
def test_a_count_that_can_not_be_read_is_not_taken_for_none(w: World, count: Object) -> None:
    with pytest.raises(pods.Odd):
        book_of({"status": {"bookkeeping": {"evictions": [{"owner": 5}]}}})
    w.look()
    w.b.api.edit("fargateprofiles", "default", "web", {"status": {"bookkeeping": {"evictions": [count]}}})
    w.b.run(MINUTE)
    w.look()
    assert w.evictions() == 0


# The webhook


def test_without_the_webhook_nothing_goes(w: World) -> None:
    w.b.api.delete("mutatingwebhookconfigurations", "", WEBHOOK)
    assert "the cluster does not have it" in w.looks(3)[1]
    assert w.evictions() == 0


@pytest.mark.parametrize(
    "change",
    [
        {"namespaceSelector": {"matchLabels": {"a": "b"}}},
        {"objectSelector": {"matchLabels": {"a": "b"}}},
        {"matchConditions": [{"name": "a", "expression": "false"}]},
        {"namespaceSelector": "odd"},
        {"rules": []},
        {"rules": [{"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]},
        {"rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]},
        {"rules": [{"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["pods"]}]},
        {"name": "another.amazonaws.com"},
    ],
)
def test_with_a_webhook_that_misses_pods_nothing_goes(w: World, change: Object) -> None:
    w.hook(**change)
    assert not sees_every_pod({"webhooks": [HOOK | change]})
    assert "misses some" in w.looks(3)[1]
    assert w.evictions() == 0


def test_a_webhook_that_may_not_be_read_costs_one_pod_a_resync_until_one_was_taken(w: World) -> None:
    w.b.api.forbid("get", "mutatingwebhookconfigurations")
    w.takes = False
    for number in range(4):
        w.owner(f"app-{number}")
    told = ""
    for _ in range(10):
        told = w.look()[1]
        w.b.run(MINUTE)
    assert w.evictions() == 1
    assert "one pod a resync is tried until EKS has taken one" in told
    w.takes = True
    w.looks(2)
    assert w.evictions() == 2, "the resync is over"
    w.b.run(MINUTE)
    w.looks(2)
    assert w.taken() == len(w.pods()) == 5


# Answers


@pytest.mark.parametrize(("version", "tries"), [("changed", 0), ("another pod", 0), ("gone", 0)])
def test_a_pod_that_is_not_as_it_was_seen_stays_and_counts_for_nothing(w: World, version: str, tries: int) -> None:
    w.look()
    w.b.run(MINUTE)
    look, (pod,) = w.seen(), w.pods()
    name = pod["metadata"]["name"]
    if version == "changed":
        w.b.api.edit("pods", "shop", name, {"status": {"nominatedNodeName": "fargate-1"}})
    else:
        w.b.api.delete("pods", "shop", name)
    if version == "another pod":
        w.b.api.apply(
            {**pod, "metadata": {k: v for k, v in pod["metadata"].items() if k not in {"uid", "resourceVersion"}}}
        )
    wanted, _ = w.evictor.after(look)
    assert (wanted, w.evictions()) == (True, 0)
    assert len(w.pods()) == (version != "gone")
    assert len(w.book()) == tries


def test_never_two_calls_go_for_one_pod_in_one_look(w: World) -> None:
    w.look()
    w.b.run(MINUTE)
    w.b.api.fail("POST", "/eviction", 429, times=5, retry_after=90)
    w.look()
    assert w.evictions(429) == 1


def test_too_many_requests_without_a_time_are_waited_for_until_the_next_look(w: World) -> None:
    w.look()
    w.b.run(MINUTE)
    w.b.api.fail("POST", "/eviction", 429, times=1)
    wanted, told = w.look()
    assert wanted
    assert "1 left as it is: the API server wants to be asked for it later." in told
    w.b.run(MINUTE)
    w.look()
    assert w.evictions() == 1


def test_too_many_requests_are_waited_for_as_long_as_they_say(w: World) -> None:
    w.look()
    w.b.run(MINUTE)
    w.b.api.fail("POST", "/eviction", 429, times=1, retry_after=90)
    w.look()
    assert w.book() == {}, "nothing was evicted"
    w.b.run(MINUTE)
    w.look()
    assert w.evictions() == 0
    w.b.run(MINUTE)
    w.look()
    assert w.evictions() == 1


def test_who_may_not_evict_writes_nothing_and_asks_again_at_a_resync(w: World) -> None:
    w.takes = False
    for number in range(3):
        w.owner(f"app-{number}")
    w.takes = True
    w.b.api.forbid("create", "pods/eviction")
    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    w.b.api.clear_log()
    wanted, words = w.evictor.after(look)
    assert (
        "4 left as they are: the API server refuses it: let the operator create pods/eviction (rbac.yaml)"
        in (words["default", "web"])
    )
    assert not wanted
    assert not [each for each in w.b.api.log if each.method == "PATCH" or each.path.endswith("/eviction")]
    assert len([each for each in w.b.api.log if each.path.endswith("reviews")]) == 1
    w.b.api.permit("create", "pods/eviction")
    w.looks(12)
    assert w.evictions() == 4


def test_who_may_evict_in_one_namespace_does_it_there(w: World) -> None:
    w.takes = False
    w.b.edit(selectors=[{"namespace": "shop"}])
    w.b.settle("two", selectors=[{"namespace": "depot"}], strandedPods="Evict")
    w.owner("far", namespace="depot")
    w.takes = True
    w.b.api.forbid("create", "pods/eviction", but_in=("depot",))
    w.looks()
    assert (w.evictions(403), w.evictions()) == (0, 1)


def test_a_right_that_goes_between_the_question_and_the_eviction_takes_the_count_back(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.takes = False
    w.owner("other")
    monkeypatch.setattr(w.b.kube, "review", lambda *_: {"allowed": True})
    w.b.api.forbid("create", "pods/eviction")
    told = w.looks()[1]
    assert "2 left as they are: the API server refuses it: let the operator create pods/eviction" in told
    assert w.evictions(403) == 1, "no second in the same look"
    assert w.book() == {}


def test_profiles_that_were_read_a_minute_ago_count_no_more(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    w.takes = False
    for number in range(9):
        w.owner(f"app-{number}")
    w.look()
    w.b.run(MINUTE)
    look, get, began = w.seen(), w.b.kube.get_at, w.b.clock.elapsed

    def slowly(path: str) -> Object:
        w.b.clock.elapsed += 9
        return get(path)

    monkeypatch.setattr(w.b.kube, "get_at", slowly)
    assert w.evictor.after(look)[0]
    assert 0 < w.evictions() < MOST_A_LOOK
    assert w.b.clock.elapsed - began < 2 * MINUTE


@pytest.mark.parametrize("outcome", [500, 503, 400, 403, "drop", "lost"])
def test_any_other_answer_leaves_the_owner_alone_for_an_hour(w: World, outcome: Any) -> None:
    w.look()
    w.b.run(MINUTE)
    w.b.api.fail("POST", "/eviction", outcome)
    told = w.look()[1]
    asked = len([each for each in w.b.api.log if each.path.endswith("/eviction")])
    assert "answered otherwise than by yes or no" in told or outcome == "lost"
    assert len(w.book()) == 1, "it may have been"
    if outcome == "lost":
        return
    for _ in range(50):
        w.b.run(MINUTE)
        w.look()
    assert len([each for each in w.b.api.log if each.path.endswith("/eviction")]) == asked
    for _ in range(14):
        w.b.run(MINUTE)
        w.look()
    assert w.taken() == 1


def test_an_object_whose_status_can_not_be_written_stops_no_other(w: World) -> None:
    w.b.settle("two", selectors=[{"namespace": "depot"}], strandedPods="Evict")
    w.takes = False
    w.owner("far", namespace="depot")
    w.takes = True
    w.look()
    w.b.run(MINUTE)
    w.b.api.fail("PATCH", "fargateprofiles/web/status", 422, times=9)
    w.look()
    assert w.evictions() == 1
    assert w.book() == {}


def test_two_replicas_count_together(w: World) -> None:
    """The one that led before comes back with what it knew, and acts by what status says."""
    w.takes = False
    other = World(w.b)
    other.takes = False
    other.made = 100
    for _ in range(12):
        w.look()
        other.look()
        w.b.run(MINUTE)
    assert w.evictions() == 3


# What is said


def test_no_pod_or_object_of_another_namespace_is_named(w: World) -> None:
    w.takes = False
    w.b.settle("secret", selectors=[{"namespace": "sho?"}])
    w.owner("hidden-one")
    told = w.looks(3)[1]
    assert told
    for word in ("hidden-one", "secret", "api-"):
        assert word not in told


@pytest.mark.parametrize("outcome", [500, 403, "drop"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "replicasets/hidden-one"),
        ("GET", "fargateprofiles/web"),
        ("PATCH", "fargateprofiles/web/status"),
        ("POST", "eviction"),
    ],
)
def test_no_text_of_the_api_server_is_told(w: World, outcome: Any, method: str, path: str) -> None:
    w.takes = False
    w.end("api")
    w.owner("hidden-one", namespace="shop")
    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    w.b.api.fail(method, path, outcome, times=9)
    told = w.evictor.after(look)[1]["default", "web"]
    assert "(the log says how)" in told or "let the operator" in told or "may not be read" in told
    for word in ("hidden-one", "/", "apis", "GET", "PATCH", "POST", "http"):
        assert word not in told.replace("pods/eviction", "")


def test_no_text_of_aws_is_told(w: World) -> None:
    w.look()
    w.b.run(MINUTE)
    look = w.seen()
    w.b.manners.fail("ListFargateProfiles", error("AccessDeniedException", 403, "arn:aws:iam::1:role/secret"), times=9)
    told = w.evictor.after(look)[1]["default", "web"]
    assert "AWS does not answer what is asked, AccessDenied (the log says how)" in told
    assert "secret" not in told


def test_the_log_names_each_eviction(w: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fargate.pods"):
        w.looks()
    assert any("evicted object=shop/api-1 owner=ReplicaSet api" in each.getMessage() for each in caplog.records)


def test_who_asks_for_evictions_is_told_from_who_does_not() -> None:
    assert asks({"spec": {"strandedPods": "Evict"}})
    odd: tuple[Object | None, ...] = (None, {}, {"spec": None}, {"spec": []}, {"spec": {"strandedPods": "Report"}})
    assert not any(map(asks, odd))


# The looks and the evictions together


def test_by_the_looks_of_the_controller_itself_every_pod_comes_to_run_and_status_tells_it(w: World) -> None:
    w.takes = False
    w.owner("big", replicas=3)
    w.takes = True
    w.b.api.may_list_pods, w.b.looking = True, True
    told = set()
    for _ in range(20 * 60):
        w.b.run(1)
        w.remake()
        told.add(w.b.condition("PodsStranded").get("reason"))
    assert w.taken() == 4
    assert w.b.condition("PodsStranded") == {}
    assert "NeverTaken" in told
    assert w.evictions() == 4
    assert w.book() == {}
    w.b.api.clear_log()
    w.b.run(550)
    assert not [each for each in w.b.api.log if each.method == "PATCH"], "a settled world is silent"


def test_why_none_is_evicted_stands_in_the_condition_as_soon_as_it_is_known(w: World) -> None:
    w.b.api.delete("mutatingwebhookconfigurations", "", WEBHOOK)
    w.b.api.may_list_pods, w.b.looking = True, True
    w.b.run(700)  # a resync, and the look after it
    assert w.evictions() == 0
    told = w.b.condition("PodsStranded")["message"]
    assert "None is evicted now: EKS looks at new pods by webhook" in told
    assert "set spec.strandedPods" not in told, "it is set"


# Permissions


def test_the_optional_permissions_are_what_evictions_ask_for(w: World) -> None:
    w.takes = False
    for kind in ("StatefulSet", "ReplicationController"):
        w.owner(kind.lower(), kind=kind)
    w.takes = True
    w.b.api.clear_log()
    w.looks()
    rules = optional("pods/eviction", "replicasets", "replicationcontrollers", "mutatingwebhookconfigurations")
    granted = {
        (verb, f"{group}:{resource}", name)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }
    ours = {each for each in asked(w.b.api) if not re.search("fargateprofiles|events|reviews", each[1])}
    assert ours == granted
