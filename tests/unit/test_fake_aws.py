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
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from tests.contract.eks_calls import Clock, create, delete, describe, existing, names, refusal
from tests.fakes import aws
from tests.fakes.aws import BROKEN, DROP, LOST, REFUSED, SILENT, Manners, World, error, hang, html


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


HUB, SPOKE, FAR = "123456789012", "111122223333", "444455556666"


def sts_of(world: World, role: str, **more: Any) -> Any:
    """Assume a role with the world's own keys."""
    return world.client("sts").assume_role(RoleArn=role, RoleSessionName="operator", **more)


def assumed(world: World, service: str, role: str, region: str, **more: Any) -> Any:
    """Return a client that signs with a role's keys."""
    keys = sts_of(world, role, **more)["Credentials"]
    named = keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=1)
    return boto3.session.Session(*named, region_name=region).client(service, endpoint_url=world.endpoint, config=once)


@pytest.fixture(params=["in process", "over http"])
def home(request: pytest.FixtureRequest, manners: Manners) -> Iterator[World]:
    """Return the world of whoever runs the controller, either way."""
    with aws.in_process(manners) if request.param == "in process" else aws.over_http(manners) as world:
        yield world


class TestPlaces:
    def test_a_role_leads_to_what_its_account_has_in_the_region_that_is_signed_for(self, home: World) -> None:
        there, far = home.beside(SPOKE), home.beside(SPOKE, "eu-west-1")
        role = there.let_in()
        existing(home, "at-home")
        existing(there, "there")
        existing(far, "far")
        for region, name in (("us-east-1", "there"), ("eu-west-1", "far")):
            eks = assumed(home, "eks", role, region)
            assert eks.list_fargate_profiles(clusterName="demo")["fargateProfileNames"] == [name]
            assert eks.describe_cluster(name="demo")["cluster"]["arn"] == f"arn:aws:eks:{region}:{SPOKE}:cluster/demo"
        assert names(home) == ["at-home"]
        assert names(far) == ["far"], "who is in that account needs no role"

    def test_an_assumed_role_is_who_it_is(self, home: World) -> None:
        role = home.beside(SPOKE).let_in()
        found = assumed(home, "sts", role, "us-east-1").get_caller_identity()
        assert found["Account"] == SPOKE
        assert found["Arn"] == f"arn:aws:sts::{SPOKE}:assumed-role/fargate-operator/operator"
        assert home.client("sts").get_caller_identity()["Account"] == HUB

    def test_one_account_s_roles_and_subnets_are_none_of_another_s(self, home: World) -> None:
        there, far = home.beside(SPOKE), home.beside(SPOKE, "eu-west-1")
        assert there.roles["good"] == far.roles["good"] == f"arn:aws:iam::{SPOKE}:role/fargate-pods"
        iam, ec2 = (assumed(home, each, there.let_in(), "us-east-1") for each in ("iam", "ec2"))
        assert iam.get_role(RoleName="fargate-pods")["Role"]["Arn"] == there.roles["good"]
        by_vpc = [{"Name": "vpc-id", "Values": [home.vpc, there.vpc, far.vpc]}]
        assert {each["VpcId"] for each in ec2.describe_subnets(Filters=by_vpc)["Subnets"]} == {there.vpc}
        assert refusal(create, there, podExecutionRoleArn=home.roles["good"])[0] == "InvalidParameterException"
        assert refusal(create, there, subnets=[home.private_subnets[0]])[0] == "InvalidParameterException"
        create(there)

    def test_each_place_has_its_turn_its_manners_and_its_log(self, home: World, clock: Clock) -> None:
        there = home.beside(SPOKE)
        there.manners.creating_seconds = 5
        create(home)
        create(there)
        clock.now += 5
        assert (describe(home)["status"], describe(there)["status"]) == ("CREATING", "ACTIVE")
        there.manners.fail("DescribeFargateProfile", error("ThrottlingException", 429))
        describe(home)
        assert refusal(describe, there)[0] == "ThrottlingException"
        assert home.manners.count("DescribeFargateProfile") == there.manners.count("DescribeFargateProfile") == 2
        assert {(call.account, call.region) for call in there.manners.calls} == {(SPOKE, "us-east-1")}
        assert len(home.everywhere()) == len(home.manners.calls) + len(there.manners.calls)

    def test_a_region_that_is_down_is_so_for_every_account_s_own_and_for_all_but_iam(self, home: World) -> None:
        far = home.beside(SPOKE, "eu-west-1")
        role = far.let_in()
        eks, ec2, iam = (assumed(home, each, role, "eu-west-1") for each in ("eks", "ec2", "iam"))
        far.manners.down = REFUSED
        with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
            eks.list_fargate_profiles(clusterName="demo")
        far.manners.down = SILENT
        with pytest.raises((ConnectTimeoutError, ReadTimeoutError)):
            ec2.describe_subnets()
        iam.get_role(RoleName="fargate-pods")
        assert names(home) == []
        far.manners.down = None
        assert eks.list_fargate_profiles(clusterName="demo")["fargateProfileNames"] == []

    def test_subnets_come_and_change_their_tags(self, home: World) -> None:
        far = home.beside(SPOKE, "eu-west-1")
        made = far.add_subnet(fargate="yes", team="a")
        far.tag_subnet(made, team="", tier="x")
        filters = [{"Name": "vpc-id", "Values": [far.vpc]}]
        listed = far.client("ec2").describe_subnets(Filters=filters)["Subnets"]
        tags = {each["SubnetId"]: {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])} for each in listed}
        assert tags[made] == {"fargate": "yes", "tier": "x"}
        create(far, subnets=[made])


