"""The files beside the code say what the code does: CRD, RBAC, IAM policy, Deployment, image, Makefile, documents."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from lupa import LuaRuntime  # type: ignore[import-untyped]

import answers
import aws
import config
import controller
import kube
import spec
from actions import Phase
from leader import LEASE_TIMEOUT, LeaderElector
from lookups import running_pods
from metrics import METRICS_PATH, may_get
from spec import CONTROLLER_KEY, OURS, OWNER_KEY, RETAINED_KEY, InvalidSpec, Resource
from status import EVENTS, LOGGED_ORPHAN, REASONS
from tests.docs import DOCUMENTS, ROOT, section, table
from tests.fakes.apiserver import RESOURCES, ApiServer, crd_schema, defaulted, kubeconfig, resolve, serve
from tests.harness import Bench, InProcess, bench

Object = dict[str, Any]


def documents(name: str) -> list[Object]:
    return list(yaml.safe_load_all((ROOT / name).read_text()))


def the(kind: str, name: str) -> Object:
    return next(each for each in documents(name) if each["kind"] == kind)


CRD: Object = documents("crd.yaml")[0]
VERSION: Object = CRD["spec"]["versions"][0]
SAMPLES = documents("sample-crd.yaml")
RULES: list[Object] = [*the("ClusterRole", "rbac.yaml")["rules"], *the("Role", "rbac.yaml")["rules"]]
POLICY: list[Object] = json.loads((ROOT / "IAMPolicy.json").read_text())["Statement"]
DEPLOYMENT = the("Deployment", "deployment.yaml")
POD: Object = DEPLOYMENT["spec"]["template"]
CONTAINER: Object = POD["spec"]["containers"][0]
EVERY_DOCUMENT = "\n".join(DOCUMENTS.values())
LEASE = ("default", "fargate-operator")


# The schema, as far as jsonschema can read it


def readable(schema: Any) -> Any:
    """Return an OpenAPI v3 schema as JSON schema: `$` is the very end in Go's regular expressions, not in Python's."""
    if isinstance(schema, list):
        return [readable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: readable(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if isinstance(kept.get("pattern"), str):
        kept["pattern"] = kept["pattern"].removesuffix("$") + r"\Z"
    if isinstance(kept.get("properties"), dict):  # where the API server would prune, or refuse under strict validation
        kept.setdefault("additionalProperties", False)
    return kept


SCHEMA: Object = readable(VERSION["schema"]["openAPIV3Schema"])
SCHEMA["additionalProperties"] = True  # apiVersion and kind
SCHEMA["properties"]["metadata"]["additionalProperties"] = True
RAW_SPEC: Object = VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"]
FIELDS: Object = RAW_SPEC["properties"]


def finds(schema: Object, value: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(readable(schema)).iter_errors(value)]


def rules(schema: Object) -> str:
    return "\n".join(each["rule"] for each in schema.get("x-kubernetes-validations", []))


def passes(cel: str, variable: str, text: str) -> bool:
    """Judge a text by what the rules say of it at creation: every `matches` and `startsWith` of one variable."""
    calls = re.findall(rf"(!?)(?<![\w.\[]){re.escape(variable)}\.(matches|startsWith)\('([^']*)'\)", cel)
    assert calls, f"no rule speaks of {variable}"
    return all((_holds(call, argument, text)) is not bool(negated) for negated, call, argument in calls)


def _holds(call: str, argument: str, text: str) -> bool:
    if call == "startsWith":
        return text.startswith(argument)
    flags = "(?i)" if "(?i)" in argument else ""
    pattern = flags + argument.replace("(?i)", "")
    return re.search(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern, text) is not None


def crd_takes(field: str, text: str) -> bool:
    """Say whether crd.yaml takes this text in a field of a new object."""
    selectors = FIELDS["selectors"]
    of_selector, tags = selectors["items"]["properties"], FIELDS["tags"]
    term = FIELDS["subnetSelectorTerms"]["items"]["properties"]
    root = VERSION["schema"]["openAPIV3Schema"]
    schema, cel, variable = {
        "podExecutionRoleArn": (FIELDS["podExecutionRoleArn"], rules(FIELDS["podExecutionRoleArn"]), "self"),
        "namespace": (of_selector["namespace"], rules(selectors), "s.__namespace__"),
        "label key": ({}, rules(selectors), "k"),
        "label value": (of_selector["labels"]["additionalProperties"], rules(selectors), "s.labels[k]"),
        "podExecutionRoleName": (FIELDS["podExecutionRoleName"], "", ""),
        "subnets": (FIELDS["subnets"]["items"], "", ""),
        "id of a term": (term["id"], "", ""),
        "tag key of a term": ({}, rules(FIELDS["subnetSelectorTerms"]), "k"),
        "tag value of a term": (term["tags"]["additionalProperties"], "", ""),
        "tag key": ({}, rules(tags), "k"),
        "tag value": (tags["additionalProperties"], rules(tags["additionalProperties"]), "self"),
        "clusterName": (FIELDS["clusterName"], rules(FIELDS["clusterName"]), "self"),
        "profileName": (FIELDS["profileName"], rules(FIELDS["profileName"]), "self"),
        "metadata.name": ({}, rules(root), "self.metadata.name"),
    }[field]
    if field.startswith("tag key"):
        least, most = re.findall(r"size\(k\) >= (\d+) && size\(k\) <= (\d+)", cel)[0]
        reserved = re.findall(r"'(fargateprofiles[^']+)'", cel)
        if not int(least) <= len(text) <= int(most) or text in reserved:
            return False
        cel = cel if field == "tag key" else ""  # of a subnet's tags nothing but the length is judged
    return not finds(schema, text) and (not cel or passes(cel, variable, text))


def code_takes(field: str, text: str) -> bool:
    """Say whether `Resource.parse` takes this text in a field of an object that is fine otherwise."""
    spec: Object = {
        "podExecutionRoleArn": "arn:aws:iam::123456789012:role/pods",
        "selectors": [{"namespace": "a"}],
        "profileName": "web",
    }
    name = text if field == "metadata.name" else "web"
    said: dict[str, Object] = {
        "namespace": {"selectors": [{"namespace": text}]},
        "label key": {"selectors": [{"namespace": "a", "labels": {text: "x"}}]},
        "label value": {"selectors": [{"namespace": "a", "labels": {"x": text}}]},
        "subnets": {"subnets": [text]},
        "id of a term": {"subnetSelectorTerms": [{"id": text}]},
        "tag key of a term": {"subnetSelectorTerms": [{"tags": {text: "x"}}]},
        "tag value of a term": {"subnetSelectorTerms": [{"tags": {"x": text}}]},
        "tag key": {"tags": {text: "x"}},
        "tag value": {"tags": {"x": text}},
        "metadata.name": {},
    }
    spec |= said.get(field, {field: text})
    for other in {"metadata.name": ["profileName"], "podExecutionRoleName": ["podExecutionRoleArn"]}.get(field, []):
        del spec[other]
    try:
        Resource.parse({"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    except InvalidSpec:
        return False
    return True


ROLE = "arn:aws:iam::123456789012:role/"
NAMES = (
    ("web", "Web_1", "1", "a" * 91, "eks", "Eks-x", "a--b", "a-"),
    ("", "-a", "_a", "a.b", "a" * 92, "eks-", "eks-x", "ä", "a b", "a\n", "a/b"),
)
WORDS = ("web", "v1.2", "A_b-c", "*", "?", "we*", "*?", "a" * 63)
NO_WORDS = ("-a", "a-", ".a", "a b", "ä", "a" * 64, "a\n", "a@b")
TEXTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # good ones, bad ones
    "podExecutionRoleArn": (
        (ROLE + "pods", ROLE + "a" * 64, ROLE + "A_+=,.@-9", ROLE.replace("aws", "aws-cn", 1) + "x",
         ROLE.replace("aws", "aws-us-gov", 1) + "x"),
        ("", "pods", ROLE, ROLE + "path/pods", ROLE + "a" * 65, ROLE + "a b", ROLE + "pods\n", " " + ROLE + "pods",
         ROLE.replace("role", "user") + "x", ROLE.replace("123", "", 1) + "x", ROLE.replace("iam", "sts") + "x",
         ROLE.replace("::", ":us-east-1:", 1) + "x"),
    ),
    "namespace": (("default", "a", "team-a", "*", "?", "pro?-*", "*-x", "9", "a" * 63),
                  ("", "-a", "a-", "A", "a_b", "a.b", "a b", "a" * 64, "a\n", "ä")),
    "label key": ((*WORDS, "example.com/name", "a/b", "*/b", "a.b-c.d/x", "x/" + "a" * 63),
                  ("", *NO_WORDS, "/a", "a/", "a/b/c", "A.com/x", "-a/x", "a-/x", "a" * 254 + "/x", "a/-b")),
    "label value": (("", *WORDS), (*NO_WORDS, "a/b")),
    "subnets": (("subnet-075aa287882d71709", "subnet-0123abcd"),
                ("", "subnet-", "subnet-075aa287882d7170", "subnet-075AA287882D71709", "vpc-0123abcd",
                 "subnet-0123abcd\n", "xsubnet-0123abcd", "subnet-0123abcg")),
    "podExecutionRoleName": (("pods", "a" * 64, "A_+=,.@-9"), ("", "a" * 65, "a b", "pods\n", "path/pods", "ä")),
    "id of a term": (("subnet-0123abcd",), ("", "subnet-", "subnet-0123abcg", "vpc-0123abcd", "subnet-0123abcd\n")),
    "tag key of a term": (("a", "a b", "ä", "a" * 128, "aws:cloudformation:stack-name", OWNER_KEY), ("", "a" * 129)),
    "tag value of a term": (("*", "a", "ä b", "x" * 256, "a*", "aws:x", "a\nb"), ("", "x" * 257)),
    "tag key": (("a", "a b", "ä", "a" * 128, "x:y/z", "aws", "xaws:", "\n", "fargateprofiles.jicomusic.com/owners"),
                ("", "a" * 129, "aws:x", "AWS:x", "aWs:", OWNER_KEY, CONTROLLER_KEY, RETAINED_KEY)),
    "tag value": (("", "a", "ä b", "x" * 256, "aws", "see aws:x", "a\nb"), ("x" * 257, "aws:x", "AWS:x")),
    "clusterName": (("demo", "A_b-c", "1", "a" * 100, "eks-x"), ("", "-a", "_a", "a.b", "a" * 101, "a b", "a\n", "ä")),
    "profileName": NAMES,
    "metadata.name": (("web", "1", "a" * 91, "eks", "a--b"), ("a.b", "a" * 92, "eks-x", "eks-")),
}  # fmt: skip


@pytest.mark.parametrize("field", TEXTS)
def test_the_crd_and_the_code_agree_on_what_a_field_may_hold(field: str) -> None:
    good, bad = TEXTS[field]
    judged = {text: (crd_takes(field, text), code_takes(field, text)) for text in (*good, *bad)}
    assert judged == {text: (text in good,) * 2 for text in (*good, *bad)}


def test_the_crd_and_the_code_know_the_same_fields_and_need_the_same_ones() -> None:
    fields = spec.SpecFields.model_fields.values()
    assert set(FIELDS) == {field.alias for field in fields}
    assert set(RAW_SPEC["required"]) == {field.alias for field in fields if field.is_required()} - {"profileName"}
    term = FIELDS["subnetSelectorTerms"]["items"]
    assert set(term["properties"]) == set(spec.TermFields.model_fields)
    in_selector = spec.SelectorFields.model_fields
    assert set(FIELDS["selectors"]["items"]["properties"]) == set(in_selector)
    assert FIELDS["deletionPolicy"]["enum"] == ["Delete", "Retain"]


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [
        ("selectors", 1, 100),
        ("labels", 0, 100),
        ("tags", 0, 48),
        ("terms", 1, 30),
        ("tags of a term", 1, 20),
    ],
)
def test_the_crd_and_the_code_have_the_same_bounds(field: str, least: int, most: int) -> None:
    for count in {least, most, most + 1, max(0, least - 1)}:
        pairs, spec = {f"k{index}": "x" for index in range(count)}, copy.deepcopy(SAMPLES[0]["spec"])
        match field:
            case "selectors":
                spec["selectors"] = [{"namespace": f"n{index}"} for index in range(count)]
            case "labels":
                spec["selectors"] = [{"namespace": "a", "labels": pairs}]
            case "terms":
                spec["subnetSelectorTerms"] = [{"tags": {"a": str(index)}} for index in range(count)]
            case "tags of a term":
                spec["subnetSelectorTerms"] = [{"tags": pairs}]
            case _:
                spec["tags"] = pairs
        if "subnetSelectorTerms" in spec:
            del spec["subnets"]
        obj = SAMPLES[0] | {"spec": spec}
        fits = least <= count <= most
        assert (not list(Draft202012Validator(SCHEMA).iter_errors(obj))) is fits
        if fits:
            Resource.parse(obj)
        else:
            with pytest.raises(InvalidSpec):
                Resource.parse(obj)


# The CRD, the samples, the examples of the documents


def test_the_crd_is_that_of_the_original_and_keeps_status_apart() -> None:
    spec = CRD["spec"]
    assert CRD["apiVersion"] == "apiextensions.k8s.io/v1"
    assert CRD["metadata"]["name"] == f"{kube.PLURAL}.{kube.GROUP}"
    assert (spec["group"], VERSION["name"], spec["scope"]) == (kube.GROUP, kube.VERSION, "Namespaced")
    names = spec["names"]
    assert (names["kind"], names["plural"], names["shortNames"], names["categories"]) == (
        kube.KIND, kube.PLURAL, ["fp"], ["aws"],
    )  # fmt: skip
    assert VERSION["subresources"] == {"status": {}}
    assert VERSION["served"]
    assert VERSION["storage"]


def test_kubectl_shows_the_promised_columns() -> None:
    columns = VERSION["additionalPrinterColumns"]
    shown, wide = ["NAME", *(each["name"].upper() for each in columns)], ["ARN", "GENERATION", "SEEN", "MESSAGE"]
    assert shown == ["NAME", "CLUSTER", "PROFILE", "STATUS", "READY", "REASON", "PODS", "DELETED", "AGE", *wide]
    assert [each["name"].upper() for each in columns if each.get("priority")] == wide
    assert [row[0] for row in table("README.md", "column")] == shown


def at(path: str, obj: Object) -> object:
    """Return what a printer column's jsonPath shows of an object: steps, and a filter by type."""
    found: Any = obj
    for step, kind in re.findall(r'\.(\w+)(?:\[\?\(@\.type=="(\w+)"\)\])?', path):
        found = found[step]
        if kind:
            (found,) = [each for each in found if each["type"] == kind]
    return found


