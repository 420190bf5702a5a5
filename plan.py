"""What one FargateProfile object needs next: `plan` takes the first row of the table `PLAN` that
fits.

The picture: `Case` (object, view of the cluster, memory, facts) -> `PLAN` -> exactly one `Action`.
The table is the specification. It stands at the end; before it the words that its rows are made of:
the case, and what is said. What an action is stands in spec.

Pure and total: no clock, no call, no log. What it is not: an effect, or a status as users see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from actions import (
    Action,
    AddFinalizer,
    CreateProfile,
    DeleteProfile,
    NeedFacts,
    Objection,
    Phase,
    RemoveFinalizer,
    Report,
    TagProfile,
    UntagProfile,
    deletion_suspended,
    give_up,
    kept,
    kept_blindly,
    lost_answer,
    not_taken_over,
    refuse,
    resting,
    retain_not_allowed,
    stay_barred,
    wait_to_see,
)
from answers import AwsError
from aws import Profile, ProfileSpec
from clusters import POLL_MOST_SECONDS, TIME_MAY_MEND, View, backoff
from entries import Barred
from kube import Object
from limits import Settings
from patterns import LONGEST_LIST, brief, listed, without_profiles
from spec import (
    CONTROLLER_KEY,
    OWNER_KEY,
    REPLACEMENT_NAMES,
    RESERVED_KEYS,
    RETAINED_KEY,
    Identity,
    InvalidSpec,
    Memory,
    Resource,
    UpdatePolicy,
    controlled_by,
    differs,
    has_room,
    owner_of,
    replacement_names,
    same_cluster,
    same_tag,
    tagged,
)
from surroundings import OBJECTIONS, Facts, Home, elsewhere, unusually_long, warnings

T = TypeVar("T")

NO_FACTS = Facts(None, {}, None)  # where there is no cluster, nothing is asked about what is to be in it
WHOLE_CLUSTER = ""  # stands for all profiles of a cluster where the name of one is asked for


# What is seen.


@dataclass(frozen=True)
class Case:
    """Everything that a row of the plan may look at."""

    who: Identity
    resource: Resource | InvalidSpec
    memory: Memory
    home: Home
    view: View
    facts: Facts | None
    settings: Settings
    now: datetime
    looked: frozenset[str] = frozenset()  # described in the pass that read the object
    lost_for: timedelta = timedelta(0)  # a marked create may still come true
    barred: Barred | None = None  # why the object has no cluster here; then home and view stand for nothing
    listed_there: bool = False  # the clusters file lists the object's namespace by name for its cluster

    # The object

    @cached_property
    def spec(self) -> ProfileSpec | None:
        return self.resource.profile if isinstance(self.resource, Resource) else None

    @property
    def refusal(self) -> InvalidSpec | None:
        return self.resource if isinstance(self.resource, InvalidSpec) else None

    @property
    def update_policy(self) -> UpdatePolicy:
        return self.resource.update_policy if isinstance(self.resource, Resource) else "Refuse"

    @property
    def asks_to_adopt(self) -> bool:
        return isinstance(self.resource, Resource) and self.resource.adopt

    @property
    def may_adopt(self) -> bool:
        return self.settings.may_adopt(self.who.namespace)

    @property
    def may_retain(self) -> bool:
        return self.settings.may_retain(self.who.namespace)

    @property
    def going(self) -> bool:
        """The object is deleted, and its profile with it."""
        return self.who.deleting and not self.who.retain

    @property
    def retaining(self) -> bool:
        """The object is deleted, its profile stays."""
        return self.who.deleting and self.who.retain

    @property
    def elsewhere(self) -> bool:
        """The object has, or may have, a profile in a cluster other than the one that we look at."""
        return self.memory.made_in not in {"", self.home.cluster_arn}

    # Its profiles

    @cached_property
    def owner_tags(self) -> dict[str, str]:
        return {OWNER_KEY: self.who.owner, CONTROLLER_KEY: self.home.controller}

    def owns(self, profile: Profile) -> bool:
        """Both tags name this object and the name fits; or no tag names another and status recorded the ARN."""
        if not (self.who.may_name(profile.name) or profile.arn == self.memory.profile_arn):
            return False
        if not all(same_tag(key, profile.tags.get(key, value), value) for key, value in self.owner_tags.items()):
            return False
        if self.owner_tags.keys() <= profile.tags.keys():
            return self.who.may_name(profile.name)
        return profile.arn == self.memory.profile_arn

    def meets(self, profile: Profile) -> bool:
        return self.spec is not None and not differs(self.spec, profile)

    @cached_property
    def owned(self) -> tuple[Profile, ...]:
        """The profiles that are this object's, the one to keep first: as wanted, serving, ACTIVE, oldest."""

        def rank(each: Profile) -> tuple[bool, bool, bool, datetime]:
            wanted = each.active and self.meets(each)
            serves = each.name == self.memory.profile_name
            return not wanted, not serves, not each.active, each.created_at

        return tuple(sorted(filter(self.owns, self.view.profiles.values()), key=rank))

    @cached_property
    def serving(self) -> Profile | None:
        """The owned profile that is to be kept, whatever its state."""
        return next(iter(self.owned), None)

    @property
    def surplus(self) -> Profile | None:
        """Of several owned profiles the one that is least worth keeping."""
        return self.owned[-1] if len(self.owned) > 1 else None

    @cached_property
    def failed(self) -> Profile | None:
        """A profile in a failed state; of an object that goes, only one that failed to go."""
        states = {"DELETE_FAILED"} if self.who.deleting else {"DELETE_FAILED", "CREATE_FAILED"}
        return next((profile for profile in self.owned if profile.status in states), None)

    @property
    def owned_in_flight(self) -> Profile | None:
        return next((each for each in self.owned if not (each.active or each.failed)), None)

    @property
    def stripped(self) -> Profile | None:
        """A profile without all of its owner tags; to have none of them is what a retained one shall come to."""
        for profile in self.owned:
            missing = self.owner_tags.keys() - profile.tags.keys()
            if missing and not (self.retaining and len(missing) == len(self.owner_tags)):
                return profile
        return None

    # The profiles of nobody and of others

    @cached_property
    def as_made_by_kopf(self) -> Profile | None:
        """What kopf's operator may have made for this object: untagged, as wanted, not older than the object."""
        found = self.view.profiles.get(self.who.base) if self.who.from_kopf else None
        if found is None or not RESERVED_KEYS.isdisjoint(found.tags) or self.who.created_at > found.created_at:
            return None
        return found if self.meets(found) and not self.forbidden else None

    @property
    def made_by_kopf(self) -> Profile | None:
        """The same where it is let be taken over: who plants kopf's finalizer can make another's profile look so."""
        return self.as_made_by_kopf if self.settings.may_take_over_from_kopf(self.who.namespace) else None

    @cached_property
    def target(self) -> str:
        """The name of the profile that is to be made: base, but for a replacement where base is taken."""
        replaces = self.serving and self.update_policy == "Replace"
        if not (self.spec and replaces and self.who.base in self.view.profiles):
            return self.who.base
        names = [*replacement_names(self.who, self.spec)]
        # A create whose answer is open is asked for again by its own name: under another there could be two.
        open_one = {self.memory.create_name} - {self.who.base} if self.memory.create_started_at else set()
        tried = [*filter(self.who.may_name, open_one), *names]
        return next((name for name in tried if name not in self.view.names), names[0])

    @property
    def name_holder(self) -> Profile | None:
        """Who has the name of the profile that is to be made, but for one that goes for it."""
        found = self.view.profiles.get(self.target)
        makes_room = found and self.update_policy == "Recreate" and self.owns(found)
        return None if makes_room else found

    @property
    def adoptable(self) -> Profile | None:
        """The profile without an owner that the object may take over: spec and operator allow it."""
        if not self.asks_to_adopt or not self.may_adopt or self.owned:
            return None
        found = self.name_holder
        return None if found is None or found.failed or tagged(found) else found

    @property
    def estranged(self) -> Profile | None:
        """The profile that is tagged for this very object, by another controller id: after a restore, or a typo."""
        profiles = (each for each in self.view.profiles.values() if self.who.may_name(each.name))
        return next((each for each in profiles if self.is_estranged(each)), None)

    def is_estranged(self, profile: Profile) -> bool:
        named = profile.tags.get(OWNER_KEY) == self.who.owner and CONTROLLER_KEY in profile.tags
        return named and not controlled_by(profile, self.home.controller)

    @property
    def recorded(self) -> Profile | None:
        """The profile that status recorded, whoever's it is by now."""
        profiles = self.view.profiles.values()
        return next((each for each in profiles if each.arn == self.memory.profile_arn), None)

    # What earlier passes did

    @property
    def lost_create_until(self) -> datetime | None:
        """Until when an unanswered create may still come true."""
        return self.now + self.lost_for if self.lost_for > timedelta(0) else None

    @property
    def hidden(self) -> tuple[str, AwsError] | None:
        """A profile that could be this object's and can't be looked at, with what AWS says.

        Where a profile serves as wanted, only the one that status has recorded counts.
        """
        serves = self.serving is not None and self.serving.active and self.meets(self.serving)
        goes_on = serves and not self.who.deleting
        for name, error in self.view.hidden.items():
            if self.who.may_name(name) and (name == self.memory.profile_name or not goes_on):
                return name, error
        return None

    @property
    def rests_until(self) -> datetime | None:
        """Until when a profile in a failed state rests; a failure not yet counted rests from now."""
        if not self.failed:
            return None
        counted = self.memory.counting(self.failed, self.now)
        rest = backoff(counted.failures)  # from now at the most: failed_at may be by a clock that is ahead
        until = min((counted.failed_at or self.now), self.now) + rest
        return until if self.now < until else None

    # Tags and limits

    @cached_property
    def wanted_tags(self) -> dict[str, str]:
        return self.owner_tags | dict(self.resource.tags if isinstance(self.resource, Resource) else {})

    @cached_property
    def missing_tags(self) -> dict[str, str]:
        tags = self.serving.tags if self.serving else {}
        return {key: value for key, value in self.wanted_tags.items() if not same_tag(key, tags.get(key), value)}

    @cached_property
    def unwanted_tags(self) -> frozenset[str]:
        """Tag keys that we have set and the spec no longer has: those that others set stay."""
        tags = self.serving.tags if self.serving else {}
        return frozenset(tags.keys() & set(self.memory.applied_tag_keys) - self.wanted_tags.keys())

    @cached_property
    def forbidden(self) -> list[Objection]:
        """What is not allowed of a profile that there is not yet: one that serves as the spec says is left alone."""
        if self.spec is None or (self.serving and self.meets(self.serving)):
            return []
        return [*self.settings.limits.forbid(self.who, self.spec, listed_there=self.listed_there)]

    @cached_property
    def objections(self) -> list[Objection]:
        """What AWS would have against the profile that is to be made, as far as the facts are known."""
        facts = self.facts if self.view.found else NO_FACTS
        if not (self.spec and facts):
            return []
        pairs = (check(self.home, self.view.found, self.spec, self.target, facts) for check in OBJECTIONS)
        known = self.who.may_name if self.settings.limits.discreet else lambda _name: True
        return [Objection(reason, without_profiles(text, known)) for several in pairs for reason, text in several]

    @property
    def warnings(self) -> tuple[Objection, ...]:
        """What is unusual about the profile that is to be made, but may be meant."""
        authority = "" if self.home.foreign else self.settings.authority
        text = elsewhere(self.home, authority, self.facts.cluster if self.facts else None)
        pairs = [("ClusterElsewhere", text)] if text else []
        pairs += warnings(self.spec, self.facts) if self.spec else ()
        return tuple(Objection(*each) for each in pairs)


