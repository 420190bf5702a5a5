"""A small AWS account in memory, for thousands of worlds: the calls of aws.py, without HTTP, botocore or moto.

It keeps the rules of `tests/fakes/aws.py` and shares its texts; tests/contract/test_eks.py holds the two to each other.
Of requests it checks what botocore checks before it sends one. `client(service)` gives what stands where a boto3 client
stands; the other methods are the deeds of others, as those of `aws.World`.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from botocore.validate import ParamValidator
from moto.eks.exceptions import (
    EKSError,
    InvalidParameterException,
    InvalidRequestException,
    ResourceInUseException,
    ResourceNotFoundException,
)

from tests.fakes.aws import (
    ACCOUNT,
    ROLES,
    BadRequestException,
    Issue,
    Manners,
    NotFoundException,
    ResourceLimitExceededException,
    Stored,
    Tags,
    check_selectors,
    check_syntax,
    check_tags,
    trusts_fargate,
)

Answer = dict[str, Any]
METHODS = {
    "eks": (
        "list_fargate_profiles",
        "describe_fargate_profile",
        "create_fargate_profile",
        "delete_fargate_profile",
        "tag_resource",
        "untag_resource",
        "describe_cluster",
    ),
    "ec2": ("describe_subnets", "describe_route_tables"),
    "iam": ("get_role", "list_attached_role_policies", "list_role_policies"),
    "sts": ("get_caller_identity",),
}
SERVICE_OF = {method: service for service, methods in METHODS.items() for method in methods}
INLINE = {"inline-policy": ["pull"]}


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
class Subnet:
    vpc: str
    zone: str
    gateway: str  # the target of the default route of its table
    main: bool = False  # it has no route table of its own


@dataclass
class Cluster:
    name: str
    arn: str
    vpc: str
    subnets: tuple[str, ...]
    tags: Tags
    status: str = "ACTIVE"
    stored: dict[str, Stored] = field(default_factory=dict)


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
        while True:
            page = self.ask(request)
            yield page
            if not page.get("nextToken"):
                return
            request = {**request, "nextToken": page["nextToken"]}


class Memory:
    """The account. `rand` makes the UUIDs, so that a seeded simulation repeats."""

    account = ACCOUNT
    vpc, foreign_vpc = "vpc-0a0a0a0a", "vpc-0b0b0b0b"
    private_subnets = ("subnet-aaaaaaa1", "subnet-aaaaaaa2")
    public_subnet, implicit_public_subnet = "subnet-bbbbbbb1", "subnet-bbbbbbb2"
    foreign_subnet, local_zone_subnet = "subnet-ccccccc1", "subnet-ccccccc2"
    cluster = "demo"

    def __init__(self, manners: Manners, region: str = "us-east-1", rand: random.Random | None = None) -> None:
        self.manners, self.region = manners, region
        self.clusters: dict[str, Cluster] = {}
        self._rand = rand or random.Random()
        self.roles = {
            kind: f"arn:aws:iam::{ACCOUNT}:role/fargate-{'pods' if kind == 'good' else kind}" for kind in ROLES
        }
        first, second = region + "a", region + "b"
        self.subnets = {
            self.private_subnets[0]: Subnet(self.vpc, first, "nat-1"),
            self.private_subnets[1]: Subnet(self.vpc, second, "nat-1"),
            self.public_subnet: Subnet(self.vpc, first, "igw-1"),
            self.implicit_public_subnet: Subnet(self.vpc, second, "igw-1", main=True),
            self.foreign_subnet: Subnet(self.foreign_vpc, first, "", main=True),
            self.local_zone_subnet: Subnet(self.vpc, f"{region}-bos-1a", "nat-1"),
        }
        self.add_cluster(self.cluster)

    # What a client can do

    def client(self, service: str) -> Client:
        return Client(self.ask)

    def ask(self, method: str, request: Answer) -> Answer:
        """Answer one request as botocore hands the answer over."""
        check_request(method, request)
        try:
            named = {xform_name(key): value for key, value in request.items()}
            answer: Answer = getattr(self, f"_{method}")(**named)
        except EKSError as error:
            raise refused(
                operation(method), error.TYPE, error.STATUS, json.loads(error.description)["message"]
            ) from error
        return answer | {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def _list_fargate_profiles(self, cluster_name: str, max_results: int = 100, next_token: str = "") -> Answer:
        names = sorted(name for name in self._visible(cluster_name) if name >= next_token)
        more = names[max_results:][:1]
        return {"fargateProfileNames": names[:max_results]} | ({"nextToken": more[0]} if more else {})

    def _describe_fargate_profile(self, cluster_name: str, fargate_profile_name: str) -> Answer:
        return {"fargateProfile": _shown(_found(self._visible(cluster_name), fargate_profile_name))}

    def _create_fargate_profile(
        self,
        cluster_name: str,
        fargate_profile_name: str,
        pod_execution_role_arn: str,
        selectors: list[dict[str, Any]],
        subnets: list[str] | None = None,
        tags: Tags | None = None,
    ) -> Answer:
        name, manners, tags = fargate_profile_name, self.manners, tags or {}
        check_syntax(name, selectors)
        self._check_turn_to_create(self.stored(cluster_name), cluster_name, name)
        check_selectors(selectors, manners)
        for each in subnets or []:
            self._check_subnet(cluster_name, each)
        arn = self.profile_arn(cluster_name, name)
        self._check_role(pod_execution_role_arn, arn)
        if len(self.stored(cluster_name)) >= manners.max_profiles:
            message = f"Cluster {cluster_name} has {manners.max_profiles} Fargate profiles already"
            raise ResourceLimitExceededException(message=message)
        check_tags(tags, InvalidParameterException)
        chosen = subnets or [each for each in self.clusters[cluster_name].subnets if not self._is_public(each)]
        stored = self._store(cluster_name, name, arn, pod_execution_role_arn, selectors, chosen, tags)
        now = manners.clock()
        stored.visible_at = now + manners.visible_after
        stored.start("CREATING", now + manners.creating_seconds, manners.fail_creates.get(name, []))
        return {"fargateProfile": _shown(stored)}

    def _delete_fargate_profile(self, cluster_name: str, fargate_profile_name: str) -> Answer:
        name, manners = fargate_profile_name, self.manners
        profiles = self.stored(cluster_name)
        stored = _found(profiles, name)
        start = f"Cannot Delete Fargate Profile {name} because cluster {cluster_name} currently has"
        if cluster_name in manners.updating:
            raise ResourceInUseException(message=f"{start} an update in progress")
        self._check_in_flight(profiles, name, start)
        ends = manners.clock() + manners.deleting_seconds
        stored.start("DELETING", ends, manners.fail_deletes.get(name, []))
        return {"fargateProfile": _shown(stored)}

    def _tag_resource(self, resource_arn: str, tags: Tags) -> Answer:
        current = self._tags(resource_arn)
        check_tags(tags, BadRequestException, current)
        current.update(tags)
        return {}

    def _untag_resource(self, resource_arn: str, tag_keys: list[str]) -> Answer:
        current = self._tags(resource_arn)
        for key in tag_keys:
            current.pop(key, None)
        return {}

    def _describe_cluster(self, name: str) -> Answer:
        found = self._cluster(name)
        network = {"subnetIds": [*found.subnets], "vpcId": found.vpc}
        cluster = {"name": name, "arn": found.arn, "status": found.status, "resourcesVpcConfig": network}
        return {"cluster": cluster | {"tags": dict(found.tags)}}

    def _describe_subnets(self, filters: list[Answer]) -> Answer:
        wanted = _filtered(filters, "subnet-id")
        found = {each: subnet for each, subnet in self.subnets.items() if each in wanted}
        return {
            "Subnets": [
                {"SubnetId": each, "VpcId": subnet.vpc, "AvailabilityZone": subnet.zone}
                for each, subnet in found.items()
            ]
        }

    def _describe_route_tables(self, filters: list[Answer]) -> Answer:
        wanted = _filtered(filters, "vpc-id")
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
        return {"Role": {"RoleName": role_name, "Arn": self.roles[kind], "AssumeRolePolicyDocument": document}}

    def _list_attached_role_policies(self, role_name: str) -> Answer:
        policy = ROLES[self._kind(role_name, "list_attached_role_policies")][1]
        attached = [{"PolicyName": policy, "PolicyArn": f"arn:aws:iam::aws:policy/{policy}"}] if policy else []
        return {"AttachedPolicies": attached}

    def _list_role_policies(self, role_name: str) -> Answer:
        return {"PolicyNames": list(INLINE.get(self._kind(role_name, "list_role_policies"), []))}

    def _get_caller_identity(self) -> Answer:
        return {"Account": self.account, "Arn": f"arn:aws:sts::{self.account}:user/moto"}

    # EKS's rules

    def _cluster(self, name: str) -> Cluster:
        if name not in self.clusters:
            raise ResourceNotFoundException(message=f"No cluster found for name: {name}.")
        return self.clusters[name]

    def stored(self, cluster: str) -> dict[str, Stored]:
        """Return the profiles of a cluster as they are now, to be looked at and not to be changed."""
        stored, now = self._cluster(cluster).stored, self.manners.clock()
        for profile in list(stored.values()):
            if profile.in_flight and now >= profile.settles_at and profile.settle():
                del stored[profile.name]
        return stored

    def _visible(self, cluster: str) -> dict[str, Stored]:
        now = self.manners.clock()
        return {name: each for name, each in self.stored(cluster).items() if now >= each.visible_at}

    def profile_arn(self, cluster: str, name: str) -> str:
        """Return a new ARN: it ends in a UUID, so no two profiles of a name share one."""
        unique = uuid.UUID(int=self._rand.getrandbits(128), version=4)
        return f"arn:aws:eks:{self.region}:{self.account}:fargateprofile/{cluster}/{name}/{unique}"

    def _store(
        self,
        cluster: str,
        name: str,
        arn: str,
        role: str,
        selectors: list[dict[str, Any]],
        subnets: Iterable[str],
        tags: Tags,
        created_at: float | None = None,
    ) -> Stored:
        created = self.manners.clock() if created_at is None else created_at
        body = {
            "fargateProfileName": name,
            "fargateProfileArn": arn,
            "clusterName": cluster,
            "createdAt": datetime.fromtimestamp(created, UTC),
            "podExecutionRoleArn": role,
            "subnets": list(subnets),
            "selectors": selectors,
            "status": "ACTIVE",
            "tags": dict(tags),
            "health": {"issues": []},
        }
        stored = self.clusters[cluster].stored[name] = Stored(body)
        return stored

    def _check_turn_to_create(self, profiles: Mapping[str, Stored], cluster: str, name: str) -> None:
        if self.clusters[cluster].status != "ACTIVE":
            raise InvalidRequestException(message=f"Cluster '{cluster}' is not in ACTIVE status")
        if name in profiles:
            raise ResourceInUseException(message="A Fargate Profile already exists with this name in this cluster.")
        start = f"Cannot create Fargate Profile {name} because cluster {cluster} currently has"
        if cluster in self.manners.updating:
            update = uuid.UUID(int=self._rand.getrandbits(128), version=4)
            raise ResourceInUseException(message=f"{start} update {update} in progress")
        self._check_in_flight(profiles, name, start)

    def _check_in_flight(self, profiles: Mapping[str, Stored], name: str, start: str) -> None:
        for other in profiles.values():
            if other.in_flight and (self.manners.one_in_flight or other.name == name):
                raise ResourceInUseException(
                    message=f"{start} Fargate profile {other.name} in status {other.body['status']}"
                )

    def _check_subnet(self, cluster: str, subnet_id: str) -> None:
        subnet = self.subnets.get(subnet_id)
        if subnet is None:
            raise InvalidParameterException(message=f"The subnet ID '{subnet_id}' does not exist")
        if subnet.vpc != self.clusters[cluster].vpc:
            message = f"Subnet {subnet_id} is not in the VPC of cluster {cluster}"
            raise InvalidParameterException(message=message)
        if subnet.zone[:-1] != self.region:
            message = f"Fargate Profile creation for the Availability Zone {subnet.zone} is not supported"
            raise InvalidParameterException(message=message)
        if self._is_public(subnet_id):
            message = f"Subnet {subnet_id} provided in Fargate Profile is not a private subnet"
            raise InvalidParameterException(message=message)

    def _is_public(self, subnet_id: str) -> bool:
        return self.subnets[subnet_id].gateway.startswith("igw-")

    def _check_role(self, role: str, profile_arn: str) -> None:
        if role.count("/") > 1:
            raise InvalidParameterException(message=f"The pod execution role {role} must not have a path")
        kind = next((kind for kind, arn in self.roles.items() if arn == role), None)
        if self.manners.validate_role and (kind is None or not trusts_fargate(ROLES[kind][0], profile_arn)):
            raise InvalidParameterException(
                message="Misconfigured PodExecutionRole Trust Policy; Please add the"
                " eks-fargate-pods.amazonaws.com Service Principal"
            )

    def _kind(self, role: str, method: str) -> str:
        kind = next((kind for kind, arn in self.roles.items() if arn.rpartition("/")[2] == role), None)
        if kind is None:
            raise refused(operation(method), "NoSuchEntity", 404, f"Role {role} not found")
        return kind

    def _tags(self, arn: str) -> Tags:
        for cluster in self.clusters.values():
            if cluster.arn == arn:
                return cluster.tags
            for profile in self.stored(cluster.name).values():
                if profile.body["fargateProfileArn"] == arn:
                    tags: Tags = profile.body["tags"]
                    return tags
        raise NotFoundException(message=f"Resource {arn} was not found")

    # The deeds of others

    def profiles(self, cluster: str) -> list[Answer]:
        """Return every profile as DescribeFargateProfile words it, visible or not, by name."""
        return [_shown(each) for _, each in sorted(self.stored(cluster).items())]

    def add_profile(
        self,
        cluster: str,
        name: str,
        role: str,
        selectors: list[dict[str, Any]],
        subnets: Iterable[str] = (),
        tags: Tags | None = None,
        created_at: float | None = None,
        status: str = "ACTIVE",
        issues: Iterable[Issue] = (),
    ) -> Answer:
        """Put a profile there; one that is CREATING or DELETING takes its time from now."""
        arn = self.profile_arn(cluster, name)
        stored = self._store(cluster, name, arn, role, selectors, subnets, tags or {}, created_at)
        stored.body["health"]["issues"].extend(issues)
        creating = status == "CREATING"
        takes = self.manners.creating_seconds if creating else self.manners.deleting_seconds
        failures = self.manners.fail_creates if creating else self.manners.fail_deletes
        stored.start(status, self.manners.clock() + takes, failures.get(name, []) if stored.in_flight else [])
        return _shown(stored)

    def delete_profile(self, cluster: str, name: str) -> None:
        """Let a profile be gone at once."""
        del self.stored(cluster)[name]

    def set_tags(self, cluster: str, name: str, tags: Tags) -> None:
        self.stored(cluster)[name].body["tags"].update(tags)

    def strip_tags(self, cluster: str, name: str, keys: Iterable[str]) -> None:
        for key in keys:
            self.stored(cluster)[name].body["tags"].pop(key, None)

    def add_cluster(self, name: str, tags: Tags | None = None) -> None:
        """Make one more ACTIVE cluster in the same VPC."""
        arn = f"arn:aws:eks:{self.region}:{self.account}:cluster/{name}"
        self.clusters[name] = Cluster(
            name, arn, self.vpc, (*self.private_subnets, self.public_subnet), dict(tags or {})
        )

    def set_cluster_status(self, cluster: str, status: str) -> None:
        """Set what DescribeCluster says; anything but ACTIVE refuses creates."""
        self.clusters[cluster].status = status

    def remove_cluster(self, cluster: str) -> None:
        """Let a cluster be gone with all its profiles."""
        self.clusters.pop(cluster)


def _found(profiles: Mapping[str, Stored], name: str) -> Stored:
    if name not in profiles:
        raise ResourceNotFoundException(message=f"No Fargate Profile found with name: {name}.")
    return profiles[name]


def _shown(stored: Stored) -> Answer:
    """Return what an answer shows of a profile: a copy of what may change."""
    body = stored.body
    return body | {"tags": dict(body["tags"]), "health": {"issues": list(body["health"]["issues"])}}


def _filtered(filters: list[Answer], name: str) -> list[str]:
    values: list[str] = next(each["Values"] for each in filters if each["Name"] == name)
    return values
