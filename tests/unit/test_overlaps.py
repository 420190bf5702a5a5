"""Which selectors can match the same pod: words and pods are tried one by one where the code reasons."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aws import Selector, selector
from overlaps import can_share_a_pod
from patterns import LONGEST_WORD, meet

# Letters that no pattern has stand for all the others that a real word may hold.
WORDS = ["".join(letters) for size in range(5) for letters in itertools.product("abz", repeat=size)]
patterns = st.text("ab*?", min_size=1, max_size=3)


def matches(word: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(word, pattern)


@settings(max_examples=400, deadline=None)
@given(patterns, patterns)
@example("a*", "*b")
@example("*", "?")
@example("**", "a?b")
def test_two_patterns_meet_where_one_word_matches_both(one: str, other: str) -> None:
    found = any(matches(word, one) and matches(word, other) for word in WORDS)
    assert meet(one, other) == meet(other, one) == found


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("prod-*", "*-web", True),
        ("prod-*", "dev-*", False),
        ("team-?", "team-10", False),
        ("*a*b*", "*b*a*", True),
        ("kube-system", "kube-system", True),
        ("Web", "web", False),
        ("x" * 40 + "*", "*" + "y" * 23, True),
        ("x" * 40 + "*", "*" + "y" * 24, False),
    ],
)
def test_no_word_is_longer_than_kubernetes_allows(one: str, other: str, shared: bool) -> None:
    assert LONGEST_WORD == 63
    assert meet(one, other) == shared


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


def test_a_long_pattern_full_of_wildcards_is_judged_at_once() -> None:
    assert meet("*a" * 31 + "*", "*b" * 31 + "*"), "31 letters each, in any order"
    assert not meet("*a" * 31 + "*", "*b" * 31 + "b" * 2)
