"""The command explain: which profile takes a pod and why, what was near, whether it is stranded, what
Fargate can't run of it, what is billed, and what Fargate's scheduler has said of it.

The picture: pods of the cluster, or what a manifest's controller would make -> `Subject`; the profiles
of EKS, or where AWS can't be asked those that the objects' status tells of -> `Known`; both, by pods.py
-> `Answer`, as rows or as JSON.

What it is not: a change, or a decision; what profiles mean for pods is said in pods.py. It asks for
what may be refused (LimitRanges, claims, volumes, events), and says what it did without.
"""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import kube
import pods
from answers import AwsError
from aws import Profile, Selector
from clusters import whole_view
from entries import Barred
from kube import Key, KubeError, Object
from limits import Settings
from patterns import capacity, listed, matches, moment, visible
from pods import Choice, Hurdle, Labels, Odd, Row, Size, Stranded, Text, has, items, part, several, text
from sites import There
from spec import Identity, InvalidSpec, Memory, Resource, mapping
from status import find_condition, is_current, written

MOST_PODS = 5000  # of a namespace, for a profile; a page more may be read
MOST_ASKED = 100  # of them, about whose events and claims is asked: those that wait
MOST_NEAR, MOST_NAMES = 3, 5
MOST_MISSING = 2  # labels, for a selector to be a near miss
CLOCKS_APART = timedelta(minutes=2)  # that EKS's and the API server's may be: here it only chooses words


class Written(Protocol):
    """An object of a file."""

    file: str
    obj: Any

    @property
    def line(self) -> int: ...

    def key(self, namespace: str) -> Key: ...


@dataclass(frozen=True)
class Subject:
    """A pod that is there, or one as it would be made from an object of a file."""

    kind: str
    key: Key
    pod: Object
    live: bool = True
    file: str = ""
    line: int = 0

    @property
    def name(self) -> str:
        return "/".join(self.key) if self.kind == "Pod" else f"{'/'.join(self.key)} ({self.kind})"


@dataclass
class Known:
    """The profiles of the EKS cluster, and what is not known of them; `doubts` are told on standard error."""

    cluster: str
    source: str
    profiles: list[Profile]
    hidden: Mapping[str, str]
    proven: bool
    doubts: list[str] = field(default_factory=list)

    def unseen(self, holder: str) -> Collection[str]:
        """Return the names of profiles that are not seen: no status tells that the one which a pod names is gone."""
        missing = self.source == "status" and holder and holder not in {each.name for each in self.profiles}
        return {*self.hidden, holder} if missing else self.hidden


class Line(NamedTuple):
    word: str
    text: str


def explain(
    there: There, settings: Settings, options: Namespace, files: Sequence[Written]
) -> tuple[int, list[str], list[str]]:
    """Return the exit code, what goes to standard output, and what to standard error."""
    asked, doubts = reached(files=bool(options.filename))
    known = known_profiles(there, settings, asked)
    known.doubts += doubts
    if options.filename:
        subjects = [*read_from(files, options.namespace or kube.default_namespace() or "default", known)]
        if options.namespace:
            known.doubts += strangers(files, options.namespace)
    elif options.pod:
        namespace, name = named(options.pod, options.namespace)
        subjects = [Subject("Pod", (namespace, name), asked_for(asked).core("pods", namespace, name)[0])]
    else:
        return of_profile(asked_for(asked), there, settings, known, options)
    answers = [judged(each, known, asked) for each in subjects]
    lines = [line for each in answers for line in each.lines()]
    return told(answers, known, options, lines)


def told(
    answers: Sequence[Answer], known: Known, options: Namespace, rows: Sequence[tuple[str, Line]]
) -> tuple[int, list[str], list[str]]:
    """Return a row for each thing that is said, and the sum."""
    sums = Counter(each.verdict for each in answers)
    said = ", ".join(f"{sums[each]} {each}" for each in VERDICTS if sums[each]) or "no pods"
    width = max((len(name) for name, _ in rows), default=0)
    out = [visible(f"{line.word:8}  {name:{width}}  {line.text}") for name, line in rows]
    out.append(f"Pods: {said}.")
    if options.output == "json":
        head = {"cluster": known.cluster, "proven": known.proven, "profilesFrom": known.source}
        out = [json.dumps({**head, "objects": [each.fields() for each in answers], "sum": sums}, indent=2)]
    return int(any(each.trouble for each in answers)), out, [visible(each) for each in known.doubts]


