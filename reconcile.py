"""What one FargateProfile object needs next: `plan` decides, `Reconciler` carries it out and reports.

The picture: observe (object, view of the cluster, memory in status) -> plan -> at most one change in AWS or of
finalizers -> status from what was seen and done -> come back. A crash between two steps is then the same case as a
crash between two passes: the next pass trusts nothing but a new look.

The upper half is pure: no clock, no call, no log. The lower half knows Kubernetes only as the protocol `Kube`, AWS
only as `aws.Aws`. What it is not: threads, queues, sleeping.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, assert_never, cast

from aws import (
    Aws,
    AwsError,
    Busy,
    Profile,
    ProfileSpec,
    Refused,
    View,
)
from kube import Key, Object
from overlaps import overlap_message, overlaps
from plan import (
    LOST_CREATE,
    POLL_MOST_SECONDS,
    SPARE_NEEDED,
    STALLED_SECONDS,
    TIME_MAY_MEND,
    WHOLE_CLUSTER,
    AddFinalizer,
    Case,
    Change,
    CreateProfile,
    DeleteProfile,
    Home,
    Limits,
    NeedFacts,
    Phase,
    RemoveFinalizer,
    Stay,
    TagProfile,
    UntagProfile,
    asked_for,
    flight,
    forgets_tags_of,
    must_see,
    no_such,
    plan,
    refuse,
    remember,
    wait_behind,
)
from spec import CONTROLLER_KEY, FINALIZER, OWNER_KEY, Identity, InvalidSpec, Memory, Resource, _mapping, owner_of
from status import SHOWN, STATUSES, _current, _found, conditions, render_status, shown_of

log = logging.getLogger("fargate")
TRUST_PROPAGATION = timedelta(minutes=2)  # IAM's, as Terraform's provider allows for it
TRUST_SECONDS = 15.0
CREATE_WITHIN_SECONDS = 5.0  # of the mark: whoever slept longer looks again first
PLACE_SECONDS = 30.0  # a place in line lapses when its object does not come for it
OCCUPIED_SECONDS = 1.0
VIEW_LIFE = 0.8  # of a resync: the first object of a resync reads the view, the others find it fresh


# The effects.


class Kube(Protocol):
    """What is needed of Kubernetes: a write fails with the edge's own error if the object is not the version given."""

    def exists(self, namespace: str, name: str) -> bool | None: ...
    def namespace_uid(self, name: str) -> str: ...
    def running_pods(self, profile: str) -> int | None: ...
    def patch_finalizers(self, obj: Object, finalizers: Sequence[str]) -> Object: ...
    def patch_status(self, obj: Object, status: Object) -> Object: ...
    def event(self, obj: Object, kind: str, reason: str, action: str, note: str, now: datetime) -> None: ...


class Store(Protocol):
    """The cache of objects; `put` takes the answers to our own writes: no pass acts on older than its own work."""

    def get(self, key: Key) -> Object | None: ...
    def put(self, obj: Object) -> object: ...


@dataclass(frozen=True)
class Settings:
    """`cluster` is for objects that name none; `controller_id` "" stands for the uid of namespace kube-system.

    `adoption_in`: the namespaces whose objects may take over profiles without an owner, "*" for all.
    """

    cluster: str
    controller_id: str = ""
    resync_seconds: float = 600.0
    poll_seconds: float = 5.0
    lost_create: timedelta = LOST_CREATE
    adoption_in: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)

    def may_adopt(self, namespace: str) -> bool:
        return not self.adoption_in.isdisjoint({"*", namespace})


class Requeue(NamedTuple):
    """Look again after so many seconds (None: at the resync), or by the queue's backoff, or never (`gone`).

    `unseen`: the object was not looked at, so that its backoff stays as it is.
    """

    after: float | None = None
    retry: bool = False
    unseen: bool = False
    gone: bool = False


@dataclass
class Flight:
    """A profile that is CREATING or DELETING; times are monotonic seconds."""

    status: str
    since: float
    looked: float

    def rest(self, now: float, poll: float) -> float:
        """Return the seconds until the next look: a tenth of the time that it has taken so far, within bounds."""
        pace = max(poll, min((now - self.since) / 10, POLL_MOST_SECONDS))
        return self.looked + pace - now


