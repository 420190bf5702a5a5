"""The commands for people beside the controller: validate manifests, plan what they would do,
export what EKS has; explain and doctor have modules of their own.

The picture: files -> `manifests` (objects, and the YAML nodes that they came from) -> findings with
their lines, or the steps of `plan.plan` to its end; a view of the cluster -> one
manifest a profile. Each command returns an `Outcome`: standard output carries the result, standard
error the rest, the exit code is 0 (good), 1 (something is to be mended) or 2 (there is no result).

What it is not: a change, in AWS or in Kubernetes; a decision about objects, which is plan's.
"""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import answers
import aws
import config
import kube
from actions import Change, CreateProfile, DeleteProfile, Phase, TagProfile, UntagProfile
from case import Case, case_of
from clusters import View, whole_view
from config import Missing, command_line, configure, limits, members, place, spelled
from credentials import Credentials
from doctor import doctor
from explain import explain
from kube import Key, Object
from limits import Settings
from lookups import Known, running_pods
from memory import foresee
from overlaps import (
    Claim,
    Manifest,
    Told,
    can_be_a_name,
    clashes,
    free_name,
    manifest,
    manifests,
    overlap_message,
    overlaps,
    share_pods,
    unfit,
    written,
)
from patterns import counted, decoded, listed, readable, timestamp, visible_lines
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
from spec import FINALIZER, Finding, Identity, InvalidSpec, Memory, Resource, is_guarded, mapping, owner_of, tagged
from status import with_note
from surroundings import Home

T = TypeVar("T")


class Outcome(NamedTuple):
    """What a command prints, line by line, and its exit code; `changes`: plan has found something to do."""

    code: int
    out: list[str]
    err: list[str]
    changes: bool = False


def main(arguments: list[str], environ: Mapping[str, str], now: Callable[[], datetime]) -> int:
    """Run a command; return its exit code."""
    detailed = "--detailed-exitcode" in arguments
    try:
        outcome = run(arguments, environ, now)
    except (Missing, kube.KubeError) as error:
        outcome = Outcome(2, [], [f"controller.py: {error}"])
    except (answers.AwsError, OSError, UnicodeError) as error:
        outcome = Outcome(2, [], [readable(str(error))])
    except SystemExit as ended:  # a wrong command line, or --help
        raise SystemExit(1 if detailed and ended.code else ended.code) from None
    out = outcome.out if arguments[0] == "export" else map(visible_lines, outcome.out)  # YAML is to be read back
    for stream, lines in ((sys.stdout, out), (sys.stderr, map(visible_lines, outcome.err))):
        # Half of a surrogate pair, which JSON can hold, is nothing that can be written.
        stream.writelines(line.encode(errors="backslashreplace").decode() + "\n" for line in lines)
    if detailed:
        return 1 if outcome.code else 2 * outcome.changes
    return outcome.code


def run(arguments: list[str], environ: Mapping[str, str], now: Callable[[], datetime]) -> Outcome:
    options, rest = command_line(environ).parse_known_args(spelled(arguments))
    if options.command == "validate":
        return Outcome(2, [], [f"validate does not know {rest[0]}"]) if rest else validate(options, now())
    rest += ["--cluster-name", options.cluster] if options.cluster else []
    configured = configure(rest, environ)
    region, settings = place(configured)
    credentials = Credentials(lambda: aws.fetch(region, kube.Command, config.no_credentials()))
    credentials.step()
    edge = aws.Aws(aws.connect(region, 2, credentials), region)
    if options.command == "explain":
        return explained(edge, settings, options)
    if options.command == "doctor":
        lease = configured.lease_namespace, configured.lease_name
        who = partial(config.identify, edge, settings, settings.cluster)
        return Outcome(*doctor(edge, settings, options.output, lease, now(), who, sys.stderr.write), [])
    if options.command == "export":
        return export(edge, settings, options.namespace, everything=options.all)
    return foretell(edge, settings, options, now)


def explained(edge: aws.Aws, settings: Settings, options: Namespace) -> Outcome:
    """Say which profiles of the controller's own cluster take pods, and what that means."""
    found, broken, unread = read(options.filename or [], recursive=options.recursive)
    if broken or unread:
        return Outcome(2, [], [str(each) for each in [*unread, *broken]])
    return Outcome(*explain(edge, settings, options, partial(config.identify, edge, settings, settings.cluster), found))


