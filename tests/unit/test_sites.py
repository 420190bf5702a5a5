"""Many accounts and regions behind one controller: each request is signed for its own, trouble stays where it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from answers import AwsError, Retryable
from aws import SERVICES, Aws, Keys, Signer
from config import configure, settings
from controller import Controller
from credentials import Credentials
from entries import Entries, Entry
from informer import Store
from kube import Key
from limits import Limits, Settings
from reconcile import Reconciler
from sites import AT_ONCE, MOST_SILENT, OWN, Sites
from spec import Defaults
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
        assert "have the clusters file let namespace default name shop again" in b.message()
        assert world.profiles(THERE, EAST, "demo") == ["web"]
        assert world.asked_of(THERE) == set(), "nothing is asked there any more"
        b.sites.entries = entries
        b.first.look_at_all()
        b.run(120)
        assert b.gone()
        assert world.profiles(THERE, EAST, "demo") == []


@pytest.mark.parametrize("outage", ["barred", "moved", "silent"])
@pytest.mark.parametrize("edited", [True, False])
def test_an_edit_takes_up_new_defaults_though_it_was_made_while_its_cluster_was_out_of_reach(
    edited: bool, outage: str
) -> None:
    with estate(entry("shop")) as (b, world):
        roles = world.at(THERE, EAST).roles
        before, after = Defaults(roles["good"]), Defaults(roles["inline-policy"])
        b.sites.entries = listed(entry("shop", defaults=before))
        subnets = list(world.at(THERE, EAST).private_subnets)
        obj = b.manifest("web", clusterName="shop", subnets=subnets, updatePolicy="Replace")
        del obj["spec"]["podExecutionRoleArn"]
        b.api.apply(obj)
        b.run(150)
        assert b.ready(), b.message()
        away = {"barred": (), "moved": (entry("shop", region="eu-central-1"),), "silent": b.sites.entries.listed or ()}
        b.sites.entries = listed(*away[outage])
        world.dead = {(THERE, EAST)} if outage == "silent" else set()
        if edited:
            b.edit(tags={"team": "a"})
        b.first.look_at_all()
        b.run(60)
        assert b.get()["status"]["observedGeneration"] == b.get()["metadata"]["generation"]
        b.sites.entries, world.dead = listed(entry("shop", defaults=after)), set()
        b.first.look_at_all()
        b.run(900)
        (found,) = world.at(THERE, EAST).stored("demo").values()
        assert (found.body["podExecutionRoleArn"] == after.role) is edited
        assert b.ready()
        assert "decidedGeneration" not in b.get()["status"].get("bookkeeping", {})


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
        assert "correct the cluster's entry in the clusters file" in b.message()
        b.delete()
        b.run(120)
        assert not b.gone()
        assert world.profiles(THERE, EAST, "demo") == ["web"]
        assert world.profiles(THERE, "eu-central-1", "demo") == []


def test_without_a_file_no_message_speaks_of_its_entries() -> None:
    with estate() as (b, _):
        b.sites.entries = Entries(HUB, "demo")
        b.apply("web", clusterName="nowhere")
        b.run(30)
        missing = b.message()
        b.apply("api")
        b.run(120)
        b.sites.entries = Entries("eu-central-1", "demo")
        b.first.look_at_all()
        b.run(30)
        assert (b.reason(), b.reason("api")) == ("ClusterNotFound", "WrongHome")
        for text in (missing, b.message("api")):
            assert "correct the operator's cluster or region" in text
            assert "clusters file" not in text


def test_a_deletion_waits_until_the_namespace_may_name_the_cluster_again() -> None:
    with estate(entry("shop")) as (b, world):
        apply(b, world, "shop")
        b.run(120)
        b.sites.entries = listed(entry("shop", namespaces=("team-a",)))
        b.first.look_at_all()
        b.delete()
        b.run(30)
        assert "have the clusters file let namespace default name shop again, or set" in b.message()


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
        assert "contradicts itself" in b.message()
        assert not [word for word in ("role/other", "entry demo", "a-secret-word") if word in str(b.get())]
        assert world.profiles(HERE, HUB, "demo") == []
    (logged,) = [each for each in caplog.messages if "can't be used" in each]
    assert "alias in line 7" in logged
    assert "same EKS cluster as entry demo" in logged
    assert "a-secret-word" not in caplog.text


@pytest.mark.parametrize("order", [1, -1])
def test_of_entries_that_contradict_each_other_neither_counts_and_no_object_learns_of_another_s(
    order: int, caplog: pytest.LogCaptureFixture
) -> None:
    mine = Entry("mine", "demo", HUB, f"arn:aws:iam::{HERE}:role/mine", namespaces=("team-a",), line=7)
    others = Entry("team-b-secret", "demo", HUB, namespaces=("team-b",), line=3)
    with estate(*(mine, others)[::order], entry("shop"), home="") as (b, world):
        for name, namespace in (("mine", "team-a"), ("team-b-secret", "team-b")):
            b.apply("web", namespace, clusterName=name, podExecutionRoleArn=world.at(HERE, HUB).roles["good"])
        apply(b, world, "shop")
        b.run(120)
        told = {b.message("web", namespace) for namespace in ("team-a", "team-b")}
        assert (b.reason("web", "team-a"), b.reason("web", "team-b")) == ("ClusterNotAllowed", "ClusterNotAllowed")
        assert not {word for text in told for word in ("secret", "role/mine", "line") if word in text}, told
        assert b.ready(), "no other cluster is touched by it"
        assert "team-b-secret" in caplog.text, "the log has what mends it"
        assert world.profiles(HERE, HUB, "demo") == []


def test_where_entries_contradict_each_other_a_deletion_waits_and_with_retain_goes_on() -> None:
    mine = Entry("alias", "demo", HUB, f"arn:aws:iam::{HERE}:role/other")
    with estate(mine) as (b, world):
        for name, policy in (("web", "Delete"), ("kept", "Retain")):
            apply(b, world, "", name, deletionPolicy=policy)
        b.sites.entries = listed()
        b.run(150)
        assert (b.ready("web"), b.ready("kept")) == (True, True)
        b.sites.entries = listed(mine)
        b.first.look_at_all()
        b.delete("web")
        b.delete("kept")
        b.run(60)
        assert (b.gone("web"), b.gone("kept")) == (False, True)
        assert "The deletion waits: have the file mended" in b.message("web")
        assert world.profiles(HERE, HUB, "demo") == ["kept", "web"]


def test_a_home_that_its_entry_reaches_by_a_role_of_its_own_account_is_served() -> None:
    """As --cluster-name=arn:...:THERE:cluster/demo has it, with the operator's own credentials of another account."""
    home = Entry("demo", "demo", HUB, ROLES[THERE])
    with estate(home, account=THERE) as (b, world):
        b.sites.entries = replace(b.sites.entries, home_account=THERE)
        apply(b, world, "demo")
        b.run(120)
        assert b.ready(), b.message()
        assert world.profiles(THERE, HUB, "demo") == ["web"]


