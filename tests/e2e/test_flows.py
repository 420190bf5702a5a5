"""What a user does with kubectl, from the README's install on, and what becomes of it in EKS."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.support import AFTER_A_WHILE, MISSING_ROLE, ROLE, ROOT, SUBNETS, Operator, User, ok, profiles, refusals
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.controlplane import ControlPlane
    from tests.fakes.aws import World

FINALIZER = "fargateprofiles.jicomusic.com/finalizer"
OWNER, CONTROLLER = "fargateprofiles.jicomusic.com/owner", "fargateprofiles.jicomusic.com/controller"
CASES = yaml.safe_load((ROOT / "tests/e2e/crd_cases.yaml").read_text())["cases"]
SEED = next(case["text"] for case in CASES if "given twice" in case["name"])


@pytest.fixture(autouse=True)
def nothing_is_forbidden(control_plane: ControlPlane, operator: Operator) -> Iterator[None]:
    """Run each test with an operator that has what rbac.yaml grants, and hold that it asks for nothing else."""
    before = control_plane.audited()
    yield
    assert refusals(control_plane, before) == []


def user_tags(aws: World, name: str = "web") -> dict[str, str]:
    return {key: value for key, value in profiles(aws)[name]["tags"].items() if key not in {OWNER, CONTROLLER}}


# From the object to EKS


def test_an_object_becomes_a_profile_that_kubectl_wait_waits_for(user: User, aws: World) -> None:
    user.apply(tags={"team": "a"})
    said = ok(user.kubectl("wait", "--for=condition=Ready", "fp/web", f"--timeout={SOON}s"))
    assert said == "fargateprofile.jicomusic.com/web condition met\n"
    profile = profiles(aws)["web"]
    uid = ok(user.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"))
    assert profile["status"] == "ACTIVE"
    assert profile["podExecutionRoleArn"] == ROLE
    assert profile["selectors"] == [{"namespace": "web", "labels": {}}]
    assert set(profile["subnets"]) == set(SUBNETS)
    assert profile["tags"] == {"team": "a", OWNER: f"{user.namespace}/web", CONTROLLER: uid}
    obj = user.get() or {}
    assert obj["metadata"]["finalizers"] == [FINALIZER]
    assert obj["status"]["observedGeneration"] == obj["metadata"]["generation"] == 1
    assert obj["status"]["profileArn"] == profile["fargateProfileArn"]


def test_get_shows_what_matters_in_a_line_and_wide_adds_arn_and_message(user: User, aws: World) -> None:
    user.apply()
    user.wait_ready()
    header, row = ok(user.kubectl("get", "fp")).splitlines()
    assert header.split() == ["NAME", "CLUSTER", "PROFILE", "STATUS", "READY", "REASON", "PODS", "DELETED", "AGE"]
    assert row.split()[:-1] == ["web", aws.cluster, "web", "ACTIVE", "True", "Active"]
    assert re.fullmatch(r"\d+s", row.split()[-1])
    header, row = ok(user.kubectl("get", "fp", "-o", "wide")).splitlines()
    assert header.split()[-4:] == ["ARN", "GENERATION", "SEEN", "MESSAGE"]
    arn = profiles(aws)["web"]["fargateProfileArn"]
    assert re.search(rf"{arn} +1 +1 +Profile web is ACTIVE in EKS cluster {aws.cluster}\.", row)
    assert ok(user.kubectl("get", "aws", "-o", "name")) == "fargateprofile.jicomusic.com/web\n"


def test_describe_tells_conditions_and_events_in_words(user: User, aws: World) -> None:
    user.apply()
    user.wait_ready()
    user.wait_events("Created")
    conditions, _, events = ok(user.kubectl("describe", "fp", "web")).partition("Events:")
    assert re.search(r"Conditions:\n(?:.*\n)*?.*Message: +Profile web is ACTIVE in EKS cluster demo\.\n", conditions)
    assert re.search(r"Reason: +Active\n +Status: +True\n +Type: +Ready\n", conditions)
    assert re.search(r"Profile Status: +ACTIVE\n", conditions)
    assert [line.split() for line in events.splitlines()[1:2]] == [["Type", "Reason", "Age", "From", "Message"]]
    rows = [re.split(r"  +", line.strip()) for line in events.splitlines()[3:]]
    assert [(row[0], row[1]) for row in rows] == [("Normal", "Created")]
    assert {row[3] for row in rows} == {"jicomusic.com/fargate-operator"}
    assert all("rofile web" in row[4] for row in rows)
    assert "<unknown>" not in events


def test_ten_objects_applied_together_all_get_ready_without_a_warning(user: User, aws: World) -> None:
    names = [f"app-{number}" for number in range(10)]
    user.apply(*names)
    ok(user.kubectl("wait", "--for=condition=Ready", "fp", "--all", f"--timeout={AFTER_A_WHILE}s"))
    assert {name: profile["status"] for name, profile in profiles(aws).items()} == dict.fromkeys(names, "ACTIVE")
    assert [event for name in names for event in user.events(name, "Warning")] == []
    assert aws.manners.count("CreateFargateProfile") == 10
    assert {call.code for call in aws.manners.writes()} == {""}


def test_the_seeds_object_with_its_duplicate_key_becomes_a_profile(user: User, aws: World) -> None:
    assert ok(user.kubectl("apply", "-f", "-", stdin=SEED)) == "fargateprofile.jicomusic.com/new-profile-7 created\n"
    user.wait_ready("new-profile-7")
    profile = profiles(aws)["new-profile-7"]
    assert profile["selectors"][0]["labels"]["green"] == "white"  # the last one counts, as docs/operate.md says
    assert user_tags(aws, "new-profile-7") == {"red": "black", "green": "blue"}
    assert set(profile["subnets"]) == set(SUBNETS)


def test_an_object_with_a_dot_in_its_name_gives_the_profile_another(user: User, aws: World) -> None:
    user.apply("web.v2", profileName="Web_v2")
    user.wait_ready("web.v2")
    assert list(profiles(aws)) == ["Web_v2"]
    assert profiles(aws)["Web_v2"]["tags"][OWNER] == f"{user.namespace}/web.v2"
    user.delete("web.v2")
    user.wait_gone("web.v2")
    assert profiles(aws) == {}


# Edits


def test_an_edit_of_tags_reaches_the_same_profile_and_foreign_tags_stay(user: User, aws: World) -> None:
    user.apply(tags={"team": "a", "old": "x"})
    user.wait_ready()
    arn = profiles(aws)["web"]["fargateProfileArn"]
    aws.set_tags(aws.cluster, "web", {"cost": "42"})
    user.edit(tags={"team": "b", "old": None, "new": "y"})
    user.wait_ready()
    assert user_tags(aws) == {"team": "b", "new": "y", "cost": "42"}
    assert profiles(aws)["web"]["fargateProfileArn"] == arn
    assert aws.manners.count("CreateFargateProfile") == 1


def test_an_edit_that_eks_cannot_do_is_refused_and_taken_back(user: User, aws: World) -> None:
    user.apply()
    user.wait_ready()
    before = profiles(aws)
    user.edit(selectors=[{"namespace": "other"}])
    user.wait_reason("ImmutableField")
    assert user.condition(kind="Stalled")["status"] == "True"
    assert re.search(r"spec.selectors: EKS has \[?web\]?, wanted is \[?other\]?", user.condition()["message"])
    user.wait_events("Refused", kind="Warning")
    assert "ImmutableField" in ok(user.kubectl("get", "fp", "web"))
    user.edit(selectors=[{"namespace": "web"}])
    user.wait_ready()
    assert profiles(aws) == before
    assert [call.operation for call in aws.manners.writes()] == ["CreateFargateProfile"]


def test_an_edit_while_the_profile_is_being_made_counts_once_it_is_there(user: User, aws: World) -> None:
    aws.manners.creating_seconds = 2
    user.apply(tags={"team": "a"})
    wait_for(lambda: "web" in profiles(aws), SOON, "the profile is being made")
    user.edit(tags={"team": "b"})
    user.wait_ready()
    assert profiles(aws)["web"]["status"] == "ACTIVE"
    assert user_tags(aws) == {"team": "b"}
    assert aws.manners.count("CreateFargateProfile") == 1


@pytest.mark.parametrize(
    ("reason", "field", "wrong", "right"),
    [
        ("SubnetNotFound", "subnets", ["subnet-00000000000000000"], SUBNETS),
        ("RoleNotFound", "podExecutionRoleArn", MISSING_ROLE, ROLE),
    ],
)
def test_what_aws_does_not_have_is_refused_by_name_and_an_edit_mends_it(
    user: User, aws: World, reason: str, field: str, wrong: object, right: object
) -> None:
    first: dict[str, Any] = {field: wrong}
    second: dict[str, Any] = {field: right}
    user.apply(**first)
    user.wait_reason(reason)
    said = user.condition(kind="Stalled")
    assert said["status"] == "True"
    assert f"spec.{field}: {wrong[0] if isinstance(wrong, list) else wrong} does not exist" in said["message"]
    user.wait_events("Refused")
    assert aws.manners.writes() == []
    user.edit(**second)
    user.wait_ready()
    assert list(profiles(aws)) == ["web"]


# Kept right


def test_a_profile_deleted_behind_our_back_comes_back(user: User, aws: World, operator: Operator) -> None:
    operator.environ["RESYNC_SECONDS"] = "2"
    operator.restart()
    user.apply()
    user.wait_ready()
    arn = profiles(aws)["web"]["fargateProfileArn"]
    aws.delete_profile(aws.cluster, "web")
    wait_for(lambda: profiles(aws).get("web", {}).get("status") == "ACTIVE", SOON, "the profile comes back")
    wait_for(
        lambda: (user.get() or {})["status"].get("profileArn") not in {None, arn}, SOON, "status names the new one"
    )
    user.wait_ready()


def test_two_namespaces_mean_one_profile_and_only_the_first_gets_it(user: User, aws: World) -> None:
    other = user.new_namespace("-b")
    user.apply()
    user.wait_ready()
    user.apply(namespace=other)
    user.wait_reason("NameTaken", namespace=other)
    assert f"made for {user.namespace}/web" in user.condition(namespace=other)["message"]
    user.delete(namespace=other)
    user.wait_gone(namespace=other)
    assert profiles(aws)["web"]["status"] == "ACTIVE"
    assert aws.manners.count("DeleteFargateProfile") == 0
    user.apply(namespace=other)
    user.wait_reason("NameTaken", namespace=other)
    user.delete()
    user.wait_gone()
    user.wait_ready(namespace=other)
    assert profiles(aws)["web"]["tags"][OWNER] == f"{other}/web"


def test_a_suspended_object_changes_nothing_in_eks_not_even_by_its_deletion(user: User, aws: World) -> None:
    user.apply(suspend=True)
    user.wait_reason("Suspended")
    assert aws.manners.writes() == []
    user.edit(suspend=False)
    user.wait_ready()
    user.edit(suspend=True, tags={"team": "a"})
    user.wait_reason("Suspended")
    user.delete()
    wait_for(lambda: "deletion waits" in user.condition()["message"], SOON, "the object says that its deletion waits")
    assert user_tags(aws) == {}
    assert profiles(aws)["web"]["status"] == "ACTIVE"
    user.edit(suspend=False)
    user.wait_gone()
    assert profiles(aws) == {}


# The end


def test_kubectl_delete_waits_until_eks_has_deleted_the_profile(user: User, aws: World) -> None:
    user.apply()
    user.wait_ready()
    aws.manners.deleting_seconds = 2
    said = ok(user.kubectl("delete", "fp", "web", f"--timeout={SOON}s"))
    assert said.startswith('fargateprofile.jicomusic.com "web" deleted')
    assert profiles(aws) == {}
    wait_for(lambda: user.events()[-2:] == ["Deleting", "Deleted"], SOON, "the events tell of the deletion")


def test_retain_keeps_the_profile_and_takes_only_our_tags_off(user: User, aws: World) -> None:
    user.apply(tags={"team": "a"})
    user.wait_ready()
    user.edit(deletionPolicy="Retain")
    user.delete()
    user.wait_gone()
    assert profiles(aws)["web"]["status"] == "ACTIVE"
    came_from = {"fargateprofiles.jicomusic.com/retained-from": f"{user.namespace}/web"}
    assert profiles(aws)["web"]["tags"] == {"team": "a"} | came_from
    assert aws.manners.count("DeleteFargateProfile") == 0


def test_an_object_deleted_twice_while_its_profile_is_being_made_takes_it_with_it(user: User, aws: World) -> None:
    aws.manners.creating_seconds = 2
    user.apply()
    wait_for(lambda: "web" in profiles(aws), SOON, "the profile is being made")
    user.delete()
    user.delete()
    user.wait_gone()
    assert profiles(aws) == {}
    assert aws.manners.count("CreateFargateProfile") == aws.manners.count("DeleteFargateProfile") == 1


# From the kopf operator


@pytest.mark.parametrize("finalizer", ["KopfFinalizerMarker", "kopf.zalando.org/KopfFinalizerMarker"])
def test_a_profile_of_the_kopf_operator_is_handed_over_as_it_is(
    user: User, aws: World, operator: Operator, finalizer: str
) -> None:
    assert operator.stop() == 0
    assert "WARNING" not in operator.said()
    manifest = user.manifest(tags={"team": "a"})
    manifest["metadata"]["finalizers"] = [finalizer]
    assert user.kubectl("apply", "-f", "-", stdin=json.dumps(manifest)).returncode == 0  # it warns of the finalizer
    made = aws.add_profile(aws.cluster, "web", ROLE, [{"namespace": "web"}], SUBNETS, {"team": "a"})
    operator.environ["TAKE_OVER_FROM_KOPF_IN"] = user.namespace
    operator.start()
    user.wait_ready()
    profile = profiles(aws)["web"]
    assert profile["fargateProfileArn"] == made["fargateProfileArn"]
    assert profile["tags"][OWNER] == f"{user.namespace}/web"
    assert (user.get() or {})["metadata"]["finalizers"] == [FINALIZER]
    assert {call.operation for call in aws.manners.writes()} == {"TagResource"}
    user.delete()
    user.wait_gone()
    assert profiles(aws) == {}