def case_of(
    obj: Object, who: Identity, memory: Memory, home: Home, view: View, settings: Settings, now: datetime
) -> Case:
    """Return the case of an object, before any fact is asked for; an invalid spec is a case too."""
    resource: Resource | InvalidSpec
    try:
        resource = Resource.parse(obj)
    except InvalidSpec as error:
        resource = error.with_traceback(None)  # whose frames hold the object, and this very error
    return Case(
        who=who, resource=resource, memory=memory, home=home, view=view, facts=None, settings=settings, now=now
    )  # fmt: skip


# What is said where nothing is changed. Each takes the case and what its row has found.


def released(c: Case, _found: bool) -> Report:
    others = listed(c.who.finalizers) or "none"
    text = f"The controller is done with this object; other finalizers hold it: {others}."
    return Report(Phase.IDLE, "Released", text)


def wrong_home(c: Case, _found: bool) -> Report:
    name, there = c.memory.profile_name or c.memory.create_name or c.who.base, c.memory.made_in
    what = f"Profile {name} was made in {there} and stays there, this controller works in {c.home.cluster_arn}"
    here = "correct the controller's cluster or region, or the entry of the clusters file"
    keep = f"{here}, or let the controller of that cluster have the object"
    leave = f"set spec.deletionPolicy: Retain and delete the object, which leaves {name} in {there}"
    text = f"{what}: {keep}. Or {leave}; delete it there by hand if nobody needs it."
    return refuse("WrongHome", text)


