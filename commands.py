"""The commands for people beside the controller: validate manifests, plan what they would do; export, explain and
doctor have modules of their own.

The picture: files -> `manifests` (objects, and the YAML nodes that they came from) -> findings with
their lines, or the steps of a `Forecast`; the command line -> `Sites` -> the cluster that a command is about, `There`.
Each command returns an `Outcome`: standard output carries the result, standard error the rest,
the exit code is 0 (good), 1 (something is to be mended) or 2 (there is no result).

What it is not: a change, in AWS or in Kubernetes; a decision about objects, which is plan's.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, cast

import answers
import aws
import clustersfile
import config
import kube
from config import Config, Missing, command_line, configure, defaults, entries_of, limits, members, spelled
from credentials import Credentials
from doctor import doctor
from entries import Entries, Entry
from explain import explain
from export import export
from forecast import Forecast, PodsThere, Step, applied, site_of
from kube import Key
from limits import Limits, Settings
from lookups import Kubernetes
from manifests import Told, undecoded
from overlaps import Claim, Manifest, can_be_a_name, clashes, manifests
from patterns import counted, decoded, listed, readable, visible_lines
from sites import Homes, Regions, Sites, There
from spec import Finding, Identity, InvalidSpec, Memory, Resource, mapping
from surroundings import Home
from wanted import role_arn, unfounded, wanted


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
    configured = configured_for(options, rest, environ)
    config.tell_doubts(configured)
    settings = config.settings(configured)
    found, broken, unread = read(vars(options).get("filename") or [], recursive=vars(options).get("recursive", False))
    if broken or unread:
        return Outcome(2, [], [str(each) for each in [*unread, *broken]])
    sites = sites_of(configured, settings, now)
    if options.command == "plan":
        return foretell(sites, settings, options, found, now)
    there = named_there(sites, settings, options.cluster)
    if options.command == "explain":
        return Outcome(*explain(there, settings, options, found))
    if options.command == "doctor":
        lease = configured.lease_namespace, configured.lease_name
        return Outcome(*doctor(there, settings, options.output, lease, now(), sys.stderr.write), [])
    return Outcome(*export(there, options.namespace, everything=options.all, portable=options.portable))


def configured_for(options: Namespace, rest: list[str], environ: Mapping[str, str]) -> Config:
    """Return the configuration; --cluster is the same as --cluster-name, where it does not name an entry of a file."""
    names_entry = options.command != "plan" and config.flags(environ).parse_known_args(rest)[0].clusters_file
    named = ["--cluster-name", options.cluster] if options.cluster and not names_entry else []
    return configure([*rest, *named], environ)


def sites_of(configured: Config, settings: Settings, now: Callable[[], datetime]) -> Sites:
    """Return the way to each cluster, with one thread and at one moment; no site asks Kubernetes anything."""
    entries, region = entries_of(configured), configured.region
    credentials = Credentials(lambda: aws.fetch(region, kube.Command, config.no_credentials()))
    credentials.step()
    reach = Regions(2, credentials, lambda *_: None, aws.Pool())
    nobody, clock = cast("Kubernetes", None), lambda: now().timestamp()
    return Sites(entries, reach(region), nobody, settings, lambda: 0.0, reach, now=clock)


def named_there(sites: Sites, settings: Settings, name: str) -> There:
    """Return the cluster that a command is about: by its name in the file, else the home."""
    by_name = name if sites.entries.listed is not None else ""  # else it has become that of the home
    entry = sites.entries.named(by_name) if by_name else sites.home
    if entry is None and by_name:
        raise Missing(f"--cluster {name} is no entry of --clusters-file: give the name of one")
    if entry is None:
        raise Missing("set --cluster to the name of an entry of --clusters-file, as there is no --cluster-name")
    site_of(sites, entry)
    return There(sites, Homes(sites, lambda: settings.controller_id, settings), entry)


def validate(options: Namespace, now: datetime) -> Outcome:
    """Judge every FargateProfile of the files, offline."""
    found, broken, unread = read(options.filename, recursive=options.recursive)
    ours = [each for each in found if not each.passed_over]
    entries, wrong_file, unread_file = listed_clusters(options)
    broken, unread = [*wrong_file, *broken], [*unread_file, *unread]
    more, unjudged = beside(ours, entries, options, now)
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
    notes = [] if entries else [NOT_JUDGED]
    if unjudged and "*" not in options.allowed_roles:
        notes.append(f"{NO_ACCOUNT} {listed(unjudged)}.")
    return Outcome(code, lines, [*map(str, unread), *notes, said])


NOT_JUDGED = (
    "Which clusters objects may name, and what they get by default, is not judged: first mend the clusters file."
)
NO_ACCOUNT = (
    "Role names are not judged by --allowed-roles where the account of the cluster is not known here, as it is not for"
)


def listed_clusters(options: Namespace) -> tuple[Entries | None, list[Told], list[Told]]:
    """Return the clusters that objects may name, what is wrong with the file of them, and why it can't be read."""
    home = kube.named_by_arn(options.cluster or options.cluster_name)
    name = home.cluster or options.cluster or options.cluster_name
    flags = Entries(home.region, name, None, defaults(options), home.account)
    if not options.clusters_file:
        return flags, [], []
    text = clustersfile.read(options.clusters_file)
    if isinstance(text, Told):
        return None, [], [text]
    found = clustersfile.parse(options.clusters_file, text, flags)
    return (None, found, []) if isinstance(found, list) else (found, [], [])


