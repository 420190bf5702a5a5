"""What is said where nothing is changed, of a profile alone: what is wrong, and what mends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from actions import Phase, deletion_suspended, give_up, kept, lost_answer, resting, retain_not_allowed, wait_to_see
from answers import AwsError, Refused, Retryable
from aws import HealthIssue
from spec import RETAINED_KEY
from tests.unit.test_plan import NOW, profile, who

THERE = profile()


@pytest.mark.parametrize(("status", "reason"), [("CREATE_FAILED", "CreateFailed"), ("DELETE_FAILED", "DeleteFailed")])
def test_a_failure_is_told_in_eks_s_words_with_the_time_of_the_next_try(status: str, reason: str) -> None:
    issue = HealthIssue("InternalFailure", "It broke.", ())
    told = resting(replace(THERE, status=status, health=(issue,)), NOW + timedelta(minutes=1))
    assert (told.phase, told.reason, told.until) == (Phase.STALLED, reason, NOW + timedelta(minutes=1))
    assert "InternalFailure: It broke." in told.message
    assert "EKS gives no reason." in resting(replace(THERE, status=status), NOW).message


@pytest.mark.parametrize(
    ("error", "phase", "retry"),
    [(Refused("AccessDenied", "no"), Phase.STALLED, False), (Retryable("Throttled", "slow"), Phase.RECONCILING, True)],
)
def test_a_profile_that_eks_does_not_show_is_waited_for_unless_somebody_must_act(
    error: AwsError, phase: Phase, retry: bool
) -> None:
    told = wait_to_see("web", error)
    assert (told.phase, told.retry, told.reason, told.about) == (phase, retry, error.reason, "web")


def test_a_suspended_deletion_offers_to_keep_the_profile_only_to_whom_that_is_allowed() -> None:
    assert "deletionPolicy: Retain" in deletion_suspended(THERE, may_retain=True).message
    assert "Retain" not in deletion_suspended(THERE, may_retain=False).message


def test_who_may_not_leave_a_profile_is_told_the_field_and_the_flag() -> None:
    told = retain_not_allowed(who(namespace="shop"), THERE)
    assert "spec.deletionPolicy: Delete" in told.message
    assert "--allow-retain-in=shop" in told.message


def test_a_profile_that_is_kept_without_its_mark_says_so() -> None:
    assert RETAINED_KEY not in kept(replace(THERE, tags={RETAINED_KEY: "default/web"})).message
    assert "nothing counts it" in kept(THERE).message
    assert "AccessDenied" in give_up(THERE, "AccessDenied").why
    assert "50 tags already" in give_up(THERE).why


def test_an_answer_that_may_be_lost_is_waited_for_until_a_time() -> None:
    told = lost_answer(NOW)
    assert (told.phase, told.until) == (Phase.RECONCILING, NOW)
