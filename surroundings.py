"""What surrounds a profile, and speaks for or against it: the cluster's kind, subnets and their routes, the pod
execution role and whom it trusts.

The picture: `Home` and `Facts` (what AWS says) -> `OBJECTIONS`, for which nothing is made, and `warnings`, with
which it is. A trust policy is judged as IAM judges it, with three values: what may not be read, and what can't be
said from here, is unknown, and neither.

Pure: no clock, no call, no log. What it is not: how the facts are read and how long they are believed (clusters').
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aws import FARGATE_POLICY, FARGATE_PRINCIPAL, ClusterFact, ProfileSpec, RoleFact, SubnetFact
from patterns import LONGEST_CONDITION, listed, meet, visible


@dataclass(frozen=True)
class Home:
    """Where we look: what an ARN of this cluster starts with, and who we are among controllers."""

    partition: str
    region: str
    account: str
    cluster: str
    controller: str

    @property
    def cluster_arn(self) -> str:
        return f"arn:{self.partition}:eks:{self.region}:{self.account}:cluster/{self.cluster}"

    def caller(self, name: str) -> Caller:
        """Return who asks to assume the role of a profile of this name."""
        source = f"arn:{self.partition}:eks:{self.region}:{self.account}:fargateprofile/{self.cluster}/{name}/"
        return Caller(FARGATE_PRINCIPAL, self.account, source)


@dataclass(frozen=True)
class Facts:
    """What AWS says about the things that a spec names; None = unknown, because it may not be read."""

    cluster: ClusterFact | None
    subnets: Mapping[str, SubnetFact | None]
    role: RoleFact | None


# Preflight: what AWS would refuse, or accept and then fail. What may not be read is unknown there,
# and no objection. Each check yields pairs of a reason for the condition, and what is wrong and mends it.


def no_such(home: Home) -> str:
    where = f"EKS has no cluster {home.cluster} in {home.region} of account {home.account}"
    mend = "make it, correct the controller's cluster or region, or make a new object"
    return f"{where}: {mend} with another spec.clusterName."


def no_cluster(home: Home, found: bool, _spec: ProfileSpec, _name: str, facts: Facts) -> Iterator[tuple[str, str]]:
    if not found or (facts.cluster and not facts.cluster.found):
        yield "ClusterNotFound", no_such(home)
    elif facts.cluster and facts.cluster.status != "ACTIVE":
        text = f"Cluster {home.cluster} is {facts.cluster.status}: it goes on when that is ACTIVE."
        yield "ClusterNotActive", text


def wrong_subnets(home: Home, _found: bool, _spec: ProfileSpec, _name: str, facts: Facts) -> Iterator[tuple[str, str]]:
    vpc = facts.cluster.vpc if facts.cluster else ""
    for name, subnet in facts.subnets.items():
        where = f"spec.subnets: {name}"
        if subnet and not subnet.found:
            text = f"{where} does not exist in {home.region}: correct or remove it."
            yield "SubnetNotFound", text
        elif subnet:
            yield from wrong_subnet(home, where, subnet, vpc)


def wrong_subnet(home: Home, where: str, subnet: SubnetFact, vpc: str) -> Iterator[tuple[str, str]]:
    if vpc and subnet.vpc != vpc:
        text = f"{where} is in {subnet.vpc}, the cluster in {vpc}: take a subnet of the cluster's VPC."
        yield "SubnetOfOtherVpc", text
    if subnet.public:
        mend = "Fargate takes private ones only; take one that routes to a NAT gateway, or nowhere"
        yield "SubnetPublic", f"{where} routes to an internet gateway: {mend}."
    # An ordinary zone is named as its region and a letter; Local and Wavelength Zones have longer
    # names.
    if subnet.outpost or subnet.zone[:-1] != home.region:
        place = subnet.outpost or f"zone {subnet.zone}"
        mend = "Fargate has no place in Outposts, Local and Wavelength Zones; take another subnet"
        yield "SubnetUnsupportedZone", f"{where} is in {place}: {mend}."


def wrong_role(home: Home, _found: bool, spec: ProfileSpec, name: str, facts: Facts) -> Iterator[tuple[str, str]]:
    role, where = facts.role, f"spec.podExecutionRoleArn: {spec.role}"
    if not role:
        return
    if not role.found or role.arn != spec.role:
        there = f" (the role of that name is {role.arn})" if role.found else ""
        ours = spec.role.split(":")[4] == home.account
        way = "make the role or" if ours else "EKS takes roles of its own account only;"
        text = f"{where} does not exist in account {home.account}{there}: {way} correct the ARN."
        yield "RoleNotFound", text
        return
    caller = home.caller(name)
    trust = judge_trust(role.trust, caller)
    if trust.allows is False:
        yield "RoleNotTrusted", f"{where} can't be assumed by Fargate: {mend_trust(name, trust, caller)}."
    if role.policies is not None and not role.policies:
        yield "RoleWithoutPolicy", f"{where} has no policy at all: attach {FARGATE_POLICY}."


def mend_trust(name: str, trust: Trust, caller: Caller) -> str:
    """Say what keeps Fargate from assuming the role of a profile of this name, and what would not."""
    what = f"{caller.service} sts:AssumeRole"
    if trust.denied:
        return f"take the statement out of its trust policy that denies {what}"
    if not trust.in_the_way:
        return f"let its trust policy allow {what}"
    unmet = listed([*map(str, trust.in_the_way)], " and ", LONGEST_CONDITION)
    return f"of profile {name} its trust policy demands {unmet}; what would do is {caller.passes}"


OBJECTIONS = (no_cluster, wrong_subnets, wrong_role)


def warnings(spec: ProfileSpec, facts: Facts | None) -> Iterator[tuple[str, str]]:
    """Yield what is unusual about a profile that is to be made but may be meant; each names its event."""
    policies = facts.role.policies if facts and facts.role else None
    if policies and FARGATE_POLICY not in policies:
        mend = "pods start only if its other policies let them pull images"
        yield "RolePolicyMissing", f"{spec.role} does not have {FARGATE_POLICY}: {mend}."


# Trust policies of IAM. Judged with three values: True, False, and None for what can't be said from here,
# since a check is never stricter than AWS itself.

_UUID = "????????-????-????-????-????????????"  # that EKS makes up for each profile: its ARN ends so
_NO_LETTER = "\uffff"  # no document has it, nor any ARN
_ARN_PARTS = 6
_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Condition"}


class Caller(NamedTuple):
    """Who asks to assume a role: a service, for a profile that is to be made; `source` is its ARN up to the UUID."""

    service: str
    account: str
    source: str

    def asks_by(self, key: str) -> str | None:
        """Return what a condition's key is compared with; ? stands for what is not known yet."""
        return {"aws:sourcearn": self.source + _UUID, "aws:sourceaccount": self.account}.get(key.lower())

    @property
    def passes(self) -> str:
        """Return the condition that would do, for every profile of the cluster: it is the one that AWS recommends."""
        cluster = self.source.rstrip("/").rpartition("/")[0]
        return f'ArnLike aws:SourceArn "{cluster}/*"'


