"""Writes of the controller that others refuse or undo: admission policies, webhooks that are dead or change things."""

from __future__ import annotations

from typing import Any

import pytest

from kube import CALL_TIMEOUT
from spec import FINALIZER, OWNER_KEY
from tests.fakes.apiserver import ApiError, Target
from tests.fakes.aws import error
from tests.harness import Bench

Object = dict[str, Any]
REFUSES = 'admission webhook "guard.example.com" denied the request: finalizers are not for operators'
DEAD = 'failed calling webhook "guard.example.com": context deadline exceeded'


def refuse_finalizers(b: Bench, status: int, text: str) -> None:
    def admit(at: Target, sent: Object) -> Object:
        old = b.api.peek("fargateprofiles", at.namespace, at.name) or {"metadata": {}}
        same = sent["metadata"].get("finalizers") == old["metadata"].get("finalizers")
        if at.resource.custom and not at.subresource and not same:
            raise ApiError(status, text)
        return sent

    b.api.admit = admit


def undo_finalizers(b: Bench) -> None:
    def admit(at: Target, sent: Object) -> Object:
        if at.resource.custom and not at.subresource:
            sent["metadata"].pop("finalizers", None)
        return sent

    b.api.admit = admit


def patches(b: Bench) -> int:
    return sum(request.method == "PATCH" for request in b.api.log)


# The finalizer


@pytest.mark.parametrize(("status", "text"), [(403, REFUSES), (500, DEAD), (422, REFUSES), (400, REFUSES)])
def test_a_finalizer_that_is_refused_is_said_in_status_and_made_up_for_by_itself(
    b: Bench, status: int, text: str
) -> None:
    refuse_finalizers(b, status, text)
    b.apply()
    b.run(60)
    assert b.reason() == "WriteRefused"
    assert b.stalled()
    assert text in b.message()
    assert b.events("Warning") == ["Refused"]
    assert b.manners.writes() == [], "nothing is made without a finalizer"
    b.api.admit = None
    b.run(200)
    assert b.ready()


def test_the_api_server_is_to_answer_a_write_before_nobody_listens_any_more(b: Bench) -> None:
    """A webhook that hangs may take 30 s: what says so must come while it is waited for."""
    b.settle()
    within = {request.query.get("timeout", "") for request in b.api.log if request.method == "PATCH"}
    assert within and all(0 < float(each.removesuffix("s")) < CALL_TIMEOUT[1] for each in within), within


@pytest.mark.parametrize(("status", "text"), [(403, REFUSES), (500, DEAD)])
def test_an_object_that_cannot_be_let_go_says_why(b: Bench, status: int, text: str) -> None:
    b.settle()
    refuse_finalizers(b, status, text)
    b.delete()
    b.run(200)
    assert b.reason() == "WriteRefused"
    assert text in b.message()
    b.api.admit = None
    b.run(300)
    assert b.gone()


def test_a_finalizer_that_is_taken_off_again_makes_no_loop_and_is_said(b: Bench) -> None:
    undo_finalizers(b)
    b.apply()
    b.api.clear_log()
    b.run(600)
    assert b.reason() == "WriteUndone"
    assert b.stalled()
    assert patches(b) < 20, "each try rests longer"
    assert b.manners.writes() == []
    b.api.admit = None
    b.run(600)
    assert b.ready()
    assert FINALIZER in b.get()["metadata"]["finalizers"]


# The status


