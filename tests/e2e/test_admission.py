"""Admission that refuses or undoes what the operator writes, as clusters have it: policies, and webhooks that are dead.

tests/unit/test_writes.py promises the same on the in-memory API server; here it is a real one that refuses, in its own
words and with its own codes. What is installed counts for the test's namespace only and is gone after the test.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.e2e.support import AFTER_A_WHILE, IDENTITY, User, ok, profiles
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.support import Operator
    from tests.fakes.aws import World

Object = dict[str, Any]
API = "admissionregistration.k8s.io/v1"
FINALIZER = "fargateprofiles.jicomusic.com/finalizer"
WORDS = "finalizers are not for operators, ask the platform team"
SAME_FINALIZERS = "object.metadata.?finalizers.orValue([]) == oldObject.metadata.?finalizers.orValue([])"
WITHOUT_FINALIZERS = {
    "patchType": "JSONPatch",
    "jsonPatch": {"expression": '[JSONPatch{op: "remove", path: "/metadata/finalizers"}]'},
}
WITHOUT_BOOKKEEPING = {
    "patchType": "JSONPatch",
    "jsonPatch": {"expression": '[JSONPatch{op: "remove", path: "/status/bookkeeping"}]'},
}
MARK = {"status": {"observedGeneration": 0, "bookkeeping": {"createName": "probe"}}}
FINALIZERS = {"metadata": {"finalizers": ["example.com/probe"]}}
REFUSED_SECONDS = 30.0
UNDONE_SECONDS = 20.0
RECOVERS_SECONDS = REFUSED_SECONDS + AFTER_A_WHILE  # each wait is twice the one before


@dataclass
class Admission:
    """What a test has installed against updates of fargateprofiles in the user's namespace."""

    user: User
    installed: list[str] = field(default_factory=list)

    def policy(self, resource: str = "fargateprofiles", **validation: str) -> None:
        """Refuse the updates that do not meet the expression."""
        rules = self._rules(resource, ["UPDATE"])
        spec: Object = {"failurePolicy": "Fail", "matchConstraints": rules, "validations": [validation]}
        self._install("ValidatingAdmissionPolicy", spec=spec)
        self._bind("Validating", validationActions=["Deny"])

    def mutation(self, resource: str, condition: str, mutation: Object) -> None:
        """Change the updates that meet the condition."""
        spec: Object = {"failurePolicy": "Fail", "reinvocationPolicy": "Never", "mutations": [mutation]}
        spec |= {"matchConditions": [{"name": "has-it", "expression": condition}]}
        spec |= {"matchConstraints": self._rules(resource, ["UPDATE"])}
        self._install("MutatingAdmissionPolicy", spec=spec)
        self._bind("Mutating")

    def webhook(self, resource: str, **client: str) -> None:
        """Have every write asked of a webhook; it has the longest time that there is."""
        hook: Object = {"name": "guard.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None"}
        hook |= {"failurePolicy": "Fail", "clientConfig": client, "timeoutSeconds": 30}
        rules: Object = self._rules(resource, ["*"])
        hook |= {"namespaceSelector": rules["namespaceSelector"], "rules": rules["resourceRules"]}
        self._install("ValidatingWebhookConfiguration", webhooks=[hook])

    def remove(self) -> None:
        """Take all of it away; the API server goes by it for a moment longer."""
        installed, self.installed = self.installed[::-1], []
        for each in installed:
            ok(self.user.control_plane.kubectl("delete", each))

    def in_force(self, change: Object, *flags: str, name: str = "web") -> bool:
        """Say whether such a change of the user's, only tried, is refused or does not take."""
        flags = ("--type=merge", "--dry-run=server", "-o", "json", "-p", json.dumps(change), *flags)
        result = self.user.kubectl("patch", "fp", name, *flags)
        if result.returncode:
            return True
        top, wanted = next(iter(change.items()))
        return not wanted.items() <= json.loads(result.stdout)[top].items()

    def wait_in_force(self, change: Object, *flags: str) -> None:
        wait_for(lambda: self.in_force(change, *flags), SOON, "the API server goes by what was installed")

    def _rules(self, resource: str, operations: list[str]) -> Object:
        matched = {"apiGroups": ["jicomusic.com"], "apiVersions": ["*"], "resources": [resource]}
        here = {"matchLabels": {"kubernetes.io/metadata.name": self.user.namespace}}
        return {"namespaceSelector": here, "resourceRules": [{**matched, "operations": operations}]}

    def _bind(self, kind: str, **more: Any) -> None:
        self._install(f"{kind}AdmissionPolicyBinding", spec={"policyName": self.user.namespace, **more})

    def _install(self, kind: str, **content: Any) -> None:
        made = {"apiVersion": API, "kind": kind, "metadata": {"name": self.user.namespace}, **content}
        self.installed.append(f"{kind.lower()}/{self.user.namespace}")
        ok(self.user.control_plane.kubectl("create", "-f", "-", input=json.dumps(made)))


@pytest.fixture
def admission(user: User) -> Iterator[Admission]:
    """Return what a test may install; all of it is gone after the test, before the user cleans up."""
    made = Admission(user)
    yield made
    for each in made.installed[::-1]:
        user.control_plane.kubectl("delete", each, "--ignore-not-found")


