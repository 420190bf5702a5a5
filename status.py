"""What the user sees of an object: its conditions, events and status.

The picture: what a pass reports, what EKS shows of the profile and what is to be remembered ->
conditions by the kstatus conventions -> the whole status; from old and new conditions -> the event.
Every reason and every event stands in a table, which the README's are held against.

Pure: no clock, no call, no log. What it is not: a decision (plan's), what is to be remembered (memory's), or the write
(reconcile's).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from actions import Action, CreateProfile, DeleteProfile, Phase, RemoveFinalizer, Report, refuse
from answers import AwsError, Busy, Refused
from aws import Profile
from case import Case
from clusters import MISSING_SECONDS, TIME_MAY_MEND, InFlight
from kube import Key, Object, TooLarge, WriteRefused
from limits import Settings
from patterns import LONGEST_LIST, LONGEST_NOTE, brief, steady, timestamp, visible, without_profiles
from plan import may_tell
from spec import BOOKKEEPING, FINALIZER, INFORMATIVE, OURS, OWNER_KEY, Identity, Memory, is_guarded, mapping
from surroundings import unusually_long

Said = TypeVar("Said", bound=Action)
TRUST_PROPAGATION = timedelta(minutes=2)  # IAM's, as Terraform's provider allows for it
TRUST_SECONDS = 15.0

ON_THE_WAY = {"Creating", "Deleting", "Replacing", "RollingBack"}
SHOWN = ("profileStatus", "createdAt", "subnets", "health")
MOST_SHOWN, LONGEST_CODE = 20, 200  # findings of EKS, things that one is about; characters of its kind
SHORT_MESSAGE = 100  # bytes that an object with no room for more gets
NO_ROOM = " (The object is too large for more.)"


# Conditions


class Noted(NamedTuple):
    """What an informative condition says. It stands for as long as this is so, and never touches Ready."""

    reason: str
    message: str


class News(NamedTuple):
    """What an object is told of its pods: their counts, None for no pods, and by type what conditions say of them."""

    pods: Object | None
    noted: Mapping[str, Noted]

    @property
    def reasons(self) -> dict[str, str]:
        return {kind: said.reason for kind, said in self.noted.items()}


@dataclass
class Counted:
    """How many pods a profile has in each state, and what Fargate bills for those that have a node.

    `unsized`: those of them of which that is not known, and which are not among vCPU and GiB. `blocked` are among the
    waiting and the finished ones.
    """

    running: int = 0
    starting: int = 0
    waiting: int = 0
    finished: int = 0
    stranded: int = 0
    blocked: int = 0
    vcpu: float = 0.0
    gib: float = 0.0
    unsized: int = 0


def noted_in(listed: Iterable[Object]) -> dict[str, Noted]:
    """Return what the informative conditions say that stand there, by their types."""
    told = (each for each in listed if each["type"] in INFORMATIVE and each.get("message"))
    return {each["type"]: Noted(each.get("reason", ""), each["message"]) for each in told}


def news_in(status: Object) -> News:
    """Return what a status says of pods."""
    return News(status.get("pods"), noted_in(written(status.get("conditions") or [])))


def conditions(
    old: Sequence[Object], who: Identity, report: Report, extra: Mapping[str, Noted], now: datetime
) -> list[Object]:
    """Return the conditions by the kstatus conventions, with the informative ones of `extra`, by their types.

    Those of other writers stay.
    """
    before = {each["type"]: each for each in old}
    ready = before.get("Ready", {})
    # A look that failed does not unsay what the last look showed.
    failed = report.retry or report.blind
    if not (failed and is_current(ready, who) and not who.deleting):
        ready = condition("Ready", report.phase is Phase.READY, report, before, who, now)
    ours = [ready]
    if report.phase in {Phase.RECONCILING, Phase.STALLED}:
        ours.append(condition(report.phase.value, True, report, before, who, now))
    for kind, said in sorted(extra.items()):
        ours.append(condition(kind, True, Report(report.phase, said.reason, said.message), before, who, now))
    return [*ours, *(each for each in old if each["type"] not in OURS)]


def condition(
    kind: str, holds: bool, report: Report, before: Mapping[str, Object], who: Identity, now: datetime
) -> Object:
    """Return one condition; its time is that of the last change of its status."""
    was, status, message = before.get(kind, {}), str(holds), brief(visible(report.message))
    # A note that came with a change is still true while EKS is at work on it.
    noted = str(was.get("message", "")).removesuffix(report.note)
    same = (was.get("reason"), was.get("observedGeneration")) == (report.reason, who.generation)
    if same and report.reason in ON_THE_WAY and noted.startswith(message):
        message = noted
    since = was.get("lastTransitionTime") if was.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        "reason": report.reason,
        "message": message + report.note,
        "observedGeneration": who.generation,
        "lastTransitionTime": since or timestamp(now),
    }


def written(listed: Sequence[Object]) -> list[Object]:
    """Return the conditions without the CRD's default, which says that no controller has looked yet."""
    return [each for each in listed if (each.get("type"), each.get("reason")) != ("Ready", "Pending")]


