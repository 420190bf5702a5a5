"""What a world must come to once the faults have stopped (L1), and how quiet it is then (S6).

The oracle reads the objects, the account and crd.yaml, and says with which reasons each object may rest. It does not
ask the plan: it is what a user who knows the documents would expect.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from clusters import TIME_MAY_MEND
from spec import RESERVED_KEYS, RETAINED_KEY
from tests.fakes.apiserver import crd_schema
from tests.fakes.eks_rules import ROLES as KINDS
from tests.simulation.checker import (
    ADOPTION_IN,
    KOPF_IN,
    PLURAL,
    RETAIN_IN,
    SET_BACK,
    WRITES,
    Violation,
    as_made_by_kopf,
    base_of,
    fit,
    matching_in,
    meets,
    owner_tags,
    ready_of,
    retains,
    role_in,
)
from tests.simulation.defaults import ROLES, SUBNETS, completed, with_role

if TYPE_CHECKING:
    from collections.abc import Collection

    from spec import Defaults
    from tests.fakes.eks import Memory
    from tests.fakes.eks_rules import Stored
    from tests.simulation.checker import Checker
    from tests.simulation.world import World

Object = dict[str, Any]
ASKING = {"CreateFargateProfile", "PatchStatus", "CreateEvent"}
KUBE_WRITES = {"PatchStatus", "PatchFinalizers", "CreateEvent"}
QUIET_SECONDS = 480.0  # after a change of pods, until all is said of them: some of it takes 5 minutes
LABEL_KEY = r"([a-z0-9*?]([-a-z0-9.*?]*[a-z0-9*?])?/)?[A-Za-z0-9*?]([-._A-Za-z0-9*?]{0,61}[A-Za-z0-9*?])?"


def complaints(world: World) -> list[str]:
    """Return what is not as it should be, in words; nothing is what every world must come to."""
    objects = world.api.objects(PLURAL)
    found = [(f"{obj['metadata']['namespace']}/{obj['metadata']['name']}", _complaint(world, obj)) for obj in objects]
    orphans = [each.name for each in world.checker.profiles() if _is_orphan(world.checker, each)]
    told = [f"{name}: {text}" for name, text in found if text] + [f"profile {name} is an orphan" for name in orphans]
    return told + _uncounted(world) + _stranded(world)


def silence(world: World) -> None:
    """Let two resyncs pass and find that nothing is written, and nothing asked but the scheduled reads (S6)."""
    world.run(world.resync_seconds * 1.2)
    before, objects = world.calls.copy(), world.api.objects(PLURAL)
    world.run(world.resync_seconds * 2)
    made, reasons = world.calls - before, {ready_of(obj).get("reason") for obj in objects}
    loud = (WRITES | KUBE_WRITES) & made.keys()
    patience_ends = made["PatchStatus"] <= len(objects) and not reasons.isdisjoint(TIME_MAY_MEND)
    if patience_ends:  # once an object: what is waited for becomes what somebody has to mend
        loud -= {"PatchStatus", "CreateEvent"}
    if loud - (ASKING if any(_asks(obj) for obj in objects) else set()):
        raise Violation("S6", f"a settled world writes: {', '.join(sorted(loud))}")
    clusters = sum(len(each.clusters) for each in world.fleet.all)
    most = len(world.processes) * (clusters + len(objects)) * 4
    if made["ListFargateProfiles"] > most and "ClusterNotFound" not in reasons:  # such a one is looked for all the time
        raise Violation("S6", f"a settled world is listed {made['ListFargateProfiles']} times, {most} would do")


def truth_is_told(world: World) -> None:
    """Falsify the status of a settled object and find it put right within a minute, though nobody else looks."""
    for obj in world.api.objects(PLURAL)[:1]:
        meta, conditions = obj["metadata"], obj["status"]["conditions"]
        false = [{**each, "status": "False" if each["status"] == "True" else "True"} for each in conditions]
        world.note("vandal", f"falsifies the status of {meta['namespace']}/{meta['name']}")
        world.api.edit(PLURAL, meta["namespace"], meta["name"], {"status": {"conditions": false}})
        world.run(60.0)
        after = ready_of(world.api.peek(PLURAL, meta["namespace"], meta["name"]))
        if after.get("status") != ready_of(obj)["status"]:
            raise Violation("L1", f"{meta['namespace']}/{meta['name']} tells an untruth for a minute: {after}")


def _asks(obj: Object) -> bool:
    """Say whether only EKS itself can judge the object's input, so that it is asked again and again."""
    spec = obj["spec"] if isinstance(obj.get("spec"), dict) else {}
    only_eks_knows = role_in(spec, "any").endswith(":role/fargate-only-eks-knows")
    return only_eks_knows and ready_of(obj)["reason"] == "RoleNotTrusted"


