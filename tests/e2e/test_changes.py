"""What a user does with kubectl to profiles that are there: edit, take over, have looked at; and what overlaps."""

from __future__ import annotations

import base64
import json
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support import ROLE, SUBNETS, Operator, User, ok, profiles, refusals
from tests.unit.test_clusters import ONE, bundle
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.fakes.aws import World

OWNER = "fargateprofiles.jicomusic.com/owner"
REQUESTED_AT = "fargateprofiles.jicomusic.com/reconcile-requested-at"
EDITED: list[dict[str, Any]] = [{"namespace": "web-edited"}]


@pytest.fixture(autouse=True)
def nothing_is_forbidden(control_plane: ControlPlane) -> Iterator[None]:
    before = control_plane.audited()
    yield
    assert refusals(control_plane, before) == []


def owned(aws: World, owner: str) -> list[dict[str, Any]]:
    return [each for each in profiles(aws).values() if each["tags"].get(OWNER) == owner]


def selects(profile: dict[str, Any]) -> str:
    return str(profile["selectors"][0]["namespace"])


# Edits


def test_under_replace_eks_is_never_seen_without_an_active_profile_of_the_object(
    user: User, aws: World, operator: Operator
) -> None:
    user.apply(updatePolicy="Replace")
    user.wait_ready()
    seen: list[int] = []
    ended = threading.Event()

    def probe() -> None:
        deadline = time.monotonic() + 2 * SOON
        while not ended.wait(0.1) and time.monotonic() < deadline:
            own = owned(aws, f"{user.namespace}/web")
            seen.append(sum(each["status"] == "ACTIVE" for each in own))

    watching = threading.Thread(target=probe)
    watching.start()
    try:
        user.edit(selectors=EDITED)
        user.wait_ready()
    finally:
        ended.set()
        watching.join(SOON)
    assert len(seen) > 5
    assert min(seen) == 1, "at every look an ACTIVE profile of the object"
    (profile,) = profiles(aws).values()
    assert selects(profile) == "web-edited"
    assert profile["fargateProfileName"].startswith("web-")
    user.wait_events("Created", "Replacing", "Deleting", "Replaced")
    assert profile["fargateProfileName"] in ok(user.kubectl("get", "fp", "web"))


def test_recreate_deletes_the_old_profile_first(user: User, aws: World, operator: Operator) -> None:
    user.apply(updatePolicy="Recreate")
    user.wait_ready()
    user.edit(selectors=EDITED)
    user.wait_ready()
    assert {name: selects(each) for name, each in profiles(aws).items()} == {"web": "web-edited"}
    operations = [call.operation for call in aws.manners.writes()]
    assert operations == ["CreateFargateProfile", "DeleteFargateProfile", "CreateFargateProfile"]


def test_a_refused_edit_is_carried_out_once_the_policy_allows_it(user: User, aws: World, operator: Operator) -> None:
    user.apply()
    user.wait_ready()
    user.edit(selectors=EDITED)
    user.wait_reason("ImmutableField")
    assert "set spec.updatePolicy: Replace" in ok(user.kubectl("get", "fp", "web", "-o", "wide"))
    user.edit(updatePolicy="Replace")
    user.wait_ready()
    assert [selects(each) for each in profiles(aws).values()] == ["web-edited"]


