"""An in-memory Kubernetes API server, honest where the controller relies on it, and its small HTTP face.

It is not a whole one: no admission, no managedFields, no JSON patch, no apply, no discovery, no budgets for pods, and
of RBAC only what a test forbids. With crd.yaml's schema it fills in defaults and drops unknown fields and nulls; it
judges nothing, so that it lets through what an older CRD let in. Its other manners are those measured on kube-apiserver
1.36.3; tests/contract holds both to them.

One counter numbers all writes, and each write is one `Change` in the history of its resource: watches, resumes,
later pages and 410 are all read off that history. It shrinks by `set_back` alone; `compact` only moves the oldest
version that one may still ask for, so that a live watch misses nothing. Stored objects are never changed in place, and
whatever goes in or out passes through JSON.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import functools
import itertools
import json
import marshal
import math
import random
import re
import socket
import socketserver
import sys
import threading
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar, cast
from urllib.parse import parse_qsl, unquote

import yaml

from tests.fakes.selectors import SelectorError, selects

Obj = dict[str, Any]
Key = tuple[str, str]
T = TypeVar("T")
Death = Literal["clean", "reset", "silent"]
Outcome = int | Literal["drop", "lost"]

CRD_FILE = Path(__file__).resolve().parents[2] / "crd.yaml"
MERGE_PATCH = "application/merge-patch+json"
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
PAGE_EXPIRED = "The provided continue parameter is too old to display a consistent list result"
TRUE = ("1", "true")
META = "meta.k8s.io/v1"
ETCD_BYTES = 1_572_000  # of a request to etcd, 1.5 MiB, without what stands around the object
LOOK_SECONDS = 0.02  # how often a waiting watch looks at its client and its clock
STOP_SECONDS = 10.0  # for the thread of a server that has been shut down
LAST_BOOKMARK_SECONDS = 2.0  # before the end; cacher/cache_watcher.go, nextBookmarkTime
RESTART_VERSIONS = 10  # a restarted apiserver writes objects of its own before it serves
GENERATED_BASE_LIMIT = 58  # of a name that the server ends with five letters of its own
POD_GRACE_SECONDS = 30  # for a pod that says nothing else
EVERYWHERE = ""  # for a permission: all namespaces, and lists over all of them
WHO = "system:serviceaccount:fargate-operator:fargate-operator"  # whom a refusal names
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

# Where the reason is not the phrase of HTTP without its spaces.
REASONS = {406: "NotAcceptable", 410: "Expired", 422: "Invalid", 500: "InternalError", 504: "Timeout"}


@dataclass(frozen=True)
class Resource:
    """One row of the table of what is served; custom resources have generation, /status and strict updates.

    Of what is built in, items of a list do not say their kind.
    """

    group_version: str
    plural: str
    kind: str
    namespaced: bool = True
    custom: bool = False
    create_on_put: bool = False
    needs_version: bool = True  # an update names the version that it replaces; a patch has it from the object
    subresources: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return self.group_version.rpartition("/")[0]

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}".rstrip(".")


RESOURCES = {
    resource.plural: resource
    for resource in (
        Resource("jicomusic.com/v1", "fargateprofiles", "FargateProfile", custom=True, subresources=("status",)),
        Resource("coordination.k8s.io/v1", "leases", "Lease", create_on_put=True),
        Resource("events.k8s.io/v1", "events", "Event", create_on_put=True, needs_version=False),
        Resource("v1", "namespaces", "Namespace", namespaced=False, needs_version=False),
        Resource("v1", "pods", "Pod", subresources=("status", "eviction")),
        Resource("apps/v1", "deployments", "Deployment", subresources=("status",)),
        Resource("apps/v1", "replicasets", "ReplicaSet", subresources=("status",)),
        Resource("apps/v1", "statefulsets", "StatefulSet"),
        Resource("v1", "replicationcontrollers", "ReplicationController"),
        Resource("v1", "configmaps", "ConfigMap"),
        Resource(
            "admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration",
            namespaced=False,
        ),
        Resource("v1", "limitranges", "LimitRange"),
        Resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
        Resource("v1", "persistentvolumes", "PersistentVolume", namespaced=False),
        Resource("authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False),
        Resource("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False),
        Resource("authentication.k8s.io/v1", "tokenreviews", "TokenReview", namespaced=False),
    )
}  # fmt: skip
ALSO_SERVED = {"events": ("v1",)}  # where the same objects are read too; their fields are not renamed here
PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?"
)
NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
MOST_INT32 = 2**31 - 1
QUALIFIED_NAME = re.compile(r"([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?")
AS_METADATA = re.compile(r"as=(PartialObjectMetadata(?:List)?);g=meta\.k8s\.io;v=v1")
SYSTEM_METADATA = {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"}
SYSTEM_METADATA |= {"deletionTimestamp", "deletionGracePeriodSeconds"}


@dataclass(frozen=True)
class Target:
    """What a path names: a collection (no name), an object, or its subresource."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    def __str__(self) -> str:
        return f'{self.resource.qualified} "{self.name}"'


@dataclass(frozen=True)
class Response:
    """What the server answers; an error is a `Status` object in `body`."""

    status: int
    body: Obj


@dataclass
class Request:
    """One line of the log; `status` 0 is a connection closed without an answer."""

    method: str
    path: str
    query: dict[str, str]
    user_agent: str
    status: int = 0


@dataclass
class Fault:
    """What meets `times` requests of a method whose path matches, when `after` others have passed: `ApiServer.fail`."""

    method: str
    path_pattern: str
    outcome: Outcome
    times: int
    retry_after: int | None
    after: int = 0

    def meets(self, verb: str, path: str) -> bool:
        return self.method in ("*", verb) and re.search(self.path_pattern, path) is not None


Admission = Callable[["Target", "Obj"], "Obj"]  # raises ApiError


class Dropped(Exception):
    """The connection was closed before an answer: nobody can say whether the effect happened."""


class ApiError(Exception):
    """A refusal in the words of the API server: `response` is the Status that it answers."""

    def __init__(self, status: int, message: str, reason: str | None = None, details: Obj | None = None) -> None:
        super().__init__(message)
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
        if reason is None:
            reason = REASONS.get(status) or HTTPStatus(status).phrase.replace(" ", "")
        self.response = Response(status, {**body, "reason": reason, "details": details or {}, "code": status})