def find_condition(kind: str, listed: Sequence[Object]) -> Object:
    """Return the condition of that type, {} if it is not there."""
    return next((each for each in listed if each["type"] == kind), {})


def is_current(condition: Object, who: Identity) -> bool:
    """Say whether a condition is true of the object as it is now specified."""
    return condition.get("status") == "True" and condition.get("observedGeneration") == who.generation


def is_ready(listed: Sequence[Object], who: Identity) -> bool:
    """Say whether the object is told to be ready, as it is now specified."""
    return is_current(find_condition("Ready", listed), who)


def unless_ready(report: Report, listed: Sequence[Object], who: Identity) -> Report:
    """Let what was ready stay so while what tags have shown is looked at again; what was not is still on its way."""
    if report.reason != "SubnetsChanged" or is_ready(listed, who):
        return report
    return replace(report, phase=Phase.RECONCILING)


def since_of(condition: Object, otherwise: str) -> datetime:
    """Return when a condition became as it is; whoever wrote it may have left that out, or written no time."""
    try:
        since = datetime.fromisoformat(str(condition.get("lastTransitionTime")))
    except ValueError:
        since = datetime.fromisoformat(otherwise)
    return since if since.tzinfo else since.replace(tzinfo=UTC)


def phase_of(obj: Object) -> tuple[Phase, datetime]:
    """Return the phase that an object's status shows, and since when; one not looked at yet is on its way."""
    listed = written(mapping(obj.get("status")).get("conditions") or [])
    holds = {each["type"]: each for each in listed if each.get("status") == "True"}
    phase = Phase.IDLE if listed else Phase.RECONCILING
    for shown in (Phase.READY, Phase.RECONCILING, Phase.STALLED):  # the last one counts
        if shown.value in holds:
            phase = shown
    return phase, since_of(holds.get(phase.value, {}), obj["metadata"]["creationTimestamp"])


def noted_of(obj: Object) -> dict[str, Noted]:
    return noted_in(mapping(obj.get("status")).get("conditions") or [])


# Events


def event_of(report: Report, old: Sequence[Object], new: Sequence[Object]) -> tuple[str, str] | None:
    """Return the event and the note that tell of a change of conditions; None where nothing is to
    be told.

    Told is that the object has become ready or idle, that it stalls, or stalls for another reason.
    """
    before = find_condition("Ready", old)
    if report.phase is Phase.STALLED:
        was, stalled = find_condition("Stalled", old), find_condition("Stalled", new)
        if all(was.get(key) == stalled[key] for key in ("status", "reason", "message")):
            return None
        named = report.message.startswith(report.reason)
        note = report.message if named else f"{report.reason}: {report.message}"
        return REASONS[report.reason].event, note
    if report.phase is Phase.READY and before.get("status") != "True":
        return BECAME_READY.get(before.get("reason", ""), REASONS[report.reason].event), report.message
    if report.phase is Phase.IDLE and before.get("reason") != report.reason:
        return REASONS[report.reason].event, report.message
    return None


