"""The commands: what validate finds and where, what export writes, what plan foretells; none changes a thing."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import overlaps
from config import COMMANDS, command_line
from controller import main
from spec import CONTROLLER_KEY, OWNER_KEY, RETAINED_KEY
from tests.docs import DOCUMENTS, table
from tests.fakes import aws as fake_aws
from tests.fakes.apiserver import ApiServer
from tests.harness import Bench

ROOT = Path(__file__).resolve().parents[2]
CASES = yaml.safe_load((ROOT / "tests" / "e2e" / "crd_cases.yaml").read_text())["cases"]
NEW = [each for each in CASES if "before" not in each]
# The API server takes these, and does not say what it leaves out.
HIDDEN = re.compile("given twice|null")

Object = dict[str, Any]

HEAD = """\
apiVersion: jicomusic.com/v1
kind: FargateProfile
metadata:
  name: web
spec:
  podExecutionRoleArn: arn:aws:iam::123456789012:role/pods
"""
SELECTORS = "  selectors: [{namespace: web}]\n"
GOOD = HEAD + SELECTORS


def validate(text: str) -> list[str]:
    """Return the findings in a text, each without the file's name."""
    found, lines = overlaps.manifests("web.yaml", text)
    told = [*lines, *(one for each in found if not each.passed_over for one in each.judged())]
    assert all(str(each).startswith("web.yaml:") for each in told)
    return [str(each).removeprefix("web.yaml:") for each in told]


# What is found


@pytest.mark.parametrize("said", NEW, ids=[each["name"] for each in NEW])
def test_validate_finds_something_exactly_where_the_api_server_refuses_or_drops_something(said: Object) -> None:
    """tests/e2e/test_crd.py sends the same cases to a real one."""
    found = validate(said.get("text") or json.dumps(said["object"]))
    assert bool(found) is (not said["accepted"] or HIDDEN.search(said["name"]) is not None), found


FINDINGS = {
    "a key given twice, with both lines": (
        GOOD + "  tags:\n    team: a\n    other: b\n    team: c\n",
        ["11: spec.tags.team: given twice, first in line 9: keep one (kubectl takes the last and does not say so)"],
    ),
    "a number where a string belongs": (
        GOOD + "  tags:\n    team: 1\n",
        ["9: spec.tags.team: 1, which YAML reads as a number: put it in quotes"],
    ),
    "a yes where a string belongs": (
        HEAD + "  selectors:\n  - namespace: web\n    labels:\n      spot: yes\n",
        ["10: spec.selectors[0].labels.spot: yes, which YAML reads as a boolean: put it in quotes"],
    ),
    "a key that is no string": (
        GOOD + "  tags:\n    on: a\n",
        ["9: spec.tags.on: a boolean to YAML, not a text: put the key in quotes"],
    ),
    "a field with nothing in it": (
        GOOD + "  clusterName:\n",
        [
            "8: spec.clusterName: nothing, which Kubernetes drops: "
            "remove it, or give the name of an EKS cluster, or leave the field out"
        ],
    ),
    "a key given twice, with nothing in it": (
        GOOD + "  clusterName: a\n  clusterName:\n",
        [
            "9: spec.clusterName: given twice, first in line 8: keep one (kubectl takes the last and does not say so)",
            "9: spec.clusterName: nothing, which Kubernetes drops: "
            "remove it, or give the name of an EKS cluster, or leave the field out",
        ],
    ),
    "a tab, and what stands before it": (
        HEAD + "---\nmetadata:\n\tname: web\n",
        [
            "9: found character '\\t' that cannot start any token: indent with spaces, not tabs",
            "5: spec.selectors: missing: give a list of 1 to 100 selectors, each with a namespace",
        ],
    ),
    "a field that is none": (
        GOOD + "  subnet: []\n",
        ["8: spec.subnet: not a field: remove it or correct its name"],
    ),
    "a subnet twice": (
        GOOD + "  subnets:\n  - subnet-075aa287882d71709\n  - subnet-075aa287882d71709\n",
        ["10: spec.subnets[1]: subnet-075aa287882d71709 once more: remove it"],
    ),
    "a name that Kubernetes can't hold": (
        GOOD.replace("name: web", "name: Web"),
        [
            '4: metadata.name: "Web": give lowercase letters, digits, - and ., at most 253, '
            "first and last a letter or digit"
        ],
    ),
    "a label of the object that is a number": (
        GOOD.replace("name: web", "name: web\n  labels: {a: 1}"),
        ["5: metadata.labels.a: 1, which YAML reads as a number: put it in quotes"],
    ),
    "another version": (GOOD.replace("/v1", "/v2"), ['1: apiVersion: "jicomusic.com/v2": give jicomusic.com/v1']),
    "a list in the place of an object": (
        "- a\n",
        ["1: not an object: give a mapping with apiVersion: jicomusic.com/v1 and kind: FargateProfile"],
    ),
    "an alias of itself": (
        "kind: FargateProfile\nspec: &a [*a]\n",
        ["1: nested too deeply, or an alias of itself: correct the YAML"],
    ),
    "a character that YAML does not take": (
        GOOD + "  tags: {a: b\x07}\n",
        ["8: the character #x7: write it as an escape, or not at all"],
    ),
}


@pytest.mark.parametrize(("text", "found"), FINDINGS.values(), ids=FINDINGS.keys())
def test_a_finding_has_its_line_its_field_what_is_there_and_what_mends_it(text: str, found: list[str]) -> None:
    assert validate(text) == found


FINE = {
    "what stands in quotes": GOOD + "  tags: {a: 'yes', b: \"1\", c: !!str 1e3}\n",
    "a date, which kubectl leaves a text": GOOD + "  tags: {since: 2026-01-01}\n",
    "sexagesimals and other oddities of PyYAML": GOOD + "  tags: {a: 1:30, b: =, c: 1.2.3}\n",
    "merged keys, and what overrides them": (
        HEAD + "  selectors:\n  - &a {namespace: a, labels: {x: z}}\n  - {<<: *a, namespace: b}\n"
    ),
    "numbers and booleans where they belong": GOOD + "  suspend: no\n",
    "an empty document": "---\n---\n# nothing\n",
    "JSON": json.dumps(yaml.safe_load(GOOD), indent="\t"),
    "what the API server itself wrote": GOOD.replace(
        "name: web", 'name: web\n  uid: a\n  creationTimestamp: "2026-01-01T00:00:00Z"\n  generation: 2'
    )
    + "status: {}\n",
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE.keys())
def test_what_kubernetes_takes_as_it_stands_has_no_finding(text: str) -> None:
    assert validate(text) == []


def test_merged_keys_give_way_to_the_object_s_own_and_the_first_source_wins() -> None:
    text = "a: &a {x: 1, y: 1, z: 1}\nb: &b {y: 2, z: 2, w: 2}\nc:\n  z: 3\n  <<: [*a, *b]\n"
    assert overlaps.manifests("f", text)[0][0].obj["c"] == {"x": 1, "y": 1, "z": 3, "w": 2}


# What kubectl 1.36.3 makes of plain scalars, as `kubectl label --local --filename - --output json` shows it.
AS_KUBECTL_READS = {
    "true": "yes y Y on On ON true True TRUE",
    "false": "n N no off Off FALSE",
    "null": "~ null Null NULL",
    "number": "1 01 0o7 0x1F 0b11 1_000 +1 -1 1.0 1. .5 1e3 1E3 1.5e3 1e+3 08 0_ 1_ 12e03 +.5 -.5 1__0 1_0.5 0x_1 -0x1 "
    "-0b1 -0o7 1.e1 0X1F 0B1 0O7 1_000.5e1_0",
    "text": "oN tRUE nULL 1:30 2026-01-01 2026-01-01T00:00:00Z = _1 0xG 190:20:30 1e 1.2.3 0o << 0x1.8p3 0b12 + . .e1 "
    "._5 _ inf nan Inf yes_ nope",
}


