"""Bad input: refused with the field, what is wrong and what mends it; nothing made, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import aws as fake
from tests.harness import Bench

Object = dict[str, Any]


def spec_with(**fields: Any) -> Callable[[Object], None]:
    return lambda obj: obj["spec"].update(fields)


def named(name: str) -> Callable[[Object], None]:
    return lambda obj: obj["metadata"].update(name=name)


def both(*changes: Callable[[Object], None]) -> Callable[[Object], None]:
    def change(obj: Object) -> None:
        for each in changes:
            each(obj)

    return change


def without(field: str) -> Callable[[Object], None]:
    def change(obj: Object) -> None:
        del obj["spec"][field]

    return change


def spec_is(spec: object) -> Callable[[Object], None]:
    return lambda obj: obj.update(spec=spec)


def no_spec(obj: Object) -> None:
    del obj["spec"]


LONG = "n" * 200
BAD: dict[str, tuple[Callable[[Object], None], tuple[str, ...]]] = {
    "no selectors": (without("selectors"), ("spec.selectors is missing", "1 to 100 selectors")),
    "an empty list of selectors": (spec_with(selectors=[]), ("spec.selectors is []", "1 to 100 selectors")),
    "an empty namespace": (spec_with(selectors=[{"namespace": ""}]), ("spec.selectors[0].namespace", "wildcards")),
    "no namespace": (spec_with(selectors=[{"labels": {}}]), ("spec.selectors[0].namespace is missing",)),
    "a namespace with capitals": (spec_with(selectors=[{"namespace": "A"}]), ('namespace is "A"', "lowercase")),
    "a label that is no label": (
        spec_with(selectors=[{"namespace": "a", "labels": {"bad key!": "x"}}]),
        ("spec.selectors[0].labels", "bad key!"),
    ),
    "an eks- name": (named("eks-web"), ("metadata.name", "eks-web", "spec.profileName")),
    "a dotted name": (named("web.shop"), ("metadata.name", "web.shop", "spec.profileName")),
    "a 200-character name": (named(LONG), ("metadata.name", "at most 91")),
    "a 200-character name beside a profileName": (
        both(named(LONG), spec_with(profileName="web")),
        ("metadata.name is longer than 192",),
    ),
    "an eks- profileName": (spec_with(profileName="eks-x"), ("spec.profileName", "not starting with eks-")),
    "a role with a path": (
        spec_with(podExecutionRoleArn="arn:aws:iam::123456789012:role/team/pods"),
        ("spec.podExecutionRoleArn", "without a path"),
    ),
    "a role of a wrong shape": (spec_with(podExecutionRoleArn="pods"), ("spec.podExecutionRoleArn", "arn:aws:iam::")),
    "no role": (without("podExecutionRoleArn"), ("spec.podExecutionRoleArn is missing",)),
    "a tag aws:x": (spec_with(tags={"aws:x": "y"}), ("spec.tags.aws:x", "none starting with aws:")),
    "a tag AWS:x": (spec_with(tags={"AWS:x": "y"}), ("spec.tags.AWS:x",)),
    "a tag of the controller": (
        spec_with(tags={"fargateprofiles.jicomusic.com/owner": "x"}),
        ("no key of the operator",),
    ),
    "49 tags": (spec_with(tags={f"k{n}": "v" for n in range(49)}), ("spec.tags", "at most 48")),
    "a tag value of 257": (spec_with(tags={"k": "v" * 257}), ("spec.tags.k", "at most 256")),
    "null where a list belongs": (spec_with(selectors=None), ("spec.selectors is null",)),
    "null subnets": (spec_with(subnets=None), ("spec.subnets is null", "without the field EKS chooses")),
    "null tags": (spec_with(tags=None), ("spec.tags is null",)),
    "a number where a string belongs": (spec_with(tags={"cost": 5}), ("spec.tags.cost is 5", "quote numbers")),
    "a boolean label": (
        spec_with(selectors=[{"namespace": "a", "labels": {"on": True}}]),
        ("spec.selectors[0].labels.on is true", "quote"),
    ),
    "a subnet that is none": (spec_with(subnets=["vpc-1"]), ("spec.subnets[0]", "subnet-")),
    "a spec that is a list": (spec_is([1]), ("spec is [1]", "mapping")),
    "a spec that is null": (spec_is(None), ("spec is null", "mapping")),
    "no spec": (no_spec, ("spec is null", "mapping")),
    "an unknown field": (spec_with(subnet=["a"]), ("spec.subnet is not a field",)),
    "an unknown field of a selector": (
        spec_with(selectors=[{"namespace": "a", "label": {}}]),
        ("spec.selectors[0].label is not a field",),
    ),
    "a deletionPolicy that is none": (spec_with(deletionPolicy="Keep"), ("spec.deletionPolicy", "Delete or Retain")),
    "a suspend that is text": (spec_with(suspend="yes"), ("spec.suspend", "true or false")),
    "a clusterName that is none": (spec_with(clusterName="a/b"), ("spec.clusterName", "name of an EKS cluster")),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_nothing_is_made_or_lost(b: Bench, case: str) -> None:
    change, words = BAD[case]
    b.api.crd_defaults = False  # an old CRD let it in
    manifest = b.manifest()
    change(manifest)
    b.api.apply(manifest)
    name = manifest["metadata"]["name"]
    before = b.get(name).get("spec")
    b.run(60)
    assert b.reason(name) == "InvalidSpec"
    assert b.stalled(name)
    for word in words:
        assert word in b.message(name)
    assert b.get(name).get("spec") == before
    assert b.manners.writes() == []
    assert b.events("Warning") == ["Refused"]
    b.delete(name)
    b.run(30)
    assert b.gone(name)


def test_all_findings_of_a_spec_are_told_together(b: Bench) -> None:
    b.api.crd_defaults = False
    b.apply(podExecutionRoleArn="x", selectors=[], tags={"aws:a": "b"}, extra=1)
    b.run(5)
    for field in ("spec.podExecutionRoleArn", "spec.selectors", "spec.tags", "spec.extra"):
        assert field in b.message()


def test_a_spec_that_is_mended_is_taken_at_once(b: Bench) -> None:
    b.apply(selectors=[])
    b.run(600)
    b.edit(selectors=[{"namespace": "web"}])
    b.run(70)
    assert b.ready()


def test_wildcards_and_prefixed_label_keys_are_taken(b: Bench) -> None:
    b.apply(selectors=[{"namespace": "prod-*", "labels": {"app.kubernetes.io/name": "w?b*", "*": ""}}])
    b.run(70)
    assert b.ready()


def test_six_labels_show_eks_own_refusal_and_leave_no_profile(b: Bench) -> None:
    b.apply(selectors=[{"namespace": "web", "labels": {f"k{n}": "v" for n in range(6)}}])
    b.run(60)
    assert b.stalled()
    assert b.reason() == "ParameterRefused"
    assert "Request contains Selector with more than 5 Label pairs" in b.message()
    assert "have the quota raised in Service Quotas" in b.message()
    assert b.profiles() == {}
    assert b.events("Warning") == ["Refused"]


# Preflight


def preflight(b: Bench, **fields: Any) -> None:
    b.apply(**fields)
    b.run(30)
    assert b.manners.count("CreateFargateProfile") == 0


def test_a_public_subnet_is_refused(b: Bench) -> None:
    preflight(b, subnets=[b.world.public_subnet])
    assert b.reason() == "SubnetPublic"
    assert b.world.public_subnet in b.message()
    assert "NAT gateway" in b.message()


def test_a_subnet_that_is_public_by_its_vpcs_main_route_table_is_refused(b: Bench) -> None:
    preflight(b, subnets=[b.world.implicit_public_subnet])
    assert b.reason() == "SubnetPublic"


def test_a_subnet_of_another_vpc_is_refused(b: Bench) -> None:
    preflight(b, subnets=[b.world.foreign_subnet])
    assert "SubnetOfOtherVpc" in b.notes("Warning")[0]


def test_a_missing_subnet_is_refused(b: Bench) -> None:
    preflight(b, subnets=["subnet-00000000000000000", *b.world.private_subnets])
    assert b.reason() == "SubnetNotFound"
    assert "does not exist in us-east-1" in b.message()


def test_a_subnet_in_a_local_zone_is_refused(b: Bench) -> None:
    preflight(b, subnets=[b.world.local_zone_subnet])
    assert b.reason() == "SubnetUnsupportedZone"


@pytest.mark.parametrize(("role", "reason"), [("no-trust", "RoleNotTrusted"), ("no-policy", "RoleWithoutPolicy")])
def test_a_role_that_fargate_cannot_use_is_refused(b: Bench, role: str, reason: str) -> None:
    preflight(b, podExecutionRoleArn=b.world.roles[role])
    assert b.reason() == reason
    assert b.stalled()


def test_a_role_that_trusts_fargate_for_another_cluster_is_refused_before_eks_is_asked(b: Bench) -> None:
    preflight(b, podExecutionRoleArn=b.world.roles["other-source"])
    assert b.reason() == "RoleNotTrusted"
    assert b.stalled()
    assert ":fargateprofile/elsewhere/*" in b.message()
    assert ":fargateprofile/demo/*" in b.message()


@pytest.mark.parametrize(("account", "mend"), [("123456789012", "make the role"), ("999999999999", "its own account")])
def test_a_missing_role_is_refused(b: Bench, account: str, mend: str) -> None:
    preflight(b, podExecutionRoleArn=f"arn:aws:iam::{account}:role/none")
    assert b.reason() == "RoleNotFound"
    assert mend in b.message()


def test_the_role_of_that_name_in_another_account_is_not_taken_for_ours(b: Bench) -> None:
    arn = b.world.roles["good"].replace("123456789012", "999999999999")
    preflight(b, podExecutionRoleArn=arn)
    assert b.reason() == "RoleNotFound"
    assert b.world.roles["good"] in b.message()


@pytest.mark.parametrize("role", ["inline-policy", "other-policy"])
def test_a_role_with_other_policies_is_a_warning_not_a_refusal(b: Bench, role: str) -> None:
    b.apply(podExecutionRoleArn=b.world.roles[role])
    b.run(30)
    assert b.reason() == "Creating"
    assert "AmazonEKSFargatePodExecutionRolePolicy" in b.message()
    assert b.events("Warning") == ["RolePolicyMissing"]
    b.run(60)
    assert b.ready()


def test_all_objections_are_told_together_each_with_its_reason(b: Bench) -> None:
    preflight(b, subnets=[b.world.public_subnet, b.world.foreign_subnet], podExecutionRoleArn=b.world.roles["no-trust"])
    for reason in ("SubnetPublic", "SubnetOfOtherVpc", "RoleNotTrusted"):
        assert reason in b.message()
    assert b.events("Warning") == ["Refused"]


@pytest.mark.parametrize("operation", ["ec2:DescribeSubnets", "ec2:DescribeRouteTables", "iam:GetRole",
                                       "iam:ListRolePolicies", "DescribeCluster"])  # fmt: skip
def test_what_may_not_be_read_is_unknown_and_no_objection(b: Bench, operation: str) -> None:
    code = "UnauthorizedOperation" if operation.startswith("ec2") else "AccessDenied"
    b.manners.fail(operation, fake.error(code, 403, "no"), times=100)
    b.apply()
    b.run(90)
    assert b.ready()


def rest(b: Bench) -> float:
    """Return in how many seconds the object is looked at again."""
    due = b.queue.next_due()
    assert due is not None
    return due - b.clock.monotonic()


def test_what_is_stalled_is_looked_at_less_and_less_often_and_after_an_edit_often_again(b: Bench) -> None:
    """Also where it is refused for the same reason as before: whoever edits is at work on it, and AWS may lag."""
    b.apply(podExecutionRoleArn=b.world.roles["no-trust"])
    b.run(5)
    assert rest(b) <= 15
    b.run(4 * 3600)
    rests = []
    for _ in range(60):
        b.run(60)
        rests.append(rest(b))
    assert 500 < max(rests) <= 600
    b.edit(tags={"team": "a"})
    b.run(1)
    assert b.reason() == "RoleNotTrusted"
    assert rest(b) <= 15
    b.run(3600)
    b.edit(subnets=[b.world.public_subnet], podExecutionRoleArn=b.world.roles["good"])
    b.run(1)
    assert b.reason() == "SubnetPublic"
    assert rest(b) <= 15


def test_a_mended_world_is_noticed_by_itself(b: Bench) -> None:
    preflight(b, podExecutionRoleArn="arn:aws:iam::123456789012:role/late")
    assert b.reason() == "RoleNotFound"
    iam = b.world.client("iam")
    trust = iam.get_role(RoleName="fargate-pods")["Role"]["AssumeRolePolicyDocument"]
    iam.create_role(RoleName="late", AssumeRolePolicyDocument=json.dumps(trust))
    pull = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="late", PolicyName="pull", PolicyDocument=json.dumps(pull))
    b.run(200)
    assert b.ready()


# What may not be looked at any more

UNLISTED = "User is not authorized to perform: eks:ListFargateProfiles"


def revoke_list(b: Bench) -> None:
    """Take the permission to list away for good, and let two resyncs pass."""
    b.manners.fail("ListFargateProfiles", fake.error("AccessDeniedException", 403, UNLISTED), times=1000)
    b.run(1200)


def test_a_revoked_list_leaves_ready_as_it_was_seen_last_and_is_said_by_stalled(b: Bench) -> None:
    b.settle()
    since = b.condition()["lastTransitionTime"]
    revoke_list(b)
    assert b.ready()
    assert b.condition()["lastTransitionTime"] == since
    assert b.reason() == "Active"
    assert b.condition("Stalled")["reason"] == "AccessDenied"
    assert "eks:ListFargateProfiles" in b.condition("Stalled")["message"]
    assert b.events("Warning") == ["Refused"], "told once"
    b.manners.heal()
    b.run(700)
    assert b.ready()
    assert not b.stalled()
    assert b.events().count("Created") == 1
    assert "Active" not in b.events(), "it has been ready all along"


def test_a_revoked_list_does_not_make_an_edit_ready_that_nobody_has_looked_at(b: Bench) -> None:
    b.settle()
    revoke_list(b)
    b.edit(tags={"team": "a"})
    b.run(1200)
    assert not b.ready()
    assert b.reason() == "AccessDenied"


def test_what_was_seen_and_may_not_be_mended_takes_ready_away(b: Bench) -> None:
    b.settle(tags={"team": "a"})
    b.world.strip_tags("demo", "web", ["team"])
    b.manners.fail("TagResource", fake.error("AccessDeniedException", 403, "no"), times=1000)
    b.run(1200)
    assert not b.ready()
    assert b.reason() == "AccessDenied"
