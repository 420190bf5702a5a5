"""A long life in a short time: objects come, change, fail and go for a minute, at the pace of ten and more.

Memory, threads, open files and the queue have to stay flat. `make soak` runs it and prints the figures;
SOAK_SECONDS=600 makes it longer.
"""

from __future__ import annotations

import os
import random
import socket
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.aws import Manners, error
from tests.sandbox import Sandbox, sandbox

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
OBJECTS = 12
MOST_GROWTH_MIB = 4.0  # from the second quarter to the last


@dataclass(frozen=True)
class Sample:
    resident_mib: float
    threads: int
    files: int
    depth: float


def sample(pid: int, port: int) -> Sample:
    folder = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    (depth,) = families["workqueue_depth"].samples
    files = len(list((folder / "fd").iterdir()))
    return Sample(int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), files, depth.value)


def churn(box: Sandbox, chance: random.Random, number: int) -> None:
    """Do one thing that a user, AWS or a network may do."""
    there = [each["metadata"]["name"] for each in box.objects() if "deletionTimestamp" not in each["metadata"]]
    if len(there) >= OBJECTS or (there and chance.random() < 0.3):
        box.delete(chance.choice(there))
        return
    match chance.randrange(6):
        case 0 if there:
            change = {"spec": {"tags": {"round": str(number)}}}
            box.api.edit("fargateprofiles", "default", chance.choice(there), change)
        case 1:
            box.world.manners.heal()  # what nobody has met yet does not pile up
            box.world.manners.fail("*", error("ThrottlingException", 429))
            box.api.kill_watches("reset")
        case 2:
            apply(box, f"bad-{number}", role="no-trust")
        case 3:
            apply(box, f"lost-{number}", clusterName=f"none-{number}")
        case _:
            apply(box, f"web-{number}")


def apply(box: Sandbox, name: str, role: str = "good", **spec: str) -> None:
    fields = {"podExecutionRoleArn": box.world.roles[role], "selectors": [{"namespace": name}], **spec}
    meta = {"name": name}
    box.apply({"apiVersion": "jicomusic.com/v1", "kind": "FargateProfile", "metadata": meta, "spec": fields})


def live(box: Sandbox, port: int) -> list[Sample]:
    """Return a sample for each second of the soak."""
    chance, started = random.Random(7), time.monotonic()
    samples: list[Sample] = []
    child = box.controller.child
    assert child
    while (elapsed := time.monotonic() - started) < SECONDS:
        churn(box, chance, int(elapsed * 10))
        if len(samples) <= elapsed:
            samples.append(sample(child.pid, port))
        time.sleep(0.1)
    return samples


@pytest.mark.timeout(SECONDS + 240)
def test_memory_threads_files_and_the_queue_stay_flat() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    manners = Manners(creating_seconds=0.3, deleting_seconds=0.3, max_profiles=1000)
    pace = {"POLL_SECONDS": 0.2, "RESYNC_SECONDS": 2, "HEALTH_PORT": port, "NO_LEADER_ELECT": ""}
    with sandbox(manners, **pace) as box:
        box.start()
        samples = live(box, port)
        manners.heal()
        for each in box.objects():
            box.delete(each["metadata"]["name"])
        box.wait_for(lambda: not box.objects(), 120, "every object goes in the end")
        assert box.profiles() == {}
        assert "Traceback" not in box.controller.log.read_text()
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    calls = len(manners.calls)
    for name in ("resident_mib", "threads", "files", "depth"):
        first, last = (mean(getattr(each, name) for each in part) for part in (early, late))
        most = max(getattr(each, name) for each in samples)
        print(f"{name}: {first:.1f} in the second quarter, {last:.1f} in the last, {most:.1f} at most")
    print(f"{SECONDS:.0f} s, {calls} calls of AWS, {len(box.api.writes())} writes to Kubernetes")
    assert mean(each.resident_mib for each in late) - mean(each.resident_mib for each in early) < MOST_GROWTH_MIB
    assert max(each.threads for each in late) <= max(each.threads for each in early) + 1
    assert max(each.files for each in late) <= max(each.files for each in early) + 2
    assert max(each.depth for each in late) <= OBJECTS
