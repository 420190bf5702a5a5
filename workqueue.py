"""Keys that are due now or later, each handed to one worker at a time; the backoff of those that
fail; and what looks may cost that change nothing.

The picture: a key is added to one of two lines, `urgent` or `routine`; once it is due it stands
behind the others of its namespace, and the namespaces take turns. What it is not: what a key means,
who works on it, and why it is due.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from kube import Key
from metrics import Metrics

IN_A_ROW = 3  # of those that go before others, if there are some, until one of these gets its look
EDIT_SECONDS = 1.0  # between two looks that edits of an object ask for
URGENT_EDIT_SECONDS = 10.0  # between two of them that are urgent
# Of a namespace, for edits and for what is looked at anyway each; together 1 a second.
CALLS_AT_ONCE, CALLS_PER_SECOND = 20.0, 0.5
MOST_DEFERRED_SECONDS = 600.0
ASKED_LOOK_SECONDS = 10.0  # between two looks that an object asks for
EVENTS_AT_ONCE, EVENT_SECONDS = 25.0, 300.0  # of an object, as client-go's spam filter has it
LEAST_WAIT_SECONDS = 0.1
PACED_LEAST = 1000  # so many are remembered before those of long ago are looked for


def until_slot(name: str, period: float, wall_clock: float) -> float:
    """Return the seconds until the time that recurs each period for a name: by the clock on the wall, so that whoever
    starts anew finds it where it was.
    """
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return (share * period - wall_clock) % period


class Backoff:
    """Grow the wait of a key that fails: base, doubled each time, at most cap, each spread over [1/2, 1] of itself."""

    def __init__(self, bounds: tuple[float, float], rand: Callable[[], float]) -> None:
        self._base, self._cap = bounds
        self._rand = rand
        self._failures: dict[object, int] = {}

    def next(self, key: object = None) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait = min(self._cap, self._base * 2.0 ** min(failures, 32))
        return wait * (0.5 + 0.5 * self._rand())

    def forget(self, key: object = None) -> None:
        self._failures.pop(key, None)


class Requeue(NamedTuple):
    """When to look at a key again: after so many seconds (None: at the resync), by the queue's
    backoff, or never (`gone`).

    `skipped`: it was not looked at, so that its backoff stays as it is. `urgent` None: as this look was.
    """

    after: float | None = None
    retry: bool = False
    skipped: bool = False
    gone: bool = False
    urgent: bool | None = False

    def within(self, seconds: float) -> Requeue:
        return self._replace(after=seconds if self.after is None else min(self.after, seconds))


class Waiting:
    """Keys of one namespace that are due. Those that go ahead go first, and others get at least one look in four.

    Before all goes what was put to the front, which counts as one that went ahead: it takes no look from the others.
    """

    def __init__(self) -> None:
        self.front: OrderedDict[Key, None] = OrderedDict()
        self.ahead: OrderedDict[Key, None] = OrderedDict()
        self.others: OrderedDict[Key, None] = OrderedDict()
        self.in_a_row = 0  # that went ahead since the last of the others

    def __bool__(self) -> bool:
        return bool(self.front or self.ahead or self.others)

    def add(self, key: Key, ahead: bool) -> None:
        if key in self.front:
            return
        if ahead:
            self.others.pop(key, None)
            self.ahead.setdefault(key)
        elif key not in self.ahead:
            self.others.setdefault(key)

    def let_ahead(self, key: Key) -> None:
        if key in self.others:
            self.add(key, ahead=True)

    def put_first(self, key: Key) -> None:
        self.drop(key)
        self.front[key] = None
        self.front.move_to_end(key, last=False)

    def first(self) -> Key:
        others_turn = self.others and self.in_a_row >= IN_A_ROW
        return next(iter(self.front or (self.ahead if self.ahead and not others_turn else self.others)))

    def took(self, key: Key) -> None:
        self.in_a_row = 0 if key in self.others else self.in_a_row + 1
        self.drop(key)

    def drop(self, key: Key) -> None:
        for keys in (self.front, self.ahead, self.others):
            keys.pop(key, None)


class Line:
    """Keys that wait: those due later by time; those due now by namespace, and the namespaces take turns."""

    def __init__(self) -> None:
        self.due: dict[Key, float] = {}
        self._ahead: set[Key] = set()
        self._later: list[tuple[float, int, Key]] = []
        self._ordinal = itertools.count()
        self._now: OrderedDict[str, Waiting] = OrderedDict()

    def add(self, key: Key, due: float, ahead: bool = False) -> bool:
        """Say whether the key did not wait for this time or an earlier one already."""
        if ahead:
            self._ahead.add(key)
            self._now.get(key[0], Waiting()).let_ahead(key)
        if self.due.get(key, math.inf) <= due:
            return False
        self.due[key] = due
        heapq.heappush(self._later, (due, next(self._ordinal), key))
        return True

    def put_first(self, key: Key, now: float) -> None:
        """Have the key looked at before all others of this line."""
        self.drop(key)
        self.due[key] = now
        self._now.setdefault(key[0], Waiting()).put_first(key)
        self._now.move_to_end(key[0], last=False)

    def first(self, now: float, may: Callable[[str], bool]) -> Key | None:
        """Return the first key that is due, of the first namespace that may have a look now."""
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self.due.get(key) == due:
                self._now.setdefault(key[0], Waiting()).add(key, key in self._ahead)
        namespace = next(filter(may, self._now), None)
        return None if namespace is None else self._now[namespace].first()

    def next_later(self) -> float:
        return self._later[0][0] if self._later else math.inf

    def take(self, key: Key) -> None:
        """Drop the key that got its look, and let the other namespaces go before its own."""
        if waiting := self._now.get(key[0]):
            waiting.took(key)
            self._now.move_to_end(key[0])
        self.drop(key)

    def drop(self, key: Key) -> None:
        self.due.pop(key, None)
        self._ahead.discard(key)
        waiting = self._now.get(key[0], Waiting())
        waiting.drop(key)
        if not waiting:
            self._now.pop(key[0], None)


class InWork(NamedTuple):
    """A key in a worker's hands: since when, and from which line it came."""

    since: float
    urgent: bool


