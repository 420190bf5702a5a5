"""The rules of EKS, for its two stand-ins: tests/fakes/aws.py (moto) and tests/fakes/eks.py (as fast as dicts).

What may stand in a request, in which order EKS checks it and with which texts it refuses, what is in flight and how it
ends. It is no stand-in itself: it stores nothing and knows no protocol, no boto3 and no moto; what there is comes from
an `Account`, time from `Behaviour.clock`.

    stand-in --> Eks(account, behaviour).create(...) --> a Stored, or a Refusal is raised

Sources: the API reference, the user guide and reports in public issue trackers. A text that nobody has published is
marked "our words". A new rule stands here and nowhere else; its test stands in tests/contract/test_eks.py, which asks
both stand-ins.
"""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import NAMESPACE_URL, uuid5

Answer = dict[str, Any]
Issue = dict[str, Any]  # {"code", "message", "resourceIds"}
Tags = dict[str, str]
Selectors = list[dict[str, Any]]

FARGATE = "eks-fargate-pods.amazonaws.com"
MAX_TAGS = 50
NAMESPACE = re.compile(r"[a-z0-9*?]([-a-z0-9*?]*[a-z0-9*?])?")
LABEL_KEY = re.compile(r"([a-z0-9*?]([-a-z0-9.*?]{0,251}[a-z0-9*?])?/)?[A-Za-z0-9*?]([-\w.*?]{0,61}[A-Za-z0-9*?])?")


# How EKS behaves, and what there is


def _no_pods(profile: str) -> bool:
    return False


@dataclass
class Behaviour:
    """How EKS behaves in a test. Times are seconds of `clock`."""

    clock: Callable[[], float] = time.time
    creating_seconds: float = 0  # 0: the answer says CREATING, the next look ACTIVE
    deleting_seconds: float = 0
    visible_after: float = 0  # Describe and List do not know a new profile before
    max_profiles: int = 10
    max_selectors: int = 5
    max_labels: int = 5
    one_in_flight: bool = True
    validate_role: bool = True
    updating: set[str] = field(default_factory=set)  # clusters with an update in progress
    has_pods: Callable[[str], bool] = _no_pods  # a profile that has stays DELETING until they are gone
    fail_creates: dict[str, list[list[Issue]]] = field(default_factory=dict)  # by profile, one entry a create
    fail_deletes: dict[str, list[list[Issue]]] = field(default_factory=dict)

    def fail_create(self, profile: str, *issues: Issue, times: int = 1) -> None:
        """Let the next `times` creates of a profile end in CREATE_FAILED."""
        self.fail_creates.setdefault(profile, []).extend([list(issues)] * times)

    def fail_delete(self, profile: str, *issues: Issue, times: int = 1) -> None:
        """Let the next `times` deletes of a profile end in DELETE_FAILED."""
        self.fail_deletes.setdefault(profile, []).extend([list(issues)] * times)

    def settles_at(self, status: str) -> float:
        """Return when a change ends that begins now."""
        return self.clock() + (self.creating_seconds if status == "CREATING" else self.deleting_seconds)


@dataclass(frozen=True)
class Wanted:
    """A profile as a create asks for it."""

    name: str
    role: str
    selectors: Selectors
    subnets: Sequence[str] = ()
    tags: Tags = field(default_factory=dict)


@dataclass
class Stored:
    """A profile: `body` is what the API shows of it, the rest is what only EKS knows."""

    body: Answer
    visible_at: float = 0
    settles_at: float = 0
    failure: list[Issue] | None = None  # how the change in flight will end

    @property
    def name(self) -> str:
        return str(self.body["fargateProfileName"])

    @property
    def in_flight(self) -> bool:
        return self.body["status"] in {"CREATING", "DELETING"}

    def start(self, status: str, settles_at: float, failures: list[list[Issue]]) -> None:
        """Begin a change, which ends in the first of the planned failures if there is one."""
        self.body["status"], self.settles_at = status, settles_at
        self.failure = failures.pop(0) if failures else None

    def settle(self) -> bool:
        """End the change in flight; return whether the profile is gone."""
        creating = self.body["status"] == "CREATING"
        if self.failure is None:
            self.body["status"] = "ACTIVE" if creating else "DELETING"
            return not creating
        self.body["status"] = "CREATE_FAILED" if creating else "DELETE_FAILED"
        self.body["health"] = {"issues": self.failure}
        return False

    def shown(self) -> Answer:
        """Return what an answer shows: a copy of what may change."""
        body = self.body
        return body | {"tags": dict(body["tags"]), "health": {"issues": list(body["health"]["issues"])}}


