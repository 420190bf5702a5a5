"""What one FargateProfile object needs next: `plan` decides, `Reconciler` carries it out and reports.

The picture: observe (object, view of the cluster, memory in status) -> plan -> at most one change in AWS or of
finalizers -> status from what was seen and done -> come back. A crash between two steps is then the same case as a
crash between two passes: the next pass trusts nothing but a new look.

The upper half is pure: no clock, no call, no log. The lower half knows Kubernetes only as the protocol `Kube`, AWS
only as `aws.Aws`. What it is not: threads, queues, sleeping.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache, cached_property, lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Protocol, assert_never, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from aws import (
    FARGATE_POLICY,
    FARGATE_PRINCIPAL,
    Aws,
    AwsError,
    Busy,
    Facts,
    Profile,
    ProfileSpec,
    Refused,
    Selector,
    View,
    selector,
)

log = logging.getLogger("fargate")

Object = dict[str, Any]
Key = tuple[str, str]  # (namespace, name); ("", cluster) asks for a look at a cluster itself

FINALIZER = "fargateprofiles.jicomusic.com/finalizer"
KOPF_FINALIZERS = frozenset({"KopfFinalizerMarker", "kopf.zalando.org/KopfFinalizerMarker"})
REQUESTED_AT = "fargateprofiles.jicomusic.com/reconcile-requested-at"  # an annotation, by Flux's convention
OWNER_KEY, CONTROLLER_KEY = "fargateprofiles.jicomusic.com/owner", "fargateprofiles.jicomusic.com/controller"

LOST_CREATE = timedelta(minutes=2)  # how long an unanswered create may still come true
TRUST_PROPAGATION = timedelta(minutes=2)  # IAM's, as Terraform's provider allows for it
TRUST_SECONDS = 15.0
CREATE_WITHIN_SECONDS = 5.0  # of the mark: whoever slept longer looks again first
STALLED_SECONDS = (15.0, 600.0)  # the world outside may have been mended: looked at again, less and less often
POLL_MOST_SECONDS = 15.0
PLACE_SECONDS = 30.0  # a place in line lapses when its object does not come for it
OCCUPIED_SECONDS = 1.0
VIEW_LIFE = 0.8  # of a resync: the first object of a resync reads the view, the others find it fresh
LONG_CREATING, LONG_DELETING = timedelta(minutes=15), timedelta(minutes=45)  # containers-roadmap#1211

# What the object says. The rules are EKS's (name, namespace, labels, role, tags) and hold in every account; quotas
# are not among them, because they can be raised.

NAME = r"^(?!eks-)[A-Za-z0-9][A-Za-z0-9_-]{0,90}\Z"
CLUSTER = r"^[0-9A-Za-z][0-9A-Za-z_-]{0,99}\Z"
_WORD = r"[A-Za-z0-9*?]([A-Za-z0-9_.*?-]{0,61}[A-Za-z0-9*?])?"
Name = Annotated[str, Field(pattern=NAME)]
ClusterName = Annotated[str, Field(pattern=CLUSTER)]
RoleArn = Annotated[str, Field(pattern=r"^arn:aws(-[a-z0-9]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@-]{1,64}\Z")]
SubnetId = Annotated[str, Field(pattern=r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})\Z")]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9*?]([a-z0-9*?-]{0,61}[a-z0-9*?])?\Z")]
_DNS = r"[a-z0-9*?]([a-z0-9*?-]*[a-z0-9*?])?"
LabelKey = Annotated[str, Field(pattern=rf"^((?=[^/]{{1,253}}/){_DNS}(\.{_DNS})*/)?{_WORD}\Z")]
LabelValue = Annotated[str, Field(pattern=rf"^({_WORD})?\Z")]
TagKey = Annotated[str, Field(pattern=rf"(?s)^(?!(?i:aws:))(?!({OWNER_KEY}|{CONTROLLER_KEY})\Z).{{1,128}}\Z")]
TagValue = Annotated[str, Field(pattern=r"(?s)^(?!(?i:aws:)).{0,256}\Z")]
UpdatePolicy = Literal["Refuse", "Replace", "Recreate"]

LONGEST_NAME = 192  # with a namespace of 63 and a slash it fills the value of the owner tag, 256
NAME_RULE = "letters, digits, - and _, at most 91, first a letter or digit, not starting with eks-"
MENDS = {
    "spec": "give a mapping with at least podExecutionRoleArn and selectors",
    "podExecutionRoleArn": "give the ARN of an IAM role without a path, arn:aws:iam::<account>:role/<name>",
    "selectors": "give a list of 1 to 100 selectors, each with a namespace",
    "namespace": "give a namespace: lowercase letters, digits and -, at most 63; * and ? are wildcards",
    "labels": "give at most 100 pairs of strings (quote numbers) that are labels of a pod; * and ? are wildcards",
    "subnets": "give a list of subnet ids, each subnet- and 8 or 17 hex digits; without the field EKS chooses",
    "tags": "give at most 48 pairs of strings (quote numbers): keys of 1 to 128, values of at most 256 characters, "
    "none starting with aws:, no key of the controller",
    "clusterName": "give the name of an EKS cluster, or leave the field out",
    "profileName": f"give {NAME_RULE}",
    "name": f"EKS takes no profile of that name; set spec.profileName ({NAME_RULE})",
    "deletionPolicy": "give Delete or Retain",
    "updatePolicy": "give Refuse, Replace or Recreate",
    "adoptionPolicy": "give Never or Adopt",
    "suspend": "give true or false",
}


class Finding(NamedTuple):
    """What is wrong in one place of an object; `quote`: a string belongs there, and YAML has made something else."""

    path: tuple[str | int, ...]
    what: str
    mend: str
    quote: bool = False

    @property
    def where(self) -> str:
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")

    def __str__(self) -> str:
        return f"{self.where} is {self.what}: {self.mend}"


class InvalidSpec(Exception):
    """The spec breaks rules that hold in every account; the text names each field, what is wrong, what mends it."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(map(str, findings)) + ".")
        self.findings = findings


