"""What may be relied on in the engine: when a key comes again, loops that outlive failures, probes that tell."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, Metric

import kube
from controller import (
    CONFLICT_SECONDS,
    RESYNC_TENTH,
    RETRY_SECONDS,
    STUCK_SECONDS,
    Controller,
    Health,
    loop,
    serve,
)
from kube import Key
from metrics import CONNECTIONS, PortTaken
from tests.harness import Clock
from tests.waiting import SOON, wait_for
from workqueue import Backoff, Requeue, WorkQueue

WEB, DB = ("default", "web"), ("default", "db")


# Controller


@dataclass
class Work:
    """A controller whose reconciler answers what the test says, key by key."""

    clock: Clock = field(default_factory=Clock)
    answers: dict[Key, Requeue | Exception] = field(default_factory=dict)
    rand: float = 1.0
    seen: list[Key] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.queue = WorkQueue(self.clock.monotonic)
        self.controller = Controller(self.queue, self.reconcile, 600.0, rand=lambda: self.rand)
        self.queue.add(WEB)

    def reconcile(self, key: Key) -> Requeue:
        self.seen.append(key)
        self.meanwhile()
        answer = self.answers.get(key, Requeue())
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, answer: Requeue | Exception) -> float:
        """Let the pass of WEB end so; return the seconds until it comes again."""
        due = self.queue.next_due()
        assert due is not None
        self.clock.elapsed = max(self.clock.elapsed, due - 1000.0)
        self.answers[WEB] = answer
        assert self.controller.run_once()
        again = self.queue.next_due()
        assert again is not None, "the object is looked at never again"
        return round(again - self.clock.monotonic(), 6)


@pytest.fixture
def work() -> Work:
    return Work()


def test_without_a_key_there_is_no_pass(work: Work) -> None:
    assert work.controller.run_once()
    assert not work.controller.run_once()
    assert work.seen == [WEB]


def test_an_object_comes_again_when_the_reconciler_asks_for_it(work: Work) -> None:
    assert work.wait(Requeue(17.0)) == 17
    assert work.wait(Requeue(0.0)) == 0


@pytest.mark.parametrize(("rand", "seconds"), [(0.0, 540.0), (0.5, 600.0), (1.0, 660.0)])
def test_a_settled_object_comes_again_at_the_resync_spread_by_a_tenth(rand: float, seconds: float) -> None:
    assert RESYNC_TENTH == 0.1
    assert Work(rand=rand).wait(Requeue()) == seconds


@pytest.mark.parametrize(("lean", "seconds"), [(-1.0, 540.0), (0.25, 615.0), (1.0, 660.0)])
def test_a_settled_object_leans_to_the_time_that_it_is_told_of_by_a_tenth_of_the_resync(
    lean: float, seconds: float
) -> None:
    clock = Clock()
    queue = WorkQueue(clock.monotonic)
    queue.add(WEB)
    assert Controller(queue, lambda _: Requeue(), 600.0, lean={WEB: lean}.__getitem__).run_once()
    assert queue.next_due() == clock.monotonic() + seconds


def test_an_object_that_has_to_be_tried_again_waits_longer_each_time_up_to_five_minutes(work: Work) -> None:
    waits = [work.wait(Requeue(retry=True)) for _ in range(12)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_a_success_forgets_the_failures_before_it(work: Work) -> None:
    for _ in range(5):
        work.wait(Requeue(retry=True))
    work.wait(Requeue(5.0))
    assert work.wait(Requeue(retry=True)) == 1


def test_a_pass_that_could_not_look_keeps_the_failures_before_it(work: Work) -> None:
    for _ in range(5):
        work.wait(Requeue(retry=True))
    assert work.wait(Requeue(1.0, skipped=True)) == 1
    assert work.wait(Requeue(retry=True)) == 32


@pytest.mark.parametrize("error", [kube.Conflict("409"), kube.NotFound("404")], ids=["Conflict", "NotFound"])
def test_who_acted_on_an_old_picture_looks_again_soon_and_is_not_punished(work: Work, error: Exception) -> None:
    assert CONFLICT_SECONDS == 1
    assert [work.wait(error) for _ in range(4)] == [1, 1, 1, 1]
    assert work.wait(Requeue(retry=True)) == 1


def test_an_api_server_that_fails_is_asked_less_and_less_often(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    assert [work.wait(kube.KubeError("500", 500)) for _ in range(4)] == [1, 2, 4, 8]
    assert 'object=default/web message="500"' in caplog.text
    assert "Traceback" not in caplog.text


def test_a_bug_is_told_with_its_traceback_waits_and_the_others_go_on(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    work.queue.add(DB)
    work.answers[DB] = ZeroDivisionError("oh")
    with caplog.at_level(logging.ERROR):
        assert [work.controller.run_once() for _ in range(3)] == [True, True, False]
    assert sorted(work.seen) == [DB, WEB]
    assert "default/db" in caplog.text
    assert "Traceback" in caplog.text
    assert "ZeroDivisionError: oh" in caplog.text
    work.clock.elapsed = 1
    assert work.controller.run_once(), "the object with the bug is tried again"
    assert work.seen[-1] == DB
    work.clock.elapsed = 2.9
    assert not work.controller.run_once(), "but less and less often"


def test_a_change_that_came_during_the_pass_is_looked_at_at_once(work: Work) -> None:
    work.meanwhile = lambda: work.queue.add(WEB)
    assert work.wait(Requeue(600.0)) == 0


def test_an_object_that_is_gone_leaves_nothing_behind(work: Work) -> None:
    work.answers[WEB] = Requeue(gone=True)
    assert work.controller.run_once()
    assert work.queue.next_due() is None


def test_an_object_that_is_gone_and_comes_back_during_the_pass_is_looked_at(work: Work) -> None:
    work.meanwhile = lambda: work.queue.add(WEB)
    assert work.wait(Requeue(gone=True)) == 0


def test_a_worker_waits_for_work_and_takes_it_as_it_comes() -> None:
    queue = WorkQueue(time.monotonic)
    controller = Controller(queue, lambda _: Requeue(), 600.0)
    queue.add(WEB, 0.03)
    started = time.monotonic()
    assert controller.run_once(wait=3)
    assert time.monotonic() - started < 1


# loop


class Stop(threading.Event):
    """An event whose waits are written down instead of waited for; set after so many of them."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waited.append(timeout)
        if len(self.waited) >= self._waits:
            self.set()
        return self.is_set()