class Condition(NamedTuple):
    operator: str
    key: str
    values: Any

    def __str__(self) -> str:
        values = [f'"{visible(str(each))}"' for each in _many(self.values)]
        return f"{self.operator} {self.key} {listed(values, ' or ', LONGEST_CONDITION)}"


class Trust(NamedTuple):
    """Whether a role may be assumed. Of a no: whether a statement denies it, or which conditions are in the way."""

    allows: bool | None
    denied: bool = False
    in_the_way: tuple[Condition, ...] = ()


def judge_trust(document: Any, caller: Caller) -> Trust:
    """Say whether a trust policy lets a service assume the role with sts:AssumeRole, as IAM judges it."""
    statements = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list):
        return Trust(None)
    denied = _any(_applies(each, "Deny", caller) for each in statements)
    if denied:
        return Trust(False, denied=True)
    allowed = _any(_applies(each, "Allow", caller) for each in statements)
    if allowed is False:
        ways = (_in_the_way(each, caller) for each in statements if each["Effect"] == "Allow")
        return Trust(False, in_the_way=next(filter(None, ways), ()))
    return Trust(allowed if denied is False else None)


def _applies(statement: Any, effect: str, caller: Caller) -> bool | None:
    """Say whether a statement has this effect on the caller."""
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        return None
    if statement["Effect"] != effect:
        return False
    known = None if statement.keys() - _ELEMENTS else True  # NotPrincipal, NotAction, and what is misspelt
    return _all([known, _concerns(statement, caller), *(_holds(each, caller) for each in _conditions(statement))])


