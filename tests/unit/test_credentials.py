"""AWS credentials: who fetches them and when, what is said where there are none, and that it heals by itself."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import answers
import aws
from answers import AwsError, Retryable
from aws import Keys
from config import configure
from controller import CREDENTIALS_SECONDS, SORTING, STUCK_SECONDS, Process, build, main
from credentials import STATIC_SECONDS, Credentials
from entries import Entries, Entry
from kube import Command
from metrics import Metrics
from sites import OWN
from tests.fakes.apiserver import ApiServer, kubeconfig, serve
from tests.fakes.aws import Manners
from tests.harness import Clock, bench
from tests.sandbox import Sandbox, sandbox
from tests.unit import test_process as process_tests
from tests.unit.test_process import free_port
from tests.waiting import SOON, wait_for

HOUR = 3600.0
MOST_STEPS = 10_000


# What one thread fetches, and all others are given


@dataclass
class Source:
    """Gives credentials that live so long by the clock, or fails; each is named by its number."""

    clock: Clock
    life: float | None = HOUR
    failure: str = ""
    asked: int = 0

    def __call__(self) -> Keys:
        self.asked += 1
        if self.failure:
            raise Retryable("NoCredentials", self.failure)
        return Keys(self.asked, None if self.life is None else self.clock.time() + self.life)


@dataclass
class Signing:
    """Credentials, the thread that sees to them, and what a worker is given now."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.source = Source(self.clock)
        self.credentials = Credentials(self.source, self.clock.time)
        self.due = 0.0

    def run(self, seconds: float) -> None:
        """Let so much time pass, in which the thread does its steps."""
        end = self.clock.elapsed + seconds
        for _ in range(MOST_STEPS):
            if self.due > end:
                break
            self.clock.elapsed = max(self.clock.elapsed, self.due)
            self.due = self.clock.elapsed + self.credentials.step()
        self.clock.elapsed = end

    def given(self) -> object:
        """Return the number of the credentials that sign a request, or why there are none."""
        try:
            return self.credentials.get_frozen_credentials()
        except AwsError as error:
            return f"{error.reason}: {error}"

    def ready(self) -> str:
        try:
            self.credentials.ready()
        except AwsError as error:
            return error.reason
        return "ready"


@pytest.fixture
def signing() -> Signing:
    return Signing()


def test_who_signs_before_the_first_fetch_has_ended_is_told_at_once_and_fetches_nothing(signing: Signing) -> None:
    assert str(signing.given()).startswith("NoCredentials: AWS credentials are being fetched.")
    assert signing.ready() == "NoCredentials"
    assert signing.source.asked == 0


@pytest.mark.parametrize(
    ("life", "after"), [(HOUR, 2700), (12 * HOUR, 11.75 * HOUR), (1800, 900), (600, 300), (90, 30)]
)
def test_credentials_are_renewed_a_quarter_of_an_hour_before_their_end_or_at_half_of_a_short_life(
    signing: Signing, life: float, after: float
) -> None:
    signing.source.life = life
    signing.run(after - 2)
    assert (signing.source.asked, signing.given()) == (1, 1)
    signing.run(4)
    assert (signing.source.asked, signing.given()) == (2, 2)


def test_nobody_ever_waits_or_lacks_credentials_that_are_renewed_in_time(signing: Signing) -> None:
    signing.run(0)
    for _ in range(600):
        signing.run(60)
        assert signing.ready() == "ready"
    assert signing.source.asked == 1 + int(600 * 60 / 2700)


def test_a_renewal_that_fails_forgets_no_good_credentials_and_is_told_when_they_end(signing: Signing) -> None:
    signing.run(2690)
    signing.source.failure = "STS does not answer"
    signing.run(HOUR - 61 - 2690)
    assert (signing.given(), signing.ready()) == (1, "ready")
    signing.run(2)
    assert (signing.given(), signing.ready()) == (1, "NoCredentials"), "what is good for a mark is good for its create"
    signing.run(30)
    assert (signing.given(), signing.ready()) == ("NoCredentials: STS does not answer", "NoCredentials")
    signing.source.failure = ""
    signing.run(60)
    assert (signing.given(), signing.ready()) == (signing.source.asked, "ready")


