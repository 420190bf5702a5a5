"""The command doctor: whether all that a cluster needs for Fargate is well, a line a check, with what mends it.

The picture: `Looks` asks AWS and Kubernetes with the caller's own rights -> `Seen`, a `Read` for each thing of READS ->
each row of CHECKS -> lines, as text or JSON, and the exit code.

What can't be read raises `Unread` where a check calls for it, and makes an unknown of that check alone, with the
permission that it takes. Kubernetes is asked only once it is proven to be the very cluster that EKS has.

What it is not: a change of anything; a judgement, which is that of checks.py.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import kube
import pods
from answers import AwsError
from aws import QUOTAS, Profile, Read
from checks import (
    CHECKS,
    COREDNS,
    LOGGING,
    QUOTA_ROWS,
    READS,
    VERDICTS,
    WEBHOOK,
    Check,
    Line,
    Quota,
    Seen,
    Unread,
    data_of,
    refused,
    spec_of,
)
from clusters import whole_view
from entries import Entry
from facts import EntryFact
from fluentbit import actions_for
from kube import Key, KubeError, Object
from leader import read_lease
from limits import Settings
from patterns import LONGEST_LIST, brief, readable, visible
from pods import Odd, part, text
from sites import There
from surroundings import ENTRY_MODES, Facts

T = TypeVar("T")

MOST_SECONDS, QUIET_SECONDS = 120.0, 2.0  # for all reading; until it is told what is read
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
DEPLOYMENT, CONFIG_MAP = "/apis/apps/v1/namespaces/{}/deployments/{}", "/api/v1/namespaces/{}/configmaps/{}"
FORBIDDEN = 403


def doctor(
    there: There, settings: Settings, form: str, lease: Key, now: datetime, tell: Callable[[str], object],
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[int, list[str]]:  # fmt: skip
    """Return the exit code and what goes to standard output; `tell` is told what is read once that lasts."""
    looks = Looks(there, settings, tell, monotonic)
    seen = looks.at_all(lease, now)
    for each in fields(seen):
        make(getattr(seen, each.name))
    cause = seen.view.error.__cause__ if seen.view.error else None
    if isinstance(cause, AwsError) and cause.reason == "CredentialsRefused":
        raise cause  # no permission is wanting, and nothing else can be read either
    if not seen.view.error and not seen.view().found:
        raise there.missing
    rows = [(check.name, line) for check in CHECKS for line in examined(check, seen)]
    return told(rows, there.entry, proven=not looks.proof.error, form=form)


def make(seen: object) -> None:
    """Read whatever is to be read in a part of what is seen: one thing, or those by the names of profiles and roles."""
    if isinstance(seen, Read):
        seen.make()
        if seen.error is None:
            make(seen())
        elif not isinstance(seen.error, Exception):
            raise seen.error  # Ctrl-C
    elif isinstance(seen, dict):
        for each in seen.values():
            if isinstance(each, Read):
                make(each)


def examined(check: Check, seen: Seen) -> list[Line]:
    """Return what is to be said of a check: what was found before something could not be read, and that."""
    lines: list[Line] = []
    found = check.judge(seen)
    try:
        while (line := next(found, None)) is not None:
            lines.append(line._replace(what=brief(line.what, LONGEST_LIST)))
    except Unread as unread:
        lines.append(Line("unknown", str(unread), unread=True))
    except Odd as odd:
        lines.append(Line("unknown", f"{odd} is of a type that Kubernetes has not, and can't be read.", unread=True))
    return lines or [Line("ok", check.fine)]


def told(rows: Sequence[tuple[str, Line]], entry: Entry, *, proven: bool, form: str) -> tuple[int, list[str]]:
    """Return the exit code, and a row for each line and the sum, or the same as JSON."""
    sums = Counter(line.verdict for _, line in rows)
    width = max(len(name) for name, _ in rows)
    out = [f"{line.verdict:8}{name:{width}}  {' '.join(filter(None, (line.what, line.mend)))}" for name, line in rows]
    out = [*map(visible, out)]
    out.append(f"Cluster {entry.name}: {', '.join(f'{sums[each]} {each}' for each in VERDICTS if sums[each])}.")
    if form == "json":
        checks = [{"check": name, **line._asdict()} for name, line in rows]
        head = {"cluster": entry.name, "region": entry.region, "proven": proven}
        out = [json.dumps({**head, "checks": checks, "sum": sums}, indent=2)]
    return 2 if any(line.unread for _, line in rows) else int(bool(sums["fail"] or sums["warn"])), out


# What is read, and how


class Looks:
    """Asks for each thing once, and within its time; what keeps it from being known becomes `Unread`."""

    def __init__(
        self, there: There, settings: Settings, tell: Callable[[str], object], monotonic: Callable[[], float]
    ) -> None:
        self._there, self._settings = there, settings
        self._edge, self._known, self._cluster = there.site.aws, there.site.known, there.entry.cluster
        self._tell, self._told, self._monotonic, self._begun = tell, "", monotonic, monotonic()
        self.home = self._of("home", lambda: there.home)
        self.fact = self._aws("fact", lambda: self._known.cluster(self._cluster))
        self.view = self._aws("view", lambda: whole_view(self._edge, self._cluster))
        self.proof = self._of("proof", self._proven)
        self.logging = self._kubernetes("logging", lambda k: k.get_at(CONFIG_MAP.format(*LOGGING)))

    def at_all(self, lease: Key, now: datetime) -> Seen:
        kubernetes = self._kubernetes
        on_fargate = {"labelSelector": pods.PROFILE_LABEL}
        return Seen(
            self._settings, now, lease, self.home, self.fact, self.view, cluster=self._cluster, has=self._there.has,
            facts=self._of("facts", self._each_profile), dns=self._aws("dns", self._dns),
            entries=self._of("entries", self._each_entry),
            aws_auth=kubernetes("aws_auth", lambda k: k.get_at(CONFIG_MAP.format("kube-system", "aws-auth"))),
            policies=self._of("policies", self._each_role),
            quotas={each.code: self._aws("quotas", partial(self._quota, each)) for each in QUOTA_ROWS},
            objects=kubernetes("objects", lambda k: k.list()[0]),
            webhook=kubernetes("webhook", lambda k: k.get_at(f"{WEBHOOKS}/{WEBHOOK}")),
            namespaces=kubernetes("namespaces", lambda k: by_name(self._listed("namespaces", k))),
            coredns=kubernetes("coredns", lambda k: k.get_at(DEPLOYMENT.format(*COREDNS))),
            logging=self.logging,
            pods=kubernetes("pods", lambda k: self._listed("pods", k, **on_fargate)),
            nodes=kubernetes("nodes", lambda k: by_name(self._listed("nodes", k))),
            lease=kubernetes("lease", lambda k: read_lease(k, *lease)),
        )  # fmt: skip

    def _of(self, name: str, ask: Callable[[], T]) -> Read[T]:
        return Read(partial(self._asked, name, ask))

    def _aws(self, name: str, ask: Callable[[], T | None]) -> Read[T]:
        """Return what asks AWS once it is known that its account may be the cluster's; None may not be read."""

        def asked() -> T:
            self.home()
            if (answer := ask()) is None:
                raise refused(name)
            return answer

        return self._of(name, asked)

    def _kubernetes(self, name: str, ask: Callable[[kube.Kube], T]) -> Read[T]:
        return self._of(name, lambda: ask(self.proof()))

    def _asked(self, name: str, ask: Callable[[], T]) -> T:
        what, needs = READS[name]
        self._in_time(name)
        try:
            return ask()
        except (AwsError, KubeError) as error:
            if getattr(error, "status", 0) == FORBIDDEN or getattr(error, "reason", "") == "AccessDenied":
                raise refused(name) from error
            raise Unread(f"{what} can't be read ({readable(str(error)).rstrip('. ')}): it takes {needs}.") from error

    def _in_time(self, name: str) -> None:
        """Raise where all has taken too long, and say what is read once it has taken a while."""
        (what, needs), seconds = READS[name], self._monotonic() - self._begun
        if seconds > MOST_SECONDS:
            raise Unread(f"{what}: not read any more after {MOST_SECONDS:.0f} s; it takes {needs}.")
        if seconds > QUIET_SECONDS and self._told != name:
            self._told = name
            self._tell(f"Reading: {what[0].lower()}{what[1:]} ...\n")

    def _listed(self, name: str, asked: kube.Kube, **query: str) -> list[Object]:
        """Return all objects of a list of core/v1, read page by page as long as there is time."""
        found: list[Object] = []
        for page, _ in asked.pages(f"/api/v1/{name}", query):
            found += [each for each in page if isinstance(each, dict)]
            self._in_time(name)
        return found

    def _proven(self) -> kube.Kube:
        """Return the way to the API server, which is proven to be that of the EKS cluster."""
        asked = kube.Kube(kube.connect(2), "doctor")
        self.home()
        with suppress(KubeError):
            asked.may_list_pods()  # so that the API server takes our token, if it does
        if why := self._there.unproven(asked):
            raise Unread(f"Whether we talk to EKS cluster {self._cluster} is unknown: {why.rstrip('. ')}.")
        return asked

    def _each_profile(self) -> dict[str, Read[Facts]]:
        return {each.name: self._of("facts", partial(self._facts_of, each)) for each in self.view().profiles.values()}

    def _facts_of(self, profile: Profile) -> Facts:
        return self._known.facts(self._cluster, spec_of(profile))

    def _each_entry(self) -> dict[str, Read[EntryFact]]:
        if self.fact().mode not in ENTRY_MODES:
            return {}
        ask = partial(self._edge.access_entry, self._cluster)
        return {role: self._aws("entries", partial(ask, role)) for role in self._roles}

    @property
    def _roles(self) -> list[str]:
        return sorted({each.role for each in self.view().profiles.values()})

    def _dns(self) -> dict[str, bool]:
        found, vpc = dict[str, bool](), self.fact().vpc
        if not vpc:
            raise Unread(f"EKS names no VPC of cluster {self._cluster}: whether its DNS attributes are on is unknown.")
        for name in ("enableDnsSupport", "enableDnsHostnames"):
            told = self._said(name[0].upper() + name[1:], "ec2", "describe_vpc_attribute", VpcId=vpc, Attribute=name)
            found[name] = bool(held(told or {}, "Value"))
        return found

    def _said(self, key: str, service: str, operation: str, **request: str) -> Any:
        """Return a part of an answer, which has to be there; None where there is no such thing."""
        answer = self._edge.ask(service, operation, **request)
        return None if answer is None else held(answer, key)

    def _quota(self, row: Quota) -> float | None:
        for operation in ("get_service_quota", "get_aws_default_service_quota"):
            told = self._said("Quota", QUOTAS, operation, ServiceCode=row.service, QuotaCode=row.code)
            if told is not None:
                return float(held(told, "Value"))
        raise Unread(f"AWS knows no quota {row.code} here ({row.what}).")

    def _each_role(self) -> dict[str, Read[list[Any]]]:
        """Return the policies of each role, where there are logs that its pods are to write."""
        if not actions_for(data_of(self.logging())):
            return {}
        return {each: self._aws("policies", partial(self._policies, each.rpartition("/")[2])) for each in self._roles}

    def _policies(self, role: str) -> list[Any]:
        inline = self._whole("PolicyNames", "list_role_policies", role)
        attached = self._whole("AttachedPolicies", "list_attached_role_policies", role)
        named = [{"RoleName": role, "PolicyName": each} for each in inline]
        found = [self._said("PolicyDocument", "iam", "get_role_policy", **each) for each in named]
        return found + [self._document(held(each, "PolicyArn")) for each in attached]

    def _whole(self, key: str, operation: str, role: str) -> list[Any]:
        """Return all of a list of IAM's about a role, read page by page as long as there is time."""
        found, request = list[Any](), {"RoleName": role}
        while (page := self._edge.ask("iam", operation, **request)) is not None:
            found += held(page, key)
            if not page.get("IsTruncated"):
                break
            request["Marker"] = held(page, "Marker")
            self._in_time("policies")
        return found

    def _document(self, arn: str) -> Any:
        if (policy := self._said("Policy", "iam", "get_policy", PolicyArn=arn)) is None:
            return None
        named = {"PolicyArn": arn, "VersionId": held(policy, "DefaultVersionId")}
        version = self._said("PolicyVersion", "iam", "get_policy_version", **named) or {}
        return version.get("Document")


def held(answer: dict[str, Any], key: str) -> Any:
    """Return a part of an answer, which has to be there: botocore makes a success of a truncated body."""
    if answer.get(key) is None:
        raise AwsError("AwsUnavailable", f"AWS answered without {key}.")
    return answer[key]


def by_name(found: Iterable[Object]) -> dict[str, Object]:
    return {text(part(each, "metadata"), "name"): each for each in found}
