"""The commands for people beside the controller: validate manifests, plan what they would do,
export what EKS has.

The picture: files -> `manifests` (objects, and the YAML nodes that they came from) -> findings with
their lines, or the steps of `plan.plan` as far as it goes; a view of the cluster -> one
manifest a profile. Each command returns an `Outcome`: standard output carries the result, standard
error the rest, the exit code is 0 (good), 1 (something is to be mended) or 2 (there is no result).

What it is not: a change, in AWS or in Kubernetes; a decision about objects, which is plan's.
"""

from __future__ import annotations

import argparse
import codecs
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import aws
import kube
from clusters import Reading, View
from config import no_credentials
from kube import NAME, NAMESPACE, Key, Object
from patterns import readable
from plan import Case, case_of, plan
from spec import (
    CONTROLLER_KEY,
    FINALIZER,
    OWNER_KEY,
    AddFinalizer,
    Change,
    CreateProfile,
    DeleteProfile,
    Finding,
    Home,
    Identity,
    InvalidSpec,
    Memory,
    NeedFacts,
    Phase,
    RemoveFinalizer,
    Report,
    Resource,
    Settings,
    TagProfile,
    UntagProfile,
    owner_of,
    timestamp,
)
from status import remember

FLAGS = "The controller's own flags and variables hold here too: give it those that the controller has."
COMMANDS = {
    "validate": (
        "Say what is wrong with the FargateProfile objects of manifests, without a cluster and without AWS: one line a "
        "finding, as file:line: field: what is there: what mends it. Objects of other kinds are passed over.",
        "0 without findings, 1 with findings, 2 if a file can't be read; the others are judged all the same",
    ),
    "plan": (
        "Say what the controller would do for the FargateProfile objects of manifests if they were applied now, one "
        "after the other. Reads AWS and Kubernetes and changes nothing. " + FLAGS,
        "0 if nothing is refused, 1 if something is, 2 if nothing could be planned",
    ),
    "export": (
        "Print a manifest for each Fargate profile of the cluster that has no owner: once they are applied, the "
        "controller adopts the profiles if --allow-adoption-in lets it. Changes nothing. " + FLAGS,
        "0 if every profile is there, 1 if some can't be expressed (a comment says why), 2 if there is no result",
    ),
}
API_VERSION = f"{kube.GROUP}/{kube.VERSION}"

# What kubectl makes of a plain scalar (YAML 1.1 as go-yaml v2 has it; not what PyYAML makes of it:
# dates stay text).
YAML_KINDS = {
    "null": r"~|null|Null|NULL|",
    "boolean": r"[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|true|True|TRUE|false|False|FALSE",
    "number": r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+"
    r"|(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9_]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
}
MERGE = "tag:yaml.org,2002:merge"

NAME_MEND = "give lowercase letters, digits, - and ., at most 253, first and last a letter or digit"
NAMESPACE_MEND = "give lowercase letters, digits and -, at most 63, first and last a letter or digit"
FIELDS = {"apiVersion", "kind", "metadata", "spec", "status"}


class Outcome(NamedTuple):
    """What a command prints, line by line, and its exit code."""

    code: int
    out: list[str]
    err: list[str]


def main(
    arguments: list[str],
    place: Callable[[list[str]], tuple[str, Settings]],
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
) -> int:
    """Run a command; return its exit code. `place` reads region and settings from the controller's own flags."""
    options, rest = parser().parse_known_args(arguments)
    try:
        if options.command == "validate":
            outcome = validate(options.filename) if not rest else Outcome(2, [], [f"validate does not know {rest[0]}"])
        else:
            rest += ["--cluster-name", options.cluster] if options.cluster else []
            outcome = ask(options, *place(rest), now(), monotonic)
    except (aws.AwsError, OSError, UnicodeError) as error:
        outcome = Outcome(2, [], [readable(str(error))])
    sys.stdout.writelines(f"{line}\n" for line in outcome.out)
    sys.stderr.writelines(f"{line}\n" for line in outcome.err)
    return outcome.code


