"""Defaults and terms over a whole controller, where a profile is taken over, put back, refused or kept: what it stands
on is what was decided by the pass that decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from aws import Term
from spec import FINALIZER, REQUESTED_AT
from tests.fakes.aws import error
from tests.harness import Bench, bench
from tests.unit.test_lifecycle import KOPF, kopf_profile, upgrade
from tests.unit.test_terms import (
    TERMS,
    another_role,
    asked,
    by_terms,
    role,
    selectors_alone,
    settled,
    tag,
    untag,
    with_defaults,
)

BY_TAG = (Term(tags=(("fargate", "yes"),)),)
SLOW = error("RequestLimitExceeded", 503, "slow down")
FULL = error("ResourceLimitExceededException", 400, "no room")


@pytest.fixture
def b() -> Iterator[Bench]:
    with bench() as made:
        yield made


def subnets(b: Bench) -> list[list[str]]:
    return [each["subnets"] for each in b.profiles().values()]


def of_kopf(b: Bench, **spec: Any) -> None:
    """Apply an object of kopf's operator that gives no subnets, and the profile that was made for it."""
    upgrade(b)
    manifest = b.manifest(**spec)
    manifest["metadata"]["finalizers"] = [KOPF]
    del manifest["spec"]["subnets"]
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    b.api.apply(manifest)
    b.clock.elapsed += 60
    kopf_profile(b)


# Taken over


@pytest.mark.parametrize("how", ["throttled", "the default matches others", "deleted"])
def test_what_kopf_made_is_handed_over_whatever_the_default_subnets_are_now(b: Bench, how: str) -> None:
    of_kopf(b)
    with_defaults(b, "", BY_TAG)
    if how == "throttled":
        b.manners.fail("DescribeSubnets", SLOW, times=1)
    else:
        tag(b, b.world.private_subnets[0])
    if how == "deleted":
        b.delete()
        b.run(300)
        assert (b.profiles(), b.gone()) == ({}, True)
        return
    b.run(60)
    assert (b.ready(), b.get()["metadata"]["finalizers"]) == (True, [FINALIZER])


@pytest.mark.parametrize("goes", [False, True])
def test_kopf_s_finalizer_stays_until_it_is_known_what_the_object_s_own_terms_match(b: Bench, goes: bool) -> None:
    of_kopf(b, subnetSelectorTerms=TERMS)
    if goes:
        b.delete()
    b.run(300)
    assert (b.reason(), b.stalled()) == ("NoSubnetMatches", True)
    assert "may be the one that kopf made" in b.message()
    assert b.get()["metadata"]["finalizers"] == [KOPF]
    tag(b, *b.world.private_subnets)
    b.run(900)
    assert b.gone() if goes else b.ready()
    assert list(b.profiles()) == ([] if goes else ["web"])


@pytest.mark.parametrize("fits", [True, False])
def test_an_adopted_profile_stands_on_the_defaults_by_which_it_could_have_been_made(b: Bench, fits: bool) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    b.settings = replace(b.settings, adoption_in=frozenset({"*"}))
    b.start()
    with_defaults(b, b.world.roles["good"], BY_TAG)
    has = [one] if fits else [one, two]
    b.world.add_profile("demo", "web", b.world.roles["good"], [{"namespace": "web"}], subnets=has)
    selectors_alone(b, adoptionPolicy="Adopt", updatePolicy="Replace")
    assert b.ready()
    untag(b, one)
    tag(b, two)
    b.run(2000)
    assert subnets(b) == [[two] if fits else has]
    assert fits or "default subnetSelectorTerms" in b.condition("DefaultsChanged")["message"]


# An edit, or a look that is asked for


@pytest.mark.parametrize("how", ["throttled", "not to be seen", "not to be seen, asked for"])
def test_an_edit_takes_up_the_defaults_though_its_first_look_has_failed(b: Bench, how: str) -> None:
    with_defaults(b, b.world.roles["good"])
    selectors_alone(b, updatePolicy="Replace")
    other = another_role(b)
    with_defaults(b, other)
    fault = SLOW if how == "throttled" else error("AccessDeniedException", 403, "no")
    b.manners.fail("DescribeFargateProfile", fault, times=1 if how == "throttled" else 3)
    if "asked" in how:
        b.run(60)
        annotated = {"metadata": {"annotations": {REQUESTED_AT: "now"}}}
        b.api.edit("fargateprofiles", "default", "web", annotated)
    else:
        b.edit(tags={"x": "y"})
    b.run(1500)
    assert (role(b), b.ready()) == ([other], True)
    assert "decidedGeneration" not in b.get()["status"]["bookkeeping"]


def test_where_status_is_lost_a_request_of_long_ago_replaces_nothing(b: Bench) -> None:
    good, other = b.world.roles["good"], another_role(b)
    with_defaults(b, good)
    selectors_alone(b, updatePolicy="Replace")
    b.api.edit("fargateprofiles", "default", "web", {"metadata": {"annotations": {REQUESTED_AT: "long ago"}}})
    b.run(60)
    lost = {**b.get(), "status": {}}
    path = "/apis/jicomusic.com/v1/namespaces/default/fargateprofiles/web/status"
    assert b.api.request("PUT", path, {}, lost, "application/json").status == 200
    b.start()
    with_defaults(b, other)
    b.manners.fail("ListFargateProfiles", SLOW, times=1)
    b.run(900)
    assert (role(b), b.ready()) == ([good], True)


