"""What kube.py makes of an API server, the fake and a real one alike: the edge itself, with the official client.

`client` is everybody else: users, other controllers. Kube sees all namespaces, hence `ours`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import pytest

import kube
from evictions import eviction_of
from kube import Conflict, Gone, Kube, KubeError, NotFound, Object, TooLarge
from leader import read_lease, write_lease
from metrics import may_get
from tests.contract.client import HOLD, OTHER_SPEC, SPEC, Client, in_new_namespace
from tests.contract.servers import ServerUnderTest
from tests.contract.test_pods import become, create
from tests.waiting import SOON
from wire import micro_time

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
READY = {"type": "Ready", "status": "True", "reason": "Active", "message": "It is."}
STATUS: Object = {
    "observedGeneration": 1,
    "conditions": [READY],
    "clusterName": "prod",
    "profileName": "web",
    "profileStatus": "ACTIVE",
    "bookkeeping": {"failures": 2, "appliedTagKeys": ["a"]},
}


@pytest.fixture
def edge(server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch) -> Kube:
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return Kube(kube.connect(4), "contract-1")


def ours(client: Client, events: Iterable[tuple[str, Object]]) -> Iterator[tuple[str, Object]]:
    """Yield the events of the client's namespace."""
    return (each for each in events if each[1]["metadata"].get("namespace") == client.namespace)


def version_of(obj: Object) -> str:
    return str(obj["metadata"]["resourceVersion"])


# Listing and watching


def test_a_list_reads_all_pages_and_no_object_twice(
    edge: Kube, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "PAGE_SIZE", 2)
    for name in "abcde":
        client.create(name)
    objects, version = edge.list()
    mine = [obj for obj in objects if obj["metadata"]["namespace"] == client.namespace]
    assert [obj["metadata"]["name"] for obj in mine] == list("abcde")
    assert all("managedFields" not in obj["metadata"] for obj in mine)
    assert int(version) >= max(int(version_of(obj)) for obj in mine)


def test_a_watch_tells_what_came_after_the_list_and_then_goes_on(edge: Kube, client: Client) -> None:
    client.create("before")
    _, version = edge.list()
    client.create("web")
    client.patch("web", {"spec": OTHER_SPEC})
    client.delete("before")
    watch = ours(client, edge.watch(version))
    told = [next(watch) for _ in range(3)]
    assert [(kind, obj["metadata"]["name"]) for kind, obj in told] == [
        ("ADDED", "web"),
        ("MODIFIED", "web"),
        ("DELETED", "before"),
    ]
    assert told[1][1]["spec"] == OTHER_SPEC
    assert "managedFields" not in told[0][1]["metadata"]
    later = client.create("api").version
    kind, obj = next(watch)
    assert (kind, obj["metadata"]["name"], version_of(obj)) == ("ADDED", "api", later)


def test_a_watch_resumes_behind_any_event(edge: Kube, client: Client) -> None:
    first = client.create("web").version
    client.patch("web", {"spec": OTHER_SPEC})
    client.create("api")
    _, second = next(ours(client, edge.watch(first)))
    kind, obj = next(ours(client, edge.watch(version_of(second))))
    assert (kind, obj["metadata"]["name"]) == ("ADDED", "api")


def test_a_watch_says_at_its_end_how_far_it_has_seen(
    edge: Kube, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "WATCH_SECONDS", (client.server.bookmarked_seconds,) * 2)
    _, version = edge.list()
    client.create("web")
    watch = edge.watch(version)
    assert next(ours(client, watch))[0] == "ADDED"
    # A bookmark comes only with news: a write that the watch does not show, and of which a list makes its cache hear.
    unseen = in_new_namespace(client.server).version()
    *_, (kind, obj) = watch
    assert kind == "BOOKMARK"
    assert obj.keys() == {"apiVersion", "kind", "metadata"}
    assert int(version_of(obj)) >= int(unseen)


def test_after_a_restart_every_version_is_gone_and_a_list_finds_everything(edge: Kube, client: Client) -> None:
    created = client.create("web")
    _, version = edge.list()
    client.server.restart()
    for old in (version, created.version):
        with pytest.raises(Gone, match="too old resource version"):
            next(edge.watch(old))
    objects, version = edge.list()
    assert created.body["metadata"]["uid"] in {obj["metadata"]["uid"] for obj in objects}
    client.delete("web")
    kind, _ = next(ours(client, edge.watch(version)))
    assert kind == "DELETED"


def test_stop_ends_an_open_watch_at_once(edge: Kube, client: Client) -> None:
    first = client.create("web").version
    watch = edge.watch(first)
    client.patch("web", {"spec": OTHER_SPEC})
    next(watch)
    timer = threading.Timer(0.1, edge.stop)
    timer.start()
    try:
        assert [kind for kind, _ in watch if kind != "BOOKMARK"] == []
    except KubeError as error:
        assert "the watch broke off" in str(error)  # noqa: PT017 - it may end either way
    timer.join(SOON)
    assert list(edge.watch(first)) == []


# Writing


