"""What the controller sees of pods and tells of them: in status, conditions, events, metrics; and what it leaves alone.

A pod is made as EKS would have made it: `taken` by its webhook, or `missed`.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusters import View
from kube import Object
from podlooks import (
    LEAST_SECONDS,
    MOST_RAW,
    PODS,
    STATES,
    STEP_SECONDS,
    WORDS,
    Look,
    Reading,
    State,
    by_profile,
    news_of,
)
from pods import FARGATE_SCHEDULER, PROFILE_LABEL
from spec import REQUESTED_AT
from tests.fakes.apiserver import token_by
from tests.fakes.eks_rules import issuer
from tests.harness import START, Bench
from tests.unit.test_metrics import scrape
from tests.unit.test_pods import WEB, WHOLE, junk, places, planted, profile

RESYNC = 600
SIZE = {"CapacityProvisioned": "0.25vCPU 0.5GB"}


@pytest.fixture
def looking(b: Bench) -> Bench:
    """Return a controller that may list pods, with a profile web that is ACTIVE and selects namespace shop."""
    b.looking, b.api.may_list_pods = True, True
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    b.settle(selectors=[{"namespace": "shop"}])
    return b


def missed(b: Bench, name: str, namespace: str = "shop", kind: str = "ReplicaSet", **meta: Any) -> Object:
    """Make a pod that EKS has not taken, and that waits for a node."""
    owners = [{"apiVersion": "apps/v1", "kind": kind, "name": f"{name}-owner", "uid": name, "controller": True}]
    head: Object = {"name": name, "namespace": namespace, **meta, **({"ownerReferences": owners} if kind else {})}
    spec = {"schedulerName": "default-scheduler", "containers": [{"name": "c", "image": "i"}]}
    b.api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec})
    return b.api.edit("pods", namespace, name, {"status": {"phase": "Pending"}})


def taken(
    b: Bench, name: str, phase: str = "Running", profile: str = "web", node: bool = True, kind: str = "ReplicaSet",
    namespace: str = "shop", annotations: Object | None = None, **status: Any,
) -> Object:  # fmt: skip
    """Make a pod that EKS has taken for a profile."""
    owners = [{"apiVersion": "apps/v1", "kind": kind, "name": f"{name}-owner", "uid": name, "controller": True}]
    head: Object = {"name": name, "namespace": namespace, "labels": {PROFILE_LABEL: profile}}
    head |= {"annotations": SIZE if annotations is None else annotations}
    head |= {"ownerReferences": owners} if kind else {}
    spec = {"schedulerName": FARGATE_SCHEDULER, "containers": [{"name": "c", "image": "i"}]}
    spec |= {"nodeName": f"fargate-{name}"} if node else {}
    b.api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec})
    return b.api.edit("pods", namespace, name, {"status": {"phase": phase, **status}})


def refused(b: Bench, name: str, message: str, **how: Any) -> Object:
    condition = {"type": "PodScheduled", "status": "False", "reason": "POD_UNSUPPORTED_ON_FARGATE", "message": message}
    return taken(b, name, "Pending", node=False, conditions=[condition], **how)


def ended_at(b: Bench) -> Object:
    return {"name": "c", "state": {"terminated": {"finishedAt": b.now().isoformat()}}}


def counts(b: Bench, name: str = "web") -> Object:
    found: Object = b.get(name)["status"].get("pods", {})
    return found


def lists(b: Bench) -> list[Any]:
    return [request for request in b.api.log if request.path == PODS]


def pods_told(b: Bench) -> list[str]:
    return [kind for kind in ("PodsStranded", "PodsBlocked", "PodsFinished") if b.condition(kind)]


# What is counted


def test_status_says_how_many_pods_the_profile_has_and_what_they_are_billed(looking: Bench) -> None:
    b = looking
    taken(b, "a")
    taken(b, "b", annotations={"CapacityProvisioned": "1vCPU 2GB"})
    taken(b, "c", "Pending")
    taken(b, "d", "Pending", node=False, annotations={})
    taken(b, "e", "Succeeded")
    taken(b, "f", annotations={"CapacityProvisioned": "lots"})
    missed(b, "g")
    b.run(RESYNC * 2.2)
    assert counts(b) == {
        "running": 3, "starting": 1, "waiting": 1, "finished": 1, "stranded": 1, "vcpu": 1.75, "memoryGiB": 3.5,
        "sizeUnknown": 1, "summary": "5, 1 stranded",
    }  # fmt: skip


def test_without_pods_nothing_is_written(looking: Bench) -> None:
    b = looking
    b.run(RESYNC)
    b.api.clear_log()
    b.run(3 * RESYNC)
    assert b.api.writes() == []
    assert "pods" not in b.get()["status"]
    assert len(lists(b)) == 3 * 5


def test_a_pod_that_only_carries_the_label_is_no_pod_of_the_profile(looking: Bench) -> None:
    b = looking
    missed(b, "a", labels={PROFILE_LABEL: "web"})
    b.api.edit("pods", "shop", "a", {"spec": {"nodeName": "ec2"}, "status": {"phase": "Running"}})
    b.run(2.2 * RESYNC)
    assert counts(b) == {}


# When it looks


def test_a_look_comes_a_minute_after_a_profile_was_seen_active_and_not_before(b: Bench) -> None:
    b.looking, b.api.may_list_pods = True, True
    b.apply()
    b.run_until("the profile is ACTIVE", b.ready)
    b.run(LEAST_SECONDS - 10)
    assert lists(b) == []
    b.run(10 + 2 * STEP_SECONDS)
    assert len(lists(b)) == 5


def test_a_look_that_was_asked_for_stands_in_for_none_that_a_profile_is_owed(b: Bench) -> None:
    b.looking, b.api.may_list_pods = True, True
    b.apply()
    b.run_until("the profile is ACTIVE", b.ready)
    b.run(LEAST_SECONDS / 2)
    b.looks.ask()
    b.run(3 * STEP_SECONDS)
    assert len(lists(b)) == 5
    b.run(LEAST_SECONDS)
    assert len(lists(b)) == 2 * 5


def test_who_asks_for_a_look_gets_it_and_many_who_ask_get_one_a_minute(looking: Bench) -> None:
    b = looking
    b.run(2 * LEAST_SECONDS)
    b.api.clear_log()
    for number in range(12):
        b.api.edit("fargateprofiles", "default", "web", {"metadata": {"annotations": {REQUESTED_AT: str(number)}}})
        b.run(LEAST_SECONDS / 3)
    assert 3 * 5 <= len(lists(b)) <= 5 * 5


def test_nothing_is_read_as_long_as_the_lease_is_not_held(looking: Bench) -> None:
    b = looking
    b.holds_lease = False
    b.api.clear_log()
    b.run(3 * RESYNC)
    assert lists(b) == []
    assert "reviews" not in " ".join(request.path for request in b.api.log)


def test_a_lease_that_is_lost_in_mid_look_ends_it_and_nothing_is_told(looking: Bench) -> None:
    b = looking
    missed(b, "a")

    def lose() -> None:
        if lists(b):
            b.holds_lease = False

    b.trip = lose
    b.api.clear_log()
    b.run(2 * LEAST_SECONDS)
    assert len(lists(b)) == 1
    assert not pods_told(b)


def test_of_looks_that_are_wanted_for_ever_there_are_twenty_in_a_row_and_then_one_a_resync(looking: Bench) -> None:
    b = looking
    b.looks._after = lambda _look: (True, {})
    b.run(30 * LEAST_SECONDS)
    assert 20 * 5 <= len(lists(b)) <= 24 * 5
    b.api.clear_log()
    b.run(6 * RESYNC)
    assert len(lists(b)) == 6 * 5


def test_a_tenant_that_names_new_profiles_again_and_again_has_the_cluster_read_a_few_times_a_resync(
    looking: Bench,
) -> None:
    b = looking
    b.run(2 * RESYNC)
    renewed = []
    b.looks._renew = lambda: renewed.append(b.clock.elapsed)
    b.api.clear_log()
    for number in range(40):
        refused(b, f"a-{number}", "", profile=f"nowhere-{number % 4}" if number < 20 else f"nowhere-{number}")
        ask_for_a_look(b)
        b.run(LEAST_SECONDS)
    assert 3 <= len(renewed) <= 5 * (40 * LEAST_SECONDS / RESYNC + 1)
    assert len([at for at in renewed if at < renewed[0] + RESYNC / 2]) <= 5


# Stranded pods


def test_a_pod_that_was_made_before_its_profile_was_active_is_told_beside_ready(b: Bench) -> None:
    b.looking, b.api.may_list_pods = True, True
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    missed(b, "web-1", namespace="shop")
    b.apply(namespace="shop", selectors=[{"namespace": "shop"}])
    b.run_until("pods are stranded", lambda: b.condition("PodsStranded", namespace="shop"), 200)
    assert b.ready(namespace="shop")
    told = b.condition("PodsStranded", namespace="shop")
    assert (told["status"], told["reason"]) == ("True", "NeverTaken")
    for word in ("1 pod (web-1)", "Profile web takes", "kubectl rollout restart", "strandedPods: Evict"):
        assert word in told["message"]
    assert "hand" not in told["message"]
    assert b.get(namespace="shop")["status"]["pods"]["summary"] == "0, 1 stranded"
    b.run(3 * RESYNC)
    assert b.events("Warning") == ["PodsStranded"]
    b.api.delete("pods", "shop", "web-1")
    b.run(2.2 * RESYNC)
    assert not b.condition("PodsStranded", namespace="shop")
    assert "pods" not in b.get(namespace="shop")["status"]
    assert b.ready(namespace="shop")


def test_pods_of_other_namespaces_are_counted_and_never_named_but_in_the_log(
    looking: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    b = looking
    caplog.set_level("INFO")
    for number in range(8):
        missed(b, f"secret-{number}")
        refused(b, f"hush-{number}", "Pod not supported on Fargate: invalid SecurityContext fields: Privileged hush-0")
        taken(b, f"quiet-{number}", "Succeeded", kind="Job", containerStatuses=[ended_at(b)])
    b.run(8 * RESYNC)
    assert pods_told(b) == ["PodsStranded", "PodsBlocked", "PodsFinished"]
    for kind in pods_told(b):
        assert "8 pods (8 of other namespaces)" in b.condition(kind)["message"]
    said = str(b.get()) + str(b.api.objects("events"))
    assert not any(name in said for name in ("secret", "hush", "quiet"))
    assert "shop/secret-7" in caplog.text


def test_five_names_are_told_and_the_rest_is_counted(b: Bench) -> None:
    b.looking, b.api.may_list_pods = True, True
    b.settle(selectors=[{"namespace": "default"}])
    for number in range(8):
        missed(b, f"web-{number}", "default", kind="")
    b.run(1.2 * RESYNC)
    message = b.condition("PodsStranded")["message"]
    assert "8 pods (web-0, web-1, web-2, web-3, web-4, 3 more)" in message
    assert "deleted by hand" in message


@pytest.mark.parametrize("why", ["gates", "going", "annotation", "daemonset", "scheduler", "nominated"])
def test_a_pod_that_waits_for_something_else_is_not_stranded(looking: Bench, why: str) -> None:
    b = looking
    changed: dict[str, Object] = {
        "gates": {"spec": {"schedulingGates": [{"name": "wait"}]}},
        "going": {"metadata": {"finalizers": ["a/b"], "deletionTimestamp": "2026-11-22T08:00:00Z"}},
        "annotation": {"metadata": {"annotations": {"eks.amazonaws.com/compute-type": "ec2"}}},
        "daemonset": {},
        "scheduler": {"spec": {"schedulerName": "mine"}},
        "nominated": {"status": {"nominatedNodeName": "ec2-1"}},
    }
    missed(b, "a", kind="DaemonSet" if why == "daemonset" else "ReplicaSet")
    b.api.edit("pods", "shop", "a", changed[why])
    if why == "going":
        b.api.delete("pods", "shop", "a")
    b.run(1.2 * RESYNC)
    assert not pods_told(b)


def test_a_pod_that_waits_for_a_profile_that_is_gone_is_stranded_once_a_view_of_later_shows_that(
    looking: Bench,
) -> None:
    b = looking
    refused(b, "a", "", profile="old")
    b.run_until("the pod is told", lambda: b.condition("PodsStranded"), 2 * RESYNC)
    assert b.condition("PodsStranded")["reason"] == "ProfileGone"
    assert counts(b)["waiting"] == 0


def test_a_pod_that_waits_for_a_profile_that_was_made_since_is_never_taken_for_stranded(looking: Bench) -> None:
    b = looking
    b.run(LEAST_SECONDS)
    b.world.add_profile("demo", "young", b.world.roles["good"], [{"namespace": "shop"}])
    refused(b, "a", "", profile="young")
    told = set()
    for _ in range(60):
        b.run(30)
        told |= {*pods_told(b)}
    assert "PodsStranded" not in told


def test_a_pod_that_waits_for_a_profile_that_was_replaced_under_its_name_is_stranded(looking: Bench) -> None:
    b = looking
    b.world.add_profile("demo", "zoo", b.world.roles["good"], [{"namespace": "shop"}])
    refused(b, "a", "", profile="zoo")
    b.run(2.5 * RESYNC)
    assert not pods_told(b)  # it is another's, and what it waits for is there
    b.world.delete_profile("demo", "zoo")
    b.world.add_profile("demo", "zoo", b.world.roles["good"], [{"namespace": "shop"}])
    b.run(2.2 * RESYNC)
    assert b.condition("PodsStranded")["reason"] == "ProfileGone"


# Blocked pods


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Pod not supported on Fargate: invalid SecurityContext fields: Privileged", "Privileged"),
        (
            "Misconfigured Fargate Profile: fargate profile web blocked for new launches due to: Pod execution role is "
            "not found in auth config or does not have all required permissions for launching fargate pods.",
            "RoleNotMapped",
        ),
    ],
)
def test_a_pod_that_fargate_refuses_is_told_at_the_next_look_with_what_mends_it(
    looking: Bench, message: str, reason: str
) -> None:
    b = looking
    refused(b, "a", message)
    b.run_until("the pod is told", lambda: b.condition("PodsBlocked"), 90)
    assert b.condition("PodsBlocked")["reason"] == reason
    assert WORDS[reason] in b.condition("PodsBlocked")["message"]
    assert b.events("Warning") == ["PodsBlocked"]
    assert b.ready()


@pytest.mark.parametrize(
    ("message", "reason"),
    [("Pod provisioning timed out (will retry)", "ProvisioningTimedOut"), ("", "NotPlaced"), ("Hm", "UnknownText")],
)
def test_a_pod_that_fargate_may_still_place_is_told_after_five_minutes(
    looking: Bench, message: str, reason: str
) -> None:
    b = looking
    b.run(RESYNC - b.clock.elapsed % RESYNC)
    refused(b, "a", message)
    ask_for_a_look(b)
    b.run(2 * LEAST_SECONDS)
    assert not pods_told(b)
    b.run(300)
    ask_for_a_look(b)
    b.run(2 * LEAST_SECONDS)
    assert b.condition("PodsBlocked")["reason"] == reason


def test_a_pod_that_the_kubelet_refuses_is_told(looking: Bench) -> None:
    b = looking
    taken(b, "a", "Failed", reason="UnsupportedPodSpec", message="Pod not supported: volumeDevices not supported")
    b.run_until("the pod is told", lambda: b.condition("PodsBlocked"), 90)
    assert b.condition("PodsBlocked")["reason"] == "BlockDevice"


def test_another_reason_is_told_anew_and_another_pod_is_not(looking: Bench) -> None:
    b = looking
    refused(b, "a", "Pod not supported on Fargate: port contains HostIP or HostPort")
    b.run(2 * RESYNC)
    refused(b, "b", "Pod not supported on Fargate: port contains HostIP or HostPort")
    b.run(2 * RESYNC)
    assert b.events("Warning") == ["PodsBlocked"]
    refused(b, "c", "Pod not supported on Fargate: fields not supported: HostNetwork")
    b.run(2 * RESYNC)
    assert b.events("Warning") == ["PodsBlocked", "PodsBlocked"]
    assert "HostPort: 2 pods" in b.condition("PodsBlocked")["message"]


def test_a_pod_that_pretends_to_be_of_a_profile_which_does_not_select_its_namespace_is_counted_for_no_object(
    looking: Bench,
) -> None:
    b = looking
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "evil"}})
    b.world.add_profile("demo", "other", b.world.roles["good"], [{"namespace": "evil"}])
    refused(b, "a", "Pod not supported on Fargate: port contains HostIP or HostPort", namespace="evil")
    taken(b, "b", namespace="evil")
    taken(b, "c", "Succeeded", namespace="evil", kind="Job", containerStatuses=[ended_at(b)])
    b.run(8 * RESYNC)
    assert (pods_told(b), counts(b)) == ([], {})
    shown = scrape(b.metrics.registry)
    assert shown["fargate_pods", labels(profile="", state="running")] == 1
    assert shown["fargate_pods", labels(profile="", state="waiting")] == 1


def test_pods_of_namespaces_that_no_profile_selects_keep_no_others_from_being_judged(
    looking: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = looking
    monkeypatch.setattr("podlooks.MOST_WAITING", 1)
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "evil"}})
    for number in range(3):
        missed(b, f"a-{number}", namespace="evil")
        refused(b, f"b-{number}", "", profile="nowhere", namespace="evil")
    missed(b, "web-1")
    b.run(1.2 * RESYNC)
    assert counts(b)["stranded"] == 1
    assert "not looked at" not in b.condition("PodsStranded")["message"]


# Finished pods


@pytest.mark.parametrize(("kind", "told"), [("Job", True), ("", True), ("ReplicaSet", False)])
def test_a_finished_pod_that_nobody_takes_away_is_told_after_an_hour(looking: Bench, kind: str, told: bool) -> None:
    b = looking
    taken(b, "a", "Succeeded", kind=kind, containerStatuses=[ended_at(b)])
    b.run(5 * RESYNC)
    assert not pods_told(b)
    b.run(3 * RESYNC)
    assert pods_told(b) == (["PodsFinished"] if told else [])
    assert b.events("Warning") == []


# What it costs


def test_jobs_that_come_and_go_make_at_most_one_status_write_an_object_and_resync(looking: Bench) -> None:
    b = looking
    b.run(2 * RESYNC)
    b.api.clear_log()
    for number in range(40):
        taken(b, f"job-{number}", kind="Job")
        if number % 7 == 6:  # so that it is another number at each resync
            for before in range(number - 6, number):
                b.api.delete("pods", "shop", f"job-{before}")
        b.looks.ask()
        b.run(RESYNC / 8)
        b.queue.wake(("default", "web"))  # for whatever reason
        b.run(RESYNC / 8)
    assert len(lists(b)) >= 40 * 5
    assert 8 <= sum(request.path.endswith("/status") for request in b.api.writes()) <= 11


def test_of_more_pods_than_are_judged_the_others_are_counted(looking: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    b = looking
    monkeypatch.setattr("podlooks.MOST_WAITING", 3)
    for number in range(5):
        missed(b, f"a-{number}")
    refused(b, "b", "Pod not supported on Fargate: invalid SecurityContext fields: Privileged")
    b.run(1.2 * RESYNC)
    assert (counts(b)["stranded"], counts(b)["waiting"]) == (2, 1)
    assert "3 more waiting pods" in b.condition("PodsStranded")["message"]
    assert b.condition("PodsBlocked"), "those of Fargate come first"


def look_at(*found: tuple[State, Object], view_at: float = -1) -> Look:
    """Return what a look at 0 sees of pods beside the profile web of namespace shop."""
    reading = Reading(0.0, START, View(True, {"web": profile("web", WEB)}, view_at), {})
    for state, pod in found:
        reading.take(state, pod)
    return reading.look()


def of_fargate(uid: str, holder: str = "web", namespace: str = "shop", node: str = "", **meta: Any) -> Object:
    """Return a pod of a ReplicaSet that waits for Fargate."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "api", "uid": "rs", "controller": True}
    head: Object = {"name": uid, "namespace": namespace, "uid": uid, "resourceVersion": "1", **meta}
    head |= {"labels": {PROFILE_LABEL: holder, "tier": "web"}, "ownerReferences": [owner]}
    spec = {"schedulerName": FARGATE_SCHEDULER, "containers": [{"name": "c", "image": "i"}]}
    return {"metadata": head, "spec": spec, "status": {"phase": "Pending", "nominatedNodeName": node}}


