"""What the fake API server has over a real one: faults, time travel, a log, and no wire; the contract is elsewhere."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import urllib3

from tests.contract.client import UNSEEN
from tests.fakes.apiserver import ApiError, ApiServer, Dropped, Expired, Obj, Server, kubeconfig, serve
from tests.waiting import SOON, wait_for

PROFILES = "/apis/jicomusic.com/v1/namespaces/default/fargateprofiles"
MERGE = "application/merge-patch+json"
DEFAULTS = {
    "deletionPolicy": "Delete",
    "updatePolicy": "Refuse",
    "adoptionPolicy": "Never",
    "strandedPods": "Report",
    "suspend": False,
}  # crd.yaml


@pytest.fixture
def api() -> ApiServer:
    return ApiServer()


@pytest.fixture
def server(api: ApiServer) -> Iterator[Server]:
    with serve(api) as server:
        yield server


def profile(name: str = "web", **spec: Any) -> Obj:
    return {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": name}, "spec": spec}


def patch_web(api: ApiServer, **spec: Any) -> int:
    return api.request("PATCH", f"{PROFILES}/web", {}, {"spec": spec}, MERGE).status


def from_now(api: ApiServer, ahead: int = 0) -> dict[str, str]:
    """Return the query of a watch that ends by itself, lest a bug hang the suite."""
    return {"resourceVersion": str(int(api.resource_version) + ahead), "timeoutSeconds": "1"}


def types(events: list[Obj]) -> list[str]:
    return [event["type"] for event in events]


def wait_watching(api: ApiServer, count: int) -> None:
    wait_for(lambda: api.watching() == count, SOON, f"{count} watches are open")


@contextlib.contextmanager
def open_watch(server: Server, query: str = "", timeout: float = 3) -> Iterator[urllib3.BaseHTTPResponse]:
    url = f"{server.url}{PROFILES}?watch=1{query}"
    response = urllib3.PoolManager(retries=False, timeout=timeout).request("GET", url, preload_content=False)
    try:
        yield response
    finally:
        response.close()


# Faults


def test_a_status_fault_answers_without_effect_and_only_so_often(api: ApiServer) -> None:
    api.fail("POST", "fargateprofiles", 503, times=2)
    answers = [api.request("POST", PROFILES, {}, profile()).status for _ in range(3)]
    assert answers == [503, 503, 201]
    assert api.faults == []


def test_a_fault_meets_only_its_method_and_path(api: ApiServer) -> None:
    api.apply(profile())
    api.fail("PATCH", "/status$", 500)
    assert patch_web(api, a=1) == 200
    assert api.request("GET", f"{PROFILES}/web/status", {}).status == 200
    assert api.request("PATCH", f"{PROFILES}/web/status", {}, {"status": {}}, MERGE).status == 500
    api.fail("*", "leases", 500)
    assert api.request("GET", "/apis/coordination.k8s.io/v1/leases", {}).status == 500


def test_a_dropped_request_has_no_effect_and_a_lost_answer_has(api: ApiServer) -> None:
    api.fail("POST", "", "drop")
    with pytest.raises(Dropped):
        api.request("POST", PROFILES, {}, profile("dropped"))
    api.fail("POST", "", "lost")
    with pytest.raises(Dropped):
        api.request("POST", PROFILES, {}, profile("lost"))
    assert [obj["metadata"]["name"] for obj in api.objects("fargateprofiles")] == ["lost"]
    assert [request.status for request in api.log] == [0, 0]


def test_a_lost_refusal_is_lost_too(api: ApiServer) -> None:
    api.fail("GET", "", "lost")
    with pytest.raises(Dropped):
        api.request("GET", f"{PROFILES}/missing", {})


def test_a_lost_watch_leaves_nothing_open(api: ApiServer) -> None:
    api.fail("WATCH", "", "lost")
    with pytest.raises(Dropped):
        api.watch(PROFILES, {})
    assert api.watching() == 0


def test_in_process_a_watch_is_not_a_request(api: ApiServer) -> None:
    assert api.request("GET", PROFILES, {"watch": "1"}).status == 405
    assert api.request("GET", PROFILES, {"watch": "false"}).status == 200


def test_over_http_a_drop_is_a_closed_connection_and_throttling_says_how_long(api: ApiServer, server: Server) -> None:
    pool = urllib3.PoolManager(retries=False, timeout=3)
    api.fail("GET", "", "drop")
    with pytest.raises(urllib3.exceptions.ProtocolError):
        pool.request("GET", server.url + PROFILES)
    api.fail("GET", "", 429, retry_after=7)
    throttled = pool.request("GET", server.url + PROFILES)
    assert (throttled.status, throttled.headers["Retry-After"]) == (429, "7")
    assert throttled.json()["reason"] == "TooManyRequests"


def test_watches_have_faults_of_their_own(api: ApiServer, server: Server) -> None:
    api.fail("WATCH", "", 500)
    api.fail("WATCH", "", "drop")
    assert urllib3.PoolManager(retries=False).request("GET", server.url + PROFILES).status == 200
    with open_watch(server) as failed:
        assert failed.status == 500
    with pytest.raises(urllib3.exceptions.ProtocolError), open_watch(server):
        pass


# Versions and history


def test_events_since_a_version_come_without_waiting(api: ApiServer) -> None:
    start = api.resource_version
    api.apply(profile())
    middle = api.resource_version
    api.apply(profile(profileName="a"))
    api.delete("fargateprofiles", "default", "web")
    assert types(api.events_since("fargateprofiles", start)) == ["ADDED", "MODIFIED", "DELETED"]
    assert types(api.events_since("fargateprofiles", middle)) == ["MODIFIED", "DELETED"]
    assert api.events_since("fargateprofiles", api.resource_version) == []


def test_compaction_expires_older_versions_and_pages_but_not_the_current_one(api: ApiServer) -> None:
    start = api.resource_version
    for name in ("a", "b"):
        api.apply(profile(name))
    page = api.request("GET", PROFILES, {"limit": "1"}).body["metadata"]
    api.apply(profile("c"))
    api.compact()
    with pytest.raises(Expired, match=f"too old resource version: {start} "):
        api.events_since("fargateprofiles", start)
    stale = api.request("GET", PROFILES, {"continue": page["continue"]})
    assert (stale.status, stale.body["reason"]) == (410, "Expired")
    assert api.events_since("fargateprofiles", api.resource_version) == []


def test_compaction_takes_nothing_from_a_live_watch(api: ApiServer) -> None:
    events = api.watch(PROFILES, from_now(api))
    api.apply(profile())
    api.compact()
    assert next(events)["type"] == "ADDED"


def test_a_restart_ends_watches_and_expires_even_the_last_seen_version(api: ApiServer) -> None:
    seen = from_now(api)
    watch = api.watch(PROFILES, seen)
    api.restart()
    assert list(watch) == []
    (error,) = api.watch(PROFILES, seen)
    assert (error["type"], error["object"]["code"]) == ("ERROR", 410)


def test_a_server_that_was_set_back_gives_no_object_a_version_that_it_had_in_what_is_lost(api: ApiServer) -> None:
    api.apply(profile("kept"))
    snapshot = api.resource_version

    def versions() -> list[str]:
        edits = [{"metadata": {"labels": {"number": str(number)}}} for number in range(30)]
        return [api.edit("fargateprofiles", "default", "kept", edit)["metadata"]["resourceVersion"] for edit in edits]

    lost = versions()
    api.set_back(snapshot)
    assert not {*lost} & {*versions()}


# Watches


def namespace(name: str) -> Obj:
    """Return something that a watch of profiles does not show."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def test_bookmarks_come_each_period_only_if_asked_for_and_only_with_a_new_version() -> None:
    api = ApiServer(bookmark_seconds=0.03)
    query = {"resourceVersion": api.resource_version, "timeoutSeconds": "0.2"}
    assert list(api.watch(PROFILES, query | {"allowWatchBookmarks": "true"})) == []
    api.apply(namespace("a"))
    assert list(api.watch(PROFILES, query)) == []
    bookmarks = api.watch(PROFILES, query | {"allowWatchBookmarks": "true"})
    head = {"kind": "FargateProfile", "apiVersion": "jicomusic.com/v1"}
    for name in "bcd":
        metadata = {"resourceVersion": api.resource_version}
        assert next(bookmarks) == {"type": "BOOKMARK", "object": {**head, "metadata": metadata}}
        api.apply(namespace(name))
    assert len(list(bookmarks)) == 1


