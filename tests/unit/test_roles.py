"""What users are told of a profile that is ACTIVE, or is to be made, and that takes no pods: role, subnets, health."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from tests.fakes.aws import error
from tests.fakes.eks_rules import ACCOUNT, Issue
from tests.harness import Bench, bench
from tests.unit.test_clusters import ONE, TWO, bundle

KIND = "RoleUnknownToCluster"
RESYNC = 700  # seconds, in which an object is looked at once
SICK: Issue = {"code": "ClusterUnreachable", "message": "No way to the cluster.", "resourceIds": ["demo"]}


@pytest.fixture
def b() -> Any:
    with bench() as made:
        yield made


@pytest.fixture
def lost(b: Bench) -> Bench:
    """Let an object be settled in a cluster of mode API, which has lost its role since."""
    b.world.set_mode("demo", "API")
    b.settle()
    b.world.remove_entry("demo", b.world.roles["good"])
    return b


def writes(b: Bench) -> int:
    return sum(each.method != "GET" and "leases" not in each.path for each in b.api.log)


# The role


def test_a_cluster_that_knows_the_role_of_a_profile_is_not_spoken_of(b: Bench) -> None:
    b.settle()
    b.run(3 * RESYNC)
    assert not b.condition(KIND)
    assert b.events("Warning") == []


def test_a_role_that_the_cluster_has_lost_is_told_after_two_looks_with_the_command_that_mends_it(lost: Bench) -> None:
    lost.run(RESYNC)
    assert not lost.condition(KIND), "one look may have come too early"
    assert lost.events("Warning") == []
    lost.run(RESYNC)
    told = lost.condition(KIND)
    role = lost.world.roles["good"]
    assert (told["status"], told["reason"]) == ("True", "AccessLost")
    assert f"create-access-entry --region us-east-1 --cluster-name demo --principal-arn {role}" in told["message"]
    assert lost.events("Warning") == [KIND]
    assert lost.notes("Warning") == [told["message"]]
    assert lost.metrics.registry.get_sample_value("fargate_objects_noted", {"condition": KIND}) == 1


def test_it_is_told_once_never_touches_ready_and_goes_once_the_cluster_knows_the_role(lost: Bench) -> None:
    ready = lost.condition()
    lost.run(5 * RESYNC)
    assert lost.condition() == ready
    assert lost.events("Warning") == [KIND]
    lost.world.put_entry("demo", lost.world.roles["good"])
    lost.run(RESYNC)
    assert not lost.condition(KIND)
    assert lost.condition() == ready


def test_a_world_in_which_a_role_is_lost_is_silent_once_that_is_told(lost: Bench) -> None:
    lost.run(3 * RESYNC)
    before = writes(lost)
    lost.run(3 * RESYNC)
    assert writes(lost) == before


def test_what_is_told_stands_over_a_restart_until_the_role_is_seen_to_be_known(lost: Bench) -> None:
    lost.run(3 * RESYNC)
    told = lost.condition(KIND)
    lost.start()
    lost.run(3 * RESYNC)
    assert lost.condition(KIND) == told
    assert lost.events("Warning") == [KIND]


def test_an_entry_that_is_older_than_the_role_is_as_good_as_none(b: Bench) -> None:
    b.settle()
    role = iam_backends[ACCOUNT]["aws"].get_role("fargate-pods")
    role.create_date = datetime.fromtimestamp(b.clock.time() + 60, UTC)
    b.run(3 * RESYNC)
    assert "delete-access-entry" in b.condition(KIND)["message"]
    assert b.ready()


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("DescribeAccessEntry", "AccessDeniedException"),
        ("DescribeAccessEntry", "ThrottlingException"),
        ("DescribeAccessEntry", "InvalidRequestException"),
        ("DescribeCluster", "AccessDeniedException"),
        ("DescribeCluster", "ServerException"),
    ],
)
def test_what_can_not_be_read_is_unknown_and_asked_for_once_a_resync(lost: Bench, operation: str, code: str) -> None:
    ready = lost.condition()
    lost.manners.fail(operation, error(code, 403), times=99)
    lost.manners.clear()
    lost.run(4 * RESYNC)
    assert not lost.condition(KIND)
    assert lost.condition() == ready
    assert lost.manners.count(operation) <= 5


def test_what_can_not_be_read_any_more_is_as_it_was(lost: Bench) -> None:
    lost.run(3 * RESYNC)
    told = lost.condition(KIND)
    lost.manners.fail("DescribeAccessEntry", error("AccessDeniedException", 403), times=99)
    lost.run(3 * RESYNC)
    assert lost.condition(KIND) == told


@pytest.fixture
def told(lost: Bench) -> Bench:
    """Let it be told that the cluster has lost the role."""
    lost.run(3 * RESYNC)
    assert "no access entry" in lost.condition(KIND)["message"]
    return lost


@pytest.mark.parametrize("after_a_restart", [True, False])
def test_an_answer_that_disproves_what_was_told_takes_it_back(told: Bench, after_a_restart: bool) -> None:
    told.world.put_entry("demo", told.world.roles["good"], "EC2_LINUX")
    if after_a_restart:
        told.start()
    told.run(RESYNC)
    assert not told.condition(KIND)


def test_a_cluster_that_has_given_up_access_entries_takes_back_what_was_told(told: Bench) -> None:
    told.world.set_mode("demo", "CONFIG_MAP")
    told.start()
    told.run(RESYNC)
    assert not told.condition(KIND)


def test_an_entry_that_is_there_again_takes_back_that_there_is_none_even_if_the_role_is_not_shown(told: Bench) -> None:
    told.world.put_entry("demo", told.world.roles["good"])
    told.manners.fail("GetRole", error("AccessDeniedException", 403), times=99)
    told.start()
    told.run(RESYNC)
    assert not told.condition(KIND)


def test_a_dead_entry_that_has_gone_is_not_told_of_any_more(b: Bench) -> None:
    b.settle()
    b.world.set_mode("demo", "API_AND_CONFIG_MAP")
    b.api.forbid("get", "configmaps")
    iam_backends[ACCOUNT]["aws"].get_role("fargate-pods").create_date = datetime.fromtimestamp(b.clock.time() + 60, UTC)
    b.run(3 * RESYNC)
    assert "delete-access-entry" in b.condition(KIND)["message"]
    b.world.remove_entry("demo", b.world.roles["good"])
    b.start()
    b.run(RESYNC)
    assert not b.condition(KIND), "and whether aws-auth has the role may not be read"


def test_of_a_dead_entry_what_was_told_stands_while_the_role_can_not_be_read(b: Bench) -> None:
    b.settle()
    iam_backends[ACCOUNT]["aws"].get_role("fargate-pods").create_date = datetime.fromtimestamp(b.clock.time() + 60, UTC)
    b.run(3 * RESYNC)
    was = b.condition(KIND)
    b.manners.fail("GetRole", error("AccessDeniedException", 403), times=99)
    b.run(3 * RESYNC)
    assert was
    assert b.condition(KIND) == was


def test_a_new_role_never_inherits_what_was_told_of_the_one_before(told: Bench) -> None:
    told.manners.fail("DescribeAccessEntry", error("AccessDeniedException", 403), times=99)
    told.edit(podExecutionRoleArn=told.world.roles["inline-policy"], updatePolicy="Replace")
    told.run(3 * RESYNC)
    assert told.ready()
    assert told.get()["status"]["profileName"] != "web"
    assert not told.condition(KIND)


def test_a_look_that_shows_nothing_is_none_of_the_two_in_a_row(lost: Bench) -> None:
    lost.run(RESYNC)
    lost.manners.fail("DescribeAccessEntry", error("ThrottlingException", 400), times=1)
    lost.run(RESYNC)
    assert not lost.condition(KIND)
    lost.run(RESYNC)
    assert lost.condition(KIND)


@pytest.mark.parametrize("mode", ["CONFIG_MAP", ""])
def test_a_cluster_without_access_entries_is_not_asked_for_them(lost: Bench, mode: str) -> None:
    lost.world.set_mode("demo", mode)
    lost.start()
    lost.manners.clear()
    lost.run(3 * RESYNC)
    assert lost.manners.count("DescribeAccessEntry") == 0
    assert not lost.condition(KIND)


def test_an_entry_of_another_type_says_nothing(lost: Bench) -> None:
    lost.world.put_entry("demo", lost.world.roles["good"], "EC2_LINUX")
    lost.run(3 * RESYNC)
    assert not lost.condition(KIND)


# aws-auth


@pytest.fixture
def both(b: Bench) -> Bench:
    """Let a cluster have both, be proven to be ours, and have lost the entry."""
    b.world.set_certificate_authority("demo", bundle(ONE))
    b.settings = replace(b.settings, authority=bundle(ONE))
    b.start()
    b.settle()
    b.world.remove_entry("demo", b.world.roles["good"])
    return b


def map_roles(b: Bench, *arns: str) -> None:
    meta = {"name": "aws-auth", "namespace": "kube-system"}
    listing = yaml.safe_dump([{"rolearn": arn} for arn in arns])
    b.api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"mapRoles": listing}})


def test_where_a_cluster_has_both_the_role_is_lost_once_neither_has_it(both: Bench) -> None:
    map_roles(both, "arn:aws:iam::123456789012:role/nodes", both.world.roles["good"].replace("role/", "role/a/b/"))
    both.run(3 * RESYNC)
    assert not both.condition(KIND)
    map_roles(both, "arn:aws:iam::123456789012:role/nodes")
    both.run(3 * RESYNC)
    assert both.condition(KIND)
    assert both.ready()


def test_a_config_map_that_is_not_there_has_no_role(both: Bench) -> None:
    both.run(3 * RESYNC)
    assert both.condition(KIND)


def test_a_config_map_that_may_not_be_read_says_nothing_and_is_not_read(both: Bench) -> None:
    both.api.forbid("get", "configmaps")
    both.run(3 * RESYNC)
    assert not both.condition(KIND)
    assert not [each for each in both.api.log if "aws-auth" in each.path]


def test_the_config_map_of_a_cluster_that_is_not_proven_to_be_ours_says_nothing(both: Bench) -> None:
    both.world.set_certificate_authority("demo", bundle(TWO))
    both.world.set_issuer("demo", "")
    both.start()
    both.run(3 * RESYNC)
    assert not both.condition(KIND)
    assert not [each for each in both.api.log if "aws-auth" in each.path]


def test_the_config_map_is_read_once_a_resync_and_cluster_however_many_roles_there_are(both: Bench) -> None:
    both.settle("api", podExecutionRoleArn=both.world.roles["inline-policy"])
    both.world.remove_entry("demo", both.world.roles["inline-policy"])
    both.run(RESYNC)
    both.api.clear_log()
    both.run(3 * RESYNC)
    reads = [each for each in both.api.log if each.method == "GET" and "aws-auth" in each.path]
    assert len(reads) <= 4
    assert both.condition(KIND, "api")


def test_a_hostile_config_map_says_nothing_and_breaks_no_pass(both: Bench) -> None:
    meta = {"name": "aws-auth", "namespace": "kube-system"}
    for listing in ("- {rolearn: !!int foo}\n- {rolearn: 2020-13-45, x", "- rolearn: " + "[" * 5000):
        both.api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"mapRoles": listing}})
        both.run(2 * RESYNC)
        assert both.ready()
        assert not both.condition(KIND)


# After a deletion


def test_a_role_is_looked_at_again_once_a_profile_that_shared_it_has_gone(b: Bench) -> None:
    b.world.set_mode("demo", "API")
    for name in ("web", "api"):
        b.settle(name)
    b.manners.clear()
    b.delete("api")
    b.run_until("the profile goes", lambda: "api" not in b.profiles())
    b.world.remove_entry("demo", b.world.roles["good"])
    b.run(10)
    assert b.manners.count("DescribeAccessEntry") == 1, "at once"
    assert not b.condition(KIND)
    b.run(RESYNC)
    assert b.condition(KIND)


# Cost


def test_a_resync_asks_once_a_cluster_and_role_however_many_objects_there_are(b: Bench) -> None:
    b.manners.max_profiles = 100
    for number in range(6):
        b.apply(f"web-{number}")
    b.run(900)
    assert all(b.ready(f"web-{number}") for number in range(6))
    b.manners.clear()
    b.run(600)
    for operation in ("DescribeCluster", "DescribeAccessEntry", "GetRole"):
        assert b.manners.count(operation) <= 2, operation


# Health


def test_what_eks_finds_wrong_with_an_active_profile_is_told_in_its_words_and_never_touches_ready(b: Bench) -> None:
    b.settle()
    b.world.set_health("demo", "web", SICK)
    b.run(RESYNC)
    told = b.condition("ProfileUnhealthy")
    assert told["reason"] == "HealthIssues"
    assert "ClusterUnreachable: No way to the cluster (to mend it, look at" in told["message"]
    assert b.ready()
    assert b.events("Warning") == ["ProfileUnhealthy"]
    b.run(2 * RESYNC)
    assert b.events("Warning") == ["ProfileUnhealthy"]
    b.world.set_health("demo", "web")
    b.run(RESYNC)
    assert not b.condition("ProfileUnhealthy")


# Before a create


@pytest.mark.parametrize("lists", [True, False])
def test_a_cluster_that_is_only_registered_is_refused_with_its_reason(b: Bench, lists: bool) -> None:
    b.world._eks.clusters["demo"].connector_config = {"provider": "OTHER"}
    if not lists:  # what EKS answers there, nobody has written down
        b.manners.fail("ListFargateProfiles", error("InvalidRequestException", 400), times=99)
    b.apply()
    b.run(30)
    assert (b.reason(), b.stalled()) == ("ClusterWithoutFargate", True)
    assert b.manners.count("CreateFargateProfile") == 0


def test_subnets_in_which_no_pod_may_start_are_warned_of_and_the_profile_is_made(b: Bench) -> None:
    ec2 = ec2_backends[ACCOUNT][b.world.region]
    one, two = b.world.private_subnets
    ec2.get_subnet(one)._available_ip_addresses = 0
    bare = ec2.create_route_table(b.world.vpc).id
    links = [each for table in ec2.route_tables.values() for each, of in table._associations.items() if of == two]
    ec2.replace_route_table_association(links[0], bare)
    b.apply()
    b.run(30)
    assert b.reason() == "Creating"
    assert b.events("Warning") == ["SubnetFull", "SubnetWithoutWayOut"]
    assert f"no free address in {one}," in b.message()
    assert f"out of the VPC from {two}:" in b.message()
    b.run(90)
    assert b.ready()


# What EKS has


def test_the_subnets_that_eks_has_are_shown_where_it_chose_them_too(b: Bench) -> None:
    b.apply(subnets=None)
    b.run(90)
    assert b.ready()
    assert b.get()["status"]["subnets"] == sorted(b.world.private_subnets)


def test_an_object_of_an_older_version_gets_its_subnets_with_one_write(b: Bench) -> None:
    b.settle()
    b.api.edit("fargateprofiles", "default", "web", {"status": {"subnets": None}})
    b.start()
    before = writes(b)
    b.run(3 * RESYNC)
    assert b.get()["status"]["subnets"] == sorted(b.world.private_subnets)
    assert writes(b) == before + 1
