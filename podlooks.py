"""Looks at the pods of the cluster that we talk to: what is seen of them, and what each object is told.

The picture: five lists, page by page, each pod cut to what is needed (`Reading`) -> `Look` -> `News` of
each object whose profile the view has -> the reconciler, which writes it beside what it writes anyway.

`PodLooks.step` is driven by a thread of its own: no worker, turn or lock of the passes waits for it. What
is not known (no permission, no proof that this is the cluster of the profiles, a look that did not end)
is unknown, said once in the log, and told of no object. What it is not: what a profile means for a pod
(pods), or a change of anything.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, Protocol, get_args

import pods
from answers import AwsError
from aws import Profile
from clusters import View
from informer import Store, key_of
from kube import Key, KubeError, Object, Objects
from limits import Settings
from patterns import capacity, listed, matches, moment
from pods import DEFAULT_SCHEDULER, FARGATE_SCHEDULER, PROFILE_LABEL, Row, Stranded
from spec import POD_CONDITIONS, Identity, Memory, mapping
from status import Counted, News, Noted, in_short, noted_in, written

log = logging.getLogger("fargate.pods")

STEP_SECONDS = 2.0  # between two glances at what this process knows; they ask nobody
LEAST_SECONDS = 60.0  # between two looks, whoever wants one
SETTLING_SECONDS = 60.0  # from a profile's being ACTIVE to the look at what it has missed: EKS takes its time too
LOOK_SECONDS, PAGE_SECONDS = 60.0, 30.0  # that a look and a page of it may take
OLD_VIEW = 2.0  # resyncs: what was seen longer ago says nothing
MOST_WAITING = 5000  # pods that are judged; the others are counted
MOST_RAW = 16 << 20  # bytes of pods that are kept
LONGEST_SAID, LONGEST_OWNER = 1000, 1000  # characters that are kept of what anybody may have written
MOST_IN_A_ROW = 20  # looks that the one before has wanted; from then on there is one a resync
MOST_UNSURE = 3  # looks of a new process that tell nothing, since pods wait for profiles that may be there
MOST_MISSING = 5  # profiles for which the view is renewed between two resyncs
MOST_NAMES, MOST_CAUSES = 5, 3  # in a message
SLOW = timedelta(minutes=5)  # for Fargate to place a pod; under pressure it has taken 7, and most take one
LONG_ENDED = timedelta(hours=1)

State = Literal["running", "starting", "waiting", "finished", "stranded"]
STATES: tuple[State, ...] = get_args(State)


class Owner(NamedTuple):
    """Who makes a pod anew: the owner reference with controller: true."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class Seen:
    """A pod that waits without a node, or one that has ended and is to be told of.

    `holder`: the profile for which EKS has taken it, "" for none. `since`: when this process saw it waiting for
    the first time, monotonic seconds. `blocked`: why it does not start, the word of `pods.TEXTS` or one of `WORDS`,
    "" for nothing; `said` in the words of its scheduler or kubelet. `lingers`: it has ended long ago, and nobody
    takes it away. `raw`: the pod itself without managedFields, of stranded ones alone, as JSON: that is a tenth of
    what it takes in memory otherwise.
    """

    key: Key
    uid: str
    version: str
    owner: Owner | None
    holder: str
    state: State
    since: float
    stranded: Stranded
    blocked: str = ""
    said: str = ""
    lingers: bool = False
    raw: bytes = b""

    @property
    def pod(self) -> Object:
        found: Object = json.loads(self.raw)
        return found


@dataclass(frozen=True)
class Look:
    """One look at all pods, begun at `at` (monotonic seconds) beside `view`, the profiles as they were known then.

    `counted` is by profile of the view, "" for all other Fargate pods. `taken`: by owner (`owned_by`), the uids of
    its pods that EKS has taken for a profile, but for those that wait in vain, or may. `placed`: those of them that
    Fargate has given a node, or is about to, which users can't easily feign. `beyond`: pods that wait and were not
    looked at, as there were too many before. `missing`: profiles for which pods wait, and that may have been made since
    the view. `why`: why the look is not complete, "" if it is.
    """

    at: float
    view: View
    seen: tuple[Seen, ...] = ()
    counted: Mapping[str, Counted] = field(default_factory=dict)
    taken: Mapping[str, frozenset[str]] = field(default_factory=dict)
    placed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    beyond: int = 0
    missing: frozenset[str] = frozenset()
    why: str = ""

    @property
    def complete(self) -> bool:
        return not self.why


