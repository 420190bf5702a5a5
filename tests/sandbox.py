"""The unmodified `python controller.py` as a process between two worlds on loopback, for the demo and process tests.

    ApiServer <- HTTP -> controller.py <- HTTP -> moto with EKS's manners

Both worlds live in this process, so that a test steers and looks at them directly; the child can reach nothing
else: its environment is made here and inherits no credentials, no proxy, no kubeconfig.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes import aws as fake_aws
from tests.fakes.apiserver import ApiServer, kubeconfig, serve

ROOT = Path(__file__).resolve().parent.parent
LOOK_SECONDS = 0.1
START_SECONDS = 20.0
STOP_SECONDS = 15.0  # more than the grace that the controller gives the passes in hand

Object = dict[str, Any]


class Missed(AssertionError):
    """What was expected did not happen in time; the text says what."""


@dataclass
class ControllerProcess:
    """`python controller.py` as a child, one at a time; all its runs log to one file."""

    environ: dict[str, str]
    log: Path
    command: tuple[str, ...] = (sys.executable, "controller.py")
    folder: Path = ROOT
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environ, stdout=log, stderr=subprocess.STDOUT
            )

    def stop(self) -> int:
        """Ask it to end as Kubernetes does (SIGTERM); return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it at once (SIGKILL); return its exit code."""
        return self._end(signal.SIGKILL)

    @property
    def died(self) -> int | None:
        """Its exit code if it ended without having been asked to."""
        return self.child.poll() if self.child else None

    def _end(self, number: int) -> int:
        if self.child is None:
            return 0
        child, self.child = self.child, None
        child.send_signal(number)
        return child.wait(STOP_SECONDS)


@dataclass
class Sandbox:
    """Both worlds and the process between them; `on_look` is called at each look of `wait_for`."""

    api: ApiServer
    world: fake_aws.World
    controller: ControllerProcess
    on_look: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Start the controller and wait until it watches."""
        self.controller.start()
        self.wait_for(lambda: self.api.watching() == 1, START_SECONDS, "the controller lists and watches the objects")

    def wait_for(self, happened: Callable[[], object], seconds: float, what: str) -> None:
        """Wait until it has happened; raise `Missed` after so many seconds, or once the controller has ended."""
        deadline = time.monotonic() + seconds
        while not happened():
            self.on_look()
            if (code := self.controller.died) is not None:
                raise Missed(f"{what}; but the operator ended with exit code {code}")
            if time.monotonic() > deadline:
                raise Missed(f"{what}, within {seconds:.0f} s")
            time.sleep(LOOK_SECONDS)
        self.on_look()

    def apply(self, obj: Object) -> Object:
        """Apply an object as kubectl would, its namespace made where it is missing."""
        namespace = obj["metadata"].get("namespace", "default")
        if self.api.get("namespaces", "", namespace) is None:
            self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        return self.api.apply(obj)

    def delete(self, name: str, namespace: str = "default") -> None:
        self.api.delete("fargateprofiles", namespace, name)

    def objects(self) -> list[Object]:
        return self.api.objects("fargateprofiles")

    def condition(self, name: str, namespace: str = "default", kind: str = "Ready") -> Object:
        """Return a condition of an object, {} where there is none."""
        obj = self.api.get("fargateprofiles", namespace, name) or {}
        listed = obj.get("status", {}).get("conditions", [])
        return next((each for each in listed if each["type"] == kind), {})

    def ready(self, name: str, namespace: str = "default") -> bool:
        return bool(self.condition(name, namespace).get("status") == "True")

    def profiles(self) -> dict[str, Object]:
        """Return what EKS has, by name."""
        return {each["fargateProfileName"]: each for each in self.world.profiles(self.world.cluster)}


@contextmanager
def sandbox(manners: fake_aws.Manners | None = None, **variables: object) -> Iterator[Sandbox]:
    """Build both worlds, the sample's subnets and role in them; the controller, once started, is killed at the end.

    `variables` are environment variables of the controller, such as POLL_SECONDS=1.
    """
    sample = {"subnet_ids": fake_aws.SAMPLE_SUBNETS, "role_name": fake_aws.SAMPLE_ROLE}
    api = ApiServer()
    with (
        tempfile.TemporaryDirectory(prefix="fargate-sandbox-") as folder,
        fake_aws.over_http(manners, **sample) as world,  # type: ignore[arg-type]
        serve(api) as server,
    ):
        config = kubeconfig(server.url, Path(folder) / "kubeconfig")
        process = ControllerProcess(_environment(world, config, variables), Path(folder) / "controller.log")
        try:
            yield Sandbox(api, world, process)
        finally:
            process.kill()


def _environment(world: fake_aws.World, config: Path, variables: dict[str, object]) -> dict[str, str]:
    """Return all that the controller may know: this machine's own settings for AWS and proxies stay out."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        "KUBECONFIG": str(config),
        "CLUSTER_NAME": world.cluster,
        "HEALTH_PORT": "0",  # any that is free
        "NO_LEADER_ELECT": "true",  # there is no other; and what is killed may start again at once
        **world.env,
        **{name: str(value) for name, value in variables.items()},
    }
