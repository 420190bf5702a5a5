"""Many accounts and regions behind one controller: each request is signed for its own, trouble stays where it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from answers import AwsError, Retryable
from aws import SERVICES, Aws, Keys, Signer
from controller import Controller
from credentials import Credentials
from entries import Entries, Entry
from informer import Store
from limits import Limits, Settings
from reconcile import Reconciler
from sites import MOST_SILENT, OWN, Rooms, Sites
from tests.fakes.apiserver import ApiServer
from tests.fakes.eks import Client, Memory, refused
from tests.fakes.eks_rules import Answer, Behaviour
from tests.harness import Bench, Clock
from tests.unit.test_reconcile import Kubernetes
from workqueue import WorkQueue

HERE, THERE, FAR = "123456789012", "222222222222", "333333333333"
HUB, EAST = "us-east-1", "eu-west-1"
ROLES = {account: f"arn:aws:iam::{account}:role/fargate-operator" for account in (THERE, FAR)}


@dataclass
class Estate:
    """All accounts and regions. Whose a request is shows only in what signs it, as the clients are shared by all."""

    clock: Clock
    places: dict[tuple[str, str], Memory] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)  # account, region, method
    assumed: list[dict[str, str]] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)  # roles that can't be assumed
    dead: set[tuple[str, str]] = field(default_factory=set)  # places that give no answer
    life: float = 3600.0

    def at(self, account: str, region: str) -> Memory:
        behaviour = Behaviour(self.clock.time, creating_seconds=60, deleting_seconds=60)
        return self.places.setdefault((account, region), Memory(behaviour, region, account=account))

    def clients(self, region: str) -> dict[str, Any]:
        return dict.fromkeys(SERVICES, Client(lambda method, request: self.ask(region, method, request)))

    def ask(self, region: str, method: str, request: Answer) -> Answer:
        account = str(Signer().get_frozen_credentials().access_key)
        self.calls.append((account, region, method))
        if (account, region) in self.dead:
            raise ReadTimeoutError(endpoint_url=region)
        if method == "assume_role":
            return self.assume(request)
        return self.at(account, region).ask(method, request)

    def assume(self, request: Answer) -> Answer:
        self.assumed.append({**request})
        if request["RoleArn"] in self.denied:
            raise refused("AssumeRole", "AccessDenied", 403, "User is not authorized to perform: sts:AssumeRole")
        account = request["RoleArn"].split(":")[4]
        ends = datetime.fromtimestamp(self.clock.time() + self.life, UTC)
        keys = {"AccessKeyId": account, "SecretAccessKey": "s", "SessionToken": "t", "Expiration": ends}
        return {"Credentials": keys}

    def asked_of(self, account: str) -> set[str]:
        return {method for each, _, method in self.calls if each == account}

    def profiles(self, account: str, region: str, cluster: str) -> list[str]:
        return sorted(self.at(account, region).stored(cluster))


def own() -> Credentials:
    credentials = Credentials(lambda: Keys(SimpleNamespace(access_key=HERE), None))
    credentials.step()
    return credentials


def entry(name: str, account: str = THERE, region: str = EAST, cluster: str = "demo", **more: Any) -> Entry:
    return Entry(name, cluster, region, ROLES.get(account, ""), **more)


def listed(*entries: Entry, home: str = "demo") -> Entries:
    return Entries(HUB, home, entries)


@contextmanager
def estate(*entries: Entry, home: str = "demo", **settings: Any) -> Iterator[tuple[Bench, Estate]]:
    """Let a test have a controller that runs in `HERE`, and these clusters in its file."""
    clock = Clock()
    world, signs = Estate(clock), own()

    def reach(region: str, credentials: Credentials | None, account: str) -> Aws:
        return Aws(world.clients(region), region, credentials or signs, account=account)

    near: Any = world.at(HERE, HUB)
    rules = Settings(home, controller_id="hub", **settings)
    yield (
        Bench(
            clock, ApiServer(now=clock.now), near, rules, entries=listed(*entries, home=home), reach=reach,
            clients=world.clients(HUB), signs=signs,
        ),
        world,
    )  # fmt: skip


def apply(b: Bench, world: Estate, cluster: str, name: str = "web", namespace: str = "default", **spec: Any) -> None:
    """Apply an object for a cluster of the file, or for the home."""
    assert b.entries
    found = next((each for each in b.entries.all if each.name == cluster), None)
    place = (found.account or HERE, found.region) if found else (HERE, HUB)
    there = world.at(*place)
    usual = {"podExecutionRoleArn": there.roles["good"], "subnets": list(there.private_subnets)}
    more = {"clusterName": cluster} if cluster else {}
    b.apply(name, namespace, **(usual | more | spec))


def test_an_object_is_made_in_the_account_and_region_of_its_entry_and_nowhere_else() -> None:
    with estate(entry("shop"), entry("far", FAR)) as (b, world):
        for cluster in ("shop", "far", ""):
            apply(b, world, cluster, name=f"web-{cluster or 'home'}")
        b.run(120)
        assert [b.ready(name) for name in ("web-shop", "web-far", "web-home")] == [True] * 3
        assert world.profiles(THERE, EAST, "demo") == ["web-shop"], "one name of a cluster, three clusters"
        assert world.profiles(FAR, EAST, "demo") == ["web-far"]
        assert world.profiles(HERE, HUB, "demo") == ["web-home"]


def test_status_metrics_and_messages_have_the_name_of_the_entry() -> None:
    with estate(entry("shop"), entry("boutique")) as (b, world):
        apply(b, world, "boutique")
        b.run(120)
        assert b.get()["status"]["clusterName"] == "shop", "of several names the first in the file"
        assert b.message() == "Profile web is ACTIVE in EKS cluster shop."
        assert set(b.reconciler.tally()) >= {"shop"}
        assert b.get()["status"]["clusterArn"] == f"arn:aws:eks:{EAST}:{THERE}:cluster/demo"


def test_clusters_of_one_name_in_two_accounts_have_nothing_of_each_other() -> None:
    """Neither their profiles, nor their turn, nor what was looked up."""
    with estate(entry("shop"), entry("far", FAR)) as (b, world):
        world.at(THERE, EAST).add_profile("demo", "web", world.at(THERE, EAST).roles["good"], [{"namespace": "x"}])
        world.at(FAR, EAST).set_cluster_status("demo", "UPDATING")
        apply(b, world, "shop", "web")
        apply(b, world, "far", "web-far", profileName="web")
        b.run(30)
        assert (b.reason("web"), b.reason("web-far")) == ("NameTaken", "ClusterNotActive")
        world.at(FAR, EAST).set_cluster_status("demo", "ACTIVE")
        b.run(120)
        assert (b.reason("web"), b.reason("web-far")) == ("NameTaken", "Active")


def test_where_a_role_cant_be_assumed_nothing_is_asked_with_other_credentials() -> None:
    with estate(entry("shop", external_id="a-secret-word"), entry("far", FAR)) as (b, world):
        world.denied.add(ROLES[THERE])
        apply(b, world, "shop", "web")
        apply(b, world, "far", "web-far")
        b.run(120)
        assert (b.ready("web"), b.ready("web-far")) == (False, True), "that is told, and holds up nobody else"
        assert world.asked_of(THERE) == set()
        assert not {method for account, region, method in world.calls if account == HERE and region == EAST}
        for word in (ROLES[THERE], "trust policy", "sts:ExternalId", "sts:AssumeRole"):
            assert word in b.message(), b.message()
        assert "a-secret-word" not in b.message(), "it is nobody's business but theirs who run the controller"
        assert world.assumed[0] == {
            "RoleArn": ROLES[THERE], "RoleSessionName": "fargate-operator", "ExternalId": "a-secret-word",
        }  # fmt: skip


def test_once_a_role_can_be_assumed_the_objects_that_waited_look() -> None:
    with estate(entry("shop")) as (b, world):
        world.denied.add(ROLES[THERE])
        apply(b, world, "shop")
        b.run(200)
        assert b.reason() == "CredentialsRefused"
        world.denied.clear()
        b.run(61)  # a minute at the most between two tries
        b.run_until("it is made", lambda: world.profiles(THERE, EAST, "demo") == ["web"], 5)


def test_credentials_of_a_role_are_renewed_ahead_of_their_end() -> None:
    with estate(entry("shop")) as (b, world):
        apply(b, world, "shop")
        b.run(120)
        before, world.denied = len(world.assumed), {ROLES[THERE]}
        b.run(3500)
        assert len(world.assumed) > before
        assert b.ready(), "what is there is good until its end"


def test_an_object_never_reaches_an_account_that_its_namespace_is_not_listed_for() -> None:
    with estate(entry("shop", namespaces=("team-a",)), entry("far", FAR)) as (b, world):
        apply(b, world, "shop", "web", "team-b")
        apply(b, world, "nowhere", "api", "team-b")
        b.run(120)
        assert world.asked_of(THERE) <= {"list_fargate_profiles"}, "its own look in the slot of a resync"
        told = {b.message("web", "team-b").replace("shop", "X"), b.message("api", "team-b").replace("nowhere", "X")}
        assert len(told) == 1, "a tenant learns nothing of the clusters of others"
        assert b.reason("web", "team-b") == "ClusterNotAllowed"


def test_an_entry_that_goes_holds_its_objects_until_it_comes_back() -> None:
    with estate(entry("shop"), entry("far", FAR)) as (b, world):
        apply(b, world, "shop")
        b.run(120)
        status, entries = b.get()["status"], b.sites.entries
        b.sites.entries = listed(entry("far", FAR))
        b.first.look_at_all()
        world.calls.clear()
        b.run(30)
        assert b.reason() == "ClusterNotAllowed"
        now = b.get()["status"]
        assert {key: now[key] for key in ("profileArn", "clusterArn")} == {
            key: status[key] for key in ("profileArn", "clusterArn")
        }
        b.delete()
        b.run(600)
        assert not b.gone()
        assert "bring back its entry" in b.message()
        assert world.profiles(THERE, EAST, "demo") == ["web"]
        assert world.asked_of(THERE) == set(), "nothing is asked there any more"
        b.sites.entries = entries
        b.first.look_at_all()
        b.run(120)
        assert b.gone()
        assert world.profiles(THERE, EAST, "demo") == []


def test_with_retain_an_object_goes_whose_entry_has_gone() -> None:
    with estate(entry("shop")) as (b, world):
        apply(b, world, "shop", deletionPolicy="Retain")
        b.run(120)
        b.sites.entries = listed()
        b.delete()
        b.run(30)
        assert b.gone()
        assert world.profiles(THERE, EAST, "demo") == ["web"]


def test_an_entry_that_moves_to_another_region_leaves_what_was_made_where_it_is() -> None:
    with estate(entry("shop")) as (b, world):
        apply(b, world, "shop")
        b.run(120)
        b.sites.entries = listed(entry("shop", region="eu-central-1"))
        b.first.look_at_all()
        b.run(30)
        assert b.reason() == "WrongHome"
        assert "the entry of the clusters file" in b.message()
        b.delete()
        b.run(120)
        assert not b.gone()
        assert world.profiles(THERE, EAST, "demo") == ["web"]
        assert world.profiles(THERE, "eu-central-1", "demo") == []


def test_an_unreadable_cluster_name_leads_to_where_the_profile_was_made() -> None:
    with estate(entry("shop")) as (b, world):
        apply(b, world, "shop")
        b.run(120)
        b.edit(clusterName=["not", "a", "name"])
        b.delete()
        b.run(120)
        assert b.gone()
        assert world.profiles(THERE, EAST, "demo") == []


def test_without_a_home_an_object_has_to_name_a_cluster() -> None:
    with estate(entry("shop"), home="") as (b, world):
        b.first.look_at_all()
        apply(b, world, "", "web")
        apply(b, world, "shop", "api")
        b.run(700)
        assert b.reason("web") == "InvalidSpec"
        assert b.message("web").startswith("spec.clusterName is missing")
        assert b.ready("api")
        assert not {method for account, _, method in world.calls if account == HERE} - {
            "get_caller_identity", "assume_role",
        }  # fmt: skip


def test_aliases_that_turn_out_to_contradict_each_other_are_refused_before_anything_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One has the controller's own credentials, the other a role of the same account: that shows at the first call.

    The log says what it is. The object is read by tenants, who learn of no other entry and no role.
    """
    mine = Entry("alias", "demo", HUB, f"arn:aws:iam::{HERE}:role/other", "a-secret-word", line=7)
    with estate(mine) as (b, world):
        b.apply("web", clusterName="alias", podExecutionRoleArn=world.at(HERE, HUB).roles["good"])
        b.run(60)
        assert b.reason() == "ClusterNotAllowed"
        assert "alias is mistaken: ask those who run the operator" in b.message()
        assert not [word for word in ("role/other", "entry demo", "a-secret-word") if word in str(b.get())]
        assert world.profiles(HERE, HUB, "demo") == []
    (logged,) = [each for each in caplog.messages if "can't be used" in each]
    assert "alias in line 7" in logged
    assert "same EKS cluster as entry demo" in logged
    assert "a-secret-word" not in caplog.text


