"""What may be done for an object, or said: the actions that the plan chooses from; and what is said where nothing is
changed, of a profile alone.

Pure: no clock, no call, no log. What it is not: the choice (plan), which also has what more must be known for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from answers import AwsError, Refused
from aws import Profile, ProfileSpec
from patterns import steady, timestamp
from spec import CONTROLLER_KEY, OWNER_KEY, RETAINED_KEY, TAGS_LIMIT, Identity, Memory, told_issues


class Objection(NamedTuple):
    """Why a profile is not made: a reason for the condition, and what is wrong and mends it."""

    reason: str
    message: str


class Phase(Enum):
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    IDLE = "Idle"  # neither on its way nor in need: suspended, or released


@dataclass(frozen=True)
class Report:
    """Change nothing and say why: what others call Nothing, Wait, Refuse. Also what a change
    reports.

    Looked at again at `until`; without it READY and IDLE at the resync, RECONCILING at the pace of
    the poll, STALLED less and less often. `about` is the profile that the judgement is on, seen
    anew before it is said. `retry`: by the queue's backoff. `blind`: nothing could be seen. `note`:
    what is true of the object beside it, and follows the message. `logged`: the message as it is
    logged, where that names others of whom the object may not be told.
    """

    phase: Phase
    reason: str
    message: str
    until: datetime | None = None
    about: str | None = None
    retry: bool = False
    blind: bool = False
    note: str = ""
    logged: str = ""


@dataclass(frozen=True)
class NeedFacts:
    """Ask for what AWS says of the things that a spec names, and plan again: no change, same pass."""

    spec: ProfileSpec


@dataclass(frozen=True)
class NeedNetwork:
    """Ask which subnets the VPC of the cluster has, that terms choose from, and plan again: no change, same pass."""


@dataclass(frozen=True)
class AddFinalizer:
    """Put our finalizer in, in the place of kopf's if that is there.

    That ends a hand-over for good: `unlike` is the profile that is looked at once more before.
    """

    unlike: str = ""


@dataclass(frozen=True)
class RemoveFinalizer:
    """Let the object go; `event` says what became of its profile.

    `blind`: the profile was made elsewhere, and nothing of it can be looked at from here. `logged` as
    in `Report`.
    """

    event: str
    message: str
    blind: bool = False
    logged: str = ""


@dataclass(frozen=True)
class CreateProfile:
    """Make the profile; `warnings` say what is unusual about it but may be meant."""

    name: str
    spec: ProfileSpec
    warnings: tuple[Objection, ...] = ()


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

    @property
    def takes_over(self) -> bool:
        return self.event == "Adopted"


@dataclass(frozen=True)
class UntagProfile:
    profile: Profile
    keys: frozenset[str]
    why: str


Change = AddFinalizer | RemoveFinalizer | CreateProfile | DeleteProfile | TagProfile | UntagProfile
Action = Report | NeedFacts | NeedNetwork | Change


# What is said where nothing is changed, of a profile alone; plan has what more must be known for.


def refuse(reason: str, message: str, about: str | None = None) -> Report:
    return Report(Phase.STALLED, reason, message, about=about)


def deletion_suspended(profile: Profile, may_retain: bool) -> Report:
    keep = ", or set spec.deletionPolicy: Retain to keep it" if may_retain else ""
    mend = f"unset it to delete profile {profile.name}{keep}"
    text = f"The deletion waits because spec.suspend is true: {mend}."
    return Report(Phase.IDLE, "Suspended", text)


def not_taken_over(who: Identity, profile: Profile) -> Report:
    """Keep kopf's finalizer, so that the profile can still be taken over."""
    if profile.status == "DELETING":
        text = f"Profile {profile.name} (without an owner) is being deleted; then the name is free."
        return Report(Phase.RECONCILING, "WaitingForName", text, about=profile.name)
    allow = f"start the operator with --take-over-from-kopf-in={who.namespace}"
    made = "if the kopf operator made it for this object"
    if who.deleting:
        what = f"The deletion waits, because profile {profile.name} has no owner and may be this object's"
        mend = f"{made}, {allow} to delete both; or set spec.deletionPolicy: Retain to leave the profile as it is"
        return refuse("NameTaken", f"{what}: {mend}.", about=profile.name)
    what = f"Cluster {who.cluster} has a profile {profile.name} already, without an owner"
    mend = f"{made}, {allow} to take it over; else delete it, or make a new object with another spec.profileName"
    return refuse("NameTaken", f"{what}: {mend}.", about=profile.name)


