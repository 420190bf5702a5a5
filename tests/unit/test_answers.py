"""What aws.py makes of AWS's answers where they have other values than those of a cluster in which all is well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from answers import NOT_FOUND, AwsError
from aws import SERVICES, Aws, HealthIssue
from facts import RoleFact, Route, SubnetFact

Object = dict[str, Any]
ROLE = "arn:aws:iam::123456789012:role/pods"
ARN = "arn:aws:eks:us-east-1:123456789012:fargateprofile/demo/web/uuid"
BARE = {  # what EKS leaves out is left out here
    "fargateProfileName": "web", "fargateProfileArn": ARN, "status": "ACTIVE",
    "createdAt": datetime(2026, 11, 22, tzinfo=UTC), "podExecutionRoleArn": ROLE,
    "selectors": [{"namespace": "a"}],
}  # fmt: skip


class Client:
    """Answers each operation by what is written down for it: its pages, or the error that it raises."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[Object]()

    def __getattr__(self, name: str) -> Any:
        return lambda **request: self.pages(name, request)[0]

    def pages(self, name: str, request: Object) -> list[Object]:
        self.asked.append(request)
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, list) else [answer]

    def get_paginator(self, name: str) -> Any:
        class Paginator:
            paginate = staticmethod(lambda **request: self.pages(name, request))

        return Paginator()


def edge(**answers: Any) -> Aws:
    return Aws(dict.fromkeys(SERVICES, Client(**answers)), "us-east-1")


def refused(code: str, operation: str, status: int = 400, text: str = "no") -> ClientError:
    said: Any = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, operation)


# A profile


def test_what_eks_leaves_out_of_a_profile_is_empty() -> None:
    profile = edge(describe_fargate_profile={"fargateProfile": BARE}).describe("demo", "web")
    assert profile
    assert (profile.tags, profile.subnets, profile.health) == ({}, frozenset(), ())
    assert [each.labels for each in profile.selectors] == [()]


def test_every_health_issue_of_a_profile_is_kept_in_order_whatever_it_leaves_out() -> None:
    issues = [{"code": "AccessDenied", "message": "no", "resourceIds": ["a", "b"]}, {"code": "InternalFailure"}]
    sick = BARE | {"health": {"issues": issues}}
    profile = edge(describe_fargate_profile={"fargateProfile": sick}).describe("demo", "web")
    assert profile
    assert profile.health == (HealthIssue("AccessDenied", "no", ("a", "b")), HealthIssue("InternalFailure", ""))


# Subnets and their routes


def route(state: str = "active", **target: str) -> Object:
    return {"DestinationCidrBlock": "0.0.0.0/0", "State": state} | target


def table(*routes: Object, vpc: str = "vpc-1", **links: Any) -> Object:
    return {"VpcId": vpc, "Routes": [*routes], **links}


OWN: Object = {"Associations": [{"Main": False, "SubnetId": "subnet-2"}, {"Main": False, "SubnetId": "subnet-1"}]}
MAIN: Object = {"Associations": [{"Main": True}]}
OUT = route(GatewayId="igw-1")


