"""What those who run the controller have set: what objects may ask for, and what their namespaces are let do.

The picture: flags (config) -> `Settings`, with the `Limits` that speak against a valid spec.

Pure: no clock, no call, no log. What it is not: the flags (config), or a decision (plan).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fnmatch import fnmatchcase

from actions import Objection
from aws import ProfileSpec
from kube import Key
from patterns import listed
from spec import Finding, Identity


@dataclass(frozen=True)
class Limits:
    """What objects may ask for, as those who run the controller have set it; the defaults forbid
    nothing.

    `roles` are patterns of execution roles. With `own_namespace` an object selects pods of its own
    namespace and no others, in `home` (an EKS cluster, "" for none) and where the clusters file lists
    that namespace; and it is told no names of others, but for `frank` words: those of the log.
    """

    roles: Collection[str] = ("*",)
    own_namespace: bool = False
    home: str = ""
    frank: bool = False

    @property
    def discreet(self) -> bool:
        return self.own_namespace and not self.frank

    def may_tell(self, who: Identity, owner: Key | None) -> bool:
        """Say whether an object may be told the name of another, or of its profile; None for one that is not known."""
        return not self.discreet or (owner is not None and owner[0] == who.namespace)

    def forbid(self, who: Identity, spec: ProfileSpec, at_home: bool | None = None) -> Iterator[Objection]:
        """Yield all that is not allowed; judged by the object alone, nothing is looked up."""
        for reason, found in self.judge(who, spec, at_home):
            yield Objection(reason, f"{found.where}: {found.what}: {found.mend}.")

    def judge(self, who: Identity, spec: ProfileSpec, at_home: bool | None = None) -> Iterator[tuple[str, Finding]]:
        """Yield what is not allowed, each with its reason and its place in the object.

        `at_home`: the object's cluster is the home, or the clusters file lists its namespace there by name. None:
        there is no such file, and the name tells.
        """
        if spec.role and not any(fnmatchcase(spec.role, pattern) for pattern in self.roles):
            what = f"{spec.role} is not among the roles that objects may pass"
            mend = "take one that matches the operator's --allowed-roles"
            yield "RoleNotAllowed", Finding(tuple(spec.role_by.split(".")), what, mend)
        if not self.own_namespace:
            return
        if at_home is None and who.cluster != self.home:
            what = f"objects may select pods of cluster {self.home} only (--selector-namespaces=own)"
            yield "ClusterNotAllowed", Finding(("spec", "clusterName"), what, "make a new object without the field")
        elif at_home is False:
            what = f"the entry of {who.cluster} does not list namespace {who.namespace} (--selector-namespaces=own)"
            mend = "have it list that by name, not by a pattern, or make a new object for another cluster"
            yield "ClusterNotAllowed", Finding(("spec", "clusterName"), what, mend)
        if foreign := sorted({each.namespace for each in spec.selectors} - {who.namespace}):
            what = f"{listed(foreign)} is not the object's own namespace (--selector-namespaces=own)"
            mend = f"select pods of {who.namespace} only, or make the object in the namespace of the pods"
            yield "SelectorNotAllowed", Finding(("spec", "selectors"), what, mend)


VIEW_LIFE = 0.8  # of a resync
LOST_CREATE = timedelta(minutes=2)  # how long an unanswered create may still come true


@dataclass(frozen=True)
class Settings:
    """`cluster` is for objects that name none; `controller_id` "" stands for the uid of namespace
    kube-system.

    `adoption_in`: the namespaces whose objects may take over profiles without an owner, `kopf_in`
    those whose objects may take over what the kopf operator made for them, `retain_in` those whose
    objects may leave their profile when they go; "*" for all. `account` is that of `cluster` if it
    was said, and `aws_profile` what the kubeconfig uses. `authority`: the certificates of the API
    server, as `facts.ClusterFact` has those of `cluster`.
    """

    cluster: str
    controller_id: str = ""
    resync_seconds: float = 600.0
    poll_seconds: float = 5.0
    lost_create: timedelta = LOST_CREATE
    adoption_in: frozenset[str] = frozenset()
    kopf_in: frozenset[str] = frozenset()
    retain_in: frozenset[str] = frozenset({"*"})
    evict_in: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    account: str = ""
    aws_profile: str = ""
    authority: str = ""

    @property
    def view_life(self) -> float:
        """For how many seconds a view is good: a bit less than a resync, whose first object reads it for the others."""
        return VIEW_LIFE * self.resync_seconds

    @property
    def frankly(self) -> Settings:
        return replace(self, limits=replace(self.limits, frank=True))

    def may_adopt(self, namespace: str) -> bool:
        return not self.adoption_in.isdisjoint({"*", namespace})

    def may_take_over_from_kopf(self, namespace: str) -> bool:
        return not self.kopf_in.isdisjoint({"*", namespace})

    def may_retain(self, namespace: str) -> bool:
        return not self.retain_in.isdisjoint({"*", namespace})

    def may_evict(self, *namespaces: str) -> bool:
        return "*" in self.evict_in or self.evict_in.issuperset(namespaces)

    def wrong_account(self, account: str) -> str:
        """Say what is wrong where `cluster` is reached with credentials of an account, "" for nothing."""
        if self.account in {"", account}:
            return ""
        there = f"Cluster {self.cluster} is of account {self.account}"
        uses = f" (the kubeconfig uses AWS_PROFILE={self.aws_profile})" if self.aws_profile else ""
        mend = f"give the operator credentials of {self.account}{uses}, or set --cluster-is-elsewhere"
        return f"{there}, the AWS credentials are of account {account}: {mend} if one of {account} is meant."