def test_a_bookmark_names_the_version_of_writes_that_the_watch_does_not_show(api: ApiServer) -> None:
    query = {"resourceVersion": api.resource_version, "timeoutSeconds": "0.2", "allowWatchBookmarks": "true"}
    watch = api.watch(PROFILES, query)
    api.apply(namespace("other"))
    (bookmark,) = watch
    assert bookmark["object"]["metadata"]["resourceVersion"] == api.resource_version


def test_a_watch_from_the_future_begins_there(api: ApiServer) -> None:
    watch = api.watch(PROFILES, from_now(api, 2))
    for name in ("a", "b", "c"):
        api.apply(profile(name))
    assert next(watch)["object"]["metadata"]["name"] == "c"


def test_a_cleanly_killed_watch_just_ends(api: ApiServer, server: Server) -> None:
    with open_watch(server) as response:
        api.kill_watches("clean")
        assert response.read() == b""


def test_a_reset_watch_breaks_off(api: ApiServer, server: Server) -> None:
    with open_watch(server) as response:
        api.kill_watches("reset")
        with pytest.raises(urllib3.exceptions.ProtocolError):
            response.read()


def test_a_silent_watch_stays_open_and_says_nothing_more(api: ApiServer, server: Server) -> None:
    with open_watch(server, "&timeoutSeconds=0.1", timeout=0.3) as response:
        api.kill_watches("silent")
        api.apply(profile())
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            response.read()