VERDICTS = ("taken", "left", "unknown", "stranded")


def named(key: Key, namespace: str | None) -> Key:
    return key[0] or namespace or kube.default_namespace() or "default", key[1]


# What there is


def reached(*, files: bool) -> tuple[kube.Kube | None, list[str]]:
    """Return the way to the API server; for manifests it may be missing, which is said then."""
    try:
        return kube.Kube(kube.connect(2), "explain"), []
    except KubeError as error:
        if not files:
            raise
        return None, [f"{error}. So sizes are as the manifests say, and no claim is looked at."]


def asked_for(asked: kube.Kube | None) -> kube.Kube:
    if asked is None:
        raise KubeError("no way to the API server")
    return asked


def known_profiles(there: There, settings: Settings, asked: kube.Kube | None) -> Known:
    """Return the profiles as EKS has them; where AWS can't be asked, as the objects' status tells."""
    cluster = there.entry.cluster
    try:
        _ = there.home  # raises where the credentials are known to be of another account than the cluster
        view = whole_view(there.site.aws, cluster)
    except AwsError as error:
        if asked is None:
            raise
        try:
            profiles, hidden = told_by_status(asked.list()[0], there, settings)
        except KubeError as other:
            raise KubeError(f"{error} And the objects, whose status has profiles too: {other}") from other
        doubt = (
            f"AWS can't be asked: {error} So profiles are known by the status of FargateProfile objects alone: those "
            f"without an object are missing here, and it is unknown whether EKS cluster {cluster} is this one."
        )
        return Known(cluster, "status", profiles, hidden, False, [doubt])
    if not view.found:
        raise there.missing
    hidden = {name: str(error) for name, error in view.hidden.items()}
    why = not_this_one(there, asked) if asked else "there is no way to the API server"
    doubts = [
        f"Whether EKS cluster {cluster} is the cluster of these pods is unknown: {why}. What is said of profiles holds "
        "only if it is."
    ]
    return Known(cluster, "EKS", [*view.profiles.values()], hidden, not why, doubts if why else [])


def not_this_one(there: There, asked: kube.Kube) -> str:
    """Say why it is not known whether the cluster is the one that we talk to, "" if that is proven."""
    with suppress(KubeError):
        asked.may_list_pods()  # so that the API server takes our token, if it does
    return there.unproven(asked)


def told_by_status(objects: Iterable[Object], there: There, settings: Settings) -> tuple[list[Profile], dict[str, str]]:
    """Return the profiles of the objects that are Ready as they are now specified, and the names of the others."""
    profiles, hidden = [], {}
    for obj in objects:
        memory = Memory.parse(obj)
        who, status = Identity.parse(obj, memory, settings.cluster), mapping(obj.get("status"))
        name = memory.profile_name
        if not (there.has(who) and name):
            continue
        hidden[name] = f"the status of {who.owner} does not tell it as it is now"
        try:
            wanted = Resource.parse(obj).profile
        except InvalidSpec:
            continue
        if is_current(find_condition("Ready", written(status.get("conditions") or [])), who):
            del hidden[name]
            made = moment(status.get("createdAt")) or who.created_at
            profiles.append(Profile(name, "", "ACTIVE", made, wanted.role, wanted.selectors, frozenset()))
    return profiles, hidden


# What a file holds

# Labels that controllers add to the pods of a template, with values that nobody knows before.
ADDED = {
    "Deployment": ("pod-template-hash",),
    "StatefulSet": ("controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"),
    **dict.fromkeys(("Job", "CronJob"), (
        "controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name",
    )),
}  # fmt: skip
MADE_BY = {"Deployment": ("apps/v1", "ReplicaSet"), "CronJob": ("batch/v1", "Job")}  # else by itself
TEMPLATES = (("spec", "template"), ("spec", "jobTemplate", "spec", "template"), ("template",))


