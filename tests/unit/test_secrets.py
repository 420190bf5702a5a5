"""No secret comes out: planted everywhere, looked for in all that the process says, at debug and while much goes wrong.

Also in what others can read of objects and events. tests/unit/test_logs.py has the shape of the lines.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from answers import AwsError
from aws import _translated
from tests.fakes.aws import DROP, LOST, Manners, error, html
from tests.sandbox import Sandbox, sandbox
from tests.unit.test_credentials import web
from tests.waiting import SOON, wait_for

SECRETS = {
    "key": "planted-secret-access-key",
    "session": "planted-session-token",
    "web identity": "planted-web-identity-token",
    "bearer": "planted-bearer-token",
    "plugin": "planted-plugin-token",
    "agent": "planted-agent-token",
    "command": "planted-command-secret",
    "proxy": "planted-proxy-password",
}
OBJECTS = 24
# As several of AWS's services word it: they recite the request, with the token in its headers.
RECITED = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method.\n\nThe Canonical String for this request should have been\n'GET\n/clusters\n\nhost:eks\n"
    f"x-amz-security-token:{SECRETS['session']}\n\nhost;x-amz-date\ne3b0'\n\nThe String-to-Sign should have been\n'x'"
)
ROLE = "arn:aws:iam::123456789012:role/operator"
KEYS = f"<SecretAccessKey>{SECRETS['key']}</SecretAccessKey><SessionToken>{SECRETS['session']}</SessionToken>"
# To either question that it is asked.
STS = """<Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAPLANTED</AccessKeyId>{}<Expiration>{}</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult>
<GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/operator/pod</Arn></GetCallerIdentityResult>
</Response>"""
FORMS = pytest.mark.parametrize("form", ["text", "json"])


def told(box: Sandbox) -> str:
    """Return all that the process has written, and all that can be read in the cluster."""
    return box.controller.log.read_text() + json.dumps([box.objects(), box.api.objects("events")])


def nothing_is_told(box: Sandbox) -> None:
    said = told(box)
    assert [name for name, secret in SECRETS.items() if secret in said] == []


def with_user(box: Sandbox, **user: Any) -> None:
    """Have the kubeconfig know its user so."""
    file = Path(box.controller.environ["KUBECONFIG"])
    known = json.loads(file.read_text())
    known["users"][0]["user"] = user
    file.write_text(json.dumps(known))


def test_a_request_that_aws_recites_is_not_told_and_what_it_says_of_it_is() -> None:
    answer = {
        "Error": {"Code": "SignatureDoesNotMatch", "Message": RECITED},
        "ResponseMetadata": {"HTTPStatusCode": 403},
    }
    told = _translated(ClientError(answer, "ListFargateProfiles"))
    assert isinstance(told, AwsError)
    assert told.reason == "CredentialsExpired"
    assert "does not match the signature you provided" in str(told)
    assert SECRETS["session"] not in str(told)


def apply(box: Sandbox, name: str, role: str = "good") -> None:
    spec = {"podExecutionRoleArn": box.world.roles[role], "selectors": [{"namespace": name}]}
    head = {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": name}}
    box.apply({**head, "spec": spec})


def trouble(box: Sandbox) -> None:
    """Let AWS and the API server fail in every way that has a request, a header or words of theirs in it."""
    refused = error("InvalidSignatureException", 403, RECITED)
    for fault in (refused, DROP, html(502), error("AccessDeniedException", 403, "no"), error("Throttling", 429), LOST):
        box.world.manners.fail("DescribeFargateProfile", fault, times=2)
        box.world.manners.fail("CreateFargateProfile", fault)
    box.world.manners.fail("ListFargateProfiles", refused)
    for outcome in (401, 403, 409, 500, "drop", "lost"):
        box.api.fail("PATCH", "fargateprofiles", outcome)
        box.api.fail("POST", "events", outcome)
        box.api.fail("WATCH", "fargateprofiles", outcome)


@contextmanager
def irsa(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the variables of a pod whose STS refuses, and then gives what a request is signed with."""
    (tmp_path / "token").write_text(SECRETS["web identity"])
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with web(200, STS.format(KEYS, ends)) as (url, _):
        yield {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": ROLE, "AWS_ENDPOINT_URL_STS": url,
            "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
        }  # fmt: skip


@FORMS
def test_no_secret_is_told_while_many_objects_go_well_and_everything_fails_now_and_then(
    tmp_path: Path, form: str
) -> None:
    manners = Manners(creating_seconds=0.1, deleting_seconds=0.1)
    with irsa(tmp_path) as pod, sandbox(manners, LOG_LEVEL="debug", LOG_FORMAT=form, POLL_SECONDS=0.2, **pod) as box:
        with_user(box, token=SECRETS["bearer"])
        box.start()
        for number in range(OBJECTS):
            apply(box, f"web-{number}", "no-trust" if number % 4 == 0 else "good")
        trouble(box)
        box.wait_for(lambda: any(box.ready(f"web-{n}") for n in range(OBJECTS)), 60, "one gets Ready")
        trouble(box)
        box.wait_for(lambda: "does not match the signature" in told(box), 60, "what AWS recites is told")
        for number in range(0, OBJECTS, 2):
            box.delete(f"web-{number}")
        box.wait_for(lambda: len(box.objects()) < OBJECTS, 60, "some go")
        assert box.controller.stop() == 0
        nothing_is_told(box)
        assert len(box.controller.log.read_text().splitlines()) > OBJECTS