def issuer(cluster: str, region: str = "us-east-1") -> str:
    """Return who issues the tokens of a cluster's ServiceAccounts."""
    return f"https://oidc.eks.{region}.amazonaws.com/id/{cluster.upper()}"


@dataclass
class Cluster:
    """A cluster; its tags and profiles are the stored ones, not copies."""

    name: str
    arn: str
    vpc: str
    subnets: Sequence[str]
    tags: Tags
    status: str = "ACTIVE"
    profiles: dict[str, Stored] = field(default_factory=dict)
    access: dict[str, Any] = field(default_factory=lambda: {"authenticationMode": "API_AND_CONFIG_MAP"})
    entries: dict[str, Answer] = field(
        default_factory=dict
    )  # access entries as DescribeAccessEntry words them, by role

    @property
    def has_entries(self) -> bool:
        return str(self.access.get("authenticationMode", "CONFIG_MAP")) != "CONFIG_MAP"

    def settle(self, now: float, has_pods: Callable[[str], bool]) -> None:
        """End the changes whose time has come."""
        for profile in list(self.profiles.values()):
            waits = profile.body["status"] == "DELETING" and has_pods(profile.name)
            if profile.in_flight and not waits and now >= profile.settles_at and profile.settle():
                del self.profiles[profile.name]


@dataclass(frozen=True)
class Subnet:
    vpc: str
    zone: str
    public: bool  # it routes to an internet gateway, by its own table or else the VPC's main one


class Account(Protocol):
    """What the rules ask a stand-in for."""

    region: str
    account: str

    def find_cluster(self, name: str) -> Cluster | None: ...

    def every_cluster(self) -> Iterable[Cluster]: ...

    def find_subnet(self, subnet_id: str) -> Subnet | None: ...

    def trust_policy(self, role_arn: str) -> str | None:
        """Return the document of a role that is there."""

    def new_uuid(self) -> str: ...


# Refusals


class Refusal(Exception):
    """EKS's answer to what it does not do; each stand-in words it in its protocol."""

    def __init__(self, code: str, status: int, text: str) -> None:
        super().__init__(text)
        self.code, self.status, self.text = code, status, text


def invalid(text: str) -> Refusal:
    return Refusal("InvalidParameterException", 400, text)


def bad_request(text: str) -> Refusal:
    """Return how the tag operations say `invalid`."""
    return Refusal("BadRequestException", 400, text)


def in_use(text: str) -> Refusal:
    return Refusal("ResourceInUseException", 409, text)


def not_found(text: str) -> Refusal:
    return Refusal("ResourceNotFoundException", 404, text)


# What may stand in a request


def check_name(name: str) -> None:
    """Refuse a profile's name by its form."""
    if not name[:1].isalnum() or not all(char.isalnum() or char in "-_" for char in name):
        raise invalid(
            "The Fargate profile name parameter contains invalid characters. It should begin with letter or digit and"
            " can have any of the following characters: the set of Unicode letters, digits, hyphens and underscores."
        )
    if name.startswith("eks-"):
        raise invalid("The fargate profile name starts with the reserved prefix: 'eks-'.")
    if len(name) > 100:
        raise invalid("The Fargate profile name parameter should not be greater than 100 characters.")


def check_words(selectors: Selectors) -> None:
    """Refuse selectors by the form of their namespaces and label keys."""
    for selector in selectors:
        namespace = selector.get("namespace")
        if namespace and (len(namespace) > 63 or not NAMESPACE.fullmatch(namespace)):
            raise invalid("The namespace provided is invalid.")
        if not all(LABEL_KEY.fullmatch(key) for key in selector.get("labels") or {}):
            raise invalid("Selector label provided is invalid.")


def check_numbers(selectors: Selectors, behaviour: Behaviour) -> None:
    """Refuse selectors by their number and that of their labels."""
    if not selectors:
        raise invalid("Fargate Profile requires at least one selector.")
    if not all(selector.get("namespace") for selector in selectors):
        raise invalid("Fargate Profile must have at least one selector with at least one namespace value.")
    if len(selectors) > behaviour.max_selectors:
        raise invalid(f"Request contains more than {behaviour.max_selectors} Selectors")
    if any(len(selector.get("labels") or {}) > behaviour.max_labels for selector in selectors):
        raise invalid(f"Request contains Selector with more than {behaviour.max_labels} Label pairs")


