"""What the two stand-ins for AWS have in common: moto with EKS's manners, and the small account of the simulation.

Each test says what EKS does, through the calls that aws.py makes; tests/fakes/eks_rules.py cites the sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ConnectionClosedError, ParamValidationError

from answers import FARGATE_PRINCIPAL, AwsError
from aws import Aws, HealthIssue, ProfileSpec, selector
from facts import EntryFact
from lookups import Known
from surroundings import Caller, judge_trust
from tests.contract.eks_calls import (
    ISSUE,
    SELECTORS,
    Account,
    Clock,
    create,
    delete,
    describe,
    existing,
    names,
    refusal,
)
from tests.fakes import aws as moto_aws
from tests.fakes.aws import DROP, LOST, Manners, html
from tests.fakes.aws import error as planned
from tests.fakes.eks import METHODS, Memory, operation, refused
from tests.fakes.eks_rules import ROLES

NAME = (
    "The Fargate profile name parameter contains invalid characters. It should begin with letter or digit and can have"
    " any of the following characters: the set of Unicode letters, digits, hyphens and underscores."
)
NOWHERE = ("ResourceNotFoundException", 404, "No cluster found for name: nowhere.")
TAKEN = "A Fargate Profile already exists with this name in this cluster."


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
    return Aws({name: account.client(name) for name in METHODS}, account.region)


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
        arn, created = made.pop("fargateProfileArn"), made.pop("createdAt")
        assert (arn[: len(start)], len(arn)) == (start, len(start) + 36)
        assert (created, bool(created.tzinfo)) == (datetime.fromtimestamp(clock.now, UTC), True)
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

    def test_a_create_may_fail_and_be_tried_again_after_a_delete(self, account: Account, clock: Clock) -> None:
        account.manners.fail_create("web", ISSUE)
        create(account)
        clock.now += 60
        failed = describe(account)
        assert (failed["status"], failed["health"]["issues"]) == ("CREATE_FAILED", [ISSUE])
        delete(account)
        clock.now += 90
        create(account)
        clock.now += 60
        assert (describe(account)["status"], describe(account)["health"]["issues"]) == ("ACTIVE", [])

    def test_a_delete_may_fail_and_be_tried_again(self, account: Account, clock: Clock) -> None:
        existing(account, "web")
        account.manners.fail_delete("web", ISSUE)
        delete(account)
        clock.now += 90
        failed = describe(account)
        assert (failed["status"], failed["health"]["issues"]) == ("DELETE_FAILED", [ISSUE])
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

    def test_reads_may_not_know_a_new_profile_yet_but_writes_do(self, account: Account, clock: Clock) -> None:
        account.manners.visible_after = 30
        create(account)
        assert names(account) == []
        assert refusal(describe, account)[0] == "ResourceNotFoundException"
        assert refusal(create, account) == in_use(TAKEN)
        clock.now += 30
        assert (names(account), describe(account)["status"]) == (["web"], "CREATING")

    def test_subnets_left_out_are_the_private_ones_of_the_cluster(self, account: Account) -> None:
        request = {"clusterName": "demo", "fargateProfileName": "web", "selectors": SELECTORS}
        answer = account.client("eks").create_fargate_profile(podExecutionRoleArn=account.roles["good"], **request)
        assert answer["fargateProfile"]["subnets"] == list(account.private_subnets)

    def test_an_empty_list_of_subnets_is_one_left_out(self, account: Account) -> None:
        assert create(account, subnets=[])["subnets"] == list(account.private_subnets)

    def test_a_list_longer_than_a_page_comes_whole(self, account: Account) -> None:
        for number in range(7):
            existing(account, f"p{number}")
        first = account.client("eks").list_fargate_profiles(clusterName="demo", maxResults=3)
        assert first["fargateProfileNames"] == ["p0", "p1", "p2"]
        pages = account.client("eks").get_paginator("list_fargate_profiles")
        listed = [page["fargateProfileNames"] for page in pages.paginate(clusterName="demo", maxResults=3)]
        assert listed == [["p0", "p1", "p2"], ["p3", "p4", "p5"], ["p6"]]

    def test_a_list_goes_on_at_the_next_page_even_if_its_first_profile_has_gone(self, account: Account) -> None:
        for name in ("a", "b", "c", "d"):
            existing(account, name)
        ask = account.client("eks").list_fargate_profiles
        page = ask(clusterName="demo", maxResults=2)
        assert page["fargateProfileNames"] == ["a", "b"]
        account.delete_profile("demo", "c")
        page = ask(clusterName="demo", maxResults=2, nextToken=page["nextToken"])
        assert (page["fargateProfileNames"], "nextToken" in page) == (["d"], False)


class TestOneAtATime:
    def test_nothing_is_made_or_deleted_while_a_profile_is_creating(self, account: Account) -> None:
        existing(account, "web")
        create(account, "other")
        flying = "because cluster demo currently has Fargate profile other in status CREATING"
        assert refusal(create, account, "new") == in_use(f"Cannot create Fargate Profile new {flying}")
        assert refusal(delete, account) == in_use(f"Cannot Delete Fargate Profile web {flying}")
        assert refusal(delete, account, "other") == in_use(f"Cannot Delete Fargate Profile other {flying}")

    def test_nothing_is_made_or_deleted_while_a_profile_is_deleting(self, account: Account) -> None:
        existing(account, "web")
        existing(account, "other")
        delete(account, "other")
        flying = "because cluster demo currently has Fargate profile other in status DELETING"
        assert refusal(create, account, "new") == in_use(f"Cannot create Fargate Profile new {flying}")
        assert refusal(delete, account) == in_use(f"Cannot Delete Fargate Profile web {flying}")
        assert refusal(delete, account, "other") == in_use(f"Cannot Delete Fargate Profile other {flying}")

    def test_with_that_rule_off_only_the_same_profile_is_locked(self, account: Account) -> None:
        account.manners.one_in_flight = False
        create(account, "other")
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

    @pytest.mark.parametrize("status", ["ACTIVE", "CREATING", "CREATE_FAILED", "DELETING", "DELETE_FAILED"])
    def test_a_name_is_taken_whatever_the_state_of_its_profile(self, account: Account, status: str) -> None:
        existing(account, "web", status=status)
        assert refusal(create, account) == in_use(TAKEN)

    def test_clusters_do_not_wait_for_each_other(self, account: Account) -> None:
        account.add_cluster("other")
        create(account)
        assert create(account, clusterName="other")["status"] == "CREATING"


# What is wrong with a create, and EKS's words for it, in EKS's order.
FORM: dict[str, tuple[dict[str, Any], str]] = {
    "a dot in the name": ({"fargateProfileName": "a.b"}, NAME),
    "a hyphen ahead of the name": ({"fargateProfileName": "-web"}, NAME),
    "a name of EKS": (
        {"fargateProfileName": "eks-web"},
        "The fargate profile name starts with the reserved prefix: 'eks-'.",
    ),
    "a long name": (
        {"fargateProfileName": "w" * 101},
        "The Fargate profile name parameter should not be greater than 100 characters.",
    ),
    "no namespace's name": ({"selectors": [{"namespace": "bad_ns"}]}, "The namespace provided is invalid."),
    "a long namespace": ({"selectors": [{"namespace": "a" * 64}]}, "The namespace provided is invalid."),
    "no label key": (
        {"selectors": [{"namespace": "a", "labels": {"bad key!": "x"}}]},
        "Selector label provided is invalid.",
    ),
}
NUMBERS: dict[str, tuple[dict[str, Any], str]] = {
    "no selector": ({"selectors": []}, "Fargate Profile requires at least one selector."),
    "no namespace": (
        {"selectors": [{"labels": {"a": "b"}}]},
        "Fargate Profile must have at least one selector with at least one namespace value.",
    ),
    "six selectors": ({"selectors": [{"namespace": "a"}] * 6}, "Request contains more than 5 Selectors"),
    "six labels": (
        {"selectors": [{"namespace": "a", "labels": dict.fromkeys("abcdef", "x")}]},
        "Request contains Selector with more than 5 Label pairs",
    ),
}
TAGS: dict[str, tuple[dict[str, str], str]] = {
    "a key of AWS": ({"ok": "x", "aws:x": "y"}, "Tag keys and values must not start with aws:"),
    "a value of AWS": ({"ok": "x", "y": "AWS:y"}, "Tag keys and values must not start with aws:"),
    "a long key": ({"ok": "x", "k" * 129: "v"}, "Tag keys have 1 to 128 characters, values up to 256"),
    "a long value": ({"ok": "x", "k": "v" * 257}, "Tag keys have 1 to 128 characters, values up to 256"),
    "too many": ({f"k{number}": "" for number in range(51)}, "The number of tags must not exceed 50"),
}


class TestRefusals:
    @pytest.mark.parametrize("case", FORM)
    def test_what_has_no_right_form_is_refused_before_the_cluster_is_looked_up(
        self, account: Account, case: str
    ) -> None:
        changes, text = FORM[case]
        assert refusal(create, account, **changes) == invalid(text)
        assert refusal(create, account, **changes, clusterName="nowhere") == invalid(text)
        assert names(account) == []

    @pytest.mark.parametrize("case", NUMBERS)
    def test_the_number_of_selectors_and_labels_is_checked_after_the_cluster(self, account: Account, case: str) -> None:
        changes, text = NUMBERS[case]
        assert refusal(create, account, **changes) == invalid(text)
        assert refusal(create, account, **changes, clusterName="nowhere") == NOWHERE
        assert names(account) == []

    @pytest.mark.parametrize("case", TAGS)
    def test_tags_that_aws_does_not_take_fail_the_whole_create(self, account: Account, case: str) -> None:
        tags, text = TAGS[case]
        assert refusal(create, account, tags=tags) == invalid(text)
        assert names(account) == []

    def test_wildcards_and_label_keys_with_a_prefix_pass(self, account: Account) -> None:
        selectors = [{"namespace": "prod*", "labels": {"app.kubernetes.io/name": "*", "k8s-?": "x"}}]
        assert create(account, selectors=selectors)["selectors"] == selectors

    def test_the_checks_come_in_the_order_of_eks(self, account: Account) -> None:
        wrong: dict[str, Any] = {
            "clusterName": "nowhere",
            "selectors": [{"namespace": "bad_ns"}],
            "subnets": [account.public_subnet],
            "podExecutionRoleArn": account.roles["no-trust"],
            "tags": {"aws:x": "y"},
        }
        for number in range(9):
            existing(account, f"p{number}")
        existing(account, "web", status="CREATING")
        account.set_cluster_status("demo", "CREATING")
        account.manners.updating.add("demo")
        mendings: list[tuple[str, Any]] = [
            ("namespace provided is invalid", lambda: wrong.update(selectors=[])),
            ("No cluster found", lambda: wrong.update(clusterName="demo")),
            ("not in ACTIVE status", lambda: account.set_cluster_status("demo", "ACTIVE")),
            ("already exists", lambda: wrong.update(fargateProfileName="other")),
            ("currently has update", account.manners.updating.clear),
            ("status CREATING", lambda: existing(account, "web", status="ACTIVE")),
            ("requires at least one selector", lambda: wrong.update(selectors=SELECTORS)),
            ("is not a private subnet", lambda: wrong.update(subnets=[])),
            ("Misconfigured", lambda: wrong.update(podExecutionRoleArn=account.roles["good"])),
            ("10 Fargate profiles already", lambda: account.delete_profile("demo", "p0")),
            ("must not start with aws:", lambda: wrong.update(tags={})),
        ]
        for message, mend in mendings:
            assert message in refusal(create, account, **wrong)[2]
            mend()
        create(account, **wrong)

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
        zone = "Fargate Profile creation for the Availability Zone us-east-1-bos-1a"
        assert said(account.local_zone_subnet).startswith(zone)

    @pytest.mark.parametrize("kind", ["no-trust", "other-source", "only-eks-knows", "missing"])
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

    def test_the_policies_of_a_role_are_not_checked(self, account: Account) -> None:
        assert create(account, podExecutionRoleArn=account.roles["no-policy"])["status"] == "CREATING"

    def test_a_role_goes_unchecked_on_demand(self, account: Account) -> None:
        account.manners.validate_role = False
        role = f"arn:aws:iam::{account.account}:role/x/y"
        assert create(account, podExecutionRoleArn=role)["podExecutionRoleArn"] == role

    def test_the_eleventh_profile_is_refused(self, account: Account) -> None:
        for number in range(10):
            existing(account, f"p{number}")
        text = "Cluster demo has 10 Fargate profiles already"
        assert refusal(create, account) == ("ResourceLimitExceededException", 400, text)
        account.manners.max_profiles = 11
        assert create(account)["status"] == "CREATING"

    def test_a_cluster_must_be_there(self, account: Account) -> None:
        eks, web = account.client("eks"), {"clusterName": "nowhere", "fargateProfileName": "web"}
        assert refusal(create, account, clusterName="nowhere") == NOWHERE
        assert refusal(eks.list_fargate_profiles, clusterName="nowhere") == NOWHERE
        assert refusal(eks.describe_fargate_profile, **web) == NOWHERE
        assert refusal(eks.delete_fargate_profile, **web) == NOWHERE
        assert refusal(eks.describe_cluster, name="nowhere") == NOWHERE

    def test_a_cluster_must_be_active_for_a_create(self, account: Account) -> None:
        account.set_cluster_status("demo", "UPDATING")
        text = "Cluster 'demo' is not in ACTIVE status"
        assert refusal(create, account) == ("InvalidRequestException", 400, text)

    def test_with_a_cluster_its_profiles_are_gone(self, account: Account) -> None:
        existing(account, "web")
        account.remove_cluster("demo")
        missing = ("ResourceNotFoundException", 404, "No cluster found for name: demo.")
        assert refusal(names, account) == missing
        assert refusal(describe, account) == missing

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

    @pytest.mark.parametrize("case", TAGS)
    def test_tags_that_aws_does_not_take_are_refused_as_a_whole(self, account: Account, case: str) -> None:
        arn, (tags, text) = existing(account, "web")["fargateProfileArn"], TAGS[case]
        refused = refusal(account.client("eks").tag_resource, resourceArn=arn, tags=tags)
        assert refused == ("BadRequestException", 400, text)
        assert describe(account)["tags"] == {}

    def test_of_fifty_tags_each_may_be_changed_but_none_added(self, account: Account) -> None:
        tags, tag = {f"k{number}": "v" for number in range(50)}, account.client("eks").tag_resource
        arn = existing(account, "web", tags=tags)["fargateProfileArn"]
        tag(resourceArn=arn, tags={"k0": "new"})
        assert refusal(tag, resourceArn=arn, tags={"one": "more"})[:2] == ("BadRequestException", 400)
        assert describe(account)["tags"] == tags | {"k0": "new"}

    def test_clusters_have_tags_too(self, account: Account) -> None:
        eks = account.client("eks")
        arn = eks.describe_cluster(name="demo")["cluster"]["arn"]
        eks.tag_resource(resourceArn=arn, tags={"a": "b"})
        assert eks.describe_cluster(name="demo")["cluster"]["tags"] == {"a": "b"}


class TestOutsiders:
    def test_others_put_profiles_there_as_they_like(self, account: Account) -> None:
        create(account)
        existing(account, "eks-theirs", created_at=1.0, status="DELETE_FAILED", issues=[ISSUE])
        theirs, web = account.profiles("demo")
        assert (theirs["fargateProfileName"], theirs["createdAt"].timestamp()) == ("eks-theirs", 1.0)
        assert (theirs["status"], theirs["health"]) == ("DELETE_FAILED", {"issues": [ISSUE]})
        assert (web["fargateProfileName"], web["status"]) == ("web", "CREATING")

    def test_others_set_and_strip_tags_and_delete(self, account: Account) -> None:
        create(account, tags={"owner": "us", "team": "web"})
        account.strip_tags("demo", "web", ["owner", "none"])
        account.set_tags("demo", "web", {"aws:theirs": "x"})
        assert describe(account)["tags"] == {"team": "web", "aws:theirs": "x"}
        account.delete_profile("demo", "web")
        assert names(account) == []


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
        facts = Known(edge, lambda: 0.0).facts("demo", spec)
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
        source = f"arn:aws:eks:{account.region}:{account.account}:fargateprofile/demo/web/"
        caller = Caller(FARGATE_PRINCIPAL, account.account, source)
        for kind in ROLES:
            role = Known(edge, lambda: 0.0).facts("demo", ProfileSpec(account.roles[kind], frozenset())).role
            assert role and role.found and role.arn == account.roles[kind]
            seen[kind] = judge_trust(role.trust, caller).allows, sorted(role.policies or ())
        assert seen == {
            "good": (True, ["AmazonEKSFargatePodExecutionRolePolicy"]),
            "no-trust": (False, ["AmazonEKSFargatePodExecutionRolePolicy"]),
            "no-policy": (True, []),
            "inline-policy": (True, ["pull"]),
            "other-policy": (True, ["AmazonEKSClusterPolicy"]),
            "other-source": (False, ["AmazonEKSFargatePodExecutionRolePolicy"]),
            "only-eks-knows": (None, ["AmazonEKSFargatePodExecutionRolePolicy"]),
        }
        policy = "AmazonEKSFargatePodExecutionRolePolicy"
        attached = account.client("iam").list_attached_role_policies(RoleName="fargate-pods")["AttachedPolicies"]
        assert attached == [{"PolicyName": policy, "PolicyArn": f"arn:aws:iam::aws:policy/{policy}"}]
        for method in ("get_role", "list_attached_role_policies", "list_role_policies"):
            missing = refusal(getattr(account.client("iam"), method), RoleName="none")
            assert missing == ("NoSuchEntity", 404, "Role none not found")

    def test_what_a_subnet_has_left_and_where_it_leads_is_told(self, account: Account, edge: Aws) -> None:
        found = edge.subnets([*account.private_subnets, account.foreign_subnet])
        private, foreign = found[account.private_subnets[0]], found[account.foreign_subnet]
        assert private and private.routes and private.free
        assert {(each.to, each.by[:4], each.active) for each in private.routes} == {
            ("10.0.0.0/16", "loca", True), ("0.0.0.0/0", "nat-", True)
        }  # fmt: skip
        assert foreign and foreign.routes and [each.by for each in foreign.routes] == ["local"]

    def test_the_account_is_told(self, account: Account, edge: Aws) -> None:
        assert edge.account() == ("aws", account.account)


def is_shaped(value: Any, shape: Any) -> bool:
    """Say whether botocore's model has all that is in an answer, of these types."""
    if shape.type_name == "structure":
        return value.keys() <= shape.members.keys() and all(is_shaped(value[key], shape.members[key]) for key in value)
    if shape.type_name in {"list", "map"}:
        return all(is_shaped(each, getattr(shape, "member", None) or shape.value) for each in value)
    if shape.type_name == "timestamp":
        return bool(value.tzinfo)
    return isinstance(value, str) and (not shape.enum or value in shape.enum)