class SelectorFields(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", regex_engine="python-re")
    namespace: Namespace
    labels: dict[LabelKey, LabelValue] = Field(default={}, max_length=100)


class SpecFields(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", regex_engine="python-re", alias_generator=to_camel)
    pod_execution_role_arn: RoleArn
    selectors: list[SelectorFields] = Field(min_length=1, max_length=100)
    subnets: list[SubnetId] = Field(default=[])
    tags: dict[TagKey, TagValue] = Field(default={}, max_length=48)
    cluster_name: ClusterName = ""
    profile_name: Name
    deletion_policy: Literal["Delete", "Retain"] = "Delete"
    update_policy: UpdatePolicy = "Refuse"
    adoption_policy: Literal["Never", "Adopt"] = "Never"
    suspend: bool = False


@dataclass(frozen=True)
class Resource:
    """A valid spec: the profile that is wanted, the user's tags on it, and how far the controller may go for it."""

    profile: ProfileSpec
    tags: Mapping[str, str]
    update_policy: UpdatePolicy = "Refuse"
    adopt: bool = False

    @classmethod
    def parse(cls, obj: Object) -> Resource:
        """Read the spec; raise `InvalidSpec` with every finding, nothing dropped, nothing guessed."""
        spec, name = obj.get("spec"), obj["metadata"]["name"]
        named = isinstance(spec, dict) and "profileName" not in spec
        try:
            fields = SpecFields.model_validate({"profileName": name} | spec if isinstance(spec, dict) else spec)
        except ValidationError as error:
            raise InvalidSpec(*(_finding(each, named) for each in error.errors())) from error
        if len(name) > LONGEST_NAME:
            what, mend = f"longer than {LONGEST_NAME}", "make a new object with a shorter one"
            raise InvalidSpec(Finding(("metadata", "name"), what, mend))
        selectors = frozenset(selector(each.namespace, each.labels) for each in fields.selectors)
        subnets = frozenset(fields.subnets) or None
        profile = ProfileSpec(fields.pod_execution_role_arn, selectors, subnets)
        return cls(profile, fields.tags, fields.update_policy, fields.adoption_policy == "Adopt")


def _finding(error: Mapping[str, Any], named: bool) -> Finding:
    path = tuple(part for part in ("spec", *error["loc"]) if part != "[key]")
    if named and path == ("spec", "profileName"):
        path = ("metadata", "name")
    if error["type"] == "extra_forbidden":
        return Finding(path, "not a field", "remove it or correct its name")
    value = "missing" if error["type"] == "missing" else json.dumps(error["input"], default=str)
    mend = next(MENDS[part] for part in reversed(path) if part in MENDS)
    return Finding(path, value[:80], mend, error["type"] == "string_type")


class Memory(BaseModel):
    """What status remembers of earlier passes; empty when lost, and every row of the plan is safe with it empty."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)
    observed_generation: int = -1
    profile_name: str = ""
    profile_arn: str = ""
    cluster_arn: str = ""
    last_handled_reconcile_at: str = ""
    create_started_at: AwareDatetime | None = None
    create_name: str = ""
    first_tried_at: AwareDatetime | None = None
    failures: int = 0
    failed_at: AwareDatetime | None = None
    failed_arn: str = ""
    applied_tag_keys: tuple[str, ...] = ()

    @classmethod
    def parse(cls, obj: Object) -> Memory:
        """Read status; what is not as we write it counts as lost. Tries and failures are those of this generation."""
        status = _mapping(obj.get("status"))
        try:
            memory = cls.model_validate(status | _mapping(status.get("bookkeeping")))
        except ValidationError:
            return cls()
        return memory if memory.observed_generation == obj["metadata"].get("generation") else memory.settled()

    def but(self, **changes: Any) -> Memory:
        return self.model_copy(update=changes)

    def settled(self) -> Memory:
        return self.but(first_tried_at=None, failures=0, failed_at=None, failed_arn="")

    @property
    def made_in(self) -> str:
        """The ARN of the cluster in which this object has, or may have, a profile; "" for none."""
        start, _, path = self.profile_arn.partition(":fargateprofile/")
        return self.cluster_arn or (f"{start}:cluster/{path.split('/')[0]}" if path else "")


BOOKKEEPING = {
    "create_started_at", "create_name", "first_tried_at", "failures", "failed_at", "failed_arn", "applied_tag_keys",
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """Who the object is and what becomes of its profile; read from any object, so that anything can be deleted."""

    namespace: str
    name: str
    generation: int
    created_at: datetime
    deleted_at: datetime | None
    finalizers: tuple[str, ...]
    cluster: str
    base: str
    retain: bool
    suspended: bool
    requested_at: str = ""

    @classmethod
    def parse(cls, obj: Object, memory: Memory, default_cluster: str) -> Identity:
        """Read each field on its own: unreadable is what status remembers, else the default; a policy, Retain."""
        meta, spec = obj["metadata"], obj.get("spec", {})
        fields = spec if isinstance(spec, dict) else {"deletionPolicy": spec}

        def read(key: str, rule: str, remembered: str, default: str) -> str:
            value = fields.get(key)
            readable = isinstance(value, str) and re.search(rule, value)
            return str(value) if readable else (remembered or default if key in fields else default)

        deleted = meta.get("deletionTimestamp")
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            generation=meta.get("generation", 0),
            created_at=datetime.fromisoformat(meta["creationTimestamp"]),
            deleted_at=datetime.fromisoformat(deleted) if deleted else None,
            finalizers=tuple(meta.get("finalizers") or ()),
            cluster=read("clusterName", CLUSTER, memory.made_in.rpartition("/")[2], default_cluster),
            base=read("profileName", NAME, memory.profile_name, meta["name"]),
            retain=fields.get("deletionPolicy", "Delete") != "Delete",
            suspended=fields.get("suspend") is True,
            requested_at=(meta.get("annotations") or {}).get(REQUESTED_AT, ""),
        )

    @property
    def owner(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def deleting(self) -> bool:
        return self.deleted_at is not None

    @property
    def from_kopf(self) -> bool:
        return not KOPF_FINALIZERS.isdisjoint(self.finalizers)

    @property
    def guarded(self) -> bool:
        return FINALIZER in self.finalizers or self.from_kopf

    @property
    def others_finalizers(self) -> list[str]:
        return [each for each in self.finalizers if each not in {FINALIZER, *KOPF_FINALIZERS}]

    def may_name(self, profile: str) -> bool:
        """Say whether a profile of that name could be this object's: base, or base and 8 hex digits."""
        return re.fullmatch(re.escape(self.base) + "(-[0-9a-f]{8})?", profile) is not None


@dataclass(frozen=True)
class Home:
    """Where we look: what an ARN of this cluster starts with, and who we are among controllers."""

    partition: str
    region: str
    account: str
    cluster: str
    controller: str

    @property
    def cluster_arn(self) -> str:
        return f"arn:{self.partition}:eks:{self.region}:{self.account}:cluster/{self.cluster}"


@dataclass(frozen=True)
class Limits:
    """What objects may ask for, as those who run the controller have set it; the defaults forbid nothing.

    `roles` are patterns of execution roles. With `own_namespace_in`, an EKS cluster, an object selects pods of its own
    namespace there and no others.
    """

    roles: Collection[str] = ("*",)
    own_namespace_in: str = ""

    def forbid(self, who: Identity, spec: ProfileSpec) -> Iterator[tuple[str, str]]:
        """Yield (reason, message) of all that is not allowed; judged by the object alone, nothing is looked up."""
        if not any(fnmatchcase(spec.role, pattern) for pattern in self.roles):
            where = f"spec.podExecutionRoleArn: {spec.role} is not among the roles that objects may pass"
            yield "RoleNotAllowed", f"{where}: take one that matches the controller's --allowed-roles."
        if not self.own_namespace_in:
            return
        if who.cluster != self.own_namespace_in:
            where = f"spec.clusterName: objects may select pods of cluster {self.own_namespace_in} only"
            yield "ClusterNotAllowed", f"{where} (--selector-namespaces=own): make a new object without the field."
        if foreign := sorted({each.namespace for each in spec.selectors} - {who.namespace}):
            where = f"spec.selectors: {', '.join(foreign)} is not the object's own namespace"
            mend = f"select pods of {who.namespace} only, or make the object in the namespace of the pods"
            yield "SelectorNotAllowed", f"{where} (--selector-namespaces=own): {mend}."


# What to do about it.


class Phase(Enum):
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    IDLE = "Idle"  # neither on its way nor in need: suspended, or released


@dataclass(frozen=True)
class Stay:
    """Change nothing and say why: what the plan calls Nothing, Wait and Refuse. Also what a pass reports.

    Looked at again at `until`; without it READY and IDLE at the resync, RECONCILING at the pace of the poll, STALLED
    less and less often. `about` is the profile that the judgement is on. `retry`: by the queue's backoff.
    """

    phase: Phase
    reason: str
    message: str
    until: datetime | None = None
    about: str | None = None
    retry: bool = False


@dataclass(frozen=True)
class NeedFacts:
    """Ask for the facts and plan again: no change, same pass."""


@dataclass(frozen=True)
class AddFinalizer:
    """Put our finalizer in, in the place of kopf's if that is there."""


@dataclass(frozen=True)
class RemoveFinalizer:
    """Let the object go; `event` says what became of its profile. `blind`: nothing of it can be looked at from here."""

    event: str
    message: str
    blind: bool = False


@dataclass(frozen=True)
class CreateProfile:
    name: str
    warning: str = ""


@dataclass(frozen=True)
class DeleteProfile:
    """`heir`: the profile that serves on, looked at once more before this one goes."""

    profile: Profile
    why: str
    heir: Profile | None = None


@dataclass(frozen=True)
class TagProfile:
    profile: Profile
    tags: Mapping[str, str]
    why: str
    event: str = "Tagged"


@dataclass(frozen=True)
class UntagProfile:
    profile: Profile
    keys: frozenset[str]
    why: str


Change = AddFinalizer | RemoveFinalizer | CreateProfile | DeleteProfile | TagProfile | UntagProfile
Action = Stay | NeedFacts | Change


@dataclass(frozen=True)
class Case:
    """Everything that a row of the plan may look at."""

    who: Identity
    resource: Resource | InvalidSpec
    home: Home
    view: View
    memory: Memory
    facts: Facts | None
    now: datetime
    lost_create: timedelta = LOST_CREATE
    may_adopt: bool = False
    limits: Limits = Limits()

    @cached_property
    def spec(self) -> ProfileSpec | None:
        return self.resource.profile if isinstance(self.resource, Resource) else None

    @property
    def update_policy(self) -> UpdatePolicy:
        return self.resource.update_policy if isinstance(self.resource, Resource) else "Refuse"

    @cached_property
    def owner_tags(self) -> dict[str, str]:
        return {OWNER_KEY: self.who.owner, CONTROLLER_KEY: self.home.controller}

    @cached_property
    def wanted_tags(self) -> dict[str, str]:
        return self.owner_tags | dict(self.resource.tags if isinstance(self.resource, Resource) else {})

    @cached_property
    def owned(self) -> tuple[Profile, ...]:
        """The profiles that are this object's, the one to keep first: as wanted, serving, ACTIVE, oldest."""

        def rank(each: Profile) -> tuple[bool, bool, bool, datetime]:
            wanted = each.active and self.meets(each)
            return not wanted, each.name != self.memory.profile_name, not each.active, each.created_at

        return tuple(sorted(filter(self.owns, self.view.profiles.values()), key=rank))

    @cached_property
    def kept(self) -> Profile | None:
        return next(iter(self.owned), None)

    @cached_property
    def hands_over(self) -> Profile | None:
        """The profile that kopf's operator made for this object: untagged, as wanted, not older than the object."""
        found = self.view.profiles.get(self.who.base) if self.who.from_kopf else None
        if found is None or self.owner_tags.keys() & found.tags.keys() or self.who.created_at > found.created_at:
            return None
        return found if self.meets(found) and not self.forbidden else None

    @cached_property
    def failed(self) -> Profile | None:
        """A profile in a failed state; of an object that goes, only one that failed to go."""
        states = {"DELETE_FAILED"} if self.who.deleting else {"DELETE_FAILED", "CREATE_FAILED"}
        return next((profile for profile in self.owned if profile.status in states), None)

    def owns(self, profile: Profile) -> bool:
        """Both tags name this object and the name fits; or no tag names another and status recorded the ARN."""
        if any(profile.tags.get(key, value) != value for key, value in self.owner_tags.items()):
            return False
        if self.owner_tags.keys() <= profile.tags.keys():
            return self.who.may_name(profile.name)
        return profile.arn == self.memory.profile_arn

    def meets(self, profile: Profile) -> bool:
        return self.spec is not None and not self.spec.differs(profile)

    @property
    def elsewhere(self) -> bool:
        return self.memory.made_in not in {"", self.home.cluster_arn}

    @property
    def going(self) -> bool:
        return self.who.deleting and not self.who.retain

    @property
    def retaining(self) -> bool:
        return self.who.deleting and self.who.retain

    @property
    def in_flight(self) -> Profile | None:
        return next((each for each in self.owned if not (each.active or each.failed)), None)

    @property
    def stripped(self) -> Profile | None:
        """A profile without all of its owner tags; to have none of them is what a retained one shall come to."""
        missing = ((each, self.owner_tags.keys() - each.tags.keys()) for each in self.owned)
        return next((each for each, keys in missing if keys and not (self.retaining and len(keys) > 1)), None)

    @property
    def target(self) -> str:
        """The name of the profile that is to be made: base, but for a replacement where base is taken."""
        if self.spec and self.kept and self.update_policy == "Replace" and self.who.base in self.view.profiles:
            return f"{self.who.base}-{fingerprint(self.who, self.spec)}"
        return self.who.base

    @property
    def taker(self) -> Profile | None:
        """Who has the name of the profile that is to be made, but for one that goes for it."""
        found = self.view.profiles.get(self.target)
        return None if found and self.update_policy == "Recreate" and self.owns(found) else found

    @property
    def adopts(self) -> Profile | None:
        """The profile without an owner that the object may take over: spec and operator allow it."""
        asks = isinstance(self.resource, Resource) and self.resource.adopt and self.may_adopt and not self.owned
        found = self.taker if asks else None
        return found if found and not found.failed and not self.owner_tags.keys() & found.tags.keys() else None

    @property
    def answer_may_be_lost(self) -> datetime | None:
        """Until when an unanswered create may still come true."""
        until = (self.memory.create_started_at or self.now) + self.lost_create
        return until if self.memory.create_started_at and self.now < until else None

    @property
    def rest(self) -> datetime | None:
        """Until when a profile in a failed state rests; a failure not yet counted rests from now."""
        if not self.failed:
            return None
        counted = remember(self)
        until = (counted.failed_at or self.now) + backoff(counted.failures)
        return until if self.now < until else None

    @cached_property
    def missing_tags(self) -> dict[str, str]:
        tags = self.kept.tags if self.kept else {}
        return {key: value for key, value in self.wanted_tags.items() if tags.get(key) != value}

    @cached_property
    def unwanted_tags(self) -> frozenset[str]:
        tags = self.kept.tags if self.kept else {}
        return frozenset(tags.keys() & set(self.memory.applied_tag_keys) - self.wanted_tags.keys())

    @cached_property
    def forbidden(self) -> list[tuple[str, str]]:
        """What is not allowed of a profile that there is not yet: one that serves as the spec says is left alone."""
        if self.spec is None or (self.kept and self.meets(self.kept)):
            return []
        return [*self.limits.forbid(self.who, self.spec)]

    @cached_property
    def objections(self) -> list[tuple[str, str]]:
        if not (self.spec and self.facts):
            return []
        return [each for check in OBJECTIONS for each in check(self.home, self.view, self.spec, self.facts)]


def _mapping(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def fingerprint(who: Identity, spec: ProfileSpec) -> str:
    """Return 8 hex digits that tell a replacement from those of other objects and other specs."""
    selectors = [[each.namespace, each.labels] for each in sorted(spec.selectors)]
    said = [who.namespace, who.name, who.base, spec.role, selectors, sorted(spec.subnets or ())]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:8]


def backoff(failures: int) -> timedelta:
    """Return how long to rest after so many failures in a row: 15 s, doubled each time, at most 10 min."""
    least, most = STALLED_SECONDS
    return timedelta(seconds=min(most, least * 2.0 ** min(max(failures, 1) - 1, 16)))


# Preflight: what AWS would refuse, or accept and then fail. What may not be read is unknown, and no objection.


def no_such(home: Home) -> str:
    mend = "make it, correct the controller's cluster or region, or make a new object with another spec.clusterName"
    return f"EKS has no cluster {home.cluster} in {home.region} of account {home.account}: {mend}."


def no_cluster(home: Home, view: View, _spec: ProfileSpec, facts: Facts) -> Iterator[tuple[str, str]]:
    if not view.found or (facts.cluster and not facts.cluster.found):
        yield "ClusterNotFound", no_such(home)
    elif facts.cluster and facts.cluster.status != "ACTIVE":
        yield "ClusterNotActive", f"Cluster {home.cluster} is {facts.cluster.status}: it goes on when that is ACTIVE."


def wrong_subnets(home: Home, _view: View, _spec: ProfileSpec, facts: Facts) -> Iterator[tuple[str, str]]:
    vpc = facts.cluster.vpc if facts.cluster else ""
    for name, subnet in facts.subnets.items():
        where = f"spec.subnets: {name}"
        if subnet and not subnet.found:
            yield "SubnetNotFound", f"{where} does not exist in {home.region}: correct or remove it."
        elif subnet:
            if vpc and subnet.vpc != vpc:
                mend = "take a subnet of the cluster's VPC"
                yield "SubnetOfOtherVpc", f"{where} is in {subnet.vpc}, the cluster in {vpc}: {mend}."
            if subnet.public:
                mend = "Fargate takes private ones only; take one that routes to a NAT gateway, or nowhere"
                yield "SubnetPublic", f"{where} routes to an internet gateway: {mend}."
            # An ordinary zone is named as its region and a letter; Local and Wavelength Zones have longer names.
            if subnet.outpost or subnet.zone[:-1] != home.region:
                place = subnet.outpost or f"zone {subnet.zone}"
                mend = "Fargate has no place in Outposts, Local and Wavelength Zones; take another subnet"
                yield "SubnetUnsupportedZone", f"{where} is in {place}: {mend}."


def wrong_role(home: Home, _view: View, spec: ProfileSpec, facts: Facts) -> Iterator[tuple[str, str]]:
    role, where = facts.role, f"spec.podExecutionRoleArn: {spec.role}"
    if not role:
        return
    if not role.found or role.arn != spec.role:
        there = f" (the role of that name is {role.arn})" if role.found else ""
        ours = spec.role.split(":")[4] == home.account
        mend = f"{'make the role or ' if ours else 'EKS takes roles of its own account only; '}correct the ARN"
        yield "RoleNotFound", f"{where} does not exist in account {home.account}{there}: {mend}."
        return
    if not role.trusts_fargate:
        mend = f"let its trust policy allow {FARGATE_PRINCIPAL} sts:AssumeRole"
        yield "RoleNotTrusted", f"{where} can't be assumed by Fargate: {mend}."
    if role.policies is not None and not role.policies:
        yield "RoleWithoutPolicy", f"{where} has no policy at all: attach {FARGATE_POLICY}."


OBJECTIONS = (no_cluster, wrong_subnets, wrong_role)
TIME_MAY_MEND = {"ClusterNotFound", "ClusterNotActive"}


def warning(spec: ProfileSpec, facts: Facts | None) -> str:
    """Return what is unusual but may be meant, "" for nothing."""
    policies = facts.role.policies if facts and facts.role else None
    if not policies or FARGATE_POLICY in policies:
        return ""
    return f"{spec.role} does not have {FARGATE_POLICY}: pods start only if its other policies let them pull images."


# What is said where nothing is changed.


def refuse(reason: str, message: str, about: str | None = None) -> Stay:
    return Stay(Phase.STALLED, reason, message, about=about)


def released(c: Case) -> Stay:
    others = ", ".join(c.who.finalizers) or "none"
    return Stay(Phase.IDLE, "Released", f"The controller is done with this object; other finalizers hold it: {others}.")


def wrong_home(c: Case) -> Stay:
    mend = (
        "correct the controller's cluster or region, let the controller of that cluster have the object, or set "
        "spec.deletionPolicy: Retain and delete it"
    )
    there = f"The profile was made in {c.memory.made_in}, this controller works in {c.home.cluster_arn}"
    return refuse("WrongHome", f"{there}: {mend}.")


def deletion_suspended(c: Case) -> Stay:
    name = (c.kept or c.hands_over or c.owned[0]).name
    mend = f"unset it to delete profile {name}, or set spec.deletionPolicy: Retain to keep it"
    return Stay(Phase.IDLE, "Suspended", f"The deletion waits because spec.suspend is true: {mend}.")


def suspended(c: Case) -> Stay:
    shown = f"profile {c.kept.name} is {c.kept.status}" if c.kept else "there is no profile"
    if more := ", ".join(each.name for each in c.owned[1:]):
        shown += f", and {more} is there too"
    mend = "nothing is made, changed or deleted until spec.suspend is unset"
    return Stay(Phase.IDLE, "Suspended", f"Suspended: {shown}; {mend}.")


def lost_answer(c: Case) -> Stay:
    until = c.answer_may_be_lost or c.now
    message = f"A create was sent whose answer may have been lost: EKS is looked at again at {second(until)}."
    return Stay(Phase.RECONCILING, "Deleting", message, until)


def let_go(c: Case) -> RemoveFinalizer:
    left = c.taker if c.who.from_kopf else None
    if left is None:
        where, name = f"EKS cluster {c.who.cluster}", c.memory.profile_name
        said = f"Profile {name} is gone from {where}." if name else f"{where} has no profile of this object."
        return RemoveFinalizer("Deleted", said)
    why = "it is not shown to be this object's (other fields, other tags, or older); delete it by hand if it is"
    return RemoveFinalizer("ProfileLeft", f"Profile {left.name} stays in EKS cluster {c.who.cluster}: {why}.")


def flight(c: Case) -> Stay:
    profile = c.in_flight or c.hands_over or c.owned[0]
    message = f"Profile {profile.name} is {profile.status}."
    if profile.status == "CREATING" and c.now > profile.created_at + LONG_CREATING:
        message += " That takes unusually long (over 15 min): look at the cluster's health in EKS."
    if profile.status == "DELETING" and c.now > (c.who.deleted_at or c.now) + LONG_DELETING:
        message += " That takes unusually long (over 45 min): look for pods on Fargate that do not end."
    reason = "Deleting" if profile.status == "DELETING" else "Creating"
    if c.who.deleting or c.kept is None:
        return Stay(Phase.RECONCILING, reason, message)
    if c.kept is profile:
        again = " Then it is made again." if profile.status == "DELETING" else ""
        return Stay(Phase.RECONCILING, reason, message + again)
    return Stay(Phase.RECONCILING, "Replacing", f"{swap(c, c.kept, profile)} {message}")


def asked_for(c: Case, name: str) -> Stay:
    """Say that a profile is on its way to EKS, before EKS has answered."""
    if c.kept:
        text = f"EKS is asked to make profile {name} in the place of {c.kept.name}."
        return Stay(Phase.RECONCILING, "Replacing", text)
    return Stay(Phase.RECONCILING, "Creating", f"EKS is asked to make profile {name}.")


def swap(c: Case, kept: Profile, other: Profile) -> str:
    """Say which profile takes the place of which, and which one serves meanwhile."""
    if c.meets(kept):
        return f"Profile {kept.name} is as the spec says and serves; {other.name} goes."
    if other.status == "CREATING" and c.meets(other):
        return f"Profile {kept.name} is being replaced by {other.name} and serves until that is ACTIVE."
    return f"Profile {kept.name} serves; {other.name}, made for an earlier spec, goes first."


def spare(c: Case) -> DeleteProfile:
    """Return the deletion of the owned profile that is least worth keeping; the one to keep is its heir."""
    kept, least = c.owned[0], c.owned[-1]
    why = (
        f"{kept.name} has taken its place" if c.meets(kept) else f"it was made for an earlier spec, {kept.name} serves"
    )
    return DeleteProfile(least, why, kept)


def resting(c: Case) -> Stay:
    profile, until = c.failed or c.owned[0], c.rest or c.now
    said = " ".join(f"{each.code}: {each.message}" for each in profile.health) or "EKS gives no reason."
    again = "it is deleted and made again" if profile.status == "CREATE_FAILED" else "its deletion is asked for again"
    message = f"Profile {profile.name} is {profile.status}. {said} Mend the cause; {again} at {second(until)}."
    return Stay(Phase.STALLED, "CreateFailed" if "CREATE" in profile.status else "DeleteFailed", message, until)


def refuse_all(c: Case) -> Stay:
    findings = c.forbidden or c.objections
    reasons = [reason for reason, _ in findings]
    single = len(reasons) == 1
    message = " ".join(text if single else f"{reason}: {text}" for reason, text in findings)
    if c.kept:
        message += f" Profile {c.kept.name} serves as it is."
    phase = Phase.RECONCILING if TIME_MAY_MEND.issuperset(reasons) else Phase.STALLED
    until = c.now + timedelta(seconds=POLL_MOST_SECONDS) if phase is Phase.RECONCILING else None
    return Stay(phase, reasons[0], message, until, about=WHOLE_CLUSTER if "ClusterNotFound" in reasons else None)


def name_taken(c: Case) -> Stay:
    taker = c.taker or c.owned[0]
    if taker.status == "DELETING":
        message = f"Profile {taker.name} ({whose(c, taker)}) is being deleted; then the name is free."
        return Stay(Phase.RECONCILING, "WaitingForName", message, about=taker.name)
    if c.adopts and taker.in_flight:
        message = f"Profile {taker.name} is {taker.status}; it is adopted once it is ACTIVE."
        return Stay(Phase.RECONCILING, "WaitingForName", message, about=taker.name)
    message = f"Cluster {c.who.cluster} has a profile {taker.name} already, {whose(c, taker)}"
    other = "make a new object with another spec.profileName"
    stays = f" Profile {c.kept.name} serves as it is." if c.kept else ""
    return refuse("NameTaken", f"{message}: {way_to_get(c, taker)}, or {other}.{stays}", about=taker.name)


def whose(c: Case, profile: Profile) -> str:
    if OWNER_KEY not in profile.tags:
        return "without an owner"
    elsewhere = profile.tags.get(CONTROLLER_KEY) != c.home.controller
    return f"made for {profile.tags[OWNER_KEY]}" + (" of another Kubernetes cluster" if elsewhere else "")


def way_to_get(c: Case, taker: Profile) -> str:
    if OWNER_KEY in taker.tags:
        return "have that object deleted (with spec.deletionPolicy: Retain the profile stays, and has no owner then)"
    asks = isinstance(c.resource, Resource) and c.resource.adopt
    steps = [] if c.may_adopt else [f"start the controller with --allow-adoption-in {c.who.namespace}"]
    steps += [] if asks else ["set spec.adoptionPolicy: Adopt"]
    if c.owned or taker.failed or not steps:  # then it can't be taken over
        return "delete that one"
    return f"delete that one, {' and '.join(steps)} to take it over"


def differences(c: Case, profile: Profile) -> str:
    pairs = c.spec.differs(profile) if c.spec else {}
    return "; ".join(f"spec.{name}: EKS has {has}, wanted is {want}" for name, (has, want) in pairs.items())


def mismatch(c: Case) -> Stay:
    taker = c.taker or c.owned[0]
    mend = "write into the spec what EKS has, or make a new object with another spec.profileName"
    said = f"Profile {taker.name} is not adopted, because it is not what the spec says. {differences(c, taker)}."
    return refuse("AdoptMismatch", f"{said} To mend it, {mend}.", about=taker.name)


def immutable(c: Case) -> Stay:
    kept = c.owned[0]
    mend = "put the old values back, or set spec.updatePolicy: Replace to let the controller make the new profile first"
    said = f"EKS can't change a profile, so {kept.name} stays as it is. {differences(c, kept)}. To mend it, {mend}."
    return refuse("ImmutableField", said)


def active(c: Case) -> Stay:
    return Stay(Phase.READY, "Active", f"Profile {c.owned[0].name} is ACTIVE in EKS cluster {c.who.cluster}.")


SPARE_NEEDED = (
    "updatePolicy: Replace needs room for one profile more; Recreate needs none, but deletes the old one and its pods "
    "before it makes the new one."
)


def wait_behind(view: View, first: Key | None) -> Stay:
    """Say what has the turn: a profile in flight, else the object that is first in line."""
    flying = ", ".join(f"profile {each.name} is {each.status}" for each in view.in_flight)
    before = flying or f"{'/'.join(first or ())} comes first"
    said = f"EKS makes or deletes one profile of a cluster at a time: {before}, and this one waits for its turn."
    return Stay(Phase.RECONCILING, "WaitingForTurn", said)


class Row(NamedTuple):
    """What is seen, in a word of the plan's reader; whether it is; what to do about it."""

    seen: str
    when: Callable[[Case], object]
    then: Callable[[Case], Action]


# The first row that fits. Kopf's old finalizer counts as ours in every row.
PLAN: tuple[Row, ...] = (
    Row("deleting, no finalizer of ours", lambda c: c.who.deleting and not c.who.guarded, released),
    Row("made elsewhere, deleting, Retain", lambda c: c.elsewhere and c.retaining,
        lambda c: RemoveFinalizer("Retained", f"The profile in {c.memory.made_in} is kept.", blind=True)),
    Row("made elsewhere", lambda c: c.elsewhere, wrong_home),
    Row("deleting, suspended", lambda c: c.going and c.who.suspended and (c.owned or c.hands_over), deletion_suspended),
    Row("deleting, handed over by kopf, in flight",
        lambda c: c.going and c.hands_over and c.hands_over.in_flight, flight),
    Row("deleting, handed over by kopf", lambda c: c.going and c.hands_over,
        lambda c: TagProfile(c.hands_over or c.owned[0], c.owner_tags, "taken over to be deleted", "Adopted")),
    Row("deleting, none owned, an answer may be lost",
        lambda c: c.who.deleting and c.answer_may_be_lost and (not c.owned or (c.retaining and not c.in_flight)),
        lost_answer),
    Row("deleting, none owned", lambda c: c.who.deleting and not c.owned, let_go),
    Row("suspended", lambda c: not c.who.deleting and c.who.suspended, suspended),
    Row("invalid spec", lambda c: not c.who.deleting and not c.spec, lambda c: refuse("InvalidSpec", str(c.resource))),
    Row("none owned, not allowed", lambda c: not c.who.deleting and not c.owned and c.forbidden, refuse_all),
    Row("no finalizer", lambda c: not c.who.deleting and not c.who.guarded, lambda _: AddFinalizer()),
    Row("handed over by kopf, in flight", lambda c: not c.owned and c.hands_over and c.hands_over.in_flight, flight),
    Row("handed over by kopf", lambda c: not c.owned and c.hands_over,
        lambda c: TagProfile(c.hands_over or c.owned[0], c.owner_tags, "taken over from kopf", "Adopted")),
    Row("kopf's finalizer", lambda c: not c.who.deleting and c.who.from_kopf, lambda _: AddFinalizer()),
    Row("owned, in flight", lambda c: c.in_flight, flight),
    Row("owned, failed, resting", lambda c: c.rest, resting),
    Row("owned, stripped of owner tags", lambda c: c.stripped,
        lambda c: TagProfile(c.stripped or c.owned[0], c.owner_tags, "its owner tags were gone")),
    Row("deleting, Retain, several owned", lambda c: c.retaining and len(c.owned) > 1, spare),
    Row("deleting, Retain, tagged", lambda c: c.retaining and c.owner_tags.keys() & c.owned[0].tags.keys(),
        lambda c: UntagProfile(c.owned[0], frozenset(c.owner_tags), "kept without an owner")),
    Row("deleting, Retain, untagged", lambda c: c.retaining,
        lambda c: RemoveFinalizer("Retained", f"Profile {c.owned[0].name} is kept in EKS, without an owner.")),
    Row("deleting, owned", lambda c: c.who.deleting, lambda c: DeleteProfile(c.owned[-1], "its object is deleted")),
    Row("owned, failed", lambda c: c.failed, lambda c: DeleteProfile(c.failed or c.owned[0], "to be made again")),
    Row("several owned", lambda c: len(c.owned) > 1, spare),
    Row("owned, a tag missing", lambda c: c.owned and c.missing_tags,
        lambda c: TagProfile(c.owned[0], c.missing_tags, "tags of the spec")),
    Row("owned, a tag too many", lambda c: c.unwanted_tags,
        lambda c: UntagProfile(c.owned[0], c.unwanted_tags, "no longer in the spec")),
    Row("owned, as wanted", lambda c: c.kept and c.meets(c.kept), active),
    Row("owned, not as wanted, Refuse", lambda c: c.owned and c.update_policy == "Refuse", immutable),
    Row("none owned, to adopt, on its way", lambda c: c.adopts and c.adopts.in_flight, name_taken),
    Row("none owned, to adopt, not as wanted", lambda c: c.adopts and not c.meets(c.adopts), mismatch),
    Row("none owned, to adopt", lambda c: c.adopts,
        lambda c: TagProfile(c.adopts or c.owned[0], c.owner_tags, "taken over as it is", "Adopted")),
    Row("to be made, not allowed", lambda c: c.forbidden, refuse_all),
    Row("to be made, facts unknown", lambda c: c.facts is None, lambda _: NeedFacts()),
    Row("to be made, preflight objects", lambda c: c.objections, refuse_all),
    Row("to be made, the name is taken", lambda c: c.taker, name_taken),
    Row("owned, not as wanted, Recreate", lambda c: c.owned and c.update_policy == "Recreate",
        lambda c: DeleteProfile(c.owned[0], "to be made anew as the spec says (updatePolicy: Recreate)")),
    Row("to be made", lambda _: True, lambda c: CreateProfile(c.target, warning(c.spec, c.facts) if c.spec else "")),
)  # fmt: skip


def plan(case: Case) -> Action:
    """Return the single next step from what is to what should be; total."""
    return next(row for row in PLAN if row.when(case)).then(case)


def must_see(action: Action) -> tuple[str, ...]:
    """Return the profiles that must be looked at in the pass that acts on this; `WHOLE_CLUSTER` stands for all."""
    match action:
        case RemoveFinalizer(blind=False):
            return (WHOLE_CLUSTER,)
        case DeleteProfile(profile=profile, heir=Profile() as heir):
            return profile.name, heir.name
        case DeleteProfile(profile=profile) | TagProfile(profile=profile) | UntagProfile(profile=profile):
            return (profile.name,)
        case Stay(about=str(about)):
            return (about,)
    return ()


WHOLE_CLUSTER = ""


def forgets_tags_of(c: Case) -> tuple[str, ...]:
    """Return the profile of which tag keys are forgotten now: in an older view, another process's may be missing."""
    return (c.kept.name,) if c.spec and c.kept and set(c.memory.applied_tag_keys) - c.kept.tags.keys() else ()


def remember(c: Case) -> Memory:
    """Return what is to be remembered of what was seen, before anything is done about it."""
    memory, kept = c.memory, c.kept
    if c.elsewhere:
        return memory
    if not kept:
        cluster_arn = memory.cluster_arn if memory.create_started_at else ""
        return memory.but(profile_name="", profile_arn="", cluster_arn=cluster_arn, failed_arn="")
    # The ARN alone may show a profile without owner tags to be ours: it stays until that one has them back.
    arn = kept.arn if all(c.owner_tags.keys() <= each.tags.keys() for each in c.owned) else memory.profile_arn
    memory = memory.but(profile_name=kept.name, profile_arn=arn, cluster_arn=c.home.cluster_arn)
    made = next((each for each in c.owned if each.name == memory.create_name and each.seen), None)
    marked = memory.create_started_at
    # Not while CREATING, to spare a write; an older profile, in an older view, is not what the mark waits for.
    if made and marked and made.status != "CREATING" and made.created_at >= marked:
        memory = memory.but(create_started_at=None, create_name="")
    if c.spec:
        ours = (set(memory.applied_tag_keys) | c.wanted_tags.keys()) & kept.tags.keys() - c.owner_tags.keys()
        memory = memory.but(applied_tag_keys=tuple(sorted(ours)))
    if not c.failed:  # once on its way again, the same profile may fail anew, and counts anew
        return memory.settled() if kept.active and c.meets(kept) else memory.but(failed_arn="")
    if c.failed.arn == memory.failed_arn and memory.failed_at:
        return memory
    return memory.but(failures=memory.failures + 1, failed_at=c.now, failed_arn=c.failed.arn)


# Which profiles can select the same pod: EKS then takes the first by name and says nothing (eks.md B2).

LONGEST_WORD = 63  # characters of a namespace's name and of a label's value


@lru_cache(maxsize=4096)
def meet(one: str, other: str) -> bool:
    """Say whether some word matches both patterns, in which `*` stands for any characters and `?` for one."""

    @cache
    def shortest(i: int, j: int) -> float:
        a, b = one[i : i + 1], other[j : j + 1]
        ways = [0.0] if not a and not b else []
        if a == "*":
            ways += [shortest(i + 1, j), *([1 + shortest(i, j + 1)] if b and b != "*" else [])]
        if b == "*":
            ways += [shortest(i, j + 1), *([1 + shortest(i + 1, j)] if a and a != "*" else [])]
        if a and b and "*" not in a + b and (a == b or "?" in a + b):
            ways.append(1 + shortest(i + 1, j + 1))
        return min(ways, default=float("inf"))

    return shortest(0, 0) <= LONGEST_WORD


def can_share_a_pod(one: Selector, other: Selector) -> bool:
    """Say whether one pod can match both; a key with a wildcard can always be met by a label of its own."""
    values = dict(other.labels)
    shared = ((value, values[key]) for key, value in one.labels if key in values and not re.search("[*?]", key))
    return meet(one.namespace, other.namespace) and all(meet(*pair) for pair in shared)


def overlaps(c: Case) -> tuple[Profile, ...]:
    """Return the profiles of others that can select a pod which the object's own one selects, by name."""
    if c.who.deleting or not c.kept:
        return ()
    own = c.kept.selectors
    others = (
        each for name, each in sorted(c.view.profiles.items()) if each not in c.owned and each.status != "DELETING"
    )
    return tuple(each for each in others if any(can_share_a_pod(a, b) for a in own for b in each.selectors))


def overlap_message(c: Case, others: Sequence[Profile]) -> str:
    """Say which profiles overlap and which one EKS takes; "" for none."""
    if not (c.kept and others):
        return ""
    named = ", ".join(f"{each.name} ({whose(c, each)})" for each in others)
    first = min(c.kept.name, *(each.name for each in others))
    mend = "a pod's label eks.amazonaws.com/fargate-profile chooses another; narrow the selectors to end it"
    return f"The same pods can match profile {c.kept.name} and {named}: EKS takes the first by name, {first}; {mend}."


# What the user sees.


def conditions(old: Sequence[Object], who: Identity, said: Stay, overlap: str, now: datetime) -> list[Object]:
    """Return the conditions by the kstatus conventions; those of other writers stay."""
    before = {each["type"]: each for each in old}

    def condition(kind: str, status: str, reason: str = said.reason, message: str = said.message) -> Object:
        was = before.get(kind, {})
        # A note that came with a change is still true while EKS is at work on it.
        noted = was.get("reason") == reason and reason in ON_THE_WAY and was["message"].startswith(message)
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": was["message"] if noted else message,
            "observedGeneration": who.generation,
            "lastTransitionTime": was["lastTransitionTime"] if was.get("status") == status else second(now),
        }

    was_ready = _current(before.get("Ready"), who) and not who.deleting
    # A look that failed does not unsay what the last look showed.
    ready = before["Ready"] if said.retry and was_ready else condition("Ready", str(said.phase is Phase.READY))
    extra = [condition(said.phase.value, "True")] if said.phase in {Phase.RECONCILING, Phase.STALLED} else []
    extra += [condition("Overlapping", "True", "SelectorsOverlap", overlap)] if overlap else []
    return [ready, *extra, *(each for each in old if each["type"] not in OURS)]


OURS = {"Ready", "Reconciling", "Stalled", "Overlapping"}
ON_THE_WAY = {"Creating", "Deleting", "Replacing"}


def _found(kind: str, listed: Sequence[Object]) -> Object:
    return next((each for each in listed if each["type"] == kind), {})


def _current(condition: Object | None, who: Identity) -> bool:
    return bool(condition and condition["status"] == "True" and condition.get("observedGeneration") == who.generation)


def render_status(who: Identity, memory: Memory, shown: Object, listed: list[Object]) -> Object:
    """Return the whole status; `shown` is what EKS shows of the profile."""
    book = memory.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=BOOKKEEPING)
    status = {
        "observedGeneration": who.generation,
        "conditions": listed,
        "lastHandledReconcileAt": memory.last_handled_reconcile_at,
        "clusterName": who.cluster,
        "profileName": memory.profile_name,
        "profileArn": memory.profile_arn,
        "clusterArn": memory.cluster_arn,
        **shown,
        "bookkeeping": book,
    }
    return {key: value for key, value in status.items() if value not in ("", [], {}, None)}


