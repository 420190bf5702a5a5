"""Looks at the pods of the cluster that we talk to: what is seen of them, and what each object is told.

The picture: five lists, page by page, each pod cut to what is needed -> `Look` -> `News` of each object
whose profile the view has -> the reconciler, which writes it into status beside what it writes anyway.

`PodLooks.step` is driven by a thread of its own: no worker, turn or lock of the passes waits for it. What
is not known (no permission, no proof that this is the cluster of the profiles, a look that did not end)
is unknown, said once in the log, and told of no object. What it is not: what a profile means for a pod
(pods), or a change of anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from clusters import View
from kube import Key, Object
from pods import Stranded

State = Literal["running", "starting", "waiting", "finished", "stranded"]


class Owner(NamedTuple):
    """Who makes a pod anew: the owner reference with controller: true."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class Seen:
    """A pod that waits without a node, or one that has ended and is to be told of.

    `holder`: the profile for which EKS has taken it, "" for none. `since`: when this process saw it waiting for
    the first time, monotonic seconds. `blocked`: why it does not start, the word of `pods.TEXTS` or one of `WORDS`,
    "" for nothing; `said` in the words of its scheduler or kubelet. `lingers`: it has ended long ago, and nobody
    takes it away. `raw`: the pod itself without managedFields, of stranded ones alone, as JSON: that is a tenth of
    what it takes in memory otherwise.
    """

    key: Key
    uid: str
    version: str
    owner: Owner | None
    holder: str
    state: State
    since: float
    stranded: Stranded
    blocked: str = ""
    said: str = ""
    lingers: bool = False
    raw: bytes = b""

    @property
    def pod(self) -> Object:
        found: Object = json.loads(self.raw)
        return found


@dataclass
class Counted:
    """How many pods a profile has in each state, and what Fargate bills for those that have a node.

    `unsized`: those of them of which that is not known, and which are not among vCPU and GiB.
    """

    running: int = 0
    starting: int = 0
    waiting: int = 0
    finished: int = 0
    stranded: int = 0
    vcpu: float = 0.0
    gib: float = 0.0
    unsized: int = 0


@dataclass(frozen=True)
class Look:
    """One look at all pods, begun at `at` (monotonic seconds) beside `view`, the profiles as they were known then.

    `counted` is by profile of the view, "" for all other Fargate pods. `taken`: by the uid of an owner, the uids of
    its pods that EKS has taken for a profile. `beyond`: pods that wait and were not looked at, as there were too
    many before. `why`: why it is not complete, "" if it is.
    """

    at: float
    view: View
    seen: tuple[Seen, ...] = ()
    counted: Mapping[str, Counted] = field(default_factory=dict)
    taken: Mapping[str, frozenset[str]] = field(default_factory=dict)
    beyond: int = 0
    why: str = ""

    @property
    def complete(self) -> bool:
        return not self.why
