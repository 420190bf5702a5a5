"""Fargate on an API server: EKS's webhook, its scheduler and its kubelets, beside the profiles of a stand-in for EKS.

    profiles --(lag)--> `mutate`: a pod's profile      `step`: look once -> task -> node, binding, Running -> end

What a pod is judged by stands in tests/fakes/fargate_rules.py, what may vary in `Ways`. No container ever runs: a pod
is Running because its kubelet says so, and one that is to end does after a while. The places of EKS's processes are
kept, who writes what and by which name; of the default scheduler there is only that it finds no node.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.fakes import webhook
from tests.fakes.api import Api, Refused, path_of
from tests.fakes.fargate_rules import (
    COMPUTE_TYPE,
    LABEL,
    NO_SCHEDULER,
    NOT_ASSUMABLE,
    NOT_MAPPED,
    SCHEDULER,
    TIMED_OUT,
    UNSCHEDULABLE,
    Refusal,
    Unknown,
    blocked,
    capacity,
    choose,
    node,
    patch,
    refusal,
)

if TYPE_CHECKING:
    from tests.fakes.aws import World

Obj = dict[str, Any]
AGENT = "eks:fargate-scheduler"
MANAGER = "eks:fargate-manager"
LOOK_SECONDS = 0.1
STOP_SECONDS = 10.0
NO_LOGS = "LoggingDisabled: LOGGING_CONFIGMAP_NOT_FOUND"
NO_LOGS_EVENT = 'Disabled logging because aws-logging configmap was not found. configmap "aws-logging" not found'


@dataclass
class Ways:
    """How Fargate behaves in a test."""

    lag_seconds: float = 1  # from ACTIVE on, for which pods do not see a profile yet
    launch_seconds: float = 0.2  # from the scheduler's look to the node; EKS takes 45
    retry_seconds: float = 0.3  # after a provisioning that timed out
    run_seconds: float = 2  # of a pod that is to end
    registers: bool = True  # the webhook is there once a profile has been
    scheduling: bool = True  # new pods are looked at
    version: str = "v1.34.1-eks-113cf36"  # of kubelets that are launched from now on
    time_outs: int = 0  # of the next launches
    refuses: str = ""  # a text that meets all new pods, as an account's quota does
    unknown: Unknown = field(default_factory=Unknown)


@dataclass
class Task:
    """A pod that the scheduler has looked at; one that is refused has no time, for it looks but once."""

    profile: str
    name: str = ""
    zone: str = ""
    due: float = math.inf


class Fargate:
    """What EKS does for the pods of one of its clusters, step by step."""

    def __init__(self, api: Api, world: World, ways: Ways | None = None) -> None:
        self._api, self._world, self.ways = api, world, ways or Ways()
        self._registered = False
        self._active_since: dict[str, float] = {}  # by ARN
        self._tasks: dict[str, Task] = {}  # by the pod's uid
        self._nodes: dict[str, str] = {}  # name -> the pod's uid
        self._addresses = iter(range(1, 2**16))
        self._held: set[str] = set()  # profiles that have pods
        world.manners.has_pods = lambda profile: profile in self._held

    # EKS's webhook

    def mutate(self, request: Obj) -> list[Obj]:
        """Return what the webhook makes of an admission request."""
        if request["operation"] != "CREATE" or request["resource"]["resource"] != "pods":
            return []
        pod, known = request["object"], self.known()
        name = choose(pod, request["namespace"], known, self.ways.unknown)
        return patch(pod, name) if name else []

    def known(self) -> list[Obj]:
        """Return the profiles that pods are given to."""
        latest = time.monotonic() - self.ways.lag_seconds
        return [each for each in self._active() if self._active_since.get(_arn(each), math.inf) <= latest]

    def _active(self) -> list[Obj]:
        return [each for each in self._world.profiles(self._world.cluster) if each["status"] == "ACTIVE"]

    def register(self, configuration: Obj) -> None:
        """Have the webhook as it is to be: with the first profile it comes, and stays."""
        wanted = self.ways.registers and (self._registered or bool(self._world.profiles(self._world.cluster)))
        if wanted and not self._registered:
            self._api.call("POST", webhook.PATH, configuration, webhook.BOOTSTRAP)
        elif self._registered and not wanted:
            self._api.call("DELETE", f"{webhook.PATH}/{webhook.NAME}")
        self._registered = wanted

    # What goes on by itself

    def step(self) -> None:
        """Do what is to be done now."""
        profiles = {each["fargateProfileName"]: each for each in self._active()}
        now = time.monotonic()
        self._active_since = {arn: self._active_since.get(arn, now) for arn in map(_arn, profiles.values())}
        pods = self._api.list("/api/v1/pods")
        self._note(pods)
        for pod in pods:
            self._attempt(pod, profiles)
        self._remove_nodes({pod["metadata"]["uid"] for pod in pods})

    def _note(self, pods: Iterable[Obj]) -> None:
        """Remember for EKS which profiles have pods, and forget those that are gone."""
        taken = [each for each in pods if _is_taken(each) and each["spec"].get("nodeName")]
        self._held = {each["metadata"]["labels"][LABEL] for each in taken}
        there = {pod["metadata"]["uid"] for pod in pods}
        self._tasks = {uid: task for uid, task in self._tasks.items() if uid in there}

    def _attempt(self, pod: Obj, profiles: dict[str, Obj]) -> None:
        """Take a pod a step further; a refusal, whatever the reason, is no trouble of the other pods."""
        with suppress(Refused):
            self._advance(pod, profiles)

    def _advance(self, pod: Obj, profiles: dict[str, Obj]) -> None:
        spec, profile = pod["spec"], profiles.get(pod["metadata"].get("labels", {}).get(LABEL, ""))
        going = "deletionTimestamp" in pod["metadata"]
        if spec.get("nodeName", "").startswith("fargate-"):
            self._live(pod, going=going, lost=_is_taken(pod) and profile is None)
        elif going or spec.get("schedulingGates"):
            return
        elif _is_taken(pod):
            self._schedule(pod, profile)
        elif not spec.get("nodeName") and spec["schedulerName"] == "default-scheduler":
            self._find_no_node(pod)

    # The scheduler

    def has_looked(self, uid: str) -> bool:
        """Say whether the scheduler has looked at a pod."""
        return uid in self._tasks

    def _schedule(self, pod: Obj, profile: Obj | None) -> None:
        task = self._tasks.get(pod["metadata"]["uid"])
        if task is None:
            if self.ways.scheduling:
                self._look(pod)
        elif task.due < math.inf and profile is None:
            self._delete(pod)
        elif time.monotonic() >= task.due:
            self._launch(pod, task)

    def _look(self, pod: Obj) -> None:
        """Look at a pod for the first time, which is the only one for what it is, with its profile as it is now."""
        uid, name = pod["metadata"]["uid"], pod["metadata"]["labels"][LABEL]
        profile = next((each for each in self._active() if each["fargateProfileName"] == name), None)
        zones = self._zones(profile) if profile else []
        if profile is None:
            self._tasks[uid] = Task(name)  # nothing is said of it, and a profile that comes later does not help
            return
        if why := self._refusal(pod, profile, zones):
            self._say_refused(pod, why)
            self._tasks[uid] = Task(name)
            return
        task = Task(name, f"{secrets.token_hex(5)}-{secrets.token_hex(16)}", zones[0])
        self._nominate(pod, task)
        task.due = time.monotonic() + self.ways.launch_seconds
        self._tasks[uid] = task

    def _refusal(self, pod: Obj, profile: Obj, zones: list[str]) -> Refusal | None:
        name, role = profile["fargateProfileName"], profile["podExecutionRoleArn"]
        if self.ways.refuses:
            return Refusal(UNSCHEDULABLE, self.ways.refuses)
        with self._world.lock:
            mapped = self._world.rules.maps(self._world.cluster, role)
            assumable = self._world.rules.may_assume(role, _arn(profile))
        if not mapped:
            return blocked(name, NOT_MAPPED)
        if not assumable:
            return blocked(name, NOT_ASSUMABLE)
        return refusal(pod, name, zones, lambda claim: self._wrong_with(pod["metadata"]["namespace"], claim))

    def _zones(self, profile: Obj) -> list[str]:
        with self._world.lock:
            return self._world.rules.zones(profile["subnets"])

    def _wrong_with(self, namespace: str, name: str) -> str:
        """Say why Fargate can't use a claim, "" where it can."""
        claim = self._api.find(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        volume = claim["spec"].get("volumeName")
        if claim.get("status", {}).get("phase") != "Bound" or not volume:
            return f"PVC {name} not bound"
        spec = (self._api.find(f"/api/v1/persistentvolumes/{volume}") or {}).get("spec", {})
        driver = spec.get("csi", {}).get("driver")
        if driver == "efs.csi.aws.com":
            return ""
        why = f"with CSI Driver: {driver}" if driver else "with nil CSI spec"
        return f"PVC {name} bound to invalid PV {volume} {why}"

    def _nominate(self, pod: Obj, task: Task) -> None:
        annotations = {"CapacityProvisioned": capacity(pod), "Logging": NO_LOGS}
        meta = pod["metadata"]
        changed = {
            **pod,
            "metadata": {**meta, "annotations": {**meta.get("annotations", {}), **annotations}},
            "status": {**pod["status"], "nominatedNodeName": task.name},
        }
        self._api.call("PUT", path_of(pod, "pods", "status"), changed, AGENT)
        self._tell(pod, "Warning", "LoggingDisabled", NO_LOGS_EVENT)

    def _say_refused(self, pod: Obj, why: Refusal) -> None:
        self._set_unscheduled(pod, why, AGENT)
        self._tell(pod, "Warning", "FailedScheduling", why.text)

    def _set_unscheduled(self, pod: Obj, why: Refusal, user: str) -> None:
        listed = [each for each in pod["status"].get("conditions", []) if each["type"] != "PodScheduled"]
        said = {"type": "PodScheduled", "status": "False", "reason": why.code, "message": why.text}
        status = {**pod["status"], "conditions": [*listed, {**said, "lastTransitionTime": _now()}]}
        self._api.call("PUT", path_of(pod, "pods", "status"), {**pod, "status": status}, user)

    def _launch(self, pod: Obj, task: Task) -> None:
        if self.ways.time_outs > 0:
            self.ways.time_outs -= 1
            task.due = time.monotonic() + self.ways.retry_seconds
            self._say_refused(pod, Refusal(UNSCHEDULABLE, TIMED_OUT))
            return
        number = next(self._addresses)
        new = node(f"192.168.{number >> 8}.{number & 255}", task.zone, task.name, self.ways.version)
        name = new["metadata"]["name"]
        self._api.call("POST", "/api/v1/nodes", new, f"system:node:{name}")
        self._nodes[name] = pod["metadata"]["uid"]
        # The API server has given it a taint that a cloud's own controller takes away.
        self._api.call("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": new["spec"]["taints"]}}, MANAGER)
        meta = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        target = {"apiVersion": "v1", "kind": "Node", "name": name}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target}
        self._api.call("POST", path_of(pod, "pods", "binding"), binding, AGENT)

    def _find_no_node(self, pod: Obj) -> None:
        """Say what the default scheduler does where every node is Fargate's."""
        if any(each["type"] == "PodScheduled" for each in pod["status"].get("conditions", [])):
            return
        number = len(self._nodes)
        taint = f"{number} node(s) had untolerated taint {{{COMPUTE_TYPE}: fargate}}"
        text = f"0/{number} nodes are available: {taint}." if number else "no nodes available to schedule pods"
        self._set_unscheduled(pod, Refusal(UNSCHEDULABLE, text), "system:kube-scheduler")
        self._tell(pod, "Warning", "FailedScheduling", text, "default-scheduler")

    # The kubelets

    def _live(self, pod: Obj, *, going: bool, lost: bool) -> None:
        """Do what the node of a pod does; `lost` is a pod whose profile is going or gone."""
        if going:
            self._end(pod)
        elif lost:
            self._delete(pod)
        elif pod["status"]["phase"] == "Pending":
            self._run(pod)
        elif pod["status"]["phase"] == "Running" and self._is_over(pod):
            self._report(pod, "Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed"}})

    def _delete(self, pod: Obj) -> None:
        """Ask for a pod's deletion, as EKS does for those of a profile that goes: no budget is asked."""
        self._api.call("DELETE", path_of(pod, "pods"), _only(pod), MANAGER)

    def _end(self, pod: Obj) -> None:
        body = {**_only(pod), "gracePeriodSeconds": 0}
        self._api.call("DELETE", path_of(pod, "pods"), body, f"system:node:{pod['spec']['nodeName']}")

    def _run(self, pod: Obj) -> None:
        if pod["spec"]["schedulerName"] != SCHEDULER:
            said = {"phase": "Failed", "reason": "UnsupportedPodSpec", "message": NO_SCHEDULER}
            self._set_status(pod, said)
            return
        self._report(pod, "Running", {"running": {"startedAt": _now()}})

    def _report(self, pod: Obj, phase: str, state: Obj) -> None:
        running, spec = phase == "Running", pod["spec"]
        address = spec["nodeName"].removeprefix("fargate-ip-").partition(".")[0].replace("-", ".")
        containers = [
            {"name": each["name"], "image": each["image"], "imageID": "", "ready": running, "restartCount": 0}
            | {"started": running, "state": state}
            for each in spec["containers"]
        ]
        conditions = [
            {"type": each, "status": "True" if running or each in {"Initialized", "PodScheduled"} else "False"}
            | {"lastTransitionTime": _now()}
            for each in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ]
        said = {"phase": phase, "hostIP": address, "podIP": address, "podIPs": [{"ip": address}]}
        said |= {"startTime": pod["status"].get("startTime") or _now()}
        self._set_status(pod, {**said, "containerStatuses": containers, "conditions": conditions})

    def _set_status(self, pod: Obj, status: Obj) -> None:
        changed = {**pod, "status": {**pod["status"], **status}}
        self._api.call("PUT", path_of(pod, "pods", "status"), changed, f"system:node:{pod['spec']['nodeName']}")

    def _is_over(self, pod: Obj) -> bool:
        started = datetime.fromisoformat(pod["status"]["startTime"])
        ends = pod["spec"]["restartPolicy"] != "Always"
        return ends and (datetime.now(UTC) - started).total_seconds() >= self.ways.run_seconds

    def _remove_nodes(self, uids: set[str]) -> None:
        """Take away the nodes whose pods are gone; that of a finished pod stays as long as the pod."""
        for name, uid in list(self._nodes.items()):
            if uid not in uids:
                self._api.call("DELETE", f"/api/v1/nodes/{name}", user=MANAGER)
                del self._nodes[name]

    def _tell(self, pod: Obj, kind: str, reason: str, text: str, component: str = SCHEDULER) -> None:
        meta = pod["metadata"]
        about = {"apiVersion": "v1", "kind": "Pod"} | {key: meta[key] for key in ("name", "namespace", "uid")}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{meta['name']}.{secrets.token_hex(8)}", "namespace": meta["namespace"]},
            "involvedObject": about,
            "type": kind,
            "reason": reason,
            "message": text,
            "source": {"component": component},
            "firstTimestamp": _now(),
            "lastTimestamp": _now(),
            "count": 1,
        }
        self._api.call("POST", f"/api/v1/namespaces/{meta['namespace']}/events", event, AGENT)


def _arn(profile: Obj) -> str:
    return str(profile["fargateProfileArn"])


def _is_taken(pod: Obj) -> bool:
    return pod["spec"].get("schedulerName") == SCHEDULER and LABEL in pod["metadata"].get("labels", {})


def _only(pod: Obj) -> Obj:
    """Return what holds a deletion to this very pod."""
    return {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": pod["metadata"]["uid"]}}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def fargate(api: Api, world: World, ways: Ways | None = None) -> Iterator[Fargate]:
    """Run Fargate beside an API server, from a thread; the webhook is taken away at the end."""
    running, stop = Fargate(api, world, ways), threading.Event()
    with webhook.serving(running.mutate) as configuration:
        thread = threading.Thread(target=_go_on, args=(running, configuration, stop), daemon=True)
        thread.start()
        try:
            yield running
        finally:
            stop.set()
            thread.join(STOP_SECONDS)
            running.ways.registers = False
            with suppress(Refused):
                running.register(configuration)


def _go_on(running: Fargate, configuration: Obj, stop: threading.Event) -> None:
    """Go step by step; an API server that is down is asked again."""
    while not stop.wait(LOOK_SECONDS):
        with suppress(Refused):
            running.register(configuration)
            running.step()
