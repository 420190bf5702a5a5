"""What status remembers of what was seen, and of a create before it is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings

from actions import CreateProfile
from aws import HealthIssue
from case import Case
from memory import marked, must_see_for_tags, must_see_for_the_mark, remember
from spec import Memory, Resource
from status import TRUST_PROPAGATION
from tests.unit.test_plan import (
    DENIED,
    ELSEWHERE,
    HOME,
    KNOWN,
    NOW,
    OLD,
    OURS,
    REPLACE,
    SPEC,
    case,
    cases,
    profile,
)

LATER = NOW + timedelta(minutes=1)


# What is remembered of what was seen


def test_a_failure_is_counted_once_and_anew_when_it_happens_anew() -> None:
    failed = profile(status="DELETE_FAILED", health=(HealthIssue("InternalFailure", "x"),))
    once = remember(case(failed))
    assert once.failures == 1
    assert remember(case(failed, memory=once)).failures == 1
    on_its_way = remember(case(profile(status="DELETING"), memory=once))
    assert remember(case(failed, memory=on_its_way)).failures == 2


def test_what_another_cluster_is_remembered_for_is_never_forgotten_here() -> None:
    assert remember(case(memory=ELSEWHERE)) == ELSEWHERE


def test_a_create_that_may_come_true_is_remembered_though_the_old_profile_serves() -> None:
    """A replacement whose answer was lost must not outlive its object because the old profile was seen."""
    asked = KNOWN.but(create_started_at=NOW, create_name="web-0123abcd")
    assert remember(case(OLD, resource=REPLACE, memory=asked)).create_started_at == NOW
    new = profile("web-0123abcd", created_at=NOW)
    assert remember(case(OLD, new, resource=REPLACE, memory=asked)).create_started_at == NOW, "not looked at now"
    looked = frozenset({new.name})
    assert remember(case(OLD, new, resource=REPLACE, memory=asked, looked=looked)).create_started_at is None
    before = asked.but(create_before_arn=new.arn)
    assert remember(case(OLD, new, resource=REPLACE, memory=before, looked=looked)).create_started_at == NOW


@settings(max_examples=500, deadline=None)
@given(cases)
def test_what_is_remembered_twice_of_the_same_sight_is_remembered_once(c: Case) -> None:
    once = remember(c)
    assert remember(replace(c, memory=once)) == once


def test_nothing_is_forgotten_of_what_cannot_be_seen() -> None:
    assert remember(case(view=DENIED, memory=KNOWN)) == KNOWN


def test_without_a_profile_nothing_is_remembered_of_one() -> None:
    known = KNOWN.but(cluster_arn=HOME.cluster_arn, failed_arn="arn", failures=2)
    assert remember(case(memory=known)) == Memory(observed_generation=1, failures=2)


def test_the_cluster_of_a_create_whose_answer_is_open_is_remembered_without_a_profile() -> None:
    asked = Memory(observed_generation=1, create_started_at=NOW, create_name="web", cluster_arn=HOME.cluster_arn)
    assert remember(case(memory=asked)) == asked


def test_a_profile_that_serves_is_remembered_by_name_arn_and_cluster() -> None:
    found = remember(case(profile(tags=OURS | {"team": "a", "cost": "1"}), resource=Resource(SPEC, {"team": "a"})))
    assert (found.profile_name, found.profile_arn) == ("web", profile().arn)
    assert found.cluster_arn == HOME.cluster_arn
    assert found.applied_tag_keys == ("team",), "of its tags, those of the spec"


def test_what_shows_a_profile_without_owner_tags_to_be_ours_is_kept_until_it_has_them_back() -> None:
    serving, stripped = profile("web-0123abcd"), replace(OLD, tags={})
    assert remember(case(stripped, serving, resource=REPLACE, memory=KNOWN)).profile_arn == KNOWN.profile_arn


def test_a_profile_that_serves_as_wanted_ends_the_count_of_failures() -> None:
    counted = KNOWN.but(failures=3, failed_at=NOW, failed_arn="arn", first_tried_at=NOW)
    after = remember(case(profile(), memory=counted))
    assert (after.failures, after.failed_at, after.failed_arn, after.first_tried_at) == (0, None, "", None)


# What is remembered of a create, before it is sent


def mark(c: Case, name: str = "web") -> Memory:
    return marked(c, CreateProfile(name, SPEC), c.memory)


def test_a_create_is_marked_with_its_time_its_name_and_its_cluster() -> None:
    after = mark(case())
    assert (after.create_started_at, after.create_name) == (NOW, "web")
    assert (after.cluster_arn, after.first_tried_at) == (HOME.cluster_arn, NOW)


def test_the_time_of_the_first_try_stays() -> None:
    assert mark(case(memory=Memory(first_tried_at=NOW - TRUST_PROPAGATION))).first_tried_at == NOW - TRUST_PROPAGATION


def test_the_tags_of_a_create_are_remembered_beside_those_of_the_create_before() -> None:
    before = Memory(applied_tag_keys=("old",))
    assert mark(case(resource=Resource(SPEC, {"team": "a"}), memory=before)).applied_tag_keys == ("old", "team")


@pytest.mark.parametrize(
    ("memory", "before"),
    [
        (Memory(), ""),
        (Memory(profile_name="web", profile_arn="arn-1"), "arn-1"),
        (Memory(create_name="web", create_before_arn="arn-1"), "arn-1"),
        (Memory(profile_name="db", profile_arn="arn-1", create_name="db", create_before_arn="arn-2"), ""),
    ],
)
def test_a_mark_knows_the_profile_that_had_its_name_before(memory: Memory, before: str) -> None:
    assert mark(case(memory=memory)).create_before_arn == before


def test_the_profile_that_would_answer_a_mark_is_looked_at_first() -> None:
    asked = KNOWN.but(create_started_at=NOW, create_name="web")
    assert must_see_for_the_mark(case(profile(), memory=asked)) == ("web",)
    for unanswered in (KNOWN, asked.but(create_before_arn=profile().arn), asked.but(create_name="web-0123abcd")):
        assert must_see_for_the_mark(case(profile(), memory=unanswered)) == ()
    assert must_see_for_the_mark(case(profile(status="CREATING"), memory=asked)) == (), "that would cost a write"


def test_a_profile_is_looked_at_before_the_keys_of_tags_that_it_lacks_are_forgotten() -> None:
    known = KNOWN.but(applied_tag_keys=("team",))
    assert must_see_for_tags(case(profile(), memory=known)) == ("web",)
    assert must_see_for_tags(case(profile(tags=OURS | {"team": "a"}), memory=known)) == ()
    assert must_see_for_tags(case(memory=known)) == (), "without a profile none are forgotten"
