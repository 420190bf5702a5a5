"""What surrounds the controller is wrong: the account, a proxy, the program that makes tokens, blanks in an id."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socketserver
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import answers
import aws
import config
import kube
from controller import main
from credentials import Credentials
from kube import Command, Kube, KubeError, authority, connect, eks_cluster
from spec import CONTROLLER_KEY
from tests.fakes import aws as fake
from tests.fakes.apiserver import ApiServer, kubeconfig, serve
from tests.harness import Bench
from tests.unit.test_clusters import ONE, TWO, bundle
from tests.unit.test_commands import GOOD

ARN = "arn:aws:eks:us-east-1:999999999999:cluster/demo"
OURS = "123456789012"  # the account that the stand-in for AWS is
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _nobody_else_s_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*PROXIES, "KUBERNETES_SERVICE_HOST", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def write_kubeconfig(path: Path, cluster: str = "fake", url: str = "http://127.0.0.1:1", **user: Any) -> Path:
    """Write a kubeconfig with one context, whose cluster and user are as given."""
    known = json.loads(kubeconfig(url, path).read_text())
    known["clusters"][0]["name"] = known["contexts"][0]["context"]["cluster"] = cluster
    known["users"][0]["user"] = user
    path.write_text(json.dumps(known))
    return path


# Another account


def of_account(b: Bench, account: str, aws_profile: str = "") -> None:
    """Start the controller where the kubeconfig puts the cluster into an account."""
    b.settings = replace(b.settings, account=account, aws_profile=aws_profile)
    b.start()


def test_with_credentials_of_another_account_nothing_is_made_and_the_object_names_both_and_the_mend(b: Bench) -> None:
    of_account(b, "999999999999", "prod")
    b.apply()
    b.run(60)
    assert b.reason() == "WrongAccount"
    assert b.stalled()
    for word in ("999999999999", OURS, "AWS_PROFILE=prod", "--cluster-is-elsewhere"):
        assert word in b.message()
    assert b.manners.writes() == []
    assert {call.operation for call in b.manners.calls} == {"GetCallerIdentity"}, "nothing else is looked at"
    assert b.events("Warning") == ["Refused"]


def test_in_the_same_account_and_where_nothing_is_known_of_it_all_is_as_ever(b: Bench) -> None:
    for account in (OURS, ""):
        of_account(b, account)
        b.settle(f"web-{account or 'none'}")


def test_another_cluster_is_served_beside_the_one_of_another_account(b: Bench) -> None:
    b.world.add_cluster("other")
    of_account(b, "999999999999")
    b.apply("here")
    b.apply("there", clusterName="other")
    b.run(120)
    assert b.reason("here") == "WrongAccount"
    assert b.ready("there")


def test_an_object_that_goes_waits_with_its_profile_for_credentials_of_the_right_account(b: Bench) -> None:
    b.settle()
    of_account(b, "999999999999")
    b.delete()
    b.run(120)
    assert b.reason() == "WrongAccount"
    assert b.profiles()["web"]["status"] == "ACTIVE"
    of_account(b, OURS)
    b.run(120)
    assert b.gone()
    assert b.profiles() == {}


@pytest.mark.parametrize(
    ("user", "profile"),
    [
        ({}, ""),
        ({"exec": {"command": "aws", "env": [{"name": "AWS_PROFILE", "value": "prod"}]}}, "prod"),
        ({"exec": {"command": "aws", "args": ["eks", "get-token", "--profile", "prod"]}}, "prod"),
        (
            {"exec": {"args": ["--profile=flag"], "env": [{"name": "AWS_PROFILE", "value": "variable"}]}},
            "flag",
        ),
        ({"exec": {"env": None, "args": None}}, ""),
        ({"exec": {"env": ["odd"]}}, ""),
        ({"exec": {"args": ["--profile"]}}, ""),
    ],
)
def test_the_kubeconfig_says_the_account_and_the_profile_that_its_tokens_are_made_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: Any, profile: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", ARN, **user)))
    assert eks_cluster() == ("demo", "us-east-1", "999999999999", profile)


@pytest.fixture
def foreign(b: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """Let the kubeconfig put cluster demo into another account than that of the credentials."""
    with serve(b.api) as server:
        # The client would ask the program for a token: that one comes first.
        user = {"token": "t", "exec": {"command": "aws", "env": [{"name": "AWS_PROFILE", "value": "prod"}]}}
        monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", ARN, server.url, **user)))
        yield b


SAME = ["--cluster-name=demo", "--region=us-east-1"]


@pytest.mark.parametrize("home", [[], SAME, SAME[:1], SAME[1:]])
@pytest.mark.parametrize("command", ["plan", "export"])
def test_plan_and_export_end_with_2_and_both_accounts(
    foreign: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, home: list[str]
) -> None:
    (tmp_path / "web.yaml").write_text(json.dumps(foreign.manifest()))
    files = ["-f", str(tmp_path / "web.yaml")] if command == "plan" else []
    assert main([command, *files, *home], {}) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for word in ("999999999999", OURS, "AWS_PROFILE=prod"):
        assert word in err
    assert foreign.manners.count("ListFargateProfiles") == 0
    assert main([command, *files, *home, "--cluster-is-elsewhere"], {}) == 0


def test_plan_of_objects_of_another_cluster_is_not_held_up(
    foreign: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    foreign.world.add_cluster("other")
    (tmp_path / "web.yaml").write_text(json.dumps(foreign.manifest(clusterName="other")))
    assert main(["plan", "-f", str(tmp_path / "web.yaml")], {}) == 0
    assert "create" in capsys.readouterr().out


def test_another_cluster_than_the_kubeconfig_s_is_that_of_a_hub_and_legitimate(
    foreign: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign.world.add_cluster("workload")
    assert main(["export", "--cluster=workload"], {}) == 0
    assert f"workload in us-east-1 of account {OURS}" in capsys.readouterr().err


# Another cluster


@pytest.fixture
def wrong(b: Bench) -> Bench:
    """Let the API server have another certificate authority than EKS's cluster demo."""
    b.world.set_certificate_authority("demo", bundle(TWO))
    b.settings = replace(b.settings, authority=bundle(ONE))
    b.start()
    return b