def test_a_watch_ends_promptly_when_its_client_goes_away(api: ApiServer, server: Server) -> None:
    with open_watch(server):
        wait_watching(api, 1)
    wait_watching(api, 0)


def test_closing_the_server_cuts_watches_at_once_and_the_api_lives_on(api: ApiServer, server: Server) -> None:
    with open_watch(server) as response:
        wait_watching(api, 1)
        server.close()
        started = time.monotonic()
        with pytest.raises(urllib3.exceptions.ProtocolError):
            response.read()
        assert time.monotonic() < started + 0.5
    wait_watching(api, 0)
    api.apply(profile())
    with serve(api, server.port) as again:
        listed = urllib3.PoolManager().request("GET", again.url + PROFILES).json()
    assert [item["metadata"]["name"] for item in listed["items"]] == ["web"]


def test_starting_and_stopping_a_server_takes_a_few_milliseconds(api: ApiServer) -> None:
    started = time.monotonic()
    for _ in range(10):
        serve(api).close()
    assert (time.monotonic() - started) / 10 < 0.05


# The log and the shortcuts of tests


def test_the_log_tells_who_asked_what_and_what_came_of_it(api: ApiServer) -> None:
    api.request("POST", PROFILES, {}, profile(), user="controller/1")
    api.request("GET", PROFILES, {"limit": "5"})
    api.watch(PROFILES, {"resourceVersion": "0"})
    api.request("GET", "/nowhere", {})
    assert [(request.method, request.status) for request in api.log] == [
        ("POST", 201),
        ("GET", 200),
        ("GET", 200),
        ("GET", 404),
    ]
    assert api.log[1].query == {"limit": "5"}
    assert [request.user_agent for request in api.writes()] == ["controller/1"]
    api.clear_log()
    assert api.log == []


def test_shortcuts_are_not_logged_and_meet_no_faults(api: ApiServer) -> None:
    api.fail("*", "", 500)
    api.apply(profile())
    api.edit("fargateprofiles", "default", "web", {"spec": {"a": 1}})
    api.delete("fargateprofiles", "default", "web")
    assert api.log == []
    assert len(api.faults) == 1


def test_apply_creates_and_then_merges(api: ApiServer) -> None:
    api.apply(profile(profileName="a"))
    applied = api.apply(profile(subnets=[]))
    assert applied["spec"] == {"profileName": "a", "subnets": [], **DEFAULTS}
    assert applied["metadata"]["generation"] == 2


