"""Random worlds: a seed makes one, with its processes, its users and its bad luck, and the same one each time."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.simulation.checker import Violation
from tests.simulation.deeds import (
    DEFAULTERS,
    FATES,
    FAULTS,
    FLEET,
    NAMES,
    NAMESPACES,
    OTHERS,
    PODS,
    SLEEPS,
    TAGGERS,
    USERS,
    Fault,
    fitting,
    random_defaults,
    random_spec,
)
from tests.simulation.fleet import FILES, HOMES
from tests.simulation.podworld import KINDS
from tests.simulation.podworld import NAMESPACES as PLACES
from tests.simulation.world import Deed, Place, World

WITH_PODS = WITH_FLEET = 0.3  # of the worlds
WITH_TAGS = 0.25
WITH_DEFAULTS = 0.25
POINTS_OF_PODS = 200  # more than others: what is evicted was seen to wait for a minute
SLICES, SLICE_SECONDS = 40, 60.0


@dataclass
class Luck:
    """The script of a seed. Each seed allows a choice of deeds only: what happens seldom happens often somewhere.

    `only`, if given, are the numbers of the points at which something may happen: how a failure is shortened.
    """

    seed: int
    only: Collection[int] | None = None

    def __post_init__(self) -> None:
        rand = random.Random(self.seed)
        self.rate = rand.choice((0.01, 0.03, 0.08, 0.15))
        self.points = rand.choice((150, 300, 600))
        self.faults = tuple(each for each in FAULTS if rand.random() < 0.5)
        self.fates: tuple[Fault, ...] = tuple(each for each in (*FATES, *SLEEPS) if rand.random() < 0.5)
        self.others = [each for group in OTHERS if rand.random() < 0.6 for each in group] or [*USERS]
        self.pods = PODS if rand.random() < 0.8 else ()
        self.fleet = FLEET if rand.random() < 0.8 else ()
        self.done: list[int] = []

    def __call__(self, world: World, place: Place) -> Deed | None:
        allowed = place.number <= self.points if self.only is None else place.number in self.only
        if not allowed:
            return None
        rand = random.Random(self.seed * 7_368_787 + place.number)
        if rand.random() >= (0.4 if place.side == "idle" else self.rate):
            return None
        deed = self._draw(world, place, rand)
        if deed:
            self.done.append(place.number)
        return deed

    def _draw(self, world: World, place: Place, rand: random.Random) -> Deed | None:
        faults, fates = fitting(self.faults, place.call, place.side), fitting(self.fates, place.call, place.side)
        pods, fleet = self.pods if world.pods else (), self.fleet if world.fleet.beside else ()
        tags, defaults = TAGGERS if world.fleet.tagged else (), DEFAULTERS if world.fleet.has_defaults else ()
        drawn: tuple[Sequence[Deed], ...] = (faults, fates, self.others, pods, fleet, tags, defaults)
        groups = [group for group in drawn if group]
        return rand.choice(rand.choice(groups)) if groups else None


def build(seed: int, luck: Luck) -> World:
    """Make the world of a seed, with what is there before anything happens."""
    world, rand = World(luck, seed), random.Random(seed + 77)
    manners, world.elect = world.manners, rand.random() < 0.3
    manners.creating_seconds, manners.deleting_seconds = rand.choice((0, 20, 60)), rand.choice((0, 20, 60))
    manners.visible_after = rand.choice((0, 0, 0, 5, 30))
    manners.one_in_flight = rand.random() < 0.6
    manners.max_profiles = 20
    pods = random.Random(seed + 99)
    if pods.random() < WITH_PODS:
        people(world, pods)
        luck.points += POINTS_OF_PODS
    several = random.Random(seed + 111)
    if several.random() < WITH_FLEET:
        world.fleet.open(*several.choice(FILES))
        world.fleet.sts.life_seconds = several.choice((900.0, 900.0, 3600.0))
    if several.random() < WITH_TAGS:
        for account in world.fleet.all:
            world.fleet.tag(account, account.private_subnets[0], fargate="yes")
    apart = random.Random(seed + 133)
    if apart.random() < WITH_DEFAULTS:
        with_defaults(world, apart)
    for name in ("one", "two")[: rand.choice((1, 2))]:
        world.skews[name] = rand.choice((0.0, 0.0, -0.3, 0.3, -600.0, 600.0))
        world.start(name)
    for name in rand.sample(NAMES, rand.choice((1, 2, 4))):
        from_kopf = rand.random() < 0.15
        world.apply(
            name, rand.choice(NAMESPACES), ("KopfFinalizerMarker",) if from_kopf else (), **random_spec(world, rand)
        )
        if from_kopf and rand.random() < 0.7:
            made_by_kopf(world, name)
    return world


def made_by_kopf(world: World, name: str) -> None:
    """Let there be what kopf's operator has made for an object, as far as EKS takes what it says."""
    spec = (world.object(name) or world.object(name, "team") or {})["spec"]
    account = world.fleet.account_of(spec.get("clusterName"))
    by_tags = account.private_subnets[:1] if world.fleet.tagged else None
    subnets = spec.get("subnets", by_tags)
    if isinstance(subnets, list | tuple) and isinstance(spec["selectors"], list) and spec["selectors"]:
        role = spec.get("podExecutionRoleArn") or account.roles["good"]
        account.add_profile("demo", name, role, spec["selectors"], [*subnets])