@pytest.fixture
def web(edge: Kube, client: Client) -> Object:
    """Return an object as the controller has it after its first look: with our finalizer."""
    return edge.patch_finalizers(client.create("web").body, [HOLD])


def test_finalizers_are_stored_and_count_no_generation(web: Object, client: Client) -> None:
    assert web["metadata"]["finalizers"] == [HOLD]
    assert web["metadata"]["generation"] == 1
    assert version_of(web) == client.get("web").version


def test_a_status_is_written_whole_and_alone(edge: Kube, client: Client, web: Object) -> None:
    first = edge.patch_status(web, STATUS)
    assert first["status"] == STATUS
    fewer = {"observedGeneration": 2, "conditions": [READY], "bookkeeping": {"failures": 2}}
    second = edge.patch_status(first, fewer)
    assert second["status"] == fewer
    assert (second["spec"], second["metadata"]["generation"]) == (SPEC, 1)
    assert client.get("web").body["status"] == second["status"]


def test_a_status_that_changes_nothing_leaves_no_trace(edge: Kube, client: Client, web: Object) -> None:
    first = edge.patch_status(web, STATUS)
    again = edge.patch_status(first, STATUS)
    assert again == first
    client.create("marker")
    _, obj = next(ours(client, edge.watch(version_of(first))))
    assert obj["metadata"]["name"] == "marker"


def test_nothing_is_written_over_a_version_that_was_not_seen(edge: Kube, client: Client, web: Object) -> None:
    client.patch("web", {"spec": OTHER_SPEC})
    with pytest.raises(Conflict, match="the object has been modified"):
        edge.patch_status(web, STATUS)
    with pytest.raises(Conflict):
        edge.patch_status(web, web["status"])  # would change nothing
    with pytest.raises(Conflict):
        edge.patch_finalizers(web, [])
    assert client.get("web").body["metadata"]["finalizers"] == [HOLD]


def test_nothing_is_written_to_another_object_of_the_same_name(edge: Kube, client: Client, web: Object) -> None:
    client.delete("web")
    client.patch("web", {"metadata": {"finalizers": None}})
    another = client.create("web")
    assert another.body["metadata"]["uid"] != web["metadata"]["uid"]
    with pytest.raises(Conflict):
        edge.patch_status(web, STATUS)
    with pytest.raises(Conflict):
        edge.patch_finalizers(web, [])
    assert client.get("web").body == another.body


def test_what_is_gone_cannot_be_written(edge: Kube, client: Client) -> None:
    created = client.create("web").body
    client.delete("web")
    with pytest.raises(NotFound):
        edge.patch_status(created, STATUS)
    with pytest.raises(NotFound):
        edge.patch_finalizers(created, [HOLD])


def test_a_deletion_waits_for_the_finalizer_and_takes_no_new_one(edge: Kube, client: Client, web: Object) -> None:
    client.delete("web")
    watch = ours(client, edge.watch(version_of(web)))
    kind, deleting = next(watch)
    assert (kind, "deletionTimestamp" in deleting["metadata"]) == ("MODIFIED", True)
    with pytest.raises(KubeError) as refused:
        edge.patch_finalizers(deleting, [HOLD, "example.com/x"])
    assert refused.value.status == 422
    reported = edge.patch_status(deleting, STATUS)
    assert edge.exists(client.namespace, "web") is True
    released = edge.patch_finalizers(reported, [])
    assert version_of(released) == version_of(reported), "not the version under which it went"
    assert edge.exists(client.namespace, "web") is False
    *_, (kind, gone) = (next(watch) for _ in range(2))
    assert (kind, gone["metadata"]["finalizers"]) == ("DELETED", [HOLD])
    assert int(version_of(gone)) > int(version_of(released))


# Events and questions


@pytest.mark.parametrize("name", ["web", "a" * 91, "a.b", "a" * 39 + ".b", "a" * 39 + "-" + "b" * 20, "a" * 192])
def test_an_event_is_taken_whatever_the_name_and_the_note(edge: Kube, client: Client, name: str) -> None:
    obj = client.create(name, spec={**SPEC, "profileName": "web"})
    assert obj.status == 201
    edge.event(obj.body, "Warning", "CreateFailed", "CreateFargateProfile", "é" * 512, NOW)
    (event,) = client.call("GET", client.events()).body["items"]
    assert event["regarding"]["uid"] == obj.body["metadata"]["uid"]
    assert (event["type"], event["reason"]) == ("Warning", "CreateFailed")
    assert event["eventTime"] == "2026-11-22T10:00:00.000000Z"
    assert event["note"] == "é" * 512


def test_an_event_into_a_namespace_that_goes_away_is_lost_and_no_warning(
    edge: Kube, client: Client, web: Object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "fargate")
    client.call("DELETE", f"/api/v1/namespaces/{client.namespace}")
    edge.event(web, "Normal", "Deleted", "DeleteFargateProfile", "gone", NOW)
    assert "event lost object=" in caplog.text
    assert "is being terminated" in caplog.text
    assert {record.levelname for record in caplog.records if "event lost" in record.getMessage()} == {"DEBUG"}


