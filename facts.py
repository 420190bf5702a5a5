"""What AWS says about the things that a profile names, as values: its cluster, subnets with their routes, role, and
how the cluster knows that. And how each is read off AWS's answer, of which anything may be missing.

Pure, and the ground that all else stands on. What it is not: a call (aws), or what a fact speaks for (surroundings).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple


@dataclass(frozen=True)
class ClusterFact:
    found: bool = True
    status: str = ""
    vpc: str = ""
    authority: str = ""  # its certificates: PEM in base64, as a kubeconfig has it
    issuer: str = ""  # of the tokens of its ServiceAccounts
    mode: str = "CONFIG_MAP"  # of authentication
    ipv6: bool = False
    elsewhere: str = ""  # where its control plane is, if not in EKS: "registered" or "local"
    version: str = ""  # of Kubernetes, such as 1.34


class Route(NamedTuple):
    """One route of a subnet: to a CIDR block or a prefix list, by what that id names."""

    to: str
    by: str
    state: str = "active"  # or blackhole, filtered

    @property
    def active(self) -> bool:
        return self.state == "active"

    @property
    def to_internet(self) -> bool:
        return self.active and self.by.startswith("igw-")


@dataclass(frozen=True)
class SubnetFact:
    """`routes`: None = the route tables may not be read; `free`: IPv4 addresses, None = unknown, or it has none."""

    found: bool = True
    vpc: str = ""
    zone: str = ""
    outpost: str = ""
    routes: tuple[Route, ...] | None = None
    free: int | None = None
    ipv6_only: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def public(self) -> bool | None:
        """An active route leads to an internet gateway."""
        return None if self.routes is None else any(each.to_internet for each in self.routes)


@dataclass(frozen=True)
class RoleFact:
    """`trust`: the trust policy; `policies`: names of those attached and inline, None = they may not be read."""

    found: bool = True
    arn: str = ""
    trust: Any = None
    policies: frozenset[str] | None = None
    created_at: datetime | None = None


@dataclass(frozen=True)
class EntryFact:
    """How a cluster that has access entries knows a role."""

    found: bool = True
    kind: str = ""
    created_at: datetime | None = None


# Read off answers


def cluster_of(cluster: Mapping[str, Any]) -> ClusterFact:
    parts = "resourcesVpcConfig", "certificateAuthority", "accessConfig", "kubernetesNetworkConfig", "identity"
    network, trust, access, addresses, identity = (cluster.get(each) or {} for each in parts)
    kinds = {"registered": "connectorConfig", "local": "outpostConfig"}
    elsewhere = next((kind for kind, key in kinds.items() if cluster.get(key)), "")
    return ClusterFact(
        status=cluster.get("status", ""),
        vpc=network.get("vpcId", ""),
        authority=trust.get("data") or "",
        issuer=(identity.get("oidc") or {}).get("issuer") or "",
        mode=access.get("authenticationMode") or ClusterFact.mode,
        ipv6=addresses.get("ipFamily") == "ipv6",
        elsewhere=elsewhere,
        version=cluster.get("version") or "",
    )


def entry_of(entry: Mapping[str, Any]) -> EntryFact:
    return EntryFact(kind=entry.get("type", ""), created_at=entry.get("createdAt"))


def role_of(role: Mapping[str, Any]) -> RoleFact:
    return RoleFact(arn=role["Arn"], trust=role.get("AssumeRolePolicyDocument"), created_at=role.get("CreateDate"))


def subnet_of(subnet: Mapping[str, Any], tables: list[dict[str, Any]] | None) -> SubnetFact:
    where = {"vpc": subnet["VpcId"], "zone": subnet["AvailabilityZone"], "outpost": subnet.get("OutpostArn") or ""}
    only = bool(subnet.get("Ipv6Native"))
    free = None if only else subnet.get("AvailableIpAddressCount")
    tags = {each["Key"]: each.get("Value") or "" for each in subnet.get("Tags") or ()}
    routes = None if tables is None else _routes(subnet, tables)
    return SubnetFact(**where, free=free, ipv6_only=only, routes=routes, tags=tags)


def _routes(subnet: Mapping[str, Any], tables: list[dict[str, Any]]) -> tuple[Route, ...]:
    """Return the routes of the subnet's route table, its own or else its VPC's main one."""

    def of(key: str, value: object) -> Iterable[dict[str, Any]]:
        return (table for table in tables if any(link.get(key) == value for link in table.get("Associations") or ()))

    main = (table for table in of("Main", True) if table.get("VpcId") == subnet["VpcId"])
    table = next((table for candidates in (of("SubnetId", subnet["SubnetId"]), main) for table in candidates), {})
    return tuple(map(_route, table.get("Routes") or ()))


def _route(route: Mapping[str, Any]) -> Route:
    to = next((str(value) for key, value in route.items() if key.startswith("Destination") and value), "")
    others = {"DestinationPrefixListId", "InstanceOwnerId"}
    by = next((str(route[key]) for key in route if key.endswith(("Id", "Arn")) and key not in others), "")
    return Route(to, by, route.get("State", ""))
