"""What can happen at a point of the simulated world: faults of a call, fates of its process, what others do meanwhile.

`FAULTS` and `FATES` meet a call, each on its side of it: the exhaustive runs try all of them everywhere. `OTHERS` are
what users, outsiders, other processes, the clock and the API server do in between: the random worlds draw those too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import ProtocolError

from answers import Retryable
from aws import Term
from spec import CONTROLLER_KEY, OWNER_KEY, Defaults
from tests.fakes.accounts import trust_of
from tests.fakes.apiserver import ApiError, Target
from tests.fakes.eks import Memory, refused
from tests.simulation.checker import ANOTHERS_FINALIZER, PLURAL, owner_tags
from tests.simulation.fleet import EU, EXTERNAL_ID, FILES, ROLE
from tests.simulation.podworld import KINDS, OPTIONAL
from tests.simulation.podworld import NAMESPACES as PLACES

if TYPE_CHECKING:
    from tests.fakes.eks_rules import Stored
    from tests.simulation.podworld import PodWorld
    from tests.simulation.world import Call, Place, World

Object = dict[str, Any]
Do = Callable[["World", "Place"], Any]
URL = "https://eks.example"
MOST_SUBNETS = 8  # of an account
STALE_SECONDS = 600.0
SLOW_SECONDS = 9.0  # just within the timeout of a read
TIMEOUT_SECONDS = 10.0
INSTEAD = ("podExecutionRoleName", "subnetSelectorTerms")  # of an ARN, and of ids
YES = [{"tags": {"fargate": "yes"}}]  # which subnets, where some have tags
NAMES = ("web", "api", "db", "jobs")
NAMESPACES = ("default", "default", "team")
TAGS = ("a", "b", "c")
# Defaults may be these: roles by their names, of which one does not exist, and subnets by other tags than objects use.
ROLES_BY_DEFAULT = (*("fargate-pods", "fargate-inline-policy") * 3, "", "nobody")
TERMS_BY_DEFAULT = ((Term(tags=(("fargate", "yes"),)),), (Term(tags=(("pool", "b"),)),))


@dataclass(frozen=True)
class Fault:
    """One thing that can happen to a call, on one side of its effect, or to the process that makes it."""

    name: str
    side: str
    meets: Callable[[Call], bool]
    do: Do


@dataclass(frozen=True)
class Other:
    """One thing that somebody else does; it never has an answer for the call at whose side it happens."""

    name: str
    act: Callable[[World, Place, random.Random], object]

    def do(self, world: World, place: Place) -> None:
        self.act(world, place, dice(world, place))


def dice(world: World, place: Place) -> random.Random:
    """Return the chances of one point: they are the same whatever happens at the others."""
    return random.Random(world.seed * 1_000_003 + place.number)


# Faults


def _aws(call: Call) -> bool:
    return call.service != "kube"


def _eks(call: Call) -> bool:
    return call.service == "eks"


def _kube(call: Call) -> bool:
    return call.service == "kube" and call.operation != "WatchEvent"


def _any(_call: Call) -> bool:
    return True


def _named(*operations: str) -> Callable[[Call], bool]:
    return lambda call: call.operation in operations


def _refusal(code: str, status: int, text: str = "as planned") -> Do:
    return lambda _world, place: refused(place.call.operation if place.call else "", code, status, text)


def _raise(error: Callable[[], Exception]) -> Do:
    return lambda _world, _place: error()


def _status(code: int) -> Do:
    return lambda _world, _place: ApiError(code, "failed on request of the simulation").response


def _timeout(world: World, _place: Place) -> object:
    world.clock.elapsed += TIMEOUT_SECONDS
    return ReadTimeoutError(endpoint_url=URL)


def _late(world: World, place: Place) -> object:
    """The request is on its way for a while after the client has given up."""
    assert place.process and place.call
    process, call, look = place.process, place.call, place.process.look
    world.later(40.0, lambda: world.arrive(process, call, look))
    return _timeout(world, place)


def _cut(_world: World, _place: Place) -> Object:
    """Botocore makes a success without any of its parts of a body that was cut off."""
    return {"ResponseMetadata": {"HTTPStatusCode": 200}}


def _crash(world: World, place: Place) -> None:
    assert place.process
    world.kill(place.process, again=1.0)


def _stale(world: World, place: Place) -> None:
    """From here on the cache of the process hears nothing, for long."""
    assert place.process
    place.process.held_until = world.clock.elapsed + STALE_SECONDS


def _sleep(world: World, place: Place) -> None:
    """The process stands still, here, for up to a quarter of an hour, and everybody else goes on."""
    assert place.process
    with world.without(place.process):
        world.run(dice(world, place).choice((20.0, 70.0, 200.0, 900.0)))


def _slow(world: World, _place: Place) -> None:
    """The answer takes its time: this worker waits for it, everybody else goes on."""
    world.run(SLOW_SECONDS)


IN_USE = "Cannot do it because cluster demo currently has an update in progress"
FAULTS: tuple[Fault, ...] = (
    Fault("throttled", "before", _aws, _refusal("ThrottlingException", 429)),
    Fault("server error", "before", _aws, _refusal("ServerException", 500)),
    Fault("proxy error", "before", _aws, _refusal("502", 502, "Bad Gateway")),
    Fault("denied", "before", _aws, _refusal("AccessDeniedException", 403, "User is not authorized to perform this")),
    Fault("expired token", "before", _aws, _refusal("ExpiredTokenException", 403)),
    Fault("no credentials", "before", _aws, _raise(lambda: Retryable("NoCredentials", "as planned"))),
    Fault("unreachable", "before", _aws, _raise(lambda: EndpointConnectionError(endpoint_url=URL))),
    Fault("timeout", "before", _aws, _timeout),
    Fault("updating", "before", _named("CreateFargateProfile", "DeleteFargateProfile"),
          _refusal("ResourceInUseException", 409, IN_USE)),
    Fault("late", "before", _named("CreateFargateProfile"), _late),
    Fault("lost", "after", _aws, _raise(lambda: ConnectionClosedError(endpoint_url=URL))),
    Fault("error after the fact", "after", _aws, _refusal("ServerException", 500)),
    Fault("garbled", "after", lambda call: _aws(call) and not _eks(call), _raise(ResponseParserError)),
    Fault("cut off", "after", _eks, _cut),
    Fault("forbidden", "before", _kube, _status(403)),
    Fault("too many", "before", _kube, _status(429)),
    Fault("internal", "before", _kube, _status(500)),
    Fault("unavailable", "before", _kube, _status(503)),
    Fault("dropped", "before", _kube, _raise(lambda: ProtocolError("dropped"))),
    Fault("lost", "after", _kube, _raise(lambda: ProtocolError("lost"))),
    Fault("error after the fact", "after", _kube, _status(504)),
    Fault("reset", "before", _named("WatchEvent"), _raise(lambda: ProtocolError("reset"))),
)  # fmt: skip
FATES = (
    Fault("crash", "before", _any, _crash),
    Fault("crash", "after", _any, _crash),
    Fault("stale", "before", _any, _stale),
)
SLEEPS = (
    Fault("sleep", "before", _any, _sleep),
    Fault("sleep", "after", _any, _sleep),
    Fault("slow", "before", _any, _slow),
    Fault("slow", "after", _any, _slow),
)


def fitting(faults: tuple[Fault, ...], call: Call | None, side: str) -> list[Fault]:
    return [each for each in faults if call and each.side == side and each.meets(call)]


# What users write


def random_spec(world: World, rand: random.Random) -> Object:
    """Return what somebody may ask for: mostly what EKS takes, sometimes not, sometimes nonsense."""
    spec: Object = {"tags": random_tags(rand)} | _somewhere(world, rand)
    account = world.fleet.account_of(spec.get("clusterName"))
    if world.pods and rand.random() < 0.6:
        spec["strandedPods"] = "Evict"
    if rand.random() < 0.2:
        spec["podExecutionRoleArn"] = account.roles[
            rand.choice(("no-trust", "other-source", "only-eks-knows", "no-policy", "other-policy"))
        ]
    if rand.random() < 0.3:
        spec["subnets"] = rand.choice((None, [account.public_subnet], [account.foreign_subnet], ["subnet-00000000"]))
    spec |= _chosen(world, rand)
    spec |= _unsaid(world, rand)
    if rand.random() < 0.2 and "clusterName" not in spec:
        spec["clusterName"] = rand.choice(("other", "other", "demo", "none"))
    if rand.random() < 0.15:
        spec["profileName"] = rand.choice(("shared", "web"))
    if rand.random() < 0.2:
        spec["deletionPolicy"] = rand.choice(("Retain", "Delete"))
    if rand.random() < 0.4:
        spec["updatePolicy"] = rand.choice(("Refuse", "Replace", "Recreate"))
    if rand.random() < 0.2:
        spec["adoptionPolicy"] = "Adopt"
    if rand.random() < 0.15:
        spec |= rand.choice(BROKEN)
    return spec


def _somewhere(world: World, rand: random.Random) -> Object:
    """Return which cluster somebody names where there are several."""
    if world.fleet.beside and rand.random() < 0.6:
        return {"clusterName": rand.choice(("eu", "eu", "eu", "alias", "us"))}
    return {}


def _chosen(world: World, rand: random.Random) -> Object:
    """Return terms that choose the subnets, where some have tags."""
    return {"subnets": None, "subnetSelectorTerms": YES} if world.fleet.tagged and rand.random() < 0.5 else {}


def _unsaid(world: World, rand: random.Random) -> Object:
    """Return the fields that an object leaves to the defaults, where there are any."""
    if not world.fleet.has_defaults:
        return {}
    role: Object = {"podExecutionRoleArn": None} if rand.random() < 0.6 else {}
    return role | ({"subnets": None, "subnetSelectorTerms": None} if rand.random() < 0.5 else {})


def random_defaults(rand: random.Random, *, tags: bool = True) -> Defaults:
    """Return what objects may get that say nothing of it; flags have no tags."""
    terms = rand.choice((*TERMS_BY_DEFAULT, *TERMS_BY_DEFAULT, ()))
    given = random_tags(rand) | ({"default": rand.choice("xyz")} if rand.random() < 0.5 else {})
    return Defaults(rand.choice(ROLES_BY_DEFAULT), terms, given if tags else {})


def random_tags(rand: random.Random) -> dict[str, str]:
    return {key: rand.choice("xyz") for key in TAGS if rand.random() < 0.4}


# What an older CRD has let in, or lets in: each is wrong in every account.
BROKEN: tuple[Object, ...] = (
    {"selectors": []},
    {"selectors": [{"namespace": "Bad_NS"}]},
    {"selectors": [{"namespace": "a", "labels": {"b": 1}}]},
    {"selectors": [{"namespace": "a", "labels": {"-bad": "x"}}]},
    {"selectors": "all"},
    {"tags": {"aws:a": "b"}},
    {"tags": {"a": "AWS:b"}},
    {"tags": {"a": 1}},
    {"tags": {OWNER_KEY: "default/db"}},
    {"tags": {"k" * 129: ""}},
    {"subnets": ["subnet-nonsense"]},
    {"podExecutionRoleArn": "arn:aws:iam::123456789012:role/team/pods"},
    {"podExecutionRoleName": "team/pods"},
    {"deletionPolicy": "Keep"},
    {"updatePolicy": "Rolling"},
    {"suspend": "yes"},
    {"replicas": 2},
)


def _create(world: World, _place: Place, rand: random.Random) -> None:
    name, namespace = rand.choice(NAMES), rand.choice(NAMESPACES)
    if not world.object(name, namespace):
        world.apply(name, namespace, **random_spec(world, rand))


def _some(world: World, rand: random.Random) -> Object | None:
    objects = world.api.objects(PLURAL)
    return rand.choice(objects) if objects else None


def _on_some(act: Callable[[World, Object, random.Random], object]) -> Callable[[World, Place, random.Random], object]:
    def on_some(world: World, _place: Place, rand: random.Random) -> None:
        if (obj := _some(world, rand)) is not None:
            act(world, obj, rand)

    return on_some


def _place_of(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["name"], obj["metadata"]["namespace"]


def _edit(world: World, obj: Object, **spec: Any) -> None:
    world.edit(*_place_of(obj), **spec)


def _edit_tags(world: World, obj: Object, rand: random.Random) -> None:
    old = obj["spec"].get("tags") if isinstance(obj["spec"], dict) else None
    _edit(world, obj, tags=dict.fromkeys(old or {}) | random_tags(rand))


def _edit_fields(world: World, obj: Object, rand: random.Random) -> None:
    spec = obj["spec"] if isinstance(obj["spec"], dict) else {}
    account = world.fleet.account_of(spec.get("clusterName"))
    first, second = account.private_subnets
    field = rand.choice(("subnets", "podExecutionRoleArn", "selectors"))
    values: dict[str, list[Any]] = {
        "subnets": [[first], [second, first], [first, second], None],
        "podExecutionRoleArn": [account.roles["good"], account.roles["other-policy"]],
        "selectors": [[{"namespace": obj["metadata"]["name"]}], [{"namespace": "x"}, {"namespace": "y"}]],
    }
    instead = {"subnetSelectorTerms": None} if field == "subnets" and "subnetSelectorTerms" in spec else {}
    _edit(world, obj, **{field: rand.choice(values[field])}, **instead)


def _break(world: World, obj: Object, rand: random.Random) -> None:
    _edit(world, obj, **rand.choice(BROKEN))


def _mend(world: World, obj: Object, _rand: random.Random) -> None:
    """Write everything anew, but for the names, which nobody may change."""
    written: Object = dict.fromkeys(("replicas", "suspend", "deletionPolicy", "tags", *INSTEAD))
    world.edit(*_place_of(obj), **written)
    world.apply(*_place_of(obj))


def _suspend(world: World, obj: Object, rand: random.Random) -> None:
    _edit(world, obj, suspend=rand.random() < 0.5)


def _policy(world: World, obj: Object, rand: random.Random) -> None:
    policies = {"deletionPolicy": ("Retain", "Delete"), "updatePolicy": ("Refuse", "Replace", "Recreate")}
    policies["adoptionPolicy"] = ("Never", "Adopt")
    policy = rand.choice(sorted(policies))
    _edit(world, obj, **{policy: rand.choice(policies[policy])})


def _ask_for_a_look(world: World, obj: Object, rand: random.Random) -> None:
    name, namespace = _place_of(obj)
    asked = {"metadata": {"annotations": {"fargateprofiles.jicomusic.com/reconcile-requested-at": rand.choice("123")}}}
    world.note("user", f"asks for a look at {namespace}/{name}")
    world.api.edit(PLURAL, namespace, name, asked)


def _delete(world: World, obj: Object, _rand: random.Random) -> None:
    world.delete(*_place_of(obj))


def _replace(world: World, obj: Object, rand: random.Random) -> None:
    """Delete an object, and make it anew as soon as it is gone."""
    place, spec = _place_of(obj), random_spec(world, rand)
    world.delete(*place)

    def again(tries: int) -> None:
        if not world.object(*place):
            world.apply(*place, **spec)
        elif tries:
            world.later(7.0, lambda: again(tries - 1))

    again(40)


def _strip_finalizers(world: World, obj: Object, _rand: random.Random) -> None:
    world.checker.finalizers_stripped(obj)
    world.note("user", f"takes the finalizers of {'/'.join(_place_of(obj))} away")
    name, namespace = _place_of(obj)
    world.api.edit(PLURAL, namespace, name, {"metadata": {"finalizers": None}})


def _hold_by_another(world: World, obj: Object, rand: random.Random) -> None:
    """Let another controller put a finalizer on an object, and take it off again."""
    name, namespace = _place_of(obj)
    mark = ANOTHERS_FINALIZER

    def write(change: Callable[[list[str]], list[str]]) -> None:
        if found := world.object(name, namespace):
            finalizers = change([each for each in found["metadata"].get("finalizers", []) if each != mark])
            world.api.edit(PLURAL, namespace, name, {"metadata": {"finalizers": finalizers}})

    if "deletionTimestamp" not in obj["metadata"]:
        world.note("user", f"has {namespace}/{name} held by another controller")
        write(lambda others: [*others, mark])
        world.later(rand.choice((10.0, 100.0)), lambda: write(lambda others: others))


def _lose_status(world: World, obj: Object, _rand: random.Random) -> None:
    """Empty the status, as a restored backup has it.

    Not while a create is marked there, nor where it alone shows whose a profile is: one that was stripped of its tags,
    or one that is retained and is about to lose them.
    """
    status, (name, namespace) = obj.get("status", {}), _place_of(obj)
    owned = [each for each in world.checker.profiles() if world.checker.owns(obj, each.body)]
    stripped = [each for each in owned if not owner_tags(("", "")).keys() <= each.body["tags"].keys()]
    going = "deletionTimestamp" in obj["metadata"]
    # Nor where an entry has led elsewhere: it alone shows where the profile is then.
    if "createStartedAt" not in status.get("bookkeeping", {}) and not (stripped or going or world.fleet.moved):
        world.note("user", f"loses the status of {namespace}/{name}")
        world.checker.status_lost(obj)
        world.api.edit(PLURAL, namespace, name, {"status": dict.fromkeys(status)})


# What others do to EKS and to the API server


def _on_profile(
    act: Callable[[World, Memory, Stored, random.Random], object],
) -> Callable[[World, Place, random.Random], object]:
    def on_profile(world: World, _place: Place, rand: random.Random) -> None:
        if profiles := [*world.checker.profiles()]:
            stored = rand.choice(profiles)
            label = world.checker.label(stored.body)
            world.note("outsider", f"acts on {label}/{stored.name}")
            act(world, world.fleet.holder(label), stored, rand)

    return on_profile


def _delete_profile(_world: World, account: Memory, stored: Stored, _rand: random.Random) -> None:
    account.delete_profile(stored.body["clusterName"], stored.name)


def _strip_owner(world: World, account: Memory, stored: Stored, rand: random.Random) -> None:
    keys = rand.choice(((OWNER_KEY,), (CONTROLLER_KEY,), (OWNER_KEY, CONTROLLER_KEY)))
    if OWNER_KEY in stored.body["tags"]:
        world.checker.tags_stripped(stored.body["fargateProfileArn"])
        account.strip_tags(stored.body["clusterName"], stored.name, keys)


def _drop_tag(_world: World, account: Memory, stored: Stored, rand: random.Random) -> None:
    account.strip_tags(stored.body["clusterName"], stored.name, [rand.choice(TAGS)])


def _foreign_tag(world: World, account: Memory, stored: Stored, rand: random.Random) -> None:
    tag = {"theirs": rand.choice("xyz")}
    account.set_tags(stored.body["clusterName"], stored.name, tag)
    world.checker.foreign.setdefault(stored.body["fargateProfileArn"], {}).update(tag)


def _another_hand(_world: World, account: Memory, stored: Stored, _rand: random.Random) -> None:
    """Make somebody else's profile, and with it the ARN, of the same name."""
    cluster, name = stored.body["clusterName"], stored.name
    account.delete_profile(cluster, name)
    account.add_profile(cluster, name, account.roles["good"], [{"namespace": "theirs"}])


