"""What users see: conditions, events and errors, as pure values from pure values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from actions import Action, Phase, RemoveFinalizer, Report, TagProfile
from answers import ERRORS, UNKNOWN, AwsError, Busy, Refused, Retryable
from aws import HealthIssue
from case import Case
from clusters import InFlight
from kube import Object, WriteRefused
from patterns import timestamp
from plan import plan
from spec import FINALIZER, REQUESTED_AT, Identity, Memory
from status import (
    EVENTS,
    REASONS,
    TRUST_PROPAGATION,
    Noted,
    asked_for,
    conditions,
    event_of,
    find_condition,
    lost_before,
    phase_of,
    render_status,
    report_of,
    settled,
    shown_of,
    undone,
    wait_behind,
    wait_while_busy,
    write_refused,
)
from tests.unit.test_plan import (
    HOME,
    NOW,
    OLD,
    REPLACE,
    ROWS,
    case,
    cases,
    memories,
    profile,
    who,
)

LATER = NOW + timedelta(minutes=1)
WEB = who()
READY = Report(Phase.READY, "Active", "Profile web is ACTIVE.")
WAITING = Report(Phase.RECONCILING, "Throttled", "AWS asks to slow down.", retry=True)
STALLED = Report(Phase.STALLED, "RoleNotFound", "There is no such role.")
IDLE = Report(Phase.IDLE, "Suspended", "Nothing is made.")


def listed(
    report: Report, old: Sequence[Object] = (), who: Identity = WEB, overlap: str = "", now: datetime = NOW
) -> list[Object]:
    extra = {"Overlapping": Noted("SelectorsOverlap", overlap)} if overlap else {}
    return conditions(old, who, report, extra, now)


def statuses(shown: Sequence[Object]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in shown}


# The tables know all that is said


def stands_in_the_tables(action: Action) -> None:
    match action:
        case Report(phase=phase, reason=reason):
            assert phase in REASONS[reason].phases
        case RemoveFinalizer(event=event) | TagProfile(event=event):
            assert event in EVENTS


@pytest.mark.parametrize("seen", ROWS)
def test_what_a_row_of_the_plan_says_stands_in_the_tables(seen: str) -> None:
    stands_in_the_tables(plan(ROWS[seen][0]))


@settings(max_examples=500)
@given(cases)
def test_whatever_is_seen_what_is_said_of_it_stands_in_the_tables(c: Case) -> None:
    stands_in_the_tables(plan(c))


@pytest.mark.parametrize("rule", [*ERRORS, UNKNOWN], ids=lambda rule: f"{rule.code} {rule.message}")
def test_what_an_answer_of_aws_means_stands_in_the_tables(rule: Any) -> None:
    stands_in_the_tables(report_of(rule.kind(rule.reason, "no"), None, NOW, 15))


@pytest.mark.parametrize(
    "report", [write_refused("the status", WriteRefused("no")), undone("the tags"), undone("the tags", stalls=False)]
)
def test_what_is_said_of_a_write_stands_in_the_tables_and_is_tried_again(report: Report) -> None:
    stands_in_the_tables(report)
    assert report.retry


# Conditions


@pytest.mark.parametrize(
    ("report", "shown"),
    [
        (READY, {"Ready": "True"}),
        (WAITING, {"Ready": "False", "Reconciling": "True"}),
        (STALLED, {"Ready": "False", "Stalled": "True"}),
        (IDLE, {"Ready": "False"}),
    ],
)
def test_each_phase_has_its_conditions_and_no_other(report: Report, shown: dict[str, str]) -> None:
    before = [listed(each) for each in (READY, WAITING, STALLED, IDLE)]
    assert statuses(listed(report)) == shown
    assert all(statuses(listed(replace(report, retry=False), old)) == shown for old in before)


def test_a_condition_says_what_it_is_true_of_and_why() -> None:
    assert find_condition("Stalled", listed(STALLED, who=who(generation=7))) == {
        "type": "Stalled",
        "status": "True",
        "reason": "RoleNotFound",
        "message": "There is no such role.",
        "observedGeneration": 7,
        "lastTransitionTime": "2026-11-22T08:00:00Z",
    }


def test_a_condition_has_its_time_from_the_last_change_of_its_status_and_of_nothing_else() -> None:
    def since(shown: list[Object]) -> str:
        return str(find_condition("Ready", shown)["lastTransitionTime"])

    first = listed(STALLED)
    assert since(listed(IDLE, first, now=LATER)) == timestamp(NOW)
    assert since(listed(READY, first, now=LATER)) == timestamp(LATER)


def test_a_condition_that_others_wrote_without_a_time_gets_one() -> None:
    shown = listed(READY, [{"type": "Ready", "status": "True"}])
    assert find_condition("Ready", shown)["lastTransitionTime"] == timestamp(NOW)


def test_conditions_of_others_stay_as_they_are() -> None:
    theirs = {"type": "Synced", "status": "Unknown"}
    assert find_condition("Synced", listed(READY, [theirs, *listed(STALLED)])) == theirs


def test_an_overlap_is_a_condition_of_its_own_in_every_phase_as_long_as_it_lasts() -> None:
    for report in (READY, WAITING, STALLED, IDLE):
        shown = listed(report, overlap="shop matches the same pods.")
        assert find_condition("Overlapping", shown)["message"] == "shop matches the same pods."
        assert not find_condition("Overlapping", listed(report, shown))


def test_a_look_that_failed_does_not_unsay_that_the_object_is_ready() -> None:
    assert statuses(listed(WAITING, listed(READY))) == {"Ready": "True", "Reconciling": "True"}


@pytest.mark.parametrize("seen", [who(generation=2), who(deleted_at=NOW)], ids=["edited", "deleted"])
def test_what_was_ready_before_an_edit_or_a_deletion_is_unsaid_even_by_a_look_that_failed(seen: Identity) -> None:
    assert statuses(listed(WAITING, listed(READY), seen))["Ready"] == "False"


@pytest.mark.parametrize("reason", ["Creating", "Deleting", "Replacing"])
def test_a_note_that_came_with_a_change_stays_while_eks_is_at_work_on_it(reason: str) -> None:
    shown = listed(Report(Phase.RECONCILING, reason, "Profile web is at it. 3 running pods on web."))
    after = listed(Report(Phase.RECONCILING, reason, "Profile web is at it."), shown)
    assert {each["message"] for each in after} == {"Profile web is at it. 3 running pods on web."}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("Creating", "Profile web is at it. 3 pods."), ("Creating", "Profile db is at it.")),
        (("Creating", "Profile web is at it. 3 pods."), ("Replacing", "Profile web is at it.")),
        (("Throttled", "AWS asks to slow down. Now."), ("Throttled", "AWS asks to slow down.")),
    ],
)
def test_a_note_goes_with_what_it_was_about(old: tuple[str, str], new: tuple[str, str]) -> None:
    shown = listed(Report(Phase.RECONCILING, *new), listed(Report(Phase.RECONCILING, *old)))
    assert {(each["reason"], each["message"]) for each in shown} == {new}


# The phase, as metrics and commands read it


@pytest.mark.parametrize(
    ("holding", "phase"),
    [
        (["Ready"], Phase.READY),
        (["Ready", "Reconciling"], Phase.RECONCILING),
        (["Reconciling", "Stalled"], Phase.STALLED),
        (["Synced"], Phase.IDLE),
    ],
)
def test_the_phase_is_that_of_the_condition_that_matters_most(holding: list[str], phase: Phase) -> None:
    status = {
        "conditions": [{"type": each, "status": "True", "lastTransitionTime": timestamp(NOW)} for each in holding]
    }
    assert phase_of(an_object(status))[0] is phase


@pytest.mark.parametrize("report", [READY, WAITING, STALLED])
def test_the_phase_that_is_reported_is_the_phase_that_is_read_and_since_when(report: Report) -> None:
    assert phase_of(an_object({"conditions": listed(report)})) == (report.phase, NOW)


def test_an_object_that_nobody_has_looked_at_is_on_its_way_since_it_was_made() -> None:
    pending = {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "Pending"}]}
    for status in ({}, None, "broken", {"conditions": None}, pending):
        assert phase_of(an_object(status)) == (Phase.RECONCILING, WEB.created_at)


@pytest.mark.parametrize(
    ("written", "since"),
    [("2026-11-22T09:00:00+01:00", NOW), ("2026-11-22T08:00:00", NOW), ("soon", WEB.created_at)],
)
def test_a_time_that_others_wrote_is_read_as_far_as_it_is_one(written: str, since: datetime) -> None:
    status = {"conditions": [{"type": "Stalled", "status": "True", "lastTransitionTime": written}]}
    assert phase_of(an_object(status)) == (Phase.STALLED, since)


def an_object(status: object) -> Object:
    meta = {"name": "web", "namespace": "default", "generation": 1, "creationTimestamp": timestamp(WEB.created_at)}
    return {"metadata": meta, "status": status}


# Events


def told(report: Report, *before: Report) -> tuple[str, str] | None:
    """Return the event of a report after those before."""
    old: list[Object] = []
    for each in before:
        old = listed(each, old)
    return event_of(report, old, listed(report, old))


def on_the_way(reason: str) -> Report:
    return Report(Phase.RECONCILING, reason, "At it.")


@pytest.mark.parametrize(
    ("before", "event"),
    [
        ([], "Active"),
        ([on_the_way("Creating")], "Created"),
        ([on_the_way("Replacing")], "Replaced"),
        ([STALLED], "Active"),
        ([IDLE], "Active"),
    ],
)
def test_that_an_object_has_become_ready_is_told_by_what_was_under_way(before: list[Report], event: str) -> None:
    assert told(READY, *before) == (event, READY.message)


@pytest.mark.parametrize("report", [READY, STALLED, IDLE])
def test_what_has_been_told_is_not_told_again(report: Report) -> None:
    assert told(report)
    assert told(report, report) is None


def test_what_is_on_its_way_has_no_event() -> None:
    assert told(on_the_way("Creating"), READY) is None


@pytest.mark.parametrize(
    "report", [replace(STALLED, message="There is no such role either."), replace(STALLED, reason="RoleNotTrusted")]
)
def test_an_object_that_stalls_for_another_reason_is_told_anew(report: Report) -> None:
    assert told(report, STALLED) == ("Refused", f"{report.reason}: {report.message}")


def test_a_note_starts_with_the_reason_once() -> None:
    several = replace(STALLED, message="RoleNotFound: no role. SubnetPublic: a subnet routes.")
    assert told(several) == ("Refused", several.message)


@pytest.mark.parametrize(("reason", "event"), [("CreateFailed", "CreateFailed"), ("Suspended", "Suspended")])
def test_some_reasons_have_an_event_of_their_own(reason: str, event: str) -> None:
    (phase,) = REASONS[reason].phases
    said = told(Report(phase, reason, "no"))
    assert said
    assert said[0] == event


# The status


def test_a_status_has_no_field_that_says_nothing() -> None:
    assert render_status(WEB, Memory(), {}, []) == {"observedGeneration": 1, "clusterName": "demo"}


@given(memories)
def test_what_is_written_into_status_is_remembered_as_it_was(memory: Memory) -> None:
    status = json.loads(json.dumps(render_status(WEB, memory, {}, [])))
    assert Memory.parse(an_object(status)) == memory


def test_a_profile_is_shown_in_eks_s_own_words() -> None:
    issue = HealthIssue("AccessDenied", "No access entry.", ("web",))
    assert shown_of(profile(status="CREATE_FAILED", health=(issue,))) == {
        "profileStatus": "CREATE_FAILED",
        "createdAt": "2026-11-22T07:00:00Z",
        "subnets": ["subnet-1"],
        "health": [{"code": "AccessDenied", "message": "No access entry.", "resourceIds": ["web"]}],
    }
    assert shown_of(None) == {}


# What a pass reports beside the plan's own words


def test_a_profile_that_is_asked_for_is_said_to_be_made_or_to_replace_the_one_that_serves() -> None:
    assert asked_for(case(), "web").reason == "Creating"
    replacing = asked_for(case(OLD, resource=REPLACE), "web-0123abcd")
    assert replacing.reason == "Replacing"
    assert "web-0123abcd in the place of web" in replacing.message


@pytest.mark.parametrize("status", ["ACTIVE", "CREATING", "CREATE_FAILED"])
def test_a_profile_that_has_gone_without_our_doing_is_told(status: str) -> None:
    assert "without the operator's doing" in lost_before(case(), {"profileStatus": status})
    assert lost_before(case(profile()), {"profileStatus": status}) == ""


@pytest.mark.parametrize("status", [{}, {"profileStatus": "DELETING"}])
def test_a_profile_that_was_never_there_or_went_by_our_doing_is_not_told(status: Object) -> None:
    assert lost_before(case(), status) == ""


def test_who_waits_for_its_turn_is_told_what_is_in_flight_or_who_comes_first() -> None:
    db = InFlight("db", "CREATING", NOW)
    report = wait_behind(case(), [db], ("shop", "web"), "x")
    assert f"profile db is CREATING, seen since {timestamp(NOW)}" in report.message
    assert "shop/web comes first" in wait_behind(case(), [], ("shop", "web"), "profile api is made").message


def test_who_waits_for_what_cannot_be_seen_is_told_until_when() -> None:
    report = wait_while_busy(NOW)
    assert (report.reason, report.until) == ("WaitingForTurn", NOW)
    assert "2026-11-22T08:00:00Z" in report.message


# Errors of AWS


def meant(error: AwsError, tried: datetime | None = None) -> tuple[Phase, bool, timedelta | None]:
    """Return the phase, whether the queue's backoff decides, and in what time it is looked at again."""
    report = report_of(error, tried, NOW, held=30)
    assert (report.reason, report.message) == (error.reason, str(error))
    return report.phase, report.retry, report.until - NOW if report.until else None


