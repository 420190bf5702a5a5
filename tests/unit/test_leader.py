"""What replicas may rely on: one of them acts, and another takes over without two ever acting at once.

Two electors on clocks of their own (monotonic and wall) share one API server; nobody sleeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest

from kube import Kube, KubeError
from leader import HOLD_SECONDS, JUDGED_BY, LEASE_SECONDS, LOOK_SECONDS, Judgement, LeaderElector, LostLease, fenced
from tests.fakes.apiserver import ApiServer
from tests.harness import START, Clock, InProcess

KEY = ("default", "fargate-operator")
PATH = "leases/fargate-operator"
Object = dict[str, Any]


@dataclass
class Replica:
    """One elector; its own clocks are off by `skew` (wall) and `boot` (monotonic) seconds."""

    name: str
    api: ApiServer
    clock: Clock
    skew: float = 0.0
    boot: float = 0.0
    on_call: Callable[[], None] = lambda: None
    flags: str = ""

    def __post_init__(self) -> None:
        leases: Any = Kube(InProcess(self.api, self._around), self.name)
        self.judgement = Judgement(self.flags)
        self.elector = LeaderElector(leases, KEY, self.name, self.monotonic, self.now, lambda: 1.0, self.judgement)
        self.ended = False

    def _around(self) -> None:
        self.on_call()

    def monotonic(self) -> float:
        return self.clock.monotonic() + self.boot

    def now(self) -> datetime:
        return START + timedelta(seconds=self.clock.elapsed + self.skew)

    def step(self) -> None:
        """Do what the process does: one step, unless it has ended; a failed one is tried again."""
        if self.ended:
            return
        try:
            self.elector.step()
        except KubeError:
            pass
        except LostLease:
            self.ended = True

    @property
    def leads(self) -> bool:
        return self.elector.leading()


@dataclass
class Pair:
    api: ApiServer
    clock: Clock
    one: Replica
    two: Replica

    def run(self, seconds: float, *replicas: Replica) -> None:
        """Let time pass in steps of LOOK_SECONDS; never two lead at once."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            for replica in replicas or (self.one, self.two):
                replica.step()
                assert not (self.one.leads and self.two.leads)
            self.clock.elapsed += LOOK_SECONDS
            assert not (self.one.leads and self.two.leads)

    def run_until(self, what: str, happened: Callable[[], object], *replicas: Replica) -> None:
        """Let time pass until it has happened; a Lease that runs out has done so twice by the end."""
        end = self.clock.elapsed + 2 * LEASE_SECONDS + 3 * LOOK_SECONDS
        while not happened():
            assert self.clock.elapsed < end, f"not within two lives of a Lease: {what}"
            self.run(LOOK_SECONDS, *replicas)

    @property
    def spec(self) -> Object:
        lease = self.api.get("leases", *KEY)
        assert lease is not None
        return dict(lease["spec"])


@pytest.fixture
def pair() -> Pair:
    clock = Clock()
    api = ApiServer(now=clock.now)
    return Pair(api, clock, Replica("one", api, clock), Replica("two", api, clock))


def test_the_first_to_look_leads_at_once_and_the_other_stands_by(pair: Pair) -> None:
    pair.run(60)
    assert (pair.one.leads, pair.two.leads) == (True, False)
    assert pair.spec["holderIdentity"] == "one"
    assert pair.spec["leaseTransitions"] == 0


