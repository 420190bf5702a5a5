"""Which EKS clusters objects may name, and how each is reached: those of --clusters-file, and the controller's own.

The picture: a file -> `Entries` -> for an object's namespace and clusterName an `Entry`, or `Barred`. Without a file
an object may name any cluster of the controller's own account and region.

Pure: no clock, no call, no log. What it is not: the file as it changes, or the way to AWS (sites).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from spec import Defaults


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
    line: int = 0  # of the file; 0: it stands in none

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

    def admits(self, namespace: str) -> bool:
        return any(fnmatchcase(namespace, each) for each in self.namespaces)

    def lists(self, namespace: str) -> bool:
        """Say whether it admits a namespace by name."""
        return namespace in self.namespaces


class Barred(NamedTuple):
    """Why an object has no cluster here: a reason for the condition, and what is wrong and mends it."""

    reason: str
    message: str


@dataclass(frozen=True)
class Entries:
    """All clusters that objects may name; `home` is for objects that name none, "" where there is no such.

    `listed` None: there is no file, and objects may name any cluster of the own account and `region`.
    `defaults` are those of the flags, for clusters that are in no file.
    """

    region: str
    home: str = ""
    listed: tuple[Entry, ...] | None = None
    defaults: Defaults = field(default_factory=Defaults)

    def find(self, namespace: str, name: str, arn: str = "") -> Entry | Barred:
        """Return the cluster that an object of a namespace names, "" for the home; of aliases the first in the file.

        `arn`: of the cluster in which its profile was made, where the name that it gives can't be read.
        """
        if self.listed is None:
            return self._home_in(name) if name or self.home else MISSING
        there = tuple(arn.split(":")[3:5]) + (arn.rpartition("/")[2],) if arn else ()
        if arn:
            found = next(
                (each for each in self._all if (each.region, each.account or there[1], each.cluster) == there), None
            )
        else:
            found = next((each for each in self._all if each.name == (name or self.home)), None)
        if found is None and not (name or self.home or arn):
            return MISSING
        if found is None or not found.admits(namespace):
            text = f"The clusters file has no cluster {name or arn} for objects of namespace {namespace}"
            return Barred(
                "ClusterNotAllowed", f"{text}: correct spec.clusterName, or have the namespace put into the file."
            )
        return self._shown(found)

    def named(self, name: str) -> Entry | None:
        """Return the cluster of that name, whoever may name it."""
        if self.listed is None:
            return self._home_in(name) if name else None
        return next((self._shown(each) for each in self._all if each.name == name), None)

    @property
    def each(self) -> tuple[Entry, ...]:
        """Return every cluster that is known by now, once each, by the name that is shown."""
        return tuple({each.key: self._shown(each) for each in self._all}.values())

    def contradictions(self, account: str) -> Mapping[str, str]:
        """Return what is wrong with entries, by their names, where the controller's own account is that one."""
        return {}

    @property
    def _all(self) -> tuple[Entry, ...]:
        listed = self.listed or ()
        known = not self.home or any(each.name == self.home for each in listed)
        return listed if known else (*listed, self._home_in(self.home))

    def _home_in(self, name: str) -> Entry:
        return Entry(name or self.home, name or self.home, self.region, defaults=self.defaults)

    def _shown(self, entry: Entry) -> Entry:
        return replace(entry, name=next(each.name for each in self._all if each.key == entry.key))


MISSING = Barred("InvalidSpec", "spec.clusterName is missing: give the name of a cluster, this operator has no home.")