def _copy_tags(_world: World, account: Memory, stored: Stored, _rand: random.Random) -> None:
    body = stored.body
    account.add_profile(body["clusterName"], "copy", body["podExecutionRoleArn"], body["selectors"], tags=body["tags"])


def _take_name(world: World, _place: Place, rand: random.Random) -> None:
    name = rand.choice((*NAMES, "shared"))
    account = rand.choice(world.fleet.all) if world.fleet.beside else world.account
    if name not in account.stored("demo"):
        status = rand.choice(("ACTIVE", "CREATING", "DELETING"))
        account.add_profile("demo", name, account.roles["good"], [{"namespace": "theirs"}], status=status)


def _update(world: World, _place: Place, rand: random.Random) -> None:
    cluster = rand.choice(("demo", "other"))
    world.manners.updating.add(cluster)
    world.later(rand.choice((5.0, 60.0, 300.0)), lambda: world.manners.updating.discard(cluster))


def _not_active(world: World, _place: Place, rand: random.Random) -> None:
    account: Memory = world.account
    account.set_cluster_status("demo", "UPDATING")
    world.later(rand.choice((5.0, 60.0, 300.0)), lambda: account.set_cluster_status("demo", "ACTIVE"))


def _no_credentials(world: World, _place: Place, rand: random.Random) -> None:
    """Let STS hang, or the token be missing, and then come."""
    world.unsigned_until = world.clock.elapsed + rand.choice((5.0, 60.0, 600.0))


