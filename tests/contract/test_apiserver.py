"""What one may rely on in a Kubernetes API server, said in raw HTTP: the fake and a real one must both pass.

Nothing here knows which of them it talks to. Each test works in a namespace of its own, since a real server keeps
what it got, and asks for silence by a marker: a later write whose event must come next.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
import urllib3

from tests.contract.client import (
    DEFAULTS,
    HOLD,
    OTHER_SPEC,
    SPEC,
    UNSEEN,
    Answer,
    Client,
    Obj,
    in_new_namespace,
    profile,
)

NO_VERSION = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"


def visible(answer: Answer) -> Obj:
    """Return the object without the server's notes on who wrote what."""
    metadata = {name: value for name, value in answer.body["metadata"].items() if name != "managedFields"}
    return {**answer.body, "metadata": metadata}


def generated(client: Client, prefix: str) -> Answer:
    """Create an object of a name that the server makes."""
    body = profile("")
    body["metadata"] = {"generateName": prefix}
    return client.call("POST", client.profile(), body)


def settled(client: Client, **metadata: Any) -> Answer:
    """Create web and return it after its first write, which saves the default of its status."""
    client.create("web", **metadata)
    return client.patch("web", {"spec": SPEC})


# Creating


def test_a_created_object_has_a_uid_generation_1_and_a_creation_time_in_seconds(client: Client) -> None:
    created = client.create("web")
    metadata = created.body["metadata"]
    assert (created.status, created.generation, metadata["namespace"]) == (201, 1, client.namespace)
    assert uuid.UUID(metadata["uid"])
    assert time.strptime(metadata["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")
    assert client.get("web").body == created.body


def test_who_creates_cannot_set_status_or_system_metadata(client: Client) -> None:
    created = client.create("web", status={"observedGeneration": 7, "profileStatus": "ACTIVE"}, generation=9, uid="x")
    assert created.body["status"] == UNSEEN
    assert created.generation == 1
    assert created.body["metadata"]["uid"] != "x"


def test_a_second_create_of_the_same_name_is_already_exists(client: Client) -> None:
    client.create("web")
    assert client.create("web").refusal == (409, "AlreadyExists")


def test_what_crd_yaml_defaults_is_stored_and_seen_by_all(client: Client) -> None:
    required = {name: SPEC[name] for name in ("podExecutionRoleArn", "selectors")}
    with client.watch(resourceVersion=client.version()) as events:
        created = client.create("web", spec={**required, "suspend": None})
        assert next(events)["object"] == created.body
    assert created.body["spec"] == {**required, **DEFAULTS}
    assert created.body["status"] == UNSEEN
    assert client.get("web").body == created.body
    patched = client.patch("web", {"spec": {"suspend": True, "deletionPolicy": None}})
    assert patched.body["spec"] == {**required, **DEFAULTS, "suspend": True}


def test_unknown_fields_and_nulls_are_dropped_without_a_word(client: Client) -> None:
    sent = {**SPEC, "subnetIds": ["x"], "profileName": None, "deletionPolicy": None, "tags": {"a": "1", "b": None}}
    created = client.call("POST", client.profile(), {**profile("web", spec=sent), "data": 1})
    assert (created.status, created.body["spec"]) == (201, {**SPEC, "tags": {"a": "1"}})
    assert "data" not in created.body
    unknown = [{"namespace": "web", "label": {}}]
    assert client.patch("web", {"spec": {"selectors": unknown}}).body["spec"]["selectors"] == SPEC["selectors"]
    reported = client.patch("web", {"status": {"kopf": {"progress": 1}, "profileName": "web"}}, "status")
    assert reported.body["status"] == {**UNSEEN, "profileName": "web"}
    assert client.get("web").body == reported.body


def test_a_write_of_unknown_fields_alone_changes_nothing(client: Client) -> None:
    before = settled(client)
    assert client.patch("web", {"spec": {"subnetIds": ["x"]}}).body == before.body
    assert client.patch("web", {"status": {"kopf": 1}}, "status").body == before.body


def test_generate_name_makes_a_new_name_each_time(client: Client) -> None:
    names = {generated(client, "web-").body["metadata"]["name"] for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("web-") and len(name) == 9 for name in names)


def test_a_generated_name_has_at_most_63_characters(client: Client) -> None:
    name = generated(client, "a" * 70).body["metadata"]["name"]
    assert (name[:58], len(name)) == ("a" * 58, 63)


@pytest.mark.parametrize("prefix", ["web.", "web..", "Web-", "a" * 300])
def test_a_prefix_of_names_must_be_a_name_itself_but_for_a_hyphen_at_its_end(client: Client, prefix: str) -> None:
    assert generated(client, prefix).refusal == (422, "Invalid")
    of_event = event(client, metadata={"generateName": prefix})
    assert client.call("POST", client.events(), of_event).refusal == (422, "Invalid")


@pytest.mark.parametrize("name", ["", "Web_1", "web-", "-web", "web..1", "web-.1", "a" * 254])
def test_an_object_needs_a_valid_name(client: Client, name: str) -> None:
    assert client.create(name).refusal == (422, "Invalid")


def test_a_create_must_not_name_a_version(client: Client) -> None:
    assert client.create("web", resourceVersion="5").status == 500
    assert client.create("web", resourceVersion="0").status == 201


def test_a_body_must_fit_its_path(client: Client) -> None:
    body = profile("web")
    assert client.call("POST", client.profile(), {**body, "kind": "Lease"}).status == 422
    assert client.call("POST", client.profile(), {**body, "apiVersion": "jicomusic.com/v2"}).status == 400
    assert client.call("POST", client.profile(), {"metadata": {"name": "web"}}).status == 400
    assert client.call("POST", client.profile(), profile("web", namespace="default")).status == 400
    assert client.call("POST", client.profile(), [body]).status == 400
    client.create("web")
    assert client.put("web", profile("api")).status == 400


def test_unknown_paths_and_objects_are_404(client: Client) -> None:
    assert client.call("GET", "/apis/example.com/v1/things").status == 404
    assert client.call("GET", client.profile("web", "scale")).status == 404
    missing = client.get("web")
    assert missing.refusal == (404, "NotFound")
    assert missing.body["message"] == 'fargateprofiles.jicomusic.com "web" not found'
    assert client.delete("web").refusal == client.patch("web", {}).refusal == (404, "NotFound")


def test_default_and_kube_system_are_there_and_have_a_uid(client: Client) -> None:
    uids = {
        client.call("GET", f"/api/v1/namespaces/{name}").body["metadata"]["uid"] for name in ("default", "kube-system")
    }
    assert len(uids) == 2


def test_nothing_is_created_in_a_namespace_that_does_not_exist(client: Client) -> None:
    client.namespace = "nowhere"
    missing = client.create("web")
    assert (missing.refusal, missing.body["details"]["kind"]) == ((404, "NotFound"), "namespaces")


def test_a_deleted_namespace_is_terminating_and_takes_nothing_new(client: Client) -> None:
    client.create("web", finalizers=[HOLD])
    path = f"/api/v1/namespaces/{client.namespace}"
    client.call("DELETE", path)
    namespace = client.call("GET", path).body
    assert namespace["status"]["phase"] == "Terminating"
    assert namespace["metadata"]["deletionTimestamp"]
    for refused in (client.create("api"), client.call("POST", client.events(), event(client))):
        assert refused.refusal == (403, "Forbidden")
        assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert client.patch("web", {"metadata": {"finalizers": []}}).status == 200


# Listing


def test_a_list_holds_one_namespace_or_all(client: Client) -> None:
    other = in_new_namespace(client.server)
    client.create("web")
    other.create("api")
    here = client.call("GET", client.profile()).body
    everywhere = client.call("GET", "/apis/jicomusic.com/v1/fargateprofiles").body
    assert [item["metadata"]["name"] for item in here["items"]] == ["web"]
    assert here["kind"] == "FargateProfileList"
    found = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in everywhere["items"]}
    assert {(client.namespace, "web"), (other.namespace, "api")} <= found