# What is asked for


class List(NamedTuple):
    """One list of pods, and the state that they are in; `whole`: more than their metadata is needed."""

    state: State
    fields: str
    whole: bool

    @property
    def query(self) -> Mapping[str, str]:
        # Of pods that wait the label may be anybody's: what is read of them is judged.
        labels = {} if self.state == "waiting" else {"labelSelector": PROFILE_LABEL}
        return {"fieldSelector": self.fields, **labels}


_OF_FARGATE = f"spec.schedulerName={FARGATE_SCHEDULER}"
# In the order in which pods live: who moves on between two lists is seen twice, and counts by the later one. Those of
# Fargate first: of the others there may be so many that no more are judged.
LISTS = (
    List("waiting", f"status.phase=Pending,spec.nodeName=,{_OF_FARGATE}", True),
    List("waiting", f"status.phase=Pending,spec.nodeName=,spec.schedulerName={DEFAULT_SCHEDULER}", True),
    List("starting", f"status.phase=Pending,spec.nodeName!=,{_OF_FARGATE}", False),
    List("running", f"status.phase=Running,{_OF_FARGATE}", False),
    List("finished", f"status.phase!=Running,status.phase!=Pending,{_OF_FARGATE}", True),
)
PODS = "/api/v1/pods"


class Lists(Protocol):
    """The Kubernetes edge, as far as it is needed here."""

    def may_list_pods(self) -> bool: ...
    def pages(
        self, path: str, query: Mapping[str, str], *, metadata_only: bool = False, seconds: float = PAGE_SECONDS
    ) -> Iterator[tuple[Objects, str]]: ...


# One look


def owned_by(namespace: str, owner: Owner) -> str:
    """Return what an owner is known by: whoever makes pods elsewhere may write its uid into them."""
    return f"{namespace}/{owner.uid}"


class Slot(NamedTuple):
    """What is counted of a pod: its state, its profile, and what is billed for it."""

    state: State
    profile: str
    size: Row | None = None


@dataclass
class First:
    """When a pod was first seen to wait, monotonic; and of the profile that it was taken for the ARN that a view of
    later has shown, "" for none: no profile of that name with another ARN can be the one that it waits for."""

    at: float
    arn: str | None = None


