"""Who may read /metrics with --metrics-auth: whom the API server knows and lets, over TLS, and nobody else."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from prometheus_client import CollectorRegistry

import kube
from config import Missing, configure
from controller import Health, asked_who_may, listen_guarded, serve
from metrics import ALLOWED_SECONDS, CONNECTIONS, MOST_KNOWN, Guard, Metrics
from tests.fakes.apiserver import ApiServer
from tests.harness import Clock, InProcess
from tests.unit.test_config import HOME
from tests.unit.test_kube import self_signed

READER = "system:serviceaccount:monitoring:prometheus"
PROMETHEUS = {
    "username": READER,
    "uid": "7",
    "groups": ["system:serviceaccounts"],
    "extra": {"authentication.kubernetes.io/pod-name": ["prometheus-0"]},
}
GROUP = "system:serviceaccounts"


@dataclass
class Guarded:
    """A guard, the API server that it asks, and the clock of both."""

    api: ApiServer = field(default_factory=ApiServer)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.api.users["prometheus-s"] = PROMETHEUS
        source: Any = kube.Kube(InProcess(self.api, lambda: None), "test")
        self.guard = Guard(partial(asked_who_may, source), self.clock.monotonic)

    def code(self, authorization: str = "Bearer prometheus-s") -> int:
        """Return what the sender of this header gets."""
        return (self.guard.refusal(authorization) or (200, ""))[0]

    @property
    def asked(self) -> list[str]:
        return [request.path.rpartition("/")[2] for request in self.api.log]


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def test_whom_the_api_server_knows_and_lets_get_metrics_reads_them(guarded: Guarded) -> None:
    guarded.api.readers.add((READER, "/metrics"))
    assert guarded.code() == 200
    assert guarded.code("bearer prometheus-s ") == 200, "the word for it is written either way (RFC 9110)"
    assert guarded.asked == ["tokenreviews", "subjectaccessreviews"]


def test_the_groups_of_who_asks_count(guarded: Guarded) -> None:
    guarded.api.readers.add((GROUP, "/metrics"))
    assert guarded.code() == 200


@pytest.mark.parametrize("reader", [None, (READER, "/debug"), ("system:masters", "/metrics")])
def test_who_may_not_get_metrics_is_refused_by_name(guarded: Guarded, reader: tuple[str, str] | None) -> None:
    guarded.api.readers |= {reader} if reader else set()
    code, said = guarded.guard.refusal("Bearer prometheus-s") or (200, "")
    assert code == 403
    assert READER in said


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "prometheus-s",
        "Basic prometheus-s",
        "Bearer a b",
        "Bearer \n",
        "Bearer {}",
        "Bearer =a",
    ],
)
def test_who_sends_nothing_that_could_be_a_token_is_told_so_and_the_api_server_is_not_asked(
    guarded: Guarded, authorization: str
) -> None:
    assert guarded.code(authorization) == 401
    assert guarded.asked == []


def test_a_token_that_the_api_server_does_not_know_is_refused(guarded: Guarded) -> None:
    guarded.api.readers.add((GROUP, "/metrics"))
    assert guarded.code("Bearer somebody-s") == 401
    assert guarded.asked == ["tokenreviews"]


def test_who_may_read_is_asked_about_once_a_minute_and_loses_the_right_within_one(guarded: Guarded) -> None:
    guarded.api.readers.add((GROUP, "/metrics"))
    for _ in range(12):
        assert guarded.code() == 200
        guarded.clock.elapsed += ALLOWED_SECONDS / 12
    guarded.api.readers.clear()
    assert len(guarded.asked) == 2
    assert guarded.code() == 403


def test_who_is_given_the_right_reads_within_ten_seconds(guarded: Guarded) -> None:
    assert guarded.code() == 403
    guarded.api.readers.add((GROUP, "/metrics"))
    assert guarded.code() == 403
    guarded.clock.elapsed += 10
    assert guarded.code() == 200


def test_a_token_that_ends_is_refused_within_a_minute(guarded: Guarded) -> None:
    guarded.api.readers.add((GROUP, "/metrics"))
    assert guarded.code() == 200
    guarded.api.users.clear()
    guarded.clock.elapsed += 60
    assert guarded.code() == 401


def test_who_sends_thousands_of_tokens_fills_no_memory_and_makes_nobody_else_s_wrong(guarded: Guarded) -> None:
    guarded.api.readers.add((GROUP, "/metrics"))
    for number in range(1000):
        assert guarded.code(f"Bearer {number}") == 401
    assert guarded.code() == 200
    assert len(guarded.guard._known) <= MOST_KNOWN


def test_nobody_s_token_is_kept(guarded: Guarded) -> None:
    guarded.code()
    assert "prometheus-s" not in repr(vars(guarded.guard))


@pytest.mark.parametrize("outcome", [403, 500, "drop"])
@pytest.mark.parametrize("review", ["tokenreviews", "subjectaccessreviews"])
def test_an_api_server_that_does_not_say_lets_nobody_read_and_is_left_alone_for_a_second(
    guarded: Guarded, review: str, outcome: Any, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.api.readers.add((GROUP, "/metrics"))
    guarded.api.fail("POST", f"/{review}$", outcome)
    for number in range(100):
        assert guarded.code(f"Bearer {number}" if number else "Bearer prometheus-s") == 503
    (told,) = caplog.records
    assert review in told.getMessage()
    assert "prometheus-s" not in told.getMessage()
    guarded.clock.elapsed += 1
    assert guarded.code() == 200


def test_one_question_at_a_time_reaches_the_api_server() -> None:
    """Its time is shared with the operator's own calls."""
    second, met = threading.Barrier(2), []

    def ask(token: str, _path: str) -> tuple[str, bool]:
        with suppress(threading.BrokenBarrierError):  # nobody else asks meanwhile
            second.wait(0.2)
            met.append(token)
        return "somebody", True

    guard = Guard(ask, time.monotonic)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(guard.refusal, [f"Bearer {number}" for number in range(40)])) == {None}
    assert met == []


