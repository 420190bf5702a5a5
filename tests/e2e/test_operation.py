"""The flags of those who run the operator, each on a real API server: scope, limits, logs, probes and metrics."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.client import UNSEEN
from tests.e2e.support import ROOT, User, ok, profiles, token_of
from tests.unit.test_clusters import ONE, bundle
from tests.unit.test_kube import self_signed
from tests.unit.test_manifests import account_of_who_scrapes, namespaced_variant, optional
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.support import Operator
    from tests.fakes.aws import World

Object = dict[str, Any]
ACCOUNT = {"namespace": "default", "name": "fargate"}  # of the operator, by rbac.yaml
OWNER = "fargateprofiles.jicomusic.com/owner"


def test_rights_in_single_namespaces_are_enough_for_an_operator_that_serves_them(
    control_plane: ControlPlane, user: User, aws: World, new_operator: NewOperator
) -> None:
    """With the variant of rbac.yaml's comments, in two namespaces of three."""
    served, other = user.new_namespace("-served"), user.new_namespace("-other")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "scoped", "namespace": served}}
    items = [account]
    for namespace in (user.namespace, served):
        role, binding = namespaced_variant()
        role["metadata"]["namespace"] = binding["metadata"]["namespace"] = namespace
        binding["subjects"] = [{"kind": "ServiceAccount", "name": "scoped", "namespace": served}]
        items += [role, binding]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    ok(control_plane.kubectl("apply", "-f", "-", input=listed))
    before = len(control_plane.audit())
    operator = new_operator(
        token=token_of(control_plane, f"{served}:scoped"),
        WATCH_NAMESPACE=f"{user.namespace},{served}",
        CONTROLLER_ID="ours",
    )
    operator.start()
    user.apply("web")
    user.apply("api", namespace=served)
    user.apply("elsewhere", namespace=other)
    user.wait_ready("web")
    user.wait_ready("api", namespace=served)
    assert sorted(profiles(aws)) == ["api", "web"]
    assert (user.get("elsewhere", namespace=other) or {})["status"] == UNSEEN
    user.delete("web")
    user.wait_gone("web")
    ours = [each for each in control_plane.audit()[before:] if each["user"]["username"].endswith(":scoped")]
    assert {each["responseStatus"]["code"] for each in ours if "responseStatus" in each} <= {200, 201}


def test_an_operator_that_serves_some_labels_leaves_the_others_alone_and_takes_no_profile_for_an_orphan(
    user: User, aws: World, new_operator: NewOperator
) -> None:
    first = new_operator(WATCH_SELECTOR="shard=a", RESYNC_SECONDS="1")
    second = new_operator(WATCH_SELECTOR="shard in (b, c)", RESYNC_SECONDS="1")
    for name in ("one", "two"):
        user.apply(name)
    first.start()
    second.start()
    ok(user.kubectl("label", "fp", "one", "shard=a"))
    user.wait_ready("one")
    assert (user.get("two") or {})["status"] == UNSEEN
    ok(user.kubectl("label", "fp", "two", "shard=b"))
    user.wait_ready("two")
    looks = aws.manners.count("ListFargateProfiles")
    wait_for(lambda: aws.manners.count("ListFargateProfiles") > looks + 3, SOON, "both look at the cluster again")
    for operator, name in ((first, "one"), (second, "two")):
        assert "orphan" not in operator.said()
        assert set(re.findall(r"object=[\w-]+/(\w+)", operator.said())) == {name}


def test_what_objects_may_not_ask_for_is_refused_and_what_serves_is_left_alone(
    user: User, aws: World, new_operator: NewOperator
) -> None:
    operator = new_operator()
    operator.start()
    user.apply("web")
    user.wait_ready("web")
    assert operator.stop() == 0
    operator.environ |= {"ALLOWED_ROLES": "arn:aws:iam::*:role/team-*", "SELECTOR_NAMESPACES": "own"}
    operator.start()
    user.apply("role", selectors=[{"namespace": user.namespace}])
    user.wait_reason("RoleNotAllowed", "role")
    user.apply("reach", podExecutionRoleArn="arn:aws:iam::123456789012:role/team-a")
    user.wait_reason("SelectorNotAllowed", "reach")
    other = user.manifest("cluster", selectors=[{"namespace": user.namespace}], clusterName="prod")
    other["spec"]["podExecutionRoleArn"] = "arn:aws:iam::123456789012:role/team-a"
    ok(user.kubectl("apply", "-f", "-", stdin=json.dumps(other)))
    user.wait_reason("ClusterNotAllowed", "cluster")
    assert user.ready("web")
    assert list(profiles(aws)) == ["web"]
    user.delete("role", "reach", "cluster", "web")
    user.wait_gone("role", "reach", "cluster", "web")


