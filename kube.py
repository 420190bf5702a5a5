"""The Kubernetes edge: the few calls that the controller makes, each with a timeout, errors in our words.

What it is: FargateProfile objects as raw dictionaries (list, watch, get, two patches), cut to what is read here;
events, pods page by page, what the API server lets whom do, and how to reach it. What it is not: a cache, a retry, a
decision. The only importer of the kubernetes client.

The rule of the file: every write carries the resourceVersion that we saw, so that acting on an old picture ends in
`Conflict` and never in a lost update. The API server ignores a uid in a status patch; the version is the only
precondition that works there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import unquote

from urllib3 import make_headers
from urllib3.exceptions import HTTPError
from yaml import YAMLError

import lean
from wire import difference, event_name, micro_time

lean.put_off("kubernetes")
with lean.later("requests_oauthlib", "oauthlib", "oauthlib.oauth2"):  # for auth-provider: oidc of a kubeconfig alone
    from kubernetes.client import ApiClient, ApiException, Configuration
    from kubernetes.client.rest import should_bypass_proxies
    from kubernetes.config import ConfigException, exec_provider
    from kubernetes.config.dateutil import parse_rfc3339
    from kubernetes.config.incluster_config import InClusterConfigLoader
    from kubernetes.config.kube_config import FileOrData, KubeConfigLoader, KubeConfigMerger

log = logging.getLogger("fargate.kube")

Object = dict[str, Any]
Key = tuple[str, str]  # (namespace, name)
Objects = list[Object]

GROUP, VERSION, PLURAL, KIND = "jicomusic.com", "v1", "fargateprofiles", "FargateProfile"
CONTROLLER_NAME = "jicomusic.com/fargate-operator"
# Names as the API server takes them: of most objects, and of a namespace.
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
NAME = rf"(?=.{{1,253}}\Z){SUBDOMAIN}"
NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
# The value of a label if it is not empty, and the key of one.
LABEL = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_KEY = rf"((?=[^/]{{1,253}}/){SUBDOMAIN}/)?{LABEL}"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

FIRST_PAGE, PAGE_SIZE = 20, 500  # objects of a list's first page, and of any: client-go's own
PAGE_BYTES = 2 << 20  # that a page may have, so that a list of big objects does not fill the memory
MOST_BYTES = 4 << 20  # that are read of a page of several objects: parsed they may take fifteen times as much
CALL_TIMEOUT = (3.0, 10.0)  # connect, read; seconds
WRITE_WITHIN = {"timeout": "8s"}  # or the API server says what it waits for: a webhook may take 30 s
WATCH_SECONDS = (300, 600)  # a session's length, spread as client-go's reflector spreads it
# The API server looks each minute whether it has a bookmark to send, and in a quiet cluster it has one only every other
# time (seen on 1.36.3: 120.6 s): this much silence means that nobody is there any more.
SILENCE_SECONDS = 135.0
TOO_MUCH, TOO_MANY = 413, 429  # HTTP's: too large a body, too many requests: ask again later
JSON = "application/json"
METADATA_ONLY = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
COMMAND_SECONDS = 10.0  # for a command that makes credentials

OUR_ANNOTATIONS = f"{PLURAL}.{GROUP}/"  # what these start with; no others are kept, and of these
MOST_ANNOTATIONS, LONGEST_ANNOTATION = 16, 256  # the first by name; characters, a digest stands for the rest
READ_NOWHERE = ("managedFields", "labels", "ownerReferences")  # more than half of an object's size

# What the client raises over a kubeconfig that is not one; it looks at nothing before it uses it.
UNREADABLE = (
    ConfigException, OSError, ValueError, LookupError, TypeError, AttributeError, YAMLError, argparse.ArgumentError,
    HTTPError,
)  # fmt: skip
# A proxy as curl, kubectl and botocore take it: without a scheme it is http://. Groups: scheme, user and password.
PROXY = re.compile(r"(?:(https?://)|//)?(?:([^/\s]*)@)?(?:\[[0-9A-Fa-f:.]+\]|[^/\s@:\[\]]+)(?::[0-9]{1,5})?(?:/.*)?")


class KubeError(Exception):
    """The API server refused, failed, or could not be reached; `status` is its HTTP code, 0 without an answer.

    `again_in`: the seconds after which it wants to be asked again, where it says so.
    """

    def __init__(self, message: str, status: int = 0, again_in: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.again_in = status, again_in


class Conflict(KubeError):
    """409: the object is not the version that we saw."""


class NotFound(KubeError):
    """404: there is no such object."""


class NotServed(KubeError):
    """404 to a list: the API server does not know FargateProfiles."""


class Terminating(KubeError):
    """403: the namespace is going, and nothing new is made in it."""


class WriteRefused(KubeError):
    """The API server has answered that it does not write this: admission, validation, rights, a dead webhook."""


class TooLarge(WriteRefused):
    """The API server, or its etcd, has no room for the object as it would be then."""


class Gone(KubeError):
    """410: the version to resume from is too old; list again."""


NOT_SERVED = "the API server does not know FargateProfiles: kubectl apply -f crd.yaml"
# What a write of too much is answered with beside 413: by etcd (500, seen on 1.36.3), and by the client in front of it.
TOO_LARGE = ("request is too large", "Request entity too large", "trying to send message larger than max")
BY_STATUS: dict[int, type[KubeError]] = {404: NotFound, 409: Conflict, 410: Gone}


class Kube:
    """FargateProfile objects and events through one API client; safe to share between threads.

    Raises only `KubeError`. `rand` gives [0, 1) and spreads the ends of watches. `observe` is told of each request: its
    method and the HTTP code of the answer, "<error>" for none. `list` and `watch` see one namespace, "" for all, and
    the objects with the labels of a selector, "" for all; `keep` says what of each.
    """

    def __init__(
        self,
        api: ApiClient,
        instance: str,
        silence_seconds: float = SILENCE_SECONDS,
        rand: Callable[[], float] = random.random,
        observe: Callable[[str, str], None] = lambda _method, _code: None,
        namespace: str = "",
        selector: str = "",
        keep: Callable[[Object], Object] = lambda obj: obj,
    ) -> None:
        self._observe, self._keep = observe, keep
        self._scope = _path(namespace)
        self._selected = {"labelSelector": selector} if selector else {}
        self._api = api
        self._instance = instance
        self._silence_seconds = silence_seconds
        self._rand = rand
        self._stopped = False
        self._stream: Any = None
        self._taken: Mapping[str, str] = {}  # the headers of the last request that was granted

    def list(self) -> tuple[Objects, str]:
        """Return what is to be kept of every object, and the version to watch from: a quorum read, page by page.

        Never resourceVersion=0, which any stale cache may answer: a restarted controller must not
        travel back in time.
        """
        try:
            return self._pages(self._scope, self._selected)
        except NotFound as error:
            raise NotServed(NOT_SERVED, error.status) from error

    def watch(self, version: str) -> Iterator[tuple[str, Object]]:
        """Yield (type, what is to be kept of the object) after `version` until the session ends; bookmarks included.

        Raises `Gone` when the version is too old, `KubeError` when the connection breaks or stays silent for longer
        than bookmarks allow.
        """
        shortest, longest = WATCH_SECONDS
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(shortest + (longest - shortest) * self._rand())),
            **self._selected,
        }
        timeout = (CALL_TIMEOUT[0], self._silence_seconds)
        self._stream = response = self._open("GET", self._scope, query=query, timeout=timeout).response
        try:
            if self._stopped:
                return
            for line in _lines(response.stream(65536)):
                kind, obj = _event(json.loads(line))
                yield kind, self._keep(trimmed(obj))
        except (HTTPError, OSError, ValueError) as error:
            raise KubeError(f"the watch broke off: {error}") from error
        finally:
            self._stream = None
            response.close()

    def stop(self) -> None:
        """End the open watch at once, and every later one; may be called from any thread."""
        self._stopped = True
        if (stream := self._stream) is not None:
            try:
                # Not close(): from another thread that blocks behind the reader.
                stream.shutdown()
            except (RuntimeError, ValueError, OSError) as error:
                log.debug("the watch had ended already: %s", error)

    def get(self, namespace: str, name: str) -> Object | None:
        """Return the object as it is now, its spec whole, None if there is none: a quorum read."""
        there = self.get_at(_path(namespace, name))
        return trimmed(there) if there else None

    def exists(self, namespace: str, name: str) -> bool | None:
        """Say whether there is such an object now; None where that can't be known."""
        try:
            return self.get(namespace, name) is not None
        except KubeError:
            return None

    def patch_finalizers(self, obj: Object, finalizers: Sequence[str]) -> Object:
        """Replace the finalizers of this very version of the object; return it as stored."""
        return self._patch(obj, {"finalizers": [*finalizers]}, {})

    def patch_status(self, obj: Object, status: Object) -> Object:
        """Make `status` the whole status of this very version of the object; return it as stored.

        Where that is its status already nothing is written, and another version is a `Conflict` all the same. Raises
        `TooLarge` where there is no room for it.
        """
        change = difference(obj.get("status") or {}, status)
        return self._patch(obj, {}, {"status": change} if change or "status" not in obj else {}, "/status")

    def event(self, obj: Object, kind: str, reason: str, action: str, note: str, now: datetime) -> None:
        """Tell the object's readers of a transition; best effort: a lost event fails nothing.

        `kind` is Normal or Warning, `action` what was tried, `now` an aware time; a note of over 1,024 bytes is lost.
        """
        meta = obj["metadata"]
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": event_name(meta["name"], now), "namespace": meta["namespace"]},
            "eventTime": micro_time(now),
            "reportingController": CONTROLLER_NAME,
            "reportingInstance": self._instance[:128],
            "action": action,
            "reason": reason,
            "type": kind,
            "note": note,
            "regarding": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                **{k: meta[k] for k in ("namespace", "name", "uid", "resourceVersion") if k in meta},
            },
        }
        try:
            self._call("POST", f"/apis/events.k8s.io/v1/namespaces/{meta['namespace']}/events", body=body)
        except KubeError as error:
            fields = {"object": f"{meta['namespace']}/{meta['name']}", "reason": reason, "message": str(error)}
            level = logging.DEBUG if isinstance(error, Terminating) else logging.WARNING
            log.log(level, 'event lost object=%(object)s reason=%(reason)s message="%(message)s"', fields)

    @property
    def verified(self) -> bool:
        """Whether the API server has to show a certificate that is checked."""
        config = self._api.configuration
        return bool(config.verify_ssl and config.host.startswith("https://"))

    @property
    def token(self) -> str:
        """Our token, once the API server has taken it; "" for none, and where it may know us by a certificate."""
        said = "" if self._api.configuration.cert_file else self._taken.get("authorization", "")
        return said.removeprefix("Bearer ")

    def namespace_uid(self, name: str) -> str:
        """Return the uid of a namespace."""
        return str(self._call("GET", f"/api/v1/namespaces/{name}")["metadata"]["uid"])

    def get_at(self, path: str, timeout: tuple[float, float] = CALL_TIMEOUT) -> Object:
        """Return the object of a path as it is now, {} if there is none."""
        try:
            return self._call("GET", path, timeout=timeout)
        except NotFound:
            return {}

    def send_at(self, method: str, path: str, body: Object, timeout: tuple[float, float] = CALL_TIMEOUT) -> Object:
        """PUT an object in the place of the version that its metadata name, or POST one; return the answer."""
        return self._call(method, path, body=body, timeout=timeout)

    def may_list_pods(self) -> bool:
        """Ask, as `kubectl auth can-i` does: the permission is optional, a refusal in the audit log is not."""
        ask = {"resourceAttributes": {"verb": "list", "resource": "pods"}}
        return self.review("authorization.k8s.io/v1", "SelfSubjectAccessReview", ask).get("allowed") is True

    def core(
        self, plural: str, namespace: str = "", name: str = "", query: Mapping[str, str] | None = None, most: int = 0
    ) -> Objects:
        """Return the object of core/v1 of that name, or those that a query selects: with `most` not many more."""
        path = f"/api/v1{f'/namespaces/{namespace}' if namespace else ''}/{plural}"
        return [self._call("GET", f"{path}/{name}")] if name else self._pages(path, query or {}, most)[0]

    def review(self, api: str, kind: str, ask: Object) -> Object:
        """Have the API server judge something; return what it says of it."""
        body = {"apiVersion": api, "kind": kind, "spec": ask}
        return self._call("POST", f"/apis/{api}/{kind.lower()}s", body=body).get("status") or {}

    def pages(
        self, path: str, query: Mapping[str, str], *, metadata_only: bool = False, seconds: float = CALL_TIMEOUT[1]
    ) -> Iterator[tuple[Objects, str]]:
        """Yield the objects of a list page by page, each with the list's version; none is read before it is wanted.

        `metadata_only`: nothing else of them is sent. `seconds`: for a page. One too big is asked for in smaller ones.
        """
        limit, query = min(FIRST_PAGE, PAGE_SIZE), {**query}
        while True:
            query["limit"] = str(limit := max(1, limit))
            ask = {"query": query, "timeout": (CALL_TIMEOUT[0], seconds)}
            most = MOST_BYTES if limit > 1 else None
            text = self._read("GET", path, most, **ask, accept=METADATA_ONLY if metadata_only else JSON)
            if most and len(text) > most:
                limit //= 4
                continue
            page = _parsed("GET", path, text, self._lighten if path == self._scope else None)
            yield page.pop("items", None) or [], page["metadata"]["resourceVersion"]
            if not (more := page["metadata"].get("continue")):
                return
            query["continue"] = more
            limit = min(limit * PAGE_BYTES // len(text), 2 * limit, PAGE_SIZE)

    def _pages(self, path: str, query: Mapping[str, str], most: int = 0) -> tuple[Objects, str]:
        items: Objects = []
        version = ""
        for page, version in self.pages(path, query):  # noqa: B007 - the last one's counts
            items += page
            if 0 < most <= len(items):
                break
        return items, version

    def _lighten(self, value: Object) -> Object:
        """Cut each object of a list as soon as it is read, so that never all of a page is in the memory."""
        is_ours = value.get("kind") == KIND and isinstance(value.get("metadata"), dict)
        return self._keep(trimmed(value)) if is_ours else value

    def _patch(self, obj: Object, metadata: Object, rest: Object, subresource: str = "") -> Object:
        meta = obj["metadata"]
        body = {"metadata": {"resourceVersion": meta["resourceVersion"], **metadata}, **rest}
        path = _path(meta["namespace"], meta["name"]) + subresource
        try:
            content = "application/merge-patch+json"
            answer = self._call("PATCH", path, query=WRITE_WITHIN, body=body, content_type=content)
        except KubeError as error:
            if type(error) is not KubeError or error.status in {0, TOO_MANY}:
                raise  # told apart by itself, or no answer to what was asked
            is_too_large = error.status == TOO_MUCH or any(each in str(error) for each in TOO_LARGE)
            raise (TooLarge if is_too_large else WriteRefused)(str(error), error.status) from error
        return trimmed(answer)

    def _call(self, method: str, path: str, **request: Any) -> Object:
        return _parsed(method, path, self._read(method, path, **request))

    def _read(self, method: str, path: str, most: int | None = None, **request: Any) -> bytes:
        """Return the body of an answer; of one that has more than `most` bytes one more than that, and no more."""
        try:
            with self._open(method, path, **request).response as body:
                return bytes(body.read(most and most + 1))
        except (HTTPError, OSError) as error:
            raise KubeError(f"{method} {path}: {BROKE_OFF}: {error}") from error

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = JSON,
        timeout: tuple[float, float] = CALL_TIMEOUT,
        accept: str = JSON,
    ) -> Any:
        """Send one request and return the answer, its body unread; raise what its status means."""
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body else {})
        code = "<error>"
        try:
            parts = {"query_params": list((query or {}).items()), "body": body, "auth_settings": ["BearerToken"]}
            call = self._api.param_serialize(method, path, header_params=headers, **parts)
            answer = self._api.call_api(*call, _request_timeout=timeout)
            code = str(answer.status)
            if answer.status < 300:  # noqa: PLR2004
                self._taken = call[2]
                return answer
            text = answer.read()
        # OSError, ValueError and ConfigException: credentials are read again between calls, from files or a command.
        except (ApiException, HTTPError, OSError, ValueError, ConfigException) as error:
            raise KubeError(f"{method} {path}: {_unsent(error)}") from error
        finally:
            self._observe(method, code)
        raise _refused(f"{method} {path}", answer, text)