SHOWN = ("profileStatus", "createdAt", "health")
STATUSES = ("CREATING", "ACTIVE", "DELETING", "CREATE_FAILED", "DELETE_FAILED")


def shown_of(profile: Profile | None) -> Object:
    """Return what status shows of a profile, in EKS's own words."""
    if not profile:
        return {}
    health = [
        {"code": each.code, "message": each.message, "resourceIds": [*each.resource_ids]} for each in profile.health
    ]
    return {"profileStatus": profile.status, "createdAt": second(profile.created_at), "health": health}


def phase_of(obj: Object) -> tuple[Phase, datetime]:
    """Return the phase that an object's status shows, and since when; one not looked at yet is on its way."""
    listed = _mapping(obj.get("status")).get("conditions") or []
    since = {each["type"]: each["lastTransitionTime"] for each in listed if each["status"] == "True"}
    unnamed = Phase.IDLE if listed else Phase.RECONCILING
    phase = next((each for each in (Phase.STALLED, Phase.RECONCILING, Phase.READY) if each.value in since), unnamed)
    return phase, datetime.fromisoformat(since.get(phase.value, obj["metadata"]["creationTimestamp"]))


def second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# The effects.


class Kube(Protocol):
    """What is needed of Kubernetes: a write fails with the edge's own error if the object is not the version given."""

    def exists(self, namespace: str, name: str) -> bool | None: ...
    def namespace_uid(self, name: str) -> str: ...
    def running_pods(self, profile: str) -> int | None: ...
    def patch_finalizers(self, obj: Object, finalizers: Sequence[str]) -> Object: ...
    def patch_status(self, obj: Object, status: Object) -> Object: ...
    def event(self, obj: Object, kind: str, reason: str, action: str, note: str, now: datetime) -> None: ...