@dataclass
class Reading:
    """A look that has begun: what was seen so far, by uid. `now` is the wall clock's; `since` is kept between looks."""

    begun: float
    now: datetime
    view: View
    since: dict[str, First]
    slots: dict[str, Slot] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    taken: dict[str, set[str]] = field(default_factory=dict)
    placed: dict[str, set[str]] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    reached: dict[str, frozenset[str]] = field(default_factory=dict)
    kept: int = 0  # bytes
    beyond: int = 0
    missing: set[str] = field(default_factory=set)

    def take(self, state: State, pod: Object) -> None:
        """Take a pod of a list."""
        meta = mapping(pod.get("metadata"))
        uid, owner = str(meta.get("uid")), owner_of(meta)
        self.seen.pop(uid, None)
        if state == "waiting":
            self._take_waiting(uid, owner, pod)
            return
        given, profile = provisioned(meta), self._its(meta, label_of(meta))
        self.slots[uid] = Slot(state, profile, given or (pods.size(pod).least if state == "finished" else None))
        self._took(uid, meta, placed=state != "finished" and given is not None)
        if state == "finished":
            self._take_finished(uid, owner, pod)

    def _its(self, meta: Object, name: str) -> str:
        """Return the profile of that name if it can have a pod, else "": labels are anybody's."""
        return name if name in self._reaching(str(meta.get("namespace"))) else ""

    def _reaching(self, namespace: str) -> frozenset[str]:
        """Return the profiles that can have pods of a namespace."""
        if namespace not in self.reached:
            found = (name for name, each in self.view.profiles.items() if reaches(each, namespace))
            self.reached[namespace] = frozenset(found)
        return self.reached[namespace]

    def _took(self, uid: str, meta: Object, *, placed: bool) -> None:
        if owner := owner_of(meta):
            of = owned_by(str(meta.get("namespace")), owner)
            for known in (self.taken, self.placed) if placed else (self.taken,):
                known.setdefault(of, set()).add(uid)

    def _take_waiting(self, uid: str, owner: Owner | None, pod: Object) -> None:
        meta, holder = mapping(pod.get("metadata")), pods.holder(pod)
        profile = self._its(meta, holder)
        if holder:
            self.slots[uid] = Slot("waiting", profile)
        if not self._reaching(str(meta.get("namespace"))):
            return  # made anew it would be no profile's either
        if len(self.waiting) >= MOST_WAITING:
            self.beyond += 1
            return
        self.waiting.add(uid)
        since, found = self._judged(uid, holder, pod)
        raw = trimmed(pod) if found.answer == "yes" else b""
        if self.kept + len(raw) > MOST_RAW:
            self.beyond += 1
        elif raw:
            self.kept += len(raw)
            name = found.choice.profile.name if found.choice and found.choice.profile else ""
            self.slots[uid] = Slot("stranded", name)
            self.seen[uid] = self._seen(uid, owner, pod, "stranded", since, found, raw=raw)
        elif holder:
            said = unscheduled(pod)
            blocked = self._blocked(said, moment(meta.get("creationTimestamp")))
            if found.answer == "no" and profile:
                self._took(uid, meta, placed=bool(mapping(pod.get("status")).get("nominatedNodeName")))
            plain = Stranded(found.answer, "")  # why may be long, and nobody asks
            self.seen[uid] = self._seen(uid, owner, pod, "waiting", since, plain, blocked, said)

    def _judged(self, uid: str, holder: str, pod: Object) -> tuple[float, Stranded]:
        """Return since when a pod waits, and whether it is stranded, with no clocks compared."""
        first = self.since.setdefault(uid, First(self.begun))
        profile = self.view.profiles.get(holder)
        arn, hidden = profile.arn if profile else "", {*self.view.hidden}
        if self.view.at > first.at:
            first.arn = arn if first.arn is None else first.arn
        elif holder and not profile:
            hidden.add(holder)  # it may have been made since the profiles were looked at
            self.missing.add(holder)
        replaced = first.arn is not None and first.arn != arn
        since = LONG_AGO if replaced else None
        return first.at, pods.stranded(pod, [*self.view.profiles.values()], hidden, since)

    def _blocked(self, said: str, made: datetime | None) -> str:
        """Return the word for why Fargate does not place a pod, "" as long as nothing is wrong."""
        means = pods.translated(said)
        if refused := next((each.reason for each in means if each.again is not True), ""):
            return refused
        # Clocks may be apart: here that only chooses when a word is said.
        if made is None or self.now - made < SLOW:
            return ""
        return means[0].reason if means else UNKNOWN_TEXT if said else SLOWLY

    def _take_finished(self, uid: str, owner: Owner | None, pod: Object) -> None:
        status = mapping(pod.get("status"))
        said = str(status.get("message") or "")[:LONGEST_SAID] if status.get("reason") == "UnsupportedPodSpec" else ""
        means = pods.translated(said)
        blocked = means[0].reason if means else UNKNOWN_TEXT if said else ""
        nobody_s = owner is None or owner.kind == "Job"
        lingers = nobody_s and self.now - ended(pod, self.now) >= LONG_ENDED
        if (blocked or lingers) and len(self.seen) < 2 * MOST_WAITING:
            found = self._seen(uid, owner, pod, "finished", self.begun, NOT_STRANDED, blocked, said, lingers=lingers)
            self.seen[uid] = found

    def _seen(
        self, uid: str, owner: Owner | None, pod: Object, state: State, since: float, found: Stranded,
        blocked: str = "", said: str = "", *, lingers: bool = False, raw: bytes = b"",
    ) -> Seen:  # fmt: skip
        meta = mapping(pod.get("metadata"))
        key, version = (str(meta.get("namespace")), str(meta.get("name"))), str(meta.get("resourceVersion"))
        holder = pods.holder(pod) if state == "stranded" else self._its(meta, pods.holder(pod))
        return Seen(key, uid, version, owner, holder, state, since, found, blocked, said, lingers, raw)

    def look(self, why: str = "") -> Look:
        """Return the look: whole, or what it has come to."""
        counted = {name: Counted() for name in (*self.view.profiles, "")}
        for slot in self.slots.values():
            count(counted[slot.profile], slot)
        for each in self.seen.values():
            if each.blocked:
                counted[each.holder].blocked += 1
        taken, placed = (
            {owner: frozenset(uids) for owner, uids in known.items()} for known in (self.taken, self.placed)
        )
        seen = (*self.seen.values(),)
        missing = frozenset(self.missing)
        return Look(self.begun, self.view, seen, counted, taken, placed, self.beyond, missing, why)


