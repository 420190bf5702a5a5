"""doctor on a real API server, with the rights that its document names: a sound cluster, then one of many troubles."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.ec2.models import ec2_backends

from checks import COREDNS, LOGGING, READS, WEBHOOK
from spec import CONTROLLER_KEY, OWNER_KEY
from tests.e2e.support import ROLE, ROOT, SUBNETS, environment, ok, token_of, write_kubeconfig
from tests.unit.test_checks import HOOK, deployment, node
from tests.unit.test_fluentbit import EXAMPLES
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.support import User
    from tests.fakes.aws import World

Object = dict[str, Any]
ELSEWHERE = "e2e-doctor-fargate-1"  # a node


def rights() -> list[Object]:
    """Return what the document says that reading takes in Kubernetes, as rules of RBAC."""
    rules = []
    for _, needs in READS.values():
        for each in needs.split(", "):
            if found := re.fullmatch(r"(get|list) (\w+)(?: (\S+))?(?: in \S+)?", each):
                names = {"resourceNames": [found[3]]} if found[3] else {}
                rules.append({"apiGroups": ["*"], "resources": [found[2]], "verbs": [found[1]], **names})
    return rules


@dataclass
class Patient:
    """A cluster, its account, and how doctor is asked."""

    user: User
    aws: World
    config: Path

    def create(self, obj: Object, namespace: str = "") -> None:
        ok(self.user.kubectl("create", "-f", "-", stdin=json.dumps(obj), namespace=namespace))

    def patch(self, what: str, change: Object, *flags: str, namespace: str = "") -> None:
        ok(self.user.kubectl("patch", what, "--type=merge", "-p", json.dumps(change), *flags, namespace=namespace))

    def doctor(self) -> tuple[int, list[Object], str]:
        call = [sys.executable, "controller.py", "doctor", "-o", "json"]
        environ = environment(self.aws, KUBECONFIG=str(self.config))
        done = subprocess.run(call, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["checks"], done.stderr


@pytest.fixture
def patient(user: User, aws: World, new_operator: NewOperator, tmp_path: Path) -> Iterator[Patient]:
    """Return a cluster of which all is well, with an operator that leads; what is not in a namespace is gone after."""
    plane: ControlPlane = user.control_plane
    name = user.namespace
    ok(user.kubectl("create", "serviceaccount", "doctor"))
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    ok(plane.kubectl("create", "-f", "-", input=json.dumps({**role, "rules": rights()})))
    ok(plane.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", f"--serviceaccount={name}:doctor"))
    config = write_kubeconfig(tmp_path / "doctor.kubeconfig", plane, token_of(plane, f"{name}:doctor"))
    aws.set_certificate_authority(aws.cluster, base64.b64encode(plane.ca.read_bytes()).decode())
    made = Patient(user, aws, config)
    try:
        furnish(made)
        operator = new_operator(NO_LEADER_ELECT="false")
        operator.start()
        user.apply("web", selectors=[{"namespace": name}])
        user.wait_ready("web")
        yield made
        operator.stop()  # which gives the Lease up
    finally:
        observed = LOGGING[0]
        for what in (f"clusterrolebinding/{name}", f"clusterrole/{name}", f"node/{ELSEWHERE}", f"namespace/{observed}",
                     f"mutatingwebhookconfiguration/{WEBHOOK}"):  # fmt: skip
            plane.kubectl("delete", what, "--wait=false", "--ignore-not-found")
        plane.kubectl("delete", "deployment", COREDNS[1], "-n", COREDNS[0], "--ignore-not-found")
        plane.kubectl("delete", "configmap", LOGGING[1], "-n", observed, "--ignore-not-found")


def furnish(patient: Patient) -> None:
    """Make what EKS and Fargate make in a cluster, as far as doctor looks at it."""
    hook = {
        **HOOK, "clientConfig": {"url": "https://127.0.0.1:1/mutate"}, "failurePolicy": "Ignore",
        "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
    }  # fmt: skip
    patient.create({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": WEBHOOK}, "webhooks": [hook],
    })  # fmt: skip
    coredns, labels = deployment(), {"k8s-app": "kube-dns"}
    coredns["spec"]["template"]["spec"]["containers"][0]["image"] = "coredns"
    patient.create({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": COREDNS[1], "namespace": COREDNS[0]},
        "spec": {**coredns["spec"], "selector": {"matchLabels": labels}},
    }, namespace=COREDNS[0])  # fmt: skip
    ready(patient, 2)
    there = node(ELSEWHERE, "v1.34.2-eks-1")
    patient.create({"apiVersion": "v1", "kind": "Node", "metadata": there["metadata"]})
    patient.patch(f"node/{ELSEWHERE}", {"status": there["status"]}, "--subresource=status")
    pod(patient, "running", "Running")


def ready(patient: Patient, replicas: int) -> None:
    status = {"replicas": 2, "readyReplicas": replicas, "availableReplicas": replicas}
    patient.patch(f"deployment/{COREDNS[1]}", {"status": status}, "--subresource=status", namespace=COREDNS[0])


def pod(patient: Patient, name: str, phase: str) -> None:
    """Make a pod as Fargate has it."""
    patient.create({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "labels": {"eks.amazonaws.com/fargate-profile": "web"},
            "annotations": {"CapacityProvisioned": "0.25vCPU 0.5GB"},
        },
        "spec": {
            "schedulerName": "fargate-scheduler", "nodeName": ELSEWHERE, "containers": [{"name": "c", "image": "i"}],
        },
    })  # fmt: skip
    patient.patch(f"pod/{name}", {"status": {"phase": phase}}, "--subresource=status")


# The troubles: the check that finds it, what it says, and how it comes about.


def narrow(patient: Patient) -> None:
    change = [{"op": "replace", "path": "/webhooks/0/namespaceSelector", "value": {"matchLabels": {"a": "b"}}}]
    what = f"mutatingwebhookconfiguration/{WEBHOOK}"
    ok(patient.user.kubectl("patch", what, "--type=json", "-p", json.dumps(change)))


def select_what_is_not_there(patient: Patient) -> None:
    patient.aws.add_profile(patient.aws.cluster, "gone", ROLE, [{"namespace": "e2e-gone"}], SUBNETS)


def stop_coredns(patient: Patient) -> None:
    ready(patient, 0)
    template = {"metadata": {"annotations": {"eks.amazonaws.com/compute-type": "ec2"}}}
    patient.patch(f"deployment/{COREDNS[1]}", {"spec": {"template": template}}, namespace=COREDNS[0])


def log_to_nowhere(patient: Patient) -> None:
    observed, name = LOGGING
    labels = {observed: "enabled"}
    patient.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": observed, "labels": labels}})
    wrong = EXAMPLES["to Firehose"]["output.conf"].replace("kinesis_firehose", "s3")
    patient.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"output.conf": wrong}},
        namespace=observed,
    )


def forget_names(patient: Patient) -> None:
    ec2 = ec2_backends[patient.aws.account][patient.aws.region]
    ec2.modify_vpc_attribute(patient.aws.vpc, "enable_dns_support", False)


def go_public(patient: Patient) -> None:
    world = patient.aws
    world.add_profile(world.cluster, "public", ROLE, [{"namespace": COREDNS[0]}], [world.public_subnet])


def trust_nobody(patient: Patient) -> None:
    world = patient.aws
    role = world.roles["no-trust"]
    world.put_entry(world.cluster, role)
    world.add_profile(world.cluster, "untrusted", role, [{"namespace": COREDNS[0], "labels": {"a": "b"}}], SUBNETS)


def forget_a_role(patient: Patient) -> None:
    patient.aws.remove_entry(patient.aws.cluster, ROLE)


def grow_old(patient: Patient) -> None:
    status = {"nodeInfo": {"kubeletVersion": "v1.29.0-eks-1"}}
    patient.patch(f"node/{ELSEWHERE}", {"status": status}, "--subresource=status")


def finish(patient: Patient) -> None:
    pod(patient, "job", "Succeeded")


def run_out(patient: Patient) -> None:
    patient.aws.manners.quotas.applied["fargate", "L-3032A538"] = 0.0


def lose_an_object(patient: Patient) -> None:
    uid = json.loads(ok(patient.user.kubectl("get", "namespace", COREDNS[0], "-o", "json")))["metadata"]["uid"]
    tags = {OWNER_KEY: f"{patient.user.namespace}/lost", CONTROLLER_KEY: uid}
    labels = {"lost": "yes"}
    selectors = [{"namespace": COREDNS[0], "labels": labels}]
    patient.aws.add_profile(patient.aws.cluster, "lost", ROLE, selectors, SUBNETS, tags=tags)


TROUBLES: dict[str, tuple[str, str, Callable[[Patient], None]]] = {
    "webhook": ("fail", "it has a namespaceSelector", narrow),
    "namespaces": ("warn", "There is no namespace e2e-gone", select_what_is_not_there),
    "coredns": ("fail", "No replica of CoreDNS is Ready", stop_coredns),
    "logging": ("fail", "Name is s3", log_to_nowhere),
    "dns": ("fail", "enableDnsSupport off", forget_names),
    "network": ("fail", "routes to an internet gateway", go_public),
    "roles": ("fail", "can't be assumed by Fargate", trust_nobody),
    "kubelets": ("fail", "over 3 minor versions behind", grow_old),
    "finished": ("warn", "/job", finish),
    "quotas": ("fail", "the quota is 0", run_out),
    "overlaps": ("warn", "Profiles public and untrusted", lambda _: None),  # which these two do
    "orphans": ("warn", "Profile lost", lose_an_object),
    "access": ("fail", "no access entry", forget_a_role),  # the last, as EKS gives each new profile's role its entry
}


def test_of_a_sound_cluster_nothing_is_found_and_of_one_of_many_troubles_each_by_its_name(patient: Patient) -> None:
    wait_for(lambda: not findings(patient), 30, "nothing is found")
    code, checks, err = patient.doctor()
    assert (code, {each["verdict"] for each in checks}, err) == (0, {"ok"}, "")
    for _, _, plant in TROUBLES.values():
        plant(patient)
    code, checks, _ = patient.doctor()
    assert code == 1
    for name, (verdict, words, _) in TROUBLES.items():
        told = [each for each in checks if each["check"] == name and each["verdict"] == verdict]
        assert any(words in each["what"] for each in told), (name, told)
        assert all(each["mend"] for each in told), name
    assert [each for each in checks if each["unread"]] == []


def findings(patient: Patient) -> list[Object]:
    return [each for each in patient.doctor()[1] if each["verdict"] != "ok"]


def test_with_no_rights_at_all_in_kubernetes_what_lies_there_is_unknown_and_names_the_right(patient: Patient) -> None:
    ok(patient.user.control_plane.kubectl("delete", "clusterrolebinding", patient.user.namespace))
    wait_for(lambda: patient.doctor()[0] == 2, 30, "the rights are gone")
    _, checks, _ = patient.doctor()
    found = {each["check"]: each for each in checks if each["unread"]}
    assert found.keys() == {
        "webhook", "namespaces", "coredns", "logging", "kubelets", "finished", "quotas", "orphans", "controller"
    }  # fmt: skip
    assert "it takes list pods" in found["finished"]["what"]