def test_versions_grow_with_every_write_of_any_resource(client: Client) -> None:
    first = client.create("web")
    lease = client.call("PUT", client.lease("leader"), lease_of("a"))
    second = client.patch("web", {"spec": OTHER_SPEC})
    listed = client.call("GET", client.profile())
    assert int(first.version) < int(lease.version) < int(second.version) <= int(listed.version)


def test_later_pages_show_the_world_of_the_first(client: Client) -> None:
    for name in ("a", "b", "c", "d"):
        client.create(name)
    first = client.call("GET", client.profile(), limit=2)
    client.delete("c")
    client.create("e")
    assert client.patch("d", {"spec": {"suspend": True}}).status == 200
    page: Obj = {"limit": 2, "continue": first.body["metadata"]["continue"]}
    second = client.call("GET", client.profile(), **page)
    suspended = {item["metadata"]["name"]: item["spec"]["suspend"] for item in second.body["items"]}
    assert [item["metadata"]["name"] for item in first.body["items"]] == ["a", "b"]
    assert suspended == {"c": False, "d": False}
    assert second.version == first.version
    assert not second.body["metadata"].get("continue")


def test_a_page_of_a_list_whose_world_was_forgotten_is_gone(client: Client) -> None:
    client.create("a")
    client.create("b")
    first = client.call("GET", client.profile(), limit=1)
    client.create("c")
    client.server.restart()
    page: Obj = {"limit": 1, "continue": first.body["metadata"]["continue"]}
    second = client.call("GET", client.profile(), **page)
    assert second.refusal == (410, "Expired")
    assert second.body["message"].startswith("The provided continue parameter is too old")


