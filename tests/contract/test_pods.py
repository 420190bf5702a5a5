"""What one may rely on in a Kubernetes API server about pods: lists by selectors, metadata alone, rights, evictions."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.contract.client import HOLD, MERGE, Answer, Client, Obj
from tests.fakes.apiserver import WHO

METADATA = "application/json;as={};g=meta.k8s.io;v=v1".format
WAITING = "status.phase=Pending,spec.nodeName="


def path(client: Client, name: str = "", sub: str = "") -> str:
    return "/".join(filter(None, [f"/api/v1/namespaces/{client.namespace}/pods", name, sub]))


def create(client: Client, name: str, metadata: Obj | None = None, **spec: Any) -> Obj:
    body = {
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }
    answer = client.call("POST", path(client), {"apiVersion": "v1", "kind": "Pod", **body})
    assert answer.status == 201, answer.body
    return answer.body


def become(client: Client, name: str, **status: Any) -> Answer:
    return client.call("PATCH", path(client, name, "status"), {"status": status}, MERGE)


def found(client: Client, fields: str = "", labels: str = "") -> list[str]:
    listed = client.call("GET", path(client), fieldSelector=fields, labelSelector=labels)
    assert listed.status == 200, listed.body
    return [item["metadata"]["name"] for item in listed.body["items"]]


def get(client: Client, name: str) -> Answer:
    return client.call("GET", path(client, name))


def evict(client: Client, name: str, headers: dict[str, str] | None = None, **options: Any) -> Answer:
    """Ask for an eviction; `options` are its deleteOptions."""
    head = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": client.namespace}}
    return client.call("POST", path(client, name, "eviction"), {**head, "deleteOptions": options}, headers=headers)


def pinned(pod: Obj) -> Obj:
    """Return the preconditions by which it is this very version of a pod."""
    return {name: pod["metadata"][name] for name in ("uid", "resourceVersion")}


# Creating and listing


def test_a_new_pod_is_pending_for_the_default_scheduler_whatever_status_was_sent(client: Client) -> None:
    body = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    sent = {"apiVersion": "v1", "kind": "Pod", **body, "status": {"phase": "Running", "nominatedNodeName": "n"}}
    pod = client.call("POST", path(client), sent).body
    assert (pod["spec"]["schedulerName"], pod["spec"]["restartPolicy"]) == ("default-scheduler", "Always")
    assert (pod["status"]["phase"], pod["status"].get("nominatedNodeName")) == ("Pending", None)
    assert client.call("PATCH", path(client, "a"), {"status": {"phase": "Running"}}, MERGE).status == 200
    assert get(client, "a").body["status"]["phase"] == "Pending"
    assert become(client, "a", phase="Running").body["status"]["phase"] == "Running"


def test_field_selectors_tell_waiting_starting_running_and_finished_pods_apart(client: Client) -> None:
    create(client, "missed")
    create(client, "waiting", schedulerName="fargate-scheduler")
    create(client, "nominated", schedulerName="fargate-scheduler")
    become(client, "nominated", nominatedNodeName="task-1")
    for name, phase in (("starting", "Pending"), ("running", "Running"), ("done", "Succeeded"), ("broken", "Failed")):
        create(client, name, nodeName="n", schedulerName="fargate-scheduler")
        become(client, name, phase=phase)
    assert found(client, WAITING) == ["missed", "nominated", "waiting"]
    assert found(client, f"{WAITING},spec.schedulerName=default-scheduler") == ["missed"]
    assert found(client, f"{WAITING},spec.schedulerName=fargate-scheduler") == ["nominated", "waiting"]
    assert found(client, f"{WAITING},status.nominatedNodeName=") == ["missed", "waiting"]
    assert found(client, "status.nominatedNodeName=task-1") == ["nominated"]
    assert found(client, "status.phase==Pending,spec.nodeName!=") == ["starting"]
    assert found(client, "status.phase!=Running,status.phase!=Pending") == ["broken", "done"]


def test_a_field_that_pods_are_not_selected_by_is_refused(client: Client) -> None:
    for fields, why in (("spec.priority=0", "field label not supported: spec.priority"), ("status.phase", "invalid")):
        refused = client.call("GET", path(client), fieldSelector=fields)
        assert refused.refusal == (400, "BadRequest")
        assert refused.body["message"].startswith(why)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("tier=api", ["a"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("tier in (api, web)", ["a", "b"]),
        ("tier notin (api)", ["b", "c"]),
        ("tier!=api", ["b", "c"]),
        ("tier in (api,web),example.com/team=x", ["b"]),
        ("tier=", []),
    ],
)
def test_label_selectors_narrow_a_list(client: Client, selector: str, names: list[str]) -> None:
    create(client, "a", {"labels": {"tier": "api"}})
    create(client, "b", {"labels": {"tier": "web", "example.com/team": "x"}})
    create(client, "c")
    assert found(client, labels=selector) == names


def test_what_is_no_label_selector_is_refused(client: Client) -> None:
    assert client.call("GET", path(client), labelSelector="a=b=c").refusal == (400, "BadRequest")


def test_items_of_a_list_do_not_say_their_kind(client: Client) -> None:
    create(client, "a")
    listed = client.call("GET", path(client)).body
    assert (listed["kind"], listed["items"][0].keys()) == ("PodList", {"metadata", "spec", "status"})


def test_a_list_at_version_0_comes_whole_whatever_its_limit(client: Client) -> None:
    for name in ("a", "b", "c"):
        create(client, name)
    assert len(client.call("GET", path(client), limit=1).body["items"]) == 1
    cached = client.call("GET", path(client), limit=1, resourceVersion=0, fieldSelector=WAITING).body
    assert len(cached["items"]) == 3
    assert not cached["metadata"].get("continue")


def test_a_list_of_metadata_alone_has_pages_and_selectors_like_any(client: Client) -> None:
    create(client, "a", {"labels": {"tier": "api"}, "annotations": {"k": "v"}})
    create(client, "b", {"labels": {"tier": "api"}})
    create(client, "c")
    headers = {"Accept": METADATA("PartialObjectMetadataList")}
    listed = client.call("GET", path(client), headers=headers, labelSelector="tier=api", limit=1).body
    assert (listed["kind"], listed["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert listed["metadata"]["continue"]
    assert listed["items"][0].keys() == {"kind", "apiVersion", "metadata"}
    assert (listed["items"][0]["kind"], listed["items"][0]["metadata"]["annotations"]) == (
        "PartialObjectMetadata", {"k": "v"},
    )  # fmt: skip
    assert get(client, "a").body["metadata"] == listed["items"][0]["metadata"]


def test_metadata_alone_is_asked_for_as_what_it_is(client: Client) -> None:
    create(client, "a")
    one, many = ({"Accept": METADATA(f"PartialObjectMetadata{end}")} for end in ("", "List"))
    assert client.call("GET", path(client, "a"), headers=one).body["kind"] == "PartialObjectMetadata"
    assert client.call("GET", path(client, "a"), headers=many).refusal == (406, "NotAcceptable")
    assert client.call("GET", path(client), headers=one).refusal == (406, "NotAcceptable")


# Owners and the webhook


@pytest.mark.parametrize(
    ("at", "what"),
    [
        ("/apis/apps/v1/namespaces/{}/replicasets/x", "replicasets.apps"),
        ("/apis/apps/v1/namespaces/{}/statefulsets/x", "statefulsets.apps"),
        ("/api/v1/namespaces/{}/replicationcontrollers/x", "replicationcontrollers"),
        (
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/x",
            "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        ),
    ],
)
def test_owners_and_webhooks_are_read_by_name(client: Client, at: str, what: str) -> None:
    missing = client.call("GET", at.format(client.namespace))
    assert (missing.status, missing.body["message"]) == (404, f'{what} "x" not found')
    nobody = client.server.lacking(("get", what.partition(".")[0]))
    refused = client.call("GET", at.format(client.namespace), headers=nobody)
    assert refused.refusal == (403, "Forbidden")
    assert refused.body["message"].startswith(f'{what} "x" is forbidden: User "{WHO}" cannot get resource')


def test_a_replica_set_is_read_as_it_was_made(client: Client) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": spec}
    at = f"/apis/apps/v1/namespaces/{client.namespace}/replicasets"
    assert client.call("POST", at, body).status == 201
    made = client.call("GET", f"{at}/web").body
    assert (made["kind"], made["spec"]["template"]["metadata"]["labels"]) == ("ReplicaSet", {"app": "web"})


# Rights


def test_who_may_not_list_pods_is_told_so_for_all_namespaces_and_for_one(client: Client) -> None:
    nobody = client.server.lacking(("list", "pods"))
    everywhere, here = (client.call("GET", at, headers=nobody) for at in ("/api/v1/pods", path(client)))
    assert everywhere.refusal == here.refusal == (403, "Forbidden")
    said = f'pods is forbidden: User "{WHO}" cannot list resource "pods" in API group "" '
    assert everywhere.body["message"] == f"{said}at the cluster scope"
    assert here.body["message"] == f'{said}in the namespace "{client.namespace}"'


def test_who_may_not_evict_is_told_so_and_the_pod_stays(client: Client) -> None:
    create(client, "a")
    nobody = client.server.lacking(("create", "pods/eviction"))
    refused = evict(client, "a", nobody)
    said = f'User "{WHO}" cannot create resource "pods/eviction" in API group "" in the namespace "{client.namespace}"'
    assert (refused.refusal, refused.body["message"]) == ((403, "Forbidden"), f'pods "a" is forbidden: {said}')
    assert get(client, "a").status == 200


# Evictions


def test_a_waiting_pod_that_is_evicted_is_gone_at_once(client: Client) -> None:
    pod = create(client, "a")
    done = evict(client, "a", preconditions=pinned(pod))
    assert (done.status, done.body["status"]) == (201, "Success")
    assert get(client, "a").status == 404


def test_a_pod_on_a_node_is_given_its_time(client: Client) -> None:
    create(client, "a", nodeName="n", terminationGracePeriodSeconds=7)
    assert evict(client, "a").status == evict(client, "a").status == 201
    assert get(client, "a").body["metadata"]["deletionGracePeriodSeconds"] == 7
    assert client.call("DELETE", path(client, "a"), {"gracePeriodSeconds": 0}).status == 200
    assert get(client, "a").status == 404


def test_a_finished_pod_is_deleted_at_once(client: Client) -> None:
    create(client, "a", nodeName="n")
    become(client, "a", phase="Succeeded")
    assert client.call("DELETE", path(client, "a")).status == 200
    assert get(client, "a").status == 404


def test_a_finalizer_holds_an_evicted_pod(client: Client) -> None:
    create(client, "a", {"finalizers": [HOLD]})
    assert evict(client, "a").status == 201
    assert get(client, "a").body["metadata"]["deletionTimestamp"]


def test_an_eviction_of_another_pod_or_version_is_a_conflict_told_apart_by_its_text(client: Client) -> None:
    pod = create(client, "a")
    changed = become(client, "a", nominatedNodeName="task-1").body
    assert changed["metadata"]["resourceVersion"] != pod["metadata"]["resourceVersion"]
    stale = evict(client, "a", preconditions=pinned(pod))
    other = evict(client, "a", preconditions=pinned(pod) | {"uid": str(uuid.uuid4())})
    assert stale.refusal == other.refusal == (409, "Conflict")
    assert "the ResourceVersion in the precondition" in stale.body["message"]
    assert "the UID in the precondition" in other.body["message"]
    assert stale.body["message"].startswith('Operation cannot be fulfilled on Pod "a": ')
    assert get(client, "a").body["metadata"] == changed["metadata"]


def test_an_eviction_on_trial_leaves_the_pod_and_still_compares(client: Client) -> None:
    pod = create(client, "a")
    assert evict(client, "a", dryRun=["All"], preconditions=pinned(pod)).status == 201
    assert evict(client, "a", dryRun=["All"], preconditions=pinned(pod) | {"uid": "other"}).status == 409
    assert get(client, "a").body["metadata"] == pod["metadata"]


def test_an_eviction_of_no_pod_or_by_another_name_is_refused(client: Client) -> None:
    create(client, "a")
    missing = evict(client, "b")
    assert (missing.refusal, missing.body["message"]) == ((404, "NotFound"), 'pods "b" not found')
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "b"}}
    assert client.call("POST", path(client, "a", "eviction"), body).status == 400
    assert client.call("GET", path(client, "a", "eviction")).status == 405


def test_nothing_is_evicted_in_a_namespace_that_is_going(client: Client) -> None:
    create(client, "a")
    client.call("DELETE", f"/api/v1/namespaces/{client.namespace}")
    refused = evict(client, "a")
    assert refused.refusal == (403, "Forbidden")
    assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert client.call("DELETE", path(client, "a")).status == 200