def check_tags(tags: Tags, refusal: Callable[[str], Refusal], current: Tags | None = None) -> None:
    """Refuse new tags as AWS does everywhere; its own current ones do not count; our words."""
    if len(tags.keys() | {key for key in current or {} if not key.startswith("aws:")}) > MAX_TAGS:
        raise refusal(f"The number of tags must not exceed {MAX_TAGS}")
    for key, value in tags.items():
        if key.lower().startswith("aws:") or value.lower().startswith("aws:"):
            raise refusal("Tag keys and values must not start with aws:")
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise refusal("Tag keys have 1 to 128 characters, values up to 256")


def trusts_fargate(document: str, profile_arn: str) -> bool:
    """Tell whether a trust policy lets Fargate's pods of this profile in: some statement does, and none denies it."""
    statements = listed(json.loads(document)["Statement"])
    return {each["Effect"] for each in statements if _applies(each, profile_arn)} == {"Allow"}


def _applies(statement: dict[str, Any], profile_arn: str) -> bool:
    principal = statement.get("Principal", {})
    named = principal == "*" or FARGATE in listed(principal.get("Service"))
    actions = [action.lower() for action in listed(statement.get("Action", []))]
    return (
        named
        and any(is_like("sts:assumerole", action) for action in actions)
        and conditions_hold(statement, {"aws:sourcearn": profile_arn, "aws:sourceaccount": profile_arn.split(":")[4]})
    )


def conditions_hold(statement: dict[str, Any], given: dict[str, str]) -> bool:
    """Tell whether the conditions of a statement hold for a request; `given`: its keys, in small letters."""
    blocks = statement.get("Condition", {}).items()
    asked = [(operator, key, values) for operator, keys in blocks for key, values in keys.items()]
    return all(_is_met(operator, key, listed(values), given) for operator, key, values in asked)


def _is_met(operator: str, key: str, values: list[str], given: dict[str, str]) -> bool:
    name = operator.removesuffix("IfExists")
    value = given.get(key.lower())
    if value is None:
        return name != operator
    compare = COMPARISONS[name.replace("Not", "")]
    return any(compare(value, each) for each in values) != ("Not" in name)


def is_like(text: str, pattern: str) -> bool:
    """Match as IAM does, to which brackets are letters."""
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(each, re.escape(each)) for each in pattern), text, re.DOTALL) is not None


def _is_arn_like(arn: str, pattern: str) -> bool:
    parts, patterns = arn.split(":", 5), pattern.split(":", 5)
    return len(parts) == len(patterns) and all(map(is_like, parts, patterns))


COMPARISONS = {"StringEquals": str.__eq__, "StringLike": is_like, "ArnEquals": _is_arn_like, "ArnLike": _is_arn_like}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# What EKS does