def validate(options: Namespace, now: datetime) -> Outcome:
    """Judge every FargateProfile of the files, offline."""
    found, broken, unread = read(options.filename, recursive=options.recursive)
    ours = [each for each in found if not each.passed_over]
    more = beside(ours, options, now)
    judged = [each.judged(options.namespace, more[number]) for number, each in enumerate(ours)]
    findings = [*broken, *(each for several in judged for each in several)]
    wrong = sum(map(bool, judged))
    over = Counter(each.passed_over for each in found if each.passed_over)
    said = f"{counted(len(ours), kube.KIND)}, {counted(len(findings), 'finding')}"
    said += f" in {counted(wrong, 'object')}." if wrong else "."
    if over:
        said += f" Passed over: {', '.join(f'{number} {kind}' for kind, number in sorted(over.items()))}."
    lines = [str(each) for each in findings]
    if options.output == "github":
        lines = [each.annotation for each in [*unread, *findings]]
    elif options.output == "json":
        lists = {"findings": findings, "unread": unread}
        told = {name: [each._asdict() for each in several] for name, several in lists.items()}
        lines = [json.dumps({"objects": len(ours), "wrong": wrong, **told, "passedOver": over}, indent=2)]
    code = 2 if unread else 1 if findings else 0
    return Outcome(code, lines, [*map(str, unread), said])


def beside(manifests: Sequence[Manifest], options: Namespace, now: datetime) -> defaultdict[int, list[Finding]]:
    """Return, by the manifest's number, what it does not show alone: what flags forbid, and what another asks for."""
    found: defaultdict[int, list[Finding]] = defaultdict(list)
    claims: dict[int, Claim] = {}
    named = options.cluster or options.cluster_name
    cluster = kube.named_by_arn(named).cluster or named
    for number, each in enumerate(manifests):
        key = each.key(options.namespace)
        if not can_be_a_name(mapping(mapping(each.obj).get("metadata")).get("name")):
            continue
        who = Identity.parse(applied(key, each.obj.get("spec"), {}, now), Memory(), cluster or OF_THE_CONTROLLER)
        claims[number] = Claim(who, frozenset(), f"{each.file}:{each.line}")
        with suppress(InvalidSpec):
            wanted = Resource.parse(each.obj).profile
            claims[number] = replace(claims[number], selectors=wanted.selectors)
            # Which cluster is the controller's may not be known; the selectors are held to the same in any.
            judge = limits(options, cluster or who.cluster).judge
            found[number] += [finding for _, finding in judge(who, wanted)]
    numbers = [*claims]
    for index, finding in clashes([*claims.values()], overlapping=not options.allow_overlaps):
        found[numbers[index]].append(finding)
    return found


OF_THE_CONTROLLER = "(the controller's)"  # no cluster has this name


def read(files: Sequence[str], *, recursive: bool) -> tuple[list[Manifest], list[Told], list[Told]]:
    """Return the objects of the files, "-" for standard input, what is no YAML in them, and what can't be read.

    One file that can't be read keeps no other from being read.
    """
    found: list[Manifest] = []
    broken: list[Told] = []
    unread: list[Told] = []
    paths: dict[str, Path] = {}  # a file that is named twice says nothing twice
    for file in files:
        inside = {str(path): path for path in members(Path(file), recursive=recursive)}
        paths |= inside
        if not inside:
            mend = "name its files, or another folder" if recursive else "give -R if they are in folders of it"
            unread.append(Told(file, 0, "", "", "no *.yaml, *.yml or *.json is in this folder", mend))
    for file, path in paths.items():
        name = "stdin" if file == "-" else file
        try:
            raw = sys.stdin.buffer.read() if file == "-" else path.read_bytes()
            objects, errors = manifests(name, decoded(raw))
        except UnicodeDecodeError as error:
            what = f"{error.reason} at byte {error.start} ({error.encoding})"
            line = raw.count(b"\n", 0, error.start) + 1
            unread.append(Told(name, line, "", "", what, "save the file as UTF-8"))
        except OSError as error:
            what = error.strerror or str(error)
            unread.append(Told(name, 0, "", "", what, "correct the name, or who may read it"))
        else:
            found += objects
            broken += errors
    return found, broken, unread


# What EKS has, as manifests.


def export(edge: aws.Aws, settings: Settings, namespace: str, *, everything: bool) -> Outcome:
    """Print a manifest for each profile without an owner, or for every one, and a comment for what can't be one."""
    cluster = settings.cluster
    _, account = config.identify(edge, settings, cluster)
    view = whole_view(edge, cluster)
    where = f"EKS cluster {cluster} in {edge.region} of account {account}"
    if not view.found:
        return Outcome(2, [], [f"There is no {where}: check --cluster-name and --region."])
    objects: dict[Key, Object] = {}
    left_out: list[str] = []
    for profile in sorted(view.profiles.values(), key=lambda each: each.name):
        if everything or not tagged(profile):
            key = owner_of(profile) or free_name(profile.name, namespace, view)
            obj = manifest(cluster, profile, key)
            if why := "its owner has another, which is here" if key in objects else unfit(profile, obj):
                left_out.append(f"Profile {profile.name} is left out: {' '.join(why.split())}.")
            else:
                objects[key] = obj
    left_out += [
        f"Profile {name} is left out: EKS does not show it: {view.hidden[name]}" for name in sorted(view.hidden)
    ]
    kind = "profile" if everything else "ownerless profile"
    said = [f"{counted(len(objects), kind)} of {where}.", *left_out]
    documents = [line for obj in objects.values() for line in ("---", written(obj))]
    return Outcome(1 if left_out else 0, [*(f"# {line}" for line in said), *documents], said)