def read_from(files: Iterable[Written], namespace: str, known: Known) -> Iterator[Subject]:
    """Yield what makes pods, as the pods that it would make; what is passed over is told."""
    over: Counter[str] = Counter()
    for each in files:
        obj, key = mapping(each.obj), each.key(namespace)
        kind = str(obj.get("kind") or "?")
        pod = pod_of(obj, key)
        if pod is None:
            over[f"{kind} of {obj.get('apiVersion') or '?'}"] += 1
        else:
            yield Subject(kind, key, pod, False, each.file, each.line)
    if over:
        known.doubts.append(f"Passed over: {', '.join(f'{number} {kind}' for kind, number in sorted(over.items()))}.")


def strangers(files: Iterable[Written], namespace: str) -> Iterator[str]:
    """Yield what kubectl refuses: an object of another namespace than -n says."""
    for each in files:
        if (there := each.key(namespace)[0]) != namespace:
            yield f"{each.file}:{each.line}: it is of namespace {there}, so kubectl refuses it with -n {namespace}."


def pod_of(obj: Object, key: Key) -> Object | None:
    """Return the pod that an object is, or that is made from it; None for one without pods."""
    kind = obj.get("kind")
    if kind == "Pod" and obj.get("apiVersion") == "v1":
        meta = obj.get("metadata")
        return {**obj, "metadata": {**mapping(meta), "namespace": key[0]}}
    template = next((found for path in TEMPLATES if is_template(found := inside(obj, path))), None)
    if template is None or not isinstance(kind, str):
        return None
    meta, spec = {**mapping(template.get("metadata"))}, {**mapping(template["spec"])}
    version, owner = MADE_BY.get(kind, (obj.get("apiVersion"), kind))
    labels = meta.get("labels")
    if labels is None or isinstance(labels, dict):
        meta["labels"] = dict.fromkeys(ADDED.get(kind, ())) | (labels or {})
    meta |= {"namespace": key[0], "name": "", "ownerReferences": [{"apiVersion": version, "kind": owner}]}
    claims = inside(obj, ("spec",)).get("volumeClaimTemplates")
    if isinstance(claims, list) and isinstance(volumes := spec.get("volumes") or [], list):
        more = [{"name": "", "persistentVolumeClaim": {"claimName": ""}} for _ in claims]
        spec["volumes"] = [*volumes, *more]
    return {"metadata": meta, "spec": spec}


def inside(obj: Object, path: Sequence[str]) -> Object:
    for key in path:
        obj = mapping(obj.get(key))
    return obj


def is_template(found: Object) -> bool:
    return isinstance(mapping(found.get("spec")).get("containers"), list)


# What is said of one pod