def _fail_next(world: World, _place: Place, rand: random.Random) -> None:
    issue = {"code": "AccessDenied", "message": "as planned", "resourceIds": []}
    plan = rand.choice((world.manners.fail_create, world.manners.fail_delete))
    plan(rand.choice(NAMES), issue, times=rand.choice((1, 3)))


def _compact(world: World, _place: Place, _rand: random.Random) -> None:
    world.api.compact()


def _restart_server(world: World, _place: Place, _rand: random.Random) -> None:
    world.api.restart()


def _stale_server(world: World, _place: Place, _rand: random.Random) -> None:
    """From here on the server's cache stands still; a quorum read does not."""
    if world.api.cached is None:
        world.api.cached = int(world.api.resource_version)


def _set_back(world: World, _place: Place, rand: random.Random) -> None:
    """Let etcd be restored, some time from now, from a snapshot that is taken now."""
    world.later(rand.choice((1.0, 20.0, 60.0, 200.0)), world.snapshot())


def _hide(world: World, _account: Memory, stored: Stored, rand: random.Random) -> None:
    """Take away the right to describe a profile, for a while."""
    about = f"{world.fleet.label_of(stored.body['fargateProfileArn'])}/{stored.name}"
    world.hidden.add(about)
    world.later(rand.choice((5.0, 60.0, 600.0)), lambda: world.hidden.discard(about))


