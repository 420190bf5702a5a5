"""What an object and the defaults of its cluster make together: values in, values out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aws import ProfileSpec, Term
from spec import Defaults, Memory, Resource, differs
from surroundings import Network
from tests.unit.test_plan import HOME, OURS, ROLE, SPEC, profile
from wanted import Refusal, changed, default_tags, remembered_defaults, role_arn, unfounded, wanted

TERM = Term(tags=(("fargate", "yes"),))
BARE = Resource(replace(SPEC, role="", subnets=None), {})
DEFAULTS = Defaults("pods", (TERM,), {"team": "blue"})
MADE = Memory(default_role=ROLE, default_subnets=DEFAULTS.subnets)


def of(resource: Resource = BARE, defaults: Defaults = DEFAULTS, memory: Memory | None = MADE) -> ProfileSpec:
    return replace(wanted(resource, HOME, defaults, memory), among=frozenset({"subnet-2"}))


def test_what_an_object_says_is_what_is_wanted_whatever_the_defaults_are() -> None:
    says = Resource(SPEC, {"team": "red"})
    assert wanted(says, HOME, DEFAULTS, Memory()) == SPEC
    assert remembered_defaults(says, HOME, DEFAULTS) == {"default_role": "", "default_subnets": ""}
    assert default_tags(says.tags, DEFAULTS, None, Memory()).set == {}
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
    assert bool(changed(of(memory=memory), other)) is not held


def test_where_there_is_no_default_any_more_no_role_is_held_against_a_profile() -> None:
    gone = of(defaults=Defaults(), memory=MADE)
    assert not differs(gone, profile())
    told = changed(gone, profile())
    assert "Neither the object nor a default gives a role any more" in told
    assert "The next edit" not in told, "which has no role to take up"
    assert [each.where for each in unfounded(BARE, gone, Defaults())] == ["spec.podExecutionRoleArn"]


def test_defaults_whose_tags_have_no_room_are_named_where_a_profile_is_to_be_made() -> None:
    full = replace(BARE, tags={f"t{number}": "x" for number in range(48)})
    found = [*unfounded(full, of(full), DEFAULTS)]
    assert "(team)" in found[0].what
    assert not [*unfounded(full, of(full), replace(DEFAULTS, tags={"t1": "y"}))], "the object's own wins"


@pytest.mark.parametrize(
    ("there", "ours", "refusal", "gets", "told"),
    [
        ({}, (), None, {"team": "blue", "cost": "1"}, ""),
        ({"team": "green"}, ("team",), None, {"team": "blue", "cost": "1"}, ""),
        ({"team": "green"}, (), None, {"cost": "1"}, "team are not set, because profile web has them from others"),
        ({"team": "blue"}, (), None, {"team": "blue", "cost": "1"}, ""),
        ({f"t{each}": "x" for each in range(48)}, (), None, {}, "cost, team are not set, because profile web has no"),
        (
            {f"t{each}": "x" for each in range(47)},
            (),
            None,
            {"cost": "1"},
            "team are not set, because profile web has no",
        ),
        (
            {f"t{each}": "x" for each in range(47)} | {"team": "green"},
            ("team",),
            None,
            {"team": "blue"},
            "cost are not",
        ),
        ({"aws:x": "y"} | {f"t{each}": "x" for each in range(46)}, (), None, {"team": "blue", "cost": "1"}, ""),
        ({}, (), Refusal({"cost": "1"}, "AWS says no."), {"team": "blue"}, "can't be given them: AWS says no."),
        ({}, (), Refusal({"cost": "2"}, "AWS says no."), {"team": "blue", "cost": "1"}, ""),
        ({}, (), Refusal({"gone": ""}, "AWS says no."), {"team": "blue", "cost": "1"}, ""),
    ],
)
def test_a_profile_that_serves_gets_the_default_tags_that_have_room_and_are_nobody_else_s(
    there: dict[str, str], ours: tuple[str, ...], refusal: Refusal | None, gets: dict[str, str], told: str
) -> None:
    serving = profile(tags=OURS | there)
    memory, refusals = Memory(applied_tag_keys=ours), [refusal] if refusal else []
    found = default_tags(OURS, Defaults(tags={"team": "blue", "cost": "1"}), serving, memory, refusals)
    assert found.set == gets
    assert (told in found.left_out) if told else not found.left_out


def test_default_tags_that_are_no_more_go_and_the_last_by_name_make_room_unless_aws_refuses_that() -> None:
    defaults = Defaults(tags={"team": "blue", "cost": "1"})
    set_by_us = ("cost", "old", "team")
    memory = Memory(applied_tag_keys=set_by_us, default_tag_keys=set_by_us)
    former = profile(tags=OURS | {"team": "blue", "cost": "1", "old": "x"})
    assert default_tags(OURS, defaults, former, memory).lost == {"old"}
    stuck = default_tags(OURS, defaults, former, memory, [Refusal({"old": None}, "AWS says no.")])
    assert (stuck.lost, stuck.set) == (frozenset(), defaults.tags)
    assert stuck.left_out == "Tags old of the defaults are to go, and profile web keeps them: AWS says no."
    full = profile(tags=OURS | {"team": "blue", "cost": "1"} | {f"t{each}": "x" for each in range(46)})
    found = default_tags(OURS | {"more": "x"}, defaults, full, memory)
    assert (set(found.lost), found.set) == ({"team"}, {"cost": "1"})
    assert default_tags(OURS, defaults, full, memory).lost == frozenset()


def test_what_is_told_of_default_subnets_stands_while_it_is_not_known_what_they_match() -> None:
    other = profile(role=f"{ROLE}-2")
    lenient = of(memory=Memory())
    told = changed(lenient, other)
    unknown = replace(lenient, role=f"{ROLE}-3", among=None)
    assert "match other subnets" in told
    assert "match other subnets" not in changed(unknown, other)
    after = changed(unknown, other, told)
    assert "match other subnets" in after
    assert f"The default role is {ROLE}-3" in after, "the rest follows"


def test_terms_that_match_nothing_or_are_not_known_to_match_hold_nothing_against_a_profile() -> None:
    for among in (None, frozenset[str]()):
        assert not differs(replace(of(), among=among), profile())
    assert Network(None).among([TERM]) is None
    assert differs(of(), profile()).keys() == {"subnetSelectorTerms"}
    assert differs(of(), profile(subnets=frozenset())).keys() == {"subnetSelectorTerms"}
    assert not differs(replace(of(), among=frozenset({"subnet-1", "subnet-2"})), profile())
