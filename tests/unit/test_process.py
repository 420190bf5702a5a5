"""The controller as a real process: how it starts, stands by, leads, ends and is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config import VERSION, configure
from controller import GRACE_SECONDS, build
from tests.fakes.apiserver import ApiServer, kubeconfig, serve
from tests.fakes.aws import Call, Manners
from tests.sandbox import sandbox
from tests.unit.test_clustersfile import Mounted
from tests.unit.test_config import HOME
from tests.unit.test_kube import self_signed
from tests.waiting import SOON, wait_for
from wire import micro_time

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0  # a start takes 1.5 s of a processor, which on a busy machine may be a long time


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def health(self, path: str = "/healthz") -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return str(answer.read().decode().strip())
        except (urllib.error.URLError, OSError) as error:
            return str(error)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until the condition holds; fail if the process ends before."""

        def happened() -> object:
            met = condition()
            assert met or self.process.poll() is None, f"it ended before that: {what}"
            return met

        wait_for(happened, PATIENCE_SECONDS, what)

    def wait_says(self, text: str) -> None:
        self.wait_for(lambda: text in self.log.read_text(), f"the log says {text!r}")

    def wait_watches(self, api: ApiServer, count: int = 1) -> None:
        self.wait_for(lambda: api.watching() == count, f"it has {count} watches open")

    def ends(self) -> int:
        """Return its exit code."""
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def controller(
    tmp_path: Path, api_url: str, aws_url: str = "http://127.0.0.1:1", token: str = "", **variables: str
) -> Iterator[Running]:
    """Run `python controller.py` until the block ends."""
    port = free_port()
    config = kubeconfig(api_url, tmp_path / "kubeconfig")
    if token:
        known = json.loads(config.read_text())
        known["users"][0]["user"] = {"token": token}
        config.write_text(json.dumps(known))
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "KUBECONFIG": str(config),
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HEALTH_PORT": str(port),
        **HOME,
        **variables,
    }
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, str(ROOT / "controller.py")], env=environ, stderr=stderr)
        try:
            yield Running(process, port, log)
        finally:
            process.kill()
            process.wait(PATIENCE_SECONDS)
            print(log.read_text())  # pytest shows it if the test fails


class EndlessAws(socketserver.ThreadingTCPServer):
    """An AWS whose answers go on, byte by byte, until they are `cut`: a pass stays in hand for as long as a test likes.

    One that only kept silent would be given up after 10 s, which on a busy machine is no long time.
    """

    daemon_threads, block_on_close = True, False

    class Answer(socketserver.StreamRequestHandler):
        server: EndlessAws

        def handle(self) -> None:
            self.server.asked.set()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
            for _ in range(10000):
                if self.server.cut.wait(0.1):
                    return
                self.wfile.write(b" ")

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Answer)
        self.asked, self.cut = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.cut.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that went away."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def apply(api: ApiServer) -> None:
    spec = {"podExecutionRoleArn": "arn:aws:iam::123456789012:role/good", "selectors": [{"namespace": "web"}]}
    meta = {"name": "web", "namespace": "default"}
    api.apply({"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": spec})


def test_sigterm_ends_a_process_whose_aws_can_t_be_reached_with_exit_0_within_its_grace(tmp_path: Path) -> None:
    api = ApiServer()
    apply(api)
    with serve(api) as server, controller(tmp_path, server.url) as running:
        running.wait_for(lambda: running.health() == "ok", "it says that it is well")
        running.wait_watches(api)
        running.wait_for(lambda: re.search("tried again|failed", running.log.read_text()), "AWS can't be reached")
        started = time.monotonic()
        running.process.terminate()
        assert running.ends() == 0
        assert time.monotonic() - started < GRACE_SECONDS, "nothing was in hand that it had to wait for"
    assert "Traceback" not in running.log.read_text()


def test_a_second_signal_ends_a_process_at_once_that_still_waits_for_a_pass_in_hand(tmp_path: Path) -> None:
    api = ApiServer()
    apply(api)
    with EndlessAws() as aws, serve(api) as server, controller(tmp_path, server.url, aws.url) as running:
        running.wait_for(aws.asked.is_set, "a pass is in hand")
        running.process.terminate()
        running.wait_says("stopping")
        time.sleep(0.2)
        assert running.process.poll() is None, "the pass in hand has its grace"
        running.process.terminate()
        assert running.ends() == -signal.SIGTERM


def test_a_pass_in_hand_at_the_signal_is_worked_to_its_end_and_then_the_process_ends_with_exit_0(
    tmp_path: Path,
) -> None:
    api = ApiServer()
    apply(api)
    with EndlessAws() as aws, serve(api) as server, controller(tmp_path, server.url, aws.url) as running:
        running.wait_for(aws.asked.is_set, "a pass is in hand")
        running.process.terminate()
        running.wait_says("stopping")
        aws.cut.set()
        assert running.ends() == 0
    said_after = running.log.read_text().partition("stopping")[2]
    assert "reason=AwsUnreachable" in said_after or api.writes(), (
        "a look at the cluster is logged, one at an object is reported"
    )


