"""What the controller would do for one object after the other, and what that means for the pods that are there.

The picture: an object as it is applied, or deleted -> `Case` -> `memory.foresee` -> `Step`s, each with the pods that
its profile takes or loses (`PodsThere`).

Reads AWS and Kubernetes and changes nothing. What it is not: the table that people see (commands), or a decision
(plan).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import aws
import config
import kube
from actions import Change, CreateProfile, DeleteProfile, Phase, TagProfile, UntagProfile
from clusters import View, whole_view
from kube import Key, Object
from limits import Settings
from lookups import Known, running_pods
from memory import foresee
from overlaps import (
    overlap_message,
    overlaps,
    share_pods,
)
from patterns import counted, listed, timestamp
from plan import Case, case_of
from pods import (
    COMPUTE_TYPE,
    DEFAULT_SCHEDULER,
    FARGATE_SCHEDULER,
    PROFILE_LABEL,
    Choice,
    anew,
    chosen,
    holder,
)
from spec import FINALIZER, Identity, Memory, is_guarded, mapping
from status import with_note
from surroundings import Home

T = TypeVar("T")
WORDS = {Phase.READY: "nothing", Phase.IDLE: "nothing", Phase.RECONCILING: "wait", Phase.STALLED: "refuse"}
FIXED = ("clusterName", "profileName")  # by crd.yaml, once the object is there


class Step(NamedTuple):
    """What would be done for an object, or is said of it: a word, and the rest of the sentence.

    `tags`: the value of before and of after, None where there is none. `pods`: so many go with it,
    None for some that can't be counted. `takes`: which pods it takes, None where that is not known.
    """

    word: str
    text: str
    tags: Mapping[str, tuple[str | None, str | None]] = {}
    pods: int | None = 0
    takes: Takes | None = None

    def fields(self) -> Object:
        tags = {key: {"old": old, "new": new} for key, (old, new) in self.tags.items()}
        takes = self.takes.fields() if self.takes else None
        return {"word": self.word, "text": self.text, "tags": tags, "pods": self.pods, "takes": takes}


@dataclass
class Forecast:
    """Foretells what the controller would do for one object after the other, and changes nothing.

    `kubernetes` None: it can't be asked, and each object counts as new. `clusters` are as EKS has
    them, then as each object would leave them.
    """

    edge: aws.Aws
    kubernetes: kube.Kube | None
    settings: Settings
    controller: str
    now: datetime
    pods: PodsThere | None = None
    clusters: dict[str, tuple[Home, View]] = field(default_factory=dict)
    unproven: dict[str, str] = field(default_factory=dict)  # by cluster: why its pods are not known to be those here
    doubt: str = ""  # why nothing is said of pods: what came first

    def __post_init__(self) -> None:
        self.known = Known(self.edge, lambda: 0.0)  # all of it is of one moment

    def of(self, key: Key, obj: Object) -> Iterator[Step]:
        """Yield what would be done for a valid object that is applied."""
        live, spec = (self.kubernetes.get(*key) if self.kubernetes else None) or {}, obj["spec"]
        edited = [f"spec.{key}" for key in FIXED if live and (live.get("spec") or {}).get(key) != spec.get(key)]
        if edited:
            text = f"The API server lets nobody change {' and '.join(edited)}: make a new object."
            yield Step("refuse", text)
            return
        yield from self._followed(self._case(applied(key, spec, live, self.now)))

    def without(self, key: Key, obj: Object) -> Iterator[Step]:
        """Yield what would be done if the object were deleted."""
        there = applied(key, obj.get("spec"), {}, self.now)
        there["metadata"]["finalizers"] = [FINALIZER]
        live = self.kubernetes.get(*key) if self.kubernetes else there
        if live is None:
            yield Step("nothing", "There is no such object.")
        elif not is_guarded(live["metadata"].get("finalizers") or ()):
            yield Step("nothing", "The object goes at once: the controller has not yet begun with it.")
        else:
            meta = {"deletionTimestamp": timestamp(self.now)} | live["metadata"]
            yield from self._followed(self._case({**live, "metadata": meta}))

    def _followed(self, case: Case) -> Iterator[Step]:
        changes, end, last = foresee(case, lambda spec: self.known.facts(case.home.cluster, spec))
        self.clusters[case.home.cluster] = case.home, last.view
        yield from self._changed(changes, last.view)
        if changes and end.reason == "Deleted":
            return
        end = with_note(end, last.who, self.settings)
        if not changes or end.phase is not Phase.READY or end.note:
            reason = "" if end.message.startswith(end.reason) else f"{end.reason}: "
            yield Step(WORDS[end.phase], reason + end.message + end.note)
        overlap = overlap_message(last, overlaps(last))
        if overlap not in {"", overlap_message(case, overlaps(case))}:
            yield Step("overlap", overlap)

    def _case(self, obj: Object) -> Case:
        memory, settings = Memory.parse(obj), self.settings
        who = Identity.parse(obj, memory, settings.cluster)
        if who.cluster not in self.clusters:
            partition, account = config.identify(self.edge, settings, who.cluster)
            foreign = who.cluster != settings.cluster
            home = Home(partition, self.edge.region, account, who.cluster, self.controller, foreign=foreign)
            self.clusters[who.cluster] = home, whole_view(self.edge, who.cluster)
        home, view = self.clusters[who.cluster]
        return case_of(obj, who, memory, home, view, settings, self.now)

    def _changed(self, changes: Sequence[Change], view: View) -> Iterator[Step]:
        rest = [*changes]
        while rest:
            match rest.pop(0), rest[0] if rest else None:
                case CreateProfile(name=new), DeleteProfile(profile=old):
                    rest.pop(0)
                    text = f"{old.name} -> {new}: the new one first, then the old one goes"
                    yield self._taking(self._going("replace", text, old), new, view, old.name)
                case DeleteProfile(profile=old, heir=None), CreateProfile(name=new):
                    rest.pop(0)
                    step = self._going("recreate", f"{old.name} -> {new}: the old one goes first", old)
                    yield self._taking(step, new, view, old.name)
                case CreateProfile(name=name, warnings=warnings), _:
                    step = Step("create", " ".join([f"profile {name}.", *(each.message for each in warnings)]))
                    yield self._taking(step, name, view)
                case DeleteProfile(profile=old, why=why), _:
                    yield self._leaving(self._going("delete", f"profile {old.name}: {why}; it goes", old), old, view)
                case TagProfile(profile=old, tags=tags, event=event), _:
                    yield retag("adopt" if event == "Adopted" else "tag", old, tags)
                case UntagProfile(profile=old, keys=keys), _:
                    yield retag("untag", old, dict.fromkeys(keys))

    def _going(self, word: str, text: str, profile: aws.Profile) -> Step:
        number = running_pods(self.kubernetes, profile.name) if self.kubernetes and self._pods_of(profile) else None
        pods = "its pods" if number is None else counted(number, "running pod")
        return Step(word, f"{text}, with {pods}.", pods=number)

    def _taking(self, step: Step, name: str, view: View, old: str = "") -> Step:
        """Add to a row which pods its profile will take, of those that are there; `old`: the one that it replaces."""
        profile = view.profiles.get(name)
        takes = self._asked(profile, lambda pods: pods.taken_by(profile, view, old)) if profile else None
        return step._replace(text=f"{step.text} {name} takes {takes}.", takes=takes) if takes else step

    def _leaving(self, step: Step, profile: aws.Profile, view: View) -> Step:
        """Add to a row where the pods of a profile that goes find another one."""
        where = self._asked(profile, lambda pods: pods.left_by(profile, view))
        return step._replace(text=f"{step.text} {where}") if where else step

    def _asked(self, profile: aws.Profile, ask: Callable[[PodsThere], T]) -> T | None:
        """Ask something of the pods of the profile's cluster; None where that is not known, and why is told once."""
        try:
            pods = self._pods_of(profile)
            return ask(pods) if pods else None
        except kube.KubeError as error:
            self.doubt = self.doubt or NOTHING_OF_PODS.format(error)
            return None

    def _pods_of(self, profile: aws.Profile) -> PodsThere | None:
        """Return the pods that can be listed, if it is proven that they are those of the profile's cluster."""
        if not (self.kubernetes and self.pods):
            return None
        cluster = profile.arn.split("/")[1]
        if cluster not in self.unproven:
            self.kubernetes.may_list_pods()  # so that the API server takes our token, if it does
            authority = self.settings.authority_of(cluster)
            self.unproven[cluster] = self.known.unproven(cluster, authority, self.kubernetes)
        if why := self.unproven[cluster]:
            here = f"whether EKS cluster {cluster} is the one that the kubeconfig reaches is unknown: {why}"
            self.doubt = self.doubt or NOTHING_OF_PODS.format(here)
        return None if why else self.pods


