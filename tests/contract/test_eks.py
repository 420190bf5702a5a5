"""What the two stand-ins for AWS have in common: moto with EKS's manners, and the small account of the simulation.

Each test says what EKS does, through the calls that aws.py makes; tests/fakes/eks_rules.py cites the sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ParamValidationError

from aws import Aws, AwsError, ProfileSpec, selector
from tests.fakes import aws as moto_aws
from tests.fakes.aws import DROP, LOST, Manners, World, html
from tests.fakes.aws import error as planned
from tests.fakes.eks import METHODS, Memory, operation, refused
from tests.fakes.eks_rules import ROLES

Account = World | Memory
SELECTORS = [{"namespace": "default", "labels": {"app": "web"}}]
ISSUE = {"code": "AccessDenied", "message": "Access denied", "resourceIds": ["role"]}


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["moto", "memory"])
def account(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Account]:
    manners = Manners(clock=clock, creating_seconds=60, deleting_seconds=90)
    if request.param == "memory":
        yield Memory(manners)
        return
    with moto_aws.in_process(manners) as world:
        yield world


@pytest.fixture
def edge(account: Account, clock: Clock) -> Aws:
    return Aws({name: account.client(name) for name in METHODS}, account.region, clock)


def create(account: Account, name: str = "web", **changes: Any) -> dict[str, Any]:
    request = {
        "clusterName": "demo",
        "fargateProfileName": name,
        "podExecutionRoleArn": account.roles["good"],
        "subnets": list(account.private_subnets),
        "selectors": SELECTORS,
        **changes,
    }
    answer = account.client("eks").create_fargate_profile(**request)
    profile: dict[str, Any] = answer["fargateProfile"]
    return profile


def describe(account: Account, name: str = "web") -> dict[str, Any]:
    answer = account.client("eks").describe_fargate_profile(clusterName="demo", fargateProfileName=name)
    profile: dict[str, Any] = answer["fargateProfile"]
    return profile


def delete(account: Account, name: str = "web") -> dict[str, Any]:
    answer = account.client("eks").delete_fargate_profile(clusterName="demo", fargateProfileName=name)
    profile: dict[str, Any] = answer["fargateProfile"]
    return profile


def names(account: Account) -> list[str]:
    pages = account.client("eks").get_paginator("list_fargate_profiles").paginate(clusterName="demo")
    return [name for page in pages for name in page["fargateProfileNames"]]


def existing(account: Account, name: str, **more: Any) -> dict[str, Any]:
    return account.add_profile("demo", name, account.roles["good"], SELECTORS, account.private_subnets, **more)


def refusal(act: Any, *args: Any, **kwargs: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        act(*args, **kwargs)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def in_use(text: str) -> tuple[str, int, str]:
    return "ResourceInUseException", 409, text


def invalid(text: str) -> tuple[str, int, str]:
    return "InvalidParameterException", 400, text


class TestLife:
    def test_a_new_profile_is_creating_for_its_time_and_then_active(self, account: Account, clock: Clock) -> None:
        made = create(account, tags={"team": "web"})
        assert (made["status"], made["tags"]) == ("CREATING", {"team": "web"})
        clock.now += 59
        assert describe(account)["status"] == "CREATING"
        clock.now += 1
        assert describe(account) == made | {"status": "ACTIVE"}

    def test_a_profile_looks_as_eks_describes_it(self, account: Account, clock: Clock) -> None:
        made = create(account)
        start = f"arn:aws:eks:us-east-1:{account.account}:fargateprofile/demo/web/"
        assert made.pop("fargateProfileArn").startswith(start)
        assert made.pop("createdAt").timestamp() == clock.now
        assert made == {
            "fargateProfileName": "web",
            "clusterName": "demo",
            "podExecutionRoleArn": account.roles["good"],
            "subnets": list(account.private_subnets),
            "selectors": SELECTORS,
            "status": "CREATING",
            "tags": {},
            "health": {"issues": []},
        }

    def test_a_deleted_profile_is_deleting_for_its_time_and_then_gone(self, account: Account, clock: Clock) -> None:
        existing(account, "web")
        assert delete(account)["status"] == "DELETING"
        clock.now += 89
        assert (describe(account)["status"], names(account)) == ("DELETING", ["web"])
        clock.now += 1
        assert names(account) == []
        assert refusal(describe, account) == (
            "ResourceNotFoundException", 404, "No Fargate Profile found with name: web."
        )  # fmt: skip

    def test_a_failure_ends_a_create_and_a_delete(self, account: Account, clock: Clock) -> None:
        account.manners.fail_create("web", ISSUE)
        account.manners.fail_delete("web", ISSUE)
        create(account)
        clock.now += 60
        failed = describe(account)
        assert (failed["status"], failed["health"]["issues"]) == ("CREATE_FAILED", [ISSUE])
        delete(account)
        clock.now += 90
        assert describe(account)["status"] == "DELETE_FAILED"
        delete(account)
        clock.now += 90
        assert names(account) == []

    def test_no_two_profiles_of_a_name_share_an_arn(self, account: Account) -> None:
        first = existing(account, "web")
        account.delete_profile("demo", "web")
        assert existing(account, "web")["fargateProfileArn"] != first["fargateProfileArn"]

    def test_an_answer_is_of_its_time(self, account: Account) -> None:
        made = existing(account, "web", tags={"a": "b"})
        account.set_tags("demo", "web", {"a": "c"})
        assert made["tags"] == {"a": "b"}

    def test_a_new_profile_may_stay_unseen_for_a_while(self, account: Account, clock: Clock) -> None:
        account.manners.visible_after = 30
        create(account)
        assert names(account) == []
        assert refusal(describe, account)[0] == "ResourceNotFoundException"
        assert refusal(create, account)[0] == "ResourceInUseException"
        clock.now += 30
        assert names(account) == ["web"]

    def test_subnets_left_out_are_the_private_ones_of_the_cluster(self, account: Account) -> None:
        request = {"clusterName": "demo", "fargateProfileName": "web", "selectors": SELECTORS}
        answer = account.client("eks").create_fargate_profile(podExecutionRoleArn=account.roles["good"], **request)
        assert answer["fargateProfile"]["subnets"] == list(account.private_subnets)

    def test_a_list_longer_than_a_page_comes_whole(self, account: Account) -> None:
        for number in range(7):
            existing(account, f"p{number}")
        first = account.client("eks").list_fargate_profiles(clusterName="demo", maxResults=3)
        assert first["fargateProfileNames"] == ["p0", "p1", "p2"]
        pages = account.client("eks").get_paginator("list_fargate_profiles")
        listed = [page["fargateProfileNames"] for page in pages.paginate(clusterName="demo", maxResults=3)]
        assert listed == [["p0", "p1", "p2"], ["p3", "p4", "p5"], ["p6"]]


class TestOneAtATime:
    @pytest.mark.parametrize("status", ["CREATING", "DELETING"])
    def test_nothing_is_made_or_deleted_while_a_profile_is_in_flight(self, account: Account, status: str) -> None:
        existing(account, "web")
        existing(account, "other", status=status)
        flying = f"because cluster demo currently has Fargate profile other in status {status}"
        assert refusal(create, account, "new") == in_use(f"Cannot create Fargate Profile new {flying}")
        assert refusal(delete, account) == in_use(f"Cannot Delete Fargate Profile web {flying}")
        assert refusal(delete, account, "other")[0] == "ResourceInUseException"

    def test_with_that_rule_off_only_the_same_profile_is_locked(self, account: Account) -> None:
        account.manners.one_in_flight = False
        existing(account, "other", status="CREATING")
        assert create(account)["status"] == "CREATING"
        assert refusal(delete, account)[0] == "ResourceInUseException"

    def test_nothing_is_made_or_deleted_while_the_cluster_is_updated(self, account: Account) -> None:
        existing(account, "web")
        account.manners.updating.add("demo")
        code, status, text = refusal(create, account, "new")
        assert (code, status) == ("ResourceInUseException", 409)
        assert text.startswith("Cannot create Fargate Profile new because cluster demo currently has update ")
        end = "because cluster demo currently has an update in progress"
        assert refusal(delete, account) == in_use(f"Cannot Delete Fargate Profile web {end}")

    def test_a_name_is_taken_before_anything_else_is_in_flight(self, account: Account) -> None:
        create(account)
        taken = "A Fargate Profile already exists with this name in this cluster."
        assert refusal(create, account) == in_use(taken)

    def test_clusters_do_not_wait_for_each_other(self, account: Account) -> None:
        account.add_cluster("other")
        create(account)
        assert create(account, clusterName="other")["status"] == "CREATING"


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"fargateProfileName": "a.b"}, "The Fargate profile name parameter contains invalid characters."),
            ({"fargateProfileName": "eks-web"}, "The fargate profile name starts with the reserved prefix: 'eks-'."),
            ({"fargateProfileName": "w" * 101}, "The Fargate profile name parameter should not be greater than 100"),
            ({"selectors": [{"namespace": "bad_ns"}]}, "The namespace provided is invalid."),
            ({"selectors": [{"namespace": "a", "labels": {"bad key!": "x"}}]}, "Selector label provided is invalid."),
            ({"selectors": []}, "Fargate Profile requires at least one selector."),
            ({"selectors": [{"labels": {"a": "b"}}]}, "Fargate Profile must have at least one selector with at least"),
            ({"selectors": [{"namespace": "a"}] * 6}, "Request contains more than 5 Selectors"),
            ({"selectors": [{"namespace": "a", "labels": dict.fromkeys("abcdef", "x")}]}, "Request contains Selector"),
            ({"tags": {"aws:x": "y"}}, "Tag keys and values must not start with aws:"),
            ({"tags": {f"k{number}": "" for number in range(51)}}, "The number of tags must not exceed 50"),
        ],
    )
    def test_input_is_refused_with_eks_s_words(self, account: Account, changes: dict[str, Any], text: str) -> None:
        code, status, message = refusal(create, account, **changes)
        assert (code, status, message[: len(text)]) == (*invalid(text),)
        assert names(account) == []

    def test_subnets_are_checked(self, account: Account) -> None:
        def said(subnet: str) -> str:
            code, status, text = refusal(create, account, subnets=[account.private_subnets[0], subnet])
            assert (code, status) == ("InvalidParameterException", 400)
            return text

        missing = "subnet-00000000"
        assert said(missing) == f"The subnet ID '{missing}' does not exist"
        assert said(account.foreign_subnet) == f"Subnet {account.foreign_subnet} is not in the VPC of cluster demo"
        for public in (account.public_subnet, account.implicit_public_subnet):
            assert said(public) == f"Subnet {public} provided in Fargate Profile is not a private subnet"
        assert said(account.local_zone_subnet).startswith("Fargate Profile creation for the Availability Zone us-east")

    @pytest.mark.parametrize("kind", ["no-trust", "other-source", "missing"])
    def test_a_role_that_fargate_cannot_assume_is_refused(self, account: Account, kind: str) -> None:
        role = account.roles.get(kind, f"arn:aws:iam::{account.account}:role/none")
        assert refusal(create, account, podExecutionRoleArn=role) == invalid(
            "Misconfigured PodExecutionRole Trust Policy; Please add the eks-fargate-pods.amazonaws.com Service"
            " Principal"
        )

    def test_a_role_with_a_path_is_refused(self, account: Account) -> None:
        role = f"arn:aws:iam::{account.account}:role/team/pods"
        text = f"The pod execution role {role} must not have a path"
        assert refusal(create, account, podExecutionRoleArn=role) == invalid(text)

    def test_the_eleventh_profile_is_refused(self, account: Account) -> None:
        for number in range(10):
            existing(account, f"p{number}")
        text = "Cluster demo has 10 Fargate profiles already"
        assert refusal(create, account) == ("ResourceLimitExceededException", 400, text)

    def test_a_cluster_must_be_there_and_active(self, account: Account) -> None:
        missing = ("ResourceNotFoundException", 404, "No cluster found for name: none.")
        assert refusal(create, account, clusterName="none") == missing
        assert refusal(account.client("eks").describe_cluster, name="none") == missing
        account.set_cluster_status("demo", "UPDATING")
        text = "Cluster 'demo' is not in ACTIVE status"
        assert refusal(create, account) == ("InvalidRequestException", 400, text)

    def test_with_a_cluster_its_profiles_are_gone(self, account: Account) -> None:
        existing(account, "web")
        account.remove_cluster("demo")
        assert refusal(names, account) == ("ResourceNotFoundException", 404, "No cluster found for name: demo.")

    @pytest.mark.parametrize("changes", [{"tags": {"a": 1}}, {"subnets": None}, {"selectors": "all"}])
    def test_what_is_of_the_wrong_type_is_never_sent(self, account: Account, changes: dict[str, Any]) -> None:
        with pytest.raises(ParamValidationError):
            create(account, **changes)


class TestTags:
    def test_tags_are_set_and_taken_one_by_one(self, account: Account) -> None:
        arn, eks = existing(account, "web", tags={"a": "1", "b": "2"})["fargateProfileArn"], account.client("eks")
        eks.tag_resource(resourceArn=arn, tags={"b": "3", "c": "4"})
        eks.untag_resource(resourceArn=arn, tagKeys=["a", "c", "none"])
        assert describe(account)["tags"] == {"b": "3"}

    def test_the_profile_must_be_there(self, account: Account) -> None:
        arn = existing(account, "web")["fargateProfileArn"]
        account.delete_profile("demo", "web")
        missing = ("NotFoundException", 404, f"Resource {arn} was not found")
        assert refusal(account.client("eks").tag_resource, resourceArn=arn, tags={"a": "b"}) == missing
        assert refusal(account.client("eks").untag_resource, resourceArn=arn, tagKeys=["a"]) == missing

    def test_too_many_tags_or_aws_s_own_are_refused_as_a_whole(self, account: Account) -> None:
        arn, tag = existing(account, "web")["fargateProfileArn"], account.client("eks").tag_resource
        assert refusal(tag, resourceArn=arn, tags={"ok": "x", "aws:a": "b"})[:2] == ("BadRequestException", 400)
        many = {f"k{number}": "" for number in range(51)}
        assert refusal(tag, resourceArn=arn, tags=many)[0] == "BadRequestException"
        assert describe(account)["tags"] == {}


class TestFacts:
    def test_aws_py_learns_the_same_of_both(self, account: Account, edge: Aws) -> None:
        subnets = {
            "private": account.private_subnets[0],
            "public": account.public_subnet,
            "main": account.implicit_public_subnet,
            "foreign": account.foreign_subnet,
            "local": account.local_zone_subnet,
            "none": "subnet-00000000",
        }
        spec = ProfileSpec(account.roles["good"], frozenset({selector("a", {})}), frozenset(subnets.values()))
        facts = edge.facts("demo", spec)
        assert facts.cluster and (facts.cluster.status, facts.cluster.vpc) == ("ACTIVE", account.vpc)
        found = {name: facts.subnets[each] for name, each in subnets.items()}
        shown = {
            name: (fact.found, fact.vpc == account.vpc, fact.zone, fact.public) for name, fact in found.items() if fact
        }
        assert shown == {
            "private": (True, True, "us-east-1a", False),
            "public": (True, True, "us-east-1a", True),
            "main": (True, True, "us-east-1b", True),
            "foreign": (True, False, "us-east-1a", False),
            "local": (True, True, "us-east-1-bos-1a", False),
            "none": (False, False, "", None),
        }

    def test_roles_look_alike(self, account: Account, edge: Aws) -> None:
        seen = {}
        for kind in ROLES:
            role = edge.facts("demo", ProfileSpec(account.roles[kind], frozenset())).role
            assert role and role.found and role.arn == account.roles[kind]
            seen[kind] = role.trusts_fargate, sorted(role.policies or ())
        assert seen == {
            "good": (True, ["AmazonEKSFargatePodExecutionRolePolicy"]),
            "no-trust": (False, ["AmazonEKSFargatePodExecutionRolePolicy"]),
            "no-policy": (True, []),
            "inline-policy": (True, ["pull"]),
            "other-policy": (True, ["AmazonEKSClusterPolicy"]),
            "other-source": (True, ["AmazonEKSFargatePodExecutionRolePolicy"]),
        }
        for method in ("get_role", "list_attached_role_policies", "list_role_policies"):
            missing = refusal(getattr(account.client("iam"), method), RoleName="none")
            assert missing == ("NoSuchEntity", 404, "Role none not found")

    def test_the_account_is_told(self, account: Account, edge: Aws) -> None:
        assert edge.account() == ("aws", account.account)


class TestFaults:
    """What goes wrong on the way is planned in moto and raised by the simulation itself: aws.py sees no difference."""

    @pytest.mark.parametrize(
        ("code", "status"),
        [("ThrottlingException", 429), ("ServerException", 500), ("AccessDeniedException", 403), ("502", 502)],
    )
    def test_a_refusal_made_by_hand_is_what_botocore_makes(self, clock: Clock, code: str, status: int) -> None:
        fault = html(status) if code == "502" else planned(code, status, "as planned")
        with moto_aws.in_process(Manners(clock=clock)) as world:
            world.manners.fail("DescribeFargateProfile", fault, times=2)
            edge = Aws({name: world.client(name) for name in METHODS}, world.region, clock)
            real = caught(lambda: edge.describe("demo", "web"))
            text = refusal(describe, world)[2]

        def fail(method: str, request: dict[str, Any]) -> Any:
            raise refused(operation(method), code, status, text)

        memory = Memory(Manners(clock=clock))
        memory.ask = fail  # type: ignore[method-assign]
        edge = Aws({name: memory.client(name) for name in METHODS}, memory.region, clock)
        assert caught(lambda: edge.describe("demo", "web")) == real

    @pytest.mark.parametrize("fault", [LOST, DROP])
    def test_a_connection_that_breaks_is_one_error_of_botocore(self, clock: Clock, fault: moto_aws.Fault) -> None:
        with moto_aws.in_process(Manners(clock=clock)) as world:
            world.manners.fail("DescribeFargateProfile", fault)
            with pytest.raises(ConnectionClosedError):
                describe(world)


def caught(act: Any) -> tuple[type, str, bool, str]:
    with pytest.raises(AwsError) as error:
        act()
    return type(error.value), error.value.reason, error.value.unclear, str(error.value)