class Again(NamedTuple):
    """When a key that is in work is due again, and whether it goes ahead then."""

    due: float
    ahead: bool = False


class WorkQueue:
    """Keys that are due now or later, each handed to one worker at a time; the invariants are
    client-go's workqueue's.

    - A key waits at most once in a line: adding it again only moves it earlier, never later.
    - A key in work is not handed out; if it was added meanwhile, `done` puts it at the end: no change is lost.
    - Urgent keys go before routine, which gets at least one look in four. In each line namespaces take turns. Of one
      namespace's urgent keys those go ahead whose turn has come or whose profile is in flight, so that a profile that
      is there does not wait behind all that is to be made yet; in each line those that go on at once, so that what is
      begun is not held up by what begins. Else the earliest due comes first.
    - Neither one namespace nor routine ever has all of the `workers`.
    - One lock, no helper thread: a waiting `get` promotes what is due, so that tests step a clock and never sleep.
    """

    def __init__(
        self, monotonic: Callable[[], float], metrics: Metrics | None = None, workers: float = math.inf
    ) -> None:
        self._monotonic, self._metrics = monotonic, metrics or Metrics()
        self._metrics["workqueue_depth"].set_function(lambda: len(self.waiting()))
        self._most = max(1, workers - 1)
        self._changed = threading.Condition()
        self._urgent, self._routine = Line(), Line()
        self._in_a_row = 0  # urgent ones handed out since the last of routine
        self._in_work: dict[Key, InWork] = {}
        self._again: dict[tuple[Key, bool], Again] = {}  # when those in work are due again, by their line
        self._paced: dict[tuple[Key, float], float] = {}  # when last due by `_pace`
        self._forget_at = PACED_LEAST
        self._closed = False

    def add(self, key: Key, after: float = 0.0, *, urgent: bool | None = False) -> None:
        """Have the key looked at in `after` seconds, or earlier if it waits already.

        `urgent`: what it waits for has come or is in flight: it goes ahead. None: of one that is in work, into the
        line that it came from; there it goes ahead if it goes on at once.
        """
        with self._changed:
            line = self._in_work[key].urgent if urgent is None else urgent
            ahead = after == 0.0 if urgent is None else urgent
            self._add(key, self._monotonic() + after, line, ahead)

    def wake(self, key: Key) -> None:
        """Have the key looked at: what it waited for has come."""
        self.add(key, urgent=True)

    def add_edit(self, key: Key) -> None:
        """Have an edit looked at, at once if it is not one of many: whoever edits without end does
        not buy the looks of others.
        """
        with self._changed:
            due = self._pace(key, 0.0, EDIT_SECONDS)
            urgent = self._paced.get((key, URGENT_EDIT_SECONDS), -math.inf) + URGENT_EDIT_SECONDS <= due
            if urgent:
                self._paced[key, URGENT_EDIT_SECONDS] = due
            self._add(key, due, urgent)

    def add_seldom(self, key: Key, after: float, apart: float) -> None:
        """Add the key for `after` seconds later, or `apart` seconds after it last came by this."""
        with self._changed:
            self._add(key, self._pace(key, after, apart), urgent=False)

    def readmit(self, key: Key) -> bool:
        """Have a key that waits until later looked at now; say whether it has a worker: then it goes before all others.

        Without one, or if it is in work yet, it comes in its turn.
        """
        with self._changed:
            if self._closed:
                return False
            if key in self._in_work:
                self._add(key, self._monotonic(), self._in_work[key].urgent)
                return False
            urgent = key in self._urgent.due
            line, may = self._line(urgent), self._may(key[0], urgent)
            if key not in line.due:
                return False
            if may:
                line.put_first(key, self._monotonic())
            else:
                line.add(key, self._monotonic())
            self._changed.notify()
            return may

    def get(self, wait: float = 0.0) -> Key | None:
        """Take a key that is due, waiting up to `wait` seconds for one; None for none, and when closed."""
        deadline = self._monotonic() + wait
        with self._changed:
            while not self._closed:
                if (key := self._pop()) is not None:
                    return key
                now = self._monotonic()
                if now >= deadline:
                    return None
                next_due = min(self._urgent.next_later(), self._routine.next_later(), deadline)
                self._changed.wait(max(0.0, next_due - now))
            return None

    def done(self, key: Key) -> None:
        """End the work on a key; one that was added meanwhile waits again, behind those that wait already."""
        with self._changed:
            now = self._monotonic()
            self._metrics["workqueue_work_duration_seconds"].observe(now - self._in_work.pop(key).since)
            for urgent in (True, False):
                if again := self._again.pop((key, urgent), None):
                    self._line(urgent).add(key, max(again.due, now), again.ahead)
            self._changed.notify_all()  # one more worker is free, and its namespace has one look less

    def close(self) -> None:
        """Hand out nothing, and take nothing in, until `open`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def open(self) -> None:
        with self._changed:
            self._closed = False

    def next_due(self) -> float | None:
        """Return when the earliest key is due, None without any."""
        with self._changed:
            return min((due for line in (self._urgent, self._routine) for due in line.due.values()), default=None)

    def waiting(self) -> set[Key]:
        """Return the keys that are due and in no worker's hands."""
        with self._changed:
            now = self._monotonic()
            return {key for line in (self._urgent, self._routine) for key, due in line.due.items() if due <= now}

    def _line(self, urgent: bool) -> Line:
        return self._urgent if urgent else self._routine

    def _add(self, key: Key, due: float, urgent: bool, ahead: bool = False) -> None:
        if self._closed:
            return
        if key in self._in_work:
            before = self._again.get((key, urgent), Again(math.inf))
            self._again[key, urgent] = Again(min(before.due, due), before.ahead or ahead)
            if due < before.due:
                self._metrics["workqueue_adds_total"].inc()
        elif self._line(urgent).add(key, due, ahead):
            self._metrics["workqueue_adds_total"].inc()
            self._changed.notify()

    def _may(self, namespace: str, urgent: bool) -> bool:
        """Say whether one more look leaves a worker to other namespaces, and one to what is urgent."""
        of_it = sum(key[0] == namespace for key in self._in_work)
        routine = sum(not each.urgent for each in self._in_work.values())
        return of_it < self._most and (urgent or routine < self._most)

    def _pace(self, key: Key, after: float, apart: float) -> float:
        """Return when the key is due that is to come `after` seconds from now, but not within `apart` of its last."""
        now = self._monotonic()
        if len(self._paced) > self._forget_at:
            self._paced = {each: due for each, due in self._paced.items() if due + each[1] > now}
            self._forget_at = PACED_LEAST + 2 * len(self._paced)
        last = self._paced.get((key, apart), -math.inf)
        due = last if last > now else max(now + after, last + apart)
        self._paced[key, apart] = due
        return due

    def _pop(self) -> Key | None:
        """Take the next key, if any is due that its namespace and its line may have."""
        now = self._monotonic()
        # Both are asked, whoever may have a look: that moves on what is due by now.
        ready = {urgent: self._line(urgent).first(now, partial(self._may, urgent=urgent)) for urgent in (True, False)}
        urgent = bool(ready[True]) and not (ready[False] and self._in_a_row >= IN_A_ROW)
        key = ready[urgent]
        if key is None:
            return None
        self._in_a_row = self._in_a_row + 1 if urgent else 0
        due = min(line.due[key] for line in (self._urgent, self._routine) if key in line.due)
        self._line(urgent).take(key)
        self._line(not urgent).drop(key)
        self._in_work[key] = InWork(now, urgent)
        self._metrics["workqueue_queue_duration_seconds"].observe(now - due)
        return key


