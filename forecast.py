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
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

import aws
import kube
from actions import Change, CreateProfile, DeleteProfile, Phase, Report, TagProfile, UntagProfile
from answers import AwsError
from case import NO_FACTS, Case, case_of
from clusters import View, whole_view
from entries import Barred, Entry
from kube import Key, Object
from limits import Settings
from lookups import running_pods
from memory import foresee
from overlaps import overlap_message, overlaps, share_pods
from patterns import LONGEST_LIST, counted, listed, timestamp
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
from sites import Homes, Site, Sites, There, nowhere
from spec import FINALIZER, Defaults, Identity, InvalidSpec, Memory, Resource, is_guarded, mapping
from status import is_ready, with_note, written
from surroundings import Home, Network

T = TypeVar("T")
WORDS = {Phase.READY: "nothing", Phase.IDLE: "nothing", Phase.RECONCILING: "wait", Phase.STALLED: "refuse"}
FIXED = ("clusterName", "profileName")  # by crd.yaml, once the object is there
ROLE_BY = "spec.podExecutionRoleArn"


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
    them, then as each object would leave them; of those in `failed` nothing is known, and why.
    """

    sites: Sites
    homes: Homes
    kubernetes: kube.Kube | None
    settings: Settings
    now: datetime
    pods: PodsThere | None = None
    clusters: dict[str, tuple[Home, View]] = field(default_factory=dict)
    failed: dict[str, AwsError] = field(default_factory=dict)
    unproven: dict[str, str] = field(default_factory=dict)  # by cluster: why its pods are not known to be those here
    doubt: str = ""  # why nothing is said of pods: what came first

    def of(self, key: Key, obj: Object) -> Iterator[Step]:
        """Yield what would be done for a valid object that is applied."""
        live, spec = (self.kubernetes.get(*key) if self.kubernetes else None) or {}, obj["spec"]
        edited = [f"spec.{key}" for key in FIXED if live and (live.get("spec") or {}).get(key) != spec.get(key)]
        if edited:
            text = f"The API server lets nobody change {' and '.join(edited)}: make a new object."
            yield Step("refuse", text)
            return
        yield from self._followed(applied(key, spec, live, self.now))

    def without(self, key: Key, obj: Object) -> Iterator[Step]:
        """Yield what would be done if the object were deleted."""
        there = applied(key, obj.get("spec"), {}, self.now)
        there["metadata"]["finalizers"] = [FINALIZER]
        live = self.kubernetes.get(*key) if self.kubernetes else there
        if live is None:
            yield Step("nothing", "There is no such object.")
        elif not is_guarded(live["metadata"].get("finalizers") or ()):
            yield Step("nothing", "The object goes at once: the operator has not yet begun with it.")
        else:
            meta = {"deletionTimestamp": timestamp(self.now)} | live["metadata"]
            yield from self._followed({**live, "metadata": meta})

    def _followed(self, obj: Object) -> list[Step]:
        """Return what is done for an object in its cluster, whose own trouble is no other's where a file lists them."""
        memory = Memory.parse(obj)
        who = Identity.parse(obj, memory, self.settings.cluster)
        entry = self.sites.find(who)
        key = entry.key if isinstance(entry, Entry) else ""
        try:
            if key in self.failed:
                raise self.failed[key]
            entry = self.homes.admit(entry)
            if isinstance(entry, Barred):
                barred = replace(self._case(obj, who, memory, nowhere(who.cluster), NO_VIEW), barred=entry)
                return [*self._barred(barred)]
            case = self._case_in(entry, obj, replace(who, cluster=entry.name), memory)
            return [*self._in(entry, case, is_ready(written(obj["status"].get("conditions") or []), who))]
        except AwsError as error:
            if self.sites.entries.listed is None:
                raise
            self.failed[key] = error
            return [Step("refuse", f"{error.reason}: {error}")]

    def _case_in(self, entry: Entry, obj: Object, who: Identity, memory: Memory) -> Case:
        if entry.key not in self.clusters:
            site, home = site_of(self.sites, entry), self.homes.of(entry)
            self.clusters[entry.key] = home, whole_view(site.aws, home.cluster)
        case = self._case(obj, who, memory, *self.clusters[entry.key], entry.defaults)
        return replace(case, at_home=self.sites.entries.at_home(entry, who.namespace))

    def _case(
        self, obj: Object, who: Identity, memory: Memory, home: Home, view: View, defaults: Defaults | None = None
    ) -> Case:
        return case_of(obj, who, memory, home, view, self.settings, self.now, defaults)

    def _in(self, entry: Entry, case: Case, ready: bool) -> Iterator[Step]:
        known, cluster = self.sites.of(entry).known, entry.cluster
        changes, end, last = foresee(case, partial(known.facts, cluster), partial(known.network, cluster), ready)
        self.clusters[entry.key] = case.home, last.view
        yield from self._changed(changes, last.view, entry)
        if changes and end.reason == "Deleted":
            return
        end = with_note(end, last.who, self.settings)
        if not changes or end.phase is not Phase.READY or end.note:
            yield ending(end)
        if end.phase is Phase.READY and (told := last.changed_defaults()):
            yield Step("nothing", f"DefaultsChanged: {told}")
        overlap = overlap_message(last, overlaps(last))
        if overlap not in {"", overlap_message(case, overlaps(case))}:
            yield Step("overlap", overlap)

    def _barred(self, case: Case) -> Iterator[Step]:
        # Of an object without a cluster nothing is asked.
        _, end, last = foresee(case, lambda _: NO_FACTS, lambda: Network(None))
        yield ending(with_note(end, last.who, self.settings))

    def _changed(self, changes: Sequence[Change], view: View, entry: Entry) -> Iterator[Step]:
        rest = [*changes]
        while rest:
            match rest.pop(0), rest[0] if rest else None:
                case CreateProfile(name=new, spec=spec), DeleteProfile(profile=old):
                    rest.pop(0)
                    text = f"{old.name} -> {new}{settled_by(spec)}: the new one first, then the old one goes"
                    yield self._taking(self._going("replace", text, old, entry), new, view, entry, old.name)
                case DeleteProfile(profile=old, heir=None), CreateProfile(name=new, spec=spec):
                    rest.pop(0)
                    text = f"{old.name} -> {new}{settled_by(spec)}: the old one goes first"
                    step = self._going("recreate", text, old, entry)
                    yield self._taking(step, new, view, entry, old.name)
                case CreateProfile(name=name, spec=spec, warnings=warnings), _:
                    said = [f"profile {name}{settled_by(spec)}.", *(each.message for each in warnings)]
                    step = Step("create", " ".join(said))
                    yield self._taking(step, name, view, entry)
                case DeleteProfile(profile=old, why=why), _:
                    step = self._going("delete", f"profile {old.name}: {why}; it goes", old, entry)
                    yield self._leaving(step, old, view, entry)
                case TagProfile(profile=old, tags=tags, event=event), _:
                    yield retag("adopt" if event == "Adopted" else "tag", old, tags)
                case UntagProfile(profile=old, keys=keys), _:
                    yield retag("untag", old, dict.fromkeys(keys))

    def _going(self, word: str, text: str, profile: aws.Profile, entry: Entry) -> Step:
        number = running_pods(self.kubernetes, profile.name) if self.kubernetes and self._pods_in(entry) else None
        pods = "its pods" if number is None else counted(number, "running pod")
        return Step(word, f"{text}, with {pods}.", pods=number)

    def _taking(self, step: Step, name: str, view: View, entry: Entry, old: str = "") -> Step:
        """Add to a row which pods its profile will take, of those that are there; `old`: the one that it replaces."""
        profile = view.profiles.get(name)
        takes = self._asked(entry, lambda pods: pods.taken_by(profile, view, old)) if profile else None
        return step._replace(text=f"{step.text} {name} takes {takes}.", takes=takes) if takes else step

    def _leaving(self, step: Step, profile: aws.Profile, view: View, entry: Entry) -> Step:
        """Add to a row where the pods of a profile that goes find another one."""
        where = self._asked(entry, lambda pods: pods.left_by(profile, view))
        return step._replace(text=f"{step.text} {where}") if where else step

    def _asked(self, entry: Entry, ask: Callable[[PodsThere], T]) -> T | None:
        """Ask something of the pods of a cluster; None where that is not known, and why is told once."""
        try:
            pods = self._pods_in(entry)
            return ask(pods) if pods else None
        except kube.KubeError as error:
            self.doubt = self.doubt or NOTHING_OF_PODS.format(error)
            return None

    def _pods_in(self, entry: Entry) -> PodsThere | None:
        """Return the pods that can be listed, if it is proven that they are those of the cluster."""
        if not (self.kubernetes and self.pods):
            return None
        if entry.key not in self.unproven:
            self.kubernetes.may_list_pods()  # so that the API server takes our token, if it does
            self.unproven[entry.key] = There(self.sites, self.homes, entry).unproven(self.kubernetes)
        if why := self.unproven[entry.key]:
            here = f"whether EKS cluster {entry.cluster} is the one that the kubeconfig reaches is unknown: {why}"
            self.doubt = self.doubt or NOTHING_OF_PODS.format(here)
        return None if why else self.pods


