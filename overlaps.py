"""Which profiles can select the same pod: EKS then takes the first by name and says nothing (eks.md
B2). And what manifests ask for more than once.

Pure. What it is not: a refusal, for EKS takes profiles that overlap; it is only said to the user.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from aws import Profile, Selector
from patterns import meet
from plan import Case, whose
from spec import Finding, Identity


def overlaps(c: Case) -> tuple[Profile, ...]:
    """Return the profiles of others that can select a pod which the object's own one selects, by name."""
    if c.who.deleting or not c.serving:
        return ()
    own = c.serving.selectors
    in_order = (profile for _, profile in sorted(c.view.profiles.items()))
    others = (each for each in in_order if each not in c.owned and each.status != "DELETING")
    return tuple(each for each in others if share_pods(own, each.selectors))


def share_pods(one: Collection[Selector], other: Collection[Selector]) -> bool:
    """Say whether one pod can match a selector of each."""
    return any(can_share_a_pod(a, b) for a in one for b in other)


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


@dataclass(frozen=True)
class Claim:
    """What an object of a manifest asks for; `place` is where it stands, `selectors` are empty if they are wrong."""

    who: Identity
    selectors: frozenset[Selector]
    place: str

    def __str__(self) -> str:
        return f"{self.who.owner} ({self.place})"


def clashes(claims: Sequence[Claim], overlapping: bool) -> Iterator[tuple[int, Finding]]:
    """Yield the number of a claim and what one before it asks for already; `overlapping`: also of the same pods."""
    for number, claim in enumerate(claims):
        before = [each for each in claims[:number] if each.who.cluster == claim.who.cluster or same(each, claim)]
        if twice := next((each for each in before if same(each, claim)), None):
            what = f"{claim.who.owner} stands in {twice.place} already"
            yield number, Finding(("metadata", "name"), what, "keep one (of two that are applied the last counts)")
            continue
        for each in before:
            if each.who.base == claim.who.base:
                path = ("metadata", "name") if claim.who.base == claim.who.name else ("spec", "profileName")
                what = f"{claim.who.base} is the name of the profile of {each} too"
                mend = "give one of them another profileName: a cluster has one profile of a name"
                yield number, Finding(path, what, mend)
            elif overlapping and share_pods(claim.selectors, each.selectors):
                first = min(claim.who.base, each.who.base)
                what = f"the same pods can match {each}, and EKS takes the first profile by name, {first}"
                yield number, Finding(("spec", "selectors"), what, "narrow the selectors, or give --allow-overlaps")


def same(one: Claim, other: Claim) -> bool:
    return one.who.owner == other.who.owner