def reaches(profile: Profile, namespace: str) -> bool:
    return any(matches(namespace, each.namespace) for each in profile.selectors)


def count(counted: Counted, slot: Slot) -> None:
    setattr(counted, slot.state, getattr(counted, slot.state) + 1)
    if slot.state in {"waiting", "stranded"}:  # nothing is billed yet
        return
    if slot.size:
        counted.vcpu += slot.size.vcpu
        counted.gib += slot.size.gib
    else:
        counted.unsized += 1


# What is read of a pod

LONG_AGO = datetime.min.replace(tzinfo=UTC)
NOT_STRANDED = Stranded("no", "it has ended")


def owner_of(meta: Object) -> Owner | None:
    listed = meta.get("ownerReferences")
    for each in listed if isinstance(listed, list) else ():
        if mapping(each).get("controller") is True:
            named = Owner(*(str(each.get(name) or "") for name in ("apiVersion", "kind", "name", "uid")))
            return named if sum(map(len, named)) <= LONGEST_OWNER else None  # else no controller has written it
    return None


def label_of(meta: Object) -> str:
    return str(mapping(meta.get("labels")).get(PROFILE_LABEL) or "")


def provisioned(meta: Object) -> Row | None:
    """Return what Fargate has given to a pod by its own word."""
    found = capacity(mapping(meta.get("annotations")).get("CapacityProvisioned"))
    return Row(*found) if found else None


def unscheduled(pod: Object) -> str:
    """Return what a pod's scheduler says of why it has no place, "" for nothing."""
    listed = mapping(pod.get("status")).get("conditions")
    for each in map(mapping, listed if isinstance(listed, list) else ()):
        if (each.get("type"), each.get("status")) == ("PodScheduled", "False"):
            return str(each.get("message") or "")[:LONGEST_SAID]
    return ""


def trimmed(pod: Object) -> bytes:
    meta = {key: value for key, value in mapping(pod.get("metadata")).items() if key != "managedFields"}
    return json.dumps({**pod, "metadata": meta}).encode()


def ended(pod: Object, otherwise: datetime) -> datetime:
    """Return when the last of a pod's containers ended, or else something was last said of it."""
    status = mapping(pod.get("status"))
    containers, conditions = (status.get(name) for name in ("containerStatuses", "conditions"))
    states = [mapping(mapping(each).get("state")) for each in containers] if isinstance(containers, list) else []
    told = [mapping(each.get("terminated")).get("finishedAt") for each in states]
    if not any(told) and isinstance(conditions, list):
        told = [mapping(each).get("lastTransitionTime") for each in conditions]
    return max(filter(None, map(moment, told)), default=otherwise)


# What an object is told

UNKNOWN_TEXT, SLOWLY = "UnknownText", "NotPlaced"  # beside the words of `pods.TEXTS`
WORDS = {each.reason: each.mend for each in (*pods.TEXTS, *pods.OTHERWISE)} | {
    UNKNOWN_TEXT: "What it means is not known here.",
    SLOWLY: (
        "Nothing was said for over 5 minutes: if it lasts, check that the profile's subnets have free addresses, then "
        "make the pods anew."
    ),
}
ORDER = [*WORDS]
CAUSES = {
    "NeverTaken": "no profile that fits was ACTIVE then",
    "ProfileGone": "the profile that it was taken for is gone",
}
NOTHING = News(None, {})


def news_of(namespace: str, profile: str, look: Look, concerned: Collection[Seen], words: str = "") -> News:
    """Return what an object of this namespace is told of the pods of its profile; `words` of their evictions."""
    found = sorted_out(concerned)
    noted = {
        "PodsStranded": told_stranded(namespace, profile, found["PodsStranded"], words, look.beyond),
        "PodsBlocked": told_blocked(namespace, found["PodsBlocked"]),
        "PodsFinished": told_finished(namespace, found["PodsFinished"]),
    }
    counts = in_short(look.counted.get(profile, Counted()), len(found["PodsStranded"]))
    return News(counts, {kind: said for kind, said in noted.items() if said})