def _is_orphan(checker: Checker, stored: Stored) -> bool:
    made = checker.made.get(stored.body["fargateProfileArn"])
    if made is None or made.kept or made.excuse:
        return False
    return checker.world.api.peek(PLURAL, *made.key) is None


def _stranded(world: World) -> list[str]:
    """Complain of pods that may be evicted and were not, and of pods that have not come to rest."""
    if not world.pods:
        return []
    last = max((each.settles_at for each in world.checker.profiles()), default=0.0)  # then its pods are looked at
    quiet = min(world.clock.elapsed - world.pods.changed_at, world.clock.time() - last)
    waits = [f"pod {name} is stranded, and may be evicted" for name in world.evictable()]
    return waits or (["pods have just changed"] if quiet < max(QUIET_SECONDS, 4 * world.resync_seconds) else [])


def _uncounted(world: World) -> list[str]:
    """Complain of profiles that a set-back API server has left without an object, and that are not counted."""
    cluster = world.processes[0].cluster
    lost = [
        each.name
        for each in world.checker.profiles()
        if world.checker.label(each.body) == cluster and _is_lost(world.checker, each)
    ]
    counted = max(each.tally()[cluster].orphans if cluster in each.tally() else 0 for each in world.processes)
    return [f"of the profiles {lost}, which have no object, {counted} are counted"] if counted < len(lost) else []


def _is_lost(checker: Checker, stored: Stored) -> bool:
    made, tags = checker.made.get(stored.body["fargateProfileArn"]), stored.body["tags"]
    if made is None or made.excuse != SET_BACK or not owner_tags(made.key).items() <= tags.items():
        return False
    return checker.world.api.peek(PLURAL, *made.key) is None


def _complaint(world: World, obj: Object) -> str:
    ready, wanted = ready_of(obj), {world.expects} if world.expects else expected(world, obj)
    if not wanted:
        return f"it should be gone, and says {ready.get('reason')}: {ready.get('message')}"
    if ready.get("observedGeneration") != obj["metadata"]["generation"]:
        return "its status is not of its generation"
    if ready["reason"] not in wanted:
        return f"reason {ready['reason']}, expected {' or '.join(sorted(wanted))}: {ready['message']}"
    if (ready["status"] == "True") != (ready["reason"] == "Active"):
        return f"{ready['reason']}, and Ready is {ready['status']}"
    return _wrong_profile(world, obj) if ready["reason"] == "Active" else ""


def expected(world: World, obj: Object) -> set[str]:
    """Return the reasons with which this object may rest in this world; empty if it has to be gone."""
    spec, own = obj.get("spec"), _own(world, obj)
    fields = spec if isinstance(spec, dict) else {}
    if out_of_reach := _out_of_reach(world, obj):
        return {out_of_reach}
    if "deletionTimestamp" in obj["metadata"]:
        return _holds(world, obj, own)
    if fields.get("suspend") is True:
        return {"Suspended"}
    if not valid(obj):
        return {"InvalidSpec"}
    return _of_profiles(world, obj, own) if own else _denied(world, obj) or _of_a_new_one(world, obj)


