"""moto with EKS's real manners, in this process or over HTTP.

moto answers as the AWS APIs do but its Fargate profiles are ACTIVE at once and hardly any rule is kept. Here
they keep the rules of tests/fakes/eks_rules.py. Every request passes `exchange`: the log, the faults that a
test has planned, then moto, one request at a time since moto has no locks.

    test --> boto3 --> before-send hook, or WSGI server --> exchange --> moto, EKS replaced by RealEKS

What a test steers is in `Manners`; what it looks at or changes behind everybody's back is in `World`. A world is what
an account has in a region; `World.beside` makes more of them behind the same endpoint, each with manners of its own.
One set of them at a time: moto's backends are globals.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from io import BytesIO
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import moto.eks.models
import moto.eks.urls
from botocore.config import Config
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from moto import mock_aws
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.core.models import botocore_stubber
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import InvalidSubnetIdError
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import AmiBackend
from moto.ec2.models.availability_zones_and_regions import Zone
from moto.eks.exceptions import EKSError
from moto.eks.models import eks_backends
from moto.eks.responses import EKSResponse
from moto.iam.models import AccessKey, AWSManagedPolicy, get_account_id_from, iam_backends
from moto.sts.responses import TokenResponse

from tests.fakes.accounts import Places, Sts, Wish, trust_of
from tests.fakes.eks_rules import (
    ACCOUNT,
    INLINE,
    ROLES,
    Behaviour,
    Cluster,
    Eks,
    Outsiders,
    Refusal,
    Selectors,
    Subnet,
    Tags,
    Wanted,
    in_use,
    issuer,
)
from tests.fakes.quotas import Quotas, installed

# What the sample manifest of the original names, letter by letter.
SAMPLE_SUBNETS = ("subnet-075aa287882d71709", "subnet-0b36ca4d53f742857")
SAMPLE_ROLE = "eksctl-cluster-workshop-cl-FargatePodExecutionRole-ZBZNZ6OBYOHE"
WRITES = {"CreateFargateProfile", "DeleteFargateProfile", "TagResource", "UntagResource"}
LOCK = threading.RLock()

Answer = tuple[int, dict[str, str], bytes]


# Faults


def _untouched(service: str, answer: Answer) -> Answer:
    return answer


def _truncated(service: str, answer: Answer) -> Answer:
    return 200, {"Content-Type": "application/json"}, answer[2][: len(answer[2]) // 2]


def _html(service: str, answer: Answer, status: int) -> Answer:
    page = f"<html><body><h1>{status} Bad Gateway</h1></body></html>"
    return status, {"Content-Type": "text/html"}, page.encode()


def _refusal(service: str, answer: Answer, code: str, status: int, message: str) -> Answer:
    """Word an error as the service's protocol does: rest-json for EKS, XML for the others."""
    if service == "eks":
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
        return status, headers, json.dumps({"message": message}).encode()
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    form = "<Response><Errors>{}</Errors></Response>" if service == "ec2" else "<ErrorResponse>{}</ErrorResponse>"
    return status, {"Content-Type": "text/xml"}, form.format(error).encode()


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; `name` is the code that the log shows."""

    name: str
    happens: bool = False  # the request is carried out all the same
    cut: bool = False  # no answer arrives
    seconds: float = 0  # the answer comes that much later
    respond: Callable[[str, Answer], Answer] = _untouched


LOST = Fault("LOST", happens=True, cut=True)
DROP = Fault("DROP", cut=True)
REFUSED = Fault("REFUSED", cut=True)  # nobody listens; over HTTP the same as DROP
BROKEN = Fault("BROKEN", happens=True, respond=_truncated)
SILENT = Fault("SILENT", cut=True, seconds=30)  # what is sent arrives nowhere


def hang(seconds: float) -> Fault:
    """Carry the request out and answer `seconds` later; in process that is a read timeout at once."""
    return Fault("HANG", happens=True, seconds=seconds)


def html(status: int) -> Fault:
    """Answer with a proxy's error page; nothing is carried out."""
    return Fault("HTML", respond=partial(_html, status=status))


def error(code: str, status: int = 400, message: str = "as planned", happens: bool = False) -> Fault:
    """Answer with an error of the service."""
    return Fault(code, happens, respond=partial(_refusal, code=code, status=status, message=message))