class Eks:
    """EKS's answers to the calls that are about Fargate profiles."""

    def __init__(self, account: Account, behaviour: Behaviour) -> None:
        self._account, self._behaviour = account, behaviour

    def cluster(self, name: str) -> Cluster:
        """Return a cluster as it is now."""
        cluster = self._find(name)
        cluster.settle(self._behaviour.clock(), self._behaviour.has_pods)
        return cluster

    def _find(self, name: str) -> Cluster:
        cluster = self._account.find_cluster(name)
        if cluster is None:
            raise not_found(f"No cluster found for name: {name}.")
        return cluster

    def describe(self, cluster: str, name: str) -> Stored:
        return _found(self._visible(cluster), name)

    def page(self, cluster: str, start: str, size: int) -> tuple[list[str], str | None]:
        """Return names from `start` on, and where the next page starts: a profile may go between the two."""
        names = sorted(name for name in self._visible(cluster) if name >= start)
        return names[:size], names[size] if len(names) > size else None

    def _visible(self, cluster: str) -> dict[str, Stored]:
        now, profiles = self._behaviour.clock(), self.cluster(cluster).profiles
        return {name: each for name, each in profiles.items() if now >= each.visible_at}

    def create(self, cluster_name: str, wanted: Wanted) -> Stored:
        """Check as EKS does, in its order, then start CREATING."""
        check_name(wanted.name)
        check_words(wanted.selectors)
        cluster = self.cluster(cluster_name)
        self._check_turn_to_create(cluster, wanted.name)
        check_numbers(wanted.selectors, self._behaviour)
        for each in wanted.subnets:
            self._check_subnet(cluster, each)
        arn = self._new_arn(cluster_name, wanted.name)
        self._check_role(wanted.role, arn)
        self._check_room(cluster)
        check_tags(wanted.tags, invalid)
        stored = self._store(cluster, arn, wanted, wanted.subnets or self._private_subnets(cluster))
        stored.visible_at = self._behaviour.clock() + self._behaviour.visible_after
        self._start(stored, "CREATING", self._behaviour.fail_creates)
        self._know(cluster_name, wanted.role)
        return stored

    def _know(self, cluster_name: str, role: str) -> None:
        """Make the access entry of a role, as EKS does with the first profile that has it."""
        cluster = self._find(cluster_name)
        if cluster.has_entries and role not in cluster.entries:
            self.put_entry(cluster_name, role)

    def describe_entry(self, cluster_name: str, role: str) -> Answer:
        cluster = self.cluster(cluster_name)
        if not cluster.has_entries:
            text = "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP]"  # our words
            raise Refusal("InvalidRequestException", 400, text)
        if role not in cluster.entries:
            raise not_found(f"The specified principalArn could not be found: {role}")  # our words
        return cluster.entries[role]

    def put_entry(
        self, cluster_name: str, role: str, kind: str = "FARGATE_LINUX", created_at: float | None = None
    ) -> None:
        """Let a cluster know a role by an access entry."""
        made = datetime.fromtimestamp(self._behaviour.clock() if created_at is None else created_at, UTC)
        account, name = self._account.account, role.rpartition("/")[2]
        place = f"arn:aws:eks:{self._account.region}:{account}:access-entry/{cluster_name}/role/{account}/{name}"
        self._find(cluster_name).entries[role] = {
            "clusterName": cluster_name,
            "principalArn": role,
            "kubernetesGroups": [],
            "accessEntryArn": f"{place}/{uuid5(NAMESPACE_URL, place)}",
            "createdAt": made,
            "modifiedAt": made,
            "tags": {},
            "username": "system:node:{{SessionName}}",
            "type": kind,
        }

    def delete(self, cluster_name: str, name: str) -> Stored:
        """Start DELETING."""
        cluster = self.cluster(cluster_name)
        stored = _found(cluster.profiles, name)
        # Delete with a capital D: EKS's own spelling.
        start = f"Cannot Delete Fargate Profile {name} because cluster {cluster_name} currently has"
        if cluster_name in self._behaviour.updating:
            raise in_use(f"{start} an update in progress")
        self._check_in_flight(cluster, name, start)
        self._start(stored, "DELETING", self._behaviour.fail_deletes)
        return stored

    def _start(self, stored: Stored, status: str, failures: dict[str, list[list[Issue]]]) -> None:
        stored.start(status, self._behaviour.settles_at(status), failures.get(stored.name, []))

    def _check_turn_to_create(self, cluster: Cluster, name: str) -> None:
        if cluster.status != "ACTIVE":
            raise Refusal("InvalidRequestException", 400, f"Cluster '{cluster.name}' is not in ACTIVE status")
        if name in cluster.profiles:
            raise in_use("A Fargate Profile already exists with this name in this cluster.")
        start = f"Cannot create Fargate Profile {name} because cluster {cluster.name} currently has"
        if cluster.name in self._behaviour.updating:
            # The published text ends after "update" (terraform-aws-eks#2790); what follows is our guess.
            raise in_use(f"{start} update {self._account.new_uuid()} in progress")
        self._check_in_flight(cluster, name, start)

    def _check_in_flight(self, cluster: Cluster, name: str, start: str) -> None:
        for other in cluster.profiles.values():
            if other.in_flight and (self._behaviour.one_in_flight or other.name == name):
                raise in_use(f"{start} Fargate profile {other.name} in status {other.body['status']}")

    def _check_subnet(self, cluster: Cluster, subnet_id: str) -> None:
        subnet = self._account.find_subnet(subnet_id)
        if subnet is None:
            raise invalid(f"The subnet ID '{subnet_id}' does not exist")  # our words
        if subnet.vpc != cluster.vpc:
            raise invalid(f"Subnet {subnet_id} is not in the VPC of cluster {cluster.name}")  # our words
        if not re.fullmatch(f"{self._account.region}[a-z]", subnet.zone):
            # Only the beginning is known (eksctl#5677).
            raise invalid(f"Fargate Profile creation for the Availability Zone {subnet.zone} is not supported")
        if subnet.public:
            raise invalid(f"Subnet {subnet_id} provided in Fargate Profile is not a private subnet")

    def _check_role(self, role: str, profile_arn: str) -> None:
        if not self._behaviour.validate_role:
            return
        if role.count("/") > 1:
            raise invalid(f"The pod execution role {role} must not have a path")  # our words
        if not self.may_assume(role, profile_arn):
            raise invalid(
                "Misconfigured PodExecutionRole Trust Policy; Please add the"
                " eks-fargate-pods.amazonaws.com Service Principal"
            )

    def may_assume(self, role: str, profile_arn: str) -> bool:
        """Tell whether a role is there and lets the pods of a profile in."""
        document = self._account.trust_policy(role)
        return document is not None and trusts_fargate(document, profile_arn)

    def maps(self, cluster_name: str, role: str) -> bool:
        """Tell whether a cluster knows a role; of one that has aws-auth alone that is not to be seen here."""
        cluster = self.cluster(cluster_name)
        return role in cluster.entries or not cluster.has_entries

    def zones(self, subnets: Iterable[str]) -> list[str]:
        """Return the zones of those subnets that are there."""
        return [found.zone for each in subnets if (found := self._account.find_subnet(each))]

    def _check_room(self, cluster: Cluster) -> None:
        most = self._behaviour.max_profiles
        if len(cluster.profiles) >= most:
            text = f"Cluster {cluster.name} has {most} Fargate profiles already"  # our words
            raise Refusal("ResourceLimitExceededException", 400, text)

    def _private_subnets(self, cluster: Cluster) -> list[str]:
        found = ((each, self._account.find_subnet(each)) for each in cluster.subnets)
        return [each for each, subnet in found if subnet and not subnet.public]

    def _new_arn(self, cluster: str, name: str) -> str:
        """Return a new ARN: it ends in a UUID, so no two profiles of a name share one."""
        place = f"arn:aws:eks:{self._account.region}:{self._account.account}"
        return f"{place}:fargateprofile/{cluster}/{name}/{self._account.new_uuid()}"

    def _store(
        self,
        cluster: Cluster,
        arn: str,
        wanted: Wanted,
        subnets: Iterable[str],
        created_at: float | None = None,
    ) -> Stored:
        created = self._behaviour.clock() if created_at is None else created_at
        body = {
            "fargateProfileName": wanted.name,
            "fargateProfileArn": arn,
            "clusterName": cluster.name,
            "createdAt": datetime.fromtimestamp(created, UTC),
            "podExecutionRoleArn": wanted.role,
            "subnets": list(subnets),
            "selectors": copy.deepcopy(wanted.selectors),
            "status": "ACTIVE",
            "tags": dict(wanted.tags),
            "health": {"issues": []},
        }
        stored = cluster.profiles[wanted.name] = Stored(body)
        return stored

    def put(
        self,
        cluster_name: str,
        wanted: Wanted,
        status: str,
        issues: Iterable[Issue],
        created_at: float | None,
    ) -> Stored:
        """Let a profile be there, unchecked; one in flight takes its time from now and ends well."""
        arn = self._new_arn(cluster_name, wanted.name)
        stored = self._store(self._find(cluster_name), arn, wanted, wanted.subnets, created_at)
        stored.body["health"]["issues"].extend(issues)
        self._know(cluster_name, wanted.role)
        stored.start(status, self._behaviour.settles_at(status), [])
        return stored

    def tags(self, arn: str) -> Tags:
        """Return the tags of a cluster or profile, to be changed in place."""
        for cluster in self._account.every_cluster():
            if cluster.arn == arn:
                return cluster.tags
            for profile in self.cluster(cluster.name).profiles.values():
                if profile.body["fargateProfileArn"] == arn:
                    tags: Tags = profile.body["tags"]
                    return tags
        raise Refusal("NotFoundException", 404, f"Resource {arn} was not found")  # our words

    def tag(self, arn: str, tags: Tags) -> None:
        """Add to the tags, or refuse all."""
        current = self.tags(arn)
        check_tags(tags, bad_request, current)
        current.update(tags)

    def untag(self, arn: str, keys: Iterable[str]) -> None:
        current = self.tags(arn)
        for key in keys:
            current.pop(key, None)


