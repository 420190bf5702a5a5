"""Objects as big as etcd takes them: what the controller needs of memory to start beside them and to report on each.

BIG_OBJECTS=1000 makes it the figure of the documentation; `make soak` is content with fewer.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import Sandbox, sandbox

OBJECTS = int(os.environ.get("BIG_OBJECTS", "60"))
MOST_MIB = 200.0
SECONDS = 60 + 2.0 * OBJECTS
SUBNETS = ["subnet-0123456789abcdef0"] * 40_000  # one string for all: this process has them in its memory too


def big(name: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", "annotations": {"team/notes": "x" * 200_000}}
    spec = {
        "podExecutionRoleArn": "arn:aws:iam::123456789012:role/pods",
        "selectors": [{"namespace": name}],
        "subnets": SUBNETS,
    }
    return {"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": spec}


def resident(box: Sandbox) -> tuple[float, float]:
    """Return what the controller has of memory, and the most that it has had, in MiB."""
    assert box.controller.child
    lines = Path(f"/proc/{box.controller.child.pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return int(status["VmRSS"].split()[0]) / 1024, int(status["VmHWM"].split()[0]) / 1024


def refused(box: Sandbox, number: int) -> bool:
    obj = box.api.peek("fargateprofiles", "default", f"big-{number}") or {}
    listed = obj.get("status", {}).get("conditions", [])
    return any(each.get("reason") == "InvalidSpec" for each in listed)


@pytest.mark.timeout(2 * SECONDS + 60)
def test_the_memory_stays_small_beside_objects_that_are_as_big_as_they_can_be() -> None:
    with sandbox(RESYNC_SECONDS=600) as box:
        for number in range(OBJECTS):
            box.api.apply(big(f"big-{number}"))
        size = len(json.dumps(big("x"), separators=(",", ":"))) / 1e6
        box.controller.start()
        box.wait_for(lambda: box.api.watching() == 1, SECONDS, "the objects are listed")
        listed = resident(box)
        left = set(range(OBJECTS))

        def all_told() -> bool:
            left.difference_update([number for number in left if refused(box, number)])
            return not left

        box.wait_for(all_told, SECONDS, "each object is told what is wrong with it")
        told = resident(box)
    for when, (now, most) in (("listed", listed), ("reported on", told)):
        print(f"{OBJECTS} objects of {size:.1f} MB {when}: {now:.0f} MiB, {most:.0f} MiB at most")
    assert told[1] < MOST_MIB
