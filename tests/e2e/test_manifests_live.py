"""deployment.yaml and crd.yaml as a real API server takes them, the Pod Security standard `restricted` enforced."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.support import ROOT, User, ok

if TYPE_CHECKING:
    from tests.e2e.controlplane import ControlPlane

DEPLOYMENT: dict[str, Any] = next(yaml.safe_load_all((ROOT / "deployment.yaml").read_text()))


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


@pytest.mark.parametrize("file", ["rbac.yaml", "crd.yaml", "deployment.yaml", "sample-crd.yaml"])
def test_every_manifest_is_taken_as_it_is_without_a_warning(installed: ControlPlane, file: str) -> None:
    ok(installed.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", str(ROOT / file)))


def test_explain_says_what_each_field_of_spec_means(installed: ControlPlane) -> None:
    told = ok(installed.kubectl("explain", "fp.spec"))
    fields = ["clusterName", "deletionPolicy", "podExecutionRoleArn", "profileName", "selectors", "subnets", "suspend"]
    assert all(f"\n  {field}\t" in told for field in fields)
    assert "The ARN of the IAM role" in told
    assert "EKS can change nothing but the tags" in told
