"""doctor: what it asks for and with which rights, and how it tells what its checks say; nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kube
from aws import Aws, Read
from checks import CHECKS, LOGGING, READS, WEBHOOK, Line
from clusters import View
from controller import main
from doctor import MOST_SECONDS, Looks, doctor, told
from entries import Entries, Entry
from limits import Settings
from pods import COMPUTE_TYPE, PROFILE_LABEL
from sites import Homes, Sites, There
from tests.docs import table
from tests.fakes import aws as fake_aws
from tests.fakes.apiserver import kubeconfig, serve
from tests.harness import Bench
from tests.unit.conftest import SPOKE, clusters_file
from tests.unit.test_checks import HOOK, NOW, deployment
from tests.unit.test_clusters import ONE, bundle
from tests.unit.test_commands import hold_to_the_document
from tests.unit.test_fluentbit import EXAMPLES
from tests.unit.test_prune import BY_DOCTOR
from wire import micro_time

if TYPE_CHECKING:
    from tests.fakes.aws import World

Object = dict[str, Any]
Told = tuple[int, str, str]


def kubernetes(*objects: Object) -> list[Object]:
    """Return what a sound cluster has, and what is added to it."""
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each}} for each in ("web", "kube-system")
    ]
    hooks = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": WEBHOOK}, "webhooks": [HOOK],
    }  # fmt: skip
    meta = {"name": "coredns", "namespace": "kube-system"}
    coredns = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, **deployment()}
    node = {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "fargate-1", "labels": {COMPUTE_TYPE: "fargate"}},
        "status": {"nodeInfo": {"kubeletVersion": "v1.34.1-eks-1"}},
    }  # fmt: skip
    at = micro_time(datetime.now(UTC))
    lease = {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "fargate-operator", "namespace": "default"},
        "spec": {"holderIdentity": "operator-1", "renewTime": at},
    }  # fmt: skip
    return [*namespaces, hooks, coredns, node, lease, *objects]


def logs(data: Object) -> list[Object]:
    observed = {"name": LOGGING[0], "labels": {LOGGING[0]: "enabled"}}
    meta = {"namespace": LOGGING[0], "name": LOGGING[1]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": observed},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data},
    ]


@pytest.fixture
def sound(
    b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Told]]:
    """Return a runner of doctor in a cluster of which all is well, proven to be that of EKS; it must not write."""
    monkeypatch.setattr(kube.Kube, "verified", True)
    monkeypatch.setattr("doctor.QUIET_SECONDS", 600.0)  # however slow this machine is
    b.world.set_certificate_authority("demo", bundle(ONE))
    b.world.put_entry("demo", b.world.roles["good"])
    b.world.add_profile("demo", "web", b.world.roles["good"], [{"namespace": "web"}], list(b.world.private_subnets))
    for each in kubernetes():
        b.api.apply(each)
    with serve(b.api) as server:
        path = kubeconfig(server.url, tmp_path / "kubeconfig")
        known = json.loads(path.read_text())
        known["clusters"][0]["cluster"]["certificate-authority-data"] = bundle(ONE)
        path.write_text(json.dumps(known))
        monkeypatch.setenv("KUBECONFIG", str(path))

        def run(*arguments: str) -> Told:
            b.manners.clear()
            b.api.clear_log()
            given = () if "--cluster" in arguments else ("--cluster", "demo")
            code = main(["doctor", *given, *arguments, "--region", b.world.region], {})
            assert [call.operation for call in b.manners.writes()] == []
            assert b.api.writes() == []
            return code, *capsys.readouterr()

        yield run


def verdicts(out: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in out.splitlines()[:-1]:
        verdict, name = line.split()[:2]
        found.setdefault(name, set()).add(verdict)
    return found


def test_of_a_sound_cluster_every_check_is_ok_and_no_line_is_a_finding(sound: Any) -> None:
    code, out, err = sound()
    found = verdicts(out)
    assert (code, found.pop("controller"), err) == (0, {"ok"}, "")
    assert found == {each.name: {"ok"} for each in CHECKS if each.name != "controller"}
    assert out.splitlines()[-1] == "Cluster demo: 20 ok."


def test_findings_end_with_1_and_are_told_with_what_mends_them(b: Bench, sound: Any) -> None:
    b.world.add_profile("demo", "api", b.world.roles["good"], [{"namespace": "api"}], list(b.world.private_subnets))
    code, out, _ = sound()
    assert code == 1
    warned = (
        "warn    namespaces  There is no namespace api, which profile api selects. Make it, or correct the selector."
    )
    assert warned in out.splitlines()
    assert out.splitlines()[-1] == "Cluster demo: 1 warn, 19 ok."


# Rights


def test_where_nothing_can_be_read_all_is_unknown_with_the_permissions_and_it_ends_with_2(b: Bench, sound: Any) -> None:
    b.manners.fail("*", fake_aws.error("AccessDeniedException", 403, "no"), times=999)
    code, out, err = sound()
    assert (code, err) == (2, "")
    assert {each for found in verdicts(out).values() for each in found} == {"unknown"}
    assert len(verdicts(out)) == len(CHECKS)
    assert all(f"takes {READS[name][1]}" in out for name in ("home",))


def test_what_aws_refuses_alone_is_unknown_alone_and_named(b: Bench, sound: Any) -> None:
    for operation in ("GetServiceQuota", "DescribeVpcAttribute", "DescribeRouteTables", "ListRolePolicies"):
        b.manners.fail(operation, fake_aws.error("AccessDeniedException", 403, "no"), times=99)
    code, out, _ = sound()
    assert code == 2
    assert {name for name, each in verdicts(out).items() if "unknown" in each} == {"quotas", "dns", "network", "roles"}
    for permission in ("servicequotas:GetServiceQuota", "ec2:DescribeVpcAttribute", "ec2:DescribeRouteTables"):
        assert permission in out


def test_what_kubernetes_refuses_alone_is_unknown_alone_and_named(b: Bench, sound: Any) -> None:
    for resource in ("nodes", "pods", "namespaces"):
        b.api.forbid("list", resource)
    for resource in ("deployments", "configmaps", "leases", "mutatingwebhookconfigurations"):
        b.api.forbid("get", resource)
    code, out, _ = sound()
    assert code == 2
    blind = {name for name, each in verdicts(out).items() if "unknown" in each}
    assert blind == {
        "webhook", "namespaces", "coredns", "logging", "kubelets", "finished", "quotas", "orphans", "controller"
    }  # fmt: skip
    for name in ("webhook", "namespaces", "coredns", "logging", "pods", "lease"):
        assert READS[name][1] in out


def test_a_cluster_that_is_not_proven_to_be_that_of_eks_is_not_asked(
    b: Bench, sound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube.Kube, "verified", False)
    code, out, _ = sound()
    assert (code, {request.method for request in b.api.log}) == (2, {"POST"}), "but for what it may do"
    assert verdicts(out)["coredns"] == verdicts(out)["controller"] == {"unknown"}
    assert verdicts(out)["dns"] == verdicts(out)["roles"] == {"ok"}
    assert "Whether we talk to EKS cluster demo is unknown" in out


def test_another_cluster_of_eks_is_looked_at_without_kubernetes(b: Bench, sound: Any) -> None:
    b.world.add_cluster("other")
    code, out, _ = sound("--cluster", "other")
    assert (code, {request.method for request in b.api.log}) == (2, {"POST"})
    assert (verdicts(out)["profiles"], verdicts(out)["webhook"]) == ({"ok"}, {"unknown"})


def test_of_an_entry_of_the_clusters_file_its_own_account_is_asked_and_not_the_cluster_that_we_talk_to(
    b: Bench, sound: Any, spoke: World, tmp_path: Path
) -> None:
    spoke.add_profile("prod", "theirs", spoke.roles["good"], [{"namespace": "x"}], list(spoke.private_subnets))
    code, out, _ = sound("--cluster", "prod-alias", "--clusters-file", str(clusters_file(tmp_path)), "-o", "json")
    found = json.loads(out)
    assert (code, found["cluster"], found["proven"]) == (2, "prod-eu", False), "as objects name it"
    assert {each["check"]: each["verdict"] for each in found["checks"]}["webhook"] == "unknown"
    asked = [call for call in b.world.everywhere() if call.service != "sts"]
    assert {call.account for call in asked} == {SPOKE}
    assert not [request for request in b.api.log if request.path.endswith(("/nodes", "/pods", "/fargateprofiles"))]


def test_a_role_that_cant_be_assumed_is_told_once_and_no_permission_is_blamed_for_it(
    b: Bench, sound: Any, spoke: World, tmp_path: Path
) -> None:
    spoke.let_in(external_id="another")
    code, out, err = sound("--cluster", "prod-eu", "--clusters-file", str(clusters_file(tmp_path)))
    assert (code, out) == (2, "")
    said = err.splitlines()[-1]
    assert f"arn:aws:iam::{SPOKE}:role/fargate-operator can't be assumed: " in said
    assert "it takes" not in err


def test_an_object_counts_for_the_cluster_that_it_names_by_whichever_name(b: Bench, sound: Any, tmp_path: Path) -> None:
    file = tmp_path / "listed.yaml"
    file.write_text("clusters: [{name: demo}, {name: ours, cluster: demo}, {name: theirs, cluster: other}]")
    for number in range(12):
        b.apply(f"web-{number}", clusterName=("demo", "ours", "theirs")[number % 3])
    flags = "--cluster-name", "demo", "--clusters-file", str(file)
    assert "the objects want" not in sound("--cluster", "demo", *flags)[1]
    for number in range(12, 15):
        b.apply(f"web-{number}", clusterName="ours")
    assert "the quota is 10, the objects want 12." in sound("--cluster", "ours", *flags)[1]


def test_a_cluster_that_eks_does_not_have_is_no_result(sound: Any) -> None:
    code, out, err = sound("--cluster", "none")
    assert (code, out) == (2, "")
    assert "EKS has no cluster none in us-east-1: correct --cluster-name or --region." in err


def test_a_cluster_that_eks_does_not_have_is_mended_where_it_stands(sound: Any, tmp_path: Path) -> None:
    file = tmp_path / "listed.yaml"
    file.write_text("clusters: [{name: prod, cluster: none}]")
    flags = "--cluster-name", "gone", "--clusters-file", str(file)
    assert (
        "EKS has no cluster none in us-east-1: correct its entry in the clusters file."
        in sound("--cluster", "prod", *flags)[2]
    )
    assert (
        "EKS has no cluster gone in us-east-1: correct --cluster-name or --region."
        in sound("--cluster", "gone", *flags)[2]
    )


def test_where_kubernetes_can_not_be_reached_what_aws_says_is_told_all_the_same(
    sound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    code, out, _ = sound()
    assert code == 2
    assert (verdicts(out)["dns"], verdicts(out)["coredns"]) == ({"ok"}, {"unknown"})


def test_an_answer_of_aws_without_its_middle_is_unknown_and_not_an_absence(b: Bench, sound: Any) -> None:
    for each in logs(EXAMPLES["to Firehose"]):
        b.api.apply(each)
    for operation in ("GetServiceQuota", "DescribeVpcAttribute", "ListAttachedRolePolicies"):
        b.manners.fail(operation, fake_aws.BROKEN, times=99)
    code, out, _ = sound()
    assert code == 2
    for name in ("quotas", "dns", "logging"):
        assert verdicts(out)[name] == {"unknown"}, name


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Object], Object | None]], None]:
    """Return what has one of AWS's operations answer what a function makes of the request."""

    def instead(operation: str, answer: Callable[[Object], Object | None]) -> None:
        ask = Aws.ask

        def asked(edge: Aws, service: str, of: str, **request: Any) -> Object | None:
            return answer(request) if of == operation else ask(edge, service, of, **request)

        monkeypatch.setattr(Aws, "ask", asked)

    return instead