def test_a_source_that_fails_is_asked_by_the_thread_alone_ever_more_rarely_and_never_given_up(signing: Signing) -> None:
    signing.source.failure = "the token is not there"
    waits = [signing.credentials.step() for _ in range(9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    for _ in range(32):
        assert signing.given() == "NoCredentials: the token is not there"
    assert signing.source.asked == 9
    signing.source.failure = ""
    signing.credentials.step()
    assert signing.given() == 10
    signing.source.failure = "again"
    signing.clock.elapsed += HOUR
    assert signing.credentials.step() == 1


def test_a_failure_that_is_told_to_many_is_a_new_error_each_time(signing: Signing) -> None:
    signing.source.failure = "no"
    signing.credentials.step()
    raised = []
    for _ in range(2):
        with pytest.raises(Retryable) as error:
            signing.credentials.ready()
        raised.append(error.value)
    assert raised[0] is not raised[1], "else their tracebacks would grow into one another"
    assert not raised[0].unclear


def test_a_renewal_that_never_ends_is_said_once_the_old_ones_have(signing: Signing) -> None:
    signing.run(0)
    signing.clock.elapsed += HOUR
    assert str(signing.given()).startswith("CredentialsExpired: AWS credentials are being fetched.")


def test_what_has_no_end_is_good_for_ever_and_read_again_for_it_may_have_been_written_anew(signing: Signing) -> None:
    signing.source.life = None
    signing.run(0)
    assert (signing.given(), signing.ready()) == (1, "ready")
    signing.run(STATIC_SECONDS)
    assert signing.given() == 2
    signing.source.failure = "the file is gone"
    signing.run(HOUR)
    assert signing.ready() == "ready"


@pytest.mark.parametrize("life", [-HOUR, -1, 59])
def test_credentials_that_have_ended_when_they_come_are_said_to_and_asked_for_again(
    signing: Signing, life: float
) -> None:
    signing.source.life = life
    signing.run(0)
    assert str(signing.given()).startswith("CredentialsExpired: ")
    assert "clock of the node" in str(signing.given())
    signing.source.life = HOUR
    signing.run(1)
    assert signing.ready() == "ready"


@pytest.mark.parametrize("seconds", [-2 * HOUR, 2 * HOUR])
def test_a_clock_that_is_set_holds_up_no_renewal(signing: Signing, seconds: float) -> None:
    """AWS's own time goes on: only this node's clock was wrong, and with it what seemed to be left."""
    steps, ends = Signing(Clock(elapsed=-seconds)), signing.clock.time() + HOUR
    steps.credentials = Credentials(lambda: Keys("ours", ends), steps.clock.time)
    first = steps.credentials.step()
    steps.clock.elapsed += seconds + first
    ends = signing.clock.time() + 2 * HOUR
    steps.credentials.step()
    assert steps.credentials.good_for()
    assert first <= 60


# The sources, as botocore finds them


@pytest.fixture(autouse=True)
def _a_machine_without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "shared"))


