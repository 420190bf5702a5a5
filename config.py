"""The configuration: flags, the variables that they are read from, what they must be, and how it is
logged.

What it is not: what is done with them; the command line of the commands beside the controller.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import kube
from spec import Limits, Settings


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
    namespace: frozenset[str]
    selector: str
    allowed_roles: frozenset[str]
    selector_namespaces: str
    log_format: str
    log_level: str


class Missing(Exception):
    """Something must be set before the controller can start; the text says what."""


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


def names(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))


def one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return read


scope, log_format = one_of("own", "any"), one_of("text", "json")
log_level = one_of("debug", "info", "warning", "error")
MEANT: Mapping[object, str] = {
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
            return self.kind(text)
        except ValueError as error:
            where = f"set by the flag or {self.variables.replace(', ', ' or ')}"
            raise argparse.ArgumentTypeError(f"{text!r} is not {MEANT[self.kind]} ({where})") from error

    def add_to(self, parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
        set_to = (environ[each] for each in self.variables.split(", ") if environ.get(each))
        more: dict[str, Any] = {"metavar": self.name.rsplit("-", 1)[-1].upper()}
        if self.kind is names:
            more["metavar"] = "A,B"
        if self.kind is truth:
            more = {"metavar": "true|false", "nargs": "?", "const": True}
        default = next(set_to, self.default)
        if self.name == "namespace":  # the first is what the variable says
            more, default = more | {"action": "append"}, [names(str(default))]
        shown = f"{self.what} [variable {self.variables}, default {str(self.default).lower() or 'none'}]"
        parser.add_argument(f"--{self.name}", type=self.read, default=default, help=shown, **more)


_FOUND = "; without it the one that the kubeconfig names, as `aws eks update-kubeconfig` writes it"
FLAGS = (
    Flag("cluster-name", "CLUSTER_NAME", str, "", f"EKS cluster of objects without spec.clusterName{_FOUND}"),
    Flag("region", "AWS_REGION, AWS_DEFAULT_REGION", str, "", f"AWS region{_FOUND}"),
    Flag("workers", "WORKERS", count, 4, "objects worked on at once"),
    Flag("resync-seconds", "RESYNC_SECONDS", positive, 600.0, "between two looks at a settled profile"),
    Flag("poll-seconds", "POLL_SECONDS", positive, 5.0, "between two looks at a profile that is being made or deleted"),
    Flag("controller-id", "CONTROLLER_ID", str, "", "who this is in the tags of profiles; else the uid of kube-system"),
    Flag("health-port", "HEALTH_PORT", port, 8080, "port of /healthz, /readyz and /metrics"),
    Flag("health-address", "HEALTH_ADDRESS", str, "", "where these are served; without it on every address"),
    Flag("no-leader-elect", "NO_LEADER_ELECT", truth, False, "act without a Lease: for one process alone"),
    Flag("lease-namespace", "LEASE_NAMESPACE", str, "", "of the Lease; without it the pod's own, elsewhere default"),
    Flag("lease-name", "LEASE_NAME", str, "fargate-operator", "of the Lease, the same for all replicas"),
    Flag("allow-adoption-in", "ALLOW_ADOPTION_IN", names, "",
         "namespaces, separated by commas, whose objects may take over profiles without an owner; * for all"),
    Flag("namespace", "WATCH_NAMESPACE", names, "", "whose objects to serve, may be given again; without it all"),
    Flag("selector", "WATCH_SELECTOR", str, "", "labels of the objects to serve, as kubectl takes them; else all"),
    Flag("allowed-roles", "ALLOWED_ROLES", names, "*", "ARNs of roles that objects may pass, with * and ?, by commas"),
    Flag("selector-namespaces", "SELECTOR_NAMESPACES", scope, "any", "own: select pods of one's own namespace only"),
    Flag("log-format", "LOG_FORMAT", log_format, "text", "text or json"),
    Flag("log-level", "LOG_LEVEL", log_level, "info", "debug, info, warning or error"),
)  # fmt: skip


def flags(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the command line; each flag's default is its variable's value, then what --help shows."""
    parser = argparse.ArgumentParser(
        prog="controller.py",
        allow_abbrev=False,
        description="Make and keep EKS Fargate profiles from FargateProfile objects (jicomusic.com/v1).",
        epilog="Commands beside it: export, plan, validate; each has a --help of its own. "
        "The API server is that of KUBECONFIG if set, else the one whose pod this is, else of ~/.kube/config. "
        "AWS credentials are found as the AWS CLI finds them.",
    )
    for flag in FLAGS:
        flag.add_to(parser, environ)
    return parser


def configure(arguments: list[str], environ: Mapping[str, str]) -> Config:
    """Read the configuration; raise `Missing` where cluster or region are nowhere said: they are never guessed."""
    options = vars(flags(environ).parse_args(arguments))
    cluster, region = options["cluster_name"], options["region"]
    if not (cluster and region):
        named = kube.eks_cluster()
        cluster, region = cluster or named[0], region or named[1]
    if not cluster:
        raise Missing("set --cluster-name or CLUSTER_NAME to the name of the EKS cluster")
    if not region:
        raise Missing("set --region or AWS_REGION to the AWS region of the EKS cluster")
    by_variable, *by_flag = options["namespace"]
    found = {
        "cluster_name": cluster,
        "region": region,
        "lease_namespace": options["lease_namespace"] or kube.own_namespace() or "default",
        "namespace": frozenset[str]().union(*(by_flag or [by_variable])),
    }
    return Config(**options | found)


def settings(config: Config) -> Settings:
    limits = Limits(config.allowed_roles, config.cluster_name if config.selector_namespaces == "own" else "")
    return Settings(
        config.cluster_name, config.controller_id, config.resync_seconds, config.poll_seconds,
        adoption_in=config.allow_adoption_in, limits=limits,
    )  # fmt: skip


def place(config: Config) -> tuple[str, Settings]:
    return config.region, settings(config)


# The log


class Lines(logging.Formatter):
    """One line a record, whatever is in it: what users name may hold a line's end. Only a traceback
    takes several.

    What is in a field is escaped as in JSON, so that no message can pass for further fields.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        if isinstance(record.args, dict):
            fields = {key: json.dumps(str(value), ensure_ascii=False)[1:-1] for key, value in record.args.items()}
            record.message = record.msg % fields
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")


class JsonLines(logging.Formatter):
    """One JSON object a record, its fields each under its own name; `event` is the record's first word then."""

    def format(self, record: logging.LogRecord) -> str:
        fields = record.args if isinstance(record.args, dict) else {}
        event = {"event": record.msg.partition("=")[0].rpartition(" ")[0]} if fields else {}
        line = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")}
        line |= {"level": record.levelname.lower(), "logger": record.name, **event}
        line |= {"message": record.getMessage()} | fields
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr(form: str, level: str) -> None:
    """Log as told; the libraries only what is wrong: their debug lines hold requests, and so secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else Lines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("fargate").setLevel(level.upper())