def connect(connections: int, service_account: Path = SERVICE_ACCOUNT) -> ApiClient:
    """Return a client for the API server, chosen as controller-runtime does it: KUBECONFIG, the pod, ~/.kube/config.

    `connections` may be open at once. The client's own retries are off: they sleep in the caller's thread. Raises
    `KubeError` where there is nothing to connect to.
    """
    config = Configuration()
    try:
        if _in_cluster(service_account):
            files = (str(service_account / "token"), str(service_account / "ca.crt"))
            _PodLoader(*files).load_and_set(config)
        else:
            merged = KubeConfigMerger(_kubeconfig())
            if not merged.config:
                raise ConfigException("Invalid kube-config file. No configuration found.")
            loader = _KubeconfigLoader(merged.config, config_base_path=None, config_persister=merged.save_changes)
            loader.load_and_set(config)
        _settle_proxy(config)
        config.retries = False
        config.connection_pool_maxsize = connections
        api = ApiClient(config)
    except UNREADABLE as error:
        raise KubeError(f"no way to the API server: {' '.join(str(error).split())}") from error
    api.user_agent = "fargate-operator"
    return api


class _PodLoader(InClusterConfigLoader):  # type: ignore[misc]  # the client has no types
    """The client's own, but for a token that ends in a newline: client-go takes it, here no header could."""

    token: str

    def _read_token_file(self) -> None:
        super()._read_token_file()
        self.token = self.token.rstrip()


