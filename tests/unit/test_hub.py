"""docs/clusters.md: its file is one that is taken, and its IAM policies are enough for it and let nobody else in."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from clustersfile import parse
from entries import Entries
from tests.docs import DOCUMENTS, ROOT, section, table
from tests.fakes.accounts import Sts, Wish
from tests.fakes.eks_rules import Refusal
from tests.unit.test_sites import HERE, apply, estate

GUIDE = "docs/clusters.md"
HUB, IN_HUB = "123456789012", "arn:aws:iam::123456789012:role/fargate-operator"
POLICY: dict[str, Any]
TRUST: dict[str, Any]
POLICY, TRUST = map(json.loads, re.findall(r"```json\n(.*?)```", DOCUMENTS[GUIDE], re.S))
FILE = section(GUIDE, "## The file\n\n```yaml\n", "```")
ENTRIES: list[dict[str, Any]] = yaml.safe_load(FILE)["clusters"]
SPOKES = sorted({(each["roleArn"], each["externalId"]) for each in ENTRIES if "roleArn" in each})


def taken() -> Entries:
    found = parse("clusters.yaml", FILE, Entries("us-east-1", "my-cluster"), HUB)
    assert isinstance(found, Entries), found
    return found


def test_the_file_of_the_guide_is_one_that_is_taken() -> None:
    assert [each.name for each in taken().listed or ()] == [each["name"] for each in ENTRIES]


def test_the_guide_tells_of_every_field_of_the_file() -> None:
    told = [row[0] for row in table(GUIDE, "field of an entry")]
    assert told == ["name", "cluster", "region", "roleArn", "externalId", "namespaces", "defaults"]
    assert {*ENTRIES[0]} == {*told}
    inside = {name for row in table(GUIDE, "field of `defaults`") for name in row[0].split(", or ")}
    assert {*ENTRIES[0]["defaults"]} | {"podExecutionRoleArn"} == inside


def test_the_hub_asks_for_roles_alone_and_in_a_spoke_for_no_more_than_the_iam_policy_grants() -> None:
    """A life in the clusters of the guide's file: made, tagged, untagged, kept and deleted."""
    spokes = [each for each in taken().listed or () if each.role_arn]
    policy = json.loads((ROOT / "IAMPolicy.json").read_text())["Statement"]
    granted = {action.partition(":")[2] for each in policy for action in listed(each["Action"])}
    names = [(each, f"{what}-{each.name}") for each in spokes for what in ("gone", "kept")]
    with estate(*spokes, home="") as (b, world):
        for each in spokes:
            world.at(*each.place).add_cluster(each.cluster)
            world.at(*each.place).add_subnet(fargate="yes")
        for each, name in names:
            keep: dict[str, Any] = {"deletionPolicy": "Retain"} if name.startswith("kept") else {}
            apply(b, world, each.name, name, "team-a", subnets=[], tags={"team": "a"}, **keep)
        b.run(400)
        assert all(b.ready(name, "team-a") for _, name in names)
        for _, name in names:
            b.edit(name, "team-a", tags={"crew": "b", "team": None})
        b.run(60)
        for _, name in names:
            b.delete(name, "team-a")
        b.run(300)
        assert all(b.gone(name, "team-a") for _, name in names)
        assert world.asked_of(HERE) <= {"assume_role", "get_caller_identity"}
        roles = {(each["RoleArn"], each["ExternalId"]) for each in world.assumed}
        assert roles == {(each.role_arn, each.external_id) for each in spokes}
        for each in spokes:
            asked = {"".join(map(str.capitalize, method.split("_"))) for method in world.asked_of(each.account)}
            assert {"CreateFargateProfile", "DeleteFargateProfile", "TagResource", "UntagResource"} <= asked <= granted


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def assume(role: str, external_id: str, caller: str = f"arn:aws:sts::{HUB}:assumed-role/fargate-operator/x") -> None:
    """Ask for a role's keys where the hub has the policy of the guide, and every role its trust policy."""
    (statement,) = POLICY["Statement"]
    sts = Sts(may_assume=tuple(statement["Resource"]))
    sts.judge(Wish(caller, role, external_id), lambda _: json.dumps(TRUST))


@pytest.mark.parametrize(("role", "external_id"), SPOKES)
def test_by_the_two_policies_the_hub_assumes_each_role_of_the_file(role: str, external_id: str) -> None:
    assume(role, external_id)


@pytest.mark.parametrize("external_id", ["", "another"])
def test_without_the_external_id_of_the_file_the_hub_assumes_no_role(external_id: str) -> None:
    with pytest.raises(Refusal):
        assume(SPOKES[0][0], external_id)


@pytest.mark.parametrize(
    "caller",
    [f"arn:aws:sts::{HUB}:assumed-role/other/x", f"arn:aws:sts::{HUB}:user/x",
     "arn:aws:sts::999999999999:assumed-role/fargate-operator/x"],
)  # fmt: skip
def test_nobody_but_the_operator_of_the_hub_is_let_in(caller: str) -> None:
    with pytest.raises(Refusal):
        assume(*SPOKES[0], caller=caller)


def test_the_hub_may_assume_the_roles_of_the_file_and_nothing_else() -> None:
    (statement,) = POLICY["Statement"]
    assert statement.keys() == {"Sid", "Effect", "Action", "Resource"}
    assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")
    assert statement["Resource"] == [role for role, _ in SPOKES]
    assert not re.search("[*?]", "".join(statement["Resource"]))


def test_the_trust_policy_names_the_hub_s_role_and_no_whole_account() -> None:
    (statement,) = TRUST["Statement"]
    assert statement["Principal"] == {"AWS": IN_HUB}
    assert listed(statement["Action"]) == ["sts:AssumeRole"]


@pytest.mark.parametrize("policy", [POLICY, TRUST])
def test_a_policy_of_the_guide_is_in_the_language_of_the_others(policy: dict[str, Any]) -> None:
    assert policy["Version"] == json.loads((ROOT / "IAMPolicy.json").read_text())["Version"]
    assert all(re.fullmatch(r"([A-Z][A-Za-z]*){3,}", each["Sid"]) for each in policy["Statement"])


def test_the_mount_of_the_guide_is_where_its_flag_looks() -> None:
    block = yaml.safe_load(section(GUIDE, "a volume:\n\n```yaml\n", "```"))
    spec = block["spec"]["template"]["spec"]
    (container,), (volume,) = spec["containers"], spec["volumes"]
    (mount,) = container["volumeMounts"]
    flags = dict(each.removeprefix("--").split("=") for each in container["args"])
    made = re.findall(r"create configmap (\S+) --from-file=(\S+)", DOCUMENTS[GUIDE])
    assert made == [(volume["configMap"]["name"], flags["clusters-file"].rpartition("/")[2])]
    assert flags["clusters-file"].rpartition("/")[0] == mount["mountPath"]
    assert "subPath" not in mount, "or the file never changes"
    assert mount["name"] == volume["name"]
