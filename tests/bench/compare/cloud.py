"""The AWS that all candidates meet: tests/fakes/eks.py behind HTTP, as far away as is said, with a log.

    candidate -> botocore -> HTTP on loopback -> the latency -> Memory, one request at a time

tests/fakes/aws.py would answer as well, but moto takes 3 ms for each request, all of them in a row: what is measured
would be moto. Here connections stay open, as AWS's do, and requests wait for their latency side by side.
It is no test of anything: what botocore sends is read by botocore's own models and trusted.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import botocore.session
from botocore.exceptions import ClientError
from moto.core.model import ServiceModel
from moto.core.serialize import EC2Serializer, QuerySerializer

from tests.fakes.eks import METHODS, SERVICE_OF, Memory, operation
from tests.fakes.eks_rules import Answer, Behaviour

REGION = "us-east-1"
MANY = 1000  # profiles that a cluster may have: a quota is not what is measured
METHOD_OF = {operation(method): method for method in SERVICE_OF}
SERIALIZERS = {"ec2": EC2Serializer, "iam": QuerySerializer, "sts": QuerySerializer}


@dataclass
class Call:
    """One request: when it arrived, what it asked for, and when it was answered (0 before)."""

    arrived: float
    operation: str
    cluster: str = ""
    profile: str = ""
    answered: float = 0.0
    status: int = 0


@dataclass
class Cloud:
    """The account, its log, and how far away it is: `latency` is seconds of each request, there and back."""

    latency: float = 0.0
    creating_seconds: float = 0.0
    calls: list[Call] = field(default_factory=list)
    endpoint: str = ""

    def __post_init__(self) -> None:
        behaviour = Behaviour(creating_seconds=self.creating_seconds, max_profiles=MANY)
        self.memory = Memory(behaviour, REGION)
        self._lock = threading.Lock()

    def add_clusters(self, *names: str) -> None:
        with self._lock:
            for name in names:
                self.memory.add_cluster(name)

    def asked(self, name: str, cluster: str = "") -> list[Call]:
        """Return the calls of an operation so far, in a cluster or in all."""
        return [call for call in list(self.calls) if call.operation == name and cluster in {"", call.cluster}]

    def environment(self) -> dict[str, str]:
        """Return what leads a process here."""
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def carry_out(self, method: str, request: Answer) -> tuple[int, dict[str, str], bytes]:
        """Log a request, wait as long as it is on its way, and answer it."""
        names = str(request.get("clusterName", "")), str(request.get("fargateProfileName", ""))
        call = Call(time.time(), operation(method), *names)
        self.calls.append(call)
        time.sleep(self.latency)
        try:
            with self._lock:
                answer = self.memory.ask(method, request)
            call.status, headers, body = 200, *_worded(method, answer)
        except ClientError as error:
            call.status, headers, body = _refused(SERVICE_OF[method], error)
        call.answered = time.time()
        return call.status, headers, body


# Requests and answers on the wire


@cache
def _model(service: str) -> Any:
    loader = botocore.session.get_session().get_component("data_loader")
    return ServiceModel(loader.load_service_model(service, "service-2"))


@cache
def _routes() -> list[tuple[str, re.Pattern[str], str]]:
    """Return EKS's calls: verb, path, method of the client."""
    routes = []
    for method in METHODS["eks"]:
        http = _model("eks").operation_model(operation(method)).http
        path = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", http["requestUri"].partition("?")[0])
        routes.append((http["method"], re.compile(path), method))
    return routes


def understand(verb: str, target: str, body: bytes) -> tuple[str, Answer]:
    """Return the client's method and its request; LookupError for a call that nobody makes here."""
    url = urlsplit(target)
    if verb == "POST" and url.path == "/":
        return _understand_form(parse_qs(body.decode()))
    for known, path, method in _routes():
        if verb == known and (match := path.fullmatch(url.path)):
            said: Answer = json.loads(body) if body else {}
            said.pop("clientRequestToken", None)  # for EKS's own retries
            return method, _parameters(method, match.groupdict(), parse_qs(url.query)) | said
    raise LookupError(f"{verb} {url.path}")


def _parameters(method: str, in_path: dict[str, str], in_query: dict[str, list[str]]) -> Answer:
    """Return what the path and the query say, by the names of the client's parameters."""
    found: Answer = {}
    for name, shape in _model("eks").operation_model(operation(method)).input_shape.members.items():
        word = shape.serialization.get("name", name)
        if word in in_path:
            found[name] = unquote(in_path[word])
        elif word in in_query:
            values = in_query[word]
            found[name] = values if shape.type_name == "list" else _plain(shape.type_name, values[0])
    return found


def _plain(kind: str, text: str) -> object:
    return int(text) if kind == "integer" else text


def _understand_form(form: dict[str, list[str]]) -> tuple[str, Answer]:
    said = {key: values[0] for key, values in form.items()}
    request: Answer = {key: said[key] for key in ("RoleName",) if key in said}
    filters = [_filter(said, key.removesuffix("Name")) for key in said if re.fullmatch(r"Filter\.\d+\.Name", key)]
    if subnets := [value for key, value in said.items() if key.startswith("SubnetId.")]:
        filters.append({"Name": "subnet-id", "Values": subnets})  # the same in other words
    if filters:
        request["Filters"] = filters
    return METHOD_OF[said["Action"]], request


def _filter(said: dict[str, str], prefix: str) -> Answer:
    values = [value for key, value in said.items() if key.startswith(f"{prefix}Value.")]
    return {"Name": said[f"{prefix}Name"], "Values": values}


def _worded(method: str, answer: Answer) -> tuple[dict[str, str], bytes]:
    service = SERVICE_OF[method]
    said = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    if service == "eks":
        text = json.dumps(said, default=lambda moment: moment.timestamp())
        return {"Content-Type": "application/json"}, text.encode()
    if "Role" in said:  # botocore shows the document read, IAM sends it as text
        document = quote(json.dumps(said["Role"]["AssumeRolePolicyDocument"]))
        said["Role"] = said["Role"] | {"AssumeRolePolicyDocument": document}
    model = _model(service).operation_model(operation(method))
    return {"Content-Type": "text/xml"}, SERIALIZERS[service](model).serialize(said)["body"].encode()


def _refused(service: str, error: ClientError) -> tuple[int, dict[str, str], bytes]:
    code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
    status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    if service == "eks":
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
        return status, headers, json.dumps({"message": text}).encode()
    said = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
    return status, {"Content-Type": "text/xml"}, f"<ErrorResponse>{said}</ErrorResponse>".encode()


# The server


@contextmanager
def served(cloud: Cloud) -> Iterator[Cloud]:
    """Serve an account on loopback from threads of this process."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"cloud": cloud}))
    cloud.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, but for a candidate that is killed while it asks."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, content = self.cloud.carry_out(*understand(self.command, self.path, body))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""
