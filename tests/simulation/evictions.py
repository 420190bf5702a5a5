"""Whether an eviction of a pod is right, judged in the moment in which it takes effect, and how many there may be.

An eviction is only right if object and operator allow it, and the pod's own state of that very version calls for it
(S2). The checker knows the pod, and profiles and objects as they are and as the process was shown them: what others
have changed between the last look and the call is the exception that S2 has. It asks neither `pods` nor `evictions`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spec import OWNER_KEY
from tests.simulation.podworld import CLUSTER, KINDS, selects

if TYPE_CHECKING:
    from tests.simulation.checker import Checker
    from tests.simulation.world import Call, Process

Object = dict[str, Any]
Key = tuple[str, str]
Find = Callable[[Key], Object | None]
Owns = Callable[[Object, Object], bool]  # whether a profile is an object's

EVICT_IN = frozenset({"default", "shop", "web", "db"})  # of objects and of pods: not team, not api, not jobs
PLURAL = "fargateprofiles"
WAITED_SECONDS = ACTIVE_SECONDS = 60.0
MOST_A_LOOK, MOST_TRIES, MOST_FAILING = 10, 3, 3
CHANGED = "changed after the look"
PROFILE, FARGATE = "eks.amazonaws.com/fargate-profile", "fargate-scheduler"


@dataclass
class Shown:
    """What a process has been shown of pods, and what it has evicted in this look of its."""

    began: float = 0.0  # the look
    waiting: dict[str, float] = field(default_factory=dict)  # by uid of a pod, since when
    active: dict[str, float] = field(default_factory=dict)  # by ARN of a profile, since when
    objects: dict[Key, Object | None] = field(default_factory=dict)
    makers: dict[str, Object] = field(default_factory=dict)  # by uid, ReplicaSets
    webhook: int = 0  # HTTP's answer to the question for it
    evicted: Counter[str] = field(default_factory=Counter)  # by uid of a pod
    owners: Counter[str] = field(default_factory=Counter)

    def look(self, now: float) -> None:
        self.began, self.webhook = now, 0
        self.evicted.clear()
        self.owners.clear()


@dataclass
class Evictions:
    """Judges evictions, and counts by owner those after which EKS has taken no pod of it."""

    checker: Checker
    counts: dict[str, tuple[Any, int]] = field(default_factory=dict)  # by owner: for which profiles, and how many
    total: int = 0

    def told(self, process: Process, call: Call, answer: Any) -> None:
        """Take note of what Kubernetes has shown a process."""
        shown, now = process.shown, self.checker.world.clock.elapsed
        if call.operation == "GetWebhook":
            shown.webhook = answer.status if hasattr(answer, "status") else 0
        elif call.operation == "GetReplicaSet" and getattr(answer, "status", 0) == 200:
            shown.makers[answer.body["metadata"]["uid"]] = answer.body
        elif call.operation == "GetPods" and getattr(answer, "status", 0) == 200:
            for pod in answer.body["items"]:
                if "spec" in pod and not pod["spec"].get("nodeName"):
                    shown.waiting.setdefault(pod["metadata"]["uid"], now)
        elif call.operation in {"Get", "PatchStatus"} and hasattr(answer, "status"):
            namespace, _, name = call.about.partition("/")
            if answer.status < 300:
                shown.objects[namespace, name] = answer.body

    def profile_shown(self, process: Process, profile: Object) -> None:
        if profile["status"] == "ACTIVE":
            process.shown.active.setdefault(profile["fargateProfileArn"], self.checker.world.clock.elapsed)

    def judge(self, process: Process, call: Call) -> str:
        """Return what speaks against an eviction, "" for nothing; "-" where it only seems so to who has just looked."""
        namespace, _, name = call.about.partition("/")
        pod = self.checker.world.api.peek("pods", namespace, name)
        pinned = (call.request.get("deleteOptions") or {}).get("preconditions") or {}
        if not {"uid", "resourceVersion"} <= pinned.keys():
            return "it names no version of the pod"
        if pod is None or any(pod["metadata"][key] != pinned[key] for key in ("uid", "resourceVersion")):
            return ""  # the API server refuses it
        if why := its_own_state(pod) or self._hurried(process, pod) or self._unseen(process, pod):
            return why
        objections = [*self._circumstances(process, pod)]
        return "" if not objections[0] else "-" if not all(objections) else objections[0]

    def _circumstances(self, process: Process, pod: Object) -> Iterable[str]:
        """Yield what speaks against it by all of this as it is, and then by what of it the process was shown."""
        world = self.checker.world
        makers = (maker_of(world.api.objects("replicasets"), pod), process.shown.makers.get(owner_of(pod)))
        stored = [each.body for each in world.account.stored(CLUSTER).values()]
        known = [*process.knows.get(CLUSTER, {}).values()]
        looks: tuple[Find, ...] = (
            lambda key: world.api.peek(PLURAL, *key),
            process.shown.objects.get,
        )
        for profiles, find, maker in itertools.product((stored, known), looks, makers):
            yield its_next(maker) or against(pod, profiles, find, self.checker.owns)

    def _hurried(self, process: Process, pod: Object) -> str:
        shown, now = process.shown, self.checker.world.clock.elapsed
        since = shown.waiting.get(pod["metadata"]["uid"], now)
        if now - since < WAITED_SECONDS:
            return f"the pod was seen to wait for {now - since:.0f} s only"
        taking = (each for each in process.knows.get(CLUSTER, {}).values() if takes(each, pod))
        active = [now - shown.active.get(each["fargateProfileArn"], now) for each in taking]
        if active and max(active) < ACTIVE_SECONDS:
            return f"its profile was seen ACTIVE for {max(active):.0f} s only"
        if shown.evicted[pod["metadata"]["uid"]] or shown.owners[owner_of(pod)]:
            return "it is the second of this pod or owner in one look"
        return f"{MOST_A_LOOK} were evicted in this look" if shown.evicted.total() >= MOST_A_LOOK else ""

    def _unseen(self, process: Process, pod: Object) -> str:
        """Say whether what it stands on was not looked at in this very look."""
        if process.shown.webhook == 404:
            return "EKS's webhook was seen to be missing"
        taking = [name for name, each in process.knows.get(CLUSTER, {}).items() if takes(each, pod)]
        if any(process.known_at.get((CLUSTER, name), 0.0) < process.shown.began for name in taking):
            return "its profile was not looked at anew"
        return ""

    def done(self, process: Process, call: Call, answer: Any) -> str:
        """Count an eviction that has taken effect; say if it is one too many."""
        shown, request = process.shown, call.request
        uid = request.get("deleteOptions", {}).get("preconditions", {}).get("uid", "")
        shown.evicted[uid] += 1
        owner = self.owner
        shown.owners[owner] += 1
        if getattr(answer, "status", 0) != 201:
            return ""
        self.total += 1
        before, count = self.counts.get(owner, (None, 0))
        self.counts[owner] = (self.profiles, count + 1 if before == self.profiles else 1)
        if self.counts[owner][1] > MOST_TRIES:
            return f"{self.counts[owner][1]} pods of one owner were evicted, and EKS has taken none in their place"
        return ""

    owner: str = ""  # of the pod that is about to be evicted
    profiles: Any = None  # that could take it

    def aim(self, process: Process, call: Call) -> None:
        """Take note of what an eviction is about, before it is gone."""
        namespace, _, name = call.about.partition("/")
        pod = self.checker.world.api.peek("pods", namespace, name)
        self.owner = owner_of(pod) if pod else ""
        known = process.knows.get(CLUSTER, {}).values()
        self.profiles = frozenset(each["fargateProfileArn"] for each in known if pod and takes(each, pod))

    def due(self) -> list[str]:
        """Return the pods that nothing speaks against evicting, as everything is now."""
        world = self.checker.world
        tried = Counter(each["owner"].rpartition("/")[2] for each in self._remembered() if each["tries"] >= MOST_TRIES)
        if len(tried) >= MOST_FAILING:
            return []
        profiles = [each.body for each in world.account.stored(CLUSTER).values()]
        makers = world.api.objects("replicasets")
        pods = [pod for pod in world.api.objects("pods") if not its_own_state(pod) and owner_of(pod) not in tried]
        pods = [pod for pod in pods if not its_next(maker_of(makers, pod))]

        def find(key: Key) -> Object | None:
            return world.api.peek(PLURAL, *key)

        found = [pod for pod in pods if not against(pod, profiles, find, self.checker.owns)]
        return [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in found]

    def _remembered(self) -> Iterable[Object]:
        for obj in self.checker.world.api.objects(PLURAL):
            yield from obj.get("status", {}).get("bookkeeping", {}).get("evictions", [])

    def taken(self, owner: str) -> None:
        """Hear that EKS has taken a pod of an owner."""
        self.counts.pop(owner, None)

    def forget(self) -> None:
        """Hear that the status of objects is lost, and with it what was counted there."""
        self.counts.clear()


def its_own_state(pod: Object) -> str:
    """Say why a pod of this state may never be evicted, "" if it may."""
    meta, spec, status = pod["metadata"], pod["spec"], pod["status"]
    owners = [each for each in meta.get("ownerReferences", []) if each.get("controller")]
    if status["phase"] != "Pending" or spec.get("nodeName") or status.get("nominatedNodeName"):
        return "the pod is placed, or about to be"
    if "deletionTimestamp" in meta or spec.get("schedulingGates"):
        return "the pod is going, or gated"
    if not any((each["apiVersion"], each["kind"]) == ("apps/v1", "ReplicaSet") for each in owners):
        return "nobody makes the pod anew"
    return unfit(meta, spec)


def unfit(meta: Object, spec: Object) -> str:
    """Say why a pod like that is none for Fargate, or none to be touched."""
    kept = KINDS["held"]["metadata"]["annotations"] | KINDS["left alone"]["metadata"]["annotations"]
    if kept.items() & (meta.get("annotations") or {}).items():
        return "an annotation of the pod forbids it"
    return "Fargate can't run the pod" if "nodeSelector" in spec else ""


def its_next(maker: Object | None) -> str:
    """Say why what an owner makes next is no better, "" if it may be."""
    if maker is None:
        return "nobody makes the pod anew"
    template = maker["spec"]["template"]
    return unfit(template["metadata"], template["spec"])


def maker_of(makers: list[Object], pod: Object) -> Object | None:
    return next((each for each in makers if each["metadata"]["uid"] == owner_of(pod)), None)


def against(pod: Object, profiles: list[Object], find: Find, owns: Owns) -> str:
    """Say what speaks against an eviction by these profiles and objects."""
    meta, spec = pod["metadata"], pod["spec"]
    label = meta.get("labels", {}).get(PROFILE)
    there = [each for each in profiles if each["fargateProfileName"] == label]
    own = meta.get("annotations", {}).get("example.com/arn")
    if spec["schedulerName"] == FARGATE and any(each["fargateProfileArn"] == own for each in there):
        return "the profile that EKS took the pod for is there"
    matching = [each for each in profiles if selects(each, meta["namespace"])]
    if any(each["status"] in {"CREATING", "DELETING"} for each in matching):
        return "a profile that could take the pod is in flight"
    taking = [each for each in matching if each["status"] == "ACTIVE"]
    if not taking:
        return "no profile takes the pod"
    return next((why for each in taking if (why := refused(each, meta["namespace"], find, owns))), "")


def refused(profile: Object, namespace: str, find: Find, owns: Owns) -> str:
    """Say why the object of a profile does not let a pod of this namespace be evicted."""
    owner, _, name = profile["tags"].get(OWNER_KEY, "").partition("/")
    obj = find((owner, name))
    if obj is None or "deletionTimestamp" in obj["metadata"] or not owns(obj, profile):
        return f"profile {profile['fargateProfileName']} has no object, or one that goes"
    spec = obj.get("spec") or {}
    if spec.get("strandedPods") != "Evict" or spec.get("suspend") is True or not is_ready(obj):
        return f"object {owner}/{name} does not allow it, or is not Ready"
    return "" if {owner, namespace} <= EVICT_IN else "the operator does not allow it there"


def is_ready(obj: Object) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or []
    told = [each for each in conditions if each["type"] == "Ready"]
    return any((each["status"], each.get("observedGeneration")) == ("True", generation_of(obj)) for each in told)


def generation_of(obj: Object) -> int:
    return int(obj["metadata"]["generation"])


def takes(profile: Object, pod: Object) -> bool:
    return profile["status"] == "ACTIVE" and selects(profile, pod["metadata"]["namespace"])


def owner_of(pod: Object) -> str:
    return next((each["uid"] for each in pod["metadata"].get("ownerReferences", []) if each.get("controller")), "")