def _found(profiles: dict[str, Stored], name: str) -> Stored:
    if name not in profiles:
        raise not_found(f"No Fargate Profile found with name: {name}.")
    return profiles[name]


# What others do


class Outsiders:
    """What others do to the profiles of an account: no rule stops it and no log shows it."""

    lock: AbstractContextManager[Any]

    @property
    def rules(self) -> Eks:
        raise NotImplementedError

    def profiles(self, cluster: str) -> list[Answer]:
        """Return every profile as DescribeFargateProfile words it, visible or not, by name."""
        with self.lock:
            return [each.shown() for _, each in sorted(self.rules.cluster(cluster).profiles.items())]

    def add_profile(
        self,
        cluster: str,
        name: str,
        role: str,
        selectors: Selectors,
        subnets: Iterable[str] = (),
        tags: Tags | None = None,
        created_at: float | None = None,
        status: str = "ACTIVE",
        issues: Iterable[Issue] = (),
    ) -> Answer:
        """Put a profile there; one that is CREATING or DELETING takes its time from now."""
        with self.lock:
            wanted = Wanted(name, role, selectors, [*subnets], tags or {})
            return self.rules.put(cluster, wanted, status, issues, created_at).shown()

    def delete_profile(self, cluster: str, name: str) -> None:
        """Let a profile be gone at once."""
        with self.lock:
            del self.rules.cluster(cluster).profiles[name]

    def set_health(self, cluster: str, name: str, *issues: Issue) -> None:
        """Let EKS find this wrong with a profile, whatever its state."""
        with self.lock:
            self.rules.cluster(cluster).profiles[name].body["health"] = {"issues": [*issues]}

    def set_mode(self, cluster: str, mode: str) -> None:
        """Set by what a cluster knows who comes; "" for one that is older than these modes."""
        with self.lock:
            self.rules.cluster(cluster).access.clear()
            if mode:
                self.rules.cluster(cluster).access["authenticationMode"] = mode

    def put_entry(self, cluster: str, role: str, kind: str = "FARGATE_LINUX", created_at: float | None = None) -> None:
        """Make an access entry, or make it anew."""
        with self.lock:
            self.rules.put_entry(cluster, role, kind, created_at)

    def remove_entry(self, cluster: str, role: str) -> None:
        """Let an access entry be gone."""
        with self.lock:
            del self.rules.cluster(cluster).entries[role]

    def set_tags(self, cluster: str, name: str, tags: Tags) -> None:
        """Add tags to a profile."""
        with self.lock:
            self.rules.cluster(cluster).profiles[name].body["tags"].update(tags)

    def strip_tags(self, cluster: str, name: str, keys: Iterable[str]) -> None:
        """Take tags from a profile."""
        with self.lock:
            tags = self.rules.cluster(cluster).profiles[name].body["tags"]
            for key in keys:
                tags.pop(key, None)