@dataclass
class Cluster:
    """What this process knows of one EKS cluster: its view, what is in flight there, who stands in line for a turn.

    Touched only by the one pass that is in the cluster, but for `outside`: the keys that found it occupied.
    """

    view: View | None = None
    flights: dict[str, Flight] = field(default_factory=dict)
    line: dict[Key, float] = field(default_factory=dict)
    name_wanted: dict[Key, str] = field(default_factory=dict)
    overlaps: dict[Key, frozenset[str]] = field(default_factory=dict)
    strays: set[str] = field(default_factory=set)
    outside: dict[Key, None] = field(default_factory=dict)

    def saw(self, view: View, looked: Collection[str], now: float) -> list[Key]:
        """Take a newer view; return who has reason to look again: owners of what settled, heirs, the first in line."""
        before, self.view = self.view, view
        flew, self.flights = self.flights, {}
        for profile in view.in_flight:
            known = flew.get(profile.name)
            if not known or known.status != profile.status:
                known = Flight(profile.status, now, now)
            self.flights[profile.name] = replace(known, looked=now) if profile.name in looked else known
        if not before:
            return []
        gone, landed = before.profiles.keys() - view.profiles.keys(), flew.keys() - self.flights.keys()
        owners = [owner_of(before.profiles[name]) for name in landed & before.profiles.keys()]
        heirs = [key for key, name in self.name_wanted.items() if name in gone]
        heirs += [key for key, names in self.overlaps.items() if not names.isdisjoint(gone)]
        first = self.first(now) if landed and not self.flights else None
        return [key for key in (*owners, *heirs, first) if key]

    @property
    def unknown(self) -> bool:
        """Nothing of it is worth remembering: objects may name clusters without end that are not there."""
        known = self.view and self.view.found
        return not (known or self.flights or self.line or self.name_wanted or self.strays)

    def first(self, now: float) -> Key | None:
        """Return who is first in line; who did not come for its place has lost it."""
        self.line = {key: came for key, came in self.line.items() if now - came <= PLACE_SECONDS}
        return next(iter(self.line), None)

    def leave(self, key: Key) -> None:
        self.line.pop(key, None)
        self.name_wanted.pop(key, None)


@dataclass
class Pass:
    """One look at one object; `obj` and `memory` move on with what the pass writes."""

    key: Key
    obj: Object
    who: Identity
    memory: Memory
    cluster: Cluster
    shown: Object
    overlap: str = ""
    overlapping: tuple[Profile, ...] = ()
    looked: set[str] = field(default_factory=set)


# One line an action or error; the fields are a mapping, so that a JSON line has each on its own.
_WHERE = "object=%(object)s cluster=%(cluster)s profile=%(profile)s"
LOGGED_ACTION = f'done action=%(reason)s {_WHERE} message="%(message)s"'
LOGGED_ERROR = f'failed {_WHERE} reason=%(reason)s message="%(message)s"'
LOGGED_SURVEY = 'failed cluster=%(cluster)s reason=%(reason)s message="%(message)s"'


def _fields(p: Pass, profile: str, reason: str, message: str) -> dict[str, str]:
    return {
        "object": p.who.owner, "cluster": p.who.cluster, "profile": profile, "reason": reason, "message": message,
    }  # fmt: skip