class TestAssumeRole:
    @pytest.mark.parametrize(
        ("trust", "asked"),
        [
            ({"external_id": "42"}, {}),
            ({"external_id": "42"}, {"ExternalId": "43"}),
            ({"account": FAR}, {}),
        ],
    )
    def test_whom_the_trust_policy_does_not_let_in_is_refused(
        self, home: World, trust: dict[str, str], asked: dict[str, str]
    ) -> None:
        role = home.beside(SPOKE).let_in(**trust)
        said = f"User: arn:aws:sts::{HUB}:user/moto is not authorized to perform: sts:AssumeRole on resource: {role}"
        assert refusal(sts_of, home, role, **asked) == ("AccessDenied", 403, said)
        assert home.manners.calls[-1].operation == "AssumeRole"
        assert home.manners.calls[-1].code == "AccessDenied"

    def test_a_role_that_is_not_there_is_refused_in_the_same_words(self, home: World) -> None:
        role = f"arn:aws:iam::{SPOKE}:role/none"
        code, status, said = refusal(sts_of, home, role)
        assert (code, status) == ("AccessDenied", 403)
        assert said.endswith(f"is not authorized to perform: sts:AssumeRole on resource: {role}")

    def test_what_the_callers_own_policy_does_not_name_is_refused(self, home: World) -> None:
        role = home.beside(SPOKE).let_in()
        home.manners.sts.may_assume = (f"arn:aws:iam::{FAR}:role/*",)
        assert refusal(sts_of, home, role)[0] == "AccessDenied"
        home.manners.sts.may_assume = (f"arn:aws:iam::{SPOKE}:role/fargate-*",)
        sts_of(home, role)

    def test_the_right_external_id_opens(self, home: World) -> None:
        role = home.beside(SPOKE).let_in(external_id="42")
        sts_of(home, role, ExternalId="42")
        home.others[0].let_in(external_id="43")
        assert refusal(sts_of, home, role, ExternalId="42")[0] == "AccessDenied", "the role was made anew"

    def test_keys_end(self, home: World, clock: Clock) -> None:
        role = home.beside(SPOKE).let_in()
        home.manners.sts.life_seconds = 100
        keys = sts_of(home, role)["Credentials"]
        assert keys["Expiration"].timestamp() == clock.now + 100
        clients = {each: assumed(home, each, role, "us-east-1") for each in ("eks", "ec2", "iam")}
        clients["eks"].list_fargate_profiles(clusterName="demo")
        clock.now += 100
        ended = {
            "eks": refusal(clients["eks"].list_fargate_profiles, clusterName="demo")[0],
            "ec2": refusal(clients["ec2"].describe_subnets)[0],
            "iam": refusal(clients["iam"].get_role, RoleName="fargate-pods")[0],
        }
        assert ended == {"eks": "ExpiredTokenException", "ec2": "RequestExpired", "iam": "ExpiredToken"}

    def test_one_role_may_be_slow_and_holds_up_no_other(self, http: World) -> None:
        slow, quick = http.beside(SPOKE).let_in(), http.beside(FAR).let_in()
        http.manners.sts.slow[slow] = 1.0
        with ThreadPoolExecutor(1) as threads:
            waits = threads.submit(sts_of, http, slow)
            begun = time.monotonic()
            sts_of(http, quick)
            assert time.monotonic() - begun < 0.8
            assert not waits.done()
            waits.result(10)