@FORMS
@pytest.mark.parametrize("on_the_way_to", ["AWS", "the API server"])
@pytest.mark.parametrize("state", ["down", "refuses"])
def test_no_password_of_a_proxy_is_told_when_it_fails(form: str, on_the_way_to: str, state: str) -> None:
    to_aws = on_the_way_to == "AWS"
    with web(407, "no") as (refuses, _):
        where = refuses if state == "refuses" else "http://127.0.0.1:1"
        proxy = where.replace("http://", f"http://operator:{SECRETS['proxy']}@")
        no_proxy = "127.0.0.1" if to_aws else ""
        with sandbox(HTTP_PROXY=proxy, NO_PROXY=no_proxy, LOG_LEVEL="debug", LOG_FORMAT=form) as box:
            box.controller.environ["AWS_ENDPOINT_URL"] = "http://aws.invalid"
            with_user(box, token=SECRETS["bearer"])
            apply(box, "web")
            box.controller.start()
            said = "AwsUnreachable" if to_aws else "tried again"
            box.wait_for(lambda: said in told(box), 60, "it fails")
            box.controller.kill()
            nothing_is_told(box)


HALF = {"Version": 1, "SecretAccessKey": SECRETS["command"]}
# What a command says that gives no credentials.
SAID = {
    "no JSON": SECRETS["command"],
    "half of a list": json.dumps([SECRETS["command"], 1])[:-2],
    "the wrong version": json.dumps(HALF | {"Version": 9}),
    "a key without its name": json.dumps(HALF),
    "an end that is no time": json.dumps(HALF | {"AccessKeyId": "AKIA", "Expiration": "soon"}),
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_what_a_command_says_that_gives_no_credentials_is_not_told(tmp_path: Path, said: str) -> None:
    (tmp_path / "said").write_text(said)
    config = f"[default]\ncredential_process = cat {tmp_path}/said\n"
    (tmp_path / "config").write_text(config)
    with sandbox(LOG_LEVEL="debug", AWS_CONFIG_FILE=tmp_path / "config") as box:
        box.controller.environ |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "")
        apply(box, "web")
        box.start()
        box.wait_for(
            lambda: box.condition("web", kind="Reconciling").get("reason") == "NoCredentials", 30, "it is told"
        )
        nothing_is_told(box)


@pytest.mark.parametrize("said", ["not JSON: {}", '{{"kind": "Other", "status": {{"token": "{}"}}}}', "{}"])
def test_what_a_plugin_of_the_kubeconfig_says_that_gives_no_token_is_not_told(tmp_path: Path, said: str) -> None:
    (tmp_path / "plugin.py").write_text(f"print({said.format(SECRETS['plugin'])!r})")
    with sandbox(LOG_LEVEL="debug") as box:
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "interactiveMode": "Never",
        }
        with_user(box, exec={**plugin, "args": [str(tmp_path / "plugin.py")]})
        box.controller.start()
        assert box.controller.child
        wait_for(box.controller.log.read_text, SOON, "something is said")
        box.controller.kill()
        nothing_is_told(box)


# What stands where a secret should, with something in it that no header and no text can have.
BROKEN = {
    "a newline": b"{}\nand more",
    "a newline at its end": b"{}\n",
    "a letter of no header": "{}\u0142".encode(),
    "bytes of no text": b"{}\xff\xfe",
}


def broken(kind: str, secret: str) -> bytes:
    return BROKEN[kind].replace(b"{}", secret.encode())


WAYS = {
    "an agent": {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{}/token",
    },
    "IRSA": {
        "AWS_WEB_IDENTITY_TOKEN_FILE": "{}/token",
        "AWS_ROLE_ARN": ROLE,
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
    },
    "a command": {"AWS_CONFIG_FILE": "{}/config"},
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("way", WAYS)
def test_a_token_of_aws_that_can_not_be_sent_is_not_told(tmp_path: Path, way: str, kind: str) -> None:
    (tmp_path / "token").write_bytes(broken(kind, SECRETS["agent"]))
    keys = json.dumps({"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "b", "SessionToken": "{}"}).encode()
    session = broken(kind, SECRETS["session"]).replace(b"\n", b"\\n")
    (tmp_path / "keys").write_bytes(keys.replace(b"{}", session))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path}/keys\n")
    with sandbox(LOG_LEVEL="debug") as box:
        nobody = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "")
        box.controller.environ |= nobody | {name: value.format(tmp_path) for name, value in WAYS[way].items()}
        apply(box, "web")
        box.start()
        box.wait_for(lambda: box.condition("web", kind="Reconciling"), 30, "it is told what is wrong")
        nothing_is_told(box)


@pytest.mark.parametrize("kind", ["a newline", "a newline at its end", "a letter of no header"])
def test_a_token_of_the_kubeconfig_that_can_not_be_sent_is_not_told(kind: str) -> None:
    with sandbox(LOG_LEVEL="debug") as box:
        with_user(box, token=broken(kind, SECRETS["bearer"]).decode())
        box.controller.start()
        log = box.controller.log
        wait_for(lambda: "failed" in log.read_text() or box.api.watching(), SOON, "it lists, or says why not")
        nothing_is_told(box)