@dataclass
class _Planned:
    operation: str
    fault: Fault
    times: int
    cluster: str | None
    profile: str | None

    def meets(self, call: Call) -> bool:
        wanted = self.operation in {"*", call.operation, f"{call.service}:{call.operation}"}
        there = self.cluster in {None, call.params.get("cluster")}
        named = self.profile in {None, call.params.get("profile")}
        return wanted and there and named and self.times > 0


# The log, and what tests steer


@dataclass
class Call:
    """One request as it arrived, and what was answered: status 0 = nothing, code "" = success."""

    time: float
    service: str
    operation: str
    params: dict[str, str] = field(default_factory=dict)  # cluster, profile, arn; the form of the others
    status: int = 0
    code: str = ""
    account: str = ACCOUNT  # whose key has signed it
    region: str = ""  # for which it is signed
    key: str = field(default="", repr=False)

    @property
    def place(self) -> tuple[str, str]:
        return self.account, self.region

    @property
    def writes(self) -> bool:
        return self.operation in WRITES


@dataclass
class Manners(Behaviour):
    """How AWS behaves, what goes wrong on the way, and what it was asked."""

    on_call: Callable[[Call], None] | None = None  # runs before a request is carried out: others act meanwhile
    calls: list[Call] = field(default_factory=list)
    quotas: Quotas = field(default_factory=Quotas)
    down: Fault | None = None  # what every request meets that is signed for this region: SILENT or REFUSED
    sts: Sts = field(default_factory=Sts)  # all places have one
    _planned: list[_Planned] = field(default_factory=list)

    def fail(
        self, operation: str, fault: Fault, times: int = 1, cluster: str | None = None, profile: str | None = None
    ) -> None:
        """Plan a fault for the next `times` of "CreateFargateProfile", "ec2:DescribeSubnets" or "*"."""
        self._planned.append(_Planned(operation, fault, times, cluster, profile))

    def heal(self) -> None:
        """Forget every fault that is still planned."""
        self._planned.clear()

    def clear(self) -> None:
        """Forget the log."""
        self.calls.clear()

    def count(self, operation: str) -> int:
        """Return how often an operation was asked for, answered or not."""
        return sum(call.operation == operation for call in list(self.calls))

    def writes(self) -> list[Call]:
        """Return the requests to EKS that change something."""
        return [call for call in list(self.calls) if call.writes]

    def admit(self, call: Call) -> Fault | None:
        """Log a request and take its fault from the plan."""
        with LOCK:
            self.calls.append(call)
            planned = next((planned for planned in self._planned if planned.meets(call)), None)
            if planned:
                planned.times -= 1
        if self.on_call:
            self.on_call(call)
        return planned.fault if planned else None

    def elsewhere(self) -> Manners:
        """Return manners like these, for another place: with a log and faults of their own."""
        fresh = Manners()
        own = {name: getattr(fresh, name) for name in ("calls", "quotas", "down", "_planned", "on_call")}
        own |= {name: getattr(fresh, name) for name in ("updating", "fail_creates", "fail_deletes")}
        return replace(self, **own)


# One request, whichever way it came

EKS_ROUTES = """
GET /clusters ListClusters
POST /clusters CreateCluster
GET /clusters/(?P<cluster>[^/]+) DescribeCluster
DELETE /clusters/(?P<cluster>[^/]+) DeleteCluster
GET /clusters/(?P<cluster>[^/]+)/fargate-profiles ListFargateProfiles
POST /clusters/(?P<cluster>[^/]+)/fargate-profiles CreateFargateProfile
GET /clusters/(?P<cluster>[^/]+)/fargate-profiles/(?P<profile>[^/]+) DescribeFargateProfile
DELETE /clusters/(?P<cluster>[^/]+)/fargate-profiles/(?P<profile>[^/]+) DeleteFargateProfile
GET /clusters/(?P<cluster>[^/]+)/access-entries/(?P<role>.+) DescribeAccessEntry
GET /tags/(?P<arn>.+) ListTagsForResource
POST /tags/(?P<arn>.+) TagResource
DELETE /tags/(?P<arn>.+) UntagResource
"""


