"""Two decisions held to answers that were found another way: which profile takes a pod, and whether two patterns meet.

`chosen` must agree with every EKS that may be: `outcomes` lives through all of them, since nobody knows which of them
the real one is. `meet` must agree with automata that a library makes of regular expressions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from greenery import Fsm, parse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aws import Profile, Selector, selector
from patterns import LONGEST_WORD, matches, meet
from pods import COMPUTE_TYPE, PROFILE_LABEL, Choice, chosen, goes_first

Object = dict[str, Any]
MADE = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
STEADY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

# Whether two patterns meet, by automata

ANY = "[abc]"  # what a word is made of here: two letters of patterns, and one that no pattern names
patterns = st.text("ab*?", max_size=6)  # an automaton can have twice as many states for each ? behind a star
runs = st.text("ab", min_size=8, max_size=20)
long_patterns = st.lists(runs, min_size=2, max_size=2).map("*".join)


@cache
def automaton(pattern: str) -> Fsm:
    return parse("".join({"*": f"{ANY}*", "?": ANY}.get(each, each) for each in pattern)).to_fsm()


def shortest(one: str, other: str) -> float:
    """Return how many characters the shortest word has that matches both."""
    both = automaton(one) & automaton(other)
    reached = {both.initial}
    for length in range(len(both.states)):
        if reached & both.finals:
            return length
        reached = {state for each in reached for state in both.map[each].values()}
    return math.inf


@settings(STEADY, max_examples=150)
@given(patterns, patterns, st.integers(0, 12))
@example("*a*b*", "b*a", 4)
@example("a?*", "*?b", 2)
@example("", "*", 0)
def test_patterns_meet_exactly_where_their_automata_share_a_word(one: str, other: str, longest: int) -> None:
    assert meet(one, other, longest) == (shortest(one, other) <= longest)


@settings(STEADY, max_examples=5)
@given(long_patterns, long_patterns)
def test_patterns_as_long_as_names_meet_exactly_where_their_automata_share_a_word(one: str, other: str) -> None:
    assert meet(one, other) == (shortest(one, other) <= LONGEST_WORD)


@settings(STEADY, max_examples=150)
@given(st.text("abc", max_size=9), patterns)
def test_a_word_matches_a_pattern_exactly_where_its_automaton_takes_it(word: str, pattern: str) -> None:
    assert matches(word, pattern) == automaton(pattern).accepts(word)


# Which profile takes a pod, by living through every EKS that there may be


class Eks(NamedTuple):
    """One of the ways in which EKS may work: what is not known of it, decided."""

    before: Callable[[str, str], bool]  # its order of names
    gives_to: frozenset[str]  # profiles in doubt that take pods
    falls_back: bool  # where a pod's label names a profile that can't take it
    takes_odd: bool  # pods that nobody has tried
    labels: dict[str, str]  # what it reads where we can't


def by_bytes(one: str, other: str) -> bool:
    return one.encode() < other.encode()


def without_punctuation(one: str, other: str) -> bool:
    first, second = ("".join(each for each in name if each.isalnum()) for name in (one, other))
    return first < second


def by_numbers(one: str, other: str) -> bool:
    """Compare piece by piece: digits by what they say, all else as it is written."""
    for first, second in itertools.zip_longest(pieces(one), pieces(other), fillvalue=""):
        if first != second:
            both_numbers = isinstance(first, int) and isinstance(second, int)
            return first < second if both_numbers else str(first) < str(second)  # type: ignore[operator]
    return False


def pieces(name: str) -> Iterator[str | int]:
    for is_number, run in itertools.groupby(name, str.isdigit):
        word = "".join(run)
        yield int(word) if is_number else word


ORDERS: tuple[Callable[[str, str], bool], ...] = (
    by_bytes,
    lambda one, other: one.lower() < other.lower(),
    lambda one, other: one.upper() < other.upper(),
    without_punctuation,
    by_numbers,
)


def like(word: str, pattern: str) -> bool:
    """Match by trying all that each star may stand for."""
    if not pattern:
        return not word
    if pattern[0] == "*":
        return any(like(word[taken:], pattern[1:]) for taken in range(len(word) + 1))
    return bool(word) and pattern[0] in {word[0], "?"} and like(word[1:], pattern[1:])


def selects(each: Selector, namespace: str, labels: dict[str, str]) -> bool:
    def is_there(key: str, value: str) -> bool:
        return any(like(name, key) and like(text, value) for name, text in labels.items())

    return like(namespace, each.namespace) and all(is_there(key, value) for key, value in each.labels)


def takers(pod: Object, profiles: list[Profile], hidden: set[str], eks: Eks) -> set[str | None]:
    """Return which profiles this EKS may take for a pod: several where its order leaves them equal, None for none."""
    if left_alone(pod) or (odd(pod) and not eks.takes_odd):
        return {None}
    namespace = pod["metadata"]["namespace"]
    fitting = {
        each.name
        for each in profiles
        if (each.status == "ACTIVE" or each.name in eks.gives_to)
        and any(selects(pick, namespace, eks.labels) for pick in each.selectors)
    }
    fitting |= hidden & eks.gives_to
    if PROFILE_LABEL in eks.labels:
        if eks.labels[PROFILE_LABEL] in fitting:
            return {eks.labels[PROFILE_LABEL]}
        if not eks.falls_back:
            return {None}
    firsts = {name for name in fitting if not any(eks.before(other, name) for other in fitting)}
    return {*firsts} or {None}


def left_alone(pod: Object) -> bool:
    meta, spec = pod["metadata"], pod["spec"]
    daemon = any((each["apiVersion"], each["kind"]) == ("apps/v1", "DaemonSet") for each in meta["ownerReferences"])
    elsewhere = spec.get("schedulerName") not in (None, "default-scheduler", "fargate-scheduler")
    return daemon or elsewhere or "nodeName" in spec or meta["annotations"].get(COMPUTE_TYPE) == "ec2"


def odd(pod: Object) -> bool:
    meta, spec = pod["metadata"], pod["spec"]
    foreign = any(each["kind"] == "DaemonSet" for each in meta["ownerReferences"])
    where = meta["annotations"].get(COMPUTE_TYPE, "fargate")
    return foreign or where != "fargate" or spec.get("schedulerName") == "fargate-scheduler"


def outcomes(pod: Object, profiles: list[Profile], hidden: set[str]) -> set[str | None]:
    """Return what may become of a pod: the names of the profiles that may take it, None where none may."""
    in_doubt = [each.name for each in profiles if each.status in {"DELETING", "DELETE_FAILED"}] + sorted(hidden)
    seen: set[str | None] = set()
    for labels in readings(pod["metadata"]["labels"], [each.name for each in profiles]):
        for before, gives_to, falls_back, takes_odd in itertools.product(
            ORDERS, subsets(in_doubt), (True, False), (True, False)
        ):
            seen |= takers(pod, profiles, hidden, Eks(before, gives_to, falls_back, takes_odd, labels))
    return seen


def subsets(names: list[str]) -> list[frozenset[str]]:
    sizes = range(len(names) + 1)
    return [frozenset(each) for size in sizes for each in itertools.combinations(names, size)]


def readings(labels: object, names: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield what labels may say that can't be read."""
    values, named = ("", "a", "ab"), ("nobody", *names)
    if not isinstance(labels, dict):
        yield from ({}, {"k": "a"}, {"k": "ab", "x": "b"}, *({PROFILE_LABEL: name} for name in named))
        return
    unread = [key for key, value in labels.items() if not isinstance(value, str)]
    choices = [named if key == PROFILE_LABEL else values for key in unread]
    for found in itertools.product(*choices):
        yield labels | dict(zip(unread, found, strict=True))


