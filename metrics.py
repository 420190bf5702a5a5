"""What /metrics shows, the families and their labels; who may read it, where that is asked; and the server of
this port and of the probes'.

What it is not: the counting of objects at a scrape, what the probes answer, and the thread that serves, which
are the controller's.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    MetricsHandler,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

log = logging.getLogger("fargate.metrics")
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
    (Gauge, "fargate_cluster_is_elsewhere", "", "1 where EKS's cluster is not the Kubernetes cluster of the objects."),
    (
        Gauge,
        "fargate_clusters_file_refused",
        "",
        "1 while the clusters file can't be taken as it is: the one before counts.",
    ),
    (Counter, "fargate_apiserver_set_back_total", "", "Times that the API server went back to an older state."),
    (Counter, "fargate_events_total", "reason", "Events that objects were told, by the README's word."),
    (Histogram, "fargate_profile_time_to_ready_seconds", "", "Seconds for which an object was not Ready."),
    (Gauge, "fargate_build_info", "version", "1, with the version that runs."),
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


# Who may read it


METRICS_PATH = "/metrics"
Answer = tuple[int, str]  # HTTP's code and a text
BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*) *")
ALLOWED, NOBODY = (200, ""), (401, "send a token that the API server knows: Authorization: Bearer ...")
UNKNOWN = (503, "the API server does not say who may read this; the operator's log says why")
# For how long an answer of the API server holds: a minute, as client-go has it for tokens, and less where somebody may
# be mending a role; and for how long it is left alone where it gives none.
ALLOWED_SECONDS, REFUSED_SECONDS, UNKNOWN_SECONDS = 60.0, 10.0, 1.0
MOST_KNOWN = 100  # tokens; of more the one that was asked about first is forgotten


def may_get(review: Callable[[str, str, dict[str, Any]], dict[str, Any]], token: str, path: str) -> tuple[str, bool]:
    """Return who has a token, "" for nobody, and whether they may get a path that is no resource's.

    As controller-runtime asks for its own /metrics: by a TokenReview, then a SubjectAccessReview; `review` has the API
    server judge what it is given of an API and a kind.
    """
    known = review("authentication.k8s.io/v1", "TokenReview", {"token": token})
    user = known.get("user") or {}
    if not (known.get("authenticated") and user.get("username")):
        return "", False
    ask = {"user": user["username"], "nonResourceAttributes": {"path": path, "verb": "get"}}
    ask |= {key: user[key] for key in ("uid", "groups", "extra") if user.get(key)}
    may = review("authorization.k8s.io/v1", "SubjectAccessReview", ask).get("allowed")
    return user["username"], may is True


class Guard:
    """Lets those read /metrics whom the API server knows by their token and lets get it.

    `ask` returns who has a token ("" for nobody) and whether they may get a path, None where the
    API server does not say. It is asked one question at a time, so that somebody who sends many
    tokens takes no more of it than that: it is there for the operator's own calls too.
    """

    def __init__(self, ask: Callable[[str, str], tuple[str, bool] | None], monotonic: Callable[[], float]) -> None:
        self._ask, self._monotonic = ask, monotonic
        self._asking = threading.Lock()
        self._known: dict[bytes, tuple[float, Answer]] = {}  # by a hash of the token: until when, and what
        self._rests_until = float("-inf")

    def refusal(self, authorization: str) -> Answer | None:
        """Return what to answer to who sends this header, None for those who may read."""
        sent = BEARER.fullmatch(authorization)
        if not sent:
            return NOBODY
        key = sha256(sent[1].encode()).digest()
        answer = self._remembered(key)
        if answer is None:
            with self._asking:
                answer = self._remembered(key) or self._judged(key, sent[1])
        return None if answer == ALLOWED else answer

    def _remembered(self, key: bytes) -> Answer | None:
        until, answer = self._known.get(key, (float("-inf"), UNKNOWN))
        return answer if self._monotonic() < until else None

    def _judged(self, key: bytes, token: str) -> Answer:
        if self._monotonic() < self._rests_until:
            return UNKNOWN
        said = self._ask(token, METRICS_PATH)
        now = self._monotonic()
        if said is None:
            self._rests_until = now + UNKNOWN_SECONDS
            return UNKNOWN
        who, may = said
        answer = ALLOWED if may else NOBODY
        if who and not may:
            answer = 403, f"{who} may not get {METRICS_PATH}: bind a ClusterRole with that nonResourceURL"
        self._known.pop(key, None)  # so that it counts as asked now
        self._known[key] = now + (ALLOWED_SECONDS if may else REFUSED_SECONDS), answer
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return answer


class Certificate:
    """The certificate of /metrics and its key, taken anew once their files have changed.

    Raises OSError where they can't be taken at the start.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self._seen = self._stamps()
        self._context = self._loaded()

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return a connection over TLS; hands are shaken at its first read, by whoever reads."""
        self._renew()
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def _renew(self) -> None:
        """Take what is in the files now; keep what there was where that is no certificate and its key."""
        try:
            if (seen := self._stamps()) != self._seen:
                self._seen = seen
                self._context = self._loaded()
        except OSError as error:
            log.warning("the certificate of /metrics has changed and can't be taken, the old one stays: %s", error)

    def _stamps(self) -> list[tuple[int, int, int]]:
        found = [each.stat() for each in self._files]
        return [(each.st_ino, each.st_mtime_ns, each.st_size) for each in found]

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files, password="")  # or it would ask for one at the terminal
        return context


# The port


PROBE_SECONDS = 5  # for a request to arrive, and for its answer to be taken; kubelet waits as long
CONNECTIONS = 32  # at once, each with its thread; kubelet and Prometheus need two or three
HANG_UP_SECONDS = 1.0  # for the thread of a connection that was ended


class PortTaken(Exception):
    """A port can't be had; the text says which, why, and what mends it."""