def test_a_signal_is_heard_whatever_the_main_thread_is_about_to_do() -> None:
    """The accident: a handler runs in the main thread, which may hold the event's lock, or be about to wait for it."""
    script = (
        "import controller, os, signal, threading\n"
        "stop = threading.Event()\n"
        "controller.stop_on_signals(stop)\n"
        "with stop._cond:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "raise SystemExit(0 if stop.wait(5) else 1)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=10, check=False).returncode == 0


def test_an_api_server_that_can_t_be_reached_never_ends_the_process_and_is_found_when_it_comes(tmp_path: Path) -> None:
    api, port = ApiServer(), free_port()
    apply(api)
    with controller(tmp_path, f"http://127.0.0.1:{port}") as running:
        running.wait_says("the API server failed, tried again soon")
        assert running.health() == "ok"
        with serve(api, port):
            running.wait_says("listed objects=1")
        running.process.send_signal(signal.SIGINT)
        assert running.ends() == 0


def test_without_the_crd_log_and_readyz_say_apply_it_and_once_it_is_there_it_is_seen_within_10_s(
    tmp_path: Path,
) -> None:
    api = ApiServer()
    api.fail("GET", "fargateprofiles", 404, times=5)  # 1, 2, 4 and 7 s apart at most
    with serve(api) as server, controller(tmp_path, server.url, NO_LEADER_ELECT="true") as running:
        running.wait_says("FargateProfiles: kubectl apply -f crd.yaml")
        with pytest.raises(urllib.error.HTTPError) as unready:
            urllib.request.urlopen(f"http://127.0.0.1:{running.port}/readyz", timeout=2)
        with unready.value as answer:
            assert (answer.status, "kubectl apply -f crd.yaml" in answer.read().decode()) == (503, True)
        running.wait_watches(api)
        assert running.health("/readyz") == "ok"


def test_a_clusters_file_that_changes_under_a_process_is_refused_or_taken_up_as_it_is_right_or_wrong(
    tmp_path: Path,
) -> None:
    mounted, api = Mounted(tmp_path / "mounted"), ApiServer()
    mounted.put("clusters: [{name: demo}]")
    refused = "fargate_clusters_file_refused 1.0"
    with serve(api) as server, controller(tmp_path, server.url, CLUSTERS_FILE=str(mounted.file)) as running:
        running.wait_says(f"took clusters file={mounted.file} entries=1")
        running.wait_says("leading lease=default/fargate-operator")
        assert refused not in running.health("/metrics")
        mounted.put("clusters: [{name: demo, region: eu-central-1}]")
        running.wait_says(
            f"the clusters file is refused, the entries of before stay: {mounted.file}:1: clusters[0].region"
        )
        running.wait_for(lambda: refused in running.health("/metrics"), "the metric says so")
        assert running.health() == "ok"
        mounted.put("clusters: [{name: demo}, {name: b, region: eu-central-1}]")
        running.wait_says(f"took clusters file={mounted.file} entries=2")
        running.wait_for(lambda: refused not in running.health("/metrics"), "the metric says so")
        running.process.terminate()
        assert running.ends() == 0


def test_a_process_whose_file_lists_all_its_clusters_starts_and_ends_without_a_home(tmp_path: Path) -> None:
    (tmp_path / "clusters.yaml").write_text("clusters: [{name: a}]")
    api, file = ApiServer(), str(tmp_path / "clusters.yaml")
    apply(api)
    with serve(api) as server, controller(tmp_path, server.url, CLUSTERS_FILE=file, CLUSTER_NAME="") as running:
        running.wait_says("leading lease=default/fargate-operator")
        running.wait_says("listed objects=1")
        time.sleep(1.0)
        running.process.terminate()
        assert running.ends() == 0
    assert "Traceback" not in running.log.read_text()


def test_a_process_that_has_lost_the_lease_ends_with_exit_1(tmp_path: Path) -> None:
    api = ApiServer()
    with serve(api) as server, controller(tmp_path, server.url) as running:
        running.wait_says("leading lease=default/fargate-operator")
        api.edit("leases", "default", "fargate-operator", {"spec": {"holderIdentity": "somebody"}})
        assert running.ends() == 1
    assert "lost the Lease, this process ends: somebody has it now" in running.log.read_text()


def test_a_process_that_stands_by_watches_and_asks_nothing_else(tmp_path: Path) -> None:
    api = ApiServer()
    apply(api)
    meta = {"namespace": "default", "name": "fargate-operator"}
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": 15}
    api.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec})

    def looked_thrice() -> bool:
        api.edit("leases", "default", "fargate-operator", {"spec": {"renewTime": micro_time(datetime.now(UTC))}})
        return sum("leases" in request.path for request in api.log) >= 3

    with serve(api) as server, controller(tmp_path, server.url) as running:
        running.wait_watches(api)
        running.wait_for(looked_thrice, "it has looked thrice")
        waits = "standing by: lease default/fargate-operator is held by somebody; this process changes nothing"
        assert running.log.read_text().count(waits) == 1
        assert running.health("/readyz").startswith(f"ok; {waits}")
        assert "started cluster=demo" in running.log.read_text().splitlines()[0]
        assert f'fargate_build_info{{version="{VERSION}"}} 1.0' in running.health("/metrics")
        running.process.terminate()
        assert running.ends() == 0
    assert {request.path.rpartition("/")[2] for request in api.log} == {"fargateprofiles", "fargate-operator"}
    assert api.writes() == []


