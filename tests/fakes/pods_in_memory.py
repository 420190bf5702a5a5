"""The in-memory API server as the stand-ins for Fargate and for kube-controller-manager need it, without a wire.

What that server has not: webhooks are asked here, bindings and annotations that come with a status are written here,
and nodes are not kept. Who looks at its log knows these requests by their user agent.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime

from tests.fakes.api import Api, Obj, Refused, place
from tests.fakes.apiserver import MERGE_PATCH, ApiServer
from tests.fakes.webhook import Mutate

USER_AGENT = "stand-in"
NOTHING: Obj = {}


class InMemory(Api):
    """An API server in this process; `mutate` is EKS's webhook."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__("")
        self._server = server
        self.mutate: Mutate = lambda _: []

    def call(self, method: str, path: str, body: Obj | None = None, user: str = "") -> Obj:
        last = path.rpartition("/")[2]
        if path.startswith("/api/v1/nodes"):
            return NOTHING
        if body is None:
            return self._ask(method, path, body)
        match method, last:
            case "POST", "binding":
                meta = body["metadata"]
                self._server.edit("pods", meta["namespace"], meta["name"], _bound(body["target"]["name"]))
                return NOTHING
            case "POST", "events":
                return self._tell(body)
            case "POST", "pods":
                return self._ask(method, path, self._admitted(body, path.split("/")[-2]))
            case "PUT", "status":
                answer = self._ask(method, path, body)
                self._annotate(body["metadata"])
                return answer
        return self._ask(method, path, body)

    def _ask(self, method: str, path: str, body: Obj | None) -> Obj:
        kind = MERGE_PATCH if method == "PATCH" else "application/json"
        answer = self._server.request(method, path, {}, body, kind, USER_AGENT)
        if answer.status >= 300:
            raise Refused(answer.status, str(answer.body.get("message")))
        return answer.body

    def _admitted(self, pod: Obj, namespace: str) -> Obj:
        """Return a pod as the webhook lets it in."""
        spec = {"schedulerName": "default-scheduler", **pod["spec"]}
        new = copy.deepcopy({**pod, "spec": spec})
        asked = {"operation": "CREATE", "resource": {"resource": "pods"}, "namespace": namespace, "object": new}
        for each in self.mutate(asked):
            part, field = each["path"].strip("/").split("/")
            new[part][field] = each["value"]
        return new

    def _annotate(self, meta: Obj) -> None:
        """Keep the annotations that come with a pod's status, as the real server does."""
        wanted = {"annotations": meta.get("annotations", {})}
        there = self._server.get("pods", meta["namespace"], meta["name"]) or {}
        if wanted["annotations"] != there["metadata"].get("annotations", {}):
            self._server.edit("pods", meta["namespace"], meta["name"], {"metadata": wanted})

    def _tell(self, event: Obj) -> Obj:
        """Keep an event under the names that both kinds of readers know; of logging nobody needs to hear."""
        if event["reason"] == "LoggingDisabled":
            return NOTHING
        component, about = event["source"]["component"], event["involvedObject"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        more = {"apiVersion": "events.k8s.io/v1", "regarding": about, "note": event["message"], "eventTime": now}
        more |= {"reportingController": component, "reportingInstance": component, "action": "Scheduling"}
        path = place("events.k8s.io/v1", event["metadata"]["namespace"], "events")
        return self._ask("POST", path, {**event, **more})


def _bound(node: str) -> Obj:
    return {"spec": {"nodeName": node}, "status": {"nominatedNodeName": None}}
