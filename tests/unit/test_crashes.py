"""A controller that is killed before or after any call of its flow, and started again, comes to the same end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.harness import Bench, bench


class Killed(BaseException):
    """The process ends here: nothing catches this."""


class Countdown:
    """Kills at the n-th point of the flow; points lie before and after every Kubernetes and AWS call."""

    def __init__(self, at: int = -1) -> None:
        self.at, self.passed = at, 0

    def __call__(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed


def run(b: Bench, seconds: float) -> None:
    """Let time pass; a process that is killed is started again at once."""
    try:
        b.run(seconds)
    except Killed:
        b.start()
        b.run(seconds)


def flow(b: Bench) -> None:
    """Live an object's life, the demo's flow; assert its stations."""
    b.apply(tags={"team": "a", "old": "x"})
    run(b, 8)
    b.edit(tags={"team": "b", "old": None})
    run(b, 30)
    assert b.ready()
    tags = b.profiles()["web"]["tags"]
    assert {key: value for key, value in tags.items() if "jicomusic" not in key} == {"team": "b"}
    b.world.delete_profile("demo", "web")
    run(b, 100)
    assert b.ready()
    assert list(b.profiles()) == ["web"]
    b.delete()
    run(b, 60)
    assert b.gone()
    assert b.profiles() == {}


@contextmanager
def short_bench(trip: Countdown) -> Iterator[Bench]:
    """Give a bench on which everything takes little time, and so few calls."""
    with bench(creating_seconds=6, deleting_seconds=6) as b:
        b.settings, b.trip = replace(b.settings, resync_seconds=60), trip
        b.start()
        yield b


def points() -> int:
    counter = Countdown()
    with short_bench(counter) as b:
        flow(b)
        return counter.passed


def test_a_kill_before_or_after_any_call_changes_nothing_in_the_end() -> None:
    total = points()
    assert total > 50
    for at in range(1, total + 1):
        with short_bench(Countdown(at)) as b:
            try:
                flow(b)
            except AssertionError as error:
                raise AssertionError(f"killed at point {at} of {total}: {error}") from error


@pytest.mark.parametrize("visible_after", [0, 30])
def test_a_delete_after_a_kill_in_mid_create_orphans_nothing(visible_after: float) -> None:
    """From the create's first point on: kill, delete the object, start again."""
    for at in range(1, 60):
        with bench(creating_seconds=20, deleting_seconds=20, visible_after=visible_after) as b:
            b.settings = replace(b.settings, lost_create=timedelta(seconds=40))
            b.trip = Countdown(at)
            b.apply()
            try:
                b.run(20)
            except Killed:
                b.delete()
                b.start()
            else:
                b.delete()
            run(b, 300)
            assert b.gone(), f"killed at point {at}: the object is stuck: {b.message()}"
            assert b.profiles() == {}, f"killed at point {at}: an orphan"
