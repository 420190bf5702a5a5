"""What is told beside status: once, in the words that are fit for it, and not without end."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kube import Key
from status import EVENTS
from telling import Telling
from tests.harness import Clock
from tests.unit.test_passes import a_pass
from tests.unit.test_reconcile import Kubernetes
from workqueue import Thrift


class Told:
    """A telling, and who has heard of it."""

    def __init__(self) -> None:
        self.kube, self.woken, self.reasons = Kubernetes(), list[Key](), list[str]()
        clock, nothing = Clock(), lambda _seconds: None
        kube: Any = self.kube
        self.telling = Telling(
            kube, Thrift(), self.woken.append, clock.now, clock.monotonic, nothing, self.reasons.append
        )  # fmt: skip


def test_what_no_status_says_is_told_once_as_long_as_it_is_so() -> None:
    told, p = Told(), a_pass()
    for note in ("one", "one", "two"):
        told.telling.aloud(p, "Deferred", note)
    assert told.kube.events == ["Deferred"] * 2
    told.telling.forget(p.key)
    told.telling.aloud(p, "Deferred", "two")
    assert told.kube.events == ["Deferred"] * 3


def test_the_log_may_say_more_than_an_event(caplog: pytest.LogCaptureFixture) -> None:
    told, p = Told(), a_pass()
    with caplog.at_level(logging.INFO):
        told.telling.done(p, "Deleting", "a profile goes", "a profile goes, team-b's")
    assert "team-b" in caplog.text
    assert told.reasons == told.kube.events == ["Deleting"]


def test_an_object_has_no_events_without_end_and_each_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    told, p = Told(), a_pass()
    assert "Deleting" in EVENTS
    with caplog.at_level(logging.INFO):
        for number in range(40):
            told.telling.done(p, "Deleting", f"profile {number} goes")
    assert len(told.kube.events) == 25
    assert len(told.reasons) == len(caplog.records) == 40