@pytest.mark.usefixtures("a_machine_without_settings")
@pytest.mark.parametrize("more", [[], ["--controller-id=ours"]])
def test_a_pass_of_a_process_that_does_not_lead_asks_neither_kubernetes_nor_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: list[str]
) -> None:
    """A pass may have begun before the Lease was lost: a look before the pass is not enough."""
    api = ApiServer()
    with serve(api) as server, socket.create_server(("127.0.0.1", 0)) as aws:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(server.url, tmp_path / "kubeconfig")))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "nobody")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.getsockname()[1]}")
        process = build(configure(more, HOME), {})
        process.queue.open()
        process.queue.add(("", "demo"))
        assert process.controller.run_once()
        aws.setblocking(False)
        with pytest.raises(BlockingIOError):
            aws.accept()
    assert api.log == []


def test_a_process_told_to_end_gives_its_lease_up(tmp_path: Path) -> None:
    api = ApiServer()
    with serve(api) as server, controller(tmp_path, server.url) as running:
        running.wait_says("leading lease=")
        running.process.terminate()
        assert running.ends() == 0
    lease = api.get("leases", "default", "fargate-operator") or {}
    assert lease["spec"]["holderIdentity"] == ""


def test_a_pass_that_outlives_the_grace_keeps_the_lease_until_it_expires(tmp_path: Path) -> None:
    api = ApiServer()
    apply(api)
    with EndlessAws() as aws, serve(api) as server, controller(tmp_path, server.url, aws.url) as running:
        running.wait_for(aws.asked.is_set, "a pass is in hand")
        running.process.terminate()
        assert running.ends() == 0
    lease = api.get("leases", "default", "fargate-operator") or {}
    assert lease["spec"]["holderIdentity"].count("_") == 1


def test_a_controller_killed_inside_its_create_finds_the_profile_after_a_restart_and_makes_no_second() -> None:
    manners, killed = Manners(creating_seconds=1), threading.Event()
    with sandbox(manners, POLL_SECONDS=0.3) as box:

        def kill(call: Call) -> None:
            """Kill while the request is on its way: EKS carries it out, its answer reaches nobody."""
            if call.operation == "CreateFargateProfile":
                manners.on_call = None
                assert box.controller.kill() == -9
                killed.set()

        manners.on_call = kill
        box.start()
        manifest = {
            "apiVersion": "jicomusic.com/v1",
            "kind": "FargateProfile",
            "metadata": {"name": "web"},
            "spec": {"podExecutionRoleArn": box.world.roles["good"], "selectors": [{"namespace": "web"}]},
        }
        box.apply(manifest)
        box.wait_for(lambda: killed.is_set() and box.profiles(), SOON, "web is created and nobody hears of it")
        assert not box.ready("web")
        box.start()
        box.wait_for(lambda: box.ready("web"), SOON, "web gets Ready")
        assert list(box.profiles()) == ["web"]
        assert box.profiles()["web"]["status"] == "ACTIVE"
        assert manners.count("CreateFargateProfile") == 1
        assert box.controller.stop() == 0


def test_what_is_ignored_is_logged_by_the_controller_and_told_by_the_commands(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    api = ApiServer()
    with serve(api) as server, controller(tmp_path, server.url, LEASE_NAME="tcp://10.0.0.1:80") as running:
        running.wait_says("LEASE_NAME is 'tcp://10.0.0.1:80', as the kubelet sets it for a Service")
        running.wait_says("leading lease=default/fargate-operator")
    script = f"import sys, controller; sys.exit(controller.main(['plan', '-f', 'x'], {HOME | {'WORKERS': 'tcp://10.0.0.1:80'}}))"
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, timeout=60, check=False, capture_output=True, text=True
    )
    assert told.returncode == 2
    assert told.stderr.startswith("WORKERS is 'tcp://10.0.0.1:80', as the kubelet sets it for a Service")


def test_with_metrics_auth_metrics_are_read_with_a_token_at_their_own_port_alone(tmp_path: Path) -> None:
    api, port, file = ApiServer(), free_port(), self_signed(tmp_path / "tls.pem")
    api.users["prometheus-s"] = {"username": "prometheus"}
    api.readers.add(("prometheus", "/metrics"))
    files = {"METRICS_CERT_FILE": str(file), "METRICS_KEY_FILE": str(file)}
    context = ssl.create_default_context(cafile=str(file))

    def scrape(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"https://127.0.0.1:{port}/metrics", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    guarded = {"METRICS_AUTH": "true", "METRICS_PORT": str(port), **files}
    with serve(api) as server, controller(tmp_path, server.url, **guarded) as running:
        running.wait_for(lambda: running.health() == "ok", "probes are answered without a token")
        assert running.health("/metrics").startswith("HTTP Error 404")
        assert [scrape(token) for token in ("prometheus-s", "another-s")] == [200, 401]
