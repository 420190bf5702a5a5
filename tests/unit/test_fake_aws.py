"""What the fake AWS promises beyond EKS's rules: faults, the log, the lock, HTTP, and what only moto shows of a world.

The rules that it shares with the other stand-in for EKS are held in tests/contract/test_eks.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from tests.contract.eks_calls import Clock, create, delete, describe, existing, names, refusal
from tests.fakes import aws
from tests.fakes.aws import BROKEN, DROP, LOST, REFUSED, Manners, World, error, hang, html


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manners(clock: Clock) -> Manners:
    return Manners(clock=clock, creating_seconds=60, deleting_seconds=90)


@pytest.fixture
def world(manners: Manners) -> Iterator[World]:
    with aws.in_process(manners) as world:
        yield world


@pytest.fixture
def eks(world: World) -> Any:
    return world.client("eks")


@pytest.fixture
def http(manners: Manners) -> Iterator[World]:
    with aws.over_http(manners) as world:
        yield world


class TestLock:
    def test_of_many_creates_at_the_same_moment_one_wins(self, world: World, clock: Clock) -> None:
        def dawdle() -> float:
            time.sleep(0.001)  # between the check and the change, where the others would slip in
            return clock.now

        world.manners.clock = dawdle

        def attempt(index: int) -> str:
            try:
                return str(create(world, f"p{index}")["status"])
            except ClientError as refused:
                return str(refused.response["Error"]["Code"])

        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(attempt, range(16)))
        assert sorted(outcomes) == ["CREATING"] + ["ResourceInUseException"] * 15


class TestTags:
    def test_the_tags_of_a_profile_can_be_listed(self, world: World, eks: Any) -> None:
        arn = existing(world, "web", tags={"a": "1", "b": "1", "c": "1"})["fargateProfileArn"]
        eks.untag_resource(resourceArn=arn, tagKeys=["a", "c"])
        assert eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "1"}

    def test_the_tags_of_an_unknown_arn_are_not_found(self, world: World, eks: Any) -> None:
        arn = existing(world, "web")["fargateProfileArn"][:-1] + "x"
        assert refusal(eks.list_tags_for_resource, resourceArn=arn)[:2] == ("NotFoundException", 404)


class TestClusters:
    def test_a_cluster_says_its_vpc_endpoints_and_access_mode(self, world: World, eks: Any) -> None:
        cluster = eks.describe_cluster(name="demo")["cluster"]
        vpc = cluster["resourcesVpcConfig"]
        assert (vpc["vpcId"], vpc["endpointPublicAccess"], vpc["endpointPrivateAccess"]) == (world.vpc, True, False)
        assert cluster["accessConfig"] == {"authenticationMode": "API_AND_CONFIG_MAP"}
        assert cluster["status"] == "ACTIVE"

    def test_a_cluster_with_profiles_cannot_be_deleted(self, world: World, eks: Any) -> None:
        existing(world, "web")
        assert refusal(eks.delete_cluster, name="demo") == (
            "ResourceInUseException",
            409,
            "Cluster has Fargate Profiles in ACTIVE/CREATING state",
        )
        world.delete_profile("demo", "web")
        eks.delete_cluster(name="demo")
        assert refusal(eks.describe_cluster, name="demo")[0] == "ResourceNotFoundException"


class TestWorld:
    def test_subnets_and_role_of_the_sample_manifest_can_be_had_by_name(self, manners: Manners) -> None:
        with aws.in_process(manners, subnet_ids=aws.SAMPLE_SUBNETS, role_name=aws.SAMPLE_ROLE) as world:
            assert world.private_subnets == aws.SAMPLE_SUBNETS
            role = f"arn:aws:iam::123456789012:role/{aws.SAMPLE_ROLE}"
            assert create(world, subnets=list(aws.SAMPLE_SUBNETS), podExecutionRoleArn=role)["status"] == "CREATING"
            ec2 = world.client("ec2")
            listed = ec2.describe_subnets(SubnetIds=list(aws.SAMPLE_SUBNETS))["Subnets"]
            assert {subnet["VpcId"] for subnet in listed} == {world.vpc}
            by_subnet = [{"Name": "association.subnet-id", "Values": list(aws.SAMPLE_SUBNETS)}]
            tables = ec2.describe_route_tables(Filters=by_subnet)["RouteTables"]
            assert any("NatGatewayId" in route for table in tables for route in table["Routes"])

    def test_outsiders_leave_no_trace_in_the_log(self, world: World) -> None:
        existing(world, "web", tags={"owner": "us"})
        world.strip_tags("demo", "web", ["owner"])
        world.set_tags("demo", "web", {"owner": "them"})
        world.profiles("demo")
        world.delete_profile("demo", "web")
        assert names(world) == []
        assert [call.operation for call in world.manners.calls] == ["ListFargateProfiles"]

    def test_a_world_begins_empty_and_leaves_the_environment_alone(self, manners: Manners) -> None:
        before = dict(os.environ)
        with aws.in_process(manners) as world:
            existing(world, "web")
        with aws.in_process(manners) as world:
            assert names(world) == []
            assert boto3.client("sts").get_caller_identity()["Account"] == world.account
        assert dict(os.environ) == before


class TestFaults:
    def test_a_planned_error_comes_as_often_as_planned(self, world: World) -> None:
        world.manners.fail("CreateFargateProfile", error("ThrottlingException", 429, "Rate exceeded"), times=2)
        assert refusal(create, world) == ("ThrottlingException", 429, "Rate exceeded")
        assert refusal(create, world)[0] == "ThrottlingException"
        create(world)

    @pytest.mark.parametrize(
        ("operation", "service", "method", "params"),
        [
            ("ec2:DescribeSubnets", "ec2", "describe_subnets", {}),
            ("iam:GetRole", "iam", "get_role", {"RoleName": "fargate-pods"}),
            ("sts:GetCallerIdentity", "sts", "get_caller_identity", {}),
        ],
    )
    def test_other_services_fail_in_their_own_protocol(
        self, world: World, operation: str, service: str, method: str, params: dict[str, str]
    ) -> None:
        world.manners.fail(operation, error("AccessDenied", 403, "not you"))
        act = getattr(world.client(service), method)
        assert refusal(act, **params) == ("AccessDenied", 403, "not you")
        act(**params)

    def test_a_lost_answer_is_a_closed_connection_after_the_change(self, world: World) -> None:
        world.manners.fail("CreateFargateProfile", LOST)
        with pytest.raises(ConnectionClosedError):
            create(world)
        assert names(world) == ["web"]

    @pytest.mark.parametrize(("fault", "raised"), [(DROP, ConnectionClosedError), (REFUSED, EndpointConnectionError)])
    def test_a_dropped_request_changes_nothing(self, world: World, fault: aws.Fault, raised: type[Exception]) -> None:
        world.manners.fail("CreateFargateProfile", fault)
        with pytest.raises(raised):
            create(world)
        assert names(world) == []

    def test_an_error_can_hide_a_change_that_happened(self, world: World) -> None:
        world.manners.fail("CreateFargateProfile", error("ServerException", 500, happens=True))
        assert refusal(create, world)[:2] == ("ServerException", 500)
        assert names(world) == ["web"]

    def test_a_hanging_answer_is_a_read_timeout_after_the_change(self, world: World) -> None:
        world.manners.fail("CreateFargateProfile", hang(60))
        with pytest.raises(ReadTimeoutError):
            create(world)
        assert names(world) == ["web"]

    def test_a_broken_body_is_swallowed_by_botocore_after_the_change(self, world: World, eks: Any) -> None:
        existing(world, "web")
        world.manners.fail("DescribeFargateProfile", BROKEN)
        answer = eks.describe_fargate_profile(clusterName="demo", fargateProfileName="web")
        assert "fargateProfile" not in answer
        world.manners.fail("ec2:DescribeSubnets", BROKEN)
        with pytest.raises(ResponseParserError):
            world.client("ec2").describe_subnets()

    def test_a_proxys_html_has_the_status_as_its_code(self, world: World) -> None:
        world.manners.fail("CreateFargateProfile", html(502))
        assert refusal(create, world)[:2] == ("502", 502)
        assert names(world) == []

    def test_one_cluster_can_be_out_of_reach_alone(self, world: World, eks: Any) -> None:
        world.add_cluster("other")
        world.manners.fail("*", DROP, times=100, cluster="other")
        assert names(world) == []
        with pytest.raises(ConnectionClosedError):
            eks.list_fargate_profiles(clusterName="other")
        world.manners.heal()
        eks.list_fargate_profiles(clusterName="other")

    def test_others_can_act_between_a_call_and_its_effect(self, world: World) -> None:
        existing(world, "web")
        world.manners.on_call = lambda call: world.delete_profile("demo", "web")
        assert refusal(delete, world)[0] == "ResourceNotFoundException"


class TestLog:
    def test_every_request_is_logged_with_its_outcome(self, world: World, eks: Any, clock: Clock) -> None:
        arn = create(world)["fargateProfileArn"]
        eks.tag_resource(resourceArn=arn, tags={"a": "b"})
        refusal(create, world, "other")
        world.manners.fail("DescribeFargateProfile", LOST)
        with pytest.raises(ConnectionClosedError):
            describe(world)
        world.client("ec2").describe_vpcs()
        seen = [(call.service, call.operation, call.status, call.code) for call in world.manners.calls]
        assert seen == [
            ("eks", "CreateFargateProfile", 200, ""),
            ("eks", "TagResource", 200, ""),
            ("eks", "CreateFargateProfile", 409, "ResourceInUseException"),
            ("eks", "DescribeFargateProfile", 0, "LOST"),
            ("ec2", "DescribeVpcs", 200, ""),
        ]
        assert world.manners.calls[0].params == {"cluster": "demo", "profile": "web"}
        assert world.manners.calls[1].params == {"arn": arn, "cluster": "demo"}
        assert world.manners.calls[0].time == clock.now
        assert world.manners.count("CreateFargateProfile") == 2
        assert [call.operation for call in world.manners.writes()] == [
            "CreateFargateProfile",
            "TagResource",
            "CreateFargateProfile",
        ]
        world.manners.clear()
        assert world.manners.calls == []


class TestHttp:
    def test_a_child_finds_the_world_through_its_environment(
        self, http: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in http.env.items():
            monkeypatch.setenv(name, value)
        existing(http, "web", tags={"a": "b"})
        session = boto3.session.Session()
        found = session.client("eks").describe_fargate_profile(clusterName="demo", fargateProfileName="web")
        assert found["fargateProfile"]["tags"] == {"a": "b"}
        assert session.client("sts").get_caller_identity()["Account"] == http.account

    def test_the_rules_the_tags_and_the_log_are_the_same(self, http: World, clock: Clock) -> None:
        arn = create(http)["fargateProfileArn"]
        assert refusal(create, http, "other")[2].endswith("has Fargate profile web in status CREATING")
        http.client("eks").tag_resource(resourceArn=arn, tags={"a": "1", "b": "1"})
        http.client("eks").untag_resource(resourceArn=arn, tagKeys=["a", "c"])
        clock.now += 60
        assert (describe(http)["status"], describe(http)["tags"]) == ("ACTIVE", {"b": "1"})
        assert refusal(http.client("eks").list_fargate_profiles, clusterName="nowhere")[1] == 404
        http.client("iam").get_role(RoleName="fargate-pods")
        seen = [(call.service, call.operation, call.code) for call in http.manners.calls]
        assert seen == [
            ("eks", "CreateFargateProfile", ""),
            ("eks", "CreateFargateProfile", "ResourceInUseException"),
            ("eks", "TagResource", ""),
            ("eks", "UntagResource", ""),
            ("eks", "DescribeFargateProfile", ""),
            ("eks", "DescribeFargateProfile", ""),
            ("eks", "ListFargateProfiles", "ResourceNotFoundException"),
            ("iam", "GetRole", ""),
        ]
        assert http.manners.calls[1].params == {"cluster": "demo", "profile": "other"}

    def test_connections_are_cut_before_or_after_the_change(self, http: World) -> None:
        http.manners.fail("CreateFargateProfile", DROP)
        with pytest.raises(ConnectionClosedError):
            create(http)
        assert http.profiles("demo") == []
        http.manners.fail("CreateFargateProfile", LOST)
        with pytest.raises(ConnectionClosedError):
            create(http)
        assert names(http) == ["web"]

    def test_an_answer_hangs_until_the_client_gives_up(self, http: World) -> None:
        http.manners.fail("ListFargateProfiles", hang(3))
        impatient = Config(read_timeout=0.2, retries={"total_max_attempts": 1})
        session = boto3.session.Session("testing", "testing", region_name=http.region)
        eks = session.client("eks", endpoint_url=http.endpoint, config=impatient)
        begun = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            eks.list_fargate_profiles(clusterName="demo")
        assert time.monotonic() - begun < 2
        assert names(http) == []

    def test_errors_and_broken_bodies_come_in_each_services_protocol(self, http: World) -> None:
        for operation in ("ListFargateProfiles", "ec2:DescribeSubnets", "iam:GetRole", "sts:GetCallerIdentity"):
            http.manners.fail(operation, error("Denied", 403, "not you"))
        assert refusal(names, http) == ("Denied", 403, "not you")
        assert refusal(http.client("ec2").describe_subnets) == ("Denied", 403, "not you")
        assert refusal(http.client("iam").get_role, RoleName="x") == ("Denied", 403, "not you")
        assert refusal(http.client("sts").get_caller_identity) == ("Denied", 403, "not you")
        http.manners.fail("ListFargateProfiles", html(503))
        assert refusal(names, http)[:2] == ("503", 503)
        http.manners.fail("ListFargateProfiles", BROKEN)
        assert "fargateProfileNames" not in http.client("eks").list_fargate_profiles(clusterName="demo")