@dataclass(frozen=True)
class Answer:
    """All that is said of a pod. `size` is what is billed for it by its spec, `given` what Fargate says it got."""

    subject: Subject
    holder: str  # the profile for which EKS has taken it
    choice: Choice
    near: Sequence[Near]
    stranded: Stranded | None
    runs: str
    hurdles: Sequence[Hurdle]
    size: Size
    given: Row | None
    said: Sequence[tuple[str, Sequence[Text]]]

    @property
    def verdict(self) -> str:
        if self.stranded and self.stranded.answer == "yes":
            return "stranded"
        if self.holder:
            return "taken"
        if self.subject.live:  # whatever would take it if it were made anew
            return "unknown" if self.stranded and self.stranded.answer == "unknown" else "left"
        return {"yes": "taken", "no": "left", "unknown": "unknown"}[self.choice.taken]

    @property
    def may_be_taken(self) -> bool:
        return bool(self.holder or self.choice.taken == "yes" or self.choice.could)

    @property
    def trouble(self) -> bool:
        """Whether something is to be mended."""
        phase = mapping(self.subject.pod.get("status")).get("phase")
        refused = phase in {"Pending", "Failed"} and any(
            each.again is not True for _, means in self.said for each in means
        )
        return self.verdict == "stranded" or (self.runs == "no" and self.may_be_taken) or refused

    def lines(self) -> list[tuple[str, Line]]:
        """Return the rows of a pod, each beside its name."""
        rows = [Line("profile", self.about_profile)]
        rows += [Line("near", f"{' and '.join(each.missing)}.") for each in self.near[:MOST_NEAR]]
        if self.stranded and self.stranded.answer == "yes":
            rows.append(Line("stranded", f"{capital(self.stranded.why)}. {mend_of(self.subject.pod)}"))
        elif self.stranded and self.stranded.answer == "no" and not self.stranded.choice:
            rows.append(Line("waits", f"{capital(self.stranded.why)}."))
        elif self.stranded and self.stranded.answer == "unknown":
            rows.append(Line("stranded", f"It can't be said whether it is: {self.stranded.why}."))
        rows += [Line("cannot" if each.sure else "unsure", f"{each}.") for each in self.hurdles]
        rows.append(Line("size", self.about_size))
        rows += [Line("said", meaning(words, means)) for words, means in self.said]
        return [(self.subject.name, each) for each in rows]

    @property
    def about_profile(self) -> str:
        if not self.subject.live:
            return about(self.choice)
        has = f"EKS has taken it for profile {self.holder}" if self.holder else "EKS has not taken it"
        return f"{has}. Made anew: {about(self.choice)}"

    @property
    def about_size(self) -> str:
        if self.given:
            return f"{self.given}, as Fargate says."
        written = "" if self.subject.live else ", as written"
        return f"{self.size}{written}." if self.may_be_taken else f"{self.size}{written}, if Fargate ran it."

    def fields(self) -> Object:
        choice, (namespace, name) = self.choice, self.subject.key
        least, most = self.size.least, self.size.most
        return {
            "kind": self.subject.kind, "namespace": namespace, "name": name,
            "file": self.subject.file, "line": self.subject.line, "holder": self.holder,
            "taken": choice.taken, "profile": choice.profile.name if choice.profile else "",
            "selector": str(choice.selector or ""), "why": choice.why, "could": [*choice.could],
            "near": [{"profile": each.profile, "missing": [*each.missing]} for each in self.near],
            "stranded": self.stranded.answer if self.stranded else "no",
            "strandedWhy": self.stranded.why if self.stranded else "",
            "runs": self.runs, "hurdles": [each._asdict() for each in self.hurdles],
            "size": self.size.answer, "vcpu": [each and each.vcpu for each in (least, most)],
            "memoryGiB": [each and each.gib for each in (least, most)],
            "provisioned": [*self.given] if self.given else [],
            "said": [
                {"text": words, "reasons": [each.reason for each in means], "mends": [each.mend for each in means],
                 "again": means[0].again if means else None}
                for words, means in self.said
            ],
        }  # fmt: skip


def about(choice: Choice) -> str:
    if choice.profile:
        why = f": {choice.why}" if choice.why else ""
        return f"{choice.profile.name} takes it, by its selector {choice.selector}{why}."
    who = {"yes": "one of them takes it", "no": "none takes it", "unknown": "unknown"}[choice.taken]
    return f"{who}: {choice.why}."


def capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def meaning(words: str, means: Sequence[Text]) -> str:
    """Return what was said, in its own words, and what mends it."""
    if not means:
        return words
    again = {True: "It is tried again by itself.", False: "It is not tried again.", None: ""}[means[0].again]
    mends = " ".join(each.mend for each in means)
    return " ".join(filter(None, [f"{', '.join(each.reason for each in means)}: {mends}", again, f"({words})"]))


def mend_of(pod: Object) -> str:
    """Say how a pod is made anew, by who owns it."""
    owners = pod_part(pod, "metadata").get("ownerReferences")
    known = [each for each in owners if isinstance(each, dict)] if isinstance(owners, list) else []
    owner = next((each for each in known if each.get("controller") is True), known[0] if known else None)
    if owner is None:
        return "Nobody makes it anew: delete it and make it again."
    whose = f"{owner.get('kind')} {owner.get('name')}"
    if owner.get("kind") == "Job":
        return f"Delete it: {whose} makes another, if its backoffLimit lets it."
    return f"Make it anew: kubectl rollout restart of what {whose} belongs to, or delete the pod."


def pod_part(pod: Object, key: str) -> Object:
    return mapping(pod.get(key))