def test_each_column_of_kubectl_shows_what_its_name_says(b: Bench) -> None:
    """Of an object that stalls, whose profile has another name, and whose cluster is the controller's."""
    b.settle(profileName="shop")
    b.edit(selectors=[{"namespace": "other"}])
    b.run(30)
    obj = b.get()
    for each in obj["status"]["conditions"]:
        if each["type"] != "Ready":
            each.update(reason="Other", message="Another one's.")
    obj["status"]["conditions"].reverse()  # their order means nothing
    obj["metadata"]["deletionTimestamp"] = "2026-11-22T09:00:00Z"
    obj["status"]["pods"] = {"summary": "12, 3 stranded"}
    columns = {each["name"]: each for each in VERSION["additionalPrinterColumns"]}
    shown = {name: at(each["jsonPath"], obj) for name, each in columns.items()}
    assert "EKS can't change a profile" in str(shown.pop("Message"))
    assert shown == {
        "Cluster": "demo",
        "Profile": "shop",
        "Status": "ACTIVE",
        "Ready": "False",
        "Reason": "ImmutableField",
        "Pods": "12, 3 stranded",
        "Deleted": obj["metadata"]["deletionTimestamp"],
        "Generation": 2,
        "Seen": 2,
        "Age": obj["metadata"]["creationTimestamp"],
        "ARN": b.profiles()["shop"]["fargateProfileArn"],
    }
    kinds = {name: each["type"] for name, each in columns.items() if each["type"] != "string"}
    assert kinds == {"Deleted": "date", "Age": "date", "Generation": "integer", "Seen": "integer"}


