"""What an operator may rely on at the command line: which setting wins, and what is refused in which words."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from config import Config, configure
from controller import main
from tests.fakes.apiserver import kubeconfig

HOME = {"CLUSTER_NAME": "demo", "AWS_REGION": "eu-west-1"}
FLAGS = [
    ("--cluster-name", "CLUSTER_NAME", "none"),
    ("--region", "AWS_REGION, AWS_DEFAULT_REGION", "none"),
    ("--workers", "WORKERS", "4"),
    ("--resync-seconds", "RESYNC_SECONDS", "600.0"),
    ("--poll-seconds", "POLL_SECONDS", "5.0"),
    ("--controller-id", "CONTROLLER_ID", "none"),
    ("--health-port", "HEALTH_PORT", "8080"),
    ("--health-address", "HEALTH_ADDRESS", "none"),
    ("--no-leader-elect", "NO_LEADER_ELECT", "false"),
    ("--lease-namespace", "LEASE_NAMESPACE", "none"),
    ("--lease-name", "LEASE_NAME", "fargate-operator"),
    ("--allow-adoption-in", "ALLOW_ADOPTION_IN", "none"),
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


def test_what_nobody_set_has_its_default() -> None:
    config = configure([], HOME)
    assert config == Config(
        cluster_name="demo",
        region="eu-west-1",
        workers=4,
        resync_seconds=600.0,
        poll_seconds=5.0,
        controller_id="",
        health_port=8080,
        health_address="",
        no_leader_elect=False,
        lease_namespace="default",
        lease_name="fargate-operator",
        allow_adoption_in=frozenset(),
        namespace=frozenset(),
        selector="",
        allowed_roles=frozenset("*"),
        selector_namespaces="any",
        log_format="text",
        log_level="info",
    )


SETTINGS = [
    ("cluster_name", "--cluster-name", "CLUSTER_NAME", "one", "two"),
    ("region", "--region", "AWS_REGION", "eu-one-1", "eu-two-2"),
    ("workers", "--workers", "WORKERS", 7, 9),
    ("resync_seconds", "--resync-seconds", "RESYNC_SECONDS", 30.5, 60.0),
    ("poll_seconds", "--poll-seconds", "POLL_SECONDS", 0.5, 1.0),
    ("controller_id", "--controller-id", "CONTROLLER_ID", "me", "you"),
    ("health_port", "--health-port", "HEALTH_PORT", 8081, 8082),
    ("health_address", "--health-address", "HEALTH_ADDRESS", "127.0.0.1", "::1"),
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
]


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
    variable = name.replace("-", "_").upper()
    with pytest.raises(SystemExit) as refused:
        main([], HOME | {variable: text})
    assert refused.value.code == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert f"{text!r} is not {meant}" in last
    assert variable in last


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
    assert sorted(set(re.findall(r"--[a-z][a-z-]+", shown))) == sorted([flag for flag, _, _ in FLAGS] + ["--help"])