def retag(word: str, profile: aws.Profile, tags: Mapping[str, str | None]) -> Step:
    """Say which tags change, and from what to what; a new value of None takes the tag away."""
    pairs = {key: (profile.tags.get(key), tags[key]) for key in sorted(tags)}
    shown = [
        (key if new is None else f"{key}={new}") + ("" if old is None else f" (was {old})")
        for key, (old, new) in pairs.items()
    ]
    return Step(word, f"profile {profile.name}: {', '.join(shown)}", tags=pairs)


def applied(key: Key, spec: Any, live: Object, now: datetime) -> Object:
    """Return an object as the API server has it after `kubectl apply`."""
    meta = live.get("metadata") or {"namespace": key[0], "name": key[1], "creationTimestamp": timestamp(now)}
    return {"metadata": meta, "spec": spec, "status": live.get("status") or {}}


# What it means for the pods that are there

MOST_PODS, MOST_TIME = 20_000, timedelta(seconds=30)  # that are looked at in one call of plan, and for how long
NOTHING_OF_PODS = "What this means for the pods that are there is not said: {}."
LIVING = "status.phase!=Succeeded,status.phase!=Failed"
# Metadata do not show who schedules a pod, and where it is: each kind is listed by itself, the rarest first.
KINDS = {
    "stranded": (DEFAULT_SCHEDULER, "status.phase=Pending,spec.nodeName="),
    "fargate": (FARGATE_SCHEDULER, LIVING),
    "ec2": (DEFAULT_SCHEDULER, f"{LIVING},spec.nodeName!="),
}
MOVES = {  # how each comes to a profile: of one, and of several
    "ec2": ("on EC2 moves at its next restart", "on EC2 move at their next restart"),
    "fargate": ("of another profile moves at its next restart", "of other profiles move at their next restart"),
    "stranded": (
        "stranded is taken only when it is made anew",
        "stranded are taken only when they are made anew",
    ),
    "back": (
        "goes with the old one and is taken when it is made anew",
        "go with the old one and are taken when they are made anew",
    ),
}