def judged(subject: Subject, known: Known, asked: kube.Kube | None) -> Answer:
    """Return all that is to be said of a pod, with what may be read beside it."""
    pod, why = subject.pod, ""
    if not subject.live:
        pod, why = with_defaults(pod, limit_ranges(asked, subject.key[0]))
    fresh = pods.anew(pod) if subject.live else pod
    holder = pods.holder(pod) if subject.live else ""
    hidden = known.unseen(holder)
    choice = pods.chosen(fresh, known.profiles, hidden)
    runs, hurdles = pods.unsupported(pod, drivers(asked, pod))
    waits = subject.live and is_waiting(pod)
    made = moment(pod_part(pod, "metadata").get("creationTimestamp"))
    since = made + CLOCKS_APART if made else None
    said = said_of(pod, events(asked, subject)) if subject.live else []
    return Answer(
        subject, holder, choice,
        near_misses(fresh, known.profiles) if choice.taken != "yes" and not left_alone(fresh) else [],
        pods.stranded(pod, known.profiles, hidden, since) if waits else None,
        {"yes": "no", "no": "yes", "unknown": "unknown"}[runs], hurdles,
        Size("unknown", why=why) if why else pods.size(pod), provisioned(pod) if subject.live else None,
        [(each, pods.translated(each)) for each in said],
    )  # fmt: skip


def left_alone(pod: Object) -> bool:
    try:
        return pods.opted_out(pod) is not None
    except Odd:
        return True


def provisioned(pod: Object) -> Row | None:
    """Return what Fargate has given to a pod by its own word, the annotation CapacityProvisioned."""
    found = capacity(mapping(pod_part(pod, "metadata").get("annotations")).get("CapacityProvisioned"))
    return Row(*found) if found else None


# What almost takes a pod


class Near(NamedTuple):
    """A selector that a pod does not match, but for a little: `missing` says what."""

    profile: str
    missing: tuple[str, ...]


def near_misses(pod: Object, profiles: Iterable[Profile]) -> list[Near]:
    """Return what almost takes a pod, the nearest first; of each profile that it does not match one selector."""
    labels, namespace = pods.labels_of(pod), pod_part(pod, "metadata").get("namespace")
    if labels is None or not isinstance(namespace, str):
        return []
    found = []
    for profile in profiles:
        if pods.fitting(profile, namespace, labels)[0] is False:
            near = [near_miss(profile.name, each, namespace, labels) for each in sorted(profile.selectors)]
            found += sorted(filter(None, near), key=lambda each: len(each.missing))[:1]
    return sorted(found, key=lambda each: (len(each.missing), each.profile))


def near_miss(profile: str, selector: Selector, namespace: str, labels: Labels) -> Near | None:
    missing = []
    for key, value in selector.labels:
        if has(labels, key, value) is False:
            there = f"label {key} is {labels[key] or 'empty'}" if key in labels else f"no label {key} fits"
            missing.append(f"{there}, the selector of {profile} wants {value}")
    if not matches(namespace, selector.namespace):
        wants = f"namespace is {namespace}, the selector of {profile} wants {selector.namespace}"
        return Near(profile, (wants,)) if selector.labels and not missing else None
    return Near(profile, tuple(missing)) if 0 < len(missing) <= MOST_MISSING else None


# What Kubernetes says beside a pod, where it may be read


def listing(asked: kube.Kube | None, plural: str, namespace: str, **query: str) -> list[Object]:
    try:
        found = asked.core(plural, namespace, query=query, most=MOST_PODS) if asked and is_name(namespace) else []
    except KubeError:
        return []
    return [each for each in found if isinstance(each, dict)]


def one(asked: kube.Kube | None, plural: str, namespace: str, name: str) -> Object:
    """Return the object, {} where it is not there or may not be read."""
    try:
        return asked.core(plural, namespace, name)[0] if asked and is_name(name) else {}
    except KubeError:
        return {}


def is_name(word: str) -> bool:
    return re.fullmatch(kube.NAME, word) is not None


def limit_ranges(asked: kube.Kube | None, namespace: str) -> list[Object]:
    return listing(asked, "limitranges", namespace)


def events(asked: kube.Kube | None, subject: Subject) -> list[Object]:
    uid = pod_part(subject.pod, "metadata").get("uid")
    fields = f"involvedObject.name={subject.key[1]},involvedObject.uid={uid}"
    return listing(asked, "events", subject.key[0], fieldSelector=fields)


