"""What an operator may rely on at the command line: which setting wins, and what is refused in which words."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import config
import controller
from aws import Term
from config import VERSION, Config, Missing, configure, entries_of, settings, tell_doubts
from controller import judged_by, main
from entries import Entries, Entry
from spec import Defaults
from tests.fakes.apiserver import kubeconfig

HOME = {"CLUSTER_NAME": "demo", "AWS_REGION": "eu-west-1"}
FLAGS = [
    ("--cluster-name", "CLUSTER_NAME", "none"),
    ("--region", "AWS_REGION, AWS_DEFAULT_REGION", "none"),
    ("--clusters-file", "CLUSTERS_FILE", "none"),
    ("--default-pod-execution-role", "DEFAULT_POD_EXECUTION_ROLE", "none"),
    ("--default-subnet-tags", "DEFAULT_SUBNET_TAGS", "none"),
    ("--cluster-is-elsewhere", "CLUSTER_IS_ELSEWHERE", "false"),
    ("--workers", "WORKERS", "16"),
    ("--resync-seconds", "RESYNC_SECONDS", "600.0"),
    ("--poll-seconds", "POLL_SECONDS", "5.0"),
    ("--controller-id", "CONTROLLER_ID", "none"),
    ("--health-port", "HEALTH_PORT", "8080"),
    ("--health-address", "HEALTH_ADDRESS", "none"),
    ("--metrics-auth", "METRICS_AUTH", "false"),
    ("--metrics-port", "METRICS_PORT", "8443"),
    ("--metrics-cert-file", "METRICS_CERT_FILE", "none"),
    ("--metrics-key-file", "METRICS_KEY_FILE", "none"),
    ("--no-leader-elect", "NO_LEADER_ELECT", "false"),
    ("--lease-namespace", "LEASE_NAMESPACE", "none"),
    ("--lease-name", "LEASE_NAME", "fargate-operator"),
    ("--allow-adoption-in", "ALLOW_ADOPTION_IN", "none"),
    ("--take-over-from-kopf-in", "TAKE_OVER_FROM_KOPF_IN", "none"),
    ("--allow-retain-in", "ALLOW_RETAIN_IN", "none"),
    ("--allow-eviction-in", "ALLOW_EVICTION_IN", "none"),
    ("--namespace", "WATCH_NAMESPACE", "none"),
    ("--selector", "WATCH_SELECTOR", "none"),
    ("--allowed-roles", "ALLOWED_ROLES", "*"),
    ("--selector-namespaces", "SELECTOR_NAMESPACES", "any"),
    ("--log-format", "LOG_FORMAT", "text"),
    ("--log-level", "LOG_LEVEL", "info"),
]


@pytest.fixture(autouse=True)
def _settings_of_nobody(a_machine_without_settings: None) -> None:
    """Hide those of whoever runs the tests, before another fixture makes some."""


@pytest.fixture
def eks_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let there be what `aws eks update-kubeconfig` writes."""
    arn = "arn:aws:eks:eu-central-1:123456789012:cluster/shop"
    context = {"name": arn, "context": {"cluster": arn, "user": arn}}
    config = {"clusters": [{"name": arn, "cluster": {}}], "users": [], "contexts": [context], "current-context": arn}
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))


# Who wins


@pytest.mark.parametrize(
    ("given", "may"),
    [
        ([], {"*"}),
        (["--selector-namespaces=own"], set()),
        (["--selector-namespaces=own", "--allow-retain-in=a"], {"a"}),
        (["--selector-namespaces=own", "--allow-retain-in=*"], {"*"}),
        (["--allow-retain-in=a,b"], {"a", "b"}),
        (["--allow-retain-in="], set()),
    ],
)
def test_profiles_may_be_left_everywhere_but_where_a_namespace_is_held_to_itself_or_as_is_said(
    given: list[str], may: set[str]
) -> None:
    assert config.settings(configure(given, HOME)).retain_in == may


