"""What surrounds a profile, and speaks for or against it: the cluster's kind, subnets and their routes, the pod
execution role, whom it trusts and who knows it, and what EKS finds wrong with a profile that there is.

The picture: `Home` and `Facts` (what AWS says) -> `OBJECTIONS`, for which nothing is made, and `warnings`, with
which it is; of one that is ACTIVE `standing_of` its role, and `unhealthy`; and `unproven`, whether the cluster is the
one that we talk to. All is judged with three values: what may not be read is unknown, and neither for nor against.

Pure: no clock, no call, no log. What it is not: how the facts are read and how long they are believed (lookups').
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, NamedTuple

import yaml

from answers import FARGATE_PRINCIPAL, AwsError
from aws import Profile, ProfileSpec, Term
from facts import ClusterFact, EntryFact, RoleFact, Route, SubnetFact
from patterns import LONGEST_CONDITION, issuer_of, listed, meet, steady, visible

FARGATE_POLICY = "AmazonEKSFargatePodExecutionRolePolicy"


@dataclass(frozen=True)
class Home:
    """Where we look: what an ARN of this cluster starts with, and who we are among controllers."""

    partition: str
    region: str
    account: str
    cluster: str  # EKS's name
    controller: str
    name: str = ""  # by which it is shown, "" for EKS's
    foreign: bool = False  # another cluster than that of the settings, whatever its name
    by_file: bool = False  # it is the clusters file that tells where it is

    @property
    def shown(self) -> str:
        return self.name or self.cluster

    @property
    def told_by(self) -> str:
        """What is to be corrected where it is elsewhere."""
        return "the cluster's entry in the clusters file" if self.by_file else "the operator's cluster or region"

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


class Network(NamedTuple):
    """The subnets of a cluster's VPC with their tags; None = they may not be read, or that failed: `error`."""

    subnets: Mapping[str, SubnetFact] | None
    vpc: str = ""
    at: float = 0.0  # when they were read, monotonic seconds
    error: AwsError | None = None

    def matching(self, term: Term) -> frozenset[str]:
        return frozenset(each for each, fact in (self.subnets or {}).items() if term.meets(each, fact.tags))

    def among(self, terms: Iterable[Term]) -> frozenset[str] | None:
        """Return the subnets that at least one of the terms matches; None = not known."""
        return None if self.subnets is None else frozenset().union(*map(self.matching, terms))


ELSEWHERE = {
    "registered": "is only registered with EKS and runs elsewhere, where there is no Fargate",
    "local": "has its control plane on an Outpost, where there is no Fargate",
}


# Preflight: what AWS would refuse, or accept and then fail. What may not be read is unknown there,
# and no objection. Each check yields pairs of a reason for the condition, and what is wrong and mends it.


def no_such(home: Home) -> str:
    where = f"EKS has no cluster {home.cluster} in {home.region} of account {home.account}"
    return f"{where}: make it, correct {home.told_by}, or make a new object with another spec.clusterName."


def without_fargate(name: str, cluster: ClusterFact | None) -> str:
    """Say that a cluster is of a kind for which there is no Fargate, "" where nothing says so."""
    if not (cluster and cluster.elsewhere):
        return ""
    return f"Cluster {name} {ELSEWHERE[cluster.elsewhere]}: make a new object with another spec.clusterName."


def no_cluster(home: Home, found: bool, _spec: ProfileSpec, _name: str, facts: Facts) -> Iterator[tuple[str, str]]:
    if not found or (facts.cluster and not facts.cluster.found):
        yield "ClusterNotFound", no_such(home)
    elif text := without_fargate(home.shown, facts.cluster):
        yield "ClusterWithoutFargate", text
    elif facts.cluster and facts.cluster.status != "ACTIVE":
        text = f"Cluster {home.shown} is {facts.cluster.status}: it goes on when that is ACTIVE."
        yield "ClusterNotActive", text