def test_edit_reaches_spec_and_status_and_says_what_it_may_not(api: ApiServer) -> None:
    api.apply(profile())
    edited = api.edit("fargateprofiles", "default", "web", {"spec": {"tags": {}}, "status": {"profileName": "web"}})
    assert edited["spec"] == {"tags": {}, **DEFAULTS}
    assert edited["status"] == {**UNSEEN, "profileName": "web"}
    with pytest.raises(ApiError, match="not found"):
        api.edit("fargateprofiles", "default", "missing", {})
    with pytest.raises(ApiError, match="not found"):
        api.delete("fargateprofiles", "default", "missing")


def test_nobody_can_reach_into_the_store(api: ApiServer) -> None:
    mine = profile(tags={"a": "1"})
    start = api.resource_version
    handed_out = [
        mine,
        api.apply(mine),
        api.get("fargateprofiles", "default", "web"),
        *api.objects("fargateprofiles"),
        api.request("GET", f"{PROFILES}/web", {}).body,
        *api.request("GET", PROFILES, {}).body["items"],
        api.events_since("fargateprofiles", start)[0]["object"],
    ]
    for copied in handed_out:
        copied["spec"]["tags"]["a"] = "changed"
    assert api.objects("fargateprofiles")[0]["spec"]["tags"] == {"a": "1"}
    assert api.events_since("fargateprofiles", start)[0]["object"]["spec"]["tags"] == {"a": "1"}


def test_what_is_not_json_fails_loudly(api: ApiServer) -> None:
    with pytest.raises(ValueError, match="unmarshallable"):
        api.request("POST", PROFILES, {}, profile(at=datetime.now(UTC)))


def test_an_absent_object_is_none(api: ApiServer) -> None:
    assert api.get("fargateprofiles", "default", "web") is None


def test_an_old_crd_has_no_defaults_and_keeps_what_it_does_not_know(api: ApiServer) -> None:
    api.crd_defaults = False
    stored = api.apply(profile(subnetIds=["x"], tags=None))
    assert (stored["spec"], "status" in stored) == ({"subnetIds": ["x"], "tags": None}, False)
    assert "status" not in api.edit("fargateprofiles", "default", "web", {"spec": {"a": 1}})


def test_time_and_chance_are_parameters() -> None:
    def uid() -> str:
        api = ApiServer(now=lambda: datetime(2026, 11, 22, tzinfo=UTC), rand=random.Random(7))
        metadata = api.apply(profile())["metadata"]
        assert metadata["creationTimestamp"] == "2026-11-22T00:00:00Z"
        return str(metadata["uid"])

    assert uid() == uid()
    assert ApiServer().get("namespaces", "", "default") != ApiServer().get("namespaces", "", "default")


def test_an_event_belongs_to_the_namespace_of_what_it_regards(api: ApiServer) -> None:
    event: Obj = {
        "metadata": {"name": "x"},
        "eventTime": "2026-11-22T10:00:00.000000Z",
        "regarding": {"namespace": "kube-system"},
        **dict.fromkeys(("reportingController", "reportingInstance", "action", "reason"), "x"),
        "type": "Normal",
    }
    path = "/apis/events.k8s.io/v1/namespaces/{}/events"
    assert api.request("POST", path.format("default"), {}, event).status == 422
    assert api.request("POST", path.format("kube-system"), {}, event).status == 201


def test_a_terminating_namespace_goes_once_nothing_holds_it(api: ApiServer) -> None:
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    api.delete("namespaces", "", "team")
    api.edit("namespaces", "", "team", {"spec": {"finalizers": None}})
    assert api.get("namespaces", "", "team") is None