@pytest.mark.parametrize("field", ["deletionPolicy", "updatePolicy", "adoptionPolicy", "strandedPods", "suspend"])
def test_a_field_that_is_left_out_means_what_the_crd_writes_there(field: str) -> None:
    obj: Object = {"metadata": {"name": "web", "namespace": "default", "creationTimestamp": "2026-11-22T08:00:00Z"}}
    short = obj | {"spec": {"podExecutionRoleArn": ROLE + "pods", "selectors": [{"namespace": "a"}]}}
    full = obj | {"spec": {**short["spec"], field: FIELDS[field]["default"]}}
    assert Resource.parse(full) == Resource.parse(short)
    told = [spec.Identity.parse(each, spec.Memory(), "demo") for each in (full, short)]
    assert told[0] == told[1]


def test_an_object_that_nobody_has_looked_at_is_told_from_one_that_was_looked_at() -> None:
    """By kstatus: a status of no generation is not of this one, whichever that is; a generation starts at 1."""
    status = VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert status["default"] == {}
    assert status["properties"]["observedGeneration"]["default"] == spec.Memory().observed_generation == -1


def test_a_condition_is_there_once_a_type_whoever_writes_it() -> None:
    conditions = VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


def test_a_list_of_conditions_that_others_have_filled_has_room_for_all_of_ours() -> None:
    rules = VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    (rule,) = (each["rule"] for each in rules["x-kubernetes-validations"])
    assert rule.endswith(f"size(oldSelf.value()) + {len(OURS)})")


def test_every_field_of_the_crd_is_explained() -> None:
    def silent(schema: Object, path: str) -> Iterator[str]:
        for name, field in schema.get("properties", {}).items():
            if not field.get("description") and path + name != ".metadata":
                yield path + name
            yield from silent(field, f"{path}{name}.")
            yield from silent(field.get("items", {}), f"{path}{name}[].")

    assert list(silent(VERSION["schema"]["openAPIV3Schema"], ".")) == []


@pytest.mark.parametrize("obj", SAMPLES, ids=lambda obj: str(obj["metadata"]["name"]))
def test_a_sample_is_valid_for_the_crd_and_for_the_code(obj: Object) -> None:
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(obj)] == []
    assert Resource.parse(obj).profile.selectors


def test_no_key_stands_twice_in_a_manifest() -> None:
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            assert len(keys) == len(set(keys)), f"{node.start_mark}: a key stands twice in {keys}"
            return super().construct_mapping(node, deep)

    for path in ROOT.glob("*.yaml"):
        list(yaml.load_all(path.read_text(), Strict))


def test_the_samples_are_the_original_one_and_one_with_every_field() -> None:
    original, full = SAMPLES
    assert original["metadata"]["name"] == "new-profile-7"
    assert original["spec"]["selectors"][0]["labels"]["green"] == "white"
    instead = {"podExecutionRoleName", "subnetSelectorTerms"}  # of two others that it has
    assert set(full["spec"]) == set(FIELDS) - instead


def test_the_examples_of_the_documents_are_valid() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", EVERY_DOCUMENT, re.S)]
    objects = [block for block in blocks if "apiVersion" in block]
    assert objects
    for obj in objects:
        assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(obj)] == []
        Resource.parse(obj)


def test_what_the_controller_writes_into_status_fits_the_crd(life: Bench) -> None:
    assert WRITTEN
    for obj in WRITTEN:
        assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(obj)] == []


# Permissions: a life of every kind of call, recorded

WRITTEN: list[Object] = []
CALLED: set[str] = set()


def public(edge: type) -> list[str]:
    return [name for name, what in vars(edge).items() if callable(what) and not name.startswith("_")]


def record(edge: object) -> None:
    """Have an edge note in `CALLED` which of its methods are called."""

    def recorded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            CALLED.add(f"{type(edge).__name__}.{name}")
            return method(*args, **kwargs)

        return call

    for name in public(type(edge)):
        setattr(edge, name, recorded(name, getattr(edge, name)))


@pytest.fixture(scope="module")
def life() -> Iterator[Bench]:
    """Let one controller make, tag, untag, refuse, retain and delete, meet an orphan profile, and follow a watch."""
    WRITTEN.clear()
    with bench() as b:
        record(b.kube)
        record(b.site.aws)
        uid = b.api.get("namespaces", "", "kube-system")["metadata"]["uid"]  # type: ignore[index]
        orphan = {OWNER_KEY: "default/nobody", CONTROLLER_KEY: uid}
        b.world.add_profile("demo", "nobody", b.world.roles["good"], [{"namespace": "x"}], tags=orphan)
        for name in ("web", "kept"):
            b.apply(name, tags={"team": "a"})
        b.apply("bad", subnets=[b.world.public_subnet], podExecutionRoleArn=b.world.roles["other-policy"])
        terms = [{"id": b.world.private_subnets[0]}]
        b.api.apply(b.manifest("terms", subnets=[], subnetSelectorTerms=terms, deletionPolicy="Delete"))
        b.run(200)
        b.edit(tags={"team": None, "crew": "b"})
        b.edit("kept", deletionPolicy="Retain", suspend=False)
        b.run(700)
        made = ("web", "kept", "bad", "terms")
        WRITTEN.extend(map(b.get, made))
        for name in made:
            b.delete(name)
        b.run(300)
        assert all(map(b.gone, made))
        assert set(b.profiles()) == {"nobody", "kept"}
        elector = LeaderElector(b.kube, LEASE, "one", b.clock.monotonic, b.clock.now, lambda: 0.5)
        for _ in range(2):
            elector.step()
        yield b


def asked(api: ApiServer) -> set[tuple[str, str, str]]:
    """Return what the API server was asked for, as RBAC words it: verb, group and resource, name where it is fixed."""
    verbs = {
        ("GET", False): "list", ("GET", True): "get", ("WATCH", False): "watch", ("POST", False): "create",
        ("POST", True): "create", ("PUT", True): "update",
    }  # fmt: skip
    found = set()
    for request in api.log:
        at = resolve(request.path)
        method = "WATCH" if request.query.get("watch") == "true" else request.method
        verb = verbs.get((method, bool(at.name)), method.lower())
        subresource = f"/{at.subresource}" if at.subresource else ""
        name = at.name if not at.resource.namespaced or at.resource.plural == "leases" else ""
        what = f"{at.resource.group}:{at.resource.plural}{subresource}"
        found.add((verb, what, name))
        if (request.method, request.status) == ("PUT", 201):  # a PUT that makes an object needs both verbs
            found.add(("create", what, name))
    return found


# By the ClusterRole system:basic-user that every cluster has.
GRANTED_TO_ALL = {("create", "authorization.k8s.io:selfsubjectaccessreviews", "")}


def optional(*resources: str) -> list[Object]:
    """Return the rules in the comments of rbac.yaml that speak of these resources."""
    commented = re.findall(r"^# (- apiGroups:.*(?:\n#   .*)+)", (ROOT / "rbac.yaml").read_text(), re.M)
    rules = [rule for text in commented for rule in yaml.safe_load(text.replace("\n# ", "\n"))]
    return [rule for rule in rules if {*rule["resources"]} & {*resources}]


