"""Which profiles can select the same pod: EKS then takes the first by name and says nothing.

Pure. What it is not: a refusal, for EKS takes profiles that overlap; it is only said to the user.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aws import Profile, Selector
from patterns import meet
from plan import Case, whose


def overlaps(c: Case) -> tuple[Profile, ...]:
    """Return the profiles of others that can select a pod which the object's own one selects, by name."""
    if c.who.deleting or not c.serving:
        return ()
    own = c.serving.selectors
    in_order = (profile for _, profile in sorted(c.view.profiles.items()))
    others = (each for each in in_order if each not in c.owned and each.status != "DELETING")
    return tuple(each for each in others if any(can_share_a_pod(a, b) for a in own for b in each.selectors))


def can_share_a_pod(one: Selector, other: Selector) -> bool:
    """Say whether one pod can match both selectors.

    Only keys without a wildcard speak against it: one with a wildcard can always be met by a label
    of its own.
    """
    if not meet(one.namespace, other.namespace):
        return False
    values = dict(other.labels)
    shared = [key for key, _ in one.labels if key in values and not re.search("[*?]", key)]
    return all(meet(dict(one.labels)[key], values[key]) for key in shared)


def overlap_message(c: Case, others: Sequence[Profile]) -> str:
    """Say which profiles overlap and which one EKS takes; "" for none."""
    if not (c.serving and others):
        return ""
    named = ", ".join(f"{each.name} ({whose(c, each)})" for each in others)
    first = min(c.serving.name, *(each.name for each in others))
    mend = "a pod's label eks.amazonaws.com/fargate-profile chooses another; narrow the selectors to end it"
    both = f"The same pods can match profile {c.serving.name} and {named}"
    return f"{both}: EKS takes the first by name, {first}; {mend}."
