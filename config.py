"""The configuration: flags, the variables that they are read from, what they must be, and how it is
logged; the command lines of the commands, and the files that these name.

What it is not: what is done with them.

The rule of the file: a value is trimmed and then held to our own rules, or the start ends with one
sentence. What is let through here is refused later by others, once an object, or for ever.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import aws
import kube
from aws import Term
from clustersfile import judged, log_taken, read
from entries import REGION, Entries
from informer import Unparsable, selector
from limits import Limits, Settings
from overlaps import NAMESPACE_MEND
from patterns import counted, visible, visible_lines
from spec import CLUSTER, OF_A_ROLE, ROLE_NAME, TERM_KEY, TERM_TAGS, TERM_VALUE, Defaults

log = logging.getLogger("fargate.config")
VERSION = "0.2.0"  # of the operator: in CHANGELOG.md, the image's label and deployment.yaml too


@dataclass(frozen=True)
class Config:
    cluster_name: str
    region: str
    workers: int
    resync_seconds: float
    poll_seconds: float
    controller_id: str
    health_port: int
    health_address: str
    no_leader_elect: bool
    lease_namespace: str
    lease_name: str
    allow_adoption_in: frozenset[str]
    take_over_from_kopf_in: frozenset[str]
    allow_retain_in: frozenset[str] | None
    allow_eviction_in: frozenset[str]
    namespace: frozenset[str]
    selector: str
    allowed_roles: frozenset[str]
    selector_namespaces: str
    log_format: str
    log_level: str
    metrics_auth: bool
    metrics_port: int
    metrics_cert_file: str
    metrics_key_file: str
    clusters_file: str = ""
    default_pod_execution_role: str = ""
    default_subnet_tags: tuple[tuple[str, str], ...] = ()
    cluster_is_elsewhere: bool = False
    account: str = ""  # of the cluster, where something names it
    aws_profile: str = ""  # what the kubeconfig uses for that cluster
    authority: str = ""  # of the API server, where the cluster is to be its own
    ignored: tuple[str, ...] = ()  # why a variable that is set does not count


class Missing(Exception):
    """Something must be set before the controller can start; the text says what."""


# What reads a value, whose text has no blanks around it; ValueError for a wrong one.


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:  # noqa: PLR2004
        raise ValueError(text)
    return number


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):  # nan neither
        raise ValueError(text)
    return number


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def truth(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"


def like(rule: str) -> Callable[[str], str]:
    """Return what reads texts that match a regular expression."""

    def read(text: str) -> str:
        if not re.fullmatch(rule, text):
            raise ValueError(text)
        return text

    return read


def several(rule: str) -> Callable[[str], frozenset[str]]:
    """Return what reads texts between commas."""
    one = like(rule)
    return lambda text: frozenset(one(part.strip()) for part in text.split(",") if part.strip())


def eks_cluster(text: str) -> str:
    named = kube.named_by_arn(text)
    if text and not re.fullmatch(CLUSTER, named.cluster or text):
        raise ValueError(text)
    if named.cluster and not (named.account.isdecimal() and aws_region(named.region)):
        raise ValueError(text)
    return text


def address(text: str) -> str:
    if text and not re.fullmatch(kube.NAME, text.lower()):
        ip_address(text)
    return text


def subnet_tags(text: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of a text such as fargate=yes,team=*, by their keys."""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    told = {key.strip(): value.strip() for key, sign, value in pairs if sign}
    fit = all(0 < len(key) <= TERM_KEY and 0 < len(value) <= TERM_VALUE for key, value in told.items())
    if not fit or not len(told) == len(pairs) <= TERM_TAGS:
        raise ValueError(text)
    return tuple(sorted(told.items()))


aws_region = like(rf"({REGION})?")
default_role = like(rf"(({OF_A_ROLE})?{ROLE_NAME})?")
tag_value = like(r"(?!(?i:aws:))[\w +=.:/@-]{0,256}")
object_name, namespace = like(kube.NAME), like(rf"({kube.NAMESPACE})?")
namespaces, roles = several(rf"\*|{kube.NAMESPACE}"), several(r"(arn:|[*?])\S*")
file_name = like(r"[^\0\r\n]*")
scope, log_format, log_level = like("own|any"), like("text|json"), like("debug|info|warning|error")


