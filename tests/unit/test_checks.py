"""The checks of doctor: of each what is well, what is a finding and what nobody can say from what was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from answers import Refused
from aws import HealthIssue, Profile, Read, Selector, selector
from checks import (
    CHECKS,
    COREDNS,
    PATCH_COREDNS,
    QUOTA_ROWS,
    READS,
    WEBHOOK,
    Line,
    Seen,
    Unread,
    refused,
    takes_pods,
)
from clusters import View
from doctor import examined
from facts import ClusterFact, EntryFact, RoleFact, Route, SubnetFact
from limits import Settings
from pods import COMPUTE_TYPE, PROFILE_LABEL
from spec import CONTROLLER_KEY, OWNER_KEY, RETAINED_KEY
from surroundings import Facts, Home, permits
from tests.unit.test_fluentbit import EXAMPLES, WHOLE

Object = dict[str, Any]
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ACCOUNT = "123456789012"
HOME = Home("aws", "eu-west-1", ACCOUNT, "demo", "")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/pods"
TRUST = {
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "eks-fargate-pods.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]
}  # fmt: skip
GOOD_ROLE = RoleFact(
    arn=ROLE,
    trust=TRUST,
    policies=frozenset({"AmazonEKSFargatePodExecutionRolePolicy"}),
    created_at=NOW - timedelta(days=1),
)
GOOD_SUBNET = SubnetFact(vpc="vpc-1", zone="eu-west-1a", routes=(Route("0.0.0.0/0", "nat-1"),), free=100)
PUBLIC_SUBNET = replace(GOOD_SUBNET, routes=(Route("0.0.0.0/0", "igw-1"),))
CLUSTER = ClusterFact(status="ACTIVE", vpc="vpc-1", version="1.33", mode="API_AND_CONFIG_MAP")
GOOD_ENTRY, GONE = EntryFact(kind="FARGATE_LINUX", created_at=NOW), EntryFact(found=False)


def profile(name: str = "web", *selectors: Selector, status: str = "ACTIVE", **more: Any) -> Profile:
    arn = f"arn:aws:eks:eu-west-1:{ACCOUNT}:fargateprofile/demo/{name}/1"
    chosen = frozenset(selectors or {selector("web", {})})
    return Profile(name, arn, status, NOW, ROLE, chosen, frozenset({"subnet-1"}), **more)


def view(*profiles: Profile) -> View:
    return View(True, {each.name: each for each in profiles or (profile(),)}, 0.0)


def said(value: Any) -> Any:
    return Read(lambda: value)


def lacking(name: str) -> Any:
    """Return what is asked for without the right to it."""

    def ask() -> None:
        raise refused(name)

    return Read(ask)


def namespace(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "uid": f"uid-of-{name}", "labels": labels}}


def node(name: str = "fargate-1", version: str = "v1.33.4-eks-1", kind: str = "fargate") -> Object:
    meta = {"name": name, "labels": {COMPUTE_TYPE: kind}}
    return {"metadata": meta, "status": {"nodeInfo": {"kubeletVersion": version}}}


def pod(name: str = "a", phase: str = "Running", on: str = "fargate-1", given: str = "0.25vCPU 0.5GB") -> Object:
    meta = {
        "name": name, "namespace": "web", "labels": {PROFILE_LABEL: "web"},
        "annotations": {"CapacityProvisioned": given},
    }  # fmt: skip
    return {
        "metadata": meta,
        "spec": {"schedulerName": "fargate-scheduler", "nodeName": on},
        "status": {"phase": phase},
    }


def deployment(ready: int | None = 2, replicas: int = 2, annotation: str = "", labels: Object | None = None) -> Object:
    template = {
        "metadata": {
            "labels": {"k8s-app": "kube-dns"} if labels is None else labels,
            "annotations": {COMPUTE_TYPE: annotation} if annotation else {},
        },
        "spec": {"containers": [{"name": "coredns"}]},
    }
    return {"spec": {"replicas": replicas, "template": template}, "status": {"readyReplicas": ready}}


HOOK: Object = {
    "name": WEBHOOK,
    "namespaceSelector": {},
    "objectSelector": {},
    "rules": [
        {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["pods"], "scope": "*"}
    ],
}
LEASE = {"spec": {"holderIdentity": "operator-1", "renewTime": "2026-11-26T11:59:58.000000Z"}}


def fargate_profile(name: str = "web", **spec: Any) -> Object:
    wanted = {"podExecutionRoleArn": ROLE, "selectors": [{"namespace": "web"}]} | spec
    meta = {"namespace": "default", "name": name, "creationTimestamp": "2026-11-26T10:00:00Z", "uid": "1"}
    return {"metadata": meta, "spec": wanted}


def seen(**other: Any) -> Seen:
    """Return a cluster of which all is well, but for what is other."""
    parts: dict[str, Any] = {
        "home": HOME, "fact": CLUSTER, "view": view(), "dns": {"enableDnsSupport": True, "enableDnsHostnames": True},
        "policies": {}, "objects": [fargate_profile()], "webhook": {"webhooks": [HOOK]},
        "namespaces": {each: namespace(each) for each in ("web", "kube-system")}, "coredns": deployment(),
        "logging": {}, "pods": [pod()], "nodes": {"fargate-1": node()}, "lease": LEASE,
    } | other  # fmt: skip
    reads = {name: each if isinstance(each, Read) else said(each) for name, each in parts.items()}
    reads.setdefault("entries", said({ROLE: said(GOOD_ENTRY)}))
    reads.setdefault("aws_auth", said({}))
    facts = Facts(CLUSTER, {"subnet-1": GOOD_SUBNET}, GOOD_ROLE)
    if "facts" not in parts and not isinstance(parts["view"], Read):
        reads["facts"] = said({name: said(facts) for name in parts["view"].profiles})
    reads.setdefault("facts", lacking("view"))
    limits = {"L-33415657": 10.0, "L-D78D8AF8": 5.0, "L-23414FF3": 5.0, "L-3032A538": 6.0}
    reads["quotas"] = other.get("quotas") or {code: said(limit) for code, limit in limits.items()}
    known: Any = reads
    known |= {"cluster": "demo", "has": lambda who: who.cluster == "demo"}
    return Seen(Settings("demo"), NOW, ("default", "fargate-operator"), **known)


def lines(name: str, cluster: Seen) -> list[Line]:
    (check,) = [each for each in CHECKS if each.name == name]
    return examined(check, cluster)


def verdicts(name: str, **other: Any) -> list[str]:
    return [each.verdict for each in lines(name, seen(**other))]


# All of them


@pytest.mark.parametrize("name", [each.name for each in CHECKS])
def test_of_a_sound_cluster_nothing_is_a_finding_nor_unknown(name: str) -> None:
    assert {each.verdict for each in lines(name, seen())} == {"ok"}
    assert all(each.what for each in lines(name, seen()))


@pytest.mark.parametrize("name", [each.name for each in CHECKS])
def test_where_nothing_can_be_read_each_check_is_unknown_and_names_a_permission_of_its_own(name: str) -> None:
    (check,) = [each for each in CHECKS if each.name == name]
    blind = seen(**{each: lacking(each) for each in READS if each in {part.name for part in fields(Seen)}})
    blind = replace(blind, quotas={row.code: lacking("quotas") for row in QUOTA_ROWS})
    found = examined(check, blind)
    assert {each.verdict for each in found} == {"unknown"}
    assert all(each.unread for each in found)
    assert all(any(READS[read][1] in each.what for read in check.reads) for each in found)


@pytest.mark.parametrize("name", sorted({part.name for part in fields(Seen)} & READS.keys()))
def test_what_can_not_be_read_makes_unknown_only_what_says_that_it_reads_it(name: str) -> None:
    other = {"logging": LOGS, "policies": {ROLE: said([MAY_WRITE])}, "namespaces": OBSERVED} | {name: lacking(name)}
    called_for = {
        "nodes": {"coredns": deployment(2, annotation="ec2")},
        "aws_auth": {"entries": said({ROLE: said(GONE)})},
    }
    cluster = seen(**other | called_for.get(name, {}))
    if name == "quotas":
        cluster = replace(cluster, quotas={row.code: lacking("quotas") for row in QUOTA_ROWS})
    blind = {check.name for check in CHECKS if any(each.unread for each in examined(check, cluster))}
    assert blind
    assert blind <= {check.name for check in CHECKS if name in check.reads}


# Profiles, and what takes pods to them


@pytest.mark.parametrize(
    ("fact", "verdict"),
    [
        (replace(CLUSTER, status="UPDATING"), "warn"),
        (replace(CLUSTER, elsewhere="registered"), "fail"),
        (replace(CLUSTER, elsewhere="local"), "fail"),
    ],
)
def test_a_cluster_that_is_not_active_or_not_in_eks_is_a_finding(fact: ClusterFact, verdict: str) -> None:
    assert verdicts("cluster", fact=fact) == [verdict]


def test_a_profile_that_has_failed_or_is_ill_is_a_finding_in_the_words_of_eks() -> None:
    ill = profile(health=(HealthIssue("AccessDenied", "the role may not pull"),))
    failed = profile("bad", status="CREATE_FAILED")
    found = lines("profiles", seen(view=view(ill, failed)))
    assert [each.verdict for each in found] == ["fail", "fail"]
    assert "CREATE_FAILED" in found[0].what
    assert "AccessDenied: the role may not pull" in found[1].what


def test_without_an_active_profile_no_webhook_is_no_failure() -> None:
    """EKS makes it with the first profile."""
    assert verdicts("webhook", webhook={}, view=View(True, {}, 0.0)) == ["ok"]
    assert verdicts("webhook", webhook={}, view=view(profile(status="CREATING"))) == ["ok"]
    assert verdicts("webhook", webhook={}) == ["fail"]


def test_no_webhook_and_profiles_that_are_hidden_is_unknown() -> None:
    assert verdicts("webhook", webhook={}, view=HIDDEN) == ["unknown"]


HIDDEN = View(True, {}, 0.0, {"web": Refused("AccessDenied", "no")})


@pytest.mark.parametrize(
    "name", ["profiles", "namespaces", "network", "roles", "access", "overlaps", "orphans", "retained"]
)
def test_a_profile_that_eks_does_not_show_is_never_taken_for_well(name: str) -> None:
    assert verdicts(name, view=HIDDEN) == ["unknown"]


@pytest.mark.parametrize(
    "change",
    [
        {"namespaceSelector": {"matchLabels": {"a": "b"}}},
        {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
        {"matchConditions": [{"name": "x", "expression": "false"}]},
        {"rules": [{**HOOK["rules"][0], "operations": ["UPDATE"]}]},
        {"rules": [{**HOOK["rules"][0], "resources": ["services"]}]},
        {"rules": [{**HOOK["rules"][0], "apiGroups": ["apps"]}]},
        {"rules": []},
        {"name": "another"},
    ],
)
def test_a_webhook_that_was_narrowed_is_a_failure(change: Object) -> None:
    assert verdicts("webhook", webhook={"webhooks": [{**HOOK, **change}]}) == ["fail"]


def test_a_rule_for_everything_is_one_for_pods() -> None:
    rule = {"apiGroups": ["", "apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["*/*"]}
    assert takes_pods(rule)
    assert takes_pods({**rule, "resources": ["*"], "scope": "Namespaced"})
    assert not takes_pods({**rule, "scope": "Cluster"})
    assert not takes_pods({**rule, "resources": ["pods/status"]})


def test_a_namespace_that_is_selected_and_not_there_is_a_warning_and_a_pattern_is_none() -> None:
    many = view(profile("a", selector("gone", {}), selector("team-*", {})), profile("b", selector("gone", {})))
    (found,) = lines("namespaces", seen(view=many))
    assert found.verdict == "warn"
    assert "gone, which profiles a, b selects" in found.what


# CoreDNS


def test_coredns_is_well_with_one_replica_that_is_ready() -> None:
    assert verdicts("coredns", coredns=deployment(1)) == ["ok"]
    assert "1 of 2" in lines("coredns", seen(coredns=deployment(1)))[0].what


@pytest.mark.parametrize("ready", [0, None])
def test_coredns_without_a_replica_that_is_ready_is_a_failure(ready: int | None) -> None:
    assert verdicts("coredns", coredns=deployment(ready)) == ["fail"]


@pytest.mark.parametrize(
    ("nodes", "ready", "annotation", "expected"),
    [
        ({"a": node()}, 2, "ec2", ["ok", "warn"]),
        ({"a": node(), "b": node("b", kind="")}, 2, "ec2", ["ok"]),
        ({"a": node()}, 2, "fargate", ["ok"]),
        ({}, 2, "ec2", ["ok", "warn"]),
        ({"a": node()}, 0, "ec2", ["fail"]),
    ],
)
def test_the_annotation_ec2_is_a_finding_only_where_no_node_but_fargates_is(
    nodes: Object, ready: int, annotation: str, expected: Sequence[str]
) -> None:
    found = lines("coredns", seen(coredns=deployment(ready, annotation=annotation), nodes=nodes))
    assert [each.verdict for each in found] == expected
    assert (PATCH_COREDNS in found[-1].mend) == (expected[-1] != "ok")


def test_without_a_deployment_coredns_is_unknown_and_that_is_nothing_that_was_not_read() -> None:
    (found,) = lines("coredns", seen(coredns={}))
    assert (found.verdict, found.unread) == ("unknown", False)


def test_what_mends_coredns_is_a_profile_for_it_where_none_takes_it_and_there_is_no_other_node() -> None:
    (found,) = lines("coredns", seen(coredns=deployment(0)))
    assert "Make a profile that selects namespace kube-system" in found.mend
    mine = view(profile("dns", selector(COREDNS[0], {"k8s-app": "kube-dns"})))
    (found,) = lines("coredns", seen(coredns=deployment(0), view=mine))
    assert "rollout restart" in found.mend
    (found,) = lines("coredns", seen(coredns=deployment(0), nodes={"b": node("b", kind="")}))
    assert found.mend == "See why: kubectl describe pods -n kube-system -l k8s-app=kube-dns."


def test_coredns_that_is_down_is_a_failure_whatever_else_can_not_be_read() -> None:
    assert verdicts("coredns", coredns=deployment(0), nodes=lacking("nodes")) == ["fail"]
    assert verdicts("coredns", coredns=deployment(0), view=lacking("view")) == ["fail"]


# Logs


LOGS = {"data": EXAMPLES["to Firehose"]}
MAY_WRITE = {
    "Statement": {"Effect": "Allow", "Action": ["logs:*", "firehose:Put*", "kinesis:PutRecords"], "Resource": "*"}
}
OBSERVED = {each.get("metadata", {}).get("name"): each for each in (
    namespace("aws-observability", **{"aws-observability": "enabled"}), namespace("web"), namespace("kube-system")
)}  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_aws_are_well_where_the_role_may_write_them(example: str) -> None:
    logs = {"logging": {"data": EXAMPLES[example]}, "namespaces": OBSERVED, "policies": {ROLE: said([MAY_WRITE])}}
    assert verdicts("logging", **logs) == ["ok"]


def test_a_namespace_without_the_label_is_a_failure() -> None:
    logs = {"logging": LOGS, "policies": {ROLE: said([MAY_WRITE])}}
    bare = {**OBSERVED, "aws-observability": namespace("aws-observability")}
    (found,) = lines("logging", seen(**logs, namespaces=bare))
    assert found.verdict == "fail"
    assert found.mend == "kubectl label namespace aws-observability aws-observability=enabled"


ALLOWS = {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}


@pytest.mark.parametrize(
    ("statements", "may"),
    [
        ([ALLOWS], True),
        (ALLOWS, True),
        ([{**ALLOWS, "Action": ["ecr:*", "LOGS:put*"]}], True),
        ([{**ALLOWS, "Resource": "arn:aws:logs:*:*:*"}], True),
        ([{**ALLOWS, "Action": "ecr:*"}], False),
        ([], None),
        ([{**ALLOWS, "Resource": "arn:aws:logs:eu-west-1:1:log-group:a:*"}], None),
        ([{**ALLOWS, "Condition": {"StringEquals": {"a": "b"}}}], None),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], None),
        ([{"Effect": "Allow", "Action": 7, "Resource": "*"}], None),
        ([ALLOWS, {**ALLOWS, "Effect": "Deny"}], False),
        ([ALLOWS, {**ALLOWS, "Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}], None),
        ([ALLOWS, {**ALLOWS, "Effect": "Deny", "Action": "s3:*"}], True),
        (["odd"], None),
        (None, None),
    ],
)
def test_what_policies_allow_is_a_certain_yes_a_certain_no_or_unknown(statements: Any, may: bool | None) -> None:
    assert permits([{"Statement": statements}], "logs:PutLogEvents") is may


def test_a_role_that_may_not_write_the_logs_is_a_failure_and_one_of_conditions_is_unknown() -> None:
    logs: Object = {"logging": LOGS, "namespaces": OBSERVED}
    (found,) = lines("logging", seen(**logs, policies={ROLE: said([])}))
    assert (found.verdict, "firehose:PutRecordBatch" in found.what) == ("fail", True)
    unsure = {"Statement": {"Effect": "Allow", "Action": "firehose:*", "Resource": "arn:aws:firehose:eu-west-1:1:a"}}
    (found,) = lines("logging", seen(**logs, policies={ROLE: said([unsure])}))
    assert (found.verdict, found.unread) == ("unknown", False)
    assert verdicts("logging", **logs, policies={ROLE: lacking("policies")}) == ["unknown"]


# Network, roles


def test_coredns_that_is_down_is_a_failure_even_if_a_node_can_not_be_read() -> None:
    odd = {"fargate-1": {"metadata": {"name": "fargate-1", "labels": "nonsense"}}}
    (found,) = lines("coredns", seen(coredns=deployment(0), nodes=odd))
    assert (found.verdict, "kubectl describe pods" in found.mend) == ("fail", True)


def test_a_vpc_without_dns_is_a_failure_with_the_command_that_mends_it() -> None:
    (found,) = lines("dns", seen(dns={"enableDnsSupport": True, "enableDnsHostnames": False}))
    assert found.verdict == "fail"
    assert found.mend == "aws ec2 modify-vpc-attribute --vpc-id vpc-1 --enable-dns-hostnames"


def facts(subnet: SubnetFact | None = GOOD_SUBNET, role: RoleFact | None = GOOD_ROLE) -> Any:
    return {"web": said(Facts(CLUSTER, {"subnet-1": subnet}, role))}


@pytest.mark.parametrize(
    ("subnet", "verdict", "what"),
    [
        (PUBLIC_SUBNET, "fail", "routes to an internet gateway"),
        (replace(GOOD_SUBNET, vpc="vpc-2"), "fail", "is in vpc-2"),
        (SubnetFact(found=False), "fail", "does not exist"),
        (None, "unknown", "ec2:DescribeSubnets"),
        (replace(GOOD_SUBNET, free=0), "warn", "no free address in subnet-1"),
        (replace(GOOD_SUBNET, free=None), "unknown", "How many addresses are free in subnet-1"),
        (replace(GOOD_SUBNET, free=None, ipv6_only=True), "ok", "fit for Fargate"),
        (replace(GOOD_SUBNET, routes=()), "unknown", "no route that AWS shows"),
        (replace(GOOD_SUBNET, routes=(Route("10.0.0.0/16", "local"),)), "warn", "no route leads out of the VPC from"),
        (replace(GOOD_SUBNET, routes=(Route("0.0.0.0/0", "nat-1", "blackhole"),)), "warn", "a blackhole"),
        (
            replace(GOOD_SUBNET, routes=(Route("10.1.0.0/16", "pcx-1"),)),
            "unknown",
            "by peering or to gateway endpoints",
        ),
        (replace(GOOD_SUBNET, routes=(Route("pl-1", "vpce-1"),)), "unknown", "by peering or to gateway endpoints"),
        (replace(GOOD_SUBNET, routes=None), "unknown", "ec2:DescribeRouteTables"),
    ],
)
def test_subnets_are_judged_as_before_a_create(subnet: SubnetFact | None, verdict: str, what: str) -> None:
    found = lines("network", seen(facts=facts(subnet)))
    assert found[0].verdict == verdict
    assert what in found[0].what


def test_where_the_cluster_can_not_be_read_its_network_is_unknown() -> None:
    (found,) = lines("network", seen(facts={"web": said(Facts(None, {"subnet-1": GOOD_SUBNET}, GOOD_ROLE))}))
    assert (found.verdict, "eks:DescribeCluster" in found.what) == ("unknown", True)


@pytest.mark.parametrize(
    ("role", "verdict", "what"),
    [
        (replace(GOOD_ROLE, trust=None), "unknown", "may assume"),
        (replace(GOOD_ROLE, trust={"Statement": [{"Effect": "Allow", "Principal": "*"}]}), "unknown", "may assume"),
        (RoleFact(found=False), "fail", "does not exist"),
        (replace(GOOD_ROLE, trust={"Statement": []}), "fail", "can't be assumed by Fargate"),
        (replace(GOOD_ROLE, policies=frozenset()), "fail", "no policy at all"),
        (replace(GOOD_ROLE, policies=frozenset({"mine"})), "warn", "AmazonEKSFargatePodExecutionRolePolicy"),
        (replace(GOOD_ROLE, policies=None), "unknown", "iam:ListRolePolicies"),
        (None, "unknown", "iam:GetRole"),
    ],
)
def test_roles_are_judged_as_before_a_create(role: RoleFact | None, verdict: str, what: str) -> None:
    found = lines("roles", seen(facts=facts(role=role)))
    assert found[0].verdict == verdict
    assert what in found[0].what


AUTH = {"data": {"mapRoles": f"- rolearn: {ROLE}\n  username: a\n"}}


@pytest.mark.parametrize(
    ("mode", "entry", "auth", "verdict", "what"),
    [
        ("API", GOOD_ENTRY, {}, "ok", "The cluster knows"),
        ("API", GONE, AUTH, "fail", "no access entry"),
        ("API_AND_CONFIG_MAP", GONE, AUTH, "ok", "The cluster knows"),
        ("API_AND_CONFIG_MAP", GONE, {}, "fail", "no access entry, nor a place in aws-auth"),
        ("API_AND_CONFIG_MAP", GONE, {"data": {"mapRoles": "7"}}, "unknown", "no list in YAML"),
        ("API_AND_CONFIG_MAP", GONE, lacking("aws_auth"), "unknown", "get configmaps aws-auth in kube-system"),
        ("API", replace(GOOD_ENTRY, created_at=NOW - timedelta(days=9)), {}, "fail", "older than the role"),
        ("API", replace(GOOD_ENTRY, kind="EC2_LINUX"), {}, "unknown", "of type EC2_LINUX"),
        ("API", None, {}, "unknown", "eks:DescribeAccessEntry"),
        ("CONFIG_MAP", None, AUTH, "ok", "The cluster knows"),
        ("CONFIG_MAP", None, {}, "warn", "has no role"),
        ("CONFIG_MAP", None, {"data": {"mapRoles": "["}}, "unknown", "no list in YAML"),
    ],
)
def test_the_cluster_has_to_know_the_role_of_each_profile(
    mode: str, entry: EntryFact | None, auth: Any, verdict: str, what: str
) -> None:
    made = replace(GOOD_ROLE, created_at=NOW - timedelta(days=1))
    entries = said({ROLE: said(entry) if entry else lacking("entries")})
    (found,) = lines(
        "access", seen(fact=replace(CLUSTER, mode=mode), entries=entries, aws_auth=auth, facts=facts(role=made))
    )
    assert (found.verdict, what in found.what) == (verdict, True), found
    assert (found.mend[:27] == "aws eks create-access-entry") == (verdict == "fail" and entry is GONE)


def test_an_entry_that_is_certainly_not_there_is_a_failure_whatever_else_can_not_be_read() -> None:
    blind = {"web": lacking("facts")}
    (found,) = lines(
        "access", seen(fact=replace(CLUSTER, mode="API"), entries=said({ROLE: said(GONE)}), facts=said(blind))
    )
    assert (found.verdict, "no access entry" in found.what) == ("fail", True)


def test_an_entry_of_a_role_of_which_nobody_says_when_it_was_made_is_unknown() -> None:
    elsewhere = replace(GOOD_ROLE, arn=ROLE.replace(":role/", ":role/a/"))
    for role in (None, elsewhere, replace(GOOD_ROLE, created_at=None)):
        (found,) = lines("access", seen(facts=facts(role=role)))
        assert (found.verdict, "iam:GetRole" in found.what) == ("unknown", True)


def test_what_is_wrong_with_many_profiles_is_said_once() -> None:
    many = [profile(f"p{number}") for number in range(7)]
    bad = {each.name: said(Facts(CLUSTER, {"subnet-1": PUBLIC_SUBNET}, None)) for each in many}
    (found,) = [each for each in lines("network", seen(view=view(*many), facts=bad)) if each.verdict == "fail"]
    assert found.what.startswith("Profiles p0, p1, p2, p3, p4 and 2 more: subnet-1 routes")


# Pods and nodes


@pytest.mark.parametrize(
    ("kubelet", "verdict"),
    [
        ("v1.33.4-eks-1", "ok"), ("v1.30.0-eks-1", "ok"), ("v1.29.9-eks-1", "fail"), ("v1.34.0", "ok"),
        ("nonsense", "unknown"), ("", "unknown"),
    ],
)  # fmt: skip
def test_a_kubelet_is_a_failure_only_over_three_minor_versions_behind(kubelet: str, verdict: str) -> None:
    (found,) = lines("kubelets", seen(nodes={"fargate-1": node(version=kubelet)}))
    assert found.verdict == verdict
    assert ("web/a" in found.what) == (kubelet != "v1.33.4-eks-1")


def test_an_empty_node_of_fargate_is_no_matter() -> None:
    assert verdicts("kubelets", nodes={"fargate-2": node("fargate-2", "v1.20.0")}) == ["ok"]


def test_finished_pods_are_a_warning_and_those_of_others_are_not() -> None:
    other = pod("other", "Failed")
    other["spec"]["schedulerName"] = "default-scheduler"
    (found,) = lines("finished", seen(pods=[pod("a"), pod("job", "Succeeded"), other]))
    assert (found.verdict, "1 finished pod on Fargate: web/job" in found.what) == ("warn", True)


# Quotas


def quota_lines(code: str, **other: Any) -> list[Line]:
    return [each for each in lines("quotas", seen(**other)) if code in each.what]


def limits(**other: float) -> Any:
    usual = {"L-33415657": 10.0, "L-D78D8AF8": 5.0, "L-23414FF3": 5.0, "L-3032A538": 6.0}
    return {code: said(limit) for code, limit in (usual | {f"L-{key}": value for key, value in other.items()}).items()}


def test_a_quota_is_told_with_what_this_cluster_uses_and_never_what_is_left() -> None:
    (found,) = quota_lines("L-33415657")
    assert found.what == "Profiles per cluster (eks L-33415657): the quota is 10, this cluster uses 1."
    assert "left" not in " ".join(each.what for each in lines("quotas", seen()))


def test_objects_that_want_more_profiles_than_the_quota_are_a_failure() -> None:
    wanted = [fargate_profile("web"), fargate_profile("api"), fargate_profile("jobs")]
    _, found = quota_lines("L-33415657", objects=wanted, quotas=limits(**{"33415657": 2.0}))
    assert (found.verdict, "the objects want 3" in found.what) == ("fail", True)
    elsewhere = [fargate_profile(each, clusterName="other") for each in ("x", "y")]
    assert len(quota_lines("L-33415657", objects=elsewhere, quotas=limits(**{"33415657": 2.0}))) == 1


def test_an_object_with_more_selectors_or_labels_than_the_quota_is_a_failure() -> None:
    many = [{"namespace": f"n{number}", "labels": {f"k{key}": "v" for key in range(6)}} for number in range(6)]
    big = [fargate_profile(selectors=many)]
    assert [each.verdict for each in quota_lines("L-D78D8AF8", objects=big)] == ["ok", "fail"]
    assert [each.verdict for each in quota_lines("L-23414FF3", objects=big)] == ["ok", "fail"]


def test_the_vcpus_of_the_account_are_a_warning_where_this_cluster_uses_them_all_and_a_failure_at_none() -> None:
    full = [pod(f"p{number}", given="2vCPU 4GB") for number in range(3)]
    assert [each.verdict for each in quota_lines("L-3032A538", pods=full)] == ["warn"]
    assert [each.verdict for each in quota_lines("L-3032A538", pods=full[:2])] == ["ok"]
    none = quota_lines("L-3032A538", quotas=limits(**{"3032A538": 0.0}), pods=lacking("pods"))
    assert [each.verdict for each in none] == ["fail"]


def test_one_quota_that_can_not_be_read_hides_no_other() -> None:
    quotas = limits() | {"L-33415657": lacking("quotas")}
    found = lines("quotas", seen(quotas=quotas))
    assert [each.verdict for each in found] == ["unknown", "ok", "ok", "ok"]


# What belongs to whom


def test_profiles_that_share_pods_are_a_warning_but_for_those_of_one_object() -> None:
    two = profile("a", selector("web", {})), profile("b", selector("w*", {}))
    assert verdicts("overlaps", view=view(*two)) == ["warn"]
    ours = [replace(each, tags={OWNER_KEY: "default/web"}) for each in two]
    assert verdicts("overlaps", view=view(*ours)) == ["ok"]
    apart = profile("a", selector("web", {})), profile("b", selector("api", {}))
    assert verdicts("overlaps", view=view(*apart)) == ["ok"]


def owned(name: str, owner: str, controller: str = "uid-of-kube-system") -> Profile:
    return profile(name, tags={OWNER_KEY: owner, CONTROLLER_KEY: controller})


def test_a_profile_of_this_controller_without_its_object_is_a_warning_and_that_of_another_is_not() -> None:
    assert verdicts("orphans", view=view(owned("web", "default/web"))) == ["ok"]
    (found,) = lines("orphans", seen(view=view(owned("old", "default/old"))))
    assert (found.verdict, "its owner default/old does not exist" in found.what) == ("warn", True)
    (found,) = lines("orphans", seen(view=view(owned("copy", "default/web"))))
    assert "a profile that is not its own" in found.what
    assert verdicts("orphans", view=view(owned("old", "default/old", "another"))) == ["ok"]


def test_a_profile_that_was_kept_on_purpose_is_told_and_is_no_finding() -> None:
    (found,) = lines("retained", seen(view=view(profile("kept", tags={RETAINED_KEY: "default/kept"}))))
    assert (found.verdict, "kept" in found.what) == ("ok", True)


@pytest.mark.parametrize(
    ("lease", "verdict", "what"),
    [
        (LEASE, "ok", "Lease default/fargate-operator. It was last heard of at 2026-11-26T11:59:58"),
        ({}, "warn", "There is no Lease"),
        ({"spec": {"holderIdentity": "", "renewTime": "2026-11-26T11:00:00Z"}}, "warn", "Nobody holds"),
        ({"spec": {"holderIdentity": "x", "renewTime": "2026-11-26T11:00:00Z"}}, "warn", "26T12:00:00Z here"),
        ({"spec": {"holderIdentity": "x", "renewTime": "2026-11-26T12:30:00Z"}}, "ok", "x holds"),
        ({"spec": {"holderIdentity": "x", "renewTime": "soon"}}, "unknown", "no time: soon"),
        ({"spec": {"holderIdentity": 7}}, "unknown", "spec.holderIdentity"),
    ],
)  # fmt: skip
def test_the_controller_is_told_by_its_lease_as_times(lease: Object, verdict: str, what: str) -> None:
    (found,) = lines("controller", seen(lease=lease))
    assert found.verdict == verdict
    assert what in found.what


# Whatever is written there


ODD: Sequence[Any] = (None, True, 7, 1.5, "text", "\x1b[2J\n", [], [None], [{}], {}, {"": None}, {"metadata": 7})


def planted(value: Any, odd: Any) -> list[Any]:
    """Return copies of a value, in each another part of which is odd."""
    if isinstance(value, dict):
        return [{**value, key: each} for key in value for each in [odd, *planted(value[key], odd)]]
    if isinstance(value, list):
        return [[each, *value[1:]] for each in [odd, *planted(value[0], odd)]] if value else []
    return []


WRITTEN: Object = {
    "webhook": {"webhooks": [HOOK]}, "coredns": deployment(1, annotation="ec2"), "logging": {"data": WHOLE},
    "pods": [pod()], "nodes": {"fargate-1": node()}, "lease": LEASE, "namespaces": OBSERVED,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_what_is_of_no_type_of_kubernetes_is_unknown_or_a_finding_and_never_an_error(name: str, odd: Any) -> None:
    whole = WRITTEN[name]
    if isinstance(whole, list):
        values: list[Any] = [[each] for each in planted(whole[0], odd)]
    elif name in {"nodes", "namespaces"}:
        values = [{**whole, key: each} for key in whole for each in planted(whole[key], odd)]
    else:
        values = planted(whole, odd)
    for value in values:
        cluster = seen(policies={ROLE: said([MAY_WRITE])}, **{name: value})
        for check in CHECKS:
            assert all(each.what for each in examined(check, cluster))


def test_unknown_is_raised_by_name() -> None:
    with pytest.raises(Unread, match="list pods"):
        seen(pods=lacking("pods")).pods()


def test_a_lease_is_silent_after_two_minutes() -> None:
    at = (NOW - timedelta(seconds=100)).isoformat()
    assert verdicts("controller", lease={"spec": {"holderIdentity": "x", "renewTime": at}}) == ["ok"]
