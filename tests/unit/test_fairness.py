"""What one namespace does within its rights costs another little: looks, turns, calls of AWS, events.

Each call takes 50 ms here, of AWS and of the API server, and there is one worker: who waits, waits for real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest

from limits import Limits
from spec import REQUESTED_AT
from tests.fakes.aws import error
from tests.harness import Bench, bench
from tests.unit.test_sizes import leave_room

CALL_SECONDS = 0.05
NOTHING: Callable[[], None] = lambda: None  # noqa: E731 - an attack like the others
OTHER_CLUSTER, SAME_CLUSTER = 2.0, 5.0  # times as long as in a quiet operator, at most


class Neighbours:
    """A bench in which time passes with each call, and somebody acts every so often."""

    def __init__(self, b: Bench) -> None:
        self.b = b
        self.numbers = count()
        b.world.add_cluster("other")

    def slow(self) -> None:
        """Let each call take its time from now on; both of its ends are told."""

        def half() -> None:
            self.b.clock.elapsed += CALL_SECONDS / 2

        self.b.trip = half

    def live(self, seconds: float, act: Callable[[], None], every: float = 0.5) -> None:
        """Let so much time pass, with an act every so often."""
        self.until(lambda: False, seconds, act, every)

    def until(self, happened: Callable[[], bool], seconds: float, act: Callable[[], None], every: float = 0.5) -> float:
        """Return the seconds until it has happened, at most those given."""
        started = self.b.clock.elapsed
        end, next_act = started + seconds, started
        for _ in range(200_000):
            now = self.b.clock.elapsed
            if now >= end or happened():
                return now - started
            if now >= next_act:
                act()
                next_act += every
            if not self.b.step():
                due = self.b.queue.next_due() or end + 1000
                self.b.clock.elapsed = min(max(due - 1000, now + 0.001), max(next_act, now + 0.001), end)
        raise AssertionError("time does not pass")

    def annotate(self, name: str, namespace: str = "tenant") -> None:
        meta = {"annotations": {REQUESTED_AT: str(next(self.numbers))}}
        self.b.api.edit("fargateprofiles", namespace, name, {"metadata": meta})

    def calls_of(self, seconds: float, act: Callable[[], None], every: float = 0.5) -> float:
        """Return how many calls of AWS a second such a time costs."""
        self.b.manners.clear()
        self.live(seconds, act, every)
        return len(self.b.manners.calls) / seconds


@pytest.fixture
def n() -> Iterator[Neighbours]:
    with bench(max_profiles=50) as made:
        yield Neighbours(made)


def time_of_a_victim(n: Neighbours, cluster: str, act: Callable[[], None] = NOTHING) -> float:
    """Return the seconds from an object's apply until its create is sent."""
    n.live(3, act)
    number = next(n.numbers)
    name = f"victim-{number}"
    n.b.apply(name, "victims", clusterName=cluster)
    took = n.until(lambda: name in n.b.profiles(cluster), 120, act)
    assert name in n.b.profiles(cluster), "it waits for ever"
    n.b.edit(name, "victims", deletionPolicy="Delete")
    n.live(90, act)
    return took


def churn(n: Neighbours, objects: int) -> Callable[[], None]:
    names = [f"churn-{number}" for number in range(objects)]
    for name in names:
        n.b.apply(name, "tenant")
    n.b.run(120 * objects)

    def act() -> None:
        for name in names:
            n.annotate(name)

    return act


@pytest.mark.parametrize("objects", [1, 3, 10])
def test_looks_that_are_asked_for_without_end_hold_up_no_neighbour(n: Neighbours, objects: int) -> None:
    act = churn(n, objects)
    n.slow()
    quiet = [time_of_a_victim(n, cluster) for cluster in ("demo", "other")]
    same, other = (time_of_a_victim(n, cluster, act) for cluster in ("demo", "other"))
    assert same <= SAME_CLUSTER * quiet[0], (same, quiet)
    assert other <= OTHER_CLUSTER * quiet[1] + CALL_SECONDS, (other, quiet)


@pytest.mark.parametrize("objects", [1, 5])
def test_looks_that_are_asked_for_without_end_cost_a_call_a_second_at_most(n: Neighbours, objects: int) -> None:
    act = churn(n, objects)
    n.slow()
    n.live(60, act)
    assert n.calls_of(200, act) <= 1.0


