"""One controller for twenty EKS clusters of an account: one of them that is in trouble slows none of the others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.aws import DROP, Fault, Manners, error, hang
from tests.sandbox import Sandbox, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

CLUSTERS = [f"cluster-{number}" for number in range(20)]
TROUBLED, OTHERS = CLUSTERS[0], CLUSTERS[1:]
SOON_SECONDS = 60.0
EXTRA_SECONDS = 3.0  # far below the 10 s after which a request that is not answered is given up
TROUBLE: dict[str, Fault] = {
    "answers after 30 s": hang(30),
    "is forbidden": error("AccessDeniedException", 403, "not authorized"),
    "can't be reached": DROP,
}


def apply(box: Sandbox, cluster: str, name: str = "web") -> None:
    spec = {
        "podExecutionRoleArn": box.world.roles["good"],
        "selectors": [{"namespace": "web"}],
        "clusterName": cluster,
        "profileName": name,
    }
    meta = {"name": f"{name}-{cluster}"}
    box.apply({"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": spec})


def until_the_others_are_ready(trouble: Fault | None, look: Callable[[Sandbox], None]) -> float:
    """Apply an object for each cluster, the troubled one's first; return the seconds until all others are Ready."""
    manners = Manners(creating_seconds=0.5)
    with sandbox(manners, POLL_SECONDS=0.3) as box:
        for cluster in CLUSTERS:
            box.world.add_cluster(cluster)
        if trouble:
            manners.fail("*", trouble, times=10**6, cluster=TROUBLED)
        box.start()
        started = time.monotonic()
        for number in range(32):  # twice as many as there are workers
            apply(box, TROUBLED, f"first-{number}")
        for cluster in CLUSTERS:
            apply(box, cluster)
        box.wait_for(lambda: all(box.ready(f"web-{each}") for each in OTHERS), SOON_SECONDS, "all others are Ready")
        took = time.monotonic() - started
        look(box)
        return took


@pytest.fixture(scope="module")
def usual() -> float:
    """Return how long it takes without any trouble."""
    return until_the_others_are_ready(None, lambda box: None)


@pytest.mark.parametrize("trouble", TROUBLE)
def test_one_cluster_in_trouble_slows_none_of_the_others(usual: float, trouble: str) -> None:
    def look(box: Sandbox) -> None:
        assert not box.ready(f"web-{TROUBLED}")
        assert any(call.params.get("cluster") == TROUBLED for call in box.world.manners.calls), "it was asked"

    took = until_the_others_are_ready(TROUBLE[trouble], look)
    print(f"19 clusters Ready after {took:.1f} s, without trouble {usual:.1f} s")
    assert took < usual * 1.5 + EXTRA_SECONDS
