"""Which EKS clusters objects may name, and how each is reached: those of --clusters-file, and the controller's own.

The picture: a file -> `Entries` -> for an object's namespace and clusterName an `Entry`, or `Barred`. Without a file
an object may name any cluster of the controller's own account and region.

Pure: no clock, no call, no log. What it is not: the file as it changes (clustersfile), or the way to AWS (sites).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple

from spec import Defaults, Finding

REGION = r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}"


@dataclass(frozen=True)
class Entry:
    """One EKS cluster as objects name it.

    `role_arn`: what is assumed for it with the controller's own credentials, "" for these themselves.
    `namespaces`: patterns, whose objects may name it.
    """

    name: str
    cluster: str
    region: str
    role_arn: str = ""
    external_id: str = ""
    namespaces: tuple[str, ...] = ("*",)
    defaults: Defaults = field(default_factory=Defaults)
    line: int = field(default=0, compare=False)  # of the file; 0: it stands in none

    @property
    def account(self) -> str:
        """The account of the role, "" for the controller's own."""
        return self.role_arn.split(":")[4] if self.role_arn else ""

    @property
    def place(self) -> tuple[str, str]:
        """The account and region, which have their own credentials, limits and troubles."""
        return self.account, self.region

    @property
    def key(self) -> str:
        """Tell the EKS cluster from all others; aliases share it. No name of a cluster has a slash."""
        return "/".join((*self.place, self.cluster))

    @property
    def reached_by(self) -> str:
        """Say by which credentials, but for the external id, which is nobody else's business."""
        return self.role_arn or "the operator's own credentials"

    def may_be(self, arn: str) -> bool:
        """Say whether it may be the cluster of an ARN; of which account our own credentials are is not known here."""
        region, account, cluster = _parts(arn)
        return (region, cluster) == (self.region, self.cluster) and self.account in {"", account}

    def admits(self, namespace: str) -> bool:
        return any(fnmatchcase(namespace, each) for each in self.namespaces)

    def lists(self, namespace: str) -> bool:
        """Say whether it admits a namespace by name."""
        return namespace in self.namespaces


class Barred(NamedTuple):
    """Why an object has no cluster here: a reason for the condition, and what is wrong and mends it.

    `back`: what lets a deletion go on; `finding` says the message of the object's field.
    """

    reason: str
    message: str
    back: str = ""
    finding: Finding | None = None


class Contradiction(NamedTuple):
    """An entry that can't stand beside another, or beside the flags."""

    entry: Entry
    field: str
    what: str
    mend: str
    other: Entry | None = None  # the one before it, None for the flags

    def __str__(self) -> str:
        where = f"{self.entry.name} in line {self.entry.line} of the clusters file"
        return f"{where}: {self.field}: {self.what}: {self.mend}"


FIELD = ("spec", "clusterName")
NEEDED = "give the name of an EKS cluster; it can be left out only where the operator has --cluster-name"
NO_HOME = Barred(
    "InvalidSpec", f"spec.clusterName is missing: {NEEDED}.", "give the operator a home",
    Finding(FIELD, "missing", NEEDED),
)  # fmt: skip
CONTRADICTED = Barred(  # no names: some of them are others' business
    "ClusterNotAllowed",
    "The operator's clusters file contradicts itself about the cluster of this object, so nothing is read or changed "
    "there: those who run the operator find in its log what mends it.",
    "have the file mended",
)


def not_among(namespace: str, name: str) -> Barred:
    """Say that an object may not name a cluster: the same text whether there is none or it is for others."""
    what = f"{name} is no cluster that objects of namespace {namespace} may name"
    asked = "ask those who run the operator to let the namespace name it (--clusters-file)"
    mend = f"{asked}, or make a new object that names another"
    back = f"have the clusters file let namespace {namespace} name {name} again"
    return Barred("ClusterNotAllowed", f"spec.clusterName: {what}: {mend}.", back, Finding(FIELD, what, mend))


