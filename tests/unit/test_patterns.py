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
# Runs of letters between stars, so that the shortest word of two is about as long as a word may be.
runs = st.lists(st.text("ab?", max_size=12) | st.text("a", max_size=4), min_size=1, max_size=16)
long_patterns = runs.map("*".join).filter(lambda pattern: 0 < len(pattern) <= 70)


def shortest(one: str, other: str) -> int | None:
    """Return the length of the shortest word that matches both, by trying each next character; None for none."""
    states, seen, length = standing({(0, 0)}, one, other), set[tuple[int, int]](), 0
    while states - seen:
        if (len(one), len(other)) in states:
            return length
        seen |= states
        states = standing({(i, j) for state in states for i, j in after(*state, one, other)}, one, other)
        length += 1
    return None


def standing(states: set[tuple[int, int]], one: str, other: str) -> set[tuple[int, int]]:
    """Add the places behind a star that stands for nothing more."""
    for _ in range(len(one) + len(other)):
        states = states | {(i + 1, j) for i, j in states if one[i : i + 1] == "*"}
        states = states | {(i, j + 1) for i, j in states if other[j : j + 1] == "*"}
    return states


def after(i: int, j: int, one: str, other: str) -> list[tuple[int, int]]:
    """Return where a next character of the word can lead, in each pattern."""
    a, b = one[i : i + 1], other[j : j + 1]
    if not (a and b) or not (a == b or {a, b} & {"*", "?"}):
        return []
    return [(i + (a != "*"), j + (b != "*"))]


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


@settings(max_examples=300, deadline=None)
@given(long_patterns, long_patterns)
@example("*" + "ab" * 30 + "a*", "*" + "ba" * 30 + "b*")
@example("*a" * 20 + "*" + "ab" * 11, "*b" * 20 + "*" + "ab" * 11)
@example("a" * 63, "*" + "a" * 63)
@example("a" * 64, "*" + "a" * 63)
@example("?" * 63, "*")
@example("a*" * 32, "*a" * 32)
def test_the_shortest_word_of_two_long_patterns_is_what_counts(one: str, other: str) -> None:
    length = shortest(one, other)
    found = length is not None and length <= LONGEST_WORD
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
