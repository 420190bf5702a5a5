"""From the profile to running pods, on the stand-in for Fargate; and what is known of EKS's Fargate, which that keeps.

    kubectl -> kube-apiserver <- webhook, scheduler and kubelets of tests/fakes/fargate.py <- profiles of its EKS

kube-controller-manager makes the pods where it was ever built here, else tests/fakes/replicas.py does.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.controlplane import ControlPlane, find_manager
from tests.e2e.support import (
    AFTER_A_WHILE,
    IDENTITY,
    ROLE,
    ROOT,
    SUBNETS,
    environment,
    ok,
    profiles,
    token_of,
    write_kubeconfig,
)
from tests.fakes import webhook
from tests.fakes.api import Api, Obj, path_of, place
from tests.fakes.fargate import Fargate, Ways, fargate
from tests.fakes.fargate_rules import COMPUTE_TYPE, LABEL, NOT_MAPPED, SCHEDULER, TIMED_OUT
from tests.fakes.replicas import replicas
from tests.unit.test_clusters import ONE, bundle
from tests.unit.test_manifests import optional
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import NewOperator
    from tests.e2e.support import Operator, User
    from tests.fakes.aws import World


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run a control plane that makes pods: the one that all tests share has no controllers."""
    manager = find_manager(make=False)
    with ControlPlane(tmp_path_factory.mktemp("fargate")) as running:
        if manager:
            running.start_manager(manager)
            yield running
        else:
            with replicas(api_of(running)):
                yield running


def api_of(plane: ControlPlane) -> Api:
    return Api(plane.url, plane.token, str(plane.ca))


@pytest.fixture(scope="session")
def installed(plane: ControlPlane) -> ControlPlane:
    for file in ("rbac.yaml", "crd.yaml"):
        ok(plane.kubectl("apply", "-f", file))
    wait_for(lambda: plane.kubectl("get", "fp").returncode == 0, SOON, "FargateProfiles are served")
    return plane


@pytest.fixture(scope="session")
def token(installed: ControlPlane) -> str:
    return token_of(installed, IDENTITY)


@pytest.fixture
def ways() -> Ways:
    return Ways(lag_seconds=0.3)


@pytest.fixture
def running(plane: ControlPlane, aws: World, ways: Ways) -> Iterator[Fargate]:
    """Run Fargate; the cluster of EKS is proven to be the one that we talk to."""
    authority = base64.b64encode(plane.ca.read_bytes()).decode()
    aws.set_certificate_authority(aws.cluster, authority)
    with fargate(api_of(plane), aws, ways) as here:
        yield here


@dataclass
class Pods:
    """What a user makes of pods in their namespace, and sees of them."""

    user: User
    aws: World
    running: Fargate
    api: Api

    def profile(self, name: str = "web", role: str = ROLE, subnets: list[str] = SUBNETS, **labels: str) -> None:
        """Let a profile for pods with these labels be there, and wait until it takes such pods."""
        selectors = [{"namespace": self.user.namespace, "labels": labels}]
        self.aws.add_profile(self.aws.cluster, name, role, selectors, subnets)
        self.aws.put_entry(self.aws.cluster, role)
        self.wait_known(name, **labels)

    def wait_known(self, name: str, **labels: str) -> None:
        asks = {"labels": {**labels, LABEL: name}}
        wait_for(
            lambda: taken_by(self.make("tried", asks, tried=True)) == name, SOON, f"pods are given to profile {name}"
        )

    def make(self, name: str = "one", meta: Obj | None = None, *, tried: bool = False, **spec: Any) -> Obj:
        """Create a pod, or only try to; return it as the API server has it."""
        head = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **(meta or {})}}
        body = {**head, "spec": {"containers": [container()], **spec}}
        return self.api.call("POST", f"{self._place('pods')}{'?dryRun=All' if tried else ''}", body)

    def get(self, name: str = "one") -> Obj:
        return self.api.find(f"{self._place('pods')}/{name}") or {}

    def all(self) -> list[Obj]:
        """Return the pods that are there and not going."""
        return [each for each in self.api.list(self._place("pods")) if "deletionTimestamp" not in each["metadata"]]

    def node(self, name: str = "one") -> Obj:
        node = self.get(name).get("spec", {}).get("nodeName", "")
        return (node and self.api.find(f"/api/v1/nodes/{node}")) or {}

    def events(self, name: str = "one") -> list[tuple[str, str, str]]:
        """Return who said what about a pod: component, reason and message."""
        found = [each for each in self.api.list(self._place("events")) if each["involvedObject"]["name"] == name]
        return [(each["source"]["component"], each["reason"], each["message"]) for each in found]

    def wait_phase(self, name: str = "one", phase: str = "Running") -> Obj:
        wait_for(lambda: self.get(name).get("status", {}).get("phase") == phase, SOON, f"{name} is {phase}")
        return self.get(name)

    def wait_refused(self, name: str = "one") -> Obj:
        """Return the PodScheduled of a pod once it says something."""
        wait_for(lambda: scheduled(self.get(name)), SOON, f"{name} is told why it is not scheduled")
        return scheduled(self.get(name))

    def deploy(self, name: str = "app", replicas: int = 2, **pod: Any) -> None:
        """Make a Deployment; `pod` is what its pods have beside a container."""
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container()], **pod}}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
        made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
        ok(self.user.kubectl("create", "-f", "-", stdin=json.dumps(made)))

    def wait_all_on(self, profile: str, count: int, seconds: float = SOON) -> None:
        """Wait until so many pods are there, all of them Running on a profile."""

        def there() -> bool:
            found = self.all()
            return len(found) == count and all(taken_by(each) == profile and is_ready(each) for each in found)

        wait_for(there, seconds, f"{count} pods run on profile {profile}")

    def clean(self) -> None:
        kinds = "deployments.apps,replicasets.apps,statefulsets.apps,jobs.batch,pods"
        self.user.kubectl("delete", kinds, "--all", "--force", "--grace-period=0", "--wait=false")
        wait_for(lambda: not self.api.list(self._place("pods")), SOON, "no pod is left")

    def _place(self, plural: str) -> str:
        return place("v1", self.user.namespace, plural)