# Over TLS


@dataclass
class Scraper:
    """Who scrapes a controller that asks for a token; the certificate is in one file with its key."""

    port: int
    file: Path
    api: ApiServer

    def get(self, path: str = "/metrics", token: str = "prometheus-s", scheme: str = "https") -> tuple[int, str]:
        context = ssl.create_default_context(cafile=str(self.file)) if scheme == "https" else None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def scraper(tmp_path: Path) -> Iterator[Scraper]:
    file, api, metrics = self_signed(tmp_path / "tls.pem"), Guarded().api, Metrics()
    api.readers.add((GROUP, "/metrics"))
    flags = ["--metrics-auth", "--metrics-port=0", f"--metrics-cert-file={file}", f"--metrics-key-file={file}"]
    configured = configure([*flags, "--health-address=127.0.0.1"], HOME)
    source: Any = kube.Kube(InProcess(api, lambda: None), "test")
    server = listen_guarded(configured, source, metrics.registry)
    serve(server)
    yield Scraper(server.server_address[1], file, api)
    server.shutdown()
    server.server_close()


def test_metrics_are_read_over_tls_with_a_token(scraper: Scraper) -> None:
    code, text = scraper.get()
    assert code == 200
    assert "workqueue_depth" in text


def test_an_answer_is_told_from_one_that_was_cut_off_by_the_end_of_tls(scraper: Scraper) -> None:
    context = ssl.create_default_context(cafile=str(scraper.file))
    with (
        socket.create_connection(("127.0.0.1", scraper.port), timeout=5) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as tls,
    ):
        tls.sendall(b"GET /metrics HTTP/1.0\r\nAuthorization: Bearer prometheus-s\r\n\r\n")
        text = b"".join(iter(partial(tls.recv, 65536), b""))  # SSLEOFError where it is missing
    assert text.startswith(b"HTTP/1.0 200")


def test_nothing_but_metrics_is_served_there_and_nothing_without_a_token(scraper: Scraper) -> None:
    assert [scraper.get(path)[0] for path in ("/", "/healthz", "/readyz", "/metrics/", "/metrics/x")] == [404] * 5
    assert [scraper.get(token=token)[0] for token in ("", "another-s")] == [401] * 2
    scraper.api.readers.clear()
    scraper.api.users["new"] = PROMETHEUS
    assert scraper.get(token="new")[0] == 403


def test_without_tls_nothing_is_answered_and_nothing_logged(
    scraper: Scraper, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OSError, match=r"."):
        scraper.get(scheme="http")
    assert scraper.get()[0] == 200
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


def test_a_client_that_knows_another_authority_is_not_fooled(scraper: Scraper, tmp_path: Path) -> None:
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        Scraper(scraper.port, self_signed(tmp_path / "other.pem"), scraper.api).get()


def test_who_connects_and_shakes_no_hands_keeps_no_scrape_waiting(scraper: Scraper) -> None:
    came = [socket.create_connection(("127.0.0.1", scraper.port)) for _ in range(3 * CONNECTIONS)]
    try:
        assert scraper.get()[0] == 200
        assert sum("process_request_thread" in each.name for each in threading.enumerate()) <= CONNECTIONS
    finally:
        for each in came:
            each.close()


def test_a_certificate_that_is_renewed_is_in_use_at_the_next_scrape(scraper: Scraper) -> None:
    self_signed(scraper.file)
    assert scraper.get()[0] == 200


def test_a_certificate_that_can_t_be_taken_leaves_the_old_one_and_is_told_once(
    scraper: Scraper, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = tmp_path / "old.pem"
    old.write_text(scraper.file.read_text())
    scraper.file.write_text("nothing")
    client = Scraper(scraper.port, old, scraper.api)
    assert [client.get()[0] for _ in range(3)] == [200] * 3
    (told,) = caplog.records
    assert "the old one stays" in told.getMessage()
    self_signed(scraper.file)
    assert scraper.get()[0] == 200


def test_probes_are_open_and_metrics_are_not_beside_them_where_a_token_is_asked_for() -> None:
    server = Health(time.monotonic).listen("127.0.0.1", 0, None)
    serve(server)
    try:
        plain = Scraper(server.server_address[1], Path(), ApiServer())
        assert [plain.get(path, "", "http")[0] for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 404]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("", "", "set --metrics-cert-file and --metrics-key-file"),
        ("tls.pem", "", "set --metrics-cert-file and --metrics-key-file"),
        ("missing.pem", "tls.pem", "no certificate and its key: .*No such file"),
        ("tls.pem", "other.pem", "no certificate and its key: .*mismatch"),
        ("empty.pem", "tls.pem", "no certificate and its key: "),
        ("tls.pem", "locked.pem", "no certificate and its key: "),
    ],
)
def test_a_start_without_a_certificate_and_its_key_ends_in_words(
    tmp_path: Path, certificate: str, key: str, said: str
) -> None:
    self_signed(tmp_path / "tls.pem")
    self_signed(tmp_path / "other.pem")
    (tmp_path / "empty.pem").touch()
    loaded = serialization.load_pem_private_key((tmp_path / "tls.pem").read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    (tmp_path / "locked.pem").write_bytes(loaded.private_bytes(*form))
    files = {"cert": certificate, "key": key}
    flags = [f"--metrics-{each}-file={tmp_path / name}" for each, name in files.items() if name]
    source: Any = None
    with pytest.raises(Missing, match=said):
        listen_guarded(configure(["--metrics-auth", *flags], HOME), source, CollectorRegistry())