def test_the_optional_permission_is_what_counting_pods_asks_for() -> None:
    assert optional("pods") == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    api = ApiServer()
    api.may_list_pods = True
    assert running_pods(kube.Kube(InProcess(api, lambda: None), "test"), "web") == 0
    assert asked(api) == {("list", ":pods", "")} | GRANTED_TO_ALL


def test_the_optional_permission_is_what_reading_aws_auth_asks_for() -> None:
    granted = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["aws-auth"], "verbs": ["get"]}
    assert optional("configmaps") == [granted]


def test_the_optional_permissions_are_what_asking_for_a_token_of_who_scrapes_takes() -> None:
    rules = optional("tokenreviews", "subjectaccessreviews")
    granted = {
        (verb, f"{group}:{resource}", "")
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    api = ApiServer()
    api.users["a"] = {"username": "prometheus"}
    edge = kube.Kube(InProcess(api, lambda: None), "test")
    assert may_get(edge.review, "a", "/metrics") == ("prometheus", False)
    assert asked(api) == granted


def test_rbac_grants_what_the_controller_asks_for_and_nothing_else(
    life: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(life.api) as server:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(server.url, tmp_path / "config")))
        source = kube.Kube(kube.connect(2), "test")
        source.stop()
        assert list(source.watch(life.api.resource_version)) == []
    granted = {
        (verb, f"{group}:{resource}", name)
        for rule in RULES
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }
    assert granted | GRANTED_TO_ALL == asked(life.api)
    assert {request.status for request in life.api.log} <= {200, 201, 404}


def test_every_question_and_change_of_the_edges_is_met_in_that_life(life: Bench) -> None:
    """So what the API server and AWS were asked for in it is all that needs a permission."""
    missing = {f"{edge.__name__}.{name}" for edge in (kube.Kube, aws.Aws) for name in public(edge)} - CALLED
    # The watch and who may read /metrics have tests of their own; to stop asks nothing; the rest of core/v1 is for
    # explain, and what else is asked of AWS for doctor, which whoever calls them does by their own rights. Roles are
    # assumed where a file lists clusters of other accounts: test_hub.py.
    assert missing == {"Kube.stop", "Kube.watch", "Kube.core", "Aws.ask", "Aws.assume"}


def test_the_binding_gives_the_role_to_the_account_of_the_deployment() -> None:
    account, binding = the("ServiceAccount", "rbac.yaml")["metadata"], the("ClusterRoleBinding", "rbac.yaml")
    assert (account["name"], account["namespace"]) == ("fargate", "default")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "fargate", "namespace": "default"}]
    roles = "rbac.authorization.k8s.io"
    assert binding["roleRef"] == {"apiGroup": roles, "kind": "ClusterRole", "name": "fargate-operator"}
    assert binding["roleRef"]["name"] == the("ClusterRole", "rbac.yaml")["metadata"]["name"]
    role, binding = the("Role", "rbac.yaml")["metadata"], the("RoleBinding", "rbac.yaml")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "fargate", "namespace": "default"}]
    assert binding["roleRef"] == {"apiGroup": roles, "kind": "Role", "name": role["name"]}
    assert role["namespace"] == binding["metadata"]["namespace"] == DEPLOYMENT["metadata"]["namespace"]
    assert POD["spec"]["serviceAccountName"] == account["name"]
    assert DEPLOYMENT["metadata"]["namespace"] == account["namespace"]


def account_of_who_scrapes() -> list[Object]:
    """Return the four documents for --metrics-auth that stand in the comments of rbac.yaml."""
    text = (ROOT / "rbac.yaml").read_text().partition("# With --metrics-auth: an account")[2]
    lines = text.partition("\n# ---\n")[2].partition("\n#\n")[0].splitlines()
    return list(yaml.safe_load_all("\n".join(line.removeprefix("# ") for line in lines)))


def test_who_scrapes_may_get_metrics_and_nothing_else() -> None:
    account, token, role, binding = account_of_who_scrapes()
    named = account["metadata"]
    assert token["type"] == "kubernetes.io/service-account-token"
    assert token["metadata"]["annotations"] == {"kubernetes.io/service-account.name": named["name"]}
    assert token["metadata"]["namespace"] == named["namespace"] == DEPLOYMENT["metadata"]["namespace"]
    assert role["rules"] == [{"nonResourceURLs": [METRICS_PATH], "verbs": ["get"]}]
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("ClusterRole", role["metadata"]["name"])
    assert binding["subjects"] == [{"kind": "ServiceAccount", **named}]


def namespaced_variant() -> list[Object]:
    """Return the two documents that stand in the comments of rbac.yaml."""
    text = (ROOT / "rbac.yaml").read_text().partition("# The variant for one namespace")[2]
    lines = text.partition("\n#\n")[2].splitlines()
    return list(yaml.safe_load_all("\n".join(line.removeprefix("# ") for line in lines)))


def test_the_variant_for_one_namespace_grants_the_same_but_for_what_is_no_namespace_s() -> None:
    role, binding = namespaced_variant()
    everywhere = the("ClusterRole", "rbac.yaml")["rules"]
    assert (role["kind"], binding["kind"]) == ("Role", "RoleBinding")
    assert role["rules"] == [rule for rule in everywhere if rule["resources"] != ["namespaces"]]
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", role["metadata"]["name"])
    assert binding["subjects"] == the("RoleBinding", "rbac.yaml")["subjects"]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "team-a"


def test_users_see_and_edit_by_the_built_in_roles_and_never_write_a_status() -> None:
    roles = {each["metadata"]["name"]: each for each in documents("rbac.yaml") if each["kind"] == "ClusterRole"}
    view, edit = roles["fargateprofiles-view"], roles["fargateprofiles-edit"]
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    into = [{key.removeprefix(prefix) for key in role["metadata"]["labels"]} for role in (view, edit)]
    assert into == [{"view", "edit", "admin"}, {"edit", "admin"}]
    for role in (view, edit):
        assert [(rule["apiGroups"], rule["resources"]) for rule in role["rules"]] == [([kube.GROUP], [kube.PLURAL])]
    assert view["rules"][0]["verbs"] == ["get", "list", "watch"]
    assert set(edit["rules"][0]["verbs"]) == {"create", "update", "patch", "delete", "deletecollection"}


# What EKS demands of the caller of CreateFargateProfile, whatever aws.py calls itself, and who says so.
NEEDED_BY_EKS = {
    "iam:PassRole": "the pod execution role is passed to Fargate (service authorization reference; aws-cdk#8546)",
    "iam:CreateServiceLinkedRole": "AWSServiceRoleForAmazonEKSForFargate, at an account's first profile (user guide)",
    "iam:GetRole": "also on that service-linked role (aws-controllers-k8s/community#1821)",
    "ec2:DescribeSubnets": "the subnets of the profile (aws-cdk#7614)",
    "ec2:DescribeRouteTables": "for a profile without subnets, to choose private ones (aws-cdk#7706)",
    "eks:TagResource": "a create that sets tags (create handler of AWS::EKS::FargateProfile)",
}
SERVICE_LINKED_ROLE = "arn:aws:iam::123456789012:role/aws-service-role/eks-fargate.amazonaws.com/AWSServiceRoleFor"
NEEDS_NO_GRANT = {"sts:GetCallerIdentity"}


def asked_of_aws(life: Bench) -> set[str]:
    return {f"{call.service}:{call.operation}" for call in life.manners.calls}


# The guard; tests/e2e/test_guard.py shows what it does