def test_a_create_that_is_refused_leaves_the_profile_that_serves_on_its_old_defaults(b: Bench) -> None:
    one, two = b.world.private_subnets
    good, other = b.world.roles["good"], another_role(b)
    tag(b, one)
    with_defaults(b, good)
    selectors_alone(b, updatePolicy="Replace", subnetSelectorTerms=TERMS)
    with_defaults(b, other)
    b.manners.fail("CreateFargateProfile", FULL, times=1000)
    untag(b, one)
    tag(b, two)
    b.run_until("refused", lambda: b.reason() == "QuotaExceeded", 1000)
    untag(b, two)
    tag(b, one)
    b.run(1500)
    assert (b.ready(), role(b)) == (True, [good])
    assert other in b.condition("DefaultsChanged")["message"]


# Of two profiles


@pytest.mark.parametrize("back", [True, False])
def test_a_default_that_is_put_back_in_the_middle_of_a_replacement_keeps_the_old_profile(b: Bench, back: bool) -> None:
    good, other = b.world.roles["good"], another_role(b)
    with_defaults(b, good)
    selectors_alone(b, updatePolicy="Replace")
    with_defaults(b, other)
    b.edit(tags={"x": "y"})
    b.run_until("both are there", lambda: len(b.profiles()) == 2, 100)
    with_defaults(b, good if back else "third")
    b.run(10)
    assert b.message().startswith("The spec or a default was put back" if back else "Profile web is being replaced by")
    b.run(700)
    assert (role(b), b.ready()) == ([good if back else other], True)
    assert ("RolledBack" in b.events()) is back
    with_defaults(b, other)  # which is news again, and no edit
    b.run(700)
    assert role(b) == [good if back else other]


def in_the_middle_of_a_replacement_by_tags(b: Bench) -> list[str]:
    """Let both profiles be there, as the tag has moved from the first subnet to the second; return these."""
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Replace", deletionPolicy="Retain")
    untag(b, one)
    tag(b, two)
    b.run_until("both are there", lambda: len(b.profiles()) == 2, 1000)
    return [one, two]


def test_retain_in_the_middle_of_a_replacement_by_tags_keeps_the_new_profile(b: Bench) -> None:
    _, two = in_the_middle_of_a_replacement_by_tags(b)
    b.delete()
    b.run(600)
    assert (subnets(b), b.gone()) == ([[two]], True)


@pytest.mark.parametrize("back", [True, False])
def test_retain_deletes_neither_of_two_profiles_for_what_one_look_at_tags_has_shown(b: Bench, back: bool) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Replace", deletionPolicy="Retain")
    b.edit(selectors=[{"namespace": "other"}])
    b.run_until("both are there", lambda: len(b.profiles()) == 2, 100)
    made = next(name for name in b.profiles() if name != "web")
    untag(b, one)
    tag(b, two)
    b.delete()
    b.run_until("it is seen once", lambda: b.reason() == "SubnetsChanged", 200)
    assert f"{one} of profile {made} any more" in b.message()
    assert not b.ready()
    assert len(b.profiles()) == 2
    if back:
        untag(b, two)
        tag(b, one)
    b.run(600)
    assert (b.gone(), len(b.profiles())) == (True, 1)
    assert not back or [*b.profiles()] == [made]


def test_retain_keeps_the_profile_that_two_looks_at_tags_have_shown_to_be_right(b: Bench) -> None:
    one, two = in_the_middle_of_a_replacement_by_tags(b)
    untag(b, two)
    tag(b, one)
    b.delete()
    b.run_until("it is seen once", lambda: b.reason() == "SubnetsChanged", 200)
    untag(b, one)
    tag(b, two)
    b.run(600)
    assert (subnets(b), b.gone()) == ([[two]], True)


@pytest.mark.parametrize("which", [0, 1])
def test_retain_need_not_wait_for_tags_that_can_not_be_read_if_the_object_says_which_subnets(
    b: Bench, which: int
) -> None:
    one, two = in_the_middle_of_a_replacement_by_tags(b)
    b.manners.fail("DescribeSubnets", error("InternalError", 500, "no answer"), times=10**6)
    b.delete()
    b.run(300)
    assert len(b.profiles()) == 2
    assert "no answer. It is tried again by itself; or set spec.subnets, in the place of terms, to" in b.message()
    kept = [one, two][which]
    b.edit(subnetSelectorTerms=None, subnets=[kept])
    b.run(600)
    assert (subnets(b), b.gone()) == ([[kept]], True)


def test_tags_that_all_go_in_the_middle_of_a_replacement_stall_it_with_what_mends_it(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    by_terms(b, updatePolicy="Replace")
    b.run(90)
    untag(b, one)
    tag(b, two)
    b.run_until("both are there", lambda: len(b.profiles()) == 2, 1000)
    untag(b, two)
    b.run(600)
    assert (b.reason(), b.stalled()) == ("NoSubnetMatches", True)
    assert "put the tags back on the subnets that the profile shall have" in b.message()
    before = asked(b)
    b.run(6000)
    assert asked(b) - before < 20
    assert len(b.profiles()) == 2
    tag(b, two)
    b.run(900)
    assert (b.ready(), subnets(b)) == (True, [[two]])
