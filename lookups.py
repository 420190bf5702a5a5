"""What AWS has said about the things that specs name, and for how long that is believed: clusters, subnets, roles; and
whether clusters know the roles of their profiles.

The picture: a question -> `Known`, which asks AWS where nothing young enough was said, and shares the answer among the
passes that ask at once. `Roles` looks once a resync, whoever asks.

It asks AWS, and has no clock: times are handed in. What it is not: what a fact speaks for (surroundings), or the
profiles of a cluster (clusters).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from answers import AwsError
from aws import Aws, ProfileSpec, Read
from facts import ClusterFact, EntryFact, RoleFact, SubnetFact
from kube import Key, KubeError, Object, Objects
from patterns import readable
from surroundings import (
    ALARMS,
    ENTRY_MODES,
    Facts,
    Home,
    Network,
    Standing,
    left_open,
    mapped_roles,
    maps_role,
    standing_of,
    told_of,
    unknown_role,
    unproven,
)
from workqueue import Since

log = logging.getLogger("fargate")
T = TypeVar("T")

FACTS_SECONDS = 60.0  # how long a fact is believed: ten objects applied together ask once
LOOKS_APART_SECONDS = 60.0  # at tags, before a profile is replaced for what they have shown
LOOKS_TO_ALARM = 2  # at a role: changes of access take seconds to be seen everywhere
FACTS_KEPT = 1000  # objects may name roles and subnets without end
NO_SECONDS = 10.0  # for which is believed what speaks against a create, a missing cluster too
ERROR_SECONDS = 2.0  # for which who waits for it believes that something could not be read: it says nothing of it


@dataclass
class Look:
    """What a look at a role in a cluster has shown, and how many looks in a row have shown that it is not known."""

    at: float = float("-inf")
    standing: Standing = Standing.UNKNOWN
    mode: str = ""
    alarms: int = 0
    left_open: frozenset[Standing] = frozenset()  # of what may have been told, where it has shown nothing


Said = dict[tuple[str, str], tuple[float, Any]]  # by kind and name: when, and what


class Known:
    """What AWS has said about the things that specs name, and when; safe to call from many threads."""

    def __init__(self, aws: Aws, monotonic: Callable[[], float]) -> None:
        self._aws, self._monotonic = aws, monotonic
        self._said: Said = {}
        self._asking: dict[tuple[str, ...], tuple[int, Read[Any]]] = {}  # and which thread

    def facts(self, cluster: str, spec: ProfileSpec, age: float = FACTS_SECONDS) -> Facts:
        """Return what is known of the cluster, subnets and role, none of it older than `age` seconds."""
        if len(self._said) > FACTS_KEPT:
            self._said = {}
        ids, arn = sorted(spec.subnets or spec.among or ()), spec.role
        lists = {"attached": self._aws.attached_policies, "inline": self._aws.inline_policies}
        policies = [Read(partial(self._believed, kind, arn, age, partial(ask, arn))) for kind, ask in lists.items()]
        known = Read(lambda: self.cluster(cluster, age))
        subnets = Read(lambda: self._subnets(ids, age))
        role = Read(lambda: self._believed("role", arn, age, lambda: self._role(arn, policies)))
        said = self._said
        old: list[Read[Any]] = [subnets] if self._old(said, "subnet", ids, age) else []  # first, as it takes longest
        old += [known] if self._old(said, "cluster", [cluster], age) else []
        old += [role, *policies] if self._old(said, "role", [arn], age) else []  # which may have to wait for a client
        with self._aws.side_by_side(old):
            return Facts(known(), subnets(), role())  # of several errors it is the first in this order

    def cluster(self, name: str, age: float = FACTS_SECONDS) -> ClusterFact | None:
        """Return what is known of a cluster, as `facts` does."""
        return self._believed("cluster", name, age, lambda: self._aws.cluster(name))

    def network(self, cluster: str, age: float = FACTS_SECONDS, errors: float = ERROR_SECONDS) -> Network:
        """Return the subnets of a cluster's VPC, read with one call; a failure is believed for `errors` seconds."""
        _, before = self._said.get(("network", cluster), (0.0, None))
        age = min(age, errors) if before and before.error else age
        return self._believed("network", cluster, age, lambda: self._network(cluster, age))

    def _network(self, cluster: str, age: float) -> Network:
        at = self._monotonic()
        try:
            fact = self.cluster(cluster, max(age, FACTS_SECONDS))  # whose VPC is the same for ever
            vpc = fact.vpc if fact else ""
            return Network(self._aws.subnets_of(vpc) if vpc else None, vpc, at)
        except AwsError as error:
            return Network(None, at=at, error=error)

    def role(self, arn: str, age: float) -> RoleFact | None:
        """Return what is known of a role, its policies aside, as `facts` does."""
        at, fact = self._said.get(("role", arn), (float("-inf"), None))
        fresh = self._monotonic() - at < age
        return fact if fresh else self._believed("made", arn, age, lambda: self._aws.role(arn))

    def unproven(self, cluster: str, authority: str, api: Kubernetes, age: float = FACTS_SECONDS) -> str:
        """Say why it is not known whether that is the cluster of an API server, "" where it is proven (`unproven`)."""
        try:
            fact = self.cluster(cluster, age) if api.verified else None
        except AwsError as error:
            return readable(str(error))
        return unproven(authority, fact, verified=api.verified, token=api.token)

    def _old(self, said: Said, kind: str, names: Collection[str], age: float) -> list[str]:
        """Return those of which nothing was said that is younger than `age`."""
        now, never = self._monotonic(), (float("-inf"), None)
        return [each for each in names if now - said.get((kind, each), never)[0] >= age]

    def _believed(self, kind: str, name: str, age: float, read: Callable[[], T]) -> T:
        said = self._said  # another thread may begin a new one meanwhile
        if self._old(said, kind, [name], age):
            fact = self._together((kind, name), age, read)
            said[kind, name] = self._monotonic(), fact
        return cast("T", said[kind, name][1])

    def _together(self, what: tuple[str, ...], age: float, ask: Callable[[], T]) -> T:
        """Ask, or share the answer to a pass that asks the same right now; not where it has to be new."""
        if age < FACTS_SECONDS:
            return ask()
        mine, here = Read(ask), threading.get_ident()
        by, read = self._asking.setdefault(what, (here, mine))  # one step: no other thread comes between
        if by == here and read is not mine:  # nobody waits for what is to be answered further up in its own thread
            return ask()
        try:
            return cast("T", read())
        finally:
            self._asking.pop(what, None)

    def _subnets(self, ids: list[str], age: float) -> dict[str, SubnetFact | None]:
        said = self._said
        if old := self._old(said, "subnet", ids, age):
            found = self._together(("subnets", *old), age, lambda: self._aws.subnets(old))
            said.update({("subnet", each): (self._monotonic(), fact) for each, fact in found.items()})
        return {each: said["subnet", each][1] for each in ids}

    def _role(self, arn: str, policies: Iterable[Read[list[str] | None]]) -> RoleFact | None:
        role, names = self._aws.role(arn), set[str]()
        if not role or not role.found:
            return role
        for each in policies:
            if (found := each()) is None:
                return role
            names.update(found)
        return replace(role, policies=frozenset(names))


