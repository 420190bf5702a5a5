"""What a FargateProfile object says, and what is held against it before a profile is made.

The picture: raw object -> `Resource` (the profile that is wanted, or `InvalidSpec` with every
finding), `Identity` (who it is and what becomes of its profile, read from any object) and `Memory`
(what earlier passes wrote into status); `head` judges what stands outside of spec. At the end of the
file what may speak against a valid spec where it is to be carried out: `Limits`, set by those who run
the controller, and preflight, by what AWS says.

Pure: no clock, no call, no log. What it is not: a decision.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from aws import (
    FARGATE_POLICY,
    FARGATE_PRINCIPAL,
    Facts,
    Profile,
    ProfileSpec,
    SubnetFact,
    selector,
)
from kube import GROUP, KIND, LABEL, LABEL_KEY, NAMESPACE, SUBDOMAIN, VERSION, Key, Object
from kube import NAME as OBJECT_NAME

FINALIZER = "fargateprofiles.jicomusic.com/finalizer"
KOPF_FINALIZERS = frozenset({"KopfFinalizerMarker", "kopf.zalando.org/KopfFinalizerMarker"})
OUR_FINALIZERS = KOPF_FINALIZERS | {FINALIZER}
REQUESTED_AT = "fargateprofiles.jicomusic.com/reconcile-requested-at"  # an annotation, by Flux's convention
OWNER_KEY, CONTROLLER_KEY = "fargateprofiles.jicomusic.com/owner", "fargateprofiles.jicomusic.com/controller"

# What the object says. The rules are EKS's (name, namespace, labels, role, tags) and hold in every
# account; quotas are not among them, because they can be raised.

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


# Whose parts are no fields of ours: keys that users choose, and the fields of owners.
WHOLE = {"labels", "annotations", "tags", "ownerReferences"}


def _finding(error: Mapping[str, Any], mends: Mapping[str, str], *before: str, named: bool = False) -> Finding:
    """Return what an error of the models below says; `named`: metadata.name is the profile's name too."""
    path = tuple(part for part in (*before, *error["loc"]) if part != "[key]")
    if named and path == ("spec", "profileName"):
        path = ("metadata", "name")
    if error["type"] == "extra_forbidden":
        return Finding(path, "not a field", "remove it or correct its name")
    what = "missing" if error["type"] == "missing" else json.dumps(error["input"], default=str)
    if error["type"] == "value_error":
        what = str(error["ctx"]["error"])
    mend = ""
    for part in path:
        mend = mends.get(str(part), mend)
        if part in WHOLE:
            break
    return Finding(path, what[:80], mend, error["type"] == "string_type")