def recognise(method: str, path: str, authorization: str, body: bytes, target: str = "") -> Call:
    """Tell which operation a request is; the credential scope names the service, without one it is STS.

    `target` is the header that names it where the protocol is JSON.
    """
    scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", authorization)
    key, region, service = scope.groups() if scope else ("", "", "sts")
    call = Call(RealEKS.places.home.clock(), service, "", region=region, key=key)
    call.account = get_account_id_from(key)
    if service == "eks":
        call.operation, call.params = _eks_operation(method, unquote(path), body)
    elif target:
        call.operation = target.rpartition(".")[2]
    else:
        call.params = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        call.operation = call.params.get("Action", f"{method} {path}")
    return call


def _eks_operation(method: str, path: str, body: bytes) -> tuple[str, dict[str, str]]:
    for verb, pattern, operation in map(str.split, EKS_ROUTES.strip().splitlines()):
        if verb == method and (match := re.fullmatch(pattern, path.rstrip("/"))):
            params = match.groupdict()
            if operation == "CreateFargateProfile":
                params["profile"] = json.loads(body).get("fargateProfileName", "")
            if "arn" in params:
                params["cluster"] = params["arn"].partition("/")[2].partition("/")[0]
            return operation, params
    return f"{method} {path}", {}


def exchange(call: Call, forward: Callable[[], Answer]) -> tuple[Answer, Fault | None]:
    """Log a request, carry it out unless its fault forbids it, and return what the wire should carry."""
    manners = RealEKS.places.of(call.place)
    fault = manners.admit(call) or _down(manners, call)
    answer: Answer = (0, {}, b"")
    if call.operation == "AssumeRole":
        time.sleep(manners.sts.slow.get(call.params.get("RoleArn", ""), 0.0))
    if fault is None or fault.happens:
        with LOCK:
            answer = _carried_out(manners, call, forward)
    if fault:
        answer = fault.respond(call.service, answer)
    call.status = 0 if fault and fault.cut else answer[0]
    call.code = fault.name if fault else _code(answer)
    return answer, fault


def _down(manners: Manners, call: Call) -> Fault | None:
    """Return what meets every request to a region that is down; IAM is in none."""
    is_there = call.service != "iam" and RealEKS.places.known(call.place)
    return manners.down if is_there else None


def _carried_out(manners: Manners, call: Call, forward: Callable[[], Answer]) -> Answer:
    try:
        manners.sts.check(call.key, call.service, manners.clock())
    except Refusal as refusal:
        return _refusal(call.service, (0, {}, b""), refusal.code, refusal.status, refusal.text)
    return forward()


def _code(answer: Answer) -> str:
    status, headers, body = answer
    if status < 400:
        return ""
    named = {key.lower(): value for key, value in headers.items()}.get("x-amzn-errortype")
    in_xml = re.search(rb"<Code>(.*?)</Code>", body)
    return named or (in_xml.group(1).decode() if in_xml else str(status))


EXCEPTIONS = {
    "LOST": ConnectionClosedError,
    "DROP": ConnectionClosedError,
    "REFUSED": EndpointConnectionError,
    "HANG": ReadTimeoutError,
    "SILENT": ConnectTimeoutError,
}


class _BotocoreDoor:
    """Stands in for moto's `process_request`, which every mocked client in this process goes through."""

    def __init__(self, inner: Callable[[Any], Any]) -> None:
        self._inner = inner

    def __call__(self, request: Any) -> Answer:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else bytes(body)
        authorization = request.headers.get("Authorization") or b""
        signature = authorization.decode() if isinstance(authorization, bytes) else authorization
        target = request.headers.get("X-Amz-Target") or b""
        named = target.decode() if isinstance(target, bytes) else target
        call = recognise(request.method, urlsplit(request.url).path, signature, body, named)
        answer, fault = exchange(call, lambda: self._forward(request))
        if fault and fault.name in EXCEPTIONS:
            raise EXCEPTIONS[fault.name](endpoint_url=request.url, request=request)
        return answer

    def _forward(self, request: Any) -> Answer:
        status, headers, body = self._inner(request)
        return status, headers, body.encode() if isinstance(body, str) else body