class Command(subprocess.Popen[Any]):
    """A command that makes credentials: killed, with all that it has started, after `COMMAND_SECONDS`."""

    def __init__(self, args: Sequence[str], **options: Any) -> None:
        self._alone = options.get("stdin") is None  # one that may ask somebody stays at its terminal
        super().__init__(args, start_new_session=self._alone, **options)

    def communicate(self, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Return what it has written; `TimeoutError` if it had to be killed."""
        try:
            return super().communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired as error:
            if self._alone:
                os.killpg(self.pid, 9)
            self.kill()
            self.wait()
            raise TimeoutError(f"it had not ended after {COMMAND_SECONDS:.0f} s and was killed") from error


# The client waits for a plugin for as long as it takes; this is where it has from what starts one.
exec_provider.subprocess = SimpleNamespace(Popen=Command, PIPE=subprocess.PIPE)


class _KubeconfigLoader(KubeConfigLoader):  # type: ignore[misc]  # the client has no types
    """The client's own, but for a plugin that gives no credentials: the client logs that, and goes on as nobody."""

    def _load_authentication(self) -> None:
        super()._load_authentication()
        got = {"token", "cert_file"} & vars(self).keys()
        promised = [key for key in ("exec", "auth-provider", "token", "tokenFile") if self._user and key in self._user]
        certified = self._user and ("client-certificate" in self._user or "client-certificate-data" in self._user)
        if promised and not (got or certified):
            raise ConfigException(f"{promised[0]} of the kubeconfig's user gave no credentials")

    def authority(self) -> str:
        """Return the certificates of the current context's API server: PEM in base64, "" for none."""
        folder = self._get_base_path(self._cluster.path)
        return FileOrData(self._cluster, "certificate-authority", file_base_path=folder).as_data() or ""

    def _load_from_exec_plugin(self) -> bool:
        if "exec" not in self._user:
            return False
        plugin, folder = self._user["exec"], self._get_base_path(self._cluster.path)
        command = str(plugin.safe_get("command") or "")
        # A path is one from the kubeconfig's folder on, as for the client itself.
        if command and not shutil.which(Path(folder, command) if os.sep in command else command):
            hint = plugin.safe_get("installHint") or "install it, or take a kubeconfig with a token"
            told = f"{command}, which the kubeconfig gets its tokens from, is not installed here"
            raise ConfigException(f"{told}: {hint}")
        try:
            self._take(exec_provider.ExecProvider(plugin, folder, self._cluster).run(), folder)
        except UNREADABLE as error:
            told = f"the exec plugin {plugin.safe_get('command')} of the kubeconfig gives no credentials"
            raise ConfigException(f"{told}: {error}") from error
        return True

    def _refresh_oidc(self, provider: Any) -> None:
        try:
            super()._refresh_oidc(provider)
        except (*UNREADABLE, import_module("oauthlib.oauth2").OAuth2Error) as error:  # not loaded before
            told = f"the kubeconfig's auth-provider oidc gives no new token: {' '.join(str(error).split())}"
            raise ConfigException(f"{told.rstrip('.')}. Log in again.") from error

    def _take(self, status: Object, folder: str) -> None:
        if "token" in status:
            self.token = f"Bearer {status['token']}"
        else:
            plain = {"base64_file_content": False, "temp_file_path": self._temp_file_path}
            self.cert_file, self.key_file = (
                FileOrData({key: status[key]}, None, key, folder, **plain).as_file()
                for key in ("clientCertificateData", "clientKeyData")
            )
        if "expirationTimestamp" in status:
            self.expiry = parse_rfc3339(status["expirationTimestamp"])


def _settle_proxy(config: Configuration) -> None:
    """Make the proxy, if there is one on the way, what urllib3 takes; ValueError for one of another kind."""
    if not config.proxy or should_bypass_proxies(config.host, config.no_proxy or ""):
        return
    known = PROXY.fullmatch(config.proxy.strip())
    if not known:
        kind = f"a {scheme}:// proxy" if (scheme := config.proxy.strip().rpartition("://")[0]) else "not understood"
        mend = "give http://host:port or https://host:port, or name the API server in NO_PROXY"
        raise ValueError(f"the proxy for it (HTTPS_PROXY, ALL_PROXY or proxy-url) is {kind}: {mend}")
    scheme, login = known.groups()
    config.proxy = config.proxy.strip() if scheme else f"http://{config.proxy.strip().removeprefix('//')}"
    if login:
        config.proxy_headers = make_headers(proxy_basic_auth=unquote(login))


class Named(NamedTuple):
    """An EKS cluster as something names it, "" for what is not said; `aws_profile` is what its tokens are made with."""

    cluster: str = ""
    region: str = ""
    account: str = ""
    aws_profile: str = ""


def eks_cluster() -> Named:
    """Return what the kubeconfig's current context names.

    Understood is what `aws eks update-kubeconfig` writes (the cluster's ARN, the arguments of `aws eks get-token`) and
    the arguments of aws-iam-authenticator.
    """
    if _in_cluster(SERVICE_ACCOUNT):
        return Named()
    try:
        merged = KubeConfigMerger(_kubeconfig()).config
        return _named_in(merged.value) if merged else Named()
    except UNREADABLE:
        return Named()


def authority() -> str:
    """Return the certificates by which the API server that `connect` takes is known: PEM in base64.

    "" for none, and where they can't be read: then it is `connect` that says so.
    """
    try:
        if _in_cluster(SERVICE_ACCOUNT):
            return b64encode((SERVICE_ACCOUNT / "ca.crt").read_bytes()).decode()
        merged = KubeConfigMerger(_kubeconfig()).config
        return _KubeconfigLoader(merged, config_base_path=None).authority()
    except UNREADABLE:
        return ""


def default_namespace() -> str:
    """Return the namespace that kubectl takes where none is said, "" for none: the pod's own, or the context's."""
    try:
        merged = None if _in_cluster(SERVICE_ACCOUNT) else KubeConfigMerger(_kubeconfig()).config
        context = _KubeconfigLoader(merged, config_base_path=None).current_context if merged else {}
        return str(context["context"].get("namespace") or "") if context else own_namespace()
    except UNREADABLE:
        return ""


def named_by_arn(text: str) -> Named:
    """Return what the ARN of an EKS cluster names; nothing for another text."""
    arn = text.split(":", 5)
    if len(arn) == 6 and arn[0] == "arn" and arn[2] == "eks" and arn[5].startswith("cluster/"):  # noqa: PLR2004
        return Named(arn[5].removeprefix("cluster/"), arn[3], arn[4])
    return Named()


def in_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ  # which the kubelet sets


def own_namespace() -> str:
    """Return the namespace of the pod whose ServiceAccount this is, "" elsewhere."""
    file = SERVICE_ACCOUNT / "namespace"
    return file.read_text().strip() if _in_cluster(SERVICE_ACCOUNT) and file.exists() else ""


def _named_in(config: Object) -> Named:
    def named(kind: str, name: object) -> Object:
        entries = [node.value for node in config[f"{kind}s"]]  # the merger wraps each in a node
        return next((entry.get(kind) or {} for entry in entries if entry.get("name") == name), {})

    context = named("context", config.get("current-context"))
    by_arn = named_by_arn(str(context.get("cluster", "")))
    try:
        by_plugin = _named_by_plugin(named("user", context.get("user")).get("exec") or {})
    except UNREADABLE:
        by_plugin = Named()
    return by_arn._replace(aws_profile=by_plugin.aws_profile) if by_arn.cluster else by_plugin


def _named_by_plugin(plugin: Object) -> Named:
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    flags.add_argument("--cluster-name", "--cluster-id", "-i", default="", dest="cluster")
    flags.add_argument("--region", default="")
    flags.add_argument("--profile", default="")
    known, _ = flags.parse_known_args([str(argument) for argument in plugin.get("args") or []])
    variables = {each["name"]: str(each["value"]) for each in plugin.get("env") or []}
    return Named(known.cluster, known.region, "", known.profile or variables.get("AWS_PROFILE", ""))


def _kubeconfig() -> str:
    return os.environ.get("KUBECONFIG") or "~/.kube/config"


def _in_cluster(service_account: Path) -> bool:
    return in_pod() and (service_account / "token").exists() and not os.environ.get("KUBECONFIG")


def _path(namespace: str = "", name: str = "") -> str:
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{GROUP}/{VERSION}{scope}/{PLURAL}" + (f"/{name}" if name else "")


def trimmed(obj: Object) -> Object:
    """Take off an object what nobody here reads; status and finalizers stay whole: patches are differences to them."""
    meta = obj["metadata"]
    for name in READ_NOWHERE:
        meta.pop(name, None)
    annotations = meta.pop("annotations", None) or {}
    ours = sorted(key for key in annotations if key.startswith(OUR_ANNOTATIONS))[:MOST_ANNOTATIONS]
    if ours:
        meta["annotations"] = {key: _identified(annotations[key]) for key in ours}
    return obj


def _identified(text: str) -> str:
    """Return a text, of a long one the beginning and what tells it from others."""
    if len(text) <= LONGEST_ANNOTATION:
        return text
    return f"{text[:128]}...{hashlib.sha256(text.encode()).hexdigest()}"


BROKE_OFF = "the answer broke off"


def _parsed(method: str, path: str, text: bytes, hook: Callable[[Object], Object] | None = None) -> Object:
    try:
        return _with_metadata(json.loads(text, object_hook=hook))
    except ValueError as error:
        raise KubeError(f"{method} {path}: {BROKE_OFF}: {error}") from error


def _with_metadata(answer: Any) -> Object:
    """Return an answer that is an object of Kubernetes or a list of them; ValueError for what else may come."""
    if not isinstance(answer, dict) or not isinstance(answer.get("metadata"), dict):
        raise ValueError(f"not an object of Kubernetes: {str(answer)[:100]}")  # noqa: TRY004 - as json.loads says it
    return answer


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Split a stream into its whole lines; half a line before the end was never sent whole and is dropped."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def _event(event: Any) -> tuple[str, Object]:
    if not isinstance(event, dict) or not isinstance(obj := event.get("object"), dict):
        raise ValueError(f"not an event: {str(event)[:100]}")  # noqa: TRY004 - as json.loads says it
    if event.get("type") == "ERROR":
        code = obj.get("code", 0)
        raise BY_STATUS.get(code, KubeError)(f"the watch was refused: {obj.get('message')}", code)
    return str(event.get("type")), _with_metadata(obj)


def _unsent(error: Exception) -> str:
    """Say why a request got no answer; of a header that can't be sent not what is in it, which may be a token."""
    return re.sub(r"(?s)(Invalid header value).*", r"\1: is there a line break in the token?", str(error))


def _refused(what: str, answer: Any, text: bytes) -> KubeError:
    """Return what an answer means that is no success."""
    code, kind = answer.status, BY_STATUS.get(answer.status, KubeError)
    try:
        told = json.loads(text)
        message, details = told["message"], told.get("details") or {}
        again_in = float(details.get("retryAfterSeconds") or 0)
        causes = {each.get("reason") for each in details.get("causes") or ()}
    except (ValueError, LookupError, TypeError, AttributeError):
        return kind(f"{what}: {code} {answer.reason}", code)
    kind = Terminating if "NamespaceTerminating" in causes else kind
    return kind(f"{what}: {code}: {message}", code, again_in)
