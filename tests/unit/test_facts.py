"""What AWS's answers are read as: what is missing in one is unknown, or as AWS has it where it says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from facts import ClusterFact, Route, cluster_of, entry_of, role_of, subnet_of

SUBNET = {"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "eu-central-1a"}


def table(*routes: dict[str, Any], **link: Any) -> dict[str, Any]:
    return {"VpcId": "vpc-1", "Associations": [link], "Routes": [{"State": "active", **each} for each in routes]}


OUT = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}
NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}


def test_an_empty_answer_is_a_cluster_of_which_nothing_else_is_known() -> None:
    assert cluster_of({}) == ClusterFact()


@pytest.mark.parametrize(
    ("answer", "elsewhere"),
    [({"connectorConfig": {"provider": "GKE"}}, "registered"), ({"outpostConfig": {"a": 1}}, "local")],
)
def test_a_control_plane_that_is_not_in_eks_is_elsewhere(answer: dict[str, Any], elsewhere: str) -> None:
    assert cluster_of(answer).elsewhere == elsewhere


def test_a_subnet_has_the_routes_of_its_own_table_else_of_the_main_one_of_its_vpc() -> None:
    main, own = table(OUT, Main=True), table(NAT, SubnetId="subnet-1")
    assert subnet_of(SUBNET, [main, own]).routes == (Route("0.0.0.0/0", "nat-1"),)
    assert subnet_of(SUBNET, [main]).routes == (Route("0.0.0.0/0", "igw-1"),)
    assert subnet_of(SUBNET, [{**main, "VpcId": "vpc-2"}]).routes == ()


def test_a_subnet_is_public_by_an_active_route_and_unknown_without_its_tables() -> None:
    assert subnet_of(SUBNET, [table(OUT, SubnetId="subnet-1")]).public is True
    assert subnet_of(SUBNET, [table({**OUT, "State": "blackhole"}, SubnetId="subnet-1")]).public is False
    assert subnet_of(SUBNET, None).public is None


def test_free_addresses_are_those_of_ipv4() -> None:
    assert subnet_of({**SUBNET, "AvailableIpAddressCount": 3}, None).free == 3
    assert subnet_of({**SUBNET, "AvailableIpAddressCount": 3, "Ipv6Native": True}, None).free is None


def test_a_role_and_an_entry_are_read_without_what_is_missing() -> None:
    assert role_of({"Arn": "arn"}).arn == "arn"
    assert entry_of({}).kind == ""
