"""Objects, refusals and statuses of any size: what is kept of them, what is said, and that each can be deleted."""

from __future__ import annotations

from typing import Any

import pytest

from informer import is_cut
from tests.harness import Bench

Object = dict[str, Any]
WEB = ("default", "web")
BIG_TAGS = {f"{'k' * 100}{number}": "v" * 256 for number in range(48)}  # valid, and over 16 KiB


# A spec that the store does not keep


def test_an_object_with_a_big_spec_lives_and_goes_as_any_other(b: Bench) -> None:
    b.settle(tags=BIG_TAGS)
    assert is_cut(b.store.get(WEB) or {})
    assert b.profiles()["web"]["tags"].items() >= BIG_TAGS.items()
    b.edit(tags={f"{'k' * 100}0": "other"})
    b.run(10)
    assert b.profiles()["web"]["tags"][f"{'k' * 100}0"] == "other"
    b.delete()
    b.run(200)
    assert b.gone()
    assert b.profiles() == {}


def test_an_object_with_a_big_spec_finds_its_own_cluster_and_profile(b: Bench) -> None:
    b.world.add_cluster("other")
    b.settle(tags=BIG_TAGS, clusterName="other", profileName="shared", deletionPolicy="Retain")
    assert b.profiles() == {} and [*b.profiles("other")] == ["shared"]
    b.run(1300)
    assert b.reconciler.tally()["other"].orphans == 0
    b.delete()
    b.run(60)
    assert b.gone() and [*b.profiles("other")] == ["shared"]


def test_a_settled_object_with_a_big_spec_is_silent(b: Bench) -> None:
    b.settle(tags=BIG_TAGS)
    b.api.clear_log()
    b.run(1300)
    assert b.api.writes() == []
    assert {(each.method, each.path) for each in b.api.log} == {
        ("GET", "/apis/jicomusic.com/v1/namespaces/default/fargateprofiles/web")
    }


def test_nothing_is_done_for_an_object_with_a_big_spec_that_has_gone_or_was_made_again_unseen(b: Bench) -> None:
    b.apply(tags=BIG_TAGS)
    b.informer.run_once()
    b.delete()
    b.work_off()
    assert b.api.writes() == []
    b.apply()
    b.clock.elapsed += 10
    b.work_off()
    assert b.api.writes() == [], "the store has not heard of this one yet"
    b.run(90)
    assert b.ready()


@pytest.mark.parametrize("outcome", [500, "drop"])
def test_a_big_spec_that_can_not_be_read_is_read_again_soon(b: Bench, outcome: Any) -> None:
    b.api.fail("GET", "fargateprofiles/web", outcome, times=3)
    b.settle(tags=BIG_TAGS)
