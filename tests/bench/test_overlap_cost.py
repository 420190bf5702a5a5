"""What it costs to find the profiles that can match the same pods, where somebody means to make that dear.

`.venv/bin/python -m pytest tests/bench/test_overlap_cost.py -rP` prints the figures. What is asserted is generous: a busy
machine is no failure, and what the figures were before was a hundred times as much.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

from aws import Selector, selector
from clusters import Shares
from overlaps import overlaps
from patterns import LONGEST_WORD, meet
from tests.unit.test_plan import OTHER_OWNER, case, profile


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def pattern(chance: random.Random, first: str = "*", last: str = "*") -> str:
    """Return 63 characters of two letters and stars, of which nothing can be said at a glance."""
    stars, text = chance.random(), ""
    while len(text) < LONGEST_WORD:
        text += chance.choice("ab") + ("*" if chance.random() < stars else "")
    return f"{first}{text[: LONGEST_WORD - len(first + last)]}{last}"


def hostile(chance: random.Random, number: int, selectors: int, labels: int) -> frozenset[Selector]:
    """Return selectors that share a pod with those of another number in all but the last label."""
    alike = {f"key-{n}": pattern(chance) for n in range(labels - 1)}
    return frozenset(
        selector(pattern(chance), alike | {"last": f"*{number:03d}{each}{'a' * 40}"}) for each in range(selectors)
    )


def test_the_worst_pair_of_patterns_takes_less_than_a_millisecond() -> None:
    chance = random.Random(1)
    pairs = [(pattern(chance), pattern(chance)) for _ in range(2000)]
    pairs += [("*" + "ab" * 30 + "a*", "*" + "ba" * 30 + "b*"), ("*a" * 31 + "*", "*b" * 31 + "*")]
    of_each = [min(cpu_seconds(lambda pair=pair: meet(*pair)) for _ in range(3)) for pair in pairs]  # type: ignore[misc]
    print(f"worst of {len(pairs)} pairs: {max(of_each) * 1e6:.0f} us, mean {sum(of_each) / len(pairs) * 1e6:.0f} us")
    assert max(of_each) < 0.005


def test_a_hundred_profiles_of_five_selectors_with_five_labels_are_compared_in_seconds() -> None:
    chance = random.Random(2)
    found = {f"p{n:03d}": hostile(chance, n, 5, 5) for n in range(100)}
    profiles = [profile(name, tags=OTHER_OWNER, selectors=each) for name, each in found.items()]
    known: Shares = {}

    def all_of_them() -> None:
        for each in profiles:
            own = replace(each, tags=profile().tags, name="web")
            overlaps(case(own, *profiles), known)

    spent, settled = cpu_seconds(all_of_them), cpu_seconds(all_of_them)
    pairs = len([*combinations(profiles, 2)])
    print(f"{pairs} pairs: {spent:.2f} s; and a settled pass {settled / len(profiles) * 1e3:.2f} ms")
    assert len(known) == pairs + len(profiles)
    assert spent < 20
    assert settled / len(profiles) < 0.005
