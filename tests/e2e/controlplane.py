"""A real Kubernetes control plane on loopback for the end-to-end tests: etcd, kube-apiserver, kubectl.

`find_binaries` returns the folder that holds the three programs, from the first source that has them:
KUBEBUILDER_ASSETS, the cache, the official downloads, a build from the Go modules of go.mod beside this file,
which is also the one place that pins their versions. `ControlPlane` runs them. There is no kubelet, and
kube-controller-manager only where somebody starts it, as the sandbox does: without it nothing makes ServiceAccounts,
and a deleted namespace stays Terminating. `find_manager` has it from the same sources.

`python -m tests.e2e.controlplane` fills the cache and prints the folder.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import http.client
import io
import json
import os
import platform
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

HERE = Path(__file__).parent
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
}
MANAGER, MANAGER_PACKAGE = "kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"
# What a user of the sandbox would miss, and nothing that wants nodes but those of Fargate.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "replicationcontroller-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "ttl-after-finished-controller",
)
KUBERNETES_DOWNLOADS = "https://dl.k8s.io/release"
ETCD_DOWNLOADS = "https://github.com/etcd-io/etcd/releases/download"
DOWNLOAD_TIMEOUT_SECONDS = 5  # of silence: where there is no way out, the build has to come soon
PROGRESS_SECONDS = 30
BUILD_SECONDS = 3600  # of one program; a cold one takes 10 min on two slow cores
START_SECONDS = 90  # 4 s as a rule; a cold build may be using both cores
STOP_SECONDS = 10
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class Unavailable(Exception):
    """No control plane can be had; the text says in one sentence why, or what to install."""


class Versions(NamedTuple):
    """The versions that go.mod pins, without the leading v."""

    kubernetes: str
    etcd: str
    go: str


def versions() -> Versions:
    """Read the pinned versions from go.mod."""
    text = (HERE / "go.mod").read_text()
    wanted = (r"k8s\.io/kubernetes v", r"go\.etcd\.io/etcd/server/v3 v", r"go ")
    found = [re.search(rf"^\s*{prefix}(\S+)", text, re.MULTILINE) for prefix in wanted]
    return Versions(*(match[1] for match in found if match))


# --- Where the programs come from --------------------------------------------------------------------------


def say(line: str) -> None:
    """Print one line of progress."""
    print(f"e2e: {line}", file=sys.stderr, flush=True)


def find_binaries() -> Path:
    """Return the folder with etcd, kube-apiserver and kubectl; fill the cache first if nobody has them."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and not _missing(Path(assets)):
        return Path(assets)
    if assets:
        say(f"KUBEBUILDER_ASSETS has no {' and no '.join(_missing(Path(assets)))}, going on without it")
    pinned = versions()
    cache = cache_folder(pinned)
    with _lock(cache):
        if _missing(cache):
            _fill(cache, pinned)
    return cache


def find_manager(*, make: bool = True) -> Path | None:
    """Return kube-controller-manager; where nobody has it, fill the cache with it, or None if `make` is False."""
    pinned = versions()
    cache = cache_folder(pinned)
    folders = [Path(os.environ.get("KUBEBUILDER_ASSETS") or cache), cache]
    with _lock(cache):
        found = next((each / MANAGER for each in folders if os.access(each / MANAGER, os.X_OK)), None)
        return found or (_make_manager(cache, pinned) if make else None)


def _make_manager(cache: Path, pinned: Versions) -> Path:
    with tempfile.TemporaryDirectory(prefix="filling-", dir=cache.parent) as temporary:
        made = Path(temporary) / MANAGER
        try:
            _download_kubernetes(made, pinned)
        except (Unavailable, OSError, http.client.HTTPException) as error:
            say(f"the official download cannot be had: {error}")
            _build_one(made, MANAGER_PACKAGE, pinned, time.monotonic())
        cache.mkdir(exist_ok=True)
        return made.rename(cache / MANAGER)


