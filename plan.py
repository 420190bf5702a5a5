"""What one FargateProfile object needs next: `plan` takes the first row of the table `PLAN` that fits.

The picture: `Case` (object, view of the cluster, memory, facts) -> `PLAN` -> exactly one `Action`. The table is the
specification; above it stand the words that its rows are made of: the actions, the case, preflight, the messages.

Pure and total: no clock, no call, no log. What it is not: an effect, a status, anything that is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple

from aws import (
    FARGATE_POLICY,
    FARGATE_PRINCIPAL,
    Facts,
    Profile,
    ProfileSpec,
    View,
)
from kube import Key
from spec import CONTROLLER_KEY, OWNER_KEY, Identity, InvalidSpec, Memory, Resource, UpdatePolicy, second

LOST_CREATE = timedelta(minutes=2)  # how long an unanswered create may still come true
STALLED_SECONDS = (15.0, 600.0)  # the world outside may have been mended: looked at again, less and less often
POLL_MOST_SECONDS = 15.0
LONG_CREATING, LONG_DELETING = timedelta(minutes=15), timedelta(minutes=45)  # containers-roadmap#1211


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
