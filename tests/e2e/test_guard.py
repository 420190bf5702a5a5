"""guard.yaml on a real kube-apiserver of its own: who does what with kubectl, and what the API server says to it.

Most acts need no operator: an object has the finalizer and the status that one would have written. The stories below
have a real one.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs import ROOT, section
from tests.e2e.controlplane import ControlPlane
from tests.e2e.support import AFTER_A_WHILE, IDENTITY, MISSING_ROLE, ROLE, SUBNETS, User, ok, profiles, token_of
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.e2e.conftest import NewOperator
    from tests.e2e.support import Operator
    from tests.fakes.aws import World

Object = dict[str, Any]

CRD = "fargateprofiles.jicomusic.com"
FINALIZER = "fargateprofiles.jicomusic.com/finalizer"
KOPF = "kopf.zalando.org/KopfFinalizerMarker"
DELETION, ORPHAN = "fargateprofiles.jicomusic.com/prevent-deletion", "fargateprofiles.jicomusic.com/prevent-orphan"
NAMESPACES = "system:serviceaccount:kube-system:namespace-controller"
OTHER_ROLE = MISSING_ROLE
OTHER_SELECTORS = [{"namespace": "other"}]
TWO_SELECTORS = [{"namespace": "a"}, {"namespace": "b", "labels": {"x": "y"}}]
STATUS = {"clusterName": "demo", "profileName": "web-1", "profileStatus": "ACTIVE"}
REFUSED = {**STATUS, "conditions": [{"type": "Stalled", "status": "True", "reason": "ImmutableField"}]}
POLICIES_SECONDS = 60.0  # until the API server goes by what was installed; half a minute after its start


# --- The world ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run a control plane of its own: the guard holds for a whole cluster, and other tests take finalizers off."""
    with ControlPlane(tmp_path_factory.mktemp("guarded")) as running:
        yield running


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """Return the control plane with the guard in force."""
    for file in ("rbac.yaml", "crd.yaml"):
        ok(control_plane.kubectl("apply", "-f", file))
    wait_for(lambda: control_plane.kubectl("get", "fp").returncode == 0, SOON, "FargateProfiles are served")
    ok(control_plane.kubectl("apply", "--validate=strict", "-f", "guard.yaml"))
    wait_in_force(control_plane)
    return control_plane


@pytest.fixture(scope="module")
def token(installed: ControlPlane) -> str:
    """Return a token of rbac.yaml's ServiceAccount."""
    return token_of(installed, IDENTITY)


@pytest.fixture
def user(installed: ControlPlane) -> Iterator[User]:
    """Return a user with a namespace; what they left is gone after the test."""
    made = User(installed, f"guard-{secrets.token_hex(4)}")
    made.new_namespace()
    yield made
    release(made)
    made.clean()


def release(user: User) -> None:
    """Lift the guard of all that a user has."""
    for namespace in user.namespaces:
        user.kubectl("annotate", "--overwrite", "fp", "--all", f"{ORPHAN}=false", f"{DELETION}-", namespace=namespace)


def wait_in_force(plane: ControlPlane, operator: str = IDENTITY) -> None:
    """Wait until each policy holds, the one of finalizers with this operator."""
    prober = User(plane, f"guard-{secrets.token_hex(4)}")
    prober.new_namespace()
    make(prober, annotations={DELETION: "true"})
    make(prober, "warned", spec={"updatePolicy": "Replace"})
    edit = patch("spec", {"podExecutionRoleArn": OTHER_ROLE}).replace("fp web", "fp warned")
    wait_said(prober, "delete fp web", "may not be deleted")
    wait_said(prober, "delete fp warned", "takes the Fargate profile")
    wait_said(prober, edit, "by this edit")
    wait_said(prober, f"delete crd {CRD}", "may not be deleted")
    wait_said(prober, f"delete namespace {prober.namespace}", "may not be deleted")
    wait_said(prober, f"delete namespace {prober.namespace}", "takes FargateProfile warned")
    wait_said(prober, patch("metadata", {"finalizers": None}), f"only {operator}")
    release(prober)
    prober.clean()