def container(**fields: Any) -> Obj:
    return {"name": "app", "image": "registry.example/app", **fields}


def taken_by(pod: Obj) -> str:
    """Return the profile that took a pod; the label alone is no proof."""
    labels = pod["metadata"].get("labels", {})
    return str(labels.get(LABEL, "")) if pod["spec"]["schedulerName"] == SCHEDULER else ""


def conditions(pod: Obj) -> dict[str, Obj]:
    return {each["type"]: each for each in pod.get("status", {}).get("conditions", [])}


def scheduled(pod: Obj) -> Obj:
    return conditions(pod).get("PodScheduled", {})


def is_ready(pod: Obj) -> bool:
    return bool(conditions(pod).get("Ready", {}).get("status") == "True")


@pytest.fixture
def pods(user: User, aws: World, running: Fargate, plane: ControlPlane) -> Iterator[Pods]:
    """Return what a user makes of pods; none is left after the test: profiles of the next have their names."""
    made = Pods(user, aws, running, api_of(plane))
    yield made
    made.clean()


# The webhook


def test_the_webhook_comes_with_the_first_profile_and_is_as_eks_has_it(pods: Pods, plane: ControlPlane) -> None:
    at = f"{webhook.PATH}/0500-amazon-eks-fargate-mutation.amazonaws.com"
    assert taken_by(pods.make("early")) == ""
    assert pods.api.find(at) is None
    pods.profile()
    hooks = (pods.api.find(at) or {})["webhooks"]
    assert [hook["clientConfig"].pop("url").rpartition("/")[2] for hook in hooks] == ["mutate", "configmaps"]
    assert all(hook.pop("clientConfig").keys() == {"caBundle"} for hook in hooks)
    usual = {
        "failurePolicy": "Ignore", "timeoutSeconds": 5, "matchPolicy": "Equivalent", "objectSelector": {},
        "sideEffects": "None", "reinvocationPolicy": "Never", "admissionReviewVersions": ["v1beta1"],
    }  # fmt: skip
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "scope": "*"}
    assert hooks == [
        {
            "name": "0500-amazon-eks-fargate-mutation.amazonaws.com", "namespaceSelector": {},
            "rules": [{**rule, "operations": ["CREATE"], "resources": ["pods"]}], **usual,
        },
        {
            "name": "0500-amazon-eks-fargate-configmaps-admission.amazonaws.com",
            "namespaceSelector": {"matchLabels": {"aws-observability": "enabled"}},
            "rules": [{**rule, "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}], **usual,
        },
    ]  # fmt: skip


def test_a_pod_that_a_profile_takes_has_exactly_what_eks_adds(pods: Pods) -> None:
    before = pods.make("before", {"labels": {"run": "nginx"}})
    pods.profile("demo-profile")
    pod = pods.make(meta={"labels": {"run": "nginx"}})
    assert pod["metadata"]["labels"] == {LABEL: "demo-profile", "run": "nginx"}
    added = {"schedulerName": "fargate-scheduler", "priorityClassName": "system-node-critical", "priority": 2000001000}
    assert pod["spec"] == before["spec"] | added | {"preemptionPolicy": "PreemptLowerPriority"}
    assert "annotations" not in pod["metadata"]


def test_the_patch_is_that_of_an_audit_record_of_eks(pods: Pods) -> None:
    pods.profile("demo-profile")
    created = {"metadata": {"labels": {"run": "nginx"}}, "spec": {"schedulerName": "default-scheduler"}}
    request = {"operation": "CREATE", "resource": {"resource": "pods"}, "namespace": pods.user.namespace}
    assert pods.running.mutate({**request, "object": created}) == [
        {"op": "add", "path": "/spec/schedulerName", "value": "fargate-scheduler"},
        {"op": "add", "path": "/spec/priorityClassName", "value": "system-node-critical"},
        {"op": "add", "path": "/spec/priority", "value": 2000001000},
        {"op": "add", "path": "/metadata/labels",
         "value": {"eks.amazonaws.com/fargate-profile": "demo-profile", "run": "nginx"}},
    ]  # fmt: skip


def test_a_pod_that_comes_between_active_and_known_is_missed_for_good(pods: Pods, ways: Ways) -> None:
    ways.lag_seconds = 3600
    pods.aws.add_profile(pods.aws.cluster, "web", ROLE, [{"namespace": pods.user.namespace}], SUBNETS)
    wait_for(lambda: pods.api.find(f"{webhook.PATH}/{webhook.NAME}"), SOON, "EKS has its webhook")
    pods.make("early")
    ways.lag_seconds = 0
    pods.wait_known("web")
    pods.make("late")
    pods.wait_phase("late")
    assert taken_by(pods.get("early")) == ""
    said = pods.wait_refused("early")
    assert (said["status"], said["reason"]) == ("False", "Unschedulable")
    assert (
        "no nodes available" in said["message"] or f"untolerated taint {{{COMPUTE_TYPE}: fargate}}" in said["message"]
    )


DAEMON = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "1", "controller": True}


@pytest.mark.parametrize(
    ("meta", "spec"),
    [
        ({"ownerReferences": [DAEMON]}, {}),
        ({"annotations": {COMPUTE_TYPE: "ec2"}}, {}),
        ({}, {"schedulerName": "mine"}),
        ({}, {"nodeName": "ip-10-0-0-1.ec2.internal"}),
    ],
)
def test_what_opts_out_is_left_alone(pods: Pods, meta: Obj, spec: Obj) -> None:
    pods.profile()
    pod = pods.make(meta=meta, tried=True, **spec)
    assert LABEL not in pod["metadata"].get("labels", {})
    assert pod["spec"]["schedulerName"] == spec.get("schedulerName", "default-scheduler")


def test_tolerations_and_the_annotation_fargate_do_not_opt_out(pods: Pods) -> None:
    pods.profile()
    assert taken_by(pods.make(tried=True, tolerations=[{"operator": "Exists"}])) == "web"
    assert taken_by(pods.make(tried=True, meta={"annotations": {COMPUTE_TYPE: "fargate"}})) == "web"


def test_of_several_profiles_the_label_chooses_and_without_it_the_first_by_name(pods: Pods) -> None:
    for name in ("prod-workload", "beta-workload"):
        pods.profile(name)
    pods.profile("alpha", tier="api")
    assert taken_by(pods.make(tried=True)) == "beta-workload"
    assert taken_by(pods.make(tried=True, meta={"labels": {LABEL: "prod-workload"}})) == "prod-workload"
    assert taken_by(pods.make(tried=True, meta={"labels": {"tier": "api"}})) == "alpha"


@pytest.mark.parametrize(("falls_back", "profile"), [(True, "web"), (False, "")])
def test_a_label_that_names_a_profile_that_does_not_fit_may_be_taken_either_way(
    pods: Pods, ways: Ways, falls_back: bool, profile: str
) -> None:
    pods.profile()
    ways.unknown.label_falls_back = falls_back
    assert taken_by(pods.make(tried=True, meta={"labels": {LABEL: "missing"}})) == profile


# The scheduler, nodes and kubelets


def test_a_pod_gets_size_task_and_then_a_node_of_its_own_and_runs(pods: Pods, ways: Ways) -> None:
    ways.launch_seconds = 3600
    pods.profile()
    requests = {"requests": {"cpu": "255m", "memory": "1800Mi"}}
    pods.make(containers=[container(resources=requests)])
    wait_for(lambda: pods.get()["status"].get("nominatedNodeName"), SOON, "the scheduler has a task for it")
    waiting = pods.get()
    assert re.fullmatch(r"[0-9a-f]{10}-[0-9a-f]{32}", waiting["status"]["nominatedNodeName"])
    assert waiting["metadata"]["annotations"] == {
        "CapacityProvisioned": "0.5vCPU 3GB",
        "Logging": "LoggingDisabled: LOGGING_CONFIGMAP_NOT_FOUND",
    }
    ways.launch_seconds = 0.1
    pods.make("two")
    pod = pods.wait_phase("two")
    assert is_ready(pod) and scheduled(pod)["status"] == "True"
    assert pod["status"]["hostIP"] == pod["status"]["podIP"]
    assert "nominatedNodeName" not in pod["status"]
    assert [each[:2] for each in pods.events("two")] == [("fargate-scheduler", "LoggingDisabled")]


def test_the_node_is_as_fargates_are(pods: Pods) -> None:
    pods.profile()
    pods.make()
    address = pods.wait_phase()["status"]["podIP"]
    node = pods.node()
    host, zone = (
        f"ip-{address.replace('.', '-')}.ec2.internal",
        node["metadata"]["labels"]["topology.kubernetes.io/zone"],
    )
    assert node["metadata"]["name"] == f"fargate-{host}"
    assert re.fullmatch(rf"aws:///{zone}/[0-9a-f]{{10}}-[0-9a-f]{{32}}/fargate-{host}", node["spec"]["providerID"])
    assert node["spec"]["taints"] == [{"key": COMPUTE_TYPE, "value": "fargate", "effect": "NoSchedule"}]
    assert node["metadata"]["labels"] == {
        COMPUTE_TYPE: "fargate", "kubernetes.io/hostname": host,
        "kubernetes.io/arch": "amd64", "beta.kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux", "beta.kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": "us-east-1", "failure-domain.beta.kubernetes.io/region": "us-east-1",
        "topology.kubernetes.io/zone": zone, "failure-domain.beta.kubernetes.io/zone": zone,
    }  # fmt: skip
    assert node["status"]["capacity"]["pods"] == "1"


SPREAD = {"nodeSelector": {"karpenter.sh/nodepool": "default"}}
UNSUPPORTED = [
    ({"hostNetwork": True}, "fields not supported: HostNetwork"),
    ({"containers": [container(securityContext={"privileged": True})]}, "invalid SecurityContext fields: Privileged"),
    (
        {"containers": [container(securityContext={"capabilities": {"add": ["CAP_CHOWN"]}})]},
        "invalid SecurityContext fields: Capabilities added: CAP_CHOWN",
    ),
    ({"containers": [container(ports=[{"containerPort": 80, "hostPort": 80}])]}, "port contains HostIP or HostPort"),
    (
        {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        "volumes not supported: root is of an unsupported volume Type",
    ),
    (
        {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "x"}}]},
        'volumes not supported: data not supported because: persistentvolumeclaim "x" not found',
    ),
]
REFUSED = [
    *((spec, "POD_UNSUPPORTED_ON_FARGATE", f"Pod not supported on Fargate: {text}") for spec, text in UNSUPPORTED),
    (
        {"containers": [container(resources={"requests": {"memory": "120Gi"}})]},
        "POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE",
        "Your pod's cpu/memory requirements exceed the max Fargate configuration",
    ),
    (
        SPREAD,
        "Unschedulable",
        "MatchNodeSelector failed: Fargate profile web cannot satisfy pod's node selector/affinity requirements",
    ),
]


