"""A small AWS account in memory, for thousands of worlds: the calls of aws.py, without HTTP, botocore or moto.

It keeps the rules of tests/fakes/eks_rules.py, as tests/fakes/aws.py does; tests/contract/test_eks.py holds the two to
each other. Of requests it checks what botocore checks before it sends one. `client(service)` gives what stands where a
boto3 client stands; what else a test may do to it are the deeds of others, as with `aws.World`.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from botocore.validate import ParamValidator

from tests.fakes.eks_rules import (
    ACCOUNT,
    INLINE,
    ROLES,
    Answer,
    Behaviour,
    Cluster,
    Eks,
    Outsiders,
    Refusal,
    Selectors,
    Stored,
    Subnet,
    Tags,
    Wanted,
    issuer,
)

METHODS = {
    "eks": (
        "list_fargate_profiles",
        "describe_fargate_profile",
        "create_fargate_profile",
        "delete_fargate_profile",
        "tag_resource",
        "untag_resource",
        "describe_cluster",
        "describe_access_entry",
    ),
    "ec2": ("describe_subnets", "describe_route_tables"),
    "iam": ("get_role", "list_attached_role_policies", "list_role_policies"),
    "sts": ("get_caller_identity", "assume_role"),  # the latter is for who has several accounts
}
SERVICE_OF = {method: service for service, methods in METHODS.items() for method in methods}
MAX_PAGES = 1000  # of a list that never ends, a test should hear


@cache
def operation(method: str) -> str:
    """Return the API's name of a client's method."""
    return "".join(word.title() for word in method.split("_"))


def refused(operation_name: str, code: str, status: int, message: str) -> ClientError:
    """Return the error that botocore makes of such an answer."""
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation_name)


@cache
def _input(method: str) -> Any:
    return _model(SERVICE_OF[method]).operation_model(operation(method)).input_shape


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def check_request(method: str, request: Answer) -> None:
    """Refuse what botocore would not send."""
    shape = _input(method)
    report = ParamValidator().validate(request, shape) if shape else None
    if report and report.has_errors():
        raise ParamValidationError(report=report.generate_report())


@dataclass(frozen=True)
class RoutedSubnet(Subnet):
    gateway: str  # the target of the default route of its table
    main: bool = False  # it has no route table of its own
    free: int = 251
    tags: Tags = field(default_factory=dict)


@dataclass
class Client:
    """Where a boto3 client stands; `ask` carries out one request."""

    ask: Callable[[str, Answer], Answer]

    def __getattr__(self, method: str) -> Callable[..., Answer]:
        return lambda **request: self.ask(method, request)

    def get_paginator(self, method: str) -> Paginator:
        return Paginator(partial(self.ask, method))


@dataclass
class Paginator:
    ask: Callable[[Answer], Answer]

    def paginate(self, **request: Any) -> Iterator[Answer]:
        """Yield the pages; only EKS cuts its answers into several here."""
        for _ in range(MAX_PAGES):
            page = self.ask(request)
            yield page
            if not page.get("nextToken"):
                return
            request = {**request, "nextToken": page["nextToken"]}
        raise AssertionError(f"a list goes on after {MAX_PAGES} pages")


HOME = ACCOUNT, "us-east-1"


class Memory(Outsiders):
    """What an account has in a region. `rand` makes the UUIDs, so that a seeded simulation repeats."""

    cluster = "demo"
    lock = nullcontext()  # one thread at a time

    def __init__(
        self,
        manners: Behaviour,
        region: str = "us-east-1",
        rand: random.Random | None = None,
        account: str = ACCOUNT,
    ) -> None:
        self.manners, self.region, self.account = manners, region, account
        self.vpc, self.foreign_vpc = self._id("vpc-0a0a0a0a"), self._id("vpc-0b0b0b0b")
        self.private_subnets = self._id("subnet-aaaaaaa1"), self._id("subnet-aaaaaaa2")
        self.public_subnet, self.implicit_public_subnet = self._id("subnet-bbbbbbb1"), self._id("subnet-bbbbbbb2")
        self.foreign_subnet, self.local_zone_subnet = self._id("subnet-ccccccc1"), self._id("subnet-ccccccc2")
        self._rules = Eks(self, manners)
        self.clusters: dict[str, Cluster] = {}
        self._rand = rand or random.Random()
        self._made_at = datetime.fromtimestamp(manners.clock(), UTC)
        self.roles = {
            kind: f"arn:aws:iam::{account}:role/fargate-{'pods' if kind == 'good' else kind}" for kind in ROLES
        }
        first, second = region + "a", region + "b"
        self.subnets = {
            self.private_subnets[0]: RoutedSubnet(self.vpc, first, False, "nat-1"),
            self.private_subnets[1]: RoutedSubnet(self.vpc, second, False, "nat-1"),
            self.public_subnet: RoutedSubnet(self.vpc, first, True, "igw-1"),
            self.implicit_public_subnet: RoutedSubnet(self.vpc, second, True, "igw-1", main=True),
            self.foreign_subnet: RoutedSubnet(self.foreign_vpc, first, False, "", main=True),
            self.local_zone_subnet: RoutedSubnet(self.vpc, f"{region}-bos-1a", False, "nat-1"),
        }
        self.add_cluster(self.cluster)

    def _id(self, usual: str) -> str:
        """Return an id that no other account and region has."""
        if (self.account, self.region) == HOME:
            return usual
        kind = usual.partition("-")[0]
        return f"{kind}-{sha256(f'{self.account} {self.region} {usual}'.encode()).hexdigest()[:17]}"

    # What a client can do

    def client(self, service: str) -> Client:
        return Client(self.ask)

    def ask(self, method: str, request: Answer) -> Answer:
        """Answer one request as botocore hands the answer over."""
        check_request(method, request)
        try:
            named = {xform_name(key): value for key, value in request.items()}
            answer: Answer = getattr(self, f"_{method}")(**named)
        except Refusal as refusal:
            raise refused(operation(method), refusal.code, refusal.status, refusal.text) from refusal
        return answer | {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def _list_fargate_profiles(self, cluster_name: str, max_results: int = 100, next_token: str = "") -> Answer:
        names, more = self._rules.page(cluster_name, next_token, max_results)
        return {"fargateProfileNames": names} | ({"nextToken": more} if more else {})

    def _describe_fargate_profile(self, cluster_name: str, fargate_profile_name: str) -> Answer:
        return {"fargateProfile": self._rules.describe(cluster_name, fargate_profile_name).shown()}

    def _create_fargate_profile(
        self,
        cluster_name: str,
        fargate_profile_name: str,
        pod_execution_role_arn: str,
        selectors: Selectors,
        subnets: list[str] | None = None,
        tags: Tags | None = None,
    ) -> Answer:
        wanted = Wanted(fargate_profile_name, pod_execution_role_arn, selectors, subnets or [], tags or {})
        return {"fargateProfile": self._rules.create(cluster_name, wanted).shown()}

    def _delete_fargate_profile(self, cluster_name: str, fargate_profile_name: str) -> Answer:
        return {"fargateProfile": self._rules.delete(cluster_name, fargate_profile_name).shown()}

    def _tag_resource(self, resource_arn: str, tags: Tags) -> Answer:
        self._rules.tag(resource_arn, tags)
        return {}

    def _untag_resource(self, resource_arn: str, tag_keys: list[str]) -> Answer:
        self._rules.untag(resource_arn, tag_keys)
        return {}

    def _describe_cluster(self, name: str) -> Answer:
        found = self._rules.cluster(name)
        network = {"subnetIds": [*found.subnets], "vpcId": found.vpc}
        cluster = {"name": name, "arn": found.arn, "status": found.status, "resourcesVpcConfig": network}
        cluster |= {"accessConfig": dict(found.access), "tags": dict(found.tags)}
        return {"cluster": cluster | {"identity": {"oidc": {"issuer": issuer(name, self.region)}}}}

    def _describe_access_entry(self, cluster_name: str, principal_arn: str) -> Answer:
        return {"accessEntry": dict(self._rules.describe_entry(cluster_name, principal_arn))}

    def _describe_subnets(self, filters: list[Answer]) -> Answer:
        ids, vpcs = _filtered(filters, "subnet-id"), _filtered(filters, "vpc-id")
        found = {
            each: subnet
            for each, subnet in self.subnets.items()
            if (ids is None or each in ids) and (vpcs is None or subnet.vpc in vpcs)
        }
        return {
            "Subnets": [
                {
                    "SubnetId": each,
                    "VpcId": subnet.vpc,
                    "AvailabilityZone": subnet.zone,
                    "AvailableIpAddressCount": subnet.free,
                    "Ipv6Native": False,
                    "Tags": [{"Key": key, "Value": value} for key, value in subnet.tags.items()],
                }
                for each, subnet in found.items()
            ]
        }

    def _describe_route_tables(self, filters: list[Answer]) -> Answer:
        wanted = _filtered(filters, "vpc-id") or ()
        return {"RouteTables": [self._table(each) for each in self.subnets if self.subnets[each].vpc in wanted]}

    def _table(self, subnet_id: str) -> Answer:
        subnet = self.subnets[subnet_id]
        kind = "NatGatewayId" if subnet.gateway.startswith("nat-") else "GatewayId"
        default = [{"DestinationCidrBlock": "0.0.0.0/0", kind: subnet.gateway, "State": "active"}]
        association = {"Main": True} if subnet.main else {"Main": False, "SubnetId": subnet_id}
        local = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}
        routes = [local, *(default if subnet.gateway else [])]
        return {"VpcId": subnet.vpc, "Associations": [association], "Routes": routes}

    def _get_role(self, role_name: str) -> Answer:
        kind = self._kind(role_name, "get_role")
        document = json.loads(ROLES[kind][0])
        made = {"RoleName": role_name, "Arn": self.roles[kind], "CreateDate": self._made_at}
        return {"Role": made | {"AssumeRolePolicyDocument": document}}

    def _list_attached_role_policies(self, role_name: str) -> Answer:
        policy = ROLES[self._kind(role_name, "list_attached_role_policies")][1]
        attached = [{"PolicyName": policy, "PolicyArn": f"arn:aws:iam::aws:policy/{policy}"}] if policy else []
        return {"AttachedPolicies": attached}

    def _list_role_policies(self, role_name: str) -> Answer:
        return {"PolicyNames": list(INLINE.get(self._kind(role_name, "list_role_policies"), []))}

    def _get_caller_identity(self) -> Answer:
        return {"Account": self.account, "Arn": f"arn:aws:sts::{self.account}:user/moto"}

    def _kind(self, role: str, method: str) -> str:
        kind = next((kind for kind, arn in self.roles.items() if arn.rpartition("/")[2] == role), None)
        if kind is None:
            raise refused(operation(method), "NoSuchEntity", 404, f"Role {role} not found")
        return kind

    # What the rules ask for

    @property
    def rules(self) -> Eks:
        return self._rules

    def find_cluster(self, name: str) -> Cluster | None:
        return self.clusters.get(name)

    def every_cluster(self) -> Iterable[Cluster]:
        return self.clusters.values()

    def find_subnet(self, subnet_id: str) -> RoutedSubnet | None:
        return self.subnets.get(subnet_id)

    def trust_policy(self, role_arn: str) -> str | None:
        return next((ROLES[kind][0] for kind, arn in self.roles.items() if arn == role_arn), None)

    def new_uuid(self) -> str:
        return str(uuid.UUID(int=self._rand.getrandbits(128), version=4))

    # The deeds of others, beside those of `Outsiders`

    def stored(self, cluster: str) -> dict[str, Stored]:
        """Return the profiles of a cluster as they are now, to be looked at and not to be changed."""
        return self._rules.cluster(cluster).profiles

    def add_cluster(self, name: str, tags: Tags | None = None) -> None:
        """Make one more ACTIVE cluster in the same VPC."""
        arn = f"arn:aws:eks:{self.region}:{self.account}:cluster/{name}"
        self.clusters[name] = Cluster(
            name, arn, self.vpc, (*self.private_subnets, self.public_subnet), dict(tags or {})
        )

    def add_subnet(self, **tags: str) -> str:
        """Make one more private subnet in the cluster's VPC, with these tags."""
        made = self._id(f"subnet-{len(self.subnets):08x}")
        self.subnets[made] = RoutedSubnet(self.vpc, self.region + "a", False, "nat-1", tags=tags)
        return made

    def tag_subnet(self, subnet_id: str, **tags: str) -> None:
        """Add tags to a subnet; an empty value takes a tag away."""
        subnet = self.subnets[subnet_id]
        kept = {key: value for key, value in (subnet.tags | tags).items() if value}
        self.subnets[subnet_id] = replace(subnet, tags=kept)

    def set_cluster_status(self, cluster: str, status: str) -> None:
        """Set what DescribeCluster says; anything but ACTIVE refuses creates."""
        self.clusters[cluster].status = status

    def remove_cluster(self, cluster: str) -> None:
        """Let a cluster be gone with all its profiles."""
        self.clusters.pop(cluster)


def _filtered(filters: list[Answer], name: str) -> list[str] | None:
    """Return the values of a filter, None where it is not asked for."""
    return next((each["Values"] for each in filters if each["Name"] == name), None)
