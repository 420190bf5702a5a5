"""Words with `*` (any characters) and `?` (one character), as EKS's selectors take them.

Pure. What it is not: a match of a pattern with one word, which fnmatch does.
"""

from __future__ import annotations

from functools import cache, lru_cache

# Which profiles can select the same pod: EKS then takes the first by name and says nothing (eks.md B2).

LONGEST_WORD = 63  # characters of a namespace's name and of a label's value


@lru_cache(maxsize=4096)
def meet(one: str, other: str) -> bool:
    """Say whether some word matches both patterns, in which `*` stands for any characters and `?` for one."""

    @cache
    def shortest(i: int, j: int) -> float:
        a, b = one[i : i + 1], other[j : j + 1]
        ways = [0.0] if not a and not b else []
        if a == "*":
            ways += [shortest(i + 1, j), *([1 + shortest(i, j + 1)] if b and b != "*" else [])]
        if b == "*":
            ways += [shortest(i, j + 1), *([1 + shortest(i + 1, j)] if a and a != "*" else [])]
        if a and b and "*" not in a + b and (a == b or "?" in a + b):
            ways.append(1 + shortest(i + 1, j + 1))
        return min(ways, default=float("inf"))

    return shortest(0, 0) <= LONGEST_WORD
