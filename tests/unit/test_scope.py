"""A controller that serves some namespaces or labels only: what it sees, and what it must not take for its own."""

from __future__ import annotations

from typing import Any

import pytest

from informer import Store
from kube import Kube
from spec import CONTROLLER_KEY, OWNER_KEY
from tests.fakes.apiserver import ApiServer, serve
from tests.harness import Bench, InProcess
from tests.unit.test_process import apply, controller

Object = dict[str, Any]


def obj(namespace: str, name: str, version: int = 1, **labels: str) -> Object:
    uid = f"{namespace}-{name}"
    meta = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta}


def listed(store: Store, namespace: str, *objects: Object, at: int = 1) -> set[tuple[str, str]]:
    """Ask for a list of one namespace, or of all, and take it; return the keys that it tells."""
    store.begin(namespace)
    return store.replace([*objects], str(at), namespace)


def test_a_list_of_one_namespace_says_nothing_of_the_others() -> None:
    store = Store()
    listed(store, "a", obj("a", "one"), obj("a", "two"))
    listed(store, "b", obj("b", "one"))
    assert listed(store, "a", obj("a", "two", 5, new="x"), at=5) == {("a", "one"), ("a", "two")}
    assert store.get(("a", "one")) is None
    assert store.get(("b", "one")) == obj("b", "one")
    assert listed(store, "", at=6) == {("a", "two"), ("b", "one")}


def test_what_went_in_one_namespace_does_not_come_back_because_another_was_listed() -> None:
    store, going = Store(), obj("a", "one", 7)
    going["metadata"]["deletionTimestamp"] = "2026-11-22T08:00:00Z"
    store.put(going)
    listed(store, "b", at=8)
    assert not store.put(obj("a", "one", 6)), "a late event"
    assert store.get(("a", "one")) is None


def test_the_answer_to_a_write_in_one_namespace_is_taken_though_another_is_listed_meanwhile() -> None:
    store = Store()
    listed(store, "a", obj("a", "one"))
    sent = store.epoch
    listed(store, "b", at=9)
    store.put(obj("a", "one", 2), sent)
    assert store.get(("a", "one")) == obj("a", "one", 2)
    listed(store, "a", obj("a", "one", 2), at=9)
    store.put(obj("a", "one", 3), sent)
    assert store.get(("a", "one")) == obj("a", "one", 2), "it was sent before its own namespace was listed anew"


@pytest.mark.parametrize(
    ("namespace", "selector", "seen"),
    [
        ("", "", {("a", "x"), ("a", "y"), ("b", "x")}),
        ("a", "", {("a", "x"), ("a", "y")}),
        ("", "shard=1", {("a", "x"), ("b", "x")}),
        ("b", "shard=1", {("b", "x")}),
        ("c", "", set()),
    ],
)
def test_only_objects_in_scope_are_listed(namespace: str, selector: str, seen: set[tuple[str, str]]) -> None:
    api = ApiServer()
    for name in ("a", "b"):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for each in (obj("a", "x", shard="1"), obj("a", "y", shard="2"), obj("b", "x", shard="1")):
        del each["metadata"]["resourceVersion"], each["metadata"]["uid"]
        api.apply(each | {"spec": {}})
    client: Any = InProcess(api, lambda: None)
    objects, _ = Kube(client, "test", namespace=namespace, selector=selector).list()
    assert {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in objects} == seen
    (request,) = (each for each in api.log if each.path.endswith("fargateprofiles"))
    assert ("/namespaces/" in request.path) is bool(namespace), "who may see one namespace only must not ask for all"


@pytest.mark.parametrize("forbidden", [False, True])
def test_profiles_of_objects_out_of_scope_are_neither_orphans_nor_touched(
    b: Bench, forbidden: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody else serves team-b, with the same controller id; if we may not even ask for its objects as well."""
    b.apply("web", "team-b")
    b.run(200)
    assert b.ready("web", "team-b")
    b.namespace = "team-a"
    b.start()
    if forbidden:
        b.api.fail("GET", "namespaces/team-b/fargateprofiles", 403, times=10**6)
    b.manners.clear()
    b.apply("api", "team-a")
    b.run(1000)
    assert b.ready("api", "team-a")
    assert "orphan" not in caplog.text
    assert {call.params.get("profile") for call in b.manners.writes()} == {"api"}
    assert b.profiles()["web"]["tags"][OWNER_KEY] == "team-b/web"


def test_an_orphan_is_found_by_a_filtered_controller_too(b: Bench, caplog: pytest.LogCaptureFixture) -> None:
    uid = (b.api.get("namespaces", "", "kube-system") or {})["metadata"]["uid"]
    tags = {OWNER_KEY: "team-b/gone", CONTROLLER_KEY: uid}
    b.world.add_profile("demo", "gone", b.world.roles["good"], [{"namespace": "x"}], tags=tags)
    b.namespace = "team-a"
    b.start()
    b.apply("api", "team-a")
    b.run(60)
    assert "orphan cluster=demo profile=gone" in caplog.text


def test_a_process_watches_each_of_its_namespaces_and_is_ready_once_it_knows_them_all(tmp_path: Any) -> None:
    api = ApiServer()
    apply(api)
    for name in ("team-a", "team-b"):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    api.fail("GET", "team-b/fargateprofiles", 403, times=10**6)
    variables = {"WATCH_NAMESPACE": "team-a,team-b", "WATCH_SELECTOR": "shard=1", "NO_LEADER_ELECT": "true"}
    with serve(api) as server, controller(tmp_path, server.url, **variables) as running:
        running.wait_watches(api)
        assert running.health("/readyz").startswith("HTTP Error 503")
        api.faults.clear()
        running.wait_watches(api, 2)
        running.wait_for(lambda: running.health("/readyz") == "ok", "it says that it is ready")
        metrics = running.health("/metrics")
        running.process.terminate()
        assert running.ends() == 0
    for name in ("team-a", "team-b"):
        assert f'fargate_watch_heard_timestamp_seconds{{namespace="{name}"}}' in metrics
    watched = [request for request in api.log if request.query.get("watch")]
    assert {request.query["labelSelector"] for request in watched} == {"shard=1"}