def suspended(c: Case, _found: bool) -> Report:
    shown = "there is no profile"
    if c.serving:
        shown = f"profile {c.serving.name} is {c.serving.status}"
    if more := listed([each.name for each in c.owned[1:]]):
        shown += f", and {more} is there too"
    mend = "nothing is made, changed or deleted until spec.suspend is unset"
    return Report(Phase.IDLE, "Suspended", f"Suspended: {shown}; {mend}.")


def let_go(c: Case, _found: bool) -> RemoveFinalizer:
    left = c.name_holder if c.who.from_kopf else None
    where = f"EKS cluster {c.who.cluster}"
    if others := c.estranged or c.recorded:
        text = f"Profile {others.name} stays in {where}: it is {whose(c, others)}"
        return RemoveFinalizer("ProfileLeft", f"{text}. Delete it by hand if nobody needs it.")
    if c.as_made_by_kopf:  # and it is to be kept, or it would not be let go
        text = f"Profile {c.as_made_by_kopf.name} stays in {where} as it is, without an owner."
        return RemoveFinalizer("Retained", text)
    if left:
        why = "it is not shown to be this object's (other fields, other tags, or older)"
        text = f"Profile {left.name} stays in {where}: {why}; delete it by hand if it is."
        return RemoveFinalizer("ProfileLeft", text)
    if name := c.memory.profile_name:
        return RemoveFinalizer("Deleted", f"Profile {name} is gone from {where}.")
    return RemoveFinalizer("Deleted", f"{where} has no profile of this object.")


