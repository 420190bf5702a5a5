"""Objects, refusals and statuses of any size: what is kept of them, what is said, and that each can be deleted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from aws import HealthIssue, Profile
from informer import is_cut
from limits import Limits
from spec import FINALIZER, OWNER_KEY
from status import shown_of
from tests.fakes.aws import error
from tests.harness import START, Bench

Object = dict[str, Any]
WEB = ("default", "web")
BIG_TAGS = {f"{'k' * 100}{number}": "v" * 256 for number in range(48)}  # valid, and over 16 KiB


# A spec that the store does not keep


def test_an_object_with_a_big_spec_lives_and_goes_as_any_other(b: Bench) -> None:
    b.settle(tags=BIG_TAGS)
    assert is_cut(b.store.get(WEB) or {})
    assert b.profiles()["web"]["tags"].items() >= BIG_TAGS.items()
    b.edit(tags={f"{'k' * 100}0": "other"})
    b.run(10)
    assert b.profiles()["web"]["tags"][f"{'k' * 100}0"] == "other"
    b.delete()
    b.run(200)
    assert b.gone()
    assert b.profiles() == {}


def test_an_object_with_a_big_spec_finds_its_own_cluster_and_profile(b: Bench) -> None:
    b.world.add_cluster("other")
    b.settle(tags=BIG_TAGS, clusterName="other", profileName="shared", deletionPolicy="Retain")
    assert b.profiles() == {} and [*b.profiles("other")] == ["shared"]
    b.run(1300)
    assert b.reconciler.tally()["other"].orphans == 0
    b.delete()
    b.run(60)
    assert b.gone() and [*b.profiles("other")] == ["shared"]


def test_a_settled_object_with_a_big_spec_is_silent(b: Bench) -> None:
    b.settle(tags=BIG_TAGS)
    b.api.clear_log()
    b.run(1300)
    assert b.api.writes() == []
    assert {(each.method, each.path) for each in b.api.log} == {
        ("GET", "/apis/jicomusic.com/v1/namespaces/default/fargateprofiles/web")
    }


def test_nothing_is_done_for_an_object_with_a_big_spec_that_has_gone_or_was_made_again_unseen(b: Bench) -> None:
    b.apply(tags=BIG_TAGS)
    b.informer.run_once()
    b.delete()
    b.work_off()
    assert b.api.writes() == []
    b.apply()
    b.clock.elapsed += 10
    b.work_off()
    assert b.api.writes() == [], "the store has not heard of this one yet"
    b.run(90)
    assert b.ready()


@pytest.mark.parametrize("outcome", [500, "drop"])
def test_a_big_spec_that_can_not_be_read_is_read_again_soon(b: Bench, outcome: Any) -> None:
    b.api.fail("GET", "fargateprofiles/web", outcome, times=3)
    b.settle(tags=BIG_TAGS)


# What is said


def said(b: Bench) -> list[str]:
    return [each["message"] for each in b.get()["status"]["conditions"]]


@pytest.mark.parametrize(("number", "told"), [(1000, "and 990 more."), (2000, "2,000 entries long: give at most")])
def test_of_many_wrong_subnets_the_first_are_named_and_the_others_counted(b: Bench, number: int, told: str) -> None:
    b.apply(subnets=[f"nonsense-{n}" for n in range(number)])
    b.run(10)
    assert b.reason() == "InvalidSpec"
    assert told in b.message() and b.message().endswith(".")
    assert all(len(each.encode()) <= 2048 for each in [*said(b), *b.notes()])


def test_of_many_objections_the_first_are_told_whole_and_the_others_counted(b: Bench) -> None:
    b.apply(subnets=[f"subnet-{n:08x}" for n in range(900)])
    b.run(10)
    assert b.reason() == "SubnetNotFound"
    assert b.message().count("does not exist in us-east-1: correct or remove it.") > 5
    assert b.message().endswith(" more.")
    assert all(len(each.encode()) <= 2048 for each in said(b))


def test_what_mends_an_edit_is_said_however_long_the_edit_is(b: Bench) -> None:
    b.settle()
    b.edit(subnets=[f"subnet-{n:08x}" for n in range(900)])
    b.run(10)
    assert b.reason() == "ImmutableField"
    assert b.message().endswith("set spec.updatePolicy: Replace to let the operator make the new profile first.")
    assert "wanted is [subnet-00000000, " in b.message()


def test_what_mends_a_namespace_list_is_said_however_long_the_list_is(b: Bench) -> None:
    b.settings = replace(b.settings, limits=Limits(own_namespace=True, home="demo"))
    b.start()
    b.apply(selectors=[{"namespace": f"{'n' * 50}{number}"} for number in range(100)])
    b.run(10)
    assert b.reason() == "SelectorNotAllowed"
    assert "more is not the object's own namespace" in b.message()
    assert b.message().endswith("make the object in the namespace of the pods.")


def test_the_finalizers_that_still_hold_an_object_are_counted_if_they_are_many(b: Bench) -> None:
    b.settle()
    others = [f"example.com/{'f' * 60}{number}" for number in range(500)]
    b.api.edit("fargateprofiles", "default", "web", {"metadata": {"finalizers": [FINALIZER, *others]}})
    b.delete()
    b.run(200)
    assert b.reason() == "Released"
    assert b.get()["metadata"]["finalizers"] == others
    assert len(b.message()) < 2048 and b.message().endswith(" more.")


def test_the_health_that_status_shows_is_bounded() -> None:
    issue = HealthIssue("AccessDenied", "no " * 5000, tuple(f"r-{number}" for number in range(500)))
    profile = Profile("web", "arn", "ACTIVE", START, "role", frozenset(), frozenset(), {}, (issue,) * 500)
    assert len(json.dumps(shown_of(profile))) < 100_000


# An object that has no room for more


def leave_room(b: Bench, more: int, name: str = "web") -> None:
    """Let the API server have room for so many bytes more than the object has now."""
    b.api.most_bytes = len(json.dumps(b.get(name), separators=(",", ":"))) + more


def test_an_object_that_has_no_room_for_its_status_is_reported_on_in_short(b: Bench) -> None:
    b.settle(tags={"a": "b"})
    foreign = {"type": "Audited", "status": "True", "message": "long " * 100}
    b.api.edit(
        "fargateprofiles", "default", "web", {"status": {"conditions": [*b.get()["status"]["conditions"], foreign]}}
    )
    before = b.get()["status"]
    b.edit(subnets=[f"subnet-{n:08x}" for n in range(20)])
    leave_room(b, 500)
    b.run(30)
    after = b.get()["status"]
    assert b.reason() == "ImmutableField" and b.stalled()
    assert b.message().endswith(" ... (The object is too large for more.)")
    assert foreign in after["conditions"]
    assert after["observedGeneration"] == b.get()["metadata"]["generation"]
    kept = {"bookkeeping", "profileName", "profileArn", "clusterArn", "clusterName"}
    assert {key: after.get(key) for key in kept} == {key: before.get(key) for key in kept}
    assert b.events("Warning").count("Refused") == 1
    b.run(1300)
    assert b.get()["status"] == after
    assert b.events("Warning").count("Refused") == 1, "it is not told again and again"
    b.api.most_bytes = 1_500_000
    b.run(700)
    assert "set spec.updatePolicy: Replace" in b.message(), "with room it is said in full"


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_an_object_whose_status_can_not_grow_can_be_deleted(b: Bench, policy: str) -> None:
    b.settle(deletionPolicy=policy)
    b.delete()
    leave_room(b, -1)  # it can only shrink
    b.run(400)
    assert b.gone()
    assert [*b.profiles()] == ([] if policy == "Delete" else ["web"])
    if policy == "Retain":
        assert OWNER_KEY not in b.profiles()["web"]["tags"]


def test_an_object_without_room_keeps_its_place_in_the_line_and_is_deleted_when_it_comes_to_it(b: Bench) -> None:
    b.settle()
    b.apply("api")
    b.run(1)
    b.delete()
    leave_room(b, -1)
    b.run(5)
    for name in ("eve", "zoe"):
        b.apply(name)
        b.run(2)
    b.run_until("the object goes", b.gone, 130)  # 60 s for api to come, and 60 for its own to go
    sent = [(call.operation, call.params["profile"]) for call in b.manners.writes() if not call.code]
    made, deleted = "CreateFargateProfile", "DeleteFargateProfile"
    assert sent[:3] == [(made, "web"), (made, "api"), (deleted, "web")], "who came later has waited"


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_before_a_deletion_without_room_the_object_is_still_proven_to_be_as_it_was_seen(b: Bench, policy: str) -> None:
    b.settle(deletionPolicy=policy)
    b.delete()
    b.informer.run_once()
    b.api.edit("fargateprofiles", "default", "web", {"metadata": {"annotations": {"a": "b"}}})
    leave_room(b, -1)
    writes = len(b.manners.writes())
    b.work_off()
    assert len(b.manners.writes()) == writes, "it was another version"


def test_nothing_is_made_for_an_object_without_room_for_the_mark(b: Bench) -> None:
    b.apply()
    b.step_until("the finalizer is in place", lambda: b.get()["metadata"].get("finalizers"))
    leave_room(b, 40)
    b.run(200)
    assert b.profiles() == {} and b.manners.writes() == []
    assert b.events("Warning") == ["WriteRefused"]
    assert any("make the object smaller" in each for each in b.notes())
    b.api.most_bytes = 1_500_000
    b.run(400)
    assert b.ready()


def test_no_tag_is_set_that_status_has_no_room_to_remember(b: Bench) -> None:
    b.settle()
    b.edit(tags={"k" * 100: "v"})
    leave_room(b, 40)
    b.run(60)
    assert "k" * 100 not in b.profiles()["web"]["tags"]
    assert "WriteRefused" in b.events("Warning")


def test_a_short_status_has_the_mark_of_its_create_in_full(b: Bench) -> None:
    b.apply()
    b.step_until("the finalizer is in place", lambda: b.get()["metadata"].get("finalizers"))
    leave_room(b, 900)
    b.run(3)
    book = b.get()["status"]["bookkeeping"]
    assert book["createName"] == "web" and book["createStartedAt"]
    b.run(90)
    assert b.ready()


def test_a_create_that_was_refused_leaves_no_tag_keys_behind(b: Bench) -> None:
    b.manners.fail("CreateFargateProfile", error("InvalidParameterException", 400, "no"), times=3)
    for number in range(3):
        b.apply(tags={f"key-{number - 1}": None, f"key-{number}": "x"})
        b.run(10)
    b.run(200)
    assert b.ready()
    assert b.get()["status"]["bookkeeping"]["appliedTagKeys"] == ["key-2"]


def test_the_profile_of_a_living_object_is_not_deleted_while_there_is_no_room_for_the_mark_of_the_next(
    b: Bench,
) -> None:
    b.settle(updatePolicy="Recreate")
    b.edit(selectors=[{"namespace": "other"}])
    leave_room(b, -1)
    b.run(200)
    assert b.profiles()["web"]["selectors"][0]["namespace"] == "web"
    assert "WriteRefused" in b.events("Warning")


def test_a_status_that_could_not_be_written_is_made_up_for_within_minutes_once_there_is_room(b: Bench) -> None:
    b.settle()
    b.edit(suspend=True)
    leave_room(b, -1)
    b.run(300)
    assert b.reason() == "Active", "it still says what it last had room for"
    assert b.events("Warning") == ["WriteRefused"], "but an event says so, once"
    b.api.most_bytes = 1_500_000
    b.run(310)
    assert b.reason() == "Suspended"