class _HttpDoor:
    """WSGI middleware around moto's server."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        call = recognise(environ["REQUEST_METHOD"], environ["PATH_INFO"], authorization, body, target)
        answer, fault = exchange(call, lambda: self._forward(environ))
        if fault and fault.seconds:
            time.sleep(fault.seconds)
        if fault and fault.cut:
            # close() alone does not cut it: the client would run into its read timeout
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        status, headers, content = answer
        headers = {key: value for key, value in headers.items() if key.lower() != "content-length"}
        start_response(f"{status or 500} -", [*headers.items(), ("Content-Length", str(len(content)))])
        return [content]

    def _forward(self, environ: dict[str, Any]) -> Answer:
        started: list[Any] = []
        content = b"".join(self._inner(environ, lambda status, headers, *_: started.extend([status, headers])))
        return int(started[0].split()[0]), dict(started[1]), content


# EKS


class MotoRefusal(EKSError):  # type: ignore[misc]
    """A refusal of the rules, as moto answers one."""

    def __init__(self, refusal: Refusal) -> None:
        self.TYPE, self.STATUS = refusal.code, refusal.status
        super().__init__(message=refusal.text)


@contextmanager
def _refusals() -> Iterator[None]:
    """Let moto word a refusal: of other exceptions than its own it makes a 500."""
    try:
        yield
    except Refusal as refusal:
        raise MotoRefusal(refusal) from refusal


class MotoAccount:
    """What moto's account has, as the rules ask for it."""

    def __init__(self, backend: RealEKS) -> None:
        self._backend = backend
        self.region, self.account = str(backend.region_name), str(backend.account_id)

    def find_cluster(self, name: str) -> Cluster | None:
        found = self._backend.clusters.get(name)
        if found is None:
            return None
        network, profiles = found.resources_vpc_config, found.fargate_profiles
        return Cluster(
            name, found.arn, network["vpcId"], network["subnetIds"], found.tags, found.status, profiles,
            found.access_config, found.access_entries,
        )  # fmt: skip

    def every_cluster(self) -> Iterable[Cluster]:
        return filter(None, map(self.find_cluster, list(self._backend.clusters)))

    def find_subnet(self, subnet_id: str) -> Subnet | None:
        try:
            subnet = self._ec2.get_subnet(subnet_id)
        except InvalidSubnetIdError:
            return None
        return Subnet(subnet.vpc_id, subnet.availability_zone, self._is_public(subnet))

    def _is_public(self, subnet: Any) -> bool:
        tables = [table for table in self._ec2.route_tables.values() if table.vpc_id == subnet.vpc_id]
        own = [table for table in tables if subnet.id in table._associations.values()]
        main = [table for table in tables if table.main_association_id]
        return any(str(route.gateway_id).startswith("igw-") for table in own or main for route in table.routes)

    @property
    def _ec2(self) -> Any:
        return ec2_backends[self.account][self.region]

    def trust_policy(self, role_arn: str) -> str | None:
        return _trust_policy(self.account, role_arn)

    def new_uuid(self) -> str:
        return str(uuid.uuid4())


def _trust_policy(account: str, role_arn: str) -> str | None:
    roles = iam_backends[account]["aws"].roles.values()
    return next((role.assume_role_policy_document for role in roles if role.arn == role_arn), None)