class Expired(ApiError):
    """The version asked for is older than the history that is kept: 410."""

    def __init__(self, message: str) -> None:
        super().__init__(410, message)


def about(
    at: Target, status: int, message: str, reason: str | None = None, causes: list[Obj] | None = None
) -> ApiError:
    """Return the refusal with the details that name its object."""
    details: Obj = {"name": at.name, "group": at.resource.group, "kind": at.resource.plural}
    return ApiError(status, message, reason, details | ({"causes": causes} if causes else {}))


def conflict(at: Target, why: str) -> ApiError:
    return about(at, 409, f"Operation cannot be fulfilled on {at}: {why}")


def uid_conflict(at: Target, wanted: str, uid: str) -> ApiError:
    return conflict(at, f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}")


def invalid(at: Target, *problems: tuple[str, str]) -> ApiError:
    """Return the 422 for (field, what is wrong with it) pairs."""
    kind = f"{at.resource.kind}.{at.resource.group}".rstrip(".")
    text = ", ".join(f"{name}: {wrong}" for name, wrong in problems)
    causes = [{"field": name, "message": wrong} for name, wrong in problems]
    return about(
        at, 422, f'{kind} "{at.name}" is invalid: {text if len(problems) == 1 else f"[{text}]"}', causes=causes
    )


def wire(value: T) -> T:
    """Return a copy that shares nothing, as what comes off the wire; dates and the like fail loudly.

    Marshal takes half of json's time, and a simulation does little else.
    """
    copied: T = marshal.loads(marshal.dumps(cast("Any", value)))
    return copied


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def resolve(path: str) -> Target:
    """Return what `path` names, or refuse with 404."""
    match = PATH.fullmatch(path)
    found = {name: text or "" for name, text in match.groupdict().items()} if match else {}
    resource = RESOURCES.get(found.get("plural", ""))
    served = {resource.group_version, *ALSO_SERVED.get(resource.plural, ())} if resource else set()
    if resource is None or f"{found['group']}/{found['version']}".lstrip("/") not in served:
        raise ApiError(404, "the server could not find the requested resource")
    at = Target(resource, found["namespace"], found["name"], found["subresource"])
    misplaced = not at.namespace and at.name if resource.namespaced else at.namespace
    if misplaced or (at.subresource and at.subresource not in resource.subresources):
        raise about(at, 404, "the server could not find the requested resource")
    return at