def test_an_object_has_a_look_that_it_asks_for_once_in_ten_seconds_and_the_newest_asked_for_is_had(
    n: Neighbours,
) -> None:
    act = churn(n, 1)
    act()
    n.b.run(1)
    act()
    n.b.run(5)
    obj = n.b.get("churn-0", "tenant")
    assert obj["status"]["lastHandledReconcileAt"] != obj["metadata"]["annotations"][REQUESTED_AT], "not had yet"
    n.b.run(20)
    obj = n.b.get("churn-0", "tenant")
    assert obj["status"]["lastHandledReconcileAt"] == obj["metadata"]["annotations"][REQUESTED_AT]
    n.b.manners.clear()
    n.live(60, act)
    assert 2 <= n.b.manners.count("ListFargateProfiles") <= 7
    n.live(60, NOTHING)
    obj = n.b.get("churn-0", "tenant")
    assert obj["status"]["lastHandledReconcileAt"] == obj["metadata"]["annotations"][REQUESTED_AT]


def test_a_look_is_handled_by_one_that_began_after_it_was_asked_for_whoever_asked_for_that(n: Neighbours) -> None:
    churn(n, 3)
    n.b.manners.clear()
    for number in range(3):
        n.annotate(f"churn-{number}")
    n.b.run(30)
    assert n.b.manners.count("ListFargateProfiles") == 1
    for number in range(3):
        obj = n.b.get(f"churn-{number}", "tenant")
        assert obj["status"]["lastHandledReconcileAt"] == obj["metadata"]["annotations"][REQUESTED_AT]


def test_edits_without_end_of_what_is_refused_cost_a_call_a_second_at_most(n: Neighbours) -> None:
    for number in range(5):
        n.b.apply(f"wrong-{number}", "tenant", subnets=[f"subnet-0000000{number}"])
    n.b.run(60)
    n.slow()

    def act() -> None:
        for number in range(5):
            subnet = f"subnet-{next(n.numbers):08x}"
            n.b.edit(f"wrong-{number}", "tenant", subnets=[subnet])

    n.live(60, act)
    assert n.calls_of(200, act) <= 1.0
    n.live(400, NOTHING)
    assert n.b.reason("wrong-0", "tenant") == "SubnetNotFound"
    last = n.b.get("wrong-0", "tenant")
    assert last["spec"]["subnets"][0] in n.b.message("wrong-0", "tenant"), "the last edit is judged"


def test_of_an_edit_that_waits_since_its_namespace_had_too_many_is_said_why_and_once(n: Neighbours) -> None:
    n.b.apply("wrong", "tenant", subnets=["subnet-00000000"])
    n.b.apply("other", "tenant", subnets=["subnet-00000001"])
    n.b.run(60)
    n.slow()
    n.live(120, lambda: n.b.edit("wrong", "tenant", subnets=[f"subnet-{next(n.numbers):08x}"]))
    n.b.edit("other", "tenant", subnets=["subnet-000000ff"])
    n.live(5, NOTHING)
    (told,) = [note for note in n.b.notes("Warning", "other") if "share of AWS calls" in note]
    assert "namespace tenant" in told
    assert "within 10 minutes" in told
    n.live(600, NOTHING)
    assert "subnet-000000ff" in n.b.message("other", "tenant")
    assert [note for note in n.b.notes("Warning", "other") if "share of AWS calls" in note] == [told]


def name_missing_clusters(n: Neighbours, objects: int) -> None:
    for number in range(objects):
        n.b.apply(f"lost-{number}", "tenant", clusterName=f"missing-{number}")


def test_hundreds_of_objects_that_name_clusters_which_are_not_there_hold_up_no_neighbour(n: Neighbours) -> None:
    n.slow()
    quiet = time_of_a_victim(n, "demo")
    name_missing_clusters(n, 200)
    assert time_of_a_victim(n, "demo") <= OTHER_CLUSTER * quiet + CALL_SECONDS
    n.live(300, NOTHING)
    assert n.calls_of(300, NOTHING) <= 1.0 + 0.1, "and one that serves has its own looks"
    assert n.b.reason("lost-199", "tenant") == "ClusterNotFound"


