"""The controller as a real process, killed where a simulation can only pretend to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.fakes.aws import Manners
from tests.sandbox import sandbox
from tests.waiting import SOON

if TYPE_CHECKING:
    from tests.fakes.aws import Call


def test_a_controller_killed_inside_its_create_finds_the_profile_after_a_restart_and_makes_no_second() -> None:
    manners, killed = Manners(creating_seconds=1), threading.Event()
    with sandbox(manners, POLL_SECONDS=0.3) as box:

        def kill(call: Call) -> None:
            """Kill while the request is on its way: EKS carries it out, its answer reaches nobody."""
            if call.operation == "CreateFargateProfile":
                manners.on_call = None
                assert box.controller.kill() == -9
                killed.set()

        manners.on_call = kill
        box.start()
        manifest = {
            "apiVersion": "jicomusic.com/v1",
            "kind": "FargateProfile",
            "metadata": {"name": "web"},
            "spec": {"podExecutionRoleArn": box.world.roles["good"], "selectors": [{"namespace": "web"}]},
        }
        box.apply(manifest)
        box.wait_for(lambda: killed.is_set() and box.profiles(), SOON, "web is created and nobody hears of it")
        assert not box.ready("web")
        box.start()
        box.wait_for(lambda: box.ready("web"), SOON, "web gets Ready")
        assert list(box.profiles()) == ["web"]
        assert box.profiles()["web"]["status"] == "ACTIVE"
        assert manners.count("CreateFargateProfile") == 1
        assert box.controller.stop() == 0
