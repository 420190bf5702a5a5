"""Which patterns one word can match: words are tried one by one where the code reasons."""

from __future__ import annotations

import fnmatch
import itertools
from math import inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from patterns import LONGEST_WORD, brief, issuer_of, listed, meet
from tests.fakes.apiserver import token_by

# Letters that no pattern has stand for all the others that a real word may hold.
WORDS = ["".join(letters) for size in range(5) for letters in itertools.product("abz", repeat=size)]
patterns = st.text("ab*?", min_size=1, max_size=3)
# Runs of letters between stars, so that the shortest word of two is about as long as a word may be.
runs = st.lists(st.text("ab?", max_size=12) | st.text("a", max_size=4), min_size=1, max_size=16)
long_patterns = runs.map("*".join).filter(lambda pattern: 0 < len(pattern) <= 70)


def shortest(one: str, other: str) -> float:
    """Return the length of the shortest word that matches both: by a table, from the ends of both on."""
    n, m = len(one), len(other)
    least = {(n, m): 0.0}
    for i in range(n, -1, -1):
        for j in range(m, -1, -1):
            a, b = one[i : i + 1], other[j : j + 1]
            star, both = "*" in (a, b), bool(a and b)
            ways = [
                (a == "*", i + 1, j, 0),  # the star stands for nothing more
                (b == "*", i, j + 1, 0),
                (both and a == "*" != b, i, j + 1, 1),  # the star stands for the other's character
                (both and b == "*" != a, i + 1, j, 1),
                (both and not star and (a == b or "?" in (a, b)), i + 1, j + 1, 1),
            ]
            found = [least.get((x, y), inf) + costs for can, x, y, costs in ways if can]
            least[i, j] = min([least.get((i, j), inf), *found])
    return least[0, 0]


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
    found = shortest(one, other) <= LONGEST_WORD
    assert meet(one, other) == meet(other, one) == found


@settings(max_examples=100, deadline=None)
@given(long_patterns, long_patterns, st.integers(0, 150))
@example("a" * 100, "*" + "a" * 99 + "?", 100)
def test_a_word_may_be_as_long_as_whoever_asks_says(one: str, other: str, longest: int) -> None:
    assert meet(one, other, longest) == meet(other, one, longest) == (shortest(one, other) <= longest)


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


# Texts that are as long as somebody else wants them to be


@given(st.text(), st.integers(20, 100))
def test_a_brief_text_has_no_more_bytes_than_it_may_and_is_the_beginning_of_the_whole(text: str, most: int) -> None:
    short = brief(text, most)
    assert len(short.encode(errors="replace")) <= most
    assert short == text or (short.endswith(" ...") and text.startswith(short.removesuffix(" ...")))


def test_a_long_text_ends_behind_a_sentence_or_a_word() -> None:
    assert brief("One sentence. Another one. And a third that is long.", 40) == "One sentence. Another one. ..."
    assert brief("words and words and words and words", 20) == "words and words ..."
    assert brief("w" * 50, 20) == "w" * 16 + " ..."


def test_of_a_long_list_the_first_parts_are_whole_and_the_others_counted() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([]) == ""
    names = [f"name-{number}" for number in range(2000)]
    assert listed(names, "; ", most=30) == "name-0; name-1; name-2; and 1,997 more"
    assert listed(["One is bad.", "Two is bad."], " ", most=15) == "One is bad. And 1 more."
    assert listed(["w" * 100, "x"], most=20) == "w" * 16 + " ..., and 1 more"


# Tokens


@pytest.mark.parametrize(
    ("token", "issuer"),
    [
        (token_by("https://a/id/B"), "https://a/id/B"),
        (token_by("x"), "x"),
        ("", ""),
        ("t", ""),
        ("a.b", ""),
        ("a.W10.c", ""),  # []
        ("a.eyJpc3MiOjF9.c", ""),  # {"iss":1}
        ("a.e30.c", ""),  # {}
        ("a.\u00e9.c", ""),
        ("a." + "W" * 9999 + ".c", ""),
    ],
)
def test_a_token_s_issuer_is_read_and_what_is_no_token_has_none(token: str, issuer: str) -> None:
    assert issuer_of(token) == issuer
