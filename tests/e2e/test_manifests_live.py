"""The flat manifests and kustomization.yaml as a real API server takes them, the standard `restricted` enforced."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.support import ROOT, User, ok
from tests.unit.test_manifests import account_of_who_scrapes, network_policy, with_metrics_auth
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.controlplane import ControlPlane

Object = dict[str, Any]

FLAT = ["rbac.yaml", "crd.yaml", "deployment.yaml", "sample-crd.yaml", "monitoring.yaml"]
DEPLOYMENT: Object = next(yaml.safe_load_all((ROOT / "deployment.yaml").read_text()))


@pytest.fixture
def restricted(user: User) -> str:
    """Return a namespace that takes only pods of the standard `restricted`, and warns of templates of others."""
    label = "pod-security.kubernetes.io"
    return user.new_namespace("-restricted", **{f"{label}/enforce": "restricted", f"{label}/warn": "restricted"})


def pod() -> dict[str, Any]:
    """Return the pod that deployment.yaml asks for."""
    template = json.loads(json.dumps(DEPLOYMENT["spec"]["template"]))
    metadata = {**template["metadata"], "name": "fargate-operator"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def test_the_pod_is_admitted_where_only_restricted_ones_are(user: User, restricted: str) -> None:
    said = ok(user.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod()), namespace=restricted))
    assert said == "pod/fargate-operator created (server dry run)\n"


@pytest.mark.parametrize("missing", ["allowPrivilegeEscalation", "capabilities"])
def test_the_namespace_would_refuse_the_pod_without_its_security_context(
    user: User, restricted: str, missing: str
) -> None:
    less = pod()
    del less["spec"]["containers"][0]["securityContext"][missing]
    result = user.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(less), namespace=restricted)
    assert result.returncode == 1
    assert 'violates PodSecurity "restricted' in result.stderr


def test_the_deployment_is_taken_without_a_warning(user: User, restricted: str) -> None:
    moved = (ROOT / "deployment.yaml").read_text().replace("namespace: default", f"namespace: {restricted}")
    assert restricted in moved
    said = ok(user.kubectl("apply", "--validate=strict", "-f", "-", stdin=moved, namespace=restricted))
    budget = "poddisruptionbudget.policy/fargate-operator"
    assert said == f"deployment.apps/fargate-operator created\n{budget} created\n"


def test_the_optional_network_policy_is_taken_without_a_warning(user: User) -> None:
    policy = network_policy()
    del policy["metadata"]["namespace"]
    said = ok(user.kubectl("create", "--validate=strict", "-f", "-", stdin=json.dumps(policy)))
    assert said == "networkpolicy.networking.k8s.io/fargate-operator created\n"


def test_the_optional_priority_is_let_in_any_namespace_where_no_quota_forbids_it(user: User, restricted: str) -> None:
    chosen = pod()
    chosen["spec"]["priorityClassName"] = "system-cluster-critical"
    said = ok(user.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(chosen), namespace=restricted))
    assert said == "pod/fargate-operator created (server dry run)\n"


def test_what_metrics_auth_takes_of_the_comments_is_taken_without_a_warning(user: User, restricted: str) -> None:
    deployment, _ = with_metrics_auth("deployment.yaml")
    for each in (deployment, *account_of_who_scrapes()):
        each["metadata"].pop("namespace", None)
        create = ("create", "--validate=strict", "--dry-run=server", "-f", "-")
        said = ok(user.kubectl(*create, stdin=json.dumps(each), namespace=restricted))
        assert said.endswith(" created (server dry run)\n")


@pytest.fixture(scope="module")
def everything(installed: ControlPlane) -> Iterator[ControlPlane]:
    """Return the control plane where the kinds of the Prometheus operator are known too, and take away what came."""
    stand_ins = json.dumps(listed([any_kind("PodMonitor"), any_kind("PrometheusRule")]))
    ok(installed.kubectl("apply", "-f", "-", input=stand_ins))
    kinds = ("podmonitors", "prometheusrules")
    wait_for(lambda: all(installed.kubectl("get", each).returncode == 0 for each in kinds), SOON, "they are served")
    yield installed
    for file in ("sample-crd.yaml", "monitoring.yaml"):
        ok(installed.kubectl("delete", "--ignore-not-found", "-f", file))
    ok(installed.kubectl("delete", "-f", "-", input=stand_ins))


def any_kind(kind: str) -> Object:
    """Return a definition of a kind of the Prometheus operator's that takes everything."""
    plural, group = f"{kind.lower()}s", "monitoring.coreos.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"kind": kind, "plural": plural},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**head, "metadata": {"name": f"{plural}.{group}"}, "spec": spec}