def test_all_who_name_a_cluster_that_is_not_there_share_one_look(n: Neighbours) -> None:
    n.b.manners.clear()
    for number in range(50):
        n.b.apply(f"lost-{number}", "tenant", clusterName="missing")
    n.b.run(5)
    assert {n.b.reason(f"lost-{number}", "tenant") for number in range(50)} == {"ClusterNotFound"}
    assert n.b.manners.count("ListFargateProfiles") == 1


def test_a_cluster_that_was_named_before_it_was_there_is_found_at_once_by_an_object_that_comes_then(
    n: Neighbours,
) -> None:
    n.b.apply("early", "tenant", clusterName="late")
    n.b.run(700)
    n.b.world.add_cluster("late")
    n.b.apply("fresh", "victims", clusterName="late")
    n.b.run(1)
    assert n.b.reason("fresh", "victims") == "Creating"


def test_one_that_is_mended_among_many_that_are_refused_is_looked_at_at_once(n: Neighbours) -> None:
    name_missing_clusters(n, 300)
    n.slow()
    n.live(120, NOTHING)
    n.b.edit("lost-7", "tenant", clusterName="demo")
    assert n.until(lambda: "lost-7" in n.b.profiles(), 60, NOTHING) < 10


def test_flips_of_suspend_write_status_once_a_second_at_most_and_post_few_events(n: Neighbours) -> None:
    n.b.apply("flip", "tenant")
    n.b.run(120)
    before, flips = int(n.b.get("flip", "tenant")["metadata"]["resourceVersion"]), count()
    events = len(n.b.events(name="flip"))

    def act() -> None:
        n.b.edit("flip", "tenant", suspend=next(flips) % 2 == 0)

    n.live(120, act, every=0.25)
    writes = int(n.b.get("flip", "tenant")["metadata"]["resourceVersion"]) - before
    posted = len(n.b.events(name="flip")) - events
    assert writes - 480 - posted <= 121, "480 are the flips themselves"
    assert posted <= 26
    n.b.edit("flip", "tenant", suspend=False)
    n.b.run(10)
    assert n.b.ready("flip", "tenant")


def test_who_makes_many_profiles_shares_the_turns_with_who_makes_one(n: Neighbours) -> None:
    for number in range(6):
        n.b.apply(f"many-{number}", "tenant")
    n.b.run(10)
    n.b.apply("one", "victims")
    n.b.run(140)
    made = [name for name in n.b.profiles() if name != "one"]
    assert "one" in n.b.profiles()
    assert len(made) <= 3, "it had the second turn that came"


# Where these meet


def refused_for_a_quota(n: Neighbours) -> None:
    """Let the tenant's object be refused, and what is in its way be mended since."""
    n.b.manners.max_profiles = 1
    n.b.apply("x", "victims")
    n.b.run(90)
    n.b.apply("q", "tenant")
    n.b.run(700)
    assert n.b.reason("q", "tenant") == "QuotaExceeded"
    n.b.manners.max_profiles = 50


@pytest.mark.parametrize("owes", [False, True])
def test_who_is_first_in_line_comes_for_its_turn_whatever_its_namespace_owes(n: Neighbours, owes: bool) -> None:
    refused_for_a_quota(n)
    n.b.apply("v0", "victims")
    n.b.run(5)
    n.b.apply("v1", "victims")
    n.b.run(52)
    n.b.queue.add(("tenant", "q"))
    n.b.run(1)
    if owes:
        n.b.reconciler._thrift.calls.spend(("tenant", False), 300, n.b.clock.monotonic())
    n.b.run_until("the next turn is taken", lambda: {"q", "v1"} & {*n.b.profiles()}, 12)
    n.b.run(200)
    assert {"q", "v1"} <= {*n.b.profiles()}


def test_who_waits_for_a_profile_without_an_owner_sees_it_settled_whatever_its_namespace_owes(n: Neighbours) -> None:
    refused_for_a_quota(n)
    n.b.apply("nobody-s", "victims")
    n.b.run(5)
    n.b.delete("nobody-s", "victims")
    n.b.api.edit("fargateprofiles", "victims", "nobody-s", {"metadata": {"finalizers": []}})
    n.b.run(1)
    assert n.b.gone("nobody-s", "victims")
    n.b.queue.add(("tenant", "q"))
    n.b.run(12)
    assert "q" not in n.b.profiles()
    n.b.reconciler._thrift.calls.spend(("tenant", False), 300, n.b.clock.monotonic())
    n.b.run_until("it has its turn", lambda: "q" in n.b.profiles(), 100)