class RealEKS(moto.eks.models.EKSBackend):  # type: ignore[misc]
    """moto's EKS with the rules that EKS keeps. Its callers hold LOCK."""

    places = Places(Manners())  # on the class, because moto makes the objects

    @property
    def manners(self) -> Manners:
        return self.places.of((str(self.account_id), str(self.region_name)))

    @property
    def _url_module(self) -> Any:
        return moto.eks.urls  # moto would look for it beside this module

    @property
    def rules(self) -> Eks:
        return Eks(MotoAccount(self), self.manners)

    def create_cluster(self, *args: Any, **kwargs: Any) -> Any:
        """Fill in what DescribeCluster shows of a real cluster and moto leaves out."""
        cluster = super().create_cluster(*args, **kwargs)
        asked = cluster.resources_vpc_config
        cluster.resources_vpc_config = {
            "endpointPublicAccess": True,
            "endpointPrivateAccess": False,
            "publicAccessCidrs": ["0.0.0.0/0"],
            "clusterSecurityGroupId": "sg-0c1a5702c1a570200",
            "vpcId": ec2_backends[self.account_id][self.region_name].get_subnet(asked["subnetIds"][0]).vpc_id,
            **asked,
        }
        cluster.access_config, cluster.access_entries = {"authenticationMode": "API_AND_CONFIG_MAP"}, {}
        cluster.identity = {"oidc": {"issuer": issuer(cluster.name, self.region_name)}}  # moto's is the same for all
        return cluster

    @_refusals()
    def delete_cluster(self, name: str) -> Any:
        if name in self.clusters and self.rules.cluster(name).profiles:
            raise in_use("Cluster has Fargate Profiles in ACTIVE/CREATING state")
        return super().delete_cluster(name)

    @_refusals()
    def create_fargate_profile(
        self,
        fargate_profile_name: str,
        cluster_name: str,
        selectors: Selectors | None,
        pod_execution_role_arn: str,
        subnets: list[str] | None = None,
        client_request_token: str | None = None,
        tags: Tags | None = None,
    ) -> dict[str, Any]:
        wanted = Wanted(fargate_profile_name, pod_execution_role_arn, selectors or [], subnets or [], tags or {})
        return self.rules.create(cluster_name, wanted).body

    @_refusals()
    def describe_fargate_profile(self, cluster_name: str, fargate_profile_name: str) -> dict[str, Any]:
        return self.rules.describe(cluster_name, fargate_profile_name).body

    @_refusals()
    def list_fargate_profiles(
        self, cluster_name: str, max_results: int, next_token: str | None
    ) -> tuple[list[str], str | None]:
        return self.rules.page(cluster_name, next_token or "", max_results)

    @_refusals()
    def delete_fargate_profile(self, cluster_name: str, fargate_profile_name: str) -> dict[str, Any]:
        return self.rules.delete(cluster_name, fargate_profile_name).body

    @_refusals()
    def describe_access_entry(self, cluster_name: str, role: str) -> dict[str, Any]:
        return self.rules.describe_entry(cluster_name, role)

    @_refusals()
    def tag_resource(self, resource_arn: str, tags: Tags) -> None:
        self.rules.tag(resource_arn, tags)

    @_refusals()
    def untag_resource(self, resource_arn: str, tag_keys: list[str]) -> None:
        self.rules.untag(resource_arn, tag_keys)

    @_refusals()
    def list_tags_for_resource(self, resource_arn: str) -> Tags:
        return self.rules.tags(resource_arn)


# The world


