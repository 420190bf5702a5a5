"""Which profiles can select the same pod: EKS then takes the first by name and says nothing (eks.md B2).

Pure. What it is not: a refusal, for EKS takes profiles that overlap; it is only said to the user.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aws import (
    Profile,
    Selector,
)
from patterns import meet
from plan import Case, whose


def can_share_a_pod(one: Selector, other: Selector) -> bool:
    """Say whether one pod can match both; a key with a wildcard can always be met by a label of its own."""
    values = dict(other.labels)
    shared = ((value, values[key]) for key, value in one.labels if key in values and not re.search("[*?]", key))
    return meet(one.namespace, other.namespace) and all(meet(*pair) for pair in shared)


def overlaps(c: Case) -> tuple[Profile, ...]:
    """Return the profiles of others that can select a pod which the object's own one selects, by name."""
    if c.who.deleting or not c.kept:
        return ()
    own = c.kept.selectors
    others = (
        each for name, each in sorted(c.view.profiles.items()) if each not in c.owned and each.status != "DELETING"
    )
    return tuple(each for each in others if any(can_share_a_pod(a, b) for a in own for b in each.selectors))


def overlap_message(c: Case, others: Sequence[Profile]) -> str:
    """Say which profiles overlap and which one EKS takes; "" for none."""
    if not (c.kept and others):
        return ""
    named = ", ".join(f"{each.name} ({whose(c, each)})" for each in others)
    first = min(c.kept.name, *(each.name for each in others))
    mend = "a pod's label eks.amazonaws.com/fargate-profile chooses another; narrow the selectors to end it"
    return f"The same pods can match profile {c.kept.name} and {named}: EKS takes the first by name, {first}; {mend}."