def sorted_out(concerned: Collection[Seen]) -> dict[str, list[Seen]]:
    """Return which pods each condition speaks of."""
    others = [each for each in concerned if each.state != "stranded"]
    return {
        "PodsStranded": [each for each in concerned if each.state == "stranded"],
        "PodsBlocked": [each for each in others if each.blocked],
        "PodsFinished": [each for each in others if each.lingers],
    }


def by_profile(found: Iterable[Seen]) -> dict[str, list[Seen]]:
    concerned: dict[str, list[Seen]] = {}
    for each in found:
        for name in profiles_of(each):
            concerned.setdefault(name, []).append(each)
    return concerned


def profiles_of(seen: Seen) -> tuple[str, ...]:
    """Return the profiles whose objects are told of a pod: of a stranded one those that may take it now."""
    if seen.state != "stranded":
        return (seen.holder,)
    choice = seen.stranded.choice
    return () if choice is None else (choice.profile.name,) if choice.profile else choice.could


def named(found: Sequence[Seen], namespace: str) -> str:
    """Return how many pods there are, and which: those of other namespaces are only counted."""
    own = sorted(each.key[1] for each in found if each.key[0] == namespace)
    shown, more = own[:MOST_NAMES], len(own) - MOST_NAMES
    others = len(found) - len(own)
    told = [*shown, *([f"{more} more"] if more > 0 else []), *([f"{others} of other namespaces"] if others else [])]
    return f"{len(found)} pod{'' if len(found) == 1 else 's'} ({', '.join(told)})"


def told_stranded(namespace: str, profile: str, found: Sequence[Seen], words: str, beyond: int) -> Noted | None:
    if not found:
        return None
    reason = "ProfileGone" if all(each.holder for each in found) else "NeverTaken"
    sure = all(profiles_of(each) == (profile,) for each in found)
    which = f"Profile {profile}" if sure else f"Profile {profile}, or another that fits,"
    mend = "kubectl rollout restart of the owners"
    mend += "" if words else ", or set spec.strandedPods: Evict"  # it is set where something is said of it
    text = (
        f"{named(found, namespace)} stranded: EKS looks at a pod only as it is made, and {CAUSES[reason]}. "
        f"{which} takes what is made anew: {mend}."
    )
    if any(each.owner is None or each.owner.kind == "Job" for each in found):
        text += " What a Job or nobody owns has to be deleted by hand, and what nobody owns made again."
    more = f" {beyond:,} more waiting pods of the cluster were not looked at." if beyond else ""
    return Noted(reason, f"{text}{more}{f' {words}' if words else ''}")


def told_blocked(namespace: str, found: Sequence[Seen]) -> Noted | None:
    if not found:
        return None
    causes = sorted({each.blocked for each in found}, key=ORDER.index)
    told = []
    for cause in causes[:MOST_CAUSES]:
        pods_of_it = [each for each in found if each.blocked == cause]
        own = min((each for each in pods_of_it if each.key[0] == namespace), key=lambda each: each.key, default=None)
        said = f" ({own.said})" if own and own.said else ""
        told.append(f"{cause}: {named(pods_of_it, namespace)} not started on Fargate. {WORDS[cause]}{said}")
    rest = len(causes) - MOST_CAUSES
    more = [f"And {rest} more causes."] if rest > 0 else []
    return Noted(causes[0], " ".join([*told, *more]))


def told_finished(namespace: str, found: Sequence[Seen]) -> Noted | None:
    if not found:
        return None
    text = (
        f"{named(found, namespace)} ended over an hour ago: Fargate keeps what each had, an address too, and bills it "
        "until the pod is deleted. Set ttlSecondsAfterFinished in the Jobs, and delete what nobody owns."
    )
    return Noted("StillBilled", text)


# When it is looked