@contextmanager
def web(status: int, body: str) -> Iterator[tuple[str, list[str]]]:
    """Give all the same answer, where STS, an agent or an instance stand; yield the URL and what was heard."""
    heard: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            heard.append(self.path + self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names are http.server's

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()


@contextmanager
def silent() -> Iterator[str]:
    """Take connections and never answer; yield the URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def fetched() -> Keys:
    return aws.fetch("eu-west-1", Command)


def refusal() -> AwsError:
    with pytest.raises(AwsError) as error:
        fetched()
    assert not error.value.unclear
    return error.value


PAST = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
PROCESS = '[default]\ncredential_process = {python} -c "{code}"\n'
SSO = "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\nsso_region = eu-west-1\n"
# variables, the config file, the reason, what the message must have in it
SOURCES: dict[str, tuple[dict[str, str], str, str, tuple[str, ...]]] = {
    "none": ({}, "", "NoCredentials", ("No source", "IRSA or Pod Identity")),
    "half of the variables": ({"AWS_ACCESS_KEY_ID": "a"}, "", "NoCredentials", ("AWS_SECRET_ACCESS_KEY",)),
    "variables that have ended": (
        {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CREDENTIAL_EXPIRATION": PAST}, "",
        "CredentialsExpired", ("AWS_ACCESS_KEY_ID", "expired"),
    ),
    "an end that is no time": (
        {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CREDENTIAL_EXPIRATION": "soon"}, "",
        "NoCredentials", ("AWS_CREDENTIAL_EXPIRATION", "soon"),
    ),
    "an end without a zone": (
        {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CREDENTIAL_EXPIRATION": "2030-01-01T00:00:00"},
        "", "NoCredentials", ("AWS_CREDENTIAL_EXPIRATION",),
    ),
    "a token file that is not there": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, "",
        "NoCredentials", ("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/token", "No such file"),
    ),
    "a token file that can't be read": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, "",
        "NoCredentials", ("AWS_WEB_IDENTITY_TOKEN_FILE", "{folder}"),
    ),
    "a token that is no text": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/binary", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, "",
        "NoCredentials", ("AWS_WEB_IDENTITY_TOKEN_FILE",),
    ),
    "a token without a role": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/token"}, "", "NoCredentials", ("TOKEN_FILE", "AWS_ROLE_ARN"),
    ),
    "STS that can't be reached": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/token", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r",
         "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}, "",
        "NoCredentials", ("AWS_WEB_IDENTITY_TOKEN_FILE", "http://127.0.0.1:1", "VPC endpoint"),
    ),
    "a token file of Pod Identity that is not there": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/v1",
         "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/no/pod"}, "",
        "NoCredentials", ("/no/pod", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "Pod Identity agent"),
    ),
    "a token of Pod Identity with a newline": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/v1",
         "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{folder}/lines"},
        "", "NoCredentials", ("not a legal header", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ),
    "an agent at another address": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/v1"}, "",
        "NoCredentials", ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "example.com"),
    ),
    "a profile that is not there": ({"AWS_PROFILE": "shop"}, "", "NoCredentials", ("AWS_PROFILE", "shop")),
    "a file that is none": ({}, "[broken\n", "NoCredentials", ("{folder}/config", "AWS_CONFIG_FILE")),
    "a file with a key without its secret": (
        {}, "[default]\naws_access_key_id = a\n", "NoCredentials", ("aws_secret_access_key", "AWS_CONFIG_FILE"),
    ),
    "a role without a source": (
        {}, "[default]\nrole_arn = arn:aws:iam::1:role/r\n", "NoCredentials", ("source_profile", "AWS_CONFIG_FILE"),
    ),
    "a role whose source is not there": (
        {}, "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = hub\n", "NoCredentials", ("hub",),
    ),
    "roles in a circle": (
        {}, "[default]\nrole_arn = a\nsource_profile = b\n[profile b]\nrole_arn = b\nsource_profile = default\n",
        "NoCredentials", ("loop", "AWS profile"),
    ),
    "a number that is none": ({"AWS_METADATA_SERVICE_TIMEOUT": "soon"}, "", "NoCredentials", ("soon",)),
    "a command that is not there": (
        {}, "[default]\ncredential_process = /no/command --now\n", "NoCredentials", ("_process", "/no/command"),
    ),
    "a command with an open quote": (
        {}, "[default]\ncredential_process = 'open\n", "NoCredentials", ("credential_process", "quotation"),
    ),
    "a command that fails": (
        {}, PROCESS.format(python="{python}", code="raise SystemExit('log in first')"),
        "NoCredentials", ("credential_process", "log in first"),
    ),
    "a command that prints rubbish": (
        {}, PROCESS.format(python="{python}", code="print(1, 2)"), "NoCredentials", ("credential_process", "as JSON"),
    ),
    "a command that prints a list": (
        {}, PROCESS.format(python="{python}", code="print([])"), "NoCredentials", ("credential_process", "as JSON"),
    ),
    "a command that prints no keys": (
        {}, PROCESS.format(python="{python}", code="print(chr(123)+chr(34)+'Version'+chr(34)+':1'+chr(125))"),
        "NoCredentials", ("credential_process", "AccessKeyId"),
    ),
    "an SSO session that is not there": (
        {}, "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n", "NoCredentials", ("sso-session",),
    ),
    "nobody has logged in": ({}, SSO + "sso_start_url = https://x\n", "NoCredentials", ("sso login", "not exist")),
    "a second factor and nobody to ask": (
        {}, "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = hub\nmfa_serial = m\n"
        "[profile hub]\naws_access_key_id = a\naws_secret_access_key = b\n", "NoCredentials", ("AWS profile",),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("variables", "config", "reason", "parts"), SOURCES.values(), ids=SOURCES.keys())
def test_what_is_missing_or_unreadable_in_a_source_is_named_with_what_mends_it(
    variables: dict[str, str],
    config: str,
    reason: str,
    parts: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "token").write_text("token")
    (tmp_path / "lines").write_text("token\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    def filled(text: str) -> str:
        return text.replace("{folder}", str(tmp_path)).replace("{python}", sys.executable)

    if config:
        (tmp_path / "config").write_text(filled(config))
    for name, value in variables.items():
        monkeypatch.setenv(name, filled(value))
    error = refusal()
    print(error)
    assert (type(error), error.reason) == (Retryable, reason)
    assert [part for part in map(filled, parts) if part not in str(error)] == []
    assert "\n" not in str(error)
    assert caplog.records == [], "what it is said by is the message, not a traceback of botocore's"


def test_what_an_agent_refuses_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with web(400, "[b1]: (AccessDeniedException): no association") as (url, heard):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        error = refusal()
    assert error.reason == "NoCredentials"
    assert "no association" in str(error)
    assert "Pod Identity agent" in str(error)
    assert len(heard) <= 3


@pytest.mark.parametrize("body", ["", "[]", "{}", "<html>", '{"AccessKeyId": "a"}'])
def test_what_is_no_answer_of_an_agent_is_no_bug(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with web(200, body) as (url, _):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        assert refusal().reason == "NoCredentials"


@pytest.mark.parametrize("body", ["", "[]", "role", '{"Code": "Failed"}'])
def test_what_is_no_answer_of_an_instance_is_no_bug_and_its_limits_are_ours(
    monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    with web(200, body) as (url, heard):
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "50")
        assert refusal().reason == "NoCredentials"
    assert len(heard) <= 3


def of_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> Path:
    """Let the pod be one of IRSA whose STS is at that URL; return its token file."""
    token = tmp_path / "token"
    token.write_text("a token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/operator")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    return token


REFUSED = "<ErrorResponse><Error><Code>{}</Code><Message>Not so</Message></Error></ErrorResponse>"
ANSWERS = [
    (403, "AccessDenied", "CredentialsRefused", answers.Refused),
    (400, "ExpiredTokenException", "CredentialsExpired", Retryable),
    (500, "InternalFailure", "AwsUnavailable", Retryable),
    (400, "Throttling", "Throttled", Retryable),
    (404, "NoSuchEntity", "CredentialsRefused", answers.Refused),
]


@pytest.mark.parametrize(("status", "code", "reason", "kind"), ANSWERS, ids=[row[1] for row in ANSWERS])
def test_what_sts_answers_has_its_own_reason_and_never_leaves_a_change_unclear(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, code: str, reason: str, kind: type[AwsError]
) -> None:
    with web(status, REFUSED.format(code)) as (url, heard):
        of_a_token(monkeypatch, tmp_path, url)
        error = refusal()
    assert (type(error), error.reason) == (kind, reason)
    assert "AssumeRoleWithWebIdentity" in str(error)
    assert len(heard) == 1, "one try: it is the thread that tries again"


def test_an_sts_that_hangs_is_given_up_after_one_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(aws, "READ_SECONDS", 0.3)
    with silent() as url:
        of_a_token(monkeypatch, tmp_path, url)
        started = time.monotonic()
        error = refusal()
    assert time.monotonic() - started < 3
    assert error.reason == "NoCredentials"
    assert "timeout" in str(error)
    assert "VPC endpoint" in str(error)


STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>t</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


def test_a_token_that_vanishes_and_comes_again_in_mid_run_is_named_and_heals_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = time.time()
    with web(200, STS.format(datetime.fromtimestamp(now + HOUR, UTC).isoformat())) as (url, heard):
        token = of_a_token(monkeypatch, tmp_path, url)
        steps = Signing()
        steps.credentials = Credentials(fetched, lambda: now + steps.clock.elapsed)
        steps.run(2690)
        assert steps.credentials.get_frozen_credentials().access_key == "ASIA"
        token.unlink()
        steps.run(800)
        assert steps.ready() == "ready"
        steps.run(100)
        assert str(steps.given()).startswith("NoCredentials: No AWS credentials from AWS_WEB_IDENTITY_TOKEN_FILE: ")
        assert str(token) in str(steps.given())
        assert len(heard) == 1
        now -= steps.clock.elapsed  # what STS gives is good for an hour from now on
        token.write_text("another token")
        steps.credentials.step()
        assert steps.ready() == "ready"
        assert "another+token" in heard[-1]


def test_a_profile_that_comes_while_we_run_signs_the_next_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "shop")
    credentials = Credentials(fetched)
    credentials.step()
    edge = aws.Aws(aws.connect("eu-west-1", 2), "eu-west-1", credentials)
    for ask in (edge.account, edge.ready):
        with pytest.raises(Retryable, match=r"AWS_PROFILE") as error:
            ask()
        assert error.value.reason == "NoCredentials"
    result = "<GetCallerIdentityResult><Arn>arn:aws:sts::1:user/me</Arn></GetCallerIdentityResult>"
    answer = f"<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>"
    with web(200, answer) as (url, _):
        keys = "aws_access_key_id = a\naws_secret_access_key = b\n"
        (tmp_path / "config").write_text(f"[profile shop]\n{keys}endpoint_url = {url}\n")
        credentials.step()
        edge.ready()
        assert edge.account() == ("aws", "1"), "with all that the profile says, its endpoint too"


def test_the_client_of_eks_is_made_at_the_start_and_each_other_once_at_its_first_use() -> None:
    """The description of EC2 alone takes as long to read as half a start, and more memory than what is kept of it."""
    made: list[str] = []
    clients = aws.connect("eu-west-1", 2, lambda service, _: made.append(service))
    assert made == ["eks"]
    users = [threading.Thread(target=lambda: clients["sts"].meta) for _ in range(4)]
    for each in users:
        each.start()
    for each in users:
        each.join(SOON)
    assert clients["sts"].meta.region_name == "eu-west-1"
    assert made == ["eks", "sts"]


def test_an_endpoint_of_one_service_that_is_none_is_told_where_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", "nonsense")
    edge = aws.Aws(aws.connect("eu-west-1", 2), "eu-west-1", Credentials(fetched))
    with pytest.raises(AwsError, match=r"AWS can't be asked, correct .* nonsense") as error:
        edge.role("arn:aws:iam::123456789012:role/pods")
    assert error.value.reason == "AwsUnreachable"
    monkeypatch.setenv("AWS_ENDPOINT_URL_EKS", "nonsense")
    with pytest.raises(AwsError, match="AWS can't be asked, correct"):
        aws.connect("eu-west-1", 2)


def test_an_unsigned_request_is_sent_nowhere_and_counted_by_its_reason() -> None:
    metrics = Metrics()
    credentials = Credentials(Source(Clock(), failure="no token"), Clock().time)
    credentials.step()
    clients = aws.connect("eu-west-1", 2, metrics.watch_aws)
    edge = aws.Aws(clients, "eu-west-1", credentials)
    with pytest.raises(Retryable, match="no token"):
        edge.names("demo")
    labels = {"service": "eks", "operation": "ListFargateProfiles", "code": "NoCredentials"}
    assert metrics.registry.get_sample_value("aws_api_requests_total", labels) == 1


# Commands


SLEEPS = "import os, subprocess, sys, time; child = subprocess.Popen(['sleep', '60']); " \
    "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}'); time.sleep(60)"  # fmt: skip


@pytest.mark.parametrize("named", ["", "by another profile"])
def test_a_command_that_hangs_is_killed_with_all_that_it_has_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    monkeypatch.setattr("kube.COMMAND_SECONDS", 1.0)
    (tmp_path / "hangs.py").write_text(SLEEPS)
    command = f"credential_process = {sys.executable} {tmp_path}/hangs.py {tmp_path}/pids\n"
    role = "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = hub\n[profile hub]\n"
    (tmp_path / "config").write_text((role if named else "[default]\n") + command)
    started = time.monotonic()
    error = refusal()
    assert time.monotonic() - started < 10
    assert "was killed" in str(error)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_for(lambda: not any(map(alive, pids)), SOON, "both are gone")


def alive(pid: int) -> bool:
    """Say whether it runs; one that is dead and was not waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_command_in_time_is_heard(tmp_path: Path) -> None:
    keys = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": "2099-01-01T00:00:00Z"}
    (tmp_path / "keys").write_text(json.dumps(keys))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path}/keys\n")
    assert fetched().frozen.access_key == "a"
    assert fetched().ends == datetime(2099, 1, 1, tzinfo=UTC).timestamp()