def test_what_nobody_set_has_its_default() -> None:
    config = configure([], HOME)
    assert config == Config(
        cluster_name="demo",
        region="eu-west-1",
        workers=16,
        resync_seconds=600.0,
        poll_seconds=5.0,
        controller_id="",
        health_port=8080,
        health_address="",
        metrics_auth=False,
        metrics_port=8443,
        metrics_cert_file="",
        metrics_key_file="",
        no_leader_elect=False,
        lease_namespace="default",
        lease_name="fargate-operator",
        allow_adoption_in=frozenset(),
        take_over_from_kopf_in=frozenset(),
        allow_retain_in=None,
        allow_eviction_in=frozenset(),
        namespace=frozenset(),
        selector="",
        allowed_roles=frozenset("*"),
        selector_namespaces="any",
        log_format="text",
        log_level="info",
        cluster_is_elsewhere=False,
        account="",
        aws_profile="",
        ignored=(),
    )


SETTINGS = [
    ("cluster_name", "--cluster-name", "CLUSTER_NAME", "one", "two"),
    ("region", "--region", "AWS_REGION", "eu-one-1", "eu-two-2"),
    ("clusters_file", "--clusters-file", "CLUSTERS_FILE", "/etc/clusters.yaml", "clusters of mine.yaml"),
    ("default_pod_execution_role", "--default-pod-execution-role", "DEFAULT_POD_EXECUTION_ROLE", "pods", "fargate"),
    ("cluster_is_elsewhere", "--cluster-is-elsewhere", "CLUSTER_IS_ELSEWHERE", True, False),
    ("workers", "--workers", "WORKERS", 7, 9),
    ("resync_seconds", "--resync-seconds", "RESYNC_SECONDS", 30.5, 60.0),
    ("poll_seconds", "--poll-seconds", "POLL_SECONDS", 0.5, 1.0),
    ("controller_id", "--controller-id", "CONTROLLER_ID", "me", "you"),
    ("health_port", "--health-port", "HEALTH_PORT", 8081, 8082),
    ("health_address", "--health-address", "HEALTH_ADDRESS", "127.0.0.1", "::1"),
    ("metrics_auth", "--metrics-auth", "METRICS_AUTH", True, False),
    ("metrics_port", "--metrics-port", "METRICS_PORT", 8444, 8445),
    ("metrics_cert_file", "--metrics-cert-file", "METRICS_CERT_FILE", "/tls/tls.crt", "of mine/tls.crt"),
    ("metrics_key_file", "--metrics-key-file", "METRICS_KEY_FILE", "/tls/tls.key", "tls.key"),
    ("no_leader_elect", "--no-leader-elect", "NO_LEADER_ELECT", True, False),
    ("lease_namespace", "--lease-namespace", "LEASE_NAMESPACE", "ops", "infra"),
    ("lease_name", "--lease-name", "LEASE_NAME", "shard-a", "shard-b"),
    ("selector", "--selector", "WATCH_SELECTOR", "shard=a", "shard in (b,c)"),
    ("selector_namespaces", "--selector-namespaces", "SELECTOR_NAMESPACES", "own", "any"),
    ("log_format", "--log-format", "LOG_FORMAT", "json", "text"),
    ("log_level", "--log-level", "LOG_LEVEL", "warning", "debug"),
]


@pytest.mark.parametrize(("field", "flag", "variable", "one", "two"), SETTINGS, ids=[row[0] for row in SETTINGS])
def test_a_flag_wins_over_its_variable_and_a_variable_over_the_default(
    field: str, flag: str, variable: str, one: object, two: object
) -> None:
    variables = HOME | {variable: str(one).lower() if one is True else str(one)}
    text = str(two).lower() if two is False else str(two)
    assert getattr(configure([], variables), field) == one
    assert getattr(configure([flag, text], variables), field) == two
    assert getattr(configure([f"{flag}={text}"], HOME), field) == two


def test_namespaces_are_given_again_or_by_commas_and_the_flag_wins_over_the_variable() -> None:
    several = HOME | {"WATCH_NAMESPACE": "a, b,"}
    assert configure([], several).namespace == {"a", "b"}
    assert configure(["--namespace=c", "--namespace", "d", "--namespace=c"], several).namespace == {"c", "d"}
    assert configure(["--namespace=c,d"], HOME).namespace == {"c", "d"}


def test_allowed_roles_are_patterns_between_commas() -> None:
    roles = "arn:aws:iam::1:role/team-*,arn:aws:iam::1:role/pods"
    assert configure([f"--allowed-roles={roles}"], HOME).allowed_roles == set(roles.split(","))
    assert configure([], HOME | {"ALLOWED_ROLES": roles}).allowed_roles == set(roles.split(","))


def test_no_leader_elect_needs_no_value() -> None:
    assert configure(["--no-leader-elect", "--workers=2"], HOME).no_leader_elect is True