class InvalidSpec(Exception):
    """The spec breaks rules that hold in every account; the text names each field, what is wrong, what mends it."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(map(str, findings)) + ".")
        self.findings = findings


_FIELDS = ConfigDict(strict=True, extra="forbid", regex_engine="python-re", alias_generator=to_camel)


class SelectorFields(BaseModel):
    model_config = _FIELDS
    namespace: Namespace
    labels: dict[LabelKey, LabelValue] = Field(default={}, max_length=100)


class SpecFields(BaseModel):
    model_config = _FIELDS
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
            found = (_finding(each, MENDS, "spec", named=named) for each in error.errors())
            raise InvalidSpec(*found) from error
        if len(name) > LONGEST_NAME:
            what, mend = f"longer than {LONGEST_NAME}", "make a new object with a shorter one"
            raise InvalidSpec(Finding(("metadata", "name"), what, mend))
        selectors = frozenset(selector(each.namespace, each.labels) for each in fields.selectors)
        subnets = frozenset(fields.subnets) or None
        profile = ProfileSpec(fields.pod_execution_role_arn, selectors, subnets)
        return cls(profile, fields.tags, fields.update_policy, fields.adoption_policy == "Adopt")


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
    create_before_arn: str = ""
    first_tried_at: AwareDatetime | None = None
    failures: int = 0
    failed_at: AwareDatetime | None = None
    failed_arn: str = ""
    applied_tag_keys: tuple[str, ...] = ()

    @classmethod
    def parse(cls, obj: Object) -> Memory:
        """Read status; what is not as we write it counts as lost. Tries and failures are those of this generation."""
        status = mapping(obj.get("status"))
        try:
            memory = cls.model_validate(status | mapping(status.get("bookkeeping")))
        except ValidationError:
            return cls()
        return memory if memory.observed_generation == obj["metadata"].get("generation") else memory.settled()

    def but(self, **changes: Any) -> Memory:
        return self.model_copy(update=changes)

    @property
    def proof(self) -> tuple[object, ...]:
        """What must be in status before EKS is asked for a change: without it the change could be lost."""
        mark = self.create_started_at, self.create_name
        return (*mark, self.profile_arn, self.cluster_arn, self.applied_tag_keys)

    def with_mark(self, started_at: datetime | None, name: str, before_arn: str) -> Memory:
        """Remember a create whose answer is open; `before_arn`: what was known under that name before."""
        return self.but(create_started_at=started_at, create_name=name, create_before_arn=before_arn)

    def with_tag_keys(self, keys: Collection[str]) -> Memory:
        """Remember the keys of tags that are about to be set, beside those of before."""
        return self.but(applied_tag_keys=tuple(sorted({*self.applied_tag_keys, *keys})))

    def counting(self, failed_arn: str, now: datetime) -> Memory:
        """Count the failure of a profile, once a profile."""
        if failed_arn == self.failed_arn and self.failed_at:
            return self
        return self.but(failures=self.failures + 1, failed_at=now, failed_arn=failed_arn)

    def settled(self) -> Memory:
        """Forget the failures: the profile serves as wanted, or what is wanted has changed."""
        return self.but(first_tried_at=None, failures=0, failed_at=None, failed_arn="")

    @property
    def made_in(self) -> str:
        """The ARN of the cluster in which this object has, or may have, a profile; "" for none."""
        start, _, path = self.profile_arn.partition(":fargateprofile/")
        return self.cluster_arn or (f"{start}:cluster/{path.split('/')[0]}" if path else "")


BOOKKEEPING = {
    "create_started_at", "create_name", "create_before_arn", "first_tried_at",
    "failures", "failed_at", "failed_arn", "applied_tag_keys",
}  # fmt: skip


# What the object says of itself: all that is not spec. The rules are the API server's (ValidateObjectMeta of
# apimachinery); which fields there are, kubectl's strict validation asks it.

API_VERSION = f"{GROUP}/{VERSION}"
ANNOTATIONS_LIMIT = 256 * 1024  # bytes, of all keys and values
NAME_MEND = "give lowercase letters, digits, - and ., at most 253, first and last a letter or digit"
NAMESPACE_MEND = "give lowercase letters, digits and -, at most 63, first and last a letter or digit"
_WORDS = "letters, digits, - _ and ., at most 63, first and last a letter or digit"
_FILLED_IN = (
    "uid", "resourceVersion", "selfLink", "generateName", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields",
)  # fmt: skip
HEAD_MENDS = {
    "apiVersion": f"give {API_VERSION}",
    "kind": f"give {KIND}",
    "metadata": "give a mapping with at least name",
    "name": NAME_MEND,
    "namespace": NAMESPACE_MEND,
    "labels": f"give keys and values of {_WORDS}; a key may have a domain and / before it; put numbers in quotes",
    "annotations": f"give keys of {_WORDS}, a domain and / before them or not, and strings as values; at most 256 KiB",
    "finalizers": f"give a list of {_WORDS}, a domain and / before them or not",
    "ownerReferences": "give each owner as apiVersion, kind, name and uid; one may have controller: true",
    **dict.fromkeys(_FILLED_IN, "remove it: the API server fills it in"),
}


def _small(pairs: dict[str, str]) -> dict[str, str]:
    size = sum(len(text.encode(errors="replace")) for pair in pairs.items() for text in pair)
    if size > ANNOTATIONS_LIMIT:
        raise ValueError(f"{size} bytes long")
    return pairs


def _not_both(finalizers: list[str]) -> list[str]:
    if {"orphan", "foregroundDeletion"} <= {*finalizers}:
        raise ValueError("both orphan and foregroundDeletion")
    return finalizers


def _one_controller(owners: list[OwnerFields]) -> list[OwnerFields]:
    if sum(each.controller is True for each in owners) > 1:
        raise ValueError("more than one with controller: true")
    if any((each.api_version, each.kind) == ("v1", "Event") for each in owners):
        raise ValueError("an Event among others")
    return owners


_Some = Annotated[str, Field(min_length=1)]
_Whole = Annotated[float, Field(multiple_of=1)]
_Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")]
_Key = Annotated[str, Field(pattern=rf"^{LABEL_KEY}\Z")]
_AnyCaseKey = Annotated[str, Field(pattern=rf"^(?i:{LABEL_KEY})\Z")]
_Managed = Literal["manager", "operation", "subresource", "apiVersion", "time", "fieldsType", "fieldsV1"]
_Value = Annotated[str, Field(pattern=rf"^({LABEL})?\Z")]


class OwnerFields(BaseModel):
    model_config = _FIELDS
    api_version: Annotated[str, Field(pattern=r"^([^/]*/)?[^/]+\Z")]
    kind: _Some
    name: _Some
    uid: _Some
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class MetadataFields(BaseModel):
    """The API server takes null for each of them but a name, and leaves it out."""

    model_config = _FIELDS
    name: Annotated[str, Field(pattern=rf"^{OBJECT_NAME}\Z")]
    namespace: Annotated[str, Field(pattern=rf"^({NAMESPACE})?\Z")] | None = None
    labels: dict[_Key, _Value] | None = None
    annotations: Annotated[dict[_AnyCaseKey, str], AfterValidator(_small)] | None = None
    finalizers: Annotated[list[_Key], AfterValidator(_not_both)] | None = None
    owner_references: Annotated[list[OwnerFields], AfterValidator(_one_controller)] | None = None
    generate_name: Annotated[str, Field(pattern=rf"^({SUBDOMAIN}-*)?\Z")] | None = None
    uid: str | None = None
    resource_version: str | None = None
    self_link: str | None = None
    generation: _Whole | None = None
    creation_timestamp: _Time | None = None
    deletion_timestamp: _Time | None = None
    deletion_grace_period_seconds: _Whole | None = None
    managed_fields: list[dict[_Managed, Any]] | None = None


class HeadFields(BaseModel):
    """What surrounds spec, which has its own rules."""

    model_config = _FIELDS
    api_version: Literal["jicomusic.com/v1"]
    kind: Literal["FargateProfile"]
    metadata: MetadataFields
    spec: Any = None
    status: Any = None


# The fields of status in crd.yaml: the API server leaves out what a manifest says there, and asks for these names.
STATUS = {
    "status": {
        "observedGeneration", "conditions", "lastHandledReconcileAt", "clusterName", "clusterArn", "profileName",
        "profileArn", "profileStatus", "createdAt", "health", "bookkeeping",
    },
    "conditions": {"type", "status", "observedGeneration", "lastTransitionTime", "reason", "message"},
    "health": {"code", "message", "resourceIds"},
    "bookkeeping": {*map(to_camel, BOOKKEEPING)},
}  # fmt: skip


def head(obj: Object) -> list[Finding]:
    """Return what the API server would refuse outside of spec."""
    found = []
    try:
        HeadFields.model_validate(obj)
    except ValidationError as error:
        found = [_finding(each, HEAD_MENDS) for each in error.errors()]
    return [*found, *_strangers(obj.get("status"), "status", ("status",))]


def _strangers(value: object, name: str, path: tuple[str | int, ...]) -> Iterator[Finding]:
    """Yield what is no field of status in the value of its field `name`."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _strangers(each, name, (*path, number))
    for key, each in mapping(value).items() if name in STATUS else ():
        if key in STATUS[name]:
            yield from _strangers(each, key, (*path, key))
        else:
            yield Finding((*path, key), "not a field", "remove status: the controller writes it")


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
            if key not in fields:
                return default
            value = fields[key]
            if isinstance(value, str) and re.search(rule, value):
                return value
            return remembered or default

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
        return not OUR_FINALIZERS.isdisjoint(self.finalizers)

    @property
    def others_finalizers(self) -> list[str]:
        return [each for each in self.finalizers if each not in OUR_FINALIZERS]

    def may_name(self, profile: str) -> bool:
        """Say whether a profile of that name could be this object's: base, or base and 8 hex digits."""
        return re.fullmatch(re.escape(self.base) + "(-[0-9a-f]{8})?", profile) is not None