def _in_the_way(statement: dict[str, Any], caller: Caller) -> tuple[Condition, ...]:
    """Return the conditions alone for which a statement does not apply."""
    if _concerns(statement, caller) is False:
        return ()
    return tuple(each for each in _conditions(statement) if _holds(each, caller) is False)


def _concerns(statement: dict[str, Any], caller: Caller) -> bool | None:
    principal = statement.get("Principal")
    if not isinstance(principal, dict) or not principal:  # "*" too: whether that is a service, nobody says
        return None
    named = ((kind, each) for kind, names in principal.items() for each in _many(names))
    assumes = (_is_assume_role(each) for each in _many(statement.get("Action")))
    return _all([_any(_is(kind, each, caller.service) for kind, each in named), _any(assumes)])


def _is(kind: str, name: Any, service: str) -> bool | None:
    if not isinstance(name, str) or not name.strip("*"):
        return None
    if kind != "Service":
        return False if kind in {"AWS", "Federated", "CanonicalUser"} else None
    if name == service:
        return True
    # Of the same service: in other letters, with a region, of another partition.
    alike = name.lower().startswith(service.partition(".")[0])
    return None if alike or not {"*", "?"}.isdisjoint(name) else False


def _is_assume_role(action: Any) -> bool | None:
    return _like(action.lower(), "sts:assumerole") if isinstance(action, str) else None


def _conditions(statement: dict[str, Any]) -> list[Condition]:
    """Return what must hold for a statement, one for each key; where that can't be read, one that nobody knows."""
    block, unknown = statement.get("Condition", {}), {"": None}
    if not isinstance(block, dict):
        return [Condition("", "", None)]
    keys = {operator: each if isinstance(each, dict) and each else unknown for operator, each in block.items()}
    return [Condition(operator, key, values) for operator, each in keys.items() for key, values in each.items()]


def _holds(condition: Condition, caller: Caller) -> bool | None:
    fits = _OPERATORS.get(condition.operator.removesuffix("IfExists"))
    asked = caller.asks_by(condition.key)
    if fits is None or asked is None:
        return None
    values = _many(condition.values)
    holds = _any(fits(each, asked) if isinstance(each, str) and "${" not in each else None for each in values)
    if condition.key.lower() != "aws:sourceaccount":
        return holds
    # Nobody says that EKS sends it: without it what is asked for does not hold, and ...IfExists does.
    return (holds or None) if condition.operator.endswith("IfExists") else (holds and None)


def _like(pattern: str, asked: str) -> bool | None:
    """Say whether a pattern matches what is asked; None where that hangs on what is not known yet of it."""
    pattern = re.sub(r"\*+", "*", pattern)
    if len(pattern.replace("*", "")) > len(asked) or not meet(pattern, asked, len(asked)):
        return False
    # If it matches with letters that it does not have, it does so with all.
    return meet(pattern, asked.replace("?", _NO_LETTER), len(asked)) or None


def _equal(text: str, asked: str) -> bool | None:
    return _like(text, asked) if {"*", "?"}.isdisjoint(text) else False  # which are letters here, and in no ARN


def _arn_like(pattern: str, asked: str) -> bool | None:
    """Say the same of two ARNs, each of whose six parts is matched alone; of anything shorter nothing is known."""
    parts, of_asked = pattern.split(":", 5), asked.split(":", 5)
    return _all(map(_like, parts, of_asked)) if len(parts) == len(of_asked) == _ARN_PARTS else None


# Each also as ...IfExists. All others are unknown: negated ones, those for several values, Null.
_OPERATORS = {"ArnLike": _arn_like, "ArnEquals": _arn_like, "StringLike": _like, "StringEquals": _equal}


def _all(answers: Iterable[bool | None]) -> bool | None:
    seen = {*answers}
    if False in seen:
        return False
    return None if None in seen else True


def _any(answers: Iterable[bool | None]) -> bool | None:
    seen = {*answers}
    if True in seen:
        return True
    return None if None in seen else False


def _many(value: Any) -> list[Any]:
    """Return a value as a list; where there is none, of one that is no text."""
    return (value or [None]) if isinstance(value, list) else [value]
