"""What the end-to-end tests share: the operator as a process, a user with kubectl, and how long both may wait.

    kubectl -> kube-apiserver <- (Proxy) <- controller.py, as rbac.yaml's ServiceAccount -> moto with EKS's manners

The fixtures around these are in conftest.py. Nothing here knows what the controller does inside.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.docs import section
from tests.e2e.controlplane import ControlPlane
from tests.fakes import aws as fake_aws
from tests.fakes.eks_rules import ACCOUNT
from tests.waiting import SOON, wait_for

ROOT = Path(__file__).resolve().parents[2]
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{fake_aws.SAMPLE_ROLE}"
MISSING_ROLE = f"arn:aws:iam::{ACCOUNT}:role/missing"
SUBNETS = list(fake_aws.SAMPLE_SUBNETS)
IDENTITY = "system:serviceaccount:default:fargate"  # of rbac.yaml
START_SECONDS = 30.0  # 1.5 s as a rule
AFTER_A_WHILE = 60.0  # where a backoff has grown, or somebody has to come round to it again
STOP_SECONDS = 12.0  # the controller promises 8, and then it exits
# One at a time, so that what was killed may start again at once; test_leader.py has several.
USUAL = {"POLL_SECONDS": "0.3", "HEALTH_PORT": "0", "NO_LEADER_ELECT": "true"}

Object = dict[str, Any]


def commands_told(document: str, start: str, end: str) -> list[str]:
    """Return the kubectl commands that stand in a document between two texts, in their order."""
    text = section(document, start, end)
    return [block or inline for block, inline in re.findall(r"^(kubectl .+)$|`(kubectl [^`]+)`", text, re.MULTILINE)]


def ok(result: subprocess.CompletedProcess[str]) -> str:
    """Return what kubectl printed; it must have succeeded, without a warning."""
    said = f"{result.args} ended with {result.returncode}: {result.stderr or result.stdout}"
    assert (result.returncode, result.stderr) == (0, ""), said
    return result.stdout


@dataclass
class Operator:
    """`python controller.py`, or a runner of it, as a child; all its runs log to one file."""

    environ: dict[str, str]
    log: Path
    command: tuple[str, ...] = ("controller.py",)
    child: subprocess.Popen[bytes] | None = None

    def start(self, until: str = "listed objects=") -> None:
        """Start it and wait until its log says that it is there."""
        before = len(self.said())
        with self.log.open("ab") as log:
            command = [sys.executable, *self.command]
            self.child = subprocess.Popen(command, cwd=ROOT, env=self.environ, stdout=log, stderr=subprocess.STDOUT)
        wait_for(lambda: until in self.said()[before:] or self.died, START_SECONDS, f"the log says {until!r}")
        assert self.died is None, self.said()[before:]

    def stop(self) -> int:
        """Ask it to end as Kubernetes does (SIGTERM); return its exit code."""
        return self.end(signal.SIGTERM)

    def kill(self) -> int:
        """End it at once (SIGKILL); return its exit code."""
        return self.end(signal.SIGKILL)

    def restart(self) -> None:
        self.kill()
        self.start()

    def end(self, number: int) -> int:
        if self.child is None:
            return 0
        child, self.child = self.child, None
        child.send_signal(number)
        try:
            return child.wait(STOP_SECONDS)
        finally:
            child.kill()

    @property
    def died(self) -> int | None:
        """Its exit code if it ended without having been asked to."""
        return self.child.poll() if self.child else None

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def environment(world: fake_aws.World, **variables: str) -> dict[str, str]:
    """Return all that an operator may know: this machine's own settings for AWS, Kubernetes and proxies stay out."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        "CLUSTER_NAME": world.cluster,
        **USUAL,
        **world.env,
        **variables,
    }


def refusals(control_plane: ControlPlane, start: int) -> list[str]:
    """Return what the API server has forbidden the operator since the audit log was so long.

    But for events into a namespace that is being deleted: these it refuses to everybody.
    """
    forbidden = [
        event
        for event in control_plane.audit(start)
        if event["user"]["username"] == IDENTITY and event.get("responseStatus", {}).get("code") == 403
    ]
    said = [f"{each['verb']} {each['requestURI']}: {each['responseStatus'].get('message')}" for each in forbidden]
    return [each for each in said if not re.match(r"create .*/events\?*.*because it is being terminated", each)]


def token_of(control_plane: ControlPlane, account: str, *flags: str) -> str:
    """Return a token of a ServiceAccount, "namespace:name"."""
    namespace, name = account.rsplit(":", 2)[-2:]
    return ok(control_plane.kubectl("create", "token", name, "-n", namespace, "--duration=2h", *flags)).strip()