def test_the_lease_of_a_pod_is_in_its_own_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    (tmp_path / "namespace").write_text("platform\n")
    monkeypatch.setattr("kube.SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert configure([], HOME).lease_namespace == "platform"
    assert configure([], HOME | {"LEASE_NAMESPACE": "ops"}).lease_namespace == "ops"


def test_aws_region_wins_over_aws_default_region() -> None:
    both = {"CLUSTER_NAME": "demo", "AWS_DEFAULT_REGION": "eu-default-1", "AWS_REGION": "eu-own-1"}
    assert configure([], both).region == "eu-own-1"
    assert configure([], both | {"AWS_REGION": ""}).region == "eu-default-1"


@pytest.mark.usefixtures("eks_kubeconfig")
def test_cluster_and_region_come_from_the_kubeconfig_where_nothing_else_says_them() -> None:
    config = configure([], {})
    assert (config.cluster_name, config.region) == ("shop", "eu-central-1")


@pytest.mark.usefixtures("eks_kubeconfig")
def test_the_account_of_the_kubeconfig_counts_only_for_the_cluster_and_region_that_it_names() -> None:
    same = {"CLUSTER_NAME": "shop", "AWS_REGION": "eu-central-1"}
    for environ in ({}, same, {"CLUSTER_NAME": "shop"}, {"AWS_REGION": "eu-central-1"}):
        assert configure([], environ).account == "123456789012"
    for environ in ({"CLUSTER_NAME": "other"}, same | {"AWS_REGION": "eu-west-1"}, HOME):
        assert configure([], environ).account == ""
    assert configure(["--cluster-is-elsewhere"], same).account == ""
    assert configure([], same | {"CLUSTER_IS_ELSEWHERE": "true"}).account == ""


ARN = "arn:aws:eks:eu-central-1:123456789012:cluster/shop"


@pytest.mark.parametrize("environ", [{}, {"AWS_REGION": "eu-central-1"}, {"AWS_DEFAULT_REGION": "eu-central-1"}])
def test_an_arn_is_taken_for_the_cluster_s_name_region_and_account(environ: dict[str, str]) -> None:
    for arn in (ARN, ARN.replace("aws:", "aws-cn:", 1)):
        config = configure([], environ | {"CLUSTER_NAME": arn})
        assert (config.cluster_name, config.region, config.account) == ("shop", "eu-central-1", "123456789012")


def test_an_arn_of_another_region_than_the_one_that_is_set_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--cluster-name", ARN], {"AWS_REGION": "eu-west-1"}) == 2
    said = "--cluster-name is a cluster of eu-central-1, --region or AWS_REGION is eu-west-1: correct one"
    assert capfd.readouterr() == ("", f"controller.py: {said}\n")


@pytest.mark.parametrize("named", ["sh op", "shop\n", "-shop"])
def test_a_name_of_the_kubeconfig_that_can_t_be_one_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], named: str
) -> None:
    arn = ARN.replace("shop", named)
    context = {"name": "a", "context": {"cluster": arn, "user": "a"}}
    (tmp_path / "config").write_text(json.dumps({"contexts": [context], "users": [], "current-context": "a"}))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert main([], {}) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"controller.py: the kubeconfig names {named!r}, which is not the name")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("eks_kubeconfig")
def test_what_is_set_wins_over_the_kubeconfig_each_for_itself() -> None:
    config = configure([], {"CLUSTER_NAME": "demo"})
    assert (config.cluster_name, config.region) == ("demo", "eu-central-1")
    config = configure(["--region", "eu-west-1"], {})
    assert (config.cluster_name, config.region) == ("shop", "eu-west-1")


def test_a_kubeconfig_is_not_needed_where_cluster_and_region_are_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("{[broken")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert configure([], HOME).cluster_name == "demo"


def test_a_wrong_variable_does_no_harm_where_its_flag_is_given() -> None:
    assert configure(["--workers", "2"], HOME | {"WORKERS": "abc"}).workers == 2


# What is refused, and how