@dataclass(frozen=True)
class Entries:
    """All clusters that objects may name; `home` is for objects that name none, "" where there is no such.

    `listed` None: there is no file, and objects may name any cluster of the own account and `region`.
    `defaults` are those of the flags, for clusters that are in no file. `home_account` is the account of the home
    where something names it; the operator's own credentials may be of another.
    """

    region: str
    home: str = ""
    listed: tuple[Entry, ...] | None = None
    defaults: Defaults = field(default_factory=Defaults)
    home_account: str = ""

    def find(self, namespace: str, name: str, arn: str = "") -> Entry | Barred:
        """Return the cluster that an object of a namespace names, "" for the home; of aliases the first in the file.

        `arn`: of the cluster in which its profile was made, where the name that it gives can't be read.
        """
        named = name or _parts(arn)[2] or self.home
        if self.listed is None:
            return self._any(named)
        if not named:
            return NO_HOME
        found = self.by_arn(arn) if arn else (self._named[named],) if named in self._named else ()
        entry = next((each for each in found if each.admits(namespace)), None)
        return replace(entry, name=self._shown[entry.key]) if entry else not_among(namespace, named)

    def by_arn(self, arn: str) -> tuple[Entry, ...]:
        """Return the entries of the EKS cluster that an ARN names: those of its account, else of the own credentials.

        Whether the own ones are of that account is not known here.
        """
        there = tuple(each for each in self.all if each.may_be(arn))
        return tuple(each for each in there if each.account) or there

    @cached_property
    def all(self) -> tuple[Entry, ...]:
        """The entries, in the order of the file; before them the home, if it is not one of them."""
        listed = self.listed or ()
        unlisted = self.home and self.home not in {each.name for each in listed}
        return (self._any(self.home), *listed) if unlisted else listed

    def named(self, name: str) -> Entry | None:
        """Return the cluster of a name, whoever asks, as it is shown; None where there is none of that name."""
        if self.listed is None:
            return self._any(name)
        entry = self._named.get(name)
        return replace(entry, name=self._shown[entry.key]) if entry else None

    def at_home(self, entry: Entry, namespace: str) -> bool | None:
        """Say whether a cluster is the home, or lists a namespace by name; None where there is no file to tell."""
        if self.listed is None:
            return None
        home = self._named.get(self.home)
        return entry.lists(namespace) or (home is not None and home.key == entry.key)

    def tells(self, entry: Entry) -> bool:
        """Say whether it is the file that tells where a cluster is, else flags do."""
        home = self._named.get(self.home)
        by_flags = home is not None and home.key == entry.key and home not in (self.listed or ())
        return self.listed is not None and not by_flags

    @property
    def each(self) -> tuple[Entry, ...]:
        """One entry for each EKS cluster that is known by name, as it is shown."""
        return tuple(each for each in self.all if each.name == self._shown[each.key])

    def contradictory(self, account: str) -> frozenset[str]:
        """Return the keys of all clusters that contradictions are about: no side of one is more right than another."""
        found = self.contradict(account)
        return frozenset(side.key for each in found for side in (each.entry, each.other) if side)

    @property
    def own_account(self) -> str:
        """The account of the own credentials as far as flags tell: these reach the home, unless it has a role."""
        home = self._named.get(self.home)
        return "" if home and home.role_arn else self.home_account

    def contradict(self, account: str = "") -> Iterator[Contradiction]:
        """Yield each entry that contradicts one before it, or the flags.

        `account`: that of the operator's own credentials, "" where it is not known.
        """
        first: dict[tuple[str, str, str], Entry] = {}
        own = account or self.own_account
        home = self.home_account or own
        for each in self.all:
            there = each.account or own
            if each.name == self.home and each.account and home not in {"", each.account}:
                what = f"{each.role_arn}, and this is the name of --cluster-name, which is of account {home}"
                yield Contradiction(each, "roleArn", what, "give the entry another name")
            other = first.setdefault((there, each.region, each.cluster), each)
            if (each.role_arn, each.external_id) != (other.role_arn, other.external_id):
                yield Contradiction(each, *_unlike(each, other), other)

    @cached_property
    def digest(self) -> str:
        """Tell by which entries objects were judged; what is not said to anybody, as a comment, does not count."""
        told = asdict(self)
        for each in told["listed"] or ():
            del each["line"]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]

    def _any(self, name: str) -> Entry:
        return Entry(name, name, self.region, defaults=self.defaults)

    @cached_property
    def _named(self) -> Mapping[str, Entry]:
        return {each.name: each for each in self.all}

    @cached_property
    def _shown(self) -> Mapping[str, str]:
        """The name under which each cluster is shown, by its key."""
        return {each.key: each.name for each in reversed(self.all)}


def _parts(arn: str) -> tuple[str, str, str]:
    """Return region, account and name that the ARN of an EKS cluster holds, "" each of another text."""
    _, _, _, region, account, named, *_ = *arn.split(":", 5), *[""] * 6
    return region, account, named.removeprefix("cluster/")


def _unlike(one: Entry, other: Entry) -> tuple[str, str, str]:
    """Say that two entries reach one cluster differently: the field, what is wrong, what mends it."""
    same = f"for the same EKS cluster as entry {other.name}" + (f" (line {other.line})" if other.line else "")
    mend = "give all entries of one EKS cluster the same roleArn and externalId"
    if one.role_arn == other.role_arn:
        return "externalId", f"another one {same}", mend
    return "roleArn", f"{one.reached_by} {same}, which has {other.reached_by}", mend
