"""Which EKS clusters objects may name, and how each is reached: those of --clusters-file, and the controller's own.

The picture: a file -> `Entries` -> for an object's namespace and clusterName an `Entry`, or `Barred`. Without a file
an object may name any cluster of the controller's own account and region.

Pure: no clock, no call, no log. What it is not: the file as it changes, or the way to AWS (sites).
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
            return Entry(name, name, self.region, defaults=self.defaults)
        raise NotImplementedError