MEANT: Mapping[object, str] = {
    eks_cluster: "the name or the ARN of an EKS cluster",
    aws_region: "an AWS region such as eu-central-1",
    tag_value: "the value of a tag (at most 256 letters, digits, blanks and _ . : / = + - @, not starting with aws:)",
    address: "an IP address or the name of a host",
    object_name: "a name (lowercase letters, digits, - and ., at most 253, first and last a letter or digit)",
    namespace: "a namespace (lowercase letters, digits and -, at most 63, first and last a letter or digit)",
    namespaces: "* or namespaces between commas (lowercase letters, digits and -, at most 63 each)",
    roles: "ARNs of IAM roles between commas, with * and ? for what is left open",
    selector: "a selector of labels",
    file_name: "the name of a file",
    default_role: "the ARN of an IAM role without a path, or the name of one in the account of the cluster",
    subnet_tags: "tags of subnets as KEY=VALUE between commas, each key once, where * is any value",
    scope: "own or any",
    log_format: "text or json",
    log_level: "debug, info, warning or error",
    truth: "true or false",
    count: "a whole number of at least 1",
    positive: "a number of seconds above 0",
    port: "a port number",
}


class Flag(NamedTuple):
    """One setting: its flag, the variables that it is read from otherwise, what reads it, its default, what it is."""

    name: str
    variables: str
    kind: Callable[[str], Any]
    default: object
    what: str

    def read(self, text: str) -> Any:
        try:
            return self.kind(text.strip())
        except ValueError as error:
            where = f"set by the flag or {self.variables.replace(', ', ' or ')}"
            why = f": {error}" if isinstance(error, Unparsable) else ""
            raise argparse.ArgumentTypeError(f"{text!r} is not {MEANT[self.kind]}{why} ({where})") from error

    def said(self, environ: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return its variables that are set, each with its value."""
        return [(each, environ[each]) for each in self.variables.split(", ") if environ.get(each, "").strip()]

    def add_to(self, parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
        more: dict[str, Any] = {"metavar": self.name.rsplit("-", 1)[-1].upper()}
        if self.kind in {namespaces, roles}:
            more["metavar"] = "A,B"
        if self.kind is truth:
            more = {"metavar": "true|false", "nargs": "?", "const": True}
        if self.name == "namespace":
            more["action"] = Together
        default = next((text for _, text in self.said(environ) if not LINK.match(text)), self.default)
        shown = f"{self.what} [variable {self.variables}, default {str(self.default).lower() or 'none'}]"
        parser.add_argument(f"--{self.name}", type=self.read, default=default, help=shown, **more)


# What the kubelet writes into NAME_PORT where a Service NAME is in the pod's namespace.
LINK = re.compile(r"\s*(tcp|udp|sctp)://")


class Together(argparse.Action):
    """Takes what a flag says that is given again together; the variable counts where the flag is not given."""

    def __call__(self, _parser: object, into: argparse.Namespace, values: Any, _option: str | None = None) -> None:
        before = getattr(into, self.dest)
        setattr(into, self.dest, values if before is self.default else before | values)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without all flags before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


_FOUND = "; without it the one that the kubeconfig names, as `aws eks update-kubeconfig` writes it"
FLAGS = (
    Flag("cluster-name", "CLUSTER_NAME", eks_cluster, "",
         f"EKS cluster of objects without spec.clusterName, its name or ARN{_FOUND}"),
    Flag("region", "AWS_REGION, AWS_DEFAULT_REGION", aws_region, "", f"AWS region{_FOUND}"),
    Flag("clusters-file", "CLUSTERS_FILE", file_name, "",
         "the EKS clusters that objects may name, in other regions and accounts too; read again when it changes"),
    Flag("default-pod-execution-role", "DEFAULT_POD_EXECUTION_ROLE", default_role, "",
         "role of objects that give none, its ARN or name; for clusters that are in no file"),
    Flag("default-subnet-tags", "DEFAULT_SUBNET_TAGS", subnet_tags, "",
         "tags (KEY=VALUE,...; * is any value) of the subnets for objects that give none; for the same clusters"),
    Flag("cluster-is-elsewhere", "CLUSTER_IS_ELSEWHERE", truth, False,
         "the cluster is not the one of that name that the kubeconfig, or its ARN, puts in another account; or not the "
         "Kubernetes cluster of the objects"),
    Flag("workers", "WORKERS", count, 16, "objects worked on at once"),
    Flag("resync-seconds", "RESYNC_SECONDS", positive, 600.0, "between two looks at a settled profile"),
    Flag("poll-seconds", "POLL_SECONDS", positive, 5.0, "between two looks at a profile that is being made or deleted"),
    Flag("controller-id", "CONTROLLER_ID", tag_value, "",
         "who this is in the tags of profiles; else the uid of kube-system"),
    Flag("health-port", "HEALTH_PORT", port, 8080,
         "port of /healthz, /readyz and, where no token is asked for, /metrics"),
    Flag("health-address", "HEALTH_ADDRESS", address, "", "where these are served; without it on every address"),
    Flag("metrics-auth", "METRICS_AUTH", truth, False,
         "serve /metrics on a port of its own, over TLS, and only to those whom the API server lets get it"),
    Flag("metrics-port", "METRICS_PORT", port, 8443, "that port"),
    Flag("metrics-cert-file", "METRICS_CERT_FILE", file_name, "",
         "certificate for it, with those that signed it, as PEM; taken anew when the file changes"),
    Flag("metrics-key-file", "METRICS_KEY_FILE", file_name, "", "key of that certificate, as PEM"),
    Flag("no-leader-elect", "NO_LEADER_ELECT", truth, False, "act without a Lease: for one process alone"),
    Flag("lease-namespace", "LEASE_NAMESPACE", namespace, "",
         "of the Lease; without it the pod's own, elsewhere default"),
    Flag("lease-name", "LEASE_NAME", object_name, "fargate-operator", "of the Lease, the same for all replicas"),
    Flag("allow-adoption-in", "ALLOW_ADOPTION_IN", namespaces, "",
         "namespaces, separated by commas, whose objects may take over profiles without an owner; * for all"),
    Flag("take-over-from-kopf-in", "TAKE_OVER_FROM_KOPF_IN", namespaces, "",
         "namespaces, by commas, whose objects may take over what the kopf operator made for them; * for all"),
    Flag("allow-retain-in", "ALLOW_RETAIN_IN", namespaces, None,
         "namespaces, by commas, whose objects may leave their profile (Retain), * for all; else all, or none where "
         "selectors are held to their own namespace"),
    Flag("allow-eviction-in", "ALLOW_EVICTION_IN", namespaces, "", "where stranded pods may be evicted, * for all"),
    Flag("namespace", "WATCH_NAMESPACE", namespaces, "", "whose objects to serve, may be given again; else, or *, all"),
    Flag("selector", "WATCH_SELECTOR", selector, "", "labels of the objects to serve, as kubectl takes them; else all"),
    Flag("allowed-roles", "ALLOWED_ROLES", roles, "*", "ARNs of roles that objects may pass, with * and ?, by commas"),
    Flag("selector-namespaces", "SELECTOR_NAMESPACES", scope, "any", "own: select pods of one's own namespace only"),
    Flag("log-format", "LOG_FORMAT", log_format, "text", "text or json"),
    Flag("log-level", "LOG_LEVEL", log_level, "info", "debug, info, warning or error"),
)  # fmt: skip


def flags(environ: Mapping[str, str], commands: Collection[str] = ()) -> Parser:
    """Return the command line; each flag's default is its variable's value, then what --help shows."""
    names = ", ".join(commands)
    parser = Parser(
        prog="controller.py",
        usage=f"%(prog)s [FLAGS]\n       %(prog)s COMMAND ...   one of {names}",
        allow_abbrev=False,
        description="Make and keep EKS Fargate profiles from FargateProfile objects (jicomusic.com/v1).",
        epilog=f"Commands beside it: {names}; each has a --help of its own. "
        "The API server is that of KUBECONFIG if set, else the one whose pod this is, else of ~/.kube/config. "
        "AWS credentials are found as the AWS CLI finds them.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    for flag in FLAGS:
        flag.add_to(parser, environ)
    return parser


# The command lines of the commands


OWN = "The operator's own flags and variables hold here too: give it those that the operator has."
COMMANDS = {
    "validate": (
        "Say what is wrong with the FargateProfile objects of manifests, without a cluster and without AWS: one line a "
        "finding, as file:line: field: what is there: what mends it. Objects of other kinds are passed over.",
        "0 without findings, 1 with findings, 2 if a file can't be read; the others are judged all the same",
    ),
    "plan": (
        "Say what the operator would do for the FargateProfile objects of manifests if they were applied now, one "
        "after the other. Reads AWS and Kubernetes and changes nothing. " + OWN,
        "0 if nothing is refused, 1 if something is, 2 if nothing could be planned; with --detailed-exitcode 0 if "
        "there is nothing to do, 2 if something would be done, 1 if something is refused or nothing could be planned",
    ),
    "export": (
        "Print a manifest for each Fargate profile of the cluster that has no owner: once they are applied, the "
        "operator adopts the profiles if --allow-adoption-in lets it. Changes nothing. " + OWN,
        "0 if every profile is there, 1 if some can't be expressed (a comment says why), 2 if there is no result",
    ),
    "explain": (
        "Say which profile takes a pod and why, what was near, whether it is stranded, what Fargate can't run of it, "
        "and what is billed: of a pod (explain pod NAMESPACE/NAME), of what manifests make (explain -f FILE), or of "
        "the pods of a FargateProfile (explain profile NAMESPACE/NAME). Reads AWS and Kubernetes, changes nothing. "
        + OWN,
        "0 if nothing is to be mended, 1 if a pod is stranded or refused, or taken and can't run, 2 if there is no "
        "result",
    ),
    "doctor": (
        "Say of all that a cluster needs for Fargate whether it is well, a line a check: ok, warn, fail or unknown, "
        "what is wrong, and what mends it. Reads AWS and Kubernetes with your own rights, and changes nothing; what "
        "you may not read is unknown, and its line says which permission it takes. " + OWN,
        "0 if nothing is wrong, 1 if something is, 2 if something can't be read (the rest is judged all the same)",
    ),
}
WORDS = {"pod", "profile"}  # that explain takes with the name of an object behind them
OFFLINE = {  # what validate can judge by
    "cluster-name", "allowed-roles", "selector-namespaces", "clusters-file", "default-pod-execution-role",
    "default-subnet-tags",
}  # fmt: skip


def command_line(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the command line of the commands; what it does not know is left to the controller's own flags."""
    top = Parser(prog="controller.py", allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True)
    for name, (does, ends) in COMMANDS.items():
        command = commands.add_parser(name, description=does, epilog=f"Exit code: {ends}.", allow_abbrev=False)
        entry = "" if name in {"plan", "validate"} else "; with --clusters-file the name of an entry"
        what = f"the same as --cluster-name{entry}"
        command.add_argument("--cluster", metavar="NAME", default="", help=what)
        if name == "doctor":
            add_output(command, ["text", "json"])
            continue
        usual = None if name == "explain" else "default"
        shown = usual or "that of the kubeconfig's context"
        what = f"of objects for which nothing else says one [default {shown}]"
        command.add_argument("-n", "--namespace", type=named_namespace, default=usual, help=what)
        if name == "explain":
            add_objects(command)
        elif name == "export":
            command.add_argument("--all", action="store_true", help="also profiles with an owner, for that object")
            what = "roles by their names, subnets by their tags, where these say the same"
            command.add_argument("--portable", action="store_true", help=what)
        else:
            add_files(command, ["text", "json", "github"] if name == "validate" else ["text", "json"])
        if name == "plan":
            command.add_argument("--delete", action="store_true", help="if the objects were deleted, not applied")
            what = "end with 2 if something would be done, with 1 on errors"
            command.add_argument("--detailed-exitcode", action="store_true", help=what)
        if name == "validate":
            what = "let objects select the same pods"
            command.add_argument("--allow-overlaps", action="store_true", help=what)
            for flag in FLAGS:
                if flag.name in OFFLINE:  # where no kubeconfig is looked at
                    flag._replace(what=flag.what.removesuffix(_FOUND)).add_to(command, environ)
    return top


def spelled(arguments: list[str]) -> list[str]:
    """Return a command line with `explain pod NAME` as the flag that it stands for: the rest may be anybody's flags."""
    if arguments[:1] == ["explain"] and {*arguments[1:2]} <= WORDS:
        return ["explain", *(f"--{word}" for word in arguments[1:2]), *arguments[2:]]
    return arguments


def add_objects(command: argparse.ArgumentParser) -> None:
    what = command.add_mutually_exclusive_group(required=True)
    for word in sorted(WORDS):
        shown = f"the same as: explain {word} NAMESPACE/NAME"
        what.add_argument(f"--{word}", type=object_key, metavar="NAMESPACE/NAME", help=shown)
    add_files(command, ["text", "json"], what)


def add_files(command: argparse.ArgumentParser, forms: list[str], among: Any = None) -> None:
    """Add the flags that name files; `among` others one of which must be there."""
    what = "manifests of one or more documents each, or folders of *.yaml, *.yml and *.json; - is standard input"
    more = {"help": what} if among else {"help": what, "required": True}
    (among or command).add_argument("-f", "--filename", nargs="+", action="extend", metavar="FILE", **more)
    command.add_argument("-R", "--recursive", action="store_true", help="read the folders in folders too")
    add_output(command, forms)


def add_output(command: argparse.ArgumentParser, forms: list[str]) -> None:
    command.add_argument("-o", "--output", choices=forms, default="text", help="what the result is written as")


def named_namespace(text: str) -> str:
    if not re.fullmatch(kube.NAMESPACE, text.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} can't be a namespace: {NAMESPACE_MEND}")
    return text.strip()


def object_key(text: str) -> kube.Key:
    """Return (namespace, name), with the namespace "" where none is said."""
    namespace, _, name = text.strip().rpartition("/")
    if not re.fullmatch(kube.NAME, name) or not re.fullmatch(f"({kube.NAMESPACE})?", namespace):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME, nor the name of an object")
    return namespace, name


# The files that they name


EXTENSIONS = {".yaml", ".yml", ".json"}  # of the files of a folder, as kubectl has them


def members(path: Path, *, recursive: bool) -> Iterator[Path]:
    """Yield the manifests of a folder as kubectl finds them, or the path itself if it is none."""
    if not path.is_dir():
        yield path
        return
    try:
        entries = sorted(path.iterdir())
    except OSError:
        yield path  # reading it will say why
        return
    for each in entries:
        if each.is_dir() and not each.is_symlink():
            if recursive:
                yield from members(each, recursive=True)
        elif each.suffix in EXTENSIONS:
            yield each


# The configuration as a whole


def configure(arguments: list[str], environ: Mapping[str, str], commands: Collection[str] = ()) -> Config:
    """Read the configuration; raise `Missing` where cluster or region are nowhere said: they are never guessed.

    `commands` are the names of those that there are beside the controller.
    """
    parser = flags(environ, commands)
    read, rest = parser.parse_known_args(arguments)
    if rest:
        parser.error(unknown(rest, commands))
    options = vars(read)
    home = home_of(options["cluster_name"], options["region"], kube.eks_cluster(), options["clusters_file"] != "")
    found = {
        "cluster_name": home.cluster,
        "region": home.region,
        "account": "" if options["cluster_is_elsewhere"] else home.account,
        "aws_profile": home.aws_profile,
        "authority": "" if options["cluster_is_elsewhere"] else kube.authority(),
        "lease_namespace": options["lease_namespace"] or kube.own_namespace() or "default",
        "namespace": frozenset() if "*" in options["namespace"] else options["namespace"],
        "ignored": tuple(ignored(environ)),
    }
    return Config(**options | found)


def unknown(rest: list[str], commands: Collection[str]) -> str:
    """Say what is wrong with arguments that are left over."""
    first = rest[0]
    if first.startswith("-") or not commands:
        return f"unrecognized arguments: {' '.join(rest)}"
    if first in commands:
        return f"the command {first} comes before its flags: controller.py {first} ..."
    return f"{first!r} is none of the commands {', '.join(commands)}; without a command it is the operator that starts"


def home_of(cluster: str, region: str, by_kubeconfig: kube.Named, listed: bool = False) -> kube.Named:
    """Return cluster and region as they are set, else as the kubeconfig names them; and what is known of that cluster.

    `cluster` may be an ARN: it holds a region, and the account. `listed`: a file lists clusters, and the
    cluster may be nowhere said.
    """
    arn = kube.named_by_arn(cluster)
    if arn.region and region and arn.region != region:
        raise Missing(f"--cluster-name is a cluster of {arn.region}, --region or AWS_REGION is {region}: correct one")
    cluster = arn.cluster or cluster or named_well(by_kubeconfig.cluster, eks_cluster, "set --cluster-name")
    region = region or arn.region or named_well(by_kubeconfig.region, aws_region, "set --region")
    if not (cluster or listed):
        raise Missing("set --cluster-name or CLUSTER_NAME to the name of the EKS cluster")
    if not region:
        raise Missing("set --region or AWS_REGION to the AWS region of the EKS cluster")
    known = by_kubeconfig if by_kubeconfig[:2] == (cluster, region) else kube.Named()
    return kube.Named(cluster, region, arn.account or known.account, known.aws_profile)


def named_well(text: str, kind: Callable[[str], str], mend: str) -> str:
    try:
        return kind(text)
    except ValueError as error:
        raise Missing(f"the kubeconfig names {text!r}, which is not {MEANT[kind]}: {mend}") from error


def ignored(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable of ours that is a link to a Service."""
    links = (each for flag in FLAGS for each in flag.said(environ) if LINK.match(each[1]))
    for variable, text in links:
        where = f"{variable} is {text.strip()!r}, as the kubelet sets it for a Service of that name"
        yield f"{where}: it is ignored (enableServiceLinks: false in the pod's spec keeps it out)"


def tell_doubts(config: Config) -> None:
    """Log what is set and does not count, or may be wrong."""
    for sentence in config.ignored:
        log.warning("%s", sentence)
    if not config.metrics_auth and (config.metrics_cert_file or config.metrics_key_file):
        log.warning("%s", UNGUARDED)
    if config.region not in aws.known_regions():
        log.warning("%s", UNKNOWN_REGION.format(config.region))


UNGUARDED = (
    "--metrics-cert-file and --metrics-key-file count for nothing without --metrics-auth: "
    "/metrics is served without TLS and to everybody"
)
UNKNOWN_REGION = (
    "the AWS library of this operator does not know a region {0}: correct --region or AWS_REGION; if {0} is newer than "
    "the library, all is well, it is asked there"
)
UNKNOWN_REGION_OF_ENTRY = (
    "the AWS library of this operator does not know a region {0}: correct it in line {1} of the clusters file; if "
    "{0} is newer than the library, all is well, it is asked there"
)


def no_credentials() -> str:
    """Say what mends it that there is no source of AWS credentials, here or in a pod."""
    elsewhere = "Set AWS_PROFILE or the other variables of the AWS CLI, or log in: aws sso login."
    return aws.FOR_POD if kube.in_pod() else aws.NOWHERE + elsewhere


def entries_of(config: Config) -> Entries:
    """Return the clusters that objects may name; raise `Missing` with all that is wrong with the file of them.

    What may be wrong there is logged, and that it was taken.
    """
    if not config.clusters_file:
        return unlisted(config)
    found = judged(config.clusters_file, read(config.clusters_file), unlisted(config))
    if isinstance(found, list):
        said = f"--clusters-file can't be taken, {counted(len(found), 'finding')}:"
        raise Missing("\n".join([said, *map(str, found)]))
    lines = {each.region: each.line for each in reversed(found.listed or ())}
    for region in lines.keys() - aws.known_regions():
        log.warning("%s", UNKNOWN_REGION_OF_ENTRY.format(region, lines[region]))
    log_taken(config.clusters_file, found)
    return found


def unlisted(config: Config) -> Entries:
    """Return the clusters that there are without a file."""
    return Entries(config.region, config.cluster_name, defaults=defaults(config), home_account=config.account)


def defaults(said: Config | argparse.Namespace) -> Defaults:
    """Return what objects get that say nothing of it, in clusters that are in no file."""
    terms = (Term(tags=said.default_subnet_tags),) if said.default_subnet_tags else ()
    return Defaults(said.default_pod_execution_role, terms)


def settings(config: Config) -> Settings:
    return Settings(
        config.cluster_name, config.controller_id, config.resync_seconds, config.poll_seconds,
        adoption_in=config.allow_adoption_in, kopf_in=config.take_over_from_kopf_in, retain_in=retain_in(config),
        limits=limits(config, config.cluster_name), account=config.account, aws_profile=config.aws_profile,
        authority=config.authority, evict_in=config.allow_eviction_in,
    )  # fmt: skip


def retain_in(config: Config) -> frozenset[str]:
    """Return whose profiles may outlive their objects: where a namespace is held to itself, nobody's unless named."""
    if config.allow_retain_in is None:
        return frozenset() if config.selector_namespaces == "own" else frozenset({"*"})
    return config.allow_retain_in


def limits(said: Config | argparse.Namespace, cluster: str) -> Limits:
    """Return what objects may ask for, where `cluster` is that of objects without a clusterName."""
    return Limits(said.allowed_roles, said.selector_namespaces == "own", cluster)


# The log


LONGEST_FIELD = 4096  # characters


def cut(text: str) -> str:
    """Return a text as it stands in a line of the log: of a long one the beginning, and how long it is."""
    return text if len(text) <= LONGEST_FIELD else f"{text[:LONGEST_FIELD]}... ({len(text)} characters)"


def shown(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: cut(value) if isinstance(value, str) else value for key, value in fields.items()}


class Lines(logging.Formatter):
    """One line a record, whatever is in it: what users name may hold a line's end, and be of any length
    (`shown`). Only a traceback takes several.

    What is in a field is escaped as in JSON, so that no message can pass for further fields.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        if isinstance(record.args, dict):
            told = shown(record.args)
            fields = {key: json.dumps(str(value), ensure_ascii=False)[1:-1] for key, value in told.items()}
            record.message = record.msg % fields
        else:
            record.message = cut(record.message)
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the same
        return visible_lines(super().formatException(ei))


class JsonLines(logging.Formatter):
    """One JSON object a record, its fields each under its own name; `event` is the record's first word then."""

    def format(self, record: logging.LogRecord) -> str:
        fields = shown(record.args) if isinstance(record.args, dict) else {}
        event = {"event": record.msg.partition("=")[0].rpartition(" ")[0]} if fields else {}
        line = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")}
        line |= {"level": record.levelname.lower(), "logger": record.name, **event}
        said = {"message": record.msg % fields if fields else cut(record.getMessage())} | fields
        line |= {key: visible(value) if isinstance(value, str) else value for key, value in said.items()}
        if record.exc_info:
            line["traceback"] = visible_lines(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def log_to_stderr(form: str, level: str) -> None:
    """Log as told; the libraries only what is wrong: their debug lines hold requests, and so secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else Lines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("fargate").setLevel(level.upper())