def ask(
    options: argparse.Namespace, region: str, settings: Settings, now: datetime, monotonic: Callable[[], float]
) -> Outcome:
    """Run a command that looks at AWS."""
    credentials = aws.Credentials(lambda: aws.fetch(region, kube.Command, no_credentials()))
    credentials.step()
    edge = aws.Aws(aws.connect(region, 2, credentials), region, monotonic)
    if options.command == "export":
        return export(edge, settings, options.namespace, everything=options.all)
    return foretell(edge, settings, options.filename, options.namespace, now)


def identify(edge: aws.Aws, settings: Settings, cluster: str) -> tuple[str, str]:
    """Return (partition, account) of the credentials; raise `Refused` where the cluster is known to be of another."""
    partition, account = edge.account()
    if wrong := settings.wrong_account(cluster, account):
        raise aws.Refused("WrongAccount", wrong)
    return partition, account


def parser() -> argparse.ArgumentParser:
    """Return the command line of the commands; what it does not know is left to the controller's own flags."""
    top = argparse.ArgumentParser(prog="controller.py", allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True)
    for name, (does, ends) in COMMANDS.items():
        command = commands.add_parser(name, description=does, epilog=f"Exit code: {ends}.", allow_abbrev=False)
        if name == "export":
            command.add_argument("--all", action="store_true", help="also profiles with an owner, for that object")
        else:
            what = "manifests of one or more documents each; - is standard input"
            command.add_argument(
                "-f", "--filename", nargs="+", action="extend", required=True, metavar="FILE", help=what
            )
        if name != "validate":
            command.add_argument("--cluster", metavar="NAME", default="", help="the same as --cluster-name")
            what = "of objects for which nothing else says one [default default]"
            command.add_argument("-n", "--namespace", type=_namespace, default="default", help=what)
    return top


def _namespace(text: str) -> str:
    if not re.fullmatch(NAMESPACE, text.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} can't be a namespace: {NAMESPACE_MEND}")
    return text.strip()


