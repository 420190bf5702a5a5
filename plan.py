"""What one FargateProfile object needs next: `plan` takes the first row of the table `PLAN` that
fits.

The picture: `Case` (object, view of the cluster, memory, facts) -> `PLAN` -> exactly one `Action`.
The table is the specification. It stands at the end; before it what its rows say. What is seen stands
in case, what an action is in actions.

Pure and total: no clock, no call, no log. What it is not: an effect, or a status as users see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from actions import (
    Action,
    AddFinalizer,
    CreateProfile,
    DeleteProfile,
    NeedFacts,
    NeedNetwork,
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
from aws import Profile, ProfileSpec
from case import Case, is_known
from clusters import POLL_MOST_SECONDS, TIME_MAY_MEND
from patterns import LONGEST_CONDITION, LONGEST_LIST, brief, capital, listed, timestamp
from spec import (
    CONTROLLER_KEY,
    OWNER_KEY,
    REPLACEMENT_NAMES,
    RETAINED_KEY,
    Finding,
    InvalidSpec,
    Resource,
    UpdatePolicy,
    controlled_by,
    differs,
    has_room,
    owner_of,
    same_cluster,
    tagged,
)
from surroundings import unmatched, unusually_long
from wanted import BY_DEFAULT

T = TypeVar("T")

WHOLE_CLUSTER = ""  # stands for all profiles of a cluster where the name of one is asked for
UNREAD = timedelta(seconds=60)  # until subnets that could not be read are asked for again, by who is settled


# What is said where nothing is changed. Each takes the case and what its row has found.


def released(c: Case, _found: bool) -> Report:
    others = listed(c.who.finalizers) or "none"
    text = f"The operator is done with this object; other finalizers hold it: {others}."
    return Report(Phase.IDLE, "Released", text)


def wrong_home(c: Case, _found: bool) -> Report:
    name, there = c.memory.profile_name or c.memory.create_name or c.who.base, c.memory.made_in
    what = f"Profile {name} was made in {there} and stays there, this operator works in {c.home.cluster_arn}"
    keep = f"correct {c.home.told_by}, or let the operator of that cluster have the object"
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
    return f"tagged for this object by controller id {there}, and this operator's is {here}"


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
    if c.spec is None or c.meets(profile) or c.sure_at:
        return ""
    if c.forbidden:
        return f" {c.forbidden[0].reason}: {c.forbidden[0].message}"
    return f" ImmutableField: {immutable(c, profile).message}" if c.update_policy == "Refuse" else ""


def put_back(c: Case, serving: Profile, other: Profile) -> bool:
    """Say whether what is wanted is again as the older profile is, so that the newer one goes."""
    return c.meets(serving) and serving.created_at < other.created_at and not c.outranks(other, serving)


def what_was_put_back(c: Case, other: Profile) -> str:
    """Say by what an older profile is as wanted again, and a newer one is not."""
    terms = isinstance(c.resource, Resource) and c.resource.profile.terms
    if terms and any(each.arn == other.arn for each in c.strayed):
        return "tags of the subnets were put back"
    by_default = c.spec and (c.spec.role_by == BY_DEFAULT or (c.spec.terms and not terms))
    return "spec or a default was put back" if by_default else "spec was put back"


def swap(c: Case, serving: Profile, other: Profile) -> str:
    """Say which profile takes the place of which, and which one serves meanwhile."""
    if put_back(c, serving, other):
        back = what_was_put_back(c, other)
        return f"The {back}: profile {serving.name} serves on, and {other.name}, made for the edit, goes."
    if c.meets(serving) and not c.outranks(other, serving):
        return f"Profile {serving.name} is as the spec says and serves; {other.name} goes."
    if other.status == "CREATING" and c.meets(other):
        replaced = f"Profile {serving.name} is being replaced by {other.name}"
        return f"{replaced} and serves until that is ACTIVE."
    return f"Profile {serving.name} serves; {other.name}, made for an earlier spec, goes first."


def delete_surplus(c: Case, surplus: Profile) -> DeleteProfile:
    """Return the deletion of the owned profile that is least worth keeping; the one to keep is its heir."""
    heir = c.owned[0]
    if put_back(c, heir, surplus):
        return DeleteProfile(surplus, f"the {what_was_put_back(c, surplus)}, and {heir.name} serves on", heir)
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
        steps.append(f"start the operator with --allow-adoption-in {c.who.namespace}")
    if not c.asks_to_adopt:
        steps.append("set spec.adoptionPolicy: Adopt")
    if c.owned or holder.failed or not steps:  # then it can't be taken over
        return "delete that one"
    return f"delete that one, {' and '.join(steps)} to take it over"


def invalid(c: Case, findings: Sequence[Finding]) -> Report:
    stays = f" Profile {c.serving.name} serves as it is." if c.serving else ""
    return refuse("InvalidSpec", f"{InvalidSpec(*findings)}{stays}")


def differences(c: Case, profile: Profile) -> str:
    spec = c.spec if c.owns(profile) else c.own
    pairs = differs(spec, profile) if spec else {}
    if sum(len(text) for pair in pairs.values() for text in pair) > LONGEST_LIST:
        each = LONGEST_LIST // 2 // len(pairs)
        pairs = {name: (brief(has, each), brief(want, each)) for name, (has, want) in pairs.items()}
    by = {"podExecutionRoleArn": spec.role_by, "subnetSelectorTerms": spec.subnets_by} if spec else {}
    told = (f"{by.get(name, f'spec.{name}')}: EKS has {has}, wanted is {want}" for name, (has, want) in pairs.items())
    return "; ".join(map(capital, told))


def mismatch(c: Case, holder: Profile) -> Report:
    what = f"Profile {holder.name} is not adopted, because it is not what the spec says."
    mend = "write into the spec what EKS has, or make a new object with another spec.profileName"
    unknown = why_unknown(c, c.own)
    text = f"{what} {differences(c, holder) or unknown}. To mend it, {mend}."
    return refuse("AdoptMismatch", text, about=holder.name)


def immutable(c: Case, serving: Profile) -> Report:
    what = f"EKS can't change a profile, so {serving.name} stays as it is."
    replace = "set spec.updatePolicy: Replace to let the operator make the new profile first"
    old = "the old values or the tags of the subnets" if c.strayed else "the old values"
    mend = f"put {old} back, or {replace}"
    return refuse("ImmutableField", f"{what} {differences(c, serving)}. To mend it, {mend}.")


def active(c: Case, serving: Profile) -> Report:
    text = f"Profile {serving.name} is ACTIVE in EKS cluster {c.who.cluster}."
    if not (c.spec and c.network) or c.spec.among:
        return Report(Phase.READY, "Active", text)
    # Which is no edit; but what could not be read says nothing, and may be read a minute from now.
    text += f" NoSubnetMatches: {unmatched(c.spec, c.network, {})}. Profile {serving.name} keeps its subnets."
    return Report(Phase.READY, "Active", text, c.now + UNREAD if c.network.error else None)


def looked_at_again(c: Case, sure_at: datetime) -> Report:
    """Leave profiles as they are until what tags have shown of them is seen once more: it may not be meant to last."""
    by = capital(c.spec.subnets_by) if c.spec else ""
    strayed = (f"{listed(each.subnets, most=LONGEST_CONDITION)} of profile {each.name}" for each in c.strayed)
    what = f"{by} do not match {' and '.join(strayed)} any more"
    then = "which of the profiles goes is decided then" if c.surplus else "then spec.updatePolicy says what comes of it"
    text = f"{what}: that is looked at again at {timestamp(sure_at)}, {then}."
    phase = Phase.RECONCILING if c.who.deleting else Phase.READY
    return Report(phase, "SubnetsChanged", text, sure_at)


def not_to_be_told_apart(c: Case, last: Profile) -> Report:
    """Keep several profiles of which only terms could say which one is wanted, until it is known what these match."""
    which, why = listed([each.name for each in c.owned]), why_unknown(c, c.spec)
    text = f"Profiles {which} are both there, and none of them is deleted while {last.name} may be the right one: {why}"
    if c.who.deleting:  # nobody waits with a deletion for as long as AWS may give no answer
        text += "; or set spec.subnets, in the place of terms, to those of the profile that is to be kept"
    return wait_for_subnets(c, "Replacing", text)


def unclear(c: Case, found: Profile) -> Report:
    """Leave a profile as it is, and kopf's finalizer, until it is known whether kopf made it for this object."""
    leave = "set spec.deletionPolicy: Retain to let the object go and the profile stay; "
    go = leave if c.going and c.may_retain else ""
    text = f"Profile {found.name} may be the one that kopf made for this object: {go}{why_unknown(c, c.own)}"
    return wait_for_subnets(c, "NoSubnetMatches", text)


