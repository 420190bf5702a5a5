"""Etcd is restored from a snapshot while the controller runs: what is so from then on, and what is said of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support import AFTER_A_WHILE, profiles
from tests.waiting import SOON, wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import NewOperator
    from tests.e2e.controlplane import ControlPlane
    from tests.e2e.support import User
    from tests.fakes.aws import World

WITHIN_A_MINUTE = 60.0
RESYNC_SECONDS = 5  # so that the next look at the cluster, which finds orphans, comes soon


@pytest.mark.parametrize("frozen", [False, True], ids=["sees it happen", "is frozen meanwhile"])
def test_what_is_made_after_a_restore_of_etcd_is_ready_within_a_minute(
    control_plane: ControlPlane, user: User, aws: World, new_operator: NewOperator, frozen: bool
) -> None:
    operator = new_operator(RESYNC_SECONDS=str(RESYNC_SECONDS))
    operator.start()
    user.apply("deleted", "kept")
    user.wait_ready("deleted", "kept")
    snapshot = control_plane.snapshot()
    user.apply("lost")
    user.wait_ready("lost", seconds=AFTER_A_WHILE)
    user.delete("deleted")
    user.wait_gone("deleted")
    assert operator.child
    if frozen:
        operator.child.send_signal(signal.SIGSTOP)
    control_plane.restore(snapshot)
    user.apply("new")
    if frozen:
        operator.child.send_signal(signal.SIGCONT)
    user.wait_ready("new", seconds=WITHIN_A_MINUTE)
    assert operator.said().count("set back version=") == 1
    user.wait_ready("deleted", "kept", seconds=AFTER_A_WHILE)  # the one is there again, with a new profile
    wait_for(lambda: "orphan cluster=" in operator.said(), SOON, "the profile without an object is told")
    assert user.gone("lost") and "lost" in profiles(aws)
    user.apply("lost")
    user.wait_ready("lost")  # by the profile that is there
    assert sorted(profiles(aws)) == ["deleted", "kept", "lost", "new"]
    assert aws.manners.count("CreateFargateProfile") == 5
