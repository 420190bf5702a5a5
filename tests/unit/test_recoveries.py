"""What the simulation has found once stays found: one small world for each, told as it went wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from spec import OWNER_KEY, RETAINED_KEY
from tests.fakes.aws import BROKEN, LOST
from tests.harness import Bench, bench


def second_process(b: Bench) -> Bench:
    """Return another controller between the same two worlds."""
    return Bench(b.clock, b.api, b.world, b.settings)


def users_tags(b: Bench) -> dict[str, str]:
    tags: dict[str, str] = b.profiles()["web"]["tags"]
    return {key: value for key, value in tags.items() if "jicomusic" not in key}


def test_an_answer_that_can_not_be_read_is_asked_for_again() -> None:
    with bench() as b:
        b.manners.fail("ec2:DescribeSubnets", BROKEN)
        b.apply()
        b.run(0)
        assert b.reason() == "AwsUnreachable"
        b.run(120)
        assert b.ready()


def test_a_list_that_was_cut_off_is_not_an_empty_cluster() -> None:
    """Its reader would let the object go, and leave the profile behind."""
    with bench() as b:
        b.apply()
        b.run(120)
        b.start()
        b.delete()
        b.manners.fail("ListFargateProfiles", BROKEN, times=2)
        b.run(5)
        assert not b.gone()
        b.run(120)
        assert b.gone()
        assert b.profiles() == {}


def test_tags_of_a_create_that_shows_late_are_taken_off_when_the_spec_has_dropped_them() -> None:
    with bench(visible_after=30) as b:
        b.apply(tags={"kept": "x", "dropped": "x"})
        b.run(0)
        b.edit(tags={"kept": "x", "dropped": None})
        b.run(300)
        assert b.ready()
        assert users_tags(b) == {"kept": "x"}


def test_a_process_with_an_old_view_does_not_unmark_a_create_that_has_not_shown_yet() -> None:
    """Without the mark, a deletion meanwhile would let the object go before its profile shows."""
    with bench(visible_after=30) as b:
        b.apply()
        other = second_process(b)
        b.run(120)
        other.run(0)
        b.world.delete_profile("demo", "web")
        b.edit(subnets=[*reversed(b.world.private_subnets)])
        b.start()
        b.run(0)
        other.run(0)
        b.delete()
        b.run(10)
        assert not b.gone()
        b.run(400)
        assert b.gone()
        assert b.profiles() == {}


def test_a_process_with_an_old_cache_sets_no_tag() -> None:
    """It would be a tag that nobody knows to take off again."""
    with bench() as b:
        b.apply(tags={"a": "x"})
        b.run(120)
        other = second_process(b)
        other.informer.run_once()
        b.edit(tags={"a": None})
        b.run(10)
        assert users_tags(b) == {}
        other.work_off()
        assert users_tags(b) == {}


def test_a_process_with_an_old_view_does_not_forget_the_tag_that_another_has_set() -> None:
    """Dropped from the spec later, it would stay on the profile for good."""
    with bench(creating_seconds=60) as b:
        b.apply(tags={"a": "x"})
        b.run(58)
        b.world.strip_tags("demo", "web", ["a"])
        other = second_process(b)
        other.run(0)
        b.run(3)
        b.start()
        b.run(0)
        assert users_tags(b) == {"a": "x"}
        wakes_it = {"fargateprofiles.jicomusic.com/wakes": "it"}  # other annotations, and labels, wake nobody
        b.api.edit("fargateprofiles", "default", "web", {"metadata": {"annotations": wakes_it}})
        other.run(0)
        b.edit(tags={"a": None})
        b.run(10)
        assert users_tags(b) == {}


def test_a_process_with_an_old_cache_does_not_delete_the_profile_of_an_object_made_again() -> None:
    """The new object has the name of the old one, and so its profile has the same owner tags."""
    with bench() as b:
        b.apply()
        b.run(120)
        other = second_process(b)
        b.delete()
        other.informer.run_once()
        b.run(120)
        assert b.gone()
        b.apply()
        b.run(120)
        other.work_off()
        assert b.profiles()["web"]["status"] == "ACTIVE"
        assert b.manners.count("DeleteFargateProfile") == 1


def test_a_process_with_an_old_cache_does_not_let_a_profile_go_that_is_to_be_deleted_by_now() -> None:
    """Without its owner tags, and with nothing of it in status, the profile would be left behind by its object."""
    with bench() as b:
        b.apply(deletionPolicy="Retain")
        b.run(120)
        other = second_process(b)
        b.delete()
        other.informer.run_once()
        b.edit(deletionPolicy="Delete")
        other.work_off()
        assert b.manners.count("UntagResource") == 0
        b.run(120)
        assert b.gone()
        assert b.profiles() == {}


def test_a_process_with_an_old_cache_takes_no_owner_tags_off_an_object_that_is_to_be_deleted_by_now() -> None:
    """It saw the object go and keep its profile, which carries the tag of a retained one already."""
    with bench() as b:
        b.settle(deletionPolicy="Retain")
        b.delete()
        b.step_until("the profile is marked", lambda: RETAINED_KEY in b.profiles()["web"]["tags"])
        other = second_process(b)
        other.informer.run_once()
        b.edit(deletionPolicy="Delete")
        other.work_off()
        assert b.manners.count("UntagResource") == 0
        b.run(120)
        assert b.gone()
        assert b.profiles() == {}


def test_a_profile_goes_after_all_when_its_object_turns_to_delete_once_the_owner_tags_are_off() -> None:
    """The answer to its create was lost and it was ACTIVE when seen first: nothing but the untagging tells of it."""
    with bench() as b:
        b.settings = replace(b.settings, lost_create=timedelta(0))  # else the wait for it writes down what is seen
        b.start()
        b.manners.fail("CreateFargateProfile", LOST)
        b.apply(deletionPolicy="Retain")
        b.run(0)
        b.delete()
        b.clock.elapsed += 150
        b.step_until("the owner tags are taken off", lambda: b.manners.count("UntagResource"))
        b.edit(deletionPolicy="Delete")
        b.run(200)
        assert b.gone()
        assert b.profiles() == {}


def test_a_profile_that_others_have_made_their_own_since_the_last_look_is_not_deleted() -> None:
    """Its object waits for its turn meanwhile, and has not looked at it since."""
    with bench(creating_seconds=60) as b:
        b.settle()
        b.apply("another")
        b.run(20)
        b.delete()
        b.run(10)
        assert b.reason() == "WaitingForTurn"
        b.world.set_tags("demo", "web", {OWNER_KEY: "team/web"})
        b.run(120)
        assert b.gone()
        assert b.profiles()["web"]["status"] == "ACTIVE"
        assert b.manners.count("DeleteFargateProfile") == 0


def test_a_replacement_whose_create_may_have_been_lost_is_waited_for_before_the_object_goes() -> None:
    """With Retain the serving profile stays, and so there was something owned: the other one came true as an orphan."""
    with bench(visible_after=30) as b:
        b.apply(updatePolicy="Replace", deletionPolicy="Retain")
        b.run(200)
        b.edit(selectors=[{"namespace": "another"}])
        b.manners.fail("CreateFargateProfile", LOST)
        b.run(1)
        b.delete()
        b.run(20)
        assert not b.gone()
        b.run(600)
        assert b.gone()
        owned = [name for name, profile in b.profiles().items() if OWNER_KEY in profile["tags"]]
        assert (len(b.profiles()), owned) == (1, [])


# Clocks: that of the pod, beside those of AWS and of other pods

SKEWS = [-600.0, -0.3, 0.3, 600.0]


@pytest.mark.parametrize("skew", SKEWS)
def test_a_clock_that_is_wrong_leaves_no_mark_and_holds_up_no_deletion(b: Bench, skew: float) -> None:
    b.skew = timedelta(seconds=skew)
    b.settle()
    assert "createStartedAt" not in b.get()["status"].get("bookkeeping", {})
    b.delete()
    b.run(90)
    assert b.gone()


@pytest.mark.parametrize("skew", SKEWS)
def test_a_create_whose_answer_was_lost_is_waited_for_whatever_the_clock_says(b: Bench, skew: float) -> None:
    b.skew = timedelta(seconds=skew)
    b.manners.visible_after = 100.0
    b.manners.fail("CreateFargateProfile", LOST)
    b.apply()
    b.run(1)
    b.delete()
    b.run(400)
    assert b.gone()
    assert b.profiles() == {}


@pytest.mark.parametrize("skew", SKEWS)
def test_who_takes_over_waits_for_a_lost_create_by_its_own_clock(b: Bench, skew: float) -> None:
    b.manners.visible_after = 100.0
    b.manners.fail("CreateFargateProfile", LOST)
    b.apply()
    b.run(1)
    b.delete()
    b.skew = timedelta(seconds=skew)
    b.start()
    b.run(400)
    assert b.gone()
    assert b.profiles() == {}