def begun(old: Sequence[Object], new: Sequence[Object]) -> dict[str, str]:
    """Return what the informative conditions say that were not there, or had another reason; overlaps apart."""
    was, now = noted_in(old), noted_in(new)
    fresh = (kind for kind in now.keys() - {"Overlapping"} if kind not in was or was[kind].reason != now[kind].reason)
    return {kind: now[kind].message for kind in sorted(fresh)}


def is_news(note: str, old: Sequence[Object], new: Sequence[Object]) -> bool:
    """Say whether a note stands in the conditions for the first time."""
    was, now = (str(find_condition("Ready", each).get("message", "")) for each in (old, new))
    return bool(note) and note in now and note not in was


BECAME_READY = {"Creating": "Created", "Replacing": "Replaced", "RollingBack": "RolledBack"}  # by what was under way


# The status


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


def shortened(status: Object) -> Object:
    """Return a status for an object that has no room for the whole one: what people read is cut, else nothing.

    Whole are what the controller remembers, names, ARNs, and the conditions of other writers.
    """
    short = {key: value for key, value in status.items() if key != "health"}
    if listed := status.get("conditions"):
        short["conditions"] = [each if each["type"] not in OURS else with_short_message(each) for each in listed]
    return short


def with_short_message(condition: Object) -> Object:
    whole = condition.get("message", "").removesuffix(NO_ROOM)
    return condition | {"message": brief(whole, SHORT_MESSAGE) + NO_ROOM}


def tells(condition: Object, message: str) -> bool:
    """Say whether a condition has this message: whole or cut, before a note, or short for want of room."""
    told, whole = str(condition.get("message")), brief(visible(message))
    head = told.removesuffix(NO_ROOM).removesuffix(" ...")
    return told.startswith(whole) or (head != told and (whole.startswith(head) or head.startswith(whole)))


def in_short(counted: Counted, stranded: int) -> Object | None:
    """Return the counts as status has them, None where there are no pods."""
    live = counted.running + counted.starting + counted.waiting
    if not (live or counted.finished or stranded):
        return None
    return {
        "running": counted.running, "starting": counted.starting, "waiting": counted.waiting,
        "finished": counted.finished, "stranded": stranded, "vcpu": counted.vcpu, "memoryGiB": counted.gib,
        **({"sizeUnknown": counted.unsized} if counted.unsized else {}),
        "summary": f"{live}, {stranded} stranded" if stranded else str(live),
    }  # fmt: skip


def shown_of(profile: Profile | None) -> Object:
    """Return what status shows of a profile, in EKS's own words."""
    if not profile:
        return {}
    health = [
        {
            "code": each.code[:LONGEST_CODE],
            "message": brief(steady(each.message), LONGEST_NOTE),
            "resourceIds": [*map(visible, each.resource_ids[:MOST_SHOWN])],
        }
        for each in profile.health[:MOST_SHOWN]
    ]
    subnets = sorted(profile.subnets)
    created_at = timestamp(profile.created_at)
    return {"profileStatus": profile.status, "createdAt": created_at, "subnets": subnets, "health": health}


# What a pass reports beside the plan's own words.


def asked_for(c: Case, name: str) -> Report:
    """Say that a profile is on its way to EKS, before EKS has answered."""
    if c.serving:
        text = f"EKS is asked to make profile {name} in the place of {c.serving.name}."
        return Report(Phase.RECONCILING, "Replacing", text)
    return Report(Phase.RECONCILING, "Creating", f"EKS is asked to make profile {name}.{c.memory.failed_before}")


