"""What one look at pods costs beside very many of them, on a real kube-apiserver: python -m tests.bench.pods

The pods are written into etcd as the API server itself writes them: one of each kind is made through it, and its bytes
are copied under other names and uids of the same length. Each look is one process, which has only the parts of the
controller that look; what it and the API server take in processor time and memory is read from /proc.
`--others 2000 --waiting 500` is a small one. With --control-plane's binaries only (CONTRIBUTING.md says whence).
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import os
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from aws import Profile, selector
from clusters import View
from informer import Store, kept
from kube import Kube, Objects, connect
from limits import Settings
from podlooks import LEAST_SECONDS, SETTLING_SECONDS, PodLooks
from pods import FARGATE_SCHEDULER, PROFILE_LABEL
from tests.e2e.controlplane import ControlPlane
from tests.waiting import wait_for

Object = dict[str, Any]
NAMESPACE, PODS = "default", "/api/v1/namespaces/default/pods"
OPERATIONS = 100  # of one transaction of etcd, which takes 128
CAUGHT_UP_SECONDS = 300.0
LOOK_SECONDS = 300.0
MIB = 1 << 20
MERGE = "application/merge-patch+json"
FARGATE = {"schedulerName": FARGATE_SCHEDULER}
TAKEN = {PROFILE_LABEL: "web"}
NODE = {"nodeName": "fargate-ip-10-0-0-1.eu-central-1.compute.internal"}


class Kind(NamedTuple):
    """Pods that are alike: their letter, how they are made, and what becomes of them."""

    letter: str
    labels: dict[str, str]
    spec: Object
    phase: str


FIRST = (
    (Kind("r", TAKEN, FARGATE | NODE, "Running"), 4700),
    (Kind("s", TAKEN, FARGATE | NODE, "Pending"), 200),
    (Kind("w", TAKEN, FARGATE, "Pending"), 50),
    (Kind("f", TAKEN, FARGATE | NODE, "Succeeded"), 50),
)
OTHERS = Kind("o", {}, {"nodeName": "ip-10-0-0-2.eu-central-1.compute.internal"}, "Running")
WAITING = Kind("z", {}, {}, "Pending")


# Pods by the hundred thousand


def container(name: str) -> Object:
    return {
        "name": name,
        "image": f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/{name}:2026-11-22",
        "env": [{"name": f"SETTING_{number}", "value": "as the chart has it"} for number in range(6)],
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/shop"}],
    }


def pod(kind: Kind) -> Object:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-5d9f7c6b8", "uid": str(uuid.uuid4())}
    labels = {"app.kubernetes.io/name": "shop", "tier": "web", "pod-template-hash": "5d9f7c6b8"} | kind.labels
    annotations = {"CapacityProvisioned": "0.5vCPU 1GB", "Logging": "LoggingEnabled"} if kind.labels else {}
    meta = {"name": f"{kind.letter}-0000000", "labels": labels, "annotations": annotations}
    spec = {"containers": [container("shop")], **kind.spec}
    spec["volumes"] = [{"name": "settings", "configMap": {"name": "shop"}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta | {"ownerReferences": [owner | {"controller": True}]},
            "spec": spec}  # fmt: skip


def make_first(plane: ControlPlane, kind: Kind) -> tuple[bytes, str]:
    """Make one pod of a kind through the API server; return its bytes in etcd, and its uid."""
    text = json.dumps(pod(kind))
    made = plane.kubectl("create", "-f", "-", "-o", "json", input=text)
    assert made.returncode == 0, made.stderr
    name = f"{kind.letter}-0000000"
    conditions = [{"type": each, "status": "True"} for each in ("Initialized", "Ready", "ContainersReady")]
    status = json.dumps({"status": {"phase": kind.phase, "conditions": conditions}})
    patched = plane.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", status)
    assert patched.returncode == 0, patched.stderr
    found = plane.etcd("kv/range", key=encoded(key_of(name)))["kvs"][0]["value"]
    return base64.b64decode(found), str(json.loads(made.stdout)["metadata"]["uid"])


def key_of(name: str) -> bytes:
    return f"/registry/pods/{NAMESPACE}/{name}".encode()


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def fill(plane: ControlPlane, kind: Kind, count: int) -> int:
    """Have so many pods of a kind; return how many bytes each has in etcd."""
    raw, uid = make_first(plane, kind)
    name = f"{kind.letter}-0000000"
    for start in range(1, count, OPERATIONS):
        puts = []
        for number in range(start, min(start + OPERATIONS, count)):
            other = f"{kind.letter}-{number:07}"
            copy = raw.replace(name.encode(), other.encode()).replace(uid.encode(), str(uuid.uuid4()).encode())
            puts.append({"requestPut": {"key": encoded(key_of(other)), "value": encoded(copy)}})
        plane.etcd("kv/txn", success=puts)
    return len(raw)


def served(plane: ControlPlane) -> int:
    """Return how many pods the API server's cache knows of."""
    got = plane.kubectl("get", "--raw", f"{PODS}?limit=1")
    if got.returncode:
        return 0
    listed = json.loads(got.stdout)
    return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount", 0))