GUARD = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in documents("guard.yaml")}
POLICIES = {name: spec for (kind, name), spec in GUARD.items() if kind == "ValidatingAdmissionPolicy"}
BINDINGS = {name: spec for (kind, name), spec in GUARD.items() if kind == "ValidatingAdmissionPolicyBinding"}
ANNOTATIONS = {f"{kube.OUR_ANNOTATIONS}{name}" for name in ("prevent-deletion", "prevent-orphan")}


def matched(spec: Object) -> set[tuple[str, str, str]]:
    """Return (group, resource, operation) of what a policy is asked about."""
    rules = spec["matchConstraints"]["resourceRules"]
    return {
        (group, resource, operation)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for operation in rule["operations"]
    }


def test_each_policy_of_the_guard_is_bound_once_and_denies_or_warns_as_its_name_says() -> None:
    assert {each["apiVersion"] for each in documents("guard.yaml")} == {"admissionregistration.k8s.io/v1"}
    assert list(POLICIES) == list(BINDINGS)
    for name, binding in BINDINGS.items():
        assert binding["policyName"] == name
        warns = name.startswith("fargateprofiles-warn")
        assert warns or name.startswith("fargateprofiles-prevent")
        assert binding["validationActions"] == (["Warn", "Audit"] if warns else ["Deny"])


def test_what_may_fail_to_be_judged_lets_everything_through_and_nothing_else_does() -> None:
    """Parameters can't be read without the CRD, and for half a minute after the API server's start."""
    for name, policy in POLICIES.items():
        ignores = "paramKind" in policy or "Warn" in BINDINGS[name]["validationActions"]
        assert policy["failurePolicy"] == ("Ignore" if ignores else "Fail"), name
        asks = {"selector": {}, "parameterNotFoundAction": "Allow"} if "paramKind" in policy else None
        assert BINDINGS[name].get("paramRef") == asks, name
        kind = {"apiVersion": f"{kube.GROUP}/{kube.VERSION}", "kind": kube.KIND}
        assert policy.get("paramKind", kind) == kind
        assert "__namespace__" not in str(policy)


def test_the_guard_is_asked_about_objects_their_crd_and_their_namespaces() -> None:
    objects = {(kube.GROUP, kube.PLURAL, "DELETE"), (kube.GROUP, kube.PLURAL, "UPDATE")}
    status = (kube.GROUP, f"{kube.PLURAL}/status", "UPDATE")
    others = {("apiextensions.k8s.io", "customresourcedefinitions", "DELETE"), ("", "namespaces", "DELETE")}
    assert set().union(*map(matched, POLICIES.values())) == {*objects, status, *others}
    assert "resourceNames" not in str(POLICIES), "who deletes a collection names none"
    conditions = [each["expression"] for each in POLICIES["fargateprofiles-prevent-deletion-of-crd"]["matchConditions"]]
    assert f"oldObject.metadata.name == '{CRD['metadata']['name']}'" in conditions


def test_the_guard_names_the_finalizer_and_the_annotations_of_the_code() -> None:
    text = (ROOT / "guard.yaml").read_text()
    named = set(re.findall(rf"{re.escape(kube.OUR_ANNOTATIONS)}[a-z-]*[a-z]", text))
    assert named == {spec.FINALIZER, *ANNOTATIONS}
    told = set(re.findall(rf"{re.escape(kube.OUR_ANNOTATIONS)}prevent-[a-z]+", EVERY_DOCUMENT))
    assert told == ANNOTATIONS


def test_the_guard_knows_the_operator_by_the_account_of_rbac_where_kustomize_writes_its_namespace() -> None:
    account = the("ServiceAccount", "rbac.yaml")["metadata"]
    (variable,) = POLICIES["fargateprofiles-prevent-orphan"]["variables"]
    name = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert variable == {"name": "operator", "expression": f"'{name}'"}
    (replacement,) = documents("kustomization.yaml")[0]["replacements"]
    assert replacement["source"] == {
        "kind": "ServiceAccount",
        "name": account["name"],
        "fieldPath": "metadata.namespace",
    }
    (target,) = replacement["targets"]
    assert target["select"]["name"] == "fargateprofiles-prevent-orphan"
    assert target["fieldPaths"] == ["spec.variables.[name=operator].expression"]
    options = target["options"]
    assert variable["expression"].split(options["delimiter"])[options["index"]] == account["namespace"]
    assert (ROOT / "guard.yaml").read_text().count(account["name"] + "'") == 1, "one place to edit"


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(action: str) -> list[Object]:
    return [each for each in POLICY if action in listed(each["Action"])]


def test_the_iam_policy_grants_the_calls_of_aws_py_and_what_eks_demands_and_nothing_else(life: Bench) -> None:
    granted = {action for each in POLICY for action in listed(each["Action"])}
    assert granted == asked_of_aws(life) - NEEDS_NO_GRANT | NEEDED_BY_EKS.keys()
    assert all(each["Effect"] == "Allow" for each in POLICY)


@pytest.mark.parametrize("action", ["eks:DeleteFargateProfile", "eks:UntagResource"])
def test_only_profiles_with_our_owner_key_may_be_deleted_or_untagged(action: str) -> None:
    (only,) = statements(action)
    assert only["Condition"] == {"Null": {f"aws:ResourceTag/{OWNER_KEY}": "false"}}
    assert only["Resource"] == "arn:aws:eks:*:*:fargateprofile/*"


def test_a_profile_may_be_tagged_that_has_the_owner_key_or_gets_it_now() -> None:
    conditions = [each["Condition"]["Null"] for each in statements("eks:TagResource")]
    assert conditions == [{f"aws:ResourceTag/{OWNER_KEY}": "false"}, {f"aws:RequestTag/{OWNER_KEY}": "false"}]


def test_roles_are_passed_to_fargate_only() -> None:
    (only,) = statements("iam:PassRole")
    services = only["Condition"]["StringEquals"]["iam:PassedToService"]
    assert services == [answers.FARGATE_PRINCIPAL, "eks-fargate.amazonaws.com", "eks.amazonaws.com"]
    assert only["Sid"] in DOCUMENTS["docs/operate.md"]


@pytest.mark.parametrize("action", ["iam:GetRole", "iam:CreateServiceLinkedRole"])
def test_the_service_linked_role_of_fargate_is_among_the_resources(action: str) -> None:
    (only,) = statements(action)
    assert any(fnmatchcase(SERVICE_LINKED_ROLE, pattern) for pattern in listed(only["Resource"]))


# What AWS checks an action against (service authorization reference); "*" where an action has no resource level.
CLUSTER_ARN = "arn:aws:eks:eu-west-1:123456789012:cluster/demo"
PROFILE_ARN = "arn:aws:eks:eu-west-1:123456789012:fargateprofile/demo/web/3ec3f0c5-6d1a-4e4f-8f0e-0d5cf4b9b6f5"
ENTRY_ARN = (
    "arn:aws:eks:us-east-1:123456789012:access-entry/demo/role/123456789012/pods/c0ffee00-1111-2222-3333-444455556666"
)
CHECKED_AGAINST = {
    "eks:DescribeCluster": {CLUSTER_ARN},
    "eks:ListFargateProfiles": {CLUSTER_ARN},
    "eks:CreateFargateProfile": {CLUSTER_ARN},
    "eks:DescribeFargateProfile": {PROFILE_ARN},
    "eks:DescribeAccessEntry": {ENTRY_ARN},
    "eks:DeleteFargateProfile": {PROFILE_ARN},
    "eks:UntagResource": {PROFILE_ARN},
    "eks:TagResource": {PROFILE_ARN, CLUSTER_ARN},
    "ec2:DescribeSubnets": {"*"},
    "ec2:DescribeRouteTables": {"*"},
    "iam:GetRole": {ROLE + "pods", SERVICE_LINKED_ROLE},
    "iam:ListAttachedRolePolicies": {ROLE + "pods"},
    "iam:ListRolePolicies": {ROLE + "pods"},
    "iam:PassRole": {ROLE + "pods"},
    "iam:CreateServiceLinkedRole": {SERVICE_LINKED_ROLE},
}


