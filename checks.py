"""What doctor says of a cluster: each check a pure function of what was seen, `Seen` -> `Line`s, and a row of CHECKS.

The rule of the file: what is seen is called for (`seen.pods()`), and raises `Unread` where it could not be read; what
is of a type that Kubernetes has not is `Odd`. Both end in an unknown of that check.

Pure. What it is not: a look at anything; a rule that the controller goes by; stricter than AWS: what is neither
documented nor was seen is unknown here, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import combinations
from typing import Any, Literal, NamedTuple

import pods
from answers import FARGATE_PRINCIPAL
from aws import Profile, ProfileSpec, Read, Selector
from clusters import View
from facts import ClusterFact, EntryFact, SubnetFact
from fluentbit import actions_for, against_rules
from kube import Key, Object
from limits import Settings
from overlaps import share_pods
from patterns import capacity, counted, moment, readable, steady
from pods import Odd, part, read, several, text
from spec import Identity, InvalidSpec, Memory, Resource, controlled_by, is_retained, owner_of
from status import ownerless, stray
from surroundings import (
    ELSEWHERE,
    ENTRY_MODES,
    FARGATE_ENTRY,
    MENDS,
    Facts,
    Home,
    Standing,
    has_way_out,
    judge_trust,
    mapped_roles,
    maps_role,
    permits,
    poor_subnets,
    standing_of,
    unknown_role,
    warnings,
    wrong_role,
    wrong_subnets,
)

Verdict = Literal["ok", "warn", "fail", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("fail", "warn", "unknown", "ok")

MOST_NAMES = 5
WEBHOOK = "0500-amazon-eks-fargate-mutation.amazonaws.com"
COREDNS: Key = ("kube-system", "coredns")
LOGGING: Key = ("aws-observability", "aws-logging")


class Line(NamedTuple):
    """What is said of a check; `unread`: it is unknown because something could not be read."""

    verdict: Verdict
    what: str
    mend: str = ""
    unread: bool = False


class Unread(Exception):
    """Something could not be read; the text says what, why, and which permission it takes."""


# What is read: what it is, and which permission it takes. None of these is in IAMPolicy.json or rbac.yaml for it.
READS: Mapping[str, tuple[str, str]] = {
    "home": ("The account of the AWS credentials", "sts:GetCallerIdentity"),
    "fact": ("The EKS cluster", "eks:DescribeCluster"),
    "view": ("The Fargate profiles", "eks:ListFargateProfiles, eks:DescribeFargateProfile"),
    "facts": ("What the profile names", "eks:DescribeCluster, ec2:DescribeSubnets, ec2:DescribeRouteTables, "
              "iam:GetRole, iam:ListAttachedRolePolicies, iam:ListRolePolicies"),
    "subnets": ("The subnets or their routes", "ec2:DescribeSubnets, ec2:DescribeRouteTables"),
    "role": ("The role or its policies", "iam:GetRole, iam:ListAttachedRolePolicies, iam:ListRolePolicies"),
    "entries": ("The access entry of the role", "eks:DescribeAccessEntry"),
    "aws_auth": ("The ConfigMap aws-auth", "get configmaps aws-auth in kube-system"),
    "dns": ("The DNS attributes of the VPC", "ec2:DescribeVpcAttribute"),
    "policies": ("The policies of the role", "iam:ListRolePolicies, iam:GetRolePolicy, iam:ListAttachedRolePolicies, "
                 "iam:GetPolicy, iam:GetPolicyVersion"),
    "quotas": ("The quota", "servicequotas:GetServiceQuota, servicequotas:GetAWSDefaultServiceQuota"),
    "proof": ("The certificates of the EKS cluster", "eks:DescribeCluster"),
    "objects": ("The FargateProfile objects", "list fargateprofiles"),
    "webhook": ("EKS's webhook", f"get mutatingwebhookconfigurations {WEBHOOK}"),
    "namespaces": ("The namespaces", "list namespaces"),
    "coredns": ("The Deployment of CoreDNS", "get deployments coredns in kube-system"),
    "logging": ("The ConfigMap for logs", "get configmaps aws-logging in aws-observability"),
    "pods": ("The pods on Fargate", "list pods"),
    "nodes": ("The nodes", "list nodes"),
    "lease": ("The operator's Lease", "get leases"),
}  # fmt: skip


def refused(name: str) -> Unread:
    what, needs = READS[name]
    return Unread(f"{what} may not be read: it takes {needs}.")


@dataclass(frozen=True)
class Seen:
    """What was read of a cluster; each `Read` returns it, or raises `Unread`. Some are by profile or role."""

    settings: Settings
    now: datetime
    lease_key: Key
    home: Read[Home]
    fact: Read[ClusterFact]
    view: Read[View]
    facts: Read[dict[str, Read[Facts]]]
    entries: Read[dict[str, Read[EntryFact]]]
    aws_auth: Read[Object]
    dns: Read[dict[str, bool]]
    policies: Read[dict[str, Read[list[Any]]]]
    quotas: Mapping[str, Read[float]]
    objects: Read[list[Object]]
    webhook: Read[Object]
    namespaces: Read[dict[str, Object]]
    coredns: Read[Object]
    logging: Read[Object]
    pods: Read[list[Object]]
    nodes: Read[dict[str, Object]]
    lease: Read[Object]
    cluster: str  # EKS's name
    has: Callable[[Identity], bool]  # whether an object is of this cluster

    @property
    def profiles(self) -> list[Profile]:
        return sorted(self.view().profiles.values(), key=lambda each: each.name)

    @property
    def only_fargate(self) -> bool:
        """Whether no node is there but those of Fargate."""
        return all(
            part(each, "metadata", "labels").get(pods.COMPUTE_TYPE) == "fargate" for each in self.nodes().values()
        )

    @cached_property
    def mapped(self) -> frozenset[str] | None:
        """The roles of aws-auth, None where that can't be read as a list of them."""
        return mapped_roles(self.aws_auth())

    def identity(self, obj: Object) -> Identity:
        return Identity.parse(obj, Memory.parse(obj), self.settings.cluster)

    @property
    def wants(self) -> list[tuple[Identity, Memory, ProfileSpec]]:
        """Return the objects that want a profile in this cluster, but for those that are wrong: they say so."""
        found = []
        for obj in self.objects():
            memory = Memory.parse(obj)
            who = self.identity(obj)
            if self.has(who) and not who.deleting:
                try:
                    found.append((who, memory, Resource.parse(obj).profile))
                except InvalidSpec:
                    continue
        return found


