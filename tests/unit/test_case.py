"""What is seen of one object, where terms and defaults leave open which of its profiles is the right one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from actions import DeleteProfile, Phase, Report
from answers import Retryable
from memory import marked, remember
from plan import plan
from spec import Defaults, Memory, Resource, UpdatePolicy
from surroundings import Network
from tests.unit.test_plan import (
    ADOPTION,
    BARE,
    BY_TERMS,
    FITS,
    FROM_KOPF,
    GOOD,
    HOME,
    KOPF,
    MOVED,
    NO_ROLES,
    NOW,
    ROLE,
    UNTAGGED,
    case,
    profile,
    row_of,
    who,
)

REPLACED = profile(created_at=NOW - timedelta(days=1))
NEW = profile("web-0123abcd", subnets=frozenset({"subnet-2"}), created_at=NOW - timedelta(hours=1))
TERMS = Resource(BY_TERMS, {}, "Replace")


@pytest.mark.parametrize("network", [Network(None), Network({"subnet-1": replace(FITS, tags={})})])
def test_of_two_profiles_none_is_deleted_while_it_is_not_known_which_one_has_the_right_subnets(
    network: Network,
) -> None:
    answer = plan(case(REPLACED, NEW, resource=TERMS, network=network))
    assert isinstance(answer, Report)
    assert (answer.reason, answer.phase) == ("NoSubnetMatches", Phase.STALLED)
    assert "web, web-0123abcd" in answer.message
    failed = plan(case(REPLACED, NEW, resource=TERMS, network=Network(None, error=Retryable("Throttled", "slow down"))))
    assert isinstance(failed, Report)
    assert (failed.reason, failed.phase) == ("Replacing", Phase.RECONCILING)
    answer = plan(case(REPLACED, NEW, resource=TERMS, network=MOVED))
    assert isinstance(answer, DeleteProfile)
    assert answer.profile == REPLACED


def test_where_a_default_has_changed_once_more_the_last_profile_that_was_made_by_one_is_kept() -> None:
    new = profile("web-0123abcd", role=f"{ROLE}-2", created_at=NOW - timedelta(minutes=5))
    memory = Memory(observed_generation=1, profile_name="web", default_role=f"{ROLE}-2")
    found = case(REPLACED, new, resource=BARE, memory=memory, defaults=Defaults(f"{ROLE}-3"))
    assert found.serving == new


def test_of_two_active_profiles_the_one_that_is_as_the_defaults_of_now_say_is_kept() -> None:
    new = profile("web-0123abcd", role=f"{ROLE}-2", created_at=NOW - timedelta(minutes=5))
    memory = Memory(observed_generation=1, profile_name=new.name, default_role=f"{ROLE}-2")
    found = case(REPLACED, new, resource=BARE, memory=memory, defaults=Defaults(ROLE))
    assert found.serving == REPLACED


def test_a_profile_is_neither_adopted_nor_taken_over_by_terms_of_which_it_is_not_known_what_they_match() -> None:
    terms = replace(TERMS, adopt=True)
    theirs = profile(**UNTAGGED)
    adopting = case(theirs, resource=terms, settings=ADOPTION, network=Network(None))
    assert row_of(adopting) == "none owned, to adopt, not as wanted"
    fits = Network({"subnet-1": FITS}, "vpc-1")
    assert row_of(replace(adopting, network=fits)) == "none owned, to adopt"
    kopf = case(theirs, who=who(finalizers=KOPF), resource=TERMS, settings=FROM_KOPF, network=Network(None))
    assert not kopf.made_by_kopf
    assert replace(kopf, network=fits).made_by_kopf


def test_a_default_is_remembered_when_a_profile_is_made_and_when_an_edit_takes_it_up() -> None:
    defaults = Defaults(ROLE)
    bare = replace(BARE, update_policy="Replace")
    made = plan(case(resource=bare, defaults=defaults, facts=GOOD))
    assert marked(case(resource=bare, defaults=defaults), made, Memory()).default_role == ROLE  # type: ignore[arg-type]
    rows: list[tuple[bool, UpdatePolicy, bool]]
    rows = [(True, "Replace", True), (True, "Refuse", False), (False, "Replace", False)]
    for edited, policy, taken in rows:
        seen = case(
            profile(role=f"{ROLE}-2"),
            resource=Resource(bare.profile, {}, policy),
            defaults=defaults,
            memory=Memory(observed_generation=0 if edited else 1),
        )
        assert (remember(seen).default_role == ROLE) is taken
        assert seen.meets(profile(role=f"{ROLE}-2")) is not taken


def test_a_default_role_may_always_be_passed_and_another_one_as_the_flag_says() -> None:
    assert not case(resource=BARE, defaults=Defaults(ROLE), settings=NO_ROLES).forbidden
    named = replace(BARE, role_name="other")
    found = case(resource=named, defaults=Defaults(ROLE), settings=NO_ROLES).forbidden
    assert [each.reason for each in found] == ["RoleNotAllowed"]
    assert found[0].message.startswith(f"spec.podExecutionRoleName: arn:aws:iam::{HOME.account}:role/other")
