"""What AWS says about the things that specs name: for how long that is believed, and what is read side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from answers import AwsError
from aws import PASS_THREADS, SERVICES, Aws, Pool, ProfileSpec, Read, calls_of_this_thread
from clusters import Reading
from facts import ClusterFact, RoleFact
from kube import KubeError
from leader import fenced
from lookups import FACTS_KEPT, FACTS_SECONDS, Known
from tests.fakes.eks import Client, Memory, refused
from tests.fakes.eks_rules import Behaviour
from tests.harness import Clock
from tests.waiting import SOON

Answer = dict[str, Any]


# What is believed, and for how long


@dataclass
class Account:
    """A small account, and how often each of its calls was made."""

    clock: Clock = field(default_factory=Clock)
    denied: dict[str, str] = field(default_factory=dict)  # calls that are refused, with the code
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = Memory(Behaviour(self.clock.time))
        self.world.add_cluster("demo")
        self.edge = Aws({name: Client(self.ask) for name in SERVICES}, "us-east-1")
        self.known = Known(self.edge, self.clock.monotonic)

    def ask(self, method: str, request: Answer) -> Answer:
        self.calls.append(method)
        if code := self.denied.get(method):
            raise refused(method, code, 403, "no")
        return self.world.ask(method, request)

    def spec(self, role: str = "good", *subnets: str) -> ProfileSpec:
        arn = self.world.roles.get(role, role)
        return ProfileSpec(arn, frozenset(), frozenset(subnets or self.world.private_subnets))

    def asked(self, method: str, seconds: float, age: float = FACTS_SECONDS, **spec: str) -> int:
        """Ask for the facts after so long; return how often that made this call."""
        self.clock.elapsed += seconds
        before = self.calls.count(method)
        self.known.facts("demo", self.spec(**spec), age)
        return self.calls.count(method) - before


@pytest.fixture
def account() -> Account:
    return Account()


FACTS = ["describe_cluster", "describe_subnets", "get_role"]


@pytest.mark.parametrize("method", FACTS)
def test_a_fact_is_believed_for_a_minute_or_as_long_as_is_asked_for(account: Account, method: str) -> None:
    assert account.asked(method, 0) == 1
    assert account.asked(method, 59) == 0
    assert account.asked(method, 1) == 1
    assert account.asked(method, 9, age=10.0) == 0
    assert account.asked(method, 1, age=10.0) == 1


def test_a_role_that_grows_old_while_it_is_asked_for_keeps_its_policies(account: Account) -> None:
    spec = account.spec()
    account.known.facts("demo", spec)
    times = iter([1059.9])
    account.known._monotonic = lambda: next(times, 1060.1)
    account.known.role(spec.role, FACTS_SECONDS)
    role = account.known.facts("demo", spec, 2 * FACTS_SECONDS).role
    assert role
    assert role.policies


@pytest.mark.parametrize("method", FACTS)
def test_a_fact_that_is_asked_for_fresh_is_read_now(account: Account, method: str) -> None:
    assert account.asked(method, 0) == account.asked(method, 1, age=0.0) == 1


def test_all_subnets_that_are_not_known_yet_are_read_by_one_call(account: Account) -> None:
    one, two = account.world.private_subnets
    account.known.facts("demo", account.spec("good", one))
    facts = account.known.facts("demo", account.spec("good", one, two, account.world.public_subnet, "subnet-00000000"))
    assert account.calls.count("describe_subnets") == 2
    public = {each: fact and (fact.found, fact.public) for each, fact in facts.subnets.items()}
    assert public == {
        one: (True, False),
        two: (True, False),
        account.world.public_subnet: (True, True),
        "subnet-00000000": (False, None),
    }


def test_what_is_not_there_is_a_fact_too(account: Account) -> None:
    facts = account.known.facts("nowhere", account.spec("arn:aws:iam::123456789012:role/none"))
    assert (facts.cluster, facts.role) == (ClusterFact(found=False), RoleFact(found=False))


@pytest.mark.parametrize("code", ["AccessDenied", "UnauthorizedOperation"])
def test_what_may_not_be_read_is_unknown(account: Account, code: str) -> None:
    account.denied = dict.fromkeys(FACTS, code)
    facts = account.known.facts("demo", account.spec())
    assert (facts.cluster, facts.role, {*facts.subnets.values()}) == (None, None, {None})


def test_what_may_not_be_read_of_a_fact_is_unknown_in_it(account: Account) -> None:
    account.denied = dict.fromkeys(["describe_route_tables", "list_role_policies"], "AccessDenied")
    facts = account.known.facts("demo", account.spec())
    assert facts.role
    assert facts.role.found
    assert facts.role.policies is None
    assert {fact.public for fact in facts.subnets.values() if fact} == {None}


@pytest.mark.parametrize("method", FACTS)
@pytest.mark.parametrize("code", ["ThrottlingException", "ValidationException"])
def test_a_fact_that_can_not_be_read_for_another_reason_is_an_error(account: Account, method: str, code: str) -> None:
    account.denied = {method: code}
    with pytest.raises(AwsError, match=code):
        account.known.facts("demo", account.spec())


def test_names_without_end_do_not_fill_the_memory(account: Account) -> None:
    for number in range(FACTS_KEPT):
        account.known.facts("demo", account.spec(f"arn:aws:iam::123456789012:role/none-{number}"))
    assert account.calls.count("describe_cluster") == 2, "all was forgotten once, the cluster too"


# What is read side by side

HERE, ELSEWHERE = "us-east-1", "eu-west-1"
ALL_READ = {
    "describe_cluster", "describe_subnets", "describe_route_tables", "get_role", "list_attached_role_policies",
    "list_role_policies",
}  # fmt: skip


def read_all(pool: Pool, place: str, asks: list[Callable[[], Any]]) -> list[Any]:
    reads = [Read(each) for each in asks]
    with pool.beside(place, reads):
        return [each() for each in reads]


@contextmanager
def hanging(pool: Pool, place: str, reads: int) -> Iterator[None]:
    """Let a pass hang in a place, with so many reads that have begun."""
    mended, begun = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        assert mended.wait(SOON)

    one = threading.Thread(target=read_all, args=(pool, place, [hang] * 8))
    one.start()
    try:
        assert all(begun.acquire(timeout=SOON) for _ in range(reads))
        yield
    finally:
        mended.set()
        one.join(SOON)


def at_once(number: int) -> list[Callable[[], Any]]:
    """Return reads that end once they are all on the way."""
    return [partial(threading.Barrier(number).wait, SOON)] * number


def test_one_pass_has_three_threads_beside_its_own() -> None:
    assert len(read_all(Pool(12), HERE, at_once(1 + PASS_THREADS))) == 4
    pool = Pool(12)
    with hanging(pool, HERE, reads=4):
        assert pool._lent[HERE] == PASS_THREADS


def test_where_one_region_hangs_another_reads_as_fast_as_ever() -> None:
    pool = Pool(4)
    with hanging(pool, HERE, reads=3), hanging(pool, HERE, reads=1):
        assert pool._lent[HERE] == 2
        assert len(read_all(pool, ELSEWHERE, at_once(3))) == 3


def test_where_no_thread_is_free_a_pass_reads_by_itself_in_its_order() -> None:
    pool = Pool(4)
    with hanging(pool, HERE, reads=3), hanging(pool, ELSEWHERE, reads=3):
        readers = read_all(pool, "eu-north-1", [threading.current_thread] * 5)
    assert set(readers) == {threading.current_thread()}
    order: list[int] = []
    read_all(Pool(), HERE, [partial(order.append, number) for number in range(5)])
    assert order == [0, 1, 2, 3, 4]


def test_threads_that_were_lent_come_back_and_none_stays() -> None:
    pool, before = Pool(4), threading.active_count()
    for _ in range(5):
        read_all(pool, HERE, [])
        with pytest.raises(ZeroDivisionError):
            read_all(pool, HERE, [lambda: 1 // 0] * 3)
        assert len(read_all(pool, HERE, at_once(3))) == 3
        assert threading.active_count() == before


def test_no_more_threads_than_the_machine_has_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert read_all(Pool(12), HERE, [threading.current_thread] * 5) == [threading.current_thread()] * 5


def test_what_fails_on_a_thread_fails_in_the_pass_and_the_first_in_its_order_counts() -> None:
    """The later one fails first; a bug is told like any error, and by the pass alone."""
    second_failed = threading.Event()

    def first() -> None:
        assert second_failed.wait(SOON)
        raise KeyError("first")

    def second() -> None:
        second_failed.set()
        raise KeyError("second")

    with pytest.raises(KeyError, match="first"):
        read_all(Pool(12), HERE, [first, second, lambda: None])


def test_after_an_error_nothing_more_is_asked() -> None:
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        raise KeyError(number)

    with pytest.raises(KeyError):
        read_all(Pool(12), HERE, [partial(ask, number) for number in range(50)])
    assert len(asked) <= 1 + PASS_THREADS


@dataclass
class Side(Account):
    """An account that is read side by side; `together` calls are answered once they have all come."""

    together: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_at_a_time, self.barrier = threading.Lock(), threading.Barrier(self.together)
        self.edge = Aws({name: Client(self.ask) for name in SERVICES}, HERE, pool=Pool(12))
        self.known = Known(self.edge, self.clock.monotonic)

    def ask(self, method: str, request: Answer) -> Answer:
        if self.together > 1:
            self.barrier.wait(SOON)
        with self.one_at_a_time:
            return super().ask(method, request)


def test_lookups_are_the_same_side_by_side_and_each_is_asked_for_once(account: Account) -> None:
    beside = Side()
    spec = account.spec("good", *account.world.subnets)
    assert beside.known.facts("demo", spec) == account.known.facts("demo", spec)
    assert sorted(beside.calls) == sorted(account.calls) == sorted(ALL_READ)
    beside.known.facts("demo", spec)
    assert len(beside.calls) == len(ALL_READ), "they are known"


@dataclass
class Crowd(Side):
    """An account that answers once all of so many passes have come."""

    passes: int = 8
    here: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    all_here: threading.Event = field(default_factory=threading.Event)

    def ask(self, method: str, request: Answer) -> Answer:
        self.here.release()
        assert self.all_here.wait(SOON)
        return super().ask(method, request)

    def read(self, age: float, calls: int) -> list[Any]:
        """Let all passes ask for the same facts; answer once so many calls are on their way."""
        found: list[Any] = []
        spec = self.spec()

        def look() -> None:
            with suppress(AwsError):
                found.append(self.known.facts("demo", spec, age))

        threads = [threading.Thread(target=look) for _ in range(self.passes)]
        for each in threads:
            each.start()
        assert all(self.here.acquire(timeout=SOON) for _ in range(calls))
        self.all_here.set()
        for each in threads:
            each.join(SOON)
        return found


def test_passes_that_ask_the_same_at_once_ask_aws_once() -> None:
    crowd = Crowd()
    found = crowd.read(FACTS_SECONDS, calls=3)
    assert sorted(crowd.calls) == sorted(ALL_READ)
    assert len(found) == crowd.passes
    assert all(each == found[0] for each in found)


def test_what_has_to_be_new_is_asked_by_each_pass_itself() -> None:
    crowd = Crowd()
    crowd.read(0.0, calls=crowd.passes)
    assert crowd.calls.count("describe_cluster") == crowd.passes


def test_what_fails_for_one_of_them_fails_for_all_and_is_asked_again_later() -> None:
    crowd = Crowd(denied={"describe_cluster": "ThrottlingException"})
    assert crowd.read(FACTS_SECONDS, calls=3) == []
    crowd.denied.clear()
    assert crowd.known.facts("demo", crowd.spec()).cluster


def test_six_reads_before_a_create_take_two_rounds() -> None:
    beside = Side(together=3)  # three of them at once, and then the other three
    assert beside.known.facts("demo", beside.spec()).role


def test_what_threads_have_asked_counts_for_the_pass() -> None:
    beside = Side()
    before = calls_of_this_thread()
    beside.known.facts("demo", beside.spec())
    assert calls_of_this_thread() - before == len(beside.calls) == len(ALL_READ)


@pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException"])
@pytest.mark.parametrize("method", sorted(ALL_READ))
@pytest.mark.parametrize("role", ["good", "arn:aws:iam::123456789012:role/none"])
def test_what_can_not_be_read_means_the_same_side_by_side(method: str, code: str, role: str) -> None:
    told = []
    for each in (Account(), Side()):
        each.denied = {method: code}
        try:
            told.append(repr(each.known.facts("demo", each.spec(role))))
        except AwsError as error:
            told.append(str(error))
    assert told[0] == told[1]


def test_a_role_that_is_being_made_is_not_there_or_its_policies_are_unknown() -> None:
    beside = Side(denied={"list_role_policies": "NoSuchEntity"})
    facts = beside.known.facts("demo", beside.spec())
    assert facts.role and (facts.role.found, facts.role.policies) == (True, None)


def with_profiles(account: Account, number: int) -> None:
    for each in range(number):
        account.world.add_profile("demo", f"p{each}", account.world.roles["good"], [{"namespace": f"n{each}"}])


def test_the_profiles_of_a_cluster_are_described_side_by_side() -> None:
    beside = Side()
    with_profiles(beside, 8)
    edge, described = beside.edge, set[str]()
    beside.together, beside.barrier = 4, threading.Barrier(4)
    names = edge.names
    edge.names = lambda cluster: [f"p{each}" for each in range(8)]  # type: ignore[method-assign]
    view = Reading(0.0).go_on(edge, "demo", described)
    beside.together = 1
    assert set(view.profiles) == described == set(names("demo") or ())


def test_what_was_described_before_an_error_is_kept_and_not_asked_for_again() -> None:
    beside, reading, described = Side(), Reading(0.0), set[str]()
    with_profiles(beside, 50)
    slow = refused("DescribeFargateProfile", "ThrottlingException", 429, "slow down")
    ask, left = beside.world.ask, iter([None] * 10)

    def some(method: str, request: Answer) -> Answer:
        if method == "describe_fargate_profile" and next(left, "none") == "none":
            raise slow
        return ask(method, request)

    beside.world.ask = some  # type: ignore[method-assign]
    with pytest.raises(AwsError, match="slow down"):
        reading.go_on(beside.edge, "demo", described)
    assert described == set(reading.described) and len(described) == 10
    assert beside.calls.count("describe_fargate_profile") <= 10 + 1 + PASS_THREADS
    beside.world.ask = ask  # type: ignore[method-assign]
    beside.calls.clear()
    assert len(reading.go_on(beside.edge, "demo", described).profiles) == 50
    assert beside.calls.count("describe_fargate_profile") == 40


def test_each_read_asks_first_whether_the_lease_is_held() -> None:
    beside, asked = Side(), threading.Event()
    with_profiles(beside, 20)

    def check() -> None:
        if beside.calls.count("describe_fargate_profile") >= 5:
            asked.set()
            raise KubeError("the Lease is not held")

    with pytest.raises(KubeError, match="Lease"):
        Reading(0.0).go_on(fenced(beside.edge, check), "demo", set())
    assert asked.is_set()
    assert beside.calls.count("describe_fargate_profile") <= 5 + PASS_THREADS


@pytest.mark.parametrize("both", [("describe_cluster", "get_role"), ("describe_subnets", "get_role")])
@pytest.mark.parametrize("make", [Account, Side])
def test_of_two_errors_the_same_is_told_however_they_are_read(make: type[Account], both: tuple[str, str]) -> None:
    account = make(denied={both[0]: "ThrottlingException", both[1]: "ServerException"})
    with pytest.raises(AwsError, match="ThrottlingException"):
        account.known.facts("demo", account.spec())