def survey(b: Bench) -> None:
    """Look at the cluster itself, as the leader does when it starts to act, and for 30 minutes."""
    b.queue.add(("", "demo"))
    b.run(1800)


def test_a_cluster_that_is_not_the_one_of_the_api_server_is_told_once_in_log_and_metric(
    wrong: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    survey(wrong)
    (told,) = (each for each in caplog.records if "ClusterElsewhere" in each.getMessage())
    assert told.levelname == "WARNING"
    for word in ("demo in us-east-1", "--cluster-is-elsewhere", "certificate authority"):
        assert word in told.getMessage()
    assert wrong.metrics.registry.get_sample_value("fargate_cluster_is_elsewhere") == 1
    assert wrong.manners.count("DescribeCluster") == 1, "one call a process"


def test_each_object_for_which_a_profile_is_about_to_be_made_there_says_so_and_others_do_not(wrong: Bench) -> None:
    wrong.world.add_cluster("other")
    wrong.manners.fail("CreateFargateProfile", fake.error("ThrottlingException", 429, "slow"), times=3)
    wrong.apply()
    wrong.apply("there", clusterName="other")
    wrong.run(30)
    assert wrong.events("Warning", "web") == ["ClusterElsewhere"], "however often the create is tried"
    assert wrong.events("Warning", "there") == []
    wrong.run(200)
    wrong.edit(tags={"team": "a"})
    wrong.run(60)
    assert wrong.ready()
    assert wrong.events("Warning") == ["ClusterElsewhere"], "what serves is not made"


def test_while_the_profile_is_made_its_object_names_the_mend(wrong: Bench) -> None:
    wrong.apply()
    wrong.run(10)
    assert wrong.reason() == "Creating"
    assert "--cluster-is-elsewhere" in wrong.message()


@pytest.mark.parametrize("unknown", ["ours", "theirs", "denied", "same"])
def test_where_an_authority_is_not_known_or_is_the_same_nothing_is_said(
    wrong: Bench, caplog: pytest.LogCaptureFixture, unknown: str
) -> None:
    if unknown == "ours":
        wrong.settings = replace(wrong.settings, authority="")
    elif unknown == "denied":
        wrong.manners.fail("DescribeCluster", fake.error("AccessDeniedException", 403, "no"), times=1000)
    else:
        wrong.world.set_certificate_authority("demo", bundle(ONE, TWO) if unknown == "same" else "")
    wrong.start()
    wrong.apply()
    survey(wrong)
    assert wrong.ready()
    assert wrong.events("Warning") == []
    assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == []
    assert wrong.metrics.registry.get_sample_value("fargate_cluster_is_elsewhere") == 0


def test_plan_says_for_a_foreign_kubeconfig_what_the_controller_says_and_a_flag_silences_both(
    b: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    b.world.set_certificate_authority("demo", bundle(TWO))
    with serve(b.api) as server:
        known = json.loads(kubeconfig(server.url, tmp_path / "config").read_text())
        known["clusters"][0]["cluster"]["certificate-authority-data"] = bundle(ONE)
        (tmp_path / "config").write_text(json.dumps(known))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        (tmp_path / "web.yaml").write_text(json.dumps(b.manifest()))
        ask = ["plan", "-f", str(tmp_path / "web.yaml"), *SAME]
        assert main(ask, {}) == 0
        assert "is not the Kubernetes cluster that the objects are in" in capsys.readouterr().out
        assert main([*ask, "--cluster-is-elsewhere"], {}) == 0
        assert capsys.readouterr().out == "create    default/web  profile web.\nPlan: 1 create.\n"
    assert config.settings(config.configure(SAME, {})).authority == bundle(ONE)
    assert config.settings(config.configure([*SAME, "--cluster-is-elsewhere"], {})).authority == ""


@pytest.mark.parametrize("kind", ["data", "file", "file beside", "none", "missing", "no kubeconfig"])
def test_the_authority_is_the_one_that_the_kubeconfig_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    pem = base64.b64decode(bundle(ONE))
    (tmp_path / "ca.crt").write_bytes(pem)
    says = {
        "data": {"certificate-authority-data": bundle(ONE)},
        "file": {"certificate-authority": str(tmp_path / "ca.crt")},
        "file beside": {"certificate-authority": "ca.crt"},
        "missing": {"certificate-authority": "missing.crt"},
    }.get(kind, {})
    known = json.loads(kubeconfig("https://127.0.0.1:1", tmp_path / "config").read_text())
    known["clusters"][0]["cluster"] |= says
    (tmp_path / "config").write_text(json.dumps(known))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / ("none" if kind == "no kubeconfig" else "config")))
    known_to_be = pem if kind in {"data", "file", "file beside"} else b""
    assert base64.b64decode(authority()) == known_to_be