def _of_profiles(world: World, obj: Object, own: list[Stored]) -> set[str]:
    """Return the reasons of an object that has profiles; a default that has changed since counts for or against it."""
    spec, account, wanted = obj["spec"], _account(world, obj), _wanted(world, obj)
    if any(meets(wanted, each.body, account) for each in own):
        unknown = len(own) > 1 and not _known(wanted, account)
        return {"Active", "NoSubnetMatches"} if unknown else {"Active"}
    refuses, against = spec.get("updatePolicy", "Refuse") == "Refuse", _against(world, obj, wanted)
    edited = {"ImmutableField"} if refuses else against or {"Active"}
    kept = any(meets(spec, each.body, account) and not world.checker.is_held(obj, each.body) for each in own)
    return edited | {"Active"} if kept else edited


def _of_a_new_one(world: World, obj: Object) -> set[str]:
    """Return the reasons of an object that has no profile yet."""
    account, wanted, taken = _account(world, obj), _wanted(world, obj), _taken(world, obj)
    if taken and _may_adopt(obj, taken.body):
        said = _said(world, obj)
        fits = _known(said, account) and meets(said, taken.body, account)
        return {"Active"} if fits else {"AdoptMismatch"}
    if _unclear(world, obj):
        return {"NoSubnetMatches"}
    against = _against(world, obj, wanted)
    if taken and role_in(wanted, "any").endswith(":role/fargate-only-eks-knows"):
        against.discard("RoleNotTrusted")  # which EKS would say only after the name is free
    return against or ({"NameTaken"} if taken else {"Active"})


def _account(world: World, obj: Object) -> Memory:
    return world.fleet.holder(_cluster(world, obj) or "")


def _defaults(world: World, obj: Object) -> Defaults:
    return world.fleet.defaults_of(obj, world.fleet.entries(world.processes[0].cluster))


def _wanted(world: World, obj: Object) -> Object:
    """Return what a profile would be made by now: what the object says, and the defaults of now."""
    return completed(obj["spec"], _defaults(world, obj))


def _said(world: World, obj: Object) -> Object:
    """Return by what a profile is judged that is to be taken over."""
    return with_role(obj["spec"], _defaults(world, obj))


def _known(spec: Object, account: Memory) -> bool:
    """Say whether it is known which subnets are meant: terms that match nothing do not say so."""
    return matching_in(spec, account) != set()


def _against(world: World, obj: Object, wanted: Object) -> set[str]:
    """Return what AWS has against what is wanted, and whoever runs the controller."""
    if not _allowed_to(world, obj):
        return {"RoleNotAllowed"}
    return objections(world, _cluster(world, obj) or "", wanted)


def _holds(world: World, obj: Object, own: list[Stored]) -> set[str]:
    """Return the reason for which an object that is deleted waits for somebody, if it does."""
    if retains(obj.get("spec")):
        return {"RetainNotAllowed"} if own and obj["metadata"]["namespace"] not in RETAIN_IN else set()
    if obj["spec"].get("suspend") is True and (own or _from_kopf(world, obj, KOPF_IN)):
        return {"Suspended"}
    if not own and _unclear(world, obj):
        return {"NoSubnetMatches"}
    return {"NameTaken"} if not own and _held_back(world, obj) else set()


def _denied(world: World, obj: Object) -> set[str]:
    """Return what keeps an object from having a profile, whatever AWS says: nothing in most cases."""
    if not role_in(_said(world, obj), "any"):
        return {"InvalidSpec"}
    if not _allowed_to(world, obj):
        return {"RoleNotAllowed"}
    taken = _taken(world, obj)
    adopts = taken is not None and _may_adopt(obj, taken.body)
    return {"NameTaken"} if not adopts and _held_back(world, obj) else set()


def _allowed_to(world: World, obj: Object) -> bool:
    """Say whether an object may have its role, which it may where that is the default."""
    role = role_in(_said(world, obj), "any")
    return _allowed(_said(world, obj)) or role in {"", role_in(with_role({}, _defaults(world, obj)), "any")}


