"""The AWS edge alone: what an answer of AWS means, values that are equal where they mean the same, facts and their age.

How EKS answers is held in tests/contract/test_eks.py, whence credentials come in test_credentials.py, and what an
object says of a cause in test_remedies.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from answers import AGAIN, BLAMED, ERRORS, UNKNOWN, AwsError, Busy, Refused, Retryable
from aws import SERVICES, Aws, HealthIssue, Profile, ProfileSpec, selector
from tests.fakes.eks import Client, refused
from tests.harness import Clock
from tests.unit.test_remedies import CAUSES

ARN = "arn:aws:eks:us-east-1:123456789012:fargateprofile/demo/web/uuid"
ROLE = "arn:aws:iam::123456789012:role/pods"
SPEC = ProfileSpec(ROLE, frozenset({selector("web", {})}), frozenset({"subnet-1"}))
Answer = dict[str, Any]
# By what EKS calls them, the calls that may be refused.
CALLS: dict[str, Callable[[Aws], object]] = {
    "ListFargateProfiles": lambda edge: edge.names("demo"),
    "DescribeFargateProfile": lambda edge: edge.describe("demo", "web"),
    "CreateFargateProfile": lambda edge: edge.create("demo", "web", SPEC, {}),
    "DeleteFargateProfile": lambda edge: edge.delete("demo", "web"),
    "TagResource": lambda edge: edge.tag(ARN, {"a": "b"}),
    "UntagResource": lambda edge: edge.untag(ARN, {"a"}),
    "GetCallerIdentity": lambda edge: edge.account(),
}


@dataclass
class Asked:
    """An AWS that answers each call by its name, and remembers what it was asked; an exception is raised."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, Answer]] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.edge = Aws({name: Client(self.ask) for name in SERVICES}, "us-east-1")

    def ask(self, method: str, request: Answer) -> Answer:
        self.calls.append((method, request))
        answer = self.answers.get(method, {})
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def count(self, method: str) -> int:
        return [name for name, _ in self.calls].count(method)


def refusing(operation: str, code: str, status: int, text: str) -> Aws:
    """Return an edge whose every call is answered so."""

    def ask(_method: str, _request: Answer) -> Answer:
        raise refused(operation, code, status, text)

    return Aws(dict.fromkeys(SERVICES, Client(ask)), "us-east-1")


def meant(error: Exception) -> AwsError:
    """Return what an answer of AWS becomes, whichever call it is the answer to."""
    with pytest.raises(AwsError) as raised:
        Asked({"get_caller_identity": error}).edge.account()
    return raised.value


def error_of(operation: str, code: str, text: str = "no", status: int = 400) -> AwsError:
    return meant(refused(operation, code, status, text))


# What an answer means

