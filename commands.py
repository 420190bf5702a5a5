"""The commands for people beside the controller: validate manifests, plan what they would do,
export what EKS has; explain has a module of its own.

The picture: files -> `manifests` (objects, and the YAML nodes that they came from) -> findings with
their lines, or the steps of `plan.plan` to its end; a view of the cluster -> one
manifest a profile. Each command returns an `Outcome`: standard output carries the result, standard
error the rest, the exit code is 0 (good), 1 (something is to be mended) or 2 (there is no result).

What it is not: a change, in AWS or in Kubernetes; a decision about objects, which is plan's.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import aws
import config
import kube
from clusters import Known, View, whole_view
from config import Missing, command_line, configure, limits, members, place, spelled
from explain import explain
from kube import NAME, Key, Object
from memory import foresee
from overlaps import API_VERSION, Claim, clashes, head, overlap_message, overlaps
from patterns import decoded, readable, timestamp, visible_lines
from plan import Case, case_of
from spec import (
    FINALIZER,
    RESERVED_KEYS,
    Change,
    CreateProfile,
    DeleteProfile,
    Finding,
    Identity,
    InvalidSpec,
    Memory,
    Phase,
    Resource,
    Settings,
    TagProfile,
    UntagProfile,
    is_guarded,
    mapping,
    owner_of,
    tagged,
)
from status import with_note
from surroundings import Home

# What kubectl makes of a plain scalar (YAML 1.1 as go-yaml v2 has it; not what PyYAML makes of it:
# dates stay text).
YAML_KINDS = {
    "null": r"~|null|Null|NULL|",
    "boolean": r"[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|true|True|TRUE|false|False|FALSE",
    "number": r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+"
    r"|(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9_]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
}
MERGE = "tag:yaml.org,2002:merge"


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
        outcome = run(arguments, environ, now())
    except (Missing, kube.KubeError) as error:
        outcome = Outcome(2, [], [f"controller.py: {error}"])
    except (aws.AwsError, OSError, UnicodeError) as error:
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


def run(arguments: list[str], environ: Mapping[str, str], now: datetime) -> Outcome:
    options, rest = command_line(environ).parse_known_args(spelled(arguments))
    if options.command == "validate":
        return Outcome(2, [], [f"validate does not know {rest[0]}"]) if rest else validate(options, now)
    rest += ["--cluster-name", options.cluster] if options.cluster else []
    region, settings = place(configure(rest, environ))
    credentials = config.Credentials(lambda: aws.fetch(region, kube.Command, config.no_credentials()))
    credentials.step()
    edge = aws.Aws(aws.connect(region, 2, credentials), region)
    if options.command == "explain":
        return explained(edge, settings, options)
    if options.command == "export":
        return export(edge, settings, options.namespace, everything=options.all)
    return foretell(edge, settings, options, now)


def explained(edge: aws.Aws, settings: Settings, options: Namespace) -> Outcome:
    """Say which profiles of the controller's own cluster take pods, and what that means."""
    found, broken, unread = read(options.filename or [], recursive=options.recursive)
    if broken or unread:
        return Outcome(2, [], [str(each) for each in [*unread, *broken]])
    return Outcome(*explain(edge, settings, options, partial(config.identify, edge, settings, settings.cluster), found))