def by_other_id(c: Case, profile: Profile) -> str:
    there, here = profile.tags[CONTROLLER_KEY], c.home.controller
    return f"tagged for this object by controller id {there}, and this controller's is {here}"


def wrong_controller(c: Case, profile: Profile) -> Report:
    what = f"The deletion waits, because profile {profile.name} is {by_other_id(c, profile)}"
    mend = f"{same_cluster(profile)}; set spec.deletionPolicy: Retain to let the object go and the profile stay"
    return refuse("WrongController", f"{what}: {mend}.", about=profile.name)


def keep_estranged(c: Case, profile: Profile) -> RemoveFinalizer:
    text = f"Profile {profile.name} is kept in EKS as it is, {by_other_id(c, profile)}."
    return RemoveFinalizer("Retained", text)


def flight(c: Case, profile: Profile) -> Report:
    """Say what EKS is at, and what comes of it for the profile that serves."""
    since = profile.created_at if profile.status == "CREATING" else c.who.deleted_at or c.now
    message = f"Profile {profile.name} is {profile.status}.{unusually_long(profile.status, c.now - since)}"
    reason = "Deleting" if profile.status == "DELETING" else "Creating"
    if c.who.deleting or c.serving is None:
        return Report(Phase.RECONCILING, reason, message)
    if c.serving.name != profile.name:
        reason = "RollingBack" if put_back(c, c.serving, profile) else "Replacing"
        return Report(Phase.RECONCILING, reason, f"{swap(c, c.serving, profile)} {message}")
    again = " Then it is made again." if profile.status == "DELETING" else edit_to_be_refused(c, profile)
    return Report(Phase.RECONCILING, reason, f"{message}{again}{c.memory.failed_before}")