def retain_not_allowed(who: Identity, profile: Profile) -> Report:
    what = f"The deletion waits, because objects of namespace {who.namespace} may not leave their profile"
    allow = f"start the operator with --allow-retain-in={who.namespace} to keep it"
    mend = f"set spec.deletionPolicy: Delete to delete profile {profile.name}, or {allow}"
    return refuse("RetainNotAllowed", f"{what}: {mend}.")


def kept(profile: Profile) -> RemoveFinalizer:
    text = f"Profile {profile.name} is kept in EKS, without an owner"
    if RETAINED_KEY not in profile.tags:
        text += f", and without the tag {RETAINED_KEY}, which could not be set: nothing counts it"
    return RemoveFinalizer("Retained", f"{text}.")


def give_up(profile: Profile, refused: str = "") -> UntagProfile:
    """Return what takes the owner tags off a profile that is kept; `refused`: what AWS has against its new tag."""
    why = "kept without an owner"
    if RETAINED_KEY not in profile.tags:
        why += f", and without the tag {RETAINED_KEY}: {refused or f'it has {TAGS_LIMIT} tags already.'}"
    return UntagProfile(profile, frozenset({OWNER_KEY, CONTROLLER_KEY}), why.removesuffix("."))


def wait_to_see(name: str, error: AwsError) -> Report:
    text = f"Profile {name} may be this object's, and EKS does not show it: {steady(str(error))}"
    if isinstance(error, Refused):
        return refuse(error.reason, text, about=name)
    return Report(Phase.RECONCILING, error.reason, text, about=name, retry=True)


def lost_answer(until: datetime) -> Report:
    asked = "A create was sent whose answer may have been lost"
    text = f"{asked}: EKS is looked at again at {timestamp(until)}."
    return Report(Phase.RECONCILING, "Deleting", text, until)


def resting(profile: Profile, until: datetime) -> Report:
    reason, again = "DeleteFailed", "its deletion is asked for again"
    if profile.status == "CREATE_FAILED":
        reason, again = "CreateFailed", "it is deleted and made again"
    issues = " ".join(told_issues(profile))
    mend = f"Mend the cause; {again} at {timestamp(until)}."
    failed = f"Profile {profile.name} is {profile.status}."
    message = f"{failed} {issues or 'EKS gives no reason.'} {mend}"
    return Report(Phase.STALLED, reason, message, until)


def stay_barred(reason: str, message: str, back: str, who: Identity, memory: Memory) -> Report:
    """Say why an object has no cluster here, and what becomes of what it has made; `back` gives it one again."""
    name, there = memory.profile_name or memory.create_name or who.base, memory.made_in
    stays = f" Profile {name} stays as it is in {there}." if there else ""
    if not who.deleting:
        return refuse(reason, f"{message}{stays}")
    leave = f"set spec.deletionPolicy: Retain, which leaves profile {name} where it is"
    return refuse(reason, f"{message}{stays} The deletion waits: {back}, or {leave}.")


def kept_blindly(memory: Memory) -> RemoveFinalizer:
    """Return what lets an object go whose profile is out of reach."""
    what = f"The profile in {memory.made_in} is" if memory.made_in else "Whatever profile there may be is"
    return RemoveFinalizer("Retained", f"{what} kept.", blind=True)