def listen(
    name: str,
    address: str,
    port: int,
    answer: Callable[[str, str], Answer | None],
    registry: CollectorRegistry,
    certificate: Certificate | None = None,
) -> ProbeServer:
    """Take a port for what `answer` says of a path and an Authorization header, the registry where it says None."""

    class Face(MetricsHandler):
        timeout = PROBE_SECONDS

        def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
            said = answer(self.path.partition("?")[0], self.headers.get("Authorization", ""))
            if said is None:
                return super().do_GET()
            code, text = said
            self.send_response(code)
            if code == HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", "Bearer")
            self.end_headers()
            self.wfile.write(f"{text}\n".encode())
            return None

    try:
        return ProbeServer(name, address, port, Face.factory(registry), certificate)
    except OSError as error:
        where = f"port {port} of {address}" if address else f"port {port}"
        mend = f"set --{name}-port or {name.upper()}_PORT"
        raise PortTaken(f"{mend}: {where} can't be had: {error}") from error


class ProbeServer(ThreadingHTTPServer):
    """Heard on IPv6 too: the kubelet asks at the pod's address, and a pod of an IPv6 cluster has no other.

    Serves `CONNECTIONS` at once; one more ends the oldest. So whoever opens connections and says
    nothing ends only their own: they neither fill the process with threads nor keep the kubelet
    waiting, whose request comes with its connection.
    """

    request_queue_size = 128  # connections that the system holds until they are accepted

    def __init__(
        self, name: str, address: str, port: int, handler: type[MetricsHandler], certificate: Certificate | None = None
    ) -> None:
        dual = not address and socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if dual or ":" in address else socket.AF_INET
        self._room = threading.Condition()
        self._open: list[socket.socket] = []  # the oldest first; what was hung up is not among them
        self._served = 0  # threads that have not ended
        self.name, self._certificate = name, certificate
        super().__init__((address, port), handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)  # HTTPServer's own looks up the host's name, which may take long

    def get_request(self) -> Any:
        connection, client_address = super().get_request()
        return self._certificate.wrap(connection) if self._certificate else connection, client_address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own once there is room for it."""
        if not self._admit(request):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the system gives no thread
            self._leave()
            raise

    def _admit(self, request: socket.socket) -> bool:
        """Say whether there is room for a connection, for which the oldest may have to go."""
        with self._room:
            if self._served >= CONNECTIONS and self._open:
                hang_up(self._open.pop(0))
            if room := self._room.wait_for(lambda: self._served < CONNECTIONS, HANG_UP_SECONDS):
                self._open.append(request)
                self._served += 1
            return room

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._room:
            self._served -= 1
            self._room.notify_all()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; before that it is forgotten, as its number may soon be that of another."""
        with self._room:
            self._open = [each for each in self._open if each is not request]
        if isinstance(request, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                request.settimeout(0)
                request.unwrap()  # sends the end of TLS, without which an answer counts as cut off; waits for nothing
        super().shutdown_request(request)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Tell of a bug; that somebody has broken off, or was hung up on, is nobody's trouble."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a bug: a request of %s got no answer", client_address)


def hang_up(connection: socket.socket) -> None:
    """End a connection, so that whoever reads from it or writes to it comes to its end at once."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # that of TLS would take its state from the thread
