"""Which profiles can select the same pod: EKS then takes the first by name and says nothing. And what a manifest says
and what is wrong with it: in its spec, around it (`head`), and what one before it asks for already. And a profile as
the manifest that wants it.

The picture: a file's text -> `manifests` (objects, read by the module of that name) -> `Told`, with lines.

Pure. What it is not: a refusal, for EKS takes profiles that overlap; it is only said to the user.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic.alias_generators import to_camel

from aws import Profile, Selector
from case import Case
from clusters import Shares, View
from kube import GROUP, KIND, LABEL, LABEL_KEY, NAME, NAMESPACE, SUBDOMAIN, VERSION, Key, Object
from manifests import YAML_KINDS, Document, Told, documents, located
from patterns import listed, meet, meet_at_a_glance, visible
from plan import may_tell, whose
from spec import (
    BOOKKEEPING,
    RESERVED_KEYS,
    SELDOM,
    Finding,
    Identity,
    InvalidSpec,
    Resource,
    finding_of,
    mapping,
    owner_of,
    tagged,
)

MOST_SHARES = 100_000  # pairs that are remembered, some 10 MB: those of 447 profiles; EKS's quota is 10 at first


def overlaps(c: Case, known: Shares | None = None) -> tuple[Profile, ...]:
    """Return the profiles of others that can select a pod which the object's own one selects, by name.

    `known` is what was found out of pairs before; what is found out now is added to it.
    """
    if c.who.deleting or not c.serving:
        return ()
    own, known = c.serving.selectors, {} if known is None else known
    found = [each for each in c.view.profiles.values() if _known_to_share(own, each.selectors, known)]
    others = (each for each in found if each not in c.owned and each.status != "DELETING")
    return tuple(sorted(others, key=lambda each: each.name))


def _known_to_share(one: frozenset[Selector], other: frozenset[Selector], known: Shares) -> bool:
    pair = (one, other) if hash(one) <= hash(other) else (other, one)
    shares = known.get(pair)
    if shares is None:
        shares = share_pods(one, other)
        if len(known) < MOST_SHARES:
            known[pair] = shares
    return shares


def share_pods(one: Collection[Selector], other: Collection[Selector]) -> bool:
    """Say whether one pod can match a selector of each."""
    return any(can_share_a_pod(a, b) for a in one for b in other)


def can_share_a_pod(one: Selector, other: Selector) -> bool:
    """Say whether one pod can match both selectors.

    Only keys without a wildcard speak against it: one with a wildcard can always be met by a label
    of its own.
    """
    if meet_at_a_glance(one.namespace, other.namespace) is False:
        return False
    values = dict(other.labels)
    shared = [(value, values[key]) for key, value in one.labels if key in values and not re.search("[*?]", key)]
    pairs = [(one.namespace, other.namespace), *shared]
    # First what costs nothing: one of them is enough.
    return all(meet_at_a_glance(*pair) is not False for pair in pairs) and all(meet(*pair) for pair in pairs)


def overlap_message(c: Case, others: Sequence[Profile]) -> str:
    """Say which profiles overlap and which one EKS takes; "" for none."""
    if not (others and c.serving):
        return ""
    told = [f"{each.name} ({whose(c, each)})" for each in others if may_tell(c, each)]
    if untold := len(others) - len(told):
        told.append("one of others" if untold == 1 else f"{untold} of others")
    first = min(c.serving, *others, key=lambda each: each.name)
    taken = first.name if first is c.serving or may_tell(c, first) else "one of others"
    mend = "a pod's label eks.amazonaws.com/fargate-profile chooses another; narrow the selectors to end it"
    both = f"The same pods can match profile {c.serving.name} and {listed(told)}"
    return visible(f"{both}: EKS takes the first by name, {taken}; {mend}.")


@dataclass(frozen=True)
class Claim:
    """What an object of a manifest asks for; `place` is where it stands, `selectors` are empty if they are wrong."""

    who: Identity
    selectors: frozenset[Selector]
    place: str

    def __str__(self) -> str:
        return f"{self.who.owner} ({self.place})"


def clashes(claims: Sequence[Claim], overlapping: bool) -> Iterator[tuple[int, Finding]]:
    """Yield the number of a claim and what one before it asks for already; `overlapping`: also of the same pods."""
    for number, claim in enumerate(claims):
        before = [each for each in claims[:number] if each.who.cluster == claim.who.cluster or same(each, claim)]
        if twice := next((each for each in before if same(each, claim)), None):
            what = f"{claim.who.owner} stands in {twice.place} already"
            yield number, Finding(("metadata", "name"), what, "keep one (of two that are applied the last counts)")
            continue
        for each in before:
            if each.who.base == claim.who.base:
                path = ("metadata", "name") if claim.who.base == claim.who.name else ("spec", "profileName")
                what = f"{claim.who.base} is the name of the profile of {each} too"
                mend = "give one of them another profileName: a cluster has one profile of a name"
                yield number, Finding(path, what, mend)
            elif overlapping and share_pods(claim.selectors, each.selectors):
                first = min(claim.who.base, each.who.base)
                what = f"the same pods can match {each}, and EKS takes the first profile by name, {first}"
                yield number, Finding(("spec", "selectors"), what, "narrow the selectors, or give --allow-overlaps")


def same(one: Claim, other: Claim) -> bool:
    return one.who.owner == other.who.owner


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
    model_config = SELDOM
    api_version: Annotated[str, Field(pattern=r"^([^/]*/)?[^/]+\Z")]
    kind: _Some
    name: _Some
    uid: _Some
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class MetadataFields(BaseModel):
    """The API server takes null for each of them but a name, and leaves it out."""

    model_config = SELDOM
    name: Annotated[str, Field(pattern=rf"^{NAME}\Z")]
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

    model_config = SELDOM
    api_version: Literal["jicomusic.com/v1"]
    kind: Literal["FargateProfile"]
    metadata: MetadataFields
    spec: Any = None
    status: Any = None


# The fields of status in crd.yaml: the API server leaves out what a manifest says there, and asks for these names.
STATUS = {
    "status": {
        "observedGeneration", "conditions", "lastHandledReconcileAt", "clusterName", "clusterArn", "profileName",
        "profileArn", "profileStatus", "createdAt", "subnets", "health", "pods", "bookkeeping",
    },
    "pods": {
        "running", "starting", "waiting", "finished", "stranded", "vcpu", "memoryGiB", "sizeUnknown", "summary",
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
        found = [finding_of(each, HEAD_MENDS) for each in error.errors()]
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
            yield Finding((*path, key), "not a field", "remove status: the operator writes it")


# What a manifest says, and where


class Manifest(Document):
    """An object of a file."""

    def judged(self, namespace: str = "default", more: Sequence[Finding] = ()) -> list[Told]:
        """Return all findings, and those that are more, in the order of the file."""
        known = isinstance(self.obj, dict) and self.obj.keys() & {"apiVersion", "kind"}
        found = [*self.findings, *head(self.obj), *in_spec(self.obj), *more] if known else [NO_OBJECT]
        name = "/".join(self.key(namespace)) if known else ""
        return sorted(self.told(each, name) for each in dict.fromkeys(found))

    def items(self) -> Iterator[Manifest]:
        """Yield this object, or if it is a list the objects in it."""
        kind, items = (self.obj.get(key) if isinstance(self.obj, dict) else None for key in ("kind", "items"))
        nodes = located(self.node, ("items",))[1] if isinstance(kind, str) and kind.endswith("List") else None
        if not (nodes and isinstance(items, list)):
            yield self
            return
        for node in nodes.value:
            yield from Manifest(self.file, node).items()

    def key(self, namespace: str) -> Key:
        """Return the object's key, in that namespace if it names none."""
        meta = self.obj.get("metadata") if isinstance(self.obj, dict) else None
        names = meta if isinstance(meta, dict) else {}
        return str(names.get("namespace") or namespace), str(names.get("name") or "?")

    @property
    def passed_over(self) -> str:
        """What other kind this is, "" if it is ours, or nobody's."""
        head = self.obj if isinstance(self.obj, dict) else {}
        version, kind = str(head.get("apiVersion", "")), str(head.get("kind", ""))
        ours = version.startswith(f"{GROUP}/") or (kind == KIND and "/" not in version)
        return "" if ours or not (version and kind) else f"{kind} of {version}"