# What a manifest says, and where.


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as kubectl does; only composes, so that nodes keep their lines."""


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern in YAML_KINDS.items():
    _Loader.add_implicit_resolver(_kind, re.compile(rf"(?:{_pattern})\Z"), None)
_Loader.add_implicit_resolver(MERGE, re.compile(r"<<\Z"), None)


class Told(NamedTuple):
    """What is wrong, and where: line 0 is the file as a whole, `object` and `field` may be unknown."""

    file: str
    line: int
    object: str
    field: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.said}" if self.line else f"{self.file}: {self.said}"

    @property
    def said(self) -> str:
        return ": ".join(filter(None, (self.field, self.what, self.mend)))

    @property
    def annotation(self) -> str:
        """The command with which a workflow of GitHub marks the line."""

        def escaped(text: str, marks: str) -> str:
            return "".join(f"%{ord(mark):02X}" if mark in marks else mark for mark in text)

        parts = {"file": self.file, "line": str(self.line or 1), "title": self.object or "manifest"}
        shown = ",".join(f"{name}={escaped(text, PROPERTY_MARKS)}" for name, text in parts.items())
        return f"::error {shown}::{escaped(self.said, MESSAGE_MARKS)}"


# What stands for itself in a workflow command only when it is escaped.
MESSAGE_MARKS, PROPERTY_MARKS = "%\r\n", "%\r\n:,"


@dataclass
class Manifest:
    """An object of a file and the node that it came from; `findings` are what YAML hides."""

    file: str
    node: yaml.Node
    obj: Any = None
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.obj = self._read(self.node, ())

    def _read(self, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
        """Return what kubectl sends for a node."""
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self._read(item, (*path, number)) for number, item in enumerate(node.value)]
        return _scalar(node.tag, node.value)

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> Object:
        merged: Object = {}
        own: Object = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                merged = self._merged(value, path) | merged
                continue
            name, kind = (key.value, key.tag) if isinstance(key, yaml.ScalarNode) else ("?", key.id)
            here = (*path, name)
            if kind in {*YAML_KINDS, "mapping", "sequence"} and not re.fullmatch("-?(0|[1-9][0-9]*)", name):
                self.findings.append(Finding(here, f"a {kind} to YAML, not a text", "put the key in quotes"))
            if name in lines:
                what = f"given twice, first in line {lines[name]}"
                self.findings.append(Finding(here, what, "keep one (kubectl takes the last and does not say so)"))
            lines[name] = key.start_mark.line + 1
            own[name] = self._read(value, here)
        return merged | own

    def _merged(self, node: yaml.Node, path: tuple[str | int, ...]) -> Object:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        read = [self._read(each, path) for each in reversed(sources)]
        if not all(isinstance(each, dict) for each in read):
            self.findings.append(Finding((*path, "<<"), "merged and no mapping", "give an alias of a mapping"))
        return {key: value for each in read if isinstance(each, dict) for key, value in each.items()}

    def judged(self, namespace: str = "default", more: Sequence[Finding] = ()) -> list[Told]:
        """Return all findings, and those that are more, in the order of the file."""
        known = isinstance(self.obj, dict) and self.obj.keys() & {"apiVersion", "kind"}
        found = [*self.findings, *head(self.obj), *spec(self.obj), *more] if known else [NO_OBJECT]
        name = "/".join(self.key(namespace)) if known else ""
        return sorted(self._told(each, name) for each in dict.fromkeys(found))

    def _told(self, finding: Finding, name: str) -> Told:
        line, node = _locate(self.node, finding.path)
        what, mend = finding.what, finding.mend
        if node and node.tag == what == "null":
            what, mend = f"{node.value or 'nothing'}, which Kubernetes drops", f"remove it, or {mend}"
        elif finding.quote and node and node.tag in YAML_KINDS:
            what, mend = f"{node.value}, which YAML reads as a {node.tag}", "put it in quotes"
        return Told(self.file, line, name, finding.where, what, mend)

    def items(self) -> Iterator[Manifest]:
        """Yield this object, or if it is a list the objects in it."""
        kind, items = (self.obj.get(key) if isinstance(self.obj, dict) else None for key in ("kind", "items"))
        nodes = _locate(self.node, ("items",))[1] if isinstance(kind, str) and kind.endswith("List") else None
        if not (nodes and isinstance(items, list)):
            yield self
            return
        for node in nodes.value:
            yield from Manifest(self.file, node).items()

    def key(self, namespace: str) -> Key:
        """Return the object's key, in that namespace if it names none."""
        meta = self.obj.get("metadata") if isinstance(self.obj, dict) else None
        names = meta if isinstance(meta, dict) else {}
        return str(names.get("namespace") or namespace), str(names.get("name") or "?")

    @property
    def line(self) -> int:
        return self.node.start_mark.line + 1

    @property
    def passed_over(self) -> str:
        """What other kind this is, "" if it is ours, or nobody's."""
        head = self.obj if isinstance(self.obj, dict) else {}
        version, kind = str(head.get("apiVersion", "")), str(head.get("kind", ""))
        ours = version.startswith(f"{kube.GROUP}/") or (kind == kube.KIND and "/" not in version)
        return "" if ours or not (version and kind) else f"{kind} of {version}"


