"""What a user may rely on, from the object to EKS and back: one controller, both worlds in memory, a stepped clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from spec import CONTROLLER_KEY, FINALIZER, OWNER_KEY, RETAINED_KEY
from tests.fakes import aws as fake
from tests.harness import Bench

KOPF = "KopfFinalizerMarker"


# From the object to EKS


def test_an_object_becomes_an_active_profile_and_disappears_with_it(b: Bench) -> None:
    b.apply(tags={"team": "a"})
    b.run(30)
    assert b.reason() == "Creating"
    assert b.condition("Reconciling")["status"] == "True"
    assert b.get()["status"]["profileStatus"] == "CREATING"
    b.run(60)
    assert b.ready()
    assert not b.condition("Reconciling")
    assert b.get()["status"]["profileArn"] == b.profiles()["web"]["fargateProfileArn"]
    uid = b.api.get("namespaces", "", "kube-system")["metadata"]["uid"]  # type: ignore[index]
    assert b.profiles()["web"]["tags"] == {"team": "a", OWNER_KEY: "default/web", CONTROLLER_KEY: uid}
    b.delete()
    b.run(30)
    assert b.reason() == "Deleting"
    b.run(60)
    assert b.gone()
    assert b.profiles() == {}
    assert b.events() == ["Created", "Deleting", "Deleted"]


def test_a_new_object_costs_two_kubernetes_writes_and_one_aws_call_until_its_create(b: Bench) -> None:
    b.manners.creating_seconds = 30
    b.apply()
    b.run(45)
    assert b.ready()
    b.api.clear_log()
    b.manners.clear()
    b.apply("second")
    b.step_until("the second profile is asked for", lambda: b.manners.count("CreateFargateProfile"))
    assert [call.operation for call in b.manners.calls] == ["CreateFargateProfile"]
    writes = [request.path.rpartition("/")[2] for request in b.api.writes() if "events" not in request.path]
    assert writes[:2] == ["second", "status"]  # our finalizer, the mark; what follows reports the create's answer
    assert writes[2:] in ([], ["status"])


def test_settled_objects_cost_nothing_between_resyncs(b: Bench) -> None:
    for name in ("one", "two"):
        b.apply(name)
    b.run(200)
    b.api.clear_log()
    b.manners.clear()
    b.run(250)
    assert b.api.writes() == []
    assert b.manners.calls == []


def test_a_resync_reads_the_view_once_for_all_objects_and_writes_nothing(b: Bench) -> None:
    for name in ("one", "two", "three"):
        b.apply(name)
    b.run(300)
    b.api.clear_log()
    b.manners.clear()
    b.run(600)
    assert b.api.writes() == []
    assert b.manners.count("ListFargateProfiles") == 1
    assert b.manners.count("DescribeFargateProfile") == 3


def test_without_subnets_eks_chooses_and_the_choice_is_no_drift(b: Bench) -> None:
    manifest = b.manifest()
    del manifest["spec"]["subnets"]
    b.api.apply(manifest)
    b.run(90)
    assert b.ready()
    assert set(b.profiles()["web"]["subnets"]) == set(b.world.private_subnets)


def test_a_profile_name_of_its_own_is_used(b: Bench) -> None:
    b.settle("dotted.name", profileName="Dotted_Name")
    assert list(b.profiles()) == ["Dotted_Name"]
    b.delete("dotted.name")
    b.run(90)
    assert b.gone("dotted.name")


def test_an_object_may_name_another_cluster(b: Bench) -> None:
    b.world.add_cluster("other")
    b.settle(clusterName="other")
    assert list(b.profiles("other")) == ["web"]
    assert b.get()["status"]["clusterName"] == "other"


def test_ten_objects_applied_together_all_get_active_without_a_warning_or_a_refused_call(b: Bench) -> None:
    names = [f"app-{number}" for number in range(10)]
    for name in names:
        b.apply(name)
    b.run(10 * 80)
    assert all(b.ready(name) for name in names)
    assert b.events("Warning") == []
    assert {call.code for call in b.manners.calls} == {""}
    assert b.manners.count("CreateFargateProfile") == 10


def test_waiting_writes_status_once(b: Bench) -> None:
    b.apply("first")
    b.run(1)
    b.apply("second")
    b.run(1)
    assert b.reason("second") == "WaitingForTurn"
    b.api.clear_log()
    b.run(50)
    assert [request.path for request in b.api.writes() if "second" in request.path] == []


def test_who_waits_for_a_turn_is_told_what_has_it(b: Bench) -> None:
    b.apply("first")
    b.run(1)
    b.apply("second")
    b.run(1)
    made = b.profiles()["first"]["createdAt"].strftime("%Y-%m-%dT%H:%M:%SZ")
    ahead = (
        f"profile first is CREATING, seen since {made}, and this one waits for its turn; profile second is made then."
    )
    assert b.message("second").endswith(ahead)
    b.run(200)
    b.manners.updating.add("demo")
    b.apply("third")
    b.run(1)
    b.apply("fourth")
    b.run(1)
    assert b.reason("third") == "ClusterUpdating"
    assert "default/third comes first, and this one waits for its turn; profile fourth" in b.message("fourth")


def test_who_waits_behind_a_profile_that_does_not_end_is_told_where_to_look_whosever_that_is(b: Bench) -> None:
    b.settle()
    b.manners.deleting_seconds = 3 * 3600
    b.world.add_profile("demo", "theirs", b.world.roles["good"], [{"namespace": "x"}], b.world.private_subnets)
    b.world.client("eks").delete_fargate_profile(clusterName="demo", fargateProfileName="theirs")
    b.delete()
    b.run(10)
    assert "profile theirs is DELETING, seen since 2" in b.message()
    assert b.message().endswith("and this one waits for its turn; profile web is deleted then.")
    b.run(44 * 60)
    assert "unusually long" not in b.message()
    b.run(2 * 60)
    assert b.message().endswith("takes unusually long (over 45 min): look for pods on Fargate that do not end.")


def test_a_create_that_is_refused_when_its_turn_comes_is_asked_for_once(b: Bench) -> None:
    b.apply("web")
    b.run(1)
    b.apply("api", selectors=[{"namespace": "two", "labels": dict.fromkeys("abcdef", "x")}])  # looks before web
    b.run_until("the second profile is asked for", lambda: b.manners.count("CreateFargateProfile") == 2)
    b.run(5)
    assert b.reason("api") == "ParameterRefused"
    assert b.manners.count("CreateFargateProfile") == 2


def creates(b: Bench) -> list[str]:
    return [call.params["profile"] for call in b.manners.writes() if call.operation == "CreateFargateProfile"]


def test_objects_of_one_list_stand_in_line_by_age_then_by_name_and_who_comes_later_stands_behind(b: Bench) -> None:
    b.apply("eldest", suspend=True)
    b.clock.elapsed += 1
    b.apply("z9")
    b.clock.elapsed += 1
    for name in ("b", "c", "a"):
        b.apply(name)
    b.run(5)
    b.edit("eldest", suspend=None)
    b.run(400)
    assert creates(b) == ["z9", "a", "b", "c", "eldest"]


def test_the_next_in_line_goes_at_once_when_a_profile_has_settled(b: Bench) -> None:
    b.apply("first")
    b.run(1)
    b.apply("second")
    b.run(80)
    assert b.ready("first")
    first, second = b.profiles()["first"], b.profiles()["second"]
    assert second["createdAt"] - first["createdAt"] <= timedelta(seconds=66)


def test_two_namespaces_may_not_mean_one_profile(b: Bench) -> None:
    b.settle()
    b.apply(namespace="team-b")
    b.run(30)
    assert b.reason(namespace="team-b") == "NameTaken"
    assert "default/web" in b.message(namespace="team-b")
    b.delete(namespace="team-b")
    b.run(30)
    assert b.gone(namespace="team-b")
    assert "web" in b.profiles()


def test_a_name_that_gets_free_is_taken_at_once(b: Bench) -> None:
    b.settle()
    b.apply(namespace="team-b")
    b.run(300)
    b.delete()
    b.run(130)
    assert b.gone()
    assert b.get(namespace="team-b")["status"]["profileStatus"] in ("CREATING", "ACTIVE")


# Kept right


def test_a_profile_deleted_behind_our_back_comes_back(b: Bench) -> None:
    b.settle()
    b.world.delete_profile("demo", "web")
    b.run(700)
    assert b.ready()
    (told,) = b.notes("Warning")
    assert told.endswith("The one before had gone without the operator's doing.")
    assert b.events() == ["Created", "ProfileLost", "Created"]
    assert b.profiles()["web"]["status"] == "ACTIVE"


def test_tags_changed_behind_our_back_are_brought_back_and_foreign_ones_stay(b: Bench) -> None:
    b.settle(tags={"team": "a"})
    b.world.set_tags("demo", "web", {"team": "z", "cost": "42"})
    b.run(700)
    assert b.profiles()["web"]["tags"]["team"] == "a"
    assert b.profiles()["web"]["tags"]["cost"] == "42"


def test_tags_follow_the_spec_and_only_ours_are_removed(b: Bench) -> None:
    b.settle(tags={"team": "a", "old": "x"})
    b.world.set_tags("demo", "web", {"cost": "42"})
    b.edit(tags={"team": "b", "old": None, "new": "y"})
    b.run(5)
    tags = b.profiles()["web"]["tags"]
    assert {key: tags[key] for key in tags if "jicomusic" not in key} == {"team": "b", "new": "y", "cost": "42"}
    assert b.ready()
    assert b.get()["status"]["observedGeneration"] == b.get()["metadata"]["generation"]
    assert b.manners.count("CreateFargateProfile") == 1


def test_stripped_owner_tags_are_put_back(b: Bench) -> None:
    b.settle()
    b.world.strip_tags("demo", "web", [OWNER_KEY, CONTROLLER_KEY])
    b.run(700)
    assert b.profiles()["web"]["tags"][OWNER_KEY] == "default/web"
    assert b.ready()


def test_one_stripped_owner_tag_does_not_lose_the_profile(b: Bench) -> None:
    b.settle()
    b.world.strip_tags("demo", "web", [CONTROLLER_KEY])
    b.run(700)
    assert CONTROLLER_KEY in b.profiles()["web"]["tags"]
    assert b.ready()


def test_an_edit_of_what_eks_cannot_change_is_refused_field_by_field_and_nothing_is_deleted(b: Bench) -> None:
    b.settle()
    b.edit(podExecutionRoleArn=b.world.roles["other-policy"], subnets=[b.world.private_subnets[0]])
    b.run(30)
    assert b.stalled()
    assert b.reason() == "ImmutableField"
    for word in ("spec.podExecutionRoleArn: EKS has", b.world.roles["good"], "spec.subnets", "put the old values back"):
        assert word in b.message()
    assert "spec.selectors" not in b.message()
    assert b.profiles()["web"]["status"] == "ACTIVE"
    b.edit(podExecutionRoleArn=b.world.roles["good"], subnets=list(b.world.private_subnets))
    b.run(5)
    assert b.ready()


def test_an_edit_back_to_a_subset_order_is_no_difference(b: Bench) -> None:
    b.settle(selectors=[{"namespace": "a"}, {"namespace": "b", "labels": {"x": "y"}}])
    b.edit(selectors=[{"namespace": "b", "labels": {"x": "y"}}, {"namespace": "a", "labels": {}}, {"namespace": "a"}])
    b.run(5)
    assert b.ready()


# Failures


def test_a_failed_create_shows_eks_own_words_and_is_made_again_with_growing_delays(b: Bench) -> None:
    issue = {"code": "AccessDenied", "message": "No access entry.", "resourceIds": ["web"]}
    b.manners.fail_create("web", issue, times=3)
    b.apply()
    b.run(70)
    assert b.stalled()
    assert b.reason() == "CreateFailed"
    assert "AccessDenied: No access entry." in b.message()
    assert b.get()["status"]["health"] == [issue]
    assert "CreateFailed" in b.events("Warning")
    assert b.get()["status"]["bookkeeping"]["failures"] == 1
    b.run(15 + 60 + 60 + 30 + 60 + 60 + 60 + 60 + 100)
    assert b.ready()
    assert "failures" not in b.get()["status"].get("bookkeeping", {})
    assert b.manners.count("CreateFargateProfile") == 4
    assert not any("had gone" in note for note in b.notes()), "it was deleted by the controller"


def test_while_it_is_tried_again_the_message_keeps_how_often_it_has_failed_and_why(b: Bench) -> None:
    issue = {"code": "PodExecutionRoleAlreadyInUse", "message": "The role is used.", "resourceIds": ["web"]}
    b.manners.fail_create("web", issue, times=2)
    b.apply()
    told = "It has failed {}: PodExecutionRoleAlreadyInUse: The role is used."
    b.run_until("it is deleted", lambda: "web is DELETING" in b.message())
    assert b.message().endswith(told.format("once"))
    b.run_until("it is made again", lambda: "web is CREATING" in b.message())
    assert b.message().endswith(told.format("once"))
    b.run_until("it has failed again", b.stalled)
    b.run_until("it is made for the third time", lambda: "web is CREATING" in b.message())
    assert b.message().endswith(told.format("2 times"))
    b.run_until("it is made", b.ready)
    b.edit(suspend=True)
    b.run(10)
    assert "failedWhy" not in b.get()["status"].get("bookkeeping", {})


def test_an_edit_that_will_be_refused_is_told_while_eks_is_still_at_the_profile(b: Bench) -> None:
    b.apply()
    b.run(5)
    b.edit(selectors=[{"namespace": "other"}])
    b.run(5)
    assert b.message().startswith("Profile web is CREATING. ImmutableField: EKS can't change a profile")
    assert "spec.selectors: EKS has [web], wanted is [other]" in b.message()
    b.run(90)
    assert b.reason() == "ImmutableField"


def test_an_edit_that_is_replaced_once_the_profile_is_active_is_not_told_as_refused(b: Bench) -> None:
    b.apply(updatePolicy="Replace")
    b.run(5)
    b.edit(selectors=[{"namespace": "other"}])
    b.run(5)
    assert b.message() == "Profile web is CREATING."


def test_an_edit_that_was_taken_back_is_not_told_as_refused_any_more(b: Bench) -> None:
    b.apply()
    b.run(5)
    b.edit(selectors=[{"namespace": "other"}])
    b.run(5)
    b.edit(selectors=[{"namespace": "web"}])
    b.run(5)
    assert b.message() == "Profile web is CREATING."


def test_a_failed_delete_is_asked_for_again_with_growing_delays(b: Bench) -> None:
    b.settle()
    b.manners.fail_delete("web", {"code": "InternalFailure", "message": "Oops.", "resourceIds": []}, times=2)
    b.delete()
    b.run(70)
    assert b.reason() == "DeleteFailed"
    assert b.stalled()
    b.run(15 + 70)
    assert b.get()["status"]["bookkeeping"]["failures"] == 2
    b.run(30 + 70)
    assert b.gone()
    assert b.profiles() == {}


def test_a_failed_create_of_an_object_that_is_deleted_goes_at_once(b: Bench) -> None:
    b.manners.fail_create("web", {"code": "InternalFailure", "message": "Oops.", "resourceIds": []})
    b.apply()
    b.run(62)
    assert b.reason() == "CreateFailed"
    b.delete()
    b.run(70)
    assert b.gone()


@pytest.mark.parametrize(
    "fault", [fake.LOST, fake.DROP, fake.BROKEN, fake.html(502), fake.error("ServerException", 500)]
)
def test_an_unclear_answer_to_a_create_neither_loses_nor_doubles_the_profile(b: Bench, fault: fake.Fault) -> None:
    b.manners.fail("CreateFargateProfile", fault)
    b.apply()
    b.run(120)
    assert b.ready()
    assert len(b.profiles()) == 1
    assert b.events("Warning") == []


def test_an_object_deleted_right_after_a_lost_create_leaves_no_orphan(b: Bench) -> None:
    b.manners.fail("CreateFargateProfile", fake.LOST)
    b.manners.visible_after = 40
    b.apply()
    b.run(1)
    b.delete()
    b.run(400)
    assert b.gone()
    assert b.profiles() == {}


@pytest.mark.parametrize("fault", [fake.LOST, fake.DROP])
def test_an_unclear_answer_to_a_delete_ends_in_the_same(b: Bench, fault: fake.Fault) -> None:
    b.settle()
    b.manners.fail("DeleteFargateProfile", fault)
    b.delete()
    b.run(120)
    assert b.gone()
    assert b.profiles() == {}


def test_throttling_is_shown_and_passes(b: Bench) -> None:
    b.manners.fail("*", fake.error("ThrottlingException", 429, "Rate exceeded"), times=4)
    b.apply()
    b.run(0.5)
    assert b.reason() == "Throttled"
    assert b.condition("Reconciling")["status"] == "True"
    b.run(120)
    assert b.ready()
    assert b.events("Warning") == []


def test_a_failing_look_does_not_unsay_that_the_profile_was_ready(b: Bench) -> None:
    b.settle()
    b.manners.fail("ListFargateProfiles", fake.DROP, times=3)
    b.run(620)
    assert b.ready()


def test_access_denied_stalls_with_a_mend_and_goes_on_when_it_is_mended(b: Bench) -> None:
    text = "User: x is not authorized to perform: iam:PassRole"
    b.manners.fail("CreateFargateProfile", fake.error("AccessDeniedException", 403, text), times=3)
    b.apply()
    b.run(10)
    assert b.stalled()
    assert b.reason() == "AccessDenied"
    assert "iam:PassRole" in b.message()
    assert "IAMPolicy.json" in b.message()
    b.run(15 + 15 + 30 + 70)
    assert b.ready()
    assert b.events("Warning") == ["Refused"]


def test_an_object_that_may_not_be_made_holds_up_no_other(b: Bench) -> None:
    b.manners.fail("CreateFargateProfile", fake.error("AccessDeniedException", 403, "no"), times=1)
    b.apply("bad")
    b.apply("good")
    b.run(70)
    assert b.ready("good") or b.ready("bad")


def test_a_fresh_role_is_given_two_minutes_before_it_is_refused(b: Bench) -> None:
    text = (
        "Misconfigured PodExecutionRole Trust Policy; Please add the eks-fargate-pods.amazonaws.com Service Principal"
    )
    b.manners.fail("CreateFargateProfile", fake.error("InvalidParameterException", 400, text), times=4)
    b.apply()
    b.run(50)
    assert b.reason() == "RoleNotTrusted"
    assert not b.stalled()
    b.run(90)
    assert b.ready()
    assert b.events("Warning") == []


def test_a_role_that_stays_untrusted_is_refused_after_two_minutes(b: Bench) -> None:
    text = (
        "Misconfigured PodExecutionRole Trust Policy; Please add the eks-fargate-pods.amazonaws.com Service Principal"
    )
    b.manners.fail("CreateFargateProfile", fake.error("InvalidParameterException", 400, text), times=20)
    b.apply()
    b.run(140)
    assert b.stalled()
    assert b.reason() == "RoleNotTrusted"


def test_the_quota_stalls_and_says_so(b: Bench) -> None:
    b.manners.max_profiles = 0
    b.apply()
    b.run(10)
    assert b.reason() == "QuotaExceeded"
    assert b.stalled()


def test_a_cluster_update_is_waited_for(b: Bench) -> None:
    b.manners.updating.add("demo")
    b.apply()
    b.run(60)
    assert b.reason() in ("ClusterUpdating", "Creating")
    assert not b.stalled()
    b.manners.updating.clear()
    b.run(60 + 60 + 10)  # asked again after a minute at the most, then EKS makes it
    assert b.ready()
    assert b.events("Warning") == []


def test_a_missing_cluster_is_waited_for_and_stands_in_the_log(b: Bench, caplog: pytest.LogCaptureFixture) -> None:
    b.apply(clusterName="later")
    b.run(60)
    assert b.reason() == "ClusterNotFound"
    assert not b.stalled()
    (line,) = (each for each in caplog.messages if "reason=ClusterNotFound" in each)
    assert line.startswith("failed object=default/web cluster=later profile=web reason=ClusterNotFound")
    b.world.add_cluster("later")
    b.run(200)
    assert b.ready()


def test_a_cluster_that_is_missing_for_a_quarter_of_an_hour_stalls_the_object_and_it_goes_on_by_itself(
    b: Bench,
) -> None:
    b.apply(clusterName="later")
    b.run(14 * 60)
    assert (b.stalled(), b.events()) == (False, [])
    b.run(2 * 60)
    assert b.stalled()
    assert b.reason() == "ClusterNotFound"
    assert b.events("Warning") == ["Refused"]
    assert b.notes("Warning")[0].startswith("ClusterNotFound: EKS has no cluster later")
    b.run(3600)
    assert b.events("Warning") == ["Refused"], "told once"
    b.world.add_cluster("later")
    b.run(600 + 90)
    assert b.ready()


def test_a_controller_that_starts_anew_does_not_begin_again_to_wait_for_a_cluster(b: Bench) -> None:
    b.apply(clusterName="later")
    b.run(16 * 60)
    assert b.stalled()
    b.start()
    b.run(60)
    assert b.stalled()
    assert b.events("Warning") == ["Refused"]
    b.world.add_cluster("later")
    b.run(600 + 90)
    assert b.ready()


def test_a_look_that_failed_does_not_begin_the_wait_for_a_cluster_anew(b: Bench) -> None:
    b.apply(clusterName="later")
    b.run(10 * 60)
    b.manners.fail("ListFargateProfiles", fake.error("ThrottlingException", 429, "Rate exceeded"))
    b.run(6 * 60)
    assert b.stalled()


def test_an_edit_counts_the_patience_with_a_missing_cluster_anew(b: Bench) -> None:
    b.apply(clusterName="later")
    b.run(14 * 60)
    b.edit(tags={"team": "a"})
    b.run(14 * 60)
    assert not b.stalled()


def test_a_controller_of_a_cluster_that_is_not_there_says_so_without_any_object(
    b: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    b.world.remove_cluster("demo")
    b.queue.add(("", "demo"))  # as when the Lease is won
    b.run(5)
    (line,) = (each for each in caplog.messages if "reason=ClusterNotFound" in each)
    assert line.startswith("failed cluster=demo reason=ClusterNotFound")


def test_a_cluster_that_is_not_active_is_waited_for(b: Bench) -> None:
    b.world.set_cluster_status("demo", "UPDATING")
    b.apply()
    b.run(60)
    assert b.reason() == "ClusterNotActive"
    b.world.set_cluster_status("demo", "ACTIVE")
    b.run(150)
    assert b.ready()


# Letting go


def test_retain_keeps_the_profile_without_an_owner(b: Bench) -> None:
    b.settle(deletionPolicy="Retain", tags={"team": "a"})
    b.delete()
    b.run(30)
    assert b.gone()
    assert b.profiles()["web"]["status"] == "ACTIVE"
    assert b.profiles()["web"]["tags"] == {"team": "a", RETAINED_KEY: "default/web"}
    assert b.events()[-3:] == ["Tagged", "Untagged", "Retained"]
    assert "Profile web is kept in EKS, without an owner." in b.notes()


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidParameterException", "SomethingNew"])
def test_a_deletion_waits_for_no_tag_that_aws_refuses_and_says_so(b: Bench, code: str) -> None:
    b.settle(deletionPolicy="Retain")
    b.manners.fail("TagResource", fake.error(code, 403 if "Denied" in code else 400, "no"), times=10**6)
    b.delete()
    b.run(5)
    assert b.gone()
    assert b.profiles()["web"]["tags"] == {}
    assert b.manners.count("DeleteFargateProfile") == 0
    assert any(note.startswith(f"Profile web has lost {CONTROLLER_KEY}, {OWNER_KEY}: kept") for note in b.notes())
    assert f"without an owner, and without the tag {RETAINED_KEY}" in b.notes()[-1]


def test_a_profile_without_room_for_one_tag_more_is_kept_all_the_same(b: Bench) -> None:
    b.settle(deletionPolicy="Retain", tags={f"t{number}": "x" for number in range(48)})
    b.delete()
    b.run(5)
    assert b.gone()
    assert len(b.profiles()["web"]["tags"]) == 48
    assert f"without an owner, and without the tag {RETAINED_KEY}" in b.notes()[-1]


def test_a_throttled_tag_is_waited_for_as_the_untagging_would_be(b: Bench) -> None:
    b.settle(deletionPolicy="Retain")
    b.manners.fail("TagResource", fake.error("ThrottlingException", 400, "slow"), times=2)
    b.delete()
    b.run(30)
    assert b.gone()
    assert b.profiles()["web"]["tags"] == {RETAINED_KEY: "default/web"}


def test_a_retained_profile_that_is_adopted_loses_its_mark(b: Bench) -> None:
    b.settle(deletionPolicy="Retain")
    b.delete()
    b.run(30)
    b.settings = replace(b.settings, adoption_in=frozenset({"default"}))
    b.start()
    b.apply(adoptionPolicy="Adopt", tags={"team": "a"})
    b.run(30)
    assert b.ready()
    assert b.profiles()["web"]["tags"].keys() == {"team", OWNER_KEY, CONTROLLER_KEY}


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_a_crash_after_the_mark_ends_as_the_object_then_says(b: Bench, policy: str) -> None:
    b.settle(deletionPolicy="Retain")
    b.delete()
    b.step_until("the mark is set", lambda: RETAINED_KEY in b.profiles()["web"]["tags"])
    b.start()
    b.edit(deletionPolicy=policy)
    b.run(120)
    assert b.gone()
    assert {name: each["tags"] for name, each in b.profiles().items()} == (
        {} if policy == "Delete" else {"web": {RETAINED_KEY: "default/web"}}
    )


def test_a_suspended_object_makes_nothing_and_says_so(b: Bench) -> None:
    b.apply(suspend=True)
    b.run(30)
    assert b.reason() == "Suspended"
    assert b.profiles() == {}
    b.edit(suspend=False)
    b.run(90)
    assert b.ready()


def test_a_suspended_object_is_not_deleted_until_it_is_resumed(b: Bench) -> None:
    b.settle()
    b.edit(suspend=True)
    b.run(5)
    b.delete()
    b.run(700)
    assert b.reason() == "Suspended"
    assert "unset it" in b.message()
    assert b.profiles()["web"]["status"] == "ACTIVE"
    b.edit(suspend=None)
    b.run(90)
    assert b.gone()


def test_deleting_while_creating_waits_and_then_deletes(b: Bench) -> None:
    b.apply()
    b.run(10)
    b.delete()
    b.run(200)
    assert b.gone()
    assert b.profiles() == {}


def test_deleting_twice_changes_nothing(b: Bench) -> None:
    b.settle()
    b.delete()
    b.run(10)
    b.delete()
    b.run(90)
    assert b.gone()
    assert b.manners.count("DeleteFargateProfile") == 1


def test_an_object_re_created_at_once_gets_a_new_profile(b: Bench) -> None:
    b.settle()
    old = b.profiles()["web"]["fargateProfileArn"]
    b.delete()
    b.run(90)
    b.apply()
    b.run(90)
    assert b.ready()
    assert b.profiles()["web"]["fargateProfileArn"] != old


def test_an_object_whose_cluster_is_gone_can_be_deleted(b: Bench) -> None:
    b.settle()
    b.world.remove_cluster("demo")
    b.delete()
    b.run(30)
    assert b.gone()


def test_a_foreign_profile_of_the_name_is_never_touched(b: Bench) -> None:
    b.world.add_profile("demo", "web", b.world.roles["good"], [{"namespace": "web"}], b.world.private_subnets)
    b.apply()
    b.run(60)
    assert b.reason() == "NameTaken"
    assert "without an owner" in b.message()
    b.delete()
    b.run(60)
    assert b.gone()
    assert b.profiles()["web"]["tags"] == {}


def test_an_object_from_another_cluster_is_refused_and_never_deleted_here(b: Bench) -> None:
    b.settle()
    b.settings = type(b.settings)(cluster="other")
    b.world.add_cluster("other")
    b.start()
    b.run(30)
    assert b.reason() == "WrongHome"
    there = b.get()["status"]["clusterArn"]
    assert b.message().startswith(f"Profile web was made in {there} and stays there")
    assert f"leaves web in {there}" in b.message()
    b.delete()
    b.run(60)
    assert b.reason() == "WrongHome"
    assert "web" in b.profiles()


# What kopf's operator left


def upgrade(b: Bench, *namespaces: str) -> None:
    """Start the controller for the time of the upgrade."""
    b.settings = replace(b.settings, kopf_in=frozenset(namespaces or {"*"}))
    b.start()


def kopf_object(b: Bench, finalizer: str = KOPF, **spec: Any) -> None:
    manifest = b.manifest(**spec)
    manifest["metadata"]["finalizers"] = [finalizer]
    b.api.apply(manifest)


def kopf_profile(b: Bench, **change: Any) -> None:
    fields = {"role": b.world.roles["good"], "selectors": [{"namespace": "web"}], "subnets": b.world.private_subnets}
    b.world.add_profile("demo", "web", **(fields | change))


@pytest.mark.parametrize("finalizer", [KOPF, "kopf.zalando.org/KopfFinalizerMarker"])
def test_a_profile_of_the_original_is_taken_over_without_being_made_again(b: Bench, finalizer: str) -> None:
    upgrade(b)
    kopf_object(b, finalizer, tags={"red": "black"})
    b.clock.elapsed += 60
    kopf_profile(b)
    b.run(30)
    assert b.ready()
    assert b.get()["metadata"]["finalizers"] == [FINALIZER]
    assert b.profiles()["web"]["tags"][OWNER_KEY] == "default/web"
    assert b.profiles()["web"]["tags"]["red"] == "black"
    assert b.manners.count("CreateFargateProfile") == 0


def test_a_profile_older_than_the_object_does_not_hand_over(b: Bench) -> None:
    upgrade(b)
    kopf_profile(b)
    b.clock.elapsed += 60
    kopf_object(b)
    b.run(30)
    assert b.reason() == "NameTaken"
    assert b.profiles()["web"]["tags"] == {}


def test_a_deleting_object_of_the_original_takes_its_profile_with_it(b: Bench) -> None:
    upgrade(b)
    kopf_object(b)
    b.clock.elapsed += 60
    kopf_profile(b)
    b.delete()
    b.run(90)
    assert b.gone()
    assert b.profiles() == {}


def test_a_deleting_object_of_the_original_leaves_what_is_not_its_own_and_names_it(b: Bench) -> None:
    upgrade(b)
    kopf_object(b)
    b.clock.elapsed += 60
    kopf_profile(b, selectors=[{"namespace": "elsewhere"}])
    b.delete()
    b.run(90)
    assert b.gone()
    assert list(b.profiles()) == ["web"]
    assert b.events("Warning") == ["ProfileLeft"]
    assert "Profile web stays" in b.notes("Warning")[0]


def test_a_kopf_object_without_a_profile_just_gets_one(b: Bench) -> None:
    upgrade(b)
    kopf_object(b)
    b.run(90)
    assert b.ready()
    assert b.get()["metadata"]["finalizers"] == [FINALIZER]


def test_an_upgrade_that_began_without_its_flag_takes_all_over_once_it_is_set(b: Bench) -> None:
    for name in ("one", "two"):
        manifest = b.manifest(name)
        manifest["metadata"]["finalizers"] = [KOPF]
        b.api.apply(manifest)
        selectors, subnets = [{"namespace": name}], [*b.world.private_subnets]
        b.world.add_profile("demo", name, b.world.roles["good"], selectors, subnets=subnets)
    b.run(1500)
    b.start()
    b.run(1500)
    for name in ("one", "two"):
        assert b.stalled(name)
        assert b.reason(name) == "NameTaken"
        assert "--take-over-from-kopf-in=default" in b.message(name)
        assert b.get(name)["metadata"]["finalizers"] == [KOPF]
        assert b.profiles()[name]["tags"] == {}
    upgrade(b, "default")
    b.run(30)
    for name in ("one", "two"):
        assert b.ready(name)
        assert b.get(name)["metadata"]["finalizers"] == [FINALIZER]
        assert b.profiles()[name]["tags"][OWNER_KEY] == f"default/{name}"
    assert {call.operation for call in b.manners.writes()} == {"TagResource"}


def test_a_hand_over_is_not_ended_by_an_older_look(b: Bench) -> None:
    """The original has made its profile since the cluster was looked at."""
    upgrade(b)
    b.settle("other")
    kopf_object(b)
    kopf_profile(b)
    b.run(30)
    assert b.ready()
    assert b.profiles()["web"]["tags"][OWNER_KEY] == "default/web"
    assert b.manners.count("CreateFargateProfile") == 1


def test_an_object_of_the_original_that_goes_waits_for_the_flag_or_for_retain(b: Bench) -> None:
    kopf_object(b)
    kopf_profile(b)
    b.delete()
    b.run(1500)
    assert b.reason() == "NameTaken"
    assert b.message().startswith("The deletion waits, because profile web")
    assert "--take-over-from-kopf-in=default" in b.message()
    assert b.events("Warning") == ["Refused"]
    b.edit(deletionPolicy="Retain")
    b.run(5)
    assert b.gone()
    assert b.profiles()["web"]["tags"] == {}
    assert b.events()[-1] == "Retained"


# Restarts


def test_a_restarted_controller_finds_what_it_made(b: Bench) -> None:
    b.apply()
    b.run(10)
    b.start()
    b.run(90)
    assert b.ready()
    assert b.manners.count("CreateFargateProfile") == 1


def test_an_orphan_is_reported_and_never_touched(b: Bench, caplog: pytest.LogCaptureFixture) -> None:
    b.settle()
    b.api.edit("fargateprofiles", "default", "web", {"metadata": {"finalizers": []}})
    b.delete()
    b.queue.add(("", "demo"))
    b.run(1300)
    assert "orphan cluster=demo profile=web" in caplog.text
    assert b.profiles()["web"]["status"] == "ACTIVE"


def test_a_dead_cluster_holds_up_no_other(b: Bench) -> None:
    b.world.add_cluster("dead")
    b.manners.fail("*", fake.DROP, times=1000, cluster="dead")
    b.apply("one", clusterName="dead")
    b.apply("two")
    b.run(70)
    assert b.reason("one") == "AwsUnreachable"
    assert b.ready("two")