def _revoke_list(world: World, _place: Place, rand: random.Random) -> None:
    """Take away the right to list profiles, for a while."""
    world.unlisted = True
    world.later(rand.choice((5.0, 60.0, 600.0)), lambda: setattr(world, "unlisted", False))


def _admission(world: World, _place: Place, rand: random.Random) -> None:
    """Let a policy refuse what the processes write of finalizers or status, or a webhook undo it, for a while."""
    refuses, subresource = rand.random() < 0.5, rand.choice(("", "status"))

    def admit(at: Target, sent: Object) -> Object:
        if not (world.performing and at.resource.custom and at.subresource == subresource):
            return sent
        if refuses:
            raise ApiError(403, "denied by a policy of the simulation")
        old = world.api.peek(PLURAL, at.namespace, at.name) or {}
        return {**old, "metadata": {**old["metadata"], "resourceVersion": sent["metadata"].get("resourceVersion")}}

    world.api.admit = admit
    world.later(rand.choice((5.0, 60.0, 300.0)), lambda: setattr(world.api, "admit", None))


# What happens to pods, where there are any


def _with_pods(
    act: Callable[[World, PodWorld, random.Random], object],
) -> Callable[[World, Place, random.Random], object]:
    def with_pods(world: World, _place: Place, rand: random.Random) -> None:
        if world.pods:
            act(world, world.pods, rand)

    return with_pods