@pytest.mark.parametrize("there", [True, False])
def test_in_a_pod_the_authority_is_the_one_of_its_service_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool
) -> None:
    monkeypatch.setattr(kube, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    (tmp_path / "token").write_text("t")
    if there:
        (tmp_path / "ca.crt").write_bytes(base64.b64decode(bundle(ONE)))
    assert authority() == (bundle(ONE) if there else "")


# Blanks in an id


@pytest.mark.parametrize("tag", ["ours ", " ours", "ours\n", "ours"])
@pytest.mark.parametrize("setting", ["ours", "ours ", "\tours\n"])
def test_blanks_around_an_id_make_no_profile_somebody_else_s_and_the_tag_stays_as_it_is(
    b: Bench, caplog: pytest.LogCaptureFixture, tag: str, setting: str
) -> None:
    b.settings = replace(b.settings, controller_id=tag)
    b.start()
    b.settle()
    b.manners.clear()
    b.settings = replace(b.settings, controller_id=setting)
    b.start()
    b.run(60)
    assert b.ready()
    assert b.manners.writes() == []
    assert b.profiles()["web"]["tags"][CONTROLLER_KEY] == tag
    b.apply("second", profileName="web")
    b.run(60)
    assert "made for default/web:" in b.message("second"), "of this Kubernetes cluster"
    b.delete()
    b.run(200)
    assert b.gone()
    assert "web" not in b.profiles() or b.ready("second")
    assert "orphan" not in caplog.text


def test_an_orphan_is_seen_by_its_tag_with_blanks_too(b: Bench, caplog: pytest.LogCaptureFixture) -> None:
    b.settings = replace(b.settings, controller_id="ours ")
    b.start()
    b.settle()
    b.api.edit("fargateprofiles", "default", "web", {"metadata": {"finalizers": None}})
    b.delete()
    b.settings = replace(b.settings, controller_id="ours")
    b.start()
    b.queue.add(("", "demo"))
    b.run(10)
    assert "orphan cluster=demo profile=web" in caplog.text


def test_an_id_that_is_another_one_is_another_s_still(b: Bench) -> None:
    b.settings = replace(b.settings, controller_id="our s")
    b.start()
    b.settle()
    b.settings = replace(b.settings, controller_id="ours")
    b.start()
    b.run(60)
    assert b.reason() == "NameTaken"
    assert "by controller id our s, and this operator's is ours" in b.message()


# A proxy


@dataclass
class Asked:
    """What a proxy was asked for: the first line of each request, and the login that came with it."""

    port: int
    lines: list[str]
    logins: list[str]


@pytest.fixture
def proxy() -> Iterator[Asked]:
    """A proxy that takes every request down and answers none of them well."""
    asked = Asked(0, [], [])

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.lines.append(self.rfile.readline().decode().strip())
            logins = http.client.parse_headers(self.rfile).get_all("Proxy-Authorization", [])
            asked.logins.extend(base64.b64decode(each.split()[-1]).decode() for each in logins)
            self.wfile.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        asked.port = int(server.server_address[1])
        yield asked
        server.shutdown()


def ask_kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", url="https://kubernetes.invalid:6443")))
    Kube(connect(2), "test").list()


def ask_aws(_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    credentials = Credentials(lambda: aws.fetch("eu-west-1", Command))
    credentials.step()
    aws.Aws(aws.connect("eu-west-1", 2), "eu-west-1", credentials).names("demo")


EDGES: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], None], type[Exception], str]] = {
    "kubernetes": (ask_kubernetes, KubeError, "kubernetes.invalid:6443"),
    "aws": (ask_aws, answers.AwsError, "eks.eu-west-1.amazonaws.com:443"),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    "form", ["{}", "http://{}", "//{}", "http://{}/", "me:pass%20word@{}", "http://me:pass%20word@{}"]
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_is_taken_with_a_scheme_or_without_one(
    proxy: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, edge: str, form: str, variable: str
) -> None:
    ask, error, host = EDGES[edge]
    monkeypatch.setenv(variable, form.format(f"127.0.0.1:{proxy.port}"))
    with pytest.raises(error):
        ask(tmp_path, monkeypatch)
    assert proxy.lines[0] == f"CONNECT {host} HTTP/1.1" or proxy.lines[0] == f"CONNECT {host} HTTP/1.0"
    assert proxy.logins[:1] == (["me:pass word"] if "@" in form else [])


WRONG = ["socks5://127.0.0.1:1080", "socks5h://u:secret@proxy:1080", "SOCKS4://proxy", "ftp://proxy:21", "http://",
         "http://proxy:port", "proxy:port", "pro xy:3128", "http://[::1:80", ":3128", "://proxy"]  # fmt: skip


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("text", WRONG)
def test_a_proxy_that_is_none_for_us_is_one_sentence_that_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, edge: str, text: str
) -> None:
    ask, error, _ = EDGES[edge]
    monkeypatch.setenv("HTTPS_PROXY", text)
    with pytest.raises(error) as refused:
        ask(tmp_path, monkeypatch)
    said = str(refused.value)
    assert re.search(r"the proxy for .* \(HTTPS_PROXY.*\) is .*: give http://host:port", said)
    assert "secret" not in said
    assert "\n" not in said


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "HTTP_PROXY"])
def test_such_a_proxy_ends_the_start_with_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, variable: str
) -> None:
    """The API server is asked by http here, AWS by https: each has its variable."""
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config")))
    monkeypatch.setenv(variable, text)
    assert main(["--cluster-name=demo", "--region=eu-west-1"], {}) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"controller\.py: .*the proxy for .*\n", err)


