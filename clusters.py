"""What this process knows of one EKS cluster: its view and how that is read, what is in flight, who waits.

The picture: `Reading` (list, then a description a profile; over as many passes as it takes) -> `View`
-> `Cluster.saw`, which says who has reason to look again. One pass at a time is in a cluster.

It asks AWS, and has no clock: times are handed in. `Clusters` has the lock. What it is not: which profile is whose, and
what to do.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

from answers import AwsError, Refused
from aws import Aws, Profile, Read, Selector
from kube import Key
from lookups import NO_SECONDS, Look

log = logging.getLogger("fargate")
T = TypeVar("T")
# Of two profiles' selectors: whether one pod can match both.
Shares = dict[tuple[frozenset[Selector], frozenset[Selector]], bool]

STATUSES = ("CREATING", "ACTIVE", "DELETING", "CREATE_FAILED", "DELETE_FAILED")  # of a profile, EKS's words
POLL_MOST_SECONDS = 15.0
MISSING_SECONDS = (15.0, 300.0)  # to the next look at a cluster that is not there
MOST_MISSING = 2000  # clusters that are remembered, before those are forgotten that are not there
TURN_SECONDS = 3600.0  # for which it is remembered that a namespace had its turn
PLACE_SECONDS = 30.0  # a place in line lapses when its object does not come for it
HOLD_SECONDS = (15.0, 60.0)  # between two tries while EKS is busy with what can't be seen
HIDDEN_SECONDS = 60.0  # to the next look at a profile that could not be described
# The world outside may have been mended: what is stalled is looked at again, less and less often,
# and a profile in a failed state is tried again as seldom.
STALLED_SECONDS = FAILED_SECONDS = (15.0, 600.0)
BLIND_TURN_SECONDS = 60.0  # for which one that was in flight when seen last is taken to be so yet
# These concern the way to AWS, and so every profile: the reading waits for better times. Any other
# answer concerns one profile alone.
NO_ANSWER = {"Throttled", "AwsUnreachable", "NoCredentials", "CredentialsExpired"}


@dataclass(frozen=True)
class View:
    """Every profile of one EKS cluster by name, as last seen; `at` is monotonic seconds.

    `hidden` are those that EKS lists and does not let us see, with its answer.
    """

    found: bool
    profiles: Mapping[str, Profile]
    at: float
    hidden: Mapping[str, AwsError] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.profiles) | frozenset(self.hidden)

    @property
    def selectors(self) -> frozenset[frozenset[Selector]]:
        return frozenset(each.selectors for each in self.profiles.values())

    @property
    def profiles_in_flight(self) -> tuple[Profile, ...]:
        return tuple(profile for profile in self.profiles.values() if profile.in_flight)

    def sharing_with(self, before: View) -> View:
        """Return this view with the very profiles of one before where they are equal: they are compared often."""
        old = before.profiles
        same = {name: old[name] if old.get(name) == each else each for name, each in self.profiles.items()}
        return replace(self, profiles=same)

    def showing(self, name: str, seen: Profile | AwsError | None) -> View:
        """Return this view with what a later look at one name has shown."""
        profiles = {known: each for known, each in self.profiles.items() if known != name}
        hidden = {known: each for known, each in self.hidden.items() if known != name}
        if isinstance(seen, Profile):
            profiles[name] = seen
        elif seen is not None:
            hidden[name] = seen
        return replace(self, profiles=profiles, hidden=hidden)


@dataclass
class Reading:
    """A look at all profiles of a cluster that has begun and is not yet whole.

    Under throttling one pass does not get through: what was described since the beginning is kept, and
    the next pass of any object goes on from there. The list is read anew each time.
    """

    begun: float
    described: dict[str, Profile | AwsError | None] = field(default_factory=dict)

    def go_on(self, aws: Aws, cluster: str, described_now: set[str]) -> View:
        """Return the view once it is whole; raises `AwsError` where it has to be gone on with later.

        The names that were described in this very call are added to `described_now`.
        """
        names = aws.names(cluster)
        if names is None:
            return View(False, {}, self.begun)

        def look_at(name: str) -> None:
            self.described[name] = describe(aws, cluster, name)
            described_now.add(name)

        looks = [Read(partial(look_at, name)) for name in names if name not in self.described]
        with aws.side_by_side(looks):
            for each in looks:
                each()
        return view_of({name: self.described[name] for name in names}, self.begun)

    def forget(self, names: Collection[str]) -> None:
        """Describe these once more, and all that were in flight: an answer has contradicted them."""
        for name, seen in [*self.described.items()]:
            if name in names or (isinstance(seen, Profile) and seen.in_flight):
                del self.described[name]


def reading_anew(view: View, is_due: Callable[[str], bool]) -> Reading:
    """Return a look that describes names that are due, and is no younger than the view: that has the others."""
    seen: dict[str, Profile | AwsError] = {**view.profiles, **view.hidden}
    return Reading(view.at, {name: each for name, each in seen.items() if not is_due(name)})


def describe(aws: Aws, cluster: str, name: str) -> Profile | AwsError | None:
    """Return the profile, None if it is gone, or what kept it from being seen, if that is about it alone."""
    try:
        return aws.describe(cluster, name)
    except AwsError as error:
        if error.reason in NO_ANSWER:
            raise
        return error


def whole_view(aws: Aws, cluster: str) -> View:
    """Return the profiles of a cluster as they are now."""
    return Reading(0.0).go_on(aws, cluster, set())


def view_of(seen: Mapping[str, Profile | AwsError | None], at: float) -> View:
    profiles = {name: each for name, each in seen.items() if isinstance(each, Profile)}
    hidden = {name: each for name, each in seen.items() if isinstance(each, AwsError)}
    return View(True, profiles, at, hidden)


@dataclass
class Flight:
    """A profile that is CREATING or DELETING; times are monotonic seconds."""

    status: str
    since: float
    last_look: float
    last_seen: float  # earlier, if it could not be described since
    told_since: datetime | None = None  # as it was first told, so that the text stays the same

    def until_look(self, now: float, poll: float) -> float:
        """Return the seconds until the next look: a tenth of the time so far, within bounds."""
        pace = max(poll, min((now - self.since) / 10, POLL_MOST_SECONDS))
        return self.last_look + pace - now


def backoff(failures: int) -> timedelta:
    """Return how long to rest after so many failures in a row: 15 s, doubled each time, at most 10 min."""
    least, most = FAILED_SECONDS
    return timedelta(seconds=min(most, least * 2.0 ** min(max(failures, 1) - 1, 16)))


class InFlight(NamedTuple):
    """What EKS is at with a profile, whosever it is, and since when by the clock on the wall."""

    name: str
    status: str
    since: datetime


class Stirred(NamedTuple):
    """Who has reason to look again.

    `settled`: what was in flight, as it was then, and what shared its role with one that has gone; its owner looks.
    `waiting`: who waited for a name, for a turn, or for a profile that overlaps with its own to go.
    """

    settled: list[Profile]
    waiting: list[Key]


class Outside:
    """The keys that found no room, by namespace: these take turns, and of each who waits for the longest time is next.

    It has no lock of its own.
    """

    def __init__(self) -> None:
        self._keys: dict[str, dict[Key, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def add(self, key: Key) -> None:
        self._keys.setdefault(key[0], {})[key] = None

    def drop(self, key: Key) -> None:
        keys = self._keys.get(key[0], {})
        keys.pop(key, None)
        if not keys:
            self._keys.pop(key[0], None)

    def let_in(self, readmit: Callable[[Key], bool]) -> Key | None:
        """Return the first that a worker may take now, of one of each namespace; it stands here until it is dropped."""
        for namespace in [*self._keys]:
            keys = self._keys[namespace] = self._keys.pop(namespace)  # the last in turn then
            if readmit(key := next(iter(keys))):
                return key
        return None


@dataclass
class Cluster:
    """What this process knows of one EKS cluster; times are monotonic seconds.

    Touched only by the one pass that is in the cluster, but for `occupied`, `outside`, the keys that
    found it occupied, and `let_in`, for which it is kept: these belong to the lock of `Clusters`.
    """

    view: View | None = None
    reading: Reading | None = None
    doubted: bool = False  # the view, by an answer: it is read anew before anything else
    missing_since: float | None = None  # it was first seen not to be there
    flights: dict[str, Flight] = field(default_factory=dict)
    hidden_looked: dict[str, float] = field(default_factory=dict)  # when at which hidden name
    line: dict[Key, float] = field(default_factory=dict)
    turns: dict[str, float] = field(default_factory=dict)  # when each namespace had its last one
    name_wanted: dict[Key, str] = field(default_factory=dict)
    overlaps: dict[Key, frozenset[str]] = field(default_factory=dict)
    shares: Shares = field(default_factory=dict)  # of profiles that are in the view
    roles: dict[str, Look] = field(default_factory=dict)  # of profiles that are in the view, by ARN
    orphans: set[str] = field(default_factory=set)
    held_until: float = float("-inf")
    held_seconds: float = 0.0
    outside: Outside = field(default_factory=Outside)
    let_in: Key | None = None
    name: str = ""  # by which it is shown
    departed: set[Key] = field(default_factory=set)  # whose objects have gone, or name another cluster now
    occupied: bool = False

    def is_old(self, now: float, life: float, told_missing: bool = False) -> bool:
        """Say whether the view has to be read anew.

        `told_missing`: to whom has been told that the cluster is not there, the view says so for as
        long again; to others it says so for a moment only.
        """
        if self.view and not self.view.found:
            least, most = MISSING_SECONDS
            missing = self.view.at - (self.missing_since or self.view.at)
            life = min(max(missing, least), most) if told_missing else NO_SECONDS
        return self.view is None or self.doubted or now - self.view.at >= life

    def saw(self, view: View, looked: Collection[str], now: float) -> Stirred:
        """Take a newer view, in which `looked` were described just now."""
        before, self.view, self.doubted = self.view, view.sharing_with(self.view) if self.view else view, False
        self.missing_since = None if view.found else self.missing_since or view.at
        flew, self.flights = self.flights, self._flights_in(view, looked, now)
        self.hidden_looked = {
            name: now if name in looked else self.hidden_looked.get(name, now) for name in view.hidden
        }
        if view.profiles_in_flight:
            self.held_until, self.held_seconds = float("-inf"), 0.0
        if not before:
            return Stirred([], [])
        self._forget_shares_of(before, view)
        gone, landed = before.names - view.names, flew.keys() - self.flights.keys()
        waiting = [key for key, name in self.name_wanted.items() if name in gone]
        waiting += [key for key, names in self.overlaps.items() if not names.isdisjoint(gone)]
        if landed and not self.flights and (first := self.first(now)):
            waiting.append(first)
        settled = [before.profiles[name] for name in landed & before.profiles.keys()]
        return Stirred([*settled, *self._doubt_roles(before, view)], waiting)

    def _doubt_roles(self, before: View, view: View) -> list[Profile]:
        """Forget what was seen of a role that had one more profile: what EKS does to it then is not documented.

        Returns one of those that still have it, for each.
        """
        lost = {before.profiles[name].role for name in before.profiles.keys() - view.names}
        having = {each.role: each for each in view.profiles.values()}
        doubted = lost & self.roles.keys()
        self.roles = {role: look for role, look in self.roles.items() if role in having.keys() - doubted}
        return [having[role] for role in doubted & having.keys()]

    def _forget_shares_of(self, before: View, view: View) -> None:
        """Forget what was found out of selectors that no profile has any more."""
        if lost := before.selectors - view.selectors:
            self.shares = {pair: shares for pair, shares in self.shares.items() if lost.isdisjoint(pair)}

    def _flights_in(self, view: View, looked: Collection[str], now: float) -> dict[str, Flight]:
        flights = {}
        for profile in view.profiles_in_flight:
            known = self.flights.get(profile.name)
            if not known or known.status != profile.status:
                known = Flight(profile.status, now, now, now)
            flights[profile.name] = replace(known, last_look=now, last_seen=now) if profile.name in looked else known
        for name in self.flights.keys() & view.hidden.keys():
            known = self.flights[name]
            # It keeps the turn through a hiccup, and not for ever: EKS's own refusal is the lock.
            may_be_seen_again = not isinstance(view.hidden[name], Refused)
            if may_be_seen_again and now - known.last_seen < BLIND_TURN_SECONDS:
                flights[name] = replace(known, last_look=now) if name in looked else known
        return flights

    def due(self, now: float, poll: float) -> set[str]:
        """Return the profiles that are to be described again: those in flight, and what was not to be seen."""
        flying = {name for name, each in self.flights.items() if each.until_look(now, poll) <= 0}
        return flying | {name for name, at in self.hidden_looked.items() if now - at >= HIDDEN_SECONDS}

    def until_look(self, now: float, poll: float) -> float:
        """Return the seconds until the next look at what is in flight, `poll` where nothing is."""
        return min((each.until_look(now, poll) for each in self.flights.values()), default=poll)

    def in_flight(self, now: float, wall: datetime) -> list[InFlight]:
        """Return what EKS is at. It does not say when a deletion began: that counts from when it was first seen."""
        profiles = self.view.profiles if self.view else {}
        flying = []
        for name, each in self.flights.items():
            if each.told_since is None and each.status == "CREATING" and name in profiles:
                each.told_since = profiles[name].created_at
            each.told_since = each.told_since or wall - timedelta(seconds=now - each.since)
            flying.append(InFlight(name, each.status, each.told_since))
        return flying

    def new_orphans(self, verdicts: Mapping[str, str]) -> dict[str, str]:
        """Take why each of these profiles is an orphan, "" of one that is none; return those that were none before."""
        known, orphans = self.orphans, {name: why for name, why in verdicts.items() if why}
        # What can't be seen keeps its last verdict.
        self.orphans = set(orphans) | (known & self.view.hidden.keys() if self.view else set())
        return {name: orphans[name] for name in orphans.keys() - known}

    def doubt(self, *names: str) -> None:
        """Have the cluster read anew: an answer has contradicted the view, or left unclear what became of these."""
        self.doubted = True
        if self.reading:
            self.reading.forget(names)

    def hold(self, now: float) -> float:
        """Return for how long nothing is asked of EKS, which is busy: longer each time, until a flight is seen."""
        least, most = HOLD_SECONDS
        self.held_seconds = min(most, self.held_seconds * 2 or least)
        self.held_until = now + self.held_seconds
        return self.held_seconds

    @property
    def forgettable(self) -> bool:
        """Nothing of it is worth remembering but that it is not there: objects may name such ones without end."""
        known = self.view and self.view.found
        waits = self.flights or self.line or self.name_wanted or self.orphans or self.outside or self.occupied
        return not (known or waits or (self.reading and self.reading.described))

    def first(self, now: float) -> Key | None:
        """Return who is first in line: of the namespace whose last turn is longest ago, who came first.

        Who did not come for its place has lost it.
        """
        while self.departed:
            self.leave(self.departed.pop())
        self.line = {key: came for key, came in self.line.items() if now - came <= PLACE_SECONDS}
        return min(self.line, key=lambda key: self.turns.get(key[0], float("-inf")), default=None)

    def took_turn(self, key: Key, now: float) -> None:
        """Let the other namespaces go before that of an object that EKS is making or deleting a profile for."""
        self.turns = {each: at for each, at in self.turns.items() if now - at <= TURN_SECONDS}
        self.turns[key[0]] = now

    def leave(self, key: Key) -> None:
        self.line.pop(key, None)
        self.name_wanted.pop(key, None)


class Tally(NamedTuple):
    """How many profiles of an EKS cluster are in which state, how many are orphans, how many retained."""

    states: Mapping[str, int]
    orphans: int
    retained: int = 0


class Clusters:
    """Every EKS cluster by what tells it from all others; of all passes at once, one is in each.

    Who finds one occupied waits outside. Whoever leaves it lets in the next, namespaces in turn, and
    that one goes before who comes new: `readmit` has it looked at.
    """

    def __init__(self, readmit: Callable[[Key], bool]) -> None:
        self._readmit = readmit  # False: no worker may take it now, it comes in its turn
        self._lock = threading.Lock()  # over who is in which, and who is outside
        self._known: dict[str, Cluster] = {}
        self._outside_of: dict[Key, str] = {}
        self._was_in: dict[Key, str] = {}

    def alone_in(self, name: str, key: Key, work: Callable[[Cluster], T]) -> T | None:
        """Work if no other pass is in that cluster: one dead endpoint costs one worker, not all.

        None for one that is occupied, or kept for another key: this one is let in in its turn.
        """
        self.leave(key, but=name)  # it may be another cluster now that the object names
        with self._lock:
            cluster = self._known.setdefault(name, Cluster())
            if cluster.occupied or cluster.let_in not in {None, key}:
                cluster.outside.add(key)
                self._outside_of[key] = name
                return None
            cluster.occupied, cluster.let_in = True, None
            cluster.outside.drop(key)
            self._outside_of.pop(key, None)
            self._was_in[key] = name
            cluster.departed.discard(key)
        try:
            return work(cluster)
        finally:
            with self._lock:
                self._free(name, cluster)

    def view(self, name: str) -> View | None:
        """Return the profiles of a cluster as they were seen last, None for one that was not."""
        with self._lock:
            return self._known[name].view if name in self._known else None

    def leave(self, key: Key, but: str = "") -> None:
        """Stand in and before no cluster any more, `but` that one; where it was this key's turn the next is let in."""
        with self._lock:
            if self._was_in.get(key, but) != but and (cluster := self._known.get(self._was_in.pop(key))):
                cluster.departed.add(key)
            name = self._outside_of.get(key, but)
            if name == but:
                return
            cluster = self._known[self._outside_of.pop(key)]
            cluster.outside.drop(key)
            if cluster.let_in == key:
                self._free(name, cluster)

    def _free(self, name: str, cluster: Cluster) -> None:
        """Let in the next; one that no worker may take now, for want of free ones, keeps the cluster from nobody."""
        cluster.occupied = False
        cluster.let_in = cluster.outside.let_in(self._readmit)
        if cluster.forgettable and cluster.view is None:
            self._known.pop(name, None)
        if len(self._known) > MOST_MISSING:
            self._known = {each: known for each, known in self._known.items() if not known.forgettable}

    def keep(self, keys: Collection[str]) -> None:
        """Forget all clusters but these, if no pass is in them: objects can't name them any more."""
        with self._lock:
            busy = {key for key, each in self._known.items() if each.occupied or each.outside}
            self._known = {key: each for key, each in self._known.items() if key in keys or key in busy}

    def tally(self, retained: Callable[[Profile], bool]) -> dict[str, Tally]:
        """Return what is counted of each cluster that was seen, by shown name; `retained` tells which profiles are."""
        with self._lock:
            seen = {each.name or key: (each.view, len(each.orphans)) for key, each in self._known.items()}
        told = {}
        for name, (view, orphans) in seen.items():
            if view and view.found:
                profiles = view.profiles.values()
                states = dict.fromkeys(STATUSES, 0) | Counter(each.status for each in profiles)
                told[name] = Tally(states, orphans, sum(map(retained, profiles)))
        return told


# For how long these are waited for; an upgrade of a cluster may take that.
TIME_MAY_MEND = {"ClusterNotFound": timedelta(minutes=15), "ClusterNotActive": timedelta(minutes=60)}