# One look, in a process of its own


class Cached(Kube):
    """An edge that lists out of the API server's cache: resourceVersion=0, which it answers in one page."""

    def pages(self, path: str, query: Mapping[str, str], **options: Any) -> Iterator[tuple[Objects, str]]:
        return super().pages(path, {**query, "resourceVersion": "0"}, **options)


def look(cached: bool) -> Object:
    """Look once; return what that took and what was seen."""
    ahead = 0.0
    logging.basicConfig(level=logging.INFO)  # why nothing is known, if so
    profile = Profile("web", "arn", "ACTIVE", datetime.now(UTC), "role", frozenset({selector("*", {})}), frozenset())
    edge = (Cached if cached else Kube)(connect(2), "bench", keep=kept)
    settings = Settings("demo", "", 3600.0)
    looks = PodLooks(
        edge, Store(), settings, lambda: View(True, {"web": profile}, time.monotonic() + ahead), lambda _key: None,
        lambda: time.monotonic() + ahead, lambda: datetime.now(UTC),
    )  # fmt: skip
    looks.proof = lambda: ""
    looks.step()
    ahead = max(LEAST_SECONDS, SETTLING_SECONDS) + 1.0
    before, started, cpu = forget_peak(os.getpid()), time.monotonic(), time.process_time()
    looks.step()
    counted = looks.counted().get("web")
    return {
        "seconds": time.monotonic() - started,
        "cpu": time.process_time() - cpu,
        "mib": (memory(os.getpid(), "VmHWM") - before) / MIB,
        "all": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "counted": vars(counted) if counted else None,
    }


def forget_peak(pid: int) -> int:
    """Have the kernel measure a process's most memory from now on; return what it has."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory(pid, "VmRSS")


def memory(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(plane: ControlPlane, what: str, *, cached: bool) -> None:
    pid = plane.apiserver_pid
    before, cpu = forget_peak(pid), processor_seconds(pid)
    command = [sys.executable, "-m", "tests.bench.pods", "--look", *(["--cached"] if cached else [])]
    environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=LOOK_SECONDS)
    found = json.loads(done.stdout.splitlines()[-1])
    server_cpu, peak = processor_seconds(pid) - cpu, memory(pid, "VmHWM")
    ours = f"{found['seconds']:>7.1f} {found['cpu']:>7.2f} {found['mib']:>7.0f}"
    theirs = f"{server_cpu:>9.2f} {(peak - before) / MIB:>7.0f} {before / MIB:>8.0f}"
    told = found["counted"] or done.stderr.strip()
    print(f"{what:<18} {'cache' if cached else 'quorum':<7} {ours} {theirs}   {told}", flush=True)


def main(arguments: list[str]) -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--look", action="store_true", help=argparse.SUPPRESS)
    asked.add_argument("--cached", action="store_true", help=argparse.SUPPRESS)
    asked.add_argument("--others", type=int, default=200_000, help="pods that are not on Fargate")
    asked.add_argument("--waiting", type=int, default=50_000, help="pods that wait, in the second part")
    options = asked.parse_args(arguments)
    if options.look:
        print(json.dumps(look(options.cached)))
        return
    with ControlPlane() as plane:
        compare(plane, options.others, options.waiting)


def compare(plane: ControlPlane, others: int, waiting: int) -> None:
    sizes = [fill(plane, kind, count) for kind, count in (*FIRST, (OTHERS, others))]
    print(f"pods of {min(sizes):,} to {max(sizes):,} bytes in etcd; each look in a process of its own")
    print(
        f"{'':<18} {'lists':<7} {'seconds':>7} {'our CPU':>7} {'our MiB':>7} {'their CPU':>9} {'+MiB':>7} {'of MiB':>8}"
    )
    fargate = sum(count for _, count in FIRST)
    wait_for(lambda: served(plane) == fargate + others, CAUGHT_UP_SECONDS, "the API server knows all pods")
    for cached in (False, True, False, True):
        measure(plane, f"{fargate:,} + {others:,}", cached=cached)
    fill(plane, WAITING, waiting)
    total = fargate + others + waiting
    wait_for(lambda: served(plane) == total, CAUGHT_UP_SECONDS, "the API server knows all pods")
    for cached in (False, False, True, False):
        measure(plane, f"and {waiting:,} wait", cached=cached)


if __name__ == "__main__":
    main(sys.argv[1:])
