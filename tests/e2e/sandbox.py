"""A real control plane, EKS's manners and the controller, up until Ctrl-C: `make sandbox`.

    python -m tests.e2e.sandbox

Prints the lines with which a user drives it by kubectl and aws from another terminal, and what to try first.
"""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.controlplane import ControlPlane
from tests.e2e.support import IDENTITY, ROOT, Operator, environment, ok, token_of, write_kubeconfig
from tests.fakes import aws as fake_aws
from tests.waiting import wait_for

TEACH = """
In another terminal, in this folder:

export KUBECONFIG={kubeconfig}
export PATH={binaries}:$PATH
{aws}

Then try:

1. kubectl apply -f sample-crd.yaml
2. kubectl get fp --watch
3. kubectl describe fp new-profile-7
4. aws eks list-fargate-profiles --cluster-name {cluster}
5. kubectl delete fp new-profile-7

A profile takes {seconds:.0f} s to be made or deleted. The controller's log: {log}
Ctrl-C ends it all.
"""


@contextmanager
def sandbox(folder: Path, seconds: float = 10) -> Iterator[str]:
    """Start it all as the README's install does; give what a user is told."""
    manners = fake_aws.Manners(creating_seconds=seconds, deleting_seconds=seconds)
    with ExitStack() as parts:
        plane = parts.enter_context(ControlPlane())
        subnets, role = fake_aws.SAMPLE_SUBNETS, fake_aws.SAMPLE_ROLE
        world = parts.enter_context(fake_aws.over_http(manners, subnet_ids=subnets, role_name=role))
        for file in ("rbac.yaml", "crd.yaml"):
            ok(plane.kubectl("apply", "-f", str(ROOT / file)))
        wait_for(lambda: plane.kubectl("get", "fp").returncode == 0, 20, "FargateProfiles are served")
        config = write_kubeconfig(folder / "operator.kubeconfig", plane, token_of(plane, IDENTITY))
        operator = Operator(environment(world, KUBECONFIG=str(config), POLL_SECONDS="2"), folder / "controller.log")
        parts.callback(operator.stop)
        operator.start()
        yield TEACH.format(
            kubeconfig=shlex.quote(str(plane.kubeconfig)),
            binaries=shlex.quote(str(plane.binaries)),
            aws="\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(world.env.items())),
            cluster=world.cluster,
            seconds=seconds,
            log=operator.log,
        )


def main() -> None:
    """Report up until a signal."""
    print("Starting etcd, kube-apiserver, a stand-in for AWS and the controller ...", flush=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with TemporaryDirectory() as folder, sandbox(Path(folder)) as told:
        print(told, flush=True)
        stop.wait()
        print("Ending ...", flush=True)


if __name__ == "__main__":
    main()
