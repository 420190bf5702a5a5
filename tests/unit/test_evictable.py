"""Which pods may be evicted by what they are themselves; test_evictions.py has the rest."""

from __future__ import annotations

from typing import Any

import pytest

from evictable import untouchable
from kube import Object
from podlooks import Owner

CONTAINERS = [{"name": "app", "image": "app:1"}]


def pod(**change: Any) -> Object:
    spec = {"containers": CONTAINERS, "schedulerName": "default-scheduler"} | change.pop("spec", {})
    return {"metadata": {"name": "p", "namespace": "shop", **change}, "spec": spec, "status": {"phase": "Pending"}}


RS = Owner("apps/v1", "ReplicaSet", "api", "uid-1")
CASES: dict[str, tuple[Owner | None, Object, str]] = {
    "a ReplicaSet's": (RS, pod(), ""),
    "a StatefulSet's": (Owner("apps/v1", "StatefulSet", "db", "u"), pod(), ""),
    "a ReplicationController's": (Owner("v1", "ReplicationController", "old", "u"), pod(), ""),
    "a bare one": (None, pod(), "makes them anew"),
    "a Job's": (Owner("batch/v1", "Job", "once", "u"), pod(), "makes them anew"),
    "a DaemonSet's": (Owner("apps/v1", "DaemonSet", "all", "u"), pod(), "makes them anew"),
    "a CloneSet's of OpenKruise": (Owner("apps.kruise.io/v1alpha1", "CloneSet", "c", "u"), pod(), "makes them anew"),
    "a ReplicaSet's of another group": (Owner("extensions/v1beta1", "ReplicaSet", "a", "u"), pod(), "makes them anew"),
    "of an owner of no name": (Owner("apps/v1", "ReplicaSet", "../../secrets/a", "u"), pod(), "makes them anew"),
    "not to be disrupted": (RS, pod(annotations={"karpenter.sh/do-not-disrupt": "true"}), "karpenter.sh"),
    "not safe to evict": (
        RS, pod(annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}), "safe-to-evict",
    ),
    "safe to evict": (RS, pod(annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}), ""),
    "with odd annotations": (RS, pod(annotations=["x"]), "can't be read"),
    "on the host's network": (RS, pod(spec={"hostNetwork": True}), "Fargate can't run them"),
    "of a node pool of Karpenter": (RS, pod(spec={"nodeSelector": {"karpenter.sh/nodepool": "a"}}), "Fargate can't"),
    "with a GPU": (
        RS, pod(spec={"containers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": 1}}}]}), "Fargate can't",
    ),
    "with a claim": (
        RS, pod(spec={"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "d"}}]}), "not known whether",
    ),
    "with a runtime class": (RS, pod(spec={"runtimeClassName": "gvisor"}), "not known whether"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_only_pods_go_that_are_surely_made_anew_and_surely_run(name: str) -> None:
    owner, it, why = CASES[name]
    found = untouchable(owner, it)
    assert (why in found) if why else found == ""