def test_whose_name_has_become_free_is_looked_at_whatever_its_namespace_owes(n: Neighbours) -> None:
    n.b.apply("web", "victims")
    n.b.run(90)
    n.b.apply("web", "tenant")
    n.b.run(90)
    assert n.b.reason("web", "tenant") == "NameTaken"
    n.b.reconciler._thrift.calls.spend(("tenant", False), 300, n.b.clock.monotonic())
    n.b.delete("web", "victims")
    n.b.run(140)
    assert n.b.gone("web", "victims")
    assert n.b.reason("web", "tenant") in {"Creating", "Active"}


def test_those_who_wait_for_their_look_do_not_come_all_at_once_for_each(n: Neighbours) -> None:
    name_missing_clusters(n, 100)
    n.b.informer.run_once()
    passes = 0
    n.live(60, NOTHING)
    n.b.manners.clear()
    end = n.b.clock.elapsed + 60
    for _ in range(20_000):
        if n.b.clock.elapsed >= end:
            break
        if n.b.controller.run_once():
            passes += 1
        else:
            n.b.clock.elapsed = max(n.b.clock.elapsed + 0.001, (n.b.queue.next_due() or end) - 1000)
    assert passes < 150, "half a call a second is theirs"


def test_a_look_that_was_asked_for_while_an_older_one_went_on_is_had_soon(n: Neighbours) -> None:
    for name in ("x", "y"):
        n.b.settle(name)
    n.b.run(100)
    n.annotate("x", "default")
    n.b.manners.fail("DescribeFargateProfile", error("ThrottlingException", 429, "slow"), times=1)
    n.b.step()
    n.b.clock.elapsed += 0.2
    n.annotate("y", "default")
    n.b.run(60)
    obj = n.b.get("y")
    assert obj["status"]["lastHandledReconcileAt"] == obj["metadata"]["annotations"][REQUESTED_AT]


def test_those_who_were_told_that_a_cluster_is_missing_look_less_and_less_often(n: Neighbours) -> None:
    for number in range(30):
        n.b.apply(f"lost-{number}", "tenant", clusterName="missing")
        n.b.run(7)
    n.b.run(600)
    n.b.manners.clear()
    n.b.run(600)
    assert n.b.manners.count("ListFargateProfiles") <= 6, "of the missing cluster and of the operator's own"


def test_one_that_names_another_cluster_leaves_the_line_at_once(n: Neighbours) -> None:
    n.b.apply("x", "victims")
    n.b.run(2)
    n.b.apply("t", "tenant")
    n.b.run(2)
    n.b.apply("v", "victims")
    n.b.run(50)
    n.b.edit("t", "tenant", clusterName="missing")
    n.b.run_until("the next in line has its turn", lambda: "v" in n.b.profiles(), 15)


def test_an_object_without_room_is_as_silent_as_any_other(n: Neighbours, caplog: pytest.LogCaptureFixture) -> None:
    n.b.settings = replace(n.b.settings, limits=Limits(own_namespace=True, home="demo"))
    n.b.start()
    n.b.apply("api", "others", profileName="web", selectors=[{"namespace": "others"}])
    n.b.run(90)
    n.b.apply("web", selectors=[{"namespace": "default"}], suspend=True)
    n.b.run(30)
    n.b.edit(suspend=False)
    leave_room(n.b, 500)
    n.b.run(60)
    assert (n.b.reason(), "too large for more" in n.b.message()) == ("NameTaken", True)
    caplog.set_level("INFO")
    caplog.clear()
    n.b.run(3000)
    assert [each for each in caplog.messages if "NameTaken" in each] == []


def test_a_missing_cluster_stays_stalled_over_a_restart_where_there_is_no_room_to_say_so(n: Neighbours) -> None:
    n.b.apply("web", clusterName="missing", suspend=True)
    n.b.run(30)
    n.b.edit(suspend=False)
    leave_room(n.b, 400)
    n.b.run(2000)
    assert n.b.stalled()
    assert "too large for more" in n.b.message()
    n.b.start()
    n.b.run(30)
    assert n.b.stalled()
