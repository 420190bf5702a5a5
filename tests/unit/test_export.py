"""The command export where a file lists the clusters, and with --portable; test_commands.py has the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from export import fewest, telling_tags
from facts import SubnetFact
from surroundings import Network
from tests.unit.conftest import SPOKE, clusters_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.fakes.aws import World
    from tests.harness import Bench

Object = dict[str, Any]


def exported(run: Any, file: Path, *flags: str) -> tuple[int, list[Object], str, str]:
    code, out, err = run("export", "--clusters-file", file, "--region", "us-east-1", *flags)
    return code, [each for each in yaml.safe_load_all(out) if each], out, err


# Which cluster


def test_export_of_an_entry_has_what_its_account_has_under_the_entry_s_name(
    run: Any, b: Bench, spoke: World, tmp_path: Path
) -> None:
    b.world.add_profile("demo", "ours", b.world.roles["good"], [{"namespace": "x"}])
    spoke.add_profile("prod", "theirs", spoke.roles["good"], [{"namespace": "x"}], spoke.private_subnets)
    code, objects, out, _ = exported(run, clusters_file(tmp_path), "--cluster", "prod-eu")
    assert code == 0
    assert [each["metadata"]["name"] for each in objects] == ["theirs"]
    assert objects[0]["spec"]["clusterName"] == "prod-eu"
    assert out.startswith(f"# 1 ownerless profile of EKS cluster prod in eu-west-1 of account {SPOKE}.")
    asked = [call for call in b.world.everywhere() if call.service == "eks"]
    assert {call.account for call in asked} == {SPOKE}, "of the hub's account nothing is asked"


def test_of_two_names_for_a_cluster_the_first_in_the_file_is_written(run: Any, spoke: World, tmp_path: Path) -> None:
    spoke.add_profile("prod", "theirs", spoke.roles["good"], [{"namespace": "x"}])
    _, objects, _, _ = exported(run, clusters_file(tmp_path), "--cluster", "prod-alias")
    assert objects[0]["spec"]["clusterName"] == "prod-eu"


def test_without_cluster_it_is_the_home(run: Any, b: Bench, spoke: World, tmp_path: Path) -> None:
    b.world.add_profile("demo", "ours", b.world.roles["good"], [{"namespace": "x"}])
    spoke.add_profile("prod", "theirs", spoke.roles["good"], [{"namespace": "x"}])
    _, objects, _, _ = exported(run, clusters_file(tmp_path), "--cluster-name", "demo")
    assert [(each["metadata"]["name"], each["spec"]["clusterName"]) for each in objects] == [("ours", "demo")]


@pytest.mark.parametrize(
    ("flags", "said"),
    [(("--cluster", "prod"), "--cluster prod is no entry of --clusters-file"), ((), "set --cluster to the name of")],
)
@pytest.mark.usefixtures("b")
def test_what_names_no_cluster_of_the_file_is_told(run: Any, tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    code, _, out, err = exported(run, clusters_file(tmp_path), *flags)
    assert (code, out) == (2, "")
    assert said in err


def test_where_the_role_of_an_entry_can_t_be_assumed_there_is_no_result_and_it_is_told_what_mends_it(
    run: Any, b: Bench, spoke: World, tmp_path: Path
) -> None:
    spoke.let_in(external_id="another")
    b.world.add_profile("demo", "ours", b.world.roles["good"], [{"namespace": "x"}])
    code, _, out, err = exported(run, clusters_file(tmp_path), "--cluster", "prod-eu")
    assert (code, out) == (2, "")
    assert "can't be assumed" in err
    assert "with the sts:ExternalId that the clusters file has" in err
    assert {call.service for call in b.world.everywhere()} == {"sts"}, "the own credentials are not used in its place"


# Without what holds in one account or VPC alone


def tagged(b: World, **tags: str) -> list[str]:
    """Make two private subnets with these tags."""
    return [b.add_subnet(**tags, Name=f"private-{each}") for each in "ab"]


def test_a_portable_manifest_has_the_role_by_name_and_the_tags_that_only_its_subnets_have(
    run: Any, spoke: World, tmp_path: Path
) -> None:
    subnets = tagged(spoke, fargate="yes", vpc="prod")
    spoke.add_subnet(vpc="prod")
    spoke.add_profile("prod", "web", spoke.roles["good"], [{"namespace": "x"}], subnets)
    code, (obj,), out, _ = exported(run, clusters_file(tmp_path), "--cluster", "prod-eu", "--portable")
    assert code == 0
    assert obj["spec"]["podExecutionRoleName"] == spoke.roles["good"].rpartition("/")[2]
    assert obj["spec"]["subnetSelectorTerms"] == [{"tags": {"fargate": "yes"}}]
    assert SPOKE not in yaml.safe_dump(obj)
    assert "subnet-" not in out


def test_without_the_flag_ids_stay_ids(run: Any, spoke: World, tmp_path: Path) -> None:
    subnets = tagged(spoke, fargate="yes")
    spoke.add_profile("prod", "web", spoke.roles["good"], [{"namespace": "x"}], subnets)
    _, (obj,), _, _ = exported(run, clusters_file(tmp_path), "--cluster", "prod-eu")
    assert obj["spec"]["subnets"] == sorted(subnets)
    assert obj["spec"]["podExecutionRoleArn"] == spoke.roles["good"]


def test_what_is_exported_without_ids_is_adopted_as_it_is(run: Any, b: Bench, tmp_path: Path) -> None:
    subnets = tagged(b.world, fargate="yes")
    b.world.add_profile("demo", "web", b.world.roles["good"], [{"namespace": "x"}], subnets)
    _, objects, _, _ = exported(run, clusters_file(tmp_path), "--cluster-name", "demo", "--portable")
    b.settings = replace(b.settings, adoption_in=frozenset({"default"}))
    b.start()
    b.api.apply(objects[0])
    b.run(120)
    assert b.ready("web")
    assert [call.operation for call in b.manners.writes()] == ["TagResource"]


def test_where_no_tags_tell_the_subnets_from_others_ids_stay_and_a_comment_says_why(
    run: Any, spoke: World, tmp_path: Path
) -> None:
    subnets = tagged(spoke, fargate="yes")
    other = spoke.add_subnet(fargate="yes")
    spoke.add_profile("prod", "web", spoke.roles["good"], [{"namespace": "x"}], subnets)
    code, (obj,), out, _ = exported(run, clusters_file(tmp_path), "--cluster", "prod-eu", "--portable")
    assert code == 0
    assert obj["spec"]["subnets"] == sorted(subnets)
    why = f"{other} has all the tags that they have in common"
    assert f"---\n# Profile web: subnets are given by their ids: {why}.\napiVersion:" in out


def network(subnets: Mapping[str, Mapping[str, str]] | None) -> Network:
    found = None if subnets is None else {
        each: SubnetFact(vpc="vpc-1", zone="a", tags=dict(tags)) for each, tags in subnets.items()
    }  # fmt: skip
    return Network(found, "vpc-1")


OWN = {"kubernetes.io/cluster/prod": "shared"}


def both(**tags: str) -> dict[str, dict[str, str]]:
    """Return the two subnets of a profile with these tags, and a third without any."""
    return {"1": tags, "2": tags, "3": {}}


@pytest.mark.parametrize(
    ("subnets", "tags"),
    [
        (both(a="x") | {"3": {"a": "y"}}, {"a": "x"}),
        (both(a="x", b="z") | {"3": {"a": "x"}, "4": {"b": "z"}}, {"a": "x", "b": "z"}),
        (both(a="x", Name="n"), {"a": "x"}),
        (both(**OWN, t="x"), {"t": "x"}),
        (both(**OWN), OWN),
        (both(**{"aws:x": "y"}, a="x") | {"3": {"a": "x"}}, {}),
        (both(a="*"), {}),
        (both(a=""), {}),
        (both(a="x") | {"2": {"a": "y"}}, {}),
        ({"1": {"a": "x"}}, {}),
        (None, {}),
    ],
)
def test_the_tags_are_as_few_as_tell_and_never_such_as_a_term_can_t_have_or_another_cluster_has_not(
    subnets: Mapping[str, Mapping[str, str]] | None, tags: Mapping[str, str]
) -> None:
    found, why = telling_tags(frozenset("12"), network(subnets))
    assert found == tags
    assert bool(why) is not bool(tags)


def test_no_tag_of_the_fewest_can_be_done_without() -> None:
    others = [{("a", "1"), ("b", "1")}, {("b", "1"), ("c", "1")}, {("a", "1"), ("c", "1")}]
    assert len(fewest({("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")}, others)) == 1
