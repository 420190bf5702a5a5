"""What surrounds a profile: what speaks for or against it, of its cluster, its subnets and its role."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import botocore.session
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from answers import FARGATE_PRINCIPAL
from aws import HealthIssue, ProfileSpec
from facts import ClusterFact, EntryFact, RoleFact, Route, SubnetFact
from patterns import LONGEST_NOTE
from surroundings import (
    FARGATE_POLICY,
    MENDS,
    OBJECTIONS,
    Caller,
    Facts,
    Home,
    Standing,
    Trust,
    judge_trust,
    mapped_roles,
    maps_role,
    standing_of,
    unhealthy,
    unknown_role,
    warnings,
    wrong_role,
)
from tests.fakes.eks_rules import FARGATE, trusts_fargate
from tests.unit.test_plan import GOOD, HOME, ROLE, SPEC, profile

# Preflight: what AWS has against a profile


def objections(facts: Facts = GOOD, found: bool = True, spec: ProfileSpec = SPEC, home: Home = HOME) -> list[str]:
    told = [each for check in OBJECTIONS for each in check(home, found, spec, "web", facts)]
    assert all(message.endswith(".") for _, message in told)
    return [reason for reason, _ in told]


def role(**change: Any) -> Facts:
    assert GOOD.role
    return replace(GOOD, role=replace(GOOD.role, **change))


PROFILES = "arn:aws:eks:us-east-1:123456789012:fargateprofile"


def trusting(effect: str = "Allow", **condition: Any) -> Facts:
    """Return a role that trusts Fargate under a condition."""
    usual = {"Effect": "Allow", "Principal": {"Service": FARGATE_PRINCIPAL}, "Action": "sts:AssumeRole"}
    several = [usual, usual | {"Effect": effect}] if effect == "Deny" else [usual | {"Condition": condition}]
    return role(trust={"Version": "2012-10-17", "Statement": several})


def subnet(**change: Any) -> Facts:
    usual = GOOD.subnets["subnet-1"]
    assert usual
    return replace(GOOD, subnets={"subnet-1": replace(usual, **change)})


IGW = (Route("0.0.0.0/0", "igw-1"),)


def cluster(**change: Any) -> Facts:
    return replace(GOOD, cluster=replace(ClusterFact(status="ACTIVE", vpc="vpc-1"), **change))


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        (GOOD, []),
        (cluster(found=False), ["ClusterNotFound"]),
        (cluster(status="UPDATING"), ["ClusterNotActive"]),
        (cluster(elsewhere="registered"), ["ClusterWithoutFargate"]),
        (cluster(elsewhere="local", status="PENDING"), ["ClusterWithoutFargate"]),
        (subnet(found=False), ["SubnetNotFound"]),
        (subnet(vpc="vpc-2"), ["SubnetOfOtherVpc"]),
        (subnet(routes=IGW), ["SubnetPublic"]),
        (subnet(zone="us-east-1-bos-1a"), ["SubnetUnsupportedZone"]),
        (subnet(zone="us-east-1-wl1-bos-wlz-1"), ["SubnetUnsupportedZone"]),
        (subnet(outpost="arn:aws:outposts:op-1"), ["SubnetUnsupportedZone"]),
        (
            subnet(vpc="vpc-2", routes=IGW, zone="eu-west-1a"),
            ["SubnetOfOtherVpc", "SubnetPublic", "SubnetUnsupportedZone"],
        ),
        (role(found=False), ["RoleNotFound"]),
        (role(arn=ROLE.replace("123456789012", "999999999999")), ["RoleNotFound"]),
        (trusting(), []),
        (trusting(ArnLike={"aws:SourceArn": f"{PROFILES}/demo/*"}), []),
        (trusting(ArnLike={"aws:SourceArn": f"{PROFILES}/other/*"}), ["RoleNotTrusted"]),
        (role(trust={"Statement": []}), ["RoleNotTrusted"]),
        (role(policies=frozenset()), ["RoleWithoutPolicy"]),
        (role(policies=frozenset({"other"})), []),
    ],
)
def test_what_aws_would_refuse_is_refused_before(facts: Facts, reasons: list[str]) -> None:
    assert objections(facts) == reasons


@pytest.mark.parametrize(
    ("facts", "mend"),
    [
        (role(trust={"Statement": []}), "let its trust policy allow eks-fargate-pods.amazonaws.com sts:AssumeRole"),
        (
            trusting("Deny"),
            "take the statement out of its trust policy that denies eks-fargate-pods.amazonaws.com sts:AssumeRole",
        ),
        (
            trusting(StringEquals={"aws:SourceArn": f"{PROFILES}/demo/*", "aws:SourceAccount": "123456789012"}),
            f'of profile web its trust policy demands StringEquals aws:SourceArn "{PROFILES}/demo/*"; what would do is '
            f'ArnLike aws:SourceArn "{PROFILES}/demo/*"',
        ),
        (
            trusting(ArnLike={"aws:SourceArn": [f"{PROFILES}/a/*", f"{PROFILES}/b\n/*"], "aws:SourceAccount": "${x}"}),
            f'of profile web its trust policy demands ArnLike aws:SourceArn "{PROFILES}/a/*" or "{PROFILES}/b\\n/*"; '
            f'what would do is ArnLike aws:SourceArn "{PROFILES}/demo/*"',
        ),
        (
            trusting(
                ArnLike={"aws:SourceArn": f"{PROFILES}/demo"},
                StringEquals={"aws:SourceArn": f"{PROFILES}/demo", "aws:SourceAccount": "999999999999"},
            ),
            f'of profile web its trust policy demands ArnLike aws:SourceArn "{PROFILES}/demo" and StringEquals '
            f'aws:SourceArn "{PROFILES}/demo" and StringEquals aws:SourceAccount "999999999999"; what would do is '
            f'ArnLike aws:SourceArn "{PROFILES}/demo/*"',
        ),
    ],
)
def test_what_keeps_fargate_from_a_role_is_named_and_what_would_not(facts: Facts, mend: str) -> None:
    ((_, message),) = wrong_role(HOME, True, SPEC, "web", facts)
    assert message == f"spec.podExecutionRoleArn: {ROLE} can't be assumed by Fargate: {mend}."


def test_what_would_do_is_told_however_long_the_condition_is() -> None:
    others = [f"{PROFILES}/{number}" for number in range(99)]
    wrong: dict[str, Any] = {operator: {"aws:SourceArn": others} for operator in ("ArnLike", "ArnEqualsIfExists")}
    ((_, message),) = wrong_role(HOME, True, SPEC, "web", trusting(**wrong))
    assert len(message) < LONGEST_NOTE
    assert message.endswith(f'what would do is ArnLike aws:SourceArn "{PROFILES}/demo/*".')


@pytest.mark.parametrize(
    "facts",
    [
        Facts(None, {}, None),
        replace(GOOD, cluster=None),
        replace(GOOD, role=None),
        replace(GOOD, subnets={"subnet-1": None}),
        subnet(routes=None),
        role(policies=None),
        role(trust=None),
        trusting(ArnNotLike={"aws:SourceArn": "*"}),
    ],
)
def test_what_may_not_be_read_is_no_objection(facts: Facts) -> None:
    assert objections(facts) == []


def test_a_cluster_that_is_not_listed_is_missing_even_if_nothing_more_is_known_of_it() -> None:
    assert objections(Facts(None, {}, None), found=False) == ["ClusterNotFound"]


def test_a_role_of_another_account_is_told_from_one_that_is_yet_to_be_made() -> None:
    def said(account: str) -> str:
        spec = replace(SPEC, role=ROLE.replace("123456789012", account))
        ((_, message),) = (each for check in OBJECTIONS for each in check(HOME, True, spec, "web", role(found=False)))
        return message

    assert "make the role" in said("123456789012")
    assert "roles of its own account only" in said("999999999999")


@pytest.mark.parametrize(
    ("policies", "warns"), [(None, False), ([], False), ([FARGATE_POLICY, "x"], False), (["ecr"], True)]
)
def test_a_role_with_other_policies_than_fargate_s_is_a_warning(policies: list[str] | None, warns: bool) -> None:
    known = None if policies is None else frozenset(policies)
    assert warned(role(policies=known)) == ["RolePolicyMissing"] * warns


LOCAL, NAT, PEER = Route("10.0.0.0/16", "local"), Route("0.0.0.0/0", "nat-1"), Route("10.1.0.0/16", "pcx-1")
GONE = Route("0.0.0.0/0", "nat-1", "blackhole")
S3 = Route("pl-1", "vpce-1")
EGRESS = Route("::/0", "eigw-1")
IPV6, IPV4 = ClusterFact(status="ACTIVE", vpc="vpc-1", ipv6=True), ClusterFact(status="ACTIVE", vpc="vpc-1")


@pytest.mark.parametrize(
    ("routes", "warning"),
    [
        ([LOCAL, NAT], None),
        ([LOCAL, Route("10.0.0.0/8", "tgw-1")], None),
        ([LOCAL, Route("0.0.0.0/0", "vpce-1")], None),
        ([LOCAL, Route("pl-1", "nat-1")], None),
        ([LOCAL, Route("192.0.2.0/24", "eni-1")], None),
        ([LOCAL, Route("0.0.0.0/0", "")], None),
        ([LOCAL], "SubnetWithoutWayOut"),
        ([LOCAL, LOCAL], "SubnetWithoutWayOut"),
        ([LOCAL, EGRESS], "SubnetWithoutWayOut"),
        ([LOCAL, Route("10.2.0.0/16", "pcx-1", "blackhole")], "SubnetWithoutWayOut"),
        ([LOCAL, GONE], "WayOutDead"),
        ([LOCAL, GONE, S3, PEER], "WayOutDead"),
        ([LOCAL, GONE, NAT], None),
        ([LOCAL, PEER], None),
        ([LOCAL, S3], None),
        ([LOCAL, Route("0.0.0.0/0", "igw-1", "filtered")], None),
        ([], None),
        (None, None),
    ],
)
def test_a_way_out_is_an_active_route_out_of_the_vpc_and_unknown_where_endpoints_may_do(
    routes: list[Route] | None, warning: str | None
) -> None:
    facts = replace(subnet(routes=None if routes is None else tuple(routes)), cluster=IPV4)
    assert warned(facts) == ([warning] if warning else [])


def test_an_egress_only_gateway_is_a_way_out_in_an_ipv6_cluster_alone_and_unknown_where_that_is() -> None:
    facts = subnet(routes=(LOCAL, EGRESS))
    assert warned(replace(facts, cluster=IPV4)) == ["SubnetWithoutWayOut"]
    assert warned(replace(facts, cluster=IPV6)) == warned(replace(facts, cluster=None)) == []


def test_a_dead_default_route_of_ipv6_is_told_of_in_an_ipv6_cluster_alone() -> None:
    dead = subnet(routes=(LOCAL, Route("::/0", "eigw-1", "blackhole")))
    assert warned(replace(dead, cluster=IPV6)) == ["WayOutDead"]
    assert warned(replace(dead, cluster=IPV4)) == ["SubnetWithoutWayOut"]


def test_a_subnet_is_full_that_has_no_free_address_and_only_if_it_has_ipv4_addresses_at_all() -> None:
    assert warned(subnet(free=0)) == ["SubnetFull"]
    assert warned(subnet(free=1)) == warned(subnet(free=None)) == []


def test_of_several_subnets_one_warning_names_all_that_it_is_about() -> None:
    bare = SubnetFact(vpc="vpc-1", zone="us-east-1a", routes=(LOCAL,), free=0)
    facts = replace(GOOD, subnets={"subnet-1": bare, "subnet-2": bare, "subnet-3": None})
    told = dict(warnings(SPEC, facts))
    assert told.keys() == {"SubnetFull", "SubnetWithoutWayOut"}
    assert all("subnet-1, subnet-2" in text and text.endswith(".") for text in told.values())
    assert "pods of the profile that this one replaces" in told["SubnetFull"].replace("a profile", "the profile")


def test_nobody_is_warned_of_what_is_not_known() -> None:
    assert warned(None) == warned(replace(GOOD, role=None)) == []


def warned(facts: Facts | None) -> list[str]:
    return [event for event, _ in warnings(SPEC, facts)]


# Whether a cluster knows the role

MAY, JUNE = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
OLD_ROLE, NEW_ROLE = RoleFact(arn=ROLE, created_at=MAY), RoleFact(arn=ROLE, created_at=JUNE)
ENTRY, NO_ENTRY = EntryFact(kind="FARGATE_LINUX", created_at=MAY), EntryFact(found=False)


@pytest.mark.parametrize(
    ("mode", "entry", "has", "mapped", "standing"),
    [
        ("API", ENTRY, OLD_ROLE, None, Standing.KNOWN),
        ("API_AND_CONFIG_MAP", ENTRY, OLD_ROLE, False, Standing.KNOWN),
        ("API", ENTRY, None, None, Standing.UNKNOWN),
        ("API", ENTRY, RoleFact(found=False), None, Standing.UNKNOWN),
        ("API", ENTRY, replace(OLD_ROLE, created_at=None), None, Standing.UNKNOWN),
        ("API", ENTRY, replace(NEW_ROLE, arn=ROLE.replace(":role/", ":role/a/")), None, Standing.UNKNOWN),
        ("API", replace(ENTRY, created_at=None), NEW_ROLE, None, Standing.UNKNOWN),
        ("API", ENTRY, NEW_ROLE, None, Standing.DEAD),
        ("API_AND_CONFIG_MAP", ENTRY, NEW_ROLE, True, Standing.DEAD),
        ("API", NO_ENTRY, None, None, Standing.ABSENT),
        ("API", NO_ENTRY, None, True, Standing.ABSENT),
        ("API_AND_CONFIG_MAP", NO_ENTRY, None, False, Standing.ABSENT),
        ("API_AND_CONFIG_MAP", NO_ENTRY, None, True, Standing.KNOWN),
        ("API_AND_CONFIG_MAP", NO_ENTRY, None, None, Standing.UNKNOWN),
        ("API", None, OLD_ROLE, False, Standing.UNKNOWN),
        ("API", replace(ENTRY, kind="EC2_LINUX"), NEW_ROLE, False, Standing.UNKNOWN),
        ("CONFIG_MAP", NO_ENTRY, None, False, Standing.UNKNOWN),
        ("SOMETHING_NEW", NO_ENTRY, None, False, Standing.UNKNOWN),
    ],
)
def test_how_a_role_stands_with_a_cluster(
    mode: str, entry: EntryFact | None, has: RoleFact | None, mapped: bool | None, standing: Standing
) -> None:
    assert standing_of(ClusterFact(mode=mode), ROLE, entry, has, mapped) is standing


def of_roles(*arns: str, **more: Any) -> dict[str, Any]:
    listing = [
        {"rolearn": each, "username": "system:node:{{SessionName}}", "groups": ["system:nodes"]} for each in arns
    ]
    return {"data": {"mapRoles": yaml.safe_dump(listing), **more}}


OTHER_ROLE = "arn:aws:iam::123456789012:role/nodes"


@pytest.mark.parametrize(
    ("aws_auth", "has"),
    [
        (of_roles(OTHER_ROLE, ROLE), True),
        (of_roles(ROLE.replace(":role/", ":role/eks/pods-of/")), True),
        (of_roles(OTHER_ROLE), False),
        (of_roles(ROLE + "s", ROLE.replace("123456789012", "999999999999")), False),
        (of_roles(), False),
        (of_roles(mapUsers="[]"), False),
        ({"data": {"mapUsers": "[]"}}, False),
        ({}, False),
        ({"data": None}, False),
        (None, None),
        ({"data": {"mapRoles": "- rolearn: ["}}, None),
        ({"data": {"mapRoles": f"rolearn: {ROLE}"}}, None),
        ({"data": {"mapRoles": f"- {ROLE}"}}, None),
        ({"data": {"mapRoles": "!!python/object:os.system {}"}}, None),
        ({"data": "nonsense"}, None),
    ],
)
def test_aws_auth_has_a_role_without_its_path_and_says_nothing_where_it_can_not_be_read(
    aws_auth: dict[str, Any] | None, has: bool | None
) -> None:
    assert maps_role(mapped_roles(aws_auth), ROLE) is has


NESTED = "- rolearn: " + "[" * 5000
LAUGHS = "".join(f"- &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(30))


@pytest.mark.parametrize(
    ("listing", "has"),
    [
        (f"- {{rolearn: {ROLE}, since: 2020-13-45, id: !!int foo, up: !!bool foo, at: !!timestamp x}}", True),
        (f"- {{rolearn: {ROLE}, username: !!python/object:os.system {{}}}}", True),
        (f"- {{rolearn: {ROLE.upper().replace('ARN:AWS:IAM::', 'arn:aws:iam::').replace(':ROLE/', ':role/')}}}", True),
        ("- {rolearn: 2020-13-45}", False),
        ("- rolearn: !!int foo", False),
        (f"- {{rolearn: [{ROLE}]}}\n- {{rolearn: {{a: {ROLE}}}}}", False),
        (f"- {{rolearn: &a0 [lol]}}\n- {{rolearn: {ROLE}}}", True),
        (f"- {{x: &a {{rolearn: {ROLE}}}}}\n- {{<<: *a, username: b}}", None),
        ("- &a0 [lol]\n" + LAUGHS, None),
        (NESTED, None),
        ('- "\\UFFFFFFFF"', None),
        ("- ? [a]\n  : b", None),
        ("&a [*a]", None),
        (f"- rolearn: {ROLE}\n" + "#" * 200_000, None),
        (7, None),
    ],
)
def test_whatever_yaml_is_in_aws_auth_it_is_read_at_once_or_unknown_and_never_an_error(
    listing: object, has: bool | None
) -> None:
    assert maps_role(mapped_roles({"data": {"mapRoles": listing}}), ROLE) is has


def test_laughs_by_the_billion_in_one_entry_cost_nothing() -> None:
    laughs = ["x0: &a0 [lol]", *(f"x{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(30))]
    listing = "- " + "\n  ".join([*laughs, "rolearn: *a30"])
    assert mapped_roles({"data": {"mapRoles": listing}}) == frozenset()


def test_what_is_told_of_a_role_has_the_command_that_mends_it() -> None:
    which = f"--region us-east-1 --cluster-name demo --principal-arn {ROLE}"
    made = f"aws eks create-access-entry {which} --type FARGATE_LINUX"
    absent, dead = (unknown_role(HOME, ROLE, each, "API") for each in (Standing.ABSENT, Standing.DEAD))
    assert absent.endswith(f"(no access entry), so no pod can start. To mend it: {made}")
    assert dead.endswith(f"To mend it: aws eks delete-access-entry {which} && {made}")
    assert "aws-auth" in unknown_role(HOME, ROLE, Standing.ABSENT, "API_AND_CONFIG_MAP")
    assert unknown_role(HOME, ROLE, Standing.KNOWN, "API") == unknown_role(HOME, ROLE, Standing.UNKNOWN, "API") == ""


# What EKS finds wrong


def test_each_code_of_eks_has_its_mend() -> None:
    model = botocore.session.get_session().get_service_model("eks")
    assert set(model.shape_for("FargateProfileIssueCode").enum) == MENDS.keys()


def test_an_active_profile_that_eks_finds_unhealthy_is_told_in_its_words_with_the_mend_of_each() -> None:
    issues = HealthIssue("AccessDenied", "Access denied."), HealthIssue("New", "odd")
    sick = profile("web", health=issues)
    mend = MENDS["AccessDenied"]
    assert unhealthy(sick) == (
        f"EKS finds profile web unhealthy: AccessDenied: Access denied (to mend it, {mend}). New: odd."
    )
    assert unhealthy(profile("web", "CREATE_FAILED", health=issues)) == "", "that has a reason of its own"
    assert unhealthy(profile("web")) == unhealthy(None) == ""


# Trust policies, as IAM judges them for a profile that is to be made

ACCOUNT, OTHER = "111122223333", "444455556666"
ARN = f"arn:aws:eks:eu-west-1:{ACCOUNT}:fargateprofile"
CALLER = Caller(FARGATE, ACCOUNT, f"{ARN}/demo/web/")
SERVICE = {"Service": FARGATE}
ANY_UUID = "????????-????-????-????-????????????"
ONE_UUID = "5ac3a2d1-0000-4000-8000-0123456789ab"


def statement(effect: str = "Allow", principal: Any = SERVICE, action: Any = "sts:AssumeRole", **more: Any) -> Any:
    return {"Effect": effect, "Principal": principal, "Action": action} | more


def given_that(operator: str, key: str, values: Any, **more: Any) -> Any:
    return statement(Condition={operator: {key: values}}, **more)


def source(operator: str, *patterns: str) -> Any:
    return given_that(operator, "aws:SourceArn", [*patterns] if len(patterns) > 1 else patterns[0])


def judged(*statements: Any, **elements: Any) -> Trust:
    return judge_trust({"Version": "2012-10-17", "Statement": [*statements]} | elements, CALLER)


BOTH = {
    "ArnLike": {"aws:SourceArn": f"{ARN}/demo/*"},
    "StringEquals": {"aws:SourceAccount": ACCOUNT},
}
ROLE_OF_PEOPLE = statement(principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
OF_ONE_SERVICE_ACCOUNT = statement(
    principal={"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"},
    action="sts:AssumeRoleWithWebIdentity",
    Condition={"StringEquals": {"oidc.eks.eu-west-1.amazonaws.com/id/ABC:sub": "system:serviceaccount:apps:web"}},
)
# As they are found in accounts, with neutral names.
DOCUMENTS: dict[str, tuple[Any, bool | None]] = {
    "the one of the first guides": (statement(), True),
    "one statement, not in a list": ({"Statement": statement()}, True),
    "of the old version, with ids": (
        {"Version": "2008-10-17", "Id": "trust", "Statement": [statement(Sid="EKSFargatePods")]}, True),
    "a condition without anything in it": (statement(Condition={}), True),
    "AWS's recommended condition": (source("ArnLike", f"{ARN}/demo/*"), True),
    "the same for each region": (source("ArnLike", f"arn:aws:eks:*:{ACCOUNT}:fargateprofile/demo/*"), True),
    "the same for each cluster": (source("ArnLike", f"{ARN}/*"), True),
    "the same for each partition and resource": (source("ArnEquals", f"arn:*:eks:*:{ACCOUNT}:*"), True),
    "several clusters, ours among them": (source("ArnLike", f"{ARN}/blue/*", f"{ARN}/demo/*"), True),
    "the key in other letters": (given_that("ArnLike", "AWS:sourceARN", f"{ARN}/demo/*"), True),
    "by StringLike, over the colons": (source("StringLike", f"arn:aws:eks:*{ACCOUNT}*/demo/*"), True),
    "for profiles with a prefix, ours has it": (source("ArnLike", f"{ARN}/demo/we*"), True),
    "only where there is a source": (source("ArnLikeIfExists", f"{ARN}/demo/*"), True),
    "several services": (statement(principal={"Service": ["ec2.amazonaws.com", FARGATE]}), True),
    "people and Fargate": (statement(principal={"AWS": f"arn:aws:iam::{OTHER}:root", **SERVICE}), True),
    "shared with nodes, a statement each": (
        {"Statement": [statement(principal={"Service": "ec2.amazonaws.com"}), statement()]}, True),
    "actions with wildcards and in other letters": (statement(action=["STS:assume*", "sts:TagSession"]), True),
    "a Deny for another account": (
        {"Statement": [statement(), given_that("StringEquals", "aws:SourceAccount", OTHER, effect="Deny")]}, True),
    "a Deny for people": ({"Statement": [statement(), statement("Deny", {"AWS": "arn:aws:iam::1:root"})]}, True),
    "nodes only": (statement(principal={"Service": "ec2.amazonaws.com"}), False),
    "the service of the cluster, not that of the pods": (statement(principal={"Service": "eks.amazonaws.com"}), False),
    "a service account only": (OF_ONE_SERVICE_ACCOUNT, False),
    "people only": (ROLE_OF_PEOPLE, False),
    "tags only": (statement(action="sts:TagSession"), False),
    "the ARN of the cluster": (source("ArnLike", f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/demo"), False),
    "another cluster": (source("ArnLike", f"{ARN}/blue/*"), False),
    "a cluster whose name begins alike": (source("ArnLike", f"{ARN}/demo-2/*"), False),
    "another region": (source("ArnLike", f"arn:aws:eks:us-east-1:{ACCOUNT}:fargateprofile/demo/*"), False),
    "another partition": (source("ArnLike", f"arn:aws-cn:eks:eu-west-1:{ACCOUNT}:fargateprofile/demo/*"), False),
    "a wildcard that is a letter": (source("StringEquals", f"{ARN}/demo/*"), False),
    "nothing behind the cluster": (source("ArnLike", f"{ARN}/demo"), False),
    "no UUID behind the profile": (source("ArnLike", f"{ARN}/demo/web"), False),
    "another profile": (source("ArnLike", f"{ARN}/demo/api/*"), False),
    "another account": (given_that("StringEquals", "aws:SourceAccount", [OTHER, "777788889999"]), False),
    "the right source, another account": (
        statement(Condition=BOTH | {"StringEquals": {"aws:SourceAccount": OTHER}}), False),
    "a template that nobody filled in": (source("ArnLike", "arn:aws:eks:region-code:111122223333:*"), False),
    "a Deny of all of it": ({"Statement": [statement(), statement("Deny", action="sts:*")]}, False),
    "a Deny for this very cluster": (
        {"Statement": [statement(), {**source("ArnLike", f"{ARN}/demo/*"), "Effect": "Deny"}]}, False),
    "everybody": (statement(principal="*"), None),
    "everybody with an account": (statement(principal={"AWS": "*"}), None),
    "all but some": ({"Effect": "Allow", "NotPrincipal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}, None),
    "all that is not an action": ({"Effect": "Allow", "Principal": SERVICE, "NotAction": "sts:TagSession"}, None),
    "a region in the service's name": (
        statement(principal={"Service": "eks-fargate-pods.eu-west-1.amazonaws.com"}), None),
    "the service in other letters": (statement(principal={"Service": FARGATE.upper()}), None),
    "source and account, both right, if the account is sent": (statement(Condition=BOTH), None),
    "our account, where it is sent": (given_that("StringEqualsIfExists", "aws:SourceAccount", ACCOUNT), True),
    "another account, where one is sent": (given_that("StringEqualsIfExists", "aws:SourceAccount", OTHER), None),
    "a Deny for our account": (
        {"Statement": [statement(), given_that("StringEquals", "aws:SourceAccount", ACCOUNT, effect="Deny")]}, None),
    "a negated operator": (source("ArnNotLike", f"{ARN}/blue/*"), None),
    "operators for several values": (source("ForAnyValue:ArnLike", f"{ARN}/blue/*"), None),
    "the question whether there is a source": (given_that("Null", "aws:SourceArn", "false"), None),
    "a policy variable": (source("ArnLike", "arn:aws:eks:*:${aws:PrincipalAccount}:fargateprofile/*"), None),
    "an organisation": (given_that("StringEquals", "aws:SourceOrgID", "o-abcdefghij"), None),
    "an ARN that is cut short": (source("ArnLike", "arn:aws:eks:*"), None),
    "an account that is no ARN": (given_that("ArnLike", "aws:SourceAccount", OTHER), None),
    "an account that is a number": (given_that("StringEquals", "aws:SourceAccount", 444455556666), None),
    "the UUID of a profile that was": (source("StringEquals", f"{ARN}/demo/web/{ONE_UUID}"), None),
    "a Deny of which nobody knows whether it applies": (
        {"Statement": [statement(), statement("Deny", Condition={"StringNotEquals": {"aws:SourceOrgID": "o-a"}})]},
        None),
    "a Deny for some UUIDs": (
        {"Statement": [statement(), {**source("ArnLike", f"{ARN}/demo/web/5*"), "Effect": "Deny"}]}, None),
    "a Deny for whom nobody knows": ({"Statement": [statement(), statement("Deny", principal="*")]}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_trust_policy_is_judged_as_iam_judges_it_and_unknown_where_that_cannot_be_said(name: str) -> None:
    document, allows = DOCUMENTS[name]
    document = document if "Statement" in document else {"Version": "2012-10-17", "Statement": [document]}
    assert judge_trust(document, CALLER).allows is allows


ODD: tuple[Any, ...] = (None, 5, [], [None], {})


@pytest.mark.parametrize(
    "document",
    [
        None,
        "%7B%22Statement%22",
        [],
        5,
        {},
        {"Statement": None},
        {"Statement": "Allow"},
        {"statement": [statement()]},
        *({"Statement": [each]} for each in ("nonsense", *ODD)),
        *({"Statement": [statement(Effect=each)]} for each in ("allow", *ODD)),
        *({"Statement": [statement(principal=each)]} for each in (FARGATE, [SERVICE], {"Team": "a"}, *ODD)),
        *({"Statement": [statement(principal={"Service": each})]} for each in ("", "eks*", *ODD)),
        *({"Statement": [statement(action=each)]} for each in ([["sts:AssumeRole"]], *ODD)),
        *({"Statement": [statement(Condition=each)]} for each in ("x", {"ArnLike": None}, {"ArnLike": {}}, *ODD[:-1])),
        *({"Statement": [given_that("ArnLike", "aws:SourceArn", each)]} for each in ("", *ODD)),
        {"Statement": [statement(), statement("Deny", condition={"StringEquals": {"aws:SourceAccount": OTHER}})]},
    ],
)
def test_a_trust_policy_that_cannot_be_read_is_no_objection(document: object) -> None:
    assert judge_trust(document, CALLER).allows is None


def test_of_a_certain_no_the_conditions_are_named_that_are_in_the_way_and_those_only() -> None:
    wrong = {"ArnLike": {"aws:SourceArn": f"{ARN}/blue/*"}, "StringEquals": {"aws:SourceAccount": [OTHER, "1"]}}
    shown = [f'ArnLike aws:SourceArn "{ARN}/blue/*"', f'StringEquals aws:SourceAccount "{OTHER}" or "1"']
    assert [*map(str, judged(ROLE_OF_PEOPLE, statement(Condition=wrong)).in_the_way)] == shown
    half = statement(Condition=BOTH | {"StringEquals": {"aws:sourceaccount": OTHER}})
    assert [*map(str, judged(half).in_the_way)] == [f'StringEquals aws:sourceaccount "{OTHER}"']
    assert judged(ROLE_OF_PEOPLE) == judged() == Trust(False)
    assert judged(statement(), statement("Deny")) == Trust(False, denied=True)
    assert judged(source("ArnLike", f"{ARN}/blue/*"), statement()) == Trust(True)


def test_what_would_do_does() -> None:
    operator, name, value = CALLER.passes.split()
    assert judged(given_that(operator, name, value.strip('"'))) == Trust(True)


def test_a_condition_in_a_message_is_short_and_has_no_unseen_letters() -> None:
    (condition,) = judged(source("StringEquals", "a\n\u202eb", *map(str, range(5000)))).in_the_way
    assert str(condition).startswith('StringEquals aws:SourceArn "a\\n\\u202eb" or "0" or ')
    assert len(str(condition)) < 600
    assert str(condition).endswith(" more")


@pytest.mark.parametrize(
    "patterns",
    [["*a" * 4096], ["*" * 8192], ["?*" * 4096], ["*?" * 150 + "b"], ["*" + "a" * 300] * 27, ["*:" * 40] * 100],
)
def test_a_hostile_trust_policy_as_large_as_iam_takes_them_is_judged_at_once(patterns: list[str]) -> None:
    assert judged(*(source("StringLike", *patterns, "x") for _ in range(3))).allows is not None
    assert judged(source("ArnLike", *(f"arn:{each}:eks:*:*:{each}" for each in patterns))).allows in (False, None, True)


parts = st.sampled_from(["*", "aws", "eks", "eu-west-1", "us-?ast-1", ACCOUNT, OTHER, "fargateprofile/demo/*", "fa?g*"])
names = st.sampled_from(["*", "web", "w?b", "api", "we*", "web*", "?"])
uuids = st.sampled_from(["", "/*", "*", f"/{ANY_UUID}", f"/{ONE_UUID}", "/5*", "/????????-*", "-*"])
resources = st.builds("fargateprofile/{}/{}{}".format, st.sampled_from(["demo", "d*", "blue", "*"]), names, uuids)
arns = st.builds("arn:{}:{}:{}:{}:{}".format, parts, parts, parts, parts, resources | parts)
close = st.builds(f"arn:aws:eks:{{}}:{ACCOUNT}:{{}}".format, st.sampled_from(["*", "eu-west-1", "eu-*"]), resources)
values = close | arns | st.sampled_from(["*", ACCOUNT, OTHER, "1*", "arn:*", "[a]*", f"{ARN}/demo/web/{ONE_UUID}"])
operators = st.sampled_from(["ArnLike", "ArnEquals", "StringLike", "StringEquals", "StringNotLike", "ArnNotLike"])
conditions = st.dictionaries(
    st.builds("{}{}".format, operators, st.sampled_from(["", "IfExists"])),
    st.dictionaries(
        st.sampled_from(["aws:SourceArn", "AWS:sourcearn", "aws:SourceAccount", "sts:ExternalId"]),
        values | st.lists(values, min_size=1, max_size=3),
        min_size=1,
        max_size=2,
    ),
    max_size=2,
)
statements = st.builds(
    statement,
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.sampled_from([SERVICE, SERVICE, {"Service": ["ec2.amazonaws.com", FARGATE]}, {"AWS": OTHER}, "*"]),
    st.sampled_from(["sts:AssumeRole", "STS:Assume*", "*", "sts:?ssumeRole", ["sts:TagSession"], "sts:[A]*"]),
    Condition=conditions,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(statements, min_size=1, max_size=3), st.lists(st.uuids(), min_size=2, max_size=4))
def test_what_is_judged_for_sure_holds_whatever_uuid_the_profile_gets(several: list[Any], made: list[UUID]) -> None:
    document = {"Statement": several}
    trusted = {trusts_fargate(json.dumps(document), f"{CALLER.source}{uuid}") for uuid in [*made, ONE_UUID]}
    allows = judge_trust(document, CALLER).allows
    assert allows is None or trusted == {allows}