# A create


def test_credentials_are_known_to_be_good_before_the_mark_of_a_create_is_written() -> None:
    def missing() -> None:
        raise Retryable("NoCredentials", "The token is not there.")

    with bench() as b:
        b.credentials_ready = missing
        b.apply()
        b.run(30)
        assert (b.reason(), b.message()) == ("NoCredentials", "The token is not there.")
        assert "createStartedAt" not in b.get()["status"].get("bookkeeping", {})
        assert b.manners.count("CreateFargateProfile") == 0
        b.credentials_ready = lambda: None
        b.run(200)
        assert b.ready()


# The thread


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Process]:
    """Give a process that has not begun, for an API server that has one object."""
    api = ApiServer()
    process_tests.apply(api)
    with serve(api) as server:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(server.url, tmp_path / "kubeconfig")))
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/token")
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
        yield build(configure(["--cluster-name=demo", "--region=eu-west-1", "--no-leader-elect"], {}), {})


def test_every_object_looks_as_soon_as_there_are_credentials_again_and_only_then(process: Process) -> None:
    steps = Signing()
    source = process.sites._assumed[OWN]
    source.credentials = steps.credentials
    meta = {
        "namespace": "default",
        "name": "web",
        "uid": "1",
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-22T08:00:00Z",
    }
    process.first.store.put({"metadata": meta})
    process.queue.open()

    def fetch() -> None:
        source.due = float("-inf")
        for each in process.sites.due():
            process._fetch_one(each)

    steps.source.failure = "the token is not there"
    fetch()
    assert process.queue.get() is None
    steps.source.failure = ""
    fetch()
    keys = {process.queue.get() for _ in range(3)}
    assert keys == {SORTING, ("", "demo"), ("default", "web")}
    steps.clock.elapsed += 2750
    fetch()
    assert steps.given() == 3, "it was renewed"
    assert process.queue.get() is None