def mapping(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def differs(wanted: ProfileSpec, profile: Profile) -> dict[str, tuple[str, str]]:
    """Return, by the field in spec, (what EKS has, what is wanted) where the two are not the same."""
    subnets = profile.subnets if wanted.subnets is None else wanted.subnets  # else the choice is EKS's
    pairs = {
        "podExecutionRoleArn": (profile.role, wanted.role),
        "selectors": (listed(map(str, profile.selectors)), listed(map(str, wanted.selectors))),
        "subnets": (listed(profile.subnets), listed(subnets)),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def listed(words: Iterable[str]) -> str:
    return "[" + ", ".join(sorted(words)) + "]"


def fingerprint(who: Identity, spec: ProfileSpec) -> str:
    """Return 8 hex digits that tell a replacement from those of other objects and other specs."""
    selectors = [[each.namespace, each.labels] for each in sorted(spec.selectors)]
    subnets = sorted(spec.subnets or ())
    told = [who.namespace, who.name, who.base, spec.role, selectors, subnets]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]


def second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def same_tag(key: str, one: str | None, other: str) -> bool:
    """Say whether two values of a tag mean the same: blanks around a controller's id, which is a setting, do not."""
    if one is None or key != CONTROLLER_KEY:
        return one == other
    return one.strip() == other.strip()


def controlled_by(profile: Profile, controller: str) -> bool:
    """Say whether a profile's tags name that controller."""
    return same_tag(CONTROLLER_KEY, profile.tags.get(CONTROLLER_KEY), controller)


def is_guarded(obj: Object) -> bool:
    """Say whether a finalizer of ours is on the object."""
    return not OUR_FINALIZERS.isdisjoint(obj["metadata"].get("finalizers") or ())


def owner_of(profile: Profile) -> Key | None:
    """Return the key of the object that a profile's tags name, None for none."""
    namespace, _, name = profile.tags.get(OWNER_KEY, "").partition("/")
    return (namespace, name) if namespace and name else None


# What is held against a valid spec where it is to be carried out.


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


class Objection(NamedTuple):
    """Why a profile is not made: a reason for the condition, and what is wrong and mends it."""

    reason: str
    message: str


@dataclass(frozen=True)
class Limits:
    """What objects may ask for, as those who run the controller have set it; the defaults forbid
    nothing.

    `roles` are patterns of execution roles. With `own_namespace_in`, an EKS cluster, an object
    selects pods of its own namespace there and no others.
    """

    roles: Collection[str] = ("*",)
    own_namespace_in: str = ""

    def forbid(self, who: Identity, spec: ProfileSpec) -> Iterator[Objection]:
        """Yield all that is not allowed; judged by the object alone, nothing is looked up."""
        for reason, found in self.judge(who, spec):
            yield Objection(reason, f"{found.where}: {found.what}: {found.mend}.")

    def judge(self, who: Identity, spec: ProfileSpec) -> Iterator[tuple[str, Finding]]:
        """Yield what is not allowed, each with its reason and its place in the object."""
        if not any(fnmatchcase(spec.role, pattern) for pattern in self.roles):
            what = f"{spec.role} is not among the roles that objects may pass"
            mend = "take one that matches the controller's --allowed-roles"
            yield "RoleNotAllowed", Finding(("spec", "podExecutionRoleArn"), what, mend)
        if not self.own_namespace_in:
            return
        if who.cluster != self.own_namespace_in:
            what = f"objects may select pods of cluster {self.own_namespace_in} only (--selector-namespaces=own)"
            mend = "make a new object without the field"
            yield "ClusterNotAllowed", Finding(("spec", "clusterName"), what, mend)
        if foreign := sorted({each.namespace for each in spec.selectors} - {who.namespace}):
            what = f"{', '.join(foreign)} is not the object's own namespace (--selector-namespaces=own)"
            mend = f"select pods of {who.namespace} only, or make the object in the namespace of the pods"
            yield "SelectorNotAllowed", Finding(("spec", "selectors"), what, mend)


LOST_CREATE = timedelta(minutes=2)  # how long an unanswered create may still come true


@dataclass(frozen=True)
class Settings:
    """`cluster` is for objects that name none; `controller_id` "" stands for the uid of namespace
    kube-system.

    `adoption_in`: the namespaces whose objects may take over profiles without an owner, "*" for
    all. `account` is that of `cluster` if it was said, and `aws_profile` what the kubeconfig uses.
    """

    cluster: str
    controller_id: str = ""
    resync_seconds: float = 600.0
    poll_seconds: float = 5.0
    lost_create: timedelta = LOST_CREATE
    adoption_in: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    account: str = ""
    aws_profile: str = ""

    def may_adopt(self, namespace: str) -> bool:
        return not self.adoption_in.isdisjoint({"*", namespace})

    def wrong_account(self, cluster: str, account: str) -> str:
        """Say what is wrong where credentials of an account are not those of the cluster's own, "" for nothing."""
        if cluster != self.cluster or self.account in {"", account}:
            return ""
        there = f"Cluster {cluster} is of account {self.account}"
        uses = f" (the kubeconfig uses AWS_PROFILE={self.aws_profile})" if self.aws_profile else ""
        mend = f"give the controller credentials of {self.account}{uses}, or set --cluster-is-elsewhere"
        return f"{there}, the AWS credentials are of account {account}: {mend} if one of {account} is meant."


# Preflight: what AWS would refuse, or accept and then fail. What may not be read is unknown there,
# and no objection.


def no_such(home: Home) -> str:
    where = f"EKS has no cluster {home.cluster} in {home.region} of account {home.account}"
    mend = "make it, correct the controller's cluster or region, or make a new object"
    return f"{where}: {mend} with another spec.clusterName."


def no_cluster(home: Home, found: bool, _spec: ProfileSpec, facts: Facts) -> Iterator[Objection]:
    if not found or (facts.cluster and not facts.cluster.found):
        yield Objection("ClusterNotFound", no_such(home))
    elif facts.cluster and facts.cluster.status != "ACTIVE":
        text = f"Cluster {home.cluster} is {facts.cluster.status}: it goes on when that is ACTIVE."
        yield Objection("ClusterNotActive", text)


def wrong_subnets(home: Home, _found: bool, _spec: ProfileSpec, facts: Facts) -> Iterator[Objection]:
    vpc = facts.cluster.vpc if facts.cluster else ""
    for name, subnet in facts.subnets.items():
        where = f"spec.subnets: {name}"
        if subnet and not subnet.found:
            text = f"{where} does not exist in {home.region}: correct or remove it."
            yield Objection("SubnetNotFound", text)
        elif subnet:
            yield from wrong_subnet(home, where, subnet, vpc)


def wrong_subnet(home: Home, where: str, subnet: SubnetFact, vpc: str) -> Iterator[Objection]:
    if vpc and subnet.vpc != vpc:
        text = f"{where} is in {subnet.vpc}, the cluster in {vpc}: take a subnet of the cluster's VPC."
        yield Objection("SubnetOfOtherVpc", text)
    if subnet.public:
        mend = "Fargate takes private ones only; take one that routes to a NAT gateway, or nowhere"
        yield Objection("SubnetPublic", f"{where} routes to an internet gateway: {mend}.")
    # An ordinary zone is named as its region and a letter; Local and Wavelength Zones have longer
    # names.
    if subnet.outpost or subnet.zone[:-1] != home.region:
        place = subnet.outpost or f"zone {subnet.zone}"
        mend = "Fargate has no place in Outposts, Local and Wavelength Zones; take another subnet"
        yield Objection("SubnetUnsupportedZone", f"{where} is in {place}: {mend}.")


def wrong_role(home: Home, _found: bool, spec: ProfileSpec, facts: Facts) -> Iterator[Objection]:
    role, where = facts.role, f"spec.podExecutionRoleArn: {spec.role}"
    if not role:
        return
    if not role.found or role.arn != spec.role:
        there = f" (the role of that name is {role.arn})" if role.found else ""
        ours = spec.role.split(":")[4] == home.account
        way = "make the role or" if ours else "EKS takes roles of its own account only;"
        text = f"{where} does not exist in account {home.account}{there}: {way} correct the ARN."
        yield Objection("RoleNotFound", text)
        return
    if trusts_fargate(role.trust) is False:
        mend = f"let its trust policy allow {FARGATE_PRINCIPAL} sts:AssumeRole"
        yield Objection("RoleNotTrusted", f"{where} can't be assumed by Fargate: {mend}.")
    if role.policies is not None and not role.policies:
        yield Objection("RoleWithoutPolicy", f"{where} has no policy at all: attach {FARGATE_POLICY}.")


def trusts_fargate(document: Any) -> bool | None:
    """Say whether a statement of a trust policy lets Fargate's pods assume the role; conditions are not judged.

    None where that can't be said from here: a check is never stricter than AWS itself.
    """
    if not isinstance(document, dict):
        return None
    statements = [each for each in _many(document.get("Statement")) if isinstance(each, dict)]
    allowing = [each for each in statements if each.get("Effect") == "Allow"]
    if any({"NotAction", "NotPrincipal"} & each.keys() for each in allowing):
        return None
    named = [_services(each.get("Principal")) for each in allowing if _assumes(each.get("Action"))]
    if any(FARGATE_PRINCIPAL in services for services in named):
        return True
    return None if any("*" in services for services in named) else False


def _assumes(actions: Any) -> bool:
    """Say whether sts:AssumeRole is among the actions; IAM takes them in any case and with * and ?."""
    return any(fnmatchcase("sts:assumerole", str(each).lower()) for each in _many(actions))


def _services(principal: Any) -> set[str]:
    if principal == "*":
        return {"*"}
    named = principal if isinstance(principal, dict) else {}
    services = {str(each).lower() for each in _many(named.get("Service"))}
    return services | ({"*"} if "*" in _many(named.get("AWS")) else set())


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


OBJECTIONS = (no_cluster, wrong_subnets, wrong_role)
TIME_MAY_MEND = {"ClusterNotFound", "ClusterNotActive"}


def warning(spec: ProfileSpec, facts: Facts | None) -> str:
    """Return what is unusual but may be meant, "" for nothing."""
    policies = facts.role.policies if facts and facts.role else None
    if not policies or FARGATE_POLICY in policies:
        return ""
    mend = "pods start only if its other policies let them pull images"
    return f"{spec.role} does not have {FARGATE_POLICY}: {mend}."