def test_every_line_of_a_json_log_parses_and_a_level_is_kept(user: User, aws: World, new_operator: NewOperator) -> None:
    talks, warns = new_operator(LOG_FORMAT="json"), new_operator(LOG_LEVEL="warning", WATCH_NAMESPACE="nowhere")
    talks.start(until='"event": "listed"')
    warns.start(until="")
    user.apply("web")
    user.wait_ready("web")
    user.apply("bad", podExecutionRoleArn="arn:aws:iam::123456789012:role/missing")
    user.wait_reason("RoleNotFound", "bad")
    assert talks.stop() == warns.stop() == 0
    lines = [json.loads(line) for line in talks.said().splitlines()]
    about = [line for line in lines if line.get("object") == f"{user.namespace}/web"]
    assert [line["reason"] for line in about if line["event"] == "done"] == ["Guarded", "Creating", "Created"]
    assert [line["level"] for line in lines if line.get("reason") == "Refused"] == ["warning"]
    assert " INFO " not in warns.said()


def test_probes_and_metrics_are_served_where_told_and_nowhere_else(
    user: User, aws: World, new_operator: NewOperator
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    operator = new_operator(HEALTH_ADDRESS="127.0.0.1", HEALTH_PORT=str(port))
    operator.start()
    user.apply("web")
    user.wait_ready("web")

    def ask(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    assert (ask("/healthz"), ask("/readyz"), ask("/")[0]) == ((200, "ok\n"), (200, "ok\n"), 404)
    families = {family.name: family for family in text_string_to_metric_families(ask("/metrics")[1])}
    samples = {(each.name, *each.labels.values()): each.value for each in families["fargate_profiles"].samples}
    assert samples["fargate_profiles", aws.cluster, "ACTIVE"] == 1
    _, rule = yaml.safe_load_all((ROOT / "monitoring.yaml").read_text())
    known = {sample.name for family in families.values() for sample in family.samples} | families.keys()
    for alert in rule["spec"]["groups"][0]["rules"]:
        expression = re.sub(r'"[^"]*"|\[\w+\]|\{[^}]*\}', "", alert["expr"])
        assert set(re.findall(r"\b[a-z_]{8,}\b(?!\()", expression)) <= known, alert["alert"]


@pytest.fixture
def to_scrape(control_plane: ControlPlane, user: User) -> Iterator[Callable[[str], None]]:
    """Return what applies a part of rbac.yaml's comments for --metrics-auth, in the user's namespace; it goes after."""
    account, _, role, binding = account_of_who_scrapes()
    name, rbac = f"{user.namespace}-reviews", "rbac.authorization.k8s.io"
    head: Object = {"apiVersion": f"{rbac}/v1", "metadata": {"name": name}}
    ask = {**head, "kind": "ClusterRole", "rules": optional("tokenreviews", "subjectaccessreviews")}
    to_role = {"apiGroup": rbac, "kind": "ClusterRole", "name": name}
    subjects = [{"kind": "ServiceAccount", **ACCOUNT}]
    bound = {**head, "kind": "ClusterRoleBinding", "roleRef": to_role, "subjects": subjects}
    account["metadata"]["namespace"] = binding["subjects"][0]["namespace"] = user.namespace
    parts = {"account": [account], "right to ask": [ask, bound], "right to read": [role, binding]}

    def apply(part: str) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": parts[part]}
        ok(control_plane.kubectl("apply", "-f", "-", input=json.dumps(listed)))

    yield apply
    for each in (*parts["right to ask"], *parts["right to read"]):
        control_plane.kubectl("delete", "--ignore-not-found", each["kind"], each["metadata"]["name"])


def test_metrics_are_read_over_tls_by_whom_the_api_server_lets_get_them_and_probes_stay_open(
    control_plane: ControlPlane,
    user: User,
    new_operator: NewOperator,
    to_scrape: Callable[[str], None],
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        health, port = one.getsockname()[1], two.getsockname()[1]
    file = self_signed(tmp_path / "tls.pem")
    operator = new_operator(
        HEALTH_ADDRESS="127.0.0.1",
        HEALTH_PORT=str(health),
        METRICS_AUTH="true",
        METRICS_PORT=str(port),
        METRICS_CERT_FILE=str(file),
        METRICS_KEY_FILE=str(file),
    )
    operator.start()
    context = ssl.create_default_context(cafile=str(file))

    def ask(token: str, url: str = f"https://127.0.0.1:{port}/metrics") -> tuple[int, str]:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    to_scrape("account")
    token = token_of(control_plane, f"{user.namespace}:{account_of_who_scrapes()[0]['metadata']['name']}")
    assert ask(token)[0] == 503
    assert "tokenreviews.authentication.k8s.io is forbidden" in operator.said()
    to_scrape("right to ask")
    wait_for(lambda: ask(token)[0] == 403, SOON, "the operator may ask")
    assert ask("nobody-s")[0] == 401
    assert ask(token_of(control_plane, ":".join(ACCOUNT.values()), "--audience=sts.amazonaws.com"))[0] == 401
    to_scrape("right to read")
    wait_for(lambda: ask(token)[0] == 200, SOON, "a refusal is forgotten")
    assert "workqueue_depth" in ask(token)[1]
    plain = f"http://127.0.0.1:{health}"
    assert [ask("", plain + path)[0] for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 404]
    assert token not in operator.said()


def test_users_with_the_built_in_roles_see_and_edit_objects_and_write_no_status(
    control_plane: ControlPlane, user: User
) -> None:
    """The aggregation itself is the kube-controller-manager's, which is not here: bound are the roles themselves."""
    for name, role in (("viewer", "fargateprofiles-view"), ("editor", "fargateprofiles-edit")):
        ok(user.kubectl("create", "rolebinding", name, f"--clusterrole={role}", f"--user={name}"))

    def may(who: str, verb: str, what: str = "fargateprofiles.jicomusic.com") -> bool:
        answer = user.kubectl("auth", "can-i", verb, what, f"--as={who}")
        return answer.stdout.strip() == "yes"

    assert [may("viewer", verb) for verb in ("get", "list", "watch")] == [True] * 3
    assert [may("viewer", verb) for verb in ("create", "update", "patch", "delete")] == [False] * 4
    assert [may("editor", verb) for verb in ("create", "update", "patch", "delete")] == [True] * 4
    for who in ("viewer", "editor"):
        status = ("fargateprofiles.jicomusic.com", "--subresource=status")
        answers = [user.kubectl("auth", "can-i", verb, *status, f"--as={who}") for verb in ("update", "patch")]
        assert [answer.stdout.strip() for answer in answers] == ["no", "no"]


def test_a_false_status_is_put_right_within_a_minute(user: User, aws: World, operator: Operator) -> None:
    user.apply()
    user.wait_ready()
    before = (user.get() or {})["status"]
    false = [{**each, "status": "False", "reason": "Refused"} for each in before["conditions"]]
    change = json.dumps({"status": {"conditions": false, "profileArn": None}})
    ok(user.kubectl("patch", "fp", "web", "--subresource=status", "--type=merge", "-p", change))
    wait_for(lambda: (user.get() or {})["status"].get("profileArn"), 60, "status has the ARN again")
    after = (user.get() or {})["status"]
    for status in (before, after):
        status["conditions"][0].pop("lastTransitionTime")
    assert after == before


@pytest.mark.parametrize("same", [True, False])
def test_the_cluster_is_known_by_its_certificate_authority(
    control_plane: ControlPlane, user: User, aws: World, new_operator: NewOperator, same: bool
) -> None:
    authority = base64.b64encode(control_plane.ca.read_bytes()).decode()
    aws.set_certificate_authority(aws.cluster, authority if same else bundle(ONE))
    operator = new_operator()
    operator.start()
    user.apply()
    user.wait_ready()
    assert ("ClusterElsewhere" in operator.said()) is not same
    assert ("ClusterElsewhere" in ok(user.kubectl("get", "events"))) is not same
