"""The AWS edge: EKS Fargate profiles, and what AWS says about the things that a profile names.

What it is: values in canonical form (equality is `==`), one method a question, the only importer of
boto3. What it is not: a wait, a retry, a decision. Absence is a value, a fact that may not be read is
unknown, and every other answer that is not a success is one of three errors: `Retryable` (try again),
`Busy` (wait for the turn), `Refused` (somebody must act). One attempt a call: the work queue is the
retry, and a worker never sleeps inside botocore, nor fetches what signs its request.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import boto3
import botocore.session
from botocore import exceptions as errors
from botocore.config import Config
from botocore.credentials import ProcessProvider, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import JSONFileLoader, Loader
from botocore.parsers import ResponseParserError
from botocore.utils import get_environ_proxies

from answers import ERRORS, NOT_FOUND, AwsError, Refused, Retryable, fallback, fits
from awscalls import CALLS, cut_file
from facts import ClusterFact, EntryFact, RoleFact, SubnetFact, cluster_of, entry_of, role_of, subnet_of

T = TypeVar("T")

CONNECT_SECONDS, READ_SECONDS = 3, 10
POOL_THREADS, PASS_THREADS = 12, 3  # beside the workers: of all, and of one pass at most


@dataclass(frozen=True, order=True)
class Selector:
    """A namespace and the labels that a pod must have, wildcards included; labels are sorted pairs."""

    namespace: str
    labels: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return "/".join((self.namespace, ",".join(f"{key}={value}" for key, value in self.labels))).rstrip("/")


@dataclass(frozen=True, order=True)
class HealthIssue:
    """What EKS says is wrong with a profile, in its own words."""

    code: str
    message: str
    resource_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile:
    """One profile as EKS describes it."""

    name: str
    arn: str
    status: str
    created_at: datetime
    role: str
    selectors: frozenset[Selector]
    subnets: frozenset[str]
    tags: Mapping[str, str] = field(default_factory=dict)
    health: tuple[HealthIssue, ...] = ()

    @property
    def active(self) -> bool:
        return self.status == "ACTIVE"

    @property
    def in_flight(self) -> bool:
        return self.status in {"CREATING", "DELETING"}

    @property
    def failed(self) -> bool:
        return self.status in {"CREATE_FAILED", "DELETE_FAILED"}


class Term(NamedTuple):
    """One way to choose subnets: by an id, or by tags, all of which a subnet must have; a value * is any."""

    id: str = ""
    tags: tuple[tuple[str, str], ...] = ()  # sorted pairs

    def __str__(self) -> str:
        return self.id or " ".join(f"{key}={value}" for key, value in self.tags)

    def meets(self, subnet: str, tags: Mapping[str, str]) -> bool:
        if self.id:
            return self.id == subnet
        return all(key in tags and value in {"*", tags[key]} for key, value in self.tags)


@dataclass(frozen=True)
class ProfileSpec:
    """What EKS can't change once a profile exists; subnets None leaves the choice to EKS, where there are no terms.

    `among`: the subnets that the terms match now, None = not known. `open`: the fields, by their names in spec,
    in which a profile that serves may be as it is: they are settled by a default that is not held against it.
    `role_by`, `subnets_by`: what has settled these, in words.
    """

    role: str
    selectors: frozenset[Selector]
    subnets: frozenset[str] | None = None
    terms: tuple[Term, ...] = ()
    among: frozenset[str] | None = None
    open: frozenset[str] = frozenset()
    role_by: str = field(default="spec.podExecutionRoleArn", compare=False)
    subnets_by: str = field(default="spec.subnets", compare=False)


@cache
def known_regions() -> dict[str, str]:
    """Return the partition of each region that the library knows."""
    listed = _models().load_data("partitions")["partitions"]
    return {region: partition["id"] for partition in listed for region in partition["regions"]}


class Read(Generic[T]):
    """A question that is asked once, by the thread that comes to it first; called, it returns or raises what came."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask, self._taken, self._ended = ask, threading.Lock(), threading.Event()
        self._answer: list[T] = []
        self.error: BaseException | None = None

    def make(self) -> None:
        if self._taken.acquire(blocking=False):
            with ExitStack() as stack:
                stack.push(self._end)
                self._answer.append(self._ask())

    def _end(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Keep whatever was raised, a bug too, for the thread that calls: it is its pass that breaks off."""
        self.error = error
        self._ended.set()
        return True

    def __call__(self) -> T:
        self.make()
        self._ended.wait()
        if self.error:
            raise self.error
        return self._answer[0]


class Pool:
    """Threads beside the workers', which make reads that do not depend on one another; one lives as long as its reads.

    `PASS_THREADS` a pass at most, and for one place (account and region) half of all, so that where one hangs the
    others have theirs. Where none is free a pass reads alone, one after the other, as without a pool.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads, self._lock, self._lent = threads, threading.Lock(), Counter[str]()

    @contextmanager
    def beside(self, place: str, reads: Sequence[Read[Any]]) -> Iterator[None]:
        """Make these reads, in this order, as many at once as there are threads; no thread is left behind at the end.

        Once one has failed none begins by itself: which are called, and in which order, says what that means.
        """
        enough, sent = threading.Event(), list[int]()

        def help_out() -> None:
            _make(reads, enough)
            sent.append(calls_of_this_thread())  # of this thread, which has just begun

        lent = self._lend(place, len(reads) - 1)
        helpers = [threading.Thread(target=help_out, daemon=True) for _ in range(lent)]
        try:
            with suppress(RuntimeError):  # the machine has no more of them
                for each in helpers:
                    each.start()
            if helpers:
                _make(reads, enough)
            yield
        finally:
            enough.set()
            for each in helpers:
                if each.ident is not None:
                    each.join()
            _sent.calls = sum(sent, start=calls_of_this_thread())
            with self._lock:
                self._lent[place] -= lent

    def _lend(self, place: str, wanted: int) -> int:
        with self._lock:
            free = min(self._threads - self._lent.total(), self._threads // 2 - self._lent[place])
            lent = max(0, min(wanted, PASS_THREADS, free))
            self._lent[place] += lent
        return lent


def _make(reads: Iterable[Read[Any]], enough: threading.Event) -> None:
    for each in reads:
        if enough.is_set():
            return
        each.make()
        if each.error:
            enough.set()


class Signs(Protocol):
    """Credentials, as they are asked for: whatever they are, they raise at once where there are none."""

    def ready(self) -> None: ...
    def get_frozen_credentials(self) -> Any: ...


class Aws:
    """The questions and changes of one region and account; safe to share between threads. Raises only `AwsError`.

    `credentials` sign each request, and those of no other edge: the clients are shared by all accounts. `pool` makes
    reads side by side; without threads of it each is made where it is called for, in one order. `account` tells
    accounts apart; "" is the controller's own.
    """

    def __init__(
        self,
        clients: Mapping[str, Any],
        region: str,
        credentials: Signs | None = None,
        pool: Pool | None = None,
        account: str = "",
    ) -> None:
        self._eks, self._ec2, self._iam, self._sts = (clients[name] for name in SERVICES)
        self._clients, self._credentials = clients, credentials
        self.region, self._pool, self._place = region, pool or Pool(), f"{account}/{region}"
        self.silent = False  # the last request that has ended had no answer

    def ready(self) -> None:
        """Ask nobody, and raise where no credentials are at hand that are good for a minute."""
        if self._credentials:
            self._credentials.ready()

    def side_by_side(self, reads: Sequence[Read[Any]]) -> AbstractContextManager[None]:
        """Make reads that do not depend on one another, as `Pool.beside` does."""
        return self._pool.beside(self._place, reads)

    def account(self) -> tuple[str, str]:
        """Return (partition, account) of the credentials in use."""
        arn = _part(self._call(self._sts.get_caller_identity), "Arn").split(":")
        return arn[1], arn[4]

    def assume(self, role_arn: str, external_id: str = "") -> Keys:
        """Return credentials of a role, for an hour at the most."""
        request = {"RoleArn": role_arn, "RoleSessionName": SESSION}
        if external_id:
            request["ExternalId"] = external_id
        try:
            made = _part(self._signed(self._sts.assume_role, **request), "Credentials", *KEYS, "Expiration")
        except _Absent as error:
            raise Refused("CredentialsRefused", f"{role_arn} can't be assumed: {_remedy(external_id)}") from error
        except Refused as error:
            text = f"{role_arn} can't be assumed: {_said(error)} {_remedy(external_id)}"
            raise Refused("CredentialsRefused", text) from error
        except AwsError as error:
            raise Retryable(error.reason, f"{role_arn} can't be assumed yet: {error}") from error
        return Keys(ReadOnlyCredentials(*(made[each] for each in KEYS)), made["Expiration"].timestamp())

    def _call(self, method: Callable[..., dict[str, Any]], **request: Any) -> dict[str, Any]:
        """Send a request to this place, and note whether there is an answer."""
        try:
            answer = self._signed(method, **request)
        except (AwsError, _Absent) as error:
            self.silent = isinstance(error, Retryable) and error.reason == "AwsUnreachable"
            raise
        self.silent = False
        return answer

    def _signed(self, method: Callable[..., dict[str, Any]], **request: Any) -> dict[str, Any]:
        with _signing(self._credentials):
            return _call(method, **request)

    def _all(self, client: Any, operation: str, key: str, **request: Any) -> list[Any]:
        pages = self._call(lambda: {"pages": [*client.get_paginator(operation).paginate(**request)]})["pages"]
        if any(page.get(key) is None for page in pages):
            raise _without(key)
        return [item for page in pages for item in page[key]]

    def ask(self, service: str, operation: str, **request: Any) -> dict[str, Any] | None:
        """Return the answer of a service to what no other method asks, None where there is no such thing."""
        try:
            return self._call(getattr(self._clients[service], operation), **request)
        except _Absent:
            return None

    def names(self, cluster: str) -> list[str] | None:
        """Return the names of a cluster's profiles, None if there is no such cluster."""
        try:
            return self._all(self._eks, "list_fargate_profiles", "fargateProfileNames", clusterName=cluster)
        except _Absent:
            return None

    def describe(self, cluster: str, name: str) -> Profile | None:
        """Return the profile as it is now, None if there is none."""
        try:
            return _profile(
                self._call(self._eks.describe_fargate_profile, clusterName=cluster, fargateProfileName=name)
            )
        except _Absent:
            return None

    def create(self, cluster: str, name: str, spec: ProfileSpec, tags: Mapping[str, str]) -> Profile:
        """Ask once for a new profile, its tags set with it; return it as EKS answers (CREATING), with these tags."""
        where = {"clusterName": cluster, "fargateProfileName": name, "podExecutionRoleArn": spec.role}
        selectors = [{"namespace": each.namespace, "labels": dict(each.labels)} for each in sorted(spec.selectors)]
        subnets = {} if spec.subnets is None else {"subnets": sorted(spec.subnets)}
        request = {**where, "selectors": selectors, "tags": dict(tags), **subnets}
        return replace(_profile(self._call(self._eks.create_fargate_profile, **request)), tags=dict(tags))

    def delete(self, cluster: str, name: str) -> Profile | None:
        """Ask once for a profile's deletion; return it as EKS answers (DELETING), None if it is gone."""
        try:
            answer = self._call(self._eks.delete_fargate_profile, clusterName=cluster, fargateProfileName=name)
        except _Absent:
            return None
        return replace(_profile(answer), status="DELETING")

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Set these tags; others stay as they are."""
        self._call(self._eks.tag_resource, resourceArn=arn, tags=dict(tags))

    def untag(self, arn: str, keys: Collection[str]) -> None:
        """Remove these tags; absent ones are no error."""
        self._call(self._eks.untag_resource, resourceArn=arn, tagKeys=sorted(keys))

    def cluster(self, name: str) -> ClusterFact | None:
        read = partial(self._call, self._eks.describe_cluster, name=name)
        return _fact(lambda: cluster_of(_part(read(), "cluster", "status")), ClusterFact(found=False))

    def access_entry(self, cluster: str, role: str) -> EntryFact | None:
        read = partial(self._eks.describe_access_entry, clusterName=cluster, principalArn=role)
        return _fact(lambda: entry_of(_part(self._call(read), "accessEntry")), EntryFact(found=False))

    def role(self, arn: str) -> RoleFact | None:
        """Return a role without its policies."""
        read = partial(self._call, self._iam.get_role, RoleName=_name(arn))
        return _fact(lambda: role_of(_part(read(), "Role", "Arn")), RoleFact(found=False))

    def attached_policies(self, role: str) -> list[str] | None:
        read = partial(self._all, self._iam, "list_attached_role_policies", "AttachedPolicies", RoleName=_name(role))
        return _fact(lambda: [policy["PolicyName"] for policy in _complete(read(), "PolicyName")])

    def inline_policies(self, role: str) -> list[str] | None:
        return _fact(partial(self._all, self._iam, "list_role_policies", "PolicyNames", RoleName=_name(role)))

    def subnets(self, ids: Collection[str]) -> dict[str, SubnetFact | None]:
        """Return these subnets, read with one call, whatever their number."""
        found = _fact(lambda: self._described(sorted(ids)))
        return {each: None if found is None else found.get(each, SubnetFact(found=False)) for each in ids}

    def subnets_of(self, vpc: str) -> dict[str, SubnetFact] | None:
        """Return all subnets of a VPC with their tags and without their routes; None where they may not be read."""
        vpcs = [{"Name": "vpc-id", "Values": [vpc]}]
        read = partial(self._all, self._ec2, "describe_subnets", "Subnets", Filters=vpcs)
        found = _fact(lambda: _complete(read(), "SubnetId", "VpcId", "AvailabilityZone"))
        return None if found is None else {each["SubnetId"]: subnet_of(each, None) for each in found}

    def _described(self, ids: list[str]) -> dict[str, SubnetFact]:
        # A filter: SubnetIds answers one missing subnet with an error that hides the others.
        subnets = self._all(self._ec2, "describe_subnets", "Subnets", Filters=[{"Name": "subnet-id", "Values": ids}])
        _complete(subnets, "SubnetId", "VpcId", "AvailabilityZone")
        vpcs = sorted({subnet["VpcId"] for subnet in subnets})
        read = partial(self._all, self._ec2, "describe_route_tables", "RouteTables")
        tables = _fact(lambda: read(Filters=[{"Name": "vpc-id", "Values": vpcs}])) if vpcs else []
        return {subnet["SubnetId"]: subnet_of(subnet, tables) for subnet in subnets}


# Credentials


class Keys(NamedTuple):
    """What signs a request, as botocore has it, and when that ends: seconds since 1970, None for never."""

    frozen: Any
    ends: float | None


class Signer:
    """Stands where botocore keeps a session's credentials: hands out those of the edge whose call it is.

    Where there is no such it raises: an account's request is never signed with what is of another.
    """

    def get_frozen_credentials(self) -> Any:
        if (signs := getattr(_sent, "signs", None)) is None:
            raise Retryable("NoCredentials", "A request to AWS had nothing that signs it, and was not sent.")
        return signs.get_frozen_credentials()

    def load_credentials(self) -> Signer:
        return self  # to a session, this is also the chain of sources

    def get_deferred_property(self, _name: str) -> Callable[[], None]:
        return lambda: None


@contextmanager
def _signing(credentials: Signs | None) -> Iterator[None]:
    """Have the requests of this thread signed with these credentials."""
    before, _sent.signs = getattr(_sent, "signs", None), credentials
    try:
        yield
    finally:
        _sent.signs = before


SESSION, KEYS = "fargate-operator", ("AccessKeyId", "SecretAccessKey", "SessionToken")


def _said(error: AwsError) -> str:
    """Return what AWS answered, without a mend that is of other roles."""
    mends = (rule.mend for rule in ERRORS)
    return next((str(error).removesuffix(mend).rstrip() for mend in mends if str(error).endswith(mend)), str(error))


def _remedy(external_id: str) -> str:
    given = ", with the sts:ExternalId that the clusters file has" if external_id else ""
    trust = f"let its trust policy allow sts:AssumeRole to the operator's role{given}"
    own = "let the operator's own policy allow sts:AssumeRole on it"
    return f"Correct roleArn in the clusters file, {trust}, and {own}."


NOWHERE = "No source of AWS credentials was found. "
FOR_POD = f"{NOWHERE}Give the pod an IAM role by its ServiceAccount (IRSA or Pod Identity), then make it anew."
# By botocore's names for them: what a source is to users, and what mends it; the last for others.
SOURCES: Mapping[str, tuple[str, str]] = {
    "assume-role-with-web-identity": ("AWS_WEB_IDENTITY_TOKEN_FILE",
        "Let the operator read the token that it names, and reach STS (in a private cluster, by a VPC endpoint)."),
    "container-role": ("AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "See that the Pod Identity agent runs on the node, and let the operator read the file that "
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names."),
    "env": ("AWS_ACCESS_KEY_ID", "Set AWS_SECRET_ACCESS_KEY too, and AWS_CREDENTIAL_EXPIRATION to a time to come."),
    "iam-role": ("the metadata of the instance", "Give the instance a role; a pod better by its ServiceAccount."),
    "sso": ("the SSO login of the AWS profile", "Log in again: aws sso login."),
    "custom-process": ("credential_process of the AWS profile", "Mend the command: it has 10 s to print them as JSON."),
    "": ("the AWS profile", "Correct AWS_PROFILE, or what AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE hold."),
}  # fmt: skip
# Where botocore's error says more of the cause.
MENDS: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    ((errors.SSOError, errors.TokenRetrievalError), "", "Log in anew: aws sso login, with that profile."),
    ((errors.LoginError,), "", "Log in anew: aws login, with that profile."),
    ((BotoCoreError,), "container-role.*(non 200 response 4|parse)",
     "The EKS Pod Identity agent refuses: bind the ServiceAccount to a role (aws eks create-pod-identity-association), "
     "and let that trust pods.eks.amazonaws.com (sts:AssumeRole and sts:TagSession)."),
    ((BotoCoreError,), "container-role",
     "The EKS Pod Identity agent does not answer: see that its add-on eks-pod-identity-agent runs on the node; on "
     "Fargate there is none, give the ServiceAccount a role by IRSA there."),
)  # fmt: skip
UNSIGNED = (  # before a request is sent
    errors.NoCredentialsError, errors.CredentialRetrievalError, errors.PartialCredentialsError, errors.SSOError,
    errors.TokenRetrievalError, errors.LoginError,
)  # fmt: skip
UNCONFIGURED = (errors.ProfileNotFound, errors.ConfigParseError, errors.InvalidConfigError)
ENDED = (errors.UnauthorizedSSOTokenError, errors.TokenRetrievalError, errors.LoginRefreshRequired, RuntimeError)
# Beside botocore's own: providers look at nothing that others wrote before they use it. EOFError: nobody is asked.
UNFETCHED = (
    BotoCoreError, ClientError, ResponseParserError, OSError, ValueError, LookupError, TypeError, AttributeError,
    ArithmeticError, RuntimeError, EOFError,
)  # fmt: skip


def fetch(region: str, popen: Callable[..., Any], nowhere: str = FOR_POD) -> Keys:
    """Ask the sources of the AWS CLI, all read anew, commands by `popen`, which is to end them; raise `AwsError`."""
    source = ""
    try:
        for provider in _chain(region, popen):
            source = provider.METHOD
            if (found := provider.load()) is not None:
                frozen, ends = found.get_frozen_credentials(), getattr(found, "_expiry_time", None)
                return Keys(frozen, ends.timestamp() if ends else None)
    except UNFETCHED as error:
        raise _unfetched(source, error, nowhere) from error
    raise Retryable("NoCredentials", nowhere)


def _chain(region: str, popen: Callable[..., Any]) -> list[Any]:
    for name in ("botocore.credentials", "botocore.tokens"):  # their traceback of what is told here
        logging.getLogger(name).setLevel(logging.CRITICAL)
    session = botocore.session.get_session()
    session.set_config_variable("region", region)
    session.set_default_client_config(_config())
    timeout = session.get_config_variable("metadata_service_timeout")
    session.set_config_variable("metadata_service_timeout", min(timeout, READ_SECONDS))
    session.set_config_variable("metadata_service_num_attempts", 1)
    chain = session.get_component("credential_provider")
    chain.get_provider("custom-process")._popen = popen
    named = chain.get_provider("assume-role")._profile_provider_builder  # by one profile as the source of its role
    named._create_process_provider = lambda name: ProcessProvider(name, lambda: session.full_config, popen)
    return list(chain.providers)


def _unfetched(source: str, error: Exception, nowhere: str = FOR_POD) -> AwsError:
    if isinstance(error, ClientError) and isinstance(answer := _translated(error), AwsError):
        return type(answer)(answer.reason, str(answer))  # never unclear: it was about no change
    if isinstance(error, errors.NoCredentialsError):
        return Retryable("NoCredentials", nowhere)
    what, mend = SOURCES.get(source, SOURCES[""])
    words = str(error) if isinstance(error, BotoCoreError | ClientError | OSError | UnicodeError) else repr(error)
    said = " ".join(re.sub(RECITED, "", words).split())[:300].rstrip(". ")
    mend = next((better for kinds, text, better in MENDS if isinstance(error, kinds) and re.search(text, said)), mend)
    reason = "CredentialsExpired" if isinstance(error, ENDED) else "NoCredentials"
    return Retryable(reason, f"No AWS credentials from {what}: {said}. {mend}")


SERVICES, QUOTAS = ("eks", "ec2", "iam", "sts"), "service-quotas"  # the latter is asked by people only
# As curl, kubectl and botocore take one: what has no scheme is http://.
PROXY = re.compile(r"(?:https?://|//)?(?:[^/\s]*@)?(?:\[[0-9A-Fa-f:.]+\]|[^/\s@:\[\]]+)(?::[0-9]{1,5})?(?:/.*)?")
Watch = Callable[[str, Any], None]  # what is told of a client, by its service


def connect(region: str, connections: int, watch: Watch = lambda *_: None, *, at_once: bool = True) -> dict[str, Any]:
    """Return one client a service, for the edges of all accounts; that of EKS is made now, the others at their use.

    Raises `AwsError` where the region can't be used; if it is not made `at_once`, the first call does. `watch` is told
    of each client before its first use. Where a profile can't be read, which may be mended while we run, EKS's too is
    made at its use.
    """

    @cache
    def session() -> Any:
        made = botocore.session.get_session()
        made.register_component("credential_provider", Signer())
        made.register_component("data_loader", _models())
        return boto3.Session(region_name=region, botocore_session=made)

    @cache
    def make(name: str) -> Any:
        try:
            client = session().client(name, config=_config(max_pool_connections=connections))
            _check_proxy(client.meta.endpoint_url)
        except UNCONFIGURED as error:
            session.cache_clear()  # so that the files are read anew
            raise _unfetched("", error) from error
        except (BotoCoreError, ValueError) as error:
            text = f"AWS can't be asked, correct its region or configuration: {error}"
            raise AwsError("AwsUnreachable", text) from error
        watch(name, client)
        return client

    def made(name: str) -> Any:
        with _one_at_a_time:  # neither sessions nor the models are safe to share
            return make(name)

    if at_once:
        with suppress(Retryable):
            made("eks")
    return {name: _Late(partial(made, name)) for name in (*SERVICES, QUOTAS)}


class _Models(Loader):  # type: ignore[misc]
    """Finds botocore's models of our services without a look at all others."""

    def list_available_services(self, _type_name: str) -> list[str]:
        return [*CALLS]


class _Model(JSONFileLoader):  # type: ignore[misc]
    """Reads what is needed of a model, into plain dictionaries: botocore's ordered ones take more of all."""

    def _load_file(self, path: str, opened: Callable[..., Any]) -> Any:
        with suppress(FileNotFoundError), opened(path, "rb") as file:
            return cut_file(path, json.load(file))


@cache
def _models() -> _Models:
    """Return what has read the models, once for all regions: they take more memory than the clients."""
    return _Models(file_loader=_Model())


def _config(**more: Any) -> Config:
    """Return the limits of each call on our behalf, fetching credentials included."""
    once = {"mode": "standard", "total_max_attempts": 1}
    limits = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "retries": once}
    return Config(user_agent_extra="fargate-operator", **limits, **more)


def _check_proxy(url: str) -> None:
    """Raise `AwsError` over a proxy of the environment that botocore can't use: it would say so in each call only."""
    proxy = get_environ_proxies(url).get(scheme := url.partition(":")[0], "")
    if proxy and not PROXY.fullmatch(proxy):
        kind = f"a {known}:// proxy" if (known := proxy.rpartition("://")[0]) else "not understood"
        mend = "give http://host:port or https://host:port, or name AWS in NO_PROXY"
        raise AwsError("AwsUnreachable", f"the proxy for AWS ({scheme.upper()}_PROXY) is {kind}: {mend}")


class _Late(NamedTuple):
    """A client that is made at its first use."""

    made: Callable[[], Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.made(), name)


class _Absent(Exception):
    """What was asked for does not exist; becomes a value before it leaves this file."""


_sent = threading.local()  # of a thread: its calls so far, and what signs the one that it makes
_one_at_a_time = threading.Lock()
WAY_TO_AWS = "If it lasts, check the region's name and the way to AWS (a proxy, a NAT gateway, VPC endpoints)."


def calls_of_this_thread() -> int:
    """Return how many requests this thread has sent, to whichever account."""
    return getattr(_sent, "calls", 0)


def _call(method: Callable[..., dict[str, Any]], **request: Any) -> dict[str, Any]:
    _sent.calls = calls_of_this_thread() + 1
    try:
        return method(**request)
    except ClientError as error:
        raise _translated(error) from error
    except UNSIGNED as error:
        raise _unfetched("", error) from error
    except (BotoCoreError, ResponseParserError, KeyError) as error:  # the latter two: a proxy's page for an answer
        words = f"an answer without {error}" if isinstance(error, KeyError) else str(error)
        said = re.sub(RECITED, "", words).partition("\n")[0].rstrip(". ")
        raise Retryable("AwsUnreachable", f"{said}. {WAY_TO_AWS}", unclear=True) from error


def _complete(parts: list[Any], *keys: str) -> list[Any]:
    """Return parts of an answer, each of which has to have something at these keys."""
    for key in keys:
        if not all(each.get(key) for each in parts):
            raise _without(key)
    return parts


def _part(answer: Mapping[str, Any], key: str, *keys: str) -> Any:
    (part,) = (each[key] for each in _complete([answer], key))
    _complete([part], *keys)
    return part


def _without(key: str) -> Retryable:
    """Return what an answer without something means: botocore makes a success of a truncated body."""
    return Retryable("AwsUnavailable", f"AWS answered without {key}. It is tried again by itself.")


def _translated(error: ClientError) -> Exception:
    operation, answer = error.operation_name, error.response
    code, text = answer.get("Error", {}).get("Code", ""), answer.get("Error", {}).get("Message", "")
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    rule = next((rule for rule in ERRORS if fits(rule, operation, code, text)), None)
    if code in NOT_FOUND and rule is None:
        return _Absent()
    rule = rule or fallback(status)
    said = f"{operation} answered {code}: {re.sub(RECITED, '', text).rstrip('. ')}. {rule.mend}"
    return rule.kind(rule.reason, said, unclear=not 400 <= status < 500)  # noqa: PLR2004


RECITED = r"(?is)\s*The Canonical String for this request.*|(?<=Invalid header value).*"  # each has a token in it


def _fact(read: Callable[[], T], absent: T | None = None) -> T | None:
    """Return what was read, None where it may not be."""
    try:
        return read()
    except _Absent:
        return absent
    except Refused as error:
        if error.reason != "AccessDenied":
            raise
        return None


def _name(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def _profile(answer: Mapping[str, Any]) -> Profile:
    try:
        return _profile_of(answer.get("fargateProfile") or {})
    except KeyError as error:  # botocore makes a success of a truncated body
        text = "EKS answered without a profile. It is tried again by itself."
        raise Retryable("AwsUnavailable", text, unclear=True) from error


def _profile_of(raw: Mapping[str, Any]) -> Profile:
    selectors = (selector(each["namespace"], each.get("labels") or {}) for each in raw.get("selectors") or ())
    issues = (raw.get("health") or {}).get("issues") or ()
    said = [(each.get("code", ""), each.get("message", ""), each.get("resourceIds") or ()) for each in issues]
    # In one order, whatever EKS's is: they are compared.
    health = sorted(HealthIssue(code, message, tuple(sorted(resources))) for code, message, resources in said)
    return Profile(
        name=raw["fargateProfileName"],
        arn=raw["fargateProfileArn"],
        status=raw["status"],
        created_at=raw["createdAt"],
        role=raw["podExecutionRoleArn"],
        selectors=frozenset(selectors),
        subnets=frozenset(raw.get("subnets") or ()),
        tags=dict(raw.get("tags") or {}),
        health=tuple(health),
    )


def selector(namespace: str, labels: Mapping[str, str]) -> Selector:
    """Return a selector in canonical form."""
    return Selector(namespace, tuple(sorted(labels.items())))