@pytest.mark.parametrize("edge", EDGES)
def test_a_proxy_that_is_not_on_the_way_is_not_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, edge: str
) -> None:
    ask, error, _ = EDGES[edge]
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "kubernetes.invalid,.amazonaws.com")
    with pytest.raises(error) as failed:
        ask(tmp_path, monkeypatch)
    assert "the proxy for" not in str(failed.value)


# The program that makes tokens


def plugin(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def asks_for_tokens(command: str, **more: object) -> dict[str, Any]:
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": command, **more}}


CREDENTIAL = {"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": {"token": "t"}}
NO_TOKENS: dict[str, dict[str, Any]] = {
    "a program that is not there": asks_for_tokens("no-such-aws"),
    "a path that is not there": asks_for_tokens("/opt/no-such-aws"),
    "a path from the kubeconfig on": asks_for_tokens("./no-such-aws"),
    "a program that may not be run": asks_for_tokens("/etc/hostname"),
    "a program that fails": asks_for_tokens("false"),
    "a program that says nothing": asks_for_tokens("true"),
    "a program without a name": {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1"}},
    "a way of another client": {"auth-provider": {"name": "azure", "config": {}}},
    "an empty token": {"token": ""},
}


@pytest.mark.parametrize("user", NO_TOKENS.values(), ids=NO_TOKENS.keys())
def test_without_the_credentials_that_a_kubeconfig_promises_the_start_ends_and_nobody_is_asked_as_anonymous(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], user: dict[str, Any]
) -> None:
    api = ApiServer()
    with serve(api) as server:
        monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", url=server.url, **user)))
        assert main(["--cluster-name=demo", "--region=eu-west-1"], {}) == 2
    assert capfd.readouterr().err.splitlines()[-1].startswith("controller.py: no way to the API server: ")
    assert api.log == []


def test_a_program_that_is_not_installed_is_named_with_what_its_kubeconfig_says_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    user = asks_for_tokens("no-such-aws", installHint="Install the AWS CLI\nfirst.")
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", **user)))
    assert main(["--cluster-name=demo", "--region=eu-west-1"], {}) == 2
    said = "no-such-aws, which the kubeconfig gets its tokens from, is not installed here: Install the AWS CLI first."
    assert capfd.readouterr().err == f"controller.py: no way to the API server: {said}\n"


@pytest.mark.parametrize("where", ["on the PATH", "by its path", "from the kubeconfig's folder on"])
def test_a_program_that_makes_tokens_is_found_where_kubectl_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    path = plugin(tmp_path / "my-aws", f"echo '{json.dumps(CREDENTIAL)}'")
    command = {"on the PATH": "my-aws", "by its path": path}.get(where, "./my-aws")
    if where == "on the PATH":
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir("/")
    api = ApiServer()
    with serve(api) as server:
        user = asks_for_tokens(command)
        monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", url=server.url, **user)))
        Kube(connect(2), "test").list()
    assert len(api.log) == 1


# Manifests from elsewhere

ENCODINGS = {"utf-8": b"", "utf-8-sig": b"", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
WIDE = GOOD + "  tags: {team: größe}\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_manifest_is_read_by_its_byte_order_mark_as_kubectl_reads_it(
    b: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path, encoding: str, ends: str
) -> None:
    def written(text: str) -> str:
        raw = ENCODINGS[encoding] + text.replace("\n", ends).encode(encoding)
        (tmp_path / "web.yaml").write_bytes(raw)
        return str(tmp_path / "web.yaml")

    assert main(["validate", "-f", written(WIDE)], {}) == 0
    assert capsys.readouterr() == ("", "1 FargateProfile, no findings.\n")
    assert main(["validate", "-f", written(WIDE.replace("größe", "1"))], {}) == 1
    assert (
        capsys.readouterr().out
        == f"{tmp_path}/web.yaml:8: spec.tags.team: 1, which YAML reads as a number: put it in quotes\n"
    )
    flags = ["--cluster-name=demo", "--region=us-east-1", "--controller-id=x"]
    assert main(["plan", "-f", written(json.dumps(b.manifest())), *flags], {}) == 0


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (GOOD.encode() + "# größe".encode("latin-1"), "bad.yaml:8: invalid"),
        (b"\xff\xfea", "bad.yaml:1: truncated data at byte 0 (utf-16-le)"),
        (GOOD.encode("utf-16-le"), "bad.yaml:1: no byte order mark at byte 0 (utf-16)"),
        (GOOD.encode("utf-16-be"), "bad.yaml:1: no byte order mark at byte 0 (utf-16)"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_can_t_be_read_is_named_and_the_others_are_judged_all_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, raw: bytes | None, said: str
) -> None:
    if raw is not None:
        (tmp_path / "bad.yaml").write_bytes(raw)
    (tmp_path / "wrong.yaml").write_text(GOOD.replace("web}", "Web}").replace("name: web", "name: wrong"))
    (tmp_path / "good.yaml").write_text(GOOD)
    files = [str(tmp_path / f"{name}.yaml") for name in ("bad", "wrong", "good")]
    assert main(["validate", "-f", *files], {}) == 2
    out, err = capsys.readouterr()
    assert re.match(rf"{tmp_path}/wrong.yaml:7: spec.selectors\[0\].namespace: .*\n\Z", out)
    assert said in err
    assert str(tmp_path / "bad.yaml") in err
    assert err.endswith("2 FargateProfiles, 1 finding in 1 object.\n")
    assert main(["plan", "-f", *files, "--cluster-name=demo", "--region=us-east-1"], {}) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


@pytest.mark.parametrize("labels", ["labels:", "labels: {team: }", "labels: {team: null}", "labels:\n      team: ~"])
def test_labels_that_kubernetes_would_drop_are_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, labels: str
) -> None:
    (tmp_path / "web.yaml").write_text(GOOD.replace("[{namespace: web}]", f"\n  - namespace: web\n    {labels}"))
    assert main(["validate", "-f", str(tmp_path / "web.yaml")], {}) == 1
    assert "which Kubernetes drops" in capsys.readouterr().out