class Allowance:
    """How much each of many may have: `burst` at once, and so much a second; what one takes beyond that it owes."""

    def __init__(self, burst: float, per_second: float, most_owed: float = 0.0) -> None:
        self._burst, self._per_second, self._most_owed = burst, per_second, most_owed
        self._lock = threading.Lock()
        self._known: dict[object, tuple[float, float]] = {}  # what each had left, and when
        self._forget_at = PACED_LEAST

    def left(self, who: object, now: float) -> float:
        left, at = self._known.get(who, (self._burst, now))
        return min(self._burst, left + (now - at) * self._per_second)

    def until(self, who: object, least: float, now: float) -> float:
        """Return in how many seconds so much is left; never so few that a clock would not show them."""
        lacks = least - self.left(who, now)
        return max(lacks / self._per_second, LEAST_WAIT_SECONDS) if lacks > 0 else 0.0

    def spend(self, who: object, amount: float, now: float) -> None:
        with self._lock:
            self._known[who] = max(self.left(who, now) - amount, -self._most_owed), now
            if len(self._known) > self._forget_at:
                self._known = {each: it for each, it in self._known.items() if self.left(each, now) < self._burst}
                self._forget_at = PACED_LEAST + 2 * len(self._known)


class Thrift:
    """What looks may cost that change nothing: AWS's calls of a namespace, looks that an object asks for, events.

    Since whoever may edit an object can ask for them without end, and all share one AWS account.
    """

    def __init__(self) -> None:
        self.asked = Since()
        self.excused: set[Key] = set()  # for what they waited for has come
        self._booked: dict[tuple[Key, object], float] = {}  # when one comes that had to wait
        self._last_booked: dict[object, float] = {}
        # A namespace owes no more than the longest rest of what is stalled.
        self.calls = Allowance(CALLS_AT_ONCE, CALLS_PER_SECOND, MOST_DEFERRED_SECONDS * CALLS_PER_SECOND)
        self._looks = Allowance(1.0, 1 / ASKED_LOOK_SECONDS)
        self._events = Allowance(EVENTS_AT_ONCE, 1 / EVENT_SECONDS)

    def owes(self, payer: object, now: float) -> float:
        """Return the seconds until its next look that may change nothing, 0 for now."""
        return self.calls.until(payer, 0.0, now)

    def defers(self, key: Key, payer: object, now: float) -> float:
        """Return `owes` of one that waits for it: each gets a time of its own, or all came for the same call."""
        owed = 0.0 if key in self.excused else self.owes(payer, now)
        self.excused.discard(key)
        booked = self._booked.pop((key, payer), now)
        if owed and booked <= now:
            last = min(self._last_booked.get(payer, now), now + MOST_DEFERRED_SECONDS)
            booked = self._last_booked[payer] = max(now + owed, last + 1 / CALLS_PER_SECOND)
        if owed:
            self._booked[key, payer] = booked
        return booked - now if owed else 0.0

    def forget(self, key: Key) -> None:
        self.asked.forget(key)
        self.excused.discard(key)
        self._booked = {each: at for each, at in [*self._booked.items()] if each[0] != key}

    def look(self, key: Key, payer: object, now: float) -> float:
        """Return the seconds until the object may have the look that it asks for; 0: it has it now."""
        wait = max(self._looks.until(key, 1.0, now), self.owes(payer, now))
        if not wait:
            self._looks.spend(key, 1.0, now)
        return wait

    def posts(self, key: Key, now: float) -> bool:
        """Say whether an event of the object is posted."""
        if self._events.left(key, now) < 1:
            return False
        self._events.spend(key, 1.0, now)
        return True


class Since:
    """Since when each key is as it is, by this process's own clock: monotonic seconds."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[object, float]] = {}

    def when(self, key: Key, what: object, now: float) -> float:
        """Return since when this has been so of the key: now, if it was otherwise before."""
        known = self._known.get(key)
        if known is None or known[0] != what:
            known = self._known[key] = what, now
        return known[1]

    def forget(self, key: Key) -> None:
        self._known.pop(key, None)