ROLE = "arn:aws:iam::222222222222:role/fargate-operator"


def test_those_who_wait_for_a_role_look_as_soon_as_it_is_assumed_and_no_others(process: Process) -> None:
    shop = Entry("shop", "shop", "eu-west-1", ROLE)
    process.sites.take(Entries("eu-west-1", "demo", (shop,)))
    process.sites.of(shop)
    process.sites._assumed[ROLE, ""].credentials = Credentials(lambda: Keys("signs", None))
    for name in ("shop", "demo"):
        meta = {"namespace": name, "name": "web", "uid": name, "resourceVersion": "1"}
        spec = {"clusterName": name}
        process.first.store.put({"metadata": meta | {"creationTimestamp": "2026-11-22T08:00:00Z"}, "spec": spec})
    process.queue.open()
    process.sites._assumed[OWN].credentials = Signing().credentials
    process.sites._assumed[OWN].credentials.step()
    assert process.first.reconcile(("shop", "web")).skipped, "it waits"
    process.stop.set()  # nothing is waited for
    process._fetch()
    wait_for(process.queue.waiting, SOON, "somebody looks")
    assert process.queue.waiting() == {("shop", "web")}


def test_a_fetch_that_never_ends_starts_the_workers_after_a_moment_and_makes_no_process_stuck(process: Process) -> None:
    never = threading.Event()
    process.sites._assumed[OWN].credentials = Credentials(lambda: Keys(never.wait(60), None))
    running = threading.Thread(target=process.run, daemon=True)
    started = time.monotonic()
    running.start()
    try:
        wait_for(lambda: process.workers, SOON, "the workers begin")
        assert time.monotonic() - started < CREDENTIALS_SECONDS + 3
        process.health.monotonic = lambda: time.monotonic() + 2 * STUCK_SECONDS
        workers = [f"worker-{number}" for number in range(process.config.workers)]
        assert process.health.stuck() == sorted(["informer", *workers])
    finally:
        process.stop.set()
        running.join(SOON)
        never.set()


