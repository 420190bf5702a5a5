"""rbac.yaml: what it grants is enough for all that users do, and nothing of it is too much."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.contract.client import UNSEEN
from tests.e2e.support import (
    AFTER_A_WHILE,
    IDENTITY,
    MISSING_ROLE,
    ROLE,
    ROOT,
    Operator,
    User,
    ok,
    profiles,
    refusals,
    token_of,
)
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.fakes.aws import World

DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "rbac.yaml").read_text()))
BOUND = {document["roleRef"]["name"] for document in DOCUMENTS if "roleRef" in document}
ROLES = [document for document in DOCUMENTS if "rules" in document and document["metadata"]["name"] in BOUND]
Grant = tuple[str, str, str]  # (API group, resource, verb)
GRANTS: list[Grant] = [
    (group, resource, verb)
    for role in ROLES
    for rule in role["rules"]
    for group in rule["apiGroups"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
]
OWNER, CONTROLLER = "fargateprofiles.jicomusic.com/owner", "fargateprofiles.jicomusic.com/controller"


def test_a_full_flow_meets_no_refusal_of_the_api_server(
    control_plane: ControlPlane, user: User, aws: World, operator: Operator
) -> None:
    before = control_plane.audited()
    user.apply(tags={"team": "a"})
    user.wait_ready()
    user.edit(tags={"team": "b"})
    user.wait_ready()
    user.apply("refused", podExecutionRoleArn=MISSING_ROLE)
    user.wait_reason("RoleNotFound", "refused")
    user.apply("kept", deletionPolicy="Retain")
    user.wait_ready("kept")
    aws.add_profile(aws.cluster, "orphan", ROLE, [{"namespace": "x"}], tags=tags_of_ours(user, "nobody"))
    operator.restart()  # its first look at the cluster asks who owns the orphan
    wait_for(lambda: "orphan cluster=" in operator.said(), SOON, "the orphan is named")
    user.delete("web", "refused")
    user.wait_gone("web", "refused")
    ok(control_plane.kubectl("delete", "namespace", user.namespace, "--wait=false"))  # it waits for the object in it
    user.delete("kept")
    user.wait_gone("kept")
    wait_for(lambda: "action=Retained" in operator.said(), SOON, "the object is let go")
    assert "event lost" not in operator.said(), "that the namespace takes no event any more is no trouble"
    ours = [event for event in control_plane.audit(before) if event["user"]["username"] == IDENTITY]
    asked = {(event["verb"], event["objectRef"].get("resource")) for event in ours}
    assert {("get", "fargateprofiles"), ("create", "events"), ("watch", "fargateprofiles")} <= asked
    assert refusals(control_plane, before) == []


def tags_of_ours(user: User, name: str) -> dict[str, str]:
    uid = ok(user.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"))
    return {OWNER: f"{user.namespace}/{name}", CONTROLLER: uid}


# --- Each verb is needed -----------------------------------------------------------------------------------------


@dataclass
class Stage:
    """An operator whose ServiceAccount has copies of rbac.yaml's roles, less one verb."""

    user: User
    aws: World
    operator: Operator

    def wait_for(self, happened: Callable[[], object], what: str) -> None:
        wait_for(happened, SOON, what)

    def start(self, until: str = "listed objects=") -> None:
        self.operator.start(until)


# What fails without a verb, each ending when that has been seen; then the verb is granted, and `mended` has to hold.
Check = Callable[[Stage], Callable[[], object]]


def without_list_no_object_is_known(stage: Stage) -> Callable[[], object]:
    stage.user.apply()
    stage.start("GET /apis/jicomusic.com/v1/fargateprofiles: 403")
    assert (stage.user.get() or {})["status"] == UNSEEN
    return stage.user.ready


def without_watch_an_object_that_comes_later_is_not_noticed(stage: Stage) -> Callable[[], object]:
    stage.user.apply("early")
    stage.start()
    stage.user.wait_ready("early")
    stage.user.apply()
    stage.wait_for(lambda: stage.operator.said().count("fargateprofiles: 403") > 1, "the watch is refused again")
    assert (stage.user.get() or {})["status"] == UNSEEN
    return stage.user.ready


def without_get_a_profile_without_an_object_is_not_told_from_one_with(stage: Stage) -> Callable[[], object]:
    stage.aws.add_profile(
        stage.aws.cluster, "orphan", ROLE, [{"namespace": "x"}], tags=tags_of_ours(stage.user, "none")
    )
    stage.operator.environ["RESYNC_SECONDS"] = "2"
    stage.start()
    stage.wait_for(lambda: stage.aws.manners.count("ListFargateProfiles") > 1, "the cluster is looked at twice")
    assert "orphan cluster=" not in stage.operator.said()
    return lambda: f"orphan cluster={stage.aws.cluster} profile=orphan" in stage.operator.said()