@pytest.mark.parametrize("kind", AS_KUBECTL_READS)
def test_plain_scalars_are_what_kubectl_makes_of_them(kind: str) -> None:
    for text in AS_KUBECTL_READS[kind].split():
        value = overlaps.manifests("f", f"[{text}]")[0][0].obj[0]
        shown = "number" if type(value) in {int, float} else "text" if value == text else json.dumps(value)
        assert (text, shown) == (text, kind)


# How it is told


def test_validate_ends_with_0_where_all_is_well_and_says_what_it_passed_over(run: Any, tmp_path: Path) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"a": 1}}
    other = {"apiVersion": "eks.aws.crossplane.io/v1alpha1", "kind": "FargateProfile", "spec": 7}
    items = {"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(GOOD), pod, other]}
    (tmp_path / "list.json").write_text(json.dumps(items))
    assert run("validate", "-f", tmp_path / "list.json", ROOT / "sample-crd.yaml") == (
        0,
        "",
        "3 FargateProfiles, no findings. "
        "Passed over: 1 FargateProfile of eks.aws.crossplane.io/v1alpha1, 1 Pod of v1.\n",
    )


def test_validate_ends_with_1_on_findings_which_alone_are_on_standard_output(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = f"kind: List\napiVersion: v1\nitems:\n- {GOOD.replace('web', '_').replace(chr(10), chr(10) + '  ')}"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(items.encode())))
    code, out, err = run("validate", "-f", "-")
    assert code == 1
    assert [line.split(": ")[:2] for line in out.splitlines()] == [
        ["stdin:7", "metadata.name"],
        ["stdin:10", "spec.selectors[0].namespace"],
    ]
    assert err == "1 FargateProfile, 2 findings in 1 object.\n"


def test_validate_ends_with_2_where_a_file_can_t_be_read(run: Any, tmp_path: Path) -> None:
    code, out, err = run("validate", "-f", tmp_path / "none.yaml")
    assert (code, out) == (2, "")
    assert "none.yaml" in err
    (tmp_path / "latin.yaml").write_bytes("kind: \xe4".encode("latin-1"))
    code, out, err = run("validate", "-f", tmp_path / "latin.yaml")
    assert (code, out) == (2, "")
    assert "utf-8" in err


def test_validate_takes_no_flag_of_the_controller_but_those_that_say_what_objects_may_ask_for(run: Any) -> None:
    assert run("validate", "-f", ROOT / "sample-crd.yaml", "--region", "x")[0] == 2
    assert run("validate", "-f", ROOT / "sample-crd.yaml", "--cluster", "x")[0] == 0