def test_with_own_namespaces_an_object_may_name_a_cluster_that_lists_its_namespace_by_name() -> None:
    limits = Limits(own_namespace=True, home="demo")
    entries = entry("shop", namespaces=("team-a",)), entry("far", FAR, namespaces=("team-*",))
    with estate(*entries, limits=limits) as (b, world):
        for cluster in ("shop", "far"):
            apply(b, world, cluster, cluster, "team-a", selectors=[{"namespace": "team-a"}])
        apply(b, world, "shop", "foreign", "team-a", selectors=[{"namespace": "team-b"}])
        b.run(120)
        reasons = [b.reason(name, "team-a") for name in ("shop", "far", "foreign")]
        assert reasons == ["Active", "ClusterNotAllowed", "SelectorNotAllowed"]


def test_with_own_namespaces_objects_are_held_to_theirs_where_there_is_no_home_too() -> None:
    config = configure(["--clusters-file=x", "--region=us-east-1", "--selector-namespaces=own"], {})
    entries = entry("shop", namespaces=("team-a",)), entry("far", FAR)
    with estate(*entries, home="", limits=settings(config).limits) as (b, world):
        apply(b, world, "shop", "mine", "team-a", selectors=[{"namespace": "team-a"}])
        apply(b, world, "shop", "foreign", "team-a", selectors=[{"namespace": "team-b"}])
        apply(b, world, "far", "open", "team-a", selectors=[{"namespace": "team-a"}])
        b.run(120)
        reasons = [b.reason(name, "team-a") for name in ("mine", "foreign", "open")]
        assert reasons == ["Active", "SelectorNotAllowed", "ClusterNotAllowed"]


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


