"""What .ci/prune.py leaves of botocore's models in the image: every call, every way to credentials, every region.

The models are cut in a copy, and looked at by processes that have no others. Of the whole image, installed as the
Dockerfile does it, tests/e2e/test_image.py asks the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

import pytest

from aws import QUOTAS, SERVICES, Aws
from awscalls import CALLS
from tests.fakes import aws as fake_aws
from tests.fakes.aws import Manners, World
from tests.fakes.eks import METHODS, operation

ROOT = Path(__file__).resolve().parents[2]
CHILD_SECONDS = 120
BY_CREDENTIALS = {("sts", "AssumeRole"), ("sts", "AssumeRoleWithWebIdentity")}
BY_DOCTOR = {
    ("ec2", "DescribeVpcAttribute"), ("iam", "GetPolicy"), ("iam", "GetPolicyVersion"), ("iam", "GetRolePolicy"),
    (QUOTAS, "GetAWSDefaultServiceQuota"), (QUOTAS, "GetServiceQuota"),
}  # fmt: skip


def program() -> ModuleType:
    spec = spec_from_file_location("prune", ROOT / ".ci" / "prune.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PRUNE = program()


def copied(folder: Path) -> Path:
    """Copy of the installed botocore what is not a service that nobody calls."""
    spec = find_spec("botocore")
    assert spec
    assert spec.submodule_search_locations
    (installed,) = spec.submodule_search_locations

    def others(at: str, names: list[str]) -> list[str]:
        kept = CALLS.keys() | PRUNE.COMMON
        return [name for name in names if name not in kept] if Path(at) == Path(installed, "data") else []

    shutil.copytree(installed, folder / "botocore", ignore=others)
    return folder / "botocore" / "data"


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a botocore whose models are those of the image."""
    folder = tmp_path_factory.mktemp("trimmed")
    PRUNE.trim(copied(folder))
    return folder