NO_OBJECT = Finding((), "not an object", f"give a mapping with apiVersion: {API_VERSION} and kind: {kube.KIND}")


def _scalar(tag: str, text: str) -> Any:
    match tag:
        case "null":
            return None
        case "boolean":
            return text[0] in "yYtT" or text.lower() == "on"
        case "number":
            digits = text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
            return int(digits, 0) if re.match("[-+]?0[xbo]", digits) else float(digits)
    return text


def _locate(node: yaml.Node, path: Sequence[str | int]) -> tuple[int, yaml.Node | None]:
    """Return the line of the deepest node on the path that is there, and the node if it is the path's last."""
    line = node.start_mark.line + 1
    for part in path:
        if isinstance(part, int) and isinstance(node, yaml.SequenceNode):
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        pair = next((each for each in reversed(pairs) if each[0].value == part), None)
        if pair is None:
            return line, None
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line, node


def manifests(file: str, text: str) -> tuple[list[Manifest], list[Told]]:
    """Return the objects of a file, those of lists one by one, and what keeps the rest from being read."""
    found: list[Manifest] = []
    line, what, mend = 1, "", "correct the YAML"
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML not
    try:
        for node in yaml.compose_all(text, _Loader):
            if node.tag != "null":
                found += Manifest(file, node).items()
    except yaml.MarkedYAMLError as error:
        mark, what = error.problem_mark or error.context_mark, str(error.problem or error.context)
        line = mark.line + 1 if mark else 1
        if r"\t" in what:
            mend = "indent with spaces, not tabs"
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what, mend = f"the character #x{error.character:x}", "write it as an escape, or not at all"
    except RecursionError:
        what = "nested too deeply, or an alias of itself"
    return found, [Told(file, line, "", "", what, mend)] if what else []


def can_be_a_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(NAME, value) is not None


def spec(obj: Object) -> Iterator[Finding]:
    """Yield what the API server, or the controller after it, would refuse in spec."""
    meta = obj.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    try:
        # A name that is none has had its finding.
        Resource.parse({**obj, "metadata": {"name": name if can_be_a_name(name) else "x"}})
    except InvalidSpec as error:
        yield from error.findings
    fields = obj.get("spec")
    subnets = fields.get("subnets") if isinstance(fields, dict) else None
    listed = subnets if isinstance(subnets, list) else []
    for number, subnet in enumerate(listed):
        if subnet in listed[:number]:
            yield Finding(("spec", "subnets", number), f"{subnet} once more", "remove it")


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


def counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


# What EKS has, as manifests.


class _Dumper(yaml.SafeDumper):
    """Quotes what kubectl, or another reader of YAML, would not take for a string."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    plain = text.isprintable() and not any(re.fullmatch(pattern, text) for pattern in YAML_KINDS.values())
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


RESERVED = re.compile(rf"(?i:aws:)|({'|'.join(RESERVED_KEYS)})\Z")


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


def free_name(profile: str, namespace: str, view: View) -> Key:
    """Return a name that Kubernetes can hold: what it can of the profile's own, with digits where that is taken."""
    name, taken = slug(profile), {owner_of(each) for each in view.profiles.values()}
    alone = name == profile or [*map(slug, view.profiles)].count(name) == 1
    if not alone or (namespace, name) in taken:
        name = f"{name}-{hashlib.sha256(profile.encode()).hexdigest()[:8]}".lstrip("-")
    return namespace, name


def slug(profile: str) -> str:
    return re.sub("[^a-z0-9]+", "-", profile.lower()).strip("-")