def test_who_stands_by_says_who_holds_the_lease_once_and_again_when_that_changes(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pair.run(30)
    mend = "this process changes nothing until it has the lease"
    by_one = f"standing by: lease default/fargate-operator is held by one; {mend}"
    assert (pair.one.elector.standing_by(), pair.two.elector.standing_by()) == ("", by_one)
    pair.api.edit("leases", *KEY, {"spec": {"holderIdentity": "three"}})
    pair.run(4, pair.two)
    pair.run_until("the second leads", lambda: pair.two.leads, pair.two)
    said = [each.getMessage() for each in caplog.records if "standing by" in each.getMessage()]
    assert said == [by_one, by_one.replace("by one", "by three")]
    assert pair.two.elector.standing_by() == ""


def test_who_has_not_seen_the_lease_yet_stands_by_for_nobody(pair: Pair) -> None:
    assert "is held by nobody yet" in pair.one.elector.standing_by()


def test_a_renewal_is_one_write_without_a_read_and_keeps_the_time_of_the_taking(pair: Pair) -> None:
    pair.run(2, pair.one)
    taken = pair.spec["acquireTime"]
    pair.api.clear_log()
    pair.run(20, pair.one)
    assert {request.method for request in pair.api.log} == {"PUT"}
    assert pair.spec["acquireTime"] == taken
    assert pair.spec["renewTime"] > taken


def test_what_others_wrote_into_the_lease_stays(pair: Pair) -> None:
    pair.run(2, pair.one)
    pair.api.edit("leases", *KEY, {"metadata": {"labels": {"team": "a"}}, "spec": {"strategy": "x"}})
    pair.run(10, pair.one)
    lease = pair.api.get("leases", *KEY) or {}
    assert (lease["metadata"]["labels"], lease["spec"]["strategy"]) == ({"team": "a"}, "x")
    assert pair.one.leads


def test_a_leader_that_dies_is_followed_after_the_lease_has_run_out_and_not_before(pair: Pair) -> None:
    pair.run(10)
    died = pair.clock.elapsed
    pair.run_until("the second leads", lambda: pair.two.leads, pair.two)
    waited = pair.clock.elapsed - died
    assert LEASE_SECONDS - LOOK_SECONDS <= waited <= LEASE_SECONDS + 2 * LOOK_SECONDS
    assert (pair.spec["holderIdentity"], pair.spec["leaseTransitions"]) == ("two", 1)


def test_a_leader_that_can_t_renew_stops_acting_before_another_starts_and_ends(pair: Pair) -> None:
    pair.run(10)
    pair.api.fail("PUT", PATH, 503, times=1000)
    pair.run_until("the first acts no more", lambda: not pair.one.leads)
    acted_until = pair.clock.elapsed - LOOK_SECONDS  # it still led at the look before
    assert not pair.two.leads
    pair.run(LOOK_SECONDS)
    assert pair.one.ended
    pair.api.faults.clear()
    pair.run_until("the second leads", lambda: pair.two.leads)
    assert pair.clock.elapsed - acted_until >= LEASE_SECONDS - HOLD_SECONDS


def test_a_leader_goes_on_after_failures_that_are_shorter_than_its_patience(pair: Pair) -> None:
    pair.run(10)
    pair.api.fail("PUT", PATH, 500, times=3)
    pair.run(30)
    assert (pair.one.leads, pair.one.ended) == (True, False)


@pytest.mark.parametrize("outcome", ["lost", "drop"])
def test_a_renewal_whose_answer_was_lost_costs_nobody_the_lease(pair: Pair, outcome: Any) -> None:
    pair.run(4)
    pair.api.fail("PUT", PATH, outcome)
    pair.run(30)
    assert (pair.one.leads, pair.one.ended, pair.spec["leaseTransitions"]) == (True, False, 0)


def test_a_first_write_whose_answer_was_lost_is_found_to_be_our_own(pair: Pair) -> None:
    pair.api.fail("PUT", PATH, "lost")
    pair.one.step()
    assert not pair.one.leads, "who has had no answer may not act"
    pair.run(LOOK_SECONDS, pair.one)
    assert pair.one.leads


def test_a_leader_asks_its_time_from_before_the_write_on(pair: Pair) -> None:
    def slow() -> None:
        pair.clock.elapsed += 2

    pair.one.on_call = slow  # 2 s there, 2 s back
    pair.one.step()
    pair.clock.elapsed += HOLD_SECONDS - 5
    assert pair.one.leads
    pair.clock.elapsed += 1.5
    assert not pair.one.leads


@pytest.mark.parametrize("skew", [-86400.0, -20.0, 20.0, 86400.0])
def test_clocks_of_machines_are_never_compared(pair: Pair, skew: float) -> None:
    pair.two = Replica("two", pair.api, pair.clock, skew=skew, boot=-skew)
    pair.run(60)
    assert (pair.one.leads, pair.two.leads) == (True, False)
    pair.run(LEASE_SECONDS + 3 * LOOK_SECONDS, pair.two)
    assert pair.two.leads
    pair.run(60)
    assert (pair.one.ended, pair.two.leads) == (True, True)


def test_a_wall_clock_that_jumps_costs_nobody_the_lease(pair: Pair) -> None:
    pair.run(10)
    for jump in (-3600.0, 7200.0):
        pair.one.skew += jump
        pair.run(20)
        assert (pair.one.leads, pair.two.leads) == (True, False)


def claimed_by_another(pair: Pair, **more: Any) -> None:
    spec = {"holderIdentity": "old", "renewTime": "2000-01-01T00:00:00.000000Z", **more}
    meta = {"namespace": KEY[0], "name": KEY[1]}
    pair.api.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec})