class Takes(NamedTuple):
    """How many of the pods that are there a profile takes, by what has to happen before.

    `back`: they go with the profile that it replaces. `fargate`: another profile has them. `unsure`: it can't be
    said whether it takes them. `more`: not all pods were looked at.
    """

    back: int = 0
    fargate: int = 0
    ec2: int = 0
    stranded: int = 0
    unsure: int = 0
    more: bool = False

    @property
    def sum(self) -> int:
        return sum(getattr(self, kind) for kind in MOVES)

    def __str__(self) -> str:
        kinds = [(getattr(self, kind), *texts) for kind, texts in MOVES.items()]
        said = ", ".join(f"{number} {one if number == 1 else several}" for number, one, several in kinds if number)
        least = "at least " if self.more else ""
        unsure = f"; of {self.unsure} more it can't be said" if self.unsure else ""
        return f"{least}{counted(self.sum, 'pod')}{': ' if said else ' that are there'}{said}{unsure}"

    def fields(self) -> Object:
        kinds = {"onEc2": self.ec2, "ofOthers": self.fargate, "stranded": self.stranded, "goWithTheOld": self.back}
        return {"pods": self.sum, **kinds, "unknown": self.unsure, "more": self.more}


@dataclass
class PodsThere:
    """The pods of the cluster that we talk to, by their metadata: listed where they are wanted, each list once.

    As EKS would see each if it were made anew with the labels that it has now.
    """

    kubernetes: kube.Kube
    now: Callable[[], datetime]
    lists: dict[tuple[str, str, str], tuple[list[Object], bool]] = field(default_factory=dict)  # pods, and if all
    number: int = 0
    begun: datetime | None = None

    def taken_by(self, profile: aws.Profile, view: View, old: str) -> Takes:
        """Return which pods a profile of the view takes; `old`: that profile is gone by then."""
        count: Counter[str] = Counter()
        more = False
        rivals = [each for each in view.profiles.values() if share_pods(each.selectors, profile.selectors)]
        for kind, pods, whole in self._near(profile.selectors):
            more |= not whole
            for pod in pods:
                choice = chosen(anew(pod), rivals, view.hidden)
                if choice.profile and choice.profile.name == profile.name:
                    count[kind_of(kind, pod, profile.name, old, view)] += 1
                elif choice.profile is None and profile.name in choice.could:
                    count["unsure"] += 1
        return Takes(**count, more=more)

    def left_by(self, profile: aws.Profile, view: View) -> str:
        """Say which profiles take the pods of one that goes once they are made anew, "" where it has none."""
        pods, whole = self._list("", f"{PROFILE_LABEL}={profile.name}", "fargate")
        choices = [chosen(anew(pod), view.profiles.values(), view.hidden) for pod in pods]
        heirs = Counter(heir_of(each) for each in choices)
        said = [f"{number} to {heir}" for heir, number in sorted(heirs.items())]
        return f"Where they go once made anew: {'' if whole else 'at least '}{listed(said)}." if said else ""

    def _near(self, selectors: Collection[aws.Selector]) -> Iterator[tuple[str, list[Object], bool]]:
        """Yield the pods that selectors may match, each once, by kind, and whether all of them were looked at."""
        seen = set[str]()
        for kind in KINDS:
            for selector in sorted(selectors):
                namespace = "" if re.search(WILD, selector.namespace) else selector.namespace
                pods, whole = self._list(namespace, terms(selector), kind)
                yield kind, [each for each in pods if each["metadata"]["uid"] not in seen], whole
                seen |= {each["metadata"]["uid"] for each in pods}

    def _list(self, namespace: str, labels: str, kind: str) -> tuple[list[Object], bool]:
        """Return the pods of a kind, and whether these are all."""
        key = namespace, labels, kind
        if key not in self.lists and not self._has_enough():
            scheduler, fields = KINDS[kind]
            query = {"fieldSelector": f"spec.schedulerName={scheduler},{fields}"}
            query |= {"labelSelector": labels} if labels else {}
            found, enough = list[Object](), False
            path = f"/api/v1{f'/namespaces/{namespace}' if namespace else ''}/pods"
            for page, _ in self.kubernetes.pages(path, query, metadata_only=True):
                found += [as_made(each, scheduler) for each in page if "deletionTimestamp" not in each["metadata"]]
                self.number += len(page)
                if enough := self._has_enough():
                    break
            self.lists[key] = found, not enough
        return self.lists.get(key, ([], False))

    def _has_enough(self) -> bool:
        self.begun = self.begun or self.now()
        return self.number >= MOST_PODS or self.now() - self.begun >= MOST_TIME