@pytest.mark.parametrize(
    ("check", "operation", "answer"),
    [
        ("quotas", "get_service_quota", {"Quota": {}}),
        ("quotas", "get_service_quota", {"Quota": {"Value": None, "QuotaCode": "L-1"}}),
        ("dns", "describe_vpc_attribute", None),
        ("dns", "describe_vpc_attribute", {"EnableDnsSupport": {}, "EnableDnsHostnames": {}}),
        ("logging", "list_attached_role_policies", {"AttachedPolicies": [{}]}),
        ("logging", "list_attached_role_policies", {"AttachedPolicies": [], "IsTruncated": True}),
        ("logging", "list_role_policies", {}),
        ("logging", "get_policy", {"Policy": {"PolicyName": "a"}}),
    ],
)
def test_whatever_aws_leaves_out_is_unknown_and_ends_no_command(
    b: Bench, sound: Any, answered: Any, check: str, operation: str, answer: Object | None
) -> None:
    for each in logs(EXAMPLES["to Firehose"]):
        b.api.apply(each)
    answered(operation, lambda _: answer)
    code, out, err = sound()
    assert (code, verdicts(out)[check], err) == (2, {"unknown"}, "")


def test_of_a_cluster_without_a_vpc_the_dns_is_unknown_and_ec2_not_asked(b: Bench, sound: Any) -> None:
    b.world._eks.clusters["demo"].resources_vpc_config["vpcId"] = ""
    code, out, _ = sound()
    assert (code, verdicts(out)["dns"], b.manners.count("DescribeVpcAttribute")) == (2, {"unknown"}, 0)
    assert "EKS names no VPC of cluster demo" in out