class Reconciler:
    """Carries out the plan, one key at a time and one pass at a time per EKS cluster; safe to call from many threads.

    `wake` is called with keys that have reason to look again, `now` gives an aware wall clock, `monotonic` seconds.
    `ready_after` is told, of each object that becomes Ready, for how many seconds it was not.
    """

    def __init__(
        self,
        store: Store,
        kube: Kube,
        aws: Aws,
        settings: Settings,
        wake: Callable[[Key], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        ready_after: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._store, self._kube, self._aws, self._settings = store, kube, aws, settings
        self._ready_after = ready_after
        self._wake, self._now, self._monotonic = wake, now, monotonic
        self._clusters: dict[str, Cluster] = {}
        self._occupied: dict[str, object] = {}
        self._stalled: dict[Key, tuple[int, str, float]] = {}
        self._self: tuple[str, str, str] | None = None

    def reconcile(self, key: Key) -> Requeue:
        """Take the next step for one object, or look at a cluster itself; raises the Kubernetes edge's errors."""
        namespace, name = key
        if not namespace:
            return self._alone_in(name, key, lambda cluster: self._survey(name, cluster))
        obj = self._store.get(key)
        if obj is None:
            self._stalled.pop(key, None)
            return Requeue(gone=True)
        memory = Memory.parse(obj)
        who = Identity.parse(obj, memory, self._settings.cluster)
        status = _mapping(obj.get("status"))
        shown = {field: value for field, value in status.items() if field in SHOWN}
        overlap = _found("Overlapping", status.get("conditions") or []).get("message", "")
        return self._alone_in(
            who.cluster, key, lambda cluster: self._pass(Pass(key, obj, who, memory, cluster, shown, overlap))
        )

    def tally(self) -> dict[str, tuple[dict[str, int], int]]:
        """Return, of each EKS cluster that was seen, how many profiles are in which state, and how many stray."""
        clusters = {name: (each.view, len(each.strays)) for name, each in self._clusters.copy().items()}
        return {
            name: (dict.fromkeys(STATUSES, 0) | Counter(each.status for each in view.profiles.values()), strays)
            for name, (view, strays) in clusters.items()
            if view and view.found
        }

    def _alone_in(self, name: str, key: Key, work: Callable[[Cluster], Requeue]) -> Requeue:
        """Work if no other pass is in that cluster, so that one dead endpoint costs one worker, not all.

        Who finds it occupied comes back in a second, or as soon as it is free: each pass that ends wakes one.
        """
        token = object()
        if self._occupied.setdefault(name, token) is not token:
            self._clusters.setdefault(name, Cluster()).outside[key] = None
            return Requeue(OCCUPIED_SECONDS, unseen=True)
        cluster = self._clusters.setdefault(name, Cluster())
        try:
            return work(cluster)
        finally:
            if cluster.unknown:  # by the one pass that is in it, so that nobody works on one that is forgotten
                del self._clusters[name]
            del self._occupied[name]
            with suppress(KeyError):
                self._wake(cluster.outside.popitem()[0])

    def _pass(self, p: Pass) -> Requeue:
        ended = False
        try:
            requeue = self._step(p)
            ended = True
            return requeue
        finally:
            if not ended:  # whoever breaks off must not hold up those behind it in line
                p.cluster.leave(p.key)

    def _step(self, p: Pass) -> Requeue:
        try:
            home = self._home(p.who.cluster)
            self._observe(p, home)
            case, action = self._decide(p, home)
            p.memory, p.shown = remember(case), shown_of(case.kept)
            if p.who.requested_at:
                p.memory = p.memory.but(last_handled_reconcile_at=p.who.requested_at)
            self._find_overlaps(p, case)
            said = action if isinstance(action, Stay) else self._act(p, case, action)
        except AwsError as error:
            said = self._blame(p, error)
        if said is not None:
            self._report(p, said)
        return self._look_again(p, said) if said else Requeue(0.0)

    def _survey(self, name: str, cluster: Cluster) -> Requeue:
        """Look at a cluster itself, so that orphans are found even where it has no object."""
        try:
            self._home(name)
            if self._stale(cluster):
                self._read(name, cluster, {})
            if not (cluster.view and cluster.view.found):
                fields = {"cluster": name, "reason": "ClusterNotFound", "message": no_such(self._home(name))}
                log.warning(LOGGED_SURVEY, fields)
        except AwsError as error:
            fields = {"cluster": name, "reason": error.reason, "message": str(error)}
            log.warning(LOGGED_SURVEY, fields)
            return Requeue(retry=True)
        return Requeue()

    def _home(self, cluster: str) -> Home:
        if self._self is None:
            controller = self._settings.controller_id or self._kube.namespace_uid("kube-system")
            self._self = (*self._aws.account(), controller)
            fields = {"account": self._self[1], "controller": controller, "region": self._aws.region}
            log.info("identified account=%(account)s controller=%(controller)s region=%(region)s", fields)
        partition, account, controller = self._self
        return Home(partition, self._aws.region, account, cluster, controller)

    def _stale(self, cluster: Cluster) -> bool:
        age = self._monotonic() - cluster.view.at if cluster.view else float("inf")
        return age >= VIEW_LIFE * self._settings.resync_seconds

    def _observe(self, p: Pass, home: Home) -> None:
        """Make the view good enough to plan on: read if old; what is in flight, or edited, described again."""
        cluster, now = p.cluster, self._monotonic()
        if self._stale(cluster) or self._requested(p):
            p.looked |= {WHOLE_CLUSTER, *self._read(home.cluster, cluster, {})}
            return
        due = {name for name, each in cluster.flights.items() if each.rest(now, self._settings.poll_seconds) <= 0}
        if p.who.generation != p.memory.observed_generation and p.memory.profile_name:
            due.add(p.memory.profile_name)
        for name in due:
            self._see(p, home, name)

    def _requested(self, p: Pass) -> bool:
        return p.who.requested_at not in {"", p.memory.last_handled_reconcile_at}

    def _see(self, p: Pass, home: Home, name: str) -> None:
        p.looked.add(name)
        if name == WHOLE_CLUSTER or p.cluster.view is None:
            known = p.cluster.view.profiles if p.cluster.view else {}
            reuse = {each: known[each] for each in known if not p.who.may_name(each)}
            p.looked |= self._read(home.cluster, p.cluster, reuse) - reuse.keys()
        else:
            shown = p.cluster.view.showing(name, self._aws.describe(home.cluster, name))
            self._take(p.cluster, shown, {name}, p.key)

    def _read(self, name: str, cluster: Cluster, reuse: Mapping[str, Profile]) -> set[str]:
        view = self._aws.view(name, reuse)
        if reuse and cluster.view:  # no younger than what was not looked at again
            view = replace(view, at=cluster.view.at)
        self._take(cluster, view, view.profiles.keys() - reuse.keys())
        self._find_strays(name, cluster, view)
        return set(view.profiles)

    def _take(self, cluster: Cluster, view: View, looked: Collection[str], looking: Key | None = None) -> None:
        for key in cluster.saw(view, looked, self._monotonic()):
            if key != looking:  # that one goes on with this view in this pass
                self._wake(key)

    def _find_overlaps(self, p: Pass, case: Case) -> None:
        """Note which profiles can select the same pods."""
        others = overlaps(case)
        p.cluster.overlaps.pop(p.key, None)
        if others:
            p.cluster.overlaps[p.key] = frozenset(each.name for each in others)
        p.overlap, p.overlapping = overlap_message(case, others), others

    def _find_strays(self, name: str, cluster: Cluster, view: View) -> None:
        """Log each profile that is tagged as ours and belongs to no object: orphans, copied tags. Never touch one."""
        controller = self._self[2] if self._self else ""
        tagged = [each for each in view.profiles.values() if controller and each.tags.get(CONTROLLER_KEY) == controller]
        strays = {each.name: why for each in tagged if (why := self._stray(each))}
        for profile in strays.keys() - cluster.strays:
            fields = {"cluster": name, "profile": profile, "message": strays[profile]}
            log.warning('stray cluster=%(cluster)s profile=%(profile)s message="%(message)s"', fields)
        cluster.strays = set(strays)

    def _stray(self, profile: Profile) -> str:
        key = owner_of(profile)
        obj = self._store.get(key) if key else None
        if obj is None:
            gone = key is None or self._kube.exists(*key) is False
            owner = profile.tags.get(OWNER_KEY, "(no owner tag)")
            return f"its owner {owner} does not exist; delete it by hand if nobody needs it" if gone else ""
        who = Identity.parse(obj, Memory.parse(obj), self._settings.cluster)
        return "" if who.may_name(profile.name) else f"tags of {who.owner} on a profile that is not its own"

    def _decide(self, p: Pass, home: Home) -> tuple[Case, Stay | Change]:
        """Plan until what the action stands on has been looked at in this very pass."""
        try:
            resource: Resource | InvalidSpec = Resource.parse(p.obj)
        except InvalidSpec as error:
            resource = error
        facts, settings = None, self._settings
        while True:
            view = p.cluster.view or View(False, {}, self._monotonic())
            bounds = settings.lost_create, settings.may_adopt(p.who.namespace), settings.limits
            case = Case(p.who, resource, home, view, p.memory, facts, self._now(), *bounds)
            action = plan(case)
            if isinstance(action, NeedFacts):
                facts = self._aws.facts(home.cluster, case.spec, self._requested(p)) if case.spec else None
                continue
            action = self._take_turn(p, view, action)
            stands_on = (*must_see(action), *forgets_tags_of(case))
            unseen = next((name for name in stands_on if name not in p.looked), None)
            if unseen is None:
                return case, action
            self._see(p, home, unseen)

    def _take_turn(self, p: Pass, view: View, action: Stay | Change) -> Stay | Change:
        """Let only the first in line create or delete, and only while nothing is in flight in the cluster."""
        if not isinstance(action, CreateProfile | DeleteProfile):
            p.cluster.leave(p.key)
            if isinstance(action, Stay) and action.about:
                p.cluster.name_wanted[p.key] = action.about
            return action
        p.cluster.line[p.key] = self._monotonic()
        first = p.cluster.first(self._monotonic())
        return action if first == p.key and not view.in_flight else wait_behind(view, first)

    def _act(self, p: Pass, case: Case, action: Change) -> Stay | None:
        """Make the one change of this pass; return what to report, None for: look again at once."""
        match action:
            case AddFinalizer():
                self._guard(p, [*p.who.others_finalizers, FINALIZER])
                self._done(p, "Guarded", "The finalizer is in place.", kind="")
            case RemoveFinalizer(event=event, message=message):
                self._guard(p, p.who.others_finalizers)
                self._done(p, event, message, "Warning" if event == "ProfileLeft" else "Normal")
            case CreateProfile(name=name, warning=note):
                return self._create(p, case, name, note)
            case DeleteProfile(profile=profile, why=why):
                return self._delete(p, case, profile, why)
            case TagProfile(profile=profile, tags=tags, why=why, event=event):
                self._remember_keys(p, tags.keys() - case.owner_tags.keys())
                self._aws.tag(profile.arn, tags)
                self._changed(p, case, replace(profile, tags={**profile.tags, **tags}))
                self._done(p, event, f"Profile {profile.name} is tagged {', '.join(sorted(tags))}: {why}.")
            case UntagProfile(profile=profile, keys=keys, why=why):
                self._prove(p)
                self._aws.untag(profile.arn, keys)
                self._changed(p, case, replace(profile, tags={k: v for k, v in profile.tags.items() if k not in keys}))
                self._done(p, "Untagged", f"Profile {profile.name} has lost {', '.join(sorted(keys))}: {why}.")
            case _:
                assert_never(action)
        return None

    def _guard(self, p: Pass, finalizers: list[str]) -> None:
        p.obj = self._kube.patch_finalizers(p.obj, finalizers)
        self._store.put(p.obj)

    def _create(self, p: Pass, case: Case, name: str, note: str) -> Stay | None:
        """Mark, then create: the mark is the live check that the object is there, guarded and not going."""
        resource, started = cast("Resource", case.resource), self._monotonic()
        p.memory = p.memory.but(
            create_started_at=case.now,
            create_name=name,
            first_tried_at=p.memory.first_tried_at or case.now,
            cluster_arn=case.home.cluster_arn,
            # Those of before too: an earlier create may yet come true.
            applied_tag_keys=tuple(sorted({*p.memory.applied_tag_keys, *resource.tags})),
        )
        asked, was = asked_for(case, name), (p.obj.get("status") or {}).get("profileStatus", "DELETING")
        self._report(p, asked, on_the_way=True)
        if self._monotonic() - started > CREATE_WITHIN_SECONDS:
            return None
        profile = self._ask_for(p, case, name, resource.profile)
        lost = not case.kept and was != "DELETING"  # which would be our doing, or was told of already
        again = " The one before had gone without the controller's doing." if lost else ""
        pods = self._pods(p, case.kept.name) if case.kept else ""
        said = flight(self._changed(p, case, profile))
        self._done(p, asked.reason, f"{asked.message}{again}{pods}")
        if note:
            self._done(p, "RolePolicyMissing", note, "Warning")
        return replace(said, message=f"{said.message}{pods} {note}".rstrip())

    def _ask_for(self, p: Pass, case: Case, name: str, spec: ProfileSpec) -> Profile:
        try:
            return self._aws.create(case.home.cluster, name, spec, case.wanted_tags)
        except AwsError as error:
            if not error.unclear:  # this create was refused; one before it may still come true
                before = case.memory
                p.memory = p.memory.but(create_started_at=before.create_started_at, create_name=before.create_name)
            if case.kept and error.reason == "QuotaExceeded":
                raise Refused(error.reason, f"{error} {SPARE_NEEDED} {case.kept.name} serves as it is.") from error
            raise

    def _delete(self, p: Pass, case: Case, profile: Profile, why: str) -> Stay | None:
        self._prove(p)
        going = self._aws.delete(case.home.cluster, profile.name)
        pods = self._pods(p, profile.name)  # not before: between the last look and the delete nothing else is asked
        self._done(p, "Deleting", f"Profile {profile.name} is being deleted: {why}.{pods}")
        after = self._changed(p, case, replace(profile, status="DELETING"), gone=going is None)
        if going is None:
            return None
        said = flight(after)
        return replace(said, message=f"{said.message}{pods}")

    def _pods(self, p: Pass, profile: str) -> str:
        """Say how many pods run on a profile, "" where that may not be known; those of other clusters can't be."""
        count = self._kube.running_pods(profile) if p.who.cluster == self._settings.cluster else None
        return "" if count is None else f" {count} running pod{'' if count == 1 else 's'} on {profile}."

    def _changed(self, p: Pass, case: Case, profile: Profile, gone: bool = False) -> Case:
        """Take what EKS has answered to a change into the view; return the case as it is then."""
        p.cluster.leave(p.key)
        view = case.view.showing(profile.name, None if gone else profile)
        self._take(p.cluster, view, {profile.name})
        after = replace(case, view=view, memory=p.memory)
        p.memory, p.shown = remember(after), shown_of(after.kept)
        return after

    def _remember_keys(self, p: Pass, keys: Collection[str]) -> None:
        """Write down the tag keys that are about to be set, so that they can be taken away again."""
        p.memory = p.memory.but(applied_tag_keys=tuple(sorted({*p.memory.applied_tag_keys, *keys})))
        self._prove(p)

    def _prove(self, p: Pass) -> None:
        """Write status though it may change nothing: what follows is done only for the version that was seen.

        It also records the ARN, by which a profile is still the object's once its owner tags are off.
        """
        self._write(p, (p.obj.get("status") or {}).get("conditions") or [], always=True)

    def _blame(self, p: Pass, error: AwsError) -> Stay:
        """Say what an error means for the object, and forget what it has contradicted or left unclear."""
        level = logging.INFO if isinstance(error, Busy) else logging.WARNING
        log.log(level, LOGGED_ERROR, _fields(p, p.who.base, error.reason, str(error)))
        if error.unclear or isinstance(error, Busy):
            p.cluster.view = None
        if isinstance(error, Busy):
            again = None if error.reason == "WaitingForTurn" else self._now() + timedelta(seconds=POLL_MOST_SECONDS)
            return Stay(Phase.RECONCILING, error.reason, str(error), again)
        p.cluster.leave(p.key)
        if not isinstance(error, Refused):
            return Stay(Phase.RECONCILING, error.reason, str(error), retry=True)
        tried, now = p.memory.first_tried_at, self._now()
        if error.reason == "RoleNotTrusted" and tried and now < tried + TRUST_PROPAGATION:
            return Stay(Phase.RECONCILING, error.reason, str(error), now + timedelta(seconds=TRUST_SECONDS))
        return refuse(error.reason, str(error))

    def _report(self, p: Pass, said: Stay, on_the_way: bool = False) -> None:
        """Write status if it differs. What is only on the way to an outcome does not unsay a Stalled condition."""
        status = p.obj.get("status") or {}
        old = status.get("conditions") or []
        keep = (on_the_way or said.reason == "WaitingForTurn") and _current(_found("Stalled", old), p.who)
        listed = old if keep else conditions(old, p.who, said, p.overlap, self._now())
        self._write(p, listed)
        if not keep:
            self._tell(p, said, old, listed)

    def _write(self, p: Pass, listed: list[Object], always: bool = False) -> None:
        status = render_status(p.who, p.memory, p.shown, listed)
        if always or status != p.obj.get("status"):
            p.obj = self._kube.patch_status(p.obj, status)
            self._store.put(p.obj)

    def _tell(self, p: Pass, said: Stay, old: list[Object], new: list[Object]) -> None:
        """Post an event where the object turned Ready, stalled or idle, or stalls for another reason."""
        before = _found("Ready", old)
        overlapped = _found("Overlapping", old)
        if p.overlap and not overlapped:
            self._done(p, "Overlapping", p.overlap, "Warning")
        # Only now that it is written down: what can't be would be new in every pass, and they would wake one another.
        if p.overlap not in {"", overlapped.get("message")}:
            for key in filter(None, map(owner_of, p.overlapping)):
                self._wake(key)
        changed = any(before.get(key) != new[0][key] for key in ("status", "reason", "message"))
        if changed and said.phase is Phase.STALLED:
            event = said.reason if said.reason in {"CreateFailed", "DeleteFailed"} else "Refused"
            note = said.message if said.message.startswith(said.reason) else f"{said.reason}: {said.message}"
            self._done(p, event, note, "Warning")
        elif said.phase is Phase.READY and before.get("status") != "True":
            was = before.get("reason")
            event = "Created" if was == "Creating" else "Replaced" if was == "Replacing" else "Active"
            self._done(p, event, said.message)
            if before:
                since = datetime.fromisoformat(before["lastTransitionTime"])
                self._ready_after((self._now() - since).total_seconds())
        elif said.phase is Phase.IDLE and before.get("reason") != said.reason:
            self._done(p, said.reason, said.message)
        elif said.reason in TIME_MAY_MEND and before.get("reason") != said.reason:
            log.warning(LOGGED_ERROR, _fields(p, p.who.base, said.reason, said.message))

    def _done(self, p: Pass, action: str, note: str, kind: str = "Normal") -> None:
        """Log what was done or found, and post it as an event of that kind, "" for none."""
        level = logging.WARNING if kind == "Warning" else logging.INFO
        log.log(level, LOGGED_ACTION, _fields(p, p.memory.profile_name or p.who.base, action, note))
        if kind:
            self._kube.event(p.obj, kind, action, "Reconcile", note, self._now())

    def _look_again(self, p: Pass, said: Stay) -> Requeue:
        now, poll = self._monotonic(), self._settings.poll_seconds
        if said.phase is not Phase.STALLED:
            self._stalled.pop(p.key, None)
        if said.retry:
            return Requeue(retry=True)
        if said.until:
            return Requeue(max(0.1, (said.until - self._now()).total_seconds()))
        if said.phase is Phase.STALLED:
            return Requeue(self._stall(p, said.reason, now))
        if said.phase is Phase.RECONCILING or p.memory.profile_name in p.cluster.flights:
            return Requeue(max(0.1, min((each.rest(now, poll) for each in p.cluster.flights.values()), default=poll)))
        return Requeue()

    def _stall(self, p: Pass, reason: str, now: float) -> float:
        """Return the time to the next look: as long again as the object has been stalled for this reason."""
        generation, known, since = self._stalled.get(p.key, (-1, "", now))
        if (generation, known) != (p.who.generation, reason):
            since = now
        self._stalled[p.key] = (p.who.generation, reason, since)
        least, most = STALLED_SECONDS
        return min(max(now - since, least), most)