def wait_said(user: User, command: str, words: str) -> None:
    """Wait until a command, only tried, meets these words."""
    args = (*shlex.split(command), "--dry-run=server")
    wait_for(lambda: words in user.kubectl(*args).stderr, POLICIES_SECONDS, f"{command} meets: {words}")


def make(user: User, name: str = "web", *, spec: Object | None = None, **more: Any) -> None:
    """Make an object as an operator has left it, with finalizer and profile, but for what `more` says."""
    obj = user.manifest(name, **(spec or {}))
    obj["metadata"]["finalizers"] = more.get("finalizers", [FINALIZER])
    ok(user.kubectl("create", "-f", "-", stdin=json.dumps(obj)))
    status = json.dumps({"status": more.get("status", STATUS)})
    ok(user.kubectl("patch", "fp", name, "--subresource=status", "--type=merge", "-p", status))
    if more.get("going"):
        user.kubectl("delete", "fp", name, "--wait=false")
    if annotations := more.get("annotations"):
        ok(user.kubectl("annotate", "fp", name, *(f"{key}={value}" for key, value in annotations.items())))


def patch(top: str, change: Object, *flags: str) -> str:
    """Return the command that merges a change into one part of the object."""
    return shlex.join(["patch", "fp", "web", "--type=merge", "-p", json.dumps({top: change}), *flags])


# --- Who does what, and what comes of it -------------------------------------------------------------------------

ALLOWED, WARNED, DENIED = "allowed", "warned", "denied"


@dataclass(frozen=True)
class Act:
    """A command, what it meets, and what comes of it, with words that are said then; {ns} is the namespace."""

    command: str
    verdict: str
    words: str = ""
    who: str = ""
    spec: Object = field(default_factory=dict)
    has: Object = field(default_factory=dict)  # annotations, status, finalizers, going

    def carry_out(self, user: User, *flags: str) -> CompletedProcess[str]:
        who = [f"--as={self.who}"] if self.who else []
        args = (*shlex.split(self.command.replace("{ns}", user.namespace)), *who, *flags)
        inside = " fp " in self.command
        return user.kubectl(*args) if inside else user.control_plane.kubectl(*args)


KEPT = {"annotations": {DELETION: "true"}}
ORPHANED = {"annotations": {ORPHAN: "false"}}
TERMS = [{"tags": {"fargate": "yes"}}, {"id": SUBNETS[0]}]
BY_TERMS: dict[str, Any] = {"subnets": None, "subnetSelectorTerms": TERMS}
REPLACE, RECREATE = {"updatePolicy": "Replace"}, {"updatePolicy": "Recreate"}
DELETE, DELETE_NAMESPACE = "delete fp web --wait=false", "delete namespace {ns} --wait=false"
DELETE_ALL = "delete --raw /apis/jicomusic.com/v1/namespaces/{ns}/fargateprofiles"
DELETE_CRDS = f"delete --raw /apis/apiextensions.k8s.io/v1/customresourcedefinitions?fieldSelector=metadata.name={CRD}"
EDIT_ROLE = patch("spec", {"podExecutionRoleArn": OTHER_ROLE})
EDIT_SELECTORS = patch("spec", {"selectors": OTHER_SELECTORS})
EDIT_SUBNETS = patch("spec", {"subnets": SUBNETS[:1]})
STRIP = patch("metadata", {"finalizers": None})
GOES, REPLACED = (
    "takes the Fargate profile web-1 of the EKS cluster demo with it",
    "the EKS cluster demo goes for another",
)
STAYS, KEEPS = (
    "FargateProfile web in namespace {ns} may not be deleted",
    "may not be deleted while it has FargateProfile web",
)
GUARDED = f"only {IDENTITY} may take the finalizer {FINALIZER} off"