def deferred(who: Identity) -> str:
    """Say of a stalled object that its namespace may not have a look at it yet (`workqueue.Thrift`)."""
    return (
        f"Looks at objects of namespace {who.namespace} that changed nothing have used up its share of AWS calls: "
        "what was edited or asked for here is looked at within 10 minutes. Fewer such edits and requests mend it."
    )


def lost_before(c: Case, status: Object) -> str:
    """Say that the profile which status still shows has gone, "" where that was our doing or is told already."""
    gone = c.serving is None and status.get("profileStatus") not in {None, "DELETING"}
    return " The one before had gone without the operator's doing." if gone else ""


def wait_behind(c: Case, flying: Sequence[InFlight], first: Key | None, to_do: str) -> Report:
    """Say what has the turn (a profile in flight, else the object that is first in line), and what is done then."""

    def named(name: str) -> str:
        return f"profile {name}" if may_tell(c, c.view.profiles.get(name)) else "a profile of others"

    told = (f"{named(each.name)} is {each.status}, seen since {timestamp(each.since)}" for each in flying)
    object_first = "/".join(first or ()) if c.settings.limits.may_tell(c.who, first) else "an object of others"
    before = ", ".join(told) or f"{object_first} comes first"
    rule = "EKS makes or deletes one profile of a cluster at a time"
    unusual = next(filter(None, (unusually_long(each.status, c.now - each.since) for each in flying)), "")
    text = f"{rule}: {before}, and this one waits for its turn; {to_do} then.{unusual}"
    return Report(Phase.RECONCILING, "WaitingForTurn", text)


def with_log(c: Case, say: Callable[[Case], Said]) -> Said:
    """Return what is said of a case, and beside it what the log says, where that names others and this does not."""
    said = say(c)
    if not (c.settings.limits.discreet and isinstance(said, Report | RemoveFinalizer)):
        return said
    frank = say(replace(c, settings=c.settings.frankly))
    if not isinstance(frank, Report | RemoveFinalizer) or frank.message == said.message:
        return said
    return replace(said, logged=frank.message)


def what_to_do(change: CreateProfile | DeleteProfile) -> str:
    if isinstance(change, CreateProfile):
        return f"profile {change.name} is made"
    return f"profile {change.profile.name} is deleted"


def wait_while_busy(until: datetime) -> Report:
    busy = "EKS says that it is busy with another profile of the cluster, and none is to be seen in flight"
    return Report(Phase.RECONCILING, "WaitingForTurn", f"{busy}: it is asked again at {timestamp(until)}.", until)


ROOM_FOR_REPLACE = (
    "updatePolicy: Replace needs room for one profile more; Recreate needs none, but deletes the old "
    "one and its pods before it makes the new one."
)


# What an error of AWS means for an object.


def report_of(
    error: AwsError, tried: datetime | None, now: datetime, held: float, known: Callable[[str], bool] = lambda _: True
) -> Report:
    """Return what an error means for an object whose creates were `tried` since then.

    `held`: the seconds for which nothing is asked of a cluster that is busy. `known`: whether the
    object may be told the name of a profile.
    """
    reason, message = error.reason, without_profiles(steady(str(error)), known)
    if isinstance(error, Busy):
        # Who has the turn is to be seen, and ends the waiting; of all else only time can be waited for.
        until = None if reason == "WaitingForTurn" else now + timedelta(seconds=held)
        return Report(Phase.RECONCILING, reason, message, until)
    if not isinstance(error, Refused):
        return Report(Phase.RECONCILING, reason, message, retry=True)
    if reason == "RoleNotTrusted" and tried and now < tried + TRUST_PROPAGATION:
        return Report(Phase.RECONCILING, reason, message, now + timedelta(seconds=TRUST_SECONDS))
    return refuse(reason, message)


# What a write to Kubernetes that was refused or undone means for it.