def manifest(cluster: str, profile: aws.Profile, key: Key) -> Object:
    """Return the object that wants this very profile and, where the operator allows it, adopts it."""
    namespace, name = key
    replacement = "(-[0-9a-f]{8})?" if owner_of(profile) else ""
    spec = {
        "clusterName": cluster,
        "profileName": "" if re.fullmatch(re.escape(name) + replacement, profile.name) else profile.name,
        "podExecutionRoleArn": profile.role,
        "selectors": [
            {"namespace": each.namespace} | ({"labels": dict(each.labels)} if each.labels else {})
            for each in sorted(profile.selectors)
        ],
        "subnets": sorted(profile.subnets),
        "tags": {key: profile.tags[key] for key in sorted(profile.tags) if not RESERVED.match(key)},
        "adoptionPolicy": "Adopt",
        "deletionPolicy": "Retain",
    }
    return {
        "apiVersion": API_VERSION,
        "kind": kube.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {field: value for field, value in spec.items() if value},
    }


def unfit(profile: aws.Profile, obj: Object) -> str:
    """Say why an object can't stand for the profile, "" if it can."""
    if not profile.active:
        return f"it is {profile.status}; export it once it is ACTIVE"
    if tagged(profile) and not owner_of(profile):
        return "its tags name no owner, and yet they are the controller's"
    return "; ".join(map(str, [*head(obj), *spec(obj)]))


def written(obj: Object) -> str:
    return yaml.dump(obj, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000).rstrip()


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
    None for some that can't be counted.
    """

    word: str
    text: str
    tags: Mapping[str, tuple[str | None, str | None]] = {}
    pods: int | None = 0

    def fields(self) -> Object:
        tags = {key: {"old": old, "new": new} for key, (old, new) in self.tags.items()}
        return {"word": self.word, "text": self.text, "tags": tags, "pods": self.pods}


def foretell(edge: aws.Aws, settings: Settings, options: Namespace, now: datetime) -> Outcome:
    """Say what the controller would do for each FargateProfile of the files, with Kubernetes if it can be asked."""
    found, broken, unread = read(options.filename, recursive=options.recursive)
    if broken or unread:
        return Outcome(2, [], [str(each) for each in [*unread, *broken]])
    ours = [each for each in found if not each.passed_over]
    try:
        kubernetes = kube.Kube(kube.connect(2), "plan")
        controller = settings.controller_id or kubernetes.namespace_uid("kube-system")
        return table(ours, options, Forecast(edge, kubernetes, settings, controller, now))
    except kube.KubeError as error:
        if not settings.controller_id:
            return Outcome(2, [], [str(error), NO_CONTROLLER])
        outcome = table(ours, options, Forecast(edge, None, settings, settings.controller_id, now))
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
    return Outcome(1 if count["refuse"] else 0, lines, [], changes=not count.keys() <= AT_REST)


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
    clusters: dict[str, tuple[Home, View]] = field(default_factory=dict)

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
        yield from self._changed(changes)
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

    def _changed(self, changes: Sequence[Change]) -> Iterator[Step]:
        rest = [*changes]
        while rest:
            match rest.pop(0), rest[0] if rest else None:
                case CreateProfile(name=new), DeleteProfile(profile=old):
                    rest.pop(0)
                    text = f"{old.name} -> {new}: the new one first, then the old one goes"
                    yield self._going("replace", text, old)
                case DeleteProfile(profile=old, heir=None), CreateProfile(name=new):
                    rest.pop(0)
                    yield self._going("recreate", f"{old.name} -> {new}: the old one goes first", old)
                case CreateProfile(name=name, warnings=warnings), _:
                    yield Step("create", " ".join([f"profile {name}.", *(each.message for each in warnings)]))
                case DeleteProfile(profile=old, why=why), _:
                    yield self._going("delete", f"profile {old.name}: {why}; it goes", old)
                case TagProfile(profile=old, tags=tags, event=event), _:
                    yield retag("adopt" if event == "Adopted" else "tag", old, tags)
                case UntagProfile(profile=old, keys=keys), _:
                    yield retag("untag", old, dict.fromkeys(keys))

    def _going(self, word: str, text: str, profile: aws.Profile) -> Step:
        here = f":fargateprofile/{self.settings.cluster}/" in profile.arn  # pods of another cluster can't be counted
        number = self.kubernetes.running_pods(profile.name) if self.kubernetes and here else None
        pods = "its pods" if number is None else counted(number, "running pod")
        return Step(word, f"{text}, with {pods}.", pods=number)


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
