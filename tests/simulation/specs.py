"""Specs as Acto makes them: from the CRD's schema, valid and broken, in sequences of what users do with objects.

Whatever came before, an object must end as it would in a fresh world that has only ever seen its last spec. Where EKS
can't go there the object says what mends it, and the user does just that.
"""

from __future__ import annotations

import random
import re
from typing import Any

from spec import OWNER_KEY
from tests.fakes.apiserver import crd_schema
from tests.fakes.eks import Memory
from tests.simulation.checker import PLURAL, Violation
from tests.simulation.world import World

Object = dict[str, Any]
SCHEMA: Object = crd_schema()["properties"]["spec"]
# What nobody may change afterwards; some of it EKS does not have, or does not take.
NAMES = {"clusterName": ("demo", "other", "other", "none"), "profileName": ("shared", "web2", "a_b", "eks-web")}
PATH = f"/apis/jicomusic.com/v1/namespaces/default/{PLURAL}"
NEVER_BROKEN = {"clusterName", "profileName", "tags"}  # of another type than the CRD's: no CRD has let that in
WORDS = (
    "web",
    "a",
    "app",
    "team-1",
    "*",
    "we?",
    "x.example/app",
    "",
    "Bad_NS",
    "-x",
    "eks-web",
    "a b",
    "aws:x",
    "w" * 64,
)
TO_REST = 1500.0


def words(account: Memory) -> list[str]:
    """Return strings of every kind that a spec may have; the schema says of each place which of them fit there."""
    subnets = [*account.subnets, "subnet-00000000", "subnet-nonsense"]
    roles = [*account.roles.values(), "arn:aws:iam::123456789012:role/none", "arn:aws:iam::123456789012:role/a/b"]
    good = [account.roles["good"], account.roles["good"].rpartition("/")[2], *account.private_subnets, "demo"]
    policies = ["Delete", "Retain", "Refuse", "Replace", "Recreate", "Never", "Adopt", "Report", "Evict"]
    return [*WORDS, *subnets, *roles, "other", *policies, *(good * 8)]


class Specs:
    """Makes values that a schema accepts, or does not."""

    def __init__(self, account: Memory, rand: random.Random) -> None:
        self._words, self._rand, self._account = words(account), rand, account

    def whole(self) -> Object:
        """Return a spec that obeys what the schema says in rules: of two fields of which only one may be given it has
        one, and a role. What it says of subnets matches some of the VPC: else a profile that serves may stay as it is.
        """
        spec: Object = self.valid(SCHEMA)
        if "podExecutionRoleArn" not in spec and "podExecutionRoleName" not in spec:
            spec["podExecutionRoleArn"] = self.valid(SCHEMA["properties"]["podExecutionRoleArn"])
        if "podExecutionRoleArn" in spec:
            spec.pop("podExecutionRoleName", None)
        if "subnets" in spec:
            spec.pop("subnetSelectorTerms", None)
        if "subnetSelectorTerms" in spec:
            ids = [each["id"] for each in spec["subnetSelectorTerms"] if "id" in each]
            there = [each for each in ids if each in self._account.subnets] or [*self._account.private_subnets[:1]]
            spec["subnetSelectorTerms"] = [{"id": each} for each in there if each != self._account.foreign_subnet] or [
                {"id": self._account.private_subnets[1]}
            ]
        return spec

    def valid(self, schema: Object) -> Any:
        match schema["type"]:
            case "boolean":
                return self._rand.random() < 0.5
            case "string":
                return self._rand.choice([word for word in self._words if _fits(schema, word)])
            case "array":
                values = [self.valid(schema["items"]) for _ in range(self._rand.choice((1, 1, 2, 3)))]
                return [each for index, each in enumerate(values) if each not in values[:index]]
            case "object" if "properties" in schema:
                needed, known = schema.get("required", []), schema["properties"]
                chosen = [name for name in known if name in needed or self._rand.random() < 0.4]
                return {name: self.valid(known[name]) for name in chosen}
            case _:
                keys = self._rand.sample(("a", "b", "team", "x.example/app"), self._rand.choice((0, 1, 2)))
                return {key: self.valid(schema["additionalProperties"]) for key in keys}

    def broken(self, schema: Object, value: Any) -> Any:
        """Return the value with one thing in it that the schema does not accept."""
        if isinstance(value, dict) and value and "properties" in schema:
            return self._broken_object(schema, value)
        if isinstance(value, dict) and value and self._rand.random() < 0.7:
            key = self._rand.choice(sorted(value))
            return value | {key: self.broken(schema["additionalProperties"], value[key])}
        if isinstance(value, list) and value and self._rand.random() < 0.7:
            return [self.broken(schema["items"], value[0]), *value[1:]]
        unfit = [word for word in self._words if schema["type"] == "string" and not _fits(schema, word)]
        return self._rand.choice([*unfit[:4], 7, [[]], {"x": {}}])

    def _broken_object(self, schema: Object, value: Object) -> Object:
        way, needed = self._rand.random(), [name for name in schema.get("required", []) if name in value]
        if way < 0.15:
            return value | {"replicas": 2}
        if way < 0.3 and needed:
            dropped = self._rand.choice(needed)
            return {name: each for name, each in value.items() if name != dropped}
        whole = [each for each in value if each not in NEVER_BROKEN]
        if not whole:
            return value | {"replicas": 2}
        name = self._rand.choice(whole)
        return value | {name: self.broken(schema["properties"][name], value[name])}