CREATE, DELETE, DESCRIBE = (f"{each}FargateProfile" for each in ("Create", "Delete", "Describe"))
IN_USE = "ResourceInUseException"
TAKEN = "A Fargate Profile already exists with this name in this cluster."
TURN = "Cannot {} Fargate Profile web because cluster demo currently has Fargate profile db in status {}"
UPDATE = "Cannot Delete Fargate Profile web because cluster demo currently has an update in progress"
TRUST = "Misconfigured PodExecutionRole Trust Policy; Please add the eks-fargate-pods.amazonaws.com Service Principal"
ZONE = "Fargate Profile creation for the Availability Zone us-east-1-bos-1a for Subnet subnet-1 is not supported"
LABELS = "Request contains Selector with more than 5 Label pairs"
PASS = "User: x is not authorized to perform: iam:PassRole on resource: y"
# What AWS says, and what it means, in the order of `ERRORS`.
MEANINGS: list[tuple[str, str, str, type[AwsError], str]] = [
    ("ListFargateProfiles", "ThrottlingException", "Rate exceeded", Retryable, "Throttled"),
    (DESCRIBE, "TooManyRequestsException", "", Retryable, "Throttled"),
    ("GetCallerIdentity", "RequestLimitExceeded", "", Retryable, "Throttled"),
    (CREATE, IN_USE, TAKEN, Busy, "NameTaken"),
    (CREATE, IN_USE, TURN.format("create", "CREATING"), Busy, "WaitingForTurn"),
    (DELETE, IN_USE, TURN.format("Delete", "DELETING"), Busy, "WaitingForTurn"),
    (CREATE, IN_USE, "demo currently has update x", Busy, "ClusterUpdating"),
    (DELETE, IN_USE, UPDATE, Busy, "ClusterUpdating"),
    (DELETE, IN_USE, "something else", Busy, "ClusterBusy"),
    (CREATE, "InvalidRequestException", "Cluster 'demo' is not in ACTIVE status", Busy, "ClusterNotActive"),
    (CREATE, "ResourceNotFoundException", "No cluster found for name: demo.", Busy, "ClusterNotFound"),
    ("TagResource", "NotFoundException", "", Busy, "ProfileGone"),
    ("UntagResource", "ResourceNotFoundException", "", Busy, "ProfileGone"),
    (CREATE, "ResourcePropagationDelayException", "", Retryable, "Propagating"),
    (CREATE, "InvalidRequestException", PASS, Refused, "AccessDenied"),
    (DESCRIBE, "AccessDeniedException", "no", Refused, "AccessDenied"),
    ("GetCallerIdentity", "InvalidClientTokenId", "", Refused, "CredentialsRefused"),
    (DELETE, "ExpiredTokenException", "", Retryable, "CredentialsExpired"),
    (DELETE, "SignatureDoesNotMatch", "", Retryable, "CredentialsExpired"),
    (CREATE, "ResourceLimitExceededException", "", Refused, "QuotaExceeded"),
    (CREATE, "InvalidParameterException", TRUST, Refused, "RoleNotTrusted"),
    (CREATE, "UnsupportedAvailabilityZoneException", "", Refused, "SubnetUnsupportedZone"),
    (CREATE, "InvalidParameterException", ZONE, Refused, "SubnetUnsupportedZone"),
    (CREATE, "InvalidParameterException", LABELS, Refused, "ParameterRefused"),
    ("TagResource", "BadRequestException", "", Refused, "ParameterRefused"),
    ("ListFargateProfiles", "ServerException", "", Retryable, "AwsUnavailable"),
    (CREATE, "502", "", Retryable, "AwsUnavailable"),
    (CREATE, "TeapotException", "", Refused, "AwsError"),
]


@pytest.mark.parametrize(("operation", "code", "text", "kind", "reason"), MEANINGS)
def test_an_answer_means_what_its_operation_code_and_text_say(
    operation: str, code: str, text: str, kind: type[AwsError], reason: str
) -> None:
    found = error_of(operation, code, text)
    assert (type(found), found.reason) == (kind, reason)


def test_every_row_of_the_table_is_reached_by_an_answer_that_is_told_with_its_mend() -> None:
    answers = [refused(operation, code, 400, text) for operation, code, text, _, _ in MEANINGS]
    answers += [cause for cause, *_ in CAUSES.values() if isinstance(cause, ClientError)]
    found, rules = [meant(each) for each in answers], (*ERRORS, BLAMED, UNKNOWN)
    reached = {(each.reason, rule.mend) for each in found for rule in rules if str(each).endswith(f". {rule.mend}")}
    assert {(rule.reason, rule.mend) for rule in rules} <= reached


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (422, Refused), *((each, Retryable) for each in (*sorted(AGAIN), 500, 503, 0))],
)
def test_of_a_word_that_nobody_knows_the_status_says_whether_it_helps_to_ask_again(
    status: int, kind: type[AwsError]
) -> None:
    assert type(error_of(CREATE, "TeapotException", status=status)) is kind


def test_an_error_says_which_call_was_answered_what_and_ends_each_sentence_once() -> None:
    found = error_of(CREATE, "ResourceLimitExceededException", "There are 10. ")
    assert str(found).startswith("CreateFargateProfile answered ResourceLimitExceededException: There are 10. Have it")


@pytest.mark.parametrize(("status", "unclear"), [(400, False), (429, False), (499, False), (500, True), (0, True)])
def test_what_became_of_a_change_is_unclear_where_aws_does_not_refuse_it(status: int, unclear: bool) -> None:
    assert error_of(CREATE, "TeapotException", status=status).unclear == unclear


@pytest.mark.parametrize("cut", [EndpointConnectionError(endpoint_url="https://eks"), KeyError("fargateProfile")])
def test_a_way_to_aws_that_is_cut_is_tried_again_and_leaves_a_change_unclear(cut: Exception) -> None:
    """As is an answer that is none of AWS's: botocore looks for a part that is not there."""
    world = Asked({"create_fargate_profile": cut})
    with pytest.raises(Retryable, match="way to AWS") as raised:
        world.edge.create("demo", "web", SPEC, {})
    assert (raised.value.reason, raised.value.unclear) == ("AwsUnreachable", True)