@contextmanager
def sixteen_workers(*entries: Entry) -> Iterator[tuple[Sites, list[Key]]]:
    """Let a test have the sites of these clusters, and the keys that are let in."""
    edge: Any = SimpleNamespace(region=HUB, assume=lambda *_: None, silent=False)
    nobody: Any = None
    let_in: list[Key] = []

    def readmit(key: Key) -> bool:
        let_in.append(key)
        return True

    sites = Sites(
        listed(*entries, home=""), edge, nobody, Settings("demo"), time.monotonic,
        lambda region, credentials, _account: Aws(dict.fromkeys(SERVICES), region, credentials), workers=16,
    )  # fmt: skip
    sites.rooms.readmit = readmit
    yield sites, let_in


def fill(inside: ExitStack, sites: Sites, at: Entry, name: str = "web") -> int:
    """Let all workers come to a cluster; return how many get in."""
    keys = [(at.name, f"{name}-{number}") for number in range(16)]
    return sum(inside.enter_context(sites.room(key, at, sites.of(at))) for key in keys)


@pytest.mark.parametrize(("silent", "most"), [(False, 12), (True, MOST_SILENT)])
def test_a_dead_place_holds_few_of_the_workers(silent: bool, most: int) -> None:
    dead, alive = entry("dead"), entry("alive", FAR)
    with sixteen_workers(dead, alive) as (sites, _), ExitStack() as inside:
        sites.of(dead).aws.silent = silent
        assert fill(inside, sites, dead) == most
        assert fill(inside, sites, alive) > 0
        inside.close()
        assert fill(inside, sites, dead) == most, "who leaves makes room"


def test_all_places_that_give_no_answer_hold_a_quarter_of_the_workers_together() -> None:
    dead = [Entry(f"d-{n}", "c", EAST, f"arn:aws:iam::{n:012d}:role/r") for n in range(1, 11)]
    alive = entry("alive", FAR, "eu-central-1")
    with sixteen_workers(*dead, alive) as (sites, _), ExitStack() as inside:
        for each in dead:
            sites.of(each).aws.silent = True
        assert sum(fill(inside, sites, each) for each in dead) == 4
        assert fill(inside, sites, alive) == 12


def test_a_region_that_goes_down_leaves_workers_to_the_others_before_any_request_to_it_has_failed() -> None:
    many = [Entry(f"d-{n}", "c", EAST, f"arn:aws:iam::{n:012d}:role/r") for n in range(1, 11)]
    alive = entry("alive", FAR, "eu-central-1")
    with sixteen_workers(*many, alive) as (sites, _), ExitStack() as inside:
        assert sum(fill(inside, sites, each) for each in many) == 14, "two may go elsewhere"
        assert fill(inside, sites, alive) == 12


def test_one_place_that_gives_no_answer_leaves_workers_to_the_others_of_its_region() -> None:
    dead, alive = entry("dead"), entry("alive", FAR)
    with sixteen_workers(dead, alive, entry("far", FAR, "eu-central-1")) as (sites, _), ExitStack() as inside:
        assert fill(inside, sites, dead) == 12
        assert fill(inside, sites, alive) == 2


def test_the_only_place_may_have_all_workers_and_the_only_region_too() -> None:
    here = [entry(f"c-{number}", cluster=f"c-{number}") for number in range(500)]
    with sixteen_workers(*here) as (sites, _), ExitStack() as inside:
        sites.of(here[0]).aws.silent = True
        assert fill(inside, sites, here[0]) == 16
    with sixteen_workers(here[0], entry("far", FAR)) as (sites, _), ExitStack() as inside:
        assert fill(inside, sites, here[0]) + fill(inside, sites, entry("far", FAR)) >= 16


def test_who_found_a_place_full_is_let_in_by_who_leaves_namespaces_and_places_in_turn() -> None:
    one, two = (Entry(f"d-{n}", "c", EAST, f"arn:aws:iam::{n:012d}:role/r") for n in (1, 2))
    with sixteen_workers(one, two, entry("far", FAR)) as (sites, let_in):
        for each in (one, two):
            sites.of(each).aws.silent = True
        first, rest = ExitStack(), ExitStack()
        assert first.enter_context(sites.room(("a", "first"), one, sites.of(one)))
        assert fill(rest, sites, one) + fill(rest, sites, two) == 3
        assert let_in == []
        first.close()
        assert len(let_in) == 1, "there is room for one"
        sites.of(one).aws.silent = False
        let_in.clear()
        rest.close()
        assert {namespace for namespace, _ in let_in} == {"d-1", "d-2"}
        assert len(let_in) == len(set(let_in)), "who was let in stands outside no more"


