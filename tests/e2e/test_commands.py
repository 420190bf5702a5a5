"""The commands with the real kubectl and API server: they read a manifest alike, and what is exported is applied."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import yaml

import overlaps
from patterns import decoded, issuer_of
from spec import CONTROLLER_KEY, OWNER_KEY
from tests.e2e.support import ROLE, ROOT, SUBNETS, environment, ok, token_of, write_kubeconfig
from tests.unit.test_clusters import ONE, bundle
from tests.unit.test_commands import AS_KUBECTL_READS, HOSTILE
from tests.unit.test_config import BAD_SELECTORS, GOOD_SELECTORS
from tests.unit.test_environment import ENCODINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.support import User
    from tests.fakes.aws import World

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(user: User, token: str, aws: World, tmp_path: Path) -> Run:
    """Return a runner of a command as rbac.yaml's ServiceAccount: exit code, standard output, standard error."""
    config = write_kubeconfig(tmp_path / "commands.kubeconfig", user.control_plane, token)
    environ = environment(aws, KUBECONFIG=str(config))

    def command(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        call = [sys.executable, "controller.py", *arguments]
        done = subprocess.run(
            call, cwd=ROOT, env=environ, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return command


def foretold(run: Run, user: User, *manifests: Any) -> list[str]:
    """Return the words of plan's rows, in order; manifests are text, or objects."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in manifests]
    code, out, err = run("plan", "-n", user.namespace, "-f", "-", stdin="\n---\n".join(texts))
    assert code in {0, 1}
    assert re.fullmatch(r"(What this means for the pods that are there is not said: .*\n)?", err)
    return [line.split()[0] for line in out.splitlines()[:-1]]


def test_a_selector_is_to_the_flag_what_it_is_to_the_api_server(installed: ControlPlane) -> None:
    def taken(text: str) -> bool:
        path = f"/apis/jicomusic.com/v1/fargateprofiles?limit=1&labelSelector={quote(text)}"
        answer = installed.kubectl("get", "--raw", path)
        assert answer.returncode == 0 or "unable to parse requirement" in answer.stderr or "found" in answer.stderr
        return answer.returncode == 0

    assert [text for text in GOOD_SELECTORS if not taken(text)] == []
    assert [text for text, _ in BAD_SELECTORS if taken(text)] == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_is_read_by_its_byte_order_mark_as_kubectl_reads_it(
    control_plane: ControlPlane, tmp_path: Path, encoding: str
) -> None:
    manifest = "apiVersion: v1\r\nkind: ConfigMap\r\nmetadata: {name: a}\r\ndata: {size: größe}\r\n"
    raw = ENCODINGS[encoding] + manifest.encode(encoding)
    (tmp_path / "map.yaml").write_bytes(raw)
    shown = ok(control_plane.kubectl("label", "--local", "-o", "json", "-f", str(tmp_path / "map.yaml"), "a=b"))
    assert json.loads(shown)["data"] == overlaps.manifests("-", decoded(raw))[0][0].obj["data"]


def test_a_folder_holds_for_validate_the_files_that_it_holds_for_kubectl(
    run: Run, control_plane: ControlPlane, tmp_path: Path
) -> None:
    for name in ("a.yaml", "b.yml", "c.json", "d.txt", "deep/e.yaml", "deep/er/f.json", "g.yaml/h.yaml", "i.YAML"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"apiVersion": "v1", "kind": "Example", "metadata": {"name": "x"}}))
    for flags in ((), ("-R",)):
        shown = ok(control_plane.kubectl("label", "--local", "-o", "name", *flags, "-f", str(tmp_path), "a=b"))
        read = json.loads(run("validate", "-o", "json", *flags, "-f", str(tmp_path))[1])["passedOver"]
        assert read == {"Example of v1": shown.count("example/x")}


def test_annotations_are_too_long_for_validate_where_they_are_for_the_api_server(run: Run, user: User) -> None:
    for size, taken in ((262143, True), (262144, False)):
        manifest = json.dumps(user.manifest() | {"metadata": {"name": "web", "annotations": {"a": "x" * size}}})
        created = user.kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest)
        assert (created.returncode == 0) is taken, created.stderr
        assert (run("validate", "-f", "-", stdin=manifest)[0] == 0) is taken


def test_a_plain_scalar_is_to_validate_what_it_is_to_kubectl(control_plane: ControlPlane) -> None:
    texts = " ".join(AS_KUBECTL_READS.values()).split()
    manifest = f"apiVersion: v1\nkind: Example\nmetadata: {{name: a}}\ntexts: [{', '.join(texts)}]\n"
    shown = json.loads(ok(control_plane.kubectl("label", "--local", "-o", "json", "-f", "-", "a=b", input=manifest)))
    read = overlaps.manifests("-", manifest)[0][0].obj["texts"]
    assert dict(zip(texts, read, strict=True)) == dict(zip(texts, shown["texts"], strict=True))


def test_what_is_exported_and_applied_with_kubectl_is_adopted_as_it_is(
    run: Run, user: User, aws: World, new_operator: NewOperator
) -> None:
    wild: list[dict[str, Any]] = [
        {"namespace": "web-*", "labels": {"team": "*", "app.kubernetes.io/na?e": "yes"}},
        {"namespace": "?"},
    ]
    aws.add_profile(aws.cluster, "web", ROLE, wild, SUBNETS, HOSTILE)
    aws.add_profile(aws.cluster, "1e3", ROLE, [{"namespace": "1e3", "labels": {}}], SUBNETS[:1])
    aws.add_profile(aws.cluster, "Shop_Pods", ROLE, [{"namespace": "null"}], SUBNETS, {"aws:cloudformation:id": "x"})
    before = {each["fargateProfileName"]: each for each in aws.profiles(aws.cluster)}

    code, exported, _ = run("export", "--namespace", user.namespace)
    assert code == 0
    assert run("validate", "-f", "-", stdin=exported) == (0, "", "3 FargateProfiles, no findings.\n")
    ok(user.kubectl("apply", "-f", "-", stdin=exported))
    assert foretold(run, user, exported) == ["refuse"] * 3, "adoption is not allowed yet"
    assert aws.manners.writes() == []

    new_operator(ALLOW_ADOPTION_IN=user.namespace).start()
    user.wait_ready("web", "1e3", "shop-pods")
    assert [call.operation for call in aws.manners.writes()] == ["TagResource"] * 3
    for each in aws.profiles(aws.cluster):
        was = before[each["fargateProfileName"]]
        assert each == was | {"tags": was["tags"] | {key: each["tags"][key] for key in (OWNER_KEY, CONTROLLER_KEY)}}
    assert foretold(run, user, exported) == ["nothing"] * 3
    code, exported, _ = run("export")
    assert (code, [*yaml.safe_load_all(exported)]) == (0, []), "all have an owner now"


def test_plan_says_before_each_edit_what_the_operator_then_does(
    run: Run, user: User, aws: World, new_operator: NewOperator
) -> None:
    new_operator().start()
    web, edited = user.manifest(), user.manifest(selectors=[{"namespace": "other"}], updatePolicy="Replace")
    assert foretold(run, user, web) == ["create"]
    assert (user.objects(), aws.manners.writes()) == ([], [])
    user.apply()
    user.wait_ready()
    assert foretold(run, user, web, edited) == ["nothing", "replace"]
    aws.manners.clear()
    ok(user.kubectl("apply", "-f", "-", stdin=json.dumps(edited)))
    user.wait_ready()
    assert [call.operation for call in aws.manners.writes()] == ["CreateFargateProfile", "DeleteFargateProfile"]
    assert foretold(run, user, edited) == ["nothing"]


@pytest.mark.parametrize("same", [True, False])
def test_explain_reads_as_whoever_may_get_pods_and_knows_the_cluster_by_its_certificates_not_by_its_name(
    control_plane: ControlPlane, user: User, aws: World, tmp_path: Path, same: bool
) -> None:
    read = "--resource=pods,events,limitranges,persistentvolumeclaims"
    ok(user.kubectl("create", "serviceaccount", "reader"))
    ok(user.kubectl("create", "role", "reader", "--verb=get,list", read))
    ok(user.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={user.namespace}:reader"))
    token = token_of(control_plane, f"{user.namespace}:reader")
    config = write_kubeconfig(tmp_path / "reader.kubeconfig", control_plane, token)
    authority = base64.b64encode(control_plane.ca.read_bytes()).decode()
    aws.set_certificate_authority(aws.cluster, authority if same else bundle(ONE))
    aws.add_profile(aws.cluster, "web", ROLE, [{"namespace": user.namespace}], SUBNETS)
    ok(user.kubectl("create", "-f", "-", stdin=json.dumps(stranded_pod())))
    uid = json.loads(ok(user.kubectl("get", "pod", "web-1", "-o", "json")))["metadata"]["uid"]
    about = {"kind": "Pod", "namespace": user.namespace, "name": "web-1", "uid": uid}
    told = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web-1.1"}, "involvedObject": about,
        "type": "Warning", "reason": "FailedScheduling", "message": "no nodes available to schedule pods",
    }  # fmt: skip
    ok(user.kubectl("create", "-f", "-", stdin=json.dumps(told)))

    def explained(*arguments: str, stdin: str = "") -> tuple[int, Any, str]:
        call = [sys.executable, "controller.py", "explain", *arguments, "-n", user.namespace, "-o", "json"]
        environ = environment(aws, KUBECONFIG=str(config))
        done = subprocess.run(
            call, cwd=ROOT, env=environ, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, json.loads(done.stdout), done.stderr

    code, answer, err = explained("pod", "web-1")
    pod = answer["objects"][0]
    assert (code, answer["proven"], "is unknown" in err) == (1, same, not same)
    assert (pod["stranded"], pod["profile"], pod["runs"]) == ("yes", "web", "unknown")
    assert [each["text"] for each in pod["said"]] == ["no nodes available to schedule pods"]
    assert (pod["vcpu"], pod["memoryGiB"]) == ([4, 4], [9, 9]), "the API server has filled in what LimitRanges give"
    written = explained("-f", "-", stdin=json.dumps(stranded_pod()))[1]["objects"][0]
    assert (written["vcpu"], written["memoryGiB"]) == (pod["vcpu"], pod["memoryGiB"]), "and so do we"


@pytest.mark.parametrize("same", [True, False])
def test_plan_says_what_a_new_profile_means_for_pods_as_the_api_server_selects_them(
    control_plane: ControlPlane, user: User, aws: World, tmp_path: Path, same: bool
) -> None:
    for verb, what in (("get", "fargateprofiles.jicomusic.com"), ("list", "pods")):
        ok(user.kubectl("create", "role", f"planner-{verb}", f"--verb={verb}", f"--resource={what}"))
        account = f"--serviceaccount={user.namespace}:planner"
        ok(user.kubectl("create", "rolebinding", f"planner-{verb}", f"--role=planner-{verb}", account))
    ok(user.kubectl("create", "serviceaccount", "planner"))
    token = token_of(control_plane, f"{user.namespace}:planner")
    config = write_kubeconfig(tmp_path / "planner.kubeconfig", control_plane, token)
    aws.set_issuer(aws.cluster, issuer_of(token) if same else "https://another")
    pods = [pod_on(name, node, labels) for name, node, labels in PODS]
    ok(user.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})))
    ends = '{"status":{"phase":"Succeeded"}}'
    ok(user.kubectl("patch", "pod", "done", "--subresource=status", "--type=merge", "-p", ends))
    wanted = user.manifest(selectors=[{"namespace": user.namespace, "labels": {"tier": "web"}}])
    call = [sys.executable, "controller.py", "plan", "-f-", "-ojson", "--controller-id=planner", "-n", user.namespace]
    done = subprocess.run(
        call, cwd=ROOT, env=environment(aws, KUBECONFIG=str(config)), input=json.dumps(wanted),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    (step,) = json.loads(done.stdout)["objects"][0]["steps"]
    assert (step["word"], "is unknown" in done.stderr) == ("create", not same), done.stderr
    counts = {"pods": 3, "onEc2": 2, "ofOthers": 0, "stranded": 1, "goWithTheOld": 0, "unknown": 0, "more": False}
    assert step["takes"] == (counts if same else None), done.stderr


WEB = {"tier": "web"}
PODS = [
    ("one", "ip-1", WEB),
    ("two", "ip-2", WEB),
    ("waits", "", WEB),
    ("done", "ip-3", WEB),
    ("db", "ip-4", {"tier": "db"}),
]


def pod_on(name: str, node: str, labels: dict[str, str]) -> Any:
    """Return a pod as it is bound to a node, though nobody runs it here; without a node it waits for one."""
    spec: dict[str, Any] = {"containers": [{"name": "main", "image": "none"}], "automountServiceAccountToken": False}
    spec |= {"nodeName": node} if node else {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def stranded_pod() -> Any:
    """Return a pod that no profile takes, with a claim that is not bound, beside a LimitRange that gives its size."""
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    several: list[Any] = [{}, {"limits": {"cpu": "2"}}, {"requests": {"cpu": "500m", "memory": "2Gi"}}]
    containers = [{"name": f"c{n}", "image": "i", "resources": each} for n, each in enumerate(several)]
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1"},
        "spec": {"containers": containers, "volumes": [volume]},
    }  # fmt: skip
    limits = [{"type": "Container", "default": {"cpu": "3", "memory": "3Gi"}, "defaultRequest": {"cpu": "1"}}]
    limit = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "usual"}, "spec": {"limits": limits}}
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "List", "items": [limit, claim, pod]}