class Store(Protocol):
    """The cache of objects; `put` takes the answers to our own writes: no pass acts on older than its own work."""

    def get(self, key: Key) -> Object | None: ...
    def put(self, obj: Object) -> object: ...


@dataclass(frozen=True)
class Settings:
    """`cluster` is for objects that name none; `controller_id` "" stands for the uid of namespace kube-system.

    `adoption_in`: the namespaces whose objects may take over profiles without an owner, "*" for all.
    """

    cluster: str
    controller_id: str = ""
    resync_seconds: float = 600.0
    poll_seconds: float = 5.0
    lost_create: timedelta = LOST_CREATE
    adoption_in: frozenset[str] = frozenset()
    limits: Limits = Limits()

    def may_adopt(self, namespace: str) -> bool:
        return not self.adoption_in.isdisjoint({"*", namespace})


class Requeue(NamedTuple):
    """Look again after so many seconds (None: at the resync), or by the queue's backoff, or never (`gone`).

    `unseen`: the object was not looked at, so that its backoff stays as it is.
    """

    after: float | None = None
    retry: bool = False
    unseen: bool = False
    gone: bool = False


@dataclass
class Flight:
    """A profile that is CREATING or DELETING; times are monotonic seconds."""

    status: str
    since: float
    looked: float

    def rest(self, now: float, poll: float) -> float:
        """Return the seconds until the next look: a tenth of the time that it has taken so far, within bounds."""
        pace = max(poll, min((now - self.since) / 10, POLL_MOST_SECONDS))
        return self.looked + pace - now


