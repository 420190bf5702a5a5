"""What an object's profile shall be in its cluster: what the object says, and the cluster's defaults where it says
nothing.

The picture: `Resource`, `Home`, `Defaults`, and of which of these the profile stands by status -> `ProfileSpec`, tags,
what is missing for a profile to be made, and `changed`, how a profile that serves is another than the defaults of now.

A default is read when a profile is made. One that has changed since is not held against a profile that serves: the
field is open there. Nothing is ever written into the object's spec. Pure: no clock, no call, no log. What it is not:
what terms match (surroundings), or a decision (plan).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from aws import Profile, ProfileSpec
from patterns import LONGEST_CONDITION, listed
from spec import MENDS, MOST_TAGS, REQUESTED_AT, TAGS_LIMIT, Defaults, Finding, Memory, Resource, strays
from surroundings import Home

ROLE, TERMS = "podExecutionRoleArn", "subnetSelectorTerms"  # as fields that can be open
BY_DEFAULT = "the default role"  # in words


def role_arn(home: Home, role: str) -> str:
    """Return the ARN of a role that is given by its ARN, or by its name in the cluster's account; "" for none."""
    named = role and not role.startswith("arn:")
    return f"arn:{home.partition}:iam::{home.account}:role/{role}" if named else role


def wanted(resource: Resource, home: Home, defaults: Defaults, stands_on: Memory | None) -> ProfileSpec:
    """Return the profile that is wanted; `stands_on` is what status remembers, None: the defaults of now are held."""
    return _with_terms(_with_role(resource, home, defaults, stands_on), defaults, stands_on)


def said(resource: Resource, home: Home, defaults: Defaults) -> ProfileSpec:
    """Return what an object says itself of a profile that there is already, for which no default is read.

    But for the role: an object that gives none has the default role, and must not come to another by taking over.
    """
    return wanted(resource, home, Defaults(defaults.role), None)


def _with_role(resource: Resource, home: Home, defaults: Defaults, stands_on: Memory | None) -> ProfileSpec:
    spec = resource.profile
    if spec.role:
        return spec
    if resource.role_name:
        return replace(spec, role=role_arn(home, resource.role_name), role_by="spec.podExecutionRoleName")
    role = role_arn(home, defaults.role)
    held = role and (stands_on is None or stands_on.default_role == role)
    return replace(spec, role=role, role_by=BY_DEFAULT, open=frozenset(() if held else {ROLE}))


def _with_terms(spec: ProfileSpec, defaults: Defaults, stands_on: Memory | None) -> ProfileSpec:
    if spec.terms:
        return replace(spec, subnets_by="spec.subnetSelectorTerms")
    if spec.subnets or not defaults.terms:
        return spec
    held = stands_on is None or stands_on.default_subnets == defaults.subnets
    by = "the default subnetSelectorTerms"
    return replace(spec, terms=defaults.terms, subnets_by=by, open=spec.open | (set() if held else {TERMS}))


def remembered_defaults(resource: Resource, home: Home, defaults: Defaults) -> dict[str, str]:
    """Return what status is to remember of the defaults that a profile is made by."""
    says_role = resource.profile.role or resource.role_name
    says_subnets = resource.profile.subnets or resource.profile.terms
    return {
        "default_role": "" if says_role else role_arn(home, defaults.role),
        "default_subnets": "" if says_subnets else defaults.subnets,
    }


class Refusal(NamedTuple):
    """Default tags that AWS did not let the controller set, or (None) take away again, and its words."""

    tags: Mapping[str, str | None]
    why: str

    @property
    def stuck(self) -> set[str]:
        return {key for key, value in self.tags.items() if value is None}


class DefaultTags(NamedTuple):
    """The default tags that a profile is to have, and to lose; and why it is not given others, or keeps some."""

    set: Mapping[str, str]
    left_out: str = ""  # in sentences
    lost: frozenset[str] = frozenset()


