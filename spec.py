"""What a FargateProfile object says.

The picture: raw object -> `Resource` (the profile that is wanted, or `InvalidSpec` with every
finding), `Identity` (who it is and what becomes of its profile, read from any object) and `Memory`
(what earlier passes wrote into status). At the end of the file, what tells whose a profile is.

Pure: no clock, no call, no log. What it is not: a decision.
"""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from aws import Profile, ProfileSpec, Term, selector
from kube import Key, Object
from patterns import bracketed, listed, steady

FINALIZER = "fargateprofiles.jicomusic.com/finalizer"
KOPF_FINALIZERS = frozenset({"KopfFinalizerMarker", "kopf.zalando.org/KopfFinalizerMarker"})
OUR_FINALIZERS = KOPF_FINALIZERS | {FINALIZER}
REQUESTED_AT = "fargateprofiles.jicomusic.com/reconcile-requested-at"  # an annotation, by Flux's convention
POD_CONDITIONS = {"PodsStranded", "PodsBlocked", "PodsFinished"}
INFORMATIVE = {"DefaultsChanged", "Overlapping", "ProfileUnhealthy", "RoleUnknownToCluster"} | POD_CONDITIONS
OURS = {"Ready", "Reconciling", "Stalled"} | INFORMATIVE  # among the conditions of status
OWNER_KEY, CONTROLLER_KEY = "fargateprofiles.jicomusic.com/owner", "fargateprofiles.jicomusic.com/controller"
RETAINED_KEY = "fargateprofiles.jicomusic.com/retained-from"  # of a profile that is kept: whose it was
RESERVED_KEYS = frozenset({OWNER_KEY, CONTROLLER_KEY, RETAINED_KEY})
TAGS_LIMIT = 50  # of a profile; AWS's own, which start with aws:, do not count
MOST_TAGS = 48  # of an object: two more are the controller's own

# What the object says. The rules are EKS's (name, namespace, labels, role, tags) and hold in every
# account; quotas are not among them, because they can be raised. But each list has a bound
# beyond any quota: without one a single object could fill the memory of the operator.

NAME = r"^(?!eks-)[A-Za-z0-9][A-Za-z0-9_-]{0,90}\Z"
CLUSTER = r"^[0-9A-Za-z][0-9A-Za-z_-]{0,99}\Z"
OF_A_ROLE, ROLE_NAME = r"arn:aws(-[a-z0-9]+)*:iam::[0-9]{12}:role/", r"[A-Za-z0-9_+=,.@-]{1,64}"
_WORD = r"[A-Za-z0-9*?]([A-Za-z0-9_.*?-]{0,61}[A-Za-z0-9*?])?"
Name = Annotated[str, Field(pattern=NAME)]
ClusterName = Annotated[str, Field(pattern=CLUSTER)]
RoleArn = Annotated[str, Field(pattern=rf"^{OF_A_ROLE}{ROLE_NAME}\Z")]
RoleName = Annotated[str, Field(pattern=rf"^{ROLE_NAME}\Z")]
SubnetId = Annotated[str, Field(pattern=r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})\Z")]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9*?]([a-z0-9*?-]{0,61}[a-z0-9*?])?\Z")]
_DNS = r"[a-z0-9*?]([a-z0-9*?-]*[a-z0-9*?])?"
LabelKey = Annotated[str, Field(pattern=rf"^((?=[^/]{{1,253}}/){_DNS}(\.{_DNS})*/)?{_WORD}\Z")]
LabelValue = Annotated[str, Field(pattern=rf"^({_WORD})?\Z")]
TagKey = Annotated[str, Field(pattern=rf"(?s)^(?!(?i:aws:))(?!({'|'.join(sorted(RESERVED_KEYS))})\Z).{{1,128}}\Z")]
TagValue = Annotated[str, Field(pattern=r"(?s)^(?!(?i:aws:)).{0,256}\Z")]
# Of subnets, not of profiles: AWS's own tags, which start with aws:, may choose them too.
TERM_TAGS, TERM_KEY, TERM_VALUE = 20, 128, 256  # tags of a term, characters of each
TermKey = Annotated[str, Field(pattern=rf"(?s)^.{{1,{TERM_KEY}}}\Z")]
TermValue = Annotated[str, Field(pattern=rf"(?s)^.{{1,{TERM_VALUE}}}\Z")]
UpdatePolicy = Literal["Refuse", "Replace", "Recreate"]