@pytest.mark.parametrize("same", [True, False])
def test_running_pods_are_counted_only_where_the_operator_may_list_them_and_they_are_of_that_cluster(
    user: User, aws: World, new_operator: NewOperator, same: bool
) -> None:
    """Nobody runs pods here: one is made by hand, and its status written as a kubelet would."""
    authority = base64.b64encode(user.control_plane.ca.read_bytes()).decode()
    aws.set_certificate_authority(aws.cluster, authority if same else bundle(ONE))
    new_operator().start()
    label = {"eks.amazonaws.com/fargate-profile": "web"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "labels": label},
        "spec": {"containers": [{"name": "main", "image": "none"}], "automountServiceAccountToken": False},
    }
    ok(user.kubectl("create", "serviceaccount", "default"))  # kube-controller-manager would have made it
    ok(user.kubectl("create", "-f", "-", stdin=json.dumps(pod)))
    status = '{"status":{"phase":"Running"}}'
    ok(user.kubectl("patch", "pod", "one", "--subresource=status", "--type=merge", "-p", status))
    user.apply()
    user.wait_ready()
    user.delete()
    user.wait_gone()
    name = f"pods-{user.namespace}"
    ok(user.control_plane.kubectl("create", "clusterrole", name, "--verb=list", "--resource=pods"))
    binding = ("create", "clusterrolebinding", name, f"--clusterrole={name}", "--serviceaccount=default:fargate")
    ok(user.control_plane.kubectl(*binding))
    try:
        user.apply()
        user.wait_ready()
        user.delete()
        user.wait_gone()
    finally:
        user.control_plane.kubectl("delete", "clusterrolebinding,clusterrole", name)
    assert [note.endswith("1 running pod on web.") for note in user.notes("Deleting")] == [False, same]


# Taking over


def foreign(aws: World, name: str = "web") -> None:
    aws.add_profile(aws.cluster, name, ROLE, [{"namespace": "web"}], SUBNETS, tags={"team": "a"})


def test_a_profile_is_taken_over_in_the_namespaces_that_the_operator_allows(
    user: User, aws: World, new_operator: NewOperator
) -> None:
    other = user.new_namespace("-other")
    new_operator(ALLOW_ADOPTION_IN=user.namespace).start()
    foreign(aws)
    before = len(aws.manners.writes())
    user.apply(namespace=other, adoptionPolicy="Adopt", tags={"team": "a"})
    way_out = f"--allow-adoption-in {other}"
    wait_for(lambda: way_out in user.condition(namespace=other).get("message", ""), SOON, "the way out is told")
    assert user.reason(namespace=other) == "NameTaken"
    user.apply(adoptionPolicy="Adopt", tags={"team": "a"}, selectors=EDITED)
    user.wait_reason("AdoptMismatch")
    user.edit(selectors=[{"namespace": "web"}])
    user.wait_ready()
    # Refused creates do not count: what the first object's view did not show yet was asked for and answered with 409.
    done = [call.operation for call in aws.manners.writes()[before:] if not call.code]
    assert done == ["TagResource"]
    wait_for(lambda: "Adopted" in user.events(), SOON, "an event tells of the adoption")


# Overlaps


def test_objects_that_select_the_same_pods_are_told_which_profile_eks_takes(
    user: User, aws: World, operator: Operator
) -> None:
    user.apply("first", selectors=[{"namespace": "shop-*"}])
    user.wait_ready("first")
    user.apply("second", selectors=[{"namespace": "*-web"}])
    user.wait_ready("second")
    for name in ("first", "second"):
        wait_for(partial(user.condition, name, "Overlapping"), SOON, f"{name} is told")
        assert "EKS takes the first by name, first" in ok(user.kubectl("describe", "fp", name))
        user.wait_events("Overlapping", name=name, kind="Warning")
    user.delete("first")
    user.wait_gone("first")
    wait_for(lambda: not user.condition("second", "Overlapping"), SOON, "it is over")


# Looking now


def test_who_asks_gets_a_look_at_once_and_is_told(user: User, aws: World, operator: Operator) -> None:
    user.apply()
    user.wait_ready()
    aws.delete_profile(aws.cluster, "web")
    ok(user.kubectl("annotate", "--overwrite", "fp", "web", f"{REQUESTED_AT}=now"))
    path = "jsonpath={.status.lastHandledReconcileAt}"
    wait_for(lambda: ok(user.kubectl("get", "fp", "web", "-o", path)) == "now", SOON, "it has been looked at")
    user.wait_ready()
    assert "web" in profiles(aws)