def _fits(schema: Object, word: str) -> bool:
    if "enum" in schema:
        return word in schema["enum"]
    pattern = str(schema.get("pattern", ".*")).removesuffix("$") + r"\Z"
    return len(word) <= schema.get("maxLength", 256) and re.search(pattern, word) is not None


def random_spec(specs: Specs, rand: random.Random, names: Object) -> Object:
    """Return a spec that keeps its names, now and then with something in it that is wrong in every account."""
    spec: Object = specs.whole()
    if rand.random() < 0.25:
        spec = specs.broken(SCHEMA, spec)
    return {name: value for name, value in spec.items() if name not in NAMES} | names


def check(world: World, seed: int) -> None:
    """Do random things to one object, and find it in the end as in a world that knows its last spec alone."""
    rand = random.Random(seed)
    specs = Specs(world.account, rand)
    names = {name: rand.choice(some) for name, some in NAMES.items() if rand.random() < 0.3}
    spec: Object = {}
    for _ in range(rand.choice((2, 4, 6))):
        spec = _do_something(world, rand, spec or random_spec(specs, rand, names), random_spec(specs, rand, names))
        world.run(rand.choice((0.0, 2.0, 20.0, 100.0)))
    spec |= {"suspend": False} if spec.get("suspend") is True else {}
    _put(world, spec)
    world.run(TO_REST)
    _do_as_it_says(world, spec)
    fresh = begin(seed)
    _put(fresh, spec)
    fresh.run(TO_REST)
    if (ends := end_of(world)) != (wanted := end_of(fresh)):
        raise Violation("L1", f"seed {seed}: {ends} after all that, {wanted} in a fresh world")


def begin(seed: int) -> World:
    world = World(seed=seed)
    world.manners.creating_seconds = world.manners.deleting_seconds = 10
    world.start("one")
    return world


def _do_something(world: World, rand: random.Random, old: Object, new: Object) -> Object:
    """Let the user do one thing; return the spec that counts from now on."""
    match rand.choice(("put", "put", "delete", "suspend")):
        case "put":
            _put(world, new)
            return new
        case "delete":
            world.delete()
            return old
        case _:
            new = old | {"suspend": rand.random() < 0.5}
            _put(world, new)
            return new


def _put(world: World, spec: Object) -> None:
    """Make the spec the object's whole spec; whoever finds the object on its way out waits until it is gone."""
    obj = world.object()
    if obj and "deletionTimestamp" in obj["metadata"]:
        _let_go(world)
        obj = None
    world.note("user", f"puts {spec}")
    if obj:
        world.api.request("PUT", f"{PATH}/web", {}, obj | {"spec": spec})
    else:
        made = {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": {"name": "web"}, "spec": spec}
        world.api.request("POST", PATH, {}, made)


def _let_go(world: World) -> None:
    """Wait until the object is gone; one that is suspended says what it waits for."""
    if world.object():
        world.edit(suspend=False)
    for _ in range(60):
        if not world.object():
            return
        world.run(30)
    raise Violation("L1", "an object that is deleted does not go")


def _do_as_it_says(world: World, spec: Object) -> None:
    """Mend what only a user can, in the way that the object's message names."""
    for _ in range(2):
        reason = _ready(world).get("reason")
        if reason == "ImmutableField":
            world.delete()
            _put(world, spec)
        elif reason in {"NameTaken", "AdoptMismatch"}:
            cluster, name = spec.get("clusterName", "demo"), spec.get("profileName", "web")
            world.account.delete_profile(cluster, name)
        else:
            return
        world.run(TO_REST)


def _ready(world: World) -> Object:
    listed = (world.object() or {}).get("status", {}).get("conditions", [])
    return next((each for each in listed if each["type"] == "Ready"), {})


def end_of(world: World) -> Object:
    """Return what the object and its profiles in EKS have come to, but for when, and for the names that EKS makes."""
    obj = world.object() or {}
    conditions = obj.get("status", {}).get("conditions", [])
    told = [each for each in conditions if each["type"] != "Overlapping"]  # a retained profile may be in the way
    said = [[each[part] for part in ("type", "status", "reason")] for each in told]
    parts = ["status", "podExecutionRoleArn", "selectors", "tags"]
    if isinstance(obj.get("spec"), dict) and obj["spec"].get("subnets"):  # without any, all are as good
        parts.append("subnets")
    bodies = [each.body for each in world.checker.profiles() if OWNER_KEY in each.body["tags"]]
    if _ready(world).get("status") != "True":
        bodies = []  # what serves already stays until its successor can be made
    return {"spec": obj.get("spec"), "said": said, "eks": [{part: body[part] for part in parts} for body in bodies]}
