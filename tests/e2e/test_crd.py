"""crd.yaml on a real kube-apiserver: what is accepted, what users read, and that no object ever gets stuck."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.contract.client import UNSEEN
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import CompletedProcess

    from tests.e2e.controlplane import ControlPlane

HERE = Path(__file__).parent
CRD_FILE = HERE.parents[1] / "crd.yaml"
CRD: dict[str, Any] = yaml.safe_load(CRD_FILE.read_text())
SPEC: dict[str, Any] = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
CASES: list[dict[str, Any]] = yaml.safe_load((HERE / "crd_cases.yaml").read_text())["cases"]
SEED = next(case["text"] for case in CASES if "given twice" in case["name"])
FINALIZER = "fargateprofiles.jicomusic.com/finalizer"
VALID = {
    "podExecutionRoleArn": "arn:aws:iam::123456789012:role/fargate-pods",
    "selectors": [{"namespace": "default"}],
}
STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "CreateFailed",
            "message": "the role is used by a node group",
            "lastTransitionTime": "2026-11-22T11:22:20Z",
            "observedGeneration": 1,
        }
    ],
    "clusterName": "workshop",
    "clusterArn": "arn:aws:eks:us-east-1:123456789012:cluster/workshop",
    "profileName": "web-1",
    "profileArn": "arn:aws:eks:us-east-1:123456789012:fargateprofile/workshop/web-1/ec0a1b2c",
    "profileStatus": "CREATE_FAILED",
    "createdAt": "2026-11-22T11:22:20.123456+00:00",
    "health": [{"code": "AccessDenied", "message": "no", "resourceIds": ["r-1"]}, {"code": "NewCode"}],
    "bookkeeping": {
        "createStartedAt": "2026-11-22T11:22:20.123456Z",
        "firstTriedAt": "2026-11-22T11:22:20.123456Z",
        "failures": 1,
        "failedAt": "2026-11-22T11:22:20.1Z",
        "failedArn": "arn:aws:eks:us-east-1:123456789012:fargateprofile/workshop/web-1/ec0a1b2c",
        "appliedTagKeys": ["team", "team", ""],
    },
}


def fargate_profile(name: str, group: str = "jicomusic.com", **content: Any) -> dict[str, Any]:
    """Return an object of this name."""
    return {"apiVersion": f"{group}/v1", "kind": "FargateProfile", "metadata": {"name": name}, **content}


def ok(result: CompletedProcess[str]) -> str:
    """Return what kubectl printed; it must have succeeded, without a warning."""
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """Return the control plane with crd.yaml applied."""
    ok(control_plane.kubectl("apply", "--validate=strict", "-f", str(CRD_FILE)))
    wait_for(lambda: control_plane.kubectl("get", "fp").returncode == 0, SOON, "FargateProfiles are served")
    return control_plane


@pytest.fixture
def apply(cluster: ControlPlane) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """Apply a manifest as users do; what it made is gone after the test."""

    stored = False

    def run(manifest: Any, *flags: str) -> CompletedProcess[str]:
        nonlocal stored
        stored = stored or "--dry-run=server" not in flags
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return cluster.kubectl("apply", "--validate=strict", *flags, "-f", "-", input=text)

    yield run
    if stored:
        ok(cluster.kubectl("delete", "fp", "--all"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_api_server_judges(case: dict[str, Any], apply: Callable[..., CompletedProcess[str]]) -> None:
    if "before" in case:
        ok(apply(case["before"]))
    result = apply(case.get("text", case.get("object")), "--dry-run=server")
    said = result.stdout + result.stderr
    assert (result.returncode == 0) is case["accepted"], said
    assert case.get("message", "") in said
    assert "evaluating rule" not in said
    assert result.stderr == "" or not case["accepted"]


def with_most_selectors(key_length: int, value_length: int) -> str:
    """Return an object with 100 selectors of 100 pairs each; longer keys have a domain of short parts."""
    domain = f"{'d.' * (key_length // 2)}"[: max(0, key_length - 65)]
    before = f"{domain}d/" if key_length > 63 else ""
    keys = [f"{before}{number:0{key_length - len(before)}}" for number in range(100)]
    selectors = [{"namespace": "n" * 63, "labels": dict.fromkeys(keys, "v" * value_length)}] * 100
    return json.dumps(fargate_profile("most", spec={**VALID, "selectors": selectors}), separators=(",", ":"))


@pytest.mark.parametrize(("key_length", "value_length"), [(20, 20), (63, 63), (85, 60), (150, 0)])
def test_the_most_selectors_with_the_most_pairs_are_taken_as_far_as_there_is_room_for_them(
    cluster: ControlPlane, key_length: int, value_length: int
) -> None:
    """The API server bounds what the rules may cost; etcd has room for 1.5 MiB, so no pair can be longer on average."""
    text = with_most_selectors(key_length, value_length)
    ok(cluster.kubectl("create", "--validate=strict", "-f", "-", input=text))
    ok(cluster.kubectl("delete", "fp", "most"))


def test_longer_pairs_than_there_is_room_for_are_refused_for_the_room_and_not_for_a_rule(cluster: ControlPlane) -> None:
    result = cluster.kubectl("create", "-f", "-", input=with_most_selectors(156, 0))
    assert result.returncode == 1
    assert "too large" in result.stderr.lower()
    assert "cost" not in result.stderr


@pytest.mark.parametrize("validation", ["strict", "warn", "ignore"])
def test_the_seed_is_stored_with_the_last_of_the_duplicate_keys_and_no_word_about_it(
    cluster: ControlPlane, apply: Callable[..., CompletedProcess[str]], validation: str
) -> None:
    said = ok(apply(SEED, f"--validate={validation}"))
    assert said == "fargateprofile.jicomusic.com/new-profile-7 created\n"
    spec = json.loads(ok(cluster.kubectl("get", "fp", "new-profile-7", "-o", "json")))["spec"]
    labels = {"foo": "bar", "red": "black", "green": "white", "orange": "red", "purple": "yellow"}
    assert spec == {
        **yaml.safe_load(SEED)["spec"],
        "selectors": [
            {"namespace": "default", "labels": labels},
            *({"namespace": name, "labels": {"foo": "bar"}} for name in ("system", "hello", "world")),
        ],
        **{name: field["default"] for name, field in SPEC["properties"].items() if "default" in field},
    }


def test_an_object_that_no_controller_serves_says_so(
    cluster: ControlPlane, apply: Callable[..., CompletedProcess[str]]
) -> None:
    ok(apply(fargate_profile("web", spec=VALID)))
    row = ok(cluster.kubectl("get", "fp", "-o", "wide")).splitlines()[1]
    assert row.split()[:3] == ["web", "Unknown", "Pending"]
    assert row.rstrip().endswith("No operator has looked at this object yet.")
    assert "No operator has looked at this object yet." in ok(cluster.kubectl("describe", "fp", "web"))


def test_status_says_minus_one_until_the_first_look_and_takes_all_that_the_controller_writes(
    cluster: ControlPlane, apply: Callable[..., CompletedProcess[str]]
) -> None:
    ok(apply(fargate_profile("web", spec=VALID, status={"profileName": "forged"})))
    assert json.loads(ok(cluster.kubectl("get", "fp", "web", "-o", "json")))["status"] == UNSEEN
    assert patch(cluster, "fp/web", {"status": STATUS}, "--subresource=status") == ""
    stored = json.loads(ok(cluster.kubectl("get", "fp", "web", "-o", "json")))
    assert stored["status"] == STATUS
    assert stored["metadata"]["generation"] == 1


def test_get_shows_what_matters(cluster: ControlPlane, apply: Callable[..., CompletedProcess[str]]) -> None:
    ok(apply(fargate_profile("web", spec=VALID)))
    patch(cluster, "fp/web", {"status": STATUS}, "--subresource=status")
    header, row = ok(cluster.kubectl("get", "fp")).splitlines()
    assert header.split() == ["NAME", "CLUSTER", "PROFILE", "STATUS", "READY", "REASON", "PODS", "DELETED", "AGE"]
    assert row.split()[:-1] == ["web", "workshop", "web-1", "CREATE_FAILED", "False", "CreateFailed"]
    wide = ok(cluster.kubectl("get", "aws", "-o", "wide"))
    assert wide.splitlines()[0].split()[-4:] == ["ARN", "GENERATION", "SEEN", "MESSAGE"]
    assert re.search(rf"{STATUS['profileArn']} +1 +1 +the role is used by a node group$", wide.rstrip())


def test_what_is_shown_of_an_edit_or_a_deletion_that_no_controller_has_seen_can_be_told_from_news(
    cluster: ControlPlane, apply: Callable[..., CompletedProcess[str]]
) -> None:
    ok(apply(fargate_profile("web", spec=VALID)))
    patch(cluster, "fp/web", {"metadata": {"finalizers": ["example.com/wait"]}})
    patch(cluster, "fp/web", {"status": STATUS}, "--subresource=status")
    patch(cluster, "fp/web", {"spec": {"suspend": True}})
    header, row = ok(cluster.kubectl("get", "fp", "-o", "wide")).splitlines()
    generation, seen = (row[header.index(name) :].split()[0] for name in ("GENERATION", "SEEN"))
    assert (generation, seen) == ("2", "1")
    assert row[header.index("DELETED") :].startswith(" ")
    ok(cluster.kubectl("delete", "fp", "web", "--wait=false"))
    header, row = ok(cluster.kubectl("get", "fp")).splitlines()
    assert re.match(r"\d+s ", row[header.index("DELETED") :])
    patch(cluster, "fp/web", {"metadata": {"finalizers": None}})


def test_explain_has_a_sentence_for_every_field(cluster: ControlPlane) -> None:
    assert "Which pods run on Fargate" in ok(cluster.kubectl("explain", "fp.spec.selectors"))
    schema = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert [path for path, node in fields("", schema) if not node.get("description", "").endswith(".")] == [
        ".metadata"  # the API server forbids one there and has its own
    ]


def fields(path: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node of a schema with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from fields(f"{path}.{name}", child)
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from fields(f"{path}[]", node[key])


def test_every_rule_has_a_message() -> None:
    schema = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rules = [rule for _, node in fields("", schema) for rule in node.get("x-kubernetes-validations", [])]
    assert len(rules) > 15
    assert all(": " in rule["message"] for rule in rules), "what is wrong: what mends it"


REFUSALS = [re.sub(r"\s+", " ", case.get("message", "")) for case in CASES if not case["accepted"]]
SAID_OF = {  # what the API server says of a value beyond a bound of the schema
    "type": "in body must be of type",
    "required": "Required value",
    "pattern": "in body should match",
    "enum": "Unsupported value",
    "minItems": "in body should have at least",
    **dict.fromkeys(("maxItems", "maxProperties"), "Too many"),
    **dict.fromkeys(("maxLength",), "Too long"),
}


def test_every_rule_has_an_object_that_it_refuses_and_every_refusal_a_message() -> None:
    schema = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    inside = [node for path, node in fields("", schema) if not path.startswith(".status")]  # no manifest has a status
    rules = [rule["message"] for node in inside for rule in node.get("x-kubernetes-validations", [])]
    wrong = {rule: rule.partition(":")[0][-20:] for rule in rules}  # the end of what is wrong, before what mends it
    assert [rule for rule, end in wrong.items() if not any(end in said or said in rule for said in REFUSALS)] == []
    assert all(len(said) > 10 for said in REFUSALS)
    assert len(CASES) >= 60


def test_every_bound_of_the_schema_has_an_object_beyond_it() -> None:
    bounds = [(path, said) for path, node in fields("spec", SPEC) for bound, said in SAID_OF.items() if bound in node]
    assert [each for each in bounds if not any(refuses(said, *each) for said in REFUSALS)] == []


def refuses(message: str, path: str, said: str) -> bool:
    """Say whether the message is about a value at the path, or about one that is missing in it."""
    place = re.escape(path).replace(r"\[\]", r"(\[\d+\]|\.[\w-]+)") + (r"\.\w+" if said == "Required value" else "")
    return re.match(rf"(.*: )?{place}:? {said}", message) is not None


# --- Objects that an older CRD let in -------------------------------------------------------------------------

OLD_GROUP = "old.jicomusic.com"  # the same CRD under another group, so that the rest of the session is not disturbed
FOREIGN_CONDITIONS = [{"type": f"other-{number}", "status": "True"} for number in range(150)]
LONG_STATUS: dict[str, Any] = {  # over every bound of the status
    "conditions": FOREIGN_CONDITIONS,
    **dict.fromkeys(("lastHandledReconcileAt", "clusterName", "clusterArn", "profileName", "profileArn"), "x" * 3000),
    "profileStatus": "x" * 300,
    "health": [
        {"code": "x" * 2000, "message": "x" * 40_000, "resourceIds": ["x" * 3000] * 101},
        *[{"code": "x"}] * 200,
    ],
    "bookkeeping": {
        **dict.fromkeys(("createName", "createBeforeArn", "failedArn", "failedWhy"), "x" * 3000),
        "appliedTagKeys": ["x" * 200],
    },
}
OLD_OBJECTS: dict[str, dict[str, Any]] = {
    "dotted.name": {"spec": VALID},
    "eks-web": {"spec": VALID},
    "n" * 200: {"spec": VALID},
    "no-spec": {},
    "spec-null": {"spec": None},
    "spec-empty": {"spec": {}},
    "everything-null": {"spec": dict.fromkeys(SPEC["properties"])},
    "role-with-path": {"spec": {**VALID, "podExecutionRoleArn": "arn:aws:iam::123456789012:role/a/b"}},
    "role-number": {"spec": {**VALID, "podExecutionRoleArn": 5}},
    "no-selectors": {"spec": {"podExecutionRoleArn": "x"}},
    "selectors-empty": {"spec": {**VALID, "selectors": []}},
    "selectors-map": {"spec": {**VALID, "selectors": {"namespace": "x"}}},
    "selectors-101": {"spec": {**VALID, "selectors": [{"namespace": "x"}] * 101}},
    "selector-string": {"spec": {**VALID, "selectors": ["x"]}},
    "selector-null": {"spec": {**VALID, "selectors": [None]}},
    "namespace-list": {"spec": {**VALID, "selectors": [{"namespace": ["x"]}]}},
    "labels-list": {"spec": {**VALID, "selectors": [{"namespace": "x", "labels": ["a=b"]}]}},
    "label-boolean": {"spec": {**VALID, "selectors": [{"namespace": "x", "labels": {"fargate": True}}]}},
    "subnets-string": {"spec": {**VALID, "subnets": "subnet-12345678"}},
    "subnets-mixed": {"spec": {**VALID, "subnets": [None, 1, {}, "x", "x"]}},
    "subnets-2000": {"spec": {**VALID, "subnets": [f"subnet-{number:08x}" for number in range(2000)]}},
    "tag-number": {"spec": {**VALID, "tags": {"cost-center": 42}}},
    "tag-null": {"spec": {**VALID, "tags": {"a": None}}},
    "tags-reserved": {"spec": {**VALID, "tags": {"aws:a": "aws:b", "": "x"}}},
    "tags-49": {"spec": {**VALID, "tags": {f"t{i}": "x" for i in range(49)}}},
    "policy-unknown": {"spec": {**VALID, "deletionPolicy": ["Keep"]}},
    "suspend-string": {"spec": {**VALID, "suspend": "yes"}},
    "field-unknown": {"spec": {**VALID, "subnetIds": ["x"]}},
    "status-of-kopf": {"spec": VALID, "status": {"kopf": {"progress": {"create_fn": {}}}, "create_fn": "x"}},
    "status-long": {"spec": VALID, "status": LONG_STATUS},
    "status-odd": {"spec": VALID, "status": {"conditions": [{"a": 1}, "x"], "health": "x", "observedGeneration": "5"}},
}
OLD_TERMS: dict[str, Any] = {"spec": {**VALID, "subnets": [], "subnetSelectorTerms": [{}, {"tags": {"": "x"}}]}}
OLD_TAGS: dict[str, Any] = {"spec": {**VALID, "tags": {"aws:a": "x", "": "x", "cost-center": 42}}}


def patch(cluster: ControlPlane, target: str, change: dict[str, Any], *flags: str) -> str:
    """Merge the change into the object; return what kubectl has against it, warnings aside."""
    result = cluster.kubectl("patch", target, "--type=merge", "-p", json.dumps(change), *flags)
    return "" if result.returncode == 0 else result.stderr


@pytest.fixture(scope="module")
def old_objects(control_plane: ControlPlane) -> None:
    """Let the API server store the objects under a CRD without rules, then give it ours."""
    ours = copy.deepcopy(CRD)
    ours["metadata"]["name"] = f"fargateprofiles.{OLD_GROUP}"
    ours["spec"] |= {"group": OLD_GROUP, "names": {"kind": "FargateProfile", "plural": "fargateprofiles"}}
    lax = copy.deepcopy(ours)
    version = lax["spec"]["versions"][0]
    version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    del version["subresources"], version["additionalPrinterColumns"]
    ok(control_plane.kubectl("apply", "-f", "-", input=json.dumps(lax)))
    wait_for(
        lambda: control_plane.kubectl("get", ours["metadata"]["name"]).returncode == 0, SOON, "the lax CRD is served"
    )
    edited = {"tags-edited": OLD_TAGS, "terms-edited": OLD_TERMS, "subnets-edited": OLD_OBJECTS["subnets-2000"]}
    all_of_them = OLD_OBJECTS | edited | {"status-filled": OLD_OBJECTS["status-long"]}
    items = [fargate_profile(name, OLD_GROUP, **content) for name, content in all_of_them.items()]
    for item in items:
        item["metadata"]["finalizers"] = [FINALIZER, "kopf.zalando.org/KopfFinalizerMarker"]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    ok(control_plane.kubectl("create", "--validate=false", "-f", "-", input=manifest))
    ok(control_plane.kubectl("apply", "-f", "-", input=json.dumps(ours)))
    wrong = json.dumps(fargate_profile("wrong.name", OLD_GROUP, spec=VALID))
    check = ("create", "--dry-run=server", "-f", "-")  # a changed CRD is taken into use a moment after it is stored
    wait_for(lambda: control_plane.kubectl(*check, input=wrong).returncode, SOON, "the CRD's rules hold")


@pytest.mark.parametrize("name", OLD_OBJECTS)
@pytest.mark.usefixtures("old_objects")
def test_what_an_older_crd_let_in_can_be_reported_on_and_released(control_plane: ControlPlane, name: str) -> None:
    resource = f"fargateprofiles.{OLD_GROUP}"
    target = f"{resource}/{name}"
    assert patch(control_plane, target, {"status": STATUS}, "--subresource=status") == ""
    assert patch(control_plane, target, {"metadata": {"finalizers": [FINALIZER]}}) == ""
    assert control_plane.kubectl("delete", resource, name, "--wait=false").returncode == 0
    change = {"status": {"profileStatus": "DELETING"}}
    assert patch(control_plane, target, change, "--subresource=status") == ""
    assert patch(control_plane, target, {"metadata": {"finalizers": None}}) == ""
    assert "NotFound" in control_plane.kubectl("get", resource, name).stderr


@pytest.mark.usefixtures("old_objects")
def test_a_status_over_every_bound_may_stay_and_take_what_the_controller_writes_but_others_may_not_add_to_it(
    control_plane: ControlPlane,
) -> None:
    target = f"fargateprofiles.{OLD_GROUP}/status-filled"
    assert patch(control_plane, target, {"metadata": {"annotations": {"a": "b"}, "finalizers": [FINALIZER]}}) == ""
    ours = [*STATUS["conditions"], {**STATUS["conditions"][0], "type": "Stalled"}]
    more: dict[str, Any] = {"status": {"conditions": [*FOREIGN_CONDITIONS, *ours], "profileStatus": "ACTIVE"}}
    assert patch(control_plane, target, more, "--subresource=status") == ""
    more = {"status": {"conditions": [*FOREIGN_CONDITIONS, *ours[:1]]}}
    assert patch(control_plane, target, more, "--subresource=status") == ""
    too_many = [{"type": f"more-{number}", "status": "True"} for number in range(50)]
    change = {"status": {"conditions": [*FOREIGN_CONDITIONS, *too_many]}}
    assert "more than 100 conditions" in patch(control_plane, target, change, "--subresource=status")
    beyond: list[tuple[dict[str, Any], str]] = [
        ({"health": [{"code": "x"}] * 101}, "Too many"),
        ({"profileArn": "x" * 2049}, "Too long"),
        ({"bookkeeping": {"appliedTagKeys": ["x"] * 10_001}}, "Too many"),
    ]
    for wrong, said in beyond:
        assert said in patch(control_plane, target, {"status": wrong}, "--subresource=status")
    assert patch(control_plane, target, {"metadata": {"finalizers": None}}) == ""


@pytest.mark.usefixtures("old_objects")
def test_too_many_subnets_that_an_older_crd_let_in_may_stay_or_go_but_no_others_may_come(
    control_plane: ControlPlane,
) -> None:
    target, many = f"fargateprofiles.{OLD_GROUP}/subnets-edited", OLD_OBJECTS["subnets-2000"]["spec"]["subnets"]
    assert patch(control_plane, target, {"spec": {"suspend": True}}) == ""
    assert "Too many" in patch(control_plane, target, {"spec": {"subnets": many[:1500]}})
    assert patch(control_plane, target, {"spec": {"subnets": many[:1000]}}) == ""
    assert patch(control_plane, target, {"metadata": {"finalizers": None}}) == ""


@pytest.mark.usefixtures("old_objects")
def test_a_wrong_tag_that_an_older_crd_let_in_may_stay_or_go_but_no_other_may_come(control_plane: ControlPlane) -> None:
    target = f"fargateprofiles.{OLD_GROUP}/tags-edited"
    assert "starts with aws:" in patch(control_plane, target, {"spec": {"tags": {"aws:b": "x"}}})
    assert patch(control_plane, target, {"spec": {"tags": {"b": "x"}}}) == ""
    assert patch(control_plane, target, {"spec": {"tags": {"aws:a": None}}}) == ""
    assert "starts with aws:" in patch(control_plane, target, {"spec": {"tags": {"aws:a": "x"}}})


@pytest.mark.usefixtures("old_objects")
def test_wrong_terms_that_an_older_crd_let_in_may_stay_but_no_edit_of_them_may_leave_them_wrong(
    control_plane: ControlPlane,
) -> None:
    target = f"fargateprofiles.{OLD_GROUP}/terms-edited"
    good = {"tags": {"fargate": "yes"}}
    assert patch(control_plane, target, {"spec": {"suspend": True}}) == ""
    assert patch(control_plane, target, {"status": STATUS}, "--subresource=status") == ""
    assert "both or neither" in patch(control_plane, target, {"spec": {"subnetSelectorTerms": [{}, good]}})
    assert patch(control_plane, target, {"spec": {"subnetSelectorTerms": [good]}}) == ""
    both = {**good, "id": "subnet-12345678"}
    assert "both or neither" in patch(control_plane, target, {"spec": {"subnetSelectorTerms": [both]}})
    assert "is empty or longer" in patch(
        control_plane, target, {"spec": {"subnetSelectorTerms": [{"tags": {"": "x"}}]}}
    )
    assert "beside subnets" in patch(control_plane, target, {"spec": {"subnets": ["subnet-12345678"]}})
    assert patch(control_plane, target, {"metadata": {"finalizers": None}}) == ""