ACTS: dict[str, Act] = {
    # Deletion
    "an object whose profile goes is deleted": Act(DELETE, WARNED, GOES),
    "all objects are deleted": Act("delete fp --all --wait=false", WARNED, GOES),
    "a collection is deleted": Act(DELETE_ALL, WARNED, GOES),
    "an object is deleted that keeps its profile": Act(DELETE, ALLOWED, spec={"deletionPolicy": "Retain"}),
    "an object is deleted that has no profile": Act(DELETE, ALLOWED, has={"status": {"clusterName": "demo"}}),
    "an object is deleted that is going": Act(DELETE, ALLOWED, has={"going": True}),
    "an object is deleted that says it stays": Act(DELETE, DENIED, STAYS, has=KEPT),
    "an object is deleted that says it stays but is going": Act(DELETE, ALLOWED, has={**KEPT, "going": True}),
    "it is deleted by the namespace controller": Act(DELETE, DENIED, STAYS, NAMESPACES, has=KEPT),
    "it is deleted with all others": Act("delete fp --all --wait=false", DENIED, STAYS, has=KEPT),
    "it is deleted with a collection": Act(DELETE_ALL, DENIED, STAYS, has=KEPT),
    "it is deleted and would keep its profile": Act(DELETE, DENIED, STAYS, spec={"deletionPolicy": "Retain"}, has=KEPT),
    "it is deleted and has no profile": Act(DELETE, DENIED, STAYS, has={**KEPT, "status": {}}),
    "an object is deleted that says it may go": Act(DELETE, WARNED, GOES, has={"annotations": {DELETION: "false"}}),
    "the CRD is deleted": Act(f"delete crd {CRD} --wait=false", DENIED, f"{CRD} may not be deleted"),
    "the CRD is deleted with a collection": Act(DELETE_CRDS, DENIED, f"{CRD} may not be deleted"),
    "a namespace is deleted": Act(DELETE_NAMESPACE, WARNED, "takes FargateProfile web with it"),
    "a namespace is deleted whose object says it stays": Act(DELETE_NAMESPACE, DENIED, KEEPS, has=KEPT),
    "a namespace is deleted whose object says it stays but is going": Act(
        DELETE_NAMESPACE, ALLOWED, has={**KEPT, "going": True}
    ),
    "a namespace is deleted whose object keeps its profile": Act(
        DELETE_NAMESPACE, ALLOWED, spec={"deletionPolicy": "Retain"}
    ),
    "a namespace is deleted whose object is going": Act(DELETE_NAMESPACE, ALLOWED, has={"going": True}),
    "a namespace is deleted whose object has no profile": Act(DELETE_NAMESPACE, ALLOWED, has={"status": {}}),
    # An edit
    "the role is edited under Replace": Act(EDIT_ROLE, WARNED, REPLACED, spec=REPLACE),
    "the role is edited under Recreate": Act(EDIT_ROLE, WARNED, REPLACED, spec=RECREATE),
    "the role is edited under Refuse": Act(EDIT_ROLE, ALLOWED),
    "the role is edited of an object without a profile": Act(EDIT_ROLE, ALLOWED, spec=REPLACE, has={"status": {}}),
    "the role is edited of an object that is going": Act(EDIT_ROLE, ALLOWED, spec=REPLACE, has={"going": True}),
    "the selectors are edited": Act(EDIT_SELECTORS, WARNED, REPLACED, spec=REPLACE),
    "the selectors are put into another order": Act(
        patch("spec", {"selectors": TWO_SELECTORS[::-1]}), ALLOWED, spec={**REPLACE, "selectors": TWO_SELECTORS}
    ),
    "a selector gets labels without any": Act(
        patch("spec", {"selectors": [{"namespace": "web", "labels": {}}]}), ALLOWED, spec=REPLACE
    ),
    "a selector gets a label": Act(
        patch("spec", {"selectors": [{"namespace": "web", "labels": {"a": "b"}}]}), WARNED, REPLACED, spec=REPLACE
    ),
    "the subnets are edited": Act(EDIT_SUBNETS, WARNED, REPLACED, spec=RECREATE),
    "the subnets are put into another order": Act(patch("spec", {"subnets": SUBNETS[::-1]}), ALLOWED, spec=REPLACE),
    "the subnets are taken out": Act(patch("spec", {"subnets": None}), ALLOWED, spec=REPLACE),
    "the subnets are given": Act(
        patch("spec", {"subnets": SUBNETS}), WARNED, REPLACED, spec={**REPLACE, "subnets": None}
    ),
    "the role is given by its name": Act(
        patch("spec", {"podExecutionRoleArn": None, "podExecutionRoleName": ROLE.rpartition("/")[2]}),
        ALLOWED, spec=REPLACE,
    ),
    "another role is given by its name": Act(
        patch("spec", {"podExecutionRoleArn": None, "podExecutionRoleName": "another"}),
        WARNED, REPLACED, spec=REPLACE,
    ),
    "the terms are edited": Act(
        patch("spec", {"subnetSelectorTerms": TERMS[:1]}),
        WARNED, "goes for another one unless the terms match its subnets", spec={**REPLACE, **BY_TERMS},
    ),
    "the terms are put into another order": Act(
        patch("spec", {"subnetSelectorTerms": TERMS[::-1]}), ALLOWED, spec={**REPLACE, **BY_TERMS}
    ),
    "an edit and Replace come together": Act(
        patch("spec", {**REPLACE, "selectors": OTHER_SELECTORS}), WARNED, REPLACED
    ),
    "Replace is set where an edit was refused": Act(patch("spec", REPLACE), WARNED, REPLACED, has={"status": REFUSED}),
    "Replace is set where nothing was refused": Act(patch("spec", REPLACE), ALLOWED),
    "the tags are edited": Act(patch("spec", {"tags": {"a": "b"}}), ALLOWED, spec=REPLACE),
    "the object is annotated": Act(f"annotate fp web {DELETION}=true", ALLOWED, spec=REPLACE),
    "the status is written": Act(
        patch("status", {"profileStatus": "DELETING"}, "--subresource=status"), ALLOWED, spec=REPLACE
    ),
    # The finalizer
    "the finalizer is taken off": Act(STRIP, DENIED, GUARDED),
    "it is taken off an object that is going": Act(STRIP, DENIED, GUARDED, has={"going": True}),
    "it is taken off an object that keeps its profile": Act(STRIP, DENIED, GUARDED, spec={"deletionPolicy": "Retain"}),
    "it is taken off beside another one": Act(
        patch("metadata", {"finalizers": ["example.com/wait"]}), DENIED, GUARDED,
        has={"finalizers": [FINALIZER, "example.com/wait"]},
    ),
    "another one is taken off": Act(
        patch("metadata", {"finalizers": [FINALIZER]}), ALLOWED, has={"finalizers": [FINALIZER, "example.com/wait"]}
    ),
    "it is taken off by the operator": Act(STRIP, ALLOWED, "", IDENTITY),
    "it is taken off by the operator while it is going": Act(STRIP, ALLOWED, "", IDENTITY, has={"going": True}),
    "it is taken off an object that says it may": Act(STRIP, ALLOWED, has=ORPHANED),
    "it is taken off and the object says in the same write that it may": Act(
        patch("metadata", {"finalizers": None, "annotations": {ORPHAN: "false"}}), DENIED, GUARDED
    ),
    "kopf's finalizer is taken off": Act(STRIP, ALLOWED, has={"finalizers": [KOPF]}),
    "kopf's finalizer is replaced by the operator": Act(
        patch("metadata", {"finalizers": [FINALIZER]}), ALLOWED, "", IDENTITY, has={"finalizers": [KOPF]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_an_act_is_allowed_warned_of_or_denied_and_tried_alike(user: User, act: Act) -> None:
    make(user, spec=act.spec, **act.has)
    if "--raw" not in act.command:
        check(user, act, act.carry_out(user, "--dry-run=server"))
    check(user, act, act.carry_out(user))


def check(user: User, act: Act, result: CompletedProcess[str]) -> None:
    said, words = result.stderr, act.words.replace("{ns}", user.namespace)
    assert (result.returncode == 0) is (act.verdict != DENIED), said
    assert words in said
    assert ("Warning:" in said) is (act.verdict == WARNED), said
    assert said or act.verdict == ALLOWED
    assert "expression" not in said, "a message could not be made"


MANIFESTS = {
    "replace": "replace -f -",
    "apply": "apply -f -",
    "apply by the server": "apply --server-side --field-manager=ops -f -",
}


@pytest.mark.parametrize("command", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_without_the_finalizer_does_not_take_it_off(user: User, command: str) -> None:
    obj = user.manifest()
    obj["metadata"]["finalizers"] = [FINALIZER]
    args = shlex.split(command)
    first = args if args[0] == "apply" else ["create", "-f", "-"]
    ok(user.kubectl(*first, stdin=json.dumps(obj)))
    del obj["metadata"]["finalizers"]
    result = user.kubectl(*args, stdin=json.dumps(obj))
    assert result.returncode == 1
    assert GUARDED in result.stderr
    assert (user.get() or {})["metadata"]["finalizers"] == [FINALIZER]


def test_a_write_of_the_status_does_not_take_the_finalizer_off(user: User) -> None:
    """The API server keeps all but the status then, before the guard is asked."""
    make(user)
    user.kubectl(*shlex.split(STRIP), "--subresource=status")
    assert (user.get() or {})["metadata"]["finalizers"] == [FINALIZER]


def test_a_diff_warns_of_an_edit_that_costs_the_pods(user: User) -> None:
    make(user, spec=REPLACE)
    edited = user.manifest(**REPLACE, podExecutionRoleArn=OTHER_ROLE)
    edited["metadata"]["finalizers"] = [FINALIZER]
    result = user.kubectl("diff", "-f", "-", stdin=json.dumps(edited))
    assert result.returncode == 1, "there is a difference"
    assert REPLACED in result.stderr


def test_a_warning_stands_in_the_audit_log(control_plane: ControlPlane, user: User) -> None:
    make(user)
    start = control_plane.audited()
    user.kubectl(*shlex.split(DELETE))
    found = [event["annotations"] for event in control_plane.audit(start) if event["verb"] == "delete"]
    assert any(GOES in each.get("validation.policy.admission.k8s.io/validation_failure", "") for each in found)


def test_an_edit_of_more_subnets_than_can_be_compared_in_any_order_is_warned_of(user: User) -> None:
    many = [f"subnet-{number:08x}" for number in range(1000)]
    make(user, spec={**REPLACE, "subnets": many})
    assert REPLACED in user.kubectl(*shlex.split(patch("spec", {"subnets": many[1:]}))).stderr
    make(user, "most", spec={**REPLACE, "subnets": many[:500]})
    reordered = json.dumps({"spec": {"subnets": many[:500][::-1]}})
    ok(user.kubectl("patch", "fp", "most", "--type=merge", "-p", reordered))


def test_the_longest_selectors_can_be_compared(user: User) -> None:
    many = [
        {"namespace": f"n-{number}", "labels": {f"k{each}": "v" * 20 for each in range(9)}} for number in range(100)
    ]
    make(user, spec={**REPLACE, "selectors": many})
    ok(user.kubectl(*shlex.split(patch("spec", {"selectors": many[::-1]}))))
    assert REPLACED in user.kubectl(*shlex.split(patch("spec", {"selectors": many[:99]}))).stderr


# --- The command that a message names lifts it -------------------------------------------------------------------

LIFTED = {
    name: ACTS[name]
    for name in (
        "an object whose profile goes is deleted",
        "an object is deleted that says it stays",
        "the CRD is deleted",
        "a namespace is deleted",
        "a namespace is deleted whose object says it stays",
        "the role is edited under Replace",
        "the finalizer is taken off",
    )
}


@pytest.mark.parametrize("act", LIFTED.values(), ids=LIFTED)
def test_the_command_in_a_message_lifts_what_it_says(control_plane: ControlPlane, user: User, act: Act) -> None:
    make(user, spec=act.spec, **act.has)
    said = act.carry_out(user, "--dry-run=server").stderr.strip()
    (command,) = re.findall(r"run kubectl (.*?)(?: before)?$", said)
    ok(control_plane.kubectl(*shlex.split(command)))
    again = act.carry_out(user, "--dry-run=server")
    assert again.returncode == 0, again.stderr
    assert act.words.replace("{ns}", user.namespace) not in again.stderr
    if CRD in act.command:
        ok(control_plane.kubectl("annotate", "crd", CRD, f"{DELETION}-"))


def test_an_object_that_stays_holds_up_a_namespace_that_is_going_anyway_until_it_may_go(user: User) -> None:
    make(user)
    user.kubectl(*shlex.split(DELETE_NAMESPACE.replace("{ns}", user.namespace)))
    ok(user.kubectl("annotate", "fp", "web", f"{DELETION}=true"))
    empty = Act(DELETE_ALL, DENIED, STAYS, NAMESPACES)
    check(user, empty, empty.carry_out(user))
    stuck = section("docs/operate.md", "### Namespace stuck", "\n#")
    (command,) = re.findall(r"^kubectl (annotate .*)$", stuck, re.M)
    ok(user.control_plane.kubectl(*shlex.split(command.replace("NAMESPACE", user.namespace).replace("NAME", "web"))))
    assert empty.carry_out(user).returncode == 0
    assert (user.get() or {})["metadata"]["deletionTimestamp"]


# --- With an operator --------------------------------------------------------------------------------------------


def test_an_operator_makes_changes_and_deletes_profiles_as_without_the_guard(
    user: User, aws: World, operator: Operator
) -> None:
    user.apply()
    user.wait_ready()
    user.edit(tags={"a": "b"})
    user.wait_ready()
    assert GOES.partition(" web-1")[0] in user.kubectl(*shlex.split(DELETE)).stderr
    user.wait_gone()
    assert profiles(aws) == {}
    assert "WriteRefused" not in operator.said()


def test_an_operator_replaces_the_finalizer_of_kopf(user: User, new_operator: NewOperator) -> None:
    make(user, finalizers=[KOPF], status={})
    new_operator(TAKE_OVER_FROM_KOPF_IN="*").start()
    user.wait_ready()
    assert (user.get() or {})["metadata"]["finalizers"] == [FINALIZER]


def test_objects_of_an_operator_that_is_gone_are_released_as_the_documents_say(
    user: User, aws: World, operator: Operator
) -> None:
    user.apply()
    user.wait_ready()
    operator.kill()
    user.kubectl(*shlex.split(DELETE))
    told = section("docs/operate.md", "### When the operator went first", "\naws ")
    commands = re.findall(r"^kubectl (.*)$", told, re.M)
    for command in commands:
        named = command.replace("NAMESPACE", user.namespace).replace("NAME", "web")
        ok(user.control_plane.kubectl(*shlex.split(named)))
    assert len(commands) == 2
    assert user.gone()
    assert list(profiles(aws)) == ["web"]


@pytest.fixture
def moved(installed: ControlPlane, user: User, tmp_path: Path) -> Iterator[str]:
    """Return the ServiceAccount of an operator that kustomization.yaml has moved to the user's namespace."""
    for path in ROOT.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    text = (ROOT / "kustomization.yaml").read_text().replace("# - guard.yaml", "- guard.yaml")
    text = text.replace("namespace: default # EDIT", f"namespace: {user.namespace} # EDIT")
    (tmp_path / "kustomization.yaml").write_text(text)
    ok(installed.kubectl("apply", "-k", str(tmp_path)))
    account = f"system:serviceaccount:{user.namespace}:fargate"
    yield account
    for file in ("rbac.yaml", "guard.yaml"):  # what belongs to no namespace speaks of the default one again
        ok(installed.kubectl("apply", "-f", file))
    wait_in_force(installed)


def test_the_kustomization_tells_the_guard_where_the_operator_is(
    user: User, aws: World, moved: str, new_operator: NewOperator
) -> None:
    wait_in_force(user.control_plane, moved)
    new_operator(token=token_of(user.control_plane, moved)).start()
    user.apply()
    user.wait_ready()
    user.kubectl(*shlex.split(DELETE))
    user.wait_gone()
    assert profiles(aws) == {}


def test_an_operator_that_the_guard_does_not_know_says_so_in_the_object(
    user: User, aws: World, moved: str, new_operator: NewOperator
) -> None:
    ok(user.control_plane.kubectl("apply", "-f", "guard.yaml"))
    wait_in_force(user.control_plane)
    new_operator(token=token_of(user.control_plane, moved)).start()
    user.apply()
    user.wait_ready()
    user.kubectl(*shlex.split(DELETE))
    user.wait_reason("WriteRefused", seconds=AFTER_A_WHILE)
    assert GUARDED in user.condition()["message"]
    assert profiles(aws) == {}
    ok(user.kubectl("annotate", "fp", "web", f"{ORPHAN}=false"))
    user.wait_gone(seconds=AFTER_A_WHILE)


# --- What is installed, and in which order -----------------------------------------------------------------------


def test_the_guard_is_taken_without_a_warning_and_applied_again_changes_nothing(installed: ControlPlane) -> None:
    said = ok(installed.kubectl("apply", "--validate=strict", "-f", "guard.yaml"))
    assert {line.partition(" ")[2] for line in said.splitlines()} == {"unchanged"}
    assert ok(installed.kubectl("diff", "-f", "guard.yaml")) == ""


def deletable(plane: ControlPlane) -> bool:
    """Say whether a namespace that has nothing to do with profiles can be deleted."""
    name = f"unrelated-{secrets.token_hex(4)}"
    ok(plane.kubectl("create", "namespace", name))
    return plane.kubectl("delete", "namespace", name, "--wait=false").returncode == 0


def wait_settled(plane: ControlPlane) -> None:
    """Wait until the API server goes by the guard where that can be told without objects: by the CRD."""
    told = ("delete", "crd", CRD, "--dry-run=server")
    wait_for(lambda: "may not be deleted" in plane.kubectl(*told).stderr, POLICIES_SECONDS, "the guard is in force")


def test_namespaces_without_objects_can_be_deleted_before_the_crd_is_there_and_after_it_has_gone(
    tmp_path: Path,
) -> None:
    with ControlPlane(tmp_path / "bare") as plane:
        ok(plane.kubectl("apply", "-f", "guard.yaml"))
        assert deletable(plane)
        ok(plane.kubectl("apply", "-f", "crd.yaml"))
        wait_settled(plane)
        assert deletable(plane)
        ok(plane.kubectl("annotate", "crd", CRD, f"{DELETION}=false"))
        ok(plane.kubectl("delete", "crd", CRD))
        assert deletable(plane)
        plane.stop_apiserver()
        plane.start_apiserver()
        for _ in range(3):
            assert deletable(plane)
        ok(plane.kubectl("apply", "-f", "crd.yaml"))
        wait_settled(plane)
        assert deletable(plane)


def test_the_documented_uninstall_takes_the_guard_and_then_all_else_away(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "going") as plane:
        for file in ("rbac.yaml", "crd.yaml", "deployment.yaml"):
            ok(plane.kubectl("apply", "-f", file))
        ok(plane.kubectl("apply", "-f", "guard.yaml"))
        wait_settled(plane)
        told = section("docs/operate.md", "## Uninstall", "### When the operator went first")
        for command in re.findall(r"`kubectl ([^`]*)`", told):
            ok(plane.kubectl(*shlex.split(command)))
        kinds = "crd,deployment,clusterrole,validatingadmissionpolicy,validatingadmissionpolicybinding"
        assert "fargate" not in ok(plane.kubectl("get", kinds, "--all-namespaces"))
