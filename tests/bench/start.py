"""What a start costs with the packages of a folder: python -m tests.bench.start FOLDER ...

Each folder is one that `pip install --target` filled, pruned as for the image or not. The controller is imported from
this checkout, and all parts are made (`build`); nothing is asked of any server. It prints the resident memory then
(VmRSS) and the time since Python began with the first import; and the same once the clients of EC2, IAM and STS are
made too, as at the first create. Medians of RUNS.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fakes.apiserver import kubeconfig

ROOT = Path(__file__).resolve().parents[2]
RUNS = 11
START = """
import time
began = time.perf_counter()
import re, aws, controller, config
kept, connect = [], aws.connect
aws.connect = lambda *given, **more: kept.append(connect(*given, **more)) or kept[0]

def tell():
    seconds = time.perf_counter() - began
    print(re.search(r"VmRSS:\\s*(\\d+) kB", open("/proc/self/status").read())[1], seconds)

made = controller.build(config.configure(["--cluster-name=demo", "--region=eu-west-1"], {}), {})
tell()
used = [client.meta for client in kept[0].values()]
tell()
"""


def measure(packages: Path) -> tuple[float, ...]:
    """Return MiB resident and seconds of a start, then with all clients, once; Python sees no other packages."""
    with tempfile.TemporaryDirectory() as home:
        config = kubeconfig("http://127.0.0.1:1", Path(home) / "config")
        environ = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": str(config), "PYTHONPATH": str(packages)}
        command = [sys.executable, "-S", "-c", START]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=True)
    kilobytes, seconds, kilobytes_in_use, seconds_in_use = map(float, done.stdout.split())
    return kilobytes / 1024, seconds, kilobytes_in_use / 1024, seconds_in_use


def main(folders: list[str]) -> None:
    for folder in folders:
        measure(Path(folder))  # compiles what is not compiled yet
        runs = zip(*(measure(Path(folder)) for _ in range(RUNS)), strict=True)
        memory, seconds, memory_in_use, seconds_in_use = map(statistics.median, runs)
        print(f"{folder}: {memory:.1f} MiB, {seconds * 1000:.0f} ms;", end=" ")
        print(f"with all clients {memory_in_use:.1f} MiB, {seconds_in_use * 1000:.0f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