def backoff() -> Backoff:
    return Backoff(RETRY_SECONDS, lambda: 1.0)


def test_a_loop_beats_before_every_run() -> None:
    stop, told = threading.Event(), list[str]()

    def run_once() -> None:
        told.append("run")
        if len(told) >= 6:
            stop.set()

    loop(run_once, backoff(), stop, lambda: told.append("beat"))
    assert told == ["beat", "run"] * 3


def test_a_loop_that_is_to_stop_does_not_run() -> None:
    stop = threading.Event()
    stop.set()
    loop(lambda: pytest.fail("it ran"), backoff(), stop, lambda: None)


@pytest.mark.parametrize("error", [kube.KubeError("down"), ZeroDivisionError("oh")], ids=["API server", "bug"])
def test_a_loop_rests_longer_after_each_failure_and_never_ends_by_one(error: Exception) -> None:
    stop = Stop(4)

    def run_once() -> None:
        raise error

    loop(run_once, backoff(), stop, lambda: None)
    assert stop.waited == [1, 2, 4, 8]


def test_a_loop_that_worked_in_between_starts_its_rests_anew() -> None:
    stop, outcomes = Stop(4), iter([False, False, True, False, False])

    def run_once() -> None:
        if not next(outcomes):
            raise kube.KubeError("down")

    loop(run_once, backoff(), stop, lambda: None)
    assert stop.waited == [1, 2, 1, 2]


def test_a_crd_that_is_missing_is_looked_for_again_within_10_s_however_long_it_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = Stop(6)

    def run_once() -> None:
        raise kube.NotServed(kube.NOT_SERVED)

    loop(run_once, backoff(), stop, lambda: None)
    assert stop.waited == [1, 2, 4, 7, 7, 7]
    assert all("kubectl apply -f crd.yaml" in each.getMessage() for each in caplog.records)
    assert not any("failed" in each.getMessage() for each in caplog.records)


def test_a_bug_in_a_loop_is_told_with_its_traceback_and_an_api_server_that_is_down_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = iter([kube.KubeError("refused"), ZeroDivisionError("oh")])

    def run_once() -> None:
        raise next(errors)

    loop(run_once, backoff(), Stop(2), lambda: None)
    refused, bug = caplog.records
    assert "refused" in refused.getMessage()
    assert not refused.exc_info
    assert bug.exc_info


