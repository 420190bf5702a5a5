"""What may fail between the controller, the API server and AWS, and that it comes right once it stops failing.

Every test ends with `converged`: each object has its one profile, and each profile its object.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support import AFTER_A_WHILE, IDENTITY, Operator, Proxy, User, ok, profiles, token_of
from tests.fakes.aws import DROP, error, hang
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.fakes.aws import World

OWNER = "fargateprofiles.jicomusic.com/owner"
FINALIZER = "fargateprofiles.jicomusic.com/finalizer"
SILENCE_SECONDS = 3.0  # a watch that says nothing for so long is given up; 135 in production
TROUBLE_SECONDS = 4.0
ROUNDS = 20
AWS_OUTAGE_SECONDS = 20.0


def converged(user: User, aws: World, *names: str) -> bool:
    """Say whether exactly these objects are there, all Ready, each with its profile, and no other profile is."""
    there = {obj["metadata"]["name"] for obj in user.objects() if obj["metadata"]["namespace"] == user.namespace}
    owners = {name: profile["tags"].get(OWNER) for name, profile in profiles(aws).items()}
    wanted = {name: f"{user.namespace}/{name}" for name in names}
    return there == set(names) and owners == wanted and all(user.ready(name) for name in names)


def wait_converged(user: User, aws: World, *names: str, seconds: float = AFTER_A_WHILE) -> None:
    wait_for(lambda: converged(user, aws, *names), seconds, f"{names} and their profiles are all there is")


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[Proxy]:
    """Return a network between the operator and the API server."""
    with Proxy(control_plane.url) as running:
        yield running


# --- The API server ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_an_object_that_etcd_has_no_room_for_any_more_is_deleted_all_the_same(
    user: User, aws: World, operator: Operator, tmp_path: Path, policy: str
) -> None:
    user.apply("web", deletionPolicy=policy)
    user.wait_ready("web")
    operator.stop()
    user.delete("web")
    fill(user, "web", tmp_path / "patch.json")
    operator.start()
    user.wait_gone("web", seconds=AFTER_A_WHILE)
    assert [*profiles(aws)] == ([] if policy == "Delete" else ["web"])
    if policy == "Delete":  # with Retain there is nothing to be waited for, and so nothing to be said
        assert "request is too large" in operator.said()


def fill(user: User, name: str, file: Path) -> None:
    """Put labels on an object until one more is refused for its size."""
    labels = 0
    for more in (1 << 13 >> shift for shift in range(14)):  # of about 120 bytes each, and once more in managedFields
        many = {f"example.com/{'k' * 40}{number}": "v" * 60 for number in range(labels + more)}
        file.write_text(json.dumps({"metadata": {"labels": many}}))
        patched = user.kubectl("patch", "fp", name, "--type=merge", "--patch-file", str(file))
        if patched.returncode == 0:
            labels += more
        else:
            assert "request is too large" in patched.stderr, patched.stderr


def test_the_api_server_is_killed_and_comes_back_with_its_data(
    control_plane: ControlPlane, user: User, aws: World, operator: Operator
) -> None:
    aws.manners.creating_seconds = 2
    user.apply("first")
    user.wait_ready("first")
    user.apply("second", "third")
    wait_for(lambda: "second" in profiles(aws) or "third" in profiles(aws), SOON, "one is being made")
    control_plane.stop_apiserver(kill=True)
    time.sleep(2)
    assert operator.died is None
    control_plane.start_apiserver()
    user.apply("fourth")
    wait_converged(user, aws, "first", "second", "third", "fourth")
    assert aws.manners.count("CreateFargateProfile") == 4
    user.delete("first")
    user.wait_gone("first")
    wait_converged(user, aws, "second", "third", "fourth")


def test_what_vanished_while_the_watch_could_not_be_resumed_is_found_missing(
    control_plane: ControlPlane, user: User, aws: World, new_operator: NewOperator, proxy: Proxy
) -> None:
    """Whoever finds nobody there lists anew: a restarted API server would answer 410, a restored one stay silent."""
    operator = new_operator(server=proxy.url)
    operator.start()
    user.apply("first", "second")
    user.wait_ready("first", "second")
    proxy.refuse = True
    proxy.cut()
    strip = '{"metadata":{"finalizers":null}}'
    ok(user.kubectl("patch", "fp", "first", "--type=merge", "-p", strip))
    user.delete("first")
    user.wait_gone("first")
    user.apply("third")
    control_plane.stop_apiserver()
    control_plane.start_apiserver()
    proxy.heal()
    user.wait_ready("third", seconds=AFTER_A_WHILE)
    assert operator.said().count("listed objects=") == 2
    assert sorted(profiles(aws)) == ["first", "second", "third"]  # nobody may delete what a human has let go
    user.apply("first")  # and it is taken up again by its tags
    wait_converged(user, aws, "first", "second", "third")
    assert aws.manners.count("CreateFargateProfile") == 3


@pytest.fixture
def without_watch_cache(control_plane: ControlPlane) -> Iterator[None]:
    """Have the API server read watches from etcd itself: from its cache it answers after a compaction too."""
    control_plane.stop_apiserver()
    control_plane.start_apiserver("--watch-cache=false")
    yield
    control_plane.stop_apiserver()
    control_plane.start_apiserver()


@pytest.mark.usefixtures("without_watch_cache")
def test_a_watch_that_would_resume_from_what_etcd_has_compacted_away_begins_with_a_new_list(
    control_plane: ControlPlane, user: User, aws: World, new_operator: NewOperator, proxy: Proxy
) -> None:
    operator = new_operator(server=proxy.url)
    operator.start()
    user.apply("first", "gone")
    user.wait_ready("first", "gone")
    proxy.refuse = True
    proxy.cut()
    user.delete("gone")
    user.apply("second")
    control_plane.compact()
    proxy.heal()
    wait_converged(user, aws, "first", "second")
    assert operator.said().count("listed objects=") == 2


# --- The network -------------------------------------------------------------------------------------------------


def test_a_watch_that_has_gone_silent_is_given_up_and_answered_by_a_new_list(
    user: User, aws: World, new_operator: NewOperator, proxy: Proxy
) -> None:
    operator = new_operator(server=proxy.url, runner=True, E2E_SILENCE_SECONDS=str(SILENCE_SECONDS))
    operator.start()
    user.apply("first")
    user.wait_ready("first")
    proxy.silence()
    user.apply("second")
    user.wait_ready("second", seconds=SILENCE_SECONDS + SOON)
    wait_converged(user, aws, "first", "second")
    assert operator.said().count("listed objects=") >= 2


def cut_again_and_again(proxy: Proxy) -> None:
    proxy.cut()


def refuse(proxy: Proxy) -> None:
    proxy.refuse = True
    proxy.cut()


def delay(proxy: Proxy) -> None:
    proxy.delay = 0.4


def truncate(proxy: Proxy) -> None:
    proxy.truncate_after = 500 + proxy.accepted * 977 % 5500  # in the middle of one answer or another


def swallow(proxy: Proxy) -> None:
    proxy.blackhole = True


@pytest.mark.parametrize("trouble", [cut_again_and_again, refuse, delay, truncate, swallow])
def test_a_network_that_fails_for_a_while_costs_nothing_but_time(
    user: User, aws: World, new_operator: NewOperator, proxy: Proxy, trouble: Any
) -> None:
    operator = new_operator(server=proxy.url, runner=True, E2E_SILENCE_SECONDS=str(SILENCE_SECONDS))
    operator.start()
    user.apply("first", "gone")
    user.wait_ready("first", "gone")
    user.apply("second", "third")
    user.edit("first", tags={"team": "b"})
    user.delete("gone")
    end = time.monotonic() + TROUBLE_SECONDS
    while time.monotonic() < end:
        trouble(proxy)
        time.sleep(0.3)
    proxy.heal()
    wait_converged(user, aws, "first", "second", "third")
    assert profiles(aws)["first"]["tags"]["team"] == "b"
    assert [aws.manners.count(f"{verb}FargateProfile") for verb in ("Create", "Delete")] == [4, 1]


# --- The controller ----------------------------------------------------------------------------------------------


def guarded(user: User, aws: World) -> bool:
    """Say whether each profile that is not going has an object that is guarded: S1 of the architecture."""
    held = {
        f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
        for obj in user.objects()
        if FINALIZER in obj["metadata"].get("finalizers", [])
    }
    return all(each["tags"][OWNER] in held for each in profiles(aws).values() if each["status"] != "DELETING")


def test_a_controller_that_is_killed_or_stopped_at_any_moment_goes_on_where_it_was(
    user: User, aws: World, new_operator: NewOperator
) -> None:
    seed = int(os.environ.get("E2E_SEED") or secrets.randbelow(10**6))
    print(f"E2E_SEED={seed}")
    chance = random.Random(seed)
    aws.manners.max_profiles = ROUNDS
    operator = new_operator(runner=True, E2E_LOST_CREATE_SECONDS="5")
    for number in range(ROUNDS):
        operator.start("started cluster=")
        do_something(user, aws, chance, number)
        time.sleep(chance.uniform(0, 1))
        how = chance.choice([signal.SIGKILL, signal.SIGTERM])
        assert operator.end(how) == (0 if how == signal.SIGTERM else -signal.SIGKILL)
        assert guarded(user, aws)
    operator.start()
    wait_for(
        lambda: converged(user, aws, *names(user)),
        AFTER_A_WHILE,
        "every object that is left has its profile, and every profile its object",
    )
    left = names(user)
    if left:
        user.delete(*left)
        user.wait_gone(*left, seconds=AFTER_A_WHILE)
    assert profiles(aws) == {}


def names(user: User) -> list[str]:
    """Return the user's objects."""
    return [obj["metadata"]["name"] for obj in user.objects() if obj["metadata"]["namespace"] == user.namespace]