def answer_shape(method: str, member: str) -> Any:
    model = botocore.session.get_session().get_service_model("eks").operation_model(operation(method))
    return model.output_shape.members[member]


class TestWhatMotoLacks:
    def test_access_entries_are_shaped_as_in_botocore_s_model(self, account: Account, clock: Clock) -> None:
        role = account.roles["good"]
        create(account)
        answer = account.client("eks").describe_access_entry(clusterName="demo", principalArn=role)["accessEntry"]
        assert is_shaped(answer, answer_shape("describe_access_entry", "accessEntry"))
        assert (answer["principalArn"], answer["type"]) == (role, "FARGATE_LINUX")
        assert answer["createdAt"] == datetime.fromtimestamp(clock.now, UTC)

    def test_a_cluster_has_the_entries_that_its_creates_made_and_none_without_the_mode(
        self, account: Account, edge: Aws, clock: Clock
    ) -> None:
        role = account.roles["good"]
        assert edge.access_entry("demo", role) == EntryFact(found=False)
        account.put_entry("demo", role, "STANDARD", clock.now - 60)
        create(account)
        made = datetime.fromtimestamp(clock.now - 60, UTC)
        assert edge.access_entry("demo", role) == EntryFact(kind="STANDARD", created_at=made), "one that is there stays"
        account.remove_entry("demo", role)
        assert edge.access_entry("demo", role) == EntryFact(found=False)
        cluster, known = edge.cluster("demo"), edge.role(role)
        assert cluster and cluster.mode == "API_AND_CONFIG_MAP"
        assert known and known.created_at == datetime.fromtimestamp(clock.now, UTC)
        for mode in ("CONFIG_MAP", ""):
            account.set_mode("demo", mode)
            old = edge.cluster("demo")
            assert old and old.mode == "CONFIG_MAP"
            with pytest.raises(AwsError, match="authentication mode"):
                edge.access_entry("demo", role)

    def test_health_is_shaped_as_in_botocore_s_model(self, account: Account, edge: Aws) -> None:
        existing(account, "web")
        account.set_health("demo", "web", ISSUE)
        assert is_shaped(
            describe(account)["health"], answer_shape("describe_fargate_profile", "fargateProfile").members["health"]
        )
        profile = edge.describe("demo", "web")
        assert (
            profile and profile.active and profile.health == (HealthIssue("AccessDenied", "Access denied", ("role",)),)
        )


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
            edge = Aws({name: world.client(name) for name in METHODS}, world.region)
            real = caught(lambda: edge.describe("demo", "web"))
            text = refusal(describe, world)[2]

        def fail(method: str, request: dict[str, Any]) -> Any:
            raise refused(operation(method), code, status, text)

        memory = Memory(Manners(clock=clock))
        memory.ask = fail  # type: ignore[method-assign]
        edge = Aws({name: memory.client(name) for name in METHODS}, memory.region)
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


