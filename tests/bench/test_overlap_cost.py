"""What it costs to find the profiles that can match the same pods, where somebody means to make that dear.

`.venv/bin/python -m pytest tests/bench/test_overlap_cost.py -rP` prints the figures. What is asserted is generous, as a
busy machine is no failure: before, it was a hundred times as much.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from aws import Selector, selector
from clusters import Shares
from overlaps import overlaps
from patterns import LONGEST_WORD, meet
from tests.unit.test_plan import OTHER_OWNER, case, profile

Made = Callable[[random.Random, int], frozenset[Selector]]


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def pattern(chance: random.Random, first: str = "*", last: str = "*") -> str:
    """Return 63 characters of two letters and stars, of which nothing can be said at a glance."""
    stars = chance.random()
    text = "".join(chance.choice("ab") + ("*" if chance.random() < stars else "") for _ in range(LONGEST_WORD))
    return f"{first}{text[: LONGEST_WORD - len(first + last)]}{last}"


def distinct(chance: random.Random, _number: int) -> frozenset[Selector]:
    """Return five selectors of five labels each, all of them patterns of which nothing can be said at a glance."""
    return frozenset(
        selector(pattern(chance), {f"key-{label}": pattern(chance) for label in range(5)}) for _ in range(5)
    )


def alike(chance: random.Random, number: int) -> frozenset[Selector]:
    """Return such selectors that share a pod with those of another number in all but the last label."""
    last = f"*{number:03d}{'a' * 40}*"
    return frozenset(
        selector(pattern(chance), {f"key-{label}": pattern(chance) for label in range(4)} | {"last": last})
        for _ in range(5)
    )


def test_the_worst_pair_of_patterns_takes_less_than_a_millisecond() -> None:
    chance = random.Random(1)
    pairs = [(pattern(chance), pattern(chance)) for _ in range(2000)]
    pairs += [("*" + "ab" * 30 + "a*", "*" + "ba" * 30 + "b*"), ("*a" * 31 + "*", "*b" * 31 + "*")]
    of_each = [min(cpu_seconds(partial(meet, *pair)) for _ in range(3)) for pair in pairs]
    print(f"worst of {len(pairs)} pairs: {max(of_each) * 1e6:.0f} us, mean {sum(of_each) / len(pairs) * 1e6:.0f} us")
    assert max(of_each) < 0.005


@pytest.mark.parametrize("made", [distinct, alike])
def test_a_hundred_profiles_of_five_selectors_with_five_labels_are_compared_in_seconds(made: Made) -> None:
    chance = random.Random(2)
    profiles = [profile(f"p{n}", tags=OTHER_OWNER, selectors=made(chance, n)) for n in range(100)]
    known: Shares = {}

    def all_of_them() -> None:
        for each in profiles:
            overlaps(case(replace(each, tags=profile().tags, name="web"), *profiles), known)

    spent, settled = cpu_seconds(all_of_them), cpu_seconds(all_of_them)
    print(f"{len(known)} pairs: {spent:.2f} s; and of a settled pass {settled / len(profiles) * 1e3:.2f} ms")
    assert len(known) == 100 * 101 / 2, "each with each, and with itself"
    assert spent < 20
    assert settled / len(profiles) < 0.005