def test_of_pods_that_wait_none_is_taken_whose_profile_is_not_there_or_that_nobody_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = of_fargate("odd")
    odd["spec"]["schedulingGates"] = "?"
    waits = of_fargate("waits")
    found: list[tuple[State, Object]] = [("waiting", each) for each in (of_fargate("gone", "old"), odd, waits)]
    assert look_at(*found).taken == {"shop/rs": {"waits"}}
    monkeypatch.setattr("podlooks.MOST_WAITING", 2)
    look = look_at(*found)
    assert (look.beyond, look.taken) == (1, {})


def test_placed_are_pods_that_fargate_gave_a_size_and_a_node_or_is_about_to() -> None:
    look = look_at(
        ("waiting", of_fargate("waits")),
        ("waiting", of_fargate("nominated", node="19bf1ab524")),
        ("waiting", of_fargate("gone", "old", node="19bf1ab525")),
        ("starting", of_fargate("labelled")),
        ("starting", of_fargate("starts", annotations=SIZE)),
        ("running", of_fargate("runs", annotations=SIZE)),
        ("finished", of_fargate("ended", annotations=SIZE)),
    )
    assert look.placed == {"shop/rs": {"nominated", "starts", "runs"}}
    assert look.taken == {"shop/rs": {"waits", "nominated", "labelled", "starts", "runs", "ended"}}