class Blocked(Exception):
    """A write to Kubernetes was refused, or undone; `report` says it."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.message)
        self.report = report


def write_refused(what: str, error: WriteRefused) -> Report:
    mend = "let the policy, webhook or rule that it names, or waits for, pass the operator's ServiceAccount"
    if isinstance(error, TooLarge):
        mend = "make the object smaller: take labels, annotations or finalizers off it, or shorten its spec"
    told = brief(f"{what}: {error}", LONGEST_LIST)
    text = f"The API server refuses to write {told}. To mend it, {mend}; it is tried again by itself."
    return Report(Phase.STALLED, "WriteRefused", text, retry=True)


def with_note(report: Report, who: Identity, settings: Settings) -> Report:
    """Say of a living object too that its deletion would wait; one whose profile is out of reach may always go."""
    if who.deleting or not who.retain or settings.may_retain(who.namespace) or report.reason == "WrongHome":
        return report
    what = f"RetainNotAllowed: objects of namespace {who.namespace} may not leave their profile, so a deletion waits"
    mend = f"set spec.deletionPolicy: Delete, or start the operator with --allow-retain-in={who.namespace}"
    return replace(report, note=f" {what}: {mend}.")


def told_before(listed: Sequence[Object], who: Identity) -> str:
    """Return the reason that is told of this generation already, "" for none."""
    ready = find_condition("Ready", listed)
    return str(ready.get("reason", "")) if ready.get("observedGeneration") == who.generation else ""


def waits_in_vain(listed: Sequence[Object]) -> bool:
    """Say whether something speaks against the object, or spoke against it before its last edit."""
    stalled = find_condition("Stalled", listed).get("status") == "True"
    return stalled or find_condition("Ready", listed).get("reason") in TIME_MAY_MEND


def settled(obj: Object, default_cluster: str, arn: Callable[[Identity], str] | None = None) -> Identity | None:
    """Return who the object is whose profile is shown to be all that it wants, None where there is more to do.

    Then only what others change in AWS can give a look something to do. `arn` says where an object's cluster is
    for us; without it is believed what status says of that.
    """
    memory, listed = Memory.parse(obj), mapping(obj.get("status")).get("conditions") or []
    who = Identity.parse(obj, memory, default_cluster)
    told = is_current(find_condition("Ready", listed), who) and memory.observed_generation == who.generation
    unrest = ("Reconciling", "Stalled", "Overlapping")
    at_rest = not any(find_condition(kind, listed).get("status") == "True" for kind in unrest)
    guarded = FINALIZER in who.finalizers and not who.from_kopf and not who.deleting
    nothing_open = memory.create_started_at is None and memory == memory.settled()
    answered = not who.asks(memory)
    at_home = memory.cluster_arn and memory.cluster_arn == (arn(who) if arn else memory.cluster_arn)
    return who if told and at_rest and guarded and nothing_open and answered and at_home else None


def wait_or_stall(report: Report, waited: timedelta, patience: timedelta, now: datetime) -> Report:
    """Return what is said of what time may mend, once it was waited for so long.

    What is not there is looked for less and less often.
    """
    if waited >= patience:
        return replace(report, phase=Phase.STALLED, until=None)
    if report.reason != "ClusterNotFound":
        return report
    least, most = (timedelta(seconds=each) for each in MISSING_SECONDS)
    return replace(report, until=now + min(max(waited, least), most, patience - waited))


def undone(what: str, stalls: bool = True) -> Report:
    """`stalls`: somebody else changes it back; otherwise it may only be slow to show."""
    cause = "a webhook or a policy changes what the operator writes; let it leave the operator's writes alone"
    slow = "it was answered as done; it is done again, less and less often"
    phase = Phase.STALLED if stalls else Phase.RECONCILING
    return Report(phase, "WriteUndone", f"A write did not take: {what}: {cause if stalls else slow}.", retry=True)


def not_taken(written: Sequence[str], answered: Sequence[str]) -> str:
    """Say what of our finalizer the API server's answer to a write of it does not show, "" for nothing."""
    if (FINALIZER in written) == is_guarded(answered):
        return ""
    if FINALIZER in written:
        return "the finalizer that was put in is not there in the API server's answer"
    return "the finalizer that was taken off is still there in the API server's answer"