def test_with_own_namespaces_an_object_may_name_a_cluster_that_lists_its_namespace_by_name() -> None:
    limits = Limits(own_namespace_in="demo")
    entries = entry("shop", namespaces=("team-a",)), entry("far", FAR, namespaces=("team-*",))
    with estate(*entries, limits=limits) as (b, world):
        for cluster in ("shop", "far"):
            apply(b, world, cluster, cluster, "team-a", selectors=[{"namespace": "team-a"}])
        apply(b, world, "shop", "foreign", "team-a", selectors=[{"namespace": "team-b"}])
        b.run(120)
        reasons = [b.reason(name, "team-a") for name in ("shop", "far", "foreign")]
        assert reasons == ["Active", "ClusterNotAllowed", "SelectorNotAllowed"]


def test_all_listed_clusters_are_looked_at_within_a_resync_and_the_home_at_once() -> None:
    many = [entry(f"c-{number}", cluster=f"c-{number}") for number in range(20)]
    with estate(*many) as (b, world):
        for each in many:
            world.at(THERE, EAST).add_cluster(each.cluster)
        b.first.look_at_all()
        b.run(1)
        looks = [call for call in world.calls if call[2] == "list_fargate_profiles"]
        assert looks == [(HERE, HUB, "list_fargate_profiles")]
        b.run(620)
        assert set(b.reconciler.tally()) == {"demo", *(each.name for each in many)}
        b.sites.entries = listed()
        b.first.look_at_all()
        b.run(1)
        assert set(b.reconciler.tally()) == {"demo"}, "what is in the file no more is not counted"