# What a manifest says, and where.


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as kubectl does; only composes, so that nodes keep their lines."""


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern in YAML_KINDS.items():
    _Loader.add_implicit_resolver(_kind, re.compile(rf"(?:{_pattern})\Z"), None)
_Loader.add_implicit_resolver(MERGE, re.compile(r"<<\Z"), None)


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

    def judged(self) -> list[str]:
        """Return a line a finding, in the order of the file."""
        known = isinstance(self.obj, dict) and self.obj.keys() & {"apiVersion", "kind"}
        found = [*self.findings, *head(self.obj), *spec(self.obj)] if known else [NO_OBJECT]
        return [line for _, line in sorted(self._told(each) for each in dict.fromkeys(found))]

    def _told(self, finding: Finding) -> tuple[int, str]:
        line, node = _locate(self.node, finding.path)
        what, mend = finding.what, finding.mend
        if node and node.tag == what == "null":
            what, mend = f"{node.value or 'nothing'}, which Kubernetes drops", f"remove it, or {mend}"
        elif finding.quote and node and node.tag in YAML_KINDS:
            what, mend = f"{node.value}, which YAML reads as a {node.tag}", "put it in quotes"
        return line, told(self.file, line, finding.where, what, mend)

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


def told(file: str, line: int, *said: str) -> str:
    return f"{file}:{line}: {': '.join(filter(None, said))}"


def manifests(file: str, text: str) -> tuple[list[Manifest], list[str]]:
    """Return the objects of a file, those of lists one by one, and the line of what keeps the rest from being read."""
    found: list[Manifest] = []
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML not
    try:
        for node in yaml.compose_all(text, _Loader):
            if node.tag != "null":
                found += Manifest(file, node).items()
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark or error.context_mark, str(error.problem or error.context)
        mend = "indent with spaces, not tabs" if r"\t" in problem else "correct the YAML"
        return found, [told(file, mark.line + 1 if mark else 1, "", problem, mend)]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return found, [
            told(file, line, "", f"the character #x{error.character:x}", "write it as an escape, or not at all")
        ]
    except RecursionError:
        return found, [told(file, 1, "", "nested too deeply, or an alias of itself", "correct the YAML")]
    return found, []


def head(obj: Object) -> Iterator[Finding]:
    """Yield what the API server would refuse outside of spec."""
    for key, value in {"apiVersion": API_VERSION, "kind": kube.KIND}.items():
        if obj.get(key) != value:
            yield Finding((key,), _shown(obj, key), f"give {value}")
    yield from (Finding((key,), "not a field", "remove it or correct its name") for key in obj.keys() - FIELDS)
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        yield Finding(("metadata",), _shown(obj, "metadata"), "give a mapping with at least name")
        return
    if not _fits(NAME, meta.get("name")):
        yield Finding(("metadata", "name"), _shown(meta, "name"), NAME_MEND, quote=True)
    if meta.get("namespace") is not None and not _fits(NAMESPACE, meta["namespace"]):
        yield Finding(("metadata", "namespace"), _shown(meta, "namespace"), NAMESPACE_MEND, quote=True)
    for part in ("labels", "annotations"):
        pairs = meta[part] if isinstance(meta.get(part), dict) else {}
        for key in (key for key, value in pairs.items() if not isinstance(value, str)):
            yield Finding(("metadata", part, key), _shown(pairs, key), "give a string", quote=True)


def _fits(rule: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(rule, value) is not None


def _shown(fields: Object, key: str) -> str:
    return json.dumps(fields[key])[:80] if key in fields else "missing"


def spec(obj: Object) -> Iterator[Finding]:
    """Yield what the API server, or the controller after it, would refuse in spec."""
    meta = obj.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    try:
        # A name that is none has had its finding.
        Resource.parse({**obj, "metadata": {"name": name if _fits(NAME, name) else "x"}})
    except InvalidSpec as error:
        yield from error.findings
    fields = obj.get("spec")
    subnets = fields.get("subnets") if isinstance(fields, dict) else None
    listed = subnets if isinstance(subnets, list) else []
    for number, subnet in enumerate(listed):
        if subnet in listed[:number]:
            yield Finding(("spec", "subnets", number), f"{subnet} once more", "remove it")


def validate(files: Sequence[str]) -> Outcome:
    """Judge every FargateProfile of the files, offline."""
    found, lines, unread = read(files)
    ours = [each for each in found if not each.passed_over]
    lines += [line for each in ours for line in each.judged()]
    said = f"{counted(len(ours), 'FargateProfile')}, {counted(len(lines), 'finding')}."
    others = Counter(each.passed_over for each in found if each.passed_over)
    over = ", ".join(f"{number} {kind}" for kind, number in sorted(others.items()))
    code = 2 if unread else 1 if lines else 0
    return Outcome(code, lines, [*unread, said + (f" Passed over: {over}." if over else "")])


def read(files: Sequence[str]) -> tuple[list[Manifest], list[str], list[str]]:
    """Return the objects of the files, "-" for standard input, what is no YAML in them, and the files without a text.

    One file that can't be read keeps no other from being read.
    """
    found: list[Manifest] = []
    lines: list[str] = []
    unread: list[str] = []
    for file in files:
        name = "stdin" if file == "-" else file
        try:
            raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
            objects, broken = manifests(name, decoded(raw))
        except UnicodeDecodeError as error:
            what = f"{error.reason} at byte {error.start} ({error.encoding})"
            unread.append(told(name, raw.count(b"\n", 0, error.start) + 1, "", what, "save the file as UTF-8"))
        except OSError as error:
            unread.append(str(error))
        else:
            found += objects
            lines += broken
    return found, lines, unread


BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decoded(raw: bytes) -> str:
    """Return the text of a file as kubectl reads it: by its byte order mark, as UTF-8 without one."""
    mark = next((mark for mark in BYTE_ORDER_MARKS if raw.startswith(mark)), b"")
    if not mark and b"\0" in raw[:2]:
        raise UnicodeDecodeError("utf-16", raw, 0, 2, "no byte order mark")
    return raw.removeprefix(mark).decode(BYTE_ORDER_MARKS.get(mark, "utf-8"))


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


OWNER_TAGS = {OWNER_KEY, CONTROLLER_KEY}
RESERVED = re.compile(rf"(?i:aws:)|({OWNER_KEY}|{CONTROLLER_KEY})\Z")


def export(edge: aws.Aws, settings: Settings, namespace: str, *, everything: bool) -> Outcome:
    """Print a manifest for each profile without an owner, or for every one, and a comment for what can't be one."""
    cluster = settings.cluster
    _, account = identify(edge, settings, cluster)
    view = whole_view(edge, cluster)
    where = f"EKS cluster {cluster} in {edge.region} of account {account}"
    if not view.found:
        return Outcome(2, [], [f"There is no {where}: check --cluster-name and --region."])
    objects: dict[Key, Object] = {}
    left_out: list[str] = []
    for profile in sorted(view.profiles.values(), key=lambda each: each.name):
        if everything or OWNER_TAGS.isdisjoint(profile.tags):
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


