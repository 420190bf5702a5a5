"""What /metrics shows: the families and their labels.

What it is not: the counting of objects at a scrape, and the server, which are the controller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

CONTROLLER, RESULTS = "fargateprofile", ("success", "requeue", "requeue_after", "error")
SECONDS = (0.01, 0.1, 1, 5, 10, 30, 60, 120, 180, 300, 600, 1200, 3600)  # from a call to a profile that waits long


# Names are those of controller-runtime and client-go where these have one. No label comes from an
# object: a cluster is shown once EKS was seen to have it.
FAMILIES: tuple[tuple[type[Counter | Gauge | Histogram], str, str, str], ...] = (
    (Counter, "controller_runtime_reconcile_total", "controller result", "Passes by how they ended."),
    (Counter, "controller_runtime_reconcile_errors_total", "controller", "Passes that failed."),
    (Histogram, "controller_runtime_reconcile_time_seconds", "controller", "Seconds that a pass took."),
    (Gauge, "workqueue_depth", "name", "Keys that are due and wait for a worker."),
    (Counter, "workqueue_adds_total", "name", "Keys added, or moved earlier."),
    (Histogram, "workqueue_queue_duration_seconds", "name", "Seconds from when a key was due to its pass."),
    (Histogram, "workqueue_work_duration_seconds", "name", "Seconds for which a worker had a key."),
    (Counter, "workqueue_retries_total", "name", "Passes that are tried again by backoff."),
    (Gauge, "leader_election_master_status", "name", "1 for the replica that acts."),
    (
        Counter,
        "aws_api_requests_total",
        "service operation code",
        "Requests to AWS; code is AWS's for an error, or OK.",
    ),
    (Histogram, "aws_api_request_duration_seconds", "service operation", "Seconds that a request to AWS took."),
    (Counter, "kube_api_requests_total", "method code", "Requests to the API server; code is HTTP's, or <error>."),
    (Gauge, "fargate_watch_heard_timestamp_seconds", "namespace", "When the API server last told of objects."),
    (Counter, "fargate_apiserver_set_back_total", "", "Times that the API server went back to an older state."),
    (Counter, "fargate_events_total", "reason", "Events that objects were told, by the README's word."),
    (Histogram, "fargate_profile_time_to_ready_seconds", "", "Seconds for which an object was not Ready."),
)


class Metrics:
    """What /metrics shows, each family from the start, at 0 where its labels are known before."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more a counter, which nobody reads
        self.registry = CollectorRegistry()
        self._families: dict[str, Any] = {}
        for kind, name, labels, what in FAMILIES:
            more: dict[str, Any] = {"buckets": SECONDS} if kind is Histogram else {}
            family = kind(name, what, labels.split(), registry=self.registry, **more)
            self._families[name] = family.labels(CONTROLLER) if labels in {"controller", "name"} else family
        for result in RESULTS:
            self["controller_runtime_reconcile_total"].labels(CONTROLLER, result)

    def __getitem__(self, name: str) -> Any:
        return self._families[name]

    def watch_aws(self, service: str, client: Any) -> None:
        """Count each request of a botocore client, also each page of a list; `context` is botocore's, one a request."""

        def asked(model: Any, context: dict[str, Any], **_: object) -> None:
            context["asked"] = model.name, self._monotonic()

        def answered(parsed: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
            ended(context, parsed.get("Error", {}).get("Code", "OK"))

        def broke_off(exception: Exception, context: dict[str, Any], **_: object) -> None:
            ended(context, getattr(exception, "reason", type(exception).__name__))  # the former if never signed

        def ended(context: dict[str, Any], code: str) -> None:
            operation, at = context["asked"]
            self.asked_aws(service, operation, code, self._monotonic() - at)

        for event, told in {"before-call": asked, "after-call": answered, "after-call-error": broke_off}.items():
            client.meta.events.register(event, told)

    def asked_aws(self, service: str, operation: str, code: str, seconds: float) -> None:
        self["aws_api_requests_total"].labels(service, operation, code).inc()
        self["aws_api_request_duration_seconds"].labels(service, operation).observe(seconds)

    def asked_kube(self, method: str, code: str) -> None:
        self["kube_api_requests_total"].labels(method, code).inc()

    def passed(self, result: str) -> None:
        self["controller_runtime_reconcile_total"].labels(CONTROLLER, result).inc()
        if result == "error":
            self["controller_runtime_reconcile_errors_total"].inc()
            self["workqueue_retries_total"].inc()


def gauges(name: str, labels: str, values: Mapping[Any, float], what: str) -> Metric:
    family = GaugeMetricFamily(name, what, labels=labels.split())
    for key, value in values.items():
        family.add_metric(key, value)
    return family