# What the controller would do.

NO_CONTROLLER = "Kubernetes says who the controller is in the tags of profiles. Set --controller-id to plan without."
NO_KUBERNETES = (
    "So each object is taken for a new one, or if it is to be deleted for one that is as its manifest says: what its "
    "status remembers and how many pods run is not known."
)
WORDS = {Phase.READY: "nothing", Phase.IDLE: "nothing", Phase.RECONCILING: "wait", Phase.STALLED: "refuse"}
ORDER = ("create", "adopt", "replace", "recreate", "tag", "untag", "delete", "wait", "refuse", "nothing", "overlap")
AT_REST = {"refuse", "nothing", "overlap"}
FIXED = ("clusterName", "profileName")  # by crd.yaml, once the object is there
NAMING = {"", "apiVersion", "kind", "metadata", "metadata.name", "metadata.namespace"}  # all that a delete goes by


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


def foretell(edge: aws.Aws, settings: Settings, options: Namespace, now: Callable[[], datetime]) -> Outcome:
    """Say what the controller would do for each FargateProfile of the files, with Kubernetes if it can be asked."""
    found, broken, unread = read(options.filename, recursive=options.recursive)
    if broken or unread:
        return Outcome(2, [], [str(each) for each in [*unread, *broken]])
    ours = [each for each in found if not each.passed_over]
    try:
        kubernetes = kube.Kube(kube.connect(2), "plan")
        controller = settings.controller_id or kubernetes.namespace_uid("kube-system")
        return table(ours, options, Forecast(edge, kubernetes, settings, controller, now(), PodsThere(kubernetes, now)))
    except kube.KubeError as error:
        if not settings.controller_id:
            return Outcome(2, [], [str(error), NO_CONTROLLER])
        outcome = table(ours, options, Forecast(edge, None, settings, settings.controller_id, now()))
        return outcome._replace(err=[str(error), NO_KUBERNETES])


def table(manifests: Sequence[Manifest], options: Namespace, forecast: Forecast) -> Outcome:
    """Return a row for each thing that would be done, and the sum; nothing is done for what validate objects to."""
    rows = [(each, each.key(options.namespace), steps(each, options, forecast)) for each in manifests]
    every = [step for _, _, several in rows for step in several]
    count = Counter(word for _, _, several in rows for word in {step.word for step in several})
    total = {word: count[word] for word in ORDER if count[word]}
    gone = [step.pods for step in every if step.pods != 0]
    said = ", ".join(f"{number} {word}" for word, number in total.items()) or f"no {kube.KIND}"
    width = max((len("/".join(key)) for _, key, _ in rows), default=0)
    lines = [f"{step.word:8}  {'/'.join(key):{width}}  {step.text}" for _, key, each in rows for step in each]
    lines.append(f"Plan: {said}.{pods_that_go(gone)}")
    if options.output == "json":
        objects = [
            {"namespace": key[0], "name": key[1], "file": each.file, "line": each.line}
            | {"steps": [step.fields() for step in several]}
            for each, key, several in rows
        ]
        pods = {"known": sum(filter(None, gone)), "more": None in gone}
        lines = [json.dumps({"objects": objects, "sum": total, "pods": pods}, indent=2)]
    return Outcome(
        1 if count["refuse"] else 0,
        lines,
        [forecast.doubt] if forecast.doubt else [],
        changes=not count.keys() <= AT_REST,
    )


def steps(each: Manifest, options: Namespace, forecast: Forecast) -> list[Step]:
    """Return what would be done for one object: nothing where something is wrong with it."""
    wrong = [told for told in each.judged(options.namespace) if not options.delete or told.field in NAMING]
    if wrong:
        return [Step("refuse", str(told)) for told in wrong]
    key = each.key(options.namespace)
    return [*(forecast.without(key, each.obj) if options.delete else forecast.of(key, each.obj))]


def pods_that_go(gone: Sequence[int | None]) -> str:
    known = [str(sum(filter(None, gone)))] if any(gone) else []
    more = ["some that can't be counted"] if None in gone else []
    return f" Running pods that go: {' and '.join(known + more)}." if gone else ""


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
        changes, end, last = foresee(
            case, lambda spec: self.known.facts(case.home.cluster, spec), lambda: self.known.network(case.home.cluster)
        )
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
            home = Home(partition, self.edge.region, account, who.cluster, self.controller)
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