def test_a_stopped_loop_ends_in_the_middle_of_its_rest() -> None:
    stop, started = threading.Event(), time.monotonic()

    def run_once() -> None:
        threading.Timer(0.02, stop.set).start()
        raise kube.KubeError("down")

    loop(run_once, Backoff((60.0, 60.0), lambda: 1.0), stop, lambda: None)
    assert time.monotonic() - started < 1


# Health


def test_a_loop_that_has_not_moved_for_too_long_is_named_and_the_others_are_not() -> None:
    clock = Clock()
    health = Health(clock.monotonic)
    informer, _ = health.beat("informer"), health.beat("worker-0")
    clock.elapsed = STUCK_SECONDS
    assert health.stuck() == []
    informer()
    clock.elapsed += 1
    assert health.stuck() == ["worker-0"]
    clock.elapsed += STUCK_SECONDS
    assert health.stuck() == ["informer", "worker-0"]
    informer()
    assert health.stuck() == ["worker-0"]


def test_a_loop_is_not_stuck_before_it_ever_had_the_time_to_move() -> None:
    clock = Clock(elapsed=1e9)
    health = Health(clock.monotonic)
    health.beat("informer")
    assert health.stuck() == []


def test_no_pass_and_no_silence_of_a_watch_is_taken_for_a_stuck_loop() -> None:
    assert kube.SILENCE_SECONDS < STUCK_SECONDS


def ask(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=3) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


SYNCED = [True]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Clock, int]]:
    clock = Clock()
    health = Health(clock.monotonic, lambda: SYNCED[0])
    health.beat("informer")
    server = health.listen("", 0, CollectorRegistry())
    serve(server)
    yield clock, server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def probed(served: tuple[Clock, int]) -> tuple[Clock, int]:
    served[0].elapsed, SYNCED[0] = 0, True
    return served


def test_a_probe_is_told_that_all_is_well(probed: tuple[Clock, int]) -> None:
    assert ask(probed[1], "/healthz") == (200, "ok\n")


def test_a_probe_is_told_which_loop_is_stuck(probed: tuple[Clock, int]) -> None:
    clock, port = probed
    clock.elapsed = STUCK_SECONDS + 1
    assert ask(port, "/healthz") == (500, "stuck: informer\n")


def test_a_replica_is_ready_once_it_knows_the_objects(probed: tuple[Clock, int]) -> None:
    SYNCED[0] = False
    assert ask(probed[1], "/readyz") == (503, "the objects are not listed yet\n")
    SYNCED[0] = True
    assert ask(probed[1], "/readyz") == (200, "ok\n")


def test_a_replica_that_stands_by_is_ready_and_says_for_whom_and_one_that_can_t_list_says_why() -> None:
    health = Health(Clock().monotonic, lambda: True, lambda: "standing by: ...")
    assert health.answer("/readyz") == (200, "ok; standing by: ...")
    health = Health(Clock().monotonic, lambda: False, unlisted={"informer": "apply crd.yaml"})
    assert health.answer("/readyz") == (503, "the objects are not listed yet; apply crd.yaml")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/readyz/x", "/healthz/informer", "/favicon.ico"])
def test_nothing_else_is_served_not_even_while_a_loop_is_stuck(probed: tuple[Clock, int], path: str) -> None:
    clock, port = probed
    assert ask(port, path)[0] == 404
    clock.elapsed = STUCK_SECONDS + 1
    assert ask(port, path)[0] == 404


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_a_probe_may_come_by_ipv6_because_pods_of_an_ipv6_cluster_have_nothing_else(probed: tuple[Clock, int]) -> None:
    assert ask(probed[1], "/healthz", "[::1]") == (200, "ok\n")


def test_a_probe_that_says_nothing_does_not_hold_up_the_next_one(probed: tuple[Clock, int]) -> None:
    with socket.create_connection(("127.0.0.1", probed[1])):
        assert ask(probed[1], "/healthz")[0] == 200


@pytest.fixture
def crowd(probed: tuple[Clock, int]) -> Iterator[Callable[[int], list[socket.socket]]]:
    """Return what opens connections that never say what they want; they are closed after the test."""
    came: list[socket.socket] = []

    def come(number: int, says: bytes = b"") -> list[socket.socket]:
        for _ in range(number):
            came.append(socket.create_connection(("127.0.0.1", probed[1]), timeout=3))
            came[-1].sendall(says)
        return came

    yield come
    for each in came:
        each.close()