def test_a_command_fetches_once_and_says_in_one_line_what_is_missing(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export"], {"CLUSTER_NAME": "demo", "AWS_REGION": "eu-west-1"}) == 2
    mend = "Set AWS_PROFILE or the other variables of the AWS CLI, or log in: aws sso login."
    assert capfd.readouterr() == ("", f"{aws.NOWHERE}{mend}\n")


@pytest.mark.parametrize("in_pod", [True, False])
def test_a_remedy_speaks_of_the_pod_and_its_service_account_only_in_a_pod(
    in_pod: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if in_pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert main(["export"], {"CLUSTER_NAME": "demo", "AWS_REGION": "eu-west-1"}) == 2
    said = capfd.readouterr().err
    assert ("pod" in said, "ServiceAccount" in said, "AWS_PROFILE" in said) == (in_pod, in_pod, not in_pod)


# As a real process


def role(box: Sandbox) -> dict[str, str]:
    """Return the variables of a pod of IRSA, instead of those of keys."""
    return {"AWS_ACCESS_KEY_ID": "", "AWS_ROLE_ARN": f"arn:aws:iam::{box.world.account}:role/operator"}


MISSING = "[Errno 2] No such file or directory: "


def apply(box: Sandbox, name: str, cluster: str = "") -> None:
    spec = {"podExecutionRoleArn": box.world.roles["good"], "selectors": [{"namespace": "web"}]}
    box.apply(
        {
            "apiVersion": "jicomusic.com/v1",
            "kind": "FargateProfile",
            "metadata": {"name": name},
            "spec": spec | ({"clusterName": cluster} if cluster else {}),
        }
    )


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def passes(port: int) -> tuple[float, float]:
    """Return how many passes there were, and how many of them took at most 10 seconds."""
    name = "controller_runtime_reconcile_time_seconds"
    samples = [each for family in text_string_to_metric_families(get(port, "/metrics")) for each in family.samples]
    within = next(each.value for each in samples if each.name == f"{name}_bucket" and each.labels["le"] == "10.0")
    return next(each.value for each in samples if each.name == f"{name}_count"), within


@pytest.mark.parametrize("workers", [16, 32])
def test_an_sts_that_takes_connections_and_never_answers_holds_up_no_worker_and_no_probe(
    workers: int, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token")
    port, names = free_port(), [f"web-{number}" for number in range(2 * workers)]
    with silent() as url, sandbox(WORKERS=workers, HEALTH_PORT=port) as box:
        more = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ENDPOINT_URL_STS": url}
        box.controller.environ |= role(box) | more
        for name in names:
            apply(box, name, cluster=f"cluster-of-{name}")
        box.start()
        started = time.monotonic()

        def said(text: str) -> bool:
            conditions = [box.condition(name) for name in names]
            return all(each.get("reason") == "NoCredentials" and text in each["message"] for each in conditions)

        box.wait_for(lambda: said(""), 15, "each object says why nothing goes on")
        box.wait_for(lambda: said("AWS_WEB_IDENTITY_TOKEN_FILE: Read timeout"), 25, "each object names the source")
        print(f"{len(names)} objects name the source after {time.monotonic() - started:.1f} s")
        assert get(port, "/healthz") == "ok\n"
        count, within = passes(port)
        assert count == within > len(names)


def test_a_token_that_is_missing_at_the_start_is_named_and_taken_once_it_comes(tmp_path: Path) -> None:
    token, manners = tmp_path / "token", Manners(creating_seconds=0.5)
    with sandbox(manners, POLL_SECONDS=0.3) as box:
        box.controller.environ |= role(box) | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}
        apply(box, "web")
        box.start()
        box.wait_for(lambda: box.condition("web")["reason"] == "NoCredentials", SOON, "it is said")
        assert str(token) in box.condition("web")["message"]
        assert manners.calls == []
        token.write_text("token")
        box.wait_for(lambda: box.ready("web"), SOON + 20, "web gets Ready by itself")
        assert box.controller.stop() == 0
        said = box.controller.log.read_text()
    assert "Traceback" not in said
    assert f'failed credentials message="No AWS credentials from AWS_WEB_IDENTITY_TOKEN_FILE: {MISSING}' in said


def test_an_operator_whose_credentials_hang_ends_at_once_when_told_to(tmp_path: Path) -> None:
    with silent() as url, sandbox() as box:
        (tmp_path / "token").write_text("token")
        more = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ENDPOINT_URL_STS": url}
        box.controller.environ |= role(box) | more
        box.start()
        started = time.monotonic()
        assert box.controller.stop() == 0
        assert time.monotonic() - started < 8
