"""The simulation in small: some of the stories' cases, some random worlds that are always the same, and new ones."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from entries import Entry
from spec import FINALIZER, Defaults
from tests.fakes.eks import METHODS, Memory
from tests.simulation.checker import PLURAL, Violation, l2_nobody_who_is_due_is_passed_over, owner_tags
from tests.simulation.deeds import YES
from tests.simulation.fleet import EU, REGION
from tests.simulation.oracle import complaints
from tests.simulation.scenarios import BY_TAG, STORIES, begin, made_by_defaults, play
from tests.simulation.world import Look, World
from tests.simulation.worlds import live

ROOT = Path(__file__).parents[2]
SIMULATION = (sys.executable, "-m", "tests.simulation")
SECONDS = 800.0  # for the longest of the runs, which takes half a minute where nothing else does
pytestmark = pytest.mark.timeout(SECONDS + 100)


def simulate(*arguments: str) -> str:
    """Run the simulation as a command and return what it says; a broken promise fails the test with its history."""
    command = [*SIMULATION, "--partial", "--parent", str(os.getpid()), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, f"{' '.join(command[1:])}\n{done.stdout[-20000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_no_promise_breaks_in_a_part_of_the_stories_cases() -> None:
    assert "crashes" in simulate("--every", "291", "--seeds", "0", "--specs", "0")


def test_no_promise_breaks_in_worlds_that_are_the_same_each_time() -> None:
    simulate("--every", "0", "--seeds", "40", "--specs", "40")


def test_no_promise_breaks_in_new_worlds() -> None:
    first = random.SystemRandom().randrange(10**6)
    print(f"seeds from {first} on")
    simulate("--every", "0", "--first-seed", str(first), "--seeds", "15", "--specs", "15")


@pytest.mark.parametrize("seed", [3, 4])
def test_a_seed_makes_the_same_world_each_time(seed: int) -> None:
    first, second = ([(at, who, str(what)) for at, who, what in live(seed).world.history] for _ in range(2))
    assert first == second


def test_every_story_ends_well_when_nothing_goes_wrong() -> None:
    for name in STORIES:
        play(begin(), name)


@pytest.mark.parametrize(
    ("story", "creates"),
    [
        ("a subnet is added", 1),
        ("a tag moves", 2),
        ("a tag of a default moves", 2),
        ("defaults go and what serves stays", 1),
        ("defaults change and an edit takes them up", 2),
        ("defaults change and a look takes them up", 2),
    ],
)
def test_a_profile_is_made_anew_once_for_a_tag_that_moves_or_an_edit_and_for_nothing_else(
    story: str, creates: int
) -> None:
    world = begin()
    play(world, story)
    assert world.calls["CreateFargateProfile"] == creates


def test_a_default_that_has_changed_is_taken_up_by_an_edit_and_not_before() -> None:
    world = begin()
    made_by_defaults(world, updatePolicy="Replace")
    old, new = world.account.roles["good"], world.account.roles["inline-policy"]
    world.fleet.start_with(Defaults("fargate-inline-policy", BY_TAG))
    world.run(900)
    assert [each["podExecutionRoleArn"] for each in world.account.profiles("demo")] == [old]
    world.edit(tags={"a": "x"})
    world.settle()
    assert [each["podExecutionRoleArn"] for each in world.account.profiles("demo")] == [new]


def test_a_run_that_was_started_with_signals_blocked_can_be_ended_all_the_same() -> None:
    """Its pool ends the workers by SIGTERM, and would wait for them for ever."""
    script = """
import signal
import tests.simulation.__main__ as simulation
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
simulation.everything = lambda _: print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
simulation.main([])
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=SECONDS)
    assert done.stdout == "set()\n"


def test_a_world_that_hangs_is_named_with_the_place_where_it_does() -> None:
    script = """
import time
import tests.simulation.__main__ as simulation
simulation.WORLD_SECONDS, simulation.live = 1, lambda seed: time.sleep(600)
simulation.prepare()
print(*simulation.run(("seed", [17])).failures)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=SECONDS)
    assert "a world has not ended within 1 s\nreplay: python -m tests.simulation --seed 17\n" in done.stdout
    assert "outcome = live(seed)" in done.stdout


# Processes whose own end is not enough: what they have started has to end with them.
PARENTS = {
    "a suite that runs the simulation": f"""