def test_writers_at_once_lose_nothing(api: ApiServer) -> None:
    api.apply(profile())
    start = api.resource_version
    writers = [
        threading.Thread(target=lambda n=n: [patch_web(api, tags={f"w{n}": str(i)}) for i in range(50)])
        for n in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(SOON)
    events = api.events_since("fargateprofiles", start)
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == list(range(int(start) + 1, int(start) + 401))
    assert events[-1]["object"]["spec"]["tags"] == {f"w{n}": "49" for n in range(8)}


def test_the_official_client_speaks_to_it_through_a_kubeconfig(api: ApiServer, server: Server, tmp_path: Path) -> None:
    path = kubeconfig(server.url, tmp_path / "config")
    client = kubernetes.config.new_client_from_config(str(path))
    objects = kubernetes.client.CustomObjectsApi(client)
    where = ("jicomusic.com", "v1", "default", "fargateprofiles")
    objects.create_namespaced_custom_object(*where, profile(profileName="a"))
    objects.patch_namespaced_custom_object(*where, "web", {"spec": {"subnets": []}}, _content_type=MERGE)
    assert objects.get_namespaced_custom_object(*where, "web")["spec"] == {
        "profileName": "a",
        "subnets": [],
        **DEFAULTS,
    }
    assert "OpenAPI-Generator" in api.log[0].user_agent
    assert json.loads(path.read_text())["contexts"][0]["context"]["namespace"] == "default"


# Pods: what a test can do to them


PODS = "/api/v1/namespaces/default/pods"


def pod(name: str, **parts: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **parts}


def names(api: ApiServer, path: str = PODS, **query: str) -> tuple[int, list[str]]:
    answer = api.request("GET", path, query)
    return answer.status, [item["metadata"]["name"] for item in answer.body.get("items", [])]


def test_a_test_makes_pods_in_any_state_and_edits_them(api: ApiServer) -> None:
    api.apply(pod("a", status={"phase": "Running"}, spec={"nodeName": "n"}))
    assert names(api, fieldSelector="status.phase=Running,spec.nodeName=n") == (200, ["a"])
    api.edit("pods", "default", "a", {"status": {"phase": "Failed"}, "metadata": {"labels": {"k": "v"}}})
    assert names(api, fieldSelector="status.phase=Failed", labelSelector="k=v") == (200, ["a"])
    api.apply(pod("a", status={"phase": "Running"}))
    api.delete("pods", "default", "a")
    assert names(api) == (200, [])


def test_the_second_page_of_a_list_can_fail(api: ApiServer) -> None:
    for name in ("a", "b"):
        api.apply(pod(name))
    api.fail("GET", "/pods$", 500, after=1)
    first = api.request("GET", PODS, {"limit": "1"})
    page = {"limit": "1", "continue": first.body["metadata"]["continue"]}
    assert [api.request("GET", PODS, page).status for _ in range(2)] == [500, 200]


def test_a_page_of_pods_expires_when_the_past_is_forgotten(api: ApiServer) -> None:
    for name in ("a", "b"):
        api.apply(pod(name))
    page = api.request("GET", "/api/v1/pods", {"limit": "1"}).body["metadata"]
    api.delete("pods", "default", "a")
    api.compact()
    assert api.request("GET", "/api/v1/pods", {"limit": "1", "continue": page["continue"]}).status == 410


def test_a_permission_is_taken_away_given_in_one_namespace_and_given_back(api: ApiServer) -> None:
    def told(namespace: str = "") -> bool:
        spec = {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": namespace}}
        asked = api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {}, {"spec": spec})
        return bool(asked.body["status"]["allowed"])

    api.may_list_pods = True
    assert (names(api)[0], names(api, "/api/v1/pods")[0], told()) == (200, 200, True)
    api.forbid("list", "pods", but_in=("default",))
    assert (names(api)[0], names(api, "/api/v1/pods")[0], told(), told("default")) == (200, 403, False, True)
    api.forbid("list", "pods")
    assert (names(api)[0], told("default")) == (403, False)
    api.permit("list", "pods")
    assert (names(api, "/api/v1/pods")[0], told()) == (200, True)


def test_a_forbidden_watch_never_opens(api: ApiServer) -> None:
    api.forbid("watch", "pods")
    with pytest.raises(ApiError, match="cannot watch"):
        api.watch(PODS, {})


def test_evictions_fail_as_a_test_wants_it_with_no_effect(api: ApiServer, server: Server) -> None:
    api.apply(pod("a"))
    pool, body = urllib3.PoolManager(retries=False), json.dumps({"metadata": {"name": "a"}})
    for status, wait in ((429, 7), (429, None), (500, None)):
        api.fail("POST", "/eviction$", status, retry_after=wait)
        failed = pool.request("POST", f"{server.url}{PODS}/a/eviction", body=body)
        assert (failed.status, failed.headers.get("Retry-After")) == (status, str(wait) if wait else None)
    assert names(api) == (200, ["a"])
    assert pool.request("POST", f"{server.url}{PODS}/a/eviction", body=body).status == 201
    assert names(api) == (200, [])