@pytest.mark.parametrize(
    ("tables", "public"),
    [
        ([table(OUT, **OWN)], True),
        ([table(route("blackhole", GatewayId="igw-1"), **OWN)], False),
        ([table(route("blackhole", GatewayId="igw-1"), OUT, **OWN)], True),
        ([table(route(GatewayId="local"), OUT, **OWN)], True),
        ([table(route(GatewayId="vgw-1"), **OWN)], False),
        ([table(route(GatewayId="vpce-1"), **OWN)], False),
        ([table(route(NatGatewayId="nat-1"), **OWN)], False),
        ([table(route(TransitGatewayId="tgw-1"), **OWN)], False),
        ([table(**OWN), table(OUT, **MAIN)], False),
        ([table(OUT, **MAIN), table(**OWN)], False),
        ([table(OUT, **MAIN)], True),
        ([table(OUT, vpc="vpc-2", **MAIN), table(**MAIN)], False),
        ([table(OUT)], False),
        ([], False),
    ],
)
def test_a_subnet_is_public_by_an_active_route_of_its_own_table_or_else_of_the_main_one(
    tables: list[Object], public: bool
) -> None:
    subnet = {"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "us-east-1a"}
    fact = subnets([{"Subnets": [subnet]}], [{"RouteTables": tables}])["subnet-1"]
    assert (fact.vpc, fact.zone, fact.public) == ("vpc-1", "us-east-1a", public)


def subnets(described: list[Object], tables: list[Object]) -> Any:
    names = [each["SubnetId"] for page in described for each in page["Subnets"]]
    aws = edge(describe_subnets=described, describe_route_tables=tables)
    return aws.subnets(names)


def test_subnets_and_route_tables_are_read_to_their_last_page() -> None:
    one, two = (
        {"SubnetId": f"subnet-{n}", "VpcId": f"vpc-{n}", "AvailabilityZone": "us-east-1a"} | more
        for n, more in ((1, {}), (2, {"OutpostArn": "arn:op"}))
    )
    other = table(OUT, vpc="vpc-2", **MAIN)
    assert subnets([{"Subnets": [one]}, {"Subnets": [two]}], [{"RouteTables": []}, {"RouteTables": [other]}]) == {
        "subnet-1": SubnetFact(vpc="vpc-1", zone="us-east-1a", routes=()),
        "subnet-2": SubnetFact(vpc="vpc-2", zone="us-east-1a", outpost="arn:op", routes=(Route("0.0.0.0/0", "igw-1"),)),
    }


def test_the_route_tables_of_every_vpc_are_asked_for() -> None:
    found = [{"SubnetId": f"subnet-{n}", "VpcId": f"vpc-{n}", "AvailabilityZone": "us-east-1a"} for n in (1, 2)]
    client = Client(describe_subnets={"Subnets": found}, describe_route_tables={"RouteTables": []})
    Aws(dict.fromkeys(SERVICES, client), "us-east-1")._described(["subnet-1", "subnet-2"])
    assert client.asked[1]["Filters"] == [{"Name": "vpc-id", "Values": ["vpc-1", "vpc-2"]}]


# Lists, and absence


def test_profiles_and_policies_are_listed_to_their_last_page() -> None:
    pages = [{"fargateProfileNames": ["a"]}, {"fargateProfileNames": []}, {"fargateProfileNames": ["b"]}]
    assert edge(list_fargate_profiles=pages).names("demo") == ["a", "b"]
    attached = [{"AttachedPolicies": [{"PolicyName": name}]} for name in "ab"]
    inline = [{"PolicyNames": [name]} for name in "cd"]
    aws = edge(list_attached_role_policies=attached, list_role_policies=inline)
    assert (aws.attached_policies("role/pods"), aws.inline_policies("role/pods")) == (["a", "b"], ["c", "d"])


@pytest.mark.parametrize("code", sorted(NOT_FOUND | {"ResourceNotFoundException", "NotFoundException", "NoSuchEntity"}))
def test_each_word_for_what_is_not_there_is_an_answer_and_no_error(code: str) -> None:
    aws = edge(
        list_fargate_profiles=refused(code, "ListFargateProfiles", 404),
        describe_fargate_profile=refused(code, "DescribeFargateProfile", 404),
        delete_fargate_profile=refused(code, "DeleteFargateProfile", 404),
        get_role=refused(code, "GetRole", 404),
    )
    assert (aws.names("demo"), aws.describe("demo", "web"), aws.delete("demo", "web")) == (None, None, None)
    assert aws.role(ROLE) == RoleFact(found=False)


@pytest.mark.parametrize("code", ["NotFoundException", "ResourceNotFoundException"])
@pytest.mark.parametrize("operation", ["TagResource", "UntagResource"])
def test_a_profile_that_has_gone_before_its_tags_changed_is_looked_at_anew(code: str, operation: str) -> None:
    failed = refused(code, operation, 404)
    with pytest.raises(AwsError) as error:
        edge(tag_resource=failed).tag(ARN, {"a": "b"})
    assert error.value.reason == "ProfileGone"


@pytest.mark.parametrize(
    "code",
    ["Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
     "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"],
)  # fmt: skip
def test_every_word_for_too_many_requests_asks_for_time_and_no_more(code: str) -> None:
    with pytest.raises(AwsError) as error:
        edge(describe_fargate_profile=refused(code, "DescribeFargateProfile")).describe("demo", "web")
    assert (error.value.reason, error.value.unclear) == ("Throttled", False)


@pytest.mark.parametrize(("status", "unclear"), [(400, False), (499, False), (500, True), (503, True), (0, True)])
def test_what_aws_itself_failed_at_may_have_happened_all_the_same(status: int, unclear: bool) -> None:
    with pytest.raises(AwsError) as error:
        edge(tag_resource=refused("ServerException", "TagResource", status)).tag(ARN, {"a": "b"})
    assert error.value.unclear is unclear


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_partition_is_that_of_the_credentials(partition: str) -> None:
    arn = f"arn:{partition}:sts::123456789012:assumed-role/operator/x"
    assert edge(get_caller_identity={"Arn": arn}).account() == (partition, "123456789012")