# What there may be

names = st.text("aB-_10", min_size=1, max_size=3).filter(lambda name: name[0].isalnum())
words = st.text("ab", max_size=2)
keys = st.sampled_from(("k", "x"))
STATUSES = ("ACTIVE", "ACTIVE", "ACTIVE", "CREATING", "CREATE_FAILED", "DELETING", "DELETE_FAILED")
selectors = st.builds(
    selector,
    st.sampled_from(("a", "ab", "a*", "?", "*", "*")),
    st.dictionaries(st.sampled_from(("k", "x", "?", "*")), st.text("ab*?", max_size=2), max_size=2),
)


@st.composite
def clusters(draw: st.DrawFn) -> list[Profile]:
    found = draw(st.lists(names, unique=True, max_size=4))
    picks = [frozenset(draw(st.lists(selectors, min_size=1, max_size=2))) for _ in found]
    states = [draw(st.sampled_from(STATUSES)) for _ in found]
    return [
        Profile(name, "arn", status, MADE, "role", pick, frozenset())
        for name, pick, status in zip(found, picks, states, strict=True)
    ]


@st.composite
def pods(draw: st.DrawFn, profiles: list[Profile], is_plain: bool = False) -> Object:
    labels: Any = draw(st.dictionaries(keys, words, max_size=2))
    spec, annotations, owners = {}, {}, []
    if draw(st.integers(0, 3)) == 0:
        labels[PROFILE_LABEL] = draw(st.sampled_from(["nobody", *(each.name for each in profiles)]))
    if not is_plain and draw(st.integers(0, 2)) == 0:
        labels = draw(st.sampled_from(([], labels | {"k": 7}, labels | {PROFILE_LABEL: None})))
    if not is_plain and draw(st.integers(0, 3)) == 0:
        scheduler = draw(st.sampled_from((None, "default-scheduler", "fargate-scheduler", "volcano")))
        spec = {"schedulerName": scheduler} if scheduler else {"nodeName": "n"}
    if not is_plain and draw(st.integers(0, 3)) == 0:
        annotations = {COMPUTE_TYPE: draw(st.sampled_from(("ec2", "fargate", "EC2")))}
    if not is_plain and draw(st.integers(0, 3)) == 0:
        group = draw(st.sampled_from(("apps/v1", "apps.kruise.io/v1alpha1")))
        owners = [{"apiVersion": group, "kind": "DaemonSet", "name": "agent"}]
    meta = {"namespace": draw(st.sampled_from(("a", "b", "ab"))), "labels": labels, "annotations": annotations}
    return {"metadata": {**meta, "ownerReferences": owners}, "spec": spec}