def stranded(uid: str, size: int = 0) -> Object:
    pod = of_fargate(uid, annotations={"a": "x" * size})
    pod["spec"]["schedulerName"] = "default-scheduler"
    return pod


def test_pods_of_a_tenant_that_makes_them_huge_fill_no_memory_and_are_told_as_not_looked_at(
    looking: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = look_at(*[("waiting", stranded(f"big-{number}", 250_000)) for number in range(100)])
    assert sum(len(each.raw) for each in look.seen) <= MOST_RAW
    assert len(look.seen) > 60 and len(look.seen) + look.beyond == 100
    b = looking
    monkeypatch.setattr("podlooks.MOST_RAW", 5000)
    missed(b, "a", annotations={"a": "x" * 4000})
    missed(b, "b", annotations={"a": "x" * 4000})
    b.run(1.2 * RESYNC)
    assert counts(b)["stranded"] == 1
    assert "1 more waiting pods" in b.condition("PodsStranded")["message"]


def test_of_what_anybody_may_write_into_a_pod_little_is_kept() -> None:
    longest = "x" * 300_000
    waits = of_fargate("waits")
    waits["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": longest}]
    gone = of_fargate("gone", "old", annotations={"eks.amazonaws.com/compute-type": longest})
    runs = of_fargate("runs", annotations=SIZE)
    runs["metadata"]["ownerReferences"][0]["uid"] = longest
    look = look_at(("waiting", waits), ("waiting", gone), ("running", runs), view_at=1)
    assert len(repr(look)) < 10_000