def test_what_passes_by_itself_is_tried_again_by_the_backoff() -> None:
    assert meant(Retryable("Throttled", "slow down")) == (Phase.RECONCILING, True, None)


def test_what_somebody_must_mend_stalls() -> None:
    assert meant(Refused("AccessDenied", "no")) == (Phase.STALLED, False, None)


def test_a_busy_cluster_is_asked_again_when_it_was_held_long_enough() -> None:
    assert meant(Busy("ClusterUpdating", "an update")) == (Phase.RECONCILING, False, timedelta(seconds=30))


def test_who_waits_for_a_turn_waits_for_what_is_seen_in_flight_and_for_no_time() -> None:
    assert meant(Busy("WaitingForTurn", "db is CREATING")) == (Phase.RECONCILING, False, None)


def test_a_new_role_is_given_time_to_spread_and_then_refused() -> None:
    untrusted, moment = Refused("RoleNotTrusted", "no trust"), timedelta(seconds=1)
    assert meant(untrusted) == (Phase.STALLED, False, None)
    assert meant(untrusted, NOW - TRUST_PROPAGATION + moment) == (Phase.RECONCILING, False, timedelta(seconds=15))
    assert meant(untrusted, NOW - TRUST_PROPAGATION) == (Phase.STALLED, False, None)