def edit_to_be_refused(c: Case, profile: Profile) -> str:
    """Say of an edit that it will be refused, though nothing is changed before the profile is ACTIVE."""
    if c.spec is None or c.meets(profile):
        return ""
    if c.forbidden:
        return f" {c.forbidden[0].reason}: {c.forbidden[0].message}"
    return f" ImmutableField: {immutable(c, profile).message}" if c.update_policy == "Refuse" else ""


def put_back(c: Case, serving: Profile, other: Profile) -> bool:
    """Say whether the spec is again that of the older profile, so that the newer one goes."""
    return c.meets(serving) and serving.created_at < other.created_at


def swap(c: Case, serving: Profile, other: Profile) -> str:
    """Say which profile takes the place of which, and which one serves meanwhile."""
    if put_back(c, serving, other):
        return f"The spec was put back: profile {serving.name} serves on, and {other.name}, made for the edit, goes."
    if c.meets(serving):
        return f"Profile {serving.name} is as the spec says and serves; {other.name} goes."
    if other.status == "CREATING" and c.meets(other):
        replaced = f"Profile {serving.name} is being replaced by {other.name}"
        return f"{replaced} and serves until that is ACTIVE."
    return f"Profile {serving.name} serves; {other.name}, made for an earlier spec, goes first."


def delete_surplus(c: Case, surplus: Profile) -> DeleteProfile:
    """Return the deletion of the owned profile that is least worth keeping; the one to keep is its heir."""
    heir = c.owned[0]
    if put_back(c, heir, surplus):
        return DeleteProfile(surplus, f"the spec was put back, and {heir.name} serves on", heir)
    if c.meets(heir):
        return DeleteProfile(surplus, f"{heir.name} has taken its place", heir)
    return DeleteProfile(surplus, f"it was made for an earlier spec, {heir.name} serves", heir)


def refuse_all(c: Case, objections: Sequence[Objection]) -> Report:
    """Say all at once; what time may mend is waited for at the pace of the poll."""
    reasons = [each.reason for each in objections]
    message = objections[0].message
    if len(objections) > 1:
        message = listed([f"{each.reason}: {each.message}" for each in objections], " ")
    if c.serving:
        message += f" Profile {c.serving.name} serves as it is."
    if not set(reasons) <= TIME_MAY_MEND.keys():
        return refuse(reasons[0], message)
    until = c.now + timedelta(seconds=POLL_MOST_SECONDS)
    return Report(Phase.RECONCILING, reasons[0], message, until)


def name_taken(c: Case, holder: Profile) -> Report:
    if holder.status == "DELETING":
        message = f"Profile {holder.name} ({whose(c, holder)}) is being deleted; then the name is free."
        return Report(Phase.RECONCILING, "WaitingForName", message, about=holder.name)
    if c.adoptable and holder.in_flight:
        message = f"Profile {holder.name} is {holder.status}; it is adopted once it is ACTIVE."
        return Report(Phase.RECONCILING, "WaitingForName", message, about=holder.name)
    stays = f" Profile {c.serving.name} serves as it is." if c.serving else ""
    message = f"Cluster {c.who.cluster} has a profile {holder.name} already, {whose(c, holder)}"
    if c.is_estranged(holder):
        other = "else make a new object with another spec.profileName"
        return refuse("NameTaken", f"{message}: {same_cluster(holder)}, {other}.{stays}", about=holder.name)
    mend = f"{way_to_get(c, holder)}, or make a new object with another spec.profileName"
    if holder.name != c.who.base:
        mend = f"it has all {REPLACEMENT_NAMES} names that a replacement may have; {mend}"
    return refuse("NameTaken", f"{message}: {mend}.{stays}", about=holder.name)


def whose(c: Case, profile: Profile) -> str:
    if OWNER_KEY not in profile.tags:
        return "without an owner"
    if c.is_estranged(profile):
        return by_other_id(c, profile)
    where = "" if controlled_by(profile, c.home.controller) else " of another Kubernetes cluster"
    if not may_tell(c, profile):
        return f"made for an object{where or ' of another namespace'}"
    return f"made for {profile.tags[OWNER_KEY]}{where}"


def may_tell(c: Case, profile: Profile | None) -> bool:
    """Say whether the object may be told the name of a profile and of its owner; None for one that is not seen."""
    owner = owner_of(profile) if profile and controlled_by(profile, c.home.controller) else None
    return c.settings.limits.may_tell(c.who, owner)


