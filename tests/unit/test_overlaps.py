"""Which selectors can match the same pod: pods are tried one by one where the code reasons. What surrounds a spec."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aws import Profile, Selector, selector
from clusters import Cluster, Shares, View
from overlaps import STATUS, can_share_a_pod, head, overlaps
from tests.docs import ROOT
from tests.unit.test_patterns import matches
from tests.unit.test_plan import OTHER_OWNER, case, profile

# Pods: every set of labels that could decide, over keys and values that patterns of two letters can tell apart.

NAMESPACES = ["a", "b", "z", "ab", "za"]
KEYS = ["a", "b", "y", "z", "ab", "ay", "az"]
VALUES = ["", "a", "b", "z", "ab", "zb"]
words = st.sampled_from(["a", "b", "ab", "a*", "*b", "*", "?", "a?"])
keys = st.sampled_from(["a", "b", "ab", "*", "?", "a*"])
selectors = st.builds(selector, words, st.dictionaries(keys, words, max_size=2))


def selects(pick: Selector, namespace: str, labels: Mapping[str, str]) -> bool:
    def has(key: str, value: str) -> bool:
        return any(matches(k, key) and matches(v, value) for k, v in labels.items())

    return matches(namespace, pick.namespace) and all(has(key, value) for key, value in pick.labels)


def pods(wanted: Iterable[tuple[str, str]]) -> Iterable[dict[str, str]]:
    """Give every pod in which each wanted label is there once: more labels never unmatch a selector."""
    ways = [[(k, v) for k in KEYS for v in VALUES if matches(k, key) and matches(v, value)] for key, value in wanted]
    for chosen in itertools.product(*ways):
        labels = dict(chosen)
        if all(labels[key] == value for key, value in chosen):
            yield labels


@settings(max_examples=150, deadline=None)
@given(selectors, selectors)
@example(selector("*", {"a": "a"}), selector("*", {"a": "b"}))
@example(selector("*", {"*": "a"}), selector("*", {"a": "b"}))
@example(selector("*", {"?": "a", "a": "b"}), selector("a", {"?": "b", "b": "a"}))
def test_two_selectors_share_a_pod_where_one_pod_matches_both(one: Selector, other: Selector) -> None:
    found = any(
        selects(one, namespace, labels) and selects(other, namespace, labels)
        for labels in pods(one.labels + other.labels)
        for namespace in NAMESPACES
    )
    assert can_share_a_pod(one, other) == can_share_a_pod(other, one) == found


# What was found out of a pair of profiles is not found out again


def of_others(name: str, *picks: Selector) -> Profile:
    return profile(name, tags=OTHER_OWNER, selectors=frozenset(picks))


OVERLAPS, DIFFERS = of_others("b", selector("w*", {})), of_others("c", selector("shop", {}))


def test_what_two_profiles_share_is_found_out_once_and_is_the_same_from_both_sides() -> None:
    known: Shares = {}
    first = case(profile(), OVERLAPS, DIFFERS)
    assert overlaps(first, known) == (OVERLAPS,)
    of_each_pair = dict(known)
    assert sorted(of_each_pair.values()) == [False, True, True], "a profile with itself, and with each of the others"
    known.update(dict.fromkeys(known, False))
    assert overlaps(first, known) == (), "nothing but what is known was asked"
    assert known.keys() == of_each_pair.keys()


@pytest.mark.parametrize("again", [profile(), replace(profile(), arn="another", status="DELETE_FAILED")])
def test_a_profile_that_is_seen_anew_with_the_same_selectors_is_known(again: Profile) -> None:
    known: Shares = {}
    overlaps(case(profile(), OVERLAPS), known)
    before = dict(known)
    seen = replace(OVERLAPS, status="CREATING", selectors=frozenset({selector("w*", {})}))
    assert overlaps(case(again, seen), known) == (seen,)
    assert known == before


def test_a_profile_that_has_changed_is_held_to_the_others_anew() -> None:
    known: Shares = {}
    overlaps(case(profile(), DIFFERS), known)
    changed = of_others("c", selector("w?b", {}))
    assert overlaps(case(profile(), changed), known) == (changed,)


def test_pairs_of_profiles_that_are_gone_are_forgotten() -> None:
    cluster = Cluster()
    whole = {each.name: each for each in (profile(), OVERLAPS, DIFFERS)}
    for profiles in (whole, {"web": whole["web"], "c": DIFFERS}, {"c": DIFFERS}, {}):
        cluster.saw(View(True, profiles, 0.0), (), 0.0)
        overlaps(case(*profiles.values()), cluster.shares)
        living = {each.selectors for each in profiles.values()}
        assert all({*pair} <= living for pair in cluster.shares), "no pair of one that is gone"
        assert len(cluster.shares) <= len(profiles)
    assert not cluster.shares


def test_what_is_remembered_of_pairs_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overlaps.MOST_SHARES", 1)
    known: Shares = {}
    for _ in range(2):
        assert overlaps(case(profile(), OVERLAPS, DIFFERS), known) == (OVERLAPS,)
        assert len(known) == 1


# What stands outside of spec (crd_cases.yaml has what the API server says of it)


def an_outside(**metadata: object) -> dict[str, object]:
    return {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": "web", **metadata}}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"labels": {"a b": "c"}}, ['metadata.labels.a b is "a b": give keys and values of letters,']),
        ({"annotations": {"a": "x" * 262144}}, ["metadata.annotations is 262145 bytes long: give keys of letters,"]),
        ({"annotations": {"a": "x" * 262143}}, []),
        ({"annotations": {"a": "\u00e4" * 131072}}, ["metadata.annotations is 262145 bytes long: give keys"]),
        ({"ownerReferences": [{"kind": "A"}]}, [f"metadata.ownerReferences[0].{field} is missing: give each owner as"
                                                for field in ("apiVersion", "name", "uid")]),
        ({"creationTimestamp": 5}, ["metadata.creationTimestamp is 5: remove it: the API server fills it in"]),
        ({"clusterName": "a"}, ["metadata.clusterName is not a field: remove it or correct its name"]),
    ],
)  # fmt: skip
def test_what_stands_outside_of_spec_is_judged_with_its_place_and_what_mends_it(
    metadata: dict[str, object], said: list[str]
) -> None:
    found = [str(each) for each in head(an_outside(**metadata))]
    assert len(found) == len(said)
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True)), found


def test_nothing_is_judged_over_a_field_that_is_missing() -> None:
    assert [each.where for each in head({})] == ["apiVersion", "kind", "metadata"]
    assert [each.where for each in head({**an_outside(), "metadata": 5, "more": 6})] == ["metadata", "more"]


def test_the_fields_of_status_are_those_of_the_crd() -> None:
    crd = yaml.safe_load((ROOT / "crd.yaml").read_text())
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    below = {name: each.get("items", each).get("properties") for name, each in status.items()}
    assert {"status": {*status}} | {name: {*each} for name, each in below.items() if each} == STATUS
