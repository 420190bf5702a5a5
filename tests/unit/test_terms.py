"""Subnets by their tags, and defaults, over a whole controller: what is chosen, when a profile is replaced for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from aws import Term
from limits import Settings
from lookups import LOOKS_APART_SECONDS
from spec import REQUESTED_AT, Defaults
from surroundings import FARGATE_POLICY
from tests.fakes.aws import Call, error
from tests.harness import Bench, bench
from wanted import role_arn

TERMS = [{"tags": {"fargate": "yes"}}]
TERM = Term(tags=(("fargate", "yes"),))
RESYNC_SECONDS = 700.0  # a little more than the 600 s that Bench's controllers have


@pytest.fixture
def b() -> Iterator[Bench]:
    with bench() as made:
        yield made


def tag(b: Bench, *subnets: str, key: str = "fargate", value: str = "yes") -> None:
    b.world.client("ec2").create_tags(Resources=list(subnets), Tags=[{"Key": key, "Value": value}])


def untag(b: Bench, *subnets: str, key: str = "fargate") -> None:
    b.world.client("ec2").delete_tags(Resources=list(subnets), Tags=[{"Key": key}])


def by_terms(b: Bench, terms: Sequence[Any] = TERMS, name: str = "web", **spec: Any) -> None:
    """Apply an object that chooses its subnets."""
    obj = b.manifest(name, subnetSelectorTerms=list(terms), **spec)
    del obj["spec"]["subnets"]
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    b.api.apply(obj)


def settled(b: Bench, terms: Sequence[Any] = TERMS, **spec: Any) -> None:
    by_terms(b, terms, **spec)
    b.run(90)
    assert b.ready(), b.get()


def asked(b: Bench, operation: str = "DescribeSubnets") -> int:
    return sum(call.operation == operation for call in b.manners.calls)


def writes(b: Bench) -> list[str]:
    return [
        f"{call.operation} {call.params.get('profile', '')}"
        for call in b.manners.calls
        if call.writes and not call.code
    ]


def replicas(b: Bench, seconds: float, *others: Bench) -> None:
    """Let time pass in several processes over one world, each with what it has read itself."""
    for _ in range(int(seconds // 10)):
        b.run(10)
        for each in others:
            each.run(0)


# What is chosen


def test_a_profile_gets_the_private_subnets_that_match_and_no_others(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one, b.world.public_subnet, b.world.foreign_subnet, b.world.local_zone_subnet)
    tag(b, two, value="no")
    settled(b)
    assert b.profiles()["web"]["subnets"] == [one] == b.get()["status"]["subnets"]


@pytest.mark.parametrize(
    ("terms", "number"),
    [
        ([{"tags": {"fargate": "*"}}], 2),
        ([{"tags": {"fargate": "yes", "zone": "a"}}], 1),
        ([{"tags": {"fargate": "yes", "zone": "b"}}, {"tags": {"zone": "a"}}], 1),
        ([{"tags": {"fargate": "no"}}, {"tags": {"zone": "a"}}], 2),
    ],
)
def test_terms_add_up_and_the_tags_of_one_have_to_be_there_all(b: Bench, terms: Any, number: int) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    tag(b, one, key="zone", value="a")
    tag(b, two, value="no")
    settled(b, terms)
    assert len(b.profiles()["web"]["subnets"]) == number


def test_where_no_subnet_can_be_taken_it_says_what_each_term_found_and_why_that_was_left_out(b: Bench) -> None:
    tag(b, b.world.public_subnet)
    by_terms(b, [*TERMS, {"id": b.world.foreign_subnet}])
    b.run(30)
    assert (b.reason(), b.stalled()) == ("NoSubnetMatches", True)
    assert f"fargate=yes finds {b.world.public_subnet} (public)" in b.message()
    assert f"{b.world.foreign_subnet} finds nothing" in b.message()
    tag(b, b.world.private_subnets[0])
    b.run(600)
    assert b.ready()


def test_what_terms_match_may_not_be_read_is_told_with_the_right_that_is_missing(b: Bench) -> None:
    b.manners.fail("DescribeSubnets", error("UnauthorizedOperation", 403, "no"), times=10**6)
    by_terms(b)
    b.run(30)
    assert b.reason() == "NoSubnetMatches"
    assert "ec2:DescribeSubnets" in b.message()
    assert not b.profiles()


# When a profile is replaced


def test_a_tag_that_moves_makes_exactly_one_replacement_whatever_two_replicas_have_read(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Replace")
    other = Bench(b.clock, b.api, b.world, Settings(cluster="demo", controller_id=""))
    replicas(b, 200, other)  # whose facts are so much younger
    untag(b, one)
    tag(b, two)
    before = len(writes(b))
    replicas(b, 3 * RESYNC_SECONDS, other)
    changes = writes(b)[before:]
    assert [each.split()[0] for each in changes] == ["CreateFargateProfile", "DeleteFargateProfile"]
    assert [each["subnets"] for each in b.profiles().values()] == [[two]]
    assert b.ready()
    replicas(b, 2 * RESYNC_SECONDS, other)
    assert len(writes(b)) == before + 2


def test_a_tag_that_is_added_moves_nothing(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Replace")
    before = writes(b)
    tag(b, two)
    b.run(2 * RESYNC_SECONDS)
    assert (writes(b), b.reason()) == (before, "Active")
    assert b.get()["status"]["subnets"] == [one]


def test_what_two_looks_have_not_shown_alike_is_no_edit(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Recreate")
    before = writes(b)
    untag(b, one)
    tag(b, two)
    b.run_until("it is seen once", lambda: b.reason() == "SubnetsChanged", RESYNC_SECONDS)
    assert b.ready()
    assert one in b.message() and "looked at again at" in b.message()
    tag(b, one)
    b.run(LOOKS_APART_SECONDS + 20)
    assert (writes(b), b.reason()) == (before, "Active")


def test_a_replacement_stands_on_what_is_read_in_the_very_pass_that_makes_it(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Replace")
    before = writes(b)
    untag(b, one)
    tag(b, two)
    b.run_until("it is seen once", lambda: b.reason() == "SubnetsChanged", RESYNC_SECONDS)

    def put_back(call: Call) -> None:
        if call.operation == "DescribeRouteTables":  # of the facts for the create, after both looks
            b.manners.on_call = None
            tag(b, one)

    b.manners.on_call = put_back
    b.run(LOOKS_APART_SECONDS + 30)
    assert b.manners.on_call is None
    assert (writes(b), b.reason()) == (before, "Active")


def test_refuse_tells_of_a_subnet_that_no_longer_matches_after_two_looks_and_changes_nothing(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b)
    before = writes(b)
    untag(b, one)
    tag(b, two)
    b.run_until("it is seen once", lambda: b.reason() == "SubnetsChanged", RESYNC_SECONDS)
    looks = asked(b)
    b.run(LOOKS_APART_SECONDS + 5)
    assert (b.reason(), writes(b)) == ("ImmutableField", before)
    assert asked(b) == looks + 1, "the second look is at another answer"
    assert f"spec.subnetSelectorTerms: EKS has [{one}], wanted is some of [{two}]" in b.message()


@pytest.mark.parametrize("trouble", ["UnauthorizedOperation", "RequestLimitExceeded", "nothing matches"])
@pytest.mark.parametrize("policy", ["Replace", "Recreate"])
def test_what_is_not_known_of_subnets_and_what_matches_nothing_is_never_an_edit(
    b: Bench, trouble: str, policy: str
) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy=policy)
    before = writes(b)
    untag(b, one)
    if trouble != "nothing matches":
        tag(b, two)
        b.manners.fail("DescribeSubnets", error(trouble, 403, "no"), times=10**6)
    b.run(3 * RESYNC_SECONDS)
    assert (writes(b), b.ready()) == (before, True)
    assert "NoSubnetMatches: " in b.message()


def test_objects_that_are_settled_have_the_subnets_read_once_a_resync_and_cluster(b: Bench) -> None:
    tag(b, b.world.private_subnets[0])
    settled(b)
    for number in range(5):
        by_terms(b, name=f"web-{number}")
    b.run(900)
    assert all(b.ready(f"web-{number}") for number in range(5))
    before = asked(b)
    b.run(6000)
    assert 8 <= asked(b) - before <= 13


def test_an_edit_of_terms_is_on_its_way_until_two_looks_have_shown_what_they_match(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    tag(b, two, value="no")
    settled(b, updatePolicy="Replace")
    b.edit(subnetSelectorTerms=[{"tags": {"fargate": "no"}}])
    b.run(20)
    assert (b.ready(), b.reason()) == (False, "SubnetsChanged")
    b.run(300)
    assert b.ready()
    assert [each["subnets"] for each in b.profiles().values()] == [[two]]


def test_an_edit_of_terms_is_judged_by_what_is_read_after_it(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Replace")
    by_terms(b, name="third", selectors=[{"namespace": "third"}])
    b.run(1)
    tag(b, two, value="v2")
    b.edit(subnetSelectorTerms=[{"tags": {"fargate": "v2"}}])
    b.run(5)
    assert (b.ready(), b.reason()) == (False, "SubnetsChanged")


def test_objects_that_are_settled_share_what_could_not_be_read_and_recover_within_minutes(b: Bench) -> None:
    tag(b, b.world.private_subnets[0])
    for number in range(6):
        by_terms(b, name=f"web-{number}", selectors=[{"namespace": f"web-{number}"}])
    b.run(900)
    assert all(b.ready(f"web-{number}") for number in range(6))
    throttled(b, times=10**6)
    b.run(RESYNC_SECONDS)
    calls = asked(b)
    b.run(600)
    assert 2 <= asked(b) - calls <= 12, "once a minute for the cluster"
    assert all(b.ready(f"web-{number}") for number in range(6))
    b.manners.heal()
    b.run(150)
    assert not any("NoSubnetMatches" in b.message(f"web-{number}") for number in range(6))


# Defaults


def with_defaults(b: Bench, role: str = "", terms: tuple[Any, ...] = (), **tags: str) -> None:
    found = Defaults(role, terms, tags)
    b.sites.entries = replace(b.sites.entries, defaults=found)


def selectors_alone(b: Bench, **spec: Any) -> None:
    obj = b.manifest(**spec)
    for each in ("subnets", "podExecutionRoleArn"):
        obj["spec"].pop(each) if each not in spec else None
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    b.api.apply(obj)
    b.run(90)


def role(b: Bench) -> list[str]:
    return [each["podExecutionRoleArn"] for each in b.profiles().values()]


def another_role(b: Bench) -> str:
    iam, good = b.world.client("iam"), b.world.roles["good"].rpartition("/")[2]
    trust = iam.get_role(RoleName=good)["Role"]["AssumeRolePolicyDocument"]
    made: str = iam.create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.attach_role_policy(RoleName="other", PolicyArn=f"arn:aws:iam::aws:policy/{FARGATE_POLICY}")
    return made


def test_a_look_that_does_not_see_the_profile_says_nothing_of_its_subnets(b: Bench) -> None:
    one, other = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Refuse")
    untag(b, one)
    tag(b, other)
    b.run(1500)
    assert b.reason() == "ImmutableField"
    b.manners.fail("DescribeFargateProfile", error("ServerException", 500, "later"), times=1)
    told = set[str]()
    for _ in range(150):
        b.run(10)
        told.add(b.reason())
    assert "SubnetsChanged" not in told, "what two looks have shown is not to be seen once more"
    assert b.reason() == "ImmutableField"


def tags_of(b: Bench) -> dict[str, str]:
    return {key: value for key, value in b.profiles()["web"]["tags"].items() if "/" not in key}


def test_an_object_with_selectors_alone_is_made_by_the_defaults_and_its_spec_stays_as_it_is(b: Bench) -> None:
    one, _ = b.world.private_subnets
    tag(b, one)
    name = b.world.roles["good"].rpartition("/")[2]
    with_defaults(b, name, (Term(tags=(("fargate", "yes"),)),), team="blue")
    selectors_alone(b)
    made = b.profiles()["web"]
    assert (b.ready(), made["podExecutionRoleArn"], made["subnets"]) == (True, b.world.roles["good"], [one])
    assert made["tags"]["team"] == "blue"
    assert set(b.get()["spec"]) & {"podExecutionRoleArn", "podExecutionRoleName", "subnets", "tags"} == set()
    assert "subnetSelectorTerms" not in b.get()["spec"]


def test_without_role_and_default_an_object_is_refused_with_what_mends_it(b: Bench) -> None:
    selectors_alone(b)
    assert (b.reason(), b.profiles()) == ("InvalidSpec", {})
    assert "spec.podExecutionRoleArn is missing" in b.message() and "default" in b.message()


def test_a_role_by_its_name_is_that_of_the_cluster_s_account(b: Bench) -> None:
    selectors_alone(b, podExecutionRoleName=b.world.roles["good"].rpartition("/")[2])
    assert role(b) == [b.world.roles["good"]]


@pytest.mark.parametrize("policy", ["Refuse", "Replace", "Recreate"])
def test_a_default_that_has_changed_is_told_and_is_no_edit(b: Bench, policy: str) -> None:
    with_defaults(b, b.world.roles["good"])
    selectors_alone(b, updatePolicy=policy)
    before = writes(b)
    with_defaults(b, other := another_role(b))
    b.run(2 * RESYNC_SECONDS)
    assert (writes(b), b.ready(), b.reason()) == (before, True, "Active")
    assert other in b.condition("DefaultsChanged")["message"]
    with_defaults(b)
    b.run(RESYNC_SECONDS)
    assert (writes(b), b.ready()) == (before, True)
    assert "Neither the object nor a default gives a role any more" in b.condition("DefaultsChanged")["message"]


@pytest.mark.parametrize("how", ["an edit", "a look that is asked for"])
def test_a_changed_default_is_taken_up_where_the_object_lets_it_be(b: Bench, how: str) -> None:
    for policy, taken in (("Refuse", False), ("Replace", True)):
        with_defaults(b, b.world.roles["good"])
        selectors_alone(b, updatePolicy=policy)
        b.run(300)
        with_defaults(b, other := role_arn(b.reconciler.homes.own(), "other"))
        if policy == "Refuse":
            another_role(b)
        if how == "an edit":
            b.edit(tags={"policy": policy})
        else:
            b.api.edit("fargateprofiles", "default", "web", {"metadata": {"annotations": {REQUESTED_AT: policy}}})
        b.run(600)
        assert b.ready(), b.get()
        assert role(b) == [other if taken else b.world.roles["good"]]
        assert bool(b.condition("DefaultsChanged")) is not taken


def test_default_tags_are_followed_at_once_and_the_object_s_own_win(b: Bench) -> None:
    with_defaults(b, b.world.roles["good"], team="blue", cost="1")
    selectors_alone(b, tags={"team": "red"})
    assert tags_of(b) == {
        "team": "red",
        "cost": "1",
    }
    with_defaults(b, b.world.roles["good"], extra="x")
    b.run(RESYNC_SECONDS)
    assert tags_of(b) == {
        "team": "red",
        "extra": "x",
    }


def test_more_tags_than_eks_has_room_for_are_refused_by_name_and_a_profile_that_serves_stays_ready(b: Bench) -> None:
    own = {f"own-{number}": "x" for number in range(48)}
    with_defaults(b, b.world.roles["good"], team="blue")
    selectors_alone(b, tags=own)
    assert b.reason() == "InvalidSpec"
    assert "49 tags together with the defaults of this cluster (team)" in b.message()
    with_defaults(b, b.world.roles["good"])
    b.run(600)
    assert b.ready()
    with_defaults(b, b.world.roles["good"], team="blue")
    b.run(RESYNC_SECONDS)
    assert b.ready()
    assert (
        "Of the default tags team are not set, because profile web has no room"
        in b.condition("DefaultsChanged")["message"]
    )


# What could not be read, and what only one look has shown


def throttled(b: Bench, times: int = 1) -> None:
    b.manners.fail("DescribeSubnets", error("RequestLimitExceeded", 503, "no"), times=times)


@pytest.mark.parametrize("what", ["create", "edit", "adoption"])
def test_subnets_that_could_not_be_read_once_hold_up_what_is_asked_for_by_seconds(b: Bench, what: str) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    tag(b, two, value="no")
    if what == "edit":
        settled(b)
    elif what == "adoption":
        b.settings = replace(b.settings, adoption_in=frozenset({"*"}))
        b.start()
        b.world.add_profile("demo", "web", b.world.roles["good"], [{"namespace": "web"}], subnets=[one])
    throttled(b)
    if what == "edit":
        b.edit(subnetSelectorTerms=[{"tags": {"fargate": "no"}}])
    else:
        by_terms(b, adoptionPolicy="Adopt")
    b.run(0)
    assert (b.ready(), b.stalled(), b.reason()) == (False, False, "Throttled")
    b.run(15)
    assert b.reason() == {"create": "Creating", "edit": "SubnetsChanged", "adoption": "Active"}[what]


def test_a_settled_object_tells_for_a_minute_of_subnets_that_could_not_be_read_once(b: Bench) -> None:
    tag(b, b.world.private_subnets[0])
    settled(b)
    before = int(b.api.resource_version)
    throttled(b)
    b.run_until("it is told", lambda: "NoSubnetMatches" in b.message(), RESYNC_SECONDS)
    assert b.ready()
    b.run(65)
    assert (b.ready(), "NoSubnetMatches" in b.message()) == (True, False)
    b.run(RESYNC_SECONDS)
    assert int(b.api.resource_version) == before + 2, "a write for each of the two"


def test_an_object_that_stalls_for_a_subnet_is_never_ready_because_subnets_could_not_be_read(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b)
    untag(b, one)
    tag(b, two)
    b.run(2 * RESYNC_SECONDS)
    assert b.reason() == "ImmutableField"
    throttled(b, times=10)
    for _ in range(120):
        b.run(10)
        assert not b.ready()
    assert (b.reason(), b.manners.count("DescribeSubnets") > 3) == ("ImmutableField", True)


def test_of_two_profiles_none_is_deleted_for_what_one_look_at_tags_has_shown(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Replace")
    b.edit(selectors=[{"namespace": "other"}])
    b.run_until("both are there", lambda: len(b.profiles()) == 2, 100)
    made = next(name for name in b.profiles() if name != "web")
    untag(b, one)
    tag(b, two)
    b.run_until("it is seen once", lambda: b.reason() == "SubnetsChanged", 200)
    assert f"{one} of profile {made} any more" in b.message()
    untag(b, two)
    tag(b, one)
    b.run(300)
    assert [*b.profiles()] == [made]
    assert [each for each in writes(b) if "Delete" in each] == ["DeleteFargateProfile web"]
    assert b.ready()


def test_of_a_tag_that_is_put_back_in_a_replacement_it_is_said_that_the_tag_was(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Replace")
    untag(b, one)
    tag(b, two)
    b.run_until("both are there", lambda: len(b.profiles()) == 2, 2 * RESYNC_SECONDS)
    tag(b, one)
    untag(b, two)
    b.run(300)
    assert [*b.profiles()] == ["web"]
    assert any("the tags of the subnets were put back, and web serves on" in each for each in b.notes())


def test_a_first_look_at_tags_counts_only_while_the_object_has_its_terms(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    settled(b, updatePolicy="Replace")
    untag(b, one)
    tag(b, two)
    b.run_until("it is seen once", lambda: b.reason() == "SubnetsChanged", RESYNC_SECONDS)
    b.api.edit("fargateprofiles", "default", "web", {"spec": {"subnetSelectorTerms": None}})
    b.run(5 * RESYNC_SECONDS)
    before = writes(b)
    b.edit(subnetSelectorTerms=TERMS)
    b.run(LOOKS_APART_SECONDS - 5)
    assert writes(b) == before
    b.run(300)
    assert [each["subnets"] for each in b.profiles().values()] == [[two]]


def test_refusals_name_the_field_that_the_object_has_and_call_a_default_a_default(b: Bench) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    with_defaults(b, b.world.roles["good"], (TERM,))
    selectors_alone(b)
    untag(b, one)
    tag(b, two)
    b.run(2 * RESYNC_SECONDS)
    assert f"The default subnetSelectorTerms: EKS has [{one}]" in b.message()
    assert "put the old values or the tags of the subnets back" in b.message()
    another_role(b)
    b.edit(podExecutionRoleName="other")
    b.run(120)
    assert "spec.podExecutionRoleName: EKS has" in b.message()


# Default tags on a profile that serves


def onto(b: Bench, **tags: str) -> None:
    b.world.client("eks").tag_resource(resourceArn=b.profiles()["web"]["fargateProfileArn"], tags=tags)


@pytest.mark.parametrize("trouble", ["no room", "not permitted"])
def test_a_default_tag_that_can_not_be_set_is_told_and_the_object_stays_ready(b: Bench, trouble: str) -> None:
    with_defaults(b, b.world.roles["good"], cost="1")
    selectors_alone(b)
    if trouble == "no room":
        onto(b, **{f"theirs-{number}": "x" for number in range(47)})
    else:
        b.manners.fail("TagResource", error("AccessDeniedException", 403, "no"), times=10**6)
    with_defaults(b, b.world.roles["good"], cost="1", team="blue")
    b.run(RESYNC_SECONDS)
    assert b.ready()
    assert not b.stalled()
    assert "Of the default tags team are not set" in b.condition("DefaultsChanged")["message"]
    assert tags_of(b)["cost"] == "1", "what is there stays"
    calls = asked(b, "TagResource")
    b.run(3 * RESYNC_SECONDS)
    assert asked(b, "TagResource") - calls <= 4, "once a resync"
    b.manners.heal()
    if trouble == "no room":
        arn = b.profiles()["web"]["fargateProfileArn"]
        b.world.client("eks").untag_resource(resourceArn=arn, tagKeys=["theirs-1"])
    b.run(2 * RESYNC_SECONDS)
    assert tags_of(b)["team"] == "blue"
    assert not b.condition("DefaultsChanged")


def test_an_own_tag_that_may_not_be_set_is_refused_as_ever(b: Bench) -> None:
    selectors_alone(b, podExecutionRoleArn=b.world.roles["good"])
    b.manners.fail("TagResource", error("AccessDeniedException", 403, "no"), times=10**6)
    with_defaults(b, cost="1")
    b.edit(tags={"team": "blue"})
    b.run(60)
    assert (b.stalled(), b.reason()) == (True, "AccessDenied")


def test_an_edit_that_was_withdrawn_before_its_tag_could_be_set_takes_off_no_tag_of_others(b: Bench) -> None:
    selectors_alone(b, podExecutionRoleArn=b.world.roles["good"])
    with_defaults(b)
    b.run(60)
    onto(b, team="finance", cost="4711")
    b.manners.fail("TagResource", error("AccessDeniedException", 403, "no"), times=10**6)
    b.edit(tags={"team": "blue"})
    b.run(60)
    assert b.stalled()
    b.edit(tags=None)
    b.manners.heal()
    b.run(60)
    assert b.ready()
    assert tags_of(b) == {"team": "finance", "cost": "4711"}


def test_a_default_tag_leaves_a_tag_of_others_alone_and_an_own_tag_does_not(b: Bench) -> None:
    with_defaults(b, b.world.roles["good"])
    selectors_alone(b)
    onto(b, team="finance")
    with_defaults(b, b.world.roles["good"], team="blue")
    b.run(RESYNC_SECONDS)
    assert tags_of(b) == {"team": "finance"}
    assert "has them from others" in b.condition("DefaultsChanged")["message"]
    with_defaults(b, b.world.roles["good"])
    b.run(RESYNC_SECONDS)
    assert tags_of(b) == {"team": "finance"}
    b.edit(tags={"team": "red"})
    b.run(60)
    assert tags_of(b) == {"team": "red"}


@pytest.mark.parametrize("whose", ["of others", "the controller's", "the controller's, of which status was lost"])
def test_a_tag_goes_with_its_default_only_where_the_controller_has_set_it(b: Bench, whose: str) -> None:
    selectors_alone(b, podExecutionRoleArn=b.world.roles["good"])
    if whose == "of others":
        onto(b, cost="1")
        b.run(RESYNC_SECONDS)
    with_defaults(b, cost="1")
    b.run(RESYNC_SECONDS)
    assert tags_of(b) == {"cost": "1"}
    if "lost" in whose:
        path = "/apis/jicomusic.com/v1/namespaces/default/fargateprofiles/web/status"
        b.api.request("PUT", path, {}, {**b.get(), "status": {}}, "application/json")
        b.start()
        with_defaults(b, cost="1")
        b.run(60)
    with_defaults(b)
    b.run(RESYNC_SECONDS)
    assert tags_of(b) == ({"cost": "1"} if whose == "of others" else {})


def test_a_look_that_is_asked_for_tries_again_a_default_tag_that_was_refused(b: Bench) -> None:
    selectors_alone(b, podExecutionRoleArn=b.world.roles["good"])
    b.manners.fail("TagResource", error("AccessDeniedException", 403, "no"), times=10**6)
    with_defaults(b, cost="1")
    b.run(RESYNC_SECONDS)
    calls = asked(b, "TagResource")
    for name in ("one", "two"):
        b.api.edit("fargateprofiles", "default", "web", {"metadata": {"annotations": {REQUESTED_AT: name}}})
        b.run(40)
        assert b.ready()
        assert asked(b, "TagResource") == (calls := calls + 1), "once for the look, not for each pass"
        if name == "one":
            b.manners.heal()
    assert tags_of(b) == {"cost": "1"}


def without_the_right_to(b: Bench, operation: str) -> None:
    b.manners.fail(operation, error("AccessDeniedException", 403, "not authorized to perform it"), times=10**6)


def test_a_default_tag_that_can_not_be_taken_away_is_told_with_what_mends_it_and_the_object_stays_ready(
    b: Bench,
) -> None:
    with_defaults(b, b.world.roles["good"], cost="1", team="blue")
    selectors_alone(b)
    without_the_right_to(b, "UntagResource")
    with_defaults(b, b.world.roles["good"], cost="1")
    b.run(RESYNC_SECONDS)
    assert (b.ready(), b.stalled()) == (True, False)
    told = b.condition("DefaultsChanged")["message"]
    assert "Tags team of the defaults are to go, and profile web keeps them: " in told
    assert "not authorized to perform it" in told and "IAMPolicy.json" in told
    calls = asked(b, "UntagResource")
    b.run(3 * RESYNC_SECONDS)
    assert asked(b, "UntagResource") - calls <= 4, "once a resync"
    b.manners.heal()
    b.run(2 * RESYNC_SECONDS)
    assert tags_of(b) == {"cost": "1"}
    assert not b.condition("DefaultsChanged")


def test_default_tags_that_can_be_neither_set_nor_taken_away_are_each_tried_once_a_resync(b: Bench) -> None:
    with_defaults(b, b.world.roles["good"], cost="1")
    selectors_alone(b)
    without_the_right_to(b, "TagResource")
    without_the_right_to(b, "UntagResource")
    with_defaults(b, b.world.roles["good"], team="blue")
    b.run(3 * RESYNC_SECONDS)
    assert (b.ready(), tags_of(b)) == (True, {"cost": "1"})
    told = b.condition("DefaultsChanged")["message"]
    assert "Of the default tags team are not set" in told and "Tags cost of the defaults are to go" in told
    assert 0 < asked(b, "TagResource") <= 4
    assert 0 < asked(b, "UntagResource") <= 4


def test_an_own_tag_that_an_edit_has_taken_out_and_may_not_be_taken_away_is_refused_as_ever(b: Bench) -> None:
    with_defaults(b, b.world.roles["good"], cost="1")
    selectors_alone(b, tags={"team": "blue"})
    without_the_right_to(b, "UntagResource")
    b.edit(tags=None)
    b.run(2 * RESYNC_SECONDS)
    assert (b.stalled(), b.reason()) == (True, "AccessDenied")


def test_a_former_default_tag_keeps_no_object_from_ready_though_the_process_is_started_anew(b: Bench) -> None:
    with_defaults(b, b.world.roles["good"], cost="1")
    selectors_alone(b)
    without_the_right_to(b, "UntagResource")
    b.start()
    with_defaults(b, b.world.roles["good"])
    b.run(RESYNC_SECONDS)
    assert (b.ready(), tags_of(b)) == (True, {"cost": "1"})
    assert "Tags cost of the defaults are to go" in b.condition("DefaultsChanged")["message"]


def test_a_look_that_is_asked_for_tries_again_to_take_away_a_default_tag(b: Bench) -> None:
    with_defaults(b, b.world.roles["good"], cost="1")
    selectors_alone(b)
    without_the_right_to(b, "UntagResource")
    with_defaults(b, b.world.roles["good"])
    b.run(RESYNC_SECONDS)
    assert b.ready()
    b.manners.heal()
    b.api.edit("fargateprofiles", "default", "web", {"metadata": {"annotations": {REQUESTED_AT: "now"}}})
    b.run(40)
    assert tags_of(b) == {}


@pytest.mark.parametrize("own", [3, 45])
def test_an_object_s_own_tags_win_where_the_default_tags_have_filled_the_profile(b: Bench, own: int) -> None:
    defaults = {f"default-{number:02}": "x" for number in range(48 - own)}
    mine = {f"own-{number}": "x" for number in range(own)}
    with_defaults(b, b.world.roles["good"], (), **defaults)
    selectors_alone(b, tags=mine)
    assert tags_of(b) == mine | defaults
    b.edit(tags=mine | {"more": "y", "most": "z"})
    b.run(60)
    assert b.ready(), b.message()
    last = sorted(defaults)[-2:]
    kept = {key: value for key, value in defaults.items() if key not in last}
    assert tags_of(b) == mine | kept | {"more": "y", "most": "z"}
    told = f"Of the default tags {', '.join(last)} are not set, because profile web has no room"
    assert told in b.condition("DefaultsChanged")["message"]
    before = writes(b)
    b.run(2 * RESYNC_SECONDS)
    assert writes(b) == before, "it stays so"
    b.edit(tags={**mine, "more": None, "most": None})
    b.run(60)
    assert tags_of(b) == mine | defaults
    assert not b.condition("DefaultsChanged")


def test_default_tags_make_room_though_a_former_one_may_not_be_taken_away(b: Bench) -> None:
    defaults = {f"default-{number:02}": "x" for number in range(46)}
    with_defaults(b, b.world.roles["good"], (), stuck="1", **defaults)
    selectors_alone(b, tags={"own": "1"})
    without_the_right_to(b, "UntagResource")
    with_defaults(b, b.world.roles["good"], (), **defaults)
    b.run(RESYNC_SECONDS)
    b.manners.heal()  # as where a policy guards the tag of that key alone
    b.edit(tags={"own": "1", "more": "y"})
    b.run(60)
    assert b.ready(), b.message()
    del defaults["default-45"]
    assert tags_of(b) == defaults | {"own": "1", "more": "y", "stuck": "1"}


def test_an_object_with_more_tags_than_a_new_profile_can_have_says_so_while_one_serves(b: Bench) -> None:
    defaults = {f"default-{number:02}": "x" for number in range(47)}
    with_defaults(b, b.world.roles["good"], (), **defaults)
    selectors_alone(b, tags={"own": "1"})
    b.run(60)
    assert not b.condition("DefaultsChanged")
    b.edit(tags={"own": "1", "more": "y"})
    b.run(60)
    assert b.ready()
    told = b.condition("DefaultsChanged")["message"]
    assert "No other profile can be made: spec.tags is 49 tags together with the defaults of this cluster" in told
    b.edit(tags={"own": "1", "more": None})
    b.run(60)
    assert not b.condition("DefaultsChanged")


def test_one_tag_takes_the_place_of_another_on_a_profile_that_is_full(b: Bench) -> None:
    own = {f"own-{number}": "x" for number in range(48)}
    b.settle(tags=own)
    b.edit(tags={"own-0": None, "new": "y"})
    b.run(60)
    assert b.ready(), b.message()
    assert tags_of(b) == {**{key: value for key, value in own.items() if key != "own-0"}, "new": "y"}


def test_no_default_tag_gives_way_where_the_tags_of_others_leave_no_room_even_then(b: Bench) -> None:
    with_defaults(b, b.world.roles["good"], cost="1")
    selectors_alone(b)
    onto(b, **{f"theirs-{number}": "x" for number in range(47)})
    b.edit(tags={"one": "x", "two": "x"})
    b.run(60)
    assert (b.stalled(), tags_of(b)["cost"]) == (True, "1")
    assert b.reason() == "ParameterRefused", b.message()


# What plan foretells


@pytest.mark.parametrize("what", ["edit", "new", "as it is"])
def test_plan_tells_an_error_where_subnets_could_not_be_read_and_never_that_nothing_happens(
    b: Bench, plan: Any, what: str
) -> None:
    one, two = b.world.private_subnets
    tag(b, one)
    tag(b, two, value="v2")
    settled(b, updatePolicy="Replace")
    name, value = ("other" if what == "new" else "web"), ("yes" if what == "as it is" else "v2")
    terms = [{"tags": {"fargate": value}}]
    obj = b.manifest(name, subnetSelectorTerms=terms, updatePolicy="Replace", selectors=[{"namespace": name}])
    del obj["spec"]["subnets"]
    if what != "new":
        obj["spec"]["selectors"] = b.get()["spec"]["selectors"]
    throttled(b, times=10**6)
    code, out, err = plan(obj)
    if what == "as it is":
        assert (code, "nothing" in out) == (0, True), "as the controller leaves it Ready"
    else:
        assert (code != 0, "nothing " in out, "NoSubnetMatches" in out + err) == (True, False, False)
        assert "RequestLimitExceeded" in out + err
