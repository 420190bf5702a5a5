"""A small part of kube-controller-manager, for where that cannot be had: Deployments, ReplicaSets, and what they own.

    Deployment -> a ReplicaSet for each template -> pods; what has lost its owner goes

A rollout makes the new pods first and takes the old ones away once all the new are Ready. No StatefulSets, no Jobs, no
surge or availability to choose, no history of templates.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.fakes.api import Api, Refused, path_of, place

Obj = dict[str, Any]
HASH = "pod-template-hash"
LOOK_SECONDS = 0.2
STOP_SECONDS = 10.0
ENDED = {"Succeeded", "Failed"}


def step(api: Api) -> None:
    """Do what is to be done now."""
    deployments, sets = (api.list(f"/apis/apps/v1/{plural}") for plural in ("deployments", "replicasets"))
    pods = api.list("/api/v1/pods")
    _collect(api, "replicasets", sets, {"Deployment": deployments})
    _collect(api, "pods", pods, {"ReplicaSet": sets})
    for each in deployments:
        if "deletionTimestamp" not in each["metadata"]:
            with _alone():
                _deploy(api, each, [one for one in sets if _owner(one) == _uid(each)])
    for each in sets:
        if "deletionTimestamp" not in each["metadata"]:
            with _alone():
                _replicate(api, each, [pod for pod in pods if _owner(pod) == _uid(each)])


@contextmanager
def _alone() -> Iterator[None]:
    """Leave for the next step what is refused, whatever the reason: what comes after it has its turn."""
    with suppress(Refused):
        yield


def _collect(api: Api, plural: str, owned: list[Obj], owners: dict[str, list[Obj]]) -> None:
    """Delete what has an owner of such a kind that is not there any more."""
    there = {_uid(each) for each in (one for each in owners.values() for one in each)}
    for each in owned:
        kinds = {owner["kind"] for owner in each["metadata"].get("ownerReferences", []) if owner.get("controller")}
        if kinds & owners.keys() and _owner(each) not in there and "deletionTimestamp" not in each["metadata"]:
            with _alone():
                api.call("DELETE", path_of(each, plural))


def _deploy(api: Api, deployment: Obj, sets: list[Obj]) -> None:
    """Have one set for the template as it is now, and none of the others once its pods are Ready."""
    digest = hashlib.sha256(json.dumps(deployment["spec"]["template"], sort_keys=True).encode()).hexdigest()[:10]
    current = next((each for each in sets if each["metadata"]["labels"][HASH] == digest), None)
    wanted = deployment["spec"]["replicas"]
    if current is None:
        api.call("POST", place("apps/v1", deployment["metadata"]["namespace"], "replicasets"), _set(deployment, digest))
        return
    _scale(api, current, wanted)
    if _count(current, "readyReplicas") >= wanted:
        for each in sets:
            _scale(api, each, wanted if each is current else 0)
    said = {name: sum(_count(each, name) for each in sets) for name in ("replicas", "readyReplicas")}
    said |= {"updatedReplicas": _count(current, "replicas"), "availableReplicas": said["readyReplicas"]}
    _report(api, deployment, "deployments", said)


def _set(deployment: Obj, digest: str) -> Obj:
    meta, spec, added = deployment["metadata"], deployment["spec"], {HASH: digest}
    template = {**spec["template"], "metadata": _labelled(spec["template"]["metadata"], added)}
    selector = {**spec["selector"], "matchLabels": {**spec["selector"].get("matchLabels", {}), **added}}
    head = {"name": f"{meta['name']}-{digest}", "labels": template["metadata"]["labels"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {**head, "ownerReferences": [_reference(deployment)]},
        "spec": {"replicas": spec["replicas"], "selector": selector, "template": template},
    }


def _replicate(api: Api, owner: Obj, pods: list[Obj]) -> None:
    """Make the pods that are missing, and delete those that are too many: first what is not Ready."""
    alive = [each for each in pods if "deletionTimestamp" not in each["metadata"] and _phase(each) not in ENDED]
    wanted, namespace = owner["spec"]["replicas"], owner["metadata"]["namespace"]
    for _ in range(wanted - len(alive)):
        api.call("POST", place("v1", namespace, "pods"), _pod(owner))
    for each in sorted(alive, key=_is_ready)[: max(0, len(alive) - wanted)]:
        api.call("DELETE", path_of(each, "pods"))
    ready = sum(map(_is_ready, alive))
    said = {"replicas": len(alive), "readyReplicas": ready, "availableReplicas": ready}
    _report(api, owner, "replicasets", said)


def _pod(owner: Obj) -> Obj:
    template = owner["spec"]["template"]
    own = {"generateName": f"{owner['metadata']['name']}-", "ownerReferences": [_reference(owner)]}
    meta = {**template["metadata"], **own}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def _reference(owner: Obj) -> Obj:
    named = {"name": owner["metadata"]["name"], "uid": _uid(owner), "controller": True, "blockOwnerDeletion": True}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **named}


def _labelled(meta: Obj, labels: Obj) -> Obj:
    return {**meta, "labels": {**meta.get("labels", {}), **labels}}


def _scale(api: Api, owned: Obj, replicas: int) -> None:
    if owned["spec"]["replicas"] != replicas:
        api.call("PATCH", path_of(owned, "replicasets"), {"spec": {"replicas": replicas}})


def _report(api: Api, owner: Obj, plural: str, said: Obj) -> None:
    """Write a status if it says something new."""
    status = {**said, "observedGeneration": owner["metadata"].get("generation", 1)}
    if not status.items() <= owner.get("status", {}).items():
        api.call("PATCH", path_of(owner, plural, "status"), {"status": status})


def _uid(obj: Obj) -> str:
    return str(obj["metadata"]["uid"])


def _owner(obj: Obj) -> str:
    owners = obj["metadata"].get("ownerReferences", [])
    return next((each["uid"] for each in owners if each.get("controller")), "")


def _phase(pod: Obj) -> str:
    return str(pod["status"]["phase"])


def _is_ready(pod: Obj) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _count(owned: Obj, name: str) -> int:
    return int(owned.get("status", {}).get(name, 0))


@contextmanager
def replicas(api: Api) -> Iterator[None]:
    """Run it beside an API server, from a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=_go_on, args=(api, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_SECONDS)


def _go_on(api: Api, stop: threading.Event) -> None:
    while not stop.wait(LOOK_SECONDS):
        with suppress(Refused):
            step(api)