def do_something(user: User, aws: World, chance: random.Random, number: int) -> None:
    """Do what a user or somebody else does; it may come too late for an object that is going."""
    there = names(user)
    name = chance.choice(there) if there else ""
    deeds = ["apply", "apply", *(["edit", "delete", "delete and apply", "behind our back"] if there else [])]
    match chance.choice(deeds):
        case "apply":
            user.apply(f"app-{number}")
        case "edit":
            change = json.dumps({"spec": {"tags": {"round": str(number)}}})
            user.kubectl("patch", "fp", name, "--type=merge", "-p", change)
        case "delete":
            user.kubectl("delete", "fp", name, "--wait=false")
        case "delete and apply":
            user.kubectl("delete", "fp", name, "--wait=false")
            time.sleep(chance.uniform(0, 1))
            user.kubectl("apply", "-f", "-", stdin=json.dumps(user.manifest(name)))
        case _:
            with suppress(KeyError):
                aws.delete_profile(aws.cluster, name)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_controller_that_is_to_stop_does_not_wait_for_an_aws_that_gives_no_answer(
    user: User, aws: World, operator: Operator, signals: int
) -> None:
    user.apply("first")
    user.wait_ready("first")
    asked = aws.manners.count("CreateFargateProfile")
    aws.manners.fail("CreateFargateProfile", hang(9.5))
    user.apply("second")
    wait_for(lambda: aws.manners.count("CreateFargateProfile") > asked, SOON, "the create is on its way")
    if signals > 1 and operator.child:
        operator.child.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in operator.said(), SOON, "the first signal is heard")
        assert operator.died is None
    started = time.monotonic()
    assert operator.stop() == (0 if signals == 1 else -signal.SIGTERM)
    assert signals == 1 or time.monotonic() - started < 3
    operator.start()
    wait_converged(user, aws, "first", "second")
    assert aws.manners.count("CreateFargateProfile") == 2