def test_a_claim_that_is_shorter_than_ours_is_believed_for_as_long_as_it_says_itself(pair: Pair) -> None:
    claimed_by_another(pair, leaseDurationSeconds=6)
    pair.run(6)
    assert not (pair.one.leads or pair.two.leads)
    pair.run(4)
    assert pair.one.leads or pair.two.leads


@pytest.mark.parametrize("seconds", [16, 40, 2**31 - 1])
def test_nobody_who_may_write_the_lease_holds_it_for_68_years_by_one_write(pair: Pair, seconds: int) -> None:
    claimed_by_another(pair, leaseDurationSeconds=seconds)
    pair.run(LEASE_SECONDS - 1)
    assert not (pair.one.leads or pair.two.leads), "a holder of our own kind might still act"
    pair.run_until("one leads", lambda: pair.one.leads or pair.two.leads)
    assert pair.spec["leaseDurationSeconds"] == LEASE_SECONDS


def test_a_claim_that_is_renewed_is_left_to_its_holder_whatever_it_says(pair: Pair) -> None:
    claimed_by_another(pair, leaseDurationSeconds=2**31 - 1)
    for minute in range(10):
        pair.api.edit("leases", *KEY, {"spec": {"renewTime": f"2000-01-01T00:00:{minute:02}.000000Z"}})
        pair.run(LEASE_SECONDS - 3)
        assert not (pair.one.leads or pair.two.leads)


def test_a_lease_that_somebody_has_made_to_count_no_further_is_taken_all_the_same(pair: Pair) -> None:
    """One transition more than an int32 holds is refused by the API server."""
    claimed_by_another(pair, leaseDurationSeconds=6, leaseTransitions=2**31 - 1)
    pair.run(10)
    assert pair.one.leads or pair.two.leads
    assert pair.spec["leaseTransitions"] == 2**31 - 1


def test_a_leader_that_slept_while_another_took_over_acts_no_more_and_ends(pair: Pair) -> None:
    pair.run(10)
    pair.run(LEASE_SECONDS + 3 * LOOK_SECONDS, pair.two)
    assert pair.two.leads
    with pytest.raises(KubeError, match="the Lease is not held"):
        pair.one.elector.check()
    pair.one.step()
    assert pair.one.ended


@pytest.mark.parametrize("holder", ["somebody", ""])
def test_a_leader_whose_lease_somebody_else_has_written_ends_at_once(pair: Pair, holder: str) -> None:
    """An empty holder too: another may have led and released it meanwhile."""
    pair.run(10, pair.one)
    pair.api.edit("leases", *KEY, {"spec": {"holderIdentity": holder}})
    pair.run(2 * LOOK_SECONDS, pair.one)
    assert pair.one.ended
    assert pair.spec["holderIdentity"] == holder


def test_of_two_that_take_a_free_lease_at_the_same_time_one_gets_it(pair: Pair) -> None:
    meddled = False

    def meddle() -> None:
        nonlocal meddled
        if not meddled and len(pair.api.log) == 1:  # one has read that there is no Lease
            meddled = True
            pair.two.step()

    pair.one.on_call = meddle
    pair.one.step()
    assert meddled
    assert (pair.one.leads, pair.two.leads) == (False, True)
    pair.run(10)
    assert (pair.one.leads, pair.two.leads) == (False, True)


def test_a_released_lease_is_taken_at_the_next_look(pair: Pair) -> None:
    pair.run(10)
    pair.one.elector.release()
    assert not pair.one.leads
    pair.run(LOOK_SECONDS, pair.two)
    assert pair.two.leads
    assert pair.spec["leaseTransitions"] == 1


def test_a_release_that_fails_leaves_a_lease_that_expires(pair: Pair) -> None:
    pair.run(10)
    pair.api.fail("PUT", PATH, 503)
    pair.one.elector.release()
    assert not pair.one.leads
    pair.run(LEASE_SECONDS + 3 * LOOK_SECONDS, pair.two)
    assert pair.two.leads


