"""`make sandbox`: what it prints is typed into a shell, line by line, and its words into its own terminal."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import yaml

from tests.e2e.controlplane import find_manager
from tests.e2e.sandbox import Sandbox, sandbox
from tests.e2e.support import AFTER_A_WHILE, ROOT
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Return a running sandbox; with kube-controller-manager if it was ever built here."""
    manager = find_manager(make=False)
    with sandbox(tmp_path_factory.mktemp("sandbox"), seconds=1, manager=manager) as running:
        yield running


@pytest.fixture
def told(box: Sandbox) -> str:
    """Return what a running sandbox tells."""
    return box.told


def environ(told: str) -> dict[str, str]:
    """Return the environment of a terminal after the printed export lines."""
    exports = "\n".join(re.findall(r"^export .*$", told, re.MULTILINE))
    command = ["bash", "-c", f"{exports}\nenv -0"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SOON).stdout
    return dict(pair.split("=", 1) for pair in shown.split("\0") if pair)


def typed(told: str, command: str, seconds: float = 30, code: int = 0) -> str:
    """Return what a command shows within its time; all is well if it goes on for longer."""
    done = subprocess.run(
        ["timeout", str(seconds), *shlex.split(command)],
        cwd=ROOT,
        env=environ(told) | {"NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=seconds + SOON,  # if `timeout` does not end it
        check=False,
    )
    assert done.returncode in {code, 124}, done.stderr
    return done.stdout


def test_the_suggested_commands_show_a_profiles_life(told: str) -> None:
    apply, watch, describe, aws, *_, delete = suggested(told)[:12]
    assert "fargateprofile.jicomusic.com/web created" in typed(told, apply)
    wait_for(lambda: " True " in typed(told, watch, 2), SOON, "web is seen to get Ready")
    told_of = re.compile(r"Normal +Created +.*Profile web is ACTIVE")
    wait_for(lambda: told_of.search(typed(told, describe)), SOON, "an event tells of it")
    assert aws.startswith("aws eks list-fargate-profiles --cluster-name ")
    assert "web" in listed_by_the_sdk(told, aws.rpartition(" ")[2])
    assert 'web" deleted' in typed(told, delete)
    assert "web" not in listed_by_the_sdk(told, aws.rpartition(" ")[2])


def suggested(told: str) -> list[str]:
    """Return the commands that it suggests, in their order."""
    return re.findall(r"^\d+\. (.*)$", told, re.MULTILINE)


def test_a_deployment_for_a_profile_runs_and_one_that_was_too_early_is_explained_and_runs_after_a_restart(
    told: str,
) -> None:
    apply, _, _, _, deploy, pods, nodes, early, shop, explain, restart, delete = suggested(told)[:12]
    typed(told, apply)
    typed(told, "kubectl wait --for=condition=Ready fp/web --timeout=20s")
    wait_for(lambda: taken(told, "web"), SOON, "EKS gives pods to the profile")
    typed(told, deploy)
    wait_for(lambda: len(re.findall(r" Running .* fargate-ip-", typed(told, pods, 2))) >= 2, SOON, "its pods run")
    assert len(re.findall(r"^fargate-ip-\S+ +Ready ", typed(told, nodes), re.MULTILINE)) == 2
    typed(told, early)
    wait_for(lambda: "Pending" in typed(told, "kubectl get pods -n shop"), SOON, "the early pod is there")
    typed(told, shop)
    typed(told, "kubectl wait --for=condition=Ready fp/shop --timeout=20s")
    assert re.search(r"^stranded +shop/early-", typed(told, explain, code=1), re.MULTILINE)
    wait_for(lambda: taken(told, "shop"), SOON, "EKS gives pods to the profile")
    typed(told, restart)
    typed(told, "kubectl rollout status deployment early -n shop --timeout=20s")
    for command in (delete, "kubectl delete fp shop"):
        typed(told, command)
    wait_for(lambda: not typed(told, "kubectl get nodes"), SOON, "the pods have gone with their profiles")


def taken(told: str, namespace: str) -> bool:
    """Say whether a pod that was made now would be taken."""
    shown = typed(told, f"kubectl run probe --image=nginx -n {namespace} --dry-run=server -o yaml")
    return "schedulerName: fargate-scheduler" in shown


def test_selectors_are_enough_and_an_entry_of_the_file_leads_into_another_account_as_long_as_it_is_there(
    told: str,
) -> None:
    small, far, describe, foreign, wide, take, watch, back = suggested(told)[12:20]
    for command in (small, far, foreign):
        typed(told, command)
    typed(told, "kubectl wait --for=condition=Ready fp/small fp/far --timeout=20s")
    assert ":fargateprofile/demo/small/" in typed(told, "kubectl describe fp small")
    assert "arn:aws:eks:eu-west-1:111122223333:fargateprofile/prod/far/" in typed(told, describe)
    wait_for(
        lambda: re.search(r"^shop .* ClusterNotAllowed .*namespace shop", typed(told, wide), re.M), SOON, "refused"
    )
    typed(told, take)
    wait_for(lambda: "ClusterNotAllowed" in typed(told, watch, 2), AFTER_A_WHILE, "its entry has gone")
    typed(told, "kubectl delete fp far --wait=false")
    says = "kubectl get fp far -o jsonpath='{.status.conditions[0].message}'"
    wait_for(
        lambda: "have the clusters file let namespace default name prod-eu again" in typed(told, says),
        SOON,
        "the deletion waits",
    )
    typed(told, back)
    typed(told, "kubectl wait --for=delete fp/far --timeout=30s")
    typed(told, "kubectl delete fp small")
    typed(told, "kubectl delete fp far -n shop")


def test_an_external_id_that_is_not_agreed_on_is_told_and_a_file_that_is_not_valid_stays_without_effect(
    told: str,
) -> None:
    file = Path(environ(told)["CLUSTERS_FILE"])
    good, log = file.read_text(), Path(re.findall(r"operator's log: (\S+)", told)[0])
    file.write_text(good.replace("fargate-operator-3f9c", "another"))
    wait_for(lambda: "failed credentials" in log.read_text(), AFTER_A_WHILE, "the role can't be assumed")
    typed(told, suggested(told)[13])
    wait_for(lambda: reasons(told).get("far") == "CredentialsRefused", AFTER_A_WHILE, "that is said")
    file.write_text(good)
    typed(told, "kubectl wait --for=condition=Ready fp/far --timeout=60s")
    file.write_text("clusters: [")
    wait_for(lambda: "the clusters file is refused" in log.read_text(), AFTER_A_WHILE, "that is logged")
    assert reasons(told)["far"] == "Active"
    file.write_text(good)
    typed(told, "kubectl delete fp far")


def test_of_the_sample_the_first_object_is_made_and_the_second_names_a_cluster_that_the_file_does_not_have(
    told: str,
) -> None:
    typed(told, suggested(told)[20])
    expected = {"new-profile-7": "Active", "every-field": "ClusterNotAllowed"}
    wait_for(lambda: reasons(told).items() >= expected.items(), AFTER_A_WHILE, "both are told")
    typed(told, "kubectl delete -f sample-crd.yaml")


def reasons(told: str) -> dict[str, str]:
    """Return the reason of Ready of each object."""
    ready = '{.status.conditions[?(@.type=="Ready")].reason}'
    lines = typed(told, f"kubectl get fp -o jsonpath='{{range .items[*]}}{{.metadata.name}} {ready}{{\"\\n\"}}{{end}}'")
    return dict(line.split() for line in lines.splitlines() if " " in line.strip())


def applied(told: str, change: dict[str, object]) -> None:
    """Apply the manifest that the text names, edited as it says."""
    web = Path(re.findall(r"^1\. kubectl apply -f (\S+)$", told, re.MULTILINE)[0])
    obj = yaml.safe_load(web.read_text())
    edited = web.with_name("edited.yaml")
    edited.write_text(json.dumps(obj | {"metadata": {"name": "edited"}, "spec": obj["spec"] | change}))
    typed(told, f"kubectl apply -f {edited}")


@pytest.mark.parametrize(
    ("after", "field", "reason"),
    [
        ("Fargate may not assume it", "podExecutionRoleArn", "RoleNotTrusted"),
        ("has no policy at all", "podExecutionRoleArn", "RoleWithoutPolicy"),
        ("public", "subnets", "SubnetPublic"),
        ("of another VPC", "subnets", "SubnetOfOtherVpc"),
        ("in a Local Zone", "subnets", "SubnetUnsupportedZone"),
    ],
)
def test_a_role_or_subnet_that_it_names_is_refused_for_what_it_is(
    told: str, after: str, field: str, reason: str
) -> None:
    (value,) = re.findall(rf"^  (\S+): {after}$", told, re.MULTILINE)
    applied(told, {field: [value] if field == "subnets" else value})
    wait_for(lambda: reasons(told).get("edited") == reason, SOON, f"edited is refused: {reason}")
    typed(told, "kubectl delete fp edited")


@pytest.mark.parametrize(
    ("word", "reason"), [("throttle", "Throttled"), ("silence", "AwsUnreachable"), ("deny", "AccessDenied")]
)
def test_a_word_that_is_typed_lets_aws_fail_and_heal_mends_it(box: Sandbox, word: str, reason: str) -> None:
    assert re.search(rf"^  {word}: ", box.told, re.MULTILINE)
    box.typed(f"{word}\n")
    applied(box.told, {})
    wait_for(lambda: reasons(box.told).get("edited") == reason, SOON, f"edited shows {reason}")
    box.typed("heal\n")
    wait_for(lambda: reasons(box.told).get("edited") == "Active", AFTER_A_WHILE, "edited is Ready")
    typed(box.told, "kubectl delete fp edited")


def test_a_word_that_is_none_is_answered_with_those_that_are(box: Sandbox) -> None:
    assert all(word in box.typed("help\n") for word in ("throttle", "heal"))


def test_with_a_controller_manager_a_deleted_namespace_goes_and_roles_are_aggregated(told: str) -> None:
    if find_manager(make=False) is None:
        assert "There is no kube-controller-manager" in told
        return
    typed(told, "kubectl create namespace old")
    assert "deleted" in typed(told, "kubectl delete namespace old")
    assert "old" not in typed(told, "kubectl get namespaces")
    assert "fargateprofiles" in typed(told, "kubectl get clusterrole edit -o yaml")


def listed_by_the_sdk(told: str, cluster: str) -> list[str]:
    """Return what `aws eks list-fargate-profiles` shows with these variables: the CLI and boto3 read the same ones."""
    printed = {name: value for name, value in environ(told).items() if name.startswith("AWS_")}
    eks = boto3.client(
        "eks",
        region_name=printed.get("AWS_REGION") or printed["AWS_DEFAULT_REGION"],
        endpoint_url=printed["AWS_ENDPOINT_URL"],
        aws_access_key_id=printed["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=printed["AWS_SECRET_ACCESS_KEY"],
    )
    names: list[str] = eks.list_fargate_profiles(clusterName=cluster)["fargateProfileNames"]
    return names
