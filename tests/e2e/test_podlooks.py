"""What an object tells of its pods, on a real API server: pods are made by hand, as EKS and the kubelet leave them."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support import User, ok, refusals
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.fakes.aws import World

REQUESTED_AT = "fargateprofiles.jicomusic.com/reconcile-requested-at"
PROFILE = {"eks.amazonaws.com/fargate-profile": "web"}
TAKEN = {"schedulerName": "fargate-scheduler"}


@pytest.fixture
def may_list(user: User) -> Iterator[None]:
    """Grant the optional rule of rbac.yaml; make what kube-controller-manager would have made."""
    ok(user.kubectl("create", "serviceaccount", "default"))
    name = f"pods-{user.namespace}"
    ok(user.control_plane.kubectl("create", "clusterrole", name, "--verb=list", "--resource=pods"))
    binding = ("create", "clusterrolebinding", name, f"--clusterrole={name}", "--serviceaccount=default:fargate")
    ok(user.control_plane.kubectl(*binding))
    yield
    user.control_plane.kubectl("delete", "clusterrolebinding,clusterrole", name)


def make(user: User, name: str, status: dict[str, Any], labels: dict[str, str] | None = None, **spec: Any) -> None:
    fields = {"containers": [{"name": "main", "image": "none"}], "automountServiceAccountToken": False} | spec
    meta = {"name": name, "labels": labels or {}, "annotations": {"CapacityProvisioned": "0.25vCPU 0.5GB"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": fields}
    ok(user.kubectl("create", "-f", "-", stdin=json.dumps(pod)))
    ok(user.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})))


def test_an_object_tells_of_its_pods_those_that_eks_has_missed_and_those_that_fargate_refuses(
    control_plane: ControlPlane, user: User, aws: World, new_operator: NewOperator, may_list: None
) -> None:
    aws.set_certificate_authority(aws.cluster, base64.b64encode(control_plane.ca.read_bytes()).decode())
    new_operator().start()
    before = control_plane.audited()
    refused = "Pod not supported on Fargate: invalid SecurityContext fields: Privileged"
    said = {"type": "PodScheduled", "status": "False", "reason": "POD_UNSUPPORTED_ON_FARGATE", "message": refused}
    make(user, "early", {"phase": "Pending"})
    make(user, "one", {"phase": "Running"}, PROFILE, nodeName="fargate-1", **TAKEN)
    make(user, "two", {"phase": "Pending", "conditions": [said]}, PROFILE, **TAKEN)
    make(user, "three", {"phase": "Succeeded"}, PROFILE, nodeName="fargate-3", **TAKEN)
    user.apply(selectors=[{"namespace": user.namespace}])
    user.wait_ready()
    ok(user.kubectl("annotate", "fp", "web", f"{REQUESTED_AT}=now"))
    wait_for(lambda: user.condition(kind="PodsStranded"), SOON, "the pods are told of")
    told = (user.get() or {})["status"]["pods"]
    assert told == {
        "running": 1, "starting": 0, "waiting": 1, "finished": 1, "stranded": 1, "vcpu": 0.5, "memoryGiB": 1,
        "summary": "2, 1 stranded",
    }  # fmt: skip
    assert "2, 1 stranded" in ok(user.kubectl("get", "fp", "web"))
    assert "1 pod (early)" in user.condition(kind="PodsStranded")["message"]
    assert user.condition(kind="PodsBlocked")["reason"] == "Privileged"
    shown = re.findall(r"^ +Type: +(\w+)$", ok(user.kubectl("describe", "fp", "web")), re.MULTILINE)
    assert shown == ["Ready", "PodsBlocked", "PodsStranded"]
    assert user.condition()["status"] == "True"
    user.wait_events("Created", "PodsBlocked", "PodsStranded")
    assert refusals(control_plane, before) == []