# Why a profile with our tags is no object's.


def ownerless(profile: Profile) -> str:
    owner = profile.tags.get(OWNER_KEY, "(no owner tag)")
    return f"its owner {owner} does not exist; delete it by hand if nobody needs it"


def stray(profile: Profile, who: Identity, here: str, homes: Collection[str]) -> str:
    """Return "" where it is this object's, whose tags it has.

    `here`: the ARN of the profile's cluster; `homes`: of those that the object names or has a profile in, "" for one
    that is not known now.
    """
    if any(homes) and here not in homes:
        return f"its owner {who.owner} is of another EKS cluster; delete it by hand if nobody needs it"
    return "" if who.may_name(profile.name) else f"tags of {who.owner} on a profile that is not its own"


# The log: one line an action or error; the fields are a mapping, so that a JSON line has each on its own.

_WHERE = "object=%(object)s cluster=%(cluster)s profile=%(profile)s"
LOGGED_ACTION = f'done action=%(reason)s {_WHERE} message="%(message)s"'
LOGGED_ERROR = f'failed {_WHERE} reason=%(reason)s message="%(message)s"'
LOGGED_SURVEY = 'failed cluster=%(cluster)s reason=%(reason)s message="%(message)s"'
LOGGED_ORPHAN = 'orphan cluster=%(cluster)s profile=%(profile)s message="%(message)s"'


def fields_of(who: Identity, profile: str, reason: str, message: str) -> dict[str, str]:
    where = {"object": who.owner, "cluster": who.cluster, "profile": profile}
    return where | {"reason": reason, "message": message}


# The tables


class Reason(NamedTuple):
    """A word of the conditions: the phases that an object can be in with it, what it means, its event."""

    phases: tuple[Phase, ...]
    meaning: str
    event: str = ""


class Event(NamedTuple):
    kind: str  # Kubernetes' own two
    meaning: str


def waits(meaning: str) -> Reason:
    return Reason((Phase.RECONCILING,), meaning)


def stalls(meaning: str, event: str = "Refused") -> Reason:
    return Reason((Phase.STALLED,), meaning, event)


def waits_or_stalls(meaning: str) -> Reason:
    return Reason((Phase.RECONCILING, Phase.STALLED), meaning, "Refused")