def drivers(asked: kube.Kube | None, pod: Object) -> dict[str, str]:
    """Return the CSI driver of the volume of each claim of a pod that is seen to be bound."""
    namespace, found = str(pod_part(pod, "metadata").get("namespace") or ""), {}
    for name in claims_of(pod) if is_name(namespace) else []:
        claim = one(asked, "persistentvolumeclaims", namespace, name)
        volume = pod_part(claim, "spec").get("volumeName")
        if pod_part(claim, "status").get("phase") == "Bound" and isinstance(volume, str):
            there = one(asked, "persistentvolumes", "", volume)
            if there:
                found[name] = str(inside(there, ("spec", "csi")).get("driver") or "")
    return found


def claims_of(pod: Object) -> list[str]:
    """Return the names of all claims behind a pod's volumes that can be read."""
    try:
        volumes = several(part(pod, "spec"), "volumes", "spec.")
        behind = [each for each in volumes if {"persistentVolumeClaim", "ephemeral"} & each[1].keys()]
        return [name for where, each in behind if (name := pods.claim_of(pod, each, where))]
    except Odd:
        return []


def with_defaults(pod: Object, ranges: Iterable[Object]) -> tuple[Object, str]:
    """Return a pod with what the LimitRanges of its namespace give to containers that ask for nothing.

    And why its size can't be known all the same, "" for nothing: two of them say different things.
    """
    try:
        given: dict[tuple[str, str], object] = {}
        for key, value in defaults(ranges):
            if given.setdefault(key, value) != value:
                return pod, "the LimitRanges of its namespace contradict each other"
        spec = {**part(pod, "spec")}
        for kind in ("initContainers", "containers") if given else ():
            spec[kind] = [with_default(each, given) for each in items(spec, kind, dict)]
    except Odd as odd:
        return pod, f"{odd} can't be read"
    return {**pod, "spec": spec}, ""


def defaults(ranges: Iterable[Object]) -> Iterator[tuple[tuple[str, str], object]]:
    for each in ranges:
        for item in items(part(each, "spec"), "limits", dict):
            if text(item, "type") == "Container":
                for kind, name in (("limits", "default"), ("requests", "defaultRequest")):
                    yield from (((kind, key), value) for key, value in part(item, name).items())


def with_default(container: Object, given: Mapping[tuple[str, str], object]) -> Object:
    resources = part(container, "resources")
    limits, requests = part(resources, "limits"), part(resources, "requests")
    # The API server makes a limit a request before LimitRanges come to it.
    filled = {"limits": {**limits}, "requests": {**limits, **requests}}
    for (kind, key), value in given.items():
        filled[kind].setdefault(key, value)
    return {**container, "resources": {**resources, **filled}}


# What was said of a pod


def said_of(pod: Object, told: Iterable[Object]) -> list[str]:
    """Return what was said of a pod, each text once: in its status, of its containers, in events.

    Of events only what is known, or a scheduler's word: in a cluster without a ConfigMap for logs each pod has a
    warning of that, and nothing is wrong.
    """
    status = pod_part(pod, "status")
    found = [status] if status.get("reason") == "UnsupportedPodSpec" else []
    for each in maps(status.get("conditions")):
        found += [each] if (each.get("type"), each.get("status")) == ("PodScheduled", "False") else []
    words = [str(each.get("message") or "") for each in found]
    words += [each for each in of_containers(status) if pods.translated(each)]
    words += [str(each.get("message") or "") for each in told if is_warning(each)]
    return [each for each in dict.fromkeys(words) if each]


def of_containers(status: Object) -> Iterator[str]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        for each in maps(status.get(kind)):
            for state in ("waiting", "terminated"):
                inner = inside(each, ("state", state))
                yield ": ".join(filter(None, (str(inner.get(key) or "") for key in ("reason", "message"))))


def maps(value: object) -> list[Object]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def is_warning(event: Object) -> bool:
    """Say whether an event is a word of a scheduler, or one that we know."""
    told = event.get("reason") == "FailedScheduling" or pods.translated(str(event.get("message")))
    return event.get("type") == "Warning" and bool(told)


# What is said of a profile


def why_elsewhere(who: Identity, there: There) -> str:
    """Say why nothing is said of an object of another cluster, or of none."""
    found = there.sites.find(who)
    if isinstance(found, Barred):
        return found.message
    return (
        f"it is of cluster {found.name}, and this is {there.entry.name}. The pods of other clusters are unknown here."
    )