def test_each_action_is_granted_on_what_aws_checks_it_against_and_on_nothing_of_another_kind() -> None:
    """A resource of the wrong kind grants nothing, and nothing says so: the call is refused."""
    assert CHECKED_AGAINST.keys() == {action for each in POLICY for action in listed(each["Action"])}
    arns = {CLUSTER_ARN, PROFILE_ARN, ENTRY_ARN, ROLE + "pods", SERVICE_LINKED_ROLE}
    for action, checked in CHECKED_AGAINST.items():
        patterns = [pattern for each in statements(action) for pattern in listed(each["Resource"])]
        if checked == {"*"}:
            assert patterns == ["*"], action
            continue
        granted = {arn for arn in arns if any(fnmatchcase(arn, pattern) for pattern in patterns)}
        roles = {ROLE + "pods", SERVICE_LINKED_ROLE} if checked == {ROLE + "pods"} else set()
        assert checked <= granted <= checked | roles, action


def test_what_has_the_owner_key_may_be_tagged_and_what_gets_it_with_its_create_too() -> None:
    """AWS checks the tags of a create against the cluster or against the profile that is to be."""
    owned, created = (set(listed(each["Resource"])) for each in statements("eks:TagResource"))
    assert owned == {"arn:aws:eks:*:*:fargateprofile/*"}
    assert created == {*owned, "arn:aws:eks:*:*:cluster/*"}


def test_eks_may_make_its_own_roles_for_fargate_and_no_other_service_s() -> None:
    (only,) = statements("iam:CreateServiceLinkedRole")
    services = only["Condition"]["StringEquals"]["iam:AWSServiceName"]
    assert set(services) == {"eks-fargate.amazonaws.com", answers.FARGATE_PRINCIPAL}
    assert set(only["Resource"]) == {f"arn:aws:iam::*:role/aws-service-role/{each}/*" for each in services}
    assert only["Condition"].keys() == {"StringEquals"}


def test_the_language_of_the_policy_is_the_one_with_conditions_as_they_are_meant() -> None:
    assert json.loads((ROOT / "IAMPolicy.json").read_text())["Version"] == "2012-10-17"


def test_a_sid_reads_as_a_sentence_and_stands_once() -> None:
    sids = [each["Sid"] for each in POLICY]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch(r"([A-Z][A-Za-z]*){3,}", sid) for sid in sids)  # AWS takes letters and digits only


# The Deployment and the image


def test_the_deployment_takes_the_place_of_the_original_one() -> None:
    assert DEPLOYMENT["metadata"]["name"] == CONTAINER["name"] == "fargate-operator"
    labels = {"application": "fargate-operator"}
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == POD["metadata"]["labels"] == labels


def test_two_replicas_are_spread_over_nodes_and_drained_one_at_a_time() -> None:
    assert DEPLOYMENT["spec"]["replicas"] == 2
    (spread,), budget = POD["spec"]["topologySpreadConstraints"], the("PodDisruptionBudget", "deployment.yaml")
    assert (spread["topologyKey"], spread["maxSkew"]) == ("kubernetes.io/hostname", 1)
    labels = {"matchLabels": POD["metadata"]["labels"]}
    assert spread["labelSelector"] == budget["spec"]["selector"] == labels
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["metadata"]["namespace"] == DEPLOYMENT["metadata"]["namespace"]


def test_the_replicas_elect_by_the_lease_that_rbac_lets_them_write() -> None:
    configured = config.configure(CONTAINER["args"], {})
    (rule,) = the("Role", "rbac.yaml")["rules"]
    assert not configured.no_leader_elect
    assert rule["resourceNames"] == [configured.lease_name]
    assert LEASE[1] == configured.lease_name


def test_the_arguments_of_the_deployment_are_flags_and_enough_to_start() -> None:
    configured = config.configure(CONTAINER["args"], {})
    assert (configured.cluster_name, configured.region) == ("my-cluster", "us-east-1")
    assert "env" not in CONTAINER


def test_the_probe_asks_where_the_controller_answers() -> None:
    probe, (port,) = CONTAINER["livenessProbe"]["httpGet"], CONTAINER["ports"]
    assert probe == {"path": "/healthz", "port": port["name"]}
    assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}
    assert port["containerPort"] == config.configure(CONTAINER["args"], {}).health_port
    assert f"EXPOSE {port['containerPort']}" in (ROOT / "Dockerfile").read_text()


def test_the_pod_outlives_the_grace_of_the_controller() -> None:
    """Its grace, and a release of the Lease that takes as long as it may."""
    assert POD["spec"]["terminationGracePeriodSeconds"] > controller.GRACE_SECONDS + sum(LEASE_TIMEOUT)


def test_the_variables_of_the_pod_are_ours_alone() -> None:
    """A Service named health would set HEALTH_PORT otherwise."""
    assert POD["spec"]["enableServiceLinks"] is False


def projected() -> dict[str, Object]:
    """Return the files that the pod has of its ServiceAccount, each with what it comes from."""
    (volume,), (mount,) = POD["spec"]["volumes"], CONTAINER["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": str(kube.SERVICE_ACCOUNT), "readOnly": True}
    found: dict[str, Object] = {}
    for source in volume["projected"]["sources"]:
        ((kind, what),) = source.items()
        for item in what.get("items", [what]):
            found[item["path"]] = {kind: item | ({"name": what["name"]} if "name" in what else {})}
    return found


def test_the_pod_has_the_token_and_the_network_of_a_pod() -> None:
    """Without the token it is nobody to the API server; with the node's network its port may be taken."""
    account = the("ServiceAccount", "rbac.yaml")
    assert POD["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert account["metadata"]["namespace"] == DEPLOYMENT["metadata"]["namespace"]
    assert POD["spec"]["automountServiceAccountToken"] is False, "or there are two volumes for one path"
    assert "automountServiceAccountToken" not in account, (
        "it would take the token from pods of an older deployment.yaml"
    )
    assert {each: [*source] for each, source in projected().items()} == {
        "token": ["serviceAccountToken"],
        "ca.crt": ["configMap"],
        "namespace": ["downwardAPI"],
    }
    assert projected()["ca.crt"]["configMap"] == {"key": "ca.crt", "path": "ca.crt", "name": "kube-root-ca.crt"}
    assert projected()["namespace"]["downwardAPI"]["fieldRef"] == {
        "apiVersion": "v1",
        "fieldPath": "metadata.namespace",
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "dnsPolicy"} & POD["spec"].keys()


def test_the_token_of_the_pod_is_for_the_api_server_alone_and_good_for_an_hour() -> None:
    token = projected()["token"]["serviceAccountToken"]
    assert token == {"path": "token", "expirationSeconds": 3600}, (
        "an audience would be another one than the API server's"
    )


def test_the_files_of_the_pod_are_what_the_controller_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"token": "secret", "ca.crt": "certificates", "namespace": "ops"}.items():
        assert name in projected()
        (tmp_path / name).write_text(text)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr("kube.SERVICE_ACCOUNT", tmp_path)
    assert kube.own_namespace() == "ops"
    client = kube.connect(1, tmp_path).configuration
    assert client.ssl_ca_cert == str(tmp_path / "ca.crt")
    assert [*client.api_key.values()] == ["bearer secret"]
    assert config.configure(CONTAINER["args"], {}).lease_namespace == "ops"