def ask(what: str, words: object, home: Path, packages: Path | None = None, **environ: str) -> Any:
    """Return what tests/unit/in_image.py answers, by the models in a folder, or all of them."""
    paths = [str(packages)] if packages else []
    base = {
        "PATH": os.environ["PATH"], "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": os.pathsep.join([*paths, str(ROOT)]),
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.unit.in_image", what, json.dumps(words)]
    done = subprocess.run(
        command, cwd=home, env=base | environ, capture_output=True, text=True, timeout=CHILD_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    where, answer = done.stdout.splitlines()
    assert packages is None or where == str(packages)
    return json.loads(answer)


def words_of(world: World, *, uncut: bool = False) -> dict[str, Any]:
    subnets = {"private": world.private_subnets, "public": world.public_subnet}
    roles = {"role": world.roles["good"], "spoke": world.let_in(external_id="agreed")}
    return {"region": world.region, "vpc": world.vpc, "uncut": uncut, **roles, **subnets}


def test_the_image_knows_the_calls_of_the_controller_those_of_its_credentials_and_no_other(trimmed: Path) -> None:
    ours = {(service, operation(method)) for service, methods in METHODS.items() for method in methods}
    kept = {(service, call) for service in (*SERVICES, QUOTAS) for call in CALLS[service]}
    assert kept == ours | BY_CREDENTIALS | BY_DOCTOR
    assert CALLS.keys() - {*SERVICES, QUOTAS} == {"sso", "sso-oidc"}
    for service, calls in CALLS.items():
        (version,) = (trimmed / "botocore" / "data" / service).iterdir()
        assert json.loads((version / "service-2.json").read_text())["operations"].keys() == calls


def test_each_question_and_change_of_the_edge_is_answered_by_what_is_left_of_the_models_as_by_all(
    trimmed: Path, tmp_path: Path
) -> None:
    with fake_aws.over_http(Manners(creating_seconds=0, deleting_seconds=0)) as world:
        whole = ask("calls", words_of(world, uncut=True), tmp_path, None, **world.env)
        cut, ours = (ask("calls", words_of(world), tmp_path, packages, **world.env) for packages in (trimmed, None))
    assert cut == ours == whole
    asked = set(cut["answers"])
    public = {name for name, what in vars(Aws).items() if callable(what) and not name.startswith("_")}
    assert asked == public - {"side_by_side"} | {"ready"}
    assert {(service, call) for service, call in cut["called"]} == {
        (service, call) for service in (*SERVICES, QUOTAS) for call in CALLS[service]
    } - (BY_CREDENTIALS - {("sts", "AssumeRole")})


def test_every_service_is_asked_at_the_same_endpoint_in_every_region_of_every_partition(
    trimmed: Path, tmp_path: Path
) -> None:
    words = {"services": {service: min(calls) for service, calls in CALLS.items()}, "ours": False}
    whole, cut = ask("endpoints", words, tmp_path), ask("endpoints", words, tmp_path, trimmed)
    assert len(cut) > 30 * 3 * len(CALLS)
    assert cut == ask("endpoints", {**words, "ours": True}, tmp_path) == whole


# Credentials

LATER = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
ROLE = "arn:aws:iam::123456789012:role/operator"
XML = """<{0}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{0}Result><Credentials>
<AccessKeyId>ASIA-{0}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>{1}</Expiration></Credentials></{0}Result></{0}Response>"""


def answer(path: str, authorization: str, body: str) -> object:
    """Answer as STS, the Pod Identity agent, SSO and its OIDC service do."""
    if path.startswith("/pod-identity"):
        return {"AccessKeyId": f"ASIA-{authorization}", "SecretAccessKey": "s", "Token": "t", "Expiration": LATER}
    if path.startswith("/federation/credentials"):
        ends = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
        keys = {"accessKeyId": f"ASIA-{authorization}", "secretAccessKey": "s", "sessionToken": "t"}
        return {"roleCredentials": keys | {"expiration": ends}}
    if path == "/token":
        return {"accessToken": "renewed", "expiresIn": 3600, "tokenType": "Bearer", "refreshToken": "r"}
    (action,) = parse_qs(body)["Action"]
    return XML.format(action, LATER)


@contextmanager
def sources() -> Iterator[str]:
    """Serve `answer` on loopback; yield the URL."""

    class Source(BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            token = self.headers.get("x-amz-sso_bearer_token") or self.headers.get("Authorization") or ""
            said = answer(self.path, token, body)
            text = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = reply  # noqa: N815 - the names are http.server's

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Source) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


SESSION = "[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://start\n"
BY_SSO = "sso_account_id = 123456789012\nsso_role_name = r\n"
# The way: the config file, variables, the key that it gives.
WAYS: dict[str, tuple[str, dict[str, str], str]] = {
    "IRSA": (
        "", {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token", "AWS_ROLE_ARN": ROLE}, "ASIA-AssumeRoleWithWebIdentity"
    ),
    "Pod Identity": (
        "", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/pod-identity",
             "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/token"}, "ASIA-a-token",
    ),
    "SSO with a session": (f"[default]\nsso_session = s\n{BY_SSO}{SESSION}", {}, "ASIA-fresh"),
    "SSO with a session that is renewed": (
        f"[default]\nsso_session = old\n{BY_SSO}{SESSION.replace(' s]', ' old]')}", {}, "ASIA-renewed"
    ),
    "SSO without a session": (
        f"[default]\nsso_region = eu-west-1\nsso_start_url = https://legacy\n{BY_SSO}", {}, "ASIA-legacy"
    ),
    "a command": ("[default]\ncredential_process = cat {home}/keys\n", {}, "ASIA-command"),
    "a role by another profile": (
        f"[default]\nrole_arn = {ROLE}\nsource_profile = hub\n[profile hub]\naws_access_key_id = a\n"
        "aws_secret_access_key = b\n", {}, "ASIA-AssumeRole",
    ),
    "a role by a command": (
        f"[default]\nrole_arn = {ROLE}\nsource_profile = hub\n[profile hub]\ncredential_process = cat {{home}}/keys\n",
        {}, "ASIA-AssumeRole",
    ),
    "a role by a token file": (
        f"[default]\nrole_arn = {ROLE}\nweb_identity_token_file = {{home}}/token\n", {},
        "ASIA-AssumeRoleWithWebIdentity",
    ),
    "variables": ("", {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "b"}, "AKIA"),
}  # fmt: skip


def logged_in(home: Path, name: str, token: str, hours: int) -> None:
    """Leave the token of a login of `aws sso login`, by its session or start URL."""
    ends, registered = (datetime.now(UTC) + timedelta(hours=each) for each in (hours, 24))
    login = {
        "accessToken": token, "expiresAt": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), "region": "eu-west-1",
        "startUrl": "https://start", "clientId": "c", "clientSecret": "s", "refreshToken": "r",
        "registrationExpiresAt": registered.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    folder = home / ".aws" / "sso" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{hashlib.sha1(name.encode()).hexdigest()}.json").write_text(json.dumps(login))


def keys_found(packages: Path, home: Path) -> Mapping[str, str]:
    """Return the key that each way gives with a folder's packages, all asked in one process."""
    (home / "token").write_text("a-token")
    keys = {"Version": 1, "AccessKeyId": "ASIA-command", "SecretAccessKey": "b", "SessionToken": "t"}
    (home / "keys").write_text(json.dumps(keys))
    logged_in(home, "s", "fresh", 8)
    logged_in(home, "old", "old", -1)
    logged_in(home, "https://legacy", "legacy", 8)
    with sources() as url:
        ways = {}
        for number, (way, (config, variables, _)) in enumerate(WAYS.items()):
            (home / f"config{number}").write_text(config.format(home=home))
            filled = {name: value.format(home=home, url=url) for name, value in variables.items()}
            ways[way] = filled | {"AWS_CONFIG_FILE": str(home / f"config{number}"), "AWS_ENDPOINT_URL": url}
        asked: Mapping[str, str] = ask("credentials", {"region": "eu-west-1", "ways": ways}, home, packages)
    return asked


@pytest.fixture(scope="module")
def found(trimmed: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return keys_found(trimmed, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_credentials_finds_its_models_in_the_image(found: Mapping[str, str], way: str) -> None:
    assert found[way] == WAYS[way][2]


# The kubernetes client


def test_the_kubernetes_client_of_the_image_imports_only_what_is_used(tmp_path: Path) -> None:
    spec = find_spec("kubernetes")
    assert spec and spec.submodule_search_locations
    shutil.copytree(spec.submodule_search_locations[0], tmp_path / "kubernetes")
    PRUNE.lighten(tmp_path / "kubernetes")
    code = "import sys, kube, kubernetes; print(kubernetes.__file__, 'websocket' in sys.modules, kube.eks_cluster())"
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=CHILD_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'kubernetes' / '__init__.py'} False ")


# What must not pass


def test_a_call_that_botocore_does_not_know_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PRUNE, "CALLS", {**CALLS, "sts": CALLS["sts"] | {"AssumeNothing"}})
    models = copied(tmp_path)
    with pytest.raises(ValueError, match="model of sts knows no such call: AssumeNothing"):
        PRUNE.trim(models)


def test_a_call_that_the_image_lacks_is_noticed(trimmed: Path, tmp_path: Path) -> None:
    """Else none of these tests would tell that one is missing."""
    shutil.copytree(trimmed, tmp_path / "less")
    (file,) = (tmp_path / "less" / "botocore" / "data" / "iam").glob("*/service-2.json")
    model = json.loads(file.read_text())
    del model["operations"]["ListRolePolicies"]
    file.write_text(json.dumps(model))
    with fake_aws.over_http() as world, pytest.raises(AssertionError, match="list_role_policies"):
        ask("calls", words_of(world), tmp_path, tmp_path / "less", **world.env)