def why_unknown(c: Case, spec: ProfileSpec | None) -> str:
    return unmatched(spec, c.network, {}) if spec and c.network and not is_known(spec) else ""


def wait_for_subnets(c: Case, reason: str, text: str) -> Report:
    """Wait for an answer of AWS that failed; for anything else somebody has to do something."""
    if c.network and c.network.error:
        return Report(Phase.RECONCILING, reason, f"{text}.", c.now + timedelta(seconds=POLL_MOST_SECONDS))
    if c.network and c.network.subnets is None:  # whose text names the right that is missing
        return refuse("NoSubnetMatches", f"{text}.")
    mend = "put the tags back on the subnets that the profile shall have, or correct the terms"
    return refuse("NoSubnetMatches", f"{text}. To mend it, {mend}.")


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


def vpc_to_ask_of_going(c: Case) -> ProfileSpec | None:
    """The terms of an object that goes, where they show which profile is to be kept, or to go."""
    return c.to_ask_for if (c.retaining and c.surplus) or (c.going and c.unclear_by_kopf) else None


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


def lacks_room(c: Case) -> bool:
    """Say whether the serving profile can't take the object's own tags beside those that are on it."""
    return c.serving is not None and not has_room(c.serving, len(c.missing_tags.keys() - c.serving.tags.keys()))