def test_an_object_exists_in_its_namespace_only(edge: Kube, client: Client) -> None:
    client.create("web")
    other = in_new_namespace(client.server)
    assert edge.exists(client.namespace, "web") is True
    assert edge.exists(other.namespace, "web") is False
    assert edge.exists("nowhere", "web") is False


def test_a_namespace_has_a_uid(edge: Kube, client: Client) -> None:
    namespace = client.call("GET", f"/api/v1/namespaces/{client.namespace}").body
    assert edge.namespace_uid(client.namespace) == namespace["metadata"]["uid"]


# The Lease


def lease_spec(holder: str, seconds: int = 15) -> Object:
    now = micro_time(NOW)
    times = {"acquireTime": now, "renewTime": now}
    return {"holderIdentity": holder, "leaseDurationSeconds": seconds, "leaseTransitions": 0, **times}


def test_a_lease_that_is_not_there_is_made_by_its_first_write(edge: Kube, client: Client) -> None:
    assert read_lease(edge, client.namespace, "operator") == {}
    made = write_lease(edge, client.namespace, "operator", {}, lease_spec("one"))
    assert made["spec"] == lease_spec("one")
    assert read_lease(edge, client.namespace, "operator") == made


def test_a_lease_is_written_over_the_version_that_was_seen_only(edge: Kube, client: Client) -> None:
    made = write_lease(edge, client.namespace, "operator", {}, lease_spec("one"))
    taken = write_lease(edge, client.namespace, "operator", made, lease_spec("two"))
    with pytest.raises(Conflict):
        write_lease(edge, client.namespace, "operator", made, lease_spec("one"))
    with pytest.raises(KubeError):
        write_lease(edge, client.namespace, "operator", {}, lease_spec("one"))
    assert read_lease(edge, client.namespace, "operator") == taken


def test_a_lease_may_be_given_up(edge: Kube, client: Client) -> None:
    made = write_lease(edge, client.namespace, "operator", {}, lease_spec("one"))
    given_up = write_lease(edge, client.namespace, "operator", made, lease_spec("", seconds=1))
    assert given_up["spec"]["holderIdentity"] == ""
    write_lease(edge, client.namespace, "operator", given_up, lease_spec("two"))


def test_a_lease_in_a_namespace_that_is_not_there_is_not_found(edge: Kube, client: Client) -> None:
    assert read_lease(edge, "nowhere", "operator") == {}
    with pytest.raises(NotFound):
        write_lease(edge, "nowhere", "operator", {}, lease_spec("one"))


# Who has a token


def test_the_server_says_who_has_a_token_and_what_they_may_get(edge: Kube, server: ServerUnderTest) -> None:
    assert may_get(edge.review, server.token, "/metrics") == ("admin", True)
    assert may_get(edge.review, "nobody-s", "/metrics") == ("", False)


# An object that has no room for more


def test_a_status_that_an_object_has_no_room_for_is_too_large_and_its_version_is_proven_all_the_same(
    edge: Kube, client: Client
) -> None:
    client.create("web", finalizers=[HOLD])
    fill(client, "web")
    obj = edge.get(client.namespace, "web")
    assert obj
    with pytest.raises(TooLarge, match="request is too large"):
        edge.patch_status(obj, {**STATUS, "conditions": [READY | {"message": "m" * 20_000}]})
    proven = edge.patch_status(obj, obj["status"])
    assert version_of(proven) == version_of(obj) == client.get("web").version, "nothing was written"
    client.patch("web", {"metadata": {"labels": None}})
    with pytest.raises(Conflict):
        edge.patch_status(obj, obj["status"])
    assert edge.patch_status(edge.get(client.namespace, "web") or {}, STATUS)["status"] == STATUS


def fill(client: Client, name: str, least: int = 2000) -> None:
    """Put labels on an object until it has room for so many bytes or less."""
    labels, step = 0, 1 << 13  # of about 120 bytes each, and once more in managedFields
    while_it_fits = [step >> shift for shift in range(14) if (step >> shift) * 240 >= least]
    for more in while_it_fits:
        many = {f"example.com/{'k' * 40}{number}": "v" * 60 for number in range(labels + more)}
        if client.patch(name, {"metadata": {"labels": many}}).status == 200:
            labels += more


# Evictions


def test_an_eviction_is_one_of_the_very_version_that_was_seen(edge: Kube, client: Client) -> None:
    seen = create(client, "a")
    now = become(client, "a", nominatedNodeName="task-1").body
    with pytest.raises(Conflict):
        edge.send_at("POST", *eviction_of(seen))
    path = f"/api/v1/namespaces/{client.namespace}/pods/a"
    assert edge.get_at(path)["metadata"]["uid"] == seen["metadata"]["uid"], "it is there yet"
    edge.send_at("POST", *eviction_of(now))
    assert edge.get_at(path) == {}
    with pytest.raises(NotFound):
        edge.send_at("POST", *eviction_of(now))