def test_many_objects_of_a_place_that_is_full_cost_no_look_a_second_each() -> None:
    clusters = [entry(f"c-{number}", cluster=f"c-{number}") for number in range(20)]
    with estate(*clusters, entry("far", FAR)) as (b, world):
        b.sites._workers = 16
        for number in range(60):
            apply(b, world, f"c-{number % 20}", f"web-{number}", f"ns-{number % 20}")
        for each in clusters:
            world.at(THERE, EAST).add_cluster(each.cluster)
        site = b.sites.of(clusters[0])
        b.informer.run_once()
        site.aws.silent = True
        for fetch in b.sites.due():
            fetch()
        with ExitStack() as inside:
            assert fill(inside, b.sites, clusters[0]) == MOST_SILENT
            b.first.look_at_all()
            assert 1 in {not b.controller.run_once() for _ in range(1000)}, "it comes to rest"
            b.clock.elapsed += 5
            assert not b.controller.run_once()
            site.aws.silent = False
        b.run(100)
        assert sum(b.ready(f"web-{number}", f"ns-{number % 20}") for number in range(60)) >= 20


def test_an_object_whose_place_is_full_keeps_its_cluster_from_no_other() -> None:
    clusters = entry("shop"), entry("far", FAR)
    with estate(*clusters) as (b, world):
        b.sites._workers = 16
        b.run(1)
        for name in ("one", "two"):
            apply(b, world, "shop", name, name)
        b.informer.run_once()
        site = b.sites.of(clusters[0])
        for fetch in b.sites.due():
            fetch()
        site.aws.silent = True
        with ExitStack() as inside:
            assert fill(inside, b.sites, clusters[0]) == MOST_SILENT
            assert b.reconciler.reconcile(("one", "one")).skipped
            site.aws.silent = False
            assert not b.reconciler.reconcile(("two", "two")).skipped


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
    shop, far = (sites.shown_as(name) for name in ("shop", "far"))
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
    web = ("default", "web")
    assert (sites.waits(shop, web), sites.waits(far, web)) == (True, False)
    with pytest.raises(Retryable):
        sites.of(shop).aws.ready()
    sites.of(far).aws.ready()
    assert sites.due() == [], "nobody fetches for the same role twice at once"
    assert time.monotonic() - began < 5
    slow.set()
    threads[0].join(5)
    assert not sites.waits(shop, web)
    sites.entries = listed()
    sites.due()
    assert sites._assumed == {}, "what no entry needs any more is dropped"
    assert [role for role, _ in sites._sites] == [OWN]


def roles_and_own(fetch: Callable[[], Keys], clock: Clock, roles: int = 10) -> Sites:
    """Return sites of many roles, whose own credentials come of `fetch`."""
    credentials, nobody = Credentials(fetch, clock.time), None

    def assume(_role: str, _external: str) -> Keys:
        credentials.ready()
        return Keys(SimpleNamespace(access_key="x"), None)

    edge: Any = SimpleNamespace(region=HUB, assume=assume, silent=False)
    entries = [Entry(f"e-{n}", "c", EAST, f"arn:aws:iam::{n:012d}:role/r") for n in range(1, roles + 1)]
    sites = Sites(
        listed(*entries), edge, nobody, Settings("demo"), clock.monotonic,  # type: ignore[arg-type]
        lambda region, signs, _account: Aws(dict.fromkeys(SERVICES), region, signs), now=clock.time,
        credentials=credentials,
    )  # fmt: skip
    for each in entries:
        sites.of(each)
    return sites


def test_own_credentials_that_fail_are_tried_as_seldom_with_many_roles_as_with_none() -> None:
    def tries(roles: int) -> int:
        clock, tried = Clock(), list[None]()

        def dead() -> Keys:
            tried.append(None)
            raise Retryable("NoCredentials", "dead")

        sites = roles_and_own(dead, clock, roles)
        while clock.elapsed < 120:
            for fetch in sites.due():
                fetch()
            clock.elapsed += 0.5
        return len(tried)

    assert tries(50) == tries(0) < 10


def test_roles_are_assumed_after_the_own_credentials_and_at_once_when_these_come_again() -> None:
    clock, down = Clock(), [True]

    def source() -> Keys:
        if down:
            raise Retryable("NoCredentials", "dead")
        return Keys(SimpleNamespace(access_key=HERE), None)

    sites = roles_and_own(source, clock)
    assert [fetch() for fetch in sites.due()] == [None], "no role is said not to be assumable before that is known"
    assert sites.own_tried.is_set()
    assert len([fetch() for fetch in sites.due()]) == 10
    down.clear()
    for each in sites._assumed.values():
        each.due = 0.0 if each.role == OWN else clock.monotonic() + 50
    assert [fetch() for fetch in sites.due()] == [OWN]
    assert len([role for fetch in sites.due() if (role := fetch())]) == 10


