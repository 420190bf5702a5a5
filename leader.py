"""The Lease: of several replicas one acts, and nothing is sent by a process that does not hold it.

The picture: `LeaderElector.step` reads, takes or renews the Lease; `check` stands before each call
(`fenced`).

What it is not: a lock on EKS, which nothing can fence; the loop around it, which is the
controller's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast

import kube
from kube import Key, Object
from wire import micro_time

log = logging.getLogger("fargate.controller")
T = TypeVar("T")
# client-go's: a Lease is good for so long after the holder was last seen to renew it; the holder
# itself stops acting before that, counted from before it asked; and how often either looks.
LEASE_SECONDS, HOLD_SECONDS, LOOK_SECONDS = 15, 10.0, 2.0
JUDGED_BY = "fargateprofiles.jicomusic.com/judged-by"  # an annotation of the Lease
MOST_TRANSITIONS = 2**31 - 1  # an int32 of the API: one more is refused, and nobody would ever lead


LEASE_TIMEOUT = (2.0, 3.0)  # connect, read; so that a renewal is tried twice before the holder has to stop


class Leases(Protocol):
    """The Kubernetes edge, as far as it is needed here."""

    def get_at(self, path: str, timeout: tuple[float, float]) -> Object: ...
    def send_at(self, method: str, path: str, body: Object, timeout: tuple[float, float]) -> Object: ...


def read_lease(leases: Leases, namespace: str, name: str) -> Object:
    """Return the Lease as it is now, {} if there is none."""
    return leases.get_at(lease_path(namespace, name), timeout=LEASE_TIMEOUT)


def write_lease(leases: Leases, namespace: str, name: str, lease: Object, spec: Object) -> Object:
    """Give this very version of the Lease another spec, or make the Lease if it is {}; return it as stored.

    A PUT by name either way: RBAC can't name what a POST makes.
    """
    meta = lease.get("metadata") or {"namespace": namespace, "name": name}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
    return leases.send_at("PUT", lease_path(namespace, name), body, timeout=LEASE_TIMEOUT)


def lease_path(namespace: str, name: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"


class LostLease(Exception):
    """This process led and does not any more; the text says why."""


class Judgement:
    """Whether each object is known to have been judged by what judges now, of which `by` is a digest.

    That is the flags of this process, and the clusters file, which may change: for a while `by` is None
    then. The Lease may say of the judgement before that it is complete, and must not any more when the
    first object is judged by another: hence what it says, or may say, is kept here.
    """

    def __init__(self, by: str | None = "", complete: bool = False) -> None:
        self.by = by
        self._whole: str | None = by if complete else None
        self._told: str | None = None
        self._lock = threading.Lock()

    @property
    def complete(self) -> bool:
        whole = self._whole
        return whole is not None and whole == self.by

    def done(self, by: str | None, whole: bool = True) -> None:
        """Note whether every object was judged, if what they were judged by is what judges now."""
        with self._lock:
            if by == self.by:
                self._whole = by if whole else None

    def begin(self) -> bool:
        """Let nothing judge for now; say whether the Lease vouches for no judgement any more."""
        with self._lock:
            self.by = self._whole = None
            return self._told is None

    def to_tell(self) -> str | None:
        """Return what the next write of the Lease is to say: by what every object was judged, None for nothing."""
        with self._lock:
            if self._whole is not None:
                self._told = self._whole
            return self._whole

    def told(self, said: str | None) -> None:
        """Note what the Lease says now for certain."""
        with self._lock:
            self._told = said


class LeaderElector:
    """Holds the Lease, so that one replica acts and the others stand by.

    Another's claim lapses when its record has not changed for as long as it says itself, but for
    LEASE_SECONDS at most, which is what every holder of this program writes: whoever may write the
    Lease could hold it for 68 years otherwise. That is by this process's own clock and since this
    process saw it change: no clock is compared with that of another machine. Our own lapses earlier.

    `check` fences: each call of a pass asks it first (`fenced`), so nothing is sent later than
    HOLD_SECONDS after the last renewal was asked for, 5 s before another may start. Not fenced is
    what was sent before, which EKS may carry out up to 13 s later (`aws.READ_SECONDS`), nor a
    process that sleeps between the check and the call. Then other locks hold: EKS takes one create
    or delete at a time, a create is marked in status before it is sent, and every write to
    Kubernetes names the version that it replaces.

    An annotation of the Lease says by which flags each object was judged. It is taken off by the write
    by which a process with other flags takes the Lease, before it judges any, and written again once
    its judgement is complete: so it is true whenever a process dies. The same holds for a clusters file that changes.
    """

    def __init__(
        self,
        leases: Leases,
        key: Key,
        identity: str,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        rand: Callable[[], float],
        judgement: Judgement | None = None,
    ) -> None:
        self._leases, self._key, self.identity = leases, key, identity
        self._judgement = judgement or Judgement()
        self._monotonic, self._now, self._rand = monotonic, now, rand
        self._lease: Object = {}  # what the next write replaces
        self._record: Object | None = None  # the spec as last seen, since `_changed_at`
        self._changed_at = self._renewed_at = float("-inf")
        self._led = False
        self._said = ""

    def leading(self) -> bool:
        return self._monotonic() < self._renewed_at + HOLD_SECONDS

    def standing_by(self) -> str:
        """Say for whom this process waits, "" while it leads."""
        if self.leading():
            return ""
        lease, holder = "/".join(self._key), (self._record or {}).get("holderIdentity") or "nobody yet"
        return f"standing by: lease {lease} is held by {holder}; this process changes nothing until it has the lease"

    def check(self) -> None:
        """Raise where this process must not act."""
        if not self.leading():
            raise kube.KubeError("the Lease is not held: nothing is sent")

    def step(self) -> float:
        """Renew, take or look at the Lease once; return the seconds to the next step. Raises `LostLease`, once led."""
        if self._led and not self.leading():
            raise LostLease(f"it could not be renewed for {HOLD_SECONDS:.0f} s")
        if not (self._led and self._lease):
            self._observe(read_lease(self._leases, *self._key))
        holder = self._lease.get("spec", {}).get("holderIdentity")
        if self._led and holder != self.identity:
            raise LostLease(f"{holder or 'nobody'} has it now")
        if holder in {None, "", self.identity} or self._lapsed():
            self._acquire()
        self._say_standing_by()
        return LOOK_SECONDS * (1.0 if self._led else 0.5 + 0.5 * self._rand())

    def release(self) -> None:
        """Give the Lease up, so that another need not wait for its end; only when nothing acts any more."""
        if not (self._lease and self.leading()):
            return
        self._renewed_at = float("-inf")
        spec = self._lease["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            write_lease(self._leases, *self._key, self._lease, spec | {"renewTime": micro_time(self._now())})
            log.info("released lease=%(lease)s", {"lease": "/".join(self._key)})
        except kube.KubeError as error:
            log.warning("the Lease could not be released, it expires: %s", error)

    def _observe(self, lease: Object) -> None:
        self._lease, record = lease, lease.get("spec", {})
        if record != self._record:
            self._record, self._changed_at = record, self._monotonic()

    def _say_standing_by(self) -> None:
        said, self._said = self._said, self.standing_by()
        if self._said and self._said != said:
            log.info("%s", self._said)

    def _lapsed(self) -> bool:
        seconds = (self._record or {}).get("leaseDurationSeconds") or LEASE_SECONDS
        return self._monotonic() >= self._changed_at + min(seconds, LEASE_SECONDS)

    def _acquire(self) -> None:
        lease, self._lease = self._lease, {}  # should the write fail, the next step reads first
        old, sent, now = lease.get("spec", {}), self._monotonic(), micro_time(self._now())
        ours = old.get("holderIdentity") == self.identity
        record = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": old.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": min(old.get("leaseTransitions", 0) + bool(lease and not ours), MOST_TRANSITIONS),
        }
        if not self._led:
            by = self._judgement.by  # once: it may be another at any time
            self._judgement.done(by, self._is_judged(lease, by))
        said = self._judgement.to_tell()
        self._lease = write_lease(self._leases, *self._key, self._annotated(lease, record, said), old | record)
        self._judgement.told(said)
        self._renewed_at = sent
        if not self._led:
            fields = {"lease": "/".join(self._key), "identity": self.identity}
            log.info("leading lease=%(lease)s identity=%(identity)s", fields)
        self._led = True

    def _is_judged(self, lease: Object, by: str | None) -> bool:
        annotations = lease.get("metadata", {}).get("annotations") or {}
        if not lease:
            return False
        return bool(annotations.get(JUDGED_BY) == self._mark(lease, lease.get("spec", {}), by))

    def _annotated(self, lease: Object, record: Object, said: str | None) -> Object:
        """Return the Lease with the annotation, or without it as long as some object may not be judged as it says."""
        if not lease:
            return lease
        annotations = {**(lease["metadata"].get("annotations") or {})}
        annotations.pop(JUDGED_BY, None)
        if said is not None:
            annotations[JUDGED_BY] = self._mark(lease, record, said)
        return {**lease, "metadata": {**lease["metadata"], "annotations": annotations}}

    def _mark(self, lease: Object, record: Object, by: str | None) -> str:
        """Name what judged, and whose that was: a version that does not know the annotation leaves it as it is.

        That one counts a transition, and a Lease that is restored in another cluster has another uid.
        """
        return f"{by}/{lease['metadata'].get('uid')}/{record.get('leaseTransitions', 0)}"


class Fenced:
    """An edge whose every call is preceded by `check`, which raises where it may not be made."""

    def __init__(self, edge: object, check: Callable[[], None]) -> None:
        self._edge, self._check = edge, check

    def __getattr__(self, name: str) -> Any:
        self._check()
        return getattr(self._edge, name)


def fenced(edge: T, check: Callable[[], None]) -> T:
    return cast("T", Fenced(edge, check))
