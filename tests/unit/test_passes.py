"""What one pass has in hand: what it notes, what an object asks for, and who pays for its calls."""

from __future__ import annotations

from typing import Any

from clusters import Cluster
from entries import Entry
from passes import Pass
from spec import REQUESTED_AT, Identity, Memory


def a_pass(status: dict[str, Any] | None = None, **metadata: Any) -> Pass:
    about = {"namespace": "default", "name": "web", "generation": 2, "creationTimestamp": "2026-11-22T08:00:00Z"}
    obj: dict[str, Any] = {"metadata": about | metadata, "spec": {}, "status": status or {}}
    memory, entry = Memory.parse(obj), Entry("demo", "demo", "us-east-1")
    return Pass(("default", "web"), obj, Identity.parse(obj, memory, "demo"), memory, Cluster(), entry, None, shown={})


def test_what_is_noted_stands_until_it_is_not_so_any_more() -> None:
    p = a_pass()
    p.note("RoleUnknownToCluster", "AccessLost", "No pod can start.")
    p.note("ProfileUnhealthy", "HealthIssues", "EKS says so.")
    p.note("RoleUnknownToCluster", "AccessLost", "")
    assert p.noted == {"ProfileUnhealthy": ("HealthIssues", "EKS says so.")}


def test_an_edit_is_paid_for_apart_from_what_is_looked_at_anyway() -> None:
    assert a_pass({"observedGeneration": 2}).payer == ("default", False)
    assert a_pass({"observedGeneration": 1}).payer == ("default", True)
    assert a_pass().payer == ("default", False), "nobody has looked at it before"


def test_a_look_is_asked_for_until_it_was_had() -> None:
    asked = {REQUESTED_AT: "now"}
    assert a_pass(annotations=asked).asks
    assert not a_pass({"lastHandledReconcileAt": "now"}, annotations=asked).asks
    assert not a_pass().asks
