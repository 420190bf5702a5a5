"""What the fake AWS promises, through real boto3 clients: the manners that EKS has and moto has not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
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

from tests.fakes import aws
from tests.fakes.aws import BROKEN, DROP, LOST, REFUSED, Manners, World, error, hang, html

SELECTORS = [{"namespace": "default", "labels": {"app": "web"}}]
ISSUE = {"code": "AccessDenied", "message": "Access denied", "resourceIds": ["role"]}


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


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


def create(world: World, name: str = "web", **changes: Any) -> dict[str, Any]:
    request = {
        "clusterName": world.cluster,
        "fargateProfileName": name,
        "podExecutionRoleArn": world.roles["good"],
        "subnets": list(world.private_subnets),
        "selectors": SELECTORS,
        **changes,
    }
    answer = world.client("eks").create_fargate_profile(**request)
    profile: dict[str, Any] = answer["fargateProfile"]
    return profile


def describe(world: World, name: str = "web") -> dict[str, Any]:
    answer = world.client("eks").describe_fargate_profile(clusterName=world.cluster, fargateProfileName=name)
    profile: dict[str, Any] = answer["fargateProfile"]
    return profile


def delete(world: World, name: str = "web") -> dict[str, Any]:
    answer = world.client("eks").delete_fargate_profile(clusterName=world.cluster, fargateProfileName=name)
    profile: dict[str, Any] = answer["fargateProfile"]
    return profile


def names(world: World) -> list[str]:
    answer = world.client("eks").list_fargate_profiles(clusterName=world.cluster)
    listed: list[str] = answer["fargateProfileNames"]
    return listed


def refusal(act: Any, *args: Any, **kwargs: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        act(*args, **kwargs)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def existing(world: World, name: str, **more: Any) -> dict[str, Any]:
    return world.add_profile(world.cluster, name, world.roles["good"], SELECTORS, world.private_subnets, **more)


class TestLife:
    def test_a_new_profile_is_creating_until_its_time_has_passed(self, world: World, clock: Clock) -> None:
        assert create(world)["status"] == "CREATING"
        clock.now += 59
        assert describe(world)["status"] == "CREATING"
        clock.now += 1
        assert describe(world)["status"] == "ACTIVE"

    def test_a_profile_looks_as_eks_describes_it(self, world: World, clock: Clock) -> None:
        profile = create(world, tags={"team": "web"})
        start = f"arn:aws:eks:us-east-1:{world.account}:fargateprofile/demo/web/"
        assert profile["fargateProfileArn"].startswith(start)
        assert len(profile["fargateProfileArn"]) == len(start) + 36
        assert profile["createdAt"] == datetime.fromtimestamp(clock.now, UTC)
        assert profile["createdAt"].tzinfo
        assert profile["tags"] == {"team": "web"}
        assert profile["health"] == {"issues": []}
        assert profile["selectors"] == SELECTORS

    def test_a_profile_in_deletion_is_listed_until_it_is_gone(self, world: World, clock: Clock) -> None:
        existing(world, "web")
        assert delete(world)["status"] == "DELETING"
        assert names(world) == ["web"]
        assert describe(world)["status"] == "DELETING"
        clock.now += 90
        assert names(world) == []
        assert refusal(describe, world) == (
            "ResourceNotFoundException",
            404,
            "No Fargate Profile found with name: web.",
        )

    def test_a_create_can_end_in_create_failed_with_health_issues(self, world: World, clock: Clock) -> None:
        world.manners.fail_create("web", ISSUE)
        create(world)
        clock.now += 60
        assert (describe(world)["status"], describe(world)["health"]["issues"]) == ("CREATE_FAILED", [ISSUE])
        delete(world)
        clock.now += 90
        create(world)
        clock.now += 60
        assert describe(world)["status"] == "ACTIVE"

    def test_a_delete_can_end_in_delete_failed_and_be_tried_again(self, world: World, clock: Clock) -> None:
        existing(world, "web")
        world.manners.fail_delete("web", ISSUE)
        delete(world)
        clock.now += 90
        assert (describe(world)["status"], describe(world)["health"]["issues"]) == ("DELETE_FAILED", [ISSUE])
        delete(world)
        clock.now += 90
        assert names(world) == []

    def test_reads_may_not_know_a_new_profile_yet_but_writes_do(self, world: World, clock: Clock) -> None:
        world.manners.visible_after = 5
        create(world)
        assert names(world) == []
        assert refusal(describe, world)[0] == "ResourceNotFoundException"
        assert refusal(create, world)[2] == "A Fargate Profile already exists with this name in this cluster."
        clock.now += 5
        assert names(world) == ["web"]
        assert describe(world)["status"] == "CREATING"

    def test_the_clusters_private_subnets_are_taken_when_none_are_given(self, world: World) -> None:
        assert create(world, subnets=[])["subnets"] == list(world.private_subnets)

    def test_a_list_goes_on_at_the_next_page_even_if_its_first_profile_has_gone(self, world: World, eks: Any) -> None:
        for name in ("a", "b", "c", "d"):
            existing(world, name)
        page = eks.list_fargate_profiles(clusterName="demo", maxResults=2)
        assert page["fargateProfileNames"] == ["a", "b"]
        world.delete_profile("demo", "c")
        page = eks.list_fargate_profiles(clusterName="demo", maxResults=2, nextToken=page["nextToken"])
        assert page["fargateProfileNames"] == ["d"]
        assert "nextToken" not in page


class TestOneAtATime:
    def test_a_second_create_while_one_is_creating_is_refused_with_eks_own_text(self, world: World) -> None:
        create(world, "first")
        assert refusal(create, world, "second") == (
            "ResourceInUseException",
            409,
            "Cannot create Fargate Profile second because cluster demo currently has Fargate profile first"
            " in status CREATING",
        )

    def test_a_create_while_one_is_deleting_is_refused(self, world: World) -> None:
        existing(world, "first")
        delete(world, "first")
        assert refusal(create, world, "second")[2].endswith("has Fargate profile first in status DELETING")

    def test_a_delete_while_one_is_deleting_is_refused_with_a_capital_d(self, world: World) -> None:
        existing(world, "first")
        existing(world, "second")
        delete(world, "first")
        assert refusal(delete, world, "second") == (
            "ResourceInUseException",
            409,
            "Cannot Delete Fargate Profile second because cluster demo currently has Fargate profile first"
            " in status DELETING",
        )

    def test_a_profile_that_is_creating_cannot_be_deleted(self, world: World) -> None:
        create(world)
        assert refusal(delete, world) == (
            "ResourceInUseException",
            409,
            "Cannot Delete Fargate Profile web because cluster demo currently has Fargate profile web"
            " in status CREATING",
        )

    def test_creates_and_deletes_are_refused_while_the_cluster_is_being_updated(self, world: World) -> None:
        existing(world, "web")
        world.manners.updating.add("demo")
        code, status, message = refusal(create, world, "other")
        assert (code, status) == ("ResourceInUseException", 409)
        assert message.startswith("Cannot create Fargate Profile other because cluster demo currently has update")
        assert refusal(delete, world) == (
            "ResourceInUseException",
            409,
            "Cannot Delete Fargate Profile web because cluster demo currently has an update in progress",
        )

    def test_other_clusters_are_not_held_up(self, world: World) -> None:
        world.add_cluster("other")
        create(world)
        assert create(world, clusterName="other")["status"] == "CREATING"

    def test_the_rule_can_be_switched_off_but_a_profile_still_has_one_change_at_a_time(self, world: World) -> None:
        world.manners.one_in_flight = False
        create(world, "first")
        assert create(world, "second")["status"] == "CREATING"
        assert refusal(delete, world, "second")[0] == "ResourceInUseException"

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


class TestChecks:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("my.profile", "The Fargate profile name parameter contains invalid characters. It should begin with"),
            ("-web", "The Fargate profile name parameter contains invalid characters. It should begin with"),
            ("eks-web", "The fargate profile name starts with the reserved prefix: 'eks-'."),
            ("a" * 101, "The Fargate profile name parameter should not be greater than 100 characters."),
        ],
    )
    def test_a_name_is_refused_before_the_cluster_is_looked_up(self, world: World, name: str, message: str) -> None:
        code, status, seen = refusal(create, world, name, clusterName="nowhere")
        assert (code, status) == ("InvalidParameterException", 400)
        assert seen.startswith(message)

    @pytest.mark.parametrize(
        ("selector", "message"),
        [
            ({"namespace": "bad_ns"}, "The namespace provided is invalid."),
            ({"namespace": "a" * 64}, "The namespace provided is invalid."),
            ({"namespace": "a", "labels": {"bad key!": "x"}}, "Selector label provided is invalid."),
        ],
    )
    def test_a_selector_of_wrong_form_is_refused_before_the_cluster_is_looked_up(
        self, world: World, selector: dict[str, Any], message: str
    ) -> None:
        answer = refusal(create, world, selectors=[selector], clusterName="nowhere")
        assert answer == ("InvalidParameterException", 400, message)

    @pytest.mark.parametrize(
        ("selectors", "message"),
        [
            ([], "Fargate Profile requires at least one selector."),
            (
                [{"labels": {"a": "b"}}],
                "Fargate Profile must have at least one selector with at least one namespace value.",
            ),
            ([{"namespace": f"n{i}"} for i in range(6)], "Request contains more than 5 Selectors"),
            (
                [{"namespace": "a", "labels": {f"l{i}": "x" for i in range(6)}}],
                "Request contains Selector with more than 5 Label pairs",
            ),
        ],
    )
    def test_the_number_of_selectors_and_labels_is_checked_after_the_cluster(
        self, world: World, selectors: list[dict[str, Any]], message: str
    ) -> None:
        answer = refusal(create, world, selectors=selectors)
        assert answer == ("InvalidParameterException", 400, message)
        assert refusal(create, world, selectors=selectors, clusterName="nowhere")[1] == 404

    def test_wildcards_and_prefixed_label_keys_pass(self, world: World) -> None:
        create(world, selectors=[{"namespace": "prod*", "labels": {"app.kubernetes.io/name": "*", "k8s-?": "x"}}])

    def test_an_unknown_cluster_is_not_found(self, world: World, eks: Any) -> None:
        expected = ("ResourceNotFoundException", 404, "No cluster found for name: nowhere.")
        assert refusal(create, world, clusterName="nowhere") == expected
        assert refusal(eks.list_fargate_profiles, clusterName="nowhere") == expected
        nobody = {"clusterName": "nowhere", "fargateProfileName": "web"}
        assert refusal(eks.describe_fargate_profile, **nobody) == expected
        assert refusal(eks.delete_fargate_profile, **nobody) == expected

    def test_a_cluster_that_is_not_active_refuses(self, world: World) -> None:
        world.set_cluster_status("demo", "CREATING")
        expected = ("InvalidRequestException", 400, "Cluster 'demo' is not in ACTIVE status")
        assert refusal(create, world) == expected

    def test_a_name_is_taken_whatever_the_state_of_its_profile(self, world: World) -> None:
        for status in ("ACTIVE", "CREATE_FAILED", "DELETING"):
            existing(world, "web", status=status)
            assert refusal(create, world) == (
                "ResourceInUseException",
                409,
                "A Fargate Profile already exists with this name in this cluster.",
            )

    def test_a_public_subnet_is_refused_by_its_own_table_or_the_main_one(self, world: World) -> None:
        for subnet in (world.public_subnet, world.implicit_public_subnet):
            assert refusal(create, world, subnets=[world.private_subnets[0], subnet]) == (
                "InvalidParameterException",
                400,
                f"Subnet {subnet} provided in Fargate Profile is not a private subnet",
            )

    def test_a_subnet_of_another_vpc_or_none_or_a_local_zone_is_refused(self, world: World) -> None:
        for subnet in (world.foreign_subnet, "subnet-00000000000000000", world.local_zone_subnet):
            code, status, message = refusal(create, world, subnets=[subnet])
            assert (code, status) == ("InvalidParameterException", 400)
        assert message.startswith("Fargate Profile creation for the Availability Zone us-east-1-bos-1a")

    @pytest.mark.parametrize("kind", ["no-trust", "other-source", "missing"])
    def test_a_role_that_does_not_trust_fargate_is_refused(self, world: World, kind: str) -> None:
        role = world.roles.get(kind, f"arn:aws:iam::{world.account}:role/missing")
        assert refusal(create, world, podExecutionRoleArn=role) == (
            "InvalidParameterException",
            400,
            "Misconfigured PodExecutionRole Trust Policy; Please add the eks-fargate-pods.amazonaws.com"
            " Service Principal",
        )

    def test_a_role_with_a_path_is_refused(self, world: World) -> None:
        role = f"arn:aws:iam::{world.account}:role/team/fargate-pods"
        assert refusal(create, world, podExecutionRoleArn=role)[0] == "InvalidParameterException"

    def test_the_policies_of_a_role_are_not_checked(self, world: World) -> None:
        create(world, podExecutionRoleArn=world.roles["no-policy"])

    def test_the_role_goes_unchecked_on_demand(self, world: World) -> None:
        world.manners.validate_role = False
        create(world, podExecutionRoleArn="arn:aws:iam::123456789012:role/x/y")

    def test_an_eleventh_profile_exceeds_the_quota(self, world: World) -> None:
        for index in range(10):
            existing(world, f"p{index}")
        code, status, _ = refusal(create, world)
        assert (code, status) == ("ResourceLimitExceededException", 400)
        world.manners.max_profiles = 11
        create(world)

    @pytest.mark.parametrize(
        "tags", [{f"k{i}": "v" for i in range(51)}, {"aws:x": "y"}, {"x": "AWS:y"}, {"k" * 129: "v"}]
    )
    def test_tags_that_aws_does_not_take_fail_the_whole_create(self, world: World, tags: dict[str, str]) -> None:
        assert refusal(create, world, tags=tags)[:2] == ("InvalidParameterException", 400)
        assert names(world) == []

    def test_the_checks_come_in_the_order_of_eks(self, world: World) -> None:
        wrong: dict[str, Any] = {
            "clusterName": "nowhere",
            "selectors": [{"namespace": "bad_ns"}],
            "subnets": [world.public_subnet],
            "podExecutionRoleArn": world.roles["no-trust"],
            "tags": {"aws:x": "y"},
        }
        for index in range(9):
            existing(world, f"p{index}")
        existing(world, "web", status="CREATING")
        world.set_cluster_status("demo", "CREATING")
        world.manners.updating.add("demo")
        world.manners.creating_seconds = 0
        mendings: list[tuple[str, Any]] = [
            ("namespace provided is invalid", lambda: wrong.update(selectors=[])),
            ("No cluster found", lambda: wrong.update(clusterName="demo")),
            ("not in ACTIVE status", lambda: world.set_cluster_status("demo", "ACTIVE")),
            ("already exists", lambda: wrong.update(fargateProfileName="other")),
            ("currently has update", world.manners.updating.clear),
            ("status CREATING", lambda: existing(world, "web", status="ACTIVE")),
            ("requires at least one selector", lambda: wrong.update(selectors=SELECTORS)),
            ("is not a private subnet", lambda: wrong.update(subnets=[])),
            ("Misconfigured", lambda: wrong.update(podExecutionRoleArn=world.roles["good"])),
            ("10 Fargate profiles already", lambda: world.delete_profile("demo", "p0")),
            ("must not start with aws:", lambda: wrong.update(tags={})),
        ]
        for message, mend in mendings:
            assert message in refusal(create, world, **wrong)[2]
            mend()
        create(world, **wrong)


class TestTags:
    def test_tags_of_a_profile_are_added_replaced_and_removed(self, world: World, eks: Any) -> None:
        arn = existing(world, "web", tags={"a": "1", "b": "1", "c": "1"})["fargateProfileArn"]
        eks.tag_resource(resourceArn=arn, tags={"b": "2", "d": "2"})
        eks.untag_resource(resourceArn=arn, tagKeys=["a", "c", "absent"])
        assert eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2", "d": "2"}
        assert describe(world)["tags"] == {"b": "2", "d": "2"}

    def test_an_unknown_arn_is_not_found_in_the_tag_operations_own_words(self, world: World, eks: Any) -> None:
        arn = existing(world, "web")["fargateProfileArn"][:-1] + "x"
        assert refusal(eks.tag_resource, resourceArn=arn, tags={"a": "b"})[:2] == ("NotFoundException", 404)
        assert refusal(eks.untag_resource, resourceArn=arn, tagKeys=["a"])[:2] == ("NotFoundException", 404)
        assert refusal(eks.list_tags_for_resource, resourceArn=arn)[:2] == ("NotFoundException", 404)

    def test_more_than_fifty_tags_in_the_end_are_a_bad_request(self, world: World, eks: Any) -> None:
        arn = existing(world, "web", tags={f"k{i}": "v" for i in range(50)})["fargateProfileArn"]
        eks.tag_resource(resourceArn=arn, tags={"k0": "new"})
        answer = refusal(eks.tag_resource, resourceArn=arn, tags={"one": "more"})
        assert answer[:2] == ("BadRequestException", 400)
        assert "one" not in describe(world)["tags"]

    def test_clusters_have_tags_too(self, world: World, eks: Any) -> None:
        arn = eks.describe_cluster(name="demo")["cluster"]["arn"]
        eks.tag_resource(resourceArn=arn, tags={"a": "b"})
        assert eks.describe_cluster(name="demo")["cluster"]["tags"] == {"a": "b"}


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

    def test_a_cluster_that_goes_takes_its_profiles_along(self, world: World) -> None:
        create(world)
        world.remove_cluster("demo")
        assert refusal(describe, world)[2] == "No cluster found for name: demo."


class TestWorld:
    def test_ec2_and_iam_show_what_the_checks_go_by(self, world: World) -> None:
        ec2, iam = world.client("ec2"), world.client("iam")
        subnets = [*world.private_subnets, world.local_zone_subnet, world.foreign_subnet]
        seen = {s["SubnetId"]: s for s in ec2.describe_subnets(SubnetIds=subnets)["Subnets"]}
        assert seen[world.local_zone_subnet]["AvailabilityZone"] == "us-east-1-bos-1a"
        assert seen[world.foreign_subnet]["VpcId"] != seen[world.private_subnets[0]]["VpcId"] == world.vpc
        policies = iam.list_attached_role_policies(RoleName="fargate-pods")["AttachedPolicies"]
        assert [policy["PolicyArn"] for policy in policies] == [
            "arn:aws:iam::aws:policy/AmazonEKSFargatePodExecutionRolePolicy"
        ]
        inline = iam.list_role_policies(RoleName="fargate-inline-policy")["PolicyNames"]
        assert inline == ["pull"]
        assert not iam.list_attached_role_policies(RoleName="fargate-inline-policy")["AttachedPolicies"]

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

    def test_outsiders_change_what_they_like_and_leave_no_trace_in_the_log(self, world: World) -> None:
        create(world, tags={"owner": "us", "team": "web"})
        existing(world, "theirs", created_at=1.0, status="DELETE_FAILED", issues=[ISSUE])
        world.manners.clear()
        world.strip_tags("demo", "web", ["owner"])
        world.set_tags("demo", "theirs", {"owner": "them"})
        theirs, web = world.profiles("demo")
        assert (web["tags"], web["status"]) == ({"team": "web"}, "CREATING")
        assert (theirs["tags"], theirs["createdAt"].timestamp()) == ({"owner": "them"}, 1.0)
        assert (theirs["status"], theirs["health"]) == ("DELETE_FAILED", {"issues": [ISSUE]})
        world.delete_profile("demo", "web")
        assert names(world) == ["theirs"]
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