def whole_view(edge: aws.Aws, cluster: str) -> View:
    """Return the profiles of a cluster as they are now."""
    return Reading(0.0).go_on(edge, cluster, set())


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
    if not (OWNER_TAGS.isdisjoint(profile.tags) or owner_of(profile)):
        return "its tags name no owner, and yet they are the controller's"
    return "; ".join(map(str, [*head(obj), *spec(obj)]))


def written(obj: Object) -> str:
    return yaml.dump(obj, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000).rstrip()


# What the controller would do.

NO_CONTROLLER = "Kubernetes says who the controller is in the tags of profiles. Set --controller-id to plan without."
NO_KUBERNETES = "So each object is taken for a new one: what its status remembers and how many pods run is not known."
WORDS = {Phase.READY: "nothing", Phase.IDLE: "nothing", Phase.RECONCILING: "wait", Phase.STALLED: "refuse"}
ORDER = ("create", "adopt", "replace", "recreate", "tag", "untag", "delete", "wait", "refuse", "nothing")
FIXED = ("clusterName", "profileName")  # by crd.yaml, once the object is there


def foretell(edge: aws.Aws, settings: Settings, files: Sequence[str], namespace: str, now: datetime) -> Outcome:
    """Say what the controller would do for each FargateProfile of the files, with Kubernetes if it can be asked."""
    found, broken, unread = read(files)
    if broken or unread:
        return Outcome(2, [], [*unread, *broken])
    ours = [each for each in found if not each.passed_over]
    try:
        kubernetes = kube.Kube(kube.connect(2), "plan")
        controller = settings.controller_id or kubernetes.namespace_uid("kube-system")
        return table(ours, namespace, Forecast(edge, kubernetes, settings, controller, now))
    except kube.KubeError as error:
        if not settings.controller_id:
            return Outcome(2, [], [str(error), NO_CONTROLLER])
        outcome = table(ours, namespace, Forecast(edge, None, settings, settings.controller_id, now))
        return outcome._replace(err=[str(error), NO_KUBERNETES])