def wrong_subnets(home: Home, _found: bool, spec: ProfileSpec, _name: str, facts: Facts) -> Iterator[tuple[str, str]]:
    vpc = facts.cluster.vpc if facts.cluster else ""
    named = {} if spec.terms else facts.subnets  # of what terms match the wrong ones are left out
    for name, subnet in named.items():
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
    role, where = facts.role, f"{spec.role_by}: {spec.role}"
    if not role:
        return
    if not role.found or role.arn != spec.role:
        there = f" (the role of that name is {role.arn})" if role.found else ""
        ours = spec.role.split(":")[4] == home.account
        way = "make the role or" if ours else "EKS takes roles of its own account only;"
        given = GIVEN.get(spec.role_by, "the default")
        text = f"{where} does not exist in account {home.account}{there}: {way} correct {given}."
        yield "RoleNotFound", text
        return
    caller = home.caller(name)
    trust = judge_trust(role.trust, caller)
    if trust.allows is False:
        yield "RoleNotTrusted", f"{where} can't be assumed by Fargate: {mend_trust(name, trust, caller)}."
    if role.policies is not None and not role.policies:
        yield "RoleWithoutPolicy", f"{where} has no policy at all: attach {FARGATE_POLICY}."


GIVEN = {"spec.podExecutionRoleArn": "the ARN", "spec.podExecutionRoleName": "the name"}


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


# What terms choose


def chosen(home: Home, spec: ProfileSpec, facts: Facts) -> frozenset[str]:
    """Return those of the subnets that the terms match which a profile can have."""
    vpc = facts.cluster.vpc if facts.cluster else ""
    known = {each: facts.subnets.get(each) for each in spec.among or ()}
    fits = (each for each, fact in known.items() if fact and fact.found and not [*wrong_subnet(home, each, fact, vpc)])
    return frozenset(fits)


def unmatched(spec: ProfileSpec, network: Network, left_out: Mapping[str, str]) -> str:
    """Say what each term has found, and why that is `left_out`; or why it is not known what they match."""
    if network.subnets is None:
        if network.error:
            return f"what {spec.subnets_by} match is not known: {steady(str(network.error)).rstrip('. ')}"
        mend = "let the operator's IAM role call eks:DescribeCluster and ec2:DescribeSubnets"
        return f"what {spec.subnets_by} match may not be read: {mend}"
    found = ((term, sorted(network.matching(term))) for term in spec.terms)
    told = [f"{term} finds {_left_out(ids, left_out) if ids else 'nothing'}" for term, ids in found]
    where = f"of the {len(network.subnets)} subnets of {network.vpc or 'the VPC'}"
    return f"{spec.subnets_by}: {where}, {listed(told, '; ', LONGEST_CONDITION)}"


def _left_out(ids: Iterable[str], why: Mapping[str, str]) -> str:
    told = [f"{each} ({why[each]})" if each in why else each for each in ids]
    return listed(told, ", ", LONGEST_CONDITION)


LEFT_OUT = {
    "SubnetOfOtherVpc": "of another VPC",
    "SubnetPublic": "public",
    "SubnetUnsupportedZone": "in a zone without Fargate",
}


def no_subnet_matches(home: Home, spec: ProfileSpec, network: Network, facts: Facts) -> str:
    """Say why no subnet can be chosen for a profile, and what would mend that; "" where one can."""
    if chosen(home, spec, facts):
        return ""
    vpc = facts.cluster.vpc if facts.cluster else ""
    pairs = ((each, [*wrong_subnet(home, each, fact, vpc)]) for each, fact in facts.subnets.items() if fact)
    why = {each: listed([LEFT_OUT[reason] for reason, _ in wrong]) for each, wrong in pairs if wrong}
    text = unmatched(spec, network, why)
    if network.subnets is None:
        return f"{text}."
    by = spec.subnets_by.removeprefix("spec.")
    return f"{text}. To mend it, tag a private subnet of the VPC so that a term matches it, or correct {by}."


def warnings(spec: ProfileSpec, facts: Facts | None) -> Iterator[tuple[str, str]]:
    """Yield what is unusual about a profile that is to be made but may be meant; each names its event."""
    policies = facts.role.policies if facts and facts.role else None
    if policies and FARGATE_POLICY not in policies:
        mend = "pods start only if its other policies let them pull images"
        yield "RolePolicyMissing", f"{spec.role} does not have {FARGATE_POLICY}: {mend}."
    if facts:
        yield from poor_subnets(facts, spec.subnets_by)


