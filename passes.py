"""What one pass over one FargateProfile object has in hand: the object as it was seen last, and what was noted so far;
what AWS has refused of late (`Refusals`); and what it needs of Kubernetes.

What it is not: the steps of the pass, which are reconcile's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import lookups
import status
from aws import Aws, Profile
from clusters import Cluster
from entries import Barred, Entry
from kube import Key, Object
from sites import Site
from spec import Identity, Memory, mapping
from wanted import Refusal


@dataclass
class Pass:
    """One look at one object; `obj` and `memory` move on with what the pass writes."""

    key: Key
    obj: Object
    who: Identity
    memory: Memory
    cluster: Cluster
    entry: Entry | Barred
    site: Site | None  # None for one that has no cluster here: of AWS nothing is asked then
    shown: Object
    noted: dict[str, status.Noted] = field(default_factory=dict)  # informative conditions, by type
    pods: Object | None = None  # their counts, as status is to have them
    overlap_logged: str = ""
    overlapping: tuple[Profile, ...] = ()
    looked: set[str] = field(default_factory=set)  # profiles described in this pass: what it acts on is among them
    seen: bool = False  # enough to decide on
    asked_at: float | None = None  # since when the object asks for a look, monotonic seconds
    look_in: float = 0.0  # seconds to that look, where it can't be had now
    network_read: bool = False  # in this pass, for what terms choose
    useful: bool = False  # it led to a change, or is the way to one
    untold: bool = False  # its status could not be written

    @property
    def aws(self) -> Aws:
        return self.there.aws

    @property
    def known(self) -> lookups.Known:
        return self.there.known

    @property
    def roles(self) -> lookups.Roles:
        return self.there.roles

    @property
    def there(self) -> Site:
        if self.site is None:
            raise AssertionError(f"{self.who.owner} has no cluster here, and something of it is asked for")
        return self.site

    @property
    def status(self) -> Object:
        return mapping(self.obj.get("status"))

    @property
    def remembered(self) -> Memory:
        """What status is to have: where the cluster has no defaults, nothing of them is left to be decided."""
        decided = self.who.generation if self._has_no_defaults else self.memory.decided
        return self.memory.but(decided_generation=None if decided == self.who.generation else decided)

    @property
    def _has_no_defaults(self) -> bool:
        """The cluster in which the profile is, or is to be, has no defaults."""
        made_in, entry = self.memory.made_in, self.entry
        if not isinstance(entry, Entry) or (made_in and not entry.may_be(made_in)):
            return False
        return not (entry.defaults.role or entry.defaults.terms)

    @property
    def conditions(self) -> list[Object]:
        return status.written(self.status.get("conditions") or [])

    def note(self, kind: str, reason: str, message: str) -> None:
        """Take down what an informative condition of this type says; without a message it is not so any more."""
        self.noted.pop(kind, None)
        if message:
            self.noted[kind] = status.Noted(reason, message)

    @property
    def edited(self) -> bool:
        return self.who.generation != self.memory.observed_generation

    @property
    def asks(self) -> bool:
        return self.who.asks(self.memory)

    def age(self, most: float, now: float) -> float:
        """Return how old an answer of AWS may be: from after the look that was asked for, if that is had now."""
        return most if self.asked_at is None or self.look_in else min(most, now - self.asked_at)

    def network_ages(self, settled: bool, life: float, now: float) -> tuple[float, float]:
        """Return the same of a cluster's subnets, and of an error: read once in `life` for all that are settled.

        What was read before an edit of an object that has a profile says nothing of it: it would be Ready by that.
        """
        if self.edited:
            return 0.0 if settled else lookups.NO_SECONDS, lookups.ERROR_SECONDS
        settled = settled and status.is_ready(self.conditions, self.who)
        errors = lookups.FACTS_SECONDS if settled else lookups.ERROR_SECONDS
        return self.age(life if settled else lookups.FACTS_SECONDS, now), errors

    @property
    def payer(self) -> tuple[str, bool]:
        """Who pays for calls that change nothing: the namespace, and edits apart from what is looked at anyway."""
        return self.who.namespace, self.edited and self.memory.observed_generation >= 0


class Refusals:
    """What AWS has not let be done with the default tags of each object's profile, and when."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._said: dict[Key, list[tuple[float, Refusal]]] = {}

    def add(self, key: Key, refusal: Refusal) -> None:
        self._said.setdefault(key, []).append((self._monotonic(), refusal))

    def of(self, p: Pass, life: float) -> tuple[Refusal, ...]:
        """Return what was said less than `life` seconds ago, or since the look that is asked for; forget the rest."""
        now = self._monotonic()
        if said := [each for each in self._said.pop(p.key, ()) if now - each[0] < p.age(life, now)]:
            self._said[p.key] = said
        return tuple(refusal for _, refusal in said)

    def forget(self, key: Key) -> None:
        self._said.pop(key, None)


class Kube(lookups.Kubernetes, Protocol):
    """What is needed of Kubernetes: a write fails with the edge's own error if the object is not the version given."""

    def get(self, namespace: str, name: str) -> Object | None: ...
    def exists(self, namespace: str, name: str) -> bool | None: ...
    def namespace_uid(self, name: str) -> str: ...
    def patch_finalizers(self, obj: Object, finalizers: Sequence[str]) -> Object: ...
    def patch_status(self, obj: Object, status: Object) -> Object: ...
    def event(self, obj: Object, kind: str, reason: str, action: str, note: str, now: datetime) -> None: ...
