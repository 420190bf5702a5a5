"""What workers may rely on from the work queue and its backoff: a stepped clock, no sleeping, real threads once."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kube import Key
from tests.harness import Clock
from workqueue import MOST_DEFERRED_SECONDS, Allowance, Backoff, Thrift, WorkQueue, until_slot

A, B, C = ("default", "a"), ("default", "b"), ("other", "a")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock.monotonic)


def drain(queue: WorkQueue) -> list[Key]:
    """Take and finish everything that is due, in the order in which it is handed out."""
    taken = []
    for key in islice(iter(queue.get, None), 1000):
        taken.append(key)
        queue.done(key)
    assert queue.get() is None, "it hands out the same keys for ever"
    return taken


# Backoff


@given(rand=st.floats(0, 1, exclude_max=True), failures=st.integers(1, 60))
def test_each_wait_lies_between_half_and_all_of_the_doubled_base_and_never_above_the_cap(
    rand: float, failures: int
) -> None:
    backoff = Backoff((1.0, 300.0), lambda: rand)
    for failure in range(failures):
        whole = min(300.0, 2.0**failure)
        assert whole / 2 <= backoff.next("key") <= whole


def test_the_waits_of_keys_that_fail_together_are_spread() -> None:
    rand = random.Random(1).random
    backoff = Backoff((10.0, 10.0), rand)
    waits = {round(backoff.next(key), 3) for key in range(100)}
    assert len(waits) > 90
    assert min(waits) < 6
    assert max(waits) > 9


def test_a_failing_key_does_not_make_another_wait_longer() -> None:
    backoff = Backoff((1.0, 300.0), lambda: 1.0)
    assert [backoff.next(A) for _ in range(4)] == [1, 2, 4, 8]
    assert backoff.next(B) == 1


def test_a_forgotten_key_starts_again_and_leaves_the_others_alone() -> None:
    backoff = Backoff((1.0, 300.0), lambda: 1.0)
    for _ in range(4):
        backoff.next(A)
        backoff.next(B)
    backoff.forget(A)
    assert backoff.next(A) == 1
    assert backoff.next(B) == 16


def test_forgetting_a_key_that_never_failed_is_nothing() -> None:
    backoff = Backoff((1.0, 300.0), lambda: 1.0)
    backoff.forget(A)
    assert backoff.next(A) == 1


def test_a_key_that_failed_a_million_times_still_waits_no_longer_than_the_cap() -> None:
    backoff = Backoff((1.0, 300.0), lambda: 1.0)
    assert [backoff.next() for _ in range(5000)][-1] == 300


# WorkQueue, one sentence each


def test_a_key_is_handed_out_once_however_often_it_was_added(queue: WorkQueue) -> None:
    for _ in range(3):
        queue.add(A)
    assert drain(queue) == [A]


def test_a_waiting_key_added_for_earlier_comes_earlier(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A, 600)
    queue.add(A, 5)
    clock.elapsed = 5
    assert drain(queue) == [A]
    clock.elapsed = 600
    assert drain(queue) == []


def test_a_waiting_key_added_for_later_comes_no_later(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A, 5)
    queue.add(A, 600)
    clock.elapsed = 5
    assert drain(queue) == [A]
    clock.elapsed = 600
    assert drain(queue) == []


def test_a_look_that_was_moved_earlier_leaves_nothing_behind_at_its_old_time(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A, 600)
    queue.add(A, 5)
    clock.elapsed = 5
    assert queue.get() == A
    queue.add(A, 1000)
    queue.done(A)
    clock.elapsed = 1004
    assert queue.get() is None
    clock.elapsed = 1005
    assert queue.get() == A


def test_a_key_that_is_not_yet_due_is_not_handed_out(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A, 5)
    clock.elapsed = 4.999
    assert queue.get() is None
    clock.elapsed = 5
    assert queue.get() == A


def test_a_key_in_work_is_not_handed_out_a_second_time(queue: WorkQueue) -> None:
    queue.add(A)
    assert queue.get() == A
    queue.add(A)
    assert queue.get() is None


def test_a_key_that_was_added_while_in_work_comes_again_when_the_work_is_done(queue: WorkQueue) -> None:
    queue.add(A)
    queue.get()
    queue.add(A)
    queue.done(A)
    assert drain(queue) == [A]


def test_a_change_during_the_work_is_not_put_off_by_the_worker_s_own_later_look(queue: WorkQueue) -> None:
    queue.add(A)
    queue.get()
    queue.add(A)
    queue.add(A, 600)
    queue.done(A)
    assert drain(queue) == [A]


def test_a_key_whose_next_look_is_later_waits_for_it_when_done(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    queue.get()
    queue.add(A, 600)
    queue.done(A)
    assert queue.get() is None
    clock.elapsed = 600
    assert drain(queue) == [A]


def test_a_key_that_nobody_added_again_stays_away_when_done(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    queue.get()
    queue.done(A)
    clock.elapsed = 1e6
    assert drain(queue) == []
    assert queue.next_due() is None


def test_the_earliest_due_comes_first_whoever_added_it(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A, 3)
    queue.add(B, 1)
    queue.add(C, 2)
    clock.elapsed = 10
    assert drain(queue) == [B, C, A]


def test_of_keys_due_at_the_same_moment_the_first_added_comes_first(queue: WorkQueue) -> None:
    for key in (C, A, B):
        queue.add(key)
    assert drain(queue) == [C, A, B]


def test_what_is_added_seldom_comes_once_a_minute_however_often_it_is_added(queue: WorkQueue, clock: Clock) -> None:
    came = []
    for second in range(600):
        clock.elapsed = second
        queue.add_seldom(A, 30, 60)
        came += [second] * len(drain(queue))
    assert came == [*range(30, 600, 60)]


def test_what_is_added_seldom_waits_for_no_other_key_and_not_for_what_was_long_ago(
    queue: WorkQueue, clock: Clock
) -> None:
    queue.add_seldom(A, 30, 60)
    queue.add_seldom(B, 20, 60)
    assert queue.next_due() == clock.monotonic() + 20
    clock.elapsed = 30
    assert drain(queue) == [B, A]
    clock.elapsed = 100
    queue.add_seldom(A, 30, 60)
    assert queue.next_due() == clock.monotonic() + 30


def test_an_earlier_look_is_not_put_off_and_a_closed_queue_takes_nothing_seldom(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A, 5)
    queue.add_seldom(A, 30, 60)
    assert queue.next_due() == clock.monotonic() + 5
    queue.close()
    queue.add_seldom(B, 30, 60)
    queue.open()
    queue.add_seldom(B, 30, 60)
    clock.elapsed = 30
    assert drain(queue) == [A, B]


def test_a_key_in_work_does_not_hold_up_the_others(queue: WorkQueue) -> None:
    queue.add(A)
    queue.get()
    queue.add(A)
    queue.add(B)
    assert queue.get() == B


def test_a_closed_queue_hands_out_nothing_more_and_takes_nothing(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    queue.close()
    queue.add(B)
    assert queue.get(wait=60) is None
    clock.elapsed = 60
    assert queue.get() is None


def test_work_in_hand_may_still_be_finished_after_the_queue_is_closed(queue: WorkQueue) -> None:
    queue.add(A)
    queue.get()
    queue.add(A)
    queue.close()
    queue.done(A)
    assert queue.get() is None


def test_next_due_is_the_earliest_that_waits_and_knows_nothing_of_what_is_in_work(
    queue: WorkQueue, clock: Clock
) -> None:
    assert queue.next_due() is None
    queue.add(A, 5)
    queue.add(B, 3)
    assert queue.next_due() == clock.monotonic() + 3
    clock.elapsed = 3
    queue.get()
    queue.add(B)
    assert queue.next_due() == clock.monotonic() + 2


# Who goes first


def test_what_is_urgent_goes_first_and_routine_has_every_fourth_look(queue: WorkQueue) -> None:
    routine = [("default", f"routine-{number}") for number in range(3)]
    urgent = [("default", f"urgent-{number}") for number in range(7)]
    for key in (*routine, *urgent):
        queue.add(key, urgent=key in urgent)
    expected = [*urgent[:3], routine[0], *urgent[3:6], routine[1], urgent[6], routine[2]]
    assert drain(queue) == expected


def test_of_one_namespace_what_was_woken_goes_ahead_of_edits_which_have_every_fourth_look(queue: WorkQueue) -> None:
    edits = [("default", f"edit-{number}") for number in range(3)]
    woken = [("default", f"woken-{number}") for number in range(7)]
    for key in edits:
        queue.add_edit(key)
    for key in woken:
        queue.wake(key)
    assert drain(queue) == [*woken[:3], edits[0], *woken[3:6], edits[1], woken[6], edits[2]]


def test_what_was_woken_in_one_namespace_does_not_go_ahead_of_the_edits_of_others(queue: WorkQueue) -> None:
    woken = [("default", f"woken-{number}") for number in range(3)]
    for key in woken:
        queue.wake(key)
    queue.add_edit(C)
    assert drain(queue) == [woken[0], C, woken[1], woken[2]]


def test_an_edit_that_waits_goes_ahead_once_it_is_woken(queue: WorkQueue, clock: Clock) -> None:
    queue.add_edit(A)
    queue.add_edit(B)
    assert queue.waiting() == {A, B}
    queue.add_edit(("default", "c"))
    clock.elapsed = 1
    assert queue.get() == A
    queue.wake(("default", "c"))
    assert drain(queue) == [("default", "c"), B]


def test_a_key_that_is_woken_while_in_work_goes_ahead_when_it_is_done(queue: WorkQueue) -> None:
    queue.add_edit(A)
    assert queue.get() == A
    queue.wake(A)
    queue.add(A, 5, urgent=True)
    queue.add_edit(B)
    queue.done(A)
    assert drain(queue) == [A, B]


def test_what_goes_on_at_once_goes_ahead_of_what_begins_in_its_namespace(queue: WorkQueue) -> None:
    queue.add_edit(A)
    assert queue.get() == A
    queue.add_edit(B)
    queue.add_edit(C)
    queue.add(A, urgent=None)
    queue.done(A)
    assert drain(queue) == [A, C, B], "the namespaces take turns"


def test_what_goes_on_at_once_with_routine_goes_before_no_edit(queue: WorkQueue) -> None:
    routine = ("default", "routine")
    queue.add(routine)
    queue.add(A)
    assert queue.get() == routine
    queue.add_edit(B)
    queue.add(routine, urgent=None)
    queue.done(routine)
    assert drain(queue) == [B, routine, A]


def test_what_looks_again_later_goes_ahead_of_nothing(queue: WorkQueue, clock: Clock) -> None:
    queue.add_edit(A)
    assert queue.get() == A
    queue.add(A, 1.0, urgent=None)
    queue.done(A)
    queue.add_edit(B)
    clock.elapsed = 1
    assert queue.waiting() == {A, B}
    assert drain(queue) == [B, A]


def test_one_that_is_let_in_goes_first_even_where_an_edit_would_have_its_turn(queue: WorkQueue) -> None:
    queue.add_edit(B)
    for number in range(3):
        queue.wake(("default", f"woken-{number}"))
    for _ in range(3):
        queue.done(queue.get() or A)
    queue.add(A, 30, urgent=True)
    assert queue.readmit(A)
    assert drain(queue) == [A, B]


def test_however_many_are_let_in_an_edit_of_their_namespace_has_every_fourth_look(queue: WorkQueue) -> None:
    queue.add_edit(B)
    queue.wake(("default", "woken"))
    seen: list[Key] = []
    for number in range(8):
        queue.wake(("default", f"woken-{number}"))
        if number % 2:
            queue.add(A, 30, urgent=True)
            assert queue.readmit(A)
        key = queue.get() or A
        queue.done(key)
        seen.append(key)
    assert B in seen[:6], "three that go ahead, one that is let in where it had its turn, and it"


def test_a_key_of_both_kinds_is_looked_at_once_and_as_the_urgent_one(queue: WorkQueue) -> None:
    queue.add(B)
    queue.add(A)
    queue.wake(A)
    assert drain(queue) == [A, B]


def test_namespaces_take_turns_however_many_keys_one_of_them_has(queue: WorkQueue) -> None:
    many = [("many", str(number)) for number in range(4)]
    for key in (*many, A, B):
        queue.add(key)
    assert drain(queue) == [many[0], A, many[1], B, many[2], many[3]]


def test_a_key_that_is_added_again_and_again_while_in_work_waits_behind_the_others(
    queue: WorkQueue, clock: Clock
) -> None:
    queue.add(A)
    queue.get()
    clock.elapsed = 1
    queue.add(A)
    clock.elapsed = 2
    queue.add(B)
    clock.elapsed = 3
    queue.done(A)
    assert drain(queue) == [B, A]


def test_neither_one_namespace_nor_routine_has_all_of_the_workers(clock: Clock) -> None:
    queue = WorkQueue(clock.monotonic, workers=3)
    for name in ("a", "b", "c"):
        queue.wake(("many", name))
    queue.add(("many", "routine"))
    assert [queue.get(), queue.get(), queue.get()] == [("many", "a"), ("many", "b"), None]
    queue.wake(C)
    assert queue.get() == C
    for key in (("many", "a"), ("many", "b"), C):
        queue.done(key)
    queue.close()
    queue = WorkQueue(clock.monotonic, workers=3)
    for namespace in ("one", "two", "three"):
        queue.add((namespace, "settled"))
    assert [queue.get(), queue.get(), queue.get()] == [("one", "settled"), ("two", "settled"), None]
    queue.wake(A)
    assert queue.get() == A


def test_an_only_worker_may_do_everything(clock: Clock) -> None:
    queue = WorkQueue(clock.monotonic, workers=1)
    queue.add(A)
    queue.wake(B)
    assert drain(queue) == [B, A]


def test_edits_of_one_key_come_once_a_second_and_are_urgent_once_in_ten(queue: WorkQueue, clock: Clock) -> None:
    came: list[float] = []
    went_first: list[float] = []  # before one of routine that is due for longer
    for tick in range(120):
        clock.elapsed = tick / 4
        taken = drain(queue)
        came += [clock.elapsed] * taken.count(A)
        went_first += [clock.elapsed] * (taken == [A, B])
        queue.add_edit(A)
        queue.add(B, 0.2)
    assert came == [0.25, *(float(second) for second in range(1, 30))]
    assert went_first == [0.25, 10.0, 20.0]


def test_one_that_is_let_in_goes_before_all_others_of_its_own_line(queue: WorkQueue, clock: Clock) -> None:
    queue.wake(C)
    for key in (("more", "a"), A):
        queue.add(key)
    assert queue.get() == C
    queue.done(C)
    queue.add(B, 30)
    assert queue.readmit(B)
    assert drain(queue) == [B, ("more", "a"), A]
    assert queue.next_due() is None
    assert not queue.readmit(B), "it does not wait"
    assert queue.next_due() is None
    clock.elapsed = 60
    assert drain(queue) == []


def test_one_whose_namespace_has_no_worker_to_spare_is_not_let_in(clock: Clock) -> None:
    queue = WorkQueue(clock.monotonic, workers=2)
    queue.wake(A)
    assert queue.get() == A
    queue.add(B, 30)
    assert not queue.readmit(B)
    queue.done(A)
    queue.add(C, 30)
    assert queue.readmit(C)
    assert drain(queue) == [C, B]


def test_one_whose_namespace_has_no_worker_to_spare_is_looked_at_once_it_has_and_in_its_turn(clock: Clock) -> None:
    queue = WorkQueue(clock.monotonic, workers=2)
    queue.wake(A)
    assert queue.get() == A
    queue.wake(C)
    queue.add(B, 30)
    assert not queue.readmit(B)
    queue.done(A)
    assert drain(queue) == [C, B]


def test_an_idle_worker_does_not_spin_while_others_have_all_of_routine() -> None:
    reads = 0

    def clock() -> float:
        nonlocal reads
        reads += 1
        return time.monotonic()

    queue = WorkQueue(clock, workers=2)
    queue.add(A)
    assert queue.get() == A
    queue.add(C)
    reads = 0
    assert queue.get(0.3) is None
    assert reads < 50


def test_one_that_is_let_in_while_it_is_yet_in_work_is_looked_at_again(queue: WorkQueue) -> None:
    queue.wake(A)
    assert queue.get() == A
    assert not queue.readmit(A), "nobody keeps a cluster for what comes behind all of its namespace"
    queue.add(A, 30, urgent=None)
    queue.done(A)
    assert drain(queue) == [A]


def test_keys_that_were_edited_long_ago_are_forgotten(queue: WorkQueue, clock: Clock) -> None:
    for number in range(5000):
        clock.elapsed = float(number)
        queue.add_edit(("default", str(number)))
        drain(queue)
    assert len(queue._paced) < 3000


# Allowance


def test_an_allowance_is_had_at_once_then_by_the_second_and_what_is_owed_has_its_bound() -> None:
    allowance = Allowance(10.0, 0.5, 100.0)
    allowance.spend("a", 10, 0.0)
    assert allowance.left("a", 0.0) == 0
    assert allowance.until("a", 1.0, 0.0) == 2.0
    assert allowance.left("a", 4.0) == 2
    allowance.spend("a", 1000, 4.0)
    assert allowance.until("a", 0.0, 4.0) == 200.0
    assert allowance.left("b", 4.0) == 10
    assert allowance.left("a", 1e6) == 10


def test_those_who_wait_for_an_allowance_come_one_by_one() -> None:
    thrift = Thrift()
    thrift.calls.spend("a", 30, 0.0)
    waits = [thrift.defers(key, "a", 0.0) for key in (A, B, C, A)]
    assert waits == [20.0, 22.0, 24.0, 20.0], "who comes again keeps its time"
    assert thrift.defers(A, "b", 0.0) == 0
    many = [("many", str(number)) for number in range(1000)]
    assert max(thrift.defers(key, "a", 0.0) for key in many) <= MOST_DEFERRED_SECONDS + 2
    thrift.forget(A)
    assert thrift.defers(A, "a", 0.0) > 24
    thrift.excused.add(B)
    assert thrift.defers(B, "a", 0.0) == 0, "what it waited for has come"
    assert thrift.defers(B, "a", 0.0) > 0
    assert thrift.defers(A, "a", 100.0) == 0


def test_what_is_all_but_left_is_waited_for_as_long_as_a_clock_shows() -> None:
    allowance = Allowance(0.3, 1.0, 100.0)
    for _ in range(3):
        allowance.spend("a", 0.1, 1158.024)
    allowance.spend("a", 1e-13, 1158.024)
    wait = allowance.until("a", 0.0, 1158.024)
    assert 1158.024 + wait > 1158.024
    assert allowance.until("a", 0.0, 1158.024 + wait) == 0


def test_whoever_has_all_of_it_again_is_forgotten() -> None:
    allowance = Allowance(1.0, 1.0)
    for number in range(10_000):
        allowance.spend(number, 1.0, float(number))
    assert len(allowance._known) < 2100


# WorkQueue against a model that is obviously right

KEYS = st.sampled_from([A, B, C])
DELAYS = st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0, 7.0, 600.0])


class QueueAgainstModel(RuleBasedStateMachine):
    """The model is a dictionary of due times and a set; whatever the queue hands out, the model allows."""

    @initialize()
    def start(self) -> None:
        self.clock = Clock()
        self.queue = WorkQueue(self.clock.monotonic)
        self.due: dict[Key, float] = {}
        self.in_work: set[Key] = set()
        self.closed = False

    @rule(key=KEYS, after=DELAYS)
    def add(self, key: Key, after: float) -> None:
        self.queue.add(key, after)
        if not self.closed:
            self.due[key] = min(self.due.get(key, math.inf), self.clock.monotonic() + after)

    @rule()
    def get(self) -> None:
        key = self.queue.get()
        ready = self.waiting() if not self.closed else {}
        ready = {each: due for each, due in ready.items() if due <= self.clock.monotonic()}
        if key is None:
            assert not ready, "something was due"
            return
        assert key in ready, "it was not due, or in work"
        of_one = [due for each, due in ready.items() if each[0] == key[0]]
        assert ready[key] == min(of_one), "something else of its namespace was due earlier"
        del self.due[key]
        self.in_work.add(key)

    @precondition(lambda self: self.in_work)
    @rule(which=st.integers(0, 2))
    def done(self, which: int) -> None:
        key = sorted(self.in_work)[which % len(self.in_work)]
        self.queue.done(key)
        self.in_work.remove(key)
        if key in self.due:
            self.due[key] = max(self.due[key], self.clock.monotonic())

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.elapsed += seconds

    @precondition(lambda self: not self.closed and len(self.due) > 2)
    @rule()
    def close(self) -> None:
        self.queue.close()
        self.closed = True

    @invariant()
    def the_next_is_the_model_s_next(self) -> None:
        assert self.queue.next_due() == min(self.waiting().values(), default=None)

    def waiting(self) -> dict[Key, float]:
        return {key: due for key, due in self.due.items() if key not in self.in_work}


def test_whatever_happens_the_queue_does_what_its_model_does() -> None:
    run_state_machine_as_test(
        QueueAgainstModel, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )


# Real threads


def in_threads(*bodies: Callable[[], object]) -> None:
    threads = [threading.Thread(target=body, daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"


def test_no_key_is_ever_in_two_hands_and_no_change_is_lost_among_real_threads() -> None:
    queue, lock = WorkQueue(time.monotonic), threading.Lock()
    keys = [("default", str(number)) for number in range(5)]
    wanted, seen = dict.fromkeys(keys, 0), dict.fromkeys(keys, 0)
    in_hand: set[Key] = set()
    twice: list[Key] = []

    def add() -> None:
        rand = random.Random(7)
        for _ in range(1500):
            key = rand.choice(keys)
            with lock:
                wanted[key] += 1
            queue.add(key, rand.choice([0, 0, 0.001]))

    def work() -> None:
        for key in islice(iter(lambda: queue.get(wait=0.2), None), 3000):  # so many are added
            with lock:
                if key in in_hand:
                    twice.append(key)
                in_hand.add(key)
                seen[key] = wanted[key]
            time.sleep(0)
            with lock:
                in_hand.discard(key)
            queue.done(key)

    in_threads(add, add, work, work, work, work)
    assert not twice
    assert seen == wanted


def test_a_waiting_worker_gets_what_is_added_at_once_and_not_at_the_end_of_its_wait() -> None:
    queue = WorkQueue(time.monotonic)
    got: list[tuple[Key | None, float]] = []
    started = time.monotonic()
    waiter = threading.Thread(target=lambda: got.append((queue.get(wait=5), time.monotonic() - started)), daemon=True)
    waiter.start()
    time.sleep(0.02)
    queue.add(A)
    waiter.join(2)
    [(key, seconds)] = got
    assert key == A
    assert seconds < 1


def test_a_waiting_worker_gets_a_key_when_it_becomes_due() -> None:
    queue, started = WorkQueue(time.monotonic), time.monotonic()
    queue.add(A, 0.05)
    assert queue.get(wait=5) == A
    assert 0.05 <= time.monotonic() - started < 1


def test_a_worker_waits_no_longer_than_it_said() -> None:
    queue, started = WorkQueue(time.monotonic), time.monotonic()
    queue.add(A, 60)
    assert queue.get(wait=0.05) is None
    assert 0.05 <= time.monotonic() - started < 1


def test_closing_sends_every_waiting_worker_home_at_once() -> None:
    queue, started = WorkQueue(time.monotonic), time.monotonic()
    in_threads(*[lambda: queue.get(wait=4)] * 4, queue.close)
    assert time.monotonic() - started < 1


def test_a_key_becomes_due_for_a_second_worker_while_the_first_is_busy_with_another() -> None:
    queue, taken = WorkQueue(time.monotonic), threading.Barrier(3)
    started, at = time.monotonic(), {}

    def work() -> None:
        key = queue.get(wait=3)
        at[key] = time.monotonic() - started
        taken.wait(4)

    def add() -> None:
        time.sleep(0.02)
        queue.add(B, 0.1)
        time.sleep(0.02)
        queue.add(A)
        taken.wait(4)

    in_threads(work, work, add)
    assert at[A] < 0.1
    assert 0.1 <= at[B] < 1


# Slots


@given(st.text(), st.floats(1, 1e5), st.floats(0, 2e9), st.floats(0, 1e5))
def test_a_slot_recurs_each_period_and_whoever_looks_later_finds_it_where_it_was(
    name: str, period: float, now: float, later: float
) -> None:
    wait, again = until_slot(name, period, now), until_slot(name, period, now + later)
    assert 0 <= wait <= period
    apart = (wait - later - again) % period
    assert min(apart, period - apart) < 1e-5 * period + 1e-5


def test_the_slot_of_a_name_is_the_same_in_every_process() -> None:
    assert until_slot("demo", 600, 0) == pytest.approx(99.823, abs=0.001)
    assert until_slot("demo", 600, 1_800_000_050) == pytest.approx(49.823, abs=0.001)


def test_slots_of_many_names_lie_all_over_the_period() -> None:
    tenths = Counter(int(until_slot(f"cluster-{number}", 600, 0) // 60) for number in range(1000))
    assert set(tenths) == {*range(10)} and max(tenths.values()) <= 130