def test_a_continue_token_must_be_one_of_the_servers(client: Client) -> None:
    page: Obj = {"limit": 1, "continue": "nonsense"}
    assert client.call("GET", client.profile(), **page).status == 400


def test_a_label_selector_narrows_a_list(client: Client) -> None:
    client.create("web", labels={"team": "a"})
    client.create("api", labels={"team": "b"})
    client.create("bare")
    items = client.call("GET", client.profile(), labelSelector="team=a").body["items"]
    assert [item["metadata"]["name"] for item in items] == ["web"]


def test_a_list_at_a_version_from_the_future_is_refused_for_now(client: Client) -> None:
    future = client.call("GET", client.profile(), resourceVersion=int(client.version()) + 10**6)
    assert future.refusal == (504, "Timeout")
    assert future.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


# Watching


def test_a_watch_replays_what_came_after_its_version_in_order(client: Client) -> None:
    first = client.create("web")
    client.patch("web", {"spec": OTHER_SPEC})
    client.create("api")
    client.delete("web")
    assert client.seen(3, first.version) == [("MODIFIED", "web"), ("ADDED", "api"), ("DELETED", "web")]


def test_each_event_bears_the_version_to_resume_from(client: Client) -> None:
    before = client.version()
    client.create("web")
    client.create("api")
    client.delete("web")
    with client.watch(resourceVersion=before) as events:
        versions = [next(events)["object"]["metadata"]["resourceVersion"] for _ in range(3)]
    assert client.seen(2, versions[0]) == [("ADDED", "api"), ("DELETED", "web")]
    assert client.seen(1, versions[1]) == [("DELETED", "web")]
    assert sorted(versions, key=int) == versions


def test_a_watch_goes_on_live_after_the_replay(client: Client) -> None:
    with client.watch(resourceVersion=client.version()) as events:
        created = client.create("web")
        assert next(events) == {"type": "ADDED", "object": created.body}
        patched = client.patch("web", {"spec": OTHER_SPEC})
        assert next(events) == {"type": "MODIFIED", "object": patched.body}


