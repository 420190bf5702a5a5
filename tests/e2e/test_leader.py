"""Two replicas on a real API server: who acts, how fast another takes over, and that never two act (the audit log)."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.support import AFTER_A_WHILE, IDENTITY, ROOT, Operator, User, ok, profiles, token_of
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.fakes.aws import World

RELEASED_WITHIN = 3.0  # of a release another acts
EXPIRED_WITHIN = 20.0  # of a kill
CREDENTIAL = "authentication.kubernetes.io/credential-id"
Event = dict[str, Any]


def at(event: Event) -> float:
    return datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()


@dataclass
class Replica:
    """An operator with a token of its own, by which the audit log tells it from the other."""

    operator: Operator
    control_plane: ControlPlane
    credential: str
    since: int  # in the audit log

    @property
    def leads(self) -> bool:
        return self.operator.said().count("leading lease=") > self.operator.said().count("lost the Lease")

    def wrote(self, *resources: str) -> list[Event]:
        """Return its writes that the API server took."""
        found = []
        for event in self.control_plane.audit()[self.since :]:
            ours = event["user"].get("extra", {}).get(CREDENTIAL) == [self.credential]
            taken = event.get("responseStatus", {}).get("code", 500) < 300
            if ours and taken and event["verb"] in {"create", "update", "patch"}:
                found += [event] if event["objectRef"]["resource"] in resources else []
        return found


@pytest.fixture
def pair(control_plane: ControlPlane, user: User, new_operator: NewOperator) -> tuple[Replica, Replica]:
    """Return two replicas that run, the first of them leading, the second one warm."""
    control_plane.kubectl("delete", "lease", "fargate-operator", "-n", "default", "--ignore-not-found")
    made = [replica(control_plane, new_operator, name) for name in ("one", "two")]
    made[0].operator.start(until="leading lease=")
    made[1].operator.start()
    return made[0], made[1]


def replica(control_plane: ControlPlane, new_operator: NewOperator, name: str) -> Replica:
    token = token_of(control_plane, IDENTITY)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = json.loads(ok(control_plane.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(review))))
    (credential,) = answer["status"]["user"]["extra"][CREDENTIAL]
    operator = new_operator(token=token, NO_LEADER_ELECT="", HOSTNAME=name)
    return Replica(operator, control_plane, credential, len(control_plane.audit()))


def never_two_writers(*replicas: Replica) -> None:
    """Each write to an object or of an event was made by who had last written the Lease."""
    holders = sorted((at(event), replica.credential) for replica in replicas for event in replica.wrote("leases"))
    writes = [
        (at(event), replica.credential) for replica in replicas for event in replica.wrote("fargateprofiles", "events")
    ]
    assert {who for _, who in writes} == {replica.credential for replica in replicas}, "both have written something"
    for when, who in writes:
        assert [holder for since, holder in holders if since <= when][-1] == who


def test_a_replica_that_stands_by_writes_nothing_and_takes_over_within_3_s_of_a_release(
    user: User, aws: World, pair: tuple[Replica, Replica]
) -> None:
    one, two = pair
    user.apply("first")
    user.wait_ready("first")
    assert not two.leads
    assert two.wrote("leases", "fargateprofiles", "events") == []
    aws.manners.clear()
    assert one.operator.stop() == 0
    released = at(one.wrote("leases")[-1])
    wait_for(lambda: two.leads and aws.manners.calls, SOON, "the other takes over and looks at EKS")
    looked = min(call.time for call in aws.manners.calls)
    print(f"acts {looked - released:.2f} s after the release")
    assert looked - released < RELEASED_WITHIN
    user.apply("second")
    user.wait_ready("first", "second")
    assert aws.manners.count("CreateFargateProfile") == 1, "only that of the second"
    never_two_writers(one, two)


def test_a_leader_that_is_killed_in_the_middle_is_followed_within_20_s(
    user: User, aws: World, pair: tuple[Replica, Replica]
) -> None:
    one, two = pair
    aws.manners.creating_seconds = 3
    user.apply("first", "second")
    wait_for(lambda: aws.manners.count("CreateFargateProfile"), SOON, "one is being made")
    one.operator.kill()
    renewed = at(one.wrote("leases")[-1])
    wait_for(lambda: two.leads, EXPIRED_WITHIN + SOON, "the other takes over")
    taken = at(two.wrote("leases")[0])
    print(f"taken {taken - renewed:.2f} s after the last renewal")
    assert 15 <= taken - renewed < EXPIRED_WITHIN
    user.wait_ready("first", "second", seconds=AFTER_A_WHILE)
    assert aws.manners.count("CreateFargateProfile") == 2
    never_two_writers(one, two)


def test_a_leader_that_slept_while_another_took_over_sends_nothing_more_and_ends(
    user: User, aws: World, pair: tuple[Replica, Replica]
) -> None:
    one, two = pair
    user.apply("first")
    user.wait_ready("first")
    user.wait_events("Created", name="first")  # what is on its way when it is stopped arrives much later
    child = one.operator.child
    assert child
    child.send_signal(signal.SIGSTOP)
    wait_for(lambda: two.leads, EXPIRED_WITHIN + SOON, "the other takes over")
    user.apply("second")  # both watches tell of it
    user.wait_ready("second")
    child.send_signal(signal.SIGCONT)
    assert child.wait(10) == 1
    one.operator.child = None  # it has ended as it should
    assert "lost the Lease, this process ends" in one.operator.said()
    assert sorted(profiles(aws)) == ["first", "second"]
    user.delete("first")
    user.wait_gone("first")
    never_two_writers(one, two)


def test_the_lease_is_where_the_flags_say(user: User, control_plane: ControlPlane, new_operator: NewOperator) -> None:
    documents = yaml.safe_load_all((ROOT / "rbac.yaml").read_text())
    items = [each for each in documents if each["kind"] in {"Role", "RoleBinding"}]
    for each in items:
        each["metadata"]["namespace"] = user.namespace
    items[0]["rules"][0]["resourceNames"] = ["shard-a"]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    ok(user.kubectl("apply", "-f", "-", stdin=json.dumps(listed)))
    operator = new_operator(NO_LEADER_ELECT="", HOSTNAME="pod-1", LEASE_NAMESPACE=user.namespace, LEASE_NAME="shard-a")
    operator.start(until=f"leading lease={user.namespace}/shard-a")
    holder = ok(user.kubectl("get", "lease", "shard-a", "-o", "jsonpath={.spec.holderIdentity}"))
    assert re.fullmatch("pod-1_[0-9a-f-]{36}", holder)
    assert operator.stop() == 0
    assert ok(user.kubectl("get", "lease", "shard-a", "-o", "jsonpath={.spec.holderIdentity}")) == ""