def poor_subnets(facts: Facts, given_by: str = "spec.subnets") -> Iterator[tuple[str, str]]:
    """Yield why pods may not start in subnets that EKS takes, a warning for each reason; unknown is none."""
    known = {name: subnet for name, subnet in facts.subnets.items() if subnet}
    found = {(wrong_way_out(subnet, facts.cluster), name) for name, subnet in known.items()}
    found |= {("SubnetFull", name) for name, subnet in known.items() if subnet.free == 0}
    for reason, text in SUBNETS.items():
        if names := sorted(name for what, name in found if what == reason):
            yield reason, f"{given_by}: {text.format(listed(names, most=LONGEST_CONDITION))}."


SUBNETS = {
    "SubnetFull": "no free address in {}, and each pod takes one: no more can start there until some are freed. "
    "The pods of a profile that this one replaces may be what fills it; else take further subnets",
    "SubnetWithoutWayOut": "no route leads out of the VPC from {}: pods can pull no image there, unless by VPC "
    "endpoints (ecr.api, ecr.dkr, s3, sts, logs). Route to a NAT gateway, or have these",
    "WayOutDead": "the default route of {} leads to something that is gone (a blackhole): pods can pull no image "
    "there. Route to a NAT gateway that exists",
}


def wrong_way_out(subnet: SubnetFact, cluster: ClusterFact | None) -> str:
    """Return the warning about a subnet's way out; "" where it has one, and where that can't be said from here."""
    leads_out, routes = has_way_out(subnet, cluster), subnet.routes or ()
    if leads_out:
        return ""
    defaults = {"0.0.0.0/0", "::/0"} if cluster and cluster.ipv6 else {"0.0.0.0/0"}
    if any(each.state == "blackhole" and each.to in defaults for each in routes):
        return "WayOutDead"
    return "SubnetWithoutWayOut" if leads_out is False else ""


def has_way_out(subnet: SubnetFact, cluster: ClusterFact | None) -> bool | None:
    """Say whether a route leads from a subnet to AWS; None where that hangs on endpoints or a proxy, or is not read."""
    routes = [each for each in subnet.routes or () if each.by != "local"]
    return _any(_leads_out(each, cluster) for each in routes) if subnet.routes else None


def _leads_out(route: Route, cluster: ClusterFact | None) -> bool | None:
    """Say whether pods reach AWS by a route; by peering or a gateway endpoint they need endpoints or a proxy beside."""
    if route.state == "blackhole":
        return False
    to_an_endpoint = route.by.startswith("vpce-") and route.to.startswith("pl-")
    if not route.active or to_an_endpoint or route.by.startswith("pcx-"):
        return None
    if route.by.startswith("eigw-"):  # of IPv6 alone
        return cluster.ipv6 if cluster else None
    return True


# Whether a cluster knows the role of a profile: else none of its pods can start, and EKS says nothing.

FARGATE_ENTRY = "FARGATE_LINUX"


class Standing(Enum):
    """How a role stands with a cluster."""

    KNOWN = "known"
    ABSENT = "absent"
    DEAD = "dead"  # the access entry was made for a role that had this name before
    UNKNOWN = "unknown"


def standing_of(
    cluster: ClusterFact, arn: str, entry: EntryFact | None, role: RoleFact | None, mapped: bool | None
) -> Standing:
    """Say whether a cluster knows a role. `mapped`: aws-auth has it; None = that was not read, as with the others."""
    if entry is None or cluster.mode not in ENTRY_MODES:
        return Standing.UNKNOWN
    if not entry.found:
        mapped = False if cluster.mode == "API" else mapped
        return {True: Standing.KNOWN, False: Standing.ABSENT, None: Standing.UNKNOWN}[mapped]
    if entry.kind != FARGATE_ENTRY:
        return Standing.UNKNOWN
    asked = role and role.arn == arn  # it is asked for by its name, and another path makes it another role
    made, entered = role.created_at if role and asked else None, entry.created_at
    if not (made and entered):
        return Standing.UNKNOWN
    return Standing.DEAD if entered < made else Standing.KNOWN


ENTRY_MODES = {"API", "API_AND_CONFIG_MAP"}


MOST_OF_AWS_AUTH = 200_000  # characters that are read


