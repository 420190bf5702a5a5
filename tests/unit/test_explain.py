"""explain: which profile takes a pod and why, what was near, is stranded, can't run, is billed; nothing is changed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import explain
import kube
from config import command_line, spelled
from controller import main
from pods import COMPUTE_TYPE, EFS, PROFILE_LABEL
from spec import mapping
from tests.docs import DOCUMENTS, section
from tests.fakes import aws as fake_aws
from tests.fakes.apiserver import kubeconfig, serve
from tests.harness import Bench
from tests.unit.conftest import SPOKE, clusters_file
from tests.unit.test_clusters import ONE, TWO, bundle
from tests.unit.test_commands import hold_to_the_document
from tests.unit.test_pods import WHOLE, junk, places, planted

if TYPE_CHECKING:
    from tests.fakes.aws import World

Object = dict[str, Any]
Told = tuple[int, str, str]
HOME = ("--cluster-name", "demo")
WEB = [{"namespace": "shop", "labels": {"tier": "web"}}]


@pytest.fixture
def told(
    b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Told]]:
    """Return a runner of explain: exit code, standard output, standard error. It must not write, anywhere."""
    monkeypatch.chdir(tmp_path)
    with serve(b.api) as server:
        known = kubeconfig(server.url, tmp_path / "kubeconfig", "shop")
        monkeypatch.setenv("KUBECONFIG", str(known))
        b.world.add_profile("demo", "web", b.world.roles["good"], WEB)
        for name in ("shop", "other", "a", "b"):
            b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

        def run(*arguments: str) -> Told:
            b.manners.clear()
            b.api.clear_log()
            code = main(["explain", *arguments, *HOME, "--region", b.world.region], {})
            assert [call.operation for call in b.manners.writes()] == []
            assert b.api.writes() == []
            return code, *capsys.readouterr()

        yield run


def pod_of(name: str, labels: Object | None = None, status: Object | None = None, **spec: Any) -> Object:
    meta = {"name": name, "namespace": "shop", "labels": {"tier": "web"} if labels is None else labels}
    spec = {"schedulerName": "default-scheduler", "containers": [{"name": "c"}]} | spec
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status or {"phase": "Pending"}
    }  # fmt: skip


def owned(pod: Object, kind: str, name: str) -> Object:
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "1", "controller": True}
    pod["metadata"]["ownerReferences"] = [owner]
    return pod


def deployment(name: str = "web", labels: Object | None = None, kind: str = "Deployment", **spec: Any) -> Object:
    template = {
        "metadata": {"labels": {"tier": "web"} if labels is None else labels},
        "spec": {"containers": [{"name": "c"}]} | spec,
    }
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {"template": template}}


def file(*objects: Object, name: str = "app.yaml") -> str:
    Path(name).write_text(yaml.safe_dump_all(objects))
    return name


def rows(out: str) -> list[list[str]]:
    """Return (word, name, text) of each row."""
    return [line.split(None, 2) for line in out.splitlines()[:-1]]


def of(word: str, out: str) -> list[str]:
    return [text.partition(")  ")[2] or text for each, _, text in rows(out) if each == word]


# A pod that is there


def test_a_stranded_pod_is_told_with_the_profile_that_would_take_it_and_how_it_is_made_anew(
    b: Bench, told: Any
) -> None:
    b.api.apply(owned(pod_of("web-1"), "ReplicaSet", "web-7d4b9c"))
    code, out, _ = told("pod", "shop/web-1")
    assert code == 1
    assert [(word, name) for word, name, _ in rows(out)] == [
        ("profile", "shop/web-1"), ("stranded", "shop/web-1"), ("size", "shop/web-1")
    ]  # fmt: skip
    assert of("profile", out) == ["EKS has not taken it. Made anew: web takes it, by its selector shop/tier=web."]
    assert of("stranded", out) == [
        "No ACTIVE profile took it when it was made, EKS looks at a pod once, and web would take it now. "
        "Make it anew: kubectl rollout restart of what ReplicaSet web-7d4b9c belongs to, or delete the pod."
    ]
    assert out.splitlines()[-1] == "Pods: 1 stranded."


def test_a_pod_that_fargate_has_is_told_with_what_it_got_and_is_no_trouble(b: Bench, told: Any) -> None:
    there = pod_of("web-1", {PROFILE_LABEL: "web", "tier": "web"}, {"phase": "Running"}, nodeName="fargate-ip-10-0-0-1")
    there["spec"]["schedulerName"] = "fargate-scheduler"
    there["metadata"]["annotations"] = {"CapacityProvisioned": "0.25vCPU 0.5GB"}
    b.api.apply(there)
    code, out, _ = told("pod", "web-1")
    assert (code, out.splitlines()[-1]) == (0, "Pods: 1 taken.")
    assert of("size", out) == ["0.25 vCPU and 0.5 GiB, as Fargate says."]
    assert of("profile", out) == [
        "EKS has taken it for profile web. Made anew: web takes it, by its selector shop/tier=web."
    ]


def test_a_pod_whose_profile_was_replaced_is_stranded(b: Bench, told: Any) -> None:
    there = pod_of("web-1", {PROFILE_LABEL: "old", "tier": "web"}, schedulerName="fargate-scheduler")
    b.api.apply(there)
    code, out, _ = told("pod", "shop/web-1")
    assert code == 1
    assert "EKS took it for profile old, which is gone" in of("stranded", out)[0]
    assert "Nobody makes it anew" in of("stranded", out)[0]


def test_a_pod_that_waits_for_something_else_is_told_for_what(b: Bench, told: Any) -> None:
    b.api.apply(pod_of("web-1", schedulingGates=[{"name": "queue"}]))
    code, out, _ = told("pod", "shop/web-1")
    assert (code, of("waits", out)) == (
        0, ["It has scheduling gates, which somebody has to take off first."],
    )  # fmt: skip


def test_a_near_miss_is_told_with_what_is_there_and_what_is_wanted(b: Bench, told: Any) -> None:
    b.api.apply(pod_of("api-1", {"tier": "api"}, {"phase": "Running"}))
    code, out, _ = told("pod", "shop/api-1")
    assert (code, out.splitlines()[-1]) == (0, "Pods: 1 left.")
    assert of("near", out) == ["label tier is api, the selector of web wants web."]
    b.api.apply(pod_of("bare-1", {}, {"phase": "Running"}))
    assert of("near", told("pod", "shop/bare-1")[1]) == ["no label tier fits, the selector of web wants web."]


def test_a_pod_of_another_namespace_with_all_the_labels_is_near_too(b: Bench, told: Any) -> None:
    there = pod_of("web-1", status={"phase": "Running"})
    there["metadata"]["namespace"] = "other"
    b.api.apply(there)
    out = told("pod", "web-1", "-n", "other")[1]
    assert of("near", out) == ["namespace is other, the selector of web wants shop."]


def test_what_has_opted_out_is_told_so_and_nothing_is_near(b: Bench, told: Any) -> None:
    there = pod_of("api-1", {"tier": "api"}, {"phase": "Running"})
    there["metadata"]["annotations"] = {COMPUTE_TYPE: "ec2"}
    b.api.apply(there)
    out = told("pod", "shop/api-1")[1]
    assert of("near", out) == []
    assert of("profile", out)[0].endswith(f"none takes it: its annotation {COMPUTE_TYPE} is ec2.")


def test_what_the_scheduler_said_is_told_in_our_words_and_its_own_and_logs_are_no_trouble(b: Bench, told: Any) -> None:
    words = "Pod not supported on Fargate: volumes not supported: v not supported because: PVC c not bound"
    refused = {"type": "PodScheduled", "status": "False", "reason": "POD_UNSUPPORTED_ON_FARGATE", "message": words}
    there = pod_of("web-1", {PROFILE_LABEL: "web", "tier": "web"}, {"phase": "Pending", "conditions": [refused]})
    there["spec"]["schedulerName"] = "fargate-scheduler"
    b.api.apply(there)
    assert b.api.get("pods", "shop", "web-1") is not None
    uid = b.api.get("pods", "shop", "web-1")["metadata"]["uid"]  # type: ignore[index]
    for reason, text in {
        "FailedScheduling": words, "Failed": "probe failed", "LoggingDisabled": "Disabled logging because ...",
    }.items():  # fmt: skip
        meta = {"name": reason.lower(), "namespace": "shop"}
        b.api.apply({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": meta,
            "type": "Warning", "reason": reason, "message": text, "involvedObject": {"name": "web-1", "uid": uid},
            "regarding": {"namespace": "shop"}, "eventTime": "2026-11-22T08:00:00.000000Z", "action": "Scheduling",
            "reportingController": "fargate-scheduler", "reportingInstance": "x",
        })  # fmt: skip
    code, out, _ = told("pod", "shop/web-1")
    assert code == 1
    assert of("said", out) == [
        f"ClaimNotBound: Have the claim bound, then delete the pod. It is not tried again. ({words})"
    ]


def test_a_text_that_nobody_knows_is_shown_as_it_is_and_on_one_line(b: Bench, told: Any) -> None:
    words = {"type": "PodScheduled", "status": "False", "message": "something new\nsize      x  1"}
    b.api.apply(pod_of("web-1", status={"phase": "Pending", "conditions": [words]}))
    assert of("said", told("pod", "shop/web-1")[1]) == ["something new\\nsize      x  1"]


def test_a_pod_that_is_not_there_ends_explain_with_2(told: Any) -> None:
    code, out, err = told("pod", "shop/none")
    assert (code, out) == (2, "")
    assert "none" in err


# Claims and volumes, where they may be read


@pytest.mark.parametrize(("driver", "word"), [(EFS, ""), ("ebs.csi.aws.com", "cannot"), (None, "unsure")])
def test_a_claim_is_looked_at_up_to_its_volume(b: Bench, told: Any, driver: str | None, word: str) -> None:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    b.api.apply(pod_of("web-1", volumes=[volume]))
    claim = {"spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}}
    b.api.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "shop"},
            **claim,
        }
    )
    if driver:
        spec = {"csi": {"driver": driver}}
        b.api.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1"}, "spec": spec})
    out = told("pod", "shop/web-1")[1]
    assert [each for each, _, _ in rows(out) if each in {"cannot", "unsure"}] == [word] * bool(word)


def test_a_claim_whose_name_is_a_path_is_not_asked_for(b: Bench, told: Any) -> None:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "../secrets/x"}}
    b.api.apply(pod_of("web-1", volumes=[volume]))
    assert len(of("unsure", told("pod", "shop/web-1")[1])) == 1
    assert not any("secrets" in each.path for each in b.api.log)


# Manifests


def test_each_kind_with_a_template_is_judged_as_the_pods_that_its_controller_makes(told: Any) -> None:
    cron = deployment(kind="CronJob", name="cron")
    cron["spec"] = {"jobTemplate": {"spec": cron["spec"]}}
    plain = {**deployment(kind="PodTemplate", name="plain"), "template": deployment()["spec"]["template"]}
    del plain["spec"]
    several = [
        deployment(),
        *(deployment(kind=kind, name=kind.lower()) for kind in ("StatefulSet", "DaemonSet", "Job", "Rollout")),
        cron, plain, pod_of("pod"), {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}},
    ]  # fmt: skip
    items = {"apiVersion": "v1", "kind": "List", "items": several}
    code, out, err = told("-f", file(items), "-n", "shop", "-o", "json")
    answer = json.loads(out)
    assert [(each["kind"], each["taken"], each["profile"]) for each in answer["objects"]] == [
        ("Deployment", "yes", "web"), ("StatefulSet", "yes", "web"), ("DaemonSet", "no", ""), ("Job", "yes", "web"),
        ("Rollout", "yes", "web"), ("CronJob", "yes", "web"), ("PodTemplate", "yes", "web"), ("Pod", "yes", "web"),
    ]  # fmt: skip
    assert (code, answer["sum"]) == (0, {"taken": 7, "left": 1})
    assert "Passed over: 1 Service of v1." in err


def test_a_template_has_no_metadata_and_labels_that_its_controller_adds_are_unknown(b: Bench, told: Any) -> None:
    b.world.add_profile("demo", "hash", b.world.roles["good"], [{"namespace": "a", "labels": {"pod-template-*": "*"}}])
    b.world.add_profile(
        "demo", "one", b.world.roles["good"], [{"namespace": "b", "labels": {"pod-template-hash": "1"}}]
    )
    bare = deployment(labels={})
    del bare["spec"]["template"]["metadata"]
    assert json.loads(told("-f", file(bare), "-n", "a", "-o", "json")[1])["objects"][0]["taken"] == "yes"
    assert json.loads(told("-f", file(bare), "-n", "b", "-o", "json")[1])["objects"][0]["taken"] == "unknown"


def test_the_claims_of_a_stateful_set_are_not_known_to_be_bound(told: Any) -> None:
    several = deployment(kind="StatefulSet")
    several["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}]
    code, out, _ = told("-f", file(several))
    assert (code, len(of("unsure", out))) == (0, 1)


@pytest.mark.parametrize(
    ("own", "flags", "namespace"),
    [("x", (), "x"), ("", ("-n", "y"), "y"), ("", (), "shop"), ("x", ("-n", "x"), "x")],
)
def test_the_namespace_is_the_object_s_own_then_that_of_the_flag_then_that_of_the_kubeconfig(
    told: Any, own: str, flags: tuple[str, ...], namespace: str
) -> None:
    obj = deployment()
    if own:
        obj["metadata"]["namespace"] = own
    _, out, err = told("-f", file(obj), "-o", "json", *flags)
    assert json.loads(out)["objects"][0]["namespace"] == namespace
    assert "kubectl refuses it" not in err


def test_an_object_of_another_namespace_than_the_flag_s_is_told_as_kubectl_refuses_it(told: Any) -> None:
    obj = deployment()
    obj["metadata"]["namespace"] = "x"
    err = told("-f", file(obj), "-n", "y")[2]
    assert "app.yaml:1: it is of namespace x, so kubectl refuses it with -n y." in err


def test_what_fargate_can_t_run_of_a_manifest_that_is_taken_ends_with_1_and_of_another_with_0(told: Any) -> None:
    code, out, _ = told("-f", file(deployment(hostNetwork=True)))
    assert code == 1
    assert of("cannot", out) == ["spec.hostNetwork is true: remove it, or run it on EC2."]
    code, out, _ = told("-f", file(deployment(labels={"tier": "api"}, hostNetwork=True)))
    assert (code, len(of("cannot", out))) == (0, 1)


def limit_range(b: Bench, name: str, cpu: str) -> None:
    item = {"type": "Container", "default": {"cpu": "2"}, "defaultRequest": {"cpu": cpu, "memory": "3Gi"}}
    spec = {"limits": [item, {"type": "Pod", "max": {"cpu": "4"}}]}
    b.api.apply(
        {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}
    )


def test_the_size_is_as_written_with_what_limit_ranges_give(b: Bench, told: Any) -> None:
    own = {"name": "c", "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "1Gi"}}}
    name = file(deployment(), deployment("own", containers=[own]))
    assert of("size", told("-f", name)[1]) == [
        "0.25 vCPU and 0.5 GiB, as written.", "0.25 vCPU and 2 GiB, as written."
    ]  # fmt: skip
    limit_range(b, "one", "1")
    assert of("size", told("-f", name)[1]) == ["1 vCPU and 4 GiB, as written.", "0.25 vCPU and 2 GiB, as written."]
    limit_range(b, "two", "2")
    assert "contradict each other" in of("size", told("-f", name)[1])[0]


def test_a_pod_that_is_there_has_its_defaults_already(b: Bench, told: Any) -> None:
    limit_range(b, "one", "1")
    b.api.apply(pod_of("web-1"))
    assert of("size", told("pod", "shop/web-1")[1]) == ["0.25 vCPU and 0.5 GiB."]


def test_standard_input_is_read_and_a_broken_file_ends_explain_with_2(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(yaml.safe_dump(deployment()).encode())))
    assert told("-f", "-")[0] == 0
    Path("broken.yaml").write_text("a: [")
    code, out, err = told("-f", "broken.yaml")
    assert (code, out) == (2, "")
    assert "broken.yaml:1: " in err


def test_manifests_are_judged_without_kubernetes_too_and_that_is_said(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    code, out, err = told("-f", file(deployment()), "-n", "shop")
    assert (code, out.splitlines()[-1]) == (0, "Pods: 1 taken.")
    assert "sizes are as the manifests say" in err
    assert told("pod", "shop/web-1")[0] == 2


# A profile


def test_a_profile_is_told_with_the_pods_that_it_has_takes_and_almost_takes(b: Bench, told: Any) -> None:
    b.settle("web2", selectors=[{"namespace": "shop", "labels": {"tier": "shop*"}}])
    on_it = pod_of(
        "on", {PROFILE_LABEL: "web2", "tier": "shop"}, {"phase": "Running"}, schedulerName="fargate-scheduler"
    )
    on_it["metadata"]["annotations"] = {"CapacityProvisioned": "0.5vCPU 1GB"}
    b.api.apply(on_it)
    b.api.apply(pod_of("elsewhere", {"tier": "shop-2"}, {"phase": "Running"}))
    b.api.apply(pod_of("lost", {"tier": "shop-3"}))
    b.api.apply(pod_of("near", {"tier": "api"}))
    b.api.apply(pod_of("foreign", {"tier": "web"}, {"phase": "Running"}))
    code, out, _ = told("profile", "default/web2")
    assert code == 1
    assert of("profile", out)[0] == "web2 is ACTIVE and selects shop/tier=shop*."
    assert of("has", out) == ["1 pod: shop/on, with 0.5 vCPU and 1 GiB as Fargate says."]
    assert of("takes", out) == ["2 pods: shop/elsewhere, shop/lost once made anew."]
    assert "shop/near: label tier is api, the selector of web2 wants shop*." in of("near", out)
    assert [name for word, name, _ in rows(out) if word == "stranded"] == ["shop/lost"]


def test_a_profile_of_all_namespaces_is_held_to_the_pods_of_all(b: Bench, told: Any) -> None:
    b.settle("all", selectors=[{"namespace": "*"}])
    for namespace in ("a", "b"):
        there = pod_of("p", {}, {"phase": "Running"})
        there["metadata"]["namespace"] = namespace
        b.api.apply(there)
    assert of("takes", told("profile", "all", "-n", "default")[1]) == ["2 pods: a/p, b/p once made anew."]


def test_of_many_pods_only_so_many_are_looked_at_and_that_is_said(
    b: Bench, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    b.settle("web2", selectors=[{"namespace": "shop"}])
    for number in range(30):
        b.api.apply(pod_of(f"p{number}", {}, {"phase": "Running"}))
    monkeypatch.setattr("explain.MOST_PODS", 10)
    _, out, err = told("profile", "default/web2")
    assert of("takes", out)[0].startswith("20 pods: ")
    assert "There are more than 20 pods: the others are not looked at." in err


def test_an_object_without_a_profile_in_eks_or_none_at_all_is_told(b: Bench, told: Any) -> None:
    b.apply("later")
    code, out, err = told("profile", "default/later")
    assert (code, out, "EKS has none of that name in cluster demo" in err) == (2, "", True)
    code, out, err = told("profile", "default/none")
    assert (code, out) == (2, "")
    assert "There is no FargateProfile default/none." in err


# Which cluster, and without AWS


def test_of_an_entry_of_the_clusters_file_the_profiles_are_those_of_its_account(
    b: Bench, told: Any, spoke: World, tmp_path: Path
) -> None:
    spoke.add_profile("prod", "theirs", spoke.roles["good"], WEB)
    flags = "--cluster", "prod-eu", "--clusters-file", str(clusters_file(tmp_path))
    _, out, err = told("-f", file(deployment()), *flags)
    assert of("profile", out) == ["theirs takes it, by its selector shop/tier=web."]
    assert "Whether EKS cluster prod is the cluster of these pods is unknown" in err
    assert {call.account for call in b.world.everywhere() if call.service == "eks"} == {SPOKE}


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        ("prod-eu", "it is of cluster prod-eu, and this is demo. The pods of other clusters are unknown here."),
        ("unlisted", "spec.clusterName: unlisted is no cluster that objects of namespace default may name"),
    ],
)
def test_of_an_object_of_another_cluster_nothing_is_said_but_why(
    b: Bench, told: Any, tmp_path: Path, cluster: str, why: str
) -> None:
    b.apply("web", clusterName=cluster)
    code, out, err = told("profile", "default/web", "--clusters-file", str(clusters_file(tmp_path)))
    assert (code, out) == (2, "")
    assert f"FargateProfile default/web: {why}" in err


def test_without_a_proof_that_it_is_this_cluster_explain_says_so(b: Bench, told: Any) -> None:
    b.api.apply(pod_of("web-1"))
    _, out, err = told("pod", "shop/web-1", "-o", "json")
    assert json.loads(out)["proven"] is False
    assert "Whether EKS cluster demo is the cluster of these pods is unknown" in err


@pytest.mark.parametrize(("theirs", "proven"), [(ONE, True), (TWO, False)])
def test_a_certificate_in_common_proves_it_and_the_same_name_does_not(
    b: Bench, told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str, proven: bool
) -> None:
    known = json.loads((tmp_path / "kubeconfig").read_text())
    known["clusters"][0]["cluster"]["certificate-authority-data"] = bundle(ONE)
    (tmp_path / "kubeconfig").write_text(json.dumps(known))
    b.world.set_certificate_authority("demo", bundle(theirs))
    monkeypatch.setattr(kube.Kube, "verified", True)
    b.api.apply(pod_of("web-1"))
    _, out, err = told("pod", "shop/web-1", "-o", "json")
    assert json.loads(out)["proven"] is proven
    assert ("is unknown" in err) is not proven


@pytest.mark.parametrize(
    ("host", "verify", "verified"),
    [("https://a", True, True), ("https://a", False, False), ("http://a", True, False)],
)
def test_a_server_that_need_not_show_its_certificate_proves_nothing(host: str, verify: bool, verified: bool) -> None:
    reached: Any = SimpleNamespace(configuration=SimpleNamespace(host=host, verify_ssl=verify))
    assert kube.Kube(reached, "test").verified is verified


def test_without_rights_in_aws_the_profiles_are_those_of_ready_objects_and_that_is_said(b: Bench, told: Any) -> None:
    b.settle("ready", selectors=[{"namespace": "shop"}])
    refused(b)
    _, out, err = told("-f", file(deployment()), "-o", "json")
    answer = json.loads(out)
    assert (answer["profilesFrom"], answer["proven"]) == ("status", False)
    assert answer["objects"][0]["profile"] == "ready"
    assert "profiles are known by the status of FargateProfile objects alone" in err


def refused(b: Bench) -> None:
    b.manners.fail("ListFargateProfiles", fake_aws.error("AccessDeniedException", 403, "no"), times=9)


def test_a_status_does_not_tell_that_a_profile_without_an_object_is_gone(b: Bench, told: Any) -> None:
    b.settle("ready", selectors=[{"namespace": "shop"}])
    there = pod_of("web-1", {PROFILE_LABEL: "web", "tier": "web"}, schedulerName="fargate-scheduler")
    b.api.apply(there)
    refused(b)
    assert json.loads(told("pod", "shop/web-1", "-o", "json")[1])["objects"][0]["stranded"] == "unknown"


def test_where_neither_aws_nor_the_objects_may_be_read_both_answers_are_told(b: Bench, told: Any) -> None:
    refused(b)
    b.api.fail("GET", "fargateprofiles", 403, times=2)
    code, out, err = told("-f", file(deployment()))
    assert (code, out) == (2, "")
    assert "IAMPolicy.json" in err
    assert "403" in err


def test_an_object_whose_status_is_not_of_today_is_unknown_and_not_taken_for_its_spec(b: Bench, told: Any) -> None:
    b.settle("ready", selectors=[{"namespace": "other"}])
    b.edit("ready", selectors=[{"namespace": "shop"}])
    refused(b)
    _, out, _ = told("-f", file(deployment()), "-o", "json")
    assert (json.loads(out)["objects"][0]["taken"], json.loads(out)["sum"]) == ("unknown", {"unknown": 1})


def test_a_cluster_that_eks_does_not_have_ends_explain_with_2(b: Bench, told: Any) -> None:
    b.world.remove_cluster("demo")
    code, out, err = told("-f", file(deployment()))
    assert (code, out) == (2, "")
    assert "EKS has no cluster demo" in err


# The answer for machines, the command line, and whatever comes


def test_what_explain_says_in_json_is_as_documented(b: Bench, told: Any) -> None:
    words = {"type": "PodScheduled", "status": "False", "message": "Pod provisioning timed out (will retry)"}
    there = pod_of("web-1", {PROFILE_LABEL: "web", "tier": "api"}, {"phase": "Pending", "conditions": [words]})
    there["spec"] |= {"schedulerName": "fargate-scheduler", "hostNetwork": True}
    b.api.apply(there)
    big = deployment(containers=[{"name": "c", "resources": {"requests": {"cpu": "99"}}}])
    unknown = {"type": "PodScheduled", "status": "False", "message": "something new"}
    b.api.apply(pod_of("web-2", status={"phase": "Pending", "conditions": [unknown]}))
    answers = [told("pod", "shop/web-1", "-o", "json")[1], told("-f", file(big), "-o", "json")[1]]
    answers.append(told("pod", "shop/web-2", "-o", "json")[1])
    hold_to_the_document(answers, "field of `explain -o json`")
    assert json.loads(answers[1])["objects"][0]["vcpu"] == [None, None]


def test_the_example_of_the_document_is_what_explain_says(b: Bench, told: Any) -> None:
    b.world.add_profile("demo", "jobs", b.world.roles["good"], [{"namespace": "batch"}])
    b.api.apply(owned(pod_of("web-7d4b9c-x2x7k"), "ReplicaSet", "web-7d4b9c"))
    ports = {
        "name": "c",
        "ports": [{"containerPort": 80, "hostPort": 80}],
        "resources": {"requests": {"cpu": "1", "memory": "8Gi"}},
    }
    Path("team").mkdir()
    file(deployment("api", {"tier": "api"}), deployment("edge", containers=[ports]), name="team/api.yaml")
    shown = section("docs/commands.md", "## explain").split("```")[1].strip("\n").split("\n\n")
    assert len(shown) == 2
    for block in shown:
        call, *lines = block.split("\n")
        words = call.removeprefix("$ python controller.py explain ").split()
        said = told(*words)[1].splitlines()
        assert [
            each[: len(line) - 4] + " ..." if line.endswith(" ...") else each
            for each, line in zip(said, lines, strict=True)
        ] == lines


def test_every_call_of_explain_that_the_document_shows_is_one_that_can_be_made() -> None:
    calls = [line.partition("controller.py ")[2] for line in DOCUMENTS["docs/commands.md"].splitlines()]
    calls = [call.rstrip("`.,:") for call in calls if call.startswith("explain ")]
    assert calls
    for call in calls:
        assert (call, command_line({}).parse_known_args(spelled(call.split()))[1]) == (call, [])


@pytest.mark.parametrize(
    "wrong", [(), ("pod",), ("pod", "a/b/c"), ("pod", "A"), ("pod", "a", "-f", "x"), ("pods", "a")]
)
def test_a_wrong_command_line_ends_with_2(told: Any, wrong: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        told(*wrong)
    assert ended.value.code == 2


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(places(WHOLE)[1:]), junk)
def test_no_pod_is_too_odd_to_be_explained(path: tuple[str | int, ...], odd: object) -> None:
    known = explain.Known("demo", "EKS", [], {}, proven=True)
    for live in (True, False):
        subject = explain.Subject("Pod", ("shop", "p"), planted(WHOLE, path, odd), live)
        answer = explain.judged(subject, known, None)
        assert answer.lines()
        json.dumps(answer.fields())


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(places(deployment())), junk)
def test_no_object_is_too_odd_to_be_looked_into(path: tuple[str | int, ...], odd: object) -> None:
    obj = planted(deployment(), path, odd)
    pod = explain.pod_of(mapping(obj), ("shop", "web"))
    assert pod is None or explain.judged(
        explain.Subject("Deployment", ("shop", "web"), pod, False),
        explain.Known("demo", "EKS", [], {}, proven=True),
        None,
    )