def owner_of(profile: Profile) -> Key | None:
    """Return the key of the object that a profile's tags name, None for none."""
    namespace, _, name = profile.tags.get(OWNER_KEY, "").partition("/")
    return (namespace, name) if namespace and name else None


@dataclass
class Cluster:
    """What this process knows of one EKS cluster: its view, what is in flight there, who stands in line for a turn.

    Touched only by the one pass that is in the cluster, but for `outside`: the keys that found it occupied.
    """

    view: View | None = None
    flights: dict[str, Flight] = field(default_factory=dict)
    line: dict[Key, float] = field(default_factory=dict)
    name_wanted: dict[Key, str] = field(default_factory=dict)
    overlaps: dict[Key, frozenset[str]] = field(default_factory=dict)
    strays: set[str] = field(default_factory=set)
    outside: dict[Key, None] = field(default_factory=dict)

    def saw(self, view: View, looked: Collection[str], now: float) -> list[Key]:
        """Take a newer view; return who has reason to look again: owners of what settled, heirs, the first in line."""
        before, self.view = self.view, view
        flew, self.flights = self.flights, {}
        for profile in view.in_flight:
            known = flew.get(profile.name)
            if not known or known.status != profile.status:
                known = Flight(profile.status, now, now)
            self.flights[profile.name] = replace(known, looked=now) if profile.name in looked else known
        if not before:
            return []
        gone, landed = before.profiles.keys() - view.profiles.keys(), flew.keys() - self.flights.keys()
        owners = [owner_of(before.profiles[name]) for name in landed & before.profiles.keys()]
        heirs = [key for key, name in self.name_wanted.items() if name in gone]
        heirs += [key for key, names in self.overlaps.items() if not names.isdisjoint(gone)]
        first = self.first(now) if landed and not self.flights else None
        return [key for key in (*owners, *heirs, first) if key]

    @property
    def unknown(self) -> bool:
        """Nothing of it is worth remembering: objects may name clusters without end that are not there."""
        known = self.view and self.view.found
        return not (known or self.flights or self.line or self.name_wanted or self.strays)

    def first(self, now: float) -> Key | None:
        """Return who is first in line; who did not come for its place has lost it."""
        self.line = {key: came for key, came in self.line.items() if now - came <= PLACE_SECONDS}
        return next(iter(self.line), None)

    def leave(self, key: Key) -> None:
        self.line.pop(key, None)
        self.name_wanted.pop(key, None)


