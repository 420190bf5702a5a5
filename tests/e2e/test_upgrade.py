"""The upgrade from the kopf operator: what it leaves in a cluster, then the commands of docs/operate.md, literally.

One upgrade on a control plane of its own is recorded step by step; the tests read the record. The CRD was made as
apiextensions v1beta1, which no API server takes any more: what remains of it in etcd is a v1 object that none would
take either (preserveUnknownFields true, a schema that is not structural), so it is written into etcd.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs import ROOT, section
from tests.e2e.controlplane import ControlPlane
from tests.e2e.support import (
    AFTER_A_WHILE,
    IDENTITY,
    ROLE,
    SUBNETS,
    Operator,
    User,
    commands_told,
    environment,
    ok,
    profiles,
    token_of,
    write_kubeconfig,
)
from tests.fakes import aws as fake_aws
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

Object = dict[str, Any]

NAME = "fargateprofiles.jicomusic.com"
OLD_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "subnets": {"type": "array", "pattern": "(subnet-)[0-9a-z]{17}"},
                "podExecutionRoleArn": {"type": "string"},
                "tags": {"type": "object"},
                "selectors": {"type": "array", "maxItems": 5, "properties": {"namespace": {"type": "array"}}},
            },
        }
    },
}
NAMES = {"kind": "FargateProfile", "plural": "fargateprofiles", "singular": "fargateprofile", "shortNames": ["fp"]}
OLD_MANIFEST = {  # as it was applied
    "apiVersion": "apiextensions.k8s.io/v1beta1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": NAME, "annotations": {}},
    "spec": {
        "scope": "Namespaced",
        "group": "jicomusic.com",
        "versions": [{"name": "v1", "served": True, "storage": True}],
        "names": NAMES,
        "validation": {"openAPIV3Schema": OLD_SCHEMA},
    },
}
RBAC = "rbac.authorization.k8s.io"
EKSCTL = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/eksctl-fargate"}
BELONGINGS: list[Object] = [  # what else the original leaves, as far as ours meets it
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "kopf-sa"}},
    {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "kopf-cluster-role"},
        "rules": [{"apiGroups": ["jicomusic.com"], "resources": ["fargateprofiles"], "verbs": ["*"]}],
    },
    {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "kopf-cluster-rolebinding"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "kopf-cluster-role"},
        "subjects": [
            {"kind": "ServiceAccount", "name": name, "namespace": "default"} for name in ("kopf-sa", "fargate")
        ],
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "fargate-operator"},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"application": "fargate-operator"}},
            "template": {
                "metadata": {"labels": {"application": "fargate-operator"}},
                "spec": {
                    "serviceAccountName": "fargate",
                    "containers": [{"name": "fargate-operator", "image": "kopf:v2", "imagePullPolicy": "Always"}],
                },
            },
        },
    },
]
COMMANDS = commands_told("docs/operate.md", "What changes hands:", "The original left")
KOPF, DOMAIN_KOPF = "KopfFinalizerMarker", "kopf.zalando.org/KopfFinalizerMarker"
VALID = {
    "podExecutionRoleArn": ROLE,
    "subnets": SUBNETS,
    "selectors": [{"namespace": "web", "labels": {"foo": "bar"}}],
    "tags": {"red": "black"},
}


@dataclass(frozen=True)
class Old:
    """An object of the original, and what becomes of it."""

    spec: object = field(default_factory=lambda: VALID)
    finalizer: str = KOPF
    deleting: bool = False
    profile: str = ""  # "made": by the original, for this object; "other": somebody's, with other fields
    extra: Object = field(default_factory=dict)
    becomes: str = "Active"  # the reason that it gets, "" for: it goes
    says: str = ""


OBJECTS: dict[str, Old] = {
    "served": Old(profile="made"),
    "served-domain": Old(finalizer=DOMAIN_KOPF, profile="made"),
    "never-made": Old({**VALID, "tags": {}}),
    "no-tags-no-finalizer": Old({key: VALID[key] for key in ("podExecutionRoleArn", "selectors")}, finalizer=""),
    "name-taken": Old(profile="other", becomes="NameTaken", says="without an owner"),
    "dotted.name": Old(becomes="InvalidSpec", says="profileName"),
    "no-spec": Old(None, becomes="InvalidSpec", says="spec"),
    # Where the old schema named a type it did not let null in; elsewhere the new one lets the API server drop it.
    "null-fields": Old({**VALID, "selectors": [{"namespace": "web", "labels": None}], "tags": {"a": None}}),
    "numbers": Old(
        {**VALID, "tags": {"cost-center": 42}, "selectors": [{"namespace": 7}]},
        becomes="InvalidSpec",
        says="quote numbers",
    ),
    "unknown-fields": Old(
        {**VALID, "subnetIds": ["x"]},
        extra={"status": {"kopf": {"progress": {"create_fn": {"retries": 1}}}, "create_fn": "done"}, "data": 1},
    ),
    "going": Old(deleting=True, profile="made", becomes=""),
    "going-domain-no-spec": Old(None, finalizer=DOMAIN_KOPF, deleting=True, becomes=""),
    "going-not-its-own": Old(deleting=True, profile="other", becomes="", says="ProfileLeft"),
}


@dataclass
class Record:
    """What was seen at the steps of the upgrade."""

    commands: dict[str, CompletedProcess[str]] = field(default_factory=dict)
    belongings: dict[str, Object] = field(default_factory=dict)  # by kind and name, after the commands
    again: str = ""  # what kubectl says of crd.yaml at another time
    crd: Object = field(default_factory=dict)
    profiles_before: dict[str, Object] = field(default_factory=dict)
    without_the_flag: dict[str, Object | None] = field(default_factory=dict)
    profiles_without: dict[str, Object] = field(default_factory=dict)
    upgraded: dict[str, Object | None] = field(default_factory=dict)
    events: dict[str, list[str]] = field(default_factory=dict)
    profiles_after: dict[str, Object] = field(default_factory=dict)
    mended: Object | None = None
    left: list[str] = field(default_factory=list)  # objects that would not go
    profiles_left: dict[str, Object] = field(default_factory=dict)
    log: str = ""


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """Carry out the upgrade once."""
    folder = tmp_path_factory.mktemp("upgrade")
    manners = fake_aws.Manners(creating_seconds=0.5, deleting_seconds=0.5, max_profiles=20)
    subnets, role = fake_aws.SAMPLE_SUBNETS, fake_aws.SAMPLE_ROLE
    with (
        ControlPlane(folder / "controlplane") as control_plane,
        fake_aws.over_http(manners, subnet_ids=subnets, role_name=role) as world,
    ):
        user = User(control_plane, "default")
        store_the_old_crd(control_plane)
        store_the_old_objects(user, world)
        store_the_belongings(control_plane)
        seen = Record(profiles_before=profiles(world))
        for command in COMMANDS:
            seen.commands[command] = control_plane.kubectl(*shlex.split(command)[1:])
        seen.again = ok(control_plane.kubectl("apply", "-f", "crd.yaml"))
        seen.crd = json.loads(ok(control_plane.kubectl("get", "crd", NAME, "-o", "json")))
        seen.belongings = belongings(control_plane)
        config = write_kubeconfig(folder / "config", control_plane, token_of(control_plane, IDENTITY))
        operator = Operator(environment(world, KUBECONFIG=str(config)), folder / "operator.log")
        try:
            operator.start()
            too_early(user, world, seen)
            operator.stop()
            operator.environ["TAKE_OVER_FROM_KOPF_IN"] = deployed_flag(seen)
            operator.start()
            upgrade(user, world, seen)
            release(user, world, seen)
        finally:
            operator.kill()
            seen.log = operator.said()
            print(seen.log)
        yield seen


def store_the_old_crd(control_plane: ControlPlane) -> None:
    """Make the CRD as far as the API server lets us, then give it the form that old clusters have in etcd."""
    lax = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": lax}
    spec = {"group": "jicomusic.com", "scope": "Namespaced", "names": NAMES, "versions": [version]}
    manifest = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    ok(control_plane.kubectl("create", "-f", "-", input=json.dumps(manifest | {"metadata": {"name": NAME}})))
    wait_for(lambda: control_plane.kubectl("get", NAME).returncode == 0, SOON, "the old objects are served")
    crd = json.loads(ok(control_plane.kubectl("get", "crd", NAME, "-o", "json")))
    crd["spec"]["preserveUnknownFields"] = True
    crd["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": OLD_SCHEMA}
    applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(OLD_MANIFEST) + "\n"}
    crd["metadata"] = {key: crd["metadata"][key] for key in ("name", "uid", "creationTimestamp", "generation")}
    crd["metadata"]["annotations"] = applied
    pair = {"key": f"/registry/apiextensions.k8s.io/customresourcedefinitions/{NAME}", "value": json.dumps(crd)}
    control_plane.etcd("kv/put", **{name: base64.b64encode(text.encode()).decode() for name, text in pair.items()})
    stored = ("get", "crd", NAME, "-o", "jsonpath={.spec.preserveUnknownFields}")
    wait_for(lambda: control_plane.kubectl(*stored).stdout == "true", SOON, "the old CRD is what is served")
    time.sleep(1)  # until its new handler has replaced the one before


def store_the_belongings(control_plane: ControlPlane) -> None:
    """Apply what came with the original, and make its ServiceAccount as eksctl does."""
    listed = {"apiVersion": "v1", "kind": "List", "items": BELONGINGS}
    ok(control_plane.kubectl("apply", "-f", "-", input=json.dumps(listed)))
    account = {"name": "fargate", "namespace": "default", "annotations": EKSCTL}
    manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}
    ok(control_plane.kubectl("create", "-f", "-", input=json.dumps(manifest)))


def belongings(control_plane: ControlPlane) -> dict[str, Object]:
    kinds = "serviceaccounts,deployments,clusterroles,clusterrolebindings"
    found = json.loads(ok(control_plane.kubectl("get", kinds, "-o", "json")))["items"]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def store_the_old_objects(user: User, world: fake_aws.World) -> None:
    items = []
    for name, old in OBJECTS.items():
        item = {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": name}, **old.extra}
        item["metadata"] |= {"finalizers": [old.finalizer]} if old.finalizer else {}
        items.append(item | ({} if old.spec is None else {"spec": old.spec}))
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    made = user.kubectl("create", "--validate=false", "-f", "-", stdin=manifest)
    assert made.returncode == 0, made.stderr
    user.delete(*(name for name, old in OBJECTS.items() if old.deleting))
    kept = user.get("unknown-fields") or {}
    assert kept["data"] == 1, "the old CRD kept what it did not know"
    assert kept["spec"]["subnetIds"] == ["x"]
    for name, old in OBJECTS.items():
        if old.profile:
            namespace = "web" if old.profile == "made" else "other"
            selectors = [{"namespace": namespace, "labels": {"foo": "bar"}}]
            world.add_profile(world.cluster, name, ROLE, selectors, SUBNETS, {"red": "black"})


HANDED_OVER = ("served", "served-domain", "going")


def too_early(user: User, world: fake_aws.World, seen: Record) -> None:
    """Let the operator run without the flag of the upgrade."""
    for name in HANDED_OVER:
        wait_for(lambda name=name: user.reason(name) == "NameTaken", AFTER_A_WHILE, f"{name} is refused")  # type: ignore[misc]
    seen.without_the_flag = {name: user.get(name) for name in HANDED_OVER}
    seen.profiles_without = profiles(world)


def deployed_flag(seen: Record) -> str:
    """Return the value of the flag in the line of deployment.yaml that step 4 has uncommented."""
    assert "--take-over-from-kopf-in=*" in section("docs/operate.md", "## Upgrading", "## Uninstall")
    (value,) = re.findall(r"^ +# - --take-over-from-kopf-in=(\S+) ", (ROOT / "deployment.yaml").read_text(), re.M)
    return str(value)


def upgrade(user: User, world: fake_aws.World, seen: Record) -> None:
    """Wait until each object has what it shall become, or some time has passed; note how they are then."""
    deadline = time.monotonic() + AFTER_A_WHILE

    def settled(name: str, old: Old) -> bool:
        if old.becomes:
            return user.reason(name) == old.becomes
        return user.gone(name) and old.says in [*user.events(name), ""]

    while not all(settled(name, old) for name, old in OBJECTS.items()) and time.monotonic() < deadline:
        time.sleep(0.2)
    seen.upgraded = {name: user.get(name) for name in OBJECTS}
    seen.events = {name: user.events(name) for name in OBJECTS}
    seen.profiles_after = profiles(world)


def release(user: User, world: fake_aws.World, seen: Record) -> None:
    """Mend one, then delete all; note what remains."""
    ok(user.kubectl("patch", "fp", "no-spec", "--type=merge", "-p", json.dumps({"spec": VALID})))
    user.wait_ready("no-spec")
    seen.mended = user.get("no-spec")
    user.kubectl("delete", "fp", "--all", f"--timeout={AFTER_A_WHILE}s")
    seen.left = [obj["metadata"]["name"] for obj in user.objects()]
    seen.profiles_left = profiles(world)


def test_every_command_of_the_document_does_what_it_says(record: Record) -> None:
    done = record.commands
    assert {command: each.stderr for command, each in done.items() if each.returncode} == {}
    (patch,) = [each for command, each in done.items() if command.startswith("kubectl patch crd ")]
    assert patch.stdout.endswith(f"{NAME} patched\n")
    assert done["kubectl apply -f crd.yaml"].stdout.endswith(f"{NAME} configured\n")
    assert "deployment.apps/fargate-operator configured\n" in done["kubectl apply -f deployment.yaml"].stdout
    warned = {command: each.stderr for command, each in done.items() if each.stderr}
    assert list(warned) == ["kubectl apply -f rbac.yaml"]
    assert warned["kubectl apply -f rbac.yaml"].count("Warning: resource serviceaccounts/fargate is missing") == 1


def test_the_new_definition_is_whole_and_applied_again_it_stays_as_it_is(record: Record) -> None:
    assert record.again == f"customresourcedefinition.apiextensions.k8s.io/{NAME} unchanged\n"
    conditions = {each["type"]: each["status"] for each in record.crd["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}, "no NonStructuralSchema"
    assert not record.crd["spec"].get("preserveUnknownFields")
    assert len(record.crd["spec"]["versions"][0]["additionalPrinterColumns"]) > 1


def test_ours_takes_the_place_of_the_originals_deployment_and_keeps_the_role_of_eksctl(record: Record) -> None:
    pod = record.belongings["Deployment/fargate-operator"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] != "kopf:v2"
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert pod["serviceAccountName"] == "fargate"
    assert record.belongings["ServiceAccount/fargate"]["metadata"]["annotations"].items() >= EKSCTL.items()


def test_nothing_is_left_of_the_originals_permissions(record: Record) -> None:
    assert "ClusterRole/fargate-operator" in record.belongings
    assert [name for name in record.belongings if "kopf" in name] == []


@pytest.mark.parametrize("name", [name for name, old in OBJECTS.items() if old.becomes])
def test_an_object_of_the_original_is_served_or_refused_with_a_reason(record: Record, name: str) -> None:
    obj, old = record.upgraded[name], OBJECTS[name]
    assert obj
    status = obj["status"]
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert (ready["reason"], ready["status"]) == (old.becomes, str(old.becomes == "Active"))
    assert old.says in ready["message"]
    assert status["observedGeneration"] == obj["metadata"]["generation"]
    assert "kopf" not in status


@pytest.mark.parametrize("name", [name for name, old in OBJECTS.items() if not old.becomes])
def test_an_object_that_was_being_deleted_goes(record: Record, name: str) -> None:
    assert record.upgraded[name] is None
    assert OBJECTS[name].says in [*record.events[name], ""]


def test_the_originals_profiles_are_taken_over_without_being_made_again(record: Record) -> None:
    for name in ("served", "served-domain"):
        before, after = record.profiles_before[name], record.profiles_after[name]
        assert after["fargateProfileArn"] == before["fargateProfileArn"]
        assert after["tags"]["fargateprofiles.jicomusic.com/owner"] == f"default/{name}"


def test_without_the_flag_of_the_upgrade_nothing_is_taken_over_and_nothing_is_lost(record: Record) -> None:
    for name in HANDED_OVER:
        obj = record.without_the_flag[name]
        assert obj
        assert obj["metadata"]["finalizers"] == [OBJECTS[name].finalizer]
        assert "--take-over-from-kopf-in=default" in obj["status"]["conditions"][0]["message"]
        assert record.profiles_without[name] == record.profiles_before[name]


def test_profiles_of_others_are_never_touched(record: Record) -> None:
    for name in ("name-taken", "going-not-its-own"):
        assert record.profiles_after[name] == record.profiles_left[name] == record.profiles_before[name]


def test_a_profile_goes_with_the_object_that_was_being_deleted(record: Record) -> None:
    assert "going" in record.profiles_before
    assert "going" not in record.profiles_after


def test_an_object_that_was_refused_can_be_corrected(record: Record) -> None:
    assert record.mended
    assert record.mended["metadata"]["finalizers"] == ["fargateprofiles.jicomusic.com/finalizer"]


def test_in_the_end_every_object_can_go_and_takes_its_profile_with_it(record: Record) -> None:
    assert record.left == []
    assert sorted(record.profiles_left) == ["going-not-its-own", "name-taken"]
    assert "Traceback" not in record.log