def default_tags(
    own: Mapping[str, str],
    defaults: Defaults,
    profile: Profile | None,
    memory: Memory,
    refusals: Collection[Refusal] = (),
) -> DefaultTags:
    """Return the default tags for an object with these tags of its `own`; `memory` has the keys that we have set.

    A profile that serves goes on so, whatever comes of a default: a tag that somebody else has set there stays, and
    for what has no room, or may not be set, those that are there stay as they are.
    """
    wished = {key: value for key, value in defaults.tags.items() if key not in own}
    if profile is None:
        return DefaultTags(wished)
    there, ours = profile.tags, memory.applied_tag_keys
    others = {key for key in wished if key not in ours and there.get(key, wished[key]) != wished[key]}
    wished = {key: value for key, value in wished.items() if key not in others}
    unwanted, stuck = unwanted_tags(own, defaults, profile, memory), {key for each in refusals for key in each.stuck}
    ours_there = wished.keys() & there.keys() & set(ours)
    spare = TAGS_LIMIT - len({*there, *own} - ours_there - (unwanted - stuck) - _of_aws(there))
    makes_room = {*sorted(ours_there)[spare:]} if spare >= 0 else set[str]()  # else no room is made even so
    former = unwanted & set(memory.default_tag_keys)
    to_go = former | (makes_room if former <= stuck else set())
    missing = {key: value for key, value in wished.items() if there.get(key) != value}
    refused = _refused({**missing, **dict.fromkeys(to_go)}, refusals)
    barred = {key for keys in refused.values() for key in keys}
    new = wished.keys() - there.keys() - barred
    crowded = {*sorted(new)[max(0, spare - len(ours_there)) :]} | (makes_room - barred)
    told = [
        _left_out(others, profile, "has them from others, with other values"),
        _left_out(crowded, profile, f"has no room for them beside its others ({TAGS_LIMIT} in all)"),
        *(_left_out(keys - to_go, profile, f"can't be given them: {why}") for why, keys in refused.items()),
        *(_left_there(keys & to_go, profile, why) for why, keys in refused.items()),
    ]
    kept = {key: value for key, value in wished.items() if key not in crowded | barred}
    return DefaultTags(kept, " ".join(filter(None, told)), frozenset(to_go - barred))


def unwanted_tags(own: Mapping[str, str], defaults: Defaults, profile: Profile, memory: Memory) -> frozenset[str]:
    """Return the keys that we have set and neither object nor defaults have any more: those that others set stay."""
    return frozenset(profile.tags.keys() & set(memory.applied_tag_keys) - own.keys() - defaults.tags.keys())


def _of_aws(tags: Collection[str]) -> set[str]:
    return {key for key in tags if key.lower().startswith("aws:")}


def _refused(changes: Mapping[str, str | None], refusals: Iterable[Refusal]) -> dict[str, set[str]]:
    """Return the keys of which the same was refused before as is to be done now, by what AWS said."""
    found: dict[str, set[str]] = {}
    for each in refusals:
        found.setdefault(each.why, set()).update(key for key, _ in each.tags.items() & changes.items())
    return found


def _left_there(keys: Collection[str], profile: Profile, why: str) -> str:
    which = listed(sorted(keys), most=LONGEST_CONDITION)
    text = f"Tags {which} of the defaults are to go, and profile {profile.name} keeps them"
    return f"{text}: {why.rstrip('. ')}." if keys else ""


def _left_out(keys: Collection[str], profile: Profile, why: str) -> str:
    if not keys:
        return ""
    which = listed(sorted(keys), most=LONGEST_CONDITION)
    return f"Of the default tags {which} are not set, because profile {profile.name} {why.rstrip('. ')}."


def unfounded(resource: Resource, spec: ProfileSpec, defaults: Defaults) -> Iterator[Finding]:
    """Yield why no profile can be made by an object and the defaults of its cluster together."""
    if not spec.role:
        mend = f"{MENDS[ROLE]}, or its name in podExecutionRoleName; the operator has no default for this cluster"
        yield Finding(("spec", ROLE), "missing", mend)
    yield from too_many_tags(resource, defaults)


def too_many_tags(resource: Resource, defaults: Defaults) -> Iterator[Finding]:
    """Yield that an object and the defaults of its cluster have more tags than a profile can be made with."""
    both = {**defaults.tags, **resource.tags}
    if len(both) > MOST_TAGS:
        beside = listed(sorted(defaults.tags.keys() - resource.tags.keys()), most=LONGEST_CONDITION)
        what = f"{len(both)} tags together with the defaults of this cluster ({beside})"
        yield Finding(("spec", "tags"), what, f"give fewer, EKS has room for {MOST_TAGS}; or have fewer defaults set")


def changed(spec: ProfileSpec, profile: Profile, before: str = "") -> str:
    """Say in what a profile that serves is another than the defaults of now would make it, "" for nothing.

    `before` is what was told last: of subnets it stands while it is not known what the terms match.
    """
    found = [*_changed(spec, profile, before)]
    mend = f"The next edit of the object takes that up, or a look that is asked for ({REQUESTED_AT})"
    told = [*found, f"{mend}, under updatePolicy: Replace or Recreate."] if found else []
    if ROLE in spec.open and not spec.role:
        mend = f"set spec.{ROLE}, without which no other profile can be made"
        none = "Neither the object nor a default gives a role any more"
        told.append(f"{none}, and profile {profile.name} keeps {profile.role}: {mend}.")
    return " ".join(told)


def _changed(spec: ProfileSpec, profile: Profile, before: str) -> Iterator[str]:
    if ROLE in spec.open and spec.role not in {"", profile.role}:
        yield f"The default role is {spec.role}, and profile {profile.name} keeps {profile.role}."
    if TERMS in spec.open:
        keeps = listed(sorted(profile.subnets), most=LONGEST_CONDITION)
        text = f"The default subnetSelectorTerms match other subnets, and profile {profile.name} keeps {keeps}."
        if strays(spec, profile) or (spec.among is None and text in before):
            yield text