@pytest.mark.parametrize(("spec", "code", "text"), REFUSED)
def test_what_fargate_cannot_run_is_refused_in_its_own_words(pods: Pods, spec: Obj, code: str, text: str) -> None:
    pods.profile()
    pods.make(**spec)
    said = pods.wait_refused()
    assert (said["status"], said["reason"], said["message"]) == ("False", code, text)
    told = [("fargate-scheduler", "FailedScheduling", text)]
    wait_for(lambda: pods.events() == told, SOON, "the scheduler says so in an event too")
    assert pods.get()["status"]["phase"] == "Pending"


def test_a_zone_that_the_profile_has_is_a_wish_that_is_met(pods: Pods) -> None:
    pods.profile(subnets=SUBNETS[1:])
    pods.make(nodeSelector={"topology.kubernetes.io/zone": "us-east-1b"})
    pods.wait_phase()
    assert pods.node()["metadata"]["labels"]["topology.kubernetes.io/zone"] == "us-east-1b"


def test_a_refused_pod_is_not_looked_at_again_and_one_made_anew_is(pods: Pods, ways: Ways) -> None:
    ways.refuses = (
        "Fargate capacity is unavailable at this time. Please try again later or in a different availability zone."
    )
    pods.profile()
    pods.make()
    assert pods.wait_refused()["message"] == ways.refuses
    ways.refuses = ""
    pods.make("two")
    pods.wait_phase("two")
    assert "nodeName" not in pods.get()["spec"]
    assert scheduled(pods.get())["status"] == "False"