# --- AWS ---------------------------------------------------------------------------------------------------------


def test_aws_throttled_and_then_unreachable_is_said_and_passes(user: User, aws: World, operator: Operator) -> None:
    user.apply("first", "gone")
    user.wait_ready("first", "gone")
    aws.manners.fail("*", error("ThrottlingException", 429, "Rate exceeded"), times=10**6)
    end = time.monotonic() + AWS_OUTAGE_SECONDS
    user.apply("second")
    user.delete("gone")
    user.wait_reason("Throttled", "second")
    assert user.condition("second", "Reconciling")["status"] == "True"
    assert not user.condition("second", "Stalled")
    time.sleep(max(0.0, end - time.monotonic()))
    aws.manners.heal()
    aws.manners.fail("*", DROP, times=10**6)
    end = time.monotonic() + AWS_OUTAGE_SECONDS
    user.apply("third")
    user.wait_reason("AwsUnreachable", "third", seconds=AFTER_A_WHILE)
    time.sleep(max(0.0, end - time.monotonic()))
    assert user.ready("first")  # nobody has seen otherwise
    assert "gone" in profiles(aws)
    assert not user.gone("gone")
    aws.manners.heal()
    # Each wait was twice the one before, so the next may come as long after the trouble as the trouble was.
    wait_converged(user, aws, "first", "second", "third", seconds=4 * AWS_OUTAGE_SECONDS + AFTER_A_WHILE)
    assert user.events("second", "Warning") == user.events("third", "Warning") == []


# --- Credentials -------------------------------------------------------------------------------------------------


def test_a_token_that_is_rotated_in_the_pod_is_read_again(
    control_plane: ControlPlane, user: User, aws: World, new_operator: NewOperator, tmp_path: Path
) -> None:
    secret = f"token-{secrets.token_hex(4)}"
    ok(control_plane.kubectl("create", "secret", "generic", secret, "-n", "default"))
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(control_plane.ca.read_bytes())
    bound = ("--bound-object-kind=Secret", f"--bound-object-name={secret}")
    (folder / "token").write_text(token_of(control_plane, IDENTITY, *bound))
    host, _, port = control_plane.url.rpartition("/")[2].partition(":")
    variables = {"KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    operator = new_operator(runner=True, E2E_SERVICE_ACCOUNT=str(folder), E2E_TOKEN_SECONDS="2", **variables)
    operator.start()
    user.apply("first")
    user.wait_ready("first")
    (folder / "new").write_text(token_of(control_plane, IDENTITY) + "\n")
    (folder / "new").rename(folder / "token")
    ok(control_plane.kubectl("delete", "secret", secret, "-n", "default"))  # with it the old token
    time.sleep(2.1)  # E2E_TOKEN_SECONDS have passed then
    user.apply("second")
    wait_converged(user, aws, "first", "second")
    used = {
        event["user"]["extra"]["authentication.kubernetes.io/credential-id"][0]
        for event in control_plane.audit()
        if event["user"]["username"] == IDENTITY and event.get("objectRef", {}).get("namespace") == user.namespace
    }
    assert len(used) == 2