@pytest.fixture
def serving() -> Callable[[], int]:
    """Return what counts the threads that serve a connection, but for those that a test before has left."""
    before = {*threading.enumerate()}
    return lambda: sum("process_request_thread" in each.name for each in {*threading.enumerate()} - before)


@pytest.mark.parametrize("says", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_who_opens_hundreds_of_connections_neither_fills_the_process_with_threads_nor_keeps_the_kubelet_waiting(
    probed: tuple[Clock, int], crowd: Callable[..., list[socket.socket]], says: bytes, serving: Callable[[], int]
) -> None:
    most = 0
    for _ in range(10):
        crowd(60, says)
        started = time.monotonic()
        assert ask(probed[1], "/healthz") == (200, "ok\n")
        assert time.monotonic() - started < 1
        most = max(most, serving())
    assert 1 < most <= CONNECTIONS


def test_of_many_connections_it_is_the_oldest_that_goes(
    probed: tuple[Clock, int], crowd: Callable[..., list[socket.socket]]
) -> None:
    came = crowd(2 * CONNECTIONS)
    assert [each.recv(1) for each in came[:CONNECTIONS]] == [b""] * CONNECTIONS
    came[-1].sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
    assert came[-1].recv(100).startswith(b"HTTP/1.0 200")


def test_who_takes_no_answer_keeps_nobody_waiting_either(
    probed: tuple[Clock, int], crowd: Callable[..., list[socket.socket]], capfd: pytest.CaptureFixture[str]
) -> None:
    crowd(3 * CONNECTIONS, b"GET /metrics HTTP/1.0\r\n\r\n")
    assert ask(probed[1], "/healthz") == (200, "ok\n")
    assert capfd.readouterr() == ("", "")


def test_who_breaks_off_leaves_no_thread_and_no_line_in_the_log(
    probed: tuple[Clock, int], capfd: pytest.CaptureFixture[str], serving: Callable[[], int]
) -> None:
    for _ in range(3 * CONNECTIONS):
        with socket.create_connection(("127.0.0.1", probed[1])) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n")
            # Closed by a reset, which is an error to whoever reads.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert ask(probed[1], "/healthz") == (200, "ok\n")
    wait_for(lambda: serving() == 0, SOON, "their threads end")
    assert capfd.readouterr() == ("", "")


def test_a_system_that_gave_no_thread_for_a_while_costs_no_place(
    probed: tuple[Clock, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", none)
        for _ in range(CONNECTIONS + 1):
            with pytest.raises(OSError, match=r"."):
                ask(probed[1], "/healthz")
    assert ask(probed[1], "/healthz") == (200, "ok\n")


def test_a_bug_in_what_metrics_shows_is_told_and_the_next_request_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(CollectorRegistry):
        def collect(self) -> Iterator[Metric]:
            raise ZeroDivisionError("oh")

    server = Health(time.monotonic).listen("127.0.0.1", 0, Broken())
    serve(server)
    port = server.server_address[1]
    try:
        with pytest.raises(OSError, match=r"closed|end"):
            ask(port, "/metrics")
        assert ask(port, "/healthz") == (200, "ok\n")
    finally:
        server.shutdown()
        server.server_close()
    (told,) = caplog.records
    assert told.exc_info
    assert "a bug" in told.getMessage()


def test_probes_leave_no_line_in_the_log(probed: tuple[Clock, int], capfd: pytest.CaptureFixture[str]) -> None:
    ask(probed[1], "/healthz")
    ask(probed[1], "/other")
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_told_in_words() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"HEALTH_PORT: port {port} can't be had"):
            Health(time.monotonic).listen("", port, CollectorRegistry())


def test_probes_and_metrics_are_served_where_told_and_nowhere_else() -> None:
    server = Health(time.monotonic).listen("127.0.0.1", 0, CollectorRegistry())
    serve(server)
    port = server.server_address[1]
    try:
        assert ask(port, "/healthz") == (200, "ok\n")
        if socket.has_dualstack_ipv6():
            with pytest.raises(OSError, match="refused"):
                ask(port, "/healthz", "[::1]")
    finally:
        server.shutdown()
        server.server_close()