# Absence is a value, and a truncated answer is none


@pytest.mark.parametrize("operation", ["ListFargateProfiles", DESCRIBE, DELETE])
@pytest.mark.parametrize("code", ["ResourceNotFoundException", "NotFoundException"])
def test_what_is_not_there_is_nothing(operation: str, code: str) -> None:
    assert CALLS[operation](refusing(operation, code, 404, "No such thing")) is None


@pytest.mark.parametrize("operation", [DESCRIBE, CREATE, DELETE])
def test_an_answer_without_a_profile_is_an_error_that_leaves_a_change_unclear(operation: str) -> None:
    with pytest.raises(Retryable) as raised:
        CALLS[operation](Asked().edge)
    assert (raised.value.reason, raised.value.unclear) == ("AwsUnavailable", True)


def test_a_list_that_was_cut_off_is_not_an_empty_one() -> None:
    assert Asked({"list_fargate_profiles": {"fargateProfileNames": []}}).edge.names("demo") == []
    with pytest.raises(Retryable, match="without fargateProfileNames"):
        Asked().edge.names("demo")


# Values in canonical form


def described(**change: Any) -> Answer:
    """Return EKS's answer on a profile; what is None in it is left out."""
    usual: Answer = {
        "fargateProfileName": "web",
        "fargateProfileArn": ARN,
        "status": "ACTIVE",
        "createdAt": datetime(2026, 11, 22, 8, tzinfo=UTC),
        "podExecutionRoleArn": ROLE,
        "selectors": [{"namespace": "web", "labels": {"a": "1", "b": "2"}}, {"namespace": "db"}],
        "subnets": ["subnet-1", "subnet-2"],
    }
    return {"fargateProfile": {key: each for key, each in (usual | change).items() if each is not None}}


def seen(**change: Any) -> Profile:
    profile = Asked({"describe_fargate_profile": described(**change)}).edge.describe("demo", "web")
    assert profile
    return profile


def test_profiles_that_mean_the_same_are_equal() -> None:
    selectors = [{"namespace": "db", "labels": {}}, {"namespace": "web", "labels": {"b": "2", "a": "1"}}]
    assert seen(selectors=selectors, subnets=["subnet-2", "subnet-1"], tags={}, health={"issues": []}) == seen()


def test_what_eks_leaves_out_is_empty() -> None:
    profile = seen(selectors=None, subnets=None)
    assert (profile.selectors, profile.subnets, profile.tags, profile.health) == (frozenset(), frozenset(), {}, ())


def test_the_health_of_a_profile_is_what_eks_says() -> None:
    issues = [{"code": "AccessDenied", "message": "No access entry.", "resourceIds": ["web"]}, {}]
    assert seen(health={"issues": issues}).health == (
        HealthIssue("", "", ()),
        HealthIssue("AccessDenied", "No access entry.", ("web",)),
    )


def test_issues_in_whatever_order_are_the_same_health() -> None:
    issues = [{"code": code, "message": "no", "resourceIds": ["b", "a", code]} for code in ("B", "A")]
    other = [{**each, "resourceIds": [*reversed(each["resourceIds"])]} for each in reversed(issues)]
    assert seen(health={"issues": issues}) == seen(health={"issues": other})


@pytest.mark.parametrize(
    ("status", "true_of_it"),
    [
        ("ACTIVE", {"active"}),
        ("CREATING", {"in_flight"}),
        ("DELETING", {"in_flight"}),
        ("CREATE_FAILED", {"failed"}),
        ("DELETE_FAILED", {"failed"}),
        ("NEW_WORD", set()),
    ],
)
def test_a_profile_is_active_in_flight_or_failed_and_of_a_new_word_nothing_is_said(
    status: str, true_of_it: set[str]
) -> None:
    profile = seen(status=status)
    assert {name for name in ("active", "in_flight", "failed") if getattr(profile, name)} == true_of_it


def test_a_selector_reads_as_its_namespace_and_its_labels() -> None:
    assert str(selector("web", {"b": "2", "a": "1"})) == "web/a=1,b=2"
    assert str(selector("web", {})) == "web"


WANTED = ProfileSpec(ROLE, seen().selectors, seen().subnets)


# Changes


