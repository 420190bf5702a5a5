"""One pass over one FargateProfile object: observe, decide, act, report, come back.

The picture: object, view of its EKS cluster, memory in status -> `plan` -> at most one change in AWS or of
finalizers -> status from what was seen and done -> when to look again. A crash between two steps is then
the same case as a crash between two passes: the next pass trusts nothing but a new look.

It knows Kubernetes only as the protocol `passes.Kube`, AWS only by `sites.Sites`. What it is not: a decision
(plan), words for users (status), what is known of one EKS cluster (clusters), a queue, a thread, a sleep.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

import clusters
import lookups
import sites
import status
import surveys
import telling
from actions import (
    AddFinalizer,
    Change,
    CreateProfile,
    DeleteProfile,
    NeedFacts,
    NeedNetwork,
    Phase,
    RemoveFinalizer,
    Report,
    TagProfile,
    UntagProfile,
    give_up,
)
from answers import AwsError, Busy, Refused
from aws import Profile, calls_of_this_thread
from case import Case, case_of, strayed_in
from clusters import Cluster, View
from entries import Barred, Entry
from informer import Store, is_cut
from kube import Conflict, Key, Object, TooLarge, WriteRefused
from limits import Settings
from memory import (
    SEND_WITHIN_SECONDS,
    lost_for,
    marked,
    must_see_for_tags,
    must_see_for_the_mark,
    remember,
    taken_over,
    with_tags,
)
from overlaps import overlap_message, overlaps
from passes import Kube, Pass, Refusals
from patterns import listed, readable, steady
from plan import WHOLE_CLUSTER, flight, must_see, plan, stands_on_terms, takes_for_granted
from sites import Site, Sites
from spec import (
    FINALIZER,
    POD_CONDITIONS,
    RESERVED_KEYS,
    RETAINED_KEY,
    Identity,
    Memory,
    is_retained,
    owner_of,
)
from surroundings import Home, no_such, unhealthy, without_fargate
from wanted import Refusal
from workqueue import ASKED_LOOK_SECONDS, LEAST_WAIT_SECONDS, Requeue, Since, Thrift

log = logging.getLogger("fargate")

OUTSIDE_SECONDS = 30.0  # of an occupied cluster or a full place, should nobody let the object in


class Reconciler:
    """Carries out the plan, one key at a time and one pass at a time per EKS cluster.

    Safe to call from many threads. `wake` is called with keys that have reason to look again, `readmit` with
    one that was turned away and can be let in; `now` gives an aware wall clock, `monotonic` seconds. `ready_after`
    is told, of each object that becomes Ready, for how many seconds it was not; `posted` the reason of each event.
    """

    def __init__(
        self,
        store: Store,
        kube: Kube,
        where: Sites,
        settings: Settings,
        wake: Callable[[Key], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        ready_after: Callable[[float], None] = lambda _seconds: None,
        posted: Callable[[str], None] = lambda _reason: None,
        readmit: Callable[[Key], bool] = lambda _key: False,
    ) -> None:
        self._store, self._kube, self._sites, self._settings = store, kube, where, settings
        self._wake, self._now, self._monotonic = wake, now, monotonic
        self._clusters, self._thrift = clusters.Clusters(readmit), Thrift()
        where.rooms.readmit = readmit
        self._twice = lookups.Twice(monotonic)
        self._stalled, self._marks, self._waits = Since(), Since(), Since()  # a reason, a mark, for what time may mend
        self._changes: dict[Key, Change] = {}  # made by the pass before
        self._refused = Refusals(monotonic)
        self._telling = telling.Telling(kube, self._thrift, wake, now, monotonic, ready_after, posted)
        self.homes = sites.Homes(where, lambda: settings.controller_id or kube.namespace_uid("kube-system"), settings)
        self.surveys = surveys.Surveys(store, kube, where, self.homes, settings)
        self._anew: set[str] = set()  # clusters that somebody wants to have seen
        self.tally = partial(self._clusters.tally, is_retained)
        self.news: Callable[[Key], status.News | None] = lambda _key: None  # of an object's pods; None: as it was
        self.asked: Callable[[], None] = lambda: None  # told that an object has had the look that it asked for

    def reconcile(self, key: Key) -> Requeue:
        """Take the next step for one object, or look at a cluster itself; raises the Kubernetes edge's errors."""
        namespace, name = key
        if not namespace:
            entry = self._sites.shown_as(name)
            if self._sites.entries.listed is not None:
                self._clusters.keep({each.key for each in self._sites.each})
            if entry is None:  # it went from the file
                return Requeue(gone=True)
            return self._alone_in(entry, key, partial(self._survey, entry))
        obj = self._store.get(key)
        if obj is None:
            self._forget(key)
            return Requeue(gone=True)
        memory = Memory.parse(obj)
        who = Identity.parse(obj, memory, self._settings.cluster)
        found = self._sites.find(who)
        if isinstance(found, Barred):
            self._clusters.leave(key)
            return self._pass(Pass(key, obj, who, memory, Cluster(), found, None, shown={}))
        who = replace(who, cluster=found.name)

        def work(cluster: Cluster, site: Site) -> Requeue:
            return self._pass(Pass(key, obj, who, memory, cluster, found, site, shown={}))

        return self._alone_in(found, key, work)

    def _forget(self, key: Key) -> None:
        for each in (self._stalled, self._marks, self._waits, self._thrift, self._twice, self._refused):
            each.forget(key)
        self._clusters.leave(key)
        self._changes.pop(key, None)
        self._telling.forget(key)

    def _pass(self, p: Pass) -> Requeue:
        key, cluster = p.key, p.cluster
        may_wait = status.waits_in_vain(p.conditions) and not p.who.deleting and key not in cluster.line
        if may_wait and (owed := self._thrift.defers(key, p.payer, self._monotonic())):
            if p.edited or p.asks:
                self._telling.aloud(p, "Deferred", status.deferred(p.who))
            return Requeue(owed, skipped=True)
        ended, sent = False, calls_of_this_thread()
        try:
            if is_cut(p.obj):
                self._read_whole(p)
            p.shown = {name: value for name, value in p.status.items() if name in status.SHOWN}
            p.noted = status.noted_in(p.conditions)
            self._take_news(p)
            requeue = self._step(p)
            if not p.untold:
                self._telling.forget(key)
            ended = True
        except WriteRefused as error:
            self._telling.untold(p, error)
            raise
        finally:
            if not ended:  # whoever breaks off must not hold up those behind it in line
                cluster.leave(key)
            if not p.useful:
                self._thrift.calls.spend(p.payer, calls_of_this_thread() - sent, self._monotonic())
        return requeue.within(p.look_in) if p.look_in else requeue

    def _take_news(self, p: Pass) -> None:
        news = self.news(p.key) or status.news_in(p.status)
        p.pods = news.pods
        for kind in POD_CONDITIONS:
            p.note(kind, *news.noted.get(kind, ("", "")))

    def _read_whole(self, p: Pass) -> None:
        """Read an object of which the store has not kept the spec; raises `Conflict` if it is not that one any more."""
        was, there = p.who, self._kube.get(*p.key)
        if there is None or there["metadata"]["uid"] != p.obj["metadata"]["uid"]:
            raise Conflict(f"{was.owner} is gone")
        p.obj, p.memory = there, Memory.parse(there)
        p.who = Identity.parse(there, p.memory, self._settings.cluster)
        if self._sites.find(p.who) != p.entry:
            raise Conflict(f"{was.owner} is of another cluster now")
        if isinstance(p.entry, Entry):
            p.who = replace(p.who, cluster=p.entry.name)

    def _step(self, p: Pass) -> Requeue:
        """Observe, decide, act, report; what stands against it is reported like what was decided."""
        try:
            found = self.homes.admit(p.entry)
            case, action = self._seen(p, found) if isinstance(found, Entry) else self._barred(p, found)
            again = self._is_again(p, action)
            report = self._act(p, case, action)
            if again and report is None:
                report = status.undone("what was done last does not show", stalls=False)
        except AwsError as error:
            report = self._blame(p, error)
        except status.Blocked as blocked:
            p.cluster.leave(p.key)
            report = blocked.report
        if report is None:
            p.useful = True
            return Requeue(0.0, urgent=None)
        report = self._or_stall(p, status.unless_ready(report, p.conditions, p.who))
        p.useful |= report.phase is not Phase.STALLED and not p.edited and p.asked_at is None
        p.useful &= report.reason not in clusters.TIME_MAY_MEND
        try:
            self._report(p, report)
        except TooLarge as error:
            if report.phase is not Phase.RECONCILING:
                raise
            self._telling.untold(p, error)  # what is waited for goes on, in its place in line
        return self._look_again(p, report)

    def _seen(self, p: Pass, entry: Entry) -> tuple[Case, Report | Change]:
        home = self.homes.of(entry)
        self._observe(p, home)
        case, action = self._decide(p, home, entry)
        self._note(p, case)
        return case, action

    def _barred(self, p: Pass, why: Barred) -> tuple[Case, Report | Change]:
        """Decide on an object that has no cluster here; what status remembers of one stays as it is."""
        p.cluster.leave(p.key)
        p.site, home = None, sites.nowhere(p.who.cluster)
        case = case_of(p.obj, p.who, p.memory, home, self._no_view(), self._settings, self._now())
        case = replace(case, barred=why)
        action = status.with_log(case, plan)
        if isinstance(action, NeedFacts | NeedNetwork):
            raise AssertionError("nothing is asked for an object without a cluster")  # noqa: TRY004
        return case, action

    # Observe

    def _observe(self, p: Pass, home: Home) -> None:
        """Make the view good enough to plan on: read if old; what is in flight, or edited, described again."""
        cluster, asked = p.cluster, p.asks and self._may_have_its_look(p)
        told_missing = status.told_before(p.conditions, p.who) == "ClusterNotFound"
        if asked or cluster.is_old(self._monotonic(), self._settings.view_life, told_missing):
            view, described = self._read(home, cluster, p.there)
            p.looked |= described
            if all(name in described for name in view.names if p.who.may_name(name)):
                p.looked.add(WHOLE_CLUSTER)
            return
        due = cluster.due(self._monotonic(), self._settings.poll_seconds)
        if p.edited and p.memory.profile_name and not self._thrift.owes(p.payer, self._monotonic()):
            due.add(p.memory.profile_name)
        for name in due:
            self._look_at(p, home, name)

    def _may_have_its_look(self, p: Pass) -> bool:
        """Say whether all was seen before the object asked for a look, and it may have that now."""
        now, seen_at = self._monotonic(), p.cluster.view.at if p.cluster.view else float("-inf")
        p.asked_at = self._thrift.asked.when(p.key, p.who.requested_at, now)
        if seen_at < p.asked_at:  # else whoever has looked since did it for this one too
            p.look_in = self._thrift.look(p.key, p.payer, now)
        return seen_at < p.asked_at and not p.look_in

    def _read(self, home: Home, cluster: Cluster, site: Site) -> tuple[View, set[str]]:
        """Begin, or go on with, a look at all profiles; return the view and the names described just now.

        Raises `AwsError` as long as the view is not whole: nothing is decided on a part of it.
        """
        cluster.reading = cluster.reading or clusters.Reading(self._monotonic())
        described: set[str] = set()
        try:
            view = cluster.reading.go_on(site.aws, home.cluster, described)
        except Refused as error:
            if text := without_fargate(home.shown, lookups.or_unknown(lambda: site.known.cluster(home.cluster))):
                raise Refused("ClusterWithoutFargate", text) from error
            raise
        cluster.reading = None
        self._take_view(cluster, view, view.names)
        self.surveys.find_orphans(home, cluster, view)
        return view, described

    def _look_at(self, p: Pass, home: Home, name: str) -> None:
        """See one profile anew, or all that could be this object's (`WHOLE_CLUSTER`)."""
        view = p.cluster.view or self._no_view()
        if name != WHOLE_CLUSTER:
            p.looked.add(name)
            seen = clusters.describe(p.aws, home.cluster, name)
            self._take_view(p.cluster, view.showing(name, seen), {name}, p.key)
            return
        described: set[str] = set()
        view = clusters.reading_anew(view, p.who.may_name).go_on(p.aws, home.cluster, described)
        p.looked |= {WHOLE_CLUSTER, *described}
        self._take_view(p.cluster, view, described, p.key)
        self.surveys.find_orphans(home, p.cluster, view)

    def _take_view(self, cluster: Cluster, view: View, looked: Collection[str], looking: Key | None = None) -> None:
        settled, waiting = cluster.saw(view, looked, self._monotonic())
        for key in (*filter(None, map(owner_of, settled)), *waiting):
            if key != looking:  # that one goes on with this view in this pass
                self._thrift.excused.add(key)
                self._wake(key)

    def _no_view(self) -> View:
        return View(False, {}, self._monotonic())

    # Decide

    def _decide(self, p: Pass, home: Home, entry: Entry) -> tuple[Case, Report | Change]:
        """Plan until what the action stands on has been looked at in this very pass."""
        waits = lost_for(p.obj, p.memory, self._marks, self._monotonic(), self._settings.lost_create)
        case = case_of(p.obj, p.who, p.memory, home, self._no_view(), self._settings, self._now(), entry.defaults)
        at_home = self._sites.entries.at_home(entry, p.who.namespace)
        case = replace(case, at_home=at_home, tags_refused=self._refused.of(p, self._settings.view_life))
        while True:
            view = p.cluster.view or self._no_view()
            case = replace(case, view=view, now=self._now(), looked=frozenset(p.looked), lost_for=waits)
            action = status.with_log(case, plan)
            if isinstance(action, NeedNetwork):
                ages = p.network_ages(len(case.owned) == 1, self._settings.view_life, self._monotonic())
                case = self._with_network(p, case, *ages)
                continue
            if isinstance(action, NeedFacts):
                case = self._with_facts(p, case)
                continue
            action = self._take_turn(p, case, action)
            if stands_on_terms(case, action) and not p.network_read:
                p.network_read = True
                case = self._with_network(p, replace(case, facts=None), 0.0)
                continue
            stands_on = (*must_see(action), *must_see_for_tags(case), *must_see_for_the_mark(case))
            not_looked_at = next((name for name in stands_on if name not in p.looked), None)
            if not_looked_at is None:
                self._must_be_read(p, case, action)
                return case, action
            self._look_at(p, home, not_looked_at)

    def _must_be_read(self, p: Pass, case: Case, action: Report | Change) -> None:
        """Raise what kept the subnets from being read where more would be made of that than that Ready stays."""
        error = case.network.error if case.network else None
        if error and takes_for_granted(action) and not status.is_ready(p.conditions, p.who):
            raise error

    def _with_facts(self, p: Pass, case: Case) -> Case:
        """Ask for the facts; what speaks against the create is looked at anew, as it may have been mended."""
        case = self._facts_of(p, case, p.age(lookups.FACTS_SECONDS, self._monotonic()))
        return self._facts_of(p, case, lookups.NO_SECONDS) if case.objections else case

    def _facts_of(self, p: Pass, case: Case, age: float) -> Case:
        if case.spec and case.spec.terms:
            case = self._with_network(p, case, age)
            if case.network and case.network.error:
                raise case.network.error
        return replace(case, facts=p.known.facts(case.home.cluster, case.spec, age)) if case.spec else case

    def _with_network(self, p: Pass, case: Case, age: float, errors: float = lookups.ERROR_SECONDS) -> Case:
        """Ask for the subnets that terms choose from; of a profile counts what two looks have shown."""
        ask = partial(p.known.network, case.home.cluster, errors=errors)
        network, wait = self._twice.look(p.key, ask, age, partial(strayed_in, case))
        return replace(case, network=network, sure_at=self._now() + timedelta(seconds=wait) if wait else None)

    def _take_turn(self, p: Pass, case: Case, action: Report | Change) -> Report | Change:
        """Let only the first in line create or delete, and only while nothing is in flight in the cluster."""
        if not isinstance(action, CreateProfile | DeleteProfile):
            p.cluster.leave(p.key)
            if isinstance(action, Report) and action.about:
                p.cluster.name_wanted[p.key] = action.about
            return action
        p.cluster.line[p.key] = self._monotonic()  # in its old place: a dict keeps the order of its keys
        first = p.cluster.first(self._monotonic())
        flying = p.cluster.in_flight(self._monotonic(), self._now())
        if first != p.key or flying:
            return status.with_log(case, lambda c: status.wait_behind(c, flying, first, status.what_to_do(action)))
        held = p.cluster.held_until - self._monotonic()
        return action if held <= 0 else status.wait_while_busy(self._now() + timedelta(seconds=held))

    def _note(self, p: Pass, case: Case) -> None:
        """Take down what was seen, before anything is done about it."""
        p.memory, p.seen = remember(case), True
        if not case.hidden:  # else it is as it was seen last
            p.shown = status.shown_of(case.serving)
        if p.asked_at is not None and case.view.at >= p.asked_at:
            p.memory = p.memory.but(last_handled_reconcile_at=p.who.requested_at)
            self.asked()
        elif p.asked_at is not None:  # what was seen is from before
            p.look_in = p.look_in or ASKED_LOOK_SECONDS
        if case.spec and not case.spec.terms:  # where terms were gone meanwhile, a first look counts no more
            self._twice.forget(p.key)
        before = p.noted["DefaultsChanged"].message if "DefaultsChanged" in p.noted else ""
        p.note("DefaultsChanged", "DefaultsDiffer", case.changed_defaults(before))
        p.overlapping = overlaps(case, p.cluster.shares)
        p.note("Overlapping", "SelectorsOverlap", overlap_message(case, p.overlapping))
        p.overlap_logged = overlap_message(replace(case, settings=case.settings.frankly), p.overlapping)
        p.cluster.overlaps.pop(p.key, None)
        if p.overlapping:
            p.cluster.overlaps[p.key] = frozenset(each.name for each in p.overlapping)

    # Act

    def _act(self, p: Pass, case: Case, action: Report | Change) -> Report | None:
        """Make the one change of this pass; return what to report, None for: look again at once."""
        match action:
            case Report():
                self._look_around(p, case)
                return action
            case AddFinalizer():
                self._patch_finalizers(p, [*p.who.others_finalizers, FINALIZER])
                self._telling.action(p, "Guarded", "The finalizer is in place.")
            case RemoveFinalizer(event=event, message=message, logged=logged):
                self._patch_finalizers(p, p.who.others_finalizers)
                self._telling.done(p, event, message, logged)
            case CreateProfile():
                return self._create(p, case, action)
            case DeleteProfile():
                return self._delete(p, case, action)
            case TagProfile():
                self._tag(p, case, action)
            case UntagProfile():
                self._untag(p, case, action)
            case _:
                assert_never(action)
        return None

    def _look_around(self, p: Pass, case: Case) -> None:
        """Note what keeps pods from a profile that is ACTIVE; what can't be seen now is as it was."""
        if case.barred or case.hidden or case.elsewhere:
            return
        p.note("ProfileUnhealthy", "HealthIssues", unhealthy(case.serving))
        serves = case.serving if case.serving and case.serving.active and not p.who.deleting else None
        before = p.noted["RoleUnknownToCluster"].message if "RoleUnknownToCluster" in p.noted else ""
        told = p.roles.note(case.home, p.cluster.roles, serves.role, before) if serves else ""
        p.note("RoleUnknownToCluster", "AccessLost", told)

    def _is_again(self, p: Pass, action: Report | Change) -> bool:
        """Say whether the pass right before has made this very change: then it did not take.

        A create is none of these: what comes of it is seen in flight, and slow writes of its mark repeat it.
        """
        before = self._changes.pop(p.key, None)
        if isinstance(action, Report | CreateProfile):
            return False
        self._changes[p.key] = action
        return before == action

    def _patch_finalizers(self, p: Pass, finalizers: list[str]) -> None:
        """Write the finalizers; raises `Blocked` where that is refused, or undone by the very answer."""
        sent = self._store.epoch
        try:
            p.obj = self._kube.patch_finalizers(p.obj, finalizers)
        except WriteRefused as error:
            raise status.Blocked(status.write_refused("the finalizers of this object", error)) from error
        self._store.put(p.obj, sent)
        if what := status.not_taken(finalizers, p.obj["metadata"].get("finalizers") or []):
            raise status.Blocked(status.undone(what))

    def _create(self, p: Pass, case: Case, create: CreateProfile) -> Report | None:
        """Mark, then create: the mark is the live check that the object is there, guarded and not going."""
        asked, lost, before = status.asked_for(case, create.name), status.lost_before(case, p.status), p.memory
        if p.memory.first_tried_at is None:
            for each in create.warnings:
                self._telling.done(p, each.reason, each.message)
        p.aws.ready()  # before the mark: nothing is fetched between it and the create
        if not self._mark(p, case, create, asked):
            return None
        profile = self._ask_for(p, case, create, before)
        pods = self._pods(p, case.serving.name) if case.serving else ""
        report = flight(self._changed(p, case, profile), profile)
        action = "ProfileLost" if lost else asked.reason
        # The event of a create is the one that ends it.
        tell = self._telling.action if action == "Creating" else self._telling.done
        tell(p, action, f"{asked.message}{lost}{pods}")
        said = " ".join([f"{report.message}{pods}", *(each.message for each in create.warnings)])
        return replace(report, message=said)

    def _mark(self, p: Pass, case: Case, create: CreateProfile, asked: Report) -> bool:
        """Write into status that a create is about to be sent; say whether that went fast enough to send it."""
        started = self._monotonic()
        p.memory = marked(case, create, p.memory)
        self._report(p, asked, on_the_way=True)
        self._see_it_written(p)
        return self._monotonic() - started <= SEND_WITHIN_SECONDS

    def _ask_for(self, p: Pass, case: Case, create: CreateProfile, before: Memory) -> Profile:
        try:
            return p.aws.create(case.home.cluster, create.name, create.spec, case.wanted_tags)
        except AwsError as error:
            if not error.unclear:  # this create was refused; one before it may still come true
                p.memory = p.memory.as_before_the_create(case.memory, before)
            if case.serving and error.reason == "QuotaExceeded":
                text = f"{error} {status.ROOM_FOR_REPLACE} {case.serving.name} serves as it is."
                raise Refused(error.reason, text) from error
            raise

    def _delete(self, p: Pass, case: Case, delete: DeleteProfile) -> Report | None:
        name = delete.profile.name
        self._write_current(p, bare=True)
        answer = p.aws.delete(case.home.cluster, name)
        pods = self._pods(p, name)  # not before: between the last look and the delete nothing else is asked
        self._telling.done(p, "Deleting", f"Profile {name} is being deleted: {delete.why}.{pods}")
        going = replace(delete.profile, status="DELETING")
        after = self._changed(p, case, going, gone=answer is None)
        if answer is None:
            return None
        report = flight(after, going)
        return replace(report, message=f"{report.message}{pods}")

    def _tag(self, p: Pass, case: Case, tag: TagProfile) -> None:
        profile, tags = tag.profile, tag.tags
        # Written down before they are set, so that they can be taken away again; but for what others have set there,
        # which counts once it has the value of the spec.
        memory = taken_over(case, profile, p.memory) if tag.takes_over else p.memory
        p.memory = with_tags(case, memory, tags.keys() - RESERVED_KEYS - profile.tags.keys())
        self._write_current(p, bare=tags.keys() <= RESERVED_KEYS)
        try:
            p.aws.tag(profile.arn, tags)
        except Refused as error:
            if tags == case.missing_default_tags:  # no object stalls for what it does not say itself
                self._refused.add(p.key, Refusal(tags, steady(str(error))))
                return
            if RETAINED_KEY not in tags:
                raise
            self._untag(p, case, give_up(profile, str(error)))  # no deletion waits for that tag
            return
        self._changed(p, case, replace(profile, tags={**profile.tags, **tags}))
        self._telling.done(p, tag.event, f"Profile {profile.name} is tagged {listed(sorted(tags))}: {tag.why}.")

    def _untag(self, p: Pass, case: Case, untag: UntagProfile) -> None:
        profile, keys = untag.profile, untag.keys
        self._write_current(p, bare=True)
        try:
            p.aws.untag(profile.arn, keys)
        except Refused as error:
            if keys != case.default_tags.lost:
                raise
            self._refused.add(p.key, Refusal(dict.fromkeys(keys), steady(str(error))))
            return
        rest = {key: value for key, value in profile.tags.items() if key not in keys}
        self._changed(p, case, replace(profile, tags=rest))
        self._telling.done(p, "Untagged", f"Profile {profile.name} has lost {listed(sorted(keys))}: {untag.why}.")

    def _pods(self, p: Pass, profile: str) -> str:
        """Say how many pods run on a profile, "" where that may not be known; those of other clusters can't be."""
        unknown = not isinstance(p.entry, Entry) or self._sites.unproven(p.entry)
        count = None if unknown else lookups.running_pods(self._kube, profile)
        return "" if count is None else f" {count} running pod{'' if count == 1 else 's'} on {profile}."

    def _changed(self, p: Pass, case: Case, profile: Profile, gone: bool = False) -> Case:
        """Take what EKS has answered to a change into the view; return the case as it is then."""
        p.cluster.leave(p.key)
        view = case.view.showing(profile.name, None if gone else profile)
        if gone or profile.in_flight:
            p.cluster.took_turn(p.key, self._monotonic())
        p.useful = True
        self._take_view(p.cluster, view, {profile.name})
        after = replace(case, view=view, memory=p.memory, looked=frozenset())
        p.memory, p.shown = remember(after), status.shown_of(after.serving)
        return after

    # Report

    def _blame(self, p: Pass, error: AwsError) -> Report:
        """Say what an error means for the object, and forget what it has contradicted or left unclear."""
        self._changes.pop(p.key, None)
        busy = isinstance(error, Busy)
        level = logging.INFO if busy else logging.WARNING
        log.log(level, status.LOGGED_ERROR, status.fields_of(p.who, p.who.base, error.reason, readable(str(error))))
        if error.unclear or busy:
            p.cluster.doubt(p.memory.create_name, p.memory.profile_name)
        if not busy:
            p.cluster.leave(p.key)
        held = p.cluster.hold(self._monotonic()) if busy else 0.0
        known = p.who.may_name if self._settings.limits.discreet else lambda _name: True
        return replace(status.report_of(error, p.memory.first_tried_at, self._now(), held, known), blind=not p.seen)

    def _or_stall(self, p: Pass, report: Report) -> Report:
        """Let what time may mend stall the object once it has been waited for too long."""
        patience = clusters.TIME_MAY_MEND.get(report.reason)
        if patience is None:
            if not report.retry:  # a look that failed says nothing of what is waited for
                self._waits.forget(p.key)
            return report
        now, stalled = self._monotonic(), status.find_condition("Stalled", p.conditions)
        since = self._waits.when(p.key, (p.who.generation, report.reason), now)
        # Another process, or this one before it was started anew, may have waited for long enough.
        told = status.is_current(stalled, p.who) and status.tells(stalled, report.message)
        waited = patience if told else timedelta(seconds=now - since)
        return status.wait_or_stall(report, waited, patience, self._now())

    def _report(self, p: Pass, report: Report, on_the_way: bool = False) -> None:
        """Write status if it differs. What is only on the way to an outcome does not unsay a Stalled condition."""
        old = p.conditions
        passing = on_the_way or report.reason == "WaitingForTurn"
        if passing and status.is_current(status.find_condition("Stalled", old), p.who):
            self._write(p, old)
            return
        report = status.with_note(report, p.who, self._settings) if p.site else report
        new = self._write(p, status.conditions(old, p.who, report, p.noted, self._now()))
        self._telling.overlap(p, status.find_condition("Overlapping", old))
        self._telling.outcome(p, report, old, new)

    def _write(self, p: Pass, conditions: list[Object], always: bool = False) -> list[Object]:
        """Write status if it differs, short where there is no room for all of it; return its conditions."""
        told = status.render_status(p.who, p.remembered, {**p.shown, "pods": p.pods}, conditions)
        try:
            self._send(p, told, always)
        except TooLarge:
            told = status.shortened(told)
            self._send(p, told, always)
        return [*told.get("conditions", ())]

    def _send(self, p: Pass, told: Object, always: bool = True) -> None:
        if always or told != p.obj.get("status"):
            sent = self._store.sending(p.obj, told)
            p.obj = self._kube.patch_status(p.obj, told)
            self._store.put(p.obj, sent)

    def _write_current(self, p: Pass, bare: bool = False) -> None:
        """Write status, changed or not: what follows is done only for the version that was seen.

        It also records the ARN, by which a profile is still the object's once its owner tags are off.
        `bare`: an object that goes, and has no room for that, is still proven to be as seen.
        """
        try:
            self._write(p, p.conditions, always=True)
        except TooLarge:
            if not (bare and p.who.deleting):
                raise
            self._send(p, p.status)
        else:
            self._see_it_written(p)

    def _see_it_written(self, p: Pass) -> None:
        """Raise `Blocked` where what status is to remember is not in the API server's answer."""
        if Memory.parse(p.obj).proof != p.memory.proof:
            p.memory = Memory.parse(p.obj)  # or the report of that would bring in what it stood for, undone by nobody
            raise status.Blocked(status.undone("the status that was written is not in the API server's answer"))

    # Come back

    def _look_again(self, p: Pass, report: Report) -> Requeue:
        now, poll = self._monotonic(), self._settings.poll_seconds
        if report.phase is not Phase.STALLED:
            self._stalled.forget(p.key)
        if report.retry:
            return Requeue(retry=True)
        if report.until:
            return Requeue(max(LEAST_WAIT_SECONDS, (report.until - self._now()).total_seconds()))
        if report.phase is Phase.STALLED:
            # As long again as the object has been stalled for this reason.
            since = self._stalled.when(p.key, (p.who.generation, report.reason), now)
            return Requeue(min(max(now - since, clusters.STALLED_SECONDS[0]), clusters.STALLED_SECONDS[1]))
        if (own := p.memory.profile_name in p.cluster.flights) or report.phase is Phase.RECONCILING:
            return Requeue(max(LEAST_WAIT_SECONDS, p.cluster.until_look(now, poll)), urgent=own)
        return Requeue()

    # The clusters

    def _alone_in(self, entry: Entry, key: Key, work: Callable[[Cluster, Site], Requeue]) -> Requeue:
        """Work if no other pass is in that cluster, and its place has room; else come back in its turn."""
        site, outside = self._sites.of(entry), Requeue(OUTSIDE_SECONDS, skipped=True, urgent=None)
        if self._sites.waits(entry, key):
            return outside

        def inside(cluster: Cluster) -> Requeue:
            # Not before its turn: whose place is full would keep its cluster from the others.
            with self._sites.room(key, entry, site) as enters:
                cluster.name = entry.name
                return work(cluster, site) if enters else outside

        return self._clusters.alone_in(entry.key, key, inside) or outside

    def view(self) -> View | None:
        """Return the profiles of the controller's own cluster as they were seen last, None where they were not."""
        home = self._sites.home
        return self._clusters.view(home.key) if home else None

    def read_anew(self) -> View | None:
        """Return all profiles of the controller's own cluster, each described now; None where a pass is in it.

        For who looks at pods: no object waits for that key, which no worker takes. The passes go on with what was
        seen: no object may be told of a profile that this process has just seen to be gone.
        """
        home = self._sites.home
        return self._clusters.alone_in(home.key, ("/pods", home.name), partial(self._see_all, home)) if home else None

    def _see_all(self, entry: Entry, cluster: Cluster) -> View:
        described: set[str] = set()
        aws = self._sites.of(entry).aws
        view = clusters.Reading(self._monotonic()).go_on(aws, entry.cluster, described)
        cluster.reading = None
        self._take_view(cluster, view, described)
        return view

    def _survey(self, entry: Entry, cluster: Cluster, site: Site) -> Requeue:
        """Look at a cluster itself, so that orphans are found even where it has no object."""
        try:
            home = self.homes.of(entry)
            if cluster.is_old(self._monotonic(), self._settings.view_life) or entry.name in self._anew:
                self._anew.discard(entry.name)
                self._read(home, cluster, site)
            if cluster.view and cluster.view.found:
                self.surveys.compare(home, entry, site)
            else:
                surveys.warn(entry.name, "ClusterNotFound", no_such(home))
        except AwsError as error:
            surveys.warn(entry.name, error.reason, readable(str(error)))
            return Requeue(retry=True)
        return Requeue()

    def see_anew(self) -> None:
        """Have the profiles of the controller's own cluster looked at, in its turn."""
        if home := self._sites.home:
            self._anew.add(home.name)
            self._wake(("", home.name))