def _on_pod(act: Callable[[World, Object, random.Random], object]) -> Callable[[World, Place, random.Random], object]:
    def on_pod(world: World, _place: Place, rand: random.Random) -> None:
        if pods := world.api.objects("pods"):
            pod = rand.choice(pods)
            world.note("user", f"acts on pod {pod['metadata']['namespace']}/{pod['metadata']['name']}")
            act(world, pod, rand)

    return on_pod


def _more_pods(world: World, pods: PodWorld, rand: random.Random) -> None:
    namespace = rand.choice(PLACES)
    if rand.random() < 0.2:
        pods.alone(namespace)
    else:
        pods.owner(namespace, f"app{rand.randrange(6)}", rand.choice((1, 2)), rand.choice(("plain", *KINDS)))


def _place_pod(world: World, pod: Object, _rand: random.Random) -> None:
    """Let Kubernetes' own scheduler find a node."""
    if pod["spec"]["schedulerName"] == "default-scheduler" and "nodeName" not in pod["spec"]:
        meta = pod["metadata"]
        change = {"spec": {"nodeName": "ec2"}, "status": {"phase": "Running"}}
        world.api.edit("pods", meta["namespace"], meta["name"], change)


def _label_pod(world: World, pod: Object, rand: random.Random) -> None:
    meta = pod["metadata"]
    world.api.edit("pods", meta["namespace"], meta["name"], {"metadata": {"labels": {"note": rand.choice("xyz")}}})