def selection(at: Target, query: Mapping[str, str]) -> Callable[[Obj], bool]:
    """Return whether an object is in the scope of a list or watch."""
    try:
        shows = selects(at.resource.kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    except SelectorError as error:
        raise ApiError(400, str(error)) from error
    return lambda obj: at.namespace in ("", obj["metadata"].get("namespace")) and shows(obj)


def wants_watch(query: Mapping[str, str]) -> bool:
    return query.get("watch") in TRUE


def version_of(text: str) -> int:
    """Return a resourceVersion as the number that it is here; the real server answers 500 to any other text."""
    if not re.fullmatch("[0-9]+", text):
        raise ApiError(500, f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


class Change(NamedTuple):
    """One write: the object before (None: created) and after (None: gone)."""

    version: int
    before: Obj | None
    after: Obj | None

    @property
    def key(self) -> Key:
        metadata = (self.before or self.after or {})["metadata"]
        return metadata.get("namespace", ""), metadata["name"]

    def event(self, shows: Callable[[Obj], bool]) -> Obj | None:
        """Return the change as someone with this selection sees it: leaving the selection is DELETED."""
        was = self.before is not None and shows(self.before)
        if self.after is not None and shows(self.after):
            return {"type": "MODIFIED" if was else "ADDED", "object": wire(self.after)}
        return {"type": "DELETED", "object": wire(stamped(self.before, self.version))} if was and self.before else None


def stamped(obj: Obj, version: int) -> Obj:
    """Return the object as of this resourceVersion; it shares its parts with the old one."""
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}


@dataclass
class _Watch:
    at: Target
    shows: Callable[[Obj], bool]
    version: int
    pending: list[Obj]
    bookmark_seconds: float  # infinite if the client did not ask for bookmarks
    deadline: float = math.inf
    last_bookmark_at: float = math.inf
    bookmark_at: float = math.inf
    killed: Death | None = None
    told: int = 0  # the version that the client knows

    def start(self, now: float, timeout: float) -> None:
        self.told = self.version
        self.deadline = now + timeout
        if self.bookmark_seconds < math.inf:
            self.last_bookmark_at = self.deadline - min(LAST_BOOKMARK_SECONDS, timeout / 2)
        self.schedule_bookmark(now)

    def schedule_bookmark(self, now: float) -> None:
        last = self.last_bookmark_at if now < self.last_bookmark_at else math.inf
        self.bookmark_at = min(now + self.bookmark_seconds, last)


def event_problems(event: Obj) -> Iterator[tuple[str, str]]:
    """Yield what events.k8s.io/v1 refuses (core/validation/events.go)."""
    for name in ("eventTime", "reportingController", "reportingInstance", "action", "reason", "type"):
        if not event.get(name):
            yield name, "Required value"
    for name, limit in {"note": 1024, "reason": 128, "action": 128, "reportingInstance": 128}.items():
        if len((event.get(name) or "").encode()) > limit:
            yield name, f'Invalid value: "": can have at most {limit} characters'
    if event.get("type") not in (None, "Normal", "Warning"):
        yield "type", f'Invalid value: "": has invalid value: {event["type"]}'
    if not QUALIFIED_NAME.fullmatch(event.get("reportingController") or "absent"):
        yield "reportingController", "Invalid value: must be a qualified name"
    # Stricter than the real one, which lets a foreign namespace pass: nobody would find that event.
    about_namespace = event.get("regarding", {}).get("namespace", "")
    if (about_namespace or "default") != event["metadata"]["namespace"]:
        yield "involvedObject.namespace", f'Invalid value: "{about_namespace}": does not match event.namespace'


def check_micro_times(at: Target, obj: Obj) -> None:
    """Refuse a MicroTime without exactly six decimals: Go parses it by that layout."""
    spec = obj.get("spec", {}) if at.resource.plural == "leases" else {}
    times = [spec.get("acquireTime"), spec.get("renewTime")]
    times += [obj.get("eventTime")] if at.resource.plural == "events" else []
    for text in times:
        if text is not None and not MICRO_TIME.fullmatch(str(text)):
            layout, kind = "2006-01-02T15:04:05.000000Z07:00", at.resource.kind
            wrong = f'parsing time "{text}" as "{layout}"'
            raise ApiError(400, f'{kind} in version "v1" cannot be handled as a {kind}: {wrong}')


def check_numbers(at: Target, obj: Obj) -> None:
    """Refuse a number of a Lease that is no int32: Go reads it into one."""
    spec = obj.get("spec", {}) if at.resource.plural == "leases" else {}
    for number in (spec.get("leaseTransitions"), spec.get("leaseDurationSeconds")):
        if isinstance(number, int) and number > MOST_INT32:
            wrong = f"json: cannot unmarshal number {number} into Go struct field LeaseSpec.spec of type int32"
            raise ApiError(400, f'Lease in version "v1" cannot be handled as a Lease: {wrong}')


def _finalizers(obj: Obj) -> list[str]:
    """Return what holds the object when it is deleted; a namespace is held by its spec as well."""
    held: list[str] = obj["metadata"].get("finalizers", [])
    return held + obj.get("spec", {}).get("finalizers", []) if obj["kind"] == "Namespace" else held


@functools.cache
def crd_schema() -> Obj:
    """Return the schema of a FargateProfile."""
    schema: Obj = yaml.safe_load(CRD_FILE.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def defaulted(value: Any, schema: Obj) -> Any:
    """Return the value with what it leaves out filled in (apiextensions-apiserver, schema/defaulting)."""
    if isinstance(value, list):
        return [defaulted(each, schema.get("items", {})) for each in value]
    if not isinstance(value, dict):
        return value
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    missing = {name for name, child in known.items() if "default" in child and value.get(name) is None}
    filled = value | {name: known[name]["default"] for name in missing}
    return {name: defaulted(each, known.get(name, others)) for name, each in filled.items()}


def pruned(value: Any, schema: Obj) -> Any:
    """Return the value without what the schema does not know, and without nulls that it does not take (schema/pruning).

    What the schema gives another type stays: the real server would refuse it.
    """
    if isinstance(value, list):
        return [pruned(each, schema.get("items", {})) for each in value]
    if not isinstance(value, dict) or not schema.keys() & {"properties", "additionalProperties"}:
        return value
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    kept = {name: (each, known.get(name, others)) for name, each in value.items() if name in known or others}
    return {name: pruned(each, child) for name, (each, child) in kept.items() if each is not None}


def check_preconditions(at: Target, metadata: Obj, options: Obj) -> None:
    """Refuse to delete an object that is not the one, or the version, that the client saw."""
    wanted = options.get("preconditions", {})
    ends = {"uid": "deleted and then recreated", "resourceVersion": "modified"}
    for name, what in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(name, metadata[name]) != metadata[name]:
            why = f"the {what} in the precondition ({wanted[name]}) does not match the {what} in record"
            why += f" ({metadata[name]}). The object might have been {ends[name]}"
            kind = f"{at.resource.kind}.{at.resource.group}".rstrip(".")
            raise about(at, 409, f'Operation cannot be fulfilled on {kind} "{at.name}": {why}')


def grace_seconds(obj: Obj, options: Obj) -> int:
    """Return how long an object that is deleted has to end: only a pod that a kubelet runs (core/pod/strategy.go)."""
    spec, status = (obj.get(name) or {} for name in ("spec", "status"))
    if obj["kind"] != "Pod" or not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    return int(options.get("gracePeriodSeconds", spec.get("terminationGracePeriodSeconds", POD_GRACE_SECONDS)))


def without_status(at: Target, body: Any) -> Any:
    """Return what is created of what a client sends: its status is nobody's to make."""
    if at.resource.kind != "Pod" or not isinstance(body, dict):
        return body
    return {name: part for name, part in body.items() if name != "status"}


def as_accepted(response: Response, at: Target, accept: str) -> Response:
    """Return the answer as the client asked for it: whole, or of each object its metadata alone."""
    asked, body = AS_METADATA.search(accept), response.body
    if not asked or response.status != HTTPStatus.OK:
        return response
    if asked[1].endswith("List") != ("items" in body):
        other, kind = ("not a list", at.resource.kind) if "items" not in body else ("a list", body["kind"])
        why = f"you requested {asked[1]}, but the requested object is {other} (*core.{kind})"
        raise ApiError(406, why)
    if "items" not in body:
        return Response(200, metadata_of(body))
    items = [metadata_of(item) for item in body["items"]]
    return Response(200, {"kind": asked[1], "apiVersion": META, "metadata": body["metadata"], "items": items})


def metadata_of(obj: Obj) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": obj["metadata"]}


def _content(obj: Obj) -> Obj:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ApiServer:
    """The server without a wire: thread-safe, one lock; every object that it hands out is a copy.

    `crd_defaults` is whether crd.yaml fills in and drops fields (False: an old CRD). `may_list_pods` is what it answers
    who asks for that permission (who lists them without asking is let, but for `forbid`), `users` whom it knows by
    their tokens, `readers` who may get which path that is no resource's: (a user or group, the path). `rand` makes uids
    and generated names, so that a seeded simulation repeats.
    """

    def __init__(
        self, now: Callable[[], datetime] = _utc_now, bookmark_seconds: float = 60.0, rand: random.Random | None = None
    ) -> None:
        self.crd_defaults = True
        self.may_list_pods = False
        self.users: dict[str, Obj] = {}
        self.readers: set[tuple[str, str]] = set()
        self.cached: int | None = None  # at which version a list that asks for "0" is answered; None: the latest
        self.forbidden: dict[
            tuple[str, str], tuple[str, ...]
        ] = {}  # verb and resource: where it is allowed all the same
        self.most_bytes = ETCD_BYTES  # of an object; a test that makes it smaller spares itself a big one
        self.admit: Admission | None = None  # is shown every update; it may change or refuse what was sent
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self._now, self._bookmark_seconds, self._rand = now, bookmark_seconds, rand or random.Random()
        self._version = self._oldest = 100
        self._lost: set[tuple[str, Key, int]] = set()  # versions of objects that have never been
        self._objects: dict[str, dict[Key, Obj]] = {plural: {} for plural in RESOURCES}
        self._history: dict[str, list[Change]] = {plural: [] for plural in RESOURCES}
        self._watches: list[_Watch] = []
        self._default_unsaved: set[str] = set()  # uids of objects whose status is the default, and not stored
        self._changed = threading.Condition(threading.RLock())
        for name in ("default", "kube-system"):
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    # What a client can do

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any = None,
        content_type: str = "application/json",
        user: str = "",
        accept: str = "",
    ) -> Response:
        """Answer one request as the real server would; `user` is the user agent. Raises Dropped on such a fault."""
        try:
            with self._changed, self._logged(method, method, path, query, user) as entry:
                at = resolve(path)
                self._check_permission(VERBS.get(method) or ("get" if at.name else "list"), at)
                response = as_accepted(self._answer(method, at, query, body, content_type), at, accept)
                entry.status = response.status
                return response
        except ApiError as error:
            return error.response

    def watch(
        self, path: str, query: Mapping[str, str], user: str = "", alive: Callable[[], bool] = lambda: True
    ) -> Generator[Obj]:
        """Open a watch now, or raise ApiError or Dropped; the events come as they happen, while `alive()`."""
        with self._changed:
            with self._logged("WATCH", "GET", path, query, user) as entry:
                at = resolve(path)
                self._check_permission("watch", at)
                watch = self._open(at, query)
                entry.status = 200
            self._watches.append(watch)
        return self._follow(watch, alive)

    def events_since(self, plural: str, resource_version: str) -> list[Obj]:
        """Return every event after a version, without waiting; raises Expired."""
        with self._changed:
            version = version_of(resource_version)
            self._check_age(version)
            return [event for change in self._after(plural, version) if (event := change.event(lambda _: True))]

    # What a test can do: none of it is logged or meets a fault

    def apply(self, obj: Obj) -> Obj:
        """Create the object, or merge it into the one that is there; raises ApiError."""
        resource = next(row for row in RESOURCES.values() if row.kind == obj["kind"])
        namespace = obj["metadata"].get("namespace", "default") if resource.namespaced else ""
        at = Target(resource, namespace, obj["metadata"]["name"])
        with self._changed:
            if at.key not in self._objects[resource.plural]:
                return self._create(at, obj).body
            return self.edit(*(resource.plural, *at.key), obj) if resource.kind == "Pod" else self._merged(at, obj)

    def edit(self, plural: str, namespace: str, name: str, patch: Obj) -> Obj:
        """Merge a patch into the object, status included; raises ApiError."""
        at = Target(RESOURCES[plural], namespace, name)
        with self._changed:
            edited = self._merged(at, patch)
            if at.resource.subresources and "status" in patch and self.get(plural, namespace, name):
                return self._merged(replace(at, subresource="status"), {"status": patch["status"]})
            return edited

    def _merged(self, at: Target, patch: Obj) -> Obj:
        return self._patch(at, patch, MERGE_PATCH).body

    def delete(self, plural: str, namespace: str, name: str) -> None:
        """Delete the object, a pod with no time to end in; finalizers hold it all the same."""
        with self._changed:
            self._delete(Target(RESOURCES[plural], namespace, name), {"gracePeriodSeconds": 0})

    def forbid(self, verb: str, resource: str, *, but_in: tuple[str, ...] = ()) -> None:
        """Take a permission away, as RBAC names it ("create", "pods/eviction"), but in some namespaces."""
        with self._changed:
            self.forbidden[verb, resource] = but_in

    def permit(self, verb: str, resource: str) -> None:
        """Give a permission back, in all namespaces."""
        with self._changed:
            self.forbidden.pop((verb, resource), None)

    def get(self, plural: str, namespace: str, name: str) -> Obj | None:
        with self._changed:
            return wire(self._objects[plural].get((namespace, name)))

    def objects(self, plural: str) -> list[Obj]:
        with self._changed:
            return [wire(obj) for _, obj in sorted(self._objects[plural].items())]

    def peek(self, plural: str, namespace: str, name: str) -> Obj | None:
        """Return the stored object itself, which is nobody's to change: what a simulation looks at all the time."""
        return self._objects[plural].get((namespace, name))

    def changes(self, plural: str, start: int) -> list[Change]:
        """Return the writes from the `start`-th on, to be looked at and not to be changed."""
        return self._history[plural][start:]

    def changes_after(self, plural: str, resource_version: str) -> list[Change]:
        """Return the writes after a version, to be looked at and not to be changed."""
        return self._after(plural, version_of(resource_version))

    def has_news(self, plural: str, resource_version: str) -> bool:
        """Say whether a watch from this version would have something to tell: an event, or that it is too old."""
        version = version_of(resource_version)
        return version < self._oldest or bool(self._after(plural, version))

    @property
    def resource_version(self) -> str:
        """The version of the last write."""
        return str(self._version)

    def writes(self) -> list[Request]:
        """Return the logged requests that were meant to change something."""
        asked = "reviews"  # questions, though each is a POST
        return [request for request in self.log if request.method != "GET" and not request.path.endswith(asked)]

    def clear_log(self) -> None:
        self.log.clear()

    def fail(
        self,
        method: str,
        path_pattern: str,
        outcome: Outcome,
        times: int = 1,
        retry_after: int | None = None,
        after: int = 0,
    ) -> None:
        """Let requests fail: by a status (no effect), "drop" (no effect) or "lost" (after the effect).

        `method` is an HTTP method, "*", or "WATCH" for watches, which "GET" does not meet; `path_pattern` is searched.
        `after` so many that match, which pass: with 1 it is the second page of a list that fails.
        """
        with self._changed:
            self.faults.append(Fault(method, path_pattern, outcome, times, retry_after, after))

    def compact(self) -> None:
        """Forget the past: whoever asks for an older version gets 410. Live watches go on.

        On the real server the cache of watches has to lose it; etcd's compaction alone takes nothing from anybody.
        """
        with self._changed:
            self._oldest = self._version

    def restart(self) -> None:
        """End all watches and forget the past, so that even a resume from the last seen version gets 410.

        The real one may first answer 429 to a watch, "storage is (re)initializing": `fail("WATCH", "", 429)`.
        """
        with self._changed:
            self._version += RESTART_VERSIONS
            self.compact()
            self.kill_watches("clean")

    def set_back(self, resource_version: str) -> None:
        """Go back to an older state, as after a restore of etcd from a snapshot: what came later has never been.

        The server is restarted with it. Who resumes from a version that it has not come to again hears nothing. The
        number of a lost write is not given to the same object again: with a real server's many writes that is as good
        as impossible, and no precondition would see it.
        """
        with self._changed:
            version = version_of(resource_version)
            for plural, history in self._history.items():
                self._objects[plural] = self._snapshot(plural, version)
                lost = self._after(plural, version)
                self._lost |= {(plural, change.key, change.version) for change in lost}
                del history[len(history) - len(lost) :]
            self._version = version
            self.restart()

    def kill_watches(self, how: Death) -> None:
        """End the open watches: "clean", "reset" (raises Dropped), or "silent" (open, but never another word)."""
        with self._changed:
            for watch in self._watches:
                watch.killed = how
            self._changed.notify_all()

    def watching(self) -> int:
        """Return how many watches are open."""
        return len(self._watches)

    # Faults and the log

    @contextlib.contextmanager
    def _logged(self, verb: str, method: str, path: str, query: Mapping[str, str], user: str) -> Iterator[Request]:
        entry = Request(method, path, dict(query), user)
        self.log.append(entry)
        fault = self._next_fault(verb, path)
        lost = fault is not None and fault.outcome == "lost"
        try:
            if fault and not lost:
                raise self._failure(fault)
            yield entry
        except ApiError as error:
            entry.status = error.response.status
            if not lost:
                raise
        if lost:
            entry.status = 0
            raise Dropped("connection closed after the effect")

    def _next_fault(self, verb: str, path: str) -> Fault | None:
        fault = next((fault for fault in self.faults if fault.meets(verb, path)), None)
        if fault and fault.after:
            fault.after -= 1
            return None
        if fault:
            fault.times -= 1
            self.faults = [fault for fault in self.faults if fault.times > 0]
        return fault

    def _failure(self, fault: Fault) -> Exception:
        if not isinstance(fault.outcome, int):
            return Dropped("connection closed before the effect")
        details = {} if fault.retry_after is None else {"retryAfterSeconds": fault.retry_after}
        return ApiError(fault.outcome, "failed on request of the test", details=details)

    # Permissions

    def _check_permission(self, verb: str, at: Target) -> None:
        resource = f"{at.resource.plural}/{at.subresource}".rstrip("/")
        if self._may(verb, resource, at.namespace):
            return
        where = f'in the namespace "{at.namespace}"' if at.namespace else "at the cluster scope"
        why = f'User "{WHO}" cannot {verb} resource "{resource}" in API group "{at.resource.group}" {where}'
        what = str(at) if at.name else at.resource.qualified
        details = {name: text for name, text in about(at, 403, "").response.body["details"].items() if text}
        raise ApiError(403, f"{what} is forbidden: {why}", details=details)

    def _may(self, verb: str, resource: str, namespace: str) -> bool:
        allowed_in = self.forbidden.get((verb, resource))
        return allowed_in is None or namespace in allowed_in

    # Reading

    def _answer(self, method: str, at: Target, query: Mapping[str, str], body: Any, content_type: str) -> Response:
        match method, bool(at.name), at.subresource:
            case "GET", True, "" | "status":
                return Response(200, wire(self._found(at)))
            case "GET", False, _ if not wants_watch(query):
                return self._list(at, query)
            case "POST", False, _ if at.resource.kind.endswith("Review"):
                judge = {"TokenReview": self._known, "SubjectAccessReview": self._readable}
                said = judge.get(at.resource.kind, self._permitted)(body["spec"])
                return Response(201, {**body, "metadata": {}, "status": said})
            case "POST", False, _ if at.namespace or not at.resource.namespaced:
                return self._create(at, without_status(at, body))
            case "POST", True, "eviction":
                return self._evict(at, body)
            case "PUT", True, "" | "status":
                return self._put(at, body)
            case "PATCH", True, "" | "status":
                return self._patch(at, body, content_type)
            case "DELETE", True, "":
                return self._delete(at, body)
        raise about(at, 405, "the server does not allow this method on the requested resource")

    def _known(self, asked: Obj) -> Obj:
        user = self.users.get(asked["token"])
        return {"authenticated": True, "user": user} if user else {"user": {}, "error": "invalid bearer token"}

    def _readable(self, asked: Obj) -> Obj:
        path, verb = asked["nonResourceAttributes"]["path"], asked["nonResourceAttributes"]["verb"]
        names = {asked["user"], *asked.get("groups", [])}
        return {"allowed": verb == "get" and any((name, path) in self.readers for name in names)}

    def _permitted(self, asked: Obj) -> Obj:
        what = asked["resourceAttributes"]
        resource = f"{what['resource']}/{what.get('subresource', '')}".rstrip("/")
        optional = (what["verb"], resource) == ("list", "pods")
        allowed = self._may(what["verb"], resource, what.get("namespace", EVERYWHERE))
        return {"allowed": allowed and (self.may_list_pods or not optional)}

    def _found(self, at: Target) -> Obj:
        obj = self._objects[at.resource.plural].get(at.key)
        if obj is None:
            raise about(at, 404, f"{at} not found")
        return obj

    def _list(self, at: Target, query: Mapping[str, str]) -> Response:
        version, start = self._page_start(query)
        shows, objects = selection(at, query), self._snapshot(at.resource.plural, version)
        keys = sorted(key for key, obj in objects.items() if key > start and shows(obj))
        page = keys[: self._limit(query)]
        more = _token(version, page[-1]) if len(page) < len(keys) else ""
        head = {"kind": f"{at.resource.kind}List", "apiVersion": at.resource.group_version}
        metadata = {"resourceVersion": str(version), "continue": more}
        items = [wire(objects[key]) for key in page]
        if not at.resource.custom:
            items = [{name: part for name, part in item.items() if name not in head} for item in items]
        return Response(200, {**head, "metadata": metadata, "items": items})

    def _limit(self, query: Mapping[str, str]) -> int | None:
        """Return how many objects a page may have; a list out of the cache has one page (cacher/delegator.go)."""
        is_cached = query.get("resourceVersion") == "0" and "continue" not in query
        return None if is_cached else int(query.get("limit") or 0) or None

    def _page_start(self, query: Mapping[str, str]) -> tuple[int, Key]:
        """Return the version to list at and the key to go on behind."""
        if token := query.get("continue"):
            version, start = _read_token(token)
            if version < self._oldest:
                raise Expired(PAGE_EXPIRED)
            return version, start
        if version_of(query.get("resourceVersion") or "0") > self._version:
            causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
            raise ApiError(504, "Too large resource version", details={"causes": causes, "retryAfterSeconds": 1})
        if query.get("resourceVersion") == "0" and self.cached:
            return self.cached, ("", "")
        return self._version, ("", "")

    def _snapshot(self, plural: str, version: int) -> dict[Key, Obj]:
        """Return the objects as they were at a version: today's, with every later change undone."""
        objects = dict(self._objects[plural])
        for change in reversed(self._after(plural, version)):
            objects.pop(change.key, None)
            if change.before:
                objects[change.key] = change.before
        return objects

    def _after(self, plural: str, version: int) -> list[Change]:
        history = self._history[plural]
        return history[bisect_right(history, version, key=lambda change: change.version) :]

    def _check_age(self, version: int) -> None:
        if version < self._oldest:
            raise Expired(f"too old resource version: {version} ({self._oldest})")

    # Watching

    def _open(self, at: Target, query: Mapping[str, str]) -> _Watch:
        shows, asked = selection(at, query), version_of(query.get("resourceVersion") or "0")
        bookmarks = query.get("allowWatchBookmarks") in TRUE
        bookmark_seconds = self._bookmark_seconds if bookmarks else math.inf
        watch = _Watch(at, shows, asked or self._version, [], bookmark_seconds)
        watch.start(time.monotonic(), float(query.get("timeoutSeconds") or 0) or math.inf)
        if not asked:
            watch.pending = [{"type": "ADDED", "object": obj} for obj in self.objects(at.resource.plural) if shows(obj)]
            return watch
        try:
            self._check_age(asked)
        except Expired as error:  # a watch is told so inside its stream, after HTTP 200
            watch.pending, watch.killed = [{"type": "ERROR", "object": error.response.body}], "clean"
            watch.version = self._version
        return watch

    def _follow(self, watch: _Watch, alive: Callable[[], bool]) -> Generator[Obj]:
        try:
            while (events := self._next_events(watch, alive)) is not None:
                yield from events
        finally:
            with self._changed:
                self._watches.remove(watch)

    def _next_events(self, watch: _Watch, alive: Callable[[], bool]) -> list[Obj] | None:
        """Wait until there is something to say; None is the end."""
        with self._changed:
            while alive():
                if watch.killed == "reset":
                    raise Dropped("watch killed")
                if watch.killed != "silent":
                    now = time.monotonic()
                    if events := self._due(watch, now):
                        return events
                    if watch.killed or now >= watch.deadline:
                        return None
                self._changed.wait(LOOK_SECONDS)
            return None

    def _due(self, watch: _Watch, now: float) -> list[Obj]:
        events, watch.pending = watch.pending, []
        changes = self._after(watch.at.resource.plural, watch.version)
        events += [event for change in changes if (event := change.event(watch.shows))]
        if watch.version > self._version:  # a version from the future: wait for it in silence
            return events
        watch.version = self._version
        if events:
            watch.told = version_of(events[-1]["object"]["metadata"].get("resourceVersion", "0"))
        if now >= watch.bookmark_at:
            watch.schedule_bookmark(now)
            if watch.told >= watch.version:  # nothing new: a quiet server stays silent, however long
                return events
            watch.told = watch.version
            head = {"kind": watch.at.resource.kind, "apiVersion": watch.at.resource.group_version}
            metadata = {"resourceVersion": str(watch.version)}
            events.append({"type": "BOOKMARK", "object": {**head, "metadata": metadata}})
        return events

    # Writing

    def _create(self, at: Target, body: Any) -> Response:
        new = self._body(at, body)
        metadata = new["metadata"]
        if version_of(metadata.get("resourceVersion") or "0") and not at.name:
            raise ApiError(500, "resourceVersion should not be set on objects to be created", "")
        if prefix := metadata.get("generateName", ""):
            ending = "".join(self._rand.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
            metadata.setdefault("name", prefix[:GENERATED_BASE_LIMIT] + ending)
        at = replace(at, name=metadata.get("name", ""))
        self._check_name(at, prefix)
        new["metadata"] = {
            **{name: value for name, value in metadata.items() if name not in SYSTEM_METADATA},
            **({"namespace": at.namespace} if at.namespace else {}),
            **({"generation": 1} if at.resource.custom else {}),
            "name": at.name,
            "uid": str(uuid.UUID(int=self._rand.getrandbits(128), version=4)),
            "creationTimestamp": self._timestamp(),
        }
        if at.resource.custom:
            new.pop("status", None)
        new = self._default(at, new)
        self._validate(at, new)
        created = self._commit(at, None, new)
        if at.resource.custom and "status" in new:
            self._default_unsaved.add(new["metadata"]["uid"])
        return Response(201, wire(created))

    def _check_name(self, at: Target, prefix: str = "") -> None:
        if not at.name:
            raise invalid(at, ("metadata.name", "Required value: name or generateName is required"))
        if prefix and not NAME.fullmatch(prefix.removesuffix("-")):
            raise invalid(at, ("metadata.generateName", f'Invalid value: "{prefix}": a lowercase RFC 1123 subdomain'))
        if not NAME.fullmatch(at.name):
            raise invalid(at, ("metadata.name", f'Invalid value: "{at.name}": a lowercase RFC 1123 subdomain'))
        if at.resource.namespaced and "deletionTimestamp" in self._namespace(at)["metadata"]:
            raise self._terminating(at)
        if at.key in self._objects[at.resource.plural]:
            raise about(at, 409, f"{at} already exists", "AlreadyExists")

    def _terminating(self, at: Target) -> ApiError:
        message = f"namespace {at.namespace} is being terminated"
        cause = {"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}
        why = f"unable to create new content in namespace {at.namespace} because it is being terminated"
        return about(at, 403, f"{at} is forbidden: {why}", causes=[cause])

    def _put(self, at: Target, body: Any) -> Response:
        sent = self._body(at, body)
        uid = sent["metadata"].get("uid")
        if at.resource.create_on_put and at.key not in self._objects[at.resource.plural]:
            if uid:
                raise uid_conflict(at, uid, "")
            return self._create(at, sent)
        old = self._found(at)
        if uid not in (None, old["metadata"]["uid"]):
            raise uid_conflict(at, uid, old["metadata"]["uid"])
        return self._update(at, old, sent)

    def _patch(self, at: Target, patch: Any, content_type: str) -> Response:
        if content_type.partition(";")[0] != MERGE_PATCH:
            raise ApiError(415, f"the body of the request was in an unknown format - accepted: {MERGE_PATCH}")
        if not isinstance(patch, dict):
            raise ApiError(400, "json: cannot unmarshal the patch: a merge patch is an object")
        old = self._found(at)
        return self._update(at, old, self._body(at, merge(old, patch)))

    def _update(self, at: Target, old: Obj, sent: Obj) -> Response:
        """Store what was sent; a write that changes nothing checks the version and leaves no trace.

        Except the first after the creation: only it saves the default status, which readers saw from the start.
        """
        seen = version_of(sent["metadata"].get("resourceVersion") or "0")
        if not seen and at.resource.needs_version:
            raise invalid(at, ("metadata.resourceVersion", "Invalid value: 0: must be specified for an update"))
        self._check_size(old, sent)
        if seen and seen != int(old["metadata"]["resourceVersion"]):
            raise conflict(at, MODIFIED)
        if self.admit:
            sent = self.admit(at, copy.deepcopy(sent))
        new = self._new_status(at, old, sent) if at.subresource else self._new_main(at, old, sent)
        self._validate(at, new)
        if new == old and old["metadata"]["uid"] not in self._default_unsaved:
            return Response(200, wire(old))
        if "deletionTimestamp" in new["metadata"] and not _finalizers(new):
            self._commit(at, old, None)
            return Response(200, wire(new))
        return Response(200, wire(self._commit(at, old, new)))

    def _check_size(self, old: Obj, sent: Obj) -> None:
        """Refuse what is too large, whatever its version: etcd judges the size before it compares."""
        changed = stamped(sent, int(old["metadata"]["resourceVersion"])) != old
        if changed and len(json.dumps(sent, separators=(",", ":"))) > self.most_bytes:
            raise ApiError(500, "etcdserver: request is too large", "")

    def _new_status(self, at: Target, old: Obj, sent: Obj) -> Obj:
        """Return the old object with the status that was sent, and nothing else of it."""
        new = {name: value for name, value in {**old, "status": sent.get("status")}.items() if value is not None}
        return self._default(at, new)

    def _new_main(self, at: Target, old: Obj, sent: Obj) -> Obj:
        """Return what was sent, with the old status and the metadata that only the server writes."""
        was, uid = old["metadata"], sent["metadata"].get("uid")
        if uid not in (None, was["uid"]):
            raise invalid(at, ("metadata.uid", f'Invalid value: "{uid}": field is immutable'))
        kept = {name: was[name] for name in SYSTEM_METADATA if name in was}
        free = {name: value for name, value in sent["metadata"].items() if name not in SYSTEM_METADATA}
        new = {**sent, "metadata": free | kept}
        self._check_finalizers(at, was, free)
        if at.resource.kind == "Pod" and "status" in old:
            new["status"] = old["status"]
        if at.resource.custom:
            new = {**_content(new), "metadata": new["metadata"], "status": old.get("status")}
            new = self._default(at, {name: value for name, value in new.items() if value is not None})
            if _content(new) != _content(self._default(at, old)):
                new["metadata"]["generation"] += 1
        return new

    def _check_finalizers(self, at: Target, was: Obj, free: Obj) -> None:
        added = sorted({*free.get("finalizers", [])} - {*was.get("finalizers", [])})
        if "deletionTimestamp" in was and added:
            names = ", ".join(f'"{name}"' for name in added)
            why = "no new finalizers can be added if the object is being deleted, found new finalizers"
            raise invalid(at, ("metadata.finalizers", f"Forbidden: {why} []string{{{names}}}"))

    def _delete(self, at: Target, options: Any) -> Response:
        old = self._found(at)
        metadata, grace = old["metadata"], grace_seconds(old, options or {})
        check_preconditions(at, metadata, options or {})
        if not _finalizers(old) and not grace:
            self._commit(at, old, None)
            details = {"name": at.name, "group": at.resource.group, "kind": at.resource.plural, "uid": metadata["uid"]}
            return Response(200, {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": details})
        if "deletionTimestamp" in metadata:
            return Response(200, wire(old))
        new = wire(old)
        new["metadata"] |= {"deletionTimestamp": self._timestamp(grace), "deletionGracePeriodSeconds": grace}
        if at.resource.custom:
            new["metadata"]["generation"] += 1
        if new["kind"] == "Namespace":
            new["status"] = {"phase": "Terminating"}
        return Response(200, wire(self._commit(at, old, new)))

    def _evict(self, at: Target, body: Any) -> Response:
        """Delete a pod as the Eviction API does, budgets aside: these are asked for running pods alone."""
        options = body.get("deleteOptions") or {}
        if body["metadata"]["name"] != at.name:
            raise ApiError(400, "name in URL does not match name in Eviction object")
        if "deletionTimestamp" in self._namespace(at)["metadata"]:
            raise self._terminating(at)
        if options.get("dryRun"):
            check_preconditions(at, self._found(at)["metadata"], options)
        else:
            self._delete(replace(at, subresource=""), options)
        return Response(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})

    def _namespace(self, at: Target) -> Obj:
        return self._found(Target(RESOURCES["namespaces"], "", at.namespace))

    def _body(self, at: Target, body: Any) -> Obj:
        """Return a copy of what was sent, of the right kind and name, without empty metadata."""
        if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
            raise ApiError(400, "the object provided is unrecognized")
        version, kind = at.resource.group_version, at.resource.kind
        known = {} if at.resource.custom else {"apiVersion": version, "kind": kind}
        sent = wire({**known, "metadata": {}, **body})
        given_version, given_kind = sent.get("apiVersion", ""), sent.get("kind", "")
        if given_version != version or not given_kind or (given_kind != kind and not at.resource.custom):
            given = f"{given_version}, {given_kind or 'no kind'}"
            raise ApiError(
                400, f"the API version in the data ({given}) does not match the expected ({version}, {kind})"
            )
        if given_kind != kind:
            raise invalid(at, ("kind", f'Invalid value: "{given_kind}": must be {kind}'))
        sent["metadata"] = {name: value for name, value in sent["metadata"].items() if value not in (None, "", [], {})}
        if at.name and sent["metadata"].get("name") != at.name:
            raise ApiError(400, f"the name of the object does not match the name on the URL ({at.name})")
        if sent["metadata"].get("namespace", at.namespace) != at.namespace:
            raise ApiError(400, "the namespace of the provided object does not match the namespace sent on the request")
        check_micro_times(at, sent)
        check_numbers(at, sent)
        return sent

    def _default(self, at: Target, new: Obj) -> Obj:
        """Return the object with what the server fills in."""
        if at.resource.custom and self.crd_defaults:
            head = {name: new[name] for name in ("apiVersion", "kind", "metadata")}
            return {**defaulted(pruned(new, crd_schema()), crd_schema()), **head}
        if at.resource.kind == "Namespace":
            return {**new, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        if at.resource.kind == "Pod":
            usual = {"schedulerName": "default-scheduler", "restartPolicy": "Always"}
            return {"status": {"phase": "Pending"}, **new, "spec": usual | (new.get("spec") or {})}
        return new

    def _validate(self, at: Target, new: Obj) -> None:
        problems = list(event_problems(new)) if at.resource.kind == "Event" else []
        if problems:
            raise invalid(at, *problems)

    def _commit(self, at: Target, before: Obj | None, after: Obj | None) -> Obj:
        """Make one change visible to everybody, under the next version."""
        more, plural = itertools.count(self._version + 1), at.resource.plural
        self._version = next(each for each in more if (plural, at.key, each) not in self._lost)
        self._default_unsaved.discard((before or {}).get("metadata", {}).get("uid", ""))
        objects = self._objects[at.resource.plural]
        if after is None:
            del objects[at.key]
        else:
            objects[at.key] = after = stamped(after, self._version)
        self._history[at.resource.plural].append(Change(self._version, before, after))
        self._changed.notify_all()
        return after or {}

    def _timestamp(self, ahead_seconds: int = 0) -> str:
        return (self._now() + timedelta(seconds=ahead_seconds)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _token(version: int, last: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *last]).encode()).decode()


def _read_token(token: str) -> tuple[int, Key]:
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        raise ApiError(400, "continue key is not valid") from None
    return version, (namespace, name)


class _Face(BaseHTTPRequestHandler):
    """One connection. Without the next three lines each small answer takes 40 ms (Nagle and delayed ACK)."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Listener

    def _serve(self) -> None:
        raw_path, _, raw_query = self.path.partition("?")
        path, query = unquote(raw_path), dict(parse_qsl(raw_query, keep_blank_values=True))
        try:
            if self.command == "GET" and wants_watch(query):
                self._stream(path, query)
            else:
                self._send(self._respond(path, query))
        except Dropped:
            self._hang_up()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names are http.server's

    def _respond(self, path: str, query: dict[str, str]) -> Response:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            return ApiError(400, "the body is not JSON").response
        content_type, user, accept = (self.headers.get(name, "") for name in ("Content-Type", "User-Agent", "Accept"))
        return self.server.api.request(self.command, path, query, body, content_type, user, accept)

    def _send(self, response: Response) -> None:
        text = json.dumps(response.body).encode()
        self.send_response(response.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        retry_after = response.body.get("details", {}).get("retryAfterSeconds")
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(text)

    def _stream(self, path: str, query: dict[str, str]) -> None:
        try:
            events = self.server.api.watch(path, query, self.headers.get("User-Agent", ""), self._client_is_there)
        except ApiError as error:
            return self._send(error.response)
        with contextlib.closing(events):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            for event in events:
                self._send_chunk(json.dumps(event).encode() + b"\n")
            self._send_chunk(b"")
        return None

    def _send_chunk(self, text: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
        self.wfile.flush()

    def _client_is_there(self) -> bool:
        try:
            return len(self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)) > 0
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _hang_up(self) -> None:
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, 0 s: the close is a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Report quiet."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, api: ApiServer, port: int) -> None:
        self.api = api
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Face)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own looks up the host's name

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a client that went away; anything else is a bug of this file."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@dataclass
class Server:
    """The HTTP face of an ApiServer, up until `close`, which cuts every connection as SIGKILL would."""

    api: ApiServer
    port: int = 0
    _listener: _Listener = field(init=False, repr=False)
    _thread: threading.Thread = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._listener = _Listener(self.api, self.port)
        self.port = self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.005,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        for connection in list(self._listener.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(api: ApiServer, port: int = 0) -> Server:
    """Serve `api` over HTTP on 127.0.0.1 until closed; port 0 takes a free one."""
    return Server(api, port)


def kubeconfig(url: str, path: Path, namespace: str = "default") -> Path:
    """Write a kubeconfig for `url` without authentication (JSON is YAML), and return its path."""
    context = {"cluster": "fake", "user": "fake", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": context}],
        "current-context": "fake",
    }
    path.write_text(json.dumps(config))
    return path