def tags_too_many(c: Case) -> UntagProfile | None:
    """Return what takes off the tags that go: first those that an edit has taken out."""
    if c.serving and c.unwanted_tags:
        return UntagProfile(c.serving, c.unwanted_tags, "no longer in the spec")
    lost, why = c.default_tags.lost, "no longer among the default tags"
    if not lost.isdisjoint(c.defaults.tags):
        why = "the object's own tags have no room beside them"
    return UntagProfile(c.serving, lost, why) if c.serving and lost else None


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
    Row("barred", lambda c: c.barred, lambda c, why: stay_barred(*why[:3], c.who, c.memory)),
    Row("made elsewhere, deleting, Retain", lambda c: c.elsewhere and c.retaining,
        lambda c, _: kept_blindly(c.memory)),
    Row("made elsewhere", lambda c: c.elsewhere, wrong_home),
    Row("deleting, terms show which profile, the VPC not asked", vpc_to_ask_of_going, lambda _, __: NeedNetwork()),
    Row("deleting, suspended", deletion_held_by_suspend,
        lambda c, profile: deletion_suspended(profile, c.may_retain)),
    Row("deleting, Retain, not allowed", lambda c: None if c.may_retain or not c.retaining else c.serving,
        lambda c, profile: retain_not_allowed(c.who, profile)),
    Row("deleting, handed over by kopf, in flight", lambda c: if_in_flight(handed_over_of_going(c)), flight),
    Row("deleting, handed over by kopf", handed_over_of_going, take_over_from_kopf),
    Row("deleting, handed over by kopf, not allowed", lambda c: held_back(c) if c.going else None,
        lambda c, profile: not_taken_over(c.who, profile)),
    Row("deleting, it is not known whether kopf made it", lambda c: c.unclear_by_kopf if c.going else None, unclear),
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
    Row("none owned, no role or too many tags", lambda c: not c.who.deleting and not c.owned and c.unfounded, invalid),
    Row("none owned, not allowed", lambda c: not c.who.deleting and not c.owned and c.forbidden, refuse_all),
    Row("no finalizer", wanted_without_a_finalizer, lambda _, __: AddFinalizer()),
    Row("terms, the VPC not asked", lambda c: c.to_ask_for if not c.who.deleting else None,
        lambda _, __: NeedNetwork()),
    Row("handed over by kopf, in flight", lambda c: if_in_flight(handed_over(c)), flight),
    Row("handed over by kopf", handed_over, take_over_from_kopf),
    Row("handed over by kopf, not allowed", lambda c: None if c.adoptable else held_back(c),
        lambda c, profile: not_taken_over(c.who, profile)),
    Row("it is not known whether kopf made it", lambda c: None if c.adoptable else c.unclear_by_kopf, unclear),
    Row("what may be its own is not to be seen", lambda c: c.hidden, lambda _, found: wait_to_see(*found)),
    Row("kopf's finalizer", lambda c: not c.who.deleting and c.who.from_kopf,
        lambda c, _: AddFinalizer(c.who.base)),
    Row("owned, in flight", lambda c: c.owned_in_flight, flight),
    Row("owned, failed, resting", failed_and_resting, lambda _, found: resting(*found)),
    Row("owned, stripped of owner tags", lambda c: c.stripped,
        lambda c, stripped: TagProfile(stripped, c.owner_tags, "its owner tags were gone")),
    Row("deleting, Retain, several owned, terms unknown", lambda c: c.undecided if c.retaining else None,
        not_to_be_told_apart),
    Row("deleting, Retain, several owned, not as wanted by terms, seen once",
        lambda c: c.sure_at if c.retaining and c.surplus and c.strayed else None, looked_at_again),
    Row("deleting, Retain, several owned", lambda c: c.retaining and c.surplus, delete_surplus),
    Row("deleting, Retain, tagged, not marked", retained_and_not_marked,
        lambda c, profile: TagProfile(profile, {RETAINED_KEY: c.who.owner}, "kept without its object")),
    Row("deleting, Retain, tagged", retained_and_tagged, lambda _, profile: give_up(profile)),
    Row("deleting, Retain, untagged", lambda c: c.retaining and c.serving, lambda _, profile: kept(profile)),
    Row("deleting, owned", lambda c: c.who.deleting and (c.surplus or c.serving),
        lambda _, profile: DeleteProfile(profile, "its object is deleted")),
    Row("owned, failed", lambda c: c.failed, lambda _, failed: DeleteProfile(failed, "to be made again")),
    Row("several owned, terms unknown", lambda c: c.undecided, not_to_be_told_apart),
    Row("several owned, not as wanted by terms, seen once", lambda c: c.sure_at if c.surplus and c.strayed else None,
        looked_at_again),
    Row("several owned", lambda c: c.surplus, delete_surplus),
    Row("owned, marked as retained", lambda c: c.serving if c.serving and RETAINED_KEY in c.serving.tags else None,
        lambda _, serving: UntagProfile(serving, frozenset({RETAINED_KEY}), "it has an object again")),
    Row("owned, no room for a tag missing", lambda c: tags_too_many(c) if lacks_room(c) else None,
        lambda _, untag: untag),
    Row("owned, a tag missing", lambda c: c.serving if c.missing_tags else None,
        lambda c, serving: TagProfile(serving, c.missing_tags, "tags of the spec")),
    Row("owned, a tag too many", tags_too_many, lambda _, untag: untag),
    Row("owned, a default tag missing", lambda c: c.serving if c.missing_default_tags else None,
        lambda c, serving: TagProfile(serving, c.missing_default_tags, "default tags of the cluster")),
    Row("owned, as wanted", lambda c: c.serving if c.serving and c.meets(c.serving) else None, active),
    Row("owned, not as wanted by terms, seen once", lambda c: c.sure_at if c.strayed else None, looked_at_again),
    Row("owned, not as wanted, Refuse", lambda c: not_as_wanted(c, "Refuse"), immutable),
    Row("none owned, to adopt, on its way", lambda c: if_in_flight(c.adoptable), name_taken),
    Row("none owned, to adopt, not as wanted",
        lambda c: c.adoptable if c.adoptable and not c.shows(c.adoptable) else None, mismatch),
    Row("none owned, to adopt", lambda c: c.adoptable,
        lambda c, profile: TagProfile(profile, c.owner_tags, "taken over as it is", "Adopted")),
    Row("to be made, no role or too many tags", lambda c: c.unfounded, invalid),
    Row("to be made, not allowed", lambda c: c.forbidden, refuse_all),
    Row("to be made, facts unknown", lambda c: c.spec if c.facts is None and c.view.found else None,
        lambda _, spec: NeedFacts(spec)),
    Row("to be made, preflight objects", lambda c: c.objections, refuse_all),
    Row("to be made, the name is taken", lambda c: c.name_holder, name_taken),
    Row("owned, not as wanted, Recreate", lambda c: not_as_wanted(c, "Recreate"),
        lambda _, old: DeleteProfile(old, "to be made anew as the spec says (updatePolicy: Recreate)")),
    Row("to be made", lambda c: c.to_make,
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


def stands_on_terms(case: Case, action: Action) -> bool:
    """Say whether an action stands on what terms match, which is read anew in the pass that acts on it."""
    changes = isinstance(action, CreateProfile | DeleteProfile) and not case.going
    return changes and case.spec is not None and bool(case.spec.terms)


def takes_for_granted(action: Action) -> bool:
    """Say whether an action takes it that a profile is, or is not, as wanted: not to be done on what was not read."""
    return isinstance(action, Report) and (action.phase is Phase.READY or action.reason == "AdoptMismatch")