def table(manifests: Sequence[Manifest], namespace: str, forecast: Forecast) -> Outcome:
    """Return a row for each thing that would be done, and the sum; nothing is done for what validate objects to."""
    rows: list[tuple[str, str, str]] = []
    for each in manifests:
        key = each.key(namespace)
        said = [("refuse", line) for line in each.judged()] or forecast.of(key, each.obj)
        rows += [(word, "/".join(key), text) for word, text in said]
    width = max((len(name) for _, name, _ in rows), default=0)
    count = Counter(word for word, _, _ in rows)
    total = ", ".join(f"{count[word]} {word}" for word in ORDER if count[word]) or "no FargateProfile"
    lines = [f"{word:8}  {name:{width}}  {text}" for word, name, text in rows]
    return Outcome(1 if count["refuse"] else 0, [*lines, f"Plan: {total}."], [])


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

    def of(self, key: Key, obj: Object) -> Iterator[tuple[str, str]]:
        """Yield what would be done for a valid object, each as a word and the rest of the sentence."""
        live, spec = (self.kubernetes.get(*key) if self.kubernetes else None) or {}, obj["spec"]
        edited = [f"spec.{key}" for key in FIXED if live and (live.get("spec") or {}).get(key) != spec.get(key)]
        if edited:
            yield "refuse", f"The API server lets nobody change {' and '.join(edited)}: make a new object."
            return
        case = self._case(applied(key, spec, live, self.now))
        changes, end, view = foresee(case, lambda spec: self.edge.facts(case.home.cluster, spec))
        self.clusters[case.home.cluster] = case.home, view
        yield from self._changed(changes)
        if not changes or end.phase is not Phase.READY:
            reason = "" if end.message.startswith(end.reason) else f"{end.reason}: "
            yield WORDS[end.phase], reason + end.message

    def _case(self, obj: Object) -> Case:
        memory, settings = Memory.parse(obj), self.settings
        who = Identity.parse(obj, memory, settings.cluster)
        if who.cluster not in self.clusters:
            partition, account = identify(self.edge, settings, who.cluster)
            home = Home(partition, self.edge.region, account, who.cluster, self.controller)
            self.clusters[who.cluster] = home, whole_view(self.edge, who.cluster)
        home, view = self.clusters[who.cluster]
        return case_of(obj, who, memory, home, view, settings, self.now)

    def _changed(self, changes: Sequence[Change]) -> Iterator[tuple[str, str]]:
        steps = [*changes]
        while steps:
            match steps.pop(0), steps[0] if steps else None:
                case CreateProfile(name=new), DeleteProfile(profile=old):
                    steps.pop(0)
                    yield "replace", f"{old.name} -> {new}: the new one first, then the old one goes{self._pods(old)}."
                case DeleteProfile(profile=old, heir=None), CreateProfile(name=new):
                    steps.pop(0)
                    yield "recreate", f"{old.name} -> {new}: the old one goes first{self._pods(old)}."
                case CreateProfile(name=name, warnings=warnings), _:
                    yield "create", " ".join([f"profile {name}.", *(each.message for each in warnings)])
                case DeleteProfile(profile=old, why=why), _:
                    yield "delete", f"profile {old.name}: {why}; it goes{self._pods(old)}."
                case TagProfile(profile=tagged, tags=tags, event=event), _:
                    said = ", ".join(f"{key}={tags[key]}" for key in sorted(tags))
                    yield "adopt" if event == "Adopted" else "tag", f"profile {tagged.name}: {said}"
                case UntagProfile(profile=tagged, keys=keys), _:
                    yield "untag", f"profile {tagged.name}: {', '.join(sorted(keys))}"

    def _pods(self, profile: aws.Profile) -> str:
        here = f":fargateprofile/{self.settings.cluster}/" in profile.arn  # pods of another cluster can't be counted
        number = self.kubernetes.running_pods(profile.name) if self.kubernetes and here else None
        return f", with {'its pods' if number is None else counted(number, 'running pod')}"


def applied(key: Key, spec: Object, live: Object, now: datetime) -> Object:
    """Return an object as the API server has it after `kubectl apply`."""
    meta = live.get("metadata") or {"namespace": key[0], "name": key[1], "creationTimestamp": timestamp(now)}
    return {"metadata": meta, "spec": spec, "status": live.get("status") or {}}


def foresee(case: Case, facts: Callable[[aws.ProfileSpec], aws.Facts]) -> tuple[list[Change], Report, View]:
    """Follow the plan as if each change went well at once; return the changes, where it ends, and the cluster then."""
    changes: list[Change] = []
    while True:
        action = plan(case)
        match action:
            case Report(phase=Phase.STALLED, until=datetime() as rested):
                case = replace(case, now=rested, memory=remember(case))
            case Report():
                return changes, action, case.view
            case RemoveFinalizer(event=event, message=message):
                return changes, Report(Phase.IDLE, event, message), case.view
            case AddFinalizer():
                guarded = (*case.who.others_finalizers, FINALIZER)
                case = replace(case, who=replace(case.who, finalizers=guarded))
            case NeedFacts(spec=spec):
                case = replace(case, facts=facts(spec))
            case CreateProfile() | DeleteProfile() | TagProfile() | UntagProfile():
                changes.append(action)
                case = replace(case, view=after(case, action), memory=remember(case))


def after(case: Case, change: Change) -> View:
    """Return the cluster once EKS is done with a change."""
    match change:
        case CreateProfile(name=name, spec=spec):
            arn = f"{case.home.cluster_arn.replace(':cluster/', ':fargateprofile/')}/{name}/planned"
            wanted = spec.role, spec.selectors, spec.subnets or frozenset()
            return case.view.showing(name, aws.Profile(name, arn, "ACTIVE", case.now, *wanted, case.wanted_tags))
        case DeleteProfile(profile=profile):
            return case.view.showing(profile.name, None)
        case TagProfile(profile=profile, tags=tags):
            return case.view.showing(profile.name, replace(profile, tags={**profile.tags, **tags}))
        case UntagProfile(profile=profile, keys=keys):
            rest = {key: value for key, value in profile.tags.items() if key not in keys}
            return case.view.showing(profile.name, replace(profile, tags=rest))
    return case.view