def agrees(choice: Choice, seen: set[str | None]) -> bool:
    """Say whether what is told of a pod holds in every EKS that may be."""
    could = {*choice.could} if choice.taken != "no" else set()
    answers = {"yes": None not in seen, "no": seen == {None}, "unknown": True}
    told = choice.profile is None or seen == {choice.profile.name}
    return answers[choice.taken] and told and (choice.taken == "unknown" or seen - {None} <= could)


@settings(STEADY, max_examples=400)
@given(st.data())
def test_what_is_told_of_a_pod_holds_in_every_eks_that_may_be(data: st.DataObject) -> None:
    profiles = data.draw(clusters())
    hidden = {f"hidden-{name}" for name in data.draw(st.sets(names, max_size=1))}
    pod = data.draw(pods(profiles))
    assert agrees(chosen(pod, profiles, hidden), outcomes(pod, profiles, hidden))


@settings(STEADY, max_examples=400)
@given(st.data())
def test_where_every_eks_does_the_same_it_is_told(data: st.DataObject) -> None:
    """Of a pod and profiles that are seen whole, so that `unknown` is said where two of them differ and only there."""
    profiles = [each for each in data.draw(clusters()) if "DELET" not in each.status]
    pod = data.draw(pods(profiles, is_plain=True))
    choice, seen = chosen(pod, profiles), outcomes(pod, profiles, set())
    if PROFILE_LABEL in pod["metadata"]["labels"] and seen == {None}:
        assert choice.taken in {"no", "unknown"}  # a label that names nobody is never told as a plain no
        return
    expected = "no" if seen == {None} else "unknown" if None in seen else "yes"
    assert choice.taken == expected
    assert (choice.profile.name if choice.profile else None) == (next(iter(seen)) if len(seen) == 1 else None)


def test_of_two_names_one_goes_first_only_where_every_order_says_so() -> None:
    short = ["".join(each) for size in (1, 2, 3) for each in itertools.product("aB-_10", repeat=size)]
    found = [name for name in short if name[0].isalnum()]
    for one, other in itertools.permutations(found, 2):
        expected = all(before(one, other) for before in ORDERS)
        assert goes_first(one, (one, other)) == expected, (one, other)


def test_the_oracles_see_a_wrong_answer() -> None:
    """Of each kind one: an order that is only one of several, a label that names nobody, a profile that goes."""
    both = [
        Profile(name, "arn", "ACTIVE", MADE, "role", frozenset({selector("a", {})}), frozenset())
        for name in ("a2", "a10")
    ]
    pod: Object = {"metadata": {"namespace": "a", "labels": {}, "annotations": {}, "ownerReferences": []}, "spec": {}}
    assert outcomes(pod, both, set()) == {"a2", "a10"}
    assert not agrees(Choice("yes", "", both[1], could=("a10", "a2")), {"a2", "a10"})
    pod["metadata"]["labels"] = {PROFILE_LABEL: "nobody"}
    assert outcomes(pod, both, set()) == {None, "a2", "a10"}
    assert not agrees(Choice("no", ""), {None, "a2", "a10"})
    assert not agrees(Choice("yes", "", could=("a2",)), {"a2", "a10"})