def test_who_does_not_lead_releases_nothing(pair: Pair) -> None:
    pair.run(10)
    pair.two.elector.release()
    assert pair.spec["holderIdentity"] == "one"
    pair.run(LEASE_SECONDS + 3 * LOOK_SECONDS, pair.two)
    pair.one.elector.release()
    assert pair.spec["holderIdentity"] == "two"


def test_a_leader_looks_every_two_seconds_and_candidates_a_little_earlier_each_at_its_own_time(pair: Pair) -> None:
    assert pair.one.elector.step() == LOOK_SECONDS
    waits = []
    for rand in (0.0, 0.5, 0.999):
        leases: Any = Kube(InProcess(pair.api, lambda: None), "three")
        waits.append(LeaderElector(leases, KEY, "three", pair.one.monotonic, pair.one.now, lambda r=rand: r).step())  # type: ignore[misc]
    assert waits == sorted(set(waits))
    assert 1 <= waits[0] < waits[-1] <= LOOK_SECONDS


# The fence


def test_a_fenced_edge_sends_nothing_once_the_lease_is_not_held(pair: Pair) -> None:
    kube: Any = Kube(InProcess(pair.api, lambda: None), "one")
    edge = fenced(kube, pair.one.elector.check)
    pair.run(2, pair.one)
    assert edge.exists("default", "web") is False
    pair.clock.elapsed += HOLD_SECONDS
    pair.api.clear_log()
    with pytest.raises(KubeError, match="the Lease is not held"):
        edge.exists("default", "web")
    assert pair.api.log == []


# By which flags the objects were judged


def take_over(pair: Pair, replica: Replica) -> Replica:
    pair.run_until("it leads", lambda: replica.leads, replica)
    return replica


def noted(pair: Pair) -> str:
    meta = (pair.api.get("leases", *KEY) or {})["metadata"]
    return str(meta.get("annotations", {}).get(JUDGED_BY, "")).partition("/")[0]


def judged(pair: Pair) -> Replica:
    """Return a replica with flags `a` that has judged every object and said so."""
    one = take_over(pair, Replica("one", pair.api, pair.clock, flags="a"))
    one.judgement.done(one.judgement.by)
    pair.run(LOOK_SECONDS, one)
    assert noted(pair) == "a"
    return one


def test_the_first_leader_knows_of_no_judgement_and_notes_its_own_once_it_is_complete(pair: Pair) -> None:
    one = take_over(pair, Replica("one", pair.api, pair.clock, flags="a"))
    pair.run(10, one)
    assert (one.judgement.complete, noted(pair)) == (False, "")
    one.judgement.done(one.judgement.by)
    pair.run(LOOK_SECONDS, one)
    assert noted(pair) == "a"


def test_who_takes_over_with_the_same_flags_knows_that_every_object_was_judged_and_so_does_the_next(pair: Pair) -> None:
    judged(pair)
    for name in ("two", "three"):
        assert take_over(pair, Replica(name, pair.api, pair.clock, flags="a")).judgement.complete
        assert noted(pair) == "a"


def test_who_takes_over_with_other_flags_takes_the_note_off_by_the_very_write_that_takes_the_lease(pair: Pair) -> None:
    judged(pair)
    two = take_over(pair, Replica("two", pair.api, pair.clock, flags="b"))
    assert (two.judgement.complete, noted(pair)) == (False, "")
    for flags in "ab":  # neither the ones before nor its own: some objects may be judged by either
        next_one = take_over(pair, Replica(f"after {flags}", pair.api, pair.clock, flags=flags))
        assert not next_one.judgement.complete


def test_a_first_write_whose_answer_was_lost_takes_no_note_for_granted_nor_off(pair: Pair) -> None:
    judged(pair)
    two = Replica("two", pair.api, pair.clock, flags="a")
    pair.api.fail("PUT", PATH, "lost")
    assert take_over(pair, two).judgement.complete
    three = Replica("three", pair.api, pair.clock, flags="b")
    pair.api.fail("PUT", PATH, "lost")
    assert not take_over(pair, three).judgement.complete


def test_a_leader_that_does_not_know_the_note_leaves_it_and_it_is_not_believed(pair: Pair) -> None:
    one = judged(pair)
    one.elector.release()
    lease = pair.api.get("leases", *KEY) or {}
    pair.api.edit("leases", *KEY, {"spec": {"leaseTransitions": lease["spec"]["leaseTransitions"] + 1}})
    assert noted(pair) == "a"
    assert not take_over(pair, Replica("two", pair.api, pair.clock, flags="a")).judgement.complete