def beside(
    manifests: Sequence[Manifest], entries: Entries | None, options: Namespace, now: datetime
) -> tuple[defaultdict[int, list[Finding]], list[str]]:
    """Return, by the manifest's number, what it does not show alone: what flags forbid, and what another asks for.

    And the objects whose role can't be judged here.
    """
    found: defaultdict[int, list[Finding]] = defaultdict(list)
    account, unjudged = entries.own_account if entries else "", list[str]()
    claims: dict[int, Claim] = {}
    for number, each in enumerate(manifests):
        if not can_be_a_name(mapping(mapping(each.obj).get("metadata")).get("name")):
            continue
        who, entry, barred = placed(each, each.key(options.namespace), entries, now)
        found[number] += barred
        claims[number] = Claim(who, frozenset(), f"{each.file}:{each.line}")
        with suppress(InvalidSpec):
            resource = Resource.parse(each.obj)
            claims[number] = replace(claims[number], selectors=resource.profile.selectors)
            at_home = entries.at_home(entry, who.namespace) if entries and entry else None
            rules = limits(options, (entries.home if entries and entry else "") or who.cluster)
            found[number] += forbidden(who, resource, entry, account, rules, at_home)
            if entry and resource.role_name and not home_of(entry, account).account:
                unjudged.append(who.owner)
    numbers = [*claims]
    for index, finding in clashes([*claims.values()], overlapping=not options.allow_overlaps):
        found[numbers[index]].append(finding)
    return found, unjudged


def placed(
    manifest: Manifest, key: Key, entries: Entries | None, now: datetime
) -> tuple[Identity, Entry | None, list[Finding]]:
    """Return who an object is, with its cluster as that is shown, the cluster's entry, and why it may not name it."""
    spec = manifest.obj.get("spec")
    who = Identity.parse(applied(key, spec, {}, now), Memory(), "")
    entry = entries.find(who.namespace, who.cluster) if entries else None
    if isinstance(entry, Entry):
        return replace(who, cluster=entry.name or OF_THE_CONTROLLER), entry, []
    if entry is None:
        return replace(who, cluster=who.cluster or OF_THE_CONTROLLER), None, []
    no_name = not who.cluster and "clusterName" in mapping(spec)  # it has had its finding
    found = [] if no_name or not entry.finding else [entry.finding]
    return replace(who, cluster=who.cluster or OF_THE_CONTROLLER), None, found


def forbidden(
    who: Identity, resource: Resource, entry: Entry | None, account: str, rules: Limits, at_home: bool | None
) -> Iterator[Finding]:
    """Yield what speaks against an object, together with the defaults of its cluster where that is known.

    Without a file the home may not be known: then `rules` have each object's cluster for it.
    """
    spec = resource.profile
    if entry:
        home = home_of(entry, account)
        spec = wanted(resource, home, entry.defaults, None)
        yield from unfounded(resource, spec, entry.defaults)
        # A default is allowed by who has set it, and a name is no role yet where the account is not known.
        if spec.role == role_arn(home, entry.defaults.role) or (resource.role_name and not home.account):
            spec = replace(spec, role="")
    yield from (finding for _, finding in rules.judge(who, spec, at_home))


def home_of(entry: Entry, account: str) -> Home:
    """Return where an entry's cluster is, as far as is known offline; `account` is the controller's own, or ""."""
    partition = entry.role_arn.split(":")[1] if entry.role_arn else aws.known_regions().get(entry.region, "aws")
    return Home(partition, entry.region, entry.account or account, entry.cluster, "")


OF_THE_CONTROLLER = "(the operator's)"  # no cluster has this name


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
            unread.append(undecoded(name, raw, error))
        except OSError as error:
            what = error.strerror or str(error)
            unread.append(Told(name, 0, "", "", what, "correct the name, or who may read it"))
        else:
            found += objects
            broken += errors
    return found, broken, unread


# What the controller would do.

NO_CONTROLLER = "Kubernetes says who the operator is in the tags of profiles. Set --controller-id to plan without."
NO_KUBERNETES = (
    "So each object is taken for a new one, or if it is to be deleted for one that is as its manifest says: what its "
    "status remembers and how many pods run is not known."
)
ORDER = ("create", "adopt", "replace", "recreate", "tag", "untag", "delete", "wait", "refuse", "nothing", "overlap")
AT_REST = {"refuse", "nothing", "overlap"}
NAMING = {"", "apiVersion", "kind", "metadata", "metadata.name", "metadata.namespace"}  # all that a delete goes by


def foretell(
    sites: Sites, settings: Settings, options: Namespace, found: Sequence[Manifest], now: Callable[[], datetime]
) -> Outcome:
    """Say what the controller would do for each FargateProfile of the files, with Kubernetes if it can be asked."""
    ours = [each for each in found if not each.passed_over]
    try:
        kubernetes = kube.Kube(kube.connect(2), "plan")
        controller = settings.controller_id or kubernetes.namespace_uid("kube-system")
        homes = Homes(sites, lambda: controller, settings)
        return table(ours, options, Forecast(sites, homes, kubernetes, settings, now(), PodsThere(kubernetes, now)))
    except kube.KubeError as error:
        if not settings.controller_id:
            return Outcome(2, [], [str(error), NO_CONTROLLER])
        homes = Homes(sites, lambda: settings.controller_id, settings)
        outcome = table(ours, options, Forecast(sites, homes, None, settings, now()))
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