def write_kubeconfig(path: Path, control_plane: ControlPlane, token: str, server: str = "") -> Path:
    """Write a kubeconfig that knows the API server and one token, and nothing more."""
    authority = base64.b64encode(control_plane.ca.read_bytes()).decode()
    cluster = {"server": server or control_plane.url, "certificate-authority-data": authority}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "e2e",
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "operator"}}],
        "clusters": [{"name": "e2e", "cluster": cluster}],
        "users": [{"name": "operator", "user": {"token": token}}],
    }
    path.write_text(json.dumps(config))
    return path


@dataclass
class User:
    """Somebody with kubectl and a namespace, and a quick look at what the API server has."""

    control_plane: ControlPlane
    namespace: str
    namespaces: list[str] = field(default_factory=list)

    def new_namespace(self, suffix: str = "", **labels: str) -> str:
        name = self.namespace + suffix
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        ok(self.control_plane.kubectl("create", "-f", "-", input=json.dumps(made)))
        self.namespaces.append(name)
        return name

    # What they type

    def kubectl(self, *args: str, stdin: str | None = None, namespace: str = "") -> subprocess.CompletedProcess[str]:
        return self.control_plane.kubectl("-n", namespace or self.namespace, *args, input=stdin)

    def manifest(self, name: str = "web", **spec: Any) -> Object:
        """Return an object that EKS takes, but for what `spec` says otherwise; None takes a field out.

        It selects pods of the namespace that has its name, so that no two objects overlap.
        """
        selectors = [{"namespace": name.replace(".", "-")}]
        usual = {"podExecutionRoleArn": ROLE, "subnets": SUBNETS, "selectors": selectors}
        fields = {key: value for key, value in (usual | spec).items() if value is not None}
        return {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": name}, "spec": fields}

    def apply(self, *names: str, namespace: str = "", **spec: Any) -> None:
        """Apply objects of these names, all at once; "web" without any."""
        items = [self.manifest(name, **spec) for name in names or ("web",)]
        ok(self.kubectl("apply", "-f", "-", stdin=json.dumps(_listed(items)), namespace=namespace))

    def edit(self, name: str = "web", namespace: str = "", **spec: Any) -> None:
        change = json.dumps({"spec": spec})
        ok(self.kubectl("patch", "fp", name, "--type=merge", "-p", change, namespace=namespace))

    def delete(self, *names: str, namespace: str = "") -> None:
        """Ask for the deletion of objects and do not wait for it."""
        ok(self.kubectl("delete", "fp", *(names or ("web",)), "--wait=false", namespace=namespace))

    # What they see

    def get(self, name: str = "web", namespace: str = "") -> Object | None:
        """Return an object as the API server has it; None for none."""
        return self._read(f"/apis/jicomusic.com/v1/namespaces/{namespace or self.namespace}/fargateprofiles/{name}")

    def objects(self) -> list[Object]:
        """Return all FargateProfiles of all namespaces."""
        found = self._read("/apis/jicomusic.com/v1/fargateprofiles")
        return found["items"] if found else []

    def condition(self, name: str = "web", kind: str = "Ready", namespace: str = "") -> Object:
        """Return a condition of the object, {} where there is none."""
        listed = (self.get(name, namespace) or {}).get("status", {}).get("conditions", [])
        return next((each for each in listed if each["type"] == kind), {})

    def reason(self, name: str = "web", namespace: str = "") -> str:
        return str(self.condition(name, namespace=namespace).get("reason", ""))

    def ready(self, *names: str, namespace: str = "") -> bool:
        """Say whether these objects are Ready as they are now, not as they were before an edit."""
        return all(self._ready(name, namespace) for name in names or ("web",))

    def _ready(self, name: str, namespace: str) -> bool:
        obj, condition = self.get(name, namespace), self.condition(name, namespace=namespace)
        now = obj and condition.get("observedGeneration") == obj["metadata"]["generation"]
        return bool(now and condition["status"] == "True")

    def gone(self, *names: str, namespace: str = "") -> bool:
        return all(self.get(name, namespace) is None for name in names or ("web",))

    def events(self, name: str = "web", kind: str = "", namespace: str = "") -> list[str]:
        """Return the reasons of the events about an object, oldest first."""
        return [event["reason"] for event in self._events(name, namespace) if kind in {"", event["type"]}]

    def notes(self, reason: str, name: str = "web") -> list[str]:
        """Return what the events of a reason say about an object, oldest first."""
        return [event["note"] for event in self._events(name) if event["reason"] == reason]

    def _events(self, name: str, namespace: str = "") -> list[Object]:
        found = self._read(f"/apis/events.k8s.io/v1/namespaces/{namespace or self.namespace}/events") or {"items": []}
        about = [event for event in found["items"] if event["regarding"]["name"] == name]
        return sorted(about, key=lambda event: str(event["eventTime"]))

    def wait_ready(self, *names: str, seconds: float = SOON, namespace: str = "") -> None:
        wanted = names or ("web",)
        wait_for(lambda: self.ready(*wanted, namespace=namespace), seconds, f"{', '.join(wanted)} get Ready")

    def wait_reason(self, reason: str, name: str = "web", seconds: float = SOON, namespace: str = "") -> None:
        what = f"{name} says {reason}"
        wait_for(lambda: self.reason(name, namespace) == reason, seconds, what)

    def wait_gone(self, *names: str, seconds: float = SOON, namespace: str = "") -> None:
        wanted = names or ("web",)
        wait_for(lambda: self.gone(*wanted, namespace=namespace), seconds, f"{', '.join(wanted)} disappear")

    def wait_events(self, *reasons: str, name: str = "web", kind: str = "", seconds: float = SOON) -> None:
        """Wait until an object has these events, oldest first, and hold that there are no others.

        An event goes out after the status that it tells of: who has seen the one may be too early for the other.
        """
        what = f"{name} has the events {', '.join(reasons)}"
        wait_for(lambda: len(self.events(name, kind)) >= len(reasons), seconds, what)
        found = self.events(name, kind)
        assert found == [*reasons], f"{name} has other events: {', '.join(found)}"

    def clean(self) -> None:
        """Take away by force what a test has left."""
        for obj in self.objects():
            name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
            if namespace in self.namespaces:
                strip = '{"metadata":{"finalizers":null}}'
                self.kubectl("patch", "fp", name, "--type=merge", "-p", strip, namespace=namespace)
                self.kubectl("delete", "fp", name, "--wait=false", "--ignore-not-found", namespace=namespace)
        self.control_plane.kubectl("delete", "namespace", *self.namespaces, "--wait=false")

    def _read(self, path: str) -> Object | None:
        headers = {"Authorization": f"Bearer {self.control_plane.token}"}
        request = urllib.request.Request(self.control_plane.url + path, headers=headers)
        try:
            with self._opener.open(request, timeout=10) as answer:
                read: Object = json.loads(answer.read())
                return read
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cafile=self.control_plane.ca)
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        return urllib.request.build_opener(*handlers)


