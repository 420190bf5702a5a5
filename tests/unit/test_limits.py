"""What those who run the controller have set: what objects may ask for, and what their namespaces are let do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aws import ProfileSpec, selector
from limits import Limits, Settings
from spec import Identity
from tests.unit.test_plan import SPEC, who


def forbidden(limits: Limits, by: Identity | None = None, spec: ProfileSpec = SPEC) -> list[str]:
    return [each.reason for each in limits.forbid(by or who(), spec)]


def test_by_default_nothing_is_forbidden() -> None:
    assert forbidden(Limits(), who(cluster="other")) == []


@pytest.mark.parametrize(
    ("patterns", "allowed"), [(["*"], True), (["*:role/pods", "x"], True), (["*:role/pod"], False), ([], False)]
)
def test_a_role_may_be_passed_that_matches_one_of_the_patterns(patterns: list[str], allowed: bool) -> None:
    assert forbidden(Limits(roles=patterns)) == ([] if allowed else ["RoleNotAllowed"])


@pytest.mark.parametrize(
    ("namespaces", "allowed"), [(["web"], True), (["web", "db"], False), (["we*"], False), (["*"], False)]
)
def test_an_object_selects_pods_of_its_own_namespace_where_that_is_the_limit(
    namespaces: list[str], allowed: bool
) -> None:
    spec = replace(SPEC, selectors=frozenset(selector(each, {}) for each in namespaces))
    found = forbidden(Limits(own_namespace=True, home="demo"), who(namespace="web"), spec)
    assert found == ([] if allowed else ["SelectorNotAllowed"])


def test_pods_of_another_cluster_are_nobody_s_own() -> None:
    there = who(namespace="web", cluster="other")
    assert forbidden(Limits(own_namespace=True, home="demo"), there) == ["ClusterNotAllowed"]


def test_one_s_own_namespace_is_the_limit_in_every_cluster_whether_or_not_there_is_a_home() -> None:
    limits, by = Limits(own_namespace=True), who(namespace="web", cluster="other")
    spec = replace(SPEC, selectors=frozenset({selector("db", {})}))
    assert [each.reason for each in limits.forbid(by, spec, at_home=True)] == ["SelectorNotAllowed"]
    assert [each.reason for each in limits.forbid(by, spec, at_home=False)] == [
        "ClusterNotAllowed",
        "SelectorNotAllowed",
    ]
    assert limits.discreet


def test_without_a_file_of_clusters_nobody_is_told_of_one() -> None:
    (without,) = Limits(own_namespace=True, home="demo").forbid(who(namespace="web", cluster="other"), SPEC)
    assert without.message == (
        "spec.clusterName: objects may select pods of cluster demo only (--selector-namespaces=own): "
        "make a new object without the field."
    )
    (beside,) = Limits(own_namespace=True).forbid(who(namespace="web", cluster="other"), SPEC, at_home=False)
    assert "the entry of other does not list namespace web" in beside.message


def test_all_that_is_forbidden_is_told_with_what_mends_it() -> None:
    limits = Limits(roles=["none"], own_namespace=True, home="demo")
    found = [*limits.forbid(who(cluster="other"), SPEC)]
    assert [each.reason for each in found] == ["RoleNotAllowed", "ClusterNotAllowed", "SelectorNotAllowed"]
    assert all("--allowed-roles" in each.message or "--selector-namespaces" in each.message for each in found)


@pytest.mark.parametrize(("allowed", "may"), [([], False), (["default"], True), (["*"], True), (["def*"], False)])
def test_only_objects_of_the_namespaces_that_are_named_may_adopt_take_over_or_leave(
    allowed: list[str], may: bool
) -> None:
    assert Settings("demo", adoption_in=frozenset(allowed)).may_adopt("default") == may
    assert Settings("demo", kopf_in=frozenset(allowed)).may_take_over_from_kopf("default") == may
    assert Settings("demo", retain_in=frozenset(allowed)).may_retain("default") == may


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("123456789012", ""),
        ("999999999999", "of account 123456789012, the AWS credentials are of account 999999999999"),
    ],
)
def test_credentials_of_another_account_than_the_cluster_s_are_wrong_for_that_cluster(account: str, words: str) -> None:
    said = Settings("demo", account="123456789012", aws_profile="prod").wrong_account(account)
    assert words in said
    assert bool(said) == bool(words)
    assert not words or "AWS_PROFILE=prod" in said
    assert Settings("demo").wrong_account(account) == "", "it was not said whose the cluster is"