import os, subprocess
endless = [*{SIMULATION}, "--every", "0", "--specs", "0", "--seeds", "1000000", "--processes", "2"]
subprocess.run([*endless, "--parent", str(os.getpid())], timeout={SECONDS})
""",
    "a simulation whose worlds hang": """
import multiprocessing
from tests.simulation.__main__ import prepare
with multiprocessing.Pool(2, prepare) as pool:
    pool.map(exec, ["print('at work', flush=True); import time; time.sleep(600)"] * 2)
""",
}


@pytest.mark.parametrize("parent", PARENTS)
def test_nothing_stays_behind_of_what_is_killed(parent: str) -> None:
    command = (sys.executable, "-c", PARENTS[parent])
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        try:
            assert select.select([process.stdout], [], [], SECONDS / 4)[0], "it says when its workers are there"
            process.kill()
            said, _ = process.communicate(timeout=30)  # the end of the pipe: nobody is left who could write to it
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert b"at work" in said


class TestTheCheckerSees:
    """A checker that never objects would pass everything: each promise is broken here by hand."""

    @staticmethod
    def served() -> World:
        world = begin()
        world.apply()
        world.run(30)
        return world

    def test_a_profile_without_its_object(self) -> None:
        world = self.served()
        world.api.edit(PLURAL, "default", "web", {"metadata": {"finalizers": None}})
        with pytest.raises(Violation, match="S1: profile web outlives"):
            world.checker.look()

    def test_an_object_gone_before_its_profile(self) -> None:
        world = self.served()
        world.api.edit(PLURAL, "default", "web", {"metadata": {"finalizers": None}})
        world.api.delete(PLURAL, "default", "web")
        with pytest.raises(Violation, match="S3: object default/web is gone"):
            world.checker.look()

    def test_a_change_of_a_profile_of_somebody_else(self) -> None:
        world = self.served()
        world.account.set_tags("demo", "web", owner_tags(("default", "another")))
        with pytest.raises(Violation, match="S2: UntagResource"):
            self.ask(world, "untag_resource", resourceArn=self.arn(world.account), tagKeys=["a"])

    def test_a_create_while_one_is_known_to_be_in_flight(self) -> None:
        world = begin()
        world.apply()
        world.run(2)
        with pytest.raises(Violation, match="S4: one sends CreateFargateProfile"):
            self.ask(world, "create_fargate_profile", clusterName="demo", fargateProfileName="b",
                     podExecutionRoleArn="x", selectors=[])  # fmt: skip

    def test_a_create_that_says_something_else_than_the_object(self) -> None:
        world = self.served()
        with pytest.raises(Violation, match="S5: CreateFargateProfile demo/b was sent without a mark"):
            self.ask(world, "create_fargate_profile", clusterName="demo", fargateProfileName="b",
                     podExecutionRoleArn="x", selectors=[])  # fmt: skip

    def test_a_finalizer_of_somebody_else_taken_off(self) -> None:
        world = begin()
        world.apply(finalizers=("another.example/finalizer",))
        world.run(2)
        world.api.edit(PLURAL, "default", "web", {"metadata": {"finalizers": [FINALIZER]}})
        with pytest.raises(Violation, match=r"Finalizers: one takes another\.example/finalizer off"):
            world.checker.look(world.processes[0])

    def test_one_that_is_due_while_others_are_looked_at_time_and_again(self) -> None:
        world = self.served()
        process = world.processes[0]
        process.queue.add(("default", "web"))
        for _ in range(12):
            l2_nobody_who_is_due_is_passed_over(process, ("team", "churn"))
        with pytest.raises(Violation, match="L2: default/web is due, and 13 looks went to others"):
            l2_nobody_who_is_due_is_passed_over(process, ("team", "churn"))

    def test_a_world_that_is_never_as_it_should_be(self) -> None:
        world = self.served()
        world.processes[0].alive = False
        world.delete()
        with pytest.raises(Violation, match="L1: default/web: it should be gone"):
            world.settle()

    @staticmethod
    def stranded() -> World:
        """Return a world with a pod that was seen to wait, and whose profile was seen to be ACTIVE, for long enough."""
        world = begin()
        world.resync_seconds = 60
        world.with_pods().owner("web", "app")
        world.start("one")
        world.apply()
        world.run(200)
        return world

    @staticmethod
    def evict(world: World, pins: tuple[str, ...] = ("uid", "resourceVersion"), began: float = 0.0) -> None:
        """Evict the world's pod as a process would whose look began so long after it was shown the profile."""
        process, pod = world.processes[0], world.api.objects("pods")[0]["metadata"]
        process.shown.look(process.known_at["demo", "web"] + began)
        options = {"preconditions": {name: pod[name] for name in pins}}
        body = {"metadata": {"name": pod["name"], "namespace": "web"}, "deleteOptions": options}
        process.kube.send_at("POST", f"/api/v1/namespaces/web/pods/{pod['name']}/eviction", body)

    @staticmethod
    def two_homes(*listed: Entry) -> World:
        world = begin()
        world.fleet.open(*listed)
        world.start("one")
        world.apply(clusterName="eu")
        world.run(30)
        return world

    def test_a_call_to_an_account_that_the_object_s_namespace_is_not_listed_for(self) -> None:
        world = self.two_homes(replace(EU, namespaces=("team",)))
        world.apply(namespace="team", clusterName="eu")
        world.run(30)
        assert [each["fargateProfileName"] for each in world.fleet.beside[EU.place].profiles("demo")] == ["web"]
        with pytest.raises(
            Violation, match="Tenancy: DescribeFargateProfile demo@eu/web of default/web reaches demo@eu"
        ):
            self.ask_there(world, "describe_fargate_profile", clusterName="demo", fargateProfileName="web")

    def test_a_call_to_the_controller_s_own_account_in_the_place_of_another(self) -> None:
        world = self.two_homes()
        with pytest.raises(Violation, match="Tenancy: ListFargateProfiles demo of default/web reaches demo, it may"):
            self.ask(world, "list_fargate_profiles", clusterName="demo")

    def test_an_object_that_goes_where_its_entry_was_led_to_another_region(self) -> None:
        world = self.two_homes()
        world.fleet.write(replace(EU, region=REGION))
        world.run(20)
        world.api.edit(PLURAL, "default", "web", {"metadata": {"finalizers": None}})
        with pytest.raises(Violation, match="S1: profile web outlives"):
            world.checker.look()

    def test_a_profile_that_is_replaced_for_a_subnet_that_was_added(self) -> None:
        world = begin()
        world.fleet.tag(world.account, world.account.private_subnets[0], fargate="yes")
        world.apply(subnets=None, subnetSelectorTerms=YES)
        world.run(300)
        look = Look(("default", "web"), world.processes[0].sites.entries, mark=world.object())
        with pytest.raises(
            Violation, match="Terms: CreateFargateProfile demo/web-2 of default/web, whose profile is as"
        ):
            self.ask(world, "create_fargate_profile", look, clusterName="demo", fargateProfileName="web-2",
                     podExecutionRoleArn="x", selectors=[])  # fmt: skip

    @staticmethod
    def by_defaults(**spec: str) -> tuple[World, Look]:
        """Return a world with a profile that was made by defaults alone, and a pass that has marked a create."""
        world = begin()
        made_by_defaults(world, **spec)
        process = world.processes[0]
        look = Look(("default", "web"), process.sites.entries, mark=world.object(), marked_at=world.clock.elapsed)
        return world, look

    def replace(self, world: World, look: Look) -> None:
        self.ask(world, "create_fargate_profile", look, clusterName="demo", fargateProfileName="web-01234567",
                 podExecutionRoleArn="x", selectors=[])  # fmt: skip

    def test_a_replacement_for_a_subnet_that_was_just_added(self) -> None:
        world, look = self.by_defaults()
        world.fleet.tag(world.account, world.account.private_subnets[1], fargate="yes")
        with pytest.raises(Violation, match="Reason: CreateFargateProfile demo/web-01234567 of default/web, which is"):
            self.replace(world, look)

    def test_a_second_replacement_for_one_tag_that_has_moved(self) -> None:
        world, _ = self.by_defaults(updatePolicy="Replace")
        first, second = world.account.private_subnets
        world.fleet.tag(world.account, second, fargate="yes")
        world.fleet.tag(world.account, first, fargate="")
        world.run(900)
        look = Look(("default", "web"), mark=world.object(), marked_at=world.clock.elapsed)
        [made] = world.account.profiles("demo")
        assert made["subnets"] == [second]
        with pytest.raises(Violation, match=f"is served by {made['fargateProfileName']} as it has asked"):
            self.replace(world, replace(look, entries=world.processes[0].sites.entries))

    def test_a_replacement_for_a_default_that_has_changed(self) -> None:
        world, _ = self.by_defaults()
        world.fleet.start_with(Defaults("fargate-inline-policy", BY_TAG))
        world.run(20)
        look = Look(("default", "web"), world.processes[0].sites.entries, mark=world.object())
        with pytest.raises(Violation, match="Reason: CreateFargateProfile demo/web-01234567 of default/web, which is"):
            self.replace(world, replace(look, marked_at=world.clock.elapsed))

    def test_a_profile_that_is_deleted_to_be_made_anew_though_it_is_as_its_object_asks(self) -> None:
        world, _ = self.by_defaults()
        with pytest.raises(Violation, match="Reason: DeleteFargateProfile demo/web of default/web, which is served"):
            self.ask(world, "delete_fargate_profile", clusterName="demo", fargateProfileName="web")

    def test_a_create_that_leaves_a_default_out(self) -> None:
        world, look = self.by_defaults()
        world.account.delete_profile("demo", "web")
        with pytest.raises(Violation, match=r"S5: the object says {.*'arn:aws:iam::123456789012:role/fargate-pods'"):
            self.replace(world, look)

    def test_a_default_that_has_changed_and_is_not_told_of(self) -> None:
        world, _ = self.by_defaults()
        world.processes[0].alive = False
        world.fleet.flags = Defaults("fargate-inline-policy", BY_TAG)
        assert any("DefaultsChanged says 'nothing'" in each for each in complaints(world))

    def test_a_default_tag_that_is_not_set(self) -> None:
        world, _ = self.by_defaults()
        world.processes[0].alive = False
        world.fleet.flags = Defaults("fargate-pods", BY_TAG, {"d": "x"})
        assert any("wanted are {'d': 'x'" in each for each in complaints(world))

    def test_an_eviction_for_an_object_that_does_not_ask_for_it(self) -> None:
        world = self.stranded()
        with pytest.raises(
            Violation, match="S2: one sends CreateEviction web/app-1: object default/web does not allow"
        ):
            self.evict(world)

    def test_an_eviction_that_names_no_version(self) -> None:
        world = self.stranded()
        with pytest.raises(Violation, match="it names no version of the pod"):
            self.evict(world, ("uid",))

    def test_an_eviction_of_a_pod_that_is_placed(self) -> None:
        world = self.stranded()
        world.api.edit("pods", "web", "app-1", {"spec": {"nodeName": "n"}})
        with pytest.raises(Violation, match="the pod is placed, or about to be"):
            self.evict(world)

    def test_an_eviction_by_profiles_that_were_not_looked_at_anew(self) -> None:
        with pytest.raises(Violation, match="its profile was not looked at anew"):
            self.evict(self.stranded(), began=1.0)

    def test_evictions_of_one_owner_without_end(self) -> None:
        world = begin()
        pods = world.with_pods(misses=1.0)
        pods.owner("web", "app")
        world.start("one")
        world.apply(strandedPods="Evict")

        def forget() -> None:
            world.api.edit(PLURAL, "default", "web", {"status": {"bookkeeping": {"evictions": None}}})

        for number in range(40):
            world.later(50.0 * number + 25.0, forget)
        with pytest.raises(Violation, match="Evictions: 4 pods of one owner"):
            world.run(2000)

    @staticmethod
    def arn(account: Memory) -> str:
        return str(account.profiles("demo")[0]["fargateProfileArn"])

    @staticmethod
    def ask(world: World, method: str, look: Look | None = None, **request: object) -> None:
        """Make a call as a process would whose pass is for the object web."""
        assert method in METHODS["eks"]
        process = world.processes[0]
        process.looks.append(look or Look(("default", "web"), process.sites.entries))
        process.ask(method, dict(request))

    @staticmethod
    def ask_there(world: World, method: str, **request: object) -> None:
        """Make such a call with the keys of the role, where the entry eu leads."""
        process = world.processes[0]
        process.looks.append(Look(("default", "web"), process.sites.entries))
        process.ask(method, dict(request), EU.region, [*world.fleet.sts.given][-1])