class Twice:
    """What two looks at a cluster's subnets, so many seconds apart, have shown alike: only that is believed of tags."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._found = Since()
        self.forget = self._found.forget

    def look(
        self, key: Key, ask: Callable[[float], Network], age: float, finds: Callable[[Network], object]
    ) -> tuple[Network, float]:
        """Return the subnets, and in how many seconds what `finds` makes of them is to be looked at again, 0 for never.

        `finds` returns None where it can't be said.
        `ask` returns them, none older than so many seconds. Each look is of its own answer of AWS, however many
        objects ask.
        """
        network = ask(age)
        found, now = finds(network), self._monotonic()
        if not found:
            if network.subnets and found is not None:  # else this look has shown nothing
                self._found.forget(key)
            return network, 0.0
        again = self._found.when(key, found, network.at) + LOOKS_APART_SECONDS
        if network.at >= again:
            return network, 0.0
        if now < again:
            return network, again - now
        # Twice at the most: an answer that came since, to a question of before, counts by its age for a new one.
        return self.look(key, ask, 0.0 if age <= now - again else now - again, finds)


class Kubernetes(Protocol):
    """What is asked of the API server that we talk to.

    `verified`: it has to show a certificate, which is checked. `token`: ours, if it has taken one.
    """

    @property
    def verified(self) -> bool: ...
    @property
    def token(self) -> str: ...
    def may_list_pods(self) -> bool: ...
    def pages(
        self, path: str, query: Mapping[str, str], *, metadata_only: bool = False
    ) -> Iterator[tuple[Objects, str]]: ...
    def review(self, api: str, kind: str, ask: Object) -> Object: ...
    def get_at(self, path: str) -> Object: ...


def running_pods(api: Kubernetes, profile: str) -> int | None:
    """Return how many pods run on a Fargate profile; None where that may not be read, or is not answered."""
    query = {"labelSelector": f"eks.amazonaws.com/fargate-profile={profile}", "fieldSelector": "status.phase=Running"}
    try:
        if not api.may_list_pods():
            return None
        return sum(len(page) for page, _ in api.pages("/api/v1/pods", query, metadata_only=True))
    except KubeError as error:
        fields = {"profile": profile, "message": str(error)}
        log.warning('pods not counted profile=%(profile)s message="%(message)s"', fields)
        return None


def aws_auth(kube: Kubernetes) -> Object | None:
    """Return the ConfigMap aws-auth, {} where there is none; None where it may not be read, or is not answered."""
    ask = {"verb": "get", "resource": "configmaps", "namespace": "kube-system", "name": "aws-auth"}
    try:  # asked first, as the permission is optional, and a refusal would stand in the audit log
        may = kube.review("authorization.k8s.io/v1", "SelfSubjectAccessReview", {"resourceAttributes": ask})
        return kube.get_at("/api/v1/namespaces/kube-system/configmaps/aws-auth") if may.get("allowed") else None
    except KubeError as error:
        log.warning('aws-auth not read message="%s"', error)
        return None


class Roles:
    """Whether the clusters know the roles of their profiles, looked at once in `life` seconds, whoever asks.

    What can't be read is unknown for as long, so that AWS is asked no oftener while it gives no answer. aws-auth is
    read of the cluster alone that is proven to be ours, by `authority_of`. Of one cluster one thread asks at a time.
    """

    def __init__(
        self,
        aws: Aws,
        known: Known,
        kube: Kubernetes,
        authority_of: Callable[[str], str],
        life: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._aws, self._known, self._kube, self._authority_of = aws, known, kube, authority_of
        self._life, self._monotonic = life, monotonic
        self._said: Said = {}

    def note(self, home: Home, looks: dict[str, Look], role: str, before: str) -> str:
        """Say that a cluster does not know a role, once two looks have shown it; `before` is what was told last.

        That stands while it may be right: it is of this role, and a look was not answered, or has shown it anew.
        """
        look = looks.setdefault(role, Look())
        if self._monotonic() - look.at >= self._life:
            self._look_anew(look, home.cluster, role)
        stood, told = told_of(home, role, before), unknown_role(home, role, look.standing, look.mode)
        if told:
            return told if stood or look.alarms >= LOOKS_TO_ALARM else ""
        return before if stood in look.left_open else ""

    def _look_anew(self, look: Look, cluster: str, role: str) -> None:
        fact = self._kept("cluster", cluster, lambda: self._known.cluster(cluster, self._life))
        asks = fact and fact.mode in ENTRY_MODES
        entry = or_unknown(lambda: self._aws.access_entry(cluster, role)) if asks else None
        look.standing = self._standing(fact, entry, cluster, role) if fact and entry else Standing.UNKNOWN
        look.at, look.mode = self._monotonic(), fact.mode if fact else ""
        look.left_open = left_open(fact, entry) if look.standing is Standing.UNKNOWN else frozenset()
        if look.standing in ALARMS:
            look.alarms += 1
        elif not look.left_open:  # else it has shown nothing
            look.alarms = 0

    def _standing(self, fact: ClusterFact, entry: EntryFact, cluster: str, role: str) -> Standing:
        if entry.found:
            made = self._kept("role", role, lambda: self._known.role(role, self._life))
            return standing_of(fact, role, entry, made, None)
        ours = not unproven(self._authority_of(cluster), fact, verified=self._kube.verified, token=self._kube.token)
        asked = ours and fact.mode != "API"
        mapped = self._kept("aws-auth", cluster, lambda: mapped_roles(aws_auth(self._kube))) if asked else None
        return standing_of(fact, role, entry, None, maps_role(mapped, role))

    def _kept(self, kind: str, name: str, read: Callable[[], T | None]) -> T | None:
        """Return what was read no longer ago than `life`, None where that failed."""
        now, said = self._monotonic(), self._said
        at, fact = said.get((kind, name), (float("-inf"), None))
        if now - at >= self._life:
            if len(said) > FACTS_KEPT:  # of clusters and roles that are no more, too
                said = self._said = {key: each for key, each in [*said.items()] if now - each[0] < self._life}
            fact = or_unknown(read)
            said[kind, name] = now, fact
        return cast("T | None", fact)


def or_unknown(read: Callable[[], T | None]) -> T | None:
    try:
        return read()
    except AwsError as error:
        log.info('unknown message="%s"', readable(str(error)))
        return None