NO_OBJECT = Finding((), "not an object", f"give a mapping with apiVersion: {API_VERSION} and kind: {KIND}")


def manifests(file: str, text: str) -> tuple[list[Manifest], list[Told]]:
    """Return the objects of a file, those of lists one by one, and what keeps the rest from being read."""
    return documents(file, text, lambda node: Manifest(file, node).items())


def can_be_a_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(NAME, value) is not None


def in_spec(obj: Object) -> Iterator[Finding]:
    """Yield what the API server, or the controller after it, would refuse in spec."""
    meta = obj.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    try:
        # A name that is none has had its finding.
        Resource.parse({**obj, "metadata": {"name": name if can_be_a_name(name) else "x"}})
    except InvalidSpec as error:
        yield from error.findings
    fields = obj.get("spec")
    subnets = fields.get("subnets") if isinstance(fields, dict) else None
    listed = subnets if isinstance(subnets, list) else []
    for number, subnet in enumerate(listed):
        if subnet in listed[:number]:
            yield Finding(("spec", "subnets", number), f"{subnet} once more", "remove it")


# A profile, as the manifest that wants it


class _Dumper(yaml.SafeDumper):
    """Quotes what kubectl, or another reader of YAML, would not take for a string."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    plain = text.isprintable() and not any(re.fullmatch(pattern, text) for pattern in YAML_KINDS.values())
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


RESERVED = re.compile(rf"(?i:aws:)|({'|'.join(RESERVED_KEYS)})\Z")


def free_name(profile: str, namespace: str, view: View) -> Key:
    """Return a name that Kubernetes can hold: what it can of the profile's own, with digits where that is taken."""
    name, taken = slug(profile), {owner_of(each) for each in view.profiles.values()}
    alone = name == profile or [*map(slug, view.profiles)].count(name) == 1
    if not alone or (namespace, name) in taken:
        name = f"{name}-{hashlib.sha256(profile.encode()).hexdigest()[:8]}".lstrip("-")
    return namespace, name


