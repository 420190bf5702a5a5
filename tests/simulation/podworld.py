"""The pods of a simulated world, and who makes and takes them beside the controller.

    ReplicaSets -> pods -> EKS's webhook (once, as each is made) -> Fargate's scheduler -> running on a profile

`step` lets their controllers and EKS do what is due, and then the processes' threads that look at pods. What users do
to pods is in `deeds`; whether an eviction is right is judged in `evictions`. All of it is about the cluster demo.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from checks import WEBHOOK
from pods import FARGATE_SCHEDULER, PROFILE_LABEL

if TYPE_CHECKING:
    from tests.simulation.world import World

Object = dict[str, Any]

CLUSTER = "demo"
NAMESPACES = ("shop", "web", "api", "db", "jobs")  # which profiles of objects of these names select
REACT_SECONDS = 10.0  # within which everybody has seen what has changed
NODE_SECONDS = 45.0  # for Fargate to place a pod
OPTIONAL = (
    ("list", "pods"), ("create", "pods/eviction"), ("get", "replicasets"), ("get", "mutatingwebhookconfigurations"),
)  # fmt: skip
HOOK = {
    "name": WEBHOOK,
    "rules": [{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["pods"]}],
}
# What a template may have beside its containers: nothing, and what keeps a pod from ever being evicted.
KINDS: dict[str, Object] = {
    "plain": {},
    "held": {"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}},
    "of Karpenter": {"spec": {"nodeSelector": {"karpenter.sh/capacity-type": "spot"}}},
    "gated": {"spec": {"schedulingGates": [{"name": "example.com/wait"}]}},
    "left alone": {"metadata": {"annotations": {"eks.amazonaws.com/compute-type": "ec2"}}},
}


class PodWorld:
    """What is there of pods in a world: `misses` is how often EKS overlooks a pod, as a webhook that may fail does."""

    def __init__(self, world: World, misses: float = 0.0) -> None:
        self.world, self.misses = world, misses
        self.rand = random.Random(world.seed + 5)
        self.next_at, self.made = world.clock.elapsed, 0
        self.changed_at = 0.0  # when pods or their owners were last seen to change
        self._seen = 0  # so many of their changes
        for namespace in NAMESPACES:
            world.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.hook()

    # What users and administrators do

    def hook(self, there: bool = True) -> None:
        """Have EKS's webhook registered, or not."""
        api, kind = self.world.api, "mutatingwebhookconfigurations"
        if there:
            head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
            api.apply({**head, "metadata": {"name": WEBHOOK}, "webhooks": [HOOK]})
        elif api.peek(kind, "", WEBHOOK):
            api.delete(kind, "", WEBHOOK)

    def owner(self, namespace: str, name: str, replicas: int = 1, kind: str = "plain") -> None:
        """Make a ReplicaSet; its pods come within `REACT_SECONDS`."""
        more = KINDS[kind]
        template = {
            "metadata": {"labels": {"app": name}, **more.get("metadata", {})},
            "spec": {"containers": [{"name": "app", "image": "app:1"}], **more.get("spec", {})},
        }
        self.world.note("user", f"makes ReplicaSet {namespace}/{name} of {replicas}, {kind}")
        spec = {"replicas": replicas, "template": template}
        meta = {"name": name, "namespace": namespace}
        self.world.api.apply({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec})

    def alone(self, namespace: str, owner: Object | None = None) -> None:
        """Make a pod that nobody makes anew, or a Job's."""
        template = {"metadata": {}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
        self._make(namespace, "alone", template, [owner] if owner else [])

    # What everybody else does by himself

    def step(self) -> bool:
        """Let pods, their owners, EKS and who looks at pods do what is due; say whether anything was."""
        now = self.world.clock.elapsed
        if now >= self.next_at:
            self.next_at = now + REACT_SECONDS
            self.react()
            return True
        due = [each for each in self.world.processes if each.is_to_glance(now)]
        for process in due:
            process.glance()
        return bool(due)

    def soon(self) -> float:
        """Return when something is due."""
        glances = [each.glance_at for each in self.world.processes if each.is_to_glance(each.glance_at)]
        return min([self.next_at, *glances])

    def react(self) -> None:
        """Make the pods that owners lack, end those whose profile goes, place those that EKS has taken."""
        api = self.world.api
        profiles = {name: stored.body for name, stored in self.world.account.stored(CLUSTER).items()}
        for pod in api.objects("pods"):
            self._move(pod, profiles)
        count: dict[str, int] = {}
        for pod in api.objects("pods"):
            for each in pod["metadata"].get("ownerReferences", []):
                count[each["uid"]] = count.get(each["uid"], 0) + 1
        for owner in api.objects("replicasets"):
            for _ in range(owner["spec"]["replicas"] - count.get(owner["metadata"]["uid"], 0)):
                self._make_for(owner)
        if (changes := len(api.changes("pods", 0)) + len(api.changes("replicasets", 0))) != self._seen:
            self._seen, self.changed_at = changes, self.world.clock.elapsed

    def _move(self, pod: Object, profiles: dict[str, Object]) -> None:
        meta, spec, now = pod["metadata"], pod["spec"], self.world.clock.elapsed
        profile = profiles.get(meta.get("labels", {}).get(PROFILE_LABEL, ""))
        if spec["schedulerName"] != FARGATE_SCHEDULER:
            return
        if "nodeName" in spec:
            if profile is None or profile["status"] == "DELETING":
                self._edit(pod, None)
        elif pod["status"].get("nominatedNodeName"):
            if now - float(meta["annotations"]["example.com/taken-at"]) >= NODE_SECONDS:
                status = {"phase": "Running", "nominatedNodeName": None}
                self._edit(pod, {"spec": {"nodeName": f"fargate-{meta['name']}"}, "status": status})
        elif profile and profile["status"] == "ACTIVE" and profile["fargateProfileArn"] == arn_of(pod):
            told = {"CapacityProvisioned": "0.25vCPU 0.5GB", "example.com/taken-at": f"{now}"}
            self._edit(pod, {"metadata": {"annotations": told}, "status": {"nominatedNodeName": "task-1"}})

    def _edit(self, pod: Object, change: Object | None) -> None:
        place = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        if change is None:
            self.world.api.delete("pods", *place)
        else:
            self.world.api.edit("pods", *place, change)

    def _make_for(self, owner: Object) -> None:
        meta = owner["metadata"]
        reference = {key: owner[key] for key in ("apiVersion", "kind")} | {"controller": True}
        reference |= {key: meta[key] for key in ("name", "uid")}
        template = owner["spec"]["template"]
        labels = template["metadata"]["labels"] | {"pod-template-hash": "1"}
        head = template["metadata"] | {"labels": labels}
        if self._make(meta["namespace"], meta["name"], {**template, "metadata": head}, [reference]):
            self.world.checker.evictions.taken(meta["uid"])

    def _make(self, namespace: str, name: str, template: Object, owners: list[Object]) -> bool:
        """Make a pod and let EKS look at it; say whether it was taken."""
        self.made += 1
        meta = {
            **template["metadata"],
            "name": f"{name}-{self.made}",
            "namespace": namespace,
            "ownerReferences": owners,
        }
        pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**template["spec"]}}
        profile = self._picked(pod)
        if profile:
            meta["labels"] = {**meta.get("labels", {}), PROFILE_LABEL: profile["fargateProfileName"]}
            meta["annotations"] = {**meta.get("annotations", {}), "example.com/arn": profile["fargateProfileArn"]}
            pod["spec"]["schedulerName"] = FARGATE_SCHEDULER
        self.world.api.apply(pod)
        self.world.note("pods", f"{namespace}/{meta['name']} is made, for {profile and profile['fargateProfileName']}")
        return profile is not None

    def _picked(self, pod: Object) -> Object | None:
        """Return the profile that EKS's webhook picks, None where it is not there or sees none."""
        if not self.world.api.peek("mutatingwebhookconfigurations", "", WEBHOOK) or self.rand.random() < self.misses:
            return None
        meta = pod["metadata"]
        if "eks.amazonaws.com/compute-type" in meta.get("annotations", {}):
            return None
        stored = self.world.account.stored(CLUSTER)
        found = (each.body for _, each in sorted(stored.items()) if each.body["status"] == "ACTIVE")
        return next((each for each in found if selects(each, meta["namespace"])), None)

    def quieten(self) -> None:
        """Mend what may be wrong with pods."""
        self.misses = 0.0
        self.hook()
        for verb, resource in OPTIONAL:
            self.world.api.permit(verb, resource)


def selects(profile: Object, namespace: str) -> bool:
    """Say whether a profile takes pods of a namespace; none of this world looks at labels."""
    return any(each["namespace"] == namespace for each in profile["selectors"])


def arn_of(pod: Object) -> str:
    """Return the profile for which EKS has taken a pod, which a later one of the same name is not."""
    return str(pod["metadata"].get("annotations", {}).get("example.com/arn", ""))