@pytest.mark.parametrize("version", ["", "0"])
def test_a_watch_without_a_version_begins_with_what_is_there(client: Client, version: str) -> None:
    client.create("a")
    client.create("b")
    with client.watch(resourceVersion=version) as events:
        names = {next(events)["object"]["metadata"]["name"] for _ in range(2)}
        client.delete("a")
        assert next(events)["type"] == "DELETED"
    assert names == {"a", "b"}


def test_a_watch_of_a_namespace_sees_no_other(client: Client) -> None:
    other = in_new_namespace(client.server)
    before = client.version()
    other.create("foreign")
    client.create("web")
    assert client.seen(1, before) == [("ADDED", "web")]
    everywhere = "/apis/jicomusic.com/v1/fargateprofiles"
    assert client.seen(2, before, path=everywhere) == [("ADDED", "foreign"), ("ADDED", "web")]


def test_an_object_that_leaves_a_watched_selection_is_deleted_there(client: Client) -> None:
    before = client.version()
    client.create("web")
    for team in ("a", "b"):
        client.patch("web", {"metadata": {"labels": {"team": team}}})
    assert client.seen(2, before, labelSelector="team=a") == [("ADDED", "web"), ("DELETED", "web")]


def test_a_version_too_old_to_resume_from_is_one_error_event_and_the_end(client: Client) -> None:
    with client.watch(resourceVersion="1") as events:
        (only,) = list(events)
    assert only["type"] == "ERROR"
    assert (only["object"]["code"], only["object"]["reason"]) == (410, "Expired")
    assert only["object"]["message"].startswith("too old resource version: 1 (")


def test_after_a_restart_even_the_current_version_is_too_old_and_a_new_list_will_do(client: Client) -> None:
    version = client.create("web").version
    client.server.restart()
    assert client.get("web").version == version
    with client.watch(resourceVersion=version) as events:
        (only,) = list(events)
    assert (only["type"], only["object"]["code"]) == ("ERROR", 410)
    fresh = client.version()
    client.patch("web", {"spec": OTHER_SPEC})
    assert client.seen(1, fresh) == [("MODIFIED", "web")]


def test_a_version_from_the_future_waits_in_silence(client: Client) -> None:
    with client.watch(resourceVersion=int(client.version()) + 10**6, patience=0.4) as events:
        client.create("web")
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            next(events)


def test_a_server_that_was_set_back_knows_nothing_later_and_is_silent_to_who_resumes_from_there(client: Client) -> None:
    kept = client.create("kept")
    set_back = client.server.snapshot()
    client.create("lost")
    for number in range(200):  # more than it writes itself when it starts
        heard = client.patch("kept", {"metadata": {"labels": {"number": str(number)}}}).version
    set_back()
    assert client.get("lost").status == 404
    assert client.get("kept").version == kept.version
    assert int(client.version()) < int(heard)
    with client.watch(resourceVersion=heard, patience=0.4) as events:
        client.create("new")
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            next(events)


def test_a_watch_ends_cleanly_on_time_and_tells_its_version_before(client: Client) -> None:
    started, created = time.monotonic(), client.create("web")
    seconds = client.server.bookmarked_seconds
    query: Obj = {"resourceVersion": created.version, "timeoutSeconds": seconds, "allowWatchBookmarks": "true"}
    with client.watch(**query) as events:
        # Something to tell: a version that the watch has shown already is no reason for a bookmark.
        unseen = in_new_namespace(client.server).create("foreign")
        last = list(events)[-1]
    assert seconds - 0.1 < time.monotonic() - started < seconds + 1
    assert last["type"] == "BOOKMARK"
    assert (last["object"]["kind"], last["object"]["apiVersion"]) == ("FargateProfile", "jicomusic.com/v1")
    assert "spec" not in last["object"]
    assert int(last["object"]["metadata"]["resourceVersion"]) >= int(unseen.version)


def test_a_version_that_is_no_number_is_an_internal_error(client: Client) -> None:
    assert client.call("GET", client.profile(), watch=1, resourceVersion="abc", timeoutSeconds=1).status == 500


# Updating


