"""What an object and the defaults of its cluster make together: values in, values out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aws import ProfileSpec, Term
from spec import Defaults, Memory, Resource, differs
from surroundings import Network
from tests.unit.test_plan import HOME, ROLE, SPEC, profile
from wanted import changed, role_arn, standing, tags, unfounded, wanted

TERM = Term(tags=(("fargate", "yes"),))
BARE = Resource(replace(SPEC, role="", subnets=None), {})
DEFAULTS = Defaults("pods", (TERM,), {"team": "blue"})
MADE = Memory(default_role=ROLE, default_subnets=DEFAULTS.subnets)


def of(resource: Resource = BARE, defaults: Defaults = DEFAULTS, memory: Memory | None = MADE) -> ProfileSpec:
    return replace(wanted(resource, HOME, defaults, memory), among=frozenset({"subnet-2"}))


def test_what_an_object_says_is_what_is_wanted_whatever_the_defaults_are() -> None:
    says = Resource(SPEC, {"team": "red"})
    assert wanted(says, HOME, DEFAULTS, Memory()) == SPEC
    assert standing(says, HOME, DEFAULTS) == {"default_role": "", "default_subnets": ""}
    assert tags(says, DEFAULTS) == {"team": "red"}
    assert not [*unfounded(says, SPEC, Defaults())]


def test_a_role_by_its_name_is_the_one_of_the_cluster_s_account_and_partition() -> None:
    china = replace(HOME, partition="aws-cn", account="210987654321")
    named = replace(BARE, role_name="pods")
    assert wanted(named, HOME, Defaults(), Memory()).role == ROLE
    assert wanted(named, china, Defaults(), Memory()).role == "arn:aws-cn:iam::210987654321:role/pods"
    assert (role_arn(china, ROLE), role_arn(china, "")) == (ROLE, "")


@pytest.mark.parametrize(
    ("memory", "held"),
    [(MADE, True), (None, True), (Memory(), False), (MADE.but(default_role=f"{ROLE}-2", default_subnets="x"), False)],
)
def test_a_default_is_held_against_a_profile_only_as_far_as_the_profile_was_made_by_it(
    memory: Memory | None, held: bool
) -> None:
    other = profile(role=f"{ROLE}-2")
    assert bool(differs(of(memory=memory), other)) is held
    assert bool(changed(BARE, of(memory=memory), DEFAULTS, other)) is not held


def test_where_there_is_no_default_any_more_no_role_is_held_against_a_profile() -> None:
    gone = of(defaults=Defaults(), memory=MADE)
    assert not differs(gone, profile())
    told = changed(BARE, gone, Defaults(), profile())
    assert "no default role any more" in told
    assert "takes that up" not in told, "there is nothing to take up"
    assert [each.where for each in unfounded(BARE, gone, Defaults())] == ["spec.podExecutionRoleArn"]


def test_defaults_whose_tags_have_no_room_are_left_out_and_named() -> None:
    full = replace(BARE, tags={f"t{number}": "x" for number in range(48)})
    assert tags(full, DEFAULTS) == full.tags
    found = [*unfounded(full, of(full), DEFAULTS)]
    assert "(team)" in found[0].what
    assert "more than 48" in changed(full, of(full), DEFAULTS, profile(subnets=frozenset({"subnet-2"})))
    assert not [*unfounded(full, of(full), replace(DEFAULTS, tags={"t1": "y"}))], "the object's own wins"


def test_terms_that_match_nothing_or_are_not_known_to_match_hold_nothing_against_a_profile() -> None:
    for among in (None, frozenset[str]()):
        assert not differs(replace(of(), among=among), profile())
    assert Network(None).among([TERM]) is None
    assert differs(of(), profile()).keys() == {"subnetSelectorTerms"}
    assert differs(of(), profile(subnets=frozenset())).keys() == {"subnetSelectorTerms"}
    assert not differs(replace(of(), among=frozenset({"subnet-1", "subnet-2"})), profile())