# The account that both stand-ins have


def _trust(principal: str, **condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole", **condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


ACCOUNT = "123456789012"  # moto's
FARGATE_TRUST = _trust(FARGATE)
ELSEWHERE = f"arn:aws:eks:us-east-1:{ACCOUNT}:fargateprofile/elsewhere/*"
# What each role trusts, and which managed policy it has.
ROLES = {
    "good": (FARGATE_TRUST, "AmazonEKSFargatePodExecutionRolePolicy"),
    "no-trust": (_trust("ec2.amazonaws.com"), "AmazonEKSFargatePodExecutionRolePolicy"),
    "no-policy": (FARGATE_TRUST, None),
    "inline-policy": (FARGATE_TRUST, None),
    "other-policy": (FARGATE_TRUST, "AmazonEKSClusterPolicy"),
    "other-source": (
        _trust(FARGATE, Condition={"ArnLike": {"aws:SourceArn": ELSEWHERE}}),
        "AmazonEKSFargatePodExecutionRolePolicy",
    ),
    "only-eks-knows": (  # that it trusts Fargate for no profile
        _trust(FARGATE, Condition={"StringNotLike": {"aws:SourceArn": "*"}}),
        "AmazonEKSFargatePodExecutionRolePolicy",
    ),
}
INLINE = {"inline-policy": ["pull"]}