def cache_folder(pinned: Versions) -> Path:
    """Return where these versions are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "fargate-operator" / "e2e" / f"{pinned.kubernetes}-{pinned.etcd}"


def _missing(folder: Path) -> list[str]:
    return [name for name in PACKAGES if not os.access(folder / name, os.X_OK)]


@contextmanager
def _lock(cache: Path) -> Iterator[None]:
    """Let one process at a time fill the cache; the others wait and then find it full."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.with_name(f"{cache.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill(cache: Path, pinned: Versions) -> None:
    """Fill the cache from the first source that works, all three programs or nothing."""
    reasons = []
    for source in (download, build):
        with tempfile.TemporaryDirectory(prefix="filling-", dir=cache.parent) as temporary:
            folder = Path(temporary) / "bin"
            folder.mkdir()
            try:
                source(folder, pinned)
            except Unavailable as error:
                say(str(error))
                reasons.append(str(error))
                continue
            shutil.rmtree(cache, ignore_errors=True)
            folder.rename(cache)
            return
    raise Unavailable(
        f"no control plane for the end-to-end tests: install Go {pinned.go} or newer, or set KUBEBUILDER_ASSETS "
        f"to a folder with kube-apiserver and kubectl {pinned.kubernetes} and etcd {pinned.etcd} "
        f"({'; '.join(reasons)})"
    )


def download(folder: Path, pinned: Versions) -> None:
    """Put the official release binaries into the folder, each compared with its published checksum."""
    try:
        for name in ("kube-apiserver", "kubectl"):
            _download_kubernetes(folder / name, pinned)
        _install(folder / "etcd", _download_etcd(f"etcd-v{pinned.etcd}-linux-{_machine()}", pinned))
    except (OSError, http.client.HTTPException, tarfile.TarError, KeyError) as error:
        raise Unavailable(f"the official downloads cannot be had: {error}") from error


def _machine() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        raise Unavailable("there is no official download of kube-apiserver for this kind of machine")
    return machine


def _download_kubernetes(path: Path, pinned: Versions) -> None:
    """Download the program of that name."""
    url = f"{KUBERNETES_DOWNLOADS}/v{pinned.kubernetes}/bin/linux/{_machine()}/{path.name}"
    _install(path, _fetch_checked(url, _fetch(f"{url}.sha256").decode().strip()))


def _download_etcd(release: str, pinned: Versions) -> bytes:
    base = f"{ETCD_DOWNLOADS}/v{pinned.etcd}"
    lines = (line.split() for line in _fetch(f"{base}/SHA256SUMS").decode().splitlines())
    digests = {words[1].lstrip("*"): words[0] for words in lines if len(words) == 2}
    archive = _fetch_checked(f"{base}/{release}.tar.gz", digests.get(f"{release}.tar.gz", ""))
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        program = tar.extractfile(f"{release}/etcd")
        if program is None:
            raise KeyError(f"{release}/etcd")
        return program.read()


def _fetch_checked(url: str, sha256: str) -> bytes:
    say(f"downloading {url}")
    content = _fetch(url)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Unavailable(f"{url} does not have its published checksum")
    return content


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_SECONDS) as answer:
        content: bytes = answer.read()
    return content


def _install(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o755)


def build(folder: Path, pinned: Versions) -> None:
    """Build the three programs from their Go modules into the folder; five minutes on two cores."""
    started = time.monotonic()
    for name, package in PACKAGES.items():
        _build_one(folder / name, package, pinned, started)