@dataclass
class World(Outsiders):
    """An account to test in; its methods are the deeds of others, which no rule stops and no log shows."""

    manners: Manners
    region: str
    vpc: str = ""
    private_subnets: tuple[str, ...] = ()
    public_subnet: str = ""
    implicit_public_subnet: str = ""  # public by the VPC's main route table
    foreign_subnet: str = ""  # of another VPC
    local_zone_subnet: str = ""
    roles: dict[str, str] = field(default_factory=dict)  # "good" and the flawed ones of ROLES -> ARN
    cluster: str = "demo"
    account: str = ACCOUNT
    endpoint: str | None = None
    env: dict[str, str] = field(default_factory=dict)  # what a child process needs to come here
    others: list[World] = field(default_factory=list)  # of other accounts and regions, behind the same endpoint
    lock = LOCK

    @property
    def _eks(self) -> RealEKS:
        backend: RealEKS = eks_backends[self.account][self.region]
        return backend

    @property
    def rules(self) -> Eks:
        return self._eks.rules

    def client(self, service: str) -> Any:
        """Return a boto3 client for this world that asks once."""
        key = "testing" if self.account == ACCOUNT else _key(self.account)
        return _client(service, self.region, self.endpoint, key)

    def beside(self, account: str = "", region: str = "", cluster: str = "demo") -> World:
        """Return what another account, or this one, has in another region, as much as this world; the home's only."""
        manners, place = self.manners.elsewhere(), (account or self.account, region or self.region)
        world = World(manners, place[1], account=place[0], cluster=cluster, endpoint=self.endpoint)
        with LOCK:
            key = _key(place[0])
            iam_backends[place[0]]["aws"].access_keys[key] = AccessKey(None, "AKIA", place[0])
            _build(world)
        self.others.append(world)
        return world

    def everywhere(self) -> list[Call]:
        """Return the requests that came to this place and to all beside it, each place's in their order."""
        return [call for each in (self, *self.others) for call in list(each.manners.calls)]

    def let_in(self, name: str = "fargate-operator", external_id: str = "", account: str = ACCOUNT) -> str:
        """Make a role of this account that whom another one lets may assume, or make it anew; return its ARN."""
        iam, arn = iam_backends[self.account]["aws"], f"arn:aws:iam::{self.account}:role/{name}"
        with LOCK:
            for role in [role for role in iam.roles.values() if role.arn == arn]:
                del iam.roles[role.id]
            iam.create_role(name, trust_of(account, external_id), "/", None, "", [], "3600")
        return arn

    def add_subnet(self, **tags: str) -> str:
        """Make one more private subnet in the cluster's VPC, with these tags."""
        ec2 = ec2_backends[self.account][self.region]
        with LOCK:
            taken = sum(each.vpc_id == self.vpc for zone in ec2.subnets.values() for each in zone.values())
            made = ec2.create_subnet(self.vpc, f"10.0.{taken}.0/24", availability_zone=f"{self.region}a")
            tables = ec2.route_tables.values()
            private = next(each.id for each in tables if self.private_subnets[0] in each._associations.values())
            ec2.associate_route_table(private, subnet_id=made.id)
            ec2.create_tags([made.id], tags)
        return str(made.id)

    def tag_subnet(self, subnet_id: str, **tags: str) -> None:
        """Add tags to a subnet; an empty value takes a tag away."""
        ec2 = ec2_backends[self.account][self.region]
        with LOCK:
            ec2.create_tags([subnet_id], {key: value for key, value in tags.items() if value})
            ec2.delete_tags([subnet_id], {key: None for key, value in tags.items() if not value})

    def add_cluster(self, name: str, tags: Tags | None = None) -> None:
        """Make one more ACTIVE cluster in the same VPC."""
        subnets = [*self.private_subnets, self.public_subnet]
        role = f"arn:aws:iam::{self.account}:role/eks-cluster"
        with LOCK:
            vpc = {"subnetIds": subnets}
            self._eks.create_cluster(name, role, vpc, version="1.34", tags=dict(tags or {}))

    def set_cluster_status(self, cluster: str, status: str) -> None:
        """Set what DescribeCluster says; anything but ACTIVE refuses creates."""
        with LOCK:
            self._eks.clusters[cluster].status = status

    def set_certificate_authority(self, cluster: str, bundle: str) -> None:
        """Set what DescribeCluster says of the certificates of the cluster's API server."""
        with LOCK:
            self._eks.clusters[cluster].certificate_authority = {"data": bundle}

    def set_issuer(self, cluster: str, issuer: str) -> None:
        """Set what DescribeCluster says of who issues the tokens of the cluster's ServiceAccounts, "" for nothing."""
        with LOCK:
            self._eks.clusters[cluster].identity = {"oidc": {"issuer": issuer}} if issuer else None

    def remove_cluster(self, cluster: str) -> None:
        """Let a cluster be gone with all its profiles."""
        with LOCK:
            self._eks.clusters.pop(cluster)


def _key(account: str) -> str:
    """Return the access key of an account's own user, in the form by which moto knows one."""
    return f"AKIA{account}USER"


@cache
def _client(service: str, region: str, endpoint: str | None, key: str) -> Any:
    """Return a client that outlives its world: to make the EC2 one alone takes 0.2 s."""
    once = Config(retries={"total_max_attempts": 1}, ignore_configured_endpoint_urls=True)
    return _session(region, key).client(service, endpoint_url=endpoint, config=once)


@cache
def _session(region: str, key: str) -> Any:
    return boto3.session.Session(key, "testing", region_name=region)


ALLOW_ECR = {"Effect": "Allow", "Action": ["ecr:GetAuthorizationToken", "ecr:BatchGetImage"], "Resource": "*"}


def build_world(
    manners: Manners,
    region: str = "us-east-1",
    subnet_ids: tuple[str, ...] = (),
    role_name: str = "fargate-pods",
) -> World:
    """Make the VPC, roles and cluster; `subnet_ids` are IDs for the private subnets, `role_name` of the good role.

    Through moto's backends, not through clients: four times as fast, in both modes, and no log to clean.
    """
    world = World(manners, region, env=_environment(region))
    with LOCK:
        _build(world, subnet_ids, role_name)
    return world


