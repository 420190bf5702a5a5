"""Where the clusters that objects name are reached: whose credentials sign there, and what is shared of a region.

The picture: an object -> `Entries` -> an entry -> its `Site`: one edge to AWS, and what was looked up by it, for all
clusters of the same region and credentials. The credentials of roles are fetched by threads of the controller, which
`Sites.due` hands the work, so that no worker waits for STS, and no role for another.

What it is not: the clients (aws), what is known of one cluster (clusters), or a thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aws
from answers import AwsError, Refused, Retryable
from aws import Aws
from clusters import Outside
from credentials import Credentials
from entries import CONTRADICTED, Barred, Entries, Entry
from kube import Key, KubeError
from limits import Settings
from lookups import Known, Kubernetes, Roles
from spec import Identity
from surroundings import Home

log = logging.getLogger("fargate")

Role = tuple[str, str]  # its ARN, and the external id with which it is assumed
Reach = Callable[[str, Credentials | None, str], Aws]  # of a region, signed by these (None: our own), of an account
Capacities = Callable[[], Mapping[object, int]]  # the rooms that a pass takes up, and how many workers each may have
OWN: Role = ("", "")
LEAST_SECONDS, MOST_SECONDS = 1.0, 60.0  # between two looks at credentials
TOLD_BY_FLAGS = "--cluster-name or --region"
NO_HOME = "The operator has no cluster of its own: start it with --cluster-name."
UNKNOWN = "AWS STS has not answered yet in which account the operator is. If it lasts, check the way to AWS STS."
ASKED_SECONDS = 1.0  # for which a pass waits for the answer that another has asked for
ANSWERED_SECONDS = 2.0 * (aws.CONNECT_SECONDS + aws.READ_SECONDS)  # by which there is one, or an error
AT_ONCE = 16  # roles that are assumed at once
MOST_SILENT = 2  # workers in a place that gives no answer
SILENT = "all places that give no answer"
LET_IN = 2  # by each who leaves: who takes its room, and one more, should there be more room than was


@dataclass(frozen=True)
class Site:
    """What is shared by all clusters of one region that are reached with the same credentials."""

    aws: Aws
    known: Known
    roles: Roles


@dataclass
class Assumed:
    """The credentials of a role, or our own; `due`: monotonic seconds, at which they are looked after again."""

    role: Role
    credentials: Credentials
    due: float = float("-inf")
    busy: bool = False  # a thread is at it
    waiting: set[Key] = field(default_factory=set)  # who was looked at while there were none


class Index:
    """What follows from entries: each cluster by its shown name, the home, and whether there are several places."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self.shown = {each.name: each for each in entries.each}
        home = next((each.key for each in entries.all if each.name == entries.home), None)
        self.home = next((each for each in entries.each if each.key == home), None)
        self.places = {each.place for each in self.shown.values()}
        self.regions = {region for _, region in self.places}
        self.contradictory: frozenset[str] | None = None  # keys; None before our account was known