def spec_of(profile: Profile) -> ProfileSpec:
    return ProfileSpec(profile.role, profile.selectors, profile.subnets)


def named(names: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def unseen(seen: Seen) -> Iterator[Line]:
    """Say which profiles a check could not look at: EKS lists them, and does not show them."""
    if hidden := sorted(seen.view().hidden):
        what = f"Of {named(hidden)} nothing can be said: EKS does not show {'them' if len(hidden) > 1 else 'it'}."
        yield Line("unknown", f"{what} It takes {READS['view'][1]}.", unread=True)


def capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


# The checks: profiles and what takes pods to them


def cluster(seen: Seen) -> Iterator[Line]:
    fact = seen.fact()
    if fact.elsewhere:
        yield Line("fail", f"Cluster {seen.cluster} {ELSEWHERE[fact.elsewhere]}.", "Take a cluster of EKS itself.")
    elif fact.status != "ACTIVE":
        mend = "No profile is made or deleted before it is ACTIVE."
        yield Line("warn", f"Cluster {seen.cluster} is {fact.status or 'in no state that EKS says'}.", mend)


def profiles(seen: Seen) -> Iterator[Line]:
    for name, error in seen.view().hidden.items():
        yield Line("unknown", f"Profile {name} can't be seen: {readable(str(error))}", unread=True)
    for each in seen.profiles:
        if each.failed:
            mend = "An object's own is deleted and made again by itself; one without an owner somebody has to delete."
            yield Line("fail", f"Profile {each.name} is {each.status}.", mend)
        for issue in each.health:
            what = f"EKS finds profile {each.name} unhealthy: {issue.code}: {steady(issue.message).rstrip('. ')}."
            yield Line("fail", what, f"{capital(MENDS.get(issue.code, 'mend what EKS names here'))}.")


def webhook(seen: Seen) -> Iterator[Line]:
    """Say whether the webhook is there that gives pods to Fargate: EKS makes it with a cluster's first profile."""
    there = seen.webhook()
    if not there:
        yield without_webhook(seen)
        return
    ours = [each for _, each in several(there, "webhooks") if each.get("name") == WEBHOOK]
    if not ours:
        yield Line("fail", f"The configuration {WEBHOOK} has no webhook of that name: no pod goes to Fargate.", RESTORE)
    for each in ours:
        for what in narrowed(each):
            yield Line("fail", f"EKS's webhook does not see every pod: {what}.", RESTORE)


RESTORE = (
    "Nobody but EKS should write it: take the change back, or have AWS support make it anew. Pods that it did not see "
    "have to be made anew, too."
)


def without_webhook(seen: Seen) -> Line:
    view = seen.view()
    if any(each.active for each in view.profiles.values()):
        return Line("fail", f"There is no webhook {WEBHOOK}: no pod goes to Fargate, whatever its profiles.", RESTORE)
    if view.hidden:
        return Line("unknown", "There is no webhook of EKS, and which profiles are ACTIVE can't be seen.", unread=True)
    return Line("ok", "There is no webhook of EKS yet: it comes with the first ACTIVE profile.")


def narrowed(hook: Object) -> Iterator[str]:
    """Yield what keeps a webhook from seeing pods that are made."""
    for kind in ("namespaceSelector", "objectSelector"):
        if part(hook, kind):
            yield f"it has a {kind}"
    if several(hook, "matchConditions"):
        yield "it has matchConditions"
    if not any(takes_pods(rule) for _, rule in several(hook, "rules")):
        yield "no rule of it is for CREATE of pods"


def takes_pods(rule: Object) -> bool:
    wanted = {"operations": {"CREATE", "*"}, "apiGroups": {"", "*"}, "apiVersions": {"v1", "*"}}
    wanted["resources"] = {"pods", "*", "*/*"}
    asked = {key: {each for each in read(rule, key, list) if isinstance(each, str)} for key in wanted}
    return all(asked[key] & wanted[key] for key in wanted) and rule.get("scope") != "Cluster"


def namespaces(seen: Seen) -> Iterator[Line]:
    """Warn of namespaces that are selected and not there; a pattern is for those to come."""
    there = seen.namespaces()
    selected: dict[str, list[str]] = {}
    for each in seen.profiles:
        for name in {selector.namespace for selector in each.selectors}:
            selected.setdefault(name, []).append(each.name)
    for name in sorted(selected.keys() - there.keys()):
        if not re.search("[*?]", name):
            who = f"profile{'s' if len(selected[name]) > 1 else ''} {named(selected[name])}"
            what = f"There is no namespace {name}, which {who} selects."
            yield Line("warn", what, "Make it, or correct the selector.")
    yield from unseen(seen)


def coredns(seen: Seen) -> Iterator[Line]:
    """Say whether names can be looked up, and whether what serves them can start."""
    there = seen.coredns()
    if not there:
        what = "There is no Deployment kube-system/coredns: EKS Auto Mode runs CoreDNS elsewhere, or it is another DNS."
        yield Line("unknown", what, "See that pods can look up names.")
        return
    ready, wanted = read(part(there, "status"), "readyReplicas", int), part(there, "spec").get("replicas", 1)
    many = f"{ready} of {wanted} replicas of CoreDNS are Ready"
    if ready < 1:
        yield Line("fail", f"No replica of CoreDNS is Ready ({many}): no pod can look up names.", mend_coredns(seen))
        return
    yield Line("ok", f"{many}.")
    if kept_on_ec2(there) and seen.only_fargate:
        what = f"CoreDNS is annotated {pods.COMPUTE_TYPE}: ec2, and there is no node but Fargate's"
        yield Line("warn", f"{what}: its next pods stay Pending.", PATCH_COREDNS)


PATCH_COREDNS = (
    "Once a profile that selects it is ACTIVE: kubectl patch deployment coredns -n kube-system --type json "
    """-p='[{"op": "remove", "path": "/spec/template/metadata/annotations/eks.amazonaws.com~1compute-type"}]'"""
)


def kept_on_ec2(deployment: Object) -> bool:
    annotations = part(deployment, "spec", "template", "metadata", "annotations")
    return annotations.get(pods.COMPUTE_TYPE) == "ec2"


def mend_coredns(seen: Seen) -> str:
    """Say what brings CoreDNS up where it is not; what can't be read is left out."""
    there = seen.coredns()
    look = "See why: kubectl describe pods -n kube-system -l k8s-app=kube-dns."
    try:
        if not seen.only_fargate:
            return look
        if kept_on_ec2(there):
            return f"The cluster has no node but Fargate's, and its annotation keeps it from there. {PATCH_COREDNS}"
        template = part(there, "spec", "template")
        pod = {"metadata": {**part(template, "metadata"), "namespace": COREDNS[0]}, "spec": part(template, "spec")}
        if pods.chosen(pod, seen.profiles, seen.view().hidden).taken == "no":
            return f"Make a profile that selects namespace kube-system, label k8s-app: kube-dns; then: {RESTART}"
    except (Unread, Odd):
        return look
    return f"{look} What was made before its profile was ACTIVE stays Pending: {RESTART}"


RESTART = "kubectl rollout restart deployment coredns -n kube-system"


# The checks: logs


def logging(seen: Seen) -> Iterator[Line]:
    """Say whether Fargate takes the ConfigMap for logs, and whether the roles may write them."""
    there = seen.logging()
    if not there:
        yield Line("ok", "There is no ConfigMap aws-observability/aws-logging: pods on Fargate write no logs.")
        return
    data = data_of(there)
    labels = part(seen.namespaces().get(LOGGING[0], {}), "metadata", "labels")
    if labels.get("aws-observability") != "enabled":
        mend = "kubectl label namespace aws-observability aws-observability=enabled"
        yield Line("fail", "Namespace aws-observability lacks the label aws-observability: enabled.", mend)
    for what, mend in against_rules(data):
        yield Line("fail", f"ConfigMap aws-logging: {what}.", f"{mend}. Pods read it when they start.")
    for role, policies in sorted(seen.policies().items()):
        yield from may_write(role, policies(), actions_for(data))


def data_of(config_map: Object) -> dict[str, str]:
    data = part(config_map, "data")
    return {key: text(data, key, "data.") for key in data}


def may_write(role: str, policies: Sequence[Any], actions: Iterable[str]) -> Iterator[Line]:
    judged = {action: permits(policies, action) for action in actions}
    if missing := [action for action, may in judged.items() if may is False]:
        mend = "Give its policies what is missing, or take the ConfigMap away."
        yield Line("fail", f"Role {role} may not write the logs: no policy of it allows {', '.join(missing)}.", mend)
    elif unsure := [action for action, may in judged.items() if may is None]:
        what = f"Whether role {role} may write the logs can't be said: its policies have conditions or resources for "
        yield Line("unknown", f"{what}{', '.join(unsure)}.", "See in CloudWatch whether logs arrive.")


# The checks: network and roles


def dns(seen: Seen) -> Iterator[Line]:
    """Say whether pods can look up names in the VPC."""
    for name, is_set in seen.dns().items():
        if not is_set:
            flag = "--enable-dns-" + name.removeprefix("enableDns").lower()
            vpc = seen.fact().vpc
            mend = f"aws ec2 modify-vpc-attribute --vpc-id {vpc} {flag}"
            yield Line("fail", f"VPC {vpc} has {name} off: Fargate needs it on.", mend)


def network(seen: Seen) -> Iterator[Line]:
    return for_each(seen, network_of)


def network_of(seen: Seen, profile: Profile) -> Iterator[Line]:
    facts = seen.facts()[profile.name]()
    yield from against(wrong_subnets(seen.home(), True, spec_of(profile), profile.name, facts))
    for _, message in poor_subnets(facts):
        yield Line("warn", message.removeprefix("spec.subnets: "))
    for name, subnet in facts.subnets.items():
        if subnet and subnet.found:
            yield from unsure_of(name, subnet, facts.cluster)
    if facts.cluster is None:
        raise refused("fact")
    if any(each is None or (each.found and each.routes is None) for each in facts.subnets.values()):
        raise refused("subnets")


def unsure_of(name: str, subnet: SubnetFact, cluster: ClusterFact | None) -> Iterator[Line]:
    if subnet.routes and cluster and has_way_out(subnet, cluster) is None:
        what = f"{name} leads out by peering or to gateway endpoints alone."
        yield Line("unknown", what, "See that pods there reach AWS by interface endpoints or a proxy.")
    if subnet.routes == ():
        yield Line("unknown", f"{name} has no route that AWS shows: whether pods there reach AWS can't be said.")
    if subnet.free is None and not subnet.ipv6_only:
        yield Line("unknown", f"How many addresses are free in {name} AWS does not say.")


def roles(seen: Seen) -> Iterator[Line]:
    return for_each(seen, role_of)


def role_of(seen: Seen, profile: Profile) -> Iterator[Line]:
    facts = seen.facts()[profile.name]()
    yield from against(wrong_role(seen.home(), True, spec_of(profile), profile.name, facts))
    for event, message in warnings(spec_of(profile), facts):
        if event == "RolePolicyMissing":
            yield Line("warn", message)
    known = facts.role if facts.role and facts.role.arn == profile.role else None
    if known and judge_trust(known.trust, seen.home().caller(profile.name)).allows is None:
        what = f"Whether Fargate may assume the role {profile.role} can't be said: its trust policy has what is not"
        yield Line("unknown", f"{what} judged here.", f"See that it lets {FARGATE_PRINCIPAL} do sts:AssumeRole.")
    if facts.role is None or (facts.role.found and facts.role.policies is None):
        raise refused("role")


def access(seen: Seen) -> Iterator[Line]:
    return for_each(seen, access_of)


def access_of(seen: Seen, profile: Profile) -> Iterator[Line]:
    """Say whether the cluster knows a profile's role: else none of its pods starts, and EKS says nothing."""
    mode, role = seen.fact().mode, profile.role
    if mode not in ENTRY_MODES:
        yield from without_entries(maps_role(seen.mapped, role), role)
        return
    entry = seen.entries()[role]()
    mapped = maps_role(seen.mapped, role) if mode != "API" and not entry.found else None
    made = seen.facts()[profile.name]().role if entry.found else None
    standing = standing_of(seen.fact(), role, entry, made, mapped)
    if told := unknown_role(seen.home(), role, standing, mode):
        what, _, mend = told.partition(" To mend it: ")
        yield Line("fail", what, mend)
    elif standing is Standing.UNKNOWN:
        why = UNREADABLE if not entry.found else UNDATED
        if entry.found and entry.kind != FARGATE_ENTRY:
            why = f"its access entry is of type {entry.kind}"
        yield Line("unknown", f"Whether the cluster knows the role {role} can't be said: {why}.")


UNREADABLE = "mapRoles of aws-auth is no list in YAML that can be read here"
UNDATED = "it has an access entry, and when that role was made AWS does not say (iam:GetRole)"
MAPPED = "username system:node:{{SessionName}}, groups system:bootstrappers, system:nodes and system:node-proxier"


def without_entries(mapped: bool | None, role: str) -> Iterator[Line]:
    if mapped is False:
        yield Line("warn", f"The ConfigMap aws-auth has no role {role}.", f"Add it to mapRoles, with {MAPPED}.")
    elif mapped is None:
        yield Line("unknown", f"Whether the cluster knows the role {role} can't be said: {UNREADABLE}.")


def for_each(seen: Seen, judge: Callable[[Seen, Profile], Iterator[Line]]) -> Iterator[Line]:
    """Yield what is to be said of profiles, each thing once for all of which it is true."""
    said: dict[Line, list[str]] = {}
    for each in seen.profiles:
        try:
            for line in judge(seen, each):
                said.setdefault(line, []).append(each.name)
        except Unread as unread:
            said.setdefault(Line("unknown", str(unread), unread=True), []).append(each.name)
    for line, names in said.items():
        yield line._replace(what=f"Profile{'s' if len(names) > 1 else ''} {named(names)}: {line.what}")
    yield from unseen(seen)


def against(objections: Iterable[tuple[str, str]]) -> Iterator[Line]:
    """Yield what would be held against a profile if it were to be made now."""
    for _, message in objections:
        what, _, mend = re.sub(r"^spec\.\w+: ", "", message).rpartition(": ")
        yield Line("fail", f"{what}.", capital(mend))


# The checks: pods and nodes


def kubelets(seen: Seen) -> Iterator[Line]:
    """Compare the kubelets of pods with the cluster's version: a pod keeps the one that it started with."""
    version, behind, other, odd = seen.fact().version, list[str](), list[str](), list[str]()
    nodes = seen.nodes()
    for pod in seen.pods():
        node = nodes.get(text(part(pod, "spec"), "nodeName"))
        if not node or not pods.holder(pod):
            continue
        distance = minors_between(text(part(node, "status", "nodeInfo"), "kubeletVersion"), version)
        if distance is None:
            odd.append(name_of(pod))
        elif distance:
            (behind if distance > MOST_BEHIND else other).append(name_of(pod))
    if behind:
        what = f"The kubelets of {named(behind)} are over {MOST_BEHIND} minor versions behind the cluster, {version}."
        yield Line("fail", what, "Make these pods anew: kubectl rollout restart.")
    if odd:
        what = f"The version of the kubelet of {named(odd)} can't be compared with the cluster's"
        yield Line("unknown", f"{what}, {version or 'which EKS does not say'}.")
    if other:
        yield Line("ok", f"The kubelets of {named(other)} have another minor version than the cluster, {version}.")


MOST_BEHIND = 3


def minors_between(kubelet: str, cluster: str) -> int | None:
    """Return by how many minor versions a kubelet is behind the cluster; None where that can't be said."""
    numbers = [re.match(r"v?1\.(\d{1,4})\b", each) for each in (kubelet, cluster)]
    older, newer = numbers
    return int(newer[1]) - int(older[1]) if older and newer else None


def name_of(pod: Object) -> str:
    meta = part(pod, "metadata")
    return f"{text(meta, 'namespace', 'metadata.')}/{text(meta, 'name', 'metadata.')}"


def finished(seen: Seen) -> Iterator[Line]:
    """Warn of pods that have ended: each keeps its node, its address and its bill until it is deleted."""
    ended = [
        name_of(each)
        for each in seen.pods()
        if pods.holder(each) and text(part(each, "status"), "phase") in {"Succeeded", "Failed"}
    ]
    if ended:
        what = f"{counted(len(ended), 'finished pod')} on Fargate: {named(sorted(ended))}."
        mend = "Delete them, and give Jobs ttlSecondsAfterFinished: each keeps its node, its address and its bill."
        yield Line("warn", what, mend)


# The checks: quotas


class Quota(NamedTuple):
    """A quota of AWS: what it bounds, what of it this cluster uses, and what its objects want in all."""

    service: str
    code: str
    what: str
    used: Callable[[Seen], float]
    wanted: Callable[[Seen], float] | None = None


def profiles_wanted(seen: Seen) -> float:
    names = seen.view().names
    return len(names) + sum((memory.profile_name or who.base) not in names for who, memory, _ in seen.wants)


def most_selectors(specs: Iterable[frozenset[Selector]]) -> float:
    return max(map(len, specs), default=0)


def most_pairs(specs: Iterable[frozenset[Selector]]) -> float:
    return max((len(each.labels) for selectors in specs for each in selectors), default=0)


def of_profiles(most: Callable[[Iterable[frozenset[Selector]]], float]) -> Callable[[Seen], float]:
    return lambda seen: most(each.selectors for each in seen.profiles)


def of_objects(most: Callable[[Iterable[frozenset[Selector]]], float]) -> Callable[[Seen], float]:
    return lambda seen: most(spec.selectors for _, _, spec in seen.wants)


def vcpus(seen: Seen) -> float:
    """Return the vCPUs of a cluster's pods, as Fargate says them."""
    found = 0.0
    for pod in seen.pods():
        given = capacity(part(pod, "metadata", "annotations").get("CapacityProvisioned"))
        found += given[0] if given and pods.holder(pod) else 0.0
    return found


QUOTA_ROWS = (
    Quota("eks", "L-33415657", "profiles per cluster", lambda seen: len(seen.view().names), profiles_wanted),
    Quota("eks", "L-D78D8AF8", "selectors per profile", of_profiles(most_selectors), of_objects(most_selectors)),
    Quota("eks", "L-23414FF3", "label pairs per selector", of_profiles(most_pairs), of_objects(most_pairs)),
    Quota("fargate", "L-3032A538", "On-Demand vCPUs of the account, those of ECS and of other clusters too", vcpus),
)


def quotas(seen: Seen) -> Iterator[Line]:
    for row in QUOTA_ROWS:
        try:
            yield from quota(row, seen)
        except Unread as unread:
            yield Line("unknown", f"{capital(row.what)} ({row.service} {row.code}): {unread}", unread=True)


def quota(row: Quota, seen: Seen) -> Iterator[Line]:
    """Say what a quota is and what this cluster uses; what is left is nobody's to say here."""
    limit = seen.quotas[row.code]()
    what = f"{capital(row.what)} ({row.service} {row.code}): the quota is {limit:g}"
    raise_it = "Have it raised in Service Quotas."
    if limit == 0 and row.wanted is None:
        yield Line("fail", f"{what}: no pod starts.", raise_it)
        return
    used = row.used(seen)
    full = row.wanted is None and used >= limit
    yield Line("warn" if full else "ok", f"{what}, this cluster uses {used:g}.", raise_it if full else "")
    if row.wanted and (wanted := row.wanted(seen)) > limit:
        yield Line("fail", f"{what}, the objects want {wanted:g}.", raise_it)


# The checks: what belongs to whom


def overlaps(seen: Seen) -> Iterator[Line]:
    """Warn of profiles that can select the same pod, but for those of one object, which replace one another."""
    for first, second in combinations(seen.profiles, 2):
        owner = owner_of(first)
        if (owner is None or owner != owner_of(second)) and share_pods(first.selectors, second.selectors):
            what = f"Profiles {first.name} and {second.name} can select the same pods: EKS takes the first by name."
            yield Line("warn", what, "Narrow the selectors of one.")
    yield from unseen(seen)


def orphans(seen: Seen) -> Iterator[Line]:
    """Warn of profiles that are tagged as made by this controller and belong to no object."""
    controller = seen.settings.controller_id or text(part(seen.namespaces().get("kube-system", {}), "metadata"), "uid")
    if not controller:
        raise Odd("the uid of kube-system")
    there = {key_of(each): each for each in seen.objects()}
    for each in seen.profiles:
        if controlled_by(each, controller):
            key = owner_of(each)
            obj = there.get(key) if key else None
            if why := _stray(seen, each, obj) if obj else ownerless(each):
                what, _, mend = why.partition("; ")
                yield Line("warn", f"Profile {each.name}: {what}.", mend)
    yield from unseen(seen)


def _stray(seen: Seen, profile: Profile, obj: Object) -> str:
    here, who = seen.home().cluster_arn, seen.identity(obj)
    return stray(profile, who, here, (here if seen.has(who) else "", Memory.parse(obj).made_in))


def key_of(obj: Object) -> Key:
    meta = part(obj, "metadata")
    return text(meta, "namespace"), text(meta, "name")


def retained(seen: Seen) -> Iterator[Line]:
    """Name the profiles that were kept on purpose when their objects went."""
    if kept := [each.name for each in seen.profiles if is_retained(each)]:
        what = f"{counted(len(kept), 'profile')} kept by deletionPolicy Retain, without an object: {named(kept)}."
        yield Line("ok", what, "Delete them if nobody needs them, or adopt them: controller.py export.")
    yield from unseen(seen)


def controller(seen: Seen) -> Iterator[Line]:
    """Say who holds the Lease, and when it was renewed: by the clocks of two machines."""
    where = "/".join(seen.lease_key)
    lease = seen.lease()
    if not lease:
        mend = "Start the operator, or give --lease-namespace and --lease-name as it has them (or --no-leader-elect)."
        yield Line("warn", f"There is no Lease {where}: no operator has led by it.", mend)
        return
    spec = part(lease, "spec")
    holder, said = text(spec, "holderIdentity", "spec."), text(spec, "renewTime", "spec.")
    at = moment(said)
    heard = f"It was last heard of at {said or '?'}, and it is {seen.now:%Y-%m-%dT%H:%M:%SZ} here"
    holds = f"The operator {holder} holds the Lease {where}"
    if not holder:
        yield Line("warn", f"Nobody holds the Lease {where}. {heard}.", "Start the operator.")
    elif at is None:
        yield Line("unknown", f"{holds}, and its renewTime is no time: {said or 'none'}.")
    elif seen.now - at > SILENCE:
        yield Line("warn", f"{holds}. {heard}.", "See whether it runs: its pod, and its log.")
    else:
        yield Line("ok", f"{holds}. {heard}.")


SILENCE = timedelta(minutes=2)  # a Lease is renewed each few seconds; and two clocks may be apart


# The table


class Check(NamedTuple):
    """A check: its name, what judges, of which of READS, and what is said where it has nothing to say."""

    name: str
    judge: Callable[[Seen], Iterator[Line]]
    reads: tuple[str, ...]
    fine: str


CHECKS = (
    Check("cluster", cluster, ("fact",), "The cluster is ACTIVE."),
    Check("profiles", profiles, ("view",), "No profile has failed or is ill."),
    Check("webhook", webhook, ("webhook", "view"), "EKS's webhook is there and sees every pod."),
    Check("namespaces", namespaces, ("namespaces", "view"), "Every namespace that is selected by its name is there."),
    Check("coredns", coredns, ("coredns", "nodes", "view"), ""),
    Check("logging", logging, ("logging", "namespaces", "policies", "view"), "Fargate takes the ConfigMap for logs."),
    Check("dns", dns, ("dns", "fact"), "The VPC has its DNS attributes on."),
    Check("network", network, ("facts", "view", "home"), "The subnets of all profiles are fit for Fargate."),
    Check("roles", roles, ("facts", "view", "home"), "The roles of all profiles are fit for Fargate."),
    Check(
        "access",
        access,
        ("fact", "entries", "aws_auth", "facts", "view", "home"),
        "The cluster knows the roles of all profiles.",
    ),
    Check("kubelets", kubelets, ("pods", "nodes", "fact"), "The kubelets of pods have the version of the cluster."),
    Check("finished", finished, ("pods",), "No finished pod is on Fargate."),
    Check("quotas", quotas, ("quotas", "view", "objects", "pods"), ""),
    Check("overlaps", overlaps, ("view",), "No two profiles select the same pods."),
    Check(
        "orphans",
        orphans,
        ("view", "objects", "namespaces", "home"),
        "Every profile of this operator has its object.",
    ),
    Check("retained", retained, ("view",), "No profile is kept without an object."),
    Check("controller", controller, ("lease",), ""),
)
