"""What is told of a pass beside its status: events, lines of the log, and those who wait for what it has found.

The picture: what was done or found -> a line of the log, and an event where the object has not had too many. What it
is not: the words (status), or the status itself (reconcile).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

import clusters
import status
from actions import Phase, Report
from kube import Key, Object, WriteRefused
from passes import Kube, Pass
from patterns import LONGEST_NOTE, brief, visible
from spec import owner_of
from workqueue import Thrift

log = logging.getLogger("fargate")


class Telling:
    """Tells of passes; the parameters are those of `reconcile.Reconciler`."""

    def __init__(
        self,
        kube: Kube,
        thrift: Thrift,
        wake: Callable[[Key], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        ready_after: Callable[[float], None],
        posted: Callable[[str], None],
    ) -> None:
        self._kube, self._thrift, self._wake, self._now, self._monotonic = kube, thrift, wake, now, monotonic
        self._ready_after, self._posted = ready_after, posted
        self._aloud: dict[Key, str] = {}  # what was told last that no status says

    def forget(self, key: Key) -> None:
        """Forget what was told aloud: it is not so any more."""
        self._aloud.pop(key, None)

    def untold(self, p: Pass, error: WriteRefused) -> None:
        p.untold = True
        self.aloud(p, "WriteRefused", status.write_refused("the status of this object", error).message)

    def aloud(self, p: Pass, action: str, note: str) -> None:
        """Tell by log and event of what no status says; once, as long as it is the same."""
        if self._aloud.get(p.key) != note:
            self._aloud[p.key] = note
            self.done(p, action, note)

    def overlap(self, p: Pass, before: Object) -> None:
        """Tell of what stands in status by now: what does not take there would be new in every pass."""
        overlap = p.noted["Overlapping"].message if "Overlapping" in p.noted else ""
        if not overlap or not status.tells(status.find_condition("Overlapping", p.conditions), overlap):
            return
        if not before:
            self.done(p, "Overlapping", overlap, p.overlap_logged)
        if not status.tells(before, overlap):
            for key in filter(None, map(owner_of, p.overlapping)):
                self._wake(key)

    def outcome(self, p: Pass, report: Report, old: list[Object], new: list[Object]) -> None:
        """Post an event where the object turned Ready, stalled or idle, or stalls for another reason."""
        before = status.find_condition("Ready", old)
        for kind, said in status.begun(old, new).items():
            self.done(p, kind, said)
        if status.is_news(report.note, old, new):
            self.done(p, "RetainNotAllowed", report.note.strip())
        if told := status.event_of(report, old, new):
            self.done(p, *told, told[1].replace(report.message, report.logged or report.message))
        elif report.logged and not status.tells(before, report.message):
            log.info(status.LOGGED_ERROR, status.fields_of(p.who, p.who.base, report.reason, report.logged))
        elif report.reason in clusters.TIME_MAY_MEND and before.get("reason") != report.reason:
            log.warning(status.LOGGED_ERROR, status.fields_of(p.who, p.who.base, report.reason, report.message))
        if report.phase is Phase.READY and before and before.get("status") != "True":
            since = status.since_of(before, p.obj["metadata"]["creationTimestamp"])
            self._ready_after((self._now() - since).total_seconds())

    def done(self, p: Pass, action: str, note: str, logged: str = "") -> None:
        """Log what was done or found, and post it as an event; `logged`: as it is logged, where that says more."""
        self.action(p, action, logged or note)
        self._posted(action)
        if self._thrift.posts(p.key, self._monotonic()):  # else it is one of many, and the log has them all
            kind, words = status.EVENTS[action].kind, brief(visible(note), LONGEST_NOTE)
            self._kube.event(p.obj, kind, action, "Reconcile", words, self._now())

    def action(self, p: Pass, what: str, note: str) -> None:
        level = logging.WARNING if what in status.EVENTS and status.EVENTS[what].kind == "Warning" else logging.INFO
        log.log(level, status.LOGGED_ACTION, status.fields_of(p.who, p.memory.profile_name or p.who.base, what, note))