NO_VIEW = View(False, {}, 0.0)


def ending(end: Report) -> Step:
    """Return the row of what an object comes to."""
    reason = "" if end.message.startswith(end.reason) else f"{end.reason}: "
    return Step(WORDS[end.phase], reason + end.message + end.note)


def settled_by(spec: aws.ProfileSpec) -> str:
    """Say with which role and in which subnets a profile is made, where the object does not name them in full."""
    role = "" if spec.role_by == ROLE_BY else f" with {spec.role} ({spec.role_by})"
    if not (spec.terms and spec.subnets):
        return role
    return f"{role} in {listed(sorted(spec.subnets), most=LONGEST_LIST)}, which {spec.subnets_by} match"


def site_of(sites: Sites, entry: Entry) -> Site:
    """Return the site of a cluster; what signs there was asked for, once."""
    site = sites.of(entry)
    for fetch in sites.due():
        fetch()
    return site


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
    if live and _asks(live, live.get("spec")) != _asks(live, spec):
        meta = {**meta, "generation": (meta.get("generation") or 0) + 1}
    return {"metadata": meta, "spec": spec, "status": live.get("status") or {}}


def _asks(obj: Object, spec: Any) -> Resource | str:
    """Return what a spec asks for: the API server's defaults, which an applied one lacks, make no edit of it."""
    try:
        return Resource.parse({**obj, "spec": spec})
    except InvalidSpec as error:
        return str(error)


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
                pods, whole = self._list(namespace, label_selector(selector), kind)
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


def label_selector(selector: aws.Selector) -> str:
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