def _own(world: World, obj: Object) -> list[Stored]:
    cluster = _cluster(world, obj)
    return [
        each
        for each in world.checker.profiles()
        if world.checker.label(each.body) == cluster and world.checker.owns(obj, each.body)
    ]


def _cluster(world: World, obj: Object) -> str | None:
    """Return the label of the cluster that an object means, None where it may not."""
    return world.fleet.where(obj, world.processes[0].cluster)


def _out_of_reach(world: World, obj: Object) -> str:
    """Return why nothing is done for an object whatever it says, "" where it is."""
    arn, cluster = obj.get("status", {}).get("clusterArn", ""), _cluster(world, obj)
    if cluster is None:
        return "ClusterNotAllowed"
    return "WrongHome" if arn and world.fleet.label_of(arn) != cluster else ""


def _taken(world: World, obj: Object) -> Stored | None:
    place = (_cluster(world, obj), base_of(obj))
    return next(
        (each for each in world.checker.profiles() if (world.checker.label(each.body), each.name) == place), None
    )


def _may_adopt(obj: Object, profile: Object) -> bool:
    asked = obj["spec"].get("adoptionPolicy") == "Adopt" and obj["metadata"]["namespace"] in ADOPTION_IN
    return asked and not owner_tags(("", "")).keys() & profile["tags"].keys() and "FAILED" not in profile["status"]


def _held_back(world: World, obj: Object) -> bool:
    """Say whether kopf's operator may have made its profile, and nobody lets it be taken over."""
    return obj["metadata"]["namespace"] not in KOPF_IN and _from_kopf(world, obj, {obj["metadata"]["namespace"]})


def _from_kopf(world: World, obj: Object, namespaces: Collection[str]) -> bool:
    if obj["metadata"]["namespace"] not in namespaces or not (taken := _looks_made_by_kopf(world, obj)):
        return False
    said, account = _said(world, obj), _account(world, obj)
    return _known(said, account) and meets(said, taken.body, account)


def _unclear(world: World, obj: Object) -> bool:
    """Say whether only its own terms would show whether kopf's operator made a profile for it, and match nothing."""
    taken = _looks_made_by_kopf(world, obj)
    return taken is not None and not _known(_said(world, obj), _account(world, obj))


def _looks_made_by_kopf(world: World, obj: Object) -> Stored | None:
    """Return the profile that kopf's operator may have made for an object, whatever terms match."""
    taken = _taken(world, obj)
    if taken is None or {*owner_tags(("", "")), RETAINED_KEY} & taken.body["tags"].keys() or not valid(obj):
        return None
    return taken if _allowed_to(world, obj) and as_made_by_kopf(obj, taken.body, _said(world, obj)) else None


def _wrong_profile(world: World, obj: Object) -> str:
    own = _own(world, obj)
    if len(own) != 1 or own[0].body["status"] != "ACTIVE":
        return f"Active, and its profiles are {[(each.name, each.body['status']) for each in own]}"
    key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
    foreign = world.checker.foreign.get(own[0].body["fargateProfileArn"], {})
    own_tags, by_default = obj["spec"].get("tags", {}), _defaults(world, obj).tags
    wanted = {**by_default, **foreign, **own_tags, **owner_tags(key)}
    has, forgotten = own[0].body["tags"], own[0].body["fargateProfileArn"] in world.checker.forgotten
    if forgotten:
        has = {name: value for name, value in has.items() if name in wanted or name == RETAINED_KEY}
        wanted |= {name: has[name] for name in by_default.keys() & has.keys() - own_tags.keys()}  # whoever set it
    wrong = "" if has == wanted else f"its tags are {has}, wanted are {wanted}"
    return wrong or _not_as_wanted(world, obj, own[0].body) or ("" if forgotten else _untold(world, obj, own[0].body))