def _build_one(target: Path, package: str, pinned: Versions, started: float) -> None:
    if shutil.which("go") is None:
        raise Unavailable("Go is not installed")
    command = ["nice", "-n", "10", "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    command += ["-ldflags", _linker_flags(pinned), "-o", str(target), package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=HERE, env=environment, stdout=log, stderr=log)
        try:
            code = _ended(process, target.name, started)
        finally:
            process.kill()
        if code:
            log.seek(0)
            raise Unavailable(f"the build of {target.name} failed: {log.read()[-2000:].strip()}")


def _ended(process: subprocess.Popen[bytes], name: str, started: float) -> int:
    """Wait for the end of a build and say each half minute that it goes on; return its exit code."""
    for _ in range(BUILD_SECONDS // PROGRESS_SECONDS):
        say(f"building {name} from source, {time.monotonic() - started:.0f} s so far")
        try:
            return process.wait(PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    raise Unavailable(f"the build of {name} has not ended within {BUILD_SECONDS // 60} min")


def _linker_flags(pinned: Versions) -> str:
    """Name the version, or the API server would take itself for v0.0.0-master."""
    major, minor, _ = pinned.kubernetes.split(".", 2)
    values = {"gitVersion": f"v{pinned.kubernetes}", "gitMajor": major, "gitMinor": minor}
    values |= {"gitCommit": "unknown", "gitTreeState": "archive"}
    return "-s -w " + " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in values.items())


# --- The running control plane -----------------------------------------------------------------------------


class Server:
    """One program of the control plane as a process, with its log. It ends no process but its own."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.command = command
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool], *flags: str) -> None:
        """Start the program and return when it is ready."""
        command = [*self.command, *flags]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = self.log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{Path(self.command[0]).name} did not become ready:\n{tail}")
            time.sleep(0.1)

    def stop(self, *, kill: bool = False) -> None:
        """End the program, at once if `kill`; without it, it has 10 s to end by itself."""
        if self.process is None:
            return
        if not kill:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                kill = True
        if kill:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        self.process = None


class ControlPlane:
    """etcd and kube-apiserver on loopback, with RBAC and an audit log, and kubectl as their administrator.

    A context manager. Everything that it writes is in `folder`, by default a temporary one. The API server keeps
    its port, its certificate and its data over stop_apiserver and start_apiserver.
    """

    def __init__(self, folder: Path | None = None, binaries: Path | None = None) -> None:
        self.binaries = binaries or find_binaries()
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="controlplane-")
        self.folder = folder or Path(self._temporary.name if self._temporary else "")
        self.token = secrets.token_urlsafe(24)
        self.kubeconfig = self.folder / "kubeconfig"
        self.ca = self.folder / "certificates" / "apiserver.crt"
        self._audit_log, self._etcd_data = self.folder / "audit.log", self.folder / "etcd"
        etcd_port, peer_port, port = _free_ports(3)
        self.etcd_url = f"http://127.0.0.1:{etcd_port}"
        self.url = f"https://127.0.0.1:{port}"
        self._etcd = Server(self._etcd_command(f"http://127.0.0.1:{peer_port}"), self.folder / "etcd.log")
        self._apiserver = Server(self._apiserver_command(port), self.folder / "kube-apiserver.log")
        self._manager: Server | None = None

    def __enter__(self) -> ControlPlane:
        try:
            self._write_files()
            self._start_etcd()
            self.start_apiserver()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start_apiserver(self, *flags: str) -> None:
        """Start the API server on what etcd has, with more flags if wanted, and return when it is ready."""
        self._apiserver.start(self._ready, *flags)
        self.kubeconfig.write_text(json.dumps(self._kubeconfig()))

    def start_manager(self, program: Path) -> None:
        """Start kube-controller-manager, and return when it has made a first ServiceAccount."""
        self._manager = Server(self._manager_command(program), self.folder / f"{MANAGER}.log")
        made = f"{self.url}/api/v1/namespaces/default/serviceaccounts/default"
        self._manager.start(lambda: _answers(made, self.ca, self.token))

    @property
    def apiserver_pid(self) -> int:
        """The API server's process."""
        assert self._apiserver.process, "it runs"
        return self._apiserver.process.pid

    def stop_apiserver(self, *, kill: bool = False) -> None:
        """End the API server, at once if `kill`; etcd keeps the data."""
        self._apiserver.stop(kill=kill)

    def snapshot(self) -> Path:
        """Return a copy of what etcd has now, for `restore`; both servers are down meanwhile."""
        copy = Path(tempfile.mkdtemp(prefix="snapshot-", dir=self.folder)) / "etcd"
        with self._down():
            shutil.copytree(self._etcd_data, copy)
        return copy

    def restore(self, snapshot: Path) -> None:
        """Take etcd, and with it the API server, back to a snapshot: what came later has never been."""
        with self._down():
            shutil.rmtree(self._etcd_data)
            shutil.copytree(snapshot, self._etcd_data)

    @contextmanager
    def _down(self) -> Iterator[None]:
        self._apiserver.stop(kill=True)
        self._etcd.stop()
        yield
        self._start_etcd()
        self.start_apiserver()

    def _start_etcd(self) -> None:
        self._etcd.start(lambda: _answers(f"{self.etcd_url}/health"))

    def close(self) -> None:
        """End the servers, and remove the folder if it is a temporary one."""
        if self._manager:
            self._manager.stop(kill=True)
        self._apiserver.stop(kill=True)
        self._etcd.stop(kill=True)
        if self._temporary:
            self._temporary.cleanup()

    def kubectl(self, *args: str, input: str | None = None) -> subprocess.CompletedProcess[str]:  # noqa: A002
        """Run kubectl as the administrator, `input` on its standard input; never raises on its exit code."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder)}
        command = [str(self.binaries / "kubectl"), *args]
        return subprocess.run(
            command,
            input=input,
            env=environment,
            cwd=HERE.parents[1],  # where the manifests are
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def etcd(self, call: str, **body: Any) -> dict[str, Any]:
        """Make a call of etcd behind the API server's back, such as kv/put; keys and values are in base64."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.etcd_url}/v3/{call}", data=json.dumps(body).encode(), timeout=10) as answer:
            said: dict[str, Any] = json.loads(answer.read())
            return said

    def compact(self) -> None:
        """Have etcd forget all that is past."""
        last = self.etcd("kv/range", key=base64.b64encode(b"compact").decode())["header"]["revision"]
        self.etcd("kv/compaction", revision=last)

    def audited(self) -> int:
        """Return how much audit log there is; from there on `audit` reads what comes later."""
        return self._audit_log.stat().st_size

    def audit(self, start: int = 0) -> list[dict[str, Any]]:
        """Return the audit events, oldest first: one for each request, written before its answer."""
        with self._audit_log.open("rb") as log:
            log.seek(start)
            return [json.loads(line) for line in log if line.endswith(b"\n")]

    def _ready(self) -> bool:
        """Tell whether it serves and has made the namespaces that everybody counts on."""
        if not self.ca.exists():
            return False
        paths = ("/readyz", "/api/v1/namespaces/default", "/api/v1/namespaces/kube-system")
        return all(_answers(self.url + path, self.ca, self.token) for path in paths)

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')
        (self.folder / "audit-policy.yaml").write_text(json.dumps(AUDIT_POLICY))
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        (self.folder / "service-accounts.key").write_bytes(pem)

    def _kubeconfig(self) -> dict[str, Any]:
        authority = base64.b64encode(self.ca.read_bytes()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "e2e",
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "admin"}}],
            "clusters": [{"name": "e2e", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
        }

    def _etcd_command(self, peer_url: str) -> list[str]:
        return [
            str(self.binaries / "etcd"),
            f"--data-dir={self._etcd_data}",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",  # the data need not outlive a power cut, and fsync costs seconds
            "--log-level=warn",
        ]

    def _apiserver_command(self, port: int) -> list[str]:
        return [
            str(self.binaries / "kube-apiserver"),
            f"--etcd-servers={self.etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # refuses a loopback address
            f"--secure-port={port}",
            f"--cert-dir={self.ca.parent}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",  # as EKS has it: what then runs such a pod is not the API server's business
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--disable-admission-plugins=ServiceAccount",  # nobody makes the default ServiceAccounts
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'service-accounts.key'}",
            f"--service-account-signing-key-file={self.folder / 'service-accounts.key'}",
            f"--audit-policy-file={self.folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self._audit_log}",
            "--audit-log-maxsize=0",  # never begun anew
            "--audit-log-mode=blocking",
        ]

    def _manager_command(self, program: Path) -> list[str]:
        return [
            str(program),
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(CONTROLLERS)}",
            "--leader-elect=false",
            "--secure-port=0",  # nobody asks it
        ]


def _answers(url: str, ca: Path | None = None, token: str = "") -> bool:
    """Tell whether a GET of the URL is answered with success."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]  # never for loopback
        if ca:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
        with urllib.request.build_opener(*handlers).open(request, timeout=5):
            return True
    except (OSError, http.client.HTTPException):
        return False


def _free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago; held together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    try:
        print(find_binaries())
    except Unavailable as error:
        sys.exit(str(error))