def test_a_merge_patch_merges_objects_replaces_lists_and_removes_nulls(client: Client) -> None:
    client.create("web", spec={**SPEC, "tags": {"a": "1", "b": "2"}})
    patched = client.patch("web", {"spec": {"tags": {"a": None, "c": "3"}, "selectors": [{"namespace": "x"}]}})
    assert patched.body["spec"] == {**SPEC, "tags": {"b": "2", "c": "3"}, "selectors": [{"namespace": "x"}]}
    assert client.get("web").body == patched.body


def test_other_kinds_of_patch_are_refused(client: Client) -> None:
    client.create("web")
    strategic = client.patch("web", {"spec": OTHER_SPEC}, content_type="application/strategic-merge-patch+json")
    assert strategic.refusal == (415, "UnsupportedMediaType")
    assert client.patch("web", [{"op": "remove", "path": "/spec"}]).refusal == (400, "BadRequest")


def test_a_stale_version_is_a_conflict_everywhere(client: Client) -> None:
    old = client.create("web").body
    client.patch("web", {"spec": OTHER_SPEC})
    stale = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}}
    refused = client.patch("web", {**stale, "spec": SPEC})
    assert refused.refusal == (409, "Conflict")
    assert refused.body["message"] == (
        'Operation cannot be fulfilled on fargateprofiles.jicomusic.com "web": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert client.patch("web", {**stale, "status": {"profileName": "x"}}, "status").refusal == (409, "Conflict")
    assert client.put("web", old).refusal == (409, "Conflict")
    assert client.put("web", old, "status").refusal == (409, "Conflict")
    assert client.delete("web", resourceVersion=old["metadata"]["resourceVersion"]).refusal == (409, "Conflict")


def test_the_current_version_is_no_conflict(client: Client) -> None:
    current = {"metadata": {"resourceVersion": client.create("web").version}}
    patched = client.patch("web", {**current, "spec": OTHER_SPEC})
    assert patched.status == 200
    assert client.put("web", patched.body | {"spec": SPEC}).status == 200


def test_a_foreign_uid_is_refused_but_not_in_a_status_patch(client: Client) -> None:
    created = client.create("web").body
    wrong: Obj = {"uid": str(uuid.uuid4())}
    assert client.patch("web", {"metadata": wrong}).refusal == (422, "Invalid")
    assert client.put("web", created | {"metadata": created["metadata"] | wrong}).refusal == (409, "Conflict")
    deleted = client.delete("web", uid=wrong["uid"])
    assert deleted.refusal == (409, "Conflict")
    assert deleted.body["message"] == (
        'Operation cannot be fulfilled on FargateProfile.jicomusic.com "web": the UID in the precondition '
        f"({wrong['uid']}) does not match the UID in record ({created['metadata']['uid']}). "
        "The object might have been deleted and then recreated"
    )
    patched = client.patch("web", {"metadata": wrong, "status": {"profileName": "x"}}, "status")
    assert (patched.status, patched.body["metadata"]["uid"]) == (200, created["metadata"]["uid"])


@pytest.mark.parametrize("version", [None, "", "0"])
def test_a_replacement_must_name_the_version_that_it_replaces(client: Client, version: str | None) -> None:
    client.create("web")
    client.call("PUT", client.lease("leader"), lease_of("a"))
    head: Obj = {} if version is None else {"resourceVersion": version}
    for refused in (
        client.put("web", profile("web", spec=OTHER_SPEC, **head)),
        client.put("web", profile("web", status={"profileName": "x"}, **head), "status"),
        client.call("PUT", client.lease("leader"), lease_of("b", **head)),
    ):
        assert refused.refusal == (422, "Invalid")
        assert refused.body["message"].endswith(NO_VERSION)


@pytest.mark.parametrize("version", [None, "", "0"])
def test_a_patch_may_be_silent_on_the_version_but_not_take_it_away(client: Client, version: str | None) -> None:
    client.create("web")
    head = {"metadata": {"resourceVersion": version}}
    for refused in (
        client.patch("web", {**head, "spec": OTHER_SPEC}),
        client.patch("web", {**head, "status": {"profileName": "x"}}, "status"),
    ):
        assert refused.refusal == (422, "Invalid")
        assert refused.body["message"].endswith(NO_VERSION)
    assert client.patch("web", {"spec": OTHER_SPEC}).status == 200


@pytest.mark.parametrize("version", ["abc", "-1", "1.0"])
def test_a_write_under_a_version_that_is_no_number_is_an_internal_error(client: Client, version: str) -> None:
    client.create("web")
    assert client.patch("web", {"metadata": {"resourceVersion": version}, "spec": OTHER_SPEC}).status == 500


def test_a_replacement_of_a_missing_object_is_404_except_for_a_lease(client: Client) -> None:
    assert client.put("web", profile("web", resourceVersion="1")).refusal == (404, "NotFound")
    created = client.call("PUT", client.lease("leader"), lease_of("a"))
    assert (created.status, created.body["spec"]["holderIdentity"]) == (201, "a")


def test_status_is_written_only_through_its_own_path(client: Client) -> None:
    client.create("web")
    written = client.patch("web", {"status": {"profileName": "web"}}, "status")
    assert written.body["status"]["profileName"] == "web"
    ignored = client.patch("web", {"status": {"profileName": "x"}})
    assert (ignored.status, ignored.version) == (200, written.version)
    replaced = client.put("web", written.body | {"spec": OTHER_SPEC, "status": {}})
    assert (replaced.body["spec"], replaced.body["status"]) == (OTHER_SPEC, written.body["status"])


def test_the_status_path_writes_nothing_but_status(client: Client) -> None:
    created = settled(client, finalizers=[HOLD])
    change = {"metadata": {"labels": {"a": "b"}, "finalizers": []}, "spec": OTHER_SPEC}
    ignored = client.patch("web", change, "status")
    assert (ignored.status, visible(ignored)) == (200, visible(created))
    put = client.put("web", merged(created.body, change) | {"status": {"profileName": "web"}}, "status")
    assert put.body["status"] == {**UNSEEN, "profileName": "web"}
    assert (put.body["spec"], put.body["metadata"]["finalizers"]) == (SPEC, [HOLD])
    assert "labels" not in put.body["metadata"]


def test_status_without_content_falls_back_to_the_default(client: Client) -> None:
    client.create("web")
    client.patch("web", {"status": {"profileName": "web"}}, "status")
    assert client.patch("web", {"status": None}, "status").body["status"] == UNSEEN


def test_generation_counts_changes_of_spec_only(client: Client) -> None:
    assert client.create("web").generation == 1
    assert client.patch("web", {"metadata": {"labels": {"a": "b"}, "finalizers": [HOLD]}}).generation == 1
    assert client.patch("web", {"status": {"profileName": "web"}}, "status").generation == 1
    assert client.patch("web", {"metadata": {"generation": 7}}).generation == 1
    assert client.patch("web", {"spec": OTHER_SPEC}).generation == 2
    assert client.patch("web", {"spec": OTHER_SPEC}).generation == 2


def test_a_write_that_changes_nothing_leaves_no_trace(client: Client) -> None:
    created = settled(client, labels={"a": "b"})
    assert client.patch("web", {"spec": SPEC}).version == created.version
    assert client.patch("web", {"metadata": {"finalizers": []}}).version == created.version
    assert client.patch("web", {"status": {"observedGeneration": -1}}, "status").version == created.version
    assert client.put("web", created.body).version == created.version
    client.create("marker")
    assert client.seen(1, created.version) == [("ADDED", "marker")]


def test_the_first_write_after_a_create_is_stored_even_if_it_changes_nothing(client: Client) -> None:
    created = client.create("web")
    first = client.patch("web", {"spec": SPEC})
    assert int(first.version) > int(created.version)
    assert first.generation == 1
    assert client.patch("web", {"spec": SPEC}).version == first.version
    assert client.seen(1, created.version) == [("MODIFIED", "web")]


def test_a_write_that_changes_nothing_still_checks_its_version(client: Client) -> None:
    old = client.create("web").version
    client.patch("web", {"spec": OTHER_SPEC})
    assert client.patch("web", {"metadata": {"resourceVersion": old}, "spec": OTHER_SPEC}).refusal == (409, "Conflict")


# Deleting


def test_an_object_without_finalizers_is_gone_at_once(client: Client) -> None:
    created = client.create("web")
    deleted = client.delete("web", uid=created.body["metadata"]["uid"])
    assert (deleted.status, deleted.body["status"]) == (200, "Success")
    assert client.get("web").status == 404
    with client.watch(resourceVersion=created.version) as events:
        gone = next(events)
    assert gone["type"] == "DELETED"
    assert gone["object"]["spec"] == SPEC
    assert int(gone["object"]["metadata"]["resourceVersion"]) > int(created.version)


def test_finalizers_hold_a_deleted_object_one_generation_later(client: Client) -> None:
    created = client.create("web", finalizers=[HOLD])
    deleted = client.delete("web")
    metadata = deleted.body["metadata"]
    assert (deleted.status, deleted.generation) == (200, 2)
    assert (metadata["deletionGracePeriodSeconds"], metadata["finalizers"]) == (0, [HOLD])
    assert time.strptime(metadata["deletionTimestamp"], "%Y-%m-%dT%H:%M:%SZ")
    assert client.delete("web").version == deleted.version
    assert client.seen(1, created.version) == [("MODIFIED", "web")]


def test_the_last_finalizer_takes_the_object_with_it_and_answers_its_old_version(client: Client) -> None:
    client.create("web", finalizers=[HOLD, "example.com/other"])
    client.delete("web")
    one_left = client.patch("web", {"metadata": {"finalizers": [HOLD]}})
    last = client.patch("web", {"metadata": {"finalizers": None, "resourceVersion": one_left.version}})
    assert (last.status, last.version) == (200, one_left.version)
    assert "finalizers" not in last.body["metadata"]
    assert client.get("web").status == 404
    with client.watch(resourceVersion=one_left.version) as events:
        gone = next(events)
    assert gone["type"] == "DELETED"
    assert gone["object"]["metadata"]["finalizers"] == [HOLD], "it shows what was stored last"
    assert int(gone["object"]["metadata"]["resourceVersion"]) > int(one_left.version)


def test_a_replacement_without_finalizers_removes_a_deleted_object_too(client: Client) -> None:
    client.create("web", finalizers=[HOLD])
    deleting = client.delete("web").body
    del deleting["metadata"]["finalizers"]
    assert client.put("web", deleting).status == 200
    assert client.get("web").status == 404


def test_no_finalizer_is_added_once_an_object_is_being_deleted(client: Client) -> None:
    client.create("web", finalizers=[HOLD])
    client.delete("web")
    refused = client.patch("web", {"metadata": {"finalizers": [HOLD, "example.com/x"]}})
    assert refused.refusal == (422, "Invalid")
    assert refused.body["message"].endswith(
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"example.com/x"}'
    )
    assert client.patch("web", {"metadata": {"deletionTimestamp": None}}).body["metadata"]["deletionTimestamp"]