class TestTermsOfSubnets:
    """What spec.subnetSelectorTerms stands on: all subnets of a VPC, with their tags, by one call."""

    def seen(self, account: Account) -> dict[str, dict[str, str]]:
        filters = [{"Name": "vpc-id", "Values": [account.vpc]}]
        pages = account.client("ec2").get_paginator("describe_subnets").paginate(Filters=filters)
        listed = [subnet for page in pages for subnet in page["Subnets"]]
        assert {each["VpcId"] for each in listed} == {account.vpc}
        return {each["SubnetId"]: {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])} for each in listed}

    def test_all_subnets_of_a_vpc_are_listed_and_no_others(self, account: Account) -> None:
        own = {*account.private_subnets, account.public_subnet, account.implicit_public_subnet}
        assert self.seen(account).keys() == own | {account.local_zone_subnet}

    def test_tags_come_and_go(self, account: Account) -> None:
        made, other = account.add_subnet(fargate="yes", team="a"), account.private_subnets[0]
        account.tag_subnet(other, fargate="")
        account.tag_subnet(made, team="", tier="x")
        account.tag_subnet(other, fargate="no")
        seen = self.seen(account)
        assert (seen[made], seen[other]) == ({"fargate": "yes", "tier": "x"}, {"fargate": "no"})

    def test_a_new_subnet_takes_a_profile_s_pods(self, account: Account) -> None:
        made = account.add_subnet()
        assert create(account, subnets=[made])["subnets"] == [made]
