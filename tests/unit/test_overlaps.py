"""Which selectors can match the same pod: pods are tried one by one where the code reasons. What surrounds a spec."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aws import Selector, selector
from overlaps import STATUS, can_share_a_pod, head
from tests.docs import ROOT
from tests.unit.test_patterns import matches

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