def mapped_roles(aws_auth: Mapping[str, Any] | None) -> frozenset[str] | None:
    """Return the roles that the ConfigMap aws-auth has, for `maps_role`; None where that can't be read.

    Whoever may write it may write anything: nothing is made of its YAML but texts, lists and mappings.
    """
    if aws_auth is None:
        return None
    try:
        text = (aws_auth.get("data") or {}).get("mapRoles") or "[]"
        listing = yaml.load(text, yaml.BaseLoader) if len(text) <= MOST_OF_AWS_AUTH else None  # noqa: S506
    except (yaml.YAMLError, AttributeError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    if not isinstance(listing, list) or not all(isinstance(each, dict) and "<<" not in each for each in listing):
        return None  # what is merged by << the loader does not say
    arns = (each.get("rolearn") for each in listing)
    return frozenset(_as_mapped(each) for each in arns if isinstance(each, str))


def maps_role(mapped: frozenset[str] | None, role: str) -> bool | None:
    """Say whether a role is among those of aws-auth, which knows it without its path and in whatever letters."""
    return None if mapped is None else _as_mapped(role) in mapped


def _as_mapped(arn: str) -> str:
    head, _, rest = arn.partition(":role/")
    return f"{head}:role/{rest.rpartition('/')[2]}".lower()


def left_open(cluster: ClusterFact | None, entry: EntryFact | None) -> frozenset[Standing]:
    """Return which alarms may still be right after a look that has not shown how a role stands."""
    if not cluster or (entry is None and cluster.mode in ENTRY_MODES):
        return frozenset(ALARMS)
    if entry is None or cluster.mode not in ENTRY_MODES:
        return frozenset()
    if not entry.found:
        return frozenset({Standing.ABSENT})
    return frozenset({Standing.DEAD} if entry.kind == FARGATE_ENTRY else ())


ALARMS = {
    Standing.ABSENT: "no access entry",
    Standing.DEAD: "the access entry is older than the role, thus of one that is gone",
}


def unknown_role(home: Home, role: str, standing: Standing, mode: str) -> str:
    """Say that a cluster does not know a role, with the command that mends it; "" where nothing says so."""
    if standing not in ALARMS:
        return ""
    which = f"--region {home.region} --cluster-name {home.cluster} --principal-arn {role}"
    mend = f"aws eks create-access-entry {which} --type {FARGATE_ENTRY}"
    if standing is Standing.DEAD:
        mend = f"aws eks delete-access-entry {which} && {mend}"
    neither = ", nor a place in aws-auth" if standing is Standing.ABSENT and mode != "API" else ""
    return f"{_said_of(home, role, standing)}{neither}), so no pod can start. To mend it: {mend}"


def told_of(home: Home, role: str, note: str) -> Standing | None:
    """Return what `unknown_role` has told of this very role in a note."""
    return next((each for each in ALARMS if note.startswith(_said_of(home, role, each))), None)


def _said_of(home: Home, role: str, standing: Standing) -> str:
    return f"Cluster {home.cluster} does not know the role {role} ({ALARMS[standing]}"


# What EKS finds wrong with a profile that is ACTIVE all the same, by its codes.

MENDS = {
    "PodExecutionRoleAlreadyInUse": "take a role of its own for Fargate, which no EC2 nodes have",
    "AccessDenied": "let the role, or the cluster's own one, do what EKS names",
    "ClusterUnreachable": "look at the cluster's health, its endpoint and its security groups",
    "InternalFailure": "wait, it is AWS's own; if it lasts, ask AWS's support",
}


def unhealthy(profile: Profile | None) -> str:
    """Say what EKS finds wrong with an ACTIVE profile, in its words, each with what mends it; "" for nothing."""
    if not (profile and profile.active):
        return ""
    told = (f"{each.code}: {steady(each.message).rstrip('. ')}" for each in profile.health)
    mends = (f" (to mend it, {MENDS[each.code]})" if each.code in MENDS else "" for each in profile.health)
    issues = [f"{what}{mend}." for what, mend in zip(told, mends, strict=True)]
    return f"EKS finds profile {profile.name} unhealthy: {listed(issues, ' ')}" if issues else ""


LONG_CREATING = timedelta(minutes=15)  # containers-roadmap#1211, as the next
LONG_DELETING = timedelta(minutes=45)


def unusually_long(status: str, lasts: timedelta) -> str:
    """Say where to look if EKS is at it for longer than it usually takes, "" otherwise."""
    if status == "CREATING" and lasts > LONG_CREATING:
        return " That takes unusually long (over 15 min): look at the cluster's health in EKS."
    if status == "DELETING" and lasts > LONG_DELETING:
        return " That takes unusually long (over 45 min): look for pods on Fargate that do not end."
    return ""


# Whether the EKS cluster is the Kubernetes cluster that we talk to


def elsewhere(home: Home, authority: str, cluster: ClusterFact | None) -> str:
    """Say that the controller's own EKS cluster is not the Kubernetes cluster of the objects.

    `authority` is that of the objects' API server. "" where the two have a certificate in common,
    and where nothing is known of one of them.
    """
    theirs = certificates(cluster.authority) if cluster else frozenset()
    ours = certificates(authority)
    if not theirs or not ours or theirs & ours:
        return ""
    what = f"EKS cluster {home.cluster} in {home.region} is not the Kubernetes cluster that the objects are in"
    why = "EKS names another certificate authority for it than the API server has"
    mend = "correct the operator's cluster, region or kubeconfig; or set --cluster-is-elsewhere"
    meant = "if another cluster is meant, or the API server is reached through a proxy with certificates of its own"
    return f"{what}, whose pods do not run on its profiles: {why}. To mend it, {mend} {meant}."


def unproven(authority: str, cluster: ClusterFact | None, *, verified: bool, token: str = "") -> str:
    """Say why it is not known whether an EKS cluster is the Kubernetes cluster that we talk to; "" if it is proven.

    `authority` is that of our API server, `verified` says whether it had to show a certificate that is checked, and
    `token` is ours, if it has taken one: it takes those of its own cluster's issuer. Names prove nothing: two clusters
    may have the same. Nor do other certificates prove that it is another one: a proxy may stand in between.
    """
    if not verified:
        return "the API server need not show a certificate, or none that is checked"
    if cluster is None:
        return "EKS may not be asked how it is known (eks:DescribeCluster)"
    ours, theirs = certificates(authority), certificates(cluster.authority)
    if ours & theirs or (cluster.issuer and issuer_of(token) == cluster.issuer):
        return ""
    if not ours or not theirs:
        who = "EKS does not say" if not theirs else "nothing here says"
        return f"{who} by which certificates the API server is known, and no token of ours is by the cluster's issuer"
    return (
        "the API server is known by other certificates than those that EKS names, and no token of ours is by its issuer"
    )


CERTIFICATE = re.compile(rb"(?s)-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----")


def certificates(bundle: str) -> frozenset[bytes]:
    """Return the certificates of a bundle, which is PEM in base64, as DER; none of what can't be read."""
    try:
        return frozenset(map(b64decode, CERTIFICATE.findall(b64decode(bundle))))
    except ValueError:
        return frozenset()


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


# Policies of IAM that say what a role may do, with the same three values


def permits(policies: Iterable[Any], action: str) -> bool | None:
    """Say whether policies allow an action on everything: of one on some things only, nothing is known here."""
    statements = [each for policy in policies for each in _statements(policy)]
    denied, allowed = (_any(_gives(each, effect, action) for each in statements) for effect in ("Deny", "Allow"))
    if denied or allowed is False:
        return False
    return allowed if denied is False else None


def _statements(document: Any) -> list[Any]:
    return _many(document.get("Statement") if isinstance(document, dict) else None)


def _gives(statement: Any, effect: str, action: str) -> bool | None:
    """Say whether a statement has this effect on an action, whatever that is done to."""
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        return None
    if statement["Effect"] != effect:
        return False
    actions = _many(statement.get("Action"))
    about = _any(_like(each.lower(), action.lower()) if isinstance(each, str) else None for each in actions)
    alone = statement.keys() <= {"Sid", "Effect", "Action", "Resource"}  # else conditions, NotAction, NotResource
    all_of_it = rf"\*|arn:[^:]*:{action.partition(':')[0]}:\*:\*:\*"
    on_all = any(re.fullmatch(all_of_it, str(each)) for each in _many(statement.get("Resource")))
    return about and (True if alone and on_all else None)
