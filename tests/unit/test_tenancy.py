"""The threat model of docs/tenancy.md: each line is tried here, by somebody who may write objects in one namespace."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import config
from aws import ProfileSpec, selector
from clusters import View
from config import Lines
from limits import Limits, Settings
from lookups import FACTS_KEPT
from memory import foresee
from spec import CONTROLLER_KEY, KOPF_FINALIZERS, OWNER_KEY, RETAINED_KEY, Identity, Memory, Resource, replacement_names
from surroundings import Network
from tests.docs import ROOT, section
from tests.fakes.aws import REFUSED, error
from tests.harness import Bench, bench
from tests.unit.test_evictions import world
from tests.unit.test_plan import GOOD, SPEC, case, profile

ROLES = "arn:aws:iam::123456789012:role/"
KOPF = sorted(KOPF_FINALIZERS)


@pytest.fixture
def b() -> Iterator[Bench]:
    """Let team a have a profile `web`, made by the controller; team b tries."""
    with bench() as made:
        made.apply("web", "team-a")
        made.run(200)
        assert made.ready("web", "team-a")
        yield made


def limit(b: Bench, **limits: Any) -> None:
    """Start the controller anew with limits."""
    b.settings = replace(b.settings, limits=Limits(**limits))
    b.start()


def own(b: Bench) -> None:
    limit(b, own_namespace=True, home="demo")


def writes(b: Bench) -> list[tuple[str, str]]:
    """Return the changes that EKS was asked for since the last look, with what they were to change."""
    asked = [(call.operation, call.params.get("profile") or call.params.get("arn", "")) for call in b.manners.writes()]
    b.manners.clear()
    return asked


def untouched(b: Bench, name: str = "web", cluster: str = "demo") -> bool:
    found = b.profiles(cluster)[name]
    return bool(found["status"] == "ACTIVE" and found["tags"].get(OWNER_KEY, "team-a/web") == "team-a/web")


def leave(b: Bench, name: str, seconds: float = 1500) -> None:
    """Let team b give up: delete the object, and see that it goes without a change in EKS."""
    writes(b)
    b.delete(name, "team-b")
    b.run(seconds)
    assert b.gone(name, "team-b")
    assert writes(b) == []


def test_1_another_s_profile_name(b: Bench) -> None:
    writes(b)
    b.apply("mine", "team-b", profileName="web")
    b.run(1500)
    assert b.reason("mine", "team-b") == "NameTaken"
    assert writes(b) == []
    leave(b, "mine")
    assert untouched(b)


def test_1_the_name_that_another_s_replacement_will_have(b: Bench) -> None:
    """It can be computed by who reads the object, and it may be an edit like any other."""
    edited = b.manifest("web", "team-a", selectors=[{"namespace": "edited"}], updatePolicy="Replace")
    of = Identity.parse(b.get("web", "team-a"), Memory(), "demo")
    for number, name in enumerate([*replacement_names(of, Resource.parse(edited).profile)][:2]):
        b.apply(f"squatter-{number}", "team-b", profileName=name)
        b.run(200)
    assert len(b.profiles()) == 3
    b.edit("web", "team-a", **edited["spec"])
    b.run(300)
    assert b.ready("web", "team-a")
    assert len(b.profiles()) == 3
    assert b.profiles()[b.get("web", "team-a")["status"]["profileName"]]["tags"][OWNER_KEY] == "team-a/web"
    b.delete("web", "team-a")
    b.run(300)
    assert len(b.profiles()) == 2


def test_2_another_cluster(b: Bench) -> None:
    b.world.add_cluster("prod")
    b.world.add_profile("prod", "web", b.world.roles["good"], [{"namespace": "shop"}])
    writes(b)
    b.apply("web", "team-b", clusterName="prod")
    b.run(1500)
    assert b.reason("web", "team-b") == "NameTaken"
    leave(b, "web")
    own(b)
    b.apply("web", "team-b", clusterName="prod", selectors=[{"namespace": "team-b"}])
    b.run(1500)
    assert b.reason("web", "team-b") == "ClusterNotAllowed"
    leave(b, "web")
    assert untouched(b, cluster="prod")


@pytest.mark.parametrize("reach", ["team-a", "*", "team-?", "team-b*"])
def test_3_another_team_s_pods(b: Bench, reach: str) -> None:
    own(b)
    writes(b)
    b.apply("mine", "team-b", selectors=[{"namespace": "team-b"}, {"namespace": reach}])
    b.run(60)
    assert b.reason("mine", "team-b") == "SelectorNotAllowed"
    assert reach in b.message("mine", "team-b")
    assert writes(b) == []
    b.edit("mine", "team-b", selectors=[{"namespace": "team-b", "labels": {"app": "x"}}])
    b.run(200)
    assert b.ready("mine", "team-b")


def test_3_by_default_selectors_reach_everywhere_as_in_the_original(b: Bench) -> None:
    b.apply("mine", "team-b", selectors=[{"namespace": "team-a"}])
    b.run(200)
    assert b.ready("mine", "team-b")


def test_3_profiles_without_end_that_nobody_counts(b: Bench) -> None:
    """A quota bounds objects; whoever may leave profiles behind makes as many as EKS takes."""
    own(b)
    b.settings = replace(b.settings, retain_in=frozenset({"team-a"}))
    b.start()
    for number in range(3):
        name = f"mine-{number}"
        b.apply(name, "team-b", selectors=[{"namespace": "team-b"}], deletionPolicy="Retain")
        b.run(300)
        assert b.ready(name, "team-b")
        assert "--allow-retain-in=team-b" in b.message(name, "team-b")
        assert b.events("Warning", name).count("RetainNotAllowed") == 1
        b.delete(name, "team-b")
    writes(b)
    b.run(1500)
    for number in range(3):
        name = f"mine-{number}"
        assert b.reason(name, "team-b") == "RetainNotAllowed"
        assert b.stalled(name, "team-b")
        assert f"to delete profile {name}" in b.message(name, "team-b")
    assert writes(b) == []
    b.edit("mine-0", "team-b", deletionPolicy="Delete")
    b.run(300)
    assert b.gone("mine-0", "team-b")
    assert "mine-0" not in b.profiles()
    b.edit("web", "team-a", deletionPolicy="Retain")
    b.run(60)
    assert "RetainNotAllowed" not in b.message("web", "team-a")
    b.delete("web", "team-a")
    b.run(60)
    assert b.gone("web", "team-a")
    assert b.profiles()["web"]["tags"] == {RETAINED_KEY: "team-a/web"}


@pytest.mark.parametrize("role", ["good", "missing"])
def test_4_a_role_with_more_rights(b: Bench, role: str) -> None:
    limit(b, roles=(f"{ROLES}team-b-*", f"{ROLES}shared"))
    b.world.set_mode("demo", "CONFIG_MAP")  # so that nobody looks at the roles of profiles
    b.manners.clear()
    b.apply("mine", "team-b", podExecutionRoleArn=b.world.roles.get(role, f"{ROLES}missing"))
    b.run(1500)
    assert b.reason("mine", "team-b") == "RoleNotAllowed"
    assert b.manners.count("GetRole") == 0, "who may not pass a role is not told whether it exists"
    assert writes(b) == []
    assert b.ready("web", "team-a"), "what was made before is left alone"


def test_4_a_role_that_matches_may_be_passed(b: Bench) -> None:
    good = b.world.roles["good"]
    limit(b, roles=("nothing", good[:-1] + "?"))
    b.apply("mine", "team-b")
    b.run(200)
    assert b.ready("mine", "team-b")


def test_5_owner_tags_in_the_spec(b: Bench) -> None:
    writes(b)
    for key, value in ((OWNER_KEY, "team-a/web"), (CONTROLLER_KEY, "x"), (RETAINED_KEY, "team-a/web")):
        b.apply("mine", "team-b", tags={key: value})
        b.run(60)
        assert b.reason("mine", "team-b") == "InvalidSpec"
    assert writes(b) == []


@pytest.mark.parametrize("namespace", ["team-b", "team-a"])
def test_6_kopf_s_finalizer_planted_before_an_admin_makes_that_very_profile_wins_nothing(
    b: Bench, namespace: str
) -> None:
    """Lie in wait with a suspended object, plant the finalizer, and let somebody make that profile by hand."""
    b.settings = replace(b.settings, kopf_in=frozenset({"team-a"} - {namespace}))
    b.start()
    b.apply("late", namespace, suspend=True)
    b.run(60)
    b.api.edit("fargateprofiles", namespace, "late", {"metadata": {"finalizers": KOPF[:1]}})
    subnets = [*b.world.private_subnets]
    b.world.add_profile("demo", "late", b.world.roles["good"], [{"namespace": "late"}], subnets=subnets)
    writes(b)
    for suspended in (True, False):
        b.edit("late", namespace, suspend=suspended)
        b.run(700)
        b.start()
        b.run(700)
    assert b.reason("late", namespace) == "NameTaken"
    b.delete("late", namespace)
    b.run(1500)
    assert not b.gone("late", namespace)
    assert b.message("late", namespace).startswith("The deletion waits")
    b.edit("late", namespace, deletionPolicy="Retain")
    b.run(700)
    assert b.gone("late", namespace)
    assert writes(b) == []
    assert b.profiles()["late"]["tags"] == {}


def test_6_kopf_s_finalizer_wins_nothing_that_is_older_or_other_or_tagged(b: Bench) -> None:
    b.settings = replace(b.settings, kopf_in=frozenset({"*"}))
    b.start()
    b.world.add_profile("demo", "older", b.world.roles["good"], [{"namespace": "older"}])
    b.run(10)
    for name, spec in {"older": {}, "mine": {"profileName": "web"}, "other": {}}.items():
        manifest = b.manifest(name, "team-b", **spec)
        manifest["metadata"]["finalizers"] = KOPF
        b.apply("unused", "team-b", suspend=True)  # makes the namespace
        b.api.apply(manifest)
    b.world.add_profile("demo", "other", b.world.roles["good"], [{"namespace": "shop"}])
    writes(b)
    b.run(1500)
    assert {b.reason(name, "team-b") for name in ("older", "mine", "other")} == {"NameTaken"}
    for name in ("older", "mine", "other"):
        leave(b, name)
    assert set(b.profiles()) == {"web", "older", "other"}


@pytest.mark.parametrize("suspended", [True, False])
@pytest.mark.parametrize("limits", [{"own_namespace": True, "home": "demo"}, {"roles": ("none",)}])
def test_6_kopf_s_finalizer_wins_nothing_that_the_flags_forbid(
    b: Bench, limits: dict[str, Any], suspended: bool
) -> None:
    """Lie in wait with an object for a profile that somebody else is about to make, with all fields as theirs."""
    b.settings = replace(b.settings, kopf_in=frozenset({"*"}))
    limit(b, **limits)
    b.apply("unused", "team-b", suspend=True)
    manifest = b.manifest("late", "team-b", selectors=[{"namespace": "shop"}], suspend=suspended)
    manifest["metadata"]["finalizers"] = KOPF
    b.api.apply(manifest)
    b.run(60)
    subnets = [*b.world.private_subnets]
    b.world.add_profile("demo", "late", b.world.roles["good"], [{"namespace": "shop"}], subnets=subnets)
    writes(b)
    b.edit("late", "team-b", suspend=False)
    b.run(1500)
    leave(b, "late")
    assert "late" in b.profiles()


@pytest.mark.parametrize("limits", [None, {"own_namespace": True, "home": "demo"}, {"roles": ("none",)}])
def test_6_a_profile_without_an_owner_is_not_there_to_be_taken(b: Bench, limits: dict[str, Any] | None) -> None:
    """Without --allow-adoption-in, and with it where the other flags forbid the profile."""
    if limits:
        b.settings = replace(b.settings, adoption_in=frozenset({"team-b"}), limits=Limits(**limits))
        b.start()
    subnets = [*b.world.private_subnets]
    b.world.add_profile("demo", "free", b.world.roles["good"], [{"namespace": "shop"}], subnets=subnets)
    writes(b)
    b.apply("free", "team-b", selectors=[{"namespace": "shop"}], adoptionPolicy="Adopt")
    b.run(1500)
    assert b.stalled("free", "team-b")
    leave(b, "free")
    assert OWNER_KEY not in b.profiles()["free"]["tags"]


def test_7_a_status_that_claims_a_profile(b: Bench) -> None:
    """With /status granted by mistake: the claim wins nothing that is tagged for somebody."""
    roles = [each for each in yaml.safe_load_all((ROOT / "rbac.yaml").read_text()) if each["kind"] == "ClusterRole"]
    for role in roles:
        if role["metadata"]["name"] != "fargate-operator":
            assert "status" not in json.dumps(role["rules"])
    arn = b.profiles()["web"]["fargateProfileArn"]
    b.apply("web", "team-b")
    b.run(30)
    b.api.edit("fargateprofiles", "team-b", "web", {"status": {"profileName": "web", "profileArn": arn}})
    writes(b)
    b.run(1500)
    leave(b, "web")
    assert untouched(b)


def test_8_the_name_of_another_s_object(b: Bench) -> None:
    writes(b)
    b.apply("web", "team-b")
    b.run(1500)
    assert b.reason("web", "team-b") == "NameTaken"
    assert writes(b) == []
    leave(b, "web")
    assert untouched(b)


def test_9_objects_that_fail_hold_up_nobody(b: Bench) -> None:
    for number in range(10):
        b.apply(f"bad-{number}", "team-b", podExecutionRoleArn=b.world.roles["no-trust"], clusterName=f"none-{number}")
        b.apply(f"worse-{number}", "team-b", tags={"aws:x": "y"})
    b.manners.fail("*", error("ServerException", 500), times=10**6, cluster="none-3")
    b.apply("api", "team-a")
    b.run(120)
    assert b.ready("api", "team-a")


def test_9_names_without_end_fill_no_memory(b: Bench) -> None:
    """Clusters that are not there, or forbidden, and roles that nobody has."""
    for number in range(10):
        cluster, role = f"none-{number}", f"{ROLES}none-{number}"
        if number % 2:
            b.manners.fail("*", error("AccessDeniedException", 403, "not authorized"), times=10, cluster=cluster)
        b.apply("mine", "team-b", clusterName=cluster, podExecutionRoleArn=role)
        b.run(20)
        leave(b, "mine", seconds=700)
    known = b.reconciler._clusters._known
    assert [name for name, each in known.items() if not each.forgettable] == [f"/{b.world.region}/demo"]
    assert not [
        name for name in known if name.rpartition("/")[2] in {f"none-{number}" for number in range(1, 10, 2)}
    ], "none is forbidden"
    facts = b.site.known
    for number in range(FACTS_KEPT + 100):
        facts.facts("demo", ProfileSpec(f"{ROLES}none-{number}", frozenset()))
    assert len(facts._said) <= FACTS_KEPT + 2


def test_10_lines_of_the_log_and_names_in_metrics(b: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fargate")
    b.apply("mine", "team-b")
    b.apply("none", "team-b", clusterName="secret-name")
    b.run(300)
    b.edit("mine", "team-b", tags={"x\n2026-01-01 00:00:00,000 INFO fargate done action=Deleted": "y"})
    b.run(60)
    told = [Lines("%(message)s").format(record) for record in caplog.records]
    assert any("fargate done action=Deleted" in line for line in told)
    assert all("\n" not in line and "\r" not in line for line in told)
    labels = {
        value for family in b.metrics.registry.collect() for each in family.samples for value in each.labels.values()
    }
    assert not labels & {"mine", "team-b", "secret-name", "web", "team-a"}


# 11: what the objects of one namespace are told of those of another, where --selector-namespaces=own

SECRET = {"namespace": "tiramisu", "object": "panettone", "profile": "cassata", "mine": "cannolo"}


def told(b: Bench, namespace: str) -> str:
    """Return all that somebody who reads one namespace is told by its objects and events.

    But for the profile that the spec of an object `guess` names: of that one it knows.
    """
    said = [(each["metadata"], each.get("status")) for each in b.api.objects("fargateprofiles")]
    said += [(each["regarding"], each["note"]) for each in b.api.objects("events")]
    ours = [(about["name"], json.dumps(what)) for about, what in said if about["namespace"] == namespace]
    return "\n".join(text.replace(SECRET["profile"], "") if name == "guess" else text for name, text in ours)


def names_in(text: str) -> set[str]:
    return {name for name in SECRET.values() if name in text}


def logged(caplog: pytest.LogCaptureFixture, reason: str) -> set[str]:
    """Return the names that the log has in lines of a reason."""
    said = [Lines("%(message)s").format(record) for record in caplog.records]
    return set().union(*(names_in(line) for line in said if reason in line))


@pytest.fixture
def other(b: Bench, caplog: pytest.LogCaptureFixture) -> Bench:
    """Let another tenant have a profile that selects pods of all, made before the flag was set."""
    caplog.set_level("INFO", "fargate")
    b.apply(SECRET["object"], SECRET["namespace"], profileName=SECRET["profile"], selectors=[{"namespace": "*"}])
    b.run(200)
    assert b.ready(SECRET["object"], SECRET["namespace"])
    own(b)
    b.run(1)
    caplog.clear()
    return b


def mine(b: Bench, name: str = "mine", **spec: Any) -> None:
    b.apply(name, "team-b", selectors=[{"namespace": "team-b"}], **spec)


def test_11_whose_profiles_overlap(other: Bench, caplog: pytest.LogCaptureFixture) -> None:
    mine(other)
    mine(other, "second")
    other.run(200)
    assert other.ready("mine", "team-b")
    said = other.condition("Overlapping", "mine", "team-b")["message"]
    assert (
        "profile mine and second (made for team-b/second), one of others: EKS takes the first by name, one of" in said
    )
    assert names_in(told(other, "team-b")) == set()
    assert logged(caplog, "Overlapping") >= {SECRET["object"], SECRET["namespace"], SECRET["profile"]}


def test_11_who_has_a_name(other: Bench, caplog: pytest.LogCaptureFixture) -> None:
    mine(other, "guess", profileName=SECRET["profile"])
    other.run(60)
    assert other.reason("guess", "team-b") == "NameTaken"
    assert "made for an object of another namespace: have that object deleted" in other.message("guess", "team-b")
    assert names_in(told(other, "team-b")) == set()
    assert logged(caplog, "NameTaken") >= {SECRET["object"], SECRET["namespace"]}
    other.delete("guess", "team-b")
    other.delete(SECRET["object"], SECRET["namespace"])
    other.run(2)
    mine(other, "guess", profileName=SECRET["profile"])
    other.run(2)
    assert other.reason("guess", "team-b") == "WaitingForName"
    assert names_in(told(other, "team-b")) == set()
    assert logged(caplog, "WaitingForName") >= {SECRET["object"], SECRET["namespace"]}


def test_11_who_has_the_turn(other: Bench, caplog: pytest.LogCaptureFixture) -> None:
    name = {"profileName": SECRET["mine"], "selectors": [{"namespace": SECRET["namespace"]}]}
    other.apply("next", SECRET["namespace"], **name)
    other.apply("last", SECRET["namespace"], selectors=[{"namespace": SECRET["namespace"]}])
    other.run(2)
    mine(other)
    said = set[str]()
    for _ in range(200):
        other.run(1)
        said.add(re.sub(r"since \S+,", "since then,", other.message("mine", "team-b")))
        assert names_in(told(other, "team-b")) == set()
    assert other.ready("mine", "team-b")
    assert any("a profile of others is CREATING, seen since then, and this one waits" in each for each in said), said
    assert logged(caplog, "WaitingForTurn") >= {SECRET["mine"]}


def test_11_one_s_own_are_named(other: Bench) -> None:
    mine(other, "first")
    mine(other, "second")
    other.run_until("it waits", lambda: other.reason("second", "team-b") == "WaitingForTurn")
    assert "profile first is CREATING" in other.message("second", "team-b")


ANSWERS = {
    "of EKS": error(
        "ResourceInUseException", 409, f"Cannot create Fargate Profile mine because cluster demo currently has Fargate "
        f"profile {SECRET['profile']} in status CREATING"),
    "of the way to AWS": REFUSED,
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "answer"), [("CreateFargateProfile", "of EKS"), ("DescribeFargateProfile", "of the way to AWS")]
)
def test_11_what_an_answer_of_aws_names(other: Bench, call: str, answer: str, caplog: pytest.LogCaptureFixture) -> None:
    other.start()
    other.manners.fail(call, ANSWERS[answer], times=10)
    mine(other)
    said = ""
    for _ in range(30):
        other.run(1)
        said += told(other, "team-b")
    assert "(one of others)" in said and names_in(said) == set()
    assert SECRET["profile"] in logged(caplog, "failed")


def test_11_what_becomes_of_a_profile_that_was_given_to_another(other: Bench, caplog: pytest.LogCaptureFixture) -> None:
    mine(other)
    other.run(200)
    tags = other.profiles()["mine"]["tags"] | {OWNER_KEY: f"{SECRET['namespace']}/{SECRET['object']}"}
    other.world.set_tags("demo", "mine", tags)
    other.delete("mine", "team-b")
    other.run(700)
    assert other.gone("mine", "team-b")
    assert "ProfileLeft" in other.events("Warning", "mine")
    assert names_in(told(other, "team-b")) == set()
    assert logged(caplog, "ProfileLeft") == {SECRET["object"], SECRET["namespace"]}


MINE = Resource(replace(SPEC, selectors=frozenset({selector("default", {})})), {})


def test_11_what_plan_says() -> None:
    tags = {OWNER_KEY: f"{SECRET['namespace']}/{SECRET['object']}", CONTROLLER_KEY: "uid-1"}
    view = View(True, {"web": replace(profile(), tags=tags)}, 0.0)
    frank = case(view=view, resource=MINE)
    discreet = case(view=view, settings=Settings("demo", limits=Limits(own_namespace=True, home="demo")), resource=MINE)
    said, hushed = (foresee(each, lambda _: GOOD, lambda: Network(None))[1].message for each in (frank, discreet))
    assert names_in(said) == {SECRET["namespace"], SECRET["object"]} and names_in(hushed) == set()


THEIRS = (SECRET["namespace"], SECRET["object"], SECRET["profile"])


def made_by_them(b: Bench) -> None:
    """Make a profile of theirs that selects all pods, as one that was made before the flag was set."""
    tags = {OWNER_KEY: "/".join(THEIRS[:2]), CONTROLLER_KEY: b.kube.namespace_uid("kube-system")}
    subnets = [*b.world.private_subnets]
    b.world.add_profile("demo", THEIRS[2], b.world.roles["good"], [{"namespace": "*"}], subnets, tags=tags)


def given_to_them(b: Bench) -> None:
    for name in {"mine", "second"} & b.profiles().keys():
        b.world.set_tags("demo", name, b.profiles()[name]["tags"] | {OWNER_KEY: "/".join(THEIRS[:2])})


def if_there(b: Bench, namespace: str, name: str, deed: Callable[[str, str], object]) -> None:
    if not b.gone(name, namespace):
        deed(name, namespace)


DEEDS: dict[str, Callable[[Bench], object]] = {
    "apply": mine,
    "apply a second": lambda b: mine(b, "second"),
    "want their profile's name": lambda b: mine(b, "guess", profileName=THEIRS[2]),
    "replace": lambda b: mine(b, updatePolicy="Replace", tags={"a": "b"}),
    "suspend": lambda b: mine(b, suspend=True),
    "delete": lambda b: if_there(b, "team-b", "mine", b.delete),
    "they apply": lambda b: b.apply(THEIRS[1], THEIRS[0], selectors=[{"namespace": THEIRS[0]}]),
    "they delete": lambda b: if_there(b, THEIRS[0], THEIRS[1], b.delete),
    "theirs is tagged so": given_to_them,
    "EKS is busy": lambda b: b.manners.fail("CreateFargateProfile", ANSWERS["of EKS"], times=2),
    "AWS is away": lambda b: b.manners.fail("*", REFUSED, times=5),
    "start anew": lambda b: b.start(),
}


@settings(max_examples=15, deadline=None, phases=[Phase.generate])  # to shorten one takes minutes
@given(st.lists(st.tuples(st.sampled_from([*DEEDS]), st.integers(1, 60)), min_size=5, max_size=14))
def test_11_whatever_happens_no_object_is_told_a_name_of_another_namespace(deeds: list[tuple[str, int]]) -> None:
    with bench() as b:
        own(b)
        made_by_them(b)
        for deed, seconds in deeds:
            DEEDS[deed](b)
            b.run(seconds)
            assert names_in(told(b, "team-b")) == set(), (deed, told(b, "team-b"))


@pytest.mark.parametrize("listed", [(), ("default",), ("shop",)])
def test_12_pods_of_others_go_only_where_the_operator_lists_their_namespace_and_the_object_s(
    listed: tuple[str, ...],
) -> None:
    with world() as w:
        w.b.settings = replace(w.b.settings, evict_in=frozenset(listed))
        w.restart()
        w.looks(4)
        assert w.evictions() == 0
        w.b.settings = replace(w.b.settings, evict_in=frozenset({"default", "shop"}))
        w.restart()
        w.looks(4)
        assert w.evictions() == 1, "else nothing was tried"


def test_12_where_a_profile_of_others_could_take_a_pod_too_they_must_allow_it() -> None:
    with world() as w:
        w.b.apply("theirs", "depot", selectors=[{"namespace": "shop"}])
        w.b.run(200)
        w.restart()
        w.looks(4)
        assert w.evictions() == 0
        w.b.edit("theirs", "depot", strandedPods="Evict")
        w.b.run(120)
        w.looks(4)
        assert w.evictions() == 1, "else nothing was tried"


def test_12_no_condition_names_a_pod_of_another_namespace() -> None:
    with world(strandedPods="Report") as w:
        w.b.api.may_list_pods, w.b.looking = True, True
        w.b.run(1300)
        told = w.b.condition("PodsStranded")["message"]
        assert "1 pod (1 of other namespaces) stranded" in told
        assert not [each["metadata"]["name"] for each in w.pods() if each["metadata"]["name"] in told]


def test_each_line_of_the_threat_model_is_tried_here() -> None:
    told = section("docs/tenancy.md", "# Tenancy")
    lines = {int(number) for number in re.findall(r"^(\d+)\. ", told, re.M)}
    tried = {int(found[1]) for name in globals() if (found := re.match(r"test_(\d+)_", name))}
    assert lines == tried == set(range(1, 13))


def test_the_block_for_shared_clusters_makes_flags_rbac_and_iam_tight(tmp_path: Path) -> None:
    """Its commands are run as they stand there, but for kubectl, which has nobody to talk to."""
    block = section("docs/tenancy.md", "## Shared clusters").partition("```bash\n")[2].partition("```")[0]
    for name in ("kustomization.yaml", "rbac.yaml", "IAMPolicy.json"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    subprocess.run(["bash", "-euc", f"kubectl() {{ :; }}\n{block}"], cwd=tmp_path, check=True, timeout=60)
    kustomization = yaml.safe_load((tmp_path / "kustomization.yaml").read_text())
    assert kustomization["namespace"] == "fargate-operator"
    (arguments,) = (each["value"] for each in yaml.safe_load(kustomization["patches"][0]["patch"]))
    limits = config.limits(config.flags({}).parse_args(arguments), "my-cluster")
    assert limits == Limits(
        frozenset({f"{ROLES.replace('123456789012', '111122223333')}fargate-pods-*"}), True, "my-cluster"
    )
    roles = {
        each["metadata"]["name"]: each for each in yaml.safe_load_all((tmp_path / "rbac.yaml").read_text()) if each
    }
    before = {each["metadata"]["name"]: each for each in yaml.safe_load_all((ROOT / "rbac.yaml").read_text()) if each}
    assert "labels" not in roles["fargateprofiles-edit"]["metadata"]
    assert roles["fargateprofiles-edit"]["rules"] == before.pop("fargateprofiles-edit")["rules"]
    assert roles.items() > before.items(), "the others are as they were"
    policy = json.loads((tmp_path / "IAMPolicy.tight.json").read_text())
    resources = {each["Sid"]: each["Resource"] for each in policy["Statement"]}
    assert resources["HandPodExecutionRolesToFargate"].endswith(":111122223333:role/fargate-pods-*")
    assert "eks:*" not in json.dumps([*resources.values()])
    assert len(policy["Statement"]) == len(json.loads((ROOT / "IAMPolicy.json").read_text())["Statement"])