REASONS: Mapping[str, Reason] = {
    "Pending": Reason(
        (), "no operator has looked at the object yet: none runs, none serves it, or it has not come to it"
    ),
    "Active": Reason(
        (Phase.READY,),
        "EKS shows the profile as ACTIVE, with the role, selectors, subnets and tags of the spec",
        "Active",
    ),
    "Creating": waits("the profile was asked for, or EKS is making it"),
    "Replacing": waits(
        "under updatePolicy: Replace a new profile takes the place of the old one; the message "
        "names both and how far it is"
    ),
    "RollingBack": waits("the spec was put back while a replacement was under way; the new profile goes"),
    "Deleting": waits("EKS is deleting the profile, or a create is waited for whose answer may have been lost"),
    "WaitingForTurn": waits(
        "EKS makes or deletes one profile of a cluster at a time; the message names the one that "
        "is being made or deleted, or the object that comes first"
    ),
    "WaitingForName": waits("a profile of the wanted name, not this object's, is being deleted"),
    "ClusterUpdating": waits("EKS is updating the cluster and takes no profile meanwhile"),
    "ClusterBusy": waits("EKS says that the cluster or the profile is in use, and not why"),
    "ClusterNotActive": waits_or_stalls("the cluster is not ACTIVE"),
    "ClusterNotFound": waits_or_stalls("EKS has no cluster of that name in this account and region"),
    "ProfileGone": waits("the profile went while it was being tagged"),
    "Propagating": waits("EKS waits for one of AWS's own changes to spread"),
    "Throttled": waits("AWS asks for fewer calls"),
    "AwsUnavailable": waits("AWS answered with an error of its own"),
    "AwsUnreachable": waits("AWS could not be reached, or gave no answer in time"),
    "AwsError": waits_or_stalls("AWS answered with something that the operator does not know"),
    "NoCredentials": waits("the operator has no AWS credentials; the message names the source that gives none"),
    "CredentialsExpired": waits("the credentials have ended, or AWS takes them for expired or wrongly signed"),
    "Suspended": Reason(
        (Phase.IDLE,),
        "spec.suspend is true; when the object is deleted, its profile stays until that is unset",
        "Suspended",
    ),
    "Released": Reason(
        (Phase.IDLE,),
        "the operator is done with an object that is being deleted; finalizers of others still hold it",
        "Released",
    ),
    "InvalidSpec": stalls(
        "a field breaks a rule that holds in every account, or the role is missing and has no default"
    ),
    "ImmutableField": stalls("role, selectors or subnets were edited, and EKS cannot change them"),
    "NameTaken": waits_or_stalls("the cluster has a profile of that name that is not this object's"),
    "AdoptMismatch": stalls("a profile is not taken over because it is not what the spec says"),
    "WrongHome": stalls(
        "the profile was made in another account, region or cluster than the one this operator looks at"
    ),
    "WrongController": stalls(
        "the object is deleted, and its profile is tagged for it by another controller id; the message names both"
    ),
    "RetainNotAllowed": stalls(
        "the object is deleted with deletionPolicy: Retain, which its namespace may not (--allow-retain-in)"
    ),
    "RoleNotAllowed": stalls("objects may not pass this role here (--allowed-roles)"),
    "SelectorNotAllowed": stalls(
        "a selector reaches into another namespace than the object's own (--selector-namespaces=own)"
    ),
    "ClusterNotAllowed": stalls(
        "clusterName is none that objects of this namespace may name (--clusters-file, --selector-namespaces=own)"
    ),
    "ClusterWithoutFargate": stalls("the cluster is only registered with EKS, or has its control plane on an Outpost"),
    "SubnetNotFound": stalls("a subnet does not exist in the region"),
    "SubnetOfOtherVpc": stalls("a subnet is not in the cluster's VPC"),
    "SubnetPublic": stalls("a subnet routes to an internet gateway"),
    "NoSubnetMatches": stalls("the VPC has no subnet for a profile that a term of subnetSelectorTerms matches"),
    "SubnetsChanged": Reason(
        (Phase.READY, Phase.RECONCILING),
        "a subnet of the profile is not matched by subnetSelectorTerms any more, and is looked at once more before "
        "that counts as an edit",
        "Active",
    ),
    "SubnetUnsupportedZone": stalls(
        "a subnet is in a Local Zone, a Wavelength Zone, an Outpost, or a zone without Fargate"
    ),
    "RoleNotFound": stalls("the account has no role of that ARN"),
    "RoleNotTrusted": waits_or_stalls("Fargate may not assume the role"),
    "RoleWithoutPolicy": stalls("the role has no policy at all, attached or inline"),
    "WrongAccount": stalls("the AWS credentials are of another account than the cluster that the kubeconfig names"),
    "AccessDenied": stalls("the operator's IAM role may not make a call"),
    "CredentialsRefused": stalls(
        "AWS does not take the credentials: it does not know the key or token, or the role may not be assumed with it"
    ),
    "RegionRefused": stalls("the account may not use the region, or EKS has no Fargate there"),
    "QuotaExceeded": stalls("a quota of the account is used up; updatePolicy: Replace needs room for one profile more"),
    "ParameterRefused": stalls("EKS refuses a value; the message has its words"),
    "WriteRefused": stalls("the API server, or a policy or webhook that it asks, refuses a write of the operator"),
    "WriteUndone": waits_or_stalls(
        "a write of the operator was answered as done, and what is seen then does not show it"
    ),
    "CreateFailed": stalls("EKS reports CREATE_FAILED; the message has its health issues", "CreateFailed"),
    "DeleteFailed": stalls("EKS reports DELETE_FAILED; the message has its health issues", "DeleteFailed"),
}

