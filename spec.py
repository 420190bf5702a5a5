"""What a FargateProfile object says: its spec by EKS's rules, who it is, and what its status remembers.

The picture: raw object -> `Resource` (the profile that is wanted, or `InvalidSpec` with every finding), `Identity` (who
it is and what becomes of its profile, read from any object) and `Memory` (what earlier passes wrote into status).

Pure: no clock, no call, no log. What it is not: a decision, a rule that hangs on an account or a cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from aws import (
    Profile,
    ProfileSpec,
    selector,
)
from kube import Key, Object

FINALIZER = "fargateprofiles.jicomusic.com/finalizer"
KOPF_FINALIZERS = frozenset({"KopfFinalizerMarker", "kopf.zalando.org/KopfFinalizerMarker"})
REQUESTED_AT = "fargateprofiles.jicomusic.com/reconcile-requested-at"  # an annotation, by Flux's convention
OWNER_KEY, CONTROLLER_KEY = "fargateprofiles.jicomusic.com/owner", "fargateprofiles.jicomusic.com/controller"

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


def _mapping(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def owner_of(profile: Profile) -> Key | None:
    """Return the key of the object that a profile's tags name, None for none."""
    namespace, _, name = profile.tags.get(OWNER_KEY, "").partition("/")
    return (namespace, name) if namespace and name else None