def test_a_new_object_of_an_old_name_has_another_uid(client: Client) -> None:
    first = client.create("web").body["metadata"]["uid"]
    client.delete("web")
    second = client.create("web")
    assert (second.status, second.generation) == (201, 1)
    assert second.body["metadata"]["uid"] != first


# Leases and events


def lease_of(holder: str, renew_time: str | None = "2026-11-22T10:00:00.000000Z", **metadata: Any) -> Obj:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renew_time}
    head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "leader", **metadata}}
    return {**head, "spec": spec}


def event(client: Client, **parts: Any) -> Obj:
    regarding = {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "name": "web"}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "web-"},
        "eventTime": "2026-11-22T10:00:00.000000Z",
        "reportingController": "jicomusic.com/fargate-profile-controller",
        "reportingInstance": "pod-1",
        "action": "Create",
        "reason": "Created",
        "type": "Normal",
        "note": "Created the profile.",
        "regarding": {**regarding, "namespace": client.namespace},
        **parts,
    }


def test_a_lease_changes_hands_only_by_its_current_version(client: Client) -> None:
    first = client.call("PUT", client.lease("leader"), lease_of("a"))
    second = client.call("PUT", client.lease("leader"), lease_of("b", resourceVersion=first.version))
    assert (second.status, second.body["spec"]["holderIdentity"]) == (200, "b")
    stale = client.call("PUT", client.lease("leader"), lease_of("c", resourceVersion=first.version))
    assert stale.refusal == (409, "Conflict")
    assert client.call("PUT", client.lease("leader"), lease_of("c")).refusal == (422, "Invalid")
    assert client.call("GET", client.lease("leader")).body == second.body