def test_a_role_whose_thread_never_ran_or_broke_off_is_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, broken = Clock(), [True]

    def assume(_role: str, _external: str) -> Keys:
        if broken:
            raise RuntimeError("a bug")
        return Keys(SimpleNamespace(access_key="x"), None)

    sites = roles_and_own(lambda: Keys(SimpleNamespace(access_key=HERE), None), clock, roles=0)
    monkeypatch.setattr(sites, "_assume", assume)
    sites.take(listed(entry("shop")))
    shop = sites.shown_as("shop")
    assert shop
    sites.of(shop)
    for fetch in sites.due():
        fetch()
    sites.due()  # whose thread can't be started
    (fetch,) = sites.due()
    with pytest.raises(RuntimeError):
        fetch()
    with pytest.raises(Retryable, match="a bug of the operator"):
        sites.of(shop).aws.ready()
    assert not sites.waits(shop, ("default", "web")), "its objects are told"
    broken.clear()
    clock.elapsed += 61
    assert [fetch() for fetch in sites.due()] == [(ROLES[THERE], "")]
    assert sites.waited_for((ROLES[THERE], "")) == {("default", "web")}


def test_one_worker_waits_for_sts_to_say_who_the_controller_is_and_no_other_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sites.ASKED_SECONDS", 0.05)
    slow, asked, gate = threading.Event(), list[None](), threading.Event()

    def who() -> tuple[str, str]:
        asked.append(None)
        gate.set()
        slow.wait(10)
        return "aws", HERE

    with estate() as (b, _):
        monkeypatch.setattr(b.sites, "ask_account", who)
        first = threading.Thread(target=b.reconciler.homes.own, daemon=True)
        first.start()
        gate.wait(10)
        for _number in range(3):
            with pytest.raises(Retryable, match="AWS STS has not answered yet"):
                b.reconciler.homes.own()
        sorting = ThreadPoolExecutor(1)
        known = sorting.submit(b.reconciler.homes.is_known)
        slow.set()
        first.join(10)
        assert known.result(10), "who gives each settled object its time waits for the answer"
        assert b.reconciler.homes.own().account == HERE
        assert len(asked) == 1
        sorting.shutdown()


def test_settled_objects_get_their_time_though_sts_takes_longer_than_a_pass_would_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sites.ASKED_SECONDS", 0.05)
    with estate() as (b, _):
        answer = b.sites.ask_account

        def slowly() -> tuple[str, str]:
            time.sleep(0.3)
            return answer()

        monkeypatch.setattr(b.sites, "ask_account", slowly)
        other = threading.Thread(target=b.reconciler.homes.own, daemon=True)
        other.start()
        assert b.reconciler.homes.is_known()
        other.join(10)


def test_sts_that_gives_no_answer_for_a_role_says_nothing_of_the_home() -> None:
    def unreachable(**_request: Any) -> Any:
        raise ConnectTimeoutError(endpoint_url="https://sts")

    clients = dict.fromkeys(SERVICES, SimpleNamespace(assume_role=unreachable, list_fargate_profiles=unreachable))
    edge = Aws(clients, HUB, Credentials(lambda: Keys(SimpleNamespace(access_key=HERE), None)))
    with pytest.raises(Retryable, match="can't be assumed yet"):
        edge.assume(ROLES[THERE])
    assert not edge.silent


def test_no_more_than_some_roles_are_assumed_at_once_however_often_it_is_asked_for_more() -> None:
    clock = Clock()
    sites = roles_and_own(lambda: Keys(SimpleNamespace(access_key=HERE), None), clock, roles=100)
    for fetch in sites.due():
        fetch()  # our own
    at_work = [each for each in sites._assumed.values() if each.role != OWN][: AT_ONCE - 1]
    for each in at_work:
        each.busy = True
    assert len(sites.due()) == 1


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
    for _ in range(100_000):
        if stop.is_set():
            return
        controller.run_once(0.1)


def test_an_account_that_gives_no_answer_holds_up_its_own_clusters_only() -> None:
    usual = seconds_until_the_others_are_made(0.0)
    assert seconds_until_the_others_are_made(3.0) < usual + 1.0, "a third of one request that is not answered"