def test_a_create_asks_for_what_the_spec_says_and_leaves_the_subnets_to_eks_where_it_says_none() -> None:
    world = Asked({"create_fargate_profile": described(status="CREATING")})
    made = world.edge.create("demo", "web", WANTED, {"team": "a"})
    world.edge.create("demo", "web", replace(WANTED, subnets=None), {})
    (_, request), (_, without) = world.calls
    assert request == {
        "clusterName": "demo",
        "fargateProfileName": "web",
        "podExecutionRoleArn": ROLE,
        "selectors": [{"namespace": "db", "labels": {}}, {"namespace": "web", "labels": {"a": "1", "b": "2"}}],
        "subnets": ["subnet-1", "subnet-2"],
        "tags": {"team": "a"},
    }
    assert "subnets" not in without
    assert (made.status, made.tags) == ("CREATING", {"team": "a"})


def test_a_profile_whose_deletion_was_asked_for_is_being_deleted_whatever_the_answer_calls_it() -> None:
    gone = Asked({"delete_fargate_profile": described(status="ACTIVE")}).edge.delete("demo", "web")
    assert gone
    assert gone.status == "DELETING"


# Answers without their middle

SUBNET = {"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "us-east-1a"}
TABLES: Answer = {"describe_route_tables": {"RouteTables": []}}


def asked_of(**answers: Any) -> Aws:
    return Asked(TABLES | answers).edge


@pytest.mark.parametrize(
    ("lacks", "asked"),
    [
        ("cluster", lambda: asked_of().cluster("demo")),
        ("status", lambda: asked_of(describe_cluster={"cluster": {"name": "demo"}}).cluster("demo")),
        ("status", lambda: asked_of(describe_cluster={"cluster": {"status": ""}}).cluster("demo")),
        ("Role", lambda: asked_of().role(ROLE)),
        ("Arn", lambda: asked_of(get_role={"Role": {"RoleName": "pods"}}).role(ROLE)),
        ("Arn", lambda: asked_of().account()),
        ("PolicyName", lambda: asked_of(list_attached_role_policies={"AttachedPolicies": [{}]}).attached_policies("a")),
        ("accessEntry", lambda: asked_of(describe_access_entry={"accessEntry": None}).access_entry("demo", ROLE)),
        *(
            (
                r"a profile\.",
                lambda key=key: asked_of(describe_fargate_profile=described(**{key: None})).describe("a", "b"),
            )
            for key in ("fargateProfileName", "fargateProfileArn", "status", "createdAt", "podExecutionRoleArn")
        ),
        *(
            (key, lambda key=key: asked_of(describe_subnets={"Subnets": [SUBNET | {key: None}]}).subnets(["subnet-1"]))
            for key in SUBNET
        ),
    ],
)
def test_an_answer_without_its_middle_is_asked_for_again_and_is_no_fact(
    lacks: str, asked: Callable[[], object]
) -> None:
    with pytest.raises(Retryable, match=f"without {lacks}") as raised:
        asked()
    assert raised.value.reason == "AwsUnavailable"


# Route tables


def table(link: Answer, *routes: Answer, vpc: str = "vpc-1") -> Answer:
    return {"VpcId": vpc, "Associations": [link], "Routes": [*routes]}


def is_public(tables: list[Answer]) -> bool | None:
    subnet = {"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "us-east-1a"}
    answers = {"describe_subnets": {"Subnets": [subnet]}, "describe_route_tables": {"RouteTables": tables}}
    fact = Asked(answers).edge.subnets(["subnet-1"])["subnet-1"]
    assert fact
    return fact.public


OPEN = {"State": "active", "GatewayId": "igw-1"}
DEAD = {"State": "blackhole", "GatewayId": "igw-1"}
NAT = {"State": "active", "NatGatewayId": "nat-1"}
LOCAL = {"State": "active", "GatewayId": "local"}
OWN, MAIN = {"SubnetId": "subnet-1"}, {"Main": True}


@pytest.mark.parametrize(
    ("tables", "public"),
    [
        ([table(OWN, LOCAL, OPEN)], True),
        ([table(OWN, LOCAL, NAT)], False),
        ([table(OWN, DEAD)], False),
        ([table(MAIN, OPEN)], True),
        ([table(MAIN, OPEN), table(OWN, NAT)], False),
        ([table(MAIN, NAT), table(OWN, OPEN)], True),
        ([table(MAIN, OPEN, vpc="vpc-2")], False),
        ([table({"SubnetId": "subnet-2"}, OPEN)], False),
        ([], False),
    ],
)
def test_a_subnet_is_public_by_an_active_route_of_its_own_table_or_else_of_the_main_one_of_its_vpc(
    tables: list[Answer], public: bool
) -> None:
    assert is_public(tables) == public