def _delete_pod(world: World, pod: Object, _rand: random.Random) -> None:
    world.api.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])


def _webhook_away(world: World, pods: PodWorld, rand: random.Random) -> None:
    pods.hook(there=False)
    world.later(rand.choice((20.0, 300.0, 3000.0)), pods.hook)


def _forbid(world: World, _pods: PodWorld, rand: random.Random) -> None:
    """Take an optional permission away, for a while."""
    verb, resource = rand.choice(OPTIONAL)
    world.api.forbid(verb, resource)
    world.later(rand.choice((20.0, 300.0, 3000.0)), lambda: world.api.permit(verb, resource))


def _stranded_pods(world: World, obj: Object, rand: random.Random) -> None:
    _edit(world, obj, strandedPods=rand.choice(("Evict", "Evict", "Report")))


# What happens to the clusters file, to roles and to regions, where there are several


def _with_fleet(act: Callable[[World, random.Random], object]) -> Callable[[World, Place, random.Random], object]:
    def with_fleet(world: World, _place: Place, rand: random.Random) -> None:
        if world.fleet.beside:
            act(world, rand)

    return with_fleet


def _file(world: World, rand: random.Random) -> None:
    world.fleet.write(*rand.choice(FILES))


def _role_refused(world: World, rand: random.Random) -> None:
    """Let nobody in by the role, for a while; whose keys are good keeps them."""
    fleet = world.fleet
    fleet.trust.pop(ROLE, None)
    lets_in = partial(fleet.trust.__setitem__, ROLE, trust_of(external_id=EXTERNAL_ID))
    world.later(rand.choice((20.0, 200.0, 900.0)), lets_in)


