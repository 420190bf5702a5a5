"""Which patterns one word can match: words are tried one by one where the code reasons."""

from __future__ import annotations

import fnmatch
import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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


def test_a_long_pattern_full_of_wildcards_is_judged_at_once() -> None:
    assert meet("*a" * 31 + "*", "*b" * 31 + "*"), "31 letters each, in any order"
    assert not meet("*a" * 31 + "*", "*b" * 31 + "b" * 2)
