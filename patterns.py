"""Words with `*` (any characters) and `?` (one character), as EKS's selectors take them.

Pure. What it is not: a match of a pattern with one word, which fnmatch does.
"""

from __future__ import annotations

from functools import cache, lru_cache

LONGEST_WORD = 63  # characters of a namespace's name and of a label's value


@lru_cache(maxsize=4096)
def meet(one: str, other: str) -> bool:
    """Say whether some word of at most `LONGEST_WORD` characters matches both patterns."""

    @cache
    def shortest(i: int, j: int) -> float:
        """Return the length of the shortest word that matches both from these places on."""
        a, b = one[i : i + 1], other[j : j + 1]
        ways = []
        if not a and not b:
            ways.append(0.0)
        if a == "*":
            ways.append(shortest(i + 1, j))  # it stands for nothing more
            if b not in {"", "*"}:
                ways.append(1 + shortest(i, j + 1))  # it stands for the other's character
        if b == "*":
            ways.append(shortest(i, j + 1))
            if a not in {"", "*"}:
                ways.append(1 + shortest(i + 1, j))
        if a and b and "*" not in a + b and (a == b or "?" in a + b):
            ways.append(1 + shortest(i + 1, j + 1))
        return min(ways, default=float("inf"))

    return shortest(0, 0) <= LONGEST_WORD