@dataclass
class Pass:
    """One look at one object; `obj` and `memory` move on with what the pass writes."""

    key: Key
    obj: Object
    who: Identity
    memory: Memory
    cluster: Cluster
    shown: Object
    overlap: str = ""
    overlapping: tuple[Profile, ...] = ()
    looked: set[str] = field(default_factory=set)


# One line an action or error; the fields are a mapping, so that a JSON line has each on its own.
_WHERE = "object=%(object)s cluster=%(cluster)s profile=%(profile)s"
LOGGED_ACTION = f'done action=%(reason)s {_WHERE} message="%(message)s"'
LOGGED_ERROR = f'failed {_WHERE} reason=%(reason)s message="%(message)s"'
LOGGED_SURVEY = 'failed cluster=%(cluster)s reason=%(reason)s message="%(message)s"'


def _fields(p: Pass, profile: str, reason: str, message: str) -> dict[str, str]:
    return {
        "object": p.who.owner, "cluster": p.who.cluster, "profile": profile, "reason": reason, "message": message,
    }  # fmt: skip


class Reconciler:
    """Carries out the plan, one key at a time and one pass at a time per EKS cluster; safe to call from many threads.

    `wake` is called with keys that have reason to look again, `now` gives an aware wall clock, `monotonic` seconds.
    `ready_after` is told, of each object that becomes Ready, for how many seconds it was not.
    """

    def __init__(
        self,
        store: Store,
        kube: Kube,
        aws: Aws,
        settings: Settings,
        wake: Callable[[Key], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        ready_after: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._store, self._kube, self._aws, self._settings = store, kube, aws, settings
        self._ready_after = ready_after
        self._wake, self._now, self._monotonic = wake, now, monotonic
        self._clusters: dict[str, Cluster] = {}
        self._occupied: dict[str, object] = {}
        self._stalled: dict[Key, tuple[int, str, float]] = {}
        self._self: tuple[str, str, str] | None = None

    def reconcile(self, key: Key) -> Requeue:
        """Take the next step for one object, or look at a cluster itself; raises the Kubernetes edge's errors."""
        namespace, name = key
        if not namespace:
            return self._alone_in(name, key, lambda cluster: self._survey(name, cluster))
        obj = self._store.get(key)
        if obj is None:
            self._stalled.pop(key, None)
            return Requeue(gone=True)
        memory = Memory.parse(obj)
        who = Identity.parse(obj, memory, self._settings.cluster)
        status = _mapping(obj.get("status"))
        shown = {field: value for field, value in status.items() if field in SHOWN}
        overlap = _found("Overlapping", status.get("conditions") or []).get("message", "")
        return self._alone_in(
            who.cluster, key, lambda cluster: self._pass(Pass(key, obj, who, memory, cluster, shown, overlap))
        )

    def tally(self) -> dict[str, tuple[dict[str, int], int]]:
        """Return, of each EKS cluster that was seen, how many profiles are in which state, and how many stray."""
        clusters = {name: (each.view, len(each.strays)) for name, each in self._clusters.copy().items()}
        return {
            name: (dict.fromkeys(STATUSES, 0) | Counter(each.status for each in view.profiles.values()), strays)
            for name, (view, strays) in clusters.items()
            if view and view.found
        }

    def _alone_in(self, name: str, key: Key, work: Callable[[Cluster], Requeue]) -> Requeue:
        """Work if no other pass is in that cluster, so that one dead endpoint costs one worker, not all.

        Who finds it occupied comes back in a second, or as soon as it is free: each pass that ends wakes one.
        """
        token = object()
        if self._occupied.setdefault(name, token) is not token:
            self._clusters.setdefault(name, Cluster()).outside[key] = None
            return Requeue(OCCUPIED_SECONDS, unseen=True)
        cluster = self._clusters.setdefault(name, Cluster())
        try:
            return work(cluster)
        finally:
            if cluster.unknown:  # by the one pass that is in it, so that nobody works on one that is forgotten
                del self._clusters[name]
            del self._occupied[name]
            with suppress(KeyError):
                self._wake(cluster.outside.popitem()[0])

    def _pass(self, p: Pass) -> Requeue:
        ended = False
        try:
            requeue = self._step(p)
            ended = True
            return requeue
        finally:
            if not ended:  # whoever breaks off must not hold up those behind it in line
                p.cluster.leave(p.key)

    def _step(self, p: Pass) -> Requeue:
        try:
            home = self._home(p.who.cluster)
            self._observe(p, home)
            case, action = self._decide(p, home)
            p.memory, p.shown = remember(case), shown_of(case.kept)
            if p.who.requested_at:
                p.memory = p.memory.but(last_handled_reconcile_at=p.who.requested_at)
            self._find_overlaps(p, case)
            said = action if isinstance(action, Stay) else self._act(p, case, action)
        except AwsError as error:
            said = self._blame(p, error)
        if said is not None:
            self._report(p, said)
        return self._look_again(p, said) if said else Requeue(0.0)

    def _survey(self, name: str, cluster: Cluster) -> Requeue:
        """Look at a cluster itself, so that orphans are found even where it has no object."""
        try:
            self._home(name)
            if self._stale(cluster):
                self._read(name, cluster, {})
            if not (cluster.view and cluster.view.found):
                fields = {"cluster": name, "reason": "ClusterNotFound", "message": no_such(self._home(name))}
                log.warning(LOGGED_SURVEY, fields)
        except AwsError as error:
            fields = {"cluster": name, "reason": error.reason, "message": str(error)}
            log.warning(LOGGED_SURVEY, fields)
            return Requeue(retry=True)
        return Requeue()

    def _home(self, cluster: str) -> Home:
        if self._self is None:
            controller = self._settings.controller_id or self._kube.namespace_uid("kube-system")
            self._self = (*self._aws.account(), controller)
            fields = {"account": self._self[1], "controller": controller, "region": self._aws.region}
            log.info("identified account=%(account)s controller=%(controller)s region=%(region)s", fields)
        partition, account, controller = self._self
        return Home(partition, self._aws.region, account, cluster, controller)

    def _stale(self, cluster: Cluster) -> bool:
        age = self._monotonic() - cluster.view.at if cluster.view else float("inf")
        return age >= VIEW_LIFE * self._settings.resync_seconds

    def _observe(self, p: Pass, home: Home) -> None:
        """Make the view good enough to plan on: read if old; what is in flight, or edited, described again."""
        cluster, now = p.cluster, self._monotonic()
        if self._stale(cluster) or self._requested(p):
            p.looked |= {WHOLE_CLUSTER, *self._read(home.cluster, cluster, {})}
            return
        due = {name for name, each in cluster.flights.items() if each.rest(now, self._settings.poll_seconds) <= 0}
        if p.who.generation != p.memory.observed_generation and p.memory.profile_name:
            due.add(p.memory.profile_name)
        for name in due:
            self._see(p, home, name)

    def _requested(self, p: Pass) -> bool:
        return p.who.requested_at not in {"", p.memory.last_handled_reconcile_at}

    def _see(self, p: Pass, home: Home, name: str) -> None:
        p.looked.add(name)
        if name == WHOLE_CLUSTER or p.cluster.view is None:
            known = p.cluster.view.profiles if p.cluster.view else {}
            reuse = {each: known[each] for each in known if not p.who.may_name(each)}
            p.looked |= self._read(home.cluster, p.cluster, reuse) - reuse.keys()
        else:
            shown = p.cluster.view.showing(name, self._aws.describe(home.cluster, name))
            self._take(p.cluster, shown, {name}, p.key)

    def _read(self, name: str, cluster: Cluster, reuse: Mapping[str, Profile]) -> set[str]:
        view = self._aws.view(name, reuse)
        if reuse and cluster.view:  # no younger than what was not looked at again
            view = replace(view, at=cluster.view.at)
        self._take(cluster, view, view.profiles.keys() - reuse.keys())
        self._find_strays(name, cluster, view)
        return set(view.profiles)

    def _take(self, cluster: Cluster, view: View, looked: Collection[str], looking: Key | None = None) -> None:
        for key in cluster.saw(view, looked, self._monotonic()):
            if key != looking:  # that one goes on with this view in this pass
                self._wake(key)

    def _find_overlaps(self, p: Pass, case: Case) -> None:
        """Note which profiles can select the same pods."""
        others = overlaps(case)
        p.cluster.overlaps.pop(p.key, None)
        if others:
            p.cluster.overlaps[p.key] = frozenset(each.name for each in others)
        p.overlap, p.overlapping = overlap_message(case, others), others

    def _find_strays(self, name: str, cluster: Cluster, view: View) -> None:
        """Log each profile that is tagged as ours and belongs to no object: orphans, copied tags. Never touch one."""
        controller = self._self[2] if self._self else ""
        tagged = [each for each in view.profiles.values() if controller and each.tags.get(CONTROLLER_KEY) == controller]
        strays = {each.name: why for each in tagged if (why := self._stray(each))}
        for profile in strays.keys() - cluster.strays:
            fields = {"cluster": name, "profile": profile, "message": strays[profile]}
            log.warning('stray cluster=%(cluster)s profile=%(profile)s message="%(message)s"', fields)
        cluster.strays = set(strays)

    def _stray(self, profile: Profile) -> str:
        key = owner_of(profile)
        obj = self._store.get(key) if key else None
        if obj is None:
            gone = key is None or self._kube.exists(*key) is False
            owner = profile.tags.get(OWNER_KEY, "(no owner tag)")
            return f"its owner {owner} does not exist; delete it by hand if nobody needs it" if gone else ""
        who = Identity.parse(obj, Memory.parse(obj), self._settings.cluster)
        return "" if who.may_name(profile.name) else f"tags of {who.owner} on a profile that is not its own"

    def _decide(self, p: Pass, home: Home) -> tuple[Case, Stay | Change]:
        """Plan until what the action stands on has been looked at in this very pass."""
        try:
            resource: Resource | InvalidSpec = Resource.parse(p.obj)
        except InvalidSpec as error:
            resource = error
        facts, settings = None, self._settings
        while True:
            view = p.cluster.view or View(False, {}, self._monotonic())
            bounds = settings.lost_create, settings.may_adopt(p.who.namespace), settings.limits
            case = Case(p.who, resource, home, view, p.memory, facts, self._now(), *bounds)
            action = plan(case)
            if isinstance(action, NeedFacts):
                facts = self._aws.facts(home.cluster, case.spec, self._requested(p)) if case.spec else None
                continue
            action = self._take_turn(p, view, action)
            stands_on = (*must_see(action), *forgets_tags_of(case))
            unseen = next((name for name in stands_on if name not in p.looked), None)
            if unseen is None:
                return case, action
            self._see(p, home, unseen)

    def _take_turn(self, p: Pass, view: View, action: Stay | Change) -> Stay | Change:
        """Let only the first in line create or delete, and only while nothing is in flight in the cluster."""
        if not isinstance(action, CreateProfile | DeleteProfile):
            p.cluster.leave(p.key)
            if isinstance(action, Stay) and action.about:
                p.cluster.name_wanted[p.key] = action.about
            return action
        p.cluster.line[p.key] = self._monotonic()
        first = p.cluster.first(self._monotonic())
        return action if first == p.key and not view.in_flight else wait_behind(view, first)

    def _act(self, p: Pass, case: Case, action: Change) -> Stay | None:
        """Make the one change of this pass; return what to report, None for: look again at once."""
        match action:
            case AddFinalizer():
                self._guard(p, [*p.who.others_finalizers, FINALIZER])
                self._done(p, "Guarded", "The finalizer is in place.", kind="")
            case RemoveFinalizer(event=event, message=message):
                self._guard(p, p.who.others_finalizers)
                self._done(p, event, message, "Warning" if event == "ProfileLeft" else "Normal")
            case CreateProfile(name=name, warning=note):
                return self._create(p, case, name, note)
            case DeleteProfile(profile=profile, why=why):
                return self._delete(p, case, profile, why)
            case TagProfile(profile=profile, tags=tags, why=why, event=event):
                self._remember_keys(p, tags.keys() - case.owner_tags.keys())
                self._aws.tag(profile.arn, tags)
                self._changed(p, case, replace(profile, tags={**profile.tags, **tags}))
                self._done(p, event, f"Profile {profile.name} is tagged {', '.join(sorted(tags))}: {why}.")
            case UntagProfile(profile=profile, keys=keys, why=why):
                self._prove(p)
                self._aws.untag(profile.arn, keys)
                self._changed(p, case, replace(profile, tags={k: v for k, v in profile.tags.items() if k not in keys}))
                self._done(p, "Untagged", f"Profile {profile.name} has lost {', '.join(sorted(keys))}: {why}.")
            case _:
                assert_never(action)
        return None

    def _guard(self, p: Pass, finalizers: list[str]) -> None:
        p.obj = self._kube.patch_finalizers(p.obj, finalizers)
        self._store.put(p.obj)

    def _create(self, p: Pass, case: Case, name: str, note: str) -> Stay | None:
        """Mark, then create: the mark is the live check that the object is there, guarded and not going."""
        resource, started = cast("Resource", case.resource), self._monotonic()
        p.memory = p.memory.but(
            create_started_at=case.now,
            create_name=name,
            first_tried_at=p.memory.first_tried_at or case.now,
            cluster_arn=case.home.cluster_arn,
            # Those of before too: an earlier create may yet come true.
            applied_tag_keys=tuple(sorted({*p.memory.applied_tag_keys, *resource.tags})),
        )
        asked, was = asked_for(case, name), (p.obj.get("status") or {}).get("profileStatus", "DELETING")
        self._report(p, asked, on_the_way=True)
        if self._monotonic() - started > CREATE_WITHIN_SECONDS:
            return None
        profile = self._ask_for(p, case, name, resource.profile)
        lost = not case.kept and was != "DELETING"  # which would be our doing, or was told of already
        again = " The one before had gone without the controller's doing." if lost else ""
        pods = self._pods(p, case.kept.name) if case.kept else ""
        said = flight(self._changed(p, case, profile))
        self._done(p, asked.reason, f"{asked.message}{again}{pods}")
        if note:
            self._done(p, "RolePolicyMissing", note, "Warning")
        return replace(said, message=f"{said.message}{pods} {note}".rstrip())

    def _ask_for(self, p: Pass, case: Case, name: str, spec: ProfileSpec) -> Profile:
        try:
            return self._aws.create(case.home.cluster, name, spec, case.wanted_tags)
        except AwsError as error:
            if not error.unclear:  # this create was refused; one before it may still come true
                before = case.memory
                p.memory = p.memory.but(create_started_at=before.create_started_at, create_name=before.create_name)
            if case.kept and error.reason == "QuotaExceeded":
                raise Refused(error.reason, f"{error} {SPARE_NEEDED} {case.kept.name} serves as it is.") from error
            raise

    def _delete(self, p: Pass, case: Case, profile: Profile, why: str) -> Stay | None:
        self._prove(p)
        going = self._aws.delete(case.home.cluster, profile.name)
        pods = self._pods(p, profile.name)  # not before: between the last look and the delete nothing else is asked
        self._done(p, "Deleting", f"Profile {profile.name} is being deleted: {why}.{pods}")
        after = self._changed(p, case, replace(profile, status="DELETING"), gone=going is None)
        if going is None:
            return None
        said = flight(after)
        return replace(said, message=f"{said.message}{pods}")

    def _pods(self, p: Pass, profile: str) -> str:
        """Say how many pods run on a profile, "" where that may not be known; those of other clusters can't be."""
        count = self._kube.running_pods(profile) if p.who.cluster == self._settings.cluster else None
        return "" if count is None else f" {count} running pod{'' if count == 1 else 's'} on {profile}."

    def _changed(self, p: Pass, case: Case, profile: Profile, gone: bool = False) -> Case:
        """Take what EKS has answered to a change into the view; return the case as it is then."""
        p.cluster.leave(p.key)
        view = case.view.showing(profile.name, None if gone else profile)
        self._take(p.cluster, view, {profile.name})
        after = replace(case, view=view, memory=p.memory)
        p.memory, p.shown = remember(after), shown_of(after.kept)
        return after

    def _remember_keys(self, p: Pass, keys: Collection[str]) -> None:
        """Write down the tag keys that are about to be set, so that they can be taken away again."""
        p.memory = p.memory.but(applied_tag_keys=tuple(sorted({*p.memory.applied_tag_keys, *keys})))
        self._prove(p)

    def _prove(self, p: Pass) -> None:
        """Write status though it may change nothing: what follows is done only for the version that was seen.

        It also records the ARN, by which a profile is still the object's once its owner tags are off.
        """
        self._write(p, (p.obj.get("status") or {}).get("conditions") or [], always=True)

    def _blame(self, p: Pass, error: AwsError) -> Stay:
        """Say what an error means for the object, and forget what it has contradicted or left unclear."""
        level = logging.INFO if isinstance(error, Busy) else logging.WARNING
        log.log(level, LOGGED_ERROR, _fields(p, p.who.base, error.reason, str(error)))
        if error.unclear or isinstance(error, Busy):
            p.cluster.view = None
        if isinstance(error, Busy):
            again = None if error.reason == "WaitingForTurn" else self._now() + timedelta(seconds=POLL_MOST_SECONDS)
            return Stay(Phase.RECONCILING, error.reason, str(error), again)
        p.cluster.leave(p.key)
        if not isinstance(error, Refused):
            return Stay(Phase.RECONCILING, error.reason, str(error), retry=True)
        tried, now = p.memory.first_tried_at, self._now()
        if error.reason == "RoleNotTrusted" and tried and now < tried + TRUST_PROPAGATION:
            return Stay(Phase.RECONCILING, error.reason, str(error), now + timedelta(seconds=TRUST_SECONDS))
        return refuse(error.reason, str(error))

    def _report(self, p: Pass, said: Stay, on_the_way: bool = False) -> None:
        """Write status if it differs. What is only on the way to an outcome does not unsay a Stalled condition."""
        status = p.obj.get("status") or {}
        old = status.get("conditions") or []
        keep = (on_the_way or said.reason == "WaitingForTurn") and _current(_found("Stalled", old), p.who)
        listed = old if keep else conditions(old, p.who, said, p.overlap, self._now())
        self._write(p, listed)
        if not keep:
            self._tell(p, said, old, listed)

    def _write(self, p: Pass, listed: list[Object], always: bool = False) -> None:
        status = render_status(p.who, p.memory, p.shown, listed)
        if always or status != p.obj.get("status"):
            p.obj = self._kube.patch_status(p.obj, status)
            self._store.put(p.obj)

    def _tell(self, p: Pass, said: Stay, old: list[Object], new: list[Object]) -> None:
        """Post an event where the object turned Ready, stalled or idle, or stalls for another reason."""
        before = _found("Ready", old)
        overlapped = _found("Overlapping", old)
        if p.overlap and not overlapped:
            self._done(p, "Overlapping", p.overlap, "Warning")
        # Only now that it is written down: what can't be would be new in every pass, and they would wake one another.
        if p.overlap not in {"", overlapped.get("message")}:
            for key in filter(None, map(owner_of, p.overlapping)):
                self._wake(key)
        changed = any(before.get(key) != new[0][key] for key in ("status", "reason", "message"))
        if changed and said.phase is Phase.STALLED:
            event = said.reason if said.reason in {"CreateFailed", "DeleteFailed"} else "Refused"
            note = said.message if said.message.startswith(said.reason) else f"{said.reason}: {said.message}"
            self._done(p, event, note, "Warning")
        elif said.phase is Phase.READY and before.get("status") != "True":
            was = before.get("reason")
            event = "Created" if was == "Creating" else "Replaced" if was == "Replacing" else "Active"
            self._done(p, event, said.message)
            if before:
                since = datetime.fromisoformat(before["lastTransitionTime"])
                self._ready_after((self._now() - since).total_seconds())
        elif said.phase is Phase.IDLE and before.get("reason") != said.reason:
            self._done(p, said.reason, said.message)
        elif said.reason in TIME_MAY_MEND and before.get("reason") != said.reason:
            log.warning(LOGGED_ERROR, _fields(p, p.who.base, said.reason, said.message))

    def _done(self, p: Pass, action: str, note: str, kind: str = "Normal") -> None:
        """Log what was done or found, and post it as an event of that kind, "" for none."""
        level = logging.WARNING if kind == "Warning" else logging.INFO
        log.log(level, LOGGED_ACTION, _fields(p, p.memory.profile_name or p.who.base, action, note))
        if kind:
            self._kube.event(p.obj, kind, action, "Reconcile", note, self._now())

    def _look_again(self, p: Pass, said: Stay) -> Requeue:
        now, poll = self._monotonic(), self._settings.poll_seconds
        if said.phase is not Phase.STALLED:
            self._stalled.pop(p.key, None)
        if said.retry:
            return Requeue(retry=True)
        if said.until:
            return Requeue(max(0.1, (said.until - self._now()).total_seconds()))
        if said.phase is Phase.STALLED:
            return Requeue(self._stall(p, said.reason, now))
        if said.phase is Phase.RECONCILING or p.memory.profile_name in p.cluster.flights:
            return Requeue(max(0.1, min((each.rest(now, poll) for each in p.cluster.flights.values()), default=poll)))
        return Requeue()

    def _stall(self, p: Pass, reason: str, now: float) -> float:
        """Return the time to the next look: as long again as the object has been stalled for this reason."""
        generation, known, since = self._stalled.get(p.key, (-1, "", now))
        if (generation, known) != (p.who.generation, reason):
            since = now
        self._stalled[p.key] = (p.who.generation, reason, since)
        least, most = STALLED_SECONDS
        return min(max(now - since, least), most)
