"""What a look at a cluster itself shows, in every place: orphans by the name of the entry; and whether it is ours."""

from __future__ import annotations

import logging

import pytest

from spec import CONTROLLER_KEY, OWNER_KEY
from tests.unit.test_sites import EAST, FAR, HERE, HUB, THERE, apply, entry, estate

ONE, TWO = (f"-----BEGIN CERTIFICATE-----\n{letter * 64}\n-----END CERTIFICATE-----\n" for letter in "AB")


def test_an_orphan_is_told_by_the_name_of_its_entry(caplog: pytest.LogCaptureFixture) -> None:
    tags = {OWNER_KEY: "default/nobody", CONTROLLER_KEY: "hub"}
    with estate(entry("shop"), entry("far", FAR)) as (b, world):
        there = world.at(THERE, EAST)
        there.add_profile("demo", "nobody", there.roles["good"], [{"namespace": "x"}], tags=tags)
        b.first.look_at_all()
        with caplog.at_level(logging.WARNING):
            b.run(620)
        told = [each.args for each in caplog.records if each.message.startswith("orphan ")]
        assert [(each["cluster"], each["profile"]) for each in told if isinstance(each, dict)] == [("shop", "nobody")]
        orphans = {name: each.orphans for name, each in b.reconciler.tally().items()}
        assert orphans == {"demo": 0, "shop": 1, "far": 0}


def test_only_the_home_is_asked_whether_it_is_the_cluster_of_the_objects() -> None:
    """What the kubeconfig says is of no other cluster, though it has the same name in EKS."""
    with estate(entry("shop"), authority="nothing that a cluster has") as (b, world):
        b.queue.add(("", "shop"))
        b.run(10)
        assert (THERE, EAST, "list_fargate_profiles") in world.calls
        assert b.reconciler.surveys.elsewhere is None, "nothing is said before the home is looked at"
        b.queue.add(("", "demo"))
        b.run(10)
        assert b.reconciler.surveys.elsewhere is not None
        asked = [(account, region) for account, region, method in world.calls if method == "describe_cluster"]
        assert set(asked) == {(HERE, HUB)}


def test_a_profile_whose_object_is_of_another_cluster_now_is_an_orphan() -> None:
    with estate(entry("shop"), entry("far", FAR)) as (b, world):
        b.first.look_at_all()
        apply(b, world, "shop")
        b.run(100)
        b.api.edit("fargateprofiles", "default", "web", {"metadata": {"finalizers": []}})
        b.delete()
        b.run(5)
        assert b.gone()
        apply(b, world, "far")
        b.run(900)
        orphans = {name: each.orphans for name, each in b.reconciler.tally().items()}
        assert (orphans["shop"], orphans["far"]) == (1, 0)


def test_a_profile_whose_object_names_another_cluster_and_still_has_it_is_no_orphan() -> None:
    with estate(entry("shop"), entry("far", FAR)) as (b, world):
        b.first.look_at_all()
        apply(b, world, "shop")
        b.run(100)
        b.edit(clusterName="far")
        b.run(900)
        assert world.profiles(THERE, EAST, "demo") == ["web"]
        assert b.reconciler.tally()["shop"].orphans == 0