def way_to_get(c: Case, holder: Profile) -> str:
    """Say how the object could come to have a profile that another, or nobody, has."""
    if OWNER_KEY in holder.tags:
        keep = "with spec.deletionPolicy: Retain the profile stays, and has no owner then"
        return f"have that object deleted ({keep})"
    steps = []
    if not c.may_adopt:
        steps.append(f"start the controller with --allow-adoption-in {c.who.namespace}")
    if not c.asks_to_adopt:
        steps.append("set spec.adoptionPolicy: Adopt")
    if c.owned or holder.failed or not steps:  # then it can't be taken over
        return "delete that one"
    return f"delete that one, {' and '.join(steps)} to take it over"


def differences(c: Case, profile: Profile) -> str:
    pairs = differs(c.spec, profile) if c.spec else {}
    if sum(len(text) for pair in pairs.values() for text in pair) > LONGEST_LIST:
        each = LONGEST_LIST // 2 // len(pairs)
        pairs = {name: (brief(has, each), brief(want, each)) for name, (has, want) in pairs.items()}
    return "; ".join(f"spec.{name}: EKS has {has}, wanted is {want}" for name, (has, want) in pairs.items())


def mismatch(c: Case, holder: Profile) -> Report:
    what = f"Profile {holder.name} is not adopted, because it is not what the spec says."
    mend = "write into the spec what EKS has, or make a new object with another spec.profileName"
    text = f"{what} {differences(c, holder)}. To mend it, {mend}."
    return refuse("AdoptMismatch", text, about=holder.name)


def immutable(c: Case, serving: Profile) -> Report:
    what = f"EKS can't change a profile, so {serving.name} stays as it is."
    replace = "set spec.updatePolicy: Replace to let the controller make the new profile first"
    mend = f"put the old values back, or {replace}"
    return refuse("ImmutableField", f"{what} {differences(c, serving)}. To mend it, {mend}.")


def active(c: Case, serving: Profile) -> Report:
    text = f"Profile {serving.name} is ACTIVE in EKS cluster {c.who.cluster}."
    return Report(Phase.READY, "Active", text)


# The table. First its longest conditions, each of which returns what its row acts on.


def lost_create_to_wait_for(c: Case) -> datetime | None:
    """The object goes while a create may still come true, and nothing in flight would show it
    first.

    What is kept on purpose is not let go either: the profile that a lost create makes is to be
    kept, or to go, like the others.
    """
    nothing_shows_it = not c.owned or (c.retaining and not c.owned_in_flight)
    return c.lost_create_until if c.who.deleting and nothing_shows_it else None


def recorded_and_estranged(c: Case) -> Profile | None:
    """What status recorded as this object's must not be left behind because of a setting."""
    recorded = c.recorded if c.who.deleting and not c.owned else None
    return recorded if recorded and c.is_estranged(recorded) else None


def kept_estranged(c: Case) -> Profile | None:
    return (recorded_and_estranged(c) or c.estranged) if c.retaining and not c.owned else None


def deletion_held_by_suspend(c: Case) -> Profile | None:
    return (c.serving or c.made_by_kopf) if c.going and c.who.suspended else None


def handed_over_of_going(c: Case) -> Profile | None:
    """Kopf's profile of an object that goes: first made ours, then deleted as ours."""
    return c.made_by_kopf if c.going else None


def handed_over(c: Case) -> Profile | None:
    return None if c.owned else c.made_by_kopf


def held_back(c: Case) -> Profile | None:
    """What would be handed over by kopf if the controller were started so."""
    return None if c.owned or c.made_by_kopf else c.as_made_by_kopf


def if_in_flight(profile: Profile | None) -> Profile | None:
    return profile if profile and profile.in_flight else None


def take_over_from_kopf(c: Case, profile: Profile) -> TagProfile:
    why = "taken over to be deleted" if c.going else "taken over from kopf"
    return TagProfile(profile, c.owner_tags, why, "Adopted")


def failed_and_resting(c: Case) -> tuple[Profile, datetime] | None:
    return (c.failed, c.rests_until) if c.failed and c.rests_until else None