def _not_as_wanted(world: World, obj: Object, profile: Object) -> str:
    """Complain of a profile that is not as its object says, or as a default that was there all the while."""
    held = world.checker.is_held(obj, profile)
    wanted = _wanted(world, obj) if held else obj["spec"]
    if meets(wanted, profile, _account(world, obj)):
        return ""
    return f"Active, and its profile has {profile['podExecutionRoleArn']}, {profile['selectors']}, {profile['subnets']}"


def _untold(world: World, obj: Object, profile: Object) -> str:
    """Complain where it is not told that a profile is another than the defaults of now would make it, or in vain."""
    conditions = obj["status"]["conditions"]
    told = next((each["message"] for each in conditions if each["type"] == "DefaultsChanged"), "")
    wanted, role = _wanted(world, obj), role_in(_wanted(world, obj), profile["fargateProfileArn"].split(":")[4])
    differs = role != profile["podExecutionRoleArn"] or not meets(wanted, profile, _account(world, obj))
    if bool(told) == differs:
        return ""
    return f"DefaultsChanged says {told or 'nothing'!r}: wanted is {wanted}, it has {role}, {profile['subnets']}"


def _allowed(spec: Object) -> bool:
    return ":role/fargate-" in role_in(spec, "any")


def objections(world: World, label: str, spec: Object) -> set[str]:
    """Return what AWS has against a spec in a cluster, in the README's reasons."""
    account, found = world.fleet.holder(label), set()
    if not role_in(spec, "any"):
        return {"InvalidSpec"}
    if label.partition("@")[0] not in account.clusters:
        return {"ClusterNotFound"}
    matching = matching_in(spec, account)
    if matching is not None and not fit(matching, account):
        found.add("NoSubnetMatches")
    for each in spec.get("subnets") or []:
        subnet = account.subnets.get(each)
        if subnet is None:
            found.add("SubnetNotFound")
        elif subnet.vpc != account.vpc:
            found.add("SubnetOfOtherVpc")
        elif subnet.zone[:-1] != account.region:
            found.add("SubnetUnsupportedZone")
        elif subnet.gateway.startswith("igw-"):
            found.add("SubnetPublic")
    return found | _against_role(account, spec)


def _against_role(account: Memory, spec: Object) -> set[str]:
    role = role_in(spec, account.account)
    kind = next((kind for kind, arn in account.roles.items() if arn == role), None)
    if kind is None:
        return {"RoleNotFound"}
    if kind in {"no-trust", "other-source", "only-eks-knows"}:
        return {"RoleNotTrusted"}
    return {"RoleWithoutPolicy"} if KINDS[kind][1] is None and kind != "inline-policy" else set()


@cache
def _schema() -> Draft202012Validator:
    return Draft202012Validator(_strict(crd_schema()["properties"]["spec"]))


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _strict(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if isinstance(kept.get("pattern"), str):
        kept["pattern"] = kept["pattern"].removesuffix("$") + r"\Z"
    if isinstance(kept.get("properties"), dict):
        kept.setdefault("additionalProperties", False)
    return kept


def valid(obj: Object) -> bool:
    """Say whether crd.yaml would let this object in: its schema, and its CEL rules in Python's words."""
    spec, name = obj.get("spec"), obj["metadata"]["name"]
    if not isinstance(spec, dict) or not _schema().is_valid(spec):
        return False
    if any(pair <= spec.keys() for pair in ({*SUBNETS}, {*ROLES})):
        return False
    profile, tags = spec.get("profileName", name), spec.get("tags", {})
    words = [*tags, *tags.values()]
    return (
        re.fullmatch(r"(?!eks-)[A-Za-z0-9][A-Za-z0-9_-]{0,90}", profile) is not None
        and all(1 <= len(key) <= 128 for key in tags)
        and not any(word.lower().startswith("aws:") for word in words)
        and not RESERVED_KEYS & tags.keys()
        and all(re.fullmatch(LABEL_KEY, key) for each in spec["selectors"] for key in each.get("labels", {}))
        and re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_-]*)?", spec.get("clusterName", "")) is not None
    )
