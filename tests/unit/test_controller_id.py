"""What a user may rely on when the controller's id is another one than that which made the profiles.

A cluster that was restored or made anew, a typo in --controller-id: nothing is changed, lost or left behind unsaid.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from spec import CONTROLLER_KEY, OWNER_KEY
from tests.harness import Bench


def restart_as(b: Bench, controller_id: str) -> str:
    """Start the controller with that id; return the one that it had."""
    before = b.settings.controller_id or b.kube.namespace_uid("kube-system")
    b.settings = replace(b.settings, controller_id=controller_id)
    b.start()
    b.run(5)
    return before


def test_a_lost_id_is_told_with_both_ids_and_is_no_reason_to_have_the_object_deleted(b: Bench) -> None:
    b.settle()
    arn, made = b.get()["status"]["profileArn"], b.profiles()
    old = restart_as(b, "new")
    assert b.stalled()
    assert b.reason() == "NameTaken"
    assert f"tagged for this object by controller id {old}, and this operator's is new" in b.message()
    assert f"start the operator with --controller-id={old}" in b.message()
    assert "have that object deleted" not in b.message()
    assert (b.get()["status"]["profileArn"], b.profiles()) == (arn, made)


def test_with_its_old_id_the_controller_goes_on_as_if_nothing_had_been(b: Bench) -> None:
    b.settle()
    arn = b.get()["status"]["profileArn"]
    old = restart_as(b, "new")
    b.run(700)
    restart_as(b, old)
    assert b.ready()
    assert b.get()["status"]["profileArn"] == arn
    assert b.manners.count("CreateFargateProfile") == 1
    b.delete()
    b.run(120)
    assert b.gone()
    assert b.profiles() == {}


def test_a_deletion_waits_as_long_as_the_recorded_profile_is_tagged_by_another_id(b: Bench) -> None:
    b.settle()
    old = restart_as(b, "new")
    b.delete()
    b.run(700)
    assert not b.gone()
    assert b.stalled()
    assert b.reason() == "WrongController"
    for said in (f"by controller id {old}, and this operator's is new", f"--controller-id={old}", "Retain"):
        assert said in b.message()
    restart_as(b, old)
    b.run(120)
    assert b.gone()
    assert b.profiles() == {}


def test_a_deletion_by_a_wrong_id_goes_on_once_the_profile_has_gone_by_hand(b: Bench) -> None:
    b.settle()
    restart_as(b, "new")
    b.delete()
    b.run(30)
    b.world.delete_profile("demo", "web")
    b.run(700)
    assert b.gone()


def test_retain_lets_the_object_go_and_leaves_the_profile_as_it_is(b: Bench) -> None:
    b.settle()
    before = b.profiles()
    restart_as(b, "new")
    b.edit(deletionPolicy="Retain")
    b.delete()
    b.run(30)
    assert b.gone()
    assert b.profiles() == before
    assert b.events()[-1] == "Retained"


def test_an_object_that_never_recorded_the_profile_goes_and_says_what_it_leaves(
    b: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    b.world.add_profile("demo", "web", b.world.roles["good"], [{"namespace": "web"}], b.world.private_subnets)
    b.world.set_tags("demo", "web", {OWNER_KEY: "default/web", CONTROLLER_KEY: "old"})
    b.apply()
    b.run(5)
    assert b.reason() == "NameTaken"
    b.delete()
    b.run(30)
    assert b.gone()
    assert list(b.profiles()) == ["web"]
    assert b.events("Warning")[-1] == "ProfileLeft"
    assert "web stays" in b.notes()[-1]
    assert "by controller id old" in b.notes()[-1]
    assert any("action=ProfileLeft" in line for line in caplog.messages)
    assert b.metrics.registry.get_sample_value("fargate_events_total", {"reason": "ProfileLeft"}) == 1


def test_a_profile_that_names_another_object_holds_no_deletion_up(b: Bench) -> None:
    b.settle()
    b.world.set_tags("demo", "web", {OWNER_KEY: "shop/web"})
    b.delete()
    b.run(30)
    assert b.gone()
    assert list(b.profiles()) == ["web"]
    assert b.events("Warning")[-1] == "ProfileLeft"
    assert "Profile web stays" in b.notes()[-1]
    assert "it is made for shop/web" in b.notes()[-1]


def test_what_another_object_had_and_retained_is_not_taken_back_by_who_recorded_it_before(b: Bench) -> None:
    b.settle()
    mine = {key: b.profiles()["web"]["tags"][key] for key in (OWNER_KEY, CONTROLLER_KEY)}
    b.world.set_tags("demo", "web", mine | {OWNER_KEY: "shop/web"})
    b.run(700)
    assert b.reason() == "NameTaken"
    b.world.strip_tags("demo", "web", mine)
    b.run(700)
    assert b.profiles()["web"]["tags"] == {}
    b.delete()
    b.run(60)
    assert list(b.profiles()) == ["web"]
