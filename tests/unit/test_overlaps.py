"""Which selectors can match the same pod: pods are tried one by one where the code reasons."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aws import Selector, selector
from overlaps import can_share_a_pod
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