def of_profile(
    asked: kube.Kube, there: There, settings: Settings, known: Known, options: Namespace
) -> tuple[int, list[str], list[str]]:
    """Say of an object's profile which pods are on it, which it would take, which are stranded, which are near."""
    namespace, name = named(options.profile, options.namespace)
    obj = asked.get(namespace, name)
    if obj is None:
        raise KubeError(f"There is no FargateProfile {namespace}/{name}.")
    memory = Memory.parse(obj)
    who = Identity.parse(obj, memory, settings.cluster)
    wanted = memory.profile_name or who.base
    profile = next((each for each in known.profiles if each.name == wanted), None)
    if not there.has(who):
        return 2, [], [visible(f"FargateProfile {namespace}/{name}: {why_elsewhere(who, there)}")]
    if profile is None:
        hidden = known.hidden.get(wanted, f"EKS has none of that name in cluster {known.cluster}")
        text = f"Profile {wanted} of cluster {who.cluster}: {hidden}. So nothing can be said of its pods."
        return 2, [], [visible(text), *map(visible, known.doubts)]
    near = pods_near(asked, profile, known)
    closer = {key_of(each) for each in [*filter(is_waiting, near)][:MOST_ASKED]}
    subjects = [Subject("Pod", key_of(each), each) for each in near]
    answers = [judged(each, known, asked if each.key in closer else None) for each in subjects]
    rows = [(who.owner, each) for each in summary(profile, answers)]
    its = [each for each in answers if profile.name in {each.holder, *each.choice.could}]
    rows += [line for each in its if each.trouble for line in each.lines()]
    return told(its, known, options, rows)


def is_waiting(pod: Object) -> bool:
    return pod_part(pod, "status").get("phase") == "Pending"


def key_of(pod: Object) -> Key:
    meta = pod_part(pod, "metadata")
    return str(meta.get("namespace")), str(meta.get("name"))


def pods_near(asked: kube.Kube, profile: Profile, known: Known) -> list[Object]:
    """Return the pods that a profile has, takes, may take or nearly takes, of the namespaces that it selects."""
    wild = any(re.search("[*?]", each.namespace) for each in profile.selectors)
    found: list[Object] = []
    for namespace in [""] if wild else sorted({each.namespace for each in profile.selectors}):
        found += asked.core("pods", namespace, most=MOST_PODS)
        if len(found) >= MOST_PODS:
            known.doubts.append(f"There are more than {len(found):,} pods: the others are not looked at.")
            break
    return [each for each in found if concerns(each, profile, known)]


def concerns(pod: Object, profile: Profile, known: Known) -> bool:
    fresh = pods.anew(pod)
    if pods.holder(pod) == profile.name or profile.name in pods.chosen(fresh, known.profiles, known.hidden).could:
        return True
    return not left_alone(fresh) and bool(near_misses(fresh, [profile]))


def summary(profile: Profile, answers: Sequence[Answer]) -> Iterator[Line]:
    """Yield what a profile means for pods, in a few rows."""
    yield Line(
        "profile", f"{profile.name} is {profile.status} and selects {listed([*map(str, sorted(profile.selectors))])}."
    )
    has = [each for each in answers if each.holder == profile.name]
    given = [each.given for each in has if each.given]
    sums = f", with {Row(sum(each.vcpu for each in given), sum(each.gib for each in given))} as Fargate says"
    yield Line("has", f"{named_pods(has)}{sums if given else ''}.")
    takes = [each for each in answers if not each.holder and each.choice.profile == profile]
    yield Line("takes", f"{named_pods(takes)} once made anew.")
    if may := [each for each in answers if not each.holder and each not in takes and profile.name in each.choice.could]:
        yield Line("may take", f"{named_pods(may)}: {listed([*dict.fromkeys(each.choice.why for each in may)], '; ')}.")
    shown = dict.fromkeys(near.missing for each in answers for near in each.near if near.profile == profile.name)
    for missing in [*shown][:MOST_NEAR]:
        first = next(each for each in answers if (profile.name, missing) in each.near)
        yield Line("near", f"{first.subject.name}: {' and '.join(missing)}.")


def named_pods(answers: Collection[Answer]) -> str:
    names = [each.subject.name for each in answers]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    number = f"{len(names) or 'no'} pod{'' if len(names) == 1 else 's'}"
    return f"{number}: {', '.join(names[:MOST_NAMES])}{more}" if names else number