def test_no_other_refusal_is_given_time() -> None:
    assert meant(Refused("QuotaExceeded", "full"), NOW) == (Phase.STALLED, False, None)


# What is settled


SETTLED: Object = {
    "metadata": {
        "namespace": "default", "name": "web", "generation": 3, "creationTimestamp": "2026-11-22T08:00:00Z",
        "finalizers": [FINALIZER, "others/finalizer"], "annotations": {REQUESTED_AT: "noon"},
    },
    "spec": {},
    "status": {
        "observedGeneration": 3, "lastHandledReconcileAt": "noon", "clusterArn": HOME.cluster_arn,
        "profileName": "web", "profileArn": "arn-1", "bookkeeping": {"appliedTagKeys": ["team"]},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Active", "observedGeneration": 3}],
    },
}  # fmt: skip


def holding(kind: str, status: str = "True", generation: int = 3) -> Object:
    return {"type": kind, "status": status, "reason": "Throttled", "observedGeneration": generation}


def ready_and(*more: Object) -> Object:
    return {"conditions": [*SETTLED["status"]["conditions"], *more]}


@pytest.mark.parametrize(
    ("what", "meta", "status", "is_settled"),
    [
        ("nothing is amiss", {}, {}, True),
        ("it shares pods with another", {}, ready_and(holding("Overlapping")), False),
        ("others have conditions of their own", {}, ready_and(holding("Audited", "False")), True),
        ("it was stalled once", {}, ready_and(holding("Stalled", "False")), True),
        ("nobody has asked for a look", {"annotations": {}}, {}, True),
        ("it has no status", {}, {"conditions": None, "observedGeneration": None}, False),
        ("no operator has looked", {}, {"conditions": [{"type": "Ready", "status": "Unknown"}]}, False),
        ("it is not Ready", {}, {"conditions": [holding("Ready", "False")]}, False),
        ("its generation is another", {"generation": 4}, {}, False),
        ("Ready is of another generation", {}, {"conditions": [holding("Ready", generation=2)]}, False),
        ("status is of another generation", {}, {"observedGeneration": 2}, False),
        ("it is Reconciling", {}, ready_and(holding("Reconciling")), False),
        ("it is Stalled", {}, ready_and(holding("Stalled")), False),
        ("a create is open", {}, {"bookkeeping": {"createStartedAt": "2026-11-22T08:00:00Z"}}, False),
        ("a create was tried", {}, {"bookkeeping": {"firstTriedAt": "2026-11-22T08:00:00Z"}}, False),
        ("a profile has failed", {}, {"bookkeeping": {"failures": 1}}, False),
        ("what is remembered can't be read", {}, {"bookkeeping": {"failures": "many"}}, False),
        ("it is deleted", {"deletionTimestamp": "2026-11-22T08:00:00Z"}, {}, False),
        ("our finalizer is off", {"finalizers": ["others/finalizer"]}, {}, False),
        ("kopf's finalizer is on", {"finalizers": [FINALIZER, "KopfFinalizerMarker"]}, {}, False),
        ("a look is asked for", {"annotations": {REQUESTED_AT: "evening"}}, {}, False),
        ("nobody knows where its profile is", {}, {"clusterArn": ""}, False),
        ("its profile is elsewhere", {}, {"clusterArn": HOME.cluster_arn.replace("us-", "eu-")}, False),
    ],
)  # fmt: skip
def test_settled_is_what_only_others_can_give_something_to_do(
    what: str, meta: Object, status: Object, is_settled: bool
) -> None:
    obj = {"metadata": SETTLED["metadata"] | meta, "spec": {}, "status": SETTLED["status"] | status}
    told = settled(obj, "demo", lambda who: replace(HOME, cluster=who.cluster).cluster_arn)
    assert bool(told) == is_settled, what


def test_an_object_is_settled_in_the_cluster_that_it_names_itself() -> None:
    def arn(who: Identity) -> str:
        return replace(HOME, cluster=who.cluster).cluster_arn

    there = SETTLED | {"spec": {"clusterName": "other"}}
    assert settled(there, "demo", arn) is None
    there = there | {"status": SETTLED["status"] | {"clusterArn": replace(HOME, cluster="other").cluster_arn}}
    told = settled(there, "demo", arn), settled(there, "demo")
    assert [each and each.cluster for each in told] == ["other", "other"], "also as far as status says"
    assert settled(there, "demo", lambda _who: "") is None, "an account that is not known is no home"
