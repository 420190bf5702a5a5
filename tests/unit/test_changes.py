"""What a user may rely on when a profile is edited, taken over, overlaps, or is to be looked at now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from spec import CONTROLLER_KEY, OWNER_KEY, REQUESTED_AT
from tests.fakes import aws as fake
from tests.fakes.apiserver import token_by
from tests.fakes.eks_rules import issuer
from tests.harness import Bench
from tests.unit.test_clusters import ONE, TWO, bundle

EDITED = [{"namespace": "web-edited"}]


def selectors(b: Bench, name: str) -> Any:
    return b.profiles()[name]["selectors"]


def pods(b: Bench, profile: str, count: int, phase: str = "Running", namespace: str = "default") -> None:
    b.api.may_list_pods = True
    for number in range(count):
        label = {"eks.amazonaws.com/fargate-profile": profile}
        meta = {"name": f"{profile}-{phase.lower()}-{number}", "namespace": namespace, "labels": label}
        b.api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": {"phase": phase}})


def until(b: Bench, seconds: float, step: float = 1.0) -> Iterator[None]:
    for _ in range(int(seconds / step)):
        b.run(step)
        yield


# Replace


def test_an_edit_under_replace_makes_the_new_profile_first_and_then_deletes_the_old_one(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    b.edit(selectors=EDITED)
    b.run(30)
    (new,) = set(b.profiles()) - {"web"}
    assert b.reason() == "Replacing"
    assert f"web is being replaced by {new} and serves until that is ACTIVE" in b.message()
    assert b.get()["status"]["profileName"] == "web", "the one that serves now"
    b.run(60)
    assert b.reason() == "Replacing"
    assert b.get()["status"]["profileName"] == new
    b.run(90)
    assert b.ready()
    assert list(b.profiles()) == [new]
    assert b.events() == ["Created", "Replacing", "Deleting", "Replaced"]


def test_a_replacement_on_its_way_for_an_earlier_spec_is_not_said_to_take_the_place(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    b.edit(selectors=EDITED)
    b.run(10)
    (first,) = set(b.profiles()) - {"web"}
    b.edit(selectors=[{"namespace": "edited-again"}])
    b.run(5)
    said = f"Profile web serves; {first}, made for an earlier spec, goes first. Profile {first} is CREATING."
    assert b.message() == said
    b.run(400)
    assert b.ready()
    assert first not in b.profiles()


def test_a_suspended_object_says_which_profiles_it_has(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    b.edit(selectors=EDITED)
    b.run(10)
    (new,) = set(b.profiles()) - {"web"}
    b.edit(suspend=True)
    b.run(100)
    assert b.message().startswith(f"Suspended: profile web is ACTIVE, and {new} is there too;")


def test_under_replace_there_is_no_moment_without_an_active_profile_of_the_object(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    b.edit(selectors=EDITED)
    for _ in until(b, 200):
        assert [each for each in b.profiles().values() if each["status"] == "ACTIVE"]
    assert b.ready()


def test_a_second_edit_goes_back_to_the_objects_own_name(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    b.edit(selectors=EDITED)
    b.run(250)
    b.edit(selectors=[{"namespace": "again"}])
    b.run(250)
    assert b.ready()
    assert list(b.profiles()) == ["web"]


def test_edits_on_the_way_lead_to_the_last_spec_with_at_most_one_profile_too_many(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    for number in range(4):
        b.edit(selectors=[{"namespace": f"edit-{number}"}])
        for _ in until(b, 40):
            assert len(b.profiles()) <= 2
    for _ in until(b, 400):
        assert len(b.profiles()) <= 2
    assert b.ready()
    (name,) = b.profiles()
    assert [each["namespace"] for each in selectors(b, name)] == ["edit-3"]


def test_an_edit_that_is_taken_back_on_the_way_leaves_the_old_profile(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    arn = b.get()["status"]["profileArn"]
    b.edit(selectors=EDITED)
    b.run(30)
    (new,) = b.profiles().keys() - {"web"}
    b.edit(selectors=[{"namespace": "web"}])
    b.run(5)
    assert b.reason() == "RollingBack"
    assert f"The spec was put back: profile web serves on, and {new}, made for the edit, goes." in b.message()
    b.run(200)
    assert b.ready()
    assert b.get()["status"]["profileArn"] == arn
    assert list(b.profiles()) == ["web"]
    assert b.events()[-3:] == ["Replacing", "Deleting", "RolledBack"]
    assert f"Profile {new} is being deleted: the spec was put back, and web serves on." in b.notes()


@pytest.mark.parametrize("seconds", [5, 30, 65, 100])
@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_a_deletion_in_the_middle_of_a_replacement_leaves_what_the_policy_says(
    b: Bench, policy: str, seconds: float
) -> None:
    b.settle(updatePolicy="Replace", deletionPolicy=policy)
    b.edit(selectors=EDITED)
    b.run(seconds)
    b.delete()
    b.run(400)
    assert b.gone()
    assert len(b.profiles()) == (policy == "Retain")
    assert not any(OWNER_KEY in each["tags"] for each in b.profiles().values())


def test_a_replacement_that_fails_is_made_again_while_the_old_profile_serves(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    b.edit(selectors=EDITED)
    b.run(250)
    (old,) = b.profiles()
    b.manners.fail_create("web", {"code": "AccessDenied", "message": "no way", "resourceIds": []})
    b.edit(selectors=[{"namespace": "again"}])
    b.run(62)
    assert b.reason() == "CreateFailed"
    assert "no way" in b.message()
    for _ in until(b, 400, 5):
        assert "ACTIVE" in [each["status"] for each in b.profiles().values()]
        assert b.profiles().get(old, {}).get("status") == "ACTIVE" or b.profiles()["web"]["status"] == "ACTIVE"
    assert b.ready()
    assert list(b.profiles()) == ["web"]


def test_a_lost_answer_to_the_create_of_a_replacement_orphans_nothing(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    b.manners.fail("CreateFargateProfile", fake.LOST)
    b.manners.visible_after = 40
    b.edit(selectors=EDITED)
    b.run(1)
    b.delete()
    b.run(500)
    assert b.gone()
    assert b.profiles() == {}


def test_at_the_quota_a_replacement_stalls_says_why_and_leaves_the_old_profile(b: Bench) -> None:
    b.manners.max_profiles = 1
    b.settle(updatePolicy="Replace")
    b.edit(selectors=EDITED)
    b.run(5)
    assert b.stalled()
    assert b.reason() == "QuotaExceeded"
    assert "Replace needs room for one profile more; Recreate needs none" in b.message()
    b.edit(updatePolicy="Recreate")
    b.run(300)
    assert b.ready()
    assert selectors(b, "web")[0]["namespace"] == "web-edited"


def test_what_eks_would_refuse_stops_a_replacement_before_anything_is_done(b: Bench) -> None:
    for policy in ("Replace", "Recreate"):
        b.settle(policy.lower(), updatePolicy=policy)
        b.edit(policy.lower(), subnets=[b.world.public_subnet])
        b.run(5)
        assert b.reason(policy.lower()) == "SubnetPublic"
        assert f"Profile {policy.lower()} serves as it is." in b.message(policy.lower())
    assert len(b.profiles()) == 2


def test_the_heir_is_looked_at_once_more_before_the_old_profile_goes(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    b.edit(selectors=EDITED)
    b.run(1)
    (new,) = set(b.profiles()) - {"web"}
    b.manners.fail("DeleteFargateProfile", fake.error("ThrottlingException", 429), times=3)
    for _ in until(b, 62):
        pass
    b.world.delete_profile("demo", new)
    b.run(20)
    assert b.profiles()["web"]["status"] == "ACTIVE", "the old one stays, for the new one has gone"
    b.run(400)
    assert b.ready()


def test_an_edit_is_refused_by_default_and_the_message_names_the_way_out(b: Bench) -> None:
    b.settle()
    b.edit(selectors=EDITED)
    b.run(5)
    assert b.reason() == "ImmutableField"
    assert b.message().endswith("set spec.updatePolicy: Replace to let the operator make the new profile first.")
    b.edit(updatePolicy="Replace")
    b.run(250)
    assert b.ready()


def test_recreate_deletes_first_and_keeps_the_name(b: Bench) -> None:
    b.settle(updatePolicy="Recreate")
    b.edit(selectors=EDITED)
    b.run(10)
    assert b.profiles()["web"]["status"] == "DELETING"
    assert b.message() == "Profile web is DELETING. Then it is made again."
    b.run(200)
    assert b.ready()
    assert not any("had gone" in note for note in b.notes()), "it was deleted for this"
    assert selectors(b, "web")[0]["namespace"] == "web-edited"


def test_deletions_and_replacements_say_how_many_running_pods_are_concerned(b: Bench) -> None:
    b.settle(updatePolicy="Replace")
    pods(b, "web", 2)
    b.edit(selectors=EDITED)
    b.run(30)
    assert b.message().endswith("2 running pods on web.")
    assert b.notes()[-1].endswith("2 running pods on web.")
    b.run(300)
    (name,) = b.profiles()
    pods(b, name, 1)
    b.delete()
    b.run(20)
    assert b.message() == f"Profile {name} is DELETING. 1 running pod on {name}."


def test_pods_are_counted_that_run_in_whatever_namespace_and_no_others(b: Bench) -> None:
    b.settle()
    b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    pods(b, "web", 2)
    pods(b, "web", 1, namespace="shop")
    pods(b, "shop", 5)
    for phase in ("Pending", "Succeeded", "Failed", "Unknown"):
        pods(b, "web", 7, phase)
    b.delete()
    b.run(20)
    assert b.message() == "Profile web is DELETING. 3 running pods on web."


@pytest.mark.parametrize(
    ("certificate", "tokens", "counted"),
    [(TWO, "hub", False), (TWO, "demo", True), (ONE, "hub", True)],
    ids=["another API server", "its tokens are the cluster's", "its certificate is the cluster's"],
)
def test_the_pods_of_a_hub_are_not_counted_for_another_cluster_of_its_name(
    b: Bench, certificate: str, tokens: str, counted: bool
) -> None:
    b.world.set_certificate_authority("demo", bundle(certificate))
    b.settings, b.token = replace(b.settings, authority=bundle(ONE)), token_by(issuer(tokens))
    b.start()
    b.settle(updatePolicy="Replace")
    pods(b, "web", 2)
    b.edit(selectors=EDITED)
    b.run(30)
    assert ("2 running pods on web" in b.message()) is counted
    b.delete()
    b.run(300)
    assert any("running pod" in note for note in b.notes()) is counted


def test_whose_pods_they_are_is_asked_where_they_are_counted_and_once_a_resync(b: Bench) -> None:
    b.settle()
    pods(b, "web", 2)
    b.settle("shop")
    b.run(600)
    b.manners.clear()
    b.run(3600)
    assert b.manners.count("DescribeCluster") <= 6, "a settled world asks once a resync, for the sake of roles"
    b.manners.clear()
    for name in ("web", "shop"):
        b.delete(name)
    b.run(300)
    assert b.gone("web")
    assert b.gone("shop")
    assert b.manners.count("DescribeCluster") <= 1


def test_where_the_cluster_may_not_be_described_a_deletion_goes_on_and_says_nothing_of_pods(b: Bench) -> None:
    b.settle()
    pods(b, "web", 2)
    b.manners.fail("DescribeCluster", fake.error("AccessDeniedException", 403, "no"), times=99)
    b.run(1200)
    b.delete()
    b.run(20)
    assert b.message() == "Profile web is DELETING."


def test_pods_are_not_counted_where_the_controller_may_not_list_them_and_nothing_is_refused(b: Bench) -> None:
    b.settle()
    b.delete()
    b.run(20)
    assert b.message() == "Profile web is DELETING."
    assert all(request.status < 400 for request in b.api.log if "pods" in request.path or "reviews" in request.path)


# Taking over


def foreign(b: Bench, name: str = "web", **tags: str) -> None:
    b.world.add_profile(
        "demo", name, b.world.roles["good"], [{"namespace": name}], list(b.world.private_subnets), tags=tags
    )


def allow(b: Bench, *namespaces: str) -> None:
    b.settings = replace(b.settings, adoption_in=frozenset(namespaces))
    b.start()


@pytest.mark.parametrize("namespaces", [["default", "shop"], ["*"]])
def test_a_profile_without_an_owner_is_taken_over_by_its_owner_tags_alone(b: Bench, namespaces: list[str]) -> None:
    allow(b, *namespaces)
    foreign(b, team="a")
    b.manners.clear()
    b.apply(adoptionPolicy="Adopt", tags={"team": "a"})
    b.run(30)
    assert b.ready()
    assert [call.operation for call in b.manners.writes()] == ["TagResource"]
    assert b.profiles()["web"]["tags"].keys() == {"team", OWNER_KEY, CONTROLLER_KEY}
    assert b.events() == ["Adopted", "Active"]


def test_a_profile_that_differs_is_not_taken_over_and_is_told_field_by_field(b: Bench) -> None:
    allow(b, "*")
    foreign(b)
    b.apply(adoptionPolicy="Adopt", selectors=EDITED)
    b.run(30)
    assert b.stalled()
    assert b.reason() == "AdoptMismatch"
    assert "spec.selectors: EKS has [web], wanted is [web-edited]" in b.message()
    b.edit(selectors=[{"namespace": "web"}])
    b.run(30)
    assert b.ready()


def test_nobody_takes_over_where_the_operator_does_not_allow_it(b: Bench) -> None:
    allow(b, "shop")
    foreign(b)
    b.manners.clear()
    b.apply(adoptionPolicy="Adopt")
    b.run(30)
    assert b.reason() == "NameTaken"
    assert "--allow-adoption-in default" in b.message()
    assert b.manners.writes() == []


def test_a_profile_of_another_object_is_given_back_by_retaining_it(b: Bench) -> None:
    allow(b, "*")
    b.settle(deletionPolicy="Retain")
    b.apply("web", "shop", adoptionPolicy="Adopt")
    b.run(30)
    assert "made for default/web: have that object deleted" in b.message("web", "shop")
    b.delete()
    b.run(60)
    assert b.gone()
    b.run(600)
    assert b.ready("web", "shop")
    assert b.profiles()["web"]["tags"].keys() == {OWNER_KEY, CONTROLLER_KEY}
    assert b.profiles()["web"]["tags"][OWNER_KEY] == "shop/web"


# Overlaps


def test_objects_whose_profiles_can_match_the_same_pod_are_told_once_and_until_it_ends(b: Bench) -> None:
    b.settle("a", selectors=[{"namespace": "shop-*"}])
    b.settle("b", selectors=[{"namespace": "*-web", "labels": {"app": "x"}}])
    b.run(5)
    for name, other in (("a", "b"), ("b", "a")):
        found = b.condition("Overlapping", name)
        assert (found["status"], found["reason"]) == ("True", "SelectorsOverlap")
        assert f"{other} (made for default/{other}): EKS takes the first by name, a" in found["message"]
        assert b.ready(name), "it is information"
        assert b.events("Warning", name) == ["Overlapping"]
    b.run(1500)
    assert b.events("Warning") == ["Overlapping", "Overlapping"]
    b.delete("b")
    b.run(70)
    assert b.gone("b")
    assert not b.condition("Overlapping", "a")


def test_each_of_many_that_overlap_is_told_once_and_all_are_named_in_the_end(b: Bench) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        b.settle(name, selectors=[{"namespace": "shop"}])
    b.run(5)
    assert b.events("Warning") == ["Overlapping"] * 4
    for name in names:
        assert all(
            f"default/{other})" in b.condition("Overlapping", name)["message"] for other in names if other != name
        )


def test_overlaps_that_cannot_be_reported_do_not_keep_waking_each_other(b: Bench) -> None:
    """Else the two would be at it without a rest, and wait for minutes once it can be reported again."""
    b.settle("a", selectors=[{"namespace": "shop"}])
    b.apply("b", selectors=[{"namespace": "shop"}])
    b.run(1)
    assert b.profiles()["b"]["status"] == "CREATING"
    b.api.fail("PATCH", "/status$", 500, times=10**6)
    b.api.clear_log()
    b.run(60)
    assert 0 < len([each for each in b.api.log if each.status == 500]) < 20
    b.api.faults.clear()
    b.run(60)
    assert b.condition("Overlapping", "a")
    assert b.condition("Overlapping", "b")


def test_a_foreign_profile_overlaps_too(b: Bench) -> None:
    foreign(b, "other")
    b.settle(selectors=[{"namespace": "othe?"}])
    assert "other (without an owner)" in b.condition("Overlapping")["message"]


def test_profiles_that_no_pod_can_match_together_do_not_overlap(b: Bench) -> None:
    b.settle("a", selectors=[{"namespace": "shop", "labels": {"app": "x"}}])
    b.settle("b", selectors=[{"namespace": "shop", "labels": {"app": "y"}}])
    b.run(700)
    assert not b.condition("Overlapping", "a")
    assert not b.condition("Overlapping", "b")


def test_the_annotations_of_the_guard_change_nothing_but_what_the_api_server_lets_pass(b: Bench) -> None:
    """tests/e2e/test_guard.py has what they do."""
    b.settle()
    b.run(30)
    b.api.clear_log()
    annotations = {f"fargateprofiles.jicomusic.com/prevent-{what}": "true" for what in ("deletion", "orphan")}
    b.manners.clear()
    b.api.edit("fargateprofiles", "default", "web", {"metadata": {"annotations": annotations}})
    b.run(60)
    assert (b.api.writes(), b.manners.writes()) == ([], [])
    assert b.ready()
    assert not annotations.keys() & b.profiles()["web"]["tags"].keys()


# Looking now


def ask(b: Bench, value: str) -> None:
    b.api.edit("fargateprofiles", "default", "web", {"metadata": {"annotations": {REQUESTED_AT: value}}})


def test_who_asks_for_a_look_gets_a_fresh_one_at_once_and_is_told(b: Bench) -> None:
    b.settle()
    b.world.delete_profile("demo", "web")
    ask(b, "now")
    b.run(1)
    assert b.get()["status"]["lastHandledReconcileAt"] == "now"
    assert b.reason() == "Creating"
    b.run(90)
    b.api.clear_log()
    b.manners.clear()
    b.run(300)
    assert (b.api.writes(), b.manners.calls) == ([], []), "asked once, looked at once"


def test_a_look_that_is_asked_for_reads_the_facts_anew(b: Bench) -> None:
    b.apply(podExecutionRoleArn=b.world.roles["no-trust"])
    b.run(5)
    assert b.reason() == "RoleNotTrusted"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "eks-fargate-pods.amazonaws.com"}}
    name = b.world.roles["no-trust"].rpartition("/")[2]
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    b.world.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=document)
    ask(b, "mended")
    b.run(1)
    assert b.reason() == "Creating"