class PodLooks:
    """The looks at pods of a process. `step` belongs to one thread; `news`, `ask` and `counted` may be called by any.

    `view` returns the profiles of the settings' cluster as they were seen last, `renew` has them looked at anew.
    To be set: `proof` says why it is not known that this is the cluster which we talk to, "" where that is proven;
    `at_home` whether it is an object's. `wake` is called with objects whose conditions have to be written. `held`:
    whether this process acts. `after` is what evicts: it is given each complete look, and returns whether it wants
    another soon, and what objects are told.
    """

    def __init__(
        self,
        edge: Lists,
        store: Store,
        settings: Settings,
        view: Callable[[], View | None],
        wake: Callable[[Key], None],
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        held: Callable[[], bool] = lambda: True,
        renew: Callable[[], None] = lambda: None,
        after: Callable[[Look], tuple[bool, Mapping[Key, str]]] = lambda _look: (False, {}),
    ) -> None:
        self._edge, self._store, self.cluster, self._period = edge, store, settings.cluster, settings.resync_seconds
        self._view, self._renew, self._after = view, renew, after
        self.proof: Callable[[], str] = lambda: "nobody has looked"
        self.at_home: Callable[[Identity], bool] = lambda who: who.cluster == self.cluster
        self._wake, self._monotonic, self._now, self._held = wake, monotonic, now, held
        self._resync_at: float | None = None  # None before the first step
        self._early_at, self._last = float("inf"), float("-inf")
        self._asked = self._proven = False
        self._active: frozenset[str] = frozenset()  # ARNs of the profiles that were seen ACTIVE
        self._since: dict[str, First] = {}
        self._in_a_row = 0  # looks that were wanted by the one before
        self._renewed_for: set[str] = set()  # profiles, since the resync
        self._said = ""  # why nothing is known
        self._look: Look | None = None  # the last one, if it is complete
        self._told: dict[Key, News] | None = None  # None before the first look
        self._words: Mapping[Key, str] = {}  # what the last look told of evictions

    def news(self, key: Key) -> News | None:
        """Return what an object is told of its pods, None before the first look: then what it was told stays."""
        told = self._told
        return None if told is None else told.get(key, NOTHING)

    def ask(self) -> None:
        """Have a look soon."""
        self._asked = True

    def counted(self) -> Mapping[str, Counted]:
        """Return how many pods there are by profile, nothing where that is not known."""
        look = self._look
        return look.counted if look else {}

    def step(self) -> float:
        """Look if that is due; return the seconds to the next step."""
        if self._held():
            now = self._monotonic()
            if now >= self._due(now):
                self._go_and_look(now)
        return STEP_SECONDS

    def _due(self, now: float) -> float:
        """Return when the next look is due; after one that told nothing, not before the resync."""
        if self._resync_at is None:
            self._resync_at = now + self._period
        view = self._view()
        active = frozenset(each.arn for each in view.profiles.values() if each.active) if view else self._active
        if active - self._active:
            self._early_at = min(self._early_at, now + SETTLING_SECONDS)
        self._active = active
        wanted = self._resync_at
        if self._look or self._told is None:
            wanted = now if self._asked else min(wanted, self._early_at)
        return max(wanted, self._last + LEAST_SECONDS)

    def _go_and_look(self, now: float) -> None:
        full = self._resync_at is not None and now >= self._resync_at
        if full:
            self._resync_at = now + self._period
            self._renewed_for.clear()
        if now >= self._early_at:  # else a profile has just become ACTIVE, and pods were made for it meanwhile
            self._early_at = float("inf")
        self._last, self._asked = now, False
        look, words, unsure = None, dict[Key, str](), False
        try:
            found, why = self._looked(now)
            self._say(why)
            if found:
                words, unsure = self._go_on(found)
            look = found
        finally:  # of what fails as nobody has thought of nothing is known either
            self._look = None if unsure else look
            if not unsure:
                self._tell(look, words, anew=full or look is None)

    def _looked(self, now: float) -> tuple[Look | None, str]:
        """Return a complete look, or why there is none."""
        view = self._view()
        if view is None or now - view.at > OLD_VIEW * self._period:
            return None, "the profiles of the cluster have not been seen lately"
        try:
            if why := self._unknown(view):
                return None, why
            look = self._read(view, now)
        except (KubeError, AwsError) as error:
            return None, str(error)
        return (look, "") if look.complete else (None, look.why)

    def _unknown(self, view: View) -> str:
        """Say why nothing can be known of the pods, "" if it can."""
        if not view.found:
            return f"EKS has no cluster {self.cluster}"
        if not self._edge.may_list_pods():
            return "the operator may not list the pods of all namespaces (rbac.yaml has the optional rule)"
        why = "" if self._proven else self.proof()
        self._proven = not why
        return why and f"whether EKS cluster {self.cluster} is the cluster of these pods is unknown: {why}"

    def _read(self, view: View, now: float) -> Look:
        reading = Reading(now, self._now(), view, self._since)
        for each in LISTS:
            pages = self._edge.pages(PODS, each.query, metadata_only=not each.whole, seconds=PAGE_SECONDS)
            for page, _ in pages:
                while page:  # none of them is to be in the memory beside the next page
                    reading.take(each.state, mapping(page.pop(0)))
                if not self._held():
                    return reading.look("the Lease was lost meanwhile")
                if self._monotonic() - now > LOOK_SECONDS:
                    return reading.look(f"the lists of pods had not ended after {LOOK_SECONDS:.0f} s")
        self._since = {uid: first for uid, first in self._since.items() if uid in reading.waiting}
        return reading.look()

    def _say(self, why: str) -> None:
        """Log that nothing is known of the pods, and that it is again: once each."""
        if bool(why) != bool(self._said):
            log.info('pods known=%(known)s message="%(message)s"', {"known": str(not why), "message": why})
        self._said = why

    def _go_on(self, look: Look) -> tuple[dict[Key, str], bool]:
        """Evict, and come back soon where that, or a view that is too old, wants it; return what objects are told.

        And whether they are told nothing of this look: what a process before this one has told may well hold.
        """
        more, words = self._after(look)
        unsure = self._told is None and bool(look.missing) and self._in_a_row < MOST_UNSURE
        renewed = self._renew_for(look.missing, again=unsure)
        self._in_a_row = self._in_a_row + 1 if more or renewed else 0
        if 0 < self._in_a_row <= MOST_IN_A_ROW:
            self._early_at = self._monotonic() + LEAST_SECONDS
        return {**words}, unsure

    def _renew_for(self, missing: frozenset[str], *, again: bool) -> bool:
        """Have the profiles looked at where others are missing than have been since the resync; say whether."""
        if not again and (missing <= self._renewed_for or len(self._renewed_for) >= MOST_MISSING):
            return False
        self._renewed_for |= missing
        self._renew()
        return True

    def _tell(self, look: Look | None, words: Mapping[Key, str], *, anew: bool) -> None:
        """Take what each object is to be told; wake those whose conditions begin, end or have another reason, or whose
        evictions have.

        `anew`: counts count too; else an object is told what it was told, as long as the reasons are the same.
        """
        before, told = self._told, dict[Key, News]()
        concerned = by_profile(look.seen) if look else {}
        woken: list[Key] = []
        for obj in self._store.objects():
            key, memory = key_of(obj), Memory.parse(obj)
            if not self.at_home(Identity.parse(obj, memory, self.cluster)):
                continue
            found, name, news = [], memory.profile_name, NOTHING
            if look and name in look.view.profiles:
                found = concerned.get(name, [])
                news = news_of(key[0], name, look, found, words.get(key, ""))
            was = before.get(key) if before else None
            turned = gist(words.get(key, "")) != gist(self._words.get(key, ""))
            told[key] = news if anew or turned or was is None or was.reasons != news.reasons else was
            if turned or self._is_due(obj, news, first=was is None or look is None):
                woken.append(key)
                log_names(key, news, found)
        self._told, self._words = told, words
        for key in woken:
            self._wake(key)

    def _is_due(self, obj: Object, news: News, *, first: bool) -> bool:
        """Say whether an object is to be written at once; with counts alone it waits for its resync.

        `first`: also where they begin or end, as it is the first time that this process has them, or has none.
        """
        status = mapping(obj.get("status"))
        there = noted_in(written(status.get("conditions") or []))
        stand = {kind: said.reason for kind, said in there.items() if kind in POD_CONDITIONS}
        return news.reasons != stand or (first and bool(news.pods) != ("pods" in status))


def gist(words: str) -> str:
    """Return what is said of evictions without the numbers, which change with each of them."""
    return re.sub(r"\d+", "", words)


def log_names(key: Key, news: News, found: Collection[Seen]) -> None:
    """Log which pods a condition speaks of, those of other namespaces too, of which the object is not told."""
    for kind, concerned in sorted_out(found).items():
        if kind in news.noted:
            names = listed(sorted("/".join(each.key) for each in concerned))
            fields = {"object": "/".join(key), "condition": kind, "reason": news.noted[kind].reason, "message": names}
            log.info('pods object=%(object)s condition=%(condition)s reason=%(reason)s message="%(message)s"', fields)
