"""The webhooks by which EKS looks at pods, on a real API server: registered as EKS does, served on loopback.

What a real one has and this one not: its URL (EKS's process listens beside the API server, on a port of its own), and
with that the authority of its certificate. The texts with which the second webhook refuses a ConfigMap for logs are not
known, so that it lets all of them through.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Obj = dict[str, Any]
Mutate = Callable[[Obj], list[Obj]]  # from an AdmissionReview's request to the JSON patch

NAME = "0500-amazon-eks-fargate-mutation.amazonaws.com"
CONFIGMAPS = "0500-amazon-eks-fargate-configmaps-admission.amazonaws.com"
PATH = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
BOOTSTRAP = "eks:cluster-bootstrap"  # who registers it
STOP_SECONDS = 10.0


def configuration(url: str, ca: str) -> Obj:
    """Return the configuration as EKS has it, but for URL and authority."""
    pods = _rule("pods", "CREATE")
    maps = _rule("configmaps", "CREATE", "UPDATE")
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            _webhook(NAME, f"{url}/mutate", ca, pods, {}),
            _webhook(CONFIGMAPS, f"{url}/configmaps", ca, maps, {"matchLabels": {"aws-observability": "enabled"}}),
        ],
    }


def _rule(resource: str, *operations: str) -> Obj:
    return {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": [*operations],
        "resources": [resource],
        "scope": "*",
    }


def _webhook(name: str, url: str, ca: str, rule: Obj, namespaces: Obj) -> Obj:
    return {
        "name": name,
        "clientConfig": {"url": url, "caBundle": ca},
        "rules": [rule],
        "failurePolicy": "Ignore",
        "timeoutSeconds": 5,
        "matchPolicy": "Equivalent",
        "namespaceSelector": namespaces,
        "objectSelector": {},
        "sideEffects": "None",
        "reinvocationPolicy": "Never",
        "admissionReviewVersions": ["v1beta1"],
    }


def answered(review: Obj, mutate: Mutate) -> Obj:
    """Return the review with its response: always allowed."""
    request = review["request"]
    response: Obj = {"uid": request["uid"], "allowed": True}
    if patch := mutate(request):
        text = base64.b64encode(json.dumps(patch).encode()).decode()
        response |= {"patchType": "JSONPatch", "patch": text}
    return {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}


@contextmanager
def serving(mutate: Mutate) -> Iterator[Obj]:
    """Serve the webhooks from a thread; yields the configuration that leads the API server there."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            ours = mutate if self.path.startswith("/mutate") else lambda _: []
            body = json.dumps(answered(review, ours)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        ca = _with_tls(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield configuration(f"https://127.0.0.1:{server.server_port}", ca)
        finally:
            server.shutdown()
            thread.join(STOP_SECONDS)


def _with_tls(server: ThreadingHTTPServer) -> str:
    """Let a server speak TLS with a new certificate; return that as a caBundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key, certificate = _certificate()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "webhook.pem"
        file.write_bytes(key + certificate)
        context.load_cert_chain(file)
    # The handshake is for the request's own thread, so that one slow client keeps nobody waiting.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return base64.b64encode(certificate).decode()


def _certificate() -> tuple[bytes, bytes]:
    """Return a key, and its certificate for 127.0.0.1 that nobody has signed but itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fargate")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text, built.public_bytes(Encoding.PEM)