# One process, many threads


@pytest.mark.parametrize("silent", [False, True])
def test_a_dead_place_holds_few_of_the_workers(silent: bool) -> None:
    rooms = Rooms(16)
    inside, refused_ = 0, 0
    gate, done = threading.Event(), threading.Barrier(17)

    def work() -> None:
        nonlocal inside, refused_
        with rooms.taken("dead", alone=False, silent=silent) as enters:
            inside, refused_ = inside + enters, refused_ + (not enters)
            done.wait(10)
            gate.wait(10)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(16)]
    for each in threads:
        each.start()
    done.wait(10)
    assert inside == (MOST_SILENT if silent else 12)
    assert refused_ == 16 - inside
    with rooms.taken("alive", alone=False, silent=False) as enters:
        assert enters
    gate.set()
    for each in threads:
        each.join(10)
    with rooms.taken("dead", alone=False, silent=True) as enters:
        assert enters, "who leaves makes room"


def test_the_only_place_may_have_all_workers() -> None:
    rooms = Rooms(2)
    with rooms.taken("here", alone=True, silent=True) as one, rooms.taken("here", alone=True, silent=True) as two:
        assert one and two


def test_an_edge_is_silent_from_a_request_without_an_answer_until_one_with_one() -> None:
    denied = refused("GetCallerIdentity", "AccessDenied", 403, "no")
    answers: list[Exception | None] = [None, ReadTimeoutError(endpoint_url="x"), denied]

    def ask(_method: str, _request: Answer) -> Answer:
        if (error := answers.pop(0)) is not None:
            raise error
        return {"Arn": "arn:aws:sts::1:user/me"}

    edge, seen = Aws(dict.fromkeys(SERVICES, Client(ask)), HUB), []
    for _ in range(3):
        with suppress(AwsError):
            edge.account()
        seen.append(edge.silent)
    assert seen == [False, True, False]