NO_CLUSTER = "controller.py: set --cluster-name or CLUSTER_NAME to the name of the EKS cluster\n"
NO_REGION = "controller.py: set --region or AWS_REGION to the AWS region of the EKS cluster\n"


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [({}, NO_CLUSTER), ({"AWS_REGION": "eu-west-1"}, NO_CLUSTER), ({"CLUSTER_NAME": "demo"}, NO_REGION)],
    ids=["both", "cluster", "region"],
)
def test_what_is_missing_is_said_in_one_sentence_and_nothing_else(
    environ: dict[str, str], sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([], environ) == 2
    assert capfd.readouterr() == ("", sentence)


@pytest.mark.parametrize("text", ["", "{[broken", "hello", "kind"])
def test_an_unusable_kubeconfig_is_said_in_one_line_and_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert main([], HOME) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"controller\.py: no way to the API server: .+\n", err)


def test_a_health_port_that_is_taken_is_said_and_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig("http://127.0.0.1:1", tmp_path / "config")))
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--health-port", str(port)], HOME) == 2
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGTERM, signal.SIGINT}, "they still end it"
    err = capfd.readouterr().err
    assert err.startswith(f"controller.py: set --health-port or HEALTH_PORT: port {port} can't be had: ")
    assert err.count("\n") == 1