def _region_down(world: World, rand: random.Random) -> None:
    world.fleet.down.add(EU.region)
    world.later(rand.choice((5.0, 60.0, 300.0)), partial(world.fleet.down.discard, EU.region))


def _tags(world: World, _place: Place, rand: random.Random) -> None:
    """Let the tag come to a subnet, or leave one; or let there be one more that has it."""
    if not world.fleet.tagged:
        return
    account = rand.choice(world.fleet.all)
    if rand.random() < 0.2 and len(account.subnets) < MOST_SUBNETS:
        world.fleet.tag(account, account.add_subnet(), fargate="yes")
    else:
        private = [each for each, subnet in account.subnets.items() if subnet.gateway.startswith("nat-")]
        world.fleet.tag(account, rand.choice(private), fargate=rand.choice(("yes", "")))


def _throttle_subnets(world: World, _place: Place, rand: random.Random) -> None:
    world.throttled.add("describe_subnets")
    world.later(rand.choice((5.0, 60.0, 300.0)), lambda: world.throttled.discard("describe_subnets"))


# What becomes of defaults, where there are any


def _defaults(world: World, _place: Place, rand: random.Random) -> None:
    """Change what the flags say, or what the file says of one of its entries."""
    if not world.fleet.has_defaults:
        return
    if world.fleet.defaults and rand.random() < 0.8:
        name = rand.choice(sorted(world.fleet.defaults))
        world.fleet.give(**{name: random_defaults(rand)})
    else:
        world.fleet.start_with(random_defaults(rand, tags=False))