def slug(profile: str) -> str:
    return re.sub("[^a-z0-9]+", "-", profile.lower()).strip("-")


def manifest(cluster: str, profile: Profile, key: Key) -> Object:
    """Return the object that wants this very profile and, where the operator allows it, adopts it."""
    namespace, name = key
    replacement = "(-[0-9a-f]{8})?" if owner_of(profile) else ""
    spec = {
        "clusterName": cluster,
        "profileName": "" if re.fullmatch(re.escape(name) + replacement, profile.name) else profile.name,
        "podExecutionRoleArn": profile.role,
        "selectors": [
            {"namespace": each.namespace} | ({"labels": dict(each.labels)} if each.labels else {})
            for each in sorted(profile.selectors)
        ],
        "subnets": sorted(profile.subnets),
        "tags": {key: profile.tags[key] for key in sorted(profile.tags) if not RESERVED.match(key)},
        "adoptionPolicy": "Adopt",
        "deletionPolicy": "Retain",
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {field: value for field, value in spec.items() if value},
    }


def unfit(profile: Profile, obj: Object) -> str:
    """Say why an object can't stand for the profile, "" if it can."""
    if not profile.active:
        return f"it is {profile.status}; export it once it is ACTIVE"
    if tagged(profile) and not owner_of(profile):
        return "its tags name no owner, and yet they are the operator's"
    return "; ".join(map(str, [*head(obj), *in_spec(obj)]))


def written(obj: Object) -> str:
    return yaml.dump(obj, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000).rstrip()