def _build(world: World, subnet_ids: tuple[str, ...] = (), role_name: str = "fargate-pods") -> None:
    RealEKS.places.add((world.account, world.region), world.manners)
    _build_network(world, subnet_ids)
    _build_roles(world, role_name)
    world.add_cluster(world.cluster)


def _build_network(world: World, subnet_ids: tuple[str, ...]) -> None:
    ec2 = ec2_backends[world.account][world.region]
    world.vpc, foreign_vpc = (ec2.create_vpc(f"10.{index}.0.0/16").id for index in range(2))
    ec2.modify_vpc_attribute(world.vpc, "enable_dns_hostnames", True)
    first, second, public, implicit, local = (
        ec2.create_subnet(world.vpc, f"10.0.{index}.0/24", availability_zone=world.region + "ab"[index % 2])
        for index in range(5)
    )
    for subnet, wanted in zip((first, second), subnet_ids, strict=False):
        _rename(ec2, subnet, wanted)
    world.private_subnets, world.local_zone_subnet = (first.id, second.id), local.id
    world.public_subnet, world.implicit_public_subnet = public.id, implicit.id
    foreign = ec2.create_subnet(foreign_vpc, "10.1.0.0/24", availability_zone=f"{world.region}a")
    world.foreign_subnet = foreign.id
    local._availability_zone = Zone(f"{world.region}-bos-1a", world.region, "use1-bos1-az1", "local-zone")
    gateway = ec2.create_internet_gateway().id
    ec2.attach_internet_gateway(gateway, world.vpc)
    main = next(t.id for t in ec2.route_tables.values() if t.vpc_id == world.vpc and t.main_association_id)
    ec2.create_route(main, "0.0.0.0/0", None, gateway_id=gateway)
    _give_table(ec2, [public], gateway_id=gateway)
    nat = ec2.create_nat_gateway(public.id, ec2.allocate_address("vpc").allocation_id)
    _give_table(ec2, [first, second, local], nat_gateway_id=nat.id)


def _rename(ec2: Any, subnet: Any, wanted: str) -> None:
    """Give a subnet the ID that a manifest names; CreateSubnet takes no wishes."""
    zone = ec2.subnets[subnet.availability_zone]
    zone[wanted] = zone.pop(subnet.id)
    subnet.id = wanted


def _give_table(ec2: Any, subnets: list[Any], **target: str) -> None:
    """Give subnets a route table of their own with this default route."""
    table = ec2.create_route_table(subnets[0].vpc_id).id
    ec2.create_route(table, "0.0.0.0/0", None, **target)
    for subnet in subnets:
        ec2.associate_route_table(table, subnet_id=subnet.id)


def _build_roles(world: World, role_name: str) -> None:
    iam = iam_backends[world.account]["aws"]
    there = {role.name: role.arn for role in iam.roles.values()}  # of another region: IAM is in none
    document = json.dumps({"Version": "2012-10-17", "Statement": [ALLOW_ECR]})
    for name in ("AmazonEKSFargatePodExecutionRolePolicy", "AmazonEKSClusterPolicy"):
        # Two by hand: loading all that moto has takes 0.7 s.
        policy = AWSManagedPolicy(name, world.account, world.region, document=document)
        iam.managed_policies[policy.arn] = policy
    for kind, (trust, policy_name) in ROLES.items():
        name = role_name if kind == "good" else f"fargate-{kind}"
        if name in there:
            world.roles[kind] = there[name]
            continue
        role = iam.create_role(name, trust, "/", None, "", [], "3600")
        role.create_date = datetime.fromtimestamp(world.manners.clock(), UTC)
        world.roles[kind] = role.arn
        if policy_name:
            iam.attach_role_policy(f"arn:aws:iam::aws:policy/{policy_name}", name)
    for kind, policies in INLINE.items():
        for each in policies:
            iam.put_role_policy(f"fargate-{kind}", each, document)


# The ways in