def test_what_can_t_be_written_is_written_as_its_number(run: Any, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(GOOD + '  tags: {"\\ud800": a, "\\ud800": b}\n')
    code, out, _ = run("validate", "-f", tmp_path / "web.yaml")
    assert (code, "spec.tags.\\ud800: given twice" in out) == (1, True)


def test_what_a_manifest_says_turns_no_terminal_s_order_of_writing_and_ends_no_line(run: Any, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(GOOD + '  "\\e[2Jfine\\u202e\\n": {}\n')
    code, out, err = run("validate", "-f", tmp_path / "web.yaml")
    assert code == 1
    assert "\\u001b[2Jfine\\u202e" in out
    assert all(line.isprintable() for line in (out + err).split("\n"))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does_and_how_it_ends(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"], {})
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Exit code: 0" in said
    assert name in said


# What is beside an object: other objects, and what those who run the controller allow


def write(folder: Path, **texts: str) -> Path:
    """Write each text into a file of that name and `.yaml` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def named(name: str, spec: str = "", selector: str = "") -> str:
    """Return a manifest with that name, whose selector is by default nobody else's."""
    return (
        GOOD.replace("name: web", f"name: {name}").replace("{namespace: web}", selector or f"{{namespace: {name}}}")
        + spec
    )


def test_a_name_that_is_a_number_is_a_finding_and_no_traceback(run: Any, tmp_path: Path) -> None:
    web = write(tmp_path, web=named("123", "  profileName: shop\n"))
    code, out, _ = run("validate", "-f", str(web))
    assert code == 1
    assert "metadata.name: 123, which YAML reads as a number: put it in quotes" in out


def test_two_documents_of_one_object_are_found_over_all_files_with_both_places(run: Any, tmp_path: Path) -> None:
    again = named("web").replace("name: web", "name: web\n  namespace: default")
    other = (
        named("web").replace("name: web", "name: web\n  namespace: other").replace("spec:", "spec:\n  profileName: x")
    )
    write(tmp_path, a=GOOD, b=other + "---\n" + again)
    code, out, err = run("validate", "-f", tmp_path, "--allow-overlaps")
    assert code == 1
    assert out == (
        f"{tmp_path}/b.yaml:14: metadata.name: default/web stands in {tmp_path}/a.yaml:1 already: "
        "keep one (of two that are applied the last counts)\n"
    )
    assert err == "3 FargateProfiles, 1 finding in 1 object.\n"
    assert run("validate", "-f", tmp_path, "--allow-overlaps", "-n", "other")[0] == 1, "then it is the other one"


@pytest.mark.parametrize(
    ("one", "other", "line"),
    [
        (named("a"), named("b", "  profileName: a\n"), "8: spec.profileName"),
        (named("a", "  profileName: b\n"), named("b"), "4: metadata.name"),
        (named("a", "  clusterName: x\n"), named("b", "  clusterName: x\n  profileName: a\n"), "9: spec.profileName"),
        (named("a", "  subnet: x\n"), named("b", "  profileName: a\n"), "8: spec.profileName"),
    ],
)
def test_a_profile_name_that_two_objects_ask_for_in_one_cluster_is_found(
    run: Any, tmp_path: Path, one: str, other: str, line: str
) -> None:
    write(tmp_path, a=one, b=other)
    out = run("validate", "-f", tmp_path)[1].splitlines()[-1]
    assert out.startswith(f"{tmp_path}/b.yaml:{line}: ")
    assert (
        f"is the name of the profile of default/a ({tmp_path}/a.yaml:1) too: give one of them another profileName"
        in out
    )


def test_a_profile_name_twice_in_two_clusters_and_pods_of_two_clusters_are_fine(run: Any, tmp_path: Path) -> None:
    pods = "{namespace: web}"
    write(
        tmp_path, a=named("a", "  clusterName: x\n  profileName: p\n", pods), b=named("b", "  profileName: p\n", pods)
    )
    assert run("validate", "-f", tmp_path)[0] == 0
    code, out, _ = run("validate", "-f", tmp_path, "--cluster-name", "x")
    assert (code, out.count("\n")) == (1, 1), "objects that name no cluster are the controller's"


def test_objects_that_can_select_the_same_pods_are_told_both_and_who_wins(run: Any, tmp_path: Path) -> None:
    write(
        tmp_path,
        a=named("z", selector="{namespace: 'web-*'}"),
        b=named("a", selector="{namespace: web-1}"),
        c=named("b"),
    )
    code, out, err = run("validate", "-f", tmp_path)
    assert (code, err) == (1, "3 FargateProfiles, 1 finding in 1 object.\n")
    assert out == (
        f"{tmp_path}/b.yaml:7: spec.selectors: the same pods can match default/z ({tmp_path}/a.yaml:1), and EKS takes "
        "the first profile by name, a: narrow the selectors, or give --allow-overlaps\n"
    )
    assert run("validate", "-f", tmp_path, "--allow-overlaps")[0] == 0


TENANCY: dict[str, tuple[str, tuple[str, ...], list[str]]] = {
    "a role of others": (
        GOOD, ("--allowed-roles", "arn:aws:iam::*:role/web-*"),
        ["6: spec.podExecutionRoleArn: arn:aws:iam::123456789012:role/pods is not among the roles that objects may "
         "pass: take one that matches the operator's --allowed-roles"],
    ),
    "a role of one's own": (GOOD, ("--allowed-roles", "arn:aws:iam::*:role/po*"), []),
    "pods of another namespace": (
        GOOD, ("--selector-namespaces", "own"),
        ["7: spec.selectors: web is not the object's own namespace (--selector-namespaces=own): "
         "select pods of default only, or make the object in the namespace of the pods"],
    ),
    "pods of the namespace that kubectl is told": (GOOD, ("--selector-namespaces", "own", "-n", "web"), []),
    "pods of the object's namespace": (
        GOOD.replace("name: web", "name: web\n  namespace: web"), ("--selector-namespaces", "own"), []
    ),
    "a cluster, and nobody says which is the controller's": (
        GOOD + "  clusterName: other\n", ("--selector-namespaces", "own", "-n", "web"), []
    ),
    "pods of any cluster's other namespaces": (
        GOOD + "  clusterName: other\n", ("--selector-namespaces", "own"),
        ["7: spec.selectors: web is not the object's own namespace (--selector-namespaces=own): "
         "select pods of default only, or make the object in the namespace of the pods"],
    ),
    "another cluster": (
        GOOD + "  clusterName: other\n", ("--selector-namespaces", "own", "-n", "web", "--cluster-name", "demo"),
        ["8: spec.clusterName: objects may select pods of cluster demo only (--selector-namespaces=own): "
         "make a new object without the field"],
    ),
    "another cluster than the controller's, by the short flag": (
        GOOD + "  clusterName: other\n", ("--selector-namespaces=own", "-nweb", "--cluster=demo"),
        ["8: spec.clusterName: objects may select pods of cluster demo only (--selector-namespaces=own): "
         "make a new object without the field"],
    ),
    "the controller's own cluster, by its ARN": (
        GOOD + "  clusterName: demo\n",
        ("--selector-namespaces=own", "-nweb", "--cluster-name=arn:aws:eks:eu-west-1:123456789012:cluster/demo"),
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "flags", "found"), TENANCY.values(), ids=TENANCY.keys())
def test_validate_judges_tenancy_offline_by_the_controller_s_own_flags_or_variables(
    run: Any, tmp_path: Path, text: str, flags: tuple[str, ...], found: list[str]
) -> None:
    file = write(tmp_path, web=text) / "web.yaml"
    code, out, _ = run("validate", "-f", file, *flags)
    assert (code, out.splitlines()) == (1 if found else 0, [f"{file}:{each}" for each in found])
    if flags[0] == "--allowed-roles":
        assert run("validate", "-f", file, ALLOWED_ROLES=flags[1])[:2] == (code, out)


# The clusters that objects may name

CLUSTERS = """
clusters:
- {name: prod, namespaces: [web, "team-*"]}
- {name: again, cluster: prod, namespaces: [default]}
- {name: open}
"""
MEND = (
    "ask those who run the operator to let the namespace name it (--clusters-file), or make a new object that names "
    "another"
)
LISTED: dict[str, tuple[str, tuple[str, ...], list[str]]] = {
    "one that is listed for its namespace": ("prod", ("-n", "web"), []),
    "one that is listed for a pattern of its namespace": ("prod", ("-n", "team-x"), []),
    "one that is listed for others": (
        "prod", (), [f"8: spec.clusterName: prod is no cluster that objects of namespace default may name: {MEND}"]
    ),
    "one that is not listed": (
        "none", (), [f"8: spec.clusterName: none is no cluster that objects of namespace default may name: {MEND}"]
    ),
    "none, and there is no home": (
        "", (),
        ["5: spec.clusterName: missing: give the name of an EKS cluster; it can be left out only where the operator "
         "has --cluster-name"],
    ),
    "none, and there is a home": ("", ("--cluster-name=demo",), []),
    "the home": ("demo", ("--cluster=demo",), []),
    "what is no name": (
        "a/b", (), ['8: spec.clusterName: "a/b": give the name of an EKS cluster, or leave the field out']
    ),
    "one that does not list its namespace by name": (
        "open", ("--selector-namespaces=own", "-nweb", "--cluster-name=demo"),
        ["8: spec.clusterName: the entry of open does not list namespace web (--selector-namespaces=own): "
         "have it list that by name, not by a pattern, or make a new object for another cluster"],
    ),
    "one that does not list its namespace by name, and there is no home": (
        "open", ("--selector-namespaces=own", "-nweb"),
        ["8: spec.clusterName: the entry of open does not list namespace web (--selector-namespaces=own): "
         "have it list that by name, not by a pattern, or make a new object for another cluster"],
    ),
    "one that lists its namespace by name": (
        "prod", ("--selector-namespaces=own", "-nweb", "--cluster-name=demo"), []
    ),
    "one that is listed for others, and the selectors are those of others too": (
        "prod", ("--selector-namespaces=own", "--cluster-name=demo"),
        ["7: spec.selectors: web is not the object's own namespace (--selector-namespaces=own): "
         "select pods of default only, or make the object in the namespace of the pods",
         f"8: spec.clusterName: prod is no cluster that objects of namespace default may name: {MEND}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("cluster", "flags", "found"), LISTED.values(), ids=LISTED.keys())
def test_validate_judges_the_cluster_that_an_object_names_by_the_clusters_file(
    run: Any, tmp_path: Path, cluster: str, flags: tuple[str, ...], found: list[str]
) -> None:
    folder = write(tmp_path, web=GOOD + (f"  clusterName: {cluster}\n" if cluster else ""), clusters=CLUSTERS)
    file, clusters = folder / "web.yaml", folder / "clusters.yaml"
    code, out, _ = run("validate", "-f", file, "--clusters-file", clusters, *flags)
    assert (code, out.splitlines()) == (1 if found else 0, [f"{file}:{each}" for each in found])
    assert run("validate", "-f", file, *flags, CLUSTERS_FILE=str(clusters))[:2] == (code, out)


def test_validate_sees_that_two_names_are_one_cluster(run: Any, tmp_path: Path) -> None:
    spec = "  profileName: pods\n  clusterName: "
    one, two, other = (
        named(name, f"{spec}{cluster}\n") for name, cluster in (("a", "prod"), ("b", "again"), ("c", "open"))
    )
    one = one.replace("name: a", "name: a\n  namespace: web", 1)
    folder = write(tmp_path, a=one, b=two, c=other, clusters=CLUSTERS)
    files = [folder / f"{name}.yaml" for name in "abc"]
    code, out, _ = run("validate", "-f", *files, "--clusters-file", folder / "clusters.yaml")
    assert (code, len(out.splitlines())) == (1, 1)
    assert "pods is the name of the profile of web/a" in out


def test_validate_tells_what_is_wrong_with_the_clusters_file_and_judges_the_rest_without_it(
    run: Any, tmp_path: Path
) -> None:
    folder = write(tmp_path, web=GOOD + "  clusterName: any\n  subnet: []\n", clusters="clusters: [{nam: a}]")
    code, out, err = run("validate", "-f", folder / "web.yaml", "--clusters-file", folder / "clusters.yaml")
    assert code == 1
    assert [line.partition(": ")[2].split(": ")[0] for line in out.splitlines()] == [
        "clusters[0].nam", "clusters[0].name", "spec.subnet",
    ]  # fmt: skip
    assert err.splitlines() == [
        "Which clusters objects may name, and what they get by default, is not judged: first mend the clusters file.",
        "1 FargateProfile, 3 findings in 1 object.",
    ]


def test_validate_without_the_clusters_file_that_it_is_told_of_has_no_result(run: Any, tmp_path: Path) -> None:
    folder = write(tmp_path, web=GOOD)
    code, out, err = run("validate", "-f", folder / "web.yaml", "--clusters-file", folder / "none.yaml")
    assert (code, out) == (2, "")
    mend = "correct --clusters-file, or who may read the file"
    assert err.splitlines()[0] == f"{folder}/none.yaml: can't be read (No such file or directory): {mend}"


# What objects get that say nothing of it

ROLE_LINE = "  podExecutionRoleArn: arn:aws:iam::123456789012:role/pods\n"
NO_ROLE, BY_NAME = GOOD.replace(ROLE_LINE, ""), GOOD.replace(ROLE_LINE, "  podExecutionRoleName: pods\n")
DEFAULTS = """
clusters:
- {name: own, defaults: {podExecutionRoleArn: "arn:aws:iam::123456789012:role/default", tags: {a: b}}}
- {name: theirs, roleArn: "arn:aws-cn:iam::111122223333:role/operator"}
"""
NEEDED = (
    "5: spec.podExecutionRoleArn: missing: give the ARN of an IAM role without a path, "
    "arn:aws:iam::<account>:role/<name>, or its name in podExecutionRoleName; the operator has no default for "
    "this cluster"
)
ONLY_WEB = "--allowed-roles=arn:*:iam::*:role/web-*"
UNTOLD = (
    "Role names are not judged by --allowed-roles where the account of the cluster is not known here, as it is not for "
    "default/web.\n"
)
BY_DEFAULT: dict[str, tuple[str, tuple[str, ...], list[str], str]] = {
    "no role, and nobody has a default": (NO_ROLE, (), [NEEDED], ""),
    "no role, and the flag has one": (NO_ROLE, ("--default-pod-execution-role=pods",), [], ""),
    "no role, and the flag has one that no object may pass itself": (
        NO_ROLE, ("--default-pod-execution-role=arn:aws:iam::123456789012:role/pods", ONLY_WEB), [], ""
    ),
    "no role, and the cluster's entry has one": (NO_ROLE + "  clusterName: own\n", ("FILE", ONLY_WEB), [], ""),
    "no role, and the flag's default is not for clusters of the file": (
        NO_ROLE + "  clusterName: theirs\n", ("FILE", "--default-pod-execution-role=pods"), [NEEDED], ""
    ),
    "a role's name, and the file says in which account": (
        BY_NAME + "  clusterName: theirs\n", ("FILE", ONLY_WEB),
        ["6: spec.podExecutionRoleName: arn:aws-cn:iam::111122223333:role/pods is not among the roles that objects may "
         "pass: take one that matches the operator's --allowed-roles"],
        "",
    ),
    "a role's name, and nobody says in which account": (BY_NAME, (ONLY_WEB,), [], UNTOLD),
    "a role's name, and every role is allowed": (BY_NAME, (), [], ""),
    "a role's name, and the ARN of the home says in which account": (
        BY_NAME, (ONLY_WEB.replace("web-", "po"), "--cluster-name=arn:aws:eks:eu-west-1:123456789012:cluster/demo"),
        [], "",
    ),
    "a role's name, and the home is of another partition": (
        BY_NAME,
        ("--allowed-roles=arn:aws-us-gov:iam::*:role/po*",
         "--cluster-name=arn:aws-us-gov:eks:us-gov-west-1:123456789012:cluster/demo"),
        [], "",
    ),
    "more tags than EKS takes, with those by default": (
        GOOD + "  clusterName: own\n  tags: {" + ", ".join(f"k{n}: v" for n in range(48)) + "}\n", ("FILE",),
        ["9: spec.tags: 49 tags together with the defaults of this cluster (a): give fewer, EKS has room for 48; or "
         "have fewer defaults set"],
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "flags", "found", "note"), BY_DEFAULT.values(), ids=BY_DEFAULT.keys())
def test_validate_judges_an_object_with_the_defaults_that_it_is_told_of(
    run: Any, tmp_path: Path, text: str, flags: tuple[str, ...], found: list[str], note: str
) -> None:
    folder = write(tmp_path, web=text, clusters=DEFAULTS)
    given = [f"--clusters-file={folder / 'clusters.yaml'}" if each == "FILE" else each for each in flags]
    code, out, err = run("validate", "-f", folder / "web.yaml", *given)
    assert (code, out.splitlines()) == (1 if found else 0, [f"{folder / 'web.yaml'}:{each}" for each in found])
    assert err.startswith(f"{note}1 FargateProfile, ")


# Which files are read


def test_a_folder_is_read_as_kubectl_reads_it_and_with_r_what_is_in_it_too(run: Any, tmp_path: Path) -> None:
    write(tmp_path, one=named("one"))
    (tmp_path / "two.yml").write_text(named("two"))
    (tmp_path / "three.json").write_text(json.dumps(yaml.safe_load(named("three"))))
    (tmp_path / "notes.txt").write_text("kind: FargateProfile")
    write(tmp_path / "deep" / "er", four=named("four"))
    assert run("validate", "-f", tmp_path)[2] == "3 FargateProfiles, no findings.\n"
    assert run("validate", "-R", "-f", tmp_path)[2] == "4 FargateProfiles, no findings.\n"
    again = run("validate", "-f", tmp_path, tmp_path / "one.yaml")
    assert again[2] == "3 FargateProfiles, no findings.\n", "a file that is named twice is one"
    assert run("validate", "-f", tmp_path / "notes.txt")[0] == 1, "a file that is named is read, whatever its name"


def test_a_folder_without_manifests_is_not_taken_for_one_without_findings(run: Any, tmp_path: Path) -> None:
    write(tmp_path / "deep", web=GOOD)
    code, out, err = run("validate", "-f", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"{tmp_path}: no *.yaml, *.yml or *.json is in this folder: give -R")


def test_a_file_that_can_t_be_decoded_is_named_and_the_others_are_judged(run: Any, tmp_path: Path) -> None:
    write(tmp_path, good=named("good"), wrong=named("wrong", "  subnet: []\n"))
    (tmp_path / "latin.yaml").write_bytes("kind: FargateProfile\nname: gr\xf6\xdfe".encode("latin-1"))
    code, out, err = run("validate", "-f", tmp_path)
    assert code == 2
    assert out == f"{tmp_path}/wrong.yaml:8: spec.subnet: not a field: remove it or correct its name\n"
    assert err.splitlines()[0].startswith(f"{tmp_path}/latin.yaml:2: ")
    assert err.splitlines()[1:] == ["2 FargateProfiles, 1 finding in 1 object."]


# For machines

SCHEMA_TYPES = {"text": str, "number": int, "list": list, "mapping": dict, "truth": bool, "nothing": type(None)}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield each field of an answer with its value; `[]` is each of a list, `*` each of what users name."""
    if path:
        yield path, value
    if isinstance(value, list):
        for each in value:
            yield from leaves(each, path + "[]")
    if isinstance(value, dict):
        for key, each in value.items():
            named_by_users = path in {"passedOver", "sum", "objects[].steps[].tags"}
            yield from leaves(each, ".".join(filter(None, (path, "*" if named_by_users else key))))


def hold_to_the_document(answers: list[str], title: str) -> None:
    """Every field of the answers stands in the table of docs/commands.md, with its type, and the other way round."""
    rows = {field: types.split(" or ") for field, types, _ in table("docs/commands.md", title)}
    seen = [leaf for answer in answers for leaf in leaves(json.loads(answer)) if not leaf[0].endswith("[]")]
    assert {path for path, _ in seen} == rows.keys()
    for path, value in seen:
        assert type(value) in {SCHEMA_TYPES[each] for each in rows[path]}, (path, value)


def test_what_validate_says_in_json_is_as_documented(run: Any, tmp_path: Path) -> None:
    write(tmp_path, a=named("a", "  subnet: []\n"), b="a: [", c="apiVersion: v1\nkind: Pod\n")
    (tmp_path / "d.yaml").write_bytes(b"\xff")
    code, out, _ = run("validate", "-o", "json", "-f", tmp_path, tmp_path / "none.yaml")
    assert code == 2
    answer = json.loads(out)
    assert (answer["objects"], answer["wrong"], answer["passedOver"]) == (1, 1, {"Pod of v1": 1})
    assert answer["findings"][1] == {
        "file": f"{tmp_path}/a.yaml", "line": 8, "object": "default/a", "field": "spec.subnet",
        "what": "not a field", "mend": "remove it or correct its name",
    }  # fmt: skip
    assert [(each["file"], each["line"]) for each in answer["unread"]] == [
        (f"{tmp_path}/d.yaml", 1), (f"{tmp_path}/none.yaml", 0)
    ]  # fmt: skip
    hold_to_the_document([out], "field of `validate -o json`")
    code, out, _ = run("validate", "-o", "json", "-f", ROOT / "sample-crd.yaml")
    assert (code, json.loads(out)) == (0, {"objects": 2, "wrong": 0, "findings": [], "unread": [], "passedOver": {}})


def test_what_validate_finds_is_marked_in_a_pull_request_of_github(run: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a,b:c%", web=named("web", '  tags:\n    "a%\\r\\nb": 1\n')) / "web.yaml"
    code, out, err = run("validate", "-o", "github", "-f", file, tmp_path / "none.yaml")
    assert code == 2
    place = f"{tmp_path}/a%2Cb%3Ac%25/web.yaml"
    assert out.splitlines() == [
        f"::error file={tmp_path}/none.yaml,line=1,title=manifest::No such file or directory: "
        "correct the name, or who may read it",
        f"::error file={place},line=9,title=default/web::spec.tags.a%25%0D%0Ab: 1, which YAML reads as a number: "
        "put it in quotes",
    ]
    assert err.splitlines()[-1] == "1 FargateProfile, 1 finding in 1 object."


def test_every_call_that_the_document_shows_is_one_that_can_be_made() -> None:
    text = DOCUMENTS["docs/commands.md"].replace("\\\n ", "").replace(", ", " ")
    calls = re.findall(r"controller\.py ((?:validate|plan|export)\b [^`\]\n>]*)", text)
    assert len(calls) >= 8
    for call in calls:
        assert (call, command_line({}).parse_known_args(call.split())[1]) == (call, [])


# export


HOSTILE = {
    "yes": "no",
    "y": "Off",
    "null": "~",
    "1e3": "0x1F",
    "1_000": ".5",
    "2026-01-01": "2026-01-01T00:00:00Z",
    "<<": "*alias",
    "=": "&anchor",
    "spaces": "  both ends  ",
    "marks": "- a: b # c",
    "quotes": "'\"\\",
    "empty": "",
    "größe": "übergroß ✓ 🐟",
    "owner": "!tag",
    "%percent": "@at `tick` | > ? , [x] {y}",
}
AWS_OWN = {"aws:cloudformation:stack-name": "fargate"}


NAMES = {
    "web": "web",
    "shop-pods": "Shop_Pods",
    "null": "null",
    "1e3": "1e3",
    "y": "y",
    "web-9161755a": "web-",
    "web-29751047": "Web",
    "a" * 91: "a" * 91,
}


def found_profiles(b: Bench) -> None:
    """Let there be profiles that others made."""
    role, subnets = b.world.roles["good"], b.world.private_subnets
    wild: list[dict[str, Any]] = [
        {"namespace": "web-*", "labels": {"team": "*", "app.kubernetes.io/na?e": "yes"}},
        {"namespace": "?"},
    ]
    b.world.add_profile("demo", "web", role, wild, subnets, HOSTILE | AWS_OWN)
    b.world.add_profile("demo", "Shop_Pods", role, [{"namespace": "1e3", "labels": {}}], subnets[:1])
    for number, name in enumerate(("null", "1e3", "y", "web-", "Web", "a" * 91)):
        b.world.add_profile("demo", name, role, [{"namespace": f"team-{number}"}], subnets)


def export(run: Any, b: Bench, *flags: str) -> tuple[int, list[Object], str]:
    """Run export; return its exit code, the objects as kubectl reads them, and the text."""
    code, out, _ = run("export", "--cluster-name", "demo", "--region", b.world.region, *flags)
    found, broken = overlaps.manifests("stdin", out)
    assert broken == []
    assert [each.obj for each in found] == [each for each in yaml.safe_load_all(out) if each], "PyYAML reads the same"
    assert [line for each in found for line in each.judged()] == []
    return code, [each.obj for each in found], out


def test_what_is_exported_and_applied_is_adopted_with_no_write_to_aws_but_the_owner_tags(run: Any, b: Bench) -> None:
    found_profiles(b)
    before = b.profiles()
    code, objects, _ = export(run, b)
    assert code == 0
    assert b.manners.writes() == []
    b.settings = replace(b.settings, adoption_in=frozenset({"default"}))
    b.start()
    for obj in objects:
        b.api.apply(obj)
    b.run(120)
    owners = {theirs: f"default/{name}" for name, theirs in NAMES.items()}
    assert [call.operation for call in b.manners.writes()] == ["TagResource"] * len(before)
    for name, now in b.profiles().items():
        ours = {OWNER_KEY: owners[name], CONTROLLER_KEY: now["tags"][CONTROLLER_KEY]}
        assert now == before[name] | {"tags": before[name]["tags"] | ours}
    assert all(b.ready(obj["metadata"]["name"]) for obj in objects)
    b.manners.clear()
    b.run(700)
    assert b.manners.writes() == [], "and so it stays"


def test_a_name_that_kubernetes_can_t_hold_becomes_one_that_it_can_and_the_profile_keeps_its_own(
    run: Any, b: Bench
) -> None:
    found_profiles(b)
    _, objects, out = export(run, b, "--namespace", "apps")
    assert {
        obj["metadata"]["name"]: obj["spec"].get("profileName", obj["metadata"]["name"]) for obj in objects
    } == NAMES
    assert {obj["metadata"]["namespace"] for obj in objects} == {"apps"}
    assert export(run, b, "--namespace", "apps")[2] == out, "the same each time"


def test_an_object_that_is_there_is_not_overwritten_by_one_of_the_same_name(run: Any, b: Bench) -> None:
    role = b.world.roles["good"]
    owned = {OWNER_KEY: "default/web", CONTROLLER_KEY: "some-uid"}
    b.world.add_profile("demo", "Shop", role, [{"namespace": "x"}], tags=owned)
    b.world.add_profile("demo", "web", role, [{"namespace": "y"}])
    _, objects, _ = export(run, b)
    assert [(obj["metadata"]["name"], obj["spec"]["profileName"]) for obj in objects] == [("web-4b5e57f6", "web")]


def test_an_exported_manifest_is_one_that_a_person_would_write(run: Any, b: Bench) -> None:
    selectors: list[dict[str, Any]] = [{"namespace": "b"}, {"namespace": "a", "labels": {"z": "1", "app": "web"}}]
    subnets = sorted(b.world.private_subnets)
    b.world.add_profile("demo", "Web", b.world.roles["good"], selectors, reversed(subnets), {"team": "shop"} | AWS_OWN)
    b.world.set_tags("demo", "Web", {RETAINED_KEY: "shop/web"})
    assert export(run, b)[2] == (
        f"""\
# 1 ownerless profile of EKS cluster demo in {b.world.region} of account {b.world.account}.
---
apiVersion: jicomusic.com/v1
kind: FargateProfile
metadata:
  name: web
  namespace: default
spec:
  clusterName: demo
  profileName: Web
  podExecutionRoleArn: {b.world.roles["good"]}
  selectors:
  - namespace: a
    labels:
      app: web
      z: "1"
  - namespace: b
  subnets:
  - {subnets[0]}
  - {subnets[1]}
  tags:
    team: shop
  adoptionPolicy: Adopt
  deletionPolicy: Retain
"""
    )


def test_a_profile_that_no_object_can_stand_for_is_a_comment_that_says_why(run: Any, b: Bench) -> None:
    role, many = b.world.roles["good"], {f"tag-{number}": "x" for number in range(49)}
    b.world.add_profile("demo", "n" * 92, role, [{"namespace": "x"}])
    b.world.add_profile("demo", "eks-like", role, [{"namespace": "x"}])
    b.world.add_profile("demo", "going", role, [{"namespace": "x"}], status="DELETING")
    b.world.add_profile("demo", "tagged", role, [{"namespace": "x"}], tags=many)
    b.world.add_profile("demo", "web", role, [{"namespace": "x"}])
    code, objects, out = export(run, b)
    assert code == 1
    assert [obj["metadata"]["name"] for obj in objects] == ["web"]
    said = [line for line in out.splitlines() if line.startswith("# Profile ")]
    assert [line.split(" is left out: ")[0] for line in said] == [
        "# Profile eks-like", "# Profile going", f"# Profile {'n' * 92}", "# Profile tagged"
    ]  # fmt: skip
    assert "not starting with eks-" in said[0]
    assert "it is DELETING" in said[1]
    assert "at most 91" in said[2]
    assert "at most 48 pairs" in said[3]


def test_with_all_a_lost_cluster_s_objects_come_back_as_they_were(run: Any, b: Bench) -> None:
    b.settings = replace(b.settings, controller_id="lost")
    b.start()
    b.apply("web")
    b.apply("dotted.name", namespace="apps", profileName="Dotted_Name")
    b.world.add_profile("demo", "other", b.world.roles["good"], [{"namespace": "x"}])
    b.run(200)
    b.edit("web", selectors=OTHER, updatePolicy="Replace")
    b.run(300)
    assert "web" not in b.profiles(), "it has been replaced"
    assert export(run, b)[1][0]["metadata"]["name"] == "other"
    code, objects, _ = export(run, b, "--all")
    assert code == 0
    assert [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in objects] == [
        ("apps", "dotted.name"), ("default", "other"), ("default", "web")
    ]  # fmt: skip
    assert [each["spec"].get("profileName") for each in objects] == ["Dotted_Name", None, None]
    b.manners.clear()
    b.settings = replace(b.settings, adoption_in=frozenset({"*"}))
    b.api = ApiServer(now=b.clock.now)
    b.start()
    for namespace in ("default", "apps"):
        b.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for obj in objects:
        b.api.apply(obj)
    b.run(120)
    assert all(b.ready(each["metadata"]["name"], each["metadata"]["namespace"]) for each in objects)
    assert [call.operation for call in b.manners.writes()] == ["TagResource"], "the owner tags of other"


def test_an_account_without_the_cluster_is_told_and_nothing_is_printed(run: Any, b: Bench) -> None:
    code, out, err = run("export", "--cluster", "none", "--region", b.world.region)
    assert (code, out) == (2, "")
    assert "EKS has no cluster none in us-east-1: correct --cluster-name or --region." in err


@given(st.dictionaries(st.text(min_size=1), st.text()))
@settings(max_examples=300, deadline=None)
def test_every_text_survives_being_written_and_read(tags: dict[str, str]) -> None:
    text = overlaps.written({"tags": tags})
    assert overlaps.manifests("f", text)[0][0].obj == {"tags": tags}
    assert yaml.safe_load(text) == {"tags": tags}


# plan


def words(out: str) -> list[list[str]]:
    """Return (word, object) of each row."""
    return [line.split()[:2] for line in out.splitlines()[:-1]]


CREATE, DELETE, TAG, UNTAG = "CreateFargateProfile", "DeleteFargateProfile", "TagResource", "UntagResource"


def foreign(b: Bench, **difference: Any) -> None:
    spec = b.manifest()["spec"] | difference
    b.world.add_profile("demo", "web", spec["podExecutionRoleArn"], spec["selectors"], spec["subnets"], {"a": "b"})


def failed(b: Bench) -> None:
    b.manners.fail_create("web", {"code": "X", "message": "no", "resourceIds": []}, times=1)
    b.apply()
    b.run(61)


def under_way(b: Bench) -> None:
    b.apply()
    b.run(5)


def stripped(b: Bench) -> None:
    b.settle()
    b.world.strip_tags("demo", "web", [OWNER_KEY, CONTROLLER_KEY])


OTHER = [{"namespace": "other"}]
# What was there before, the edit of a manifest, what plan says, what the controller then asks of AWS.
SCENARIOS: dict[str, tuple[Callable[[Bench], None], Object, str, list[str]]] = {
    "nothing is there": (lambda b: None, {}, "create", [CREATE]),
    "all is as wanted": (Bench.settle, {}, "nothing", []),
    "a tag is new": (Bench.settle, {"tags": {"a": "b"}}, "tag", [TAG]),
    "a tag is no longer wanted": (lambda b: b.settle(tags={"a": "b"}), {}, "untag", [UNTAG]),
    "the selectors are edited": (Bench.settle, {"selectors": OTHER}, "refuse", []),
    "edited, Replace": (Bench.settle, {"selectors": OTHER, "updatePolicy": "Replace"}, "replace", [CREATE, DELETE]),
    "edited, Recreate": (Bench.settle, {"selectors": OTHER, "updatePolicy": "Recreate"}, "recreate", [DELETE, CREATE]),
    "somebody else's profile has the name": (foreign, {}, "refuse", []),
    "somebody else's profile, Adopt": (foreign, {"adoptionPolicy": "Adopt"}, "adopt", [TAG]),
    "somebody else's profile differs, Adopt": (
        lambda b: foreign(b, selectors=OTHER), {"adoptionPolicy": "Adopt"}, "refuse", []
    ),
    "the owner tags were taken off": (stripped, {}, "tag", [TAG]),
    "EKS has failed to make it": (failed, {}, "recreate", [DELETE, CREATE]),
    "a role that is missing": (
        lambda b: None, {"podExecutionRoleArn": "arn:aws:iam::123456789012:role/none"}, "refuse", []
    ),
    "suspended": (lambda b: None, {"suspend": True}, "nothing", []),
    "made right now": (under_way, {}, "wait", []),
}  # fmt: skip


@pytest.mark.parametrize(("before", "edit", "word", "calls"), SCENARIOS.values(), ids=SCENARIOS.keys())
def test_what_plan_foretells_is_what_the_controller_then_does(
    b: Bench, plan: Any, before: Callable[[Bench], None], edit: Object, word: str, calls: list[str]
) -> None:
    before(b)
    wanted = b.manifest(**edit)
    code, out, err = plan(wanted)
    assert (words(out), err) == ([[word, "default/web"]], "")
    assert code == (1 if word == "refuse" else 0)
    assert out.splitlines()[-1].startswith(f"Plan: 1 {word}.")
    if there := b.api.get("fargateprofiles", "default", "web"):
        b.edit("web", "default", **dict.fromkeys(there["spec"].keys() - wanted["spec"].keys()))
    b.api.apply(wanted)
    b.run(700)
    assert [call.operation for call in b.manners.writes()] == calls


def test_a_row_says_in_words_what_would_be_done_and_the_rows_are_aligned(b: Bench, plan: Any) -> None:
    b.settle()
    pods_of(b, "web", 1)
    fresh, moved = b.manifest("brand-new"), b.manifest(selectors=OTHER, updatePolicy="Replace")
    code, out, _ = plan(fresh, moved, b.manifest("bad", subnets=["subnet-1"]))
    assert code == 1
    name = re.search("web-[0-9a-f]{8}", out)
    assert name is not None
    assert out.splitlines()[:2] == [
        "create    default/brand-new  profile brand-new. brand-new takes no pods that are there.",
        f"replace   default/web        web -> {name[0]}: the new one first, then the old one goes, with 1 running pod. "
        f"{name[0]} takes no pods that are there.",
    ]
    assert re.match(
        r'refuse    default/bad        .*objects.yaml:\d+: spec.subnets\[0\]: "subnet-1": give a', out.splitlines()[2]
    )
    assert out.splitlines()[3] == "Plan: 1 create, 1 replace, 1 refuse. Running pods that go: 1."


def pods_of(b: Bench, profile: str, number: int) -> None:
    """Let so many pods run on a profile, where anybody may see them."""
    b.api.may_list_pods = True
    labels = {"eks.amazonaws.com/fargate-profile": profile}
    for index in range(number):
        pod = {"metadata": {"name": f"{profile}-{index}", "labels": labels}, "status": {"phase": "Running"}}
        b.api.apply({"apiVersion": "v1", "kind": "Pod", **pod})


def test_the_sum_counts_objects_and_says_how_many_running_pods_go(b: Bench, plan: Any) -> None:
    b.settle("web")
    b.settle("api", selectors=[{"namespace": "api"}])
    pods_of(b, "web", 2)
    bad = b.manifest("bad", subnets=["subnet-1"], tags={"aws:a": "b"}, selectors=[])
    web = b.manifest("web", selectors=OTHER, updatePolicy="Replace")
    api = b.manifest("api", selectors=[{"namespace": "x"}], updatePolicy="Recreate")
    out = plan(bad, web, api)[1]
    assert [each for each, _ in words(out)].count("refuse") == 3
    assert out.splitlines()[-1] == "Plan: 1 replace, 1 recreate, 1 refuse. Running pods that go: 2."
    b.api.may_list_pods = False
    assert plan(web)[1].splitlines()[-1] == "Plan: 1 replace. Running pods that go: some that can't be counted."
    b.api.may_list_pods = True
    assert plan(api)[1].splitlines()[-1] == "Plan: 1 recreate.", "no pod goes"


def test_tags_are_told_with_the_values_of_before_and_after(b: Bench, plan: Any) -> None:
    b.settle(tags={"a": "1", "b": "2", "c": "3"})
    assert plan(b.manifest(tags={"a": "1", "b": "x", "d": "new"}))[1].splitlines()[:2] == [
        "tag       default/web  profile web: b=x (was 2), d=new",
        "untag     default/web  profile web: c (was 3)",
    ]


def test_an_overlap_that_would_arise_is_told_with_both_names_and_who_wins_and_refuses_nothing(
    b: Bench, plan: Any
) -> None:
    b.settle("web", selectors=[{"namespace": "web"}])
    there, new = b.manifest("web", selectors=[{"namespace": "web"}]), b.manifest("all", selectors=[{"namespace": "w*"}])
    code, out, _ = plan(there, new, there)
    assert code == 0
    assert words(out) == [
        ["nothing", "default/web"], ["create", "default/all"], ["overlap", "default/all"], ["nothing", "default/web"]
    ]  # fmt: skip
    said = "The same pods can match profile all and web (made for default/web): EKS takes the first by name, all;"
    assert said in out.splitlines()[2]
    assert out.splitlines()[-1] == "Plan: 1 create, 2 nothing, 1 overlap."
    b.api.apply(new)
    b.run(300)
    assert words(plan(there, new)[1]) == [["nothing", "default/web"], ["nothing", "default/all"]], "none arises"


def suspended(b: Bench) -> None:
    b.settle()
    b.edit(suspend=True)
    b.run(30)


def refused(b: Bench) -> None:
    foreign(b)
    b.apply()
    b.run(30)


# What was there before, what plan --delete says, what the controller then asks of AWS.
DELETIONS: dict[str, tuple[Callable[[Bench], None], list[str], list[str]]] = {
    "an object that is there": (Bench.settle, ["delete"], [DELETE]),
    "an object that keeps its profile": (
        lambda b: b.settle(deletionPolicy="Retain"),
        ["tag", "untag", "nothing"],
        [TAG, UNTAG],
    ),
    "a suspended object": (suspended, ["nothing"], []),
    "an object in the place of somebody else's profile": (refused, ["nothing"], []),
    "a profile that is being made": (under_way, ["wait"], [DELETE]),
}


@pytest.mark.parametrize(("before", "said", "calls"), DELETIONS.values(), ids=DELETIONS.keys())
def test_what_plan_foretells_of_a_deletion_is_what_the_controller_then_does(
    b: Bench, plan: Any, before: Callable[[Bench], None], said: list[str], calls: list[str]
) -> None:
    before(b)
    code, out, _ = plan(b.manifest(selectors=[]), flags=("--delete",))
    assert (code, [word for word, _ in words(out)]) == (0, said), "the manifest's own spec counts for nothing"
    b.delete()
    b.run(700)
    assert [call.operation for call in b.manners.writes()] == calls


def test_a_deletion_is_told_with_its_pods_and_one_of_what_is_not_there_is_nothing(b: Bench, plan: Any) -> None:
    b.settle()
    pods_of(b, "web", 3)
    code, out, _ = plan(b.manifest(), b.manifest("none"), b.manifest("_"), flags=("--delete",))
    assert code == 1
    assert out.splitlines()[:2] == [
        "delete    default/web   profile web: its object is deleted; it goes, with 3 running pods.",
        "nothing   default/none  There is no such object.",
    ]
    assert "metadata.name" in out.splitlines()[2]
    assert out.splitlines()[-1] == "Plan: 1 delete, 1 refuse, 1 nothing. Running pods that go: 3."


def test_an_object_that_the_controller_has_not_seen_goes_at_once(b: Bench, plan: Any) -> None:
    b.api.apply(b.manifest())
    assert "The object goes at once" in plan(b.manifest(), flags=("--delete",))[1]


def test_a_deletion_without_kubernetes_is_that_of_an_object_as_the_manifest_says(
    b: Bench, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    b.settle()
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    uid = b.profiles()["web"]["tags"][CONTROLLER_KEY]
    code, out, err = plan(b.manifest(), flags=("--delete", "--controller-id", uid))
    assert (code, words(out)) == (0, [["delete", "default/web"]])
    assert "for one that is as its manifest says" in err
    assert out.splitlines()[-1] == "Plan: 1 delete. Running pods that go: some that can't be counted."


def test_detailed_exitcode_is_terraform_s(b: Bench, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    detailed = "--detailed-exitcode"
    assert plan(b.manifest(), flags=(detailed,))[0] == 2, "a profile would be made"
    assert plan(b.manifest(), b.manifest("bad", selectors=[]), flags=(detailed,))[0] == 1, "one is refused"
    under_way(b)
    assert plan(b.manifest(), flags=(detailed,))[0] == 2, "it is under way"
    b.run(700)
    assert plan(b.manifest(), flags=(detailed,))[0] == 0
    assert plan(b.manifest(), flags=(detailed, "--delete"))[0] == 2
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    assert plan(b.manifest(), flags=(detailed,))[0] == 1, "nothing can be planned"


@pytest.mark.parametrize("wrong", ["-o=xml", "--region=", "--workers=none"])
def test_with_detailed_exitcode_a_wrong_command_line_is_an_error_and_no_change(
    run: Any, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    for flags, code in (((), 2), (("--detailed-exitcode",), 1)):
        ended: Any
        try:
            ended = run("plan", "-f", ROOT / "sample-crd.yaml", "--cluster", "demo", wrong, *flags)[0]
        except SystemExit as exits:
            ended = exits.code
        assert ended == code


def test_what_plan_says_in_json_is_as_documented(b: Bench, plan: Any) -> None:
    b.settle(tags={"a": "1", "b": "2"})
    b.settle("api", selectors=[{"namespace": "api"}])
    pods_of(b, "api", 2)
    api = b.manifest("api", selectors=OTHER, updatePolicy="Recreate")
    code, out, err = plan(b.manifest(tags={"a": "x", "c": "3"}), api, flags=("-o", "json"))
    answer = json.loads(out)
    assert (code, err, answer["sum"]) == (0, "", {"recreate": 1, "tag": 1, "untag": 1})
    assert answer["pods"] == {"known": 2, "more": False}
    assert [(each["namespace"], each["name"]) for each in answer["objects"]] == [("default", "web"), ("default", "api")]
    assert [step["tags"] for step in answer["objects"][0]["steps"]] == [
        {"a": {"old": "1", "new": "x"}, "c": {"old": None, "new": "3"}},
        {"b": {"old": "2", "new": None}},
    ]
    b.api.may_list_pods = False
    uncounted = plan(api, flags=("-o", "json"))[1]
    assert json.loads(uncounted)["pods"] == {"known": 0, "more": True}
    assert json.loads(uncounted)["objects"][0]["steps"][0]["pods"] is None
    hold_to_the_document([out, uncounted], "field of `plan -o json`")


def test_an_edit_amid_a_replacement_is_foretold_with_the_spare_that_goes_first(b: Bench, plan: Any) -> None:
    b.settle()
    b.manners.fail("DeleteFargateProfile", fake_aws.error("ServerException", 500), times=99)
    b.edit(selectors=[{"namespace": "meanwhile"}], updatePolicy="Replace")
    b.run(90)
    assert len(b.profiles()) == 2
    wanted = b.manifest(selectors=OTHER, updatePolicy="Replace")
    assert words(plan(wanted)[1]) == [["delete", "default/web"], ["replace", "default/web"]]
    b.manners.heal()
    b.api.apply(wanted)
    b.run(700)
    assert [call.operation for call in b.manners.writes() if not call.code] == [DELETE, CREATE, DELETE]


def test_what_adoption_is_not_allowed_for_is_refused_and_plan_goes_by_the_same_flag(b: Bench, plan: Any) -> None:
    foreign(b)
    code, out, _ = plan(b.manifest(adoptionPolicy="Adopt"), flags=("--allow-adoption-in", "other"))
    assert (code, words(out)) == (1, [["refuse", "default/web"]])
    assert "--allow-adoption-in default" in out


def test_what_the_operator_does_not_allow_its_users_plan_does_not_foretell_either(b: Bench, plan: Any) -> None:
    code, out, _ = plan(b.manifest(), flags=("--allowed-roles", "arn:aws:iam::*:role/other-*"))
    assert (code, words(out)) == (1, [["refuse", "default/web"]])
    assert "spec.podExecutionRoleArn" in out


def test_what_becomes_of_an_object_that_goes_is_foretold_to_its_end(b: Bench, plan: Any) -> None:
    b.settle(deletionPolicy="Retain")
    b.delete()
    code, out, _ = plan(b.manifest(deletionPolicy="Retain"))
    steps = ["tag", "untag", "nothing"]
    assert (code, words(out)) == (0, [[step, "default/web"] for step in steps])
    assert "Retained: Profile web is kept in EKS, without an owner." in out


def test_what_a_namespace_may_not_leave_is_told_before_it_is_deleted(b: Bench, plan: Any) -> None:
    retain, forbid = b.manifest(deletionPolicy="Retain"), ("--allow-retain-in", "shop")
    code, out, _ = plan(retain, flags=forbid)
    assert (code, words(out)) == (0, [["create", "default/web"], ["nothing", "default/web"]])
    assert "RetainNotAllowed: objects of namespace default may not leave their profile" in out
    assert "RetainNotAllowed" not in plan(retain)[1]
    b.settle(deletionPolicy="Retain")
    code, out, _ = plan(retain, flags=(*forbid, "--delete"))
    assert (code, words(out)) == (1, [["refuse", "default/web"]])
    assert "--allow-retain-in=default" in out


def test_objects_are_planned_one_after_the_other_each_on_what_the_ones_before_leave(b: Bench, plan: Any) -> None:
    code, out, _ = plan(b.manifest("one", profileName="same"), b.manifest("two", profileName="same"))
    assert code == 1
    assert words(out) == [["create", "default/one"], ["refuse", "default/two"]]
    assert "NameTaken: Cluster demo has a profile same already, made for default/one" in out


def test_an_edit_that_the_api_server_refuses_is_not_planned(b: Bench, plan: Any) -> None:
    b.settle()
    code, out, _ = plan(b.manifest(profileName="other"))
    assert (code, words(out)) == (1, [["refuse", "default/web"]])
    assert "The API server lets nobody change spec.profileName: make a new object." in out


def test_without_kubernetes_and_without_a_controller_id_nothing_is_planned(
    b: Bench, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    b.settle()
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    code, out, err = plan(b.manifest())
    assert (code, out) == (2, "")
    assert "Set --controller-id to plan without." in err
    uid = b.profiles()["web"]["tags"][CONTROLLER_KEY]
    code, out, err = plan(b.manifest(), flags=("--controller-id", uid))
    assert (code, words(out)) == (0, [["nothing", "default/web"]])
    assert "each object is taken for a new one" in err
    code, out, _ = plan(b.manifest(), flags=("--controller-id", "another"))
    assert (code, words(out)) == (1, [["refuse", "default/web"]]), "it is another controller's"


def test_what_can_t_be_read_or_asked_ends_plan_with_2(
    run: Any, b: Bench, plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.yaml").write_text("a: [")
    home = ("--cluster-name", "demo", "--region", b.world.region)
    code, out, err = run("plan", "-f", tmp_path / "broken.yaml", *home)
    assert (code, out) == (2, "")
    assert "broken.yaml:1: " in err
    b.manners.fail("ListFargateProfiles", fake_aws.error("AccessDeniedException", 403, "no"), times=9)
    code, out, err = plan(b.manifest())
    assert (code, out) == (2, "")
    assert "IAMPolicy.json" in err
    assert run("plan", "-f", ROOT / "sample-crd.yaml")[0] == 2, "neither cluster nor region are known"