def test_the_pod_goes_where_it_can_run_and_a_sick_replica_holds_up_no_drain() -> None:
    assert POD["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert the("PodDisruptionBudget", "deployment.yaml")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_the_priority_of_the_pod_is_that_of_the_cluster_s_own_where_that_is_let() -> None:
    """A quota can keep that class to kube-system: then no pod would be made at all."""
    assert "priorityClassName" not in POD["spec"]
    assert "\n      # priorityClassName: system-cluster-critical\n" in (ROOT / "deployment.yaml").read_text()


def network_policy() -> Object:
    """Return the NetworkPolicy that stands in the comments of deployment.yaml."""
    lines = (ROOT / "deployment.yaml").read_text().partition("\n# ---\n")[2].splitlines()
    policy: Object = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines))
    return policy


def test_the_optional_network_policy_lets_in_who_scrapes_and_out_what_the_operator_asks() -> None:
    policy = network_policy()
    assert policy["metadata"] == {key: DEPLOYMENT["metadata"][key] for key in ("name", "namespace")}
    spec = policy["spec"]
    assert spec["podSelector"]["matchLabels"] == POD["metadata"]["labels"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (into,) = spec["ingress"]
    assert into["ports"] == [{"port": CONTAINER["ports"][0]["containerPort"]}]
    assert into["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    names, servers, credentials = spec["egress"]
    assert names["ports"] == [{"port": 53, "protocol": "UDP"}, {"port": 53}]
    assert [each["ipBlock"]["cidr"] for each in servers["to"]] == ["0.0.0.0/0", "::/0"]
    assert servers["ports"] == [{"port": 443}, {"port": 6443}]
    agents = {each["ipBlock"]["cidr"].partition("/")[0] for each in credentials["to"]}
    assert agents == {"169.254.170.23", "fd00:ec2::23", "169.254.169.254", "fd00:ec2::254"}
    assert credentials["ports"] == [{"port": 80}]


def quantity(text: object) -> float:
    """Return what Kubernetes makes of a quantity: 128Mi, 256M, 50m."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit]


def test_the_pod_asks_for_what_it_was_measured_to_need_and_may_have_twice_that() -> None:
    asked, most = CONTAINER["resources"]["requests"], CONTAINER["resources"]["limits"]
    (measured,) = re.findall(r"The (\d+) MiB in `deployment.yaml`", (ROOT / "CONTRIBUTING.md").read_text())
    assert int(measured) * 2**20 < quantity(asked["memory"]) <= quantity(most["memory"]) / 2
    assert quantity(most["memory"]) <= 2**30
    assert 0.01 <= quantity(asked["cpu"]) <= 0.5
    assert "cpu" not in most, "a limit would slow the start, and with it the handover"


def test_the_probes_leave_the_controller_the_time_that_it_needs() -> None:
    """It answers within milliseconds, or the machine is busy; a start takes seconds; a stuck loop is told by itself."""
    live, ready = CONTAINER["livenessProbe"], CONTAINER["readinessProbe"]
    for probe in (live, ready):
        assert 2 <= probe["timeoutSeconds"] <= probe["periodSeconds"] <= 30
    assert live["failureThreshold"] * live["periodSeconds"] >= 60
    assert live["initialDelaySeconds"] + live["failureThreshold"] * live["periodSeconds"] >= 60
    assert live["failureThreshold"] * live["periodSeconds"] + controller.STUCK_SECONDS <= 600
    assert "successThreshold" not in ready


def test_a_rollout_and_a_full_cluster_leave_a_replica_running() -> None:
    assert DEPLOYMENT["spec"].get("strategy", {}).get("type", "RollingUpdate") == "RollingUpdate"
    (spread,) = POD["spec"]["topologySpreadConstraints"]
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert POD["spec"].get("restartPolicy", "Always") == "Always"
    assert not {"command", "workingDir"} & CONTAINER.keys(), "they are the image's"
    rolling = {"maxUnavailable", "maxSurge"} & DEPLOYMENT["spec"].get("strategy", {}).get("rollingUpdate", {}).keys()
    assert not rolling, "a quarter of two, which is none, goes before a new one is ready"
    assert not DEPLOYMENT["spec"].get("paused"), "or no pod would ever be made"


def with_metrics_auth(name: str) -> list[Object]:
    """Return the documents of a file with what is in their comments for --metrics-auth."""
    commented = re.compile(r"^( +)# (- --metrics|- name: metrics|- port: metrics|  )", re.M)
    return list(yaml.safe_load_all(commented.sub(r"\1\2", (ROOT / name).read_text())))


def test_the_comments_for_metrics_auth_are_flags_a_port_and_the_files_that_these_name() -> None:
    (deployment, _) = with_metrics_auth("deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    configured = config.configure(container["args"], {})
    assert configured.metrics_auth
    assert container["ports"][1:] == [{"name": "metrics", "containerPort": configured.metrics_port}]
    mount, volume = container["volumeMounts"][1], pod["volumes"][1]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    files = {configured.metrics_cert_file, configured.metrics_key_file}
    assert files == {f"{mount['mountPath']}/{name}" for name in ("tls.crt", "tls.key")}
    assert f"# - --metrics-cert-file={configured.metrics_cert_file}\n" in (ROOT / "deployment.yaml").read_text()
    assert f"port: 8080 # {configured.metrics_port} with --metrics-auth" in (ROOT / "deployment.yaml").read_text()


def test_the_comments_for_the_clusters_file_are_a_flag_and_the_folder_of_a_configmap() -> None:
    commented = re.compile(r"^( +)# (- --clusters-file|- \{name: clusters)", re.M)
    deployment, _ = yaml.safe_load_all(commented.sub(r"\1\2", (ROOT / "deployment.yaml").read_text()))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mount, volume = container["volumeMounts"][1], pod["volumes"][1]
    file = config.configure(container["args"], {}).clusters_file
    assert file == f"{mount['mountPath']}/clusters.yaml"
    assert (mount["name"], mount.keys()) == (volume["name"], {"name", "mountPath", "readOnly"}), "no subPath"
    assert volume["configMap"] == {"name": "fargate-operator-clusters"}


def test_who_scrapes_with_a_token_has_the_port_the_authority_and_the_secrets_of_the_other_files() -> None:
    (deployment, _), (monitor, _) = with_metrics_auth("deployment.yaml"), with_metrics_auth("monitoring.yaml")
    _, endpoint = monitor["spec"]["podMetricsEndpoints"]
    pod = deployment["spec"]["template"]["spec"]
    secret, token = pod["volumes"][1]["secret"]["secretName"], account_of_who_scrapes()[1]["metadata"]["name"]
    assert endpoint == {
        "port": pod["containers"][0]["ports"][1]["name"],
        "path": METRICS_PATH,
        "scheme": "https",
        "tlsConfig": {"serverName": "fargate-operator", "ca": {"secret": {"name": secret, "key": "ca.crt"}}},
        "authorization": {"credentials": {"name": token, "key": "token"}},
    }
    made = section("docs/operate.md", "openssl req", "```")
    assert f"-addext subjectAltName=DNS:{endpoint['tlsConfig']['serverName']} " in made
    assert f"kubectl create secret generic {secret} --from-file=tls.crt --from-file=tls.key" in made
    assert "--from-file=ca.crt=tls.crt" in made


def test_the_port_is_the_pod_s_own_and_the_image_is_pulled_where_a_node_lacks_it() -> None:
    """A port of the node would let one replica a node run, and the second would wait for ever."""
    (port,) = CONTAINER["ports"]
    assert "hostPort" not in port
    assert port.get("protocol", "TCP") == "TCP"
    assert CONTAINER.get("imagePullPolicy", "IfNotPresent") in {"IfNotPresent", "Always"}


def test_three_lines_of_the_deployment_are_to_be_edited() -> None:
    lines = (ROOT / "deployment.yaml").read_text().splitlines()
    marked = [re.split("[:=]", line.split("# EDIT")[0].strip(" -"))[0] for line in lines[1:] if "# EDIT" in line]
    assert marked == ["image", "cluster-name", "region"]


def test_the_pod_keeps_to_the_restricted_standard() -> None:
    pod, own = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"]
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert f"USER {pod['runAsUser']}:{pod['runAsGroup']}" in (ROOT / "Dockerfile").read_text()


def test_the_image_holds_the_modules_and_what_runs_in_production() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    made_of = {"requirements.lock", ".ci/prune.py", ".ci/settle.py", "*.py"}
    assert set(" ".join(copied).split()) == made_of | {"awscalls.py"}  # for the second of these
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == made_of


def test_all_that_names_the_version_names_the_same() -> None:
    newest = re.findall(r"^## \[(\d.*?)\]( - \d{4}-\d\d-\d\d)?$", (ROOT / "CHANGELOG.md").read_text(), re.M)[0]
    assert newest[0] == config.VERSION
    assert newest[1], "a version that is out has its day"
    (label,) = re.findall(r"^LABEL org\.opencontainers\.image\.version=(\S+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert label == config.VERSION
    assert CONTAINER["image"] == f"fargate-operator:{config.VERSION}"
    named = re.findall(r"fargate-operator:([\d.]*\d)", DOCUMENTS["README.md"])
    assert set(named) <= {config.VERSION}


def test_production_pins_every_package_exactly() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line and not line.startswith("#"))


# The documents


def test_the_readme_explains_every_reason_and_no_other() -> None:
    rows = {row[0]: row for row in table("README.md", "reason")}
    assert list(rows) == list(REASONS)
    assert all(re.fullmatch(r"([A-Z][a-z]+)+", name) for name in rows)
    for name, (_, conditions, meaning, mend) in rows.items():
        named = {phase for phase in Phase if ("neither" if phase is Phase.IDLE else phase.value) in conditions}
        assert named == set(REASONS[name].phases), name
        assert meaning == REASONS[name].meaning, name
        assert mend or conditions == "Ready", name


def test_an_answer_of_aws_has_a_reason_of_the_readme_and_its_phase() -> None:
    for rule in (*answers.ERRORS, answers.UNKNOWN):
        phase = Phase.STALLED if issubclass(rule.kind, answers.Refused) else Phase.RECONCILING
        assert phase in REASONS[rule.reason].phases, rule.reason


def test_the_documents_explain_every_event_and_no_other(life: Bench) -> None:
    assert [(name, event.kind, event.meaning) for name, event in EVENTS.items()] == [
        (row[0], row[1], row[2]) for row in table("docs/objects.md", "event")
    ]
    assert set(life.events()) <= EVENTS.keys()
    assert {reason.event for reason in REASONS.values()} <= {"", *EVENTS}


def test_the_documents_list_the_flags_of_the_controller() -> None:
    def number(text: str) -> str:
        return str(float(text)) if re.fullmatch(r"[\d.]+", text) else text

    flags = [action for action in config.flags({})._actions if "[variable" in (action.help or "")]
    shown = [re.findall(r"\[variable (.*), default (.*)\]", str(action.help))[0] for action in flags]
    wanted = [
        [action.option_strings[0], variable, number(default)]
        for action, (variable, default) in zip(flags, shown, strict=True)
    ]
    assert [
        [flag, variable, number(default)] for flag, variable, default, _ in table("docs/operate.md", "flag")
    ] == wanted


def test_the_documents_list_the_fields_of_spec() -> None:
    rows = {row[0]: row for row in table("docs/objects.md", "field of spec")}
    assert set(rows) == set(FIELDS)
    assert [name for name, row in rows.items() if row[1] == "required"] == RAW_SPEC["required"]
    immutable = re.findall(r"has\(self\.(\w+)\) == has\(oldSelf", rules(RAW_SPEC))
    assert [name for name, row in rows.items() if row[3] == "no"] == immutable
    assert all(rows[name][1] == str(FIELDS[name]["default"]).replace("False", "false") for name in ("deletionPolicy",))


def test_the_documents_say_of_every_verb_and_every_action_why_it_is_needed() -> None:
    granted = {each: sorted(rule["verbs"]) for rule in RULES for each in rule["resources"]}
    told = {
        row[0].split(",")[0]: sorted(row[1].replace(",", " ").split()) for row in table("docs/operate.md", "resource")
    }
    assert told == granted
    actions = sorted({action for each in POLICY for action in listed(each["Action"])})
    assert sorted(row[0] for row in table("docs/operate.md", "action")) == actions
    assert all(row[-1] for row in [*table("docs/operate.md", "resource"), *table("docs/operate.md", "action")])


@pytest.mark.parametrize(
    ("status", "health"),
    [
        (None, "Progressing"),
        ({"observedGeneration": -1}, "Progressing"),
        (defaulted({}, crd_schema()["properties"]["status"]), "Progressing"),
        ({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}, "Progressing"),
        ({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]}, "Healthy"),
        ({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "False"}]}, "Progressing"),
        (
            {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "False", "reason": "Suspended"}]},
            "Suspended",
        ),
        (
            {
                "observedGeneration": 2,
                "conditions": [{"type": "Ready", "status": "False"}, {"type": "Stalled", "status": "True"}],
            },
            "Degraded",
        ),
    ],
)
def test_argo_cd_sees_the_health_that_the_conditions_mean(status: Object | None, health: str) -> None:
    block = section("docs/objects.md", "```yml\n", "```")
    (script,) = yaml.safe_load(block)["data"].values()
    lua = LuaRuntime()
    obj = {"metadata": {"generation": 2}} | ({"status": status} if status else {})
    judge = lua.eval(f"function(obj) {script} end")
    assert judge(lua.table_from(obj, recursive=True)).status == health


@pytest.mark.parametrize("text", [*DOCUMENTS, "CONTRIBUTING.md", ".ci/run"])
def test_every_make_target_that_is_named_exists(text: str) -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M)
    named = re.findall(r"(?:^|`|step )make ([a-z0-9-]+)(?:$|`)", (ROOT / text).read_text(), re.M)
    assert named or text.startswith("docs/")
    assert set(named) <= set(targets)


def test_ci_runs_the_commands_of_the_readme_and_lets_none_fail() -> None:
    script = (ROOT / ".ci/run").read_text()
    told = re.findall(r"^make [a-z0-9]+$", section("README.md", "## Development"), re.M)
    assert [line.removeprefix("step ") for line in script.splitlines() if line.startswith("step make")] == told
    assert "set -euo pipefail" in script
    assert "||" not in script
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_every_manifest_and_file_that_the_documents_name_exists() -> None:
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:yaml|json|md|py))`", EVERY_DOCUMENT))
    named |= set(re.findall(r"-f ([\w-]+\.yaml)", EVERY_DOCUMENT))
    assert {"crd.yaml", "rbac.yaml", "deployment.yaml", "sample-crd.yaml", "IAMPolicy.json"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_log_names_an_orphan_as_the_documents_say() -> None:
    assert "`orphan cluster=`" in DOCUMENTS["docs/operate.md"]
    assert LOGGED_ORPHAN.startswith("orphan cluster=")


def test_the_fake_api_server_knows_every_resource_of_rbac() -> None:
    known = {(row.group, row.plural) for row in RESOURCES.values()}
    asked_for = {
        (group, resource.partition("/")[0])
        for rule in RULES
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert asked_for <= known


def texts() -> Iterator[tuple[Path, str]]:
    """Yield what belongs to the repository: no virtual environment, no caches."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = [part for part in parts[:-1] if part.startswith((".", "__")) and part != ".ci"]
        if path.is_file() and not hidden and path.name != ".git" and path.suffix != ".pyc":
            yield path, path.read_text(errors="replace")


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    path = re.compile(r"(?<![\w.$}~-])/(?:work|root|home|Users|private|tmp)/[\w.-]+")
    assert {str(file): found for file, text in texts() if (found := path.findall(text))} == {}