def test_a_lease_that_is_made_again_from_a_copy_vouches_for_nothing(pair: Pair) -> None:
    one = judged(pair)
    one.elector.release()
    lease = pair.api.get("leases", *KEY) or {}
    pair.api.delete("leases", *KEY)
    meta = {"namespace": KEY[0], "name": KEY[1], "annotations": lease["metadata"]["annotations"]}
    pair.api.apply({**lease, "metadata": meta})
    assert noted(pair) == "a"
    assert not take_over(pair, Replica("two", pair.api, pair.clock, flags="a")).judgement.complete


def test_annotations_of_others_stay_on_the_lease(pair: Pair) -> None:
    one = judged(pair)
    pair.api.edit("leases", *KEY, {"metadata": {"annotations": {"team": "a"}}})
    pair.run(3 * LOOK_SECONDS, one)
    assert ((pair.api.get("leases", *KEY) or {})["metadata"]["annotations"]["team"], noted(pair)) == ("a", "a")
    take_over(pair, Replica("two", pair.api, pair.clock, flags="b"))
    assert (pair.api.get("leases", *KEY) or {})["metadata"]["annotations"] == {"team": "a"}


# By which version of the clusters file


def test_what_judges_may_change_once_the_lease_vouches_for_no_judgement_any_more(pair: Pair) -> None:
    one = judged(pair)
    assert not one.judgement.begin(), "the note is still there"
    assert (one.judgement.complete, noted(pair)) == (False, "a")
    pair.run(LOOK_SECONDS, one)
    assert (one.judgement.begin(), noted(pair)) == (True, "")
    one.judgement.by = "b"
    one.judgement.done("a")
    pair.run(LOOK_SECONDS, one)
    assert (one.judgement.complete, noted(pair)) == (False, ""), "of the judgement before, whoever says so"
    one.judgement.done("b")
    pair.run(LOOK_SECONDS, one)
    assert (one.judgement.complete, noted(pair)) == (True, "b")


def test_a_file_that_is_taken_up_while_the_lease_is_read_is_not_judged_by_what_the_lease_says(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(pair)
    two = Replica("two", pair.api, pair.clock, flags="a")
    look = two.elector._is_judged

    def slow(*lease: Any) -> bool:
        found = look(*lease)
        assert two.judgement.begin()
        two.judgement.by = "b"
        return found

    monkeypatch.setattr(two.elector, "_is_judged", slow)
    take_over(pair, two)
    assert (two.judgement.complete, noted(pair)) == (False, "")


@pytest.mark.parametrize("flags", ["a", "b"])
def test_who_dies_while_it_judges_by_a_new_file_leaves_nobody_in_the_belief_that_all_was_judged_by_his(
    pair: Pair, flags: str
) -> None:
    """Neither one whose file is as it was, nor one that has the new one too: some objects are judged by either."""
    one = judged(pair)
    pair.run_until("it may begin", one.judgement.begin, one)
    one.judgement.by = "b"
    two = take_over(pair, Replica("two", pair.api, pair.clock, flags=flags))
    assert not two.judgement.complete


def test_who_dies_before_the_note_is_off_has_judged_nothing_by_the_new_file(pair: Pair) -> None:
    one = judged(pair)
    assert not one.judgement.begin(), "so nothing is taken up"
    assert take_over(pair, Replica("two", pair.api, pair.clock, flags="a")).judgement.complete
    assert not take_over(pair, Replica("three", pair.api, pair.clock, flags="b")).judgement.complete


@pytest.mark.parametrize("trouble", [500, "drop", "lost"])
def test_a_renewal_that_failed_or_whose_answer_was_lost_takes_no_note_off(
    pair: Pair, trouble: Literal["drop", "lost"] | int
) -> None:
    one = judged(pair)
    one.judgement.begin()
    pair.api.fail("PUT", PATH, trouble)
    one.step()
    assert not one.judgement.begin()
    pair.run_until("it is renewed", one.judgement.begin, one)
    assert noted(pair) == ""


def test_who_stands_by_takes_a_new_file_up_at_once_and_goes_by_it_when_it_leads(pair: Pair) -> None:
    judged(pair)
    two = Replica("two", pair.api, pair.clock, flags="b")
    two.step()
    assert two.judgement.begin()
    two.judgement.by = "a"
    assert take_over(pair, two).judgement.complete