EVENTS: Mapping[str, Event] = {
    "Created": Event("Normal", "the profile has become ACTIVE"),
    "Active": Event("Normal", "the object has become ready otherwise, for one after an edit was taken back"),
    "ProfileLost": Event("Warning", "a profile had gone without the operator's doing, and is made anew"),
    "Replacing": Event("Normal", "EKS has taken the request for the new profile"),
    "Replaced": Event("Normal", "the new profile serves, and the old one has gone"),
    "RolledBack": Event("Normal", "the spec was put back, and the profile made for the edit has gone"),
    "Adopted": Event(
        "Normal", "a profile has got the owner tags of the object: by adoptionPolicy: Adopt, or from the kopf operator"
    ),
    "Overlapping": Event("Warning", "another profile of the cluster can match the same pods"),
    "PodsStranded": Event(
        "Warning", "pods wait for what will not come: EKS missed them, or the profile that it took them for is gone"
    ),
    "PodsBlocked": Event(
        "Warning", "pods that EKS has taken can't start on Fargate; the note has why and what mends it"
    ),
    "PodsFinished": Event("Normal", "finished pods of Jobs or of nobody are still kept, and billed"),
    "Tagged": Event("Normal", "tags were set"),
    "Untagged": Event("Normal", "tags were taken away"),
    "Deleting": Event("Normal", "EKS has taken the request to delete the profile"),
    "Deleted": Event("Normal", "EKS has no profile of the object any more, and the object goes"),
    "Retained": Event("Normal", "the object goes, the profile is kept"),
    "RetainNotAllowed": Event("Warning", "as the reason of that name, said of an object that is not deleted yet"),
    "Suspended": Event("Normal", "as the reason of that name"),
    "Released": Event("Normal", "as the reason of that name"),
    "Refused": Event("Warning", "the object is stalled; the note starts with the reason"),
    "Deferred": Event(
        "Warning", "an edit or a requested look of a stalled object waits, as its namespace had too many"
    ),
    "WriteRefused": Event("Warning", "the status of the object can't be written; the note has the API server's words"),
    "CreateFailed": Event("Warning", "as the reason of that name"),
    "DeleteFailed": Event("Warning", "as the reason of that name"),
    "RolePolicyMissing": Event(
        "Warning",
        "the role has policies, but not AmazonEKSFargatePodExecutionRolePolicy: its pods start "
        "only if the others let them pull images",
    ),
    "SubnetFull": Event("Warning", "a subnet of the profile that is made has no free address"),
    "SubnetWithoutWayOut": Event("Warning", "no route leads out of the VPC from a subnet of the profile that is made"),
    "WayOutDead": Event("Warning", "the default route of a subnet of the profile that is made leads to what is gone"),
    "RoleUnknownToCluster": Event(
        "Warning", "the cluster does not know the role, so no pod can start; the note has the command that mends it"
    ),
    "DefaultsChanged": Event(
        "Normal",
        "the role or subnets of the profile are those of a default that is another now, "
        "or default tags can't be set or taken off",
    ),
    "ProfileUnhealthy": Event("Warning", "EKS finds an ACTIVE profile unhealthy; the note has its words"),
    "ClusterElsewhere": Event(
        "Warning",
        "the profile is made in an EKS cluster that is not the Kubernetes cluster of the object; "
        "the note says what mends it",
    ),
    "ProfileLeft": Event(
        "Warning",
        "an object goes, and a profile of its name stays: one that another controller id has tagged, or "
        "of an object of the kopf operator one that is not shown to be the object's",
    ),
}