def test_a_lease_that_was_deleted_is_not_brought_back_by_its_uid(client: Client) -> None:
    lease = client.call("PUT", client.lease("leader"), lease_of("a")).body
    client.call("DELETE", client.lease("leader"))
    assert client.call("PUT", client.lease("leader"), lease).refusal == (409, "Conflict")


@pytest.mark.parametrize("field", ["leaseTransitions", "leaseDurationSeconds"])
def test_a_lease_counts_as_far_as_an_int32_does(client: Client, field: str) -> None:
    most = merged(lease_of("a"), {"spec": {field: 2**31 - 1}})
    assert client.call("PUT", client.lease("leader"), most).status == 201
    beyond = merged(lease_of("a"), {"metadata": {"name": "other"}, "spec": {field: 2**31}})
    assert client.call("PUT", client.lease("other"), beyond).refusal == (400, "BadRequest")


@pytest.mark.parametrize("text", ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000Z", "2026-11-22 10:00:00.000000Z"])
def test_a_micro_time_has_exactly_six_decimals(client: Client, text: str) -> None:
    assert client.call("PUT", client.lease("leader"), lease_of("a", text)).refusal == (400, "BadRequest")
    acquired = merged(lease_of("a"), {"spec": {"acquireTime": text}})
    assert client.call("PUT", client.lease("leader"), acquired).refusal == (400, "BadRequest")
    assert client.call("POST", client.events(), event(client, eventTime=text)).refusal == (400, "BadRequest")


def test_a_micro_time_may_name_an_offset_or_be_absent(client: Client) -> None:
    body = lease_of("a", "2026-11-22T10:00:00.123456+01:00")
    created = client.call("PUT", client.lease("leader"), body)
    assert created.status == 201
    assert (
        client.call("PUT", client.lease("leader"), lease_of("a", None, resourceVersion=created.version)).status == 200
    )


def test_a_complete_event_is_taken(client: Client) -> None:
    limits = {"note": "n" * 1024, "reason": "r" * 128, "action": "a" * 128, "reportingInstance": "i" * 128}
    assert client.call("POST", client.events(), event(client)).status == 201
    assert client.call("POST", client.events(), event(client, **limits)).status == 201


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            {name: None}
            for name in ("eventTime", "reportingController", "reportingInstance", "action", "reason", "type")
        ),
        *({name: "x" * 129} for name in ("reportingInstance", "action", "reason")),
        {"note": "x" * 1025},
        {"note": "é" * 513},
        {"type": "Error"},
        {"reportingController": "not qualified/"},
        {"regarding": {"kind": "Namespace", "name": "cluster-scoped"}},
    ],
    ids="-".join,
)
def test_an_event_that_breaks_a_rule_is_invalid(client: Client, wrong: Obj) -> None:
    assert client.call("POST", client.events(), event(client, **wrong)).refusal == (422, "Invalid")


def merged(obj: Obj, patch: Obj) -> Obj:
    """Return the object with the patch's two levels laid over it."""
    return {**obj, **{name: {**obj.get(name, {}), **part} for name, part in patch.items()}}