def test_a_status_that_is_refused_is_told_by_one_event_and_rests_longer_each_time(
    b: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    b.api.fail("PATCH", "/status", 403, times=10**6)
    b.apply()
    b.run(600)
    assert b.events("Warning") == ["WriteRefused"]
    assert "status of this object" in b.notes("Warning")[0]
    assert patches(b) < 30
    assert b.manners.writes() == [], "no create without its mark"
    b.api.faults.clear()
    b.run(400)
    assert b.ready()


def test_no_profile_is_made_whose_mark_was_taken_out_of_the_status_again(b: Bench) -> None:
    def admit(at: Target, sent: Object) -> Object:
        if at.subresource == "status":
            sent.get("status", {}).pop("bookkeeping", None)
        return sent

    b.api.admit = admit
    b.apply()
    b.run(300)
    assert b.manners.writes() == []
    assert b.reason() == "WriteUndone"
    b.api.admit = None
    b.run(400)
    assert b.ready()


def test_a_mark_that_was_taken_out_of_the_status_again_is_not_brought_in_by_what_says_so(b: Bench) -> None:
    undone: list[Object] = []

    def undo_the_first_mark(at: Target, sent: Object) -> Object:
        book = (sent.get("status") or {}).get("bookkeeping") or {}
        if at.subresource == "status" and book.get("createStartedAt") and not undone:
            undone.append(book)
            return sent | {"status": {}}
        return sent

    b.api.admit = undo_the_first_mark
    b.apply()
    b.step_until("the mark is undone, and that is said", lambda: undone and b.reason() == "WriteUndone")
    assert "createStartedAt" not in b.get()["status"].get("bookkeeping", {}), "no create is on its way"
    b.delete()
    b.run(5)
    assert b.gone(), "no create is waited for"


def test_an_overlap_that_does_not_take_in_status_makes_no_loop_and_no_stream_of_events(b: Bench) -> None:
    def admit(at: Target, sent: Object) -> Object:
        if at.subresource == "status":
            listed = sent.get("status", {}).get("conditions", [])
            sent["status"]["conditions"] = [each for each in listed if each["type"] != "Overlapping"]
        return sent

    b.api.admit = admit
    for name in ("web", "db"):
        b.apply(name, selectors=[{"namespace": "shared"}])
    b.run(400)
    assert b.ready("web") and b.ready("db")
    assert "Overlapping" not in b.events()
    b.api.admit = None
    b.run(1300)
    assert b.events().count("Overlapping") == 2


# AWS


def test_a_deletion_that_does_not_show_is_asked_for_again_less_and_less_often(b: Bench) -> None:
    """EKS says of a delete that the profile is gone, and goes on to list and describe it."""
    b.settle()
    b.manners.fail("DeleteFargateProfile", error("ResourceNotFoundException", 404, "No profile web"), times=10**6)
    b.delete()
    b.run(600)
    assert b.reason() == "WriteUndone"
    assert not b.stalled()
    assert b.manners.count("DeleteFargateProfile") < 20
    b.manners.heal()
    b.run(500)
    assert b.gone()


def test_what_others_undo_again_days_later_is_no_write_that_did_not_take(b: Bench) -> None:
    b.settle()
    reasons = set()
    for _ in range(3):
        b.world.strip_tags("demo", "web", [OWNER_KEY])
        for _ in range(70):
            b.run(10)
            reasons.add(b.reason())
    assert reasons == {"Active"}
    assert b.events().count("Tagged") == 3


# Conditions of others


@pytest.mark.parametrize(
    "others",
    [
        [{"type": "Synced", "status": "True"}],
        [{"type": "Ready", "status": "True"}],
        [{"type": "Ready", "status": "False", "reason": "Deleting"}],
        [{"type": "Stalled", "status": "True", "lastTransitionTime": "2026-11-22T08:00:00.5+01:00"}],
        [{"type": "Overlapping", "status": "Unknown"}, {"type": "Reconciling", "status": "True"}],
    ],
)
def test_conditions_are_read_as_others_may_write_them(
    b: Bench, others: list[Object], caplog: pytest.LogCaptureFixture
) -> None:
    b.apply()
    b.api.edit("fargateprofiles", "default", "web", {"status": {"conditions": others}})
    b.informer.run_once()
    list(b.metrics.registry.collect())
    b.run(100)
    assert b.ready()
    assert "a bug" not in caplog.text


# A status that somebody else has written


def falsify(b: Bench, **change: str) -> None:
    """Write a false status by hand."""
    listed = [{**each, **change} for each in b.get()["status"]["conditions"]]
    b.api.edit("fargateprofiles", "default", "web", {"status": {"conditions": listed, "profileStatus": "DELETING"}})


def reports(b: Bench) -> int:
    """Return how often the controller has written status."""
    return sum(request.path.endswith("/status") for request in b.api.writes())


@pytest.mark.parametrize("change", [{"status": "False"}, {"reason": "Refused"}, {"message": "It is fine."}])
def test_a_false_status_is_put_right_within_a_minute_and_not_at_once(b: Bench, change: dict[str, str]) -> None:
    b.settle()
    before = b.get()["status"]
    falsify(b, **change)
    b.run(25)
    assert b.get()["status"] != before, "the watch may be faster than the answer to a write of ours"
    b.run(30)
    after = b.get()["status"]
    for status in (before, after):
        status["conditions"][0].pop("lastTransitionTime")
    assert after == before


def test_a_status_that_was_emptied_is_there_again_within_a_minute(b: Bench) -> None:
    b.settle()
    before = b.get()["status"]
    b.api.edit("fargateprofiles", "default", "web", {"status": dict.fromkeys(before)})
    b.run(55)
    assert b.ready()
    assert b.get()["status"].keys() == before.keys()


def test_who_writes_a_false_status_each_second_makes_one_write_of_ours_a_minute(b: Bench) -> None:
    b.settle()
    before = reports(b)
    for _ in range(300):
        falsify(b, status="False")
        b.run(1)
    assert 4 <= reports(b) - before <= 6


def test_a_watch_that_is_faster_than_our_own_answers_makes_no_pass(b: Bench) -> None:
    b.run(1)
    b.trip = b.informer.run_once
    b.settle()
    due = b.queue.next_due()
    assert due is not None
    assert due - b.clock.monotonic() > 400, "the next look is the resync"
    passes = b.metrics.registry.get_sample_value("workqueue_work_duration_seconds_count", {"name": "fargateprofile"})
    b.run(120)
    assert passes == b.metrics.registry.get_sample_value(
        "workqueue_work_duration_seconds_count", {"name": "fargateprofile"}
    )


def test_a_condition_of_another_writer_makes_no_pass_and_stays(b: Bench) -> None:
    b.settle()
    due = b.queue.next_due()
    theirs = {
        "type": "Audited",
        "status": "True",
        "reason": "Done",
        "message": "",
        "lastTransitionTime": "2026-11-22T08:00:00Z",
    }
    b.api.edit(
        "fargateprofiles", "default", "web", {"status": {"conditions": [*b.get()["status"]["conditions"], theirs]}}
    )
    b.run(60)
    assert b.queue.next_due() == due
    assert b.condition("Audited")