@contextmanager
def install(manners: Manners) -> Iterator[None]:
    """Let moto make RealEKS backends that read these manners, and forget all at the end."""
    with ExitStack() as patches:
        patches.enter_context(patch.object(RealEKS, "places", Places(manners)))
        patches.enter_context(patch.object(eks_backends, "backend", RealEKS))
        patches.enter_context(patch.object(EKSResponse, "untag_resource", _untag_resource))
        patches.enter_context(installed(lambda place: RealEKS.places.of(place).quotas))
        patches.enter_context(patch.object(TokenResponse, "assume_role", _assume_role(TokenResponse.assume_role)))
        patches.enter_context(patch.object(EKSResponse, "describe_access_entry", _describe_access_entry, create=True))
        # What costs a world 0.1 s each: a new boto3 session, and 1,300 machine images.
        patches.enter_context(patch.object(moto.eks.models, "validate_role_arn"))
        patches.enter_context(patch.object(AmiBackend, "_load_amis"))
        patches.callback(reset_model_data)
        patches.callback(BackendDict.reset)
        yield


def _untag_resource(self: Any) -> Any:
    """Stand in for moto's, which reads the first of several tagKeys only."""
    self.eks_backend.untag_resource(self._extract_arn_from_path(), self.querystring.get("tagKeys", []))
    return EmptyResult()


def _describe_access_entry(self: Any) -> Any:
    """Answer what moto does not know."""
    role = unquote(self._get_param("principalArn"))
    return ActionResult({"accessEntry": self.eks_backend.describe_access_entry(self._get_param("name"), role)})


def _assume_role(inner: Callable[[Any], ActionResult]) -> Callable[[Any], Any]:
    """Return what stands in for moto's, which gives keys of every role to everybody."""

    def assume_role(self: Any) -> Any:
        sts, now = RealEKS.places.home.sts, RealEKS.places.home.clock()
        caller = self.backend.get_caller_identity(self.get_access_key(), self.region)[1]
        wish = Wish(caller, self._get_param("RoleArn"), self._get_param("ExternalId") or "")
        try:
            sts.judge(wish, partial(_trust_policy, wish.role.split(":")[4]))
        except Refusal as refusal:
            status, headers, body = _refusal("sts", (0, {}, b""), refusal.code, refusal.status, refusal.text)
            return body.decode(), headers | {"status": status}
        answer = inner(self)
        keys = answer.result["Credentials"]
        ends = sts.give(keys.access_key_id, wish.role, now, self._get_int_param("DurationSeconds", 3600))
        keys.expiration = datetime.fromtimestamp(ends, UTC).replace(tzinfo=None)
        return answer

    return assume_role


# Where moto looks for it; it reads this once a process.
moto.eks.urls.url_paths["{0}/clusters/(?P<name>[^/]+)/access-entries/(?P<principalArn>.+)$"] = (
    moto.eks.urls.response.dispatch
)


def _environment(region: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def in_process(
    manners: Manners | None = None,
    region: str = "us-east-1",
    subnet_ids: tuple[str, ...] = (),
    role_name: str = "fargate-pods",
) -> Iterator[World]:
    """Give this process's boto3 clients a new world, and fake credentials; make them inside the block."""
    manners = manners or Manners()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment = patch.dict(os.environ, {**kept, **_environment(region)}, clear=True)
    with install(manners), environment, mock_aws():
        world = build_world(manners, region, subnet_ids, role_name)
        door = _BotocoreDoor(botocore_stubber.process_request)
        with patch.object(botocore_stubber, "process_request", door):
            yield world


@cache
def _server_application() -> Any:
    """Return moto's server, made once: each service's part of it takes 0.2 s."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415

    return DomainDispatcherApplication(create_backend_app)


@contextmanager
def over_http(
    manners: Manners | None = None,
    port: int = 0,
    region: str = "us-east-1",
    subnet_ids: tuple[str, ...] = (),
    role_name: str = "fargate-pods",
) -> Iterator[World]:
    """Serve a new world on 127.0.0.1 from a thread of this process; `world.env` leads a child there."""
    manners = manners or Manners()
    with install(manners):
        world = build_world(manners, region, subnet_ids, role_name)
        with _serving(port) as world.endpoint:
            world.env["AWS_ENDPOINT_URL"] = world.endpoint
            yield world


@contextmanager
def _serving(port: int) -> Iterator[str]:
    from moto.moto_server.werkzeug_app import MotoRequestHandler  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    door = _HttpDoor(_server_application())
    server = make_server("127.0.0.1", port, door, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