def without_patch_no_finalizer_guards_the_object_and_so_nothing_is_made(stage: Stage) -> Callable[[], object]:
    stage.start()
    stage.user.apply()
    stage.wait_for(lambda: "fargateprofiles/web: 403" in stage.operator.said(), "the finalizer is refused")
    assert "finalizers" not in (stage.user.get() or {})["metadata"]
    assert stage.aws.manners.writes() == []
    return stage.user.ready


def without_patch_of_status_nothing_is_reported_and_nothing_made(stage: Stage) -> Callable[[], object]:
    stage.start()
    stage.user.apply()
    stage.wait_for(lambda: "fargateprofiles/web/status: 403" in stage.operator.said(), "the status is refused")
    assert (stage.user.get() or {})["status"] == UNSEEN
    assert stage.aws.manners.writes() == []
    return stage.user.ready


def without_create_of_events_nobody_is_told_of_transitions(stage: Stage) -> Callable[[], object]:
    stage.start()
    stage.user.apply()
    stage.user.wait_ready()
    assert "event lost" in stage.operator.said()
    assert stage.user.events() == []

    def told() -> object:
        stage.user.edit(suspend=not (stage.user.get() or {})["spec"]["suspend"])
        return stage.user.events()

    return told


def without_get_of_kube_system_the_controller_knows_not_who_it_is(stage: Stage) -> Callable[[], object]:
    stage.user.apply()
    stage.start("namespaces/kube-system: 403")
    assert (stage.user.get() or {})["status"] == UNSEEN
    assert profiles(stage.aws) == {}
    return stage.user.ready


def without_the_lease_nobody_acts(stage: Stage) -> Callable[[], object]:
    stage.operator.environ |= {"NO_LEADER_ELECT": "false", "LEASE_NAMESPACE": stage.user.namespace}
    stage.user.apply()
    stage.start("leases/fargate-operator: 403")
    assert (stage.user.get() or {})["status"] == UNSEEN
    assert profiles(stage.aws) == {}
    return stage.user.ready


NEEDED: dict[Grant, Check] = {
    ("jicomusic.com", "fargateprofiles", "get"): without_get_a_profile_without_an_object_is_not_told_from_one_with,
    ("jicomusic.com", "fargateprofiles", "list"): without_list_no_object_is_known,
    ("jicomusic.com", "fargateprofiles", "watch"): without_watch_an_object_that_comes_later_is_not_noticed,
    ("jicomusic.com", "fargateprofiles", "patch"): without_patch_no_finalizer_guards_the_object_and_so_nothing_is_made,
    ("jicomusic.com", "fargateprofiles/status", "patch"): without_patch_of_status_nothing_is_reported_and_nothing_made,
    ("events.k8s.io", "events", "create"): without_create_of_events_nobody_is_told_of_transitions,
    ("", "namespaces", "get"): without_get_of_kube_system_the_controller_knows_not_who_it_is,
    **{("coordination.k8s.io", "leases", verb): without_the_lease_nobody_acts for verb in ("get", "create", "update")},
}


def test_every_verb_that_is_granted_has_a_test_that_needs_it() -> None:
    assert sorted(NEEDED) == sorted(GRANTS)


@pytest.fixture
def grant(user: User) -> Iterator[Callable[..., str]]:
    """Give a ServiceAccount of its own what rbac.yaml grants, less one verb; return the account."""
    name = user.namespace

    def give(less: Grant | None) -> str:
        items = copy.deepcopy([each for each in DOCUMENTS if each in ROLES or "rules" not in each])
        for item in items:
            cluster_wide = item["kind"].startswith("Cluster")
            item["metadata"] = {"name": name} | ({} if cluster_wide else {"namespace": name})
            item.get("roleRef", {})["name"] = name
            for subject in item.get("subjects", []):
                subject |= {"name": name, "namespace": name}
            for rule in item.get("rules", []):
                if less and less[0] in rule["apiGroups"] and less[1] in rule["resources"]:
                    rule["verbs"].remove(less[2])
            if "rules" in item:
                item["rules"] = [rule for rule in item["rules"] if rule["verbs"]]
        ok(user.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})))
        return f"{name}:{name}"

    yield give
    user.kubectl("delete", "clusterrole,clusterrolebinding", name)


@pytest.mark.parametrize("needed", NEEDED, ids=[f"{check.__name__}-{verb}" for (*_, verb), check in NEEDED.items()])
def test_without_one_verb_something_fails_and_with_it_that_is_mended(
    user: User, aws: World, new_operator: NewOperator, grant: Callable[..., str], needed: Grant
) -> None:
    operator = new_operator(token=token_of(user.control_plane, grant(needed)))
    mended = NEEDED[needed](Stage(user, aws, operator))
    grant(None)
    wait_for(mended, AFTER_A_WHILE, f"it is mended by {needed}")