def test_a_provisioning_that_timed_out_is_tried_again(pods: Pods, ways: Ways) -> None:
    ways.time_outs = 1
    pods.profile()
    pods.make()
    pods.wait_phase()
    assert ("fargate-scheduler", "FailedScheduling", TIMED_OUT) in pods.events()


def test_a_role_that_the_cluster_does_not_know_or_that_trusts_others_blocks_launches(pods: Pods) -> None:
    pods.profile()
    pods.profile("other", pods.aws.roles["no-trust"], kind="other")
    pods.aws.remove_entry(pods.aws.cluster, ROLE)
    pods.make()
    start = "Misconfigured Fargate Profile: fargate profile {} blocked for new launches due to: "
    assert pods.wait_refused()["message"] == start.format("web") + NOT_MAPPED
    pods.make("two", {"labels": {"kind": "other", LABEL: "other"}})
    assert pods.wait_refused("two")["message"].startswith(start.format("other") + "Failed to assume PodExecutionRole")


def test_a_pod_whose_profile_went_before_it_was_looked_at_waits_also_for_the_next_of_that_name(
    pods: Pods, ways: Ways
) -> None:
    ways.scheduling = False
    pods.profile()
    pods.make()
    pods.aws.delete_profile(pods.aws.cluster, "web")
    ways.scheduling = True
    uid = pods.get()["metadata"]["uid"]
    wait_for(lambda: pods.running.has_looked(uid), SOON, "the scheduler has looked at it")
    pods.profile()
    pods.make("two")
    pods.wait_phase("two")
    assert pods.get()["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


def test_a_profile_stays_deleting_until_it_has_deleted_its_pods_itself_whatever_a_budget_says(
    pods: Pods, plane: ControlPlane
) -> None:
    pods.profile()
    pods.make(meta={"labels": {"app": "app"}, "finalizers": ["example.com/hold"]})
    pods.wait_phase()
    ok(pods.user.kubectl("create", "pdb", "app", "--selector=app=app", "--min-available=1"))
    before = plane.audited()
    pods.aws.manners.deleting_seconds = 0
    pods.aws.client("eks").delete_fargate_profile(clusterName="demo", fargateProfileName="web")
    wait_for(lambda: "deletionTimestamp" in pods.get()["metadata"], SOON, "its pod is deleted")
    assert profiles(pods.aws)["web"]["status"] == "DELETING"
    ok(pods.user.kubectl("patch", "pod", "one", "--type=merge", "-p", '{"metadata":{"finalizers":null}}'))
    wait_for(lambda: not profiles(pods.aws), SOON, "the profile is gone")
    assert pods.get() == {}
    asked = [each for each in plane.audit(before) if each.get("objectRef", {}).get("name") == "one"]
    deletes = {each.get("impersonatedUser", {}).get("username") for each in asked if each["verb"] == "delete"}
    assert "eks:fargate-manager" in deletes
    assert not any(each["objectRef"].get("subresource") == "eviction" for each in asked)


def test_a_finished_pod_keeps_its_node_until_it_is_deleted(pods: Pods, ways: Ways) -> None:
    ways.run_seconds = 0
    pods.profile()
    pods.make(restartPolicy="Never")
    pods.wait_phase(phase="Succeeded")
    node = pods.node()["metadata"]["name"]
    pods.make("two", restartPolicy="Never")
    pods.wait_phase("two", "Succeeded")
    assert pods.api.find(f"/api/v1/nodes/{node}")
    ok(pods.user.kubectl("delete", "pod", "one"))
    wait_for(lambda: pods.api.find(f"/api/v1/nodes/{node}") is None, SOON, "its node is gone")


def test_a_pod_keeps_the_kubelet_that_it_was_launched_with(pods: Pods, ways: Ways) -> None:
    pods.profile()
    pods.make()
    pods.wait_phase()
    old, ways.version = ways.version, "v1.35.0-eks-0000000"
    pods.make("two")
    pods.wait_phase("two")
    assert [pods.node(name)["status"]["nodeInfo"]["kubeletVersion"] for name in ("one", "two")] == [old, ways.version]


def test_a_pod_that_another_scheduler_puts_on_a_node_of_fargate_fails(pods: Pods) -> None:
    pods.profile()
    pods.make()
    pods.wait_phase()
    pods.make("two", nodeName=pods.node()["metadata"]["name"])
    failed = pods.wait_phase("two", "Failed")["status"]
    assert failed["reason"] == "UnsupportedPodSpec"
    assert failed["message"] == "Pod not supported: SchedulerName is not fargate-scheduler"


# From an object to running pods


@pytest.fixture
def explained(plane: ControlPlane, aws: World, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Return a runner of `explain`, as the administrator: exit code and what it prints."""
    environ = environment(aws, KUBECONFIG=str(write_kubeconfig(tmp_path / "admin.kubeconfig", plane, plane.token)))

    def run(*words: str) -> tuple[int, str]:
        call = [sys.executable, "controller.py", "explain", *words]
        done = subprocess.run(call, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout

    return run


Explained = Callable[..., tuple[int, str]]


def test_a_pod_before_its_profile_stays_and_explain_says_that_it_is_stranded(
    pods: Pods, operator: Operator, explained: Explained
) -> None:
    user = pods.user
    pods.deploy()
    wait_for(lambda: len(pods.all()) == 2, SOON, "its pods are there")
    user.apply(selectors=[{"namespace": user.namespace}])
    user.wait_ready()
    pods.wait_known("web")
    assert [taken_by(each) for each in pods.all()] == ["", ""]
    name = pods.all()[0]["metadata"]["name"]
    code, said = explained("pod", f"{user.namespace}/{name}")
    assert code == 1
    assert re.search(rf"^stranded +{user.namespace}/{name} +.*web would take it now", said, re.MULTILINE)
    ok(user.kubectl("rollout", "restart", "deployment/app"))
    pods.wait_all_on("web", 2)


@pytest.fixture
def granted(plane: ControlPlane) -> Iterator[Callable[..., None]]:
    """Return what uncomments optional rules of rbac.yaml, by their resources; they are gone after the test."""
    head = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    subject = {"kind": "ServiceAccount", "name": "fargate", "namespace": "default"}
    role = {**head, "kind": "ClusterRole", "metadata": {"name": "optional"}}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "optional"}
    binding = {**head, "kind": "ClusterRoleBinding", "metadata": {"name": "optional"}, "roleRef": reference}

    def grant(*resources: str) -> None:
        objects = [{**role, "rules": optional(*resources)}, {**binding, "subjects": [subject]}]
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        ok(plane.kubectl("apply", "-f", "-", input=json.dumps(listed)))

    yield grant
    plane.kubectl("delete", "clusterrole,clusterrolebinding", "optional", "--ignore-not-found")


@pytest.fixture
def watchful(pods: Pods, granted: Callable[..., None], new_operator: NewOperator) -> Operator:
    """Return an operator that may list pods and looks at them each half second."""
    granted("pods")
    made = new_operator(runner=True, E2E_LOOK_SECONDS="0.5", RESYNC_SECONDS="3")
    made.start()
    return made


def test_pods_before_their_profile_are_told_of_beside_ready_until_they_are_made_anew(
    pods: Pods, watchful: Operator
) -> None:
    user = pods.user
    pods.deploy()
    wait_for(lambda: len(pods.all()) == 2, SOON, "its pods are there")
    user.apply(selectors=[{"namespace": user.namespace}])
    wait_for(lambda: user.condition(kind="PodsStranded"), AFTER_A_WHILE, "the object tells of stranded pods")
    told = user.condition(kind="PodsStranded")
    assert (told["status"], told["reason"], user.ready()) == ("True", "NeverTaken", True)
    assert all(each["metadata"]["name"] in told["message"] for each in pods.all())
    assert counts(pods) == {"running": 0, "stranded": 2}
    pods.wait_known("web")
    ok(user.kubectl("rollout", "restart", "deployment/app"))
    pods.wait_all_on("web", 2)
    wait_for(lambda: not user.condition(kind="PodsStranded"), AFTER_A_WHILE, "none is stranded any more")
    wait_for(lambda: counts(pods) == {"running": 2, "stranded": 0}, AFTER_A_WHILE, "status counts those that run")
    status = (user.get() or {})["status"]["pods"]
    assert (status["vcpu"], status["memoryGiB"], status["summary"]) == (0.5, 1, "2")


def counts(pods: Pods) -> dict[str, int]:
    found = (pods.user.get() or {})["status"].get("pods", {})
    return {each: found.get(each, 0) for each in ("running", "stranded")}


def test_what_fargate_refuses_is_told_in_words_with_what_mends_it(pods: Pods, watchful: Operator) -> None:
    user = pods.user
    user.apply(selectors=[{"namespace": user.namespace}])
    user.wait_ready()
    pods.wait_known("web")
    pods.make("privileged", containers=[container(securityContext={"privileged": True})])
    wait_for(lambda: user.condition(kind="PodsBlocked"), AFTER_A_WHILE, "the object tells of the pod")
    told = user.condition(kind="PodsBlocked")
    assert told["reason"] == "Privileged"
    assert "privileged" in told["message"] and "no privileged containers" in told["message"]
    assert user.ready()


def test_a_role_that_the_cluster_has_lost_is_told_of_by_its_entry_and_by_the_pods_that_it_blocks(
    pods: Pods, watchful: Operator
) -> None:
    user = pods.user
    pods.aws.set_mode(pods.aws.cluster, "API")
    user.apply(selectors=[{"namespace": user.namespace}])
    user.wait_ready()
    pods.wait_known("web")
    pods.aws.remove_entry(pods.aws.cluster, ROLE)
    pods.make()
    wait_for(lambda: user.condition(kind="PodsBlocked"), AFTER_A_WHILE, "the object tells of its pod")
    wait_for(lambda: user.condition(kind="RoleUnknownToCluster"), AFTER_A_WHILE, "and of its role")
    assert user.condition(kind="PodsBlocked")["reason"] == "RoleNotMapped"
    assert user.ready()
    pods.aws.put_entry(pods.aws.cluster, ROLE)
    pods.make("two")
    pods.wait_phase("two")


def test_without_the_right_to_list_pods_or_with_one_that_is_taken_away_nothing_is_told_and_ready_stays(
    pods: Pods, watchful: Operator, plane: ControlPlane
) -> None:
    user = pods.user
    pods.make()
    user.apply(selectors=[{"namespace": user.namespace}])
    wait_for(lambda: user.condition(kind="PodsStranded"), AFTER_A_WHILE, "the object tells of its pod")
    ok(plane.kubectl("delete", "clusterrolebinding", "optional"))
    wait_for(lambda: not user.condition(kind="PodsStranded"), AFTER_A_WHILE, "it does no more")
    assert "pods" not in (user.get() or {})["status"]
    assert user.ready()


def test_of_the_pods_of_another_cluster_of_that_name_nothing_is_told_and_none_is_evicted(
    pods: Pods, evicted: Evictions, aws: World
) -> None:
    aws.set_certificate_authority(aws.cluster, bundle(ONE))
    operator = evicted.allow("pods/eviction", WEBHOOKS)
    pods.make()
    pods.deploy(replicas=1)
    evicted.apply()
    pods.user.wait_ready()
    wait_for(lambda: "pods known=False" in operator.said(), AFTER_A_WHILE, "the log says that nothing is known")
    assert not pods.user.condition(kind="PodsStranded")
    assert evicted.sent() == []


@pytest.mark.parametrize("policy", ["Replace", "Recreate"])
def test_after_an_edit_every_pod_runs_on_the_new_profile_or_status_says_which_does_not_and_why(
    pods: Pods, watchful: Operator, policy: str
) -> None:
    user, chosen = pods.user, [{"namespace": pods.user.namespace}]
    user.apply(selectors=chosen, updatePolicy=policy)
    user.wait_ready()
    pods.wait_known("web")
    pods.deploy(replicas=3)
    pods.wait_all_on("web", 3)
    old = {each["metadata"]["uid"] for each in pods.all()}
    user.edit(selectors=[*chosen, {"namespace": "more"}])
    user.wait_ready()
    (profile,) = profiles(pods.aws)
    pods.wait_known(profile)
    wait_for(lambda: not old & {each["metadata"]["uid"] for each in pods.all()}, SOON, "the old pods are gone")

    def all_is_told() -> bool:
        found = pods.all()
        missed = [each["metadata"]["name"] for each in found if taken_by(each) != profile]
        told = user.condition(kind="PodsStranded")
        right = all(name in told["message"] for name in missed) if told else not missed
        return len(found) == 3 and right and all(is_ready(each) for each in found if taken_by(each) == profile)

    wait_for(all_is_told, AFTER_A_WHILE, "each pod runs, or the object tells that it is stranded")
    gap = any(taken_by(each) == "" for each in pods.all())
    assert gap or policy == "Replace", "under Recreate there is no profile for a while"
    ok(user.kubectl("rollout", "restart", "deployment/app"))
    pods.wait_all_on(profile, 3)
    wait_for(lambda: not user.condition(kind="PodsStranded"), AFTER_A_WHILE, "none is stranded any more")


# Evictions

READS = ("statefulsets", "replicationcontrollers")  # what owners make next
WEBHOOKS = "mutatingwebhookconfigurations"
RESYNC_SECONDS = 4  # the words of a condition are written anew at each


@dataclass
class Evictions:
    """An operator that may evict in the user's namespace, and what it has evicted, by the audit log."""

    pods: Pods
    plane: ControlPlane
    granted: Callable[..., None]
    new_operator: NewOperator
    before: int = 0

    def allow(self, *more: str, where: str = "", **variables: str) -> Operator:
        """Start an operator that has these optional rules beside those that evictions can't do without."""
        self.granted("pods", *READS, *more)
        self.before = self.plane.audited()
        usual = {"E2E_LOOK_SECONDS": "0.5", "RESYNC_SECONDS": str(RESYNC_SECONDS)}
        where = where or self.pods.user.namespace
        made = self.new_operator(runner=True, ALLOW_EVICTION_IN=where, **usual | variables)
        made.start()
        return made

    def apply(self, **spec: Any) -> None:
        user = self.pods.user
        user.apply(selectors=[{"namespace": user.namespace}], strandedPods="Evict", **spec)

    def wait_told(self, words: str) -> None:
        user = self.pods.user

        def told() -> bool:
            return words in user.condition(kind="PodsStranded").get("message", "")

        wait_for(told, AFTER_A_WHILE, f"PodsStranded says: {words}")
        assert user.ready()

    def asked(self) -> list[Obj]:
        """Return the evictions for which it has asked, as the audit log has them."""
        ours = [each for each in self.plane.audit(self.before) if each["user"]["username"] == IDENTITY]
        return [each for each in ours if each.get("objectRef", {}).get("subresource") == "eviction"]

    def sent(self) -> list[tuple[str, int]]:
        """Return the pods for which it has asked for an eviction, and the answers."""
        return [(each["objectRef"]["name"], each["responseStatus"]["code"]) for each in self.asked()]


@pytest.fixture
def evicted(pods: Pods, plane: ControlPlane, granted: Callable[..., None], new_operator: NewOperator) -> Evictions:
    return Evictions(pods, plane, granted, new_operator)


def test_with_evict_pods_that_came_before_their_profile_come_back_and_run(pods: Pods, evicted: Evictions) -> None:
    evicted.allow("pods/eviction", WEBHOOKS)
    pods.deploy(replicas=3)
    wait_for(lambda: len(pods.all()) == 3, SOON, "its pods are there")
    old = {each["metadata"]["name"] for each in pods.all()}
    evicted.apply()
    wait_for(evicted.sent, AFTER_A_WHILE, "the first is evicted")
    pods.wait_all_on("web", 3, AFTER_A_WHILE)
    assert sorted(evicted.sent()) == sorted((name, 201) for name in old), "each once"
    wait_for(lambda: not pods.user.condition(kind="PodsStranded"), SOON, "none is stranded any more")


@pytest.mark.parametrize("policy", ["Replace", "Recreate"])
def test_with_evict_every_pod_runs_on_the_new_profile_after_an_edit_by_itself(
    pods: Pods, evicted: Evictions, policy: str
) -> None:
    evicted.allow("pods/eviction", WEBHOOKS)
    evicted.apply(updatePolicy=policy)
    pods.user.wait_ready()
    pods.wait_known("web")
    pods.deploy(replicas=2)
    pods.wait_all_on("web", 2)
    pods.user.edit(selectors=[{"namespace": pods.user.namespace}, {"namespace": "more"}])
    pods.user.wait_ready()
    (profile,) = profiles(pods.aws)
    pods.wait_all_on(profile, 2, AFTER_A_WHILE)


def test_a_pod_that_is_scheduled_between_look_and_eviction_survives(pods: Pods, evicted: Evictions) -> None:
    pods.profile("other", other="yes")
    pods.make("other", {"labels": {"other": "yes"}})
    node = pods.wait_phase("other")["spec"]["nodeName"]
    evicted.allow("pods/eviction", WEBHOOKS)
    pods.deploy(replicas=1)
    wait_for(lambda: len(pods.all()) == 2, SOON, "its pod is there")
    (pod,) = (each for each in pods.all() if each["metadata"]["name"] != "other")
    name = pod["metadata"]["name"]

    def bind(request: Obj) -> list[Obj]:
        """Give the pod a node just before its eviction is carried out."""
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        pods.api.call("POST", path_of(pod, "pods", "binding"), body)
        return []

    with before_evictions(pods, bind):
        evicted.apply()
        wait_for(evicted.sent, AFTER_A_WHILE, "its eviction is asked for")
    assert evicted.sent() == [(name, 409)]
    assert pods.get(name)["metadata"]["uid"] == pod["metadata"]["uid"]
    assert "deletionTimestamp" not in pods.get(name)["metadata"]


@contextmanager
def before_evictions(pods: Pods, happen: Callable[[Obj], list[Obj]]) -> Iterator[None]:
    """Let something happen between the request for an eviction and the eviction."""
    with webhook.serving(happen) as served:
        hook = {**served["webhooks"][0], "name": "before.example.com", "failurePolicy": "Fail"}
        hook["rules"] = [{**hook["rules"][0], "resources": ["pods/eviction"]}]
        made = {**served, "metadata": {"name": "before.example.com"}, "webhooks": [hook]}
        pods.api.call("POST", webhook.PATH, made)
        try:
            yield
        finally:
            pods.api.call("DELETE", f"{webhook.PATH}/before.example.com")


def test_what_cannot_run_on_fargate_or_has_nobody_to_make_it_anew_is_told_and_never_evicted(
    pods: Pods, evicted: Evictions, plane: ControlPlane
) -> None:
    evicted.allow("pods/eviction", WEBHOOKS)
    gpu = container(resources={"limits": {"nvidia.com/gpu": "1"}})
    pods.deploy("karpenter", 1, nodeSelector={"karpenter.sh/nodepool": "default"})
    pods.deploy("gpu", 1, containers=[gpu])
    pods.deploy("gated", 1, schedulingGates=[{"name": "example.com/wait"}])
    pods.make("bare")
    later = [stateful_set_on_ebs(), job()] if has_manager() else []
    for obj in later:
        ok(pods.user.kubectl("create", "-f", "-", stdin=json.dumps(obj)))
    wait_for(lambda: len(pods.all()) == 4 + len(later), SOON, "the pods are there")
    left = {each["metadata"]["uid"] for each in pods.all()}
    evicted.apply()
    pods.user.wait_ready()
    evicted.wait_told("Fargate can't run them")
    evicted.wait_told("they have no ReplicaSet, StatefulSet or ReplicationController")
    pods.deploy("plain", 1)
    pods.wait_known("web")
    assert {each["metadata"]["uid"] for each in pods.all()} >= left
    assert [name for name, _ in evicted.sent() if not name.startswith("plain")] == []


def has_manager() -> bool:
    return find_manager(make=False) is not None


def stateful_set_on_ebs() -> Obj:
    """Return one whose claim waits for the first pod's node, as volumes of EBS do."""
    storage = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "ebs"}}
    storage["spec"] |= {"resources": {"requests": {"storage": "1Gi"}}}  # type: ignore[operator]
    mounts = [{"name": "data", "mountPath": "/data"}]
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [container(volumeMounts=mounts)]}}
    spec = {"serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    made = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}}
    return {**made, "spec": {**spec, "volumeClaimTemplates": [storage]}}


def job() -> Obj:
    template = {"spec": {"containers": [container()], "restartPolicy": "Never"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"template": template}}


def test_without_eks_s_webhook_nothing_is_evicted_and_the_object_says_why(
    pods: Pods, evicted: Evictions, ways: Ways
) -> None:
    ways.registers = False
    evicted.allow("pods/eviction", WEBHOOKS)
    pods.deploy(replicas=2)
    wait_for(lambda: len(pods.all()) == 2, SOON, "its pods are there")
    evicted.apply()
    evicted.wait_told("the cluster does not have it")
    assert evicted.sent() == []


def test_where_the_webhook_may_not_be_read_one_pod_a_resync_is_tried_and_then_the_object_says_so(
    pods: Pods, evicted: Evictions, ways: Ways
) -> None:
    ways.registers = False
    evicted.allow("pods/eviction")
    pods.deploy("one", 2)
    pods.deploy("two", 2)
    wait_for(lambda: len(pods.all()) == 4, SOON, "the pods are there")
    evicted.apply()
    evicted.wait_told("one pod a resync is tried until EKS has taken one")
    times = [datetime.fromisoformat(each["requestReceivedTimestamp"]) for each in evicted.asked()]
    assert times
    assert all((later - one).total_seconds() > 0.9 * RESYNC_SECONDS for one, later in pairwise(times))


def test_an_owner_of_whose_pods_eks_takes_none_is_left_after_three_also_over_restarts(
    pods: Pods, evicted: Evictions, ways: Ways
) -> None:
    ways.lag_seconds = 3600  # EKS has its webhook, and does not know the profile
    operator = evicted.allow("pods/eviction", WEBHOOKS)
    pods.deploy(replicas=1)
    wait_for(lambda: len(pods.all()) == 1, SOON, "its pod is there")
    evicted.apply()
    wait_for(lambda: len(evicted.sent()) == 2, AFTER_A_WHILE, "two are tried")
    operator.restart()
    evicted.wait_told("EKS took none of 3 pods that their owner made anew")
    operator.restart()
    wait_for(lambda: operator.said().count("condition=PodsStranded") >= 1, SOON, "it has looked again")
    evicted.wait_told("EKS took none of 3 pods that their owner made anew")
    assert [code for _, code in evicted.sent()] == [201] * 3


@pytest.mark.parametrize(
    ("rules", "where", "says"),
    [
        (["pods/eviction", WEBHOOKS], "elsewhere", "--allow-eviction-in does not list"),
        ([WEBHOOKS], "", "let the operator create pods/eviction"),
    ],
)
def test_nothing_is_evicted_where_operator_or_cluster_do_not_allow_it(
    pods: Pods, evicted: Evictions, rules: list[str], where: str, says: str
) -> None:
    evicted.allow(*rules, where=where)
    pods.deploy(replicas=1)
    wait_for(lambda: len(pods.all()) == 1, SOON, "its pod is there")
    uid = pods.all()[0]["metadata"]["uid"]
    evicted.apply()
    evicted.wait_told(says)
    assert [each["metadata"]["uid"] for each in pods.all()] == [uid]
    assert {code for _, code in evicted.sent()} <= {403}


def test_without_a_controller_manager_small_replicas_make_pods_roll_them_out_and_take_them_away(
    control_plane: ControlPlane, aws: World, ways: Ways
) -> None:
    api, namespace = api_of(control_plane), "small-replicas"
    ok(control_plane.kubectl("create", "namespace", namespace))
    aws.add_profile(aws.cluster, "web", ROLE, [{"namespace": namespace}], SUBNETS)

    def owners() -> set[str]:
        found = [each for each in api.list(place("v1", namespace, "pods")) if taken_by(each) and is_ready(each)]
        return {each["metadata"]["ownerReferences"][0]["uid"] for each in found} if len(found) == 2 else set()

    def given() -> bool:
        asked = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "tried"},
            "spec": {"containers": [container()]},
        }
        return taken_by(api.call("POST", f"{place('v1', namespace, 'pods')}?dryRun=All", asked)) == "web"

    with fargate(api, aws, ways), replicas(api):
        wait_for(given, SOON, "EKS has its webhook, the API server asks it, and it knows the profile")
        kubectl = partial(control_plane.kubectl, "-n", namespace)
        ok(kubectl("create", "deployment", "app", "--image=registry.example/app", "--replicas=2"))
        ok(kubectl("rollout", "status", "deployment/app", f"--timeout={AFTER_A_WHILE}s"))
        before = owners()
        assert len(before) == 1
        ok(kubectl("rollout", "restart", "deployment/app"))
        wait_for(lambda: len(owners() - before) == 1, AFTER_A_WHILE, "the pods are made anew")
        ok(kubectl("delete", "deployment", "app"))
        wait_for(lambda: not api.list(place("v1", namespace, "pods")), AFTER_A_WHILE, "the pods go with it")
