"""Keys that are due now or later, each handed to one worker at a time, and the backoff of those
that fail.

What it is not: what a key means, who works on it, and why it is due.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import NamedTuple

from kube import Key
from metrics import Metrics


class Requeue(NamedTuple):
    """Look again after so many seconds (None: at the resync), by the queue's backoff, or never
    (`gone`).

    `skipped`: the object was not looked at, so that its backoff stays as it is.
    """

    after: float | None = None
    retry: bool = False
    skipped: bool = False
    gone: bool = False


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


class WorkQueue:
    """Keys that are due now or later, each handed to one worker at a time; the invariants are
    client-go's workqueue's.

    - A key waits at most once: adding it again only moves it earlier, never later.
    - A key in work is not handed out; if it was added meanwhile, `done` puts it back: no change is lost.
    - The earliest due comes first, whoever added it; of those due at once the one that was added first.
    - One lock, one heap, no helper thread: a waiting `get` promotes what is due, so that tests step a clock and never
      sleep.
    """

    def __init__(self, monotonic: Callable[[], float], metrics: Metrics | None = None) -> None:
        self._monotonic, self._metrics = monotonic, metrics or Metrics()
        self._metrics["workqueue_depth"].set_function(self._depth)
        self._changed = threading.Condition()
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._ordinal = itertools.count()
        self._seldom: dict[Key, float] = {}  # when last due by `add_seldom`
        self._in_work: dict[Key, float] = {}  # since when
        self._closed = False

    def add(self, key: Key, after: float = 0.0) -> None:
        """Have the key looked at in `after` seconds, or earlier if it waits already."""
        due = self._monotonic() + after
        with self._changed:
            if self._closed or self._due.get(key, float("inf")) <= due:
                return
            self._due[key] = due
            self._metrics["workqueue_adds_total"].inc()
            if key not in self._in_work:
                self._push(due, key)

    def add_seldom(self, key: Key, after: float, apart: float) -> None:
        """Add the key for `after` seconds later, or `apart` seconds after it last came by this."""
        now = self._monotonic()
        with self._changed:
            if self._closed:
                return
            self._seldom = {each: due for each, due in self._seldom.items() if due + apart > now}
            last = self._seldom.get(key, now - apart)
            due = last if last > now else max(now + after, last + apart)
            self._seldom[key] = due
            self.add(key, due - now)

    def get(self, wait: float = 0.0) -> Key | None:
        """Take the earliest key that is due, waiting up to `wait` seconds for one; None for none, and when closed."""
        deadline = self._monotonic() + wait
        with self._changed:
            while not self._closed:
                if (key := self._pop()) is not None:
                    return key
                now = self._monotonic()
                if now >= deadline:
                    return None
                next_due = self._heap[0][0] if self._heap else deadline
                self._changed.wait(max(0.0, min(next_due, deadline) - now))
            return None

    def done(self, key: Key) -> None:
        """End the work on a key; one that was added meanwhile waits again."""
        with self._changed:
            self._metrics["workqueue_work_duration_seconds"].observe(self._monotonic() - self._in_work.pop(key))
            if key in self._due:
                self._push(self._due[key], key)

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
            return min((due for key, due in self._due.items() if key not in self._in_work), default=None)

    def _depth(self) -> int:
        now = self._monotonic()
        with self._changed:
            return sum(due <= now for key, due in self._due.items() if key not in self._in_work)

    def _push(self, due: float, key: Key) -> None:
        heapq.heappush(self._heap, (due, next(self._ordinal), key))
        self._changed.notify()

    def _pop(self) -> Key | None:
        now = self._monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due and key not in self._in_work:
                del self._due[key]
                self._in_work[key] = now
                self._metrics["workqueue_queue_duration_seconds"].observe(now - due)
                return key
        return None


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