WILD = "[*?]"


def terms(selector: aws.Selector) -> str:
    """Return the label selector of Kubernetes by which to list what a selector may match: all but its wildcards."""
    plain = [(key, value) for key, value in selector.labels if re.fullmatch(kube.LABEL_KEY, key)]
    return ",".join(f"{key}={value}" if re.fullmatch(kube.LABEL, value) else key for key, value in plain)


def as_made(obj: Object, scheduler: str) -> Object:
    """Return of a pod's metadata what EKS looks at, and who schedules it."""
    meta = mapping(obj.get("metadata"))
    kept = {key: meta[key] for key in ("uid", "namespace", "labels", "ownerReferences") if key in meta}
    annotations = {key: each for key, each in mapping(meta.get("annotations")).items() if key == COMPUTE_TYPE}
    return {"metadata": {"uid": "", **kept, "annotations": annotations}, "spec": {"schedulerName": scheduler}}


def kind_of(kind: str, pod: Object, profile: str, old: str, view: View) -> str:
    """Return what has to happen before a profile has a pod, as a field of `Takes`."""
    if kind != "fargate":
        return kind
    name = holder(pod)
    if name == old:
        return "back"
    return "stranded" if name == profile or name not in view.names else "fargate"


def heir_of(choice: Choice) -> str:
    """Say who takes a pod that is made anew."""
    if choice.profile:
        return choice.profile.name
    return "no profile" if choice.taken == "no" else f"one of {' and '.join(choice.could)}, or none"