# What is not known


def strand_and_see(b: Bench) -> None:
    missed(b, "a")
    b.run_until("the pod is told", lambda: b.condition("PodsStranded"), 90)


def assert_unknown(b: Bench) -> None:
    assert not pods_told(b)
    assert "pods" not in b.get()["status"]
    assert b.ready()
    assert not any(name.startswith("fargate_pods") for name, _ in scrape(b.metrics.registry))


def test_a_permission_that_is_revoked_takes_away_what_was_told_and_brings_it_back(looking: Bench) -> None:
    b = looking
    strand_and_see(b)
    ready = b.condition()
    b.api.may_list_pods = False
    b.run(2.2 * RESYNC)
    assert_unknown(b)
    assert b.condition() == ready
    b.api.may_list_pods = True
    b.run(2.2 * RESYNC)
    assert pods_told(b) == ["PodsStranded"]


def test_without_the_permission_no_pod_is_asked_for_and_the_log_says_so_once(
    b: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    b.looking = True
    b.settle()
    b.run(5 * RESYNC)
    assert lists(b) == []
    assert caplog.text.count("may not list the pods") == 1


@pytest.mark.parametrize("trouble", ["half a permission", "revoked in mid-look", "dead", "dies in mid-look", "expired"])
def test_a_look_that_does_not_end_is_unknown_until_the_next_resync(looking: Bench, trouble: str) -> None:
    b = looking
    for number in range(30):  # more than a page
        taken(b, f"b-{number}")
    strand_and_see(b)
    faults: dict[str, Any] = {
        "half a permission": lambda: b.api.forbid("list", "pods", but_in=("shop",)),
        "revoked in mid-look": lambda: b.api.fail("GET", PODS, 403, after=2),
        "dead": lambda: b.api.fail("GET", PODS, 503),
        "dies in mid-look": lambda: b.api.fail("GET", PODS, "drop", after=3),
        "expired": lambda: b.api.fail("GET", PODS, 410, after=4),
    }
    faults[trouble]()
    b.run(RESYNC)
    assert_unknown(b)
    assert b.get()["status"]["profileStatus"] == "ACTIVE"
    b.api.permit("list", "pods")
    b.run(1.2 * RESYNC)
    assert pods_told(b) == ["PodsStranded"]


def test_counts_alone_go_too_where_a_look_between_two_resyncs_does_not_end(looking: Bench) -> None:
    b = looking
    taken(b, "a")
    b.run(2.2 * RESYNC)
    assert counts(b)
    b.api.fail("GET", PODS, 503)
    b.looks.ask()
    b.run(LEAST_SECONDS)
    assert_unknown(b)


def test_a_look_that_takes_longer_than_a_minute_is_given_up(looking: Bench) -> None:
    b = looking
    strand_and_see(b)

    def crawl() -> None:
        if b.api.log and b.api.log[-1].path == PODS:
            b.clock.elapsed += 20

    b.trip = crawl
    b.run(RESYNC)
    b.trip = lambda: None
    assert_unknown(b)


def test_pods_of_a_cluster_that_is_not_proven_to_be_that_of_the_profiles_are_not_looked_at(looking: Bench) -> None:
    b = looking
    b.token = token_by(issuer("hub"))
    b.start()
    missed(b, "a")
    b.run(3 * RESYNC)
    assert lists(b) == []
    assert_unknown(b)


def test_what_was_told_stays_as_it_is_until_a_new_process_has_looked(looking: Bench) -> None:
    b = looking
    strand_and_see(b)
    before = b.get()
    b.start()
    b.run(LEAST_SECONDS / 2)
    assert b.get() == before
    b.run(2 * LEAST_SECONDS)
    assert b.get() == before
    assert b.events("Warning") == ["PodsStranded"]


def test_what_was_told_of_pods_whose_profile_is_gone_does_not_flap_as_a_process_starts(looking: Bench) -> None:
    b = looking
    refused(b, "a", "", profile="old")
    b.run_until("the pod is told", lambda: b.condition("PodsStranded"), 2 * RESYNC)
    b.start()
    before = b.condition("PodsStranded")
    for _ in range(40):
        b.run(LEAST_SECONDS / 4)
        assert b.condition("PodsStranded") == before
    assert counts(b)["stranded"] == 1
    assert b.events("Warning") == ["PodsStranded"]


def test_a_tenant_that_names_new_profiles_again_and_again_keeps_no_new_process_from_telling(looking: Bench) -> None:
    b = looking
    missed(b, "a")
    b.start()
    for number in range(5):
        refused(b, f"b-{number}", "", profile=f"nowhere-{number}")
        b.run(LEAST_SECONDS)
    assert pods_told(b) == ["PodsStranded"]


@pytest.mark.parametrize("where", ["_read", "_after"])
def test_where_a_look_fails_as_nobody_has_thought_of_all_is_taken_away_that_was_told(
    looking: Bench, where: str
) -> None:
    b = looking
    strand_and_see(b)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    there = getattr(b.looks, where)
    setattr(b.looks, where, fail)
    b.looks.ask()
    with pytest.raises(ZeroDivisionError):
        b.run(2 * LEAST_SECONDS)
    setattr(b.looks, where, there)
    b.run(LEAST_SECONDS)
    assert_unknown(b)
    b.run(1.2 * RESYNC)
    assert pods_told(b) == ["PodsStranded"]


@pytest.mark.parametrize("odd", ["lots", "0.3vCPU 0.5GB", "-1vCPU 1GB", "1vCPU 1e9GB", "٣vCPU ٣GB", ""])
def test_a_size_that_fargate_does_not_have_is_not_counted(looking: Bench, odd: str) -> None:
    b = looking
    taken(b, "a", annotations={"CapacityProvisioned": odd, "x": "\ud83d\ude00"})
    b.run(2.2 * RESYNC)
    assert (counts(b)["vcpu"], counts(b)["sizeUnknown"]) == (0, 1)


ODD: Object = {
    **WHOLE,
    "metadata": {**WHOLE["metadata"], "uid": "1", "resourceVersion": "1", "creationTimestamp": "2026-11-22T08:00:00Z",
                 "annotations": {**SIZE}},
    "status": {
        "phase": "Pending", "reason": "UnsupportedPodSpec", "message": "Pod not supported: DaemonSet not supported",
        "conditions": [{"type": "PodScheduled", "status": "False", "message": "m", "lastTransitionTime": "2026"}],
        "containerStatuses": [{"state": {"terminated": {"finishedAt": "2026-11-22T08:00:00Z"}}}],
    },
}  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(places(ODD)[1:]), junk, st.sampled_from(STATES))
def test_no_pod_is_too_odd_to_be_looked_at(path: tuple[str | int, ...], odd: object, state: State) -> None:
    reading = Reading(0.0, START, View(True, {"web": profile("web", WEB)}, -1.0), {})
    reading.take(state, planted(ODD, path, odd))
    look = reading.look()
    for namespace in ("shop", "other"):
        assert news_of(namespace, "web", look, by_profile(look.seen).get("web", [])).noted is not None