class Sites:
    """Every site, made at its first need and dropped when no entry needs it any more; safe to share between threads.

    `own` is the way to the controller's own region with its own credentials, by which roles are assumed; `reach` makes
    the others, and `fence` what passes use of each. `credentials` are our own, where they are fetched like those of
    roles. `entries` may be replaced at any time: who looks next goes by the new ones.
    """

    def __init__(
        self,
        entries: Entries,
        own: Aws,
        kube: Kubernetes,
        settings: Settings,
        monotonic: Callable[[], float],
        reach: Reach | None = None,
        fence: Callable[[Aws], Aws] = lambda edge: edge,
        workers: int = 0,
        now: Callable[[], float] = time.time,
        credentials: Credentials | None = None,
    ) -> None:
        self.entries, self._known_index, self.region = entries, Index(entries), own.region
        self._kube, self._settings, self._monotonic = kube, settings, monotonic
        self._reach, self._assume, self._fence, self._now = reach, own.assume, fence, now
        self.account = ""  # of our own credentials, "" before it was asked
        self.needed = threading.Event()  # something is to be fetched at once
        self._workers, self.rooms = workers, Rooms()
        self._lock = threading.Lock()
        self._own = self._site(own)
        self._sites: dict[tuple[Role, str], Site] = {(OWN, own.region): self._own}
        self._assumed: dict[Role, Assumed] = {OWN: Assumed(OWN, credentials)} if credentials else {}
        self.own_tried = threading.Event()  # our own credentials are there, or could not be had

    def take(self, entries: Entries) -> None:
        """Go by other entries from now on."""
        self.entries = entries

    # Which cluster

    def find(self, who: Identity) -> Entry | Barred:
        """Return the cluster that an object names, or why it has none here."""
        found = self.entries.find(who.namespace, who.cluster, who.unread_in)
        return self.unless_contradicted(found) if isinstance(found, Entry) else found

    def shown_as(self, name: str) -> Entry | None:
        """Return the cluster that is shown by a name, whoever may name it; None where there is no such."""
        if self.entries.listed is None:
            found = self.entries.find("", name)
            return found if name and isinstance(found, Entry) else None
        return self._index.shown.get(name)

    @property
    def each(self) -> Collection[Entry]:
        """Every cluster that is known by the flags, once each."""
        return self._index.shown.values()

    @property
    def home(self) -> Entry | None:
        """The cluster of objects that name none, None where there is no such."""
        return self._index.home

    def is_home(self, entry: Entry) -> bool:
        """Say whether it is the one of the settings, which we may take to be that of the API server."""
        home = self.home
        return home is not None and entry.key == home.key

    def authority_of(self, entry: Entry) -> str:
        """Return the certificates by which a cluster should be known, "" where nothing says so."""
        return self._settings.authority if self.is_home(entry) else ""

    def unproven(self, entry: Entry) -> str:
        """Say why it is not known whether a cluster is the one that we talk to, "" where that is proven."""
        known = self.of(entry).known
        return known.unproven(entry.cluster, self.authority_of(entry), self._kube, self._settings.resync_seconds)

    def home_unproven(self) -> str:
        return self.unproven(self.home) if self.home else NO_HOME

    def is_at_home(self, who: Identity) -> bool:
        """Say whether the controller's own cluster is that of an object."""
        entry = self.find(who)
        return isinstance(entry, Entry) and self.is_home(entry)

    def unless_contradicted(self, entry: Entry) -> Entry | Barred:
        """Return an entry, or that it is barred: by what shows once the account of our own credentials is known.

        What is wrong is logged, once: it names other entries and their roles, and objects are read by tenants.
        """
        index = self._index
        if index.contradictory is None and self.account:  # the same for as long as this process lives
            index.contradictory = index.entries.contradictory(self.account)
            for each in index.entries.contradict(self.account):
                log.error("an entry can't be used: %s", each)
        return CONTRADICTED if entry.key in (index.contradictory or ()) else entry

    @property
    def _index(self) -> Index:
        """What follows from the entries, worked out once for them."""
        if self._known_index.entries is not self.entries:
            self._known_index = Index(self.entries)
        return self._known_index

    # How it is reached

    def of(self, entry: Entry) -> Site:
        """Return the site of a cluster; nothing is asked yet."""
        role = role_of(entry)
        with self._lock:
            if (site := self._sites.get((role, entry.region))) is None:
                if self._reach is None:
                    raise AssertionError(f"there is no way to {' '.join(entry.place)}")
                credentials = None if role == OWN else self._assumed_of(role)
                site = self._sites[role, entry.region] = self._site(
                    self._reach(entry.region, credentials, entry.account)
                )
            return site

    def ask_account(self) -> tuple[str, str]:
        """Ask for (partition, account) of the controller's own credentials."""
        return self._own.aws.account()

    def _site(self, edge: Aws) -> Site:
        edge = self._fence(edge)
        known, life = Known(edge, self._monotonic), self._settings.view_life
        return Site(edge, known, Roles(edge, known, self._kube, self._authority_at(edge), life, self._monotonic))

    def _authority_at(self, edge: Aws) -> Callable[[str], str]:
        """Return `authority_of` for the clusters of a site, by EKS's names."""

        def authority_of(cluster: str) -> str:
            home = self.home
            at_home = home and home.cluster == cluster and self.of(home).aws is edge
            return self._settings.authority if at_home else ""

        return authority_of

    def room(self, key: Key, entry: Entry, site: Site) -> AbstractContextManager[bool]:
        """Take up room in the place of a cluster for as long as it lasts; it is with whether there is any."""
        return self.rooms.taken(key, entry.place, partial(self._rooms_in, entry.place, site.aws))

    def _rooms_in(self, place: tuple[str, str], edge: Aws) -> dict[object, int]:
        """Return what a pass takes up there, and how many workers each may have, so that none has all of them.

        The only place, and the only region, may have them all.
        """
        index, workers = self._index, self._workers
        few, many = max(1, workers // 4), max(1, workers * 3 // 4)
        rooms: dict[object, int] = {}
        if len(index.regions) > 1:
            rooms[place[1]] = max(1, workers * 7 // 8)  # more than one place of it may fill
        if len(index.places) > 1:
            rooms |= {place: min(few, MOST_SILENT), SILENT: few} if edge.silent else {place: many}
        return rooms

    def waits(self, entry: Entry, key: Key) -> bool:
        """Say whether the first credentials of its role are on their way yet.

        Who comes while a role has none is among `waited_for` it.
        """
        if (role := role_of(entry)) == OWN:
            return False
        with self._lock:
            credentials = self._assumed_of(role)
            if not credentials.good_for():
                self._assumed[role].waiting.add(key)
            return credentials.is_new

    def waited_for(self, role: Role) -> set[Key]:
        """Return who has waited for a role; nobody does any more then."""
        with self._lock:
            if (assumed := self._assumed.get(role)) is None:
                return set()
            waited, assumed.waiting = assumed.waiting, set()
            return waited

    # What signs there

    def due(self) -> Sequence[Callable[[], Role | None]]:
        """Return what is to be called now, each in a thread of its own: it fetches credentials.

        It returns the role that has some again, or whose first ones can't be had. Roles are assumed by our own, hence
        after these. What no entry needs any more is dropped.
        """
        with self._lock:
            self._forget()
            now = self._monotonic()
            idle = [each for each in self._assumed.values() if not each.busy and each.due <= now]
            if (own := self._assumed.get(OWN)) and own.credentials.is_new:
                idle = [own] if own in idle else []
            for each in idle:
                if not each.credentials.is_due:
                    each.due = now + MOST_SECONDS
            free = AT_ONCE - sum(each.busy for each in self._assumed.values())
            due = [each for each in idle if each.credentials.is_due][: max(0, free)]
        return [partial(self._fetch, each) for each in due]

    def until_due(self) -> float:
        """Return the seconds until some credentials are looked after again."""
        with self._lock:
            due = [each.due for each in self._assumed.values() if not each.busy]
        return min(MOST_SECONDS, max(LEAST_SECONDS, min(due, default=float("inf")) - self._monotonic()))

    def _fetch(self, assumed: Assumed) -> Role | None:
        with self._lock:  # not before it runs: a thread that never starts would hold them for ever
            if assumed.busy or assumed.due > self._monotonic():
                return None
            assumed.busy = True
        wait, role, credentials = MOST_SECONDS, assumed.role, assumed.credentials
        before, was_new = credentials.good_for(), credentials.is_new
        try:
            wait = credentials.step()
        finally:
            with self._lock:
                assumed.due, assumed.busy = self._monotonic() + wait, False
            self.needed.set()  # who waits has reckoned without this one
        if credentials.failure:
            fields = {"role": role[0], "message": str(credentials.failure)}
            of = "role=%(role)s " if role != OWN else ""
            log.warning(f'failed credentials {of}message="%(message)s"', fields)
        come = bool(credentials.good_for() and not before)
        if role == OWN:
            self._take_own(come)
        return role if come or (was_new and role != OWN) else None

    def _take_own(self, come: bool) -> None:
        """Have what has failed without our own credentials tried again at once."""
        with self._lock:
            for each in self._assumed.values() if come else ():
                each.due = each.due if each.role == OWN else float("-inf")
        self.own_tried.set()
        self.needed.set()  # anew: who waits may have reckoned with what was due before

    def _assumed_of(self, role: Role) -> Credentials:
        if role not in self._assumed:
            self._assumed[role] = Assumed(role, Credentials(partial(self._assume, *role), self._now))
            self.needed.set()
        return self._assumed[role].credentials

    def _forget(self) -> None:
        """Drop what no entry needs any more; without a file only the own region is in use."""
        needed = {(role_of(each), each.region) for each in self.each} | {(OWN, self.region)}
        roles = {role for role, _ in needed}
        self._sites = {place: site for place, site in self._sites.items() if place in needed}
        self._assumed = {role: each for role, each in self._assumed.items() if role in roles}


def role_of(entry: Entry) -> Role:
    return entry.role_arn, entry.external_id


class Regions:
    """Makes the edge to a region and account: the clients of a region are shared by all accounts, the pool by all.

    `own` are the controller's own credentials, which sign where no others are given. The clients of the first region
    are made at once, so that its name is known to be of use; those of others at their first call.
    """

    def __init__(self, connections: int, own: Credentials, watch: aws.Watch, pool: aws.Pool) -> None:
        self._connections, self._own, self._watch, self._pool = connections, own, watch, pool
        self._clients: dict[str, Mapping[str, Any]] = {}

    def __call__(self, region: str, credentials: Credentials | None = None, account: str = "") -> Aws:
        if region not in self._clients:
            at_once = not self._clients
            self._clients[region] = aws.connect(region, self._connections, self._watch, at_once=at_once)
        return Aws(self._clients[region], region, credentials or self._own, self._pool, account)


class Rooms:
    """Who of the workers is where: what gives no answer, a place or a whole region, holds few of them, and no other's
    turn.

    A pass takes up several rooms at once. Who finds one full waits outside, by place, until somebody leaves: then
    `readmit` has it looked at, which is the reconciler's.
    """

    def __init__(self) -> None:
        self.readmit: Callable[[Key], bool] = lambda _key: False
        self._lock, self._inside = threading.Lock(), Counter[object]()
        self._outside: dict[object, tuple[Capacities, Outside]] = {}

    @contextmanager
    def taken(self, key: Key, place: object, capacities: Capacities) -> Iterator[bool]:
        """Work in a place if there is room; yields whether there is. `capacities`: the rooms, by then."""
        with self._lock:
            rooms = capacities()
            enters = self._free(rooms) > 0
            if enters:
                self._inside.update(rooms.keys())
                if place in self._outside:
                    self._outside[place][1].drop(key)
            else:
                self._outside.setdefault(place, (capacities, Outside()))[1].add(key)
        try:
            yield enters
        finally:
            if enters:
                with self._lock:
                    self._inside.subtract(rooms.keys())
                    self._let_in()

    def _free(self, rooms: Mapping[object, int]) -> float:
        return min((most - self._inside[room] for room, most in rooms.items()), default=float("inf"))

    def _let_in(self) -> None:
        """Have those look again who would find room now, of the places in turn."""
        left = LET_IN
        for place, (capacities, outside) in [*self._outside.items()]:
            free = min(left, self._free(capacities()))
            if free > 0:
                self._outside[place] = self._outside.pop(place)  # the last in turn then
            while outside and free > 0:
                free, left = free - 1, left - bool(outside.let_in(partial(self._look, outside)))
            if not outside:
                del self._outside[place]

    def _look(self, outside: Outside, key: Key) -> bool:
        """Have it look now or, where no worker may take it, in its turn; say whether that is now."""
        outside.drop(key)
        return self.readmit(key)


class Homes:
    """Where each cluster is for us; who we are is asked until it is answered, once a process."""

    def __init__(self, sites: Sites, controller: Callable[[], str], settings: Settings) -> None:
        self._sites, self._ask_controller, self._settings = sites, controller, settings
        self._self: tuple[str, str, str] | None = None
        self._asking = threading.RLock()

    @property
    def controller(self) -> str:
        """The controller id, "" before it was asked."""
        return self._self[2] if self._self else ""

    def of(self, entry: Entry) -> Home:
        """Return where a cluster is; raises `AwsError` where that is not known, or is known to be wrong."""
        partition, account, controller = self._ask(ASKED_SECONDS)
        if isinstance(found := self._sites.unless_contradicted(entry), Barred):
            raise Refused(found.reason, found.message)
        if entry.role_arn:
            partition, account = entry.role_arn.split(":")[1], entry.account
        ours = self._sites.is_home(entry)
        if ours and (wrong := self._settings.wrong_account(account)):
            raise Refused("WrongAccount", wrong)
        by_file = self._sites.entries.tells(entry)
        return Home(partition, entry.region, account, entry.cluster, controller, entry.name, not ours, by_file)

    def admit(self, found: Entry | Barred) -> Entry | Barred:
        """Return what was found for an object, by all that is known of us; raises `AwsError` where that is nothing."""
        if isinstance(found, Barred):
            return found
        self._ask(ASKED_SECONDS)
        return self._sites.unless_contradicted(found)

    def _ask(self, patience: float) -> tuple[str, str, str]:
        if self._self is None:
            if not self._asking.acquire(timeout=patience):  # one worker waits for STS, not all
                raise Retryable("AwsUnreachable", UNKNOWN)
            try:
                self._self = self._self or self._asked()
            finally:
                self._asking.release()
        return self._self

    def _asked(self) -> tuple[str, str, str]:
        partition, account = self._sites.ask_account()
        self._sites.account = account
        found = partition, account, self._ask_controller()
        fields = {"account": account, "controller": found[2], "region": self._sites.region}
        log.info("identified account=%(account)s controller=%(controller)s region=%(region)s", fields)
        return found

    def is_known(self) -> bool:
        """Say whether it is known who we are; it is asked, and its answer waited for."""
        try:
            self._ask(ANSWERED_SECONDS)
        except (AwsError, KubeError):
            return False
        return True

    def own(self) -> Home:
        """Return where the controller's own cluster is; raises as `of` does."""
        if (entry := self._sites.home) is None:
            raise Refused("ClusterNotFound", NO_HOME)
        return self.of(entry)

    def arn(self, who: Identity) -> str:
        """Return the ARN of an object's cluster, "" where it can't be told now; each that needs it says why."""
        entry = self._sites.find(who)
        try:
            return "" if isinstance(entry, Barred) else self.of(entry).cluster_arn
        except (AwsError, KubeError):
            return ""


@dataclass(frozen=True)
class There:
    """One cluster, as whoever asks about it alone has it in hand."""

    sites: Sites
    homes: Homes
    entry: Entry

    @property
    def site(self) -> Site:
        return self.sites.of(self.entry)

    @property
    def home(self) -> Home:
        """Where it is; raises `AwsError` where that is not known, or is known to be wrong."""
        return self.homes.of(self.entry)

    @property
    def missing(self) -> AwsError:
        """What is raised where EKS has no such cluster."""
        told_by = "its entry in the clusters file" if self.sites.entries.tells(self.entry) else TOLD_BY_FLAGS
        where = f"{self.entry.cluster} in {self.entry.region}"
        return AwsError("ClusterNotFound", f"EKS has no cluster {where}: correct {told_by}.")

    def has(self, who: Identity) -> bool:
        """Say whether an object names it."""
        found = self.sites.find(who)
        return isinstance(found, Entry) and found.key == self.entry.key

    def unproven(self, api: Kubernetes) -> str:
        """Say why it is not known whether it is the cluster of an API server, "" where that is proven."""
        return self.site.known.unproven(self.entry.cluster, self.sites.authority_of(self.entry), api)


def nowhere(name: str) -> Home:
    """Return what stands for the cluster of an object that has none here."""
    return Home("", "", "", name, "", name, foreign=True)