WRONG = [
    *[("workers", text, "a whole number of at least 1") for text in ("0", "-1", "abc", "1.5", "", "1e3")],
    *[("resync-seconds", text, "a number of seconds above 0") for text in ("0", "-5", "ten", "nan", "inf", "")],
    *[("poll-seconds", text, "a number of seconds above 0") for text in ("0", "-0.1", "5s", "NaN")],
    *[("selector-namespaces", text, "own or any") for text in ("all", "Own")],
    *[("log-format", text, "text or json") for text in ("JSON", "yaml")],
    *[("log-level", text, "debug, info, warning or error") for text in ("INFO", "trace")],
    *[("no-leader-elect", text, "true or false") for text in ("yes", "1", "True")],
    *[("health-port", text, "a port number") for text in ("-1", "65536", "http", "80.5")],
    *[("metrics-port", text, "a port number") for text in ("-1", "65536", "https")],
    *[("metrics-auth", text, "true or false") for text in ("yes", "1")],
    *[(f"metrics-{each}-file", "/tls/a\nb", "the name of a file") for each in ("cert", "key")],
    *[("cluster-is-elsewhere", text, "true or false") for text in ("yes", "0", "TRUE")],
    *[
        ("cluster-name", text, "the name or the ARN of an EKS cluster")
        for text in ("de\nmo", "de mo", "demo\nx", "a/b", "a.b", "-a", "d" * 101, '"demo"', "arn:aws:eks:x",
                     ARN.replace("cluster/", "nodegroup/"), ARN.replace("eu-central-1", "eu"), f"{ARN}/x",
                     ARN.replace("123456789012", ""), ARN.replace(":eks:", ":ecs:"))
    ],
    *[
        ("region", text, "an AWS region such as eu-central-1")
        for text in ("eu\n-west-1", "eu west 1", "eu-west-1a", "EU-WEST-1", "us-west-2-lax-1", "eu-west", "Ireland",
                     "eu-west-1,eu-west-2", "'eu-west-1'")
    ],
    *[
        ("controller-id", text, "the value of a tag")
        for text in ("ou\nrs", "ours\rx", "ou\trs", "a" * 257, "aws:ours", "AWS:ours", "our$", '"ours"')
    ],
    *[
        ("health-address", text, "an IP address or the name of a host")
        for text in ("0.0.0.0:8080", "http://x", "a b", "[::1]", "127.0.0.1\n::1", "-a")
    ],
    *[("lease-namespace", text, "a namespace") for text in ("Ops", "a.b", "a_b", "a b", "-a", "a" * 64, "a,b", "*")],
    *[("lease-name", text, "a name") for text in ("Lease", "a_b", "a b", "a..b", "a" * 254, "a/b", "a\nb", "-")],
    *[
        (flag, text, "* or namespaces between commas")
        for flag in ("namespace", "allow-adoption-in", "take-over-from-kopf-in", "allow-retain-in", "allow-eviction-in")
        for text in ("Shop", "a,b c", "a;b", "team-*", "a_b", "a.b", "a" * 64, "a,-b", "a\nb")
    ],
    *[
        ("allowed-roles", text, "ARNs of IAM roles between commas")
        for text in ("pods", "arn:aws:iam::1:role/a b", "role/pods", "arn:aws:iam::1:role/a\nb", "*,pods")
    ],
    *[
        ("default-pod-execution-role", text, "the ARN of an IAM role without a path, or the name of one")
        for text in ("a b", "arn:aws:iam::1:role/a", "arn:aws:iam::111122223333:role/a/b", "a,b/c", "a" * 65, "role/a")
    ],
    *[
        ("default-subnet-tags", text, "tags of subnets as KEY=VALUE between commas")
        for text in ("a", "a=b,c", "=b", "a=b,a=c", "k" * 129 + "=b", "k=" + "v" * 257,
                     "a=", ",".join(f"{n}=x" for n in range(21)))
    ],
    *[("clusters-file", text, "the name of a file") for text in ("a\nb", "a\0b")],
    *[("selector", text, "a selector of labels: at character") for text in ("a=b c", "a in b", "a\nb", "=")],
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "meant"), WRONG)
def test_a_wrong_value_is_refused_in_words_that_name_its_flag(
    name: str, text: str, meant: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main([f"--{name}={text}"], HOME)
    assert refused.value.code == 2
    assert f"error: argument --{name}: {text!r} is not {meant}" in capfd.readouterr().err


@pytest.mark.parametrize(("name", "text", "meant"), [row for row in WRONG if row[1]])
def test_a_wrong_value_in_a_variable_is_refused_in_words_that_name_the_variable(
    name: str, text: str, meant: str, capfd: pytest.CaptureFixture[str]
) -> None:
    variable = VARIABLE.get(name, name.replace("-", "_").upper())
    with pytest.raises(SystemExit) as refused:
        main([], HOME | {variable: text})
    assert refused.value.code == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert f"{text!r} is not {meant}" in said
    assert variable in said


VARIABLE = {"namespace": "WATCH_NAMESPACE", "selector": "WATCH_SELECTOR", "region": "AWS_REGION"}


BLANKS = [
    ("cluster_name", "CLUSTER_NAME", "demo", "demo"),
    ("cluster_name", "CLUSTER_NAME", ARN.replace("central", "west"), "shop"),
    ("region", "AWS_REGION", "us-gov-west-1", "us-gov-west-1"),
    ("region", "AWS_REGION", "eusc-de-east-1", "eusc-de-east-1"),
    ("controller_id", "CONTROLLER_ID", "ours: a/b", "ours: a/b"),
    ("workers", "WORKERS", "2", 2),
    ("resync_seconds", "RESYNC_SECONDS", "2.5", 2.5),
    ("no_leader_elect", "NO_LEADER_ELECT", "true", True),
    ("health_port", "HEALTH_PORT", "80", 80),
    ("health_address", "HEALTH_ADDRESS", "fe80::1%eth0", "fe80::1%eth0"),
    ("lease_namespace", "LEASE_NAMESPACE", "ops", "ops"),
    ("lease_name", "LEASE_NAME", "a.b-c", "a.b-c"),
    ("allow_adoption_in", "ALLOW_ADOPTION_IN", "* , a", {"*", "a"}),
    ("take_over_from_kopf_in", "TAKE_OVER_FROM_KOPF_IN", "a,b,", {"a", "b"}),
    ("allow_retain_in", "ALLOW_RETAIN_IN", "a", {"a"}),
    ("allow_eviction_in", "ALLOW_EVICTION_IN", "a, b", {"a", "b"}),
    ("namespace", "WATCH_NAMESPACE", "a , b", {"a", "b"}),
    ("selector", "WATCH_SELECTOR", "a in (b)", "a in (b)"),
    ("allowed_roles", "ALLOWED_ROLES", "arn:aws:iam::*:role/a , *b", {"arn:aws:iam::*:role/a", "*b"}),
    ("selector_namespaces", "SELECTOR_NAMESPACES", "own", "own"),
    ("log_format", "LOG_FORMAT", "json", "json"),
    ("log_level", "LOG_LEVEL", "debug", "debug"),
    ("clusters_file", "CLUSTERS_FILE", "/etc/a b.yaml", "/etc/a b.yaml"),
    ("default_pod_execution_role", "DEFAULT_POD_EXECUTION_ROLE", "a.b@c", "a.b@c"),
    ("default_subnet_tags", "DEFAULT_SUBNET_TAGS", "b = *, a=x=y ,", (("a", "x=y"), ("b", "*"))),
]


@pytest.mark.parametrize(("field", "variable", "text", "meant"), BLANKS)
@pytest.mark.parametrize("around", ["{}", "{}\n", "\t {} \r\n", "\u00a0{}"])
def test_blanks_and_line_ends_around_a_value_count_for_nothing(
    field: str, variable: str, text: str, meant: object, around: str
) -> None:
    environ = {"CLUSTER_NAME": "demo", variable: around.format(text)}
    environ |= {"AWS_REGION": "eu-west-1"} if field != "region" else {}
    flag = next(flag for flag, variables, _ in FLAGS if variable in variables.split(", "))
    assert getattr(configure([], environ), field) == meant
    assert getattr(configure([flag, around.format(text)], HOME), field) == meant


@pytest.mark.parametrize("variable", ["CLUSTER_NAME", "AWS_REGION"])
def test_a_variable_of_blanks_is_none(variable: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([], HOME | {variable: " \n"}) == 2
    assert capfd.readouterr().err == (NO_CLUSTER if variable == "CLUSTER_NAME" else NO_REGION)


@pytest.mark.parametrize("given", [["--namespace=*"], ["--namespace=a", "--namespace=*"], ["--namespace=a,*"], []])
def test_a_star_is_all_namespaces(given: list[str]) -> None:
    assert configure(given, HOME | {"WATCH_NAMESPACE": "a" if given else "*"}).namespace == frozenset()


GOOD_SELECTORS = [
    "", "a", "!a", "! a", "a,b", "a,!b", "a=b", "a==b", "a!=b", "a = b , c != d", "a=", "a=,b=", "a!=", "a in (b)",
    "a in (b,c)", "a notin (b, c)", "a in (,b)", "a in (b,)", "a in (,)", "a in ()", "in in (notin)", "a=in",
    "a>1", "a<1,b>2", "example.com/a-b_c.d=E.f", "0=1", "a=b,c in (d,e),f,!g",
    "x in(y)", "a" * 63, f"{'a' * 63}.b/c=" + "v" * 63,
]  # fmt: skip
# Each with the character at which it goes wrong.
BAD_SELECTORS = [
    ("a=b c=d", 5), ("a b", 3), ("a=b,", 5), (",a", 1), ("a,,b", 3), ("=a", 1), ("a==b==c", 5), ("!a=b", 3), ("!", 2),
    ("a in", 5), ("a in b", 6), ("a in (b", 8), ("a in (b c)", 9), ("a IN (b)", 3), ("a=(b)", 3),
    ("a=b||c=d", 3), ("a<b", 3), ("a>", 3), ("a>=1", 3), ("a in (b))", 9), ("a=b)", 4), ("(a)", 1), ("a=-b", 3),
    ("-a", 1), ("a/b/c", 1), ("A.B/c", 1), ("/a", 1), ("a/", 1), ("a" * 64, 1), ("a=" + "b" * 64, 3), ("a:b", 1),
    ("a='b'", 3), ('a="b"', 3), ("a=b;c=d", 3), ("a=b & c", 5), ("a!b", 2), ("a!", 2), ("a=!b", 3),
    ("metadata.name*", 1), ("a<-1", 3), ("a>1.5", 3), ("a>" + "9" * 20, 3),
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD_SELECTORS)
def test_a_selector_is_what_kubernetes_takes_for_one(text: str) -> None:
    assert configure(["--selector", text], HOME).selector == text


@pytest.mark.parametrize(("text", "place"), BAD_SELECTORS)
def test_a_selector_that_does_not_parse_is_refused_with_the_place(
    text: str, place: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main([], HOME | {"WATCH_SELECTOR": text})
    assert refused.value.code == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert f"is not a selector of labels: at character {place} belongs " in said
    assert "WATCH_SELECTOR" in said


LINKS = ["tcp://10.0.0.1:80", "udp://10.0.0.1:53", "sctp://[fd00::1]:9", " tcp://10.0.0.1:80\n"]
VARIABLES = [each for _, variables, _ in FLAGS for each in variables.split(", ")]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_that_the_kubelet_has_set_for_a_service_is_no_setting(variable: str, link: str) -> None:
    flags = ["--cluster-name=demo", "--region=eu-west-1"]
    config = configure(flags, {variable: link})
    assert config == replace(configure(flags, {}), ignored=config.ignored)
    (said,) = config.ignored
    assert said.startswith(f"{variable} is {link.strip()!r}, as the kubelet sets it for a Service")


def refusal(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as refused:
        main(arguments, HOME)
    assert refused.value.code == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_a_command_that_is_none_is_refused_with_those_that_are(capfd: pytest.CaptureFixture[str]) -> None:
    names = ", ".join(sorted(config.COMMANDS))
    assert f"'bogus' is none of the commands {names}; without" in refusal(["bogus"], capfd)
    assert f"'bogus' is none of the commands {names}; without" in refusal(["--workers", "3", "bogus"], capfd)


def test_a_command_behind_flags_is_told_where_it_belongs(capfd: pytest.CaptureFixture[str]) -> None:
    assert "controller.py plan ..." in refusal(["--workers", "3", "plan"], capfd)


def test_the_usage_names_the_commands(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"], HOME)
    usage = capfd.readouterr().out.partition("\n\n")[0]
    assert all(name in usage for name in config.COMMANDS)


def test_version_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"], {})
    assert ended.value.code == 0
    assert capfd.readouterr() == (f"controller.py {VERSION}\n", "")


@pytest.mark.parametrize(
    ("region", "known"),
    [("eu-central-1", True), ("us-gov-west-1", True), ("cn-north-1", True), ("eu-central-9", False)],
)
def test_a_region_that_botocore_does_not_know_is_a_warning_at_the_start_as_it_may_be_newer(
    region: str, known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tell_doubts(configure(["--region", region], HOME))
    said = [record.getMessage() for record in caplog.records]
    assert [region in sentence and "correct --region or AWS_REGION" in sentence for sentence in said] == [True][known:]


def test_files_that_protect_nothing_are_a_warning_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    files = ["--metrics-cert-file=tls.crt", "--metrics-key-file=tls.key"]
    tell_doubts(configure([*files, "--metrics-auth"], HOME))
    assert caplog.records == []
    tell_doubts(configure(files, HOME))
    (said,) = (record.getMessage() for record in caplog.records)
    assert "count for nothing without --metrics-auth" in said


def test_an_unknown_flag_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--regoin", "eu-west-1"], HOME)
    assert refused.value.code == 2
    assert "--regoin" in capfd.readouterr().err


def test_help_shows_every_flag_with_its_variable_and_default(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"], {"WORKERS": "abc"})
    assert ended.value.code == 0
    shown = " ".join(capfd.readouterr().out.split())
    for flag, variables, default in FLAGS:
        text = shown[shown.rindex(f" {flag} ") :]
        assert f"[variable {variables}, default {default}]" in re.split(r" --[a-z]", text[3:])[0]
    assert sorted(set(re.findall(r"--[a-z][a-z-]+", shown))) == sorted(
        [flag for flag, _, _ in FLAGS] + ["--help", "--version"]
    )


# The clusters that objects may name


def write(tmp_path: Path, text: str) -> str:
    (tmp_path / "clusters.yaml").write_text(text)
    return f"--clusters-file={tmp_path / 'clusters.yaml'}"


def test_without_a_file_the_flags_defaults_are_those_of_every_cluster() -> None:
    flags = ["--default-pod-execution-role=pods", "--default-subnet-tags=team=*,fargate=yes"]
    entries = entries_of(configure(flags, HOME))
    terms = (Term(tags=(("fargate", "yes"), ("team", "*"))),)
    assert entries == Entries("eu-west-1", "demo", defaults=Defaults("pods", terms))
    assert entries_of(configure([], HOME)).defaults == Defaults()


def test_with_a_file_they_are_those_of_the_home_that_is_not_in_it(tmp_path: Path) -> None:
    file = write(tmp_path, "clusters: [{name: a}]")
    entries = entries_of(configure([file, "--default-pod-execution-role=pods"], HOME))
    found = {name: entries.find("team", name) for name in ("", "a")}
    assert [each.defaults.role for each in found.values() if isinstance(each, Entry)] == ["pods", ""]


def test_with_a_file_no_cluster_needs_to_be_the_home_but_the_region_is_still_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path, "clusters: [{name: a}]")
    entries = entries_of(configure([file, "--region=eu-west-2"], {}))
    assert (entries.home, entries.region) == ("", "eu-west-2")
    with pytest.raises(Missing, match="set --region or AWS_REGION"):
        configure([file], {})


@pytest.mark.usefixtures("eks_kubeconfig")
def test_with_a_file_the_kubeconfig_still_names_the_home(tmp_path: Path) -> None:
    entries = entries_of(configure([write(tmp_path, "clusters: [{name: a}]")], {}))
    assert (entries.home, entries.region) == ("shop", "eu-central-1")


@pytest.mark.usefixtures("eks_kubeconfig")
def test_the_account_that_the_kubeconfig_names_is_the_operator_s_own(tmp_path: Path) -> None:
    role = "arn:aws:iam::111122223333:role/operator"
    file = write(tmp_path, f"clusters: [{{name: shop, roleArn: '{role}'}}]")
    with pytest.raises(Missing, match="which is of account 123456789012: give the entry another name"):
        entries_of(configure([file], {}))
    assert entries_of(configure([file, "--cluster-is-elsewhere"], {})), "then nobody knows"


def test_a_wrong_file_ends_the_start_with_every_finding(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "clusters:\n- name: a\n  region: x\n- nam: b\n")
    assert main([file], HOME) == 2
    path = file.partition("=")[2]
    mend = "give what objects write as clusterName: letters, digits, - and _, at most 100, first a letter or digit; "
    assert capfd.readouterr().err.splitlines() == [
        "controller.py: --clusters-file can't be taken, 3 findings:",
        f'{path}:3: clusters[0].region: "x": give an AWS region such as eu-central-1, or leave the field out for the '
        "operator's own",
        f"{path}:4: clusters[1].nam: not a field: remove it or correct its name",
        f"{path}:4: clusters[1].name: missing: {mend}numbers in quotes",
    ]


def test_a_region_that_the_library_does_not_know_is_a_doubt_and_ends_no_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path, "clusters:\n- {name: a}\n- {name: b, region: eu-wst-1}\n")
    assert entries_of(configure([file], HOME))
    (line,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert line.startswith(
        "the AWS library of this operator does not know a region eu-wst-1: correct it in line 3 of the"
    )


def test_a_file_that_is_not_there_ends_the_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([f"--clusters-file={tmp_path}/none"], HOME) == 2
    assert "can't be read (No such file or directory): correct --clusters-file" in capfd.readouterr().err


# What judges objects


def test_what_the_clusters_file_says_is_part_of_what_judges_objects(tmp_path: Path) -> None:
    def by(text: str) -> str:
        said = configure([write(tmp_path, text)], HOME)
        return judged_by(settings(said), entries=entries_of(said))

    assert by("clusters: [{name: a}]") == by("# the same\nclusters:\n- name: a\n")
    assert by("clusters: [{name: a}]") != by("clusters: [{name: a, namespaces: [b]}]")


@pytest.mark.parametrize(
    "more",
    [
        "--controller-id=x", "--allow-adoption-in=a", "--take-over-from-kopf-in=a", "--allow-retain-in=a",
        "--allow-eviction-in=a", "--allowed-roles=arn:aws:iam::*:role/a", "--selector-namespaces=own",
        "--cluster-name=other", "--namespace=a", "--selector=a=b", "--default-pod-execution-role=a",
        "--default-subnet-tags=a=b",
    ],
)  # fmt: skip
def test_a_flag_by_which_objects_are_judged_makes_another_digest(more: str) -> None:
    assert digest(more) != digest()


@pytest.mark.parametrize("more", ["--workers=2", "--log-level=debug", "--health-port=1", "--lease-name=a"])
def test_a_flag_that_judges_nothing_makes_no_other_digest(more: str) -> None:
    assert digest(more) == digest()


def test_another_version_makes_another_digest_and_the_order_of_what_a_flag_names_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = (
        digest("--allow-adoption-in=a,b,c,d", "--namespace=a,b"),
        digest("--allow-adoption-in=d,c,b,a", "--namespace=b,a"),
    )
    assert one == other
    monkeypatch.setattr(controller, "VERSION", "0.0.1")
    assert digest("--allow-adoption-in=a,b,c,d", "--namespace=a,b") != one


def test_a_digest_is_the_same_in_every_process() -> None:
    script = "import controller as c; print(c.judged_by(c.Settings('demo', adoption_in=frozenset('abcdefgh'))))"
    environ = [{**os.environ, "PYTHONHASHSEED": seed} for seed in "12"]
    told = {
        subprocess.check_output([sys.executable, "-c", script], env=each, cwd=Path(config.__file__).parent, timeout=60)
        for each in environ
    }
    assert len(told) == 1


def digest(*arguments: str) -> str:
    """Return the digest of what judges objects where the controller is started so."""
    said = configure(list(arguments), HOME)
    return judged_by(settings(said), said.namespace, said.selector, entries_of(said))
