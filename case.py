"""What is seen of one FargateProfile object in a pass: all that a decision about it may look at.

The picture: object, view of the cluster, memory, facts, the cluster's defaults -> `Case`, which says whose the
profiles are, whether one is as wanted, and what speaks against making one.

Pure: no clock, no call, no log. What it is not: a decision (plan).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from actions import Objection
from answers import AwsError
from aws import Profile, ProfileSpec
from clusters import View, backoff
from entries import Barred
from kube import Object
from limits import Settings
from patterns import capital, without_profiles
from spec import (
    CONTROLLER_KEY,
    OWNER_KEY,
    RESERVED_KEYS,
    Defaults,
    Finding,
    Identity,
    InvalidSpec,
    Memory,
    Resource,
    UpdatePolicy,
    controlled_by,
    differs,
    replacement_names,
    same_tag,
    tagged,
)
from surroundings import OBJECTIONS, Facts, Home, Network, chosen, elsewhere, no_subnet_matches, warnings
from wanted import (
    DefaultTags,
    Refusal,
    changed,
    default_tags,
    role_arn,
    said,
    too_many_tags,
    unfounded,
    unwanted_tags,
    wanted,
)

NO_FACTS = Facts(None, {}, None)  # where there is no cluster, nothing is asked about what is to be in it


class Strayed(NamedTuple):
    """A profile, and those of its subnets that no term matches any more."""

    arn: str
    name: str
    subnets: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """Everything that a row of the plan may look at."""

    who: Identity
    resource: Resource | InvalidSpec
    memory: Memory
    home: Home
    view: View
    facts: Facts | None
    settings: Settings
    now: datetime
    looked: frozenset[str] = frozenset()  # described in the pass that read the object
    lost_for: timedelta = timedelta(0)  # a marked create may still come true
    barred: Barred | None = None  # why the object has no cluster here; then home and view stand for nothing
    at_home: bool | None = None  # or the clusters file lists its namespace there by name; None: there is no file
    defaults: Defaults = field(default_factory=Defaults)  # of the cluster, for who says nothing
    network: Network | None = None  # that terms choose from; None: not asked yet
    tags_refused: tuple[Refusal, ...] = ()  # of the defaults, some time ago
    sure_at: datetime | None = None  # when what it shows of the serving profile is looked at again, before it counts

    # The object

    @cached_property
    def spec(self) -> ProfileSpec | None:
        """What is wanted: what the object says, else the defaults as far as they are held against its profile."""
        if not isinstance(self.resource, Resource):
            return None
        return self._with_among(wanted(self.resource, self.home, self.defaults, None if self.takes_up else self.memory))

    @cached_property
    def own(self) -> ProfileSpec | None:
        """What the object says itself, by which a profile is judged that is not its own yet."""
        if not isinstance(self.resource, Resource):
            return None
        return self._with_among(said(self.resource, self.home, self.defaults))

    def _with_among(self, spec: ProfileSpec) -> ProfileSpec:
        return replace(spec, among=self.network.among(spec.terms)) if spec.terms and self.network else spec

    @property
    def takes_up(self) -> bool:
        """An edit, or a look that was asked for, may change the profile: then it gets the defaults of now."""
        if self.who.deleting or self.update_policy == "Refuse" or self.memory.decided < 0:
            return False
        return self.who.asks(self.memory) or self.memory.decided != self.who.generation

    @property
    def to_ask_for(self) -> ProfileSpec | None:
        """The spec whose terms choose from subnets of which nothing was asked yet."""
        return self.spec if self.spec and self.spec.terms and self.network is None and self.view.found else None

    @cached_property
    def unfounded(self) -> list[Finding]:
        """What is missing for a profile to be made, in the object and the defaults together."""
        if not (self.spec and isinstance(self.resource, Resource)):
            return []
        return [*unfounded(self.resource, self.spec, self.defaults)]

    def changed_defaults(self, before: str = "") -> str:
        """Return in what the profile that serves is another than the defaults of now would make it, "" for nothing.

        `before`: what was told of that last; it stands as far as it can't be seen now.
        """
        if not (self.spec and self.serving and isinstance(self.resource, Resource)) or self.who.deleting:
            return ""
        told = [changed(self.spec, self.serving, before), self.default_tags.left_out]
        told += [f"No other profile can be made: {each}." for each in too_many_tags(self.resource, self.defaults)]
        return " ".join(filter(None, told))

    @property
    def refusal(self) -> InvalidSpec | None:
        return self.resource if isinstance(self.resource, InvalidSpec) else None

    @property
    def update_policy(self) -> UpdatePolicy:
        return self.resource.update_policy if isinstance(self.resource, Resource) else "Refuse"

    @property
    def asks_to_adopt(self) -> bool:
        return isinstance(self.resource, Resource) and self.resource.adopt

    @property
    def may_adopt(self) -> bool:
        return self.settings.may_adopt(self.who.namespace)

    @property
    def may_retain(self) -> bool:
        return self.settings.may_retain(self.who.namespace)

    @property
    def going(self) -> bool:
        """The object is deleted, and its profile with it."""
        return self.who.deleting and not self.who.retain

    @property
    def retaining(self) -> bool:
        """The object is deleted, its profile stays."""
        return self.who.deleting and self.who.retain

    @property
    def elsewhere(self) -> bool:
        """The object has, or may have, a profile in a cluster other than the one that we look at."""
        return self.memory.made_in not in {"", self.home.cluster_arn}

    # Its profiles

    @cached_property
    def owner_tags(self) -> dict[str, str]:
        return {OWNER_KEY: self.who.owner, CONTROLLER_KEY: self.home.controller}

    def owns(self, profile: Profile) -> bool:
        """Both tags name this object and the name fits; or no tag names another and status recorded the ARN."""
        if not (self.who.may_name(profile.name) or profile.arn == self.memory.profile_arn):
            return False
        if not all(same_tag(key, profile.tags.get(key, value), value) for key, value in self.owner_tags.items()):
            return False
        if self.owner_tags.keys() <= profile.tags.keys():
            return self.who.may_name(profile.name)
        return profile.arn == self.memory.profile_arn

    def meets(self, profile: Profile) -> bool:
        return self.spec is not None and not differs(self.spec, profile)

    def shows(self, profile: Profile) -> bool:
        """Say whether a profile that is not this object's yet is as the object says, as far as is known."""
        return self.own is not None and is_known(self.own) and not differs(self.own, profile)

    def as_of_now(self, profile: Profile) -> bool:
        """Say whether a profile is as the defaults of now would make it, none of them left open."""
        return self.spec is not None and is_known(self.spec) and not differs(_closed(self.spec), profile)

    @cached_property
    def strayed(self) -> tuple[Strayed, ...]:
        """The owned profiles that differ by terms alone, each with its subnets that no term matches now."""
        if not self.spec:
            return ()
        among, by_terms = self.spec.among or frozenset(), {"subnetSelectorTerms"}
        found = (each for each in self.owned if differs(self.spec, each).keys() == by_terms)
        return tuple(sorted(Strayed(each.arn, each.name, tuple(sorted(each.subnets - among))) for each in found))

    @property
    def undecided(self) -> Profile | None:
        """One of several profiles of which terms would say which one to keep, if it were known what they match."""
        last = self.surplus
        if not (self.spec and last) or is_known(self.spec) or (self.who.deleting and not self._to_be_known):
            return None
        return last if self.meets(last) and last.subnets != self.owned[0].subnets else None

    @property
    def _to_be_known(self) -> bool:
        """What terms match could not be read just now; nobody need mend anything for it to be known."""
        return self.network is not None and self.network.error is not None

    @cached_property
    def owned(self) -> tuple[Profile, ...]:
        """The profiles that are this object's, the one to keep first: as wanted, serving, ACTIVE, oldest."""
        base, arn = self.who.base, self.memory.profile_arn
        # Names are looked at first, as of a hundred profiles nearly all are another's by these.
        named = [each for each in self.view.profiles.values() if each.name.startswith(base) or each.arn == arn]
        return tuple(sorted(filter(self.owns, named), key=self._rank))

    def _rank(self, each: Profile) -> tuple[bool, bool, bool, bool, float]:
        wanted = each.active and self.meets(each)
        serves = each.name == self.memory.profile_name
        # Where a default is not held, or it is not known what terms match, several may be as wanted: before the last,
        # which was made by the latest of them, comes only one that is as the defaults of now say.
        age = each.created_at.timestamp()
        last = wanted and self.spec is not None and (self.spec.open or (self.retaining and not is_known(self.spec)))
        now = wanted and self.as_of_now(each)
        return not wanted, not now, not (serves or last), not each.active, -age if last else age

    def outranks(self, other: Profile, serving: Profile) -> bool:
        """Say whether another profile, once it is ACTIVE, is kept rather than one that is as wanted too."""
        open_ = self.spec is not None and self.spec.open
        return bool(open_) and self._rank(replace(other, status="ACTIVE")) < self._rank(serving)

    @property
    def by_default_again(self) -> bool:
        """Of several profiles the one is kept that is as the defaults of now say: these are put back."""
        if not (self.spec and self.spec.open and self.serving and self.surplus):
            return False
        return self.as_of_now(self.serving) and not any(map(self.as_of_now, self.owned[1:]))

    @cached_property
    def serving(self) -> Profile | None:
        """The owned profile that is to be kept, whatever its state."""
        return next(iter(self.owned), None)

    @property
    def surplus(self) -> Profile | None:
        """Of several owned profiles the one that is least worth keeping."""
        return self.owned[-1] if len(self.owned) > 1 else None

    @cached_property
    def failed(self) -> Profile | None:
        """A profile in a failed state; of an object that goes, only one that failed to go."""
        states = {"DELETE_FAILED"} if self.who.deleting else {"DELETE_FAILED", "CREATE_FAILED"}
        return next((profile for profile in self.owned if profile.status in states), None)

    @property
    def owned_in_flight(self) -> Profile | None:
        return next((each for each in self.owned if not (each.active or each.failed)), None)

    @property
    def stripped(self) -> Profile | None:
        """A profile without all of its owner tags; to have none of them is what a retained one shall come to."""
        for profile in self.owned:
            missing = self.owner_tags.keys() - profile.tags.keys()
            if missing and not (self.retaining and len(missing) == len(self.owner_tags)):
                return profile
        return None

    # The profiles of nobody and of others

    @cached_property
    def as_made_by_kopf(self) -> Profile | None:
        """What kopf's operator may have made for this object: untagged, as wanted, not older than the object."""
        found = self._untagged_by_kopf
        return found if found and self.shows(found) and not self.forbidden else None

    @property
    def unclear_by_kopf(self) -> Profile | None:
        """The same where only what the object's own terms match would show it, and that is not known."""
        found = self._untagged_by_kopf
        unclear = found and self.own and not is_known(self.own) and not differs(self.own, found)
        return found if unclear and not self.owned and not self.forbidden else None

    @property
    def _untagged_by_kopf(self) -> Profile | None:
        found = self.view.profiles.get(self.who.base) if self.who.from_kopf else None
        if found is None or not RESERVED_KEYS.isdisjoint(found.tags) or self.who.created_at > found.created_at:
            return None
        return found

    @property
    def made_by_kopf(self) -> Profile | None:
        """The same where it is let be taken over: who plants kopf's finalizer can make another's profile look so."""
        return self.as_made_by_kopf if self.settings.may_take_over_from_kopf(self.who.namespace) else None

    @cached_property
    def target(self) -> str:
        """The name of the profile that is to be made: base, but for a replacement where base is taken."""
        replaces = self.serving and self.update_policy == "Replace"
        if not (self.spec and replaces and self.who.base in self.view.profiles):
            return self.who.base
        names = [*replacement_names(self.who, self.spec)]
        # A create whose answer is open is asked for again by its own name: under another there could be two.
        open_one = {self.memory.create_name} - {self.who.base} if self.memory.create_started_at else set()
        tried = [*filter(self.who.may_name, open_one), *names]
        return next((name for name in tried if name not in self.view.names), names[0])

    @property
    def name_holder(self) -> Profile | None:
        """Who has the name of the profile that is to be made, but for one that goes for it."""
        found = self.view.profiles.get(self.target)
        makes_room = found and self.update_policy == "Recreate" and self.owns(found)
        return None if makes_room else found

    @property
    def adoptable(self) -> Profile | None:
        """The profile without an owner that the object may take over: spec and operator allow it."""
        if not self.asks_to_adopt or not self.may_adopt or self.owned:
            return None
        found = self.name_holder
        return None if found is None or found.failed or tagged(found) else found

    @property
    def estranged(self) -> Profile | None:
        """The profile that is tagged for this very object, by another controller id: after a restore, or a typo."""
        profiles = (each for each in self.view.profiles.values() if self.who.may_name(each.name))
        return next((each for each in profiles if self.is_estranged(each)), None)

    def is_estranged(self, profile: Profile) -> bool:
        named = profile.tags.get(OWNER_KEY) == self.who.owner and CONTROLLER_KEY in profile.tags
        return named and not controlled_by(profile, self.home.controller)

    @property
    def recorded(self) -> Profile | None:
        """The profile that status recorded, whoever's it is by now."""
        profiles = self.view.profiles.values()
        return next((each for each in profiles if each.arn == self.memory.profile_arn), None)

    # What earlier passes did

    @property
    def lost_create_until(self) -> datetime | None:
        """Until when an unanswered create may still come true."""
        return self.now + self.lost_for if self.lost_for > timedelta(0) else None

    @property
    def hidden(self) -> tuple[str, AwsError] | None:
        """A profile that could be this object's and can't be looked at, with what AWS says.

        Where a profile serves as wanted, only the one that status has recorded counts.
        """
        serves = self.serving is not None and self.serving.active and self.meets(self.serving)
        goes_on = serves and not self.who.deleting
        for name, error in self.view.hidden.items():
            if self.who.may_name(name) and (name == self.memory.profile_name or not goes_on):
                return name, error
        return None

    @property
    def rests_until(self) -> datetime | None:
        """Until when a profile in a failed state rests; a failure not yet counted rests from now."""
        if not self.failed:
            return None
        counted = self.memory.counting(self.failed, self.now)
        rest = backoff(counted.failures)  # from now at the most: failed_at may be by a clock that is ahead
        until = min((counted.failed_at or self.now), self.now) + rest
        return until if self.now < until else None

    # Tags and limits

    @cached_property
    def own_tags(self) -> dict[str, str]:
        return self.owner_tags | dict(self.resource.tags if isinstance(self.resource, Resource) else {})

    @cached_property
    def default_tags(self) -> DefaultTags:
        if not isinstance(self.resource, Resource):
            return DefaultTags({})
        return default_tags(self.own_tags, self.defaults, self.serving, self.memory, self.tags_refused)

    @property
    def wanted_tags(self) -> dict[str, str]:
        return {**self.default_tags.set, **self.own_tags}

    @property
    def missing_tags(self) -> dict[str, str]:
        return self._missing(self.own_tags)

    @property
    def missing_default_tags(self) -> dict[str, str]:
        return self._missing(self.default_tags.set)

    def _missing(self, wanted: Mapping[str, str]) -> dict[str, str]:
        there = self.serving.tags if self.serving else {}
        return {key: value for key, value in wanted.items() if not same_tag(key, there.get(key), value)}

    @cached_property
    def unwanted_tags(self) -> frozenset[str]:
        """Tag keys that we have set and an edit has taken out: those of the defaults are `default_tags.lost`."""
        if not (self.serving and isinstance(self.resource, Resource)):
            return frozenset()
        unwanted = unwanted_tags(self.own_tags, self.defaults, self.serving, self.memory)
        return unwanted - set(self.memory.default_tag_keys)

    @cached_property
    def forbidden(self) -> list[Objection]:
        """What is not allowed of a profile that there is not yet: one that serves as the spec says is left alone."""
        if self.spec is None or (self.serving and self.meets(self.serving)):
            return []
        found = self.settings.limits.forbid(self.who, self.spec, self.at_home)
        default = self.spec.role == role_arn(self.home, self.defaults.role)  # which whoever runs us has allowed
        return [each for each in found if not (default and each.reason == "RoleNotAllowed")]

    @cached_property
    def objections(self) -> list[Objection]:
        """What AWS would have against the profile that is to be made, as far as the facts are known."""
        facts = self.facts if self.view.found else NO_FACTS
        if not (self.spec and facts):
            return []
        checks = (check(self.home, self.view.found, self.spec, self.target, facts) for check in OBJECTIONS)
        pairs = [pair for several in checks for pair in several]
        if self.spec.terms and self.network and self.view.found:
            text = no_subnet_matches(self.home, self.spec, self.network, facts)
            pairs += [("NoSubnetMatches", text)] if text else []
        known = self.who.may_name if self.settings.limits.discreet else lambda _name: True
        return [Objection(reason, without_profiles(capital(text), known)) for reason, text in pairs]

    @property
    def to_make(self) -> ProfileSpec | None:
        """The spec of the profile that is to be made, with the subnets that its terms choose now."""
        if not (self.spec and self.spec.terms and self.facts):
            return self.spec
        return replace(self.spec, subnets=chosen(self.home, self.spec, self.facts))

    @property
    def warnings(self) -> tuple[Objection, ...]:
        """What is unusual about the profile that is to be made, but may be meant."""
        authority = "" if self.home.foreign else self.settings.authority
        text = elsewhere(self.home, authority, self.facts.cluster if self.facts else None)
        pairs = [("ClusterElsewhere", text)] if text else []
        facts, spec = self.facts, self.to_make
        if facts and spec and spec.terms:
            facts = replace(facts, subnets={each: facts.subnets[each] for each in spec.subnets or ()})
        pairs += warnings(spec, facts) if spec else ()
        return tuple(Objection(reason, capital(text)) for reason, text in pairs)


def case_of(
    obj: Object,
    who: Identity,
    memory: Memory,
    home: Home,
    view: View,
    settings: Settings,
    now: datetime,
    defaults: Defaults | None = None,
) -> Case:
    """Return the case of an object, before any fact is asked for; an invalid spec is a case too."""
    resource: Resource | InvalidSpec
    try:
        resource = Resource.parse(obj)
    except InvalidSpec as error:
        resource = error.with_traceback(None)  # whose frames hold the object, and this very error
    return Case(
        who=who, resource=resource, memory=memory, home=home, view=view, facts=None, settings=settings, now=now,
        defaults=defaults or Defaults(),
    )  # fmt: skip


def is_known(spec: ProfileSpec) -> bool:
    """Say whether it is known which subnets a spec asks for: terms that match nothing do not say so."""
    return not spec.terms or bool(spec.among)


def _closed(spec: ProfileSpec) -> ProfileSpec:
    return replace(spec, open=frozenset())


def strayed_in(case: Case, network: Network) -> tuple[Strayed, ...] | None:
    """Return what a case would have strayed if the VPC were like that; None where not all of its profiles are seen."""
    return None if case.hidden else replace(case, network=network).strayed
