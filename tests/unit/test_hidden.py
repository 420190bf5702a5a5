"""What can't be seen: profiles that EKS lists and does not show, looks that throttling cuts off, facts that change."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.fakes.aws import DROP, Fault, error
from tests.harness import Bench

DENIED = error("AccessDeniedException", 403, "not authorized to perform: eks:DescribeFargateProfile")
BROKEN = error("InternalFailure", 500, "it broke")
THROTTLED = error("ThrottlingException", 429, "Rate exceeded")
FOR_EVER = 10**6


def foreign(b: Bench, name: str, **tags: str) -> None:
    b.world.add_profile("demo", name, b.world.roles["good"], [{"namespace": "foreign"}], tags=tags)


def hide(b: Bench, profile: str, fault: Fault = DENIED) -> None:
    b.manners.fail("DescribeFargateProfile", fault, times=FOR_EVER, profile=profile)


# A profile that EKS lists and does not show


@pytest.mark.parametrize("fault", [DENIED, BROKEN])
def test_a_profile_of_others_that_cannot_be_seen_holds_up_nobody(b: Bench, fault: Fault) -> None:
    foreign(b, "secret")
    hide(b, "secret", fault)
    b.settle()
    b.delete()
    b.run(120)
    assert b.gone()
    assert set(b.profiles()) == {"secret"}


@pytest.mark.parametrize(("fault", "reason"), [(DENIED, "AccessDenied"), (BROKEN, "AwsUnavailable")])
def test_an_object_whose_name_an_unseen_profile_has_waits_and_says_for_what(
    b: Bench, fault: Fault, reason: str
) -> None:
    foreign(b, "web")
    hide(b, "web", fault)
    b.apply()
    b.run(30)
    assert b.reason() == reason
    assert b.message().startswith("Profile web may be this object's, and EKS does not show it: Describe")
    assert b.stalled() == (reason == "AccessDenied")
    b.manners.heal()
    b.run(700)
    assert b.reason() == "NameTaken", "then it is seen whose it is"


@pytest.mark.parametrize("fault", [DENIED, BROKEN])
def test_an_object_never_goes_while_what_may_be_its_profile_is_not_to_be_seen(b: Bench, fault: Fault) -> None:
    b.settle()
    hide(b, "web", fault)
    b.delete()
    b.run(1500)
    assert not b.gone()
    assert b.get()["status"]["profileArn"] == b.profiles()["web"]["fargateProfileArn"], "nothing is forgotten"
    b.manners.heal()
    b.run(700)
    assert b.gone()
    assert b.profiles() == {}


def test_a_profile_that_serves_stays_ready_beside_an_unseen_one_that_could_be_its_own(b: Bench) -> None:
    b.settle()
    foreign(b, "web-0123abcd")
    hide(b, "web-0123abcd")
    b.run(1300)
    assert b.ready()
    assert b.events("Warning") == []


def test_who_waits_for_the_name_of_an_unseen_profile_is_woken_when_that_goes(b: Bench) -> None:
    foreign(b, "web")
    hide(b, "web")
    b.apply()
    b.run(100)
    b.world.delete_profile("demo", "web")
    b.manners.heal()
    b.run(700)
    assert b.ready()


def test_an_unseen_profile_keeps_its_last_verdict_as_an_orphan(b: Bench, caplog: pytest.LogCaptureFixture) -> None:
    b.settle()
    uid = b.api.get("namespaces", "", "kube-system")["metadata"]["uid"]  # type: ignore[index]
    foreign(b, "left", **{
        "fargateprofiles.jicomusic.com/owner": "default/nobody", "fargateprofiles.jicomusic.com/controller": uid,
    })  # fmt: skip
    b.run(700)
    hide(b, "left")
    b.run(1300)
    assert b.reconciler.tally()["demo"].orphans == 1
    assert caplog.text.count("orphan cluster=demo profile=left") == 1


def test_an_unseen_profile_has_no_turn_and_eks_is_asked_less_and_less_while_it_says_that_it_is_busy(b: Bench) -> None:
    foreign(b, "secret")
    hide(b, "secret")
    busy = error("ResourceInUseException", 409, "Cannot create Fargate Profile web because cluster demo currently has "
                 "Fargate profile secret in status CREATING")  # fmt: skip
    b.manners.fail("CreateFargateProfile", busy, times=FOR_EVER)
    b.apply()
    b.run(600)
    asked = [call.time for call in b.manners.calls if call.operation == "CreateFargateProfile"]
    waits = [round(later - earlier) for earlier, later in pairwise(asked)]
    assert waits[:3] == [15, 30, 60]
    assert set(waits[3:]) == {60}
    assert b.reason() == "WaitingForTurn"
    b.manners.heal()
    b.run(130)
    assert b.ready()


# A look that is cut off


def test_a_look_at_many_profiles_goes_on_where_throttling_has_cut_it_off(b: Bench) -> None:
    for number in range(40):
        foreign(b, f"other-{number}")
    b.manners.max_profiles = 100
    throttle_after(b, 20, 5)
    b.apply()
    b.run(200)
    assert b.ready()
    assert b.manners.count("DescribeFargateProfile") < 100


def throttle_after(b: Bench, size: int, a_second: float) -> None:
    """Answer so many calls to EKS at once, then so many a second, the others with a refusal."""
    state = {"tokens": float(size), "at": b.clock.time()}
    admit = b.manners.admit

    def limited(call: Any) -> Fault | None:
        now = b.clock.time()
        state["tokens"] = min(size, state["tokens"] + (now - state["at"]) * a_second)
        state["at"] = now
        if call.service == "eks" and state["tokens"] < 1:
            b.manners.calls.append(call)
            return THROTTLED
        state["tokens"] -= call.service == "eks"
        return admit(call)

    b.manners.admit = limited  # type: ignore[method-assign]


def test_no_profile_is_made_on_a_look_that_is_not_whole(b: Bench) -> None:
    for number in range(5):
        foreign(b, f"other-{number}")
    b.manners.fail("DescribeFargateProfile", THROTTLED, times=FOR_EVER, profile="other-4")
    b.apply()
    b.run(300)
    assert b.manners.writes() == []
    assert b.reason() == "Throttled"
    assert b.manners.count("DescribeFargateProfile") - 5 < 20, "what was seen is not asked for again"


def test_a_way_to_aws_that_is_cut_is_not_taken_for_profiles_that_cannot_be_seen(b: Bench) -> None:
    foreign(b, "other")
    b.manners.fail("DescribeFargateProfile", DROP, times=3)
    b.apply()
    b.run(3)
    assert b.reason() == "AwsUnreachable"
    b.run(120)
    assert b.ready()


# Facts


def test_what_was_missing_a_moment_ago_is_looked_for_again_after_fifteen_seconds(b: Bench) -> None:
    b.apply(podExecutionRoleArn=f"arn:aws:iam::{b.world.account}:role/later")
    b.run(1)
    assert b.reason() == "RoleNotFound"
    before = b.manners.count("GetRole")
    b.run(15)
    assert b.manners.count("GetRole") == before + 1