def with_defaults(world: World, rand: random.Random) -> None:
    """Have defaults by the flags, or by a file: of the clusters at home, if it is not there for others."""
    fleet = world.fleet
    for account in fleet.all:
        fleet.tag(account, account.private_subnets[0], fargate="yes")
        fleet.tag(account, account.private_subnets[1], pool="b")
    if not fleet.beside and rand.random() < 0.5:
        fleet.write(*HOMES)
    fleet.start_with(random_defaults(rand, tags=False))
    names = [each.name for each in fleet.listed or ()]
    if names:
        fleet.give(**{each: random_defaults(rand) for each in names})


def people(world: World, rand: random.Random) -> None:
    """Have some pods from the start, of which EKS has taken none, and an object whose profile takes some of them."""
    pods = world.with_pods(rand.choice((0.0, 0.0, 0.5, 1.0)))
    for number in range(rand.choice((1, 2, 4))):
        place, kind = rand.choice(("shop", "shop", *PLACES)), rand.choice(("plain", "plain", "plain", *KINDS))
        pods.owner(place if number else "shop", f"app{number}", rand.choice((1, 1, 2, 3)), kind if number else "plain")
    world.apply("shop", strandedPods="Evict", updatePolicy=rand.choice(("Refuse", "Replace", "Recreate")))


@dataclass
class Outcome:
    world: World
    done: list[int]
    violation: Violation | None = None


def live(seed: int, only: Collection[int] | None = None) -> Outcome:
    """Live the world of a seed to its end: bad luck first, then calm, then silence."""
    luck = Luck(seed, only)
    world = build(seed, luck)
    try:
        for _ in range(SLICES):
            world.run(SLICE_SECONDS)
            if world.points > luck.points:
                break
        world.settle()
    except Violation as violation:
        return Outcome(world, luck.done, violation)
    return Outcome(world, luck.done)


def shorten(seed: int, outcome: Outcome) -> Outcome:
    """Return a world of the seed that breaks the same promise with as little happening as can be found."""
    best, step = outcome, max(1, len(outcome.done) // 2)
    while step:
        kept = _without_some(seed, best, step)
        if kept is None:
            step //= 2
        else:
            best = kept
            step = min(step, max(1, len(best.done) // 2))
    return best


def _without_some(seed: int, outcome: Outcome, step: int) -> Outcome | None:
    promise = outcome.violation.promise if outcome.violation else ""
    for start in range(0, len(outcome.done), step):
        fewer = [*outcome.done[:start], *outcome.done[start + step :]]
        tried = live(seed, fewer)
        if tried.violation and tried.violation.promise == promise and len(tried.done) < len(outcome.done):
            return tried
    return None