def _listed(items: list[Object]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def profiles(world: fake_aws.World) -> dict[str, Object]:
    """Return what EKS has in the world's cluster, by name."""
    return {each["fargateProfileName"]: each for each in world.profiles(world.cluster)}


# --- A network that fails --------------------------------------------------------------------------------------


class Proxy:
    """A TCP proxy in front of the API server whose troubles a test sets; a context manager.

    `refuse`: new connections are closed at once. `delay`: seconds that each piece is held back. `truncate_after`:
    bytes of answers after which a connection is cut. `blackhole`: what is sent arrives nowhere, either way.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition("/")[2].partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._silenced: set[socket.socket] = set()
        self.accepted = 0
        self.heal()

    def heal(self) -> None:
        """End every trouble; what was silenced stays so."""
        self.refuse = False
        self.blackhole = False
        self.delay = 0.0
        self.truncate_after = 0

    def cut(self) -> None:
        """Break every open connection."""
        for one in list(self._open):
            _close(one)

    def silence(self) -> None:
        """Let nothing more through the connections that are open now; new ones are fine."""
        self._silenced |= self._open

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                if self.refuse:
                    raise ConnectionRefusedError
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                _close(client)
                continue
            server.settimeout(None)
            self._open |= {client, server}
            for source, sink, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, answers), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        carried = 0
        try:
            while piece := source.recv(65536):
                carried += len(piece)
                if self.delay:
                    time.sleep(self.delay)
                if self.blackhole or source in self._silenced:
                    self._silenced |= {source, sink}
                    continue
                if answers and 0 < self.truncate_after < carried:
                    sink.sendall(piece[: len(piece) // 2])
                    break
                sink.sendall(piece)
        except OSError:
            pass
        for one in (source, sink):
            _close(one)
            self._open.discard(one)
            self._silenced.discard(one)


def _close(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    finally:
        one.close()