LONGEST_WHY = 400  # characters of what EKS says of a failure, as status remembers it
LONGEST_NAME = 192  # with a namespace of 63 and a slash it fills the value of the owner tag, 256
NAME_RULE = "letters, digits, - and _, at most 91, first a letter or digit, not starting with eks-"
MENDS = {
    "spec": "give a mapping with at least selectors, and podExecutionRoleArn where the operator has no default",
    "podExecutionRoleArn": "give the ARN of an IAM role without a path, arn:aws:iam::<account>:role/<name>",
    "podExecutionRoleName": "give the name of a role in the cluster's account: 1 to 64 letters, digits and _+=,.@-",
    "selectors": "give a list of 1 to 100 selectors, each with a namespace",
    "namespace": "give a namespace: lowercase letters, digits and -, at most 63; * and ? are wildcards",
    "labels": "give at most 100 pairs of strings (quote numbers) that are labels of a pod; * and ? are wildcards",
    "subnets": "give at most 1000 subnet ids, each subnet- and 8 or 17 hex digits; without the field EKS chooses",
    "subnetSelectorTerms": "give 1 to 30 terms, each with either id (subnet- and 8 or 17 hex digits) or tags: 1 to 20 "
    "pairs of strings (quote numbers), keys of 1 to 128, values of 1 to 256 characters; the value * is any",
    "tags": "give at most 48 pairs of strings (quote numbers): keys of 1 to 128, values of at most 256 characters, "
    "none starting with aws:, no key of the operator",
    "clusterName": "give the name of an EKS cluster, or leave the field out",
    "profileName": f"give {NAME_RULE}",
    "name": f"EKS takes no profile of that name; set spec.profileName ({NAME_RULE})",
    "deletionPolicy": "give Delete or Retain",
    "updatePolicy": "give Refuse, Replace or Recreate",
    "adoptionPolicy": "give Never or Adopt",
    "strandedPods": "give Report or Evict",
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


# Whose parts are no fields of ours (keys that users choose, the fields of owners), or have no mend of their own.
WHOLE = {"labels", "annotations", "tags", "ownerReferences", "subnetSelectorTerms"}


def finding_of(error: Mapping[str, Any], mends: Mapping[str, str], *before: str | int, named: bool = False) -> Finding:
    """Return what an error of the models below says; `named`: metadata.name is the profile's name too."""
    path = tuple(part for part in (*before, *error["loc"]) if part != "[key]")
    if named and path == ("spec", "profileName"):
        path = ("metadata", "name")
    if error["type"] == "extra_forbidden":
        return Finding(path, "not a field", "remove it or correct its name")
    match error["type"]:
        case "missing":
            what = "missing"
        case "too_long":
            what = f"{len(error['input']):,} entries long"
        case "value_error":
            what = str(error["ctx"]["error"])
        case _:
            what = json.dumps(error["input"], default=str)
    mend = ""
    for part in path:
        mend = mends.get(str(part), mend)
        if part in WHOLE:
            break
    return Finding(path, what[:80], mend, error["type"] == "string_type")


def both_given(before: tuple[str | int, ...], one: str, other: str) -> Finding:
    """Return the finding of two fields of which only one may be given."""
    return Finding((*before, other), f"given beside {one}", "remove one of the two")


class InvalidSpec(Exception):
    """The spec breaks rules that hold in every account; the text names each field, what is wrong, what mends it."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__(listed([*map(str, findings)], "; ") + ".")
        self.findings = findings


FIELDS = ConfigDict(strict=True, extra="forbid", regex_engine="python-re", alias_generator=to_camel)
SELDOM = ConfigDict(**FIELDS, defer_build=True)  # of what one thread looks at, of files: not made before the first


class SelectorFields(BaseModel):
    model_config = FIELDS
    namespace: Namespace
    labels: dict[LabelKey, LabelValue] = Field(default={}, max_length=100)


class TermFields(BaseModel):
    model_config = FIELDS
    id: SubnetId = ""
    tags: dict[TermKey, TermValue] = Field(default={}, min_length=1, max_length=TERM_TAGS)

    @model_validator(mode="after")
    def _one_of_two(self) -> TermFields:
        if bool(self.id) == bool(self.tags):
            raise ValueError("given both id and tags" if self.id else "given neither id nor tags")
        return self

    @property
    def term(self) -> Term:
        return Term(self.id, tuple(sorted(self.tags.items())))


class DefaultFields(BaseModel):
    """What a cluster can have a default for, where an object says nothing of it."""

    model_config = FIELDS
    pod_execution_role_arn: RoleArn = ""
    pod_execution_role_name: RoleName = ""
    subnet_selector_terms: list[TermFields] = Field(default=[], min_length=1, max_length=30)
    tags: dict[TagKey, TagValue] = Field(default={}, max_length=MOST_TAGS)

    @property
    def terms(self) -> tuple[Term, ...]:
        return tuple(sorted({each.term for each in self.subnet_selector_terms}))

    def both(self) -> Iterator[tuple[str, str]]:
        """Yield the pairs of fields of which only one may be given, where both are."""
        if self.pod_execution_role_arn and self.pod_execution_role_name:
            yield "podExecutionRoleArn", "podExecutionRoleName"


class SpecFields(DefaultFields):
    selectors: list[SelectorFields] = Field(min_length=1, max_length=100)
    subnets: list[SubnetId] = Field(default=[], max_length=1000)
    cluster_name: ClusterName = ""
    profile_name: Name
    deletion_policy: Literal["Delete", "Retain"] = "Delete"
    update_policy: UpdatePolicy = "Refuse"
    adoption_policy: Literal["Never", "Adopt"] = "Never"
    stranded_pods: Literal["Report", "Evict"] = "Report"
    suspend: bool = False

    def both(self) -> Iterator[tuple[str, str]]:
        yield from super().both()
        if self.subnets and self.subnet_selector_terms:
            yield "subnets", "subnetSelectorTerms"


@dataclass(frozen=True)
class Defaults:
    """What those objects of a cluster get that say nothing of it.

    `role` is an ARN, or the name of a role in the account of the cluster; "" for none.
    """

    role: str = ""
    terms: tuple[Term, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def subnets(self) -> str:
        """Return a digest of the terms, by which status remembers them; "" for none."""
        return hashlib.sha256(json.dumps(self.terms).encode()).hexdigest()[:8] if self.terms else ""


@dataclass(frozen=True)
class Resource:
    """A valid spec: the profile that is wanted, the user's tags on it, and how far the controller may go for it.

    The role of `profile` is "" where the object gives none, or `role_name` alone: what comes of that is in wanted.
    """

    profile: ProfileSpec
    tags: Mapping[str, str]
    update_policy: UpdatePolicy = "Refuse"
    adopt: bool = False
    evict: bool = False
    role_name: str = ""

    @classmethod
    def parse(cls, obj: Object) -> Resource:
        """Read the spec; raise `InvalidSpec` with every finding, nothing dropped, nothing guessed."""
        spec, name = obj.get("spec"), obj["metadata"]["name"]
        named = isinstance(spec, dict) and "profileName" not in spec
        found: list[Finding] = []
        try:
            fields = SpecFields.model_validate({"profileName": name} | spec if isinstance(spec, dict) else spec)
        except ValidationError as error:
            found = [finding_of(each, MENDS, "spec", named=named) for each in error.errors()]
        else:
            found = [both_given(("spec",), one, other) for one, other in fields.both()]
        if found:  # not raised from that error, which holds the whole spec for as long as this one lives
            raise InvalidSpec(*found)
        if len(name) > LONGEST_NAME:
            what, mend = f"longer than {LONGEST_NAME}", "make a new object with a shorter one"
            raise InvalidSpec(Finding(("metadata", "name"), what, mend))
        selectors = frozenset(selector(each.namespace, each.labels) for each in fields.selectors)
        subnets = frozenset(fields.subnets) or None
        profile = ProfileSpec(fields.pod_execution_role_arn, selectors, subnets, fields.terms)
        allowed = fields.adoption_policy == "Adopt", fields.stranded_pods == "Evict"
        return cls(profile, fields.tags, fields.update_policy, *allowed, fields.pod_execution_role_name)


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
    failed_why: str = ""
    applied_tag_keys: tuple[str, ...] = ()
    default_tag_keys: tuple[str, ...] = ()  # those of them that the object has not asked for itself
    default_role: str = ""  # the defaults that the profile was made by, or that an edit has taken up since
    default_subnets: str = ""
    decided_generation: int | None = None  # for which that was decided last, where it is not the observed one
    evictions: tuple[Any, ...] = ()  # as evictions.py reads and writes them

    @classmethod
    def parse(cls, obj: Object) -> Memory:
        """Read status; what is not as we write it counts as lost. Tries and failures are those of this generation."""
        status = mapping(obj.get("status"))
        try:
            memory = cls.model_validate(status | mapping(status.get("bookkeeping")))
        except ValidationError:
            return cls()
        return memory if memory.observed_generation == obj["metadata"].get("generation") else memory.settled()

    @property
    def decided(self) -> int:
        """The generation for which a pass has decided on the defaults, below 0 for none that is remembered."""
        return self.observed_generation if self.decided_generation is None else self.decided_generation

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

    def as_before_the_create(self, before: Memory, stood_on: Memory) -> Memory:
        """Forget the create that was refused, the keys of its tags, and the defaults that it would have stood on."""
        memory = self.with_mark(before.create_started_at, before.create_name, before.create_before_arn)
        memory = memory.but(default_role=stood_on.default_role, default_subnets=stood_on.default_subnets)
        return memory.but(applied_tag_keys=before.applied_tag_keys, default_tag_keys=before.default_tag_keys)

    def with_tag_keys(self, keys: Collection[str]) -> Memory:
        """Remember the keys of tags that are about to be set, beside those of before."""
        return self.but(applied_tag_keys=tuple(sorted({*self.applied_tag_keys, *keys})))

    def counting(self, failed: Profile, now: datetime) -> Memory:
        """Count the failure of a profile, once a profile; why it failed is told until one has not."""
        why = textwrap.shorten(" ".join(told_issues(failed)), LONGEST_WHY, placeholder=" ...")
        if failed.arn == self.failed_arn and self.failed_at:
            return self.but(failed_why=self.failed_why or why)
        return self.but(failures=self.failures + 1, failed_at=now, failed_arn=failed.arn, failed_why=why)

    def settled(self) -> Memory:
        """Forget the failures: the profile serves as wanted, or what is wanted has changed."""
        return self.but(first_tried_at=None, failures=0, failed_at=None, failed_arn="", failed_why="")

    @property
    def failed_before(self) -> str:
        """Why the profiles before this one failed, as a sentence that follows others; "" if none did."""
        times = "once" if self.failures == 1 else f"{self.failures} times"
        return f" It has failed {times}{f': {self.failed_why}' if self.failed_why else '.'}" if self.failures else ""

    @property
    def made_in(self) -> str:
        """The ARN of the cluster in which this object has, or may have, a profile; "" for none."""
        start, _, path = self.profile_arn.partition(":fargateprofile/")
        return self.cluster_arn or (f"{start}:cluster/{path.split('/')[0]}" if path else "")


BOOKKEEPING = {
    "create_started_at", "create_name", "create_before_arn", "first_tried_at",
    "failures", "failed_at", "failed_arn", "failed_why", "applied_tag_keys", "default_tag_keys",
    "default_role", "default_subnets", "evictions", "decided_generation",
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
    unread_in: str = ""  # the ARN of the cluster that status remembers, where clusterName can't be read

    @classmethod
    def parse(cls, obj: Object, memory: Memory, default_cluster: str) -> Identity:
        """Read each field on its own, so that one that is unreadable spoils no other.

        In its place stands what status remembers, else the default; of deletionPolicy, Retain.
        """
        meta, spec = obj["metadata"], obj.get("spec", {})
        fields = spec if isinstance(spec, dict) else {"deletionPolicy": spec}

        def read(key: str, rule: str, remembered: str, default: str) -> str:
            if key not in fields:
                return default
            return str(fields[key]) if is_readable(fields[key], rule) else remembered or default

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
            unread_in="" if is_readable(fields.get("clusterName", "x"), CLUSTER) else memory.made_in,
        )

    def asks(self, memory: Memory) -> bool:
        """Say whether the object asks for a look that it has not had yet."""
        return self.requested_at not in {"", memory.last_handled_reconcile_at}

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
        return is_guarded(self.finalizers)

    @property
    def others_finalizers(self) -> list[str]:
        return [each for each in self.finalizers if each not in OUR_FINALIZERS]

    def may_name(self, profile: str) -> bool:
        """Say whether a profile of that name could be this object's: base, or base and 8 hex digits."""
        return profile.startswith(self.base) and bool(re.fullmatch("(-[0-9a-f]{8})?", profile[len(self.base) :]))


def is_readable(value: object, rule: str) -> bool:
    return isinstance(value, str) and bool(re.search(rule, value))


def mapping(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def differs(wanted: ProfileSpec, profile: Profile) -> dict[str, tuple[str, str]]:
    """Return, by the field in spec, (what EKS has, what is wanted) where the two are not the same."""
    found = {}
    if profile.role != wanted.role and "podExecutionRoleArn" not in wanted.open:
        found["podExecutionRoleArn"] = profile.role, wanted.role
    if profile.selectors != wanted.selectors:
        found["selectors"] = bracketed(map(str, profile.selectors)), bracketed(map(str, wanted.selectors))
    if wanted.terms:
        if "subnetSelectorTerms" not in wanted.open and strays(wanted, profile):
            found["subnetSelectorTerms"] = bracketed(profile.subnets), f"some of {bracketed(wanted.among or ())}"
    elif wanted.subnets is not None and profile.subnets != wanted.subnets:  # else the choice is EKS's
        found["subnets"] = bracketed(profile.subnets), bracketed(wanted.subnets)
    return found


def strays(wanted: ProfileSpec, profile: Profile) -> bool:
    """Say whether a profile has subnets that its terms do not match; where nothing is known to match, it has none."""
    return bool(wanted.among) and not (profile.subnets and profile.subnets <= (wanted.among or frozenset()))


REPLACEMENT_NAMES = 16  # of a replacement; who takes them all has used up the quota of a cluster


def replacement_names(who: Identity, spec: ProfileSpec) -> Iterator[str]:
    """Yield the names that a replacement may have, in order: the first can be foretold, and so be taken."""
    for number in range(REPLACEMENT_NAMES):
        yield f"{who.base}-{fingerprint(who, spec, number)}"


def fingerprint(who: Identity, spec: ProfileSpec, number: int) -> str:
    """Return 8 hex digits that tell a replacement from those of other objects, other specs, and other numbers."""
    selectors = [[each.namespace, each.labels] for each in sorted(spec.selectors)]
    # The terms and not what they match now: the first name of a replacement is to be foretold from the object.
    subnets = spec.terms or sorted(spec.subnets or ())
    told = [who.namespace, who.name, who.base, spec.role, selectors, subnets, *([number] if number else [])]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]


def told_issues(profile: Profile) -> list[str]:
    """Return what EKS itself finds wrong with a profile, a sentence each."""
    return [f"{each.code}: {steady(each.message)}" for each in profile.health]


def same_tag(key: str, one: str | None, other: str) -> bool:
    """Say whether two values of a tag mean the same: blanks around a controller's id, which is a setting, do not."""
    if one is None or key != CONTROLLER_KEY:
        return one == other
    return one.strip() == other.strip()


def controlled_by(profile: Profile, controller: str) -> bool:
    """Say whether a profile's tags name that controller."""
    return same_tag(CONTROLLER_KEY, profile.tags.get(CONTROLLER_KEY), controller)


def tagged(profile: Profile) -> bool:
    """Say whether the profile carries a tag of an owner, whoever that is."""
    return not profile.tags.keys().isdisjoint({OWNER_KEY, CONTROLLER_KEY})


def is_retained(profile: Profile) -> bool:
    """Say whether the profile was kept when its object went, and nobody has taken it over since."""
    return RETAINED_KEY in profile.tags and not tagged(profile)


def has_room(profile: Profile, more: int = 1) -> bool:
    """Say whether the profile can take so many tags more."""
    return sum(not key.lower().startswith("aws:") for key in profile.tags) + more <= TAGS_LIMIT


def same_cluster(profile: Profile) -> str:
    there = profile.tags[CONTROLLER_KEY]
    return f"if this is the Kubernetes cluster that made it, start the operator with --controller-id={there}"


def is_guarded(finalizers: Iterable[str]) -> bool:
    """Say whether one of these is ours."""
    return not OUR_FINALIZERS.isdisjoint(finalizers)


def owner_of(profile: Profile) -> Key | None:
    """Return the key of the object that a profile's tags name, None for none."""
    namespace, _, name = profile.tags.get(OWNER_KEY, "").partition("/")
    return (namespace, name) if namespace and name else None