def _leave_to_defaults(world: World, obj: Object, rand: random.Random) -> None:
    if world.fleet.has_defaults and isinstance(obj["spec"], dict):
        _edit(world, obj, **(_unsaid(world, rand) | {"podExecutionRoleName": None}))


# What goes on meanwhile


def _other_worker(_world: World, place: Place, _rand: random.Random) -> None:
    if place.process:
        place.process.work()


def _other_process(world: World, place: Place, rand: random.Random) -> None:
    others = [each for each in world.processes if each is not place.process]
    for each in others:
        for _ in range(rand.choice((1, 2, 5))):
            if (due := each.next_due()) is not None and due <= world.clock.elapsed:
                each.step()


def _time(world: World, _place: Place, rand: random.Random) -> None:
    world.run(rand.choice((1.0, 4.0, 15.0)))


def _hold(world: World, _place: Place, rand: random.Random) -> None:
    process = rand.choice(world.processes)
    process.held_until = world.clock.elapsed + rand.choice((5.0, 60.0, 300.0))


USERS = (
    Other("create", _create),
    Other("create", _create),
    Other("edit tags", _on_some(_edit_tags)),
    Other("edit fields", _on_some(_edit_fields)),
    Other("break", _on_some(_break)),
    Other("mend", _on_some(_mend)),
    Other("suspend", _on_some(_suspend)),
    Other("policy", _on_some(_policy)),
    Other("ask for a look", _on_some(_ask_for_a_look)),
    Other("delete", _on_some(_delete)),
    Other("hold", _on_some(_hold_by_another)),
    Other("replace", _on_some(_replace)),
)
VANDALS = (
    Other("strip finalizers", _on_some(_strip_finalizers)),
    Other("lose status", _on_some(_lose_status)),
    Other("strip owner tags", _on_profile(_strip_owner)),
    Other("another hand", _on_profile(_another_hand)),
    Other("copy tags", _on_profile(_copy_tags)),
)
OUTSIDERS = (
    Other("delete profile", _on_profile(_delete_profile)),
    Other("drop tag", _on_profile(_drop_tag)),
    Other("foreign tag", _on_profile(_foreign_tag)),
    Other("take name", _take_name),
    Other("update cluster", _update),
    Other("cluster not active", _not_active),
    Other("fail next", _fail_next),
    Other("hide", _on_profile(_hide)),
    Other("revoke list", _revoke_list),
    Other("no credentials", _no_credentials),
)
SERVERS = (
    Other("compact", _compact),
    Other("restart server", _restart_server),
    Other("stale server", _stale_server),
    Other("hold watch", _hold),
    Other("admission", _admission),
    Other("set back", _set_back),
)
PODS = (
    Other("owner of pods", _with_pods(_more_pods)),
    Other("place a pod", _on_pod(_place_pod)),
    Other("label a pod", _on_pod(_label_pod)),
    Other("delete a pod", _on_pod(_delete_pod)),
    Other("webhook away", _with_pods(_webhook_away)),
    Other("forbid", _with_pods(_forbid)),
    Other("stranded pods", _on_some(_stranded_pods)),
)
FLEET = (
    Other("clusters file", _with_fleet(_file)),
    Other("clusters file", _with_fleet(_file)),
    Other("role refused", _with_fleet(_role_refused)),
    Other("region down", _with_fleet(_region_down)),
)
TAGGERS = (
    Other("tags of subnets", _tags),
    Other("tags of subnets", _tags),
    Other("throttle subnets", _throttle_subnets),
)
DEFAULTERS = (
    Other("defaults", _defaults),
    Other("leave to defaults", _on_some(_leave_to_defaults)),
    Other("edit tags", _on_some(_edit_tags)),
    Other("ask for a look", _on_some(_ask_for_a_look)),
    Other("policy", _on_some(_policy)),
)
MEANWHILE = (
    Other("other worker", _other_worker),
    Other("other process", _other_process),
    Other("time", _time),
)
OTHERS: tuple[tuple[Other, ...], ...] = (USERS, VANDALS, OUTSIDERS, SERVERS, MEANWHILE)