def test_the_policies_of_all_pages_count(b: Bench, sound: Any, answered: Any) -> None:
    for each in logs(EXAMPLES["to Firehose"]):
        b.api.apply(each)
    other, may = (
        {"Statement": [{"Effect": "Allow", "Action": each, "Resource": "*"}]} for each in ("s3:*", "firehose:*")
    )
    first, last = {"PolicyNames": ["a"], "IsTruncated": True, "Marker": "next"}, {"PolicyNames": ["logs"]}
    answered("list_role_policies", lambda request: last if request.get("Marker") == "next" else first)
    answered("get_role_policy", lambda request: {"PolicyDocument": may if request["PolicyName"] == "logs" else other})
    code, out, _ = sound()
    assert (code, verdicts(out)["logging"]) == (0, {"ok"})


def test_ctrl_c_ends_it_at_once(b: Bench, sound: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("doctor.whole_view", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sound()
    assert b.manners.count("GetServiceQuota") == 0


def test_what_is_asked_of_aws_beside_the_controllers_own_is_what_the_image_has_for_it(b: Bench, sound: Any) -> None:
    for each in logs(EXAMPLES["to CloudWatch, filtered and parsed"]):
        b.api.apply(each)
    b.world.add_profile(
        "demo", "api", b.world.roles["inline-policy"], [{"namespace": "web"}], [b.world.private_subnets[0]]
    )
    code, out, _ = sound()
    assert (code, verdicts(out)["logging"]) == (1, {"fail"})
    asked = {(call.service.replace("servicequotas", "service-quotas"), call.operation) for call in b.manners.calls}
    usual = {each for each in asked if each[1] in READ_BY_THE_CONTROLLER}
    assert asked - usual == BY_DOCTOR


READ_BY_THE_CONTROLLER = {
    "GetCallerIdentity", "DescribeCluster", "ListFargateProfiles", "DescribeFargateProfile", "DescribeSubnets",
    "DescribeAccessEntry", "DescribeRouteTables", "GetRole", "ListAttachedRolePolicies", "ListRolePolicies",
}  # fmt: skip


def test_the_document_names_the_permissions_of_each_check() -> None:
    rows = {name: permissions for name, _, permissions in table("docs/commands.md", "check of `doctor`")}
    wanted = {check.name: {each for read in check.reads for each in READS[read][1].split(", ")} for check in CHECKS}
    assert rows.keys() == wanted.keys()
    for name, permissions in rows.items():
        assert {*permissions.split(", ")} == wanted[name], name


# How it is told


def test_json_is_as_documented(b: Bench, sound: Any) -> None:
    b.world.add_profile("demo", "api", b.world.roles["good"], [{"namespace": "api"}], list(b.world.private_subnets))
    b.api.forbid("list", "pods")
    code, out, _ = sound("-o", "json")
    answer = json.loads(out)
    assert (code, answer["cluster"], answer["region"], answer["proven"]) == (2, "demo", "us-east-1", True)
    assert [each["verdict"] for each in answer["checks"] if each["check"] == "namespaces"] == ["warn"]
    assert sum(answer["sum"].values()) == len(answer["checks"])
    hold_to_the_document([out], "field of `doctor -o json`")


def test_what_others_wrote_is_shown_on_one_line_and_not_at_any_length(b: Bench, sound: Any) -> None:
    section = "[OUTPUT]\n    Name \x1b[2Jcloudwatch\n    Match *\n[" + "X" * 5000 + "]\n    Name a\n"
    for each in logs({"output.conf": section}):
        b.api.apply(each)
    code, out, _ = sound()
    assert code == 1
    assert "\x1b" not in out
    assert "\\u001b[2jcloudwatch" in out
    assert max(map(len, out.splitlines())) < 2100


def test_unknown_by_what_was_read_is_no_error_and_unread_goes_before_a_finding() -> None:
    def code(*lines: Line) -> int:
        return told([("a", each) for each in lines], Entry("demo", "demo", "eu-west-1"), proven=True, form="text")[0]

    assert code(Line("ok", "x"), Line("unknown", "x")) == 0
    assert code(Line("unknown", "x"), Line("warn", "x")) == code(Line("fail", "x")) == 1
    assert code(Line("fail", "x"), Line("unknown", "x", unread=True)) == 2


# Time


class Clock:
    """Goes on by so many seconds each time that it is looked at."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def there(b: Bench) -> There:
    edge = Aws({name: b.world.client(name) for name in ("eks", "ec2", "iam", "sts", "service-quotas")}, b.world.region)
    sites = Sites(Entries(b.world.region, "demo"), edge, b.kube, Settings("demo"), lambda: 0.0)
    assert sites.home
    return There(sites, Homes(sites, lambda: "", Settings("demo")), sites.home)


def looked(b: Bench, seconds: float) -> tuple[int, list[str], list[str]]:
    said: list[str] = []
    code, out = doctor(there(b), Settings("demo"), "text", ("a", "b"), NOW, said.append, Clock(seconds))
    return code, out, said


def test_reading_that_lasts_is_told_and_that_which_does_not_is_silent(b: Bench) -> None:
    assert looked(b, 0.001)[2] == []
    assert looked(b, 1.0)[2][0].startswith("Reading: ")


def test_reading_ends_in_time_and_what_was_not_read_is_unknown(b: Bench) -> None:
    code, out, _ = looked(b, MOST_SECONDS)
    assert code == 2
    assert {line.split()[0] for line in out[:-1]} == {"unknown"}
    assert "not read any more after 120 s" in out[0]


def test_everything_is_read_once_and_before_anything_is_judged(b: Bench) -> None:
    looks = Looks(there(b), Settings("demo"), lambda _: None, lambda: 0.0)
    cluster = looks.at_all(("a", "b"), NOW)
    assert isinstance(cluster.view, Read)
    b.manners.clear()
    first, second = cluster.view(), cluster.view()
    assert isinstance(first, View)
    assert first is second
    assert b.manners.count("ListFargateProfiles") == 1


def test_credentials_of_another_account_are_not_believed(b: Bench, sound: Any) -> None:
    code, out, _ = sound("--cluster", "arn:aws:eks:us-east-1:999999999999:cluster/demo")
    assert code == 2
    assert {each for found in verdicts(out).values() for each in found} == {"unknown"}
    assert {call.operation for call in b.manners.calls} == {"GetCallerIdentity"}
    assert "Cluster demo is of account 999999999999" in out


def test_nobody_asks_for_more_than_is_named(b: Bench) -> None:
    assert PROFILE_LABEL == "eks.amazonaws.com/fargate-profile"
    assert all(read in READS for check in CHECKS for read in check.reads)
    assert all(check.reads for check in CHECKS)