def test_a_request_that_nothing_signs_is_not_sent() -> None:
    with pytest.raises(Retryable, match="nothing that signs it"):
        Signer().get_frozen_credentials()


def test_a_slow_sts_for_one_role_keeps_no_other_waiting_and_no_worker() -> None:
    slow, ended = threading.Event(), []

    def assume(role: str, _external: str) -> Keys:
        if role == ROLES[THERE]:
            slow.wait(10)
        return Keys(SimpleNamespace(access_key=role), None)

    edge: Any = SimpleNamespace(region=HUB, assume=assume, silent=False)
    nobody: Any = None
    sites = Sites(
        listed(entry("shop"), entry("far", FAR)), edge, nobody, Settings("demo"), time.monotonic,
        lambda _region, credentials, _account: Aws(dict.fromkeys(SERVICES), EAST, credentials),
    )  # fmt: skip
    shop, far = (sites.named(name) for name in ("shop", "far"))
    assert shop and far
    sites.of(shop)
    sites.of(far)
    assert sites.needed.is_set(), "whoever fetches is told at once"
    began = time.monotonic()
    threads = [threading.Thread(target=lambda fetch=fetch: ended.append(fetch())) for fetch in sites.due()]
    for each in threads:
        each.start()
    threads[1].join(5)
    assert ended == [(ROLES[FAR], "")]
    assert (sites.waits(shop), sites.waits(far)) == (True, False)
    with pytest.raises(Retryable):
        sites.of(shop).aws.ready()
    sites.of(far).aws.ready()
    assert sites.due() == [], "nobody fetches for the same role twice at once"
    assert time.monotonic() - began < 5
    slow.set()
    threads[0].join(5)
    assert not sites.waits(shop)
    sites.entries = listed()
    sites.due()
    assert sites._assumed == {}, "what no entry needs any more is dropped"
    assert [role for role, _ in sites._sites] == [OWN]