def test_of_pods_that_come_to_an_end_between_two_lists_none_is_counted_twice(looking: Bench) -> None:
    b = looking

    def move_on() -> None:
        if sum("Pending,spec.nodeName=,spec.schedulerName=fargate" in str(each.query) for each in lists(b)) == 1:
            b.trip = lambda: None
            b.api.edit("pods", "shop", "a", {"spec": {"nodeName": "n"}, "status": {"phase": "Running"}})

    b.run(RESYNC / 2)
    refused(b, "a", "Pod not supported on Fargate: invalid SecurityContext fields: Privileged")
    b.api.clear_log()
    b.trip = move_on
    b.run(2 * RESYNC)
    assert (counts(b)["running"], counts(b)["waiting"]) == (1, 0)
    assert b.events("Warning") == []


# Metrics


def test_pods_are_shown_by_profile_and_those_of_no_profile_without(looking: Bench) -> None:
    b = looking
    taken(b, "a")
    taken(b, "b", profile="anything-that-a-user-writes")
    missed(b, "c")
    b.run(1.2 * RESYNC)
    shown = {key: value for key, value in scrape(b.metrics.registry).items() if key[0].startswith("fargate_pods")}
    assert shown["fargate_pods", labels(profile="web", state="running")] == 1
    assert shown["fargate_pods", labels(profile="web", state="stranded")] == 1
    assert shown["fargate_pods", labels(profile="", state="running")] == 1
    assert shown["fargate_pods_vcpu", labels(profile="web")] == 0.25
    assert shown["fargate_pods_memory_gib", labels(profile="web")] == 0.5
    b.delete()
    b.run(3 * RESYNC)
    assert not any(("profile", "web") in named for _, named in scrape(b.metrics.registry))


def labels(**said: str) -> frozenset[tuple[str, str]]:
    return frozenset({"cluster": "demo", **said}.items())


def ask_for_a_look(b: Bench) -> None:
    patch = {"metadata": {"annotations": {REQUESTED_AT: str(b.clock.elapsed)}}}
    b.api.edit("fargateprofiles", "default", "web", patch)
