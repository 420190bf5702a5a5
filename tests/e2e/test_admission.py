"""Policies and webhooks of a real API server that refuse what the operator writes, and what the object says then."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support import IDENTITY, Operator, User, ok, profiles
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fakes.aws import World

Object = dict[str, Any]
BY_THE_OPERATOR = f"request.userInfo.username == '{IDENTITY}'"
SAME_FINALIZERS = (
    "(has(object.metadata.finalizers) ? object.metadata.finalizers : []) == "
    "(has(oldObject.metadata.finalizers) ? oldObject.metadata.finalizers : [])"
)
WORDS = "finalizers are not for operators here"
LATER = 90.0  # a backoff has grown, and the API server takes its time to forget a policy


@pytest.fixture
def guard(user: User) -> Iterator[Callable[..., None]]:
    """Return what puts objects of admission there; they go after the test, or before by `guard()` alone."""
    there: list[tuple[str, str]] = []

    def change(*objects: Object) -> None:
        for kind, name in there:
            assert user.kubectl("delete", kind, name, "--ignore-not-found").returncode == 0
        there.clear()
        for obj in objects:
            ok(user.kubectl("apply", "-f", "-", stdin=json.dumps(obj)))
            there.append((obj["kind"], obj["metadata"]["name"]))

    yield change
    change()


def policy(resource: str, rule: str) -> tuple[Object, Object]:
    """Return a policy, and its binding, that has the operator's updates of a resource keep to a rule."""
    name = f"guard-{secrets.token_hex(3)}"
    group = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    rules = {"apiGroups": ["jicomusic.com"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": [resource]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rules]},
        "matchConditions": [{"name": "by-the-operator", "expression": BY_THE_OPERATOR}],
        "validations": [{"expression": rule, "message": WORDS}],
    }
    bound = {"policyName": name, "validationActions": ["Deny"]}
    return (
        {**group, "kind": "ValidatingAdmissionPolicy", "spec": spec},
        {**group, "kind": "ValidatingAdmissionPolicyBinding", "spec": bound},
    )


def dead_webhook() -> Object:
    """Return a webhook on objects, not on their status, that nobody answers."""
    hook = {
        "name": "dead.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/never"},
        "rules": [
            {"apiGroups": ["jicomusic.com"], "apiVersions": ["v1"], "operations": ["UPDATE"],
             "resources": ["fargateprofiles"]}
        ],
        "matchConditions": [{"name": "by-the-operator", "expression": BY_THE_OPERATOR}],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": 2,
        "admissionReviewVersions": ["v1"],
    }  # fmt: skip
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": f"dead-{secrets.token_hex(3)}"},
        "webhooks": [hook],
    }


def refused(user: User, words: str) -> bool:
    ready = user.condition()
    return ready.get("reason") == "WriteRefused" and words in str(ready.get("message"))


@pytest.mark.parametrize("kind", ["policy", "dead webhook"])
def test_a_finalizer_that_may_not_be_put_in_is_said_with_the_api_server_s_words_until_it_may(
    operator: Operator, user: User, aws: World, guard: Callable[..., None], kind: str
) -> None:
    objects, words = (policy("fargateprofiles", SAME_FINALIZERS), WORDS)
    if kind == "dead webhook":
        objects, words = (dead_webhook(),), "dead.example.com"  # type: ignore[assignment]
    guard(*objects)
    wait_for(lambda: refuses(user), SOON, "the policy is in force")
    user.apply("web")
    wait_for(lambda: refused(user, words), SOON, "the object says what refuses its finalizer")
    assert user.condition(kind="Stalled").get("status") == "True"
    user.wait_events("Refused", kind="Warning")
    assert profiles(aws) == {}
    guard()
    user.wait_ready("web", seconds=LATER)


def refuses(user: User) -> bool:
    """Say whether a patch by the operator's own account is refused yet; the probe leaves nothing behind."""
    probe = f"probe-{secrets.token_hex(3)}"
    user.apply(probe, suspend=True)
    patch = json.dumps({"metadata": {"finalizers": ["probe.example/x"]}})
    done = user.kubectl("patch", "fp", probe, "--type=merge", "-p", patch, f"--as={IDENTITY}")
    ok(user.kubectl("patch", "fp", probe, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}})))
    user.delete(probe)
    return done.returncode != 0


def test_an_object_that_may_not_be_let_go_says_what_holds_it(
    operator: Operator, user: User, aws: World, guard: Callable[..., None]
) -> None:
    user.apply("web")
    user.wait_ready("web")
    guard(*policy("fargateprofiles", SAME_FINALIZERS))
    wait_for(lambda: refuses(user), SOON, "the policy is in force")
    user.delete("web")
    wait_for(lambda: refused(user, WORDS), LATER, "the object says what holds it")
    guard()
    user.wait_gone("web", seconds=LATER)
    assert profiles(aws) == {}


def test_a_status_that_may_not_be_written_is_told_by_one_event_and_nothing_is_made(
    operator: Operator, user: User, aws: World, guard: Callable[..., None]
) -> None:
    guard(*policy("fargateprofiles/status", "false"))
    wait_for(lambda: refuses_status(user), SOON, "the policy is in force")
    user.apply("web")
    user.wait_events("WriteRefused", kind="Warning")
    assert WORDS in user.notes("WriteRefused")[0]
    assert profiles(aws) == {}
    guard()
    user.wait_ready("web", seconds=LATER)
    assert user.events(kind="Warning") == ["WriteRefused"]


def refuses_status(user: User) -> bool:
    probe = f"probe-{secrets.token_hex(3)}"
    user.apply(probe, suspend=True)
    patch = json.dumps({"status": {"profileName": "x"}})
    done = user.kubectl("patch", "fp", probe, "--subresource=status", "--type=merge", "-p", patch, f"--as={IDENTITY}")
    user.delete(probe)
    return done.returncode != 0