def listed(items: list[Object]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def said_of(lines: str) -> set[str]:
    """Return what kubectl says of each object, without their names.

    But for a budget: a patch of its selector replaces the whole (the patch strategy of policy/v1), so kubectl sends one
    each time and says `configured`, though nothing changes by it.
    """
    said = [line.partition(" ") for line in lines.splitlines()]
    return {what for name, _, what in said if not name.startswith("poddisruptionbudget")}


def versions(plane: ControlPlane, *what: str) -> dict[str, tuple[str, int]]:
    """Return how the objects of manifests stand: their resourceVersion and generation, by name."""
    found = json.loads(ok(plane.kubectl("get", "-o", "json", *what)))
    objects = [each["metadata"] | {"kind": each["kind"]} for each in found.get("items", [found])]
    return {f"{each['kind']}/{each['name']}": (each["resourceVersion"], each.get("generation", 0)) for each in objects}


@pytest.mark.parametrize("file", FLAT)
def test_every_manifest_is_taken_as_it_is_without_a_warning(everything: ControlPlane, file: str) -> None:
    ok(everything.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", file))


@pytest.mark.parametrize("file", FLAT)
def test_a_manifest_that_is_applied_again_changes_nothing(everything: ControlPlane, file: str) -> None:
    """Else GitOps tools show it as out of sync for ever."""
    ok(everything.kubectl("apply", "-f", file))
    before = versions(everything, "-f", file)
    assert said_of(ok(everything.kubectl("apply", "-f", file))) == {"unchanged"}
    assert said_of(ok(everything.kubectl("apply", "--dry-run=client", "-f", file))) == {"unchanged (dry run)"}
    assert ok(everything.kubectl("diff", "-f", file)) == ""
    assert versions(everything, "-f", file) == before


@pytest.mark.parametrize("file", FLAT)
def test_a_manifest_that_is_applied_again_by_the_server_changes_nothing(everything: ControlPlane, file: str) -> None:
    ok(everything.kubectl("apply", "--server-side", "-f", file))
    before = versions(everything, "-f", file)
    assert said_of(ok(everything.kubectl("apply", "--server-side", "-f", file))) == {"serverside-applied"}
    assert versions(everything, "-f", file) == before


# kustomization.yaml

MARKED = ("default", "fargate-operator", "my-cluster", "us-east-1")  # namespace, image, cluster, region


def kustomized(plane: ControlPlane, folder: str) -> dict[tuple[str, str], Object]:
    """Return what a kustomization asks for, by kind and name."""
    built = yaml.safe_load_all(ok(plane.kubectl("kustomize", folder)))
    return {(each["kind"], each["metadata"]["name"]): each for each in built}


@pytest.fixture
def edited(everything: ControlPlane, user: User, tmp_path: Path) -> Iterator[Path]:
    """Return a copy of the manifests, each of the four lines edited, for the user's namespace."""
    for path in ROOT.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    lines = (ROOT / "kustomization.yaml").read_text().splitlines()
    marked = [number for number, line in enumerate(lines) if number > 1 and "# EDIT" in line]
    wanted = [user.namespace, "registry.example.com/ops/fargate-operator", "shop", "eu-west-1"]
    for number, old, new in zip(marked, MARKED, wanted, strict=True):
        lines[number] = re.sub(rf"([:=] ?){old} # EDIT", rf"\g<1>{new} # EDIT", lines[number])
        assert new in lines[number]
    (tmp_path / "kustomization.yaml").write_text("\n".join(lines).replace("# - monitoring", "- monitoring"))
    yield tmp_path
    for file in ("rbac.yaml", "deployment.yaml"):  # what belongs to no namespace speaks of the default one again
        ok(everything.kubectl("apply", "-f", file))


def test_the_kustomization_as_it_is_asks_for_what_the_manifests_ask_for(everything: ControlPlane) -> None:
    flat = [each for file in FLAT[:3] for each in yaml.safe_load_all((ROOT / file).read_text())]
    assert kustomized(everything, ".") == {(each["kind"], each["metadata"]["name"]): each for each in flat}
    for file in FLAT[:3]:
        ok(everything.kubectl("apply", "-f", file))
    assert said_of(ok(everything.kubectl("apply", "-k", "."))) == {"unchanged"}


def test_one_line_each_moves_namespace_image_cluster_and_region(everything: ControlPlane, edited: Path) -> None:
    ok(everything.kubectl("apply", "-k", str(edited)))
    before = versions(everything, "-k", str(edited))
    assert said_of(ok(everything.kubectl("apply", "-k", str(edited)))) == {"unchanged"}
    assert versions(everything, "-k", str(edited)) == before
    tag = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
    deployment = kustomized(everything, str(edited))["Deployment", "fargate-operator"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example.com/ops/fargate-operator:{tag}"
    assert container["args"] == ["--cluster-name=shop", "--region=eu-west-1"]


def test_the_namespace_takes_along_all_that_has_one_and_every_subject(
    everything: ControlPlane, edited: Path, user: User
) -> None:
    built = kustomized(everything, str(edited))
    clusterwide = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
    for (kind, name), obj in built.items():
        namespace = obj["metadata"].get("namespace")
        assert namespace == (None if kind in clusterwide else user.namespace), f"{kind} {name}"
        assert {each["namespace"] for each in obj.get("subjects", [])} <= {user.namespace}, f"{kind} {name}"
    kinds = {kind for kind, _ in built} - clusterwide
    assert kinds >= {"ServiceAccount", "Role", "RoleBinding", "Deployment", "PodDisruptionBudget", "PodMonitor"}


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        ("patch", "fargateprofiles"),
        ("patch", "fargateprofiles --subresource=status"),
        ("update", "leases.coordination.k8s.io/fargate-operator"),
    ],
)
def test_the_operator_may_work_in_the_namespace_that_it_was_moved_to(
    everything: ControlPlane, edited: Path, user: User, verb: str, what: str
) -> None:
    ok(everything.kubectl("apply", "-k", str(edited)))
    for namespace, answer in ((user.namespace, "yes"), ("default", "no")):
        account = f"--as=system:serviceaccount:{namespace}:fargate"
        asked = everything.kubectl("auth", "can-i", verb, *what.split(), account, "-n", user.namespace)
        assert asked.stdout.strip() == answer, f"{namespace}: {asked.stderr}"


def test_explain_says_what_each_field_of_spec_means(installed: ControlPlane) -> None:
    told = ok(installed.kubectl("explain", "fp.spec"))
    fields = ["clusterName", "deletionPolicy", "podExecutionRoleArn", "profileName", "selectors", "subnets", "suspend"]
    assert all(f"\n  {field}\t" in told for field in fields)
    assert "The ARN of the IAM role" in told
    assert "EKS can change nothing but the tags" in told