@dataclass
class Stuck:
    """Requests to one account that are answered by nobody, after a while."""

    world: Estate
    account: str
    seconds: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)  # the test is
    made: list[str] = field(default_factory=list)  # the accounts of creates

    def clients(self, region: str) -> dict[str, Any]:
        return dict.fromkeys(SERVICES, Client(lambda method, request: self.ask(region, method, request)))

    def ask(self, region: str, method: str, request: Answer) -> Answer:
        account = str(Signer().get_frozen_credentials().access_key)
        if account == self.account:
            self.over.wait(self.seconds)
            raise ReadTimeoutError(endpoint_url=region)
        with self.lock:
            answer = self.world.ask(region, method, request)
            if method == "create_fargate_profile":
                self.made.append(account)
            return answer


def seconds_until_the_others_are_made(seconds: float) -> float:
    """Let sixteen workers have 60 clusters of an account that does not answer, and 20 of one that does."""
    clock, store, kube = Clock(), Store(), Kubernetes()
    stuck = Stuck(Estate(clock), THERE, seconds)
    dead, alive = ([entry(f"{word}-{n}", of, cluster=f"{word}-{n}") for n in range(count)] for word, of, count in KINDS)
    for each in alive:
        stuck.world.at(FAR, EAST).add_cluster(each.cluster)
    rules, signs, queue = Settings("demo", controller_id="hub"), own(), WorkQueue(time.monotonic, workers=16)

    def reach(region: str, credentials: Credentials | None, account: str) -> Aws:
        return Aws(stuck.clients(region), region, credentials or signs, account=account)

    edge = Aws(stuck.clients(HUB), HUB, signs)
    sites = Sites(listed(*dead, *alive), edge, kube, rules, time.monotonic, reach, workers=16, now=clock.time)
    reconciler = Reconciler(store, kube, sites, rules, queue.wake, clock.now, time.monotonic, readmit=queue.readmit)
    controller, stop = Controller(queue, reconciler.reconcile, 600.0), threading.Event()
    for each in (*dead, *alive):
        sites.of(each)
    for fetch in sites.due():
        fetch()
    began = time.monotonic()
    for each in (*dead, *alive):
        role = stuck.world.at(each.account, EAST).roles["good"]
        spec = {"podExecutionRoleArn": role, "selectors": [{"namespace": "x"}], "clusterName": each.name}
        meta = {"namespace": each.name, "name": "web", "uid": each.name, "generation": 1, "resourceVersion": "1"}
        store.put({"metadata": meta | {"creationTimestamp": "2026-11-22T08:00:00Z"}, "spec": spec})
        queue.add((each.name, "web"))
    workers = [threading.Thread(target=loop_until, args=(stop, controller), daemon=True) for _ in range(16)]
    for worker in workers:
        worker.start()
    try:
        while len(stuck.made) < len(alive):
            assert time.monotonic() - began < 30, f"{len(stuck.made)} of {len(alive)} are made"
            time.sleep(0.01)
        return time.monotonic() - began
    finally:
        stop.set()
        stuck.over.set()
        for worker in workers:
            worker.join(10)


KINDS = (("dead", THERE, 60), ("alive", FAR, 20))


def loop_until(stop: threading.Event, controller: Controller) -> None:
    while not stop.is_set():
        controller.run_once(0.1)


def test_an_account_that_gives_no_answer_holds_up_its_own_clusters_only() -> None:
    usual = seconds_until_the_others_are_made(0.0)
    assert seconds_until_the_others_are_made(3.0) < usual + 1.0, "a third of one request that is not answered"
