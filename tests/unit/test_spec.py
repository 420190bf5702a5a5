"""What an object says, what its status remembers, and what it may ask for: pure values from raw objects."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from aws import HealthIssue, ProfileSpec, Term, selector
from kube import Object
from patterns import timestamp
from spec import (
    CONTROLLER_KEY,
    FINALIZER,
    KOPF_FINALIZERS,
    LONGEST_WHY,
    MENDS,
    OWNER_KEY,
    REPLACEMENT_NAMES,
    REQUESTED_AT,
    Identity,
    InvalidSpec,
    Memory,
    Resource,
    controlled_by,
    differs,
    fingerprint,
    owner_of,
    replacement_names,
    same_tag,
)
from tests.unit.test_plan import HOME, NOW, ROLE, SPEC, profile, who

SUBNETS = [f"subnet-{number:017x}" for number in range(2)]
CLUSTER_ARN, PROFILE_ARN = HOME.cluster_arn, profile().arn


def an_object(status: object = None, spec: object = None, **meta: Any) -> Object:
    usual = {"namespace": "default", "name": "web", "generation": 1, "creationTimestamp": "2026-11-22T08:00:00Z"}
    return {"metadata": usual | meta, "spec": {} if spec is None else spec, "status": status}


def fields(**change: Any) -> dict[str, Any]:
    usual = {"podExecutionRoleArn": ROLE, "selectors": [{"namespace": "web", "labels": {"app": "a"}}]}
    return usual | change


def refused(spec: object, **meta: Any) -> list[str]:
    """Return where the findings of a spec are."""
    with pytest.raises(InvalidSpec) as raised:
        Resource.parse(an_object(spec=spec, **meta))
    assert all(each.what and each.mend for each in raised.value.findings)
    return [each.where for each in raised.value.findings]


# The spec (what a field may hold: FIELD_CASES in test_manifests; what the user sees of it: test_refusals)


def test_a_spec_is_the_profile_that_is_wanted_its_tags_and_how_far_to_go_for_it() -> None:
    far = {"updatePolicy": "Replace", "adoptionPolicy": "Adopt", "strandedPods": "Evict"}
    spec = fields(subnets=SUBNETS, tags={"team": "a"}, **far)
    wanted = ProfileSpec(ROLE, frozenset({selector("web", {"app": "a"})}), frozenset(SUBNETS))
    assert Resource.parse(an_object(spec=spec)) == Resource(wanted, {"team": "a"}, "Replace", adopt=True, evict=True)


def test_what_a_spec_leaves_out_is_left_to_eks_and_nothing_is_replaced_or_taken_over() -> None:
    found = Resource.parse(an_object(spec=fields()))
    assert (found.profile.subnets, found.tags, found.update_policy, found.adopt) == (None, {}, "Refuse", False)
    assert not found.evict
    assert Resource.parse(an_object(spec=fields(subnets=[]))) == found


def test_the_order_of_selectors_subnets_and_labels_means_nothing_and_neither_does_saying_it_twice() -> None:
    a, b = {"namespace": "a", "labels": {"x": "1", "y": "2"}}, {"namespace": "b"}
    other = [b, {"namespace": "a", "labels": {"y": "2", "x": "1"}}, {"namespace": "b", "labels": {}}]
    one = Resource.parse(an_object(spec=fields(selectors=[a, b], subnets=SUBNETS)))
    assert Resource.parse(an_object(spec=fields(selectors=other, subnets=[*reversed(SUBNETS)]))) == one


@pytest.mark.parametrize(
    ("spec", "places"),
    [
        (fields(podExecutionRoleArn="x", extra=1), ["podExecutionRoleArn", "extra"]),
        (fields(tags={"aws:a": "b"}), ["tags.aws:a"]),
        (fields(selectors=[{"namespace": "a"}, {"labels": {}}]), ["selectors[1].namespace"]),
        (fields(selectors=[{"namespace": "a", "labels": {"bad key!": "x"}}]), ["selectors[0].labels.bad key!"]),
        (fields(profileName="eks-x"), ["profileName"]),
        (fields(podExecutionRoleName="pods"), ["podExecutionRoleName"]),
        (fields(subnets=SUBNETS, subnetSelectorTerms=[{"id": SUBNETS[0]}]), ["subnetSelectorTerms"]),
        (fields(subnetSelectorTerms=[{}]), ["subnetSelectorTerms[0]"]),
        (fields(subnetSelectorTerms=[{"id": SUBNETS[0], "tags": {"a": "b"}}]), ["subnetSelectorTerms[0]"]),
        (fields(subnetSelectorTerms=[{"tags": {"a": 5}}]), ["subnetSelectorTerms[0].tags.a"]),
        ({}, ["selectors"]),
    ],
)
def test_each_finding_says_where_it_is(spec: object, places: list[str]) -> None:
    assert refused(spec) == [f"spec.{each}" for each in places]


@pytest.mark.parametrize("spec", ["broken", 5, [1]])
def test_a_spec_that_is_no_mapping_is_one_finding(spec: object) -> None:
    assert refused(spec) == ["spec"]


def test_a_name_that_no_profile_can_have_is_refused_where_it_stands() -> None:
    assert refused(fields(), name="web.shop") == ["metadata.name"]
    assert refused(fields(profileName="web"), name="n" * 193) == ["metadata.name"]
    assert Resource.parse(an_object(spec=fields(profileName="web"), name="web.shop"))


def test_a_finding_tells_apart_what_yaml_has_made_of_a_word() -> None:
    with pytest.raises(InvalidSpec) as raised:
        Resource.parse(an_object(spec=fields(tags={"cost": 5, "aws:x": "y"})))
    assert {each.where: each.quote for each in raised.value.findings} == {
        "spec.tags.cost": True,
        "spec.tags.aws:x": False,
    }


def test_a_key_that_users_choose_has_the_mend_of_the_whole_and_not_of_a_field_with_its_name() -> None:
    with pytest.raises(InvalidSpec) as raised:
        Resource.parse(an_object(spec=fields(tags={"name": 5, "spec": 6})))
    assert {each.mend for each in raised.value.findings} == {MENDS["tags"]}


# What status remembers


def test_a_status_that_is_not_as_we_write_it_counts_as_lost() -> None:
    broken: list[object] = [None, [], "x", {"profileName": 5}, {"bookkeeping": {"failures": "many"}}]
    for status in broken:
        assert Memory.parse(an_object(status)) == Memory()


def test_what_others_write_into_status_is_passed_over() -> None:
    status = {"observedGeneration": 1, "profileName": "web", "phase": "Fine", "bookkeeping": {"new": 1}}
    assert Memory.parse(an_object(status)) == Memory(observed_generation=1, profile_name="web")


def test_tries_and_failures_are_those_of_this_generation_and_the_profile_is_of_all() -> None:
    book = {"failures": 3, "failedAt": timestamp(NOW), "failedArn": "arn", "firstTriedAt": timestamp(NOW)}
    status = {"observedGeneration": 1, "profileName": "web", "bookkeeping": {**book, "createName": "web"}}
    assert Memory.parse(an_object(status)).failures == 3
    after = Memory.parse(an_object(status, generation=2))
    assert after == Memory(observed_generation=1, profile_name="web", create_name="web")


def test_a_failure_is_counted_once_a_profile() -> None:
    later = NOW + timedelta(minutes=1)
    one, other = profile(arn="arn-1"), profile(arn="arn-2")
    once = Memory().counting(one, NOW)
    assert (once.failures, once.failed_at, once.failed_arn) == (1, NOW, "arn-1")
    assert once.counting(one, later) == once
    told = profile(arn="arn-1", health=(HealthIssue("AccessDenied", "No."),))
    assert once.counting(told, later) == once.but(failed_why="AccessDenied: No."), "an older release did not note it"
    assert once.counting(other, later) == once.but(failures=2, failed_at=later, failed_arn="arn-2")


def test_of_a_failure_is_remembered_what_eks_says_of_it_and_not_without_end() -> None:
    said = Memory().counting(profile(health=(HealthIssue("AccessDenied", "No. " * 999),)), NOW).failed_why
    assert said.startswith("AccessDenied: No. No.")
    assert len(said) <= LONGEST_WHY


def test_to_settle_forgets_the_failures_and_nothing_else() -> None:
    known = Memory(profile_name="web", profile_arn=PROFILE_ARN, create_started_at=NOW, applied_tag_keys=("team",))
    failed = profile(health=(HealthIssue("AccessDenied", "No."),))
    assert known.but(first_tried_at=NOW).counting(failed, NOW).settled() == known


def test_the_keys_of_tags_are_remembered_beside_those_of_before_each_once() -> None:
    assert Memory(applied_tag_keys=("b", "c")).with_tag_keys({"c", "a"}).applied_tag_keys == ("a", "b", "c")


def test_a_mark_is_made_and_taken_off_as_a_whole() -> None:
    asked = Memory().with_mark(NOW, "web", "arn-1")
    assert (asked.create_started_at, asked.create_name, asked.create_before_arn) == (NOW, "web", "arn-1")
    assert asked.with_mark(None, "", "") == Memory()


@pytest.mark.parametrize(
    "change",
    [
        {"create_started_at": NOW},
        {"create_name": "web"},
        {"profile_arn": "arn"},
        {"cluster_arn": "arn"},
        {"applied_tag_keys": ("team",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_a_later_pass_needs_to_find_a_profile_is_proof(change: dict[str, Any]) -> None:
    assert Memory().but(**change).proof != Memory().proof


@pytest.mark.parametrize(
    ("memory", "cluster"),
    [
        (Memory(), ""),
        (Memory(cluster_arn=CLUSTER_ARN), CLUSTER_ARN),
        (Memory(profile_arn=PROFILE_ARN), CLUSTER_ARN),
        (Memory(profile_arn=PROFILE_ARN, cluster_arn=f"{CLUSTER_ARN}-2"), f"{CLUSTER_ARN}-2"),
        (Memory(profile_arn="broken"), ""),
    ],
)
def test_where_a_profile_was_made_is_known_by_the_cluster_or_by_the_profile(memory: Memory, cluster: str) -> None:
    assert memory.made_in == cluster


# Who the object is


def identity(memory: Memory | None = None, **parts: Any) -> Identity:
    return Identity.parse(an_object(**parts), memory or Memory(), "demo")


def test_an_object_without_fields_is_of_the_default_cluster_its_profile_named_as_itself_and_deleted_with_it() -> None:
    found = identity()
    assert found == who(created_at=found.created_at, finalizers=())
    assert found.owner == "default/web"


def test_an_object_is_what_its_fields_say() -> None:
    spec = {"clusterName": "other", "profileName": "api", "deletionPolicy": "Retain", "suspend": True}
    found = identity(spec=spec, annotations={REQUESTED_AT: "now"}, deletionTimestamp="2026-11-22T09:00:00Z")
    assert (found.cluster, found.base, found.retain, found.suspended) == ("other", "api", True, True)
    assert (found.requested_at, found.deleting) == ("now", True)


UNREADABLE: list[object] = [None, 5, "", "a/b", "-x", [], {"a": "b"}]


@pytest.mark.parametrize("value", UNREADABLE)
def test_a_name_that_can_not_be_read_is_the_one_that_status_remembers_else_the_default(value: object) -> None:
    spec = {"clusterName": value, "profileName": value}
    known = identity(
        Memory(profile_name="api", profile_arn=f"{CLUSTER_ARN}-2", cluster_arn=f"{CLUSTER_ARN}-2"), spec=spec
    )
    assert (known.cluster, known.base) == ("demo-2", "api")
    assert (identity(spec=spec).cluster, identity(spec=spec).base) == ("demo", "web")


def test_a_name_that_is_left_out_is_the_default_whatever_status_remembers() -> None:
    found = identity(Memory(profile_name="api", cluster_arn=f"{CLUSTER_ARN}-2"))
    assert (found.cluster, found.base) == ("demo", "web")


@pytest.mark.parametrize("value", ["Keep", "delete", None, 5, []])
def test_a_deletion_policy_that_can_not_be_read_keeps_the_profile(value: object) -> None:
    assert identity(spec={"deletionPolicy": value}).retain


@pytest.mark.parametrize("spec", ["broken", 5, [1]])
def test_an_object_whose_spec_is_no_mapping_can_be_deleted_and_keeps_its_profile(spec: object) -> None:
    found = identity(spec=spec)
    assert (found.cluster, found.base, found.retain) == ("demo", "web", True)


@pytest.mark.parametrize("value", ["yes", "true", 1, None])
def test_only_true_suspends(value: object) -> None:
    assert not identity(spec={"suspend": value}).suspended


def test_kopf_s_finalizers_guard_as_ours_does_and_those_of_others_do_not() -> None:
    for ours in (FINALIZER, *KOPF_FINALIZERS):
        found = identity(finalizers=[ours, "other"])
        assert found.guarded
        assert found.from_kopf == (ours != FINALIZER)
        assert found.others_finalizers == ["other"]
    assert not identity(finalizers=["other"]).guarded
    assert not identity(finalizers=None).guarded


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("web", True),
        ("web-0123abcd", True),
        ("web-0123ABCD", False),
        ("web-0123abc", False),
        ("web-0123abcde", False),
        ("webb", False),
        ("shop", False),
        ("web-0123abcd-0123abcd", False),
    ],
)
def test_a_profile_may_be_an_object_s_by_its_name_alone_or_with_eight_hex_digits(name: str, own: bool) -> None:
    assert who().may_name(name) == own
    assert not who(base="w.b").may_name(name), "no character of a name is a pattern"


# Names and times


def test_a_fingerprint_is_eight_hex_digits_that_never_change() -> None:
    assert fingerprint(who(), SPEC, 0) == "ba04ceee", "replacements that are on their way are found by it"
    names = [*replacement_names(who(), SPEC)]
    assert len({*names}) == REPLACEMENT_NAMES == 16
    assert names[0] == "web-ba04ceee"
    assert all(re.fullmatch("web-[0-9a-f]{8}", each) and who().may_name(each) for each in names)


@pytest.mark.parametrize(
    ("owner", "spec"),
    [
        (who(namespace="shop"), SPEC),
        (who(name="api"), SPEC),
        (who(base="api"), SPEC),
        (who(), replace(SPEC, role=f"{ROLE}-2")),
        (who(), replace(SPEC, subnets=None)),
        (who(), replace(SPEC, selectors=frozenset({selector("web", {"app": "a"})}))),
    ],
)
def test_a_fingerprint_tells_objects_and_specs_apart(owner: Identity, spec: ProfileSpec) -> None:
    theirs, ours = (
        {fingerprint(*each, number) for number in range(REPLACEMENT_NAMES)} for each in ((owner, spec), (who(), SPEC))
    )
    assert theirs.isdisjoint(ours)


@pytest.mark.parametrize(
    ("tag", "owner"),
    [("default/web", ("default", "web")), ("a/b/c", ("a", "b/c")), ("web", None), ("/web", None), ("default/", None)],
)
def test_an_owner_is_a_namespace_and_a_name(tag: str, owner: tuple[str, str] | None) -> None:
    assert owner_of(profile(tags={OWNER_KEY: tag})) == owner
    assert owner_of(profile(tags={})) is None


@pytest.mark.parametrize(("written", "ours"), [("uid-1", True), (" uid-1\n", True), ("uid-2", False), (None, False)])
def test_blanks_around_a_controller_s_id_make_no_profile_another_s(written: str | None, ours: bool) -> None:
    found = profile(tags={} if written is None else {CONTROLLER_KEY: written})
    assert controlled_by(found, "uid-1") == ours


def test_blanks_in_any_other_tag_mean_something() -> None:
    assert not same_tag("team", "a ", "a")


def test_a_time_is_written_in_utc_to_the_second() -> None:
    east = datetime(2026, 11, 22, 9, 0, 0, 999999, timezone(timedelta(hours=1)))
    assert timestamp(east) == timestamp(datetime(2026, 11, 22, 8, tzinfo=UTC)) == "2026-11-22T08:00:00Z"


# What EKS has and what is wanted

WANTED = replace(SPEC, subnets=frozenset({"subnet-2", "subnet-1"}), selectors=frozenset({selector("web", {"a": "1"})}))
THERE = profile(selectors=WANTED.selectors, subnets=frozenset({"subnet-1", "subnet-2"}))


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (WANTED, []),
        (replace(WANTED, subnets=None), []),
        (replace(WANTED, role=f"{ROLE}-2"), ["podExecutionRoleArn"]),
        (replace(WANTED, subnets=frozenset({"subnet-1"})), ["subnets"]),
        (replace(WANTED, selectors=frozenset({selector("web", {})})), ["selectors"]),
        (replace(WANTED, role="", selectors=frozenset()), ["podExecutionRoleArn", "selectors"]),
    ],
)
def test_a_spec_says_in_which_fields_a_profile_differs(wanted: ProfileSpec, names: list[str]) -> None:
    assert list(differs(wanted, THERE)) == names


def test_a_difference_shows_what_eks_has_and_what_is_wanted_in_order() -> None:
    several = [f"subnet-{number}" for number in range(3, 9)]
    wanted = replace(WANTED, subnets=frozenset(several), selectors=frozenset({selector("db", {})}))
    assert differs(wanted, THERE) == {
        "selectors": ("[web/a=1]", "[db]"),
        "subnets": ("[subnet-1, subnet-2]", f"[{', '.join(several)}]"),
    }


def test_the_name_of_a_replacement_follows_from_the_terms_and_not_from_what_they_match() -> None:
    spec = replace(SPEC, subnets=None, terms=(Term(tags=(("fargate", "yes"),)),))
    found = replace(spec, subnets=frozenset(SUBNETS), among=frozenset(SUBNETS))
    assert fingerprint(who(), found, 0) == fingerprint(who(), spec, 0)
    assert fingerprint(who(), spec, 0) != fingerprint(who(), replace(spec, terms=(Term("subnet-1"),)), 0)
    assert fingerprint(who(), spec, 0) != fingerprint(who(), SPEC, 0)