@pytest.fixture
def dead_url() -> Iterator[str]:
    """Return the URL of a port where nobody listens, and where nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"https://127.0.0.1:{held.getsockname()[1]}/"


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Serve a webhook that takes each question and answers none; return how the API server reaches it."""
    ended = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            ended.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    certificate = write_certificate(tmp_path / "webhook.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "webhook.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"url": f"https://127.0.0.1:{server.server_port}/", "caBundle": base64.b64encode(certificate).decode()}
    ended.set()
    server.shutdown()
    server.server_close()


def write_certificate(path: Path) -> bytes:
    """Write a key with a certificate of its own for 127.0.0.1; return the certificate."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "guard.example.com")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(address, critical=False).add_extension(x509.BasicConstraints(True, None), critical=True)
    certificate = made.sign(key, SHA256()).public_bytes(Encoding.PEM)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate)
    return certificate


def patches(control_plane: ControlPlane, user: User, since: int) -> int:
    """Return how many PATCHes the operator has sent for objects of the user since the audit log was so long."""
    return sum(
        event["verb"] == "patch"
        and event["user"]["username"] == IDENTITY
        and event["objectRef"].get("resource") == "fargateprofiles"
        and event["objectRef"].get("namespace") == user.namespace
        for event in control_plane.audit(since)
    )


def wait_refused(user: User, *words: str, seconds: float = SOON) -> None:
    """Wait until the object is stalled as refused, in status and in one Warning event, with these words in both."""
    user.wait_reason("WriteRefused", seconds=seconds)
    message = user.condition()["message"]
    assert all(each in message for each in words), message
    assert user.condition()["status"] == "False"
    assert user.condition(kind="Stalled")["status"] == "True"
    assert user.condition(kind="Stalled")["reason"] == "WriteRefused"
    wait_for(lambda: user.notes("Refused"), SOON, "an event tells of it")
    note = user.notes("Refused")[-1]
    assert note.startswith("WriteRefused") and all(each in note for each in words), note


# --- The finalizer is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["Invalid", "Forbidden"])
def test_a_policy_that_refuses_the_finalizer_is_said_in_its_own_words_and_made_up_for_once_it_is_gone(
    user: User, aws: World, new_operator: NewOperator, admission: Admission, code: str
) -> None:
    admission.policy(expression=SAME_FINALIZERS, message=WORDS, reason=code)
    user.apply()
    admission.wait_in_force(FINALIZERS)
    new_operator().start()
    wait_refused(user, WORDS, f"ValidatingAdmissionPolicy '{user.namespace}'")
    time.sleep(5)
    assert user.events(kind="Warning") == ["Refused"]
    assert profiles(aws) == {}, "nothing is made without a finalizer"
    admission.remove()
    user.wait_ready(seconds=AFTER_A_WHILE)
    assert not user.condition(kind="Stalled")
    assert list(profiles(aws)) == ["web"]


def test_an_object_whose_finalizer_a_policy_keeps_says_why_and_goes_once_the_policy_is_gone(
    user: User, aws: World, operator: Operator, admission: Admission
) -> None:
    user.apply()
    user.wait_ready()
    admission.policy(expression=SAME_FINALIZERS, message=WORDS)
    admission.wait_in_force(FINALIZERS)
    user.delete()
    wait_refused(user, WORDS)
    assert profiles(aws) == {}
    assert user.events(kind="Warning") == ["Refused"]
    admission.remove()
    user.wait_gone(seconds=AFTER_A_WHILE)
    assert aws.manners.count("CreateFargateProfile") == 1


def test_a_dead_webhook_before_the_finalizer_is_said_and_made_up_for_once_it_is_gone(
    user: User, aws: World, new_operator: NewOperator, admission: Admission, dead_url: str
) -> None:
    user.apply()
    admission.webhook("fargateprofiles", url=dead_url)
    admission.wait_in_force(FINALIZERS)
    new_operator().start()
    wait_refused(user, "failed calling webhook", "guard.example.com", "connection refused")
    time.sleep(5)
    assert user.events(kind="Warning") == ["Refused"]
    assert profiles(aws) == {}, "nothing is made without a finalizer"
    admission.remove()
    user.wait_ready(seconds=AFTER_A_WHILE)


def test_an_object_whose_finalizer_a_dead_webhook_keeps_says_why_and_goes_once_the_webhook_is_gone(
    user: User, aws: World, operator: Operator, admission: Admission, dead_url: str
) -> None:
    aws.manners.deleting_seconds = 6  # the webhook dies while EKS deletes the profile
    user.apply()
    user.wait_ready()
    user.delete()
    admission.webhook("fargateprofiles", url=dead_url)
    admission.wait_in_force(FINALIZERS)
    wait_refused(user, "failed calling webhook", "connection refused", seconds=AFTER_A_WHILE)
    assert profiles(aws) == {}
    admission.remove()
    user.wait_gone(seconds=AFTER_A_WHILE)


def test_a_webhook_that_never_answers_before_the_finalizer_is_said_within_a_minute(
    user: User, aws: World, new_operator: NewOperator, admission: Admission, silent: dict[str, str]
) -> None:
    """The API server gives a webhook up to 30 s, and the operator gives the API server 10."""
    user.apply()
    admission.webhook("fargateprofiles", **silent)
    admission.wait_in_force(FINALIZERS, "--request-timeout=2s")
    new_operator().start()
    wait_refused(user, "request did not complete", seconds=AFTER_A_WHILE)
    assert profiles(aws) == {}, "nothing is made without a finalizer"
    admission.remove()
    user.wait_ready(seconds=RECOVERS_SECONDS)


# --- The status is refused ---------------------------------------------------------------------------------------


def refuse_by_policy(admission: Admission, _: str) -> str:
    admission.policy("fargateprofiles/status", expression="false", message=WORDS)
    return WORDS


def refuse_by_dead_webhook(admission: Admission, dead_url: str) -> str:
    admission.webhook("fargateprofiles/status", url=dead_url)
    return "failed calling webhook"


@pytest.mark.parametrize("refuse", [refuse_by_policy, refuse_by_dead_webhook])
def test_a_status_that_is_refused_is_told_by_one_event_and_no_profile_is_made_meanwhile(
    control_plane: ControlPlane,
    user: User,
    aws: World,
    new_operator: NewOperator,
    admission: Admission,
    dead_url: str,
    refuse: Any,
) -> None:
    words = refuse(admission, dead_url)
    user.apply()
    admission.wait_in_force(MARK, "--subresource=status")
    operator, since = new_operator(), control_plane.audited()
    operator.start()
    user.wait_events("WriteRefused", kind="Warning")
    time.sleep(REFUSED_SECONDS)
    user.wait_events("WriteRefused", kind="Warning")
    note = user.notes("WriteRefused")[0]
    assert "status of this object" in note and words in note, note
    assert words in operator.said()
    assert patches(control_plane, user, since) < 15, "each try rests longer"
    assert aws.manners.count("CreateFargateProfile") == 0, "no create without its mark"
    admission.remove()
    user.wait_ready(seconds=RECOVERS_SECONDS)
    assert aws.manners.count("CreateFargateProfile") == 1


def test_a_webhook_that_never_answers_before_the_status_is_told_by_one_event(
    user: User, aws: World, new_operator: NewOperator, admission: Admission, silent: dict[str, str]
) -> None:
    user.apply()
    admission.webhook("fargateprofiles/status", **silent)
    admission.wait_in_force(MARK, "--subresource=status", "--request-timeout=2s")
    new_operator().start()
    user.wait_events("WriteRefused", kind="Warning", seconds=AFTER_A_WHILE)
    time.sleep(15)
    user.wait_events("WriteRefused", kind="Warning")
    assert aws.manners.count("CreateFargateProfile") == 0
    admission.remove()
    user.wait_ready(seconds=RECOVERS_SECONDS)


# --- What is written is undone -----------------------------------------------------------------------------------


def test_a_policy_that_takes_the_finalizer_off_again_is_said_and_makes_no_loop(
    control_plane: ControlPlane, user: User, aws: World, new_operator: NewOperator, admission: Admission
) -> None:
    admission.mutation("fargateprofiles", "has(object.metadata.finalizers)", WITHOUT_FINALIZERS)
    user.apply()
    admission.wait_in_force(FINALIZERS)
    operator, since = new_operator(), control_plane.audited()
    operator.start()
    time.sleep(UNDONE_SECONDS)
    assert user.reason() == "WriteUndone"
    assert user.condition(kind="Stalled")["reason"] == "WriteUndone"
    assert "finalizer" in user.condition()["message"]
    assert user.events(kind="Warning") == ["Refused"]
    assert user.notes("Refused")[0].startswith("WriteUndone")
    assert 2 < patches(control_plane, user, since) < 10, "it is tried again, and each try rests longer"
    assert "The finalizer is in place" not in operator.said()
    assert aws.manners.count("CreateFargateProfile") == 0
    admission.remove()
    user.wait_ready(seconds=RECOVERS_SECONDS)
    assert FINALIZER in (user.get() or {})["metadata"]["finalizers"]
    assert aws.manners.count("CreateFargateProfile") == 1


def test_no_profile_is_made_whose_mark_a_policy_takes_out_of_the_status_again(
    control_plane: ControlPlane, user: User, aws: World, new_operator: NewOperator, admission: Admission
) -> None:
    admission.mutation("fargateprofiles/status", "has(object.status.bookkeeping)", WITHOUT_BOOKKEEPING)
    user.apply()
    admission.wait_in_force(MARK, "--subresource=status")
    operator, since = new_operator(), control_plane.audited()
    operator.start()
    user.wait_reason("WriteUndone")
    time.sleep(UNDONE_SECONDS)
    assert user.reason() == "WriteUndone"
    assert patches(control_plane, user, since) < 20
    assert aws.manners.count("CreateFargateProfile") == 0
    admission.remove()
    user.wait_ready(seconds=RECOVERS_SECONDS)
    assert aws.manners.count("CreateFargateProfile") == 1