def retained_and_tagged(c: Case) -> Profile | None:
    return c.serving if c.retaining and c.serving and tagged(c.serving) else None


def retained_and_not_marked(c: Case) -> Profile | None:
    """A profile to be kept that can be told from where it comes: not without its owner tags, the policy of IAM says."""
    profile = retained_and_tagged(c)
    if profile is None or profile.tags.get(RETAINED_KEY) == c.who.owner:
        return None
    return profile if RETAINED_KEY in profile.tags or has_room(profile) else None


def not_as_wanted(c: Case, policy: UpdatePolicy) -> Profile | None:
    """The serving profile, where the object says what is to become of one that can't be changed."""
    return c.serving if c.update_policy == policy else None


def wanted_without_a_finalizer(c: Case) -> bool:
    return not c.who.deleting and not c.who.guarded


class Row(NamedTuple, Generic[T]):
    """`seen` in the reader's words; `find` returns what it is, or nothing; `then` acts on what was
    found.

    So a row acts on nothing but what its own condition has shown, whatever rows are put before it.
    """

    seen: str
    find: Callable[[Case], T | Literal[False] | None]
    then: Callable[[Case, T], Action]


# The first row that fits. Kopf's old finalizer counts as ours in every row.
_ROWS = (
    Row("deleting, no finalizer of ours", lambda c: c.who.deleting and not c.who.guarded, released),
    Row("barred, deleting, Retain", lambda c: c.barred if c.retaining else None, lambda c, _: kept_blindly(c.memory)),
    Row("barred", lambda c: c.barred, lambda c, why: stay_barred(why.reason, why.message, c.who, c.memory)),
    Row("made elsewhere, deleting, Retain", lambda c: c.elsewhere and c.retaining,
        lambda c, _: kept_blindly(c.memory)),
    Row("made elsewhere", lambda c: c.elsewhere, wrong_home),
    Row("deleting, suspended", deletion_held_by_suspend,
        lambda c, profile: deletion_suspended(profile, c.may_retain)),
    Row("deleting, Retain, not allowed", lambda c: None if c.may_retain or not c.retaining else c.serving,
        lambda c, profile: retain_not_allowed(c.who, profile)),
    Row("deleting, handed over by kopf, in flight", lambda c: if_in_flight(handed_over_of_going(c)), flight),
    Row("deleting, handed over by kopf", handed_over_of_going, take_over_from_kopf),
    Row("deleting, handed over by kopf, not allowed", lambda c: held_back(c) if c.going else None,
        lambda c, profile: not_taken_over(c.who, profile)),
    Row("deleting, what may be its own is not to be seen", lambda c: c.who.deleting and c.hidden,
        lambda _, found: wait_to_see(*found)),
    Row("deleting, none owned, an answer may be lost", lost_create_to_wait_for,
        lambda _, until: lost_answer(until)),
    Row("deleting, Retain, its own by another controller id", kept_estranged, keep_estranged),
    Row("deleting, its own by another controller id", recorded_and_estranged, wrong_controller),
    Row("deleting, none owned", lambda c: c.who.deleting and not c.owned, let_go),
    Row("suspended", lambda c: not c.who.deleting and c.who.suspended, suspended),
    Row("invalid spec", lambda c: not c.who.deleting and c.refusal,
        lambda _, refusal: refuse("InvalidSpec", str(refusal))),
    Row("none owned, not allowed", lambda c: not c.who.deleting and not c.owned and c.forbidden, refuse_all),
    Row("no finalizer", wanted_without_a_finalizer, lambda _, __: AddFinalizer()),
    Row("handed over by kopf, in flight", lambda c: if_in_flight(handed_over(c)), flight),
    Row("handed over by kopf", handed_over, take_over_from_kopf),
    Row("handed over by kopf, not allowed", lambda c: None if c.adoptable else held_back(c),
        lambda c, profile: not_taken_over(c.who, profile)),
    Row("what may be its own is not to be seen", lambda c: c.hidden, lambda _, found: wait_to_see(*found)),
    Row("kopf's finalizer", lambda c: not c.who.deleting and c.who.from_kopf,
        lambda c, _: AddFinalizer(c.who.base)),
    Row("owned, in flight", lambda c: c.owned_in_flight, flight),
    Row("owned, failed, resting", failed_and_resting, lambda _, found: resting(*found)),
    Row("owned, stripped of owner tags", lambda c: c.stripped,
        lambda c, stripped: TagProfile(stripped, c.owner_tags, "its owner tags were gone")),
    Row("deleting, Retain, several owned", lambda c: c.retaining and c.surplus, delete_surplus),
    Row("deleting, Retain, tagged, not marked", retained_and_not_marked,
        lambda c, profile: TagProfile(profile, {RETAINED_KEY: c.who.owner}, "kept without its object")),
    Row("deleting, Retain, tagged", retained_and_tagged, lambda _, profile: give_up(profile)),
    Row("deleting, Retain, untagged", lambda c: c.retaining and c.serving, lambda _, profile: kept(profile)),
    Row("deleting, owned", lambda c: c.who.deleting and (c.surplus or c.serving),
        lambda _, profile: DeleteProfile(profile, "its object is deleted")),
    Row("owned, failed", lambda c: c.failed, lambda _, failed: DeleteProfile(failed, "to be made again")),
    Row("several owned", lambda c: c.surplus, delete_surplus),
    Row("owned, marked as retained", lambda c: c.serving if c.serving and RETAINED_KEY in c.serving.tags else None,
        lambda _, serving: UntagProfile(serving, frozenset({RETAINED_KEY}), "it has an object again")),
    Row("owned, a tag missing", lambda c: c.serving if c.missing_tags else None,
        lambda c, serving: TagProfile(serving, c.missing_tags, "tags of the spec")),
    Row("owned, a tag too many", lambda c: c.serving if c.unwanted_tags else None,
        lambda c, serving: UntagProfile(serving, c.unwanted_tags, "no longer in the spec")),
    Row("owned, as wanted", lambda c: c.serving if c.serving and c.meets(c.serving) else None, active),
    Row("owned, not as wanted, Refuse", lambda c: not_as_wanted(c, "Refuse"), immutable),
    Row("none owned, to adopt, on its way", lambda c: if_in_flight(c.adoptable), name_taken),
    Row("none owned, to adopt, not as wanted",
        lambda c: c.adoptable if c.adoptable and not c.meets(c.adoptable) else None, mismatch),
    Row("none owned, to adopt", lambda c: c.adoptable,
        lambda c, profile: TagProfile(profile, c.owner_tags, "taken over as it is", "Adopted")),
    Row("to be made, not allowed", lambda c: c.forbidden, refuse_all),
    Row("to be made, facts unknown", lambda c: c.spec if c.facts is None and c.view.found else None,
        lambda _, spec: NeedFacts(spec)),
    Row("to be made, preflight objects", lambda c: c.objections, refuse_all),
    Row("to be made, the name is taken", lambda c: c.name_holder, name_taken),
    Row("owned, not as wanted, Recreate", lambda c: not_as_wanted(c, "Recreate"),
        lambda _, old: DeleteProfile(old, "to be made anew as the spec says (updatePolicy: Recreate)")),
    Row("to be made", lambda c: c.spec,
        lambda c, spec: CreateProfile(c.target, spec, c.warnings)),
)  # fmt: skip
PLAN: tuple[Row[Any], ...] = _ROWS  # whose rows have been checked one by one, each with its own type


def plan(case: Case) -> Action:
    """Return the single next step from what is to what should be; total."""
    for row in PLAN:
        if found := row.find(case):
            return row.then(case, found)
    raise AssertionError("the plan has a row for every case")


def must_see(action: Action) -> tuple[str, ...]:
    """Return the profiles that must be looked at in the pass that acts on this; `WHOLE_CLUSTER` is all."""
    match action:
        case RemoveFinalizer(blind=False):
            return (WHOLE_CLUSTER,)
        case AddFinalizer(unlike=str(name)) if name:
            return (name,)
        case DeleteProfile(profile=profile, heir=Profile() as heir):
            return profile.name, heir.name
        case DeleteProfile(profile=profile) | TagProfile(profile=profile) | UntagProfile(profile=profile):
            return (profile.name,)
        case Report(about=str(about)):
            return (about,)
    return ()
