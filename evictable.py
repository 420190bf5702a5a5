"""Whether a stranded pod may be evicted: what speaks against it, and nothing where that is known of all.

The picture: the pod itself (`untouchable`), the profiles of the cluster, read anew (`Sight`, `doubts`), what its owner
makes next (`doubts_of_next`), and the objects whose profiles may take that (`refusal`).

No clock, no call, no log. The rule of the file: what is not known speaks against it. What it is not: what was tried
before, and when and how many (evictions).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta

from aws import Profile
from case import case_of
from clusters import View
from kube import NAME, Object
from limits import Settings
from podlooks import Owner
from pods import (
    Odd,
    anew,
    chosen,
    fitting,
    holder,
    labels_of,
    part,
    stranded,
    unsupported,
)
from spec import Identity, Memory, Resource, mapping
from status import find_condition, is_current, written
from surroundings import Home

MAKERS = {
    ("apps/v1", "ReplicaSet"): "/apis/apps/v1/namespaces/{}/replicasets/{}",
    ("apps/v1", "StatefulSet"): "/apis/apps/v1/namespaces/{}/statefulsets/{}",
    ("v1", "ReplicationController"): "/api/v1/namespaces/{}/replicationcontrollers/{}",
}
HANDS_OFF = {"karpenter.sh/do-not-disrupt": "true", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
# Labels that a StatefulSet gives its pods beside those of its template.
ADDED = ("controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index")


# Which pods


def untouchable(owner: Owner | None, pod: Object) -> str:
    """Say why a pod is evicted under no circumstances, "" for one that may be; `owner` makes it anew."""
    if not (owner and (owner.api_version, owner.kind) in MAKERS and re.fullmatch(NAME, owner.name)):
        return "they have no ReplicaSet, StatefulSet or ReplicationController that makes them anew"
    try:
        annotations = part(pod, "metadata", "annotations")
    except Odd as odd:
        return f"their {odd} can't be read"
    if forbids := next((name for name, value in HANDS_OFF.items() if annotations.get(name) == value), ""):
        return f"their annotation {forbids} forbids it"
    runs, _ = unsupported(pod)
    if runs == "yes":
        return "Fargate can't run them (explain pod says why)"
    return "" if runs == "no" else "it is not known whether Fargate can run them (explain pod says why)"


def template_of(owner: Object) -> str:
    """Return the hash of the template of which an owner makes its next pod, "" for none.

    Of its pods each may have another: what was made of an older one, and what somebody has written into labels.
    """
    revision = mapping(owner.get("status")).get("updateRevision")
    return str(revision or (labels_of(owner) or {}).get("pod-template-hash") or "")


def is_between(owner: Object) -> bool:
    """Say whether a StatefulSet makes some pods of one template, and some of another."""
    status = mapping(owner.get("status"))
    return status.get("currentRevision", status.get("updateRevision")) != status.get("updateRevision")


def next_of(owner: Object, by: Owner, pod: Object) -> Object | None:
    """Return the pod that an owner makes next; None where it makes none, or is not the one that made this pod."""
    meta, spec = mapping(owner.get("metadata")), mapping(owner.get("spec"))
    template = mapping(spec.get("template"))
    gone = meta.get("uid") != by.uid or "deletionTimestamp" in meta or spec.get("replicas") == 0
    if gone or not isinstance(template.get("spec"), dict):
        return None
    head = {**mapping(template.get("metadata"))}
    if not isinstance(labels := head.get("labels") or {}, dict):
        return None
    own = {name: value for name, value in (labels_of(pod) or {}).items() if name in ADDED}
    reference = {"apiVersion": by.api_version, "kind": by.kind, "name": by.name, "uid": by.uid, "controller": True}
    head |= {"labels": own | labels, "ownerReferences": [reference], "namespace": pod["metadata"]["namespace"]}
    return {"metadata": head, "spec": template["spec"]}


# By which profiles


@dataclass(frozen=True)
class Sight:
    """What was read anew before the first eviction of a look: the profiles, and where the cluster is for us."""

    view: View
    home: Home

    def could_take(self, pod: Object) -> tuple[Profile, ...]:
        return tuple(self.view.profiles[name] for name in self.names(pod) if name in self.view.profiles)

    def names(self, pod: Object) -> tuple[str, ...]:
        """Return the profiles that may take a pod once it is made anew, those that are not seen included."""
        return chosen(anew(pod), self.view.profiles.values(), self.view.hidden).could

    def digest(self, namespace: str) -> str:
        """Return what changes when the profiles do that pods of a namespace may go to, whatever their labels are."""
        arns = sorted(
            each.arn for each in self.view.profiles.values() if fitting(each, namespace, None)[0] is not False
        )
        return hashlib.sha256("\n".join(arns).encode()).hexdigest()[:16]


def doubts(pod: Object, sight: Sight, known: View) -> str:
    """Say why it is not sure, by a view that was read anew, that a profile takes a stranded pod once it is made anew.

    "" if it is. `known` is the view beside which it was found stranded.
    """
    profiles, namespace, labels = sight.view.profiles, pod["metadata"]["namespace"], labels_of(anew(pod))
    if any(each.in_flight and fitting(each, namespace, labels)[0] is not False for each in profiles.values()):
        return "a profile that could take them is being made or deleted"
    if any(name not in profiles for name in sight.names(pod)):
        return "EKS does not show a profile that could take them"
    since, name = None, holder(pod)
    if name in profiles and name in known.profiles and profiles[name].arn == known.profiles[name].arn:
        since = profiles[name].created_at - timedelta(seconds=1)  # it was replaced by then, and is the same one still
    if stranded(pod, profiles.values(), sight.view.hidden, since).answer != "yes":
        return "it is not sure any more that a profile takes them"
    return ""


def doubts_of_next(by: Owner, owner: Object, pod: Object, sight: Sight) -> str:
    """Say why it is not sure that a profile takes the pod that the owner makes next, "" if it is."""
    if (following := next_of(owner, by, pod)) is None:
        return "their owner makes none anew"
    if is_between(owner):
        return "their owner is in a rollout, and it is not sure of which template it makes them anew"
    if why := untouchable(by, following):
        return why
    choice = chosen(following, sight.view.profiles.values(), sight.view.hidden)
    if choice.taken != "yes":
        return "no profile takes what their owner's template makes: labels that were put on later do not count"
    if {*choice.could} != {*sight.names(pod)}:
        return "other profiles may take what their owner's template makes"
    return ""


def refusal(obj: Object | None, profile: Profile, namespace: str, sight: Sight, settings: Settings) -> str:
    """Say why no pod of a namespace may be evicted that a profile could take, by the object whose it is; "" if it may.

    `obj` is the object as it is now, None if there is none.
    """
    if obj is None:
        return "a profile that is no object's could take them"
    memory = Memory.parse(obj)
    who = Identity.parse(obj, memory, settings.cluster)
    case = case_of(obj, who, memory, sight.home, sight.view, settings, who.created_at)  # of no row: no time is asked
    if not isinstance(case.resource, Resource) or not case.resource.evict:
        return "an object whose profile could take them does not say strandedPods: Evict"
    if not settings.may_evict(who.namespace, namespace):
        return "--allow-eviction-in does not list both their namespace and the object's"
    if who.deleting or who.suspended or not who.guarded:
        return "an object whose profile could take them is suspended or going"
    if not is_current(find_condition("Ready", conditions_of(obj)), who):
        return "an object whose profile could take them is not Ready"
    if memory.cluster_arn != sight.home.cluster_arn or not (case.owns(profile) and case.meets(profile)):
        return "a profile that is no object's could take them"
    return ""


def conditions_of(obj: Object) -> list[Object]:
    return written(mapping(obj.get("status")).get("conditions") or [])
